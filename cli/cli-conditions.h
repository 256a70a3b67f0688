/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The text form of conditions, as people type it: `vendor-id = 10de and name ~ ^NVIDIA`. What the fields
 * of a type are, and which values fit them, the service knows; here the text is only taken apart. */

#include <jansson.h>

#include "lib/fault.h"

/* [[field, operator, value]…] with the operators' words. The fault names the character. */
int conditions_parse(const char *text, json_t **ret, Fault *fault);
/* The other way round, with signs; new memory. */
int conditions_format(json_t *conditions, char **ret);
