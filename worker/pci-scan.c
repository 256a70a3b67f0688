/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pci-scan.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "lib/driver.h"
#include "lib/parse.h"

#define DEVICES "/sys/bus/pci/devices"

#define SETTLED_USEC UINT64_C(1000000)

static bool read_number(const Sysfs *sysfs, const char *function, const char *attribute, uint32_t *ret) {
        char path[sizeof(DEVICES) + 2 * NAME_MAX], text[32];

        (void) snprintf(path, sizeof(path), DEVICES "/%s/%s", function, attribute);
        return sysfs_read(sysfs, path, text, sizeof(text)) > 0 && parse_hex32(text, ret) >= 0;
}

static uint64_t now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * UINT64_C(1000000) + (uint64_t) t.tv_nsec / 1000;
}

/* The directory hardly ever changes, and what stays keeps its order: what is looked for is the next one, or a little further. */
static const PciFunction *find_known(const PciScan *known, size_t *position, const char *name, uint64_t inode) {
        for (size_t i = 0; i < known->n_items; i++) {
                size_t at = (*position + i) % known->n_items;

                if (known->items[at].inode == inode && streq(known->items[at].name, name)) {
                        *position = at + 1;
                        return &known->items[at];
                }
        }
        return NULL;
}

static int append(PciScan *scan, const PciFunction *f) {
        if (scan->n_items == scan->n_allocated) {
                size_t n = scan->n_allocated > 0 ? scan->n_allocated * 2 : 16;
                PciFunction *items = reallocarray(scan->items, n, sizeof(*items));

                if (!items)
                        return -ENOMEM;
                scan->items = items;
                scan->n_allocated = n;
        }
        scan->items[scan->n_items++] = *f;
        return 0;
}

static int take(const Sysfs *sysfs, const PciScan *known, size_t *position, const struct dirent *entry, PciScan *scan) {
        PciFunction f = { .inode = entry->d_ino, .found_usec = now_usec() };
        const PciFunction *before;

        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof(f.name))
                return 0;
        strcpy(f.name, entry->d_name);
        before = find_known(known, position, f.name, f.inode);
        if (before && before->settled)
                return append(scan, before);
        if (before) {
                f.settled = f.found_usec - before->found_usec >= SETTLED_USEC;
                f.found_usec = before->found_usec;
        }
        return read_number(sysfs, f.name, "class", &f.class_code) ? append(scan, &f) : 0;
}

int pci_scan(const Sysfs *sysfs, PciScan *scan) {
        _cleanup_pci_scan_ PciScan known = *scan;
        int fd = openat(sysfs->root_fd, &DEVICES[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        struct dirent *entry;
        size_t position = 0;
        DIR *directory;

        *scan = (PciScan) {};
        if (fd < 0)
                return -errno;
        directory = fdopendir(fd);
        if (!directory) {
                r = -errno;
                (void) close(fd);
                return r;
        }
        while (r >= 0 && (errno = 0, entry = readdir(directory)))
                r = take(sysfs, &known, &position, entry, scan);
        if (r >= 0 && errno != 0)
                r = -errno;
        (void) closedir(directory);
        if (r < 0)
                pci_scan_done(scan);
        return r;
}

void pci_scan_done(PciScan *scan) {
        free(scan->items);
        *scan = (PciScan) {};
}

ssize_t pci_attribute(const Sysfs *sysfs, const PciFunction *f, const char *name, char *buffer, size_t size) {
        char path[sizeof(DEVICES) + 2 * NAME_MAX];

        (void) snprintf(path, sizeof(path), DEVICES "/%s/%s", f->name, name);
        return sysfs_read(sysfs, path, buffer, size);
}

void pci_driver(const Sysfs *sysfs, const PciFunction *f, char *buffer, size_t size) {
        char path[sizeof(DEVICES "//driver") + NAME_MAX];

        (void) snprintf(path, sizeof(path), DEVICES "/%s/driver", f->name);
        if (sysfs_link(sysfs, path, buffer, size) < 0)
                buffer[0] = '\0';
}

bool driver_is_passthrough(const char *driver) {
        static const char *const words[] = { "pci-stub", "uio_pci_generic", "igb_uio", "xen-pciback" };

        /* Variant drivers: mlx5-vfio-pci, nvgrace-gpu-vfio-pci, hisi-acc-vfio-pci. */
        if (driver_is_vfio(driver))
                return true;
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (streq(driver, words[i]))
                        return true;
        return false;
}

uint32_t pci_vendor(const Sysfs *sysfs, const PciFunction *f) {
        uint32_t vendor;

        return read_number(sysfs, f->name, "vendor", &vendor) ? vendor : 0;
}

/* Its directory lies directly in that of the host bridge. */
bool pci_on_root_bus(const Sysfs *sysfs, const PciFunction *f) {
        char path[sizeof(DEVICES) + NAME_MAX], target[PATH_MAX], *slash;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "%s/%s", &DEVICES[1], f->name);
        n = readlinkat(sysfs->root_fd, path, target, sizeof(target) - 1);
        if (n <= 0)
                return false;
        target[n] = '\0';
        slash = strrchr(target, '/');
        if (!slash)
                return false;
        *slash = '\0';
        slash = strrchr(target, '/');
        return slash && startswith(slash + 1, "pci") != NULL;
}
