/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Failures: the service's own words, and the exit status that belongs to them. */

#include "cli.h"

#include <stdarg.h>

static const struct {
        const char *word;
        int status;
} statuses[] = {
        { "UnknownBoot", STATUS_NOT_FOUND },
        { "UnknownDevice", STATUS_NOT_FOUND },
        { "UnknownGroup", STATUS_NOT_FOUND },
        { "UnknownRule", STATUS_NOT_FOUND },
        { "UnknownAllocation", STATUS_NOT_FOUND },
        { "UnknownJob", STATUS_NOT_FOUND },
        { "UnknownObject", STATUS_NOT_FOUND },
        { "NotAuthorized", STATUS_NOT_AUTHORIZED },
        { "AuthorizationUnavailable", STATUS_NOT_AUTHORIZED },
        { "InteractiveAuthorizationRequired", STATUS_NOT_AUTHORIZED },
        { "AccessDenied", STATUS_NOT_AUTHORIZED },
        { "AuthFailed", STATUS_NOT_AUTHORIZED },
        { "DeviceBlocked", STATUS_UNAVAILABLE },
        { "DeviceBusy", STATUS_UNAVAILABLE },
        { "DeviceGone", STATUS_UNAVAILABLE },
        { "DriverMissing", STATUS_UNAVAILABLE },
        { "DriverStuck", STATUS_UNAVAILABLE },
        { "GroupDisabled", STATUS_UNAVAILABLE },
        { "GroupInUse", STATUS_UNAVAILABLE },
        { "LimitReached", STATUS_UNAVAILABLE },
        { "ModuleMissing", STATUS_UNAVAILABLE },
        { "NoDeviceAvailable", STATUS_UNAVAILABLE },
        { "NoIommu", STATUS_UNAVAILABLE },
        { "LayoutConflict", STATUS_UNAVAILABLE },
        { "NotReady", STATUS_UNAVAILABLE },
        { "Degraded", STATUS_UNAVAILABLE },
        { "PlanChanged", STATUS_UNAVAILABLE },
        { "ReadOnlyState", STATUS_UNAVAILABLE },
        { "WrongNode", STATUS_UNAVAILABLE },
        { "WrongState", STATUS_UNAVAILABLE },
        { "InvalidArgument", STATUS_USAGE },
        { "InvalidArgs", STATUS_USAGE },
        { "InvalidRegex", STATUS_USAGE },
        { "InvalidValue", STATUS_USAGE },
        { "RegexLimit", STATUS_USAGE },
        { "TooLarge", STATUS_USAGE },
        { "UnknownField", STATUS_USAGE },
        { "UnknownFormat", STATUS_USAGE },
        { "UnknownOperator", STATUS_USAGE },
        { "UnknownOption", STATUS_USAGE },
        { "UnknownSetting", STATUS_USAGE },
        { "UnknownType", STATUS_USAGE },
        { "ServiceUnknown", STATUS_NO_SERVICE },
        { "NameHasNoOwner", STATUS_NO_SERVICE },
        { "NoServer", STATUS_NO_SERVICE },
        { "NoReply", STATUS_NO_SERVICE },
        { "Disconnected", STATUS_NO_SERVICE },
};

int status_of_error(const char *word) {
        for (size_t i = 0; i < ELEMENTSOF(statuses); i++)
                if (streq(statuses[i].word, word))
                        return statuses[i].status;
        return STATUS_FAILED;
}

int cli_fail_word(Cli *cli, int status, const char *word, const char *message) {
        json_t *object = NULL;

        cli->status = status;
        if (cli->quiet)
                return -EIO;
        /* What was typed may not be UTF-8; then there is no JSON of it, and the text must do. */
        if (cli->json)
                object = json_pack("{s:s, s:s, s:i}", "error", strempty(word), "message", strempty(message),
                                   "status", status);
        if (object) {
                (void) json_dumpf(object, stderr, JSON_COMPACT);
                (void) fputc('\n', stderr);
                json_decref(object);
        } else
                (void) fprintf(stderr, "passthroughctl: %s%s%s\n", strempty(word), isempty(word) ? "" : ": ",
                               strempty(message));
        return -EIO;
}

int cli_fail(Cli *cli, int status, const char *format, ...) {
        _cleanup_free_ char *message = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&message, format, arguments);
        va_end(arguments);
        if (r < 0) {
                message = NULL;
                return cli_oom(cli);
        }
        return cli_fail_word(cli, status, NULL, message);
}

int cli_oom(Cli *cli) {
        return cli_fail_word(cli, STATUS_FAILED, "NoMemory", "there is not enough memory");
}

static const char *last_part(const char *name) {
        const char *dot = strrchr(name, '.');

        return dot ? dot + 1 : name;
}

int cli_fail_bus(Cli *cli, int result, const sd_bus_error *error) {
        const char *word;

        if (result == -ENOMEM)
                return cli_oom(cli);
        if (!error || !sd_bus_error_is_set(error))
                return cli_fail_word(cli, STATUS_FAILED, NULL, strerror(result < 0 ? -result : EIO));

        word = last_part(error->name);
        /* The bus's own words for these two say nothing to a person. */
        if (status_of_error(word) == STATUS_NO_SERVICE && !startswith(error->name, ERROR_PREFIX))
                return cli_fail_word(cli, STATUS_NO_SERVICE, word,
                                     streq(word, "NoReply")
                                             ? "the service did not answer, or ended before it did"
                                             : "passthroughd is not running on this bus; start it with: "
                                               "systemctl start passthroughd");
        if (streq(word, "UnknownObject") && !startswith(error->name, ERROR_PREFIX))
                return cli_fail_word(cli, STATUS_NOT_FOUND, word, "there is no such object (any more)");
        return cli_fail_word(cli, status_of_error(word), word, error->message);
}

void cli_note(const Cli *cli, const char *format, ...) {
        va_list arguments;

        if (cli->json)
                return;
        va_start(arguments, format);
        (void) vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void) fputc('\n', stderr);
}
