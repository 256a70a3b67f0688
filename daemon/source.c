/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>

#include "source-internal.h"

/* Beyond this something is wrong with what was read. */
#define IOMMU_GROUPS_MAX (1 << 20)

int source_new(sd_event *event, const Sysfs *sysfs, Interner *interner, const SourceEvents *events,
               Source **ret) {
        _cleanup_(source_freep) Source *source = NULL;
        int r;

        source = calloc(1, sizeof(*source));
        if (!source)
                return -ENOMEM;
        source->sysfs.root_fd = -EBADF;
        source->round.directory_fd = -EBADF;
        source->event = event ? sd_event_ref(event) : NULL;
        source->interner = interner;
        source->events = *events;

        source->sysfs.root_fd = fcntl(sysfs->root_fd, F_DUPFD_CLOEXEC, 3);
        if (source->sysfs.root_fd < 0)
                return -errno;
        r = host_facts_new(&source->sysfs, &source->facts);
        if (r < 0)
                return r;
        source->udev = udev_new();
        if (!source->udev)
                return -ENOMEM;

        *ret = TAKE_PTR(source);
        return 0;
}

HostDevice *host_device_new(const char *id) {
        HostDevice *host = calloc(1, sizeof(*host) + strlen(id) + 1);

        if (!host)
                return NULL;
        host->id = strcpy(host->own_id, id);
        host->iommu_group = host->numa_node = -1;
        return host;
}

HostDevice *host_device_free(Source *source, HostDevice *host) {
        if (!host)
                return NULL;

        intern_unref(source->interner, host->subsystem);
        intern_unref(source->interner, host->sysname);
        intern_unref(source->interner, host->place);
        intern_unref(source->interner, host->above);
        intern_unref(source->interner, host->devtype);
        intern_unref(source->interner, host->driver);
        intern_unref(source->interner, host->slot);
        free(host);
        return NULL;
}

static void free_subsystems(Source *source) {
        while (source->subsystems) {
                Subsystem *next = source->subsystems->next;

                intern_unref(source->interner, source->subsystems->name);
                (void) close_fd(source->subsystems->directory_fd);
                free(source->subsystems);
                source->subsystems = next;
        }
}

Source *source_free(Source *source) {
        HostDevice *host, *next_host;
        NamedHost *named, *next_named;

        if (!source)
                return NULL;

        source_close_monitor(source);
        source_stop_scan(source);
        HASH_ITER(hh, source->by_name, named, next_named) {
                HASH_DEL(source->by_name, named);
                free(named);
        }
        HASH_ITER(hh, source->hosts, host, next_host) {
                HASH_DEL(source->hosts, host);
                host_device_free(source, host);
        }
        HASH_ITER(hh, source->parts, host, next_host) {
                HASH_DEL(source->parts, host);
                host_device_free(source, host);
        }
        source_clear_slots(source);
        for (size_t i = 0; i < source->n_iommu_pages; i++)
                free(source->iommu_pages[i]);
        free(source->iommu_pages);
        free_subsystems(source);
        source_close_databases(source);
        if (source->udev)
                udev_unref(source->udev);
        host_facts_free(source->facts);
        (void) close_fd(source->round.directory_fd);
        (void) close_fd(source->sysfs.root_fd);
        if (source->event)
                sd_event_unref(source->event);
        free(source);
        return NULL;
}

Subsystem *source_subsystem(Source *source, const char *name) {
        for (Subsystem *s = source->subsystems; s; s = s->next)
                if (s->name == name || streq(s->name, name))
                        return s;
        return NULL;
}

int source_watch_subsystem(Source *source, const char *name) {
        Subsystem *subsystem, **place = &source->subsystems;

        if (isempty(name) || strlen(name) >= SOURCE_NAME_MAX || strchr(name, '/') || streq(name, ".") ||
            streq(name, ".."))
                return -EINVAL;
        if (source->monitor)
                return -EBUSY;
        if (source_subsystem(source, name))
                return 0;

        subsystem = calloc(1, sizeof(*subsystem));
        if (!subsystem)
                return -ENOMEM;
        subsystem->directory_fd = -EBADF;
        subsystem->allowed = allow_list(name);
        subsystem->name = intern(source->interner, name);
        if (!subsystem->name) {
                free(subsystem);
                return -ENOMEM;
        }

        while (*place)
                place = &(*place)->next;
        *place = subsystem;
        return 0;
}

int source_start(Source *source, Fault *fault) {
        int r;

        if (source->event) {
                r = source_open_monitor(source, fault);
                if (r < 0)
                        return r;
        }
        return source_scan_all(source, fault);
}

/* ---- the table ---- */

HostDevice *source_find(Source *source, const char *id) {
        HostDevice *host;

        HASH_FIND_STR(source->hosts, id, host);
        if (!host)
                HASH_FIND_STR(source->parts, id, host);
        return host;
}

int source_make_id(const char *subsystem, const char *place, char ret[static ID_SIZE]) {
        char word[SOURCE_NAME_MAX];
        size_t n = 0;

        for (const char *p = subsystem; *p && n < sizeof(word) - 1; p++)
                if (*p != '_' && *p != '-')
                        word[n++] = *p;
        word[n] = '\0';
        return id_from_place(word, place, ret);
}

static NamedHost *find_named(Source *source, const char *sysname) {
        NamedHost *named;

        HASH_FIND_STR(source->by_name, sysname, named);
        return named;
}

HostDevice *source_find_by_name(Source *source, const char *subsystem, const char *sysname) {
        char id[ID_SIZE];
        HostDevice *host;

        if (streq(subsystem, "usb")) {
                NamedHost *named = find_named(source, sysname);

                return named ? named->host : NULL;
        }
        if (source_make_id(subsystem, sysname, id) < 0)
                return NULL;
        host = source_find(source, id);
        /* Different names can make one id; only the first of them has it. */
        return host && streq(host->sysname, sysname) ? host : NULL;
}

HostDevice *source_first(Source *source) {
        return source->hosts;
}

/* NULL where no device ever was in a group of about that number. */
static HostDevice **iommu_group_place(Source *source, int32_t number) {
        size_t page = (size_t) number / IOMMU_PAGE_GROUPS;

        if (number < 0 || page >= source->n_iommu_pages || !source->iommu_pages[page])
                return NULL;
        return &source->iommu_pages[page]->first[(size_t) number % IOMMU_PAGE_GROUPS];
}

static int make_iommu_group_place(Source *source, int32_t number) {
        size_t page = (size_t) number / IOMMU_PAGE_GROUPS;

        if (page >= source->n_iommu_pages) {
                IommuPage **pages = reallocarray(source->iommu_pages, page + 1, sizeof(*pages));

                if (!pages)
                        return -ENOMEM;
                memset(pages + source->n_iommu_pages, 0, (page + 1 - source->n_iommu_pages) * sizeof(*pages));
                source->iommu_pages = pages;
                source->n_iommu_pages = page + 1;
        }
        if (!source->iommu_pages[page])
                source->iommu_pages[page] = calloc(1, sizeof(IommuPage));
        return source->iommu_pages[page] ? 0 : -ENOMEM;
}

HostDevice *source_iommu_group(Source *source, int32_t number) {
        HostDevice **first = iommu_group_place(source, number);

        return first ? *first : NULL;
}

static void leave_iommu_group(Source *source, HostDevice *host) {
        HostDevice **place;

        if (host->iommu_group < 0)
                return;
        place = iommu_group_place(source, host->iommu_group);
        while (*place && *place != host)
                place = &(*place)->next_in_iommu_group;
        if (*place)
                *place = host->next_in_iommu_group;
        host->next_in_iommu_group = NULL;
        host->iommu_group = -1;
}

/* Members stand in the order of their ids, so that companions are listed the same way each time. */
int source_join_iommu_group(Source *source, HostDevice *host, int32_t number) {
        HostDevice **place;

        if (number == host->iommu_group)
                return 0;
        if (number >= IOMMU_GROUPS_MAX)
                return -ERANGE;

        if (number >= 0 && make_iommu_group_place(source, number) < 0)
                return -ENOMEM;

        leave_iommu_group(source, host);
        if (number < 0)
                return 0;
        place = iommu_group_place(source, number);
        while (*place && strcmp((*place)->id, host->id) < 0)
                place = &(*place)->next_in_iommu_group;
        host->next_in_iommu_group = *place;
        *place = host;
        host->iommu_group = number;
        return 0;
}

int source_link(Source *source, HostDevice *host) {
        if (streq(host->subsystem, "usb")) {
                NamedHost *named = calloc(1, sizeof(*named));

                if (!named)
                        return -ENOMEM;
                named->host = host;
                HASH_ADD_KEYPTR(hh, source->by_name, host->sysname, strlen(host->sysname), named);
        }
        HASH_ADD_STR(source->hosts, id, host);
        return 0;
}

void source_unlink(Source *source, HostDevice *host) {
        assert(source->round.host != host);
        leave_iommu_group(source, host);
        if (streq(host->subsystem, "usb")) {
                NamedHost *named = find_named(source, host->sysname);

                if (named && named->host == host) {
                        HASH_DEL(source->by_name, named);
                        free(named);
                }
        }
        HASH_DEL(source->hosts, host);
}

const char *source_host_fact(Source *source, const char *name) {
        return host_facts_get(source->facts, name);
}
