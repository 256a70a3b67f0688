/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/choice.h"

#include "../lib/test.h"
#include "daemon/membership.h"
#include "daemon/place.h"
#include "daemon/policy.h"
#include "daemon/provider.h"
#include "fake-inventory.h"

static Inventory *inventory;
static Policy *policy;
static Group *group;

/* Ids that cannot be had, and how often was asked. */
static const char *blocked[8];
static unsigned asked;

static bool eligible(void *userdata, Device *device, FindingList *why_not) {
        assert_ptr_equal(userdata, &asked);
        asked++;
        for (size_t i = 0; i < ELEMENTSOF(blocked) && blocked[i]; i++)
                if (streq(blocked[i], device->id)) {
                        finding_add(why_not, PT_SEVERITY_BLOCKER, "test-blocked", NULL, NULL,
                                    "%s is blocked", device->id);
                        return false;
                }
        return true;
}

/* What others lose, by the number of devices that are in use or chosen at the provider; NULL: nobody wants anything of it. */
static uint32_t (*price)(const Provider *provider, size_t n_chosen);
static unsigned priced;

static uint32_t cost(void *userdata, Device *const *chosen, size_t n_chosen, Device *device,
                     char ret_text[static CHOICE_TEXT_SIZE]) {
        size_t n = 0;

        priced++;
        for (size_t i = 0; i < n_chosen; i++)
                n += chosen[i]->provider == device->provider;
        (void) snprintf(ret_text, CHOICE_TEXT_SIZE, "leaves room after %zu", n);
        return price(device->provider, n);
}

static int setup(void **state) {
        json_auto_t *body = json_pack("{ss ss}", "name", "all", "type", "test");
        json_auto_t *rule_body = json_pack("{ss}", "where", "slot ~ .");
        Rule *rule = NULL;

        inventory = fake_inventory_new();
        assert_int_equal(policy_new(inventory, fake_loader(), "host1", NULL, &policy), 0);
        assert_int_equal(group_from_json("all", body, fake_loader(), false, &group, NULL), 0);
        assert_int_equal(policy_add_group(policy, group), 0);
        assert_int_equal(rule_from_json("all-1", rule_body, group, group->module, false, &rule, NULL), 0);
        assert_int_equal(policy_add_rule(policy, rule), 0);
        memset(blocked, 0, sizeof(blocked));
        price = NULL;
        priced = 0;
        asked = 0;
        return 0;
}

static int teardown(void **state) {
        policy = policy_free(policy);
        fake_inventory_free(inventory);
        return 0;
}

/* A member of the group, below a bridge of its own bus. */
static Device *add(const char *sysname, int32_t iommu_group, int32_t node) {
        Device *device = fake_device(inventory, &fake_module, "pci", sysname);
        char path[128];

        (void) snprintf(path, sizeof(path), "/devices/pci0000:00/bridge-%.7s/%s", sysname, sysname);
        fake_set_place(device, path, NULL, node);
        fake_set_iommu_group(device, iommu_group);
        fake_set_text(inventory, device, FIELD_SLOT, sysname);
        policy_device_added(policy, device);
        return device;
}

static void claim(Device *device) {
        device->allocation = (Allocation *) device;
}

/* Chooses twice, with and without explanation: the answer must be the same. Ids are joined by blanks,
 * without "pci-0000-". */
static json_t *choose(unsigned count, int node, const char *const *last, const char *expected) {
        ChoiceRequest request = {
                .group = group,
                .count = count,
                .numa_node = node,
                .last = last,
                .eligible = eligible,
                .cost = price ? cost : NULL,
                .userdata = &asked,
        };
        json_t *candidates = NULL;

        for (int explained = 0; explained < 2; explained++) {
                _cleanup_free_ Device **devices = NULL;
                char ids[1024] = "";
                size_t n = 99;

                asked = 0;
                assert_int_equal(
                        choice_make(inventory, &request, &devices, &n, explained ? &candidates : NULL, NULL),
                        0);
                for (size_t i = 0; devices[i]; i++)
                        strcat(strcat(ids, i > 0 ? " " : ""), devices[i]->id + strlen("pci-0000-"));
                assert_string_equal(ids, expected);
                assert_int_equal(n, expected[0] ? 1 + (strlen(ids) - strlen("3b-00-0")) / strlen(" 3b-00-0")
                                                : 0);
        }
        return candidates;
}

static void assert_choice(unsigned count, int node, const char *const *last, const char *expected) {
        json_decref(choose(count, node, last, expected));
}

static void assert_reason(json_t *candidates, size_t i, const char *device, int score, bool chosen,
                          const char *reasons) {
        json_t *candidate = json_array_get(candidates, i);
        _cleanup_free_ char *text = json_dumps(json_object_get(candidate, "reasons"), JSON_COMPACT);

        assert_string_equal(json_string_value(json_object_get(candidate, "device")), device);
        assert_int_equal(json_integer_value(json_object_get(candidate, "score")), score);
        assert_int_equal(json_is_true(json_object_get(candidate, "chosen")), chosen);
        assert_string_equal(text, reasons);
}

static void test_place(void **state) {
        static const char *const pci[] = {
                "0000:00:01.0", "0000:00:0a.0", "0000:00:10.0", "0000:00:1f.0",  "0000:00:1f.7",
                "0000:0a:00.0", "0000:10:00.0", "0001:00:00.0", "10000:00:00.0",
        };
        static const char *const usb[] = { "1-1", "1-1.2", "1-1.10", "1-2", "1-10", "2-1", "10-1" };
        Device *devices[ELEMENTSOF(pci) + ELEMENTSOF(usb)];
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(usb); i++)
                devices[n++] = fake_device(inventory, &fake_module, "usb", usb[ELEMENTSOF(usb) - 1 - i]);
        for (size_t i = 0; i < ELEMENTSOF(pci); i++)
                devices[n++] =
                        fake_device(inventory, &fake_module, "pci", pci[(i * 4 + 3) % ELEMENTSOF(pci)]);
        place_sort(devices, n);
        for (size_t i = 0; i < n; i++) {
                const char *expected = i < ELEMENTSOF(pci) ? pci[i] : usb[i - ELEMENTSOF(pci)];

                assert_string_equal(devices[i]->host->sysname, expected);
                for (size_t j = 0; j < n; j++)
                        assert_int_equal((place_compare(devices[i], devices[j]) > 0) -
                                                 (place_compare(devices[i], devices[j]) < 0),
                                         (i > j) - (i < j));
        }
}

static void test_nothing(void **state) {
        json_t *candidates = choose(3, -1, NULL, "");

        assert_int_equal(json_array_size(candidates), 0);
        json_decref(candidates);
        add("0000:3b:00.0", -1, -1);
        assert_choice(0, -1, NULL, "");
}

static void test_order(void **state) {
        json_t *candidates;

        add("0000:5e:00.0", 3, 0);
        add("0000:3b:00.0", 2, 0);
        add("0000:0a:00.0", 1, 0);
        add("0000:af:00.0", 4, 0);
        assert_choice(1, -1, NULL, "0a-00-0");
        assert_choice(2, -1, NULL, "0a-00-0 3b-00-0");
        assert_choice(9, -1, NULL, "0a-00-0 3b-00-0 5e-00-0 af-00-0");

        blocked[0] = "pci-0000-0a-00-0";
        candidates = choose(1, -1, NULL, "3b-00-0");
        assert_int_equal(json_array_size(candidates), 4);
        assert_reason(candidates, 0, "pci-0000-3b-00-0", 3, true, "[\"place 2 of 4 in order\"]");
        assert_reason(candidates, 1, "pci-0000-5e-00-0", 2, false, "[\"place 3 of 4 in order\"]");
        assert_reason(candidates, 2, "pci-0000-af-00-0", 1, false, "[\"place 4 of 4 in order\"]");
        assert_reason(candidates, 3, "pci-0000-0a-00-0", 4, false, "[\"place 1 of 4 in order\"]");
        assert_string_equal(
                json_string_value(json_object_get(
                        json_array_get(json_object_get(json_array_get(candidates, 3), "blockers"), 0),
                        "text")),
                "pci-0000-0a-00-0 is blocked");
        assert_int_equal(json_array_size(json_object_get(json_array_get(candidates, 0), "blockers")), 0);
        json_decref(candidates);
        /* Once each. */
        assert_int_equal(asked, 4);
}

static void test_used_last(void **state) {
        static const char *const last[] = { "pci-0000-af-00-0", "pci-0000-3b-00-0", "pci-0000-ff-00-0",
                                            NULL };
        json_t *candidates;

        add("0000:0a:00.0", -1, 0);
        add("0000:3b:00.0", -1, 0);
        add("0000:5e:00.0", -1, 0);
        add("0000:af:00.0", -1, 0);
        for (group->choice = CHOICE_ORDER; group->choice < _CHOICE_MAX; group->choice++) {
                assert_choice(1, 0, last, "af-00-0");
                assert_choice(2, 0, last, "af-00-0 3b-00-0");
                assert_choice(3, 0, last, "af-00-0 3b-00-0 0a-00-0");
                blocked[0] = "pci-0000-af-00-0";
                assert_choice(1, 0, last, "3b-00-0");
                blocked[0] = NULL;
        }
        group->choice = CHOICE_ORDER;
        candidates = choose(1, -1, last, "af-00-0");
        assert_reason(candidates, 0, "pci-0000-af-00-0", 10000001, true,
                      "[\"used last\",\"place 4 of 4 in order\"]");
        json_decref(candidates);
}

/* One question for one device, however many there are. */
static void test_used_last_is_quick(void **state) {
        static const char *const last[] = { "pci-0000-00-1f-0", NULL };
        ChoiceRequest request = {
                .group = group,
                .count = 1,
                .numa_node = -1,
                .last = last,
                .eligible = eligible,
                .userdata = &asked,
        };

        for (unsigned i = 0; i < 32; i++) {
                char sysname[16];

                (void) snprintf(sysname, sizeof(sysname), "0000:00:%02x.0", i);
                add(sysname, (int32_t) i, 0);
        }
        for (group->choice = CHOICE_ORDER; group->choice < _CHOICE_MAX; group->choice++) {
                _cleanup_free_ Device **devices = NULL;
                size_t n;

                asked = 0;
                assert_int_equal(choice_make(inventory, &request, &devices, &n, NULL, NULL), 0);
                assert_int_equal(n, 1);
                assert_int_equal(asked, 1);
        }
}

static void test_bundle(void **state) {
        static const char *const last[] = { "pci-0000-3b-00-1", NULL };
        json_t *candidates;
        json_t *companions;
        Device *bridge;

        add("0000:3b:00.1", 7, 0);
        add("0000:3b:00.0", 7, 0);
        add("0000:5e:00.0", 8, 0);
        bridge = fake_device(inventory, &fake_module, "pci", "0000:3a:00.0");
        bridge->host->bridge = true;
        bridge->role = PT_ROLE_BRIDGE;
        fake_set_iommu_group(bridge, 7);

        /* Two functions, one candidate, represented by the first. */
        candidates = choose(3, -1, NULL, "3b-00-0 5e-00-0");
        assert_int_equal(json_array_size(candidates), 2);
        companions = json_object_get(json_array_get(candidates, 0), "companions");
        assert_int_equal(json_array_size(companions), 1);
        assert_string_equal(json_string_value(json_array_get(companions, 0)), "pci-0000-3b-00-1");
        json_decref(candidates);
        assert_int_equal(asked, 2);

        /* What the consumer had stands for its bundle. */
        for (group->choice = CHOICE_ORDER; group->choice < _CHOICE_MAX; group->choice++)
                assert_choice(2, -1, last, "3b-00-1 5e-00-0");
        group->choice = CHOICE_ORDER;

        /* If it cannot be had, its bundle cannot. */
        blocked[0] = "pci-0000-3b-00-1";
        for (group->choice = CHOICE_ORDER; group->choice < _CHOICE_MAX; group->choice++)
                assert_choice(2, -1, last, "5e-00-0");
}

/* Also where its bundle is not the first, and two of its members were used. */
static void test_bundle_used_last(void **state) {
        static const char *const last[] = { "pci-0000-af-00-2", "pci-0000-af-00-1", NULL };

        add("0000:3b:00.0", 7, 0);
        add("0000:af:00.0", 8, 0);
        add("0000:af:00.1", 8, 0);
        add("0000:af:00.2", 8, 0);
        for (group->choice = CHOICE_ORDER; group->choice < _CHOICE_MAX; group->choice++) {
                assert_choice(1, 0, last, "af-00-2");
                assert_choice(3, 0, last, "af-00-2 3b-00-0");
        }
}

static void test_pack_and_spread(void **state) {
        json_t *candidates;

        /* Two cards with two ports each below one bridge, and another one elsewhere. */
        add("0000:3b:00.0", 1, 0);
        add("0000:3b:00.1", 2, 0);
        add("0000:3b:01.0", 3, 0);
        claim(add("0000:3b:01.1", 4, 0));
        add("0000:5e:00.0", 5, 0);
        blocked[0] = "pci-0000-3b-01-1";

        group->choice = CHOICE_PACK;
        candidates = choose(2, -1, NULL, "3b-01-0 3b-00-0");
        assert_reason(
                candidates, 0, "pci-0000-3b-01-0", 101, true,
                "[\"1 device of its card is in use\",\"1 device below the same bridge or hub is in use\"]");
        assert_reason(candidates, 1, "pci-0000-3b-00-0", 2, true,
                      "[\"2 devices below the same bridge or hub are in use\"]");
        /* With what was just taken. */
        assert_reason(candidates, 2, "pci-0000-3b-00-1", 103, false,
                      "[\"1 device of its card is in use\",\"3 devices below the same bridge or hub are in "
                      "use\"]");
        assert_reason(candidates, 3, "pci-0000-5e-00-0", 0, false, "[\"nothing near it is in use\"]");
        json_decref(candidates);
        assert_choice(4, -1, NULL, "3b-01-0 3b-00-0 3b-00-1 5e-00-0");

        group->choice = CHOICE_SPREAD;
        assert_choice(4, -1, NULL, "5e-00-0 3b-00-0 3b-00-1 3b-01-0");
        candidates = choose(1, -1, NULL, "5e-00-0");
        assert_reason(candidates, 0, "pci-0000-5e-00-0", 999999, true, "[\"nothing near it is in use\"]");
        json_decref(candidates);
}

/* Where the firmware names slots, these are the cards. */
static void test_physical_slots(void **state) {
        Device *a = add("0000:3b:00.0", 1, 0), *b = add("0000:5e:00.0", 2, 0),
               *c = add("0000:af:00.0", 3, 0);

        fake_set_place(a, "/devices/pci0000:00/x/a", "4", 0);
        fake_set_place(b, "/devices/pci0000:00/y/b", "5", 0);
        fake_set_place(c, "/devices/pci0000:00/z/c", "5", 0);
        claim(c);
        blocked[0] = c->id;
        group->choice = CHOICE_PACK;
        assert_choice(1, -1, NULL, "5e-00-0");
        group->choice = CHOICE_SPREAD;
        assert_choice(1, -1, NULL, "3b-00-0");
}

/* A port on the same IOMMU group counts most; two offers of one host device count once. */
static void test_use_counts(void **state) {
        Device *a = add("0000:3b:00.0", 1, 0), *twin;

        add("0000:5e:00.0", 2, 0);
        twin = fake_device(inventory, &fake_other, "pci", "0000:5e:00.1");
        fake_set_iommu_group(twin, 2);
        claim(twin);
        claim(a);
        /* The same function, as what another module offers. */
        twin = fake_device(inventory, &fake_other, "pci", "0000:5e:00.2");
        fake_set_iommu_group(twin, 2);
        twin->host->id = "pci-0000-5e-00-1";
        claim(twin);
        group->choice = CHOICE_PACK;

        json_t *candidates = choose(1, -1, NULL, "5e-00-0");
        assert_reason(candidates, 0, "pci-0000-5e-00-0", 10100, true,
                      "[\"1 device of its IOMMU group is in use\",\"1 device of its card is in use\"]");
        /* It is in use itself, which does not make it near to what is. */
        assert_reason(candidates, 1, "pci-0000-3b-00-0", 0, false, "[\"nothing near it is in use\"]");
        json_decref(candidates);
}

static Provider *providers[2];

/* Two providers, each with three devices on cards of their own; one of the first's is claimed. */
static void add_provided(void) {
        static const char *const names[2][3] = {
                { "0000:3b:00.0", "0000:3c:00.0", "0000:3d:00.0" },
                { "0000:5b:00.0", "0000:5c:00.0", "0000:5d:00.0" },
        };

        for (size_t i = 0; i < 2; i++) {
                providers[i] = calloc(1, sizeof(Provider) + 16);
                assert_non_null(providers[i]);
                (void) snprintf(providers[i]->key, 16, "test/gpu-%zu", i);
                for (size_t k = 0; k < 3; k++) {
                        Device *device = add(names[i][k], (int32_t) (10 * i + k), 0);

                        device->provider = providers[i];
                        device->host->offers = device;
                        if (i == 0 && k == 0) {
                                claim(device);
                                blocked[0] = device->id;
                        }
                }
        }
}

static void forget_provided(void) {
        for (Device *device = inventory_first(inventory); device; device = device->hh.next)
                device->provider = NULL;
        for (size_t i = 0; i < 2; i++)
                free(providers[i]);
}

/* What one provider makes is near, wherever it is. */
static void test_providers(void **state) {
        json_t *candidates;

        add_provided();
        group->choice = CHOICE_PACK;
        candidates = choose(3, -1, NULL, "3c-00-0 3d-00-0 5b-00-0");
        assert_reason(candidates, 0, "pci-0000-3c-00-0", 100, true, "[\"1 device of the same provider is in use\"]");
        assert_reason(candidates, 1, "pci-0000-3d-00-0", 200, true, "[\"2 devices of the same provider are in use\"]");
        json_decref(candidates);
        group->choice = CHOICE_SPREAD;
        assert_choice(3, -1, NULL, "5b-00-0 3c-00-0 5c-00-0");
        forget_provided();
}

/* The first provider's second device costs others 24. */
static uint32_t second_of_first_costs(const Provider *provider, size_t n_chosen) {
        return provider == providers[0] && n_chosen >= 1 ? 24 : 0;
}

/* Packing leaves a provider where others would lose, but rather than give nothing it takes from them. */
static void test_others_keep_room(void **state) {
        static const char *const last[] = { "pci-0000-3d-00-0", NULL };
        json_t *candidates;

        add_provided();
        price = second_of_first_costs;
        group->choice = CHOICE_PACK;
        candidates = choose(2, -1, NULL, "3c-00-0 5b-00-0");
        assert_int_equal(priced, 2 * 4); /* each provider once, and again what was chosen of; two calls */
        assert_reason(candidates, 0, "pci-0000-3c-00-0", 100, true,
                      "[\"1 device of the same provider is in use\",\"leaves room after 0\"]");
        assert_reason(candidates, 4, "pci-0000-3d-00-0", -4000000 + 200, false,
                      "[\"2 devices of the same provider are in use\",\"leaves room after 1\"]");
        json_decref(candidates);
        assert_choice(5, -1, NULL, "3c-00-0 5b-00-0 5c-00-0 5d-00-0 3d-00-0");
        group->choice = CHOICE_SPREAD;
        assert_choice(5, -1, NULL, "5b-00-0 3c-00-0 5c-00-0 5d-00-0 3d-00-0");
        /* In order of place, and for what was had before, it does not count. */
        group->choice = CHOICE_ORDER;
        assert_choice(2, -1, NULL, "3c-00-0 3d-00-0");
        group->choice = CHOICE_PACK;
        assert_choice(2, -1, last, "3d-00-0 5b-00-0");
        forget_provided();
}

static void test_numa(void **state) {
        json_t *candidates;

        add("0000:0a:00.0", 1, 0);
        add("0000:3b:00.0", 2, -1);
        add("0000:5e:00.0", 3, 1);
        add("0000:af:00.0", 4, 1);
        group->choice = CHOICE_NUMA;
        assert_choice(4, 1, NULL, "5e-00-0 af-00-0 3b-00-0 0a-00-0");
        assert_choice(4, 0, NULL, "0a-00-0 3b-00-0 5e-00-0 af-00-0");
        assert_choice(4, -1, NULL, "0a-00-0 3b-00-0 5e-00-0 af-00-0");
        candidates = choose(1, 1, NULL, "5e-00-0");
        assert_reason(candidates, 0, "pci-0000-5e-00-0", 245, true, "[\"on NUMA node 1 as asked for\"]");
        assert_reason(candidates, 2, "pci-0000-3b-00-0", 240, false, "[\"its NUMA node is not known\"]");
        assert_reason(candidates, 3, "pci-0000-0a-00-0", 235, false, "[\"on NUMA node 0, not 1\"]");
        json_decref(candidates);
}

/* The cached order follows the membership. */
static void test_order_follows(void **state) {
        Device *first = add("0000:3b:00.0", -1, 0);

        assert_choice(1, -1, NULL, "3b-00-0");
        add("0000:0a:00.0", -1, 0);
        assert_choice(1, -1, NULL, "0a-00-0");
        policy_device_removed(policy, inventory_find(inventory, "pci-0000-0a-00-0"));
        assert_choice(1, -1, NULL, "3b-00-0");
        policy_device_removed(policy, first);
        assert_choice(1, -1, NULL, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_place),
                TEST(test_nothing),
                TEST(test_order),
                TEST(test_used_last),
                TEST(test_used_last_is_quick),
                TEST(test_bundle),
                TEST(test_bundle_used_last),
                TEST(test_pack_and_spread),
                TEST(test_physical_slots),
                TEST(test_use_counts),
                TEST(test_providers),
                TEST(test_others_keep_room),
                TEST(test_numa),
                TEST(test_order_follows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
