/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Says which devices' network interfaces changed: names, addresses, links, and the settings of virtual functions while the
 * interface of their physical one is up. It listens only, and says it a moment later, once for all that changed meanwhile: a
 * single activation sets half a dozen things. */

#include <systemd/sd-event.h>

typedef struct LinkWatch LinkWatch;

/* `sysname`: of the device that the interface belongs to ("0000:08:00.0"); NULL: any of them, as messages were lost. */
typedef void (*LinkChanged)(void *userdata, const char *sysname);

/* Hears nothing yet. */
int link_watch_new(sd_event *event, LinkChanged changed, void *userdata, LinkWatch **ret);
int link_watch_listen(LinkWatch *watch);
LinkWatch *link_watch_free(LinkWatch *watch);

/* One datagram of rtnetlink, wherever it is from. */
void link_watch_take(LinkWatch *watch, const void *data, size_t size);
