/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fs-node.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#define ACL_ATTRIBUTE "system.posix_acl_access"
#define ACL_SIZE_MAX 1024

/* Directories by the families of what is in them. Those with @keys hold one directory for each key. */
static const struct {
        const char *parent, *name, *family;
} directory_names[] = {
        { "", "pci", "bus" },
        { "", "usb", "usb-bus" },
        { "", "usb-device", "usb-devices" },
        { "", "device", "devices" },
        { "", "mdev-type", "mdev-types" },
        { "", "mdev", "mdevs" },
        { "", "vgpu", "vgpus" },
        { "", "control", "control" },
        { "", "vfio", "vfio" },
        { "bus", "drivers", "drivers" },
        { "usb-bus", "drivers", "usb-drivers" },
};

/* In a directory of these, every name is a directory of that. */
static const struct {
        const char *parent, *family;
} keyed_directories[] = {
        { "devices", "device" },
        { "mdev-types", "mdev-type" },
        { "mdevs", "mdev" },
        { "vgpus", "vgpu" },
        { "drivers", "driver" },
        { "usb-drivers", "usb-driver" },
        { "usb-devices", "usb-device" },
};

/* Where the drivers of these directories are. */
static const struct {
        const char *list, *one, *path;
} driver_directories[] = {
        { "drivers", "driver", "sys/bus/pci/drivers" },
        { "usb-drivers", "usb-driver", "sys/bus/usb/drivers" },
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FsNode root = { .kind = FS_DIRECTORY, .family = "" };
static FsNode container = { .kind = FS_VFIO, .group = GROUP_CONTAINER, .mode = 0666 };
static FsNode *directories, *vfio_nodes = &container;

FsNode *fs_root(void) {
        return &root;
}

static FsNode *node_new(FsKind kind) {
        FsNode *n = allocate(sizeof(*n));

        n->kind = kind;
        return n;
}

/* The same one for the same family and key. */
static FsNode *directory_get(const char *family, const char *key) {
        FsNode *n;

        for (n = directories; n; n = n->next)
                if (string_equal(n->family, family) && string_equal(n->key, key))
                        return n;
        n = node_new(FS_DIRECTORY);
        n->family = family;
        copy_text(n->key, sizeof(n->key), key);
        n->next = directories;
        directories = n;
        return n;
}

static FsNode *vfio_find(const char *name) {
        uint64_t number;
        int group = GROUP_CONTAINER;

        if (!string_equal(name, "vfio")) {
                if (string_to_u64(name, 10, &number) < 0 || number > INT_MAX)
                        return NULL;
                group = (int) number;
        }
        for (FsNode *n = vfio_nodes; n; n = n->next)
                if (n->group == group)
                        return n;
        return NULL;
}

static FsNode *find_directory(Tree *t, const FsNode *d, const char *name) {
        for (size_t i = 0; i < ELEMENTS(directory_names); i++)
                if (string_equal(directory_names[i].parent, d->family) &&
                    string_equal(directory_names[i].name, name))
                        return directory_get(directory_names[i].family, name);
        for (size_t i = 0; i < ELEMENTS(keyed_directories); i++)
                if (string_equal(keyed_directories[i].parent, d->family)) {
                        for (size_t k = 0; k < ELEMENTS(driver_directories); k++)
                                if (string_equal(d->family, driver_directories[k].list) &&
                                    !tree_has(t, driver_directories[k].path, name))
                                        return NULL;
                        return directory_get(keyed_directories[i].family, name);
                }
        return NULL;
}

static FsNode *find_control(const FsNode *d, const char *name) {
        for (size_t i = 0; i < control_files_count; i++)
                if (string_equal(control_files[i].family, d->family) &&
                    string_equal(control_files[i].name, name)) {
                        FsNode *n = node_new(FS_CONTROL);

                        n->file = &control_files[i];
                        copy_text(n->key, sizeof(n->key), d->key);
                        return n;
                }
        return NULL;
}

/* A driver's directory has links to its devices and to its module. */
static FsNode *find_link(Tree *t, const FsNode *d, const char *name) {
        char target[PATH_MAX];
        FsNode *n;
        Path p = { "" };

        for (size_t i = 0; i < ELEMENTS(driver_directories); i++)
                if (string_equal(d->family, driver_directories[i].one))
                        path_make(&p, "%s/%s", driver_directories[i].path, d->key);
        if (p.s[0] == '\0')
                return NULL;
        if (tree_link_text(t, p.s, name, target, sizeof(target)) < 0)
                return NULL;
        n = node_new(FS_LINK);
        n->target = copy_string(target);
        return n;
}

int fs_lookup(Tree *t, FsNode *d, const char *name, FsNode **ret) {
        FsNode *n;

        (void) pthread_mutex_lock(&lock);
        n = string_equal(d->family, "vfio") ? vfio_find(name) : find_directory(t, d, name);
        if (!n)
                n = find_control(d, name);
        if (!n)
                n = find_link(t, d, name);
        if (n)
                n->lookups++;
        (void) pthread_mutex_unlock(&lock);
        if (!n)
                return -ENOENT;
        *ret = n;
        return 0;
}

/* Lock held. */
static void free_if_unknown(FsNode *n) {
        if (n->lookups > 0 || n->kind == FS_DIRECTORY || (n->kind == FS_VFIO && !n->removed))
                return;
        free(n->target);
        free(n->acl);
        free(n);
}

void fs_forget(FsNode *n, uint64_t lookups) {
        (void) pthread_mutex_lock(&lock);
        n->lookups -= lookups;
        free_if_unknown(n);
        (void) pthread_mutex_unlock(&lock);
}

static void list_tree(Tree *t, const char *path, void (*add)(const char *name, void *userdata),
                      void *userdata) {
        _cleanup_closedir_ DIR *d = tree_list(t, path);
        struct dirent *e;

        while (d && (e = readdir(d)))
                if (e->d_name[0] != '.' && (e->d_type == DT_DIR || e->d_type == DT_LNK))
                        add(e->d_name, userdata);
}

void fs_list(Tree *t, FsNode *d, void (*add)(const char *name, void *userdata), void *userdata) {
        Path p;

        for (size_t i = 0; i < ELEMENTS(directory_names); i++)
                if (string_equal(directory_names[i].parent, d->family))
                        add(directory_names[i].name, userdata);
        for (size_t i = 0; i < control_files_count; i++)
                if (string_equal(control_files[i].family, d->family))
                        add(control_files[i].name, userdata);
        for (size_t i = 0; i < ELEMENTS(driver_directories); i++)
                if (string_equal(d->family, driver_directories[i].list))
                        list_tree(t, driver_directories[i].path, add, userdata);
                else if (string_equal(d->family, driver_directories[i].one))
                        list_tree(t, path_make(&p, "%s/%s", driver_directories[i].path, d->key), add,
                                  userdata);
        if (!string_equal(d->family, "vfio"))
                return;

        (void) pthread_mutex_lock(&lock);
        for (FsNode *n = vfio_nodes; n; n = n->next) {
                char name[16] = "vfio";

                if (n->group >= 0)
                        (void) snprintf(name, sizeof(name), "%d", n->group);
                add(name, userdata);
        }
        (void) pthread_mutex_unlock(&lock);
}

int fs_make_node(FsNode *d, const char *name, mode_t mode, FsNode **ret) {
        uint64_t number;
        int r = 0;

        if (!string_equal(d->family, "vfio") || string_to_u64(name, 10, &number) < 0 || number > INT_MAX)
                return -EPERM;
        (void) pthread_mutex_lock(&lock);
        if (vfio_find(name))
                r = -EEXIST;
        else {
                FsNode *n = node_new(FS_VFIO);

                n->group = (int) number;
                n->mode = mode;
                n->lookups = 1;
                n->next = vfio_nodes;
                vfio_nodes = n;
                *ret = n;
        }
        (void) pthread_mutex_unlock(&lock);
        return r;
}

int fs_remove_node(FsNode *d, const char *name) {
        FsNode *n;
        int r = 0;

        if (!string_equal(d->family, "vfio"))
                return -EPERM;
        (void) pthread_mutex_lock(&lock);
        n = vfio_find(name);
        if (!n)
                r = -ENOENT;
        else if (n == &container)
                r = -EPERM;
        else {
                FsNode **i = &vfio_nodes;

                while (*i != n)
                        i = &(*i)->next;
                *i = n->next;
                n->removed = true;
                free_if_unknown(n);
        }
        (void) pthread_mutex_unlock(&lock);
        return r;
}

/* With an access list, the group bits of the mode show its mask. */
static mode_t mask_of(const void *acl, size_t size, mode_t otherwise) {
        const struct posix_acl_xattr_entry *e;
        size_t n;

        if (size < sizeof(struct posix_acl_xattr_header))
                return otherwise;
        e = (const void *) ((const char *) acl + sizeof(struct posix_acl_xattr_header));
        n = (size - sizeof(struct posix_acl_xattr_header)) / sizeof(*e);
        for (size_t i = 0; i < n; i++)
                if (le16toh(e[i].e_tag) == ACL_MASK)
                        return (mode_t) (le16toh(e[i].e_perm) & 7) << 3;
        return otherwise;
}

int fs_set_acl(FsNode *n, const char *attribute, const void *value, size_t size) {
        if (n->kind != FS_VFIO || !string_equal(attribute, ACL_ATTRIBUTE))
                return -EOPNOTSUPP;
        if (size > ACL_SIZE_MAX)
                return -ENOSPC;

        (void) pthread_mutex_lock(&lock);
        free(n->acl);
        n->acl = size > 0 ? memcpy(allocate(size), value, size) : NULL;
        n->acl_size = size;
        n->mode = (n->mode & ~(mode_t) 0070) | mask_of(value, size, n->mode & 0070);
        (void) pthread_mutex_unlock(&lock);
        return 0;
}

ssize_t fs_get_acl(FsNode *n, const char *attribute, void *ret, size_t size) {
        ssize_t r;

        if (n->kind != FS_VFIO || !string_equal(attribute, ACL_ATTRIBUTE))
                return -ENODATA;
        (void) pthread_mutex_lock(&lock);
        r = n->acl_size == 0 ? -ENODATA : (ssize_t) n->acl_size;
        if (r > 0 && size > 0) {
                if (size < n->acl_size)
                        r = -ERANGE;
                else
                        memcpy(ret, n->acl, n->acl_size);
        }
        (void) pthread_mutex_unlock(&lock);
        return r;
}
