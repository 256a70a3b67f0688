/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "evidence.h"

#include <limits.h>
#include <stdio.h>

#include "lib/limits.h"
#include "lib/parse.h"

#define USB_DEVICES "/sys/bus/usb/devices"
#define KEYBOARDS_MAX 256u
/* Keys 1 to 31, Escape to S: what udev calls a keyboard, and no power button, remote control or headset has. */
#define KEYBOARD_KEYS UINT64_C(0xfffffffe)

/* ---- devices that a management controller pretends to be ---- */

static const struct {
        uint32_t vendor, product;
        const char *what;
} controllers[] = {
        { 0x046b, 0xff01, "AMI virtual device of the management controller" },
        { 0x046b, 0xff10, "AMI virtual keyboard and mouse of the management controller" },
        { 0x046b, 0xff20, "AMI virtual CD of the management controller" },
        { 0x046b, 0xffb0, "AMI virtual device of the management controller" },
        { 0x0557, 0x2221, "ATEN virtual device of the management controller" },
        { 0x0557, 0x2419, "ATEN virtual device of the management controller" },
        { 0x0624, 0x0248, "Avocent virtual device of the management controller" },
        { 0x0624, 0x0249, "Avocent virtual device of the management controller" },
        { 0x0624, 0x0251, "Avocent virtual device of the management controller" },
        { 0x0624, 0x0252, "Avocent virtual device of the management controller" },
        { 0x0624, 0x0402, "Avocent virtual device of the management controller" },
        { 0x0624, 0x0403, "Avocent virtual device of the management controller" },
        { 0x03f0, 0x1027, "iLO virtual device of the management controller" },
        { 0x03f0, 0x1327, "iLO virtual device of the management controller" },
};

/* The gadget of any Linux: OpenBMC's, but a telephone's or a test's as well. */
#define GADGET_VENDOR 0x1d6bu
#define GADGET_PRODUCT 0x0104u

typedef struct Usb {
        Evidence *evidence;
        const Sysfs *sysfs;
        uint32_t host_vendor, host_product; /* of the network interface to the controller; 0 for none */
        bool has_controller;                /* there is one that IPMI reaches */
        int error;
} Usb;

static bool read_hex(const Sysfs *sysfs, const char *device, const char *attribute, uint32_t *ret) {
        char path[sizeof(USB_DEVICES) + 2 * NAME_MAX], text[16];

        (void) snprintf(path, sizeof(path), USB_DEVICES "/%s/%s", device, attribute);
        return sysfs_read(sysfs, path, text, sizeof(text)) > 0 && parse_hex32(text, ret) >= 0;
}

static bool names_controller(const Sysfs *sysfs, const char *device) {
        static const char *const attributes[] = { "manufacturer", "product" }, *const words[] = { "BMC", "Virtual Media",
                                                                                                "virtual_input" };
        char path[sizeof(USB_DEVICES) + 2 * NAME_MAX], text[256];

        for (size_t i = 0; i < ELEMENTSOF(attributes); i++) {
                (void) snprintf(path, sizeof(path), USB_DEVICES "/%s/%s", device, attributes[i]);
                if (sysfs_read(sysfs, path, text, sizeof(text)) <= 0)
                        continue;
                for (size_t j = 0; j < ELEMENTSOF(words); j++)
                        if (strcasestr(text, words[j]))
                                return true;
        }
        return false;
}

/* What it is if a management controller pretends to be it, else NULL. */
static const char *controller_device(const Usb *usb, const char *device, uint32_t vendor, uint32_t product) {
        for (size_t i = 0; i < ELEMENTSOF(controllers); i++)
                if (controllers[i].vendor == vendor && controllers[i].product == product)
                        return controllers[i].what;
        if (vendor == usb->host_vendor && product == usb->host_product && vendor != 0)
                return "network interface to the management controller (SMBIOS)";
        if (vendor == GADGET_VENDOR && product == GADGET_PRODUCT &&
            (usb->has_controller || names_controller(usb->sysfs, device)))
                return "virtual device of the management controller";
        return NULL;
}

static int add_usb(Usb *usb, const char *device, EvidenceVerdict verdict, const char *code, const char *const *chain) {
        char link[sizeof(USB_DEVICES) + NAME_MAX + 1];
        _cleanup_free_ char *path = NULL;
        int r;

        (void) snprintf(link, sizeof(link), USB_DEVICES "/%s", device);
        r = evidence_resolve(usb->evidence, link, &path);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return evidence_add(usb->evidence, verdict, path, code, chain);
}

/* An interface that a program holds through usbfs: a UPS, a dongle, a card reader; or a guest. */
static int judge_interface(Usb *usb, const char *interface) {
        char link[sizeof(USB_DEVICES "//driver") + NAME_MAX], driver[64];
        const char *const chain[] = { "claimed by a program (usbfs)", interface, NULL };

        (void) snprintf(link, sizeof(link), USB_DEVICES "/%s/driver", interface);
        if (sysfs_link(usb->sysfs, link, driver, sizeof(driver)) < 0 || !streq(driver, "usbfs"))
                return 0;
        return add_usb(usb, interface, EVIDENCE_IN_USE, "claimed", chain);
}

static int judge_usb(Usb *usb, const char *device) {
        static const char *const hub_chain[] = { "USB hub", NULL };
        uint32_t vendor, product, class;
        const char *what;
        int r = 0;

        if (read_hex(usb->sysfs, device, "bDeviceClass", &class) && class == 0x09)
                r = add_usb(usb, device, EVIDENCE_FORBIDDEN, "hub", hub_chain);
        if (r < 0 || !read_hex(usb->sysfs, device, "idVendor", &vendor) ||
            !read_hex(usb->sysfs, device, "idProduct", &product))
                return r;
        what = controller_device(usb, device, vendor, product);
        return what ? add_usb(usb, device, EVIDENCE_CRITICAL, "bmc-device", (const char *const[]) { what, NULL }) : 0;
}

static void take_usb(void *userdata, const char *entry) {
        Usb *usb = userdata;

        if (usb->error >= 0)
                usb->error = strchr(entry, ':') ? judge_interface(usb, entry) : judge_usb(usb, entry);
}

static void count(void *userdata, const char *entry) {
        ++*(size_t *) userdata;
}

/* SMBIOS type 42, "management controller host interface": byte 4 is the type of the interface, 0x40 a network one; byte 6 what
 * device it is, 2 a USB one, 4 the same in its second form, each followed by vendor and product (DMTF DSP0270). */
static void take_dmi(void *userdata, const char *entry) {
        char path[sizeof("sys/firmware/dmi/entries//raw") + NAME_MAX];
        Usb *usb = userdata;
        uint8_t raw[64];
        size_t at;
        ssize_t n;

        if (!startswith(entry, "42-"))
                return;
        (void) snprintf(path, sizeof(path), "sys/firmware/dmi/entries/%s/raw", entry);
        n = sysfs_pread_at(usb->sysfs->root_fd, path, raw, sizeof(raw), 0);
        if (n < 12 || raw[4] != 0x40 || (raw[6] != 2 && raw[6] != 4))
                return;
        at = raw[6] == 2 ? 7 : 8;
        usb->host_vendor = (uint32_t) (raw[at] | raw[at + 1] << 8);
        usb->host_product = (uint32_t) (raw[at + 2] | raw[at + 3] << 8);
}

static int judge_all_usb(Evidence *evidence) {
        Usb usb = { .evidence = evidence, .sysfs = evidence_sysfs(evidence) };
        size_t n = 0;

        (void) sysfs_list(usb.sysfs, "/sys/class/ipmi", count, &n);
        usb.has_controller = n > 0;
        (void) sysfs_list(usb.sysfs, "/sys/firmware/dmi/entries", take_dmi, &usb);
        (void) sysfs_list(usb.sysfs, USB_DEVICES, take_usb, &usb);
        return usb.error;
}

/* ---- keyboards ---- */

typedef struct Keyboards {
        Evidence *evidence;
        struct Keyboard {
                char *path;
                char name[128];
                bool on_usb;
                bool pretended; /* by a management controller */
        } items[KEYBOARDS_MAX];
        size_t n_items;
        int error;
} Keyboards;

/* Words of the machine's size, the highest first: "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe". */
static bool is_keyboard(const Sysfs *sysfs, const char *input) {
        char path[sizeof("/sys/class/input//capabilities/key") + NAME_MAX], text[1024], *last, *end;
        uint64_t keys;

        (void) snprintf(path, sizeof(path), "/sys/class/input/%s/capabilities/key", input);
        if (sysfs_read(sysfs, path, text, sizeof(text)) <= 0)
                return false;
        last = strrchr(text, ' ');
        last = last ? last + 1 : text;
        errno = 0;
        keys = strtoull(last, &end, 16);
        return errno == 0 && *end == '\0' && (keys & KEYBOARD_KEYS) == KEYBOARD_KEYS;
}

/* The USB device above: the last component "1-2.3" of the path, whose interface "1-2.3:1.0" follows. */
static bool usb_above(const char *path, char *buffer, size_t size) {
        const char *colon = NULL, *begin;

        for (const char *p = path; (p = strchr(p, '/')); p++) {
                size_t n = strcspn(p + 1, "/");
                const char *c = memchr(p + 1, ':', n);

                if (c && memchr(p + 1, '-', (size_t) (c - p)) && !startswith(p + 1, "0000:"))
                        colon = c;
        }
        if (!colon)
                return false;
        for (begin = colon; begin > path && begin[-1] != '/'; begin--)
                ;
        if ((size_t) (colon - begin) >= size)
                return false;
        memcpy(buffer, begin, (size_t) (colon - begin));
        buffer[colon - begin] = '\0';
        return true;
}

static bool is_pretended(const Sysfs *sysfs, const char *device) {
        const Usb usb = { .sysfs = sysfs };
        uint32_t vendor, product;

        return read_hex(sysfs, device, "idVendor", &vendor) && read_hex(sysfs, device, "idProduct", &product) &&
               controller_device(&usb, device, vendor, product);
}

static void take_input(void *userdata, const char *entry) {
        char path[sizeof("/sys/class/input//name") + NAME_MAX], device[64];
        Keyboards *keyboards = userdata;
        const Sysfs *sysfs = evidence_sysfs(keyboards->evidence);
        struct Keyboard *keyboard = &keyboards->items[keyboards->n_items];
        int r;

        if (keyboards->error < 0 || keyboards->n_items >= KEYBOARDS_MAX || !startswith(entry, "input") ||
            !is_keyboard(sysfs, entry))
                return;
        *keyboard = (struct Keyboard) {};
        (void) snprintf(path, sizeof(path), "/sys/class/input/%s", entry);
        r = evidence_resolve(keyboards->evidence, path, &keyboard->path);
        if (r < 0) {
                keyboards->error = r == -ENOMEM ? r : 0;
                return;
        }
        (void) snprintf(path, sizeof(path), "/sys/class/input/%s/name", entry);
        if (sysfs_read(sysfs, path, keyboard->name, sizeof(keyboard->name)) <= 0)
                (void) snprintf(keyboard->name, sizeof(keyboard->name), "%s", entry);
        keyboard->on_usb = usb_above(keyboard->path, device, sizeof(device));
        keyboard->pretended = keyboard->on_usb && is_pretended(sysfs, device);
        keyboards->n_items++;
}

/* Keyboards that a program made (uinput) type nothing when the screen says "login:". */
static bool is_real(const struct Keyboard *keyboard) {
        return !keyboard->pretended && !startswith(keyboard->path, "/devices/virtual/");
}

/* A device with several interfaces is several keyboards to the kernel and one to people. */
static bool same_keyboard(const struct Keyboard *a, const struct Keyboard *b) {
        char one[64], other[64];

        return a == b || (a->on_usb && b->on_usb && usb_above(a->path, one, sizeof(one)) &&
                          usb_above(b->path, other, sizeof(other)) && streq(one, other));
}

static int judge_keyboard(Keyboards *keyboards, const struct Keyboard *keyboard) {
        const char *chain[] = { "the only keyboard", keyboard->name, NULL };
        bool only = true;

        for (size_t i = 0; i < keyboards->n_items && only; i++)
                only = !is_real(&keyboards->items[i]) || same_keyboard(&keyboards->items[i], keyboard);
        if (only)
                return evidence_add(keyboards->evidence, EVIDENCE_CRITICAL, keyboard->path, "keyboard", chain);
        chain[0] = "one of several keyboards";
        return evidence_add(keyboards->evidence, EVIDENCE_IN_USE, keyboard->path, "keyboard", chain);
}

static int judge_keyboards(Evidence *evidence) {
        _cleanup_free_ Keyboards *keyboards = calloc(1, sizeof(*keyboards));
        int r;

        if (!keyboards)
                return -ENOMEM;
        keyboards->evidence = evidence;
        (void) sysfs_list(evidence_sysfs(evidence), "/sys/class/input", take_input, keyboards);
        r = keyboards->error;
        for (size_t i = 0; i < keyboards->n_items; i++) {
                if (r >= 0 && is_real(&keyboards->items[i]))
                        r = judge_keyboard(keyboards, &keyboards->items[i]);
        }
        for (size_t i = 0; i < keyboards->n_items; i++)
                free(keyboards->items[i].path);
        return r;
}

int evidence_input(Evidence *evidence) {
        int r = judge_all_usb(evidence);

        return r < 0 ? r : judge_keyboards(evidence);
}
