/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "evidence-rig.h"

#include <stdio.h>

#define ROOT "pci0000:00"
#define DEVICE "/sys/devices/" ROOT "/"

static void collect(Evidence *evidence) {
        assert_int_equal(evidence_console(evidence), 0);
}

/* A card for computing, with no screen, is free; so is a boot display that a guest has already. */
static void test_boot_display(void **state) {
        Evidence *evidence = *state;

        add_pci(evidence, "", "0000:00:02.0", "0x030000", "0x8086", "i915");
        put(evidence, DEVICE "0000:00:02.0/boot_vga", "1");
        add_pci(evidence, "", "0000:00:03.0", "0x030000", "0x10de", "nvidia");
        put(evidence, DEVICE "0000:00:03.0/boot_vga", "0");
        add_pci(evidence, "", "0000:00:04.0", "0x030200", "0x10de", "nvidia");
        add_pci(evidence, "", "0000:00:05.0", "0x030000", "0x1002", "vfio-pci");
        put(evidence, DEVICE "0000:00:05.0/boot_vga", "1");
        collect(evidence);
        assert_said(evidence, "critical console-gpu", "0000:00:02.0: boot display");
        assert_not_said(evidence, "0000:00:03.0");
        assert_not_said(evidence, "0000:00:04.0");
        assert_not_said(evidence, "0000:00:05.0");
        assert_not_said(evidence, "unresolved");
}

static void test_management_display(void **state) {
        Evidence *evidence = *state;

        add_pci(evidence, "", "0000:00:02.0", "0x030000", "0x1a03", "ast");
        put(evidence, DEVICE "0000:00:02.0/boot_vga", "0");
        add_pci(evidence, "", "0000:00:03.0", "0x030000", "0x102b", NULL);
        /* A bridge of the same maker is no screen. */
        add_pci(evidence, "", "0000:00:04.0", "0x060400", "0x1a03", NULL);
        collect(evidence);
        assert_said(evidence, "critical bmc-display", "0000:00:02.0");
        assert_said(evidence, "critical bmc-display", "0000:00:03.0");
        assert_not_said(evidence, "0000:00:04.0");
}

static void add_console(Evidence *evidence, const char *bound) {
        add_class(evidence, "vtconsole", "vtcon1", "virtual");
        fake_write_file(&evidence->host, "sys/devices/virtual/vtconsole/vtcon1/name", "(M) frame buffer device");
        fake_write_file(&evidence->host, "sys/devices/virtual/vtconsole/vtcon1/bind", bound);
}

static void test_framebuffer(void **state) {
        Evidence *evidence = *state;

        add_pci(evidence, "", "0000:00:02.0", "0x038000", "0x1234", "bochs-drm");
        add_class(evidence, "graphics", "fb0", ROOT "/0000:00:02.0");
        add_console(evidence, "1");
        collect(evidence);
        assert_said(evidence, "critical framebuffer", "0000:00:02.0/graphics/fb0: console < fb0");
}

/* Nobody draws on it. */
static void test_framebuffer_unbound(void **state) {
        Evidence *evidence = *state;

        add_pci(evidence, "", "0000:00:02.0", "0x038000", "0x1234", "bochs-drm");
        add_class(evidence, "graphics", "fb0", ROOT "/0000:00:02.0");
        add_console(evidence, "0");
        collect(evidence);
        assert_not_said(evidence, "framebuffer");
}

/* Before 6.12 the firmware's framebuffer says only where in memory it is. */
static void test_firmware_framebuffer(void **state) {
        Evidence *evidence = *state;

        add_console(evidence, "1");
        add_class(evidence, "graphics", "fb0", "platform/efi-framebuffer.0");
        add_pci(evidence, "", "0000:00:02.0", "0x030000", "0x10de", NULL);
        put(evidence, DEVICE "0000:00:02.0/resource",
            "0x00000000fd000000 0x00000000fdffffff 0x0000000000040200\n"
            "0x00000000d0000000 0x00000000dfffffff 0x000000000014220c\n"
            "0x0000000000000000 0x0000000000000000 0x0000000000000000");
        add_pci(evidence, "", "0000:00:03.0", "0x030000", "0x10de", NULL);
        put(evidence, DEVICE "0000:00:03.0/resource", "0x00000000e0000000 0x00000000efffffff 0x000000000014220c");
        put(evidence, "/proc/iomem", "00001000-0009ffff : System RAM\n"
                                     "d0000000-dfffffff : PCI Bus 0000:01\n"
                                     "  d0000000-dfffffff : 0000:00:02.0\n"
                                     "    d0000000-d02fffff : efifb");
        collect(evidence);
        assert_said(evidence, "critical framebuffer", "0000:00:02.0", "fb0 of the firmware");
        assert_not_said(evidence, "0000:00:03.0");
        assert_not_said(evidence, "unresolved");
}

/* The addresses are hidden, or no card has them. */
static void test_firmware_framebuffer_lost(void **state) {
        Evidence *evidence = *state;

        add_console(evidence, "1");
        add_class(evidence, "graphics", "fb0", "platform/efi-framebuffer.0");
        add_pci(evidence, "", "0000:00:02.0", "0x030000", "0x10de", NULL);
        put(evidence, DEVICE "0000:00:02.0/resource", "0x00000000d0000000 0x00000000dfffffff 0x000000000014220c");
        put(evidence, "/proc/iomem", "00000000-00000000 : PCI Bus 0000:01\n  00000000-00000000 : efifb");
        collect(evidence);
        assert_said(evidence, "unresolved display:", "fb0");
}

static void test_consoles(void **state) {
        Evidence *evidence = *state;

        put(evidence, "/proc/consoles", "tty0                 -WU (EC  p  )    4:1\n"
                                        "ttyS4                -W- (E   p a)    4:68\n"
                                        "ttyS0                -W- (    p a)    4:64\n"
                                        "ttyUSB0              -W- (    p a)  188:0\n"
                                        "netcon0              -W- (E     )");
        add_pci(evidence, "", "0000:00:16.3", "0x070002", "0x8086", "serial");
        add_class(evidence, "tty", "ttyS4", ROOT "/0000:00:16.3");
        add_class(evidence, "tty", "ttyS0", "pnp0/00:05");
        add_class(evidence, "tty", "ttyUSB0", ROOT "/0000:00:14.0/usb1/1-2/1-2:1.0/ttyUSB0");
        collect(evidence);
        assert_said(evidence, "critical serial-console /devices/" ROOT "/0000:00:16.3/tty/ttyS4: kernel console < ttyS4");
        assert_said(evidence, "critical serial-console /devices/pnp0/00:05/tty/ttyS0");
        assert_said(evidence, "critical serial-console", "/1-2/1-2:1.0/ttyUSB0/tty/ttyUSB0");
        assert_not_said(evidence, "tty0");
}

static void add_card(Evidence *evidence, const char *address, const char *card, const char *status) {
        char device[64], path[160];

        add_pci(evidence, "", address, "0x030000", "0x1002", "amdgpu");
        (void) snprintf(device, sizeof(device), ROOT "/%s", address);
        add_class(evidence, "drm", card, device);
        (void) snprintf(path, sizeof(path), "%s-HDMI-A-1", card);
        add_class(evidence, "drm", path, device);
        (void) snprintf(path, sizeof(path), "/sys/class/drm/%s-HDMI-A-1/status", card);
        fake_write_file(&evidence->host, path + 1, status);
}

/* A picture on a screen is critical, a program that computes is in use, and a card that nobody has open is free although a
 * screen is plugged in. */
static void test_users(void **state) {
        Evidence *evidence = *state;

        add_card(evidence, "0000:00:02.0", "card0", "connected");
        add_card(evidence, "0000:00:03.0", "card1", "disconnected");
        add_card(evidence, "0000:00:04.0", "card2", "connected");
        add_card(evidence, "0000:00:05.0", "card10", "connected");
        put(evidence, "/proc/12/comm", "Xorg");
        fake_make_directory(&evidence->host, "proc/12/fd");
        fake_link(&evidence->host, "proc/12/fd/3", "/dev/dri/card0");
        fake_link(&evidence->host, "proc/12/fd/4", "/dev/dri/card1");
        collect(evidence);
        assert_said(evidence, "critical display", "0000:00:02.0/drm/card0: Xorg (process 12) < card0");
        assert_said(evidence, "in-use open-device", "0000:00:03.0/drm/card1: Xorg (process 12) < card1");
        assert_not_said(evidence, "0000:00:04.0");
        assert_not_said(evidence, "0000:00:05.0");
}

/* No screen at all: nothing is protected for it. */
static void test_headless(void **state) {
        Evidence *evidence = *state;

        add_pci(evidence, "", "0000:00:02.0", "0x030200", "0x10de", "nvidia");
        collect(evidence);
        assert_int_equal(evidence->n_lines, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_boot_display, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_management_display, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_framebuffer, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_framebuffer_unbound, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_firmware_framebuffer, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_firmware_framebuffer_lost, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_consoles, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_users, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_headless, evidence_setup, evidence_teardown),
        };

        return cmocka_run_group_tests_name("evidence-console", tests, NULL, NULL);
}
