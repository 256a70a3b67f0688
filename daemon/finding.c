/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>

#include "finding.h"
#include "lib/limits.h"

static const char *const severities[] = {
        [PT_SEVERITY_NOTE] = "note",
        [PT_SEVERITY_WARNING] = "warning",
        [PT_SEVERITY_BLOCKER] = "blocker",
};
DEFINE_STRING_TABLE(severity, PtSeverity, severities)

static void finding_done(PtFinding *finding) {
        free((char *) finding->code);
        free((char *) finding->text);
        free((char *) finding->culprit);
        free((char *) finding->remedy);
        *finding = (PtFinding){ 0 };
}

static bool copy_text(const char *text, const char **ret) {
        if (!text)
                return true;
        *ret = strdup(text);
        return *ret;
}

int finding_append(FindingList *list, const PtFinding *finding) {
        PtFinding copy = { .severity = finding->severity }, *items;
        bool *overridable;

        if (!severity_to_string((PtSeverity) finding->severity) || isempty(finding->code) ||
            isempty(finding->text))
                return -EINVAL;
        if (list->n_items >= FINDINGS_MAX)
                return -E2BIG;

        items = reallocarray(list->items, list->n_items + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        list->items = items;
        overridable = reallocarray(list->overridable, list->n_items + 1, sizeof(*overridable));
        if (!overridable)
                return -ENOMEM;
        list->overridable = overridable;

        if (!copy_text(finding->code, &copy.code) || !copy_text(finding->text, &copy.text) ||
            !copy_text(finding->culprit, &copy.culprit) || !copy_text(finding->remedy, &copy.remedy)) {
                finding_done(&copy);
                return -ENOMEM;
        }

        overridable[list->n_items] = false;
        items[list->n_items++] = copy;
        return 0;
}

void finding_set_overridable(FindingList *list) {
        if (list->n_items > 0)
                list->overridable[list->n_items - 1] = true;
}

int finding_add(FindingList *list, PtSeverity severity, const char *code, const char *culprit,
                const char *remedy, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0) {
                text = NULL;
                return -ENOMEM;
        }

        return finding_append(list, &(PtFinding){
                                            .severity = severity,
                                            .code = code,
                                            .text = text,
                                            .culprit = culprit,
                                            .remedy = remedy,
                                    });
}

bool finding_has(const FindingList *list, const char *code) {
        for (size_t i = 0; i < list->n_items; i++)
                if (streq(list->items[i].code, code))
                        return true;
        return false;
}

const PtFinding *finding_first_blocker(const FindingList *list) {
        for (size_t i = 0; i < list->n_items; i++)
                if (list->items[i].severity == PT_SEVERITY_BLOCKER)
                        return list->items + i;
        return NULL;
}

char *finding_all_blockers(const FindingList *list) {
        size_t used = 0, left = 0;
        char text[2048] = "";

        for (size_t i = 0; i < list->n_items; i++) {
                const PtFinding *f = list->items + i;
                size_t length = strlen(f->code) + strlen(f->text) + strlen("; : ");

                if (f->severity != PT_SEVERITY_BLOCKER)
                        continue;
                if (used + length + 32 > sizeof(text))
                        left++;
                else
                        used += (size_t) snprintf(text + used, sizeof(text) - used, "%s%s: %s", used > 0 ? "; " : "", f->code,
                                                  f->text);
        }
        if (left > 0)
                (void) snprintf(text + used, sizeof(text) - used, "%s%zu more", used > 0 ? "; " : "", left);
        return strdup(text);
}

void finding_list_done(FindingList *list) {
        for (size_t i = 0; i < list->n_items; i++)
                finding_done(list->items + i);
        free(list->items);
        free(list->overridable);
        *list = (FindingList){ 0 };
}

static json_t *finding_to_json(const PtFinding *finding) {
        return json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "severity",
                         severity_to_string((PtSeverity) finding->severity), "code", finding->code, "text",
                         finding->text, "culprit", finding->culprit, "remedy", finding->remedy);
}

json_t *finding_list_to_json(const FindingList *list) {
        json_t *array = json_array();

        /* What stops the caller comes first. */
        for (int severity = _PT_SEVERITY_MAX - 1; array && severity >= 0; severity--)
                for (size_t i = 0; i < list->n_items; i++) {
                        if (list->items[i].severity != (uint32_t) severity)
                                continue;
                        if (json_array_append_new(array, finding_to_json(list->items + i)) < 0) {
                                json_decref(array);
                                return NULL;
                        }
                }

        return array;
}
