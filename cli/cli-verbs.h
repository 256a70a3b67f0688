/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The functions behind the verbs; cli-verbs.c lists them. */

#include "cli.h"

#define VERB(name) int verb_##name(Cli *cli, char **arguments, int n)

/* cli-status.c */
VERB(status);
VERB(wait);
VERB(rescan);
VERB(acknowledge);
VERB(modules);
VERB(module_show);
/* cli-history.c */
VERB(history);
VERB(report);
/* cli-devices.c */
VERB(devices);
/* cli-device.c */
VERB(device_show);
VERB(device_provision);
VERB(device_reset);
VERB(device_quarantine);
VERB(device_clear_quarantine);
VERB(explain);
/* cli-groups.c */
VERB(groups);
VERB(group_show);
VERB(group_create);
VERB(group_update);
VERB(group_enable);
VERB(group_disable);
VERB(group_remove);
VERB(group_provision);
VERB(make_resource);
/* cli-rules.c */
VERB(rules);
VERB(rule_show);
VERB(rule_add);
VERB(rule_update);
VERB(rule_accept);
VERB(rule_remove);
VERB(preview);
/* cli-allocations.c */
VERB(allocations);
VERB(show);
VERB(allocate);
VERB(update);
VERB(activate);
VERB(deactivate);
VERB(release);
/* cli-topology.c */
VERB(topology_list);
VERB(topology_diff);
/* cli-use.c */
VERB(usage);
VERB(profiles);
VERB(provider);
/* cli-check.c */
VERB(check);
/* cli-confirm.c */
VERB(confirm);
/* cli-plan.c */
VERB(plan);
/* cli-jobs.c */
VERB(jobs);
VERB(job_show);
VERB(job_wait);
VERB(job_cancel);
/* cli-monitor.c */
VERB(monitor);
/* cli-apply.c */
VERB(export);
VERB(apply);
/* cli-demo.c */
VERB(demo);
VERB(demo_inside);
