/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "lib/protocol.h"

#define EVIDENCE_MAX 24u /* more of the same says nothing new */
#define CPUINFO_MAX 16384u
#define CMDLINE_MAX 8192u

static const char *const check_status_table[_CHECK_STATUS_MAX] = {
        [CHECK_PASS] = "pass",
        [CHECK_WARN] = "warn",
        [CHECK_FAIL] = "fail",
        [CHECK_UNKNOWN] = "unknown",
};
DEFINE_STRING_TABLE(check_status, CheckStatus, check_status_table)

/* In the order in which a person mends them: what is above is needed by what is below. */
static const CheckInfo checks[] = {
        { "cpu-virtualisation", "Virtualisation by the processor", check_cpu },
        { "kvm", "Kernel virtual machine", check_kvm },
        { "firmware-tables", "IOMMU in the firmware's tables", check_firmware },
        { "iommu", "IOMMU in use", check_iommu },
        { "interrupt-remapping", "Interrupt remapping", check_interrupt_remapping },
        { "unsafe-modes", "Unsafe modes of VFIO", check_unsafe_modes },
        { "kernel", "Kernel", check_kernel },
        { "vfio-modules", "Kernel modules of VFIO", check_vfio_modules },
        { "lockdown", "Kernel lockdown", check_lockdown },
        { "static-binding", "Devices taken by others", check_static_binding },
        { "iommu-groups", "Isolation between devices", check_groups },
        { "reserved-memory", "Memory reserved by the firmware", check_reserved_regions },
        { "integrated-graphics", "Intel integrated graphics", check_integrated_graphics },
        { "sriov", "SR-IOV", check_sriov },
        { "memory-regions", "Address space for devices", check_regions },
        { "memory-lock", "Locked memory", check_memory_lock },
        { "udev", "Device events", check_udev },
};

/* ---- results ---- */

static char *format_text(const char *format, va_list arguments) {
        char *text;

        return vasprintf(&text, format, arguments) < 0 ? NULL : text;
}

void check_result(Check *check, CheckStatus status, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        free(check->text);
        check->text = format_text(format, arguments);
        va_end(arguments);
        check->status = status;
}

void check_evidence(Check *check, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;

        if (json_array_size(check->evidence) > EVIDENCE_MAX)
                return;
        va_start(arguments, format);
        text = format_text(format, arguments);
        va_end(arguments);
        (void) json_array_append_new(check->evidence,
                                     json_array_size(check->evidence) == EVIDENCE_MAX ? json_string("and more") : json_text(text));
}

void check_remedy(Check *check, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        char *all;

        va_start(arguments, format);
        text = format_text(format, arguments);
        va_end(arguments);
        if (!text)
                return;
        if (!check->remedy)
                check->remedy = TAKE_PTR(text);
        else if (asprintf(&all, "%s %s", check->remedy, text) >= 0) {
                free(check->remedy);
                check->remedy = all;
        }
}

/* ---- reading ---- */

static const char *below_root(const char *path) {
        return path[0] == '/' ? path + 1 : path;
}

int check_read(const CheckHost *host, const char *path, size_t max, char **ret) {
        _cleanup_close_ int fd = openat(host->sysfs->root_fd, below_root(path), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        _cleanup_free_ char *text = NULL;
        size_t n = 0;

        if (fd < 0)
                return -errno;
        text = malloc(max + 1);
        if (!text)
                return -ENOMEM;
        while (n < max) {
                ssize_t k = read(fd, text + n, max - n);

                if (k < 0 && errno != EINTR)
                        return -errno;
                if (k == 0)
                        break;
                n += k > 0 ? (size_t) k : 0;
        }
        text[n] = '\0';
        *ret = TAKE_PTR(text);
        return 0;
}

bool check_exists(const CheckHost *host, const char *path) {
        return faccessat(host->sysfs->root_fd, below_root(path), F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

typedef struct NameList {
        char **names;
        size_t n;
        bool failed;
} NameList;

static void add_name(void *userdata, const char *entry) {
        NameList *list = userdata;
        char **names = list->failed ? NULL : reallocarray(list->names, list->n + 2, sizeof(char *));
        char *name = names ? strdup(entry) : NULL;

        if (names)
                list->names = names;
        if (!name) {
                list->failed = true;
                return;
        }
        names[list->n++] = name;
        names[list->n] = NULL;
}

static int compare_names(const void *a, const void *b) {
        return strverscmp(*(char *const *) a, *(char *const *) b);
}

void check_names_done(char ***names) {
        for (size_t i = 0; *names && (*names)[i]; i++)
                free((*names)[i]);
        free(*names);
}

int check_list(const CheckHost *host, const char *path, char ***ret) {
        NameList list = { .names = calloc(1, sizeof(char *)) };

        if (!list.names)
                return -ENOMEM;
        (void) sysfs_list(host->sysfs, path, add_name, &list);
        if (list.failed) {
                check_names_done(&list.names);
                return -ENOMEM;
        }
        qsort(list.names, list.n, sizeof(char *), compare_names);
        *ret = list.names;
        return 0;
}

/* ---- all of them ---- */

static void count_entry(void *userdata, const char *entry) {
        ++*(size_t *) userdata;
}

static const char *find_table(const CheckHost *host) {
        static const char *const tables[] = { "DMAR", "IVRS", "IORT", "VIOT" };

        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                char path[64];

                (void) snprintf(path, sizeof(path), "/sys/firmware/acpi/tables/%s", tables[i]);
                if (check_exists(host, path))
                        return tables[i];
        }
        return NULL;
}

static int host_read(CheckHost *host, const Sysfs *sysfs) {
        struct utsname kernel;

        *host = (CheckHost){ .sysfs = sysfs };
        if (check_read(host, "/proc/cmdline", CMDLINE_MAX, &host->cmdline) < 0)
                host->cmdline = strdup("");
        if (check_read(host, "/proc/cpuinfo", CPUINFO_MAX, &host->cpuinfo) < 0)
                host->cpuinfo = strdup("");
        if (!host->cmdline || !host->cpuinfo)
                return -ENOMEM;
        host->cmdline[strcspn(host->cmdline, "\n")] = '\0';
        if (uname(&kernel) >= 0)
                (void) snprintf(host->release, sizeof(host->release), "%s", kernel.release);
        host->vendor = strstr(host->cpuinfo, "GenuineIntel")                                        ? CPU_INTEL
                       : strstr(host->cpuinfo, "AuthenticAMD") || strstr(host->cpuinfo, "HygonGenuine") ? CPU_AMD
                                                                                                    : CPU_OTHER;
        host->acpi = check_exists(host, "/sys/firmware/acpi/tables");
        host->table = find_table(host);
        (void) sysfs_list(sysfs, "/sys/class/iommu", count_entry, &host->n_units);
        (void) sysfs_list(sysfs, "/sys/kernel/iommu_groups", count_entry, &host->n_groups);
        return 0;
}

static json_t *run_check(const CheckHost *host, const CheckInfo *info) {
        Check check = { .host = host, .status = CHECK_UNKNOWN, .evidence = json_array() };
        json_t *object;

        if (!check.evidence)
                return NULL;
        info->look(&check);
        object = json_pack("{s:s, s:s, s:s, s:o, s:O, s:o, s:b, s:b}", "id", info->id, "title", info->title, "status",
                           check_status_to_string(check.status), "text", json_text(strempty(check.text)), "evidence",
                           check.evidence, "remedy", json_text(strempty(check.remedy)), "reboot", check.reboot, "pending",
                           check.pending);
        json_decref(check.evidence);
        free(check.text);
        free(check.remedy);
        return object;
}

json_t *check_all(const Sysfs *sysfs) {
        json_t *list = json_array();
        CheckHost host;
        int r = list ? host_read(&host, sysfs) : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(checks); i++)
                r = json_array_append_new(list, run_check(&host, &checks[i]));
        if (list) {
                free(host.cmdline);
                free(host.cpuinfo);
        }
        if (r < 0) {
                json_decref(list);
                return NULL;
        }
        return list;
}

int check_run(Worker *worker, json_t *message, int *ret_result, Fault *fault) {
        json_t *list = check_all(&worker->sysfs);

        *ret_result = list ? 0 : fault_oom(fault);
        return list ? worker_send(worker, json_pack("{s:s, s:o}", "type", "checked", "checks", list)) : 0;
}
