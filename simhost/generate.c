/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generate.h"

#include "util.h"

/* The host is cut from a repeating block, ordered so that a small host has variety too:
 *
 *   root port + GPU with four functions (3D, audio, xHCI, UCSI) in one IOMMU group         5
 *   root port + NVMe disk                                                                  2
 *   root port + NIC with 31 VFs, each in its own group                                    33
 *   12 x (root port + NVMe, NIC, accelerator, serial, SATA or Fibre Channel controller)   24
 *
 * 15 root ports a block, 17 blocks to a PCI domain: bus 0 holds up to 255 root ports beside the host
 * bridge. */

#define PORTS_PER_DOMAIN 250
#define VFS_PER_NIC 31
#define USB_PER_BUS 60

typedef struct Generator {
        json_t *devices;
        uint64_t random;
        size_t left;
        unsigned domain, port;
        unsigned serial;
        json_t *usb_controllers;
} Generator;

/* splitmix64, by Sebastiano Vigna, in the public domain */
static uint64_t next_random(Generator *g) {
        uint64_t z = g->random += 0x9e3779b97f4a7c15ULL;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        return z ^ z >> 31;
}

static json_t *add(Generator *g, const char *type, unsigned bus, unsigned device, unsigned function) {
        char bdf[PCI_ADDRESS_LENGTH + 1];
        PciAddress a = {
                .domain = g->domain,
                .bus = (uint8_t) bus,
                .device = (uint8_t) device,
                .function = (uint8_t) function,
        };
        json_t *o = json_object();

        pci_address_format(&a, bdf);
        json_object_set_new(o, "bdf", json_string(bdf));
        json_object_set_new(o, "type", json_string(type));
        json_object_set_new(o, "numa", json_integer(bus / 16 % 2));
        json_array_append_new(g->devices, o);
        g->left--;
        return o;
}

static void add_serial(Generator *g, json_t *device) {
        uint64_t r = next_random(g);

        json_object_set_new(device, "serial",
                            json_sprintf("%02x-%02x-%02x-ff-ff-%02x-%02x-%02x", (unsigned) (r >> 40 & 0xff),
                                         (unsigned) (r >> 32 & 0xff), (unsigned) (r >> 24 & 0xff),
                                         (unsigned) (r >> 16 & 0xff), (unsigned) (r >> 8 & 0xff),
                                         (unsigned) (r & 0xff)));
        json_object_set_new(device, "vpd",
                            json_pack("{s:s, s:s, s:o}", "id", "Simulated adapter", "pn", "SIM-0001", "sn",
                                      json_sprintf("SN%06u", ++g->serial)));
}

static void add_net(Generator *g, json_t *device) {
        uint64_t r = next_random(g);

        json_object_set_new(
                device, "net",
                json_pack("[{s:o}]", "mac",
                          json_sprintf("02:%02x:%02x:%02x:%02x:%02x", (unsigned) (r >> 32 & 0xff),
                                       (unsigned) (r >> 24 & 0xff), (unsigned) (r >> 16 & 0xff),
                                       (unsigned) (r >> 8 & 0xff), (unsigned) (r & 0xff))));
}

static json_t *nvidia_types(void) {
        static const int sizes[] = { 1, 2, 3, 4, 6, 8, 12, 24 };
        json_t *types = json_array();

        for (size_t i = 0; i < ELEMENTS(sizes); i++)
                json_array_append_new(
                        types, json_pack("{s:o, s:o, s:o, s:i}", "type", json_sprintf("nvidia-%zu", 590 + i),
                                         "name", json_sprintf("NVIDIA A10-%dQ", sizes[i]), "description",
                                         json_sprintf("num_heads=4, frl_config=60, framebuffer=%dM, "
                                                      "max_resolution=7680x4320, max_instance=%d",
                                                      sizes[i] * 1024, 24 / sizes[i]),
                                         "available", 24 / sizes[i]));
        return types;
}

static void add_gpu(Generator *g, unsigned bus) {
        static const char *const functions[] = { "gpu", "gpu-audio", "gpu-usb", "gpu-ucsi" };
        /* Numbers far above those that are given out in order: four functions have to agree on one. */
        int group = 40000 + (int) (g->domain * 256 + bus);

        for (unsigned i = 0; i < ELEMENTS(functions) && g->left > 0; i++) {
                json_t *o = add(g, functions[i], bus, 0, i);

                json_object_set_new(o, "group", json_integer(group));
                json_object_set_new(o, "multifunction", json_true());
                if (i == 0) {
                        json_object_set_new(o, "mdev", nvidia_types());
                        add_serial(g, o);
                } else if (i == 2)
                        json_array_append(g->usb_controllers, o);
        }
}

static void add_sriov_nic(Generator *g, unsigned bus) {
        json_t *o = add(g, "nic-100g", bus, 0, 0);
        size_t vfs = g->left < VFS_PER_NIC ? g->left : VFS_PER_NIC;

        json_object_set_new(o, "sriov", json_pack("{s:i, s:b}", "vfs", (int) vfs, "vf-net", 0));
        add_serial(g, o);
        add_net(g, o);
        g->left -= vfs;
}

static void add_other(Generator *g, unsigned bus) {
        static const char *const kinds[] = {
                "nvme", "nic", "accelerator", "serial", "sata", "fibre-channel"
        };
        const char *kind = kinds[next_random(g) % ELEMENTS(kinds)];
        json_t *o = add(g, kind, bus, 0, 0);

        if (string_equal(kind, "nic"))
                add_net(g, o);
        if (string_equal(kind, "nvme"))
                json_object_set_new(o, "nvme", json_object());
}

/* One root port and what is in its slot. */
static void add_port(Generator *g, unsigned kind) {
        unsigned bus = ++g->port;
        json_t *o = add(g, "root-port", 0, bus >> 3, bus & 7);

        json_object_set_new(o, "bus", json_integer(bus));
        json_object_set_new(o, "slot", json_sprintf("%u", g->domain * 256 + bus));
        if (kind == 0)
                add_gpu(g, bus);
        else if (kind == 1)
                json_object_set_new(add(g, "nvme", bus, 0, 0), "nvme", json_object());
        else if (kind == 2)
                add_sriov_nic(g, bus);
        else
                add_other(g, bus);
}

static void add_domain(Generator *g) {
        add(g, "host-bridge", 0, 0, 0);
        g->port = 0;
        while (g->left > 1 && g->port < PORTS_PER_DOMAIN)
                add_port(g, g->port % 15);
        g->domain++;
}

static void add_usb(json_t *controllers, size_t n) {
        static const struct {
                const char *vendor, *product, *manufacturer, *name, *driver;
                int class, protocol;
        } kinds[] = {
                { "046d", "c31c", "Logitech", "USB Keyboard", "usbhid", 3, 1 },
                { "0781", "5581", "SanDisk", "Ultra", "usb-storage", 8, 80 },
                { "04e6", "5116", "SCM Microsystems", "SmartCard Reader", NULL, 11, 0 },
                { "0529", "0001", "Aladdin", "HASP dongle", NULL, 255, 255 },
        };
        json_t *controller;
        size_t i, made = 0;

        json_array_foreach(controllers, i, controller) {
                json_t *devices = json_array();

                for (size_t k = 0; k < USB_PER_BUS && made < n; k++, made++) {
                        /* Ports 1 to 8 carry a hub each, of which every one has seven devices. */
                        bool hub = k % 8 == 0;
                        json_t *port = hub ? json_sprintf("%zu", k / 8 + 1)
                                           : json_sprintf("%zu.%zu", k / 8 + 1, k % 8);
                        size_t kind = k % ELEMENTS(kinds);

                        json_array_append_new(
                                devices, hub ? json_pack("{s:o, s:s, s:s, s:s, s:s, s:i, s:s}", "port", port,
                                                         "vendor", "05e3", "product", "0610", "manufacturer",
                                                         "GenesysLogic", "name", "USB2.1 Hub", "class", 9,
                                                         "driver", "hub")
                                             : json_pack("{s:o, s:s, s:s, s:s, s:s, s:i, s:i, s:s?, s:o}",
                                                         "port", port, "vendor", kinds[kind].vendor,
                                                         "product", kinds[kind].product, "manufacturer",
                                                         kinds[kind].manufacturer, "name", kinds[kind].name,
                                                         "class", kinds[kind].class, "protocol",
                                                         kinds[kind].protocol, "driver", kinds[kind].driver,
                                                         "serial", json_sprintf("SN%06zu", made)));
                }
                json_object_set_new(controller, "usb", devices);
        }
        if (made < n)
                complain("only %zu of %zu USB devices: a bus takes %d, and there are too few controllers",
                         made, n, USB_PER_BUS);
}

json_t *generate_host(size_t n_pci, size_t n_usb, uint64_t seed) {
        Generator g = {
                .devices = json_array(),
                .random = seed,
                .left = n_pci,
                .usb_controllers = json_array(),
        };
        json_t *host;

        while (g.left > 0)
                add_domain(&g);
        add_usb(g.usb_controllers, n_usb);
        json_decref(g.usb_controllers);

        host = json_pack("{s:o, s:s, s:{s:I, s:I, s:I}}", "devices", g.devices, "cmdline",
                         "BOOT_IMAGE=/vmlinuz root=/dev/nvme0n1p2 ro intel_iommu=on", "generated", "pci",
                         (json_int_t) n_pci, "usb", (json_int_t) n_usb, "seed", (json_int_t) seed);
        return host;
}
