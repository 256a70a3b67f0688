/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The course of an Apply, in slices of the loop's time:
 *
 *   read and compare → check → transaction → committed → applied, object by object → answered
 *
 * What was read is compared with what is there at that moment. Somebody else's edit that comes in before the check makes
 * it begin anew, without slices then. The transaction is one, so that a crash leaves all or nothing; what is applied after
 * it is only what the next start would load. */

#include "declarative.h"

#include <stdio.h>

#include "declarative-document.h"
#include "job-table.h"
#include "lib/limits.h"
#include "log.h"
#include "operation.h"
#include "pending.h"

#define PENDING_PAUSE_USEC 2000u
#define PENDING_TRIES_MAX 500u

static int compare_groups(const void *a, const void *b) {
        return strcmp((*(Group *const *) a)->id, (*(Group *const *) b)->id);
}

static void export_group(Group *group, json_t *groups, json_t *rules) {
        json_t *body = group_to_json(group);

        json_object_set_new(body, "id", json_string(group->id));
        json_array_append_new(groups, body);
        for (Rule *rule = group->rules; rule; rule = rule->next) {
                body = rule_to_json(rule);
                json_object_set_new(body, "id", json_string(rule->id));
                json_object_set_new(body, "group", json_string(group->id));
                json_array_append_new(rules, body);
        }
}

/* In order of ids, so that two exports can be compared line by line. */
json_t *manager_export(Manager *m) {
        size_t n = 0;
        _cleanup_free_ Group **sorted = calloc(policy_count_groups(m->policy) + 1, sizeof(Group *));
        json_t *groups = json_array(), *rules = json_array();

        if (!sorted) {
                json_decref(groups);
                json_decref(rules);
                return NULL;
        }
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next)
                sorted[n++] = group;
        qsort(sorted, n, sizeof(Group *), compare_groups);
        for (size_t i = 0; i < n; i++)
                export_group(sorted[i], groups, rules);
        return json_pack("{s:i, s:o, s:o}", "version", 1, "groups", groups, "rules", rules);
}

typedef struct Apply Apply;

struct Apply {
        Manager *m;
        Document document;
        bool dry_run, unsliced, committing;
        bool answered; /* at the end of the service: what the store says comes to nobody */
        int (*stage)(Apply *apply, Fault *fault); /* 1: go on, 0: later, negative: failed */
        DocumentGroup *group;
        DocumentRule *rule;
        size_t change;
        StoreTxn *txn;
        uint64_t edits;
        unsigned tries;
        sd_event_source *slice, *pause;
        ApplyDone done;
        void *userdata;
        struct Apply *next;
};

static int begin(Apply *apply);

static void apply_free(Apply *apply) {
        store_abandon(apply->txn);
        sd_event_source_disable_unref(apply->slice);
        sd_event_source_disable_unref(apply->pause);
        document_done(&apply->document);
        free(apply);
}

/* Answers, and goes on with the next document. */
static void end(Apply *apply, int result, const Fault *fault) {
        Manager *m = apply->m;
        _cleanup_free_ char *summary = result < 0 ? NULL : document_summary(apply->document.changes);

        m->applying = apply->next;
        if (apply->done)
                apply->done(apply->userdata, result, result < 0 ? NULL : apply->document.changes, summary, fault);
        apply_free(apply);
        if (m->applying && begin(m->applying) < 0) {
                _cleanup_fault_ Fault oom = { 0 };
                end(m->applying, fault_oom(&oom), &oom);
        }
}

/* ---- what is applied ---- */

/* The list of a group's rules goes out whole: not after each of thousands. A group that is not named goes itself. */
static void touch(Apply *apply, const char *group) {
        DocumentGroup *entry;

        HASH_FIND_STR(apply->document.by_id, group, entry);
        if (entry)
                entry->touched = true;
}

static void remove_rule(Apply *apply, Rule *rule) {
        Manager *m = apply->m;

        touch(apply, rule->group->id);
        if (m->events.removed)
                m->events.removed(m->events.userdata, OBJECT_RULE, rule->id);
        policy_remove_rule(m->policy, rule);
}

static int stage_finish(Apply *apply, Fault *fault) {
        for (DocumentGroup *entry = apply->document.by_id; entry; entry = entry->hh.next)
                if (entry->touched && policy_find_group(apply->m->policy, entry->id))
                        manager_changed(apply->m, OBJECT_GROUP, entry->id, "Rules");
        manager_kick(apply->m);
        end(apply, 0, NULL);
        return 0;
}

/* Rules stand before groups in the list. What somebody else removed while this was written is not there any more. */
static int stage_remove(Apply *apply, Fault *fault) {
        Manager *m = apply->m;
        json_t *change = json_array_get(apply->document.changes, apply->change++);
        const char *id = json_string_value(json_object_get(change, "id"));
        bool is_group = change && streq(json_string_value(json_object_get(change, "kind")), "group");

        if (!change) {
                apply->stage = stage_finish;
                return 1;
        }
        if (!streq(json_string_value(json_object_get(change, "action")), "remove"))
                return 1;
        Rule *rule = is_group ? NULL : policy_find_rule(m->policy, id);
        Group *group = is_group ? policy_find_group(m->policy, id) : NULL;
        if (rule)
                remove_rule(apply, rule);
        if (group) {
                for (Rule *own = group->rules; own && m->events.removed; own = own->next)
                        m->events.removed(m->events.userdata, OBJECT_RULE, own->id); /* added meanwhile */
                if (m->events.removed)
                        m->events.removed(m->events.userdata, OBJECT_GROUP, id);
                policy_remove_group(m->policy, group);
        }
        return 1;
}

static void apply_rule(Apply *apply, DocumentRule *entry) {
        Manager *m = apply->m;
        Rule *rule = entry->rule, *there = policy_find_rule(m->policy, entry->id);

        rule->group = policy_find_group(m->policy, entry->owner);
        if (there && there->group != rule->group) { /* it moves to another group */
                remove_rule(apply, there);
                there = NULL;
        }
        if (!rule->group || (there ? policy_replace_rule(m->policy, rule) : policy_add_rule(m->policy, rule)) < 0)
                return;
        entry->rule = NULL;
        if (!there && m->events.added)
                m->events.added(m->events.userdata, OBJECT_RULE, rule->id);
        else if (there)
                manager_rule_edited(m, rule->id);
        touch(apply, rule->group->id);
}

static int stage_rules(Apply *apply, Fault *fault) {
        if (!apply->rule) {
                apply->stage = stage_remove;
                return 1;
        }
        if (apply->rule->rule)
                apply_rule(apply, apply->rule);
        apply->rule = apply->rule->hh.next;
        return 1;
}

static void apply_group(Manager *m, DocumentGroup *entry) {
        Group *group = entry->group;
        bool there = policy_find_group(m->policy, entry->id) != NULL;
        int r = there ? policy_replace_group(m->policy, group) : policy_add_group(m->policy, group);

        if (r < 0)
                return;
        entry->group = NULL;
        if (!there && m->events.added)
                m->events.added(m->events.userdata, OBJECT_GROUP, entry->id);
        else if (there)
                manager_group_edited(m, entry->id);
}

/* Rules that stay move with their groups; rules that go do so before their groups. */
static int stage_groups(Apply *apply, Fault *fault) {
        if (!apply->group) {
                apply->stage = stage_rules;
                return 1;
        }
        if (apply->group->group)
                apply_group(apply->m, apply->group);
        apply->group = apply->group->hh.next;
        return 1;
}

/* ---- what is written ---- */

static void run_slice(Apply *apply);

static void on_stored(void *userdata, int result, const Fault *fault) {
        Apply *apply = userdata;

        apply->committing = apply->unsliced = false;
        if (apply->answered) {
                applies_free(apply->m);
                return;
        }
        if (result < 0) {
                end(apply, result, fault);
                return;
        }
        log_message(LOG_INFO, LOG_EVENT_GROUP, NULL, "a document of groups and rules was applied");
        apply->group = apply->document.by_id;
        apply->rule = apply->document.rules_by_id;
        apply->change = 0;
        apply->stage = stage_groups;
        run_slice(apply);
}

static void store_removals(Apply *apply) {
        json_t *change;
        size_t index;

        json_array_foreach(apply->document.changes, index, change)
                if (streq(json_string_value(json_object_get(change, "action")), "remove"))
                        store_remove(apply->txn,
                                     streq(json_string_value(json_object_get(change, "kind")), "group") ? TABLE_GROUPS
                                                                                                         : TABLE_RULES,
                                     json_string_value(json_object_get(change, "id")));
}

static int begin_anew(Apply *apply, Fault *fault);

static int stage_commit(Apply *apply, Fault *fault) {
        int r;

        /* What was checked some slices ago must still be so. */
        if (policy_edits(apply->m->policy) != apply->edits || (apply->m->pending && apply->tries < PENDING_TRIES_MAX)) {
                apply->txn = store_abandon(apply->txn);
                return begin_anew(apply, fault);
        }
        store_removals(apply);
        apply->committing = true;
        apply->stage = NULL;
        r = store_commit(TAKE_PTR(apply->txn), on_stored, apply);
        if (r < 0) {
                apply->committing = false;
                return fault_set(fault, r, FAULT_STORE_FAILED, "the state could not be written: %s", strerror(-r));
        }
        return 0;
}

static int stage_write(Apply *apply, Fault *fault) {
        if (apply->group) {
                if (apply->group->stored)
                        store_put(apply->txn, TABLE_GROUPS, apply->group->id, NULL, apply->group->stored);
                apply->group = apply->group->hh.next;
        } else if (apply->rule) {
                if (apply->rule->stored)
                        store_put(apply->txn, TABLE_RULES, apply->rule->id, apply->rule->owner, apply->rule->stored);
                apply->rule = apply->rule->hh.next;
        } else
                apply->stage = stage_commit;
        return 1;
}

/* ---- what is read ---- */

static int on_pause(sd_event_source *source, uint64_t usec, void *userdata) {
        run_slice(userdata);
        return 0;
}

/* An edit that is being written differs from what it was compared with: it is waited for. */
static int wait_for_pending(Apply *apply) {
        if (!apply->m->pending || apply->tries++ >= PENDING_TRIES_MAX)
                return 0;
        apply->pause = sd_event_source_disable_unref(apply->pause);
        return sd_event_add_time_relative(apply->m->event, &apply->pause, CLOCK_MONOTONIC, PENDING_PAUSE_USEC, 0, on_pause,
                                          apply) < 0
                       ? 0
                       : 1;
}

static int stage_read(Apply *apply, Fault *fault);

/* Somebody edited what this was compared with. The second time it is done before anybody else comes. */
static int begin_anew(Apply *apply, Fault *fault) {
        apply->unsliced = true;
        apply->edits = policy_edits(apply->m->policy);
        apply->stage = stage_read;
        return document_rewind(&apply->document) < 0 ? fault_oom(fault) : 1;
}

static int stage_begin_writing(Apply *apply, Fault *fault) {
        if (apply->dry_run || json_array_size(apply->document.changes) == 0) {
                end(apply, 0, NULL);
                return 0;
        }
        apply->txn = store_begin(apply->m->store, STORE_STATE);
        if (!apply->txn)
                return fault_oom(fault);
        apply->group = apply->document.by_id;
        apply->rule = apply->document.rules_by_id;
        apply->stage = stage_write;
        return 1;
}

static int stage_layouts(Apply *apply, Fault *fault) {
        int r;

        if (policy_edits(apply->m->policy) != apply->edits)
                return begin_anew(apply, fault);
        r = document_check_layouts(&apply->document, apply->m, fault);
        if (r == 0)
                apply->stage = stage_begin_writing;
        return r < 0 ? r : 1;
}

static int stage_check(Apply *apply, Fault *fault) {
        Manager *m = apply->m;
        int r;

        if (wait_for_pending(apply))
                return 0;
        if (policy_edits(m->policy) != apply->edits)
                return begin_anew(apply, fault);
        r = document_check(&apply->document, m, fault);
        if (r >= 0 && !apply->dry_run && m->readiness == READINESS_LIMITED)
                r = fault_set(fault, -EROFS, FAULT_READ_ONLY_STATE, "the state can't be written: %s",
                              strempty(store_health_reason(m->store)));
        if (r < 0)
                return r;
        apply->stage = stage_layouts;
        return 1;
}

static int stage_read(Apply *apply, Fault *fault) {
        int r = document_read(&apply->document, apply->m, fault);

        if (r == 0)
                apply->stage = stage_check;
        return r < 0 ? r : 1;
}

static int on_slice(sd_event_source *source, void *userdata) {
        run_slice(userdata);
        return 0;
}

/* After a slice everybody else who waits comes first. */
static int slice_later(Apply *apply) {
        int r;

        if (apply->slice)
                return sd_event_source_set_enabled(apply->slice, SD_EVENT_ONESHOT);
        r = sd_event_add_defer(apply->m->event, &apply->slice, on_slice, apply);
        return r < 0 ? r : sd_event_source_set_priority(apply->slice, SD_EVENT_PRIORITY_NORMAL + 1);
}

static void run_slice(Apply *apply) {
        _cleanup_fault_ Fault fault = { 0 };
        uint64_t until = now_monotonic_usec() + APPLY_SLICE_USEC;
        int r;

        while ((r = apply->stage(apply, &fault)) > 0)
                if (!apply->unsliced && now_monotonic_usec() >= until) {
                        if (slice_later(apply) >= 0)
                                return;
                        apply->unsliced = true;
                }
        if (r < 0)
                end(apply, r, &fault);
}

static int begin(Apply *apply) {
        apply->edits = policy_edits(apply->m->policy);
        apply->stage = stage_read;
        return slice_later(apply);
}

int manager_apply(Manager *m, const char *text, const ApplyOptions *options, ApplyDone done, void *userdata, Fault *fault) {
        Apply *apply = calloc(1, sizeof(Apply)), **last = &m->applying;
        size_t n = 0;
        int r;

        if (!apply)
                return fault_oom(fault);
        *apply = (Apply) { .m = m, .dry_run = options->dry_run, .done = done, .userdata = userdata };
        r = m->stopping ? fault_set(fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping") : 0;
        for (; *last; last = &(*last)->next)
                n++;
        if (r >= 0 && n >= APPLIES_MAX)
                r = fault_set(fault, -EAGAIN, FAULT_LIMIT_REACHED, "%zu documents are being applied; try again later", n);
        if (r >= 0)
                r = document_new(text, options, &apply->document, fault);
        if (r >= 0 && n == 0 && begin(apply) < 0)
                r = fault_oom(fault);
        if (r < 0) {
                apply_free(apply);
                return r;
        }
        *last = apply;
        return 0;
}

void applies_answer(Manager *m) {
        _cleanup_fault_ Fault fault = { 0 };

        fault_set(&fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping; the document may have been applied or not");
        for (Apply *apply = m->applying; apply; apply = apply->next) {
                apply->answered = true;
                if (apply->slice)
                        (void) sd_event_source_set_enabled(apply->slice, SD_EVENT_OFF);
                apply->pause = sd_event_source_disable_unref(apply->pause);
                if (apply->done)
                        apply->done(apply->userdata, -ESHUTDOWN, NULL, NULL, &fault);
                apply->done = NULL;
        }
}

void applies_free(Manager *m) {
        while (m->applying) {
                Apply *apply = m->applying;

                m->applying = apply->next;
                apply_free(apply);
        }
}
