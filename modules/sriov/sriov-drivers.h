/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What drivers of physical functions are known to do with network settings, as data: so that a plan can say it before anything is
 * tried. A driver that is not in the table is asked. */

#include "sriov-vf.h"

typedef enum SriovLimit {
        SRIOV_LIMIT_NO_MAC = 1 << 0,
        SRIOV_LIMIT_NO_VLAN = 1 << 1,
        SRIOV_LIMIT_NO_QOS = 1 << 2,
        SRIOV_LIMIT_NO_8021AD = 1 << 3,
        SRIOV_LIMIT_NO_MAX_RATE = 1 << 4,
        SRIOV_LIMIT_NO_MIN_RATE = 1 << 5,
        SRIOV_LIMIT_NO_SPOOF_CHECK = 1 << 6,
        SRIOV_LIMIT_NO_LINK_STATE = 1 << 7,
        SRIOV_LIMIT_NO_TRUST = 1 << 8,
        SRIOV_LIMIT_NO_RSS_QUERY = 1 << 9,
        SRIOV_LIMIT_RATE_NEEDS_LINK = 1 << 10, /* a rate is refused while the link of the PF is down */
} SriovLimit;

typedef struct SriovDriver {
        const char *name;
        uint32_t limits; /* SriovLimit */
        const char *remark; /* for people; NULL for none */
} SriovDriver;

/* NULL for a driver that is not in the table. */
const SriovDriver *sriov_driver_find(const char *name);
/* What is set through representors, with tc and devlink, while the card's embedded switch is in the mode switchdev. Beside what the
 * driver itself does not offer. */
extern const SriovDriver sriov_switchdev;
/* Why the driver does not take this value, as words that go on with "the driver NAME …"; NULL when it may. */
const char *sriov_driver_refusal(const SriovDriver *driver, SriovKey key, uint64_t value);
/* "802.1ad", "min-rate": what it is known not to offer, NULL-terminated. */
void sriov_driver_not_offered(const SriovDriver *driver, const char *ret[static _SRIOV_KEY_MAX + 1]);
/* What a driver answered, as a code that programs know: bnxt_en says ENOTSUPP, one of the kernel's own, for what its firmware can't. */
int sriov_driver_error(int error);
/* "Invalid argument (EINVAL)"; "error 999" for one that has no name. `error` is negative. */
void sriov_error_text(int error, char *ret, size_t size);
