/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "input-device.h"

#include "kobject.h"

#define BUS_USB 3

/* As Linux prints them on 64 bits: words, the highest first. */
static const struct {
        int protocol; /* of the boot interface */
        const char *what, *ev, *key, *rel, *led;
} KINDS[] = {
        { 1, "E:ID_INPUT_KEY=1\nE:ID_INPUT_KEYBOARD=1\n", "120013", "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe", "0", "1f" },
        { 2, "E:ID_INPUT_MOUSE=1\n", "17", "70000 0 0 0 0", "903", "0" },
};

/* Input devices have numbers of their own, and each HID device counts on. */
static int next_number(Tree *t) {
        uint64_t number = 0;

        (void) tree_read_number(t, "kernel/usb", "last-input", 10, &number);
        tree_put(t, "kernel/usb", "last-input", 0644, "%d\n", (int) number + 1);
        return (int) number + 1;
}

static void write_udev(Tree *t, const char *path, const char *text) {
        char name[128];

        if (kobject_udev_name(t, path, name, sizeof(name)) >= 0)
                tree_put(t, "run/udev/data", name, 0644, "I:1000000\nE:ID_INPUT=1\n%sV:1\n", text);
}

void input_device_write(Tree *t, const char *interface, int vendor, int product, int protocol, const char *manufacturer,
                        const char *name, const char *serial) {
        size_t kind = 0;
        int number;
        Path hid, input, p;

        while (kind < ELEMENTS(KINDS) && KINDS[kind].protocol != protocol)
                kind++;
        if (kind == ELEMENTS(KINDS))
                return;
        number = next_number(t);

        path_make(&hid, "%s/%04X:%04X:%04X.%04X", interface, BUS_USB, (unsigned) vendor, (unsigned) product, (unsigned) number);
        tree_make_directory(t, hid.s);
        tree_symlink(t, "sys/bus/hid", hid.s, "subsystem");
        tree_put(t, hid.s, "uevent", 0644, "HID_ID=%04X:%08X:%08X\nHID_NAME=%s %s\nHID_UNIQ=%s\n", BUS_USB, (unsigned) vendor,
                 (unsigned) product, manufacturer ? manufacturer : "", name ? name : "", serial ? serial : "");

        path_make(&input, "%s/input/input%d", hid.s, number);
        tree_make_directory(t, input.s);
        tree_symlink(t, "sys/class/input", input.s, "subsystem");
        tree_symlink(t, hid.s, input.s, "device");
        tree_attribute(t, input.s, "name", "%s %s\n", manufacturer ? manufacturer : "", name ? name : "");
        tree_attribute(t, input.s, "uniq", "%s\n", serial ? serial : "");
        tree_make_directory(t, path_make(&p, "%s/id", input.s));
        tree_attribute(t, p.s, "bustype", "%04x\n", BUS_USB);
        tree_attribute(t, p.s, "vendor", "%04x\n", vendor);
        tree_attribute(t, p.s, "product", "%04x\n", product);
        tree_attribute(t, p.s, "version", "0110\n");
        tree_make_directory(t, path_make(&p, "%s/capabilities", input.s));
        tree_attribute(t, p.s, "ev", "%s\n", KINDS[kind].ev);
        tree_attribute(t, p.s, "key", "%s\n", KINDS[kind].key);
        tree_attribute(t, p.s, "rel", "%s\n", KINDS[kind].rel);
        tree_attribute(t, p.s, "led", "%s\n", KINDS[kind].led);
        tree_put(t, input.s, "uevent", 0644, "PRODUCT=%x/%x/%x/110\nNAME=\"%s %s\"\nEV=%s\nKEY=%s\n", BUS_USB, (unsigned) vendor,
                 (unsigned) product, manufacturer ? manufacturer : "", name ? name : "", KINDS[kind].ev, KINDS[kind].key);
        write_udev(t, input.s, KINDS[kind].what);
}
