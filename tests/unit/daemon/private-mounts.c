/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "private-mounts.h"

#include "tests/unit/lib/test.h"

#include <sched.h>
#include <sys/mount.h>

static void write_line(const char *path, const char *line) {
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_true(fputs(line, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

void private_mounts(void) {
        unsigned uid = getuid(), gid = getgid();
        char line[64];

        if (unshare(CLONE_NEWNS) < 0) {
                assert_int_equal(unshare(CLONE_NEWUSER | CLONE_NEWNS), 0);
                write_line("/proc/self/setgroups", "deny");
                snprintf(line, sizeof(line), "0 %u 1", uid);
                write_line("/proc/self/uid_map", line);
                snprintf(line, sizeof(line), "0 %u 1", gid);
                write_line("/proc/self/gid_map", line);
        }
        assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}
