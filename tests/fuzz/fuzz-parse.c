/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "fuzz.h"
#include "lib/id.h"
#include "lib/parse.h"
#include "lib/protocol.h" /* _cleanup_json_ */
#include "lib/schema.h"
#include "lib/value-util.h"

/* Any text into every parser. What is accepted must mean the same when it is written and read again. */

static void fuzz_numbers(const char *text) {
        uint64_t t = 0, t2;
        uint32_t u = 0, hex;
        int64_t x = 0, x2;
        int32_t i = 0;
        char number[32];

        if (parse_uint64(text, &t) >= 0) {
                (void) snprintf(number, sizeof(number), "%" PRIu64, t);
                assert(parse_uint64(number, &t2) == 0 && t2 == t);
        }
        if (parse_int64(text, &x) >= 0) {
                (void) snprintf(number, sizeof(number), "%" PRIi64, x);
                assert(parse_int64(number, &x2) == 0 && x2 == x);
        }
        if (parse_uint32(text, &u) >= 0)
                assert(u == t);
        if (parse_int32(text, &i) >= 0)
                assert(i == x);
        if (parse_hex32(text, &hex) >= 0) {
                (void) snprintf(number, sizeof(number), "0x%" PRIx32, hex);
                assert(parse_uint32(number, &u) == 0 && u == hex);
        }
}

static void fuzz_places(const char *text) {
        unsigned major_number, minor_number, again[2];
        uint8_t bus, slot, function, numbers[3];
        char place[64], uuid[UUID_TEXT_SIZE], uuid_again[UUID_TEXT_SIZE];
        uint32_t domain, domain_again;

        if (parse_bdf(text, &domain, &bus, &slot, &function) >= 0) {
                assert(slot < 32 && function < 8);
                (void) snprintf(place, sizeof(place), "%04" PRIx32 ":%02x:%02x.%x", domain, bus, slot,
                                function);
                assert(parse_bdf(place, &domain_again, &numbers[0], &numbers[1], &numbers[2]) == 0);
                assert(domain_again == domain && numbers[0] == bus && numbers[1] == slot &&
                       numbers[2] == function);
        }
        if (parse_dev(text, &major_number, &minor_number) >= 0) {
                (void) snprintf(place, sizeof(place), "%u:%u", major_number, minor_number);
                assert(parse_dev(place, &again[0], &again[1]) == 0);
                assert(again[0] == major_number && again[1] == minor_number);
        }
        if (parse_uuid(text, uuid) >= 0) {
                assert(strlen(uuid) == UUID_TEXT_SIZE - 1);
                assert(parse_uuid(uuid, uuid_again) == 0 && streq(uuid, uuid_again));
        }
}

static void fuzz_ids(const char *text) {
        char a[ID_SIZE], b[ID_SIZE];

        if (id_from_place("pci", text, a) >= 0)
                assert(id_is_valid(a));
        if (id_from_name(text, a) >= 0)
                assert(id_is_valid(a));
        assert((id_to_path_element(text, a) >= 0) == id_is_valid(text));
        if (id_is_valid(text))
                assert(id_from_path_element(a, b) == 0 && streq(b, text));
        if (id_from_path_element(text, a) >= 0)
                assert(id_to_path_element(a, b) == 0 && streq(b, text));
        if (kebab_to_camel(text, a) >= 0)
                assert(camel_to_kebab(a, b) == 0 && streq(b, text));
        if (camel_to_kebab(text, a) >= 0)
                assert(kebab_to_camel(a, b) == 0 && streq(b, text));
        if (type_name_is_valid(text))
                assert(id_is_valid(text));
}

static void fuzz_text(const char *text, size_t size) {
        bool clean = text_is_clean(text, size);

        if (clean)
                assert(utf8_is_valid(text) && strlen(text) <= size);
        if (clean && *text)
                assert(!text_is_clean(text, strlen(text) - 1));
}

static void fuzz_value(uint32_t type, const char *text) {
        _cleanup_value_ PtValue value = { 0 }, again = { 0 }, from_json = { 0 };
        _cleanup_json_ json_t *json = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_free_ char *formatted = NULL;
        int r;

        r = value_parse(type, text, "it", &value, &fault);
        assert((r < 0) == (fault.code != FAULT_NONE));
        if (r < 0)
                return;

        assert(value.type == type);
        assert(value_format(&value, &formatted) == 0);
        assert(value_parse(type, formatted, "it", &again, NULL) == 0 && value_equal(&value, &again));
        json = value_to_json(&value);
        assert(json && value_from_json(type, json, "it", &from_json, NULL) == 0 &&
               value_equal(&value, &from_json));
}

static void fuzz_setting(const char *text) {
        static const char *const modes[] = { "fast", "safe", NULL };
        static const PtSetting settings[] = {
                { "mode", NULL, "How.", PT_STRING, PT_SETTING_GROUP, 0, 0, modes, "safe" },
                { "rate", "Mbit/s", "How fast.", PT_UINT32, PT_SETTING_GROUP, 1, 100, NULL, "10" },
                { "label", NULL, "A label.", PT_STRING, PT_SETTING_CONSUMER, 0, 0, NULL, "" },
                { 0 },
        };

        for (const PtSetting *s = settings; s->name; s++) {
                _cleanup_fault_ Fault fault = { 0 };
                _cleanup_value_ PtValue value = { 0 };
                int r = schema_parse_setting(s, text, &value, &fault);

                assert((r < 0) == (fault.code != FAULT_NONE));
                assert(r < 0 || schema_check_setting(s, &value, NULL) == 0);
        }
        if (schema_find_setting(settings, text))
                assert(streq(schema_nearest_setting(settings, text), text));
        else
                (void) schema_nearest_setting(settings, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint32_t types[] = { PT_BOOL,   PT_INT32,  PT_UINT32, PT_INT64,
                                          PT_UINT64, PT_STRING, PT_STRV,   PT_NONE };
        _cleanup_free_ char *text = malloc(size + 1);
        bool truth;

        assert(text);
        memcpy(text, data, size);
        text[size] = '\0';

        (void) parse_bool(text, &truth);
        fuzz_numbers(text);
        fuzz_places(text);
        fuzz_ids(text);
        fuzz_text(text, size);
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                fuzz_value(types[i], text);
        fuzz_setting(text);
        return 0;
}
