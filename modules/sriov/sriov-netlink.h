/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The settings of virtual functions, as the driver of the physical one reports and takes them: in the worker only. The seam for
 * tests is here, at the decoded record: a simulated host has no rtnetlink of its own, so its records are files, whose
 * driver answers with the errno of the one that it plays. Everything above is the same. */

#include "sriov-vf.h"

/* How a VF is reached now. Names of interfaces and numbers of functions are looked up each time: they change. */
typedef struct SriovPath {
        char vf[PCI_ADDRESS_SIZE], pf[PCI_ADDRESS_SIZE];
        char driver[64];             /* of the PF; "" for none */
        char interface[64];          /* of the PF; "" for none in this network namespace */
        uint32_t ifindex;
        uint32_t number;             /* of the VF on the PF */
        bool pf_is_up;               /* administratively */
        uint32_t speed;              /* Mbit/s of its link; 0: down or not known */
} SriovPath;

/* -ENODEV: the VF, or its PF, is gone. -ENONET: the PF has no interface here, while the rest is filled. */
int sriov_path_find(PtContext *ctx, const PtDevice *vf, SriovPath *ret);

/* An attribute of an interface of the VF's PF ("address"). */
ssize_t sriov_path_read(PtContext *ctx, const PtDevice *vf, const char *interface, const char *attribute, char *buffer, size_t size);

typedef struct SriovNetlink {
        /* -ENOENT: the interface states nothing about such a VF. */
        int (*read)(const SriovPath *path, SriovVf *ret);
        /* Sets one attribute from all its keys, which must be known. The driver's errno where it refuses. */
        int (*write)(const SriovPath *path, SriovAttribute attribute, const SriovVf *values);
        /* Whether somebody else on this host has the address: an interface, or a VF of any PF (`ret_owner`: "enp8s0 itself",
         * "virtual function 3 of enp8s0"). What is in another network namespace is not seen. */
        int (*find_mac)(const SriovPath *path, uint64_t mac, char *ret_owner, size_t size);
} SriovNetlink;

/* The kernel's, or the simulated host's where the environment names one (PASSTHROUGHD_SIMULATED_RTNETLINK: a folder). */
const SriovNetlink *sriov_netlink(void);

extern const SriovNetlink sriov_netlink_kernel, sriov_netlink_simulated;
