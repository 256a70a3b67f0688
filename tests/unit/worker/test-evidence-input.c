/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "evidence-rig.h"

#include <stdio.h>

#define BUS "pci0000:00/0000:00:14.0/usb1/"
#define KEYBOARD "10000 7ff ffdfffff ffffffff fffffffffffffffe"

static void collect(Evidence *evidence) {
        assert_int_equal(evidence_input(evidence), 0);
}

static void add_usb(Evidence *evidence, const char *name, const char *vendor, const char *product, const char *class) {
        char path[320], target[256];

        (void) snprintf(target, sizeof(target), "/sys/devices/" BUS "%s", name);
        (void) snprintf(path, sizeof(path), "%s/idVendor", target);
        put(evidence, path, vendor);
        (void) snprintf(path, sizeof(path), "%s/idProduct", target);
        put(evidence, path, product);
        (void) snprintf(path, sizeof(path), "%s/bDeviceClass", target);
        put(evidence, path, class);
        (void) snprintf(path, sizeof(path), "/sys/bus/usb/devices/%s", name);
        add_link(evidence, path, target);
}

static void add_interface(Evidence *evidence, const char *device, const char *interface, const char *driver) {
        char path[320], target[256];

        (void) snprintf(target, sizeof(target), "sys/bus/usb/drivers/%s", driver);
        fake_make_directory(&evidence->host, target);
        (void) snprintf(target, sizeof(target), "/sys/devices/" BUS "%s/%s", device, interface);
        fake_make_directory(&evidence->host, target + 1);
        (void) snprintf(path, sizeof(path), "/sys/bus/usb/devices/%s", interface);
        add_link(evidence, path, target);
        (void) snprintf(path, sizeof(path), "%s/driver", target);
        (void) snprintf(target, sizeof(target), "/sys/bus/usb/drivers/%s", driver);
        add_link(evidence, path, target);
}

static void add_input(Evidence *evidence, const char *input, const char *device, const char *keys) {
        char path[256];

        add_class(evidence, "input", input, device);
        (void) snprintf(path, sizeof(path), "/sys/devices/%s/input/%s/capabilities/key", device, input);
        put(evidence, path, keys);
        (void) snprintf(path, sizeof(path), "/sys/devices/%s/input/%s/name", device, input);
        put(evidence, path, input);
}

/* A power button and a mouse are no keyboards, and a program that types (uinput) is none either. */
static void test_only_keyboard(void **state) {
        Evidence *evidence = *state;

        add_usb(evidence, "1-3", "0627", "0001", "00");
        add_input(evidence, "input5", BUS "1-3/1-3:1.0/0003:0627:0001.0001", KEYBOARD);
        add_input(evidence, "input6", BUS "1-3/1-3:1.1/0003:0627:0001.0002", KEYBOARD);
        add_input(evidence, "input0", "LNXSYSTM:00/LNXPWRBN:00", "10000000000000 0");
        add_input(evidence, "input1", BUS "1-4/1-4:1.0/0003:0627:0001.0003", "1f0000 0 0 0 0");
        add_input(evidence, "input9", "virtual", KEYBOARD);
        collect(evidence);
        assert_said(evidence, "critical keyboard", "1-3/1-3:1.0", "the only keyboard < input5");
        assert_not_said(evidence, "1-4");
        assert_not_said(evidence, "virtual");
        assert_not_said(evidence, "in-use");
}

static void test_several_keyboards(void **state) {
        Evidence *evidence = *state;

        add_input(evidence, "input2", "platform/i8042/serio0", KEYBOARD);
        add_input(evidence, "input5", BUS "1-3/1-3:1.0/0003:0627:0001.0001", KEYBOARD);
        collect(evidence);
        assert_said(evidence, "in-use keyboard", "1-3", "one of several keyboards < input5");
        assert_said(evidence, "in-use keyboard", "i8042");
        assert_not_said(evidence, "critical");
}

/* The management controller's keyboard is critical by itself, and no substitute for the one on the desk. */
static void test_management_keyboard(void **state) {
        Evidence *evidence = *state;

        add_usb(evidence, "1-1", "046b", "ff10", "00");
        add_input(evidence, "input5", BUS "1-1/1-1:1.0/0003:046B:FF10.0001", KEYBOARD);
        add_usb(evidence, "1-3", "0627", "0001", "00");
        add_input(evidence, "input6", BUS "1-3/1-3:1.0/0003:0627:0001.0002", KEYBOARD);
        collect(evidence);
        assert_said(evidence, "critical bmc-device", "usb1/1-1: AMI");
        assert_said(evidence, "critical keyboard", "1-3", "the only keyboard");
        assert_not_said(evidence, "keyboard /devices/" BUS "1-1");
}

/* The gadget of Linux is a management controller's only where there is one. */
static void test_gadget(void **state) {
        Evidence *evidence = *state;

        add_usb(evidence, "1-1", "1d6b", "0104", "00");
        add_usb(evidence, "1-9", "1d6b", "0104", "00");
        put(evidence, "/sys/devices/" BUS "1-9/manufacturer", "OpenBMC");
        collect(evidence);
        assert_not_said(evidence, "usb1/1-1:");
        assert_said(evidence, "critical bmc-device", "usb1/1-9:");
        add_class(evidence, "ipmi", "ipmi0", "virtual");
        collect(evidence);
        assert_said(evidence, "critical bmc-device", "usb1/1-1:");
}

static void write_raw(Evidence *evidence, const char *entry, const void *data, size_t size) {
        char path[256];
        FILE *stream;

        (void) snprintf(path, sizeof(path), "sys/firmware/dmi/entries/%s", entry);
        fake_make_directory(&evidence->host, path);
        (void) snprintf(path, sizeof(path), "%s/sys/firmware/dmi/entries/%s/raw", evidence->host.root, entry);
        stream = fopen(path, "we");
        assert_non_null(stream);
        assert_int_equal(fwrite(data, 1, size, stream), size);
        assert_int_equal(fclose(stream), 0);
}

static void test_host_interface(void **state) {
        static const uint8_t raw[] = { 42, 20, 0, 0, 0x40, 9, 2, 0x6b, 0x04, 0xb0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
        Evidence *evidence = *state;

        add_usb(evidence, "1-1", "0bda", "8153", "00");
        write_raw(evidence, "42-0", (uint8_t[]) { 42, 12, 0, 0, 0x40, 9, 2, 0xda, 0x0b, 0x53, 0x81, 0 }, 12);
        write_raw(evidence, "4-0", raw, sizeof(raw));
        write_raw(evidence, "42-1", raw, 5);
        collect(evidence);
        assert_said(evidence, "critical bmc-device", "usb1/1-1: network interface to the management controller");
}

static void test_claimed_and_hubs(void **state) {
        Evidence *evidence = *state;

        add_usb(evidence, "1-5", "05e3", "0610", "09");
        add_usb(evidence, "1-6", "051d", "0002", "00");
        add_interface(evidence, "1-6", "1-6:1.0", "usbfs");
        add_usb(evidence, "1-7", "0403", "6001", "00");
        add_interface(evidence, "1-7", "1-7:1.0", "ftdi_sio");
        collect(evidence);
        assert_said(evidence, "forbidden hub", "usb1/1-5: USB hub");
        assert_said(evidence, "in-use claimed", "1-6/1-6:1.0: claimed by a program (usbfs)");
        assert_not_said(evidence, "1-7");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_only_keyboard, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_several_keyboards, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_management_keyboard, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_gadget, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_host_interface, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_claimed_and_hubs, evidence_setup, evidence_teardown),
        };

        return cmocka_run_group_tests_name("evidence-input", tests, NULL, NULL);
}
