/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* Devices that are not well: what a person would find in their configuration space, their link and their error counters. */

/* BDF [ids | reset]: it answers with ones only, or with somebody else's ids, or stops answering at its next reset */
int dead_write(Kernel *k, const char *text);
/* BDF: it answers again as it was made */
int alive_write(Kernel *k, const char *text);
/* BDF fatal|nonfatal|correctable N: so many errors more in its aer_dev_* attributes */
int errors_write(Kernel *k, const char *text);
/* BDF WIDTH [SPEED]: what its link, and the port's above, has trained to; 0: the port's link is down */
int link_write(Kernel *k, const char *text);

/* BDF DEVICE: another card is in the hand, of that device id; to be plugged */
int exchange_write(Kernel *k, const char *text);

/* It was reset: what was ordered for that happens. */
void ailment_reset(Kernel *k, const char *bdf, const char *path);
