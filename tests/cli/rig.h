/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of passthroughctl share. cmocka.h wants the first four before it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli.h"

/* What the function writes to the stream, at most 64 KiB; the caller frees it. */
char *capture(FILE *stream, void (*function)(void *userdata), void *userdata);
/* Parsed JSON text, which must be valid. */
json_t *json_of(const char *text);
/* Both are freed. */
void assert_json(json_t *found, const char *expected);
void assert_contains(const char *text, const char *part);
