/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What drivers print, and what they should not. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "modules/vgpu/vgpu-types.h"

#define MAX 8u

static size_t parse(const char *text, VgpuType *types, unsigned *odd) {
        return vgpu_parse_creatable(text, types, MAX, odd);
}

static void test_both_forms(void **state) {
        static const char *const texts[] = {
                "ID    : vGPU Name\n1145  : NVIDIA L40S-1B\n1146  : NVIDIA L40S-2B\n",
                "1145:NVIDIA L40S-1B\n1146:NVIDIA L40S-2B",
                "NVIDIA L40S-1B 1145\nNVIDIA L40S-2B 1146\n",
                "\n\n  1145   :   NVIDIA L40S-1B  \n\t1146 : NVIDIA L40S-2B\t\n\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                VgpuType types[MAX];
                unsigned odd = 99;

                assert_int_equal(parse(texts[i], types, &odd), 2);
                assert_int_equal(odd, 0);
                assert_string_equal(types[0].id, "1145");
                assert_string_equal(types[0].name, "NVIDIA L40S-1B");
                assert_string_equal(types[1].id, "1146");
                assert_string_equal(types[1].name, "NVIDIA L40S-2B");
        }
}

static void test_nothing_creatable(void **state) {
        static const char *const texts[] = { "", "\n", "ID    : vGPU Name\n", "ID: vGPU Name" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                VgpuType types[MAX];
                unsigned odd = 99;

                assert_int_equal(parse(texts[i], types, &odd), 0);
                assert_int_equal(odd, 0);
        }
}

/* What is wrong is passed over and counted; what is right beside it is kept. */
static void test_garbage(void **state) {
        static const char *const lines[] = {
                "garbage", "0 : NVIDIA L40S-1B", "-5 : NVIDIA L40S-1B", "99999999999 : NVIDIA L40S-1B", "1145 :", ": NVIDIA L40S-1B",
                "1145", "NVIDIA L40S-1B", "1145 : NVIDIA \x01 L40S", "1145 : \xff\xfe", "NVIDIA L40S-1B 11x",
                "1145 : xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                char text[512] = "ID    : vGPU Name\n";
                VgpuType types[MAX];
                unsigned odd = 0;

                strcat(text, lines[i]);
                strcat(text, "\n7 : Fine\n");
                if (parse(text, types, &odd) != 1 || odd != 1)
                        fail_msg("'%s' was taken for a type", lines[i]);
                assert_string_equal(types[0].name, "Fine");
        }
}

static void test_more_than_there_is_room(void **state) {
        char text[1024] = "";
        VgpuType types[MAX];
        unsigned odd = 0;

        for (size_t i = 0; i < MAX + 3; i++)
                strcat(text, "7 : A\n");
        assert_int_equal(parse(text, types, &odd), MAX);
        assert_int_equal(odd, 3);
}

static void test_descriptions(void **state) {
        VgpuType nvidia = { 0 }, intel = { 0 };

        vgpu_parse_description("num_heads=4, frl_config=60, framebuffer=1024M, max_resolution=5120x2880, max_instance=16\n", &nvidia);
        assert_int_equal(nvidia.heads, 4);
        assert_int_equal(nvidia.frame_rate_limit, 60);
        assert_int_equal(nvidia.framebuffer, 1024);
        assert_int_equal(nvidia.width, 5120);
        assert_int_equal(nvidia.height, 2880);
        assert_int_equal(nvidia.max_instances, 16);

        vgpu_parse_description("low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\nresolution: 1920x1200\nweight: 4\n", &intel);
        assert_int_equal(intel.framebuffer, 640);
        assert_int_equal(intel.width, 1920);
        assert_int_equal(intel.heads, 0);
}

static void test_absurd_descriptions(void **state) {
        static const char *const texts[] = {
                "", "=", ",,,", "num_heads", "num_heads=", "num_heads=many", "num_heads=-1", "num_heads=99999999999999999999",
                "framebuffer=1024", "framebuffer=1024X", "framebuffer=999999999G", "max_resolution=5120", "max_resolution=5120x",
                "max_resolution=x2880", "max_instance=16 or so", "a: b: c",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                VgpuType type = { 0 };

                vgpu_parse_description(texts[i], &type);
                if (type.heads || type.framebuffer || type.width || type.height || type.max_instances)
                        fail_msg("'%s' was believed", texts[i]);
        }
}

static void test_current(void **state) {
        uint32_t type = 7;

        assert_int_equal(vgpu_parse_current("0\n", &type), 0);
        assert_int_equal(type, 0);
        assert_int_equal(vgpu_parse_current("1145", &type), 0);
        assert_int_equal(type, 1145);
        assert_int_equal(vgpu_parse_current("", &type), -EINVAL);
        assert_int_equal(vgpu_parse_current("none", &type), -EINVAL);
        assert_int_equal(type, 1145);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_forms),   cmocka_unit_test(test_nothing_creatable),
                cmocka_unit_test(test_garbage),      cmocka_unit_test(test_more_than_there_is_room),
                cmocka_unit_test(test_descriptions), cmocka_unit_test(test_absurd_descriptions),
                cmocka_unit_test(test_current),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
