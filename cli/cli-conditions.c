/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-conditions.h"

#include <stdio.h>

#include "lib/parse.h"

#define BLANKS " \t\r\n"
#define SIGN_CHARACTERS "=!<>^$*~"

static const struct {
        const char *word, *sign;
} operators[] = {
        { "eq", "=" },        { "ne", "!=" },        { "lt", "<" },      { "le", "<=" },
        { "gt", ">" },        { "ge", ">=" },        { "begins", "^=" }, { "ends", "$=" },
        { "contains", "*=" }, { "icontains", NULL }, { "regex", "~" },
};

typedef struct Reader {
        const char *text, *at;
        Fault *fault;
} Reader;

/* People count characters, not bytes. */
static size_t character_number(const Reader *reader, const char *at) {
        size_t n = 1;

        for (const char *p = reader->text; p < at; p++)
                n += ((unsigned char) *p & 0xc0) != 0x80;
        return n;
}

static int refuse(const Reader *reader, const char *at, FaultCode code, const char *why) {
        return fault_set(reader->fault, -EINVAL, code, "At character %zu: %s", character_number(reader, at),
                         why);
}

static void skip_blanks(Reader *reader) {
        reader->at += strspn(reader->at, BLANKS);
}

static int take(Reader *reader, size_t length, char **ret) {
        *ret = strndup(reader->at, length);
        if (!*ret)
                return -ENOMEM;
        reader->at += length;
        return 0;
}

static int read_field(Reader *reader, char **ret) {
        size_t length = strcspn(reader->at, BLANKS SIGN_CHARACTERS);

        if (length == 0)
                return refuse(reader, reader->at, FAULT_UNKNOWN_FIELD,
                              *reader->at ? "the name of a field is expected here"
                                          : "the text ends where the name of a field is expected");
        return take(reader, length, ret);
}

static int read_operator(Reader *reader, const char **ret) {
        size_t length = strspn(reader->at, SIGN_CHARACTERS);
        bool sign = length > 0;

        /* What follows `~` is the expression, whatever it begins with. */
        if (reader->at[0] == '~')
                length = 1;
        if (!sign)
                length = strcspn(reader->at, BLANKS);
        for (size_t i = 0; i < ELEMENTSOF(operators); i++) {
                const char *name = sign ? operators[i].sign : operators[i].word;

                if (!name || strlen(name) != length || strncmp(reader->at, name, length) != 0)
                        continue;
                *ret = operators[i].word;
                reader->at += length;
                return 0;
        }
        return refuse(reader, reader->at, FAULT_UNKNOWN_OPERATOR,
                      length == 0 ? "the text ends where an operator is expected"
                                  : "an operator is expected here: eq =, ne !=, lt <, le <=, gt >, ge >=, "
                                    "begins ^=, ends "
                                    "$=, contains *=, icontains, regex ~");
}

static int read_quoted(Reader *reader, char **ret) {
        _cleanup_free_ char *value = malloc(strlen(reader->at) + 1);
        const char *start = reader->at;
        size_t n = 0;

        if (!value)
                return -ENOMEM;
        for (reader->at++; *reader->at != '"'; reader->at++) {
                if (*reader->at == '\\' && (reader->at[1] == '"' || reader->at[1] == '\\'))
                        reader->at++;
                else if (*reader->at == '\\')
                        return refuse(reader, reader->at, FAULT_INVALID_VALUE,
                                      "in double quotes a backslash is written as \\\\ and a quote as \\\"");
                if (*reader->at == '\0')
                        return refuse(reader, start, FAULT_INVALID_VALUE,
                                      "the closing quote of this value is missing");
                value[n++] = *reader->at;
        }
        reader->at++;
        value[n] = '\0';
        *ret = TAKE_PTR(value);
        return 0;
}

static int read_value(Reader *reader, char **ret) {
        size_t length = strcspn(reader->at, BLANKS);
        const char *quote;

        if (length == 0)
                return refuse(reader, reader->at, FAULT_INVALID_VALUE,
                              "the text ends where a value is expected; an empty one is written as \"\"");
        if (*reader->at == '"')
                return read_quoted(reader, ret);
        quote = memchr(reader->at, '"', length);
        if (quote)
                return refuse(
                        reader, quote, FAULT_INVALID_VALUE,
                        "a value with a quote in it is written in double quotes, the quote inside as \\\"");
        if (length == 3 && startswith(reader->at, "and"))
                return refuse(reader, reader->at, FAULT_INVALID_VALUE,
                              "a value is missing before \"and\"; as a value the word is written in double "
                              "quotes");
        return take(reader, length, ret);
}

static int read_condition(Reader *reader, json_t *array) {
        _cleanup_free_ char *field = NULL, *value = NULL;
        const char *operator= NULL;
        int r = read_field(reader, &field);

        if (r < 0)
                return r;
        skip_blanks(reader);
        r = read_operator(reader, &operator);
        if (r < 0)
                return r;
        skip_blanks(reader);
        r = read_value(reader, &value);
        if (r < 0)
                return r;
        return json_array_append_new(array, json_pack("[s, s, s]", field, operator, value)) < 0 ? -ENOMEM
                                                                                                : 0;
}

static int read_conjunction(Reader *reader, bool *ret_end) {
        const char *before = reader->at;
        size_t length;

        skip_blanks(reader);
        *ret_end = *reader->at == '\0';
        if (*ret_end)
                return 0;
        length = strcspn(reader->at, BLANKS);
        if (before == reader->at)
                return refuse(reader, reader->at, FAULT_INVALID_ARGUMENT,
                              "a blank is expected behind the value");
        if (length == 2 && (strncasecmp(reader->at, "or", 2) == 0 || startswith(reader->at, "||")))
                return refuse(reader, reader->at, FAULT_INVALID_ARGUMENT,
                              "all conditions of a rule must hold; for \"or\" write another rule of the "
                              "same group");
        if (length != 3 || !startswith(reader->at, "and"))
                return refuse(reader, reader->at, FAULT_INVALID_ARGUMENT,
                              "\"and\" or the end is expected here; a value with blanks is written in "
                              "double quotes");
        reader->at += length;
        skip_blanks(reader);
        return 0;
}

int conditions_parse(const char *text, json_t **ret, Fault *fault) {
        json_auto_t *array = json_array();
        Reader reader = { .text = text, .at = text, .fault = fault };
        bool end;
        int r = array ? 0 : -ENOMEM;

        if (!utf8_is_valid(text))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "the conditions are not valid UTF-8");
        skip_blanks(&reader);
        for (end = *reader.at == '\0'; !end && r >= 0;) {
                r = read_condition(&reader, array);
                if (r >= 0)
                        r = read_conjunction(&reader, &end);
        }
        if (r < 0)
                return r == -ENOMEM ? fault_set(fault, r, FAULT_NO_MEMORY, "there is not enough memory") : r;
        *ret = TAKE_PTR(array);
        return 0;
}

/* ---- writing ---- */

static const char *sign_of(const char *word) {
        for (size_t i = 0; i < ELEMENTSOF(operators); i++)
                if (streq(operators[i].word, word) && operators[i].sign)
                        return operators[i].sign;
        return word;
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

int conditions_format(json_t *conditions, char **ret) {
        char *text = NULL;
        size_t size, index;
        FILE *f = open_memstream(&text, &size);
        json_t *triple;

        if (!f)
                return -ENOMEM;
        json_array_foreach(conditions, index, triple) {
                (void) fprintf(f, "%s%s %s ", index > 0 ? " and " : "",
                               strempty(json_string_value(json_array_get(triple, 0))),
                               sign_of(strempty(json_string_value(json_array_get(triple, 1)))));
                write_value(f, strempty(json_string_value(json_array_get(triple, 2))));
        }
        if (fclose(f) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return 0;
}
