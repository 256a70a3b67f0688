/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module-load.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/limits.h"
#include "lib/schema.h"

struct LoadedModule {
        LoadedModule *next;
        char *path;
        PtModule module;
};

static bool is_file_name(const char *file) {
        return !isempty(file) && strlen(file) <= NAME_MAX && !strchr(file, '/') && !streq(file, ".") &&
               !streq(file, "..");
}

/* What root alone can change cannot be exchanged between this check and dlopen(). */
static int check_owner(const char *path, const struct stat *st, Fault *fault) {
        if (st->st_uid != 0)
                return fault_set(fault, -EPERM, FAULT_MODULE_MISSING,
                                 "%s belongs to user %u and not to root", path, (unsigned) st->st_uid);
        if (st->st_mode & (S_IWGRP | S_IWOTH))
                return fault_set(fault, -EPERM, FAULT_MODULE_MISSING,
                                 "%s can be written by others than root", path);

        return 0;
}

static int check_file(const char *directory, const char *file, const char *path, Fault *fault) {
        _cleanup_close_ int directory_fd = -EBADF;
        struct stat st;
        int r;

        directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (directory_fd < 0) {
                r = -errno;
                return fault_set(fault, r, FAULT_MODULE_MISSING, "Cannot open the module directory %s: %s",
                                 directory, strerrordesc_np(-r));
        }
        if (fstat(directory_fd, &st) < 0)
                return -errno;
        r = check_owner(directory, &st, fault);
        if (r < 0)
                return r;

        if (fstatat(directory_fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                r = -errno;
                return fault_set(fault, r, FAULT_MODULE_MISSING, "Cannot find the module %s: %s", path,
                                 strerrordesc_np(-r));
        }
        if (!S_ISREG(st.st_mode))
                return fault_set(fault, -EINVAL, FAULT_MODULE_MISSING, "%s is no regular file", path);

        return check_owner(path, &st, fault);
}

static int check_descriptor(const PtModule *module, const char *path, Fault *fault) {
        _cleanup_fault_ Fault cause = {};

        if (!module)
                return fault_set(fault, -ENOEXEC, FAULT_MODULE_MISSING, "%s returns no descriptor", path);
        if (module->abi_major != PT_ABI_MAJOR || module->abi_minor > PT_ABI_MINOR)
                return fault_set(
                        fault, -ENOEXEC, FAULT_MODULE_MISSING,
                        "%s was built for version %u.%u of the module interface; this worker offers %u.%u",
                        path, module->abi_major, module->abi_minor, PT_ABI_MAJOR, PT_ABI_MINOR);
        if (module->struct_size < PT_MODULE_SIZE_1_0)
                return fault_set(fault, -ENOEXEC, FAULT_MODULE_MISSING,
                                 "The descriptor of %s is %u bytes long; version %u.0 has %zu", path,
                                 module->struct_size, PT_ABI_MAJOR, PT_MODULE_SIZE_1_0);
        if (!module->fields || !module->describe || schema_count_fields(module->fields) > FIELDS_MAX)
                return fault_set(
                        fault, -ENOEXEC, FAULT_MODULE_MISSING,
                        "The descriptor of %s lacks its fields or describe(), or has more than %u fields",
                        path, FIELDS_MAX);
        if (schema_check_helpers(module, &cause) < 0)
                return fault_set(fault, -ENOEXEC, FAULT_MODULE_MISSING, "%s: %s", path, cause.message);

        return 0;
}

static int open_module(const char *path, const PtModule **ret, Fault *fault) {
        PtModuleEntry entry;
        void *handle;
        int r;

        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!handle)
                return fault_set(fault, -ENOEXEC, FAULT_MODULE_MISSING, "Cannot load the module: %s",
                                 dlerror());

        entry = (PtModuleEntry) dlsym(handle, PT_MODULE_ENTRY);
        if (!entry) {
                (void) dlclose(handle);
                return fault_set(fault, -ENOEXEC, FAULT_MODULE_MISSING, "%s does not export %s()", path,
                                 PT_MODULE_ENTRY);
        }

        r = check_descriptor(entry(), path, fault);
        if (r < 0) {
                (void) dlclose(handle);
                return r;
        }

        *ret = entry();
        return 0;
}

int module_set_get(ModuleSet *set, const char *directory, const char *file, const PtModule **ret,
                   Fault *fault) {
        _cleanup_free_ char *path = NULL;
        const PtModule *module = NULL;
        LoadedModule *loaded;
        int r;

        if (isempty(directory) || directory[0] != '/')
                return fault_set(fault, -EINVAL, FAULT_MODULE_MISSING,
                                 "The module directory \"%s\" is no absolute path", strempty(directory));
        if (!is_file_name(file))
                return fault_set(fault, -EINVAL, FAULT_MODULE_MISSING,
                                 "\"%s\" is not the name of a module's file", strempty(file));
        if (asprintf(&path, "%s/%s", directory, file) < 0)
                return fault_oom(fault);

        for (loaded = set->first; loaded; loaded = loaded->next)
                if (streq(loaded->path, path)) {
                        *ret = &loaded->module;
                        return 0;
                }

        r = check_file(directory, file, path, fault);
        if (r < 0)
                return r;
        loaded = calloc(1, sizeof(*loaded));
        if (!loaded)
                return fault_oom(fault);
        r = open_module(path, &module, fault);
        if (r < 0) {
                free(loaded);
                return r;
        }

        *loaded = (LoadedModule){ .next = set->first, .path = TAKE_PTR(path) };
        /* What its version of the structure has; what came later stays zero. */
        memcpy(&loaded->module, module, MIN_OF((size_t) module->struct_size, sizeof(loaded->module)));
        set->first = loaded;
        *ret = &loaded->module;
        return 0;
}

void module_set_done(ModuleSet *set) {
        while (set->first) {
                LoadedModule *loaded = set->first;

                set->first = loaded->next;
                free(loaded->path);
                free(loaded);
        }
}

const PtCustomStep *module_find_custom_step(const PtModule *module, const char *name) {
        for (const PtCustomStep *step = module->custom_steps; step && step->name; step++)
                if (streq_null(step->name, name))
                        return step;

        return NULL;
}
