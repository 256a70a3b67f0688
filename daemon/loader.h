/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Loads the modules and keeps what is known of each, also of those that were refused. dlopen() is called here only. */

#include <passthroughd/module.h>

#include "breadcrumb.h"

typedef enum ModuleState {
        MODULE_LOADED,
        MODULE_REFUSED,
        _MODULE_STATE_MAX,
} ModuleState;
DECLARE_STRING_TABLE(module_state, ModuleState); /* "loaded", "refused" */

typedef struct Module {
        char *name;                 /* type name; the file's stem where the descriptor could not be read */
        char *file;                 /* file name inside the module directory */
        ModuleState state;
        char *reason;               /* why it was refused; NULL when loaded */
        const PtModule *descriptor; /* NULL when refused */
        void *handle;
        size_t n_fields;
        struct Module *next;        /* by name */
} Module;

typedef struct Loader Loader;

/* `directory`: absolute. A missing one is no error: there are no modules then. Files must be regular, owned by root (or by
 * the user of this process) and not writable by group or others. What the breadcrumb refuses is not loaded, and loading leaves
 * its mark there: by the stem of the file, as long as the type is not known. It may be NULL (tests) and stays the caller's.
 * Never fails because of one module. */
int loader_new(const char *directory, Breadcrumb *breadcrumb, Loader **ret);
Loader *loader_free(Loader *loader);
DEFINE_CLEANUP(Loader *, loader_free)

const char *loader_directory(const Loader *loader);
Module *loader_first(Loader *loader); /* iterate with ->next */
Module *loader_find(Loader *loader, const char *name);
/* Whether the module wants to see the host device: evaluates its filters. */
struct HostDevice;
bool module_wants(const Module *module, const struct HostDevice *host);
