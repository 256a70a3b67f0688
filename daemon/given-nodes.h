/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The device nodes that an allocation's steps gave to its consumer: the ones it may have open. */

#include "manager.h"

/* "/dev/…", NULL-terminated, new memory. Of a mediated device the node is known once it was made: it is that of its IOMMU
 * group, looked up now. */
int given_nodes(Manager *m, const Allocation *allocation, char ***ret);
