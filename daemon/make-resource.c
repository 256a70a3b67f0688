/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Make Resource: one editable rule a device, by the strongest identity that no other device shares now, in a group that is
 * made when it is not there. All or nothing.
 *
 * Serial numbers and the like are slow to read, and may not be known yet. They are read first, of the devices and of all of
 * the same model, since only then it can be said that nobody shares them; what can't be read in time is passed over. */

#include <stdio.h>

#include "demand.h"
#include "history.h"
#include "identity.h"
#include "json-util.h"
#include "lib/limits.h"
#include "log.h"
#include "observe.h"
#include "operation.h"
#include "pending.h"

#define PCI_CLASS_NETWORK 0x02u
#define PCI_CLASS_DISPLAY 0x03u
#define HISTORY_TEXT_SIZE 256u

typedef struct Making {
        Manager *m;
        uid_t uid;
        uint64_t started_usec;
        char (*ids)[ID_SIZE]; /* the devices may go while others are read */
        size_t n_ids;
        char *name;
        json_t *settings;     /* of a group that is made; NULL for none */
        OpDone done;          /* NULL once it was told */
        void *userdata;
        size_t waiting;       /* readings that have not come back, and one for whoever still asks for more */
        sd_event_source *timer;
} Making;

/* `number`: the first that may be in its id; moved behind the one that is. */
static int rule_for(Manager *m, Group *group, Device *device, size_t *number, Rule **ret, Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = NULL;
        char id[ID_SIZE + 32];
        int r = identity_rule_body(m, device, &body, fault);

        if (r < 0)
                return r;
        do
                snprintf(id, sizeof(id), "%.*s-r%zu", (int) ID_MAX - 8, group->id, (*number)++);
        while (policy_find_rule(m->policy, id) || pending_reserves(m, id));
        return rule_from_json(id, body, group, device->module, false, ret, fault);
}

/* Its rule selects what it provides. */
static bool makes_devices(const Device *device) {
        return device->role == PT_ROLE_PROVIDER && device->module->descriptor->layout;
}

static int check_devices(Device *const *devices, const Group *group, Fault *fault) {
        if (!devices[0])
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "no device is named");
        for (size_t i = 0; devices[i]; i++) {
                const char *type = group ? group->type : devices[0]->module->name;

                if (devices[i]->role != PT_ROLE_OFFER && !makes_devices(devices[i]))
                        return fault_set_object(fault, -EPERM, FAULT_DEVICE_BLOCKED, devices[i]->id,
                                                "%s (%s) belongs to the host and is never handed out", devices[i]->name,
                                                devices[i]->host->sysname);
                if (!streq(devices[i]->module->name, type))
                        return fault_set_object(fault, -EINVAL, FAULT_INVALID_ARGUMENT, devices[i]->id,
                                                "%s is of type %s, the group of type %s", devices[i]->id,
                                                devices[i]->module->name, type);
                for (size_t k = 0; k < i; k++)
                        if (devices[k] == devices[i])
                                return fault_set_object(fault, -EINVAL, FAULT_INVALID_ARGUMENT, devices[i]->id,
                                                        "%s is named twice", devices[i]->id);
        }
        return 0;
}

static int apply_group(Manager *m, Pending *p) {
        if (!p->group)
                return 0;
        char id[ID_SIZE];
        memcpy(id, p->group->id, sizeof(id));
        int r = policy_add_group(m->policy, p->group);
        if (r < 0)
                return r;
        p->group = NULL;
        if (m->events.added)
                m->events.added(m->events.userdata, OBJECT_GROUP, id);
        return 0;
}

static void on_stored(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        Manager *m = p->m;
        char *ids = NULL;
        size_t size = 0;
        FILE *f;

        if (result >= 0)
                result = apply_group(m, p);
        Group *group = policy_find_group(m->policy, p->owner);
        if (result < 0 || !group || !(f = open_memstream(&ids, &size))) {
                pending_finish(p, result < 0 ? result : -ENOENT, fault, NULL);
                return;
        }
        for (size_t i = 0; i < p->n_rules; i++) {
                Rule *rule = p->rules[i];

                rule->group = group;
                if (policy_add_rule(m->policy, rule) < 0)
                        continue; /* freed with what is pending */
                p->rules[i] = NULL;
                fprintf(f, "%s%s", ftell(f) > 0 ? " " : "", rule->id);
                if (m->events.added)
                        m->events.added(m->events.userdata, OBJECT_RULE, rule->id);
        }
        manager_changed(m, OBJECT_GROUP, group->id, "Rules");
        fclose(f);
        pending_finish(p, 0, NULL, ids);
        free(ids);
}

static int new_group(Manager *m, const char *name, json_t *settings, const Device *device, Group **ret, Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s, s:s, s:O*}", "name", name, "type", device->module->name,
                                                         "settings", settings);
        char id[ID_SIZE];
        int r;

        if (!body)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "the group's name is not valid text");
        r = policy_new_group_id(m->policy, name, id);
        if (r < 0)
                return fault_set(fault, r, FAULT_INVALID_VALUE, "'%.64s' gives no id for a group", name);
        return group_from_json(id, body, m->loader, false, ret, fault);
}

static int build(Manager *m, Pending *p, Group *group, Device *const *devices, StoreTxn *txn, Fault *fault) {
        size_t n = 0;

        while (devices[n])
                n++;
        p->rules = calloc(n + 1, sizeof(Rule *));
        if (!p->rules)
                return fault_oom(fault);
        size_t number = 1;
        for (Rule *rule = group->rules; rule; rule = rule->next)
                number++;
        for (size_t i = 0; i < n; i++) {
                int r = rule_for(m, group, devices[i], &number, &p->rules[i], fault);
                if (r < 0)
                        return r;
                p->n_rules++;
                if (devices[i]->role == PT_ROLE_PROVIDER)
                        r = demand_check(m, group->module, &(PolicyChange) { .rule = p->rules[i], .new_group = group }, fault);
                if (r < 0)
                        return r;
                _cleanup_(json_decrefp) json_t *stored = rule_to_json(p->rules[i]);
                if (!stored)
                        return fault_oom(fault);
                store_insert(txn, TABLE_RULES, p->rules[i]->id, group->id, stored);
        }
        return 0;
}

/* They are of a group that is made here; those of one that is there are not changed by the way. */
static int check_settings(const Group *group, json_t *settings, Fault *fault) {
        if (group && json_object_size(settings) > 0)
                return fault_set_object(fault, -EEXIST, FAULT_INVALID_ARGUMENT, group->id,
                                        "the group '%s' is there already and keeps its settings; change them with Group.Update",
                                        group->name);
        return 0;
}

/* A row that names the group, of the same transaction. */
static void put_history(Manager *m, StoreTxn *txn, const Pending *p, Device *const *devices, uid_t uid, uint64_t started_usec) {
        _cleanup_(json_decrefp) json_t *ids = json_array();
        char text[HISTORY_TEXT_SIZE] = "";

        for (size_t i = 0, used = 0; i < p->n_rules; i++) {
                json_array_append_new(ids, json_string(devices[i]->id));
                if (used < sizeof(text))
                        used += (size_t) snprintf(text + used, sizeof(text) - used, "%s%s",
                                                  i > 0 ? ", " : p->group ? "group made, with " : "", p->rules[i]->id);
        }
        history_put(m, txn, &(HistoryEntry) {
                .uid = uid,
                .owner = HISTORY_NO_OWNER,
                .operation = "make-resource",
                .object = p->owner,
                .message = text,
                .started_usec = started_usec,
                .devices = ids,
        });
}

static int make_rules(Manager *m, const Making *making, Device *const *devices, OpDone done, void *userdata, Fault *fault) {
        const char *name = making->name;
        json_t *settings = making->settings;
        _cleanup_(store_abandonp) StoreTxn *txn = NULL;
        Group *group = policy_find_group_by_name(m->policy, name), *made = NULL;
        int r = check_devices(devices, group, fault);

        if (r >= 0)
                r = check_settings(group, settings, fault);
        if (r >= 0 && !group) {
                r = new_group(m, name, settings, devices[0], &made, fault);
                group = made;
        }
        if (r < 0)
                return r;

        Pending *p = pending_new(m, done, userdata);
        txn = store_begin(m->store, STORE_STATE);
        if (!p || !txn) {
                group_free(made);
                if (p)
                        pending_free(p);
                return fault_oom(fault);
        }
        p->group = made;
        snprintf(p->owner, sizeof(p->owner), "%s", group->id);
        if (made) {
                _cleanup_(json_decrefp) json_t *stored = group_to_json(made);
                snprintf(p->reserved, sizeof(p->reserved), "%s", made->id);
                if (stored)
                        store_insert(txn, TABLE_GROUPS, made->id, NULL, stored);
        }
        r = build(m, p, group, devices, txn, fault);
        if (r < 0) {
                pending_free(p);
                return r;
        }
        put_history(m, txn, p, devices, making->uid, making->started_usec);
        return pending_commit(p, TAKE_PTR(txn), on_stored, fault);
}

/* ---- reading what tells devices apart ---- */

static void making_free(Making *making) {
        sd_event_source_disable_unref(making->timer);
        free(making->ids);
        free(making->name);
        json_decref(making->settings);
        free(making);
}
DEFINE_CLEANUP(Making *, making_free)

static int find_devices(Making *making, Device **devices, Fault *fault) {
        if (making->m->stopping)
                return fault_set(fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping");
        for (size_t i = 0; i < making->n_ids; i++) {
                devices[i] = inventory_find(making->m->inventory, making->ids[i]);
                if (!devices[i])
                        return fault_set_object(fault, -ENODEV, FAULT_DEVICE_GONE, making->ids[i], "%s is gone",
                                                making->ids[i]);
        }
        return 0;
}

/* Once: when everything was read, or when it takes too long. */
static void go_on(Making *making) {
        _cleanup_free_ Device **devices = calloc(making->n_ids + 1, sizeof(Device *));
        _cleanup_fault_ Fault fault = { 0 };
        OpDone done = TAKE_PTR(making->done);
        int r;

        if (!done)
                return;
        r = devices ? find_devices(making, devices, &fault) : fault_oom(&fault);
        if (r >= 0)
                r = make_rules(making->m, making, devices, done, making->userdata, &fault);
        if (r < 0)
                done(making->userdata, r, &fault, NULL);
}

static void on_read(void *userdata) {
        Making *making = userdata;

        if (--making->waiting > 0)
                return;
        go_on(making);
        making_free(making);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        go_on(userdata);
        return 0;
}

static bool same_text(const Device *a, const Device *b, const char *field) {
        PtValue left, right;

        return device_get_field_by_name(a, field, &left) >= 0 && device_get_field_by_name(b, field, &right) >= 0 &&
               left.type == PT_STRING && right.type == PT_STRING && streq(strempty(left.s), strempty(right.s));
}

static bool is_like_one_of(const Device *device, Device *const *devices) {
        for (size_t i = 0; devices[i]; i++)
                if (devices[i] == device || (devices[i]->module == device->module &&
                                             devices[i]->vendor == device->vendor && /* interned: cheap to compare */
                                             same_text(devices[i], device, "vendor-id") &&
                                             same_text(devices[i], device, "device-id")))
                        return true;
        return false;
}

/* Counts before it asks: the answer may be there at once. */
static void read_device(Making *making, Device *device) {
        making->waiting++;
        observe_device(making->m, device, on_read, making);
}

static void read_identities(Making *making, Device *const *devices) {
        size_t n = 0;

        making->waiting = 1;
        for (size_t i = 0; devices[i] && n < IDENTITY_READS_MAX; i++, n++)
                read_device(making, devices[i]);
        for (Device *device = inventory_first(making->m->inventory); device && n < IDENTITY_READS_MAX;
             device = device->hh.next)
                if (device->slow != SLOW_FRESH && is_like_one_of(device, devices)) {
                        read_device(making, device);
                        n++;
                }
        on_read(making);
}

static int making_new(Manager *m, Device *const *devices, const char *name, OpDone done, void *userdata, Making **ret) {
        _cleanup_(making_freep) Making *making = calloc(1, sizeof(Making));
        size_t n = 0;

        while (devices[n])
                n++;
        if (!making)
                return -ENOMEM;
        *making = (Making) { .m = m, .n_ids = n, .done = done, .userdata = userdata };
        making->ids = calloc(n, ID_SIZE);
        making->name = strdup(name);
        if (!making->ids || !making->name)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                id_copy(making->ids[i], devices[i]->id);
        int r = sd_event_add_time_relative(m->event, &making->timer, CLOCK_MONOTONIC,
                                           IDENTITY_TIMEOUT_SEC * UINT64_C(1000000), 0, on_time, making);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(making);
        return 0;
}

/* ---- of which type ---- */

static Device *offer_of_type(const HostDevice *host, const char *type) {
        for (Device *offer = host->offers; offer; offer = offer->next_offer)
                if (streq(offer->module->name, type))
                        return offer;
        return NULL;
}

/* What `type` makes of the places of these devices. */
static int offers_of_type(Device *const *devices, const char *type, Device ***ret, Fault *fault) {
        _cleanup_free_ Device **offers = NULL;
        size_t n = 0;

        while (devices[n])
                n++;
        offers = calloc(n + 1, sizeof(Device *));
        if (!offers)
                return fault_oom(fault);
        for (size_t i = 0; i < n; i++) {
                char types[128] = "";

                offers[i] = offer_of_type(devices[i]->host, type);
                if (offers[i])
                        continue;
                for (Device *offer = devices[i]->host->offers; offer; offer = offer->next_offer)
                        if (strlen(types) + strlen(offer->module->name) + sizeof(", ") < sizeof(types))
                                strcat(strcat(types, types[0] ? ", " : ""), offer->module->name);
                return fault_set_object(fault, -EINVAL, FAULT_INVALID_VALUE, devices[i]->id,
                                        "%s is not offered as type '%.16s'; it is as: %s", devices[i]->host->sysname, type,
                                        types);
        }
        *ret = TAKE_PTR(offers);
        return 0;
}

/* Its module says that it can make none now: a GPU whose driver is another one. */
static bool is_able(Manager *m, Device *offer) {
        _cleanup_findings_ FindingList findings = { 0 };
        _cleanup_fault_ Fault fault = { 0 };

        return inventory_check(m->inventory, offer, NULL, &findings, &fault) >= 0 && !finding_first_blocker(&findings);
}

/* A network card that makes virtual functions is mostly there to be shared, and a GPU whose driver makes vGPUs too. */
static const char *shared_type(Manager *m, const HostDevice *host) {
        uint32_t base = host->class_code >> 16;

        for (Device *offer = host->offers; offer; offer = offer->next_offer) {
                if (!makes_devices(offer))
                        continue;
                if (base == PCI_CLASS_NETWORK)
                        return offer->module->name;
                if (base == PCI_CLASS_DISPLAY && streq_null(offer->module->descriptor->default_class, "vgpu"))
                        return is_able(m, offer) ? offer->module->name : NULL;
        }
        return NULL;
}

/* The type that nobody said: of the group where there is one, else preset by the devices. NULL leaves them as they were named. */
static const char *preset_type(Manager *m, Device *const *devices, const Group *group) {
        const char *type = group ? group->type : devices[0] ? shared_type(m, devices[0]->host) : NULL;

        for (size_t i = 0; type && devices[i]; i++)
                if (!offer_of_type(devices[i]->host, type) ||
                    (!group && !streq(strempty(shared_type(m, devices[i]->host)), type)))
                        return NULL;
        return type;
}

int manager_make_resource(Manager *m, const Caller *caller, Device *const *devices, const char *name, json_t *options,
                          OpDone done, void *userdata, Fault *fault) {
        const Group *group = policy_find_group_by_name(m->policy, name);
        _cleanup_free_ Device **offers = NULL;
        _cleanup_free_ char *wanted = NULL;
        json_t *settings = NULL;
        const JsonKey keys[] = {
                { "type", JSON_KEY_STRING, &wanted, TYPE_NAME_MAX, false },
                { "settings", JSON_KEY_OBJECT, &settings, 0, false },
                { 0 },
        };
        Making *making;
        int r = json_parse_object(options, keys, "the options of MakeResource", FAULT_UNKNOWN_OPTION, fault);

        if (r >= 0 && m->readiness == READINESS_LIMITED)
                r = fault_set(fault, -EROFS, FAULT_READ_ONLY_STATE, "the state can't be written: %s",
                              strempty(store_health_reason(m->store)));
        const char *type = wanted ? wanted : preset_type(m, devices, group);
        if (r >= 0 && type) {
                r = offers_of_type(devices, type, &offers, fault);
                devices = offers;
        }
        if (r >= 0)
                r = check_devices(devices, group, fault);
        if (r >= 0)
                r = check_settings(group, settings, fault);
        if (r < 0)
                return r;
        r = making_new(m, devices, name, done, userdata, &making);
        if (r < 0)
                return fault_oom(fault);
        making->settings = json_incref(settings);
        making->uid = caller->uid;
        making->started_usec = now_monotonic_usec();
        read_identities(making, devices);
        return 0;
}
