/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "id.h"

/* Not <ctype.h>: its answers depend on the locale, ids must not. */
static bool is_lower(char c) {
        return c >= 'a' && c <= 'z';
}

static bool is_upper(char c) {
        return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static char to_lower(char c) {
        return is_upper(c) ? (char) (c - 'A' + 'a') : c;
}

static char to_upper(char c) {
        return is_lower(c) ? (char) (c - 'a' + 'A') : c;
}

bool id_is_valid(const char *id) {
        size_t dashes = 0, i;

        if (isempty(id) || id[0] == '-')
                return false;

        for (i = 0; id[i]; i++) {
                if (i >= ID_MAX)
                        return false;
                if (id[i] == '-') {
                        if (++dashes > 2)
                                return false;
                } else if (is_lower(id[i]) || is_digit(id[i]))
                        dashes = 0;
                else
                        return false;
        }

        return dashes == 0;
}

bool type_name_is_valid(const char *type) {
        size_t i;

        if (isempty(type) || !is_lower(type[0]))
                return false;

        for (i = 1; type[i]; i++)
                if (i >= TYPE_NAME_MAX || !(is_lower(type[i]) || is_digit(type[i])))
                        return false;

        return true;
}

int id_from_place(const char *type, const char *place, char ret[static ID_SIZE]) {
        char id[ID_SIZE];
        size_t n;

        if (!type_name_is_valid(type) || isempty(place))
                return -EINVAL;

        n = strlen(type);
        memcpy(id, type, n);
        id[n++] = '-';

        for (const char *p = place; *p; p++) {
                char c = to_lower(*p);

                if (n >= ID_MAX)
                        return -EINVAL;
                id[n++] = is_lower(c) || is_digit(c) ? c : '-';
        }
        id[n] = '\0';

        if (!id_is_valid(id))
                return -EINVAL;

        memcpy(ret, id, n + 1);
        return 0;
}

int id_from_name(const char *name, char ret[static ID_SIZE]) {
        char id[ID_SIZE];
        bool gap = false;
        size_t n = 0;

        for (const char *p = strempty(name); *p; p++) {
                char c = to_lower(*p);

                if (!is_lower(c) && !is_digit(c)) {
                        gap = n > 0;
                        continue;
                }
                /* A dash is only written before the character that follows it, so that none can end up last.
                 */
                if (n + (gap ? 2 : 1) > ID_MAX)
                        break;
                if (gap)
                        id[n++] = '-';
                id[n++] = c;
                gap = false;
        }
        if (n == 0)
                return -EINVAL;

        id[n] = '\0';
        memcpy(ret, id, n + 1);
        return 0;
}

int id_to_path_element(const char *id, char ret[static ID_SIZE]) {
        size_t i;

        if (!id_is_valid(id))
                return -EINVAL;

        for (i = 0; id[i]; i++)
                ret[i] = id[i] == '-' ? '_' : id[i];
        ret[i] = '\0';
        return 0;
}

int id_from_path_element(const char *element, char ret[static ID_SIZE]) {
        char id[ID_SIZE];
        size_t i;

        if (isempty(element))
                return -EINVAL;

        for (i = 0; element[i]; i++) {
                if (i >= ID_MAX || element[i] == '-')
                        return -EINVAL;
                id[i] = element[i] == '_' ? '-' : element[i];
        }
        id[i] = '\0';

        if (!id_is_valid(id))
                return -EINVAL;

        memcpy(ret, id, i + 1);
        return 0;
}

int kebab_to_camel(const char *kebab, char ret[static ID_SIZE]) {
        char camel[ID_SIZE];
        bool first = true;
        size_t n = 0;

        if (isempty(kebab))
                return -EINVAL;

        for (size_t i = 0; kebab[i]; i++) {
                if (i >= ID_MAX)
                        return -EINVAL;
                if (first) {
                        /* A word that begins with a digit has no upper-case form, so there would be no way
                         * back. */
                        if (!is_lower(kebab[i]))
                                return -EINVAL;
                        camel[n++] = to_upper(kebab[i]);
                        first = false;
                } else if (kebab[i] == '-')
                        first = true;
                else if (is_lower(kebab[i]) || is_digit(kebab[i]))
                        camel[n++] = kebab[i];
                else
                        return -EINVAL;
        }
        if (first)
                return -EINVAL;

        camel[n] = '\0';
        memcpy(ret, camel, n + 1);
        return 0;
}

int camel_to_kebab(const char *camel, char ret[static ID_SIZE]) {
        char kebab[ID_SIZE];
        size_t n = 0;

        if (isempty(camel) || !is_upper(camel[0]))
                return -EINVAL;

        for (const char *p = camel; *p; p++) {
                bool dash = is_upper(*p) && n > 0;

                if (!is_upper(*p) && !is_lower(*p) && !is_digit(*p))
                        return -EINVAL;
                if (n + (dash ? 2 : 1) > ID_MAX)
                        return -EINVAL;
                if (dash)
                        kebab[n++] = '-';
                kebab[n++] = to_lower(*p);
        }

        kebab[n] = '\0';
        memcpy(ret, kebab, n + 1);
        return 0;
}
