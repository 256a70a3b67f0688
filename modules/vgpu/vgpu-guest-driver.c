/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-guest-driver.h"

#include <stdio.h>

#include "vgpu-version.h"

#define LONG_TERM_PAIRS_FROM 19u /* releases that support guests of the long-term branch before */

static const char *const guest_driver_table[_VGPU_GUEST_DRIVER_MAX] = {
        [VGPU_GUEST_DRIVER_FITS] = "fits",
        [VGPU_GUEST_DRIVER_UNKNOWN] = "unknown",
        [VGPU_GUEST_DRIVER_NEWER] = "newer",
        [VGPU_GUEST_DRIVER_TOO_OLD] = "too-old",
};
DEFINE_STRING_TABLE(vgpu_guest_driver, VgpuGuestDriver, guest_driver_table)

typedef struct Driver {
        VgpuVersion version;
        const VgpuBranch *branch; /* never NULL */
} Driver;

static bool read_driver(const char *text, Driver *ret) {
        Driver driver = { .branch = NULL };

        if (vgpu_version_parse(strempty(text), &driver.version) < 0)
                return false;
        /* Drivers for Windows have numbers of their own, up to the next branch's. */
        for (const VgpuBranch *branch = VGPU_BRANCHES; branch->release > 0; branch++)
                if (branch->driver <= driver.version.parts[0])
                        driver.branch = branch;
        *ret = driver;
        return driver.branch != NULL;
}

static bool is_later(const VgpuVersion *a, const VgpuVersion *b) {
        for (size_t i = 0; i < VGPU_VERSION_PARTS_MAX; i++)
                if (a->parts[i] != b->parts[i])
                        return a->parts[i] > b->parts[i];
        return false;
}

/* The long-term branch before that of the host; NULL for none. */
static const VgpuBranch *long_term_before(const VgpuBranch *host) {
        for (const VgpuBranch *branch = host; branch > VGPU_BRANCHES; branch--)
                if (branch[-1].long_term)
                        return &branch[-1];
        return NULL;
}

VgpuGuestDriver vgpu_guest_driver_check(const char *host, const char *guest) {
        Driver h, g;

        if (!read_driver(host, &h) || !read_driver(guest, &g))
                return VGPU_GUEST_DRIVER_UNKNOWN;
        if (g.branch > h.branch)
                return VGPU_GUEST_DRIVER_NEWER;
        if (g.branch == h.branch) {
                /* The numbers of two systems can't be compared. */
                bool comparable = g.version.parts[0] == h.version.parts[0];

                return !h.branch->any_guest && comparable && is_later(&g.version, &h.version)
                               ? VGPU_GUEST_DRIVER_NEWER
                               : VGPU_GUEST_DRIVER_FITS;
        }
        if (g.branch + 1 == h.branch)
                return VGPU_GUEST_DRIVER_FITS;
        if (h.branch->release >= LONG_TERM_PAIRS_FROM && h.branch->long_term && g.branch == long_term_before(h.branch))
                return VGPU_GUEST_DRIVER_FITS;
        return VGPU_GUEST_DRIVER_TOO_OLD;
}

void vgpu_guest_driver_explain(const char *host, const char *guest, VgpuGuestDriver what,
                               char ret_text[static VGPU_GUEST_DRIVER_TEXT_SIZE],
                               char ret_remedy[static VGPU_GUEST_DRIVER_TEXT_SIZE]) {
        Driver h, g;

        ret_text[0] = ret_remedy[0] = '\0';
        if (!read_driver(host, &h) || !read_driver(guest, &g))
                return;
        (void) snprintf(ret_text, VGPU_GUEST_DRIVER_TEXT_SIZE,
                        "the guest's driver %.32s (R%u, vGPU %u) is %s the host's %.32s (R%u, vGPU %u)%s", guest,
                        g.branch->driver, g.branch->release,
                        what == VGPU_GUEST_DRIVER_NEWER ? "newer than" : "older than what", host, h.branch->driver,
                        h.branch->release, what == VGPU_GUEST_DRIVER_NEWER ? "" : " supports");
        (void) snprintf(ret_remedy, VGPU_GUEST_DRIVER_TEXT_SIZE, "install the guest driver of vGPU %u%s in the guest%s",
                        h.branch->release, h.branch > VGPU_BRANCHES ? ", or of the branch before it," : "",
                        what == VGPU_GUEST_DRIVER_NEWER ? "; or a newer vGPU manager on the host" : "");
}
