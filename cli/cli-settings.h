/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is typed as NAME=VALUE, as options and bodies of the service's calls. */

#include "cli.h"

/* The value as text: the service knows each setting's type. Into `object`. */
int read_assignment(Cli *cli, const char *text, json_t *object);
/* Every use of the option, NAME=VALUE each; NULL in `ret` when there is none. */
int read_assignments(Cli *cli, const char *option, json_t **ret);
/* Puts the option's text into the object when it is given; "" too. */
void take_option(Cli *cli, const char *option, const char *key, json_t *object);
/* GROUP[:COUNT][,KEY=VALUE…] as a request. */
int read_request(Cli *cli, const char *text, json_t **ret);
int read_requests(Cli *cli, char **texts, int n, json_t **ret);
/* The devices of --override, by id, as "override" of the options. */
int take_overrides(Cli *cli, json_t *options);
/* A list separated by commas. */
json_t *read_words(const char *text);
