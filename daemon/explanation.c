/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "explanation.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/parse.h"

/* What devices and processes call themselves need not be UTF-8; what a person reads must be. */
static json_t *text_to_json(const char *text) {
        _cleanup_free_ char *copy = NULL;

        if (!text)
                return NULL;
        if (utf8_is_valid(text))
                return json_string(text);
        copy = strdup(text);
        for (char *c = copy; c && *c; c++)
                if ((unsigned char) *c >= 0x80)
                        *c = '?';
        return copy ? json_string(copy) : NULL;
}

static void add(Explanation *e, PtSeverity severity, const char *code, const char *text, const char *culprit,
                const char *remedy, json_t *more) {
        json_t *finding = json_pack("{s:s, s:s, s:o, s:o*, s:o*, s:s*, s:s*}", "severity", severity_to_string(severity),
                                    "code", code, "text", text_to_json(text), "culprit", text_to_json(culprit), "remedy",
                                    text_to_json(remedy), "topic", e->topic, "subject", e->subject);

        if (finding && more)
                (void) json_object_update(finding, more);
        json_decref(more);
        if (finding)
                (void) json_array_append_new(e->list, finding);
}

void explanation_add(Explanation *e, PtSeverity severity, const char *code, const char *culprit, const char *remedy,
                     json_t *more, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&text, format, arguments) < 0)
                text = NULL;
        va_end(arguments);
        add(e, severity, code, text, culprit, remedy, more);
}

void explanation_take(Explanation *e, const FindingList *findings) {
        for (size_t i = 0; i < findings->n_items; i++) {
                const PtFinding *f = &findings->items[i];

                add(e, (PtSeverity) f->severity, f->code, f->text, f->culprit, f->remedy, NULL);
        }
}

bool explanation_has(const Explanation *e, const char *code, const char *culprit) {
        json_t *finding;
        size_t index;

        json_array_foreach(e->list, index, finding) {
                const char *word = json_string_value(json_object_get(finding, "code"));
                const char *who = json_string_value(json_object_get(finding, "culprit"));

                if (streq(strempty(word), code) && (!culprit || streq(strempty(who), culprit)))
                        return true;
        }
        return false;
}

json_t *explanation_sorted(const Explanation *e) {
        json_t *array = json_array(), *finding;
        size_t index;

        for (int severity = _PT_SEVERITY_MAX - 1; array && severity >= 0; severity--)
                json_array_foreach(e->list, index, finding)
                        if (streq(strempty(json_string_value(json_object_get(finding, "severity"))),
                                  severity_to_string((PtSeverity) severity)))
                                (void) json_array_append(array, finding);
        return array;
}
