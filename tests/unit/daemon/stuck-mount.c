/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stuck-mount.h"

#include "tests/unit/lib/test.h"

#include <linux/fuse.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define REQUEST_MAX (1024u * 1024u + 4096u)
#define WAITING_MAX 16u

struct StuckMount {
        char *directory;
        int fd;
        pthread_t thread;
        pthread_mutex_t mutex;
        uint64_t waiting[WAITING_MAX];
        size_t n_waiting;
        bool released;
};

static void answer(StuckMount *mount, uint64_t unique, int error, const void *data, size_t length) {
        struct fuse_out_header header = { .len = (uint32_t) (sizeof(header) + length),
                                          .error = error,
                                          .unique = unique };
        struct iovec parts[] = { { &header, sizeof(header) }, { (void *) data, length } };

        /* A request whose process is gone is no longer known. */
        if (writev(mount->fd, parts, 2) < 0)
                return;
}

static void answer_init(StuckMount *mount, uint64_t unique) {
        struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
                                     .minor = FUSE_KERNEL_MINOR_VERSION,
                                     .max_write = 4096 };

        answer(mount, unique, 0, &out, sizeof(out));
}

static void answer_attributes(StuckMount *mount, uint64_t unique) {
        struct fuse_attr_out out = { .attr = { .ino = 1, .mode = S_IFDIR | 0755, .nlink = 2 } };

        answer(mount, unique, 0, &out, sizeof(out));
}

static void take_lookup(StuckMount *mount, uint64_t unique) {
        pthread_mutex_lock(&mount->mutex);
        if (mount->released || mount->n_waiting == WAITING_MAX)
                answer(mount, unique, -ENOENT, NULL, 0);
        else
                mount->waiting[mount->n_waiting++] = unique;
        pthread_mutex_unlock(&mount->mutex);
}

static void *serve(void *userdata) {
        _cleanup_free_ char *buffer = malloc(REQUEST_MAX);
        StuckMount *mount = userdata;

        for (;;) {
                const struct fuse_in_header *header = (const struct fuse_in_header *) buffer;
                ssize_t n = read(mount->fd, buffer, REQUEST_MAX);

                if (n < 0 && errno == ENODEV) /* unmounted */
                        return NULL;
                if (n < (ssize_t) sizeof(*header))
                        continue;
                if (header->opcode == FUSE_INIT)
                        answer_init(mount, header->unique);
                else if (header->opcode == FUSE_GETATTR)
                        answer_attributes(mount, header->unique);
                else if (header->opcode == FUSE_LOOKUP)
                        take_lookup(mount, header->unique);
                else if (header->opcode != FUSE_INTERRUPT && header->opcode != FUSE_FORGET &&
                         header->opcode != FUSE_BATCH_FORGET)
                        answer(mount, header->unique, -ENOSYS, NULL, 0);
        }
}

StuckMount *stuck_mount_new(const char *directory) {
        StuckMount *stuck = calloc(1, sizeof(*stuck));
        char options[128];

        assert_non_null(stuck);
        stuck->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (stuck->fd < 0) {
                free(stuck);
                return NULL;
        }
        stuck->directory = strdup(directory);
        assert_non_null(stuck->directory);
        snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u", stuck->fd,
                 getuid(), getgid());
        assert_int_equal(mount("stuck", directory, "fuse", MS_NOSUID | MS_NODEV, options), 0);
        assert_int_equal(pthread_mutex_init(&stuck->mutex, NULL), 0);
        assert_int_equal(pthread_create(&stuck->thread, NULL, serve, stuck), 0);
        return stuck;
}

void stuck_mount_release(StuckMount *mount) {
        pthread_mutex_lock(&mount->mutex);
        mount->released = true;
        for (size_t i = 0; i < mount->n_waiting; i++)
                answer(mount, mount->waiting[i], -ENOENT, NULL, 0);
        mount->n_waiting = 0;
        pthread_mutex_unlock(&mount->mutex);
}

void stuck_mount_free(StuckMount *mount) {
        if (!mount)
                return;
        stuck_mount_release(mount);
        assert_int_equal(umount2(mount->directory, MNT_DETACH), 0);
        assert_int_equal(pthread_join(mount->thread, NULL), 0);
        close(mount->fd);
        free(mount->directory);
        free(mount);
}
