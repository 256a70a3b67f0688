/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-json.h"

#include <math.h>

#define DEPTH_MAX 8

static int read_value(sd_bus_message *m, char type, const char *contents, unsigned depth, json_t **ret);

static int read_integer(sd_bus_message *m, char type, json_t **ret) {
        union {
                uint8_t y;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
        } v = { 0 };
        int r = sd_bus_message_read_basic(m, type, &v);

        if (r < 0)
                return r;
        switch (type) {
        case 'y':
                *ret = json_integer(v.y);
                break;
        case 'n':
                *ret = json_integer(v.n);
                break;
        case 'q':
                *ret = json_integer(v.q);
                break;
        case 'i':
                *ret = json_integer(v.i);
                break;
        case 'u':
                *ret = json_integer(v.u);
                break;
        case 'x':
                *ret = json_integer(v.x);
                break;
        default:
                /* JSON integers end at 2^63 here; no setting reaches that far. */
                *ret = v.t > INT64_MAX ? json_real((double) v.t) : json_integer((json_int_t) v.t);
        }
        return *ret ? 0 : -ENOMEM;
}

static int read_basic(sd_bus_message *m, char type, json_t **ret) {
        const char *text;
        double d;
        int b, r;

        switch (type) {
        case 'b':
                r = sd_bus_message_read_basic(m, type, &b);
                *ret = r < 0 ? NULL : json_boolean(b);
                break;
        case 'd':
                r = sd_bus_message_read_basic(m, type, &d);
                if (r >= 0 && !isfinite(d))
                        return -EPROTOTYPE;
                *ret = r < 0 ? NULL : json_real(d);
                break;
        case 's':
        case 'o':
        case 'g':
                r = sd_bus_message_read_basic(m, type, &text);
                *ret = r < 0 ? NULL : json_string(text);
                break;
        case 'h':
                return -EPROTOTYPE;
        default:
                return read_integer(m, type, ret);
        }
        return r < 0 ? r : *ret ? 0 : -ENOMEM;
}

static int read_next(sd_bus_message *m, unsigned depth, json_t **ret) {
        const char *contents;
        char type;
        int r = sd_bus_message_peek_type(m, &type, &contents);

        return r < 0 ? r : r == 0 ? -ENXIO : read_value(m, type, contents, depth, ret);
}

static int read_variant(sd_bus_message *m, unsigned depth, json_t **ret) {
        const char *contents;
        char type;
        int r = sd_bus_message_peek_type(m, &type, &contents);

        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(m, 'v', contents);
        if (r >= 0)
                r = read_next(m, depth, ret);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r;
}

static int read_entries(sd_bus_message *m, unsigned depth, json_t *object) {
        int r;

        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *key;
                json_t *value = NULL;

                r = sd_bus_message_read_basic(m, 's', &key);
                if (r >= 0)
                        r = read_variant(m, depth, &value);
                if (r < 0 || json_object_set_new(object, key, value) < 0)
                        return r < 0 ? r : -ENOMEM;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r;
}

static int read_array(sd_bus_message *m, const char *contents, unsigned depth, json_t **ret) {
        bool dict = contents[0] == '{';
        _cleanup_(json_decrefp) json_t *array = dict ? json_object() : json_array();
        int r;

        if (!array)
                return -ENOMEM;
        if (dict && strcmp(contents, "{sv}") != 0)
                return -EPROTOTYPE;
        r = sd_bus_message_enter_container(m, 'a', contents);
        if (r < 0)
                return r;
        if (dict)
                r = read_entries(m, depth, array);
        else
                while ((r = sd_bus_message_at_end(m, false)) == 0) {
                        json_t *value = NULL;
                        r = read_next(m, depth, &value);
                        if (r < 0)
                                return r;
                        if (json_array_append_new(array, value) < 0)
                                return -ENOMEM;
                }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                *ret = TAKE_PTR(array);
        return r;
}

static int read_struct(sd_bus_message *m, const char *contents, unsigned depth, json_t **ret) {
        _cleanup_(json_decrefp) json_t *array = json_array();
        int r = sd_bus_message_enter_container(m, 'r', contents);

        while (r >= 0 && (r = sd_bus_message_at_end(m, false)) == 0) {
                json_t *value = NULL;
                r = read_next(m, depth, &value);
                if (r >= 0 && json_array_append_new(array, value) < 0)
                        r = -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                *ret = TAKE_PTR(array);
        return r;
}

static int read_value(sd_bus_message *m, char type, const char *contents, unsigned depth, json_t **ret) {
        if (depth >= DEPTH_MAX)
                return -ELOOP;
        switch (type) {
        case 'v':
                return read_variant(m, depth + 1, ret);
        case 'a':
                return read_array(m, contents, depth + 1, ret);
        case 'r':
                return read_struct(m, contents, depth + 1, ret);
        default:
                return read_basic(m, type, ret);
        }
}

int bus_read_dict(sd_bus_message *m, json_t **ret) {
        return read_value(m, 'a', "{sv}", 0, ret);
}

int bus_read_dict_list(sd_bus_message *m, json_t **ret) {
        return read_value(m, 'a', "a{sv}", 0, ret);
}

int bus_read_conditions(sd_bus_message *m, json_t **ret) {
        return read_value(m, 'a', "(sss)", 0, ret);
}

int bus_read_path_list(sd_bus_message *m, json_t **ret) {
        return read_value(m, 'a', "o", 0, ret);
}

/* ---- writing ---- */

int bus_append_dict(sd_bus_message *m, json_t *object) {
        const char *key;
        json_t *value;
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        json_object_foreach(object, key, value) {
                if (json_is_null(value))
                        continue;
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append_basic(m, 's', key);
                if (r >= 0)
                        r = bus_append_variant(m, value);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_dict_list(sd_bus_message *m, json_t *array) {
        size_t index;
        json_t *value;
        int r = sd_bus_message_open_container(m, 'a', "a{sv}");

        json_array_foreach(array, index, value)
                if (r >= 0)
                        r = bus_append_dict(m, value);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_strings(sd_bus_message *m, json_t *array) {
        size_t index;
        json_t *value;
        int r = sd_bus_message_open_container(m, 'a', "s");

        json_array_foreach(array, index, value)
                if (r >= 0)
                        r = sd_bus_message_append_basic(m, 's', strempty(json_string_value(value)));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_conditions(sd_bus_message *m, json_t *array) {
        size_t index;
        json_t *triple;
        int r = sd_bus_message_open_container(m, 'a', "(sss)");

        json_array_foreach(array, index, triple)
                if (r >= 0)
                        r = sd_bus_message_append(m, "(sss)", strempty(json_string_value(json_array_get(triple, 0))),
                                                  strempty(json_string_value(json_array_get(triple, 1))),
                                                  strempty(json_string_value(json_array_get(triple, 2))));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static bool is_list_of_objects(json_t *array) {
        return json_array_size(array) > 0 && json_is_object(json_array_get(array, 0));
}

static bool is_list_of_integers(json_t *array) {
        return json_array_size(array) > 0 && json_is_integer(json_array_get(array, 0));
}

static int append_integers(sd_bus_message *m, json_t *array) {
        size_t index;
        json_t *value;
        int r = sd_bus_message_open_container(m, 'a', "x");

        json_array_foreach(array, index, value)
                if (r >= 0)
                        r = sd_bus_message_append(m, "x", (int64_t) json_integer_value(value));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static bool is_list_of_lists(json_t *array) {
        return json_array_size(array) > 0 && json_is_array(json_array_get(array, 0));
}

static int append_list(sd_bus_message *m, json_t *array) {
        const char *signature = is_list_of_objects(array)    ? "aa{sv}"
                                : is_list_of_lists(array)    ? "a(sss)"
                                : is_list_of_integers(array) ? "ax"
                                                             : "as";
        int r = sd_bus_message_open_container(m, 'v', signature);

        if (r >= 0)
                r = is_list_of_objects(array)    ? bus_append_dict_list(m, array)
                    : is_list_of_lists(array)    ? bus_append_conditions(m, array)
                    : is_list_of_integers(array) ? append_integers(m, array)
                                                 : bus_append_strings(m, array);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_variant(sd_bus_message *m, json_t *value) {
        int r;

        switch (json_typeof(value)) {
        case JSON_STRING:
                return sd_bus_message_append(m, "v", "s", json_string_value(value));
        case JSON_INTEGER:
                return sd_bus_message_append(m, "v", "x", (int64_t) json_integer_value(value));
        case JSON_REAL:
                return sd_bus_message_append(m, "v", "d", json_real_value(value));
        case JSON_TRUE:
        case JSON_FALSE:
                return sd_bus_message_append(m, "v", "b", json_is_true(value));
        case JSON_ARRAY:
                return append_list(m, value);
        case JSON_OBJECT:
                r = sd_bus_message_open_container(m, 'v', "a{sv}");
                if (r >= 0)
                        r = bus_append_dict(m, value);
                return r < 0 ? r : sd_bus_message_close_container(m);
        case JSON_NULL:
                break;
        }
        return sd_bus_message_append(m, "v", "s", "");
}
