/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-build.h"

#include <stddef.h>

#include "iommu-group.h"
#include "kobject.h"
#include "pci-device.h"

#define GROUPS_MAX 65536

/* A new network namespace has a few interfaces of its own: lo, and those of tunnels. */
#define IFINDEX_BEFORE 9

static const char *const directories[] = {
        "sys/bus/pci/devices",
        "sys/bus/pci/drivers",
        "sys/bus/pci/slots",
        "sys/bus/usb/devices",
        "sys/bus/usb/drivers",
        "sys/bus/hid/devices",
        "sys/bus/hid/drivers",
        "sys/bus/mdev/devices",
        "sys/bus/mdev/drivers",
        "sys/bus/cpu/devices",
        "sys/class/net",
        "sys/class/block",
        "sys/class/nvme",
        "sys/class/iommu",
        "sys/class/mdev_bus",
        "sys/class/vfio",
        "sys/class/vfio-dev",
        "sys/class/pci_bus",
        "sys/class/drm",
        "sys/class/sound",
        "sys/class/tty",
        "sys/class/input",
        "sys/class/misc",
        "sys/dev/char",
        "sys/dev/block",
        "sys/block",
        "sys/devices/virtual",
        "sys/devices/system/cpu",
        "sys/devices/system/node/node0",
        "sys/devices/system/node/node1",
        "sys/kernel/iommu_groups",
        "sys/module",
        "sys/firmware/acpi/tables",
        "dev/bus/usb",
        "proc/sys/kernel/random",
        "run/udev/data",
        "run/udev/tags",
        "kernel/parked",
        "kernel/udev",
        "kernel/usb",
        "kernel/counters",
};

static const char *const usb_drivers[] = { "usb",         "usbfs",   "hub",     "usbhid",
                                           "usb-storage", "cdc_acm", "cdc_ether", "ftdi_sio" };

/* Where the module is not called like its driver; NULL: part of the kernel. */
static const char *const module_names[][2] = {
        { "4xxx", "qat_4xxx" }, { "i801_smbus", "i2c_i801" }, { "pcieport", NULL },
        { "serial", NULL },     { "xhci_hcd", "xhci_pci" },
};

static const struct {
        const char *module, *parameter, *value;
} vfio_modules[] = {
        { "vfio", "enable_unsafe_noiommu_mode", "N" },
        { "vfio_iommu_type1", "allow_unsafe_interrupts", "N" },
        { "vfio_pci_core", NULL, NULL },
        { "vfio_pci", "disable_idle_d3", "N" },
        { "vfio_pci", "enable_sriov", "N" },
        { "vfio_pci", "disable_denylist", "N" },
        { "mdev", NULL, NULL },
};

static void add_module(Tree *t, const char *module) {
        Path p;

        tree_make_directory(t, path_make(&p, "sys/module/%s/holders", module));
        path_make(&p, "sys/module/%s", module);
        tree_attribute(t, p.s, "initstate", "live\n");
        tree_attribute(t, p.s, "refcnt", "1\n");
}

static const char *module_of(const char *driver, char *buffer, size_t size) {
        for (size_t i = 0; i < ELEMENTS(module_names); i++)
                if (string_equal(module_names[i][0], driver))
                        return module_names[i][1];
        copy_text(buffer, size, driver);
        for (char *c = buffer; *c; c++)
                if (*c == '-')
                        *c = '_';
        return buffer;
}

void host_add_driver(Tree *t, const char *driver) {
        char buffer[64], name[80];
        const char *module = module_of(driver, buffer, sizeof(buffer));
        Path p, m;

        if (tree_has(t, "sys/bus/pci/drivers", driver))
                return;
        tree_make_directory(t, path_make(&p, "sys/bus/pci/drivers/%s", driver));
        tree_put(t, p.s, "bind", 0200, "%s", "");
        tree_put(t, p.s, "unbind", 0200, "%s", "");
        tree_put(t, p.s, "new_id", 0200, "%s", "");
        tree_put(t, p.s, "remove_id", 0200, "%s", "");
        tree_put(t, p.s, "uevent", 0200, "%s", "");
        if (!module)
                return;

        add_module(t, module);
        tree_symlink(t, path_make(&m, "sys/module/%s", module), p.s, "module");
        tree_make_directory(t, path_make(&m, "sys/module/%s/drivers", module));
        (void) snprintf(name, sizeof(name), "pci:%s", driver);
        tree_symlink(t, p.s, m.s, name);
}

static void add_vfio(Tree *t) {
        Path p;

        for (size_t i = 0; i < ELEMENTS(vfio_modules); i++) {
                add_module(t, vfio_modules[i].module);
                if (!vfio_modules[i].parameter)
                        continue;
                tree_make_directory(t, path_make(&p, "sys/module/%s/parameters", vfio_modules[i].module));
                tree_put(t, p.s, vfio_modules[i].parameter, 0644, "%s\n", vfio_modules[i].value);
        }
        host_add_driver(t, "vfio-pci");
        tree_make_directory(t, "sys/devices/virtual/misc/vfio");
        tree_put(t, "sys/devices/virtual/misc/vfio", "dev", 0444, "0:0\n");
        tree_put(t, "sys/devices/virtual/misc/vfio", "uevent", 0644, "DEVNAME=vfio/vfio\nDEVMODE=0666\n");
        tree_symlink(t, "sys/class/misc", "sys/devices/virtual/misc/vfio", "subsystem");
        kobject_register(t, "sys/devices/virtual/misc/vfio");
}

static void build_skeleton(Tree *t) {
        Path p;

        for (size_t i = 0; i < ELEMENTS(directories); i++)
                tree_make_directory(t, directories[i]);
        tree_put(t, "sys/bus/pci", "drivers_autoprobe", 0644, "1\n");
        tree_put(t, "sys/bus/pci", "drivers_probe", 0200, "%s", "");
        tree_put(t, "sys/bus/pci", "rescan", 0200, "%s", "");
        tree_put(t, "sys/bus/pci", "uevent", 0200, "%s", "");
        tree_put(t, "sys/bus/usb", "drivers_probe", 0200, "%s", "");
        tree_attribute(t, "sys/devices/system/node/node0", "cpulist", "0-31\n");
        tree_attribute(t, "sys/devices/system/node/node1", "cpulist", "32-63\n");
        tree_attribute(t, "sys/devices/system/node", "online", "0-1\n");
        for (size_t i = 0; i < ELEMENTS(usb_drivers); i++) {
                tree_make_directory(t, path_make(&p, "sys/bus/usb/drivers/%s", usb_drivers[i]));
                tree_put(t, p.s, "bind", 0200, "%s", "");
                tree_put(t, p.s, "unbind", 0200, "%s", "");
        }
        /* libudev takes this file for the sign that udev runs, and then listens for udev's events. */
        tree_put(t, "run/udev", "control", 0600, "%s", "");
        tree_put(t, "proc", "swaps", 0444, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
}

static void build_platform(Tree *t, const Description *d) {
        const char *flags = string_equal(d->cpu, "amd")     ? " svm"
                            : string_equal(d->cpu, "intel") ? " vmx"
                                                            : "";
        bool intel = !string_equal(d->iommu, "amd"), on = !string_equal(d->iommu, "none");
        const char *unit = intel ? "dmar0" : "ivhd0";
        Path p;

        tree_put(t, "proc", "cmdline", 0444, "%s\n", d->cmdline);
        tree_put(t, "proc", "cpuinfo", 0444,
                 "processor\t: 0\nvendor_id\t: %s\nmodel name\t: simulated processor\nflags\t\t: fpu msr "
                 "pae lm%s\n\n",
                 string_equal(d->cpu, "amd") ? "AuthenticAMD" : "GenuineIntel", flags);
        /* The names of the controllers tell whether interrupts are remapped. */
        tree_put(t, "proc", "interrupts", 0444,
                 "            CPU0\n   1:          9  %sIO-APIC    1-edge      i8042\n  24:          0  %sPCI-MSI 16384-edge\n",
                 on ? "IR-" : "", on ? "IR-" : "");
        /* Whoever wants the host to have been started anew writes another one. */
        tree_put(t, "proc/sys/kernel/random", "boot_id", 0644, "5e1f0b0a-7d43-4c51-9d0e-2a6c8f1b3d77\n");
        tree_put(t, "kernel", "iommu-type", 0644, "%s\n",
                 strstr(d->cmdline, "iommu=pt") ? "identity" : "DMA-FQ");
        /* The firmware has the table whether the kernel uses it or not. */
        tree_put(t, "sys/firmware/acpi/tables", intel ? "DMAR" : "IVRS", 0400, "%s",
                 intel ? "DMAR" : "IVRS");
        if (!on)
                return;

        tree_make_directory(t, path_make(&p, IOMMU_UNIT "/%s/devices", unit));
        path_make(&p, IOMMU_UNIT "/%s", unit);
        tree_put(t, p.s, "uevent", 0644, "%s", "");
        tree_symlink(t, "sys/class/iommu", p.s, "subsystem");
        kobject_register(t, p.s);
        tree_put(t, "kernel", "iommu-unit", 0644, "%s\n", p.s);
        path_make(&p, IOMMU_UNIT "/%s/%s", unit, intel ? "intel-iommu" : "amd-iommu");
        tree_make_directory(t, p.s);
        tree_attribute(t, p.s, "cap", "%s\n", "d2008c222f0686");
        tree_attribute(t, p.s, intel ? "ecap" : "features", "%s\n", "f00f4e");
        if (intel) {
                tree_attribute(t, p.s, "address", "fed90000\n");
                tree_attribute(t, p.s, "version", "1:0\n");
        }
}

static void link_driver(Tree *t, const char *path, const char *driver) {
        Path p;

        tree_symlink(t, path_make(&p, "sys/bus/pci/drivers/%s", driver), path, "driver");
        tree_symlink(t, path, p.s, path_name(path));
        pci_device_write_uevent(t, path, driver);
}

static void register_class_device(const char *path, void *userdata) {
        kobject_register(userdata, path);
}

static void add_slot(Tree *t, const PciSpec *s) {
        Path p;

        tree_make_directory(t, path_make(&p, "sys/bus/pci/slots/%s", s->slot));
        if (s->bus >= 0)
                tree_attribute(t, p.s, "address", "%04x:%02x:00\n", s->address.domain, (unsigned) s->bus);
        else
                tree_attribute(t, p.s, "address", "%.*s\n", (int) (strlen(s->bdf) - 2), s->bdf);
        tree_put(t, p.s, "adapter", 0444, "1\n");
        tree_put(t, p.s, "power", 0644, "1\n");
        tree_attribute(t, p.s, "max_bus_speed", "%s\n", s->link_speed ? s->link_speed : "Unknown");
}

void host_add_function(Tree *t, const char *parent, const PciSpec *s, Counters *counters, Path *ret) {
        char unit[PATH_MAX];
        Path path, p;
        int group = s->group;

        path_make(&path, "%s/%s", parent, s->bdf);
        pci_device_write(t, path.s, s);
        if (group == GROUP_OWN)
                group = counters->group = iommu_group_free_number(t, counters->group);
        if (group >= 0 && tree_read(t, "kernel", "iommu-unit", unit, sizeof(unit)) >= 0) {
                iommu_group_join(t, group, path.s);
                tree_symlink(t, unit, path.s, "iommu");
                tree_symlink(t, path.s, path_make(&p, "%s/devices", unit), s->bdf);
        }
        kobject_register(t, path.s);

        class_devices_write(t, path.s, s, counters);
        if (s->driver)
                link_driver(t, path.s, s->driver);
        if (s->driver && string_equal(s->driver, s->natural)) {
                if (s->net || s->nvme || s->usb)
                        kobject_walk(t, path.s, false, register_class_device, t);
                if (s->mdev)
                        tree_symlink(t, path.s, "sys/class/mdev_bus", s->bdf);
        } else
                class_devices_park(t, path.s);
        if (s->slot)
                add_slot(t, s);
        if (ret)
                *ret = path;
}

static void add_virtual_functions(Tree *t, const char *parent, const PciSpec *pf, const char *pf_path,
                                  Counters *counters) {
        char name[32];

        for (int i = 0; i < pf->sriov.vfs; i++) {
                PciSpec vf;
                Path path;

                pci_vf_spec(pf, i, &vf);
                vf.driver = vf.natural;
                host_add_function(t, parent, &vf, counters, &path);
                json_decref(vf.net);
                tree_symlink(t, pf_path, path.s, "physfn");
                (void) snprintf(name, sizeof(name), "virtfn%d", i);
                tree_symlink(t, path.s, pf_path, name);
        }
        if (pf->sriov.vfs > 0)
                tree_put(t, pf_path, "sriov_numvfs", 0644, "%d\n", pf->sriov.vfs);
}

static void build_drivers(Tree *t, const Description *d) {
        json_t *driver;
        size_t i;

        for (size_t k = 0; k < d->n_devices; k++) {
                const PciSpec *s = &d->devices[k];

                if (s->driver)
                        host_add_driver(t, s->driver);
                if (s->natural)
                        host_add_driver(t, s->natural);
                if (s->sriov.vf_driver)
                        host_add_driver(t, s->sriov.vf_driver);
        }
        json_array_foreach(d->drivers, i, driver) {
                if (json_is_string(driver))
                        host_add_driver(t, json_string_value(driver));
        }
        if (d->vfio)
                add_vfio(t);
}

/* Groups that the description names keep their number; the others take what is left, in the order of
 * addresses. */
int host_number_groups(Description *d) {
        _cleanup_free_ bool *taken = allocate(GROUPS_MAX * sizeof(bool));
        int next = 0;

        for (size_t i = 0; i < d->n_devices; i++)
                if (d->devices[i].group >= 0)
                        taken[d->devices[i].group] = true;
        for (size_t i = 0; i < d->n_devices; i++) {
                if (d->devices[i].group != GROUP_OWN)
                        continue;
                while (next < GROUPS_MAX && taken[next])
                        next++;
                d->devices[i].group = next++;
        }
        return next;
}

static void build_devices(Tree *t, const Description *d, Counters *counters) {
        _cleanup_free_ Path *bridges = allocate(256 * sizeof(Path));
        uint32_t domain = UINT32_MAX;

        for (size_t i = 0; i < d->n_devices; i++) {
                const PciSpec *s = &d->devices[i];
                Path root, path;
                const char *parent;

                if (s->address.domain != domain) {
                        domain = s->address.domain;
                        memset(bridges, 0, 256 * sizeof(Path));
                }
                parent = bridges[s->address.bus].s;
                if (*parent == '\0') {
                        path_make(&root, "sys/devices/pci%04x:%02x", s->address.domain, s->address.bus);
                        tree_make_directory(t, root.s);
                        bridges[s->address.bus] = root;
                }
                host_add_function(t, parent, s, counters, &path);
                if (s->bus >= 0)
                        bridges[s->bus] = path;
                add_virtual_functions(t, parent, s, path.s, counters);
        }
}

/* What the description has beside devices. */
static void build_further(Tree *t, const Description *d) {
        const char *path;
        json_t *value;
        Path directory;

        json_object_foreach(d->files, path, value) {
                path_make(&directory, "%.*s", (int) (path_name(path) - path - 2), path + 1);
                tree_make_directory(t, directory.s);
                tree_put(t, directory.s, path_name(path), 0644, "%s", json_string_value(value));
        }
        json_object_foreach(d->links, path, value) {
                path_make(&directory, "%.*s", (int) (path_name(path) - path - 2), path + 1);
                tree_make_directory(t, directory.s);
                tree_make_directory(t, json_string_value(value) + 1);
                tree_symlink(t, json_string_value(value) + 1, directory.s, path_name(path));
        }
}

int host_build(Tree *t, Description *d) {
        Counters counters = { .ifindex = IFINDEX_BEFORE };

        build_skeleton(t);
        build_platform(t, d);
        build_drivers(t, d);
        counters.group = host_number_groups(d);
        build_devices(t, d, &counters);
        build_further(t, d);
        host_save_counters(t, &counters);
        return tree_failed(t);
}

/* One file each, by their names. */
static const struct {
        const char *name;
        size_t offset;
} counter_files[] = {
        { "ifindex", offsetof(Counters, ifindex) }, { "net", offsetof(Counters, net) },
        { "nvme", offsetof(Counters, nvme) },       { "block-minor", offsetof(Counters, block_minor) },
        { "usb-bus", offsetof(Counters, usb_bus) }, { "iommu-group", offsetof(Counters, group) },
};

void host_save_counters(Tree *t, const Counters *c) {
        for (size_t i = 0; i < ELEMENTS(counter_files); i++)
                tree_put(t, "kernel/counters", counter_files[i].name, 0644, "%d\n",
                         *(const int *) ((const char *) c + counter_files[i].offset));
}

void host_load_counters(Tree *t, Counters *ret) {
        *ret = (Counters){ .ifindex = IFINDEX_BEFORE };
        for (size_t i = 0; i < ELEMENTS(counter_files); i++) {
                uint64_t value;

                if (tree_read_number(t, "kernel/counters", counter_files[i].name, 10, &value) >= 0)
                        *(int *) ((char *) ret + counter_files[i].offset) = (int) value;
        }
}
