/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker.h"

#include <poll.h>

#include "lib/parse.h"
#include "lib/protocol.h"

int worker_init(Worker *ret, int fd, const char *root) {
        Worker worker = { .fd = fd };
        int r;

        r = sysfs_init(&worker.sysfs, root);
        if (r < 0)
                return r;

        *ret = worker;
        return 0;
}

void worker_done(Worker *worker) {
        module_set_done(&worker->modules);
        worker->facts = host_facts_free(worker->facts);
        pci_scan_done(&worker->pci);
        sysfs_done(&worker->sysfs);
}

int worker_send(Worker *worker, json_t *message) {
        _cleanup_json_ json_t *owned = message;

        if (!owned)
                return -ENOMEM;

        return message_send(worker->fd, owned);
}

void worker_log(Worker *worker, int level, const char *text) {
        struct pollfd writable = { .fd = worker->fd, .events = POLLOUT };

        if (poll(&writable, 1, 0) <= 0 || !(writable.revents & POLLOUT))
                return;

        (void) worker_send(worker, json_pack("{s:s, s:i, s:o}", "type", "log", "level", level, "text",
                                             json_text(strempty(text))));
}

int worker_pause(Worker *worker, unsigned msec) {
        struct pollfd peer = { .fd = worker->fd };

        if (poll(&peer, 1, (int) msec) < 0)
                return errno == EINTR ? 0 : -errno;

        return peer.revents & (POLLHUP | POLLERR) ? -EPIPE : 0;
}

json_t *json_text(const char *text) {
        _cleanup_free_ char *copy = NULL;

        if (!text)
                return json_null();
        if (utf8_is_valid(text))
                return json_string(text);

        copy = strdup(text);
        if (!copy)
                return NULL;
        for (char *p = copy; *p; p++)
                if ((unsigned char) *p >= 0x80)
                        *p = '?';

        return json_string(copy);
}

json_t *json_fault(const Fault *fault) {
        return json_text(fault->code == FAULT_NONE ? NULL : fault->message);
}
