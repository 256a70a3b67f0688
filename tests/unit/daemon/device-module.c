/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The module that the tests of loader and inventory load. What it does with a device is told by the
 * device's `label`. Built again with one of the macros for each thing that the loader refuses. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <passthroughd/module.h>

#ifndef TYPE
#define TYPE "test"
#endif
#ifndef MAJOR
#define MAJOR PT_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR PT_ABI_MINOR
#endif
#ifndef SIZE
#define SIZE sizeof(PtModule)
#endif
#ifndef TYPE_FLAGS
#define TYPE_FLAGS 0
#endif
#ifndef DRIVER
#define DRIVER NULL
#endif

#ifdef CRASH
__attribute__((constructor)) static void crash(void) {
        abort();
}
#endif

typedef enum Field {
        FIELD_ADDRESS,
        FIELD_VENDOR,
        FIELD_NODE,
        FIELD_METHODS,
        FIELD_LABEL,
        FIELD_DRIVER_MODULE,
        FIELD_REFUSALS,
        FIELD_BOOT,
        FIELD_BIG,
        FIELD_SIGNED,
        FIELD_SERIAL,
        FIELD_TAGS,
} Field;

static const PtField FIELDS[] = {
        [FIELD_ADDRESS] = { "address", NULL, "Where it is", PT_STRING,
                            PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE },
        [FIELD_VENDOR] = { "vendor", NULL, "Vendor id", PT_UINT32, PT_FIELD_CONSTANT },
        [FIELD_NODE] = { "node", NULL, "NUMA node", PT_INT32, 0 },
        [FIELD_METHODS] = { "methods", NULL, "Reset methods", PT_STRV, 0 },
        [FIELD_LABEL] = { "label", NULL, "Label", PT_STRING, 0 },
        [FIELD_DRIVER_MODULE] = { "driver-module", NULL, "Module of the driver", PT_STRING,
                                  PT_FIELD_VOLATILE },
        [FIELD_REFUSALS] = { "refusals", NULL, "Calls that were refused, as they should", PT_UINT32, 0 },
        [FIELD_BOOT] = { "boot", NULL, "A boolean", PT_BOOL, 0 },
        [FIELD_BIG] = { "big", "B", "A large number", PT_UINT64, 0 },
        [FIELD_SIGNED] = { "signed", NULL, "A signed number", PT_INT64, 0 },
#ifdef BROKEN_TABLES
        [FIELD_SERIAL] = { "Serial", NULL, "Not in kebab-case", PT_STRING, PT_FIELD_SLOW },
#else
        [FIELD_SERIAL] = { "serial", NULL, "Serial number", PT_STRING, PT_FIELD_SLOW | PT_FIELD_SCRUB },
#endif
        [FIELD_TAGS] = { "tags", NULL, "Observed words", PT_STRV, PT_FIELD_SLOW },
        { 0 },
};

static const char *const MODES[] = { "fast", "safe", NULL };

static const PtSetting SETTINGS[] = {
        { "mode", NULL, "How", PT_STRING, PT_SETTING_GROUP | PT_SETTING_CONSUMER | PT_SETTING_OVERRIDE, 0, 0,
          MODES, "safe" },
        { "size", "MiB", "How much", PT_UINT32, PT_SETTING_GROUP, 1, 64, NULL, "8" },
        { 0 },
};

static const PtFilter FILTERS[] = {
#ifndef NO_FILTER
        { .subsystem = "pci", .driver = DRIVER, .vendor = -1, .class_code = -1 },
#endif
        { 0 },
};

static int put_text(PtContext *ctx, Field field, const char *text) {
        return ctx->services->put_field(ctx, field, &PT_VALUE_STRING(text));
}

static void count_entry(void *userdata, const char *entry) {
        ++*(unsigned *) userdata;
}

/* Everything that must be refused, counted. */
static unsigned count_refusals(PtContext *ctx, const PtDevice *device) {
        static const char *const hanging[] = { "uevent",       "driver_override",
                                               "sriov_numvfs", "config",
                                               "vpd",          "power/control",
                                               "../vendor",    "current_link_speed" };
        const PtServices *s = ctx->services;
        const PtDevice stranger = { .struct_size = sizeof(stranger),
                                    .id = "pci-ffff-00-00-0",
                                    .subsystem = "pci",
                                    .sysname = "ffff:00:00.0" };
        char text[64];
        unsigned refused = 0, entries = 0;
        PtValue value;

        for (size_t i = 0; i < sizeof(hanging) / sizeof(hanging[0]); i++)
                refused += s->read_attribute(ctx, device, hanging[i], text, sizeof(text)) == -EPERM;
        refused += s->read_attribute(ctx, &stranger, "vendor", text, sizeof(text)) == -EINVAL;
        refused += s->read_link(ctx, &stranger, "driver", text, sizeof(text)) == -EINVAL;
        refused += s->read_link(ctx, device, "vendor", text, sizeof(text)) == -EPERM;
        refused += s->list(ctx, &stranger, ".", count_entry, &entries) == -EINVAL;
        refused += s->list(ctx, device, "power", count_entry, &entries) == -EPERM;
        refused += s->property(ctx, &stranger, "ID_MODEL") == NULL;
        refused += s->get_field(ctx, &stranger, "vendor", &value) == -EINVAL;
        refused += s->get_field(ctx, device, "nonsense", &value) < 0;
        refused += s->get_setting(ctx, "nonsense", &value) == -ENOENT;
        refused += s->put_field(ctx, 99, &PT_VALUE_STRING("x")) == -EINVAL;
        refused += s->put_field(ctx, FIELD_VENDOR, &PT_VALUE_STRING("x")) == -EINVAL;
        refused += s->put_field(ctx, FIELD_ADDRESS, &PT_VALUE_STRING(NULL)) == -EINVAL;
        refused += s->put_role(ctx, _PT_ROLE_MAX) == -EINVAL;
        refused += s->put_key(ctx, "x", true) == -EPERM;
        refused += s->put_identity(ctx, &(PtIdentity){ .kind = "x", .condition = "y" }) == -EPERM;
        refused += s->put_finding(ctx, &(PtFinding){ .code = "x", .text = "y" }) == -EPERM;
        refused += s->put_step(ctx, &(PtStep){ .kind = PT_STEP_RESET }) == -EPERM;
        refused += s->put_attachment(ctx, &(PtAttachment){ .device = "x" }) == -EPERM;
        refused += s->put_observed(ctx, "x") == -EPERM;
        refused += !PT_HAS_SERVICE(s, read_slow) && !PT_HAS_SERVICE(s, write_attribute);
        return refused;
}

static int put_others(PtContext *ctx, const PtDevice *device, const char *label) {
        static const char *const methods[] = { "flr", "bus", NULL };
        const PtServices *s = ctx->services;
        const char *module, *model;
        char fact[128];
        int r;

        (void) snprintf(fact, sizeof(fact), "driver-module:pci:%s",
                        device->driver ? device->driver : "none");
        module = s->host_fact(ctx, fact);
        model = s->property(ctx, device, "ID_MODEL_FROM_DATABASE");
        /* Both pointers are to live until we return. */
        if ((r = put_text(ctx, FIELD_DRIVER_MODULE, module ? module : "")) < 0 ||
            (r = s->put_field(ctx, FIELD_METHODS, &PT_VALUE_STRV(methods))) < 0 ||
            (r = s->put_field(ctx, FIELD_BOOT, &PT_VALUE_BOOL(true))) < 0 ||
            (r = s->put_field(ctx, FIELD_BIG, &PT_VALUE_UINT64(UINT64_MAX))) < 0 ||
            (r = s->put_field(ctx, FIELD_SIGNED, &PT_VALUE_INT64(-5))) < 0 ||
            (r = s->put_field(ctx, FIELD_REFUSALS, &PT_VALUE_UINT32(count_refusals(ctx, device)))) < 0)
                return r;
        if (strcmp(label, "nameless") == 0)
                return 0;
        return s->put_name(ctx, "Vendor", model ? model : label);
}

static int describe(PtContext *ctx, const PtDevice *device) {
        const PtServices *s = ctx->services;
        char text[64], label[64] = "";
        int r;

        if (s->read_attribute(ctx, device, "vendor", text, sizeof(text)) < 0)
                return -ENODEV;
        if ((r = put_text(ctx, FIELD_ADDRESS, "to be replaced")) < 0 ||
            (r = put_text(ctx, FIELD_ADDRESS, device->sysname)) < 0 ||
            (r = s->put_field(ctx, FIELD_VENDOR, &PT_VALUE_UINT32((uint32_t) strtoul(text, NULL, 16)))) <
                    0 ||
            (r = s->put_field(ctx, FIELD_NODE, &PT_VALUE_INT32((int32_t) device->numa_node_plus_1 - 1))) < 0)
                return r;

        if (s->read_attribute(ctx, device, "label", label, sizeof(label)) >= 0 &&
            (r = put_text(ctx, FIELD_LABEL, label)) < 0)
                return r;
        if (strcmp(label, "decline") == 0)
                return -ENODEV;
        if (strcmp(label, "fail") == 0)
                return -EIO;
        if (strcmp(label, "latin1") == 0 &&
            (r = put_text(ctx, FIELD_LABEL, "caf\xe9 \xf0\x9f\x98\x80 \xe2\x82")) < 0)
                return r;
        if (strcmp(label, "log") == 0)
                s->log(ctx, 3, "the module \xff speaks");
        if (strcmp(label, "bridge") == 0)
                (void) s->put_role(ctx, PT_ROLE_BRIDGE);
        if (strcmp(label, "slots") == 0 && device->slot == 0) {
                const char *n = s->get_blob(ctx, device);

                (void) s->put_role(ctx, PT_ROLE_PROVIDER);
                if (s->put_slots(ctx, 1025) != -E2BIG || (r = s->put_slots(ctx, n ? (uint32_t) atoi(n) : 0)) < 0)
                        return r;
        } else if (device->slot > 0 && s->put_slots(ctx, 1) != -EPERM)
                return -EPROTO;
        return put_others(ctx, device, label);
}

static int observe(PtContext *ctx, const PtDevice *device) {
        return 0;
}

static int uses(PtContext *ctx, const PtDevice *device) {
        char key[64], label[64] = "";
        int r;

        (void) snprintf(key, sizeof(key), TYPE ":%s", device->sysname);
        r = ctx->services->put_key(ctx, key, true);
        if (r < 0)
                return r;
        (void) ctx->services->read_attribute(ctx, device, "label", label, sizeof(label));
        if (strcmp(label, "fail-uses") == 0)
                return -EIO;
        if (ctx->services->put_key(ctx, "", true) != -EINVAL ||
            ctx->services->put_key(ctx, "a\nb", true) != -EINVAL)
                return -EPROTO;
        return ctx->services->put_key(ctx, TYPE ":all", false);
}

static int identity(PtContext *ctx, const PtDevice *device) {
        int r = ctx->services->put_identity(ctx, &(PtIdentity){ .kind = "serial",
                                                                .strength = 100,
                                                                .condition = "serial = A",
                                                                .breaks = "nothing" });

        if (r < 0)
                return r;
        if (ctx->services->put_identity(
                    ctx, &(PtIdentity){ .kind = "x", .condition = "y", .strength = 101 }) != -EINVAL)
                return -EPROTO;
        return ctx->services->put_identity(ctx, &(PtIdentity){ .kind = "slot", .condition = "address = x" });
}

static int check(PtContext *ctx, const PtDevice *device, const PtRequest *request) {
        const PtServices *s = ctx->services;
        char label[64] = "";
        PtValue vendor;
        int r;

        r = s->put_finding(ctx, &(PtFinding){ .severity = PT_SEVERITY_NOTE,
                                              .code = "seen",
                                              .text = request ? "asked \xff for" : "looked at" });
        if (r < 0)
                return r;
        (void) s->read_attribute(ctx, device, "label", label, sizeof(label));
        if (strcmp(label, "fail-check") == 0)
                return -EIO;
        if (strcmp(label, "blob") == 0)
                return s->put_finding(ctx, &(PtFinding){ .severity = PT_SEVERITY_NOTE,
                                                         .code = "blob",
                                                         .text = s->get_blob(ctx, device) ?: "unknown" });
        if (s->get_field(ctx, device, "vendor", &vendor) < 0 || vendor.type != PT_UINT32)
                return -EPROTO;
        if (s->get_field(ctx, device, "serial", &vendor) != -ENODATA)
                return s->put_finding(ctx, &(PtFinding){ .severity = PT_SEVERITY_BLOCKER,
                                                         .code = "serial-known",
                                                         .text = vendor.s,
                                                         .culprit = "c",
                                                         .remedy = "r" });
        return 0;
}

static int plan(PtContext *ctx, const PtRequest *request) {
        const PtServices *s = ctx->services;
        PtValue mode, size;
        char sentence[128];

        if (s->get_setting(ctx, "mode", &mode) < 0 || s->get_setting(ctx, "size", &size) < 0)
                return -EPROTO;
        for (const PtDevice *const *d = request->bundle; *d; d++) {
                int r;

                (void) snprintf(sentence, sizeof(sentence), "%s %s, %u MiB, for %u:%u%s", mode.s,
                                (*d)->sysname, size.u, request->uid, request->gid,
                                request->flags & PT_REQUEST_PARK_COMPANIONS ? ", parked" : "");
                r = s->put_step(ctx, &(PtStep){ .kind = PT_STEP_SET_DRIVER,
                                                .device = (*d)->id,
                                                .value = "vfio-pci",
                                                .sentence = sentence });
                if (r < 0)
                        return r;
        }
        return request->verb == PT_VERB_RESET ? -ENOTSUP : 0;
}

static int guest(PtContext *ctx, const PtRequest *request) {
        static const char *const nodes[] = { "/dev/vfio/1", NULL }, *const properties[] = { "rombar=0",
                                                                                            NULL };
        PtAttachment attachment = { .struct_size = sizeof(attachment),
                                    .device = request->device->id,
                                    .driver = "vfio-pci",
                                    .libvirt_type = "pci",
                                    .address = request->device->sysname,
                                    .nodes = nodes,
                                    .properties = properties };
        PtAttachment wrong = attachment;

        wrong.address = "\xff";
        if (ctx->services->put_attachment(ctx, &wrong) != -EINVAL)
                return -EPROTO;
        wrong.address = NULL;
        if (ctx->services->put_attachment(ctx, &wrong) != -EINVAL)
                return -EPROTO;
        return ctx->services->put_attachment(ctx, &attachment);
}

static const char *const USES[] = { "tests", NULL };

static const PtCustomStep CUSTOM_STEPS[] = {
#ifdef BROKEN_STEP
        { .name = "no-run" },
#endif
        { 0 },
};

static const PtHelper HELPERS[] = {
        { "tool", "/usr/lib/vendor/tool" },
        { "other-tool", "/usr/lib/vendor/other" },
#ifdef HELPER
        HELPER,
#endif
        { 0 },
};

static const PtModule MODULE = {
        .abi_major = MAJOR,
        .abi_minor = MINOR,
        .struct_size = SIZE,
        .flags = TYPE_FLAGS,
        .type = TYPE,
#ifndef NO_TITLE
        .title = "Test device",
#endif
        .version = "1.2",
        .documentation = "man:nothing(7)",
        .use_cases = USES,
        .default_class = "unknown",
        .filters = FILTERS,
        .fields = FIELDS,
        .settings = SETTINGS,
        .custom_steps = CUSTOM_STEPS,
        .describe = describe,
#ifndef NO_OBSERVE
        .observe = observe,
#endif
        .uses = uses,
        .identity = identity,
        .check = check,
#ifndef NO_PLAN
        .plan = plan,
#endif
        .guest = guest,
        .helpers = HELPERS,
};

#ifdef NO_ENTRY
extern const PtModule *const another_name;
__attribute__((visibility("default"))) const PtModule *const another_name = &MODULE;
#else
PT_MODULE_DEFINE(MODULE)
#endif

/* Not called when a feature above is left out. */
__attribute__((unused)) static void *const unused[] = { (void *) observe, (void *) plan };
