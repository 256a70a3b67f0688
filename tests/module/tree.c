/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tree.h"

typedef struct Reader {
        const char *file;
        unsigned line;
        Tree *tree;
        char *device;    /* "/sys/devices/…" of the device that is being described; owned */
        char *subsystem; /* owned */
} Reader;

static int complain(const Reader *reader, int error, const char *what) {
        (void) fprintf(stderr, "%s:%u: %s\n", reader->file, reader->line, what);
        return error;
}

const char *tree_pair(const TreePair *pairs, const char *key) {
        for (; pairs; pairs = pairs->next)
                if (streq(pairs->key, key))
                        return pairs->value;
        return NULL;
}

static int add_pair(TreePair **list, const char *key, const char *value) {
        TreePair *pair;

        pair = calloc(1, sizeof(*pair));
        if (!pair)
                return -ENOMEM;
        pair->key = strdup(key);
        pair->value = strdup(value);
        pair->next = *list;
        *list = pair;
        return pair->key && pair->value ? 0 : -ENOMEM;
}

static void free_pairs(TreePair *pairs) {
        while (pairs) {
                TreePair *next = pairs->next;

                free(pairs->key);
                free(pairs->value);
                free(pairs);
                pairs = next;
        }
}

/* "ROOT" + `path`, with the directories that lead there. */
static int prepare_path(const Tree *tree, const char *path, char **ret) {
        char *full = NULL;

        if (asprintf(&full, "%s%s", tree->root, path) < 0)
                return -ENOMEM;
        for (char *p = full + strlen(tree->root) + 1; (p = strchr(p, '/')); p++) {
                *p = '\0';
                if (mkdir(full, 0755) < 0 && errno != EEXIST) {
                        int error = -errno;

                        free(full);
                        return error;
                }
                *p = '/';
        }
        *ret = full;
        return 0;
}

static int write_bytes(const Tree *tree, const char *path, const void *data, size_t size, const char *mode) {
        _cleanup_free_ char *full = NULL;
        FILE *f;
        bool good;
        int r;

        r = prepare_path(tree, path, &full);
        if (r < 0)
                return r;
        f = fopen(full, mode);
        if (!f)
                return -errno;
        good = fwrite(data, 1, size, f) == size;
        return fclose(f) == 0 && good ? 0 : -EIO;
}

static int make_directory(const Tree *tree, const char *path) {
        _cleanup_free_ char *full = NULL;
        int r;

        r = prepare_path(tree, path, &full);
        if (r < 0)
                return r;
        return mkdir(full, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* Length of what two paths have in common, up to and with a slash. */
static size_t common_length(const char *a, const char *b) {
        size_t common = 0;

        for (size_t i = 0; a[i] && a[i] == b[i]; i++)
                if (a[i] == '/')
                        common = i + 1;
        return common;
}

/* Makes `path` a link to `target`; an absolute target becomes relative to the nearest common directory, as
 * in sysfs. */
static int make_link(const Tree *tree, const char *path, const char *target) {
        _cleanup_free_ char *full = NULL, *up = NULL;
        size_t depth = 0, common;
        int r;

        r = prepare_path(tree, path, &full);
        if (r < 0)
                return r;
        if (target[0] != '/')
                return symlink(target, full) < 0 ? -errno : 0;

        r = make_directory(tree, target);
        if (r < 0)
                return r;
        common = common_length(path, target);
        for (const char *p = path + common; (p = strchr(p, '/')); p++)
                depth++;
        up = calloc(depth * 3 + strlen(target) + 1, 1);
        if (!up)
                return -ENOMEM;
        for (size_t i = 0; i < depth; i++)
                memcpy(up + i * 3, "../", 3);
        strcpy(up + depth * 3, target + common);
        return symlink(up, full) < 0 ? -errno : 0;
}

/* Resolves the escapes in place. Returns the number of bytes. */
static ssize_t unescape(char *text) {
        char *to = text;

        for (const char *p = text; *p; p++) {
                unsigned byte;

                if (*p != '\\') {
                        *to++ = *p;
                        continue;
                }
                p++;
                if (*p == 'n')
                        *to++ = '\n';
                else if (*p == '\\')
                        *to++ = '\\';
                else if (*p == 'x' && sscanf(p + 1, "%2x", &byte) == 1 && isxdigit((unsigned char) p[2])) {
                        *to++ = (char) byte;
                        p += 2;
                } else
                        return -EINVAL;
        }
        *to = '\0';
        return to - text;
}

#define BINARY_MAX 65536u

static int write_hex(Reader *reader, const char *path, char *text) {
        _cleanup_free_ uint8_t *data = calloc(BINARY_MAX, 1);
        size_t at = 0, end = 0;
        char *state = NULL;

        if (!data)
                return -ENOMEM;
        for (char *word = strtok_r(text, " \t", &state); word; word = strtok_r(NULL, " \t", &state)) {
                if (word[0] == '@') {
                        at = strtoul(word + 1, NULL, 16);
                        continue;
                }
                for (const char *p = word; *p; p += 2) {
                        unsigned byte;

                        if (!isxdigit((unsigned char) p[0]) || !isxdigit((unsigned char) p[1]) ||
                            sscanf(p, "%2x", &byte) != 1 || at >= BINARY_MAX)
                                return complain(reader, -EINVAL, "not pairs of hexadecimal digits");
                        data[at++] = (uint8_t) byte;
                }
                end = MAX_OF(end, at);
        }
        return write_bytes(reader->tree, path, data, end, "w");
}

static int begin_device(Reader *reader, char *subsystem, char *path) {
        _cleanup_free_ char *link = NULL, *bus = NULL, *own = NULL;
        int r;

        if (isempty(path) || !startswith(path, "/devices/"))
                return complain(reader, -EINVAL,
                                "device needs a subsystem and a path that begins with /devices/");
        free(reader->device);
        free(reader->subsystem);
        reader->subsystem = strdup(subsystem);
        if (asprintf(&reader->device, "/sys%s", path) < 0) {
                reader->device = NULL;
                return -ENOMEM;
        }
        if (!reader->subsystem ||
            asprintf(&link, "/sys/bus/%s/devices/%s", subsystem, strrchr(path, '/') + 1) < 0 ||
            asprintf(&bus, "/sys/bus/%s", subsystem) < 0 ||
            asprintf(&own, "%s/subsystem", reader->device) < 0)
                return -ENOMEM;
        r = make_directory(reader->tree, reader->device);
        if (r >= 0)
                r = make_link(reader->tree, link, reader->device);
        if (r >= 0)
                r = make_link(reader->tree, own, bus);
        return r;
}

static int add_property(Reader *reader, const char *key, const char *value) {
        _cleanup_free_ char *path = NULL, *line = NULL;

        if (!reader->device)
                return complain(reader, -EINVAL, "a property outside of a device");
        if (asprintf(&path, "/run/udev/data/+%s:%s", reader->subsystem, strrchr(reader->device, '/') + 1) <
                    0 ||
            asprintf(&line, "E:%s=%s\n", key, value) < 0)
                return -ENOMEM;
        return write_bytes(reader->tree, path, line, strlen(line), "a");
}

static char *strip(char *text) {
        size_t n;

        text += strspn(text, " \t");
        n = strlen(text);
        while (n > 0 && isspace((unsigned char) text[n - 1]))
                text[--n] = '\0';
        return text;
}

/* Splits "NAME OPERATOR VALUE" at the first of the operators; returns which, 0 for none. */
static char split(char *line, char **ret_value) {
        static const char *const operators[] = { " = ", " -> ", " : " };
        char *best = NULL, kind = 0;
        size_t length = 0;

        for (size_t i = 0; i < ELEMENTSOF(operators); i++) {
                char *at = strstr(line, operators[i]);

                if (at && (!best || at < best)) {
                        best = at;
                        kind = operators[i][1];
                        length = strlen(operators[i]);
                }
        }
        if (!best)
                return 0;
        *best = '\0';
        *ret_value = best + length;
        return kind;
}

static int write_entry(Reader *reader, const char *path, char kind, char *value) {
        ssize_t n;

        if (kind == '-')
                return make_link(reader->tree, path, strip(value));
        if (kind == ':')
                return write_hex(reader, path, value);
        n = unescape(value);
        if (n < 0)
                return complain(reader, (int) n, "an escape that is none of \\n, \\\\ and \\xNN");
        value[n] = '\n'; /* in the place of the terminator */
        return write_bytes(reader->tree, path, value, (size_t) n + 1, "w");
}

static int read_line(Reader *reader, char *line) {
        _cleanup_free_ char *path = NULL;
        char *value = NULL, kind, *rest;
        size_t n;

        line = strip(line);
        if (line[0] == '\0' || line[0] == '#')
                return 0;
        if ((rest = (char *) startswith(line, "device ")) && rest[0] != '=' && rest[0] != ':') {
                char *at = strchr(rest, ' ');

                if (at)
                        *at++ = '\0';
                return begin_device(reader, rest, at);
        }

        kind = split(line, &value);
        line = strip(line);
        if (kind == '=' && (rest = (char *) startswith(line, "fact ")))
                return add_pair(&reader->tree->facts, rest, value);
        if (kind == '=' && (rest = (char *) startswith(line, "setting ")))
                return add_pair(&reader->tree->settings, rest, value);
        if (kind == '=' && (rest = (char *) startswith(line, "demand ")))
                return add_pair(&reader->tree->demands, rest, value);
        if (kind == '=' && (rest = (char *) startswith(line, "noted ")))
                return add_pair(&reader->tree->noted, rest, value);
        if (kind == '=' && (rest = (char *) startswith(line, "udev "))) {
                if (unescape(value) < 0)
                        return complain(reader, -EINVAL, "an escape that is none of \\n, \\\\ and \\xNN");
                return add_property(reader, rest, value);
        }
        if (kind && (rest = (char *) startswith(line, "path ")))
                return write_entry(reader, rest, kind, value);

        if (!reader->device)
                return complain(reader, -EINVAL, "an attribute outside of a device");
        n = strlen(line);
        if (asprintf(&path, "%s/%s", reader->device, line) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (kind)
                return write_entry(reader, path, kind, value);
        if (line[n - 1] != '/')
                return complain(reader, -EINVAL,
                                "neither NAME = VALUE, NAME -> TARGET, NAME : HEX nor NAME/");
        path[strlen(path) - 1] = '\0';
        return make_directory(reader->tree, path);
}

int tree_unpack(const char *file, Tree *ret) {
        char root[] = "/tmp/module-tree-XXXXXX", buffer[32768];
        _cleanup_tree_ Tree tree = { 0 };
        Reader reader = { .file = file, .tree = &tree };
        struct stat st;
        FILE *f;
        int r = 0;

        if (stat(file, &st) >= 0 && S_ISDIR(st.st_mode)) {
                tree.borrowed = true;
                tree.root = strdup(file);
                if (!tree.root)
                        return -ENOMEM;
                *ret = tree;
                tree = (Tree){ 0 };
                return 0;
        }
        if (!mkdtemp(root))
                return -errno;
        tree.root = strdup(root);
        if (!tree.root)
                return -ENOMEM;
        f = fopen(file, "re");
        if (!f) {
                r = -errno;
                (void) fprintf(stderr, "%s: %s\n", file, strerror(-r));
                return r;
        }
        while (r >= 0 && fgets(buffer, sizeof(buffer) - 1, f)) {
                reader.line++;
                r = read_line(&reader, buffer);
        }
        (void) fclose(f);
        if (r < 0)
                (void) complain(&reader, r, strerror(-r));
        free(reader.device);
        free(reader.subsystem);
        if (r < 0)
                return r;
        *ret = tree;
        tree = (Tree){ 0 };
        return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) remove(path);
        return 0;
}

void tree_done(Tree *tree) {
        if (tree->root && !tree->borrowed)
                (void) nftw(tree->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(tree->root);
        free_pairs(tree->facts);
        free_pairs(tree->settings);
        free_pairs(tree->noted);
        free_pairs(tree->demands);
        *tree = (Tree){ 0 };
}
