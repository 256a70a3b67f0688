/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which devices of a group a request gets. Deterministic: the same host and the same claims give the same
 * choice. The device used last wins while it is eligible; then the group's policy decides. Two members of
 * one IOMMU group are one candidate, represented by the member with the lowest place. */

#include "group.h"

#define CHOICE_TEXT_SIZE 256

typedef struct ChoiceRequest {
        const Group *group;
        unsigned count;
        int numa_node;           /* preferred node, -1 none */
        const char *const *last; /* device ids used last, NULL-terminated or NULL */
        /* Whether the device can be had now; adds why not. Called once a candidate. */
        bool (*eligible)(void *userdata, Device *device, FindingList *why_not);
        /* Whether it can be had beside those, which are chosen already; adds why not (NULL: nobody wants to know). NULL: always. */
        bool (*fits)(void *userdata, Device *const *chosen, size_t n_chosen, Device *device, FindingList *why_not);
        /* What others lose of the device's provider if it is taken beside those: 0 for nothing; `ret_text` says what is left for them.
         * Asked once a provider. Packing and spreading avoid it. NULL: nobody else wants anything. */
        uint32_t (*cost)(void *userdata, Device *const *chosen, size_t n_chosen, Device *device,
                         char ret_text[static CHOICE_TEXT_SIZE]);
        void *userdata;
} ChoiceRequest;

/* Fills `ret` (NULL-terminated, new memory) with at most `count` devices, best first; fewer is no error.
 * `ret_candidates` (may be NULL): [{device, companions: [id…], score, chosen, reasons: [text…], blockers:
 * [finding…]}…], best first: those chosen with the points that they were chosen for, then the others that
 * could be had, then the rest. A device counts as in use where Device.allocation is set.
 *
 * With `ret_candidates` the best CANDIDATES_MAX candidates are asked about, and told of. Without, only as many as are needed: a consumer
 * that gets back what it had, or the first in order of place, costs the same in a group of ten thousand as
 * in one of ten. */
int choice_make(Inventory *inventory, const ChoiceRequest *request, Device ***ret, size_t *ret_n,
                json_t **ret_candidates, Fault *fault);
