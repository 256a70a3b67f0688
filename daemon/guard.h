/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which devices the running host needs, and how that is known. The evidence is collected by the worker (worker/evidence.h);
 * the guard keeps what it said until a uevent, the mount or swap table, or rtnetlink says that it may be different, and closes
 * over what stands above and beside a device: the functions up to the PCI root, its physical function, the controller of a
 * USB device.
 *
 * Until the first answer, and when the worker did not answer in time, everything that is bound to a host driver of a kind
 * that could matter counts as critical: the guard fails closed. */

#include "finding.h"
#include "inventory.h"
#include "worker-pool.h"

typedef enum Verdict {
        VERDICT_FREE,
        VERDICT_IN_USE,
        VERDICT_CRITICAL,
        VERDICT_FORBIDDEN,
        _VERDICT_MAX,
        _VERDICT_INVALID = -EINVAL,
} Verdict;
DECLARE_STRING_TABLE(verdict, Verdict); /* free, in-use, critical, forbidden */

typedef struct Manager Manager;
typedef struct Guard Guard;

typedef struct GuardEvents {
        void *userdata;
        /* The verdict of this host device, or the codes of its evidence, differ now: its State, Blockers, Allocatable may. */
        void (*changed)(void *userdata, HostDevice *host);
} GuardEvents;

/* Nothing is collected before somebody asks. */
int guard_new(Manager *m, const GuardEvents *events, Guard **ret, Fault *fault);
/* Waiters are forgotten. */
Guard *guard_free(Guard *guard);
DEFINE_CLEANUP(Guard *, guard_free)

/* True while what is known may not be what is. */
bool guard_stale(Guard *guard);
/* Grows whenever something says that the evidence may differ: what was decided at an older number may need another look. */
uint64_t guard_generation(Guard *guard);
/* The generation that verdicts rest on: smaller when something happened while the evidence was collected, or has since. */
uint64_t guard_known(const Guard *guard);
/* Calls `done` once the evidence is as of now, at once (within the call) when it is already; result 0, or a negative errno
 * when the worker did not answer: verdicts fail closed then and say so. Requests are joined: one worker for all. */
void guard_refresh(Guard *guard, void (*done)(void *userdata, int result), void *userdata);
/* Whoever waits is called with -ESHUTDOWN; nobody waits from now on. */
void guard_stop(Guard *guard);
/* No calls with this userdata any more. */
void guard_cancel(Guard *guard, const void *userdata);
/* From what is known, for this host device alone: its IOMMU siblings are the caller's (check_companions). O(1). */
Verdict guard_verdict(Guard *guard, const HostDevice *host);
/* Adds a finding for each evidence: "critical" and "forbidden" are blockers, of which the former can be overridden; "in-use"
 * is a warning. The code is the evidence's ("mount", "address" …), the text carries the chain:
 * "/ ← dm-0 (LVM vg0-root) ← nvme0n1p3 ← 0000:03:00.0". */
Verdict guard_explain(Guard *guard, const HostDevice *host, FindingList *findings);
/* The distinct codes of what makes the device critical or forbidden: how many were put; valid until the next turn of the
 * loop. */
size_t guard_codes(Guard *guard, const HostDevice *host, const char **ret, size_t max);
/* The gravest chain as one line, for a finding about another device; new string, NULL for none. */
char *guard_reason(Guard *guard, const HostDevice *host);
/* Whether a management controller or a serial console was found, or nobody could look yet. */
bool guard_has_out_of_band(const Guard *guard);
/* Whether the host uses a network interface of it or of something below it, if only by having it up. */
bool guard_has_network(const Guard *guard, const HostDevice *host);
/* What the collectors could not resolve, for the doctor and Explain. */
int guard_unresolved(Guard *guard, FindingList *findings);
