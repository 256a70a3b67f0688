/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Values of a module's settings, as a group or a request carries them. Only what differs from "not given" is held. */

#include <jansson.h>
#include <passthroughd/module.h>
#include <passthroughd/value.h>

#include "lib/fault.h"

typedef struct SettingValues {
        const PtSetting *schema; /* ended by name NULL; NULL: none */
        PtValue *values;         /* owned, one per schema entry, PT_NONE = not given */
} SettingValues;

int settings_init(SettingValues *values, const PtSetting *schema);
void settings_done(SettingValues *values);
#define _cleanup_settings_ _cleanup_(settings_done)
/* From {name: value}; `flags`: PT_SETTING_GROUP or PT_SETTING_CONSUMER, which of them may be given here. Unknown names,
 * values out of range and settings of the other side are refused with what would be valid. */
int settings_from_json(const PtSetting *schema, json_t *object, uint32_t flags, SettingValues *ret, Fault *fault);
json_t *settings_to_json(const SettingValues *values);
/* The consumer's value where it may be given or overridden (`user_defined`: names, NULL-terminated), else the group's, else
 * the default. */
int settings_merge(const SettingValues *group, const char *const *user_defined, const SettingValues *consumer,
                   SettingValues *ret, Fault *fault);
/* The effective value, the default where none is given; borrowed. */
int settings_get(const SettingValues *values, const char *name, PtValue *ret);
/* 1 where a value was given, 0 where the default stands; -ENOENT for no such setting. */
int settings_is_given(const SettingValues *values, const char *name);
/* settings-check.c: whether the values fit each other, as their module says. */
int settings_check(const PtModule *module, const SettingValues *values, Fault *fault);
/* The schema for frontends: [{name, type, unit?, doc, minimum?, maximum?, choices?, default, override}…] */
json_t *settings_schema_to_json(const PtSetting *schema, uint32_t flags);
json_t *fields_to_json(const PtField *fields);
