/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>

#include "source-internal.h"

int source_open_subsystem(Source *source, Subsystem *subsystem) {
        static const struct {
                const char *above, *below;
                unsigned depth;
        } places[] = {
                { "bus", "/devices", 3 },
                { "class", "", 2 },
        };

        if (subsystem->directory_fd >= 0)
                return 0;

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                char path[SOURCE_NAME_MAX + sizeof("sys/class//devices")];

                (void) snprintf(path, sizeof(path), "sys/%s/%s%s", places[i].above, subsystem->name,
                                places[i].below);
                subsystem->directory_fd =
                        openat(source->sysfs.root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (subsystem->directory_fd >= 0) {
                        subsystem->depth = places[i].depth;
                        return 0;
                }
                if (errno != ENOENT)
                        return -errno;
        }

        return -ENOENT;
}

/* The names read here are constants or were matched against the list, so none leads out of the directory;
 * one read(2) gets an attribute whole, and a second one would make the kernel produce it again. */
ssize_t attribute_read(int directory_fd, const char *name, char *buffer, size_t size) {
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        do
                n = read(fd, buffer, size);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if ((size_t) n == size)
                return -E2BIG;

        while (n > 0 && (buffer[n - 1] == ' ' || (buffer[n - 1] >= '\t' && buffer[n - 1] <= '\r')))
                n--;
        buffer[n] = '\0';
        return memchr(buffer, '\0', (size_t) n) ? -EBADMSG : n;
}

static ssize_t link_read(int directory_fd, const char *name, char *buffer, size_t size) {
        char target[PATH_MAX];
        const char *last;
        ssize_t n;

        n = readlinkat(directory_fd, name, target, sizeof(target) - 1);
        if (n < 0)
                return -errno;
        target[n] = '\0';

        last = strrchr(target, '/');
        last = last ? last + 1 : target;
        n = (ssize_t) strlen(last);
        if ((size_t) n >= size)
                return -E2BIG;
        memcpy(buffer, last, (size_t) n + 1);
        return n;
}

static ssize_t entry_read(AllowKind kind, int directory_fd, const char *name, char *buffer, size_t size) {
        return kind == ALLOW_ATTRIBUTE ? attribute_read(directory_fd, name, buffer, size)
                                       : link_read(directory_fd, name, buffer, size);
}

/* ---- rounds ---- */

void round_begin(Source *source, const Subsystem *subsystem, const HostDevice *host, int directory_fd) {
        Round *round = &source->round;

        round->host = host;
        round->subsystem = subsystem;
        round->directory_fd = directory_fd;
        round->depth = 1;
        round->used = 0;
        round->record_known = false;
        memset(round->values, 0, sizeof(round->values));
}

static int open_device(Source *source, const HostDevice *host, Subsystem **ret_subsystem) {
        Subsystem *subsystem = source_subsystem(source, host->subsystem);
        int fd, r;

        if (!subsystem)
                return -EPERM;
        r = source_open_subsystem(source, subsystem);
        if (r < 0)
                return r;
        fd = openat(subsystem->directory_fd, host->sysname, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_subsystem = subsystem;
        return fd;
}

void source_begin_round(Source *source, const HostDevice *host) {
        Subsystem *subsystem;
        int fd;

        host = host_device_whole(host);
        /* A round within a round of the same device belongs to it. Within one of another device it is
         * none: its reads are done one by one. */
        if (source->round.host) {
                if (source->round.host == host)
                        source->round.depth++;
                return;
        }

        fd = open_device(source, host, &subsystem);
        if (fd >= 0)
                round_begin(source, subsystem, host, fd);
}

void source_end_round(Source *source, const HostDevice *host) {
        Round *round = &source->round;

        if (round->host != host_device_whole(host) || --round->depth > 0)
                return;
        round->host = NULL;
        round->directory_fd = close_fd(round->directory_fd);
}

/* The value of an entry as text of the round, read at most once. Negative when it cannot be had, or is
 * too long to keep (-E2BIG). */
static ssize_t round_value(Source *source, int entry, const char **ret) {
        Round *round = &source->round;
        const AllowEntry *allowed = round->subsystem->allowed + entry;

        if (!round->values[entry].known) {
                ssize_t n;

                n = entry_read(allowed->kind, round->directory_fd, allowed->name, round->text + round->used,
                               sizeof(round->text) - round->used);
                round->values[entry].known = true;
                round->values[entry].result = (int32_t) n;
                round->values[entry].offset = (uint32_t) round->used;
                if (n >= 0)
                        round->used += (size_t) n + 1;
        }

        if (round->values[entry].result >= 0 && ret)
                *ret = round->text + round->values[entry].offset;
        return round->values[entry].result;
}

static const char *round_text(Source *source, AllowKind kind, const char *name) {
        const char *text;
        int entry;

        if (!source->round.host)
                return NULL;
        entry = allow_find(source->round.subsystem->allowed, kind, name, NULL);
        if (entry < 0 || round_value(source, entry, &text) < 0)
                return NULL;
        return text;
}

const char *round_attribute(Source *source, const char *name) {
        return round_text(source, ALLOW_ATTRIBUTE, name);
}

const char *round_link(Source *source, const char *name) {
        return round_text(source, ALLOW_LINK, name);
}

/* ---- for modules ---- */

static ssize_t read_entry(Source *source, const HostDevice *host, AllowKind kind, const char *name,
                          char *buffer, size_t size) {
        const AllowEntry *allowed;
        _cleanup_close_ int fd = -EBADF;
        const char *text;
        Subsystem *subsystem;
        bool pattern;
        int entry;

        if (size == 0)
                return -EINVAL;

        host = host_device_whole(host);
        if (source->round.host == host) {
                allowed = source->round.subsystem->allowed;
                entry = allow_find(allowed, kind, name, &pattern);
                if (entry < 0)
                        return entry;
                if (!pattern) {
                        ssize_t n = round_value(source, entry, &text);

                        if (n >= 0) {
                                if ((size_t) n >= size)
                                        return -E2BIG;
                                memcpy(buffer, text, (size_t) n + 1);
                                return n;
                        }
                        if (n != -E2BIG)
                                return n;
                }
                return entry_read(kind, source->round.directory_fd, name, buffer, size);
        }

        entry = allow_find(allow_list(host->subsystem), kind, name, NULL);
        if (entry < 0)
                return entry;
        fd = open_device(source, host, &subsystem);
        if (fd < 0)
                return fd;
        return entry_read(kind, fd, name, buffer, size);
}

ssize_t source_read_attribute(Source *source, const HostDevice *host, const char *name, char *buffer,
                              size_t size) {
        return read_entry(source, host, ALLOW_ATTRIBUTE, name, buffer, size);
}

ssize_t source_read_link(Source *source, const HostDevice *host, const char *name, char *buffer,
                         size_t size) {
        return read_entry(source, host, ALLOW_LINK, name, buffer, size);
}

/* ".." and "physfn/…" are allowed for some devices, and what is there lies outside of the folder. */
static int list_entries(int directory_fd, const char *name, void (*each)(void *userdata, const char *entry),
                        void *userdata) {
        const char *of_physfn = startswith(name, "physfn/");
        _cleanup_close_ int other_fd = -EBADF;

        if (!streq(name, "..") && !of_physfn)
                return sysfs_list_at(directory_fd, name, each, userdata);
        other_fd = openat(directory_fd, of_physfn ? "physfn" : "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return other_fd < 0 ? -errno : sysfs_list_at(other_fd, of_physfn ?: ".", each, userdata);
}

int source_list(Source *source, const HostDevice *host, const char *name,
                void (*each)(void *userdata, const char *entry), void *userdata) {
        _cleanup_close_ int fd = -EBADF;
        Subsystem *subsystem;
        int r;

        r = allow_find(allow_list(host->subsystem), ALLOW_DIRECTORY, name, NULL);
        if (r < 0)
                return r;
        host = host_device_whole(host);
        if (source->round.host == host)
                return list_entries(source->round.directory_fd, name, each, userdata);

        fd = open_device(source, host, &subsystem);
        if (fd < 0)
                return fd;
        return list_entries(fd, name, each, userdata);
}
