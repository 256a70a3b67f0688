/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>

#include "condition-internal.h"
#include "excerpt.h"
#include "lib/limits.h"
#include "lib/parse.h"
#include "lib/schema.h"
#include "lib/value-util.h"

#define PROVIDER_PREFIX "provider."

typedef enum Part {
        PART_FIELD,
        PART_OPERATOR,
        PART_VALUE,
} Part;

size_t character_number(const char *text, size_t offset) {
        size_t n = 1;

        for (size_t i = 0; i < offset && text[i]; i++)
                n += ((unsigned char) text[i + 1] & 0xc0) != 0x80;
        return n;
}

/* Offset in the text form of the character at `offset` of the value: behind a quote there may be
 * backslashes. */
static size_t offset_in_text(const ConditionWords *words, size_t offset) {
        const char *p = words->text + words->value_at;

        if (*p != '"')
                return words->value_at + offset;
        p++;
        for (size_t i = 0; i < offset; i++)
                p += *p == '\\' ? 2 : 1;
        return (size_t) (p - words->text);
}

/* "At character 17 of the conditions" or "In condition 3", then what is wrong there. `offset`: into the
 * value, where known. */
static int PRINTF_LIKE(6, 7) refuse(const ConditionWords *words, Part part, size_t offset, FaultCode code,
                                    Fault *fault, const char *format, ...) {
        _cleanup_free_ char *message = NULL;
        int error = code == FAULT_TOO_LARGE ? -E2BIG : -EINVAL;
        size_t at = part == PART_FIELD ? words->field_at : words->operator_at;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&message, format, arguments);
        va_end(arguments);
        if (r < 0) {
                message = NULL;
                return fault_oom(fault);
        }

        if (words->text) {
                if (part == PART_VALUE)
                        at = offset > 0 ? offset_in_text(words, offset) : words->value_at;
                return fault_set(fault, error, code, "At character %zu: %s",
                                 character_number(words->text, at), message);
        }
        if (offset > 0)
                return fault_set(fault, error, code, "Condition %zu, at character %zu of its value: %s",
                                 words->number, character_number(words->value, offset), message);
        return fault_set(fault, error, code, "Condition %zu: %s", words->number, message);
}

static char *list_fields(const PtField *fields) {
        char *names = NULL;
        size_t size;
        FILE *f = open_memstream(&names, &size);
        const char *separator = "";

        if (!f)
                return NULL;
        for (; fields->name; fields++) {
                if (!(fields->flags & PT_FIELD_MATCHABLE))
                        continue;
                (void) fprintf(f, "%s%s", separator, fields->name);
                separator = ", ";
        }
        if (fclose(f) != 0) {
                free(names);
                return NULL;
        }
        return names;
}

/* The name that was probably meant: a typing error, or the property's name on the bus. */
static const char *nearest_field(const PtField *fields, const char *name) {
        char kebab[ID_SIZE];
        int i;

        if (strlen(name) > ID_MAX)
                return NULL;
        if (camel_to_kebab(name, kebab) >= 0) {
                i = schema_find_field(fields, kebab);
                if (i >= 0)
                        return fields[i].name;
        }
        return schema_nearest_field(fields, name);
}

/* What follows "provider." where the type has providers; those have the same table of fields. */
static const char *provider_field(const Module *module, const char *name) {
        return module->descriptor->layout ? startswith(name, PROVIDER_PREFIX) : NULL;
}

static int find_field(const Module *module, const ConditionWords *words, Fault *fault) {
        const PtField *fields = module->descriptor->fields;
        const char *nearest, *wanted = provider_field(module, words->field) ?: words->field;
        _cleanup_free_ char *names = NULL;
        char name[EXCERPT_SIZE];
        int i = schema_find_field(fields, wanted);

        if (i >= 0 && (fields[i].flags & PT_FIELD_MATCHABLE))
                return i;

        names = list_fields(fields);
        if (!names)
                return fault_oom(fault);
        if (i >= 0)
                return refuse(words, PART_FIELD, 0, FAULT_UNKNOWN_FIELD, fault,
                              "The field \"%s\" cannot be used in conditions; those of type %s that can: %s",
                              fields[i].name, module->name, names);
        if (wanted == words->field && startswith(words->field, PROVIDER_PREFIX))
                return refuse(words, PART_FIELD, 0, FAULT_UNKNOWN_FIELD, fault,
                              "\"%s\" asks for a field of the device's provider, but devices of type %s "
                              "have none; fields of the device: %s",
                              excerpt(words->field, name), module->name, names);
        nearest = nearest_field(fields, wanted);
        return refuse(words, PART_FIELD, 0, FAULT_UNKNOWN_FIELD, fault,
                      "There is no field \"%s\" of type %s%s%s%s%s; valid fields: %s",
                      excerpt(words->field, name), module->name, nearest ? ", did you mean \"" : "",
                      nearest && wanted != words->field ? PROVIDER_PREFIX : "", strempty(nearest),
                      nearest ? "\"?" : "", names);
}

/* Which operators the type of a field has, for people. */
static const char *operators_of(uint32_t type) {
        switch (type) {
        case PT_BOOL:
                return "eq (=), ne (!=)";
        case PT_INT32:
        case PT_UINT32:
        case PT_INT64:
        case PT_UINT64:
                return "eq (=), ne (!=), lt (<), le (<=), gt (>), ge (>=)";
        default:
                return "eq (=), ne (!=), lt (<), le (<=), gt (>), ge (>=), begins (^=), ends ($=), contains "
                       "(*=), icontains, regex (~)";
        }
}

static bool type_has_operator(uint32_t type, Operator op) {
        if (type == PT_STRING || type == PT_STRV || type == PT_NONE)
                return true;
        if (type == PT_BOOL)
                return op == OPERATOR_EQ || op == OPERATOR_NE;
        return op <= OPERATOR_GE;
}

static int set_operator(Condition *c, const ConditionWords *words, Fault *fault) {
        char name[EXCERPT_SIZE];
        Operator op = operator_parse(words->op);

        if (op < 0)
                return refuse(words, PART_OPERATOR, 0, FAULT_UNKNOWN_OPERATOR, fault,
                              "There is no operator \"%s\"; valid for %s: %s", excerpt(words->op, name),
                              words->field, operators_of(c->type));
        if (!type_has_operator(c->type, op))
                return refuse(words, PART_OPERATOR, 0, FAULT_UNKNOWN_OPERATOR, fault,
                              "The field %s is %s, the operator %s is for texts%s; valid: %s", words->field,
                              type_title(c->type), operator_to_string(op),
                              c->type == PT_BOOL ? " or numbers" : "", operators_of(c->type));
        c->op = op;
        return 0;
}

static int set_number(Condition *c, const ConditionWords *words, Fault *fault) {
        _cleanup_fault_ Fault reason = { 0 };
        _cleanup_value_ PtValue value = { 0 };
        char what[sizeof("The value of ") + ID_MAX];

        (void) snprintf(what, sizeof(what), "The value of %s", words->field);
        if (value_parse(c->type, words->value, what, &value, &reason) < 0)
                return refuse(words, PART_VALUE, 0, reason.code, fault, "%s", strempty(reason.message));
        switch (c->type) {
        case PT_BOOL:
                c->number.b = value.b;
                break;
        case PT_INT32:
                c->number.i = value.i;
                break;
        case PT_UINT32:
                c->number.u = value.u;
                break;
        case PT_INT64:
                c->number.x = value.x;
                break;
        default:
                c->number.t = value.t;
                break;
        }
        return 0;
}

static int set_pattern(Condition *c, const ConditionWords *words, bool literal, Fault *fault) {
        char message[PATTERN_MESSAGE_SIZE];
        size_t offset = 0;
        int r;

        if (c->length > REGEX_MAX_BYTES)
                return refuse(words, PART_VALUE, 0, FAULT_TOO_LARGE, fault,
                              "The regular expression has %zu bytes; at most %u are allowed", c->length,
                              REGEX_MAX_BYTES);
        r = pattern_new(words->value, literal, &c->pattern, &offset, message);
        if (r == -ENOMEM)
                return fault_oom(fault);
        if (r < 0)
                return refuse(words, PART_VALUE, offset, FAULT_INVALID_REGEX, fault,
                              "The regular expression is not valid: %s", message);
        return 0;
}

static int set_text(Condition *c, const ConditionWords *words, Fault *fault) {
        if (c->length == 0 && c->op >= OPERATOR_BEGINS)
                return refuse(words, PART_VALUE, 0, FAULT_INVALID_VALUE, fault,
                              "The value is empty: \"%s\" would fit every device",
                              operator_to_string(c->op));
        if (c->op == OPERATOR_REGEX)
                return set_pattern(c, words, false, fault);
        if (c->op == OPERATOR_ICONTAINS && !text_is_ascii(words->value))
                return set_pattern(c, words, true, fault);
        return 0;
}

static int check_words(const ConditionWords *words, Fault *fault) {
        if (strnlen(words->value, TEXT_MAX_BYTES + 1) > TEXT_MAX_BYTES)
                return refuse(words, PART_VALUE, 0, FAULT_TOO_LARGE, fault,
                              "The value has %zu bytes; at most %u are allowed", strlen(words->value),
                              TEXT_MAX_BYTES);
        if (!text_is_clean(words->value, TEXT_MAX_BYTES))
                return refuse(words, PART_VALUE, 0, FAULT_INVALID_VALUE, fault,
                              "The value is not plain text: control characters and what is not UTF-8 are "
                              "not allowed");
        if (words->field[0] == '\0')
                return refuse(words, PART_FIELD, 0, FAULT_UNKNOWN_FIELD, fault,
                              "The name of the field is empty");
        return 0;
}

/* Without a table all that can be asked of a name is that it could be one. */
static int check_field_name(const ConditionWords *words, Fault *fault) {
        char name[EXCERPT_SIZE];

        if (strlen(words->field) <= 2 * ID_MAX &&
            words->field[strspn(words->field, FIELD_CHARACTERS)] == '\0')
                return 0;
        return refuse(words, PART_FIELD, 0, FAULT_UNKNOWN_FIELD, fault, "\"%s\" is no name of a field",
                      excerpt(words->field, name));
}

static int condition_fill(Condition *c, const Module *module, const ConditionWords *words, Fault *fault) {
        int r;

        r = check_words(words, fault);
        if (r < 0)
                return r;
        if (module) {
                r = find_field(module, words, fault);
                if (r < 0)
                        return r;
                c->index = (uint8_t) r;
                c->type = module->descriptor->fields[r].type;
                c->slow = module->descriptor->fields[r].flags & PT_FIELD_SLOW;
                c->provider = provider_field(module, words->field) != NULL;
        } else {
                r = check_field_name(words, fault);
                if (r < 0)
                        return r;
        }
        r = set_operator(c, words, fault);
        if (r < 0)
                return r;

        c->field = strdup(words->field);
        c->value = strdup(words->value);
        if (!c->field || !c->value)
                return fault_oom(fault);
        c->length = strlen(c->value);
        if (c->type == PT_NONE)
                return 0;
        return c->type == PT_STRING || c->type == PT_STRV ? set_text(c, words, fault)
                                                          : set_number(c, words, fault);
}

int condition_list_append(ConditionList *list, const ConditionWords *words, Fault *fault) {
        Condition *items, *c;
        int r;

        if (list->n_items >= CONDITIONS_MAX)
                return refuse(words, PART_FIELD, 0, FAULT_TOO_LARGE, fault,
                              "There are too many conditions; at most %u are allowed", CONDITIONS_MAX);
        items = reallocarray(list->items, list->n_items + 1, sizeof(Condition));
        if (!items)
                return fault_oom(fault);
        list->items = items;

        c = &items[list->n_items++];
        *c = (Condition){ .position = (uint8_t) (list->n_items - 1) };
        r = condition_fill(c, list->module, words, fault);
        if (r < 0)
                return r;
        if (c->type != PT_NONE && !c->provider)
                list->fields |= UINT64_C(1) << c->index;
        list->slow |= c->slow;
        list->provider |= c->provider;
        return 0;
}

/* The text of an element of a triple; numbers and truths are fine as values, because callers send what
 * their language has. */
static int read_element(json_t *element, bool value, char *buffer, size_t size, const char **ret) {
        if (json_is_string(element)) {
                const char *text = json_string_value(element);

                if (strlen(text) != json_string_length(element))
                        return -EILSEQ;
                *ret = text;
                return 0;
        }
        if (!value || !(json_is_integer(element) || json_is_boolean(element)))
                return -EINVAL;
        if (json_is_integer(element))
                (void) snprintf(buffer, size, "%" JSON_INTEGER_FORMAT, json_integer_value(element));
        else
                (void) snprintf(buffer, size, "%s", json_is_true(element) ? "true" : "false");
        *ret = buffer;
        return 0;
}

static int read_triple(json_t *triple, size_t number, ConditionList *list, Fault *fault) {
        static const char *const parts[] = { "field", "operator", "value" };
        const char *texts[ELEMENTSOF(parts)];
        char buffer[32];

        if (!json_is_array(triple) || json_array_size(triple) != ELEMENTSOF(parts))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                 "Condition %zu: It must be a list of three texts: field, operator, value",
                                 number);
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                int r = read_element(json_array_get(triple, i), i == 2, buffer, sizeof(buffer), &texts[i]);
                if (r == -EILSEQ)
                        return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                         "Condition %zu: The %s contains a NUL character", number, parts[i]);
                if (r < 0)
                        return fault_set(fault, r, FAULT_INVALID_VALUE,
                                         "Condition %zu: The %s must be a text", number, parts[i]);
        }
        return condition_list_append(list,
                                     &(ConditionWords){
                                             .field = texts[0],
                                             .op = texts[1],
                                             .value = texts[2],
                                             .number = number,
                                     },
                                     fault);
}

int conditions_from_json(json_t *triples, const Module *module, ConditionList **ret, Fault *fault) {
        _cleanup_(conditions_freep) ConditionList *list = NULL;
        json_t *triple;
        size_t i;
        int r;

        if (!json_is_array(triples))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                 "Conditions must be a list of triples: field, operator, value");
        if (json_array_size(triples) > CONDITIONS_MAX)
                return fault_set(fault, -E2BIG, FAULT_TOO_LARGE,
                                 "There are %zu conditions; at most %u are allowed",
                                 json_array_size(triples), CONDITIONS_MAX);
        if (module && !module->descriptor)
                module = NULL;
        if (condition_list_new(module, &list) < 0)
                return fault_oom(fault);
        json_array_foreach(triples, i, triple) {
                r = read_triple(triple, i + 1, list, fault);
                if (r < 0)
                        return r;
        }
        condition_list_finish(list);
        *ret = TAKE_PTR(list);
        return 0;
}

int conditions_from_body(json_t *where, const Module *module, ConditionList **ret, Fault *fault) {
        const char *text = json_string_value(where);

        if (!text)
                return conditions_from_json(where, module, ret, fault);
        if (strlen(text) != json_string_length(where))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "The conditions contain a NUL character");
        return conditions_from_text(text, module, ret, fault);
}
