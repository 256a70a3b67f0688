/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The entry point of every fuzzer, called by libFuzzer or by replay.c. Always returns 0; what must hold is
 * asserted. */

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
