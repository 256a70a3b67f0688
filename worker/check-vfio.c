/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "check.h"
#include "lib/host-facts.h"

#define FILE_MAX 65536u

/* ---- modules ---- */

void check_vfio_modules(Check *check) {
        static const char *const modules[] = { "vfio_pci", "vfio_iommu_type1" };
        _cleanup_(host_facts_freep) HostFacts *facts = NULL;
        _cleanup_free_ char *missing = NULL;

        (void) host_facts_new(check->host->sysfs, &facts);
        for (size_t i = 0; i < ELEMENTSOF(modules); i++) {
                const char *value;
                char fact[64];

                (void) snprintf(fact, sizeof(fact), "module:%s", modules[i]);
                value = facts ? host_facts_get(facts, fact) : NULL;
                check_evidence(check, "%s: %s", modules[i], value ? value : "not found");
                if (!value && !missing)
                        missing = strdup(modules[i]);
        }
        if (!missing) {
                check_result(check, CHECK_PASS, "The modules of VFIO are there");
                return;
        }
        check_result(check, CHECK_FAIL, "The kernel module %s is neither loaded nor in /lib/modules/%s", missing,
                     check->host->release);
        check_remedy(check, "Install the kernel's usual flavour (Debian: linux-image-amd64; what belongs to a cloud image, or a "
                            "package of extra modules left out, may lack it); where the running kernel's modules were removed, "
                            "restart the host.");
        check->reboot = true;
}

/* ---- unsafe modes ---- */

static bool parameter_is_on(Check *check, const char *module, const char *parameter) {
        char path[128], value[16] = "";
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module, parameter);
        n = sysfs_read(check->host->sysfs, path, value, sizeof(value));
        check_evidence(check, "%s: %s", path, n < 0 ? "not there" : value);
        return n >= 0 && (streq(value, "Y") || streq(value, "1"));
}

void check_unsafe_modes(Check *check) {
        bool interrupts = parameter_is_on(check, "vfio_iommu_type1", "allow_unsafe_interrupts");
        bool noiommu = parameter_is_on(check, "vfio", "enable_unsafe_noiommu_mode");

        if (noiommu) {
                check_result(check, CHECK_FAIL, "VFIO hands out devices without an IOMMU: a guest can read and write all memory");
                check_remedy(check, "Remove enable_unsafe_noiommu_mode from /etc/modprobe.d and the kernel's command line, and "
                                    "restart the host.");
                check->reboot = true;
        } else if (interrupts) {
                check_result(check, CHECK_WARN, "VFIO accepts missing interrupt remapping: a guest can raise any interrupt of the "
                                                "host");
                check_remedy(check, "Where \"interrupt-remapping\" passes it is not needed: echo N > "
                                    "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts, and remove it from "
                                    "/etc/modprobe.d.");
        } else
                check_result(check, CHECK_PASS, "VFIO's unsafe modes are off");
}

/* ---- who takes devices before anybody asks ---- */

static const char *find_on_cmdline(const CheckHost *host) {
        static const char *const words[] = { "vfio-pci.ids=", "vfio_pci.ids=", "pci-stub.ids=", "pci_stub.ids=" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strstr(host->cmdline, words[i]))
                        return words[i];
        return NULL;
}

/* "options vfio-pci ids=…" in a file of modprobe's. */
static bool modprobe_takes(const char *text) {
        for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
                _cleanup_free_ char *copy = NULL;

                line += strspn(line, " \t");
                copy = strndup(line, strcspn(line, "\n"));
                if (copy && startswith(copy, "options") && (strstr(copy, "vfio-pci") || strstr(copy, "vfio_pci")) &&
                    strstr(copy, "ids="))
                        return true;
        }
        return false;
}

static size_t look_through(Check *check, const char *directory, const char *suffix, bool (*takes)(const char *text)) {
        _cleanup_names_ char **names = NULL;
        size_t n = 0;

        if (check_list(check->host, directory, &names) < 0)
                return 0;
        for (size_t i = 0; names[i]; i++) {
                _cleanup_free_ char *path = NULL, *text = NULL;
                size_t length = strlen(names[i]), tail = strlen(suffix);

                if (length < tail || !streq(names[i] + length - tail, suffix) ||
                    asprintf(&path, "%s/%s", directory, names[i]) < 0 ||
                    (takes && (check_read(check->host, path, FILE_MAX, &text) < 0 || !takes(text))))
                        continue;
                check_evidence(check, "%s", path);
                n++;
        }
        return n;
}

static bool rules_bind(const char *text) {
        return strstr(text, "driver_override") || strstr(text, "drivers/vfio-pci");
}

void check_static_binding(Check *check) {
        const char *word = find_on_cmdline(check->host);
        size_t n = look_through(check, "/etc/modprobe.d", ".conf", modprobe_takes) +
                   look_through(check, "/etc/udev/rules.d", ".rules", rules_bind) +
                   look_through(check, "/etc/driverctl.d", "", NULL);

        if (word) {
                check_evidence(check, "/proc/cmdline has %s", word);
                n++;
        }
        if (n == 0) {
                check_evidence(check, "nothing in /proc/cmdline, /etc/modprobe.d, /etc/udev/rules.d, /etc/driverctl.d");
                check_result(check, CHECK_PASS, "Nothing else binds devices to VFIO");
                return;
        }
        check_result(check, CHECK_WARN, "Something else binds devices to VFIO when the host starts: the host never has them, and "
                                        "they stay there after a give-back");
        check_remedy(check, "Remove what the evidence names if the service shall have these devices to itself; it binds them when "
                            "a guest is started.");
}
