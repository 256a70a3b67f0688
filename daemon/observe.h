/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Slow fields: read by a worker in observer mode, several devices a run, once somebody asks. */

#include "manager.h"

/* Has the device's slow fields read. `done` (may be NULL) is called when they are known or could not be read; at once when
 * they are known already. */
void observe_device(Manager *m, Device *device, void (*done)(void *userdata), void *userdata);
/* The same, whether or not they are known; what is being read already does not count. */
void observe_fresh(Manager *m, Device *device);
/* What was read with another driver may be something else now: the kernel knows the serial number of a disk only with the
 * disk's own driver. What was read stays until then. Not while a VFIO driver has the device: it may be in a guest's hands. */
void observe_again(Manager *m, Device *device);
/* Something was done to the allocation's devices: their fields that follow that (PT_FIELD_FOLLOWED) are read again, if they were read
 * before. What a driver offers changes with what was made of a device's relatives: those that have a blob are read again, too. */
void observe_family(Manager *m, const Allocation *allocation);
/* What modules go by of the group's free members is read again, and of their providers: somebody else may have changed what they
 * offer, of which no event tells. How many there are. */
size_t observe_members(Manager *m, const Group *group);
/* Has the slow fields of those who provide the group's members read, where that was never done: modules may decide by them. `done`
 * (may be NULL) comes once for each, which is counted in `waiting` before. How many they are. */
size_t observe_providers(Manager *m, const Group *group, size_t *waiting, void (*done)(void *userdata), void *userdata);
/* What was made of it differs. */
void observe_provider_changed(Manager *m, Device *provider);
/* The device is about to go. */
void observe_forget(Manager *m, Device *device);
void observe_free(Manager *m);
/* Whether something is being read or waits for it. manager_settle() is told when that ends. */
bool observe_is_busy(const Manager *m);
