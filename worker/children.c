/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "children.h"

#include <limits.h>
#include <stdio.h>

#include "lib/limits.h"
#include "lib/parse.h"

#define DEPTH_MAX 12u
#define DIRECTORIES_MAX 4096u
#define CHILDREN_MAX 256u

/* Subsystems whose members people and programs know by name. Partitions are found as "block" too, below their disk. */
static const char *const known[] = {
        "block", "drm",  "hidraw", "infiniband", "input", "mdev",  "misc",     "net",        "nvme",
        "rtc",   "scsi_host", "sound", "tpm",    "tty",   "usb",   "video4linux", "watchdog", "mtd",
};

typedef struct Walk {
        const Sysfs *sysfs;
        const char *below;
        json_t *children, *nodes;
        size_t n_directories;
        unsigned depth;
        char path[PATH_MAX]; /* "/sys/devices/…" */
        bool full;
} Walk;

static bool is_known(const char *subsystem) {
        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (streq(known[i], subsystem))
                        return true;
        return false;
}

/* DEVNAME of the uevent file, "" where there is none. */
static void read_node(Walk *walk, size_t length, char ret[static NAME_MAX_BYTES]) {
        char text[ATTRIBUTE_MAX_BYTES], *rest = text, *line;

        ret[0] = '\0';
        if (length + sizeof("/uevent") > sizeof(walk->path))
                return;
        strcpy(walk->path + length, "/uevent");
        if (sysfs_read(walk->sysfs, walk->path, text, sizeof(text)) < 0)
                text[0] = '\0';
        walk->path[length] = '\0';
        while ((line = strsep(&rest, "\n"))) {
                const char *name = startswith(line, "DEVNAME=");

                if (!name)
                        continue;
                name = startswith(name, "/dev/") ?: name;
                if (strlen(name) < NAME_MAX_BYTES - 8 && !strstr(name, "..") && text_is_clean(name, NAME_MAX_BYTES))
                        (void) snprintf(ret, NAME_MAX_BYTES, "/dev/%s", name);
        }
}

static bool read_subsystem(Walk *walk, size_t length, char *buffer, size_t size) {
        bool found;

        if (length + sizeof("/subsystem") > sizeof(walk->path))
                return false;
        strcpy(walk->path + length, "/subsystem");
        found = sysfs_link(walk->sysfs, walk->path, buffer, size) > 0;
        walk->path[length] = '\0';
        return found;
}

/* An event node of a keyboard is no news beside its input device, an interface none beside its USB device. */
static bool is_worth_naming(const char *subsystem, const char *name, const char *node) {
        if (!is_known(subsystem))
                return false;
        if (streq(subsystem, "usb"))
                return !isempty(node);
        if (streq(subsystem, "input"))
                return isempty(node);
        if (streq(subsystem, "sound"))
                return startswith(name, "card");
        if (streq(subsystem, "drm"))
                return !isempty(node);
        return true;
}

static void look_at(Walk *walk, size_t length) {
        const char *name = strrchr(walk->path, '/') + 1;
        char subsystem[64], node[NAME_MAX_BYTES];

        if (!read_subsystem(walk, length, subsystem, sizeof(subsystem)))
                return;
        read_node(walk, length, node);
        if (!isempty(node) && json_array_append_new(walk->nodes, json_string(node)) < 0)
                walk->full = true;
        /* The device itself is known; its node matters. */
        if (walk->depth == 0 || !is_worth_naming(subsystem, name, node))
                return;
        if (json_array_size(walk->children) >= CHILDREN_MAX) {
                walk->full = true;
                return;
        }
        if (json_array_append_new(walk->children, json_pack("{s:s, s:s, s:o, s:o}", "device", walk->below, "subsystem",
                                                            subsystem, "name", json_text(name), "node",
                                                            isempty(node) ? json_null() : json_string(node))) < 0)
                walk->full = true;
}

static void descend(Walk *walk);

static void each_entry(void *userdata, const char *entry) {
        Walk *walk = userdata;
        size_t length = strlen(walk->path), n = strlen(entry);
        char target[8];

        /* Files have names like these too; opening one as a directory fails and costs little. */
        if (walk->full || streq(entry, "power") || streq(entry, "statistics") || streq(entry, "queue") ||
            length + n + 2 > sizeof(walk->path))
                return;
        walk->path[length] = '/';
        memcpy(walk->path + length + 1, entry, n + 1);
        /* Links lead elsewhere: a driver, a subsystem, another device. */
        if (sysfs_link(walk->sysfs, walk->path, target, sizeof(target)) == -EINVAL)
                descend(walk);
        walk->path[length] = '\0';
}

static void descend(Walk *walk) {
        size_t length = strlen(walk->path);
        char beside[16];

        if (walk->depth > DEPTH_MAX)
                return;
        look_at(walk, length);
        /* Another function of PCI below a bridge, a guest's virtual device: has its own name and its own users. */
        if (walk->depth > 0 && read_subsystem(walk, length, beside, sizeof(beside)) && streq(beside, "pci"))
                return;
        walk->depth++;
        if (sysfs_list(walk->sysfs, walk->path, each_entry, walk) >= 0 && ++walk->n_directories > DIRECTORIES_MAX)
                walk->full = true;
        walk->depth--;
}

int children_find(const Sysfs *sysfs, const char *below, json_t *children, json_t *nodes) {
        Walk walk = { .sysfs = sysfs, .below = below, .children = children, .nodes = nodes };

        if (snprintf(walk.path, sizeof(walk.path), "/sys%s", below) >= (int) sizeof(walk.path))
                return -ENAMETOOLONG;
        descend(&walk);
        return 0;
}
