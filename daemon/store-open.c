/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "store-aside.h"
#include "store-file.h"
#include "store-schema.h"

/* A service that is being replaced may still be closing the file. */
#define BUSY_TIMEOUT_MSEC 2000
#define DAMAGED_KEY "damaged"

static const struct {
        const char *name;
        const char *synchronous;
} kinds[_STORE_MAX] = {
        [STORE_STATE] = { "state.db", "PRAGMA synchronous=FULL" },
        [STORE_RUNTIME] = { "runtime.db", "PRAGMA synchronous=OFF" },
};

/* What an opened file turned out to be. */
typedef enum Verdict {
        VERDICT_GOOD,  /* of this schema or an older one */
        VERDICT_NEWER, /* of a schema that we do not know */
        VERDICT_DAMAGED,
        VERDICT_BUSY,       /* another process has it */
        VERDICT_UNREADABLE, /* the system does not let us */
} Verdict;

static int PRINTF_LIKE(3, 4) set_health(StoreFile *file, StoreHealth health, const char *format, ...) {
        va_list arguments;
        char *reason;
        int r;

        va_start(arguments, format);
        r = vasprintf(&reason, format, arguments);
        va_end(arguments);
        if (r < 0)
                return -ENOMEM;

        free(file->reason);
        file->reason = reason;
        file->health = health;
        return 0;
}

/* Also removes the empty WAL that a mere look at a database leaves behind. */
static void close_database(StoreFile *file) {
        _cleanup_free_ char *wal = NULL;
        struct stat st;

        sqlite3_close(file->db);
        file->db = NULL;
        file->writable = false;

        if (asprintf(&wal, "%s-wal", file->path) >= 0 && stat(wal, &st) >= 0 && st.st_size == 0)
                (void) unlink(wal);
}

static int open_database(StoreFile *file, const char *path, int flags) {
        int r;

        r = sqlite3_open_v2(path, &file->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        if (r != SQLITE_OK)
                return r;

        (void) sqlite3_busy_timeout(file->db, BUSY_TIMEOUT_MSEC);
        (void) sqlite3_db_config(file->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void) sqlite3_db_config(file->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        /* What turns out not to be ours to write stays as it is, its WAL too. */
        (void) sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        /* Before the first access, or SQLite maps the index of the WAL from a file. Checkpoints are the
         * store thread's. */
        r = store_file_exec(
                file, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=MEMORY; PRAGMA secure_delete=OFF;"
                      "PRAGMA cell_size_check=ON; PRAGMA wal_autocheckpoint=0");
        return r;
}

/* The first column of the first row; no row is SQLITE_DONE. */
static int query(StoreFile *file, const char *sql, int *ret_number, char **ret_text) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL);
        if (r == SQLITE_OK)
                r = sqlite3_step(statement);
        if (r == SQLITE_ROW && ret_number)
                *ret_number = sqlite3_column_int(statement, 0);
        if (r == SQLITE_ROW && ret_text) {
                *ret_text = strdup(strempty((const char *) sqlite3_column_text(statement, 0)));
                if (!*ret_text)
                        r = SQLITE_NOMEM;
        }
        sqlite3_finalize(statement);

        return r == SQLITE_ROW ? SQLITE_OK : r;
}

static Verdict verdict_of(int result) {
        switch (result & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return VERDICT_DAMAGED;
        case SQLITE_BUSY:
                return VERDICT_BUSY;
        default:
                return VERDICT_UNREADABLE;
        }
}

/* SQLite reads what is missing of the last page as zeros. Only while there is a WAL may it be missing: a
 * checkpoint that was cut off is done again. */
static bool is_cut_off(const char *path, int page_size) {
        _cleanup_free_ char *wal = NULL;
        struct stat st, wal_st;

        if (page_size <= 0 || stat(path, &st) < 0 || st.st_size % page_size == 0)
                return false;

        return asprintf(&wal, "%s-wal", path) < 0 || stat(wal, &wal_st) < 0 || wal_st.st_size == 0;
}

/* Looks at everything that can be wrong before a single record is believed. `ret_reason` is set unless it
 * is good, and may be NULL for want of memory. */
static Verdict examine(StoreFile *file, const char *path, int *ret_version, char **ret_reason) {
        int application = 0, version = 0, page_size = 0, newest = store_schema_version(file->kind), r;
        _cleanup_free_ char *check = NULL;
        _cleanup_fault_ Fault fault = { 0 };

        r = query(file, "PRAGMA application_id", &application, NULL);
        if (r == SQLITE_OK)
                r = query(file, "PRAGMA user_version", &version, NULL);
        if (r == SQLITE_OK)
                r = query(file, "PRAGMA page_size", &page_size, NULL);
        if (r == SQLITE_OK)
                r = query(file, "PRAGMA quick_check(1)", NULL, &check);
        if (r != SQLITE_OK) {
                (void) store_file_fault(file, r, "read", &fault);
                *ret_reason = TAKE_PTR(fault.message);
                return verdict_of(r);
        }

        /* A new database gets its name when it is complete: one without a schema was one with a schema. */
        if (application != STORE_APPLICATION_ID || version <= 0) {
                if (asprintf(ret_reason, "%s is no database of this service, or an emptied one",
                             file->path) < 0)
                        *ret_reason = NULL;
                return VERDICT_DAMAGED;
        }
        if (!streq(check, "ok") || is_cut_off(path, page_size)) {
                if (asprintf(ret_reason, "%s is damaged: %s", file->path,
                             streq(check, "ok") ? "its end is missing" : check) < 0)
                        *ret_reason = NULL;
                return VERDICT_DAMAGED;
        }
        if (version > newest) {
                if (asprintf(ret_reason,
                             "%s was written by a newer version of the service (schema %d, this one knows "
                             "%d)",
                             file->path, version, newest) < 0)
                        *ret_reason = NULL;
                return VERDICT_NEWER;
        }

        *ret_version = version;
        return VERDICT_GOOD;
}

static int migrate(StoreFile *file, int version) {
        const StoreMigration *migration;
        int r;

        if (version >= store_schema_version(file->kind))
                return SQLITE_OK;

        r = store_file_exec(file, "BEGIN IMMEDIATE");
        while (r == SQLITE_OK && (migration = store_schema_migration(file->kind, version + 1))) {
                char pragma[64];

                version++;
                snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%d", version);
                r = store_file_exec(file, migration->sql);
                if (r == SQLITE_OK)
                        r = store_file_exec(file, pragma);
        }
        if (r == SQLITE_OK)
                r = store_file_exec(file, "COMMIT");
        if (r != SQLITE_OK)
                (void) store_file_exec(file, "ROLLBACK");
        return r;
}

/* Nothing could be read: the service starts with nothing and writes nothing. */
static int open_empty(StoreFile *file, Fault *fault) {
        int r;

        close_database(file);
        r = open_database(file, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
        if (r == SQLITE_OK)
                r = migrate(file, 0);
        if (r != SQLITE_OK)
                return store_file_fault(file, r, "make an empty database in memory instead of", fault);

        return 0;
}

/* Reads a database that must stay as it is. Its WAL is a part of it and can be read only by who may
 * write, so a copy of both is read. `reason`: why it is not opened itself. */
static int open_copy(StoreFile *file, const char *scratch, const char *reason, Fault *fault) {
        _cleanup_free_ char *copy = NULL, *problem = NULL;
        int version = store_schema_version(file->kind), r;
        Verdict verdict;

        close_database(file);
        if (set_health(file, STORE_READ_ONLY, "%s", strempty(reason)) < 0)
                return fault_oom(fault);

        r = store_copy(file->path, scratch, &copy);
        if (r < 0) {
                if (set_health(file, STORE_READ_ONLY, "%s; nor can it be copied to be read: %s",
                               strempty(reason), strerrordesc_np(-r)) < 0)
                        return fault_oom(fault);
                return open_empty(file, fault);
        }

        r = open_database(file, copy, SQLITE_OPEN_READWRITE);
        verdict = r == SQLITE_OK ? examine(file, copy, &version, &problem) : verdict_of(r);
        if (verdict == VERDICT_GOOD && migrate(file, version) != SQLITE_OK)
                verdict = VERDICT_UNREADABLE;
        store_remove_copy(copy);
        if (verdict == VERDICT_GOOD || verdict == VERDICT_NEWER)
                return 0;

        if (set_health(file, verdict == VERDICT_DAMAGED ? STORE_DAMAGED : STORE_READ_ONLY,
                       "%s; nor can it be read: %s", strempty(reason), strempty(problem)) < 0)
                return fault_oom(fault);
        return open_empty(file, fault);
}

static int sync_path(const char *path, int flags) {
        _cleanup_close_ int fd = open(path, flags | O_CLOEXEC);

        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int build(StoreFile *file, const char *path) {
        _cleanup_free_ char *journal = NULL;
        sqlite3_stmt *statement = NULL;
        char pragma[64];
        int r;

        snprintf(pragma, sizeof(pragma), "PRAGMA application_id=%d", STORE_APPLICATION_ID);
        r = open_database(file, path, SQLITE_OPEN_READWRITE);
        if (r == SQLITE_OK)
                r = store_file_exec(file, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF");
        if (r == SQLITE_OK)
                r = store_file_exec(file, pragma);
        if (r == SQLITE_OK)
                r = migrate(file, 0);
        if (r == SQLITE_OK && file->health == STORE_DAMAGED) {
                r = sqlite3_prepare_v2(file->db, "INSERT INTO meta VALUES ('" DAMAGED_KEY "', ?1)", -1,
                                       &statement, NULL);
                if (r == SQLITE_OK)
                        r = sqlite3_bind_text(statement, 1, file->reason, -1, SQLITE_STATIC);
                if (r == SQLITE_OK && sqlite3_step(statement) != SQLITE_DONE)
                        r = sqlite3_errcode(file->db);
                sqlite3_finalize(statement);
        }
        if (r == SQLITE_OK)
                r = query(file, "PRAGMA journal_mode=WAL", NULL, &journal);
        return r;
}

/* A new database under another name, complete and on the disk before it takes its own: what has the name
 * has a schema, and where a predecessor was damaged it says so until it is acknowledged. */
static int create(StoreFile *file, const char *directory, Fault *fault) {
        _cleanup_free_ char *path = NULL;
        int fd, r;

        if (asprintf(&path, "%s.new", file->path) < 0)
                return fault_oom(fault);

        (void) unlink(path);
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return fault_set(fault, -errno, FAULT_STORE_FAILED, "Cannot create %s: %s", path,
                                 strerrordesc_np(errno));
        (void) close(fd);

        close_database(file);
        r = build(file, path);
        if (r != SQLITE_OK) {
                r = store_file_fault(file, r, "create", fault);
                close_database(file);
                (void) unlink(path);
                return r;
        }
        close_database(file);

        r = file->kind == STORE_STATE ? sync_path(path, O_RDONLY) : 0;
        if (r >= 0 && rename(path, file->path) < 0)
                r = -errno;
        if (r >= 0 && file->kind == STORE_STATE)
                r = sync_path(directory, O_RDONLY | O_DIRECTORY);
        if (r < 0)
                return fault_set(fault, r, FAULT_STORE_FAILED, "Cannot create %s: %s", file->path,
                                 strerrordesc_np(-r));
        return 0;
}

static int count_frames(void *userdata, sqlite3 *db, const char *name, int frames) {
        StoreFile *file = userdata;

        file->wal_frames = frames;
        return SQLITE_OK;
}

/* Brings an examined database to use. */
static int take_into_use(StoreFile *file, int version) {
        _cleanup_free_ char *mode = NULL, *damage = NULL;
        int r;

        r = query(file, "PRAGMA journal_mode=WAL", NULL, &mode);
        if (r == SQLITE_OK && !streq(mode, "wal"))
                r = SQLITE_CANTOPEN;
        if (r == SQLITE_OK)
                r = store_file_exec(file, kinds[file->kind].synchronous);
        /* Records are small and hardly read again: the cache is for the pages of one transaction, not for the topology of a
         * large host. */
        if (r == SQLITE_OK)
                r = store_file_exec(file, "PRAGMA cache_size=-256");
        (void) sqlite3_wal_hook(file->db, count_frames, file);
        (void) sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        if (r == SQLITE_OK)
                r = migrate(file, version);
        if (r == SQLITE_OK)
                r = query(file, "SELECT value FROM meta WHERE key = '" DAMAGED_KEY "'", NULL, &damage);
        if (r == SQLITE_OK) /* there is such a row */
                return set_health(file, STORE_DAMAGED, "%s", damage) < 0 ? SQLITE_NOMEM : SQLITE_OK;

        return r == SQLITE_DONE ? SQLITE_OK : r;
}

static int begin_anew(StoreFile *file, const char *directory, const char *scratch, const char *reason,
                      Fault *fault);

/* `fresh`: it was created a moment ago, so that another damage is not a reason to create one more. */
static int open_writable(StoreFile *file, const char *directory, const char *scratch, bool fresh,
                         Fault *fault) {
        _cleanup_free_ char *reason = NULL;
        int version = 0, r;
        Verdict verdict;

        r = open_database(file, file->path, SQLITE_OPEN_READWRITE);
        verdict = r == SQLITE_OK ? examine(file, file->path, &version, &reason) : verdict_of(r);
        if (verdict == VERDICT_GOOD) {
                _cleanup_fault_ Fault problem = { 0 };

                r = take_into_use(file, version);
                if (r == SQLITE_OK) {
                        file->writable = true;
                        return 0;
                }
                (void) store_file_fault(file, r, "open", &problem);
                reason = TAKE_PTR(problem.message);
                verdict = verdict_of(r);
        }

        if (verdict == VERDICT_BUSY)
                return fault_set(fault, -EBUSY, FAULT_STORE_FAILED, "%s is in use by another process",
                                 file->path);
        if (verdict == VERDICT_DAMAGED && !fresh)
                return begin_anew(file, directory, scratch, reason, fault);
        return open_copy(file, scratch, reason ?: sqlite3_errstr(r), fault);
}

/* Sets aside what is there and begins with an empty database that remembers why. */
static int begin_anew(StoreFile *file, const char *directory, const char *scratch, const char *reason,
                      Fault *fault) {
        _cleanup_free_ char *aside = NULL;
        _cleanup_fault_ Fault problem = { 0 };
        int r;

        close_database(file);
        r = store_set_aside(file->path, &aside);
        if (r < 0)
                (void) fault_set(&problem, r, FAULT_STORE_FAILED, "it cannot be set aside: %s",
                                 strerrordesc_np(-r));
        else if (set_health(file, STORE_DAMAGED, "%s; %s%s%sa new one was begun", strempty(reason),
                            r > 0 ? "it was kept as " : "", r > 0 ? aside : "", r > 0 ? " and " : "") < 0)
                return fault_oom(fault);
        else
                r = create(file, directory, &problem);
        if (r >= 0)
                return open_writable(file, directory, scratch, true, fault);

        if (set_health(file, STORE_DAMAGED, "%s; %s", strempty(reason), strempty(problem.message)) < 0)
                return fault_oom(fault);
        return open_empty(file, fault);
}

static int open_new(StoreFile *file, const char *directory, const char *scratch, Fault *fault) {
        _cleanup_fault_ Fault problem = { 0 };
        _cleanup_free_ char *left = NULL, *reason = NULL;

        if (store_left_behind(file->path, &left)) {
                if (asprintf(&reason, "%s is missing, but there is %s", file->path, left) < 0)
                        return fault_oom(fault);
                return begin_anew(file, directory, scratch, reason, fault);
        }

        if (create(file, directory, &problem) >= 0)
                return open_writable(file, directory, scratch, true, fault);
        if (set_health(file, STORE_READ_ONLY, "%s", strempty(problem.message)) < 0)
                return fault_oom(fault);
        return open_empty(file, fault);
}

/* Why the path cannot be written, or 0. */
static int refusal(const char *path, int mode) {
        return faccessat(AT_FDCWD, path, mode, AT_EACCESS) < 0 ? errno : 0;
}

int store_file_open(StoreKind kind, const char *directory, const char *scratch, StoreFile **ret,
                    Fault *fault) {
        _cleanup_(store_file_closep) StoreFile *file = NULL;
        _cleanup_free_ char *reason = NULL;
        const char *refused;
        bool exists;
        int why, r;

        file = calloc(1, sizeof(*file));
        if (!file)
                return fault_oom(fault);
        file->kind = kind;
        if (asprintf(&file->path, "%s/%s", directory, kinds[kind].name) < 0) {
                file->path = NULL;
                return fault_oom(fault);
        }

        exists = access(file->path, F_OK) >= 0;
        refused = directory;
        why = refusal(directory, W_OK | X_OK);
        if (why == 0 && exists) {
                refused = file->path;
                why = refusal(file->path, R_OK | W_OK);
        }

        if (why != 0 && asprintf(&reason, "%s cannot be written: %s", refused, strerrordesc_np(why)) < 0)
                return fault_oom(fault);
        if (why == 0)
                r = exists ? open_writable(file, directory, scratch, false, fault)
                           : open_new(file, directory, scratch, fault);
        else if (exists)
                r = open_copy(file, scratch, reason, fault);
        else
                r = set_health(file, STORE_READ_ONLY, "%s", reason) < 0 ? fault_oom(fault)
                                                                        : open_empty(file, fault);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(file);
        return 0;
}
