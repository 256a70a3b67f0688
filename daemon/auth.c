/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who may do what: polkit, asked asynchronously. A handler that needs a right calls auth_check() before it touches anything;
 * when polkit has to be asked the handler returns, and the same message is dispatched again once the answer is there. The
 * answers of one message are kept beside it until then. Root passes without being asked; a polkit that is absent or does
 * not answer refuses, and blocks nobody else. */

#include <stdio.h>

#include "bus-internal.h"
#include "lib/limits.h"
#include "log.h"

#define POLKIT_TIMEOUT_USEC (UINT64_C(120) * 1000000) /* a person may type a password meanwhile */
#define CHECKS_MAX REQUESTS_MAX
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
        gid_t gid;
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
        gid_t gid;
        int r = sd_bus_query_sender_creds(m, SD_BUS_CREDS_EUID | SD_BUS_CREDS_EGID | SD_BUS_CREDS_AUGMENT, &creds);

        if (r < 0)
                return r;
        r = sd_bus_creds_get_euid(creds, &uid);
        if (sd_bus_creds_get_egid(creds, &gid) < 0)
                gid = (gid_t) -1; /* needs /proc; only used to compare */
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
        sender->gid = gid;
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
        *ret = (Caller) { .uid = sender->uid, .gid = sender->gid, .sender = name };
        return 0;
}

void auth_sender_vanished(Bus *b, const char *name) {
        Sender *sender;

        HASH_FIND_STR(b->senders, name, sender);
        if (!sender)
                return;
        HASH_DEL(b->senders, sender);
        free(sender);
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
        char *details; /* "key=value" lines */
        Answer answer;
        char *reason;
} Check;

struct AuthQuery {
        Bus *bus;
        sd_bus_message *message;
        Check checks[CHECKS_MAX + 2];
        size_t n_checks;
        sd_bus_slot *call; /* being asked: the last of the checks */
        struct AuthQuery *next;
};

static void query_free(AuthQuery *query) {
        for (AuthQuery **p = &query->bus->queries; *p; p = &(*p)->next)
                if (*p == query) {
                        *p = query->next;
                        break;
                }
        for (size_t i = 0; i < query->n_checks; i++) {
                free(query->checks[i].details);
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
                if (!query->call)
                        query_free(query);
        }
        return 0;
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

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        AuthQuery *query = userdata;
        Check *check = &query->checks[query->n_checks - 1];
        int r;

        check->answer = read_answer(reply, &check->reason);
        query->call = sd_bus_slot_unref(query->call);
        r = sd_bus_message_rewind(query->message, true);
        if (r >= 0)
                r = sd_bus_enqueue_for_read(query->bus->bus, query->message);
        if (r < 0)
                (void) bus_reply_fault(query->message, r, NULL);
        (void) forget_later(query->bus);
        return 1;
}

static int join_details(const char *const *details, char **ret) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        for (size_t i = 0; details && details[i]; i += 2)
                fprintf(f, "%s=%s\n", details[i], details[i + 1]);
        if (fclose(f) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return 0;
}

static int ask(AuthQuery *query, Right right, const char *const *details) {
        sd_bus_message *call = NULL;
        int r = sd_bus_message_new_method_call(query->bus->bus, &call, "org.freedesktop.PolicyKit1",
                                               "/org/freedesktop/PolicyKit1/Authority",
                                               "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
        uint32_t flags = sd_bus_message_get_allow_interactive_authorization(query->message) > 0 ? 1 : 0;

        if (r >= 0)
                r = sd_bus_message_append(call, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                                          sd_bus_message_get_sender(query->message), actions[right]);
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'a', "{ss}");
        for (size_t i = 0; details && details[i] && r >= 0; i += 2)
                r = sd_bus_message_append(call, "{ss}", details[i], details[i + 1]);
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        if (r >= 0)
                r = sd_bus_message_append(call, "us", flags, "");
        if (r >= 0)
                r = sd_bus_call_async(query->bus->bus, &query->call, call, on_answer, query, POLKIT_TIMEOUT_USEC);
        sd_bus_message_unref(call);
        return r;
}

static AuthQuery *find_query(Bus *b, sd_bus_message *m) {
        for (AuthQuery *query = b->queries; query; query = query->next)
                if (query->message == m)
                        return query;
        return NULL;
}

static int new_query(Bus *b, sd_bus_message *m, AuthQuery **ret) {
        AuthQuery *query = calloc(1, sizeof(AuthQuery));

        if (!query)
                return -ENOMEM;
        query->bus = b;
        query->message = sd_bus_message_ref(m);
        query->next = b->queries;
        b->queries = query;
        *ret = query;
        return 0;
}

/* The answer to this check of this message; asks when there is none yet (ANSWER_NONE then). */
static int find_answer(Bus *b, sd_bus_message *m, Right right, const char *const *details, Check **ret) {
        AuthQuery *query = find_query(b, m);
        _cleanup_free_ char *text = NULL;
        int r = join_details(details, &text);

        if (r < 0)
                return r;
        for (size_t i = 0; query && i < query->n_checks; i++)
                if (query->checks[i].right == right && streq(query->checks[i].details, text)) {
                        *ret = &query->checks[i];
                        return 0;
                }
        if (!query) {
                r = new_query(b, m, &query);
                if (r < 0)
                        return r;
        }
        if (query->n_checks >= ELEMENTSOF(query->checks))
                return -E2BIG;
        query->checks[query->n_checks] = (Check) { .right = right, .details = TAKE_PTR(text) };
        *ret = &query->checks[query->n_checks++];
        r = ask(query, right, details);
        if (r < 0)
                (*ret)->answer = ANSWER_UNAVAILABLE;
        return 0;
}

static int refuse(Right right, const Check *check, const Caller *caller, sd_bus_error *error) {
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
        return sd_bus_error_setf(error, BUS_ERROR_PREFIX "NotAuthorized", "user %u is not authorised for %s%s%s",
                                 caller->uid, actions[right], isempty(check->details) ? "" : " with ",
                                 strempty(check->details));
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
        r = find_answer(b, m, right, details, &check);
        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
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
        r = find_answer(b, m, right, details, &check);
        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        if (check->answer == ANSWER_NONE)
                return 0;
        return check->answer == ANSWER_YES ? 1 : refuse(right, check, &caller, error);
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
