/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-object.h"

#include "cli-bus.h"
#include "cli-value.h"
#include "lib/id.h"

/* dbus-daemon lets a connection of the system bus wait for 128 answers. */
#define CALLS_AT_ONCE 64
#define PAGE_SIZE 1000
#define LISTING_TRIES 3
#define PREFIX_MIN 4 /* of an id: fewer characters fit by chance */
#define PROPERTIES "org.freedesktop.DBus.Properties"

/* `explicit`: a property that GetAll leaves out, because it is large. */
static const struct {
        const char *word, *plural, *interface, *explicit;
} kinds[_KIND_MAX] = {
        [KIND_DEVICE] = { "device", "devices", INTERFACE("Device") },
        [KIND_GROUP] = { "group", "groups", INTERFACE("Group") },
        [KIND_RULE] = { "rule", "rules", INTERFACE("Rule"), "Matched" },
        [KIND_ALLOCATION] = { "allocation", "allocations", INTERFACE("Allocation") },
        [KIND_JOB] = { "job", "jobs", INTERFACE("Job") },
        [KIND_MODULE] = { "module", "modules", INTERFACE("Module") },
};

const char *kind_interface(Kind kind) {
        return kinds[kind].interface;
}

const char *kind_word(Kind kind) {
        return kinds[kind].word;
}

int kind_path(Cli *cli, Kind kind, const char *id, char **ret) {
        char element[ID_SIZE];

        if (id_to_path_element(id, element) < 0)
                return cli_fail(cli, STATUS_NOT_FOUND, "there is no %s '%s'", kinds[kind].word, id);
        return asprintf(ret, BUS_ROOT "/%s/%s", kinds[kind].plural, element) < 0 ? cli_oom(cli) : 0;
}

/* ---- properties ---- */

json_t *id_of_path(json_t *path) {
        const char *text = json_string_value(path), *rest = text ? startswith(text, BUS_ROOT "/") : NULL;
        const char *element = rest ? strchr(rest, '/') : NULL;
        char id[ID_SIZE];

        if (!element || id_from_path_element(element + 1, id) < 0)
                return json_incref(path);
        return json_string(id);
}

static json_t *tidy_value(json_t *value) {
        json_t *array, *item;
        size_t index;

        if (!json_is_array(value))
                return json_is_string(value) ? id_of_path(value) : json_incref(value);
        array = json_array();
        json_array_foreach(value, index,
                           item) if (json_array_append_new(array, json_is_string(item)
                                                                          ? id_of_path(item)
                                                                          : json_incref(item)) < 0) {
                json_decref(array);
                return NULL;
        }
        return array;
}

/* {"OwnerUid": …} becomes {"owner-uid": …}. */
static json_t *tidy_properties(json_t *properties) {
        json_t *object = json_object(), *value;
        const char *name;

        json_object_foreach(properties, name, value) {
                char kebab[ID_SIZE];

                /* "/" stands for none where there could be one. */
                if (streq(name, "Allocation") && streq_null(json_string_value(value), "/"))
                        value = json_string("");
                else
                        value = tidy_value(value);
                if (json_object_set_new(object, camel_to_kebab(name, kebab) < 0 ? name : kebab, value) < 0) {
                        json_decref(object);
                        return NULL;
                }
        }
        return object;
}

static void add_explicit(Kind kind, json_t *value, json_t *object) {
        json_auto_t *properties = json_pack("{s:O}", kinds[kind].explicit, value),
                    *tidy = tidy_properties(properties);

        (void) json_object_update(object, tidy);
}

static int get_explicit(Cli *cli, Kind kind, const char *path, json_t *object) {
        json_auto_t *reply = NULL;
        int r = bus_call(cli, path, PROPERTIES, "Get", "s s",
                         json_pack("[s, s]", kinds[kind].interface, kinds[kind].explicit), &reply);

        if (r >= 0)
                add_explicit(kind, json_array_get(reply, 0), object);
        return r;
}

int get_object(Cli *cli, Kind kind, const char *path, json_t **ret) {
        json_auto_t *reply = NULL, *object = NULL;
        /* A device has two interfaces, and the second one's name is its module's matter. */
        const char *interface = kind == KIND_DEVICE ? "" : kinds[kind].interface;
        int r = bus_call(cli, path, PROPERTIES, "GetAll", "s", json_pack("[s]", interface), &reply);

        if (r < 0)
                return r;
        object = tidy_properties(json_array_get(reply, 0));
        if (!object)
                return cli_oom(cli);
        if (kinds[kind].explicit)
                r = get_explicit(cli, kind, path, object);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(object);
        return 0;
}

/* ---- all objects of a kind ---- */

/* The children that introspection names. */
static json_t *parse_children(const char *xml) {
        static const char mark[] = "<node name=\"";
        json_t *array = json_array();

        for (const char *p = xml; array && (p = strstr(p, mark)); p++) {
                const char *end = strchr(p + strlen(mark), '"');
                char element[ID_SIZE] = "", id[ID_SIZE];
                size_t length = end ? (size_t) (end - p) - strlen(mark) : 0;

                if (length == 0 || length >= sizeof(element))
                        continue;
                memcpy(element, p + strlen(mark), length);
                if (id_from_path_element(element, id) >= 0)
                        (void) json_array_append_new(array, json_string(id));
        }
        return array;
}

static int list_children(Cli *cli, Kind kind, json_t **ret) {
        json_auto_t *reply = NULL;
        char path[64];
        int r;

        (void) snprintf(path, sizeof(path), BUS_ROOT "/%s", kinds[kind].plural);
        r = bus_call(cli, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL, NULL, &reply);
        if (r < 0)
                return r;
        *ret = parse_children(strempty(json_string_value(json_array_get(reply, 0))));
        return *ret ? 0 : cli_oom(cli);
}

typedef struct Collection {
        Kind kind;
        json_t **objects; /* as asked for; NULL where it is gone */
        json_t **values;  /* their explicit properties */
        size_t n_open;
} Collection;

typedef struct Slot {
        Collection *collection;
        json_t **target;
} Slot;

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Slot *slot = userdata;
        json_auto_t *values = NULL;

        slot->collection->n_open--;
        /* It may have gone since it was named. */
        if (!sd_bus_message_is_method_error(reply, NULL) && values_read(reply, &values) >= 0)
                *slot->target = json_incref(json_array_get(values, 0));
        return 0;
}

static int process_until(Cli *cli, const Collection *collection, size_t n_open) {
        while (collection->n_open > n_open) {
                int r = sd_bus_process(cli->bus, NULL);

                if (r == 0)
                        r = sd_bus_wait(cli->bus, UINT64_MAX);
                if (r < 0)
                        return cli_fail_bus(cli, r, NULL);
        }
        return 0;
}

static int ask(Cli *cli, const char *path, Slot *slot, bool explicit) {
        Kind kind = slot->collection->kind;
        sd_bus_message *m = NULL;
        int r = bus_message(cli, path, PROPERTIES, explicit ? "Get" : "GetAll", explicit ? "s s" : "s",
                            explicit ? json_pack("[s, s]", kinds[kind].interface, kinds[kind].explicit)
                                     : json_pack("[s]", kinds[kind].interface),
                            &m);

        if (r < 0)
                return r;
        r = sd_bus_call_async(cli->bus, NULL, m, on_answer, slot, 0);
        sd_bus_message_unref(m);
        if (r < 0)
                return cli_fail_bus(cli, r, NULL);
        slot->collection->n_open++;
        return process_until(cli, slot->collection, CALLS_AT_ONCE - 1);
}

/* Asks for many objects without waiting for each. */
static int collect(Cli *cli, json_t *ids, Collection *collection, Slot *slots) {
        json_t *id;
        size_t i;
        int r = 0;

        json_array_foreach(ids, i, id) {
                _cleanup_free_ char *path = NULL;

                slots[2 * i] = (Slot){ collection, &collection->objects[i] };
                slots[2 * i + 1] = (Slot){ collection, &collection->values[i] };
                r = kind_path(cli, collection->kind, json_string_value(id), &path);
                if (r >= 0)
                        r = ask(cli, path, &slots[2 * i], false);
                if (r >= 0 && kinds[collection->kind].explicit)
                        r = ask(cli, path, &slots[2 * i + 1], true);
                if (r < 0)
                        return r;
        }
        return process_until(cli, collection, 0);
}

/* What was collected as it is shown; takes it over. */
static json_t *finish_objects(Collection *collection, json_t *ids) {
        json_t *array = json_array(), *id;
        size_t i;

        json_array_foreach(ids, i, id) {
                json_auto_t *properties = collection->objects[i], *value = collection->values[i];
                json_t *object = properties ? tidy_properties(properties) : NULL;

                if (!object)
                        continue;
                if (value)
                        add_explicit(collection->kind, value, object);
                if (!json_object_get(object, "id"))
                        (void) json_object_set(object, "id", id);
                (void) json_array_append_new(array, object);
        }
        return array;
}

/* Numbers by size, the rest by letters. */
static int compare_ids(const void *a, const void *b) {
        return strverscmp(json_string_value(*(json_t *const *) a), json_string_value(*(json_t *const *) b));
}

static int sort_ids(Cli *cli, json_t *ids, json_t **ret) {
        size_t n = json_array_size(ids);
        _cleanup_free_ json_t **order = calloc(n + 1, sizeof(json_t *));
        json_t *sorted = json_array();

        if (!order || !sorted) {
                json_decref(sorted);
                return cli_oom(cli);
        }
        for (size_t i = 0; i < n; i++)
                order[i] = json_array_get(ids, i);
        qsort(order, n, sizeof(json_t *), compare_ids);
        for (size_t i = 0; i < n; i++)
                (void) json_array_append(sorted, order[i]);
        *ret = sorted;
        return 0;
}

int list_ids(Cli *cli, Kind kind, json_t **ret) {
        json_auto_t *unsorted = NULL;
        int r = list_children(cli, kind, &unsorted);

        return r < 0 ? r : sort_ids(cli, unsorted, ret);
}

int list_objects(Cli *cli, Kind kind, json_t **ret) {
        json_auto_t *ids = NULL;
        Collection collection = { .kind = kind };
        _cleanup_free_ Slot *slots = NULL;
        size_t n;
        int r = list_ids(cli, kind, &ids);

        if (r < 0)
                return r;
        n = json_array_size(ids);
        collection.objects = calloc(n + 1, sizeof(json_t *));
        collection.values = calloc(n + 1, sizeof(json_t *));
        slots = calloc(2 * n + 1, sizeof(Slot));
        if (!collection.objects || !collection.values || !slots)
                r = cli_oom(cli);
        else
                r = collect(cli, ids, &collection, slots);
        if (r >= 0)
                *ret = finish_objects(&collection, ids);
        free(collection.objects);
        free(collection.values);
        return r;
}

/* ---- devices ---- */

static int list_pages(Cli *cli, const char *type, json_t *where, const char *group, json_t *fields,
                      bool slow, json_t **ret, bool *ret_changed) {
        json_auto_t *array = json_array();
        _cleanup_free_ char *cursor = strdup("");
        json_int_t generation = -1;

        for (;;) {
                json_auto_t *options = json_pack("{s:i, s:s, s:s*, s:O*, s:b}", "limit", PAGE_SIZE, "cursor",
                                                 strempty(cursor), "group", group, "fields", fields, "slow", slow);
                json_auto_t *reply = NULL;
                json_int_t now;
                json_t *entry;
                size_t index;
                int r = manager_call(cli, "ListDevices", "s a(sss) a{sv}",
                                     json_pack("[s, O, O]", strempty(type), where, options), &reply);

                if (r < 0)
                        return r;
                json_array_foreach(json_array_get(reply, 0), index, entry)(void)
                        json_array_append(array, json_array_get(entry, 1));
                now = json_integer_value(json_array_get(reply, 2));
                *ret_changed = generation >= 0 && now != generation;
                generation = now;
                free(cursor);
                cursor = strdup(strempty(json_string_value(json_array_get(reply, 1))));
                if (!cursor)
                        return cli_oom(cli);
                if (*ret_changed || isempty(cursor))
                        break;
        }
        *ret = TAKE_PTR(array);
        return 0;
}

/* When devices come or go between two pages, the listing begins anew. */
int list_devices(Cli *cli, const char *type, json_t *where, const char *group, json_t *fields, bool slow,
                 json_t **ret) {
        json_auto_t *nothing = json_array();
        bool changed = true;
        int r = 0;

        for (unsigned i = 0; i < LISTING_TRIES && changed && r >= 0; i++) {
                json_t *array = NULL;

                r = list_pages(cli, type, where ?: nothing, group, fields, slow, &array, &changed);
                if (r < 0)
                        return r;
                if (changed && i + 1 < LISTING_TRIES)
                        json_decref(array);
                else
                        *ret = array;
        }
        if (changed)
                cli_note(cli, "Devices come and go all the time; the list may not be complete.");
        return r;
}

/* ---- names ---- */

static int ask_manager(Cli *cli, const char *method, const char *name, char **ret_path) {
        json_auto_t *reply = NULL;
        int r = manager_call(cli, method, "s", json_pack("[s]", name), &reply);

        if (r < 0)
                return r;
        *ret_path = strdup(strempty(json_string_value(json_array_get(reply, 0))));
        return *ret_path ? 0 : cli_oom(cli);
}

static int find_device(Cli *cli, const char *name, char **ret_path) {
        const char *slash = strrchr(name, '/');
        unsigned bus, slot, function;
        char place[32];
        int end = 0;

        if (slash && startswith(name, "/sys/"))
                name = slash + 1;
        /* lspci leaves the domain out where there is only one. */
        if (sscanf(name, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) == 3 && name[end] == '\0') {
                (void) snprintf(place, sizeof(place), "0000:%02x:%02x.%x", bus, slot, function);
                name = place;
        }
        return ask_manager(cli, "GetDevice", name, ret_path);
}

/* The one object whose property has the value. 0: none or several, `ret_n` says how many. */
static int find_by_property(Cli *cli, Kind kind, const char *property, const char *value, char **ret_path,
                            size_t *ret_n) {
        json_auto_t *objects = NULL;
        const char *id = NULL;
        json_t *object;
        size_t index;
        int r = list_objects(cli, kind, &objects);

        if (r < 0)
                return r;
        *ret_n = 0;
        json_array_foreach(
                objects, index,
                object) if (streq_null(json_string_value(json_object_get(object, property)), value)) {
                id = json_string_value(json_object_get(object, "id"));
                (*ret_n)++;
        }
        return *ret_n == 1 ? kind_path(cli, kind, id, ret_path) : 0;
}

/* By the id, else by a property, else by a beginning of the id: what somebody chose goes before what
 * happens to fit. */
static int find_in_list(Cli *cli, Kind kind, const char *name, const char *property, bool prefix,
                        char **ret_path) {
        json_auto_t *ids = NULL;
        const char *found = NULL;
        json_t *id;
        size_t index, n_named, n = 0;
        int r = list_ids(cli, kind, &ids);

        if (r < 0)
                return r;
        json_array_foreach(ids, index, id) {
                const char *text = json_string_value(id);

                if (streq(text, name))
                        return kind_path(cli, kind, text, ret_path);
                if (!prefix || strlen(name) < PREFIX_MIN || strncasecmp(text, name, strlen(name)) != 0)
                        continue;
                found = text;
                n++;
        }
        r = find_by_property(cli, kind, property, name, ret_path, &n_named);
        if (r < 0 || n_named == 1)
                return r;
        if (n_named > 1)
                return cli_fail(cli, STATUS_NOT_FOUND, "%zu %ss have the %s '%s'; name one by its id",
                                n_named, kinds[kind].word, property, name);
        if (n == 1)
                return kind_path(cli, kind, found, ret_path);
        if (n > 1)
                return cli_fail(cli, STATUS_NOT_FOUND, "the ids of %zu %ss begin with '%s'", n,
                                kinds[kind].word, name);
        return cli_fail(cli, STATUS_NOT_FOUND, "there is no %s '%s'", kinds[kind].word, name);
}

int find_object(Cli *cli, Kind kind, const char *name, char **ret_path) {
        const char *rest = startswith(name, BUS_ROOT "/");

        if (rest && (rest = startswith(rest, kinds[kind].plural)) && rest[0] == '/') {
                *ret_path = strdup(name);
                return *ret_path ? 0 : cli_oom(cli);
        }
        switch (kind) {
        case KIND_DEVICE:
                return find_device(cli, name, ret_path);
        case KIND_GROUP:
                return ask_manager(cli, "GetGroup", name, ret_path);
        case KIND_RULE:
                return find_in_list(cli, kind, name, "name", false, ret_path);
        case KIND_ALLOCATION:
                return find_in_list(cli, kind, name, "consumer", true, ret_path);
        case KIND_JOB:
        case KIND_MODULE:
        case _KIND_MAX:
                break;
        }
        return kind_path(cli, kind, name, ret_path);
}
