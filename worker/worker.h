/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every part of the worker shares: the socket to the service, the tree that it works on and the modules
 * that it has loaded. One exists per process, from worker_init() until the process ends; nothing below is
 * shared between threads, because there is one thread. */

#include <jansson.h>

#include "lib/fault.h"
#include "lib/host-facts.h"
#include "lib/sysfs.h"
#include "module-load.h"
#include "pci-scan.h"

typedef struct Worker {
        int fd; /* SOCK_SEQPACKET to the service; not owned */
        Sysfs sysfs;
        ModuleSet modules;
        HostFacts *facts; /* NULL until a module asks */
        PciScan pci;      /* of the last look at the host */
} Worker;

int worker_init(Worker *ret, int fd, const char *root);
void worker_done(Worker *worker);
#define _cleanup_worker_ _cleanup_(worker_done)

/* Sends a message and drops the reference. A NULL message (no memory when it was built) is -ENOMEM. */
int worker_send(Worker *worker, json_t *message);
/* Tells the service something for its log; dropped rather than waited for when the socket is full. */
void worker_log(Worker *worker, int level, const char *text);
/* Sleeps, but no longer than the service lives: -EPIPE as soon as it hangs up. */
int worker_pause(Worker *worker, unsigned msec);

/* A JSON string of `text`, with '?' for what is not UTF-8: for what people read. JSON null for NULL. */
json_t *json_text(const char *text);
/* The message of a fault, or JSON null when there is none. */
json_t *json_fault(const Fault *fault);
