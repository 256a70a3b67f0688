/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who uses a device: claims, processes, what the host's drivers made of it, others in its IOMMU group. */

#include <stdio.h>

#include "explain-internal.h"
#include "lib/driver.h"
#include "lib/limits.h"

#define HOLDERS_SAID_MAX 32u
#define CHILDREN_SAID_MAX 64u

static const char *text_of(json_t *object, const char *key) {
        return strempty(json_string_value(json_object_get(object, key)));
}

/* ---- claims ---- */

void explain_claims(Manager *m, Device *device, const char *holder, Explanation *e) {
        _cleanup_keys_ KeyList keys = { 0 };

        if (inventory_uses(m->inventory, device, &keys, NULL) < 0)
                return;
        for (size_t i = 0; i < keys.n_items; i++) {
                const KeyList one = { &keys.items[i], 1 };
                const char *other = NULL;
                Allocation *a;

                if (key_table_check(m->keys, &one, holder, &other, NULL) >= 0 || !other ||
                    explanation_has(e, "claimed", other))
                        continue;
                a = manager_find_allocation(m, other);
                explanation_add(e, PT_SEVERITY_BLOCKER, "claimed", other,
                                "release or deactivate that allocation, or choose another device",
                                json_pack("{s:s, s:s*, s:s*}", "key", keys.items[i].key, "consumer",
                                          a ? a->consumer : NULL, "allocation-state",
                                          a ? allocation_state_to_string(a->state) : NULL),
                                "%s is in use by %s%s%s%s%s", keys.items[i].key, a ? "allocation of consumer " : "",
                                a ? a->consumer : other, a ? " (" : "", a ? allocation_state_to_string(a->state) : "",
                                a ? ")" : "");
        }
}

/* ---- processes ---- */

static char *end_of(json_t *holder) {
        const char *unit = text_of(holder, "unit");
        char *text;
        size_t n = strlen(unit);

        if (n > strlen(".service") && streq(unit + n - strlen(".service"), ".service"))
                return asprintf(&text, "systemctl stop %s", unit) < 0 ? NULL : text;
        return asprintf(&text, "end process %lld", (long long) json_integer_value(json_object_get(holder, "pid"))) < 0 ? NULL
                                                                                                                      : text;
}

static bool is_vfio_node(const char *node) {
        return startswith(node, "/dev/vfio/") || startswith(node, "anon_inode:[vfio-device]");
}

static void say_holder(const Device *device, const Allocation *holder, json_t *process, Explanation *e) {
        const char *node = text_of(process, "node"), *unit = text_of(process, "unit");
        long long pid = (long long) json_integer_value(json_object_get(process, "pid"));
        bool certain = !json_is_false(json_object_get(process, "certain"));
        bool ours = holder && allocation_state_holds(holder->state) && is_vfio_node(node);
        json_t *more = json_pack("{s:I, s:s, s:s, s:s, s:b}", "pid", (json_int_t) pid, "command", text_of(process, "comm"),
                                 "unit", unit, "node", node, "certain", certain);
        _cleanup_free_ char *culprit = NULL, *remedy = end_of(process);
        char by[NAME_MAX_BYTES + CONSUMER_MAX];

        if (asprintf(&culprit, "%s[%lld]", text_of(process, "comm"), pid) < 0)
                culprit = NULL;
        (void) snprintf(by, sizeof(by), "%s (pid %lld%s%s)", text_of(process, "comm"), pid, isempty(unit) ? "" : ", ", unit);
        if (!certain)
                explanation_add(e, PT_SEVERITY_NOTE, "may-be-open", culprit, NULL, more,
                                "%s has a VFIO device open; this kernel does not say which", by);
        else if (ours)
                explanation_add(e, PT_SEVERITY_NOTE, "open", culprit, NULL, more, "%s has %s open, for consumer %s", by, node,
                                holder->consumer);
        else
                explanation_add(e, PT_SEVERITY_WARNING, is_vfio_node(node) ? "open-by-other" : "open-on-host", culprit, remedy,
                                more, "%s has %s open", by, node);
}

static void say_holders(const Device *device, const Allocation *holder, json_t *holders, Explanation *e) {
        json_t *process;
        size_t i;

        json_array_foreach(holders, i, process)
                if (i < HOLDERS_SAID_MAX)
                        say_holder(device, holder, process, e);
        if (json_array_size(holders) > HOLDERS_SAID_MAX)
                explanation_add(e, PT_SEVERITY_NOTE, "more-processes", NULL, NULL, NULL,
                                "%zu processes have it open; %u are listed", json_array_size(holders), HOLDERS_SAID_MAX);
}

/* ---- what the host made of it ---- */

static void say_children(json_t *children, Explanation *e) {
        json_t *child;
        size_t i;

        json_array_foreach(children, i, child) {
                const char *node = text_of(child, "node");

                if (i >= CHILDREN_SAID_MAX)
                        break;
                explanation_add(e, PT_SEVERITY_NOTE, "child", text_of(child, "name"), NULL,
                                json_pack("{s:s, s:s, s:s}", "subsystem", text_of(child, "subsystem"), "name",
                                          text_of(child, "name"), "node", node),
                                "the host has made %s %s of it%s%s", text_of(child, "subsystem"), text_of(child, "name"),
                                isempty(node) ? "" : ", ", node);
        }
        if (json_array_size(children) > CHILDREN_SAID_MAX)
                explanation_add(e, PT_SEVERITY_NOTE, "more-children", NULL, NULL, NULL, "and %zu more",
                                json_array_size(children) - CHILDREN_SAID_MAX);
}

/* ---- others in its IOMMU group ---- */

static void say_neighbours(Manager *m, const Device *device, Explanation *e) {
        const HostDevice *host = source_iommu_group(inventory_source(m->inventory), device->host->iommu_group);

        for (; device->host->iommu_group >= 0 && host; host = host->next_in_iommu_group) {
                const Allocation *a = host->offers ? host->offers->allocation : NULL;

                if (host == device->host || host->bridge || !driver_is_vfio(host->driver) ||
                    (a && a == device->allocation))
                        continue;
                explanation_add(e, PT_SEVERITY_WARNING, "vfio-neighbour", host->id, NULL,
                                json_pack("{s:s, s:s*}", "driver", host->driver, "consumer", a ? a->consumer : NULL),
                                "%s of the same IOMMU group %d is on %s%s%s", host->sysname, (int) host->iommu_group,
                                host->driver, a ? ", for consumer " : ", and no allocation knows of it", a ? a->consumer : "");
        }
}

void explain_use(Manager *m, const Device *device, const Allocation *holder, const Seen *seen, Explanation *e) {
        e->topic = "use";
        if (device && device->host->driver)
                explanation_add(e, PT_SEVERITY_NOTE, "bound", device->host->driver, NULL, NULL, "bound to the driver %s",
                                device->host->driver);
        if (device)
                say_neighbours(m, device, e);
        if (seen->problem)
                explanation_add(e, PT_SEVERITY_WARNING, "holders-unknown", NULL, "ask again", NULL,
                                "which processes have it open is not known: %s", seen->problem);
        say_holders(device, holder, seen->holders, e);
        if (device)
                say_children(seen->children, e);
}
