/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An allocation: a consumer's claim on devices of one or more groups, all or nothing, outliving a power cycle. Owned by the
 * Manager's table. What is stored is the wish (requests, owner, lifetime) and the devices with their resource keys; how far
 * an activation got is in the runtime database. */

#include "allocation-state.h"
#include "lib/parse.h"
#include "policy.h"
#include "resource-keys.h"

typedef enum Lifetime {
        LIFETIME_PERSISTENT, /* until released */
        LIFETIME_UNIT,       /* as long as a systemd unit's invocation */
        LIFETIME_BUS,        /* as long as a bus name */
        LIFETIME_HOLD,       /* as long as somebody holds the pipe of Hold() */
        _LIFETIME_MAX,
        _LIFETIME_INVALID = -EINVAL,
} Lifetime;
DECLARE_STRING_TABLE(lifetime, Lifetime);

/* One device of a request with what moves along. Ids only: the device may be gone. */
typedef struct AssignedDevice {
        char device[ID_SIZE];   /* Device id */
        char **companions;      /* host device ids, NULL-terminated, without the device itself */
        json_t *records;        /* host devices of the bundle as in a job (lib/protocol.h DEVICE), for use after they went */
} AssignedDevice;

typedef struct Request {
        char *id;               /* unique in the allocation: "1", "2" … unless given */
        char *group;            /* group id */
        unsigned count;
        bool optional;
        char *name;             /* generated when blank */
        char *description;
        bool enabled;
        int order;
        int numa_node;          /* where it is wanted, by the choice "numa"; -1: anywhere */
        bool park_companions;
        SettingValues settings; /* the consumer's */
        AssignedDevice *devices;
        size_t n_devices;
        char **last;            /* device ids used last, NULL-terminated or NULL: preferred next time */
        char *status;           /* why an optional request got nothing; "" otherwise */
} Request;

typedef struct Job Job;

struct Allocation {
        char id[UUID_TEXT_SIZE];
        char *consumer;         /* a label, never an authority */
        uid_t owner;            /* who may act on it */
        uid_t node_uid;         /* whom device nodes are given to */
        gid_t node_gid;
        AllocationState state;
        Lifetime lifetime;
        char *holder;           /* unit invocation id, bus name; "" otherwise */
        bool thick;             /* devices stay reserved while inactive */
        bool wait;              /* activate later when nothing is free now */
        bool holder_gone;       /* its bus name, unit or pipe went: it is released when its job ends */
        bool releasing;         /* a release is under way; after a crash it is finished */
        bool restart_required;  /* an edit acts at the next activation */
        Request *requests;
        size_t n_requests;
        json_t *identities;     /* {device id: RECORD}: what the devices used last and now were, identity.h; NULL for none */
        Fault failure;          /* of the last job, empty when it succeeded */
        Job *job;               /* the one under way, NULL for none */
        struct Operation *stuck; /* its last operation while a child of it is stuck in the kernel, NULL otherwise */
        struct Follow *follow;   /* devices that are away and may come back; owned, NULL for none */
        json_t *away;            /* ids of devices that the record of the last run says were away */
        struct Leftover *leftover; /* the same for a child of an earlier run of the service; owned */
        Plan applied;           /* the steps begun or to come of the activation, as recorded in the runtime database */
        char **observed;        /* what was observed before each of them; NULL entry: not begun */
        uint64_t confirm_usec;  /* CLOCK_BOOTTIME: undone then unless confirmed; 0: nobody has to confirm */
        uid_t confirm_uid;      /* whose activation that is */
        json_t *in_force;       /* {request id: {setting: value}}: given when it was activated, by group or consumer; NULL: not active */
        json_t *notes;          /* {host device: text}: what modules noted before an activation, for the probe; NULL: nothing */
        uint64_t created_usec;  /* CLOCK_REALTIME */
        UT_hash_handle hh;      /* in the manager, by id */
};

/* From Allocate()'s arguments or a stored body: {consumer, owner, node-uid, node-gid, lifetime, holder, thick, wait, created,
 * requests: [REQUEST…]}. Groups are looked up in `policy`; a stored request may name a group that is gone. */
int allocation_from_json(const char *id, json_t *body, Policy *policy, bool stored, Allocation **ret, Fault *fault);
Allocation *allocation_free(Allocation *allocation);
DEFINE_CLEANUP(Allocation *, allocation_free)
json_t *allocation_to_json(const Allocation *allocation);  /* the body to store */
json_t *request_to_json(const Request *request);           /* one element of Requests */
/* Whether two sets of requests ask for the same. */
bool allocation_same_wish(const Allocation *a, const Allocation *b);
/* Replaces requests; keeps the devices of those whose id and group stay. */
int allocation_set_requests(Allocation *allocation, json_t *requests, Policy *policy, Fault *fault);

/* The list of an allocation, 1 … REQUESTS_MAX entries. */
int requests_from_json(json_t *requests, Policy *policy, bool stored, Request **ret, size_t *ret_n, Fault *fault);
void requests_free(Request *requests, size_t n);

int request_assign(Request *request, const Device *device, HostDevice *const *bundle);
/* Notes its devices as the ones used last. */
int request_remember(Request *request);
void request_clear_devices(Request *request);
size_t allocation_count_devices(const Allocation *allocation);
/* Whether a request with the same id and group is there. */
bool allocation_has_request(const Allocation *allocation, const Request *request);
/* Empties `applied`, `observed` and `in_force`. */
void allocation_clear_steps(Allocation *allocation);
bool allocation_has_device(const Allocation *allocation, const char *id); /* also as a companion */
/* Which device of the allocation the host's device with this id is: itself as a companion. NULL for none. */
const char *allocation_device_of_host(const Allocation *allocation, const char *id);
