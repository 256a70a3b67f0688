/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-aside.h"

#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define DAMAGED_INFIX ".damaged-"
#define COPY_NAME "/database"
#define ASIDE_TRIES 100u /* damaged files of one second */

static const char *const companions[] = STORE_COMPANIONS;

static int free_name(const char *path, char **ret) {
        char stamp[sizeof("20251231T235959Z")];
        time_t now = time(NULL);
        struct tm tm;

        gmtime_r(&now, &tm);
        strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);

        for (unsigned i = 1; i <= ASIDE_TRIES; i++) {
                _cleanup_free_ char *name = NULL;
                int r;

                r = i == 1 ? asprintf(&name, "%s" DAMAGED_INFIX "%s", path, stamp)
                           : asprintf(&name, "%s" DAMAGED_INFIX "%s.%u", path, stamp, i);
                if (r < 0)
                        return -ENOMEM;
                if (access(name, F_OK) < 0 && errno == ENOENT) {
                        *ret = TAKE_PTR(name);
                        return 0;
                }
        }

        return -EEXIST;
}

static int move(const char *from, const char *to) {
        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) >= 0)
                return 1;
        return errno == ENOENT ? 0 : -errno;
}

int store_set_aside(const char *path, char **ret) {
        _cleanup_free_ char *aside = NULL;
        int r, moved = 0;

        r = free_name(path, &aside);
        if (r >= 0)
                r = moved = move(path, aside);

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(companions); i++) {
                _cleanup_free_ char *from = NULL, *to = NULL;

                if (asprintf(&from, "%s%s", path, companions[i]) < 0 ||
                    asprintf(&to, "%s%s", aside, companions[i]) < 0)
                        return -ENOMEM;
                r = move(from, to);
                if (r > 0)
                        moved = r;
        }
        if (r < 0)
                return r;

        *ret = TAKE_PTR(aside);
        return moved;
}

bool store_left_behind(const char *path, char **ret) {
        _cleanup_free_ char *pattern = NULL, *wal = NULL, *found = NULL;
        glob_t matches = { 0 };
        struct stat st;

        if (asprintf(&wal, "%s-wal", path) < 0 || asprintf(&pattern, "%s" DAMAGED_INFIX "*", path) < 0)
                return false;

        if (stat(wal, &st) >= 0 && st.st_size > 0)
                found = TAKE_PTR(wal);
        else if (glob(pattern, 0, NULL, &matches) == 0)
                found = strdup(matches.gl_pathv[matches.gl_pathc - 1]);
        globfree(&matches);

        *ret = TAKE_PTR(found);
        return *ret != NULL;
}

static int copy_file(const char *from, const char *to) {
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        ssize_t n;

        in = open(from, O_RDONLY | O_CLOEXEC);
        if (in < 0)
                return -errno;
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (out < 0)
                return -errno;

        do {
                char buffer[65536];

                n = read(in, buffer, sizeof(buffer));
                if (n > 0 && write(out, buffer, (size_t) n) != n)
                        return -ENOSPC;
        } while (n > 0);

        return n < 0 ? -errno : 0;
}

int store_copy(const char *path, const char *scratch, char **ret) {
        _cleanup_free_ char *copy = NULL;
        size_t directory_length;
        int r;

        if (asprintf(&copy, "%s/read-only-XXXXXX" COPY_NAME, scratch) < 0)
                return -ENOMEM;
        directory_length = strlen(copy) - strlen(COPY_NAME);
        copy[directory_length] = '\0';
        if (!mkdtemp(copy))
                return -errno;
        copy[directory_length] = COPY_NAME[0];

        r = copy_file(path, copy);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(companions); i++) {
                _cleanup_free_ char *from = NULL, *to = NULL;

                if (streq(companions[i], "-shm")) /* made anew from the WAL */
                        continue;
                if (asprintf(&from, "%s%s", path, companions[i]) < 0 ||
                    asprintf(&to, "%s%s", copy, companions[i]) < 0)
                        r = -ENOMEM;
                else
                        r = copy_file(from, to);
                if (r == -ENOENT)
                        r = 0;
        }
        if (r < 0) {
                store_remove_copy(copy);
                return r;
        }

        *ret = TAKE_PTR(copy);
        return 0;
}

void store_remove_copy(const char *copy) {
        _cleanup_free_ char *directory = NULL;

        (void) unlink(copy);
        for (size_t i = 0; i < ELEMENTSOF(companions); i++) {
                _cleanup_free_ char *file = NULL;

                if (asprintf(&file, "%s%s", copy, companions[i]) >= 0)
                        (void) unlink(file);
        }

        directory = strndup(copy, strlen(copy) - strlen(COPY_NAME));
        if (directory)
                (void) rmdir(directory);
}
