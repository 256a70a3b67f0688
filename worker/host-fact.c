/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-fact.h"

#include <limits.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "job.h"

/* The units of the IOMMU, "dmar0 dmar1", in the order of their names. */
typedef struct UnitList {
        char *names[64];
        size_t n_names;
} UnitList;

static void add_unit(void *userdata, const char *entry) {
        UnitList *list = userdata;

        if (list->n_names < ELEMENTSOF(list->names)) {
                list->names[list->n_names] = strdup(entry);
                list->n_names += list->names[list->n_names] != NULL;
        }
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static json_t *iommu_fact(const Sysfs *sysfs) {
        UnitList list = {};
        char text[1024] = "";
        size_t used = 0;

        (void) sysfs_list(sysfs, "/sys/class/iommu", add_unit, &list);
        qsort(list.names, list.n_names, sizeof(list.names[0]), compare_names);
        for (size_t i = 0; i < list.n_names; i++) {
                size_t n = strlen(list.names[i]);

                if (used + n + 2 <= sizeof(text)) {
                        if (used > 0)
                                text[used++] = ' ';
                        memcpy(text + used, list.names[i], n + 1);
                        used += n;
                }
                free(list.names[i]);
        }

        return json_string(used > 0 ? text : "none");
}

static json_t *driver_fact(const Sysfs *sysfs, const char *bus_and_name) {
        const char *colon = strchr(bus_and_name, ':');
        _cleanup_free_ char *bus = colon ? strndup(bus_and_name, (size_t) (colon - bus_and_name)) : NULL;
        char path[sizeof("/sys/bus//drivers/") + 2 * NAME_MAX];

        if (!bus || !entry_name_is_valid(bus) || !entry_name_is_valid(colon + 1))
                return json_null();
        (void) snprintf(path, sizeof(path), "/sys/bus/%s/drivers/%s", bus, colon + 1);

        return sysfs_exists(sysfs, path) ? json_string("registered") : json_null();
}

/* Names of kernel modules mean the same with '-' and '_'. */
static bool module_name_equal(const char *a, size_t n, const char *b) {
        if (strlen(b) != n)
                return false;
        for (size_t i = 0; i < n; i++)
                if (a[i] != b[i] && !((a[i] == '-' || a[i] == '_') && (b[i] == '-' || b[i] == '_')))
                        return false;

        return true;
}

/* Lines begin "kernel/drivers/vfio/pci/vfio-pci.ko.xz:"; modules.builtin has them without the colon. */
static bool file_lists_module(const Sysfs *sysfs, const char *file, const char *name) {
        char path[sizeof("lib/modules//modules.builtin") + sizeof(((struct utsname *) NULL)->release)];
        _cleanup_free_ char *line = NULL;
        struct utsname kernel;
        size_t allocated = 0;
        bool found = false;
        FILE *stream;
        int fd;

        if (uname(&kernel) < 0)
                return false;
        (void) snprintf(path, sizeof(path), "lib/modules/%s/%s", kernel.release, file);
        fd = openat(sysfs->root_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        stream = fdopen(fd, "r");
        if (!stream) {
                (void) close(fd);
                return false;
        }

        while (!found && getline(&line, &allocated, stream) > 0) {
                const char *base, *end;

                line[strcspn(line, ":\n")] = '\0';
                base = strrchr(line, '/');
                base = base ? base + 1 : line;
                end = strstr(base, ".ko");
                found = end && module_name_equal(base, (size_t) (end - base), name);
        }

        (void) fclose(stream);
        return found;
}

static json_t *module_fact(const Sysfs *sysfs, const char *name) {
        char path[sizeof("/sys/module/") + NAME_MAX];

        if (!entry_name_is_valid(name))
                return json_null();
        (void) snprintf(path, sizeof(path), "/sys/module/%s", name);
        for (char *p = path + strlen("/sys/module/"); *p; p++)
                if (*p == '-')
                        *p = '_';

        if (sysfs_exists(sysfs, path))
                return json_string("loaded");
        if (file_lists_module(sysfs, "modules.builtin", name))
                return json_string("built-in");
        if (file_lists_module(sysfs, "modules.dep", name))
                return json_string("loadable");

        return json_null();
}

json_t *host_fact(const Sysfs *sysfs, const char *name) {
        struct utsname kernel;
        const char *rest;

        if (streq(name, "iommu"))
                return iommu_fact(sysfs);
        if (streq(name, "kernel"))
                return uname(&kernel) < 0 ? json_null() : json_string(kernel.release);
        if ((rest = startswith(name, "driver:")))
                return driver_fact(sysfs, rest);
        if ((rest = startswith(name, "module:")))
                return module_fact(sysfs, rest);

        return json_null();
}
