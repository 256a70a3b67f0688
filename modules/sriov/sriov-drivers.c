/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From the ndo_set_vf_* functions in drivers/net/ethernet of Linux 6.1 and 6.12. What is not stated here was not looked at, or
 * depends on the card or its firmware: then the driver is asked, and its answer told. */

#include "sriov-drivers.h"

#include <stdio.h>

#include "sriov.h"

#define NO(what) SRIOV_LIMIT_NO_##what

static const SriovDriver DRIVERS[] = {
        { "igb", NO(8021AD) | NO(MIN_RATE) | NO(LINK_STATE) | NO(RSS_QUERY) | SRIOV_LIMIT_RATE_NEEDS_LINK,
          "Seven functions at most; rates on 82576 only." },
        { "ixgbe", NO(8021AD) | NO(MIN_RATE) | NO(LINK_STATE) | SRIOV_LIMIT_RATE_NEEDS_LINK,
          "Rates above 10 Mbit/s with a link at 10 Gbit/s; no RSS query on X550 and later; a link state is taken and not applied." },
        { "i40e", NO(8021AD) | NO(MIN_RATE), "A function that resets is waited for; each change resets it." },
        { "ice", 0, "802.1ad in double-VLAN mode only; a function that is not ready is waited for; each change resets it." },
        { "bnxt_en", NO(QOS) | NO(8021AD), "Trust needs a recent firmware." },
        { "mlx5_core", NO(8021AD), NULL },
        { "sfc", NO(QOS) | NO(8021AD) | NO(MAX_RATE) | NO(MIN_RATE) | NO(TRUST), "The VLAN only while no guest has the function." },
        { "qede", NO(8021AD), "A quality of service is ignored; a rate that was set is not taken back; settings act a moment later." },
        { "ionic", NO(QOS) | NO(8021AD) | NO(MIN_RATE), NULL },
        { "cxgb4", NO(8021AD) | NO(MIN_RATE) | NO(SPOOF_CHECK) | NO(TRUST), NULL },
        { "rvu_nicpf", NO(MAX_RATE) | NO(MIN_RATE) | NO(SPOOF_CHECK) | NO(LINK_STATE), NULL },
        { "fsl_enetc", NO(MAX_RATE) | NO(MIN_RATE) | NO(LINK_STATE) | NO(TRUST), "Nothing is read back." },
        { "mlx4_core", NO(TRUST), "Functions are made by its module option num_vfs." },
        { "bnx2x", NO(MAX_RATE) | NO(MIN_RATE) | NO(TRUST), NULL },
        { "hns3", 0, NULL },
        { "hinic", 0, NULL },
        { "nfp", 0, NULL },
};

/* The functions behind the switch are configured as its ports are. */
const SriovDriver sriov_switchdev = {
        SRIOV_SWITCHDEV,
        NO(VLAN) | NO(QOS) | NO(8021AD) | NO(MAX_RATE) | NO(MIN_RATE) | NO(SPOOF_CHECK) | NO(LINK_STATE) | NO(TRUST),
        NULL,
};

const SriovDriver *sriov_driver_find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(DRIVERS); i++)
                if (streq_null(DRIVERS[i].name, name))
                        return DRIVERS + i;
        return NULL;
}

/* `harmless`: what asks for nothing, so that it can be had of every driver. */
static const struct {
        SriovKey key;
        uint32_t limit;
        uint64_t harmless;
        const char *words;
} REFUSALS[] = {
        { SRIOV_KEY_MAC, NO(MAC), UINT64_MAX, "sets no MAC address" },
        { SRIOV_KEY_VLAN, NO(VLAN), 0, "sets no VLAN" },
        { SRIOV_KEY_QOS, NO(QOS), 0, "takes no quality of service but 0" },
        { SRIOV_KEY_PROTOCOL, NO(8021AD), SRIOV_PROTOCOL_8021Q, "knows no 802.1ad" },
        { SRIOV_KEY_MAX_RATE, NO(MAX_RATE), 0, "limits no rates" },
        { SRIOV_KEY_MIN_RATE, NO(MIN_RATE), 0, "guarantees no rates" },
        { SRIOV_KEY_SPOOF_CHECK, NO(SPOOF_CHECK), UINT64_MAX, "has no switch for the spoof check" },
        { SRIOV_KEY_LINK_STATE, NO(LINK_STATE), 0, "sets no link state" },
        { SRIOV_KEY_TRUST, NO(TRUST), 0, "trusts no function" },
        { SRIOV_KEY_RSS_QUERY, NO(RSS_QUERY), 0, "has no switch for RSS queries" },
};

const char *sriov_driver_refusal(const SriovDriver *driver, SriovKey key, uint64_t value) {
        for (size_t i = 0; driver && i < ELEMENTSOF(REFUSALS); i++)
                if (REFUSALS[i].key == key && driver->limits & REFUSALS[i].limit && value != REFUSALS[i].harmless)
                        return REFUSALS[i].words;
        return NULL;
}

void sriov_driver_not_offered(const SriovDriver *driver, const char *ret[static _SRIOV_KEY_MAX + 1]) {
        size_t n = 0;

        for (size_t i = 0; driver && i < ELEMENTSOF(REFUSALS); i++)
                if (driver->limits & REFUSALS[i].limit)
                        ret[n++] = REFUSALS[i].key == SRIOV_KEY_PROTOCOL ? "802.1ad" : sriov_key_name(REFUSALS[i].key);
        ret[n] = NULL;
}

/* include/linux/errno.h: never meant to leave the kernel. */
#define KERNEL_ENOTSUPP 524

int sriov_driver_error(int error) {
        return error == -KERNEL_ENOTSUPP ? -EOPNOTSUPP : error;
}

void sriov_error_text(int error, char *ret, size_t size) {
        const char *name = strerrorname_np(-error);

        if (name)
                (void) snprintf(ret, size, "%s (%s)", strerrordesc_np(-error), name);
        else
                (void) snprintf(ret, size, "error %d", -error);
}
