/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <poll.h>

#include "evidence-internal.h"
#include "lib/parse.h"

#define TABLE_MAX_BYTES ((size_t) 64 * 1024 * 1024)
#define READ_ATTEMPTS 4

void mount_table_done(MountTable *table) {
        for (size_t i = 0; i < table->n_items; i++) {
                free(table->items[i].target);
                free(table->items[i].type);
                free(table->items[i].source);
                free(table->items[i].options);
        }
        free(table->items);
        *table = (MountTable){};
}

void unescape_octal(char *text) {
        char *to = text;

        for (const char *from = text; *from;) {
                if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
                    from[3] >= '0' && from[3] <= '7') {
                        *to++ = (char) ((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
                        from += 4;
                } else
                        *to++ = *from++;
        }
        *to = '\0';
}

static char *unescaped(const char *text) {
        char *copy = strdup(text);

        if (copy)
                unescape_octal(copy);
        return copy;
}

/* 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
 * Between the sixth field and the dash there is any number of others. */
static int parse_line(MountTable *table, char *line) {
        enum { DEVICE = 2, TARGET = 4, BEFORE = 6, TYPE = 6, SOURCE, OPTIONS, FIELDS };
        char *fields[FIELDS] = {}, *field;
        unsigned major_number, minor_number;
        bool dash = false;
        size_t n = 0;
        Mount *mount;

        while (n < FIELDS && (field = strsep(&line, " "))) {
                if (n < BEFORE || dash)
                        fields[n++] = field;
                else
                        dash = streq(field, "-");
        }
        if (n <= SOURCE || parse_dev(fields[DEVICE], &major_number, &minor_number) < 0)
                return 0;

        if (table->n_items == table->n_allocated) {
                size_t allocated = MAX_OF(table->n_allocated * 2, (size_t) 64);
                Mount *items = reallocarray(table->items, allocated, sizeof(*items));

                if (!items)
                        return -ENOMEM;
                table->items = items;
                table->n_allocated = allocated;
        }
        mount = &table->items[table->n_items++];
        *mount = (Mount){
                .major_number = major_number,
                .minor_number = minor_number,
                .target = unescaped(fields[TARGET]),
                .type = unescaped(fields[TYPE]),
                .source = unescaped(fields[SOURCE]),
                .options = unescaped(strempty(fields[OPTIONS])),
        };
        return mount->target && mount->type && mount->source && mount->options ? 0 : -ENOMEM;
}

int mount_table_parse(MountTable *table, char *text) {
        char *line;
        int r = 0;

        while (r >= 0 && (line = strsep(&text, "\n")))
                r = parse_line(table, line);
        return r;
}

static int read_all(int fd, char **ret) {
        _cleanup_free_ char *text = NULL;
        size_t used = 0, size = 0;

        for (;;) {
                ssize_t n;

                if (size - used < 4096) {
                        char *larger = realloc(text, MAX_OF(size * 2, (size_t) 65536));

                        if (!larger)
                                return -ENOMEM;
                        text = larger;
                        size = MAX_OF(size * 2, (size_t) 65536);
                        if (size > TABLE_MAX_BYTES)
                                return -E2BIG;
                }
                n = pread(fd, text + used, size - used - 1, (off_t) used);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                used += (size_t) n;
        }
        for (size_t i = 0; i < used; i++)
                if (text[i] == '\0')
                        text[i] = '?'; /* not from a kernel */
        text[used] = '\0';
        *ret = TAKE_PTR(text);
        return 0;
}

static bool has_changed(int fd) {
        struct pollfd changed = { .fd = fd, .events = POLLPRI };

        return poll(&changed, 1, 0) > 0 && changed.revents & (POLLPRI | POLLERR);
}

/* The kernel hands the table out in pieces: a mount that moves while it is read is missed or comes twice. */
int mount_table_read(const Sysfs *sysfs, const char *path, MountTable *ret) {
        _cleanup_mounts_ MountTable table = {};
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = openat(sysfs->root_fd, path + 1, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        for (int i = 0; i < READ_ATTEMPTS; i++) {
                _cleanup_free_ char *text = NULL;

                r = read_all(fd, &text);
                if (r >= 0)
                        r = mount_table_parse(&table, text);
                if (r < 0)
                        return r;
                if (!has_changed(fd))
                        break;
        }

        *ret = table;
        table = (MountTable){};
        return 0;
}

/* Whether the path is the place or below it. */
static bool is_below(const char *path, const char *place) {
        const char *rest = startswith(path, place);

        return rest && (*rest == '\0' || *rest == '/' || streq(place, "/"));
}

const Mount *mount_table_find(const MountTable *table, const char *path) {
        const Mount *best = NULL;

        for (size_t i = 0; i < table->n_items; i++) {
                const Mount *mount = &table->items[i];

                if (is_below(path, mount->target) && (!best || strlen(mount->target) >= strlen(best->target)))
                        best = mount;
        }
        return best;
}

char *mount_option(const Mount *mount, const char *name) {
        for (const char *option = mount->options; *option;) {
                size_t length = strcspn(option, ",");
                const char *value = startswith(option, name);

                if (value && *value == '=')
                        return strndup(value + 1, length - (size_t) (value + 1 - option));
                option += length;
                option += *option == ',';
        }
        return NULL;
}
