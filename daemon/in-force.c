/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The settings that an allocation was activated with. A group's settings, and what a consumer asks for, may be changed while a guest
 * has the devices; that acts at the next activation, and until then what is said of the guest is what it runs with. */

#include "in-force.h"

#include "lib/value-util.h"
#include "log.h"
#include "operation.h"

int allocation_note_settings(Manager *m, Allocation *allocation, Fault *fault) {
        json_t *all = json_object();

        for (size_t i = 0; all && i < allocation->n_requests; i++) {
                const Request *request = &allocation->requests[i];
                _cleanup_settings_ SettingValues settings = { 0 };
                PlanRequest plan;
                int r;

                if (request->n_devices == 0)
                        continue;
                r = plan_request_for(m, allocation, request, PT_VERB_ACTIVATE, &settings, &plan, fault);
                if (r < 0) {
                        json_decref(all);
                        return r;
                }
                if (json_object_set_new(all, request->id, settings_to_json(&settings)) < 0) {
                        json_decref(all);
                        return fault_oom(fault);
                }
        }
        if (!all)
                return fault_oom(fault);
        json_decref(allocation->in_force);
        allocation->in_force = all;
        return 0;
}

/* 0: nothing is on record. */
static int load(Manager *m, const Allocation *allocation, const Request *request, SettingValues *ret) {
        const Group *group = policy_find_group(m->policy, request->group);
        json_t *given = json_object_get(allocation->in_force, request->id);
        _cleanup_fault_ Fault why = { 0 };

        if (!given || !group || !group->module)
                return 0;
        if (settings_from_json(group->module->descriptor->settings, given, PT_SETTING_GROUP | PT_SETTING_CONSUMER, ret, &why) >= 0)
                return 1;
        log_message(LOG_WARNING, LOG_EVENT_NONE, log_fields("ALLOCATION", allocation->id),
                    "the settings that request '%s' was activated with are of another version of the module: %s", request->id,
                    strempty(why.message));
        return 0;
}

int plan_request_in_force(Manager *m, const Allocation *allocation, const Request *request, PtVerb verb,
                          SettingValues *settings, PlanRequest *ret, Fault *fault) {
        int r = plan_request_for(m, allocation, request, verb, settings, ret, fault);
        SettingValues then = { 0 };

        if (r < 0 || load(m, allocation, request, &then) == 0)
                return r;
        settings_done(settings);
        *settings = then;
        return 0;
}

json_t *request_in_force_to_json(Manager *m, const Allocation *allocation, const Request *request) {
        _cleanup_settings_ SettingValues settings = { 0 };
        json_t *object;

        if (load(m, allocation, request, &settings) == 0)
                return NULL;
        object = json_object();
        for (const PtSetting *s = settings.schema; object && s && s->name; s++) {
                PtValue value;

                if (settings_get(&settings, s->name, &value) >= 0)
                        json_object_set_new(object, s->name, value_to_json(&value));
        }
        return object;
}
