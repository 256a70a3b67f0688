/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "evidence-internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <uthash.h>

#include "lib/parse.h"
#include "lib/protocol.h"

/* One message holds about that much, far below WORKER_MESSAGE_MAX. */
#define CHUNK_BYTES ((size_t) 256 * 1024)
/* A disk under 10,000 mounts is needed as much as one under 16: the rest is counted. */
#define CHAINS_MAX 16u
#define UNRESOLVED_MAX 32u
/* Longer ones are cut: what leads to a device is a handful of names. */
#define LINKS_MAX 16u
#define LINK_MAX_BYTES 512u

static const char *const verdict_table[] = {
        [EVIDENCE_IN_USE] = "in-use",
        [EVIDENCE_CRITICAL] = "critical",
        [EVIDENCE_FORBIDDEN] = "forbidden",
};
DEFINE_STRING_TABLE(evidence_verdict, EvidenceVerdict, verdict_table)

static const char *const kind_table[] = {
        [EVIDENCE_STORAGE] = "storage",
        [EVIDENCE_NETWORK] = "network",
        [EVIDENCE_DISPLAY] = "display",
        [EVIDENCE_INPUT] = "input",
};
DEFINE_STRING_TABLE(evidence_kind, EvidenceKind, kind_table)

/* What was said already: an item with its chain, or how many chains a path has for one code. */
typedef struct Seen {
        UT_hash_handle hh;
        size_t count;
        EvidenceVerdict verdict; /* of the counter: the gravest */
        char *path, *code;       /* of the counter */
        char key[];
} Seen;

struct Evidence {
        Worker *worker;
        json_t *items, *unresolved; /* not sent yet */
        size_t bytes;               /* about, of both */
        size_t n_unresolved[_EVIDENCE_KIND_MAX];
        Seen *said, *counters;
        ProcessTable processes;
        bool processes_known;
        bool pci_known;
        MountTable mounts;
        int mounts_result;          /* 1: nobody asked yet */
        int send_result;            /* of the socket: nobody listens any more */
};

static void free_seen(Seen **list) {
        Seen *seen, *next;

        HASH_ITER(hh, *list, seen, next) {
                HASH_DEL(*list, seen);
                free(seen->path);
                free(seen->code);
                free(seen);
        }
}

static void evidence_done(Evidence *evidence) {
        json_decref(evidence->items);
        json_decref(evidence->unresolved);
        free_seen(&evidence->said);
        free_seen(&evidence->counters);
        process_table_done(&evidence->processes);
        mount_table_done(&evidence->mounts);
}

int evidence_pci(Evidence *evidence, const PciScan **ret) {
        if (!evidence->pci_known && pci_scan(&evidence->worker->sysfs, &evidence->worker->pci) == -ENOMEM)
                return -ENOMEM;
        evidence->pci_known = true;
        *ret = &evidence->worker->pci;
        return 0;
}

/* Its kernel holds a lock of all mounts for each line: on a host with containers it is the longest file of a look. */
int evidence_mounts(Evidence *evidence, const MountTable **ret) {
        if (evidence->mounts_result > 0)
                evidence->mounts_result = mount_table_read(&evidence->worker->sysfs, "/proc/1/mountinfo", &evidence->mounts);
        *ret = &evidence->mounts;
        return evidence->mounts_result;
}

int evidence_processes(Evidence *evidence, const ProcessTable **ret) {
        int r = evidence->processes_known ? 0 : process_table_read(&evidence->worker->sysfs, &evidence->processes);

        if (r < 0)
                return r;
        evidence->processes_known = true;
        *ret = &evidence->processes;
        return 0;
}

const Sysfs *evidence_sysfs(const Evidence *evidence) {
        return &evidence->worker->sysfs;
}

int evidence_resolve(const Evidence *evidence, const char *link, char **ret_syspath) {
        _cleanup_free_ char *path = NULL;
        const char *below;
        int r;

        r = sysfs_resolve(&evidence->worker->sysfs, link, &path);
        if (r < 0)
                return r;
        below = startswith(path, "/sys/devices/");
        if (!below)
                return -ENOENT;
        (void) memmove(path, path + strlen("/sys"), strlen(path + strlen("/sys")) + 1);

        *ret_syspath = TAKE_PTR(path);
        return 0;
}

/* Finds or makes the record of a key. NULL without memory. */
static Seen *seen_get(Seen **list, const char *key, size_t length) {
        Seen *seen;

        HASH_FIND(hh, *list, key, length, seen);
        if (seen)
                return seen;
        seen = calloc(1, sizeof(*seen) + length + 1);
        if (!seen)
                return NULL;
        memcpy(seen->key, key, length);
        HASH_ADD_KEYPTR(hh, *list, seen->key, length, seen);
        return seen;
}

static int send_chunk(Evidence *evidence) {
        int r;

        if (evidence->send_result < 0 ||
            (json_array_size(evidence->items) == 0 && json_array_size(evidence->unresolved) == 0))
                return evidence->send_result;

        r = worker_send(evidence->worker, json_pack("{s:s, s:O, s:O}", "type", "evidence", "items", evidence->items,
                                                    "unresolved", evidence->unresolved));
        (void) json_array_clear(evidence->items);
        (void) json_array_clear(evidence->unresolved);
        evidence->bytes = 0;
        evidence->send_result = r;
        return r;
}

/* Names on a host are bytes; what is sent is UTF-8 without control characters, and of bounded length. */
static json_t *link_text(const char *link) {
        _cleanup_free_ char *copy = strndup(link, LINK_MAX_BYTES);

        if (!copy)
                return NULL;
        if (!utf8_is_valid(copy))
                for (char *p = copy; *p; p++)
                        if ((unsigned char) *p >= 0x80)
                                *p = '?';
        for (char *p = copy; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        *p = '?';
        return json_string(copy);
}

static json_t *chain_to_json(const char *const *chain, size_t *bytes) {
        json_t *array = json_array();

        for (size_t i = 0; array && chain && chain[i] && i < LINKS_MAX; i++) {
                if (json_array_append_new(array, link_text(chain[i])) < 0) {
                        json_decref(array);
                        return NULL;
                }
                *bytes += strlen(chain[i]) + 3;
        }
        return array;
}

static int append_item(Evidence *evidence, EvidenceVerdict verdict, const char *syspath, const char *code,
                       json_t *chain, size_t bytes) {
        json_t *path = json_text(syspath);
        json_t *item = json_pack("{s:s, s:o, s:s, s:o}", "verdict", evidence_verdict_to_string(verdict), "path", path,
                                 "code", code, "chain", chain);

        if (!item || json_array_append_new(evidence->items, item) < 0)
                return -ENOMEM;
        evidence->bytes += bytes + strlen(syspath) + strlen(code) + 64;
        if (evidence->bytes >= CHUNK_BYTES)
                (void) send_chunk(evidence);
        return 0;
}

/* verdict, path and code, and the chain after a NUL: the whole item as one text. */
static char *item_key(EvidenceVerdict verdict, const char *syspath, const char *code, const char *chain,
                      size_t *ret_length) {
        size_t path_length = strlen(syspath) + 1, code_length = strlen(code) + 1, chain_length = strlen(chain);
        char *key = malloc(1 + path_length + code_length + chain_length);

        if (!key)
                return NULL;
        key[0] = (char) ('0' + (int) verdict);
        memcpy(key + 1, syspath, path_length);
        memcpy(key + 1 + path_length, code, code_length);
        memcpy(key + 1 + path_length + code_length, chain, chain_length);
        *ret_length = 1 + path_length + code_length + chain_length;
        return key;
}

/* False when it was said already. */
static int is_new(Evidence *evidence, EvidenceVerdict verdict, const char *syspath, const char *code, json_t *chain) {
        _cleanup_free_ char *text = json_dumps(chain, JSON_COMPACT), *key = NULL;
        size_t length;
        Seen *seen;

        key = text ? item_key(verdict, syspath, code, text, &length) : NULL;
        seen = key ? seen_get(&evidence->said, key, length) : NULL;
        if (!seen)
                return -ENOMEM;
        return seen->count++ == 0;
}

/* Counts the chains of a path for one code. */
static Seen *count_chain(Evidence *evidence, EvidenceVerdict verdict, const char *syspath, const char *code) {
        _cleanup_free_ char *key = NULL;
        size_t length;
        Seen *counter;

        key = item_key(verdict, syspath, code, "", &length);
        counter = key ? seen_get(&evidence->counters, key, length) : NULL;
        if (!counter)
                return NULL;
        if (counter->count++ == 0) {
                counter->verdict = verdict;
                counter->path = strdup(syspath);
                counter->code = strdup(code);
        }
        return counter->path && counter->code ? counter : NULL;
}

int evidence_add(Evidence *evidence, EvidenceVerdict verdict, const char *syspath, const char *code,
                 const char *const *chain) {
        _cleanup_(json_decrefp) json_t *links = NULL;
        Seen *counter;
        size_t bytes = 0;
        int r;

        if (!startswith(syspath, "/devices/") || !evidence_verdict_to_string(verdict) || isempty(code))
                return -EINVAL;
        links = chain_to_json(chain, &bytes);
        if (!links)
                return -ENOMEM;
        r = is_new(evidence, verdict, syspath, code, links);
        if (r <= 0)
                return r;
        counter = count_chain(evidence, verdict, syspath, code);
        if (!counter)
                return -ENOMEM;
        return counter->count > CHAINS_MAX ? 0
                                           : append_item(evidence, verdict, syspath, code, TAKE_PTR(links), bytes);
}

int evidence_unresolved(Evidence *evidence, EvidenceKind kind, const char *text) {
        json_t *item;
        Seen *seen;

        /* A few are enough to know that, and why. */
        if (evidence->n_unresolved[kind] >= UNRESOLVED_MAX)
                return 0;
        seen = seen_get(&evidence->said, text, strlen(text));
        if (!seen)
                return -ENOMEM;
        if (seen->count++ > 0)
                return 0;
        evidence->n_unresolved[kind]++;
        item = json_pack("{s:s, s:o}", "kind", evidence_kind_to_string(kind), "text", link_text(text));

        if (!item || json_array_append_new(evidence->unresolved, item) < 0)
                return -ENOMEM;
        evidence->bytes += strlen(text) + 32;
        if (evidence->bytes >= CHUNK_BYTES)
                (void) send_chunk(evidence);
        return 0;
}

/* "… and 9984 more" for those whose chains were too many. */
static int add_counts(Evidence *evidence) {
        for (Seen *counter = evidence->counters; counter; counter = counter->hh.next) {
                char text[64];
                json_t *chain;
                int r;

                if (counter->count <= CHAINS_MAX)
                        continue;
                (void) snprintf(text, sizeof(text), "and %zu more", counter->count - CHAINS_MAX);
                chain = json_pack("[s]", text);
                if (!chain)
                        return -ENOMEM;
                r = append_item(evidence, counter->verdict, counter->path, counter->code, chain, sizeof(text));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The order is that in which a person reads it. */
static const struct {
        const char *name;
        int (*collect)(Evidence *evidence);
} collector_table[] = {
        { "storage", evidence_storage },
        { "network", evidence_network },
        { "consoles", evidence_console },
        { "platform", evidence_platform },
        { "input", evidence_input },
        { NULL, NULL },
};

int evidence_run(Worker *worker, json_t *message, int *ret_result, Fault *fault) {
        _cleanup_(evidence_done) Evidence evidence = {
                .worker = worker,
                .items = json_array(),
                .unresolved = json_array(),
                .mounts_result = 1,
        };
        int r = evidence.items && evidence.unresolved ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && collector_table[i].name; i++) {
                r = collector_table[i].collect(&evidence);
                if (r < 0)
                        (void) fault_set(fault, r, FAULT_WORKER_FAILED, "What the host needs of its %s cannot be found out: %s",
                                         collector_table[i].name, strerrordesc_np(-r));
        }
        if (r >= 0)
                r = add_counts(&evidence);
        (void) send_chunk(&evidence);
        *ret_result = r;
        return evidence.send_result;
}
