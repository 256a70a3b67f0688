/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one place that turns faults into D-Bus errors. */

#include <systemd/sd-bus.h>

#include "lib/fault.h"

#define BUS_ERROR_PREFIX "org.passthroughd1.Error."

/* Sets `error` from the fault and returns a negative number, for use in a handler's return. A failure without a fault
 * becomes Internal with the errno's text: a bare errno never reaches a client. */
int bus_error_from_fault(sd_bus_error *error, int result, const Fault *fault);
/* Answers a method call that was kept. */
int bus_reply_fault(sd_bus_message *message, int result, const Fault *fault);
