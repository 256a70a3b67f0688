/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "field-index.h"
#include "module-call.h"
#include "provider.h"

#define FIELD_INDEXES 2

struct Inventory {
        Loader *loader; /* borrowed, as the breadcrumb */
        Breadcrumb *breadcrumb;
        InventoryEvents events;
        Interner *interner;
        Source *source;
        Device *devices; /* uthash by id */
        FieldModel *models; /* uthash by key */
        FieldIndex indexes[FIELD_INDEXES]; /* field-index.h */
        Provider *providers; /* uthash by module and host device */
        uint64_t generation;
        uint64_t serial;
};
