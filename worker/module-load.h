/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The modules that this process has loaded. A module stays loaded until the process ends: its tables are
 * referred to by values that outlive a request, and a process lives for one job or two. */

#include <passthroughd/module.h>

#include "lib/fault.h"

typedef struct LoadedModule LoadedModule;

typedef struct ModuleSet {
        LoadedModule *first;
} ModuleSet;

/* Loads the object `file` (a name, never a path) of the directory, or returns the one loaded before. Refused
 * with a reason: a file or directory that anybody but root can write, another ABI, a descriptor with
 * holes. */
int module_set_get(ModuleSet *set, const char *directory, const char *file, const PtModule **ret,
                   Fault *fault);
/* Forgets the modules without unloading them. */
void module_set_done(ModuleSet *set);

const PtCustomStep *module_find_custom_step(const PtModule *module, const char *name);
