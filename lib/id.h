/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ids and what is made from them. An id is a DNS label: [a-z0-9] and single or double dashes inside, at most
 * ID_MAX. The element of an object path is the id with '-' as '_'; dashes are the only non-alphanumerics, so
 * both ways are exact. */

#include <string.h>

#include "limits.h"
#include "macro.h"

#define ID_SIZE (ID_MAX + 1)

bool id_is_valid(const char *id);
/* Ids are kept in as much memory as they need: never copy ID_SIZE bytes of one. */
static inline void id_copy(char ret[static ID_SIZE], const char *id) {
        size_t n = strnlen(id, ID_MAX);

        memcpy(ret, id, n);
        ret[n] = '\0';
}
/* "pci" and "0000:3b:00.0" make "pci-0000-3b-00-0": lower case, everything but letters and digits as '-'.
 * -EINVAL when the result is not an id. */
int id_from_place(const char *type, const char *place, char ret[static ID_SIZE]);
/* An id from a free name ("My GPUs" makes "my-gpus"); -EINVAL when nothing is left. */
int id_from_name(const char *name, char ret[static ID_SIZE]);
int id_to_path_element(const char *id, char ret[static ID_SIZE]);
int id_from_path_element(const char *element, char ret[static ID_SIZE]);
bool type_name_is_valid(const char *type); /* [a-z][a-z0-9]*, at most TYPE_NAME_MAX */
/* "iommu-group" makes "IommuGroup" and back. Every word begins with a letter, or there would be no way back:
 * -EINVAL for "slot-2". Buffers of ID_SIZE. */
int kebab_to_camel(const char *kebab, char ret[static ID_SIZE]);
int camel_to_kebab(const char *camel, char ret[static ID_SIZE]);
