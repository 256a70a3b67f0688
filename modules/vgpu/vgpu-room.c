/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How many vGPUs each group can have of a GPU, how many more of each profile there can be, and what is known of profiles. */

#include <stdio.h>
#include <stdlib.h>

#include "lib/parse.h"
#include "vgpu-nearest.h"
#include "vgpu-provision.h"
#include "vgpu-report.h"
#include "vgpu-wants.h"

#define TITLE_SIZE (2 * VGPU_NAME_SIZE)

static void count_function(void *userdata, const char *entry) {
        unsigned *n = userdata;

        *n += startswith(entry, "virtfn") != NULL;
}

/* Each vGPU takes one: those that there are, or that there will be. UINT32_MAX where none are needed. */
static unsigned functions_of(PtContext *ctx, const PtDevice *provider) {
        char text[PCI_ATTRIBUTE_SIZE];
        uint32_t total = 0;
        unsigned n = 0;

        if (!vgpu_has_functions(ctx, provider))
                return UINT32_MAX;
        (void) ctx->services->list(ctx, provider, ".", count_function, &n);
        if (n == 0 && ctx->services->read_attribute(ctx, provider, "sriov_totalvfs", text, sizeof(text)) >= 0)
                (void) parse_uint32(text, &total);
        return n > 0 ? n : total;
}

/* ---- what the groups have ---- */

/* What is put aside for a demand: what it holds, and what it states. */
static unsigned reserved(const Wants *wants, size_t i) {
        return MAX_OF(wants->sources[i]->claimed, wants->open[i] ? 0u : wants->demands[i].count);
}

static unsigned reserved_by_others(const Wants *wants, size_t i) {
        unsigned n = 0;

        for (size_t k = 0; k < wants->n; k++)
                n += k == i ? 0 : reserved(wants, k);
        return n;
}

static unsigned smallest_max(const Wants *wants) {
        unsigned max = UINT32_MAX;

        for (size_t i = 0; i < wants->n; i++)
                if (wants->demands[i].profile->max > 0)
                        max = MIN_OF(max, wants->demands[i].profile->max);
        return max;
}

static unsigned less(unsigned a, unsigned b) {
        return a > b ? a - b : 0;
}

/* A group that states instances of MIG alone has all that they hold, however many it has now. */
static unsigned held_by_instances(const Wants *wants, size_t i) {
        const VgpuDemand *demand = &wants->demands[i];
        unsigned per = demand->per_instance ? demand->per_instance : MAX_OF(demand->profile->per_instance, 1u), n = 0;

        for (size_t k = 0; k < wants->layout.n_instances; k++)
                n += wants->layout.instances[k].demand == i;
        return n * per;
}

/* vGPUs that the demand's group can have at most. */
static unsigned total_of(PtContext *ctx, const Wants *wants, size_t i) {
        PtValue stated;
        unsigned n = 0;

        if (wants->layout.mode == VGPU_MODE_EQUAL)
                n = wants->open[i] ? less(smallest_max(wants), reserved_by_others(wants, i)) : wants->demands[i].count;
        else if (wants->layout.mode == VGPU_MODE_MIG &&
                 ctx->services->get_demand_setting(ctx, wants->sources[i], VGPU_SETTING_INSTANCES, &stated) >= 0 && stated.u == 0)
                n = held_by_instances(wants, i);
        else
                for (size_t k = 0; k < wants->layout.n_slots; k++)
                        n += wants->layout.slots[k].demand == i;
        return MAX_OF(n, wants->sources[i]->claimed);
}

static unsigned claimed_by_all(const Wants *wants) {
        unsigned n = 0;

        for (size_t i = 0; i < wants->n; i++)
                n += wants->sources[i]->claimed;
        return n;
}

static int put_planned(PtContext *ctx, const Wants *wants, size_t i, unsigned functions) {
        const VgpuProfile *profile = wants->demands[i].profile;
        const PtDemand *source = wants->sources[i];
        unsigned total = MAX_OF(MIN_OF(total_of(ctx, wants, i), functions), source->claimed);
        unsigned available = MIN_OF(total - source->claimed, less(functions, claimed_by_all(wants)));
        char name[TITLE_SIZE];
        int r;

        /* In equal mode those without a number share what is left. */
        if (wants->layout.mode == VGPU_MODE_EQUAL && wants->open[i])
                available = MIN_OF(available, less(smallest_max(wants), reserved_by_others(wants, i) + source->claimed));
        vgpu_name_to_text(&profile->name, name);
        r = ctx->services->put_room(ctx, source, total, available);
        /* Without the board, which all on one GPU have in common. */
        if (r >= 0 && PT_HAS_SERVICE(ctx->services, put_size))
                r = ctx->services->put_size(ctx, source, name + strlen(profile->name.board) + 1, profile->name.framebuffer);
        return r;
}

/* Of a type that no planner knows there is what the driver says. */
static int put_unplanned(PtContext *ctx, const VgpuDevice *found, const PtDemand *source) {
        char profile[VGPU_TYPE_NAME_SIZE] = "";
        const VgpuDeviceType *type;
        PtValue value;
        uint32_t wanted = 0, total;

        if (ctx->services->get_demand_setting(ctx, source, VGPU_SETTING_PROFILE, &value) >= 0)
                (void) snprintf(profile, sizeof(profile), "%s", strempty(value.s));
        /* Of one without a profile it was said already that it has nothing. */
        type = isempty(profile) ? NULL : vgpu_device_find(found, profile);
        if (!type || type->type.max_instances == 0)
                return 0;
        if (ctx->services->get_demand_setting(ctx, source, VGPU_SETTING_INSTANCES, &value) >= 0)
                wanted = value.u;
        total = MAX_OF(wanted > 0 ? MIN_OF(wanted, type->type.max_instances) : type->type.max_instances, source->claimed);
        return ctx->services->put_room(ctx, source, total, MIN_OF(total - source->claimed, type->available));
}

/* ---- what more there can be ---- */

/* The driver's word for a profile, the published one where it has none. */
static void title_of(const Wants *wants, const VgpuProfile *profile, char ret[static TITLE_SIZE]) {
        const json_t *type;
        VgpuName name;
        size_t i;

        vgpu_name_to_text(&profile->name, ret);
        json_array_foreach(json_object_get(wants->gpu, "types"), i, type) {
                const char *text = strempty(json_string_value(json_object_get(type, "name")));

                if (strlen(text) < TITLE_SIZE && vgpu_name_parse(text, &name) >= 0 && vgpu_name_same(&name, &profile->name))
                        strcpy(ret, text);
        }
}

/* A profile of the table that the driver does not name is none of this GPU. */
static bool is_offered(const Wants *wants, const VgpuProfile *profile) {
        const json_t *types = json_object_get(wants->gpu, "types"), *type;
        VgpuName name;
        size_t i;

        if (json_array_size(types) == 0)
                return true;
        json_array_foreach(types, i, type)
                if (vgpu_name_parse(strempty(json_string_value(json_object_get(type, "name"))), &name) >= 0 &&
                    vgpu_name_same(&name, &profile->name))
                        return true;
        return false;
}

/* Beside what groups hold and are to have; what is put aside for those who want this very profile counts as well. */
static unsigned remaining_beside_groups(PtContext *ctx, const Wants *wants, const VgpuProfile *profile) {
        const VgpuLayout *layout = &wants->layout;
        unsigned others = 0, n = 0;

        if (layout->mode == VGPU_MODE_EQUAL) {
                if (profile->instance || wants->demands[0].profile->name.framebuffer != profile->name.framebuffer)
                        return 0;
                for (size_t i = 0; i < wants->n; i++)
                        others += wants->demands[i].profile == profile ? wants->sources[i]->claimed : reserved(wants, i);
                return less(profile->max, others);
        }
        for (size_t i = 0; i < wants->n; i++)
                if (wants->demands[i].profile == profile)
                        n += less(total_of(ctx, wants, i), wants->sources[i]->claimed);
        return n + vgpu_remaining(&wants->catalogue, layout, wants->demands, profile, vgpu_mixed_allowed(wants));
}

int vgpu_put_rooms(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found, const PtDemand *const *demands,
                   const Wants *wants) {
        unsigned functions = functions_of(ctx, provider), left = less(functions, claimed_by_all(wants));
        char title[TITLE_SIZE];
        int r = 0;

        /* Until the driver was asked nobody knows. */
        if (wants->unread || !PT_HAS_SERVICE(ctx->services, put_room))
                return 0;
        for (size_t i = 0; demands[i] && r >= 0; i++) {
                size_t k = 0;

                while (k < wants->n && wants->sources[k] != demands[i])
                        k++;
                r = k < wants->n ? put_planned(ctx, wants, k, functions) : put_unplanned(ctx, found, demands[i]);
        }
        /* A parent of mediated devices says itself what it has left. */
        for (size_t i = 0; i < wants->catalogue.n_profiles && wants->n > 0 && found->n_types == 0 && r >= 0; i++) {
                const VgpuProfile *profile = &wants->catalogue.profiles[i];

                if (!is_offered(wants, profile))
                        continue;
                title_of(wants, profile, title);
                r = ctx->services->put_capacity(ctx, title, MIN_OF(remaining_beside_groups(ctx, wants, profile), left));
        }
        return r;
}

/* ---- what is known of profiles ---- */

static int put_number(PtContext *ctx, const char *profile, const char *name, uint32_t value) {
        return value > 0 ? ctx->services->put_profile(ctx, profile, name, &PT_VALUE_UINT32(value)) : 0;
}

static int put_word(PtContext *ctx, const char *profile, const char *name, const char *value) {
        return isempty(value) ? 0 : ctx->services->put_profile(ctx, profile, name, &PT_VALUE_STRING(value));
}

static int put_resolution(PtContext *ctx, const char *profile, uint32_t width, uint32_t height) {
        char text[32];

        if (width == 0 || height == 0)
                return 0;
        (void) snprintf(text, sizeof(text), "%ux%u", width, height);
        return put_word(ctx, profile, "resolution", text);
}

static int put_placements(PtContext *ctx, const char *title, const VgpuProfile *profile) {
        char texts[VGPU_PLACEMENTS_MAX][8];
        const char *list[VGPU_PLACEMENTS_MAX + 1] = { NULL };
        int r;

        if (profile->placement_size == 0 || profile->n_placements == 0)
                return 0;
        for (unsigned i = 0; i < MIN_OF(profile->n_placements, (unsigned) VGPU_PLACEMENTS_MAX); i++) {
                (void) snprintf(texts[i], sizeof(texts[i]), "%u", profile->placements[i]);
                list[i] = texts[i];
        }
        r = put_number(ctx, title, "placement-size", profile->placement_size);
        return r < 0 ? r : ctx->services->put_profile(ctx, title, "placements", &PT_VALUE_STRV(list));
}

/* By its name, and what the tables and the driver have of it. */
static int put_planned_columns(PtContext *ctx, const char *title, const VgpuProfile *profile) {
        char series[2] = { profile->name.series, '\0' };
        int r = put_word(ctx, title, "series", series);

        if (r >= 0)
                r = put_word(ctx, title, "use", vgpu_series_use(profile->name.series));
        if (r >= 0)
                r = put_word(ctx, title, "licence", vgpu_series_licence(profile->name.series));
        if (r >= 0)
                r = put_number(ctx, title, "max", profile->max);
        if (r >= 0 && profile->instance)
                r = put_word(ctx, title, "mig-profile", profile->instance->name);
        if (r >= 0 && profile->instance)
                r = put_number(ctx, title, "max-per-instance", profile->per_instance);
        return r < 0 ? r : put_placements(ctx, title, profile);
}

static uint32_t number(const json_t *object, const char *key) {
        json_int_t value = json_integer_value(json_object_get(object, key));

        return value > 0 && value <= UINT32_MAX ? (uint32_t) value : 0;
}

static int put_reported_columns(PtContext *ctx, const char *title, const json_t *type) {
        static const struct {
                const char *key, *column;
        } numbers[] = {
                { "framebuffer-mib", "framebuffer" }, { "heads", "heads" }, { "frame-rate-limit", "frame-rate-limit" },
                { "max-per-vm", "max-per-vm" },
        };
        char id[16];
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(numbers) && r >= 0; i++)
                r = put_number(ctx, title, numbers[i].column, number(type, numbers[i].key));
        if (r >= 0)
                r = put_resolution(ctx, title, number(type, "width"), number(type, "height"));
        (void) snprintf(id, sizeof(id), "%u", number(type, "id"));
        return r < 0 || !type ? r : put_word(ctx, title, "type-id", id);
}

static const json_t *reported_type(const Wants *wants, const char *title) {
        const json_t *type;
        size_t i;

        json_array_foreach(json_object_get(wants->gpu, "types"), i, type)
                if (streq_null(json_string_value(json_object_get(type, "name")), title))
                        return type;
        return NULL;
}

/* ---- a GPU of which nobody demands anything ---- */

/* vGPUs that there are now, of which the driver says the profile. */
static size_t count_active(const Wants *wants, const VgpuProfile *profile) {
        const json_t *active;
        size_t i, n = 0;
        VgpuName name;

        json_array_foreach(json_object_get(wants->gpu, "active"), i, active)
                if (!profile || (vgpu_name_parse(strempty(vgpu_report_type_name(wants->gpu, number(active, "type"))), &name) >= 0 &&
                                 vgpu_name_same(&name, &profile->name)))
                        n++;
        return n;
}

static unsigned remaining_by_instances(const Wants *wants, const VgpuProfile *profile) {
        MigPlacement instances[MIG_INSTANCES_MAX];
        bool used[MIG_INSTANCES_MAX] = { false };
        size_t n = vgpu_report_instances(&wants->catalogue, wants->gpu, instances, used);
        unsigned room;

        if (!wants->catalogue.board || !wants->catalogue.board->mig)
                return 0;
        room = mig_room(wants->catalogue.board, instances, n, profile->instance);
        for (size_t i = 0; i < n; i++)
                room += instances[i].profile == profile->instance;
        return less(room * profile->per_instance, (unsigned) count_active(wants, profile));
}

/* What exists as a layout that states it. */
static unsigned remaining_beside_active(Wants *wants, const VgpuProfile *profile) {
        wants->n = 0;
        for (size_t i = 0; i < wants->catalogue.n_profiles && wants->n < VGPU_DEMANDS_MAX; i++) {
                unsigned n = (unsigned) count_active(wants, &wants->catalogue.profiles[i]);

                if (n > 0)
                        wants->demands[wants->n++] =
                                (VgpuDemand){ .group = "", .profile = &wants->catalogue.profiles[i], .count = n };
        }
        wants->layout = (VgpuLayout){ .mode = VGPU_MODE_NONE };
        if (wants->n > 0 && vgpu_layout_once(&wants->catalogue, wants->demands, wants->n, true, &wants->there, &wants->layout,
                                             &wants->conflict) < 0)
                return 0;
        return vgpu_remaining(&wants->catalogue, &wants->layout, wants->demands, profile, vgpu_mixed_allowed(wants));
}

static unsigned remaining_now(Wants *wants, const VgpuProfile *profile) {
        bool mig = json_is_true(json_object_get(json_object_get(wants->gpu, "mig"), "current"));
        bool busy = count_active(wants, NULL) > 0;

        /* Nobody switches it while there are vGPUs. */
        if (profile->instance && (mig || !busy))
                return remaining_by_instances(wants, profile);
        return profile->instance || (mig && busy) ? 0 : remaining_beside_active(wants, profile);
}

static int put_planned_profiles(PtContext *ctx, const PtDevice *provider, Wants *wants) {
        unsigned left = less(functions_of(ctx, provider), (unsigned) count_active(wants, NULL));
        char title[TITLE_SIZE];
        int r = 0;

        vgpu_report_vgpus(&wants->catalogue, wants->gpu, &wants->there);
        for (size_t i = 0; i < wants->catalogue.n_profiles && r >= 0; i++) {
                const VgpuProfile *profile = &wants->catalogue.profiles[i];

                if (!is_offered(wants, profile))
                        continue;
                title_of(wants, profile, title);
                r = ctx->services->put_capacity(ctx, title, MIN_OF(remaining_now(wants, profile), left));
                if (r >= 0 && PT_HAS_SERVICE(ctx->services, put_profile))
                        r = put_planned_columns(ctx, title, profile);
                if (r >= 0 && PT_HAS_SERVICE(ctx->services, put_profile))
                        r = put_reported_columns(ctx, title, reported_type(wants, title));
        }
        return r;
}

/* Of a parent: as its driver lists them. */
static int put_types(PtContext *ctx, const VgpuDevice *found, const Wants *wants) {
        int r = 0;

        for (size_t i = 0; i < found->n_types && r >= 0; i++) {
                const VgpuType *type = &found->types[i].type;
                const char *title = vgpu_type_title(type);
                const VgpuProfile *profile = NULL;
                VgpuName name;

                r = ctx->services->put_capacity(ctx, title, found->types[i].available);
                if (r < 0 || !PT_HAS_SERVICE(ctx->services, put_profile))
                        continue;
                if (vgpu_name_parse(title, &name) >= 0)
                        profile = vgpu_catalogue_find(&wants->catalogue, &name);
                if (profile)
                        r = put_planned_columns(ctx, title, profile);
                else
                        r = put_number(ctx, title, "max", type->max_instances);
                if (r >= 0)
                        r = put_word(ctx, title, "type-id", type->id);
                if (r >= 0)
                        r = put_number(ctx, title, "framebuffer", type->framebuffer);
                if (r >= 0)
                        r = put_number(ctx, title, "heads", type->heads);
                if (r >= 0)
                        r = put_number(ctx, title, "frame-rate-limit", type->frame_rate_limit);
                if (r >= 0)
                        r = put_resolution(ctx, title, type->width, type->height);
        }
        return r;
}

int vgpu_capacity_op(PtContext *ctx, const PtDevice *provider) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        _cleanup_free_ Wants *wants = NULL;
        int r;

        r = vgpu_device_load(ctx, provider, &found);
        if (r < 0)
                return r == -ENODATA ? 0 : r;
        wants = calloc(1, sizeof(*wants));
        if (!wants)
                return -ENOMEM;
        vgpu_fill_catalogue(ctx, provider, found, wants);
        if (found->n_types > 0)
                return put_types(ctx, found, wants);
        /* A driver without vGPUs has none, whatever is published about the board. */
        return json_array_size(json_object_get(wants->gpu, "types")) > 0 ? put_planned_profiles(ctx, provider, wants) : 0;
}
