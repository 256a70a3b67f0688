/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holders.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "children.h"
#include "lib/limits.h"
#include "lib/parse.h"
#include "lib/protocol.h"

#define NODES_MAX 1024u
#define BELOW_MAX 64u
/* What a process that was given the file descriptor of a device alone has of it; the kernel names no device there. */
#define DEVICE_FILE "anon_inode:[vfio-device]"
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
        json_t *below;   /* directories of devices, "/devices/pci…"; NULL for none */
        bool guess;      /* tell of device files too of which the kernel does not say which device they are */
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

static void add_holder(Scan *scan, const char *pid, const char *node, bool certain) {
        _cleanup_free_ char *unit = read_unit(scan->sysfs, pid);
        char path[64], comm[64] = "";

        if (json_array_size(scan->holders) >= HOLDERS_MAX)
                return;

        (void) snprintf(path, sizeof(path), "/proc/%s/comm", pid);
        (void) sysfs_read(scan->sysfs, path, comm, sizeof(comm));
        (void) json_array_append_new(scan->holders,
                                     json_pack("{s:I, s:o, s:o, s:s, s:b}", "pid",
                                               (json_int_t) strtoll(pid, NULL, 10), "comm", json_text(comm),
                                               "unit", json_text(unit), "node", node, "certain", certain));
}

/* Linux 6.18 and later say in fdinfo which device a VFIO device file is: 1 one of ours, 0 another, -ENODATA not said. */
static int device_file_is_ours(const Scan *scan, const char *pid, const char *entry) {
        char path[NAME_MAX_BYTES + 64], text[ATTRIBUTE_MAX_BYTES], *rest = text, *line;
        json_t *below;
        size_t i;

        (void) snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, entry);
        if (sysfs_read(scan->sysfs, path, text, sizeof(text)) < 0)
                return -ENODATA;
        while ((line = strsep(&rest, "\n"))) {
                const char *syspath = startswith(line, "vfio-device-syspath:");

                if (!syspath)
                        continue;
                syspath += strspn(syspath, " \t");
                syspath = startswith(syspath, "/sys") ?: syspath;
                json_array_foreach(scan->below, i, below)
                        if (streq(syspath, json_string_value(below)))
                                return 1;
                return 0;
        }
        return -ENODATA;
}

static void scan_process(void *userdata, const char *pid) {
        Scan *scan = userdata;
        _cleanup_free_ bool *seen = NULL;
        bool found = false, groups = false, ours = false, unsaid = false;
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

                if (streq(target, DEVICE_FILE)) {
                        int r = device_file_is_ours(scan, pid, entry->d_name);

                        ours |= r == 1;
                        unsaid |= r == -ENODATA;
                        continue;
                }
                groups |= startswith(target, "/dev/vfio/") && !streq(target, "/dev/vfio/vfio");
                node = match_node(scan, dirfd(directory), entry->d_name, target);
                if (node && !seen[node - scan->nodes]) {
                        seen[node - scan->nodes] = true;
                        found = true;
                        add_holder(scan, pid, node->path, true);
                }
        }

        (void) closedir(directory);
        if (found)
                return;
        /* Whoever opened a group itself has it still; one without any was handed the device file, of whichever group. */
        if (ours || (unsaid && !groups && scan->guess))
                add_holder(scan, pid, DEVICE_FILE, ours);
}

static bool is_directory_of_device(const char *path) {
        return path && startswith(path, "/devices/") && !strstr(path, "/..") && text_is_clean(path, TEXT_MAX_BYTES);
}

/* The devices whose directories are given, what is below them, and their nodes. */
static int read_below(Scan *scan, json_t *message, json_t *children, json_t *nodes, Fault *fault) {
        json_t *list = json_object_get(message, "below"), *item;
        size_t i;

        if (!list)
                return 0;
        if (!json_is_array(list) || json_array_size(list) > BELOW_MAX)
                return fault_set(fault, -EBADMSG, FAULT_INVALID_ARGUMENT,
                                 "\"below\" of a request for holders is a list of at most %u directories", BELOW_MAX);
        json_array_foreach(list, i, item) {
                const char *path = json_string_value(item);
                int r;

                if (!is_directory_of_device(path))
                        return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                         "\"%s\" is not the directory of a device", strempty(path));
                r = children_find(scan->sysfs, path, children, nodes);
                if (r < 0)
                        return fault_oom(fault);
        }
        scan->below = list;
        return 0;
}

static int take_node(Scan *scan, const char *path, Fault *fault) {
        Node *node = &scan->nodes[scan->n_nodes];

        if (!path || !startswith(path, "/dev/") || strstr(path, "/../") || path[strlen(path) - 1] == '/' ||
            !text_is_clean(path, NODE_PATH_MAX))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "\"%s\" is not the path of a device node",
                                 strempty(path));
        *node = (Node) { .path = path, .base = strrchr(path, '/') + 1 };
        node->is_device = read_device_number(scan->sysfs->root_fd, path + 1, &node->major_number, &node->minor_number);
        scan->n_nodes++;
        return 0;
}

static int read_nodes(Scan *scan, json_t *message, json_t *found, Fault *fault) {
        json_t *nodes = json_object_get(message, "nodes"), *item;
        size_t i;

        if (!json_is_array(nodes) || json_array_size(nodes) > NODES_MAX)
                return fault_set(fault, -EBADMSG, FAULT_INVALID_ARGUMENT,
                                 "A request for holders needs \"nodes\", a list of at most %u", NODES_MAX);

        scan->nodes = calloc(json_array_size(nodes) + json_array_size(found) + 1, sizeof(*scan->nodes));
        if (!scan->nodes)
                return fault_oom(fault);
        json_array_foreach(nodes, i, item) {
                int r = take_node(scan, json_string_value(item), fault);

                if (r < 0)
                        return r;
        }
        /* What the host itself names is left out where we could not search for it. */
        json_array_foreach(found, i, item)
                if (scan->n_nodes < NODES_MAX)
                        (void) take_node(scan, json_string_value(item), NULL);
        return 0;
}

int holders_run(Worker *worker, json_t *message, int *ret_result, Fault *fault) {
        _cleanup_json_ json_t *children = json_array(), *found = json_array(), *holders = json_array();
        Scan scan = {
                .sysfs = &worker->sysfs,
                .guess = json_is_true(json_object_get(message, "guess")),
                .holders = holders,
        };
        int r = children && found && holders ? 0 : fault_oom(fault);

        if (r >= 0)
                r = read_below(&scan, message, children, found, fault);
        if (r >= 0)
                r = read_nodes(&scan, message, found, fault);
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
        if (r < 0)
                return 0;

        return worker_send(worker,
                           json_pack("{s:s, s:O, s:O}", "type", "held", "holders", holders, "children", children));
}
