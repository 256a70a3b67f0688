/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "provision.h"

#include <stdio.h>

#include "json-util.h"
#include "log.h"
#include "module-call.h"

Provision *provision_find(Manager *m, const char *id) {
        Provision *p;

        HASH_FIND_STR(m->provisions, id, p);
        return p;
}

int provision_obtain(Manager *m, const char *id, Provision **ret) {
        Provision *p = provision_find(m, id);

        if (!p) {
                p = calloc(1, sizeof(*p));
                if (!p)
                        return -ENOMEM;
                p->m = m;
                (void) snprintf(p->id, sizeof(p->id), "%s", id);
                p->observed = calloc(1, sizeof(char *));
                if (!p->observed) {
                        free(p);
                        return -ENOMEM;
                }
                HASH_ADD_STR(m->provisions, id, p);
        }
        *ret = p;
        return 0;
}

static void provision_free(Provision *p) {
        provision_drop_steps(p, 0);
        plan_done(&p->applied);
        free(p->observed);
        json_decref(p->wanted);
        json_decref(p->made);
        json_decref(p->record);
        strv_free(p->groups);
        fault_done(&p->failure);
        json_decref(p->drift);
        sd_event_source_disable_unref(p->timer);
        sd_event_source_disable_unref(p->deadline);
        free(p->model);
        free(p);
}

void provision_release(Manager *m, Provision *p) {
        if (p->wanted || p->applied.n_steps > 0 || p->job || p->failure.code != FAULT_NONE)
                return;
        HASH_DEL(m->provisions, p);
        provision_free(p);
}

void provisions_free(Manager *m) {
        Provision *p, *next;

        HASH_ITER(hh, m->provisions, p, next) {
                HASH_DEL(m->provisions, p);
                provision_free(p);
        }
}

bool provision_has_group(const Provision *p, const char *group) {
        return p->groups && strv_contains((const char *const *) p->groups, group);
}

void provision_changed(Manager *m, const Provision *p) {
        if (m->events.provider_changed)
                m->events.provider_changed(m->events.userdata, p->id);
        for (size_t i = 0; p->groups && p->groups[i]; i++)
                manager_changed(m, OBJECT_GROUP, p->groups[i], "Notes");
}

bool provision_lacks_devices(Manager *m, const Provision *p) {
        const Device *provider = inventory_find(m->inventory, p->id);

        return p->made && !p->job && (!provider || !provider->provider || provider->provider->n_children < p->n_devices);
}

bool provision_has_lost_all(Manager *m, const Provision *p) {
        const Device *provider = inventory_find(m->inventory, p->id);

        return p->made && !p->job && p->n_devices > 0 && provider && provider->provider && provider->provider->n_children == 0;
}

bool provision_is_met(Manager *m, const Group *group) {
        if (!group->module || !group->module->descriptor->layout)
                return true;
        for (Provider *p = inventory_first_provider(m->inventory); p; p = p->hh.next) {
                _cleanup_(json_decrefp) json_t *layout = NULL;
                const Provision *made = p->device ? provision_find(m, p->device->id) : NULL;

                if (!p->device || !demand_exists(m, group, p->device, NULL))
                        continue;
                if (demand_layout(m, p->device, NULL, &layout, NULL) < 0)
                        return false;
                /* What makes its devices one by one, as consumers start, needs no layout. */
                if (json_is_null(layout) && (!made || !made->made))
                        continue;
                if (!made || !made->made || made->changing || made->drift || provision_lacks_devices(m, made) ||
                    !json_equal(layout, made->made))
                        return false;
        }
        return true;
}

/* ---- steps ---- */

void provision_drop_steps(Provision *p, size_t first) {
        while (p->applied.n_steps > first) {
                size_t last = --p->applied.n_steps;

                step_done(&p->applied.steps[last]);
                free(p->observed[last]);
                p->observed[last] = NULL;
        }
        p->base = MIN_OF(p->base, first);
}

int provision_append_step(Provision *p, const PtStep *step) {
        char **observed = reallocarray(p->observed, p->applied.n_steps + 2, sizeof(char *));
        int r;

        if (!observed)
                return -ENOMEM;
        p->observed = observed;
        observed[p->applied.n_steps] = observed[p->applied.n_steps + 1] = NULL;
        r = plan_append(&p->applied, step);
        return r;
}

static bool same_subject(const PtStep *a, const PtStep *b, bool custom) {
        return a->kind == b->kind && (custom || a->kind != PT_STEP_CUSTOM) && streq_null(a->device, b->device) &&
               streq_null(a->name, b->name);
}

int provision_merge_steps(Provision *p, bool custom) {
        size_t kept = 0;

        for (size_t i = 0; i < p->applied.n_steps; i++) {
                PtStep step = p->applied.steps[i];
                char *observed = p->observed[i];
                size_t earlier = 0;

                while (earlier < kept && !same_subject(&p->applied.steps[earlier], &step, custom))
                        earlier++;
                p->applied.steps[i] = (PtStep){ 0 };
                p->observed[i] = NULL;
                if (earlier < kept) {
                        step_done(&p->applied.steps[earlier]);
                        free(observed);
                } else {
                        p->observed[earlier] = observed;
                        kept++;
                }
                p->applied.steps[earlier] = step;
        }
        p->applied.n_steps = kept;
        p->base = kept;
        return 0;
}

int provision_transition(Manager *m, const Provision *p, Device *provider, json_t *layout, Transition *ret, Fault *fault) {
        *ret = TRANSITION_REPLACE;
        /* What is there in parts has to go first, and may be in somebody's hands. */
        if (!p || !p->made || p->applied.n_steps == 0 || (p->changing && !p->beside) || !layout || json_is_null(layout))
                return 0;
        if (p->drift) {
                *ret = TRANSITION_ANEW;
                return 0;
        }
        return provider_change(m, provider, p->made, layout, ret, fault);
}

/* ---- records ---- */

int provision_store_layout(StoreTxn *txn, const Provision *p) {
        _cleanup_(json_decrefp) json_t *body = NULL;

        if (!p->wanted) {
                store_remove(txn, TABLE_LAYOUTS, p->id);
                return 0;
        }
        body = json_pack("{s:O, s:o, s:s}", "layout", p->wanted, "groups", strv_to_json((const char *const *) p->groups),
                         "model", strempty(p->model));
        if (!body)
                return -ENOMEM;
        store_put(txn, TABLE_LAYOUTS, p->id, NULL, body);
        return 0;
}

int provision_store_state(StoreTxn *txn, const Provision *p) {
        _cleanup_(json_decrefp) json_t *body = NULL;

        if (p->applied.n_steps == 0 && !p->changing) {
                store_remove(txn, TABLE_PROVISIONS, p->id);
                return 0;
        }
        body = json_pack("{s:s, s:I, s:I, s:O?, s:O?, s:b}", "state", p->changing ? "changing" : "made", "base",
                         (json_int_t) p->base, "devices", (json_int_t) p->n_devices, "layout", p->made, "device", p->record,
                         "beside", p->beside);
        if (!body)
                return -ENOMEM;
        store_put(txn, TABLE_PROVISIONS, p->id, NULL, body);
        return 0;
}

int provision_store_steps(StoreTxn *txn, const Provision *p) {
        store_remove_owned(txn, TABLE_PROVISION_STEPS, p->id);
        for (size_t i = 0; i < p->applied.n_steps; i++) {
                _cleanup_(json_decrefp) json_t *body = NULL;
                char key[ID_SIZE + 32];

                if (!p->observed[i])
                        continue;
                (void) snprintf(key, sizeof(key), "%s/%06zu", p->id, i);
                body = json_pack("{s:o, s:s}", "step", step_to_json(&p->applied.steps[i]), "observed", p->observed[i]);
                if (!body)
                        return -ENOMEM;
                store_put(txn, TABLE_PROVISION_STEPS, key, p->id, body);
        }
        return 0;
}

static int load_layout(void *userdata, const char *key, const char *owner, json_t *body) {
        json_t *layout = json_object_get(body, "layout"), *group;
        Manager *m = userdata;
        Provision *p;
        size_t i;

        if (!json_is_object(layout) || provision_obtain(m, key, &p) < 0) {
                log_message(LOG_ERR, LOG_EVENT_STORE, log_fields("DEVICE", key), "the stored layout of %s is not used", key);
                return 0;
        }
        p->wanted = json_incref(layout);
        p->model = strdup(strempty(json_string_value(json_object_get(body, "model"))));
        p->groups = calloc(json_array_size(json_object_get(body, "groups")) + 1, sizeof(char *));
        json_array_foreach(json_object_get(body, "groups"), i, group)
                if (p->groups)
                        p->groups[i] = strdup(strempty(json_string_value(group)));
        return 0;
}

static int load_state(void *userdata, const char *key, const char *owner, json_t *body) {
        Manager *m = userdata;
        Provision *p;

        if (provision_obtain(m, key, &p) < 0)
                return 0;
        p->changing = streq_null(json_string_value(json_object_get(body, "state")), "changing");
        p->beside = json_is_true(json_object_get(body, "beside"));
        p->base = (size_t) json_integer_value(json_object_get(body, "base"));
        p->n_devices = (size_t) json_integer_value(json_object_get(body, "devices"));
        p->made = json_incref(json_object_get(body, "layout"));
        p->record = json_incref(json_object_get(body, "device"));
        return 0;
}

static int load_step(void *userdata, const char *key, const char *owner, json_t *body) {
        const char *observed = json_string_value(json_object_get(body, "observed"));
        Provision *p = owner ? provision_find(userdata, owner) : NULL;
        _cleanup_fault_ Fault fault = { 0 };
        PtStep step;

        if (!p || !observed || step_from_json(json_object_get(body, "step"), &step, &fault) < 0) {
                log_message(LOG_ERR, LOG_EVENT_STORE, NULL, "the step record %s is not used: %s", key,
                            strempty(fault.message));
                return 0;
        }
        if (provision_append_step(p, &step) >= 0)
                p->observed[p->applied.n_steps - 1] = strdup(observed);
        step_done(&step);
        return 0;
}

int provision_load(Manager *m, Fault *fault) {
        int r = store_load(m->store, TABLE_LAYOUTS, load_layout, m, fault);

        if (r >= 0)
                r = store_load(m->store, TABLE_PROVISIONS, load_state, m, fault);
        if (r >= 0)
                r = store_load(m->store, TABLE_PROVISION_STEPS, load_step, m, fault);
        return r;
}

/* ---- keys ---- */

void provision_holder(const Provision *p, char ret[static 2 * ID_SIZE]) {
        (void) snprintf(ret, 2 * ID_SIZE, "provision:%s", p->id);
}

void provision_unhold(Manager *m, const Provision *p) {
        char holder[2 * ID_SIZE];

        provision_holder(p, holder);
        key_table_release(m->keys, holder);
}

void provision_hold(Manager *m, Provision *p) {
        Device *provider = inventory_find(m->inventory, p->id);
        _cleanup_keys_ KeyList keys = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        char holder[2 * ID_SIZE];

        if (p->applied.n_steps == 0 || !provider || provider_uses(m, provider, &keys, &fault) < 0)
                return;
        for (size_t i = 0; i < keys.n_items; i++)
                keys.items[i].exclusive = false;
        provision_holder(p, holder);
        if (key_table_take(m->keys, &keys, holder, &fault) < 0)
                log_message(LOG_WARNING, LOG_EVENT_NONE, log_fields("DEVICE", p->id), "%s: %s", p->id,
                            strempty(fault.message));
}
