/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A document of groups and rules beside what is there: read entry by entry, compared, checked. Nothing is changed. */

#include "declarative.h"

typedef struct DocumentGroup {
        char id[ID_SIZE];
        char *name, *type;
        Group *group;   /* owned; NULL when it is there just so */
        json_t *stored; /* what will be written; NULL when it is there just so */
        size_t index;   /* in the document */
        bool touched;   /* one of its rules came or went, which is told once, at the end */
        struct GroupView *view; /* as it would be; while layouts are checked */
        UT_hash_handle hh, hh_name;
} DocumentGroup;

typedef struct DocumentRule {
        char id[ID_SIZE], owner[ID_SIZE];
        Rule *rule;     /* owned; NULL when it is there just so. Its group is set when it is applied */
        json_t *stored;
        size_t index;
        UT_hash_handle hh;
} DocumentRule;

typedef struct Document {
        char *text;
        json_t *root, *groups, *rules; /* the lists are borrowed from the root */
        size_t next_group, next_rule;  /* to be read */
        DocumentGroup *by_id, *by_name; /* uthash; the groups are of by_id */
        DocumentRule *rules_by_id;
        bool prune, keep_invalid;
        json_t *changes;
        struct DocumentLayouts *layouts; /* while they are checked; declarative-layout.c */
} Document;

int document_new(const char *text, const ApplyOptions *options, Document *ret, Fault *fault);
void document_done(Document *d);
/* Forgets what was read and begins anew. */
int document_rewind(Document *d);
/* Reads one more entry: 1 while there are others, 0 when all are read. The first failure says where it stands. */
int document_read(Document *d, Manager *m, Fault *fault);
/* Once all are read: what goes, and whether all of it may be. Fills `changes` to the end. */
int document_check(Document *d, Manager *m, Fault *fault);
/* Then whether the providers could still serve all groups, one a call: 1 while there are others, 0 when none is left. Nobody may
 * have edited groups or rules since the check. */
int document_check_layouts(Document *d, Manager *m, Fault *fault);
void document_layouts_free(struct DocumentLayouts *layouts);
/* "/rules/3/name (line 40, column 5): " before the fault's message. */
int document_fail_at(const Document *d, const char *array, size_t index, const char *key, int result, Fault *fault);
/* "2 groups and 17 rules created, 1 rule removed"; new memory, NULL without. */
char *document_summary(json_t *changes);
