/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json-locate.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "lib/macro.h"

static const char *skip_blanks(const char *p) {
        return p + strspn(p, " \t\r\n");
}

/* From the opening quote to behind the closing one. */
static const char *skip_string(const char *p) {
        for (p++; *p && *p != '"'; p++)
                if (*p == '\\' && p[1])
                        p++;
        return *p ? p + 1 : p;
}

/* To behind the value, without recursion: documents nest as deeply as they like. */
static const char *skip_value(const char *p) {
        size_t depth = 0;

        for (;;) {
                if (*p == '"')
                        p = skip_string(p);
                else if (*p == '{' || *p == '[') {
                        depth++;
                        p++;
                } else if (*p == '}' || *p == ']') {
                        depth--;
                        p++;
                } else
                        p += strcspn(p, depth > 0 ? "\"{}[]" : ",}] \t\r\n");
                if (depth == 0 || !*p)
                        return p;
        }
}

static bool is_key(const char *p, const char *end, const char *key) {
        json_t *text;
        bool same;

        if (!memchr(p, '\\', (size_t) (end - p)))
                return (size_t) (end - p) == strlen(key) + 2 && memcmp(p + 1, key, strlen(key)) == 0;
        text = json_loadb(p, (size_t) (end - p), JSON_DECODE_ANY, NULL);
        same = streq(json_string_value(text) ?: "", key);
        json_decref(text);
        return same;
}

/* The key in the object at `p`, and its value. */
static int find_key(const char *p, const char *key, const char **ret_key, const char **ret_value) {
        if (*p != '{')
                return -ENOENT;
        for (p = skip_blanks(p + 1); *p == '"'; p = skip_blanks(p + 1)) {
                const char *end = skip_string(p), *value = skip_blanks(end);

                value = *value == ':' ? skip_blanks(value + 1) : value;
                if (is_key(p, end, key)) {
                        *ret_key = p;
                        *ret_value = value;
                        return 0;
                }
                p = skip_blanks(skip_value(value));
                if (*p != ',')
                        break;
        }
        return -ENOENT;
}

static int find_element(const char *p, size_t index, const char **ret) {
        if (*p != '[')
                return -ENOENT;
        for (p = skip_blanks(p + 1); *p && *p != ']'; p = skip_blanks(p + 1)) {
                if (index-- == 0) {
                        *ret = p;
                        return 0;
                }
                p = skip_blanks(skip_value(p));
                if (*p != ',')
                        break;
        }
        return -ENOENT;
}

static JsonPlace place_of(const char *text, const char *p) {
        JsonPlace place = { 1, 1 };

        for (; text < p; text++)
                if (*text == '\n') {
                        place.line++;
                        place.column = 1;
                } else if (((unsigned char) *text & 0xc0) != 0x80) /* the bytes that begin a character */
                        place.column++;
        return place;
}

int json_locate(const char *text, const char *array, size_t index, const char *key, JsonPlace *ret) {
        const char *at = skip_blanks(text), *value = at;

        if (array && (find_key(at, array, &at, &value) < 0 || find_element(value, index, &at) < 0))
                return -ENOENT;
        if (key && find_key(array ? at : skip_blanks(text), key, &at, &value) < 0)
                return -ENOENT;
        *ret = place_of(text, at);
        return 0;
}
