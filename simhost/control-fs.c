/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control-fs.h"

#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <sys/stat.h>

#include "fs-node.h"
#include "vfio.h"

#define TEXT_MAX 65536
#define LIST_MAX 65536
/* Each request that waits takes a thread. */
#define THREADS_MAX 1000
#define IDLE_THREADS 8
/* For what changes through this file system only, so that the answer stays true. */
#define FOR_EVER 86400.0

typedef struct OpenFile {
        FsNode *node;
        char text[TEXT_MAX]; /* what reading gives, made when it is read from its beginning */
        size_t size;
} OpenFile;

static Kernel *kernel_of(fuse_req_t q) {
        return fuse_req_userdata(q);
}

static FsNode *node_of(fuse_ino_t inode) {
        return inode == FUSE_ROOT_ID ? fs_root() : (FsNode *) (uintptr_t) inode;
}

static void fill_stat(const FsNode *n, struct stat *st) {
        *st = (struct stat){ .st_ino = (ino_t) (uintptr_t) n, .st_nlink = 1 };
        switch (n->kind) {
        case FS_DIRECTORY:
                st->st_mode = S_IFDIR | 0755;
                return;
        case FS_LINK:
                st->st_mode = S_IFLNK | 0777;
                st->st_size = (off_t) strlen(n->target);
                return;
        case FS_CONTROL:
                st->st_mode = S_IFREG | n->file->mode;
                st->st_size = 4096;
                return;
        case FS_VFIO:
                st->st_mode = S_IFREG | n->mode;
                st->st_uid = n->uid;
                st->st_gid = n->gid;
                return;
        default:
                return;
        }
}

static void reply_entry(fuse_req_t q, FsNode *n) {
        bool stays = n->kind == FS_DIRECTORY || n->kind == FS_VFIO;
        struct fuse_entry_param e = {
                .ino = (fuse_ino_t) (uintptr_t) n,
                .attr_timeout = FOR_EVER,
                .entry_timeout = stays ? FOR_EVER : 0,
        };

        fill_stat(n, &e.attr);
        if (fuse_reply_entry(q, &e) == -ENOENT)
                fs_forget(n, 1); /* whoever asked has gone */
}

/* Replies with a copy of the data: as soon as the answer is out the file may be closed, and what was read
 * with it gone, before the call that sent it returns. */
static void reply_copy(fuse_req_t q, const void *data, size_t size) {
        _cleanup_free_ void *copy = allocate(size);

        if (size > 0)
                memcpy(copy, data, size);
        fuse_reply_buf(q, copy, size);
}

static void fs_op_lookup(fuse_req_t q, fuse_ino_t parent, const char *name) {
        FsNode *n;

        if (fs_lookup(kernel_of(q)->tree, node_of(parent), name, &n) < 0)
                fuse_reply_err(q, ENOENT);
        else
                reply_entry(q, n);
}

static void fs_op_forget(fuse_req_t q, fuse_ino_t inode, uint64_t lookups) {
        if (inode != FUSE_ROOT_ID)
                fs_forget(node_of(inode), lookups);
        fuse_reply_none(q);
}

static void fs_op_getattr(fuse_req_t q, fuse_ino_t inode, struct fuse_file_info *fi) {
        struct stat st;

        (void) fi;
        fill_stat(node_of(inode), &st);
        fuse_reply_attr(q, &st, FOR_EVER);
}

static void fs_op_setattr(fuse_req_t q, fuse_ino_t inode, struct stat *st, int set,
                          struct fuse_file_info *fi) {
        FsNode *n = node_of(inode);
        struct stat now;

        (void) fi;
        if (n->kind != FS_VFIO && (set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))) {
                fuse_reply_err(q, EPERM);
                return;
        }
        if (set & FUSE_SET_ATTR_MODE)
                n->mode = st->st_mode & 07777;
        if (set & FUSE_SET_ATTR_UID)
                n->uid = st->st_uid;
        if (set & FUSE_SET_ATTR_GID)
                n->gid = st->st_gid;
        fill_stat(n, &now);
        fuse_reply_attr(q, &now, FOR_EVER);
}

static void fs_op_readlink(fuse_req_t q, fuse_ino_t inode) {
        FsNode *n = node_of(inode);

        if (n->kind == FS_LINK)
                reply_copy(q, n->target, strlen(n->target));
        else
                fuse_reply_err(q, EINVAL);
}

typedef struct List {
        fuse_req_t request;
        size_t size;
        char entries[LIST_MAX] __attribute__((aligned(8)));
} List;

static void list_add(const char *name, void *userdata) {
        struct stat st = { .st_ino = 1 };
        List *l = userdata;
        size_t n = fuse_add_direntry(l->request, NULL, 0, name, NULL, 0);

        if (l->size + n > sizeof(l->entries))
                return;
        l->size += fuse_add_direntry(l->request, l->entries + l->size, sizeof(l->entries) - l->size, name,
                                     &st, (off_t) (l->size + n));
}

static void fs_op_opendir(fuse_req_t q, fuse_ino_t inode, struct fuse_file_info *fi) {
        List *l = allocate(sizeof(*l));

        l->request = q;
        list_add(".", l);
        list_add("..", l);
        fs_list(kernel_of(q)->tree, node_of(inode), list_add, l);
        fi->fh = (uint64_t) (uintptr_t) l;
        fuse_reply_open(q, fi);
}

static void fs_op_readdir(fuse_req_t q, fuse_ino_t inode, size_t size, off_t offset,
                          struct fuse_file_info *fi) {
        const List *l = (List *) (uintptr_t) fi->fh;
        size_t at = (size_t) offset, end = at;

        (void) inode;
        /* Whole entries only. Each tells in its header where the next one begins. */
        while (end < l->size) {
                const struct fuse_dirent *e = (const void *) (l->entries + end);

                if (e->off - at > size)
                        break;
                end = e->off;
        }
        reply_copy(q, l->entries + at, end > at ? end - at : 0);
}

static void fs_op_releasedir(fuse_req_t q, fuse_ino_t inode, struct fuse_file_info *fi) {
        (void) inode;
        free((List *) (uintptr_t) fi->fh);
        fuse_reply_err(q, 0);
}

/* What libfuse 3.14 has no name for: several may write to the same node at once (since Linux 6.2), as in
 * sysfs. Only where a file is mounted by itself that matters, which has one node for all: elsewhere each
 * gets a node of its own. */
#ifndef FOPEN_PARALLEL_DIRECT_WRITES
#define FOPEN_PARALLEL_DIRECT_WRITES (1 << 6)
#endif

static int reply_open(fuse_req_t q, const OpenFile *o) {
        const struct fuse_open_out out = {
                .fh = (uint64_t) (uintptr_t) o,
                .open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES,
        };

        return fuse_reply_buf(q, (const char *) &out, sizeof(out));
}

static void close_file(Kernel *k, OpenFile *o) {
        if (o->node->kind == FS_VFIO && o->node->group >= 0) {
                kernel_enter(k);
                vfio_close(k, o->node->group);
                kernel_leave(k);
        }
        free(o);
}

static void fs_op_open(fuse_req_t q, fuse_ino_t inode, struct fuse_file_info *fi) {
        FsNode *n = node_of(inode);
        Kernel *k = kernel_of(q);
        OpenFile *o;
        int r = 0;

        (void) fi;
        if (n->kind == FS_VFIO && n->group >= 0) {
                kernel_enter(k);
                r = vfio_open(k, n->group);
                kernel_leave(k);
        }
        if (r < 0) {
                fuse_reply_err(q, -r);
                return;
        }
        o = allocate(sizeof(*o));
        o->node = n;
        if (reply_open(q, o) == -ENOENT)
                close_file(k, o);
}

static void fs_op_release(fuse_req_t q, fuse_ino_t inode, struct fuse_file_info *fi) {
        (void) inode;
        close_file(kernel_of(q), (OpenFile *) (uintptr_t) fi->fh);
        fuse_reply_err(q, 0);
}

static int make_text(Kernel *k, OpenFile *o) {
        const FsNode *n = o->node;
        int r;

        if (n->kind != FS_CONTROL || !n->file->read)
                return -EIO;
        kernel_enter(k);
        r = n->file->read(k, n->key, o->text, sizeof(o->text));
        kernel_leave(k);
        o->size = r < 0 ? 0 : strlen(o->text);
        return r;
}

static void fs_op_read(fuse_req_t q, fuse_ino_t inode, size_t size, off_t offset,
                       struct fuse_file_info *fi) {
        OpenFile *o = (OpenFile *) (uintptr_t) fi->fh;
        size_t at = (size_t) offset;
        int r;

        (void) inode;
        r = at == 0 ? make_text(kernel_of(q), o) : 0;
        if (r < 0)
                fuse_reply_err(q, -r);
        else if (at >= o->size)
                fuse_reply_buf(q, NULL, 0);
        else
                reply_copy(q, o->text + at, size < o->size - at ? size : o->size - at);
}

/* Each write is one order, as in sysfs; the offset says nothing. */
static void fs_op_write(fuse_req_t q, fuse_ino_t inode, const char *data, size_t size, off_t offset,
                        struct fuse_file_info *fi) {
        const FsNode *n = ((OpenFile *) (uintptr_t) fi->fh)->node;
        Kernel *k = kernel_of(q);
        char text[TEXT_MAX];
        int r;

        (void) inode;
        (void) offset;
        if (n->kind != FS_CONTROL || !n->file->write || size >= sizeof(text)) {
                fuse_reply_err(q, n->kind == FS_CONTROL && n->file->write ? EINVAL : EIO);
                return;
        }
        memcpy(text, data, size);
        text[size] = '\0';
        text[strcspn(text, "\n")] = '\0';

        kernel_enter(k);
        kernel_touch(k);
        r = n->file->write(k, n->key, text);
        kernel_leave(k);
        if (r < 0)
                fuse_reply_err(q, -r);
        else
                fuse_reply_write(q, size);
}

static void fs_op_mknod(fuse_req_t q, fuse_ino_t parent, const char *name, mode_t mode, dev_t device) {
        FsNode *n;
        int r;

        (void) device;
        r = S_ISREG(mode) ? fs_make_node(node_of(parent), name, mode & 07777, &n) : -EPERM;
        if (r < 0)
                fuse_reply_err(q, -r);
        else
                reply_entry(q, n);
}

static void fs_op_unlink(fuse_req_t q, fuse_ino_t parent, const char *name) {
        fuse_reply_err(q, -fs_remove_node(node_of(parent), name));
}

static void fs_op_setxattr(fuse_req_t q, fuse_ino_t inode, const char *name, const char *value, size_t size,
                           int flags) {
        (void) flags;
        fuse_reply_err(q, -fs_set_acl(node_of(inode), name, value, size));
}

static void fs_op_removexattr(fuse_req_t q, fuse_ino_t inode, const char *name) {
        fuse_reply_err(q, -fs_set_acl(node_of(inode), name, NULL, 0));
}

static void fs_op_getxattr(fuse_req_t q, fuse_ino_t inode, const char *name, size_t size) {
        char value[1024];
        ssize_t n = fs_get_acl(node_of(inode), name, value, size < sizeof(value) ? size : sizeof(value));

        if (n < 0)
                fuse_reply_err(q, (int) -n);
        else if (size == 0)
                fuse_reply_xattr(q, (size_t) n);
        else
                fuse_reply_buf(q, value, (size_t) n);
}

static void fs_op_init(void *userdata, struct fuse_conn_info *connection) {
        (void) userdata;
        connection->want |= connection->capable & (FUSE_CAP_POSIX_ACL | FUSE_CAP_ATOMIC_O_TRUNC);
}

static const struct fuse_lowlevel_ops operations = {
        .init = fs_op_init,
        .lookup = fs_op_lookup,
        .forget = fs_op_forget,
        .getattr = fs_op_getattr,
        .setattr = fs_op_setattr,
        .readlink = fs_op_readlink,
        .opendir = fs_op_opendir,
        .readdir = fs_op_readdir,
        .releasedir = fs_op_releasedir,
        .open = fs_op_open,
        .release = fs_op_release,
        .read = fs_op_read,
        .write = fs_op_write,
        .mknod = fs_op_mknod,
        .unlink = fs_op_unlink,
        .setxattr = fs_op_setxattr,
        .getxattr = fs_op_getxattr,
        .removexattr = fs_op_removexattr,
};

typedef struct Boot {
        Kernel *kernel;
        int ready_fd;
} Boot;

/* What has to be in place before anyone looks is put there by requests to this very file system. */
static void *boot_thread(void *userdata) {
        Boot *b = userdata;

        kernel_boot(b->kernel);
        if (write(b->ready_fd, "", 1) != 1)
                complain("nobody waits for the fake kernel");
        return NULL;
}

int kernel_run(Kernel *k, int ready_fd) {
        char *arguments[] = {
                (char[]){ "passthroughd-simhost" },
                (char[]){ "-oallow_other,default_permissions,fsname=simhost,subtype=simhost" },
        };
        struct fuse_args args = FUSE_ARGS_INIT(ELEMENTS(arguments), arguments);
        struct fuse_loop_config *config;
        Boot boot = { .kernel = k, .ready_fd = ready_fd };
        struct fuse_session *session;
        pthread_t thread;
        int r;

        session = fuse_session_new(&args, &operations, sizeof(operations), k);
        if (!session || fuse_session_mount(session, SIMHOST_FS) < 0) {
                complain("cannot mount the fake kernel's file system; is /dev/fuse there and may you open "
                         "it?");
                return -EIO;
        }
        config = fuse_loop_cfg_create();
        fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
        fuse_loop_cfg_set_idle_threads(config, IDLE_THREADS);

        r = pthread_create(&thread, NULL, boot_thread, &boot);
        if (r == 0) {
                (void) pthread_detach(thread);
                r = fuse_session_loop_mt(session, config);
        }
        fuse_loop_cfg_destroy(config);
        return r == 0 ? 0 : -EIO;
}
