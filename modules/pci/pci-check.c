/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What speaks against giving a function away. Only what makes it impossible is a blocker. Who uses the
 * device, and whether the host needs it, is the service's own question; this is the function and VFIO. */

#include <stdio.h>

#include "pci-class.h"
#include "pci.h"

#define FIRMWARE_ADVICE                                                                                     \
        "Switch on the IOMMU in the firmware setup (Intel: VT-d, also \"VT for Directed I/O\"; "            \
        "AMD: \"IOMMU\" or \"AMD-Vi\"), then restart the host"

static int put(PtContext *ctx, PtSeverity severity, const char *code, const char *text, const char *culprit,
               const char *remedy) {
        return ctx->services->put_finding(ctx, &(PtFinding){
                                                       .severity = severity,
                                                       .code = code,
                                                       .text = text,
                                                       .culprit = culprit,
                                                       .remedy = remedy,
                                               });
}

/* Why a function is never offered. */
static int check_role(PtContext *ctx, const PciFunction *f) {
        if (f->vendor < 0 || f->product < 0 || f->class_code < 0)
                return put(ctx, PT_SEVERITY_BLOCKER, "attributes-missing",
                           "The kernel does not say what the device is: its vendor, device or class cannot "
                           "be read.",
                           NULL,
                           "Look at the kernel log for errors of the device; a power cycle of the host may "
                           "help.");
        if (f->role == PT_ROLE_BRIDGE)
                return put(ctx, PT_SEVERITY_BLOCKER, "bridge",
                           "The device is a bridge: it carries other devices and stays with the host.", NULL,
                           NULL);
        return put(ctx, PT_SEVERITY_BLOCKER, "platform-device",
                   "The device is part of the machine itself (chipset, management or security processor).",
                   NULL, NULL);
}

/* Why no IOMMU, as far as the host shows it: the firmware says nothing of one, or the kernel does not use
 * it. */
static const char *iommu_remedy(PtContext *ctx, const PciFunction *f, bool host_has_iommu) {
        const char *table;

        if (host_has_iommu) {
                /* Debian's kernels are built with CONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF. */
                if (f->vendor == PCI_VENDOR_INTEL && f->class_code >> 16 == 0x03 && f->on_root_bus)
                        return "Add intel_iommu=on to the kernel command line and restart: many kernels "
                               "leave the integrated graphics out of the IOMMU by default.";
                return "The IOMMU of this host does not cover the device; a firmware update may help, "
                       "another slot may too.";
        }
        table = ctx->services->host_fact(ctx, "iommu-table");
        if (!table)
                return FIRMWARE_ADVICE
                        "; on Intel, some kernels need intel_iommu=on on their command line too.";
        if (streq(table, "none"))
                return FIRMWARE_ADVICE ".";
        if (streq(table, "DMAR"))
                return "The firmware offers the IOMMU but the kernel does not use it: add intel_iommu=on to "
                       "the kernel command line, remove iommu=off and intel_iommu=off, and restart.";
        if (streq(table, "IVRS"))
                return "The firmware offers the IOMMU but the kernel does not use it: remove iommu=off and "
                       "amd_iommu=off from the kernel command line and restart.";
        return "The firmware offers the IOMMU but the kernel does not use it: remove iommu=off from the "
               "kernel command line and restart.";
}

static int check_iommu(PtContext *ctx, const PciFunction *f, const PtRequest *request) {
        bool host_has_iommu;
        const char *units;

        if (f->device->iommu_group >= 0)
                return 0;
        units = ctx->services->host_fact(ctx, "iommu");
        host_has_iommu = units && !streq(units, "none");
        return put(
                ctx, PT_SEVERITY_BLOCKER, "no-iommu-group",
                host_has_iommu
                        ? "The device is in no IOMMU group: nothing would keep it inside its guest's memory."
                        : "The host has no active IOMMU: nothing would keep the device inside its guest's "
                          "memory.",
                NULL, iommu_remedy(ctx, f, host_has_iommu));
}

/* vfio-pci refuses a physical function with virtual ones (EBUSY, "Cannot bind to PF with SR-IOV enabled"),
 * and the kernel would tear the virtual ones down with the driver. */
static int check_vfs(PtContext *ctx, const PciFunction *f, const PtRequest *request) {
        char addresses[PCI_TEXT_SIZE], text[PCI_TEXT_SIZE];
        uint32_t total, vfs;
        int r;

        r = pci_count_vfs(ctx, f->device, &total, &vfs, addresses, sizeof(addresses));
        if (r < 0)
                return r;
        if (vfs == 0)
                return 0;
        (void) snprintf(text, sizeof(text), "The device has %u virtual function%s, which would vanish.", vfs,
                        vfs == 1 ? "" : "s");
        return put(ctx, PT_SEVERITY_BLOCKER, "has-vfs", text, isempty(addresses) ? NULL : addresses,
                   "Remove the group that made the virtual functions, or set their number to 0; or use the "
                   "virtual functions instead.");
}

/* Models that vfio-pci refuses because a guest could break the host with them
 * (drivers/vfio/pci/vfio_pci.c). */
static const uint16_t INTEL_DENYLIST[] = {
        0x0435, 0x0443, /* QuickAssist DH895xCC and its virtual functions */
        0x19e2, 0x19e3, /* QuickAssist C3xxx */
        0x37c8, 0x37c9, /* QuickAssist C62x */
        0x0b25,         /* Data Streaming Accelerator of the first generation; newer kernels */
        0x0cfe,         /* In-Memory Analytics Accelerator of the first generation; newer kernels */
};

static int check_denylist(PtContext *ctx, const PciFunction *f, const PtRequest *request) {
        const char *disabled;
        bool listed = false;

        if (f->vendor != PCI_VENDOR_INTEL)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(INTEL_DENYLIST); i++)
                listed |= INTEL_DENYLIST[i] == f->product;
        if (!listed)
                return 0;
        disabled = ctx->services->host_fact(ctx, "parameter:vfio_pci:disable_denylist");
        if (disabled && streq(disabled, "Y"))
                return 0;
        /* Not loaded yet: how the option will stand is not known, nor whether this kernel lists the model.
         */
        return put(ctx, disabled ? PT_SEVERITY_BLOCKER : PT_SEVERITY_WARNING, "driver-denylisted",
                   "The model is on the list of devices that vfio-pci refuses: a guest could harm the host "
                   "with it.",
                   NULL,
                   "If you trust the guest, load vfio-pci with disable_denylist=1 (a file in "
                   "/etc/modprobe.d).");
}

static int check_driver(PtContext *ctx, const PciFunction *f, const PtRequest *request) {
        char text[PCI_TEXT_SIZE], setting[PCI_ATTRIBUTE_SIZE];
        PciFunction asked = *f;
        PciDriver driver;
        int r;

        if (request && request->device != f->device) {
                r = pci_function_load(ctx, request->device, &asked);
                if (r < 0)
                        return r;
        }
        r = pci_driver_choose(ctx, f, &asked, &driver);
        if (r == -EINVAL) {
                pci_setting_text(ctx, "driver", "auto", setting, sizeof(setting));
                (void) snprintf(text, sizeof(text), "The setting driver names no VFIO driver: %.64s.",
                                setting);
                return put(ctx, PT_SEVERITY_BLOCKER, "not-a-vfio-driver", text, NULL,
                           "Set driver to auto, to vfio-pci or to the name of a variant driver such as "
                           "mlx5_vfio_pci.");
        }
        if (r < 0)
                return r;
        if (driver.registered || driver.loadable)
                return 0;
        if (streq(driver.name, PCI_DRIVER_DEFAULT))
                return put(ctx, PT_SEVERITY_BLOCKER, "vfio-unavailable",
                           "The running kernel has no driver vfio-pci, loaded or to be loaded.", NULL,
                           "Install a kernel that has VFIO (or the package with its further modules), and "
                           "check that nothing in /etc/modprobe.d keeps vfio-pci from loading.");
        (void) snprintf(text, sizeof(text), "The running kernel has no driver %s, loaded or to be loaded.",
                        driver.name);
        return put(ctx, PT_SEVERITY_BLOCKER, "driver-unavailable", text, NULL,
                   "Set driver to auto, or install the kernel module.");
}

static int check_demanded_reset(PtContext *ctx, const PciFunction *f, const PtRequest *request) {
        char method[PCI_RESET_METHOD_SIZE], methods[PCI_ATTRIBUTE_SIZE], text[PCI_TEXT_SIZE];

        if (!pci_demanded_reset(ctx, method) || pci_can_reset_by(ctx, f->device, request, method))
                return 0;
        if (pci_read_reset_methods(ctx, f->device, methods, sizeof(methods)) < 0 || isempty(methods))
                (void) snprintf(methods, sizeof(methods), "none");
        (void) snprintf(text, sizeof(text),
                        "The group demands the reset %s, which the kernel does not offer for this function alone; "
                        "it lists %s.", method, methods);
        return put(ctx, PT_SEVERITY_BLOCKER, "no-such-reset", text, NULL,
                   "Choose a device that offers it, or set the group's reset-method to any.");
}

static int check_reset(PtContext *ctx, const PciFunction *f, const PtRequest *request) {
        bool required = pci_setting_bool(ctx, "require-reset", false);

        if (pci_can_reset(ctx, f->device, request))
                return 0;
        return put(ctx, required ? PT_SEVERITY_BLOCKER : PT_SEVERITY_WARNING, "no-reset",
                   "The kernel knows no way to reset this function alone: what a guest leaves in it may "
                   "reach the next user, and it may not start a second time.",
                   NULL,
                   required ? "Choose a device that can be reset, or switch off the group's setting "
                              "require-reset."
                            : "Give the device to guests that trust each other, or restart the host in "
                              "between.");
}

static int check_display(PtContext *ctx, const PciFunction *f, const PtRequest *request) {
        char text[PCI_ATTRIBUTE_SIZE];

        if (f->class_code >> 8 != 0x0300 ||
            ctx->services->read_attribute(ctx, f->device, "boot_vga", text, sizeof(text)) < 0 ||
            !streq(text, "1"))
                return 0;
        return put(ctx, PT_SEVERITY_WARNING, "boot-vga",
                   "The host's firmware and console show their picture on this device; it goes dark and "
                   "does not come back before the next start.",
                   NULL,
                   "Make another GPU the primary one in the firmware setup, or have a serial console or "
                   "network access.");
}

/* Drivers whose unbind waits for the last user of the device, without limit. */
static int check_host_driver(PtContext *ctx, const PciFunction *f, const PtRequest *request) {
        if (!f->device->driver || !streq(f->device->driver, "nvidia"))
                return 0;
        return put(ctx, PT_SEVERITY_NOTE, "driver-waits-for-users",
                   "The driver nvidia does not let go of a GPU while a process has it open.", "nvidia",
                   "Stop nvidia-persistenced, DCGM and everything that computes or draws on the GPU first.");
}

static int check_bundle(PtContext *ctx, const PciFunction *f, const PtRequest *request) {
        char text[PCI_TEXT_SIZE], names[PCI_TEXT_SIZE / 2] = "";
        size_t n = 0, length = 0;

        if (!request || !request->bundle || request->device != f->device)
                return 0;
        for (const PtDevice *const *d = request->bundle; *d; d++) {
                int k;

                if (*d == f->device || streq((*d)->id, f->device->id))
                        continue;
                n++;
                k = snprintf(names + length, sizeof(names) - length, "%s%s", length > 0 ? ", " : "",
                             (*d)->sysname);
                if (k > 0 && (size_t) k < sizeof(names) - length)
                        length += (size_t) k;
                else
                        names[length] = '\0';
        }
        if (n == 0)
                return 0;
        (void) snprintf(
                text, sizeof(text),
                request->flags & PT_REQUEST_PARK_COMPANIONS
                        ? "%zu other function%s of the IOMMU group leave%s the host too and %s kept unused."
                        : "%zu other function%s of the IOMMU group move%s with the device and %s given with "
                          "it.",
                n, n == 1 ? "" : "s", n == 1 ? "s" : "", n == 1 ? "is" : "are");
        return put(ctx, PT_SEVERITY_NOTE,
                   request->flags & PT_REQUEST_PARK_COMPANIONS ? "companions-parked" : "companions-given",
                   text, names, NULL);
}

static int check_migration(PtContext *ctx, const PciFunction *f, const PtRequest *request) {
        if (!request || request->device != f->device)
                return 0;
        return put(ctx, PT_SEVERITY_NOTE, "not-migratable",
                   "The guest stays on this host while it has the device: it cannot move to another one.",
                   NULL, NULL);
}

int pci_check(PtContext *ctx, const PtDevice *device, const PtRequest *request) {
        static int (*const checks[])(PtContext *, const PciFunction *, const PtRequest *) = {
                check_iommu,   check_vfs,         check_driver, check_denylist,  check_reset, check_demanded_reset,
                check_display, check_host_driver, check_bundle, check_migration,
        };
        PciFunction f;
        int r;

        r = pci_function_load(ctx, device, &f);
        if (r < 0)
                return r;
        /* Nothing else matters for what is never offered. */
        if (f.role != PT_ROLE_OFFER)
                return check_role(ctx, &f);
        for (size_t i = 0; i < ELEMENTSOF(checks); i++) {
                r = checks[i](ctx, &f, request);
                if (r < 0)
                        return r;
        }
        return 0;
}
