/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Operations on allocations: make, edit, activate, deactivate, release. */

#include <stdio.h>
#include <systemd/sd-id128.h>

#include "guard.h"
#include "identity-use.h"
#include "json-util.h"
#include "log.h"
#include "operation.h"
#include "pending.h"

static size_t count_of_uid(Manager *m, uid_t uid) {
        size_t n = 0;

        for (Allocation *a = m->allocations; a; a = a->hh.next)
                n += a->owner == uid;
        return n;
}

static int check_limits(Manager *m, const Caller *caller, Fault *fault) {
        if (m->stopping)
                return fault_set(fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping");
        if (m->readiness == READINESS_LIMITED)
                return fault_set(fault, -EROFS, FAULT_READ_ONLY_STATE, "the state can't be written: %s",
                                 strempty(store_health_reason(m->store)));
        if (HASH_COUNT(m->allocations) >= ALLOCATIONS_MAX)
                return fault_set(fault, -E2BIG, FAULT_LIMIT_REACHED, "there are %u allocations already",
                                 ALLOCATIONS_MAX);
        if (caller->uid != 0 && count_of_uid(m, caller->uid) >= ALLOCATIONS_PER_UID_MAX)
                return fault_set(fault, -E2BIG, FAULT_LIMIT_REACHED, "user %u has %u allocations already", caller->uid,
                                 ALLOCATIONS_PER_UID_MAX);
        return 0;
}

/* What a caller without allocate-any may name: itself. */
static int check_uid(const Caller *caller, unsigned uid, const char *what, Fault *fault) {
        if (uid == caller->uid || caller->uid == 0 || caller->any)
                return 0;
        return fault_set(fault, -EACCES, FAULT_NOT_AUTHORIZED,
                         "only holders of the right allocate-any may name another user as %s", what);
}

typedef struct AllocateOptions {
        char *uuid, *lifetime, *holder, *plan;
        bool thick, wait, activate;
        unsigned owner, node_uid, node_gid;
} AllocateOptions;

static void allocate_options_done(AllocateOptions *o) {
        free(o->uuid);
        free(o->lifetime);
        free(o->holder);
        free(o->plan);
}

static bool is_invocation_id(const char *text) {
        /* Zeros alone would mean the service's own unit. */
        return strlen(text) == 32 && strspn(text, "0123456789abcdefABCDEF") == 32 && strspn(text, "0") < 32;
}

/* As the D-Bus specification has it: elements between dots, at least two. */
static bool is_bus_name(const char *text) {
        static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
        size_t elements = 0;

        if (strlen(text) > 255)
                return false;
        text += *text == ':';
        for (;; text++) {
                size_t n = strspn(text, valid);

                if (n == 0)
                        return false;
                elements++;
                text += n;
                if (*text != '.')
                        return *text == '\0' && elements >= 2;
        }
}

/* A holder that can't be watched would never let go. */
static int check_holder(const AllocateOptions *o, const char *sender, Fault *fault) {
        const char *holder = o->holder ? o->holder : sender;

        if (!o->lifetime || streq(o->lifetime, "persistent"))
                return 0;
        if (streq(o->lifetime, "unit") ? is_invocation_id(strempty(o->holder)) : is_bus_name(strempty(holder)))
                return 0;
        return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                         streq(o->lifetime, "unit")
                                 ? "the holder of lifetime unit must be an invocation id, 32 hexadecimal digits, not '%.64s'"
                                 : "the holder of lifetime bus or hold must be a bus name, not '%.64s'",
                         strempty(o->holder));
}

static int parse_options(const Caller *caller, json_t *options, AllocateOptions *o, Fault *fault) {
        const JsonKey keys[] = {
                { "uuid", JSON_KEY_STRING, &o->uuid, UUID_TEXT_SIZE, false },
                { "owner-uid", JSON_KEY_UINT, &o->owner, 0, false },
                { "node-uid", JSON_KEY_UINT, &o->node_uid, 0, false },
                { "node-gid", JSON_KEY_UINT, &o->node_gid, 0, false },
                { "lifetime", JSON_KEY_STRING, &o->lifetime, 16, false },
                { "holder", JSON_KEY_STRING, &o->holder, NAME_MAX_BYTES, false },
                { "thick", JSON_KEY_BOOL, &o->thick, 0, false },
                { "wait", JSON_KEY_BOOL, &o->wait, 0, false },
                { "activate", JSON_KEY_BOOL, &o->activate, 0, false },
                { "plan", JSON_KEY_STRING, &o->plan, 64, false },
                { 0 },
        };
        int r;

        o->owner = caller->uid;
        o->node_uid = o->node_gid = UINT32_MAX;
        r = json_parse_object(options, keys, "the options of Allocate", FAULT_UNKNOWN_OPTION, fault);
        if (r >= 0)
                r = check_holder(o, caller->sender, fault);
        if (r >= 0)
                r = check_uid(caller, o->owner, "owner", fault);
        if (r >= 0 && o->node_uid != UINT32_MAX)
                r = check_uid(caller, o->node_uid, "owner of the device node", fault);
        if (r >= 0 && o->node_gid != UINT32_MAX && o->node_gid != caller->gid && caller->uid != 0 && !caller->any)
                r = fault_set(fault, -EACCES, FAULT_NOT_AUTHORIZED,
                              "only holders of the right allocate-any may name another group for the device node");
        return r;
}

static json_t *allocation_body(const Caller *caller, const AllocateOptions *o, const char *consumer, json_t *requests) {
        return json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:b, s:b, s:O}", "consumer", consumer, "owner",
                         (json_int_t) o->owner, "node-uid",
                         (json_int_t) (o->node_uid == UINT32_MAX ? o->owner : o->node_uid), "node-gid",
                         (json_int_t) o->node_gid, "lifetime", o->lifetime ? o->lifetime : "persistent", "holder",
                         o->holder ? o->holder : strempty(caller->sender), "thick", o->thick, "wait", o->wait,
                         "requests", requests);
}

/* ---- allocate ---- */

static void start_at_once(Manager *m, Allocation *a, const char *token, uid_t uid) {
        _cleanup_(json_decrefp) json_t *options = isempty(token) ? NULL : json_pack("{s:s}", "plan", token);
        _cleanup_fault_ Fault fault = { 0 };
        Job *job;

        if (operation_activate(m, a, uid, options, &job, &fault) < 0)
                fault_copy(&a->failure, &fault);
}

static void tell_groups(Manager *m, const Allocation *a) {
        for (size_t i = 0; i < a->n_requests; i++)
                manager_changed(m, OBJECT_GROUP, a->requests[i].group, "Allocations");
}

static void on_allocated(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        Manager *m = p->m;
        Allocation *a = p->allocation;

        if (result < 0) {
                key_table_release(m->keys, a->id);
                pending_finish(p, result, fault, NULL);
                return;
        }
        p->allocation = NULL;
        p->reserved[0] = '\0'; /* it is there now */
        HASH_ADD_STR(m->allocations, id, a);
        log_message(LOG_INFO, LOG_EVENT_ALLOCATED, log_fields("ALLOCATION", a->id, "CONSUMER", a->consumer),
                    "allocated for %s", a->consumer);
        if (a->thick)
                manager_devices_changed(m, a);
        if (m->events.added)
                m->events.added(m->events.userdata, OBJECT_ALLOCATION, a->id);
        tell_groups(m, a);
        if (p->activate)
                start_at_once(m, a, p->text, p->uid);
        identity_resume_use(m, a);
        pending_finish(p, 0, NULL, a->id);
}

/* A thick allocation reserves its devices now. */
static int reserve(Manager *m, Allocation *a, StoreTxn *txn, Fault *fault) {
        _cleanup_assignments_ AssignmentList list = { 0 };
        int r = assign_devices(m, a, a->id, NULL, false, &list, fault);

        for (size_t i = 0; i < list.n_items && r >= 0; i++)
                r = request_assign(&a->requests[list.items[i].request], list.items[i].device, list.items[i].bundle);
        for (size_t i = 0; i < a->n_requests && r >= 0; i++)
                r = request_remember(&a->requests[i]);
        if (r >= 0)
                r = identity_note_use(m, a);
        for (size_t i = 0; i < list.keys.n_items && r >= 0; i++)
                store_claim(txn, list.keys.items[i].key, list.keys.items[i].exclusive, a->id);
        if (r < 0)
                key_table_release(m->keys, a->id);
        return r;
}

/* 1: it is there already, with the same wish. */
static int check_existing(Manager *m, const Caller *caller, const Allocation *wanted, Fault *fault) {
        Allocation *there = manager_find_allocation(m, wanted->id);

        if (!there)
                return pending_reserves(m, wanted->id)
                               ? fault_set(fault, -EEXIST, FAULT_ALLOCATION_EXISTS,
                                           "an allocation with this UUID is being made")
                               : 0;
        if ((there->owner == caller->uid || caller->uid == 0) && allocation_same_wish(there, wanted))
                return 1;
        return fault_set_object(fault, -EEXIST, FAULT_ALLOCATION_EXISTS, wanted->id,
                                "there is an allocation %s already, of another owner or with other requests",
                                wanted->id);
}

static int submit(Manager *m, const Caller *caller, const AllocateOptions *o, Allocation *a, OpDone done, void *userdata,
                  Fault *fault) {
        _cleanup_(store_abandonp) StoreTxn *txn = store_begin(m->store, STORE_STATE);
        _cleanup_(json_decrefp) json_t *body = NULL;
        Pending *p = NULL;
        int r = txn ? 0 : -ENOMEM;

        if (r >= 0 && a->thick)
                r = reserve(m, a, txn, fault);
        if (r >= 0) {
                body = allocation_to_json(a);
                p = pending_new(m, done, userdata);
                if (!body || !p || (o->plan && !(p->text = strdup(o->plan))))
                        r = -ENOMEM;
        }
        if (r < 0) {
                if (p)
                        pending_free(p);
                allocation_free(a);
                return r == -ENOMEM ? fault_oom(fault) : r;
        }
        p->allocation = a;
        p->activate = o->activate;
        p->uid = caller->uid;
        snprintf(p->reserved, sizeof(p->reserved), "%s", a->id);
        store_insert(txn, TABLE_ALLOCATIONS, a->id, NULL, body);
        return pending_commit(p, TAKE_PTR(txn), on_allocated, fault);
}

/* Devices are reserved by what the host needs now. */
typedef struct Reserving {
        Manager *m;
        Caller caller;
        AllocateOptions options;
        Allocation *allocation; /* owned */
        OpDone done;
        void *userdata;
} Reserving;

static void reserving_free(Reserving *reserving) {
        allocate_options_done(&reserving->options);
        allocation_free(reserving->allocation);
        free(reserving);
}

static int submit_late(Reserving *reserving, int result, Fault *fault) {
        Manager *m = reserving->m;
        int r;

        if (result == -ESHUTDOWN)
                return fault_set(fault, result, FAULT_CANCELLED, "the service is about to end");
        /* Somebody else may have had the same wish meanwhile. */
        r = check_existing(m, &reserving->caller, reserving->allocation, fault);
        if (r == 1 && reserving->done)
                reserving->done(reserving->userdata, 0, NULL, reserving->allocation->id);
        return r != 0 ? r
                      : submit(m, &reserving->caller, &reserving->options, TAKE_PTR(reserving->allocation),
                               reserving->done, reserving->userdata, fault);
}

static void on_evidence(void *userdata, int result) {
        Reserving *reserving = userdata;
        _cleanup_fault_ Fault fault = { 0 };

        int r = submit_late(reserving, result, &fault);

        if (r < 0 && reserving->done)
                reserving->done(reserving->userdata, r, &fault, NULL);
        reserving_free(reserving);
}

static int submit_reserving(Manager *m, const Caller *caller, AllocateOptions *o, Allocation *a, OpDone done,
                            void *userdata, Fault *fault) {
        Reserving *reserving = calloc(1, sizeof(*reserving));

        if (!reserving) {
                allocation_free(a);
                return fault_oom(fault);
        }
        *reserving = (Reserving) {
                .m = m, .caller = *caller, .options = *o, .allocation = a, .done = done, .userdata = userdata,
        };
        reserving->caller.sender = NULL; /* borrowed; what it stands for is in the allocation */
        *o = (AllocateOptions) { 0 };
        guard_refresh(m->guard, on_evidence, reserving);
        return 0;
}

int manager_allocate(Manager *m, const Caller *caller, const char *consumer, json_t *requests, json_t *options,
                     OpDone done, void *userdata, Fault *fault) {
        _cleanup_(allocate_options_done) AllocateOptions o = { 0 };
        _cleanup_(allocation_freep) Allocation *a = NULL;
        _cleanup_(json_decrefp) json_t *body = NULL;
        char id[UUID_TEXT_SIZE];
        sd_id128_t random;
        int r = check_limits(m, caller, fault);

        if (r >= 0)
                r = parse_options(caller, options, &o, fault);
        if (r < 0)
                return r;
        if (o.uuid)
                r = parse_uuid(o.uuid, id);
        else if ((r = sd_id128_randomize(&random)) >= 0)
                sd_id128_to_uuid_string(random, id);
        if (r < 0)
                return fault_set(fault, r, FAULT_INVALID_VALUE,
                                 "'%.64s' is no UUID; wanted: 32 hexadecimal digits in five groups", strempty(o.uuid));
        body = allocation_body(caller, &o, consumer, requests);
        if (!body)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "the consumer's name is not valid text");
        r = allocation_from_json(id, body, m->policy, false, &a, fault);
        if (r >= 0)
                r = check_existing(m, caller, a, fault);
        if (r < 0)
                return r;
        if (r == 1) {
                if (done)
                        done(userdata, 0, NULL, id);
                return 0;
        }
        if (a->thick)
                return submit_reserving(m, caller, &o, TAKE_PTR(a), done, userdata, fault);
        return submit(m, caller, &o, TAKE_PTR(a), done, userdata, fault);
}

/* ---- edit ---- */

static void on_updated(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        Manager *m = p->m;
        Allocation *next = p->allocation, *a = manager_find_allocation(m, next->id);

        if (result >= 0 && !a)
                result = -ENOENT;
        if (result >= 0) {
                /* The edit was checked against what was there then; devices are taken over now. */
                static const char *const properties[] = { "Requests", "Devices", "Migratable", "RestartRequired" };
                json_t *requests = json_object_get(p->body, "requests");
                tell_groups(m, a);
                result = allocation_set_requests(a, requests, m->policy, NULL);
                if (allocation_state_holds(a->state))
                        a->restart_required = true;
                tell_groups(m, a);
                for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                        manager_changed(m, OBJECT_ALLOCATION, a->id, properties[i]);
        }
        pending_finish(p, result, fault, result >= 0 && a ? a->id : NULL);
        if (a)
                identity_resume_use(m, a);
        if (a && a->holder_gone) /* it could not be released while it was written */
                manager_holder_vanished(m, a);
}

int manager_update_allocation(Manager *m, const Caller *caller, Allocation *allocation, json_t *requests,
                              OpDone done, void *userdata, Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = allocation_to_json(allocation), *stored = NULL;
        _cleanup_(allocation_freep) Allocation *next = NULL;
        int r;

        if (!body)
                return fault_oom(fault);
        if (allocation->job)
                return fault_set_object(fault, -EBUSY, FAULT_WRONG_STATE, allocation->id,
                                        "job %s (%s) is under way for this allocation", allocation->job->id,
                                        allocation->job->operation);
        r = allocation_from_json(allocation->id, body, m->policy, true, &next, fault);
        if (r >= 0)
                r = allocation_set_requests(next, requests, m->policy, fault);
        if (r < 0)
                return r;
        for (size_t i = 0; i < allocation->n_requests && allocation_state_holds(allocation->state); i++)
                if (allocation->requests[i].n_devices > 0 && !allocation_has_request(next, &allocation->requests[i]))
                        return fault_set_object(fault, -EBUSY, FAULT_WRONG_STATE, allocation->id,
                                                "request '%s' holds devices; deactivate before it is taken away",
                                                allocation->requests[i].id);
        next->restart_required = allocation_state_holds(allocation->state);
        stored = allocation_to_json(next);
        Pending *p = stored ? pending_new(m, done, userdata) : NULL;
        if (!p)
                return fault_oom(fault);
        p->allocation = TAKE_PTR(next);
        p->body = json_pack("{s:O}", "requests", requests);
        snprintf(p->reserved, sizeof(p->reserved), "%s", allocation->id); /* no job begins meanwhile */
        return pending_put(p, TABLE_ALLOCATIONS, allocation->id, NULL, stored, on_updated, fault);
}

void manager_restart_required(Manager *m, const char *group) {
        for (Allocation *a = m->allocations; a; a = a->hh.next) {
                if (!allocation_state_holds(a->state) || a->restart_required)
                        continue;
                for (size_t i = 0; i < a->n_requests; i++)
                        if (streq(a->requests[i].group, group) && a->requests[i].n_devices > 0)
                                a->restart_required = true;
                if (a->restart_required)
                        manager_changed(m, OBJECT_ALLOCATION, a->id, "RestartRequired");
        }
}

/* ---- use ---- */

int manager_activate(Manager *m, const Caller *caller, Allocation *allocation, json_t *options, Job **ret, Fault *fault) {
        return operation_activate(m, allocation, caller->uid, options, ret, fault);
}

int manager_deactivate(Manager *m, const Caller *caller, Allocation *allocation, json_t *options, Job **ret,
                       Fault *fault) {
        return operation_deactivate(m, allocation, caller->uid, options, false, ret, fault);
}

int manager_release(Manager *m, const Caller *caller, Allocation *allocation, json_t *options, Job **ret, Fault *fault) {
        return operation_deactivate(m, allocation, caller->uid, options, true, ret, fault);
}

/* The wish ends with its holder, the guest's use does not: it drains. A job under way is waited for. */
void manager_holder_vanished(Manager *m, Allocation *allocation) {
        _cleanup_fault_ Fault fault = { 0 };
        Job *job;

        if (allocation->lifetime == LIFETIME_PERSISTENT)
                return;
        allocation->holder_gone = true;
        if (allocation->job && allocation->job->state != JOB_CONFIRMING) { /* operation_finish() comes back to it */
                if (job_waits_for_device(allocation->job))
                        (void) manager_cancel_job(m, allocation->job, NULL);
                return;
        }
        if (operation_deactivate(m, allocation, allocation->owner, NULL, true, &job, &fault) < 0)
                log_message(LOG_WARNING, LOG_EVENT_JOB_FAILED, log_fields("ALLOCATION", allocation->id),
                            "the allocation of %s could not be released after its holder went: %s",
                            allocation->consumer, strempty(fault.message));
}

int manager_group_allocations(Manager *m, const Group *group, Allocation ***ret, size_t *ret_n) {
        Allocation **list = calloc(HASH_COUNT(m->allocations) + 1, sizeof(Allocation *));
        size_t n = 0;

        if (!list)
                return -ENOMEM;
        for (Allocation *a = m->allocations; a; a = a->hh.next)
                for (size_t i = 0; i < a->n_requests; i++)
                        if (streq(a->requests[i].group, group->id)) {
                                list[n++] = a;
                                break;
                        }
        *ret = list;
        *ret_n = n;
        return 0;
}
