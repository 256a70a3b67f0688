/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "harness.h"
#include "lib/parse.h"
#include "lib/usb-place.h"
#include "lib/schema.h"

typedef struct Scan {
        Harness *harness;
        const char *subsystem;
        int error;
} Scan;

static bool has_device(const Harness *harness, const char *subsystem, const char *sysname) {
        for (size_t i = 0; i < harness->n_devices; i++)
                if (streq(harness->devices[i].subsystem, subsystem) &&
                    streq(harness->devices[i].sysname, sysname))
                        return true;
        return false;
}

static int32_t read_hex(const HarnessDevice *d, const char *name) {
        char text[64];
        uint32_t value;

        if (sysfs_read_at(d->dir_fd, name, text, sizeof(text)) < 0 || parse_hex32(text, &value) < 0)
                return -1;
        return (int32_t) value;
}

static bool filter_matches(const PtFilter *filter, const HarnessDevice *d) {
        int32_t class_code = read_hex(d, "class");

        if (!streq(filter->subsystem, d->subsystem) ||
            (filter->devtype && !streq(filter->devtype, d->devtype)) ||
            (filter->driver && !streq(filter->driver, d->driver)))
                return false;
        if (filter->vendor >= 0 && filter->vendor != read_hex(d, "vendor"))
                return false;
        return filter->class_code < 0 ||
               (class_code >= 0 && ((uint32_t) class_code & filter->class_mask) ==
                                           ((uint32_t) filter->class_code & filter->class_mask));
}

/* As the service's source does. */
static int find_place(const Harness *harness, HarnessDevice *d) {
        char link[256], target[PATH_MAX], text[64], place[USB_PLACE_SIZE];
        _cleanup_free_ char *path = NULL;
        const char *peer = NULL, *slash;
        _cleanup_close_ int fd = -EBADF;
        bool super_speed, hub;
        uint32_t speed = 0;
        ssize_t n;
        int r;

        (void) snprintf(d->place, sizeof(d->place), "%s", d->sysname);
        if (!streq(d->subsystem, "usb"))
                return 0;
        (void) snprintf(d->devtype, sizeof(d->devtype), "usb_device");
        r = sysfs_open_device(&harness->sysfs, d->subsystem, d->sysname, &fd, &path);
        if (r < 0)
                return r;
        super_speed = sysfs_read_at(fd, "speed", text, sizeof(text)) > 0 && parse_uint32(text, &speed) >= 0 &&
                      speed >= 5000;
        hub = sysfs_read_at(fd, "bDeviceClass", text, sizeof(text)) > 0 && streq(text, "09");
        if (super_speed && usb_place_peer_link(path, link, sizeof(link)) >= 0 &&
            (n = readlinkat(fd, link, target, sizeof(target) - 1)) > 0) {
                target[n] = '\0';
                slash = strrchr(target, '/');
                peer = slash ? slash + 1 : target;
        }
        if (usb_place_make(path, super_speed, hub, peer, place) >= 0)
                memcpy(d->place, place, sizeof(place));
        return 0;
}

static int load_device(Harness *harness, HarnessDevice *d) {
        char text[64];
        int32_t number;
        int r;

        r = sysfs_open_device(&harness->sysfs, d->subsystem, d->sysname, &d->dir_fd, NULL);
        if (r < 0)
                return r;
        r = find_place(harness, d);
        if (r < 0)
                return r;
        /* As the service: an id holds no underscore. */
        r = id_from_place(streq(d->subsystem, "mdev_bus") ? "mdevbus" : d->subsystem, d->place, d->id);
        if (r < 0)
                return r;
        d->device = (PtDevice){ .struct_size = sizeof(PtDevice), .iommu_group = -1 };
        if (sysfs_read_at(d->dir_fd, "numa_node", text, sizeof(text)) >= 0 &&
            parse_int32(text, &number) >= 0 && number >= 0)
                d->device.numa_node_plus_1 = (uint32_t) number + 1;
        if (sysfs_link_at(d->dir_fd, "iommu_group", text, sizeof(text)) >= 0 &&
            parse_int32(text, &number) >= 0)
                d->device.iommu_group = number;
        if (sysfs_link_at(d->dir_fd, "driver", d->driver, sizeof(d->driver)) < 0)
                d->driver[0] = '\0';

        d->fields = calloc(schema_count_fields(harness->module->fields) + 1, sizeof(PtValue));
        if (!d->fields)
                return -ENOMEM;
        for (const PtFilter *filter = harness->module->filters; filter->subsystem; filter++)
                d->offered |= filter_matches(filter, d);
        return 0;
}

static void scan_entry(void *userdata, const char *entry) {
        Scan *scan = userdata;
        Harness *h = scan->harness;
        HarnessDevice *devices;

        /* Interfaces are parts of their device. */
        if (streq(scan->subsystem, "usb") && strchr(entry, ':'))
                return;
        if (scan->error < 0 || has_device(h, scan->subsystem, entry))
                return;
        devices = reallocarray(h->devices, h->n_devices + 1, sizeof(HarnessDevice));
        if (!devices) {
                scan->error = -ENOMEM;
                return;
        }
        h->devices = devices;
        devices[h->n_devices] = (HarnessDevice){ .dir_fd = -EBADF };
        (void) snprintf(devices[h->n_devices].subsystem, sizeof(devices->subsystem), "%s", scan->subsystem);
        (void) snprintf(devices[h->n_devices].sysname, sizeof(devices->sysname), "%s", entry);
        scan->error = load_device(h, devices + h->n_devices);
        h->n_devices++;
}

static int compare_devices(const void *a, const void *b) {
        return strcmp(((const HarnessDevice *) a)->id, ((const HarnessDevice *) b)->id);
}

int harness_scan(Harness *harness) {
        for (const PtFilter *filter = harness->module->filters; filter->subsystem; filter++) {
                Scan scan = { .harness = harness, .subsystem = filter->subsystem };
                char path[256];
                int r;

                (void) snprintf(path, sizeof(path), "/sys/bus/%s/devices", filter->subsystem);
                r = sysfs_list(&harness->sysfs, path, scan_entry, &scan);
                if (r >= 0)
                        r = scan.error;
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        if (harness->n_devices > 0)
                qsort(harness->devices, harness->n_devices, sizeof(HarnessDevice), compare_devices);

        /* The array does not move any more. */
        for (size_t i = 0; i < harness->n_devices; i++) {
                HarnessDevice *d = harness->devices + i;

                d->device.id = d->id;
                d->device.subsystem = d->subsystem;
                d->device.sysname = d->sysname;
                d->device.place = d->place;
                d->device.devtype = isempty(d->devtype) ? NULL : d->devtype;
                d->device.driver = isempty(d->driver) ? NULL : d->driver;
        }
        return 0;
}

void harness_forget(Harness *harness) {
        size_t n_fields = harness->module ? schema_count_fields(harness->module->fields) : 0;

        for (size_t i = 0; i < harness->n_devices; i++) {
                HarnessDevice *d = harness->devices + i;

                (void) close_fd(d->dir_fd);
                for (size_t f = 0; d->fields && f < n_fields; f++)
                        value_done(d->fields + f);
                free(d->fields);
                free(d->blob);
        }
        free(harness->devices);
        harness->devices = NULL;
        harness->n_devices = 0;
}
