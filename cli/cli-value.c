/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-value.h"

#include "lib/macro.h"

#define DEPTH_MAX 16 /* a message nests no deeper than the bus allows, but JSON of a file may */

static int read_value(sd_bus_message *m, unsigned depth, json_t **ret);

static int read_number(sd_bus_message *m, char type, json_t **ret) {
        union {
                uint8_t y;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
                int b;
        } v = { 0 };
        int r = sd_bus_message_read_basic(m, type, &v);

        if (r < 0)
                return r;
        *ret = type == 'y'   ? json_integer(v.y)
               : type == 'n' ? json_integer(v.n)
               : type == 'q' ? json_integer(v.q)
               : type == 'i' ? json_integer(v.i)
               : type == 'u' ? json_integer(v.u)
               : type == 'x' ? json_integer(v.x)
               : type == 't' ? json_integer((json_int_t) v.t)
               : type == 'b' ? json_boolean(v.b)
                             : json_real(v.d);
        return *ret ? 0 : -ENOMEM;
}

static int read_text(sd_bus_message *m, char type, json_t **ret) {
        const char *text;
        int r = sd_bus_message_read_basic(m, type, &text);

        if (r < 0)
                return r;
        *ret = json_string(text);
        return *ret ? 0 : -ENOMEM;
}

/* Dictionaries are read as objects when their keys are texts; the bus has no others here. */
static int read_entry(sd_bus_message *m, const char *contents, unsigned depth, json_t *object) {
        json_t *value = NULL;
        const char *key;
        int r = sd_bus_message_enter_container(m, 'e', contents);

        if (r >= 0)
                r = sd_bus_message_read_basic(m, contents[0], &key);
        if (r >= 0)
                r = read_value(m, depth, &value);
        if (r >= 0 && json_object_set_new(object, key, value) < 0)
                r = -ENOMEM;
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_array(sd_bus_message *m, const char *contents, unsigned depth, json_t **ret) {
        bool dictionary = contents[0] == '{';
        json_auto_t *array = dictionary ? json_object() : json_array();
        char entry[64] = "";
        int r;

        if (!array)
                return -ENOMEM;
        if (dictionary) {
                if (!strchr("sog", contents[1]) || strlen(contents) >= sizeof(entry))
                        return -EINVAL;
                memcpy(entry, contents + 1, strlen(contents) - 2);
        }
        r = sd_bus_message_enter_container(m, 'a', contents);
        while (r >= 0 && (r = sd_bus_message_at_end(m, false)) == 0) {
                json_t *value = NULL;

                if (dictionary)
                        r = read_entry(m, entry, depth, array);
                else
                        r = read_value(m, depth, &value);
                if (r >= 0 && !dictionary && json_array_append_new(array, value) < 0)
                        r = -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(array);
        return 0;
}

/* Structures and variants. */
static int read_inside(sd_bus_message *m, char type, const char *contents, unsigned depth, json_t **ret) {
        json_auto_t *array = json_array();
        int r = sd_bus_message_enter_container(m, type, contents);

        if (!array)
                return -ENOMEM;
        while (r >= 0 && (r = sd_bus_message_at_end(m, false)) == 0) {
                json_t *value = NULL;

                r = read_value(m, depth, &value);
                if (r >= 0 && json_array_append_new(array, value) < 0)
                        r = -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = type == 'v' ? json_incref(json_array_get(array, 0)) : TAKE_PTR(array);
        return 0;
}

static int read_value(sd_bus_message *m, unsigned depth, json_t **ret) {
        const char *contents;
        char type;
        int r = sd_bus_message_peek_type(m, &type, &contents);

        if (r <= 0)
                return r < 0 ? r : -ENXIO;
        if (depth > DEPTH_MAX)
                return -ELOOP;
        switch (type) {
        case 'a':
                return read_array(m, contents, depth + 1, ret);
        case 'r':
        case 'v':
                return read_inside(m, type, contents, depth + 1, ret);
        case 's':
        case 'o':
        case 'g':
                return read_text(m, type, ret);
        case 'h':
                r = sd_bus_message_skip(m, "h");
                *ret = r < 0 ? NULL : json_null();
                return r;
        default:
                return read_number(m, type, ret);
        }
}

int value_read(sd_bus_message *m, json_t **ret) {
        return read_value(m, 0, ret);
}

int values_read(sd_bus_message *m, json_t **ret) {
        json_auto_t *array = json_array();
        int r;

        if (!array)
                return -ENOMEM;
        while ((r = sd_bus_message_at_end(m, true)) == 0) {
                json_t *value = NULL;

                r = read_value(m, 0, &value);
                if (r < 0)
                        return r;
                if (json_array_append_new(array, value) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(array);
        return 0;
}

/* ---- writing ---- */

static int append_variant(sd_bus_message *m, json_t *value);

static int append_dictionary(sd_bus_message *m, json_t *object) {
        const char *key;
        json_t *value;
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        json_object_foreach(object, key, value) {
                if (json_is_null(value)) /* the bus has no such value: not given */
                        continue;
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append_basic(m, 's', key);
                if (r >= 0)
                        r = append_variant(m, value);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_array(sd_bus_message *m, const char *contents, json_t *array) {
        size_t index;
        json_t *value;
        int r = sd_bus_message_open_container(m, 'a', contents);

        json_array_foreach(array, index, value) if (r >= 0) r = value_append(m, contents, value);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_condition(sd_bus_message *m, json_t *triple) {
        return sd_bus_message_append(m, "(sss)", strempty(json_string_value(json_array_get(triple, 0))),
                                     strempty(json_string_value(json_array_get(triple, 1))),
                                     strempty(json_string_value(json_array_get(triple, 2))));
}

int value_append(sd_bus_message *m, const char *signature, json_t *value) {
        if (streq(signature, "s") || streq(signature, "o"))
                return sd_bus_message_append_basic(m, signature[0], strempty(json_string_value(value)));
        if (streq(signature, "b"))
                return sd_bus_message_append(m, "b", json_is_true(value));
        if (streq(signature, "(sss)"))
                return append_condition(m, value);
        if (streq(signature, "a{sv}"))
                return append_dictionary(m, value);
        if (signature[0] == 'a')
                return append_array(m, signature + 1, value);
        return -EINVAL;
}

static const char *signature_of(json_t *array) {
        json_t *first = json_array_get(array, 0);

        return json_is_object(first) ? "aa{sv}" : json_is_array(first) ? "a(sss)" : "as";
}

static int append_variant(sd_bus_message *m, json_t *value) {
        const char *signature = json_is_object(value)  ? "a{sv}"
                                : json_is_array(value) ? signature_of(value)
                                                       : NULL;
        int r;

        if (json_is_string(value))
                return sd_bus_message_append(m, "v", "s", json_string_value(value));
        if (json_is_integer(value))
                return sd_bus_message_append(m, "v", "x", (int64_t) json_integer_value(value));
        if (json_is_real(value))
                return sd_bus_message_append(m, "v", "d", json_real_value(value));
        if (json_is_boolean(value))
                return sd_bus_message_append(m, "v", "b", json_is_true(value));
        if (!signature)
                return -EINVAL;
        r = sd_bus_message_open_container(m, 'v', signature);
        if (r >= 0)
                r = value_append(m, signature, value);
        return r < 0 ? r : sd_bus_message_close_container(m);
}
