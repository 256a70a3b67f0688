/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "condition-internal.h"
#include "excerpt.h"
#include "lib/limits.h"
#include "lib/parse.h"

/* The text form:
 *
 *   conditions = condition { blank "and" blank condition }
 *   condition  = field operator value
 *   field      = letters, digits, '-', '_' and '.'
 *   operator   = a sign, or a word between blanks
 *   value      = characters without blanks, or '"' characters, \" and \\ '"'
 *
 * Signs need no blanks around them. The value of `~` may follow it at once; behind the other signs a value
 * that itself begins with a sign needs a blank before it, so that `=~` and `==` are errors and not
 * surprises. */

#define BLANKS " \t\r\n"
#define SIGNS "=!<>^$*~"

typedef struct Reader {
        const char *text;
        size_t at;
        Fault *fault;
} Reader;

static int reader_refuse(const Reader *reader, size_t at, FaultCode code, const char *message) {
        return fault_set(reader->fault, -EINVAL, code, "At character %zu: %s",
                         character_number(reader->text, at), message);
}

static const char *rest(const Reader *reader) {
        return reader->text + reader->at;
}

static void skip_blanks(Reader *reader) {
        reader->at += strspn(rest(reader), BLANKS);
}

static int take(Reader *reader, size_t length, char **ret) {
        *ret = strndup(rest(reader), length);
        if (!*ret)
                return fault_oom(reader->fault);
        reader->at += length;
        return 0;
}

static int read_field(Reader *reader, char **ret) {
        size_t length = strspn(rest(reader), FIELD_CHARACTERS);

        if (length == 0)
                return reader_refuse(reader, reader->at, FAULT_UNKNOWN_FIELD,
                                     *rest(reader) ? "The name of a field is expected here"
                                                   : "The text ends where the name of a field is expected");
        if (!strchr(BLANKS SIGNS, rest(reader)[length]))
                return reader_refuse(reader, reader->at + length, FAULT_UNKNOWN_FIELD,
                                     "The name of a field has only letters, digits and dashes");
        return take(reader, length, ret);
}

static int read_operator(Reader *reader, char **ret) {
        size_t length = strspn(rest(reader), SIGNS);

        if (length > 0 && *rest(reader) == '~')
                length = 1;
        if (length == 0)
                length = strcspn(rest(reader), BLANKS);
        if (length == 0)
                return reader_refuse(reader, reader->at, FAULT_UNKNOWN_OPERATOR,
                                     "The text ends where an operator is expected");
        return take(reader, length, ret);
}

static int read_quoted(Reader *reader, char **ret) {
        _cleanup_free_ char *value = malloc(strlen(rest(reader)) + 1);
        size_t start = reader->at, n = 0;

        if (!value)
                return fault_oom(reader->fault);
        for (reader->at++; *rest(reader) != '"'; reader->at++) {
                char c = *rest(reader);

                if (c == '\\') {
                        c = rest(reader)[1];
                        if (c != '"' && c != '\\')
                                return reader_refuse(reader, reader->at, FAULT_INVALID_VALUE,
                                                     "In double quotes a backslash is written as \\\\ and a "
                                                     "quote as \\\"");
                        reader->at++;
                }
                if (c == '\0')
                        return reader_refuse(reader, start, FAULT_INVALID_VALUE,
                                             "The closing quote of this value is missing");
                value[n++] = c;
        }
        reader->at++;
        value[n] = '\0';
        *ret = TAKE_PTR(value);
        return 0;
}

static int read_value(Reader *reader, char **ret) {
        size_t length = strcspn(rest(reader), BLANKS);
        const char *quote;

        if (length == 0)
                return reader_refuse(
                        reader, reader->at, FAULT_INVALID_VALUE,
                        "The text ends where a value is expected; an empty one is written as \"\"");
        if (*rest(reader) == '"')
                return read_quoted(reader, ret);

        quote = memchr(rest(reader), '"', length);
        if (quote)
                return reader_refuse(
                        reader, (size_t) (quote - reader->text), FAULT_INVALID_VALUE,
                        "A value with a quote in it is written in double quotes, the quote inside as \\\"");
        if (length == 3 && startswith(rest(reader), "and"))
                return reader_refuse(reader, reader->at, FAULT_INVALID_VALUE,
                                     "A value is missing before \"and\"; as a value the word is written in "
                                     "double quotes");
        return take(reader, length, ret);
}

/* What people write instead of "and". */
static bool is_disjunction(const char *word, size_t length) {
        return (length == 2 && strncasecmp(word, "or", 2) == 0) || (length == 2 && startswith(word, "||"));
}

/* Goes on behind "and", or to the end. */
static int read_conjunction(Reader *reader, bool *ret_end) {
        size_t before = reader->at, length;

        skip_blanks(reader);
        *ret_end = *rest(reader) == '\0';
        if (*ret_end)
                return 0;

        length = strcspn(rest(reader), BLANKS);
        if (before == reader->at)
                return reader_refuse(reader, reader->at, FAULT_INVALID_ARGUMENT,
                                     "A blank is expected behind the value");
        if (is_disjunction(rest(reader), length))
                return reader_refuse(reader, reader->at, FAULT_INVALID_ARGUMENT,
                                     "All conditions of a rule must hold; for \"or\" write another rule of "
                                     "the same group");
        if (length != 3 || !startswith(rest(reader), "and"))
                return reader_refuse(reader, reader->at, FAULT_INVALID_ARGUMENT,
                                     "\"and\" or the end is expected here; a value with blanks is written "
                                     "in double quotes");
        reader->at += length;
        skip_blanks(reader);
        return 0;
}

static int read_condition(Reader *reader, ConditionList *list) {
        _cleanup_free_ char *field = NULL, *op = NULL, *value = NULL;
        ConditionWords words = { .text = reader->text, .number = list->n_items + 1 };
        int r;

        words.field_at = reader->at;
        r = read_field(reader, &field);
        if (r < 0)
                return r;
        skip_blanks(reader);
        words.operator_at = reader->at;
        r = read_operator(reader, &op);
        if (r < 0)
                return r;
        skip_blanks(reader);
        words.value_at = reader->at;
        r = read_value(reader, &value);
        if (r < 0)
                return r;

        words.field = field;
        words.op = op;
        words.value = value;
        return condition_list_append(list, &words, reader->fault);
}

int conditions_from_text(const char *text, const Module *module, ConditionList **ret, Fault *fault) {
        _cleanup_(conditions_freep) ConditionList *list = NULL;
        Reader reader = { .text = text, .fault = fault };
        bool end;
        int r;

        if (!utf8_is_valid(text))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "The conditions are not valid UTF-8");
        if (module && !module->descriptor)
                module = NULL;
        if (condition_list_new(module, &list) < 0)
                return fault_oom(fault);

        skip_blanks(&reader);
        for (end = *rest(&reader) == '\0'; !end;) {
                r = read_condition(&reader, list);
                if (r < 0)
                        return r;
                r = read_conjunction(&reader, &end);
                if (r < 0)
                        return r;
        }
        condition_list_finish(list);
        *ret = TAKE_PTR(list);
        return 0;
}

static void write_value(FILE *f, const char *value) {
        if (value[0] != '\0' && !strpbrk(value, BLANKS "\"") && !streq(value, "and")) {
                (void) fputs(value, f);
                return;
        }
        (void) fputc('"', f);
        for (; *value; value++) {
                if (*value == '"' || *value == '\\')
                        (void) fputc('\\', f);
                (void) fputc(*value, f);
        }
        (void) fputc('"', f);
}

int conditions_to_text(const ConditionList *list, char **ret) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_items; i++) {
                const Condition *c = condition_list_at(list, i);

                (void) fprintf(f, "%s%s %s ", i > 0 ? " and " : "", c->field,
                               operator_sign(c->op) ?: operator_to_string(c->op));
                write_value(f, c->value);
        }
        if (fclose(f) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return 0;
}
