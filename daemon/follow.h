/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Devices that vanish while a consumer has them, of types whose devices may come back (PT_TYPE_FOLLOWS): after a reset, with
 * other firmware, or plugged in again. The allocation is "following" meanwhile and keeps its resource keys; when its module
 * says that a device which appears is the one, op-follow.c makes it ready again. When the time is over (the setting
 * "follow-time") the allocation is lost.
 *
 * Which devices are away is part of the allocation's progress record, so that a service that starts anew goes on waiting. */

#include "operation.h"

typedef struct Follow Follow;

Follow *follow_free(Follow *follow);
/* Notes with the request's last device how to recognise it, and what it occupies. */
int follow_remember(Manager *m, Device *device, Request *request, Fault *fault);
/* The host device vanished. False when it is not followed: then it is lost. */
bool follow_begin(Manager *m, Allocation *a, const char *host);
/* A device appeared, or something about it changed. */
void follow_device_seen(Manager *m, Device *device);
/* At the start of the service: an active or following allocation, some of whose devices may be away, or were enumerated anew. */
void follow_resume(Manager *m, Allocation *a);
/* [id…] for the progress record. */
json_t *follow_away(const Follow *follow);

/* For op-follow.c. */
AssignedDevice *follow_find(Allocation *a, const char *device, Request **ret_request);
/* It is called `device` from now on, and its steps are under way. */
void follow_renamed(Allocation *a, const char *former, const char *device);
/* The operation has ended: the device is back, or it is waited for again. False when others are still away. */
bool follow_settled(Allocation *a, const char *device, bool back);
/* Whether it vanished again since its steps began. */
bool follow_vanished_again(const Allocation *a, const char *device);

/* op-follow.c: makes `device` ready, which `former` came back as. */
int operation_follow(Manager *m, Allocation *a, const char *former, const char *device, Fault *fault);
