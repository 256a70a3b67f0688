/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <uthash.h>

#include "evidence-internal.h"
#include "lib/limits.h"
#include "lib/parse.h"

/* What is on the disks of the host: mounts of all namespaces, swap, hibernation, assembled stacks, open nodes. Disks that
 * come over a network (iSCSI, NVMe over TCP or RDMA, file servers) hang on no device of this kind; their network cards are
 * held by the addresses and routes that they have (evidence-network.c). */

/* So many mounts of one device are named, and the others counted; fewer than the chains that are sent of one device. */
#define TARGETS_MAX 12u
#define SWAPS_MAX_BYTES 65536u

/* ---- mounts ---- */

/* Mounts that stand on the same: found together, followed once each until there are enough. */
typedef struct MountGroup {
        UT_hash_handle hh;
        size_t n;
        const Mount *last;
        EvidenceVerdict verdict; /* of those that are only counted */
        char key[];
} MountGroup;

static void free_groups(MountGroup **groups) {
        MountGroup *group, *next;

        HASH_ITER(hh, *groups, group, next) {
                HASH_DEL(*groups, group);
                free(group);
        }
}

static int get_group(MountGroup **groups, const Mount *mount, MountGroup **ret) {
        _cleanup_free_ char *key = NULL;
        MountGroup *group;
        int n;

        if (mount->major_number != 0)
                n = asprintf(&key, "%u:%u", mount->major_number, mount->minor_number);
        else if (streq(mount->type, "zfs")) /* one look at all members for all data sets */
                n = asprintf(&key, "zfs");
        else
                n = asprintf(&key, "%s %s %s", mount->type, mount->source, mount->options);
        if (n < 0) {
                key = NULL;
                return -ENOMEM;
        }
        HASH_FIND(hh, *groups, key, (unsigned) n, group);
        if (!group) {
                group = calloc(1, sizeof(*group) + (size_t) n + 1);
                if (!group)
                        return -ENOMEM;
                memcpy(group->key, key, (size_t) n);
                HASH_ADD_KEYPTR(hh, *groups, group->key, (unsigned) n, group);
        }
        *ret = group;
        return 0;
}

static int add_mount(Storage *storage, EvidenceVerdict verdict, const Mount *mount, const char *top) {
        char text[LINE_MAX];
        int r;

        r = storage_add_mount(storage, verdict, "mount", top, mount);
        if (r != -ENOENT)
                return r;
        (void) snprintf(text, sizeof(text), "%s is a mount of %s (%s, %u:%u), and what that stands on cannot be found", top,
                        mount->source, mount->type, mount->major_number, mount->minor_number);
        return evidence_unresolved(storage_evidence(storage), EVIDENCE_STORAGE, text);
}

/* `process`: one of the namespace, for people; NULL for the host's own. */
static int add_table(Storage *storage, const MountTable *table, const char *process) {
        MountGroup *groups = NULL, *group;
        int r = 0;

        for (size_t i = 0; i < table->n_items && r >= 0; i++) {
                const Mount *mount = &table->items[i];
                /* No right covers the loss of the file system that everything else runs from. */
                EvidenceVerdict verdict = !process && streq(mount->target, "/") ? EVIDENCE_FORBIDDEN : EVIDENCE_CRITICAL;
                _cleanup_free_ char *top = NULL;

                r = get_group(&groups, mount, &group);
                if (r < 0)
                        break;
                group->last = mount;
                if (++group->n > TARGETS_MAX && verdict != EVIDENCE_FORBIDDEN)
                        continue;
                if ((process ? asprintf(&top, "%s of %s", mount->target, process) : asprintf(&top, "%s", mount->target)) < 0)
                        r = -ENOMEM;
                else
                        r = add_mount(storage, verdict, mount, top);
        }
        for (group = groups; group && r >= 0; group = group->hh.next) {
                char top[128];

                if (group->n <= TARGETS_MAX)
                        continue;
                (void) snprintf(top, sizeof(top), "%zu more mounts%s%s", group->n - TARGETS_MAX, process ? " of " : "",
                                strempty(process));
                r = add_mount(storage, EVIDENCE_CRITICAL, group->last, top);
        }
        free_groups(&groups);
        return r;
}

/* Each mount of another namespace that the host's has as well would only be said twice. */
static void remove_known(MountTable *table, const MountTable *host) {
        size_t kept = 0;

        for (size_t i = 0; i < table->n_items; i++) {
                Mount *mount = &table->items[i];
                bool known = mount->major_number == 0 && !streq(mount->type, "btrfs") && !streq(mount->type, "zfs") &&
                             !streq(mount->type, "overlay") && !startswith(mount->source, "/dev/");

                for (size_t k = 0; k < host->n_items && !known && mount->major_number != 0; k++)
                        known = host->items[k].major_number == mount->major_number &&
                                host->items[k].minor_number == mount->minor_number;
                if (known) {
                        free(mount->target);
                        free(mount->type);
                        free(mount->source);
                        free(mount->options);
                } else
                        table->items[kept++] = *mount;
        }
        table->n_items = kept;
}

static int add_namespace(Storage *storage, const MountTable *host, uint32_t pid) {
        const Sysfs *sysfs = evidence_sysfs(storage_evidence(storage));
        _cleanup_mounts_ MountTable table = {};
        char path[64], name[64], process[128], text[LINE_MAX];
        int r;

        (void) snprintf(path, sizeof(path), "/proc/%u/mountinfo", (unsigned) pid);
        r = mount_table_read(sysfs, path, &table);
        if (r == -ENOENT || r == -ESRCH || r == -EINVAL) /* it has ended, or lost its namespace while it ends */
                return 0;
        if (r < 0 && r != -ENOMEM) {
                (void) snprintf(text, sizeof(text), "the mounts of process %u cannot be read: %s", (unsigned) pid,
                                strerrordesc_np(-r));
                return evidence_unresolved(storage_evidence(storage), EVIDENCE_STORAGE, text);
        }
        if (r < 0)
                return r;
        remove_known(&table, host);
        process_name(sysfs, pid, name, sizeof(name));
        (void) snprintf(process, sizeof(process), "process %u (%s)", (unsigned) pid, name);
        return add_table(storage, &table, process);
}

/* ---- what no mount table shows ---- */

typedef struct SuperblockListing {
        Storage *storage;
        const MountTable *host;
        const char *type;
        int result;
} SuperblockListing;

static bool is_mounted(const MountTable *host, unsigned major_number, unsigned minor_number) {
        for (size_t i = 0; i < host->n_items; i++)
                if (host->items[i].major_number == major_number && host->items[i].minor_number == minor_number)
                        return true;
        return false;
}

static void on_superblock(void *userdata, const char *entry) {
        SuperblockListing *listing = userdata;
        char path[sizeof("/sys/class/block//dev") + NAME_MAX], number[32], top[64];
        unsigned major_number, minor_number;

        (void) snprintf(path, sizeof(path), "/sys/class/block/%s/dev", entry);
        if (listing->result < 0 ||
            sysfs_read(evidence_sysfs(storage_evidence(listing->storage)), path, number, sizeof(number)) <= 0 ||
            parse_dev(number, &major_number, &minor_number) < 0 || is_mounted(listing->host, major_number, minor_number))
                return;
        (void) snprintf(top, sizeof(top), "file system (%s) in use", listing->type);
        listing->result = storage_add_number(listing->storage, EVIDENCE_CRITICAL, "mount", top, major_number, minor_number);
        if (listing->result == -ENOENT)
                listing->result = 0;
}

/* A file system that was unmounted lazily lives on while somebody has a file of it open, and one in a namespace without a
 * process as long as the namespace. These types list the devices that they have, "/sys/fs/ext4/sda1". */
static int add_superblocks(Storage *storage, const MountTable *host) {
        static const char *const types[] = { "ext4", "xfs", "f2fs" };
        SuperblockListing listing = { .storage = storage, .host = host };

        for (size_t i = 0; i < ELEMENTSOF(types) && listing.result >= 0; i++) {
                char path[64];

                listing.type = types[i];
                (void) snprintf(path, sizeof(path), "/sys/fs/%s", types[i]);
                (void) sysfs_list(evidence_sysfs(storage_evidence(storage)), path, on_superblock, &listing);
        }
        return listing.result;
}

/* ---- swap and hibernation ---- */

static int add_swap(Storage *storage, char *line) {
        char top[PATH_MAX + 16], *path = strsep(&line, " \t"), *type;
        int r;

        line += line ? strspn(line, " \t") : 0;
        type = line ? strsep(&line, " \t") : NULL;
        if (!path || path[0] != '/' || !type)
                return 0;
        unescape_octal(path);
        (void) snprintf(top, sizeof(top), "swap %s", path);
        r = streq(type, "file") ? storage_add_path(storage, EVIDENCE_CRITICAL, "swap", top, path)
                                : storage_add_source(storage, EVIDENCE_CRITICAL, "swap", top, path);
        if (r != -ENOENT)
                return r;
        (void) snprintf(top, sizeof(top), "what %s stands on cannot be found", path);
        return evidence_unresolved(storage_evidence(storage), EVIDENCE_STORAGE, top);
}

static int add_swaps(Storage *storage) {
        _cleanup_free_ char *text = malloc(SWAPS_MAX_BYTES);
        char *rest = text, *line;
        ssize_t n;
        int r = 0;

        if (!text)
                return -ENOMEM;
        n = sysfs_read(evidence_sysfs(storage_evidence(storage)), "/proc/swaps", text, SWAPS_MAX_BYTES);
        if (n == -ENOENT) /* a kernel without swap */
                return 0;
        if (n < 0)
                return evidence_unresolved(storage_evidence(storage), EVIDENCE_STORAGE, "/proc/swaps cannot be read");
        (void) strsep(&rest, "\n"); /* its head */
        while (r >= 0 && (line = strsep(&rest, "\n")))
                r = add_swap(storage, line);
        return r;
}

static int add_resume(Storage *storage) {
        unsigned major_number, minor_number;
        char text[64];
        int r;

        if (sysfs_read(evidence_sysfs(storage_evidence(storage)), "/sys/power/resume", text, sizeof(text)) <= 0 ||
            parse_dev(text, &major_number, &minor_number) < 0 || major_number == 0)
                return 0;
        r = storage_add_number(storage, EVIDENCE_CRITICAL, "resume", "hibernation", major_number, minor_number);
        return r == -ENOENT ? 0 : r;
}

/* ---- stacks and open nodes ---- */

typedef struct StackListing {
        Storage *storage;
        int result;
} StackListing;

/* The kernel holds what an assembled stack is made of, mounted or not. */
static void on_block(void *userdata, const char *entry) {
        static const struct {
                const char *prefix, *top;
        } kinds[] = {
                { "dm-", "device mapper" },
                { "md", "software RAID" },
                { "bcache", "bcache" },
                { "drbd", "DRBD" },
        };
        StackListing *listing = userdata;
        EvidenceVerdict verdict = EVIDENCE_CRITICAL;

        for (size_t i = 0; i < ELEMENTSOF(kinds) && listing->result >= 0; i++) {
                const char *number = startswith(entry, kinds[i].prefix);
                char path[sizeof("/sys/block//md/array_state") + NAME_MAX], state[64];

                if (!number || *number < '0' || *number > '9')
                        continue;
                (void) snprintf(path, sizeof(path), "/sys/block/%s/md/array_state", entry);
                if (sysfs_read(evidence_sysfs(storage_evidence(listing->storage)), path, state, sizeof(state)) > 0 &&
                    (streq(state, "clear") || streq(state, "inactive")))
                        verdict = EVIDENCE_IN_USE;
                listing->result = storage_add_name(listing->storage, verdict, "stack", kinds[i].top, entry);
                if (listing->result == -ENOENT) /* it has gone */
                        listing->result = 0;
        }
}

static int add_stacks(Storage *storage) {
        StackListing listing = { .storage = storage };
        int r;

        r = sysfs_list(evidence_sysfs(storage_evidence(storage)), "/sys/block", on_block, &listing);
        if (r < 0 && r != -ENOENT)
                return evidence_unresolved(storage_evidence(storage), EVIDENCE_STORAGE, "/sys/block cannot be read");
        return listing.result;
}

/* Tapes, changers and pass-through of commands are no block devices. */
static bool is_storage_character(const char *path) {
        static const char *const prefixes[] = { "/dev/sg", "/dev/st", "/dev/nst", "/dev/sch", "/dev/bsg/", "/dev/ng" };

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
                if (startswith(path, prefixes[i]))
                        return true;
        return false;
}

/* A guest's raw disk or a storage daemon's: taking it away would pull it from under a running process. Who only looks, like
 * a monitor of their health, gets over it. */
static int add_open_node(Storage *storage, const OpenNode *node) {
        Evidence *evidence = storage_evidence(storage);
        EvidenceVerdict verdict = node->writable ? EVIDENCE_CRITICAL : EVIDENCE_IN_USE;
        char name[64], top[128], link[64];
        _cleanup_free_ char *syspath = NULL;
        int r;

        if (!node->is_block && !is_storage_character(node->path))
                return 0;
        process_name(evidence_sysfs(evidence), node->pid, name, sizeof(name));
        (void) snprintf(top, sizeof(top), "process %u (%s)", (unsigned) node->pid, name);
        if (node->is_block)
                r = storage_add_number(storage, verdict, "open", top, node->major_number, node->minor_number);
        else {
                (void) snprintf(link, sizeof(link), "/sys/dev/char/%u:%u", node->major_number, node->minor_number);
                r = evidence_resolve(evidence, link, &syspath);
                if (r < 0)
                        return r == -ENOMEM ? r : 0;
                r = evidence_add(evidence, verdict, syspath, "open", (const char *const[]) { top, node->path, NULL });
        }
        return r == -ENOENT ? 0 : r;
}

static int add_processes(Storage *storage, const MountTable *host, const ProcessTable *processes) {
        char text[128];
        int r = 0;

        for (size_t i = 0; i < processes->n_namespaces && r >= 0; i++)
                if (processes->namespaces[i] != 1) /* its table is the host's */
                        r = add_namespace(storage, host, processes->namespaces[i]);
        for (size_t i = 0; i < processes->n_nodes && r >= 0; i++)
                r = add_open_node(storage, &processes->nodes[i]);
        if (r >= 0 && processes->incomplete)
                r = evidence_unresolved(storage_evidence(storage), EVIDENCE_STORAGE,
                                        "the processes of the host have more mount namespaces and open disks than are looked at");
        if (r < 0 || processes->denied == 0)
                return r;
        (void) snprintf(text, sizeof(text), "what process %u has open cannot be seen", (unsigned) processes->denied);
        return evidence_unresolved(storage_evidence(storage), EVIDENCE_STORAGE, text);
}

int evidence_storage(Evidence *evidence) {
        _cleanup_(storage_freep) Storage *storage = NULL;
        const ProcessTable *processes;
        const MountTable *host;
        int r;

        r = evidence_mounts(evidence, &host);
        if (r < 0 && r != -ENOMEM)
                return evidence_unresolved(evidence, EVIDENCE_STORAGE, "the mounts of the host cannot be read");
        if (r >= 0)
                r = storage_new(evidence, host, &storage);
        if (r >= 0)
                r = add_table(storage, host, NULL);
        if (r >= 0)
                r = add_superblocks(storage, host);
        if (r >= 0)
                r = add_swaps(storage);
        if (r >= 0)
                r = add_resume(storage);
        if (r >= 0)
                r = add_stacks(storage);
        if (r >= 0)
                r = storage_add_boot(storage);
        if (r < 0)
                return r;

        r = evidence_processes(evidence, &processes);
        if (r < 0 && r != -ENOMEM)
                return evidence_unresolved(evidence, EVIDENCE_STORAGE, "the processes of the host cannot be looked at");
        return r < 0 ? r : add_processes(storage, host, processes);
}
