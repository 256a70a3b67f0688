/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The layout of a physical function is one number: how many virtual functions it has. A group wants so many of them as its
 * setting says, of those whose index its rules take; so groups can share a physical function, each with a range of its own, or
 * all with the same ones. */

#include <stdio.h>

#include "lib/parse.h"
#include "sriov.h"

/* What one demand comes to. */
typedef struct Want {
        const PtDemand *demand;
        uint32_t vfs;    /* wanted */
        uint32_t needed; /* the physical function must have so many for that */
} Want;

static int put_conflict(PtContext *ctx, const PtDemand *culprit, const char *text, const char *remedy) {
        return ctx->services->put_finding(ctx, &(PtFinding){
                                                       .severity = PT_SEVERITY_BLOCKER,
                                                       .code = "layout-conflict",
                                                       .text = text,
                                                       .culprit = culprit->group,
                                                       .remedy = remedy,
                                               });
}

static bool takes(PtContext *ctx, const PtDemand *demand, uint32_t index) {
        return ctx->services->demand_accepts(ctx, demand, "vf-index", &PT_VALUE_INT32((int32_t) index)) > 0;
}

/* How many of the first `count` functions the group takes. */
static uint32_t count_taken(PtContext *ctx, const PtDemand *demand, uint32_t count) {
        uint32_t taken = 0;

        for (uint32_t i = 0; i < count; i++)
                taken += takes(ctx, demand, i);
        return taken;
}

/* 1 when the demand can be met alone; 0 when not, with a finding. */
static int measure(PtContext *ctx, const PtDevice *provider, uint32_t total, Want *want) {
        char text[PCI_TEXT_SIZE];
        uint32_t taken = 0;
        PtValue vfs;
        int r;

        r = ctx->services->get_demand_setting(ctx, want->demand, SRIOV_SETTING_VFS, &vfs);
        if (r < 0)
                return r;
        want->vfs = vfs.u;
        for (want->needed = 0; want->needed < total && taken < want->vfs; want->needed++)
                taken += takes(ctx, want->demand, want->needed);
        if (taken == want->vfs)
                return 1;

        if (want->vfs > total)
                (void) snprintf(text, sizeof(text),
                                "Group '%s' wants %u virtual functions on %s, which makes %u at most.",
                                want->demand->group_name, want->vfs, provider->sysname, total);
        else
                (void) snprintf(text, sizeof(text),
                                "Group '%s' wants %u virtual functions on %s, but its rules take %u of the %u that there "
                                "can be.",
                                want->demand->group_name, want->vfs, provider->sysname, taken, total);
        r = put_conflict(ctx, want->demand, text, "Lower the group's setting vfs, or widen the range of vf-index in its rules.");
        return r < 0 ? r : 0;
}

static int put_clash(PtContext *ctx, const PtDevice *provider, const Want *small, const Want *large, uint32_t taken) {
        /* The groups are in order of creation: the later one found the earlier one there. */
        const PtDemand *culprit = small > large ? small->demand : large->demand;
        char text[2 * PCI_TEXT_SIZE];

        (void) snprintf(text, sizeof(text),
                        "Group '%.200s' needs %u virtual functions on %s; group '%.200s' wants %u there and would have %u.",
                        large->demand->group_name, large->needed, provider->sysname, small->demand->group_name, small->vfs,
                        taken);
        return put_conflict(ctx, culprit, text,
                            "Give each group a range of its own (\"vf-index <= 3\", \"vf-index >= 4\"), or all the same "
                            "number.");
}

int sriov_layout(PtContext *ctx, const PtDevice *provider, const PtDemand *const *demands) {
        Want *largest = NULL, wants[64];
        char text[PCI_ATTRIBUTE_SIZE];
        uint32_t total = 0;
        size_t n = 0;
        int r;

        if (ctx->services->read_attribute(ctx, provider, "sriov_totalvfs", text, sizeof(text)) < 0 ||
            parse_uint32(text, &total) < 0)
                return -ENODEV;
        for (; demands[n]; n++) {
                if (n >= ELEMENTSOF(wants))
                        return put_conflict(ctx, demands[n], "More than 64 groups share one physical function.", NULL);
                wants[n] = (Want){ .demand = demands[n] };
                r = measure(ctx, provider, total, &wants[n]);
                if (r <= 0)
                        return r;
                if (!largest || wants[n].needed > largest->needed)
                        largest = &wants[n];
        }
        if (!largest)
                return 0;
        for (size_t i = 0; i < n; i++) {
                uint32_t taken = count_taken(ctx, wants[i].demand, largest->needed);

                if (taken != wants[i].vfs)
                        return put_clash(ctx, provider, &wants[i], largest, taken);
        }
        return ctx->services->put_layout(ctx, SRIOV_SETTING_VFS, &PT_VALUE_UINT32(largest->needed));
}

int sriov_capacity(PtContext *ctx, const PtDevice *provider) {
        uint32_t total, vfs;
        int r;

        r = pci_count_vfs(ctx, provider, &total, &vfs, NULL, 0);
        return r < 0 ? r : ctx->services->put_capacity(ctx, "", total > vfs ? total - vfs : 0);
}
