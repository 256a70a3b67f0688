/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "lib/parse.h"
#include "pci-class.h"
#include "pci.h"

int pci_read_number(PtContext *ctx, const PtDevice *device, const char *name, uint32_t max, int32_t *ret) {
        char text[PCI_ATTRIBUTE_SIZE];
        uint32_t value;
        ssize_t n;
        int r;

        n = ctx->services->read_attribute(ctx, device, name, text, sizeof(text));
        if (n < 0)
                return (int) n;
        r = parse_hex32(text, &value);
        if (r < 0)
                return -EINVAL;
        if (value > max)
                return -EINVAL;
        *ret = (int32_t) value;
        return 0;
}

/* A missing or odd attribute is not an error of the op: the device is shown with what it has, and check()
 * blocks it. Only what the service itself reports (no memory, for one) ends the op. */
static int read_number_or_unknown(PtContext *ctx, const PtDevice *device, const char *name, uint32_t max,
                                  int32_t *ret) {
        int r;

        r = pci_read_number(ctx, device, name, max, ret);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                *ret = -1;
        return 0;
}

int pci_function_load(PtContext *ctx, const PtDevice *device, PciFunction *ret) {
        PciFunction f = { .device = device };
        const struct {
                const char *name;
                uint32_t max;
                int32_t *value;
        } numbers[] = {
                { "vendor", 0xffff, &f.vendor },
                { "device", 0xffff, &f.product },
                { "subsystem_vendor", 0xffff, &f.subsystem_vendor },
                { "subsystem_device", 0xffff, &f.subsystem_product },
                { "class", 0xffffff, &f.class_code },
                { "revision", 0xff, &f.revision },
        };
        char text[PCI_ATTRIBUTE_SIZE];
        uint8_t bus, slot, number;
        uint32_t domain;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                r = read_number_or_unknown(ctx, device, numbers[i].name, numbers[i].max, numbers[i].value);
                if (r < 0)
                        return r;
        }

        r = parse_bdf(device->sysname, &domain, &bus, &slot, &number);
        if (r < 0)
                return r;
        f.on_root_bus = bus == 0;
        f.bridge_header =
                ctx->services->read_attribute(ctx, device, "secondary_bus_number", text, sizeof(text)) >= 0;
        /* What we know nothing of is never offered. */
        if (f.vendor < 0 || f.product < 0 || f.class_code < 0)
                f.role = PT_ROLE_PLATFORM;
        else
                f.role = pci_class_role((uint32_t) f.class_code, f.vendor, f.bridge_header, f.on_root_bus);
        *ret = f;
        return 0;
}

int pci_read_physfn(PtContext *ctx, const PtDevice *device, char ret[static PCI_ADDRESS_SIZE]) {
        ssize_t n;

        n = ctx->services->read_link(ctx, device, "physfn", ret, PCI_ADDRESS_SIZE);
        return n < 0 ? (int) n : 0;
}

static void count_entry(void *userdata, const char *entry) {
        const char *index = startswith(entry, "virtfn");
        uint32_t number;

        if (index && parse_uint32(index, &number) >= 0)
                (*(uint32_t *) userdata)++;
}

#define VFS_SHOWN_MAX 4u

/* The first few addresses; links are numbered from 0 without gaps. */
static void read_vf_addresses(PtContext *ctx, const PtDevice *device, uint32_t vfs, char *ret, size_t size) {
        size_t length = 0;
        uint32_t i;

        ret[0] = '\0';
        for (i = 0; i < MIN_OF(vfs, VFS_SHOWN_MAX); i++) {
                char link[32], address[PCI_ADDRESS_SIZE];
                int n;

                (void) snprintf(link, sizeof(link), "virtfn%u", i);
                if (ctx->services->read_link(ctx, device, link, address, sizeof(address)) < 0)
                        break;
                n = snprintf(ret + length, size - length, "%s%s", i > 0 ? ", " : "", address);
                if (n < 0 || (size_t) n >= size - length)
                        break;
                length += (size_t) n;
        }
        if (vfs > i)
                (void) snprintf(ret + length, size - length, ", …");
}

int pci_count_vfs(PtContext *ctx, const PtDevice *device, uint32_t *ret_total, uint32_t *ret_vfs,
                  char *ret_addresses, size_t size) {
        uint32_t total = 0, vfs = 0;
        char text[PCI_ATTRIBUTE_SIZE];
        ssize_t n;
        int r;

        n = ctx->services->read_attribute(ctx, device, "sriov_totalvfs", text, sizeof(text));
        /* Most functions have no SR-IOV capability: their directory need not be listed. */
        if (n >= 0) {
                (void) parse_uint32(text, &total);
                r = ctx->services->list(ctx, device, ".", count_entry, &vfs);
                if (r < 0)
                        return r;
        }
        if (ret_addresses)
                read_vf_addresses(ctx, device, vfs, ret_addresses, size);
        *ret_total = total;
        *ret_vfs = vfs;
        return 0;
}

int pci_read_reset_methods(PtContext *ctx, const PtDevice *device, char *ret, size_t size) {
        ssize_t n;

        n = ctx->services->read_attribute(ctx, device, "reset_method", ret, size);
        if (n == -ENOENT) {
                ret[0] = '\0';
                return 0;
        }
        return n < 0 ? (int) n : 0;
}

/* Up to the colon before the slot. */
static bool same_bus(const PtDevice *a, const PtDevice *b) {
        const char *colon = strrchr(a->sysname, ':');

        return colon && strncmp(a->sysname, b->sysname, (size_t) (colon - a->sysname) + 1) == 0;
}

/* The kernel lists "bus" where it refuses it: other functions are beside it. */
static bool is_alone(const PtDevice *device, const PtRequest *request) {
        for (const PtDevice *const *d = request ? request->bundle : NULL; d && *d; d++)
                if (!streq((*d)->id, device->id) && streq((*d)->subsystem, "pci") && same_bus(*d, device))
                        return false;
        return true;
}

bool pci_can_reset(PtContext *ctx, const PtDevice *device, const PtRequest *request) {
        char methods[PCI_ATTRIBUTE_SIZE];

        if (pci_read_reset_methods(ctx, device, methods, sizeof(methods)) < 0 || isempty(methods))
                return false;
        return !streq(methods, "bus") || is_alone(device, request);
}

bool pci_demanded_reset(PtContext *ctx, char ret[static PCI_RESET_METHOD_SIZE]) {
        pci_setting_text(ctx, "reset-method", "any", ret, PCI_RESET_METHOD_SIZE);
        return !streq(ret, "any");
}

bool pci_can_reset_by(PtContext *ctx, const PtDevice *device, const PtRequest *request, const char *method) {
        char methods[PCI_ATTRIBUTE_SIZE], *word, *state = NULL;

        if (pci_read_reset_methods(ctx, device, methods, sizeof(methods)) < 0)
                return false;
        for (word = strtok_r(methods, " ", &state); word; word = strtok_r(NULL, " ", &state))
                if (streq(word, method))
                        return !streq(method, "bus") || is_alone(device, request);
        return false;
}

bool pci_same_slot(const PtDevice *a, const PtDevice *b) {
        const char *dot = strrchr(a->sysname, '.');

        return dot && strncmp(a->sysname, b->sysname, (size_t) (dot - a->sysname) + 1) == 0;
}

int pci_function_number(const PtDevice *device) {
        uint8_t bus, slot, number;
        uint32_t domain;
        int r;

        r = parse_bdf(device->sysname, &domain, &bus, &slot, &number);
        return r < 0 ? r : number;
}

void pci_setting_text(PtContext *ctx, const char *name, const char *fallback, char *ret, size_t size) {
        PtValue value;

        if (ctx->services->get_setting(ctx, name, &value) < 0 || value.type != PT_STRING || isempty(value.s))
                (void) snprintf(ret, size, "%s", fallback);
        else
                (void) snprintf(ret, size, "%s", value.s);
}

bool pci_setting_bool(PtContext *ctx, const char *name, bool fallback) {
        PtValue value;

        if (ctx->services->get_setting(ctx, name, &value) < 0 || value.type != PT_BOOL)
                return fallback;
        return value.b;
}
