/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/id.h"
#include "test.h"

#define LONGEST "a23456789012345678901234567890123456789012345678901234567890123" /* 63 characters */

static void test_valid(void **state) {
        static const char *const good[] = { "a",    "0",    "pci-0000-3b-00-0", "my-gpus", "a--b", "1a",
                                            "az09", LONGEST };
        static const char *const wrong[] = {
                "",    "-",   "-a",  "a-",  "a---b", "A",         "a_b",
                "a.b", "a/b", "a b", "a\n", "ä",     LONGEST "4", "../etc",
        };

        assert_int_equal(strlen(LONGEST), ID_MAX);
        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(id_is_valid(good[i]));
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_false(id_is_valid(wrong[i]));
        for (size_t i = 0; i < ELEMENTSOF(invalid_utf8); i++)
                assert_false(id_is_valid(invalid_utf8[i]));
        assert_false(id_is_valid(NULL));
}

static void test_type_name(void **state) {
        static const char *const good[] = { "pci", "usb", "vgpu", "a", "x2", "abcdefghijklmnop" };
        static const char *const wrong[] = {
                "", "2x", "PCI", "pci-e", "pci_e", "pci ", "abcdefghijklmnopq", "ä", "pci/..",
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(type_name_is_valid(good[i]));
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_false(type_name_is_valid(wrong[i]));
        assert_false(type_name_is_valid(NULL));
}

static void test_from_place(void **state) {
        static const struct {
                const char *type, *place, *id;
        } good[] = {
                { "pci", "0000:3b:00.0", "pci-0000-3b-00-0" },
                { "pci", "10000:E1:00.0", "pci-10000-e1-00-0" },
                { "usb", "1-1.4", "usb-1-1-4" },
                { "usb", "usb1", "usb-usb1" },
                { "vgpu", "c73f2e8e-1c1b-4e5a-9d2b-8d6f6e3c2a10",
                  "vgpu-c73f2e8e-1c1b-4e5a-9d2b-8d6f6e3c2a10" },
                { "x", "!a", "x--a" },
        };
        static const struct {
                const char *type, *place;
        } wrong[] = {
                { "", "0000:3b:00.0" }, { "PCI", "0000:3b:00.0" }, { "pci", "" },
                { "pci", "a:" },        { "pci", "a:::b" },        { "pci", "::a" },
                { "pci", LONGEST },     { "pci", "a\xc3\xa4" },
        };
        char id[ID_SIZE] = "untouched";

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_int_equal(id_from_place(wrong[i].type, wrong[i].place, id), -EINVAL);
        assert_int_equal(id_from_place("pci", &LONGEST[3], id), -EINVAL); /* a dash too long */
        assert_int_equal(id_from_place(NULL, "a", id), -EINVAL);
        assert_int_equal(id_from_place("pci", NULL, id), -EINVAL);
        assert_string_equal(id, "untouched");

        assert_int_equal(id_from_place("pci", &LONGEST[4], id), 0);
        assert_int_equal(strlen(id), ID_MAX);
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(id_from_place(good[i].type, good[i].place, id), 0);
                assert_string_equal(id, good[i].id);
        }
}

static void test_from_name(void **state) {
        static const struct {
                const char *name, *id;
        } good[] = {
                { "My GPUs", "my-gpus" },
                { "  NVIDIA  A100 (80 GB)!  ", "nvidia-a100-80-gb" },
                { "Geräte", "ger-te" },
                { "a__b--c", "a-b-c" },
                { "-x-", "x" },
                { "7", "7" },
                { LONGEST "45", LONGEST },
        };
        static const char *const wrong[] = { "", " ", "---", "№", "\n" };
        _cleanup_free_ char *long_name = repeat('x', MEGABYTE), *long_gap = repeat('-', MEGABYTE);
        char id[ID_SIZE] = "untouched";

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_int_equal(id_from_name(wrong[i], id), -EINVAL);
        assert_int_equal(id_from_name(long_gap, id), -EINVAL);
        assert_int_equal(id_from_name(NULL, id), -EINVAL);
        assert_string_equal(id, "untouched");

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(id_from_name(good[i].name, id), 0);
                assert_string_equal(id, good[i].id);
        }

        assert_int_equal(id_from_name(long_name, id), 0);
        assert_int_equal(strlen(id), ID_MAX);

        /* Cut where a dash would be the last character: it is left out. */
        long_name[ID_MAX - 1] = ' ';
        assert_int_equal(id_from_name(long_name, id), 0);
        assert_int_equal(strlen(id), ID_MAX - 1);
        assert_true(id_is_valid(id));
}

static void test_path_element(void **state) {
        static const char *const ids[] = { "pci-0000-3b-00-0", "a", "a--b", LONGEST };
        char element[ID_SIZE], id[ID_SIZE];

        assert_int_equal(id_to_path_element("pci-0000-3b-00-0", element), 0);
        assert_string_equal(element, "pci_0000_3b_00_0");

        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                assert_int_equal(id_to_path_element(ids[i], element), 0);
                assert_null(strchr(element, '-'));
                assert_int_equal(id_from_path_element(element, id), 0);
                assert_string_equal(id, ids[i]);
        }

        /* A dash would be a second spelling of the same id. */
        assert_int_equal(id_from_path_element("pci-0", id), -EINVAL);
        assert_int_equal(id_from_path_element("_a", id), -EINVAL);
        assert_int_equal(id_from_path_element("a_", id), -EINVAL);
        assert_int_equal(id_from_path_element("A", id), -EINVAL);
        assert_int_equal(id_from_path_element("", id), -EINVAL);
        assert_int_equal(id_from_path_element(LONGEST "4", id), -EINVAL);
        assert_int_equal(id_from_path_element(NULL, id), -EINVAL);
        assert_int_equal(id_to_path_element("a_b", element), -EINVAL);
        assert_int_equal(id_to_path_element(NULL, element), -EINVAL);
}

static void test_camel(void **state) {
        static const struct {
                const char *kebab, *camel;
        } pairs[] = {
                { "driver", "Driver" },
                { "iommu-group", "IommuGroup" },
                { "zz-z", "ZzZ" },
                { "vendor-id", "VendorId" },
                { "usb3-port", "Usb3Port" },
                { "a-b-c", "ABC" },
                { "x", "X" },
                { "numa-node", "NumaNode" },
        };
        static const char *const no_kebab[] = {
                "", "-a", "a-", "a--b", "A", "aB", "slot-2", "2a", "a_b", "a b", "ä", LONGEST "4",
        };
        static const char *const no_camel[] = { "", "a", "2A", "A-B", "A_B", "A B", "Ä", "aB" };
        char text[ID_SIZE] = "untouched";
        _cleanup_free_ char *capitals = repeat('A', ID_MAX);

        for (size_t i = 0; i < ELEMENTSOF(no_kebab); i++)
                assert_int_equal(kebab_to_camel(no_kebab[i], text), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(no_camel); i++)
                assert_int_equal(camel_to_kebab(no_camel[i], text), -EINVAL);
        assert_int_equal(camel_to_kebab(capitals, text), -EINVAL); /* "a-a-a…" would be too long */
        capitals[ID_MAX / 2 + 1] = '\0';
        assert_int_equal(camel_to_kebab(capitals, text), 0);
        assert_int_equal(strlen(text), ID_MAX);
        (void) strcpy(text, "untouched");
        assert_int_equal(kebab_to_camel(NULL, text), -EINVAL);
        assert_int_equal(camel_to_kebab(NULL, text), -EINVAL);
        assert_string_equal(text, "untouched");

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                assert_int_equal(kebab_to_camel(pairs[i].kebab, text), 0);
                assert_string_equal(text, pairs[i].camel);
                assert_int_equal(camel_to_kebab(pairs[i].camel, text), 0);
                assert_string_equal(text, pairs[i].kebab);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),        cmocka_unit_test(test_type_name),
                cmocka_unit_test(test_from_place),   cmocka_unit_test(test_from_name),
                cmocka_unit_test(test_path_element), cmocka_unit_test(test_camel),
        };

        return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
