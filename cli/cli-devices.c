/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The list of devices: as a table, or as a tree by IOMMU group. */

#include "cli-bus.h"
#include "cli-conditions.h"
#include "cli-format.h"
#include "cli-object.h"
#include "cli-verbs.h"

#define DEFAULT_COLUMNS "place,name,type,driver,iommu-group,state,groups,rules"
#define COLUMNS_MAX 64

/* What a row has besides the fields that the service sends; `needs`: the fields it is made from. */
static const struct {
        const char *name;
        const char *needs[3];
} made_columns[] = {
        { "place", { "slot", "port" } },
        { "consumer", { "allocation" } },
        { "rules", { "groups" } },
};

static const char *const always[] = { "id", "type", "state", "groups", NULL };

typedef struct Listing {
        Cli *cli;
        char *words; /* the column names point in here */
        Column columns[COLUMNS_MAX];
        size_t n_columns;
        json_t *fields; /* NULL: all */
        json_t *rows;
} Listing;

static void listing_done(Listing *l) {
        free(l->words);
        json_decref(l->fields);
        json_decref(l->rows);
}

static bool has_column(const Listing *l, const char *name) {
        for (size_t i = 0; i < l->n_columns; i++)
                if (streq(l->columns[i].name, name))
                        return true;
        return false;
}

static int read_columns(Listing *l) {
        char *save = NULL;

        l->words = strdup(option_text(l->cli, "columns") ?: DEFAULT_COLUMNS);
        if (!l->words)
                return cli_oom(l->cli);
        for (char *name = strtok_r(l->words, ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
                if (l->n_columns >= COLUMNS_MAX)
                        return cli_fail(l->cli, STATUS_USAGE, "there are more than %d columns", COLUMNS_MAX);
                l->columns[l->n_columns++] = (Column){
                        .name = name,
                        .header = streq(name, "iommu-group") ? "IOMMU" : NULL,
                        .shrinks = streq(name, "name") || streq(name, "rules") || streq(name, "device"),
                };
        }
        return l->n_columns > 0 ? 0 : cli_fail(l->cli, STATUS_USAGE, "no column is named");
}

static void add_field(Listing *l, const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(made_columns); i++)
                if (streq(made_columns[i].name, name)) {
                        for (size_t k = 0; made_columns[i].needs[k]; k++)
                                (void) json_array_append_new(l->fields,
                                                             json_string(made_columns[i].needs[k]));
                        return;
                }
        (void) json_array_append_new(l->fields, json_string(name));
}

/* Only what is shown needs to be sent; a text is looked for in everything. */
static int read_fields(Listing *l) {
        const char *sort = option_text(l->cli, "sort");

        if (option_given(l->cli, "filter") || (l->cli->json && !option_given(l->cli, "columns")))
                return 0;
        l->fields = json_array();
        if (!l->fields)
                return cli_oom(l->cli);
        for (size_t i = 0; always[i]; i++)
                add_field(l, always[i]);
        add_field(l, "place");
        add_field(l, "iommu-group");
        for (size_t i = 0; i < l->n_columns; i++)
                add_field(l, l->columns[i].name);
        if (sort)
                add_field(l, sort);
        return 0;
}

/* ---- what the service is asked for ---- */

static int fetch(Listing *l, const char *type, json_t *where, json_t **ret) {
        /* What somebody names is waited for. */
        bool slow = l->fields && (option_given(l->cli, "columns") || json_array_size(where) > 0);

        return list_devices(l->cli, type, where, option_text(l->cli, "group"), l->fields, slow, ret);
}

/* Conditions are about the fields of one type. Without --type every type is asked that has these fields. */
static int fetch_of_all_types(Listing *l, json_t *where) {
        json_auto_t *reply = NULL;
        json_t *type;
        size_t index, n = 0;
        int r = bus_call(l->cli, BUS_ROOT, "org.freedesktop.DBus.Properties", "Get", "s s",
                         json_pack("[s, s]", INTERFACE("Manager"), "Types"), &reply);

        if (r < 0)
                return r;
        l->rows = json_array();
        json_array_foreach(json_array_get(reply, 0), index, type) {
                json_auto_t *rows = NULL;

                l->cli->quiet = true;
                r = fetch(l, json_string_value(type), where, &rows);
                l->cli->quiet = false;
                if (r >= 0) {
                        n++;
                        (void) json_array_extend(l->rows, rows);
                }
        }
        if (n > 0)
                return 0;
        /* None has them: the first type's words say what is wrong. */
        json_decref(l->rows);
        l->rows = NULL;
        return fetch(l, json_string_value(json_array_get(json_array_get(reply, 0), 0)), where, &l->rows);
}

static int fetch_rows(Listing *l) {
        const char *text = option_text(l->cli, "where"), *type = option_text(l->cli, "type");
        _cleanup_fault_ Fault fault = { 0 };
        json_auto_t *where = NULL;

        if (text && conditions_parse(text, &where, &fault) < 0)
                return cli_fail_word(l->cli, STATUS_USAGE, fault_code_to_string(fault.code), fault.message);
        if (option_text(l->cli, "group")) { /* an unknown one is an error, not an empty list */
                _cleanup_free_ char *path = NULL;
                int r = find_object(l->cli, KIND_GROUP, option_text(l->cli, "group"), &path);

                if (r < 0)
                        return r;
        }
        if (json_array_size(where) > 0 && !type)
                return fetch_of_all_types(l, where);
        return fetch(l, type, where, &l->rows);
}

/* ---- what is added here ---- */

static const char *place_of(json_t *row) {
        const char *place = json_text(row, "slot");

        if (isempty(place))
                place = json_text(row, "port");
        return isempty(place) ? json_text(row, "id") : place;
}

static int add_consumers(Listing *l) {
        json_auto_t *allocations = NULL, *consumers = json_object();
        json_t *row, *allocation;
        size_t i;
        int r = list_objects(l->cli, KIND_ALLOCATION, &allocations);

        if (r < 0)
                return r;
        json_array_foreach(allocations, i, allocation)(void) json_object_set(
                consumers, json_text(allocation, "id"), json_object_get(allocation, "consumer"));
        json_array_foreach(l->rows, i,
                           row) if (json_object_get(consumers, json_text(row, "allocation")))(void)
                json_object_set(row, "consumer", json_object_get(consumers, json_text(row, "allocation")));
        return 0;
}

/* A rule can only match what is in a group, unless it excludes it; without groups nobody is asked. */
static int add_rules(Listing *l) {
        json_auto_t *rules = NULL, *by_device = json_object();
        json_t *row, *rule, *device;
        size_t i, k;
        int r;

        json_array_foreach(l->rows, i, row) if (json_array_size(json_object_get(row, "groups")) > 0) break;
        if (i == json_array_size(l->rows))
                return 0;
        r = list_objects(l->cli, KIND_RULE, &rules);
        if (r < 0)
                return r;
        json_array_foreach(rules, i, rule) json_array_foreach(json_object_get(rule, "matched"), k, device) {
                json_t *list = json_object_get(by_device, json_string_value(device));

                if (!list) {
                        list = json_array();
                        (void) json_object_set_new(by_device, json_string_value(device), list);
                }
                (void) json_array_append(list, json_object_get(rule, "id"));
        }
        json_array_foreach(l->rows, i, row) if (json_object_get(by_device, json_text(row, "id")))(void)
                json_object_set(row, "rules", json_object_get(by_device, json_text(row, "id")));
        return 0;
}

static int complete_rows(Listing *l) {
        json_t *row;
        size_t i;
        int r = 0;

        json_array_foreach(l->rows, i, row)(void)
                json_object_set_new(row, "place", json_string(place_of(row)));
        if (has_column(l, "consumer") || streq_null(option_text(l->cli, "sort"), "consumer"))
                r = add_consumers(l);
        if (r >= 0 && (has_column(l, "rules") || streq_null(option_text(l->cli, "sort"), "rules")))
                r = add_rules(l);
        return r;
}

/* ---- filters ---- */

static bool word_in_list(const char *list, const char *word) {
        size_t length = strlen(word);

        for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
                if (strcspn(p, ",") == length && strncmp(p, word, length) == 0)
                        return true;
        return false;
}

static void filter_rows(Listing *l) {
        const char *states = option_text(l->cli, "state"), *text = option_text(l->cli, "filter");

        for (size_t i = json_array_size(l->rows); i > 0; i--) {
                json_t *row = json_array_get(l->rows, i - 1);

                if ((states && !word_in_list(states, json_text(row, "state"))) ||
                    (text && !row_contains(row, text)))
                        (void) json_array_remove(l->rows, i - 1);
        }
}

static bool known_in_rows(const Listing *l, const char *name) {
        json_t *row;
        size_t i;

        json_array_foreach(l->rows, i, row) if (json_object_get(row, name)) return true;
        return json_array_size(l->rows) == 0;
}

/* Not every type has every field; one that none has is a mistake. */
static int check_column(Listing *l, const char *name) {
        static const char valid[] =
                "place, id, type, state, allocatable, groups, rules, allocation, consumer";
        json_auto_t *modules = NULL;
        json_t *module, *field;
        size_t i, k;
        int r;

        if (known_in_rows(l, name) || strstr(valid, name))
                return 0;
        r = list_objects(l->cli, KIND_MODULE, &modules);
        if (r < 0)
                return r;
        json_array_foreach(modules, i, module)
                json_array_foreach(json_object_get(module, "fields"), k,
                                   field) if (streq(json_text(field, "name"), name)) return 0;
        return cli_fail(l->cli, STATUS_USAGE,
                        "there is no column '%s'; there are %s, and the fields of the types (passthroughctl "
                        "module show TYPE)",
                        name, valid);
}

static int check_columns(Listing *l) {
        const char *sort = option_text(l->cli, "sort");
        int r = sort ? check_column(l, sort) : 0;

        for (size_t i = 0; i < l->n_columns && r >= 0; i++)
                r = check_column(l, l->columns[i].name);
        return r;
}

/* ---- output ---- */

/* With --columns, JSON has these columns too and no others. */
static int project_rows(Listing *l) {
        json_t *row;
        size_t i;

        if (!l->cli->json || !option_given(l->cli, "columns"))
                return 0;
        json_array_foreach(l->rows, i, row) {
                json_t *projected = json_object();

                for (size_t k = 0; k < l->n_columns; k++)
                        if (json_object_get(row, l->columns[k].name))
                                (void) json_object_set(projected, l->columns[k].name,
                                                       json_object_get(row, l->columns[k].name));
                if (json_array_set_new(l->rows, i, projected) < 0)
                        return cli_oom(l->cli);
        }
        return 0;
}

static int make_tree(Listing *l, json_t **ret) {
        json_t *row, *tree = json_array(), *parent = NULL;
        size_t i;
        int r = sort_rows(l->cli, l->rows, "iommu-group", false);

        if (r < 0 || !tree) {
                json_decref(tree);
                return r < 0 ? r : cli_oom(l->cli);
        }
        json_array_foreach(l->rows, i, row) {
                json_t *number = json_object_get(row, "iommu-group");
                json_int_t group = number ? json_integer_value(number) : -1;
                char title[64] = "no IOMMU group";

                if (!parent || json_integer_value(json_object_get(parent, "iommu-group")) != group) {
                        if (group >= 0)
                                (void) snprintf(title, sizeof(title), "IOMMU group %lld", (long long) group);
                        parent = json_pack("{s:s, s:I, s:[]}", "place", title, "iommu-group", group,
                                           "children");
                        (void) json_array_append_new(tree, parent);
                }
                (void) json_array_append(json_object_get(parent, "children"), row);
        }
        *ret = tree;
        return 0;
}

/* The first column carries the branches. */
static void put_place_first(Listing *l) {
        size_t at = 0;

        while (at < l->n_columns && !streq(l->columns[at].name, "place"))
                at++;
        if (at == l->n_columns && l->n_columns < COLUMNS_MAX)
                l->n_columns++;
        for (; at > 0; at--)
                l->columns[at] = l->columns[at - 1];
        l->columns[0] = (Column){ .name = "place", .header = "IOMMU GROUP, PLACE" };
        for (size_t i = 1; i < l->n_columns; i++)
                if (streq(l->columns[i].name, "iommu-group")) {
                        memmove(&l->columns[i], &l->columns[i + 1], (l->n_columns - i - 1) * sizeof(Column));
                        l->n_columns--;
                }
}

static int show_rows(Listing *l) {
        json_auto_t *tree = NULL;
        int r;

        if (!option_given(l->cli, "tree")) {
                r = project_rows(l);
                return r < 0 ? r : show_table(l->cli, l->columns, l->n_columns, l->rows, false);
        }
        put_place_first(l);
        r = make_tree(l, &tree);
        return r < 0 ? r : show_table(l->cli, l->columns, l->n_columns, tree, true);
}

int verb_devices(Cli *cli, char **arguments, int n) {
        _cleanup_(listing_done) Listing l = { .cli = cli };
        int r = read_columns(&l);

        if (r >= 0)
                r = read_fields(&l);
        if (r >= 0)
                r = fetch_rows(&l);
        if (r >= 0)
                r = check_columns(&l);
        if (r >= 0)
                r = complete_rows(&l);
        if (r < 0)
                return r;
        filter_rows(&l);
        r = sort_rows(cli, l.rows, "place", option_given(cli, "reverse"));
        if (r >= 0 && option_text(cli, "sort"))
                r = sort_rows(cli, l.rows, option_text(cli, "sort"), option_given(cli, "reverse"));
        return r < 0 ? r : show_rows(&l);
}
