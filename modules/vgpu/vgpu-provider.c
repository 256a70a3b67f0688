/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What groups demand of a GPU, and what it could still make. Types with NVIDIA's names go through the planner; of others
 * nothing is known but how many of each there can be, and whether they go together is the driver's secret. */

#include <stdio.h>
#include <stdlib.h>

#include "vgpu-device.h"
#include "vgpu-report.h"
#include "vgpu.h"

#define TITLES_SIZE 384

/* One call of layout(). */
typedef struct Wants {
        VgpuCatalogue catalogue;
        VgpuDemand demands[VGPU_DEMANDS_MAX];
        const PtDemand *sources[VGPU_DEMANDS_MAX];
        size_t n;
        VgpuLayout layout;
        VgpuConflict conflict;
} Wants;

static int put_conflict(PtContext *ctx, const PtDemand *culprit, const char *code, const char *text, const char *remedy) {
        return ctx->services->put_finding(ctx, &(PtFinding){
                                                       .severity = PT_SEVERITY_BLOCKER,
                                                       .code = code,
                                                       .text = text,
                                                       .culprit = culprit->group,
                                                       .remedy = remedy,
                                               });
}

/* "L40S-1Q, L40S-2Q, …": what is published, where the driver has not said more. */
static void catalogue_titles(const VgpuCatalogue *catalogue, char *ret, size_t size) {
        size_t at = 0;

        for (size_t i = 0; i < catalogue->n_profiles && at < size; i++) {
                const VgpuName *name = &catalogue->profiles[i].name;
                int n = name->slices ? snprintf(ret + at, size - at, "%s%s-%u-%u%c", i ? ", " : "", name->board, name->slices,
                                                name->framebuffer, name->series)
                                     : snprintf(ret + at, size - at, "%s%s-%u%c", i ? ", " : "", name->board, name->framebuffer,
                                                name->series);

                at += n > 0 ? (size_t) n : 0;
        }
}

static int put_no_such_profile(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found,
                               const VgpuCatalogue *catalogue, const PtDemand *demand, const char *profile) {
        char text[2 * PCI_TEXT_SIZE], titles[TITLES_SIZE] = "", remedy[TITLES_SIZE + 64];

        if (found->n_types > 0)
                vgpu_device_titles(found, titles, sizeof(titles));
        else
                catalogue_titles(catalogue, titles, sizeof(titles));
        (void) snprintf(text, sizeof(text), "Group '%.200s' wants \"%.96s\", which %s does not offer.", demand->group_name, profile,
                        provider->sysname);
        (void) snprintf(remedy, sizeof(remedy), "It offers: %s", titles);
        return put_conflict(ctx, demand, "vgpu-not-offered", text, remedy);
}

/* What one group says: a copy of its profile, "" for none. */
static void demanded_profile(PtContext *ctx, const PtDemand *demand, char *ret, size_t size) {
        PtValue value;

        ret[0] = '\0';
        if (ctx->services->get_demand_setting(ctx, demand, VGPU_SETTING_PROFILE, &value) >= 0)
                (void) snprintf(ret, size, "%s", strempty(value.s));
}

static uint32_t demanded_number(PtContext *ctx, const PtDemand *demand, const char *setting) {
        PtValue value;

        return ctx->services->get_demand_setting(ctx, demand, setting, &value) >= 0 ? value.u : 0;
}

static const VgpuBoard *find_board(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found) {
        const VgpuBoard *board = NULL;
        int32_t product, subsystem;
        VgpuName name;

        for (size_t i = 0; i < found->n_types && !board; i++)
                if (vgpu_name_parse(found->types[i].type.name, &name) >= 0)
                        board = vgpu_board_by_name(name.board);
        if (board || !vgpu_is_nvidia(ctx, provider) || pci_read_number(ctx, provider, "device", UINT16_MAX, &product) < 0)
                return board;
        if (pci_read_number(ctx, provider, "subsystem_device", UINT16_MAX, &subsystem) < 0)
                subsystem = 0;
        return vgpu_board_by_id((uint16_t) product, (uint16_t) subsystem);
}

/* The published board, overlaid with what the driver says of each type. */
static void fill_catalogue(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found, VgpuCatalogue *catalogue) {
        const json_t *gpu = json_object_get(found->json, "gpu");
        const VgpuBoard *board = find_board(ctx, provider, found);
        VgpuName name;

        if (board)
                vgpu_catalogue_from_board(catalogue, board);
        if (gpu)
                (void) vgpu_catalogue_add_report(catalogue, gpu);
        for (size_t i = 0; i < found->n_types; i++)
                if (vgpu_name_parse(found->types[i].type.name, &name) >= 0)
                        (void) vgpu_catalogue_report(catalogue,
                                                     &(VgpuProfile){ .name = name, .max = found->types[i].type.max_instances });
}

/* 1 with a demand for the planner, 0 for one that it has no part in, or with a finding. */
static int read_demand(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found, const PtDemand *source, Wants *wants,
                       bool *refused) {
        char profile[VGPU_TYPE_NAME_SIZE], text[2 * PCI_TEXT_SIZE];
        uint32_t instances = demanded_number(ctx, source, VGPU_SETTING_INSTANCES);
        const VgpuDeviceType *type;
        const VgpuProfile *planned;
        VgpuName name;
        int r;

        demanded_profile(ctx, source, profile, sizeof(profile));
        /* `incomplete`: nothing can be had until it is said what; check() says so. */
        if (isempty(profile))
                return PT_HAS_SERVICE(ctx->services, put_room) ? ctx->services->put_room(ctx, source, UINT32_MAX, 0) : 0;
        /* The driver is not there yet. */
        if (found->n_types == 0 && wants->catalogue.n_profiles == 0)
                return 0;
        type = vgpu_device_find(found, profile);
        planned = vgpu_name_parse(type ? type->type.name : profile, &name) >= 0 ? vgpu_catalogue_find(&wants->catalogue, &name)
                                                                               : NULL;
        /* The types of a GPU with virtual functions are those of the functions; numbers that stand for names are theirs too. */
        if (!type && !planned) {
                if (found->n_types == 0 && profile[strspn(profile, "0123456789")] == '\0')
                        return 0;
                *refused = true;
                return put_no_such_profile(ctx, provider, found, &wants->catalogue, source, profile);
        }
        if (planned && wants->n < VGPU_DEMANDS_MAX) {
                /* Without a number it takes what there is: one at least. */
                wants->sources[wants->n] = source;
                wants->demands[wants->n++] = (VgpuDemand){ .group = source->group_name,
                                                           .profile = planned,
                                                           .count = MAX_OF(MAX_OF(instances, source->claimed), 1u) };
                return 1;
        }
        if (!type || type->type.max_instances == 0 || instances <= type->type.max_instances)
                return 0;
        *refused = true;
        (void) snprintf(text, sizeof(text), "Group '%.200s' wants %u of %s; %s makes %u at most.", source->group_name, instances,
                        vgpu_type_title(&type->type), provider->sysname, type->type.max_instances);
        r = put_conflict(ctx, source, "too-many", text, "Lower the group's setting \"instances\".");
        return r < 0 ? r : 0;
}

static int put_refusal(PtContext *ctx, const Wants *wants) {
        const VgpuConflict *conflict = &wants->conflict;
        char near[VGPU_TEXT_SIZE], remedy[VGPU_NEAREST_MAX * VGPU_TEXT_SIZE + 64] = "", text[2 * VGPU_TEXT_SIZE];
        size_t culprit = MIN_OF(conflict->demand, wants->n - 1), at = 0;

        for (size_t i = 0; i < conflict->n_nearest; i++) {
                int n;

                vgpu_near_to_text(&conflict->nearest[i], near);
                n = snprintf(remedy + at, sizeof(remedy) - at, "%s%s", i > 0 ? "; " : "Nearest layouts that fit: ", near);
                at += n > 0 ? (size_t) n : 0;
                if (at >= sizeof(remedy))
                        break;
        }
        (void) snprintf(text, sizeof(text), "%s.", conflict->text);
        return put_conflict(ctx, wants->sources[culprit], vgpu_refusal_to_string(conflict->refusal), text,
                            isempty(remedy) ? NULL : remedy);
}

static bool mixed_allowed(const VgpuDevice *found) {
        return json_is_true(json_object_get(json_object_get(found->json, "gpu"), "mixed-sizes"));
}

int vgpu_layout_op(PtContext *ctx, const PtDevice *provider, const PtDemand *const *demands) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        _cleanup_free_ Wants *wants = NULL;
        bool refused = false;
        int r;

        r = vgpu_device_load(ctx, provider, &found);
        if (r < 0)
                return r == -ENODATA ? 0 : r;
        wants = calloc(1, sizeof(*wants));
        if (!wants)
                return -ENOMEM;
        fill_catalogue(ctx, provider, found, &wants->catalogue);
        for (size_t i = 0; demands[i]; i++) {
                r = read_demand(ctx, provider, found, demands[i], wants, &refused);
                if (r < 0)
                        return r;
        }
        if (wants->n == 0 || refused)
                return 0;
        r = vgpu_layout(&wants->catalogue, wants->demands, wants->n, mixed_allowed(found), NULL, 0, &wants->layout,
                        &wants->conflict);
        return r == -EBUSY ? put_refusal(ctx, wants) : r;
}

int vgpu_capacity_op(PtContext *ctx, const PtDevice *provider) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        int r;

        r = vgpu_device_load(ctx, provider, &found);
        if (r < 0)
                return r == -ENODATA ? 0 : r;
        for (size_t i = 0; i < found->n_types && r >= 0; i++)
                r = ctx->services->put_capacity(ctx, vgpu_type_title(&found->types[i].type), found->types[i].available);
        return r;
}
