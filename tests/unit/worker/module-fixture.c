/* SPDX-License-Identifier: MIT */

/* The module that the worker's tests load. Built again with one of these set for the loader's refusals. */
#ifndef BROKEN_MAJOR
#define BROKEN_MAJOR 0
#endif
#ifndef BROKEN_MINOR
#define BROKEN_MINOR 0
#endif
#ifndef DESCRIPTOR_SIZE
#define DESCRIPTOR_SIZE sizeof(PtModule)
#endif
#ifndef BROKEN_TABLES
#define BROKEN_TABLES 0
#endif

#ifndef HELPER_PATH
#define HELPER_PATH "/usr/lib/vendor/tool"
#endif

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <passthroughd/module.h>

enum {
        FIELD_VENDOR,
        FIELD_SERIAL,
        FIELD_SLOT,
        FIELD_IOMMU,
        FIELD_ENTRIES,
        FIELD_COPY,
        FIELD_MODEL,
        FIELD_REFUSALS,
        FIELD_DRIVER,
        FIELD_LINK,
};

static const PtField fields[] = {
        [FIELD_VENDOR] = { "vendor-id", NULL, "The vendor", PT_STRING, PT_FIELD_CONSTANT },
        [FIELD_SERIAL] = { "serial", NULL, "From vpd", PT_STRING, PT_FIELD_SLOW },
        [FIELD_SLOT] = { "slot", NULL, "The slot", PT_STRING, PT_FIELD_SLOW },
        [FIELD_IOMMU] = { "iommu", NULL, "The IOMMU", PT_STRING, PT_FIELD_SLOW },
        [FIELD_ENTRIES] = { "entries", NULL, "Entries of the device's directory", PT_UINT32, PT_FIELD_SLOW },
        [FIELD_COPY] = { "copy", NULL, "vendor-id again", PT_STRING, PT_FIELD_SLOW },
        [FIELD_MODEL] = { "model", NULL, "From udev", PT_STRING, PT_FIELD_SLOW },
        [FIELD_REFUSALS] = { "refusals", NULL, "How many forbidden calls were refused", PT_UINT32,
                             PT_FIELD_SLOW },
        [FIELD_DRIVER] = { "driver-fact", NULL, "Whether vfio-pci is registered", PT_BOOL, PT_FIELD_SLOW },
        [FIELD_LINK] = { "group", NULL, "The IOMMU group by its link", PT_STRING, PT_FIELD_SLOW },
        {},
};

static const PtFilter filters[] = {
        { .subsystem = "pci", .vendor = -1, .class_code = -1 },
        {},
};

static int put_string(PtContext *ctx, uint32_t field, const char *text) {
        PtValue value = PT_VALUE_STRING(text);

        return ctx->services->put_field(ctx, field, &value);
}

static int describe(PtContext *ctx, const PtDevice *device) {
        char text[64];

        if (ctx->services->read_attribute(ctx, device, "vendor", text, sizeof(text)) < 0)
                return -ENODATA;
        if (ctx->services->put_name(ctx, "Vendor", "Name") < 0 ||
            ctx->services->put_role(ctx, PT_ROLE_OFFER) < 0)
                return -EINVAL;
        return put_string(ctx, FIELD_VENDOR, text);
}

static void count(void *userdata, const char *entry) {
        ++*(uint32_t *) userdata;
}

/* What a module must not do while it observes. */
static uint32_t count_refusals(PtContext *ctx, const PtDevice *device) {
        const PtServices *s = ctx->services;
        const PtDevice stranger = { .struct_size = sizeof(stranger),
                                    .id = "pci-0000-99-00-0",
                                    .subsystem = "pci",
                                    .sysname = "0000:99:00.0" };
        PtValue number = PT_VALUE_UINT32(1), setting;
        char text[16];

        return (uint32_t) ((s->write_attribute(ctx, device, "mode", "1") == -EPERM) +
                           (s->read_attribute(ctx, &stranger, "vendor", text, sizeof(text)) == -EPERM) +
                           (s->read_attribute(ctx, NULL, "vendor", text, sizeof(text)) == -EPERM) +
                           (s->put_field(ctx, FIELD_SERIAL, &number) == -EINVAL) +
                           (s->put_field(ctx, 4000000000u, &number) == -EINVAL) +
                           (s->put_observed(ctx, "x") == -EPERM) +
                           (s->put_key(ctx, "pci:x", true) == -EPERM) +
                           (s->put_name(ctx, "a", "b") == -EPERM) +
                           (s->put_role(ctx, PT_ROLE_OFFER) == -EPERM) +
                           (s->put_identity(ctx, NULL) == -EPERM) + (s->put_finding(ctx, NULL) == -EPERM) +
                           (s->put_step(ctx, NULL) == -EPERM) + (s->put_attachment(ctx, NULL) == -EPERM) +
                           (s->get_setting(ctx, "x", &setting) == -ENODATA) +
                           (s->get_field(ctx, device, "no-such-field", &setting) == -ENOENT) +
                           (s->get_field(ctx, &stranger, "vendor-id", &setting) == -ENODATA) +
                           (s->read_attribute(ctx, device, "../../../../../etc/passwd", text, sizeof(text)) <
                            0) +
                           (s->host_fact(ctx, "module:../../x") == NULL) +
                           (s->host_fact(ctx, "driver:pci") == NULL) +
                           (s->property(ctx, &stranger, "ID_MODEL") == NULL));
}

/* More than a message can carry. */
static int put_long(PtContext *ctx) {
        static char text[2 * 1024 * 1024];

        (void) memset(text, 'x', sizeof(text) - 1);
        return put_string(ctx, FIELD_SERIAL, text);
}

static int observe(PtContext *ctx, const PtDevice *device) {
        const PtServices *s = ctx->services;
        char serial[64], group[16];
        PtValue value;
        uint32_t n = 0;
        ssize_t length;
        int r;

        if (!PT_HAS_SERVICE(s, set_error))
                return -ENOSYS;
        if (s->read_attribute(ctx, device, "talkative", serial, sizeof(serial)) >= 0)
                return put_long(ctx);

        length = s->read_slow(ctx, device, "vpd", serial, sizeof(serial) - 1, 2);
        if (length < 0) {
                s->set_error(ctx, "there is no VPD");
                return (int) length;
        }
        serial[length] = '\0';
        serial[strcspn(serial, "\n")] = '\0';
        /* What is no text is refused, and stays unknown. */
        (void) put_string(ctx, FIELD_SERIAL, serial);
        if (s->property(ctx, device, "PT_PHYSICAL_SLOT"))
                (void) put_string(ctx, FIELD_SLOT, s->property(ctx, device, "PT_PHYSICAL_SLOT"));
        (void) put_string(ctx, FIELD_IOMMU, s->host_fact(ctx, "iommu"));
        r = s->list(ctx, device, ".", count, &n);
        if (r < 0)
                return r;
        value = PT_VALUE_UINT32(n);
        (void) s->put_field(ctx, FIELD_ENTRIES, &value);
        if (s->get_field(ctx, device, "vendor-id", &value) == 0)
                (void) s->put_field(ctx, FIELD_COPY, &value);
        if (s->property(ctx, device, "ID_MODEL"))
                (void) put_string(ctx, FIELD_MODEL, s->property(ctx, device, "ID_MODEL"));
        value = PT_VALUE_UINT32(count_refusals(ctx, device));
        (void) s->put_field(ctx, FIELD_REFUSALS, &value);
        value = PT_VALUE_BOOL(s->host_fact(ctx, "driver:pci:vfio-pci") != NULL &&
                              s->host_fact(ctx, "driver:pci:none") == NULL &&
                              s->host_fact(ctx, "kernel") != NULL);
        (void) s->put_field(ctx, FIELD_DRIVER, &value);
        if (s->read_link(ctx, device, "iommu_group", group, sizeof(group)) > 0)
                (void) put_string(ctx, FIELD_LINK, group);
        s->log(ctx, 6, "observed");
        if (s->put_blob(ctx, "\xff") != -EINVAL)
                return -EPROTO;
        r = s->put_blob(ctx, "{\"version\": 0}");
        if (r >= 0)
                r = s->put_blob(ctx, "{\"version\": 1}");
        if (r < 0)
                return r;

        return 0;
}

static int uses(PtContext *ctx, const PtDevice *device) {
        return ctx->services->put_key(ctx, device->id, true);
}

static int plan(PtContext *ctx, const PtRequest *request) {
        return 0;
}

static int guest(PtContext *ctx, const PtRequest *request) {
        return 0;
}

static int observe_mode(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char text[64];
        ssize_t n;

        n = ctx->services->read_attribute(ctx, device, "mode", text, sizeof(text));
        if (n < 0)
                return (int) n;
        /* Recorded only, nothing may change yet. */
        if (ctx->services->write_attribute(ctx, device, "mode", "early") != -EPERM)
                return -EINVAL;
        return ctx->services->put_observed(ctx, text);
}

static int run_mode(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        const PtDevice stranger = { .struct_size = sizeof(stranger),
                                    .id = "pci-0000-99-00-0",
                                    .subsystem = "pci",
                                    .sysname = "0000:99:00.0" };

        if (ctx->services->write_attribute(ctx, &stranger, "mode", "x") != -EPERM)
                return -EINVAL;
        if (ctx->services->put_observed(ctx, "late") != -EPERM)
                return -EINVAL;
        return ctx->services->write_attribute(ctx, device, "mode", step->value);
}

static int undo_mode(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        return ctx->services->write_attribute(ctx, device, "mode", observed);
}

static int run_failing(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char text[128];

        (void) snprintf(text, sizeof(text), "The firmware refuses mode %s while %s is bound", step->value,
                        device->driver ? device->driver : "nothing");
        ctx->services->set_error(ctx, text);
        return -EBUSY;
}

static int run_wordless(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        return -EIO;
}

/* Nothing is run while it is only looked at. */
static int observe_helper(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        return ctx->services->run_helper(ctx, "tool", NULL, 0, NULL, 0) == -EPERM ? 0 : -EPROTO;
}

static int run_tool(PtContext *ctx, const char *order, const PtDevice *device, const PtStep *step) {
        const char *words[] = { order, device->sysname, step->value, NULL };
        char output[256];
        int r;

        if (ctx->services->run_helper(ctx, "none", words, 0, NULL, 0) != -EINVAL)
                return -EPROTO;
        r = ctx->services->run_helper(ctx, "tool", words, 5000, output, sizeof(output));
        if (r == 0)
                return 0;
        ctx->services->set_error(ctx, output);
        return r < 0 ? r : -EREMOTEIO;
}

static int run_helper(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        return run_tool(ctx, "-e", device, step);
}

static int undo_helper(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        return run_tool(ctx, "-d", device, step);
}

static const PtHelper helpers[] = {
        { "tool", HELPER_PATH },
        {},
};

static const PtCustomStep custom_steps[] = {
        { .name = "run-tool", .observe = observe_helper, .run = run_helper, .undo = undo_helper },
        { .name = "set-mode", .observe = observe_mode, .run = run_mode, .undo = undo_mode },
        { .name = "fail", .run = run_failing },
        { .name = "wordless", .run = run_wordless },
        { .name = "nothing" },
        {},
};

static const char *const use_cases[] = { NULL };

static const PtModule module = {
        .abi_major = PT_ABI_MAJOR + BROKEN_MAJOR,
        .abi_minor = PT_ABI_MINOR + BROKEN_MINOR,
        .struct_size = DESCRIPTOR_SIZE,
        .fields = BROKEN_TABLES ? NULL : fields,
        .type = "test",
        .title = "Test device",
        .version = "1",
        .use_cases = use_cases,
        .filters = filters,
        .custom_steps = custom_steps,
        .describe = describe,
        .observe = observe,
        .uses = uses,
        .plan = plan,
        .guest = guest,
        .helpers = helpers,
};

#ifdef BROKEN_ENTRY
__attribute__((visibility("default"))) const PtModule *another_name(void);
const PtModule *another_name(void) {
        return &module;
}
#else
PT_MODULE_DEFINE(module)
#endif
