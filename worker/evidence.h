/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the running host needs its devices for. Collected afresh in the worker, because mount targets on a dead server,
 * files in /proc of stuck processes and rtnetlink behind a held lock can all block; the service gives it a deadline and
 * takes what it does not get for "critical".
 *
 * Each collector looks at one kind of use, resolves it to directories below /sys/devices and adds them with the chain that
 * leads there, from what people know to the device. It does not walk up to the PCI root and knows nothing of IOMMU groups,
 * virtual functions or USB controllers: the service closes over those (daemon/guard.h).
 *
 * What cannot be resolved is said with evidence_unresolved(): then every device of that kind which is bound to a host
 * driver counts as critical. A collector returns a negative errno only when memory runs out. */

#include "worker.h"

typedef enum EvidenceVerdict {
        EVIDENCE_IN_USE,    /* a host driver has users, nothing the host would miss: a warning */
        EVIDENCE_CRITICAL,  /* the host needs it: refused unless overridden by name */
        EVIDENCE_FORBIDDEN, /* refused, and no override covers it: chipset, IOMMU, hubs, what holds the root file system */
        _EVIDENCE_VERDICT_MAX,
        _EVIDENCE_VERDICT_INVALID = -EINVAL,
} EvidenceVerdict;
DECLARE_STRING_TABLE(evidence_verdict, EvidenceVerdict); /* in-use, critical, forbidden */

/* Kinds of device that fall under suspicion together when something could not be resolved. */
typedef enum EvidenceKind {
        EVIDENCE_STORAGE, /* PCI class 01, USB mass storage */
        EVIDENCE_NETWORK, /* PCI class 02, USB network interfaces */
        EVIDENCE_DISPLAY, /* PCI class 03 */
        EVIDENCE_INPUT,   /* USB HID */
        _EVIDENCE_KIND_MAX,
        _EVIDENCE_KIND_INVALID = -EINVAL,
} EvidenceKind;
DECLARE_STRING_TABLE(evidence_kind, EvidenceKind); /* storage, network, display, input */

typedef struct Evidence Evidence;

/* `syspath` as sysfs names it, without "/sys": "/devices/pci0000:00/…/block/sda/sda3"; everything above it up to the PCI root
 * is needed too, but for the code "hub": a hub stays one when the controller above it is handed out. `code`: stable word,
 * "mount", "swap", "address", "route", "console-gpu" …. `chain`: links from what people know to the device, NULL-terminated, "/",
 * "dm-0 (LVM vg0-root)", "nvme0n1p3": shown joined by " ← ", the PCI address is appended by the service. Text that is no UTF-8
 * is made so. The same path, code and chain twice is one evidence. */
int evidence_add(Evidence *evidence, EvidenceVerdict verdict, const char *syspath, const char *code,
                 const char *const *chain);
/* `text`: what could not be read or resolved, one sentence. */
int evidence_unresolved(Evidence *evidence, EvidenceKind kind, const char *text);
const Sysfs *evidence_sysfs(const Evidence *evidence);
/* Follows a link below /sys ("/sys/class/net/eth0", "/sys/dev/block/8:1") to its directory below /devices: new string, -ENOENT
 * where there is none, -ELOOP for a cycle. "/devices/virtual/…" is a valid result. */
int evidence_resolve(const Evidence *evidence, const char *link, char **ret_syspath);

/* The collectors: evidence-storage.c, evidence-network.c, evidence-console.c, evidence-platform.c, evidence-input.c. */
int evidence_storage(Evidence *evidence);
int evidence_network(Evidence *evidence);
int evidence_console(Evidence *evidence);
int evidence_platform(Evidence *evidence);
int evidence_input(Evidence *evidence);

/* Answers "guard {}" with evidence messages, as many as it takes, then done (lib/protocol.h):
 *   evidence {items: [{verdict, path, code, chain: […]}…], unresolved: [{kind, text}…]} */
int evidence_run(Worker *worker, json_t *message, int *ret_result, Fault *fault);
