/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How many vGPUs groups can have beside each other, how many more of each profile there can be, and what is known of profiles. */

#include "vgpu-kit.h"

#define TEXT_SIZE 4096

static void set_up(Kit *kit, const char *model, const char *total) {
        kit_init(kit, model);
        kit_set_attribute(kit, "sriov_totalvfs", total);
        kit_observe(kit);
}

static void test_rooms(void **state) {
        static const struct {
                const char *model, *functions, *demands, *rooms;
        } cases[] = {
                /* One size: all that there is room for, less what others state or hold. */
                { "l40s", "32", "d: profile=L40S-8Q", "d 6/6 8Q:8" },
                { "l40s", "32", "d: profile=L40S-8Q claimed=2", "d 4/6 8Q:8" },
                { "l40s", "32", "d: profile=L40S-8Q instances=4; c: profile=L40S-8C", "d 4/4 8Q:8; c 2/2 8C:8" },
                { "l40s", "32", "d: profile=L40S-8Q instances=4 claimed=3; c: profile=L40S-8C claimed=2", "d 1/4 8Q:8; c 0/2 8C:8" },
                { "l40s", "32", "d: profile=L40S-8Q claimed=1; c: profile=L40S-8C claimed=2", "d 3/4 8Q:8; c 3/5 8C:8" },
                /* Never more than functions. */
                { "l40s", "3", "d: profile=L40S-8Q claimed=1", "d 2/3 8Q:8" },
                /* Sizes: by placement, not by memory. */
                { "l40s", "32", "t: profile=L40S-24C instances=1; w: profile=L40S-12Q instances=1; i: profile=L40S-4C claimed=1",
                  "t 1/1 24C:24; w 1/1 12Q:12; i 1/2 4C:4" },
                { "l40s", "32", "t: profile=L40S-24C; w: profile=L40S-12Q", "t 1/1 24C:24; w 2/2 12Q:12" },
                /* MIG. */
                { "h100", "16", "i: profile=H100-1-10C claimed=2; t: profile=H100-3-40C instances=1", "i 2/4 1-10C:10; t 1/1 3-40C:40" },
                { "rtx-pro-6000", "16", "p: profile=RTX~Pro~6000~Blackwell~DC-2-12Q gpu-instances=1 claimed=3", "p 1/4 2-12Q:12" },
                /* Without a profile a group has nothing; what is refused has no room stated. */
                { "l40s", "32", "n: instances=2; d: profile=L40S-24Q", "n 0/4294967295; d 2/2 24Q:24" },
                { "l40s", "32", "n: instances=2", "n 0/4294967295" },
                { "l40s", "32", "d: profile=L40S-24Q instances=3", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[TEXT_SIZE];
                _cleanup_kit_ Kit kit;

                set_up(&kit, cases[i].model, cases[i].functions);
                kit_lay_out(&kit, cases[i].demands, text, sizeof(text));
                if (!streq(kit.rooms, cases[i].rooms))
                        fail_msg("%s\n  is %s\n  not %s\n  %s", cases[i].demands, kit.rooms, cases[i].rooms, text);
        }
}

static void check_number(const json_t *object, const char *key, json_int_t expected) {
        if (!json_is_integer(json_object_get(object, key)) || json_integer_value(json_object_get(object, key)) != expected)
                fail_msg("%s is not %" JSON_INTEGER_FORMAT " in %s", key, expected, json_dumps(object, 0));
}

/* What more there can be of each profile: alone, beside groups, beside what is active. */
static void test_capacity(void **state) {
        char text[TEXT_SIZE];
        _cleanup_kit_ Kit kit;
        json_t *gpu;

        set_up(&kit, "l40s", "32");
        kit.capacity = json_object();
        assert_int_equal(kit.module->capacity(&kit.ctx, &kit.device), 0);
        check_number(kit.capacity, "NVIDIA L40S-8Q", 6);
        check_number(kit.capacity, "NVIDIA L40S-1B", 32);
        check_number(kit.capacity, "NVIDIA L40S-48C", 1);

        json_object_clear(kit.capacity);
        kit_lay_out(&kit, "d: profile=L40S-8Q instances=4 claimed=1; c: profile=L40S-8C", text, sizeof(text));
        check_number(kit.capacity, "NVIDIA L40S-8Q", 5);
        check_number(kit.capacity, "NVIDIA L40S-8C", 2);
        check_number(kit.capacity, "NVIDIA L40S-24Q", 0);

        json_object_clear(kit.capacity);
        kit_lay_out(&kit, "t: profile=L40S-24C instances=1; w: profile=L40S-12Q instances=1 claimed=1", text, sizeof(text));
        check_number(kit.capacity, "NVIDIA L40S-24C", 1);
        check_number(kit.capacity, "NVIDIA L40S-12Q", 1);
        check_number(kit.capacity, "NVIDIA L40S-4C", 2); /* at 36 and 44 */

        /* Fewer functions than there is memory for. */
        kit_set_attribute(&kit, "sriov_totalvfs", "2");
        json_object_clear(kit.capacity);
        assert_int_equal(kit.module->capacity(&kit.ctx, &kit.device), 0);
        check_number(kit.capacity, "NVIDIA L40S-1B", 2);
        kit_set_attribute(&kit, "sriov_totalvfs", "32");

        /* Somebody's vGPU: its size is the GPU's then. */
        gpu = kit_gpu(&kit);
        assert_int_equal(json_object_set_new(gpu, "vgpus", json_pack("[{s:s, s:i, s:i, s:i, s:b}]", "name", "0000:3b:00.4", "type", 1148,
                                                                     "instance", 0, "placement", 0, "open", 1)),
                         0);
        kit_put_gpu(&kit, gpu);
        kit_observe(&kit);
        json_object_clear(kit.capacity);
        assert_int_equal(kit.module->capacity(&kit.ctx, &kit.device), 0);
        check_number(kit.capacity, "NVIDIA L40S-8Q", 5);
        check_number(kit.capacity, "NVIDIA L40S-24Q", 0);
        json_decref(kit.capacity);
}

static void test_mig_capacity(void **state) {
        char text[TEXT_SIZE];
        _cleanup_kit_ Kit kit;

        set_up(&kit, "h100", "16");
        kit.capacity = json_object();
        assert_int_equal(kit.module->capacity(&kit.ctx, &kit.device), 0);
        check_number(kit.capacity, "NVIDIA H100-1-10C", 7);
        check_number(kit.capacity, "NVIDIA H100-3-40C", 2);
        check_number(kit.capacity, "NVIDIA H100-10C", 8);
        json_object_clear(kit.capacity);
        kit_lay_out(&kit, "t: profile=H100-3-40C instances=1 claimed=1", text, sizeof(text));
        check_number(kit.capacity, "NVIDIA H100-3-40C", 1);
        check_number(kit.capacity, "NVIDIA H100-1-10C", 3); /* at 4, 5 and 6 */
        check_number(kit.capacity, "NVIDIA H100-10C", 0);
        json_decref(kit.capacity);
}

static void check_text(const json_t *profiles, const char *profile, const char *column, const char *expected) {
        const char *text = json_string_value(json_object_get(json_object_get(profiles, profile), column));

        if (!streq_null(text, expected))
                fail_msg("%s of %s is %s, not %s", column, profile, strempty(text), strempty(expected));
}

static void test_columns(void **state) {
        _cleanup_kit_ Kit kit;

        set_up(&kit, "l40s", "32");
        kit.profiles = json_object();
        assert_int_equal(kit.module->capacity(&kit.ctx, &kit.device), 0);
        check_text(kit.profiles, "NVIDIA L40S-24Q", "series", "Q");
        check_text(kit.profiles, "NVIDIA L40S-24Q", "framebuffer", "24576");
        check_text(kit.profiles, "NVIDIA L40S-24Q", "max", "2");
        check_text(kit.profiles, "NVIDIA L40S-24Q", "heads", "4");
        check_text(kit.profiles, "NVIDIA L40S-24Q", "frame-rate-limit", "60");
        check_text(kit.profiles, "NVIDIA L40S-24Q", "placements", "0,24");
        check_text(kit.profiles, "NVIDIA L40S-24Q", "placement-size", "24");
        check_text(kit.profiles, "NVIDIA L40S-24Q", "mig-profile", NULL);
        check_text(kit.profiles, "NVIDIA L40S-8Q", "type-id", "1148");
        assert_non_null(json_object_get(json_object_get(kit.profiles, "NVIDIA L40S-1B"), "licence"));
        assert_non_null(json_object_get(json_object_get(kit.profiles, "NVIDIA L40S-1B"), "resolution"));
        json_decref(kit.profiles);
        kit_done(&kit);

        set_up(&kit, "rtx-pro-6000", "32");
        kit.profiles = json_object();
        assert_int_equal(kit.module->capacity(&kit.ctx, &kit.device), 0);
        check_text(kit.profiles, "NVIDIA RTX Pro 6000 Blackwell DC-2-12Q", "mig-profile", "2g.48gb+gfx");
        check_text(kit.profiles, "NVIDIA RTX Pro 6000 Blackwell DC-2-12Q", "max-per-instance", "4");
        json_decref(kit.profiles);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rooms),
                cmocka_unit_test(test_capacity),
                cmocka_unit_test(test_mig_capacity),
                cmocka_unit_test(test_columns),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
