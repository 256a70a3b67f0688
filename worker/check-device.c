/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What devices say: groups, reserved memory, SR-IOV, regions. */

#include <inttypes.h>
#include <stdio.h>

#include "check.h"

#define PCI "/sys/bus/pci/devices"
#define GROUPS "/sys/kernel/iommu_groups"
#define LIST_MAX 1024u
#define REGIONS_MAX 8192u
#define BIG_BYTES (UINT64_C(4) << 30)
#define REGION_MEMORY UINT64_C(0x200)
#define REGION_UNSET UINT64_C(0x20000000)
#define N_BARS 6
#define FIRST_VF_BAR 7 /* after the ROM */

/* Texts joined by ", ", cut where they would get too long. */
static void join(char *list, size_t size, const char *text) {
        size_t n = strlen(list);

        if (n + strlen(text) + 8 < size)
                (void) snprintf(list + n, size - n, "%s%s", n > 0 ? ", " : "", text);
        else if (n + 8 < size && !strstr(list, "…"))
                (void) snprintf(list + n, size - n, ", …");
}

static bool is_bridge(const CheckHost *host, const char *name) {
        char path[512], class[16] = "";

        (void) snprintf(path, sizeof(path), PCI "/%s/class", name);
        return sysfs_read(host->sysfs, path, class, sizeof(class)) >= 0 && startswith(class, "0x06");
}

/* ---- groups ---- */

/* Functions of one slot belong together by nature; those of several only for want of isolation. */
static bool spans_slots(const CheckHost *host, char *const *members, char *list, size_t size) {
        const char *first = NULL;
        bool spans = false;

        for (size_t i = 0; members[i]; i++) {
                if (is_bridge(host, members[i]))
                        continue;
                join(list, size, members[i]);
                if (!first)
                        first = members[i];
                else
                        spans |= strcspn(first, ".") != strcspn(members[i], ".") ||
                                 strncmp(first, members[i], strcspn(first, ".")) != 0;
        }
        return spans;
}

/* Kernels with a patch that is not in Linux (Proxmox VE's) take a word for isolation that the hardware does not give: what they
 * call a group may reach into another one. */
static bool is_isolation_claimed(Check *check) {
        const char *found = strstr(check->host->cmdline, "pcie_acs_override=");
        _cleanup_free_ char *word = found ? strndup(found, strcspn(found, " \t")) : NULL;

        if (!word)
                return false;
        check_evidence(check, "/proc/cmdline has %s", word);
        check_result(check, CHECK_WARN, "IOMMU groups are smaller than the hardware isolates: a guest may reach devices of others by "
                                        "way of the devices that it has");
        check_boot_without(check, word);
        return true;
}

void check_groups(Check *check) {
        const CheckHost *host = check->host;
        _cleanup_names_ char **groups = NULL;
        size_t n = 0;

        if (host->n_groups == 0 || check_list(host, GROUPS, &groups) < 0) {
                check_result(check, CHECK_UNKNOWN, "There are no IOMMU groups; see \"iommu\"");
                return;
        }
        if (is_isolation_claimed(check))
                return;
        for (size_t i = 0; groups[i]; i++) {
                _cleanup_names_ char **members = NULL;
                char path[512], list[LIST_MAX] = "";

                (void) snprintf(path, sizeof(path), GROUPS "/%s/devices", groups[i]);
                if (check_list(host, path, &members) < 0 || !spans_slots(host, members, list, sizeof(list)))
                        continue;
                check_evidence(check, "group %s: %s", groups[i], list);
                n++;
        }
        if (n == 0) {
                check_evidence(check, GROUPS ": none of %zu groups has devices of several slots", host->n_groups);
                check_result(check, CHECK_PASS, "Devices of different slots are in different IOMMU groups");
                return;
        }
        check_result(check, CHECK_WARN, "%zu IOMMU group%s devices of several slots, which can only be handed out together", n,
                     n == 1 ? " has" : "s have");
        check_remedy(check, "Put cards into slots of their own root port; in the firmware setup switch on \"ACS\" (\"PCIe ACS "
                            "Support\", with AMD under NBIO) where there is such a thing. Cards behind a conventional PCI bridge "
                            "always share a group.");
}

/* ---- reserved memory ---- */

void check_reserved_regions(Check *check) {
        const CheckHost *host = check->host;
        _cleanup_names_ char **groups = NULL;
        size_t n = 0;

        if (host->n_groups == 0 || check_list(host, GROUPS, &groups) < 0) {
                check_result(check, CHECK_UNKNOWN, "There are no IOMMU groups; see \"iommu\"");
                return;
        }
        for (size_t i = 0; groups[i]; i++) {
                _cleanup_names_ char **members = NULL;
                _cleanup_free_ char *text = NULL;
                char path[512], list[LIST_MAX] = "";

                (void) snprintf(path, sizeof(path), GROUPS "/%s/reserved_regions", groups[i]);
                /* "direct-relaxable" is let go of for VFIO. */
                if (check_read(host, path, REGIONS_MAX, &text) < 0 || !strstr(text, " direct\n"))
                        continue;
                (void) snprintf(path, sizeof(path), GROUPS "/%s/devices", groups[i]);
                if (check_list(host, path, &members) < 0)
                        continue;
                for (size_t k = 0; members[k]; k++)
                        join(list, sizeof(list), members[k]);
                check_evidence(check, GROUPS "/%s/reserved_regions has \"direct\": %s", groups[i], list);
                n++;
        }
        if (n == 0) {
                check_evidence(check, GROUPS "/*/reserved_regions: none is \"direct\"");
                check_result(check, CHECK_PASS, "The firmware keeps no memory for itself through devices (RMRR)");
                return;
        }
        check_result(check, CHECK_WARN, "The firmware keeps memory for itself through devices of %zu group%s (RMRR): these can't be "
                                        "handed out", n, n == 1 ? "" : "s");
        check_remedy(check, "Switch off what the firmware uses the device for (shared memory or health monitoring of option cards, "
                            "in the setup or by the vendor's tool), or use another device.");
        check->reboot = true;
}

/* ---- regions ---- */

typedef struct Regions {
        uint64_t biggest;
        bool unplaced;    /* one of its own */
        bool vf_unplaced; /* one for virtual functions */
} Regions;

static bool read_regions(const CheckHost *host, const char *name, Regions *ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        unsigned index = 0;
        char *save = NULL;

        *ret = (Regions){ 0 };
        if (asprintf(&path, PCI "/%s/resource", name) < 0 || check_read(host, path, REGIONS_MAX, &text) < 0)
                return false;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), index++) {
                uint64_t start, end, flags;

                if (index == N_BARS || index >= FIRST_VF_BAR + N_BARS ||
                    sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64, &start, &end, &flags) != 3 || !(flags & REGION_MEMORY) ||
                    end <= start)
                        continue;
                if (end - start + 1 > ret->biggest)
                        ret->biggest = end - start + 1;
                if (flags & REGION_UNSET || start == 0)
                        *(index < N_BARS ? &ret->unplaced : &ret->vf_unplaced) = true;
        }
        return true;
}

void check_regions(Check *check) {
        const CheckHost *host = check->host;
        _cleanup_names_ char **names = NULL;
        size_t n_unplaced = 0, n_big = 0;

        if (check_list(host, PCI, &names) < 0 || !names[0]) {
                check_result(check, CHECK_UNKNOWN, PCI " has no entries");
                return;
        }
        for (size_t i = 0; names[i]; i++) {
                Regions regions;

                if (!read_regions(host, names[i], &regions))
                        continue;
                if (regions.unplaced) {
                        check_evidence(check, PCI "/%s/resource: a region has no address", names[i]);
                        n_unplaced++;
                } else if (regions.biggest >= BIG_BYTES) {
                        check_evidence(check, PCI "/%s/resource: a region of %" PRIu64 " GiB", names[i], regions.biggest >> 30);
                        n_big++;
                }
        }
        if (n_unplaced > 0) {
                check_result(check, CHECK_WARN, "There was no room for regions of %zu device%s", n_unplaced,
                             n_unplaced == 1 ? "" : "s");
                check_remedy(check, "In the firmware setup switch on \"Above 4G Decoding\" (also \"64-bit BAR\", \"Memory mapped I/O "
                                    "above 4 GB\") and, where there is one, raise the MMIO base or size; else try pci=realloc on the "
                                    "kernel's command line.");
                check->reboot = true;
        } else {
                check_result(check, CHECK_PASS, n_big > 0 ? "Every region has an address; %zu device%s regions of 4 GiB and more, for "
                                                            "which the guest's firmware needs a window of that size"
                                                          : "Every region of every device has an address", n_big,
                             n_big == 1 ? " has" : "s have");
                if (n_big == 0)
                        check_evidence(check, PCI "/*/resource: no region without an address");
        }
}

/* ---- SR-IOV ---- */

typedef struct SriovCount {
        size_t n, blocked, unplaced;
} SriovCount;

static void look_at_sriov(Check *check, const char *name, SriovCount *count) {
        char path[512], total[16] = "";
        Regions regions;

        (void) snprintf(path, sizeof(path), PCI "/%s/sriov_totalvfs", name);
        if (sysfs_read(check->host->sysfs, path, total, sizeof(total)) < 0)
                return;
        count->n++;
        if (streq(total, "0")) {
                check_evidence(check, "%s: 0", path);
                count->blocked++;
        } else if (read_regions(check->host, name, &regions) && regions.vf_unplaced) {
                check_evidence(check, PCI "/%s/resource: a region for virtual functions has no address", name);
                count->unplaced++;
        } else
                check_evidence(check, "%s: %s", path, total);
}

void check_sriov(Check *check) {
        const CheckHost *host = check->host;
        _cleanup_names_ char **names = NULL;
        SriovCount count = { 0 };

        if (check_list(host, PCI, &names) < 0)
                return;
        for (size_t i = 0; names[i]; i++)
                look_at_sriov(check, names[i], &count);
        if (count.n == 0) {
                check_evidence(check, PCI "/*/sriov_totalvfs: none");
                check_result(check, CHECK_PASS, "No device here has SR-IOV");
        } else if (count.blocked + count.unplaced == 0)
                check_result(check, CHECK_PASS, "%zu device%s make virtual functions", count.n, count.n == 1 ? " can" : "s can");
        else {
                check_result(check, CHECK_WARN, "%zu of %zu devices with SR-IOV can't make virtual functions",
                             count.blocked + count.unplaced, count.n);
                check_remedy(check, "In the firmware setup switch on \"SR-IOV\"%s and \"ARI\"; some cards have a switch of their own "
                                    "in their setup or their vendor's tool.",
                             count.unplaced > 0 ? ", \"Above 4G Decoding\"" : "");
                if (count.unplaced > 0)
                        check_remedy(check, "If that does not help, pci=realloc on the kernel's command line.");
                check->reboot = true;
        }
}
