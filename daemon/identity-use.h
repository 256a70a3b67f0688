/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What allocations record of the devices that they use (identity.h), and how such a record is completed.
 *
 * A device's own numbers are slow to read, and often nobody has read them before its first consumer gives it back: what was
 * recorded until then says where it stands and of which model it is. A record that lacks them is a wish of the device, not of
 * whoever reads it at the time: `Device.unrecorded` names the allocations. It ends with the Device, so that whoever stands at
 * the place later is not taken for it, and is granted whenever something more of the device is known, whoever had it read; an
 * allocation that a job or an edit is about to write gets it when that has ended. A reading that failed is tried again, a few
 * times, while there is such a wish. */

#include "manager.h"

/* Records the devices of the allocation as they are now, and forgets those that it does not name any more. */
int identity_note_use(Manager *m, Allocation *allocation);
/* The devices that the allocation used were given back a moment ago, so that they are the same ones: what is not known of
 * them is read, and recorded once it is. */
void identity_complete_use(Manager *m, const Allocation *allocation);
/* The owner takes the devices that are there now: forgets the records that differ; the sentence for the history is NULL when
 * none does. */
int identity_accept_use(Manager *m, Allocation *allocation, char **ret_text);

/* A job or an edit of the allocation has ended. */
void identity_resume_use(Manager *m, Allocation *allocation);
/* observe.c: more is known of the device now (it may be being read again already), or it could not be read. */
void identity_device_read(Manager *m, Device *device);
void identity_reading_failed(Manager *m, Device *device);
void identity_uses_free(Manager *m);
