/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The schema of both databases as data. A table of records has the columns seq (order of creation), key,
 * owner, body. */

#include "store.h"

#define STORE_APPLICATION_ID 0x70746864 /* "pthd", in the header of the file */

typedef struct StoreMigration {
        StoreKind kind;
        int version; /* what user_version is afterwards; one migration a version, from 1 */
        const char *sql;
} StoreMigration;

/* The migration to `version`, or NULL beyond the newest. */
const StoreMigration *store_schema_migration(StoreKind kind, int version);
int store_schema_version(StoreKind kind); /* the newest */

typedef struct StoreTableInfo {
        const char *name;
        StoreKind kind;
        FaultCode exists; /* what an insert of a key that is there is called */
        const char *noun; /* "group", for messages */
} StoreTableInfo;
const StoreTableInfo *store_schema_table(StoreTable table);
