/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>

#include "lib/parse.h"
#include "source-allow.h"

/* Directories are only listed: reading one shows what child devices a driver has made, and asks no
 * driver. The most asked come first. */
static const AllowEntry pci_list[] = {
        { ALLOW_ATTRIBUTE, "vendor" },
        { ALLOW_ATTRIBUTE, "device" },
        { ALLOW_ATTRIBUTE, "class" },
        { ALLOW_ATTRIBUTE, "subsystem_vendor" },
        { ALLOW_ATTRIBUTE, "subsystem_device" },
        { ALLOW_ATTRIBUTE, "revision" },
        { ALLOW_ATTRIBUTE, "numa_node" },
        { ALLOW_ATTRIBUTE, "secondary_bus_number" }, /* bridges only, which are never bound or reset by us */
        { ALLOW_ATTRIBUTE, "sriov_totalvfs" },
        { ALLOW_ATTRIBUTE, "reset_method" },
        { ALLOW_ATTRIBUTE, "boot_vga" },
        { ALLOW_ATTRIBUTE, "modalias" },
        { ALLOW_ATTRIBUTE, "label" },
        { ALLOW_ATTRIBUTE, "acpi_index" },
        { ALLOW_ATTRIBUTE, "local_cpulist" },
        { ALLOW_ATTRIBUTE, "sriov_vf_device" },
        /* Numbers of the kernel's own structure, without a lock (drivers/pci/iov.c); of the physical function too. */
        { ALLOW_ATTRIBUTE, "sriov_offset" },
        { ALLOW_ATTRIBUTE, "sriov_stride" },
        { ALLOW_ATTRIBUTE, "physfn/sriov_offset" },
        { ALLOW_ATTRIBUTE, "physfn/sriov_stride" },
        { ALLOW_LINK, "driver" },
        { ALLOW_LINK, "iommu_group" },
        { ALLOW_LINK, "physfn" },
        { ALLOW_LINK, "physfn/driver" },
        { ALLOW_LINK, "driver/module" },
        { ALLOW_LINK, "subsystem" },
        { ALLOW_LINK, "iommu" },
        { ALLOW_LINK, "virtfn#" },
        { ALLOW_DIRECTORY, "." },
        { ALLOW_DIRECTORY, "block" },
        { ALLOW_DIRECTORY, "drm" },
        { ALLOW_DIRECTORY, "graphics" },
        { ALLOW_DIRECTORY, "infiniband" },
        { ALLOW_DIRECTORY, "mdev_supported_types" },
        { ALLOW_DIRECTORY, "mdev_supported_types/*/devices" },
        { ALLOW_LINK, "%/iommu_group" }, /* of a mediated device of it */
        { ALLOW_DIRECTORY, "nvidia" },
        { ALLOW_DIRECTORY, "net" },
        { ALLOW_DIRECTORY, "physfn/net" },
        { ALLOW_DIRECTORY, "nvme" },
        { ALLOW_DIRECTORY, "ptp" },
        { ALLOW_DIRECTORY, "sound" },
        { ALLOW_DIRECTORY, "tpm" },
        { ALLOW_DIRECTORY, "vfio-dev" },
        { ALLOW_DIRECTORY, "watchdog" },
        { ALLOW_DIRECTORY, "ata#" },
        { ALLOW_DIRECTORY, "host#" },
        { ALLOW_DIRECTORY, "usb#" },
        { 0 },
};

/* `manufacturer`, `product`, `serial`, `bNumInterfaces` and the like take the device's lock: udev's
 * database has the texts, the worker reads the rest. Numbers of an interface are copied from its descriptor
 * without one, and so is `authorized`. */
static const AllowEntry usb_list[] = {
        { ALLOW_ATTRIBUTE, "idVendor" },
        { ALLOW_ATTRIBUTE, "idProduct" },
        { ALLOW_ATTRIBUTE, "bcdDevice" },
        { ALLOW_ATTRIBUTE, "bDeviceClass" },
        { ALLOW_ATTRIBUTE, "bDeviceSubClass" },
        { ALLOW_ATTRIBUTE, "bDeviceProtocol" },
        { ALLOW_ATTRIBUTE, "busnum" },
        { ALLOW_ATTRIBUTE, "devnum" },
        { ALLOW_ATTRIBUTE, "devpath" },
        { ALLOW_ATTRIBUTE, "dev" },
        { ALLOW_ATTRIBUTE, "speed" },
        { ALLOW_ATTRIBUTE, "version" },
        { ALLOW_ATTRIBUTE, "maxchild" },
        { ALLOW_ATTRIBUTE, "removable" },
        { ALLOW_ATTRIBUTE, "bNumConfigurations" },
        { ALLOW_LINK, "driver" },
        { ALLOW_LINK, "driver/module" },
        { ALLOW_LINK, "subsystem" },
        { ALLOW_ATTRIBUTE, "authorized" },
        { ALLOW_LINK, "port" },
        { ALLOW_ATTRIBUTE, "port/connect_type" },
        { ALLOW_ATTRIBUTE, "@/bInterfaceClass" },
        { ALLOW_ATTRIBUTE, "@/bInterfaceSubClass" },
        { ALLOW_ATTRIBUTE, "@/bInterfaceProtocol" },
        { ALLOW_LINK, "@/driver" },
        { ALLOW_DIRECTORY, "." },
        { ALLOW_DIRECTORY, ".." }, /* what hangs on the same hub */
        { 0 },
};

static const AllowEntry general_list[] = {
        { ALLOW_ATTRIBUTE, "dev" },  { ALLOW_ATTRIBUTE, "modalias" }, { ALLOW_ATTRIBUTE, "ifindex" },
        { ALLOW_LINK, "driver" },    { ALLOW_LINK, "driver/module" }, { ALLOW_LINK, "iommu_group" },
        { ALLOW_LINK, "subsystem" }, { ALLOW_LINK, "mdev_type" },     { ALLOW_LINK, "device" },
        { ALLOW_DIRECTORY, "." },    { ALLOW_DIRECTORY, "vfio-dev" }, { 0 },
};

/* Parents of mediated devices. What their types say of themselves is asked of the driver. */
static const AllowEntry parent_list[] = {
        { ALLOW_LINK, "driver" },
        { ALLOW_LINK, "driver/module" },
        { ALLOW_LINK, "iommu_group" },
        { ALLOW_LINK, "subsystem" },
        { ALLOW_LINK, "%/iommu_group" },
        { ALLOW_DIRECTORY, "." },
        { ALLOW_DIRECTORY, "mdev_supported_types" },
        { ALLOW_DIRECTORY, "mdev_supported_types/*/devices" },
        { 0 },
};

static_assert(ELEMENTSOF(pci_list) <= ALLOW_MAX, "numbers must fit tables of ALLOW_MAX");
static_assert(ELEMENTSOF(usb_list) <= ALLOW_MAX, "numbers must fit tables of ALLOW_MAX");
static_assert(ELEMENTSOF(general_list) <= ALLOW_MAX, "numbers must fit tables of ALLOW_MAX");

const AllowEntry *allow_list(const char *subsystem) {
        static const struct {
                const char *subsystem;
                const AllowEntry *list;
        } lists[] = {
                { "pci", pci_list },
                { "usb", usb_list },
                { "mdev_bus", parent_list },
        };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                if (streq(lists[i].subsystem, subsystem))
                        return lists[i].list;
        return general_list;
}

/* "1-2.3:1.0" */
static size_t interface_length(const char *name) {
        size_t n = strspn(name, "0123456789-.");

        return n > 0 && name[0] != '.' && name[n] == ':' ? n + 1 + strspn(name + n + 1, "0123456789.") : 0;
}

/* What stands for the mark; 0: nothing does. */
static size_t mark_length(char mark, const char *name) {
        switch (mark) {
        case '#':
                return strspn(name, "0123456789");
        case '@':
                return interface_length(name);
        case '%':
                return strspn(name, "0123456789abcdef-") == UUID_TEXT_SIZE - 1 ? UUID_TEXT_SIZE - 1 : 0;
        case '*':
                return name[0] == '.' ? 0 : strcspn(name, "/");
        default:
                return name[0] == mark;
        }
}

static bool pattern_matches(const char *pattern, const char *name) {
        for (; *pattern; pattern++) {
                size_t length = mark_length(*pattern, name);

                if (length == 0)
                        return false;
                name += length;
        }
        return *name == '\0';
}

int allow_find(const AllowEntry *list, AllowKind kind, const char *name, bool *ret_pattern) {
        for (int i = 0; list[i].name; i++) {
                bool pattern;

                if (list[i].kind != kind)
                        continue;
                pattern = strpbrk(list[i].name, "#@%*");
                if (pattern ? !pattern_matches(list[i].name, name) : !streq(list[i].name, name))
                        continue;
                if (ret_pattern)
                        *ret_pattern = pattern;
                return i;
        }

        return -EPERM;
}
