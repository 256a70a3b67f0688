/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pci-scan.h"

#include <limits.h>
#include <stdio.h>

#include "lib/driver.h"
#include "lib/parse.h"

#define DEVICES "/sys/bus/pci/devices"

typedef struct Scanning {
        const Sysfs *sysfs;
        PciScan scan;
        int error;
} Scanning;

static bool read_number(const Sysfs *sysfs, const char *function, const char *attribute, uint32_t *ret) {
        char path[sizeof(DEVICES) + 2 * NAME_MAX], text[32];

        (void) snprintf(path, sizeof(path), DEVICES "/%s/%s", function, attribute);
        return sysfs_read(sysfs, path, text, sizeof(text)) > 0 && parse_hex32(text, ret) >= 0;
}

static void add_function(void *userdata, const char *entry) {
        Scanning *scanning = userdata;
        PciScan *scan = &scanning->scan;
        PciFunction f = {}, *items;

        if (scanning->error < 0 || strlen(entry) >= sizeof(f.name) ||
            !read_number(scanning->sysfs, entry, "class", &f.class_code))
                return;
        strcpy(f.name, entry);

        if ((scan->n_items & (scan->n_items - 1)) == 0) { /* room for 1, 2, 4 … */
                items = reallocarray(scan->items, scan->n_items > 0 ? scan->n_items * 2 : 1, sizeof(*items));
                if (!items) {
                        scanning->error = -ENOMEM;
                        return;
                }
                scan->items = items;
        }
        scan->items[scan->n_items++] = f;
}

int pci_scan(const Sysfs *sysfs, PciScan *ret) {
        Scanning scanning = { .sysfs = sysfs };
        int r;

        r = sysfs_list(sysfs, DEVICES, add_function, &scanning);
        if (r >= 0)
                r = scanning.error;
        if (r < 0) {
                pci_scan_done(&scanning.scan);
                return r;
        }

        *ret = scanning.scan;
        return 0;
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
