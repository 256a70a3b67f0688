/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Devices with their fields: how they come, change and go. */

#include "daemon/field-index.h"
#include "inventory-rig.h"

static void test_described(void **state) {
        const Device *device;
        InventoryRig *rig = *state;
        PtValue value;

        tree_file(&rig->tree, "run/udev/data/+pci:0000:00:01.0", "E:ID_MODEL_FROM_DATABASE=82574L\n");
        tree_pci(&rig->tree,
                 &(PciSpec){
                         .address = "0000:00:01.0", .driver = "e1000e", .numa_node = "1", .label = "NIC" });
        rig_start(rig);
        assert_string_equal(rig->events, "added test-0000-00-01-0");
        assert_int_equal(inventory_count(rig->inventory), 1);
        assert_int_equal(inventory_generation(rig->inventory), 1);
        device = inventory_first(rig->inventory);
        assert_string_equal(device->host->id, "pci-0000-00-01-0");
        assert_ptr_equal(device->host->offers, device);
        assert_string_equal(device->vendor, "Vendor");
        assert_string_equal(device->name, "82574L");
        assert_int_equal(device->role, PT_ROLE_OFFER);
        assert_int_equal(device->serial, 1);
        assert_field(device, "address", "0000:00:01.0");
        assert_field(device, "vendor", "32902");
        assert_field(device, "node", "1");
        assert_field(device, "methods", "flr,bus");
        assert_field(device, "label", "NIC");
        assert_field(device, "driver-module", "e1000e");
        assert_field(device, "boot", "true");
        assert_field(device, "big", "18446744073709551615");
        assert_field(device, "signed", "-5");
        /* Everything that a module must not do was refused to it. */
        assert_field(device, "refusals", "28");
        assert_field(device, "serial", NULL);
        assert_int_equal(device->slow, SLOW_UNKNOWN);
        assert_int_equal(device_get_field_by_name(device, "nonsense", &value), -ENOENT);
        assert_int_equal(device_get_field(device, 99, &value), -ENOENT);
        assert_null(inventory_find(rig->inventory, "pci-0000-00-01-0"));
}

/* What a provider could make is offered before it is made, as far as the kernel's driver says that it can. */
static void test_slots(void **state) {
        InventoryRig *rig = *state;
        Device *provider, *second, *third;
        Allocation *somebody = (Allocation *) rig; /* only whether there is one counts */

        tree_pci(&rig->tree,
                 &(PciSpec){ .address = "0000:00:01.0", .driver = "mtty", .numa_node = "1", .label = "slots" });
        rig_start(rig);
        provider = inventory_find(rig->inventory, "test-0000-00-01-0");
        assert_int_equal(provider->role, PT_ROLE_PROVIDER);
        assert_int_equal(inventory_count(rig->inventory), 1);
        assert_non_null(strstr(rig->events, "wanted"));

        provider->slow = SLOW_FRESH;
        (void) device_put_observed(rig->inventory, provider, NULL, "3");
        assert_int_equal(inventory_count(rig->inventory), 4);
        second = inventory_find(rig->inventory, "test-0000-00-01-0-s2");
        third = inventory_find(rig->inventory, "test-0000-00-01-0-s3");
        assert_int_equal(second->role, PT_ROLE_OFFER);
        assert_int_equal(second->host->slot_number, 2);
        assert_int_equal(second->host->iommu_group, -1);
        assert_int_equal(second->host->numa_node, 1);
        assert_string_equal(second->host->driver, "mtty");
        assert_string_equal(second->host->sysname, "0000:00:01.0");
        assert_ptr_equal(source_find(inventory_source(rig->inventory), "pci-0000-00-01-0-s2"), second->host);
        assert_field(second, "vendor", "32902"); /* read of the provider */

        /* A scan has nothing against them, and nothing is reported twice. */
        rig_rescan(rig);
        assert_string_equal(rig->events, "scanned");

        /* What somebody has stays; the gap is filled again. */
        third->allocation = somebody;
        (void) device_put_observed(rig->inventory, provider, NULL, "1");
        assert_null(inventory_find(rig->inventory, "test-0000-00-01-0-s2"));
        assert_ptr_equal(inventory_find(rig->inventory, "test-0000-00-01-0-s3"), third);
        (void) device_put_observed(rig->inventory, provider, NULL, "4");
        assert_int_equal(inventory_count(rig->inventory), 5);
        assert_int_equal(provider->host->slots->next_slot->slot_number, 2);
        assert_int_equal(provider->host->slots->next_slot->next_slot->slot_number, 3);
        third->allocation = NULL;

        /* They go with it. */
        tree_pci_remove(&rig->tree, "0000:00:01.0");
        rig_rescan(rig);
        assert_int_equal(inventory_count(rig->inventory), 0);
        assert_null(source_find(inventory_source(rig->inventory), "pci-0000-00-01-0-s3"));
}

/* Equal texts of different devices are one, so that rules can compare pointers. */
static void test_interned(void **state) {
        const Device *a, *b;
        InventoryRig *rig = *state;
        PtValue x, y;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .label = "same" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.0", .label = "same" });
        rig_start(rig);
        a = inventory_find(rig->inventory, "test-0000-00-01-0");
        b = inventory_find(rig->inventory, "test-0000-00-02-0");
        assert_int_equal(device_get_field_by_name(a, "label", &x), 0);
        assert_int_equal(device_get_field_by_name(b, "label", &y), 0);
        assert_ptr_equal(x.s, y.s);
        assert_ptr_equal(a->vendor, b->vendor);
        assert_true(interner_count(inventory_interner(rig->inventory)) > 0);
}

static void test_special_devices(void **state) {
        InventoryRig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .label = "decline" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.0", .label = "fail" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:03.0", .label = "nameless" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:04.0", .label = "latin1" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:05.0", .label = "bridge" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:06.0", .label = "log" });
        rig_start(rig);
        assert_int_equal(inventory_count(rig->inventory), 4);
        assert_null(inventory_find(rig->inventory, "test-0000-00-01-0"));
        assert_null(inventory_find(rig->inventory, "test-0000-00-02-0"));
        assert_string_equal(inventory_find(rig->inventory, "test-0000-00-03-0")->name, "0000:00:03.0");
        assert_string_equal(inventory_find(rig->inventory, "test-0000-00-03-0")->vendor, "");
        /* What is no UTF-8 is replaced, byte by byte; the rest stays. */
        assert_field(inventory_find(rig->inventory, "test-0000-00-04-0"), "label",
                     "caf\xef\xbf\xbd \xf0\x9f\x98\x80 \xef\xbf\xbd\xef\xbf\xbd");
        assert_int_equal(inventory_find(rig->inventory, "test-0000-00-05-0")->role, PT_ROLE_BRIDGE);
}

static void test_changes(void **state) {
        InventoryRig *rig = *state;
        Device *device;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .driver = "e1000e", .label = "one" });
        rig_start(rig);
        device = inventory_first(rig->inventory);

        rig_rescan(rig);
        assert_string_equal(rig->events, "scanned");
        assert_int_equal(inventory_generation(rig->inventory), 1);

        tree_pci_bind(&rig->tree, "0000:00:01.0", "nvme");
        rig_rescan(rig);
        assert_string_equal(rig->events, "changed test-0000-00-01-0; scanned");
        assert_int_equal(rig->fields, field_bit(device, "driver-module"));
        assert_int_equal(inventory_generation(rig->inventory), 2);

        tree_pci_attribute(&rig->tree, "0000:00:01.0", "label", "two");
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "numa_node", "3");
        rig_rescan(rig);
        assert_int_equal(rig->fields, field_bit(device, "label") | field_bit(device, "node"));
        assert_field(device, "label", "two");

        /* A driver that no field shows: the device differs, no field does. */
        tree_pci_bind(&rig->tree, "0000:00:01.0", "vfio-pci");
        rig_rescan(rig);
        assert_string_equal(rig->events, "changed test-0000-00-01-0; scanned");
        assert_int_equal(rig->fields, 0);

        /* A field that is not filled any more is not known any more. */
        tree_remove(&rig->tree, "sys/devices/pci0000:00/0000:00:01.0/label");
        rig_rescan(rig);
        assert_int_equal(rig->fields, field_bit(device, "label"));
        assert_field(device, "label", NULL);

        /* The role. */
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "label", "bridge");
        rig_rescan(rig);
        assert_int_equal(device->role, PT_ROLE_BRIDGE);
        assert_ptr_equal(inventory_first(rig->inventory), device);

        /* What a failing describe() put is thrown away. */
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "label", "fail");
        rig_rescan(rig);
        assert_string_equal(rig->events, "scanned");
        assert_field(device, "label", "bridge");

        tree_pci_attribute(&rig->tree, "0000:00:01.0", "label", "decline");
        rig_rescan(rig);
        assert_string_equal(rig->events, "removed test-0000-00-01-0; scanned");
        assert_int_equal(inventory_count(rig->inventory), 0);
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "label", "back");
        rig_rescan(rig);
        assert_string_equal(rig->events, "added test-0000-00-01-0; scanned");
        assert_int_equal(inventory_first(rig->inventory)->serial, 2);

        tree_pci_remove(&rig->tree, "0000:00:01.0");
        rig_rescan(rig);
        assert_string_equal(rig->events, "removed test-0000-00-01-0; scanned");
        assert_null(inventory_first(rig->inventory));
}

/* A filter on the driver: the device comes and goes with it. */
static void test_several_modules(void **state) {
        const HostDevice *host;
        InventoryRig *rig = *state;

        rig_add_module(rig, "module-nvme");
        rig_add_module(rig, "module-major"); /* refused, and in nobody's way */
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .driver = "nvme" });
        rig_start(rig);
        assert_string_equal(rig->events, "added nvme-0000-00-01-0; added test-0000-00-01-0");
        host = source_find(inventory_source(rig->inventory), "pci-0000-00-01-0");
        assert_string_equal(host->offers->id, "nvme-0000-00-01-0");
        assert_string_equal(host->offers->next_offer->id, "test-0000-00-01-0");

        tree_pci_bind(&rig->tree, "0000:00:01.0", "vfio-pci");
        rig_rescan(rig);
        assert_string_equal(rig->events, "removed nvme-0000-00-01-0; changed test-0000-00-01-0; scanned");
        assert_string_equal(host->offers->id, "test-0000-00-01-0");
        assert_null(host->offers->next_offer);

        tree_pci_bind(&rig->tree, "0000:00:01.0", "nvme");
        rig_rescan(rig);
        assert_string_equal(rig->events, "added nvme-0000-00-01-0; changed test-0000-00-01-0; scanned");
        tree_pci_remove(&rig->tree, "0000:00:01.0");
        rig_rescan(rig);
        assert_int_equal(inventory_count(rig->inventory), 0);
}

static void test_observed(void **state) {
        InventoryRig *rig = *state;
        Device *device;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
        rig_start(rig);
        device = inventory_first(rig->inventory);
        assert_int_equal(rig_observe(rig, device, "{\"serial\": \"S1\", \"tags\": [\"a\", \"b\"]}"),
                         field_bit(device, "serial") | field_bit(device, "tags"));
        assert_string_equal(rig->events, "changed test-0000-00-01-0");
        assert_int_equal(rig->fields, field_bit(device, "serial") | field_bit(device, "tags"));
        assert_field(device, "serial", "S1");
        assert_field(device, "tags", "a,b");
        assert_int_equal(rig_observe(rig, device, "{\"serial\": \"S1\", \"tags\": [\"a\", \"b\"]}"), 0);
        assert_string_equal(rig->events, "");
        assert_int_equal(rig_observe(rig, device, "{\"tags\": [\"a\", \"c\"]}"), field_bit(device, "tags"));
        assert_int_equal(rig_observe(rig, device, "{\"tags\": [\"a\"]}"), field_bit(device, "tags"));
        assert_int_equal(rig_observe(rig, device, "{\"tags\": []}"), field_bit(device, "tags"));
        assert_field(device, "tags", "");
        assert_int_equal(rig_observe(rig, device, "{\"tags\": []}"), 0);

        /* A worker is not believed blindly. */
        assert_int_equal(rig_observe(rig, device, "{\"nonsense\": 1, \"serial\": 5, \"vendor\": \"x\"}"), 0);
        assert_field(device, "serial", "S1");

        /* Slow fields outlive what the quick ones do. */
        tree_pci_attribute(&rig->tree, "0000:00:01.0", "label", "changed");
        rig_rescan(rig);
        assert_int_equal(rig->fields, field_bit(device, "label"));
        assert_field(device, "serial", "S1");
        assert_int_equal(rig_observe(rig, device, "{\"serial\": null}"), field_bit(device, "serial"));
        assert_field(device, "serial", NULL);
        assert_int_equal(rig_observe(rig, device, "{\"serial\": null}"), 0);
}

/* Devices of a model share the values that are the same; none of them notices. */
static void test_model(void **state) {
        InventoryRig *rig = *state;
        Device *a, *b;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .label = "one" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.0", .label = "one" });
        rig_start(rig);
        a = inventory_find(rig->inventory, "test-0000-00-01-0");
        b = inventory_find(rig->inventory, "test-0000-00-02-0");
        assert_ptr_equal(a->model, b->model);
        assert_false((a->own | b->own) & field_bit(a, "label"));

        for (unsigned i = 0; i < 2; i++) {
                Device *changed = i == 0 ? a : b, *other = i == 0 ? b : a;

                tree_pci_attribute(&rig->tree, changed->host->sysname, "label", "two");
                rig_rescan(rig);
                assert_int_equal(rig->fields, field_bit(a, "label"));
                assert_field(changed, "label", "two");
                assert_field(other, "label", "one");
                tree_pci_attribute(&rig->tree, changed->host->sysname, "label", "one");
                rig_rescan(rig);
                assert_int_equal(rig->fields, field_bit(a, "label"));
                assert_field(changed, "label", "one");
        }
        assert_int_equal(rig_observe(rig, a, "{\"serial\": \"S1\", \"tags\": [\"a\", \"b\"]}"),
                         field_bit(a, "serial") | field_bit(a, "tags"));
        assert_field(b, "serial", NULL);
        assert_field(b, "tags", NULL);
        /* Not known is not what the others have. */
        tree_remove(&rig->tree, "sys/devices/pci0000:00/0000:00:02.0/label");
        rig_rescan(rig);
        assert_field(b, "label", NULL);
        assert_field(a, "label", "one");

        /* What the first one brought stays when it goes. */
        tree_pci_remove(&rig->tree, "0000:00:01.0");
        rig_rescan(rig);
        tree_pci_attribute(&rig->tree, "0000:00:02.0", "label", "one");
        rig_rescan(rig);
        assert_field(b, "label", "one");
        assert_false(b->own & field_bit(b, "label"));
}

static size_t count_text(InventoryRig *rig, const char *field, const char *text) {
        Device *first = inventory_first(rig->inventory);
        const IndexedText *items;
        uint64_t serial = 0;
        unsigned number = 0;
        size_t n;

        while (!streq(first->module->descriptor->fields[number].name, field))
                number++;
        if (inventory_find_text(rig->inventory, first->module, number, text, &items, &n) < 0)
                return SIZE_MAX;
        for (size_t i = 0; i < n; i++) {
                assert_field(items[i].device, field, text);
                assert_true(items[i].device->serial > serial);
                serial = items[i].device->serial;
        }
        return n;
}

/* An index is what testing all devices would say, and no older than the last change. */
static void test_index(void **state) {
        InventoryRig *rig = *state;

        for (unsigned i = 0; i < FIELD_INDEX_MIN; i++) {
                char address[32], label[32];

                (void) snprintf(address, sizeof(address), "0000:%02x:%02x.0", i / 32, i % 32);
                (void) snprintf(label, sizeof(label), "label-%u", i % 3);
                tree_pci(&rig->tree, &(PciSpec){ .address = address, .label = i % 5 == 4 ? NULL : label });
        }
        rig_start(rig);
        assert_true(count_text(rig, "label", "label-1") == SIZE_MAX); /* nobody asked before */
        assert_int_equal(count_text(rig, "label", "label-1"), 68);
        assert_int_equal(count_text(rig, "label", "label-2"), 68);
        assert_int_equal(count_text(rig, "label", "label-3"), 0);
        assert_int_equal(count_text(rig, "label", "0000:00:00.0"), 0); /* interned, but no label */
        assert_true(count_text(rig, "label", "") == SIZE_MAX);         /* that is what some do not have */
        assert_true(count_text(rig, "node", "1") == SIZE_MAX);         /* no text */

        tree_pci_attribute(&rig->tree, "0000:00:00.0", "label", "label-1");
        rig_rescan(rig);
        assert_true(count_text(rig, "label", "label-1") == SIZE_MAX);
        assert_int_equal(count_text(rig, "label", "label-1"), 69);
        tree_pci_remove(&rig->tree, "0000:00:01.0");
        rig_rescan(rig);
        assert_true(count_text(rig, "label", "label-1") == SIZE_MAX); /* and too few now */
        assert_true(count_text(rig, "label", "label-1") == SIZE_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inventory_rig_set_up, inventory_rig_tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_slots),
                TEST(test_described), TEST(test_interned),        TEST(test_special_devices),
                TEST(test_changes),   TEST(test_several_modules), TEST(test_observed), TEST(test_model), TEST(test_index),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
