/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Provider.Watch(), Use and UseHistory(): a watch lasts as long as somebody has the other end of its pipe. */

#include <sys/epoll.h>
#include <unistd.h>

#include "bus-internal.h"
#include "json-util.h"
#include "lib/limits.h"
#include "meter.h"

typedef struct UseWatch {
        Bus *bus;
        MeterWatch *watch;
        int fd; /* read end */
        sd_event_source *hangup;
        struct UseWatch *next;
} UseWatch;

static void use_watch_free(UseWatch *w) {
        for (UseWatch **p = &w->bus->use_watches; *p; p = &(*p)->next)
                if (*p == w) {
                        *p = w->next;
                        break;
                }
        if (w->watch)
                meter_unwatch(w->watch);
        sd_event_source_disable_unref(w->hangup);
        close_fd(w->fd);
        free(w);
}

static int on_hangup(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        use_watch_free(userdata);
        return 0;
}

/* The end of the pipe tells the watcher. */
static void on_gone(void *userdata) {
        UseWatch *w = userdata;

        w->watch = NULL;
        use_watch_free(w);
}

static int watch(Bus *b, Device *provider, uid_t uid, unsigned interval, int *ret_fd, Fault *fault) {
        UseWatch *w = calloc(1, sizeof(UseWatch));
        int fds[2], r;

        if (!w)
                return fault_oom(fault);
        *w = (UseWatch){ .bus = b, .fd = -EBADF, .next = b->use_watches };
        b->use_watches = w;
        r = meter_watch(b->manager, provider, uid, interval, on_gone, w, &w->watch, fault);
        if (r >= 0 && pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                r = fault_set(fault, -errno, FAULT_LIMIT_REACHED, "no pipe can be made: %s", strerror(errno));
        else if (r >= 0) {
                w->fd = fds[0];
                *ret_fd = fds[1];
                r = sd_event_add_io(b->event, &w->hangup, w->fd, EPOLLHUP, on_hangup, w);
                if (r < 0)
                        close_fd(fds[1]);
        }
        if (r < 0)
                use_watch_free(w);
        return r;
}

int bus_method_watch(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        unsigned interval = METER_INTERVAL_MSEC;
        const JsonKey keys[] = { { "interval", JSON_KEY_UINT, &interval, 0, false }, { 0 } };
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_close_ int fd = -EBADF;
        Caller caller;
        int r = bus_read_dict(m, &options);

        if (r >= 0)
                r = json_parse_object(options, keys, "the options of Watch", FAULT_UNKNOWN_OPTION, &fault);
        if (r < 0)
                return bus_error_from_fault(error, r, fault.code == FAULT_NONE ? NULL : &fault);
        r = auth_caller(object.bus, m, &caller, error);
        if (r < 0)
                return r;
        r = watch(object.bus, object.object, caller.uid, interval, &fd, &fault);
        return r < 0 ? bus_error_from_fault(error, r, &fault) : sd_bus_reply_method_return(m, "h", fd);
}

static void ids_to_paths(json_t *entry) {
        static const struct {
                const char *from, *to;
                ObjectKind kind;
        } members[] = {
                { "id", "object", OBJECT_DEVICE },
                { "allocation", "allocation", OBJECT_ALLOCATION },
        };

        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                const char *id = json_string_value(json_object_get(entry, members[i].from));
                char path[BUS_PATH_SIZE];

                if (!id)
                        continue;
                bus_path(members[i].kind, id, path);
                (void) json_object_del(entry, members[i].from);
                (void) json_object_set_new(entry, members[i].to, json_string(path));
        }
}

int bus_get_use(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        _cleanup_(json_decrefp) json_t *use = meter_use(object->bus->manager, object->object);
        json_t *entry;
        size_t i;

        if (!use)
                return -ENOMEM;
        json_array_foreach(json_object_get(use, "devices"), i, entry)
                ids_to_paths(entry);
        /* An empty list has no type of its own. */
        if (json_array_size(json_object_get(use, "devices")) == 0)
                (void) json_object_del(use, "devices");
        return bus_append_dict(reply, use);
}

int bus_method_use_history(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_free_ char *span = NULL, *device = NULL;
        uint64_t since = 0;
        const JsonKey keys[] = {
                { "span", JSON_KEY_STRING, &span, NAME_MAX_BYTES, false },
                { "device", JSON_KEY_STRING, &device, ID_MAX, false },
                { "since", JSON_KEY_UINT64, &since, 0, false },
                { 0 },
        };
        _cleanup_(json_decrefp) json_t *options = NULL, *rows = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        sd_bus_message *reply = NULL;
        int r = bus_read_dict(m, &options);

        if (r >= 0)
                r = json_parse_object(options, keys, "the options of UseHistory", FAULT_UNKNOWN_OPTION, &fault);
        if (r >= 0 && span && !streq(span, "short") && !streq(span, "long"))
                r = fault_set(&fault, -EINVAL, FAULT_INVALID_VALUE, "'%.64s' is no span; valid: short, long", span);
        if (r >= 0)
                r = meter_history(object.bus->manager, object.object, strempty(device), streq_null(span, "long"),
                                  since > INT64_MAX ? INT64_MAX : (int64_t) since, &rows, &fault);
        if (r < 0)
                return bus_error_from_fault(error, r, fault.code == FAULT_NONE ? NULL : &fault);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = bus_append_dict_list(reply, rows);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r < 0 ? bus_error_from_fault(error, r, NULL) : 1;
}

void bus_note_use(Bus *b, const char *device) {
        char path[BUS_PATH_SIZE];

        bus_path(OBJECT_DEVICE, device, path);
        bus_note_change(b, path, BUS_NAME ".Provider", "Use");
}

void bus_uses_free(Bus *b) {
        while (b->use_watches)
                use_watch_free(b->use_watches);
}
