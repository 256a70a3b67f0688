/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What modules are asked about a device: bundles, keys, findings, plans, attachments, identities. */

#include "daemon/settings.h"
#include "inventory-rig.h"

static void make_bundle(InventoryRig *rig) {
        /* A port, a card of two functions, a bridge that the module describes too, and something that no
         * module offers. */
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .class = 0x060400, .iommu_group = "3" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.0", .iommu_group = "3" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:02.1", .iommu_group = "3" });
        tree_pci(&rig->tree,
                 &(PciSpec){ .address = "0000:00:02.2", .iommu_group = "3", .label = "decline" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:03.0" });
        rig_start(rig);
}

static void assert_bundle(InventoryRig *rig, const char *id, const char *expected) {
        _cleanup_free_ HostDevice **bundle = NULL;
        char text[512] = "";

        assert_int_equal(inventory_bundle(rig->inventory, inventory_find(rig->inventory, id), &bundle), 0);
        for (size_t i = 0; bundle[i]; i++)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? " " : "",
                                bundle[i]->sysname);
        assert_string_equal(text, expected);
}

static void assert_keys(InventoryRig *rig, const char *id, const char *expected) {
        _cleanup_keys_ KeyList keys = { 0 };
        char text[512] = "";

        assert_int_equal(inventory_uses(rig->inventory, inventory_find(rig->inventory, id), &keys, NULL), 0);
        for (size_t i = 0; i < keys.n_items; i++)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s%s", i > 0 ? " " : "",
                                keys.items[i].key, keys.items[i].exclusive ? "" : "(shared)");
        assert_string_equal(text, expected);
}

static void test_bundles(void **state) {
        InventoryRig *rig = *state;

        make_bundle(rig);
        assert_bundle(rig, "test-0000-00-02-0", "0000:00:02.0 0000:00:02.1 0000:00:02.2");
        assert_bundle(rig, "test-0000-00-02-1", "0000:00:02.1 0000:00:02.0 0000:00:02.2");
        assert_bundle(rig, "test-0000-00-03-0", "0000:00:03.0");
        assert_bundle(rig, "test-0000-00-01-0", "0000:00:01.0 0000:00:02.0 0000:00:02.1 0000:00:02.2");
}

static void test_uses(void **state) {
        InventoryRig *rig = *state;

        make_bundle(rig);
        assert_keys(rig, "test-0000-00-02-0",
                    "test:0000:00:02.0 test:all(shared) test:0000:00:02.1 pci:0000:00:02.2 iommu:3");
        assert_keys(rig, "test-0000-00-03-0", "test:0000:00:03.0 test:all(shared)");
}

/* Several consumers on one host device: nothing moves along, and the IOMMU group is not taken from the
 * others. */
static void test_shared_type(void **state) {
        InventoryRig *rig = *state;

        rig_add_module(rig, "module-shared");
        make_bundle(rig);
        assert_bundle(rig, "shared-0000-00-02-0", "0000:00:02.0");
        assert_keys(rig, "shared-0000-00-02-0", "shared:0000:00:02.0 shared:all(shared) iommu:3(shared)");
        /* A companion is taken whole: the keys of all who offer it. */
        assert_keys(rig, "test-0000-00-02-0",
                    "test:0000:00:02.0 test:all(shared) shared:0000:00:02.1 shared:all(shared) "
                    "test:0000:00:02.1 "
                    "pci:0000:00:02.2 iommu:3");
}

/* ---- ops with a request ---- */

static void test_check(void **state) {
        _cleanup_findings_ FindingList list = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        const PlanRequest request = { .verb = PT_VERB_ACTIVATE };
        InventoryRig *rig = *state;
        Device *device;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0" });
        rig_start(rig);
        device = inventory_first(rig->inventory);
        assert_int_equal(inventory_check(rig->inventory, device, NULL, &list, &fault), 0);
        assert_int_equal(inventory_check(rig->inventory, device, &request, &list, &fault), 0);
        (void) rig_observe(rig, device, "{\"serial\": \"S1\"}");
        assert_int_equal(inventory_check(rig->inventory, device, &request, &list, &fault), 0);
        assert_json(finding_list_to_json(&list),
                    "[{\"severity\": \"blocker\", \"code\": \"serial-known\", \"text\": \"S1\", "
                    "\"culprit\": \"c\","
                    "  \"remedy\": \"r\"},"
                    " {\"severity\": \"note\", \"code\": \"seen\", \"text\": \"looked at\"},"
                    " {\"severity\": \"note\", \"code\": \"seen\", \"text\": \"asked \xef\xbf\xbd for\"},"
                    " {\"severity\": \"note\", \"code\": \"seen\", \"text\": \"asked \xef\xbf\xbd for\"}]");
}

static const char *blob_of(InventoryRig *rig, Device *device) {
        static char text[64];
        _cleanup_findings_ FindingList list = { 0 };

        rig->events[0] = '\0';
        assert_int_equal(inventory_check(rig->inventory, device, NULL, &list, NULL), 0);
        (void) snprintf(text, sizeof(text), "%s", list.items[1].text);
        return text;
}

/* What the module found out beside the fields is asked for once, kept, and replaced. */
static void test_blob(void **state) {
        InventoryRig *rig = *state;
        Device *device;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .label = "blob" });
        rig_start(rig);
        device = inventory_first(rig->inventory);
        assert_string_equal(blob_of(rig, device), "unknown");
        assert_non_null(strstr(rig->events, "wanted"));
        device->slow = SLOW_FRESH; /* it was read and there was none: not asked for again */
        assert_string_equal(blob_of(rig, device), "unknown");
        assert_string_equal(rig->events, "");
        assert_int_equal(device_put_observed(rig->inventory, device, NULL, "first"), 0);
        assert_non_null(strstr(rig->events, "changed"));
        assert_string_equal(blob_of(rig, device), "first");
        assert_int_equal(device_put_observed(rig->inventory, device, NULL, "first"), 0);
        assert_string_equal(rig->events, "");
        assert_int_equal(device_put_observed(rig->inventory, device, NULL, "second"), 0);
        assert_string_equal(blob_of(rig, device), "second");
}

static void test_failures(void **state) {
        _cleanup_findings_ FindingList list = { 0 };
        _cleanup_keys_ KeyList keys = { 0 };
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        InventoryRig *rig = *state;

        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:01.0", .label = "fail-check" });
        tree_pci(&rig->tree,
                 &(PciSpec){ .address = "0000:00:02.0", .label = "fail-uses", .iommu_group = "1" });
        tree_pci(&rig->tree, &(PciSpec){ .address = "0000:00:03.0", .iommu_group = "1" });
        rig_start(rig);

        /* What they put before is thrown away. */
        assert_int_equal(inventory_check(rig->inventory, inventory_find(rig->inventory, "test-0000-00-01-0"),
                                         NULL, &list, &fault),
                         -EIO);
        assert_string_equal(fault.object, "test-0000-00-01-0");
        assert_fault(&fault, FAULT_INTERNAL,
                     "Module test failed in check() for 0000:00:01.0: Input/output error");
        assert_int_equal(list.n_items, 0);
        /* Also when it is the companion's. */
        assert_int_equal(inventory_uses(rig->inventory, inventory_find(rig->inventory, "test-0000-00-03-0"),
                                        &keys, &fault),
                         -EIO);
        assert_fault(&fault, FAULT_INTERNAL, "in uses() for 0000:00:02.0");
        assert_int_equal(keys.n_items, 0);
        assert_int_equal(inventory_plan(rig->inventory, inventory_find(rig->inventory, "test-0000-00-01-0"),
                                        &(PlanRequest){ .verb = PT_VERB_RESET }, &plan, &fault),
                         -ENOTSUP);
        assert_fault(&fault, FAULT_INTERNAL, "in plan() for 0000:00:01.0");
        assert_int_equal(plan.n_steps, 0);
}

static void test_plan(void **state) {
        _cleanup_settings_ SettingValues settings = { 0 };
        _cleanup_plan_ Plan plan = { 0 };
        json_t *json = json_pack("{s:s, s:i}", "mode", "fast", "size", 32);
        InventoryRig *rig = *state;
        Device *device;

        make_bundle(rig);
        device = inventory_find(rig->inventory, "test-0000-00-02-0");
        assert_int_equal(settings_from_json(device->module->descriptor->settings, json, PT_SETTING_GROUP,
                                            &settings, NULL),
                         0);
        json_decref(json);
        assert_int_equal(inventory_plan(rig->inventory, device,
                                        &(PlanRequest){ .verb = PT_VERB_ACTIVATE, .uid = 1000, .gid = 100 },
                                        &plan, NULL),
                         0);
        assert_int_equal(plan.n_steps, 3);
        assert_string_equal(plan.steps[0].sentence, "safe 0000:00:02.0, 8 MiB, for 1000:100");
        assert_string_equal(plan.steps[0].device, "pci-0000-00-02-0");
        assert_string_equal(plan.steps[2].sentence, "safe 0000:00:02.2, 8 MiB, for 1000:100");

        /* Appended, with settings and flags. */
        assert_int_equal(inventory_plan(rig->inventory, inventory_find(rig->inventory, "test-0000-00-03-0"),
                                        &(PlanRequest){ .verb = PT_VERB_ACTIVATE,
                                                        .park_companions = true,
                                                        .settings = &settings },
                                        &plan, NULL),
                         0);
        assert_int_equal(plan.n_steps, 4);
        assert_string_equal(plan.steps[3].sentence, "fast 0000:00:03.0, 32 MiB, for 0:0, parked");
}

static void test_plan_too_long(void **state) {
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        InventoryRig *rig = *state;
        Device *device;
        int r = 0;

        make_bundle(rig);
        device = inventory_find(rig->inventory, "test-0000-00-02-0");
        for (unsigned i = 0; r >= 0 && i <= STEPS_MAX; i++)
                r = inventory_plan(rig->inventory, device, &(PlanRequest){ 0 }, &plan, &fault);
        assert_int_equal(r, -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "more than 512 steps");
        /* As it was before the one that did not fit. */
        assert_int_equal(plan.n_steps, STEPS_MAX - STEPS_MAX % 3);
}

static void test_guest(void **state) {
        json_t *json = NULL;
        InventoryRig *rig = *state;

        make_bundle(rig);
        assert_int_equal(inventory_guest(rig->inventory, inventory_find(rig->inventory, "test-0000-00-02-0"),
                                         &(PlanRequest){ 0 }, &json, NULL),
                         0);
        assert_json(
                json,
                "[{\"device\": \"pci-0000-00-02-0\", \"driver\": \"vfio-pci\", \"libvirt-type\": \"pci\","
                "  \"address\": \"0000:00:02.0\", \"nodes\": [\"/dev/vfio/1\"],"
                "  \"properties\": [\"rombar=0\"], \"environment\": [], \"libvirt\": []}]");
}

static void test_identities(void **state) {
        json_t *json = NULL;
        InventoryRig *rig = *state;

        make_bundle(rig);
        assert_int_equal(inventory_identities(rig->inventory,
                                              inventory_find(rig->inventory, "test-0000-00-02-0"), &json,
                                              NULL),
                         0);
        assert_json(
                json,
                "[{\"kind\": \"serial\", \"strength\": 100, \"condition\": \"serial = A\","
                "  \"breaks\": \"nothing\"},"
                " {\"kind\": \"slot\", \"strength\": 0, \"condition\": \"address = x\", \"breaks\": \"\"}]");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inventory_rig_set_up, inventory_rig_tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_bundles),       TEST(test_uses),     TEST(test_shared_type),
                TEST(test_check),         TEST(test_failures), TEST(test_plan),
                TEST(test_blob),
                TEST(test_plan_too_long), TEST(test_guest),    TEST(test_identities),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
