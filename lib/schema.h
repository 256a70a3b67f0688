/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Look-ups and checks over the constant tables of fields and settings. */

#include <passthroughd/module.h>

#include "fault.h"

/* Index of the field called `name` (kebab-case), -ENOENT when there is none. */
int schema_find_field(const PtField *fields, const char *name);
size_t schema_count_fields(const PtField *fields);
const PtSetting *schema_find_setting(const PtSetting *settings, const char *name);
/* Parses and checks one setting against type, range and choices; the fault says what is valid. */
int schema_parse_setting(const PtSetting *setting, const char *text, PtValue *ret, Fault *fault);
int schema_check_setting(const PtSetting *setting, const PtValue *value, Fault *fault);
/* The default of the setting. */
int schema_default(const PtSetting *setting, PtValue *ret);
/* The known name nearest to a misspelt one (edit distance at most a third of its length), or NULL. */
const char *schema_nearest_field(const PtField *fields, const char *name);
const char *schema_nearest_setting(const PtSetting *settings, const char *name);
const char *schema_nearest_name(const char *const *names, const char *name); /* of a list that ends with NULL */
/* Checks the tables of a module: names kebab-case and unique, types known, defaults valid, documentation
 * there. */
int schema_check_tables(const PtField *fields, const PtSetting *settings, Fault *fault);
/* Checks the table of helpers, where the version of the descriptor has one: names in kebab-case and unique, paths absolute and
 * without detours. */
int schema_check_helpers(const PtModule *module, Fault *fault);
