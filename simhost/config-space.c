/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-space.h"

#include <ctype.h>
#include <linux/pci_regs.h>

#define POWER_CAPABILITY 0x40
#define MSIX_CAPABILITY 0x50
#define EXPRESS_CAPABILITY 0x70
#define VPD_CAPABILITY 0xb0

static void put16(uint8_t *c, unsigned at, unsigned value) {
        c[at] = (uint8_t) value;
        c[at + 1] = (uint8_t) (value >> 8);
}

static void put32(uint8_t *c, unsigned at, uint32_t value) {
        put16(c, at, value & 0xffff);
        put16(c, at + 2, value >> 16);
}

static unsigned get16(const uint8_t *c, unsigned at) {
        return c[at] | (unsigned) c[at + 1] << 8;
}

static unsigned speed_code(const char *speed) {
        static const char *const speeds[] = { "2.5", "5.0", "8.0", "16.0", "32.0", "64.0" };

        for (unsigned i = 0; speed && i < ELEMENTS(speeds); i++)
                if (string_starts(speed, speeds[i]))
                        return i + 1;
        return 1;
}

static void put_header(const PciSpec *s, uint8_t *c) {
        bool bridge = s->bus >= 0;

        /* On the wire a VF has no IDs of its own; the kernel takes them from the PF. */
        put16(c, PCI_VENDOR_ID, s->physfn ? 0xffff : (unsigned) s->vendor);
        put16(c, PCI_DEVICE_ID, s->physfn ? 0xffff : (unsigned) s->device);
        put16(c, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
        put16(c, PCI_STATUS, PCI_STATUS_CAP_LIST);
        put32(c, PCI_CLASS_REVISION, (uint32_t) s->class << 8 | (uint32_t) s->revision);
        c[PCI_CACHE_LINE_SIZE] = 16;
        c[PCI_HEADER_TYPE] = (uint8_t) ((bridge ? 1 : 0) | (s->multifunction ? 0x80 : 0));
        c[PCI_CAPABILITY_LIST] = POWER_CAPABILITY;
        c[PCI_INTERRUPT_PIN] = s->physfn ? 0 : 1;
        if (bridge) {
                c[PCI_PRIMARY_BUS] = s->address.bus;
                c[PCI_SECONDARY_BUS] = c[PCI_SUBORDINATE_BUS] = (uint8_t) s->bus;
                return;
        }
        put16(c, PCI_SUBSYSTEM_VENDOR_ID, (unsigned) s->subvendor);
        put16(c, PCI_SUBSYSTEM_ID, (unsigned) s->subdevice);
}

static unsigned express_type(const PciSpec *s) {
        if (s->bus < 0)
                return PCI_EXP_TYPE_ENDPOINT;
        if (s->class == 0x060401)
                return PCI_EXP_TYPE_PCI_BRIDGE;
        return s->address.bus == 0 ? PCI_EXP_TYPE_ROOT_PORT : PCI_EXP_TYPE_DOWNSTREAM;
}

static void put_express(const PciSpec *s, uint8_t *c) {
        unsigned type = express_type(s), at = EXPRESS_CAPABILITY, speed = speed_code(s->link_speed);
        unsigned width = (unsigned) s->link_width;
        bool port = type == PCI_EXP_TYPE_ROOT_PORT || type == PCI_EXP_TYPE_DOWNSTREAM;
        uint32_t capabilities = PCI_EXP_DEVCAP_RBER | 2;
        uint32_t link = speed | width << 4 | (port ? PCI_EXP_LNKCAP_DLLLARC : 0);

        if (s->reset && strstr(s->reset, "flr"))
                capabilities |= PCI_EXP_DEVCAP_FLR;
        put16(c, at, PCI_CAP_ID_EXP);
        put16(c, at + PCI_EXP_FLAGS, 2 | type << 4 | (port && s->slot ? PCI_EXP_FLAGS_SLOT : 0));
        put32(c, at + PCI_EXP_DEVCAP, capabilities);
        put16(c, at + PCI_EXP_DEVCTL, 0x5936);
        put32(c, at + PCI_EXP_LNKCAP, link);
        put16(c, at + PCI_EXP_LNKSTA, speed | width << 4 | (port ? PCI_EXP_LNKSTA_DLLLA : 0));
        if (port && s->slot) {
                put32(c, at + PCI_EXP_SLTCAP, PCI_EXP_SLTCAP_HPC | PCI_EXP_SLTCAP_HPS);
                put16(c, at + PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS);
        }
        put32(c, at + PCI_EXP_DEVCAP2, 0x10);
        put16(c, at + PCI_EXP_LNKCTL2, speed);
}

static void chain_capabilities(const PciSpec *s, uint8_t *c) {
        put16(c, POWER_CAPABILITY, PCI_CAP_ID_PM);
        put16(c, POWER_CAPABILITY + PCI_PM_PMC, 0xc803);
        put16(c, POWER_CAPABILITY + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
        if (s->bus < 0) {
                c[POWER_CAPABILITY + 1] = MSIX_CAPABILITY;
                put16(c, MSIX_CAPABILITY, PCI_CAP_ID_MSIX);
                put16(c, MSIX_CAPABILITY + PCI_MSIX_FLAGS, 63);
                put32(c, MSIX_CAPABILITY + PCI_MSIX_PBA, 0x2000);
        }
        if (s->express) {
                c[(s->bus < 0 ? MSIX_CAPABILITY : POWER_CAPABILITY) + 1] = EXPRESS_CAPABILITY;
                put_express(s, c);
        }
        if (s->vpd) {
                c[(s->express ? EXPRESS_CAPABILITY : MSIX_CAPABILITY) + 1] = VPD_CAPABILITY;
                put16(c, VPD_CAPABILITY, PCI_CAP_ID_VPD);
        }
}

/* Extended capabilities follow each other from 0x100, 64 bytes each; @last is where the one before
 * begins. */
static unsigned add_extended(uint8_t *c, unsigned *last, unsigned id, unsigned version) {
        unsigned at = *last == 0 ? 0x100 : *last + 0x40;

        if (*last != 0)
                put16(c, *last + 2, (get16(c, *last + 2) & 0xf) | at << 4);
        put16(c, at, id);
        put16(c, at + 2, version);
        *last = at;
        return at;
}

/* 00-11-22-ff-ff-33-44-55: the register holds it in the opposite order. */
static bool parse_serial(const char *text, uint8_t ret[8]) {
        char copy[24], *words[8];

        if (strlen(text) != sizeof(copy) - 1)
                return false;
        copy_text(copy, sizeof(copy), text);
        for (char *c = copy; *c; c++)
                if (*c == '-')
                        *c = ' ';
        if (split_words(copy, words, ELEMENTS(words)) != ELEMENTS(words))
                return false;
        for (unsigned i = 0; i < 8; i++) {
                uint64_t byte;

                if (string_to_u64(words[i], 16, &byte) < 0 || byte > UINT8_MAX)
                        return false;
                ret[7 - i] = (uint8_t) byte;
        }
        return true;
}

static void put_extended(const PciSpec *s, uint8_t *c) {
        unsigned last = 0, at;
        uint8_t serial[8];

        (void) add_extended(c, &last, PCI_EXT_CAP_ID_ERR, 2);
        if (s->dsn && parse_serial(s->dsn, serial)) {
                at = add_extended(c, &last, PCI_EXT_CAP_ID_DSN, 1);
                memcpy(c + at + 4, serial, sizeof(serial));
        }
        if (s->sriov.total > 0 || s->physfn)
                (void) add_extended(c, &last, PCI_EXT_CAP_ID_ARI, 1);
        if (s->sriov.total > 0) {
                at = add_extended(c, &last, PCI_EXT_CAP_ID_SRIOV, 1);
                put16(c, at + PCI_SRIOV_INITIAL_VF, (unsigned) s->sriov.total);
                put16(c, at + PCI_SRIOV_TOTAL_VF, (unsigned) s->sriov.total);
                put16(c, at + PCI_SRIOV_NUM_VF, (unsigned) s->sriov.vfs);
                put16(c, at + PCI_SRIOV_VF_OFFSET, (unsigned) s->sriov.offset);
                put16(c, at + PCI_SRIOV_VF_STRIDE, (unsigned) s->sriov.stride);
                put16(c, at + PCI_SRIOV_VF_DID, (unsigned) s->sriov.vf_device);
                put32(c, at + PCI_SRIOV_SUP_PGSIZE, 0x553);
                put32(c, at + PCI_SRIOV_SYS_PGSIZE, 1);
        }
        if (s->bus >= 0 || s->physfn) {
                at = add_extended(c, &last, PCI_EXT_CAP_ID_ACS, 1);
                put16(c, at + PCI_ACS_CAP, 0x5f);
                put16(c, at + PCI_ACS_CTRL,
                      s->bus >= 0 ? PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF : 0);
        }
}

size_t config_space_build(const PciSpec *s, uint8_t ret[static CONFIG_SPACE_SIZE]) {
        memset(ret, 0, CONFIG_SPACE_SIZE);
        put_header(s, ret);
        chain_capabilities(s, ret);
        if (!s->express)
                return 256;
        put_extended(s, ret);
        return CONFIG_SPACE_SIZE;
}

bool config_space_set_link(uint8_t *c, size_t size, bool up) {
        unsigned at = EXPRESS_CAPABILITY, link, slot;

        if (size < 256 || c[at] != PCI_CAP_ID_EXP)
                return false;
        link = get16(c, at + PCI_EXP_LNKSTA) & ~(unsigned) PCI_EXP_LNKSTA_DLLLA;
        slot = get16(c, at + PCI_EXP_SLTSTA) & ~(unsigned) PCI_EXP_SLTSTA_PDS;
        put16(c, at + PCI_EXP_LNKSTA, link | (up ? PCI_EXP_LNKSTA_DLLLA : 0));
        put16(c, at + PCI_EXP_SLTSTA, slot | (up ? PCI_EXP_SLTSTA_PDS : 0));
        return true;
}

static size_t put_text(uint8_t *to, size_t at, const char *text) {
        for (; *text; text++)
                to[at++] = (uint8_t) *text;
        return at;
}

/* PCI 2.2, appendix I: a large resource with the name, one with two-letter keywords, RV with the
 * checksum, the end. */
size_t vpd_build(const PciSpec *s, uint8_t *ret, size_t size) {
        const char *id, *key;
        json_t *value;
        size_t n = 0, length_at, start;
        uint8_t sum = 0;

        if (!s->vpd)
                return 0;
        id = json_text(s->vpd, "id", "");
        if (strlen(id) + 16 > size)
                return 0;
        memset(ret, 0, size);
        ret[n++] = 0x82;
        put16(ret, (unsigned) n, (unsigned) strlen(id));
        n = put_text(ret, n + 2, id);

        ret[n++] = 0x90;
        length_at = n;
        n += 2;
        start = n;
        json_object_foreach(s->vpd, key, value) {
                const char *text = json_is_string(value) ? json_string_value(value) : "";
                size_t length = strlen(text);

                if (string_equal(key, "id") || strlen(key) != 2 || length > UINT8_MAX ||
                    n + length + 8 > size)
                        continue;
                ret[n++] = (uint8_t) toupper(key[0]);
                ret[n++] = (uint8_t) toupper(key[1]);
                ret[n++] = (uint8_t) length;
                n = put_text(ret, n, text);
        }
        n = put_text(ret, n, "RV\1");
        put16(ret, (unsigned) length_at, (unsigned) (n + 1 - start));
        for (size_t i = 0; i < n; i++)
                sum = (uint8_t) (sum + ret[i]);
        ret[n++] = (uint8_t) (0x100 - sum);
        ret[n++] = 0x78;
        return n;
}
