/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What speaks against the network settings of a request, before anything is tried, and what is to be known of them. A setting
 * that the driver does not offer is a blocker only for who asked for it; at its default it is left out. */

#include <stdio.h>

#include "sriov-settings.h"
#include "sriov.h"

static int put(PtContext *ctx, PtSeverity severity, const char *code, const char *text, const char *culprit,
               const char *remedy) {
        return ctx->services->put_finding(ctx, &(PtFinding) {
                                                       .severity = severity,
                                                       .code = code,
                                                       .text = text,
                                                       .culprit = culprit,
                                                       .remedy = remedy,
                                               });
}

/* "vlan, trust"; the names of the settings that were given. */
static const char *given_names(const SriovWish *wish, char *buffer, size_t size) {
        size_t length = 0;

        buffer[0] = '\0';
        for (unsigned k = 0; k < _SRIOV_KEY_MAX; k++)
                if (wish->given & UINT32_C(1) << k && length < size)
                        length += (size_t) snprintf(buffer + length, size - length, "%s%s", length > 0 ? ", " : "",
                                                    sriov_key_name(k));
        return buffer;
}

static int check_no_network(PtContext *ctx, const SriovWish *wish) {
        char text[PCI_TEXT_SIZE], names[PCI_TEXT_SIZE / 2];

        if (wish->given == 0)
                return 0;
        (void) snprintf(text, sizeof(text), "The function is no Ethernet controller, so it has no network settings: %s.",
                        given_names(wish, names, sizeof(names)));
        return put(ctx, PT_SEVERITY_BLOCKER, "no-network-settings", text, NULL,
                   "Remove these settings, or let the group's rules take Ethernet functions only (class-hex begins 0200).");
}

static int put_invalid_mac(PtContext *ctx) {
        char text[PCI_TEXT_SIZE];
        PtValue value;
        int r = ctx->services->get_setting(ctx, sriov_key_name(SRIOV_KEY_MAC), &value);

        if (r < 0)
                return r;
        (void) snprintf(text, sizeof(text), "The setting mac, \"%.64s\", is not the address of one interface.", value.s);
        return put(ctx, PT_SEVERITY_BLOCKER, "invalid-mac-address", text, NULL,
                   "Give six pairs of hexadecimal digits whose first is even and that are not all zero (52:54:00:12:34:56), "
                   "\"generate\" or \"default\".");
}

/* 1: they do. */
static int check_rates_fit(PtContext *ctx, const SriovWish *wish) {
        uint64_t min = wish->vf.value[SRIOV_KEY_MIN_RATE], max = wish->vf.value[SRIOV_KEY_MAX_RATE];
        char text[PCI_TEXT_SIZE];
        int r;

        if (min == 0 || max == 0 || min < max)
                return 1;
        (void) snprintf(text, sizeof(text), "The rates contradict each other: min-rate %llu is not below max-rate %llu.",
                        (unsigned long long) min, (unsigned long long) max);
        r = put(ctx, PT_SEVERITY_BLOCKER, "rates-contradict", text, NULL, "Lower min-rate or raise max-rate; 0 switches either off.");
        return r < 0 ? r : 0;
}

int sriov_check_given(PtContext *ctx) {
        SriovWish wish;
        int r = sriov_wish_load(ctx, NULL, &wish);

        if (r == -EINVAL)
                return put_invalid_mac(ctx);
        if (r >= 0)
                r = check_rates_fit(ctx, &wish);
        return r < 0 ? r : 0;
}

/* The link is that of the physical function. */
static int check_rates(PtContext *ctx, const PtDevice *device, const SriovWish *wish) {
        uint64_t rate = MAX_OF(wish->vf.value[SRIOV_KEY_MIN_RATE], wish->vf.value[SRIOV_KEY_MAX_RATE]);
        char text[PCI_TEXT_SIZE], physfn[PCI_ADDRESS_SIZE] = "";
        PtValue speed;
        int r = check_rates_fit(ctx, wish);

        if (r <= 0 || rate == 0)
                return r;
        (void) pci_read_physfn(ctx, device, physfn);
        if (ctx->services->get_field(ctx, device, "provider.speed", &speed) < 0 || speed.type != PT_UINT32 || speed.u == 0) {
                (void) snprintf(text, sizeof(text),
                                "The link of %s is down or states no speed: whether it can carry %llu Mbit/s is not known.",
                                physfn, (unsigned long long) rate);
                return put(ctx, PT_SEVERITY_NOTE, "link-speed-unknown", text, NULL, NULL);
        }
        if (rate <= speed.u)
                return 0;
        (void) snprintf(text, sizeof(text), "The rate of %llu Mbit/s is above the speed of the link of %s, %u Mbit/s.",
                        (unsigned long long) rate, physfn, speed.u);
        return put(ctx, PT_SEVERITY_BLOCKER, "rate-above-link", text, NULL, "Lower the rate, or set it to 0 for no limit.");
}

#define LEGACY_REMEDY                                                                                                        \
        "Set it on the function's representor (tc, devlink), or put the switch into the mode legacy (devlink dev eswitch set "  \
        "pci/ADDRESS mode legacy)."

static int put_not_offered(PtContext *ctx, const SriovOfferer *offerer, SriovKey key, const char *words, bool given,
                           bool switchdev) {
        char text[PCI_TEXT_SIZE];

        (void) snprintf(text, sizeof(text), "%s driver %.64s %s: the setting %s %s.",
                        switchdev ? "While the card's embedded switch is in the mode switchdev, the" : "The", offerer->name, words,
                        sriov_key_name(key), given ? "cannot be applied" : "is left out");
        return put(ctx, given ? PT_SEVERITY_BLOCKER : PT_SEVERITY_NOTE, "setting-not-offered", text, offerer->name,
                   !given      ? NULL
                   : switchdev ? LEGACY_REMEDY
                               : "Leave the setting at its default, or choose functions of a card whose driver offers it.");
}

static int check_drivers_offer(PtContext *ctx, const SriovOfferer *offerer, const SriovWish *wish) {
        const SriovDriver *driver = offerer->driver;

        for (unsigned k = 0; k < _SRIOV_KEY_MAX; k++) {
                bool given = wish->given & UINT32_C(1) << k;
                bool switchdev = false;
                const char *words;
                int r;

                words = sriov_vf_knows(&wish->vf, k) ? sriov_refusal(offerer, k, wish->vf.value[k], &switchdev) : NULL;
                if (!words)
                        continue;
                r = put_not_offered(ctx, offerer, k, words, given, switchdev);
                if (r < 0)
                        return r;
        }
        if (driver && driver->limits & SRIOV_LIMIT_RATE_NEEDS_LINK && wish->vf.value[SRIOV_KEY_MAX_RATE] > 0)
                return put(ctx, PT_SEVERITY_NOTE, "rate-needs-link",
                           "The driver takes a rate only while the link of the physical function is up.", offerer->name, NULL);
        return 0;
}

static void note_entry(void *userdata, const char *entry) {
        *(bool *) userdata = true;
}

static int check_interface(PtContext *ctx, const PtDevice *device, const char *driver, const SriovWish *wish) {
        bool found = false;

        (void) ctx->services->list(ctx, device, "physfn/net", note_entry, &found);
        if (found)
                return 0;
        return put(ctx, wish->given ? PT_SEVERITY_BLOCKER : PT_SEVERITY_WARNING, "no-pf-interface",
                   isempty(driver) ? "The physical function has no driver, so the function's network settings cannot be set."
                                   : "The physical function has a driver but no network interface here: it may be in another "
                                     "network namespace. The function's network settings cannot be set.",
                   isempty(driver) ? NULL : driver,
                   isempty(driver) ? "Load the driver of the card."
                                   : "Move the interface back to the host's network namespace.");
}

static int put_notes(PtContext *ctx, const SriovWish *wish) {
        static const struct {
                SriovKey key;
                uint64_t value;
                const char *code, *text;
        } notes[] = {
                { SRIOV_KEY_TRUST, 1, "trust-on",
                  "Trust is on: the guest may change its MAC address and receive what is meant for others." },
                { SRIOV_KEY_SPOOF_CHECK, 0, "spoof-check-off",
                  "The spoof check is off: the guest may send under any MAC address." },
                { SRIOV_KEY_RSS_QUERY, 1, "rss-query-on",
                  "RSS query is on: the guest may read how the card spreads packets, which other functions may share." },
        };

        for (size_t i = 0; i < ELEMENTSOF(notes); i++)
                if (sriov_vf_knows(&wish->vf, notes[i].key) && wish->vf.value[notes[i].key] == notes[i].value) {
                        int r = put(ctx, PT_SEVERITY_NOTE, notes[i].code, notes[i].text, NULL, NULL);

                        if (r < 0)
                                return r;
                }
        return put(ctx, PT_SEVERITY_NOTE, "host-network-bypassed",
                   "What the guest sends and receives does not pass through the host's network: its bridges, packet filters and "
                   "counters do not see it.",
                   NULL, NULL);
}

int sriov_check_settings(PtContext *ctx, const PtDevice *device, const PtRequest *request) {
        SriovOfferer offerer;
        SriovWish wish;
        int r;

        if (!request || request->device != device)
                return 0;
        r = sriov_wish_load(ctx, request, &wish);
        if (r == -EINVAL)
                return put_invalid_mac(ctx);
        if (r < 0)
                return r;
        if (!sriov_takes_settings(ctx, device))
                return check_no_network(ctx, &wish);
        sriov_offerer_find(ctx, device, &offerer);
        r = check_rates(ctx, device, &wish);
        if (r >= 0)
                r = check_drivers_offer(ctx, &offerer, &wish);
        if (r >= 0)
                r = check_interface(ctx, device, offerer.name, &wish);
        return r < 0 ? r : put_notes(ctx, &wish);
}
