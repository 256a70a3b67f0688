/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mdev.h"

#include "inject.h"
#include "iommu-group.h"
#include "vfio.h"
#include "vgpu.h"

#define UUID_LENGTH 36

static bool is_uuid(const char *s) {
        if (strlen(s) != UUID_LENGTH)
                return false;
        for (int i = 0; i < UUID_LENGTH; i++) {
                bool dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (dash ? s[i] != '-' : !strchr("0123456789abcdefABCDEF", s[i]))
                        return false;
        }
        return true;
}

static json_t *type_description(Kernel *k, const char *parent, const char *type) {
        const PciSpec *spec = device_spec(k, path_name(parent));
        json_t *entry;
        size_t i;

        if (!spec)
                return NULL;
        json_array_foreach(spec->mdev, i, entry) {
                if (string_equal(json_text(entry, "type", NULL), type))
                        return entry;
        }
        return NULL;
}

/* How many instances each type still has. */
static void count_instances(Kernel *k, const char *parent) {
        const PciSpec *spec = device_spec(k, path_name(parent));
        json_t *entry;
        size_t i;
        int total = 0;
        Path p;

        for (int pass = 0; spec && pass < 2; pass++)
                json_array_foreach(spec->mdev, i, entry) {
                        _cleanup_closedir_ DIR *d = NULL;
                        struct dirent *e;
                        int used = 0, left;

                        path_make(&p, "%s/mdev_supported_types/%s/devices", parent,
                                  json_text(entry, "type", "unnamed"));
                        d = tree_list(k->tree, p.s);
                        while (d && (e = readdir(d)))
                                used += e->d_name[0] != '.';
                        if (pass == 0) {
                                total += used;
                                continue;
                        }
                        left = total > used ? 0 : json_number(entry, "available", 1) - used;
                        path_make(&p, "%s/mdev_supported_types/%s", parent,
                                  json_text(entry, "type", "unnamed"));
                        tree_put(k->tree, p.s, "available_instances", 0444, "%d\n", left);
                }
}

static void instance_write(Kernel *k, const char *parent, const char *type, const char *uuid, Path *ret) {
        bool nvidia = string_starts(type, "nvidia-");
        const char *driver = nvidia ? "nvidia-vgpu-vfio" : "vfio_mdev";
        Path type_path, driver_path, p;

        path_make(ret, "%s/%s", parent, uuid);
        path_make(&type_path, "%s/mdev_supported_types/%s", parent, type);
        tree_make_directory(k->tree, path_make(&driver_path, "sys/bus/mdev/drivers/%s", driver));
        tree_make_directory(k->tree, ret->s);
        tree_put(k->tree, ret->s, "uevent", 0644, "DRIVER=%s\n", driver);
        tree_put(k->tree, ret->s, "remove", 0200, "%s", "");
        if (nvidia) {
                tree_make_directory(k->tree, path_make(&p, "%s/nvidia", ret->s));
                tree_put(k->tree, p.s, "vgpu_params", 0644, "\n");
                tree_attribute(k->tree, p.s, "vm_name", "\n");
        }
        tree_symlink(k->tree, "sys/bus/mdev", ret->s, "subsystem");
        tree_symlink(k->tree, type_path.s, ret->s, "mdev_type");
        tree_symlink(k->tree, ret->s, path_make(&p, "%s/devices", type_path.s), uuid);
        tree_symlink(k->tree, driver_path.s, ret->s, "driver");
        tree_symlink(k->tree, ret->s, driver_path.s, uuid);
        /* The group has no hardware behind it. */
        iommu_group_join(k->tree, iommu_group_free_number(k->tree, k->counters.group), ret->s);
        tree_follow(k->tree, ret->s, "iommu_group", &p);
        tree_put(k->tree, p.s, "type", 0444, "unknown\n");
}

static void instance_erase(Kernel *k, const char *path, const char *parent) {
        const char *uuid = path_name(path);
        Path type, driver, p;

        if (tree_follow(k->tree, path, "driver", &driver) >= 0)
                tree_remove(k->tree, driver.s, uuid);
        device_disappear(k, path);
        if (tree_follow(k->tree, path, "mdev_type", &type) >= 0)
                tree_remove(k->tree, path_make(&p, "%s/devices", type.s), uuid);
        iommu_group_leave(k->tree, path);
        if (kernel_controls(k, path_name(parent))) {
                (void) hand_unmount(k->hand, path_make(&p, "/%s/remove", path));
                vgpu_drop_control(k, path);
        }
        tree_remove_all(k->tree, path);
        count_instances(k, parent);
}

int mdev_create_write(Kernel *k, const char *key, const char *uuid) {
        char bdf[64], *type;
        uint64_t left = 0;
        Path parent, path, p;
        int r;

        copy_text(bdf, sizeof(bdf), key);
        type = strchr(bdf, ',');
        if (!type)
                return -ENOENT;
        *type++ = '\0';
        r = device_find(k, bdf, &parent);
        if (r < 0)
                return r;
        path_make(&p, "%s/mdev_supported_types/%s", parent.s, type);
        if (!is_uuid(uuid) || !type_description(k, parent.s, type))
                return -EINVAL;
        if (tree_has(k->tree, "sys/bus/mdev/devices", uuid))
                return -EEXIST;

        /* The device is there before its driver is asked, so a refusal shows as an add and a remove. */
        device_lock(k, uuid, "create");
        instance_write(k, parent.s, type, uuid, &path);
        device_appear(k, path.s);
        r = inject(k, "create", uuid);
        if (r >= 0)
                r = inject(k, "create", bdf);
        if (r >= 0 && (tree_read_number(k->tree, p.s, "available_instances", 10, &left) < 0 || left == 0))
                r = -ENOSPC;
        if (r < 0)
                instance_erase(k, path.s, parent.s);
        else {
                count_instances(k, parent.s);
                vfio_register(k, path.s);
                if (kernel_controls(k, bdf)) {
                        (void) control_mount(k, "mdev", uuid, "remove", path.s);
                        vgpu_take_control(k, path.s);
                }
                uevents_send(k->events, "bind", path.s, NULL);
        }
        device_unlock(k, uuid);
        return r;
}

/* Waits until nobody has it open. */
static void remove_instance(Kernel *k, const char *path) {
        Path parent, driver;

        path_parent(&parent, path);
        if (tree_follow(k->tree, path, "driver", &driver) >= 0) {
                tree_remove(k->tree, driver.s, path_name(path));
                tree_remove(k->tree, path, "driver");
        }
        vfio_wait_until_closed(k, path);
        vfio_unregister(k, path);
        uevents_send(k->events, "unbind", path, NULL);
        instance_erase(k, path, parent.s);
}

int mdev_remove_write(Kernel *k, const char *uuid, const char *text) {
        uint64_t value;
        Path path;
        int r;

        if (string_to_u64(text, 0, &value) < 0)
                return -EINVAL;
        if (value == 0)
                return 0;
        device_lock(k, uuid, "mdev-remove");
        r = tree_follow(k->tree, "sys/bus/mdev/devices", uuid, &path) < 0 ? -ENODEV
                                                                          : inject(k, "mdev-remove", uuid);
        if (r >= 0)
                remove_instance(k, path.s);
        device_unlock(k, uuid);
        return r;
}

void mdev_remove_all(Kernel *k, const char *parent) {
        _cleanup_names_ Names names = { 0 };
        Path p;

        tree_subdirectories(k->tree, parent, &names);
        for (size_t i = 0; i < names.count; i++)
                if (is_uuid(names.list[i])) {
                        device_lock(k, names.list[i], "mdev-remove");
                        remove_instance(k, path_make(&p, "%s/%s", parent, names.list[i]));
                        device_unlock(k, names.list[i]);
                }
}

static void for_types(Kernel *k, const char *parent, bool take) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;
        char key[64];
        Path types, p;

        d = tree_list(k->tree, path_make(&types, "%s/mdev_supported_types", parent));
        while (d && (e = readdir(d))) {
                if (e->d_name[0] == '.')
                        continue;
                path_make(&p, "%s/%s", types.s, e->d_name);
                (void) snprintf(key, sizeof(key), "%s,%.40s", path_name(parent), e->d_name);
                if (take)
                        (void) control_mount(k, "mdev-type", key, "create", p.s);
                else {
                        Path file;

                        (void) hand_unmount(k->hand, path_make(&file, "/%s/create", p.s));
                }
        }
}

void mdev_take_control(Kernel *k, const char *parent) {
        for_types(k, parent, true);
}

void mdev_drop_control(Kernel *k, const char *parent) {
        for_types(k, parent, false);
}
