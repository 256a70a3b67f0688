/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "evidence-rig.h"

#define SECOND UINT64_C(1000000)

static const PciFunction *find(const PciScan *scan, const char *name) {
        for (size_t i = 0; i < scan->n_items; i++)
                if (streq(scan->items[i].name, name))
                        return &scan->items[i];
        return NULL;
}

static void let_time_pass(PciScan *scan) {
        for (size_t i = 0; i < scan->n_items; i++)
                scan->items[i].found_usec -= SECOND;
}

static void set_class(Evidence *evidence, const char *name, const char *class_code) {
        char path[128];

        (void) snprintf(path, sizeof(path), "/sys/devices/pci0000:00/%s/class", name);
        put(evidence, path, class_code);
}

/* What is registered under a name again is another function, whatever it is. */
static void replace_link(Evidence *evidence, const char *name) {
        char link[128], kept[128], target[128];

        (void) snprintf(link, sizeof(link), "%s/sys/bus/pci/devices/%s", evidence->host.root, name);
        (void) snprintf(kept, sizeof(kept), "%s/%s", evidence->host.root, name); /* its number is no other's */
        (void) snprintf(target, sizeof(target), "../../../devices/pci0000:00/%s", name);
        assert_int_equal(rename(link, kept), 0);
        assert_int_equal(symlink(target, link), 0);
}

static void test_kept(void **state) {
        Evidence *evidence = *state;
        PciScan *scan = &evidence->pci;

        add_pci(evidence, "", "0000:00:01.0", "0x020000", "0x8086", NULL);
        add_pci(evidence, "", "0000:00:02.0", "0x010802", "0x8086", NULL);
        assert_int_equal(pci_scan(&evidence->sysfs, scan), 0);
        assert_non_null(find(scan, "0000:00:01.0"));
        assert_int_equal(find(scan, "0000:00:01.0")->class_code, 0x020000);
        assert_int_equal(find(scan, "0000:00:02.0")->class_code, 0x010802);

        /* A quirk corrects what has just been found. */
        set_class(evidence, "0000:00:01.0", "0x030000");
        assert_int_equal(pci_scan(&evidence->sysfs, scan), 0);
        assert_int_equal(find(scan, "0000:00:01.0")->class_code, 0x030000);

        /* After a while it is believed. */
        let_time_pass(scan);
        assert_int_equal(pci_scan(&evidence->sysfs, scan), 0);
        set_class(evidence, "0000:00:01.0", "0x040000");
        assert_int_equal(pci_scan(&evidence->sysfs, scan), 0);
        assert_int_equal(find(scan, "0000:00:01.0")->class_code, 0x030000);
        assert_true(find(scan, "0000:00:01.0")->settled);

        replace_link(evidence, "0000:00:01.0");
        assert_int_equal(pci_scan(&evidence->sysfs, scan), 0);
        assert_int_equal(find(scan, "0000:00:01.0")->class_code, 0x040000);
        assert_false(find(scan, "0000:00:01.0")->settled);
        assert_true(find(scan, "0000:00:02.0")->settled);
}

static void test_come_and_go(void **state) {
        Evidence *evidence = *state;
        PciScan *scan = &evidence->pci;
        char path[128];
        size_t n;

        for (unsigned i = 0; i < 40; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "0000:00:%02x.0", i);
                add_pci(evidence, "", name, "0x020000", "0x8086", NULL);
        }
        assert_int_equal(pci_scan(&evidence->sysfs, scan), 0);
        let_time_pass(scan);
        assert_int_equal(pci_scan(&evidence->sysfs, scan), 0);
        n = scan->n_items;

        (void) snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:00:07.0", evidence->host.root);
        assert_int_equal(unlink(path), 0);
        add_pci(evidence, "", "0000:00:1f.5", "0x0c8000", "0x8086", NULL);
        assert_int_equal(pci_scan(&evidence->sysfs, scan), 0);
        assert_int_equal(scan->n_items, n);
        assert_null(find(scan, "0000:00:07.0"));
        assert_int_equal(find(scan, "0000:00:1f.5")->class_code, 0x0c8000);
        for (size_t i = 0; i < scan->n_items; i++)
                assert_true(scan->items[i].settled != streq(scan->items[i].name, "0000:00:1f.5"));

        /* Without a class it is none. */
        (void) snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/0000:00:1f.5/class", evidence->host.root);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(pci_scan(&evidence->sysfs, scan), 0);
        assert_int_equal(scan->n_items, n - 1);
}

static void test_no_pci(void **state) {
        Evidence *evidence = *state;
        PciScan *scan = &evidence->pci;
        char path[128], away[128];

        add_pci(evidence, "", "0000:00:01.0", "0x020000", "0x8086", NULL);
        assert_int_equal(pci_scan(&evidence->sysfs, scan), 0);
        assert_true(scan->n_items > 0);
        (void) snprintf(path, sizeof(path), "%s/sys/bus/pci", evidence->host.root);
        (void) snprintf(away, sizeof(away), "%s/away", evidence->host.root);
        assert_int_equal(rename(path, away), 0);
        assert_int_equal(pci_scan(&evidence->sysfs, scan), -ENOENT);
        assert_int_equal(scan->n_items, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, evidence_setup, evidence_teardown)

int main(void) {
        const struct CMUnitTest tests[] = { TEST(test_kept), TEST(test_come_and_go), TEST(test_no_pci) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
