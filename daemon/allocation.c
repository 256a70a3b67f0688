/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "allocation.h"

#include "follow.h"
#include "json-util.h"
#include "leftover.h"

static const char *const lifetime_table[_LIFETIME_MAX] = {
        [LIFETIME_PERSISTENT] = "persistent",
        [LIFETIME_UNIT] = "unit",
        [LIFETIME_BUS] = "bus",
        [LIFETIME_HOLD] = "hold",
};
DEFINE_STRING_TABLE(lifetime, Lifetime, lifetime_table)

static void assigned_device_done(AssignedDevice *assigned) {
        strv_free(assigned->companions);
        json_decref(assigned->records);
}

void request_clear_devices(Request *request) {
        for (size_t i = 0; i < request->n_devices; i++)
                assigned_device_done(&request->devices[i]);
        free(request->devices);
        request->devices = NULL;
        request->n_devices = 0;
}

static void request_done(Request *request) {
        request_clear_devices(request);
        strv_free(request->last);
        settings_done(&request->settings);
        free(request->id);
        free(request->group);
        free(request->name);
        free(request->description);
        free(request->status);
}

void requests_free(Request *requests, size_t n) {
        for (size_t i = 0; i < n; i++)
                request_done(&requests[i]);
        free(requests);
}

void allocation_clear_steps(Allocation *allocation) {
        for (size_t i = 0; allocation->observed && i < allocation->applied.n_steps; i++)
                free(allocation->observed[i]);
        free(allocation->observed);
        allocation->observed = NULL;
        plan_done(&allocation->applied);
        allocation->applied = (Plan) { 0 };
        json_decref(allocation->notes);
        allocation->notes = NULL;
        json_decref(allocation->in_force);
        allocation->in_force = NULL;
}

Allocation *allocation_free(Allocation *allocation) {
        if (!allocation)
                return NULL;
        allocation_clear_steps(allocation);
        requests_free(allocation->requests, allocation->n_requests);
        json_decref(allocation->identities);
        fault_done(&allocation->failure);
        leftover_free(allocation->leftover);
        follow_free(allocation->follow);
        json_decref(allocation->away);
        free(allocation->consumer);
        free(allocation->holder);
        free(allocation);
        return NULL;
}

/* The records outlive the devices: a give-back after an unplug or a restart still knows what to name. */
int request_assign(Request *request, const Device *device, HostDevice *const *bundle) {
        AssignedDevice assigned = { 0 };
        size_t n = 0;

        while (bundle[n])
                n++;
        assigned.companions = calloc(n + 1, sizeof(char *));
        assigned.records = json_array();
        if (!assigned.companions || !assigned.records)
                goto oom;
        id_copy(assigned.device, device->id);
        for (size_t i = 0, k = 0; i < n; i++) {
                const char *file = device->module->file;
                json_t *record = host_device_to_json(bundle[i], file);
                if (!record || json_array_append_new(assigned.records, record) < 0)
                        goto oom;
                if (bundle[i] == device->host)
                        continue;
                assigned.companions[k] = strdup(bundle[i]->id);
                if (!assigned.companions[k++])
                        goto oom;
        }

        AssignedDevice *devices = reallocarray(request->devices, request->n_devices + 1, sizeof(AssignedDevice));
        if (!devices)
                goto oom;
        request->devices = devices;
        request->devices[request->n_devices++] = assigned;
        return 0;
oom:
        assigned_device_done(&assigned);
        return -ENOMEM;
}

int request_remember(Request *request) {
        if (request->n_devices == 0)
                return 0;

        _cleanup_(strv_freep) char **last = calloc(request->n_devices + 1, sizeof(char *));
        if (!last)
                return -ENOMEM;
        for (size_t i = 0; i < request->n_devices; i++) {
                last[i] = strdup(request->devices[i].device);
                if (!last[i])
                        return -ENOMEM;
        }
        strv_free(request->last);
        request->last = TAKE_PTR(last);
        return 0;
}

size_t allocation_count_devices(const Allocation *allocation) {
        size_t n = 0;

        for (size_t i = 0; i < allocation->n_requests; i++)
                n += allocation->requests[i].n_devices;
        return n;
}

bool allocation_has_device(const Allocation *allocation, const char *id) {
        for (size_t i = 0; i < allocation->n_requests; i++)
                for (size_t k = 0; k < allocation->requests[i].n_devices; k++) {
                        const AssignedDevice *assigned = &allocation->requests[i].devices[k];
                        if (streq(assigned->device, id) ||
                            strv_contains((const char *const *) assigned->companions, id))
                                return true;
                }
        return false;
}

static bool records_have(json_t *records, const char *id) {
        json_t *record;
        size_t index;

        json_array_foreach(records, index, record)
                if (streq_null(json_string_value(json_object_get(record, "id")), id))
                        return true;
        return false;
}

const char *allocation_device_of_host(const Allocation *allocation, const char *id) {
        for (size_t i = 0; i < allocation->n_requests; i++)
                for (size_t k = 0; k < allocation->requests[i].n_devices; k++) {
                        const AssignedDevice *assigned = &allocation->requests[i].devices[k];

                        if (strv_contains((const char *const *) assigned->companions, id))
                                return id;
                        if (streq(assigned->device, id) || records_have(assigned->records, id))
                                return assigned->device;
                }
        return NULL;
}

bool allocation_has_request(const Allocation *allocation, const Request *request) {
        for (size_t i = 0; i < allocation->n_requests; i++)
                if (streq(allocation->requests[i].id, request->id) &&
                    streq(allocation->requests[i].group, request->group))
                        return true;
        return false;
}

static bool same_settings(const SettingValues *a, const SettingValues *b) {
        _cleanup_(json_decrefp) json_t *left = settings_to_json(a), *right = settings_to_json(b);

        return json_equal(left, right);
}

static bool same_request(const Request *a, const Request *b) {
        return streq(a->id, b->id) && streq(a->group, b->group) && a->count == b->count &&
               a->optional == b->optional && a->enabled == b->enabled && a->order == b->order &&
               a->numa_node == b->numa_node && a->park_companions == b->park_companions && streq(a->description, b->description) &&
               streq(a->name, b->name) && same_settings(&a->settings, &b->settings);
}

bool allocation_same_wish(const Allocation *a, const Allocation *b) {
        if (a->owner != b->owner || a->n_requests != b->n_requests || a->thick != b->thick)
                return false;
        for (size_t i = 0; i < a->n_requests; i++)
                if (!same_request(&a->requests[i], &b->requests[i]))
                        return false;
        return true;
}

/* What a request keeps over an edit: its devices, when it is still the same pool that is asked. */
static void inherit_devices(Request *request, Request *old, size_t n_old) {
        for (size_t i = 0; i < n_old; i++) {
                if (!streq(old[i].id, request->id) || !streq(old[i].group, request->group))
                        continue;
                request->devices = TAKE_PTR(old[i].devices);
                request->n_devices = old[i].n_devices;
                old[i].n_devices = 0;
                request->last = TAKE_PTR(old[i].last);
        }
}

int allocation_set_requests(Allocation *allocation, json_t *requests, Policy *policy, Fault *fault) {
        Request *parsed = NULL;
        size_t n = 0;
        int r = requests_from_json(requests, policy, false, &parsed, &n, fault);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                inherit_devices(&parsed[i], allocation->requests, allocation->n_requests);
        requests_free(allocation->requests, allocation->n_requests);
        allocation->requests = parsed;
        allocation->n_requests = n;
        return 0;
}
