/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>

#include "daemon/condition.h"
#include "fuzz.h"
#include "lib/limits.h"
#include "lib/parse.h"

/* Conditions as text and as JSON: refused with a reason that can go over the bus, or a list that says the same when it is
 * written and read again, and answers for every device within its limits. */

static const PtField fields[] = {
        { "name", NULL, "A text.", PT_STRING, PT_FIELD_MATCHABLE },
        { "node", NULL, "A number.", PT_INT32, PT_FIELD_MATCHABLE },
        { "vfs", NULL, "A number.", PT_UINT32, PT_FIELD_MATCHABLE },
        { "offset", NULL, "A number.", PT_INT64, PT_FIELD_MATCHABLE },
        { "memory", NULL, "A number.", PT_UINT64, PT_FIELD_MATCHABLE },
        { "vga", NULL, "A truth.", PT_BOOL, PT_FIELD_MATCHABLE },
        { "drivers", NULL, "A list.", PT_STRV, PT_FIELD_MATCHABLE },
        { "serial", NULL, "A slow one.", PT_STRING, PT_FIELD_MATCHABLE | PT_FIELD_SLOW },
        { "secret", NULL, "Not for rules.", PT_STRING, 0 },
        { 0 },
};

static const PtModule descriptor = { .type = "test", .fields = fields };
static Module module = {
        .name = (char *) "test", .state = MODULE_LOADED, .descriptor = &descriptor, .n_fields = 9
};

/* `contradictory`: no device fits. */
static void check_match(ConditionList *list, bool contradictory) {
        char *drivers[] = { (char *) "usbhid", (char *) "usb-storage", NULL };
        FieldData data[9] = {
                { .s = "NVIDIA A100 \xff Gr\xc3\xb6\xc3\x9f"
                       "e" },
                { .i = -1 },
                { .u = 16 },
                { .x = -5 },
                { .t = UINT64_MAX },
                { .b = true },
                { .strv = drivers },
                { .s = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" },
                { .s = "" },
        };
        Device full = { .module = &module, .known = 0x1ff, .own = UINT64_MAX, .own_fields = data };
        Device empty = { .module = &module, .own = UINT64_MAX, .own_fields = data };
        const Device *const devices[] = { &full, &empty };

        for (size_t i = 0; i < ELEMENTSOF(devices); i++) {
                uint8_t failed[CONDITIONS_MAX];
                bool unknown = false;
                size_t first = SIZE_MAX;
                Match match = conditions_match(list, devices[i], &first);
                size_t n = conditions_distance(list, devices[i], CONDITIONS_MAX, failed, &unknown);

                assert(match != MATCH_YES || !contradictory);
                assert(match == MATCH_YES || first < conditions_count(list));
                assert((match == MATCH_NO) == (n > 0) || conditions_error(list));
                assert((match == MATCH_YES) == (n == 0 && !unknown) || conditions_error(list));
                for (size_t k = 0; k < n && n <= CONDITIONS_MAX; k++)
                        assert(failed[k] < conditions_count(list));
                assert(match != MATCH_UNKNOWN || conditions_need_slow(list) || conditions_error(list));
        }
}

static void check_list(ConditionList *list) {
        _cleanup_(conditions_freep) ConditionList *from_text = NULL, *from_json = NULL;
        _cleanup_free_ char *text = NULL, *contradiction = conditions_contradiction(list);
        json_auto_t *triples = conditions_to_json(list), *copy = NULL, *again = NULL;

        assert(triples);
        assert(conditions_to_text(list, &text) >= 0);
        assert(conditions_from_json(triples, &module, &from_json, NULL) >= 0);
        assert(conditions_from_text(text, &module, &from_text, NULL) >= 0);
        copy = conditions_to_json(from_text);
        again = conditions_to_json(from_json);
        assert(json_equal(triples, copy) && json_equal(triples, again));
        assert(!contradiction || utf8_is_valid(contradiction));
        check_match(list, contradiction);
}

static void check_result(int r, ConditionList *list, Fault *fault) {
        assert((r < 0) == (fault->code != FAULT_NONE));
        assert((r < 0) == (list == NULL));
        if (r < 0)
                assert(fault->message && utf8_is_valid(fault->message) && strlen(fault->message) < 4096);
        else
                check_list(list);
        conditions_free(list);
        fault_done(fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_auto_t *json = json_loadb((const char *) data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        _cleanup_free_ char *text = strndup((const char *) data, size);
        ConditionList *list = NULL, *without = NULL;
        Fault fault = { 0 };
        int r;

        assert(text);
        r = conditions_from_text(text, &module, &list, &fault);
        check_result(r, list, &fault);
        if (json) {
                list = NULL;
                r = conditions_from_body(json, &module, &list, &fault);
                check_result(r, list, &fault);
        }
        if (conditions_from_text(text, NULL, &without, NULL) >= 0)
                conditions_free(without);
        return 0;
}
