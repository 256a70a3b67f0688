/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-format.h"

#include <libsmartcols.h>

#define LABEL_WIDTH 20

/* ---- colours ---- */

static const struct {
        const char *word, *colour; /* as libsmartcols names them, and as terminals do */
        const char *sequence;
} colours[] = {
        { "free", "green", "\033[32m" },         { "ready", "green", "\033[32m" },
        { "done", "green", "\033[32m" },         { "valid", "green", "\033[32m" },
        { "loaded", "green", "\033[32m" },       { "active", "cyan", "\033[36m" },
        { "running", "cyan", "\033[36m" },       { "claimed", "yellow", "\033[33m" },
        { "waiting", "yellow", "\033[33m" },     { "starting", "yellow", "\033[33m" },
        { "warning", "yellow", "\033[33m" },     { "limited", "yellow", "\033[33m" },
        { "draining", "yellow", "\033[33m" },    { "failed", "red", "\033[31m" },
        { "lost", "red", "\033[31m" },           { "blocker", "red", "\033[31m" },
        { "degraded", "red", "\033[31m" },       { "quarantined", "red", "\033[31m" },
        { "refused", "red", "\033[31m" },        { "invalid", "red", "\033[31m" },
        { "critical", "magenta", "\033[35m" },   { "in-use-by-host", "magenta", "\033[35m" },
        { "forbidden", "darkgray", "\033[90m" }, { "gone", "darkgray", "\033[90m" },
        { "note", "blue", "\033[34m" },          { "pass", "green", "\033[32m" },
        { "warn", "yellow", "\033[33m" },        { "unknown", "yellow", "\033[33m" },
        { "fail", "red", "\033[31m" },
};

static const char *colour_of(const char *word, bool sequence) {
        for (size_t i = 0; i < ELEMENTSOF(colours); i++)
                if (streq(colours[i].word, word))
                        return sequence ? colours[i].sequence : colours[i].colour;
        return NULL;
}

/* Names come from devices that may be hostile: their escape sequences must not reach the terminal. C1
 * controls are two bytes in UTF-8. */
void print_clean(FILE *f, const char *text) {
        for (const unsigned char *p = (const unsigned char *) text; *p; p++)
                if ((*p < 0x20 && *p != '\n') || *p == 0x7f)
                        (void) fprintf(f, "\\x%02x", *p);
                else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
                        (void) fprintf(f, "\\x%02x", p[1]);
                        p++;
                } else
                        (void) fputc(*p, f);
}

void print_word(const Cli *cli, FILE *f, const char *word) {
        const char *sequence = cli->colour ? colour_of(word, true) : NULL;

        if (sequence)
                (void) fputs(sequence, f);
        print_clean(f, word);
        if (sequence)
                (void) fputs("\033[0m", f);
}

void print_heading(const Cli *cli, const char *text) {
        (void) printf(cli->colour ? "\033[1m%s\033[0m\n" : "%s\n", text);
}

/* ---- values ---- */

const char *json_text(json_t *object, const char *key) {
        return strempty(json_string_value(json_object_get(object, key)));
}

static void write_value(FILE *f, json_t *value) {
        const char *key;
        json_t *item;
        size_t index;

        switch (json_typeof(value)) {
        case JSON_STRING:
                (void) fputs(json_string_value(value), f);
                return;
        case JSON_INTEGER:
                (void) fprintf(f, "%lld", (long long) json_integer_value(value));
                return;
        case JSON_REAL:
                (void) fprintf(f, "%g", json_real_value(value));
                return;
        case JSON_TRUE:
                (void) fputs("yes", f);
                return;
        case JSON_FALSE:
                (void) fputs("no", f);
                return;
        case JSON_ARRAY:
                json_array_foreach(value, index, item) {
                        (void) fputs(index > 0 ? ", " : "", f);
                        write_value(f, item);
                }
                return;
        case JSON_OBJECT:
                index = 0;
                json_object_foreach(value, key, item) {
                        (void) fprintf(f, "%s%s=", index++ > 0 ? ", " : "", key);
                        write_value(f, item);
                }
                return;
        case JSON_NULL:
                return;
        }
}

int cell_text(json_t *value, char **ret) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        if (value)
                write_value(f, value);
        if (fclose(f) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return 0;
}

int show_json(Cli *cli, json_t *value) {
        if (!value || json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) < 0)
                return cli_oom(cli);
        (void) putchar('\n');
        return 0;
}

int show_done(Cli *cli) {
        json_auto_t *object = json_pack("{s:s}", "result", "done");

        return cli->json ? show_json(cli, object) : 0;
}

/* For these the service says -1 where there is none. */
static int named_text(json_t *object, const char *name, char **ret) {
        json_t *value = json_object_get(object, name);

        if ((streq(name, "iommu-group") || streq(name, "numa-node")) && json_is_integer(value) &&
            json_integer_value(value) < 0)
                value = NULL;
        return cell_text(value, ret);
}

/* ---- tables ---- */

static void header_of(const Column *column, char ret[static 64]) {
        size_t i = 0;

        for (const char *p = column->header ?: column->name; *p && i < 63; p++)
                ret[i++] = (char) (*p == '-' ? ' ' : *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
        ret[i] = '\0';
}

static int add_row(struct libscols_table *table, struct libscols_line *parent, const Column *columns,
                   size_t n, json_t *row, bool tree) {
        struct libscols_line *line = scols_table_new_line(table, parent);
        json_t *child;
        size_t index;

        if (!line)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                char *text;
                const char *colour;

                if (named_text(row, columns[i].name, &text) < 0)
                        return -ENOMEM;
                colour = colour_of(text, false);
                if (scols_line_refer_data(line, i, text) < 0) {
                        free(text);
                        return -ENOMEM;
                }
                if (colour)
                        (void) scols_cell_set_color(scols_line_get_cell(line, i), colour);
        }
        if (tree)
                json_array_foreach(json_object_get(row, "children"), index,
                                   child) if (add_row(table, line, columns, n, child, tree) <
                                              0) return -ENOMEM;
        return 0;
}

static int fill_table(const Cli *cli, struct libscols_table *table, const Column *columns, size_t n,
                      json_t *rows, bool tree) {
        json_t *row;
        size_t index;

        (void) scols_table_enable_colors(table, cli->colour);
        (void) scols_table_enable_noheadings(table, cli->no_legend);
        for (size_t i = 0; i < n; i++) {
                char header[64];
                int flags = (tree && i == 0 ? SCOLS_FL_TREE : 0) | (columns[i].right ? SCOLS_FL_RIGHT : 0) |
                            (columns[i].shrinks && isatty(STDOUT_FILENO) ? SCOLS_FL_TRUNC : 0);

                header_of(&columns[i], header);
                if (!scols_table_new_column(table, header, 0, flags))
                        return -ENOMEM;
        }
        json_array_foreach(rows, index,
                           row) if (add_row(table, NULL, columns, n, row, tree) < 0) return -ENOMEM;
        return scols_print_table(table);
}

int show_table(Cli *cli, const Column *columns, size_t n, json_t *rows, bool tree) {
        struct libscols_table *table;
        int r;

        if (cli->json)
                return show_json(cli, rows);
        if (json_array_size(rows) == 0) {
                if (isatty(STDOUT_FILENO))
                        (void) fputs("There are none.\n", stderr);
                return 0;
        }
        table = scols_new_table();
        r = table ? fill_table(cli, table, columns, n, rows, tree) : -ENOMEM;
        scols_unref_table(table);
        return r < 0 ? cli_oom(cli) : 0;
}

/* ---- names and values ---- */

static int show_line(const Cli *cli, const char *label, json_t *object, const char *name) {
        _cleanup_free_ char *text = NULL;

        if (named_text(object, name, &text) < 0)
                return -ENOMEM;
        if (isempty(text))
                return 0;
        (void) printf("%*s: ", LABEL_WIDTH, label);
        if (colour_of(text, true))
                print_word(cli, stdout, text);
        else
                print_clean(stdout, text);
        (void) putchar('\n');
        return 0;
}

static bool has_line(const Line *lines, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(lines[i].name, name))
                        return true;
        return false;
}

int show_lines(Cli *cli, const Line *lines, size_t n, json_t *object, bool rest) {
        const char *name;
        json_t *value;

        for (size_t i = 0; i < n; i++)
                if (lines[i].label && show_line(cli, lines[i].label, object, lines[i].name) < 0)
                        return cli_oom(cli);
        if (rest)
                json_object_foreach(object, name,
                                    value) if (!has_line(lines, n, name) &&
                                               show_line(cli, name, object, name) < 0) return cli_oom(cli);
        return 0;
}

void show_findings(const Cli *cli, json_t *findings) {
        json_t *finding;
        size_t index;

        json_array_foreach(findings, index, finding) {
                const char *device = json_text(finding, "device"), *remedy = json_text(finding, "remedy");

                print_word(cli, stdout, json_text(finding, "severity"));
                (void) fputs(" ", stdout);
                print_clean(stdout, json_text(finding, "code"));
                (void) fputs(": ", stdout);
                if (!isempty(device)) {
                        print_clean(stdout, device);
                        (void) fputs(": ", stdout);
                }
                print_clean(stdout, json_text(finding, "text"));
                (void) putchar('\n');
                if (!isempty(remedy)) {
                        (void) fputs("        remedy: ", stdout);
                        print_clean(stdout, remedy);
                        (void) putchar('\n');
                }
        }
}

/* ---- sorting, searching ---- */

typedef struct SortedRow {
        json_t *row;
        size_t index; /* equal rows keep their order */
} SortedRow;

typedef struct SortOrder {
        const char *key;
        bool reverse;
} SortOrder;

static int compare_values(json_t *first, json_t *second) {
        _cleanup_free_ char *x = NULL, *y = NULL;

        if (json_is_number(first) && json_is_number(second)) {
                double p = json_number_value(first), q = json_number_value(second);

                return p < q ? -1 : p > q;
        }
        if (cell_text(first, &x) < 0 || cell_text(second, &y) < 0)
                return 0;
        return strcasecmp(x, y);
}

static int compare_rows(const void *a, const void *b, void *userdata) {
        const SortedRow *first = a, *second = b;
        const SortOrder *order = userdata;
        int r = compare_values(json_object_get(first->row, order->key),
                               json_object_get(second->row, order->key));

        if (r == 0)
                return first->index < second->index ? -1 : 1;
        return order->reverse ? -r : r;
}

int sort_rows(Cli *cli, json_t *rows, const char *key, bool reverse) {
        size_t n = json_array_size(rows);
        _cleanup_free_ SortedRow *order = calloc(n + 1, sizeof(SortedRow));
        SortOrder by = { key, reverse };

        if (!order)
                return cli_oom(cli);
        for (size_t i = 0; i < n; i++)
                order[i] = (SortedRow){ json_incref(json_array_get(rows, i)), i };
        qsort_r(order, n, sizeof(SortedRow), compare_rows, &by);
        (void) json_array_clear(rows);
        for (size_t i = 0; i < n; i++)
                (void) json_array_append_new(rows, order[i].row);
        return 0;
}

bool row_contains(json_t *row, const char *text) {
        const char *key;
        json_t *value;

        json_object_foreach(row, key, value) {
                _cleanup_free_ char *cell = NULL;

                if (cell_text(value, &cell) >= 0 && strcasestr(cell, text))
                        return true;
        }
        return false;
}
