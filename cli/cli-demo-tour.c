/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the demo shows on each host. */

#include "cli-demo.h"

static const DemoStep whole_life[] = {
        { "How is the service?", { "status" } },
        { "The hardware of this host, by IOMMU group: what shares one moves together or not at all.",
          { "devices", "--tree", "--columns=place,name,type,driver,state" } },
        { "Make a resource of the graphics card: a group, with a rule that knows the card by its strongest "
          "identity.",
          { "make-resource", "gpus", "0000:01:00.0" } },
        { "The rule can be read and edited.", { "rules" } },
        { "What would another rule match, and what does it just miss?",
          { "preview", "gpus", "vendor-id = 10de and class-type = \"Display controller\"" } },
        { "What would a virtual machine get, and what would be done for it?", { "plan", "gpus" } },
        { "Claim one for a virtual machine. Nothing is touched yet.", { "allocate", "vm1", "gpus" } },
        { "The virtual machine powers on: the device is chosen, prepared and bound.",
          { "activate", "vm1" } },
        { "How QEMU attaches it.", { "show", "vm1", "--format=qemu" } },
        { "Both functions of the card are with the VFIO driver now.",
          { "devices", "--where", "vendor-id = 10de",
            "--columns=place,name,driver,state,groups,rules,consumer" } },
        { "Nobody else can have it.", { "allocate", "vm2", "gpus", "--activate" }, STATUS_UNAVAILABLE },
        { "Why not?", { "explain", "group", "gpus" } },
        { "The virtual machine powers off: the card goes back to its driver.", { "deactivate", "vm1" } },
        { "The claims end.", { "release", "vm1" } },
        { NULL, { "release", "vm2" } },
        { "The graphics card has its own driver again.", { "device", "show", "0000:01:00.0" } },
        { "Not every device can be had: this one is a part of the chipset.",
          { "explain", "device", "0000:00:1f.0" } },
        { "Who took what, and when.", { "history" } },
        { 0 },
};

static const DemoStep without_iommu[] = {
        { "A host whose kernel was told not to use its IOMMU.",
          { "devices", "--columns=place,name,driver,iommu-group,state" } },
        { "Why can the network card not be had?", { "explain", "device", "0000:01:00.0" } },
        { "A group can be made all the same.", { "make-resource", "nics", "0000:01:00.0" } },
        { "But it has nothing to give.", { "groups" } },
        { "An activation is refused, and says why.",
          { "allocate", "vm1", "nics", "--activate" },
          STATUS_UNAVAILABLE },
        { "The claim ends.", { "release", "vm1" } },
        { 0 },
};

static const DemoStep any_host[] = {
        { "How is the service?", { "status" } },
        { "The hardware of this host, by IOMMU group.", { "devices", "--tree" } },
        { "The types of devices that can be given to guests.", { "modules" } },
        { 0 },
};

static const DemoTour tours[] = {
        { "demo", whole_life, "0000:01:00.0" },
        { "no-iommu", without_iommu, "0000:01:00.0" },
};

const DemoTour *demo_tour(const char *name) {
        static const DemoTour general = { "any", any_host, NULL };

        for (size_t i = 0; i < ELEMENTSOF(tours); i++)
                if (streq(tours[i].name, name))
                        return &tours[i];
        return &general;
}
