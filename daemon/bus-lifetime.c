/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lifetimes that end with somebody else: a bus name, the invocation of a systemd unit, or the last copy of a pipe's end. When
 * the holder goes the wish ends; the guest's use does not, it drains.
 *
 * The ends of pipes that the service keeps go into systemd's fd store under the allocation's id, so that a restart finds
 * them; until the first Hold() an allocation of lifetime "hold" follows its caller's bus name. */

#include <stdio.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>

#include "bus-internal.h"
#include "json-util.h"
#include "log.h"

struct Holder {
        Bus *bus;
        char allocation[UUID_TEXT_SIZE];
        char *name;                 /* bus name, or unit name */
        int fd;                     /* read end of the pipe */
        sd_event_source *hangup;
        sd_bus_slot *watch, *removal, *query;
        bool again;                 /* something changed while the query was under way */
        struct Holder *next;
};

static void holder_free(Holder *holder) {
        for (Holder **p = &holder->bus->holders; *p; p = &(*p)->next)
                if (*p == holder) {
                        *p = holder->next;
                        break;
                }
        sd_event_source_disable_unref(holder->hangup);
        sd_bus_slot_unref(holder->watch);
        sd_bus_slot_unref(holder->removal);
        sd_bus_slot_unref(holder->query);
        close_fd(holder->fd);
        free(holder->name);
        free(holder);
}

static Holder *find_holder(Bus *b, const char *allocation) {
        for (Holder *holder = b->holders; holder; holder = holder->next)
                if (streq(holder->allocation, allocation))
                        return holder;
        return NULL;
}

static Holder *holder_new(Bus *b, const Allocation *allocation) {
        Holder *holder = calloc(1, sizeof(Holder));

        if (!holder)
                return NULL;
        holder->bus = b;
        holder->fd = -EBADF;
        memcpy(holder->allocation, allocation->id, sizeof(holder->allocation));
        holder->next = b->holders;
        b->holders = holder;
        return holder;
}

static void vanished(Holder *holder) {
        Manager *m = holder->bus->manager;
        Allocation *allocation = manager_find_allocation(m, holder->allocation);

        holder_free(holder);
        if (allocation) {
                log_message(LOG_INFO, LOG_EVENT_NONE, log_fields("ALLOCATION", allocation->id),
                            "the holder of the allocation of %s is gone", allocation->consumer);
                manager_holder_vanished(m, allocation);
        }
}

/* ---- bus names ---- */

static int on_name_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        const char *name, *old_owner, *new_owner;

        if (sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner) < 0 || !isempty(new_owner))
                return 0;
        auth_sender_vanished(b, name);
        for (Holder *holder = b->holders, *next; holder; holder = next) {
                next = holder->next;
                if (holder->fd < 0 && holder->name && streq(holder->name, name))
                        vanished(holder);
        }
        return 0;
}

static int on_owner_known(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Holder *holder = userdata;

        holder->query = sd_bus_slot_unref(holder->query);
        /* It went before we looked. Other errors say nothing about it. */
        if (sd_bus_message_is_method_error(m, "org.freedesktop.DBus.Error.NameHasNoOwner"))
                vanished(holder);
        return 0;
}

static int watch_name(Holder *holder, const char *name) {
        holder->name = strdup(name);
        if (!holder->name)
                return -ENOMEM;
        return sd_bus_call_method_async(holder->bus->bus, &holder->query, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                        "org.freedesktop.DBus", "GetNameOwner", on_owner_known, holder, "s", name);
}

/* ---- systemd units, by invocation id ---- */

static int on_unit_known(sd_bus_message *m, void *userdata, sd_bus_error *error);

static int ask_unit(Holder *holder) {
        uint8_t id[16];
        sd_bus_message *call = NULL;
        int r = 0;

        for (size_t i = 0; i < sizeof(id) && r >= 0; i++) {
                char pair[3] = { holder->name[2 * i], holder->name[2 * i + 1], '\0' };
                uint32_t byte;
                r = parse_hex32(pair, &byte);
                id[i] = (uint8_t) byte;
        }
        if (r >= 0)
                r = sd_bus_message_new_method_call(holder->bus->bus, &call, "org.freedesktop.systemd1", SYSTEMD_PATH,
                                                   "org.freedesktop.systemd1.Manager", "GetUnitByInvocationID");
        if (r >= 0)
                r = sd_bus_message_append_array(call, 'y', id, sizeof(id));
        if (r >= 0)
                r = sd_bus_call_async(holder->bus->bus, &holder->query, call, on_unit_known, holder, 0);
        sd_bus_message_unref(call);
        return r;
}

/* True when the answer says that no unit has the invocation any more. */
static bool unit_is_gone(Holder *holder, sd_bus_message *m) {
        holder->query = sd_bus_slot_unref(holder->query);
        if (!sd_bus_message_is_method_error(m, "org.freedesktop.systemd1.NoUnitForInvocationID"))
                return false;
        vanished(holder);
        return true;
}

static int ask_property(Holder *holder, const char *path, const char *property, sd_bus_message_handler_t answer) {
        return sd_bus_call_method_async(holder->bus->bus, &holder->query, "org.freedesktop.systemd1", path,
                                        "org.freedesktop.DBus.Properties", "Get", answer, holder, "ss",
                                        "org.freedesktop.systemd1.Unit", property);
}

/* A unit that failed, or that others need, stays loaded and keeps its id. */
static int on_unit_state(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Holder *holder = userdata;
        const char *state;

        if (unit_is_gone(holder, m))
                return 0;
        if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "v", "s", &state) >= 0 &&
            (streq(state, "inactive") || streq(state, "failed")))
                vanished(holder);
        else if (holder->again) {
                holder->again = false;
                (void) ask_unit(holder);
        }
        return 0;
}

static int on_unit_event(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Holder *holder = userdata;

        /* The answer to come may be older than this. */
        if (holder->query)
                holder->again = true;
        else
                (void) ask_unit(holder);
        return 0;
}

/* Changes are listened to before the state is asked for, so that none is missed. They come from the object of the name. */
static int on_unit_name(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Holder *holder = userdata;
        _cleanup_free_ char *path = NULL;
        const char *name;
        int r = -EIO;

        if (unit_is_gone(holder, m))
                return 0;
        if (!sd_bus_message_is_method_error(m, NULL))
                r = sd_bus_message_read(m, "v", "s", &name);
        if (r >= 0)
                r = sd_bus_path_encode(SYSTEMD_PATH "/unit", name, &path);
        if (r >= 0)
                r = sd_bus_match_signal_async(holder->bus->bus, &holder->watch, "org.freedesktop.systemd1", path,
                                              "org.freedesktop.DBus.Properties", "PropertiesChanged", on_unit_event, NULL,
                                              holder);
        if (r >= 0)
                r = ask_unit(holder);
        if (r < 0)
                log_message(LOG_WARNING, LOG_EVENT_NONE, log_fields("ALLOCATION", holder->allocation),
                            "the unit of the invocation %s can't be watched: %s", holder->name, strerror(-r));
        return 0;
}

/* The path names the invocation, not the unit. */
static int on_unit_known(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Holder *holder = userdata;
        const char *path;

        if (unit_is_gone(holder, m) || sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "o", &path) < 0)
                return 0;
        if (holder->watch)
                (void) ask_property(holder, path, "ActiveState", on_unit_state);
        else
                (void) ask_property(holder, path, "Id", on_unit_name);
        return 0;
}

static int watch_unit(Holder *holder, const char *invocation) {
        int r;

        if (strlen(invocation) != 32)
                return -EINVAL;
        holder->name = strdup(invocation);
        if (!holder->name)
                return -ENOMEM;
        /* Without a subscriber systemd signals nothing. */
        r = sd_bus_call_method_async(holder->bus->bus, NULL, "org.freedesktop.systemd1", SYSTEMD_PATH,
                                     "org.freedesktop.systemd1.Manager", "Subscribe", NULL, NULL, NULL);
        return r < 0 ? r : ask_unit(holder);
}

/* ---- pipes ---- */

/* systemd would keep its copy for ever, and has room for so many only. */
static void remove_stored(const Holder *holder) {
        char text[UUID_TEXT_SIZE + 64];

        if (holder->fd < 0)
                return;
        snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", holder->allocation);
        (void) sd_notify(false, text);
}

static int on_hangup(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Holder *holder = userdata;

        remove_stored(holder);
        vanished(holder);
        return 0;
}

static int watch_pipe(Holder *holder, int fd) {
        int r = sd_event_add_io(holder->bus->event, &holder->hangup, fd, EPOLLHUP, on_hangup, holder);

        if (r < 0)
                return r;
        holder->fd = fd;
        return 0;
}

int bus_lifetime_hold(Bus *b, Allocation *allocation, int *ret_fd) {
        Holder *holder = find_holder(b, allocation->id);
        char text[UUID_TEXT_SIZE + 64];
        int fds[2], r;

        if (holder && holder->fd >= 0)
                return -EBUSY; /* one pipe; its copies are the holders' business */
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        if (holder)
                holder_free(holder);
        holder = holder_new(b, allocation);
        r = holder ? watch_pipe(holder, fds[0]) : -ENOMEM;
        if (r < 0) {
                if (holder)
                        holder_free(holder);
                close_fd(fds[0]);
                close_fd(fds[1]);
                return r;
        }
        snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", allocation->id);
        (void) sd_pid_notify_with_fds(0, false, text, &fds[0], 1);
        *ret_fd = fds[1];
        return 0;
}

/* Pipe ends that systemd kept over a restart. */
static void take_stored(Bus *b) {
        char **names = NULL;
        int n = sd_listen_fds_with_names(true, &names);

        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;
                Allocation *allocation = manager_find_allocation(b->manager, names[i]);
                Holder *holder = allocation ? holder_new(b, allocation) : NULL;

                if (!holder || watch_pipe(holder, fd) < 0) {
                        if (holder)
                                holder_free(holder);
                        close_fd(fd);
                }
        }
        strv_free(names);
}

/* ---- what the bus layer calls ---- */

void bus_lifetime_added(Bus *b, Allocation *allocation) {
        Holder *holder;
        int r;

        if (!allocation || allocation->lifetime == LIFETIME_PERSISTENT || find_holder(b, allocation->id))
                return;
        holder = holder_new(b, allocation);
        if (!holder)
                return;
        r = allocation->lifetime == LIFETIME_UNIT ? watch_unit(holder, allocation->holder)
                                                  : watch_name(holder, allocation->holder);
        if (r < 0) {
                log_message(LOG_WARNING, LOG_EVENT_NONE, log_fields("ALLOCATION", allocation->id),
                            "the holder '%s' can't be watched: %s", allocation->holder, strerror(-r));
                holder_free(holder);
        }
}

void bus_lifetime_removed(Bus *b, const char *allocation) {
        Holder *holder = find_holder(b, allocation);

        if (!holder)
                return;
        remove_stored(holder);
        holder_free(holder);
}

int bus_lifetime_start(Bus *b) {
        take_stored(b);
        return sd_bus_match_signal_async(b->bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                         "org.freedesktop.DBus", "NameOwnerChanged", on_name_owner_changed, NULL, b);
}

void bus_lifetime_free(Bus *b) {
        while (b->holders)
                holder_free(b->holders);
}
