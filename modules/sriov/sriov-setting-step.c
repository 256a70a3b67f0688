/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The custom steps that set one attribute of a virtual function each, in the worker. The value of a step is the wanted values,
 * "vlan=10 qos=0 vlan-protocol=802.1Q"; with the word "if-offered" where nobody asked for them, so that a driver that has no such
 * attribute is no failure. What is recorded for the undo are the values found, of those that the driver reports. */

#include <stdio.h>
#include <time.h>

#include "sriov-netlink.h"
#include "sriov-settings.h"

/* i40e answers EAGAIN while a function resets, which each change makes it do, and ice EBUSY while it is not ready. Both take less
 * than a second. */
#define RETRY_MSEC 200
#define RETRY_ATTEMPTS 50
/* qede takes a value and applies it a moment later. */
#define READ_BACK_ATTEMPTS 10

#define FIND_ATTEMPTS 5

/* Recorded where the card's interface was out of reach: nothing was read, and nothing set. */
#define UNREACHED "unreached"

#define TEXT_SIZE 768

static void pause_msec(long msec) {
        (void) nanosleep(&(struct timespec) { .tv_sec = msec / 1000, .tv_nsec = msec % 1000 * 1000000 }, NULL);
}

typedef struct Call {
        PtContext *ctx;
        const PtDevice *device;
        SriovAttribute attribute;
        uint32_t keys;
        SriovVf wanted;
        bool if_offered;
        SriovPath path;
        SriovVf now;
} Call;

static int fail(Call *c, int error, const char *text) {
        c->ctx->services->set_error(c->ctx, text);
        return error;
}

static const char *driver_of(const Call *c) {
        return isempty(c->path.driver) ? "none" : c->path.driver;
}

/* Where people look for it: driver, interface, function. */
static int refuse(Call *c, int error, const char *what, const char *why) {
        char text[TEXT_SIZE], reason[128];

        sriov_error_text(error, reason, sizeof(reason));
        (void) snprintf(text, sizeof(text), "The driver %s of %s (%s) %s the %s of virtual function %u (%s): %s%s%s", driver_of(c),
                        c->path.pf, c->path.interface, what, sriov_attribute_words(c->attribute), c->path.number,
                        c->device->sysname, reason, why ? "; " : "", strempty(why));
        return fail(c, error, text);
}

static int no_interface(Call *c) {
        char text[TEXT_SIZE];

        (void) snprintf(text, sizeof(text),
                        "The physical function %s (driver %s) has no network interface here, so the %s of %s cannot be set: the "
                        "interface may be in another network namespace",
                        c->path.pf, driver_of(c), sriov_attribute_words(c->attribute), c->device->sysname);
        return fail(c, -ENONET, text);
}

/* 0: ready. 1: nothing is to be done, as nobody asked for what cannot be reached. */
static int begin(Call *c, PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char text[TEXT_SIZE];
        int r;

        *c = (Call) { .ctx = ctx, .device = device, .attribute = sriov_attribute_from_step(step->name) };
        if (c->attribute == _SRIOV_ATTRIBUTE_MAX || sriov_vf_from_text(strempty(step->value), &c->wanted) < 0)
                return fail(c, -EINVAL, "The step cannot be read: it is of another version of the module.");
        c->keys = sriov_attribute_keys(c->attribute);
        c->if_offered = strstr(strempty(step->value), " if-offered");
        /* An interface that went elsewhere between the two is no function that is gone. */
        for (int i = 0; i < FIND_ATTEMPTS; i++) {
                r = sriov_path_find(ctx, device, &c->path);
                if (r < 0)
                        break;
                r = sriov_netlink()->read(&c->path, &c->now);
                if (r != -ENODEV)
                        break;
        }
        if (r == -ENONET && !c->if_offered)
                return no_interface(c);
        if (r == -ENONET)
                return 1;
        if (r == -ENODEV) {
                (void) snprintf(text, sizeof(text), "%s or its physical function is gone", device->sysname);
                return fail(c, r, text);
        }
        if (r == -ENOENT && c->if_offered)
                return 1;
        if (r < 0)
                return refuse(c, r, "does not state", NULL);
        return 0;
}

/* Packets to an address that two have reach one of them. */
static int foresee_address(Call *c) {
        const SriovVf *w = &c->wanted;
        char text[TEXT_SIZE], owner[128];
        int r;

        if (c->attribute != SRIOV_ATTRIBUTE_MAC || !sriov_vf_knows(w, SRIOV_KEY_MAC) || w->value[SRIOV_KEY_MAC] == 0)
                return 0;
        r = sriov_netlink()->find_mac(&c->path, w->value[SRIOV_KEY_MAC], owner, sizeof(owner));
        if (r <= 0)
                return r;
        sriov_value_to_text(SRIOV_KEY_MAC, w->value[SRIOV_KEY_MAC], text, sizeof(text));
        (void) snprintf(text + strlen(text), sizeof(text) - strlen(text),
                        " is the MAC address of %s already: what is sent to it would reach one of the two", owner);
        return fail(c, -EADDRINUSE, text);
}

/* What the driver will refuse, with a reason that it does not give. Nothing has been changed yet. */
static int foresee(Call *c) {
        const SriovVf *w = &c->wanted;
        char text[TEXT_SIZE];

        if (c->attribute == SRIOV_ATTRIBUTE_RATE && c->path.speed > 0 && sriov_vf_knows(w, SRIOV_KEY_MAX_RATE) &&
            w->value[SRIOV_KEY_MAX_RATE] > c->path.speed) {
                (void) snprintf(text, sizeof(text), "The rate of %u Mbit/s is above the speed of the link of %s (%s), %u Mbit/s",
                                (unsigned) w->value[SRIOV_KEY_MAX_RATE], c->path.interface, c->path.pf, c->path.speed);
                return fail(c, -ERANGE, text);
        }
        return foresee_address(c);
}

int sriov_setting_observe(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char text[SRIOV_TEXT_SIZE];
        Call c;
        int r = begin(&c, ctx, device, step);

        if (r == 0)
                r = foresee(&c);
        if (r < 0)
                return r;
        sriov_vf_to_text(&c.now, c.keys, text);
        return ctx->services->put_observed(ctx, r > 0 && isempty(c.path.interface) ? UNREACHED : text);
}

/* Making functions resets the card, and its link comes back seconds later: igb and ixgbe take no rate until then. */
static bool waits_for_link(const Call *c, int error) {
        return error == -EINVAL && c->attribute == SRIOV_ATTRIBUTE_RATE && c->path.pf_is_up && c->path.speed == 0;
}

static int write_with_patience(Call *c, const SriovVf *values) {
        int r = -EAGAIN;

        for (int i = 0; i < RETRY_ATTEMPTS; i++) {
                r = sriov_driver_error(sriov_netlink()->write(&c->path, c->attribute, values));
                if (r != -EAGAIN && r != -EBUSY && !waits_for_link(c, r))
                        return r;
                pause_msec(RETRY_MSEC);
                (void) sriov_path_find(c->ctx, c->device, &c->path);
        }
        return r;
}

/* Why this one was refused, as far as the host shows it. */
static const char *guess(const Call *c, int error) {
        if (error == -EAGAIN || error == -EBUSY)
                return "the function was not ready for ten seconds";
        if (error == -EPROTONOSUPPORT)
                return "the driver takes no VLAN of this protocol";
        if (c->attribute == SRIOV_ATTRIBUTE_RATE && error == -EINVAL && c->path.speed == 0)
                return "the link is down, and the driver may need one to know the highest rate";
        if (c->attribute == SRIOV_ATTRIBUTE_RATE && error == -EINVAL && c->wanted.value[SRIOV_KEY_MIN_RATE] > 0)
                return "many drivers guarantee no rate (min-rate)";
        return NULL;
}

/* Makes the function as `target` says, which knows all keys of the attribute, and reads it back. */
static int apply(Call *c, const SriovVf *target) {
        char want[SRIOV_TEXT_SIZE], is[SRIOV_TEXT_SIZE], what[SRIOV_TEXT_SIZE + 64], text[TEXT_SIZE];
        SriovVf reported;
        int r;

        if (sriov_vf_agrees(&c->now, target, c->keys))
                return 0;
        sriov_vf_to_text(target, c->keys, want);
        r = write_with_patience(c, target);
        if (r < 0) {
                (void) snprintf(what, sizeof(what), "refuses %s for", want);
                return refuse(c, r, what, guess(c, r));
        }
        for (int i = 0; i < READ_BACK_ATTEMPTS; i++) {
                r = sriov_netlink()->read(&c->path, &c->now);
                if (r < 0)
                        return refuse(c, r, "does not state", NULL);
                /* What a driver does not report can't be compared: it took it, and that is all there is to know. */
                reported = *target;
                reported.known &= c->now.known;
                if (sriov_vf_agrees(&c->now, &reported, c->keys))
                        return 0;
                pause_msec(RETRY_MSEC);
        }
        sriov_vf_to_text(&c->now, c->keys, is);
        (void) snprintf(text, sizeof(text),
                        "The driver %s of %s (%s) took %s for the %s of virtual function %u (%s) and did not apply it: it reads %s",
                        driver_of(c), c->path.pf, c->path.interface, want, sriov_attribute_words(c->attribute), c->path.number,
                        c->device->sysname, is);
        return fail(c, -EIO, text);
}

/* What a function has that nobody has set: for keys of an attribute that the driver does not report. */
static uint64_t fresh(SriovKey key) {
        return key == SRIOV_KEY_PROTOCOL ? SRIOV_PROTOCOL_8021Q : key == SRIOV_KEY_SPOOF_CHECK ? 1 : 0;
}

static void complete(Call *c, const SriovVf *base, SriovVf *target) {
        for (unsigned k = 0; k < _SRIOV_KEY_MAX; k++)
                if (c->keys & UINT32_C(1) << k && !sriov_vf_knows(target, k))
                        sriov_vf_set(target, k, sriov_vf_knows(base, k) ? base->value[k] : fresh(k));
}

int sriov_setting_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        SriovVf target;
        Call c;
        int r = begin(&c, ctx, device, step);

        if (r != 0)
                return r < 0 ? r : 0;
        if (sriov_vf_agrees(&c.now, &c.wanted, c.keys))
                return 0;
        target = c.wanted;
        complete(&c, &c.now, &target);
        r = apply(&c, &target);
        if (r == -EOPNOTSUPP && c.if_offered) {
                ctx->services->set_error(ctx, "");
                return 0;
        }
        /* Somebody else may have taken the address at the same time: then neither keeps it. */
        return r < 0 ? r : foresee_address(&c);
}

/* Several drivers take no zero address back. One that nobody has, and that says so, is as good. */
static int restore_zero_mac(Call *c, SriovVf *target) {
        int r = apply(c, target);

        if (r != -EINVAL && r != -EADDRNOTAVAIL)
                return r;
        sriov_vf_set(target, SRIOV_KEY_MAC, UINT64_C(0x020000000000));
        c->ctx->services->log(c->ctx, 5, "the driver takes no empty MAC address back: the function gets 02:00:00:00:00:00");
        return apply(c, target);
}

int sriov_setting_undo(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        bool unreached = streq_null(observed, UNREACHED);
        SriovVf target = { 0 };
        Call c;
        int r = begin(&c, ctx, device, step);

        /* With the function its settings are gone. */
        if (r == -ENODEV)
                return 0;
        /* What was set must not be the next one's, also where nobody had asked for it. */
        if (r > 0)
                return isempty(c.path.interface) && !isempty(observed) && !unreached ? no_interface(&c) : 0;
        if (r < 0)
                return r;
        /* What whoever had the interface meanwhile has set is theirs; unless it came back a moment before the step set it. */
        if (unreached && !sriov_vf_agrees(&c.now, &c.wanted, c.keys))
                return 0;
        if (sriov_vf_from_text(observed, &target) < 0)
                return fail(&c, -EBADMSG, "The record of the settings that were found cannot be read: nothing was restored");
        complete(&c, &(SriovVf) { 0 }, &target);
        if (c.attribute == SRIOV_ATTRIBUTE_MAC && target.value[SRIOV_KEY_MAC] == 0)
                return restore_zero_mac(&c, &target);
        r = apply(&c, &target);
        /* It never had such an attribute, and nothing was changed. */
        return r == -EOPNOTSUPP ? 0 : r;
}
