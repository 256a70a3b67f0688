/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gives the process mounts that nobody else sees and the right to make more; without root in a user
 * namespace of its own. For the beginning of main(), before there is a second thread. */
void private_mounts(void);
