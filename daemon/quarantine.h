/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Quarantine: a device that did not come back clean, or that an administrator distrusts, is kept from everybody until somebody
 * says otherwise, or until it is probed again and found sound.
 *
 * An entry belongs to a place and to what was there: when another device is plugged at the place, the entry waits for the old
 * one and does not apply. It is stored, and so outlives a restart and the device. Entries are the Manager's; whether one
 * applies shows in Device.quarantine, the reason with its circumstances. */

#include "manager.h"
#include "probe.h"

typedef struct QuarantineSpec {
        const char *device;     /* id of the host device */
        const char *reason;     /* one sentence */
        const char *note;       /* what its module noted before it was handed out, for another probe; NULL for none */
        const Allocation *allocation; /* whose give-back showed it; NULL for none */
        const char *verb;       /* "reset" …: what showed it where there was no allocation; NULL: put in by hand */
        uid_t uid;              /* who put it in, or whose operation showed it */
} QuarantineSpec;

/* Loads the stored entries; before the inventory is filled. */
int quarantine_load(Manager *m, Fault *fault);
void quarantine_free(Manager *m);
/* A device appeared, or more is known of it: decides whether the entry of its place applies. */
void quarantine_apply(Manager *m, Device *device);
/* Adds the entries to the transaction that makes them last; they apply when quarantine_enter() is called after the commit. */
int quarantine_store(Manager *m, StoreTxn *txn, const QuarantineSpec *spec);
int quarantine_enter(Manager *m, const QuarantineSpec *spec);
/* Why the device is in none though its place has an entry, and what its last probe had to say. */
void quarantine_explain(Manager *m, const Device *device, FindingList *ret);
