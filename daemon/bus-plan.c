/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Manager.Plan: read, pass on, answer when it is complete. */

#include "bus-internal.h"

static int read_ids(json_t *paths, ObjectKind kind, json_t **ret, Fault *fault) {
        static const struct {
                FaultCode code;
                const char *word;
        } unknown[_OBJECT_MAX] = {
                [OBJECT_DEVICE] = { FAULT_UNKNOWN_DEVICE, "device" },
                [OBJECT_GROUP] = { FAULT_UNKNOWN_GROUP, "group" },
                [OBJECT_ALLOCATION] = { FAULT_UNKNOWN_ALLOCATION, "allocation" },
        };
        _cleanup_(json_decrefp) json_t *ids = json_array();
        size_t index;
        json_t *path;

        json_array_foreach(paths, index, path) {
                char id[ID_SIZE];

                if (bus_path_parse(json_string_value(path), kind, id) < 0)
                        return fault_set(fault, -ENOENT, unknown[kind].code, "%.128s is no %s", json_string_value(path),
                                         unknown[kind].word);
                (void) json_array_append_new(ids, json_string(id));
        }
        if (!ids)
                return fault_oom(fault);
        *ret = TAKE_PTR(ids);
        return 0;
}

static int reply(sd_bus_message *m, json_t *plan) {
        static const char *const lists[] = { "choices", "steps", "findings" };
        sd_bus_message *answer = NULL;
        int r = sd_bus_message_new_method_return(m, &answer);

        for (size_t i = 0; i < ELEMENTSOF(lists) && r >= 0; i++)
                r = bus_append_dict_list(answer, json_object_get(plan, lists[i]));
        if (r >= 0)
                r = sd_bus_message_append(answer, "s", json_string_value(json_object_get(plan, "token")));
        if (r >= 0)
                r = sd_bus_send(NULL, answer, NULL);
        sd_bus_message_unref(answer);
        return r;
}

static void on_planned(void *userdata, int result, json_t *plan, const Fault *fault) {
        sd_bus_message *m = userdata;
        int r = result < 0 ? result : reply(m, plan);

        if (r < 0)
                (void) bus_reply_fault(m, r, result < 0 ? fault : NULL);
        sd_bus_message_unref(m);
}

int bus_method_plan(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(json_decrefp) json_t *paths = NULL, *ids = NULL, *requests = NULL, *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        ObjectKind kind;
        const char *verb;
        int r = bus_await_evidence(b, m);

        if (r <= 0)
                return r < 0 ? bus_error_from_fault(error, r, NULL) : 1;
        r = sd_bus_message_read(m, "s", &verb);
        if (r >= 0)
                r = bus_read_path_list(m, &paths);
        if (r >= 0)
                r = bus_read_dict_list(m, &requests);
        if (r >= 0)
                r = bus_read_dict(m, &options);
        if (r >= 0)
                r = manager_plan_kind(verb, &kind, &fault);
        if (r >= 0)
                r = read_ids(paths, kind, &ids, &fault);
        if (r < 0)
                return bus_error_from_fault(error, r, &fault);
        r = manager_plan(b->manager, verb, ids, requests, options, on_planned, sd_bus_message_ref(m), &fault);
        if (r >= 0)
                return 1;
        sd_bus_message_unref(m);
        return bus_error_from_fault(error, r, &fault);
}
