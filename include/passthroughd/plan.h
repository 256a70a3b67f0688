/* SPDX-License-Identifier: MIT */
#pragma once

/* A plan: what a module wants done to devices, as data. A module never writes to the host itself; the worker executes the
 * steps one by one, records what it observed before each, and undoes them in reverse from that record. */

#include <stdint.h>

typedef enum PtStepKind {
        PT_STEP_INVALID = 0,
        /* Write `value` to the attribute `name` of the device's sysfs directory and read it back. */
        PT_STEP_WRITE_ATTRIBUTE,
        /* Bind the device to the driver `value`: driver_override, unbind, drivers_probe, read the `driver` link back. An
         * empty `value` unbinds and leaves the device without a driver. Undo: the driver and the override found before. `name`
         * NULL means the device itself, else the part of it that has this name, an interface of a USB device ("1-2:1.0"). Since
         * minor 2. */
        PT_STEP_SET_DRIVER,
        /* Function reset through the `reset` attribute. `value`: the only method that will do, a word of `reset_method`, which
         * is narrowed to it for the moment; NULL leaves the choice to the kernel. Nothing to undo. */
        PT_STEP_RESET,
        /* Give the device's node `name` (relative to /dev, e.g. "vfio/17") to `uid`:`gid` with `mode`. The node's device
         * number must be the one that sysfs states for the device. Undo: owner and mode found before. */
        PT_STEP_NODE_OWNER,
        /* Make sure that the kernel module `name` is loaded. Executed by the service itself, before the worker starts. */
        PT_STEP_LOAD_MODULE,
        /* Wait until the attribute `name` reads `value`; an empty `value` waits until the entry `name` exists. */
        PT_STEP_WAIT,
        /* The module's own step `name`, see PtCustomStep; `value` is passed through. */
        PT_STEP_CUSTOM,
        /* Set the number of virtual functions of the device to `value` (decimal): autoprobe off, 0 first where another number is
         * set, then the number, read back (a driver may take the write and enable fewer), and the virtfnN links awaited. Undo:
         * the number and the autoprobe flag found before. Since minor 1. */
        PT_STEP_SET_VF_COUNT,
        /* Make a mediated device: the UUID `value` goes to mdev_supported_types/`name`/create of the device; its IOMMU group and
         * VFIO node are awaited, and the node is given to `uid`:`gid` with `mode`. Refused when there is a mediated device of
         * this UUID already. Undo: it is removed, as often as it takes until the driver lets go. Since minor 2. */
        PT_STEP_CREATE_MDEV,
        _PT_STEP_MAX,
} PtStepKind;

typedef enum PtStepFlags {
        PT_STEP_IDEMPOTENT = 1 << 0, /* may be run again without harm */
        PT_STEP_NO_RETURN = 1 << 1,  /* point of no return: cannot be undone */
        PT_STEP_OPTIONAL = 1 << 2,   /* its failure is a warning of the job, not its end */
        PT_STEP_DEMANDED = 1 << 3,   /* of what precedes a give-back: a device that it fails for goes into quarantine. Since minor 1 */
        PT_STEP_OF_UUID = 1 << 4,   /* `value` is made of PtRequest.uuid: a plan for a consumer yet to come fits it. Since minor 2 */
} PtStepFlags;

typedef struct PtStep {
        uint32_t kind;  /* PtStepKind */
        uint32_t flags; /* PtStepFlags */
        const char *device;   /* id of the device it acts on, or the id of a companion; NULL for PT_STEP_LOAD_MODULE */
        const char *name;     /* see the kinds; NULL where not used */
        const char *value;    /* see the kinds; NULL where not used */
        const char *sentence; /* what happens, for people: "bind 0000:3b:00.0 to vfio-pci" */
        uint32_t timeout_ms;  /* 0: the default of the kind */
        uint32_t uid, gid;    /* PT_STEP_NODE_OWNER, PT_STEP_CREATE_MDEV */
        uint32_t mode;        /* of the same: permission bits */
} PtStep;

/* What plan() can be asked for. */
typedef enum PtVerb {
        PT_VERB_ACTIVATE,   /* make the device ready for its consumer */
        PT_VERB_DEACTIVATE, /* what must happen before the steps of activate are undone */
        PT_VERB_RESET,      /* reset a device that nobody holds */
        /* Since minor 1. */
        PT_VERB_PROVISION,   /* `device` is a provider: make the devices of its layout; get_setting() reads the layout */
        PT_VERB_UNPROVISION, /* put the provider back to what was found */
        PT_VERB_FOLLOW,      /* the device of an active allocation came back, maybe elsewhere: make it ready again */
        _PT_VERB_MAX,
} PtVerb;
