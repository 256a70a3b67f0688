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
        assert_int_equal(evidence_platform(evidence), 0);
}

static void test_chipset(void **state) {
        Evidence *evidence = *state;

        add_pci(evidence, "", "0000:00:00.0", "0x060000", "0x8086", NULL);
        add_pci(evidence, "", "0000:00:01.0", "0x060400", "0x8086", "pcieport");
        add_pci(evidence, "", "0000:00:05.0", "0x088000", "0x8086", NULL);
        add_pci(evidence, "", "0000:00:16.0", "0x078000", "0x8086", "mei_me");
        add_pci(evidence, "", "0000:00:1f.0", "0x060100", "0x8086", "lpc_ich");
        add_pci(evidence, "", "0000:00:1f.3", "0x040300", "0x8086", "snd_hda_intel");
        add_pci(evidence, "", "0000:00:1f.4", "0x0c0500", "0x8086", "i801_smbus");
        add_pci(evidence, "", "0000:00:1f.5", "0x0c8000", "0x8086", NULL);
        add_pci(evidence, "", "0000:00:1f.6", "0x020000", "0x8086", "e1000e");
        /* A card with the class of the management engine, a card reader, and a switch between GPUs. */
        add_pci(evidence, "0000:00:01.0", "0000:05:00.0", "0x078000", "0x8086", NULL);
        add_pci(evidence, "0000:00:01.0", "0000:05:00.1", "0x080501", "0x1217", "sdhci-pci");
        add_pci(evidence, "0000:00:01.0", "0000:05:00.2", "0x068000", "0x10de", NULL);
        collect(evidence);
        assert_said(evidence, "forbidden chipset", "0000:00:00.0: host bridge");
        assert_said(evidence, "forbidden chipset", "0000:00:05.0");
        assert_said(evidence, "forbidden chipset", "0000:00:16.0: management engine");
        assert_said(evidence, "forbidden chipset", "0000:00:1f.0: ISA/LPC bridge");
        assert_said(evidence, "forbidden chipset", "0000:00:1f.4: SMBus");
        assert_said(evidence, "forbidden chipset", "0000:00:1f.5: SPI");
        assert_not_said(evidence, "0000:00:01.0:");
        assert_not_said(evidence, "0000:00:1f.3");
        assert_not_said(evidence, "0000:00:1f.6");
        assert_not_said(evidence, "0000:05:00.");
}

static void test_management(void **state) {
        Evidence *evidence = *state;

        add_pci(evidence, "", "0000:00:02.0", "0x0c0701", "0x1234", "ipmi_si");
        add_class(evidence, "ipmi", "ipmi0", "virtual");
        add_link(evidence, "/sys/devices/virtual/ipmi/ipmi0/device", DEVICE "0000:00:02.0");
        add_pci(evidence, "", "0000:00:03.0", "0x088000", "0x8086", "i6300esb_timer");
        add_class(evidence, "watchdog", "watchdog0", ROOT "/0000:00:03.0");
        fake_write_file(&evidence->host, "sys/class/watchdog/watchdog0/identity", "i6300ESB timer");
        fake_write_file(&evidence->host, "sys/class/watchdog/watchdog0/state", "inactive");
        /* The chipset's one hangs under the SMBus or LPC function. */
        add_pci(evidence, "", "0000:00:1f.4", "0x0c0500", "0x8086", "i801_smbus");
        add_class(evidence, "watchdog", "watchdog1", ROOT "/0000:00:1f.4/iTCO_wdt");
        add_pci(evidence, "", "0000:00:08.1", "0x108000", "0x1022", "ccp");
        add_pci(evidence, "", "0000:00:08.2", "0x108000", "0x15b3", NULL);
        collect(evidence);
        assert_said(evidence, "critical ipmi", "0000:00:02.0");
        assert_said(evidence, "critical watchdog", "0000:00:03.0", "watchdog i6300ESB timer, inactive < watchdog0");
        assert_said(evidence, "critical watchdog", "0000:00:1f.4/iTCO_wdt");
        assert_said(evidence, "critical security-processor", "0000:00:08.1");
        assert_not_said(evidence, "0000:00:08.2");
}

static void test_virtual_watchdog(void **state) {
        Evidence *evidence = *state;

        fake_make_directory(&evidence->host, "sys/bus/pci/drivers/i6300ESB timer");
        add_pci(evidence, "", "0000:00:03.0", "0xff0000", "0x8086", "i6300ESB timer");
        add_pci(evidence, "", "0000:00:04.0", "0xff0000", "0x8086", "other");
        add_class(evidence, "watchdog", "watchdog0", "virtual");
        put(evidence, "/sys/class/watchdog/watchdog0/identity", "i6300ESB timer");
        add_class(evidence, "watchdog", "watchdog1", "virtual");
        put(evidence, "/sys/class/watchdog/watchdog1/identity", "Software Watchdog");
        collect(evidence);
        assert_said(evidence, "critical watchdog", "0000:00:03.0: watchdog i6300ESB timer < watchdog0");
        assert_not_said(evidence, "0000:00:04.0");
        assert_not_said(evidence, "watchdog1");
}

/* It says that it is a device of ACPI, and is wired to the chipset. */
static void test_tpm(void **state) {
        Evidence *evidence = *state;

        add_pci(evidence, "", "0000:00:1f.0", "0x060100", "0x8086", "lpc_ich");
        add_pci(evidence, "", "0000:00:1f.5", "0x0c8000", "0x8086", NULL);
        fake_make_directory(&evidence->host, "sys/devices/platform/MSFT0101:00");
        add_class(evidence, "tpm", "tpm0", "platform/MSFT0101:00");
        add_link(evidence, "/sys/devices/platform/MSFT0101:00/tpm/tpm0/device", "/sys/devices/platform/MSFT0101:00");
        collect(evidence);
        assert_said(evidence, "critical tpm", "MSFT0101:00/tpm/tpm0");
        assert_said(evidence, "forbidden tpm", "0000:00:1f.0: tpm0 < MSFT0101:00 < LPC/SPI of the chipset");
        assert_said(evidence, "forbidden tpm", "0000:00:1f.5");
}

static void add_queue(Evidence *evidence, const char *name, const char *state, const char *type) {
        char path[256], target[128];

        (void) snprintf(target, sizeof(target), DEVICE "0000:00:0a.0/dsa0/%s", name);
        (void) snprintf(path, sizeof(path), "%s/state", target);
        put(evidence, path, state);
        (void) snprintf(path, sizeof(path), "%s/type", target);
        put(evidence, path, type);
        (void) snprintf(path, sizeof(path), "%s/name", target);
        put(evidence, path, "q");
        (void) snprintf(path, sizeof(path), "/sys/bus/dsa/devices/%s", name);
        add_link(evidence, path, target);
}

static void test_accelerators(void **state) {
        Evidence *evidence = *state;

        add_pci(evidence, "", "0000:00:0a.0", "0x088000", "0x8086", "idxd");
        add_queue(evidence, "wq0.0", "enabled", "kernel");
        add_queue(evidence, "wq0.1", "enabled", "user");
        add_queue(evidence, "wq0.2", "disabled", "none");
        add_pci(evidence, "", "0000:00:0b.0", "0x0b4000", "0x8086", "c6xx");
        add_pci(evidence, "", "0000:00:0c.0", "0x0b4000", "0x8086", "vfio-pci");
        put(evidence, "/proc/crypto", "name         : xts(aes)\n"
                                      "driver       : xts-aes-aesni\n"
                                      "module       : aesni_intel\n"
                                      "priority     : 401\n"
                                      "refcnt       : 3\n"
                                      "\n"
                                      "name         : xts(aes)\n"
                                      "driver       : qat_aes_xts\n"
                                      "module       : intel_qat\n"
                                      "priority     : 4001\n"
                                      "refcnt       : 2\n");
        collect(evidence);
        assert_said(evidence, "critical accelerator", "wq0.0: enabled work queue q of type kernel < wq0.0");
        assert_said(evidence, "in-use accelerator", "wq0.1");
        assert_not_said(evidence, "wq0.2");
        assert_said(evidence, "critical accelerator", "0000:00:0b.0: the kernel encrypts with qat_aes_xts");
        assert_not_said(evidence, "0000:00:0c.0");
}

/* Registered, and nobody uses it. */
static void test_idle_crypto(void **state) {
        Evidence *evidence = *state;

        add_pci(evidence, "", "0000:00:0b.0", "0x0b4000", "0x8086", "c6xx");
        put(evidence, "/proc/crypto", "driver       : qat_aes_xts\nmodule       : intel_qat\nrefcnt       : 1\n\n"
                                      "driver       : other\nmodule       : kernel\nrefcnt       : 9\n");
        collect(evidence);
        assert_not_said(evidence, "accelerator");
}

static void test_memory(void **state) {
        Evidence *evidence = *state;

        for (int i = 1; i <= 2; i++) {
                char path[160], target[320], address[16];

                (void) snprintf(address, sizeof(address), "0000:00:0%d.0", i);
                add_pci(evidence, "", address, "0x050210", "0x8086", "cxl_pci");
                (void) snprintf(target, sizeof(target), "sys/devices/" ROOT "/%s/mem%d", address, i);
                fake_make_directory(&evidence->host, target);
                (void) snprintf(path, sizeof(path), "/sys/devices/platform/ACPI0017:00/root0/port1/endpoint%d", i);
                (void) snprintf(target, sizeof(target), "%s/decoder%d.0/size", path, i);
                put(evidence, target, i == 1 ? "0x1000000000" : "0x0");
                (void) snprintf(target, sizeof(target), "/sys/bus/cxl/devices/endpoint%d", i);
                add_link(evidence, target, path);
                (void) snprintf(path, sizeof(path), "/sys/devices/platform/ACPI0017:00/root0/port1/endpoint%d/uport", i);
                (void) snprintf(target, sizeof(target), "/sys/devices/" ROOT "/%s/mem%d", address, i);
                add_link(evidence, path, target);
        }
        collect(evidence);
        assert_said(evidence, "critical memory", "0000:00:01.0/mem1: memory of the host, 65536 MiB < endpoint1");
        assert_not_said(evidence, "0000:00:02.0");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_chipset, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_management, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_virtual_watchdog, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_tpm, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_accelerators, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_idle_crypto, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_memory, evidence_setup, evidence_teardown),
        };

        return cmocka_run_group_tests_name("evidence-platform", tests, NULL, NULL);
}
