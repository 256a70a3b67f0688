/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <uthash.h>

#include "evidence-internal.h"
#include "lib/limits.h"
#include "lib/parse.h"

/* Deeper stacks than that are none: something goes in circles. */
#define DEPTH_MAX 24u
#define SYS_PATH_SIZE (PATH_MAX + 256)

/* A block device, read once for each collection however many mounts are on it. */
typedef struct BlockNode {
        UT_hash_handle hh;
        char *label;    /* "dm-0 (LVM vg0-root)" */
        char **below;   /* what it stands on: "/devices/…" */
        size_t n_below;
        char *file;     /* loop: the file on the host that it stands on */
        bool hardware;  /* its path leads to what it is made of */
        char *dangling; /* a link to something below that is not there */
        char syspath[];
} BlockNode;

/* A mounted btrfs: its superblock has no device number, and its mounts name one member at most. */
typedef struct Btrfs {
        char **members; /* "sda3" */
        size_t n_members;
} Btrfs;

struct Storage {
        Evidence *evidence;
        const MountTable *host; /* borrowed */
        BlockNode *nodes;
        Btrfs *btrfs;
        size_t n_btrfs;
        int result; /* of what lists entries */
};

typedef struct Walk {
        Storage *storage;
        EvidenceVerdict verdict;
        const char *code;
        Chain chain;
        unsigned depth;
        const void **visited; /* each device and mount once, though several ways lead to it or back */
        size_t n_visited;
} Walk;

Evidence *storage_evidence(const Storage *storage) {
        return storage->evidence;
}

static const char *base_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static int append_text(char ***list, size_t *n, const char *text) {
        char **items = reallocarray(*list, *n + 1, sizeof(char *));

        if (!items)
                return -ENOMEM;
        *list = items;
        items[*n] = strdup(text);
        if (!items[*n])
                return -ENOMEM;
        (*n)++;
        return 0;
}

static void free_texts(char **list, size_t n) {
        for (size_t i = 0; i < n; i++)
                free(list[i]);
        free(list);
}

/* ---- one block device ---- */

static ssize_t read_below(Storage *storage, const char *syspath, const char *name, char *buffer, size_t size) {
        char path[SYS_PATH_SIZE];

        (void) snprintf(path, sizeof(path), "/sys%s/%s", syspath, name);
        return sysfs_read(evidence_sysfs(storage->evidence), path, buffer, size);
}

static bool exists_below(Storage *storage, const char *syspath, const char *name) {
        char path[SYS_PATH_SIZE];

        (void) snprintf(path, sizeof(path), "/sys%s/%s", syspath, name);
        return sysfs_exists(evidence_sysfs(storage->evidence), path);
}

/* Device mapper: what it is follows from how its uuid begins. */
static const char *mapper_kind(const char *uuid) {
        static const struct {
                const char *prefix, *kind;
        } kinds[] = {
                { "LVM-", "LVM " },           { "CRYPT-", "crypt " },  { "mpath-", "multipath " },
                { "DMRAID-", "RAID " },       { "part", "partition " }, { "VDO-", "VDO " },
        };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (startswith(uuid, kinds[i].prefix))
                        return kinds[i].kind;
        return "";
}

static char *make_label(Storage *storage, const char *syspath) {
        char first[ATTRIBUTE_MAX_BYTES] = "", second[ATTRIBUTE_MAX_BYTES] = "", *label = NULL;
        const char *name = base_name(syspath);
        int n;

        if (read_below(storage, syspath, "dm/name", first, sizeof(first)) > 0) {
                (void) read_below(storage, syspath, "dm/uuid", second, sizeof(second));
                n = asprintf(&label, "%s (%s%s)", name, mapper_kind(second), first);
        } else if (read_below(storage, syspath, "md/level", first, sizeof(first)) > 0)
                n = asprintf(&label, "%s (%s)", name, first);
        else if (read_below(storage, syspath, "loop/backing_file", first, sizeof(first)) > 0)
                n = asprintf(&label, "%s (%s)", name, first);
        else
                return strdup(name);
        return n < 0 ? NULL : label;
}

typedef struct Listing {
        Storage *storage;
        BlockNode *node;
        const char *directory; /* "/sys/devices/…/slaves" */
} Listing;

static void add_below(Listing *listing, const char *entry) {
        BlockNode *node = listing->node;
        _cleanup_free_ char *target = NULL;
        char link[SYS_PATH_SIZE];
        int r;

        (void) snprintf(link, sizeof(link), "%s/%s", listing->directory, entry);
        r = evidence_resolve(listing->storage->evidence, link, &target);
        if (r >= 0)
                r = append_text(&node->below, &node->n_below, target);
        else if (r != -ENOMEM) {
                free(node->dangling);
                node->dangling = strdup(entry);
                r = node->dangling ? 0 : -ENOMEM;
        }
        if (r < 0)
                listing->storage->result = r;
}

static void on_slave(void *userdata, const char *entry) {
        add_below(userdata, entry);
}

/* "nvme0", a controller, beside "nvme0n1", the namespace that all its controllers lead to. */
static void on_controller(void *userdata, const char *entry) {
        const char *number = startswith(entry, "nvme");

        if (number && *number != '\0' && strspn(number, "0123456789") == strlen(number))
                add_below(userdata, entry);
}

static int list_below(Storage *storage, BlockNode *node, const char *directory,
                      void (*each)(void *userdata, const char *entry)) {
        Listing listing = { .storage = storage, .node = node, .directory = directory };
        int r;

        r = sysfs_list(evidence_sysfs(storage->evidence), directory, each, &listing);
        if (r >= 0 || r == -ENOENT || r == -ENOTDIR)
                return 0;
        free(node->dangling);
        node->dangling = strdup(base_name(directory));
        return node->dangling ? 0 : -ENOMEM;
}

static char *parent_of(const char *syspath) {
        return strndup(syspath, (size_t) (base_name(syspath) - 1 - syspath));
}

/* Only what the kernel makes up has to be followed: all others are in the directory of what they are made of. */
static int load_virtual(Storage *storage, BlockNode *node) {
        char path[SYS_PATH_SIZE], text[ATTRIBUTE_MAX_BYTES];
        int r;

        if (exists_below(storage, node->syspath, "partition")) {
                _cleanup_free_ char *disk = parent_of(node->syspath);

                return disk ? append_text(&node->below, &node->n_below, disk) : -ENOMEM;
        }
        if (startswith(node->syspath, "/devices/virtual/nvme-subsystem/")) {
                _cleanup_free_ char *subsystem = parent_of(node->syspath);

                if (!subsystem)
                        return -ENOMEM;
                (void) snprintf(path, sizeof(path), "/sys%s", subsystem);
                return list_below(storage, node, path, on_controller);
        }
        if (read_below(storage, node->syspath, "loop/backing_file", text, sizeof(text)) > 0) {
                node->file = strdup(text);
                return node->file ? 0 : -ENOMEM;
        }
        if (read_below(storage, node->syspath, "backing_dev", text, sizeof(text)) > 0 && startswith(text, "/dev/")) {
                _cleanup_free_ char *target = NULL;

                (void) snprintf(path, sizeof(path), "/sys/class/block/%s", base_name(text)); /* zram */
                r = evidence_resolve(storage->evidence, path, &target);
                return r < 0 ? (r == -ENOMEM ? r : 0) : append_text(&node->below, &node->n_below, target);
        }

        (void) snprintf(path, sizeof(path), "/sys%s/slaves", node->syspath);
        return list_below(storage, node, path, on_slave);
}

static void node_free(BlockNode *node) {
        free_texts(node->below, node->n_below);
        free(node->label);
        free(node->file);
        free(node->dangling);
        free(node);
}

static int get_node(Storage *storage, const char *syspath, BlockNode **ret) {
        size_t length = strlen(syspath);
        BlockNode *node;
        int r = 0;

        HASH_FIND_STR(storage->nodes, syspath, node);
        if (!node) {
                node = calloc(1, sizeof(*node) + length + 1);
                if (!node)
                        return -ENOMEM;
                memcpy(node->syspath, syspath, length + 1);
                node->hardware = !startswith(syspath, "/devices/virtual/");
                node->label = make_label(storage, syspath);
                if (!node->label)
                        r = -ENOMEM;
                else if (!node->hardware)
                        r = load_virtual(storage, node);
                if (r >= 0)
                        r = storage->result;
                if (r < 0) {
                        node_free(node);
                        return r;
                }
                HASH_ADD_STR(storage->nodes, syspath, node);
        }
        *ret = node;
        return 0;
}

/* ---- down to the hardware ---- */

static int descend(Walk *walk, const char *syspath);
static int descend_mount(Walk *walk, const Mount *mount);

static int descend_path(Walk *walk, const char *path) {
        const Mount *mount = mount_table_find(walk->storage->host, path);

        return mount ? descend_mount(walk, mount) : -ENOENT;
}

static int unresolved(Walk *walk, const BlockNode *node, const char *what) {
        char text[LINE_MAX];

        (void) snprintf(text, sizeof(text), "%s (%s) stands on %s, which cannot be found",
                        walk->chain.n > 0 ? walk->chain.links[0] : "", node->label, what);
        return evidence_unresolved(walk->storage->evidence, EVIDENCE_STORAGE, text);
}

/* 1 the first time, 0 when a way led there before. */
static int visit(Walk *walk, const void *place) {
        for (size_t i = 0; i < walk->n_visited; i++)
                if (walk->visited[i] == place)
                        return 0;
        if ((walk->n_visited & (walk->n_visited - 1)) == 0) {
                void *visited = reallocarray(walk->visited, MAX_OF(walk->n_visited * 2, (size_t) 1), sizeof(void *));

                if (!visited)
                        return -ENOMEM;
                walk->visited = visited;
        }
        walk->visited[walk->n_visited++] = place;
        return 1;
}

static int descend_node(Walk *walk, BlockNode *node) {
        int r = 0;

        if (node->hardware)
                return evidence_add(walk->storage->evidence, walk->verdict, node->syspath, walk->code, walk->chain.links);
        if (node->dangling)
                r = unresolved(walk, node, node->dangling);
        if (r >= 0 && node->file) {
                r = descend_path(walk, node->file);
                /* A file that was deleted, or one of a namespace that nobody sees. */
                if (r == -ENOENT)
                        r = unresolved(walk, node, node->file);
        }
        for (size_t i = 0; i < node->n_below && r >= 0; i++)
                r = descend(walk, node->below[i]);
        return r;
}

static int descend(Walk *walk, const char *syspath) {
        size_t n = walk->chain.n;
        BlockNode *node;
        int r;

        r = get_node(walk->storage, syspath, &node);
        if (r < 0)
                return r;
        r = visit(walk, node);
        if (r <= 0)
                return r;
        if (walk->depth >= DEPTH_MAX)
                return unresolved(walk, node, "a stack without an end");

        /* In a longer chain the lowest links are what matters less. */
        if (walk->chain.n < CHAIN_MAX)
                walk->chain.links[walk->chain.n++] = node->label;
        walk->chain.links[walk->chain.n] = NULL;
        walk->depth++;
        r = descend_node(walk, node);
        walk->depth--;
        walk->chain.n = n;
        walk->chain.links[n] = NULL;
        return r;
}

static int descend_link(Walk *walk, const char *link) {
        _cleanup_free_ char *syspath = NULL;
        int r;

        r = evidence_resolve(walk->storage->evidence, link, &syspath);
        if (r == -ENOMEM)
                return r;
        /* A link in a circle or to nowhere leads to no device either; it must not hide what all others lead to. */
        return r < 0 ? -ENOENT : descend(walk, syspath);
}

static int descend_name(Walk *walk, const char *name) {
        char link[PATH_MAX];

        if (strlen(name) > NAME_MAX || strchr(name, '/'))
                return -ENOENT;
        (void) snprintf(link, sizeof(link), "/sys/class/block/%s", name);
        return descend_link(walk, link);
}

static int descend_number(Walk *walk, unsigned major_number, unsigned minor_number) {
        char link[64];

        (void) snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major_number, minor_number);
        return descend_link(walk, link);
}

/* ---- by what people write ---- */

static const struct {
        const char *prefix, *directory;
} tag_table[] = {
        { "UUID=", "/dev/disk/by-uuid/" },
        { "PARTUUID=", "/dev/disk/by-partuuid/" },
        { "LABEL=", "/dev/disk/by-label/" },
        { "PARTLABEL=", "/dev/disk/by-partlabel/" },
};

/* The name of the block device that a source means, as sysfs has it. */
static int source_name(Storage *storage, const char *source, char name[static NAME_MAX + 1]) {
        char path[PATH_MAX];
        const char *value = source;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "%s", source);
        for (size_t i = 0; i < ELEMENTSOF(tag_table); i++)
                if ((value = startswith(source, tag_table[i].prefix))) {
                        (void) snprintf(path, sizeof(path), "%s%s", tag_table[i].directory, value);
                        break;
                }
        if (!startswith(path, "/dev/"))
                return -ENOENT;
        n = sysfs_link(evidence_sysfs(storage->evidence), path, name, NAME_MAX + 1);
        if (n >= 0)
                return 0;
        if (n == -ENOENT && !streq(path, source))
                return -ENOENT;
        if (strlen(path) - strlen("/dev/") > NAME_MAX)
                return -ENOENT;
        memcpy(name, path + strlen("/dev/"), strlen(path) - strlen("/dev/") + 1);
        for (char *p = name; *p; p++)
                if (*p == '/')
                        *p = '!';
        return 0;
}

static int descend_source(Walk *walk, const char *source) {
        char name[NAME_MAX + 1];
        int r;

        r = source_name(walk->storage, source, name);
        return r < 0 ? r : descend_name(walk, name);
}

/* ---- file systems without a device number ---- */

static bool is_btrfs_member(Storage *storage, const Btrfs *btrfs, const char *source) {
        char name[NAME_MAX + 1];

        if (source_name(storage, source, name) < 0)
                return false;
        for (size_t i = 0; i < btrfs->n_members; i++)
                if (streq(btrfs->members[i], name))
                        return true;
        return false;
}

/* Where the source tells nothing, it may be any of them. */
static int descend_btrfs(Walk *walk, const Mount *mount) {
        Storage *storage = walk->storage;
        bool known = false, any = false;
        int r = 0;

        for (size_t i = 0; i < storage->n_btrfs && !known; i++)
                known = is_btrfs_member(storage, &storage->btrfs[i], mount->source);
        for (size_t i = 0; i < storage->n_btrfs && r >= 0; i++) {
                if (known && !is_btrfs_member(storage, &storage->btrfs[i], mount->source))
                        continue;
                for (size_t k = 0; k < storage->btrfs[i].n_members && r >= 0; k++) {
                        r = descend_name(walk, storage->btrfs[i].members[k]);
                        any |= r >= 0;
                        if (r == -ENOENT)
                                r = 0;
                }
        }
        return r < 0 ? r : any ? 0 : -ENOENT;
}

typedef struct MemberSearch {
        Walk *walk;
        const char *type;
        bool any;
        int result;
} MemberSearch;

static void on_device_record(void *userdata, const char *entry) {
        MemberSearch *search = userdata;
        char path[sizeof("/run/udev/data/b") + NAME_MAX], text[16384], *line, *rest = text;
        unsigned major_number, minor_number;

        if (search->result < 0 || parse_dev(entry, &major_number, &minor_number) < 0)
                return;
        (void) snprintf(path, sizeof(path), "/run/udev/data/b%s", entry);
        if (sysfs_read(evidence_sysfs(search->walk->storage->evidence), path, text, sizeof(text)) < 0)
                return;
        while ((line = strsep(&rest, "\n"))) {
                const char *type = startswith(line, "E:ID_FS_TYPE=");

                if (!type || !streq(type, search->type))
                        continue;
                search->any = true;
                search->result = descend_number(search->walk, major_number, minor_number);
        }
}

/* A pool does not say what it is made of, so every member of any pool counts. */
static int descend_zfs(Walk *walk) {
        MemberSearch search = { .walk = walk, .type = "zfs_member" };

        (void) sysfs_list(evidence_sysfs(walk->storage->evidence), "/sys/dev/block", on_device_record, &search);
        if (search.result < 0 && search.result != -ENOENT)
                return search.result;
        return search.any ? 0 : -ENOENT;
}

/* A list of paths, with backslashes before colons that are meant. */
static int descend_paths(Walk *walk, char *paths) {
        char *to = paths, *start = paths;
        int r = 0;

        for (const char *from = paths; r >= 0 && from; from++) {
                if (*from == '\\' && from[1] != '\0') {
                        *to++ = *++from;
                        continue;
                }
                if (*from != ':' && *from != '\0') {
                        *to++ = *from;
                        continue;
                }
                bool end = *from == '\0';

                *to = '\0';
                if (start[0] == '/')
                        r = descend_path(walk, start);
                /* Lower layers may be mounts that nobody sees any more; the upper one is in the table. */
                if (r == -ENOENT)
                        r = 0;
                if (end)
                        break;
                start = ++to;
        }
        return r;
}

static int descend_overlay(Walk *walk, const Mount *mount) {
        static const char *const options[] = { "upperdir", "workdir", "lowerdir" };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(options) && r >= 0; i++) {
                _cleanup_free_ char *value = mount_option(mount, options[i]);

                if (value)
                        r = descend_paths(walk, value);
        }
        return r;
}

/* "/dev/sda:/dev/sdb", as bcachefs has it; and journals and the like on devices of their own. */
static int descend_sources(Walk *walk, const Mount *mount) {
        static const char *const options[] = { "logdev", "rtdev", "journal_path", "journal_dev" };
        _cleanup_free_ char *sources = strdup(mount->source);
        char *rest = sources, *source;
        int r = 0;

        if (!sources)
                return -ENOMEM;
        while (r >= 0 && mount->major_number == 0 && (source = strsep(&rest, ":")))
                if (startswith(source, "/dev/"))
                        r = descend_source(walk, source);
        for (size_t i = 0; i < ELEMENTSOF(options) && r >= 0; i++) {
                _cleanup_free_ char *value = mount_option(mount, options[i]);

                if (value && startswith(value, "/dev/"))
                        r = descend_source(walk, value);
                if (r == -ENOENT)
                        r = unresolved(walk, &(BlockNode) { .label = mount->source }, value);
        }
        return r;
}

static int descend_mount(Walk *walk, const Mount *mount) {
        int r = visit(walk, mount);

        if (r <= 0)
                return r;
        walk->depth++;
        if (streq(mount->type, "btrfs"))
                r = descend_btrfs(walk, mount);
        else if (streq(mount->type, "zfs"))
                r = descend_zfs(walk);
        else if (mount->major_number == 0 && streq(mount->type, "overlay"))
                r = descend_overlay(walk, mount);
        else {
                /* A file server's: its network is held by every address and every route that counts. */
                r = mount->major_number == 0 ? 0 : descend_number(walk, mount->major_number, mount->minor_number);
                if (r >= 0)
                        r = descend_sources(walk, mount);
        }
        walk->depth--;
        return r;
}

/* ---- from outside ---- */

static void walk_begin(Walk *walk, Storage *storage, EvidenceVerdict verdict, const char *code, const char *top) {
        *walk = (Walk){ .storage = storage, .verdict = verdict, .code = code };
        walk->chain.links[walk->chain.n++] = top;
}

static int walk_end(Walk *walk, int r) {
        free(walk->visited);
        return r;
}

int storage_add_number(Storage *storage, EvidenceVerdict verdict, const char *code, const char *top, unsigned major_number,
                       unsigned minor_number) {
        Walk walk;

        walk_begin(&walk, storage, verdict, code, top);
        return walk_end(&walk, descend_number(&walk, major_number, minor_number));
}

int storage_add_name(Storage *storage, EvidenceVerdict verdict, const char *code, const char *top, const char *name) {
        Walk walk;

        walk_begin(&walk, storage, verdict, code, top);
        return walk_end(&walk, descend_name(&walk, name));
}

int storage_add_source(Storage *storage, EvidenceVerdict verdict, const char *code, const char *top, const char *source) {
        Walk walk;

        walk_begin(&walk, storage, verdict, code, top);
        return walk_end(&walk, descend_source(&walk, source));
}

int storage_add_path(Storage *storage, EvidenceVerdict verdict, const char *code, const char *top, const char *path) {
        Walk walk;

        walk_begin(&walk, storage, verdict, code, top);
        return walk_end(&walk, descend_path(&walk, path));
}

int storage_add_mount(Storage *storage, EvidenceVerdict verdict, const char *code, const char *top, const Mount *mount) {
        Walk walk;

        walk_begin(&walk, storage, verdict, code, top);
        return walk_end(&walk, descend_mount(&walk, mount));
}

/* ---- btrfs ---- */

typedef struct BtrfsListing {
        Storage *storage;
        Btrfs *btrfs;
} BtrfsListing;

static void on_btrfs_member(void *userdata, const char *entry) {
        BtrfsListing *listing = userdata;

        if (append_text(&listing->btrfs->members, &listing->btrfs->n_members, entry) < 0)
                listing->storage->result = -ENOMEM;
}

static void on_btrfs(void *userdata, const char *entry) {
        Storage *storage = userdata;
        char uuid[UUID_TEXT_SIZE], path[sizeof("/sys/fs/btrfs//devices") + UUID_TEXT_SIZE];
        Btrfs *list;

        if (parse_uuid(entry, uuid) < 0 || storage->result < 0)
                return;
        list = reallocarray(storage->btrfs, storage->n_btrfs + 1, sizeof(*list));
        if (!list) {
                storage->result = -ENOMEM;
                return;
        }
        storage->btrfs = list;
        list[storage->n_btrfs] = (Btrfs){};
        (void) snprintf(path, sizeof(path), "/sys/fs/btrfs/%s/devices", entry);
        (void) sysfs_list(evidence_sysfs(storage->evidence), path, on_btrfs_member,
                          &(BtrfsListing){ storage, &list[storage->n_btrfs] });
        storage->n_btrfs++;
}

int storage_new(Evidence *evidence, const MountTable *host, Storage **ret) {
        _cleanup_(storage_freep) Storage *storage = calloc(1, sizeof(*storage));

        if (!storage)
                return -ENOMEM;
        storage->evidence = evidence;
        storage->host = host;
        /* Only those that are mounted have a folder. */
        (void) sysfs_list(evidence_sysfs(evidence), "/sys/fs/btrfs", on_btrfs, storage);
        if (storage->result < 0)
                return storage->result;
        *ret = TAKE_PTR(storage);
        return 0;
}

Storage *storage_free(Storage *storage) {
        BlockNode *node, *next;

        if (!storage)
                return NULL;
        HASH_ITER(hh, storage->nodes, node, next) {
                HASH_DEL(storage->nodes, node);
                node_free(node);
        }
        for (size_t i = 0; i < storage->n_btrfs; i++)
                free_texts(storage->btrfs[i].members, storage->btrfs[i].n_members);
        free(storage->btrfs);
        free(storage);
        return NULL;
}
