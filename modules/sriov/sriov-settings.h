/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The network settings of a request: what is wanted of a virtual function, which of it was asked for, and the steps that do it. */

#include "sriov-drivers.h"

/* In place of a number, and the word that says the same. */
#define SRIOV_LEAVE (-1)
#define SRIOV_LEAVE_WORD "default"
#define SRIOV_GENERATE_WORD "generate"
#define SRIOV_VLAN_MAX 4094 /* 4095 is reserved, though drivers take it */

typedef struct SriovWish {
        SriovVf vf;     /* known: what is not left as it is */
        uint32_t given; /* bits of the keys that the group or the consumer gave; others stand at their default */
        bool mac_generated;
} SriovWish;

/* Of the request at hand; `request` may be NULL. -EINVAL: a MAC address that is none; the checks say so. */
int sriov_wish_load(PtContext *ctx, const PtRequest *request, SriovWish *ret);
/* Locally administered, unicast, and the same for the same name, see PtRequest.uuid. */
uint64_t sriov_mac_of_uuid(const char *uuid);

/* Whether the function takes network settings: an Ethernet controller. */
bool sriov_takes_settings(PtContext *ctx, const PtDevice *device);
/* What is known of who would apply them. */
typedef struct SriovOfferer {
        char name[64];             /* driver of the PF; "" for none */
        const SriovDriver *driver; /* NULL for one that is not in the table */
        bool switchdev;            /* the embedded switch is in that mode, as far as that was read */
} SriovOfferer;
void sriov_offerer_find(PtContext *ctx, const PtDevice *device, SriovOfferer *ret);
/* Words that go on with "the driver NAME …" when it does not take the value; NULL when it may. `ret_switchdev`: because of the mode. */
const char *sriov_refusal(const SriovOfferer *offerer, SriovKey key, uint64_t value, bool *ret_switchdev);
/* The steps that apply the wish to a VF. */
int sriov_put_settings(PtContext *ctx, const PtRequest *request);
/* What speaks against the wish, or is to be known of it; `request` may be NULL. */
int sriov_check_settings(PtContext *ctx, const PtDevice *device, const PtRequest *request);

/* Of a group or a request, before any device is chosen. */
int sriov_check_given(PtContext *ctx);

/* The custom steps. */
int sriov_setting_observe(PtContext *ctx, const PtDevice *device, const PtStep *step);
int sriov_setting_run(PtContext *ctx, const PtDevice *device, const PtStep *step);
int sriov_setting_undo(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed);
