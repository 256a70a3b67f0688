/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "evidence-internal.h"

#include <limits.h>
#include <stdio.h>

#include "lib/parse.h"
#include "opener.h"
#include "proc-file.h"

#define VENDOR_INTEL 0x8086u
#define VENDOR_AMD 0x1022u
#define VENDOR_HYGON 0x1d94u
#define VENDOR_NVIDIA 0x10deu

/* ---- by class ---- */

typedef enum Where {
        WHERE_ANY,
        WHERE_CHIPSET, /* on the root bus or beside the ISA bridge, from a maker of processors */
} Where;

/* The first that fits decides. */
static const struct {
        uint32_t class_code, mask; /* without the interface */
        uint32_t vendor;           /* 0: any */
        Where where;
        EvidenceVerdict verdict; /* _EVIDENCE_VERDICT_INVALID: no part of the platform after all */
        const char *code, *what;
} parts[] = {
        /* Switches between GPUs: the host does not need them, the guest that has the GPUs does. */
        { 0x0680, 0xffff, VENDOR_NVIDIA, WHERE_ANY, _EVIDENCE_VERDICT_INVALID, NULL, NULL },
        { 0x0604, 0xffff, 0, WHERE_ANY, _EVIDENCE_VERDICT_INVALID, NULL, NULL }, /* needed with what is behind it */
        { 0x0600, 0xffff, 0, WHERE_ANY, EVIDENCE_FORBIDDEN, "chipset", "host bridge" },
        { 0x0601, 0xffff, 0, WHERE_ANY, EVIDENCE_FORBIDDEN, "chipset", "ISA/LPC bridge" },
        { 0x0600, 0xff00, 0, WHERE_ANY, EVIDENCE_FORBIDDEN, "chipset", "bridge" },
        { 0x0805, 0xffff, 0, WHERE_ANY, _EVIDENCE_VERDICT_INVALID, NULL, NULL }, /* SD cards */
        { 0x0806, 0xffff, 0, WHERE_ANY, EVIDENCE_FORBIDDEN, "iommu", "IOMMU" },
        { 0x0800, 0xff00, 0, WHERE_ANY, EVIDENCE_FORBIDDEN, "chipset", "system peripheral" },
        { 0x0c05, 0xffff, 0, WHERE_ANY, EVIDENCE_FORBIDDEN, "chipset", "SMBus" },
        { 0x0c07, 0xffff, 0, WHERE_ANY, EVIDENCE_CRITICAL, "ipmi", "IPMI: the management controller" },
        { 0x1080, 0xffff, VENDOR_AMD, WHERE_ANY, EVIDENCE_CRITICAL, "security-processor", "security processor (fTPM, SEV)" },
        { 0x1080, 0xffff, VENDOR_HYGON, WHERE_ANY, EVIDENCE_CRITICAL, "security-processor", "security processor (fTPM, SEV)" },
        { 0x1101, 0xffff, VENDOR_INTEL, WHERE_ANY, EVIDENCE_FORBIDDEN, "chipset", "part of the processor" },
        { 0x0580, 0xffff, 0, WHERE_CHIPSET, EVIDENCE_FORBIDDEN, "chipset", "memory and power management" },
        { 0x0780, 0xffff, 0, WHERE_CHIPSET, EVIDENCE_FORBIDDEN, "chipset", "management engine" },
        { 0x0c80, 0xffff, 0, WHERE_CHIPSET, EVIDENCE_FORBIDDEN, "chipset", "SPI: the firmware's flash" },
        { 0x1180, 0xffff, 0, WHERE_CHIPSET, EVIDENCE_FORBIDDEN, "chipset", "thermal and platform monitoring" },
};

static bool same_device(const char *a, const char *b) {
        const char *dot = strrchr(a, '.');

        return dot && strncmp(a, b, (size_t) (dot - a) + 1) == 0;
}

static bool is_chipset(const Sysfs *sysfs, const PciScan *scan, const PciFunction *f) {
        uint32_t vendor = pci_vendor(sysfs, f);

        if (vendor != VENDOR_INTEL && vendor != VENDOR_AMD && vendor != VENDOR_HYGON)
                return false;
        for (size_t i = 0; i < scan->n_items; i++)
                if (scan->items[i].class_code >> 8 == 0x0601 && same_device(scan->items[i].name, f->name))
                        return true;
        return pci_on_root_bus(sysfs, f);
}

static int add_place(Evidence *evidence, EvidenceVerdict verdict, const char *link, const char *code,
                     const char *const *chain) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = evidence_resolve(evidence, link, &path);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return evidence_add(evidence, verdict, path, code, chain);
}

static int add_function(Evidence *evidence, EvidenceVerdict verdict, const PciFunction *f, const char *code,
                        const char *const *chain) {
        char link[64];

        (void) snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s", f->name);
        return add_place(evidence, verdict, link, code, chain);
}

static int judge_class(Evidence *evidence, const PciScan *scan, const PciFunction *f) {
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                const char *const chain[] = { parts[i].what, NULL };

                if ((f->class_code >> 8 & parts[i].mask) != parts[i].class_code ||
                    (parts[i].vendor != 0 && parts[i].vendor != pci_vendor(evidence_sysfs(evidence), f)) ||
                    (parts[i].where == WHERE_CHIPSET && !is_chipset(evidence_sysfs(evidence), scan, f)))
                        continue;
                return parts[i].code ? add_function(evidence, parts[i].verdict, f, parts[i].code, chain) : 0;
        }
        return 0;
}

/* ---- by what the kernel made of them ---- */

typedef struct Listing {
        Evidence *evidence;
        const PciScan *scan;
        int error;
} Listing;

static void read_class(const Sysfs *sysfs, const char *class, const char *name, const char *attribute, char *buffer,
                       size_t size) {
        char path[PATH_MAX];

        (void) snprintf(path, sizeof(path), "/sys/class/%s/%s/%s", class, name, attribute);
        if (sysfs_read(sysfs, path, buffer, size) < 0)
                buffer[0] = '\0';
}

/* Linux 6.1's i6300esb does not say which function its watchdog is, but names itself as its driver does. One that no function
 * goes with (softdog) is the kernel's own. */
static int judge_virtual_watchdog(Listing *listing, const char *identity, const char *const *chain) {
        char driver[64];
        int r = 0;

        for (size_t i = 0; i < listing->scan->n_items && r >= 0 && identity[0]; i++) {
                pci_driver(evidence_sysfs(listing->evidence), &listing->scan->items[i], driver, sizeof(driver));
                if (streq(driver, identity))
                        r = add_function(listing->evidence, EVIDENCE_CRITICAL, &listing->scan->items[i], "watchdog", chain);
        }
        return r;
}

static void take_watchdog(void *userdata, const char *entry) {
        char identity[128], state[32], text[192], link[PATH_MAX];
        const char *const chain[] = { text, entry, NULL };
        _cleanup_free_ char *path = NULL;
        Listing *listing = userdata;
        int r;

        if (listing->error < 0)
                return;
        read_class(evidence_sysfs(listing->evidence), "watchdog", entry, "identity", identity, sizeof(identity));
        read_class(evidence_sysfs(listing->evidence), "watchdog", entry, "state", state, sizeof(state));
        (void) snprintf(text, sizeof(text), "watchdog %s%s%s", identity[0] ? identity : "of the host",
                        state[0] ? ", " : "", state);
        (void) snprintf(link, sizeof(link), "/sys/class/watchdog/%s", entry);
        r = evidence_resolve(listing->evidence, link, &path);
        if (r < 0)
                listing->error = r == -ENOMEM ? r : 0;
        else if (startswith(path, "/devices/virtual/"))
                listing->error = judge_virtual_watchdog(listing, identity, chain);
        else
                listing->error = evidence_add(listing->evidence, EVIDENCE_CRITICAL, path, "watchdog", chain);
}

static void take_ipmi(void *userdata, const char *entry) {
        static const char text[] = "IPMI: the management controller";
        const char *const chain[] = { text, entry, NULL };
        char link[PATH_MAX];
        Listing *listing = userdata;
        int r;

        if (listing->error < 0)
                return;
        /* The class device is a virtual one; what it stands for is behind "device". */
        (void) snprintf(link, sizeof(link), "/sys/class/ipmi/%s/device", entry);
        if (!sysfs_exists(evidence_sysfs(listing->evidence), link))
                (void) snprintf(link, sizeof(link), "/sys/class/ipmi/%s", entry);
        r = add_place(listing->evidence, EVIDENCE_CRITICAL, link, "ipmi", chain);
        listing->error = r;
}

/* A TPM hardly ever shows where it is: physically behind the LPC or SPI bus of the chipset. */
static void take_tpm(void *userdata, const char *entry) {
        char link[PATH_MAX], device[64];
        const char *const chain[] = { entry, NULL }, *const behind[] = { entry, device, "LPC/SPI of the chipset", NULL };
        _cleanup_free_ char *path = NULL;
        Listing *listing = userdata;
        int r;

        if (listing->error < 0)
                return;
        (void) snprintf(link, sizeof(link), "/sys/class/tpm/%s", entry);
        r = evidence_resolve(listing->evidence, link, &path);
        if (r == -ENOMEM)
                listing->error = r;
        if (r < 0)
                return;
        listing->error = evidence_add(listing->evidence, EVIDENCE_CRITICAL, path, "tpm", chain);
        if (startswith(path, "/devices/pci"))
                return;

        (void) snprintf(link, sizeof(link), "/sys/class/tpm/%s/device", entry);
        if (sysfs_link(evidence_sysfs(listing->evidence), link, device, sizeof(device)) < 0)
                strcpy(device, "firmware");
        for (size_t i = 0; i < listing->scan->n_items && listing->error >= 0; i++) {
                const PciFunction *f = &listing->scan->items[i];

                if (f->class_code >> 8 == 0x0601 ||
                    (f->class_code >> 8 == 0x0c80 && is_chipset(evidence_sysfs(listing->evidence), listing->scan, f)))
                        listing->error = add_function(listing->evidence, EVIDENCE_FORBIDDEN, f, "tpm", behind);
        }
}

/* ---- accelerators ---- */

static void take_dsa(void *userdata, const char *entry) {
        char path[PATH_MAX], state[32], type[32], name[64], text[160];
        const char *const chain[] = { text, entry, NULL };
        Listing *listing = userdata;
        const Sysfs *sysfs = evidence_sysfs(listing->evidence);

        if (listing->error < 0 || !startswith(entry, "wq"))
                return;
        (void) snprintf(path, sizeof(path), "/sys/bus/dsa/devices/%s/state", entry);
        if (sysfs_read(sysfs, path, state, sizeof(state)) < 0 || !streq(state, "enabled"))
                return;
        (void) snprintf(path, sizeof(path), "/sys/bus/dsa/devices/%s/type", entry);
        if (sysfs_read(sysfs, path, type, sizeof(type)) < 0)
                type[0] = '\0';
        (void) snprintf(path, sizeof(path), "/sys/bus/dsa/devices/%s/name", entry);
        if (sysfs_read(sysfs, path, name, sizeof(name)) < 0)
                name[0] = '\0';
        (void) snprintf(text, sizeof(text), "enabled work queue%s%s of type %s", name[0] ? " " : "", name,
                        type[0] ? type : "unknown");
        (void) snprintf(path, sizeof(path), "/sys/bus/dsa/devices/%s", entry);
        /* What the kernel copies with is the host's own; a queue for programs may be idle. */
        listing->error = add_place(listing->evidence, streq(type, "user") ? EVIDENCE_IN_USE : EVIDENCE_CRITICAL, path,
                                   "accelerator", chain);
}

typedef struct Crypto {
        char driver[96];
        bool quickassist;
        bool used;
} Crypto;

/* Blocks of "driver : qat_aes_xts", "module : intel_qat", "refcnt : 2": one reference is the registration's own. */
static int take_crypto(void *userdata, char *line) {
        char *value = strchr(line, ':');
        Crypto *crypto = userdata;
        uint32_t references;

        if (!value) {
                crypto->quickassist = false;
                return 0;
        }
        value += 1 + strspn(value + 1, " ");
        if (startswith(line, "driver"))
                (void) snprintf(crypto->driver, sizeof(crypto->driver), "%s", value);
        else if (startswith(line, "module"))
                crypto->quickassist = startswith(value, "intel_qat") || startswith(value, "qat_");
        else if (startswith(line, "refcnt") && crypto->quickassist && parse_uint32(value, &references) >= 0 && references > 1)
                crypto->used = true;
        return crypto->used ? 1 : 0;
}

/* Which of several cards encrypts is not said. */
static int judge_crypto(Evidence *evidence, const PciScan *scan) {
        static const char *const drivers[] = { "4xxx", "420xx", "c3xxx", "c6xx", "c62x", "dh895xcc" };
        char text[160], driver[64];
        const char *const chain[] = { text, NULL };
        Crypto crypto = {};
        int r;

        r = proc_each_line(evidence_sysfs(evidence), "/proc/crypto", take_crypto, &crypto);
        if (r != 1)
                return r == -ENOMEM ? r : 0;
        (void) snprintf(text, sizeof(text), "the kernel encrypts with %s", crypto.driver);
        r = 0;
        for (size_t i = 0; i < scan->n_items && r >= 0; i++) {
                if (scan->items[i].class_code >> 8 != 0x0b40)
                        continue;
                pci_driver(evidence_sysfs(evidence), &scan->items[i], driver, sizeof(driver));
                for (size_t j = 0; j < ELEMENTSOF(drivers); j++)
                        if (streq(drivers[j], driver))
                                r = add_function(evidence, EVIDENCE_CRITICAL, &scan->items[i], "accelerator", chain);
        }
        return r;
}

/* ---- CXL memory ---- */

typedef struct Decoders {
        const Sysfs *sysfs;
        const char *endpoint;
        uint64_t size;
} Decoders;

static void take_decoder(void *userdata, const char *entry) {
        char path[PATH_MAX], text[32];
        Decoders *decoders = userdata;
        uint64_t size;

        if (!startswith(entry, "decoder"))
                return;
        (void) snprintf(path, sizeof(path), "/sys/bus/cxl/devices/%s/%s/size", decoders->endpoint, entry);
        if (sysfs_read(decoders->sysfs, path, text, sizeof(text)) > 0 && parse_uint64(text, &size) >= 0)
                decoders->size += size;
}

/* An endpoint whose decoders have a size serves addresses of the host. */
static void take_endpoint(void *userdata, const char *entry) {
        char path[PATH_MAX], text[96];
        const char *const chain[] = { text, entry, NULL };
        Listing *listing = userdata;
        Decoders decoders = { .sysfs = evidence_sysfs(listing->evidence), .endpoint = entry };

        if (listing->error < 0 || !startswith(entry, "endpoint"))
                return;
        (void) snprintf(path, sizeof(path), "/sys/bus/cxl/devices/%s", entry);
        (void) sysfs_list(decoders.sysfs, path, take_decoder, &decoders);
        if (decoders.size == 0)
                return;
        (void) snprintf(text, sizeof(text), "memory of the host, %llu MiB", (unsigned long long) (decoders.size >> 20));
        (void) snprintf(path, sizeof(path), "/sys/bus/cxl/devices/%s/uport", entry);
        listing->error = add_place(listing->evidence, EVIDENCE_CRITICAL, path, "memory", chain);
}

/* ---- all ---- */

static const struct {
        const char *folder;
        void (*take)(void *userdata, const char *entry);
} folders[] = {
        { "/sys/class/watchdog", take_watchdog },
        { "/sys/class/ipmi", take_ipmi },
        { "/sys/class/tpm", take_tpm },
        { "/sys/bus/dsa/devices", take_dsa },
        { "/sys/bus/cxl/devices", take_endpoint },
};

int evidence_platform(Evidence *evidence) {
        const PciScan *scan;
        Listing listing = { .evidence = evidence };
        int r;

        r = evidence_pci(evidence, &scan);
        if (r < 0)
                return r;
        listing.scan = scan;
        for (size_t i = 0; i < scan->n_items && r >= 0; i++)
                r = judge_class(evidence, scan, &scan->items[i]);
        if (r >= 0)
                r = judge_crypto(evidence, scan);
        for (size_t i = 0; i < ELEMENTSOF(folders) && r >= 0; i++) {
                (void) sysfs_list(evidence_sysfs(evidence), folders[i].folder, folders[i].take, &listing);
                r = listing.error;
        }
        return r;
}
