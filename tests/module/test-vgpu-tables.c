/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names and placements against what NVIDIA publishes, row by row. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "modules/vgpu/vgpu-board.h"

#define IDS(...) { __VA_ARGS__, UINT16_MAX }

/* "Virtual GPU Software User Guide" v17, A.3: board, size, where it may start. */
static const struct {
        const char *board;
        unsigned gb;
        uint16_t ids[VGPU_PLACEMENTS_MAX];
} published[] = {
        { "A16", 16, IDS(0) },
        { "A16", 8, IDS(0, 8) },
        { "A16", 4, IDS(0, 4, 8, 12) },
        { "A16", 2, IDS(0, 2, 4, 6, 8, 10, 12, 14) },
        { "A16", 1, IDS(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) },
        { "A10", 24, IDS(0) },
        { "A10", 12, IDS(0, 12) },
        { "A10", 8, IDS(0, 16) },
        { "A10", 6, IDS(0, 6, 12, 18) },
        { "A10", 4, IDS(0, 8, 12, 20) },
        { "A10", 3, IDS(0, 3, 6, 9, 12, 15, 18, 21) },
        { "A10", 2, IDS(0, 4, 6, 10, 12, 16, 18, 22) },
        { "A10", 1, IDS(0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 23) },
        { "A100", 40, IDS(0) },
        { "A100", 20, IDS(0, 20) },
        { "A100", 10, IDS(0, 10, 20, 30) },
        { "A100", 8, IDS(0, 12, 20, 32) },
        { "A100", 5, IDS(0, 5, 10, 15, 20, 25, 30, 35) },
        { "A100", 4, IDS(0, 6, 10, 16, 20, 26, 30, 36) },
        { "L40S", 48, IDS(0) },
        { "L40S", 24, IDS(0, 24) },
        { "L40S", 16, IDS(0, 32) },
        { "L40S", 12, IDS(0, 12, 24, 36) },
        { "L40S", 8, IDS(0, 16, 24, 40) },
        { "L40S", 6, IDS(0, 6, 12, 18, 24, 30, 36, 42) },
        { "L40S", 4, IDS(0, 8, 12, 20, 24, 32, 36, 44) },
        { "L40S", 3, IDS(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45) },
        { "L40S", 2, IDS(0, 4, 6, 10, 12, 16, 18, 22, 24, 28, 30, 34, 36, 40, 42, 46) },
        { "L40S", 1, IDS(0, 5, 6, 11, 12, 17, 18, 23, 24, 29, 30, 35, 36, 41, 42, 47) },
        { "A40", 1, IDS(0,  2,  3,  5,  6,  9,  11, 12, 14, 15, 17, 18, 20, 21, 23,
                        24, 26, 27, 29, 30, 33, 35, 36, 38, 39, 41, 42, 44, 45, 47) },
        { "H100", 80, IDS(0) },
        { "H100", 40, IDS(0, 40) },
        { "H100", 20, IDS(0, 20, 40, 60) },
        { "H100", 16, IDS(0, 24, 40, 64) },
        { "H100", 10, IDS(0, 10, 20, 30, 40, 50, 60, 70) },
        { "H100", 8, IDS(0, 12, 20, 32, 40, 52, 60, 72) },
        { "H100", 5, IDS(0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75) },
        { "H100", 4, IDS(0, 6, 10, 16, 20, 26, 30, 36, 40, 46, 50, 56, 60, 66, 70, 76) },
        { "H100L", 94, IDS(0) },
        { "H100L", 47, IDS(0, 47) },
        { "H100L", 23, IDS(0, 24, 47, 71) },
        { "H100L", 15, IDS(0, 32, 47, 79) },
        { "H100L", 11, IDS(0, 12, 23, 36, 47, 59, 70, 83) },
        { "H100L", 6, IDS(0, 17, 23, 41, 47, 64, 70, 88) },
        { "H100L", 4, IDS(0, 7, 11, 19, 23, 31, 35, 43, 47, 54, 58, 66, 70, 78, 82, 90) },
        { "RTX Pro 6000 Blackwell DC", 96, IDS(0) },
        { "RTX Pro 6000 Blackwell DC", 48, IDS(0, 48) },
        { "RTX Pro 6000 Blackwell DC", 32, IDS(0, 32, 64) },
        { "RTX Pro 6000 Blackwell DC", 24, IDS(0, 24, 48, 72) },
        { "RTX Pro 6000 Blackwell DC", 16, IDS(0, 16, 32, 48, 64, 80) },
        { "RTX Pro 6000 Blackwell DC", 12, IDS(0, 12, 24, 36, 48, 60, 72, 84) },
        /* Not published: what the rule of the others comes to. */
        { "H200X", 70, IDS(0, 71) },
        { "H200X", 35, IDS(0, 35, 70, 106) },
        { "H200X", 28, IDS(0, 42, 70, 113) },
        { "H200X", 17, IDS(0, 18, 35, 53, 70, 88, 105, 124) },
        { "H200X", 14, IDS(0, 21, 35, 56, 70, 91, 105, 127) },
};

static void test_published_placements(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(published); i++) {
                const VgpuBoard *board = vgpu_board_by_name(published[i].board);
                uint16_t ids[VGPU_PLACEMENTS_MAX];
                unsigned n, size = 0, expected = 0;

                assert_non_null(board);
                while (published[i].ids[expected] != UINT16_MAX)
                        expected++;
                n = vgpu_board_placements(board, published[i].gb, ids, &size);
                assert_int_equal(size, published[i].gb);
                if (n != expected)
                        fail_msg("%s, %u GB: %u places instead of %u", board->name, published[i].gb, n, expected);
                for (unsigned k = 0; k < n; k++)
                        if (ids[k] != published[i].ids[k])
                                fail_msg("%s, %u GB: place %u is %u instead of %u", board->name, published[i].gb, k, ids[k],
                                         published[i].ids[k]);
        }
}

/* The whole of what is published is sound: places ascend, do not overlap, stay on the GPU; equal sizes fill it. */
static void test_every_board(void **state) {
        for (const VgpuBoard *b = vgpu_board_first(); b; b = vgpu_board_next(b)) {
                assert_ptr_equal(vgpu_board_by_name(b->name), b);
                assert_non_null(vgpu_board_by_id(b->device, b->subsystem));
                for (const VgpuSeries *s = b->series; s->series; s++)
                        for (const VgpuSize *size = s->sizes; size->gb; size++) {
                                uint16_t ids[VGPU_PLACEMENTS_MAX];
                                unsigned units = 0, n = vgpu_board_placements(b, size->gb, ids, &units);

                                assert_true(size->gb * size->max <= b->framebuffer);
                                assert_int_equal(vgpu_board_max(b, s->series, size->gb), size->max);
                                assert_true(n > 0 && n <= MAX_OF(size->max, 32));
                                for (unsigned k = 0; k < n; k++) {
                                        unsigned end = k + 1 < n ? ids[k + 1] : b->framebuffer;
                                        assert_true(ids[k] + units <= end);
                                }
                        }
        }
        assert_null(vgpu_board_by_name("L40T"));
        assert_null(vgpu_board_by_id(0x1234, 0));
}

static void test_two_gb_take_three_on_blackwell(void **state) {
        uint16_t ids[VGPU_PLACEMENTS_MAX];
        unsigned units = 0;

        assert_int_equal(vgpu_board_placements(vgpu_board_by_name("RTX Pro 6000 Blackwell DC"), 2, ids, &units), 32);
        assert_int_equal(units, 3);
        assert_int_equal(ids[31], 93);
        assert_int_equal(vgpu_board_placements(vgpu_board_by_name("L40S"), 5, ids, &units), 0);
}

static void test_boards_that_share_an_id(void **state) {
        assert_string_equal(vgpu_board_by_id(0x25b6, 0x14a9)->name, "A16");
        assert_string_equal(vgpu_board_by_id(0x25b6, 0x157e)->name, "A2");
        assert_null(vgpu_board_by_id(0x25b6, 0x0001));
}

static void test_mig_tables(void **state) {
        for (const VgpuBoard *b = vgpu_board_first(); b; b = vgpu_board_next(b)) {
                for (const MigProfile *p = b->mig; p && p->name; p++) {
                        assert_ptr_equal(vgpu_board_mig_profile(b, p->name), p);
                        assert_true(p->max >= 1 && p->starts != 0);
                        for (unsigned start = 0; start < 8; start++)
                                if (p->starts & (1u << start))
                                        assert_true(start + p->memory <= b->memory_slices);
                }
                for (const MigType *t = b->mig_types; t && t->gb; t++) {
                        const MigProfile *p = vgpu_board_mig_profile(b, t->profile);

                        assert_non_null(p);
                        assert_int_equal(p->compute, t->slices);
                        assert_true(t->per_instance >= 1);
                }
        }
}

static void test_names(void **state) {
        static const struct {
                const char *text;
                VgpuName name;
        } good[] = {
                { "NVIDIA A2-1Q", { "A2", 'Q', 0, 1, 0 } },
                { "GRID A100D-80C", { "A100D", 'C', 0, 80, 0 } },
                { "L40S-24C", { "L40S", 'C', 0, 24, 0 } },
                { "NVIDIA A100D-1-10CME", { "A100D", 'C', 1, 10, VGPU_NAME_ME } },
                { "NVIDIA H200X-7-141C", { "H200X", 'C', 7, 141, 0 } },
                { "NVIDIA RTX Pro 6000 Blackwell DC-2-12Q", { "RTX Pro 6000 Blackwell DC", 'Q', 2, 12, 0 } },
                { "NVIDIA RTX Pro 6000 Blackwell DC-1-24CMEALLGFX",
                  { "RTX Pro 6000 Blackwell DC", 'C', 1, 24, VGPU_NAME_MEALL | VGPU_NAME_GFX } },
                { "X-1-4CNOME", { "X", 'C', 1, 4, VGPU_NAME_NOME } },
                { "GRID M10-2B4", { "M10", 'B', 0, 2, 0 } },
                { "NVIDIA RTX6000-Ada-8Q", { "RTX6000-Ada", 'Q', 0, 8, 0 } },
        };
        static const char *const bad[] = {
                "",       "NVIDIA ",  "Q",         "4Q",      "-4Q",         "L40S",  "L40S-",     "L40S-Q",  "L40S-0Q",
                "L40S-4", "L40S-4X",  "L40S 4Q",   "L40S-4q", "L40S-12345Q", "A-9-4C", "A-0-4C", "L40S-4QX", "1-4C",
                "i915-GVTg_V5_4", "Single port serial", "-1-4C", "A\n-4Q",
        };
        VgpuName name;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(vgpu_name_parse(good[i].text, &name), 0);
                if (!vgpu_name_same(&name, &good[i].name))
                        fail_msg("'%s' was read as board '%s' series %c slices %u framebuffer %u flags %u", good[i].text,
                                 name.board, name.series, name.slices, name.framebuffer, name.flags);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (vgpu_name_parse(bad[i], &name) >= 0 && !(strcmp(bad[i], "1-4C") == 0 && strcmp(name.board, "1") == 0))
                        fail_msg("'%s' was taken for board '%s'", bad[i], name.board);
}

static void test_long_names(void **state) {
        char text[256];
        VgpuName name;

        memset(text, 'x', sizeof(text));
        memcpy(text + VGPU_NAME_SIZE - 1, "-4Q", 4);
        assert_int_equal(vgpu_name_parse(text, &name), 0);
        memset(text, 'x', sizeof(text));
        memcpy(text + VGPU_NAME_SIZE, "-4Q", 4);
        assert_int_equal(vgpu_name_parse(text, &name), -EINVAL);
}

static void test_series(void **state) {
        for (const char *s = "ABCQ"; *s; s++) {
                assert_non_null(vgpu_series_use(*s));
                assert_non_null(vgpu_series_licence(*s));
        }
        assert_null(vgpu_series_use('X'));
        assert_null(vgpu_series_licence('\0'));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_published_placements),
                cmocka_unit_test(test_every_board),
                cmocka_unit_test(test_two_gb_take_three_on_blackwell),
                cmocka_unit_test(test_boards_that_share_an_id),
                cmocka_unit_test(test_mig_tables),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_long_names),
                cmocka_unit_test(test_series),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
