/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "port.h"

#include <linux/pci_regs.h>

#include "lib/protocol.h"

#define CONFIG_SIZE 256u
#define CAPABILITIES_MAX 48u /* more do not fit, whatever they point at */

static unsigned get16(const uint8_t *config, size_t at) {
        return config[at] | (unsigned) config[at + 1] << 8;
}

static unsigned get32(const uint8_t *config, size_t at) {
        return get16(config, at) | get16(config, at + 2) << 16;
}

/* 0 when there is none. */
static size_t find_express(const uint8_t *config, size_t size) {
        size_t at = config[PCI_CAPABILITY_LIST] & ~3u;

        if (!(get16(config, PCI_STATUS) & PCI_STATUS_CAP_LIST))
                return 0;
        for (size_t i = 0; i < CAPABILITIES_MAX && at >= PCI_STD_HEADER_SIZEOF && at + 2 <= size; i++) {
                if (config[at] == PCI_CAP_ID_EXP)
                        return at + PCI_EXP_SLTSTA + 2 <= size ? at : 0;
                at = config[at + 1] & ~3u;
        }
        return 0;
}

static PortSign sign(unsigned value, unsigned bit) {
        return value & bit ? PORT_YES : PORT_NO;
}

PortState port_state(const uint8_t *config, size_t size) {
        PortState state = { PORT_UNKNOWN, PORT_UNKNOWN };
        unsigned flags, type;
        size_t at;

        if (size < CONFIG_SIZE)
                return state;
        /* The port itself is gone, with all below it. */
        if (get32(config, PCI_VENDOR_ID) == UINT32_MAX)
                return (PortState){ PORT_NO, PORT_NO };
        at = find_express(config, size);
        if (at == 0)
                return state;
        flags = get16(config, at + PCI_EXP_FLAGS);
        type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;
        if (type != PCI_EXP_TYPE_ROOT_PORT && type != PCI_EXP_TYPE_DOWNSTREAM)
                return state;
        if (get32(config, at + PCI_EXP_LNKCAP) & PCI_EXP_LNKCAP_DLLLARC)
                state.link = sign(get16(config, at + PCI_EXP_LNKSTA), PCI_EXP_LNKSTA_DLLLA);
        /* Without a hotplug slot the bit reads as if a card were there, or means nothing. */
        if (flags & PCI_EXP_FLAGS_SLOT && get32(config, at + PCI_EXP_SLTCAP) & PCI_EXP_SLTCAP_HPC)
                state.card = sign(get16(config, at + PCI_EXP_SLTSTA), PCI_EXP_SLTSTA_PDS);
        return state;
}

static json_t *sign_to_json(PortSign s) {
        return s == PORT_UNKNOWN ? json_null() : json_boolean(s == PORT_YES);
}

static int look_at(Worker *worker, const PtDevice *device, PortState *ret) {
        _cleanup_close_ int fd = -EBADF;
        uint8_t config[CONFIG_SIZE];
        ssize_t n;
        int r;

        r = sysfs_open_device(&worker->sysfs, device->subsystem, device->sysname, &fd, NULL);
        if (r < 0)
                return r;
        n = sysfs_pread_at(fd, "config", config, sizeof(config), 0);
        if (n < 0)
                return (int) n;
        *ret = port_state(config, (size_t) n);
        return 0;
}

int port_run(Worker *worker, json_t *message, int *ret_result, Fault *fault) {
        _cleanup_device_list_ DeviceList devices = {};

        *ret_result = device_list_from_message(message, &devices, fault);
        if (*ret_result < 0)
                return 0;
        for (size_t i = 0; i < devices.n_items; i++) {
                PortState state = { PORT_UNKNOWN, PORT_UNKNOWN };
                int r, result;

                result = look_at(worker, &devices.items[i].device, &state);
                r = worker_send(worker, json_pack("{s:s, s:s, s:o, s:o, s:i}", "type", "port", "device",
                                                  devices.items[i].device.id, "link", sign_to_json(state.link),
                                                  "card", sign_to_json(state.card), "result", result));
                if (r < 0)
                        return r;
        }
        return 0;
}
