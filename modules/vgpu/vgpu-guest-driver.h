/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether a guest's NVIDIA driver goes with the host's, and what the state of its licence means: rules as data. Source: release
 * notes of NVIDIA's vGPU software 15 and 19; a guest driver that does not go with the host fails to load. */

#include "lib/macro.h"

typedef enum VgpuGuestDriver {
        VGPU_GUEST_DRIVER_FITS,
        VGPU_GUEST_DRIVER_UNKNOWN, /* a version that no table knows, or can't be read */
        VGPU_GUEST_DRIVER_NEWER,   /* than the host's: never supported */
        VGPU_GUEST_DRIVER_TOO_OLD, /* of a branch that the host's release does not support any more */
        _VGPU_GUEST_DRIVER_MAX,
        _VGPU_GUEST_DRIVER_INVALID = -EINVAL,
} VgpuGuestDriver;
DECLARE_STRING_TABLE(vgpu_guest_driver, VgpuGuestDriver); /* fits, unknown, newer, too-old */

#define VGPU_GUEST_DRIVER_TEXT_SIZE 320

/* Versions as drivers print them: "550.163.02" of a host, "553.74" of a guest with Windows, whose numbers lie between the
 * branches' own. */
VgpuGuestDriver vgpu_guest_driver_check(const char *host, const char *guest);
/* "The guest has driver 550.54, of branch R550; the host's is …" and what would go: for what does not fit. */
void vgpu_guest_driver_explain(const char *host, const char *guest, VgpuGuestDriver what,
                               char ret_text[static VGPU_GUEST_DRIVER_TEXT_SIZE],
                               char ret_remedy[static VGPU_GUEST_DRIVER_TEXT_SIZE]);
