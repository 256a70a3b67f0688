/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The values of a layout: what the steps make, and what is found again when somebody asks whether it is still so. */

#include <stdio.h>

#include "lib/parse.h"
#include "vgpu-instances.h"
#include "vgpu-provision.h"
#include "vgpu-wants.h"

#define PLACEMENTS_SIZE 1024

bool vgpu_has_functions(PtContext *ctx, const PtDevice *provider) {
        char text[PCI_ATTRIBUTE_SIZE];
        uint32_t total;

        return ctx->services->read_attribute(ctx, provider, "sriov_totalvfs", text, sizeof(text)) >= 0 &&
               parse_uint32(text, &total) >= 0 && total > 0;
}

static int put_text(PtContext *ctx, const char *name, const char *text) {
        return isempty(text) ? 0 : ctx->services->put_layout(ctx, name, &PT_VALUE_STRING(text));
}

static void instances_text(const VgpuLayout *layout, char ret[static VGPU_INSTANCES_TEXT_SIZE]) {
        VgpuInstanceList list = { .n = 0 };

        for (size_t i = 0; i < layout->n_instances; i++)
                list.entries[list.n++] = (VgpuInstanceEntry){
                        .profile = layout->instances[i].placement.profile->id,
                        .start = layout->instances[i].placement.start,
                };
        vgpu_instances_to_text(&list, ret);
}

/* Those of one profile in ascending order, whatever group they are for: "L40S-4C@36,44". */
static size_t append_placements(const Wants *wants, const VgpuProfile *profile, char *text, size_t size) {
        char title[2 * VGPU_NAME_SIZE];
        size_t at = 0;
        bool first = true;

        vgpu_name_to_text(&profile->name, title);
        at += (size_t) snprintf(text, size, "%s@", title);
        for (unsigned start = 0; start < VGPU_REGION_MAX && at < size; start++)
                for (size_t i = 0; i < wants->layout.n_slots; i++)
                        if (wants->demands[wants->layout.slots[i].demand].profile == profile &&
                            wants->layout.slots[i].start == start && at < size) {
                                at += (size_t) snprintf(text + at, size - at, "%s%u", first ? "" : ",", start);
                                first = false;
                        }
        return MIN_OF(at, size - 1);
}

static void placements_text(const Wants *wants, char ret[static PLACEMENTS_SIZE]) {
        size_t at = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < wants->n; i++) {
                bool said = false;

                for (size_t k = 0; k < i; k++)
                        said = said || wants->demands[k].profile == wants->demands[i].profile;
                if (said || at >= PLACEMENTS_SIZE - 2)
                        continue;
                if (at > 0)
                        ret[at++] = ' ';
                at += append_placements(wants, wants->demands[i].profile, ret + at, PLACEMENTS_SIZE - at);
        }
}

int vgpu_put_values(PtContext *ctx, const PtDevice *provider, const Wants *wants, const char *scheduler) {
        bool functions = vgpu_has_functions(ctx, provider);
        char instances[VGPU_INSTANCES_TEXT_SIZE] = "", placements[PLACEMENTS_SIZE] = "";
        VgpuMode mode = wants->layout.mode;
        int r;

        /* Before Ampere a driver that is loaded is all that it takes; and what others' drivers need is theirs. */
        if (!vgpu_is_nvidia(ctx, provider) || !streq_null(provider->driver, "nvidia") ||
            (mode == VGPU_MODE_EQUAL && !functions && isempty(scheduler)))
                return 0;
        if (mode == VGPU_MODE_MIG)
                instances_text(&wants->layout, instances);
        if (mode == VGPU_MODE_MIXED)
                placements_text(wants, placements);
        r = ctx->services->put_layout(ctx, VGPU_VALUE_MODE, &PT_VALUE_STRING(vgpu_mode_to_string(mode)));
        if (r >= 0)
                r = ctx->services->put_layout(ctx, VGPU_VALUE_FUNCTIONS, &PT_VALUE_BOOL(functions));
        if (r >= 0)
                r = put_text(ctx, VGPU_VALUE_INSTANCES, instances);
        if (r >= 0)
                r = put_text(ctx, VGPU_VALUE_SCHEDULER, scheduler);
        return r < 0 ? r : put_text(ctx, VGPU_VALUE_PLACEMENTS, placements);
}
