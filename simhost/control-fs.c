/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control-fs.h"

#include <fuse.h>
#include <sys/stat.h>

#include "vfio-nodes.h"
#include "vfio.h"

#define TEXT_MAX 8192
/* Each request that waits takes a thread. */
#define THREADS_MAX 1000
#define IDLE_THREADS 8

typedef struct OpenFile {
        const ControlFile *file;
        char key[128];
        int group;              /* of a VFIO node */
        char text[TEXT_MAX];    /* what reading gives, made when it is read from its beginning */
        size_t size;
} OpenFile;

static Kernel *kernel(void) {
        return fuse_get_context()->private_data;
}

/* FAMILY/KEY/NAME, or control/NAME. NULL where @path is a directory, as everything above a file is. */
static const ControlFile *parse_path(const char *path, char *ret_key, size_t size, bool *ret_directory) {
        char family[32] = "", key[128] = "", name[64] = "";
        int n = sscanf(path, "/%31[^/]/%127[^/]/%63[^/]", family, key, name);

        *ret_directory = n < 3;
        if (n == 2 && string_equal(family, "control")) {
                copy_text(name, sizeof(name), key);
                key[0] = '\0';
                *ret_directory = false;
        }
        for (size_t i = 0; i < control_files_count && !*ret_directory; i++)
                if (string_equal(control_files[i].family, family) && string_equal(control_files[i].name, name)) {
                        copy_text(ret_key, size, key);
                        return &control_files[i];
                }
        return NULL;
}

/* For an open file there may be no path. */
static int node_number(const char *path, const struct fuse_file_info *fi) {
        return path ? vfio_node_number(path) : fi ? ((OpenFile *) (uintptr_t) fi->fh)->group : VFIO_NODE_NONE;
}

static int fs_getattr(const char *path, struct stat *st, struct fuse_file_info *fi) {
        const ControlFile *f;
        bool directory = false;
        char key[128];
        int node = node_number(path, fi);

        memset(st, 0, sizeof(*st));
        st->st_nlink = 1;
        if (node != VFIO_NODE_NONE)
                return vfio_nodes_stat(node, st);
        f = path ? parse_path(path, key, sizeof(key), &directory) : ((OpenFile *) (uintptr_t) fi->fh)->file;
        if (!f && !directory)
                return -ENOENT;
        st->st_mode = f ? S_IFREG | f->mode : S_IFDIR | 0755;
        st->st_size = f ? 4096 : 0;
        return 0;
}

/* Only two directories are worth listing; the handle says which one it is. */
enum {
        LIST_NOTHING,
        LIST_NODES,
        LIST_ORDERS,
};

static int fs_opendir(const char *path, struct fuse_file_info *fi) {
        fi->fh = string_equal(path, "/vfio") ? LIST_NODES : string_equal(path, "/control") ? LIST_ORDERS : LIST_NOTHING;
        return 0;
}

static int fs_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *fi,
                      enum fuse_readdir_flags flags) {
        (void) path;
        (void) offset;
        (void) flags;
        fill(buffer, ".", NULL, 0, 0);
        fill(buffer, "..", NULL, 0, 0);
        if (fi->fh == LIST_NODES)
                vfio_nodes_list(buffer, fill);
        for (size_t i = 0; i < control_files_count && fi->fh == LIST_ORDERS; i++)
                if (string_equal(control_files[i].family, "control"))
                        fill(buffer, control_files[i].name, NULL, 0, 0);
        return 0;
}

static int fs_open(const char *path, struct fuse_file_info *fi) {
        Kernel *k = kernel();
        OpenFile *o = allocate(sizeof(*o));
        bool directory;
        int r = 0;

        o->group = vfio_node_number(path);
        if (o->group >= 0) {
                kernel_enter(k);
                r = vfio_open(k, o->group);
                kernel_leave(k);
        } else if (o->group == VFIO_NODE_NONE) {
                o->file = parse_path(path, o->key, sizeof(o->key), &directory);
                r = o->file ? 0 : -ENOENT;
        }
        if (r < 0) {
                free(o);
                return r;
        }
        fi->direct_io = 1;
        fi->fh = (uint64_t) (uintptr_t) o;
        return 0;
}

static int fs_release(const char *path, struct fuse_file_info *fi) {
        OpenFile *o = (OpenFile *) (uintptr_t) fi->fh;
        Kernel *k = kernel();

        (void) path;
        if (o->group >= 0) {
                kernel_enter(k);
                vfio_close(k, o->group);
                kernel_leave(k);
        }
        free(o);
        return 0;
}

static int fs_read(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *fi) {
        OpenFile *o = (OpenFile *) (uintptr_t) fi->fh;
        Kernel *k = kernel();
        int r;

        (void) path;
        if (!o->file || !o->file->read)
                return -EIO;
        if (offset == 0) {
                kernel_enter(k);
                r = o->file->read(k, o->key, o->text, sizeof(o->text));
                kernel_leave(k);
                if (r < 0)
                        return r;
                o->size = strlen(o->text);
        }
        if ((size_t) offset >= o->size)
                return 0;
        if (size > o->size - (size_t) offset)
                size = o->size - (size_t) offset;
        memcpy(buffer, o->text + offset, size);
        return (int) size;
}

/* Each write is one order, as in sysfs; the offset says nothing. */
static int fs_write(const char *path, const char *data, size_t size, off_t offset, struct fuse_file_info *fi) {
        OpenFile *o = (OpenFile *) (uintptr_t) fi->fh;
        Kernel *k = kernel();
        char text[TEXT_MAX];
        int r;

        (void) path;
        (void) offset;
        if (!o->file || !o->file->write)
                return -EIO;
        if (size >= sizeof(text))
                return -EINVAL;
        memcpy(text, data, size);
        text[size] = '\0';
        text[strcspn(text, "\n")] = '\0';

        kernel_enter(k);
        kernel_touch(k);
        r = o->file->write(k, o->key, text);
        kernel_leave(k);
        return r < 0 ? r : (int) size;
}

static int fs_truncate(const char *path, off_t size, struct fuse_file_info *fi) {
        (void) path;
        (void) size;
        (void) fi;
        return 0;
}

static int fs_mknod(const char *path, mode_t mode, dev_t device) {
        (void) device;
        return vfio_nodes_make(vfio_node_number(path), mode & 07777);
}

static int fs_unlink(const char *path) {
        return vfio_nodes_remove(vfio_node_number(path));
}

static int fs_chmod(const char *path, mode_t mode, struct fuse_file_info *fi) {
        return vfio_nodes_set_mode(node_number(path, fi), mode & 07777);
}

static int fs_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi) {
        return vfio_nodes_set_owner(node_number(path, fi), uid, gid);
}

static int fs_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi) {
        (void) path;
        (void) times;
        (void) fi;
        return 0;
}

static int fs_setxattr(const char *path, const char *name, const char *value, size_t size, int flags) {
        (void) flags;
        return vfio_nodes_set_acl(vfio_node_number(path), name, value, size);
}

static int fs_getxattr(const char *path, const char *name, char *value, size_t size) {
        int node = vfio_node_number(path);

        return node == VFIO_NODE_NONE ? -ENODATA : vfio_nodes_get_acl(node, name, value, size);
}

static int fs_removexattr(const char *path, const char *name) {
        return vfio_nodes_set_acl(vfio_node_number(path), name, NULL, 0);
}

static void *fs_init(struct fuse_conn_info *connection, struct fuse_config *config) {
        /* Everything changes through this file system only, so the answers stay true. */
        config->entry_timeout = config->attr_timeout = 86400;
        config->negative_timeout = 0;
        config->hard_remove = 1;
        config->nullpath_ok = 1;
        connection->want |= connection->capable & FUSE_CAP_POSIX_ACL;
        return fuse_get_context()->private_data;
}

static const struct fuse_operations operations = {
        .init = fs_init,
        .getattr = fs_getattr,
        .opendir = fs_opendir,
        .readdir = fs_readdir,
        .open = fs_open,
        .release = fs_release,
        .read = fs_read,
        .write = fs_write,
        .truncate = fs_truncate,
        .mknod = fs_mknod,
        .unlink = fs_unlink,
        .chmod = fs_chmod,
        .chown = fs_chown,
        .utimens = fs_utimens,
        .setxattr = fs_setxattr,
        .getxattr = fs_getxattr,
        .removexattr = fs_removexattr,
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
                (char[]) { "passthroughd-simhost" },
                (char[]) { "-oallow_other,default_permissions,fsname=simhost,subtype=simhost" },
        };
        struct fuse_args args = FUSE_ARGS_INIT(ELEMENTS(arguments), arguments);
        struct fuse_loop_config *config;
        Boot boot = { .kernel = k, .ready_fd = ready_fd };
        pthread_t thread;
        struct fuse *f;
        int r;

        f = fuse_new(&args, &operations, sizeof(operations), k);
        if (!f || fuse_mount(f, SIMHOST_FS) < 0) {
                complain("cannot mount the fake kernel's file system; is /dev/fuse there and may you open it?");
                return -EIO;
        }
        config = fuse_loop_cfg_create();
        fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
        fuse_loop_cfg_set_idle_threads(config, IDLE_THREADS);

        r = pthread_create(&thread, NULL, boot_thread, &boot);
        if (r == 0) {
                (void) pthread_detach(thread);
                r = fuse_loop_mt(f, config);
        }
        fuse_loop_cfg_destroy(config);
        return r == 0 ? 0 : -EIO;
}
