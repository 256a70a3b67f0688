/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "opener.h"

#include <limits.h>
#include <stdio.h>

#include "lib/parse.h"

/* The name of the node without what all of the kind have in common is a number. */
static const OpenerKind *kind_of(const OpenerKind *kinds, size_t n_kinds, const char *path) {
        for (size_t i = 0; i < n_kinds; i++) {
                const char *rest = startswith(path, kinds[i].node);

                if (rest && rest[0] != '\0' && rest[strspn(rest, "0123456789")] == '\0')
                        return &kinds[i];
        }
        return NULL;
}

static bool is_known(const OpenNode *const *known, size_t n, const char *path) {
        for (size_t i = 0; i < n; i++)
                if (streq(known[i]->path, path))
                        return true;
        return false;
}

static int unseen(Evidence *evidence, const ProcessTable *processes, EvidenceKind suspect) {
        char text[128];

        if (processes->incomplete)
                return evidence_unresolved(evidence, suspect, "more device nodes are open than are looked at");
        if (processes->denied == 0)
                return 0;
        (void) snprintf(text, sizeof(text), "the device nodes that process %u has open cannot be seen",
                        (unsigned) processes->denied);
        return evidence_unresolved(evidence, suspect, text);
}

int openers_find(Evidence *evidence, const OpenerKind *kinds, size_t n_kinds, EvidenceKind suspect,
                 int (*each)(void *userdata, const OpenerKind *kind, const char *name, const char *place,
                             const char *program),
                 void *userdata) {
        _cleanup_free_ const OpenNode **known = NULL;
        const ProcessTable *processes;
        size_t n_known = 0;
        int r;

        r = evidence_processes(evidence, &processes);
        if (r < 0)
                return r == -ENOMEM ? r
                                    : evidence_unresolved(evidence, suspect, "the processes of the host cannot be looked at");
        known = calloc(processes->n_nodes + 1, sizeof(*known));
        if (!known)
                return -ENOMEM;
        for (size_t i = 0; i < processes->n_nodes && r >= 0; i++) {
                const OpenNode *node = &processes->nodes[i];
                const OpenerKind *kind = kind_of(kinds, n_kinds, node->path);
                char name[64], place[256], comm[32], program[64];
                const char *end;

                if (!kind || is_known(known, n_known, node->path))
                        continue;
                known[n_known++] = node;
                (void) snprintf(name, sizeof(name), "%s", strrchr(node->path, '/') + 1);
                end = strstr(kind->place, "/%s");
                (void) snprintf(place, sizeof(place), "%.*s/%s%s", (int) (end - kind->place), kind->place, name, end + 3);
                process_name(evidence_sysfs(evidence), node->pid, comm, sizeof(comm));
                (void) snprintf(program, sizeof(program), "%s (process %u)", comm, (unsigned) node->pid);
                r = each(userdata, kind, name, place, program);
        }
        return r < 0 ? r : unseen(evidence, processes, suspect);
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

int openers_judge(Evidence *evidence, const OpenerKind *kinds, size_t n_kinds, EvidenceKind suspect) {
        return openers_find(evidence, kinds, n_kinds, suspect, add_opener, evidence);
}
