/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-version.h"

#include <ctype.h>
#include <errno.h>

#define PART_MAX 99999u

/* Source: release notes of NVIDIA's vGPU software. */
const VgpuBranch VGPU_BRANCHES[] = {
        { 13, 470, false, false }, { 14, 510, false, false }, { 15, 525, false, true }, { 16, 535, true, false },
        { 17, 550, false, false }, { 18, 570, false, false }, { 19, 580, true, false }, { 20, 595, false, false },
        { 0 },
};

int vgpu_version_parse(const char *text, VgpuVersion *ret) {
        VgpuVersion version = { .n = 0 };

        for (const char *p = text;; p++) {
                unsigned value = 0;

                if (version.n == VGPU_VERSION_PARTS_MAX || !isdigit((unsigned char) *p))
                        return -EINVAL;
                for (; isdigit((unsigned char) *p); p++) {
                        value = value * 10 + (unsigned) (*p - '0');
                        if (value > PART_MAX)
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

int vgpu_version_compare(const VgpuVersion *a, const VgpuVersion *b) {
        for (unsigned i = 0; i < MIN_OF(a->n, b->n); i++)
                if (a->parts[i] != b->parts[i])
                        return a->parts[i] < b->parts[i] ? -1 : 1;
        return 0;
}

const VgpuBranch *vgpu_branch_of_release(unsigned release) {
        for (const VgpuBranch *branch = VGPU_BRANCHES; branch->release > 0; branch++)
                if (branch->release == release)
                        return branch;
        return NULL;
}

const VgpuBranch *vgpu_branch_of_driver(unsigned driver) {
        for (const VgpuBranch *branch = VGPU_BRANCHES; branch->release > 0; branch++)
                if (branch->driver == driver)
                        return branch;
        return NULL;
}
