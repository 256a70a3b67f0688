/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The rules of [Protect] in the configuration: what the administrator says that the host needs although nothing shows it, such
 * as the network cards of a fabric or a host bus adapter. `Critical=` is refused unless somebody who may overrides it by name,
 * `Forbidden=` always. Read when the service starts; belongs to the manager.
 *
 * A rule that cannot be understood protects everything of its type, and everything where the type is not known either:
 * what it was meant for cannot be told, and must not be handed out meanwhile. The same holds for a device of which a slow
 * field is not known yet. */

#include "config.h"
#include "finding.h"
#include "guard.h"
#include "loader.h"

typedef struct Protect Protect;

/* What is wrong with a rule is added to the problems of the configuration. */
int protect_new(Loader *loader, Config *config, Protect **ret);
Protect *protect_free(Protect *protect);
DEFINE_CLEANUP(Protect *, protect_free)

/* Whether there is any rule for devices of this type; whether one names a slow field. */
bool protect_has(const Protect *protect, const Module *module);
bool protect_needs_slow(const Protect *protect, const Module *module);

/* VERDICT_FREE when no rule names the host device, whichever type offers it. */
Verdict protect_verdict(const Protect *protect, const HostDevice *host);
/* A blocker for each rule. */
Verdict protect_explain(const Protect *protect, const HostDevice *host, FindingList *findings);
/* "protected" or "protect-rule-broken", NULL for none. */
const char *protect_code(const Protect *protect, const HostDevice *host);
/* The gravest rule as one line; new string, NULL for none. */
char *protect_reason(const Protect *protect, const HostDevice *host);
