/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proc-file.h"

FILE *proc_open(const Sysfs *sysfs, const char *path) {
        FILE *stream;
        int fd;

        fd = openat(sysfs->root_fd, path + strspn(path, "/"), O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return NULL;
        stream = fdopen(fd, "r");
        if (!stream)
                (void) close(fd);

        return stream;
}

int proc_each_line(const Sysfs *sysfs, const char *path, int (*each)(void *userdata, char *line), void *userdata) {
        char buffer[16 * 1024]; /* each read makes the kernel find its place again */
        _cleanup_fclose_ FILE *stream = proc_open(sysfs, path);
        _cleanup_free_ char *line = NULL;
        size_t allocated = 0;
        ssize_t n;
        int r = 0;

        if (!stream)
                return -errno;
        (void) setvbuf(stream, buffer, _IOFBF, sizeof(buffer));

        while (r == 0) {
                errno = 0;
                n = getline(&line, &allocated, stream);
                if (n < 0)
                        return errno == 0 || feof(stream) ? 0 : -errno;
                if (n > 0 && line[n - 1] == '\n')
                        line[n - 1] = '\0';
                r = each(userdata, line);
        }

        return r;
}
