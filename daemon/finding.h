/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Owned lists of findings: why a device cannot be had, what to be careful about, what to know. */

#include <jansson.h>
#include <passthroughd/module.h>

#include "lib/macro.h"

typedef struct FindingList {
        PtFinding *items; /* strings owned */
        bool *overridable; /* for each: an administrator who names the device may decide otherwise */
        size_t n_items;
} FindingList;

DECLARE_STRING_TABLE(severity, PtSeverity); /* "note", "warning", "blocker" */

int finding_add(FindingList *list, PtSeverity severity, const char *code, const char *culprit, const char *remedy,
                const char *format, ...) __attribute__((__format__(__printf__, 6, 7)));
int finding_append(FindingList *list, const PtFinding *finding);
/* Marks the one that was added last. */
void finding_set_overridable(FindingList *list);
bool finding_has(const FindingList *list, const char *code);
const PtFinding *finding_first_blocker(const FindingList *list);
/* "code: text; code: text", cut where it gets too long for people: new string. */
char *finding_all_blockers(const FindingList *list);
void finding_list_done(FindingList *list);
#define _cleanup_findings_ _cleanup_(finding_list_done)
/* [{severity, code, text, culprit?, remedy?}…], blockers first */
json_t *finding_list_to_json(const FindingList *list);
