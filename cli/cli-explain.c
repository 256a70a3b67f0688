/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Why: everything that is to be said about a device, a group or an allocation, as a tree. */

#include "cli-explain.h"

#include <langinfo.h>

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-object.h"
#include "cli-verbs.h"

/* Words of the service's "topic", and what a person calls them. */
static const struct {
        const char *word, *title;
} topics[] = {
        { "state", "state" },
        { "availability", "can it be had" },
        { "companions", "moves along" },
        { "use", "who uses it" },
        { "request", "what is asked for" },
        { "members", "members that cannot be had" },
        { "membership", "groups and rules" },
        { "near", "near misses" },
        { "obstacles", "in the way" },
        { "devices", "the devices" },
        { "layout", "what is made" },
        { "effects", "what happens to the host" },
        { "duration", "how long it takes" },
};

static size_t topic_of(json_t *finding) {
        const char *word = json_text(finding, "topic");
        size_t i = 0;

        while (i < ELEMENTSOF(topics) && !streq(topics[i].word, word))
                i++;
        return i;
}

typedef struct Branch {
        const char *more, *last, *on, *off; /* before an entry, the last one, and what is below either */
} Branch;

static const Branch *branch(void) {
        static const Branch lines = { "├─ ", "└─ ", "│  ", "   " }, plain = { "|-- ", "`-- ", "|   ", "    " };

        return streq(nl_langinfo(CODESET), "UTF-8") ? &lines : &plain;
}

static size_t count(json_t *findings, size_t topic) {
        json_t *finding;
        size_t index, n = 0;

        json_array_foreach(findings, index, finding)
                n += topic_of(finding) == topic;
        return n;
}

static void show_finding(const Cli *cli, json_t *finding, const char *above, bool last) {
        const char *remedy = json_text(finding, "remedy");
        const Branch *b = branch();

        (void) printf("%s%s", above, last ? b->last : b->more);
        print_word(cli, stdout, json_text(finding, "severity"));
        (void) putchar(' ');
        print_clean(stdout, json_text(finding, "code"));
        (void) fputs(": ", stdout);
        print_clean(stdout, json_text(finding, "text"));
        (void) putchar('\n');
        if (isempty(remedy))
                return;
        (void) printf("%s%s%sremedy: %s", above, last ? b->off : b->on, cli->colour ? "\033[2m" : "",
                      cli->colour ? "\033[0m" : "");
        print_clean(stdout, remedy);
        (void) putchar('\n');
}

static void show_topic(const Cli *cli, json_t *findings, size_t topic, bool last) {
        size_t index, left = count(findings, topic);
        const Branch *b = branch();
        json_t *finding;

        (void) fputs(last ? b->last : b->more, stdout);
        print_heading(cli, topic < ELEMENTSOF(topics) ? topics[topic].title : "other");
        json_array_foreach(findings, index, finding)
                if (topic_of(finding) == topic) {
                        left--;
                        show_finding(cli, finding, last ? b->off : b->on, left == 0);
                }
}

void show_explanation(const Cli *cli, const char *heading, json_t *findings) {
        size_t last = 0;

        for (size_t topic = 0; topic <= ELEMENTSOF(topics); topic++)
                if (count(findings, topic) > 0)
                        last = topic;
        if (heading)
                print_heading(cli, heading);
        for (size_t topic = 0; topic <= last && json_array_size(findings) > 0; topic++)
                if (count(findings, topic) > 0)
                        show_topic(cli, findings, topic, topic == last);
}

bool has_blocker(json_t *findings) {
        json_t *finding;
        size_t index;

        json_array_foreach(findings, index, finding)
                if (streq(json_text(finding, "severity"), "blocker"))
                        return true;
        return false;
}

/* ---- the verb ---- */

int get_findings(Cli *cli, Kind kind, const char *path, json_t **ret) {
        json_auto_t *reply = NULL;
        json_t *options = option_given(cli, "all-rules") ? json_pack("{s:b}", "all-rules", 1) : json_object();
        int r = bus_call(cli, path, kind_interface(kind), "Explain", "a{sv}", json_pack("[o]", options), &reply);

        if (r < 0)
                return r;
        *ret = json_incref(json_array_get(reply, 0));
        return 0;
}

static int find_any(Cli *cli, const char *name, Kind *ret_kind, char **ret_path) {
        static const Kind kinds[] = { KIND_DEVICE, KIND_GROUP, KIND_ALLOCATION };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                int r;

                cli->quiet = true;
                r = find_object(cli, kinds[i], name, ret_path);
                cli->quiet = false;
                *ret_kind = kinds[i];
                if (r >= 0)
                        return 0;
                if (cli->status != STATUS_NOT_FOUND) /* again, aloud */
                        return find_object(cli, kinds[i], name, ret_path);
        }
        return cli_fail(cli, STATUS_NOT_FOUND, "there is no device, group or allocation '%s'", name);
}

static int find_of_kind(Cli *cli, const char *word, const char *name, Kind *ret_kind, char **ret_path) {
        if (streq(word, "device"))
                *ret_kind = KIND_DEVICE;
        else if (streq(word, "group"))
                *ret_kind = KIND_GROUP;
        else if (streq(word, "allocation"))
                *ret_kind = KIND_ALLOCATION;
        else
                return cli_fail(cli, STATUS_USAGE,
                                "'%s' can't be explained; valid: device, group, allocation", word);
        return find_object(cli, *ret_kind, name, ret_path);
}

/* "device pci-0000-01-00-0, 82574L Gigabit Network Connection: free" */
static char *heading_of(Cli *cli, Kind kind, const char *path) {
        json_auto_t *object = NULL, *text = json_string(path), *id = id_of_path(text);
        const char *name, *state;
        char *heading;

        cli->quiet = true;
        if (get_object(cli, kind, path, &object) < 0)
                object = json_object();
        cli->quiet = false;
        cli->status = STATUS_OK;
        name = json_text(object, kind == KIND_ALLOCATION ? "consumer" : "name");
        state = json_text(object, "state");
        if (asprintf(&heading, "%s %s%s%s%s%s", kind_word(kind), strempty(json_string_value(id)), isempty(name) ? "" : ", ",
                     name, isempty(state) ? "" : ": ", state) < 0)
                return NULL;
        return heading;
}

int verb_explain(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL, *heading = NULL;
        json_auto_t *findings = NULL;
        Kind kind = KIND_DEVICE;
        int r = n == 1 ? find_any(cli, arguments[0], &kind, &path)
                       : find_of_kind(cli, arguments[0], arguments[1], &kind, &path);

        if (r >= 0)
                r = get_findings(cli, kind, path, &findings);
        if (r < 0)
                return r;
        if (cli->json)
                return show_json(cli, findings);
        heading = heading_of(cli, kind, path);
        show_explanation(cli, heading, findings);
        if (json_array_size(findings) == 0)
                (void) printf("Nothing stands in the way.\n");
        return 0;
}
