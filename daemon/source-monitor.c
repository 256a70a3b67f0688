/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "log.h"
#include "source-internal.h"

/* The monitor tells what happened to which device; what it is like now is read from sysfs. Of the message
 * only its own properties are used: with anything else libudev might read the device's `uevent`, which
 * can hang. */

typedef struct Message {
        const char *action, *subsystem, *path, *sysname, *old_sysname;
} Message;

static const char *last_component(const char *path) {
        const char *slash = path ? strrchr(path, '/') : NULL;

        return slash && slash[1] != '\0' ? slash + 1 : NULL;
}

static bool read_message(struct udev_device *device, Message *ret) {
        *ret = (Message){
                .action = udev_device_get_property_value(device, "ACTION"),
                .subsystem = udev_device_get_property_value(device, "SUBSYSTEM"),
                .path = udev_device_get_property_value(device, "DEVPATH"),
                .sysname = last_component(udev_device_get_property_value(device, "DEVPATH")),
                .old_sysname = last_component(udev_device_get_property_value(device, "DEVPATH_OLD")),
        };
        return ret->action && ret->subsystem && ret->sysname;
}

/* An interface's event is one of its USB device: "1-2.3:1.0" belongs to "1-2.3", "1-0:1.0" to the root
 * hub "usb1". */
static void whole_device(const char *subsystem, const char *sysname, char ret[static SOURCE_NAME_MAX]) {
        const char *colon = streq(subsystem, "usb") ? strchr(sysname, ':') : NULL;
        int length = (int) (colon ? (size_t) (colon - sysname) : strlen(sysname));

        (void) snprintf(ret, SOURCE_NAME_MAX, "%.*s", length, sysname);
        if (colon && length > 2 && streq(ret + length - 2, "-0"))
                (void) snprintf(ret, SOURCE_NAME_MAX, "usb%.*s", length - 2, sysname);
}

/* The one record of a device in this batch. Its key is the sysname and, after its NUL, the subsystem. */
static PendingEvent *pending_for(Source *source, Subsystem *subsystem, const char *sysname) {
        size_t name_length = strlen(sysname) + 1, length = name_length + strlen(subsystem->name);
        char key[SOURCE_NAME_MAX * 2];
        PendingEvent *pending;

        if (length > sizeof(key))
                return NULL;
        memcpy(key, sysname, name_length);
        memcpy(key + name_length, subsystem->name, length - name_length);
        HASH_FIND(hh, source->pending, key, length, pending);
        if (pending)
                return pending;

        pending = calloc(1, offsetof(PendingEvent, sysname) + length);
        if (!pending)
                return NULL;
        pending->subsystem = subsystem;
        memcpy(pending->sysname, key, length);
        HASH_ADD_KEYPTR(hh, source->pending, pending->sysname, length, pending);
        return pending;
}

static void note(Source *source, Subsystem *subsystem, const char *sysname, const char *action) {
        PendingEvent *pending = pending_for(source, subsystem, sysname);

        if (!pending) {
                log_plain(LOG_ERR, "An event of %s is lost: out of memory", sysname);
                return;
        }
        if (streq(action, "remove")) {
                pending->removed = true;
                pending->added = false;
                pending->action[0] = '\0';
                return;
        }
        if (streq(action, "add"))
                pending->added = true;
        (void) snprintf(pending->action, sizeof(pending->action), "%s", action);
}

static void take_message(Source *source, const Message *message) {
        Subsystem *subsystem = source_subsystem(source, message->subsystem);
        char sysname[SOURCE_NAME_MAX];
        bool part;

        if (source_take_mdev_message(source, message->subsystem, message->path, sysname, &subsystem)) {
                if (streq(message->action, "add") || streq(message->action, "remove"))
                        note(source, subsystem, sysname, SOURCE_ACTION_CHILDREN);
                return;
        }
        if (!subsystem)
                return;
        if (message->old_sysname && streq(message->action, "move") &&
            !streq(message->old_sysname, message->sysname)) {
                note(source, subsystem, message->old_sysname, "remove");
                note(source, subsystem, message->sysname, "add");
                return;
        }

        whole_device(subsystem->name, message->sysname, sysname);
        part = !streq(sysname, message->sysname);
        note(source, subsystem, sysname, part ? "change" : message->action);
}

static void settle(Source *source, PendingEvent *pending) {
        HostDevice *host;
        int r;

        if (pending->removed) {
                host = source_find_by_name(source, pending->subsystem->name, pending->sysname);
                if (host)
                        source_drop(source, host);
        }
        if (pending->action[0] == '\0')
                return;

        r = source_visit(source, pending->subsystem, pending->sysname, pending->action);
        if (r < 0)
                log_plain(LOG_WARNING, "%s device %s cannot be read: %s", pending->subsystem->name,
                          pending->sysname, strerror(-r));
}

static void settle_all(Source *source);

static int on_settle(sd_event_source *defer, void *userdata) {
        settle_all(userdata);
        return 0;
}

/* The rest waits for the loop's next turn; what comes in for the same devices until then joins it. */
static void settle_later(Source *source) {
        int r;

        if (source->settle_source)
                r = sd_event_source_set_enabled(source->settle_source, SD_EVENT_ONESHOT);
        else
                r = sd_event_add_defer(source->event, &source->settle_source, on_settle, source);
        if (r < 0)
                log_plain(LOG_ERR, "Device events wait for the next one: %s", strerror(-r));
}

static void settle_all(Source *source) {
        uint64_t deadline = source_now_usec() + SCAN_SLICE_USEC;
        PendingEvent *pending, *next;
        bool slots = false;

        HASH_ITER(hh, source->pending, pending, next)
                slots |= pending->added && streq(pending->subsystem->name, "pci");
        if (slots)
                source_refresh_slots(source);
        host_facts_new_turn(source->facts);

        HASH_ITER(hh, source->pending, pending, next) {
                if (source_now_usec() >= deadline) {
                        settle_later(source);
                        return;
                }
                HASH_DEL(source->pending, pending);
                settle(source, pending);
                free(pending);
        }
}

static int on_readable(sd_event_source *io, int fd, uint32_t events, void *userdata) {
        Source *source = userdata;
        bool drained = false;

        if (!source->pending)
                source->settle_by = source_now_usec() + SETTLE_LATEST_USEC;
        /* The rest wakes us again. */
        for (unsigned i = 0; i < MONITOR_BATCH_MAX; i++) {
                struct udev_device *device;
                Message message;

                errno = 0;
                device = udev_monitor_receive_device(source->monitor);
                if (!device) {
                        if (errno == ENOBUFS) {
                                log_message(LOG_WARNING, LOG_EVENT_OVERFLOW, NULL,
                                            "Device events were lost; all devices are looked at again");
                                source->overflowed = true;
                                continue;
                        }
                        drained = true;
                        break;
                }
                if (read_message(device, &message))
                        take_message(source, &message);
                udev_device_unref(device);
        }

        /* The kernel says it once, and throws away all further events until what waits has been read
         * (net/netlink/af_netlink.c, NETLINK_S_CONGESTED). Only then a look at the devices misses nothing. */
        if (drained && source->overflowed) {
                source->overflowed = false;
                (void) source_rescan(source);
        }

        /* A device of which many events wait is looked at once. */
        if (drained || source_now_usec() >= source->settle_by)
                settle_all(source);
        return 0;
}

static int add_filter(Source *source, const char *subsystem, Fault *fault) {
        int r = udev_monitor_filter_add_match_subsystem_devtype(source->monitor, subsystem, NULL);

        return r < 0 ? fault_set(fault, r, FAULT_INTERNAL, "Events of %s devices cannot be asked for: %s", subsystem, strerror(-r))
                     : 0;
}

static int add_filters(Source *source, Fault *fault) {
        int r = 0;

        for (Subsystem *s = source->subsystems; s && r >= 0; s = s->next) {
                if (source_is_parent_class(s)) {
                        r = add_filter(source, "mdev", fault);
                        if (r >= 0)
                                r = add_filter(source, "drivers", fault);
                } else
                        r = add_filter(source, s->name, fault);
        }
        return r;
}

int source_open_monitor(Source *source, Fault *fault) {
        const char *group = sysfs_exists(&source->sysfs, "/run/udev/control") ? "udev" : "kernel";
        int r;

        source->monitor = udev_monitor_new_from_netlink(source->udev, group);
        if (!source->monitor)
                return fault_set(fault, errno > 0 ? -errno : -EIO, FAULT_INTERNAL,
                                 "Device events cannot be received: %m");
        r = add_filters(source, fault);
        if (r < 0)
                return r;

        /* Beyond net.core.rmem_max only with CAP_NET_ADMIN. A small buffer overflows earlier, which is
         * seen and made up for, so it is not worth failing. */
        r = udev_monitor_set_receive_buffer_size(source->monitor, MONITOR_BUFFER_BYTES);
        if (r < 0)
                log_plain(LOG_DEBUG, "The buffer for device events keeps its default size: %s",
                          strerror(-r));
        r = udev_monitor_enable_receiving(source->monitor);
        if (r < 0)
                return fault_set(fault, r, FAULT_INTERNAL, "Device events cannot be received: %s",
                                 strerror(-r));

        r = sd_event_add_io(source->event, &source->monitor_source, udev_monitor_get_fd(source->monitor),
                            EPOLLIN, on_readable, source);
        if (r < 0)
                return fault_set(fault, r, FAULT_INTERNAL, "Device events cannot be waited for: %s",
                                 strerror(-r));
        (void) sd_event_source_set_description(source->monitor_source, "device-events");
        return 0;
}

void source_close_monitor(Source *source) {
        PendingEvent *pending, *next;

        source_forget_parents(source);
        sd_event_source_disable_unref(source->monitor_source);
        source->monitor_source = NULL;
        sd_event_source_disable_unref(source->settle_source);
        source->settle_source = NULL;
        if (source->monitor)
                udev_monitor_unref(source->monitor);
        source->monitor = NULL;
        HASH_ITER(hh, source->pending, pending, next) {
                HASH_DEL(source->pending, pending);
                free(pending);
        }
}
