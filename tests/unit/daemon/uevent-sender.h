/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sends device events as udev sends them on, into a network namespace of our own. */

/* Once, before the first thread: events of the machine's own devices must not come in, nor ours go out. */
void uevent_enter_namespace(void);
int uevent_socket(void);
/* `devpath`: "/devices/pci0000:00/0000:00:01.0". `extra`: one more property or NULL. Returns 0, or
 * -ENOBUFS when somebody's buffer is full. */
int uevent_send(int fd, const char *action, const char *subsystem, const char *devtype, const char *devpath,
                const char *extra);
/* Makes the buffers of this process's monitors small, so that few events are too many. */
void uevent_shrink_buffers(int size);
