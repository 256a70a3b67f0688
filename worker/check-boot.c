/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What has to be on the kernel's command line, in the words of the boot loader that is configured here. Nothing is written:
 * a host that does not start any more is worse than one without passthrough. */

#include <stdio.h>

#include "check.h"

#define FILE_MAX 65536u
#define GRUB "/etc/default/grub"
#define GRUB_KEY "GRUB_CMDLINE_LINUX"
#define KERNEL_CMDLINE "/etc/kernel/cmdline"

/* Words are separated by blanks; what stands in quotes is not looked into. */
static bool has_word(const char *text, const char *word) {
        size_t n = strlen(word);

        for (const char *p = text; (p = strstr(p, word)); p += n)
                if ((p == text || strchr(" \t\n\"'=", p[-1])) && strchr(" \t\n\"'", p[n]))
                        return true;
        return false;
}

bool cmdline_has(const CheckHost *host, const char *word) {
        return has_word(host->cmdline, word);
}

/* The value of the last GRUB_CMDLINE_LINUX= line, without its quotes. */
static char *grub_arguments(const char *file) {
        const char *found = NULL;

        for (const char *line = file; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
                if (startswith(line, GRUB_KEY "="))
                        found = line + strlen(GRUB_KEY "=");
        if (!found)
                return strdup("");
        if (*found == '"' || *found == '\'')
                return strndup(found + 1, strcspn(found + 1, (char[]){ *found, '\n', '\0' }));
        return strndup(found, strcspn(found, " \t\n"));
}

/* Whether some GRUB_CMDLINE_LINUX… line has it: comments do not count. */
static bool grub_has(const char *file, const char *word) {
        for (const char *line = file; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
                _cleanup_free_ char *copy = startswith(line, GRUB_KEY) ? strndup(line, strcspn(line, "\n")) : NULL;

                if (copy && has_word(copy, word))
                        return true;
        }
        return false;
}

static bool drop_in_has(const CheckHost *host, const char *word) {
        _cleanup_names_ char **names = NULL;

        if (check_list(host, "/etc/default/grub.d", &names) < 0)
                return false;
        for (size_t i = 0; names[i]; i++) {
                _cleanup_free_ char *path = NULL, *text = NULL;

                if (asprintf(&path, "/etc/default/grub.d/%s", names[i]) >= 0 && check_read(host, path, FILE_MAX, &text) >= 0 &&
                    grub_has(text, word))
                        return true;
        }
        return false;
}

static void set_pending(Check *check, const char *word, const char *file) {
        check->pending = true;
        check_evidence(check, "%s has %s already", file, word);
        check_remedy(check, "%s is in %s: have the boot loader's configuration written anew if that was not done yet "
                            "(update-grub, kernel-install), then restart the host.", word, file);
}

void check_boot_argument(Check *check, const char *word) {
        _cleanup_free_ char *grub = NULL, *line = NULL, *arguments = NULL;
        const CheckHost *host = check->host;

        check->reboot = true;
        if (check_read(host, GRUB, FILE_MAX, &grub) >= 0) {
                if (grub_has(grub, word) || drop_in_has(host, word)) {
                        set_pending(check, word, GRUB);
                        return;
                }
                arguments = grub_arguments(grub);
                check_remedy(check, "In " GRUB " write " GRUB_KEY "=\"%s%s%s\", run update-grub (elsewhere than on Debian "
                                    "grub2-mkconfig), and restart the host.", strempty(arguments), isempty(arguments) ? "" : " ",
                             word);
        } else if (check_read(host, KERNEL_CMDLINE, FILE_MAX, &line) >= 0) {
                line[strcspn(line, "\n")] = '\0';
                if (has_word(line, word)) {
                        set_pending(check, word, KERNEL_CMDLINE);
                        return;
                }
                check_remedy(check, "Make the line of " KERNEL_CMDLINE " read \"%s%s%s\", have the boot entries written anew "
                                    "(kernel-install, or proxmox-boot-tool refresh), and restart the host.", line,
                             isempty(line) ? "" : " ", word);
        } else
                check_remedy(check, "Add %s to the kernel's command line in your boot loader's configuration, and restart the host.",
                             word);
}

void check_boot_without(Check *check, const char *word) {
        _cleanup_free_ char *grub = NULL, *line = NULL;
        const CheckHost *host = check->host;
        const char *file = NULL;

        check->reboot = true;
        if (check_read(host, GRUB, FILE_MAX, &grub) >= 0)
                file = grub_has(grub, word) || drop_in_has(host, word) ? GRUB : NULL;
        else if (check_read(host, KERNEL_CMDLINE, FILE_MAX, &line) >= 0)
                file = has_word(line, word) ? KERNEL_CMDLINE : NULL;
        else {
                check_remedy(check, "Take %s out of the kernel's command line in your boot loader's configuration, and restart the "
                                    "host.", word);
                return;
        }
        if (file) {
                check_remedy(check, "Take %s out of %s, have the boot loader's configuration written anew (update-grub, "
                                    "kernel-install), and restart the host.", word, file);
                return;
        }
        check->pending = true;
        check_remedy(check, "%s is no longer configured: have the boot loader's configuration written anew if that was not done "
                            "yet, then restart the host.", word);
}
