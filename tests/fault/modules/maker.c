/* SPDX-License-Identifier: MIT */

/* A type whose devices are made by others, told by attributes of the provider what goes wrong, and writing down there what it
 * does. Providers are PCI accelerators with the attributes
 *
 *   maker_mode, maker_parts   what is made of it now, one line each; "none" for nothing
 *   maker_journal             "mode=fast", "parts=a b" … for every change
 *   maker_trouble             "fail parts" or "hang parts=a b" for the step that sets this, or sets it to that; "none"
 *
 * Groups ask for a mode, which all must agree on, and for a part each; a layout has the mode and all parts. Parts can come and go
 * while devices are in use, another mode can't. PLAIN: built without change() and verify(), as modules before minor 3. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <passthroughd/module.h>

#define DEVICES 4u
#define LINE 256

#ifndef TYPE
#define TYPE "maker"
#endif

enum { FIELD_SLOT, FIELD_NUMBER, FIELD_STATE };

static const PtField fields[] = {
        [FIELD_SLOT] = { "slot", NULL, "Address of the provider.", PT_STRING, PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE },
        [FIELD_NUMBER] = { "number", NULL, "Number on it.", PT_UINT32, PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE },
        [FIELD_STATE] = { "made", NULL, "What the worker saw.", PT_STRING, PT_FIELD_SLOW },
        { 0 },
};

static const PtSetting settings[] = {
        { "mode", NULL, "Which mode.", PT_STRING, PT_SETTING_GROUP, 0, 0, NULL, "slow" },
        { "part", NULL, "Which part.", PT_STRING, PT_SETTING_GROUP, 0, 0, NULL, "" },
        { "room", NULL, "How many devices of all groups together; 0 says nothing of it.", PT_UINT32, PT_SETTING_GROUP, 0, 64, NULL,
          "0" },
        { 0 },
};

static const PtFilter filters[] = {
        { .subsystem = "pci", .vendor = -1, .class_code = 0x0b4000, .class_mask = 0xffffff },
        { 0 },
};

/* ---- attributes: a shorter text leaves the end of a longer one behind, so the first line counts ---- */

static int read_line(PtContext *ctx, const PtDevice *device, const char *name, char ret[static LINE]) {
        char text[4096];
        ssize_t n = ctx->services->read_attribute(ctx, device, name, text, sizeof(text));

        if (n < 0)
                return (int) n;
        (void) snprintf(ret, LINE, "%.*s", (int) strcspn(text, "\n"), text);
        return 0;
}

static int write_down(PtContext *ctx, const PtDevice *device, const char *what, const char *value) {
        char text[4096], all[sizeof(text) + LINE + 32];
        ssize_t n = ctx->services->read_attribute(ctx, device, "maker_journal", text, sizeof(text));

        if (n < 0)
                return (int) n;
        (void) snprintf(all, sizeof(all), "%s\n%s=%s\n", text, what, value);
        return ctx->services->write_attribute(ctx, device, "maker_journal", all);
}

/* ---- what there is ---- */

static void provider_id(const PtDevice *device, char *ret, size_t size) {
        size_t n = (size_t) snprintf(ret, size, "pci-%s", device->sysname);

        for (size_t i = 0; i < n && i < size; i++)
                if (ret[i] == ':' || ret[i] == '.')
                        ret[i] = '-';
}

static int describe(PtContext *ctx, const PtDevice *device) {
        const PtServices *s = ctx->services;
        char provider[64];
        int r = s->put_field(ctx, FIELD_SLOT, &PT_VALUE_STRING(device->sysname));

        if (r >= 0)
                r = s->put_field(ctx, FIELD_NUMBER, &PT_VALUE_UINT32(device->slot));
        if (r >= 0)
                r = s->put_name(ctx, "Nobody", device->slot > 0 ? "Made device" : "Maker");
        if (r >= 0)
                r = s->put_role(ctx, device->slot > 0 ? PT_ROLE_OFFER : PT_ROLE_PROVIDER);
        if (r < 0)
                return r;
        if (device->slot > 0) {
                provider_id(device, provider, sizeof(provider));
                return s->put_provider(ctx, provider);
        }
        /* The service has it observed because of this; in the worker there is nothing to ask for. */
        if (PT_HAS_SERVICE(s, get_blob))
                (void) s->get_blob(ctx, device);
        return PT_HAS_SERVICE(s, put_slots) ? s->put_slots(ctx, DEVICES) : 0;
}

static int observe(PtContext *ctx, const PtDevice *device) {
        char mode[LINE], parts[LINE], blob[2 * LINE + 32];
        int r = read_line(ctx, device, "maker_mode", mode);

        if (r >= 0)
                r = read_line(ctx, device, "maker_parts", parts);
        if (r < 0)
                return r;
        (void) snprintf(blob, sizeof(blob), "%s/%s", mode, parts);
        r = ctx->services->put_field(ctx, FIELD_STATE, &PT_VALUE_STRING(blob));
        return r < 0 ? r : ctx->services->put_blob(ctx, blob);
}

static int uses(PtContext *ctx, const PtDevice *device) {
        char key[LINE];
        int r;

        (void) snprintf(key, sizeof(key), TYPE ":%s", device->sysname);
        if (device->slot == 0)
                return ctx->services->put_key(ctx, key, true);
        r = ctx->services->put_key(ctx, key, false);
        (void) snprintf(key, sizeof(key), TYPE ":%s/%u", device->sysname, device->slot);
        return r < 0 ? r : ctx->services->put_key(ctx, key, true);
}

/* ---- layouts ---- */

static int put_rooms(PtContext *ctx, const PtDemand *const *demands) {
        uint32_t claimed = 0;
        int r = 0;

        /* What the service has to refuse. */
        if (ctx->services->put_room(ctx, demands[0], 1, 2) != -EINVAL || ctx->services->put_room(ctx, NULL, 2, 1) != -EINVAL ||
            ctx->services->get_made(ctx, "mode", &(PtValue) { 0 }) != -EPERM)
                return -EPROTO;
        for (const PtDemand *const *d = demands; *d; d++)
                claimed += (*d)->claimed;
        for (const PtDemand *const *d = demands; *d && r >= 0; d++) {
                PtValue room;

                r = ctx->services->get_demand_setting(ctx, *d, "room", &room);
                if (r >= 0 && room.u > 0)
                        r = ctx->services->put_room(ctx, *d, room.u, claimed < room.u ? room.u - claimed : 0);
        }
        return r;
}

static int layout(PtContext *ctx, const PtDevice *provider, const PtDemand *const *demands) {
        char mode[LINE] = "", parts[LINE] = "";
        int r = put_rooms(ctx, demands);

        for (const PtDemand *const *d = demands; *d && r >= 0; d++) {
                PtValue value;

                r = ctx->services->get_demand_setting(ctx, *d, "mode", &value);
                if (r < 0)
                        return r;
                if (d != demands && strcmp(mode, value.s) != 0)
                        return ctx->services->put_finding(ctx, &(PtFinding) {
                                .severity = PT_SEVERITY_BLOCKER,
                                .code = "other-mode",
                                .text = "The groups want different modes.",
                                .culprit = (*d)->group,
                        });
                (void) snprintf(mode, sizeof(mode), "%s", value.s);
                r = ctx->services->get_demand_setting(ctx, *d, "part", &value);
                if (r >= 0 && value.s[0] != '\0' && strlen(parts) + strlen(value.s) + 2 < sizeof(parts))
                        (void) snprintf(parts + strlen(parts), sizeof(parts) - strlen(parts), "%s%s", parts[0] ? " " : "", value.s);
        }
        if (r >= 0)
                r = ctx->services->put_layout(ctx, "mode", &PT_VALUE_STRING(mode));
        return r < 0 || parts[0] == '\0' ? r : ctx->services->put_layout(ctx, "parts", &PT_VALUE_STRING(parts));
}

#ifndef PLAIN
/* The part in front of all stays where it is; what others have comes and goes beside it. */
static int change(PtContext *ctx, const PtDevice *provider) {
        PtValue made, wanted;

        if (ctx->services->get_made(ctx, "nothing-of-the-kind", &made) != -ENODATA ||
            ctx->services->put_layout(ctx, "mode", &PT_VALUE_BOOL(true)) != -EPERM)
                return -EPROTO;
        return ctx->services->get_made(ctx, "mode", &made) >= 0 && ctx->services->get_setting(ctx, "mode", &wanted) >= 0 &&
               strcmp(made.s, wanted.s) == 0;
}

static int verify(PtContext *ctx, const PtDevice *provider) {
        const char *seen = ctx->services->get_blob(ctx, provider), *slash = seen ? strchr(seen, '/') : NULL;
        PtValue mode, parts = PT_VALUE_STRING("none");

        if (!slash)
                return -ENODATA;
        if (ctx->services->get_made(ctx, "mode", &mode) < 0)
                return -EPROTO;
        (void) ctx->services->get_made(ctx, "parts", &parts);
        if (strlen(mode.s) != (size_t) (slash - seen) || strncmp(mode.s, seen, strlen(mode.s)) != 0)
                return ctx->services->put_finding(ctx, &(PtFinding) {
                        .severity = PT_SEVERITY_BLOCKER,
                        .code = "mode-lost",
                        .text = "The mode is another one now.",
                        .remedy = "find out who changed it",
                });
        if (strcmp(parts.s, slash + 1) != 0)
                return ctx->services->put_finding(ctx, &(PtFinding) {
                        .severity = PT_SEVERITY_BLOCKER,
                        .code = "parts-lost",
                        .text = "Some parts are not there any more.",
                });
        return 0;
}
#endif

static int put_set(PtContext *ctx, const PtDevice *provider, const char *name, const char *value) {
        char sentence[LINE + 64];

        (void) snprintf(sentence, sizeof(sentence), "set the %s of %s to %s", name, provider->sysname, value);
        return ctx->services->put_step(ctx, &(PtStep) {
                .kind = PT_STEP_CUSTOM,
                .flags = PT_STEP_IDEMPOTENT,
                .device = provider->id,
                .name = name,
                .value = value,
                .sentence = sentence,
        });
}

static int plan(PtContext *ctx, const PtRequest *request) {
        PtValue mode, parts;
        int r;

        if (request->verb == PT_VERB_ACTIVATE)
                return ctx->services->put_step(ctx, &(PtStep) {
                        .kind = PT_STEP_CUSTOM,
                        .device = request->device->id,
                        .name = "begin",
                        .sentence = "begin to use it",
                });
        if (request->verb != PT_VERB_PROVISION)
                return 0;
        r = ctx->services->get_setting(ctx, "mode", &mode);
        if (r >= 0)
                r = put_set(ctx, request->device, "mode", mode.s);
        if (r < 0 || ctx->services->get_setting(ctx, "parts", &parts) < 0)
                return r;
        return put_set(ctx, request->device, "parts", parts.s);
}

static int guest(PtContext *ctx, const PtRequest *request) {
        static const char *const nodes[] = { NULL };

        return ctx->services->put_attachment(ctx, &(PtAttachment) {
                .struct_size = sizeof(PtAttachment),
                .device = request->device->id,
                .driver = "vfio-pci",
                .libvirt_type = "mdev",
                .address = request->uuid,
                .nodes = nodes,
        });
}

/* ---- steps ---- */

static int is_about(const char *trouble, const char *what, const char *name, const char *value) {
        char text[2 * LINE + 8];

        (void) snprintf(text, sizeof(text), "%s %s", what, name);
        if (strcmp(trouble, text) == 0)
                return 1;
        (void) snprintf(text, sizeof(text), "%s %s=%s", what, name, value);
        return strcmp(trouble, text) == 0;
}

static int get_in_trouble(PtContext *ctx, const PtDevice *device, const char *name, const char *value) {
        char trouble[LINE];

        for (;;) {
                int r = read_line(ctx, device, "maker_trouble", trouble);

                if (r < 0)
                        return r;
                if (is_about(trouble, "fail", name, value)) {
                        ctx->services->set_error(ctx, "There is trouble.");
                        return -EIO;
                }
                if (!is_about(trouble, "hang", name, value))
                        return 0;
                /* For who waits for us to be here. */
                (void) ctx->services->write_attribute(ctx, device, "maker_hangs", "yes\n");
                (void) usleep(20000);
        }
}

static const char *attribute_of(const PtStep *step) {
        return strcmp(step->name, "mode") == 0 ? "maker_mode" : "maker_parts";
}

static int set(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *value) {
        char now[LINE], line[LINE + 1];
        int r = get_in_trouble(ctx, device, step->name, value);

        if (r >= 0)
                r = read_line(ctx, device, attribute_of(step), now);
        if (r < 0 || strcmp(now, value) == 0)
                return r;
        r = write_down(ctx, device, step->name, value);
        (void) snprintf(line, sizeof(line), "%s\n", value);
        return r < 0 ? r : ctx->services->write_attribute(ctx, device, attribute_of(step), line);
}

static int set_observe(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char now[LINE];
        int r = read_line(ctx, device, attribute_of(step), now);

        return r < 0 ? r : ctx->services->put_observed(ctx, now);
}

static int set_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        return set(ctx, device, step, step->value);
}

static int set_undo(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        return set(ctx, device, step, observed);
}

static int begin_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        return 0;
}

static const PtCustomStep steps[] = {
        { .name = "mode", .observe = set_observe, .run = set_run, .undo = set_undo },
        { .name = "parts", .observe = set_observe, .run = set_run, .undo = set_undo },
        { .name = "begin", .run = begin_run },
        { 0 },
};

static const PtModule module = {
        .abi_major = PT_ABI_MAJOR,
        .abi_minor = PT_ABI_MINOR,
        .struct_size = sizeof(PtModule),
        .flags = PT_TYPE_SHARED,
        .type = TYPE,
        .title = "Maker",
        .version = "1",
        .documentation = "man:passthroughd-module(7)",
        .default_class = "unknown",
        .filters = filters,
        .fields = fields,
        .settings = settings,
        .custom_steps = steps,
        .describe = describe,
        .observe = observe,
        .uses = uses,
        .plan = plan,
        .guest = guest,
        .layout = layout,
#ifndef PLAIN
        .change = change,
        .verify = verify,
#endif
};

PT_MODULE_DEFINE(module)
