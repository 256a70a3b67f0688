/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Layouts of GPUs as values, the steps that they come to, what changes beside use, and whether they are in force. */

#include "vgpu-kit.h"

#include "modules/vgpu/vgpu-instances.h"
#include "modules/vgpu/vgpu-placement.h"

#define TEXT_SIZE 4096

static void set_up(Kit *kit, const char *model, const char *total) {
        kit_init(kit, model);
        if (total)
                kit_set_attribute(kit, "sriov_totalvfs", total);
        kit_observe(kit);
}

static void assert_layout(Kit *kit, const char *demands, const char *expected) {
        char text[TEXT_SIZE];

        kit_lay_out(kit, demands, text, sizeof(text));
        if (!streq(text, expected))
                fail_msg("%s\n  is %s\n  not %s\n  %s", demands, text, expected, kit->n_findings ? kit->findings[0].text : "");
}

#define EQUAL "mode=equal; functions=true"

static void test_equal_and_mixed(void **state) {
        static const struct {
                const char *demands, *layout;
        } cases[] = {
                { "", "" },
                { "nothing: instances=2", "" }, /* no profile yet */
                { "d: profile=L40S-8Q", EQUAL },
                { "d: profile=L40S-8Q instances=4; c: profile=L40S-8C instances=2", EQUAL },
                { "d: profile=L40S-8Q instances=7", "too-many d" },
                /* 24 + 12 + 4 + 4 GB; a fifth has no place though the memory would do. */
                { "t: profile=L40S-24C instances=1; w: profile=L40S-12Q instances=1; i: profile=L40S-4C instances=2",
                  "mode=mixed; functions=true; placements=L40S-24C@0 L40S-12Q@24 L40S-4C@36,44" },
                { "t: profile=L40S-24C instances=1; w: profile=L40S-12Q instances=1; i: profile=L40S-4C instances=3", "not-placeable i" },
                /* Who states no number gets what the others leave. */
                { "t: profile=L40S-24C; w: profile=L40S-12Q instances=1", "mode=mixed; functions=true; placements=L40S-24C@0 L40S-12Q@24" },
                { "t: profile=L40S-24C instances=1; w: profile=L40S-12Q",
                  "mode=mixed; functions=true; placements=L40S-24C@0 L40S-12Q@24,36" },
                { "a: profile=L40S-4C; b: profile=L40S-24Q instances=1; c: profile=L40S-4Q instances=1",
                  "mode=mixed; functions=true; placements=L40S-4C@24,36,44 L40S-24Q@0 L40S-4Q@32" },
                { "wrong: profile=A100D-8C", "vgpu-not-offered wrong" },
                /* A number is this driver's, and names nothing. */
                { "d: profile=1145 instances=3", "vgpu-not-offered d" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_kit_ Kit kit;

                set_up(&kit, "l40s", "32");
                assert_layout(&kit, cases[i].demands, cases[i].layout);
        }
}

static void test_mig(void **state) {
        static const struct {
                const char *model, *demands, *layout;
        } cases[] = {
                { "h100", "i: profile=H100-1-10C instances=4; t: profile=H100-3-40C instances=1",
                  "mode=mig; functions=true; instances=19@0 19@1 19@2 19@3 9@4" },
                { "h100", "i: profile=H100-1-10C", "mode=mig; functions=true; instances=19@0 19@1 19@2 19@3 19@4 19@5 19@6" },
                { "h100", "i: profile=H100-1-10C gpu-instances=2", "mode=mig; functions=true; instances=19@0 19@1" },
                /* One without a number beside one with. */
                { "h100", "i: profile=H100-1-10C; t: profile=H100-3-40C instances=1",
                  "mode=mig; functions=true; instances=19@0 19@1 19@2 19@3 9@4" },
                { "h100", "t: profile=H100-3-40C instances=1; w: profile=H100-2-20C instances=1; i: profile=H100-1-10C instances=2",
                  "mode=mig; functions=true; instances=14@0 19@2 19@3 9@4" }, /* no small one may start at the last slice */
                { "h100", "i: profile=H100-1-10C instances=8", "no-geometry i" },
                { "h100", "i: profile=H100-1-10C instances=1; s: profile=H100-80C", "mig-and-time-sliced s" },
                { "h100", "i: profile=H100-1-10C instances=2 gpu-instances=1", "per-instance i" },
                { "h100", "i: profile=H100-1-10C vgpus-per-instance=2", "per-instance i" },
                { "rtx-pro-6000", "p: profile=RTX~Pro~6000~Blackwell~DC-2-12Q gpu-instances=1",
                  "mode=mig; functions=true; instances=35@0" },
                { "rtx-pro-6000", "p: profile=RTX~Pro~6000~Blackwell~DC-2-12Q instances=5",
                  "mode=mig; functions=true; instances=35@0 35@2" },
                { "rtx-pro-6000", "p: profile=RTX~Pro~6000~Blackwell~DC-2-12Q instances=4 vgpus-per-instance=2",
                  "mode=mig; functions=true; instances=35@0 35@2" },
                { "rtx-pro-6000", "p: profile=RTX~Pro~6000~Blackwell~DC-1-2Q", "mode=mig; functions=true; instances=47@0 47@1 47@2 47@3" },
                { "a100d", "i: profile=A100D-1-10CME instances=1; j: profile=A100D-1-10C",
                  "mode=mig; functions=true; instances=20@0 19@1 19@2 19@3 19@4 19@5 19@6" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_kit_ Kit kit;

                set_up(&kit, cases[i].model, "16");
                assert_layout(&kit, cases[i].demands, cases[i].layout);
        }
}

#define SETTINGS(s) "d: profile=L40S-8Q " s

static void test_schedulers(void **state) {
        static const struct {
                const char *model, *demands, *layout;
        } cases[] = {
                { "l40s", SETTINGS("scheduler=best-effort"), EQUAL "; scheduler=best-effort" },
                { "l40s", SETTINGS("scheduler=equal-share"), EQUAL "; scheduler=equal-share" },
                /* The defaults that the driver's guide states: six vGPUs at most, then 32. */
                { "l40s", SETTINGS("scheduler=equal-share strict-round-robin=on"),
                  EQUAL "; scheduler=equal-share arr=on frequency=480 average=33" },
                { "l40s", "d: profile=L40S-1Q scheduler=equal-share strict-round-robin=on",
                  EQUAL "; scheduler=equal-share arr=on frequency=960 average=33" },
                { "l40s", SETTINGS("scheduler=fixed-share scheduler-frequency=100"),
                  EQUAL "; scheduler=fixed-share arr=on frequency=100 average=33" },
                { "l40s", SETTINGS("scheduler=fixed-share scheduler-averaging=5"),
                  EQUAL "; scheduler=fixed-share arr=on frequency=480 average=5" },
                { "l40s", SETTINGS("scheduler=fixed-share strict-round-robin=off"), EQUAL "; scheduler=fixed-share arr=off timeslice=2" },
                { "l40s", SETTINGS("scheduler=fixed-share strict-round-robin=off time-slice=30"),
                  EQUAL "; scheduler=fixed-share arr=off timeslice=30" },
                { "l40s", "a: profile=L40S-8Q scheduler=fixed-share; b: profile=L40S-8C", EQUAL "; scheduler=fixed-share" },
                { "l40s", "a: profile=L40S-8Q scheduler=fixed-share; b: profile=L40S-8C scheduler=fixed-share",
                  EQUAL "; scheduler=fixed-share" },
                { "l40s", "a: profile=L40S-8Q scheduler=fixed-share; b: profile=L40S-8C scheduler=equal-share", "scheduler-conflict b" },
                { "l40s", "a: profile=L40S-8Q scheduler=fixed-share; b: profile=L40S-4C instances=1", "scheduler-and-mixed-sizes a" },
                { "l40s", "a: profile=L40S-24Q scheduler=equal-share; b: profile=L40S-12C",
                  "mode=mixed; functions=true; scheduler=equal-share; placements=L40S-24Q@0 L40S-12C@24,36" },
                { "h100", "a: profile=H100-1-10C instances=1 scheduler=equal-share", "scheduler-in-mig a" },
                { "rtx-pro-6000", "a: profile=RTX~Pro~6000~Blackwell~DC-2-12Q instances=4 scheduler=equal-share; "
                                  "b: profile=RTX~Pro~6000~Blackwell~DC-2-24Q instances=1 scheduler=fixed-share strict-round-robin=on",
                  "mode=mig; functions=true; instances=35@0 35@2; "
                  "scheduler=35@0 equal-share; 35@2 fixed-share arr=on frequency=480 average=33" },
                { "rtx-pro-6000", "a: profile=RTX~Pro~6000~Blackwell~DC-2-12Q instances=4; "
                                  "b: profile=RTX~Pro~6000~Blackwell~DC-2-24Q instances=1 scheduler=best-effort",
                  "mode=mig; functions=true; instances=35@0 35@2; scheduler=35@2 best-effort" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_kit_ Kit kit;

                set_up(&kit, cases[i].model, "16");
                assert_layout(&kit, cases[i].demands, cases[i].layout);
        }
}

/* What a driver has, or says that it has, decides; the finding names it. */
static void test_other_drivers(void **state) {
        static const struct {
                const char *key, *value, *demands, *layout, *text;
        } cases[] = {
                { "driver", "\"595.58.02\"", SETTINGS("scheduler=equal-share strict-round-robin=off"), "round-robin-not-optional d",
                  "595.58.02" },
                { "driver", "\"595.58.02\"", SETTINGS("scheduler=equal-share scheduler-frequency=100"),
                  EQUAL "; scheduler=equal-share arr=on frequency=100 average=33", NULL },
                { "driver", "\"525.85.07\"", SETTINGS("scheduler=equal-share"), "scheduler-not-offered d", "R535" },
                { "driver", "\"535.161.05\"", "a: profile=L40S-24Q instances=1; b: profile=L40S-4C instances=1", "no-mixed-sizes a", NULL },
                { "driver", "\"550.90.05\"", "a: profile=L40S-24Q instances=1; b: profile=L40S-4C instances=1",
                  "mode=mixed; functions=true; placements=L40S-24Q@0 L40S-4C@24", NULL },
                { "capabilities", "{\"2\": 0}", "a: profile=L40S-24Q instances=1; b: profile=L40S-4C instances=1", "no-mixed-sizes a", NULL },
                { "scheduler", "{\"policies\": [1, 2, 0], \"arr\": true}", SETTINGS("scheduler=fixed-share"), "scheduler-not-offered d",
                  "fixed-share" },
                { "scheduler", "{\"policies\": [1, 2, 3], \"arr\": false}", SETTINGS("scheduler=fixed-share scheduler-frequency=100"),
                  "round-robin-not-offered d", NULL },
                { "scheduler", "{\"policies\": [1, 2, 3], \"arr\": true, \"frequency\": [100, 200]}",
                  SETTINGS("scheduler=fixed-share scheduler-frequency=300"), "scheduler-out-of-range d", "100 to 200" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_kit_ Kit kit;
                json_t *gpu;

                kit_init(&kit, "l40s");
                kit_set_attribute(&kit, "sriov_totalvfs", "32");
                gpu = kit_gpu(&kit);
                json_object_set_new(gpu, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
                kit_put_gpu(&kit, gpu);
                kit_observe(&kit);
                assert_layout(&kit, cases[i].demands, cases[i].layout);
                if (cases[i].text && !strstr(kit.findings[0].text, cases[i].text))
                        fail_msg("'%s' does not speak of %s", kit.findings[0].text, cases[i].text);
                if (streq(cases[i].layout, "no-mixed-sizes a") && streq(cases[i].key, "driver"))
                        assert_non_null(strstr(kit.findings[0].remedy, "17.2"));
        }
}

/* Other GPUs, and others' drivers, have nothing to be made; a GPU whose driver was not asked yet is planned by the tables. */
static void test_where_nothing_is_made(void **state) {
        _cleanup_kit_ Kit kit, other, unread;

        set_up(&kit, "l40s", NULL); /* as before Ampere: no virtual functions */
        assert_layout(&kit, "d: profile=L40S-8Q", "");
        assert_layout(&kit, "d: profile=L40S-8Q scheduler=best-effort", "mode=equal; functions=false; scheduler=best-effort");
        set_up(&other, "l40s", "32");
        kit_set_attribute(&other, "vendor", "0x8086");
        assert_layout(&other, "d: profile=L40S-8Q", "");
        kit_init(&unread, "l40s");
        kit_set_attribute(&unread, "sriov_totalvfs", "32");
        kit_set_attribute(&unread, "device", "0x26b9");
        assert_layout(&unread, "d: profile=L40S-8Q", EQUAL);
        assert_layout(&unread, "a: profile=L40S-24Q instances=1; b: profile=L40S-12C instances=1",
                      "mode=mixed; functions=true; placements=L40S-24Q@0 L40S-12C@24");
}

/* ---- what is there already ---- */

static void add_instances(Kit *kit, const char *instances, const char *vgpus) {
        json_t *gpu = kit_gpu(kit);

        json_object_set_new(gpu, "mig", json_pack("{s:b, s:b}", "current", 1, "pending", 1));
        json_object_set_new(gpu, "instances", json_loads(instances, 0, NULL));
        json_object_set_new(gpu, "vgpus", json_loads(vgpus, 0, NULL));
        kit_put_gpu(kit, gpu);
        kit_observe(kit);
}

static void test_beside_instances(void **state) {
        _cleanup_kit_ Kit kit;
        char text[TEXT_SIZE];

        set_up(&kit, "h100", "16");
        /* Two small ones in the middle: one has a vGPU. */
        add_instances(&kit,
                      "[{\"id\": 1, \"profile\": 19, \"start\": 2, \"size\": 1, \"compute\": true},"
                      " {\"id\": 2, \"profile\": 19, \"start\": 5, \"size\": 1, \"compute\": true}]",
                      "[{\"name\": \"0000:3b:00.4\", \"type\": 0, \"instance\": 1, \"placement\": 65535, \"open\": true}]");
        /* What is wanted and there stays; what nobody wants or uses is in nobody's way. */
        assert_layout(&kit, "i: profile=H100-1-10C instances=3", "mode=mig; functions=true; instances=19@0 19@2 19@5");
        assert_layout(&kit, "i: profile=H100-1-10C instances=1; t: profile=H100-3-40C instances=1",
                      "mode=mig; functions=true; instances=19@2 9@4");
        assert_layout(&kit, "t: profile=H100-4-40C instances=1", "no-geometry t");
        /* The layout is the same once it was made. */
        kit_lay_out(&kit, "i: profile=H100-1-10C", text, sizeof(text));
        assert_string_equal(text, "mode=mig; functions=true; instances=19@0 19@1 19@2 19@3 19@4 19@5 19@6");
}

static void test_beside_mixed_sizes(void **state) {
        static const char demands[] = "t: profile=L40S-24C instances=1; w: profile=L40S-12Q instances=1; i: profile=L40S-4C instances=2";
        static const char as_planned[] = "mode=mixed; functions=true; placements=L40S-24C@0 L40S-12Q@24 L40S-4C@36,44";
        _cleanup_kit_ Kit kit;
        json_t *gpu, *type;
        json_int_t id = 0;
        size_t i;

        set_up(&kit, "l40s", "32");
        assert_layout(&kit, demands, as_planned);
        gpu = kit_gpu(&kit);
        json_object_set_new(gpu, "mixed-sizes", json_true());
        json_array_foreach(json_object_get(gpu, "types"), i, type)
                if (streq(json_string_value(json_object_get(type, "name")), "NVIDIA L40S-12Q"))
                        id = json_integer_value(json_object_get(type, "id"));
        json_object_set_new(gpu, "vgpus", json_pack("[{s:s, s:I, s:i, s:i, s:b}]", "name", "0000:3b:00.4", "type", id, "instance", -1,
                                                    "placement", 24, "open", 1));
        kit_put_gpu(&kit, gpu);
        kit_observe(&kit);
        /* In its place: nothing changes. */
        assert_layout(&kit, demands, as_planned);
        gpu = kit_gpu(&kit);
        json_object_set_new(json_array_get(json_object_get(gpu, "vgpus"), 0), "placement", json_integer(12));
        kit_put_gpu(&kit, gpu);
        kit_observe(&kit);
        /* Elsewhere: the others go round it. */
        assert_layout(&kit, demands, "mode=mixed; functions=true; placements=L40S-24C@24 L40S-12Q@12 L40S-4C@0,8");
}

/* ---- plans ---- */

static void test_plans(void **state) {
        static const struct {
                const char *model, *state, *values, *steps;
        } cases[] = {
                { "l40s", "{}", "mode=equal;functions=true", "enable-functions on" },
                { "l40s", "{\"mixed-sizes\": true}", "mode=equal;functions=true", "enable-functions on\nset-mixed-sizes off" },
                { "l40s", "{}", "mode=equal;functions=false;scheduler=best-effort", "set-scheduler best-effort" },
                { "l40s", "{}", "mode=mixed;functions=true;scheduler=equal-share;placements=L40S-24C@0",
                  "enable-functions on\nset-mixed-sizes on\nset-scheduler equal-share" },
                { "h100", "{}", "mode=mig;functions=true;instances=19@0 9@4",
                  "set-mig-mode on\nenable-functions on\nset-gpu-instances 19@0 9@4" },
                { "h100", "{\"mig\": {\"current\": true, \"pending\": true}}", "mode=equal;functions=true",
                  "set-mig-mode off\nenable-functions on" },
                { "h100", "{\"mig\": {\"current\": false, \"pending\": true}}", "mode=mixed;functions=true",
                  "set-mig-mode off\nenable-functions on\nset-mixed-sizes on" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_kit_ Kit kit;
                char text[TEXT_SIZE];
                json_t *gpu, *more;

                kit_init(&kit, cases[i].model);
                gpu = kit_gpu(&kit);
                more = json_loads(cases[i].state, 0, NULL);
                json_object_update(gpu, more);
                json_decref(more);
                kit_put_gpu(&kit, gpu);
                kit_observe(&kit);
                kit_plan(&kit, cases[i].values, text, sizeof(text));
                assert_string_equal(text, cases[i].steps);
        }
}

/* ---- change ---- */

static void test_change(void **state) {
        static const struct {
                const char *made, *wanted;
                int beside;
        } cases[] = {
                { "mode=equal;functions=true", "mode=equal;functions=true", 1 },
                { "mode=equal;functions=true", "mode=mixed;functions=true;placements=L40S-24C@0", 0 },
                { "mode=mixed;functions=true;placements=L40S-24C@0", "mode=mixed;functions=true;placements=L40S-24C@0,24", 1 },
                { "mode=equal;functions=true", "mode=equal;functions=false", 0 },
                { "mode=equal;functions=true", "mode=equal;functions=true;scheduler=best-effort", 0 },
                { "mode=mig;functions=true;instances=19@0", "mode=mig;functions=true;instances=19@0 9@4", 1 },
                { "mode=mig;functions=true;instances=19@0 9@4", "mode=mig;functions=true;instances=19@0", 1 },
                { "mode=mig;functions=true;instances=19@0", "mode=equal;functions=true", 0 },
                /* A new instance comes with its scheduler; one that is there does not change it. */
                { "mode=mig;functions=true;instances=35@0;scheduler=35@0 equal-share",
                  "mode=mig;functions=true;instances=35@0 35@2;scheduler=35@0 equal-share; 35@2 best-effort", 1 },
                { "mode=mig;functions=true;instances=35@0;scheduler=35@0 equal-share",
                  "mode=mig;functions=true;instances=35@0;scheduler=35@0 best-effort", 0 },
                { "mode=mig;functions=true;instances=35@0", "mode=mig;functions=true;instances=35@0;scheduler=35@0 best-effort", 0 },
                { "", "mode=equal;functions=true", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_kit_ Kit kit;

                kit_init(&kit, NULL);
                kit_made(&kit, cases[i].made);
                kit_layout(&kit, cases[i].wanted);
                if (kit.module->change(&kit.ctx, &kit.device) != cases[i].beside)
                        fail_msg("'%s' to '%s'", cases[i].made, cases[i].wanted);
        }
}

/* ---- verify ---- */

static void test_verify(void **state) {
        static const struct {
                const char *state, *made, *code;
                unsigned functions;
        } cases[] = {
                { "{}", "mode=equal;functions=true", NULL, 8 },
                { "{}", "mode=equal;functions=true", "functions-gone", 0 },
                { "{\"mixed-sizes\": true}", "mode=mixed;functions=true", NULL, 8 },
                { "{}", "mode=mixed;functions=true", "mixed-sizes-gone", 8 },
                { "{\"mixed-sizes\": true}", "mode=equal;functions=true", "mixed-sizes-gone", 8 },
                { "{}", "mode=mig;functions=true;instances=19@0", "mig-mode-gone", 8 },
                { "{\"mig\": {\"current\": true, \"pending\": true}}", "mode=equal;functions=true", "mig-mode-gone", 8 },
                { "{\"mig\": {\"current\": true, \"pending\": true}}", "mode=mig;functions=true;instances=19@0", "gpu-instances-gone", 8 },
                { "{\"mig\": {\"current\": true, \"pending\": true}, \"instances\": [{\"id\": 1, \"profile\": 19, \"start\": 0, \"size\": 1}]}",
                  "mode=mig;functions=true;instances=19@0", NULL, 8 },
                { "{\"mig\": {\"current\": true, \"pending\": true}, \"instances\": [{\"id\": 1, \"profile\": 19, \"start\": 1, \"size\": 1}]}",
                  "mode=mig;functions=true;instances=19@0", "gpu-instances-gone", 8 },
                { "{\"scheduler-state\": [2, 2, 33, 480]}", "mode=equal;functions=true;scheduler=equal-share arr=on frequency=480 average=33", NULL, 8 },
                { "{}", "mode=equal;functions=true;scheduler=equal-share", "scheduler-gone", 8 },
                { "{\"scheduler-state\": [3, 2, 33, 480]}", "mode=equal;functions=true", NULL, 8 }, /* nobody asked */
                { "{}", "", NULL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_kit_ Kit kit;
                json_t *gpu, *more;

                kit_init(&kit, "h100");
                gpu = kit_gpu(&kit);
                more = json_loads(cases[i].state, 0, NULL);
                json_object_update(gpu, more);
                json_decref(more);
                kit_put_gpu(&kit, gpu);
                kit_observe(&kit);
                kit.functions = cases[i].functions;
                kit_made(&kit, cases[i].made);
                assert_int_equal(kit.module->verify(&kit.ctx, &kit.device), 0);
                if (!streq_null(cases[i].code, kit.n_findings ? kit.findings[0].code : NULL))
                        fail_msg("%s, made '%s': %s", cases[i].state, cases[i].made, kit.n_findings ? kit.findings[0].text : "fine");
        }
}

/* What is not known is not gone. */
static void test_verify_without_library(void **state) {
        _cleanup_kit_ Kit kit;

        kit_init(&kit, NULL);
        kit.functions = 4;
        kit_made(&kit, "mode=mig;functions=true;instances=19@0");
        assert_int_equal(kit.module->verify(&kit.ctx, &kit.device), 0);
        assert_int_equal(kit.n_findings, 0);
        kit_observe(&kit);
        assert_int_equal(kit.module->verify(&kit.ctx, &kit.device), 0);
        assert_int_equal(kit.n_findings, 0);
}

static void test_instance_texts(void **state) {
        static const char *const good[] = { "", "19@0", "19@0 9@4", "9@0(2) 19@4()", "9@0(0,1,2)" };
        static const char *const bad[] = {
                " ", "19", "19@", "@0", "19@8", "19@0 19@0", "19@0  9@4", "19@0(", "19@0)", "19@0(x)", "19@0(1)2", "70000@0", "-1@0",
                "(1)19@0", "1@0 1@1 1@2 1@3 1@4 1@5 1@6 1@7 1@0", "19@0(1,1,1,1,1,1,1,1,1)",
        };
        char text[VGPU_INSTANCES_TEXT_SIZE];
        VgpuInstanceList list;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(vgpu_instances_from_text(good[i], &list), 0);
                vgpu_instances_to_text(&list, text);
                assert_string_equal(text, good[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (vgpu_instances_from_text(bad[i], &list) != -EINVAL)
                        fail_msg("'%s' was read", bad[i]);
        assert_int_equal(vgpu_instances_from_text("9@4 19@0", &list), 0);
        vgpu_instances_to_text(&list, text);
        assert_string_equal(text, "19@0 9@4");
        assert_non_null(vgpu_instances_find(&list, 9, 4));
        assert_null(vgpu_instances_find(&list, 9, 0));
}

static void test_placements_of_a_profile(void **state) {
        static const struct {
                const char *placements, *profile, *ids;
        } cases[] = {
                { "L40S-24C@0 L40S-12Q@24,36", "NVIDIA L40S-12Q", "24,36" },
                { "L40S-24C@0 L40S-12Q@24,36", "L40S-24C", "0" },
                { "L40S-24C@0 L40S-12Q@24,36", "NVIDIA L40S-12C", "" },
                { "RTX Pro 6000 Blackwell DC-24Q@0,24 RTX Pro 6000 Blackwell DC-12Q@48", "NVIDIA RTX Pro 6000 Blackwell DC-12Q", "48" },
                { "", "NVIDIA L40S-12Q", "" },
                { "L40S-24C", "NVIDIA L40S-24C", "" },
                { "@", "NVIDIA L40S-24C", "" },
                { "L40S-24C@0", "mtty-1", "" },
        };
        char ids[64];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                vgpu_placements_for(cases[i].placements, cases[i].profile, ids, sizeof(ids));
                assert_string_equal(ids, cases[i].ids);
        }
        assert_true(vgpu_has_choice("disable_vnc=1,vgpu-placement-id={24,36}"));
        assert_false(vgpu_has_choice("disable_vnc=1"));
}

/* Two vGPUs of a GPU that take their places at the same time: what the other one writes when we write for the first time, how
 * often it stays, and what is written last. */
typedef struct Race {
        PtContext ctx;
        PtServices services;
        char own[64], other[64];
        const char *others_next;
        unsigned writes;
} Race;

static ssize_t race_read_link(PtContext *ctx, const PtDevice *device, const char *name, char *buffer, size_t size) {
        const char *target = streq(name, "physfn/virtfn0") ? "0000:3b:00.4" : "0000:3b:00.5";

        return snprintf(buffer, size, "%s", target);
}

static int race_list(PtContext *ctx, const PtDevice *device, const char *name, void (*take)(void *, const char *), void *userdata) {
        if (!streq(name, "physfn/."))
                return -ENOENT;
        take(userdata, "virtfn0");
        take(userdata, "virtfn1");
        return 0;
}

static ssize_t race_read(PtContext *ctx, const PtDevice *device, const char *name, char *buffer, size_t size) {
        return snprintf(buffer, size, "%s", ((Race *) ctx)->other);
}

static int race_write(PtContext *ctx, const PtDevice *device, const char *name, const char *value) {
        Race *race = (Race *) ctx;

        (void) snprintf(race->own, sizeof(race->own), "%s", value);
        if (race->writes++ == 0)
                (void) snprintf(race->other, sizeof(race->other), "%s", race->others_next);
        else if (streq(race->others_next, "") || streq(value, "disable_vnc=1"))
                race->other[0] = '\0'; /* it went */
        return 0;
}

/* The other one may have looked before we wrote, and stays: whatever the names, we are the one that gives way. */
static void test_two_at_one_place(void **state) {
        static const char *const names[] = { "0000:3b:00.4", "0000:3b:00.5" };
        static const struct {
                const char *choice, *others, *own;
        } cases[] = {
                { "{24,36}", "vgpu-placement-id=24", "disable_vnc=1,vgpu-placement-id=36" },
                { "{24,36}", "vgpu-placement-id=36", "disable_vnc=1,vgpu-placement-id=24" },
                { "{24}", "vgpu-placement-id=24", "disable_vnc=1,vgpu-placement-id=24" }, /* after it has gone */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t k = 0; k < ELEMENTSOF(names); k++) {
                        Race race = { .others_next = cases[i].others };
                        PtDevice device = { .struct_size = sizeof(PtDevice), .id = "x", .sysname = names[k] };
                        char params[64];

                        race.services = (PtServices){ .struct_size = sizeof(PtServices), .read_attribute = race_read,
                                                      .read_link = race_read_link, .list = race_list,
                                                      .write_attribute = race_write };
                        race.ctx.services = &race.services;
                        (void) snprintf(params, sizeof(params), "disable_vnc=1,vgpu-placement-id=%s", cases[i].choice);
                        assert_int_equal(vgpu_write_with_choice(&race.ctx, &device, "nvidia/vgpu_params", params), 0);
                        assert_string_equal(race.own, cases[i].own);
                        if (race.other[0])
                                assert_string_not_equal(race.own + strlen("disable_vnc=1,"), race.other);
                }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_equal_and_mixed),
                cmocka_unit_test(test_mig),
                cmocka_unit_test(test_schedulers),
                cmocka_unit_test(test_other_drivers),
                cmocka_unit_test(test_where_nothing_is_made),
                cmocka_unit_test(test_beside_instances),
                cmocka_unit_test(test_beside_mixed_sizes),
                cmocka_unit_test(test_plans),
                cmocka_unit_test(test_change),
                cmocka_unit_test(test_verify),
                cmocka_unit_test(test_verify_without_library),
                cmocka_unit_test(test_instance_texts),
                cmocka_unit_test(test_placements_of_a_profile),
                cmocka_unit_test(test_two_at_one_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
