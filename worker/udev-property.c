/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "udev-property.h"

#include <limits.h>
#include <stdio.h>

#include "lib/parse.h"

#define UDEV_RECORD_MAX_BYTES ((size_t) 64 * 1024)
#define RECORD_PATH_SIZE (sizeof("/run/udev/data/+:") + (size_t) 2 * NAME_MAX)

/* udev names its records after the device number where there is one, else after subsystem and name. */
static void record_path(const PtDevice *device, int device_fd, char ret[static RECORD_PATH_SIZE]) {
        unsigned major_number, minor_number, ifindex;
        char text[32];

        if (sysfs_read_at(device_fd, "dev", text, sizeof(text)) > 0 &&
            parse_dev(text, &major_number, &minor_number) >= 0 && major_number > 0)
                (void) snprintf(ret, RECORD_PATH_SIZE, "/run/udev/data/%c%u:%u",
                                streq(device->subsystem, "block") ? 'b' : 'c', major_number, minor_number);
        else if (streq(device->subsystem, "net") &&
                 sysfs_read_at(device_fd, "ifindex", text, sizeof(text)) > 0 &&
                 parse_uint32(text, &ifindex) >= 0)
                (void) snprintf(ret, RECORD_PATH_SIZE, "/run/udev/data/n%u", ifindex);
        else
                (void) snprintf(ret, RECORD_PATH_SIZE, "/run/udev/data/+%s:%s", device->subsystem,
                                device->sysname);
}

static void add_record(json_t *properties, const Sysfs *sysfs, const char *path) {
        _cleanup_free_ char *text = malloc(UDEV_RECORD_MAX_BYTES);
        char *rest = text, *line;

        if (!text || sysfs_read(sysfs, path, text, UDEV_RECORD_MAX_BYTES) < 0)
                return;

        while ((line = strsep(&rest, "\n"))) {
                char *equals = strchr(line, '=');

                if (!startswith(line, "E:") || !equals)
                        continue;
                *equals = '\0';
                /* Refuses what is not UTF-8, which then is unknown. */
                (void) json_object_set_new(properties, line + 2, json_string(equals + 1));
        }
}

typedef struct SlotSearch {
        const Sysfs *sysfs;
        const char *place; /* "0000:3b:00" */
        json_t *properties;
} SlotSearch;

static void match_slot(void *userdata, const char *slot) {
        SlotSearch *search = userdata;
        char path[sizeof("/sys/bus/pci/slots//address") + NAME_MAX], address[32];

        (void) snprintf(path, sizeof(path), "/sys/bus/pci/slots/%s/address", slot);
        if (sysfs_read(search->sysfs, path, address, sizeof(address)) > 0 && streq(address, search->place))
                (void) json_object_set_new(search->properties, "PT_PHYSICAL_SLOT", json_string(slot));
}

/* The kernel lists the slots with the address of the device in each, without the function. */
static void add_physical_slot(json_t *properties, const Sysfs *sysfs, const PtDevice *device) {
        const char *dot = strrchr(device->sysname, '.');
        _cleanup_free_ char *place = dot ? strndup(device->sysname, (size_t) (dot - device->sysname)) : NULL;

        if (place)
                (void) sysfs_list(sysfs, "/sys/bus/pci/slots", match_slot,
                                  &(SlotSearch){ .sysfs = sysfs, .place = place, .properties = properties });
}

json_t *udev_properties(const Sysfs *sysfs, const PtDevice *device) {
        _cleanup_close_ int device_fd = -EBADF;
        json_t *properties = json_object();
        char path[RECORD_PATH_SIZE];

        if (!properties)
                return NULL;

        if (sysfs_open_device(sysfs, device->subsystem, device->sysname, &device_fd, NULL) >= 0) {
                record_path(device, device_fd, path);
                add_record(properties, sysfs, path);
        }
        if (streq(device->subsystem, "pci"))
                add_physical_slot(properties, sysfs, device);

        return properties;
}
