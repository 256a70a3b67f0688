/* SPDX-License-Identifier: MIT */

/* A device type added from outside: NVMe controllers with what tells disks apart (model, serial number,
 * capacity). It knows the public headers only, is built with what `pkg-config passthroughd-module` says, and
 * uses every part of the interface: typed fields quick and slow, settings with a range, a filter by class,
 * resource keys, identities, findings, steps of the service's kinds, a step of its own, and the guest side.
 *
 * The functions are those that the type "pci" offers too. Both use the key "pci:ADDRESS", so that the
 * service lets one of them have a controller at a time. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <passthroughd/module.h>

#define CONTROLLER_TRIES 30
#define CONTROLLER_PAUSE_NSEC 100000000L
#define TEXT_SIZE 256
#define NAMESPACES_MAX 32
#define HOLD_POWER "hold-power"

enum {
        FIELD_SLOT,
        FIELD_NUMA_NODE,
        FIELD_HOST_USES_IT,
        FIELD_MODEL,
        FIELD_SERIAL,
        FIELD_FIRMWARE,
        FIELD_CAPACITY,
        FIELD_NAMESPACES,
        FIELD_NAMESPACE_COUNT,
        _FIELD_MAX,
};

static const PtField FIELDS[] = {
        [FIELD_SLOT] = { "slot", NULL, "PCI address of the controller.", PT_STRING,
                         PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE },
        [FIELD_NUMA_NODE] = { "numa-node", NULL, "NUMA node, -1 for none.", PT_INT32,
                              PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE },
        [FIELD_HOST_USES_IT] = { "on-host", NULL, "Whether the host's nvme driver has the controller now.",
                                 PT_BOOL, PT_FIELD_MATCHABLE | PT_FIELD_VOLATILE },
        [FIELD_MODEL] = { "model", NULL,
                          "Model, as the controller states it; empty without the host's driver.", PT_STRING,
                          PT_FIELD_MATCHABLE | PT_FIELD_SLOW },
        [FIELD_SERIAL] = { "serial", NULL,
                           "Serial number of the controller; empty without the host's driver.", PT_STRING,
                           PT_FIELD_MATCHABLE | PT_FIELD_SLOW | PT_FIELD_SCRUB },
        [FIELD_FIRMWARE] = { "firmware", NULL, "Firmware revision; empty without the host's driver.",
                             PT_STRING, PT_FIELD_MATCHABLE | PT_FIELD_SLOW },
        [FIELD_CAPACITY] = { "capacity", "MiB", "Size of all namespaces together.", PT_UINT64,
                             PT_FIELD_MATCHABLE | PT_FIELD_SLOW },
        [FIELD_NAMESPACES] = { "namespaces", NULL,
                               "Names of the namespaces, or of their paths with multipath.", PT_STRV,
                               PT_FIELD_SLOW | PT_FIELD_VOLATILE },
        [FIELD_NAMESPACE_COUNT] = { "namespace-count", NULL, "How many namespaces the controller has.",
                                    PT_UINT32, PT_FIELD_MATCHABLE | PT_FIELD_SLOW },
        [_FIELD_MAX] = { 0 },
};

static const PtSetting SETTINGS[] = {
        {
                .name = "power-saving",
                .doc = "Let the controller be switched off (D3cold) while its guest does not use it.",
                .type = PT_BOOL,
                .flags = PT_SETTING_GROUP | PT_SETTING_CONSUMER | PT_SETTING_OVERRIDE,
                .default_text = "false",
        },
        {
                .name = "max-namespaces",
                .doc = "Refuse controllers with more namespaces than this; 0 takes any.",
                .type = PT_UINT32,
                .flags = PT_SETTING_GROUP,
                .minimum = 0,
                .maximum = 1024,
                .default_text = "0",
        },
        { 0 },
};

static const PtFilter FILTERS[] = {
        { .subsystem = "pci", .vendor = -1, .class_code = 0x010800, .class_mask = 0xffff00 },
        { 0 },
};

static int put_text(PtContext *ctx, uint32_t field, const char *text) {
        return ctx->services->put_field(ctx, field, &PT_VALUE_STRING(text));
}

static int nvme_describe(PtContext *ctx, const PtDevice *device) {
        const PtServices *s = ctx->services;
        char name[TEXT_SIZE];
        int r;

        (void) snprintf(name, sizeof(name), "NVMe controller at %s", device->sysname);
        r = s->put_name(ctx, "NVMe", name);
        if (r >= 0)
                r = s->put_role(ctx, PT_ROLE_OFFER);
        if (r >= 0)
                r = put_text(ctx, FIELD_SLOT, device->sysname);
        if (r >= 0)
                r = s->put_field(ctx, FIELD_NUMA_NODE,
                                 &PT_VALUE_INT32((int32_t) device->numa_node_plus_1 - 1));
        if (r >= 0)
                r = s->put_field(ctx, FIELD_HOST_USES_IT,
                                 &PT_VALUE_BOOL(device->driver && strcmp(device->driver, "nvme") == 0));
        return r;
}

/* A text attribute read in the worker; "" when it is not there. */
static void read_text(PtContext *ctx, const PtDevice *device, const char *name, char *ret, size_t size) {
        ssize_t n;

        n = ctx->services->read_slow(ctx, device, name, ret, size - 1, 0);
        if (n < 0)
                n = 0;
        while (n > 0 && (ret[n - 1] == '\n' || ret[n - 1] == ' '))
                n--;
        ret[n] = '\0';
        for (char *p = ret; *p; p++)
                if ((unsigned char) *p < ' ' || (unsigned char) *p > '~')
                        *p = '?';
}

typedef struct NameList {
        char names[NAMESPACES_MAX][32];
        unsigned n;
} NameList;

static void take_name(void *userdata, const char *entry) {
        NameList *list = userdata;

        if (list->n < NAMESPACES_MAX && strlen(entry) < sizeof(list->names[0]))
                (void) snprintf(list->names[list->n++], sizeof(list->names[0]), "%s", entry);
}

/* What a controller has below it besides namespaces (hwmon0, power, ng0n1) is not wanted. With multipath the
 * namespaces' disks hang elsewhere, and here are their paths: "nvme0c1n2" instead of "nvme0n2". */
static void take_namespace(void *userdata, const char *entry) {
        unsigned instance, controller, number;
        int end = 0;

        if ((sscanf(entry, "nvme%un%u%n", &instance, &number, &end) == 2 ||
             sscanf(entry, "nvme%uc%un%u%n", &instance, &controller, &number, &end) == 3) &&
            entry[end] == '\0')
                take_name(userdata, entry);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(a, b);
}

/* The kernel says "bound" before the controller has started: it has no serial number until then. This runs in
 * the worker, where a short wait holds nobody up. */
static int wait_for_controller(PtContext *ctx, const PtDevice *device) {
        if (!device->driver || strcmp(device->driver, "nvme") != 0)
                return 0;
        for (unsigned i = 0; i < CONTROLLER_TRIES; i++) {
                NameList controllers = { 0 };
                char path[TEXT_SIZE], text[TEXT_SIZE] = "";

                (void) ctx->services->list(ctx, device, "nvme", take_name, &controllers);
                (void) snprintf(path, sizeof(path), "nvme/%s/serial", controllers.names[0]);
                if (controllers.n > 0)
                        read_text(ctx, device, path, text, sizeof(text));
                if (text[0] != '\0')
                        return 0;
                (void) nanosleep(&(struct timespec){ .tv_nsec = CONTROLLER_PAUSE_NSEC }, NULL);
        }
        ctx->services->set_error(ctx, "The controller has not started yet");
        return -EAGAIN;
}

static int nvme_observe(PtContext *ctx, const PtDevice *device) {
        static const struct {
                uint32_t field;
                const char *attribute;
        } texts[] = {
                { FIELD_MODEL, "model" },
                { FIELD_SERIAL, "serial" },
                { FIELD_FIRMWARE, "firmware_rev" },
        };
        NameList controllers = { 0 }, namespaces = { 0 };
        const char *names[NAMESPACES_MAX + 1] = { 0 };
        char path[TEXT_SIZE], text[TEXT_SIZE];
        uint64_t sectors = 0;
        int r;

        /* Without the host's driver there is no such directory: nothing is known then, and that is the
         * answer. */
        r = wait_for_controller(ctx, device);
        if (r < 0)
                return r;
        (void) ctx->services->list(ctx, device, "nvme", take_name, &controllers);
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                (void) snprintf(path, sizeof(path), "nvme/%s/%s", controllers.names[0], texts[i].attribute);
                text[0] = '\0';
                if (controllers.n > 0)
                        read_text(ctx, device, path, text, sizeof(text));
                r = put_text(ctx, texts[i].field, text);
                if (r < 0)
                        return r;
        }

        if (controllers.n > 0) {
                (void) snprintf(path, sizeof(path), "nvme/%s", controllers.names[0]);
                (void) ctx->services->list(ctx, device, path, take_namespace, &namespaces);
                qsort(namespaces.names, namespaces.n, sizeof(namespaces.names[0]), compare_names);
        }
        for (unsigned i = 0; i < namespaces.n; i++) {
                names[i] = namespaces.names[i];
                (void) snprintf(path, sizeof(path), "nvme/%s/%s/size", controllers.names[0], names[i]);
                read_text(ctx, device, path, text, sizeof(text));
                sectors += strtoull(text, NULL, 10);
        }
        r = ctx->services->put_field(ctx, FIELD_CAPACITY, &PT_VALUE_UINT64(sectors / 2048));
        if (r >= 0)
                r = ctx->services->put_field(ctx, FIELD_NAMESPACES, &PT_VALUE_STRV(names));
        if (r >= 0)
                r = ctx->services->put_field(ctx, FIELD_NAMESPACE_COUNT, &PT_VALUE_UINT32(namespaces.n));
        return r;
}

static int nvme_uses(PtContext *ctx, const PtDevice *device) {
        char key[TEXT_SIZE];

        (void) snprintf(key, sizeof(key), "pci:%s", device->sysname);
        return ctx->services->put_key(ctx, key, true);
}

static int nvme_identity(PtContext *ctx, const PtDevice *device) {
        char condition[TEXT_SIZE];
        PtValue serial;
        int r;

        if (ctx->services->get_field(ctx, device, "serial", &serial) >= 0 && serial.type == PT_STRING &&
            serial.s[0] != '\0' && !strpbrk(serial.s, " \"\\")) {
                (void) snprintf(condition, sizeof(condition), "serial = %.128s", serial.s);
                r = ctx->services->put_identity(ctx, &(PtIdentity){
                                                             .kind = "serial",
                                                             .strength = 90,
                                                             .condition = condition,
                                                             .breaks = "another disk in its place",
                                                     });
                if (r < 0)
                        return r;
        }
        (void) snprintf(condition, sizeof(condition), "slot = %s", device->sysname);
        return ctx->services->put_identity(ctx, &(PtIdentity){
                                                        .kind = "slot",
                                                        .strength = 0,
                                                        .condition = condition,
                                                        .breaks = "anything else at this address",
                                                });
}

static int check_namespaces(PtContext *ctx, const PtDevice *device) {
        PtValue count, limit;
        char text[TEXT_SIZE];

        if (ctx->services->get_field(ctx, device, "namespace-count", &count) < 0 || count.type != PT_UINT32)
                return 0; /* not read yet */
        if (ctx->services->get_setting(ctx, "max-namespaces", &limit) < 0 || limit.type != PT_UINT32 ||
            limit.u == 0 || count.u <= limit.u)
                return 0;
        (void) snprintf(text, sizeof(text), "The controller has %u namespaces, the group takes at most %u.",
                        count.u, limit.u);
        return ctx->services->put_finding(ctx,
                                          &(PtFinding){
                                                  .severity = PT_SEVERITY_BLOCKER,
                                                  .code = "too-many-namespaces",
                                                  .text = text,
                                                  .remedy = "Raise max-namespaces, or delete namespaces.",
                                          });
}

static int nvme_check(PtContext *ctx, const PtDevice *device, const PtRequest *request) {
        (void) request;
        if (device->iommu_group < 0)
                return ctx->services->put_finding(
                        ctx, &(PtFinding){
                                     .severity = PT_SEVERITY_BLOCKER,
                                     .code = "no-iommu-group",
                                     .text = "The controller is in no IOMMU group.",
                                     .remedy = "Switch on the IOMMU in the firmware setup.",
                             });
        return check_namespaces(ctx, device);
}

static int put_load_vfio(PtContext *ctx) {
        if (ctx->services->host_fact(ctx, "driver:pci:vfio-pci"))
                return 0;
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_LOAD_MODULE,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .name = "vfio-pci",
                                                    .sentence = "load the kernel module vfio-pci",
                                            });
}

static int put_hold_power(PtContext *ctx, const PtDevice *device) {
        char sentence[TEXT_SIZE];
        PtValue saving;

        if (ctx->services->get_setting(ctx, "power-saving", &saving) >= 0 && saving.type == PT_BOOL &&
            saving.b)
                return 0;
        (void) snprintf(sentence, sizeof(sentence), "keep %s from being switched off", device->sysname);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_CUSTOM,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = device->id,
                                                    .name = HOLD_POWER,
                                                    .value = "0",
                                                    .sentence = sentence,
                                            });
}

static int put_vfio(PtContext *ctx, const PtDevice *device) {
        char sentence[TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "bind %s to vfio-pci", device->sysname);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_SET_DRIVER,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = device->id,
                                                    .value = "vfio-pci",
                                                    .sentence = sentence,
                                            });
}

static int put_node(PtContext *ctx, const PtRequest *request) {
        char name[TEXT_SIZE], sentence[TEXT_SIZE];

        (void) snprintf(name, sizeof(name), "vfio/%d", request->device->iommu_group);
        (void) snprintf(sentence, sizeof(sentence), "give /dev/vfio/%d to user %u",
                        request->device->iommu_group, request->uid);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_NODE_OWNER,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = request->device->id,
                                                    .name = name,
                                                    .sentence = sentence,
                                                    .uid = request->uid,
                                                    .gid = request->gid,
                                                    .mode = 0600,
                                            });
}

static int plan_activate(PtContext *ctx, const PtRequest *request) {
        int r;

        if (request->device->iommu_group < 0)
                return -EOPNOTSUPP;
        r = put_load_vfio(ctx);
        if (r >= 0)
                r = put_hold_power(ctx, request->device);
        for (const PtDevice *const *d = request->bundle; r >= 0 && *d; d++)
                r = put_vfio(ctx, *d);
        return r < 0 ? r : put_node(ctx, request);
}

static int nvme_plan(PtContext *ctx, const PtRequest *request) {
        char sentence[TEXT_SIZE];

        switch ((PtVerb) request->verb) {
        case PT_VERB_ACTIVATE:
                return plan_activate(ctx, request);
        case PT_VERB_DEACTIVATE:
                return 0; /* undoing the steps of activate is all */
        case PT_VERB_RESET:
                (void) snprintf(sentence, sizeof(sentence), "reset %s", request->device->sysname);
                return ctx->services->put_step(ctx, &(PtStep){
                                                            .kind = PT_STEP_RESET,
                                                            .flags = PT_STEP_IDEMPOTENT,
                                                            .device = request->device->id,
                                                            .sentence = sentence,
                                                    });
        case PT_VERB_PROVISION:
        case PT_VERB_UNPROVISION:
        case PT_VERB_FOLLOW:
                return -EOPNOTSUPP;
        case _PT_VERB_MAX:
                break;
        }
        return -EINVAL;
}

static int nvme_guest(PtContext *ctx, const PtRequest *request) {
        char node[TEXT_SIZE];

        if (request->device->iommu_group < 0)
                return -EOPNOTSUPP;
        (void) snprintf(node, sizeof(node), "/dev/vfio/%d", request->device->iommu_group);
        return ctx->services->put_attachment(
                ctx, &(PtAttachment){
                             .struct_size = sizeof(PtAttachment),
                             .device = request->device->id,
                             .driver = "vfio-pci",
                             .libvirt_type = "pci",
                             .address = request->device->sysname,
                             .nodes = (const char *const[]){ "/dev/vfio/vfio", node, NULL },
                     });
}

/* The step of its own: d3cold_allowed is set to 0 and back. Some controllers do not come back from D3cold
 * ("stuck in D3"). */

static int hold_power_observe(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char text[TEXT_SIZE];

        (void) step;
        read_text(ctx, device, "d3cold_allowed", text, sizeof(text));
        return ctx->services->put_observed(ctx, text[0] != '\0' ? text : "absent");
}

static int hold_power_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char text[TEXT_SIZE];
        int r;

        read_text(ctx, device, "d3cold_allowed", text, sizeof(text));
        if (text[0] == '\0')
                return 0; /* no power management: nothing to hold */
        r = ctx->services->write_attribute(ctx, device, "d3cold_allowed", step->value);
        if (r < 0)
                return r;
        read_text(ctx, device, "d3cold_allowed", text, sizeof(text));
        if (strcmp(text, step->value) == 0)
                return 0;
        ctx->services->set_error(ctx, "The kernel did not take the value of d3cold_allowed");
        return -EIO;
}

static int hold_power_undo(PtContext *ctx, const PtDevice *device, const PtStep *step,
                           const char *observed) {
        (void) step;
        if (strcmp(observed, "absent") == 0)
                return 0;
        return ctx->services->write_attribute(ctx, device, "d3cold_allowed", observed);
}

static const PtCustomStep CUSTOM_STEPS[] = {
        { HOLD_POWER, hold_power_observe, hold_power_run, hold_power_undo },
        { 0 },
};

static const char *const USE_CASES[] = {
        "A whole NVMe disk for one guest, found by model, size or serial number",
        NULL,
};

static const PtModule MODULE = {
        .abi_major = PT_ABI_MAJOR,
        .abi_minor = PT_ABI_MINOR,
        .struct_size = sizeof(PtModule),
        .flags = PT_TYPE_NEEDS_IOMMU,
        .type = "nvme",
        .title = "NVMe controller",
        .version = "1.0",
        .documentation = "https://example.org/passthroughd-nvme",
        .guest_driver = "The guest's NVMe driver.",
        .use_cases = USE_CASES,
        .default_class = "storage",
        .filters = FILTERS,
        .fields = FIELDS,
        .settings = SETTINGS,
        .custom_steps = CUSTOM_STEPS,
        .describe = nvme_describe,
        .observe = nvme_observe,
        .uses = nvme_uses,
        .identity = nvme_identity,
        .check = nvme_check,
        .plan = nvme_plan,
        .guest = nvme_guest,
};

PT_MODULE_DEFINE(MODULE)
