/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/finding.h"
#include "host-tree.h"
#include "lib/limits.h"

static void assert_json(json_t *json, const char *expected) {
        json_t *other = json_loads(expected, 0, NULL);

        assert_non_null(other);
        assert_true(json_equal(json, other));
        json_decref(json);
        json_decref(other);
}

static void test_findings(void **state) {
        _cleanup_findings_ FindingList list = { 0 };

        assert_null(finding_first_blocker(&list));
        assert_int_equal(finding_add(&list, PT_SEVERITY_NOTE, "a-note", NULL, NULL, "Note %d", 1), 0);
        assert_int_equal(finding_add(&list, PT_SEVERITY_BLOCKER, "in-use", "eth0", "ip link set %s down",
                                     "Used by %s", "eth0"),
                         0);
        assert_int_equal(finding_add(&list, PT_SEVERITY_WARNING, "no-reset", NULL, NULL, "No reset"), 0);
        assert_int_equal(finding_append(&list, &(PtFinding){ .severity = 9, .code = "x", .text = "y" }),
                         -EINVAL);
        assert_int_equal(finding_append(&list, &(PtFinding){ .code = "", .text = "y" }), -EINVAL);
        assert_int_equal(finding_append(&list, &(PtFinding){ .code = "x" }), -EINVAL);
        assert_true(finding_has(&list, "in-use"));
        assert_false(finding_has(&list, "in"));
        assert_string_equal(finding_first_blocker(&list)->culprit, "eth0");
        assert_json(finding_list_to_json(&list),
                    "[{\"severity\": \"blocker\", \"code\": \"in-use\", \"text\": \"Used by eth0\", "
                    "\"culprit\": \"eth0\","
                    "  \"remedy\": \"ip link set %s down\"},"
                    " {\"severity\": \"warning\", \"code\": \"no-reset\", \"text\": \"No reset\"},"
                    " {\"severity\": \"note\", \"code\": \"a-note\", \"text\": \"Note 1\"}]");
        for (PtSeverity s = 0; s < _PT_SEVERITY_MAX; s++)
                assert_int_equal(severity_from_string(severity_to_string(s)), s);
}

static void test_limit(void **state) {
        _cleanup_findings_ FindingList list = { 0 };

        for (unsigned i = 0; i < FINDINGS_MAX; i++)
                assert_int_equal(finding_add(&list, PT_SEVERITY_NOTE, "x", NULL, NULL, "%u", i), 0);
        assert_int_equal(finding_add(&list, PT_SEVERITY_NOTE, "x", NULL, NULL, "one too many"), -E2BIG);
        assert_int_equal(list.n_items, FINDINGS_MAX);
        finding_list_done(&list);
        assert_json(finding_list_to_json(&list), "[]");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_findings),
                cmocka_unit_test(test_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
