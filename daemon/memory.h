/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the service does that its memory be no larger than what it knows. */

#include "manager.h"

/* First thing in main(). */
void memory_begin(void);
/* After work that took much memory for a while (the start, a scan, two topologies compared): gives the system back what is free
 * once the loop has come to rest. */
void memory_settle(Manager *m);
