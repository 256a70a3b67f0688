/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>

#include "host-tree.h"

static void full_path(const HostTree *tree, const char *path, char ret[static PATH_MAX]) {
        assert_true((size_t) snprintf(ret, PATH_MAX, "%s/%s", tree->root, path) < PATH_MAX);
}

static void make_parents(char *path) {
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(path, 0755) < 0)
                        assert_int_equal(errno, EEXIST);
                *slash = '/';
        }
}

void tree_folder(HostTree *tree, const char *path) {
        char full[PATH_MAX];

        full_path(tree, path, full);
        make_parents(full);
        if (mkdir(full, 0755) < 0)
                assert_int_equal(errno, EEXIST);
}

void tree_file(HostTree *tree, const char *path, const char *format, ...) {
        char full[PATH_MAX];
        va_list arguments;
        FILE *file;

        full_path(tree, path, full);
        make_parents(full);
        file = fopen(full, "we");
        assert_non_null(file);
        va_start(arguments, format);
        assert_true(vfprintf(file, format, arguments) >= 0);
        va_end(arguments);
        assert_int_equal(fclose(file), 0);
}

void tree_link(HostTree *tree, const char *path, const char *target) {
        char full[PATH_MAX];

        full_path(tree, path, full);
        make_parents(full);
        (void) unlink(full);
        assert_int_equal(symlink(target, full), 0);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
        return remove(path);
}

void tree_remove(HostTree *tree, const char *path) {
        char full[PATH_MAX];

        full_path(tree, path, full);
        assert_int_equal(nftw(full, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void host_tree_make(HostTree *tree) {
        /* In memory where possible: thousands of small files are slow on a disk. */
        strcpy(tree->root, "/dev/shm/test-host-XXXXXX");
        if (!mkdtemp(tree->root)) {
                strcpy(tree->root, "/tmp/test-host-XXXXXX");
                assert_non_null(mkdtemp(tree->root));
        }
        assert_int_equal(sysfs_init(&tree->sysfs, tree->root), 0);

        tree_folder(tree, "sys/bus/pci/devices");
        tree_folder(tree, "sys/class/iommu/dmar0");
        tree_folder(tree, "sys/bus/pci/drivers/e1000e");
        tree_link(tree, "sys/bus/pci/drivers/e1000e/module", "../../../../module/e1000e");
        tree_folder(tree, "sys/bus/pci/drivers/nvme");
        tree_folder(tree, "sys/bus/pci/drivers/vfio-pci");
        tree_folder(tree, "sys/module/e1000e");
        tree_folder(tree, "run/udev/data");
}

void host_tree_remove(HostTree *tree) {
        sysfs_done(&tree->sysfs);
        assert_int_equal(nftw(tree->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void device_path(const char *address, const char *name, char ret[static 256]) {
        (void) snprintf(ret, 256, "sys/devices/pci%.7s/%s%s%s", address, address, name[0] != '\0' ? "/" : "",
                        name);
}

void tree_pci_attribute(HostTree *tree, const char *address, const char *name, const char *value) {
        char path[256];

        device_path(address, name, path);
        tree_file(tree, path, "%s\n", value);
}

void tree_pci_bind(HostTree *tree, const char *address, const char *driver) {
        char path[256], full[PATH_MAX], target[256];

        device_path(address, "driver", path);
        full_path(tree, path, full);
        (void) unlink(full);
        if (!driver)
                return;
        (void) snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
        tree_link(tree, path, target);
}

void tree_pci(HostTree *tree, const PciSpec *spec) {
        char path[256], target[256], text[32];

        (void) snprintf(text, sizeof(text), "0x%04x", spec->vendor ? spec->vendor : 0x8086);
        tree_pci_attribute(tree, spec->address, "vendor", text);
        (void) snprintf(text, sizeof(text), "0x%04x", spec->device ? spec->device : 0x10d3);
        tree_pci_attribute(tree, spec->address, "device", text);
        (void) snprintf(text, sizeof(text), "0x%06x", spec->class ? spec->class : 0x020000);
        tree_pci_attribute(tree, spec->address, "class", text);
        tree_pci_attribute(tree, spec->address, "subsystem_vendor", "0x8086");
        tree_pci_attribute(tree, spec->address, "subsystem_device", "0xa01f");
        tree_pci_attribute(tree, spec->address, "reset_method", "flr bus");
        tree_pci_attribute(tree, spec->address, "numa_node", spec->numa_node ? spec->numa_node : "-1");
        /* What must never be looked at. */
        tree_pci_attribute(tree, spec->address, "uevent", "MODALIAS=none");
        tree_pci_attribute(tree, spec->address, "driver_override", "(null)");
        tree_pci_attribute(tree, spec->address, "sriov_numvfs", "0");
        tree_pci_attribute(tree, spec->address, "config", "x");
        if (spec->label)
                tree_pci_attribute(tree, spec->address, "label", spec->label);
        if (spec->driver)
                tree_pci_bind(tree, spec->address, spec->driver);
        if (spec->iommu_group) {
                device_path(spec->address, "iommu_group", path);
                (void) snprintf(target, sizeof(target), "../../../kernel/iommu_groups/%s",
                                spec->iommu_group);
                tree_link(tree, path, target);
        }

        (void) snprintf(path, sizeof(path), "sys/bus/pci/devices/%s", spec->address);
        (void) snprintf(target, sizeof(target), "../../../devices/pci%.7s/%s", spec->address, spec->address);
        tree_link(tree, path, target);
}

void tree_pci_remove(HostTree *tree, const char *address) {
        char path[256];

        (void) snprintf(path, sizeof(path), "sys/bus/pci/devices/%s", address);
        tree_remove(tree, path);
        device_path(address, "", path);
        tree_remove(tree, path);
}
