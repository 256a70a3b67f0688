/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What groups demand of a GPU, and what it could still make. Types with NVIDIA's names go through the planner; of others
 * nothing is known but how many of each there can be, and whether they go together is the driver's secret. */

#include <stdio.h>
#include <stdlib.h>

#include "lib/parse.h"
#include "vgpu-release.h"
#include "vgpu-report.h"
#include "vgpu-wants.h"

#define TITLES_SIZE 384

#define MIXED_SIZES_RELEASE ">= 17.2"
#define CAPABILITY_MIXED_SIZES "2"

int vgpu_refuse(PtContext *ctx, Wants *wants, const PtDemand *culprit, const char *code, const char *text, const char *remedy) {
        wants->refused = true;
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
                char title[2 * VGPU_NAME_SIZE];
                int n;

                vgpu_name_to_text(name, title);
                n = snprintf(ret + at, size - at, "%s%s", i ? ", " : "", title);

                at += n > 0 ? (size_t) n : 0;
        }
}

static int put_no_such_profile(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found, Wants *wants,
                               const PtDemand *demand, const char *profile) {
        char text[2 * PCI_TEXT_SIZE], titles[TITLES_SIZE] = "", remedy[TITLES_SIZE + 64];

        if (found->n_types > 0)
                vgpu_device_titles(found, titles, sizeof(titles));
        else
                catalogue_titles(&wants->catalogue, titles, sizeof(titles));
        (void) snprintf(text, sizeof(text), "Group '%.200s' wants \"%.96s\", which %s does not offer.", demand->group_name, profile,
                        provider->sysname);
        (void) snprintf(remedy, sizeof(remedy), "It offers: %s", titles);
        return vgpu_refuse(ctx, wants, demand, "vgpu-not-offered", text, remedy);
}

/* What one group says, "" for nothing. */
static void demanded_text(PtContext *ctx, const PtDemand *demand, const char *setting, char *ret, size_t size) {
        PtValue value;

        ret[0] = '\0';
        if (ctx->services->get_demand_setting(ctx, demand, setting, &value) >= 0)
                (void) snprintf(ret, size, "%s", strempty(value.s));
}

static uint32_t demanded_number(PtContext *ctx, const PtDemand *demand, const char *setting) {
        PtValue value;

        return ctx->services->get_demand_setting(ctx, demand, setting, &value) >= 0 ? value.u : 0;
}

static VgpuScheduler demanded_scheduler(PtContext *ctx, const PtDemand *demand) {
        char policy[32], round_robin[32];

        demanded_text(ctx, demand, VGPU_SETTING_SCHEDULER, policy, sizeof(policy));
        demanded_text(ctx, demand, VGPU_SETTING_ROUND_ROBIN, round_robin, sizeof(round_robin));
        return (VgpuScheduler){
                .policy = MAX_OF(vgpu_policy_from_string(policy), VGPU_POLICY_DEFAULT),
                .round_robin = MAX_OF(vgpu_round_robin_from_string(round_robin), VGPU_ROUND_ROBIN_DEFAULT),
                .frequency = demanded_number(ctx, demand, VGPU_SETTING_FREQUENCY),
                .average = demanded_number(ctx, demand, VGPU_SETTING_AVERAGING),
                .time_slice_ms = demanded_number(ctx, demand, VGPU_SETTING_TIME_SLICE),
        };
}

static const VgpuBoard *find_board(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found) {
        const VgpuBoard *board = NULL;
        const json_t *type;
        int32_t product, subsystem;
        VgpuName name;
        size_t k;

        for (size_t i = 0; i < found->n_types && !board; i++)
                if (vgpu_name_parse(found->types[i].type.name, &name) >= 0)
                        board = vgpu_board_by_name(name.board);
        json_array_foreach(json_object_get(json_object_get(found->json, "gpu"), "types"), k, type)
                if (!board && vgpu_name_parse(strempty(json_string_value(json_object_get(type, "name"))), &name) >= 0)
                        board = vgpu_board_by_name(name.board);
        if (board || !vgpu_is_nvidia(ctx, provider) || pci_read_number(ctx, provider, "device", UINT16_MAX, &product) < 0)
                return board;
        if (pci_read_number(ctx, provider, "subsystem_device", UINT16_MAX, &subsystem) < 0)
                subsystem = 0;
        return vgpu_board_by_id((uint16_t) product, (uint16_t) subsystem);
}

/* The published board, overlaid with what the driver says of each type. */
void vgpu_fill_catalogue(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found, Wants *wants) {
        const VgpuBoard *board = find_board(ctx, provider, found);
        VgpuName name;

        wants->gpu = json_object_get(found->json, "gpu");
        wants->driver = json_string_value(json_object_get(wants->gpu, "driver"));
        if (board)
                vgpu_catalogue_from_board(&wants->catalogue, board);
        if (wants->gpu)
                (void) vgpu_catalogue_add_report(&wants->catalogue, wants->gpu);
        for (size_t i = 0; i < found->n_types; i++)
                if (vgpu_name_parse(found->types[i].type.name, &name) >= 0)
                        (void) vgpu_catalogue_report(&wants->catalogue,
                                                     &(VgpuProfile){ .name = name, .max = found->types[i].type.max_instances });
}

/* ---- demands ---- */

static void add_demand(PtContext *ctx, const PtDemand *source, const VgpuProfile *profile, Wants *wants) {
        uint32_t vgpus = demanded_number(ctx, source, VGPU_SETTING_INSTANCES);
        VgpuDemand *demand = &wants->demands[wants->n];
        size_t n = wants->n++;

        *demand = (VgpuDemand){ .group = source->group_name, .profile = profile };
        if (profile->instance) {
                demand->instances = demanded_number(ctx, source, VGPU_SETTING_GPU_INSTANCES);
                demand->per_instance = demanded_number(ctx, source, VGPU_SETTING_PER_INSTANCE);
        }
        /* Without a number it gets what there is: one at least. */
        wants->open[n] = vgpus == 0 && demand->instances == 0;
        demand->count = MAX_OF(vgpus, source->claimed);
        if (wants->open[n])
                demand->count = MAX_OF(demand->count, 1u);
        wants->sources[n] = source;
        wants->schedulers[n] = demanded_scheduler(ctx, source);
}

/* One for the planner, one that it has no part in, or one with a finding. */
static int read_demand(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found, const PtDemand *source, Wants *wants) {
        uint32_t instances = demanded_number(ctx, source, VGPU_SETTING_INSTANCES);
        char profile[VGPU_TYPE_NAME_SIZE], text[2 * PCI_TEXT_SIZE];
        const VgpuProfile *planned;
        const VgpuDeviceType *type;
        VgpuName name;

        demanded_text(ctx, source, VGPU_SETTING_PROFILE, profile, sizeof(profile));
        /* `incomplete`: nothing can be had until it is said what; check() says so. */
        if (isempty(profile))
                return PT_HAS_SERVICE(ctx->services, put_room) ? ctx->services->put_room(ctx, source, UINT32_MAX, 0) : 0;
        /* The driver is not there yet. */
        if (found->n_types == 0 && wants->catalogue.n_profiles == 0)
                return 0;
        type = vgpu_device_find(found, profile);
        planned = vgpu_name_parse(type ? type->type.name : profile, &name) >= 0 ? vgpu_catalogue_find(&wants->catalogue, &name) : NULL;
        if (!type && !planned)
                return put_no_such_profile(ctx, provider, found, wants, source, profile);
        if (planned && wants->n < VGPU_DEMANDS_MAX) {
                add_demand(ctx, source, planned, wants);
                return 0;
        }
        if (!type || type->type.max_instances == 0 || instances <= type->type.max_instances)
                return 0;
        (void) snprintf(text, sizeof(text), "Group '%.200s' wants %u of %s; %s makes %u at most.", source->group_name, instances,
                        vgpu_type_title(&type->type), provider->sysname, type->type.max_instances);
        return vgpu_refuse(ctx, wants, source, "too-many", text, "Lower the group's setting \"instances\".");
}

/* ---- the plan for all ---- */

/* Why sizes can't be mixed here. */
static void mixed_remedy(const VgpuDevice *found, const Wants *wants, char *ret, size_t size) {
        const char *library = json_string_value(json_object_get(found->json, "library"));
        char title[VGPU_VERSION_SIZE];

        vgpu_branch_title(vgpu_driver_branch(wants->driver), title);
        if (wants->driver && vgpu_release_match(MIXED_SIZES_RELEASE, wants->driver) == VGPU_RELEASE_NO)
                (void) snprintf(ret, size, "Mixed sizes need a driver of vGPU 17.2 (R550) or later; this one is %s (%s).", wants->driver,
                                title);
        else if (wants->driver)
                (void) snprintf(ret, size, "The driver, %s, does not offer mixed sizes on this GPU.", wants->driver);
        else
                (void) snprintf(ret, size, "Whether the driver can mix sizes is not known: %s.",
                                library ?: "NVIDIA's library says nothing of the GPU");
}

static int put_refusal(PtContext *ctx, const VgpuDevice *found, Wants *wants) {
        const VgpuConflict *conflict = &wants->conflict;
        char near[VGPU_TEXT_SIZE], remedy[(VGPU_NEAREST_MAX + 2) * VGPU_TEXT_SIZE] = "", text[2 * VGPU_TEXT_SIZE];
        size_t culprit = MIN_OF(conflict->demand, wants->n - 1), at = 0;

        for (size_t i = 0; i < conflict->n_nearest; i++) {
                int n;

                vgpu_near_to_text(&conflict->nearest[i], near);
                n = snprintf(remedy + at, sizeof(remedy) - at, "%s%s", i > 0 ? "; " : "Nearest layouts that fit: ", near);
                at += n > 0 ? (size_t) n : 0;
                if (at >= sizeof(remedy))
                        break;
        }
        if (conflict->refusal == VGPU_NO_MIXED_SIZES && at + 3 < sizeof(remedy)) {
                if (at > 0)
                        at += (size_t) snprintf(remedy + at, sizeof(remedy) - at, ". ");
                mixed_remedy(found, wants, remedy + at, sizeof(remedy) - at);
        }
        (void) snprintf(text, sizeof(text), "%s.", conflict->text);
        return vgpu_refuse(ctx, wants, wants->sources[culprit], vgpu_refusal_to_string(conflict->refusal), text,
                           isempty(remedy) ? NULL : remedy);
}

/* The GPU is set to it, or can be. */
bool vgpu_mixed_allowed(const Wants *wants) {
        const json_t *capability = json_object_get(json_object_get(wants->gpu, "capabilities"), CAPABILITY_MIXED_SIZES);

        return wants->unread || json_is_true(json_object_get(wants->gpu, "mixed-sizes")) ||
               (json_integer_value(capability) == 1 && wants->driver &&
                vgpu_release_match(MIXED_SIZES_RELEASE, wants->driver) != VGPU_RELEASE_NO);
}

static unsigned wanted_instances(const Wants *wants, const MigProfile *profile) {
        unsigned n = 0;

        for (size_t i = 0; i < wants->n; i++) {
                const VgpuDemand *d = &wants->demands[i];
                unsigned per = d->per_instance ? d->per_instance : MAX_OF(d->profile->per_instance, 1u);

                if (d->profile->instance == profile)
                        n += wants->open[i] ? MIG_INSTANCES_MAX : d->instances ? d->instances : d->count / per + (d->count % per != 0);
        }
        return n;
}

/* Instances that vGPUs are in stay in any case; others as far as they are wanted, unless all is to be laid out anew. */
static void keep_instances(Wants *wants, bool only_used) {
        MigPlacement found[MIG_INSTANCES_MAX];
        bool used[MIG_INSTANCES_MAX] = { false };
        size_t n = vgpu_report_instances(&wants->catalogue, wants->gpu, found, used);

        wants->there.n_instances = 0;
        for (size_t i = 0; i < n; i++)
                if (used[i])
                        wants->there.instances[wants->there.n_instances++] = found[i];
        for (size_t i = 0; i < n && !only_used; i++) {
                unsigned kept = 0;

                for (size_t k = 0; k < wants->there.n_instances; k++)
                        kept += wants->there.instances[k].profile == found[i].profile;
                if (!used[i] && kept < wanted_instances(wants, found[i].profile))
                        wants->there.instances[wants->there.n_instances++] = found[i];
        }
}

/* Whether vGPUs that are active have the places that the layout would give them. */
static bool fits_active(const Wants *wants) {
        bool taken[VGPU_SLOTS_MAX] = { false };

        for (size_t i = 0; i < wants->there.n_vgpus; i++) {
                bool found = false;

                for (size_t k = 0; k < wants->layout.n_slots && !found; k++)
                        if (!taken[k] && wants->layout.slots[k].start == wants->there.vgpus[i].start &&
                            wants->demands[wants->layout.slots[k].demand].profile == wants->there.vgpus[i].profile)
                                found = taken[k] = true;
                if (!found)
                        return false;
        }
        return true;
}

static int plan_with(Wants *wants, const VgpuThere *there) {
        VgpuDemand before[VGPU_DEMANDS_MAX];
        int r;

        memcpy(before, wants->demands, sizeof(before));
        r = vgpu_layout(&wants->catalogue, wants->demands, wants->n, vgpu_mixed_allowed(wants), there, &wants->layout,
                        &wants->conflict);
        if (r < 0)
                return r;
        vgpu_layout_fill(&wants->catalogue, wants->demands, wants->n, wants->open, there, &wants->layout);
        if (wants->layout.mode != VGPU_MODE_MIXED || there->n_vgpus > 0 || fits_active(wants))
                return 0;
        memcpy(wants->demands, before, sizeof(before));
        return -EAGAIN;
}

/* What nobody uses is no reason to refuse anything, and what is active is none to plan otherwise as long as it is in its place:
 * a layout that was made stays the same whoever comes and goes. */
static int plan_all(Wants *wants) {
        VgpuThere only_instances = { .n_vgpus = 0 };
        int r;

        vgpu_report_vgpus(&wants->catalogue, wants->gpu, &wants->there);
        keep_instances(wants, false);
        memcpy(only_instances.instances, wants->there.instances, sizeof(only_instances.instances));
        only_instances.n_instances = wants->there.n_instances;
        r = plan_with(wants, &only_instances);
        if (r == -EAGAIN)
                return plan_with(wants, &wants->there);
        if (r >= 0 || wants->there.n_instances == 0)
                return r;
        keep_instances(wants, true);
        return plan_with(wants, &wants->there);
}

static int plan_layout(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found, Wants *wants) {
        char scheduler[VGPU_TURNS_SIZE];
        int r = plan_all(wants);

        if (r == -EBUSY)
                return put_refusal(ctx, found, wants);
        if (r >= 0)
                r = vgpu_turns(ctx, provider, wants, scheduler);
        return r < 0 || wants->refused ? r : vgpu_put_values(ctx, provider, wants, scheduler);
}

int vgpu_layout_op(PtContext *ctx, const PtDevice *provider, const PtDemand *const *demands) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        _cleanup_free_ Wants *wants = NULL;
        bool unread;
        int r;

        r = vgpu_device_load(ctx, provider, &found);
        if (r < 0 && r != -ENODATA)
                return r;
        wants = calloc(1, sizeof(*wants));
        /* What is published does until the driver was asked: "nothing" would mean to undo what was made. */
        unread = r == -ENODATA;
        if (unread)
                found = calloc(1, sizeof(*found));
        r = 0;
        if (!wants || !found)
                return -ENOMEM;
        wants->unread = unread;
        vgpu_fill_catalogue(ctx, provider, found, wants);
        for (size_t i = 0; demands[i]; i++) {
                r = read_demand(ctx, provider, found, demands[i], wants);
                if (r < 0)
                        return r;
        }
        if (wants->n > 0 && !wants->refused)
                r = plan_layout(ctx, provider, found, wants);
        return r < 0 || wants->refused ? r : vgpu_put_rooms(ctx, provider, found, demands, wants);
}
