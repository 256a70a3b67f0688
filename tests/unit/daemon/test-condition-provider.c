/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../lib/test.h"
#include "daemon/condition.h"
#include "daemon/provider.h"
#include "fake-inventory.h"

static PtModule descriptor;
static Module module; /* like fake_module, with providers */
static Inventory *inventory;
static Device *card, *child, *orphan;
static Provider *provider;

static int no_layout(PtContext *ctx, const PtDevice *device, const PtDemand *const *demands) {
        return 0;
}

static int setup(void **state) {
        inventory = fake_inventory_new();
        descriptor = *fake_module.descriptor;
        descriptor.layout = no_layout;
        module = fake_module;
        module.descriptor = &descriptor;

        card = fake_device(inventory, &module, "pci", "0000:3b:00.0");
        fake_set_text(inventory, card, FIELD_SLOT, "0000:3b:00.0");
        fake_set_text(inventory, card, FIELD_NAME, "card");
        fake_set_number(card, FIELD_TOTAL_VFS, 7);
        card->role = PT_ROLE_PROVIDER;
        child = fake_device(inventory, &module, "pci", "0000:3b:10.0");
        fake_set_text(inventory, child, FIELD_SLOT, "0000:3b:10.0");
        fake_set_number(child, FIELD_NUMA_NODE, 2);
        orphan = fake_device(inventory, &module, "pci", "0000:3c:10.0");
        fake_set_text(inventory, orphan, FIELD_SLOT, "0000:3c:10.0");
        card->slow = child->slow = orphan->slow = SLOW_FRESH;

        provider = calloc(1, sizeof(*provider) + 1);
        assert_non_null(provider);
        provider->module = &module;
        provider->device = card;
        card->provider = child->provider = provider;
        return 0;
}

static int teardown(void **state) {
        card->provider = child->provider = NULL;
        free(provider);
        fake_inventory_free(inventory);
        return 0;
}

static ConditionList *parse(const char *text) {
        _cleanup_fault_ Fault fault = { 0 };
        ConditionList *list = NULL;

        if (conditions_from_text(text, &module, &list, &fault) < 0)
                fail_msg("\"%s\" is refused: %s", text, strempty(fault.message));
        return list;
}

static void assert_match(const char *text, const Device *device, Match expected) {
        _cleanup_(conditions_freep) ConditionList *list = parse(text);

        assert_int_equal(conditions_match(list, device, NULL), expected);
}

static void test_device(void **state) {
        assert_match("provider.slot = 0000:3b:00.0", child, MATCH_YES);
        assert_match("provider.name ~ ^c.rd$", child, MATCH_YES);
        assert_match("provider.total-vfs >= 8", child, MATCH_NO);
        assert_match("provider.slot = 0000:3b:00.0 and slot = 0000:3b:10.0", child, MATCH_YES);
        assert_match("provider.slot = 0000:3b:00.0 and slot = 0000:3b:00.0", child, MATCH_NO);
        /* One without a provider has none of its fields, and is not "not equal" to them either. */
        assert_match("provider.slot = 0000:3b:00.0", orphan, MATCH_NO);
        assert_match("provider.slot != 0000:3b:00.0", orphan, MATCH_NO);
        /* A provider is not its own. */
        assert_match("provider.slot = 0000:3b:00.0", card, MATCH_NO);
        provider->device = NULL;
        assert_match("provider.slot = 0000:3b:00.0", child, MATCH_NO);
}

static void test_slow(void **state) {
        fake_set_text(inventory, card, FIELD_SERIAL, "AB12");
        assert_match("provider.serial = AB12", child, MATCH_YES);
        fake_set_unknown(card, FIELD_SERIAL);
        card->slow = SLOW_UNKNOWN;
        assert_match("provider.serial = AB12", child, MATCH_UNKNOWN);
}

static void test_provider(void **state) {
        static const struct {
                const char *text;
                Match expected;
        } cases[] = {
                { "provider.slot = 0000:3b:00.0", MATCH_YES },
                { "provider.slot = 0000:3b:00.0 and slot = elsewhere", MATCH_YES },
                { "provider.slot = 0000:3b:00.0 and provider.total-vfs > 7", MATCH_NO },
                { "slot = 0000:3b:00.0", MATCH_NO }, /* speaks of devices only */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(conditions_freep) ConditionList *list = parse(cases[i].text);

                assert_int_equal(conditions_match_provider(list, card), cases[i].expected);
        }
}

static void test_accept(void **state) {
        _cleanup_(conditions_freep) ConditionList *list =
                parse("provider.numa-node = 9 and numa-node >= 2 and numa-node <= 4 and slot ^= 0000");
        bool other;

        for (int32_t n = 0; n < 7; n++) {
                assert_int_equal(conditions_accept(list, FIELD_NUMA_NODE, &PT_VALUE_INT32(n), &other), n >= 2 && n <= 4);
                assert_true(other);
        }
        conditions_free(list);
        list = parse("provider.slot = x and slot $= .0");
        assert_true(conditions_accept(list, FIELD_SLOT, &PT_VALUE_STRING("0000:3b:10.0"), &other));
        assert_false(other);
        assert_false(conditions_accept(list, FIELD_SLOT, &PT_VALUE_STRING("0000:3b:10.2"), &other));
}

/* A field of the device and the same one of its provider have nothing to do with each other. */
static void test_apart(void **state) {
        _cleanup_(conditions_freep) ConditionList *list = parse("slot = a and provider.slot = b");

        assert_null(conditions_contradiction(list));
        assert_true(conditions_name_provider(list));
        assert_int_equal(conditions_fields(list), UINT64_C(1) << FIELD_SLOT);
}

static void test_refused(void **state) {
        static const struct {
                const char *text, *reason;
        } cases[] = {
                { "provider.slott = x", "did you mean \"provider.slot\"" },
                { "provider. = x", "no field" },
                { "provider.secret = x", "cannot be used in conditions" },
                { "provider.numa-node = many", "numa-node" },
                { "provider.boot-vga ~ x", "operator" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_fault_ Fault fault = { 0 };
                ConditionList *list = NULL;

                assert_true(conditions_from_text(cases[i].text, &module, &list, &fault) < 0);
                if (!strstr(strempty(fault.message), cases[i].reason))
                        fail_msg("\"%s\": %s", cases[i].text, strempty(fault.message));
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_device), TEST(test_slow),  TEST(test_provider),
                TEST(test_accept), TEST(test_apart), TEST(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
