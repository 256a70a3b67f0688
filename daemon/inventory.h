/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* All devices that modules offer, with their fields. Never stored: it is read from the host at every start.
 *
 * A Device is one host device seen by one module. It is created when the source reports a host device that a module's filter
 * wants, filled by describe(), filled again when the host device changes and dropped when it goes. A module whose describe()
 * returns -ENODEV declines the host device. Slow fields are read by the worker's observer once somebody asks (observe.c)
 * and then kept. */

#include "breadcrumb.h"
#include "finding.h"
#include "host-device.h"
#include "lib/fault.h"
#include "lib/parse.h"
#include "lib/plan.h"
#include "loader.h"
#include "source.h"

typedef struct Group Group;
typedef struct Allocation Allocation;
typedef struct Provider Provider;

/* One field without its type, which is in the module's table: strings are interned, lists owned. */
typedef union FieldData {
        bool b;
        int32_t i;
        uint32_t u;
        int64_t x;
        uint64_t t;
        const char *s;
        char **strv;
} FieldData;

typedef enum SlowState {
        SLOW_UNKNOWN,
        SLOW_READING,
        SLOW_FRESH,
        SLOW_FAILED,
} SlowState;

typedef struct FieldModelKey {
        const Module *module;
        uint32_t vendor, product, class_code;
        uint32_t part; /* 1: a slot of such a device, 0: such a device. No bool: keys are compared as bytes */
} FieldModelKey;

/* The values of devices of one model; see field-model.h. */
typedef struct FieldModel {
        FieldModelKey key;
        size_t references;
        UT_hash_handle hh; /* in the inventory */
        uint64_t known;
        FieldData data[]; /* module->n_fields */
} FieldModel;

struct Device {
        /* What conditions look at lies together: with a hundred rules the caches decide. */
        Module *module;
        uint64_t known;            /* bit per field: filled */
        uint64_t own;              /* bit per field: in own_fields */
        FieldData *own_fields;     /* one for each bit, in order */
        FieldModel *model;         /* the values of all fields that are not `own` (field-model.h) */
        PtRole role;
        SlowState slow;
        Provider *provider;        /* that made it, or that it is itself (provider.h); NULL for none */
        UT_hash_handle hh;         /* in the inventory, by id */
        const char *id;            /* "pci-0000-3b-00-0"; the host device's where it is the same */
        HostDevice *host;
        const char *vendor, *name; /* interned, never NULL; a device without a name has its sysname */
        bool outdated;             /* what is being read differs since */
        bool failed;               /* a give-back failed: held until reconcile succeeds */
        uint8_t readings_failed;   /* how often in a row its slow fields could not be read, while `unrecorded` */
        uint32_t n_slots;          /* devices that describe() says it could make */
        const char *slow_driver;   /* bound when the slow fields were read; interned, NULL for none */
        char *blob;                /* what observe() found out beside the fields; NULL: unknown or nothing */
        Group **groups;            /* membership, maintained by membership.c; NULL-terminated or NULL */
        Allocation *allocation;    /* who claims it (directly or as a companion); maintained by the allocations */
        char *quarantine;          /* reason; NULL: none */
        json_t *health;            /* what its last probe found, as in lib/protocol.h; NULL: nothing */
        json_t *last_reset;        /* reset-report.h; NULL: none since the service runs and the device is there */
        json_t *unrecorded;        /* identity-use.h: {allocation: true} whose record of it is incomplete; NULL: none */
        Device *next_offer;        /* of the same host device */
        uint64_t serial;           /* order of appearance, for stable listing */
        char own_id[];             /* where the id is no other's */
};

typedef struct InventoryEvents {
        void *userdata;
        void (*added)(void *userdata, Device *device);
        /* Bits of the fields that differ now; driver, names and state may differ too. */
        void (*changed)(void *userdata, Device *device, uint64_t fields);
        /* It can still be found. */
        void (*removed)(void *userdata, Device *device);
        /* A rescan came to its end. May be NULL. */
        void (*scanned)(void *userdata);
        /* A module asked for what only observe() can find out. May be NULL. */
        void (*want_slow)(void *userdata, Device *device);
        /* The layout that was made of a provider; NULL for none. Borrowed. */
        json_t *(*made_layout)(void *userdata, const Device *provider);
} InventoryEvents;

typedef struct Inventory Inventory;

/* `event` and `breadcrumb` may be NULL (tests). */
int inventory_new(sd_event *event, const Sysfs *sysfs, Loader *loader, Breadcrumb *breadcrumb,
                  const InventoryEvents *events, Inventory **ret);
Inventory *inventory_free(Inventory *inventory);
DEFINE_CLEANUP(Inventory *, inventory_free)
int inventory_start(Inventory *inventory, Fault *fault);
Source *inventory_source(Inventory *inventory);
Interner *inventory_interner(Inventory *inventory);
Breadcrumb *inventory_breadcrumb(Inventory *inventory);
/* Grows with every change of any device. */
uint64_t inventory_generation(const Inventory *inventory);

Device *inventory_find(Inventory *inventory, const char *id);
Device *inventory_first(Inventory *inventory); /* iterate with device->hh.next */
size_t inventory_count(const Inventory *inventory);

/* Where the value of a field lies; only for one that is known. */
static inline const FieldData *device_field_data(const Device *device, unsigned field) {
        uint64_t bit = UINT64_C(1) << field;

        return device->own & bit ? device->own_fields + __builtin_popcountll(device->own & (bit - 1))
                                 : device->model->data + field;
}

/* A field as a value that borrows from the device. -ENODATA while it is not known, -ENOENT when the type has no such. */
int device_get_field(const Device *device, unsigned field, PtValue *ret);
int device_get_field_by_name(const Device *device, const char *name, PtValue *ret);
/* Stores what the observer read, {name: value}, null for what cannot be known; reports through `changed` and returns the
 * bits that changed. Unknown names and values of the wrong type are logged and left out. */
uint64_t device_put_observed(Inventory *inventory, Device *device, json_t *fields, const char *blob);

/* Start: a slot that somebody has is there before its provider was asked how many it makes; it stays while it has its
 * allocation. */
void inventory_restore_slot(Inventory *inventory, HostDevice *whole, uint32_t number);

/* The functions that move together with the device: the device first, then the other non-bridge members of its IOMMU group;
 * only itself for types that share their host device. NULL-terminated, new memory; the host devices are borrowed. */
int inventory_bundle(Inventory *inventory, const Device *device, HostDevice ***ret);

/* Settings of the request at hand, by the module's table. */
typedef struct SettingValues SettingValues;

/* The module's ops, each behind the breadcrumb. `settings` may be NULL (defaults). */
typedef struct PlanRequest {
        PtVerb verb;
        uid_t uid;
        gid_t gid;
        bool park_companions;
        char uuid[UUID_TEXT_SIZE]; /* "" for none */
        const SettingValues *settings;
} PlanRequest;

typedef struct KeySpec {
        char *key;
        bool exclusive;
} KeySpec;
typedef struct KeyList {
        KeySpec *items;
        size_t n_items;
} KeyList;
void key_list_done(KeyList *list);
#define _cleanup_keys_ _cleanup_(key_list_done)
int key_list_add(KeyList *list, const char *key, bool exclusive); /* merges: exclusive wins */

/* Keys of the whole bundle, by every module that offers a member; "SUBSYSTEM:SYSNAME" of members that none offers; and
 * "iommu:N", shared for types that share their host device. */
int inventory_uses(Inventory *inventory, Device *device, KeyList *ret, Fault *fault);
/* What the module finds; `request` NULL when nobody asks yet. */
int inventory_check(Inventory *inventory, Device *device, const PlanRequest *request, FindingList *list, Fault *fault);
/* Appends the steps. */
int inventory_plan(Inventory *inventory, Device *device, const PlanRequest *request, Plan *plan, Fault *fault);
/* Attachments as JSON: [{device, driver, libvirt-type, address, nodes, properties, environment}…]. */
int inventory_guest(Inventory *inventory, Device *device, const PlanRequest *request, json_t **ret, Fault *fault);
/* Whether the device that appeared is the one with these identities that vanished; -ENODEV when it is not. With a blocker in
 * `list` it is not either, and people want to know. */
int inventory_follow(Inventory *inventory, Device *device, json_t *identities, bool same_place, const PlanRequest *request,
                     FindingList *list);
/* Identities, strongest first: [{kind, strength, condition, breaks}…]. */
int inventory_identities(Inventory *inventory, Device *device, json_t **ret, Fault *fault);
