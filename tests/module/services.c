/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>

#include "daemon/source-allow.h"
#include "harness.h"
#include "lib/limits.h"
#include "lib/parse.h"
#include "lib/schema.h"

static Harness *harness_of(PtContext *ctx) {
        return (Harness *) ctx;
}

void harness_fail(Harness *harness, const char *format, ...) {
        va_list ap;

        harness->failures++;
        (void) fprintf(stderr, "%s of %s: ", harness->op,
                       harness->current ? harness->current->id : "module");
        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputc('\n', stderr);
}

HarnessDevice *harness_find(Harness *harness, const char *id) {
        for (size_t i = 0; i < harness->n_devices; i++)
                if (streq(harness->devices[i].id, id))
                        return harness->devices + i;
        return NULL;
}

static HarnessDevice *device_of(Harness *harness, const PtDevice *device) {
        HarnessDevice *found = device ? harness_find(harness, device->id) : NULL;

        if (!found)
                harness_fail(harness, "asks for a device that the service did not pass");
        return found;
}

/* The service's own list of what may be read on its thread; in the worker all may be. */
static bool may_read(Harness *h, const HarnessDevice *d, AllowKind kind, const char *name) {
        if (h->mode == HARNESS_WORKER || allow_find(allow_list(d->subsystem), kind, name, NULL) >= 0)
                return true;
        harness_fail(h, "reads %s, which is not allowed on the service's thread", name);
        return false;
}

/* Whether what is read now has just vanished (vanish.c). */
static bool has_vanished(Harness *h) {
        h->reads++;
        return h->vanish_at > 0 && (h->vanish_for_good ? h->reads >= h->vanish_at : h->reads == h->vanish_at);
}

static void svc_log(PtContext *ctx, int level, const char *text) {
        (void) fprintf(harness_of(ctx)->out, "%slog %d: %s\n", harness_of(ctx)->indent, level, text);
}

/* Where the name is looked up; of the physical function, the one way out of a device's own directory, what follows it. */
static int open_of(const HarnessDevice *d, const char **name) {
        const char *below = startswith(*name, "physfn/");
        int fd = openat(d->dir_fd, below ? "physfn" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

        *name = below ?: *name;
        return fd < 0 ? -errno : fd;
}

static ssize_t svc_read_attribute(PtContext *ctx, const PtDevice *device, const char *name, char *buffer,
                                  size_t size) {
        Harness *h = harness_of(ctx);
        HarnessDevice *d = device_of(h, device);
        _cleanup_close_ int fd = -EBADF;

        if (!d)
                return -ENODEV;
        if (!may_read(h, d, ALLOW_ATTRIBUTE, name))
                return -EPERM;
        if (has_vanished(h))
                return h->vanish_error;
        fd = open_of(d, &name);
        return fd < 0 ? fd : sysfs_read_at(fd, name, buffer, size);
}

static ssize_t svc_read_link(PtContext *ctx, const PtDevice *device, const char *name, char *buffer,
                             size_t size) {
        Harness *h = harness_of(ctx);
        HarnessDevice *d = device_of(h, device);
        _cleanup_close_ int fd = -EBADF;

        if (!d)
                return -ENODEV;
        if (!may_read(h, d, ALLOW_LINK, name))
                return -EPERM;
        if (has_vanished(h))
                return h->vanish_error;
        fd = open_of(d, &name);
        return fd < 0 ? fd : sysfs_link_at(fd, name, buffer, size);
}

static int svc_list(PtContext *ctx, const PtDevice *device, const char *name,
                    void (*each)(void *userdata, const char *entry), void *userdata) {
        _cleanup_close_ int above_fd = -EBADF;
        Harness *h = harness_of(ctx);
        HarnessDevice *d = device_of(h, device);

        if (!d)
                return -ENODEV;
        if (!may_read(h, d, ALLOW_DIRECTORY, name))
                return -EPERM;
        if (has_vanished(h))
                return h->vanish_error;
        if (!streq(name, "..")) {
                above_fd = open_of(d, &name);
                return above_fd < 0 ? above_fd : sysfs_list_at(above_fd, name, each, userdata);
        }
        above_fd = openat(d->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return above_fd < 0 ? -errno : sysfs_list_at(above_fd, ".", each, userdata);
}

typedef struct SlotSearch {
        Harness *harness;
        const HarnessDevice *device;
        bool found;
} SlotSearch;

/* /sys/bus/pci/slots/N/address holds "0000:3b:00", the address without its function. */
static void try_slot(void *userdata, const char *entry) {
        SlotSearch *search = userdata;
        char path[256], address[64];
        const char *rest;

        (void) snprintf(path, sizeof(path), "/sys/bus/pci/slots/%s/address", entry);
        if (search->found || sysfs_read(&search->harness->sysfs, path, address, sizeof(address)) < 0)
                return;
        rest = startswith(search->device->sysname, address);
        if (!rest || rest[0] != '.')
                return;
        (void) snprintf(search->harness->property, sizeof(search->harness->property), "%s", entry);
        search->found = true;
}

const char *harness_property(Harness *harness, const HarnessDevice *device, const char *key) {
        SlotSearch search = { .harness = harness, .device = device };
        char path[512], data[16384], wanted[128], *state = NULL;

        if (streq(key, "PT_PHYSICAL_SLOT")) {
                (void) sysfs_list(&harness->sysfs, "/sys/bus/pci/slots", try_slot, &search);
                return search.found ? harness->property : NULL;
        }
        (void) snprintf(path, sizeof(path), "/run/udev/data/+%s:%s", device->subsystem, device->sysname);
        if (sysfs_read(&harness->sysfs, path, data, sizeof(data)) < 0)
                return NULL;
        (void) snprintf(wanted, sizeof(wanted), "E:%s=", key);
        for (char *line = strtok_r(data, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                const char *value = startswith(line, wanted);

                if (!value)
                        continue;
                (void) snprintf(harness->property, sizeof(harness->property), "%s", value);
                return harness->property;
        }
        return NULL;
}

static const char *svc_property(PtContext *ctx, const PtDevice *device, const char *key) {
        HarnessDevice *d = device_of(harness_of(ctx), device);

        return d && !has_vanished(harness_of(ctx)) ? harness_property(harness_of(ctx), d, key) : NULL;
}

/* Facts about drivers come from the tree itself, all others from its `fact` lines. */
static const char *svc_host_fact(PtContext *ctx, const char *name) {
        Harness *h = harness_of(ctx);
        const char *driver, *value;
        char path[256];

        value = tree_pair(h->tree->facts, name);
        if (!value && (driver = startswith(name, "driver:pci:"))) {
                (void) snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s", driver);
                value = sysfs_exists(&h->sysfs, path) ? driver : NULL;
        } else if (!value && (driver = startswith(name, "driver-module:pci:"))) {
                (void) snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/module", driver);
                return sysfs_link(&h->sysfs, path, h->fact, sizeof(h->fact)) < 0 ? NULL : h->fact;
        }
        if (!value)
                return NULL;
        (void) snprintf(h->fact, sizeof(h->fact), "%s", value);
        return h->fact;
}

static HarnessDevice *provider_of(Harness *h, const HarnessDevice *d) {
        for (size_t i = 0; d && i < h->n_devices; i++)
                if (streq(h->devices[i].id, d->provider))
                        return &h->devices[i];
        return NULL;
}

static int svc_get_field(PtContext *ctx, const PtDevice *device, const char *field, PtValue *ret) {
        Harness *h = harness_of(ctx);
        HarnessDevice *d = device_of(h, device);
        const char *of_provider = startswith(field, "provider.");
        int i = schema_find_field(h->module->fields, of_provider ?: field);

        if (of_provider)
                d = provider_of(h, d);

        if (i < 0)
                harness_fail(h, "asks for its field %s, which it does not have", field);
        if (!d || i < 0)
                return -ENOENT;
        if (!d->fields || d->fields[i].type == PT_NONE)
                return -ENODATA;
        *ret = d->fields[i];
        return 0;
}

static int svc_get_setting(PtContext *ctx, const char *name, PtValue *ret) {
        Harness *h = harness_of(ctx);
        _cleanup_fault_ Fault fault = { 0 };
        const PtSetting *setting;
        const char *text;
        int r;

        setting = h->module->settings ? schema_find_setting(h->module->settings, name) : NULL;
        if (!setting) {
                harness_fail(h, "asks for its setting %s, which it does not have", name);
                return -ENOENT;
        }
        text = tree_pair(h->tree->settings, name);
        value_done(&h->setting);
        r = schema_parse_setting(setting, text ? text : setting->default_text, &h->setting, &fault);
        if (r < 0)
                harness_fail(h, "%s", fault.message);
        else
                *ret = h->setting;
        return r;
}

static int svc_setting_is_given(PtContext *ctx, const char *name) {
        return tree_pair(harness_of(ctx)->tree->settings, name) != NULL;
}

static void check_text(Harness *h, const char *what, const char *text) {
        if (!utf8_is_valid(text) || !text_is_clean(text, TEXT_MAX_BYTES))
                harness_fail(h, "%s is not clean text", what);
}

static int svc_put_field(PtContext *ctx, uint32_t index, const PtValue *value) {
        Harness *h = harness_of(ctx);
        const PtField *field;
        bool slow;
        int r;

        if (index >= schema_count_fields(h->module->fields)) {
                harness_fail(h, "fills field %u, which it does not have", index);
                return -EINVAL;
        }
        field = h->module->fields + index;
        slow = field->flags & PT_FIELD_SLOW;
        if (slow != (h->mode == HARNESS_WORKER))
                harness_fail(h, "fills the %s field %s", slow ? "slow" : "quick", field->name);
        if (value->type != field->type) {
                harness_fail(h, "fills %s with another type", field->name);
                return -EINVAL;
        }
        if (value->type == PT_STRING)
                check_text(h, field->name, value->s);
        for (size_t i = 0; value->type == PT_STRV && value->strv[i]; i++)
                check_text(h, field->name, value->strv[i]);
        value_done(h->current->fields + index);
        r = value_copy(value, h->current->fields + index);
        return r;
}

static int svc_put_name(PtContext *ctx, const char *vendor, const char *name) {
        Harness *h = harness_of(ctx);

        check_text(h, "the vendor", vendor);
        check_text(h, "the name", name);
        h->named = true;
        (void) fprintf(h->out, "%scalled \"%s\" of \"%s\"\n", h->indent, name, vendor);
        return 0;
}

static int svc_put_role(PtContext *ctx, PtRole role) {
        Harness *h = harness_of(ctx);

        if (role >= _PT_ROLE_MAX)
                harness_fail(h, "gives an unknown role");
        h->current->role = role;
        return 0;
}

static int svc_put_key(PtContext *ctx, const char *key, bool exclusive) {
        Harness *h = harness_of(ctx);
        const char *colon = strchr(key, ':');

        check_text(h, "a key", key);
        if (!colon || colon == key || colon[1] == '\0' || startswith(key, "iommu:"))
                harness_fail(h, "uses the key %s, which is not KIND:PLACE or the service's own", key);
        (void) fprintf(h->out, "%suses %s %s\n", h->indent, exclusive ? "exclusively" : "shared", key);
        return 0;
}

static int svc_put_identity(PtContext *ctx, const PtIdentity *identity) {
        Harness *h = harness_of(ctx);

        check_text(h, "the condition of an identity", identity->condition);
        if (identity->strength > 100 || identity->strength > h->last_strength)
                harness_fail(h, "puts identity %s of strength %u after one of %u", identity->kind,
                             identity->strength, h->last_strength);
        if (isempty(identity->condition) || isempty(identity->breaks))
                harness_fail(h, "puts identity %s without a condition or without what breaks it",
                             identity->kind);
        h->last_strength = identity->strength;
        (void) fprintf(h->out, "%sidentity %u %s: %s (broken by %s)\n", h->indent, identity->strength,
                       identity->kind, identity->condition, identity->breaks);
        return 0;
}

static int svc_put_finding(PtContext *ctx, const PtFinding *finding) {
        static const char *const severities[] = { "note", "warning", "blocker" };
        Harness *h = harness_of(ctx);

        if (finding->severity >= _PT_SEVERITY_MAX) {
                harness_fail(h, "puts a finding of unknown severity");
                return -EINVAL;
        }
        if (!id_is_valid(finding->code))
                harness_fail(h, "puts a finding with the code %s", finding->code);
        check_text(h, "a finding", finding->text);
        if (isempty(finding->text) || finding->text[strlen(finding->text) - 1] != '.')
                harness_fail(h, "finding %s is no sentence: %s", finding->code, strempty(finding->text));
        (void) fprintf(h->out, "%s%s %s: %s\n", h->indent, severities[finding->severity], finding->code,
                       finding->text);
        if (finding->culprit)
                (void) fprintf(h->out, "%s  culprit: %s\n", h->indent, finding->culprit);
        if (finding->remedy)
                (void) fprintf(h->out, "%s  remedy: %s\n", h->indent, finding->remedy);
        return 0;
}

static int svc_put_step(PtContext *ctx, const PtStep *step) {
        Harness *h = harness_of(ctx);
        _cleanup_fault_ Fault fault = { 0 };
        int r;

        r = step_check(step, &fault);
        if (r < 0) {
                harness_fail(h, "%s", fault.message);
                return r;
        }
        if (step->device && !harness_find(h, step->device))
                harness_fail(h, "plans a step on %s, which is not there", step->device);
        r = plan_append(&h->plan, step);
        if (r < 0)
                return r;
        (void) fprintf(h->out, "%s%zu. %s", h->indent, h->plan.n_steps,
                       step_kind_to_string((PtStepKind) step->kind));
        if (step->device)
                (void) fprintf(h->out, " %s", step->device);
        if (step->name)
                (void) fprintf(h->out, " %s", step->name);
        if (step->value)
                (void) fprintf(h->out, " = \"%s\"", step->value);
        if (step->kind == PT_STEP_NODE_OWNER)
                (void) fprintf(h->out, " %u:%u %04o", step->uid, step->gid, step->mode);
        (void) fprintf(h->out, "%s%s%s%s: %s\n", step->flags & PT_STEP_IDEMPOTENT ? " idempotent" : "",
                       step->flags & PT_STEP_NO_RETURN ? " no-return" : "",
                       step->flags & PT_STEP_OPTIONAL ? " optional" : "", step->flags & PT_STEP_DEMANDED ? " demanded" : "",
                       step->sentence);
        return 0;
}

static void print_list(Harness *h, const char *title, const char *const *list) {
        for (; list && *list; list++)
                (void) fprintf(h->out, "%s  %s %s\n", h->indent, title, *list);
}

static int svc_put_attachment(PtContext *ctx, const PtAttachment *attachment) {
        Harness *h = harness_of(ctx);

        if (attachment->struct_size != sizeof(PtAttachment) || !harness_find(h, attachment->device))
                harness_fail(h, "puts an attachment of another version or device");
        for (const char *const *node = attachment->nodes; node && *node; node++)
                if (!startswith(*node, "/dev/"))
                        harness_fail(h, "puts the node %s", *node);
        (void) fprintf(h->out, "%sattach %s: %s, libvirt %s, address %s\n", h->indent, attachment->device,
                       attachment->driver, attachment->libvirt_type, attachment->address);
        print_list(h, "node", attachment->nodes);
        print_list(h, "property", attachment->properties);
        print_list(h, "environment", attachment->environment);
        print_list(h, "libvirt", attachment->libvirt);
        return 0;
}

static int svc_put_observed(PtContext *ctx, const char *text) {
        Harness *h = harness_of(ctx);

        check_text(h, "what was observed", text);
        free(h->observed);
        h->observed = strdup(text);
        return h->observed ? 0 : -ENOMEM;
}

static ssize_t svc_read_slow(PtContext *ctx, const PtDevice *device, const char *name, void *buffer,
                             size_t size, uint64_t offset) {
        HarnessDevice *d = device_of(harness_of(ctx), device);

        if (d && has_vanished(harness_of(ctx)))
                return harness_of(ctx)->vanish_error;
        return d ? sysfs_pread_at(d->dir_fd, name, buffer, size, offset) : -ENODEV;
}

static int svc_write_attribute(PtContext *ctx, const PtDevice *device, const char *name, const char *value) {
        Harness *h = harness_of(ctx);
        HarnessDevice *d = device_of(h, device);

        if (!d)
                return -EPERM;
        (void) fprintf(h->out, "%s  writes %s = %s\n", h->indent, name, value);
        return sysfs_write_at(d->dir_fd, name, value);
}

static void svc_set_error(PtContext *ctx, const char *text) {
        (void) fprintf(harness_of(ctx)->out, "%s  error: %s\n", harness_of(ctx)->indent, text);
}

static const char *svc_get_noted(PtContext *ctx) {
        return harness_of(ctx)->noted;
}

static int svc_put_blob(PtContext *ctx, const char *text) {
        Harness *h = harness_of(ctx);

        if (!utf8_is_valid(text) || strlen(text) > BLOB_MAX_BYTES)
                harness_fail(h, "puts a blob that is no text or too long");
        free(h->current->blob);
        h->current->blob = strdup(text);
        (void) fprintf(h->out, "%sblob of %zu bytes\n", h->indent, strlen(text));
        return h->current->blob ? 0 : -ENOMEM;
}

static const char *svc_get_blob(PtContext *ctx, const PtDevice *device) {
        HarnessDevice *d = harness_find(harness_of(ctx), device->id); /* its provider may be asked about, and may be gone */

        return d ? d->blob : NULL;
}

void harness_fill_services(Harness *harness) {
        harness->services = (PtServices){
                .struct_size = sizeof(PtServices),
                .abi_minor = PT_ABI_MINOR,
                .log = svc_log,
                .read_attribute = svc_read_attribute,
                .read_link = svc_read_link,
                .list = svc_list,
                .property = svc_property,
                .host_fact = svc_host_fact,
                .get_field = svc_get_field,
                .get_setting = svc_get_setting,
                .put_field = svc_put_field,
                .put_name = svc_put_name,
                .put_role = svc_put_role,
                .put_key = svc_put_key,
                .put_identity = svc_put_identity,
                .put_finding = svc_put_finding,
                .put_step = svc_put_step,
                .put_attachment = svc_put_attachment,
                .put_observed = svc_put_observed,
                .setting_is_given = svc_setting_is_given,
        };
        harness->ctx.services = &harness->services;
}

void harness_enter(Harness *harness, HarnessMode mode, const char *op, HarnessDevice *device) {
        bool worker = mode == HARNESS_WORKER;

        harness->mode = mode;
        harness->op = op;
        harness->current = device;
        harness->last_strength = 100;
        harness->services.read_slow = worker ? svc_read_slow : NULL;
        harness->services.write_attribute = worker ? svc_write_attribute : NULL;
        harness->services.set_error = worker ? svc_set_error : NULL;
        harness->services.get_noted = worker ? svc_get_noted : NULL;
        harness->services.put_blob = worker ? svc_put_blob : NULL;
        harness->services.get_blob = worker ? NULL : svc_get_blob;
}
