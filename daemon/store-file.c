/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-file.h"

#include <sys/stat.h>

#define WAL_FRAME_BYTES 4120 /* a page of 4 KiB and what SQLite puts before it */
#define WAL_AHEAD_FRAMES 64  /* at least so many of them fit without growth */
#define WAL_GROWTH_BYTES (512 * 1024)

int store_file_statement(StoreFile *file, unsigned slot, const char *sql, sqlite3_stmt **ret) {
        int r;

        if (!file->statements[slot]) {
                r = sqlite3_prepare_v3(file->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &file->statements[slot],
                                       NULL);
                if (r != SQLITE_OK)
                        return r;
        }

        *ret = file->statements[slot];
        return SQLITE_OK;
}

int store_file_exec(StoreFile *file, const char *sql) {
        return sqlite3_exec(file->db, sql, NULL, NULL, NULL);
}

int store_file_checkpoint(StoreFile *file) {
        int r = sqlite3_wal_checkpoint_v2(file->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

        if (r == SQLITE_OK)
                file->wal_frames = 0;
        return r;
}

/* Zeros beyond the frames that are there: SQLite takes the first frame that does not carry the header's
 * salt for the end of the WAL. A file of its own is opened, which costs no lock: SQLite holds none on the
 * WAL. */
void store_file_reserve(StoreFile *file) {
        off_t needed = (off_t) (file->wal_frames + WAL_AHEAD_FRAMES) * WAL_FRAME_BYTES;
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        static const char zeros[65536];
        struct stat st;
        off_t end;

        if (!file->writable || file->wal_frames == 0 || needed <= file->wal_reserved)
                return;
        if (asprintf(&path, "%s-wal", file->path) < 0)
                return;
        fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) < 0)
                return;

        needed += WAL_GROWTH_BYTES;
        for (end = st.st_size; end < needed;) {
                ssize_t n = pwrite(fd, zeros, MIN_OF(sizeof(zeros), (size_t) (needed - end)), end);

                if (n <= 0)
                        break; /* a full disk: the commits will say so */
                end += n;
        }
        (void) fdatasync(fd);
        file->wal_reserved = needed; /* also when it could not be had: once is enough */
}

typedef struct Meaning {
        int error;
        FaultCode code;
        const char *text; /* NULL: SQLite's own */
} Meaning;

/* What the kernel said decides for errors of input and output. */
static Meaning system_meaning(int system_error) {
        switch (system_error) {
        case ENOSPC:
        case EDQUOT:
                return (Meaning){ -ENOSPC, FAULT_OUT_OF_SPACE, "no space is left for the service's state" };
        case EROFS:
                return (Meaning){ -EROFS, FAULT_READ_ONLY_STATE, "the file system is read-only" };
        default:
                return (Meaning){ -EIO, FAULT_STORE_FAILED, NULL };
        }
}

static Meaning meaning_of(StoreFile *file, int result) {
        switch (result & 0xff) {
        case SQLITE_NOMEM:
                return (Meaning){ -ENOMEM, FAULT_NO_MEMORY, "the service is out of memory" };
        case SQLITE_FULL:
                return system_meaning(ENOSPC);
        case SQLITE_READONLY:
                return (Meaning){ -EROFS, FAULT_READ_ONLY_STATE, "it cannot be written" };
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return (Meaning){ -EUCLEAN, FAULT_STATE_DAMAGED, NULL };
        case SQLITE_BUSY:
                return (Meaning){ -EBUSY, FAULT_STORE_FAILED, "another process uses it" };
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
                return system_meaning(file->db ? sqlite3_system_errno(file->db) : 0);
        default:
                return (Meaning){ -EIO, FAULT_STORE_FAILED, NULL };
        }
}

int store_file_fault(StoreFile *file, int result, const char *doing, Fault *fault) {
        Meaning meaning = meaning_of(file, result);
        const char *text = meaning.text;
        int system_error = file->db ? sqlite3_system_errno(file->db) : 0;

        if (text || (result & 0xff) != SQLITE_IOERR || system_error == 0)
                return fault_set(fault, meaning.error, meaning.code, "Cannot %s: %s: %s", doing, file->path,
                                 text
                                         ?: file->db ? sqlite3_errmsg(file->db)
                                                     : sqlite3_errstr(result));
        return fault_set(fault, meaning.error, meaning.code, "Cannot %s: %s: %s: %s", doing, file->path,
                         sqlite3_errmsg(file->db), strerrordesc_np(system_error));
}

StoreFile *store_file_close(StoreFile *file) {
        if (!file)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(file->statements); i++)
                sqlite3_finalize(file->statements[i]);
        sqlite3_close(file->db);
        free(file->path);
        free(file->reason);
        free(file);
        return NULL;
}
