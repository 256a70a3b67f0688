/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-report.h"

#include <stdlib.h>

#include "lib/parse.h"

static bool get_number(const json_t *object, const char *key, json_int_t max, json_int_t *ret) {
        json_t *number = json_object_get(object, key);

        if (!json_is_integer(number) || json_integer_value(number) < 0 || json_integer_value(number) > max)
                return false;
        *ret = json_integer_value(number);
        return true;
}

/* ---- GPU instances ---- */

static const struct {
        const char *suffix;
        uint8_t flag;
} variants[] = {
        { "+me.all", MIG_MEDIA_ALL },
        { "+me", MIG_MEDIA },
        { "-me", MIG_NO_MEDIA },
        { "+gfx", MIG_GRAPHICS },
};

static uint8_t variant_flags(const char *name) {
        const char *plus = strpbrk(name, "+-");

        for (size_t i = 0; plus && i < ELEMENTSOF(variants); i++)
                if (streq(plus, variants[i].suffix))
                        return variants[i].flag;
        return 0;
}

static bool read_starts(const json_t *profile, uint8_t *ret_starts, uint8_t *ret_memory) {
        json_t *placements = json_object_get(profile, "placements"), *placement;
        json_int_t start, size = 0, first = 0;
        uint8_t starts = 0;
        size_t i;

        json_array_foreach(placements, i, placement) {
                if (!get_number(placement, "start", 7, &start) || !get_number(placement, "size", 8, &size) || size == 0 ||
                    start + size > 8 || (i > 0 && size != first))
                        return false;
                first = size;
                starts |= (uint8_t) (1u << start);
        }
        *ret_starts = starts;
        *ret_memory = (uint8_t) first;
        return starts != 0;
}

static bool read_instance_profile(const json_t *profile, MigProfile *ret, char *name_buffer) {
        const char *name = json_string_value(json_object_get(profile, "name"));
        json_int_t id, compute, count;

        if (!name || !get_number(profile, "id", UINT16_MAX, &id) || !get_number(profile, "compute", 8, &compute) ||
            !get_number(profile, "count", 8, &count) || count == 0)
                return false;
        if (strncmp(name, "MIG ", 4) == 0)
                name += 4;
        if (isempty(name) || strlen(name) >= VGPU_NAME_SIZE || !text_is_clean(name, VGPU_NAME_SIZE))
                return false;
        *ret = (MigProfile){ .id = (uint16_t) id, .compute = (uint8_t) compute, .max = (uint8_t) count,
                             .flags = variant_flags(name) };
        if (!read_starts(profile, &ret->starts, &ret->memory))
                return false;
        strcpy(name_buffer, name);
        ret->name = name_buffer;
        return true;
}

static unsigned add_instance_profiles(VgpuCatalogue *c, const json_t *report) {
        json_t *profiles = json_object_get(report, "instance-profiles"), *profile;
        unsigned left_out = 0;
        size_t i;

        json_array_foreach(profiles, i, profile) {
                if (c->n_instances == VGPU_INSTANCE_PROFILES_MAX ||
                    !read_instance_profile(profile, &c->instances[c->n_instances], c->instance_names[c->n_instances])) {
                        left_out++;
                        continue;
                }
                c->n_instances++;
        }
        if (c->n_instances == 0)
                return left_out;
        /* The slices are those of the largest instance. */
        c->reported = c->board ? *c->board : (VgpuBoard){ .name = "" };
        c->reported.mig = c->instances;
        c->instances[c->n_instances] = (MigProfile){ 0 };
        c->reported.memory_slices = c->reported.compute_slices = 0;
        for (size_t k = 0; k < c->n_instances; k++) {
                c->reported.memory_slices = MAX_OF(c->reported.memory_slices, c->instances[k].memory);
                c->reported.compute_slices = MAX_OF(c->reported.compute_slices, c->instances[k].compute);
        }
        c->board = &c->reported;
        /* What the table says of MIG-backed types now means the driver's instances. */
        for (size_t k = 0; k < c->n_profiles; k++)
                if (c->profiles[k].instance)
                        c->profiles[k].instance = vgpu_board_mig_profile(c->board, c->profiles[k].instance->name);
        return left_out;
}

static const MigProfile *instance_by_id(const VgpuCatalogue *c, json_int_t id) {
        for (size_t i = 0; i < c->n_instances; i++)
                if (c->instances[i].id == id)
                        return &c->instances[i];
        return NULL;
}

static bool is_used(const json_t *report, const json_t *instance) {
        const json_t *active, *id = json_object_get(instance, "id");
        size_t i;

        json_array_foreach(json_object_get(report, "active"), i, active)
                if (json_is_integer(id) && json_equal(json_object_get(active, "instance"), id))
                        return true;
        return false;
}

size_t vgpu_report_instances(const VgpuCatalogue *catalogue, const json_t *report, MigPlacement *ret, bool *ret_used) {
        json_t *instance;
        size_t i, n = 0;

        json_array_foreach(json_object_get(report, "instances"), i, instance) {
                json_int_t id, start;
                const MigProfile *profile;

                if (n == MIG_INSTANCES_MAX || !get_number(instance, "profile", UINT16_MAX, &id) ||
                    !get_number(instance, "start", 7, &start))
                        continue;
                profile = instance_by_id(catalogue, id);
                if (!profile || start + profile->memory > 8)
                        continue;
                if (ret_used)
                        ret_used[n] = is_used(report, instance);
                ret[n++] = (MigPlacement){ profile, (uint8_t) start };
        }
        return n;
}

/* ---- types ---- */

static int compare_places(const void *a, const void *b) {
        return (int) *(const uint16_t *) a - (int) *(const uint16_t *) b;
}

/* In any order; none: there are none now, which says nothing of what there can be. */
static bool read_placements(const json_t *type, VgpuProfile *p) {
        json_t *placements = json_object_get(type, "placements"), *id;
        json_int_t size;
        size_t i;

        if (json_array_size(placements) == 0)
                return true;
        if (json_array_size(placements) > VGPU_PLACEMENTS_MAX || !get_number(type, "placement-size", VGPU_REGION_MAX, &size) ||
            size == 0)
                return false;
        json_array_foreach(placements, i, id) {
                json_int_t start = json_integer_value(id);

                if (!json_is_integer(id) || start < 0 || start + size > (json_int_t) VGPU_REGION_MAX)
                        return false;
                p->placements[p->n_placements++] = (uint16_t) start;
        }
        qsort(p->placements, p->n_placements, sizeof(p->placements[0]), compare_places);
        /* Two of one type must be able to stand beside each other: the search counts on it. */
        for (i = 1; i < p->n_placements; i++)
                if (p->placements[i] < p->placements[i - 1] + size)
                        return false;
        p->placement_size = (unsigned) size;
        return true;
}

static bool read_type(const VgpuCatalogue *c, const json_t *type, VgpuProfile *ret) {
        const char *name = json_string_value(json_object_get(type, "name"));
        VgpuProfile p = { 0 };
        json_int_t number;

        if (!name || vgpu_name_parse(name, &p.name) < 0)
                return false;
        if (get_number(type, "max", VGPU_SLOTS_MAX, &number))
                p.max = (unsigned) number;
        if (!read_placements(type, &p))
                return false;
        if (get_number(type, "instance-profile", UINT16_MAX, &number)) {
                p.instance = instance_by_id(c, number);
                if (!p.instance)
                        return false;
                p.per_instance = MAX_OF(p.max / p.instance->max, 1u);
        }
        *ret = p;
        return true;
}

unsigned vgpu_catalogue_add_report(VgpuCatalogue *catalogue, const json_t *report) {
        unsigned left_out = add_instance_profiles(catalogue, report);
        json_t *type;
        size_t i;

        json_array_foreach(json_object_get(report, "types"), i, type) {
                VgpuProfile p;

                if (!read_type(catalogue, type, &p) || !vgpu_catalogue_report(catalogue, &p))
                        left_out++;
        }
        return left_out;
}

/* ---- what is in use ---- */

const char *vgpu_report_type_name(const json_t *report, json_int_t id) {
        const json_t *type, *number;
        size_t i;

        json_array_foreach(json_object_get(report, "types"), i, type) {
                number = json_object_get(type, "id");
                if (json_is_integer(number) && json_integer_value(number) == id)
                        return json_string_value(json_object_get(type, "name"));
        }
        return NULL;
}

void vgpu_report_vgpus(const VgpuCatalogue *catalogue, const json_t *report, VgpuThere *there) {
        const json_t *active;
        size_t i;

        json_array_foreach(json_object_get(report, "active"), i, active) {
                const VgpuProfile *profile;
                json_int_t type, start;
                VgpuName name;

                if (there->n_vgpus == VGPU_SLOTS_MAX || !get_number(active, "type", UINT32_MAX, &type) ||
                    !get_number(active, "placement", VGPU_REGION_MAX - 1, &start) ||
                    vgpu_name_parse(strempty(vgpu_report_type_name(report, type)), &name) < 0)
                        continue;
                profile = vgpu_catalogue_find(catalogue, &name);
                if (!profile || profile->placement_size == 0 || start + profile->placement_size > VGPU_REGION_MAX)
                        continue;
                there->vgpus[there->n_vgpus].profile = profile;
                there->vgpus[there->n_vgpus++].start = (uint16_t) start;
        }
}
