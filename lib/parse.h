/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Strict parsing: the whole text must be the value, without white space, sign or suffix that the form does
 * not have. All return -EINVAL for text of another form and -ERANGE for a number out of range; outputs are
 * untouched on failure. */

#include "macro.h"

int parse_bool(const char *text, bool *ret);       /* true false yes no on off 1 0 */
int parse_uint64(const char *text, uint64_t *ret); /* decimal, or hexadecimal after 0x */
int parse_uint32(const char *text, uint32_t *ret);
int parse_int64(const char *text, int64_t *ret);
int parse_int32(const char *text, int32_t *ret);
int parse_hex32(const char *text, uint32_t *ret); /* hexadecimal, with or without 0x */
/* "DDDD:BB:DD.F", four to eight hexadecimal digits of domain. */
int parse_bdf(const char *text, uint32_t *ret_domain, uint8_t *ret_bus, uint8_t *ret_slot,
              uint8_t *ret_function);
int parse_dev(const char *text, unsigned *ret_major, unsigned *ret_minor); /* "189:5" */
/* 32 hexadecimal digits with or without the four dashes; written in lower case with dashes. */
#define UUID_TEXT_SIZE 37
int parse_uuid(const char *text, char ret[static UUID_TEXT_SIZE]);
bool utf8_is_valid(const char *text);
/* Printable UTF-8 without control characters, line separators and overrides of the writing direction, at
 * most `max` bytes. */
bool text_is_clean(const char *text, size_t max);
