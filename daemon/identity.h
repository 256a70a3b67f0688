/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which device it was: an id says where a device is, a record says what stood there when somebody decided to use it. A record
 * is kept with rules of MakeResource that go by the place, and in allocations for the devices that they used last or have
 * reserved. Whoever comes to the place later is compared with it, so that a card that was swapped is not handed out as the
 * one before.
 *
 * RECORD: {device, name, kind, strength, condition, breaks, fields: {NAME: text}, strengths: {NAME: number}}; `kind` to
 * `breaks` are of the identity that a rule goes by, and missing in allocations. The strength of a field is that of the
 * weakest identity that names it. Fields that the device does not have, or that nobody has read, are not recorded. */

#include "manager.h"

/* Identities from this strength on are the device's own; those below say where it stands. */
#define IDENTITY_OWN_STRENGTH 80

/* `chosen`: of policy_identify(), or NULL. */
int identity_record(Manager *m, Device *device, json_t *chosen, json_t **ret, Fault *fault);
/* {name, origin, strength, where, identity} of the rule that MakeResource writes for the device: by the strongest identity
 * that is its own now. VolatileIdentity when it has none. */
int identity_rule_body(Manager *m, Device *device, json_t **ret, Fault *fault);
/* From a stored body or a document. */
int identity_check_body(json_t *record, Fault *fault);
/* The place that a rule goes by, NULL when it recognises its device wherever it is. */
const char *identity_place(json_t *record);
/* Whether the device is another one than the recorded: both in one sentence (new memory; may be NULL without memory), and
 * which fields say so, without their values. */
bool identity_differs(json_t *record, const Device *device, char **ret_text, char **ret_fields);
/* Blockers of a device that is another one now: for everybody, by the rules of its groups that go by its place; for one
 * allocation, by what that used last. */
void identity_check_device(Manager *m, Device *device, FindingList *findings);
void identity_check_use(const Allocation *allocation, const Device *device, FindingList *findings);
/* The same for who asks about a group: places of its rules where another device is, member or not. */
void identity_check_group(Manager *m, const Group *group, FindingList *findings);

/* Whether a device that the allocation could get is just being read for such a comparison. That ends by itself, and whoever
 * wants to hand out waits for it: "try again in a moment" is no answer to a guest that is being started. */
bool identity_is_being_read(Manager *m, const Allocation *allocation);
/* Has read what a record needs for the comparison, once the device is there and no guest has it. */
void identity_want(Manager *m, Device *device);
