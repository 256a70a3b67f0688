/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "sysfs.h"

/* openat2() answers EAGAIN when something was renamed or mounted while it followed "..": a few attempts are
 * enough on any host that does not do so without pause. */
#define OPEN_ATTEMPTS 32

/* glibc has no wrapper. Nothing stands in where the kernel (before 5.6) has no openat2(): a weaker check
 * would be none. */
static int open_beneath(int dir_fd, const char *name, int flags) {
        struct open_how how = {
                .flags = (uint64_t) (flags | O_CLOEXEC),
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        };

        if (isempty(name))
                return -EINVAL;

        for (int i = 0; i < OPEN_ATTEMPTS; i++) {
                long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));

                if (fd >= 0)
                        return (int) fd;
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
        }

        return -EAGAIN;
}

int sysfs_init(Sysfs *ret, const char *root) {
        int fd;

        fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        *ret = (Sysfs){ .root_fd = fd };
        return 0;
}

void sysfs_done(Sysfs *sysfs) {
        if (sysfs)
                sysfs->root_fd = close_fd(sysfs->root_fd);
}

static bool is_component(const char *name) {
        return !isempty(name) && strlen(name) <= NAME_MAX && !strchr(name, '/') && !streq(name, ".") &&
               !streq(name, "..");
}

/* Reads the link `name` below the directory whole. */
static int read_target(int dir_fd, const char *name, char target[static PATH_MAX]) {
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        if (is_component(name))
                n = readlinkat(dir_fd, name, target, PATH_MAX);
        else {
                fd = open_beneath(dir_fd, name, O_PATH | O_NOFOLLOW);
                if (fd < 0)
                        return fd;
                n = readlinkat(fd, "", target, PATH_MAX);
                /* What the empty path says of something that is no link. */
                if (n < 0 && errno == ENOENT)
                        return -EINVAL;
        }
        if (n < 0)
                return -errno;
        if (n >= PATH_MAX)
                return -ENAMETOOLONG;

        target[n] = '\0';
        return 0;
}

const char *sysfs_device_path(const char *target, unsigned depth) {
        const char *p = target;

        for (unsigned i = 0; i < depth; i++) {
                p = startswith(p, "../");
                if (!p)
                        return NULL;
        }
        if (!startswith(p, "devices/"))
                return NULL;

        for (const char *c = p; *c;) {
                size_t length = strcspn(c, "/");

                if (length == 0 || (length == 1 && c[0] == '.') ||
                    (length == 2 && c[0] == '.' && c[1] == '.'))
                        return NULL;
                c += length;
                /* A slash promises another component. */
                if (c[0] == '/' && *++c == '\0')
                        return NULL;
        }

        return p - 1; /* from the slash before "devices" */
}

int sysfs_open_device(const Sysfs *sysfs, const char *subsystem, const char *sysname, int *ret_fd,
                      char **ret_path) {
        static const struct {
                const char *above, *below;
                unsigned depth; /* of the directory that holds the link, below /sys */
        } places[] = {
                { "bus", "/devices", 3 },
                { "class", "", 2 },
        };
        char link[PATH_MAX], target[PATH_MAX], full[sizeof("sys") + PATH_MAX];
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *copy = NULL;
        const char *path = NULL;
        int r = -ENOENT;

        if (!is_component(subsystem) || !is_component(sysname))
                return -EINVAL;

        for (size_t i = 0; i < ELEMENTSOF(places) && r == -ENOENT; i++) {
                (void) snprintf(link, sizeof(link), "sys/%s/%s%s/%s", places[i].above, subsystem,
                                places[i].below, sysname);
                r = read_target(sysfs->root_fd, link, target);
                if (r >= 0)
                        path = sysfs_device_path(target, places[i].depth);
        }
        if (r < 0 && r != -EINVAL)
                return r;
        if (!path) /* no link at all, or one that leads elsewhere */
                return -EXDEV;

        (void) snprintf(full, sizeof(full), "sys%s", path);
        fd = open_beneath(sysfs->root_fd, full, O_PATH | O_DIRECTORY);
        if (fd < 0)
                return fd;
        if (ret_path && !(copy = strdup(path)))
                return -ENOMEM;

        *ret_fd = TAKE_FD(fd);
        if (ret_path)
                *ret_path = TAKE_PTR(copy);
        return 0;
}

/* Reads until the end or until the buffer is full. What was read before an error counts, as with read(2). */
static ssize_t read_fully(int fd, char *buffer, size_t size, off_t offset) {
        size_t used = 0;

        while (used < size) {
                ssize_t n = pread(fd, buffer + used, size - used, offset + (off_t) used);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && used == 0)
                        return -errno;
                if (n <= 0)
                        break;
                used += (size_t) n;
        }

        return (ssize_t) used;
}

static bool is_space(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

ssize_t sysfs_read_at(int dir_fd, const char *name, char *buffer, size_t size) {
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;
        char more;

        if (size == 0)
                return -EINVAL;

        /* Non-blocking, so that a FIFO in the place of an attribute cannot stop us. */
        fd = open_beneath(dir_fd, name, O_RDONLY | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return fd;
        n = read_fully(fd, buffer, size, 0);
        if (n < 0)
                return n;
        if ((size_t) n == size) {
                /* Full: the text fits only if nothing but its last white space is too much. */
                if (!is_space(buffer[n - 1]) || read_fully(fd, &more, 1, n) > 0)
                        return -E2BIG;
        }

        while (n > 0 && is_space(buffer[n - 1]))
                n--;
        if (memchr(buffer, '\0', (size_t) n))
                return -EBADMSG; /* binary: as text it would end early */
        buffer[n] = '\0';
        return n;
}

ssize_t sysfs_pread_at(int dir_fd, const char *name, void *buffer, size_t size, uint64_t offset) {
        _cleanup_close_ int fd = -EBADF;

        if (size > SSIZE_MAX || offset > (uint64_t) INT64_MAX - size)
                return -EINVAL;

        fd = open_beneath(dir_fd, name, O_RDONLY | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return fd;

        return read_fully(fd, buffer, size, (off_t) offset);
}

int sysfs_write_at(int dir_fd, const char *name, const char *value) {
        _cleanup_close_ int fd = -EBADF;
        size_t length;
        ssize_t n;

        /* The kernel calls this a success and does nothing. */
        if (isempty(value))
                return -EINVAL;

        fd = open_beneath(dir_fd, name, O_WRONLY | O_NOCTTY);
        if (fd < 0)
                return fd;

        length = strlen(value);
        n = write(fd, value, length);
        if (n < 0)
                return -errno;
        return (size_t) n == length ? 0 : -EIO;
}

ssize_t sysfs_link_at(int dir_fd, const char *name, char *buffer, size_t size) {
        char target[PATH_MAX];
        const char *last;
        size_t length;
        int r;

        r = read_target(dir_fd, name, target);
        if (r < 0)
                return r;

        last = strrchr(target, '/');
        last = last ? last + 1 : target;
        if (!is_component(last))
                return -EINVAL;

        length = strlen(last);
        if (length >= size)
                return -E2BIG;

        memcpy(buffer, last, length + 1);
        return (ssize_t) length;
}

int sysfs_list_at(int dir_fd, const char *name, void (*each)(void *userdata, const char *entry),
                  void *userdata) {
        DIR *directory;
        int fd, r = 0;

        fd = open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd;
        directory = fdopendir(fd);
        if (!directory) {
                r = -errno;
                (void) close_fd(fd);
                return r;
        }

        for (;;) {
                struct dirent *entry;

                errno = 0;
                entry = readdir(directory);
                if (!entry) {
                        r = -errno;
                        break;
                }
                if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
                        each(userdata, entry->d_name);
        }

        (void) closedir(directory);
        return r;
}

bool sysfs_exists_at(int dir_fd, const char *name) {
        _cleanup_close_ int fd = -EBADF;

        fd = open_beneath(dir_fd, name, O_PATH | O_NOFOLLOW);
        return fd >= 0;
}

/* The path as seen from the root directory, NULL when it is not absolute. The root itself is ".". */
static const char *below_root(const char *path) {
        if (!path || path[0] != '/')
                return NULL;

        path += strspn(path, "/");
        return path[0] != '\0' ? path : ".";
}

ssize_t sysfs_read(const Sysfs *sysfs, const char *path, char *buffer, size_t size) {
        return sysfs_read_at(sysfs->root_fd, below_root(path), buffer, size);
}

ssize_t sysfs_link(const Sysfs *sysfs, const char *path, char *buffer, size_t size) {
        return sysfs_link_at(sysfs->root_fd, below_root(path), buffer, size);
}

int sysfs_list(const Sysfs *sysfs, const char *path, void (*each)(void *userdata, const char *entry),
               void *userdata) {
        return sysfs_list_at(sysfs->root_fd, below_root(path), each, userdata);
}

bool sysfs_exists(const Sysfs *sysfs, const char *path) {
        return sysfs_exists_at(sysfs->root_fd, below_root(path));
}

/* What an open directory or file is called: the kernel knows. */
static int name_of(int fd, char ret[static PATH_MAX]) {
        char link[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];
        ssize_t n;

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, ret, PATH_MAX);
        if (n < 0)
                return -errno;
        if (n >= PATH_MAX)
                return -ENAMETOOLONG;
        ret[n] = '\0';
        return 0;
}

int sysfs_resolve(const Sysfs *sysfs, const char *path, char **ret) {
        static const char deleted[] = " (deleted)";
        char root[PATH_MAX], name[PATH_MAX], *copy;
        _cleanup_close_ int fd = -EBADF;
        const char *below;
        size_t length;
        int r;

        fd = open_beneath(sysfs->root_fd, below_root(path), O_PATH);
        if (fd < 0)
                return fd;
        r = name_of(sysfs->root_fd, root);
        if (r >= 0)
                r = name_of(fd, name);
        if (r < 0)
                return r;

        length = strlen(name);
        if (length > strlen(deleted) && streq(name + length - strlen(deleted), deleted))
                return -ENOENT;
        below = streq(root, "/") ? name : startswith(name, root);
        if (!below || below[0] != '/')
                return -EXDEV;
        copy = strdup(below);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}
