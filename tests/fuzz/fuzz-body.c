/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>

#include "daemon/group.h"
#include "daemon/json-util.h"
#include "fuzz.h"
#include "lib/limits.h"
#include "lib/parse.h"

/* Bodies and option dictionaries as they come from the bus or a file: refused with a reason that can go over the bus, or
 * taken, written and read again with the same result. */

static const char *const words[] = { "one", "two", NULL };
static const PtSetting schema[] = {
        { .name = "word", .doc = "A choice.", .type = PT_STRING, .flags = PT_SETTING_GROUP, .choices = words,
          .default_text = "one" },
        { .name = "number", .doc = "A number.", .type = PT_INT32, .flags = PT_SETTING_GROUP, .minimum = -3, .maximum = 9,
          .default_text = "0" },
        { .name = "big", .doc = "A number.", .type = PT_UINT64, .flags = PT_SETTING_GROUP, .default_text = "1" },
        { .name = "flag", .doc = "A truth.", .type = PT_BOOL, .flags = PT_SETTING_GROUP | PT_SETTING_OVERRIDE,
          .default_text = "false" },
        { 0 },
};

static void check_fault(int r, Fault *fault) {
        assert((r < 0) == (fault->code != FAULT_NONE));
        assert(r >= 0 || (fault->message && utf8_is_valid(fault->message) && strlen(fault->message) < 8192));
        fault_done(fault);
        *fault = (Fault) { 0 };
}

static void settings(json_t *json) {
        _cleanup_settings_ SettingValues values = { 0 }, again = { 0 };
        Fault fault = { 0 };
        int r = settings_from_json(schema, json, PT_SETTING_GROUP, &values, &fault);

        check_fault(r, &fault);
        if (r < 0)
                return;
        json_auto_t *first = settings_to_json(&values), *second = NULL;
        assert(first && settings_from_json(schema, first, PT_SETTING_GROUP, &again, NULL) >= 0);
        second = settings_to_json(&again);
        assert(json_equal(first, second));
}

static void options(json_t *json) {
        _cleanup_free_ char *text = NULL;
        _cleanup_(strv_freep) char **strv = NULL;
        json_t *object = NULL, *array = NULL, *any = NULL;
        bool flag = false;
        unsigned count = 0;
        int order = 0;
        uint64_t time = 0;
        Fault fault = { 0 };
        const JsonKey keys[] = {
                { "text", JSON_KEY_STRING, &text, 16, false },   { "flag", JSON_KEY_BOOL, &flag, 0, false },
                { "count", JSON_KEY_UINT, &count, 64, false },   { "order", JSON_KEY_INT, &order, 0, false },
                { "time", JSON_KEY_UINT64, &time, 0, false },    { "object", JSON_KEY_OBJECT, &object, 0, false },
                { "array", JSON_KEY_ARRAY, &array, 0, false },   { "list", JSON_KEY_STRV, &strv, 0, false },
                { "any", JSON_KEY_ANY, &any, 0, false },         { 0 },
        };
        int r = json_parse_object(json, keys, "the options", FAULT_UNKNOWN_OPTION, &fault);

        check_fault(r, &fault);
        assert(r < 0 || count <= 64);
        assert(!text || strlen(text) <= 16);
}

static void group(json_t *json, Loader *loader, bool stored) {
        _cleanup_(group_freep) Group *first = NULL, *second = NULL;
        Fault fault = { 0 };
        int r = group_from_json("fuzz", json, loader, stored, &first, &fault);

        check_fault(r, &fault);
        if (r < 0)
                return;
        json_auto_t *body = group_to_json(first), *again = NULL;
        assert(body && group_from_json("fuzz", body, loader, stored, &second, NULL) >= 0);
        again = group_to_json(second);
        assert(json_equal(body, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static Loader *loader;
        json_auto_t *json = json_loadb((const char *) data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

        if (!loader)
                assert(loader_new("/nonexistent", NULL, &loader) >= 0);
        if (!json)
                return 0;
        settings(json);
        options(json);
        group(json, loader, false);
        group(json, loader, true);
        return 0;
}
