/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holders.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/limits.h"
#include "lib/parse.h"

#define NODES_MAX 1024u
/* With the longest names the answer is still one message. */
#define HOLDERS_MAX 1024u
#define NODE_PATH_MAX 255u

typedef struct Node {
        const char *path;
        const char *base; /* its last component */
        bool is_device;
        unsigned major_number, minor_number;
} Node;

typedef struct Scan {
        const Sysfs *sysfs;
        Node *nodes;
        size_t n_nodes;
        json_t *holders;
        uint32_t denied; /* a process whose files could not be looked at; 0 for none */
} Scan;

/* Without asking a file system that may not answer (FUSE, NFS): what the kernel knows already is enough for
 * a device node. */
static bool read_device_number(int dir_fd, const char *path, unsigned *ret_major, unsigned *ret_minor) {
        struct statx st;

        if (statx(dir_fd, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0)
                return false;
        if (!S_ISCHR(st.stx_mode) && !S_ISBLK(st.stx_mode))
                return false;

        *ret_major = st.stx_rdev_major;
        *ret_minor = st.stx_rdev_minor;
        return true;
}

/* The same name, or the same device under another name of the same last component: a container sees /dev in
 * another place. */
static const Node *match_node(const Scan *scan, int fd_directory, const char *entry, const char *target) {
        const char *base = strrchr(target, '/');
        unsigned major_number, minor_number;

        if (target[0] != '/' || !base)
                return NULL;

        for (size_t i = 0; i < scan->n_nodes; i++) {
                const Node *node = &scan->nodes[i];

                if (streq(target, node->path))
                        return node;
                if (node->is_device && streq(base + 1, node->base) &&
                    read_device_number(fd_directory, entry, &major_number, &minor_number) &&
                    major_number == node->major_number && minor_number == node->minor_number)
                        return node;
        }

        return NULL;
}

/* Slices hold units; the first element that is no slice is the unit. systemd puts "_" before names that
 * would mean something else in a cgroup tree. */
char *unit_from_cgroup(const char *cgroup) {
        _cleanup_free_ char *copy = strdup(cgroup);
        char *lines = copy, *line;

        if (!copy)
                return NULL;

        while ((line = strsep(&lines, "\n"))) {
                char *path = strstr(line, "::"), *element;

                if (!startswith(line, "0::") && !strstr(line, ":name=systemd:"))
                        continue;
                path = path ? path + 2 : strrchr(line, ':') + 1;

                while ((element = strsep(&path, "/"))) {
                        const char *suffix = strrchr(element, '.');

                        if (!suffix || streq(suffix, ".slice"))
                                continue;
                        if (streq(suffix, ".service") || streq(suffix, ".scope"))
                                return strdup(element[0] == '_' ? element + 1 : element);
                        break;
                }
        }

        return NULL;
}

static char *read_unit(const Sysfs *sysfs, const char *pid) {
        char path[64], text[ATTRIBUTE_MAX_BYTES];

        (void) snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
        if (sysfs_read(sysfs, path, text, sizeof(text)) < 0)
                return NULL;

        return unit_from_cgroup(text);
}

static void add_holder(Scan *scan, const char *pid, const Node *node) {
        _cleanup_free_ char *unit = read_unit(scan->sysfs, pid);
        char path[64], comm[64] = "";

        if (json_array_size(scan->holders) >= HOLDERS_MAX)
                return;

        (void) snprintf(path, sizeof(path), "/proc/%s/comm", pid);
        (void) sysfs_read(scan->sysfs, path, comm, sizeof(comm));
        (void) json_array_append_new(scan->holders,
                                     json_pack("{s:I, s:o, s:o, s:s}", "pid",
                                               (json_int_t) strtoll(pid, NULL, 10), "comm", json_text(comm),
                                               "unit", json_text(unit), "node", node->path));
}

static void scan_process(void *userdata, const char *pid) {
        Scan *scan = userdata;
        _cleanup_free_ bool *seen = NULL;
        char path[64], target[PATH_MAX];
        struct dirent *entry;
        uint32_t number;
        DIR *directory;
        int fd;

        if (parse_uint32(pid, &number) < 0 || startswith(pid, "0") || number == (uint32_t) getpid())
                return;

        (void) snprintf(path, sizeof(path), "proc/%s/fd", pid);
        fd = openat(scan->sysfs->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
                /* One that has ended holds nothing; one that may not be looked at may hold anything. */
                if (errno == EACCES || errno == EPERM)
                        scan->denied = number;
                return;
        }
        directory = fdopendir(fd);
        if (!directory) {
                (void) close(fd);
                return;
        }
        seen = calloc(scan->n_nodes + 1, sizeof(*seen));

        while (seen && (entry = readdir(directory))) {
                const Node *node;
                ssize_t n;

                if (entry->d_name[0] == '.')
                        continue;
                n = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
                if (n <= 0)
                        continue;
                target[n] = '\0';

                node = match_node(scan, dirfd(directory), entry->d_name, target);
                if (node && !seen[node - scan->nodes]) {
                        seen[node - scan->nodes] = true;
                        add_holder(scan, pid, node);
                }
        }

        (void) closedir(directory);
}

static int read_nodes(Scan *scan, json_t *message, Fault *fault) {
        json_t *nodes = json_object_get(message, "nodes"), *item;
        size_t i;

        if (!json_is_array(nodes) || json_array_size(nodes) > NODES_MAX)
                return fault_set(fault, -EBADMSG, FAULT_INVALID_ARGUMENT,
                                 "A request for holders needs \"nodes\", a list of at most %u", NODES_MAX);

        scan->nodes = calloc(json_array_size(nodes) + 1, sizeof(*scan->nodes));
        if (!scan->nodes)
                return fault_oom(fault);
        json_array_foreach(nodes, i, item) {
                const char *path = json_string_value(item);
                Node *node = &scan->nodes[i];

                if (!path || !startswith(path, "/dev/") || strstr(path, "/../") ||
                    path[strlen(path) - 1] == '/' || !text_is_clean(path, NODE_PATH_MAX))
                        return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                         "\"%s\" is not the path of a device node", strempty(path));
                node->path = path;
                node->base = strrchr(path, '/') + 1;
                node->is_device = read_device_number(scan->sysfs->root_fd, path + 1, &node->major_number,
                                                     &node->minor_number);
                scan->n_nodes++;
        }

        return 0;
}

int holders_run(Worker *worker, json_t *message, int *ret_result, Fault *fault) {
        Scan scan = { .sysfs = &worker->sysfs, .holders = json_array() };
        int r;

        r = scan.holders ? read_nodes(&scan, message, fault) : fault_oom(fault);
        if (r >= 0) {
                r = sysfs_list(&worker->sysfs, "/proc", scan_process, &scan);
                if (r < 0)
                        (void) fault_set(fault, r, FAULT_WORKER_FAILED,
                                         "Cannot look through the processes: %s", strerrordesc_np(-r));
                else if (scan.denied != 0)
                        r = fault_set(fault, -EACCES, FAULT_WORKER_FAILED,
                                      "What process %u has open cannot be seen; the service needs CAP_SYS_PTRACE and "
                                      "CAP_DAC_READ_SEARCH", (unsigned) scan.denied);
        }
        free(scan.nodes);
        *ret_result = r;
        if (r < 0) {
                json_decref(scan.holders);
                return 0;
        }

        return worker_send(worker, json_pack("{s:s, s:o}", "type", "held", "holders", scan.holders));
}
