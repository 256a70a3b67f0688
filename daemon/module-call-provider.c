/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The services that only the ops of providers use. */

#include <stdio.h>

#include "lib/parse.h"
#include "lib/schema.h"
#include "lib/value-util.h"
#include "module-call.h"

static ModuleCall *call_of(PtContext *ctx) {
        return (ModuleCall *) ctx;
}

/* A demand of this call, and no other. */
static const Demand *demand_of(const ModuleCall *call, const PtDemand *view) {
        for (size_t i = 0; i < call->n_demands; i++)
                if (view == &call->demands[i].view)
                        return &call->demands[i];
        return NULL;
}

int service_get_demand_setting(PtContext *ctx, const PtDemand *view, const char *setting, PtValue *ret) {
        const ModuleCall *call = call_of(ctx);
        const Demand *demand = demand_of(call, view);

        if (call->op != MODULE_OP_LAYOUT)
                return -EPERM;
        return demand ? settings_get(demand->settings, setting, ret) : -EINVAL;
}

int service_demand_accepts(PtContext *ctx, const PtDemand *view, const char *field, const PtValue *value) {
        const ModuleCall *call = call_of(ctx);
        const PtField *fields = call->module->descriptor->fields;
        const Demand *demand = demand_of(call, view);
        int index = schema_find_field(fields, field);

        if (call->op != MODULE_OP_LAYOUT)
                return -EPERM;
        if (!demand || index < 0 || value->type != fields[index].type || value->type == PT_STRV)
                return -EINVAL;
        return demand->accepts(demand, (unsigned) index, value);
}

int service_put_layout(PtContext *ctx, const char *name, const PtValue *value) {
        ModuleCall *call = call_of(ctx);
        json_t *json;

        if (call->op != MODULE_OP_LAYOUT)
                return -EPERM;
        if (isempty(name) || !text_is_clean(name, NAME_MAX_BYTES) || value->type == PT_NONE || value->type == PT_STRV)
                return -EINVAL;
        if (!call->layout)
                call->layout = json_object();
        json = call->layout ? value_to_json(value) : NULL;
        if (!json)
                return -ENOMEM;
        return json_object_set_new(call->layout, name,
                                   json_pack("[s, o]", type_signature(value->type), json)) < 0
                       ? -ENOMEM
                       : 0;
}

int service_get_made(PtContext *ctx, const char *name, PtValue *ret) {
        const ModuleCall *call = call_of(ctx);
        int r;

        json_t *made = call->layout_made;

        if (call->op == MODULE_OP_PLAN || call->op == MODULE_OP_CHECK)
                made = inventory_made_layout(call->inventory, module_call_provider(call));
        else if (call->op != MODULE_OP_CHANGE && call->op != MODULE_OP_VERIFY)
                return -EPERM;
        r = layout_get(made, strempty(name), ret);
        return r == -ENOENT ? -ENODATA : r;
}

int service_put_room(PtContext *ctx, const PtDemand *view, uint32_t total, uint32_t available) {
        ModuleCall *call = call_of(ctx);
        const Demand *demand = demand_of(call, view);

        if (call->op != MODULE_OP_LAYOUT)
                return -EPERM;
        if (!demand || available > total)
                return -EINVAL;
        if (call->rooms) {
                DemandRoom *room = &call->rooms[demand - call->demands];

                room->put = true;
                room->total = total;
                room->available = available;
        }
        return 0;
}

int service_put_size(PtContext *ctx, const PtDemand *view, const char *name, uint32_t size) {
        ModuleCall *call = call_of(ctx);
        const Demand *demand = demand_of(call, view);
        DemandRoom *room;

        if (call->op != MODULE_OP_LAYOUT)
                return -EPERM;
        if (!demand || isempty(name) || !text_is_clean(name, DEMAND_NAME_SIZE - 1))
                return -EINVAL;
        if (!call->rooms)
                return 0;
        room = &call->rooms[demand - call->demands];
        (void) snprintf(room->name, sizeof(room->name), "%s", name);
        room->size = size;
        return 0;
}

int service_put_capacity(PtContext *ctx, const char *profile, uint32_t remaining) {
        ModuleCall *call = call_of(ctx);

        if (call->op != MODULE_OP_CAPACITY && call->op != MODULE_OP_LAYOUT)
                return -EPERM;
        if (!text_is_clean(strempty(profile), NAME_MAX_BYTES))
                return -EINVAL;
        if (!call->items)
                call->items = json_object();
        return !call->items || json_object_set_new(call->items, strempty(profile), json_integer(remaining)) < 0 ? -ENOMEM : 0;
}

int service_put_profile(PtContext *ctx, const char *profile, const char *name, const PtValue *value) {
        ModuleCall *call = call_of(ctx);
        json_t *columns, *json;

        if (call->op != MODULE_OP_CAPACITY)
                return -EPERM;
        if (!json_object_get(call->items, strempty(profile)) || isempty(name) || !text_is_clean(name, NAME_MAX_BYTES) || !value ||
            value->type == PT_NONE)
                return -EINVAL;
        if (!call->profiles)
                call->profiles = json_object();
        columns = json_object_get(call->profiles, strempty(profile));
        if (!columns) {
                columns = json_object();
                if (json_object_set_new(call->profiles, strempty(profile), columns) < 0)
                        return -ENOMEM;
        }
        json = value_to_json(value);
        return !json || json_object_set_new(columns, name, json) < 0 ? -ENOMEM : 0;
}

int service_put_provider(PtContext *ctx, const char *provider) {
        ModuleCall *call = call_of(ctx);

        if (call->op != MODULE_OP_DESCRIBE)
                return -EPERM;
        if (!id_is_valid(provider))
                return -EINVAL;
        (void) strcpy(call->description.provider, provider);
        return 0;
}

int layout_get(json_t *layout, const char *name, PtValue *ret) {
        json_t *entry = json_object_get(layout, name), *json = json_array_get(entry, 1);
        const char *type = json_string_value(json_array_get(entry, 0));
        PtValue value = { 0 };
        int r;

        if (!type || !json)
                return -ENOENT;
        if (type[0] == PT_STRING) {
                *ret = PT_VALUE_STRING(json_string_value(json));
                return ret->s ? 0 : -EINVAL;
        }
        r = value_from_json((uint32_t) type[0], json, name, &value, NULL);
        if (r >= 0)
                *ret = value;
        return r;
}

int module_call_run_layout(ModuleCall *call) {
        _cleanup_free_ const PtDemand **views = calloc(call->n_demands + 1, sizeof(PtDemand *));

        if (!views)
                return -ENOMEM;
        for (size_t i = 0; i < call->n_demands; i++)
                views[i] = &call->demands[i].view;
        return call->module->descriptor->layout(&call->context, call->views, views);
}
