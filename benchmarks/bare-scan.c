/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bare limit of a scan: every PCI device's directory is opened once, and the attributes and links that the service's
 * describe() reads are read from it. Prints the microseconds of the fastest of five rounds. "udev" as the argument
 * enumerates with libudev instead, as a service without a scanner of its own would. */

#include <dirent.h>
#include <fcntl.h>
#include <libudev.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"

#define ROUNDS 5

static const char *const attributes[] = { "vendor",   "device",    "subsystem_vendor", "subsystem_device", "class",
                                          "revision", "numa_node", "sriov_totalvfs",   "boot_vga",         "reset_method",
                                          "modalias" };
static const char *const links[] = { "driver", "iommu_group", "physfn", "subsystem" };

static size_t read_device(int directory, const char *name) {
        char buffer[4096];
        size_t total = 0;
        int fd = openat(directory, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return 0;
        for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
                int a = openat(fd, attributes[i], O_RDONLY | O_CLOEXEC);
                if (a < 0)
                        continue;
                ssize_t n = read(a, buffer, sizeof(buffer));
                total += n > 0 ? (size_t) n : 0;
                close(a);
        }
        for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
                ssize_t n = readlinkat(fd, links[i], buffer, sizeof(buffer));
                total += n > 0 ? (size_t) n : 0;
        }
        close(fd);
        return total;
}

static double scan_bare(void) {
        double began = now_usec();
        DIR *dir = opendir("/sys/bus/pci/devices");
        size_t total = 0;

        if (!dir)
                return -1;
        for (struct dirent *entry; (entry = readdir(dir));)
                if (entry->d_name[0] != '.')
                        total += read_device(dirfd(dir), entry->d_name);
        closedir(dir);
        return total > 0 ? now_usec() - began : -1;
}

static double scan_udev(void) {
        double began = now_usec();
        struct udev *udev = udev_new();
        struct udev_enumerate *enumerate = udev_enumerate_new(udev);
        struct udev_list_entry *entry, *property;

        udev_enumerate_add_match_subsystem(enumerate, "pci");
        udev_enumerate_scan_devices(enumerate);
        udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(enumerate)) {
                struct udev_device *device = udev_device_new_from_syspath(udev, udev_list_entry_get_name(entry));
                if (!device)
                        continue;
                udev_list_entry_foreach(property, udev_device_get_properties_list_entry(device))
                        (void) udev_list_entry_get_value(property);
                for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
                        (void) udev_device_get_sysattr_value(device, attributes[i]);
                udev_device_unref(device);
        }
        udev_enumerate_unref(enumerate);
        udev_unref(udev);
        return now_usec() - began;
}

int main(int argc, char **argv) {
        double values[ROUNDS];

        for (size_t i = 0; i < ROUNDS; i++)
                values[i] = argc > 1 && strcmp(argv[1], "udev") == 0 ? scan_udev() : scan_bare();
        printf("%.0f\n", percentile(values, ROUNDS, 0));
        return 0;
}
