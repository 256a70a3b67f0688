/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verb table. The parser, the help, the completion and the list in the manual page all follow it. */

#include "cli-verbs.h"

const Option common_options[] = {
        { "help", 'h', NULL, NULL, "show help and end" },
        { "version", 0, NULL, NULL, "show the version and end" },
        { "host", 'H', "HOST", "@hosts", "talk to the service of another host, [USER@]HOST, by ssh" },
        { "json", 'j', NULL, NULL, "answer in JSON" },
        { "no-legend", 0, NULL, NULL, "tables without headings" },
        { "no-wait", 0, NULL, NULL, "do not wait for jobs, print their number" },
        { "timeout", 0, "SECONDS", NULL, "wait no longer than that; the job goes on" },
        { "no-ask-password", 0, NULL, NULL, "never ask for a password" },
        { 0 },
};

static const Option devices_options[] = {
        { "tree", 't', NULL, NULL, "as a tree by IOMMU group" },
        { "type", 0, "TYPE", "@types", "of one type" },
        { "where", 'w', "CONDITIONS", NULL, "that fit: 'vendor-id = 10de and numa-node <= 1'" },
        { "group", 'g', "GROUP", "@groups", "members of a group" },
        { "state", 0, "STATE[,…]",
          "free claimed active in-use-by-host critical forbidden unprovisioned quarantined failed gone",
          "in these states" },
        { "filter", 'f', "TEXT", NULL, "with this text in any field, without regard to case" },
        { "columns", 'c', "NAME[,…]", "@fields", "which columns; every field of a type is one" },
        { "sort", 's', "NAME", "@fields", "order by this column" },
        { "reverse", 'r', NULL, NULL, "the other way round" },
        { 0 },
};

/* clang-format off */
#define GROUP_BODY                                                                                      \
        { "description", 0, "TEXT", NULL, "free text" },                                                \
        { "class", 0, "CLASS", "gpu vgpu storage hid usb network media audio fpga pci unknown", "icon" }, \
        { "choice", 0, "POLICY", "order pack spread numa", "how a device is chosen" },                  \
        { "tenant", 0, "NAME", NULL, "whose it is" },                                                   \
        { "user-defined", 0, "NAME[,…]", NULL, "settings that a request may change" },                  \
        { "set", 0, "NAME=VALUE", NULL, "a setting of the type; may stand several times" }

#define RULE_BODY                                                                                       \
        { "name", 0, "NAME", NULL, "what it is called" },                                               \
        { "action", 0, "ACTION", "include exclude", "what it does with the devices that fit" },         \
        { "enabled", 0, "BOOL", "yes no", "whether it is in force" },                                   \
        { "node-filter", 0, "PATTERN", NULL, "hosts on which it is; all without" }
/* clang-format on */

static const Option group_create_options[] = {
        { "id", 0, "ID", NULL, "its id; else made from the name" },
        { "disabled", 0, NULL, NULL, "gives nothing yet" },
        GROUP_BODY,
        { 0 },
};

static const Option group_update_options[] = {
        { "name", 0, "NAME", NULL, "another name; the id stays" },
        GROUP_BODY,
        { 0 },
};

static const Option rule_add_options[] = {
        { "id", 0, "ID", NULL, "its id; else made from the group's" },
        RULE_BODY,
        { 0 },
};

static const Option rule_update_options[] = { RULE_BODY, { 0 } };

static const Option rules_options[] = {
        { "group", 'g', "GROUP", "@groups", "of one group" },
        { 0 },
};

static const Option allocations_options[] = {
        { "consumer", 0, "NAME", "@consumers", "of one consumer" },
        { "state", 0, "STATE", "claimed waiting activating active draining deactivating lost failed following",
          "in this state" },
        { 0 },
};

static const Option allocate_options[] = {
        { "activate", 'a', NULL, NULL, "at once" },
        { "wait", 0, NULL, NULL, "an activation waits until a device is free" },
        { "thick", 0, NULL, NULL, "reserve the devices now and over power cycles" },
        { "uuid", 0, "UUID", NULL, "its id; the same again gives the same allocation" },
        { "lifetime", 0, "LIFETIME", "persistent unit", "what it ends with" },
        { "unit", 0, "UNIT", NULL, "the unit, for --lifetime=unit" },
        { "owner", 0, "USER", "@users", "whose it is" },
        { "node-owner", 0, "USER", "@users", "who may open the device nodes" },
        { "plan", 0, "TOKEN", NULL, "activate as this plan says, or not at all" },
        { 0 },
};

static const Option show_options[] = {
        { "format", 0, "FORMAT", "qemu libvirt libvirt-interface json env", "what a VM manager needs to attach the devices" },
        { 0 },
};

static const Option activate_options[] = {
        { "plan", 0, "TOKEN", NULL, "as this plan says, or not at all" },
        { "confirm-within", 0, "TIME", NULL, "undo it after that time unless confirmed; 0: never" },
        { "override", 0, "DEVICE", "@devices", "use it in spite of what may be overridden" },
        { "accept-identity", 0, NULL, NULL, "take the device that is now where the last one was" },
        { 0 },
};

static const Option provision_options[] = {
        { "plan", 0, "TOKEN", NULL, "as this plan says, or not at all" },
        { 0 },
};

static const Option force_options[] = {
        { "force", 0, NULL, NULL, "do not wait until nobody has the devices open" },
        { 0 },
};

static const Option plan_options[] = {
        { "verb", 0, "VERB", "activate deactivate release reset remove provision unprovision", "what is planned; activate" },
        { "allocation", 0, "ALLOCATION", "@allocations", "what there is, in place of requests" },
        { "override", 0, "DEVICE", "@devices", "as if it were used in spite of what may be overridden" },
        { 0 },
};

#define CHECK_WORDS                                                                                     \
        "cpu-virtualisation kvm firmware-tables iommu interrupt-remapping unsafe-modes kernel vfio-modules " \
        "lockdown static-binding iommu-groups reserved-memory integrated-graphics sriov memory-regions " \
        "memory-lock udev modules state configuration polkit"

static const Option topology_options[] = {
        { "boot", 'b', "BOOT", "boot kernel", "compare with the boot before, the last with another kernel, an id, or -1, -2 …" },
        { "until", 0, "BOOT", "now boot", "compare that one, in place of what there is now" },
        { 0 },
};

static const Option check_options[] = {
        { "verbose", 'v', NULL, NULL, "show what was read where for all checks, not only for those that did not pass" },
        { 0 },
};

static const Option history_options[] = {
        { "object", 0, "ID", NULL, "of one allocation or device" },
        { "consumer", 0, "NAME", "@consumers", "of one consumer" },
        { "user", 0, "USER", "@users", "of one user" },
        { "operation", 0, "NAME", NULL, "of one kind: activate, create-group …" },
        { "result", 0, "WORD", NULL, "done, or the word of an error: NotAuthorized" },
        { "since", 0, "TIME", NULL, "30m, 2h, 7d ago, or 2026-05-01 12:30" },
        { "until", 0, "TIME", NULL, "before then, in the same forms" },
        { "limit", 0, "N", NULL, "at most so many, the latest; 100" },
        { "all", 0, NULL, NULL, "of all users, with the right for it" },
        { 0 },
};

static const Option apply_options[] = {
        { "dry-run", 'n', NULL, NULL, "only show what would change" },
        { "prune", 0, NULL, NULL, "remove the groups that the document does not name" },
        { "keep-invalid", 0, NULL, NULL, "keep what the modules of this host do not know" },
        { "changed-exit-code", 0, "[CODE]", NULL, "exit status when something changes; 2" },
        { 0 },
};

static const Option report_options[] = {
        { "full", 0, NULL, NULL, "with serial numbers and MAC addresses" },
        { "output", 'o', "FILE", "@files", "write it there" },
        { 0 },
};

static const Option explain_options[] = {
        { "all-rules", 0, NULL, NULL, "of rules that come nowhere near it, too" },
        { 0 },
};

static const Option make_resource_options[] = {
        { "type", 0, "TYPE", "@types", "as this type, where several offer the place" },
        { "set", 0, "NAME=VALUE", NULL, "a setting of the group that is made; may stand several times" },
        { 0 },
};

static const Option usage_options[] = {
        { "watch", 0, "SECONDS", NULL, "again every so often, until it is interrupted" },
        { "history", 0, "[SPAN]", "short long", "what was measured while somebody watched: the last samples, or by minute" },
        { 0 },
};

static const Option demo_options[] = {
        { "keep", 0, NULL, NULL, "leave the directory with the logs" },
        { 0 },
};

const Verb verbs[] = {
        { "status", "", "", 0, 0, NULL, verb_status, "how the service is, and what it has" },
        { "devices", "", "", 0, 0, devices_options, verb_devices, "list devices" },
        { "device show", "DEVICE", "@devices", 1, 1, NULL, verb_device_show, "all about one device" },
        { "device provision", "DEVICE", "@devices", 1, 1, provision_options, verb_device_provision,
          "have a provider make the devices that its groups demand" },
        { "device reset", "DEVICE", "@devices", 1, 1, NULL, verb_device_reset, "reset a free device" },
        { "device quarantine", "DEVICE REASON", "@devices", 2, 2, NULL, verb_device_quarantine,
          "keep a device from everybody" },
        { "device clear-quarantine", "DEVICE", "@devices", 1, 1, NULL, verb_device_clear_quarantine,
          "offer a device again that was in quarantine" },
        { "explain", "[device|group|allocation] NAME",
          "device group allocation @devices @groups|@devices @groups @allocations", 1, 2, explain_options, verb_explain,
          "why not, by whom, and what helps" },

        { "groups", "", "", 0, 0, NULL, verb_groups, "list groups" },
        { "group show", "GROUP", "@groups", 1, 1, NULL, verb_group_show, "all about one group" },
        { "group create", "NAME TYPE", "|@types", 2, 2, group_create_options, verb_group_create,
          "make an empty group" },
        { "group update", "GROUP", "@groups", 1, 1, group_update_options, verb_group_update,
          "change a group" },
        { "group enable", "GROUP", "@groups", 1, 1, NULL, verb_group_enable, "give devices of it again" },
        { "group disable", "GROUP", "@groups", 1, 1, NULL, verb_group_disable,
          "give nothing more; holders keep theirs" },
        { "group provision", "GROUP", "@groups", 1, 1, NULL, verb_group_provision,
          "have the devices made that it demands of providers" },
        { "group remove", "GROUP", "@groups", 1, 1, NULL, verb_group_remove,
          "remove a group that nobody uses" },
        { "make-resource", "GROUP DEVICE…", "@groups|@devices", 2, -1, make_resource_options, verb_make_resource,
          "a group of these devices, with one rule each" },

        { "rules", "", "", 0, 0, rules_options, verb_rules, "list rules" },
        { "rule show", "RULE", "@rules", 1, 1, NULL, verb_rule_show, "all about one rule" },
        { "rule add", "GROUP CONDITIONS", "@groups|@fields", 2, -1, rule_add_options, verb_rule_add,
          "add a rule to a group" },
        { "rule update", "RULE [CONDITIONS]", "@rules|@fields", 1, -1, rule_update_options, verb_rule_update,
          "change a rule" },
        { "rule accept", "RULE", "@rules", 1, 1, NULL, verb_rule_accept,
          "take the device that is at its place now, after it was changed" },
        { "rule remove", "RULE", "@rules", 1, 1, NULL, verb_rule_remove, "remove a rule" },
        { "preview", "GROUP CONDITIONS", "@groups|@fields", 2, -1, NULL, verb_preview,
          "what a rule would match, and what it just misses" },

        { "plan", "[GROUP[:COUNT][,NAME=VALUE…]…]", "@groups", 0, -1, plan_options, verb_plan,
          "what would be chosen and done" },
        { "allocate", "CONSUMER GROUP[:COUNT][,NAME=VALUE…]…", "|@groups", 2, -1, allocate_options,
          verb_allocate, "claim devices for a consumer" },
        { "allocations", "", "", 0, 0, allocations_options, verb_allocations, "list allocations" },
        { "show", "ALLOCATION", "@allocations", 1, 1, show_options, verb_show,
          "one allocation, or how to attach its devices" },
        { "update", "ALLOCATION GROUP[:COUNT][,NAME=VALUE…]…", "@allocations|@groups", 2, -1, NULL,
          verb_update, "replace its requests; acts at the next activation" },
        { "activate", "ALLOCATION", "@allocations", 1, 1, activate_options, verb_activate,
          "power on: choose, prepare and bind" },
        { "confirm", "[JOB|ALLOCATION]", "@jobs @allocations", 0, 1, NULL, verb_confirm,
          "keep what an activation took that is undone otherwise" },
        { "deactivate", "ALLOCATION", "@allocations", 1, 1, force_options, verb_deactivate,
          "power off: give the devices back" },
        { "release", "ALLOCATION", "@allocations", 1, 1, force_options, verb_release, "end the claim" },

        { "jobs", "", "", 0, 0, NULL, verb_jobs, "list jobs" },
        { "job show", "JOB", "@jobs", 1, 1, NULL, verb_job_show, "all about one job" },
        { "job wait", "JOB", "@jobs", 1, 1, NULL, verb_job_wait, "wait for its end" },
        { "job cancel", "JOB", "@jobs", 1, 1, NULL, verb_job_cancel, "stop it and undo what it did" },

        { "modules", "", "", 0, 0, NULL, verb_modules, "list the modules of the device types" },
        { "module show", "TYPE", "@modules", 1, 1, NULL, verb_module_show, "fields and settings of a type" },
        { "check", "[CHECK…]", CHECK_WORDS, 0, -1, check_options, verb_check,
          "whether the host is ready for passthrough, and what helps" },
        { "topology list", "", "", 0, 0, NULL, verb_topology_list, "the boots whose devices are recorded" },
        { "topology diff", "", "", 0, 0, topology_options, verb_topology_diff,
          "devices and IOMMU groups that differ since the last boot" },
        { "usage", "[PROVIDER…]", "@devices", 0, -1, usage_options, verb_usage, "how much of GPUs and vGPUs is used now" },
        { "profiles", "PROVIDER", "@devices", 1, 1, NULL, verb_profiles, "what kinds of devices it can make, and how many more" },
        { "provider", "PROVIDER", "@devices", 1, 1, NULL, verb_provider, "what its driver says of it" },
        { "monitor", "", "", 0, 0, NULL, verb_monitor, "show what happens, one line each" },
        { "history", "", "", 0, 0, history_options, verb_history, "who asked for what and when" },
        { "report", "", "", 0, 0, report_options, verb_report, "all that somebody who helps wants to know" },
        { "export", "", "", 0, 0, NULL, verb_export, "groups and rules as one document" },
        { "apply", "FILE", "@files", 1, 1, apply_options, verb_apply,
          "make groups and rules as a document says" },
        { "rescan", "", "", 0, 0, NULL, verb_rescan, "look at the hardware again" },
        { "acknowledge", "", "", 0, 0, NULL, verb_acknowledge, "go on after the state was damaged and begun anew" },
        { "wait", "", "", 0, 0, NULL, verb_wait, "wait until the service is ready" },
        { "demo", "", "", 0, 0, demo_options, verb_demo,
          "a tour on a simulated host: without root; --host=no-iommu or FILE for others", true },
        { "help", "[VERB]", "@verbs", 0, 2, NULL, verb_help, "show help", true },
        { "completion", "bash", "bash", 1, 1, NULL, verb_completion, NULL, true },
        { "complete", "KIND", "", 1, 1, NULL, verb_complete, NULL },
        { "demo-inside", "", "", 0, 0, demo_options, verb_demo_inside, NULL, true },
        { 0 },
};
