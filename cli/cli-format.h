/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How answers are shown: as tables, as lists of names and values, or as the JSON they were made from.
 * What devices and users call themselves is never sent to the terminal with its control characters. */

#include "cli.h"

typedef struct Column {
        const char *name;   /* key of the rows */
        const char *header; /* NULL: the name in capitals */
        bool right;         /* numbers */
        bool shrinks;       /* long texts, cut where the terminal is too narrow */
} Column;

/* The text of a value: lists joined by ',', "yes" and "no", "" for null. New memory. */
int cell_text(json_t *value, char **ret);
/* Rows are objects; "children" of a row are rows below it, shown as a tree when `tree`. With --json: all
 * of the rows. */
int show_table(Cli *cli, const Column *columns, size_t n, json_t *rows, bool tree);
int show_json(Cli *cli, json_t *value);
/* The answer of what has none: nothing, or {"result": "done"}. */
int show_done(Cli *cli);
/* "Name: value" lines of what is not empty, in the order of the table; `rest`: then what the table does
 * not name. */
typedef struct Line {
        const char *name;  /* key */
        const char *label; /* NULL: not shown */
} Line;
int show_lines(Cli *cli, const Line *lines, size_t n, json_t *object, bool rest);
/* Blockers first, with culprit and remedy. */
void show_findings(const Cli *cli, json_t *findings);
/* In the colour of a state or severity; control characters replaced. */
void print_word(const Cli *cli, FILE *f, const char *word);
void print_clean(FILE *f, const char *text);
void print_heading(const Cli *cli, const char *text);

/* Sorts an array of objects by a key: numbers by size, texts without regard to case. */
int sort_rows(Cli *cli, json_t *rows, const char *key, bool reverse);
/* Whether any value of the row contains the text, without regard to case. */
bool row_contains(json_t *row, const char *text);
const char *json_text(json_t *object, const char *key); /* "" when missing */
