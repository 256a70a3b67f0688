/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/condition.h"

#include <time.h>

#include "../lib/test.h"
#include "daemon/excerpt.h"
#include "daemon/memo.h"
#include "daemon/pattern.h"
#include "fake-inventory.h"
#include "lib/limits.h"
#include "lib/parse.h"

static Inventory *inventory;
static Device *gpu, *bare;

/* One device that has everything and one that has nothing. */
static int setup(void **state) {
        inventory = fake_inventory_new();
        gpu = fake_device(inventory, &fake_module, "pci", "0000:3b:00.0");
        fake_set_text(inventory, gpu, FIELD_SLOT, "0000:3b:00.0");
        fake_set_text(inventory, gpu, FIELD_NAME, "NVIDIA A100 Große 80GB");
        fake_set_text(inventory, gpu, FIELD_VENDOR_ID, "10de");
        fake_set_text(inventory, gpu, FIELD_DRIVER, "vfio-pci");
        fake_set_number(gpu, FIELD_NUMA_NODE, 1);
        fake_set_number(gpu, FIELD_TOTAL_VFS, 16);
        fake_set_number(gpu, FIELD_OFFSET, -5000000000);
        fake_set_number(gpu, FIELD_MEMORY, INT64_MAX);
        fake_set_number(gpu, FIELD_BOOT_VGA, true);
        fake_set_list(gpu, FIELD_DRIVERS, "usbhid,usb-storage");
        fake_set_text(inventory, gpu, FIELD_SERIAL, "AB12");
        gpu->slow = SLOW_FRESH;
        bare = fake_device(inventory, &fake_module, "pci", "0000:00:1f.0");
        bare->slow = SLOW_FRESH;
        return 0;
}

static int teardown(void **state) {
        fake_inventory_free(inventory);
        return 0;
}

static ConditionList *parse(const char *text) {
        _cleanup_fault_ Fault fault = { 0 };
        ConditionList *list = NULL;

        if (conditions_from_text(text, &fake_module, &list, &fault) < 0)
                fail_msg("\"%s\" is refused: %s", text, strempty(fault.message));
        return list;
}

static void test_operator_names(void **state) {
        static const char *const signs[] = { "=", "!=", "<", "<=", ">", ">=", "^=", "$=", "*=", NULL, "~" };

        assert_int_equal(ELEMENTSOF(signs), _OPERATOR_MAX);
        for (Operator op = 0; op < _OPERATOR_MAX; op++) {
                assert_int_equal(operator_from_string(operator_to_string(op)), op);
                assert_int_equal(operator_parse(operator_to_string(op)), op);
                if (signs[op])
                        assert_int_equal(operator_parse(signs[op]), op);
        }
        assert_int_equal(operator_parse("=="), _OPERATOR_INVALID);
        assert_int_equal(operator_parse("EQ"), _OPERATOR_INVALID);
        assert_int_equal(operator_parse(""), _OPERATOR_INVALID);
        assert_int_equal(operator_parse(NULL), _OPERATOR_INVALID);
        assert_null(operator_to_string(_OPERATOR_MAX));
}

/* Every operator on every type: for the device that has the field (Y or N), and for the one that has not. */
static void test_match_table(void **state) {
        static const struct {
                const char *text;
                char full, empty;
        } cases[] = {
                { "vendor-id = 10de", 'Y', 'N' },
                { "vendor-id = 10DE", 'N', 'N' },
                { "vendor-id = 10d", 'N', 'N' },
                { "vendor-id != 10de", 'N', 'Y' },
                { "vendor-id ne 8086", 'Y', 'Y' },
                { "vendor-id < 10df", 'Y', 'N' },
                { "vendor-id lt 10de", 'N', 'N' },
                { "vendor-id <= 10de", 'Y', 'N' },
                { "vendor-id > 10dd", 'Y', 'N' },
                { "vendor-id gt 10de", 'N', 'N' },
                { "vendor-id >= 10de", 'Y', 'N' },
                { "vendor-id ge 2", 'N', 'N' },
                { "slot begins 0000:3b", 'Y', 'N' },
                { "slot ^= 0000:3c", 'N', 'N' },
                { "slot begins 0000:3b:00.00", 'N', 'N' },
                { "slot ends .0", 'Y', 'N' },
                { "slot $= 0000:3b:00.0", 'Y', 'N' },
                { "slot $= x0000:3b:00.0", 'N', 'N' },
                { "name contains A100", 'Y', 'N' },
                { "name *= a100", 'N', 'N' },
                { "name icontains nvidia", 'Y', 'N' },
                { "name icontains \"a100 gr\"", 'Y', 'N' },
                { "name icontains radeon", 'N', 'N' },
                { "name icontains GROßE", 'Y', 'N' },
                { "name icontains groÜe", 'N', 'N' },
                { "name ~ ^NVIDIA.*A100", 'Y', 'N' },
                { "name regex ^nvidia", 'N', 'N' },
                { "name ~ (?i)^nvidia", 'Y', 'N' },
                { "name ~ Gro[ßs]e", 'Y', 'N' },
                { "name ~ \"Gro.e 80GB$\"", 'N', 'N' }, /* bytes: two for this letter */
                { "name ~ \"Gro.{2}e 80GB$\"", 'Y', 'N' },
                { "name ~ \"Gro.e [8ß]0GB$\"", 'Y', 'N' }, /* characters, because the expression has one */
                { "driver = \"\"", 'N', 'Y' },
                { "driver != \"\"", 'Y', 'N' },
                { "driver ~ ^$", 'N', 'Y' },
                { "driver < z", 'Y', 'N' },
                { "numa-node = 1", 'Y', 'N' },
                { "numa-node = 0x1", 'Y', 'N' },
                { "numa-node != 1", 'N', 'Y' },
                { "numa-node < 1", 'N', 'N' },
                { "numa-node < 2", 'Y', 'N' },
                { "numa-node > -1", 'Y', 'N' },
                { "numa-node <= 1", 'Y', 'N' },
                { "numa-node >= 2", 'N', 'N' },
                { "total-vfs > 9", 'Y', 'N' }, /* by size, not by text */
                { "total-vfs = 0x10", 'Y', 'N' },
                { "offset < -4999999999", 'Y', 'N' },
                { "offset >= 0", 'N', 'N' },
                { "memory = 9223372036854775807", 'Y', 'N' },
                { "memory < 18446744073709551615", 'Y', 'N' },
                { "boot-vga = true", 'Y', 'N' },
                { "boot-vga = yes", 'Y', 'N' },
                { "boot-vga eq 0", 'N', 'N' },
                { "boot-vga != true", 'N', 'Y' },
                { "drivers = usbhid", 'Y', 'N' },
                { "drivers = usb-storage", 'Y', 'N' },
                { "drivers = usb", 'N', 'N' },
                { "drivers != usb", 'Y', 'Y' },
                { "drivers != usb-storage", 'N', 'Y' },
                { "drivers ends storage", 'Y', 'N' },
                { "drivers ~ ^usb-", 'Y', 'N' },
                { "drivers icontains HID", 'Y', 'N' },
                { "drivers > usbh", 'Y', 'N' },
                { "drivers = \"\"", 'N', 'Y' },
                { "serial = AB12", 'Y', 'N' },
                { "vendor-id = 10de and numa-node = 1 and boot-vga = true", 'Y', 'N' },
                { "vendor-id = 10de and numa-node = 0 and boot-vga = true", 'N', 'N' },
                { "", 'Y', 'Y' },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(conditions_freep) ConditionList *list = parse(cases[i].text);

                /* Twice: what is remembered must be what was found. */
                for (int round = 0; round < 2; round++) {
                        if (conditions_match(list, gpu, NULL) !=
                            (cases[i].full == 'Y' ? MATCH_YES : MATCH_NO))
                                fail_msg("\"%s\" on the full device: not %c", cases[i].text, cases[i].full);
                        if (conditions_match(list, bare, NULL) !=
                            (cases[i].empty == 'Y' ? MATCH_YES : MATCH_NO))
                                fail_msg("\"%s\" on the bare device: not %c", cases[i].text, cases[i].empty);
                }
                assert_null(conditions_error(list));
        }
}

static void test_other_module(void **state) {
        _cleanup_(conditions_freep) ConditionList *list = NULL, *without = NULL;
        Device *other = fake_device(inventory, &fake_other, "usb", "1-2");
        uint8_t failed[1] = { 0 };
        bool unknown = false;

        fake_set_text(inventory, other, 0, "NVIDIA");
        assert_int_equal(conditions_from_text("name = NVIDIA", &fake_other, &list, NULL), 0);
        assert_int_equal(conditions_match(list, other, NULL), MATCH_YES);
        assert_int_equal(conditions_match(list, gpu, NULL), MATCH_NO);
        /* It is as far away as can be. */
        assert_int_equal(conditions_distance(list, gpu, 1, failed, &unknown), 2);

        /* Without its module a list is text. */
        assert_int_equal(conditions_from_text("gone ~ [ and name = \"x y\"", NULL, &without, NULL), 0);
        assert_int_equal(conditions_count(without), 2);
        assert_int_equal(conditions_match(without, gpu, NULL), MATCH_NO);
        assert_int_equal(conditions_fields(without), 0);
        assert_null(conditions_contradiction(without));
}

static void test_unread(void **state) {
        _cleanup_(conditions_freep) ConditionList *list = parse("serial = AB12 and vendor-id = 10de");
        size_t failed = 99;
        uint8_t failures[2];
        bool unknown = false;

        assert_true(conditions_need_slow(list));
        assert_int_equal(conditions_fields(list),
                         (UINT64_C(1) << FIELD_SERIAL) | (UINT64_C(1) << FIELD_VENDOR_ID));
        assert_int_equal(conditions_match(list, gpu, NULL), MATCH_YES);

        fake_set_unknown(gpu, FIELD_SERIAL);
        gpu->slow = SLOW_UNKNOWN;
        assert_int_equal(conditions_match(list, gpu, &failed), MATCH_UNKNOWN);
        assert_int_equal(failed, 0);
        assert_int_equal(conditions_distance(list, gpu, 2, failures, &unknown), 0);
        assert_true(unknown);
        assert_null(conditions_error(list));

        /* What is known already decides, so that nobody reads serials of devices that do not matter. */
        fake_set_text(inventory, gpu, FIELD_VENDOR_ID, "8086");
        assert_int_equal(conditions_match(list, gpu, &failed), MATCH_NO);
        assert_int_equal(failed, 1);

        fake_set_text(inventory, gpu, FIELD_VENDOR_ID, "10de");
        gpu->slow = SLOW_FAILED;
        assert_int_equal(conditions_match(list, gpu, NULL), MATCH_UNKNOWN);
        gpu->slow = SLOW_FRESH;
        assert_int_equal(conditions_match(list, gpu, NULL), MATCH_NO);
}

static void test_distance(void **state) {
        _cleanup_(conditions_freep) ConditionList *list =
                parse("name ~ Radeon and slot begins 0000 and vendor-id = 1002");
        uint8_t failed[3] = { 9, 9, 9 };
        bool unknown = true;
        size_t first;

        assert_int_equal(conditions_distance(list, gpu, 3, failed, &unknown), 2);
        assert_int_equal(failed[0] + failed[1], 2);
        assert_true(failed[0] == 0 || failed[0] == 2);
        assert_int_equal(failed[2], 9);
        assert_false(unknown);
        assert_int_equal(conditions_match(list, gpu, &first), MATCH_NO);
        assert_true(first == 0 || first == 2);

        /* Beyond the limit nobody wants to know how far. */
        assert_int_equal(conditions_distance(list, gpu, 1, failed, &unknown), 2);
        assert_int_equal(conditions_distance(list, gpu, 0, failed, &unknown), 1);
}

static void test_text_form(void **state) {
        static const struct {
                const char *text, *canonical;
        } cases[] = {
                { "vendor-id=10de", "vendor-id = 10de" },
                { "  vendor-id\t=\n10de  ", "vendor-id = 10de" },
                { "numa-node<=1", "numa-node <= 1" },
                { "numa-node=-1", "numa-node = -1" },
                { "name~^NVIDIA", "name ~ ^NVIDIA" },
                { "name ~ ^a\\.b$", "name ~ ^a\\.b$" },
                { "name = \"NVIDIA A100\"", "name = \"NVIDIA A100\"" },
                { "name = \"plain\"", "name = plain" },
                { "name = \"and\"", "name = \"and\"" },
                { "name = andy", "name = andy" },
                { "name = \"say \\\"hi\\\" \\\\ there\"", "name = \"say \\\"hi\\\" \\\\ there\"" },
                { "name = \"\"", "name = \"\"" },
                { "name = ~x", "name = ~x" },
                { "name eq x and driver ne y", "name = x and driver != y" },
                { "name begins x and name ends y and name contains z and name icontains w",
                  "name ^= x and name $= y and name *= z and name icontains w" },
                { "boot-vga = true", "boot-vga = true" },
                { "", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(conditions_freep) ConditionList *list = parse(cases[i].text), *again = NULL,
                                                          *third = NULL;
                _cleanup_free_ char *text = NULL, *second = NULL;
                json_auto_t *triples = conditions_to_json(list), *copy = NULL;

                assert_int_equal(conditions_to_text(list, &text), 0);
                assert_string_equal(text, cases[i].canonical);
                again = parse(text);
                assert_int_equal(conditions_to_text(again, &second), 0);
                assert_string_equal(second, text);

                assert_int_equal(conditions_from_json(triples, &fake_module, &third, NULL), 0);
                copy = conditions_to_json(third);
                assert_true(json_equal(triples, copy));
        }
}

static void test_text_refused(void **state) {
        static const struct {
                const char *text;
                FaultCode code;
                const char *words[3];
        } cases[] = {
                { "vendorid = 10de",
                  FAULT_UNKNOWN_FIELD,
                  { "At character 1:", "did you mean \"vendor-id\"?", "valid fields: slot, name" } },
                { "VendorId = 10de", FAULT_UNKNOWN_FIELD, { "did you mean \"vendor-id\"?" } },
                { "colour = red",
                  FAULT_UNKNOWN_FIELD,
                  { "There is no field \"colour\" of type test; valid" } },
                { "secret = x", FAULT_UNKNOWN_FIELD, { "\"secret\" cannot be used" } },
                { "provider.slot begins 0000:3b",
                  FAULT_UNKNOWN_FIELD,
                  { "\"provider.slot\" asks for a field of the device's provider" } },
                { "name = ä and nöme = x", FAULT_UNKNOWN_FIELD, { "At character 15:", "only letters" } },
                { "= 10de", FAULT_UNKNOWN_FIELD, { "At character 1:" } },
                { "vendor-id", FAULT_UNKNOWN_OPERATOR, { "At character 10:", "ends where an operator" } },
                { "vendor-id =", FAULT_INVALID_VALUE, { "At character 12:", "ends where a value" } },
                { "vendor-id == 10de",
                  FAULT_UNKNOWN_OPERATOR,
                  { "At character 11:", "\"==\"", "begins (^=)" } },
                { "name =~ x", FAULT_UNKNOWN_OPERATOR, { "At character 6:", "\"=~\"" } },
                { "name like x", FAULT_UNKNOWN_OPERATOR, { "\"like\"" } },
                { "numa-node like x",
                  FAULT_UNKNOWN_OPERATOR,
                  { "eq (=), ne (!=), lt (<), le (<=), gt (>), ge (>=)" } },
                { "numa-node begins 1",
                  FAULT_UNKNOWN_OPERATOR,
                  { "At character 11:", "whole number", "is for texts; valid: eq (=)" } },
                { "memory ~ 1", FAULT_UNKNOWN_OPERATOR, { "regex is for texts" } },
                { "offset contains 1", FAULT_UNKNOWN_OPERATOR, { "contains is for texts" } },
                { "total-vfs $= 1", FAULT_UNKNOWN_OPERATOR, { "ends is for texts" } },
                { "boot-vga < true",
                  FAULT_UNKNOWN_OPERATOR,
                  { "lt is for texts or numbers; valid: eq (=), ne (!=)" } },
                { "boot-vga = maybe", FAULT_INVALID_VALUE, { "At character 12:", "true or false" } },
                { "numa-node = one",
                  FAULT_INVALID_VALUE,
                  { "At character 13:", "numa-node", "whole number" } },
                { "numa-node = 2147483648", FAULT_INVALID_VALUE, { "2147483647" } },
                { "total-vfs = -1", FAULT_INVALID_VALUE, { "from 0 to 4294967295" } },
                { "numa-node = 1.5", FAULT_INVALID_VALUE, { "whole number" } },
                { "numa-node = \" 1\"", FAULT_INVALID_VALUE, { "whole number" } },
                { "name ~ a(b", FAULT_INVALID_REGEX, { "At character 11:", "parenthesis" } },
                { "name ~ \"a\\\\ [ b\"",
                  FAULT_INVALID_REGEX,
                  { "At character 16:", "missing terminating ]" } },
                { "name ~ ä[", FAULT_INVALID_REGEX, { "At character 10:" } },
                { "name = \"abc", FAULT_INVALID_VALUE, { "At character 8:", "closing quote" } },
                { "name = \"a\\n\"", FAULT_INVALID_VALUE, { "At character 10:", "backslash" } },
                { "name = \"a\\", FAULT_INVALID_VALUE, { "At character 10:" } },
                { "name = \"a\"b", FAULT_INVALID_ARGUMENT, { "At character 11:", "A blank" } },
                { "name = a\"b", FAULT_INVALID_VALUE, { "At character 9:", "double quotes" } },
                { "name = \"a\nb\"", FAULT_INVALID_VALUE, { "At character 8:", "control characters" } },
                { "name = NVIDIA A100",
                  FAULT_INVALID_ARGUMENT,
                  { "At character 15:", "value with blanks" } },
                { "name = a or name = b", FAULT_INVALID_ARGUMENT, { "At character 10:", "another rule" } },
                { "name = a || name = b", FAULT_INVALID_ARGUMENT, { "another rule" } },
                { "name = a AND name = b",
                  FAULT_INVALID_ARGUMENT,
                  { "At character 10:", "\"and\" or the end" } },
                { "name = a and", FAULT_UNKNOWN_FIELD, { "At character 13:", "ends where the name" } },
                { "name = and driver = x",
                  FAULT_INVALID_VALUE,
                  { "At character 8:", "missing before \"and\"" } },
                { "name contains \"\"", FAULT_INVALID_VALUE, { "\"contains\" would fit every device" } },
                { "name ~ \"\"", FAULT_INVALID_VALUE, { "\"regex\" would fit every device" } },
                { "drivers begins \"\"", FAULT_INVALID_VALUE, { "empty" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_fault_ Fault fault = { 0 };
                ConditionList *list = NULL;

                if (conditions_from_text(cases[i].text, &fake_module, &list, &fault) >= 0)
                        fail_msg("\"%s\" is taken", cases[i].text);
                assert_null(list);
                assert_string_equal(fault_code_to_string(fault.code), fault_code_to_string(cases[i].code));
                for (size_t j = 0; j < ELEMENTSOF(cases[i].words) && cases[i].words[j]; j++)
                        if (!strstr(fault.message, cases[i].words[j]))
                                fail_msg("\"%s\": \"%s\" does not say \"%s\"", cases[i].text, fault.message,
                                         cases[i].words[j]);
        }
}

static int parse_json(json_t *triples, Fault *fault) {
        ConditionList *list = NULL;
        int r = conditions_from_json(triples, &fake_module, &list, fault);

        conditions_free(list);
        json_decref(triples);
        return r;
}

static void test_json_values(void **state) {
        _cleanup_(conditions_freep) ConditionList *list = NULL;
        json_auto_t *triples = json_pack("[[sss],[ssi],[ssb],[sss]]", "name", "contains", "A100",
                                         "numa-node", "<=", 1, "boot-vga", "=", 1, "memory", "gt", "0x10");
        json_auto_t *written = NULL, *expected = NULL;

        assert_int_equal(conditions_from_json(triples, &fake_module, &list, NULL), 0);
        assert_int_equal(conditions_match(list, gpu, NULL), MATCH_YES);
        written = conditions_to_json(list);
        expected = json_pack("[[sss],[sss],[sss],[sss]]", "name", "contains", "A100", "numa-node", "le", "1",
                             "boot-vga", "eq", "true", "memory", "gt", "0x10");
        assert_true(json_equal(written, expected));
}

static void test_json_refused(void **state) {
        Fault fault = { 0 };

        assert_int_equal(parse_json(json_object(), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "list of triples");
        assert_int_equal(parse_json(json_null(), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "list of triples");
        assert_int_equal(parse_json(json_pack("[s]", "name"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "Condition 1:");
        assert_int_equal(parse_json(json_pack("[[sss],[ss]]", "name", "=", "x", "name", "="), &fault),
                         -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "Condition 2: It must be a list of three");
        assert_int_equal(parse_json(json_pack("[[sssn]]", "name", "=", "x"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "three");
        assert_int_equal(parse_json(json_pack("[[sis]]", "name", 1, "x"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "The operator must be a text");
        assert_int_equal(parse_json(json_pack("[[ssn]]", "name", "="), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "The value must be a text");
        assert_int_equal(parse_json(json_pack("[[ssf]]", "numa-node", "=", 1.5), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "The value must be a text");
        assert_int_equal(parse_json(json_pack("[[sss]]", "", "=", "x"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_UNKNOWN_FIELD, "empty");
        assert_int_equal(parse_json(json_pack("[[sss]]", "name", "", "x"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_UNKNOWN_OPERATOR, "Condition 1:");
        assert_int_equal(parse_json(json_pack("[[sss]]", "name", "~", "ä(b"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_REGEX, "Condition 1, at character 4 of its value:");

        /* A NUL hides what is behind it from everybody who reads C strings. */
        assert_int_equal(parse_json(json_pack("[[sss#]]", "name", "=", "a\0b", 3), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "Condition 1: The value contains a NUL");
        assert_int_equal(parse_json(json_pack("[[s#ss]]", "name\0x", 6, "=", "a"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "The field contains a NUL");
}

static void test_not_utf8(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(invalid_utf8); i++) {
                _cleanup_free_ char *text = NULL;
                ConditionList *list = NULL;
                Fault fault = { 0 };
                json_t *triple = json_array();

                json_array_append_new(triple, json_string("name"));
                json_array_append_new(triple, json_string("="));
                json_array_append_new(triple, json_string_nocheck(invalid_utf8[i]));
                assert_int_equal(parse_json(json_pack("[o]", triple), &fault), -EINVAL);
                assert_fault(&fault, FAULT_INVALID_VALUE, "not UTF-8");

                /* What is sent as a name comes back in the message, fit for the bus. */
                triple = json_array();
                json_array_append_new(triple, json_string_nocheck(invalid_utf8[i]));
                json_array_append_new(triple, json_string("="));
                json_array_append_new(triple, json_string("x"));
                assert_int_equal(parse_json(json_pack("[o]", triple), &fault), -EINVAL);
                assert_true(utf8_is_valid(fault.message));
                assert_fault(&fault, FAULT_UNKNOWN_FIELD, "There is no field");

                assert_true(asprintf(&text, "name = %s", invalid_utf8[i]) > 0);
                assert_int_equal(conditions_from_text(text, &fake_module, &list, &fault), -EINVAL);
                assert_fault(&fault, FAULT_INVALID_VALUE, "UTF-8");
        }
}

static void test_too_large(void **state) {
        _cleanup_free_ char *megabyte = repeat('x', MEGABYTE), *text = NULL,
                            *regex = repeat('x', REGEX_MAX_BYTES + 1);
        json_t *many = json_array();
        ConditionList *list = NULL;
        Fault fault = { 0 };

        assert_int_equal(parse_json(json_pack("[[sss]]", "name", "=", megabyte), &fault), -E2BIG);
        assert_true(strlen(fault.message) < 500);
        assert_fault(&fault, FAULT_TOO_LARGE, "1048576 bytes; at most 4096");
        assert_int_equal(parse_json(json_pack("[[sss]]", megabyte, "=", "x"), &fault), -EINVAL);
        assert_true(strlen(fault.message) < 2000);
        assert_fault(&fault, FAULT_UNKNOWN_FIELD, "xxx…");
        assert_int_equal(parse_json(json_pack("[[sss]]", "name", megabyte, "x"), &fault), -EINVAL);
        assert_true(strlen(fault.message) < 2000);
        assert_fault(&fault, FAULT_UNKNOWN_OPERATOR, "xxx…");
        assert_int_equal(parse_json(json_pack("[[sss]]", "name", "~", regex), &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "1025 bytes; at most 1024");

        assert_true(asprintf(&text, "name = %s", megabyte) > 0);
        assert_int_equal(conditions_from_text(text, &fake_module, &list, &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "At character 8:");

        for (size_t i = 0; i < 10000; i++)
                json_array_append_new(many, json_pack("[sss]", "name", "=", "x"));
        assert_int_equal(parse_json(many, &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "There are 10000 conditions; at most 64");
}

static void test_count_limit_of_text(void **state) {
        char text[CONDITIONS_MAX * 20 + 64] = "";
        ConditionList *list = NULL;
        Fault fault = { 0 };

        for (size_t i = 0; i < CONDITIONS_MAX; i++)
                strcat(text, i > 0 ? " and name = x" : "name = x");
        list = parse(text);
        assert_int_equal(conditions_count(list), CONDITIONS_MAX);
        list = conditions_free(list);

        strcat(text, " and name = x");
        assert_int_equal(conditions_from_text(text, &fake_module, &list, &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "at most 64");
}

static void test_contradictions(void **state) {
        static const struct {
                const char *text, *words;
        } cases[] = {
                { "numa-node < 1 and numa-node > 3",
                  "\"numa-node < 1\" and \"numa-node > 3\" can never hold together" },
                { "numa-node = 1 and vendor-id = 10de and numa-node = 2", "can never" },
                { "numa-node = 1 and numa-node != 1", "can never" },
                { "numa-node != 1 and numa-node = 1", "can never" },
                { "numa-node > 1 and numa-node < 2", "can never" },
                { "numa-node >= 1 and numa-node <= 1", NULL },
                { "numa-node > 1 and numa-node != 1", NULL },
                { "total-vfs < 0", "\"total-vfs < 0\" can never hold: there is no such number" },
                { "memory > 18446744073709551615", "there is no such number" },
                { "offset < -9223372036854775808", "there is no such number" },
                { "memory >= 18446744073709551615", NULL },
                { "boot-vga = true and boot-vga = false", "can never" },
                { "boot-vga = true and boot-vga != true", "can never" },
                { "boot-vga = true and boot-vga != false", NULL },
                { "boot-vga != true and boot-vga != false", NULL }, /* a device that does not say */
                { "name = a and name = b", "can never" },
                { "name = a and name = a", NULL },
                { "name = abc and name begins ab", NULL },
                { "name = abc and name begins b", "can never" },
                { "name ~ ^b and name = abc", "\"name ~ ^b\" and \"name = abc\"" },
                { "name begins ab and name begins abc", NULL },
                { "name begins ab and name begins b", "can never" },
                { "name ends ab and name ends b", NULL },
                { "name ends ab and name ends a", "can never" },
                { "name > b and name < a", "can never" },
                { "name >= b and name <= b", NULL },
                { "name > b and name <= b", "can never" },
                { "name < b and name < a", NULL },
                { "name begins a and driver begins b", NULL },
                { "drivers = a and drivers = b", NULL }, /* two elements */
                { "drivers = a and drivers != a", "can never" },
                { "drivers begins a and drivers begins b", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(conditions_freep) ConditionList *list = parse(cases[i].text);
                _cleanup_free_ char *text = conditions_contradiction(list);

                if (!text != !cases[i].words || (text && !strstr(text, cases[i].words)))
                        fail_msg("\"%s\": %s", cases[i].text, strempty(text));
        }
}

static uint64_t now_msec(void) {
        struct timespec t;

        assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
        return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

/* An expression that would take years is given up, said once, and soon not tried any more. */
static void test_evil_expression(void **state) {
        _cleanup_(conditions_freep) ConditionList *list = parse("name ~ ^(a+)+$");
        uint64_t begin = now_msec();
        char name[64];

        for (unsigned i = 0; i < 1000; i++) {
                (void) snprintf(name, sizeof(name), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!%u",
                                i);
                fake_set_text(inventory, gpu, FIELD_NAME, name);
                assert_int_equal(conditions_match(list, gpu, NULL), MATCH_UNKNOWN);
        }
        assert_non_null(conditions_error(list));
        assert_non_null(strstr(conditions_error(list), "\"^(a+)+$\" on the field name"));
        /* A thousand tries up to the limit take some seconds, eight take milliseconds. */
        assert_true(now_msec() - begin < 1000);
}

static void test_pattern(void **state) {
        static const char *const hostile[] = {
                "(?:(?:(?:x{1,999}){1,999}){1,999})",
                "(*UTF)ä",
                "(?R)",
                "\\C",
                "(((((((((((",
                "[[:nope:]]",
                "(?<n>a)\\k<m>",
        };
        char message[PATTERN_MESSAGE_SIZE];

        for (size_t i = 0; i < ELEMENTSOF(hostile); i++) {
                _cleanup_(pattern_freep) Pattern *pattern = NULL;
                size_t offset = 0;
                uint64_t begin = now_msec();
                int r = pattern_new(hostile[i], false, &pattern, &offset, message);

                if (r >= 0)
                        (void) pattern_match(pattern, "xxxxxxxxxxxxxxxxxxxx");
                else
                        assert_true(offset <= strlen(hostile[i]) && message[0] != '\0');
                assert_true(now_msec() - begin < 500);
        }
}

/* Bytes that are not UTF-8 come from firmware; an expression with letters beyond ASCII must bear them. */
static void test_device_text_not_utf8(void **state) {
        _cleanup_(conditions_freep) ConditionList *list = parse("name ~ ä|A100");

        fake_set_text(inventory, gpu, FIELD_NAME, "\xff\xfe A100 \x80");
        assert_int_equal(conditions_match(list, gpu, NULL), MATCH_YES);
        fake_set_text(inventory, gpu, FIELD_NAME, "\xff\xfe A10 \x80");
        assert_int_equal(conditions_match(list, gpu, NULL), MATCH_NO);
        assert_null(conditions_error(list));
}

static void test_memo(void **state) {
        Memo memo = { 0 };
        char texts[600][16], reused[8] = "one";

        assert_int_equal(memo_get(&memo, reused), -ENOENT);
        memo_put(&memo, reused, 1);
        assert_int_equal(memo_get(&memo, reused), 1);
        /* Another string has come to lie at the address of one that died. */
        strcpy(reused, "two");
        assert_int_equal(memo_get(&memo, reused), -ENOENT);
        memo_put(&memo, reused, 0);
        assert_int_equal(memo_get(&memo, reused), 0);
        assert_int_equal(memo.n_used, 1);

        for (size_t i = 0; i < MEMO_MAX - 1; i++) {
                (void) snprintf(texts[i], sizeof(texts[i]), "text-%zu", i);
                memo_put(&memo, texts[i], (int) (i % 3));
        }
        for (int round = 0; round < 2; round++)
                for (size_t i = 0; i < MEMO_MAX - 1; i++)
                        assert_int_equal(memo_get(&memo, texts[i]), i % 3);
        assert_int_equal(memo_get(&memo, reused), 0);
        /* Full, and it was worth it: it starts again. */
        memo_put(&memo, "more", 1);
        assert_false(memo.off);
        assert_int_equal(memo.n_used, 1);
        memo_done(&memo);

        /* Texts that never repeat. */
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                (void) snprintf(texts[i], sizeof(texts[i]), "text-%zu", i);
                assert_int_equal(memo_get(&memo, texts[i]), -ENOENT);
                memo_put(&memo, texts[i], 1);
        }
        assert_true(memo.off);
        assert_int_equal(memo.n_slots, 0);
        assert_int_equal(memo_get(&memo, texts[0]), -ENOENT);
        memo_done(&memo);
}

/* A changed name is matched anew although its string may lie where the old one lay. */
static void test_string_reuse(void **state) {
        _cleanup_(conditions_freep) ConditionList *list = parse("name ~ A100");
        char name[16] = "A100";

        gpu->own_fields[FIELD_NAME].s = name;
        assert_int_equal(conditions_match(list, gpu, NULL), MATCH_YES);
        strcpy(name, "H100");
        assert_int_equal(conditions_match(list, gpu, NULL), MATCH_NO);
}

static void test_excerpt(void **state) {
        _cleanup_free_ char *megabyte = repeat('x', MEGABYTE);
        char buffer[EXCERPT_SIZE], text[EXCERPT_BYTES + 8];

        assert_string_equal(excerpt(NULL, buffer), "");
        assert_string_equal(excerpt("plain ä", buffer), "plain ä");
        assert_string_equal(excerpt("a\nb\x7f", buffer), "a?b?");
        assert_string_equal(excerpt("a\xffz", buffer), "a?z");
        assert_true(strlen(excerpt(megabyte, buffer)) == EXCERPT_BYTES + strlen("…"));

        /* Cut before a character, not inside. */
        memset(text, 'x', EXCERPT_BYTES - 1);
        strcpy(text + EXCERPT_BYTES - 1, "€€");
        excerpt(text, buffer);
        assert_true(utf8_is_valid(buffer));
        assert_string_equal(buffer + EXCERPT_BYTES - 1, "…");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_operator_names), TEST(test_match_table),
                TEST(test_other_module),   TEST(test_unread),
                TEST(test_distance),       TEST(test_text_form),
                TEST(test_text_refused),   TEST(test_json_values),
                TEST(test_json_refused),   TEST(test_not_utf8),
                TEST(test_too_large),      TEST(test_count_limit_of_text),
                TEST(test_contradictions), TEST(test_evil_expression),
                TEST(test_pattern),        TEST(test_device_text_not_utf8),
                TEST(test_memo),           TEST(test_string_reuse),
                TEST(test_excerpt),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
