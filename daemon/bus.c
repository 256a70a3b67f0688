/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-internal.h"
#include "json-util.h"
#include "log.h"

/* ---- what the manager tells ---- */

static void on_added(void *userdata, ObjectKind kind, const char *id) {
        Bus *b = userdata;

        (void) bus_emit_added(b, kind, id);
        if (kind == OBJECT_JOB && b->named) {
                char path[BUS_PATH_SIZE];
                bus_path(kind, id, path);
                (void) sd_bus_emit_signal(b->bus, BUS_ROOT, bus_interface(OBJECT_MANAGER), "JobNew", "o", path);
        } else if (kind == OBJECT_ALLOCATION)
                bus_lifetime_added(b, manager_find_allocation(b->manager, id));
}

static void on_changed(void *userdata, ObjectKind kind, const char *id, const char *property) {
        char path[BUS_PATH_SIZE];

        bus_path(kind, id, path);
        bus_note_change(userdata, path, bus_interface(kind), property);
}

static void on_device_fields(void *userdata, Device *device, uint64_t fields) {
        static const char *const properties[] = { "Driver", "Name", "Vendor", "IommuGroup", "NumaNode", "Companions",
                                                  "State", "Allocatable", "Blockers" };

        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                on_changed(userdata, OBJECT_DEVICE, device->id, properties[i]);
        (void) bus_note_fields(userdata, device, fields);
}

static void on_removed(void *userdata, ObjectKind kind, const char *id) {
        Bus *b = userdata;

        (void) bus_emit_removed(b, kind, id);
        if (kind == OBJECT_ALLOCATION)
                bus_lifetime_removed(b, id);
}

static void on_job_removed(void *userdata, Job *job) {
        Bus *b = userdata;
        char path[BUS_PATH_SIZE];

        /* Whoever hears that a job is over finds everything it did. */
        bus_emit_changes(b);
        bus_jobs_settle(b, job);
        if (!b->named)
                return;
        bus_path(OBJECT_JOB, job->id, path);
        (void) sd_bus_emit_signal(b->bus, BUS_ROOT, bus_interface(OBJECT_MANAGER), "JobRemoved", "osss", path, job->result,
                                  job->fault.code == FAULT_NONE ? "" : fault_code_to_string(job->fault.code),
                                  strempty(job->fault.message));
}

static void on_provider_changed(void *userdata, const char *device) {
        bus_note_provider(userdata, device);
}

static void on_use_changed(void *userdata, const char *device) {
        bus_note_use(userdata, device);
}

static void on_device_lost(void *userdata, Allocation *allocation, const char *device, const char *why) {
        Bus *b = userdata;
        char path[BUS_PATH_SIZE], device_path[BUS_PATH_SIZE];

        if (!b->named)
                return;
        bus_emit_changes(b);
        bus_path(OBJECT_ALLOCATION, allocation->id, path);
        bus_path(OBJECT_DEVICE, device, device_path);
        (void) sd_bus_emit_signal(b->bus, path, bus_interface(OBJECT_ALLOCATION), "DeviceLost", "os", device_path, why);
}

static const char *field_signature(uint32_t type) {
        static char letter[2];

        if (type == PT_STRV)
                return "as";
        letter[0] = (char) type;
        return letter;
}

static void on_device_followed(void *userdata, Allocation *allocation, const char *former, Device *device) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        char path[BUS_PATH_SIZE], device_path[BUS_PATH_SIZE], former_path[BUS_PATH_SIZE];
        const PtField *fields = device->module->descriptor->fields;
        Bus *b = userdata;
        PtValue value;
        int r;

        if (!b->named)
                return;
        bus_emit_changes(b);
        bus_path(OBJECT_ALLOCATION, allocation->id, path);
        bus_path(OBJECT_DEVICE, device->id, device_path);
        bus_path(OBJECT_DEVICE, former, former_path);
        r = sd_bus_message_new_signal(b->bus, &signal, path, bus_interface(OBJECT_ALLOCATION), "DeviceChanged");
        if (r >= 0)
                r = sd_bus_message_append(signal, "o", device_path);
        if (r >= 0)
                r = sd_bus_message_open_container(signal, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(signal, "{sv}", "former", "o", former_path);
        for (unsigned i = 0; r >= 0 && fields[i].name; i++)
                if (fields[i].flags & PT_FIELD_VOLATILE && device_get_field(device, i, &value) >= 0) {
                        r = sd_bus_message_open_container(signal, 'e', "sv");
                        if (r >= 0)
                                r = sd_bus_message_append(signal, "s", fields[i].name);
                        if (r >= 0)
                                r = sd_bus_message_open_container(signal, 'v', field_signature(fields[i].type));
                        if (r >= 0)
                                r = bus_append_field(signal, device, i);
                        if (r >= 0)
                                r = sd_bus_message_close_container(signal);
                        if (r >= 0)
                                r = sd_bus_message_close_container(signal);
                }
        if (r >= 0)
                r = sd_bus_message_close_container(signal);
        if (r >= 0)
                r = sd_bus_send(b->bus, signal, NULL);
        if (r < 0)
                log_plain(LOG_ERR, "DeviceChanged can't be signalled: %s", strerror(-r));
}

void bus_events(Bus *b, ManagerEvents *ret) {
        *ret = (ManagerEvents) {
                .userdata = b,
                .added = on_added,
                .changed = on_changed,
                .device_fields = on_device_fields,
                .removed = on_removed,
                .job_removed = on_job_removed,
                .provider_changed = on_provider_changed,
                .use_changed = on_use_changed,
                .device_lost = on_device_lost,
                .device_followed = on_device_followed,
        };
}

/* ---- life ---- */

int bus_new(sd_event *event, Bus **ret, Fault *fault) {
        Bus *b = calloc(1, sizeof(Bus));
        const char *name;
        int r;

        if (!b)
                return fault_oom(fault);
        b->event = sd_event_ref(event);
        r = sd_bus_open_system(&b->bus);
        /* Says hello now: the bus drops a connection that has not, and the scan of a large host takes a while. */
        if (r >= 0)
                r = sd_bus_get_unique_name(b->bus, &name);
        if (r >= 0)
                r = sd_bus_attach_event(b->bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0) {
                bus_free(b);
                return fault_set(fault, r, FAULT_INTERNAL, "the system bus can't be reached: %s", strerror(-r));
        }
        /* A bus that goes away takes the callers along; systemd starts us again beside the new one. */
        (void) sd_bus_set_exit_on_disconnect(b->bus, true);
        *ret = b;
        return 0;
}

int bus_attach(Bus *b, Manager *manager, Fault *fault) {
        static int (*const registrations[])(Bus *b) = {
                bus_register_manager,     bus_register_devices, bus_register_types,   bus_register_providers, bus_register_groups,
                bus_register_rules,       bus_register_jobs,    bus_register_modules, bus_register_allocations,
                bus_lifetime_start,
        };
        int r;

        b->manager = manager;
        manager->kernel_modules = (KernelModuleLoader) { b, bus_load_kernel_module };
        r = sd_bus_add_object_manager(b->bus, NULL, BUS_ROOT);
        for (size_t i = 0; i < ELEMENTSOF(registrations) && r >= 0; i++)
                r = registrations[i](b);
        return r < 0 ? fault_set(fault, r, FAULT_INTERNAL, "the objects could not be registered: %s", strerror(-r)) : 0;
}

int bus_request_name(Bus *b, Fault *fault) {
        int r = sd_bus_request_name(b->bus, BUS_NAME, 0);

        if (r < 0)
                return fault_set(fault, r, FAULT_INTERNAL, "the bus name " BUS_NAME " can't be had: %s",
                                 r == -EEXIST ? "another instance runs" : strerror(-r));
        b->named = true;
        for (Allocation *a = b->manager->allocations; a; a = a->hh.next)
                bus_lifetime_added(b, a);
        return 0;
}

Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;
        if (b->manager)
                b->manager->events = (ManagerEvents) { 0 };
        bus_signals_free(b);
        bus_jobs_free(b);
        bus_checks_free(b);
        auth_free(b);
        bus_evidence_free(b);
        bus_lifetime_free(b);
        bus_uses_free(b);
        bus_systemd_free(b);
        sd_bus_flush_close_unref(b->bus);
        bus_types_free(b);
        sd_event_unref(b->event);
        free(b);
        return NULL;
}
