/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "topology-boot.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <time.h>

#include "json-util.h"
#include "lib/limits.h"
#include "lib/parse.h"
#include "log.h"
#include "memory.h"
#include "topology.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define USEC_PER_SEC UINT64_C(1000000)
#define PREFIX_MIN 4u

typedef struct Comparison Comparison;

typedef struct Topology {
        Manager *m;
        char boot[UUID_TEXT_SIZE];
        json_t *boots;          /* heads {boot, kernel, time, until, devices}, oldest first */
        bool taken;
        uint64_t last_serial;   /* of the devices that are in it; 0: a run of the service before this one took it */
        sd_event_source *timer; /* the end of the time in which devices may come late */
        Comparison *comparisons;
} Topology;

/* Two topologies, of which each may have to be read. */
struct Comparison {
        Topology *t;
        char *ids[2];  /* NULL: now */
        json_t *heads[2];
        json_t *topologies[2];
        TopologyDone done;
        void *userdata;
        Comparison *next;
};

static uint64_t now_usec(clockid_t clock) {
        struct timespec ts;

        clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000u;
}

static const char *boot_of(json_t *head) {
        return strempty(json_string_value(json_object_get(head, "boot")));
}

static const char *kernel_of(json_t *head) {
        return strempty(json_string_value(json_object_get(head, "kernel")));
}

/* ---- taking it ---- */

static json_t *groups_of(const Device *device) {
        json_t *list = json_array();

        for (const Device *offer = device; offer; offer = offer->next_offer)
                for (size_t i = 0; offer->groups && offer->groups[i]; i++)
                        json_array_append_new(list, json_string(offer->groups[i]->id));
        return list;
}

static json_t *device_json(const Device *device) {
        const HostDevice *host = device->host;
        char ids[64];
        PtValue serial = { 0 };
        bool known = device_get_field_by_name(device, "serial", &serial) >= 0 && serial.type == PT_STRING;

        snprintf(ids, sizeof(ids), "%04x:%04x:%06x", host->vendor, host->product, host->class_code);
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:s, s:o}", "id", device->id, "place", host->sysname, "ids", ids,
                         "serial", known ? strempty(serial.s) : "", "name", device->name, "group", (int) host->iommu_group,
                         "driver", strempty(host->driver), "numa", (int) host->numa_node, "slot", strempty(host->slot), "groups",
                         groups_of(device));
}

json_t *topology_now(Manager *m) {
        json_t *devices = json_array();

        /* One entry for a host device, whoever offers it. */
        for (Device *device = inventory_first(m->inventory); device && devices; device = device->hh.next)
                if (device == device->host->offers)
                        json_array_append_new(devices, device_json(device));
        return devices ? json_pack("{s:o}", "devices", devices) : NULL;
}

/* The same as text. Device by device: as one tree it takes ten times the memory, in pieces that the devices known
 * afterwards come to lie between. */
static char *topology_text(Manager *m, json_int_t *ret_devices) {
        json_int_t n = 0;
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);
        bool complete;

        if (!stream)
                return NULL;
        (void) fputs("{\"devices\":[", stream);
        for (Device *device = inventory_first(m->inventory); device; device = device->hh.next) {
                _cleanup_(json_decrefp) json_t *json = NULL;

                if (device != device->host->offers)
                        continue;
                json = device_json(device);
                if (n++ > 0)
                        (void) fputc(',', stream);
                if (!json || json_dumpf(json, stream, JSON_COMPACT) < 0)
                        n = -1;
                if (n < 0)
                        break;
        }
        (void) fputs("]}", stream);
        complete = !ferror(stream);
        complete = fclose(stream) == 0 && complete && n >= 0;
        if (!complete) {
                free(text);
                return NULL;
        }
        *ret_devices = n;
        return text;
}

/* Takes `topology`. */
static void write_boot(Topology *t, json_t *head, char *topology) {
        StoreTxn *txn = store_begin(t->m->store, STORE_STATE);

        if (!txn) {
                free(topology);
                return;
        }
        store_put(txn, TABLE_BOOTS, boot_of(head), NULL, head);
        store_put_text(txn, TABLE_TOPOLOGY, boot_of(head), NULL, topology);
        while (json_array_size(t->boots) > BOOTS_MAX) {
                store_remove(txn, TABLE_BOOTS, boot_of(json_array_get(t->boots, 0)));
                store_remove(txn, TABLE_TOPOLOGY, boot_of(json_array_get(t->boots, 0)));
                json_array_remove(t->boots, 0);
        }
        if (store_commit(txn, NULL, NULL) < 0)
                log_plain(LOG_WARNING, "the topology of this boot could not be written");
}

static json_t *head_of(Topology *t, const char *boot) {
        json_t *head;
        size_t index;

        json_array_foreach(t->boots, index, head)
                if (streq(boot_of(head), boot))
                        return head;
        return NULL;
}

/* What was written first stays; what is there now and was not then came late. */
static void add_late(Topology *t, json_t *stored) {
        _cleanup_(json_decrefp) json_t *now = topology_now(t->m);
        json_t *devices = json_object_get(stored, "devices"), *device, *known, *head = head_of(t, t->boot);
        _cleanup_(json_decrefp) json_t *ids = json_object();
        size_t index, added = 0;

        json_array_foreach(devices, index, known)
                json_object_set_new(ids, strempty(json_string_value(json_object_get(known, "id"))), json_true());
        json_array_foreach(json_object_get(now, "devices"), index, device)
                if (!json_object_get(ids, strempty(json_string_value(json_object_get(device, "id")))))
                        added += json_array_append(devices, device) >= 0;
        if (added == 0 || !head)
                return;
        json_object_set_new(head, "devices", json_integer((json_int_t) json_array_size(devices)));
        write_boot(t, head, json_dumps(stored, JSON_COMPACT));
}

static void on_stored_loaded(void *userdata, int result, json_t *body, const Fault *fault) {
        Topology *t = userdata;

        if (result >= 0)
                add_late(t, body);
        memory_settle(t->m);
}

/* What this run wrote down itself needs not be read again where nothing came since. */
static bool anything_late(Topology *t) {
        for (Device *device = inventory_first(t->m->inventory); device; device = device->hh.next)
                if (device->serial > t->last_serial)
                        return true;
        return false;
}

static int on_settled(sd_event_source *source, uint64_t usec, void *userdata) {
        Topology *t = userdata;

        t->timer = sd_event_source_disable_unref(t->timer);
        if (!anything_late(t))
                return 0;
        (void) store_query_record(t->m->store, TABLE_TOPOLOGY, t->boot, on_stored_loaded, t, NULL);
        return 0;
}

static void wait_for_late(Topology *t, uint64_t until) {
        if (now_usec(CLOCK_BOOTTIME) < until)
                (void) sd_event_add_time(t->m->event, &t->timer, CLOCK_BOOTTIME, until, USEC_PER_SEC, on_settled, t);
}

void topology_take(Manager *m) {
        Topology *t = m->topology;
        _cleanup_free_ char *topology = NULL;
        struct utsname kernel = { 0 };
        json_int_t devices;
        json_t *head;

        if (!t || t->taken || isempty(t->boot) || m->readiness == READINESS_STARTING || store_health(m->store) == STORE_READ_ONLY)
                return;
        t->taken = true;
        head = head_of(t, t->boot);
        if (head) { /* the service was started anew */
                wait_for_late(t, (uint64_t) json_integer_value(json_object_get(head, "until")));
                return;
        }
        topology = topology_text(m, &devices);
        if (!topology)
                return;
        (void) uname(&kernel);
        uint64_t until = now_usec(CLOCK_BOOTTIME) + TOPOLOGY_SETTLE_SEC * USEC_PER_SEC;
        head = json_pack("{s:s, s:s, s:I, s:I, s:I}", "boot", t->boot, "kernel", kernel.release, "time",
                         (json_int_t) now_usec(CLOCK_REALTIME), "until", (json_int_t) until, "devices", devices);
        if (!head || json_array_append_new(t->boots, head) < 0)
                return;
        for (Device *device = inventory_first(m->inventory); device; device = device->hh.next)
                t->last_serial = MAX_OF(t->last_serial, device->serial);
        write_boot(t, head, TAKE_PTR(topology));
        wait_for_late(t, until);
}

static int load_head(void *userdata, const char *key, const char *owner, json_t *body) {
        Topology *t = userdata;

        if (streq(boot_of(body), key))
                json_array_append(t->boots, body);
        return 0;
}

int topology_load(Manager *m, Fault *fault) {
        Topology *t = calloc(1, sizeof(Topology));
        char text[64] = "";

        if (!t)
                return fault_oom(fault);
        m->topology = t;
        t->m = m;
        t->boots = json_array();
        if (!t->boots)
                return fault_oom(fault);
        if (sysfs_read(&m->sysfs, BOOT_ID, text, sizeof(text)) < 0 || parse_uuid(text, t->boot) < 0)
                log_plain(LOG_WARNING, BOOT_ID " can't be read: the topology of this boot is not recorded");
        return store_load(m->store, TABLE_BOOTS, load_head, t, fault);
}

json_t *manager_topology_boots(Manager *m) {
        Topology *t = m->topology;
        json_t *list = json_array(), *head;
        size_t index;

        json_array_foreach(t ? t->boots : NULL, index, head) {
                json_t *copy = json_copy(head);

                json_object_del(copy, "until");
                json_object_set_new(copy, "current", json_boolean(streq(boot_of(head), t->boot)));
                json_array_append_new(list, copy);
        }
        return list;
}

/* ---- which boot is meant ---- */

static void list_boots(Topology *t, char *text, size_t size) {
        size_t index, used = 0;
        json_t *head;

        (void) snprintf(text, size, "none");
        json_array_foreach(t->boots, index, head)
                if (used + UUID_TEXT_SIZE + 2 < size)
                        used += (size_t) snprintf(text + used, size - used, "%s%s", index > 0 ? ", " : "", boot_of(head));
}

/* The place of this boot in the list, or one behind the last while it is not recorded. */
static size_t current_index(Topology *t) {
        size_t n = json_array_size(t->boots);

        return n > 0 && streq(boot_of(json_array_get(t->boots, n - 1)), t->boot) ? n - 1 : n;
}

static json_t *find_boot(Topology *t, const char *word) {
        size_t current = current_index(t), index;
        json_t *head, *found = NULL;
        struct utsname kernel = { 0 };
        int32_t number;

        if (streq(word, "boot"))
                return current > 0 ? json_array_get(t->boots, current - 1) : NULL;
        if (streq(word, "kernel")) {
                (void) uname(&kernel);
                for (index = current; index-- > 0;)
                        if (!streq(kernel_of(json_array_get(t->boots, index)), kernel.release))
                                return json_array_get(t->boots, index);
                return NULL;
        }
        if (strlen(word) < PREFIX_MIN && parse_int32(word, &number) >= 0)
                return number <= 0 && current >= (size_t) -(int64_t) number ? json_array_get(t->boots, current + (size_t) number) : NULL;
        json_array_foreach(t->boots, index, head)
                if (strlen(word) >= PREFIX_MIN && startswith(boot_of(head), word)) {
                        if (found)
                                return NULL;
                        found = head;
                }
        return found;
}

static int take_boot(Topology *t, const char *word, Comparison *c, int side, Fault *fault) {
        char known[BOOTS_MAX * (UUID_TEXT_SIZE + 2) + 64];
        json_t *head;

        if (side == 1 && streq(word, "now"))
                return 0;
        head = find_boot(t, word);
        if (!head) {
                list_boots(t, known, sizeof(known));
                return fault_set(fault, -ENOENT, FAULT_UNKNOWN_BOOT,
                                 streq(word, "boot")     ? "no boot before this one is recorded%.0s; recorded are: %s"
                                 : streq(word, "kernel") ? "no boot with another kernel is recorded%.0s; recorded are: %s"
                                                         : "there is no boot '%.64s', or several begin so; recorded are: %s",
                                 word, known);
        }
        c->heads[side] = json_incref(head);
        c->ids[side] = strdup(boot_of(head));
        return c->ids[side] ? 0 : fault_oom(fault);
}

/* ---- comparing ---- */

static Comparison *comparison_free(Comparison *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < 2; i++) {
                free(c->ids[i]);
                json_decref(c->heads[i]);
                json_decref(c->topologies[i]);
        }
        free(c);
        return NULL;
}
DEFINE_CLEANUP(Comparison *, comparison_free)

static void end_comparison(Comparison *c, int result, const Fault *fault, json_t *rows) {
        for (Comparison **p = &c->t->comparisons; *p; p = &(*p)->next)
                if (*p == c) {
                        *p = c->next;
                        break;
                }
        if (c->done)
                c->done(c->userdata, result, fault, rows);
        memory_settle(c->t->m);
        comparison_free(c);
}

static json_t *kernel_row(const char *before, const char *after) {
        char text[256];

        snprintf(text, sizeof(text), "Linux %.80s ran and %.80s runs", before, after);
        return json_pack("{s:s, s:s, s:s, s:[], s:[], s:s, s:s, s:[], s:[], s:[]}", "kind", "kernel", "severity", "note", "text", text,
                         "devices", "was", "before", before, "after", after, "groups", "rules", "allocations");
}

static void compare(Comparison *c) {
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_(json_decrefp) json_t *rows = topology_diff(c->topologies[0], c->topologies[1]);
        struct utsname kernel = { 0 };

        if (!rows) {
                end_comparison(c, fault_oom(&fault), &fault, NULL);
                return;
        }
        (void) uname(&kernel);
        topology_add_use(c->t->m, rows);
        const char *after = c->heads[1] ? kernel_of(c->heads[1]) : kernel.release;
        if (!streq(kernel_of(c->heads[0]), after))
                json_array_append_new(rows, kernel_row(kernel_of(c->heads[0]), after));
        end_comparison(c, 0, NULL, rows);
}

static void load_next(Comparison *c);

static void on_loaded(void *userdata, int result, json_t *body, const Fault *fault) {
        Comparison *c = userdata;
        _cleanup_fault_ Fault unknown = { 0 };
        size_t side = c->topologies[0] ? 1 : 0;

        if (result == -ENOENT) /* forgotten since it was named */
                fault_set(&unknown, result, FAULT_UNKNOWN_BOOT, "boot %s is not recorded any more", c->ids[side]);
        if (result < 0) {
                end_comparison(c, result, result == -ENOENT ? &unknown : fault, NULL);
                return;
        }
        c->topologies[side] = json_incref(body);
        load_next(c);
}

static void load_next(Comparison *c) {
        _cleanup_fault_ Fault fault = { 0 };

        for (size_t side = 0; side < 2; side++) {
                if (c->topologies[side])
                        continue;
                if (!c->ids[side]) {
                        c->topologies[side] = topology_now(c->t->m);
                        continue;
                }
                int r = store_query_record(c->t->m->store, TABLE_TOPOLOGY, c->ids[side], on_loaded, c, &fault);
                if (r < 0)
                        end_comparison(c, r, &fault, NULL);
                return;
        }
        compare(c);
}

int manager_topology_diff(Manager *m, json_t *options, TopologyDone done, void *userdata, Fault *fault) {
        _cleanup_(comparison_freep) Comparison *c = calloc(1, sizeof(Comparison));
        _cleanup_free_ char *since = NULL, *until = NULL;
        const JsonKey keys[] = {
                { "since", JSON_KEY_STRING, &since, 64, false },
                { "until", JSON_KEY_STRING, &until, 64, false },
                { 0 },
        };
        int r = json_parse_object(options, keys, "the options of TopologyDiff", FAULT_UNKNOWN_OPTION, fault);

        if (r >= 0 && !c)
                r = fault_oom(fault);
        if (r >= 0)
                r = take_boot(m->topology, since ?: "boot", c, 0, fault);
        if (r >= 0)
                r = take_boot(m->topology, until ?: "now", c, 1, fault);
        if (r < 0)
                return r;
        c->t = m->topology;
        c->done = done;
        c->userdata = userdata;
        c->next = m->topology->comparisons;
        m->topology->comparisons = c;
        load_next(TAKE_PTR(c));
        return 0;
}

void topology_answer(Manager *m) {
        _cleanup_fault_ Fault fault = { 0 };

        fault_set(&fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping");
        while (m->topology && m->topology->comparisons)
                end_comparison(m->topology->comparisons, -ESHUTDOWN, &fault, NULL);
}

void topology_free(Manager *m) {
        Topology *t = m->topology;

        if (!t)
                return;
        while (t->comparisons) {
                Comparison *next = t->comparisons->next;
                comparison_free(t->comparisons);
                t->comparisons = next;
        }
        sd_event_source_disable_unref(t->timer);
        json_decref(t->boots);
        free(t);
        m->topology = NULL;
}
