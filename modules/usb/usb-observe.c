/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The descriptors as the kernel read them when it enumerated the device: a file of sysfs, so that nothing wakes the
 * device or disturbs who has it. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "usb-descriptor.h"
#include "usb.h"

int usb_observe(PtContext *ctx, const PtDevice *device) {
        _cleanup_free_ uint8_t *data = malloc(USB_DESCRIPTORS_MAX);
        UsbDescriptors d = { 0 };
        char text[32] = "";
        ssize_t n;
        int r;

        if (!data)
                return -ENOMEM;
        n = ctx->services->read_slow(ctx, device, "descriptors", data, USB_DESCRIPTORS_MAX, 0);
        if (n < 0)
                return (int) n;
        /* Ones that are not descriptors have no digest either: that is an answer, and not asked for again. */
        if (usb_descriptors_parse(data, (size_t) n, &d) >= 0)
                (void) snprintf(text, sizeof(text), "%016" PRIx64, d.hash);

        r = ctx->services->put_field(ctx, USB_FIELD_DESCRIPTOR_HASH, &PT_VALUE_STRING(text));
        if (r >= 0)
                r = ctx->services->put_field(ctx, USB_FIELD_MAX_POWER, &PT_VALUE_UINT32(d.max_power));
        if (r >= 0)
                r = ctx->services->put_field(ctx, USB_FIELD_SELF_POWERED, &PT_VALUE_BOOL(d.self_powered));
        return r;
}
