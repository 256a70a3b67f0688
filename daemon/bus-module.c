/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-internal.h"
#include "json-util.h"
#include "lib/value-util.h"

static int find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *error) {
        Bus *b = userdata;
        char id[ID_SIZE];
        Module *module = bus_path_parse(path, OBJECT_MODULE, id) >= 0 ? loader_find(b->manager->loader, id) : NULL;

        if (!module)
                return 0;
        b->found[OBJECT_MODULE] = (BusObject) { b, module };
        *ret_found = &b->found[OBJECT_MODULE];
        return 1;
}

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        Bus *b = userdata;
        size_t n = 0;
        const char **ids;
        int r;

        for (Module *module = loader_first(b->manager->loader); module; module = module->next)
                n++;
        ids = calloc(n + 1, sizeof(char *));
        if (!ids)
                return -ENOMEM;
        n = 0;
        for (Module *module = loader_first(b->manager->loader); module; module = module->next)
                if (id_is_valid(module->name))
                        ids[n++] = module->name;
        r = bus_nodes(OBJECT_MODULE, ids, n, ret_nodes);
        free(ids);
        return r;
}

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                    void *userdata, sd_bus_error *error) {
        const Module *module = ((const BusObject *) userdata)->object;

        return sd_bus_message_append(reply, "s",
                                     streq(property, "Name")      ? module->name
                                     : streq(property, "State")   ? module_state_to_string(module->state)
                                     : streq(property, "Reason")  ? strempty(module->reason)
                                     : module->descriptor != NULL ? module->descriptor->version
                                                                  : "");
}

static json_t *facts(const PtModule *d) {
        return json_pack("{s:s, s:s, s:b, s:b, s:b, s:s, s:o, s:s}", "title", d->title, "documentation",
                         strempty(d->documentation), "shared", (d->flags & PT_TYPE_SHARED) != 0, "migratable",
                         (d->flags & PT_TYPE_MIGRATABLE) != 0, "needs-iommu", (d->flags & PT_TYPE_NEEDS_IOMMU) != 0,
                         "guest-driver", strempty(d->guest_driver), "use-cases", strv_to_json(d->use_cases),
                         "default-class", strempty(d->default_class));
}

static int get_facts(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                     void *userdata, sd_bus_error *error) {
        const Module *module = ((const BusObject *) userdata)->object;
        _cleanup_(json_decrefp) json_t *object = module->descriptor ? facts(module->descriptor) : json_object();

        return object ? bus_append_dict(reply, object) : -ENOMEM;
}

static int get_tables(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                      void *userdata, sd_bus_error *error) {
        const Module *module = ((const BusObject *) userdata)->object;
        _cleanup_(json_decrefp) json_t *table = NULL;

        if (!module->descriptor)
                table = json_array();
        else if (streq(property, "Fields"))
                table = fields_to_json(module->descriptor->fields);
        else
                table = settings_schema_to_json(module->descriptor->settings,
                                                streq(property, "GroupSettings")
                                                        ? PT_SETTING_GROUP
                                                        : PT_SETTING_CONSUMER | PT_SETTING_OVERRIDE);
        return table ? bus_append_dict_list(reply, table) : -ENOMEM;
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Version", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Reason", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Facts", "a{sv}", get_facts, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Fields", "aa{sv}", get_tables, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("GroupSettings", "aa{sv}", get_tables, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("ConsumerSettings", "aa{sv}", get_tables, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

int bus_register_modules(Bus *b) {
        int r = sd_bus_add_fallback_vtable(b->bus, NULL, bus_prefix(OBJECT_MODULE), bus_interface(OBJECT_MODULE), vtable,
                                           find, b);

        return r < 0 ? r : sd_bus_add_node_enumerator(b->bus, NULL, bus_prefix(OBJECT_MODULE), enumerate, b);
}
