/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "limits.h"
#include "parse.h"
#include "value-util.h"

static const struct {
        uint32_t type;
        const char *signature;
        const char *title;
} types[] = {
        { PT_BOOL, "b", "true or false" },
        { PT_INT32, "i", "a whole number from -2147483648 to 2147483647" },
        { PT_UINT32, "u", "a whole number from 0 to 4294967295" },
        { PT_INT64, "x", "a whole number from -9223372036854775808 to 9223372036854775807" },
        { PT_UINT64, "t", "a whole number from 0 to 18446744073709551615" },
        { PT_STRING, "s", "text" },
        { PT_STRV, "as", "a list of texts separated by commas" },
};

const char *type_signature(uint32_t type) {
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (types[i].type == type)
                        return types[i].signature;
        return NULL;
}

const char *type_title(uint32_t type) {
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (types[i].type == type)
                        return types[i].title;
        return NULL;
}

static void strv_free(char **strv) {
        for (char **p = strv; p && *p; p++)
                free(*p);
        free(strv);
}
DEFINE_CLEANUP(char **, strv_free)

void value_done(PtValue *value) {
        if (!value)
                return;
        if (value->type == PT_STRING)
                free((char *) value->s);
        else if (value->type == PT_STRV)
                strv_free((char **) value->strv);
        *value = (PtValue){ 0 };
}

/* What is not UTF-8 could be put neither on the bus nor into JSON, so it is stopped where it would become
 * ours. */
static int string_copy(const char *s, char **ret) {
        char *copy;

        if (!s)
                return -EINVAL;
        if (!utf8_is_valid(s))
                return -EILSEQ;

        copy = strdup(s);
        if (!copy)
                return -ENOMEM;

        *ret = copy;
        return 0;
}

static int strv_copy(const char *const *strv, char ***ret) {
        _cleanup_(strv_freep) char **copy = NULL;
        size_t n = 0;
        int r;

        if (!strv)
                return -EINVAL;

        while (strv[n])
                n++;
        copy = calloc(n + 1, sizeof(char *));
        if (!copy)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++) {
                r = string_copy(strv[i], &copy[i]);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(copy);
        return 0;
}

int value_copy(const PtValue *value, PtValue *ret) {
        char *string, **strv;
        int r;

        switch (value->type) {
        case PT_NONE:
        case PT_BOOL:
        case PT_INT32:
        case PT_UINT32:
        case PT_INT64:
        case PT_UINT64:
                *ret = *value;
                ret->reserved = 0;
                return 0;
        case PT_STRING:
                r = string_copy(value->s, &string);
                if (r < 0)
                        return r;
                *ret = PT_VALUE_STRING(string);
                return 0;
        case PT_STRV:
                r = strv_copy(value->strv, &strv);
                if (r < 0)
                        return r;
                *ret = PT_VALUE_STRV((const char *const *) strv);
                return 0;
        default:
                return -EINVAL;
        }
}

/* "a,b" makes a list of two, "" the empty list. */
static int strv_parse(const char *text, char ***ret) {
        _cleanup_(strv_freep) char **strv = NULL;
        size_t n = 1, used = 0;

        for (const char *p = text; *p; p++)
                n += *p == ',';
        strv = calloc(n + 1, sizeof(char *));
        if (!strv)
                return -ENOMEM;

        while (*text) {
                size_t length = strcspn(text, ",");

                if (length == 0)
                        return -EINVAL;
                strv[used] = strndup(text, length);
                if (!strv[used++])
                        return -ENOMEM;
                text += length;
                if (*text == ',' && *++text == '\0')
                        return -EINVAL;
        }

        *ret = TAKE_PTR(strv);
        return 0;
}

static int parse_text(uint32_t type, const char *text, PtValue *ret) {
        PtValue value = { .type = type };
        char **strv;
        int r;

        switch (type) {
        case PT_BOOL:
                r = parse_bool(text, &value.b);
                break;
        case PT_INT32:
                r = parse_int32(text, &value.i);
                break;
        case PT_UINT32:
                r = parse_uint32(text, &value.u);
                break;
        case PT_INT64:
                r = parse_int64(text, &value.x);
                break;
        case PT_UINT64:
                r = parse_uint64(text, &value.t);
                break;
        case PT_STRING:
                value.s = strdup(text);
                r = value.s ? 0 : -ENOMEM;
                break;
        default: /* PT_STRV; value_parse() let nothing else through */
                r = strv_parse(text, &strv);
                if (r >= 0)
                        value.strv = (const char *const *) strv;
                break;
        }
        if (r < 0)
                return r;

        *ret = value;
        return 0;
}

int value_parse(uint32_t type, const char *text, const char *what, PtValue *ret, Fault *fault) {
        int r;

        if (!type_title(type))
                return fault_set(fault, -EINVAL, FAULT_INTERNAL, "%s has the unknown type %" PRIu32, what,
                                 type);
        if (!text)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "%s has no value, but must be %s",
                                 what, type_title(type));
        if (strnlen(text, TEXT_MAX_BYTES + 1) > TEXT_MAX_BYTES)
                return fault_set(fault, -E2BIG, FAULT_TOO_LARGE, "%s is longer than %u bytes", what,
                                 TEXT_MAX_BYTES);
        if (!utf8_is_valid(text))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "%s is not valid UTF-8", what);

        r = parse_text(type, text, ret);
        if (r == -ENOMEM)
                return fault_oom(fault);
        if (r < 0)
                return fault_set(fault, r, FAULT_INVALID_VALUE, "%s is \"%s\", but must be %s", what, text,
                                 type_title(type));
        return 0;
}

static int strv_join(const char *const *strv, char **ret) {
        size_t size = 1;
        char *text, *p;

        for (const char *const *s = strv; s && *s; s++)
                size += strlen(*s) + 1;
        text = p = malloc(size);
        if (!text)
                return -ENOMEM;

        for (const char *const *s = strv; s && *s; s++) {
                if (s != strv)
                        *p++ = ',';
                p = stpcpy(p, *s);
        }
        *p = '\0';

        *ret = text;
        return 0;
}

int value_format(const PtValue *value, char **ret) {
        char *text;
        int r;

        switch (value->type) {
        case PT_NONE:
                r = asprintf(&text, "%s", "");
                break;
        case PT_BOOL:
                r = asprintf(&text, "%s", value->b ? "true" : "false");
                break;
        case PT_INT32:
                r = asprintf(&text, "%" PRIi32, value->i);
                break;
        case PT_UINT32:
                r = asprintf(&text, "%" PRIu32, value->u);
                break;
        case PT_INT64:
                r = asprintf(&text, "%" PRIi64, value->x);
                break;
        case PT_UINT64:
                r = asprintf(&text, "%" PRIu64, value->t);
                break;
        case PT_STRING:
                r = asprintf(&text, "%s", strempty(value->s));
                break;
        case PT_STRV:
                return strv_join(value->strv, ret);
        default:
                return -EINVAL;
        }
        if (r < 0)
                return -ENOMEM;

        *ret = text;
        return 0;
}

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int strv_compare(const char *const *a, const char *const *b) {
        static const char *const empty[] = { NULL };

        a = a ?: empty;
        b = b ?: empty;
        for (; *a && *b; a++, b++) {
                int r = strcmp(*a, *b);

                if (r != 0)
                        return r;
        }

        return COMPARE(*a != NULL, *b != NULL);
}

int value_compare(const PtValue *a, const PtValue *b) {
        if (a->type != b->type)
                return COMPARE(a->type, b->type);

        switch (a->type) {
        case PT_BOOL:
                return COMPARE(a->b, b->b);
        case PT_INT32:
                return COMPARE(a->i, b->i);
        case PT_UINT32:
                return COMPARE(a->u, b->u);
        case PT_INT64:
                return COMPARE(a->x, b->x);
        case PT_UINT64:
                return COMPARE(a->t, b->t);
        case PT_STRING:
                return strcmp(strempty(a->s), strempty(b->s));
        case PT_STRV:
                return strv_compare(a->strv, b->strv);
        default:
                return 0;
        }
}

bool value_equal(const PtValue *a, const PtValue *b) {
        return value_compare(a, b) == 0;
}
