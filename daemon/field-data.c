/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module-call.h"

/* A list is one piece of memory, pointers and strings; an empty list is none. */
static int copy_list(const char *const *list, char ***ret) {
        size_t n = 0, bytes = 0;
        char **copy, *text;

        while (list && list[n])
                bytes += strlen(list[n++]) + 1;
        if (n == 0) {
                *ret = NULL;
                return 0;
        }

        copy = malloc((n + 1) * sizeof(char *) + bytes);
        if (!copy)
                return -ENOMEM;
        text = (char *) (copy + n + 1);
        for (size_t i = 0; i < n; i++) {
                copy[i] = text;
                text = stpcpy(text, list[i]) + 1;
        }
        copy[n] = NULL;
        *ret = copy;
        return 0;
}

int field_data_set(Interner *interner, const PtValue *value, FieldData *ret) {
        /* The widest member first: two values are compared by what they are, and the rest stays zero. */
        FieldData data = { .t = 0 };
        int r;

        switch ((PtType) value->type) {
        case PT_BOOL:
                data.b = value->b;
                break;
        case PT_INT32:
                data.i = value->i;
                break;
        case PT_UINT32:
                data.u = value->u;
                break;
        case PT_INT64:
                data.x = value->x;
                break;
        case PT_UINT64:
                data.t = value->t;
                break;
        case PT_STRING:
                data.s = intern(interner, value->s);
                if (!data.s)
                        return -ENOMEM;
                break;
        case PT_STRV:
                r = copy_list(value->strv, &data.strv);
                if (r < 0)
                        return r;
                break;
        case PT_NONE:
        default:
                return -EINVAL;
        }

        *ret = data;
        return 0;
}

void field_data_done(Interner *interner, uint32_t type, FieldData *data) {
        if (type == PT_STRING)
                intern_unref(interner, data->s);
        else if (type == PT_STRV)
                free(data->strv);
        *data = (FieldData){ .t = 0 };
}

static bool lists_equal(char *const *a, char *const *b) {
        size_t i = 0;

        if (!a || !b)
                return a == b;
        for (; a[i] && b[i]; i++)
                if (!streq(a[i], b[i]))
                        return false;
        return a[i] == b[i];
}

bool field_data_equal(uint32_t type, const FieldData *a, const FieldData *b) {
        switch ((PtType) type) {
        case PT_BOOL:
                return a->b == b->b;
        case PT_INT32:
                return a->i == b->i;
        case PT_UINT32:
                return a->u == b->u;
        case PT_INT64:
                return a->x == b->x;
        case PT_UINT64:
                return a->t == b->t;
        case PT_STRING:
                return a->s == b->s; /* interned */
        case PT_STRV:
                return lists_equal(a->strv, b->strv);
        case PT_NONE:
        default:
                return true;
        }
}

void field_data_get(uint32_t type, const FieldData *data, PtValue *ret) {
        static const char *const empty[] = { NULL };
        PtValue value = { .type = type };

        switch ((PtType) type) {
        case PT_BOOL:
                value.b = data->b;
                break;
        case PT_INT32:
                value.i = data->i;
                break;
        case PT_UINT32:
                value.u = data->u;
                break;
        case PT_INT64:
                value.x = data->x;
                break;
        case PT_UINT64:
                value.t = data->t;
                break;
        case PT_STRING:
                value.s = data->s;
                break;
        case PT_STRV:
                value.strv = data->strv ? (const char *const *) data->strv : empty;
                break;
        case PT_NONE:
        default:
                value.type = PT_NONE;
                break;
        }
        *ret = value;
}

void description_done(Description *description, const PtField *fields, Interner *interner) {
        for (size_t i = 0; description->known >> i; i++)
                if (description->known >> i & 1)
                        field_data_done(interner, fields[i].type, description->fields + i);
        intern_unref(interner, description->vendor);
        intern_unref(interner, description->name);
        description->known = 0;
        description->vendor = description->name = NULL;
}
