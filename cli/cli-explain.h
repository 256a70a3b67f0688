/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Findings as a tree: what they are about, then each with what would help. */

#include "cli-object.h"

/* `heading` may be NULL. Topics come in the order in which they are asked for; what has none comes last. */
void show_explanation(const Cli *cli, const char *heading, json_t *findings);
/* Whether one of them stops what was asked for. */
bool has_blocker(json_t *findings);
/* What the service says of an object. */
int get_findings(Cli *cli, Kind kind, const char *path, json_t **ret);
