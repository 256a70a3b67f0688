/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Groups and rules as one document. A document describes the groups that it names in full: their settings and all their
 * rules. Groups that it does not name stay as they are, unless `prune` says that the document is the whole state. Applying
 * is all or nothing, and applying the same again changes nothing. A large document is worked off in slices, so that other
 * callers are served meanwhile; several are applied one after the other. */

#include "manager.h"

/* {version, groups: […], rules: […]}, groups in order of ids and rules of a group in theirs. NULL without memory. */
json_t *manager_export(Manager *m);

typedef struct ApplyOptions {
        bool dry_run;      /* only say what would change */
        bool prune;        /* groups that the document does not name go */
        bool keep_invalid; /* settings and conditions that the modules of this host do not know are kept, and act not */
} ApplyOptions;

/* `changes`: [{action: create|update|remove, kind: group|rule, id, name, group?, differences: [{key, from, to}]}…], borrowed;
 * `summary`: in words; NULL both on failure. */
typedef void (*ApplyDone)(void *userdata, int result, json_t *changes, const char *summary, const Fault *fault);
/* `done` is called later, or not at all when this fails. */
int manager_apply(Manager *m, const char *text, const ApplyOptions *options, ApplyDone done, void *userdata, Fault *fault);
/* At the end of the service: what waits is answered with NotReady; and once the store has ended, forgotten. */
void applies_answer(Manager *m);
void applies_free(Manager *m);
