/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the source finds on a host, and what differs when it looks again. */

#include "source-rig.h"

static void test_scan(void **state) {
        SourceRig *rig = *state;
        const HostDevice *host;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0",
                                         .driver = "e1000e",
                                         .iommu_group = "7",
                                         .numa_node = "1" });
        tree_pci(&rig->tree,
                 &(PciSpec){
                         .address = "0000:00:1f.3", .vendor = 0x10de, .device = 0x2236, .class = 0x030200 });
        assert_int_equal(source_start(rig->source, NULL), 0);

        host = source_find(rig->source, "pci-0000-00-01-0");
        assert_non_null(host);
        assert_string_equal(host->subsystem, "pci");
        assert_string_equal(host->sysname, "0000:00:01.0");
        assert_string_equal(host->above, "/devices/pci0000:00");
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
        SourceRig *rig = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char address[] = "0000:00:00.0";

                address[9] = (char) ('1' + i);
                tree_pci(&rig->tree, &(PciSpec){ .address = address, .class = cases[i].class });
        }
        assert_int_equal(source_start(rig->source, NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char id[] = "pci-0000-00-00-0";

                id[13] = (char) ('1' + i);
                assert_int_equal(source_find(rig->source, id)->bridge, cases[i].bridge);
        }
}

static void test_iommu_groups(void **state) {
        SourceRig *rig = *state;
        const HostDevice *host;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:03.1", .iommu_group = "1" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:03.0", .iommu_group = "1" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:03.2", .iommu_group = "1" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:04.0", .iommu_group = "1000" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:05.0", .iommu_group = "999999999" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:06.0", .iommu_group = "no-number" });
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
        SourceRig *rig = *state;

        tree_file(&rig->tree, "sys/bus/pci/slots/4/address", "0000:3b:00\n");
        tree_file(&rig->tree, "sys/bus/pci/slots/whole-bus/address", "0000:5e\n");
        tree_file(&rig->tree, "sys/bus/pci/slots/odd/address", "%s", "");
        tree_folder(&rig->tree, "sys/bus/pci/slots/empty");
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:3b:00.0" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:3b:00.1" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:3b:01.0" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:5e:03.0" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_string_equal(source_find(rig->source, "pci-0000-3b-00-0")->slot, "4");
        assert_string_equal(source_find(rig->source, "pci-0000-3b-00-1")->slot, "4");
        assert_null(source_find(rig->source, "pci-0000-3b-01-0")->slot);
        assert_string_equal(source_find(rig->source, "pci-0000-5e-03-0")->slot, "whole-bus");
        assert_string_equal(source_property(rig->source, source_find(rig->source, "pci-0000-3b-00-0"),
                                            "PT_PHYSICAL_SLOT"),
                            "4");
        assert_null(source_property(rig->source, source_find(rig->source, "pci-0000-3b-01-0"),
                                    "PT_PHYSICAL_SLOT"));
}

static void test_usb(void **state) {
        static const char *const names[] = { "usb1", "1-2", "1-2/1-2.3", "1-2/1-2:1.0", "1-0:1.0" };
        SourceRig *rig = *state;
        char path[128], target[128];

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const char *below = i == 0 ? "" : names[i], *slash = strrchr(names[i], '/');

                (void) snprintf(path, sizeof(path), "sys/devices/pci0000:00/usb1/%s/speed", below);
                tree_file(&rig->tree, path, "480\n");
                (void) snprintf(path, sizeof(path), "sys/bus/usb/devices/%s", slash ? slash + 1 : names[i]);
                (void) snprintf(target, sizeof(target), "../../../devices/pci0000:00/usb1%s%s", i == 0 ? "" : "/",
                                below);
                tree_link(&rig->tree, path, target);
        }
        assert_int_equal(source_watch_subsystem(rig->source, "usb"), 0);
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_string_equal(source_find(rig->source, "usb-pci0000-00-2-3")->devtype, "usb_device");
        assert_non_null(source_find(rig->source, "usb-pci0000-00-0"));
        assert_non_null(source_find(rig->source, "usb-pci0000-00-2"));
        assert_string_equal(source_find_by_name(rig->source, "usb", "1-2.3")->place, "pci0000:00/2.3");
        /* Interfaces are parts of their device. */
        assert_null(source_find(rig->source, "usb-1-2-1-0"));
        assert_null(source_find(rig->source, "usb-1-0-1-0"));
}

/* A device for USB 3 shows up on one root hub or the other, and is at the same place. */
static void test_usb_places(void **state) {
        static const char *const links[][2] = {
                { "usb1", "usb1" }, { "usb2", "usb2" }, { "1-1", "usb1/1-1" }, { "2-1", "usb2/2-1" },
                { "2-1.3", "usb2/2-1/2-1.3" }, { "2-4", "usb2/2-4" },
        };
        SourceRig *rig = *state;
        char path[128], target[128];

        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                (void) snprintf(path, sizeof(path), "sys/devices/pci0000:00/0000:00:14.0/%s/speed", links[i][1]);
                tree_file(&rig->tree, path, "%s\n", strncmp(links[i][0], "1-", 2) == 0 || i == 0 ? "480" : "5000");
                (void) snprintf(path, sizeof(path), "sys/devices/pci0000:00/0000:00:14.0/%s/bDeviceClass", links[i][1]);
                tree_file(&rig->tree, path, strstr(links[i][0], "-1") && !strchr(links[i][0], '.') ? "09\n" : "00\n");
                (void) snprintf(path, sizeof(path), "sys/bus/usb/devices/%s", links[i][0]);
                (void) snprintf(target, sizeof(target), "../../../devices/pci0000:00/0000:00:14.0/%s", links[i][1]);
                tree_link(&rig->tree, path, target);
        }
        tree_link(&rig->tree, "sys/devices/pci0000:00/0000:00:14.0/usb2/2-0:1.0/usb2-port4/peer",
                  "../../../usb1/1-0:1.0/usb1-port6");
        tree_link(&rig->tree, "sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/2-1-port3/peer",
                  "../../../../usb1/1-1/1-1:1.0/1-1-port3");
        assert_int_equal(source_watch_subsystem(rig->source, "usb"), 0);
        assert_int_equal(source_start(rig->source, NULL), 0);

        assert_string_equal(source_find_by_name(rig->source, "usb", "2-4")->place, "0000:00:14.0/6");
        assert_string_equal(source_find_by_name(rig->source, "usb", "2-1.3")->place, "0000:00:14.0/1.3");
        /* Both halves of a hub are there at the same time. */
        assert_string_equal(source_find_by_name(rig->source, "usb", "1-1")->place, "0000:00:14.0/1");
        assert_string_equal(source_find_by_name(rig->source, "usb", "2-1")->place, "0000:00:14.0/ss1");
        assert_string_equal(source_find_by_name(rig->source, "usb", "usb1")->place, "0000:00:14.0/0");
        assert_string_equal(source_find_by_name(rig->source, "usb", "usb2")->place, "0000:00:14.0/ss0");

        /* Moved to the other root hub, and the new one is seen before the old one's end is. */
        rig->events[0] = '\0';
        tree_remove(&rig->tree, "sys/bus/usb/devices/2-4");
        tree_file(&rig->tree, "sys/devices/pci0000:00/0000:00:14.0/usb1/1-6/speed", "480\n");
        tree_link(&rig->tree, "sys/bus/usb/devices/1-6", "../../../devices/pci0000:00/0000:00:14.0/usb1/1-6");
        assert_int_equal(source_rescan(rig->source), 0);
        assert_events(rig, "removed usb-0000-00-14-0-6; added usb-0000-00-14-0-6; scanned ");
}

static void test_classes(void **state) {
        SourceRig *rig = *state;

        tree_folder(&rig->tree, "sys/devices/virtual/net/lo");
        tree_link(&rig->tree, "sys/class/net/lo", "../../devices/virtual/net/lo");
        assert_int_equal(source_watch_subsystem(rig->source, "net"), 0);
        assert_int_equal(source_watch_subsystem(rig->source, "mdev"), 0); /* not there */
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_string_equal(source_find(rig->source, "net-lo")->above, "/devices/virtual/net");
        /* A bus that appears later is found by the next scan. */
        tree_folder(&rig->tree, "sys/devices/virtual/mdev/abc");
        tree_link(&rig->tree, "sys/bus/mdev/devices/abc", "../../../devices/virtual/mdev/abc");
        assert_int_equal(source_rescan(rig->source), 0);
        assert_non_null(source_find(rig->source, "mdev-abc"));
}

static void test_odd_subsystems(void **state) {
        static const char *const bad[] = { "", ".", "..", "a/b", NULL };
        SourceRig *rig = *state;
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
        SourceRig *rig = *state;

        tree_file(&rig->tree, "sys/bus/pci/devices/a-file", "x");
        tree_link(&rig->tree, "sys/bus/pci/devices/dangling", "../../../devices/nothing");
        tree_link(&rig->tree, "sys/bus/pci/devices/outside", "../../../../etc");
        tree_link(&rig->tree, "sys/bus/pci/devices/absolute", "/etc");
        tree_link(&rig->tree, "sys/bus/pci/devices/sneaky", "../../../devices/../../etc");
        tree_folder(&rig->tree, "etc");
        tree_folder(&rig->tree, "sys/devices/odd");
        tree_link(&rig->tree, "sys/bus/pci/devices/___", "../../../devices/odd");
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_events(rig, "added pci-0000-00-01-0");
}

/* Two names that make one id: the second is left out rather than mistaken for the first. */
static void test_one_id(void **state) {
        SourceRig *rig = *state;
        const HostDevice *host;
        unsigned n = 0;

        tree_folder(&rig->tree, "sys/devices/one/a.b");
        tree_folder(&rig->tree, "sys/devices/two/a:b");
        tree_link(&rig->tree, "sys/bus/pci/devices/a.b", "../../../devices/one/a.b");
        tree_link(&rig->tree, "sys/bus/pci/devices/a:b", "../../../devices/two/a:b");
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_find(rig->source, "pci-a-b");
        assert_non_null(host);
        n += source_find_by_name(rig->source, "pci", "a.b") == host;
        n += source_find_by_name(rig->source, "pci", "a:b") == host;
        assert_int_equal(n, 1);
}

/* The kernel names a link as the folder that it leads to; what it is not is not taken for a device. */
static void test_other_name(void **state) {
        SourceRig *rig = *state;

        tree_folder(&rig->tree, "sys/devices/one");
        tree_link(&rig->tree, "sys/bus/pci/devices/a.b", "../../../devices/one");
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_null(source_find(rig->source, "pci-a-b"));
}

static void test_rescan(void **state) {
        SourceRig *rig = *state;

        tree_pci(&rig->tree,
                 &(PciSpec){ .address = "0000:00:01.0", .driver = "e1000e", .iommu_group = "1" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.0", .driver = "nvme", .iommu_group = "2" });
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

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.0" });
        assert_int_equal(source_rescan(rig->source), 0);
        assert_events(rig, "added pci-0000-00-02-0; scanned ");
}

/* Another card in the same slot, whose events nobody saw, is another device. */
static void test_replaced(void **state) {
        SourceRig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .iommu_group = "1" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        rig->events[0] = '\0';
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "device", "0x1533");
        assert_int_equal(source_rescan(rig->source), 0);
        assert_events(rig, "removed pci-0000-00-01-0; added pci-0000-00-01-0; scanned ");
        assert_int_equal(source_find(rig->source, "pci-0000-00-01-0")->product, 0x1533);
        assert_ptr_equal(source_iommu_group(rig->source, 1), source_find(rig->source, "pci-0000-00-01-0"));
}

static void test_views(void **state) {
        SourceRig *rig = *state;
        const HostDevice *host;
        json_t *json, *expected;
        PtDevice view;

        tree_pci(&rig->tree,
                 &(PciSpec){ .address = "0000:00:01.0", .driver = "e1000e", .iommu_group = "7" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);
        host_device_view(host, &view);
        assert_int_equal(view.struct_size, sizeof(view));
        assert_string_equal(view.id, "pci-0000-00-01-0");
        assert_string_equal(view.driver, "e1000e");
        assert_int_equal(view.numa_node_plus_1, 0);
        assert_int_equal(view.iommu_group, 7);

        expected = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:i, s:i}", "id", "pci-0000-00-01-0", "subsystem",
                             "pci", "sysname", "0000:00:01.0", "driver", "e1000e", "iommu_group", 7,
                             "numa_node", -1, "module", "pci.so", "place", "0000:00:01.0", "instance", 0,
                             "slot", 0);
        json = host_device_to_json(host, "pci.so");
        assert_true(json_equal(json, expected));
        json_decref(json);
        json_decref(expected);
        json = host_device_to_json(host, NULL);
        assert_null(json_object_get(json, "module"));
        json_decref(json);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, source_rig_set_up, source_rig_tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_scan),   TEST(test_bridges), TEST(test_iommu_groups),   TEST(test_slots),
                TEST(test_usb),    TEST(test_usb_places), TEST(test_classes), TEST(test_odd_subsystems), TEST(test_odd_entries),
                TEST(test_one_id), TEST(test_other_name), TEST(test_rescan),  TEST(test_replaced),       TEST(test_views),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
