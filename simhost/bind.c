/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bind.h"

#include "gpu.h"
#include "inject.h"
#include "mdev.h"
#include "pci-device.h"
#include "sriov.h"
#include "vfio.h"
#include "vgpu.h"

/* sysfs hands a write of up to a page to the kernel; an override must be shorter than that by one. */
#define OVERRIDE_MAX 4095

/* What the device is forced to; empty: nothing. */
static void override_of(Kernel *k, const char *path, char *ret, size_t size) {
        if (tree_read(k->tree, path, "driver_override", ret, size) < 0 || string_equal(ret, "(null)"))
                ret[0] = '\0';
        /* Where the file is a plain one, what was written may not have cut off what was there. */
        ret[strcspn(ret, "\n")] = '\0';
}

static bool id_known(Kernel *k, int vendor, int device, const char *driver) {
        for (const DriverId *i = k->ids; i; i = i->next)
                if (i->vendor == vendor && i->device == device && string_equal(i->driver, driver))
                        return true;
        return false;
}

static void add_id(Kernel *k, int vendor, int device, const char *driver, bool dynamic) {
        DriverId *i;

        if (!driver || id_known(k, vendor, device, driver))
                return;
        i = allocate(sizeof(*i));
        i->vendor = vendor;
        i->device = device;
        i->dynamic = dynamic;
        copy_text(i->driver, sizeof(i->driver), driver);
        i->next = k->ids;
        k->ids = i;
}

void bind_load_ids(Kernel *k) {
        const Description *d = k->description;

        for (size_t i = 0; i < d->n_natural; i++)
                add_id(k, d->natural[i].vendor, d->natural[i].device, d->natural[i].driver, false);
        for (size_t i = 0; i < d->n_devices; i++) {
                const PciSpec *s = &d->devices[i];

                add_id(k, s->vendor, s->device, s->natural, false);
                if (s->sriov.total > 0)
                        add_id(k, s->vendor, s->sriov.vf_device, s->sriov.vf_driver, false);
        }
}

static bool ids_match(Kernel *k, const char *path, const char *driver) {
        uint64_t vendor = 0, device = 0;

        (void) tree_read_number(k->tree, path, "vendor", 16, &vendor);
        (void) tree_read_number(k->tree, path, "device", 16, &device);
        return id_known(k, (int) vendor, (int) device, driver);
}

/* An override is a filter: with one, that driver matches whatever its table says, and no other does. */
static bool driver_matches(Kernel *k, const char *path, const char *driver) {
        char override[256];

        override_of(k, path, override, sizeof(override));
        return override[0] ? string_equal(override, driver) : ids_match(k, path, driver);
}

static void show_driver(Kernel *k, const char *path, const char *driver) {
        Path p;

        tree_symlink(k->tree, path_make(&p, "sys/bus/pci/drivers/%s", driver), path, "driver");
        tree_symlink(k->tree, path, p.s, path_name(path));
}

static void hide_driver(Kernel *k, const char *path, const char *driver) {
        Path p;

        tree_remove(k->tree, path, "driver");
        tree_remove(k->tree, path_make(&p, "sys/bus/pci/drivers/%s", driver), path_name(path));
}

/* Binds. A failure of the driver's probe function is @probe_error: device_attach() goes on to the next
 * driver after one, while everything that goes wrong earlier is final. */
static int driver_attach(Kernel *k, const char *path, const char *driver, int *probe_error) {
        const char *bdf = path_name(path);
        bool vfio = vfio_is_driver(driver);

        *probe_error = inject(k, "bind", bdf);
        if (*probe_error == 0 && !sriov_may_probe(k, path))
                *probe_error = -ENODEV;
        if (*probe_error < 0)
                return 0;
        /* The DMA API of a native driver can't be set up while a user owns the group. */
        if (!vfio && vfio_group_is_held(k, path))
                return -EBUSY;
        if (vfio)
                *probe_error = vfio_may_bind(k, path);
        if (*probe_error < 0)
                return 0;

        show_driver(k, path, driver);
        pci_device_write_uevent(k->tree, path, driver);
        if (vfio)
                vfio_register(k, path);
        else if (ids_match(k, path, driver)) {
                children_appear(k, path);
                if (vgpu_is_vf(k, path))
                        vfio_register(k, path);
        }
        uevents_send(k->events, "bind", path, NULL);
        return 0;
}

void driver_detach(Kernel *k, const char *path) {
        char driver[64];

        if (device_driver(k, path, driver, sizeof(driver)) < 0)
                return;

        /* The link goes first, even if what follows takes for ever. */
        hide_driver(k, path, driver);
        if (tree_has(k->tree, path, "vfio-dev")) {
                vfio_wait_until_closed(k, path);
                vfio_unregister(k, path);
        }
        if (!vfio_is_driver(driver)) {
                sriov_disable(k, path);
                mdev_remove_all(k, path);
                children_disappear(k, path);
                gpu_rebound(k, path_name(path));
        }
        pci_device_write_uevent(k->tree, path, NULL);
        uevents_send(k->events, "unbind", path, NULL);
}

/* One candidate after another. */
static int probe_by_ids(Kernel *k, const char *path) {
        uint64_t vendor = 0, device = 0;

        (void) tree_read_number(k->tree, path, "vendor", 16, &vendor);
        (void) tree_read_number(k->tree, path, "device", 16, &device);
        for (const DriverId *i = k->ids; i; i = i->next) {
                int r, probe_error;

                if (i->vendor != (int) vendor || i->device != (int) device ||
                    !tree_has(k->tree, "sys/bus/pci/drivers", i->driver))
                        continue;
                r = driver_attach(k, path, i->driver, &probe_error);
                if (r < 0)
                        return -EINVAL;
                if (probe_error == 0)
                        return 0;
        }
        return 0;
}

int device_probe(Kernel *k, const char *path) {
        char override[256], driver[64];
        int probe_error;

        if (device_driver(k, path, driver, sizeof(driver)) >= 0)
                return 0;
        override_of(k, path, override, sizeof(override));
        if (override[0] == '\0')
                return probe_by_ids(k, path);
        if (!tree_has(k->tree, "sys/bus/pci/drivers", override))
                return 0;
        return driver_attach(k, path, override, &probe_error) < 0 ? -EINVAL : 0;
}

int bind_write(Kernel *k, const char *driver, const char *bdf) {
        char bound[64];
        int r, probe_error = 0;
        Path path;

        r = device_find(k, bdf, &path);
        if (r < 0)
                return r;
        device_lock(k, bdf, "bind");
        if (device_find(k, bdf, &path) < 0 || !driver_matches(k, path.s, driver))
                r = -ENODEV;
        else if (device_driver(k, path.s, bound, sizeof(bound)) >= 0)
                r = -EBUSY;
        else
                r = driver_attach(k, path.s, driver, &probe_error);
        device_unlock(k, bdf);
        return r < 0 ? r : probe_error;
}

int unbind_write(Kernel *k, const char *driver, const char *bdf) {
        char bound[64];
        Path path;
        int r;

        if (device_find(k, bdf, &path) < 0 || device_driver(k, path.s, bound, sizeof(bound)) < 0 ||
            !string_equal(bound, driver))
                return -ENODEV;
        device_lock(k, bdf, "unbind");
        r = inject(k, "unbind", bdf);
        /* It may have lost its driver, or itself, while we waited for the lock. */
        if (r >= 0 && device_find(k, bdf, &path) >= 0 &&
            device_driver(k, path.s, bound, sizeof(bound)) >= 0 && string_equal(bound, driver))
                driver_detach(k, path.s);
        device_unlock(k, bdf);
        return r;
}

int drivers_probe_write(Kernel *k, const char *bus, const char *bdf) {
        Path path;
        int r;

        (void) bus;
        r = device_find(k, bdf, &path);
        if (r < 0)
                return r;
        device_lock(k, bdf, "drivers_probe");
        r = inject(k, "drivers_probe", bdf);
        if (r >= 0 && device_find(k, bdf, &path) >= 0)
                r = device_probe(k, path.s);
        device_unlock(k, bdf);
        return r;
}

int driver_override_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        char text[4096];
        Path path;
        int r;

        device_lock(k, bdf, "driver_override");
        r = device_find(k, bdf, &path);
        if (r >= 0)
                r = tree_read(k->tree, path.s, "driver_override", text, sizeof(text));
        device_unlock(k, bdf);
        if (r < 0)
                return r;
        (void) snprintf(ret, size, "%s\n", text[0] ? text : "(null)");
        return 0;
}

int driver_override_write(Kernel *k, const char *bdf, const char *text) {
        Path path;
        int r;

        if (strlen(text) >= OVERRIDE_MAX)
                return -EINVAL;
        device_lock(k, bdf, "driver_override");
        r = device_find(k, bdf, &path);
        if (r >= 0)
                r = inject(k, "driver_override", bdf);
        if (r >= 0)
                tree_put(k->tree, path.s, "driver_override", 0644, "%s\n", text[0] ? text : "(null)");
        device_unlock(k, bdf);
        return r;
}

/* VENDOR DEVICE [SUBVENDOR SUBDEVICE CLASS MASK DATA]: the first two are what counts here. */
static int parse_id(const char *text, int *ret_vendor, int *ret_device) {
        _cleanup_free_ char *copy = copy_string(text);
        uint64_t vendor, device;
        char *words[7];
        size_t n = split_words(copy, words, ELEMENTS(words));

        if (n < 2 || n > ELEMENTS(words) || string_to_u64(words[0], 16, &vendor) < 0 ||
            string_to_u64(words[1], 16, &device) < 0 || vendor > UINT16_MAX || device > UINT16_MAX)
                return -EINVAL;
        *ret_vendor = (int) vendor;
        *ret_device = (int) device;
        return 0;
}

int new_id_write(Kernel *k, const char *driver, const char *text) {
        int vendor, device, r;

        r = parse_id(text, &vendor, &device);
        if (r < 0)
                return r;
        if (id_known(k, vendor, device, driver))
                return -EEXIST;
        add_id(k, vendor, device, driver, true);

        /* Every such device without a driver is taken at once. */
        for (size_t i = 0; i < k->description->n_devices; i++) {
                const PciSpec *s = &k->description->devices[i];

                if (s->vendor == vendor && s->device == device)
                        (void) drivers_probe_write(k, "pci", s->bdf);
        }
        return 0;
}

int remove_id_write(Kernel *k, const char *driver, const char *text) {
        int vendor, device, r;

        r = parse_id(text, &vendor, &device);
        if (r < 0)
                return r;
        for (DriverId *i = k->ids; i; i = i->next)
                if (i->dynamic && i->vendor == vendor && i->device == device &&
                    string_equal(i->driver, driver)) {
                        /* It stays in the list, where a probe may be waiting, but matches nothing. */
                        i->vendor = i->device = -1;
                        return 0;
                }
        return -ENODEV;
}
