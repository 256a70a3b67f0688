/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Manager.ListDevices: a page of devices at once, or, where somebody wants to see what is slow to read, when that was read. */

#include "bus-internal.h"
#include "field-index.h"
#include "json-util.h"
#include "lib/limits.h"
#include "observe.h"

typedef struct ListQuery {
        const char *type;
        ConditionList *where;
        unsigned limit;
        char *cursor;
        char *group;
        char **fields;
        bool slow;
} ListQuery;

static void list_query_done(ListQuery *q) {
        conditions_free(q->where);
        free(q->cursor);
        free(q->group);
        strv_free(q->fields);
}

static int read_list_query(Bus *b, sd_bus_message *m, ListQuery *q, Fault *fault) {
        _cleanup_(json_decrefp) json_t *where = NULL, *options = NULL;
        const JsonKey keys[] = {
                { "limit", JSON_KEY_UINT, &q->limit, PAGE_MAX, false },
                { "cursor", JSON_KEY_STRING, &q->cursor, ID_MAX, false },
                { "group", JSON_KEY_STRING, &q->group, NAME_MAX_BYTES, false },
                { "fields", JSON_KEY_STRV, &q->fields, 2 * FIELDS_MAX, false },
                { "slow", JSON_KEY_BOOL, &q->slow, 0, false },
                { 0 },
        };
        Module *module;
        int r;

        q->limit = PAGE_DEFAULT;
        r = sd_bus_message_read(m, "s", &q->type);
        if (r >= 0)
                r = bus_read_conditions(m, &where);
        if (r >= 0)
                r = bus_read_dict(m, &options);
        if (r >= 0)
                r = json_parse_object(options, keys, "the options of ListDevices", FAULT_UNKNOWN_OPTION, fault);
        if (r < 0)
                return r;
        if (q->limit == 0)
                q->limit = PAGE_DEFAULT;
        module = isempty(q->type) ? NULL : loader_find(b->manager->loader, q->type);
        if (!isempty(q->type) && (!module || module->state != MODULE_LOADED))
                return fault_set(fault, -ENOENT, FAULT_UNKNOWN_TYPE, "there is no type '%.32s'", q->type);
        if (json_array_size(where) > 0) {
                if (!module)
                        return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                         "conditions name fields of a type: give the type too");
                r = conditions_from_json(where, module, &q->where, fault);
        }
        return r;
}

static Match passes(Bus *b, const ListQuery *q, Device *device) {
        Match match = MATCH_YES;

        if (!isempty(q->type) && !streq(device->module->name, q->type))
                return MATCH_NO;
        if (q->where)
                match = conditions_match(q->where, device, NULL);
        if (match != MATCH_NO && q->group) {
                const Group *group = policy_find_group_by_name(b->manager->policy, q->group);

                if (!group || !group_has_member(group, device))
                        return MATCH_NO;
        }
        return match;
}

static Device *first_of_page(Bus *b, const ListQuery *q) {
        return isempty(q->cursor) ? inventory_first(b->manager->inventory) : inventory_find(b->manager->inventory, q->cursor);
}

/* All devices one after the other, or those that an index knows. */
typedef struct Walk {
        Device *device; /* NULL: the end */
        const IndexedText *items;
        size_t n_items;
} Walk;

static void walk_next(Walk *walk) {
        if (!walk->items) {
                walk->device = walk->device->hh.next;
                return;
        }
        walk->device = walk->n_items > 0 ? walk->items->device : NULL;
        if (walk->device) {
                walk->items++;
                walk->n_items--;
        }
}

static Walk walk_begin(Bus *b, const ListQuery *q) {
        Inventory *inventory = b->manager->inventory;
        Walk walk = { .device = first_of_page(b, q) };
        const Device *first = walk.device;
        const char *text;
        unsigned field;

        text = q->where && first ? conditions_equal_text(q->where, &field) : NULL;
        if (!text || inventory_find_text(inventory, loader_find(b->manager->loader, q->type), field, text, &walk.items,
                                         &walk.n_items) < 0)
                return walk;
        do
                walk_next(&walk);
        while (walk.device && walk.device->serial < first->serial);
        return walk;
}

/* The cursor is the id that comes first in the next page; a device that went meanwhile ends the listing early, which the
 * generation tells. */
static int append_page(sd_bus_message *reply, Bus *b, const ListQuery *q, const char **ret_cursor) {
        Walk walk = walk_begin(b, q);
        unsigned n = 0;
        int r = sd_bus_message_open_container(reply, 'a', "(oa{sv})");

        *ret_cursor = "";
        for (; walk.device && r >= 0; walk_next(&walk)) {
                Device *device = walk.device;
                char path[BUS_PATH_SIZE];

                if (passes(b, q, device) != MATCH_YES)
                        continue;
                if (n++ >= q->limit) {
                        *ret_cursor = device->id;
                        break;
                }
                bus_path(OBJECT_DEVICE, device->id, path);
                r = sd_bus_message_open_container(reply, 'r', "oa{sv}");
                if (r >= 0)
                        r = sd_bus_message_append_basic(reply, 'o', path);
                if (r >= 0)
                        r = bus_append_device(reply, b, device, (const char *const *) q->fields);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int answer(Bus *b, sd_bus_message *m, const ListQuery *q) {
        sd_bus_message *reply = NULL;
        const char *cursor;
        int r = sd_bus_message_new_method_return(m, &reply);

        if (r >= 0)
                r = append_page(reply, b, q, &cursor);
        if (r >= 0)
                r = sd_bus_message_append(reply, "st", cursor, inventory_generation(b->manager->inventory));
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

/* ---- what is slow to read ---- */

typedef struct SlowList {
        Bus *bus;
        sd_bus_message *message;
        ListQuery query;
        unsigned pending; /* devices that are being read, and one for whoever counts them */
} SlowList;

static void one_less(void *userdata) {
        SlowList *list = userdata;
        int r;

        if (--list->pending > 0)
                return;
        r = answer(list->bus, list->message, &list->query);
        if (r < 0)
                (void) bus_reply_fault(list->message, r, NULL);
        sd_bus_message_unref(list->message);
        list_query_done(&list->query);
        free(list);
}

static bool names_slow_field(const ListQuery *q, const Module *module) {
        for (const PtField *f = module->descriptor->fields; f && f->name; f++)
                if (f->flags & PT_FIELD_SLOW && (!q->fields || strv_contains((const char *const *) q->fields, f->name)))
                        return true;
        return false;
}

/* What is to be shown of the devices of the page, and what the conditions name of those that may turn out to belong to it. What could
 * not be read the last time is not tried again for a list. */
static bool wants_reading(const ListQuery *q, const Device *device, Match match) {
        if (match == MATCH_NO || (device->slow != SLOW_UNKNOWN && device->slow != SLOW_READING))
                return false;
        return match == MATCH_UNKNOWN || names_slow_field(q, device->module);
}

static int answer_when_read(Bus *b, sd_bus_message *m, ListQuery *query) {
        SlowList *list = calloc(1, sizeof(*list));
        unsigned n = 0;

        if (!list)
                return -ENOMEM;
        *list = (SlowList) { .bus = b, .message = sd_bus_message_ref(m), .query = *query, .pending = 1 };
        *query = (ListQuery) { 0 };
        for (Device *device = first_of_page(b, &list->query); device && n < list->query.limit; device = device->hh.next) {
                Match match = passes(b, &list->query, device);

                n += match == MATCH_YES;
                if (!wants_reading(&list->query, device, match))
                        continue;
                list->pending++;
                observe_device(b->manager, device, one_less, list);
        }
        one_less(list);
        return 0;
}

int bus_method_list_devices(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(list_query_done) ListQuery query = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        int r = read_list_query(b, m, &query, &fault);

        if (r >= 0)
                r = query.slow ? answer_when_read(b, m, &query) : answer(b, m, &query);
        return r < 0 ? bus_error_from_fault(error, r, &fault) : 1;
}
