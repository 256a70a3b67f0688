/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "daemon/log.h"
#include "daemon/source-allow.h"
#include "daemon/source.h"
#include "host-tree.h"

/* The source without a loop: scans are done at once. What it reports is written down as a line of words. */
typedef struct Rig {
        HostTree tree;
        Interner *interner;
        Source *source;
        char events[4096];
        void (*on_added)(struct Rig *rig, HostDevice *host);
} Rig;

static void note(Rig *rig, const char *what, const HostDevice *host, const char *more) {
        size_t used = strlen(rig->events);

        (void) snprintf(rig->events + used, sizeof(rig->events) - used, "%s%s %s%s", used > 0 ? "; " : "", what,
                        host ? host->id : "", more);
}

static void on_added(void *userdata, HostDevice *host) {
        Rig *rig = userdata;

        note(rig, "added", host, "");
        if (rig->on_added)
                rig->on_added(rig, host);
}

static void on_changed(void *userdata, HostDevice *host, const char *action) {
        assert_string_equal(action, "rescan");
        if (host->differs)
                note(userdata, "changed", host, "");
}

static void on_removed(void *userdata, HostDevice *host) {
        Rig *rig = userdata;

        /* It can still be found. */
        assert_ptr_equal(source_find(rig->source, host->id), host);
        note(rig, "removed", host, "");
}

static void on_scanned(void *userdata) {
        note(userdata, "scanned", NULL, "");
}

static int set_up(void **state) {
        Rig *rig = calloc(1, sizeof(*rig));

        assert_non_null(rig);
        host_tree_make(&rig->tree);
        assert_int_equal(interner_new(&rig->interner), 0);
        assert_int_equal(source_new(NULL, &rig->tree.sysfs, rig->interner,
                                    &(SourceEvents) { rig, on_added, on_changed, on_removed, on_scanned },
                                    &rig->source), 0);
        assert_int_equal(source_watch_subsystem(rig->source, "pci"), 0);
        *state = rig;
        return 0;
}

static int tear_down(void **state) {
        Rig *rig = *state;

        assert_null(source_free(rig->source));
        /* Nothing is left behind. */
        assert_int_equal(interner_count(rig->interner), 0);
        assert_null(interner_free(rig->interner));
        host_tree_remove(&rig->tree);
        free(rig);
        return 0;
}

static void assert_events(Rig *rig, const char *expected) {
        assert_string_equal(rig->events, expected);
        rig->events[0] = '\0';
}

/* ---- scanning ---- */

static void test_scan(void **state) {
        Rig *rig = *state;
        const HostDevice *host;

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0", .driver = "e1000e", .iommu_group = "7",
                                          .numa_node = "1" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:1f.3", .vendor = 0x10de, .device = 0x2236,
                                          .class = 0x030200 });
        assert_int_equal(source_start(rig->source, NULL), 0);

        host = source_find(rig->source, "pci-0000-00-01-0");
        assert_non_null(host);
        assert_string_equal(host->subsystem, "pci");
        assert_string_equal(host->sysname, "0000:00:01.0");
        assert_string_equal(host->syspath, "/devices/pci0000:00/0000:00:01.0");
        assert_string_equal(host->driver, "e1000e");
        assert_null(host->devtype);
        assert_null(host->slot);
        assert_int_equal(host->iommu_group, 7);
        assert_int_equal(host->numa_node, 1);
        assert_int_equal(host->vendor, 0x8086);
        assert_int_equal(host->product, 0x10d3);
        assert_int_equal(host->class_code, 0x020000);
        assert_false(host->bridge);
        assert_ptr_equal(source_find_by_name(rig->source, "pci", "0000:00:01.0"), host);
        assert_null(source_find_by_name(rig->source, "pci", "0000-00-01-0"));
        assert_null(source_find_by_name(rig->source, "usb", "0000:00:01.0"));

        host = source_find(rig->source, "pci-0000-00-1f-3");
        assert_non_null(host);
        assert_null(host->driver);
        assert_int_equal(host->iommu_group, -1);
        assert_int_equal(host->numa_node, -1);
        assert_int_equal(host->vendor, 0x10de);
        assert_non_null(source_first(rig->source));
}

static void test_bridges(void **state) {
        static const struct {
                unsigned class;
                bool bridge;
        } cases[] = {
                { 0x060000, true },  { 0x060400, true },  { 0x060401, true },  { 0x060940, true },
                { 0x060100, false }, { 0x0c0500, false }, { 0x020000, false },
        };
        Rig *rig = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char address[] = "0000:00:00.0";

                address[9] = (char) ('1' + i);
                tree_pci(&rig->tree, &(PciSpec) { .address = address, .class = cases[i].class });
        }
        assert_int_equal(source_start(rig->source, NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char id[] = "pci-0000-00-00-0";

                id[13] = (char) ('1' + i);
                assert_int_equal(source_find(rig->source, id)->bridge, cases[i].bridge);
        }
}

static void test_iommu_groups(void **state) {
        Rig *rig = *state;
        const HostDevice *host;

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:03.1", .iommu_group = "1" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:03.0", .iommu_group = "1" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:03.2", .iommu_group = "1" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:04.0", .iommu_group = "1000" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:05.0", .iommu_group = "999999999" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:06.0", .iommu_group = "no-number" });
        assert_int_equal(source_start(rig->source, NULL), 0);

        /* In order of their ids, whatever the order of the folder. */
        host = source_iommu_group(rig->source, 1);
        assert_string_equal(host->sysname, "0000:00:03.0");
        assert_string_equal(host->next_in_iommu_group->sysname, "0000:00:03.1");
        assert_string_equal(host->next_in_iommu_group->next_in_iommu_group->sysname, "0000:00:03.2");
        assert_null(host->next_in_iommu_group->next_in_iommu_group->next_in_iommu_group);
        assert_string_equal(source_iommu_group(rig->source, 1000)->sysname, "0000:00:04.0");
        assert_null(source_iommu_group(rig->source, 2));
        assert_null(source_iommu_group(rig->source, -1));
        assert_null(source_iommu_group(rig->source, 100000));
        /* A number that cannot be is not shown as "none", which would look safe to split. */
        assert_null(source_find(rig->source, "pci-0000-00-05-0"));
        assert_int_equal(source_find(rig->source, "pci-0000-00-06-0")->iommu_group, -1);

        tree_pci_remove(&rig->tree, "0000:00:03.1");
        assert_int_equal(source_rescan(rig->source), 0);
        host = source_iommu_group(rig->source, 1);
        assert_string_equal(host->next_in_iommu_group->sysname, "0000:00:03.2");
}

static void test_slots(void **state) {
        Rig *rig = *state;

        tree_file(&rig->tree, "sys/bus/pci/slots/4/address", "0000:3b:00\n");
        tree_file(&rig->tree, "sys/bus/pci/slots/whole-bus/address", "0000:5e\n");
        tree_file(&rig->tree, "sys/bus/pci/slots/odd/address", "%s", "");
        tree_folder(&rig->tree, "sys/bus/pci/slots/empty");
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:3b:00.0" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:3b:00.1" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:3b:01.0" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:5e:03.0" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_string_equal(source_find(rig->source, "pci-0000-3b-00-0")->slot, "4");
        assert_string_equal(source_find(rig->source, "pci-0000-3b-00-1")->slot, "4");
        assert_null(source_find(rig->source, "pci-0000-3b-01-0")->slot);
        assert_string_equal(source_find(rig->source, "pci-0000-5e-03-0")->slot, "whole-bus");
        assert_string_equal(source_property(rig->source, source_find(rig->source, "pci-0000-3b-00-0"),
                                            "PT_PHYSICAL_SLOT"), "4");
        assert_null(source_property(rig->source, source_find(rig->source, "pci-0000-3b-01-0"), "PT_PHYSICAL_SLOT"));
}

static void test_usb(void **state) {
        static const char *const names[] = { "usb1", "1-2", "1-2.3", "1-2:1.0", "1-0:1.0" };
        Rig *rig = *state;
        char path[128], target[128];

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                (void) snprintf(path, sizeof(path), "sys/devices/pci0000:00/usb1/%s/speed", names[i]);
                tree_file(&rig->tree, path, "480\n");
                (void) snprintf(path, sizeof(path), "sys/bus/usb/devices/%s", names[i]);
                (void) snprintf(target, sizeof(target), "../../../devices/pci0000:00/usb1/%s", names[i]);
                tree_link(&rig->tree, path, target);
        }
        assert_int_equal(source_watch_subsystem(rig->source, "usb"), 0);
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_string_equal(source_find(rig->source, "usb-1-2-3")->devtype, "usb_device");
        assert_non_null(source_find(rig->source, "usb-usb1"));
        assert_non_null(source_find(rig->source, "usb-1-2"));
        /* Interfaces are parts of their device. */
        assert_null(source_find(rig->source, "usb-1-2-1-0"));
        assert_null(source_find(rig->source, "usb-1-0-1-0"));
}

static void test_classes(void **state) {
        Rig *rig = *state;

        tree_folder(&rig->tree, "sys/devices/virtual/net/lo");
        tree_link(&rig->tree, "sys/class/net/lo", "../../devices/virtual/net/lo");
        assert_int_equal(source_watch_subsystem(rig->source, "net"), 0);
        assert_int_equal(source_watch_subsystem(rig->source, "mdev"), 0); /* not there */
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_string_equal(source_find(rig->source, "net-lo")->syspath, "/devices/virtual/net/lo");
        /* A bus that appears later is found by the next scan. */
        tree_folder(&rig->tree, "sys/devices/virtual/mdev/abc");
        tree_link(&rig->tree, "sys/bus/mdev/devices/abc", "../../../devices/virtual/mdev/abc");
        assert_int_equal(source_rescan(rig->source), 0);
        assert_non_null(source_find(rig->source, "mdev-abc"));
}

static void test_odd_subsystems(void **state) {
        static const char *const bad[] = { "", ".", "..", "a/b", NULL };
        Rig *rig = *state;
        char name[300];

        for (size_t i = 0; bad[i]; i++)
                assert_int_equal(source_watch_subsystem(rig->source, bad[i]), -EINVAL);
        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        assert_int_equal(source_watch_subsystem(rig->source, name), -EINVAL);
        assert_int_equal(source_watch_subsystem(rig->source, "pci"), 0); /* twice is once */
}

/* What no kernel makes, and what has no proper name. */
static void test_odd_entries(void **state) {
        Rig *rig = *state;

        tree_file(&rig->tree, "sys/bus/pci/devices/a-file", "x");
        tree_link(&rig->tree, "sys/bus/pci/devices/dangling", "../../../devices/nothing");
        tree_link(&rig->tree, "sys/bus/pci/devices/outside", "../../../../etc");
        tree_link(&rig->tree, "sys/bus/pci/devices/absolute", "/etc");
        tree_link(&rig->tree, "sys/bus/pci/devices/sneaky", "../../../devices/../../etc");
        tree_folder(&rig->tree, "etc");
        tree_folder(&rig->tree, "sys/devices/odd");
        tree_link(&rig->tree, "sys/bus/pci/devices/___", "../../../devices/odd");
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_events(rig, "added pci-0000-00-01-0");
}

/* Two names that make one id: the second is left out rather than mistaken for the first. */
static void test_one_id(void **state) {
        Rig *rig = *state;
        const HostDevice *host;
        unsigned n = 0;

        tree_folder(&rig->tree, "sys/devices/one");
        tree_link(&rig->tree, "sys/bus/pci/devices/a.b", "../../../devices/one");
        tree_link(&rig->tree, "sys/bus/pci/devices/a:b", "../../../devices/one");
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_find(rig->source, "pci-a-b");
        assert_non_null(host);
        n += source_find_by_name(rig->source, "pci", "a.b") == host;
        n += source_find_by_name(rig->source, "pci", "a:b") == host;
        assert_int_equal(n, 1);
}

static void test_rescan(void **state) {
        Rig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0", .driver = "e1000e", .iommu_group = "1" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:02.0", .driver = "nvme", .iommu_group = "2" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        rig->events[0] = '\0';
        assert_int_equal(source_rescan(rig->source), 0);
        assert_events(rig, "scanned ");

        tree_pci_bind(&rig->tree, "0000:00:01.0", "vfio-pci");
        tree_pci_remove(&rig->tree, "0000:00:02.0");
        assert_int_equal(source_rescan(rig->source), 0);
        assert_events(rig, "changed pci-0000-00-01-0; removed pci-0000-00-02-0; scanned ");
        assert_string_equal(source_find(rig->source, "pci-0000-00-01-0")->driver, "vfio-pci");
        assert_null(source_iommu_group(rig->source, 2));

        tree_pci_bind(&rig->tree, "0000:00:01.0", NULL);
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "numa_node", "3");
        assert_int_equal(source_rescan(rig->source), 0);
        assert_events(rig, "changed pci-0000-00-01-0; scanned ");
        assert_null(source_find(rig->source, "pci-0000-00-01-0")->driver);

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:02.0" });
        assert_int_equal(source_rescan(rig->source), 0);
        assert_events(rig, "added pci-0000-00-02-0; scanned ");
}

/* Another card in the same slot, whose events nobody saw, is another device. */
static void test_replaced(void **state) {
        Rig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0", .iommu_group = "1" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        rig->events[0] = '\0';
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "device", "0x1533");
        assert_int_equal(source_rescan(rig->source), 0);
        assert_events(rig, "removed pci-0000-00-01-0; added pci-0000-00-01-0; scanned ");
        assert_int_equal(source_find(rig->source, "pci-0000-00-01-0")->product, 0x1533);
        assert_ptr_equal(source_iommu_group(rig->source, 1), source_find(rig->source, "pci-0000-00-01-0"));
}

/* ---- reading ---- */

static ssize_t attribute(Rig *rig, const HostDevice *host, const char *name, char *buffer) {
        return source_read_attribute(rig->source, host, name, buffer, 64);
}

static void test_read(void **state) {
        char text[64], large[5002];
        Rig *rig = *state;
        const HostDevice *host;

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0", .driver = "e1000e" });
        tree_link(&rig->tree, "sys/devices/pci0000:00/0000:00:01.0/virtfn12", "../0000:00:01.1");
        tree_link(&rig->tree, "sys/devices/pci0000:00/0000:00:01.0/label", "revision");
        memset(large, 'x', sizeof(large) - 2);
        large[sizeof(large) - 2] = '\0';
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "local_cpulist", large);
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "revision", "   \t ");
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);

        for (int round = 0; round < 2; round++) {
                if (round)
                        source_begin_round(rig->source, host);
                for (int again = 0; again < 2; again++) {
                        assert_int_equal(attribute(rig, host, "vendor", text), 6);
                        assert_string_equal(text, "0x8086");
                        assert_int_equal(attribute(rig, host, "acpi_index", text), -ENOENT);
                        assert_int_equal(attribute(rig, host, "revision", text), 0);
                        assert_string_equal(text, "");
                        assert_int_equal(source_read_attribute(rig->source, host, "vendor", text, 6), -E2BIG);
                        assert_int_equal(source_read_attribute(rig->source, host, "vendor", text, 0), -EINVAL);
                        assert_int_equal(attribute(rig, host, "local_cpulist", text), -E2BIG);
                        /* Too long to be kept, and still read when there is room. */
                        assert_int_equal(source_read_attribute(rig->source, host, "local_cpulist", large,
                                                               sizeof(large)), (ssize_t) sizeof(large) - 2);
                        /* Attributes are no links. */
                        assert_int_equal(attribute(rig, host, "label", text), -ELOOP);

                        assert_int_equal(source_read_link(rig->source, host, "driver", text, sizeof(text)), 6);
                        assert_string_equal(text, "e1000e");
                        assert_int_equal(source_read_link(rig->source, host, "driver", text, 6), -E2BIG);
                        assert_int_equal(source_read_link(rig->source, host, "driver/module", text, sizeof(text)), 6);
                        assert_int_equal(source_read_link(rig->source, host, "virtfn12", text, sizeof(text)), 12);
                        assert_string_equal(text, "0000:00:01.1");
                        assert_int_equal(source_read_link(rig->source, host, "virtfn1", text, sizeof(text)), -ENOENT);
                        assert_int_equal(source_read_link(rig->source, host, "physfn", text, sizeof(text)), -ENOENT);
                }
                if (round)
                        source_end_round(rig->source, host);
        }
}

static void test_not_allowed(void **state) {
        static const char *const attributes[] = {
                "uevent",  "driver_override", "sriov_numvfs", "config",    "vpd",      "power/control", "resource0",
                "enable",  "rom",             "driver",       "../vendor", "./vendor", "vendor/",       "",
                "virtfn0", "current_link_speed", "power_state",
        };
        Rig *rig = *state;
        const HostDevice *host;
        char text[64];

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);
        for (int round = 0; round < 2; round++) {
                if (round)
                        source_begin_round(rig->source, host);
                for (size_t i = 0; i < ELEMENTSOF(attributes); i++)
                        assert_int_equal(attribute(rig, host, attributes[i], text), -EPERM);
                assert_int_equal(source_read_link(rig->source, host, "vendor", text, sizeof(text)), -EPERM);
                assert_int_equal(source_read_link(rig->source, host, "virtfn", text, sizeof(text)), -EPERM);
                assert_int_equal(source_read_link(rig->source, host, "virtfn0/driver", text, sizeof(text)), -EPERM);
                assert_int_equal(source_list(rig->source, host, "power", NULL, NULL), -EPERM);
                assert_int_equal(source_list(rig->source, host, "..", NULL, NULL), -EPERM);
                if (round)
                        source_end_round(rig->source, host);
        }
}

/* Which attributes other subsystems have. */
static void test_lists(void **state) {
        assert_true(allow_find(allow_list("usb"), ALLOW_ATTRIBUTE, "idVendor", NULL) >= 0);
        /* They take the device's lock. */
        assert_int_equal(allow_find(allow_list("usb"), ALLOW_ATTRIBUTE, "serial", NULL), -EPERM);
        assert_int_equal(allow_find(allow_list("usb"), ALLOW_ATTRIBUTE, "bNumInterfaces", NULL), -EPERM);
        assert_int_equal(allow_find(allow_list("usb"), ALLOW_ATTRIBUTE, "vendor", NULL), -EPERM);
        assert_true(allow_find(allow_list("block"), ALLOW_ATTRIBUTE, "dev", NULL) >= 0);
        assert_int_equal(allow_find(allow_list("block"), ALLOW_ATTRIBUTE, "uevent", NULL), -EPERM);
}

static void count_entry(void *userdata, const char *entry) {
        if (startswith(entry, "virtfn"))
                ++*(unsigned *) userdata;
}

static void test_list(void **state) {
        unsigned entries = 0, inside = 0;
        Rig *rig = *state;
        const HostDevice *host;

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0" });
        tree_link(&rig->tree, "sys/devices/pci0000:00/0000:00:01.0/virtfn0", "../0000:00:01.1");
        tree_link(&rig->tree, "sys/devices/pci0000:00/0000:00:01.0/virtfn1", "../0000:00:01.2");
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);
        assert_int_equal(source_list(rig->source, host, ".", count_entry, &entries), 0);
        assert_int_equal(entries, 2);
        source_begin_round(rig->source, host);
        assert_int_equal(source_list(rig->source, host, ".", count_entry, &inside), 0);
        assert_int_equal(inside, 2);
        assert_int_equal(source_list(rig->source, host, "net", count_entry, &inside), -ENOENT);
        source_end_round(rig->source, host);
}

/* Within a round a value is read once; after it, anew. */
static void test_rounds(void **state) {
        HostDevice *host, *other;
        Rig *rig = *state;
        char text[64];

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0" });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:02.0" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_find(rig->source, "pci-0000-00-01-0");
        other = source_find(rig->source, "pci-0000-00-02-0");

        source_begin_round(rig->source, host);
        source_begin_round(rig->source, host);
        assert_true(attribute(rig, host, "vendor", text) > 0);
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "vendor", "0x10de");
        tree_pci_attribute(&rig->tree, "0000:00:02.0", "vendor", "0x1002");
        source_end_round(rig->source, host);
        assert_true(attribute(rig, host, "vendor", text) > 0);
        assert_string_equal(text, "0x8086");
        /* Another device is read as it is. */
        source_begin_round(rig->source, other);
        assert_true(attribute(rig, other, "vendor", text) > 0);
        assert_string_equal(text, "0x1002");
        source_end_round(rig->source, other);
        assert_null(source_property(rig->source, other, "ID_PATH"));

        source_end_round(rig->source, host);
        assert_true(attribute(rig, host, "vendor", text) > 0);
        assert_string_equal(text, "0x10de");
}

/* A device may go at any moment, also between its event and the reads. */
static void vanish(Rig *rig, HostDevice *host) {
        char text[64];

        tree_pci_remove(&rig->tree, host->sysname);
        assert_int_equal(attribute(rig, host, "vendor", text), 6); /* read before */
        assert_int_equal(attribute(rig, host, "revision", text), -ENOENT);
        assert_int_equal(source_read_link(rig->source, host, "physfn", text, sizeof(text)), -ENOENT);
        assert_null(source_property(rig->source, host, "ID_PATH"));
}

static void test_vanished(void **state) {
        Rig *rig = *state;
        HostDevice *host;
        char text[64];

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0" });
        rig->on_added = vanish;
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);
        assert_int_equal(attribute(rig, host, "vendor", text), -ENOENT);
        source_begin_round(rig->source, host);
        assert_int_equal(attribute(rig, host, "vendor", text), -ENOENT);
        source_end_round(rig->source, host);
        assert_int_equal(source_list(rig->source, host, ".", count_entry, NULL), -ENOENT);
        rig->events[0] = '\0';
        assert_int_equal(source_rescan(rig->source), 0);
        assert_events(rig, "removed pci-0000-00-01-0; scanned ");
}

/* Nothing but what is allowed is even opened: those files could hang. */
static void test_opens_nothing_else(void **state) {
        static const char *const forbidden[] = { "uevent", "driver_override", "sriov_numvfs", "config" };
        char path[PATH_MAX], buffer[8192];
        Rig *rig = *state;
        _cleanup_close_ int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        bool vendor_opened = false;
        HostDevice *host;
        ssize_t n;

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0", .driver = "e1000e", .iommu_group = "1" });
        (void) snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/0000:00:01.0", rig->tree.root);
        assert_true(fd >= 0 && inotify_add_watch(fd, path, IN_OPEN) >= 0);
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);
        (void) source_property(rig->source, host, "ID_MODEL_FROM_DATABASE");
        (void) source_property(rig->source, host, "ID_PATH");
        assert_int_equal(source_rescan(rig->source), 0);

        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                for (char *p = buffer; p < buffer + n;) {
                        const struct inotify_event *event = (const void *) p;

                        for (size_t i = 0; event->len > 0 && i < ELEMENTSOF(forbidden); i++)
                                assert_string_not_equal(event->name, forbidden[i]);
                        vendor_opened |= event->len > 0 && streq(event->name, "vendor");
                        p += sizeof(*event) + event->len;
                }
        assert_true(vendor_opened);
}

/* ---- properties ---- */

/* Of a vendor that the machine's own hardware database does not know. */
#define UNKNOWN .vendor = 0xfff1, .device = 0xfff2

static void test_properties(void **state) {
        Rig *rig = *state;
        const HostDevice *host;

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0", UNKNOWN });
        tree_file(&rig->tree, "run/udev/data/+pci:0000:00:01.0",
                  "I:123\nE:ID_PATH=pci-0000:00:01.0\nE:ID_MODEL_FROM_DATABASE=82574L\nE:EMPTY=\nG:systemd\nE:LAST=x");
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);
        assert_string_equal(source_property(rig->source, host, "ID_PATH"), "pci-0000:00:01.0");
        assert_string_equal(source_property(rig->source, host, "ID_MODEL_FROM_DATABASE"), "82574L");
        assert_string_equal(source_property(rig->source, host, "EMPTY"), "");
        assert_string_equal(source_property(rig->source, host, "LAST"), "x");
        assert_null(source_property(rig->source, host, "ID_PAT"));
        assert_null(source_property(rig->source, host, "systemd"));
        assert_null(source_property(rig->source, host, "ID_VENDOR_FROM_DATABASE"));

        /* What udev says of this one device is read each time. */
        tree_file(&rig->tree, "run/udev/data/+pci:0000:00:01.0", "E:ID_PATH=other\n");
        assert_string_equal(source_property(rig->source, host, "ID_PATH"), "other");
        /* Its model was known already. */
        assert_string_equal(source_property(rig->source, host, "ID_MODEL_FROM_DATABASE"), "82574L");
}

/* Names belong to models: one record serves all devices of it, and another board is another model. */
static void test_models(void **state) {
        Rig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0", UNKNOWN });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:02.0", UNKNOWN });
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:03.0", UNKNOWN });
        tree_pci_attribute(&rig->tree, "0000:00:03.0", "subsystem_device", "0x1234");
        tree_file(&rig->tree, "run/udev/data/+pci:0000:00:01.0", "E:ID_MODEL_FROM_DATABASE=82574L\n");
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_string_equal(source_property(rig->source, source_find(rig->source, "pci-0000-00-01-0"),
                                            "ID_MODEL_FROM_DATABASE"), "82574L");
        assert_string_equal(source_property(rig->source, source_find(rig->source, "pci-0000-00-02-0"),
                                            "ID_MODEL_FROM_DATABASE"), "82574L");
        assert_null(source_property(rig->source, source_find(rig->source, "pci-0000-00-03-0"),
                                    "ID_MODEL_FROM_DATABASE"));
}

/* Where udev runs and has not written its record yet, the answer is not kept. */
static void test_record_to_come(void **state) {
        Rig *rig = *state;
        const HostDevice *host;

        tree_file(&rig->tree, "run/udev/control", "%s", "");
        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0", UNKNOWN });
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);
        assert_null(source_property(rig->source, host, "ID_MODEL_FROM_DATABASE"));
        tree_file(&rig->tree, "run/udev/data/+pci:0000:00:01.0", "E:ID_MODEL_FROM_DATABASE=Late\n");
        assert_string_equal(source_property(rig->source, host, "ID_MODEL_FROM_DATABASE"), "Late");
}

static void test_other_records(void **state) {
        Rig *rig = *state;

        tree_file(&rig->tree, "sys/devices/usb1/1-2/dev", "189:5\n");
        tree_file(&rig->tree, "sys/devices/usb1/1-2/idVendor", "046d\n");
        tree_file(&rig->tree, "sys/devices/usb1/1-2/idProduct", "c31c\n");
        tree_link(&rig->tree, "sys/bus/usb/devices/1-2", "../../../devices/usb1/1-2");
        tree_file(&rig->tree, "run/udev/data/c189:5",
                  "E:ID_SERIAL_SHORT=S1\nE:ID_MODEL_FROM_DATABASE=Keyboard\nE:ID_VENDOR=a\\x20b\n");
        tree_file(&rig->tree, "sys/devices/virtual/net/eth0/ifindex", "3\n");
        tree_link(&rig->tree, "sys/class/net/eth0", "../../devices/virtual/net/eth0");
        tree_file(&rig->tree, "run/udev/data/n3", "E:ID_NET_NAME=eno1\n");
        tree_file(&rig->tree, "sys/devices/virtual/block/sda/dev", "8:0\n");
        tree_link(&rig->tree, "sys/class/block/sda", "../../devices/virtual/block/sda");
        tree_file(&rig->tree, "run/udev/data/b8:0", "E:ID_TYPE=disk\n");
        for (const char *const *s = (const char *const[]) { "usb", "net", "block", NULL }; *s; s++)
                assert_int_equal(source_watch_subsystem(rig->source, *s), 0);
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_string_equal(source_property(rig->source, source_find(rig->source, "usb-1-2"), "ID_SERIAL_SHORT"), "S1");
        assert_string_equal(source_property(rig->source, source_find(rig->source, "usb-1-2"), "ID_MODEL_FROM_DATABASE"),
                            "Keyboard");
        assert_string_equal(source_property(rig->source, source_find(rig->source, "net-eth0"), "ID_NET_NAME"), "eno1");
        assert_string_equal(source_property(rig->source, source_find(rig->source, "block-sda"), "ID_TYPE"), "disk");
        assert_null(source_property(rig->source, source_find(rig->source, "block-sda"), "ID_MODEL_FROM_DATABASE"));
}

static void test_facts_pass_through(void **state) {
        Rig *rig = *state;

        assert_string_equal(source_host_fact(rig->source, "iommu"), "dmar0");
        assert_string_equal(source_host_fact(rig->source, "driver:pci:nvme"), "registered");
}

static void test_views(void **state) {
        Rig *rig = *state;
        const HostDevice *host;
        json_t *json, *expected;
        PtDevice view;

        tree_pci(&rig->tree, &(PciSpec) { .address = "0000:00:01.0", .driver = "e1000e", .iommu_group = "7" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);
        host_device_view(host, &view);
        assert_int_equal(view.struct_size, sizeof(view));
        assert_string_equal(view.id, "pci-0000-00-01-0");
        assert_string_equal(view.driver, "e1000e");
        assert_int_equal(view.numa_node_plus_1, 0);
        assert_int_equal(view.iommu_group, 7);

        expected = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s}", "id", "pci-0000-00-01-0", "subsystem", "pci",
                             "sysname", "0000:00:01.0", "driver", "e1000e", "iommu_group", 7, "numa_node", -1, "module",
                             "pci.so");
        json = host_device_to_json(host, "pci.so");
        assert_true(json_equal(json, expected));
        json_decref(json);
        json_decref(expected);
        json = host_device_to_json(host, NULL);
        assert_null(json_object_get(json, "module"));
        json_decref(json);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_scan),          TEST(test_bridges),
                TEST(test_iommu_groups),  TEST(test_slots),
                TEST(test_usb),           TEST(test_classes),
                TEST(test_odd_subsystems), TEST(test_odd_entries),
                TEST(test_one_id),        TEST(test_rescan),
                TEST(test_replaced),      TEST(test_read),
                TEST(test_not_allowed),   TEST(test_lists),
                TEST(test_list),          TEST(test_rounds),
                TEST(test_vanished),      TEST(test_opens_nothing_else),
                TEST(test_properties),    TEST(test_models),
                TEST(test_record_to_come), TEST(test_other_records),
                TEST(test_facts_pass_through), TEST(test_views),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
