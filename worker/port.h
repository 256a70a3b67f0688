/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What PCI Express ports say of what is below them, from their configuration space: is the link up, is a card in the slot. */

#include "job.h"
#include "worker.h"

typedef enum PortSign {
        PORT_UNKNOWN, /* the port does not report it */
        PORT_NO,
        PORT_YES,
} PortSign;

typedef struct PortState {
        PortSign link, card;
} PortState;

/* `config`: the first 256 bytes or more. */
PortState port_state(const uint8_t *config, size_t size);
/* The request "ports": one "port" for each device. */
int port_run(Worker *worker, json_t *message, int *ret_result, Fault *fault);
