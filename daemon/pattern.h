/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A compiled regular expression that cannot stall the service: PCRE2 without JIT (it needs memory that is
 * writable and executable, which the service's unit forbids), with limits on steps, depth and memory.
 * Anybody who may write a rule may write an expression that would run for years.
 *
 * Patterns share one block of scratch memory and are used on the service's loop thread only. */

#include "lib/macro.h"

typedef struct Pattern Pattern;

#define PATTERN_MESSAGE_SIZE 128

/* Compiles an expression, or with `literal` a plain text that is to be found in any case. On failure:
 * -EINVAL with the byte offset of the error and what is wrong there, or -ENOMEM. */
int pattern_new(const char *text, bool literal, Pattern **ret, size_t *ret_offset,
                char ret_message[static PATTERN_MESSAGE_SIZE]);
Pattern *pattern_free(Pattern *pattern);
DEFINE_CLEANUP(Pattern *, pattern_free)

/* 1 when the expression is found in `text`, 0 when not, -E2BIG when it came to one of its limits. After
 * PATTERN_STRIKES_MAX of those it is switched off and always answers -E2BIG, so that a thousand devices
 * cannot cost a thousand times the limit. */
#define PATTERN_STRIKES_MAX 8u
int pattern_match(Pattern *pattern, const char *text);

/* What needs no UTF-8 to be matched right. */
bool text_is_ascii(const char *text);
