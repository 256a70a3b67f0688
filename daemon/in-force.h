/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The settings that an allocation was activated with, whatever its group and its consumer want by now. */

#include "manager.h"

/* As plan_request_for(), with the settings that the allocation was activated with, which is what its guest runs with. */
int plan_request_in_force(Manager *m, const Allocation *allocation, const Request *request, PtVerb verb,
                          SettingValues *settings, PlanRequest *ret, Fault *fault);
/* Notes the settings of all requests as those in force; record_progress() keeps them over a restart. */
int allocation_note_settings(Manager *m, Allocation *allocation, Fault *fault);
/* All settings of a request as they are in force, defaults included: {name: value}; NULL while it is not active. */
json_t *request_in_force_to_json(Manager *m, const Allocation *allocation, const Request *request);
