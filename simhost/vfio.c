/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vfio.h"

#include "inject.h"
#include "iommu-group.h"
#include "kobject.h"
#include "vgpu.h"

bool vfio_is_driver(const char *driver) {
        size_t n = strlen(driver);

        return n >= strlen("vfio-pci") && (string_equal(driver + n - strlen("vfio-pci"), "vfio-pci") ||
                                           string_equal(driver + n - strlen("vfio_pci"), "vfio_pci"));
}

static OpenGroup *find_open(Kernel *k, int group) {
        for (OpenGroup *g = k->open_groups; g; g = g->next)
                if (g->group == group)
                        return g;
        return NULL;
}

bool vfio_group_is_held(Kernel *k, const char *path) {
        int group = iommu_group_of(k->tree, path);

        return group >= 0 && find_open(k, group);
}

void vfio_wait_until_closed(Kernel *k, const char *path) {
        while (vfio_group_is_held(k, path))
                kernel_wait(k, "unbind", path_name(path), "held open");
}

int vfio_may_bind(Kernel *k, const char *path) {
        uint64_t vfs = 0;

        if (tree_has(k->tree, path, "secondary_bus_number"))
                return -EINVAL;
        if (iommu_group_of(k->tree, path) < 0)
                return -EINVAL;
        (void) tree_read_number(k->tree, path, "sriov_numvfs", 10, &vfs);
        return vfs > 0 ? -EBUSY : 0;
}

static void group_paths(int group, Path *ret_sysfs, Path *ret_node) {
        path_make(ret_sysfs, "sys/devices/virtual/vfio/%d", group);
        path_make(ret_node, SIMHOST_FS "/vfio/%d", group);
}

static void group_appear(Kernel *k, int group) {
        Path sysfs, node;
        char name[16];
        int r;

        group_paths(group, &sysfs, &node);
        (void) snprintf(name, sizeof(name), "%d", group);
        if (tree_has(k->tree, "sys/class/vfio", name))
                return;

        tree_make_directory(k->tree, sysfs.s);
        tree_put(k->tree, sysfs.s, "dev", 0444, "0:0\n");
        tree_put(k->tree, sysfs.s, "uevent", 0644, "MAJOR=0\nMINOR=0\nDEVNAME=vfio/%d\n", group);
        tree_symlink(k->tree, "sys/class/vfio", sysfs.s, "subsystem");
        r = hand_make_node(k->hand, node.s, 0600);
        if (r < 0)
                complain("cannot make /dev/vfio/%d: %s", group, strerror(-r));
        device_appear(k, sysfs.s);
}

/* Whether it has a member with a VFIO device; one that can be opened, if that is asked. */
static bool group_is_used(Kernel *k, int group, bool to_open) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;
        Path p, member;

        d = tree_list(k->tree, path_make(&p, "sys/kernel/iommu_groups/%d/devices", group));
        while (d && (e = readdir(d)))
                if (e->d_name[0] != '.' && tree_follow(k->tree, p.s, e->d_name, &member) >= 0 &&
                    tree_has(k->tree, member.s, "vfio-dev") && (!to_open || vgpu_may_open(k, member.s)))
                        return true;
        return false;
}

static void group_disappear(Kernel *k, int group) {
        Path sysfs, node;

        if (group_is_used(k, group, false))
                return;
        group_paths(group, &sysfs, &node);
        device_disappear(k, sysfs.s);
        tree_remove_all(k->tree, sysfs.s);
        (void) hand_remove_node(k->hand, node.s);
}

void vfio_register(Kernel *k, const char *path) {
        int group = iommu_group_of(k->tree, path);
        char name[32];
        Path p;

        group_appear(k, group);
        for (int n = 0;; n++) {
                (void) snprintf(name, sizeof(name), "vfio%d", n);
                if (!tree_has(k->tree, "sys/class/vfio-dev", name))
                        break;
        }
        tree_make_directory(k->tree, path_make(&p, "%s/vfio-dev/%s", path, name));
        tree_put(k->tree, p.s, "uevent", 0644, "%s", "");
        tree_symlink(k->tree, path, p.s, "device");
        tree_symlink(k->tree, "sys/class/vfio-dev", p.s, "subsystem");
        device_appear(k, p.s);
}

static void vfio_dev_disappear(const char *path, void *userdata) {
        device_disappear(userdata, path);
}

void vfio_unregister(Kernel *k, const char *path) {
        Path p;

        kobject_walk(k->tree, path_make(&p, "%s/vfio-dev", path), true, vfio_dev_disappear, k);
        tree_remove_all(k->tree, p.s);
        group_disappear(k, iommu_group_of(k->tree, path));
}

void vfio_adopt(Kernel *k, const char *path) {
        char driver[64];
        int r;

        if (device_driver(k, path, driver, sizeof(driver)) < 0 ||
            !(vfio_is_driver(driver) || vgpu_is_vf(k, path)))
                return;
        if (!tree_has(k->tree, path, "vfio-dev")) {
                vfio_register(k, path);
                return;
        }
        /* The tree is as an earlier run left it: only the node is missing. */
        Path sysfs, node;

        group_paths(iommu_group_of(k->tree, path), &sysfs, &node);
        r = hand_make_node(k->hand, node.s, 0600);
        if (r < 0 && r != -EEXIST)
                complain("cannot make %s: %s", node.s, strerror(-r));
}

int vfio_open(Kernel *k, int group) {
        char name[16];
        OpenGroup *g;
        int r;

        (void) snprintf(name, sizeof(name), "%d", group);
        r = inject(k, "open", name);
        if (r < 0)
                return r;
        if (!group_is_used(k, group, true))
                return -ENODEV;
        if (find_open(k, group))
                return -EBUSY;
        g = allocate(sizeof(*g));
        g->group = group;
        g->next = k->open_groups;
        k->open_groups = g;
        return 0;
}

static void tell_drivers(Kernel *k, int group) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;
        Path p, member;

        d = tree_list(k->tree, path_make(&p, "sys/kernel/iommu_groups/%d/devices", group));
        while (d && (e = readdir(d)))
                if (e->d_name[0] != '.' && tree_follow(k->tree, p.s, e->d_name, &member) >= 0)
                        vgpu_was_closed(k, member.s);
}

void vfio_close(Kernel *k, int group) {
        for (OpenGroup **i = &k->open_groups; *i; i = &(*i)->next)
                if ((*i)->group == group) {
                        OpenGroup *g = *i;

                        *i = g->next;
                        free(g);
                        tell_drivers(k, group);
                        break;
                }
        kernel_notify(k);
}
