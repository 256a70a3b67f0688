/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vfio-nodes.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <pthread.h>

#define ACL_ATTRIBUTE "system.posix_acl_access"
#define ACL_SIZE_MAX 1024

typedef struct Node {
        struct Node *next;
        int number;
        mode_t mode;
        uid_t uid;
        gid_t gid;
        size_t acl_size;
        char acl[ACL_SIZE_MAX];
} Node;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Node container = { .number = VFIO_NODE_CONTAINER, .mode = 0666 };
static Node *nodes = &container;

int vfio_node_number(const char *path) {
        uint64_t n;

        if (!string_starts(path, "/vfio/"))
                return VFIO_NODE_NONE;
        path += strlen("/vfio/");
        if (string_equal(path, "vfio"))
                return VFIO_NODE_CONTAINER;
        return string_to_u64(path, 10, &n) < 0 || n > INT_MAX ? VFIO_NODE_NONE : (int) n;
}

static Node *find(int number) {
        for (Node *n = nodes; n; n = n->next)
                if (n->number == number)
                        return n;
        return NULL;
}

/* Calls @action on the node under the lock. */
static int with_node(int number, int (*action)(Node *n, void *userdata), void *userdata) {
        Node *n;
        int r;

        (void) pthread_mutex_lock(&lock);
        n = find(number);
        r = n ? action(n, userdata) : -ENOENT;
        (void) pthread_mutex_unlock(&lock);
        return r;
}

int vfio_nodes_make(int number, mode_t mode) {
        Node *n;
        int r = 0;

        if (number < 0)
                return -EPERM;
        (void) pthread_mutex_lock(&lock);
        if (find(number))
                r = -EEXIST;
        else {
                n = allocate(sizeof(*n));
                n->number = number;
                n->mode = mode;
                n->next = nodes;
                nodes = n;
        }
        (void) pthread_mutex_unlock(&lock);
        return r;
}

int vfio_nodes_remove(int number) {
        int r = -ENOENT;

        if (number < 0)
                return -EPERM;
        (void) pthread_mutex_lock(&lock);
        for (Node **i = &nodes; *i; i = &(*i)->next)
                if ((*i)->number == number) {
                        Node *n = *i;

                        *i = n->next;
                        free(n);
                        r = 0;
                        break;
                }
        (void) pthread_mutex_unlock(&lock);
        return r;
}

static int fill_stat(Node *n, void *userdata) {
        struct stat *st = userdata;

        st->st_mode = S_IFREG | n->mode;
        st->st_uid = n->uid;
        st->st_gid = n->gid;
        return 0;
}

int vfio_nodes_stat(int number, struct stat *ret) {
        return with_node(number, fill_stat, ret);
}

void vfio_nodes_list(void *buffer, fuse_fill_dir_t fill) {
        (void) pthread_mutex_lock(&lock);
        for (Node *n = nodes; n; n = n->next) {
                char name[16] = "vfio";

                if (n->number >= 0)
                        (void) snprintf(name, sizeof(name), "%d", n->number);
                fill(buffer, name, NULL, 0, 0);
        }
        (void) pthread_mutex_unlock(&lock);
}

static int apply_mode(Node *n, void *userdata) {
        n->mode = *(mode_t *) userdata;
        return 0;
}

int vfio_nodes_set_mode(int number, mode_t mode) {
        return with_node(number, apply_mode, &mode);
}

typedef struct Owner {
        uid_t uid;
        gid_t gid;
} Owner;

static int apply_owner(Node *n, void *userdata) {
        const Owner *o = userdata;

        if (o->uid != (uid_t) -1)
                n->uid = o->uid;
        if (o->gid != (gid_t) -1)
                n->gid = o->gid;
        return 0;
}

int vfio_nodes_set_owner(int number, uid_t uid, gid_t gid) {
        return with_node(number, apply_owner, &(Owner) { uid, gid });
}

typedef struct Acl {
        const char *in;
        char *out;
        size_t size;
} Acl;

/* With an access list, the group bits of the mode show its mask. */
static mode_t mask_of(const char *acl, size_t size, mode_t otherwise) {
        const struct posix_acl_xattr_entry *e = (const void *) (acl + sizeof(struct posix_acl_xattr_header));
        size_t n = (size - sizeof(struct posix_acl_xattr_header)) / sizeof(*e);

        for (size_t i = 0; i < n; i++)
                if (le16toh(e[i].e_tag) == ACL_MASK)
                        return (mode_t) (le16toh(e[i].e_perm) & 7) << 3;
        return otherwise;
}

static int apply_acl(Node *n, void *userdata) {
        const Acl *a = userdata;

        n->acl_size = a->size;
        if (a->size > 0)
                memcpy(n->acl, a->in, a->size);
        if (a->size >= sizeof(struct posix_acl_xattr_header))
                n->mode = (n->mode & ~(mode_t) 0070) | mask_of(a->in, a->size, n->mode & 0070);
        return 0;
}

int vfio_nodes_set_acl(int number, const char *name, const char *value, size_t size) {
        if (!string_equal(name, ACL_ATTRIBUTE))
                return -EOPNOTSUPP;
        if (size > ACL_SIZE_MAX)
                return -ENOSPC;
        return with_node(number, apply_acl, &(Acl) { .in = value, .size = size });
}

static int copy_acl(Node *n, void *userdata) {
        const Acl *a = userdata;

        if (n->acl_size == 0)
                return -ENODATA;
        if (a->size == 0)
                return (int) n->acl_size;
        if (a->size < n->acl_size)
                return -ERANGE;
        memcpy(a->out, n->acl, n->acl_size);
        return (int) n->acl_size;
}

int vfio_nodes_get_acl(int number, const char *name, char *ret, size_t size) {
        if (!string_equal(name, ACL_ATTRIBUTE))
                return -ENODATA;
        return with_node(number, copy_acl, &(Acl) { .out = ret, .size = size });
}
