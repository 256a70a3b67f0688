/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "leftover.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/pidfd.h>

#include "lib/parse.h"
#include "lib/protocol.h"
#include "log.h"
#include "operation.h"

struct Leftover {
        Manager *m;
        Allocation *allocation;
        sd_event_source *ended; /* owns the pidfd */
};

Leftover *leftover_free(Leftover *leftover) {
        if (!leftover)
                return NULL;
        sd_event_source_disable_unref(leftover->ended);
        free(leftover);
        return NULL;
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Leftover *leftover = userdata;
        Manager *m = leftover->m;
        Allocation *a = leftover->allocation;

        a->leftover = leftover_free(a->leftover);
        allocation_recover(m, a, "the driver that was stuck came back");
        return 0;
}

/* The process that holds the lock, or 0. It wrote its number before anything else. */
static pid_t lock_holder(Manager *m, const char *device) {
        _cleanup_close_ int fd = -EBADF;
        char path[ID_SIZE + sizeof(DEVICE_LOCK_DIRECTORY) + 1], text[16];
        unsigned pid;
        ssize_t n;

        snprintf(path, sizeof(path), DEVICE_LOCK_DIRECTORY "/%s", device);
        fd = openat(m->sysfs.root_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
                return 0;
        n = pread(fd, text, sizeof(text) - 1, 0);
        if (n <= 0)
                return 0;
        text[n] = '\0';
        return parse_uint32(text, &pid) < 0 ? 0 : (pid_t) pid;
}

static bool watch(Manager *m, Allocation *a, pid_t pid) {
        Leftover *leftover;
        int fd = pidfd_open(pid, 0);

        if (fd < 0)
                return false;
        leftover = calloc(1, sizeof(*leftover));
        if (!leftover || sd_event_add_io(m->event, &leftover->ended, fd, EPOLLIN, on_ended, leftover) < 0) {
                close_fd(fd);
                leftover_free(leftover);
                return false;
        }
        (void) sd_event_source_set_io_fd_own(leftover->ended, true);
        leftover->m = m;
        leftover->allocation = a;
        a->leftover = leftover;
        return true;
}

bool leftover_watch(Manager *m, Allocation *a) {
        _cleanup_(json_decrefp) json_t *records = allocation_records(a);
        size_t index;
        json_t *record;

        json_array_foreach(records, index, record) {
                const char *id = json_string_value(json_object_get(record, "id"));
                pid_t pid = id ? lock_holder(m, id) : 0;

                if (pid > 0 && watch(m, a, pid)) {
                        log_message(LOG_WARNING, LOG_EVENT_DRIVER_STUCK, log_fields("ALLOCATION", a->id, "DEVICE", id),
                                    "a driver still works on %s for worker %d of an earlier run; the devices of %s are "
                                    "given back when that has ended", id, (int) pid, a->consumer);
                        return true;
                }
        }
        return false;
}
