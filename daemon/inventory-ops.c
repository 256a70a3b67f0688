/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "inventory-internal.h"

#define IDENTITIES_MAX 16u /* of one device; more are weaker ones */

static bool is_shared(const Device *device) {
        return device->module->descriptor->flags & PT_TYPE_SHARED;
}

int inventory_bundle(Inventory *inventory, const Device *device, HostDevice ***ret) {
        HostDevice *first = NULL, **bundle;
        size_t n = 1;

        if (!is_shared(device))
                first = source_iommu_group(inventory->source, device->host->iommu_group);
        for (HostDevice *h = first; h; h = h->next_in_iommu_group)
                n++;
        bundle = calloc(n + 1, sizeof(*bundle));
        if (!bundle)
                return -ENOMEM;

        n = 0;
        bundle[n++] = device->host;
        for (HostDevice *h = first; h; h = h->next_in_iommu_group)
                if (h != device->host && !h->bridge)
                        bundle[n++] = h;
        *ret = bundle;
        return 0;
}

static int op_failed(const Device *device, ModuleOp op, int error, Fault *fault) {
        if (error == -ENOMEM)
                return fault_oom(fault);
        if (error == -ENODEV || error == -ENOENT)
                return fault_set_object(fault, error, FAULT_DEVICE_GONE, device->id, "%s is gone",
                                        device->host->sysname);
        return fault_set_object(fault, error, FAULT_INTERNAL, device->id,
                                "Module %s failed in %s() for %s: %s", device->module->name,
                                module_op_to_string(op), device->host->sysname, strerror(-error));
}

/* ---- resource keys ---- */

static int add_keys_of(Inventory *inventory, Device *device, KeyList *list, Fault *fault) {
        HostDevice *hosts[] = { device->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        r = module_call_init(&call, inventory, device->module, hosts, NULL);
        if (r >= 0)
                r = module_call_run(&call, MODULE_OP_USES, NULL);
        if (r < 0)
                return op_failed(device, MODULE_OP_USES, r, fault);

        for (size_t i = 0; i < call.keys.n_items; i++)
                if (key_list_add(list, call.keys.items[i].key, call.keys.items[i].exclusive) < 0)
                        return fault_oom(fault);
        return 0;
}

/* A companion is taken whole, whoever offers it. */
static int add_companion_keys(Inventory *inventory, HostDevice *host, KeyList *list, Fault *fault) {
        char key[NAME_MAX_BYTES];
        int r;

        for (Device *d = host->offers; d; d = d->next_offer) {
                r = add_keys_of(inventory, d, list, fault);
                if (r < 0)
                        return r;
        }
        if (host->offers)
                return 0;

        (void) snprintf(key, sizeof(key), "%s:%s", host->subsystem, host->sysname);
        return key_list_add(list, key, true) < 0 ? fault_oom(fault) : 0;
}

int inventory_uses(Inventory *inventory, Device *device, KeyList *ret, Fault *fault) {
        _cleanup_free_ HostDevice **bundle = NULL;
        _cleanup_keys_ KeyList list = { 0 };
        char key[32];
        int r;

        r = inventory_bundle(inventory, device, &bundle);
        if (r < 0)
                return fault_oom(fault);
        r = add_keys_of(inventory, device, &list, fault);
        for (size_t i = 1; r >= 0 && bundle[i]; i++)
                r = add_companion_keys(inventory, bundle[i], &list, fault);
        if (r < 0)
                return r;
        if (device->host->iommu_group >= 0) {
                (void) snprintf(key, sizeof(key), "iommu:%" PRIi32, device->host->iommu_group);
                if (key_list_add(&list, key, !is_shared(device)) < 0)
                        return fault_oom(fault);
        }

        *ret = list;
        list = (KeyList){ 0 };
        return 0;
}

/* ---- ops with a request ---- */

/* Calls an op for the bundle. On success the caller takes what it wants out of `call`, and ends it in any
 * case. */
static int call_for_bundle(Inventory *inventory, Device *device, const PlanRequest *request, ModuleOp op,
                           HostDevice ***bundle, ModuleCall *call, Fault *fault) {
        int r;

        r = inventory_bundle(inventory, device, bundle);
        if (r < 0)
                return fault_oom(fault);
        r = module_call_init(call, inventory, device->module, *bundle, request ? request->settings : NULL);
        if (r >= 0)
                r = module_call_run(call, op, request);
        return r < 0 ? op_failed(device, op, r, fault) : 0;
}

int inventory_check(Inventory *inventory, Device *device, const PlanRequest *request, FindingList *list,
                    Fault *fault) {
        _cleanup_free_ HostDevice **bundle = NULL;
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        r = call_for_bundle(inventory, device, request, MODULE_OP_CHECK, &bundle, &call, fault);
        if (r < 0)
                return r;
        for (size_t i = 0; i < call.findings.n_items; i++) {
                r = finding_append(list, call.findings.items + i);
                if (r < 0)
                        return r == -E2BIG ? fault_set(fault, r, FAULT_TOO_LARGE,
                                                       "There are more than %u findings", FINDINGS_MAX)
                                           : fault_oom(fault);
        }
        return 0;
}

int inventory_plan(Inventory *inventory, Device *device, const PlanRequest *request, Plan *plan,
                   Fault *fault) {
        _cleanup_free_ HostDevice **bundle = NULL;
        _cleanup_call_ ModuleCall call = { 0 };
        size_t before = plan->n_steps;
        int r;

        r = call_for_bundle(inventory, device, request, MODULE_OP_PLAN, &bundle, &call, fault);
        for (size_t i = 0; r >= 0 && i < call.plan.n_steps; i++) {
                r = plan_append(plan, call.plan.steps + i);
                if (r == -E2BIG)
                        (void) fault_set(fault, r, FAULT_TOO_LARGE, "The plan has more than %u steps",
                                         STEPS_MAX);
                else if (r < 0)
                        (void) fault_oom(fault);
        }
        if (r < 0)
                while (plan->n_steps > before)
                        step_done(plan->steps + --plan->n_steps);
        return r;
}

static int take_items(ModuleCall *call, json_t **ret, Fault *fault) {
        json_t *items = call->items ?: json_array();

        if (!items)
                return fault_oom(fault);
        call->items = NULL;
        *ret = items;
        return 0;
}

int inventory_guest(Inventory *inventory, Device *device, const PlanRequest *request, json_t **ret,
                    Fault *fault) {
        _cleanup_free_ HostDevice **bundle = NULL;
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        r = call_for_bundle(inventory, device, request, MODULE_OP_GUEST, &bundle, &call, fault);
        return r < 0 ? r : take_items(&call, ret, fault);
}

int inventory_identities(Inventory *inventory, Device *device, json_t **ret, Fault *fault) {
        HostDevice *hosts[] = { device->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        r = module_call_init(&call, inventory, device->module, hosts, NULL);
        if (r >= 0)
                r = module_call_run(&call, MODULE_OP_IDENTITY, NULL);
        return r < 0 ? op_failed(device, MODULE_OP_IDENTITY, r, fault) : take_items(&call, ret, fault);
}

int inventory_follow(Inventory *inventory, Device *device, json_t *identities, bool same_place, const PlanRequest *request,
                     FindingList *list) {
        const char *kinds[IDENTITIES_MAX + 1] = { 0 }, *conditions[IDENTITIES_MAX + 1] = { 0 };
        const PtFormer former = { .struct_size = sizeof(former),
                                  .same_place = same_place,
                                  .conditions = conditions,
                                  .kinds = kinds };
        HostDevice *hosts[] = { device->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        json_t *identity;
        size_t i;
        int r;

        json_array_foreach(identities, i, identity) {
                if (i >= IDENTITIES_MAX)
                        break;
                kinds[i] = strempty(json_string_value(json_object_get(identity, "kind")));
                conditions[i] = strempty(json_string_value(json_object_get(identity, "condition")));
        }
        r = module_call_init(&call, inventory, device->module, hosts, request->settings);
        if (r < 0)
                return r;
        call.former = &former;
        r = module_call_run(&call, MODULE_OP_FOLLOW, NULL);
        for (size_t k = 0; r >= 0 && k < call.findings.n_items; k++)
                r = finding_append(list, call.findings.items + k);
        return r;
}
