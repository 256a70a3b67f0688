/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "given-nodes.h"

#include <stdio.h>

#include "json-util.h"
#include "operation.h"

/* The device as it was recorded: right after a start a slot of a provider may not be there yet, and the provider is. */
static HostDevice *recorded_host(Manager *m, json_t *records, const char *id) {
        json_t *record;
        size_t index;

        json_array_foreach(records, index, record) {
                const char *subsystem = json_string_value(json_object_get(record, "subsystem")),
                           *sysname = json_string_value(json_object_get(record, "sysname"));

                if (subsystem && sysname && streq_null(json_string_value(json_object_get(record, "id")), id))
                        return source_find_by_name(inventory_source(m->inventory), subsystem, sysname);
        }
        return NULL;
}

/* 0 when it has none (any more). */
static int mdev_node(Manager *m, json_t *records, const PtStep *step, char **ret) {
        HostDevice *host = recorded_host(m, records, step->device);
        char link[UUID_TEXT_SIZE + sizeof("/iommu_group")], group[32];

        (void) snprintf(link, sizeof(link), "%s/iommu_group", step->value);
        if (!host || source_read_link(inventory_source(m->inventory), host, link, group, sizeof(group)) <= 0)
                return 0;
        return asprintf(ret, "/dev/vfio/%s", group) < 0 ? -ENOMEM : 1;
}

int given_nodes(Manager *m, const Allocation *allocation, char ***ret) {
        _cleanup_(json_decrefp) json_t *records = allocation_records(allocation);
        const Plan *plan = &allocation->applied;
        char **nodes = calloc(plan->n_steps + 1, sizeof(char *));
        size_t n = 0;

        if (!nodes)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PtStep *step = &plan->steps[i];
                int r = 0;

                if (step->kind == PT_STEP_NODE_OWNER)
                        r = asprintf(&nodes[n], "/dev/%s", step->name) < 0 ? -ENOMEM : 1;
                else if (step->kind == PT_STEP_CREATE_MDEV)
                        r = mdev_node(m, records, step, &nodes[n]);
                if (r < 0) {
                        nodes[n] = NULL;
                        strv_free(nodes);
                        return r;
                }
                n += (size_t) r;
        }
        *ret = nodes;
        return 0;
}
