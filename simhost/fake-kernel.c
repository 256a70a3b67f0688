/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-kernel.h"

#include <fnmatch.h>

#include "bind.h"
#include "control-fs.h"
#include "host-build.h"
#include "kobject.h"
#include "mdev.h"
#include "netdev.h"
#include "usb.h"
#include "vfio.h"
#include "vgpu.h"

/* A described host up to this size has all its devices controlled; every control file is one mount. */
#define CONTROL_ALL_MAX 256

void kernel_enter(Kernel *k) {
        (void) pthread_mutex_lock(&k->big_lock);
}

void kernel_leave(Kernel *k) {
        (void) pthread_mutex_unlock(&k->big_lock);
}

void kernel_touch(Kernel *k) {
        if (!k->touched)
                tree_put(k->tree, "kernel", "used", 0644, "%s", "");
        k->touched = true;
}

void kernel_notify(Kernel *k) {
        (void) pthread_cond_broadcast(&k->changed);
}

void kernel_wait(Kernel *k, const char *operation, const char *name, const char *why) {
        Waiter *w = allocate(sizeof(*w));

        w->operation = operation;
        w->why = why;
        copy_text(w->name, sizeof(w->name), name);
        w->next = k->waiters;
        k->waiters = w;
        (void) pthread_cond_wait(&k->changed, &k->big_lock);
        for (Waiter **i = &k->waiters; *i; i = &(*i)->next)
                if (*i == w) {
                        *i = w->next;
                        break;
                }
        free(w);
}

static Lock *find_lock(Kernel *k, const char *name) {
        for (Lock *l = k->locks; l; l = l->next)
                if (string_equal(l->name, name))
                        return l;
        return NULL;
}

void device_lock(Kernel *k, const char *name, const char *operation) {
        Lock *l;

        while (find_lock(k, name))
                kernel_wait(k, operation, name, "device lock");
        l = allocate(sizeof(*l));
        copy_text(l->name, sizeof(l->name), name);
        l->holder = operation;
        l->next = k->locks;
        k->locks = l;
}

void device_unlock(Kernel *k, const char *name) {
        for (Lock **i = &k->locks; *i; i = &(*i)->next)
                if (string_equal((*i)->name, name)) {
                        Lock *l = *i;

                        *i = l->next;
                        free(l);
                        break;
                }
        kernel_notify(k);
}

int device_find(Kernel *k, const char *bdf, Path *ret) {
        PciAddress address;

        if (pci_address_parse(bdf, &address) < 0 ||
            tree_follow(k->tree, "sys/bus/pci/devices", bdf, ret) < 0)
                return -ENODEV;
        return 0;
}

int device_driver(Kernel *k, const char *path, char *ret, size_t size) {
        return tree_follow_name(k->tree, path, "driver", ret, size);
}

static int compare_bdf(const void *key, const void *element) {
        return strcmp(key, ((const PciSpec *) element)->bdf);
}

const PciSpec *device_spec(Kernel *k, const char *bdf) {
        return bsearch(bdf, k->description->devices, k->description->n_devices, sizeof(PciSpec),
                       compare_bdf);
}

/* udev's database loses a device's entry when it goes. We keep it: the same device gets the same entry
 * when it is back. Something new gets an empty one, which is how libudev knows that udev has seen it. */
static void udev_entry_appear(Kernel *k, const char *path) {
        char name[128];
        Path kept, entry;

        if (kobject_udev_name(k->tree, path, name, sizeof(name)) < 0 ||
            tree_has(k->tree, "run/udev/data", name))
                return;
        path_make(&kept, "kernel/udev/%s", name);
        path_make(&entry, "run/udev/data/%s", name);
        if (tree_move(k->tree, kept.s, entry.s) < 0)
                tree_put(k->tree, "run/udev/data", name, 0644, "I:1000000\nV:1\n");
}

static void udev_entry_disappear(Kernel *k, const char *path) {
        char name[128];
        Path kept, entry;

        if (kobject_udev_name(k->tree, path, name, sizeof(name)) < 0)
                return;
        path_make(&kept, "kernel/udev/%s", name);
        path_make(&entry, "run/udev/data/%s", name);
        (void) tree_move(k->tree, entry.s, kept.s);
}

void device_appear(Kernel *k, const char *path) {
        kobject_register(k->tree, path);
        udev_entry_appear(k, path);
        usb_node_appear(k, path);
        uevents_send(k->events, "add", path, NULL);
}

void device_disappear(Kernel *k, const char *path) {
        uevents_send(k->events, "remove", path, NULL);
        udev_entry_disappear(k, path);
        usb_node_disappear(k, path);
        kobject_unregister(k->tree, path);
}

/* What the description says of the interface .../BDF/net/NAME; NULL for anything else. */
static json_t *net_description(Kernel *k, const char *path, int *ret_index) {
        char subsystem[16];
        const PciSpec *spec;
        Path class, device;
        uint64_t index;
        json_t *net;
        size_t i;

        if (kobject_subsystem(k->tree, path, subsystem, sizeof(subsystem)) < 0 ||
            !string_equal(subsystem, "net") || tree_read_number(k->tree, path, "ifindex", 10, &index) < 0)
                return NULL;
        path_parent(&class, path);
        path_parent(&device, class.s);
        spec = device_spec(k, path_name(device.s));
        if (!spec)
                return NULL;
        json_array_foreach(spec->net, i, net) {
                if (string_equal(json_text(net, "name", NULL), path_name(path))) {
                        *ret_index = (int) index;
                        return net;
                }
        }
        return NULL;
}

static void appear(const char *path, void *userdata) {
        Kernel *k = userdata;
        int index;
        json_t *net = net_description(k, path, &index);

        if (net)
                (void) netdev_add(net, index);
        device_appear(k, path);
}

static void disappear(const char *path, void *userdata) {
        Kernel *k = userdata;
        int index;
        json_t *net = net_description(k, path, &index);

        if (net && json_array_size(json_object_get(net, "addresses")) > 0)
                (void) netdev_remove(index);
        device_disappear(k, path);
}

static void for_children(Kernel *k, const char *path, bool children_first, KobjectVisit visit) {
        _cleanup_names_ Names names = { 0 };
        Path p;

        tree_subdirectories(k->tree, path, &names);
        for (size_t i = 0; i < names.count; i++)
                if (kobject_made_by_driver(names.list[i]))
                        kobject_walk(k->tree, path_make(&p, "%s/%s", path, names.list[i]), children_first,
                                     visit, k);
}

static void children_take_control(Kernel *k, const char *path) {
        if (!kernel_controls(k, path_name(path)))
                return;
        mdev_take_control(k, path);
        vgpu_take_control(k, path);
}

void children_appear(Kernel *k, const char *path) {
        class_devices_restore(k->tree, path);
        for_children(k, path, false, appear);
        if (tree_has(k->tree, path, "mdev_supported_types"))
                tree_symlink(k->tree, path, "sys/class/mdev_bus", path_name(path));
        children_take_control(k, path);
}

void children_disappear(Kernel *k, const char *path) {
        tree_remove(k->tree, "sys/class/mdev_bus", path_name(path));
        if (kernel_controls(k, path_name(path))) {
                mdev_drop_control(k, path);
                vgpu_drop_control(k, path);
        }
        for_children(k, path, true, disappear);
        class_devices_park(k->tree, path);
}

bool kernel_controls(Kernel *k, const char *bdf) {
        _cleanup_free_ char *list = NULL;
        char *save = NULL;

        list = copy_string(k->controlled);
        for (char *s = strtok_r(list, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
                if (string_equal(s, "all") || fnmatch(s, bdf, 0) == 0)
                        return true;
                if (string_equal(s, "auto") && k->description->n_devices <= CONTROL_ALL_MAX)
                        return true;
        }
        return false;
}

int control_mount(Kernel *k, const char *family, const char *key, const char *name, const char *directory) {
        Path what, where;
        int r;

        if (!tree_has(k->tree, directory, name))
                return 0;
        path_make(&what, SIMHOST_FS "/%s/%s/%s", family, key, name);
        path_make(&where, "/%s/%s", directory, name);
        r = hand_mount(k->hand, what.s, where.s);
        if (r < 0)
                complain("cannot put %s in place: %s", where.s, strerror(-r));
        return r;
}

void device_take_control(Kernel *k, const char *path) {
        const char *bdf = path_name(path);

        if (!kernel_controls(k, bdf))
                return;
        for (size_t i = 0; i < control_device_files_count; i++)
                (void) control_mount(k, "device", bdf, control_device_files[i], path);
}

void device_drop_control(Kernel *k, const char *path) {
        Path p;

        if (!kernel_controls(k, path_name(path)))
                return;
        for (size_t i = 0; i < control_device_files_count; i++)
                if (tree_has(k->tree, path, control_device_files[i]))
                        (void) hand_unmount(k->hand, path_make(&p, "/%s/%s", path, control_device_files[i]));
}

static void add_interfaces(Kernel *k) {
        _cleanup_closedir_ DIR *d = tree_list(k->tree, "sys/class/net");
        struct dirent *e;

        while (d && (e = readdir(d))) {
                json_t *net;
                int index;
                Path path;

                if (tree_follow(k->tree, "sys/class/net", e->d_name, &path) < 0)
                        continue;
                net = net_description(k, path.s, &index);
                if (net)
                        (void) netdev_add(net, index);
        }
}

void kernel_boot(Kernel *k) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;
        Path path;

        kernel_enter(k);
        add_interfaces(k);
        usb_take_control(k);
        d = tree_list(k->tree, "sys/bus/pci/devices");
        while (d && (e = readdir(d))) {
                if (device_find(k, e->d_name, &path) < 0)
                        continue;
                device_take_control(k, path.s);
                children_take_control(k, path.s);
                vfio_adopt(k, path.s);
        }
        kernel_leave(k);
}

int control_more_write(Kernel *k, const char *key, const char *text) {
        const Description *d = k->description;
        _cleanup_free_ bool *new = allocate(d->n_devices * sizeof(bool));
        char *list;
        Path path;

        (void) key;
        for (size_t i = 0; i < d->n_devices; i++)
                new[i] = fnmatch(text, d->devices[i].bdf, 0) == 0 && !kernel_controls(k, d->devices[i].bdf);
        if (asprintf(&list, "%s,%s", k->controlled, text) < 0)
                return -ENOMEM;
        free(k->controlled);
        k->controlled = list;
        for (size_t i = 0; i < d->n_devices; i++)
                if (new[i] && device_find(k, d->devices[i].bdf, &path) >= 0) {
                        device_take_control(k, path.s);
                        children_take_control(k, path.s);
                }
        return 0;
}

int kernel_new(Tree *t, Description *d, Hand *hand, UeventFormat formats, const char *controlled,
               Kernel **ret) {
        Kernel *k = allocate(sizeof(*k));
        int r;

        *k = (Kernel){ .tree = t, .description = d, .hand = hand, .controlled = copy_string(controlled) };
        (void) pthread_mutex_init(&k->big_lock, NULL);
        (void) pthread_cond_init(&k->changed, NULL);
        host_load_counters(t, &k->counters);
        r = uevents_open(t, formats, &k->events);
        if (r < 0) {
                free(k);
                return r;
        }
        bind_load_ids(k);
        *ret = k;
        return 0;
}
