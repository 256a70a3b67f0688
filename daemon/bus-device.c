/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-internal.h"
#include "lib/limits.h"
#include "observe.h"

static int find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *error) {
        Bus *b = userdata;
        char id[ID_SIZE];
        Device *device =
                bus_path_parse(path, OBJECT_DEVICE, id) >= 0 ? inventory_find(b->manager->inventory, id) : NULL;

        if (!device)
                return 0;
        b->found[OBJECT_DEVICE] = (BusObject) { b, device };
        *ret_found = &b->found[OBJECT_DEVICE];
        return 1;
}

/* dbus-daemon disconnects a service whose message passes 32 MiB, and any local user may ask for all objects. */
static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        Bus *b = userdata;
        size_t n = 0, total = inventory_count(b->manager->inventory);
        const char **ids;
        int r;

        if (bus_asks_below(OBJECT_DEVICE, prefix))
                return 0;
        if (total > MANAGED_OBJECTS_MAX)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "TooManyObjects",
                                         "%zu devices are too many for one answer; use ListDevices", total);
        ids = calloc(total + 1, sizeof(char *));
        if (!ids)
                return -ENOMEM;
        for (Device *device = inventory_first(b->manager->inventory); device; device = device->hh.next)
                ids[n++] = device->id;
        r = bus_nodes(OBJECT_DEVICE, ids, n, ret_nodes);
        free(ids);
        return r;
}

static const char *text_of(Bus *b, const Device *device, const char *property) {
        if (streq(property, "Id"))
                return device->id;
        if (streq(property, "Type"))
                return device->module->name;
        if (streq(property, "Name"))
                return device->name;
        if (streq(property, "Vendor"))
                return device->vendor;
        if (streq(property, "Driver"))
                return strempty(device->host->driver);
        if (streq(property, "Node"))
                return b->manager->config.node;
        return manager_device_state(b->manager, device);
}

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                    void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;

        return sd_bus_message_append(reply, "s", text_of(object->bus, object->object, property));
}

static int get_hex(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                   void *userdata, sd_bus_error *error) {
        const Device *device = ((const BusObject *) userdata)->object;
        PtValue value;

        if (device_get_field_by_name(device, streq(property, "VendorId") ? "vendor-id" : "device-id", &value) < 0 ||
            value.type != PT_STRING)
                return sd_bus_message_append(reply, "s", "");
        return sd_bus_message_append(reply, "s", value.s);
}

static int get_number(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                      void *userdata, sd_bus_error *error) {
        const Device *device = ((const BusObject *) userdata)->object;

        return sd_bus_message_append(reply, "i",
                                     streq(property, "NumaNode") ? device->host->numa_node : device->host->iommu_group);
}

static int get_companions(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        const Device *device = object->object;
        _cleanup_free_ HostDevice **bundle = NULL;
        int r = inventory_bundle(object->bus->manager->inventory, device, &bundle);

        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "o");
        for (size_t i = 0; r >= 0 && bundle[i]; i++) {
                char companion[BUS_PATH_SIZE];
                if (bundle[i] == device->host)
                        continue;
                bus_path(OBJECT_DEVICE, bundle[i]->id, companion);
                r = sd_bus_message_append_basic(reply, 'o', companion);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_groups(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                      void *userdata, sd_bus_error *error) {
        const Device *device = ((const BusObject *) userdata)->object;
        int r = sd_bus_message_open_container(reply, 'a', "o");

        for (size_t i = 0; device->groups && device->groups[i] && r >= 0; i++) {
                char group[BUS_PATH_SIZE];
                bus_path(OBJECT_GROUP, device->groups[i]->id, group);
                r = sd_bus_message_append_basic(reply, 'o', group);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_allocation(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Device *device = ((const BusObject *) userdata)->object;
        char allocation[BUS_PATH_SIZE] = "/";

        if (device->allocation)
                bus_path(OBJECT_ALLOCATION, device->allocation->id, allocation);
        return sd_bus_message_append(reply, "o", allocation);
}

static int get_allocatable(sd_bus *bus, const char *path, const char *interface, const char *property,
                           sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;

        return sd_bus_message_append(reply, "b", manager_device_allocatable(object->bus->manager, object->object));
}

static int get_blockers(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        const char *codes[8];
        size_t n = manager_device_blockers(object->bus->manager, object->object, codes, ELEMENTSOF(codes));
        int r = sd_bus_message_open_container(reply, 'a', "s");

        for (size_t i = 0; i < n && r >= 0; i++)
                r = sd_bus_message_append_basic(reply, 's', codes[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_last_reset(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                          void *userdata, sd_bus_error *error) {
        const Device *device = ((const BusObject *) userdata)->object;
        _cleanup_(json_decrefp) json_t *none = json_object();

        return bus_append_dict(reply, device->last_reset ?: none);
}

/* ---- methods ---- */

static int method_explain(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;

        return bus_explain(object.bus, m, OBJECT_DEVICE, ((const Device *) object.object)->id, error);
}

static int method_reset(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        Device *device = object.object;
        const char *details[] = { "device", device->id, "type", device->module->name, NULL };
        _cleanup_fault_ Fault fault = { 0 };
        Caller caller;
        Job *job;
        int r = bus_no_options(m, "the options of Reset", error);

        if (r >= 0)
                r = auth_check(object.bus, m, RIGHT_MANAGE_DEVICES, details, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = auth_caller(object.bus, m, &caller, error);
        if (r < 0)
                return r;
        r = manager_reset_device(object.bus->manager, &caller, device, &job, &fault);
        return r < 0 ? bus_refuse(object.bus, m, r, &fault, error) : bus_reply_job(m, job);
}

static int method_quarantine(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        Device *device = object.object;
        const char *details[] = { "device", device->id, "type", device->module->name, NULL };
        _cleanup_fault_ Fault fault = { 0 };
        const char *reason;
        BusCall *call;
        Caller caller;
        int r = sd_bus_message_read(m, "s", &reason);

        if (r >= 0)
                r = bus_no_options(m, "the options of Quarantine", error);
        if (r >= 0)
                r = auth_check(object.bus, m, RIGHT_MANAGE_DEVICES, details, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = auth_caller(object.bus, m, &caller, error);
        if (r < 0)
                return r;
        r = bus_call_new(object.bus, m, OBJECT_DEVICE, &call);
        if (r >= 0)
                r = manager_quarantine(object.bus->manager, &caller, device, reason, bus_call_done_empty, call, &fault);
        if (r < 0) {
                bus_call_free(call);
                return bus_error_from_fault(error, r, &fault);
        }
        return 1;
}

static int method_clear_quarantine(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        Device *device = object.object;
        const char *details[] = { "device", device->id, "type", device->module->name, NULL };
        _cleanup_fault_ Fault fault = { 0 };
        BusCall *call = NULL;
        Caller caller;
        int r = bus_no_options(m, "the options of ClearQuarantine", error);

        if (r >= 0)
                r = auth_check(object.bus, m, RIGHT_MANAGE_DEVICES, details, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = auth_caller(object.bus, m, &caller, error);
        if (r < 0)
                return r;
        r = bus_call_new(object.bus, m, OBJECT_DEVICE, &call);
        if (r >= 0)
                r = manager_clear_quarantine(object.bus->manager, &caller, device, bus_call_done_empty, call, &fault);
        return r >= 0 ? 1 : bus_call_refuse(call, r, &fault, error);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Type", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Name", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Vendor", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("VendorId", "s", get_hex, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ProductId", "s", get_hex, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Driver", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Node", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("NumaNode", "i", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("IommuGroup", "i", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Companions", "ao", get_companions, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("State", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Allocatable", "b", get_allocatable, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Blockers", "as", get_blockers, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Groups", "ao", get_groups, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Allocation", "o", get_allocation, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("LastReset", "a{sv}", get_last_reset, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", findings),
                                method_explain, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reset", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job), method_reset,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Quarantine", SD_BUS_ARGS("s", reason, "a{sv}", options), SD_BUS_NO_RESULT,
                                method_quarantine, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ClearQuarantine", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_clear_quarantine, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int bus_register_devices(Bus *b) {
        int r = sd_bus_add_fallback_vtable(b->bus, NULL, bus_prefix(OBJECT_DEVICE), bus_interface(OBJECT_DEVICE), vtable,
                                           find, b);

        return r < 0 ? r : sd_bus_add_node_enumerator(b->bus, NULL, bus_prefix(OBJECT_DEVICE), enumerate, b);
}
