/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Activate binds every function of the bundle to a VFIO driver, the parked ones too: a group is viable only
 * when no function in it is bound to a host driver. What was there before is restored by undoing the steps;
 * deactivate has only the reset. */

#include <stdio.h>

#include "pci.h"

static int put_load_module(PtContext *ctx, const PciDriver *driver) {
        char sentence[PCI_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "load the kernel module %s", driver->module);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_LOAD_MODULE,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .name = driver->module,
                                                    .sentence = sentence,
                                            });
}

static int put_set_driver(PtContext *ctx, const PtDevice *device, const PciDriver *driver) {
        char sentence[PCI_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "bind %s to %s", device->sysname, driver->name);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_SET_DRIVER,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = device->id,
                                                    .value = driver->name,
                                                    .sentence = sentence,
                                            });
}

static int put_node_owner(PtContext *ctx, const PtRequest *request, const PtDevice *device) {
        char name[32], sentence[PCI_TEXT_SIZE];

        (void) snprintf(name, sizeof(name), "vfio/%d", device->iommu_group);
        (void) snprintf(sentence, sizeof(sentence), "give /dev/%s to user %u", name, request->uid);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_NODE_OWNER,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = device->id,
                                                    .name = name,
                                                    .sentence = sentence,
                                                    .uid = request->uid,
                                                    .gid = request->gid,
                                                    .mode = request->gid == 0 ? 0600 : 0660,
                                            });
}

/* `method`: NULL leaves it to the kernel. */
static int put_reset(PtContext *ctx, const PtDevice *device, const char *method, uint32_t flags) {
        char sentence[PCI_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "reset %s%s%s", device->sysname, method ? " by " : "",
                        strempty(method));
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_RESET,
                                                    .flags = flags,
                                                    .device = device->id,
                                                    .value = method,
                                                    .sentence = sentence,
                                            });
}

/* Modules that have their step already. More than a bundle can need; one too many would be loaded twice,
 * which does no harm. */
#define MODULES_MAX 8

typedef struct ModuleList {
        char names[MODULES_MAX][64];
        size_t n;
} ModuleList;

static bool list_add(ModuleList *list, const char *name) {
        for (size_t i = 0; i < list->n; i++)
                if (streq(list->names[i], name))
                        return false;
        if (list->n < ELEMENTSOF(list->names))
                (void) snprintf(list->names[list->n++], sizeof(list->names[0]), "%s", name);
        return true;
}

static int choose_driver(PtContext *ctx, const PtRequest *request, const PciFunction *asked,
                         const PciFunction *f, PciDriver *ret) {
        bool companion = !streq(f->device->id, request->device->id);

        if (companion && request->flags & PT_REQUEST_PARK_COMPANIONS) {
                pci_driver_generic(ctx, ret);
                return 0;
        }
        return pci_driver_choose(ctx, f, asked, ret);
}

static int plan_activate(PtContext *ctx, const PtRequest *request) {
        ModuleList loaded = { 0 };
        PciFunction asked;
        int r;

        r = pci_function_load(ctx, request->device, &asked);
        if (r < 0)
                return r;
        /* Without a group there is no node and no VFIO: check() says so to people. */
        if (asked.role != PT_ROLE_OFFER || request->device->iommu_group < 0)
                return -EOPNOTSUPP;

        /* Modules first: they are loaded by the service, before any device is touched. */
        for (size_t pass = 0; pass < 2; pass++)
                for (const PtDevice *const *d = request->bundle; *d; d++) {
                        PciDriver driver;
                        PciFunction f;

                        if (!streq((*d)->subsystem, "pci"))
                                continue;
                        r = pci_function_load(ctx, *d, &f);
                        if (r < 0)
                                return r;
                        if (f.role == PT_ROLE_BRIDGE)
                                continue;
                        if (f.role != PT_ROLE_OFFER)
                                return -EOPNOTSUPP;
                        r = choose_driver(ctx, request, &asked, &f, &driver);
                        if (r < 0)
                                return r;
                        if (pass == 1)
                                r = put_set_driver(ctx, *d, &driver);
                        else if (!driver.registered && list_add(&loaded, driver.module))
                                r = put_load_module(ctx, &driver);
                        if (r < 0)
                                return r;
                }

        return put_node_owner(ctx, request, request->device);
}

/* Parked companions are reset too: who holds the group's node can open every function of it. */
static int plan_deactivate(PtContext *ctx, const PtRequest *request) {
        bool required = pci_setting_bool(ctx, "require-reset", false);
        char method[PCI_RESET_METHOD_SIZE];
        bool demanded = pci_demanded_reset(ctx, method);
        int r;

        for (const PtDevice *const *d = request->bundle; *d; d++) {
                uint32_t flags = PT_STEP_IDEMPOTENT | PT_STEP_OPTIONAL;
                PciFunction f;

                if (!streq((*d)->subsystem, "pci"))
                        continue;
                r = pci_function_load(ctx, *d, &f);
                if (r < 0)
                        return r;
                /* One that is demanded and not offered any more fails, and is told so. */
                if (f.role != PT_ROLE_OFFER || (!demanded && !pci_can_reset(ctx, *d, request)))
                        continue;
                if (demanded || required)
                        flags |= PT_STEP_DEMANDED;
                r = put_reset(ctx, *d, demanded ? method : NULL, flags);
                if (r < 0)
                        return r;
        }
        return 0;
}

int pci_plan(PtContext *ctx, const PtRequest *request) {
        switch ((PtVerb) request->verb) {
        case PT_VERB_ACTIVATE:
                return plan_activate(ctx, request);
        case PT_VERB_DEACTIVATE:
                return plan_deactivate(ctx, request);
        case PT_VERB_RESET:
                if (!pci_can_reset(ctx, request->device, request))
                        return -EOPNOTSUPP;
                return put_reset(ctx, request->device, NULL, PT_STEP_IDEMPOTENT);
        case PT_VERB_PROVISION:
        case PT_VERB_UNPROVISION:
        case PT_VERB_FOLLOW:
                return -EOPNOTSUPP;
        case _PT_VERB_MAX:
                break;
        }
        return -EINVAL;
}

/* Whether the bundle has another function of the same card. */
static bool bundle_has_sibling(const PtRequest *request, const PtDevice *device) {
        for (const PtDevice *const *d = request->bundle; *d; d++)
                if (!streq((*d)->id, device->id) && streq((*d)->subsystem, "pci") &&
                    pci_same_slot(*d, device))
                        return true;
        return false;
}

static int put_attachment(PtContext *ctx, const PtRequest *request, const PtDevice *device, const char *const *libvirt,
                          size_t index) {
        char node[32], environment[64];
        const char *properties[4] = { 0 };
        bool parked = request->flags & PT_REQUEST_PARK_COMPANIONS;
        size_t n = 0;

        (void) snprintf(node, sizeof(node), "/dev/vfio/%d", device->iommu_group);
        /* The variables of several devices end up in one environment. */
        if (index == 0)
                (void) snprintf(environment, sizeof(environment), "PCI_DEVICE=%s", device->sysname);
        else
                (void) snprintf(environment, sizeof(environment), "PCI_DEVICE_%zu=%s", index,
                                device->sysname);

        /* Drivers of a multi-function card look for its other functions in their own slot. QEMU wants the
         * property on function 0; the renderer keeps the functions of one slot together. */
        if (!parked && pci_function_number(device) == 0 && bundle_has_sibling(request, device))
                properties[n++] = "multifunction=on";
        if (!pci_setting_bool(ctx, "rom-bar", true))
                properties[n++] = "rombar=0";

        return ctx->services->put_attachment(
                ctx, &(PtAttachment){
                             .struct_size = sizeof(PtAttachment),
                             .device = device->id,
                             .driver = "vfio-pci",
                             .libvirt_type = "pci",
                             .address = device->sysname,
                             .nodes = (const char *const[]){ "/dev/vfio/vfio", node, NULL },
                             .properties = n > 0 ? properties : NULL,
                             .environment = (const char *const[]){ environment, NULL },
                             .libvirt = libvirt,
                     });
}

int pci_guest(PtContext *ctx, const PtRequest *request) {
        return pci_guest_with(ctx, request, NULL);
}

int pci_guest_with(PtContext *ctx, const PtRequest *request, const char *const *libvirt) {
        size_t index = 0;
        int r;

        if (request->device->iommu_group < 0)
                return -EOPNOTSUPP;
        r = put_attachment(ctx, request, request->device, libvirt, index++);
        if (r < 0 || request->flags & PT_REQUEST_PARK_COMPANIONS)
                return r;
        for (const PtDevice *const *d = request->bundle; *d; d++) {
                PciFunction f;

                if (streq((*d)->id, request->device->id) || !streq((*d)->subsystem, "pci"))
                        continue;
                r = pci_function_load(ctx, *d, &f);
                if (r < 0)
                        return r;
                if (f.role != PT_ROLE_OFFER)
                        continue;
                r = put_attachment(ctx, request, *d, NULL, index++);
                if (r < 0)
                        return r;
        }
        return 0;
}
