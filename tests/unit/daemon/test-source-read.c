/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What modules may read through the source, and what nobody may. */

#include <libudev.h>
#include <limits.h>
#include <sys/inotify.h>

#include "daemon/source-allow.h"
#include "source-rig.h"

static ssize_t attribute(SourceRig *rig, const HostDevice *host, const char *name, char *buffer) {
        return source_read_attribute(rig->source, host, name, buffer, 64);
}

static void test_read(void **state) {
        char text[64], large[5002];
        SourceRig *rig = *state;
        const HostDevice *host;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .driver = "e1000e" });
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
                        assert_int_equal(source_read_attribute(rig->source, host, "vendor", text, 6),
                                         -E2BIG);
                        assert_int_equal(source_read_attribute(rig->source, host, "vendor", text, 0),
                                         -EINVAL);
                        assert_int_equal(attribute(rig, host, "local_cpulist", text), -E2BIG);
                        /* Too long to be kept, and still read when there is room. */
                        assert_int_equal(source_read_attribute(rig->source, host, "local_cpulist", large,
                                                               sizeof(large)),
                                         (ssize_t) sizeof(large) - 2);
                        /* Attributes are no links. */
                        assert_int_equal(attribute(rig, host, "label", text), -ELOOP);

                        assert_int_equal(source_read_link(rig->source, host, "driver", text, sizeof(text)),
                                         6);
                        assert_string_equal(text, "e1000e");
                        assert_int_equal(source_read_link(rig->source, host, "driver", text, 6), -E2BIG);
                        assert_int_equal(
                                source_read_link(rig->source, host, "driver/module", text, sizeof(text)), 6);
                        assert_int_equal(source_read_link(rig->source, host, "virtfn12", text, sizeof(text)),
                                         12);
                        assert_string_equal(text, "0000:00:01.1");
                        assert_int_equal(source_read_link(rig->source, host, "virtfn1", text, sizeof(text)),
                                         -ENOENT);
                        assert_int_equal(source_read_link(rig->source, host, "physfn", text, sizeof(text)),
                                         -ENOENT);
                }
                if (round)
                        source_end_round(rig->source, host);
        }
}

static void test_not_allowed(void **state) {
        static const char *const attributes[] = {
                "uevent",       "driver_override",
                "sriov_numvfs", "config",
                "vpd",          "power/control",
                "resource0",    "enable",
                "rom",          "driver",
                "../vendor",    "./vendor",
                "vendor/",      "",
                "virtfn0",      "current_link_speed",
                "power_state",
        };
        SourceRig *rig = *state;
        const HostDevice *host;
        char text[64];

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);
        for (int round = 0; round < 2; round++) {
                if (round)
                        source_begin_round(rig->source, host);
                for (size_t i = 0; i < ELEMENTSOF(attributes); i++)
                        assert_int_equal(attribute(rig, host, attributes[i], text), -EPERM);
                assert_int_equal(source_read_link(rig->source, host, "vendor", text, sizeof(text)), -EPERM);
                assert_int_equal(source_read_link(rig->source, host, "virtfn", text, sizeof(text)), -EPERM);
                assert_int_equal(source_read_link(rig->source, host, "virtfn0/driver", text, sizeof(text)),
                                 -EPERM);
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
        SourceRig *rig = *state;
        const HostDevice *host;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
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
        SourceRig *rig = *state;
        char text[64];

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.0" });
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
static void vanish(SourceRig *rig, HostDevice *host) {
        char text[64];

        tree_pci_remove(&rig->tree, host->sysname);
        assert_int_equal(attribute(rig, host, "vendor", text), 6); /* read before */
        assert_int_equal(attribute(rig, host, "revision", text), -ENOENT);
        assert_int_equal(source_read_link(rig->source, host, "physfn", text, sizeof(text)), -ENOENT);
        assert_null(source_property(rig->source, host, "ID_PATH"));
}

static void test_vanished(void **state) {
        SourceRig *rig = *state;
        HostDevice *host;
        char text[64];

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
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
        SourceRig *rig = *state;
        _cleanup_close_ int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        bool vendor_opened = false;
        HostDevice *host;
        ssize_t n;

        tree_pci(&rig->tree,
                 &(PciSpec){ .address = "0000:00:01.0", .driver = "e1000e", .iommu_group = "1" });
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
        SourceRig *rig = *state;
        const HostDevice *host;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", UNKNOWN });
        tree_file(&rig->tree, "run/udev/data/+pci:0000:00:01.0",
                  "I:123\nE:ID_PATH=pci-0000:00:01.0\nE:ID_MODEL_FROM_DATABASE=82574L\nE:EMPTY=\nG:"
                  "systemd\nE:LAST=x");
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
        SourceRig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", UNKNOWN });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.0", UNKNOWN });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:03.0", UNKNOWN });
        tree_pci_attribute(&rig->tree, "0000:00:03.0", "subsystem_device", "0x1234");
        tree_file(&rig->tree, "run/udev/data/+pci:0000:00:01.0", "E:ID_MODEL_FROM_DATABASE=82574L\n");
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_string_equal(source_property(rig->source, source_find(rig->source, "pci-0000-00-01-0"),
                                            "ID_MODEL_FROM_DATABASE"),
                            "82574L");
        assert_string_equal(source_property(rig->source, source_find(rig->source, "pci-0000-00-02-0"),
                                            "ID_MODEL_FROM_DATABASE"),
                            "82574L");
        assert_null(source_property(rig->source, source_find(rig->source, "pci-0000-00-03-0"),
                                    "ID_MODEL_FROM_DATABASE"));
}

/* Without a record, the name is what libudev finds by the modalias; nothing where the machine has no
 * database. */
static void test_hardware_database(void **state) {
        static const char modalias[] = "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00";
        struct udev *udev = udev_new();
        struct udev_hwdb *hwdb = udev_hwdb_new(udev);
        struct udev_list_entry *entry;
        const char *expected = NULL;
        SourceRig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
        assert_int_equal(source_start(rig->source, NULL), 0);
        if (hwdb)
                udev_list_entry_foreach(
                        entry, udev_hwdb_get_properties_list_entry(
                                       hwdb, modalias, 0)) if (streq(udev_list_entry_get_name(entry),
                                                                     "ID_MODEL_FROM_DATABASE")) expected =
                        udev_list_entry_get_value(entry);
        for (int again = 0; again < 2; again++) {
                const char *found =
                        source_property(rig->source, source_first(rig->source), "ID_MODEL_FROM_DATABASE");

                assert_int_equal(found != NULL, expected != NULL);
                if (expected)
                        assert_string_equal(found, expected);
        }
        if (hwdb)
                udev_hwdb_unref(hwdb);
        udev_unref(udev);
}

/* Where udev runs and has not written its record yet, the answer is not kept. */
static void test_record_to_come(void **state) {
        SourceRig *rig = *state;
        const HostDevice *host;

        tree_file(&rig->tree, "run/udev/control", "%s", "");
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", UNKNOWN });
        assert_int_equal(source_start(rig->source, NULL), 0);
        host = source_first(rig->source);
        assert_null(source_property(rig->source, host, "ID_MODEL_FROM_DATABASE"));
        tree_file(&rig->tree, "run/udev/data/+pci:0000:00:01.0", "E:ID_MODEL_FROM_DATABASE=Late\n");
        assert_string_equal(source_property(rig->source, host, "ID_MODEL_FROM_DATABASE"), "Late");
}

static void test_other_records(void **state) {
        SourceRig *rig = *state;

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
        for (const char *const *s = (const char *const[]){ "usb", "net", "block", NULL }; *s; s++)
                assert_int_equal(source_watch_subsystem(rig->source, *s), 0);
        assert_int_equal(source_start(rig->source, NULL), 0);
        assert_string_equal(
                source_property(rig->source, source_find_by_name(rig->source, "usb", "1-2"), "ID_SERIAL_SHORT"), "S1");
        assert_string_equal(
                source_property(rig->source, source_find_by_name(rig->source, "usb", "1-2"), "ID_MODEL_FROM_DATABASE"),
                "Keyboard");
        assert_string_equal(
                source_property(rig->source, source_find(rig->source, "net-eth0"), "ID_NET_NAME"), "eno1");
        assert_string_equal(source_property(rig->source, source_find(rig->source, "block-sda"), "ID_TYPE"),
                            "disk");
        assert_null(source_property(rig->source, source_find(rig->source, "block-sda"),
                                    "ID_MODEL_FROM_DATABASE"));
}

static void test_facts_pass_through(void **state) {
        SourceRig *rig = *state;

        assert_string_equal(source_host_fact(rig->source, "iommu"), "dmar0");
        assert_string_equal(source_host_fact(rig->source, "driver:pci:nvme"), "registered");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, source_rig_set_up, source_rig_tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_read),
                TEST(test_not_allowed),
                TEST(test_lists),
                TEST(test_list),
                TEST(test_rounds),
                TEST(test_vanished),
                TEST(test_opens_nothing_else),
                TEST(test_properties),
                TEST(test_models),
                TEST(test_hardware_database),
                TEST(test_record_to_come),
                TEST(test_other_records),
                TEST(test_facts_pass_through),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
