/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hotplug.h"

#include "ailment.h"
#include "bind.h"
#include "config-space.h"
#include "gpu.h"
#include "inject.h"
#include "iommu-group.h"
#include "vfio.h"
#include "usb.h"

/* The kernel's lock around everything that adds or removes PCI devices. */
#define RESCAN_LOCK "rescan"

/* Devices that are not there: their directory, and next to it where it belongs and whether it is in its
 * slot. */
#define AWAY "kernel/away"

/* All functions at the same place, as "0000:3b:00.". */
#define SLOT_LENGTH (PCI_ADDRESS_LENGTH - 1)

static void put_aside(Kernel *k, const char *path, bool in_slot) {
        const char *bdf = path_name(path);
        char note[32];
        Path to;

        tree_make_directory(k->tree, AWAY);
        (void) snprintf(note, sizeof(note), "%s.place", bdf);
        tree_put(k->tree, AWAY, note, 0644, "%s\n", path);
        (void) snprintf(note, sizeof(note), "%s.in-slot", bdf);
        if (in_slot)
                tree_put(k->tree, AWAY, note, 0644, "%s", "");
        else
                tree_remove(k->tree, AWAY, note);
        (void) tree_move(k->tree, path, path_make(&to, AWAY "/%s", bdf));
}

/* Takes a function away, with everything behind it if it is a bridge. The rescan lock is held. */
static void function_disappear(Kernel *k, const char *path, bool in_slot) {
        const char *bdf = path_name(path);
        _cleanup_names_ Names names = { 0 };
        char unit[PATH_MAX];
        PciAddress address;
        Path p;

        tree_subdirectories(k->tree, path, &names);
        for (size_t i = names.count; i > 0; i--)
                if (pci_address_parse(names.list[i - 1], &address) >= 0)
                        function_disappear(k, path_make(&p, "%s/%s", path, names.list[i - 1]), in_slot);

        device_lock(k, bdf, "remove");
        driver_detach(k, path);
        device_drop_control(k, path);
        device_disappear(k, path);
        iommu_group_leave(k->tree, path);
        if (tree_read(k->tree, "kernel", "iommu-unit", unit, sizeof(unit)) >= 0)
                tree_remove(k->tree, path_make(&p, "%s/devices", unit), bdf);
        put_aside(k, path, in_slot);
        device_unlock(k, bdf);
}

/* The device is like after power-on: nothing that was written to it is left. */
static void function_forget(Kernel *k, const char *path) {
        tree_put(k->tree, path, "driver_override", 0644, "(null)\n");
        if (tree_has(k->tree, path, "sriov_numvfs")) {
                tree_put(k->tree, path, "sriov_numvfs", 0644, "0\n");
                tree_put(k->tree, path, "sriov_drivers_autoprobe", 0644, "1\n");
        }
}

static void function_appear(Kernel *k, const char *bdf) {
        const PciSpec *spec = device_spec(k, bdf);
        char note[32], place[PATH_MAX], unit[PATH_MAX];
        Path from, p;

        (void) snprintf(note, sizeof(note), "%s.place", bdf);
        if (!spec || tree_read(k->tree, AWAY, note, place, sizeof(place)) < 0)
                return;
        if (tree_move(k->tree, path_make(&from, AWAY "/%s", bdf), place) < 0)
                return; /* what it was behind is away itself */

        function_forget(k, place);
        if (spec->group >= 0 && tree_read(k->tree, "kernel", "iommu-unit", unit, sizeof(unit)) >= 0) {
                iommu_group_join(k->tree, spec->group, place);
                tree_symlink(k->tree, place, path_make(&p, "%s/devices", unit), bdf);
        }
        device_take_control(k, place);
        device_appear(k, place);
        device_lock(k, bdf, "rescan");
        (void) device_probe(k, place);
        device_unlock(k, bdf);
}

/* In the order of addresses, so that bridges come first. @slot: only what is in that one; NULL: all that
 * is in any. */
static void appear_all(Kernel *k, const char *slot) {
        for (size_t i = 0; i < k->description->n_devices; i++) {
                const char *bdf = k->description->devices[i].bdf;
                char note[32];

                (void) snprintf(note, sizeof(note), "%s.in-slot", bdf);
                if (!tree_has(k->tree, AWAY, bdf))
                        continue;
                if (slot ? strncmp(bdf, slot, SLOT_LENGTH) == 0 : tree_has(k->tree, AWAY, note))
                        function_appear(k, bdf);
        }
}

int remove_write(Kernel *k, const char *bdf, const char *text) {
        uint64_t value;
        Path path;
        int r;

        if (string_to_u64(text, 0, &value) < 0)
                return -EINVAL;
        if (value == 0)
                return 0;
        device_lock(k, RESCAN_LOCK, "remove");
        r = device_find(k, bdf, &path);
        if (r >= 0)
                r = inject(k, "remove", bdf);
        if (r >= 0)
                function_disappear(k, path.s, true);
        device_unlock(k, RESCAN_LOCK);
        return r;
}

int rescan_write(Kernel *k, const char *bus, const char *text) {
        uint64_t value;
        int r;

        if (string_to_u64(text, 0, &value) < 0)
                return -EINVAL;
        if (value == 0)
                return 0;
        device_lock(k, RESCAN_LOCK, "rescan");
        r = inject(k, "rescan", bus);
        if (r >= 0)
                appear_all(k, NULL);
        device_unlock(k, RESCAN_LOCK);
        return r;
}

/* The port above sees the link go down, whatever the kernel can do about the device itself. */
static void show_slot(Kernel *k, const char *path, bool occupied) {
        uint8_t config[CONFIG_SPACE_SIZE];
        const PciSpec *spec;
        Path port, p;
        size_t size;

        path_parent(&port, path);
        spec = device_spec(k, path_name(port.s));
        if (!spec)
                return;
        size = config_space_build(spec, config);
        if (config_space_set_link(config, size, occupied)) {
                tree_remove(k->tree, port.s, "config");
                tree_share(k->tree, path_make(&p, "%s/config", port.s), config, size);
        }
        if (spec->slot)
                tree_put(k->tree, path_make(&p, "sys/bus/pci/slots/%s", spec->slot), "adapter", 0444, "%d\n",
                         occupied);
}

/* What is read from a device that is gone. */
static void show_config(Kernel *k, const char *path, bool there) {
        uint8_t config[CONFIG_SPACE_SIZE];
        const PciSpec *spec = device_spec(k, path_name(path));
        size_t size;
        Path p;

        if (!spec)
                return;
        size = config_space_build(spec, config);
        if (!there)
                memset(config, 0xff, size);
        tree_remove(k->tree, path, "config");
        tree_share(k->tree, path_make(&p, "%s/config", path), config, size);
}

typedef struct Unplug {
        Kernel *kernel;
        char slot[PCI_ADDRESS_LENGTH + 1];
        bool done;
} Unplug;

/* For each function of the slot, in descending order as the kernel does it, so that function 0 goes last. */
static void for_functions(Kernel *k, const char *slot, void (*what)(Kernel *k, const char *path)) {
        for (int f = 7; f >= 0; f--) {
                char bdf[PCI_ADDRESS_LENGTH + 1];
                Path path;

                (void) snprintf(bdf, sizeof(bdf), "%.*s%d", SLOT_LENGTH, slot, f);
                if (device_find(k, bdf, &path) >= 0 && device_spec(k, bdf))
                        what(k, path.s);
        }
}

static void unplug_visible(Kernel *k, const char *path) {
        show_config(k, path, false);
        show_slot(k, path, false);
}

static void unplug_function(Kernel *k, const char *path) {
        Path p = { 0 };

        path_make(&p, "%s", path);
        function_disappear(k, p.s, false);
}

static void *unplug_thread(void *userdata) {
        Unplug *u = userdata;
        Kernel *k = u->kernel;

        kernel_enter(k);
        device_lock(k, RESCAN_LOCK, "unplug");
        for_functions(k, u->slot, unplug_function);
        device_unlock(k, RESCAN_LOCK);
        kernel_leave(k);
        free(u);
        return NULL;
}

static bool slot_is_held(Kernel *k, const char *slot) {
        for (int f = 0; f < 8; f++) {
                char bdf[PCI_ADDRESS_LENGTH + 1], driver[64];
                Path path;

                (void) snprintf(bdf, sizeof(bdf), "%.*s%d", SLOT_LENGTH, slot, f);
                if (device_find(k, bdf, &path) < 0 || device_driver(k, path.s, driver, sizeof(driver)) < 0)
                        continue;
                if (vfio_is_driver(driver) && vfio_group_is_held(k, path.s))
                        return true;
        }
        return false;
}

int unplug_write(Kernel *k, const char *bdf) {
        pthread_t thread;
        Unplug *u;
        Path path;
        int r;

        r = device_find(k, bdf, &path);
        if (r < 0)
                return r;
        for_functions(k, bdf, unplug_visible);
        if (!slot_is_held(k, bdf)) {
                device_lock(k, RESCAN_LOCK, "unplug");
                for_functions(k, bdf, unplug_function);
                device_unlock(k, RESCAN_LOCK);
                return 0;
        }

        u = allocate(sizeof(*u));
        u->kernel = k;
        copy_text(u->slot, sizeof(u->slot), bdf);
        r = pthread_create(&thread, NULL, unplug_thread, u);
        if (r != 0) {
                free(u);
                return -r;
        }
        (void) pthread_detach(thread);
        return 0;
}

int plug_write(Kernel *k, const char *bdf) {
        Path path;

        if (device_find(k, bdf, &path) >= 0)
                return -EEXIST;
        if (!tree_has(k->tree, AWAY, bdf))
                return -ENODEV;
        device_lock(k, RESCAN_LOCK, "plug");
        appear_all(k, bdf);
        if (device_find(k, bdf, &path) >= 0) {
                show_config(k, path.s, true);
                show_slot(k, path.s, true);
        }
        device_unlock(k, RESCAN_LOCK);
        return 0;
}

int reset_write(Kernel *k, const char *bdf, const char *text) {
        char methods[128];
        uint64_t value;
        Path path;
        int r;

        if (string_to_u64(text, 0, &value) < 0 || value != 1)
                return -EINVAL;
        device_lock(k, bdf, "reset");
        r = device_find(k, bdf, &path);
        if (r >= 0)
                r = inject(k, "reset", bdf);
        if (r >= 0 &&
            (tree_read(k->tree, path.s, "reset_method", methods, sizeof(methods)) < 0 || !methods[0]))
                r = -ENOTTY;
        if (r >= 0) {
                ailment_reset(k, bdf, path.s);
                gpu_was_reset(k, bdf);
        }
        device_unlock(k, bdf);
        return r;
}

int reset_method_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        char text[128];
        Path path;
        int r;

        r = device_find(k, bdf, &path);
        if (r >= 0)
                r = tree_read(k->tree, path.s, "reset_method", text, sizeof(text));
        if (r >= 0)
                (void) snprintf(ret, size, "%s\n", text);
        return r;
}

/* An ordered choice of what the device can do, "default", or "" for none. */
int reset_method_write(Kernel *k, const char *bdf, const char *text) {
        const PciSpec *spec = device_spec(k, bdf);
        const char *able = spec && spec->reset ? spec->reset : "flr";
        _cleanup_free_ char *copy = copy_string(text);
        char chosen[128] = "", *save = NULL;
        Path path;
        int r;

        r = device_find(k, bdf, &path);
        if (r >= 0)
                r = inject(k, "reset_method", bdf);
        if (r < 0)
                return r;
        if (string_equal(text, "default"))
                copy_text(chosen, sizeof(chosen), able);
        else
                for (char *m = strtok_r(copy, " ", &save); m; m = strtok_r(NULL, " ", &save)) {
                        const char *found = strstr(able, m);
                        size_t n = strlen(chosen);

                        if (!found || (found > able && found[-1] != ' ') ||
                            (found[strlen(m)] && found[strlen(m)] != ' ') ||
                            n + strlen(m) + 2 > sizeof(chosen))
                                return -EINVAL;
                        (void) snprintf(chosen + n, sizeof(chosen) - n, "%s%s", n > 0 ? " " : "", m);
                }
        tree_put(k->tree, path.s, "reset_method", 0644, "%s\n", chosen);
        return 0;
}

int uevent_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        char text[2048];
        Path path;
        int r;

        /* Linux 6.1 takes the device lock for this, so reading hangs while a driver is being unbound. */
        device_lock(k, bdf, "uevent");
        r = device_find(k, bdf, &path);
        if (r >= 0)
                r = inject(k, "uevent", bdf);
        if (r >= 0)
                r = tree_read(k->tree, path.s, "uevent", text, sizeof(text));
        device_unlock(k, bdf);
        if (r >= 0)
                (void) snprintf(ret, size, "%s\n", text);
        return r;
}

int uevent_write(Kernel *k, const char *bdf, const char *text) {
        static const char *const actions[] = { "add",    "remove",  "change", "move",
                                               "online", "offline", "bind",   "unbind" };
        Path path;

        if (device_find(k, bdf, &path) < 0)
                return -ENODEV;
        for (size_t i = 0; i < ELEMENTS(actions); i++)
                if (string_starts(text, actions[i]) &&
                    (text[strlen(actions[i])] == '\0' || text[strlen(actions[i])] == ' ')) {
                        uevents_send(k->events, actions[i], path.s, "SYNTH_UUID=0");
                        return 0;
                }
        return -EINVAL;
}

int storm_write(Kernel *k, const char *text) {
        _cleanup_free_ char *copy = copy_string(text);
        char *words[2];
        size_t n = split_words(copy, words, ELEMENTS(words));
        uint64_t count;
        Path path;

        if (n < 1 || n > 2 || string_to_u64(words[0], 10, &count) < 0)
                return -EINVAL;
        if (n == 2 && device_find(k, words[1], &path) < 0 && usb_find(k, words[1], &path) < 0)
                return -ENODEV;
        for (uint64_t i = 0; i < count; i++) {
                if (n == 1 &&
                    device_find(k, k->description->devices[i % k->description->n_devices].bdf, &path) < 0)
                        continue;
                uevents_send(k->events, "change", path.s, NULL);
        }
        return 0;
}
