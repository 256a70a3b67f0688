/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The system around devices: kernel, limits, lockdown, udev. */

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "check.h"
#include "lib/parse.h"

#define FILE_MAX 65536u
#define GIB (UINT64_C(1) << 30)

/* ---- kernel ---- */

static bool is_older(const char *release, unsigned major_wanted, unsigned minor_wanted) {
        unsigned major_number, minor_number;

        return sscanf(release, "%u.%u", &major_number, &minor_number) == 2 &&
               (major_number < major_wanted || (major_number == major_wanted && minor_number < minor_wanted));
}

/* The newest kernel of the running one's flavour that is installed: "6.1.0-18-amd64", "6.1.0-21-amd64". */
static char *newest_kernel(const CheckHost *host) {
        const char *flavour = strrchr(host->release, '-');
        _cleanup_names_ char **names = NULL;
        char *newest = NULL;

        if (!flavour || isdigit((unsigned char) flavour[1]) || check_list(host, "/lib/modules", &names) < 0)
                return NULL;
        for (size_t i = 0; names[i]; i++) {
                const char *tail = strrchr(names[i], '-');
                char path[512];

                (void) snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", names[i]);
                if (tail && streq(tail, flavour) && strlen(names[i]) < sizeof(host->release) && check_exists(host, path)) {
                        free(newest);
                        newest = strdup(names[i]);
                }
        }
        return newest;
}

void check_kernel(Check *check) {
        const CheckHost *host = check->host;
        _cleanup_free_ char *newest = newest_kernel(host);
        char path[128];

        (void) snprintf(path, sizeof(path), "/lib/modules/%s", host->release);
        bool modules = check_exists(host, path);
        check_evidence(check, "Linux %s runs", host->release);
        check_evidence(check, "%s is %s", path, modules ? "there" : "not there");
        check_evidence(check, "/dev/iommu is %s", check_exists(host, "/dev/iommu") ? "there" : "not there: devices are opened by group");
        if (!modules && newest) {
                check->reboot = check->pending = true;
                check_result(check, CHECK_FAIL, "The modules of the running kernel were removed: what is not loaded can't be loaded "
                                                "any more");
                check_remedy(check, "Restart the host; %s is installed.", newest);
        } else if (newest && strverscmp(newest, host->release) > 0) {
                check->reboot = check->pending = true;
                check_evidence(check, "/lib/modules/%s is there", newest);
                check_result(check, CHECK_WARN, "A newer kernel, %s, is installed and does not run", newest);
                check_remedy(check, "Restart the host when it suits.");
        } else if (is_older(host->release, 6, 1)) {
                check_result(check, CHECK_WARN, "The kernel is older than Linux 6.1, the oldest that the service was tried with");
                check_remedy(check, "Install a newer kernel, from the distribution's backports for example.");
                check->reboot = true;
        } else
                check_result(check, CHECK_PASS, "Linux %s", host->release);
}

/* ---- locked memory ---- */

/* "Max locked memory  8388608  8388608  bytes": the hard limit; UINT64_MAX for none. */
static bool read_limit(const CheckHost *host, const char *pid, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        char path[64], hard[32];
        const char *line;

        (void) snprintf(path, sizeof(path), "/proc/%s/limits", pid);
        if (check_read(host, path, FILE_MAX, &text) < 0)
                return false;
        line = strstr(text, "Max locked memory");
        if (!line || sscanf(line, "Max locked memory %*s %31s", hard) != 1)
                return false;
        if (streq(hard, "unlimited"))
                *ret = UINT64_MAX;
        else if (parse_uint64(hard, ret) < 0)
                return false;
        return true;
}

static uint64_t total_memory(const CheckHost *host) {
        _cleanup_free_ char *text = NULL;
        uint64_t kib = 0;
        const char *line;

        if (check_read(host, "/proc/meminfo", FILE_MAX, &text) < 0 || !(line = strstr(text, "MemTotal:")) ||
            sscanf(line, "MemTotal: %" SCNu64, &kib) != 1)
                return 0;
        return kib * 1024;
}

static const char *find_libvirt(const CheckHost *host) {
        static const char *const programs[] = { "/usr/sbin/libvirtd", "/usr/sbin/virtqemud" };

        for (size_t i = 0; i < ELEMENTSOF(programs); i++)
                if (check_exists(host, programs[i]))
                        return programs[i];
        return NULL;
}

static bool limits_raise(const CheckHost *host, Check *check) {
        static const char directory[] = "/etc/security/limits.d";
        _cleanup_names_ char **names = NULL;
        bool found = false;

        if (check_list(host, directory, &names) < 0)
                return false;
        for (size_t i = 0;; i++) {
                _cleanup_free_ char *path = NULL, *text = NULL;
                char *save = NULL;

                if (asprintf(&path, "%s/%s", i == 0 ? "/etc/security" : directory, i == 0 ? "limits.conf" : names[i - 1]) >= 0 &&
                    check_read(host, path, FILE_MAX, &text) >= 0)
                        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                                line += strspn(line, " \t");
                                if (*line == '#' || !strstr(line, "memlock"))
                                        continue;
                                check_evidence(check, "%s: %s", path, line);
                                found = true;
                        }
                if (!names[i])
                        return found;
        }
}

/* Machines that run already with less than the smallest that makes sense. */
static size_t poor_machines(Check *check) {
        _cleanup_names_ char **pids = NULL;
        size_t n = 0;

        if (check_list(check->host, "/proc", &pids) < 0)
                return 0;
        for (size_t i = 0; pids[i]; i++) {
                char path[64], name[32] = "";
                uint64_t limit;

                if (!isdigit((unsigned char) pids[i][0]) || strlen(pids[i]) > 20)
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/%s/comm", pids[i]);
                if (sysfs_read(check->host->sysfs, path, name, sizeof(name)) < 0 ||
                    !(startswith(name, "qemu-system") || startswith(name, "qemu-kvm") || streq(name, "kvm")) ||
                    !read_limit(check->host, pids[i], &limit) || limit >= GIB)
                        continue;
                check_evidence(check, "process %s (%s) may lock %" PRIu64 " KiB", pids[i], name, limit / 1024);
                n++;
        }
        return n;
}

void check_memory_lock(Check *check) {
        const CheckHost *host = check->host;
        const char *libvirt = find_libvirt(host);
        uint64_t limit = 0, memory = total_memory(host);
        bool raised, known = read_limit(host, "1", &limit);
        size_t poor = poor_machines(check);

        if (known && limit == UINT64_MAX)
                check_evidence(check, "/proc/1/limits: locked memory unlimited");
        else if (known)
                check_evidence(check, "/proc/1/limits: locked memory %" PRIu64 " KiB, what services begin with", limit / 1024);
        else
                check_evidence(check, "/proc/1/limits could not be read");
        if (libvirt)
                check_evidence(check, "%s is there: libvirt raises the limit of its machines by itself", libvirt);
        raised = limits_raise(host, check);
        if (known && (limit == UINT64_MAX || (memory > 0 && limit >= memory)))
                check_result(check, CHECK_PASS, "Processes may lock as much memory as a guest has");
        else if (libvirt || raised)
                check_result(check, CHECK_PASS, "%s raises the limit on locked memory",
                             libvirt ? "libvirt" : "The configuration of logins");
        else {
                check_result(check, CHECK_WARN, "A virtual machine that an ordinary user starts may not lock its memory, and VFIO "
                                                "needs all of it locked%s", poor > 0 ? "; such a machine runs" : "");
                check_remedy(check, "Give QEMU's unit LimitMEMLOCK= of the guest's memory and 1 GiB more (infinity is simplest), or "
                                    "users a line such as \"@kvm hard memlock unlimited\" in /etc/security/limits.d; root needs "
                                    "neither.");
        }
}

/* ---- lockdown ---- */

void check_lockdown(Check *check) {
        char text[64] = "";
        ssize_t n = sysfs_read(check->host->sysfs, "/sys/kernel/security/lockdown", text, sizeof(text));

        if (n < 0) {
                check_evidence(check, "/sys/kernel/security/lockdown is not there");
                check_result(check, CHECK_PASS, "The kernel is not locked down");
                return;
        }
        check_evidence(check, "/sys/kernel/security/lockdown: %s", text);
        if (strstr(text, "[none]"))
                check_result(check, CHECK_PASS, "The kernel is not locked down");
        else {
                check_result(check, CHECK_WARN, "The kernel is locked down (Secure Boot does that): unsigned kernel modules are "
                                                "refused, configuration space can't be written, regions can't be mapped through sysfs");
                check_remedy(check, "VFIO works all the same. Sign drivers that are built here (vGPU), or switch off Secure Boot in "
                                    "the firmware setup.");
        }
}

/* ---- udev ---- */

void check_udev(Check *check) {
        bool control = check_exists(check->host, "/run/udev/control"), data = check_exists(check->host, "/run/udev/data");

        check_evidence(check, "/run/udev/control is %s", control ? "there" : "not there");
        check_evidence(check, "/run/udev/data is %s", data ? "there" : "not there");
        if (control)
                check_result(check, CHECK_PASS, "systemd-udevd runs");
        else {
                check_result(check, CHECK_FAIL, "systemd-udevd does not run: devices that are plugged are not seen, nodes keep wrong "
                                                "owners");
                check_remedy(check, "systemctl start systemd-udevd.service; in a container, run the service on the host.");
        }
}
