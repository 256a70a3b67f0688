/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who may do what: polkit, asked asynchronously. A handler that needs a right calls auth_check() before it touches anything;
 * when polkit has to be asked the handler returns, and the same message is dispatched again once the answer is there. The
 * answers of one message are kept beside it until then. Root passes without being asked; a polkit that is absent or does
 * not answer refuses, and blocks nobody else. */

#include <stdio.h>

#include "bus-internal.h"
#include "json-util.h"
#include "lib/limits.h"
#include "log.h"

#define POLKIT_TIMEOUT_USEC (UINT64_C(120) * 1000000) /* a person may type a password meanwhile */
#define CHECKS_MAX (2 * REQUESTS_MAX) /* of one message: groups, and devices whose blockers are overridden */
#define SENDERS_MAX 1024u

static const char *const actions[_RIGHT_MAX] = {
        [RIGHT_ALLOCATE] = "org.passthroughd1.allocate",
        [RIGHT_ALLOCATE_ANY] = "org.passthroughd1.allocate-any",
        [RIGHT_MANAGE_GROUPS] = "org.passthroughd1.manage-groups",
        [RIGHT_MANAGE_DEVICES] = "org.passthroughd1.manage-devices",
        [RIGHT_MANAGE_DRIVERS] = "org.passthroughd1.manage-drivers",
        [RIGHT_OVERRIDE] = "org.passthroughd1.override",
};

/* ---- who calls ---- */

/* Unique names are never used twice by a bus, so what was asked once stays true. */
struct Sender {
        char name[256];
        uid_t uid;
        UT_hash_handle hh;
};

static void forget_senders(Bus *b) {
        Sender *sender, *next;

        HASH_ITER(hh, b->senders, sender, next) {
                HASH_DEL(b->senders, sender);
                free(sender);
        }
}

static int ask_sender(Bus *b, sd_bus_message *m, const char *name, Sender **ret) {
        sd_bus_creds *creds = NULL;
        Sender *sender;
        uid_t uid;
        /* What the bus was told by the kernel when the caller connected. Its group is not asked for: sd-bus would read that
         * from /proc, where a caller who executes another program shows the other's. */
        int r = sd_bus_query_sender_creds(m, SD_BUS_CREDS_EUID, &creds);

        if (r < 0)
                return r;
        r = sd_bus_creds_get_euid(creds, &uid);
        sd_bus_creds_unref(creds);
        if (r < 0)
                return r;
        if (HASH_COUNT(b->senders) >= SENDERS_MAX)
                forget_senders(b);
        sender = calloc(1, sizeof(Sender));
        if (!sender)
                return -ENOMEM;
        snprintf(sender->name, sizeof(sender->name), "%s", name);
        sender->uid = uid;
        HASH_ADD_STR(b->senders, name, sender);
        *ret = sender;
        return 0;
}

int auth_caller(Bus *b, sd_bus_message *m, Caller *ret, sd_bus_error *error) {
        const char *name = sd_bus_message_get_sender(m);
        Sender *sender = NULL;
        int r = 0;

        if (name)
                HASH_FIND_STR(b->senders, name, sender);
        if (!sender)
                r = name ? ask_sender(b, m, name, &sender) : -ENXIO;
        if (r < 0)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "NotAuthorized",
                                         "the caller's user could not be found out: %s", strerror(-r));
        /* No group is the caller's as far as is known, so that naming one needs a right. */
        *ret = (Caller) { .uid = sender->uid, .gid = sender->uid == 0 ? 0 : (gid_t) -1, .sender = name };
        return 0;
}

/* ---- polkit ---- */

typedef enum Answer {
        ANSWER_NONE,
        ANSWER_YES,
        ANSWER_NO,
        ANSWER_CHALLENGE,  /* a password would be needed and the caller did not allow asking */
        ANSWER_DISMISSED,
        ANSWER_UNAVAILABLE,
} Answer;

typedef struct Check {
        Right right;
        char **details; /* keys and values in turn */
        Answer answer;
        char *reason;
        bool quiet; /* no password */
} Check;

/* Of the checks all but the last are answered. That one is asked (call), waits for its turn (waiting), or was answered a
 * moment ago, and the message is about to be handled again. */
struct AuthQuery {
        Bus *bus;
        sd_bus_message *message;
        uid_t uid;
        Check checks[CHECKS_MAX + 2];
        size_t n_checks;
        sd_bus_slot *call;
        bool waiting;
        struct AuthQuery *next; /* newest first */
};

static void query_free(AuthQuery *query) {
        for (AuthQuery **p = &query->bus->queries; *p; p = &(*p)->next)
                if (*p == query) {
                        *p = query->next;
                        break;
                }
        for (size_t i = 0; i < query->n_checks; i++) {
                strv_free(query->checks[i].details);
                free(query->checks[i].reason);
        }
        sd_bus_slot_unref(query->call);
        sd_bus_message_unref(query->message);
        free(query);
}

/* Idle: everything that was dispatched again has been handled. A query that asks once more is kept. */
static int on_forget(sd_event_source *source, void *userdata) {
        Bus *b = userdata;

        for (AuthQuery *query = b->queries, *next; query; query = next) {
                next = query->next;
                if (!query->call && !query->waiting)
                        query_free(query);
        }
        return 0;
}

void auth_sender_vanished(Bus *b, const char *name) {
        Sender *sender;

        HASH_FIND_STR(b->senders, name, sender);
        if (sender) {
                HASH_DEL(b->senders, sender);
                free(sender);
        }
        /* What polkit was asked already is answered in vain. */
        for (AuthQuery *query = b->queries, *next; query; query = next) {
                next = query->next;
                if (query->waiting && streq(strempty(sd_bus_message_get_sender(query->message)), name))
                        query_free(query);
        }
}

static int forget_later(Bus *b) {
        int r;

        if (b->forget)
                return sd_event_source_set_enabled(b->forget, SD_EVENT_ONESHOT);
        r = sd_event_add_defer(b->event, &b->forget, on_forget, b);
        return r < 0 ? r : sd_event_source_set_priority(b->forget, SD_EVENT_PRIORITY_IDLE);
}

static Answer answer_of_error(const sd_bus_error *e) {
        if (sd_bus_error_has_name(e, "org.freedesktop.PolicyKit1.Error.Cancelled"))
                return ANSWER_DISMISSED;
        return ANSWER_UNAVAILABLE;
}

static Answer read_answer(sd_bus_message *reply, char **ret_reason) {
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        int authorized, challenge;
        Answer answer;

        if (e) {
                *ret_reason = strdup(strempty(e->message));
                return answer_of_error(e);
        }
        if (sd_bus_message_enter_container(reply, 'r', "bba{ss}") < 0 ||
            sd_bus_message_read(reply, "bb", &authorized, &challenge) < 0)
                return ANSWER_UNAVAILABLE;
        answer = authorized ? ANSWER_YES : challenge ? ANSWER_CHALLENGE : ANSWER_NO;
        if (sd_bus_message_enter_container(reply, 'a', "{ss}") >= 0) {
                const char *key, *value;
                while (sd_bus_message_read(reply, "{ss}", &key, &value) > 0)
                        if (streq(key, "polkit.dismissed") && !isempty(value))
                                answer = ANSWER_DISMISSED;
        }
        return answer;
}

static void ask_next(Bus *b);

static void dispatch_again(AuthQuery *query) {
        int r = sd_bus_message_rewind(query->message, true);

        if (r >= 0)
                r = sd_bus_enqueue_for_read(query->bus->bus, query->message);
        if (r < 0)
                (void) bus_reply_fault(query->message, r, NULL);
        (void) forget_later(query->bus);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        AuthQuery *query = userdata;
        Check *check = &query->checks[query->n_checks - 1];

        check->answer = read_answer(reply, &check->reason);
        query->call = sd_bus_slot_unref(query->call);
        dispatch_again(query);
        ask_next(query->bus);
        return 1;
}

/* Asks about the last of the checks. */
static int ask(AuthQuery *query) {
        const Check *check = &query->checks[query->n_checks - 1];
        sd_bus_message *call = NULL;
        int r = sd_bus_message_new_method_call(query->bus->bus, &call, "org.freedesktop.PolicyKit1",
                                               "/org/freedesktop/PolicyKit1/Authority",
                                               "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
        uint32_t flags = !check->quiet && sd_bus_message_get_allow_interactive_authorization(query->message) > 0;

        if (r >= 0)
                r = sd_bus_message_append(call, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                                          sd_bus_message_get_sender(query->message), actions[check->right]);
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'a', "{ss}");
        for (size_t i = 0; check->details[i] && r >= 0; i += 2)
                r = sd_bus_message_append(call, "{ss}", check->details[i], check->details[i + 1]);
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        if (r >= 0)
                r = sd_bus_message_append(call, "us", flags, "");
        if (r >= 0)
                r = sd_bus_call_async(query->bus->bus, &query->call, call, on_answer, query, POLKIT_TIMEOUT_USEC);
        sd_bus_message_unref(call);
        return r;
}

static size_t count_queries(Bus *b, uid_t uid, bool waiting) {
        size_t n = 0;

        for (AuthQuery *query = b->queries; query; query = query->next)
                n += query->uid == uid && (waiting ? query->waiting : query->call != NULL);
        return n;
}

/* Something was answered: whoever waits longest, and whose user has not too much open, is next. */
static void ask_next(Bus *b) {
        AuthQuery *next = NULL;

        for (AuthQuery *query = b->queries; query; query = query->next)
                if (query->waiting && count_queries(b, query->uid, false) < CHECKS_ASKED_PER_UID_MAX)
                        next = query;
        if (!next)
                return;
        next->waiting = false;
        if (ask(next) < 0) {
                next->checks[next->n_checks - 1].answer = ANSWER_UNAVAILABLE;
                dispatch_again(next);
        }
}

/* One user's flood must not use up what the service may ask at all. */
static int ask_in_turn(AuthQuery *query) {
        if (count_queries(query->bus, query->uid, false) < CHECKS_ASKED_PER_UID_MAX)
                return ask(query);
        query->waiting = true;
        return 0;
}

static AuthQuery *find_query(Bus *b, sd_bus_message *m) {
        for (AuthQuery *query = b->queries; query; query = query->next)
                if (query->message == m)
                        return query;
        return NULL;
}

static int new_query(Bus *b, sd_bus_message *m, uid_t uid, AuthQuery **ret) {
        AuthQuery *query;

        if (count_queries(b, uid, true) >= CHECKS_WAITING_PER_UID_MAX)
                return -EBUSY;
        query = calloc(1, sizeof(AuthQuery));
        if (!query)
                return -ENOMEM;
        query->bus = b;
        query->uid = uid;
        query->message = sd_bus_message_ref(m);
        query->next = b->queries;
        b->queries = query;
        *ret = query;
        return 0;
}

static bool same_details(char **a, const char *const *b) {
        size_t i = 0;

        for (; a[i] && b && b[i]; i++)
                if (!streq(a[i], b[i]))
                        return false;
        return !a[i] && (!b || !b[i]);
}

/* The answer to this check of this message; asks when there is none yet (ANSWER_NONE then). */
static int find_answer(Bus *b, sd_bus_message *m, uid_t uid, Right right, const char *const *details, bool quiet,
                       Check **ret) {
        AuthQuery *query = find_query(b, m);
        _cleanup_(strv_freep) char **copy = NULL;
        int r;

        for (size_t i = 0; query && i < query->n_checks; i++)
                if (query->checks[i].right == right && query->checks[i].quiet == quiet && same_details(query->checks[i].details, details)) {
                        *ret = &query->checks[i];
                        return 0;
                }
        if (!query) {
                r = new_query(b, m, uid, &query);
                if (r < 0)
                        return r;
        }
        if (query->n_checks >= ELEMENTSOF(query->checks))
                return -E2BIG;
        r = strv_copy(details, &copy);
        if (r < 0)
                return r;
        query->checks[query->n_checks] = (Check) { .right = right, .details = TAKE_PTR(copy), .quiet = quiet };
        *ret = &query->checks[query->n_checks++];
        r = ask_in_turn(query);
        if (r < 0)
                (*ret)->answer = ANSWER_UNAVAILABLE;
        return 0;
}

static int too_much(int result, uid_t uid, sd_bus_error *error) {
        if (result == -EBUSY)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "LimitReached",
                                         "%u calls of user %u wait for polkit already; try again later",
                                         CHECKS_WAITING_PER_UID_MAX, uid);
        if (result == -E2BIG)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "TooLarge",
                                         "more than %u rights would have to be asked for at once", CHECKS_MAX + 2);
        return bus_error_from_fault(error, result, NULL);
}

static int refuse(Right right, const Check *check, const Caller *caller, sd_bus_error *error) {
        char text[256] = "";
        size_t n = 0;

        log_message(LOG_NOTICE, LOG_EVENT_DENIED, log_fields("ACTION", actions[right], "SENDER", strempty(caller->sender)),
                    "%s was refused to user %u", actions[right], caller->uid);
        switch (check->answer) {
        case ANSWER_CHALLENGE:
                return sd_bus_error_setf(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                         "%s needs authentication; allow interactive authorisation", actions[right]);
        case ANSWER_DISMISSED:
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "NotAuthorized", "authentication for %s was dismissed",
                                         actions[right]);
        case ANSWER_UNAVAILABLE:
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "AuthorizationUnavailable",
                                         "polkit could not be asked about %s: %s", actions[right],
                                         isempty(check->reason) ? "no answer" : check->reason);
        case ANSWER_NONE:
        case ANSWER_YES:
        case ANSWER_NO:
                break;
        }
        for (size_t i = 0; check->details[i] && n < sizeof(text); i += 2)
                if (!isempty(check->details[i + 1]))
                        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%s %.64s", n > 0 ? ", " : " with ",
                                               check->details[i], check->details[i + 1]);
        return sd_bus_error_setf(error, BUS_ERROR_PREFIX "NotAuthorized", "user %u is not authorised for %s%s", caller->uid,
                                 actions[right], text);
}

/* A caller that has to be asked for a password first comes again. */
static void note_refusal(Bus *b, sd_bus_message *m, const Check *check, const sd_bus_error *error) {
        _cleanup_fault_ Fault fault = { 0 };

        if (check->answer == ANSWER_CHALLENGE)
                return;
        fault_set(&fault, -EACCES, check->answer == ANSWER_UNAVAILABLE ? FAULT_AUTHORIZATION_UNAVAILABLE : FAULT_NOT_AUTHORIZED,
                  "%s", strempty(error->message));
        bus_note_refused(b, m, &fault);
}

int auth_ask(Bus *b, sd_bus_message *m, Right right, const char *const *details, bool *ret_granted, sd_bus_error *error) {
        Caller caller;
        Check *check;
        int r = auth_caller(b, m, &caller, error);

        if (r < 0)
                return r;
        if (caller.uid == 0) {
                *ret_granted = true;
                return 1;
        }
        r = find_answer(b, m, caller.uid, right, details, true, &check);
        if (r < 0)
                return too_much(r, caller.uid, error);
        if (check->answer == ANSWER_NONE)
                return 0;
        *ret_granted = check->answer == ANSWER_YES;
        return 1;
}

int auth_check(Bus *b, sd_bus_message *m, Right right, const char *const *details, sd_bus_error *error) {
        Caller caller;
        Check *check;
        int r = auth_caller(b, m, &caller, error);

        if (r < 0)
                return r;
        if (caller.uid == 0)
                return 1;
        r = find_answer(b, m, caller.uid, right, details, false, &check);
        if (r < 0)
                return too_much(r, caller.uid, error);
        if (check->answer == ANSWER_NONE)
                return 0;
        if (check->answer == ANSWER_YES)
                return 1;
        r = refuse(right, check, &caller, error);
        note_refusal(b, m, check, error);
        return r;
}

/* ---- the rights table ---- */

int auth_owner(Bus *b, sd_bus_message *m, const Allocation *allocation, sd_bus_error *error) {
        Caller caller;
        int r = auth_caller(b, m, &caller, error);

        if (r < 0)
                return r;
        if (caller.uid == allocation->owner)
                return 1;
        return auth_check(b, m, RIGHT_ALLOCATE_ANY, NULL, error);
}

static int auth_group(Bus *b, sd_bus_message *m, const Group *group, sd_bus_error *error) {
        const char *details[] = { "group", group->id, "type", group->type, "tenant", strempty(group->tenant), NULL };

        return auth_check(b, m, RIGHT_ALLOCATE, details, error);
}

int auth_groups(Bus *b, sd_bus_message *m, json_t *requests, sd_bus_error *error) {
        size_t index;
        json_t *request;

        if (json_array_size(requests) > REQUESTS_MAX)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "TooLarge", "%zu requests; at most %u are allowed",
                                         json_array_size(requests), REQUESTS_MAX);
        json_array_foreach(requests, index, request) {
                const char *name = json_string_value(json_object_get(request, "group"));
                Group *group = name ? policy_find_group_by_name(b->manager->policy, name) : NULL;
                int r;

                if (!group)
                        continue; /* the operation says so, in its own words */
                r = auth_group(b, m, group, error);
                if (r <= 0)
                        return r;
        }
        return 1;
}

int auth_allocation_groups(Bus *b, sd_bus_message *m, const Allocation *a, sd_bus_error *error) {
        for (size_t i = 0; i < a->n_requests; i++) {
                Group *group = policy_find_group(b->manager->policy, a->requests[i].group);
                int r = group ? auth_group(b, m, group, error) : 1;

                if (r <= 0)
                        return r;
        }
        return 1;
}

void auth_free(Bus *b) {
        while (b->queries)
                query_free(b->queries);
        sd_event_source_disable_unref(b->forget);
        forget_senders(b);
}
