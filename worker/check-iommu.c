/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "check.h"

#define INTERRUPTS_MAX (256u * 1024)

/* What to look for in the firmware setup. */
static void firmware_remedy(Check *check) {
        static const char *const names[] = {
                [CPU_OTHER] = "the IOMMU (Intel: \"VT-d\"; AMD: \"IOMMU\" or \"AMD-Vi\"; Arm: \"SMMU\")",
                [CPU_INTEL] = "\"Intel VT for Directed I/O\" (VT-d)",
                [CPU_AMD] = "\"IOMMU\" (AMD-Vi)",
        };

        check->reboot = true;
        check_remedy(check, "In the firmware setup switch on %s; \"Auto\" may mean off. Save, and power the host off and on.",
                     names[check->host->vendor]);
}

void check_firmware(Check *check) {
        const CheckHost *host = check->host;

        if (host->table) {
                check_evidence(check, "/sys/firmware/acpi/tables/%s is there", host->table);
                check_result(check, CHECK_PASS, "The firmware describes an IOMMU (%s)", host->table);
        } else if (host->n_units > 0) {
                check_evidence(check, "/sys/class/iommu has %zu entries", host->n_units);
                check_result(check, CHECK_PASS, "The kernel knows of an IOMMU without a table of the firmware");
        } else if (!host->acpi) {
                check_evidence(check, "/sys/firmware/acpi/tables is not there");
                check_result(check, CHECK_UNKNOWN, "The firmware has no ACPI tables that could be looked at");
        } else {
                check_evidence(check, "/sys/firmware/acpi/tables has none of DMAR, IVRS, IORT, VIOT");
                check_result(check, CHECK_FAIL, "The firmware does not describe an IOMMU: there is none, or it is switched off");
                firmware_remedy(check);
        }
}

static bool is_switched_off(Check *check) {
        static const char *const words[] = { "intel_iommu=off", "amd_iommu=off", "iommu=off" };
        bool found = false;

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (cmdline_has(check->host, words[i])) {
                        check_evidence(check, "/proc/cmdline has %s", words[i]);
                        check_boot_without(check, words[i]);
                        found = true;
                }
        return found;
}

void check_iommu(Check *check) {
        const CheckHost *host = check->host;

        check_evidence(check, "/sys/class/iommu has %zu entries", host->n_units);
        check_evidence(check, "/sys/kernel/iommu_groups has %zu", host->n_groups);
        if (host->n_groups > 0) {
                check_result(check, CHECK_PASS, "The IOMMU is in use, with %zu groups", host->n_groups);
                return;
        }
        check_result(check, CHECK_FAIL, "The IOMMU is not in use: no device can be handed to a guest");
        if (is_switched_off(check))
                return;
        if (!host->table && host->acpi) {
                check_remedy(check, "Mend what \"firmware-tables\" says first.");
                check->reboot = true;
                return;
        }
        /* AMD's is on where the table is; Intel's needs the word with kernels that are built so. */
        if (host->vendor == CPU_INTEL && !cmdline_has(host, "intel_iommu=on"))
                check_boot_argument(check, "intel_iommu=on");
        else {
                check_remedy(check, "Look at what the kernel says of it: dmesg | grep -e DMAR -e AMD-Vi.");
                firmware_remedy(check);
        }
}

/* The names of interrupt controllers begin with "IR-" where interrupts are remapped: "IR-PCI-MSI", "IR-IO-APIC". */
void check_interrupt_remapping(Check *check) {
        const CheckHost *host = check->host;
        _cleanup_free_ char *text = NULL;

        if (host->vendor == CPU_OTHER) {
                check_result(check, CHECK_UNKNOWN, "Only with processors of Intel and AMD it can be told");
                return;
        }
        int r = check_read(host, "/proc/interrupts", INTERRUPTS_MAX, &text);
        if (r < 0) {
                check_evidence(check, "/proc/interrupts: %s", strerrordesc_np(-r));
                check_result(check, CHECK_UNKNOWN, "Whether interrupts are remapped could not be read");
        } else if (strstr(text, " IR-PCI-MSI") || strstr(text, " IR-IO-APIC")) {
                check_evidence(check, "/proc/interrupts: controllers are called IR-…");
                check_result(check, CHECK_PASS, "Interrupts are remapped");
        } else if (host->n_groups == 0) {
                check_evidence(check, "no controller in /proc/interrupts is called IR-…");
                check_result(check, CHECK_UNKNOWN, "Without an IOMMU in use nothing is remapped; see \"iommu\"");
        } else if (!strstr(text, "PCI-MSI") && !strstr(text, "IO-APIC")) {
                check_evidence(check, "/proc/interrupts names neither PCI-MSI nor IO-APIC");
                check_result(check, CHECK_UNKNOWN, "Whether interrupts are remapped can't be told from the interrupts in use");
        } else {
                check_evidence(check, "no controller in /proc/interrupts is called IR-…");
                check_result(check, CHECK_FAIL, "Interrupts are not remapped: VFIO refuses devices, as a guest could raise any "
                                                "interrupt of the host");
                if (cmdline_has(host, "intremap=off"))
                        check_boot_without(check, "intremap=off");
                else {
                        check_remedy(check, "In the firmware setup switch on interrupt remapping and x2APIC beside %s, and update the "
                                            "firmware.", host->vendor == CPU_INTEL ? "VT-d" : "the IOMMU");
                        check->reboot = true;
                }
                check_remedy(check, "Where the hardware lacks it and every guest is trusted, VFIO's allow_unsafe_interrupts=1 goes "
                                    "without.");
        }
}

#define IGPU "/sys/bus/pci/devices/0000:00:02.0"

static bool is_integrated_graphics(const CheckHost *host) {
        char vendor[16] = "", class[16] = "";

        return sysfs_read(host->sysfs, IGPU "/vendor", vendor, sizeof(vendor)) >= 0 && streq(vendor, "0x8086") &&
               sysfs_read(host->sysfs, IGPU "/class", class, sizeof(class)) >= 0 && startswith(class, "0x03");
}

void check_integrated_graphics(Check *check) {
        const CheckHost *host = check->host;

        if (!is_integrated_graphics(host)) {
                check_evidence(check, IGPU " is none of Intel's displays");
                check_result(check, CHECK_PASS, "There is no integrated graphics of Intel's");
                return;
        }
        if (host->n_groups == 0) {
                check_result(check, CHECK_UNKNOWN, "Without an IOMMU in use it can't be told; see \"iommu\"");
                return;
        }
        bool has = check_exists(host, IGPU "/iommu_group");
        check_evidence(check, IGPU "/iommu_group is %s", has ? "there" : "not there");
        if (has) {
                check_result(check, CHECK_PASS, "The integrated graphics is behind the IOMMU");
                return;
        }
        check_result(check, CHECK_WARN, "The integrated graphics is not behind the IOMMU and can't be handed out: Debian's kernels "
                                        "leave it out unless they are told");
        if (cmdline_has(host, "intel_iommu=igfx_off"))
                check_boot_without(check, "intel_iommu=igfx_off");
        check_boot_argument(check, "intel_iommu=on");
}
