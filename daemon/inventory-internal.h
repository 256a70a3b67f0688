/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "module-call.h"
#include "provider.h"

struct Inventory {
        Loader *loader; /* borrowed, as the breadcrumb */
        Breadcrumb *breadcrumb;
        InventoryEvents events;
        Interner *interner;
        Source *source;
        Device *devices; /* uthash by id */
        FieldModel *models; /* uthash by key */
        Provider *providers; /* uthash by module and host device */
        uint64_t generation;
        uint64_t serial;
};
