/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "lib/schema.h"
#include "lib/value-util.h"
#include "settings.h"

static size_t count_settings(const PtSetting *schema) {
        size_t n = 0;

        while (schema && schema[n].name)
                n++;
        return n;
}

int settings_init(SettingValues *values, const PtSetting *schema) {
        size_t n = count_settings(schema);
        PtValue *array = NULL;

        if (n > 0) {
                array = calloc(n, sizeof(*array));
                if (!array)
                        return -ENOMEM;
        }

        *values = (SettingValues){ .schema = schema, .values = array };
        return 0;
}

void settings_done(SettingValues *values) {
        if (values->values)
                for (size_t i = 0; i < count_settings(values->schema); i++)
                        value_done(values->values + i);
        free(values->values);
        *values = (SettingValues){ 0 };
}

static int refuse_unknown(const PtSetting *schema, const char *name, Fault *fault) {
        const char *nearest = schema_nearest_setting(schema, name);
        char names[512] = "";
        size_t used = 0;

        if (nearest)
                return fault_set(fault, -EINVAL, FAULT_UNKNOWN_SETTING,
                                 "There is no setting \"%s\"; did you mean \"%s\"?", name, nearest);
        if (count_settings(schema) == 0)
                return fault_set(fault, -EINVAL, FAULT_UNKNOWN_SETTING,
                                 "There is no setting \"%s\": this type has none", name);

        for (const PtSetting *s = schema; s->name; s++) {
                int n = snprintf(names + used, sizeof(names) - used, "%s%s", used > 0 ? ", " : "", s->name);

                if (n < 0 || (size_t) n >= sizeof(names) - used)
                        break;
                used += (size_t) n;
        }
        return fault_set(fault, -EINVAL, FAULT_UNKNOWN_SETTING, "There is no setting \"%s\"; there are: %s",
                         name, names);
}

/* A consumer may give what is its own, and try what it may override; settings_merge() knows whether it
 * does. */
static bool may_be_given(const PtSetting *setting, uint32_t flags) {
        uint32_t allowed = flags;

        if (flags & PT_SETTING_CONSUMER)
                allowed |= PT_SETTING_OVERRIDE;
        return setting->flags & allowed;
}

static int parse_one(SettingValues *values, const char *name, json_t *json, uint32_t flags, Fault *fault) {
        const PtSetting *setting = schema_find_setting(values->schema, name);
        _cleanup_value_ PtValue value = { 0 };
        char what[128];
        int r;

        if (!setting)
                return refuse_unknown(values->schema, name, fault);
        if (!may_be_given(setting, flags))
                return fault_set(
                        fault, -EINVAL, FAULT_UNKNOWN_SETTING,
                        flags & PT_SETTING_GROUP
                                ? "The setting %s belongs to the consumer's request, not to the group"
                                : "The setting %s belongs to the group, not to the consumer's request",
                        name);
        if (json_is_null(json)) /* as if it was not given */
                return 0;

        (void) snprintf(what, sizeof(what), "The setting %s", name);
        r = value_from_json(setting->type, json, what, &value, fault);
        if (r < 0)
                return r;
        r = schema_check_setting(setting, &value, fault);
        if (r < 0)
                return r;

        values->values[setting - values->schema] = value;
        value = (PtValue){ 0 };
        return 0;
}

int settings_from_json(const PtSetting *schema, json_t *object, uint32_t flags, SettingValues *ret,
                       Fault *fault) {
        _cleanup_settings_ SettingValues values = { 0 };
        const char *name;
        json_t *json;
        int r;

        if (object && !json_is_null(object) && !json_is_object(object))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                 "Settings must be an object of names and values");
        r = settings_init(&values, schema);
        if (r < 0)
                return fault_oom(fault);

        json_object_foreach(object, name, json) {
                r = parse_one(&values, name, json, flags, fault);
                if (r < 0)
                        return r;
        }

        *ret = values;
        values = (SettingValues){ 0 };
        return 0;
}

json_t *settings_to_json(const SettingValues *values) {
        json_t *object = json_object();

        for (size_t i = 0; object && i < count_settings(values->schema); i++) {
                if (values->values[i].type == PT_NONE)
                        continue;
                if (json_object_set_new(object, values->schema[i].name, value_to_json(values->values + i)) <
                    0) {
                        json_decref(object);
                        return NULL;
                }
        }

        return object;
}

static bool names_contain(const char *const *names, const char *name) {
        for (const char *const *n = names; n && *n; n++)
                if (streq(*n, name))
                        return true;
        return false;
}

static const PtValue *given(const SettingValues *values, size_t i) {
        if (!values || !values->values || values->values[i].type == PT_NONE)
                return NULL;
        return values->values + i;
}

int settings_merge(const SettingValues *group, const char *const *user_defined,
                   const SettingValues *consumer, SettingValues *ret, Fault *fault) {
        _cleanup_settings_ SettingValues merged = { 0 };
        const PtSetting *schema = group->schema;
        int r;

        r = settings_init(&merged, schema);
        if (r < 0)
                return fault_oom(fault);

        for (size_t i = 0; i < count_settings(schema); i++) {
                const PtValue *theirs = given(consumer, i), *ours = given(group, i), *chosen = ours;
                bool own = schema[i].flags & PT_SETTING_CONSUMER && !ours;
                bool may_override =
                        schema[i].flags & PT_SETTING_OVERRIDE && names_contain(user_defined, schema[i].name);

                /* The same value changes nothing, so it is no override. */
                if (theirs && !(ours && value_equal(theirs, ours))) {
                        if (!own && !may_override)
                                return fault_set(
                                        fault, -EPERM, FAULT_INVALID_VALUE,
                                        "The group decides on the setting %s: it is not among those that "
                                        "it lets consumers define",
                                        schema[i].name);
                        chosen = theirs;
                }
                if (!chosen)
                        continue;
                r = value_copy(chosen, merged.values + i);
                if (r < 0)
                        return fault_oom(fault);
        }

        *ret = merged;
        merged = (SettingValues){ 0 };
        return 0;
}

int settings_get(const SettingValues *values, const char *name, PtValue *ret) {
        const PtSetting *setting = schema_find_setting(values->schema, name);
        const PtValue *value;

        if (!setting)
                return -ENOENT;

        value = given(values, (size_t) (setting - values->schema));
        if (value) {
                *ret = *value;
                return 0;
        }
        /* Text is borrowed from the schema; a copy would have no owner. */
        if (setting->type == PT_STRING) {
                *ret = PT_VALUE_STRING(setting->default_text);
                return 0;
        }
        return schema_default(setting, ret);
}

int settings_is_given(const SettingValues *values, const char *name) {
        const PtSetting *setting = schema_find_setting(values->schema, name);

        return setting ? given(values, (size_t) (setting - values->schema)) != NULL : -ENOENT;
}

static int set_number(json_t *object, const char *key, int64_t number) {
        return json_object_set_new(object, key, json_integer(number));
}

static json_t *setting_to_json(const PtSetting *setting) {
        _cleanup_value_ PtValue value = { 0 };
        json_t *object, *choices;
        int r;

        if (schema_default(setting, &value) < 0)
                return NULL;
        object = json_pack("{s:s, s:s, s:s*, s:s, s:o, s:b}", "name", setting->name, "type",
                           type_signature(setting->type), "unit", setting->unit, "doc", setting->doc,
                           "default", value_to_json(&value), "override",
                           (setting->flags & PT_SETTING_OVERRIDE) != 0);
        if (!object)
                return NULL;

        r = 0;
        if (setting->minimum != 0 || setting->maximum != 0) {
                r |= set_number(object, "minimum", setting->minimum);
                r |= set_number(object, "maximum", setting->maximum);
        }
        if (setting->choices) {
                choices = value_to_json(&PT_VALUE_STRV(setting->choices));
                r |= json_object_set_new(object, "choices", choices);
        }
        if (r != 0) {
                json_decref(object);
                return NULL;
        }
        return object;
}

json_t *settings_schema_to_json(const PtSetting *schema, uint32_t flags) {
        json_t *array = json_array();

        for (const PtSetting *s = schema; array && s && s->name; s++) {
                if (!may_be_given(s, flags))
                        continue;
                if (json_array_append_new(array, setting_to_json(s)) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }

        return array;
}

static json_t *field_flags_to_json(uint32_t flags) {
        static const struct {
                uint32_t flag;
                const char *word;
        } words[] = {
                { PT_FIELD_CONSTANT, "constant" }, { PT_FIELD_MATCHABLE, "matchable" },
                { PT_FIELD_SCRUB, "scrub" },       { PT_FIELD_SLOW, "slow" },
                { PT_FIELD_VOLATILE, "volatile" }, { PT_FIELD_FOLLOWED, "followed" },
        };
        json_t *array = json_array();

        for (size_t i = 0; array && i < ELEMENTSOF(words); i++)
                if (flags & words[i].flag && json_array_append_new(array, json_string(words[i].word)) < 0) {
                        json_decref(array);
                        return NULL;
                }
        return array;
}

json_t *fields_to_json(const PtField *fields) {
        json_t *array = json_array();

        for (const PtField *f = fields; array && f && f->name; f++) {
                json_t *object = json_pack("{s:s, s:s, s:s*, s:s, s:o}", "name", f->name, "type",
                                           type_signature(f->type), "unit", f->unit, "doc", f->doc, "flags",
                                           field_flags_to_json(f->flags));

                if (json_array_append_new(array, object) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }

        return array;
}
