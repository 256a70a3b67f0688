/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-release.h"

#include <stdio.h>

#include "vgpu-version.h"

#define RELEASE_PARTS 2u
#define DRIVER_PARTS 3u
#define DRIVER_FROM 100u /* drivers' versions begin with three digits, releases of the vGPU software with two */

/* Releases whose Virtual GPU Manager is published, in order. */
static const struct {
        uint16_t release, minor;
        VgpuVersion driver;
} known[] = {
        { 15, 0, { { 525, 60, 12 }, 3 } },
        { 15, 1, { { 525, 85, 7 }, 3 } },
        { 17, 6, { { 550, 163, 2 }, 3 } },
        { 19, 0, { { 580, 65, 5 }, 3 } },
};

static int parse_wanted(const char *text, bool *ret_least, VgpuVersion *ret) {
        bool least = strncmp(text, ">=", 2) == 0;
        VgpuVersion version;
        int r;

        if (least)
                text += 2;
        text += strspn(text, " ");
        r = vgpu_version_parse(text, &version);
        if (r < 0)
                return r;
        /* Of releases only those that a table has mean anything. */
        if (version.parts[0] < DRIVER_FROM ? version.n > RELEASE_PARTS || !vgpu_branch_of_release(version.parts[0])
                                           : version.n > DRIVER_PARTS)
                return -EINVAL;
        *ret_least = least;
        *ret = version;
        return 0;
}

int vgpu_release_check(const char *wanted) {
        bool least;
        VgpuVersion version;

        return isempty(wanted) ? 0 : parse_wanted(wanted, &least, &version);
}

/* Between what is published of its branch. */
static VgpuReleaseMatch match_minor(const VgpuVersion *wanted, bool least, const VgpuVersion *driver) {
        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                int order = vgpu_version_compare(driver, &known[i].driver);

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
        VgpuVersion want, have;
        unsigned branch;
        bool least;
        int order;

        if (isempty(wanted))
                return VGPU_RELEASE_YES;
        if (parse_wanted(wanted, &least, &want) < 0 || vgpu_version_parse(strempty(driver), &have) < 0)
                return VGPU_RELEASE_UNKNOWN;
        if (want.parts[0] >= DRIVER_FROM) {
                order = vgpu_version_compare(&have, &want);
                return order == 0 || (least && order > 0) ? VGPU_RELEASE_YES : VGPU_RELEASE_NO;
        }
        branch = vgpu_branch_of_release(want.parts[0])->driver;
        if (have.parts[0] != branch)
                return least && have.parts[0] > branch ? VGPU_RELEASE_YES : VGPU_RELEASE_NO;
        /* X.0 is where the branch begins. */
        if (want.n == 1 || (least && want.parts[1] == 0))
                return VGPU_RELEASE_YES;
        return match_minor(&want, least, &have);
}

unsigned vgpu_driver_branch(const char *driver) {
        VgpuVersion version;

        return vgpu_version_parse(strempty(driver), &version) >= 0 ? version.parts[0] : 0;
}

void vgpu_branch_title(unsigned branch, char ret[static VGPU_VERSION_SIZE]) {
        const VgpuBranch *known_branch = vgpu_branch_of_driver(branch);

        if (known_branch)
                (void) snprintf(ret, VGPU_VERSION_SIZE, "vGPU %u, R%u", known_branch->release, branch);
        else
                (void) snprintf(ret, VGPU_VERSION_SIZE, "R%u", branch);
}
