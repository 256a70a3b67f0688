/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The D-Bus side: objects, methods, signals, authorisation. Everything behind it is the manager's. The calls come in this
 * order: bus_new() connects, bus_events() says whom the manager tells, bus_attach() registers the objects, manager_start()
 * fills them, bus_request_name() makes them visible. */

#include <systemd/sd-event.h>

#include "manager.h"

#define BUS_NAME "org.passthroughd1"
#define BUS_ROOT "/org/passthroughd1"

typedef struct Bus Bus;

/* Connects to the system bus and attaches the connection to the loop. */
int bus_new(sd_event *event, Bus **ret, Fault *fault);
void bus_events(Bus *bus, ManagerEvents *ret);
int bus_attach(Bus *bus, Manager *manager, Fault *fault);
int bus_request_name(Bus *bus, Fault *fault);
/* Flushes what waits and closes. */
Bus *bus_free(Bus *bus);
