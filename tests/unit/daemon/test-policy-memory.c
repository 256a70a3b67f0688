/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../lib/test.h"
#include "daemon/policy.h"
#include "fake-inventory.h"

/* Memory that runs out while rules and groups are read, previewed and written: everything is done again and
 * again, with the first, the second, the third … allocation failing, until it succeeds. Each failure is
 * -ENOMEM with its fault and, which the sanitizers see, loses nothing.
 *
 * The service's calls of the allocator are redirected here by the linker (--wrap), jansson's by its own hook.
 */

static int allocations_left = -1; /* -1: as many as wanted */
static unsigned denied;

static bool deny(void) {
        if (allocations_left < 0 || allocations_left-- > 0)
                return false;
        allocations_left = 0;
        denied++;
        return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) {
        return deny() ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size) {
        return deny() ? NULL : __real_calloc(n, size);
}

void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size) {
        return deny() ? NULL : __real_reallocarray(p, n, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text) {
        return deny() ? NULL : __real_strdup(text);
}

char *__real_strndup(const char *text, size_t length);
char *__wrap_strndup(const char *text, size_t length);
char *__wrap_strndup(const char *text, size_t length) {
        return deny() ? NULL : __real_strndup(text, length);
}

static void *jansson_malloc(size_t size) {
        return deny() ? NULL : __real_malloc(size);
}

static Inventory *inventory;
static Policy *policy;
static Group *group;

/* Calls `attempt` until nothing was denied to it any more; it must have succeeded then. */
static void starve(int (*attempt)(Fault *fault)) {
        for (int i = 0;; i++) {
                _cleanup_fault_ Fault fault = { 0 };
                int r;

                denied = 0;
                allocations_left = i;
                r = attempt(&fault);
                allocations_left = -1;

                if (denied == 0) {
                        assert_true(i > 0);
                        assert_int_equal(r, 0);
                        return;
                }
                /* What was denied may have been for a comfort only: a memo, a warning's wording. */
                if (r < 0) {
                        assert_int_equal(r, -ENOMEM);
                        assert_int_equal(fault.code, FAULT_NO_MEMORY);
                }
        }
}

static const char *const text =
        "vendor-id = v1 and name ~ ^A and name icontains \"Ä b\" and numa-node <= 1 and boot-vga = yes";

static int attempt_text(Fault *fault) {
        _cleanup_(conditions_freep) ConditionList *list = NULL;
        _cleanup_free_ char *written = NULL, *contradiction = NULL;
        int r;

        r = conditions_from_text(text, &fake_module, &list, fault);
        if (r < 0)
                return r;
        (void) conditions_match(list, inventory_first(inventory), NULL);
        contradiction = conditions_contradiction(list);
        assert_null(contradiction);
        return conditions_to_text(list, &written) < 0 ? fault_oom(fault) : 0;
}

static int attempt_json(Fault *fault) {
        _cleanup_(conditions_freep) ConditionList *list = NULL;
        json_auto_t *triples = json_pack("[[sss][ssi]]", "name", "regex", "^A", "numa-node", "<", 3);
        json_auto_t *written = NULL;
        int r;

        if (!triples)
                return fault_oom(fault);
        r = conditions_from_json(triples, &fake_module, &list, fault);
        if (r < 0)
                return r;
        written = conditions_to_json(list);
        return written ? 0 : fault_oom(fault);
}

static json_t *rule_body;
static json_t *group_body;
static bool stored;

static int attempt_rule(Fault *fault) {
        _cleanup_(rule_freep) Rule *rule = NULL;
        json_auto_t *written = NULL;
        int r;

        r = rule_from_json("rule-1", rule_body, group, group->module, stored, &rule, fault);
        if (r < 0)
                return r;
        written = rule_to_json(rule);
        return written ? 0 : fault_oom(fault);
}

static int attempt_group(Fault *fault) {
        _cleanup_(group_freep) Group *g = NULL;
        json_auto_t *written = NULL;
        int r;

        r = group_from_json("group-1", group_body, fake_loader(), stored, &g, fault);
        if (r < 0)
                return r;
        written = group_to_json(g);
        return written ? 0 : fault_oom(fault);
}

static int attempt_preview(Fault *fault) {
        json_auto_t *where = json_string("numa-node < 1 and numa-node > 3 and bus-number = 1"), *result = NULL;

        return where ? policy_preview(policy, group, where, &result, fault) : fault_oom(fault);
}

static int attempt_identify(Fault *fault) {
        json_auto_t *result = NULL;

        return policy_identify(policy, inventory_first(inventory), &result, fault);
}

static int setup(void **state) {
        json_auto_t *body = json_pack("{ss ss}", "name", "all", "type", "test");

        inventory = fake_inventory_new();
        for (unsigned i = 0; i < 4; i++) {
                char sysname[16];
                Device *device;

                (void) snprintf(sysname, sizeof(sysname), "0000:00:0%u.0", i);
                device = fake_device(inventory, &fake_module, "pci", sysname);
                device->slow = SLOW_FRESH;
                fake_set_text(inventory, device, FIELD_SLOT, sysname);
                fake_set_text(inventory, device, FIELD_NAME, "A100 ä B");
                fake_set_text(inventory, device, FIELD_VENDOR_ID, "v1");
                fake_set_number(device, FIELD_BOOT_VGA, true);
                fake_set_number(device, FIELD_NUMA_NODE, 1);
                fake_set_number(device, FIELD_BUS_NUMBER, 1);
        }
        assert_int_equal(policy_new(inventory, fake_loader(), "host1", NULL, &policy), 0);
        assert_int_equal(group_from_json("all", body, fake_loader(), false, &group, NULL), 0);
        assert_int_equal(policy_add_group(policy, group), 0);
        return 0;
}

static int teardown(void **state) {
        policy = policy_free(policy);
        inventory = fake_inventory_free(inventory);
        return 0;
}

static void test_conditions(void **state) {
        /* The hash table gives up the process when it has no memory for its first entry: it has one here. */
        _cleanup_(conditions_freep) ConditionList *holder = NULL;

        assert_int_equal(conditions_from_text("name ~ x", &fake_module, &holder, NULL), 0);
        (void) conditions_match(holder, inventory_first(inventory), NULL);
        starve(attempt_text);
        starve(attempt_json);
}

static void test_bodies(void **state) {
        rule_body = json_pack("{ss ss ss}", "name", "x", "node-filter", "host*", "where", text);
        group_body = json_pack("{ss ss s{ss si} s[s]}", "name", "x", "type", "test", "settings", "mode", "fast",
                               "rate", 3, "user-defined", "rate");
        for (int i = 0; i < 2; i++) {
                stored = i > 0;
                starve(attempt_rule);
                starve(attempt_group);
        }
        json_object_set_new(rule_body, "where", json_string("colour = red"));
        json_object_set_new(group_body, "type", json_string("gone"));
        starve(attempt_rule);
        starve(attempt_group);
        json_object_set_new(group_body, "type", json_string("test"));
        json_object_set_new(json_object_get(group_body, "settings"), "turbo", json_string("on"));
        starve(attempt_group);
        json_decref(rule_body);
        json_decref(group_body);
}

static void test_preview_and_identity(void **state) {
        static const FakeIdentity identities[] = {
                { "vendor", 90, "vendor-id = v1", "more of them" },
                { "odd", 80, "vendor-id", "everything" },
                { "slot", 0, "slot = %s", "a move" },
                { 0 },
        };

        fake_set_identities(inventory, identities);
        starve(attempt_preview);
        starve(attempt_identify);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_conditions),
                TEST(test_bodies),
                TEST(test_preview_and_identity),
        };

        json_set_alloc_funcs(jansson_malloc, free);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
