/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Quarantine: a device that did not come back clean is kept from everybody until an administrator says otherwise. */

#include <stdio.h>

#include "log.h"
#include "pending.h"
#include "operation.h"

static void on_cleared(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        Device *device = inventory_find(p->m->inventory, p->owner);

        if (result >= 0 && device) {
                free(device->quarantine);
                device->quarantine = NULL;
                log_message(LOG_NOTICE, LOG_EVENT_QUARANTINE, log_fields("DEVICE", device->id),
                            "the quarantine of %s was lifted", device->id);
                manager_changed(p->m, OBJECT_DEVICE, device->id, "State");
                manager_changed(p->m, OBJECT_DEVICE, device->id, "Blockers");
                manager_changed(p->m, OBJECT_DEVICE, device->id, "Allocatable");
                for (size_t i = 0; device->groups && device->groups[i]; i++)
                        manager_changed(p->m, OBJECT_GROUP, device->groups[i]->id, "Available");
                manager_kick(p->m);
        }
        pending_finish(p, result, fault, p->owner);
}

int manager_clear_quarantine(Manager *m, const Caller *caller, Device *device, OpDone done, void *userdata, Fault *fault) {
        if (!device->quarantine)
                return fault_set_object(fault, -EALREADY, FAULT_WRONG_STATE, device->id, "%s is not in quarantine",
                                        device->id);

        Pending *p = pending_new(m, done, userdata);
        if (!p)
                return fault_oom(fault);
        snprintf(p->owner, sizeof(p->owner), "%s", device->id);
        return pending_remove(p, TABLE_QUARANTINE, device->id, _STORE_TABLE_MAX, on_cleared, fault);
}
