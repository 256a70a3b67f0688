/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Every limit of the service: sizes in bytes, times in the unit of their name. */

#define ATTRIBUTE_MAX_BYTES 4096u           /* sysfs attributes are one page at most */
#define ID_MAX 63u                          /* ids are DNS labels */
#define TYPE_NAME_MAX 16u
#define CONSUMER_MAX 256u                   /* length of a consumer's label */
#define NAME_MAX_BYTES 256u                 /* names of groups, rules, requests */
#define TEXT_MAX_BYTES 4096u                /* descriptions, condition values */
#define REGEX_MAX_BYTES 1024u
#define REGEX_MATCH_LIMIT 100000u           /* PCRE2 match limit: about a millisecond */
#define REGEX_DEPTH_LIMIT 250u
#define REGEX_HEAP_LIMIT_KIB 1024u
#define CONDITIONS_MAX 64u                  /* in one rule */
#define RULES_MAX 10000u
#define PROTECT_RULES_MAX 256u         /* in the configuration */
#define GROUPS_MAX 10000u
#define ALLOCATIONS_MAX 20000u
#define ALLOCATIONS_PER_UID_MAX 1024u       /* of an ordinary user */
#define REQUESTS_MAX 32u                    /* in one allocation */
#define REQUEST_COUNT_MAX 64u               /* devices in one request */
#define BLOB_MAX_BYTES (256u * 1024)        /* what a module keeps of one device beside its fields */
#define USE_MAX_BYTES (64u * 1024)            /* what a module says of the use of one provider */
#define SLOTS_MAX 1024u                     /* of one provider that makes devices without the kernel knowing before */
#define FIELDS_MAX 64u                      /* of one type */
#define STEPS_MAX 512u                      /* in one plan */
#define FINDINGS_MAX 256u
#define PREVIEW_NEAR_MAX 100u               /* near misses that a preview of a rule lists */
#define CANDIDATES_MAX 256u                 /* of one request that a plan lists */
#define PAGE_MAX 1000u                      /* devices in one page of ListDevices */
#define PAGE_DEFAULT 100u
#define MANAGED_OBJECTS_MAX 2000u           /* beyond it GetManagedObjects answers TooManyObjects */
#define MANAGED_BYTES_MAX (8u * 1024 * 1024) /* the same for what allocations, and what groups, add to it; roughly */
#define BOOTS_MAX 16u                       /* boots whose topology is kept */
#define TOPOLOGY_SETTLE_SEC 60u             /* what appears that long after the first start on a boot belongs to it */
#define HISTORY_MAX 10000u                  /* rows kept */
#define HISTORY_DELAY_USEC 100000u          /* rows that no job waits for are written together */
#define HISTORY_REFUSALS_MAX 20u            /* refused calls of one user that are kept, in that many seconds */
#define HISTORY_REFUSALS_SEC 60u
#define CHECKS_ASKED_PER_UID_MAX 16u        /* of polkit at a time: a bus lets one sender have 128 calls open */
#define CHECKS_WAITING_PER_UID_MAX 256u     /* behind them */
#define JOBS_MAX 4096u
#define JOBS_PER_UID_MAX 64u
#define CONFIRM_MAX_SEC 86400u              /* that an activation may wait to be confirmed */
#define JOB_LINGER_SEC 30u                  /* a finished job stays visible that long */
#define WORKERS_MAX 16u                     /* running side by side */
#define WORKER_RUNS_MAX 64u                 /* of one process: what a module leaks goes with it */
#define WORKER_LOOKS_MAX 16384u             /* at the host, by one process: no module has a part in it */
#define WORKER_MESSAGE_MAX (1024u * 1024u)
#define STEP_TIMEOUT_MSEC 30000u
#define STEP_KILL_GRACE_MSEC 2000u          /* after SIGKILL; a child that stays is stuck in the kernel */
#define HELPER_TIMEOUT_MSEC 20000u          /* of a vendor's program, where the step does not say; within that of the step */
#define HELPER_WORDS_MAX 64u
#define HELPERS_MAX 16u                     /* of one module */
#define OBSERVE_TIMEOUT_MSEC 10000u
#define GUARD_TIMEOUT_MSEC 5000u            /* to find out what the host needs; then more counts as critical */
#define GUARD_MAX_AGE_MSEC 1000u            /* of that, for what leaves no sign when it changes */
#define GUARD_LATER_MSEC 300u               /* after a sign of change nobody asks about, it is looked at again */
#define GUARD_LOOKS_AGAIN_MAX 5u            /* after 1, 2, 4 … s, while a process has a disk open; its close leaves no sign */
#define GUARD_STUCK_PAUSE_MSEC 60000u       /* between tries while the kernel holds a worker that looked */
#define USAGE_TIMEOUT_MSEC 3000u            /* of looking who has a device open */
#define USAGES_MAX 2u                       /* such looks side by side; the others wait */
#define METER_INTERVAL_MIN_MSEC 500u        /* between two samples of a provider's use */
#define METER_INTERVAL_MAX_MSEC 3600000u
#define METER_INTERVAL_MSEC 2000u           /* unless a watcher says otherwise */
#define METER_RETRY_MSEC 5000u              /* after a sample that failed, if the interval is shorter */
#define METER_TIMEOUT_MSEC 8000u            /* of one sample; then its worker is killed */
#define METER_FRESH_MSEC 15000u             /* an Explain takes no sample of its own while the last is younger */
#define METER_WATCHES_MAX 256u
#define METER_WATCHES_PER_UID_MAX 16u
#define METER_DEVICES_MAX 64u               /* of one provider of which a history is kept */
#define METER_VALUES_MAX 16u                /* numbers of one sample that it has */
#define METER_SAMPLES_MAX 600u              /* short history */
#define METER_MINUTES_MAX 1440u             /* long history of a provider: a day */
#define METER_DEVICE_SAMPLES_MAX 120u
#define METER_DEVICE_MINUTES_MAX 240u
#define PROVISION_WAIT_SEC 120u             /* that activations wait for providers to have what was made of them again */
#define PROVISION_SETTLE_MSEC 1000u         /* after its last sign of change, a provider that lost its devices is left alone */
#define PROVISION_ATTEMPTS_MAX 5u           /* to make them again, after 1, 2, 4 … s; then somebody has to look at it */
#define PROVISION_STEADY_SEC 600u           /* without an attempt: those before no longer count */
#define MODULE_LOAD_TIMEOUT_SEC 60u         /* of one kernel module */
#define IDENTITY_READS_MAX 1024u            /* devices whose slow fields are read for the rules of MakeResource */
#define IDENTITY_TIMEOUT_SEC 15u            /* for that; shorter than a client waits for an answer */
#define IDENTITY_RETRIES_MAX 6u             /* after 1, 2, 4 … s, of reading what an allocation could not record of its device */
#define STRINGS_MAX 1024u                   /* in a list that a caller gives */
#define MODULE_CRASHES_MAX 2u
#define PRESENCE_INTERVAL_SEC 2u            /* between two looks at the drivers of devices in use */
#define PRESENCE_PORT_TURNS 5u              /* looks between two questions to the ports above them */
#define QUARANTINE_RETRY_MAX_SEC 2592000u   /* between two probes of a device in quarantine: 30 days */
#define MONITOR_BUFFER_BYTES (32 * 1024 * 1024) /* device events that wait in the kernel */
#define MONITOR_BATCH_MAX 64u               /* device events taken in one turn of the loop */
#define SETTLE_LATEST_USEC 20000u           /* while more device events come in, those before wait no longer */
#define FOLLOW_SETTLE_USEC 300000u          /* a device that came back is left alone until nothing happens to it for so long */
#define FOLLOW_LATEST_USEC 2000000u         /* and no longer than that */
#define FOLLOW_DEFAULT_SEC 10u
#define APPLY_SLICE_USEC 5000u              /* the same for a document that is applied */
#define APPLIES_MAX 16u                     /* documents that wait to be applied */
#define REPORT_SLICE_USEC 5000u             /* and for a support report */
#define REPORTS_MAX 4u                      /* of them at a time */
#define LOG_KEPT_MAX 256u                   /* lines of the log kept for it */
#define SCAN_SLICE_USEC 2000u               /* a rescan holds the loop no longer than that at a time */
