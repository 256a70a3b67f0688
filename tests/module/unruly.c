/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A module that breaks the rules of the interface, one after the other: test-harness looks whether the harness
 * notices. */

#include <errno.h>
#include <passthroughd/module.h>

static const PtFilter FILTERS[] = {
        { .subsystem = "pci", .vendor = -1, .class_code = -1 },
        { 0 },
};

static const PtField FIELDS[] = {
        { "quick", NULL, "A quick field.", PT_STRING, PT_FIELD_MATCHABLE },
        { "slow", NULL, "A slow field.", PT_UINT32, PT_FIELD_SLOW },
        { 0 },
};

static int unruly_describe(PtContext *ctx, const PtDevice *device) {
        char text[64];

        (void) ctx->services->read_attribute(ctx, device, "uevent", text, sizeof(text));
        (void) ctx->services->put_field(ctx, 0, &PT_VALUE_UINT32(1));
        (void) ctx->services->put_field(ctx, 0, &PT_VALUE_STRING("\x1b[31m"));
        (void) ctx->services->put_field(ctx, 1, &PT_VALUE_UINT32(1));
        (void) ctx->services->put_field(ctx, 2, &PT_VALUE_UINT32(1));
        return 0;
}

static int unruly_uses(PtContext *ctx, const PtDevice *device) {
        return ctx->services->put_key(ctx, "iommu:3", true);
}

static int unruly_identity(PtContext *ctx, const PtDevice *device) {
        PtIdentity weak = { .kind = "weak", .strength = 10, .condition = "quick = a", .breaks = "anything" };
        PtIdentity strong = { .kind = "strong", .strength = 90, .condition = "", .breaks = "nothing" };
        PtValue value;

        (void) ctx->services->get_field(ctx, device, "nothing", &value);
        (void) ctx->services->put_identity(ctx, &weak);
        return ctx->services->put_identity(ctx, &strong);
}

static int unruly_check(PtContext *ctx, const PtDevice *device, const PtRequest *request) {
        PtFinding finding = { .severity = PT_SEVERITY_NOTE, .code = "Shouted", .text = "no full stop" };

        return ctx->services->put_finding(ctx, &finding);
}

static int unruly_plan(PtContext *ctx, const PtRequest *request) {
        PtStep outside = {
                .kind = PT_STEP_WRITE_ATTRIBUTE,
                .device = request->device->id,
                .name = "../remove",
                .value = "1",
                .sentence = "leave the device's directory",
        };
        PtStep stranger = {
                .kind = PT_STEP_RESET,
                .device = "pci-0000-ff-1f-7",
                .sentence = "reset what is not there",
        };
        PtStep unknown = {
                .kind = PT_STEP_CUSTOM,
                .device = request->device->id,
                .name = "unknown",
                .sentence = "do what nobody knows",
        };

        (void) ctx->services->put_step(ctx, &outside);
        (void) ctx->services->put_step(ctx, &stranger);
        (void) ctx->services->put_step(ctx, &unknown);
        return 0;
}

static int unruly_guest(PtContext *ctx, const PtRequest *request) {
        PtAttachment attachment = {
                .struct_size = sizeof(PtAttachment),
                .device = request->device->id,
                .driver = "vfio-pci",
                .libvirt_type = "pci",
                .address = request->device->sysname,
                .nodes = (const char *const[]){ "/etc/shadow", NULL },
        };

        return ctx->services->put_attachment(ctx, &attachment);
}

static const char *const USE_CASES[] = { "None", NULL };

static const PtModule MODULE = {
        .abi_major = PT_ABI_MAJOR,
        .abi_minor = PT_ABI_MINOR,
        .struct_size = sizeof(PtModule),
        .type = "unruly",
        .title = "Unruly",
        .version = "1",
        .documentation = "none",
        .guest_driver = "None.",
        .use_cases = USE_CASES,
        .default_class = "pci",
        .filters = FILTERS,
        .fields = FIELDS,
        .describe = unruly_describe,
        .uses = unruly_uses,
        .identity = unruly_identity,
        .check = unruly_check,
        .plan = unruly_plan,
        .guest = unruly_guest,
};

PT_MODULE_DEFINE(MODULE)
