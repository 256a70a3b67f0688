/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What needs the device itself: a reset, and whether it still answers. In the worker only. libusb is given the open
 * node and looks for no devices of its own; without that it would start a thread that follows udev. */

#include <libusb.h>
#include <stdio.h>
#include <unistd.h>

#include "usb-descriptor.h"
#include "usb.h"

#define ANSWER_MSEC 1000u

typedef struct Open {
        int fd;
        libusb_context *context;
        libusb_device_handle *handle;
} Open;

static void open_done(Open *o) {
        if (o->handle)
                libusb_close(o->handle);
        if (o->context)
                libusb_exit(o->context);
        if (o->fd >= 0)
                (void) close(o->fd);
}
#define _cleanup_open_ __attribute__((cleanup(open_done)))

static int fail(PtContext *ctx, const PtDevice *device, int error, const char *what, const char *why) {
        char text[USB_TEXT_SIZE];

        (void) snprintf(text, sizeof(text), "%s of %s: %s", what, device->sysname, why);
        ctx->services->set_error(ctx, text);
        return error;
}

static int open_node(PtContext *ctx, const PtDevice *device, int *ret) {
        char name[USB_NAME_SIZE];
        UsbDevice d;
        int fd, r;

        r = usb_device_load(ctx, device, &d);
        if (r < 0)
                return r;
        if (d.bus < 0 || d.address < 0)
                return fail(ctx, device, -ENODEV, "Bus and address", "they cannot be read");
        if (!PT_HAS_SERVICE(ctx->services, open_node))
                return fail(ctx, device, -EOPNOTSUPP, "Opening the node", "there are no nodes here");
        usb_node_name(&d, name);
        fd = ctx->services->open_node(ctx, device, name);
        if (fd < 0)
                return fail(ctx, device, fd, "Opening the node",
                            fd == -EXDEV        ? "it is another device's"
                            : fd == -EOPNOTSUPP ? "it is no device node"
                                                : strerrordesc_np(-fd));
        *ret = fd;
        return 0;
}

static int to_errno(int error) {
        switch (error) {
        case LIBUSB_ERROR_ACCESS:
                return -EACCES;
        case LIBUSB_ERROR_NO_DEVICE:
                return -ENODEV;
        case LIBUSB_ERROR_BUSY:
                return -EBUSY;
        case LIBUSB_ERROR_TIMEOUT:
                return -ETIMEDOUT;
        case LIBUSB_ERROR_NO_MEM:
                return -ENOMEM;
        case LIBUSB_ERROR_NOT_SUPPORTED:
                return -EOPNOTSUPP;
        default:
                return -EIO;
        }
}

static int open_device(PtContext *ctx, const PtDevice *device, Open *ret) {
        int r;

        r = open_node(ctx, device, &ret->fd);
        if (r < 0)
                return r;
        /* In 1.0.26 it counts for contexts made later, and is set without one. */
        (void) libusb_set_option(NULL, LIBUSB_OPTION_NO_DEVICE_DISCOVERY);
        r = libusb_init(&ret->context);
        if (r < 0)
                return fail(ctx, device, to_errno(r), "libusb", libusb_strerror(r));
        r = libusb_wrap_sys_device(ret->context, ret->fd, &ret->handle);
        if (r < 0)
                return fail(ctx, device, to_errno(r), "Opening", libusb_strerror(r));
        return 0;
}

int usb_reset_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        _cleanup_open_ Open o = { .fd = -EBADF };
        int r;

        r = open_device(ctx, device, &o);
        if (r < 0)
                return r;
        r = libusb_reset_device(o.handle);
        /* It came back as something else, with another address: reset it is. */
        if (r == LIBUSB_ERROR_NOT_FOUND || r == LIBUSB_ERROR_NO_DEVICE)
                return 0;
        return r < 0 ? fail(ctx, device, to_errno(r), "The reset", libusb_strerror(r)) : 0;
}

static int put_broken(PtContext *ctx, const char *code, const char *text) {
        return ctx->services->put_finding(ctx, &(PtFinding){
                                                       .severity = PT_SEVERITY_BLOCKER,
                                                       .code = code,
                                                       .text = text,
                                                       .remedy = "Plug the device in again; where that does not help, "
                                                                 "it is broken.",
                                               });
}

/* Asks the device itself, not what the kernel remembers of it. */
static bool answers(libusb_device_handle *handle, uint8_t type, uint8_t index, uint16_t language, uint8_t *data,
                    uint16_t size, int *ret_n) {
        *ret_n = libusb_control_transfer(handle, LIBUSB_ENDPOINT_IN, LIBUSB_REQUEST_GET_DESCRIPTOR,
                                         (uint16_t) (type << 8 | index), language, data, size, ANSWER_MSEC);
        return *ret_n >= 0;
}

static bool is_same(const UsbDescriptors *found, const UsbDevice *d) {
        return found->vendor == d->vendor && found->model == d->model;
}

int usb_health(PtContext *ctx, const PtDevice *device) {
        uint8_t data[USB_STRING_DESCRIPTOR_MAX];
        char text[USB_STRING_TEXT_SIZE];
        _cleanup_open_ Open o = { .fd = -EBADF };
        UsbDescriptors found;
        UsbDevice d;
        int n, r;

        r = usb_device_load(ctx, device, &d);
        if (r < 0)
                return r;
        r = open_device(ctx, device, &o);
        if (r == -EOPNOTSUPP)
                return 0; /* nothing there that could be asked */
        if (r < 0)
                return r;
        if (!answers(o.handle, LIBUSB_DT_DEVICE, 0, 0, data, USB_DEVICE_DESCRIPTOR_SIZE, &n))
                return put_broken(ctx, "does-not-answer", "The device does not answer any more.");
        if (usb_descriptors_parse(data, (size_t) n, &found) < 0)
                return put_broken(ctx, "answers-nonsense", "The device answers with what is no device descriptor.");
        if (!is_same(&found, &d))
                return put_broken(ctx, "answers-as-another",
                                  "The device answers with the ids of another one: its firmware was changed.");
        if (found.serial_index == 0)
                return 0;
        /* Strings are asked for in a language that the device lists first; all know English. */
        if (answers(o.handle, LIBUSB_DT_STRING, found.serial_index, 0x0409, data, sizeof(data), &n) &&
            usb_string_parse(data, (size_t) n, text) < 0)
                return put_broken(ctx, "answers-nonsense", "The device answers with what is no serial number.");
        return 0;
}
