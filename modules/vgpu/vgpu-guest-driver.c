/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-guest-driver.h"

#include <ctype.h>
#include <stdio.h>

#define PARTS_MAX 4u

typedef struct Branch {
        unsigned release; /* of the vGPU software */
        unsigned driver;  /* R550 */
        bool long_term;
        bool any_guest;   /* takes any release of its own branch in guests, also a later one */
} Branch;

static const Branch branches[] = {
        { 13, 470, false, false },  { 14, 510, false, false }, { 15, 525, false, true },  { 16, 535, true, false },
        { 17, 550, false, false }, { 18, 570, false, false }, { 19, 580, true, false },  { 20, 595, false, false },
};

#define LONG_TERM_PAIRS_FROM 19u /* releases that support guests of the long-term branch before */

static const char *const guest_driver_table[_VGPU_GUEST_DRIVER_MAX] = {
        [VGPU_GUEST_DRIVER_FITS] = "fits",
        [VGPU_GUEST_DRIVER_UNKNOWN] = "unknown",
        [VGPU_GUEST_DRIVER_NEWER] = "newer",
        [VGPU_GUEST_DRIVER_TOO_OLD] = "too-old",
};
DEFINE_STRING_TABLE(vgpu_guest_driver, VgpuGuestDriver, guest_driver_table)

typedef struct Version {
        unsigned parts[PARTS_MAX];
        const Branch *branch; /* never NULL */
} Version;

static bool read_version(const char *text, Version *ret) {
        Version version = { .branch = NULL };
        unsigned n = 0;

        for (const char *p = strempty(text);; p++) {
                unsigned value = 0;

                if (n == PARTS_MAX || !isdigit((unsigned char) *p))
                        return false;
                for (; isdigit((unsigned char) *p) && value < 100000; p++)
                        value = value * 10 + (unsigned) (*p - '0');
                version.parts[n++] = value;
                if (*p == '\0')
                        break;
                if (*p != '.')
                        return false;
        }
        /* Drivers for Windows have numbers of their own, up to the next branch's. */
        for (size_t i = 0; i < ELEMENTSOF(branches); i++)
                if (branches[i].driver <= version.parts[0])
                        version.branch = &branches[i];
        *ret = version;
        return version.branch != NULL;
}

static bool is_later(const Version *a, const Version *b) {
        for (size_t i = 0; i < PARTS_MAX; i++)
                if (a->parts[i] != b->parts[i])
                        return a->parts[i] > b->parts[i];
        return false;
}

/* The long-term branch before that of the host; NULL for none. */
static const Branch *long_term_before(const Branch *host) {
        for (const Branch *branch = host; branch > branches; branch--)
                if (branch[-1].long_term)
                        return &branch[-1];
        return NULL;
}

VgpuGuestDriver vgpu_guest_driver_check(const char *host, const char *guest) {
        Version h, g;

        if (!read_version(host, &h) || !read_version(guest, &g))
                return VGPU_GUEST_DRIVER_UNKNOWN;
        if (g.branch > h.branch)
                return VGPU_GUEST_DRIVER_NEWER;
        if (g.branch == h.branch) {
                /* The numbers of two systems can't be compared. */
                bool comparable = g.parts[0] == h.parts[0];

                return !h.branch->any_guest && comparable && is_later(&g, &h) ? VGPU_GUEST_DRIVER_NEWER
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
        Version h, g;

        ret_text[0] = ret_remedy[0] = '\0';
        if (!read_version(host, &h) || !read_version(guest, &g))
                return;
        (void) snprintf(ret_text, VGPU_GUEST_DRIVER_TEXT_SIZE,
                        "the guest's driver %.32s (R%u, vGPU %u) is %s the host's %.32s (R%u, vGPU %u)%s", guest,
                        g.branch->driver, g.branch->release,
                        what == VGPU_GUEST_DRIVER_NEWER ? "newer than" : "older than what", host, h.branch->driver,
                        h.branch->release, what == VGPU_GUEST_DRIVER_NEWER ? "" : " supports");
        (void) snprintf(ret_remedy, VGPU_GUEST_DRIVER_TEXT_SIZE, "install the guest driver of vGPU %u%s in the guest%s",
                        h.branch->release, h.branch > branches ? ", or of the branch before it," : "",
                        what == VGPU_GUEST_DRIVER_NEWER ? "; or a newer vGPU manager on the host" : "");
}
