/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The text of a condition list under construction, as modules give it for an identity: "serial = AB12 and vendor-id = 10de". On
 * the stack, zeroed to begin with. */

#include <passthroughd/module.h>

#include "macro.h"

#define CONDITION_BUILDER_SIZE 1024

typedef struct ConditionBuilder {
        char text[CONDITION_BUILDER_SIZE];
        size_t length;
        bool overflow; /* something did not fit */
} ConditionBuilder;

/* " and " where there is a condition before, field and operator. */
void condition_builder_begin(ConditionBuilder *builder, const char *field, const char *operator);
void condition_builder_append(ConditionBuilder *builder, const char *format, ...) PRINTF_LIKE(2, 3);
/* The value in double quotes: it may have anything in it. */
void condition_builder_quote(ConditionBuilder *builder, const char *value);
/* Puts the identity; one that did not fit is none. */
int condition_builder_put(const ConditionBuilder *builder, PtContext *ctx, const char *kind, uint32_t strength,
                          const char *breaks);
