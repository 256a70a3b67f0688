/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What somebody sent, made fit for a message: a fault travels over the bus, where text that is not UTF-8
 * ends the connection, and a megabyte of it helps nobody. */

#include "lib/macro.h"

#define EXCERPT_BYTES 72u
#define EXCERPT_SIZE (EXCERPT_BYTES + sizeof("…"))

/* Writes at most EXCERPT_BYTES of `text`, whole characters only, control characters and what is not UTF-8
 * as '?', followed by an ellipsis when something was left out. Returns `buffer`. NULL is "". */
const char *excerpt(const char *text, char buffer[static EXCERPT_SIZE]);
