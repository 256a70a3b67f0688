/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Everything that somebody who helps from afar would ask for, as one JSON document: versions, configuration, modules, devices
 * with their fields, groups, rules, allocations, jobs, history, the last lines of the log. Serial numbers, MAC addresses and
 * whatever else the types mark as such are taken out of all of it unless `full`. Labels of consumers stay. */

#include "manager.h"

/* `fd`: of a memory file, borrowed; negative on failure. */
typedef void (*ReportDone)(void *userdata, int result, int fd, const Fault *fault);
/* Worked off in slices; `done` is called later, or not at all when this fails. */
int support_report(Manager *m, bool full, ReportDone done, void *userdata, Fault *fault);
/* At the end of the service: before the store is closed, and after. */
void support_reports_answer(Manager *m);
void support_reports_free(Manager *m);
