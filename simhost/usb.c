/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usb.h"

#include "inject.h"
#include "kobject.h"

#define AWAY "kernel/away"
#define DEVNUM_MAX 127

static const char *const device_files[] = { "authorized", "bConfigurationValue", "remove" };

static int find(Kernel *k, const char *name, Path *ret) {
        if (strchr(name, '/') || tree_follow(k->tree, "sys/bus/usb/devices", name, ret) < 0)
                return -ENODEV;
        return 0;
}

/* "2-1.4:1.0" */
static bool is_interface(const char *name) {
        return strchr(name, ':') != NULL;
}

/* "2-1.4" */
static bool is_device(const char *name) {
        return name[0] >= '0' && name[0] <= '9' && strchr(name, '-') && !is_interface(name);
}

int usb_find(Kernel *k, const char *name, Path *ret) {
        return is_device(name) ? find(k, name, ret) : -ENODEV;
}

static bool node_path(Kernel *k, const char *path, Path *ret) {
        uint64_t bus, number;

        if (tree_read_number(k->tree, path, "busnum", 10, &bus) < 0 ||
            tree_read_number(k->tree, path, "devnum", 10, &number) < 0)
                return false;
        path_make(ret, "dev/bus/usb/%03u/%03u", (unsigned) bus, (unsigned) number);
        return true;
}

void usb_node_appear(Kernel *k, const char *path) {
        char descriptors[4096];
        Path node, directory;
        int r;

        if (!node_path(k, path, &node))
                return;
        path_parent(&directory, node.s);
        if (tree_has(k->tree, directory.s, path_name(node.s)))
                return;
        r = tree_read_bytes(k->tree, path, "descriptors", descriptors, sizeof(descriptors));
        if (r >= 0)
                tree_write(k->tree, node.s, 0664, descriptors, (size_t) r);
}

void usb_node_disappear(Kernel *k, const char *path) {
        Path node, directory;

        if (!node_path(k, path, &node))
                return;
        path_parent(&directory, node.s);
        tree_remove(k->tree, directory.s, path_name(node.s));
}

/* The uevent file has a line DRIVER= while one is bound. */
static void write_uevent(Kernel *k, const char *path, const char *driver) {
        char text[1024], out[1200] = "", *save = NULL;
        size_t n = 0;

        if (tree_read(k->tree, path, "uevent", text, sizeof(text)) < 0)
                return;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                if (string_starts(line, "DRIVER="))
                        continue;
                n += (size_t) snprintf(out + n, sizeof(out) - n, "%s\n", line);
                if (driver && string_starts(line, "DEVTYPE="))
                        n += (size_t) snprintf(out + n, sizeof(out) - n, "DRIVER=%s\n", driver);
        }
        tree_put(k->tree, path, "uevent", 0644, "%s", out);
}

/* Ports of a hub stay, which is not as Linux has it: the devices behind it are told by them. */
static bool makes_something(const char *path, const char *driver) {
        return is_interface(path_name(path)) && !string_equal(driver, "hub");
}

static void attach(Kernel *k, const char *path, const char *driver) {
        Path p;

        tree_symlink(k->tree, path_make(&p, "sys/bus/usb/drivers/%s", driver), path, "driver");
        tree_symlink(k->tree, path, p.s, path_name(path));
        write_uevent(k, path, driver);
        if (makes_something(path, driver))
                children_appear(k, path);
        uevents_send(k->events, "bind", path, NULL);
}

static void detach(Kernel *k, const char *path) {
        char driver[64];
        Path p;

        if (device_driver(k, path, driver, sizeof(driver)) < 0)
                return;
        if (makes_something(path, driver))
                children_disappear(k, path);
        tree_remove(k->tree, path, "driver");
        tree_remove(k->tree, path_make(&p, "sys/bus/usb/drivers/%s", driver), path_name(path));
        write_uevent(k, path, NULL);
        uevents_send(k->events, "unbind", path, NULL);
}

/* Which driver takes this interface by itself: the one that had it when the host was made. */
static bool natural_driver(Kernel *k, const char *path, char *ret, size_t size) {
        return tree_read(k->tree, "kernel/usb", path_name(path), ret, size) >= 0;
}

static bool is_authorized(Kernel *k, const char *path) {
        char text[8];

        return tree_read(k->tree, path, "authorized", text, sizeof(text)) >= 0 && text[0] == '1';
}

static int probe(Kernel *k, const char *path) {
        char driver[64];

        if (device_driver(k, path, driver, sizeof(driver)) >= 0 || !is_authorized(k, path) ||
            !natural_driver(k, path, driver, sizeof(driver)))
                return 0;
        if (inject(k, "usb-bind", path_name(path)) < 0)
                return 0;
        attach(k, path, driver);
        return 0;
}

/* Calls @what for each interface of a device, or for each device of a hub. */
static void for_each(Kernel *k, const char *path, bool (*which)(const char *name),
                     void (*what)(Kernel *k, const char *path)) {
        _cleanup_names_ Names names = { 0 };
        Path p;

        tree_subdirectories(k->tree, path, &names);
        for (size_t i = 0; i < names.count; i++)
                if (which(names.list[i]))
                        what(k, path_make(&p, "%s/%s", path, names.list[i]));
}

static void interface_appear(Kernel *k, const char *path) {
        device_appear(k, path);
        (void) probe(k, path);
}

static void interface_disappear(Kernel *k, const char *path) {
        detach(k, path);
        device_disappear(k, path);
}

static void usb_appear(Kernel *k, const char *path);
static void usb_disappear(Kernel *k, const char *path);

/* An interface that is not there lies among what drivers made, below the name of its device. So does what
 * is behind a hub that no longer works as one. */
static void unconfigure(Kernel *k, const char *path) {
        for_each(k, path, is_device, usb_disappear);
        for_each(k, path, is_interface, interface_disappear);
        tree_put(k->tree, path, "bConfigurationValue", 0644, "\n");
        class_devices_park(k->tree, path);
}

static void configure(Kernel *k, const char *path) {
        class_devices_restore(k->tree, path);
        tree_put(k->tree, path, "bConfigurationValue", 0644, "1\n");
        for_each(k, path, is_interface, interface_appear);
        for_each(k, path, is_device, usb_appear);
}

static bool is_configured(Kernel *k, const char *path) {
        char text[8];

        return tree_read(k->tree, path, "bConfigurationValue", text, sizeof(text)) >= 0 && text[0] != '\0';
}

static void usb_disappear(Kernel *k, const char *path) {
        for_each(k, path, is_device, usb_disappear);
        for_each(k, path, is_interface, interface_disappear);
        detach(k, path);
        device_disappear(k, path);
}

/* Numbers are given out in turn, and begin anew after 127. */
static void renumber(Kernel *k, const char *path) {
        char text[1024], node[32], out[1200] = "", *save = NULL;
        uint64_t bus = 1, number = 1;
        size_t n = 0;
        Path p;

        (void) tree_read_number(k->tree, path, "busnum", 10, &bus);
        (void) snprintf(node, sizeof(node), "last-%u", (unsigned) bus);
        (void) tree_read_number(k->tree, "kernel/usb", node, 10, &number);
        do {
                number = number >= DEVNUM_MAX ? 2 : number + 1;
                path_make(&p, "dev/bus/usb/%03u", (unsigned) bus);
                (void) snprintf(text, sizeof(text), "%03u", (unsigned) number);
        } while (tree_has(k->tree, p.s, text));
        tree_put(k->tree, "kernel/usb", node, 0644, "%u\n", (unsigned) number);

        tree_put(k->tree, path, "devnum", 0444, "%u\n", (unsigned) number);
        if (tree_read(k->tree, path, "uevent", text, sizeof(text)) < 0)
                return;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (string_starts(line, "DEVNAME="))
                        n += (size_t) snprintf(out + n, sizeof(out) - n, "DEVNAME=bus/usb/%03u/%03u\n",
                                               (unsigned) bus, (unsigned) number);
                else if (string_starts(line, "DEVNUM="))
                        n += (size_t) snprintf(out + n, sizeof(out) - n, "DEVNUM=%03u\n", (unsigned) number);
                else
                        n += (size_t) snprintf(out + n, sizeof(out) - n, "%s\n", line);
        tree_put(k->tree, path, "uevent", 0644, "%s", out);
}

static void usb_appear(Kernel *k, const char *path) {
        renumber(k, path);
        tree_put(k->tree, path, "authorized", 0644, "1\n");
        device_appear(k, path);
        class_devices_restore(k->tree, path);
        tree_put(k->tree, path, "bConfigurationValue", 0644, "1\n");
        for_each(k, path, is_interface, interface_appear);
        attach(k, path, "usb");
        for_each(k, path, is_device, usb_appear);
}

static void drop_control(Kernel *k, const char *path);
static void take_control(Kernel *k, const char *path);

int usb_unplug(Kernel *k, const char *name) {
        char note[128];
        Path path, to;

        if (!is_device(name) || find(k, name, &path) < 0)
                return -ENODEV;
        device_lock(k, name, "unplug");
        usb_disappear(k, path.s);
        drop_control(k, path.s);
        tree_make_directory(k->tree, AWAY);
        (void) snprintf(note, sizeof(note), "%.100s.place", name);
        tree_put(k->tree, AWAY, note, 0644, "%s\n", path.s);
        (void) tree_move(k->tree, path.s, path_make(&to, AWAY "/%s", name));
        device_unlock(k, name);
        return 0;
}

int usb_plug(Kernel *k, const char *name) {
        char note[128], place[PATH_MAX];
        Path path;

        if (find(k, name, &path) >= 0)
                return -EEXIST;
        (void) snprintf(note, sizeof(note), "%.100s.place", name);
        if (tree_read(k->tree, AWAY, note, place, sizeof(place)) < 0 ||
            tree_move(k->tree, path_make(&path, AWAY "/%s", name), place) < 0)
                return -ENODEV;
        device_lock(k, name, "plug");
        take_control(k, place);
        usb_appear(k, place);
        device_unlock(k, name);
        return 0;
}

/* Replaces a line of a record that begins with @key. */
static void replace_line(Kernel *k, const char *directory, const char *file, const char *key, const char *value) {
        char text[2048], out[2400] = "", *save = NULL;
        size_t n = 0;

        if (tree_read(k->tree, directory, file, text, sizeof(text)) < 0)
                return;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (string_starts(line, key))
                        n += (size_t) snprintf(out + n, sizeof(out) - n, "%s%s\n", key, value);
                else
                        n += (size_t) snprintf(out + n, sizeof(out) - n, "%s\n", line);
        tree_put(k->tree, directory, file, 0644, "%s", out);
}

/* "1-4 0547 2131": what is unplugged comes back with other ids, as a device does that has loaded its firmware. */
int usb_order_ids(Kernel *k, const char *text) {
        char name[64], vendor[8], product[8], value[32], record[96];
        Path path;

        if (sscanf(text, "%63s %7s %7s", name, vendor, product) != 3 || !is_device(name))
                return -EINVAL;
        path_make(&path, AWAY "/%s", name);
        if (!tree_has(k->tree, path.s, "idVendor"))
                return -ENODEV;
        tree_put(k->tree, path.s, "idVendor", 0444, "%s\n", vendor);
        tree_put(k->tree, path.s, "idProduct", 0444, "%s\n", product);
        (void) snprintf(value, sizeof(value), "%s/%s/110", vendor, product);
        replace_line(k, path.s, "uevent", "PRODUCT=", value);
        (void) snprintf(record, sizeof(record), "+usb:%s", name);
        replace_line(k, "kernel/udev", record, "E:ID_VENDOR_ID=", vendor);
        replace_line(k, "kernel/udev", record, "E:ID_MODEL_ID=", product);
        return 0;
}

int usb_bind_write(Kernel *k, const char *driver, const char *name) {
        char other[64];
        Path path;
        int r;

        if (find(k, name, &path) < 0 || !is_interface(name) ||
            !natural_driver(k, path.s, other, sizeof(other)) || !string_equal(other, driver))
                return -ENODEV;
        device_lock(k, name, "usb-bind");
        if (device_driver(k, path.s, other, sizeof(other)) >= 0)
                r = -EBUSY;
        else
                r = inject(k, "usb-bind", name);
        if (r >= 0)
                attach(k, path.s, driver);
        device_unlock(k, name);
        return r;
}

int usb_unbind_write(Kernel *k, const char *driver, const char *name) {
        char bound[64];
        Path path;
        int r;

        if (find(k, name, &path) < 0 || device_driver(k, path.s, bound, sizeof(bound)) < 0 ||
            !string_equal(bound, driver))
                return -ENODEV;
        device_lock(k, name, "usb-unbind");
        r = inject(k, "usb-unbind", name);
        if (r >= 0 && !is_interface(name))
                unconfigure(k, path.s);
        if (r >= 0)
                detach(k, path.s);
        device_unlock(k, name);
        return r;
}

int usb_drivers_probe_write(Kernel *k, const char *bus, const char *name) {
        char driver[64];
        Path path;
        int r;

        (void) bus;
        if (find(k, name, &path) < 0)
                return -ENODEV;
        device_lock(k, name, "usb-bind");
        if (is_interface(name))
                r = probe(k, path.s);
        else {
                r = 0;
                if (device_driver(k, path.s, driver, sizeof(driver)) < 0) {
                        configure(k, path.s);
                        attach(k, path.s, "usb");
                }
        }
        device_unlock(k, name);
        return r;
}

static int read_attribute(Kernel *k, const char *name, const char *file, char *ret, size_t size) {
        char text[16];
        Path path;
        int r;

        r = find(k, name, &path);
        if (r >= 0)
                r = tree_read(k->tree, path.s, file, text, sizeof(text));
        if (r >= 0)
                (void) snprintf(ret, size, "%s\n", text);
        return r;
}

int usb_authorized_read(Kernel *k, const char *name, char *ret, size_t size) {
        return read_attribute(k, name, "authorized", ret, size);
}

/* A device that is not authorised has no configuration; an interface that is not has no driver, and gets
 * none back until it is probed. */
int usb_authorized_write(Kernel *k, const char *name, const char *text) {
        uint64_t value;
        Path path;
        int r;

        if (string_to_u64(text, 10, &value) < 0 || value > 1)
                return -EINVAL;
        r = find(k, name, &path);
        if (r < 0)
                return r;
        device_lock(k, name, "authorized");
        r = inject(k, "authorized", name);
        if (r >= 0 && is_authorized(k, path.s) != (value == 1)) {
                tree_put(k->tree, path.s, "authorized", 0644, "%d\n", (int) value);
                if (is_interface(name)) {
                        if (value == 0)
                                detach(k, path.s);
                } else if (value == 0)
                        unconfigure(k, path.s);
                else
                        configure(k, path.s);
        }
        device_unlock(k, name);
        return r;
}

int usb_configuration_read(Kernel *k, const char *name, char *ret, size_t size) {
        return read_attribute(k, name, "bConfigurationValue", ret, size);
}

int usb_configuration_write(Kernel *k, const char *name, const char *text) {
        uint64_t value;
        Path path;
        int r;

        if (string_to_u64(text, 10, &value) < 0 || value > 1)
                return -EINVAL;
        r = find(k, name, &path);
        if (r < 0)
                return r;
        if (!is_authorized(k, path.s))
                return -EHOSTUNREACH;
        device_lock(k, name, "bConfigurationValue");
        if (is_configured(k, path.s))
                unconfigure(k, path.s);
        if (value == 1)
                configure(k, path.s);
        device_unlock(k, name);
        return 0;
}

int usb_remove_write(Kernel *k, const char *name, const char *text) {
        (void) text;
        return usb_unplug(k, name);
}

/* Control files of one device, of its interfaces, and of what is behind it. */
static void for_control_files(Kernel *k, const char *path,
                              void (*what)(Kernel *k, const char *path, const char *file)) {
        _cleanup_names_ Names names = { 0 };
        Path p;

        for (size_t i = 0; i < ELEMENTS(device_files); i++)
                if (tree_has(k->tree, path, device_files[i]))
                        what(k, path, device_files[i]);
        tree_subdirectories(k->tree, path, &names);
        for (size_t i = 0; i < names.count; i++)
                if (is_interface(names.list[i]) || is_device(names.list[i]))
                        for_control_files(k, path_make(&p, "%s/%s", path, names.list[i]), what);
}

static void mount_file(Kernel *k, const char *path, const char *file) {
        (void) control_mount(k, "usb-device", path_name(path), file, path);
}

static void unmount_file(Kernel *k, const char *path, const char *file) {
        Path p;

        (void) hand_unmount(k->hand, path_make(&p, "/%s/%s", path, file));
}

static void take_control(Kernel *k, const char *path) {
        if (kernel_controls(k, path_name(path)))
                for_control_files(k, path, mount_file);
}

static void drop_control(Kernel *k, const char *path) {
        if (kernel_controls(k, path_name(path)))
                for_control_files(k, path, unmount_file);
}

void usb_take_control(Kernel *k) {
        _cleanup_closedir_ DIR *d = tree_list(k->tree, "sys/bus/usb/devices");
        struct dirent *e;
        Path path;

        /* Root hubs; the others are found from there. */
        while (d && (e = readdir(d)))
                if (string_starts(e->d_name, "usb") && find(k, e->d_name, &path) >= 0)
                        take_control(k, path.s);
}
