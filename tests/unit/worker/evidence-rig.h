/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A host of files for one collector, and what the collector said about it as text, a line each:
 * "critical address /devices/…/net/eth0: 10.0.0.5/24 < br0 < eth0", "unresolved network: …". */

#include "fake-host.h"
#include "worker/evidence-internal.h"

struct Evidence {
        FakeHost host;
        Sysfs sysfs;
        PciScan pci; /* of the last look */
        ProcessTable processes;
        MountTable mounts;
        char *lines[256];
        size_t n_lines;
};

int evidence_setup(void **state);
int evidence_teardown(void **state);

/* /sys/devices/pci0000:00/PARENT/ADDRESS with its link; `parent` "" on the root bus, `driver` NULL for none. */
void add_pci(Evidence *evidence, const char *parent, const char *address, const char *class_code, const char *vendor,
             const char *driver);
/* A link of sysfs, both absolute from the root: "/sys/class/net/eth0" to "/sys/devices/…". Made relative, as the kernel has it. */
void add_link(Evidence *evidence, const char *link, const char *target);
void put(Evidence *evidence, const char *path, const char *text);
/* A directory with its link in a class: "/sys/class/net/eth0". */
void add_class(Evidence *evidence, const char *class, const char *name, const char *device);

/* Whether a line has all of these parts in this order. */
bool said(const Evidence *evidence, const char *const *parts);
#define assert_said(evidence, ...)                                                                          \
        do {                                                                                                \
                if (!said((evidence), (const char *const[]){ __VA_ARGS__, NULL }))                          \
                        say_all((evidence), #__VA_ARGS__);                                                  \
        } while (0)
#define assert_not_said(evidence, ...)                                                                      \
        do {                                                                                                \
                if (said((evidence), (const char *const[]){ __VA_ARGS__, NULL }))                           \
                        say_all((evidence), "not " #__VA_ARGS__);                                           \
        } while (0)
/* Fails with everything that was said. */
void say_all(const Evidence *evidence, const char *expected);
