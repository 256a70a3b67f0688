/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-schema.h"

static const StoreTableInfo tables[_STORE_TABLE_MAX] = {
        [TABLE_GROUPS] = { "groups", STORE_STATE, FAULT_GROUP_EXISTS, "group" },
        [TABLE_RULES] = { "rules", STORE_STATE, FAULT_RULE_EXISTS, "rule" },
        [TABLE_ALLOCATIONS] = { "allocations", STORE_STATE, FAULT_ALLOCATION_EXISTS, "allocation" },
        [TABLE_SETTINGS] = { "settings", STORE_STATE, FAULT_STORE_FAILED, "setting" },
        [TABLE_QUARANTINE] = { "quarantine", STORE_STATE, FAULT_STORE_FAILED, "quarantine" },
        [TABLE_BOOTS] = { "boots", STORE_STATE, FAULT_STORE_FAILED, "boot" },
        [TABLE_TOPOLOGY] = { "topology", STORE_STATE, FAULT_STORE_FAILED, "topology" },
        [TABLE_LAYOUTS] = { "layouts", STORE_STATE, FAULT_STORE_FAILED, "layout" },
        [TABLE_PROGRESS] = { "progress", STORE_RUNTIME, FAULT_STORE_FAILED, "progress" },
        [TABLE_STEPS] = { "steps", STORE_RUNTIME, FAULT_STORE_FAILED, "step" },
        [TABLE_PROVISIONS] = { "provisions", STORE_RUNTIME, FAULT_STORE_FAILED, "provision" },
        [TABLE_PROVISION_STEPS] = { "provision_steps", STORE_RUNTIME, FAULT_STORE_FAILED, "provision step" },
};

#define RECORDS(table)                                                                                      \
        "CREATE TABLE " table " (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, owner TEXT,"            \
        " body TEXT NOT NULL) STRICT;"
#define RECORDS_BY_OWNER(table) "CREATE INDEX " table "_by_owner ON " table " (owner);"
/* Facts about the file itself: "damaged", the reason why its predecessor was set aside. */
#define META "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"

/* Never edited once released: a change is a further migration. Laid out as the tables are, not as code. */
/* clang-format off */
static const StoreMigration migrations[] = {
        {
                STORE_STATE, 1,
                META
                RECORDS("groups")
                RECORDS("rules") RECORDS_BY_OWNER("rules")
                RECORDS("allocations")
                RECORDS("settings")
                RECORDS("quarantine")
                "CREATE TABLE claims (key TEXT NOT NULL, allocation TEXT NOT NULL,"
                " exclusive INTEGER NOT NULL CHECK (exclusive IN (0, 1)),"
                " PRIMARY KEY (key, allocation)) STRICT, WITHOUT ROWID;"
                "CREATE INDEX claims_by_allocation ON claims (allocation);"
                /* The last line of defence: two owners cannot be written, whatever the service believes. */
                "CREATE UNIQUE INDEX claims_exclusive ON claims (key) WHERE exclusive;"
                "CREATE TABLE history (id INTEGER PRIMARY KEY, time_usec INTEGER NOT NULL, uid INTEGER NOT NULL,"
                " verb TEXT NOT NULL, object TEXT NOT NULL, consumer TEXT NOT NULL, result TEXT NOT NULL,"
                " message TEXT NOT NULL, duration_usec INTEGER NOT NULL, devices TEXT) STRICT;",
        },
        {
                /* Numbers of jobs begin anew with each run of the service. An owner sees what others did. */
                STORE_STATE, 2,
                "ALTER TABLE history ADD COLUMN job TEXT NOT NULL DEFAULT '';"
                "ALTER TABLE history ADD COLUMN boot TEXT NOT NULL DEFAULT '';"
                "ALTER TABLE history ADD COLUMN run TEXT NOT NULL DEFAULT '';"
                "ALTER TABLE history ADD COLUMN owner INTEGER;",
        },
        {
                STORE_STATE, 3,
                /* What a boot had is large and read only when somebody compares; which boots there were is small. */
                RECORDS("boots")
                RECORDS("topology"),
        },
        {
                STORE_RUNTIME, 1,
                META
                RECORDS("progress")
                RECORDS("steps") RECORDS_BY_OWNER("steps"),
        },
        { STORE_STATE, 4, RECORDS("layouts") },
        {
                STORE_RUNTIME, 2,
                RECORDS("provisions")
                RECORDS("provision_steps") RECORDS_BY_OWNER("provision_steps"),
        },
};
/* clang-format on */

const StoreMigration *store_schema_migration(StoreKind kind, int version) {
        for (size_t i = 0; i < ELEMENTSOF(migrations); i++)
                if (migrations[i].kind == kind && migrations[i].version == version)
                        return &migrations[i];

        return NULL;
}

int store_schema_version(StoreKind kind) {
        int version = 0;

        while (store_schema_migration(kind, version + 1))
                version++;
        return version;
}

const StoreTableInfo *store_schema_table(StoreTable table) {
        return (int) table >= 0 && table < _STORE_TABLE_MAX ? &tables[table] : NULL;
}
