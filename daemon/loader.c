/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "host-device.h"
#include "lib/id.h"
#include "lib/parse.h"
#include "lib/schema.h"
#include "loader.h"

static const char *const states[] = {
        [MODULE_LOADED] = "loaded",
        [MODULE_REFUSED] = "refused",
};
DEFINE_STRING_TABLE(module_state, ModuleState, states)

struct Loader {
        char *directory;
        Breadcrumb *breadcrumb; /* borrowed; NULL for none */
        Module *modules;
};

static Module *module_free(Module *module) {
        if (!module)
                return NULL;

        free((PtModule *) module->descriptor);
        if (module->handle)
                (void) dlclose(module->handle);
        free(module->name);
        free(module->file);
        free(module->reason);
        free(module);
        return NULL;
}
DEFINE_CLEANUP(Module *, module_free)

Loader *loader_free(Loader *loader) {
        if (!loader)
                return NULL;

        while (loader->modules) {
                Module *next = loader->modules->next;

                module_free(loader->modules);
                loader->modules = next;
        }
        free(loader->directory);
        free(loader);
        return NULL;
}

/* ---- whether a file may be loaded ---- */

static int check_owner(const struct stat *st, const char *what, Fault *fault) {
        if (st->st_uid != 0 && st->st_uid != geteuid())
                return fault_set(fault, -EPERM, FAULT_INVALID_ARGUMENT, "%s belongs to user %u, not to root",
                                 what, (unsigned) st->st_uid);
        if (st->st_mode & (S_IWGRP | S_IWOTH))
                return fault_set(fault, -EPERM, FAULT_INVALID_ARGUMENT,
                                 "%s may be written by others than its owner (mode %04o)", what,
                                 (unsigned) st->st_mode & 07777);
        return 0;
}

static int check_file(int directory_fd, const char *file, Fault *fault) {
        struct stat st;

        if (fstatat(directory_fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return fault_set(fault, -errno, FAULT_INVALID_ARGUMENT, "The file cannot be looked at: %m");
        if (!S_ISREG(st.st_mode))
                return fault_set(fault, -EPERM, FAULT_INVALID_ARGUMENT, "The file is not a regular file");
        return check_owner(&st, "The file", fault);
}

/* ---- whether a descriptor can be used ---- */

#define REFUSE(fault, ...) fault_set((fault), -EINVAL, FAULT_INVALID_ARGUMENT, __VA_ARGS__)

static int check_version(const PtModule *descriptor, Fault *fault) {
        /* Only these three numbers have their place in every version there will be. */
        if (descriptor->abi_major != PT_ABI_MAJOR)
                return REFUSE(fault,
                              "It was built for version %" PRIu32
                              " of the module interface, the service has %u",
                              descriptor->abi_major, PT_ABI_MAJOR);
        if (descriptor->abi_minor > PT_ABI_MINOR)
                return REFUSE(fault,
                              "It needs version %u.%" PRIu32
                              " of the module interface, the service has %u.%u",
                              PT_ABI_MAJOR, descriptor->abi_minor, PT_ABI_MAJOR, PT_ABI_MINOR);
        if (descriptor->struct_size < PT_MODULE_SIZE_1_0)
                return REFUSE(fault, "Its descriptor has %" PRIu32 " bytes instead of %zu",
                              descriptor->struct_size, PT_MODULE_SIZE_1_0);
        return 0;
}

static int check_texts(const PtModule *d, Fault *fault) {
        const struct {
                const char *name, *text;
                bool optional;
        } texts[] = {
                { "title", d->title, false },
                { "version", d->version, false },
                { "documentation", d->documentation, false },
                { "default class", d->default_class, false },
                { "sentence on the guest's driver", d->guest_driver, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                if (isempty(texts[i].text) && !texts[i].optional)
                        return REFUSE(fault, "Its descriptor has no %s", texts[i].name);
                if (texts[i].text && !text_is_clean(texts[i].text, TEXT_MAX_BYTES))
                        return REFUSE(fault, "Its %s is too long or not clean text", texts[i].name);
        }
        for (const char *const *u = d->use_cases; u && *u; u++)
                if (!text_is_clean(*u, TEXT_MAX_BYTES))
                        return REFUSE(fault, "A use case is too long or not clean text");
        return 0;
}

static int check_ops(const PtModule *d, Fault *fault) {
        const struct {
                const char *name;
                bool there;
        } required[] = {
                { "describe", d->describe },
                { "uses", d->uses },
                { "plan", d->plan },
                { "guest", d->guest },
        };

        for (size_t i = 0; i < ELEMENTSOF(required); i++)
                if (!required[i].there)
                        return REFUSE(fault, "It has no %s()", required[i].name);
        for (const PtField *f = d->fields; f && f->name; f++)
                if (f->flags & PT_FIELD_SLOW && !d->observe)
                        return REFUSE(fault, "The field %s is slow, but there is no observe()", f->name);
        for (const PtCustomStep *s = d->custom_steps; s && s->name; s++)
                if (!id_is_valid(s->name) || !s->run)
                        return REFUSE(fault, "The custom step \"%.*s\" has no proper name or no run()",
                                      (int) ID_MAX, s->name);
        return 0;
}

static int check_descriptor(const PtModule *d, Fault *fault) {
        int r;

        if (!d->type || !type_name_is_valid(d->type))
                return REFUSE(fault, "Its type name \"%.*s\" is not [a-z][a-z0-9]*, at most %u long",
                              (int) ID_MAX, strempty(d->type), TYPE_NAME_MAX);
        r = check_texts(d, fault);
        if (r < 0)
                return r;
        if (!d->filters || isempty(d->filters[0].subsystem))
                return REFUSE(fault, "It has no filter, so it would never see a device");
        r = schema_check_tables(d->fields, d->settings, fault);
        if (r >= 0)
                r = schema_check_helpers(d, fault);
        if (r < 0)
                return r;
        return check_ops(d, fault);
}

/* ---- loading ---- */

static const char *refused_before(const Loader *loader, const char *name) {
        const char *const *refused, *const *reasons;

        if (!loader->breadcrumb)
                return NULL;
        refused = breadcrumb_refused(loader->breadcrumb);
        reasons = breadcrumb_reasons(loader->breadcrumb);
        for (size_t i = 0; refused[i]; i++)
                if (streq(refused[i], name))
                        return reasons[i];
        return NULL;
}

/* Copies what the module's version of the structure has; what came later stays zero. */
static PtModule *copy_descriptor(const PtModule *descriptor) {
        PtModule *copy;

        copy = calloc(1, sizeof(*copy));
        if (copy)
                memcpy(copy, descriptor, MIN_OF((size_t) descriptor->struct_size, sizeof(*copy)));
        return copy;
}

static int read_descriptor(Module *module, const PtModule **ret, Fault *fault) {
        const PtModule *descriptor;
        void *symbol;

        symbol = dlsym(module->handle, PT_MODULE_ENTRY);
        if (!symbol)
                return REFUSE(fault, "It has no function %s", PT_MODULE_ENTRY);
        descriptor = ((PtModuleEntry) symbol)();
        if (!descriptor)
                return REFUSE(fault, "It has no descriptor");
        *ret = descriptor;
        return check_version(descriptor, fault);
}

static int open_module(Loader *loader, Module *module, const PtModule **ret, Fault *fault) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s", loader->directory, module->file) < 0) {
                path = NULL;
                return fault_oom(fault);
        }
        module->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!module->handle)
                return REFUSE(fault, "It cannot be loaded: %s", dlerror());
        return read_descriptor(module, ret, fault);
}

static int take_name(Module *module, const char *name, Fault *fault) {
        char *copy;

        copy = strdup(name);
        if (!copy)
                return fault_oom(fault);
        free(module->name);
        module->name = copy;
        return 0;
}

static int load(Loader *loader, int directory_fd, Module *module, Fault *fault) {
        const PtModule *descriptor = NULL;
        const char *reason;
        Module *other;
        int r;

        r = check_file(directory_fd, module->file, fault);
        if (r < 0)
                return r;
        reason = refused_before(loader, module->name);
        if (reason)
                return REFUSE(fault, "%s", reason);

        /* Constructors and the entry function are the module's code, too. */
        breadcrumb_enter(loader->breadcrumb, module->name, "load", NULL);
        r = open_module(loader, module, &descriptor, fault);
        breadcrumb_leave(loader->breadcrumb);
        if (r < 0)
                return r;
        r = check_descriptor(descriptor, fault);
        if (r < 0)
                return r;

        other = loader_find(loader, descriptor->type);
        if (other && other->state == MODULE_LOADED)
                return REFUSE(fault, "%s has the type %s already", other->file, descriptor->type);
        r = take_name(module, descriptor->type, fault);
        if (r < 0)
                return r;
        reason = refused_before(loader, module->name);
        if (reason)
                return REFUSE(fault, "%s", reason);

        module->descriptor = copy_descriptor(descriptor);
        if (!module->descriptor)
                return fault_oom(fault);
        module->n_fields = schema_count_fields(descriptor->fields);
        return 0;
}

static void insert_sorted(Loader *loader, Module *module) {
        Module **place = &loader->modules;

        while (*place && strcmp((*place)->name, module->name) <= 0)
                place = &(*place)->next;
        module->next = *place;
        *place = module;
}

static int add_module(Loader *loader, int directory_fd, const char *file) {
        _cleanup_(module_freep) Module *module = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        int r;

        module = calloc(1, sizeof(*module));
        if (!module)
                return -ENOMEM;
        module->file = strdup(file);
        module->name = strndup(file, strlen(file) - strlen(".so"));
        if (!module->file || !module->name)
                return -ENOMEM;

        r = load(loader, directory_fd, module, &fault);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                module->state = MODULE_REFUSED;
                module->reason = TAKE_PTR(fault.message);
                if (module->handle)
                        (void) dlclose(module->handle);
                module->handle = NULL;
        }

        insert_sorted(loader, TAKE_PTR(module));
        return 0;
}

static int is_module_file(const struct dirent *entry) {
        size_t length = strlen(entry->d_name);

        return entry->d_name[0] != '.' && length > strlen(".so") && streq(entry->d_name + length - 3, ".so");
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int check_directory(int directory_fd, const char *path, Fault *fault) {
        struct stat st;

        if (fstat(directory_fd, &st) < 0)
                return fault_set(fault, -errno, FAULT_INTERNAL, "%s cannot be looked at: %m", path);
        return check_owner(&st, "The module directory", fault);
}

/* A directory that others may write to would let them run code as root: then every module in it is
 * refused. */
static int refuse_all(Loader *loader, struct dirent **entries, int n, const char *reason) {
        for (int i = 0; i < n; i++) {
                _cleanup_(module_freep) Module *module = NULL;
                const char *file = entries[i]->d_name;

                module = calloc(1, sizeof(*module));
                if (!module)
                        return -ENOMEM;
                module->state = MODULE_REFUSED;
                module->file = strdup(file);
                module->name = strndup(file, strlen(file) - strlen(".so"));
                module->reason = strdup(reason);
                if (!module->file || !module->name || !module->reason)
                        return -ENOMEM;
                insert_sorted(loader, TAKE_PTR(module));
        }

        return 0;
}

static int load_directory(Loader *loader) {
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_close_ int directory_fd = -EBADF;
        struct dirent **entries;
        int n, r = 0;

        directory_fd = open(loader->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory_fd < 0)
                return errno == ENOENT ? 0 : -errno;
        n = scandirat(directory_fd, ".", &entries, is_module_file, by_bytes);
        if (n < 0)
                return -errno;

        if (check_directory(directory_fd, loader->directory, &fault) < 0)
                r = refuse_all(loader, entries, n, fault.message);
        else
                for (int i = 0; r >= 0 && i < n; i++)
                        r = add_module(loader, directory_fd, entries[i]->d_name);

        for (int i = 0; i < n; i++)
                free(entries[i]);
        free(entries);
        return r;
}

int loader_new(const char *directory, Breadcrumb *breadcrumb, Loader **ret) {
        _cleanup_(loader_freep) Loader *loader = NULL;
        int r;

        if (directory[0] != '/')
                return -EINVAL;
        loader = calloc(1, sizeof(*loader));
        if (!loader)
                return -ENOMEM;
        loader->directory = strdup(directory);
        if (!loader->directory)
                return -ENOMEM;
        loader->breadcrumb = breadcrumb;
        r = load_directory(loader);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(loader);
        return 0;
}

const char *loader_directory(const Loader *loader) {
        return loader->directory;
}

Module *loader_first(Loader *loader) {
        return loader->modules;
}

Module *loader_find(Loader *loader, const char *name) {
        Module *found = NULL;

        /* One that works goes before a refused one of the same name. */
        for (Module *m = loader->modules; m; m = m->next)
                if (streq(m->name, name) && (!found || found->state == MODULE_REFUSED))
                        found = m;
        return found;
}

static bool filter_matches(const PtFilter *filter, const HostDevice *host) {
        if (!streq(filter->subsystem, host->subsystem))
                return false;
        if (filter->devtype && !streq_null(filter->devtype, host->devtype))
                return false;
        if (filter->driver && !streq_null(filter->driver, host->driver))
                return false;
        if (filter->vendor >= 0 && (uint32_t) filter->vendor != host->vendor)
                return false;
        if (filter->class_code >= 0 &&
            ((host->class_code ^ (uint32_t) filter->class_code) & filter->class_mask) != 0)
                return false;
        return true;
}

bool module_wants(const Module *module, const HostDevice *host) {
        if (module->state != MODULE_LOADED)
                return false;
        for (const PtFilter *f = module->descriptor->filters; f->subsystem; f++)
                if (filter_matches(f, host))
                        return true;
        return false;
}
