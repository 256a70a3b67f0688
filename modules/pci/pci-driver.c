/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which VFIO driver takes a function. vfio-pci fits every one; for a few models the kernel has variants of
 * it that can do more (live migration, for one). Those bind through driver_override only, and state what
 * they fit in modules.alias with the prefix "vfio_pci:" instead of "pci:". libvirt 10 chooses in the same
 * way, so a device behaves the same under both. */

#include <stdio.h>

#include "pci.h"

/* Drivers are called like their module with underscores (the kernel's KBUILD_MODNAME), but for these. */
static const struct {
        const char *module;
        const char *driver;
} DRIVER_NAMES[] = {
        { "vfio_pci", "vfio-pci" },
        { "pds_vfio_pci", "pds-vfio-pci" },
};

/* Module names are compared with '-' and '_' as one letter, as modprobe does. */
static void normalise(const char *name, char with, char *ret, size_t size) {
        (void) snprintf(ret, size, "%s", name);
        for (char *p = ret; *p; p++)
                if (*p == '-' || *p == '_')
                        *p = with;
}

static bool driver_is_registered(PtContext *ctx, const char *name) {
        char fact[96];

        (void) snprintf(fact, sizeof(fact), "driver:pci:%s", name);
        return ctx->services->host_fact(ctx, fact) != NULL;
}

static bool module_is_loadable(PtContext *ctx, const char *name) {
        char fact[96];

        (void) snprintf(fact, sizeof(fact), "module:%s", name);
        return ctx->services->host_fact(ctx, fact) != NULL;
}

static bool name_is_valid(const char *name) {
        return strlen(name) < sizeof(((PciDriver *) NULL)->name) && !isempty(name) &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
                       strlen(name);
}

/* From the name of a module, or of a driver as the setting gives it. */
static void driver_from_name(PtContext *ctx, const char *name, PciDriver *ret) {
        char underscores[sizeof(ret->name)], dashes[sizeof(ret->name)];
        const char *driver = NULL;

        normalise(name, '_', underscores, sizeof(underscores));
        normalise(name, '-', dashes, sizeof(dashes));
        for (size_t i = 0; i < ELEMENTSOF(DRIVER_NAMES); i++)
                if (streq(DRIVER_NAMES[i].module, underscores))
                        driver = DRIVER_NAMES[i].driver;
        /* What is registered now outranks every rule about names. */
        if (driver_is_registered(ctx, underscores))
                driver = underscores;
        else if (driver_is_registered(ctx, dashes))
                driver = dashes;
        if (!driver)
                driver = underscores;

        *ret = (PciDriver){ .registered = driver_is_registered(ctx, driver) };
        (void) snprintf(ret->name, sizeof(ret->name), "%s", driver);
        (void) snprintf(ret->module, sizeof(ret->module), "%s", name);
        ret->loadable = module_is_loadable(ctx, ret->module);
}

void pci_driver_generic(PtContext *ctx, PciDriver *ret) {
        driver_from_name(ctx, PCI_DRIVER_DEFAULT, ret);
}

/* The variant made for the function, if the kernel has one. */
static bool choose_variant(PtContext *ctx, const PtDevice *device, PciDriver *ret) {
        char modalias[PCI_ATTRIBUTE_SIZE], fact[PCI_ATTRIBUTE_SIZE + sizeof("vfio-variant:")];
        const char *module;

        if (ctx->services->read_attribute(ctx, device, "modalias", modalias, sizeof(modalias)) < 0)
                return false;
        (void) snprintf(fact, sizeof(fact), "vfio-variant:%s", modalias);
        module = ctx->services->host_fact(ctx, fact);
        if (!module || !name_is_valid(module))
                return false;
        driver_from_name(ctx, module, ret);
        return true;
}

int pci_driver_choose(PtContext *ctx, const PciFunction *function, const PciFunction *asked,
                      PciDriver *ret) {
        char setting[PCI_ATTRIBUTE_SIZE];
        bool same_model = function->vendor == asked->vendor && function->product == asked->product;

        pci_setting_text(ctx, "driver", "auto", setting, sizeof(setting));
        if (!streq(setting, "auto") && same_model) {
                /* Any other driver would bind and leave the guest without a device. All VFIO drivers are
                 * called so. */
                if (!name_is_valid(setting) || !strstr(setting, "vfio"))
                        return -EINVAL;
                driver_from_name(ctx, setting, ret);
                return 0;
        }
        if (!streq(setting, PCI_DRIVER_DEFAULT) && choose_variant(ctx, function->device, ret))
                return 0;
        pci_driver_generic(ctx, ret);
        return 0;
}
