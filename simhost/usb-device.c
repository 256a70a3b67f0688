/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usb-device.h"

#include <stdlib.h>

#include "input-device.h"
#include "kobject.h"

#define CLASS_HUB 9
#define DEVICE_DESCRIPTOR_SIZE 18
#define INTERFACES_MAX 4
#define DESCRIPTORS_SIZE (DEVICE_DESCRIPTOR_SIZE + 9 + INTERFACES_MAX * (9 + 7))
#define SUPER_SPEED 5000

typedef struct UsbSpec {
        const char *port; /* "0": the root hub */
        const char *manufacturer, *product, *serial, *driver;
        int vendor, product_id, class, protocol;
        int bus, number;
        const char *speed;
        int peer_bus; /* of the controller's other root hub; 0 for none */
        json_t *interfaces; /* NULL: one, of the class, protocol and driver above */
} UsbSpec;

static size_t interface_count(const UsbSpec *u) {
        size_t n = json_array_size(u->interfaces);

        return n == 0 ? 1 : n > INTERFACES_MAX ? INTERFACES_MAX : n;
}

/* The spec of one interface: as the whole, with what its own entry says. */
static UsbSpec interface_spec(const UsbSpec *u, size_t index) {
        json_t *entry = json_array_get(u->interfaces, index);
        UsbSpec one = *u;

        if (entry) {
                one.class = json_number(entry, "class", 0xff);
                one.protocol = json_number(entry, "protocol", 0);
                one.driver = json_text(entry, "driver", NULL);
        }
        return one;
}

/* Returns how many bytes there are. */
static size_t build_descriptors(const UsbSpec *u, uint8_t ret[static DESCRIPTORS_SIZE]) {
        int device_class = u->class == CLASS_HUB ? CLASS_HUB : 0;
        size_t n = interface_count(u), total = 9 + n * 16, at = DEVICE_DESCRIPTOR_SIZE + 9;
        /* clang-format off */
        const uint8_t bytes[DEVICE_DESCRIPTOR_SIZE + 9] = {
                /* device: USB 2.10, one configuration, strings 1 to 3 */
                18, 1, 0x10, 0x02, (uint8_t) device_class, 0, device_class ? 1 : 0, 64,
                (uint8_t) u->vendor, (uint8_t) (u->vendor >> 8),
                (uint8_t) u->product_id, (uint8_t) (u->product_id >> 8),
                0x10, 0x01, 1, 2, (uint8_t) (u->serial ? 3 : 0), 1,
                /* configuration 1: remote wakeup, 100 mA */
                9, 2, (uint8_t) total, 0, (uint8_t) n, 1, 0, 0xe0, 50,
        };
        /* clang-format on */

        memcpy(ret, bytes, sizeof(bytes));
        for (size_t i = 0; i < n; i++, at += 16) {
                UsbSpec one = interface_spec(u, i);
                const uint8_t interface[16] = {
                        9, 4, (uint8_t) i, 0, 1, (uint8_t) one.class, 0, (uint8_t) one.protocol, 0,
                        7, 5, (uint8_t) (0x81 + i), 3, 8, 0, 10,
                };

                memcpy(ret + at, interface, sizeof(interface));
        }
        return at;
}

static void write_strings(Tree *t, const char *path, const UsbSpec *u) {
        int device_class = u->class == CLASS_HUB ? CLASS_HUB : 0;

        tree_attribute(t, path, "idVendor", "%04x\n", u->vendor);
        tree_attribute(t, path, "idProduct", "%04x\n", u->product_id);
        tree_attribute(t, path, "bcdDevice", "0110\n");
        tree_attribute(t, path, "bDeviceClass", "%02x\n", device_class);
        tree_attribute(t, path, "bDeviceSubClass", "00\n");
        tree_attribute(t, path, "bDeviceProtocol", "%02x\n", device_class ? 1 : 0);
        tree_attribute(t, path, "bNumConfigurations", "1\n");
        tree_attribute(t, path, "bNumInterfaces", "%2zu\n", interface_count(u));
        tree_attribute(t, path, "bMaxPacketSize0", "64\n");
        tree_attribute(t, path, "bmAttributes", "e0\n");
        tree_attribute(t, path, "bMaxPower", "100mA\n");
        tree_put(t, path, "bConfigurationValue", 0644, "1\n");
        tree_put(t, path, "authorized", 0644, "1\n");
        if (!string_equal(u->port, "0"))
                tree_put(t, path, "remove", 0200, "%s", "");
        tree_attribute(t, path, "busnum", "%d\n", u->bus);
        tree_attribute(t, path, "devnum", "%d\n", u->number);
        tree_attribute(t, path, "devpath", "%s\n", u->port);
        tree_attribute(t, path, "speed", "%s\n", u->speed);
        tree_attribute(t, path, "version", " 2.10\n");
        tree_attribute(t, path, "maxchild", "%d\n", u->class == CLASS_HUB ? 8 : 0);
        tree_attribute(t, path, "removable", "%s\n", string_equal(u->port, "0") ? "unknown" : "removable");
        tree_attribute(t, path, "urbnum", "12\n");
        if (u->manufacturer)
                tree_attribute(t, path, "manufacturer", "%s\n", u->manufacturer);
        if (u->product)
                tree_attribute(t, path, "product", "%s\n", u->product);
        if (u->serial)
                tree_attribute(t, path, "serial", "%s\n", u->serial);
}

static void link_driver(Tree *t, const char *path, const char *driver) {
        Path p;

        tree_symlink(t, path_make(&p, "sys/bus/usb/drivers/%s", driver), path, "driver");
        tree_symlink(t, path, p.s, path_name(path));
}

static void write_interface(Tree *t, const char *device, const UsbSpec *u, int index) {
        int device_class = u->class == CLASS_HUB ? CLASS_HUB : 0;
        char modalias[128], driver[64] = "";
        Path p;

        if (string_equal(u->port, "0"))
                path_make(&p, "%s/%d-0:1.0", device, u->bus);
        else
                path_make(&p, "%s/%s:1.%d", device, path_name(device), index);
        (void) snprintf(modalias, sizeof(modalias),
                        "usb:v%04Xp%04Xd0110dc%02Xdsc00dp%02Xic%02Xisc00ip%02Xin%02X", u->vendor,
                        u->product_id, device_class, device_class ? 1 : 0, u->class, u->protocol, index);
        if (u->driver)
                (void) snprintf(driver, sizeof(driver), "DRIVER=%s\n", u->driver);

        tree_make_directory(t, p.s);
        tree_attribute(t, p.s, "bInterfaceNumber", "%02x\n", index);
        tree_attribute(t, p.s, "bAlternateSetting", " 0\n");
        tree_attribute(t, p.s, "bNumEndpoints", "01\n");
        tree_attribute(t, p.s, "bInterfaceClass", "%02x\n", u->class);
        tree_attribute(t, p.s, "bInterfaceSubClass", "00\n");
        tree_attribute(t, p.s, "bInterfaceProtocol", "%02x\n", u->protocol);
        tree_put(t, p.s, "authorized", 0644, "1\n");
        tree_attribute(t, p.s, "modalias", "%s\n", modalias);
        tree_put(
                t, p.s, "uevent", 0644,
                "DEVTYPE=usb_interface\n%sPRODUCT=%x/%x/110\nTYPE=%d/0/%d\nINTERFACE=%d/0/%d\nMODALIAS=%s\n",
                driver, u->vendor, u->product_id, device_class, device_class ? 1 : 0, u->class, u->protocol,
                modalias);
        tree_symlink(t, "sys/bus/usb", p.s, "subsystem");
        if (u->driver) {
                link_driver(t, p.s, u->driver);
                /* For the fake kernel: which driver takes this interface by itself. */
                tree_attribute(t, "kernel/usb", path_name(p.s), "%s\n", u->driver);
                if (string_equal(u->driver, "usbhid"))
                        input_device_write(t, p.s, u->vendor, u->product_id, u->protocol, u->manufacturer, u->product,
                                           u->serial);
        }
}

/* "1-5:1.0/1-5-port2" below the hub 1-5, "1-0:1.0/usb1-port5" below the root hub usb1. */
static void port_path(Path *p, const char *hub, int bus, const char *number) {
        const char *name = path_name(hub);

        if (string_starts(name, "usb"))
                path_make(p, "%s/%d-0:1.0/usb%d-port%s", hub, bus, bus, number);
        else
                path_make(p, "%s/%s:1.0/%s-port%s", hub, name, name, number);
}

static void make_port(Tree *t, const char *port, const char *number) {
        if (tree_has(t, port, "connect_type"))
                return;
        tree_make_directory(t, port);
        tree_attribute(t, port, "connect_type", "hotplug\n");
        tree_attribute(t, port, "disable", "0\n");
        tree_attribute(t, port, "location", "0x%08x\n", (unsigned) (number[0] - '0'));
}

/* Ports exist for where devices are described. Those of the two root hubs of a controller are peers. */
static void write_port(Tree *t, const char *path, const UsbSpec *u) {
        const char *dot = strrchr(u->port, '.'), *number = dot ? dot + 1 : u->port;
        Path hub, port, peer_hub, peer;

        path_parent(&hub, path);
        port_path(&port, hub.s, u->bus, number);
        make_port(t, port.s, number);
        tree_symlink(t, port.s, path, "port");
        if (dot || u->peer_bus == 0)
                return;
        path_parent(&peer_hub, hub.s);
        path_make(&hub, "%s/usb%d", peer_hub.s, u->peer_bus);
        port_path(&peer, hub.s, u->peer_bus, number);
        make_port(t, peer.s, number);
        if (!tree_has(t, port.s, "peer"))
                tree_symlink(t, peer.s, port.s, "peer");
        if (!tree_has(t, peer.s, "peer"))
                tree_symlink(t, port.s, peer.s, "peer");
}

static void usb_device_write(Tree *t, const char *path, const UsbSpec *u, const char *pci) {
        int device_class = u->class == CLASS_HUB ? CLASS_HUB : 0;
        uint8_t descriptors[DESCRIPTORS_SIZE];
        char name[64];
        size_t size;
        Path p;

        tree_make_directory(t, path);
        write_strings(t, path, u);
        size = build_descriptors(u, descriptors);
        tree_share(t, path_make(&p, "%s/descriptors", path), descriptors, size);
        /* The node is a plain file: a device node of this number would lead to a device of the machine,
         * if anywhere. */
        tree_attribute(t, path, "dev", "0:0\n");
        tree_put(t, path, "uevent", 0644,
                 "MAJOR=0\nMINOR=0\nDEVNAME=bus/usb/%03d/%03d\nDEVTYPE=usb_device\nDRIVER=usb\nPRODUCT=%x/"
                 "%x/110\n"
                 "TYPE=%d/0/%d\nBUSNUM=%03d\nDEVNUM=%03d\n",
                 u->bus, u->number, u->vendor, u->product_id, device_class, device_class ? 1 : 0, u->bus,
                 u->number);
        tree_symlink(t, "sys/bus/usb", path, "subsystem");
        link_driver(t, path, "usb");

        tree_make_directory(t, path_make(&p, "dev/bus/usb/%03d", u->bus));
        tree_write(t, path_make(&p, "dev/bus/usb/%03d/%03d", u->bus, u->number), 0664, descriptors, size);
        if (kobject_udev_name(t, path, name, sizeof(name)) >= 0)
                tree_put(t, "run/udev/data", name, 0644,
                         "I:2000000\nE:ID_BUS=usb\nE:ID_VENDOR_ID=%04x\nE:ID_MODEL_ID=%04x\nE:ID_VENDOR=%s\n"
                         "E:ID_MODEL=%s\n%s%s%sE:ID_PATH=pci-%s-usb-0:%s\nV:1\n",
                         u->vendor, u->product_id, u->manufacturer ? u->manufacturer : "",
                         u->product ? u->product : "", u->serial ? "E:ID_SERIAL_SHORT=" : "",
                         u->serial ? u->serial : "", u->serial ? "\n" : "", pci, u->port);
        for (size_t i = 0; i < interface_count(u); i++) {
                UsbSpec one = interface_spec(u, i);

                write_interface(t, path, &one, (int) i);
        }
        if (!string_equal(u->port, "0"))
                write_port(t, path, u);
}

/* A device on port 1.4 lies in the directory of the hub on port 1. */
static void device_path(Path *p, const char *root_hub, int bus, const char *port) {
        path_make(p, "%s", root_hub);
        for (const char *c = port;; c++) {
                Path up = *p;

                if (*c != '.' && *c != '\0')
                        continue;
                path_make(p, "%s/%d-%.*s", up.s, bus, (int) (c - port), port);
                if (*c == '\0')
                        return;
        }
}

static bool has_super_speed(const PciSpec *spec) {
        json_t *entry;
        size_t i;

        json_array_foreach(spec->usb, i, entry) {
                if (atoi(json_text(entry, "speed", "480")) >= SUPER_SPEED)
                        return true;
        }
        return false;
}

void usb_bus_write(Tree *t, const char *controller, const PciSpec *spec, Counters *counters) {
        UsbSpec hub = {
                .port = "0",
                .manufacturer = "Linux 6.1.0 xhci-hcd",
                .product = "xHCI Host Controller",
                .serial = spec->bdf,
                .driver = "hub",
                .vendor = 0x1d6b,
                .product_id = 2,
                .class = CLASS_HUB,
                .bus = ++counters->usb_bus,
                .number = 1,
                .speed = "480",
        };
        int super_bus = has_super_speed(spec) ? ++counters->usb_bus : 0;
        UsbSpec super_hub = hub;
        char last[32];
        json_t *entry;
        size_t i;
        Path root, super_root, p;

        path_make(&root, "%s/usb%d", controller, hub.bus);
        usb_device_write(t, root.s, &hub, spec->bdf);
        if (super_bus > 0) {
                super_hub.bus = super_bus;
                super_hub.product_id = 3;
                super_hub.speed = "5000";
                path_make(&super_root, "%s/usb%d", controller, super_bus);
                usb_device_write(t, super_root.s, &super_hub, spec->bdf);
        }
        json_array_foreach(spec->usb, i, entry) {
                bool super = atoi(json_text(entry, "speed", "480")) >= SUPER_SPEED;
                UsbSpec u = {
                        .port = json_text(entry, "port", "1"),
                        .manufacturer = json_text(entry, "manufacturer", NULL),
                        .product = json_text(entry, "name", NULL),
                        .serial = json_text(entry, "serial", NULL),
                        .driver = json_text(entry, "driver", NULL),
                        .bus = super ? super_bus : hub.bus,
                        .peer_bus = super_bus == 0 ? 0 : super ? hub.bus : super_bus,
                        .interfaces = json_object_get(entry, "interfaces"),
                        .number = (int) i + 2,
                        .class = json_number(entry, "class", 0xff),
                        .protocol = json_number(entry, "protocol", 0),
                        .speed = json_text(entry, "speed", "480"),
                };
                uint64_t id;

                if (string_to_u64(json_text(entry, "vendor", ""), 16, &id) >= 0)
                        u.vendor = (int) id;
                if (string_to_u64(json_text(entry, "product", ""), 16, &id) >= 0)
                        u.product_id = (int) id;
                device_path(&p, super ? super_root.s : root.s, u.bus, u.port);
                usb_device_write(t, p.s, &u, spec->bdf);
        }
        for (int bus = hub.bus; bus <= (super_bus > 0 ? super_bus : hub.bus); bus++) {
                (void) snprintf(last, sizeof(last), "last-%d", bus);
                tree_put(t, "kernel/usb", last, 0644, "%zu\n", json_array_size(spec->usb) + 1);
        }
}
