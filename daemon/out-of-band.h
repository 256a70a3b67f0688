/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The warning "no-out-of-band-access": a network card, the screen's card or a USB controller is to go, and the host has neither a
 * management controller nor a serial console by which somebody could get in when it is not reached any more. */

#include "manager.h"

/* `bundle`: the device and what moves with it, NULL-terminated. */
void check_out_of_band(Manager *m, HostDevice *const *bundle, FindingList *findings);
