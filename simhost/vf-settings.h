/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* Network settings of virtual functions, as rtnetlink hands them to the driver of the physical one: what each driver refuses, takes
 * and does not apply, or does not report. Instead of messages there is a file for each PF, `device/BDF/vf-records`: it reads as a line
 * for the PF and one for each function, "3 mac=52:54:00:00:00:01 vlan=10 ..."; writing "3 vlan=10 qos=0 vlan-protocol=802.1Q" is one
 * message, and the driver's errno that of the write. */

int vf_records_read(Kernel *k, const char *bdf, char *ret, size_t size);
int vf_records_write(Kernel *k, const char *bdf, const char *text);
/* devlink's mode of the card's embedded switch: "device/BDF/eswitch-mode", "legacy" or "switchdev"; empty where there is none, as at
 * first. In switchdev mode the driver takes addresses alone. */
int eswitch_mode_read(Kernel *k, const char *bdf, char *ret, size_t size);
int eswitch_mode_write(Kernel *k, const char *bdf, const char *text);
/* The functions of the PF are gone, and what was set with them. */
void vf_records_forget(Kernel *k, const char *bdf);
