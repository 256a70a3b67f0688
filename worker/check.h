/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether the host is ready to hand devices to guests: one check after the other, each with what was read where, and what
 * helps. In the worker, because half of it is in /proc, /etc and the attributes of devices, where reading may block.
 *
 * A check looks, fills its result and never changes anything: what a person has to write into which file is a text. */

#include "worker.h"

typedef enum CheckStatus {
        CHECK_PASS,
        CHECK_WARN,    /* works, but not as it should, or not for everything */
        CHECK_FAIL,    /* no device can be handed out, or not safely */
        CHECK_UNKNOWN, /* could not be read, or cannot be known here */
        _CHECK_STATUS_MAX,
        _CHECK_STATUS_INVALID = -EINVAL,
} CheckStatus;
DECLARE_STRING_TABLE(check_status, CheckStatus); /* pass, warn, fail, unknown */

typedef enum CpuVendor {
        CPU_OTHER,
        CPU_INTEL,
        CPU_AMD,
} CpuVendor;

/* What several checks need: read once. */
typedef struct CheckHost {
        const Sysfs *sysfs;
        char *cmdline;  /* of the running kernel; "" when it could not be read */
        char *cpuinfo;  /* its beginning */
        char release[66];
        CpuVendor vendor;
        const char *table; /* firmware's table of IOMMUs, "DMAR"; NULL for none */
        bool acpi;
        size_t n_units;  /* IOMMUs in use */
        size_t n_groups; /* IOMMU groups */
} CheckHost;

typedef struct Check {
        const CheckHost *host;
        CheckStatus status;
        char *text;       /* one sentence: what is so */
        char *remedy;     /* NULL for none */
        json_t *evidence; /* [text…], bounded */
        bool reboot;      /* the remedy takes effect only when the host is started anew */
        bool pending;     /* it is configured already: only that is missing */
} Check;

/* Settles the result; the last one counts. */
void check_result(Check *check, CheckStatus status, const char *format, ...) PRINTF_LIKE(3, 4);
void check_evidence(Check *check, const char *format, ...) PRINTF_LIKE(2, 3);
/* Sentences are joined. */
void check_remedy(Check *check, const char *format, ...) PRINTF_LIKE(2, 3);

/* check-boot.c. A word of the running kernel's command line, "intel_iommu=on". */
bool cmdline_has(const CheckHost *host, const char *word);
/* Says how `word` gets onto the kernel's command line, with the exact line for the boot loader that is configured here; or that
 * it is written there and only waits for a restart. */
void check_boot_argument(Check *check, const char *word);
/* The opposite: the running kernel has it, and should not. */
void check_boot_without(Check *check, const char *word);

/* A file below the root, at most `max` bytes of it, NUL-terminated; -ENOENT and its relatives. */
int check_read(const CheckHost *host, const char *path, size_t max, char **ret);
bool check_exists(const CheckHost *host, const char *path);
/* Names in a directory, sorted; NULL-terminated. An empty list when it is not there. */
int check_list(const CheckHost *host, const char *path, char ***ret);
void check_names_done(char ***names);
#define _cleanup_names_ _cleanup_(check_names_done)

typedef struct CheckInfo {
        const char *id;
        const char *title;
        void (*look)(Check *check);
} CheckInfo;

/* check-cpu.c, check-iommu.c, check-vfio.c, check-device.c, check-system.c */
void check_kernel(Check *check);
void check_cpu(Check *check);
void check_kvm(Check *check);
void check_firmware(Check *check);
void check_iommu(Check *check);
void check_interrupt_remapping(Check *check);
void check_integrated_graphics(Check *check);
void check_unsafe_modes(Check *check);
void check_vfio_modules(Check *check);
void check_static_binding(Check *check);
void check_groups(Check *check);
void check_reserved_regions(Check *check);
void check_sriov(Check *check);
void check_regions(Check *check);
void check_memory_lock(Check *check);
void check_lockdown(Check *check);
void check_udev(Check *check);

/* All of them below `sysfs`: [{id, title, status, text, evidence, remedy, reboot, pending}…]; NULL for want of memory. */
json_t *check_all(const Sysfs *sysfs);
/* Answers "check {}" with checked, then done (lib/protocol.h). */
int check_run(Worker *worker, json_t *message, int *ret_result, Fault *fault);
