/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "topology.h"

#include <stdio.h>

#include "json-util.h"
#include "lib/driver.h"
#include "lib/macro.h"

#define TEXT_SIZE 1024
#define LIST_SHOWN 6

/* One device of either side. */
typedef struct Item {
        json_t *data;
        struct Item *other; /* the same device on the other side, NULL for none */
        bool moved, sure;
        size_t component;
} Item;

typedef struct Side {
        Item *items; /* in order of id */
        size_t n;
} Side;

typedef struct Diff {
        Side before, after;
        json_t *rows;
        bool failed;
} Diff;

static const char *text_of(const Item *item, const char *key) {
        return strempty(json_string_value(json_object_get(item->data, key)));
}

static long long number_of(const Item *item, const char *key) {
        json_t *value = json_object_get(item->data, key);

        return json_is_integer(value) ? (long long) json_integer_value(value) : -1;
}

static int compare_items(const void *a, const void *b) {
        return strcmp(text_of(a, "id"), text_of(b, "id"));
}

static int side_init(Side *side, json_t *topology) {
        json_t *devices = json_object_get(topology, "devices"), *data;
        size_t index;

        side->items = calloc(json_array_size(devices) + 1, sizeof(Item));
        if (!side->items)
                return -ENOMEM;
        json_array_foreach(devices, index, data)
                if (json_is_string(json_object_get(data, "id")))
                        side->items[side->n++].data = data;
        qsort(side->items, side->n, sizeof(Item), compare_items);
        return 0;
}

/* ---- rows ---- */

static void add_once(json_t *list, json_t *value) {
        json_t *known;
        size_t index;

        json_array_foreach(list, index, known)
                if (json_equal(known, value))
                        return;
        json_array_append(list, value);
}

static void add_item(json_t *devices, json_t *groups, const Item *item) {
        json_t *group;
        size_t index;

        add_once(devices, json_object_get(item->data, "id"));
        json_array_foreach(json_object_get(item->data, "groups"), index, group)
                add_once(groups, group);
}

/* `items`: the present ones where there are, whose counterparts' groups count too. */
static void add_row(Diff *d, const char *kind, const char *severity, Item *const *items, size_t n, const char *before,
                    const char *after, const char *text) {
        json_t *devices = json_array(), *was = json_array(), *groups = json_array(), *row;

        for (size_t i = 0; i < n; i++) {
                add_item(devices, groups, items[i]);
                if (items[i]->other)
                        add_item(was, groups, items[i]->other);
        }
        row = json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:o}", "kind", kind, "severity", severity, "text", text, "devices",
                        devices, "was", was, "before", before, "after", after, "groups", groups);
        d->failed |= json_array_append_new(d->rows, row) < 0;
}

static void list_places(char *text, size_t size, Item *const *items, size_t n) {
        size_t used = 0;

        text[0] = '\0';
        for (size_t i = 0; i < n && i < LIST_SHOWN && used < size; i++)
                used += (size_t) snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", text_of(items[i], "place"));
        if (n > LIST_SHOWN && used < size)
                (void) snprintf(text + used, size - used, " and %zu more", n - LIST_SHOWN);
}

/* ---- which device is which ---- */

static bool same_kind(const Item *a, const Item *b) {
        const char *x = text_of(a, "serial"), *y = text_of(b, "serial");

        return streq(text_of(a, "ids"), text_of(b, "ids")) && (isempty(x) || isempty(y) || streq(x, y));
}

static void match_places(Diff *d) {
        size_t k = 0;

        for (size_t i = 0; i < d->before.n; i++) {
                Item *a = &d->before.items[i];

                while (k < d->after.n && compare_items(&d->after.items[k], a) < 0)
                        k++;
                if (k < d->after.n && compare_items(&d->after.items[k], a) == 0 && same_kind(a, &d->after.items[k])) {
                        a->other = &d->after.items[k];
                        a->other->other = a;
                }
        }
}

static void pair(Item *gone, Item *came, bool sure) {
        gone->other = came;
        came->other = gone;
        gone->moved = came->moved = true;
        gone->sure = came->sure = sure;
}

static int compare_kinds(const void *a, const void *b) {
        const Item *x = *(Item *const *) a, *y = *(Item *const *) b;
        int r = strcmp(text_of(x, "ids"), text_of(y, "ids"));

        if (r == 0)
                r = strcmp(text_of(x, "serial"), text_of(y, "serial"));
        return r != 0 ? r : strcmp(text_of(x, "id"), text_of(y, "id"));
}

static size_t unmatched(Side *side, Item **ret) {
        size_t n = 0;

        for (size_t i = 0; i < side->n; i++)
                if (!side->items[i].other)
                        ret[n++] = &side->items[i];
        qsort(ret, n, sizeof(Item *), compare_kinds);
        return n;
}

static size_t run_length(Item *const *items, size_t n, size_t from, bool with_serial) {
        size_t k = from + 1;

        while (k < n && streq(text_of(items[k], "ids"), text_of(items[from], "ids")) &&
               (!with_serial || streq(text_of(items[k], "serial"), text_of(items[from], "serial"))))
                k++;
        return k - from;
}

/* By serial number where that is one device on either side; then, of what is left, where as many of a kind went as came: in the
 * order of their places, and for sure only when it is one. */
static void match_moved(Item **gone, size_t n_gone, Item **came, size_t n_came, bool with_serial) {
        for (size_t i = 0, k = 0; i < n_gone && k < n_came;) {
                size_t run = run_length(gone, n_gone, i, with_serial), other = run_length(came, n_came, k, with_serial);
                int order = strcmp(text_of(gone[i], "ids"), text_of(came[k], "ids"));

                if (order == 0 && with_serial)
                        order = strcmp(text_of(gone[i], "serial"), text_of(came[k], "serial"));
                if (order == 0) {
                        bool known = !with_serial || (run == 1 && !isempty(text_of(gone[i], "serial")));

                        for (size_t j = 0; j < run && known && run == other; j++)
                                if (same_kind(gone[i + j], came[k + j]))
                                        pair(gone[i + j], came[k + j], run == 1);
                }
                i += order <= 0 ? run : 0;
                k += order >= 0 ? other : 0;
        }
}

static int match_all(Diff *d) {
        _cleanup_free_ Item **gone = calloc(d->before.n + 1, sizeof(Item *)), **came = calloc(d->after.n + 1, sizeof(Item *));

        if (!gone || !came)
                return -ENOMEM;
        match_places(d);
        for (int with_serial = 1; with_serial >= 0; with_serial--) {
                size_t n_gone = unmatched(&d->before, gone), n_came = unmatched(&d->after, came);

                match_moved(gone, n_gone, came, n_came, with_serial);
        }
        return 0;
}

/* ---- devices ---- */

static Item *find(Side *side, const char *id) {
        json_t *data = json_pack("{s:s}", "id", id);
        Item key = { .data = data }, *found = data ? bsearch(&key, side->items, side->n, sizeof(Item), compare_items) : NULL;

        json_decref(data);
        return found;
}

static void describe_gone(Diff *d) {
        char text[TEXT_SIZE];

        for (size_t i = 0; i < d->before.n; i++) {
                Item *a = &d->before.items[i], *there;

                if (a->moved) {
                        Item *now = a->other;

                        snprintf(text, sizeof(text), "%.128s was %sat %.64s and is at %.64s", text_of(a, "name"),
                                 a->sure ? "" : "probably ", text_of(a, "place"), text_of(now, "place"));
                        add_row(d, "moved", "warning", &now, 1, text_of(a, "place"), text_of(now, "place"), text);
                } else if (!a->other && (there = find(&d->after, text_of(a, "id")))) {
                        snprintf(text, sizeof(text), "at %.64s there was %.128s, and is %.128s", text_of(a, "place"),
                                 text_of(a, "name"), text_of(there, "name"));
                        add_row(d, "replaced", "warning", (Item *[]){ there, a }, 2, text_of(a, "ids"),
                                text_of(there, "ids"), text);
                } else if (!a->other) {
                        snprintf(text, sizeof(text), "%.128s at %.64s is gone", text_of(a, "name"), text_of(a, "place"));
                        add_row(d, "gone", "warning", &a, 1, text_of(a, "place"), "", text);
                }
        }
}

static void describe_came(Diff *d) {
        char text[TEXT_SIZE];

        for (size_t i = 0; i < d->after.n; i++) {
                Item *b = &d->after.items[i];

                if (b->other || find(&d->before, text_of(b, "id")))
                        continue;
                snprintf(text, sizeof(text), "%.128s at %.64s is new", text_of(b, "name"), text_of(b, "place"));
                add_row(d, "came", "note", &b, 1, "", text_of(b, "place"), text);
        }
}

/* What a consumer has or had on a VFIO driver says nothing of the host. */
static bool is_hosts_driver(const char *driver) {
        return !driver_is_vfio(driver) && !streq(driver, "pci-stub");
}

static void describe_changes(Diff *d) {
        char text[TEXT_SIZE], was[32], is[32];

        for (size_t i = 0; i < d->after.n; i++) {
                Item *b = &d->after.items[i], *a = b->other;

                if (!a)
                        continue;
                const char *old = text_of(a, "driver"), *new = text_of(b, "driver");
                if (!streq(old, new) && is_hosts_driver(old) && is_hosts_driver(new)) {
                        snprintf(text, sizeof(text), "%.64s was bound to %.64s and is to %.64s", text_of(b, "place"),
                                 isempty(old) ? "no driver" : old, isempty(new) ? "none" : new);
                        add_row(d, "driver", "note", &b, 1, old, new, text);
                }
                if (number_of(a, "numa") != number_of(b, "numa")) {
                        snprintf(was, sizeof(was), "%lld", number_of(a, "numa"));
                        snprintf(is, sizeof(is), "%lld", number_of(b, "numa"));
                        snprintf(text, sizeof(text), "%.64s was near node %s and is near node %s", text_of(b, "place"), was, is);
                        add_row(d, "numa", "note", &b, 1, was, is, text);
                }
        }
}

/* ---- IOMMU groups ---- */

/* Devices that are on both sides and share a group on either belong to one component; within it one sees what happened. */
static size_t root_of(const size_t *parents, size_t i) {
        while (parents[i] != i)
                i = parents[i];
        return i;
}

static int compare_before(const void *a, const void *b) {
        long long x = number_of((*(Item *const *) a)->other, "group"), y = number_of((*(Item *const *) b)->other, "group");

        return x < y ? -1 : x > y;
}

static int compare_after(const void *a, const void *b) {
        long long x = number_of(*(Item *const *) a, "group"), y = number_of(*(Item *const *) b, "group");

        return x < y ? -1 : x > y;
}

static int compare_component(const void *a, const void *b) {
        const Item *x = *(Item *const *) a, *y = *(Item *const *) b;

        return x->component < y->component ? -1 : x->component > y->component ? 1 : compare_items(x, y);
}

static void join_equal(Item **items, size_t n, size_t *parents, int (*compare)(const void *a, const void *b)) {
        qsort(items, n, sizeof(Item *), compare);
        for (size_t i = 1; i < n; i++)
                if (compare(&items[i - 1], &items[i]) == 0)
                        parents[root_of(parents, items[i]->component)] = root_of(parents, items[i - 1]->component);
}

/* Numbers of the groups, "1, 2, 3"; returns how many differ. */
static size_t list_groups(char *text, size_t size, Item **items, size_t n, bool now) {
        size_t used = 0, count = 0;

        qsort(items, n, sizeof(Item *), now ? compare_after : compare_before);
        text[0] = '\0';
        for (size_t i = 0; i < n; i++) {
                long long group = number_of(now ? items[i] : items[i]->other, "group");

                if (i > 0 && group == number_of(now ? items[i - 1] : items[i - 1]->other, "group"))
                        continue;
                count++;
                if (used + 16 < size)
                        used += (size_t) snprintf(text + used, size - used, "%s%lld", used > 0 ? ", " : "", group);
        }
        return count;
}

static void describe_component(Diff *d, Item **items, size_t n, json_t *renumbered) {
        char before[128], after[128], places[TEXT_SIZE / 2], text[TEXT_SIZE];
        size_t n_before = list_groups(before, sizeof(before), items, n, false);
        size_t n_after = list_groups(after, sizeof(after), items, n, true);

        list_places(places, sizeof(places), items, n);
        if (n_before == 1 && n_after == 1) {
                if (!streq(before, after))
                        json_array_append_new(renumbered, json_pack("[s, s]", before, after));
        } else if (n_before == 1) {
                snprintf(text, sizeof(text), "%s were in one IOMMU group and are in %zu", places, n_after);
                add_row(d, "split", "note", items, n, before, after, text);
        } else if (n_after == 1) {
                snprintf(text, sizeof(text), "%s were in %zu IOMMU groups and are in one: they can only be handed out together", places,
                         n_before);
                add_row(d, "merged", "warning", items, n, before, after, text);
        } else {
                snprintf(text, sizeof(text), "%s were in IOMMU groups %s and are in %s, in other company", places, before, after);
                add_row(d, "regrouped", "warning", items, n, before, after, text);
        }
}

static void describe_renumbered(Diff *d, json_t *renumbered) {
        size_t n = json_array_size(renumbered), used = 0, index;
        char before[TEXT_SIZE] = "", after[TEXT_SIZE] = "", text[TEXT_SIZE];
        json_t *item;

        if (n == 0)
                return;
        json_array_foreach(renumbered, index, item) {
                const char *was = json_string_value(json_array_get(item, 0)), *is = json_string_value(json_array_get(item, 1));

                if (used + strlen(was) + 4 >= sizeof(before) || strlen(after) + strlen(is) + 4 >= sizeof(after))
                        break;
                used = strlen(before);
                snprintf(before + used, sizeof(before) - used, "%s%s", index > 0 ? ", " : "", was);
                snprintf(after + strlen(after), sizeof(after) - strlen(after), "%s%s", index > 0 ? ", " : "", is);
                used = strlen(before);
        }
        snprintf(text, sizeof(text), "%zu IOMMU group%s; %s devices are the same", n,
                 n == 1 ? " has another number" : "s have other numbers", n == 1 ? "its" : "their");
        add_row(d, "renumbered", "note", NULL, 0, before, after, text);
}

static void describe_lost(Diff *d, Item **items, size_t n, bool lost) {
        char places[TEXT_SIZE / 2], text[TEXT_SIZE];

        if (n == 0)
                return;
        list_places(places, sizeof(places), items, n);
        snprintf(text, sizeof(text), lost ? "%s had an IOMMU group and have none: they can't be handed out" : "%s have an IOMMU group now",
                 places);
        add_row(d, lost ? "iommu-lost" : "iommu-found", lost ? "warning" : "note", items, n, "", "", text);
}

static int describe_groups(Diff *d) {
        _cleanup_free_ Item **items = calloc(d->after.n + 1, sizeof(Item *)), **lost = calloc(d->after.n + 1, sizeof(Item *)),
                            **found = calloc(d->after.n + 1, sizeof(Item *));
        _cleanup_free_ size_t *parents = calloc(d->after.n + 1, sizeof(size_t));
        _cleanup_(json_decrefp) json_t *renumbered = json_array();
        size_t n = 0, n_lost = 0, n_found = 0;

        if (!items || !lost || !found || !parents || !renumbered)
                return -ENOMEM;
        for (size_t i = 0; i < d->after.n; i++) {
                Item *b = &d->after.items[i];

                if (!b->other)
                        continue;
                bool had = number_of(b->other, "group") >= 0, has = number_of(b, "group") >= 0;
                if (had && has) {
                        b->component = parents[n] = n;
                        items[n++] = b;
                } else if (had)
                        lost[n_lost++] = b;
                else if (has)
                        found[n_found++] = b;
        }
        join_equal(items, n, parents, compare_before);
        join_equal(items, n, parents, compare_after);
        for (size_t i = 0; i < n; i++)
                items[i]->component = root_of(parents, items[i]->component);
        qsort(items, n, sizeof(Item *), compare_component);
        describe_lost(d, lost, n_lost, true);
        for (size_t i = 0, k; i < n; i = k) {
                size_t component = items[i]->component;

                for (k = i + 1; k < n && items[k]->component == component; k++)
                        ;
                describe_component(d, items + i, k - i, renumbered);
        }
        describe_lost(d, found, n_found, false);
        describe_renumbered(d, renumbered);
        return 0;
}

/* What weighs more comes first. */
static json_t *by_weight(json_t *rows) {
        static const char *const severities[] = { "warning", "note" };
        json_t *list = json_array(), *row;
        size_t index;

        for (size_t i = 0; list && i < ELEMENTSOF(severities); i++)
                json_array_foreach(rows, index, row)
                        if (streq(strempty(json_string_value(json_object_get(row, "severity"))), severities[i]))
                                json_array_append(list, row);
        return list;
}

json_t *topology_diff(json_t *before, json_t *after) {
        Diff d = { .rows = json_array() };
        json_t *list = NULL;

        if (d.rows && side_init(&d.before, before) >= 0 && side_init(&d.after, after) >= 0 && match_all(&d) >= 0) {
                describe_gone(&d);
                d.failed |= describe_groups(&d) < 0;
                describe_came(&d);
                describe_changes(&d);
                list = d.failed ? NULL : by_weight(d.rows);
        }
        free(d.before.items);
        free(d.after.items);
        json_decref(d.rows);
        return list;
}
