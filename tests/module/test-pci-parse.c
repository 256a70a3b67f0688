/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "modules/pci/pci-class.h"
#include "modules/pci/pci-vpd.h"

static void test_tag(void **state) {
        static const struct {
                uint8_t data[3];
                size_t size;
                int result;
                uint8_t tag;
                size_t header, length;
        } cases[] = {
                { { 0x82, 0x10, 0x00 }, 3, 0, PCI_VPD_TAG_IDENTIFIER, 3, 0x10 },
                { { 0x90, 0xff, 0xff }, 3, 0, PCI_VPD_TAG_READ_ONLY, 3, 0xffff },
                { { 0x78, 0, 0 }, 1, 0, PCI_VPD_TAG_END, 1, 0 },
                { { 0x7b, 0, 0 }, 3, 0, PCI_VPD_TAG_END, 1, 3 },
                { { 0x82, 0x10, 0x00 }, 2, -EBADMSG, 0, 0, 0 },
                { { 0x00, 0, 0 }, 0, -EBADMSG, 0, 0, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                size_t header = 0, length = 0;
                uint8_t tag = 0;

                assert_int_equal(pci_vpd_tag(cases[i].data, cases[i].size, &tag, &header, &length),
                                 cases[i].result);
                assert_int_equal(tag, cases[i].tag);
                assert_int_equal(header, cases[i].header);
                assert_int_equal(length, cases[i].length);
        }
}

static void expect_keywords(const char *data, size_t size, const char *part_number, const char *serial) {
        PciVpd vpd = { .part_number = "kept", .serial = "kept" };
        int expected = part_number ? 0 : -ENODATA;

        assert_int_equal(pci_vpd_keywords((const uint8_t *) data, size, &vpd), expected);
        assert_string_equal(vpd.part_number, part_number ? part_number : "kept");
        assert_string_equal(vpd.serial, serial ? serial : "kept");
}

#define KEYWORDS(data, part_number, serial) expect_keywords(data, sizeof(data) - 1, part_number, serial)

static void test_keywords(void **state) {
        KEYWORDS("PN\003ABCSN\00212", "ABC", "12");
        KEYWORDS("EC\001xSN\00212", "", "12");
        /* padding before and after, odd bytes inside */
        KEYWORDS("SN\006 1\0072\377\000", "", "1?2");
        KEYWORDS("SN\004  \000\377", NULL, NULL);
        /* lengths that run over the end, headers cut short */
        KEYWORDS("PN\003ABCSN\37712", "ABC", "");
        KEYWORDS("SN\0021", NULL, NULL);
        KEYWORDS("SN", NULL, NULL);
        KEYWORDS("", NULL, NULL);
        KEYWORDS("\377\377\377\377", NULL, NULL);
}

/* A serial number longer than we keep is cut, not refused: it still tells devices apart. */
static void test_long_keyword(void **state) {
        char data[3 + 255];
        PciVpd vpd;

        memcpy(data, "SN\xff", 3);
        memset(data + 3, 'A', 255);
        assert_int_equal(pci_vpd_keywords((const uint8_t *) data, sizeof(data), &vpd), 0);
        assert_int_equal(strlen(vpd.serial), PCI_VPD_TEXT_SIZE - 1);
}

/* Writes a capability header at `at`. */
static void put_capability(uint8_t *config, size_t at, uint16_t id, uint16_t next) {
        config[at] = (uint8_t) id;
        config[at + 1] = (uint8_t) (id >> 8);
        config[at + 2] = (uint8_t) (1 | (next & 0xf) << 4);
        config[at + 3] = (uint8_t) (next >> 4);
}

static void test_config_serial(void **state) {
        static const uint8_t number[8] = { 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11 };
        uint8_t config[PCI_CONFIG_SIZE] = { 0 };
        char serial[PCI_CONFIG_SERIAL_SIZE] = "";

        assert_int_equal(pci_config_serial(config, sizeof(config), serial), -ENODATA);

        put_capability(config, 0x100, 0x0001, 0x140);
        put_capability(config, 0x140, 0x0003, 0x000);
        memcpy(config + 0x144, number, 8);
        assert_int_equal(pci_config_serial(config, sizeof(config), serial), 0);
        assert_string_equal(serial, "11-22-33-44-55-66-77-88");

        /* what an ordinary user, or a conventional device, shows of its configuration */
        assert_int_equal(pci_config_serial(config, 64, serial), -ENODATA);
        assert_int_equal(pci_config_serial(config, 256, serial), -ENODATA);
        /* cut in the middle of the number */
        assert_int_equal(pci_config_serial(config, 0x148, serial), -ENODATA);
}

static void test_config_serial_hostile(void **state) {
        uint8_t config[PCI_CONFIG_SIZE] = { 0 };
        char serial[PCI_CONFIG_SERIAL_SIZE] = "";

        /* a chain that bites its tail, one that leads below the extended space, one that leads to the last
         * bytes */
        put_capability(config, 0x100, 0x0001, 0x100);
        assert_int_equal(pci_config_serial(config, sizeof(config), serial), -ENODATA);
        put_capability(config, 0x100, 0x0001, 0x040);
        assert_int_equal(pci_config_serial(config, sizeof(config), serial), -ENODATA);
        put_capability(config, 0x100, 0x0001, 0xffc);
        put_capability(config, 0xffc, 0x0003, 0x000);
        assert_int_equal(pci_config_serial(config, sizeof(config), serial), -ENODATA);

        /* a device that is gone reads as ones */
        memset(config, 0xff, sizeof(config));
        assert_int_equal(pci_config_serial(config, sizeof(config), serial), -ENODATA);
}

static void test_config_serial_blank(void **state) {
        static const uint8_t blanks[][8] = {
                { 0 },
                { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
                { 0, 0, 0, 0xff, 0xff, 0, 0, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(blanks); i++) {
                uint8_t config[PCI_CONFIG_SIZE] = { 0 };
                char serial[PCI_CONFIG_SERIAL_SIZE] = "";

                put_capability(config, 0x100, 0x0003, 0x000);
                memcpy(config + 0x104, blanks[i], 8);
                assert_int_equal(pci_config_serial(config, sizeof(config), serial), -ENODATA);
        }
}

static void test_roles(void **state) {
        static const struct {
                uint32_t class_code;
                int32_t vendor;
                bool bridge_header, on_root_bus;
                PtRole role;
        } cases[] = {
                { 0x020000, 0x8086, false, true, PT_ROLE_OFFER },
                { 0x060400, 0x8086, true, true, PT_ROLE_BRIDGE },
                { 0x060400, 0x8086, false, false, PT_ROLE_BRIDGE },
                { 0x020000, 0x8086, true, false, PT_ROLE_BRIDGE }, /* what the header says counts */
                { 0x060000, 0x1022, false, true, PT_ROLE_BRIDGE },
                { 0x060100, 0x8086, false, true, PT_ROLE_PLATFORM },
                { 0x068000, 0x10de, false, false, PT_ROLE_PLATFORM },
                { 0x080600, 0x1022, false, true, PT_ROLE_PLATFORM },
                { 0x0c0500, 0x1002, false, true, PT_ROLE_PLATFORM },
                { 0x0c0330, 0x8086, false, true, PT_ROLE_OFFER },
                { 0x0c0701, -1, false, false, PT_ROLE_PLATFORM },
                { 0x078000, 0x8086, false, true, PT_ROLE_PLATFORM },  /* management engine */
                { 0x078000, 0x8086, false, false, PT_ROLE_OFFER },    /* a card */
                { 0x078000, 0x1af4, false, true, PT_ROLE_OFFER },     /* virtio console */
                { 0x108000, 0x1022, false, false, PT_ROLE_PLATFORM }, /* AMD's security processor */
                { 0x108000, 0x8086, false, false, PT_ROLE_OFFER },
                { 0x00ff00, 0x1234, false, true, PT_ROLE_OFFER },
                { 0xffffff, 0x1234, false, true, PT_ROLE_OFFER },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_int_equal(pci_class_role(cases[i].class_code, cases[i].vendor, cases[i].bridge_header,
                                                cases[i].on_root_bus),
                                 cases[i].role);
}

static void test_class_names(void **state) {
        assert_string_equal(pci_class_base_name(0x030000), "Display controller");
        assert_string_equal(pci_class_name(0x030200), "3D controller");
        assert_string_equal(pci_class_name(0x03ff00), "Display controller");
        assert_null(pci_class_base_name(0x550000));
        assert_null(pci_class_name(0x550000));
        for (PtRole role = 0; role < _PT_ROLE_MAX; role++)
                assert_string_not_equal(pci_role_name(role), "unknown");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tag),
                cmocka_unit_test(test_keywords),
                cmocka_unit_test(test_long_keyword),
                cmocka_unit_test(test_config_serial),
                cmocka_unit_test(test_config_serial_hostile),
                cmocka_unit_test(test_config_serial_blank),
                cmocka_unit_test(test_roles),
                cmocka_unit_test(test_class_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
