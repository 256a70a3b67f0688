/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One call of a module's op: the services that the op sees, the devices it may ask about, and what it
 * puts. Lives for the length of the call, on the caller's stack. What the op put is handed over only when
 * it succeeded. */

#include "inventory.h"
#include "settings.h"

typedef enum ModuleOp {
        MODULE_OP_DESCRIBE,
        MODULE_OP_USES,
        MODULE_OP_IDENTITY,
        MODULE_OP_CHECK,
        MODULE_OP_PLAN,
        MODULE_OP_GUEST,
        MODULE_OP_LAYOUT,
        MODULE_OP_CAPACITY,
        MODULE_OP_FOLLOW,
        MODULE_OP_CHANGE,
        MODULE_OP_VERIFY,
        _MODULE_OP_MAX,
} ModuleOp;
DECLARE_STRING_TABLE(module_op, ModuleOp);

/* One group's demand on a provider, with what a module may ask about it. */
typedef struct Demand {
        PtDemand view;
        const SettingValues *settings;
        bool (*accepts)(const struct Demand *demand, unsigned field, const PtValue *value);
        void *userdata; /* of accepts() */
} Demand;

/* What layout() put of one demand's room. */
#define DEMAND_NAME_SIZE 48
typedef struct DemandRoom {
        bool put;
        uint32_t total, available;
        char name[DEMAND_NAME_SIZE]; /* of one device, for people; "" unless put */
        uint32_t size;               /* of it, in the module's unit */
} DemandRoom;

/* What describe() put. */
typedef struct Description {
        uint64_t known; /* bit per field */
        FieldData fields[FIELDS_MAX];
        const char *vendor, *name; /* interned, NULL unless put */
        PtRole role;
        char provider[ID_SIZE]; /* host device; "" unless put */
        uint32_t n_slots;
        bool wants_slow; /* it asked for what only observe() can find out */
} Description;

typedef struct ModuleCall {
        PtContext context; /* first: what the op gets is a pointer to it */
        Inventory *inventory;
        const Module *module;
        ModuleOp op;
        HostDevice *const
                *hosts; /* NULL-terminated: what the op may ask about; the first is the device itself */
        size_t n_hosts;
        PtDevice single_view, *views; /* of the hosts */
        const SettingValues *settings;
        const Demand *demands;         /* layout */
        size_t n_demands;
        DemandRoom *rooms;             /* layout: one a demand; NULL where nobody wants to know */
        json_t *layout_given;          /* plan of a provider: borrowed, NULL for none; see layout.h */
        json_t *layout_made;           /* change, verify: borrowed */
        int answer;                    /* of change */
        const PtFormer *former; /* of follow */
        struct Scrap *scraps; /* texts handed to the op, valid until it returns */

        Description description;
        KeyList keys;
        FindingList findings;
        Plan plan;
        json_t *items; /* identities or attachments, or what capacity() put: {profile: number} */
        json_t *profiles; /* what was put of them: {profile: {name: value}}; NULL: nothing */
        json_t *layout; /* {name: [type, value]}; NULL: none put */
} ModuleCall;

/* `hosts` and `settings` (NULL: defaults) stay the caller's. */
/* The device of the provider that made the one of the call; NULL for none. */
Device *module_call_provider(const ModuleCall *call);
int module_call_init(ModuleCall *call, Inventory *inventory, const Module *module, HostDevice *const *hosts,
                     const SettingValues *settings);
void module_call_done(ModuleCall *call);
#define _cleanup_call_ _cleanup_(module_call_done)
/* Runs the op behind the breadcrumb; `request` for check, plan and guest. A negative errno is the op's
 * own. */
int module_call_run(ModuleCall *call, ModuleOp op, const PlanRequest *request);

/* module-call-provider.c: services of providers' ops. */
int service_get_demand_setting(PtContext *ctx, const PtDemand *view, const char *setting, PtValue *ret);
int service_demand_accepts(PtContext *ctx, const PtDemand *view, const char *field, const PtValue *value);
int service_put_layout(PtContext *ctx, const char *name, const PtValue *value);
int service_get_made(PtContext *ctx, const char *name, PtValue *ret);
int service_put_size(PtContext *ctx, const PtDemand *view, const char *name, uint32_t size);
int service_put_profile(PtContext *ctx, const char *profile, const char *name, const PtValue *value);
int service_put_room(PtContext *ctx, const PtDemand *view, uint32_t total, uint32_t available);
int service_put_capacity(PtContext *ctx, const char *profile, uint32_t remaining);
int service_put_provider(PtContext *ctx, const char *provider);
int module_call_run_layout(ModuleCall *call);
/* A value of a layout {name: [type, value]}; texts are borrowed from it. */
int layout_get(json_t *layout, const char *name, PtValue *ret);

/* field-data.c: values of fields as a device keeps them. */
int field_data_set(Interner *interner, const PtValue *value, FieldData *ret);
void field_data_done(Interner *interner, uint32_t type, FieldData *data);
bool field_data_equal(uint32_t type, const FieldData *a, const FieldData *b);
void field_data_get(uint32_t type, const FieldData *data, PtValue *ret);
void description_done(Description *description, const PtField *fields, Interner *interner);

/* inventory.c: has the device observed, because a module asked for what it has no other way to know. */
void inventory_want_slow(Inventory *inventory, Device *device);
json_t *inventory_made_layout(const Inventory *inventory, const Device *provider);
