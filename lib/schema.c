/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "id.h"
#include "limits.h"
#include "parse.h"
#include "schema.h"
#include "value-util.h"

int schema_find_field(const PtField *fields, const char *name) {
        for (int i = 0; fields && name && fields[i].name; i++)
                if (streq(fields[i].name, name))
                        return i;
        return -ENOENT;
}

size_t schema_count_fields(const PtField *fields) {
        size_t n = 0;

        while (fields && fields[n].name)
                n++;
        return n;
}

const PtSetting *schema_find_setting(const PtSetting *settings, const char *name) {
        for (const PtSetting *s = settings; s && name && s->name; s++)
                if (streq(s->name, name))
                        return s;
        return NULL;
}

static bool type_is_number(uint32_t type) {
        return type == PT_INT32 || type == PT_UINT32 || type == PT_INT64 || type == PT_UINT64;
}

static bool number_in_range(const PtSetting *setting, const PtValue *value) {
        int64_t number;

        if (setting->minimum == 0 && setting->maximum == 0)
                return true;

        switch (value->type) {
        case PT_INT32:
                number = value->i;
                break;
        case PT_UINT32:
                number = value->u;
                break;
        case PT_INT64:
                number = value->x;
                break;
        case PT_UINT64:
                if (value->t > INT64_MAX)
                        return false;
                number = (int64_t) value->t;
                break;
        default:
                return true;
        }

        return number >= setting->minimum && number <= setting->maximum;
}

static int refuse_choice(const PtSetting *setting, const char *text, Fault *fault) {
        _cleanup_free_ char *choices = NULL;

        if (value_format(&PT_VALUE_STRV(setting->choices), &choices) < 0)
                return fault_oom(fault);
        return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                         "The setting %s is \"%s\", but must be one of: %s", setting->name, text, choices);
}

static int check_string(const PtSetting *setting, const char *text, Fault *fault) {
        if (!text)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "The setting %s has no value",
                                 setting->name);
        if (strnlen(text, TEXT_MAX_BYTES + 1) > TEXT_MAX_BYTES)
                return fault_set(fault, -E2BIG, FAULT_TOO_LARGE, "The setting %s is longer than %u bytes",
                                 setting->name, TEXT_MAX_BYTES);
        /* Settings reach command lines and XML of VM managers: a line break in one is never meant well. */
        if (!text_is_clean(text, TEXT_MAX_BYTES))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "The setting %s contains control characters or is not valid UTF-8",
                                 setting->name);
        if (!setting->choices)
                return 0;

        for (const char *const *choice = setting->choices; *choice; choice++)
                if (streq(*choice, text))
                        return 0;
        return refuse_choice(setting, text, fault);
}

int schema_check_setting(const PtSetting *setting, const PtValue *value, Fault *fault) {
        _cleanup_free_ char *text = NULL;

        if (value->type != setting->type)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "The setting %s must be %s",
                                 setting->name, type_title(setting->type) ?: "of a known type");
        if (value->type == PT_STRING)
                return check_string(setting, value->s, fault);
        if (number_in_range(setting, value))
                return 0;

        if (value_format(value, &text) < 0)
                return fault_oom(fault);
        return fault_set(fault, -ERANGE, FAULT_INVALID_VALUE,
                         "The setting %s is %s, but must be from %" PRIi64 " to %" PRIi64 "%s%s",
                         setting->name, text, setting->minimum, setting->maximum, setting->unit ? " " : "",
                         strempty(setting->unit));
}

int schema_parse_setting(const PtSetting *setting, const char *text, PtValue *ret, Fault *fault) {
        _cleanup_value_ PtValue value = { 0 };
        char what[sizeof("The setting ") + ID_MAX];
        int r;

        (void) snprintf(what, sizeof(what), "The setting %s", setting->name);
        r = value_parse(setting->type, text, what, &value, fault);
        if (r < 0)
                return r;
        r = schema_check_setting(setting, &value, fault);
        if (r < 0)
                return r;

        *ret = value;
        value = (PtValue){ 0 };
        return 0;
}

int schema_default(const PtSetting *setting, PtValue *ret) {
        return schema_parse_setting(setting, setting->default_text, ret, NULL);
}

/* Levenshtein's distance with one row of the matrix; names longer than an id are no names. */
static size_t edit_distance(const char *a, const char *b) {
        size_t row[ID_MAX + 1], length = strlen(b);

        if (strlen(a) > ID_MAX || length > ID_MAX)
                return SIZE_MAX;

        for (size_t j = 0; j <= length; j++)
                row[j] = j;
        for (size_t i = 0; a[i]; i++) {
                size_t diagonal = row[0];

                row[0] = i + 1;
                for (size_t j = 0; j < length; j++) {
                        size_t change = diagonal + (a[i] != b[j]);

                        diagonal = row[j + 1];
                        row[j + 1] = MIN_OF(change, MIN_OF(row[j], diagonal) + 1);
                }
        }

        return row[length];
}

/* Keeps `candidate` when it is nearer than what was found so far. */
static void take_nearer(const char *name, const char *candidate, size_t *distance, const char **nearest) {
        size_t d = edit_distance(name, candidate);

        if (d < *distance) {
                *distance = d;
                *nearest = candidate;
        }
}

const char *schema_nearest_field(const PtField *fields, const char *name) {
        const char *nearest = NULL;
        size_t distance;

        if (!name)
                return NULL;

        distance = strlen(name) / 3 + 1;
        for (const PtField *f = fields; f && f->name; f++)
                take_nearer(name, f->name, &distance, &nearest);
        return nearest;
}

const char *schema_nearest_setting(const PtSetting *settings, const char *name) {
        const char *nearest = NULL;
        size_t distance;

        if (!name)
                return NULL;

        distance = strlen(name) / 3 + 1;
        for (const PtSetting *s = settings; s && s->name; s++)
                take_nearer(name, s->name, &distance, &nearest);
        return nearest;
}

const char *schema_nearest_name(const char *const *names, const char *name) {
        const char *nearest = NULL;
        size_t distance;

        if (!name)
                return NULL;

        distance = strlen(name) / 3 + 1;
        for (; *names; names++)
                take_nearer(name, *names, &distance, &nearest);
        return nearest;
}

#define REFUSE(fault, ...) fault_set((fault), -EINVAL, FAULT_INVALID_ARGUMENT, __VA_ARGS__)

/* What fields and settings have in common. */
static int check_entry(const char *kind, const char *name, const char *doc, uint32_t type, Fault *fault) {
        char camel[ID_SIZE];

        if (kebab_to_camel(name, camel) < 0)
                return REFUSE(fault, "The %s \"%.*s\" has a name that is not in kebab-case", kind,
                              (int) ID_MAX, name);
        if (isempty(doc))
                return REFUSE(fault, "The %s %s has no documentation", kind, name);
        if (!text_is_clean(doc, TEXT_MAX_BYTES))
                return REFUSE(fault, "The documentation of the %s %s is too long or not clean text", kind,
                              name);
        if (!type_title(type))
                return REFUSE(fault, "The %s %s has the unknown type %" PRIu32, kind, name, type);
        return 0;
}

static int check_setting_entry(const PtSetting *setting, Fault *fault) {
        PtValue value = { 0 };
        int r;

        r = check_entry("setting", setting->name, setting->doc, setting->type, fault);
        if (r < 0)
                return r;

        if (setting->type == PT_STRV)
                return REFUSE(fault, "The setting %s is a list, which settings cannot be", setting->name);
        if (setting->minimum > setting->maximum)
                return REFUSE(fault, "The setting %s has a minimum above its maximum", setting->name);
        if ((setting->minimum != 0 || setting->maximum != 0) && !type_is_number(setting->type))
                return REFUSE(fault, "The setting %s is no number, but has a range", setting->name);
        if (setting->choices && setting->type != PT_STRING)
                return REFUSE(fault, "The setting %s is no text, but has choices", setting->name);
        if (setting->choices && !setting->choices[0])
                return REFUSE(fault, "The setting %s has an empty list of choices", setting->name);
        if (!setting->default_text)
                return REFUSE(fault, "The setting %s has no default", setting->name);

        r = schema_default(setting, &value);
        value_done(&value);
        if (r == -ENOMEM)
                return fault_oom(fault);
        if (r < 0)
                return REFUSE(fault, "The setting %s has the default \"%s\", which is not valid",
                              setting->name, setting->default_text);
        return 0;
}

int schema_check_tables(const PtField *fields, const PtSetting *settings, Fault *fault) {
        int r;

        for (size_t i = 0; fields && fields[i].name; i++) {
                /* Looked at before anything else: a table without its end would be read on and on. */
                if (i >= FIELDS_MAX)
                        return REFUSE(fault, "There are more than %u fields", FIELDS_MAX);
                r = check_entry("field", fields[i].name, fields[i].doc, fields[i].type, fault);
                if (r < 0)
                        return r;
                if (schema_find_field(fields, fields[i].name) != (int) i)
                        return REFUSE(fault, "The field %s is there twice", fields[i].name);
        }
        for (size_t i = 0; settings && settings[i].name; i++) {
                if (i >= FIELDS_MAX)
                        return REFUSE(fault, "There are more than %u settings", FIELDS_MAX);
                r = check_setting_entry(&settings[i], fault);
                if (r < 0)
                        return r;
                if (schema_find_setting(settings, settings[i].name) != &settings[i])
                        return REFUSE(fault, "The setting %s is there twice", settings[i].name);
        }

        return 0;
}

/* What is run as root is named in full, and in one way only. */
static bool is_plain_path(const char *path) {
        size_t length = strlen(strempty(path));

        return length > 1 && path[0] == '/' && path[length - 1] != '/' && text_is_clean(path, TEXT_MAX_BYTES) &&
               !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../") && !streq(path + length - 2, "/.") &&
               (length < 3 || !streq(path + length - 3, "/.."));
}

int schema_check_helpers(const PtModule *module, Fault *fault) {
        const PtHelper *helpers = module->struct_size >= offsetof(PtModule, helpers) + sizeof(module->helpers)
                                          ? module->helpers
                                          : NULL;

        for (size_t i = 0; helpers && helpers[i].name; i++) {
                if (i >= HELPERS_MAX)
                        return REFUSE(fault, "There are more than %u helpers", HELPERS_MAX);
                if (!id_is_valid(helpers[i].name))
                        return REFUSE(fault, "The helper \"%.*s\" has a name that is not in kebab-case", (int) ID_MAX,
                                      helpers[i].name);
                if (!is_plain_path(helpers[i].path))
                        return REFUSE(fault, "The helper %s has the path \"%.*s\", which is not absolute and plain",
                                      helpers[i].name, (int) NAME_MAX_BYTES, strempty(helpers[i].path));
                for (size_t k = 0; k < i; k++)
                        if (streq(helpers[k].name, helpers[i].name))
                                return REFUSE(fault, "The helper %s is there twice", helpers[i].name);
        }
        return 0;
}
