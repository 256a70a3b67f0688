/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/policy.h"

#include "../lib/test.h"
#include "fake-inventory.h"
#include "lib/limits.h"
#include "lib/parse.h"

/* What the policy told: counts since the last look. */
typedef struct Told {
        unsigned membership, group_changed, want_slow;
        Device *last_device;
        Group *last_group;
} Told;

static Inventory *inventory;
static Policy *policy;
static Told told;

static void on_membership(void *userdata, Device *device) {
        told.membership++;
        told.last_device = device;
}

static void on_group_changed(void *userdata, Group *group) {
        told.group_changed++;
        told.last_group = group;
}

static void on_want_slow(void *userdata, Device *device) {
        told.want_slow++;
        told.last_device = device;
}

static int setup(void **state) {
        static const PolicyEvents events = {
                .membership = on_membership,
                .group_changed = on_group_changed,
                .want_slow = on_want_slow,
        };

        inventory = fake_inventory_new();
        assert_int_equal(policy_new(inventory, fake_loader(), "host1", &events, &policy), 0);
        told = (Told){ 0 };
        return 0;
}

static int teardown(void **state) {
        policy = policy_free(policy);
        for (Device *d = inventory_first(inventory); d; d = d->hh.next)
                assert_null(d->groups);
        fake_inventory_free(inventory);
        return 0;
}

/* Since the last call, and from zero again. */
static void assert_told(unsigned membership, unsigned group_changed, unsigned want_slow) {
        assert_int_equal(told.membership, membership);
        assert_int_equal(told.group_changed, group_changed);
        assert_int_equal(told.want_slow, want_slow);
        told = (Told){ 0 };
}

static Group *add_group(const char *id) {
        json_auto_t *body = json_pack("{ss ss}", "name", id, "type", "test");
        Group *group = NULL;

        assert_int_equal(group_from_json(id, body, fake_loader(), false, &group, NULL), 0);
        assert_int_equal(policy_add_group(policy, group), 0);
        return group;
}

static Rule *make_rule(Group *group, const char *id, const char *action, const char *where) {
        json_auto_t *body = json_pack("{ss ss}", "action", action, "where", where);
        Rule *rule = NULL;
        Fault fault = { 0 };

        if (rule_from_json(id, body, group, group->module, false, &rule, &fault) < 0)
                fail_msg("%s", fault.message);
        return rule;
}

static Rule *add_rule(Group *group, const char *id, const char *action, const char *where) {
        Rule *rule = make_rule(group, id, action, where);

        assert_int_equal(policy_add_rule(policy, rule), 0);
        return rule;
}

/* A device of vendor "v0" … "v4" on node 0 or 1, by its number. */
static Device *make_device(unsigned number) {
        char sysname[32], vendor[16];
        Device *device;

        (void) snprintf(sysname, sizeof(sysname), "%04x:%02x:%02x.0", number >> 13, (number >> 5) & 0xff,
                        number & 0x1f);
        (void) snprintf(vendor, sizeof(vendor), "v%u", number % 5);
        device = fake_device(inventory, &fake_module, "pci", sysname);
        fake_set_text(inventory, device, FIELD_SLOT, sysname);
        fake_set_text(inventory, device, FIELD_VENDOR_ID, vendor);
        fake_set_number(device, FIELD_NUMA_NODE, number % 2);
        return device;
}

static Device *add_device(unsigned number) {
        Device *device = make_device(number);

        policy_device_added(policy, device);
        return device;
}

/* Links in both directions agree, and nothing is there twice. */
static void assert_sound(void) {
        for (Device *d = inventory_first(inventory); d; d = d->hh.next)
                for (size_t i = 0; d->groups && d->groups[i]; i++) {
                        size_t found = 0;

                        for (size_t j = 0; j < d->groups[i]->n_members; j++)
                                found += d->groups[i]->members[j] == d;
                        assert_int_equal(found, 1);
                        for (size_t j = 0; j < i; j++)
                                assert_ptr_not_equal(d->groups[i], d->groups[j]);
                }
        for (Group *g = policy_first_group(policy); g; g = g->hh.next)
                for (size_t i = 0; i < g->n_members; i++)
                        assert_true(group_has_member(g, g->members[i]));
}

/* The definition, spelled out. */
static bool belongs(const Group *group, const Device *device) {
        bool included = false;

        if (device->role != PT_ROLE_OFFER || device->module != group->module)
                return false;
        for (const Rule *rule = group->rules; rule; rule = rule->next) {
                Match match;

                if (!rule_applies(rule, "host1"))
                        continue;
                match = conditions_match(rule->where, device, NULL);
                if (rule->action == RULE_EXCLUDE && (rule->invalid || match != MATCH_NO))
                        return false;
                included |= rule->action == RULE_INCLUDE && match == MATCH_YES;
        }
        return included;
}

static void assert_membership_true(void) {
        assert_sound();
        for (Group *g = policy_first_group(policy); g; g = g->hh.next)
                for (Device *d = inventory_first(inventory); d; d = d->hh.next)
                        if (group_has_member(g, d) != belongs(g, d))
                                fail_msg("%s in %s: %d", d->id, g->id, group_has_member(g, d));
}

static void test_tables(void **state) {
        Group *a = add_group("a"), *b = add_group("b"), *other = NULL;
        Rule *rule = add_rule(a, "a-1", "include", "vendor-id = v1");
        json_auto_t *body = json_pack("{ss ss}", "name", "b", "type", "test");

        assert_ptr_equal(policy_find_group(policy, "a"), a);
        assert_null(policy_find_group(policy, "c"));
        assert_ptr_equal(policy_find_rule(policy, "a-1"), rule);
        assert_ptr_equal(policy_first_group(policy), a);
        assert_ptr_equal(policy_first_rule(policy), rule);
        assert_int_equal(policy_count_groups(policy), 2);
        assert_int_equal(policy_count_rules(policy), 1);

        /* The id comes before the name. */
        free(a->name);
        a->name = strdup("b");
        assert_ptr_equal(policy_find_group_by_name(policy, "b"), b);
        free(a->name);
        a->name = strdup("Other name");
        assert_ptr_equal(policy_find_group_by_name(policy, "Other name"), a);
        assert_null(policy_find_group_by_name(policy, "nobody"));

        assert_int_equal(group_from_json("b", body, fake_loader(), false, &other, NULL), 0);
        assert_int_equal(policy_add_group(policy, other), -EEXIST);
        group_free(other);
        rule = make_rule(b, "a-1", "include", "vendor-id = v1");
        assert_int_equal(policy_add_rule(policy, rule), -EEXIST);
        rule_free(rule);
        rule = make_rule(b, "new", "include", "vendor-id = v1");
        assert_int_equal(policy_replace_rule(policy, rule), -ENOENT);
        rule_free(rule);

        policy_remove_group(policy, a);
        assert_null(policy_find_rule(policy, "a-1"));
        assert_int_equal(policy_count_groups(policy), 1);
        assert_int_equal(policy_count_rules(policy), 0);
}

static void test_events(void **state) {
        Group *group = add_group("a");
        Device *one = add_device(1), *two = add_device(2);
        Rule *rule;

        assert_told(0, 0, 0);
        rule = add_rule(group, "a-1", "include", "vendor-id = v1");
        assert_ptr_equal(told.last_device, one);
        assert_told(1, 1, 0);
        assert_ptr_equal(one->groups[0], group);
        assert_null(one->groups[1]);
        assert_null(two->groups);

        /* A field that no rule names. */
        fake_set_text(inventory, two, FIELD_NAME, "v1");
        policy_device_changed(policy, two, UINT64_C(1) << FIELD_NAME);
        assert_told(0, 0, 0);
        /* One that a rule names. */
        fake_set_text(inventory, two, FIELD_VENDOR_ID, "v1");
        policy_device_changed(policy, two, UINT64_C(1) << FIELD_NAME);
        assert_told(0, 0, 0);
        policy_device_changed(policy, two, UINT64_C(1) << FIELD_VENDOR_ID);
        assert_told(1, 1, 0);
        assert_int_equal(group->n_members, 2);

        /* Another rule that changes nothing says nothing. */
        add_rule(group, "a-2", "include", "vendor-id = v1 and numa-node = 1");
        assert_told(0, 0, 0);
        add_rule(group, "a-3", "exclude", "numa-node = 1");
        assert_told(1, 1, 0);
        assert_false(group_has_member(group, one));

        /* Disabled and enabled again. */
        rule = make_rule(group, "a-3", "exclude", "numa-node = 1");
        rule->enabled = false;
        assert_int_equal(policy_replace_rule(policy, rule), 0);
        assert_told(1, 1, 0);
        policy_remove_rule(policy, rule);
        assert_told(0, 0, 0);

        policy_device_removed(policy, one);
        assert_told(0, 1, 0);
        fake_remove(inventory, one);
        assert_int_equal(group->n_members, 1);
        policy_remove_group(policy, group);
        assert_told(1, 0, 0);
        assert_null(two->groups);
}

static void test_replace_group(void **state) {
        Group *group = add_group("a"), *next = NULL, *wrong = NULL;
        Device *one = add_device(1), *two;
        json_auto_t *body = json_pack("{ss ss sb ss}", "name", "New name", "type", "test", "enabled", 0,
                                      "choice", "pack");
        json_auto_t *typed = json_pack("{ss ss}", "name", "x", "type", "other");

        add_rule(group, "a-1", "include", "vendor-id = v1");
        told = (Told){ 0 };
        assert_int_equal(group_from_json("a", body, fake_loader(), false, &next, NULL), 0);
        assert_int_equal(policy_replace_group(policy, next), 0);
        assert_told(0, 1, 0);
        assert_ptr_equal(policy_find_group(policy, "a"), next);
        assert_ptr_equal(one->groups[0], next);
        assert_ptr_equal(policy_find_rule(policy, "a-1")->group, next);
        assert_string_equal(next->name, "New name");

        /* It goes on working: for new devices, and for rules at its end. */
        two = add_device(6);
        assert_true(group_has_member(next, two));
        add_rule(next, "a-2", "include", "vendor-id = v2");
        assert_ptr_equal(next->rules->next, policy_find_rule(policy, "a-2"));
        assert_membership_true();

        assert_int_equal(group_from_json("a", typed, fake_loader(), false, &wrong, NULL), 0);
        assert_int_equal(policy_replace_group(policy, wrong), -EINVAL);
        group_free(wrong);
}

static void test_never_offered(void **state) {
        Group *group = add_group("a");
        Device *bridge = make_device(1);

        add_rule(group, "a-1", "include", "vendor-id = v1");
        bridge->role = PT_ROLE_BRIDGE;
        policy_device_added(policy, bridge);
        assert_null(bridge->groups);
}

static void test_node_filter(void **state) {
        Group *group = add_group("a");
        json_auto_t *body = json_pack("{ss ss}", "node-filter", "host2", "where", "vendor-id = v1");
        Rule *rule = NULL;
        Device *device = add_device(1);

        assert_int_equal(rule_from_json("a-1", body, group, group->module, false, &rule, NULL), 0);
        assert_int_equal(policy_add_rule(policy, rule), 0);
        assert_null(device->groups);
        json_object_set_new(body, "node-filter", json_string("host[1-3]"));
        assert_int_equal(rule_from_json("a-1", body, group, group->module, false, &rule, NULL), 0);
        assert_int_equal(policy_replace_rule(policy, rule), 0);
        assert_non_null(device->groups);
}

/* Without its field an exclude rule cannot say who is to stay out, so nobody gets in. */
static void test_invalid_rules(void **state) {
        Group *group = add_group("a");
        Device *device = add_device(1);
        json_auto_t *body = json_pack("{ss ss}", "action", "exclude", "where", "colour = red");
        Rule *rule = NULL;

        add_rule(group, "a-1", "include", "vendor-id = v1");
        assert_true(group_has_member(group, device));
        assert_int_equal(rule_from_json("a-2", body, group, group->module, true, &rule, NULL), 0);
        assert_non_null(rule->invalid);
        assert_int_equal(policy_add_rule(policy, rule), 0);
        assert_false(group_has_member(group, device));
        assert_null(add_device(6)->groups);

        policy_remove_rule(policy, rule);
        assert_int_equal(group->n_members, 2);

        json_object_set_new(body, "action", json_string("include"));
        assert_int_equal(rule_from_json("a-2", body, group, group->module, true, &rule, NULL), 0);
        assert_int_equal(policy_add_rule(policy, rule), 0);
        assert_int_equal(group->n_members, 2);
        assert_membership_true();
}

static void test_missing_module(void **state) {
        json_auto_t *body = json_pack("{ss ss}", "name", "x", "type",
                                      "a type whose name is longer than names of types are");
        json_auto_t *where = json_pack("[[sss]]", "colour", "=", "red");
        json_auto_t *rule_body = json_pack("{sO}", "where", where);
        Group *group = NULL;
        Rule *rule = NULL;
        Fault fault = { 0 };
        json_t *preview = NULL;

        assert_int_equal(group_from_json("x", body, fake_loader(), true, &group, NULL), 0);
        assert_int_equal(policy_add_group(policy, group), 0);
        assert_int_equal(rule_from_json("x-1", rule_body, group, NULL, true, &rule, NULL), 0);
        assert_int_equal(policy_add_rule(policy, rule), 0);
        assert_null(add_device(1)->groups);
        assert_int_equal(policy_preview(policy, group, where, &preview, &fault), -ENOENT);
        assert_fault(&fault, FAULT_MODULE_MISSING, "missing");
}

static void test_slow_fields(void **state) {
        Group *group = add_group("a");
        Device *one = make_device(1), *two = make_device(2);

        policy_device_added(policy, one);
        policy_device_added(policy, two);
        add_rule(group, "a-1", "include", "vendor-id = v1 and serial begins AB");
        /* Only the one whose serial matters. */
        assert_ptr_equal(told.last_device, one);
        assert_told(0, 0, 1);

        one->slow = SLOW_READING;
        policy_device_changed(policy, one, 0);
        assert_told(0, 0, 0);
        one->slow = SLOW_FRESH;
        fake_set_text(inventory, one, FIELD_SERIAL, "AB12");
        policy_device_changed(policy, one, UINT64_C(1) << FIELD_SERIAL);
        assert_told(1, 1, 0);
        assert_true(group_has_member(group, one));

        /* A device that was read and has no serial: no field changed, but now it is known. */
        two->slow = SLOW_FRESH;
        add_rule(group, "a-2", "include", "serial = \"\"");
        assert_true(group_has_member(group, two));
        two->slow = SLOW_UNKNOWN;
        policy_device_changed(policy, two, 0);
        assert_false(group_has_member(group, two));
        two->slow = SLOW_FRESH;
        policy_device_changed(policy, two, 0);
        assert_true(group_has_member(group, two));
}

/* As long as it cannot be said whether a device is excluded, it is. */
static void test_slow_exclude(void **state) {
        Group *group = add_group("a");
        Device *device = add_device(1);

        add_rule(group, "a-1", "include", "vendor-id = v1");
        assert_told(1, 1, 0);
        add_rule(group, "a-2", "exclude", "serial = X");
        assert_told(1, 1, 1);
        assert_null(device->groups);
        device->slow = SLOW_FRESH;
        fake_set_text(inventory, device, FIELD_SERIAL, "Y");
        policy_device_changed(policy, device, UINT64_C(1) << FIELD_SERIAL);
        assert_told(1, 1, 0);
        assert_non_null(device->groups);
}

/* Incremental membership is what the definition says, whatever happens in whatever order. */
static uint32_t seed = 1;

static unsigned chance(unsigned n) {
        seed = seed * 1664525u + 1013904223u;
        return (seed >> 8) % n;
}

static Rule *random_rule(Group *group, const char *id) {
        static const char *const wheres[] = {
                "vendor-id = v1", "vendor-id != v2",
                "numa-node = 0",  "numa-node > 0 and vendor-id ~ ^v[34]",
                "serial = s1",    "vendor-id = v3 and serial != s2",
                "slot ends 1.0",  "slot contains :0",
                "driver = \"\"",  "driver icontains VFIO",
                "drivers = a",    "vendor-id ~ ^(v+)+$",
        };
        Rule *rule =
                make_rule(group, id, chance(4) ? "include" : "exclude", wheres[chance(ELEMENTSOF(wheres))]);

        rule->enabled = chance(5) > 0;
        return rule;
}

static void random_change(Device *device) {
        char text[16];
        uint64_t fields = 0;

        switch (chance(5)) {
        case 0:
                (void) snprintf(text, sizeof(text), "v%u", chance(5));
                fake_set_text(inventory, device, FIELD_VENDOR_ID, text);
                fields = UINT64_C(1) << FIELD_VENDOR_ID;
                break;
        case 1:
                fake_set_number(device, FIELD_NUMA_NODE, chance(3));
                fields = UINT64_C(1) << FIELD_NUMA_NODE;
                break;
        case 2:
                device->slow = SLOW_FRESH;
                if (chance(2)) {
                        (void) snprintf(text, sizeof(text), "s%u", chance(3));
                        fake_set_text(inventory, device, FIELD_SERIAL, text);
                        fields = UINT64_C(1) << FIELD_SERIAL;
                }
                break;
        case 3:
                if (chance(2))
                        fake_set_text(inventory, device, FIELD_DRIVER, "vfio-pci");
                else
                        fake_set_unknown(device, FIELD_DRIVER);
                fields = UINT64_C(1) << FIELD_DRIVER;
                break;
        default:
                fake_set_list(device, FIELD_DRIVERS, chance(2) ? "a,b" : "b");
                fields = UINT64_C(1) << FIELD_DRIVERS;
                break;
        }
        policy_device_changed(policy, device, fields);
}

static Device *random_device(void) {
        size_t n = inventory_count(inventory);
        Device *device = inventory_first(inventory);

        for (size_t i = n > 0 ? chance((unsigned) n) : 0; i > 0; i--)
                device = device->hh.next;
        return device;
}

static void random_step(unsigned step) {
        char id[ID_SIZE], group_id[8];
        Device *device = random_device();
        Group *group;
        Rule *rule;

        (void) snprintf(group_id, sizeof(group_id), "g%u", chance(4));
        group = policy_find_group(policy, group_id) ?: add_group(group_id);
        (void) snprintf(id, sizeof(id), "%s-%u", group_id, chance(6));
        rule = policy_find_rule(policy, id);

        switch (chance(10)) {
        case 0:
        case 1:
                (void) add_device(step);
                break;
        case 2:
                if (device) {
                        policy_device_removed(policy, device);
                        fake_remove(inventory, device);
                }
                break;
        case 3:
                if (chance(8) == 0)
                        policy_remove_group(policy, group);
                break;
        case 4:
                if (rule)
                        policy_remove_rule(policy, rule);
                break;
        case 5:
        case 6:
                if (rule)
                        assert_int_equal(policy_replace_rule(policy, random_rule(group, id)), 0);
                else
                        assert_int_equal(policy_add_rule(policy, random_rule(group, id)), 0);
                break;
        default:
                if (device)
                        random_change(device);
                break;
        }
}

static void test_random(void **state) {
        for (unsigned step = 0; step < 3000; step++) {
                random_step(step);
                if (step % 3 == 0)
                        assert_membership_true();
        }
}

static void test_rule_devices(void **state) {
        Group *group = add_group("a");
        _cleanup_free_ Device **devices = NULL;
        Rule *rule;
        size_t n = 0;

        for (unsigned i = 20; i > 0; i--)
                (void) add_device(i);
        rule = add_rule(group, "a-1", "include", "vendor-id = v1");
        assert_int_equal(policy_rule_devices(policy, rule, &devices, &n), 0);
        assert_int_equal(n, 4);
        assert_string_equal(devices[0]->id, "pci-0000-00-01-0");
        assert_string_equal(devices[3]->id, "pci-0000-00-10-0");
}

static json_t *preview(const Group *group, const char *where) {
        json_auto_t *text = json_string(where);
        json_t *result = NULL;
        Fault fault = { 0 };

        if (policy_preview(policy, group, text, &result, &fault) < 0)
                fail_msg("%s", fault.message);
        return result;
}

/* Whether one of the findings says it. */
static bool warns(json_t *result, const char *words) {
        json_t *finding;
        size_t i;

        json_array_foreach(json_object_get(result, "findings"), i, finding)
                if (strstr(json_string_value(json_object_get(finding, "text")), words))
                        return true;
        return false;
}

static void test_preview(void **state) {
        Group *group = add_group("a"), *other = add_group("b");
        json_auto_t *result = NULL, *expected = NULL, *near = NULL, *claimed = NULL;

        for (unsigned i = 1; i <= 6; i++)
                (void) add_device(i);
        add_rule(other, "b-1", "include", "slot ends 06.0");
        told = (Told){ 0 };

        result = preview(group, "vendor-id = v1 and slot begins 0000");
        expected = json_pack("[ss]", "pci-0000-00-01-0", "pci-0000-00-06-0");
        assert_true(json_equal(json_object_get(result, "matched"), expected));
        assert_int_equal(json_array_size(json_object_get(result, "near")), 4);
        near = json_pack("{ss ss ss ss ss}", "device", "pci-0000-00-02-0", "field", "vendor-id", "operator",
                         "eq", "value", "v1", "is", "v2");
        assert_true(json_equal(json_array_get(json_object_get(result, "near"), 0), near));
        claimed = json_pack("[{ss s[s]}]", "device", "pci-0000-00-06-0", "groups", "b");
        assert_true(json_equal(json_object_get(result, "claimed"), claimed));
        assert_true(warns(result, "1 of them belongs to other groups"));
        assert_int_equal(json_array_size(json_object_get(result, "findings")), 1);
        assert_told(0, 0, 0);
        assert_int_equal(group->n_members, 0);
}

static void test_preview_warnings(void **state) {
        Group *group = add_group("a");
        Device *bridge = make_device(31);

        bridge->role = PT_ROLE_BRIDGE;
        policy_device_added(policy, bridge);
        for (unsigned i = 0; i < 300; i++)
                (void) add_device(i == 31 ? 300 : i);
        add_rule(group, "a-1", "exclude", "slot ends 02.0");
        told = (Told){ 0 };

        json_auto_t *contradiction = preview(group, "numa-node < 1 and numa-node > 3");
        assert_true(warns(contradiction, "can never hold together"));
        json_auto_t *empty = preview(group, "");
        assert_true(warns(empty, "A rule needs at least one"));
        assert_true(warns(empty, "1 more matches: bridges"));
        assert_true(warns(empty, "10 of them are kept out by an exclude rule"));
        assert_int_equal(json_array_size(json_object_get(empty, "matched")), 300);
        json_auto_t *unstable = preview(group, "bus-number = 3 and slot begins 0000");
        assert_true(warns(unstable, "bus-number may differ after a restart"));
        assert_int_equal(json_array_size(json_object_get(unstable, "near")), PREVIEW_NEAR_MAX);
        assert_true(warns(unstable, "300 devices fail by one condition only; 100 are listed"));
        json_auto_t *single = preview(group, "slot ends 99.0");
        assert_int_equal(json_array_size(json_object_get(single, "near")), 0);
        json_auto_t *null = json_null();
        assert_true(json_equal(json_object_get(json_array_get(json_object_get(unstable, "near"), 0), "is"),
                               null));
        assert_told(0, 0, 0);
        json_auto_t *unread = preview(group, "serial = x and vendor-id = v0");
        assert_true(warns(unread, "devices were not read yet"));
        assert_int_equal(told.want_slow, 61);

        fake_set_text(inventory, random_device(), FIELD_NAME,
                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
        json_auto_t *evil = preview(group, "name ~ ^(a+)+$");
        assert_true(warns(evil, "takes too long"));
}

static void test_preview_refused(void **state) {
        Group *group = add_group("a");
        json_auto_t *where = json_pack("[[sss]]", "colour", "=", "red");
        json_t *result = NULL;
        Fault fault = { 0 };

        assert_int_equal(policy_preview(policy, group, where, &result, &fault), -EINVAL);
        assert_fault(&fault, FAULT_UNKNOWN_FIELD, "colour");
        assert_null(result);
}

static const FakeIdentity identities[] = {
        { "serial", 100, "serial = AB12", "nothing" },
        { "bus", 90, "bus-number = 3", "a restart" },
        { "vendor", 50, "vendor-id = v1 and numa-node = 1", "more of them" },
        { "slot", 0, "slot = %s", "a move to another slot" },
        { 0 },
};

static json_t *identify(Device *device) {
        json_t *result = NULL;
        Fault fault = { 0 };

        if (policy_identify(policy, device, &result, &fault) < 0)
                fail_msg("%s", fault.message);
        return result;
}

static void assert_identity(Device *device, const char *kind, const char *reasons) {
        json_auto_t *result = identify(device);
        _cleanup_free_ char *text = json_dumps(json_object_get(result, "passed-over"), JSON_COMPACT);

        assert_string_equal(json_string_value(json_object_get(result, "kind")), kind);
        assert_string_equal(text, reasons);
}

static void test_identify(void **state) {
        Device *one = add_device(1), *two = add_device(2), *eleven = NULL;

        fake_set_identities(inventory, identities);
        for (Device *d = one; d; d = d == one ? two : NULL) {
                d->slow = SLOW_FRESH;
                fake_set_number(d, FIELD_BUS_NUMBER, d == one ? 3 : 4);
        }
        fake_set_text(inventory, one, FIELD_SERIAL, "AB12");
        assert_identity(one, "serial", "[]");

        /* Serials of cheap devices are all the same, and numbers of the kernel are nobody's. */
        fake_set_text(inventory, two, FIELD_SERIAL, "AB12");
        assert_identity(one, "vendor",
                        "[\"serial: pci-0000-00-02-0 has the same\","
                        "\"bus: pci-0000-00-01-0 may have another one after a restart of the host\"]");
        eleven = add_device(11);
        assert_identity(one, "slot",
                        "[\"serial: pci-0000-00-02-0 has the same\","
                        "\"bus: pci-0000-00-01-0 may have another one after a restart of the host\","
                        "\"vendor: pci-0000-00-0b-0 has the same\"]");

        /* Nobody can say that it is unique while another was not read. */
        fake_set_text(inventory, two, FIELD_SERIAL, "CD34");
        told = (Told){ 0 };
        assert_identity(one, "slot",
                        "[\"serial: pci-0000-00-0b-0 was not read yet and may have the same\","
                        "\"bus: pci-0000-00-01-0 may have another one after a restart of the host\","
                        "\"vendor: pci-0000-00-0b-0 has the same\"]");
        assert_ptr_equal(told.last_device, eleven);
        assert_told(0, 0, 1);
        assert_identity(two, "slot",
                        "[\"serial: pci-0000-00-02-0 does not have it\","
                        "\"bus: pci-0000-00-02-0 may have another one after a restart of the host\","
                        "\"vendor: pci-0000-00-02-0 does not have it\"]");
        fake_set_unknown(one, FIELD_SERIAL);
        one->slow = SLOW_UNKNOWN;
        told = (Told){ 0 };
        assert_identity(one, "slot",
                        "[\"serial: pci-0000-00-01-0 was not read yet\","
                        "\"bus: pci-0000-00-01-0 may have another one after a restart of the host\","
                        "\"vendor: pci-0000-00-0b-0 has the same\"]");
        assert_told(0, 0, 1);
}

static void test_identify_refused(void **state) {
        static const FakeIdentity only_volatile[] = { { "bus", 90, "bus-number = 3", "a restart" }, { 0 } };
        static const FakeIdentity broken[] = {
                { "odd", 90, "serial = it\"s", "everything" },
                { "slot", 0, "slot = %s", "a move" },
                { 0 },
        };
        Device *device = add_device(1);
        json_t *result = NULL;
        Fault fault = { 0 };

        fake_set_number(device, FIELD_BUS_NUMBER, 3);
        fake_set_identities(inventory, only_volatile);
        assert_int_equal(policy_identify(policy, device, &result, &fault), -ENOTUNIQ);
        assert_string_equal(fault.object, "pci-0000-00-01-0");
        assert_fault(&fault, FAULT_VOLATILE_IDENTITY,
                     "(bus: pci-0000-00-01-0 may have another one after a restart");
        fake_set_identities(inventory, NULL);
        assert_int_equal(policy_identify(policy, device, &result, &fault), -ENOTUNIQ);
        assert_fault(&fault, FAULT_VOLATILE_IDENTITY, "its module names none");

        /* One that cannot be written down does not spoil the others. */
        fake_set_identities(inventory, broken);
        result = identify(device);
        assert_string_equal(json_string_value(json_object_get(result, "kind")), "slot");
        assert_non_null(strstr(json_string_value(json_array_get(json_object_get(result, "passed-over"), 0)),
                               "odd: At character"));
        json_decref(result);
}

static void test_ids(void **state) {
        static const char *const longest = "a23456789012345678901234567890123456789012345678901234567890123";
        char id[ID_SIZE];
        Group *group;

        assert_int_equal(policy_new_group_id(policy, "My GPUs!", id), 0);
        assert_string_equal(id, "my-gpus");
        group = add_group("my-gpus");
        assert_int_equal(policy_new_group_id(policy, "My GPUs!", id), 0);
        assert_string_equal(id, "my-gpus-2");
        add_group("my-gpus-2");
        assert_int_equal(policy_new_group_id(policy, "My GPUs!", id), 0);
        assert_string_equal(id, "my-gpus-3");
        assert_int_equal(policy_new_group_id(policy, "日本", id), 0);
        assert_string_equal(id, "group");
        add_group("group");
        assert_int_equal(policy_new_group_id(policy, "", id), 0);
        assert_string_equal(id, "group-2");

        assert_int_equal(strlen(longest), ID_MAX);
        add_group(longest);
        assert_int_equal(policy_new_group_id(policy, longest, id), 0);
        assert_int_equal(strlen(id), ID_MAX);
        assert_true(id_is_valid(id));
        assert_non_null(strstr(id, "-2"));

        assert_int_equal(policy_new_rule_id(policy, group, id), 0);
        assert_string_equal(id, "my-gpus-1");
        add_rule(group, "my-gpus-2", "include", "name = x");
        assert_int_equal(policy_new_rule_id(policy, group, id), 0);
        assert_string_equal(id, "my-gpus-3");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_tables),
                TEST(test_events),
                TEST(test_replace_group),
                TEST(test_never_offered),
                TEST(test_node_filter),
                TEST(test_invalid_rules),
                TEST(test_missing_module),
                TEST(test_slow_fields),
                TEST(test_slow_exclude),
                TEST(test_random),
                TEST(test_rule_devices),
                TEST(test_preview),
                TEST(test_preview_warnings),
                TEST(test_preview_refused),
                TEST(test_identify),
                TEST(test_identify_refused),
                TEST(test_ids),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
