/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/intern.h"
#include "host-tree.h"

static void test_equal_texts_are_one(void **state) {
        _cleanup_(interner_freep) Interner *interner = NULL;
        char text[] = "NVIDIA Corporation";
        const char *a, *b, *c;

        assert_int_equal(interner_new(&interner), 0);
        a = intern(interner, "NVIDIA Corporation");
        b = intern(interner, text);
        c = intern(interner, "NVIDIA");
        assert_ptr_equal(a, b);
        assert_ptr_not_equal(a, text);
        assert_ptr_not_equal(a, c);
        assert_string_equal(c, "NVIDIA");
        assert_int_equal(interner_count(interner), 2);
        assert_null(intern(interner, NULL));

        intern_unref(interner, a);
        assert_int_equal(interner_count(interner), 2);
        assert_string_equal(b, "NVIDIA Corporation");
        intern_unref(interner, b);
        assert_int_equal(interner_count(interner), 1);
        intern_unref(interner, NULL);
        assert_int_equal(interner_count(interner), 1);
        intern_unref(interner, c);
        assert_int_equal(interner_count(interner), 0);
}

static void test_many(void **state) {
        _cleanup_(interner_freep) Interner *interner = NULL;
        static const char *texts[20000];
        char text[32];

        assert_int_equal(interner_new(&interner), 0);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                (void) snprintf(text, sizeof(text), "%zu", i % 10000);
                texts[i] = intern(interner, text);
                assert_string_equal(texts[i], text);
        }
        assert_int_equal(interner_count(interner), 10000);
        for (size_t i = 0; i < 10000; i++)
                assert_ptr_equal(texts[i], texts[i + 10000]);
        /* Half of them go; the rest is still found. What stays is freed with the interner. */
        for (size_t i = 0; i < 5000; i++) {
                intern_unref(interner, texts[i]);
                intern_unref(interner, texts[i + 10000]);
        }
        assert_int_equal(interner_count(interner), 5000);
        assert_ptr_equal(intern(interner, "7777"), texts[7777]);
}

static void test_empty_and_long(void **state) {
        _cleanup_(interner_freep) Interner *interner = NULL;
        char text[10001];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(interner_new(&interner), 0);
        assert_string_equal(intern(interner, ""), "");
        assert_ptr_equal(intern(interner, ""), intern(interner, ""));
        assert_string_equal(intern(interner, text), text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_equal_texts_are_one),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_empty_and_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
