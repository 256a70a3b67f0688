/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "manager.h"

/* Loads allocations, claims and step records; groups and rules are there already. */
int reconcile_load(Manager *m, Fault *fault);
/* After the devices were scanned: starts what has to be undone or finished, counted in m->reconciling. */
void reconcile_start(Manager *m);
