/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "opener.h"

#include <limits.h>
#include <stdio.h>

#include "lib/parse.h"

#define NODES_MAX 256u

typedef struct Node {
        const OpenerKind *kind;
        char name[64];
        char program[64]; /* who has it open; "" for nobody */
} Node;

typedef struct Scan {
        const Sysfs *sysfs;
        Node nodes[NODES_MAX];
        size_t n_nodes;
        const OpenerKind *kind; /* while nodes are listed */
        int directory_fd;
        const char *pid;
} Scan;

/* The name of the node without what all of the kind have in common is a number. */
static bool is_of_kind(const OpenerKind *kind, const char *name) {
        const char *rest = startswith(name, strrchr(kind->node, '/') + 1);

        return rest && rest[0] != '\0' && rest[strspn(rest, "0123456789")] == '\0';
}

static void take_node(void *userdata, const char *entry) {
        Scan *scan = userdata;
        Node *node = &scan->nodes[scan->n_nodes];

        if (scan->n_nodes >= NODES_MAX || strlen(entry) >= sizeof(node->name) || !is_of_kind(scan->kind, entry))
                return;
        *node = (Node) { .kind = scan->kind };
        strcpy(node->name, entry);
        scan->n_nodes++;
}

static void take_fd(void *userdata, const char *entry) {
        char target[128], path[64], comm[32];
        Scan *scan = userdata;
        ssize_t n = readlinkat(scan->directory_fd, entry, target, sizeof(target) - 1);
        const char *base;

        if (n <= 5)
                return;
        target[n] = '\0';
        base = startswith(target, "/dev/") ? strrchr(target, '/') + 1 : NULL;
        for (size_t i = 0; base && i < scan->n_nodes; i++) {
                Node *node = &scan->nodes[i];

                if (!streq(node->name, base) || !startswith(target, node->kind->node) || node->program[0] != '\0')
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/%s/comm", scan->pid);
                if (sysfs_read(scan->sysfs, path, comm, sizeof(comm)) <= 0)
                        strcpy(comm, "?");
                (void) snprintf(node->program, sizeof(node->program), "%s (process %.10s)", comm, scan->pid);
        }
}

static void take_process(void *userdata, const char *entry) {
        Scan *scan = userdata;
        char path[64];
        uint32_t pid;

        if (parse_uint32(entry, &pid) < 0)
                return;
        (void) snprintf(path, sizeof(path), "proc/%u/fd", pid);
        scan->directory_fd = openat(scan->sysfs->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (scan->directory_fd < 0)
                return;
        scan->pid = entry;
        (void) sysfs_list_at(scan->directory_fd, ".", take_fd, scan);
        scan->directory_fd = close_fd(scan->directory_fd);
}

/* The folder of `place`, which all nodes of the kind are listed in. */
static void list_nodes(Scan *scan, const OpenerKind *kind) {
        char folder[128];

        (void) snprintf(folder, sizeof(folder), "%.*s", (int) (strstr(kind->place, "/%s") - kind->place), kind->place);
        scan->kind = kind;
        (void) sysfs_list(scan->sysfs, folder, take_node, scan);
}

int openers_find(Evidence *evidence, const OpenerKind *kinds, size_t n_kinds,
                 int (*each)(void *userdata, const OpenerKind *kind, const char *name, const char *place,
                             const char *program),
                 void *userdata) {
        _cleanup_free_ Scan *scan = calloc(1, sizeof(*scan));
        char place[256];
        int r = 0;

        if (!scan)
                return -ENOMEM;
        scan->sysfs = evidence_sysfs(evidence);
        for (size_t i = 0; i < n_kinds; i++)
                list_nodes(scan, &kinds[i]);
        if (scan->n_nodes == 0)
                return 0;

        (void) sysfs_list(scan->sysfs, "/proc", take_process, scan);
        for (size_t i = 0; i < scan->n_nodes && r >= 0; i++) {
                const char *end = strstr(scan->nodes[i].kind->place, "/%s");

                if (scan->nodes[i].program[0] == '\0')
                        continue;
                (void) snprintf(place, sizeof(place), "%.*s/%s%s", (int) (end - scan->nodes[i].kind->place),
                                scan->nodes[i].kind->place, scan->nodes[i].name, end + 3);
                r = each(userdata, scan->nodes[i].kind, scan->nodes[i].name, place, scan->nodes[i].program);
        }
        return r;
}

static int add_opener(void *userdata, const OpenerKind *kind, const char *name, const char *place, const char *program) {
        const char *const chain[] = { program, name, NULL };
        _cleanup_free_ char *path = NULL;
        int r;

        r = evidence_resolve(userdata, place, &path);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return evidence_add(userdata, kind->verdict, path, kind->code, chain);
}

int openers_judge(Evidence *evidence, const OpenerKind *kinds, size_t n_kinds) {
        return openers_find(evidence, kinds, n_kinds, add_opener, evidence);
}
