/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>

#include "inventory-rig.h"
#include "lib/value-util.h"

static void note(InventoryRig *rig, const char *what, const Device *device) {
        size_t used = strlen(rig->events);

        (void) snprintf(rig->events + used, sizeof(rig->events) - used, "%s%s%s%s", used > 0 ? "; " : "",
                        what, device ? " " : "", device ? device->id : "");
}

static void on_added(void *userdata, Device *device) {
        InventoryRig *rig = userdata;

        assert_ptr_equal(inventory_find(rig->inventory, device->id), device);
        note(rig, "added", device);
}

static void on_changed(void *userdata, Device *device, uint64_t fields) {
        InventoryRig *rig = userdata;

        rig->fields = fields;
        note(rig, "changed", device);
}

static void on_removed(void *userdata, Device *device) {
        InventoryRig *rig = userdata;

        assert_ptr_equal(inventory_find(rig->inventory, device->id), device);
        note(rig, "removed", device);
}

static void on_want_slow(void *userdata, Device *device) {
        note(userdata, "wanted", device);
}

static void on_scanned(void *userdata) {
        note(userdata, "scanned", NULL);
}

void rig_add_module(InventoryRig *rig, const char *name) {
        char from[PATH_MAX], path[PATH_MAX], buffer[65536];
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        ssize_t n;

        tree_folder(&rig->tree, "modules");
        (void) snprintf(from, sizeof(from), "%s/%s.so", TEST_MODULE_DIR, name);
        (void) snprintf(path, sizeof(path), "%s/modules/%s.so", rig->tree.root, name);
        in = open(from, O_RDONLY | O_CLOEXEC);
        out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        assert_true(in >= 0 && out >= 0);
        while ((n = read(in, buffer, sizeof(buffer))) > 0)
                assert_int_equal(write(out, buffer, (size_t) n), n);
}

int inventory_rig_set_up(void **state) {
        InventoryRig *rig = calloc(1, sizeof(*rig));

        assert_non_null(rig);
        host_tree_make(&rig->tree);
        rig_add_module(rig, "device-module");
        *state = rig;
        return 0;
}

int inventory_rig_tear_down(void **state) {
        InventoryRig *rig = *state;

        inventory_free(rig->inventory);
        loader_free(rig->loader);
        breadcrumb_close(rig->breadcrumb);
        host_tree_remove(&rig->tree);
        free(rig);
        return 0;
}

void rig_start(InventoryRig *rig) {
        char path[PATH_MAX];

        (void) snprintf(path, sizeof(path), "%s/modules", rig->tree.root);
        assert_int_equal(loader_new(path, NULL, &rig->loader), 0);
        assert_int_equal(breadcrumb_open(rig->tree.root, &rig->breadcrumb), 0);
        assert_int_equal(
                inventory_new(NULL, &rig->tree.sysfs, rig->loader, rig->breadcrumb,
                              &(InventoryEvents){ rig, on_added, on_changed, on_removed, on_scanned,
                                                  on_want_slow },
                              &rig->inventory),
                0);
        assert_int_equal(inventory_start(rig->inventory, NULL), 0);
}

void rig_rescan(InventoryRig *rig) {
        rig->events[0] = '\0';
        rig->fields = 0;
        assert_int_equal(source_rescan(inventory_source(rig->inventory)), 0);
}

void assert_field(const Device *device, const char *name, const char *expected) {
        _cleanup_free_ char *text = NULL;
        PtValue value;
        int r = device_get_field_by_name(device, name, &value);

        if (!expected) {
                assert_int_equal(r, -ENODATA);
                return;
        }
        assert_int_equal(r, 0);
        assert_int_equal(value_format(&value, &text), 0);
        assert_string_equal(text, expected);
}

uint64_t field_bit(const Device *device, const char *name) {
        for (size_t i = 0; i < device->module->n_fields; i++)
                if (streq(device->module->descriptor->fields[i].name, name))
                        return UINT64_C(1) << i;
        fail_msg("no field %s", name);
        return 0;
}

void assert_json(json_t *json, const char *expected) {
        json_t *other = json_loads(expected, 0, NULL);
        _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);

        assert_non_null(other);
        if (!json_equal(json, other))
                fail_msg("%s is not %s", text, expected);
        json_decref(other);
        json_decref(json);
}

uint64_t rig_observe(InventoryRig *rig, Device *device, const char *text) {
        json_t *json = json_loads(text, 0, NULL);
        uint64_t changed;

        assert_non_null(json);
        rig->events[0] = '\0';
        changed = device_put_observed(rig->inventory, device, json, NULL);
        json_decref(json);
        return changed;
}
