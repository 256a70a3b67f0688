/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The planner: published layouts by name, and against a search of its own that tries everything. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "modules/vgpu/vgpu-layout.h"

static VgpuCatalogue catalogue;

static const VgpuProfile *profile(const char *board, const char *type) {
        char text[128];
        VgpuName name;

        if (!catalogue.board || strcmp(catalogue.board->name, board) != 0)
                vgpu_catalogue_from_board(&catalogue, vgpu_board_by_name(board));
        (void) snprintf(text, sizeof(text), "NVIDIA %s-%s", board, type);
        assert_int_equal(vgpu_name_parse(text, &name), 0);
        if (!vgpu_catalogue_find(&catalogue, &name))
                fail_msg("no type %s", text);
        return vgpu_catalogue_find(&catalogue, &name);
}

#define DEMAND(b, t, n) { .group = t, .profile = profile(b, t), .count = (n) }

static int layout(const VgpuDemand *demands, size_t n, VgpuLayout *ret, VgpuConflict *conflict) {
        return vgpu_layout(&catalogue, demands, n, true, NULL, ret, conflict);
}

static void assert_sound(const VgpuDemand *demands, const VgpuLayout *l) {
        for (size_t i = 0; i < l->n_slots; i++) {
                const VgpuProfile *p = demands[l->slots[i].demand].profile;
                bool published = false;

                for (unsigned k = 0; k < p->n_placements; k++)
                        published |= p->placements[k] == l->slots[i].start;
                if (l->mode == VGPU_MODE_MIXED)
                        assert_true(published);
                for (size_t k = 0; k < i && l->mode != VGPU_MODE_MIG && l->slots[i].size > 0; k++)
                        assert_true(l->slots[i].start + l->slots[i].size <= l->slots[k].start ||
                                    l->slots[k].start + l->slots[k].size <= l->slots[i].start);
        }
}

static bool near_is(const VgpuNear *near, const char *text) {
        char found[VGPU_TEXT_SIZE];

        vgpu_near_to_text(near, found);
        return strcmp(found, text) == 0;
}

static void test_l40s_24_12_4_4_4(void **state) {
        VgpuDemand demands[] = { DEMAND("L40S", "24C", 1), DEMAND("L40S", "12Q", 1), DEMAND("L40S", "4C", 3) };
        VgpuConflict conflict;
        VgpuLayout l;
        bool without_one = false, with_smaller = false;

        assert_int_equal(layout(demands, 3, &l, &conflict), -EBUSY);
        assert_int_equal(conflict.refusal, VGPU_NOT_PLACEABLE);
        assert_non_null(strstr(conflict.text, "48 GB"));
        assert_true(conflict.n_nearest >= 2);
        for (size_t i = 0; i < conflict.n_nearest; i++) {
                without_one |= near_is(&conflict.nearest[i], "1 × 24C + 1 × 12Q + 2 × 4C");
                with_smaller |= near_is(&conflict.nearest[i], "1 × 24C + 1 × 8Q + 3 × 4C");
        }
        assert_true(without_one);
        assert_true(with_smaller);

        demands[2].count = 2;
        assert_int_equal(layout(demands, 3, &l, &conflict), 0);
        assert_int_equal(l.mode, VGPU_MODE_MIXED);
        assert_int_equal(l.n_slots, 4);
        assert_int_equal(l.framebuffer_left, 4);
        assert_sound(demands, &l);
}

static void test_48_gb_by_name(void **state) {
        static const struct {
                struct {
                        const char *type;
                        unsigned n;
                } parts[4];
                int result;
        } cases[] = {
                { { { "24Q", 1 }, { "12Q", 1 }, { "4Q", 2 } }, 0 },
                { { { "24Q", 1 }, { "12Q", 1 }, { "6Q", 2 } }, 0 },
                { { { "24Q", 1 }, { "12Q", 1 }, { "6Q", 1 }, { "4Q", 1 } }, 0 },
                { { { "24Q", 1 }, { "8Q", 2 } }, 0 },
                { { { "24Q", 1 }, { "8Q", 3 } }, -EBUSY },
                { { { "16Q", 3 } }, 0 },  /* all of one size: not bound to the places of mixed ones */
                { { { "16Q", 2 }, { "8Q", 2 } }, 0 },
                { { { "16Q", 2 }, { "12Q", 1 } }, -EBUSY },
                { { { "16Q", 2 }, { "8Q", 1 } }, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                VgpuDemand demands[4];
                VgpuConflict conflict;
                VgpuLayout l;
                size_t n = 0;

                for (; n < 4 && cases[i].parts[n].type; n++)
                        demands[n] = (VgpuDemand) DEMAND("L40S", cases[i].parts[n].type, cases[i].parts[n].n);
                if (layout(demands, n, &l, &conflict) != cases[i].result)
                        fail_msg("case %zu: %s", i, cases[i].result ? "was placed" : conflict.text);
                if (cases[i].result == 0)
                        assert_sound(demands, &l);
        }
}

/* Every size alone, up to its maximum and one more; both ways of the published tables. */
static void test_equal_sizes(void **state) {
        for (const VgpuBoard *b = vgpu_board_first(); b; b = vgpu_board_next(b)) {
                vgpu_catalogue_from_board(&catalogue, b);
                for (size_t i = 0; i < catalogue.n_profiles; i++) {
                        VgpuDemand demand = { "all", &catalogue.profiles[i], catalogue.profiles[i].max, 0, 0 };
                        VgpuConflict conflict;
                        VgpuLayout l;

                        assert_int_equal(layout(&demand, 1, &l, &conflict), 0);
                        assert_int_equal(l.n_slots, demand.count);
                        assert_int_equal(l.mode, demand.profile->instance ? VGPU_MODE_MIG : VGPU_MODE_EQUAL);
                        assert_int_equal(vgpu_remaining(&catalogue, &l, &demand, demand.profile, true), 0);
                        assert_sound(&demand, &l);
                        demand.count++;
                        assert_int_equal(layout(&demand, 1, &l, &conflict), -EBUSY);
                        assert_true(conflict.n_nearest > 0);
                        demand.count = 1;
                        assert_int_equal(layout(&demand, 1, &l, &conflict), 0);
                        assert_int_equal(vgpu_remaining(&catalogue, &l, &demand, demand.profile, true),
                                         demand.profile->max - 1);
                }
        }
}

/* Places items one after the other at every place, without any cleverness. */
static bool exhaustive(const VgpuProfile *const *items, size_t n, const VgpuSpan *taken, size_t n_taken) {
        VgpuSpan spans[16];

        if (n == 0)
                return true;
        if (n_taken > 0)
                memcpy(spans, taken, n_taken * sizeof(taken[0]));
        for (unsigned i = 0; i < items[0]->n_placements; i++) {
                VgpuSpan span = { items[0]->placements[i], (uint16_t) items[0]->placement_size };
                bool fits = true;

                for (size_t k = 0; k < n_taken; k++)
                        fits = fits && (span.start + span.size <= taken[k].start ||
                                        taken[k].start + taken[k].size <= span.start);
                spans[n_taken] = span;
                if (fits && exhaustive(items + 1, n - 1, spans, n_taken + 1))
                        return true;
        }
        return false;
}

/* Every mix of up to five vGPUs of the sizes of 4 GB and more. */
static void check_mixes(const VgpuProfile *const *sizes, size_t n_sizes, const VgpuProfile **items, size_t n,
                        unsigned *placed, unsigned *refused) {
        size_t first = 0;

        if (n > 0) {
                VgpuPackItem pack[5];
                uint16_t starts[5];
                bool expected = exhaustive(items, n, NULL, 0);
                int r;

                for (size_t i = 0; i < n; i++)
                        pack[i] = (VgpuPackItem){ 1, items[i]->placement_size, items[i]->n_placements,
                                                  items[i]->placements };
                /* The search may rely on places of one size not overlapping: equal sizes are one item. */
                for (size_t i = 1, last = 0; i < n; i++) {
                        if (items[i] == items[last]) {
                                pack[last].count++;
                                pack[i].count = 0;
                        } else
                                last = i;
                }
                r = vgpu_pack(pack, n, NULL, 0, starts);
                assert_int_equal(r, expected ? 0 : -ENOSPC);
                *(expected ? placed : refused) += 1;
                while (sizes[first] != items[n - 1])
                        first++;
        }
        if (n == 5)
                return;
        for (size_t i = first; i < n_sizes; i++) {
                items[n] = sizes[i];
                check_mixes(sizes, n_sizes, items, n + 1, placed, refused);
        }
}

static void test_every_mix(void **state) {
        static const struct {
                const char *board;
                const char *types[7];
        } boards[] = {
                { "L40S", { "24Q", "16Q", "12Q", "8Q", "6Q", "4Q" } },
                { "A10", { "12Q", "8Q", "6Q", "4Q", "3Q", "2Q" } },
                { "H100", { "40C", "20C", "16C", "10C", "8C" } },
                { "H100L", { "47C", "23C", "15C", "11C", "6C" } },
                { "RTX Pro 6000 Blackwell DC", { "48Q", "32Q", "24Q", "16Q", "12Q" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(boards); i++) {
                const VgpuProfile *sizes[8], *items[5];
                unsigned placed = 0, refused = 0;
                size_t n = 0;

                for (; boards[i].types[n]; n++)
                        sizes[n] = profile(boards[i].board, boards[i].types[n]);
                check_mixes(sizes, n, items, 0, &placed, &refused);
                assert_true(placed > 20 && refused > 20);
                print_message("%s: %u mixes placed, %u refused\n", boards[i].board, placed, refused);
        }
}

/* The hardest that a GPU can be asked for ends soon: the limit of the search is not met by real boards. */
static void test_search_ends(void **state) {
        for (unsigned large = 0; large <= 6; large++)
                for (unsigned small = 0; small <= 16; small++) {
                        VgpuDemand demands[] = { DEMAND("A40", "6Q", large), DEMAND("A40", "4Q", 3), DEMAND("A40", "3Q", 2),
                                                 DEMAND("A40", "2Q", small), DEMAND("A40", "1Q", small) };
                        VgpuConflict conflict;
                        VgpuLayout l;

                        if (layout(demands, 5, &l, &conflict) < 0)
                                assert_int_not_equal(conflict.refusal, VGPU_TOO_LARGE);
                        else
                                assert_sound(demands, &l);
                }
}

static void test_modes_exclude(void **state) {
        VgpuDemand demands[] = { DEMAND("A100D", "20C", 1), DEMAND("A100D", "1-10C", 1) };
        VgpuConflict conflict;
        VgpuLayout l;

        assert_int_equal(layout(demands, 2, &l, &conflict), -EBUSY);
        assert_int_equal(conflict.refusal, VGPU_MIXES_MIG);
        assert_int_equal(conflict.demand, 1);
        demands[1].count = 0; /* a group that wants nothing is in nobody's way */
        assert_int_equal(layout(demands, 2, &l, &conflict), 0);
        demands[0].count = 0;
        assert_int_equal(layout(demands, 2, &l, &conflict), 0);
        assert_int_equal(l.mode, VGPU_MODE_NONE);
}

static void test_mixed_not_allowed(void **state) {
        VgpuDemand demands[] = { DEMAND("L40S", "24Q", 1), DEMAND("L40S", "12Q", 1) };
        VgpuConflict conflict;
        VgpuLayout l;

        assert_int_equal(vgpu_layout(&catalogue, demands, 2, false, NULL, &l, &conflict), -EBUSY);
        assert_int_equal(conflict.refusal, VGPU_NO_MIXED_SIZES);
        assert_non_null(strstr(conflict.text, "17.2"));
        /* Other series of one size are no mix. */
        demands[1] = (VgpuDemand) DEMAND("L40S", "24C", 1);
        assert_int_equal(vgpu_layout(&catalogue, demands, 2, false, NULL, &l, &conflict), 0);
        assert_int_equal(l.mode, VGPU_MODE_EQUAL);
}

static unsigned instances_of(const VgpuLayout *l, const char *name) {
        unsigned n = 0;

        for (size_t i = 0; i < l->n_instances; i++)
                n += strcmp(l->instances[i].placement.profile->name, name) == 0;
        return n;
}

static void test_four_guests_on_one_2g(void **state) {
        VgpuDemand demand = DEMAND("RTX Pro 6000 Blackwell DC", "2-12Q", 0);
        VgpuConflict conflict;
        VgpuLayout l;

        demand.instances = 1;
        assert_int_equal(layout(&demand, 1, &l, &conflict), 0);
        assert_int_equal(l.n_slots, 4);
        assert_int_equal(l.n_instances, 1);
        assert_int_equal(instances_of(&l, "2g.48gb+gfx"), 1);
        assert_int_equal(l.framebuffer_left, 48);
        assert_false(l.unused_capacity);
        assert_int_equal(vgpu_remaining(&catalogue, &l, &demand, demand.profile, true), 4);

        demand.per_instance = 1; /* a whole slice each: meant so */
        assert_int_equal(layout(&demand, 1, &l, &conflict), 0);
        assert_int_equal(l.n_slots, 1);
        assert_false(l.unused_capacity);
        demand.per_instance = 3;
        assert_int_equal(layout(&demand, 1, &l, &conflict), 0);
        assert_int_equal(l.n_slots, 3);
        assert_true(l.unused_capacity);
        demand.per_instance = 5;
        assert_int_equal(layout(&demand, 1, &l, &conflict), -EBUSY);
        assert_int_equal(conflict.refusal, VGPU_BAD_PER_INSTANCE);
}

static void test_48_guests_on_four_1g(void **state) {
        VgpuDemand demand = DEMAND("RTX Pro 6000 Blackwell DC", "1-2Q", 48);
        VgpuConflict conflict;
        VgpuLayout l;
        unsigned in_each[4] = { 0 };

        assert_int_equal(layout(&demand, 1, &l, &conflict), 0);
        assert_int_equal(l.n_slots, 48);
        assert_int_equal(instances_of(&l, "1g.24gb+gfx"), 4);
        assert_int_equal(l.framebuffer_left, 0);
        for (size_t i = 0; i < l.n_slots; i++)
                in_each[l.slots[i].instance]++;
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(in_each[i], 12);
        demand.count = 49;
        assert_int_equal(layout(&demand, 1, &l, &conflict), -EBUSY);
}

static void test_a100_geometries(void **state) {
        static const struct {
                unsigned n[6]; /* 1-10C 1-20C 2-20C 3-40C 4-40C 7-80C */
                int result;
        } cases[] = {
                { { 7, 0, 0, 0, 0, 0 }, 0 },      { { 0, 0, 0, 0, 0, 1 }, 0 },      { { 1, 0, 0, 0, 0, 1 }, -EBUSY },
                { { 2, 0, 1, 1, 0, 0 }, 0 },      { { 0, 0, 0, 1, 1, 0 }, 0 },      { { 0, 0, 0, 2, 0, 0 }, 0 },
                { { 0, 0, 0, 0, 2, 0 }, -EBUSY }, { { 1, 0, 3, 0, 0, 0 }, 0 },      { { 0, 4, 0, 0, 0, 0 }, 0 },
                { { 3, 0, 0, 1, 0, 0 }, 0 },      { { 1, 0, 0, 1, 1, 0 }, -EBUSY }, { { 0, 0, 4, 0, 0, 0 }, -EBUSY },
                { { 8, 0, 0, 0, 0, 0 }, -EBUSY }, { { 0, 0, 1, 0, 1, 0 }, 0 },      { { 1, 0, 1, 0, 1, 0 }, 0 },
                { { 1, 3, 0, 0, 0, 0 }, 0 },      { { 4, 0, 0, 1, 0, 0 }, 0 },      { { 5, 0, 0, 1, 0, 0 }, -EBUSY },
        };
        static const char *const types[] = { "1-10C", "1-20C", "2-20C", "3-40C", "4-40C", "7-80C" };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                VgpuDemand demands[ELEMENTSOF(types)];
                VgpuConflict conflict;
                VgpuLayout l;
                uint8_t busy = 0;

                for (size_t k = 0; k < ELEMENTSOF(types); k++)
                        demands[k] = (VgpuDemand) DEMAND("H100", types[k], cases[i].n[k]);
                if (layout(demands, ELEMENTSOF(types), &l, &conflict) != cases[i].result)
                        fail_msg("case %zu: %s", i, cases[i].result ? "was placed" : conflict.text);
                for (size_t k = 0; cases[i].result == 0 && k < l.n_instances; k++) {
                        const MigPlacement *p = &l.instances[k].placement;
                        uint8_t slices = (uint8_t) (((1u << p->profile->memory) - 1) << p->start);

                        assert_true(p->profile->starts & (1u << p->start));
                        assert_int_equal(busy & slices, 0);
                        busy |= slices;
                }
        }
}

static void test_media_engines(void **state) {
        VgpuDemand demands[] = { DEMAND("A30", "1-6CME", 1), DEMAND("A30", "2-12CME", 1) };
        VgpuConflict conflict;
        VgpuLayout l;
        const VgpuBoard *pro = vgpu_board_by_name("RTX Pro 6000 Blackwell DC");
        const MigProfile *all = vgpu_board_mig_profile(pro, "1g.24gb+me.all"), *plain = vgpu_board_mig_profile(pro, "1g.24gb"),
                         *none = vgpu_board_mig_profile(pro, "1g.24gb-me");
        MigPlacement placed[4];
        const char *why = NULL;

        assert_int_equal(layout(demands, 2, &l, &conflict), -EBUSY);
        assert_non_null(strstr(conflict.text, "+me"));
        demands[0].count = 0;
        assert_int_equal(layout(demands, 2, &l, &conflict), 0);

        assert_int_equal(mig_place(pro, NULL, 0, (const MigProfile *[]){ all, plain }, 2, placed, &why), -ENOSPC);
        assert_non_null(strstr(why, "-me"));
        assert_int_equal(mig_place(pro, NULL, 0, (const MigProfile *[]){ all, none, none, none }, 4, placed, &why), 0);
}

/* What is there stays where it is. */
static void test_existing_instances(void **state) {
        const VgpuBoard *b = vgpu_board_by_name("H100");
        VgpuThere there = { .instances = { { vgpu_board_mig_profile(b, "1g.10gb"), 3 } }, .n_instances = 1 };
        VgpuDemand demands[] = { DEMAND("H100", "3-40C", 1), DEMAND("H100", "1-10C", 2), DEMAND("H100", "4-40C", 1) };
        VgpuConflict conflict;
        VgpuLayout l;

        assert_int_equal(vgpu_layout(&catalogue, demands, 2, true, &there, &l, &conflict), 0);
        assert_int_equal(l.instances[0].placement.start, 4);
        assert_int_equal(l.instances[1].placement.start, 3);
        assert_int_not_equal(l.instances[2].placement.start, 3);
        /* 4g can only start at 0, over it. */
        assert_int_equal(vgpu_layout(&catalogue, demands + 2, 1, true, &there, &l, &conflict), -EBUSY);
        assert_int_equal(conflict.refusal, VGPU_NO_GEOMETRY);
}

static void test_remaining_mixed(void **state) {
        VgpuDemand demands[] = { DEMAND("L40S", "24Q", 1), DEMAND("L40S", "12Q", 1) };
        VgpuConflict conflict;
        VgpuLayout l;

        assert_int_equal(layout(demands, 2, &l, &conflict), 0);
        assert_int_equal(vgpu_remaining(&catalogue, &l, demands, profile("L40S", "4Q"), true), 2);
        assert_int_equal(vgpu_remaining(&catalogue, &l, demands, profile("L40S", "12Q"), true), 1);
        assert_int_equal(vgpu_remaining(&catalogue, &l, demands, profile("L40S", "24Q"), true), 0);
        assert_int_equal(vgpu_remaining(&catalogue, &l, demands, profile("L40S", "4Q"), false), 0);
}

/* A driver of tomorrow knows better. */
static void test_driver_outranks(void **state) {
        const VgpuProfile *table = profile("L40S", "24C");
        VgpuProfile reported = { .name = table->name, .n_placements = 1, .placements = { 12 }, .placement_size = 24 };
        VgpuDemand demands[2];
        VgpuConflict conflict;
        VgpuLayout l;

        assert_ptr_equal(vgpu_catalogue_report(&catalogue, &reported), table);
        assert_int_equal(table->max, 2); /* what it did not say stays */
        demands[0] = (VgpuDemand){ "a", table, 1, 0, 0 };
        demands[1] = (VgpuDemand) DEMAND("L40S", "12Q", 1);
        assert_int_equal(layout(demands, 2, &l, &conflict), 0);
        assert_int_equal(l.slots[0].start, 12);
        assert_sound(demands, &l);
        catalogue.board = NULL; /* the next test begins anew */
}

/* Generic mediated devices and boards that no table knows. */
static void test_unknown_board(void **state) {
        VgpuCatalogue own = { 0 };
        VgpuProfile reported = { .name = { "T4", 'Q', 0, 4, 0 }, .max = 4 };
        VgpuDemand demands[2] = { { "a", NULL, 4, 0, 0 }, { "b", NULL, 1, 0, 0 } };
        VgpuConflict conflict;
        VgpuLayout l;

        demands[0].profile = vgpu_catalogue_report(&own, &reported);
        assert_int_equal(vgpu_layout(&own, demands, 1, true, NULL, &l, &conflict), 0);
        assert_int_equal(l.slots[3].size, 0);
        reported = (VgpuProfile){ .name = { "T4", 'Q', 0, 8, 0 } };
        demands[1].profile = vgpu_catalogue_report(&own, &reported);
        assert_int_equal(vgpu_layout(&own, demands, 2, true, NULL, &l, &conflict), -EBUSY);
        assert_int_equal(conflict.refusal, VGPU_NO_MIXED_SIZES);
        assert_int_equal(vgpu_layout(&own, demands + 1, 1, true, NULL, &l, &conflict), -EBUSY);
        assert_int_equal(conflict.refusal, VGPU_UNKNOWN_LIMITS);
}

static void test_absurd_numbers(void **state) {
        static const unsigned counts[] = { 129, 65536, UINT32_MAX };
        VgpuDemand two[] = { DEMAND("L40S", "24Q", 1), DEMAND("L40S", "4Q", 0) };
        VgpuConflict conflict;
        VgpuLayout l;

        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                two[1].count = counts[i];
                assert_int_equal(layout(two, 2, &l, &conflict), -EBUSY);
                assert_int_equal(layout(two + 1, 1, &l, &conflict), -EBUSY);
        }
        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                VgpuDemand mig = DEMAND("H100", "1-10C", counts[i]);

                assert_int_equal(layout(&mig, 1, &l, &conflict), -EBUSY);
                mig.count = 0;
                mig.instances = counts[i];
                assert_int_equal(layout(&mig, 1, &l, &conflict), -EBUSY);
                mig.per_instance = counts[i];
                assert_int_equal(layout(&mig, 1, &l, &conflict), -EBUSY);
        }
}

static void test_words(void **state) {
        for (int i = 0; i < _VGPU_MODE_MAX; i++)
                assert_int_equal(vgpu_mode_from_string(vgpu_mode_to_string((VgpuMode) i)), i);
        for (int i = 0; i < _VGPU_REFUSAL_MAX; i++)
                assert_int_equal(vgpu_refusal_from_string(vgpu_refusal_to_string((VgpuRefusal) i)), i);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_l40s_24_12_4_4_4), cmocka_unit_test(test_48_gb_by_name),
                cmocka_unit_test(test_equal_sizes),      cmocka_unit_test(test_every_mix),
                cmocka_unit_test(test_search_ends),      cmocka_unit_test(test_modes_exclude),
                cmocka_unit_test(test_mixed_not_allowed), cmocka_unit_test(test_four_guests_on_one_2g),
                cmocka_unit_test(test_48_guests_on_four_1g), cmocka_unit_test(test_a100_geometries),
                cmocka_unit_test(test_media_engines),    cmocka_unit_test(test_existing_instances),
                cmocka_unit_test(test_remaining_mixed),  cmocka_unit_test(test_driver_outranks),
                cmocka_unit_test(test_unknown_board),    cmocka_unit_test(test_absurd_numbers),
                cmocka_unit_test(test_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
