/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What speaks against making functions on a PF. What speaks against giving a VF away is what speaks against any function. */

#include <stdio.h>

#include "sriov-settings.h"
#include "sriov.h"

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

/* Drivers that bind PFs and make no functions on them (no sriov_configure; vfio-pci only with a module option). */
static bool driver_makes_none(PtContext *ctx, const char *driver) {
        const char *option;

        if (streq(driver, "mlx4_core"))
                return true;
        if (!streq(driver, "vfio-pci"))
                return strstr(driver, "vfio") != NULL;
        option = ctx->services->host_fact(ctx, "parameter:vfio_pci:enable_sriov");
        return !option || !streq(option, "Y");
}

static int check_driver(PtContext *ctx, const PtDevice *device) {
        char text[PCI_TEXT_SIZE];

        if (isempty(device->driver))
                return put(ctx, PT_SEVERITY_BLOCKER, "no-driver",
                           "The physical function has no driver, and only its driver can make virtual ones.", NULL,
                           "Load the driver of the card and bind it; pci-pf-stub makes virtual functions on one that "
                           "needs no driver of its own.");
        if (!driver_makes_none(ctx, device->driver))
                return 0;
        (void) snprintf(text, sizeof(text), "The driver %.64s does not make virtual functions.", device->driver);
        return put(ctx, PT_SEVERITY_BLOCKER, "driver-makes-no-vfs", text, device->driver,
                   streq(device->driver, "mlx4_core")
                           ? "mlx4_core makes them at its start: set its module option num_vfs (a file in /etc/modprobe.d)."
                           : "Bind the physical function to the driver of its vendor.");
}

/* The kernel hides interfaces of other network namespaces; whoever moved one there manages the card. */
static int check_interface(PtContext *ctx, const PtDevice *device) {
        char interface[PCI_ATTRIBUTE_SIZE];

        if (isempty(device->driver) || !sriov_is_network(ctx, device) ||
            sriov_interface(ctx, device, interface, sizeof(interface)) >= 0)
                return 0;
        return put(ctx, PT_SEVERITY_WARNING, "no-interface",
                   "The physical function has a driver but no network interface here: it may be in another network "
                   "namespace. Its virtual functions can be made, but not given network settings.",
                   NULL, "Move the interface back to the host's network namespace.");
}

static int check_pf(PtContext *ctx, const PtDevice *device) {
        int r;

        r = check_driver(ctx, device);
        return r < 0 ? r : check_interface(ctx, device);
}

int sriov_check(PtContext *ctx, const PtDevice *device, const PtRequest *request) {
        char physfn[PCI_ADDRESS_SIZE];
        int r;

        switch (sriov_kind(ctx, device, physfn)) {
        case SRIOV_PF:
                return check_pf(ctx, device);
        case SRIOV_VF:
                r = pci_check(ctx, device, request);
                return r < 0 ? r : sriov_check_settings(ctx, device, request);
        case SRIOV_NEITHER:
        default:
                return -ENODEV;
        }
}
