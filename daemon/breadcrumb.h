/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A module that crashes takes the service down with it. Before each call of a module op its name, the op and the device are
 * written to a small mapped file in the runtime directory (a few stores, no system call) and cleared after. A fatal signal or
 * an exit() in the middle of a call leaves its mark there. At start a mark is counted, and after MODULE_CRASHES_MAX with the
 * same module the module is refused until the machine boots again or the file is removed. A service that was merely killed
 * leaves no mark: an administrator's SIGKILL says nothing about the module that happened to be at work. */

#include "lib/macro.h"

typedef struct Breadcrumb Breadcrumb;

/* Opens (creates) `directory`/breadcrumb, settles what the last run left, and installs handlers for fatal signals, which
 * leave them to what was installed before. To be called on the thread that calls the modules. */
int breadcrumb_open(const char *directory, Breadcrumb **ret);
Breadcrumb *breadcrumb_close(Breadcrumb *breadcrumb);
DEFINE_CLEANUP(Breadcrumb *, breadcrumb_close)

/* Modules to refuse, with their reasons ("crashed twice, last in describe of pci-0000-3b-00-0"): NULL-terminated arrays that
 * belong to the breadcrumb. */
const char *const *breadcrumb_refused(const Breadcrumb *breadcrumb);
const char *const *breadcrumb_reasons(const Breadcrumb *breadcrumb);

void breadcrumb_enter(Breadcrumb *breadcrumb, const char *module, const char *op, const char *device);
void breadcrumb_leave(Breadcrumb *breadcrumb);
