/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kobject.h"

#include <ctype.h>

typedef struct Link {
        Path directory;
        char name[NAME_MAX + 1];
} Link;

#define LINKS_MAX 4

static bool device_number(Tree *t, const char *path, char *ret, size_t size) {
        return tree_read(t, path, "dev", ret, size) >= 0 && !string_equal(ret, "0:0");
}

/* Lists the links that lead to a device. */
static size_t kobject_links(Tree *t, const char *path, Link ret[static LINKS_MAX]) {
        const char *name = path_name(path);
        char subsystem[64], number[32];
        Path target;
        size_t n = 0;
        bool block;

        if (tree_follow(t, path, "subsystem", &target) < 0)
                return 0;
        copy_text(subsystem, sizeof(subsystem), path_name(target.s));
        block = string_equal(subsystem, "block");

        path_make(&ret[n].directory, "%s%s", target.s,
                  string_starts(target.s, "sys/bus/") ? "/devices" : "");
        copy_text(ret[n++].name, sizeof(ret->name), name);
        if (device_number(t, path, number, sizeof(number))) {
                path_make(&ret[n].directory, "sys/dev/%s", block ? "block" : "char");
                copy_text(ret[n++].name, sizeof(ret->name), number);
        }
        if (block && !tree_has(t, path, "partition")) {
                path_make(&ret[n].directory, "sys/block");
                copy_text(ret[n++].name, sizeof(ret->name), name);
        }
        if (tree_follow(t, path, "iommu_group", &target) >= 0) {
                path_make(&ret[n].directory, "%s/devices", target.s);
                copy_text(ret[n++].name, sizeof(ret->name), name);
        }
        return n;
}

void kobject_register(Tree *t, const char *path) {
        Link links[LINKS_MAX];
        size_t n = kobject_links(t, path, links);

        for (size_t i = 0; i < n; i++)
                tree_symlink(t, path, links[i].directory.s, links[i].name);
}

void kobject_unregister(Tree *t, const char *path) {
        Link links[LINKS_MAX];
        size_t n = kobject_links(t, path, links);

        if (n > 0)
                tree_bury(t, links[0].directory.s, links[0].name);
        for (size_t i = 1; i < n; i++)
                tree_remove(t, links[i].directory.s, links[i].name);
}

int kobject_subsystem(Tree *t, const char *path, char *ret, size_t size) {
        return tree_follow_name(t, path, "subsystem", ret, size);
}

int kobject_udev_name(Tree *t, const char *path, char *ret, size_t size) {
        char subsystem[64], number[32];
        int r;

        r = kobject_subsystem(t, path, subsystem, sizeof(subsystem));
        if (r < 0)
                return r;
        if (string_equal(subsystem, "net") && tree_read(t, path, "ifindex", number, sizeof(number)) >= 0)
                (void) snprintf(ret, size, "n%s", number);
        else if (device_number(t, path, number, sizeof(number)))
                (void) snprintf(ret, size, "%c%s", string_equal(subsystem, "block") ? 'b' : 'c', number);
        else
                (void) snprintf(ret, size, "+%s:%s", subsystem, path_name(path));
        return 0;
}

void kobject_walk(Tree *t, const char *path, bool children_first, KobjectVisit visit, void *userdata) {
        bool device = tree_has(t, path, "subsystem");
        _cleanup_names_ Names names = { 0 };
        Path p;

        if (device && !children_first)
                visit(path, userdata);
        tree_subdirectories(t, path, &names);
        for (size_t i = 0; i < names.count; i++)
                kobject_walk(t, path_make(&p, "%s/%s", path, names.list[i]), children_first, visit,
                             userdata);
        if (device && children_first)
                visit(path, userdata);
}

bool kobject_made_by_driver(const char *name) {
        static const char *const others[] = { "power", "link", "msi_irqs", "vfio-dev", "wakeup", "pci_bus" };
        PciAddress address;

        for (size_t i = 0; i < ELEMENTS(others); i++)
                if (string_equal(others[i], name))
                        return false;
        return pci_address_parse(name, &address) < 0;
}
