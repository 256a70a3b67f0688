/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "evidence-rig.h"

#include <limits.h>
#include <stdio.h>

static void add_line(Evidence *evidence, char *line) {
        assert_true(evidence->n_lines < ELEMENTSOF(evidence->lines));
        evidence->lines[evidence->n_lines++] = line;
}

int evidence_add(Evidence *evidence, EvidenceVerdict verdict, const char *syspath, const char *code,
                 const char *const *chain) {
        static const char *const words[] = { "in-use", "critical", "forbidden" };
        char *line, *longer;

        assert_non_null(startswith(syspath, "/devices/"));
        assert_true(asprintf(&line, "%s %s %s:", words[verdict], code, syspath) > 0);
        for (size_t i = 0; chain && chain[i]; i++) {
                assert_true(asprintf(&longer, "%s%s %s", line, i > 0 ? " <" : "", chain[i]) > 0);
                free(line);
                line = longer;
        }
        add_line(evidence, line);
        return 0;
}

int evidence_unresolved(Evidence *evidence, EvidenceKind kind, const char *text) {
        static const char *const words[] = { "storage", "network", "display", "input" };
        char *line;

        assert_true(asprintf(&line, "unresolved %s: %s", words[kind], text) > 0);
        add_line(evidence, line);
        return 0;
}

const Sysfs *evidence_sysfs(const Evidence *evidence) {
        return &evidence->sysfs;
}

/* A new look each time: tests change the host between two. */
int evidence_pci(Evidence *evidence, const PciScan **ret) {
        pci_scan_done(&evidence->pci);
        if (pci_scan(&evidence->sysfs, &evidence->pci) == -ENOMEM)
                return -ENOMEM;
        *ret = &evidence->pci;
        return 0;
}

int evidence_mounts(Evidence *evidence, const MountTable **ret) {
        mount_table_done(&evidence->mounts);
        *ret = &evidence->mounts;
        return mount_table_read(&evidence->sysfs, "/proc/1/mountinfo", &evidence->mounts);
}

int evidence_processes(Evidence *evidence, const ProcessTable **ret) {
        int r;

        process_table_done(&evidence->processes);
        r = process_table_read(&evidence->sysfs, &evidence->processes);
        *ret = &evidence->processes;
        return r;
}

int evidence_resolve(const Evidence *evidence, const char *link, char **ret_syspath) {
        char path[PATH_MAX], target[PATH_MAX];
        const char *below;

        (void) snprintf(path, sizeof(path), "%s%s", evidence->host.root, link);
        if (!realpath(path, target))
                return -errno;
        below = startswith(target, evidence->host.root);
        below = below ? startswith(below, "/sys") : NULL;
        if (!below || !startswith(below, "/devices/"))
                return -ENOENT;
        *ret_syspath = strdup(below);
        return *ret_syspath ? 0 : -ENOMEM;
}

int evidence_setup(void **state) {
        Evidence *evidence = calloc(1, sizeof(*evidence));

        fake_host_make(&evidence->host);
        assert_int_equal(sysfs_init(&evidence->sysfs, evidence->host.root), 0);
        *state = evidence;
        return 0;
}

int evidence_teardown(void **state) {
        Evidence *evidence = *state;

        for (size_t i = 0; i < evidence->n_lines; i++)
                free(evidence->lines[i]);
        pci_scan_done(&evidence->pci);
        process_table_done(&evidence->processes);
        mount_table_done(&evidence->mounts);
        sysfs_done(&evidence->sysfs);
        fake_host_remove(&evidence->host);
        free(evidence);
        return 0;
}

void put(Evidence *evidence, const char *path, const char *text) {
        char folder[PATH_MAX];

        (void) snprintf(folder, sizeof(folder), "%s", path + 1);
        *strrchr(folder, '/') = '\0';
        fake_make_directory(&evidence->host, folder);
        fake_write_file(&evidence->host, path + 1, text);
}

void add_link(Evidence *evidence, const char *link, const char *target) {
        char folder[PATH_MAX], relative[PATH_MAX] = "";

        (void) snprintf(folder, sizeof(folder), "%s", link + 1);
        *strrchr(folder, '/') = '\0';
        fake_make_directory(&evidence->host, folder);
        for (const char *p = link + 1; (p = strchr(p, '/')); p++)
                strcat(relative, "../");
        strcat(relative, target + 1);
        fake_link(&evidence->host, link + 1, relative);
}

void add_pci(Evidence *evidence, const char *parent, const char *address, const char *class_code, const char *vendor,
             const char *driver) {
        char device[PATH_MAX / 4], path[PATH_MAX], target[PATH_MAX];

        (void) snprintf(device, sizeof(device), "/sys/devices/pci0000:00/%s%s%s", parent, parent[0] ? "/" : "", address);
        (void) snprintf(path, sizeof(path), "%s/class", device);
        put(evidence, path, class_code);
        (void) snprintf(path, sizeof(path), "%s/vendor", device);
        put(evidence, path, vendor);
        (void) snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", address);
        add_link(evidence, path, device);
        if (driver) {
                (void) snprintf(target, sizeof(target), "sys/bus/pci/drivers/%s", driver);
                fake_make_directory(&evidence->host, target);
                (void) snprintf(target, sizeof(target), "/sys/bus/pci/drivers/%s", driver);
                (void) snprintf(path, sizeof(path), "%s/driver", device);
                add_link(evidence, path, target);
        }
}

void add_class(Evidence *evidence, const char *class, const char *name, const char *device) {
        char path[PATH_MAX], target[PATH_MAX];

        (void) snprintf(target, sizeof(target), "/sys/devices/%s/%s/%s", device, class, name);
        fake_make_directory(&evidence->host, target + 1);
        (void) snprintf(path, sizeof(path), "/sys/class/%s/%s", class, name);
        add_link(evidence, path, target);
}

bool said(const Evidence *evidence, const char *const *parts) {
        for (size_t i = 0; i < evidence->n_lines; i++) {
                const char *at = evidence->lines[i];

                for (size_t j = 0; at && parts[j]; j++) {
                        at = strstr(at, parts[j]);
                        at = at ? at + strlen(parts[j]) : NULL;
                }
                if (at)
                        return true;
        }
        return false;
}

void say_all(const Evidence *evidence, const char *expected) {
        print_error("expected: %s\n", expected);
        for (size_t i = 0; i < evidence->n_lines; i++)
                print_error("  said: %s\n", evidence->lines[i]);
        fail();
}
