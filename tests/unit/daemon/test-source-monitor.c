/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <time.h>

#include "daemon/log.h"
#include "daemon/source.h"
#include "host-tree.h"
#include "uevent-sender.h"

/* The source in a loop, with events of our own in a network namespace of our own. */
typedef struct Rig {
        HostTree tree;
        sd_event *event;
        Interner *interner;
        Source *source;
        int sender;
        char events[4096];
        unsigned added, changed, removed, scanned;
} Rig;

static void note(Rig *rig, const char *what, const HostDevice *host, const char *more) {
        size_t used = strlen(rig->events);

        if (used < sizeof(rig->events))
                (void) snprintf(rig->events + used, sizeof(rig->events) - used, "%s%s %s%s",
                                used > 0 ? "; " : "", what, host->sysname, more);
}

static void on_added(void *userdata, HostDevice *host) {
        Rig *rig = userdata;

        rig->added++;
        note(rig, "added", host, "");
}

static void on_changed(void *userdata, HostDevice *host, const char *action) {
        char more[64];
        Rig *rig = userdata;

        rig->changed++;
        (void) snprintf(more, sizeof(more), " by %s%s", action, host->differs ? "" : " (the same)");
        note(rig, "changed", host, more);
}

static void on_removed(void *userdata, HostDevice *host) {
        Rig *rig = userdata;

        rig->removed++;
        note(rig, "removed", host, "");
}

static void on_scanned(void *userdata) {
        ((Rig *) userdata)->scanned++;
}

static int set_up(void **state) {
        Rig *rig = calloc(1, sizeof(*rig));

        assert_non_null(rig);
        host_tree_make(&rig->tree);
        tree_file(&rig->tree, "run/udev/control", "%s", "");
        assert_int_equal(sd_event_new(&rig->event), 0);
        assert_int_equal(interner_new(&rig->interner), 0);
        assert_int_equal(source_new(rig->event, &rig->tree.sysfs, rig->interner,
                                    &(SourceEvents){ rig, on_added, on_changed, on_removed, on_scanned },
                                    &rig->source),
                         0);
        assert_int_equal(source_watch_subsystem(rig->source, "pci"), 0);
        assert_int_equal(source_watch_subsystem(rig->source, "usb"), 0);
        rig->sender = uevent_socket();
        *state = rig;
        return 0;
}

static int tear_down(void **state) {
        Rig *rig = *state;

        source_free(rig->source);
        assert_int_equal(interner_count(rig->interner), 0);
        interner_free(rig->interner);
        sd_event_unref(rig->event);
        (void) close_fd(rig->sender);
        host_tree_remove(&rig->tree);
        free(rig);
        return 0;
}

static void start(Rig *rig) {
        assert_int_equal(source_start(rig->source, NULL), 0);
        rig->events[0] = '\0';
        rig->added = rig->changed = rig->removed = 0;
        /* The monitor is set up once. */
        assert_int_equal(source_watch_subsystem(rig->source, "net"), -EBUSY);
}

static void send_pci(Rig *rig, const char *action, const char *address) {
        char path[128];

        (void) snprintf(path, sizeof(path), "/devices/pci0000:00/%s", address);
        assert_int_equal(uevent_send(rig->sender, action, "pci", NULL, path, NULL), 0);
}

/* Until there is nothing to do. */
static void run_loop(Rig *rig) {
        while (sd_event_run(rig->event, 0) > 0)
                ;
}

static void assert_events(Rig *rig, const char *expected) {
        run_loop(rig);
        assert_string_equal(rig->events, expected);
        rig->events[0] = '\0';
}

static void test_plug_and_unplug(void **state) {
        Rig *rig = *state;

        start(rig);
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .iommu_group = "4" });
        send_pci(rig, "add", "0000:00:01.0");
        assert_events(rig, "added 0000:00:01.0");
        assert_int_equal(source_find(rig->source, "pci-0000-00-01-0")->iommu_group, 4);

        tree_pci_remove(&rig->tree, "0000:00:01.0");
        send_pci(rig, "remove", "0000:00:01.0");
        assert_events(rig, "removed 0000:00:01.0");
        assert_null(source_first(rig->source));
        /* Of what nobody knew. */
        send_pci(rig, "remove", "0000:00:01.0");
        send_pci(rig, "add", "0000:00:09.0");
        assert_events(rig, "");
}

static void test_changes(void **state) {
        Rig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .driver = "e1000e" });
        start(rig);
        tree_pci_bind(&rig->tree, "0000:00:01.0", NULL);
        send_pci(rig, "unbind", "0000:00:01.0");
        assert_events(rig, "changed 0000:00:01.0 by unbind");
        assert_null(source_first(rig->source)->driver);
        tree_pci_bind(&rig->tree, "0000:00:01.0", "vfio-pci");
        send_pci(rig, "bind", "0000:00:01.0");
        assert_events(rig, "changed 0000:00:01.0 by bind");
        assert_string_equal(source_first(rig->source)->driver, "vfio-pci");
        send_pci(rig, "change", "0000:00:01.0");
        assert_events(rig, "changed 0000:00:01.0 by change (the same)");
        /* `udevadm trigger --action=add` tells of what is there already. */
        send_pci(rig, "add", "0000:00:01.0");
        assert_events(rig, "changed 0000:00:01.0 by add (the same)");
        /* Gone, and its own event is yet to come. */
        tree_pci_remove(&rig->tree, "0000:00:01.0");
        send_pci(rig, "change", "0000:00:01.0");
        assert_events(rig, "removed 0000:00:01.0");
}

/* Several events of a device that wait together are one look at it. */
static void test_coalesced(void **state) {
        Rig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.0" });
        start(rig);
        for (int i = 0; i < 3; i++) {
                send_pci(rig, "bind", "0000:00:01.0");
                send_pci(rig, "change", "0000:00:02.0");
        }
        assert_events(rig,
                      "changed 0000:00:01.0 by bind (the same); changed 0000:00:02.0 by change (the same)");

        /* Out and in again is another device, however fast. */
        send_pci(rig, "remove", "0000:00:01.0");
        send_pci(rig, "add", "0000:00:01.0");
        send_pci(rig, "bind", "0000:00:01.0");
        assert_events(rig, "removed 0000:00:01.0; added 0000:00:01.0");

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:03.0" });
        tree_pci_remove(&rig->tree, "0000:00:03.0");
        send_pci(rig, "add", "0000:00:03.0");
        send_pci(rig, "bind", "0000:00:03.0");
        send_pci(rig, "remove", "0000:00:03.0");
        assert_events(rig, "");
}

static void test_renamed(void **state) {
        Rig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
        start(rig);
        tree_pci_remove(&rig->tree, "0000:00:01.0");
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.0" });
        assert_int_equal(uevent_send(rig->sender, "move", "pci", NULL, "/devices/pci0000:00/0000:00:02.0",
                                     "DEVPATH_OLD=/devices/pci0000:00/0000:00:01.0"),
                         0);
        assert_events(rig, "removed 0000:00:01.0; added 0000:00:02.0");
        /* Moved without another name. */
        assert_int_equal(uevent_send(rig->sender, "move", "pci", NULL, "/devices/pci0000:00/0000:00:02.0",
                                     "DEVPATH_OLD=/devices/pci0000:00/0000:00:01.0/0000:00:02.0"),
                         0);
        assert_events(rig, "changed 0000:00:02.0 by move (the same)");
}

static void test_other_subsystems(void **state) {
        Rig *rig = *state;

        start(rig);
        assert_int_equal(uevent_send(rig->sender, "add", "net", NULL, "/devices/virtual/net/eth0", NULL), 0);
        assert_int_equal(
                uevent_send(rig->sender, "add", "block", "disk", "/devices/virtual/block/sda", NULL), 0);
        assert_events(rig, "");
}

/* What interfaces get or lose concerns their device. */
static void test_usb_interfaces(void **state) {
        static const char *const names[] = { "usb1", "1-2" };
        char path[128], target[128];
        Rig *rig = *state;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                (void) snprintf(path, sizeof(path), "sys/devices/x/%s/speed", names[i]);
                tree_file(&rig->tree, path, "480\n");
                (void) snprintf(path, sizeof(path), "sys/bus/usb/devices/%s", names[i]);
                (void) snprintf(target, sizeof(target), "../../../devices/x/%s", names[i]);
                tree_link(&rig->tree, path, target);
        }
        start(rig);
        assert_int_equal(
                uevent_send(rig->sender, "bind", "usb", "usb_interface", "/devices/x/1-2/1-2:1.0", NULL), 0);
        assert_int_equal(
                uevent_send(rig->sender, "remove", "usb", "usb_interface", "/devices/x/1-2/1-2:1.1", NULL),
                0);
        assert_events(rig, "changed 1-2 by change (the same)");
        assert_int_equal(
                uevent_send(rig->sender, "add", "usb", "usb_interface", "/devices/x/usb1/1-0:1.0", NULL), 0);
        assert_events(rig, "changed usb1 by change (the same)");
        tree_remove(&rig->tree, "sys/bus/usb/devices/1-2");
        assert_int_equal(uevent_send(rig->sender, "remove", "usb", "usb_device", "/devices/x/1-2", NULL), 0);
        assert_events(rig, "removed 1-2");
}

/* The slot of a card that is plugged in is there with the card. */
static void test_slot_of_new_card(void **state) {
        Rig *rig = *state;

        start(rig);
        tree_file(&rig->tree, "sys/bus/pci/slots/9/address", "0000:00:01\n");
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
        send_pci(rig, "add", "0000:00:01.0");
        assert_events(rig, "added 0000:00:01.0");
        assert_string_equal(source_first(rig->source)->slot, "9");
}

#define MANY 500

static void address_of(unsigned i, char ret[static 16]) {
        (void) snprintf(ret, 16, "0000:00:%02x.%u", i / 8 % 256, i % 8);
}

/* A rescan goes in slices, between which the loop does other things, and finds what changed meanwhile. */
static void test_rescan_in_slices(void **state) {
        Rig *rig = *state;
        unsigned turns = 0;
        char address[16];

        for (unsigned i = 0; i < MANY; i++) {
                address_of(i, address);
                tree_pci(&rig->tree, &(PciSpec){ .address = address });
        }
        start(rig);
        for (unsigned i = 0; i < MANY; i += 5) {
                address_of(i, address);
                tree_pci_remove(&rig->tree, address);
        }
        assert_int_equal(source_rescan(rig->source), 0);
        assert_int_equal(rig->scanned, 0);
        assert_int_equal(sd_event_run(rig->event, 0), 1);
        turns++;
        /* While it runs: a card comes, one goes, and another rescan is asked for. */
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:ff.0" });
        send_pci(rig, "add", "0000:00:ff.0");
        address_of(1, address);
        tree_pci_remove(&rig->tree, address);
        send_pci(rig, "remove", address);
        assert_int_equal(source_rescan(rig->source), 0);
        assert_int_equal(source_rescan(rig->source), 0);
        while (sd_event_run(rig->event, 0) > 0)
                turns++;

        assert_true(turns > 2);
        assert_int_equal(rig->scanned, 1);
        assert_int_equal(rig->removed, MANY / 5 + 1);
        assert_int_equal(rig->added, 1);
        assert_non_null(source_find(rig->source, "pci-0000-00-ff-0"));
        for (unsigned i = 0; i < MANY; i++) {
                address_of(i, address);
                assert_int_equal(source_find_by_name(rig->source, "pci", address) != NULL,
                                 i % 5 != 0 && i != 1);
        }
}

/* More than the buffer holds: nothing is missing and nothing is extra afterwards. */
static void test_overflow(void **state) {
        Rig *rig = *state;
        char address[16];

        for (unsigned i = 0; i < MANY; i += 2) {
                address_of(i, address);
                tree_pci(&rig->tree, &(PciSpec){ .address = address });
        }
        start(rig);
        for (unsigned i = 0; i < MANY; i++) {
                address_of(i, address);
                if (i % 2 == 1)
                        tree_pci(&rig->tree, &(PciSpec){ .address = address });
                else if (i % 4 == 0)
                        tree_pci_remove(&rig->tree, address);
        }

        /* The sender is not told which of the listeners lost something. */
        uevent_shrink_buffers(65536);
        for (unsigned i = 0; i < 4096; i++) {
                address_of(i % MANY, address);
                send_pci(rig, "change", address);
        }
        run_loop(rig);
        assert_int_equal(rig->scanned, 1);
        for (unsigned i = 0; i < MANY; i++) {
                address_of(i, address);
                assert_int_equal(source_find_by_name(rig->source, "pci", address) != NULL, i % 4 != 0);
        }
        assert_int_equal(rig->removed, (MANY + 3) / 4);
        assert_int_equal(rig->added, MANY / 2);
}

static void test_freed_in_the_middle(void **state) {
        Rig *rig = *state;
        char address[16];

        for (unsigned i = 0; i < MANY; i++) {
                address_of(i, address);
                tree_pci(&rig->tree, &(PciSpec){ .address = address });
        }
        start(rig);
        send_pci(rig, "change", "0000:00:00.1");
        assert_int_equal(source_rescan(rig->source), 0);
        assert_int_equal(sd_event_run(rig->event, 0), 1);
        /* tear_down() frees what is under way. */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_plug_and_unplug),  TEST(test_changes),
                TEST(test_coalesced),        TEST(test_renamed),
                TEST(test_other_subsystems), TEST(test_usb_interfaces),
                TEST(test_slot_of_new_card), TEST(test_rescan_in_slices),
                TEST(test_overflow),         TEST(test_freed_in_the_middle),
        };

        uevent_enter_namespace();
        /* The message that events were lost is wanted by nobody here. */
        log_open("test-source-monitor", LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
