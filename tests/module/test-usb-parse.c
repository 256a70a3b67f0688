/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/macro.h"
#include "lib/parse.h"
#include "lib/usb-place.h"
#include "modules/usb/usb-descriptor.h"
#include "modules/usb/usb-serial.h"

static const uint8_t stick[] = {
        18, 1, 0x20, 0x03, 0, 0, 0, 9, 0x51, 0x09, 0x66, 0x16, 0x10, 0x01, 1, 2, 3, 1,
        9, 2, 44, 0, 1, 1, 0, 0xc0, 112,
        9, 4, 0, 0, 2, 8, 6, 0x50, 0,
        7, 5, 0x81, 2, 0, 4, 0,
};

static void test_descriptors(void **state) {
        UsbDescriptors d, other;
        uint8_t changed[sizeof(stick)];

        assert_int_equal(usb_descriptors_parse(stick, sizeof(stick), &d), 0);
        assert_int_equal(d.vendor, 0x0951);
        assert_int_equal(d.model, 0x1666);
        assert_int_equal(d.release, 0x0110);
        assert_int_equal(d.serial_index, 3);
        assert_int_equal(d.configurations, 1);
        assert_int_equal(d.interfaces, 1);
        assert_int_equal(d.max_power, 896); /* units of 8 mA for USB 3 */
        assert_true(d.self_powered);

        memcpy(changed, stick, sizeof(stick));
        changed[3] = 0x02;
        assert_int_equal(usb_descriptors_parse(changed, sizeof(changed), &other), 0);
        assert_int_equal(other.max_power, 224);
        assert_true(other.hash != d.hash);
}

/* What a stranger may send: cut off anywhere, lengths of nothing and of more than there is. */
static void test_broken_descriptors(void **state) {
        uint8_t bytes[sizeof(stick)];
        UsbDescriptors d = { .vendor = 1 };

        for (size_t n = 0; n < 18; n++) {
                assert_int_equal(usb_descriptors_parse(stick, n, &d), -EBADMSG);
                assert_int_equal(d.vendor, 1); /* untouched */
        }
        for (size_t n = 18; n < sizeof(stick); n++)
                assert_int_equal(usb_descriptors_parse(stick, n, &d), 0);
        for (size_t at = 0; at < sizeof(stick); at++)
                for (unsigned value = 0; value < 256; value += 5) {
                        memcpy(bytes, stick, sizeof(stick));
                        bytes[at] = (uint8_t) value;
                        (void) usb_descriptors_parse(bytes, sizeof(bytes), &d);
                }
        /* A length of zero would be read for ever, one of 255 beyond the end: nothing after it counts. */
        memcpy(bytes, stick, sizeof(stick));
        bytes[18] = 0;
        assert_int_equal(usb_descriptors_parse(bytes, sizeof(bytes), &d), 0);
        assert_int_equal(d.max_power, 0);
        bytes[18] = 255;
        assert_int_equal(usb_descriptors_parse(bytes, sizeof(bytes), &d), 0);
        assert_int_equal(d.interfaces, 0);
        bytes[0] = 255;
        assert_int_equal(usb_descriptors_parse(bytes, sizeof(bytes), &d), -EBADMSG);
        bytes[0] = 18;
        bytes[1] = 2;
        assert_int_equal(usb_descriptors_parse(bytes, sizeof(bytes), &d), -EBADMSG);
}

static void assert_string(const uint8_t *data, size_t size, const char *expected) {
        char text[USB_STRING_TEXT_SIZE];

        assert_int_equal(usb_string_parse(data, size, text), 0);
        assert_string_equal(text, expected);
        assert_true(text_is_clean(text, sizeof(text)));
}

static void test_strings(void **state) {
        static const uint8_t plain[] = { 8, 3, 'A', 0, 'b', 0, '1', 0 }, umlaut[] = { 6, 3, 0xe4, 0, 0xac, 0x20 },
                             pair[] = { 6, 3, 0x3d, 0xd8, 0x00, 0xde }, lone_high[] = { 6, 3, 0x3d, 0xd8, 'x', 0 },
                             lone_low[] = { 4, 3, 0x00, 0xde }, cut_pair[] = { 4, 3, 0x3d, 0xd8 },
                             control[] = { 8, 3, 7, 0, 0x85, 0, 0xff, 0xff }, odd[] = { 5, 3, 'A', 0, 'b' },
                             empty[] = { 2, 3 }, padded[] = { 8, 3, 'A', 0, 0, 0, 'B', 0 };
        uint8_t longest[255] = { 255, 3 };
        char text[USB_STRING_TEXT_SIZE];

        assert_string(plain, sizeof(plain), "Ab1");
        assert_string(umlaut, sizeof(umlaut), "ä€");
        assert_string(pair, sizeof(pair), "😀");
        assert_string(lone_high, sizeof(lone_high), "?x");
        assert_string(lone_low, sizeof(lone_low), "?");
        assert_string(cut_pair, sizeof(cut_pair), "?");
        assert_string(control, sizeof(control), "???");
        assert_string(odd, sizeof(odd), "A");
        assert_string(empty, sizeof(empty), "");
        assert_string(padded, sizeof(padded), "A");

        for (size_t i = 2; i + 1 < sizeof(longest); i += 2) {
                longest[i] = 0xac;
                longest[i + 1] = 0x20;
        }
        assert_int_equal(usb_string_parse(longest, sizeof(longest), text), 0);
        assert_int_equal(strlen(text), 126 * 3);

        assert_int_equal(usb_string_parse(plain, 0, text), -EBADMSG);
        assert_int_equal(usb_string_parse(plain, 1, text), -EBADMSG);
        assert_int_equal(usb_string_parse(plain, 7, text), -EBADMSG); /* says 8 */
        assert_int_equal(usb_string_parse((const uint8_t[]){ 1, 3 }, 2, text), -EBADMSG);
        assert_int_equal(usb_string_parse((const uint8_t[]){ 4, 2, 'A', 0 }, 4, text), -EBADMSG);
}

static void test_serials(void **state) {
        static const char *const good[] = { "60A44C413FB1E2B0", "PTUSB0001", "A1B", "3.14-159", "000000000001" };
        static const char *const bad[] = { "", "0", "00", "0000000000", "00-00-00-00", "FFFFFFFF", "0123456789ABCDEF",
                                           "123456789", "1234567890", "None", "n/a", "x\x01y", "\xff\xfe\xfd", "   " };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(usb_serial_is_plausible(good[i]));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (usb_serial_is_plausible(bad[i]))
                        fail_msg("\"%s\" counts as a serial number", bad[i]);
        assert_false(usb_serial_is_plausible(NULL));
}

static void test_places(void **state) {
        static const struct {
                const char *path, *peer, *expected;
                bool super_speed, hub;
        } places[] = {
                { "/devices/pci0000:00/0000:00:14.0/usb1/1-5/1-5.2", NULL, "0000:00:14.0/5.2", false, false },
                { "/devices/pci0000:00/0000:00:14.0/usb1", NULL, "0000:00:14.0/0", false, true },
                { "/devices/pci0000:00/0000:00:14.0/usb2", NULL, "0000:00:14.0/ss0", true, true },
                { "/devices/pci0000:00/0000:00:14.0/usb2/2-3", "usb1-port7", "0000:00:14.0/7", true, false },
                { "/devices/pci0000:00/0000:00:14.0/usb2/2-3", NULL, "0000:00:14.0/ss3", true, false },
                { "/devices/pci0000:00/0000:00:14.0/usb2/2-3", "nonsense", "0000:00:14.0/ss3", true, false },
                { "/devices/pci0000:00/0000:00:14.0/usb2/2-3", "usb1-port", "0000:00:14.0/ss3", true, false },
                { "/devices/pci0000:00/0000:00:14.0/usb2/2-3/2-3.1", "1-7-port1", "0000:00:14.0/7.1", true, false },
                { "/devices/pci0000:00/0000:00:14.0/usb2/2-3/2-3.1/2-3.1.4", "1-7.1-port4", "0000:00:14.0/7.1.4", true, false },
                { "/devices/pci0000:00/0000:00:14.0/usb2/2-3", "usb1-port7", "0000:00:14.0/ss3", true, true },
                { "/devices/platform/dummy_hcd.0/usb3/3-1", NULL, "dummy_hcd.0/1", false, false },
                { "/devices/platform/dummy_hcd.0/usb3/3-", NULL, NULL, false, false },
                { "/devices/platform/dummy_hcd.0/usb3/3-1:1.0", NULL, NULL, false, false },
                { "/usb3/3-1", NULL, NULL, false, false },
                { "/devices/x/1-1", NULL, NULL, false, false },
                { "", NULL, NULL, false, false },
        };
        char place[USB_PLACE_SIZE], link[64];

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                int r = usb_place_make(places[i].path, places[i].super_speed, places[i].hub, places[i].peer, place);

                if (!places[i].expected) {
                        assert_int_equal(r, -EINVAL);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_string_equal(place, places[i].expected);
        }
        assert_int_equal(usb_place_peer_link("/devices/x/usb2/2-3", link, sizeof(link)), 0);
        assert_string_equal(link, "../2-0:1.0/usb2-port3/peer");
        assert_int_equal(usb_place_peer_link("/devices/x/usb2/2-3/2-3.14", link, sizeof(link)), 0);
        assert_string_equal(link, "../2-3:1.0/2-3-port14/peer");
        assert_int_equal(usb_place_peer_link("/devices/x/usb2", link, sizeof(link)), -ENOENT);
        assert_int_equal(usb_place_peer_link("/devices/x/usb2/2-3", link, 8), -ENOENT);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_descriptors), cmocka_unit_test(test_broken_descriptors),
                cmocka_unit_test(test_strings),     cmocka_unit_test(test_serials),
                cmocka_unit_test(test_places),
        };

        return cmocka_run_group_tests_name("usb-parse", tests, NULL, NULL);
}
