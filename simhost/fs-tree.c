/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fs-tree.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

/* ext4 allows 65,000 links to one file. */
#define LINKS_MAX 60000

typedef struct Shared {
        struct Shared *next;
        uint64_t hash;
        char *path;
        void *data;
        size_t size;
        unsigned links;
} Shared;

struct Tree {
        int fd;
        int failed;
        size_t count;
        Shared *shared[4096];
};

static void tree_fail(Tree *t, int error, const char *what, const char *path) {
        if (t->failed == 0)
                complain("cannot %s %s: %s", what, path, strerror(-error));
        if (t->failed == 0)
                t->failed = error;
}

int tree_open(const char *directory, Tree **ret) {
        Tree *t;
        int fd;

        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        t = allocate(sizeof(*t));
        t->fd = fd;
        *ret = t;
        return 0;
}

Tree *tree_free(Tree *t) {
        if (!t)
                return NULL;

        for (size_t i = 0; i < ELEMENTS(t->shared); i++) {
                Shared *next;

                for (Shared *s = t->shared[i]; s; s = next) {
                        next = s->next;
                        free(s->path);
                        free(s->data);
                        free(s);
                }
        }
        close(t->fd);
        free(t);
        return NULL;
}

int tree_fd(const Tree *t) {
        return t->fd;
}

int tree_failed(const Tree *t) {
        return t->failed;
}

size_t tree_count(const Tree *t) {
        return t->count;
}

static int make_directories(int fd, const char *path) {
        Path parent;
        int r;

        if (mkdirat(fd, path, 0755) == 0 || errno == EEXIST)
                return 0;
        if (errno != ENOENT)
                return -errno;

        path_parent(&parent, path);
        if (parent.s[0] == '\0')
                return -ENOENT;
        r = make_directories(fd, parent.s);
        if (r < 0)
                return r;
        return mkdirat(fd, path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

void tree_make_directory(Tree *t, const char *path) {
        int r = make_directories(t->fd, path);

        if (r < 0)
                tree_fail(t, r, "make", path);
        t->count++;
}

static int write_all(int fd, const char *data, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, data, size);

                if (n < 0)
                        return -errno;
                data += n;
                size -= (size_t) n;
        }
        return 0;
}

static int write_in_place(Tree *t, const char *path, const void *data, size_t size) {
        _cleanup_close_ int fd = openat(t->fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? -errno : write_all(fd, data, size);
}

/* Makes @path anew; where there is one already, the new one replaces it in one step. */
static int write_new(Tree *t, const char *path, mode_t mode, const void *data, size_t size) {
        _cleanup_close_ int fd = -1;
        Path temporary;
        bool replace = false;
        int r;

        fd = openat(t->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0 && errno == EEXIST) {
                replace = true;
                fd = openat(t->fd, path_make(&temporary, "%s~", path),
                            O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
        }
        if (fd < 0)
                return -errno;

        r = write_all(fd, data, size);
        if (r < 0)
                return r;
        t->count++;
        if (!replace || renameat(t->fd, temporary.s, t->fd, path) >= 0)
                return 0;
        if (errno != EBUSY)
                return -errno;
        /* A control file lies over it, which hides it from everybody but us; and it is never a shared
         * one. */
        (void) unlinkat(t->fd, temporary.s, 0);
        return write_in_place(t, path, data, size);
}

void tree_write(Tree *t, const char *path, mode_t mode, const void *data, size_t size) {
        int r = write_new(t, path, mode, data, size);

        if (r < 0)
                tree_fail(t, r, "write", path);
}

static uint64_t hash_bytes(const void *data, size_t size) {
        const unsigned char *p = data;
        uint64_t h = 14695981039346656037ULL;

        for (size_t i = 0; i < size; i++)
                h = (h ^ p[i]) * 1099511628211ULL;
        return h;
}

void tree_share(Tree *t, const char *path, const void *data, size_t size) {
        uint64_t hash = hash_bytes(data, size);
        Shared **bucket = &t->shared[hash % ELEMENTS(t->shared)], *s;
        int r;

        for (s = *bucket; s; s = s->next)
                if (s->hash == hash && s->size == size && memcmp(s->data, data, size) == 0)
                        break;
        if (s && s->links < LINKS_MAX && linkat(t->fd, s->path, t->fd, path, 0) == 0) {
                s->links++;
                t->count++;
                return;
        }

        r = write_new(t, path, 0444, data, size);
        if (r < 0)
                return tree_fail(t, r, "write", path);
        if (!s) {
                s = allocate(sizeof(*s));
                s->hash = hash;
                s->size = size;
                s->data = memcpy(allocate(size), data, size);
                s->next = *bucket;
                *bucket = s;
        }
        free(s->path);
        s->path = copy_string(path);
        s->links = 1;
}

void tree_put(Tree *t, const char *directory, const char *name, mode_t mode, const char *format, ...) {
        char text[8192];
        Path p;
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        tree_write(t, path_make(&p, "%s/%s", directory, name), mode, text, strlen(text));
}

void tree_attribute(Tree *t, const char *directory, const char *name, const char *format, ...) {
        char text[8192];
        Path p;
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        tree_share(t, path_make(&p, "%s/%s", directory, name), text, strlen(text));
}

/* Where the two part: the length of the deepest directory above both. It is never @target itself: sysfs
 * always names what it points at, as in net/eth0/device -> ../../../0000:01:00.0. */
static size_t common_directory(const char *target, const char *directory) {
        size_t common = 0;

        for (size_t i = 0; target[i] != '\0'; i++) {
                if (target[i] == '/' && (directory[i] == '/' || directory[i] == '\0'))
                        common = i;
                if (target[i] != directory[i])
                        break;
        }
        return common;
}

void tree_symlink(Tree *t, const char *target, const char *directory, const char *name) {
        size_t common = common_directory(target, directory);
        char text[PATH_MAX], *end = text;
        Path p;

        for (const char *d = directory + common; *d; d++)
                if (*d == '/' && end < text + sizeof(text) - 4)
                        end = stpcpy(end, "../");
        copy_text(end, sizeof(text) - (size_t) (end - text), target + common + 1);

        path_make(&p, "%s/%s", directory, name);
        if (symlinkat(text, t->fd, p.s) < 0) {
                if (errno != EEXIST || unlinkat(t->fd, p.s, 0) < 0 || symlinkat(text, t->fd, p.s) < 0)
                        tree_fail(t, -errno, "link", p.s);
        }
        t->count++;
}

bool tree_has(Tree *t, const char *directory, const char *name) {
        Path p;

        return faccessat(t->fd, path_make(&p, "%s/%s", directory, name), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int tree_read_bytes(Tree *t, const char *directory, const char *name, void *buffer, size_t size) {
        _cleanup_close_ int fd = -1;
        ssize_t n;
        Path p;

        fd = openat(t->fd, path_make(&p, "%s/%s", directory, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        n = read(fd, buffer, size);
        return n < 0 ? -errno : (int) n;
}

int tree_read(Tree *t, const char *directory, const char *name, char *buffer, size_t size) {
        int n = tree_read_bytes(t, directory, name, buffer, size - 1);

        if (n < 0)
                return n;
        buffer[n] = '\0';
        if (n > 0 && buffer[n - 1] == '\n')
                buffer[n - 1] = '\0';
        return 0;
}

int tree_read_number(Tree *t, const char *directory, const char *name, int base, uint64_t *ret) {
        char text[64];
        int r;

        r = tree_read(t, directory, name, text, sizeof(text));
        if (r < 0)
                return r;
        return string_to_u64(text, base, ret);
}

int tree_link_text(Tree *t, const char *directory, const char *name, char *ret, size_t size) {
        ssize_t n;
        Path p;

        n = readlinkat(t->fd, path_make(&p, "%s/%s", directory, name), ret, size - 1);
        if (n < 0)
                return -errno;
        ret[n] = '\0';
        return 0;
}

int tree_follow(Tree *t, const char *directory, const char *name, Path *ret) {
        char text[PATH_MAX];
        const char *rest = text;
        Path at;
        int r;

        r = tree_link_text(t, directory, name, text, sizeof(text));
        if (r < 0)
                return r;
        path_make(&at, "%s", directory);
        while (string_starts(rest, "..")) {
                Path up;

                path_parent(&up, at.s);
                at = up;
                rest += rest[2] == '/' ? 3 : 2;
        }
        path_make(ret, "%s%s%s", at.s, *rest ? "/" : "", rest);
        return 0;
}

int tree_follow_name(Tree *t, const char *directory, const char *name, char *ret, size_t size) {
        char text[PATH_MAX];
        int r;

        r = tree_link_text(t, directory, name, text, sizeof(text));
        if (r >= 0)
                copy_text(ret, size, path_name(text));
        return r;
}

DIR *tree_list(Tree *t, const char *path) {
        int fd = openat(t->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        DIR *d;

        if (fd < 0)
                return NULL;
        d = fdopendir(fd);
        if (!d)
                close(fd);
        return d;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

void tree_subdirectories(Tree *t, const char *path, Names *ret) {
        _cleanup_closedir_ DIR *d = tree_list(t, path);
        struct dirent *e;

        *ret = (Names){ 0 };
        while (d && (e = readdir(d))) {
                if (e->d_type != DT_DIR || e->d_name[0] == '.')
                        continue;
                ret->list = realloc(ret->list, (ret->count + 1) * sizeof(char *));
                if (!ret->list)
                        abort();
                ret->list[ret->count++] = copy_string(e->d_name);
        }
        if (ret->count > 1)
                qsort(ret->list, ret->count, sizeof(char *), compare_names);
}

void names_free(Names *n) {
        for (size_t i = 0; i < n->count; i++)
                free(n->list[i]);
        free(n->list);
}

void tree_remove(Tree *t, const char *directory, const char *name) {
        Path p;

        path_make(&p, "%s/%s", directory, name);
        if (unlinkat(t->fd, p.s, 0) < 0 && errno != ENOENT)
                tree_fail(t, -errno, "remove", p.s);
}

void tree_bury(Tree *t, const char *directory, const char *name) {
        struct stat st;
        Path from, to;

        path_make(&from, "%s/%s", directory, name);
        if (fstatat(t->fd, from.s, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return;
        tree_make_directory(t, "kernel/buried");
        path_make(&to, "kernel/buried/%llu", (unsigned long long) st.st_ino);
        if (tree_move(t, from.s, to.s) < 0)
                tree_remove(t, directory, name);
}

void tree_remove_all(Tree *t, const char *path) {
        _cleanup_closedir_ DIR *d = tree_list(t, path);
        struct dirent *e;

        while (d && (e = readdir(d))) {
                Path p;

                if (string_equal(e->d_name, ".") || string_equal(e->d_name, ".."))
                        continue;
                if (e->d_type == DT_DIR)
                        tree_remove_all(t, path_make(&p, "%s/%s", path, e->d_name));
                else
                        tree_remove(t, path, e->d_name);
        }
        if (unlinkat(t->fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
                tree_fail(t, -errno, "remove", path);
}

int tree_move(Tree *t, const char *from, const char *to) {
        return renameat(t->fd, from, t->fd, to) < 0 ? -errno : 0;
}
