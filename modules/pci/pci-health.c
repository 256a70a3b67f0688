/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether a function that its consumer gave back, or that was reset, may have another one: does it answer, is it still the
 * same, and did it report errors meanwhile. In the worker: all of this wakes the device and can hang. */

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "lib/parse.h"
#include "pci-link.h"
#include "pci-vpd.h"
#include "pci.h"

/* PCI Express gives a device a second after a reset before it has to answer (6.6.1), and the kernel waits that long after the
 * resets that it makes; some need a moment more. */
#define TRIES 6u
#define TRY_INTERVAL_NSEC 250000000L

#define HEADER_SIZE 64u
#define AT_VENDOR 0x00u
#define AT_PRODUCT 0x02u
#define AT_HEADER_TYPE 0x0eu
#define AT_SUBSYSTEM_VENDOR 0x2cu
#define AT_SUBSYSTEM_PRODUCT 0x2eu
#define ALL_ONES 0xffffu
#define NOT_READY 0x0001u /* the vendor id while a device asks for more time */
#define UNKNOWN (-1)

/* What is compared. Numbers are UNKNOWN where the function has none. */
typedef enum Count {
        COUNT_VENDOR,
        COUNT_PRODUCT,
        COUNT_SUBSYSTEM_VENDOR,
        COUNT_SUBSYSTEM_PRODUCT,
        COUNT_LINK_SPEED,
        COUNT_LINK_WIDTH,
        COUNT_FATAL,
        COUNT_NONFATAL,
        COUNT_CORRECTABLE,
        _COUNT_MAX,
} Count;

/* Their words in the note. */
static const char *const count_words[_COUNT_MAX] = {
        [COUNT_VENDOR] = "vendor",
        [COUNT_PRODUCT] = "device",
        [COUNT_SUBSYSTEM_VENDOR] = "subsystem-vendor",
        [COUNT_SUBSYSTEM_PRODUCT] = "subsystem-device",
        [COUNT_LINK_SPEED] = "link-speed",
        [COUNT_LINK_WIDTH] = "link-width",
        [COUNT_FATAL] = "fatal",
        [COUNT_NONFATAL] = "nonfatal",
        [COUNT_CORRECTABLE] = "correctable",
};

typedef struct Health {
        bool answers;
        int64_t counts[_COUNT_MAX];
        char serial[PCI_CONFIG_SERIAL_SIZE]; /* "" for none */
} Health;

static int64_t read_le16(const uint8_t *at) {
        return at[0] | at[1] << 8;
}

/* A virtual function has no ids of its own on the wire: the kernel knows them from its physical one. The rest of its header is
 * there, so that a function is silent when all of it reads as ones. */
static bool header_answers(const uint8_t *config) {
        if (read_le16(config + AT_VENDOR) == NOT_READY && read_le16(config + AT_PRODUCT) == ALL_ONES)
                return false;
        for (size_t i = 0; i < HEADER_SIZE; i++)
                if (config[i] != 0xff)
                        return true;
        return false;
}

static int read_config(PtContext *ctx, const PtDevice *device, Health *ret) {
        const struct timespec pause = { .tv_nsec = TRY_INTERVAL_NSEC };
        uint8_t config[PCI_CONFIG_SIZE];
        ssize_t n = 0;

        for (size_t i = 0; i < TRIES && !ret->answers; i++) {
                if (i > 0)
                        (void) nanosleep(&pause, NULL);
                n = ctx->services->read_slow(ctx, device, "config", config, sizeof(config), 0);
                if (n < 0)
                        return (int) n;
                if (n < (ssize_t) HEADER_SIZE)
                        return -EIO;
                ret->answers = header_answers(config);
        }
        if (!ret->answers)
                return 0;
        if (read_le16(config + AT_VENDOR) != ALL_ONES) {
                ret->counts[COUNT_VENDOR] = read_le16(config + AT_VENDOR);
                ret->counts[COUNT_PRODUCT] = read_le16(config + AT_PRODUCT);
        }
        if ((config[AT_HEADER_TYPE] & 0x7f) == 0) {
                ret->counts[COUNT_SUBSYSTEM_VENDOR] = read_le16(config + AT_SUBSYSTEM_VENDOR);
                ret->counts[COUNT_SUBSYSTEM_PRODUCT] = read_le16(config + AT_SUBSYSTEM_PRODUCT);
        }
        (void) pci_config_serial(config, (size_t) n, ret->serial);
        return 0;
}

/* One line a kind of error, the sum in the last: "TOTAL_ERR_FATAL 0". There is no such file without the capability. */
static int64_t read_errors(PtContext *ctx, const PtDevice *device, const char *name, const char *total) {
        char text[4096], *line, *state = NULL;
        uint32_t value;
        ssize_t n;

        n = ctx->services->read_slow(ctx, device, name, text, sizeof(text) - 1, 0);
        if (n < 0)
                return UNKNOWN;
        text[n] = '\0';
        for (line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                const char *rest = startswith(line, total);

                if (rest && rest[0] == ' ' && parse_uint32(rest + 1, &value) >= 0)
                        return value;
        }
        return UNKNOWN;
}

static int health_read(PtContext *ctx, const PtDevice *device, Health *ret) {
        Health health = { .answers = false };
        uint32_t speed, width;
        int r;

        for (size_t i = 0; i < _COUNT_MAX; i++)
                health.counts[i] = UNKNOWN;
        r = read_config(ctx, device, &health);
        if (r < 0)
                return r;
        if (health.answers) {
                pci_read_link(ctx, device, &speed, &width);
                health.counts[COUNT_LINK_SPEED] = speed > 0 ? (int64_t) speed : UNKNOWN;
                health.counts[COUNT_LINK_WIDTH] = width > 0 ? (int64_t) width : UNKNOWN;
        }
        health.counts[COUNT_FATAL] = read_errors(ctx, device, "aer_dev_fatal", "TOTAL_ERR_FATAL");
        health.counts[COUNT_NONFATAL] = read_errors(ctx, device, "aer_dev_nonfatal", "TOTAL_ERR_NONFATAL");
        health.counts[COUNT_CORRECTABLE] = read_errors(ctx, device, "aer_dev_correctable", "TOTAL_ERR_COR");
        *ret = health;
        return 0;
}

/* ---- the note ---- */

/* "vendor=32902 device=4307 … serial=00-11-…": words without blanks. */
static int health_note(PtContext *ctx, const Health *health) {
        char text[PCI_TEXT_SIZE];
        size_t length = 0;

        for (size_t i = 0; i < _COUNT_MAX; i++)
                if (health->counts[i] != UNKNOWN)
                        length += (size_t) snprintf(text + length, sizeof(text) - length, "%s%s=%" PRId64,
                                                    length > 0 ? " " : "", count_words[i], health->counts[i]);
        if (!isempty(health->serial))
                (void) snprintf(text + length, sizeof(text) - length, " serial=%s", health->serial);
        return ctx->services->put_observed(ctx, length > 0 ? text : "");
}

static void health_recall(const char *note, Health *ret) {
        char text[PCI_TEXT_SIZE], *word, *state = NULL;

        *ret = (Health){ .answers = true };
        for (size_t i = 0; i < _COUNT_MAX; i++)
                ret->counts[i] = UNKNOWN;
        (void) snprintf(text, sizeof(text), "%s", strempty(note));
        for (word = strtok_r(text, " ", &state); word; word = strtok_r(NULL, " ", &state)) {
                char *value = strchr(word, '=');
                uint32_t number;

                if (!value)
                        continue;
                *value++ = '\0';
                if (streq(word, "serial"))
                        (void) snprintf(ret->serial, sizeof(ret->serial), "%s", value);
                for (size_t i = 0; i < _COUNT_MAX; i++)
                        if (streq(word, count_words[i]) && parse_uint32(value, &number) >= 0)
                                ret->counts[i] = number;
        }
}

/* Without a note there is what the kernel read when it found the function. */
static void recall_attributes(PtContext *ctx, const PtDevice *device, Health *ret) {
        int32_t value;

        if (pci_read_number(ctx, device, "vendor", 0xffff, &value) >= 0)
                ret->counts[COUNT_VENDOR] = value;
        if (pci_read_number(ctx, device, "device", 0xffff, &value) >= 0)
                ret->counts[COUNT_PRODUCT] = value;
}

/* ---- findings ---- */

static int put(PtContext *ctx, PtSeverity severity, const char *code, const char *text, const char *remedy) {
        return ctx->services->put_finding(
                ctx, &(PtFinding){ .severity = severity, .code = code, .text = text, .remedy = remedy });
}

static int check_identity(PtContext *ctx, const Health *before, const Health *now) {
        char text[PCI_TEXT_SIZE];

        for (size_t i = COUNT_VENDOR; i <= COUNT_SUBSYSTEM_PRODUCT; i++)
                if (before->counts[i] != UNKNOWN && now->counts[i] != UNKNOWN && before->counts[i] != now->counts[i]) {
                        (void) snprintf(text, sizeof(text), "Its %s id was %04x and reads %04x now.", count_words[i],
                                        (unsigned) before->counts[i], (unsigned) now->counts[i]);
                        return put(ctx, PT_SEVERITY_BLOCKER, "identity-changed", text,
                                   "Look at what its last consumer wrote to it: firmware of another model? A power "
                                   "cycle of the host may help.");
                }
        if (isempty(before->serial) || streq(before->serial, now->serial))
                return 0;
        (void) snprintf(text, sizeof(text), "Its serial number was %s and %s%s now.", before->serial,
                        isempty(now->serial) ? "has vanished" : "reads ", now->serial);
        return put(ctx, PT_SEVERITY_BLOCKER, "identity-changed", text,
                   "Make sure that the card was not exchanged, and that its firmware is the one it came with.");
}

static int check_errors(PtContext *ctx, const Health *before, const Health *now) {
        static const struct {
                Count count;
                PtSeverity severity;
                const char *code, *word;
        } kinds[] = {
                { COUNT_FATAL, PT_SEVERITY_BLOCKER, "fatal-errors", "fatal" },
                { COUNT_NONFATAL, PT_SEVERITY_WARNING, "nonfatal-errors", "uncorrectable" },
                { COUNT_CORRECTABLE, PT_SEVERITY_NOTE, "correctable-errors", "corrected" },
        };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                int64_t was = before->counts[kinds[i].count], is = now->counts[kinds[i].count];
                char text[PCI_TEXT_SIZE];
                int r;

                if (was == UNKNOWN || is <= was)
                        continue;
                (void) snprintf(text, sizeof(text), "It reported %" PRId64 " %s PCI Express error%s since it was handed out.",
                                is - was, kinds[i].word, is - was == 1 ? "" : "s");
                r = put(ctx, kinds[i].severity, kinds[i].code, text,
                        "Look at the kernel log for the errors (\"AER\"); the card, its slot or its riser may be bad.");
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A link that trained anew with fewer lanes works, only slower: for a person to look at. Its speed goes down by itself when a
 * device has nothing to do. */
static int check_link(PtContext *ctx, const Health *before, const Health *now) {
        int64_t was = before->counts[COUNT_LINK_WIDTH], is = now->counts[COUNT_LINK_WIDTH];
        char text[PCI_TEXT_SIZE];
        int r;

        if (was != UNKNOWN && is != UNKNOWN && is < was) {
                (void) snprintf(text, sizeof(text), "Its link had %" PRId64 " lanes and has %" PRId64 " now.", was, is);
                r = put(ctx, PT_SEVERITY_WARNING, "link-degraded", text,
                        "Put the card into its slot anew; a bad contact or riser is the usual cause.");
                if (r < 0)
                        return r;
        }
        was = before->counts[COUNT_LINK_SPEED];
        is = now->counts[COUNT_LINK_SPEED];
        if (was == UNKNOWN || is == UNKNOWN || is >= was)
                return 0;
        (void) snprintf(text, sizeof(text), "Its link ran at %" PRId64 " MT/s and runs at %" PRId64 " now.", was, is);
        return put(ctx, PT_SEVERITY_NOTE, "link-slower", text,
                   "Nothing if the device is idle: many save power that way.");
}

int pci_health(PtContext *ctx, const PtDevice *device) {
        Health now, before;
        PciFunction f;
        int r;

        r = pci_function_load(ctx, device, &f);
        if (r < 0 || f.role == PT_ROLE_BRIDGE)
                return r;
        r = health_read(ctx, device, &now);
        if (r < 0)
                return r;
        r = health_note(ctx, &now);
        if (r < 0)
                return r;
        if (!now.answers)
                return put(ctx, PT_SEVERITY_BLOCKER, "no-answer",
                           "It does not answer: its configuration space reads as all ones, or as not ready yet.",
                           "A reset may bring it back (passthroughctl device reset), a power cycle of the host often "
                           "does.");
        health_recall(ctx->services->get_noted(ctx), &before);
        if (before.counts[COUNT_VENDOR] == UNKNOWN)
                recall_attributes(ctx, device, &before);
        r = check_identity(ctx, &before, &now);
        if (r >= 0)
                r = check_errors(ctx, &before, &now);
        return r < 0 ? r : check_link(ctx, &before, &now);
}
