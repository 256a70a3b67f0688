/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Findings as an Explain and a Plan answer them: a list of {severity, code, text, culprit?, remedy?} with whatever else a
 * program may want to know of one: "topic" (what part of the answer it belongs to), "subject" (id of the device or rule it
 * is about), "pid", "unit", "group" …. A list is a JSON array that its maker owns. Running out of memory loses a finding,
 * never the answer. */

#include "finding.h"

typedef struct Explanation {
        json_t *list;
        const char *topic;   /* of what is added next; NULL for none */
        const char *subject; /* the same; NULL for none */
        bool all_rules;      /* of rules that come nowhere near it, too */
} Explanation;

/* `more` is taken over: further members, or NULL. */
void explanation_add(Explanation *e, PtSeverity severity, const char *code, const char *culprit, const char *remedy,
                     json_t *more, const char *format, ...) PRINTF_LIKE(7, 8);
/* Those of a list, in its order. */
void explanation_take(Explanation *e, const FindingList *findings);
bool explanation_has(const Explanation *e, const char *code, const char *culprit);
/* New array: blockers, then warnings, then notes; otherwise as they were added. */
json_t *explanation_sorted(const Explanation *e);
