/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-internal.h"

static int find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *error) {
        Bus *b = userdata;
        char id[ID_SIZE];
        Job *job = bus_path_parse(path, OBJECT_JOB, id) >= 0 ? manager_find_job(b->manager, id) : NULL;

        if (!job)
                return 0;
        b->found[OBJECT_JOB] = (BusObject) { b, job };
        *ret_found = &b->found[OBJECT_JOB];
        return 1;
}

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        Bus *b = userdata;
        size_t n = 0;
        const char **ids = calloc(HASH_COUNT(b->manager->jobs) + 1, sizeof(char *));
        int r;

        if (!ids)
                return -ENOMEM;
        for (Job *job = b->manager->jobs; job; job = job->hh.next)
                ids[n++] = job->id;
        r = bus_nodes(OBJECT_JOB, ids, n, ret_nodes);
        free(ids);
        return r;
}

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                    void *userdata, sd_bus_error *error) {
        const Job *job = ((BusObject *) userdata)->object;
        const char *text = "";

        if (streq(property, "Operation"))
                text = job->operation;
        else if (streq(property, "State"))
                text = job_state_to_string(job->state);
        else if (streq(property, "Step"))
                text = job->step;
        else if (streq(property, "Result"))
                text = job->result;
        else if (job->fault.code != FAULT_NONE)
                text = fault_code_to_string(job->fault.code);
        return sd_bus_message_append(reply, "s", text);
}

static int get_message(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                       void *userdata, sd_bus_error *error) {
        const Job *job = ((BusObject *) userdata)->object;

        return sd_bus_message_append(reply, "s", strempty(job->fault.message));
}

static int get_progress(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Job *job = ((BusObject *) userdata)->object;

        return sd_bus_message_append(reply, "d", job->progress);
}

static int get_objects(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Job *job = ((BusObject *) userdata)->object;
        int r = sd_bus_message_open_container(reply, 'a', "o");

        for (size_t i = 0; job->objects[i] && r >= 0; i++) {
                char object[BUS_PATH_SIZE];
                const char *id = strchr(job->objects[i], '/');
                bus_path(startswith(job->objects[i], "allocations/") ? OBJECT_ALLOCATION : OBJECT_DEVICE, id + 1,
                         object);
                r = sd_bus_message_append_basic(reply, 'o', object);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* ---- Wait ---- */

/* A caller that waits for the end: its message stays with the job's id. */
struct Waiter {
        sd_bus_message *message;
        char job[ID_SIZE];
        struct Waiter *next;
};

static int reply_result(sd_bus_message *m, const Job *job) {
        return sd_bus_reply_method_return(m, "sss", job->result,
                                          job->fault.code == FAULT_NONE ? "" : fault_code_to_string(job->fault.code),
                                          strempty(job->fault.message));
}

void bus_jobs_settle(Bus *b, const Job *job) {
        for (struct Waiter **p = &b->waiters; *p;) {
                struct Waiter *waiter = *p;
                if (!streq(waiter->job, job->id)) {
                        p = &waiter->next;
                        continue;
                }
                *p = waiter->next;
                (void) reply_result(waiter->message, job);
                sd_bus_message_unref(waiter->message);
                free(waiter);
        }
}

void bus_jobs_free(Bus *b) {
        while (b->waiters) {
                struct Waiter *waiter = b->waiters;
                b->waiters = waiter->next;
                sd_bus_message_unref(waiter->message);
                free(waiter);
        }
}

static int method_wait(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        const Job *job = object.object;
        struct Waiter *waiter;
        int r = bus_no_options(m, "the options of Wait", error);

        if (r < 0)
                return r;
        if (job->state == JOB_DONE)
                return reply_result(m, job);
        /* The bus bounds how many answers a caller may wait for, but not how many calls that want none. */
        if (sd_bus_message_get_expect_reply(m) <= 0)
                return 1;
        waiter = calloc(1, sizeof(struct Waiter));
        if (!waiter)
                return bus_error_from_fault(error, -ENOMEM, NULL);
        waiter->message = sd_bus_message_ref(m);
        memcpy(waiter->job, job->id, sizeof(waiter->job));
        waiter->next = object.bus->waiters;
        object.bus->waiters = waiter;
        return 1;
}

/* Who started it, and holders of allocate-any. 1: yes; 0: asked again later. */
static int auth_job(sd_bus_message *m, const BusObject *object, sd_bus_error *error) {
        const Job *job = object->object;
        Caller caller;
        int r = auth_caller(object->bus, m, &caller, error);

        if (r < 0)
                return r;
        return caller.uid == job->uid ? 1 : auth_check(object->bus, m, RIGHT_ALLOCATE_ANY, NULL, error);
}

static int method_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        Job *job = object.object;
        _cleanup_fault_ Fault fault = { 0 };
        int r = bus_no_options(m, "the options of Cancel", error);

        if (r >= 0)
                r = auth_job(m, &object, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_cancel_job(object.bus->manager, job, &fault);
        return r < 0 ? bus_error_from_fault(error, r, &fault) : sd_bus_reply_method_return(m, NULL);
}

static int get_deadline(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Job *job = ((BusObject *) userdata)->object;

        return sd_bus_message_append(reply, "t", job->deadline_usec);
}

static int method_confirm(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        Job *job = object.object;
        _cleanup_fault_ Fault fault = { 0 };
        BusCall *call = NULL;
        int r = bus_no_options(m, "the options of Confirm", error);

        if (r >= 0)
                r = auth_job(m, &object, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = bus_call_new(object.bus, m, OBJECT_JOB, &call);
        if (r >= 0)
                r = manager_confirm_job(object.bus->manager, job, bus_call_done_empty, call, &fault);
        if (r >= 0)
                return 1;
        bus_call_free(call);
        return bus_error_from_fault(error, r, &fault);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Operation", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Step", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Progress", "d", get_progress, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Objects", "ao", get_objects, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Result", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Error", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ErrorMessage", "s", get_message, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Deadline", "t", get_deadline, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_METHOD_WITH_ARGS("Wait", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("s", result, "s", error, "s", message), method_wait,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_cancel,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Confirm", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_confirm,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int bus_register_jobs(Bus *b) {
        int r = sd_bus_add_fallback_vtable(b->bus, NULL, bus_prefix(OBJECT_JOB), bus_interface(OBJECT_JOB), vtable, find,
                                           b);

        return r < 0 ? r : sd_bus_add_node_enumerator(b->bus, NULL, bus_prefix(OBJECT_JOB), enumerate, b);
}
