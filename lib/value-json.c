/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "limits.h"
#include "parse.h"
#include "value-util.h"

/* Beyond it a double no longer names every whole number, so what is read may not be what was meant. */
#define DOUBLE_INTEGER_MAX 9007199254740992.0

/* JSON integers are signed 64 bits wide in jansson; what is larger travels in text form, which readers take
 * anyway. */
static json_t *uint64_to_json(uint64_t value) {
        char text[sizeof("18446744073709551615")];

        if (value <= INT64_MAX)
                return json_integer((json_int_t) value);

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        return json_string(text);
}

static json_t *strv_to_json(const char *const *strv) {
        json_t *array = json_array();

        for (const char *const *s = strv; array && s && *s; s++)
                if (json_array_append_new(array, json_string(*s)) < 0) {
                        json_decref(array);
                        return NULL;
                }

        return array;
}

json_t *value_to_json(const PtValue *value) {
        switch (value->type) {
        case PT_NONE:
                return json_null();
        case PT_BOOL:
                return json_boolean(value->b);
        case PT_INT32:
                return json_integer(value->i);
        case PT_UINT32:
                return json_integer(value->u);
        case PT_INT64:
                return json_integer(value->x);
        case PT_UINT64:
                return uint64_to_json(value->t);
        case PT_STRING:
                return json_string(strempty(value->s));
        case PT_STRV:
                return strv_to_json(value->strv);
        default:
                return NULL;
        }
}

static int wrong_json(uint32_t type, int error, const char *what, json_t *json, Fault *fault) {
        static const char *const kinds[] = {
                [JSON_OBJECT] = "an object",
                [JSON_ARRAY] = "an array",
                [JSON_STRING] = "text",
                [JSON_INTEGER] = "a number",
                [JSON_REAL] = "a floating point number",
                [JSON_TRUE] = "true",
                [JSON_FALSE] = "false",
                [JSON_NULL] = "null",
        };

        if (json_is_integer(json))
                return fault_set(fault, error, FAULT_INVALID_VALUE,
                                 "%s is %" JSON_INTEGER_FORMAT ", but must be %s", what,
                                 json_integer_value(json), type_title(type));
        return fault_set(fault, error, FAULT_INVALID_VALUE, "%s is %s, but must be %s", what,
                         json ? kinds[json_typeof(json)] : "missing", type_title(type));
}

static bool type_is_number(uint32_t type) {
        return type == PT_INT32 || type == PT_UINT32 || type == PT_INT64 || type == PT_UINT64;
}

static int from_integer(uint32_t type, json_int_t number, PtValue *ret) {
        switch (type) {
        case PT_BOOL:
                if (number != 0 && number != 1)
                        return -EINVAL;
                *ret = PT_VALUE_BOOL(number == 1);
                return 0;
        case PT_INT32:
                if (number < INT32_MIN || number > INT32_MAX)
                        return -ERANGE;
                *ret = PT_VALUE_INT32((int32_t) number);
                return 0;
        case PT_UINT32:
                if (number < 0 || number > UINT32_MAX)
                        return -ERANGE;
                *ret = PT_VALUE_UINT32((uint32_t) number);
                return 0;
        case PT_INT64:
                *ret = PT_VALUE_INT64(number);
                return 0;
        case PT_UINT64:
                if (number < 0)
                        return -ERANGE;
                *ret = PT_VALUE_UINT64((uint64_t) number);
                return 0;
        default:
                return -EINVAL;
        }
}

/* JavaScript knows one type of number and may write 3 as 3.0. */
static int from_real(uint32_t type, double number, PtValue *ret) {
        if (!type_is_number(type))
                return -EINVAL;
        if (!(number >= -DOUBLE_INTEGER_MAX && number <= DOUBLE_INTEGER_MAX))
                return -ERANGE;
        if ((double) (json_int_t) number != number)
                return -EINVAL;
        return from_integer(type, (json_int_t) number, ret);
}

static int check_text(json_t *json, const char *what, Fault *fault) {
        const char *text = json_string_value(json);

        if (json_string_length(json) > TEXT_MAX_BYTES)
                return fault_set(fault, -E2BIG, FAULT_TOO_LARGE, "%s is longer than %u bytes", what,
                                 TEXT_MAX_BYTES);
        if (strlen(text) != json_string_length(json))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "%s contains a NUL character", what);
        return 0;
}

static int from_array(json_t *json, const char *what, PtValue *ret, Fault *fault) {
        _cleanup_free_ const char **strv = NULL;
        json_t *element;
        size_t i;
        int r;

        strv = calloc(json_array_size(json) + 1, sizeof(char *));
        if (!strv)
                return fault_oom(fault);

        json_array_foreach(json, i, element) {
                if (!json_is_string(element))
                        return wrong_json(PT_STRV, -EINVAL, what, element, fault);
                r = check_text(element, what, fault);
                if (r < 0)
                        return r;
                strv[i] = json_string_value(element);
        }

        r = value_copy(&PT_VALUE_STRV(strv), ret);
        if (r == -ENOMEM)
                return fault_oom(fault);
        if (r < 0)
                return fault_set(fault, r, FAULT_INVALID_VALUE, "%s is not valid UTF-8", what);
        return 0;
}

int value_from_json(uint32_t type, json_t *json, const char *what, PtValue *ret, Fault *fault) {
        int r;

        if (type == PT_NONE && json_is_null(json)) {
                *ret = (PtValue){ .type = PT_NONE };
                return 0;
        }
        if (!type_title(type))
                return fault_set(fault, -EINVAL, FAULT_INTERNAL, "%s has the unknown type %" PRIu32, what,
                                 type);

        if (json_is_string(json)) {
                r = check_text(json, what, fault);
                return r < 0 ? r : value_parse(type, json_string_value(json), what, ret, fault);
        }
        if (json_is_array(json) && type == PT_STRV)
                return from_array(json, what, ret, fault);

        if (json_is_boolean(json) && type == PT_BOOL) {
                *ret = PT_VALUE_BOOL(json_is_true(json));
                return 0;
        }
        if (json_is_integer(json))
                r = from_integer(type, json_integer_value(json), ret);
        else if (json_is_real(json))
                r = from_real(type, json_real_value(json), ret);
        else
                r = -EINVAL;
        return r < 0 ? wrong_json(type, r, what, json, fault) : 0;
}
