/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/resource-keys.h"
#include "host-tree.h"

/* "x:a y:b": keys in order, exclusive after 'x', shared after 's'. */
static void make_list(const char *text, KeyList *ret) {
        char *copy = strdup(text), *state = NULL;

        assert_non_null(copy);
        *ret = (KeyList){ 0 };
        for (char *word = strtok_r(copy, " ", &state); word; word = strtok_r(NULL, " ", &state))
                assert_int_equal(key_list_add(ret, word + 2, word[0] == 'x'), 0);
        free(copy);
}

static int take(KeyTable *table, const char *keys, const char *holder, Fault *fault) {
        _cleanup_keys_ KeyList list = { 0 };

        make_list(keys, &list);
        return key_table_take(table, &list, holder, fault);
}

static void test_lists_merge(void **state) {
        _cleanup_keys_ KeyList list = { 0 };

        make_list("s:a s:b x:a s:a", &list);
        assert_int_equal(list.n_items, 2);
        assert_string_equal(list.items[0].key, "a");
        assert_true(list.items[0].exclusive);
        assert_false(list.items[1].exclusive);
        assert_int_equal(key_list_add(&list, "", true), -EINVAL);
        assert_int_equal(key_list_add(&list, NULL, true), -EINVAL);
}

static void test_exclusive(void **state) {
        _cleanup_(key_table_freep) KeyTable *table = NULL;
        _cleanup_keys_ KeyList list = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        const char *holder = NULL;

        assert_int_equal(key_table_new(&table), 0);
        assert_null(key_table_holder(table, "pci:a"));
        assert_int_equal(take(table, "x:pci:a x:iommu:1", "first", NULL), 0);
        assert_string_equal(key_table_holder(table, "pci:a"), "first");
        assert_int_equal(key_table_count(table), 2);

        assert_int_equal(take(table, "x:pci:b x:iommu:1", "second", &fault), -EBUSY);
        assert_fault(&fault, FAULT_DEVICE_BUSY, "iommu:1 is held by first");
        /* All or none. */
        assert_null(key_table_holder(table, "pci:b"));
        assert_int_equal(key_table_count(table), 2);
        assert_int_equal(take(table, "s:pci:a", "second", &fault), -EBUSY);
        assert_fault(&fault, FAULT_DEVICE_BUSY, "pci:a is held by first");

        make_list("x:pci:z s:pci:a", &list);
        assert_int_equal(key_table_check(table, &list, "second", &holder, NULL), -EBUSY);
        assert_string_equal(holder, "first");
        assert_int_equal(key_table_check(table, &list, "first", NULL, NULL), 0);

        /* One's own are no obstacle, and asking for less does not open the key to others. */
        assert_int_equal(take(table, "x:pci:a s:pci:a x:pci:c", "first", NULL), 0);
        assert_int_equal(take(table, "s:pci:a", "first", NULL), 0);
        assert_int_equal(take(table, "s:pci:a", "second", NULL), -EBUSY);

        key_table_release(table, "nobody");
        key_table_release(table, "first");
        assert_int_equal(key_table_count(table), 0);
        assert_int_equal(take(table, "x:pci:a x:iommu:1", "second", NULL), 0);
}

static void test_shared(void **state) {
        _cleanup_(key_table_freep) KeyTable *table = NULL;
        _cleanup_fault_ Fault fault = { 0 };

        assert_int_equal(key_table_new(&table), 0);
        assert_int_equal(take(table, "s:pf", "a", NULL), 0);
        assert_int_equal(take(table, "s:pf", "b", NULL), 0);
        assert_int_equal(take(table, "s:pf", "c", NULL), 0);
        assert_int_equal(take(table, "x:pf", "d", &fault), -EBUSY);
        assert_fault(&fault, FAULT_DEVICE_BUSY, "pf is held by a and 2 more");
        assert_int_equal(take(table, "x:pf", "a", NULL), -EBUSY);

        key_table_release(table, "b");
        key_table_release(table, "a");
        assert_string_equal(key_table_holder(table, "pf"), "c");
        /* The last shared holder may have it alone, and then it is closed. */
        assert_int_equal(take(table, "x:pf", "c", NULL), 0);
        assert_int_equal(take(table, "s:pf", "a", NULL), -EBUSY);
        key_table_release(table, "c");
        assert_int_equal(take(table, "s:pf", "a", NULL), 0);
}

static void test_nothing_to_take(void **state) {
        _cleanup_(key_table_freep) KeyTable *table = NULL;

        assert_int_equal(key_table_new(&table), 0);
        assert_int_equal(take(table, "", "a", NULL), 0);
        assert_int_equal(key_table_count(table), 0);
        key_table_release(table, "a");
}

/* Random orders against the plainest possible model: who has which key in which way. */
#define KEYS 6
#define HOLDERS 5

typedef enum Hold { NONE, SHARED, EXCLUSIVE } Hold;

static bool model_take(Hold model[HOLDERS][KEYS], unsigned holder, const Hold want[KEYS]) {
        for (unsigned k = 0; k < KEYS; k++)
                for (unsigned h = 0; h < HOLDERS && want[k] != NONE; h++)
                        if (h != holder &&
                            (model[h][k] == EXCLUSIVE || (model[h][k] == SHARED && want[k] == EXCLUSIVE)))
                                return false;
        for (unsigned k = 0; k < KEYS; k++)
                model[holder][k] = MAX_OF(model[holder][k], want[k]);
        return true;
}

static void test_against_model(void **state) {
        _cleanup_(key_table_freep) KeyTable *table = NULL;
        Hold model[HOLDERS][KEYS] = { 0 };
        unsigned taken = 0;

        srand(7);
        assert_int_equal(key_table_new(&table), 0);
        for (unsigned round = 0; round < 20000; round++) {
                unsigned holder = (unsigned) rand() % HOLDERS, count = 0;
                char id[16], text[128] = "";
                Hold want[KEYS] = { 0 };

                (void) snprintf(id, sizeof(id), "h%u", holder);
                if (rand() % 4 == 0) {
                        key_table_release(table, id);
                        memset(model[holder], 0, sizeof(model[holder]));
                } else {
                        bool possible;

                        for (unsigned k = 0; k < KEYS; k++) {
                                want[k] = rand() % 3 == 0 ? (Hold) (rand() % 2 + 1) : NONE;
                                if (want[k] != NONE)
                                        (void) snprintf(text + strlen(text), sizeof(text) - strlen(text),
                                                        "%c:k%u ", want[k] == EXCLUSIVE ? 'x' : 's', k);
                        }
                        possible = model_take(model, holder, want);
                        assert_int_equal(take(table, text, id, NULL), possible ? 0 : -EBUSY);
                        taken += possible;
                }

                for (unsigned k = 0; k < KEYS; k++) {
                        bool held = false;

                        for (unsigned h = 0; h < HOLDERS; h++)
                                held |= model[h][k] != NONE;
                        (void) snprintf(id, sizeof(id), "k%u", k);
                        assert_int_equal(key_table_holder(table, id) != NULL, held);
                        count += held;
                }
                assert_int_equal(key_table_count(table), count);
        }
        assert_true(taken > 1000);
}

/* Who shares a key keeps it when somebody takes it beside; nobody else comes, until that one lets go. */
static void test_beside(void **state) {
        _cleanup_(key_table_freep) KeyTable *table = NULL;
        _cleanup_keys_ KeyList card = { 0 }, shared = { 0 };
        const char *holder = NULL;

        assert_int_equal(key_table_new(&table), 0);
        make_list("x:card", &card);
        make_list("s:card", &shared);
        assert_int_equal(take(table, "s:card x:one", "reserved", NULL), 0);
        assert_int_equal(key_table_check(table, &card, "job", NULL, NULL), -EBUSY);
        assert_int_equal(key_table_check_beside(table, &card, "job", NULL, NULL), 0);
        assert_int_equal(key_table_take_beside(table, &card, "job", NULL), 0);

        assert_int_equal(take(table, "s:card", "other", NULL), -EBUSY);
        assert_int_equal(key_table_check(table, &shared, "other", &holder, NULL), -EBUSY);
        assert_string_equal(holder, "job");
        assert_int_equal(key_table_take_beside(table, &card, "another-job", NULL), -EBUSY);
        assert_int_equal(take(table, "s:card", "reserved", NULL), 0); /* it has it */
        assert_int_equal(take(table, "x:card", "reserved", NULL), -EBUSY);

        key_table_release(table, "job");
        assert_int_equal(take(table, "s:card", "other", NULL), 0);
        key_table_release(table, "other");
        assert_int_equal(key_table_take_beside(table, &card, "job", NULL), 0);
        key_table_release(table, "reserved");
        assert_int_equal(take(table, "s:card", "other", NULL), -EBUSY);
        key_table_release(table, "job");

        /* An exclusive holder is never beside anybody. */
        assert_int_equal(take(table, "x:card", "whole", NULL), 0);
        assert_int_equal(key_table_take_beside(table, &card, "job", NULL), -EBUSY);
        key_table_release(table, "whole");
        assert_int_equal(key_table_take_beside(table, &card, "job", NULL), 0);
        assert_int_equal(take(table, "s:card", "other", NULL), -EBUSY);
        key_table_release(table, "job");
        assert_int_equal(key_table_count(table), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lists_merge),   cmocka_unit_test(test_exclusive),
                cmocka_unit_test(test_shared),        cmocka_unit_test(test_nothing_to_take),
                cmocka_unit_test(test_against_model), cmocka_unit_test(test_beside),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
