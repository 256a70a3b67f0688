/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json-util.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "excerpt.h"
#include "lib/limits.h"
#include "lib/parse.h"
#include "lib/schema.h"

char **strv_free(char **strv) {
        for (size_t i = 0; strv && strv[i]; i++)
                free(strv[i]);
        free(strv);
        return NULL;
}

size_t strv_length(const char *const *strv) {
        size_t n = 0;

        while (strv && strv[n])
                n++;
        return n;
}

int strv_copy(const char *const *strv, char ***ret) {
        size_t n = strv_length(strv);
        _cleanup_(strv_freep) char **copy = calloc(n + 1, sizeof(char *));

        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                copy[i] = strdup(strv[i]);
                if (!copy[i])
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(copy);
        return 0;
}

bool strv_contains(const char *const *strv, const char *text) {
        for (size_t i = 0; strv && strv[i]; i++)
                if (streq(strv[i], text))
                        return true;
        return false;
}

json_t *strv_to_json(const char *const *strv) {
        json_t *array = json_array();

        for (size_t i = 0; array && strv && strv[i]; i++)
                json_array_append_new(array, json_string(strv[i]));
        return array;
}

int json_append_text(json_t *array, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0) {
                text = NULL;
                return -ENOMEM;
        }
        return json_array_append_new(array, json_string(text)) < 0 ? -ENOMEM : 0;
}

static int wrong_type(const JsonKey *key, const char *what, const char *wanted, Fault *fault) {
        return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "'%s' of %s must be %s", key->name, what, wanted);
}

static int parse_text(const JsonKey *key, json_t *value, const char *what, Fault *fault) {
        size_t max = key->max > 0 ? key->max : TEXT_MAX_BYTES;
        const char *text = json_string_value(value);

        if (!text)
                return wrong_type(key, what, "a text", fault);
        if (json_string_length(value) > max)
                return fault_set(fault, -E2BIG, FAULT_TOO_LARGE, "'%s' of %s has %zu bytes; at most %zu are allowed",
                                 key->name, what, json_string_length(value), max);
        /* A NUL would hide what stands behind it. */
        if (strlen(text) != json_string_length(value) || !text_is_clean(text, max))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "'%s' of %s holds control characters; plain text is wanted", key->name, what);

        char *copy = strdup(text);
        if (!copy)
                return fault_oom(fault);
        free(*(char **) key->ret);
        *(char **) key->ret = copy;
        return 0;
}

static int parse_flag(const JsonKey *key, json_t *value, const char *what, Fault *fault) {
        bool b;

        if (json_is_boolean(value))
                b = json_is_true(value);
        else if (json_is_integer(value) && (json_integer_value(value) == 0 || json_integer_value(value) == 1))
                b = json_integer_value(value) == 1;
        else if (!json_is_string(value) || parse_bool(json_string_value(value), &b) < 0)
                return wrong_type(key, what, "true or false", fault);
        *(bool *) key->ret = b;
        return 0;
}

static int number_of(json_t *value, int64_t *ret) {
        if (json_is_integer(value)) {
                *ret = json_integer_value(value);
                return 0;
        }
        /* JavaScript has no integers. */
        if (json_is_real(value)) {
                double d = json_real_value(value);
                if (d < -9007199254740992.0 || d > 9007199254740992.0 || d != (double) (int64_t) d)
                        return -EINVAL;
                *ret = (int64_t) d;
                return 0;
        }
        return json_is_string(value) ? parse_int64(json_string_value(value), ret) : -EINVAL;
}

static int parse_number(const JsonKey *key, json_t *value, const char *what, Fault *fault) {
        int64_t low = key->type == JSON_KEY_INT ? INT_MIN : 0;
        int64_t high = key->max > 0                  ? (int64_t) key->max
                       : key->type == JSON_KEY_INT   ? INT_MAX
                       : key->type == JSON_KEY_UINT  ? (int64_t) UINT_MAX
                                                     : INT64_MAX;
        int64_t number;

        if (number_of(value, &number) < 0)
                return wrong_type(key, what, "a whole number", fault);
        if (number < low || number > high)
                return fault_set(fault, -ERANGE, FAULT_INVALID_VALUE, "'%s' of %s must be from %lld to %lld", key->name,
                                 what, (long long) low, (long long) high);
        if (key->type == JSON_KEY_INT)
                *(int *) key->ret = (int) number;
        else if (key->type == JSON_KEY_UINT)
                *(unsigned *) key->ret = (unsigned) number;
        else
                *(uint64_t *) key->ret = (uint64_t) number;
        return 0;
}

static int split_commas(const char *text, char ***ret) {
        _cleanup_free_ char *copy = strdup(text);
        _cleanup_(strv_freep) char **strv = calloc(strlen(text) + 2, sizeof(char *));
        size_t n = 0;
        char *save = NULL;

        if (!copy || !strv)
                return -ENOMEM;
        for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
                strv[n] = strdup(word);
                if (!strv[n++])
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(strv);
        return 0;
}

static int parse_strv(const JsonKey *key, json_t *value, const char *what, Fault *fault) {
        _cleanup_(strv_freep) char **strv = NULL;

        if (json_is_string(value)) {
                if (split_commas(json_string_value(value), &strv) < 0)
                        return fault_oom(fault);
        } else if (json_is_array(value)) {
                strv = calloc(json_array_size(value) + 1, sizeof(char *));
                if (!strv)
                        return fault_oom(fault);
                for (size_t i = 0; i < json_array_size(value); i++) {
                        const char *text = json_string_value(json_array_get(value, i));
                        if (!text || strlen(text) != json_string_length(json_array_get(value, i)))
                                return wrong_type(key, what, "a list of texts", fault);
                        strv[i] = strdup(text);
                        if (!strv[i])
                                return fault_oom(fault);
                }
        } else
                return wrong_type(key, what, "a list of texts", fault);

        if (strv_length((const char *const *) strv) > (key->max > 0 ? key->max : STRINGS_MAX))
                return fault_set(fault, -E2BIG, FAULT_TOO_LARGE, "'%s' of %s has more than %zu texts", key->name, what,
                                 key->max > 0 ? key->max : (size_t) STRINGS_MAX);
        for (size_t i = 0; strv[i]; i++)
                if (!text_is_clean(strv[i], TEXT_MAX_BYTES))
                        return wrong_type(key, what, "a list of plain texts", fault);
        strv_free(*(char ***) key->ret);
        *(char ***) key->ret = TAKE_PTR(strv);
        return 0;
}

static int parse_key(const JsonKey *key, json_t *value, const char *what, Fault *fault) {
        switch (key->type) {
        case JSON_KEY_STRING:
                return parse_text(key, value, what, fault);
        case JSON_KEY_BOOL:
                return parse_flag(key, value, what, fault);
        case JSON_KEY_UINT:
        case JSON_KEY_INT:
        case JSON_KEY_UINT64:
                return parse_number(key, value, what, fault);
        case JSON_KEY_STRV:
                return parse_strv(key, value, what, fault);
        case JSON_KEY_OBJECT:
                if (!json_is_object(value))
                        return wrong_type(key, what, "a dictionary", fault);
                *(json_t **) key->ret = value;
                return 0;
        case JSON_KEY_ARRAY:
                if (!json_is_array(value))
                        return wrong_type(key, what, "a list", fault);
                *(json_t **) key->ret = value;
                return 0;
        case JSON_KEY_ANY:
                *(json_t **) key->ret = value;
                return 0;
        }
        return -EINVAL;
}

static void list_names(const JsonKey *keys, char *buffer, size_t size) {
        size_t n = 0;

        buffer[0] = '\0';
        for (const JsonKey *k = keys; k->name && n < size; k++)
                n += (size_t) snprintf(buffer + n, size - n, "%s%s", k == keys ? "" : ", ", k->name);
}

#define KEYS_MAX 64u

static const char *nearest_key(const JsonKey *keys, const char *name) {
        const char *names[KEYS_MAX + 1];
        size_t n = 0;

        for (; keys->name && n < KEYS_MAX; keys++)
                names[n++] = keys->name;
        names[n] = NULL;
        return schema_nearest_name(names, name);
}

int json_parse_object(json_t *object, const JsonKey *keys, const char *what, FaultCode unknown, Fault *fault) {
        const char *name;
        json_t *value;

        if (object && !json_is_null(object) && !json_is_object(object))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "%s must be a dictionary", what);

        json_object_foreach(object, name, value) {
                const JsonKey *key = keys;

                while (key->name && !streq(key->name, name))
                        key++;
                if (!key->name) {
                        const char *nearest = nearest_key(keys, name);
                        char names[512], quoted[EXCERPT_SIZE];
                        list_names(keys, names, sizeof(names));
                        return fault_set(fault, -EINVAL, unknown, "'%s' is not known for %s%s%s%s; known: %s",
                                         excerpt(name, quoted), what, nearest ? ", did you mean '" : "",
                                         strempty(nearest), nearest ? "'?" : "", names[0] ? names : "none");
                }
                int r = parse_key(key, value, what, fault);
                if (r < 0)
                        return r;
        }
        for (const JsonKey *key = keys; key->name; key++)
                if (key->required && !json_object_get(object, key->name))
                        return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "'%s' of %s is missing", key->name, what);
        return 0;
}
