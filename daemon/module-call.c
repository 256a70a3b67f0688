/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/parse.h"
#include "log.h"
#include "module-call.h"
#include "provider.h"

static const char *const ops[] = {
        [MODULE_OP_DESCRIBE] = "describe", [MODULE_OP_USES] = "uses", [MODULE_OP_IDENTITY] = "identity",
        [MODULE_OP_CHECK] = "check",       [MODULE_OP_PLAN] = "plan", [MODULE_OP_GUEST] = "guest",
        [MODULE_OP_LAYOUT] = "layout",     [MODULE_OP_CAPACITY] = "capacity",
        [MODULE_OP_FOLLOW] = "follow",     [MODULE_OP_CHANGE] = "change",
        [MODULE_OP_VERIFY] = "verify",
};
DEFINE_STRING_TABLE(module_op, ModuleOp, ops)

/* A text with a length of its own, so that texts of the op need no more than one allocation each. */
typedef struct Scrap {
        struct Scrap *next;
        char text[];
} Scrap;

static char *scrap_new(ModuleCall *call, size_t size) {
        Scrap *scrap;

        scrap = malloc(offsetof(Scrap, text) + size);
        if (!scrap)
                return NULL;
        scrap->next = call->scraps;
        call->scraps = scrap;
        return scrap->text;
}

static const char *keep(ModuleCall *call, const char *text) {
        size_t size = text ? strlen(text) + 1 : 0;
        char *copy = text ? scrap_new(call, size) : NULL;

        return copy ? memcpy(copy, text, size) : NULL;
}

/* ---- what comes from a module ---- */

/* The length of the UTF-8 character at `text`, 0 when there is none. */
static size_t character_length(const unsigned char *text) {
        char character[5] = { 0 };

        for (size_t n = 1; n <= 4; n++) {
                if (text[n - 1] == '\0')
                        return 0;
                character[n - 1] = (char) text[n - 1];
                if (utf8_is_valid(character))
                        return n;
        }
        return 0;
}

/* Names of devices come out of the devices themselves. What is no UTF-8 would end the connection to the
 * bus, so it becomes U+FFFD. Sets `ret` to NULL for NULL. */
static int clean_text(ModuleCall *call, const char *text, const char **ret) {
        static const char replacement[] = "\xef\xbf\xbd";
        size_t length;
        char *copy, *out;

        if (!text || utf8_is_valid(text)) {
                if (text && strnlen(text, TEXT_MAX_BYTES + 1) > TEXT_MAX_BYTES)
                        return -E2BIG;
                *ret = text;
                return 0;
        }

        length = strnlen(text, TEXT_MAX_BYTES + 1);
        if (length > TEXT_MAX_BYTES)
                return -E2BIG;
        copy = out = scrap_new(call, length * strlen(replacement) + 1);
        if (!copy)
                return -ENOMEM;
        while (*text) {
                size_t n = character_length((const unsigned char *) text);

                if (n > 0)
                        out = mempcpy(out, text, n);
                else
                        out = mempcpy(out, replacement, strlen(replacement));
                text += MAX_OF(n, (size_t) 1);
        }
        *out = '\0';
        *ret = copy;
        return 0;
}

static int clean_list(ModuleCall *call, const char *const *list, const char *const **ret) {
        const char **copy;
        size_t n = 0;
        int r;

        while (list && list[n])
                n++;
        copy = (const char **) (void *) scrap_new(call, (n + 1) * sizeof(char *));
        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = clean_text(call, list[i], copy + i);
                if (r < 0)
                        return r;
        }
        copy[n] = NULL;
        *ret = copy;
        return 0;
}

/* ---- the services ---- */

static ModuleCall *call_of(PtContext *ctx) {
        return (ModuleCall *) ctx;
}

/* Only the devices of the call may be asked about. */
static HostDevice *host_of(ModuleCall *call, const PtDevice *device) {
        for (size_t i = 0; i < call->n_hosts; i++)
                if (device == call->views + i)
                        return call->hosts[i];
        for (size_t i = 0; device && device->id && i < call->n_hosts; i++)
                if (streq(device->id, call->hosts[i]->id))
                        return call->hosts[i];
        return NULL;
}

/* What made the device of the call. */
Device *module_call_provider(const ModuleCall *call) {
        const HostDevice *host = call->n_hosts > 0 ? call->hosts[0] : NULL;
        Device *d = !host ? NULL : host->whole ? host->whole->offers : host->offers;

        while (d && d->module != call->module)
                d = d->next_offer;
        return d ? device_get_provider(d) : NULL;
}

static void service_log(PtContext *ctx, int level, const char *text) {
        ModuleCall *call = call_of(ctx);
        const char *clean;

        if (clean_text(call, text, &clean) < 0 || isempty(clean))
                return;
        log_message(MAX_OF(MIN_OF(level, LOG_DEBUG), LOG_ERR), LOG_EVENT_NONE,
                    log_fields("MODULE", call->module->name, "DEVICE", call->hosts[0]->id), "%s: %s",
                    call->module->name, clean);
}

static ssize_t service_read_attribute(PtContext *ctx, const PtDevice *device, const char *name, char *buffer,
                                      size_t size) {
        ModuleCall *call = call_of(ctx);
        HostDevice *host = host_of(call, device);

        return host ? source_read_attribute(inventory_source(call->inventory), host, name, buffer, size)
                    : -EINVAL;
}

static ssize_t service_read_link(PtContext *ctx, const PtDevice *device, const char *name, char *buffer,
                                 size_t size) {
        ModuleCall *call = call_of(ctx);
        HostDevice *host = host_of(call, device);

        return host ? source_read_link(inventory_source(call->inventory), host, name, buffer, size)
                    : -EINVAL;
}

static int service_list(PtContext *ctx, const PtDevice *device, const char *name,
                        void (*each)(void *userdata, const char *entry), void *userdata) {
        ModuleCall *call = call_of(ctx);
        HostDevice *host = host_of(call, device);

        return host ? source_list(inventory_source(call->inventory), host, name, each, userdata) : -EINVAL;
}

static const char *service_property(PtContext *ctx, const PtDevice *device, const char *key) {
        ModuleCall *call = call_of(ctx);
        HostDevice *host = host_of(call, device);

        return host ? keep(call, source_property(inventory_source(call->inventory), host, key)) : NULL;
}

static const char *service_host_fact(PtContext *ctx, const char *name) {
        ModuleCall *call = call_of(ctx);

        return keep(call, source_host_fact(inventory_source(call->inventory), name));
}

static int service_get_field(PtContext *ctx, const PtDevice *device, const char *field, PtValue *ret) {
        ModuleCall *call = call_of(ctx);
        HostDevice *host = host_of(call, device);

        if (!host)
                return -EINVAL;
        for (const Device *d = host->offers; d; d = d->next_offer)
                if (d->module == call->module)
                        return device_get_named_value(d, field, ret);
        return -ENODATA;
}

static int service_put_slots(PtContext *ctx, uint32_t count) {
        ModuleCall *call = call_of(ctx);

        if (call->op != MODULE_OP_DESCRIBE || call->hosts[0]->whole)
                return -EPERM;
        if (count > SLOTS_MAX)
                return -E2BIG;
        call->description.n_slots = count;
        return 0;
}

/* A slot's is its provider's. */
static const char *service_get_blob(PtContext *ctx, const PtDevice *device) {
        ModuleCall *call = call_of(ctx);
        HostDevice *host = host_of(call, device);
        Device *d = !host ? NULL : host->whole ? host->whole->offers : host->offers;

        while (d && d->module != call->module)
                d = d->next_offer;
        if (!host && call->op != MODULE_OP_DESCRIBE) { /* who made it may be asked about, by the id of its host device */
                d = module_call_provider(call);
                if (d && !(device && streq_null(device->id, d->host->id)))
                        d = NULL;
        }
        /* A device that is being described for the first time is nobody's yet. */
        if (call->op == MODULE_OP_DESCRIBE)
                call->description.wants_slow = true;
        else if (d && !d->blob && d->slow == SLOW_UNKNOWN)
                inventory_want_slow(call->inventory, d);
        return d ? d->blob : NULL;
}

static int service_get_setting(PtContext *ctx, const char *setting, PtValue *ret) {
        ModuleCall *call = call_of(ctx);
        /* Nothing given: settings_get() looks at the schema only. */
        const SettingValues defaults = { .schema = call->module->descriptor->settings };

        if (call->layout_given)
                return layout_get(call->layout_given, setting, ret);
        return settings_get(call->settings ?: &defaults, setting, ret);
}

static int service_setting_is_given(PtContext *ctx, const char *setting) {
        ModuleCall *call = call_of(ctx);

        return call->settings && !call->layout_given ? settings_is_given(call->settings, setting) : 0;
}

static int service_put_field(PtContext *ctx, uint32_t field, const PtValue *value) {
        ModuleCall *call = call_of(ctx);
        const PtField *fields = call->module->descriptor->fields;
        FieldData data = { .t = 0 };
        PtValue clean = *value;
        int r = 0;

        if (call->op != MODULE_OP_DESCRIBE)
                return -EPERM;
        if (field >= call->module->n_fields || value->type != fields[field].type)
                return -EINVAL;

        if (value->type == PT_STRING)
                r = value->s ? clean_text(call, value->s, &clean.s) : -EINVAL;
        else if (value->type == PT_STRV)
                r = clean_list(call, value->strv, &clean.strv);
        if (r < 0)
                return r;
        r = field_data_set(inventory_interner(call->inventory), &clean, &data);
        if (r < 0)
                return r;

        if (call->description.known & UINT64_C(1) << field)
                field_data_done(inventory_interner(call->inventory), value->type,
                                call->description.fields + field);
        call->description.fields[field] = data;
        call->description.known |= UINT64_C(1) << field;
        return 0;
}

static int put_interned(ModuleCall *call, const char **place, const char *text) {
        Interner *interner = inventory_interner(call->inventory);
        const char *clean, *copy;
        int r;

        r = clean_text(call, strempty(text), &clean);
        if (r < 0)
                return r;
        copy = intern(interner, clean);
        if (!copy)
                return -ENOMEM;
        intern_unref(interner, *place);
        *place = copy;
        return 0;
}

static int service_put_name(PtContext *ctx, const char *vendor, const char *name) {
        ModuleCall *call = call_of(ctx);
        int r;

        if (call->op != MODULE_OP_DESCRIBE)
                return -EPERM;
        r = put_interned(call, &call->description.vendor, vendor);
        return r < 0 ? r : put_interned(call, &call->description.name, name);
}

static int service_put_role(PtContext *ctx, PtRole role) {
        ModuleCall *call = call_of(ctx);

        if (call->op != MODULE_OP_DESCRIBE)
                return -EPERM;
        if ((unsigned) role >= _PT_ROLE_MAX)
                return -EINVAL;
        call->description.role = role;
        return 0;
}

static int service_put_key(PtContext *ctx, const char *key, bool exclusive) {
        ModuleCall *call = call_of(ctx);

        if (call->op != MODULE_OP_USES)
                return -EPERM;
        if (isempty(key) || !text_is_clean(key, NAME_MAX_BYTES))
                return -EINVAL;
        return key_list_add(&call->keys, key, exclusive);
}

static int append_item(ModuleCall *call, json_t *item) {
        if (!call->items)
                call->items = json_array();
        if (!item || !call->items) {
                json_decref(item);
                return item ? -ENOMEM : -EINVAL; /* jansson takes no text that is not UTF-8 */
        }
        return json_array_append_new(call->items, item) < 0 ? -ENOMEM : 0;
}

static int service_put_identity(PtContext *ctx, const PtIdentity *identity) {
        const char *kind, *condition, *breaks;
        ModuleCall *call = call_of(ctx);
        int r;

        if (call->op != MODULE_OP_IDENTITY)
                return -EPERM;
        if (isempty(identity->kind) || isempty(identity->condition) || identity->strength > 100)
                return -EINVAL;
        if ((r = clean_text(call, identity->kind, &kind)) < 0 ||
            (r = clean_text(call, identity->condition, &condition)) < 0 ||
            (r = clean_text(call, strempty(identity->breaks), &breaks)) < 0)
                return r;
        return append_item(call,
                           json_pack("{s:s, s:i, s:s, s:s}", "kind", kind, "strength",
                                     (int) identity->strength, "condition", condition, "breaks", breaks));
}

static int service_put_finding(PtContext *ctx, const PtFinding *finding) {
        ModuleCall *call = call_of(ctx);
        PtFinding clean = *finding;
        int r;

        if (call->op != MODULE_OP_CHECK && call->op != MODULE_OP_LAYOUT && call->op != MODULE_OP_FOLLOW &&
            call->op != MODULE_OP_VERIFY)
                return -EPERM;
        if ((r = clean_text(call, finding->code, &clean.code)) < 0 ||
            (r = clean_text(call, finding->text, &clean.text)) < 0 ||
            (r = clean_text(call, finding->culprit, &clean.culprit)) < 0 ||
            (r = clean_text(call, finding->remedy, &clean.remedy)) < 0)
                return r;
        return finding_append(&call->findings, &clean);
}

static int service_put_step(PtContext *ctx, const PtStep *step) {
        ModuleCall *call = call_of(ctx);
        PtStep clean = *step;
        int r;

        if (call->op != MODULE_OP_PLAN)
                return -EPERM;
        /* Only what people read is repaired. A device, name or value that is no UTF-8 is refused by
         * plan_append(). */
        r = clean_text(call, step->sentence, &clean.sentence);
        return r < 0 ? r : plan_append(&call->plan, &clean);
}

static json_t *list_to_json(const char *const *list) {
        json_t *array = json_array();

        for (const char *const *s = list; array && s && *s; s++)
                if (json_array_append_new(array, json_string(*s)) < 0) {
                        json_decref(array);
                        return NULL;
                }
        return array;
}

static int service_put_attachment(PtContext *ctx, const PtAttachment *attachment) {
        ModuleCall *call = call_of(ctx);
        const char *const *libvirt =
                attachment->struct_size >= offsetof(PtAttachment, libvirt) + sizeof(attachment->libvirt)
                        ? attachment->libvirt
                        : NULL;

        if (call->op != MODULE_OP_GUEST)
                return -EPERM;
        if (isempty(attachment->device) || isempty(attachment->driver) ||
            isempty(attachment->libvirt_type) || isempty(attachment->address))
                return -EINVAL;
        /* These texts go to a VM manager: they are taken as they are or not at all. */
        return append_item(call, json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "device",
                                           attachment->device, "driver", attachment->driver, "libvirt-type",
                                           attachment->libvirt_type, "address", attachment->address, "nodes",
                                           list_to_json(attachment->nodes), "properties",
                                           list_to_json(attachment->properties), "environment",
                                           list_to_json(attachment->environment), "libvirt",
                                           list_to_json(libvirt)));
}

static int service_put_observed(PtContext *ctx, const char *text) {
        return -EPERM; /* custom steps run in the worker */
}

static const PtServices services = {
        .struct_size = sizeof(PtServices),
        .abi_minor = PT_ABI_MINOR,
        .log = service_log,
        .read_attribute = service_read_attribute,
        .read_link = service_read_link,
        .list = service_list,
        .property = service_property,
        .host_fact = service_host_fact,
        .get_field = service_get_field,
        .get_setting = service_get_setting,
        .put_field = service_put_field,
        .put_name = service_put_name,
        .put_role = service_put_role,
        .put_key = service_put_key,
        .put_identity = service_put_identity,
        .put_finding = service_put_finding,
        .put_step = service_put_step,
        .put_attachment = service_put_attachment,
        .put_observed = service_put_observed,
        .get_blob = service_get_blob,
        .get_demand_setting = service_get_demand_setting,
        .put_layout = service_put_layout,
        .put_capacity = service_put_capacity,
        .put_provider = service_put_provider,
        .demand_accepts = service_demand_accepts,
        .put_slots = service_put_slots,
        .setting_is_given = service_setting_is_given,
        .put_room = service_put_room,
        .put_size = service_put_size,
        .put_profile = service_put_profile,
        .get_made = service_get_made,
};

/* ---- the call ---- */

int module_call_init(ModuleCall *call, Inventory *inventory, const Module *module, HostDevice *const *hosts,
                     const SettingValues *settings) {
        size_t n = 0;

        *call = (ModuleCall){
                .context.services = &services,
                .inventory = inventory,
                .module = module,
                .hosts = hosts,
                .settings = settings,
        };
        while (hosts[n])
                n++;
        call->n_hosts = n;
        call->views = n == 1 ? &call->single_view : calloc(n, sizeof(*call->views));
        if (!call->views)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                host_device_view(hosts[i], call->views + i);
        return 0;
}

static void discard(ModuleCall *call) {
        description_done(&call->description, call->module->descriptor->fields,
                         inventory_interner(call->inventory));
        key_list_done(&call->keys);
        finding_list_done(&call->findings);
        plan_done(&call->plan);
        json_decref(call->items);
        json_decref(call->profiles);
        json_decref(call->layout);
        call->items = call->layout = NULL;
}

void module_call_done(ModuleCall *call) {
        if (!call->inventory)
                return;

        discard(call);
        while (call->scraps) {
                Scrap *next = call->scraps->next;

                free(call->scraps);
                call->scraps = next;
        }
        if (call->views != &call->single_view)
                free(call->views);
        call->inventory = NULL;
}

static int run_op(ModuleCall *call, const PtRequest *request) {
        const PtModule *d = call->module->descriptor;

        switch (call->op) {
        case MODULE_OP_DESCRIBE:
                return d->describe(&call->context, call->views);
        case MODULE_OP_USES:
                return d->uses(&call->context, call->views);
        case MODULE_OP_IDENTITY:
                return d->identity ? d->identity(&call->context, call->views) : 0;
        case MODULE_OP_CHECK:
                return d->check ? d->check(&call->context, call->views, request) : 0;
        case MODULE_OP_PLAN:
                return d->plan(&call->context, request);
        case MODULE_OP_GUEST:
                return d->guest(&call->context, request);
        case MODULE_OP_LAYOUT:
                return d->layout ? module_call_run_layout(call) : -EOPNOTSUPP;
        case MODULE_OP_CAPACITY:
                return d->capacity ? d->capacity(&call->context, call->views) : -EOPNOTSUPP;
        case MODULE_OP_FOLLOW:
                if (d->follow)
                        return d->follow(&call->context, call->views, call->former);
                return call->former->same_place ? 0 : -ENODEV;
        case MODULE_OP_CHANGE:
                return d->change ? d->change(&call->context, call->views) : -EOPNOTSUPP;
        case MODULE_OP_VERIFY:
                return d->verify ? d->verify(&call->context, call->views) : 0;
        case _MODULE_OP_MAX:
                break;
        }
        return -EINVAL;
}

int module_call_run(ModuleCall *call, ModuleOp op, const PlanRequest *request) {
        _cleanup_free_ const PtDevice **bundle = NULL;
        Source *source = inventory_source(call->inventory);
        Breadcrumb *breadcrumb = inventory_breadcrumb(call->inventory);
        PtRequest view = { .struct_size = sizeof(view) };
        int r;

        call->op = op;
        if (request) {
                bundle = calloc(call->n_hosts + 1, sizeof(*bundle));
                if (!bundle)
                        return -ENOMEM;
                for (size_t i = 0; i < call->n_hosts; i++)
                        bundle[i] = call->views + i;
                view.verb = (uint32_t) request->verb;
                view.device = call->views;
                view.bundle = bundle;
                view.uid = request->uid;
                view.gid = request->gid;
                view.flags = request->park_companions ? PT_REQUEST_PARK_COMPANIONS : 0;
                view.uuid = request->uuid[0] ? request->uuid : NULL;
        }

        source_begin_round(source, call->hosts[0]);
        breadcrumb_enter(breadcrumb, call->module->name, ops[op], call->hosts[0]->id);
        r = run_op(call, request ? &view : NULL);
        breadcrumb_leave(breadcrumb);
        source_end_round(source, call->hosts[0]);

        if (r < 0)
                discard(call);
        call->answer = r;
        return r < 0 ? r : 0;
}
