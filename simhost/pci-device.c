/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pci-device.h"

#include "config-space.h"

/* Attributes that read the same on every function here. */
static const struct {
        const char *name, *value;
} constant_attributes[] = {
        { "broken_parity_status", "0\n" },
        { "consistent_dma_mask_bits", "64\n" },
        { "d3cold_allowed", "1\n" },
        { "dma_mask_bits", "64\n" },
        { "enable", "1\n" },
        { "irq", "16\n" },
        { "msi_bus", "1\n" },
        { "power_state", "D0\n" },
};

static void write_ids(Tree *t, const char *path, const PciSpec *s) {
        tree_attribute(t, path, "vendor", "0x%04x\n", s->vendor);
        tree_attribute(t, path, "device", "0x%04x\n", s->device);
        tree_attribute(t, path, "subsystem_vendor", "0x%04x\n", s->subvendor);
        tree_attribute(t, path, "subsystem_device", "0x%04x\n", s->subdevice);
        tree_attribute(t, path, "class", "0x%06x\n", s->class);
        tree_attribute(t, path, "revision", "0x%02x\n", s->revision);
        tree_attribute(t, path, "modalias", "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n", s->vendor,
                       s->device, s->subvendor, s->subdevice, s->class >> 16, s->class >> 8 & 0xff,
                       s->class & 0xff);
        for (size_t i = 0; i < ELEMENTS(constant_attributes); i++)
                tree_attribute(t, path, constant_attributes[i].name, "%s", constant_attributes[i].value);
        tree_attribute(t, path, "ari_enabled", "%d\n", s->physfn ? 1 : 0);
}

static void write_place(Tree *t, const char *path, const PciSpec *s) {
        static const char *const cpus[][2] = {
                { "0-31\n", "00000000,ffffffff\n" },
                { "32-63\n", "ffffffff,00000000\n" },
        };
        int node = s->numa > 0 ? 1 : 0;

        tree_attribute(t, path, "numa_node", "%d\n", s->numa);
        tree_attribute(t, path, "local_cpulist", "%s", s->numa < 0 ? "0-63\n" : cpus[node][0]);
        tree_attribute(t, path, "local_cpus", "%s", s->numa < 0 ? "ffffffff,ffffffff\n" : cpus[node][1]);
        if (s->bus >= 0) {
                tree_attribute(t, path, "secondary_bus_number", "%d\n", s->bus);
                tree_attribute(t, path, "subordinate_bus_number", "%d\n", s->bus);
        }
        if (s->boot_vga >= 0)
                tree_attribute(t, path, "boot_vga", "%d\n", s->boot_vga);
        if (s->label)
                tree_attribute(t, path, "label", "%s\n", s->label);
        if (s->acpi_index >= 0)
                tree_attribute(t, path, "acpi_index", "%d\n", s->acpi_index);
        if (!s->link_speed)
                return;
        /* A VF has no link of its own to report. */
        tree_attribute(t, path, "max_link_speed", "%s\n", s->physfn ? "Unknown" : s->link_speed);
        tree_attribute(t, path, "current_link_speed", "%s\n", s->physfn ? "Unknown" : s->link_speed);
        tree_attribute(t, path, "max_link_width", "%d\n", s->physfn ? 0 : s->link_width);
        tree_attribute(t, path, "current_link_width", "%d\n", s->physfn ? 0 : s->link_width);
}

static void write_resources(Tree *t, const char *path, const PciSpec *s) {
        char text[2048];
        size_t n = 0;

        for (int i = 0; i < (s->bus >= 0 ? 17 : 13); i++)
                n += (size_t) snprintf(
                        text + n, sizeof(text) - n, "%s",
                        s->bus < 0 && i == 0 ? "0x00000000d0000000 0x00000000d0ffffff 0x0000000000040200\n"
                        : s->bus < 0 && i == 2
                                ? "0x0000020000000000 0x000002000003ffff 0x000000000014220c\n"
                                : "0x0000000000000000 0x0000000000000000 0x0000000000000000\n");
        tree_attribute(t, path, "resource", "%s", text);
}

static void write_binary(Tree *t, const char *path, const PciSpec *s) {
        uint8_t bytes[CONFIG_SPACE_SIZE];
        size_t size;
        Path p;

        size = config_space_build(s, bytes);
        tree_share(t, path_make(&p, "%s/config", path), bytes, size);
        size = vpd_build(s, bytes, sizeof(bytes));
        if (size > 0)
                tree_write(t, path_make(&p, "%s/vpd", path), 0600, bytes, size);
}

/* Files one can write to: the fake kernel answers for those of the devices it controls. */
static void write_controls(Tree *t, const char *path, const PciSpec *s) {
        tree_put(t, path, "driver_override", 0644, "(null)\n");
        tree_put(t, path, "remove", 0200, "%s", "");
        tree_put(t, path, "rescan", 0200, "%s", "");
        if (s->reset) {
                tree_put(t, path, "reset_method", 0644, "%s\n", s->reset);
                tree_put(t, path, "reset", 0200, "%s", "");
        }
        if (s->sriov.total > 0) {
                tree_put(t, path, "sriov_numvfs", 0644, "0\n");
                tree_put(t, path, "sriov_drivers_autoprobe", 0644, "1\n");
                tree_attribute(t, path, "sriov_totalvfs", "%d\n", s->sriov.total);
                tree_attribute(t, path, "sriov_offset", "%d\n", s->sriov.offset);
                tree_attribute(t, path, "sriov_stride", "%d\n", s->sriov.stride);
                tree_attribute(t, path, "sriov_vf_device", "%x\n", s->sriov.vf_device);
                tree_attribute(t, path, "sriov_vf_total_msix", "0\n");
        }
}

void pci_device_write_uevent(Tree *t, const char *path, const char *driver) {
        uint64_t class = 0, vendor = 0, device = 0, subvendor = 0, subdevice = 0;
        char modalias[128] = "", line[64] = "";

        (void) tree_read_number(t, path, "class", 16, &class);
        (void) tree_read_number(t, path, "vendor", 16, &vendor);
        (void) tree_read_number(t, path, "device", 16, &device);
        (void) tree_read_number(t, path, "subsystem_vendor", 16, &subvendor);
        (void) tree_read_number(t, path, "subsystem_device", 16, &subdevice);
        (void) tree_read(t, path, "modalias", modalias, sizeof(modalias));
        if (driver)
                (void) snprintf(line, sizeof(line), "DRIVER=%s\n", driver);
        tree_put(
                t, path, "uevent", 0644,
                "%sPCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\nPCI_SLOT_NAME=%s\nMODALIAS=%s\n",
                line, (unsigned) class, (unsigned) vendor, (unsigned) device, (unsigned) subvendor,
                (unsigned) subdevice, path_name(path), modalias);
}

static void write_udev(Tree *t, const PciSpec *s) {
        char name[64], tag[32];

        copy_text(tag, sizeof(tag), s->bdf);
        for (char *c = tag; *c; c++)
                if (*c == ':' || *c == '.')
                        *c = '_';
        (void) snprintf(name, sizeof(name), "+pci:%s", s->bdf);
        tree_put(t, "run/udev/data", name, 0644,
                 "I:1000000\nE:ID_VENDOR_FROM_DATABASE=%s\nE:ID_MODEL_FROM_DATABASE=%s\nE:ID_PATH=pci-%s\n"
                 "E:ID_PATH_TAG=pci-%s\nV:1\n",
                 s->vendor_name ? s->vendor_name : "", s->device_name ? s->device_name : "", s->bdf, tag);
}

void pci_device_write(Tree *t, const char *path, const PciSpec *s) {
        const char *key;
        json_t *value;
        Path p;

        tree_make_directory(t, path);
        write_ids(t, path, s);
        write_place(t, path, s);
        write_resources(t, path, s);
        write_binary(t, path, s);
        write_controls(t, path, s);
        tree_make_directory(t, path_make(&p, "%s/power", path));
        tree_attribute(t, p.s, "control", "auto\n");
        tree_attribute(t, p.s, "runtime_status", "active\n");
        pci_device_write_uevent(t, path, NULL);
        tree_symlink(t, "sys/bus/pci", path, "subsystem");
        write_udev(t, s);

        json_object_foreach(s->attributes, key, value) {
                if (json_is_string(value))
                        tree_put(t, path, key, 0644, "%s", json_string_value(value));
        }
}

void pci_vf_spec(const PciSpec *pf, int index, PciSpec *ret) {
        unsigned id = (unsigned) (pf->address.bus << 8 | pf->address.device << 3 | pf->address.function);

        id += (unsigned) (pf->sriov.offset + index * pf->sriov.stride);
        *ret = (PciSpec){
                .address.domain = pf->address.domain,
                .address.bus = (uint8_t) (id >> 8),
                .address.device = id >> 3 & 0x1f,
                .address.function = id & 7,
                .vendor = pf->vendor,
                .device = pf->sriov.vf_device,
                .subvendor = pf->subvendor,
                .subdevice = pf->subdevice,
                .class = pf->class,
                .revision = pf->revision,
                .vendor_name = pf->vendor_name,
                .device_name = pf->sriov.vf_name,
                .natural = pf->sriov.vf_driver,
                .reset = "flr",
                .link_speed = pf->link_speed,
                .physfn = pf->bdf,
                .vgpu = pf->vgpu,
                .group = pf->group == GROUP_NONE ? GROUP_NONE : GROUP_OWN,
                .numa = pf->numa,
                .bus = -1,
                .acpi_index = -1,
                .boot_vga = -1,
                .express = true,
        };
        pci_address_format(&ret->address, ret->bdf);
        if (pf->sriov.vf_net) {
                const char *name = json_text(json_array_get(pf->net, 0), "name", "vf");

                ret->net = json_pack("[{s:o}]", "name", json_sprintf("%sv%d", name, index));
        }
}
