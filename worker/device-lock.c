/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-lock.h"

#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/id.h"
#include "lib/protocol.h"

/* Long enough for a bind that is under way (a quarter of a second for a network card), short enough to say
 * what is wrong. */
#define LOCK_WAIT_MSEC 3000u
#define LOCK_POLL_MSEC 20u

static int open_lock_directory(const Sysfs *sysfs) {
        int fd;

        if (mkdirat(sysfs->root_fd, "run/passthroughd", 0755) < 0 && errno != EEXIST)
                return -errno;
        if (mkdirat(sysfs->root_fd, DEVICE_LOCK_DIRECTORY, 0700) < 0 && errno != EEXIST)
                return -errno;

        fd = openat(sysfs->root_fd, DEVICE_LOCK_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* For a later service, which waits for the end of this process. */
static int write_holder(int fd) {
        char text[16];
        int n;

        n = snprintf(text, sizeof(text), "%d", (int) getpid());
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t) n, 0) < 0)
                return -errno;

        return 0;
}

static int lock_one(int directory_fd, Worker *worker, const JobDevice *device, int *ret_fd, Fault *fault) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = openat(directory_fd, device->device.id, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;

        for (unsigned waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_POLL_MSEC) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (waited >= LOCK_WAIT_MSEC)
                        return fault_set_object(
                                fault, -EBUSY, FAULT_DEVICE_BUSY, device->device.id,
                                "An earlier operation on %s has not ended; it may be stuck in the kernel",
                                device->device.sysname);
                r = worker_pause(worker, LOCK_POLL_MSEC);
                if (r < 0)
                        return r;
        }

        r = write_holder(fd);
        if (r < 0)
                return r;

        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int compare_ids(const void *a, const void *b) {
        const JobDevice *const *x = a, *const *y = b;

        return strcmp((*x)->device.id, (*y)->device.id);
}

int device_lock_take(DeviceLock *ret, Worker *worker, const DeviceList *devices, Fault *fault) {
        _cleanup_device_lock_ DeviceLock lock = {};
        _cleanup_free_ const JobDevice **sorted = NULL;
        _cleanup_close_ int directory_fd = -EBADF;
        int r;

        lock.fds = calloc(devices->n_items + 1, sizeof(*lock.fds));
        sorted = calloc(devices->n_items + 1, sizeof(*sorted));
        if (!lock.fds || !sorted)
                return fault_oom(fault);

        directory_fd = open_lock_directory(&worker->sysfs);
        if (directory_fd < 0)
                return fault_set(fault, directory_fd, FAULT_WORKER_FAILED,
                                 "Cannot make /" DEVICE_LOCK_DIRECTORY ": %s", strerrordesc_np(-directory_fd));

        /* Always in one order, or two jobs that share devices could wait for each other. */
        for (size_t i = 0; i < devices->n_items; i++)
                sorted[i] = &devices->items[i];
        qsort(sorted, devices->n_items, sizeof(*sorted), compare_ids);

        for (size_t i = 0; i < devices->n_items; i++) {
                r = lock_one(directory_fd, worker, sorted[i], &lock.fds[i], fault);
                if (r < 0)
                        return fault_set(fault, r, FAULT_WORKER_FAILED, "Cannot lock %s: %s",
                                         sorted[i]->device.id, strerrordesc_np(-r));
                lock.n_fds++;
        }

        *ret = lock;
        lock = (DeviceLock){};
        return 0;
}

void device_lock_done(DeviceLock *lock) {
        for (size_t i = 0; i < lock->n_fds; i++)
                (void) close_fd(lock->fds[i]);
        free(lock->fds);
}
