/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verbs that change layouts of providers, for the table of plan-verbs.c. */

#include "planning.h"

int plan_provision(Planning *p, const char *object, Fault *fault);
int plan_unprovision(Planning *p, const char *object, Fault *fault);
/* What happens to the providers when the group goes; `ret_any`: something does. */
int plan_unprovision_group(Planning *p, const Group *group, bool *ret_any, Fault *fault);
