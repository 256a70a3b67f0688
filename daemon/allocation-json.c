/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <time.h>

#include "allocation.h"
#include "json-util.h"
#include "lib/limits.h"

/* {device, companions, records}: as stored; clients never give devices. */
static int assigned_from_json(json_t *body, AssignedDevice *ret, Fault *fault) {
        _cleanup_free_ char *device = NULL;
        _cleanup_(strv_freep) char **companions = NULL;
        json_t *records = NULL;
        const JsonKey keys[] = {
                { "device", JSON_KEY_STRING, &device, ID_MAX, true },
                { "companions", JSON_KEY_STRV, &companions, 0, true },
                { "records", JSON_KEY_ARRAY, &records, 0, true },
                { 0 },
        };
        int r = json_parse_object(body, keys, "an assigned device", FAULT_STATE_DAMAGED, fault);

        if (r < 0)
                return r;
        snprintf(ret->device, sizeof(ret->device), "%s", device);
        ret->companions = TAKE_PTR(companions);
        ret->records = json_incref(records);
        return 0;
}

static int assigned_list_from_json(json_t *array, Request *request, Fault *fault) {
        size_t n = json_array_size(array);

        if (n == 0)
                return 0;
        request->devices = calloc(n, sizeof(AssignedDevice));
        if (!request->devices)
                return fault_oom(fault);
        for (size_t i = 0; i < n; i++) {
                int r = assigned_from_json(json_array_get(array, i), &request->devices[i], fault);
                if (r < 0)
                        return r;
                request->n_devices++;
        }
        return 0;
}

static int parse_companions(const char *word, bool *ret_park, Fault *fault) {
        if (!word || streq(word, "give"))
                *ret_park = false;
        else if (streq(word, "park"))
                *ret_park = true;
        else
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "'companions' of a request must be 'give' or 'park', not '%.64s'", word);
        return 0;
}

static int complete_request(Request *request, size_t number, Fault *fault) {
        if (!request->id && asprintf(&request->id, "%zu", number + 1) < 0)
                return fault_oom(fault);
        if (isempty(request->name)) {
                free(request->name);
                request->name = NULL;
                if (asprintf(&request->name, "%s-%s", request->group, request->id) < 0)
                        return fault_oom(fault);
        }
        if (!request->description)
                request->description = strdup("");
        if (!request->status)
                request->status = strdup("");
        if (!request->description || !request->status)
                return fault_oom(fault);
        return 0;
}

/* With those of the group, as they will stand. What the group does not let consumers define is refused when a device is chosen: the
 * group may change until then. */
static int check_together(const Group *group, const Request *request, Fault *fault) {
        _cleanup_settings_ SettingValues merged = { 0 };

        if (!group->module || settings_merge(&group->settings, (const char *const *) group->user_defined, &request->settings,
                                             &merged, NULL) < 0)
                return 0;
        return settings_check(group->module->descriptor, &merged, fault);
}

static int request_settings(Request *request, json_t *settings, Policy *policy, bool stored, Fault *fault) {
        Group *group = policy_find_group_by_name(policy, request->group);

        if (!group) {
                if (stored)
                        return settings_init(&request->settings, NULL);
                return fault_set_object(fault, -ENOENT, FAULT_UNKNOWN_GROUP, request->group,
                                        "there is no group '%.64s'", request->group);
        }
        /* Groups may be named either way; what is kept is the id, which never changes. */
        char *id = strdup(group->id);
        if (!id)
                return fault_oom(fault);
        free(request->group);
        request->group = id;
        int r = settings_from_json(group->module ? group->module->descriptor->settings : NULL, settings,
                                   PT_SETTING_CONSUMER | PT_SETTING_OVERRIDE, &request->settings, fault);
        return r < 0 || stored ? r : check_together(group, request, fault);
}

static int request_from_json(json_t *body, size_t number, Policy *policy, bool stored, Request *request, Fault *fault) {
        _cleanup_free_ char *companions = NULL;
        json_t *settings = NULL, *devices = NULL;
        request->count = 1;
        request->enabled = true;
        request->numa_node = -1;
        const JsonKey client_keys[] = {
                { "id", JSON_KEY_STRING, &request->id, ID_MAX, false },
                { "group", JSON_KEY_STRING, &request->group, NAME_MAX_BYTES, true },
                { "count", JSON_KEY_UINT, &request->count, REQUEST_COUNT_MAX, false },
                { "optional", JSON_KEY_BOOL, &request->optional, 0, false },
                { "name", JSON_KEY_STRING, &request->name, NAME_MAX_BYTES, false },
                { "description", JSON_KEY_STRING, &request->description, TEXT_MAX_BYTES, false },
                { "enabled", JSON_KEY_BOOL, &request->enabled, 0, false },
                { "order", JSON_KEY_INT, &request->order, 0, false },
                { "numa-node", JSON_KEY_INT, &request->numa_node, 0, false },
                { "settings", JSON_KEY_OBJECT, &settings, 0, false },
                { "companions", JSON_KEY_STRING, &companions, 16, false },
                { stored ? "devices" : NULL, JSON_KEY_ARRAY, &devices, 0, false },
                { "last", JSON_KEY_STRV, &request->last, 0, false },
                { "status", JSON_KEY_STRING, &request->status, TEXT_MAX_BYTES, false },
                { 0 },
        };
        int r = json_parse_object(body, client_keys, "a request", FAULT_UNKNOWN_OPTION, fault);

        if (r < 0)
                return r;
        if (request->count == 0)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "'count' of a request must be from 1 to %u",
                                 REQUEST_COUNT_MAX);
        if (request->numa_node < -1)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "'numa-node' of a request must be the number of a node, or -1 for any");
        r = parse_companions(companions, &request->park_companions, fault);
        if (r < 0)
                return r;
        r = request_settings(request, settings, policy, stored, fault);
        if (r < 0)
                return r;
        r = complete_request(request, number, fault);
        if (r < 0)
                return r;
        return assigned_list_from_json(devices, request, fault);
}

int requests_from_json(json_t *array, Policy *policy, bool stored, Request **ret, size_t *ret_n, Fault *fault) {
        size_t n = json_array_size(array);
        int r = 0;

        if (!json_is_array(array) || n == 0)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "an allocation needs at least one request");
        if (n > REQUESTS_MAX)
                return fault_set(fault, -E2BIG, FAULT_TOO_LARGE, "%zu requests; at most %u are allowed", n, REQUESTS_MAX);

        Request *requests = calloc(n, sizeof(Request));
        if (!requests)
                return fault_oom(fault);
        for (size_t i = 0; i < n && r >= 0; i++) {
                r = request_from_json(json_array_get(array, i), i, policy, stored, &requests[i], fault);
                for (size_t k = 0; k < i && r >= 0; k++)
                        if (streq(requests[k].id, requests[i].id))
                                r = fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "two requests have the id '%s'",
                                              requests[i].id);
        }
        if (r < 0) {
                requests_free(requests, n);
                return r;
        }
        *ret = requests;
        *ret_n = n;
        return 0;
}

static uint64_t now_realtime_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

int allocation_from_json(const char *id, json_t *body, Policy *policy, bool stored, Allocation **ret, Fault *fault) {
        _cleanup_(allocation_freep) Allocation *allocation = calloc(1, sizeof(Allocation));
        _cleanup_free_ char *lifetime = NULL;
        json_t *requests = NULL, *identities = NULL;
        unsigned owner = 0, node_uid = UINT32_MAX, node_gid = UINT32_MAX;

        if (!allocation)
                return fault_oom(fault);
        allocation->created_usec = now_realtime_usec();
        const JsonKey keys[] = {
                { "consumer", JSON_KEY_STRING, &allocation->consumer, CONSUMER_MAX, true },
                { "owner", JSON_KEY_UINT, &owner, 0, true },
                { "node-uid", JSON_KEY_UINT, &node_uid, 0, false },
                { "node-gid", JSON_KEY_UINT, &node_gid, 0, false },
                { "lifetime", JSON_KEY_STRING, &lifetime, 16, false },
                { "holder", JSON_KEY_STRING, &allocation->holder, NAME_MAX_BYTES, false },
                { "thick", JSON_KEY_BOOL, &allocation->thick, 0, false },
                { "wait", JSON_KEY_BOOL, &allocation->wait, 0, false },
                { "restart-required", JSON_KEY_BOOL, &allocation->restart_required, 0, false },
                { "created", JSON_KEY_UINT64, &allocation->created_usec, 0, false },
                { "requests", JSON_KEY_ARRAY, &requests, 0, true },
                { stored ? "identities" : NULL, JSON_KEY_OBJECT, &identities, 0, false },
                { 0 },
        };
        int r = json_parse_object(body, keys, "an allocation", FAULT_UNKNOWN_OPTION, fault);
        if (r < 0)
                return r;
        if (isempty(allocation->consumer))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "the consumer's name is empty");
        if (parse_uuid(id, allocation->id) < 0)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "'%.64s' is no UUID", id);

        allocation->lifetime = lifetime ? lifetime_from_string(lifetime) : LIFETIME_PERSISTENT;
        if ((int) allocation->lifetime < 0)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "lifetime must be persistent, unit, bus or hold, not '%.64s'", lifetime);
        if (!allocation->holder)
                allocation->holder = strdup("");
        if (!allocation->holder)
                return fault_oom(fault);
        allocation->owner = owner;
        allocation->node_uid = node_uid == UINT32_MAX ? owner : node_uid;
        allocation->node_gid = node_gid == UINT32_MAX ? 0 : node_gid;

        r = requests_from_json(requests, policy, stored, &allocation->requests, &allocation->n_requests, fault);
        if (r < 0)
                return r;
        if (identities && !(allocation->identities = json_deep_copy(identities)))
                return fault_oom(fault);
        allocation->state = ALLOCATION_CLAIMED;
        *ret = TAKE_PTR(allocation);
        return 0;
}

static json_t *assigned_to_json(const Request *request) {
        json_t *array = json_array();

        for (size_t i = 0; i < request->n_devices; i++)
                json_array_append_new(array, json_pack("{s:s, s:o, s:O}", "device", request->devices[i].device,
                                                       "companions",
                                                       strv_to_json((const char *const *) request->devices[i].companions),
                                                       "records", request->devices[i].records));
        return array;
}

json_t *request_to_json(const Request *request) {
        return json_pack("{s:s, s:s, s:i, s:b, s:s, s:s, s:b, s:i, s:i, s:o, s:s, s:o, s:o, s:s}",
                         "id", request->id, "group", request->group, "count", (int) request->count,
                         "optional", request->optional, "name", request->name, "description", request->description,
                         "enabled", request->enabled, "order", request->order, "numa-node", request->numa_node,
                         "settings", settings_to_json(&request->settings),
                         "companions", request->park_companions ? "park" : "give",
                         "devices", assigned_to_json(request),
                         "last", strv_to_json((const char *const *) request->last), "status", request->status);
}

json_t *allocation_to_json(const Allocation *allocation) {
        json_t *requests = json_array();

        for (size_t i = 0; i < allocation->n_requests; i++)
                json_array_append_new(requests, request_to_json(&allocation->requests[i]));
        return json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:b, s:b, s:b, s:I, s:o, s:O*}",
                         "consumer", allocation->consumer, "owner", (json_int_t) allocation->owner,
                         "node-uid", (json_int_t) allocation->node_uid, "node-gid", (json_int_t) allocation->node_gid,
                         "lifetime", lifetime_to_string(allocation->lifetime), "holder", allocation->holder,
                         "thick", allocation->thick, "wait", allocation->wait,
                         "restart-required", allocation->restart_required,
                         "created", (json_int_t) allocation->created_usec, "requests", requests, "identities",
                         allocation->identities);
}
