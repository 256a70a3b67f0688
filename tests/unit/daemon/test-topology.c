/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How two topologies differ. A device is written "PLACE:KIND[=SERIAL]@GROUP[/DRIVER]". */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/topology.h"
#include "lib/macro.h"

static json_t *device(const char *word) {
        char place[32] = "", rest[128], *serial, *group, *driver;

        assert_int_equal(sscanf(word, "%31[^:]:%127s", place, rest), 2);
        driver = strchr(rest, '/');
        if (driver)
                *driver++ = '\0';
        group = strchr(rest, '@');
        assert_non_null(group);
        *group++ = '\0';
        serial = strchr(rest, '=');
        if (serial)
                *serial++ = '\0';
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:[s]}", "id", place, "place", place, "ids", rest, "serial",
                         serial ? serial : "", "name", rest, "group", atoi(group), "driver", driver ? driver : "", "numa", 0, "groups",
                         rest);
}

static json_t *topology(const char *text) {
        json_t *devices = json_array();
        char *copy = strdup(text), *save = NULL;

        for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
                json_array_append_new(devices, device(word));
        free(copy);
        return json_pack("{s:o}", "devices", devices);
}

/* "KIND before>after devices…" of each row, joined by "; ". */
static char *summary(json_t *rows) {
        char *text = calloc(1, 8192);
        size_t index, k;
        json_t *row, *id;

        json_array_foreach(rows, index, row) {
                size_t n = strlen(text);

                assert_true(strlen(json_string_value(json_object_get(row, "text"))) > 10);
                n += (size_t) snprintf(text + n, 8192 - n, "%s%s %s>%s", index > 0 ? "; " : "",
                                       json_string_value(json_object_get(row, "kind")),
                                       json_string_value(json_object_get(row, "before")),
                                       json_string_value(json_object_get(row, "after")));
                json_array_foreach(json_object_get(row, "devices"), k, id)
                        n += (size_t) snprintf(text + n, 8192 - n, " %s", json_string_value(id));
        }
        return text;
}

static const struct {
        const char *what, *before, *after, *wanted;
} cases[] = {
        { "nothing at all", "", "", "" },
        { "the same", "a:x@1/e b:y@2", "a:x@1/e b:y@2", "" },
        { "gone", "a:x@1 b:y@2", "a:x@1", "gone b> b" },
        { "came", "a:x@1", "a:x@1 b:y@2", "came >b b" },
        { "everything gone", "a:x@1 b:y@2", "", "gone a> a; gone b> b" },
        { "moved, the only one of its kind", "a:x@1", "b:x@1", "moved a>b b" },
        { "moved, by serial number", "a:x=1@1 b:x=2@2", "a:x=1@1 c:x=2@3", "moved b>c c; renumbered 2>3" },
        { "two changed places, by serial number", "a:x=1@1 b:x=2@2", "a:x=2@1 b:x=1@2",
          "moved a>b b; moved b>a a; renumbered 2, 1>1, 2" },
        { "another serial number elsewhere is another device", "a:x=1@1", "b:x=2@1", "gone a> a; came >b b" },
        { "a serial number that was not known is no other one", "a:x@1", "a:x=2@1", "" },
        { "another serial number in the same place", "a:x=1@1", "a:x=2@1", "replaced x>x a" },
        { "another kind in the same place", "a:x@1", "a:y@1", "replaced x>y a" },
        { "two of a kind move together, in order", "a:x@1 b:x@2", "c:x@1 d:x@2", "moved a>c c; moved b>d d" },
        { "one of two identical ones that moved or went can't be told", "a:x@1 b:x@2", "c:x@1", "gone a> a; gone b> b; came >c c" },
        { "one of several identical ones is gone", "a:x@1 b:x@2 c:x@3", "a:x@1 c:x@3", "gone b> b" },

        { "renumbered", "a:x@1 b:y@1 c:z@2", "a:x@5 b:y@5 c:z@6", "renumbered 1, 2>5, 6" },
        { "numbers swapped", "a:x@1 b:y@2", "a:x@2 b:y@1", "renumbered 1, 2>2, 1" },
        { "split", "a:x@1 b:y@1", "a:x@1 b:y@2", "split 1>1, 2 a b" },
        { "split in three", "a:x@1 b:y@1 c:z@1", "a:x@7 b:y@8 c:z@9", "split 1>7, 8, 9 a b c" },
        { "merged", "a:x@1 b:y@2", "a:x@3 b:y@3", "merged 1, 2>3 a b" },
        { "merged, with one that stays", "a:x@1 b:y@2 c:z@3", "a:x@1 b:y@1 c:z@2", "merged 1, 2>1 a b; renumbered 3>2" },
        { "one went over to another group", "a:x@1 b:y@1 c:z@2", "a:x@1 b:y@2 c:z@2", "regrouped 1, 2>1, 2 a b c" },
        { "a group that grew by a new device is the same", "a:x@1", "a:x@1 b:y@1", "came >b b" },
        { "a group that shrank is the same", "a:x@1 b:y@1", "a:x@1", "gone b> b" },
        { "the number alone says nothing: another device has it now", "a:x@1 b:y@2", "b:y@1", "gone a> a; renumbered 2>1" },
        { "a moved device in the same company", "a:x@1 b:y@1", "a:x@1 c:y@1", "moved b>c c" },
        { "a moved device in other company", "a:x@1 b:y@1", "a:x@1 c:y@2", "moved b>c c; split 1>1, 2 a c" },
        { "the IOMMU is off", "a:x@1 b:y@2", "a:x@-1 b:y@-1", "iommu-lost > a b" },
        { "the IOMMU is on", "a:x@-1 b:y@-1", "a:x@1 b:y@2", "iommu-found > a b" },
        { "one lost its group", "a:x@1 b:y@1", "a:x@1 b:y@-1", "iommu-lost > b" },

        { "another driver", "a:x@1/nouveau", "a:x@1/nvidia", "driver nouveau>nvidia a" },
        { "no driver any more", "a:x@1/e1000e", "a:x@1", "driver e1000e> a" },
        { "a guest has it", "a:x@1/e1000e", "a:x@1/vfio-pci", "" },
        { "a guest had it", "a:x@1/vfio-pci", "a:x@1/e1000e", "" },
        { "what weighs more comes first", "a:x@1/e b:y@1 c:z@3", "a:x@1/f b:y@2 d:w@9", "gone c> c; split 1>1, 2 a b; came >d d; driver e>f a" },
};

static void test_cases(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_t *before = topology(cases[i].before), *after = topology(cases[i].after);
                json_t *rows = topology_diff(before, after);
                char *seen = summary(rows);

                if (strcmp(seen, cases[i].wanted) != 0)
                        fail_msg("%s: wanted \"%s\", is \"%s\"", cases[i].what, cases[i].wanted, seen);
                free(seen);
                json_decref(rows);
                json_decref(before);
                json_decref(after);
        }
}

/* Of both sides: what went was a member of groups too. */
static void test_groups(void **state) {
        json_t *before = topology("a:x@1 b:y@1"), *after = topology("c:x@1 b:y@1"), *rows = topology_diff(before, after);
        json_t *row = json_array_get(rows, 0);

        assert_int_equal(json_array_size(rows), 1);
        assert_string_equal(json_string_value(json_object_get(row, "kind")), "moved");
        assert_string_equal(json_string_value(json_array_get(json_object_get(row, "was"), 0)), "a");
        assert_int_equal(json_array_size(json_object_get(row, "groups")), 1);
        assert_string_equal(json_string_value(json_array_get(json_object_get(row, "groups"), 0)), "x");
        json_decref(rows);
        json_decref(before);
        json_decref(after);
}

/* A record that is not whole, as an older service or a broken disk leaves it. */
static void test_odd_records(void **state) {
        static const char *const texts[] = { "{}", "{\"devices\": 1}", "{\"devices\": [1, {}, {\"id\": 3}, {\"id\": \"a\"}]}",
                                             "{\"devices\": [{\"id\": \"a\", \"group\": \"x\", \"groups\": {}}]}" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                for (size_t k = 0; k < ELEMENTSOF(texts); k++) {
                        json_t *before = json_loads(texts[i], 0, NULL), *after = json_loads(texts[k], 0, NULL);
                        json_t *rows = topology_diff(before, after);

                        assert_non_null(rows);
                        json_decref(rows);
                        json_decref(before);
                        json_decref(after);
                }
}

/* All devices renumbered, and every second group split: no more than it takes to sort. */
static void test_large(void **state) {
        json_t *before = json_array(), *after = json_array(), *rows, *one, *two;
        size_t splits = 0, index;
        json_t *row;

        for (int i = 0; i < 10000; i++) {
                char word[64];

                snprintf(word, sizeof(word), "%05d:k%d@%d", i, i % 7, i / 2);
                json_array_append_new(before, device(word));
                snprintf(word, sizeof(word), "%05d:k%d@%d", i, i % 7, (i / 2) % 2 ? 20000 + i : 10000 + i / 2);
                json_array_append_new(after, device(word));
        }
        one = json_pack("{s:o}", "devices", before);
        two = json_pack("{s:o}", "devices", after);
        rows = topology_diff(one, two);
        json_array_foreach(rows, index, row)
                splits += strcmp(json_string_value(json_object_get(row, "kind")), "split") == 0;
        assert_int_equal(splits, 2500);
        assert_int_equal(json_array_size(rows), 2501);
        json_decref(rows);
        json_decref(one);
        json_decref(two);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_groups),
                cmocka_unit_test(test_odd_records),
                cmocka_unit_test(test_large),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
