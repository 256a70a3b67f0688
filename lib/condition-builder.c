/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "condition-builder.h"

#include <stdarg.h>
#include <stdio.h>

void condition_builder_append(ConditionBuilder *builder, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(builder->text + builder->length, sizeof(builder->text) - builder->length, format, ap);
        va_end(ap);
        if (n < 0 || (size_t) n >= sizeof(builder->text) - builder->length)
                builder->overflow = true;
        else
                builder->length += (size_t) n;
}

void condition_builder_begin(ConditionBuilder *builder, const char *field, const char *operator) {
        condition_builder_append(builder, "%s%s %s ", builder->length > 0 ? " and " : "", field, operator);
}

void condition_builder_quote(ConditionBuilder *builder, const char *value) {
        condition_builder_append(builder, "\"");
        for (const char *p = value; *p; p++)
                condition_builder_append(builder, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
        condition_builder_append(builder, "\"");
}

int condition_builder_put(const ConditionBuilder *builder, PtContext *ctx, const char *kind, uint32_t strength,
                          const char *breaks) {
        if (builder->overflow)
                return 0;
        return ctx->services->put_identity(
                ctx,
                &(PtIdentity){ .kind = kind, .strength = strength, .condition = builder->text, .breaks = breaks });
}
