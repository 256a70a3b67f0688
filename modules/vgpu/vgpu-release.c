/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-release.h"

#include <ctype.h>
#include <stdio.h>

#define PARTS_MAX 3u
#define DRIVER_FROM 100u /* drivers' versions begin with three digits, releases of the vGPU software with two */

typedef struct Version {
        unsigned parts[PARTS_MAX];
        unsigned n;
} Version;

/* Which branch of drivers a release is made of. Source: release notes of NVIDIA's vGPU software. */
static const struct {
        uint16_t release, branch;
} branches[] = {
        { 13, 470 }, { 14, 510 }, { 15, 525 }, { 16, 535 }, { 17, 550 }, { 18, 570 }, { 19, 580 }, { 20, 595 },
};

/* Releases whose Virtual GPU Manager is published, in order. */
static const struct {
        uint16_t release, minor;
        Version driver;
} known[] = {
        { 15, 0, { { 525, 60, 12 }, 3 } },
        { 15, 1, { { 525, 85, 7 }, 3 } },
        { 17, 6, { { 550, 163, 2 }, 3 } },
        { 19, 0, { { 580, 65, 5 }, 3 } },
};

static int parse(const char *text, Version *ret) {
        Version version = { .n = 0 };

        for (const char *p = text;; p++) {
                unsigned value = 0;

                if (version.n == PARTS_MAX || !isdigit((unsigned char) *p))
                        return -EINVAL;
                for (; isdigit((unsigned char) *p); p++) {
                        value = value * 10 + (unsigned) (*p - '0');
                        if (value > 99999)
                                return -EINVAL;
                }
                version.parts[version.n++] = value;
                if (*p == '\0')
                        break;
                if (*p != '.')
                        return -EINVAL;
        }
        *ret = version;
        return 0;
}

/* Of as many parts as both have. */
static int compare(const Version *a, const Version *b) {
        for (unsigned i = 0; i < MIN_OF(a->n, b->n); i++)
                if (a->parts[i] != b->parts[i])
                        return a->parts[i] < b->parts[i] ? -1 : 1;
        return 0;
}

static int parse_wanted(const char *text, bool *ret_least, Version *ret) {
        bool least = strncmp(text, ">=", 2) == 0;
        Version version;
        int r;

        if (least)
                text += 2;
        text += strspn(text, " ");
        r = parse(text, &version);
        if (r < 0)
                return r;
        /* Releases have two numbers, and only those that a table has mean anything. */
        if (version.parts[0] < DRIVER_FROM) {
                bool found = false;

                for (size_t i = 0; i < ELEMENTSOF(branches); i++)
                        found = found || branches[i].release == version.parts[0];
                if (version.n > 2 || !found)
                        return -EINVAL;
        }
        *ret_least = least;
        *ret = version;
        return 0;
}

int vgpu_release_check(const char *wanted) {
        bool least;
        Version version;

        return isempty(wanted) ? 0 : parse_wanted(wanted, &least, &version);
}

static unsigned branch_of(unsigned release) {
        for (size_t i = 0; i < ELEMENTSOF(branches); i++)
                if (branches[i].release == release)
                        return branches[i].branch;
        return 0;
}

/* Between what is published of its branch. */
static VgpuReleaseMatch match_minor(const Version *wanted, bool least, const Version *driver) {
        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                int order = compare(driver, &known[i].driver);

                if (known[i].release != wanted->parts[0])
                        continue;
                if (order == 0)
                        return known[i].minor == wanted->parts[1] || (least && known[i].minor > wanted->parts[1])
                                       ? VGPU_RELEASE_YES
                                       : VGPU_RELEASE_NO;
                if (order > 0 && known[i].minor >= wanted->parts[1])
                        return least ? VGPU_RELEASE_YES : VGPU_RELEASE_NO;
                if (order < 0 && known[i].minor <= wanted->parts[1])
                        return VGPU_RELEASE_NO;
        }
        return VGPU_RELEASE_UNKNOWN;
}

VgpuReleaseMatch vgpu_release_match(const char *wanted, const char *driver) {
        Version want, have;
        unsigned branch;
        bool least;
        int order;

        if (isempty(wanted))
                return VGPU_RELEASE_YES;
        if (parse_wanted(wanted, &least, &want) < 0 || parse(strempty(driver), &have) < 0)
                return VGPU_RELEASE_UNKNOWN;
        if (want.parts[0] >= DRIVER_FROM) {
                order = compare(&have, &want);
                return order == 0 || (least && order > 0) ? VGPU_RELEASE_YES : VGPU_RELEASE_NO;
        }
        branch = branch_of(want.parts[0]);
        if (have.parts[0] != branch)
                return least && have.parts[0] > branch ? VGPU_RELEASE_YES : VGPU_RELEASE_NO;
        /* X.0 is where the branch begins. */
        if (want.n == 1 || (least && want.parts[1] == 0))
                return VGPU_RELEASE_YES;
        return match_minor(&want, least, &have);
}

unsigned vgpu_driver_branch(const char *driver) {
        Version version;

        return parse(strempty(driver), &version) >= 0 ? version.parts[0] : 0;
}

void vgpu_branch_title(unsigned branch, char ret[static VGPU_VERSION_SIZE]) {
        for (size_t i = 0; i < ELEMENTSOF(branches); i++)
                if (branches[i].branch == branch) {
                        (void) snprintf(ret, VGPU_VERSION_SIZE, "vGPU %u, R%u", branches[i].release, branch);
                        return;
                }
        (void) snprintf(ret, VGPU_VERSION_SIZE, "R%u", branch);
}
