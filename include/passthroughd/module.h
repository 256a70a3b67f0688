/* SPDX-License-Identifier: MIT */
#pragma once

/* The module interface of passthroughd: how a shared object adds a type of device.
 *
 * A module exports one function, PT_MODULE_ENTRY, that returns a constant descriptor. The service loads it, reads its
 * tables and calls its ops; the worker loads it again in a process of its own for the slow reads and the custom steps.
 *
 * Versions: a module states the major and minor version it was built against. Another major is refused. Within a major
 * structures only grow at their end: the service reads no more of the descriptor than `struct_size` covers, and a module
 * checks `services->struct_size` (PT_HAS_SERVICE) before it calls a service newer than the minor it needs. A module that
 * needs a newer minor than the service offers is refused. Sizes and offsets are pinned by tests.
 *
 * Rules for ops: no threads, no locale changes, no signals, no exit; no write to the host; no read that does not go through
 * the services. describe(), uses(), identity(), check(), plan() and guest() run on the service's only thread: they must be
 * quick and get everything from the services. observe() and custom steps run in the worker, which may be killed.
 * Ops return 0 or a negative errno; what they put through the services before they fail is thrown away. */

#include <stddef.h>
#include <sys/types.h>

#include <passthroughd/plan.h>
#include <passthroughd/value.h>

#define PT_ABI_MAJOR 1u
#define PT_ABI_MINOR 3u
#define PT_MODULE_ENTRY "pt_module_descriptor"

typedef struct PtContext PtContext;

/* One device of the host as the kernel names it. Owned by the caller of the op; lives as long as the call. */
typedef struct PtDevice {
        uint32_t struct_size;
        uint32_t numa_node_plus_1; /* 0: no node stated */
        const char *id;        /* "pci-0000-3b-00-0": type and place; a DNS label */
        const char *subsystem; /* "pci" */
        const char *sysname;   /* "0000:3b:00.0" */
        const char *devtype;   /* "usb_device"; NULL when the subsystem has none */
        const char *driver;    /* bound driver, NULL for none */
        int32_t iommu_group;   /* -1: none */
        uint32_t slot;         /* from 1: one of the devices that this one could make, see put_slots(); 0: itself */
        /* Since minor 2. Where it is, in a form that outlives a reboot: "0000:00:14.0/1.2" for USB (controller and ports), the
         * sysname elsewhere. */
        const char *place;
} PtDevice;

typedef enum PtSeverity {
        PT_SEVERITY_NOTE,    /* know this */
        PT_SEVERITY_WARNING, /* be careful */
        PT_SEVERITY_BLOCKER, /* why not; only this stops anything */
        _PT_SEVERITY_MAX,
} PtSeverity;

typedef struct PtFinding {
        uint32_t severity;   /* PtSeverity */
        uint32_t reserved;
        const char *code;    /* kebab-case, stable: "no-iommu-group" */
        const char *text;    /* one sentence */
        const char *culprit; /* object, process or file at fault; NULL for none */
        const char *remedy;  /* what would help; NULL for none */
} PtFinding;

typedef enum PtRole {
        PT_ROLE_OFFER = 0, /* a guest may be given it */
        PT_ROLE_BRIDGE,    /* carries other devices; never offered, does not count as a member of an IOMMU group */
        PT_ROLE_PLATFORM,  /* belongs to the host's chipset; never offered */
        PT_ROLE_PROVIDER,  /* makes devices of this type, is none itself: matched by `provider.FIELD` of rules. Since minor 1 */
        _PT_ROLE_MAX,
} PtRole;

/* One way to recognise a device again. Candidates are put strongest first; the service takes the first that no other device
 * shares now. */
typedef struct PtIdentity {
        const char *kind;      /* "serial", "vpd", "subsystem+slot", "slot" */
        uint32_t strength;     /* 0 (place only) … 100 (a serial number of the device itself) */
        uint32_t reserved;
        const char *condition; /* as in a rule: "serial = AB12 and vendor-id = 10de" */
        const char *breaks;    /* what would break it: "a move to another slot" */
} PtIdentity;

/* How a VM manager attaches one device. The service renders QEMU arguments, libvirt XML, JSON and environment from it. */
typedef struct PtAttachment {
        uint32_t struct_size;
        uint32_t flags;             /* reserved, 0 */
        const char *device;         /* id */
        const char *driver;         /* QEMU device model: "vfio-pci", "usb-host" */
        const char *libvirt_type;   /* "pci", "usb", "mdev" */
        const char *address;        /* "0000:3b:00.0" for pci, UUID for mdev, "003:007" (bus and address) for usb */
        const char *const *nodes;   /* device nodes the consumer opens, NULL-terminated */
        const char *const *properties; /* further QEMU properties "key=value", NULL-terminated; NULL for none */
        const char *const *environment; /* "PCI_DEVICE=…" for containers, NULL-terminated; NULL for none */
        /* Since minor 2. What libvirt's XML says of it beside the address, "key=value": for usb `vendor`, `product` and
         * `guestReset`. NULL-terminated; NULL for none. */
        const char *const *libvirt;
} PtAttachment;

/* A device that vanished while a consumer had it. Since minor 2. */
typedef struct PtFormer {
        uint32_t struct_size;
        uint32_t same_place;          /* not 0: the device that appeared is where it was */
        const char *const *conditions; /* of its identities, strongest first, NULL-terminated */
        const char *const *kinds;      /* of the same */
} PtFormer;

/* What one group wants of a provider that its rules select. Since minor 1. */
typedef struct PtDemand {
        uint32_t struct_size;
        uint32_t claimed;       /* devices of this provider that allocations of the group hold now */
        const char *group;      /* id */
        const char *group_name; /* for people */
} PtDemand;

/* What the service (and, where stated, only the worker) does for a module. Every function takes the context of the call.
 * Reads return the length of the text (trailing white space removed, NUL added) or a negative errno:
 * -ENOENT not there, -E2BIG longer than `size`, -EPERM not on the list of what may be read on the service's thread. */
typedef struct PtServices {
        uint32_t struct_size;
        uint32_t abi_minor;

        /* `level` is a syslog priority (3 error … 7 debug). Never blocks. */
        void (*log)(PtContext *ctx, int level, const char *text);

        ssize_t (*read_attribute)(PtContext *ctx, const PtDevice *device, const char *name, char *buffer, size_t size);
        /* Last component of the target of a link. */
        ssize_t (*read_link)(PtContext *ctx, const PtDevice *device, const char *name, char *buffer, size_t size);
        /* Calls `each` with every entry of the directory `name` ("." is the device itself), without "." and "..". */
        int (*list)(PtContext *ctx, const PtDevice *device, const char *name,
                    void (*each)(void *userdata, const char *entry), void *userdata);
        /* A property of udev's database, from the hardware database where udev has none, or one that the service adds:
         * "PT_PHYSICAL_SLOT" (PCI). NULL when unknown. */
        const char *(*property)(PtContext *ctx, const PtDevice *device, const char *key);
        /* A fact of the host: "iommu" ("none" or the units, "dmar0 dmar1"), "kernel" (release),
         * "driver:pci:NAME" (non-NULL when that driver is registered now), "module:NAME" (non-NULL when loadable or loaded),
         * "driver-module:pci:NAME" (kernel module that registered the driver; NULL also for one that is built in),
         * "parameter:MODULE:NAME" (what /sys/module/MODULE/parameters/NAME reads: "Y"),
         * "iommu-table" (ACPI table by which the firmware describes the IOMMU, "DMAR", "IVRS", "IORT" or "VIOT"; "none"),
         * "vfio-variant:MODALIAS" (of the kernel modules whose `vfio_pci:` aliases in modules.alias match the modalias, the
         * one with the fewest wildcards, as modules.alias spells it: "mlx5_vfio_pci"). NULL when unknown. */
        const char *(*host_fact)(PtContext *ctx, const char *name);
        /* A value of the device that the core has already: from describe() or, once it was observed, observe(). Returns
         * -ENODATA while unknown. Since minor 3 also "provider.FIELD", of the device that provides it: what observe() finds of that is
         * read before a plan is made and before devices are chosen. */
        int (*get_field)(PtContext *ctx, const PtDevice *device, const char *field, PtValue *ret);
        /* The effective setting of the request at hand (plan, check, guest): group's value, overridden where allowed. */
        int (*get_setting)(PtContext *ctx, const char *setting, PtValue *ret);

        /* describe, observe: fill the field with this index in the descriptor's table. */
        int (*put_field)(PtContext *ctx, uint32_t field, const PtValue *value);
        /* describe: what the device is called, for people. */
        int (*put_name)(PtContext *ctx, const char *vendor, const char *name);
        int (*put_role)(PtContext *ctx, PtRole role);
        /* uses: a resource key that the device occupies; exclusive, or shared with other shared users. */
        int (*put_key)(PtContext *ctx, const char *key, bool exclusive);
        int (*put_identity)(PtContext *ctx, const PtIdentity *identity);
        int (*put_finding)(PtContext *ctx, const PtFinding *finding);
        int (*put_step)(PtContext *ctx, const PtStep *step);
        int (*put_attachment)(PtContext *ctx, const PtAttachment *attachment);
        /* custom steps: what was observed before, as text for undo; recorded before the step goes on. health: what is to be
         * compared later, at most 4096 bytes. */
        int (*put_observed)(PtContext *ctx, const char *text);

        /* The rest is set in the worker only, NULL in the service. */

        /* Any attribute, also binary ones (config, vpd), from `offset`. Returns the number of bytes. */
        ssize_t (*read_slow)(PtContext *ctx, const PtDevice *device, const char *name, void *buffer, size_t size,
                             uint64_t offset);
        /* Writes an attribute of a device that the job has locked; -EPERM for any other. */
        int (*write_attribute)(PtContext *ctx, const PtDevice *device, const char *name, const char *value);
        /* The text a person should read when the op or step fails. */
        void (*set_error)(PtContext *ctx, const char *text);

        /* Since minor 1, in the service. */

        /* layout: a setting of the group behind the demand. */
        int (*get_demand_setting)(PtContext *ctx, const PtDemand *demand, const char *setting, PtValue *ret);
        /* layout: one value of the layout; plan() for PT_VERB_PROVISION reads it with get_setting(), and Provider.Layout shows
         * it. The name need not be one of the settings. Booleans, integers, strings. */
        int (*put_layout)(PtContext *ctx, const char *name, const PtValue *value);
        /* capacity: how many more devices of this profile the provider could make. "" where there is only one profile. Since minor 3
         * also layout, which knows what groups hold and are to have: its word counts then. */
        int (*put_capacity)(PtContext *ctx, const char *profile, uint32_t remaining);
        /* describe of a device that a provider made: id of the provider's host device ("pci-0000-08-00-0"). */
        int (*put_provider)(PtContext *ctx, const char *provider);

        /* Since minor 1, in the worker. */

        /* health: what the call before noted with put_observed(); NULL for none, as in that call itself. */
        const char *(*get_noted)(PtContext *ctx);

        /* Since minor 2, in the worker. */

        /* Opens the device's node `name` (relative to /dev, "bus/usb/003/007") for reading and writing, once it is sure that it
         * is this device's. Returns a descriptor that the module closes, or a negative errno: -EXDEV for another's node,
         * -EOPNOTSUPP for one that is no device node. */
        int (*open_node)(PtContext *ctx, const PtDevice *device, const char *name);

        /* Since minor 2. What observe() found out beyond fields, as text of the module's own (JSON, with a version in it), at
         * most 256 KiB: kept by the service with the device and handed to every other op. */
        int (*put_blob)(PtContext *ctx, const char *text); /* observe, in the worker */
        /* In the service. NULL while it is not known: the device is observed then, and the ops are asked again. The text lives
         * as long as the call. Since minor 3 a device that a provider made may ask for that of its provider, by the id of the host
         * device. */
        const char *(*get_blob)(PtContext *ctx, const PtDevice *device);

        /* Since minor 2, in the service. */

        /* layout: whether the rules behind the demand take a device whose field has this value, as far as that field is
         * concerned: 1 or 0. What the rules say of other fields is left out of account. */
        int (*demand_accepts)(PtContext *ctx, const PtDemand *demand, const char *field, const PtValue *value);
        /* describe of a provider whose devices the kernel does not know before they are made (mediated devices): how many it
         * can make at most. The service offers as many, each described by itself with its number in PtDevice.slot; everything
         * that is read of one is read of the provider. Those that are in use stay when there are fewer. */
        int (*put_slots)(PtContext *ctx, uint32_t count);
        /* plan, check, guest: whether the group or its consumer gave this setting: 1, or 0 where the default stands. */
        int (*setting_is_given)(PtContext *ctx, const char *setting);

        /* Since minor 3, in the service. */

        /* layout: how many devices of this provider the demand's group can have at most, and how many more of them now, beside
         * what the others hold and are to have. Without a word of it as many as there are free. */
        int (*put_room)(PtContext *ctx, const PtDemand *demand, uint32_t total, uint32_t available);
        /* change, verify: one value of the layout that was made (see put_layout), -ENODATA for one that it does not have. plan, check:
         * of the layout that was made of the provider of the device. */
        int (*get_made)(PtContext *ctx, const char *name, PtValue *ret);

        /* Since minor 3, in the worker. */

        /* Custom steps: runs one of the module's helpers with these words (NULL-terminated, without its name), without a shell and
         * with an empty environment, and waits for its end. `ret_output`: what it printed last, as clean text; may be NULL.
         * Its exit status, or a negative errno: -ENOENT not installed, -EPERM not root's alone, -ETIMEDOUT killed after
         * `timeout_ms`, -EINTR ended by a signal. */
        int (*run_helper)(PtContext *ctx, const char *helper, const char *const *words, uint32_t timeout_ms, char *ret_output,
                          size_t size);
        /* use: what it found, as text of one JSON object, see PtModule.use; at most 64 KiB. */
        int (*put_use)(PtContext *ctx, const char *text);

        /* Since minor 3, in the service. */

        /* layout: what one device of the demand is called for people ("24Q"), and how much of the provider it takes, in a unit of the
         * module's own. Whoever chooses keeps room for the largest that other groups want, as put_room() tells. */
        int (*put_size)(PtContext *ctx, const PtDemand *demand, const char *name, uint32_t size);
        /* capacity: what is known of a profile that put_capacity() has named, one value a call ("framebuffer", "placements"); shown
         * in Provider.Profiles. */
        int (*put_profile)(PtContext *ctx, const char *profile, const char *name, const PtValue *value);
} PtServices;

struct PtContext {
        const PtServices *services;
};

#define PT_HAS_SERVICE(services, member)                                                                               \
        ((services)->struct_size >= offsetof(PtServices, member) + sizeof((services)->member) &&                       \
         (services)->member != NULL)

/* Which kernel devices the module wants to see: all stated members must match. Evaluated before module code runs. */
typedef struct PtFilter {
        const char *subsystem; /* required */
        const char *devtype;   /* NULL: any */
        const char *driver;    /* NULL: any */
        int32_t vendor;        /* PCI vendor id; -1: any */
        int32_t class_code;    /* PCI class code compared under class_mask; -1: any */
        uint32_t class_mask;
} PtFilter;

/* What a plan is asked for: the bundle that moves together and whom it is for. */
typedef struct PtRequest {
        uint32_t struct_size;
        uint32_t verb;                      /* PtVerb */
        const PtDevice *device;             /* what the consumer asked for */
        const PtDevice *const *bundle;      /* `device` and its companions, NULL-terminated */
        uint32_t uid, gid;                  /* whom the nodes are for */
        uint32_t flags;                     /* PtRequestFlags */
        uint32_t reserved;
        /* Since minor 2. For what has to be named: the same for this device of the allocation as long as that exists, power
         * cycles included, and no other's. NULL where no allocation is asked for. */
        const char *uuid;
} PtRequest;

typedef enum PtRequestFlags {
        PT_REQUEST_PARK_COMPANIONS = 1 << 0, /* companions are not the consumer's: kept without one */
} PtRequestFlags;

/* A step of the module's own, executed in the worker. `observe` records what `undo` needs and is called first. All get the
 * step as it was planned. */
typedef struct PtCustomStep {
        const char *name;
        int (*observe)(PtContext *ctx, const PtDevice *device, const PtStep *step);
        int (*run)(PtContext *ctx, const PtDevice *device, const PtStep *step);
        int (*undo)(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed);
} PtCustomStep;

/* A program of a vendor that steps of the module may run. Since minor 3. */
typedef struct PtHelper {
        const char *name; /* for run_helper(): "sriov-manage" */
        const char *path; /* absolute; it and what it lies in belong to root, and nobody else may write there */
} PtHelper;

typedef enum PtTypeFlags {
        PT_TYPE_SHARED = 1 << 0,      /* one host device serves several consumers (1:n) */
        PT_TYPE_MIGRATABLE = 1 << 1,  /* a guest with it can move to another host */
        PT_TYPE_NEEDS_IOMMU = 1 << 2, /* useless without an IOMMU */
        /* Since minor 2. A device that is enumerated anew (a reset, a firmware that starts, a plug pulled and put back) may go on
         * being its consumer's: follow() says whether it is the same, PT_VERB_FOLLOW makes it ready again. How long the
         * service waits is the setting "follow-time" (u, seconds) of the type. */
        PT_TYPE_FOLLOWS = 1 << 3,
        /* Since minor 3. What a provider makes stays with the driver that it has on the host while guests have it: that there is one
         * is no use by the host, and its VFIO node is looked at whichever driver made it. */
        PT_TYPE_KEEPS_DRIVER = 1 << 4,
} PtTypeFlags;

typedef struct PtModule {
        uint32_t abi_major, abi_minor;
        uint32_t struct_size;
        uint32_t flags;            /* PtTypeFlags */
        const char *type;          /* [a-z][a-z0-9]*, at most 16 */
        const char *title;         /* "PCI device" */
        const char *version;       /* the module's own */
        const char *documentation; /* URL or man page, "man:passthroughd-pci(7)" */
        const char *guest_driver;  /* what the guest needs, one sentence */
        const char *const *use_cases; /* NULL-terminated */
        const char *default_class; /* class of a new group: "pci", "usb", "network", "vgpu" … */

        const PtFilter *filters; /* ended by one with subsystem NULL */
        const PtField *fields;   /* ended by one with name NULL; at most 64 */
        const PtSetting *settings; /* ended by one with name NULL; NULL for none */
        const PtCustomStep *custom_steps; /* ended by one with name NULL; NULL for none */

        /* Fills the quick fields, the name and the role. Required. */
        int (*describe)(PtContext *ctx, const PtDevice *device);
        /* Fills the slow fields; in the worker. NULL when there are none. */
        int (*observe)(PtContext *ctx, const PtDevice *device);
        /* The resource keys. Required. The core adds "iommu:N". */
        int (*uses)(PtContext *ctx, const PtDevice *device);
        /* Identities, strongest first. NULL: the place only. */
        int (*identity)(PtContext *ctx, const PtDevice *device);
        /* Findings about giving this device away. `request` is NULL when nobody asks for it yet. NULL: none. */
        int (*check)(PtContext *ctx, const PtDevice *device, const PtRequest *request);
        /* Steps for the verb. Required. */
        int (*plan)(PtContext *ctx, const PtRequest *request);
        /* How the consumer attaches it. Required. */
        int (*guest)(PtContext *ctx, const PtRequest *request);

        /* Since minor 1. */

        /* Types whose devices are made by providers set the next two; NULL otherwise. layout() decides on the one layout that
         * serves all demands (NULL-terminated; the groups in order of creation), and puts it; where there is none, it puts a
         * blocker that names the group at fault as culprit. A pure function of device, demands and settings.
         *
         * A provider's uses() names what a change of its layout must have for itself: exclusive keys keep it from happening
         * while any of its devices is claimed. While it has a layout, the service holds the same keys shared, so that nobody
         * takes the provider itself. */
        int (*layout)(PtContext *ctx, const PtDevice *provider, const PtDemand *const *demands);
        int (*capacity)(PtContext *ctx, const PtDevice *provider);
        /* In the worker, after a device was given back or reset: puts a blocker for a device that must not be given to the next
         * owner ("does not answer"); warnings and notes are told. Called before the device is made ready or reset too, to note
         * with put_observed() what the call after compares with get_noted(); what that call finds is not used. Only reads.
         * NULL: nothing is looked at. */
        int (*health)(PtContext *ctx, const PtDevice *device);

        /* Since minor 2. */

        /* Whether `device`, which has just appeared, is the one that the consumer had: -ENODEV when it is not, 0 and a blocker that
         * says so when people would expect it, as another device in its place. NULL: whatever is at the place is. */
        int (*follow)(PtContext *ctx, const PtDevice *device, const PtFormer *former);
        /* Whether settings that were just given fit each other, and are what the schema cannot say (an address): puts a blocker for
         * what does not, which refuses them. Without a device: get_setting(), setting_is_given() and put_finding() are all there
         * is. NULL: whatever the schema takes. */
        int (*check_settings)(PtContext *ctx);

        /* Since minor 3. */

        const PtHelper *helpers; /* ended by one with name NULL; NULL for none */
        /* Whether the layout that was made (get_made) can become the new one (get_setting) while devices are in use: 1 when the
         * steps of PT_VERB_PROVISION leave alone what is; 0 when everything has to be undone first, for which nothing may be in
         * use. NULL: the steps of another layout take the place of the earlier ones, and nothing may be in use. */
        int (*change)(PtContext *ctx, const PtDevice *provider);
        /* Whether what was made is still so, as far as get_blob() and the fields tell: puts a blocker for everything that is not, and
         * the service makes it anew. NULL: the number of devices tells. */
        int (*verify)(PtContext *ctx, const PtDevice *provider);
        /* In the worker, while somebody watches: how much of a provider is used now. {"gpu": percent, ...,
         * "devices": [{"device": its sysname or UUID, ...}]}; which members there are is the type's own business, numbers are
         * integers. What is wrong with a device is in its "findings": [{"severity": "warning" or "note", "code", "text", "remedy"}],
         * which its holder is told by Explain. The devices that the provider made can be read, too. -EOPNOTSUPP where nothing can be
         * measured, with the reason by set_error(). NULL: nothing is measured. */
        int (*use)(PtContext *ctx, const PtDevice *provider);
} PtModule;

/* What a descriptor of minor 0 covers: no valid one is shorter. */
#define PT_MODULE_SIZE_1_0 (offsetof(PtModule, guest) + sizeof(((PtModule *) NULL)->guest))

typedef const PtModule *(*PtModuleEntry)(void);

/* Defines the exported entry point of a module. */
#define PT_MODULE_DEFINE(descriptor)                                                                                   \
        __attribute__((visibility("default"))) const PtModule *pt_module_descriptor(void);                            \
        const PtModule *pt_module_descriptor(void) {                                                                  \
                return &(descriptor);                                                                                 \
        }
