/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libkmod.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <uthash.h>

#include "host-facts.h"

#define FACT_SIZE 512
#define NAME_SIZE 128

/* Which module registered a driver: asked for every device of it while its module is described. */
typedef struct DriverModule {
        UT_hash_handle hh;
        char *module;  /* "" for none */
        char driver[]; /* "pci:nvme" */
} DriverModule;

struct HostFacts {
        Sysfs sysfs; /* borrowed: the source's descriptor */
        struct utsname kernel;
        char iommu[FACT_SIZE]; /* "" while unknown */
        char answer[FACT_SIZE];
        struct kmod_ctx *kmod; /* NULL until asked for */
        bool kmod_tried;
        VariantTable *variants; /* NULL until asked for */
        DriverModule *drivers;  /* uthash, of this turn */
};

int host_facts_new(const Sysfs *sysfs, HostFacts **ret) {
        HostFacts *facts;

        facts = calloc(1, sizeof(*facts));
        if (!facts)
                return -ENOMEM;
        facts->sysfs = *sysfs;
        if (uname(&facts->kernel) < 0) {
                free(facts);
                return -errno;
        }

        *ret = facts;
        return 0;
}

void host_facts_new_turn(HostFacts *facts) {
        DriverModule *driver, *next;

        HASH_ITER(hh, facts->drivers, driver, next) {
                HASH_DEL(facts->drivers, driver);
                free(driver->module);
                free(driver);
        }
}

void host_facts_forget(HostFacts *facts) {
        host_facts_new_turn(facts);
        facts->iommu[0] = '\0';
        if (facts->kmod)
                kmod_unref(facts->kmod);
        facts->kmod = NULL;
        facts->kmod_tried = false;
        facts->variants = variant_table_free(facts->variants);
}

HostFacts *host_facts_free(HostFacts *facts) {
        if (!facts)
                return NULL;

        host_facts_forget(facts);
        free(facts);
        return NULL;
}

/* ---- IOMMU ---- */

#define UNITS_MAX 64u

typedef struct UnitList {
        char *names[UNITS_MAX];
        size_t n_names;
} UnitList;

static void add_unit(void *userdata, const char *entry) {
        UnitList *list = userdata;

        if (list->n_names < UNITS_MAX && (list->names[list->n_names] = strdup(entry)))
                list->n_names++;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* In the order of their names, whatever the order of the directory. */
static void read_units(HostFacts *facts) {
        UnitList list = { 0 };
        size_t used = 0;

        (void) sysfs_list(&facts->sysfs, "/sys/class/iommu", add_unit, &list);
        if (list.n_names > 0)
                qsort(list.names, list.n_names, sizeof(list.names[0]), compare_names);
        for (size_t i = 0; i < list.n_names; i++) {
                size_t n = strlen(list.names[i]);

                if (used + n + 2 <= sizeof(facts->iommu))
                        used += (size_t) snprintf(facts->iommu + used, sizeof(facts->iommu) - used, "%s%s",
                                                  used > 0 ? " " : "", list.names[i]);
                free(list.names[i]);
        }
}

static const char *fact_iommu(HostFacts *facts, const char *argument) {
        if (facts->iommu[0] == '\0')
                read_units(facts);
        return facts->iommu[0] != '\0' ? facts->iommu : "none";
}

/* What the firmware says, whether the kernel uses it or not. */
static const char *fact_iommu_table(HostFacts *facts, const char *argument) {
        static const char *const tables[] = { "DMAR", "IVRS", "IORT", "VIOT" };

        if (!sysfs_exists(&facts->sysfs, "/sys/firmware/acpi/tables"))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                char path[64];

                (void) snprintf(path, sizeof(path), "/sys/firmware/acpi/tables/%s", tables[i]);
                if (sysfs_exists(&facts->sysfs, path))
                        return tables[i];
        }
        return "none";
}

static const char *fact_kernel(HostFacts *facts, const char *argument) {
        return facts->kernel.release;
}

/* ---- drivers ---- */

/* A name that stands for itself in a path. */
static bool is_name(const char *name) {
        return !isempty(name) && strlen(name) < NAME_SIZE && !strchr(name, '/') && name[0] != '.';
}

static bool split_driver(const char *argument, char bus[static NAME_SIZE], const char **ret_name) {
        const char *colon = strchr(argument, ':');

        if (!colon || colon == argument || (size_t) (colon - argument) >= NAME_SIZE)
                return false;
        memcpy(bus, argument, (size_t) (colon - argument));
        bus[colon - argument] = '\0';
        *ret_name = colon + 1;
        return is_name(bus) && is_name(colon + 1);
}

static const char *fact_driver(HostFacts *facts, const char *argument) {
        char bus[NAME_SIZE], path[NAME_SIZE * 3];
        const char *name;

        if (!split_driver(argument, bus, &name))
                return NULL;
        (void) snprintf(path, sizeof(path), "/sys/bus/%s/drivers/%s", bus, name);
        return sysfs_exists(&facts->sysfs, path) ? "registered" : NULL;
}

static const char *read_driver_module(HostFacts *facts, const char *argument) {
        char bus[NAME_SIZE], path[NAME_SIZE * 3];
        const char *name;

        if (!split_driver(argument, bus, &name))
                return NULL;
        (void) snprintf(path, sizeof(path), "/sys/bus/%s/drivers/%s/module", bus, name);
        return sysfs_link(&facts->sysfs, path, facts->answer, sizeof(facts->answer)) >= 0 ? facts->answer
                                                                                          : NULL;
}

static const char *fact_driver_module(HostFacts *facts, const char *argument) {
        size_t length = strlen(argument);
        DriverModule *driver;

        HASH_FIND(hh, facts->drivers, argument, length, driver);
        if (!driver) {
                driver = calloc(1, offsetof(DriverModule, driver) + length + 1);
                if (!driver)
                        return NULL;
                driver->module = strdup(strempty(read_driver_module(facts, argument)));
                if (!driver->module) {
                        free(driver);
                        return NULL;
                }
                memcpy(driver->driver, argument, length + 1);
                HASH_ADD_KEYPTR(hh, facts->drivers, driver->driver, length, driver);
        }
        return driver->module[0] != '\0' ? driver->module : NULL;
}

/* ---- kernel modules ---- */

/* The kernel lists modules with '_' where their files may have '-'. */
static bool module_path(const char *name, const char *below, char *ret, size_t size) {
        char canonical[NAME_SIZE];
        int n;

        if (!is_name(name))
                return false;
        (void) snprintf(canonical, sizeof(canonical), "%s", name);
        for (char *p = canonical; *p; p++)
                if (*p == '-')
                        *p = '_';
        n = snprintf(ret, size, "/sys/module/%s%s", canonical, below);
        return n > 0 && (size_t) n < size;
}

static bool modules_directory(const HostFacts *facts, const char *below, char *ret, size_t size) {
        int n = snprintf(ret, size, "/lib/modules/%s%s", facts->kernel.release, below);

        return n > 0 && (size_t) n < size;
}

/* The modules below our root, through the descriptor, as libkmod takes no other; its messages go nowhere,
 * because missing tables (a container, a host without modules) are no failure. */
static struct kmod_ctx *obtain_kmod(HostFacts *facts) {
        static const char *const no_configuration[] = { NULL };
        char below[FACT_SIZE], path[FACT_SIZE + 64];

        if (facts->kmod_tried || !modules_directory(facts, "", below, sizeof(below)))
                return facts->kmod;
        facts->kmod_tried = true;
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d%s", facts->sysfs.root_fd, below);
        facts->kmod = kmod_new(path, no_configuration);
        if (facts->kmod)
                kmod_set_log_priority(facts->kmod, -1);
        return facts->kmod;
}

static const char *fact_module(HostFacts *facts, const char *argument) {
        struct kmod_list *list = NULL;
        const char *answer = NULL;
        struct kmod_ctx *kmod;
        char path[FACT_SIZE];

        if (!module_path(argument, "", path, sizeof(path)))
                return NULL;
        if (sysfs_exists(&facts->sysfs, path))
                return "loaded";
        kmod = obtain_kmod(facts);
        if (!kmod || kmod_module_new_from_lookup(kmod, argument, &list) < 0 || !list)
                return NULL;

        struct kmod_module *module = kmod_module_get_module(list);

        /* The look-up finds what is built in, too: that has no file. */
        answer = kmod_module_get_path(module) ? "loadable" : "built-in";
        kmod_module_unref(module);
        kmod_module_unref_list(list);
        return answer;
}

static const char *fact_parameter(HostFacts *facts, const char *argument) {
        const char *colon = strchr(argument, ':');
        char module[NAME_SIZE], below[NAME_SIZE + sizeof("/parameters/")], path[FACT_SIZE];

        if (!colon || (size_t) (colon - argument) >= sizeof(module) || !is_name(colon + 1))
                return NULL;
        memcpy(module, argument, (size_t) (colon - argument));
        module[colon - argument] = '\0';
        (void) snprintf(below, sizeof(below), "/parameters/%s", colon + 1);
        if (!module_path(module, below, path, sizeof(path)))
                return NULL;
        return sysfs_read(&facts->sysfs, path, facts->answer, sizeof(facts->answer)) >= 0 ? facts->answer
                                                                                          : NULL;
}

static const char *fact_vfio_variant(HostFacts *facts, const char *argument) {
        char path[FACT_SIZE];

        if (!facts->variants) {
                if (!modules_directory(facts, "/modules.alias", path, sizeof(path)))
                        return NULL;
                if (variant_table_load(&facts->sysfs, path, &facts->variants) < 0)
                        return NULL;
        }
        return variant_table_find(facts->variants, argument);
}

const char *host_facts_get(HostFacts *facts, const char *name) {
        static const struct {
                const char *prefix;
                bool argument;
                const char *(*get)(HostFacts *facts, const char *argument);
        } table[] = {
                { "iommu", false, fact_iommu },
                { "iommu-table", false, fact_iommu_table },
                { "kernel", false, fact_kernel },
                { "driver:", true, fact_driver },
                { "driver-module:", true, fact_driver_module },
                { "module:", true, fact_module },
                { "parameter:", true, fact_parameter },
                { "vfio-variant:", true, fact_vfio_variant },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const char *argument = startswith(name, table[i].prefix);

                if (argument && (table[i].argument || argument[0] == '\0'))
                        return table[i].get(facts, argument);
        }
        return NULL;
}
