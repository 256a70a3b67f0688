/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <passthroughd/module.h>

#include "test.h"

/* The module interface as modules were compiled against it, in literal numbers for LP64 machines. A change
 * here breaks every module out there: members are only ever added at the end of a structure, and then at the
 * end of its list. The sizes of PtServices and PtModule may grow with the minor version, the rest is fixed
 * for the major one. */

#define assert_size(type, size) assert_int_equal(sizeof(type), (size))

#define assert_member(type, member, offset, size)                                                           \
        do {                                                                                                \
                assert_int_equal(offsetof(type, member), (offset));                                         \
                assert_int_equal(sizeof(((type *) 0)->member), (size));                                     \
        } while (0)

static void test_values(void **state) {
        assert_size(PtValue, 16);
        assert_member(PtValue, type, 0, 4);
        assert_member(PtValue, reserved, 4, 4);
        assert_member(PtValue, b, 8, 1);
        assert_member(PtValue, i, 8, 4);
        assert_member(PtValue, u, 8, 4);
        assert_member(PtValue, x, 8, 8);
        assert_member(PtValue, t, 8, 8);
        assert_member(PtValue, s, 8, 8);
        assert_member(PtValue, strv, 8, 8);

        assert_size(PtField, 32);
        assert_member(PtField, name, 0, 8);
        assert_member(PtField, unit, 8, 8);
        assert_member(PtField, doc, 16, 8);
        assert_member(PtField, type, 24, 4);
        assert_member(PtField, flags, 28, 4);

        assert_size(PtSetting, 64);
        assert_member(PtSetting, name, 0, 8);
        assert_member(PtSetting, unit, 8, 8);
        assert_member(PtSetting, doc, 16, 8);
        assert_member(PtSetting, type, 24, 4);
        assert_member(PtSetting, flags, 28, 4);
        assert_member(PtSetting, minimum, 32, 8);
        assert_member(PtSetting, maximum, 40, 8);
        assert_member(PtSetting, choices, 48, 8);
        assert_member(PtSetting, default_text, 56, 8);
}

static void test_step(void **state) {
        assert_size(PtStep, 56);
        assert_member(PtStep, kind, 0, 4);
        assert_member(PtStep, flags, 4, 4);
        assert_member(PtStep, device, 8, 8);
        assert_member(PtStep, name, 16, 8);
        assert_member(PtStep, value, 24, 8);
        assert_member(PtStep, sentence, 32, 8);
        assert_member(PtStep, timeout_ms, 40, 4);
        assert_member(PtStep, uid, 44, 4);
        assert_member(PtStep, gid, 48, 4);
        assert_member(PtStep, mode, 52, 4);
}

static void test_device(void **state) {
        assert_size(PtDevice, 64);
        assert_member(PtDevice, struct_size, 0, 4);
        assert_member(PtDevice, numa_node_plus_1, 4, 4);
        assert_member(PtDevice, id, 8, 8);
        assert_member(PtDevice, subsystem, 16, 8);
        assert_member(PtDevice, sysname, 24, 8);
        assert_member(PtDevice, devtype, 32, 8);
        assert_member(PtDevice, driver, 40, 8);
        assert_member(PtDevice, iommu_group, 48, 4);
        assert_member(PtDevice, slot, 52, 4);
        assert_member(PtDevice, place, 56, 8);

        assert_size(PtFinding, 40);
        assert_member(PtFinding, severity, 0, 4);
        assert_member(PtFinding, reserved, 4, 4);
        assert_member(PtFinding, code, 8, 8);
        assert_member(PtFinding, text, 16, 8);
        assert_member(PtFinding, culprit, 24, 8);
        assert_member(PtFinding, remedy, 32, 8);

        assert_size(PtIdentity, 32);
        assert_member(PtIdentity, kind, 0, 8);
        assert_member(PtIdentity, strength, 8, 4);
        assert_member(PtIdentity, reserved, 12, 4);
        assert_member(PtIdentity, condition, 16, 8);
        assert_member(PtIdentity, breaks, 24, 8);

        assert_size(PtAttachment, 72);
        assert_member(PtAttachment, struct_size, 0, 4);
        assert_member(PtAttachment, flags, 4, 4);
        assert_member(PtAttachment, device, 8, 8);
        assert_member(PtAttachment, driver, 16, 8);
        assert_member(PtAttachment, libvirt_type, 24, 8);
        assert_member(PtAttachment, address, 32, 8);
        assert_member(PtAttachment, nodes, 40, 8);
        assert_member(PtAttachment, properties, 48, 8);
        assert_member(PtAttachment, environment, 56, 8);
        assert_member(PtAttachment, libvirt, 64, 8);
}

static void test_services(void **state) {
        assert_size(PtServices, 304);
        assert_member(PtServices, struct_size, 0, 4);
        assert_member(PtServices, abi_minor, 4, 4);
        assert_member(PtServices, log, 8, 8);
        assert_member(PtServices, read_attribute, 16, 8);
        assert_member(PtServices, read_link, 24, 8);
        assert_member(PtServices, list, 32, 8);
        assert_member(PtServices, property, 40, 8);
        assert_member(PtServices, host_fact, 48, 8);
        assert_member(PtServices, get_field, 56, 8);
        assert_member(PtServices, get_setting, 64, 8);
        assert_member(PtServices, put_field, 72, 8);
        assert_member(PtServices, put_name, 80, 8);
        assert_member(PtServices, put_role, 88, 8);
        assert_member(PtServices, put_key, 96, 8);
        assert_member(PtServices, put_identity, 104, 8);
        assert_member(PtServices, put_finding, 112, 8);
        assert_member(PtServices, put_step, 120, 8);
        assert_member(PtServices, put_attachment, 128, 8);
        assert_member(PtServices, put_observed, 136, 8);
        assert_member(PtServices, read_slow, 144, 8);
        assert_member(PtServices, write_attribute, 152, 8);
        assert_member(PtServices, set_error, 160, 8);
        assert_member(PtServices, get_demand_setting, 168, 8);
        assert_member(PtServices, put_layout, 176, 8);
        assert_member(PtServices, put_capacity, 184, 8);
        assert_member(PtServices, put_provider, 192, 8);
        assert_member(PtServices, get_noted, 200, 8);
        assert_member(PtServices, open_node, 208, 8);
        assert_member(PtServices, put_blob, 216, 8);
        assert_member(PtServices, get_blob, 224, 8);
        assert_member(PtServices, demand_accepts, 232, 8);
        assert_member(PtServices, put_slots, 240, 8);
        assert_member(PtServices, setting_is_given, 248, 8);
        assert_member(PtServices, put_room, 256, 8);
        assert_member(PtServices, get_made, 264, 8);
        assert_member(PtServices, run_helper, 272, 8);
        assert_member(PtServices, put_use, 280, 8);
        assert_member(PtServices, put_size, 288, 8);
        assert_member(PtServices, put_profile, 296, 8);

        assert_size(PtHelper, 16);
        assert_member(PtHelper, name, 0, 8);
        assert_member(PtHelper, path, 8, 8);

        assert_size(PtDemand, 24);
        assert_member(PtDemand, struct_size, 0, 4);
        assert_member(PtDemand, claimed, 4, 4);
        assert_member(PtDemand, group, 8, 8);
        assert_member(PtDemand, group_name, 16, 8);

        assert_size(PtContext, 8);
        assert_member(PtContext, services, 0, 8);
}

static void test_request(void **state) {
        assert_size(PtFilter, 40);
        assert_member(PtFilter, subsystem, 0, 8);
        assert_member(PtFilter, devtype, 8, 8);
        assert_member(PtFilter, driver, 16, 8);
        assert_member(PtFilter, vendor, 24, 4);
        assert_member(PtFilter, class_code, 28, 4);
        assert_member(PtFilter, class_mask, 32, 4);

        assert_size(PtRequest, 48);
        assert_member(PtRequest, struct_size, 0, 4);
        assert_member(PtRequest, verb, 4, 4);
        assert_member(PtRequest, device, 8, 8);
        assert_member(PtRequest, bundle, 16, 8);
        assert_member(PtRequest, uid, 24, 4);
        assert_member(PtRequest, gid, 28, 4);
        assert_member(PtRequest, flags, 32, 4);
        assert_member(PtRequest, reserved, 36, 4);
        assert_member(PtRequest, uuid, 40, 8);

        assert_size(PtCustomStep, 32);
        assert_member(PtCustomStep, name, 0, 8);
        assert_member(PtCustomStep, observe, 8, 8);
        assert_member(PtCustomStep, run, 16, 8);
        assert_member(PtCustomStep, undo, 24, 8);
}

static void test_module(void **state) {
        assert_size(PtModule, 232);
        assert_member(PtModule, abi_major, 0, 4);
        assert_member(PtModule, abi_minor, 4, 4);
        assert_member(PtModule, struct_size, 8, 4);
        assert_member(PtModule, flags, 12, 4);
        assert_member(PtModule, type, 16, 8);
        assert_member(PtModule, title, 24, 8);
        assert_member(PtModule, version, 32, 8);
        assert_member(PtModule, documentation, 40, 8);
        assert_member(PtModule, guest_driver, 48, 8);
        assert_member(PtModule, use_cases, 56, 8);
        assert_member(PtModule, default_class, 64, 8);
        assert_member(PtModule, filters, 72, 8);
        assert_member(PtModule, fields, 80, 8);
        assert_member(PtModule, settings, 88, 8);
        assert_member(PtModule, custom_steps, 96, 8);
        assert_member(PtModule, describe, 104, 8);
        assert_member(PtModule, observe, 112, 8);
        assert_member(PtModule, uses, 120, 8);
        assert_member(PtModule, identity, 128, 8);
        assert_member(PtModule, check, 136, 8);
        assert_member(PtModule, plan, 144, 8);
        assert_member(PtModule, guest, 152, 8);
        assert_member(PtModule, layout, 160, 8);
        assert_member(PtModule, capacity, 168, 8);
        assert_member(PtModule, health, 176, 8);
        assert_member(PtModule, follow, 184, 8);
        assert_member(PtModule, check_settings, 192, 8);
        assert_member(PtModule, helpers, 200, 8);
        assert_member(PtModule, change, 208, 8);
        assert_member(PtModule, verify, 216, 8);
        assert_member(PtModule, use, 224, 8);

        assert_size(PtFormer, 24);
        assert_member(PtFormer, struct_size, 0, 4);
        assert_member(PtFormer, same_place, 4, 4);
        assert_member(PtFormer, conditions, 8, 8);
        assert_member(PtFormer, kinds, 16, 8);
}

static void test_enumerations(void **state) {
        static const struct {
                int seen, pinned;
        } values[] = {
                { PT_NONE, 0 },
                { PT_BOOL, 98 },
                { PT_INT32, 105 },
                { PT_UINT32, 117 },
                { PT_INT64, 120 },
                { PT_UINT64, 116 },
                { PT_STRING, 115 },
                { PT_STRV, 97 },

                { PT_FIELD_CONSTANT, 1 },
                { PT_FIELD_MATCHABLE, 2 },
                { PT_FIELD_SCRUB, 4 },
                { PT_FIELD_SLOW, 8 },
                { PT_FIELD_VOLATILE, 16 },
                { PT_FIELD_FOLLOWED, 32 },

                { PT_SETTING_GROUP, 1 },
                { PT_SETTING_CONSUMER, 2 },
                { PT_SETTING_OVERRIDE, 4 },

                { PT_STEP_INVALID, 0 },
                { PT_STEP_WRITE_ATTRIBUTE, 1 },
                { PT_STEP_SET_DRIVER, 2 },
                { PT_STEP_RESET, 3 },
                { PT_STEP_NODE_OWNER, 4 },
                { PT_STEP_LOAD_MODULE, 5 },
                { PT_STEP_WAIT, 6 },
                { PT_STEP_CUSTOM, 7 },
                { PT_STEP_SET_VF_COUNT, 8 },
                { PT_STEP_CREATE_MDEV, 9 },
                { _PT_STEP_MAX, 10 },

                { PT_STEP_IDEMPOTENT, 1 },
                { PT_STEP_NO_RETURN, 2 },
                { PT_STEP_OPTIONAL, 4 },
                { PT_STEP_DEMANDED, 8 },

                { PT_VERB_ACTIVATE, 0 },
                { PT_VERB_DEACTIVATE, 1 },
                { PT_VERB_RESET, 2 },
                { PT_VERB_PROVISION, 3 },
                { PT_VERB_UNPROVISION, 4 },
                { PT_VERB_FOLLOW, 5 },
                { _PT_VERB_MAX, 6 },

                { PT_SEVERITY_NOTE, 0 },
                { PT_SEVERITY_WARNING, 1 },
                { PT_SEVERITY_BLOCKER, 2 },
                { _PT_SEVERITY_MAX, 3 },

                { PT_ROLE_OFFER, 0 },
                { PT_ROLE_BRIDGE, 1 },
                { PT_ROLE_PLATFORM, 2 },
                { PT_ROLE_PROVIDER, 3 },
                { _PT_ROLE_MAX, 4 },

                { PT_REQUEST_PARK_COMPANIONS, 1 },

                { PT_TYPE_SHARED, 1 },
                { PT_TYPE_MIGRATABLE, 2 },
                { PT_TYPE_NEEDS_IOMMU, 4 },
                { PT_TYPE_FOLLOWS, 8 },      { PT_TYPE_KEEPS_DRIVER, 16 },
        };

        for (size_t i = 0; i < ELEMENTSOF(values); i++)
                assert_int_equal(values[i].seen, values[i].pinned);
        assert_int_equal(sizeof(PtRole), 4); /* passed by value to put_role() */
}

static void test_version(void **state) {
        assert_int_equal(PT_ABI_MAJOR, 1);
        assert_int_equal(PT_ABI_MINOR, 3);
        assert_string_equal(PT_MODULE_ENTRY, "pt_module_descriptor");
}

static void log_nothing(PtContext *ctx, int level, const char *text) {
}

/* A service counts as there only when the structure reaches to its end and it is set. */
static void test_has_service(void **state) {
        PtServices services = { .struct_size = 24, .log = log_nothing };

        assert_false(PT_HAS_SERVICE(&services, read_attribute));
        services.struct_size = 16;
        assert_true(PT_HAS_SERVICE(&services, log));
        services.struct_size = 15;
        assert_false(PT_HAS_SERVICE(&services, log));
        services.struct_size = sizeof(services);
        assert_true(PT_HAS_SERVICE(&services, log));
        assert_false(PT_HAS_SERVICE(&services, set_error));
}

static const PtModule descriptor = { .abi_major = PT_ABI_MAJOR, .type = "test" };
PT_MODULE_DEFINE(descriptor)

static void test_entry(void **state) {
        PtModuleEntry entry = pt_module_descriptor;

        assert_ptr_equal(entry(), &descriptor);
}

static void test_value_macros(void **state) {
        static const char *const words[] = { "a", NULL };

        assert_int_equal(PT_VALUE_BOOL(true).type, 98);
        assert_true(PT_VALUE_BOOL(true).b);
        assert_int_equal(PT_VALUE_INT32(-1).type, 105);
        assert_int_equal(PT_VALUE_INT32(-1).i, -1);
        assert_int_equal(PT_VALUE_UINT32(1).type, 117);
        assert_int_equal(PT_VALUE_UINT32(1).u, 1);
        assert_int_equal(PT_VALUE_INT64(-1).type, 120);
        assert_int_equal(PT_VALUE_INT64(-1).x, -1);
        assert_int_equal(PT_VALUE_UINT64(1).type, 116);
        assert_int_equal(PT_VALUE_UINT64(1).t, 1);
        assert_int_equal(PT_VALUE_STRING("a").type, 115);
        assert_string_equal(PT_VALUE_STRING("a").s, "a");
        assert_int_equal(PT_VALUE_STRV(words).type, 97);
        assert_ptr_equal(PT_VALUE_STRV(words).strv, words);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),       cmocka_unit_test(test_step),
                cmocka_unit_test(test_device),       cmocka_unit_test(test_services),
                cmocka_unit_test(test_request),      cmocka_unit_test(test_module),
                cmocka_unit_test(test_enumerations), cmocka_unit_test(test_version),
                cmocka_unit_test(test_has_service),  cmocka_unit_test(test_entry),
                cmocka_unit_test(test_value_macros),
        };

        if (sizeof(void *) != 8)
                return 77; /* the numbers are those of LP64 machines */
        return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
