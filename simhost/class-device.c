/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "class-device.h"

#include <stdarg.h>

#include "kobject.h"
#include "usb-device.h"

#define BLOCK_MAJOR 259
#define NVME_MAJOR 240
#define SECTORS_PER_GIB (2LL * 1024 * 1024)
#define PARKED "kernel/parked"

static void make_class_device(Tree *t, const char *path, const char *subsystem, const char *parent) {
        Path p;

        tree_make_directory(t, path);
        tree_symlink(t, path_make(&p, "sys/class/%s", subsystem), path, "subsystem");
        if (parent)
                tree_symlink(t, parent, path, "device");
}

static void write_udev(Tree *t, const char *path, const char *format, ...) _printf_(3, 4);

static void write_udev(Tree *t, const char *path, const char *format, ...) {
        char name[128], text[1024];
        va_list ap;

        if (kobject_udev_name(t, path, name, sizeof(name)) < 0)
                return;
        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        tree_put(t, "run/udev/data", name, 0644, "I:1000000\n%sV:1\n", text);
}

static void write_net(Tree *t, const char *device, const PciSpec *spec, json_t *net, Counters *c) {
        char generated_name[32], generated_mac[32];
        const char *name, *mac, *state = json_text(net, "operstate", "up");
        int index = ++c->ifindex, mtu = json_number(net, "mtu", 1500);
        Path p;

        (void) snprintf(generated_name, sizeof(generated_name), "eth%d", c->net++);
        (void) snprintf(generated_mac, sizeof(generated_mac), "52:54:00:%02x:%02x:%02x", index >> 16 & 0xff,
                        index >> 8 & 0xff, index & 0xff);
        name = json_text(net, "name", generated_name);
        mac = json_text(net, "mac", generated_mac);

        make_class_device(t, path_make(&p, "%s/net/%s", device, name), "net", device);
        tree_put(t, p.s, "address", 0444, "%s\n", mac);
        tree_put(t, p.s, "ifindex", 0444, "%d\n", index);
        tree_put(t, p.s, "iflink", 0444, "%d\n", index);
        tree_attribute(t, p.s, "addr_len", "6\n");
        tree_attribute(t, p.s, "addr_assign_type", "0\n");
        tree_attribute(t, p.s, "name_assign_type", "4\n");
        tree_attribute(t, p.s, "type", "1\n");
        tree_attribute(t, p.s, "dev_id", "0x0\n");
        tree_attribute(t, p.s, "dev_port", "%d\n", json_number(net, "port", 0));
        tree_attribute(t, p.s, "mtu", "%d\n", mtu);
        tree_attribute(t, p.s, "flags", "0x%x\n", string_equal(state, "up") ? 0x1003 : 0x1002);
        tree_attribute(t, p.s, "operstate", "%s\n", state);
        tree_attribute(t, p.s, "carrier", "%d\n", string_equal(state, "up"));
        tree_attribute(t, p.s, "speed", "%d\n", json_number(net, "speed", 1000));
        tree_attribute(t, p.s, "duplex", "full\n");
        tree_put(t, p.s, "uevent", 0644, "INTERFACE=%s\nIFINDEX=%d\n", name, index);
        write_udev(t, p.s, "E:ID_NET_NAME=%s\nE:ID_PATH=pci-%s\nE:ID_NET_DRIVER=%s\n", name, spec->bdf,
                   spec->natural ? spec->natural : "");
}

static void write_block(Tree *t, const char *path, const char *parent, long long sectors, int partition,
                        int minor) {
        make_class_device(t, path, "block", partition ? NULL : parent);
        tree_put(t, path, "dev", 0444, "%d:%d\n", BLOCK_MAJOR, minor);
        tree_attribute(t, path, "size", "%lld\n", sectors);
        tree_attribute(t, path, "ro", "0\n");
        if (partition)
                tree_attribute(t, path, "partition", "%d\n", partition);
        else
                tree_attribute(t, path, "removable", "0\n");
        tree_put(t, path, "uevent", 0644, "MAJOR=%d\nMINOR=%d\nDEVNAME=%s\nDEVTYPE=%s\n", BLOCK_MAJOR, minor,
                 path_name(path), partition ? "partition" : "disk");
}

static void write_nvme(Tree *t, const char *device, const PciSpec *spec, Counters *c) {
        const char *model =
                json_text(spec->nvme, "model", spec->device_name ? spec->device_name : "NVMe disk");
        char generated_serial[32];
        const char *serial;
        long long sectors = json_number(spec->nvme, "gib", 960) * SECTORS_PER_GIB;
        int number = c->nvme++, partitions = json_is_true(json_object_get(spec->nvme, "system")) ? 2 : 0;
        Path controller, disk, partition;

        (void) snprintf(generated_serial, sizeof(generated_serial), "S%07d", number);
        serial = json_text(spec->nvme, "serial", generated_serial);

        make_class_device(t, path_make(&controller, "%s/nvme/nvme%d", device, number), "nvme", device);
        tree_put(t, controller.s, "dev", 0444, "%d:%d\n", NVME_MAJOR, number);
        tree_put(t, controller.s, "model", 0444, "%-40s\n", model);
        tree_put(t, controller.s, "serial", 0444, "%-20s\n", serial);
        tree_attribute(t, controller.s, "firmware_rev", "GXA7302Q\n");
        tree_attribute(t, controller.s, "state", "live\n");
        tree_attribute(t, controller.s, "transport", "pcie\n");
        tree_attribute(t, controller.s, "address", "%s\n", spec->bdf);
        tree_put(t, controller.s, "uevent", 0644, "MAJOR=%d\nMINOR=%d\nDEVNAME=nvme%d\nNVME_TRTYPE=pcie\n",
                 NVME_MAJOR, number, number);

        path_make(&disk, "%s/nvme%dn1", controller.s, number);
        write_block(t, disk.s, controller.s, sectors, 0, c->block_minor++);
        write_udev(t, disk.s,
                   "E:DEVTYPE=disk\nE:ID_SERIAL_SHORT=%s\nE:ID_MODEL=%s\nE:ID_PATH=pci-%s-nvme-1\n%s",
                   serial, model, spec->bdf, partitions ? "E:ID_PART_TABLE_TYPE=gpt\n" : "");
        for (int i = 1; i <= partitions; i++) {
                path_make(&partition, "%s/nvme%dn1p%d", disk.s, number, i);
                write_block(t, partition.s, NULL, i == 1 ? SECTORS_PER_GIB / 2 : sectors - SECTORS_PER_GIB,
                            i, c->block_minor++);
                write_udev(t, partition.s, "E:DEVTYPE=partition\nE:ID_FS_TYPE=%s\nE:ID_PART_ENTRY_TYPE=%s\n",
                           i == 1 ? "vfat" : "ext4",
                           i == 1 ? "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
                                  : "0fc63daf-8483-4772-8e79-3d69d8477de4");
        }
        if (partitions)
                tree_put(t, "kernel", "system-disk", 0644, "%s/nvme%dn1p2\n", disk.s, number);
}

static void write_mdev_types(Tree *t, const char *device, const PciSpec *spec) {
        json_t *type;
        size_t i;
        Path p, list;

        json_array_foreach(spec->mdev, i, type) {
                const char *description = json_text(type, "description", NULL);

                path_make(&p, "%s/mdev_supported_types/%s", device, json_text(type, "type", "unnamed"));
                tree_make_directory(t, path_make(&list, "%s/devices", p.s));
                tree_attribute(t, p.s, "name", "%s\n", json_text(type, "name", ""));
                tree_attribute(t, p.s, "device_api", "vfio-pci\n");
                if (description)
                        tree_attribute(t, p.s, "description", "%s\n", description);
                tree_put(t, p.s, "available_instances", 0444, "%d\n", json_number(type, "available", 1));
                tree_put(t, p.s, "create", 0200, "%s", "");
        }
}

static void write_vgpu(Tree *t, const char *device) {
        Path p;

        tree_make_directory(t, path_make(&p, "%s/nvidia", device));
        tree_put(t, p.s, "creatable_vgpu_types", 0444, "ID    : vGPU Name\n");
        tree_put(t, p.s, "current_vgpu_type", 0644, "0\n");
        tree_put(t, p.s, "vgpu_params", 0644, "\n");
        tree_put(t, p.s, "gpu_instance_id", 0644, "0\n");
        tree_put(t, p.s, "placement_id", 0644, "0\n");
        tree_put(t, p.s, "warm_update", 0644, "0\n");
}

void class_devices_write(Tree *t, const char *device, const PciSpec *spec, Counters *counters) {
        json_t *entry;
        size_t i;

        json_array_foreach(spec->net, i, entry) {
                write_net(t, device, spec, entry, counters);
        }
        if (spec->nvme)
                write_nvme(t, device, spec, counters);
        if (spec->mdev)
                write_mdev_types(t, device, spec);
        if (spec->vgpu && spec->physfn)
                write_vgpu(t, device);
        if (spec->usb)
                usb_bus_write(t, device, spec, counters);
}

void class_devices_park(Tree *t, const char *device) {
        _cleanup_closedir_ DIR *d = tree_list(t, device);
        struct dirent *e;
        Path from, to;

        while (d && (e = readdir(d))) {
                if (e->d_type != DT_DIR || e->d_name[0] == '.' || !kobject_made_by_driver(e->d_name))
                        continue;
                tree_make_directory(t, path_make(&to, PARKED "/%s", path_name(device)));
                path_make(&to, PARKED "/%s/%s", path_name(device), e->d_name);
                path_make(&from, "%s/%s", device, e->d_name);
                (void) tree_move(t, from.s, to.s);
        }
}

void class_devices_restore(Tree *t, const char *device) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;
        Path parked, from, to;

        d = tree_list(t, path_make(&parked, PARKED "/%s", path_name(device)));
        while (d && (e = readdir(d))) {
                if (e->d_name[0] == '.')
                        continue;
                path_make(&from, "%s/%s", parked.s, e->d_name);
                path_make(&to, "%s/%s", device, e->d_name);
                (void) tree_move(t, from.s, to.s);
        }
}
