/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the kernel means when it refuses a write to an attribute: the usual cause, for people, and the class
 * of the fault, for programs. */

#include "lib/fault.h"

/* NULL when nothing is known beyond the errno. `error` is negative. */
const char *kernel_error_hint(const char *attribute, int error);
FaultCode kernel_error_code(const char *attribute, int error);
