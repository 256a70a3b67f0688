/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The network namespaces of the host beside its own: those of processes, and those that a mount keeps (/run/netns, containers).
 * A network card that was moved into one has vanished from the host's view, and works on. */

#include "net-view.h"

typedef struct NetNamespaces {
        NetView *views; /* of those in which there is hardware, or something that stands on another namespace's */
        size_t n_views;
        bool incomplete; /* some could not be looked into */
} NetNamespaces;

/* Fails only for want of memory. The calling thread enters each of them for an instant. */
int net_namespaces_read(const Sysfs *sysfs, NetNamespaces *ret);
void net_namespaces_done(NetNamespaces *namespaces);
#define _cleanup_net_namespaces_ _cleanup_(net_namespaces_done)
