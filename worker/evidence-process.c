/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "evidence-internal.h"
#include "lib/limits.h"
#include "lib/parse.h"

#define NODES_MAX 65536u
#define NAMESPACES_MAX 4096u

typedef struct Reading {
        const Sysfs *sysfs;
        ProcessTable table;
        char (*seen)[64]; /* names of mount namespaces, "mnt:[4026531841]" */
        size_t n_seen;
        int result;
} Reading;

void process_table_done(ProcessTable *table) {
        for (size_t i = 0; i < table->n_nodes; i++)
                free(table->nodes[i].path);
        free(table->nodes);
        free(table->namespaces);
        *table = (ProcessTable){};
}

void process_name(const Sysfs *sysfs, uint32_t pid, char *buffer, size_t size) {
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%u/comm", (unsigned) pid);
        if (sysfs_read(sysfs, path, buffer, size) <= 0)
                (void) snprintf(buffer, size, "?");
}

/* "flags:\t0100002" in octal. Open for writing, or exclusively. */
static bool is_writable(const Sysfs *sysfs, uint32_t pid, const char *fd) {
        char path[64 + NAME_MAX], text[1024], *flags;
        unsigned long value;

        (void) snprintf(path, sizeof(path), "/proc/%u/fdinfo/%s", (unsigned) pid, fd);
        if (sysfs_read(sysfs, path, text, sizeof(text)) < 0)
                return true; /* what can't be seen counts */
        flags = strstr(text, "flags:");
        if (!flags)
                return true;
        value = strtoul(flags + strlen("flags:"), NULL, 8);
        return (value & O_ACCMODE) != O_RDONLY || value & O_EXCL;
}

/* Character devices that somebody asks about (evidence-storage.c, and the tables of opener.h). Anybody may have thousands of
 * others open. */
static bool is_known_character(const char *path) {
        static const char *const prefixes[] = {
                "/dev/sg", "/dev/st", "/dev/nst", "/dev/sch", "/dev/bsg/", "/dev/ng", "/dev/dri/", "/dev/infiniband/",
                "/dev/uio", "/dev/ttyUSB", "/dev/ttyACM",
        };

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
                if (startswith(path, prefixes[i]))
                        return true;
        return false;
}

static void add_node(Reading *reading, uint32_t pid, int directory_fd, const char *fd, const char *target) {
        ProcessTable *table = &reading->table;
        struct statx st = {};
        bool is_block;

        /* What the kernel knows already: nothing is asked of a file system that may not answer. */
        is_block = statx(directory_fd, fd, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &st) >= 0 && S_ISBLK(st.stx_mode);
        if (!is_block && !is_known_character(target))
                return;
        if (table->n_nodes >= NODES_MAX) {
                table->incomplete = true;
                return;
        }
        /* Grows in powers of two. */
        if ((table->n_nodes & (table->n_nodes - 1)) == 0) {
                OpenNode *nodes = reallocarray(table->nodes, MAX_OF(table->n_nodes * 2, (size_t) 1), sizeof(*nodes));

                if (!nodes) {
                        reading->result = -ENOMEM;
                        return;
                }
                table->nodes = nodes;
        }
        table->nodes[table->n_nodes] = (OpenNode){
                .pid = pid,
                .path = strdup(target),
                .is_block = is_block,
                .writable = is_writable(reading->sysfs, pid, fd),
                .major_number = st.stx_rdev_major,
                .minor_number = st.stx_rdev_minor,
        };
        if (table->nodes[table->n_nodes].path)
                table->n_nodes++;
        else
                reading->result = -ENOMEM;
}

/* Terminals and the like, of which every process has some, say nothing about a device. */
static bool is_of_interest(const char *target) {
        static const char *const boring[] = { "null", "zero", "random", "urandom", "full", "tty", "ptmx", "fuse", "console", "kmsg", "pts/", "shm/" };
        const char *name = startswith(target, "/dev/");

        for (size_t i = 0; name && i < ELEMENTSOF(boring); i++) {
                const char *rest = startswith(name, boring[i]);

                if (rest && (*rest == '\0' || boring[i][strlen(boring[i]) - 1] == '/'))
                        return false;
        }
        return name;
}

static void read_files(Reading *reading, uint32_t pid) {
        char path[64], target[PATH_MAX];
        struct dirent *entry;
        DIR *directory;
        int fd;

        (void) snprintf(path, sizeof(path), "proc/%u/fd", (unsigned) pid);
        fd = openat(reading->sysfs->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
                if (errno == EACCES || errno == EPERM)
                        reading->table.denied = pid;
                return;
        }
        directory = fdopendir(fd);
        if (!directory) {
                (void) close(fd);
                return;
        }
        while ((entry = readdir(directory))) {
                ssize_t n = entry->d_name[0] == '.' ? 0
                                                    : readlinkat(fd, entry->d_name, target, sizeof(target) - 1);

                if (n <= 0)
                        continue;
                target[n] = '\0';
                if (is_of_interest(target))
                        add_node(reading, pid, fd, entry->d_name, target);
        }
        (void) closedir(directory);
}

static void read_namespace(Reading *reading, uint32_t pid) {
        ProcessTable *table = &reading->table;
        char path[64], name[64];

        (void) snprintf(path, sizeof(path), "/proc/%u/ns/mnt", (unsigned) pid);
        if (sysfs_link(reading->sysfs, path, name, sizeof(name)) < 0)
                return;
        for (size_t i = 0; i < reading->n_seen; i++)
                if (streq(reading->seen[i], name))
                        return;
        if (reading->n_seen >= NAMESPACES_MAX) {
                table->incomplete = true;
                return;
        }
        if ((reading->n_seen & (reading->n_seen - 1)) == 0) {
                size_t allocated = MAX_OF(reading->n_seen * 2, (size_t) 1);
                void *seen = reallocarray(reading->seen, allocated, sizeof(reading->seen[0]));
                uint32_t *namespaces = seen ? reallocarray(table->namespaces, allocated, sizeof(uint32_t)) : NULL;

                if (seen)
                        reading->seen = seen;
                if (!namespaces) {
                        reading->result = -ENOMEM;
                        return;
                }
                table->namespaces = namespaces;
        }
        memcpy(reading->seen[reading->n_seen++], name, sizeof(name));
        table->namespaces[table->n_namespaces++] = pid;
}

static void read_process(void *userdata, const char *entry) {
        Reading *reading = userdata;
        uint32_t pid;

        if (entry[0] < '1' || entry[0] > '9' || parse_uint32(entry, &pid) < 0 || reading->result < 0)
                return;
        read_namespace(reading, pid);
        if (pid != (uint32_t) getpid())
                read_files(reading, pid);
}

int process_table_read(const Sysfs *sysfs, ProcessTable *ret) {
        Reading reading = { .sysfs = sysfs };
        int r;

        read_namespace(&reading, 1);
        r = sysfs_list(sysfs, "/proc", read_process, &reading);
        free(reading.seen);
        if (r >= 0)
                r = reading.result;
        if (r < 0) {
                process_table_done(&reading.table);
                return r;
        }
        *ret = reading.table;
        return 0;
}
