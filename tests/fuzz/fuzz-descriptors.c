/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <stdlib.h>

#include "fuzz.h"
#include "lib/parse.h"
#include "lib/usb-place.h"
#include "modules/usb/usb-descriptor.h"
#include "modules/usb/usb-serial.h"

/* What a USB device sends, and what the kernel makes of where it is: anything at all comes out as clean text or is
 * refused. The input is a copy of its own size, so that a sanitizer sees the byte after the last one. */

static void check_string(const uint8_t *data, size_t size) {
        char text[USB_STRING_TEXT_SIZE];

        if (usb_string_parse(data, size, text) < 0)
                return;
        assert(strlen(text) < sizeof(text));
        assert(utf8_is_valid(text));
        (void) usb_serial_is_plausible(text);
}

static void check_place(const uint8_t *data, size_t size) {
        _cleanup_free_ char *path = strndup((const char *) data, size);
        char place[USB_PLACE_SIZE], link[64];
        const char *half;

        assert(path);
        half = path + strlen(path) / 2;
        if (usb_place_make(path, size & 1, size & 2, half, place) >= 0)
                assert(strchr(place, '/') && strlen(place) < sizeof(place));
        (void) usb_place_peer_link(path, link, sizeof(link));
        (void) usb_serial_is_plausible(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ uint8_t *copy = calloc(1, size > 0 ? size : 1);
        UsbDescriptors d;

        assert(copy);
        if (size > 0)
                memcpy(copy, data, size);
        if (usb_descriptors_parse(copy, size, &d) >= 0)
                assert(size >= USB_DEVICE_DESCRIPTOR_SIZE);
        check_string(copy, size);
        check_place(copy, size);
        return 0;
}
