/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The steps that set up a GPU: run, run again, undone, with every call failing, and undone after half. */

#include "vgpu-kit.h"

#include "modules/vgpu/nvml.h"

#define STATE_KEYS "mig", "mixed-sizes", "scheduler-state"

static PtStep make_step(const char *name, const char *value) {
        return (PtStep){ .kind = PT_STEP_CUSTOM, .device = "vgpu-0000-3b-00-0", .name = name, .value = value, .sentence = "x",
                         .timeout_ms = 400 };
}

/* Everything that a step may change, as text; ids and order of instances are the driver's business. */
static char *state_of(const Kit *kit) {
        static const char *const keys[] = { STATE_KEYS };
        _cleanup_free_ char *text = NULL;
        json_t *gpu = kit_gpu(kit), *instance, *object = json_object(), *set = json_object();
        char key[64], *result;
        size_t i;

        for (i = 0; i < ELEMENTSOF(keys); i++)
                if (json_object_get(gpu, keys[i]))
                        json_object_set(object, keys[i], json_object_get(gpu, keys[i]));
        json_array_foreach(json_object_get(gpu, "instances"), i, instance) {
                (void) snprintf(key, sizeof(key), "%lld@%lld", (long long) json_integer_value(json_object_get(instance, "profile")),
                                (long long) json_integer_value(json_object_get(instance, "start")));
                json_object_set_new(set, key, json_boolean(json_is_true(json_object_get(instance, "compute"))));
        }
        json_object_set_new(object, "instances", set);
        text = json_dumps(object, JSON_SORT_KEYS);
        assert_true(asprintf(&result, "%s functions %u", text, kit->functions) > 0);
        json_decref(object);
        json_decref(gpu);
        return result;
}

static void set_state(const Kit *kit, const char *text) {
        json_t *gpu = kit_gpu(kit), *more = json_loads(text, 0, NULL);

        assert_non_null(more);
        json_object_update(gpu, more);
        json_decref(more);
        kit_put_gpu(kit, gpu);
}

static void set_fault(const Kit *kit, const char *call, int result, int skip) {
        json_t *gpu = kit_gpu(kit);

        if (call)
                json_object_set_new(gpu, "faults", json_pack("{s:{s:i, s:i}}", call, "result", result, "skip", skip));
        else
                json_object_del(gpu, "faults");
        kit_put_gpu(kit, gpu);
}

static void set_missing(const Kit *kit, const char *call) {
        json_t *host = json_load_file(kit->state_file, 0, NULL);

        json_object_set_new(host, "missing", json_pack("[s]", call));
        assert_int_equal(json_dump_file(host, kit->state_file, 0), 0);
        json_decref(host);
}

static int observe(Kit *kit, const PtStep *step) {
        kit->observed[0] = kit->error[0] = '\0';
        return kit_step(kit, step->name)->observe(&kit->ctx, &kit->device, step);
}

static int run(Kit *kit, const PtStep *step) {
        kit->error[0] = '\0';
        return kit_step(kit, step->name)->run(&kit->ctx, &kit->device, step);
}

static int undo(Kit *kit, const PtStep *step, const char *observed) {
        kit->error[0] = '\0';
        return kit_step(kit, step->name)->undo(&kit->ctx, &kit->device, step, observed);
}

#define MIG_ON "\"mig\": {\"current\": true, \"pending\": true}"
#define SMALL(id, at) "{\"id\": " #id ", \"profile\": 19, \"start\": " #at ", \"size\": 1, \"compute\": true}"
#define BARE(id, at) "{\"id\": " #id ", \"profile\": 19, \"start\": " #at ", \"size\": 1}"

static const struct {
        const char *model, *state; /* what the GPU is like before */
        unsigned functions;
        const char *name, *value, *observed;
} cases[] = {
        { "h100", "{}", 0, "set-mig-mode", "on", "off" },
        { "h100", "{}", 8, "set-mig-mode", "on", "off +functions" },
        { "h100", "{" MIG_ON "}", 0, "set-mig-mode", "off", "on" },
        { "h100", "{" MIG_ON ", \"instances\": [" SMALL(1, 2) ", " BARE(2, 5) "]}", 8, "set-mig-mode", "off",
          "on +functions 19@2(0) 19@5()" },
        { "h100", "{" MIG_ON "}", 0, "set-mig-mode", "on", "on" },
        { "a100d", "{}", 0, "set-mig-mode", "on", "off" },
        { "l40s", "{}", 0, "set-mig-mode", "off", "off" }, /* it has none: nothing to switch off */
        { "l40s", "{}", 0, "enable-functions", "on", "0" },
        { "l40s", "{}", 8, "enable-functions", "on", "8" },
        { "l40s", "{}", 8, "set-mixed-sizes", "on", "off" },
        { "l40s", "{\"mixed-sizes\": true}", 8, "set-mixed-sizes", "on", "on" },
        { "l40s", "{\"mixed-sizes\": true}", 8, "set-mixed-sizes", "off", "on" },
        { "h100", "{" MIG_ON "}", 8, "set-gpu-instances", "19@0 19@1 9@4", "" },
        { "h100", "{" MIG_ON ", \"instances\": [" SMALL(1, 0) ", " SMALL(2, 5) "]}", 8, "set-gpu-instances", "19@0 9@4", "19@0(0) 19@5(0)" },
        { "h100", "{" MIG_ON ", \"instances\": [" BARE(1, 0) "]}", 8, "set-gpu-instances", "19@0", "19@0()" },
        { "h100", "{" MIG_ON ", \"instances\": [" SMALL(3, 1) "]}", 8, "set-gpu-instances", "", "19@1(0)" },
        { "l40s", "{}", 8, "set-scheduler", "equal-share arr=on frequency=480 average=33", "best-effort" },
        { "l40s", "{}", 8, "set-scheduler", "fixed-share arr=off timeslice=2", "best-effort" },
        { "l40s", "{\"scheduler-state\": [3, 2, 20, 100]}", 8, "set-scheduler", "best-effort",
          "fixed-share arr=on frequency=100 average=20" },
        { "l40s", "{\"driver\": \"595.58.02\"}", 8, "set-scheduler", "fixed-share arr=on frequency=100 average=20", "best-effort" },
        { "rtx-pro-6000", "{" MIG_ON ", \"instances\": [{\"id\": 1, \"profile\": 35, \"start\": 0, \"size\": 2, \"compute\": true},"
          "{\"id\": 2, \"profile\": 35, \"start\": 2, \"size\": 2, \"compute\": true}]}", 8, "set-scheduler",
          "35@0 equal-share arr=on frequency=480 average=33; 35@2 best-effort", "35@0 best-effort; 35@2 best-effort" },
};

static void begin(Kit *kit, size_t i) {
        kit_init(kit, cases[i].model);
        set_state(kit, cases[i].state);
        kit_set_functions(kit, cases[i].functions);
}

static void test_there_and_back(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                PtStep step = make_step(cases[i].name, cases[i].value);
                _cleanup_free_ char *before = NULL, *made = NULL, *again = NULL, *after = NULL;
                char observed[1024];
                _cleanup_kit_ Kit kit;

                begin(&kit, i);
                before = state_of(&kit);
                if (observe(&kit, &step) < 0 || !streq(kit.observed, cases[i].observed))
                        fail_msg("%s %s on %s: observed '%s', not '%s'; %s", cases[i].name, cases[i].value, cases[i].state, kit.observed,
                                 cases[i].observed, kit.error);
                strcpy(observed, kit.observed);
                if (run(&kit, &step) < 0)
                        fail_msg("%s %s on %s: %s", cases[i].name, cases[i].value, cases[i].state, kit.error);
                made = state_of(&kit);
                /* Once more: it is so, and nothing is done. */
                kit.helper_words[0] = '\0';
                set_fault(&kit, NULL, 0, 0);
                assert_int_equal(run(&kit, &step), 0);
                again = state_of(&kit);
                assert_string_equal(made, again);
                assert_string_equal(kit.helper_words, "");
                /* A service that was killed undoes more often than it ran. */
                for (int k = 0; k < 2; k++) {
                        if (undo(&kit, &step, observed) < 0)
                                fail_msg("undo of %s %s: %s", cases[i].name, cases[i].value, kit.error);
                        free(after);
                        after = state_of(&kit);
                        if (strstr(before, "scheduler-state") || !streq(cases[i].name, "set-scheduler"))
                                assert_string_equal(after, before);
                        assert_int_equal(observe(&kit, &step), 0);
                        assert_string_equal(kit.observed, observed);
                }
        }
}

static const char *const calls[] = {
        "nvmlDeviceGetHandleByPciBusId_v2",      "nvmlDeviceGetMigMode",
        "nvmlDeviceSetMigMode",                  "nvmlDeviceGetVgpuHeterogeneousMode",
        "nvmlDeviceSetVgpuHeterogeneousMode",    "nvmlDeviceGetGpuInstanceProfileInfoV",
        "nvmlDeviceGetGpuInstances",             "nvmlGpuInstanceGetInfo",
        "nvmlGpuInstanceGetComputeInstances",    "nvmlGpuInstanceCreateComputeInstance",
        "nvmlComputeInstanceDestroy",            "nvmlGpuInstanceDestroy",
        "nvmlDeviceCreateGpuInstanceWithPlacement", "nvmlDeviceGetGpuInstancePossiblePlacements_v2",
        "nvmlDeviceGetVgpuSchedulerState",       "nvmlDeviceSetVgpuSchedulerState",
        "nvmlGpuInstanceGetVgpuSchedulerState",  "nvmlGpuInstanceSetVgpuSchedulerState",
};

/* Each call of each step fails, the first time or later: what is said is a sentence that names the GPU, and what was begun is
 * undone from what was observed before. */
static void test_every_call_fails(void **state) {
        static const int results[] = { NVML_ERROR_GPU_IS_LOST, NVML_ERROR_IN_USE };
        unsigned failed = 0;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t c = 0; c < ELEMENTSOF(calls); c++)
                        for (size_t k = 0; k < 2 * ELEMENTSOF(results); k++) {
                                PtStep step = make_step(cases[i].name, cases[i].value);
                                _cleanup_free_ char *before = NULL, *after = NULL;
                                char observed[1024];
                                _cleanup_kit_ Kit kit;

                                begin(&kit, i);
                                before = state_of(&kit);
                                assert_int_equal(observe(&kit, &step), 0);
                                strcpy(observed, kit.observed);
                                set_fault(&kit, calls[c], results[k / 2], k % 2 ? 1 : 0);
                                if (run(&kit, &step) >= 0) {
                                        if (k == 0)
                                                break; /* it does not come to that call */
                                        continue;
                                }
                                failed++;
                                if (!strstr(kit.error, KIT_ADDRESS) || strlen(kit.error) < 20)
                                        fail_msg("%s %s, %s answers %d: '%s'", cases[i].name, cases[i].value, calls[c],
                                                 results[k / 2], kit.error);
                                set_fault(&kit, NULL, 0, 0);
                                if (undo(&kit, &step, observed) < 0)
                                        fail_msg("%s %s, %s answers %d: undo: %s", cases[i].name, cases[i].value, calls[c],
                                                 results[k / 2], kit.error);
                                after = state_of(&kit);
                                if (strstr(before, "scheduler-state") || !streq(cases[i].name, "set-scheduler"))
                                        assert_string_equal(after, before);
                                assert_int_equal(observe(&kit, &step), 0);
                                assert_string_equal(kit.observed, observed);
                        }
        assert_true(failed > 100);
}

/* A release that lacks the call: which one has it. */
static void test_missing_calls(void **state) {
        static const struct {
                const char *model, *state, *call, *name, *value, *text;
        } missing[] = {
                { "l40s", "{}", "nvmlDeviceSetVgpuHeterogeneousMode", "set-mixed-sizes", "on", "R550" },
                { "l40s", "{}", "nvmlDeviceGetVgpuHeterogeneousMode", "set-mixed-sizes", "on", "R550" },
                { "l40s", "{}", "nvmlDeviceSetVgpuSchedulerState", "set-scheduler", "equal-share arr=off timeslice=2", "R535" },
                { "h100", "{}", "nvmlDeviceSetMigMode", "set-mig-mode", "on", "R450" },
        };

        for (size_t i = 0; i < ELEMENTSOF(missing); i++) {
                PtStep step = make_step(missing[i].name, missing[i].value);
                _cleanup_kit_ Kit kit;

                kit_init(&kit, missing[i].model);
                set_state(&kit, missing[i].state);
                set_missing(&kit, missing[i].call);
                assert_true(run(&kit, &step) < 0);
                if (!strstr(kit.error, missing[i].text))
                        fail_msg("without %s: %s", missing[i].call, kit.error);
        }
}

static void test_what_is_said(void **state) {
        static const struct {
                const char *model, *state;
                unsigned functions;
                const char *name, *value;
                int error;
                const char *texts[3];
        } said[] = {
                /* Who is in the way, by name. */
                { "l40s", "{\"vms\": {\"0000:3b:00.4\": \"1c0ffee1-0000-4000-8000-000000000001\"}, \"vgpus\": [{\"name\": \"0000:3b:00.4\", "
                          "\"type\": 1155, \"instance\": -1, \"placement\": 65535, \"open\": true}]}",
                  8, "set-mixed-sizes", "on", -EBUSY, { "in use", "vGPU NVIDIA L40S-", "1c0ffee1" } },
                { "l40s", "{\"vgpus\": [{\"name\": \"0000:3b:00.4\", \"type\": 1155, \"instance\": -1, \"placement\": 65535, \"open\": true}]}", 8,
                  "set-scheduler", "equal-share", -EBUSY, { "only while it has no vGPUs", "vGPU NVIDIA L40S-" } },
                { "h100", "{" MIG_ON ", \"instances\": [" SMALL(1, 0) "], \"vgpus\": [{\"name\": \"0000:3b:00.4\", \"type\": 821, \"instance\": 1, "
                          "\"placement\": 65535, \"open\": true}]}",
                  8, "set-gpu-instances", "9@0", -EBUSY, { "19@0", "is in the way of another", "vGPU " } },
                /* By something that is no vGPU. */
                { "h100", "{\"clients\": 1}", 0, "set-mig-mode", "on", -EBUSY, { "in use", "not by a vGPU" } },
                { "a100d", "{\"reset-refused\": true}", 0, "set-mig-mode", "on", -EAGAIN, { "only after a reset", "--gpu-reset", "reboot" } },
                { "l40s", "{}", 0, "set-mig-mode", "on", -EOPNOTSUPP, { "has no MIG" } },
                { "h100", "{" MIG_ON "}", 0, "set-mixed-sizes", "on", -EOPNOTSUPP, { "17.2", "MIG" } },
                { "h100", "{" MIG_ON "}", 0, "set-gpu-instances", "77@0", -EINVAL, { "no place", "profile 77" } },
                { "h100", "{" MIG_ON "}", 0, "set-gpu-instances", "19@7", -EINVAL, { "no place at memory slice 7" } },
                { "h100", "{" MIG_ON "}", 0, "set-gpu-instances", "some", -EINVAL, { "some" } },
                { "l40s", "{}", 0, "set-scheduler", "some", -EINVAL, { "some" } },
                { "l40s", "{\"driver\": \"595.58.02\"}", 0, "set-scheduler", "equal-share arr=off timeslice=2", -EOPNOTSUPP,
                  { "595.58.02", "strict round robin" } },
                { "h100", "{" MIG_ON "}", 0, "set-scheduler", "19@0 equal-share", -ENOENT, { "no GPU instance 19@0" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(said); i++) {
                PtStep step = make_step(said[i].name, said[i].value);
                _cleanup_kit_ Kit kit;
                int r;

                kit_init(&kit, said[i].model);
                set_state(&kit, said[i].state);
                kit_set_functions(&kit, said[i].functions);
                r = run(&kit, &step);
                if (r != said[i].error)
                        fail_msg("%s %s on %s: %s, '%s'", said[i].name, said[i].value, said[i].state, strerrorname_np(-r), kit.error);
                for (size_t k = 0; k < ELEMENTSOF(said[i].texts) && said[i].texts[k]; k++)
                        if (!strstr(kit.error, said[i].texts[k]))
                                fail_msg("'%s' does not speak of '%s'", kit.error, said[i].texts[k]);
        }
}

/* The mode that waits for a reset is withdrawn: it would come when nobody counts on it. */
static void test_pending_mode_is_withdrawn(void **state) {
        PtStep step = make_step("set-mig-mode", "on");
        _cleanup_kit_ Kit kit;
        json_t *gpu;

        kit_init(&kit, "a100d");
        set_state(&kit, "{\"reset-refused\": true}");
        assert_int_equal(run(&kit, &step), -EAGAIN);
        gpu = kit_gpu(&kit);
        assert_true(json_is_false(json_object_get(json_object_get(gpu, "mig"), "pending")));
        json_decref(gpu);
}

/* An instance that nobody wants stays while it has a vGPU, and nothing of what goes on beside it touches it. */
static void test_beside_a_vgpu(void **state) {
        PtStep step = make_step("set-gpu-instances", "19@3 9@4"), back = make_step("set-gpu-instances", "19@3");
        _cleanup_kit_ Kit kit;
        char *text;

        kit_init(&kit, "h100");
        set_state(&kit, "{" MIG_ON ", \"instances\": [" SMALL(7, 1) ", " SMALL(8, 3) "], \"vgpus\": [{\"name\": \"0000:3b:00.4\", \"type\": 821, "
                        "\"instance\": 7, \"placement\": 65535, \"open\": true}]}");
        assert_int_equal(run(&kit, &step), 0);
        text = state_of(&kit);
        assert_non_null(strstr(text, "\"19@1\": true, \"19@3\": true, \"9@4\": true"));
        free(text);
        /* Back to a state without it is not possible, and says so. */
        assert_int_equal(undo(&kit, &back, "19@3(0)"), -EBUSY);
        assert_non_null(strstr(kit.error, "19@1"));
}

/* ---- sriov-manage ---- */

static void test_functions_busy(void **state) {
        PtStep step = make_step("enable-functions", "on");
        _cleanup_kit_ Kit kit;

        kit_init(&kit, "l40s");
        kit.busy_times = 2;
        step.timeout_ms = 240000;
        assert_int_equal(run(&kit, &step), 0);
        assert_int_equal(kit.functions, KIT_FUNCTIONS);
        assert_string_equal(kit.helper_words, "-e 0000:3b:00.0;-e 0000:3b:00.0;-e 0000:3b:00.0;");
}

/* It waits for its lock itself: that counts, or the step ends in the middle of an attempt. */
static void test_functions_busy_for_long(void **state) {
        PtStep step = make_step("enable-functions", "on");
        _cleanup_kit_ Kit kit;

        kit_init(&kit, "l40s");
        kit.busy_times = 1000;
        kit.helper_msec = 600;
        step.timeout_ms = 2000;
        assert_int_equal(run(&kit, &step), -EIO);
        assert_non_null(strstr(kit.error, "unbindLock"));
        assert_true(1000 - kit.busy_times <= 2);
}

static void test_functions_fail(void **state) {
        static const struct {
                int result;
                unsigned busy;
                int error;
                const char *text;
        } helper[] = {
                { 0, 1000, -EIO, "unbindLock" },
                { 3, 0, -EIO, "exit status 3): Failed for a reason" },
                { -ENOENT, 0, -ENOENT, "not installed" },
                { -EPERM, 0, -EPERM, "others than root" },
                { -ETIMEDOUT, 0, -ETIMEDOUT, "timed out" },
        };

        for (size_t i = 0; i < ELEMENTSOF(helper); i++) {
                PtStep step = make_step("enable-functions", "on");
                _cleanup_kit_ Kit kit;

                kit_init(&kit, "l40s");
                kit.helper_result = helper[i].result;
                kit.busy_times = helper[i].busy;
                assert_int_equal(run(&kit, &step), helper[i].error);
                if (!strcasestr(kit.error, helper[i].text))
                        fail_msg("'%s' does not speak of '%s'", kit.error, helper[i].text);
                assert_int_equal(undo(&kit, &step, "0"), 0); /* there is nothing to undo */
        }
}

/* A service of an earlier minor, and a script that does nothing. */
static void test_functions_without_helper(void **state) {
        PtStep step = make_step("enable-functions", "on");
        _cleanup_kit_ Kit kit;

        kit_init(&kit, "l40s");
        kit.services.struct_size = offsetof(PtServices, run_helper);
        assert_int_equal(run(&kit, &step), -EOPNOTSUPP);
        assert_non_null(strstr(kit.error, "sriov-manage -e 0000:3b:00.0 by hand"));
        kit.services.struct_size = sizeof(PtServices);
        kit.idle_helper = true;
        assert_int_equal(run(&kit, &step), -ETIMEDOUT);
        assert_non_null(strstr(kit.error, "there are 0"));
}

/* ---- without its driver ---- */

static void test_undo_without_driver(void **state) {
        static const char *const names[] = { "enable-functions", "set-mixed-sizes", "set-gpu-instances", "set-scheduler", "set-mig-mode" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                PtStep step = make_step(names[i], "on");
                _cleanup_kit_ Kit kit;

                kit_init(&kit, NULL); /* nor its library */
                kit.device.driver = NULL;
                kit.functions = streq(names[i], "enable-functions") ? 8 : 0;
                assert_int_equal(undo(&kit, &step, streq(names[i], "enable-functions") ? "0" : "off"), 0);
        }
}

/* An Ampere GPU keeps MIG mode whoever its driver is. */
static void test_stored_mode_without_driver(void **state) {
        PtStep step = make_step("set-mig-mode", "on");
        _cleanup_kit_ Kit kit;

        kit_init(&kit, NULL);
        kit.device.driver = NULL;
        kit_set_attribute(&kit, "device", "0x20b5");
        assert_true(undo(&kit, &step, "off") < 0);
        assert_non_null(strstr(kit.error, KIT_ADDRESS));
        assert_int_equal(undo(&kit, &step, "perhaps"), -EBADMSG);
}

/* The driver was loaded anew meanwhile and knows nothing: what is gone need not be undone. */
static void test_undo_after_reload(void **state) {
        static const struct {
                const char *name, *value, *observed;
        } undone[] = {
                { "set-scheduler", "35@0 equal-share", "35@0 best-effort" },
                { "set-gpu-instances", "35@0", "" },
                { "set-gpu-instances", "35@0", "35@2(0)" },
                { "enable-functions", "on", "0" },
                { "set-mig-mode", "on", "off" },
        };

        for (size_t i = 0; i < ELEMENTSOF(undone); i++) {
                PtStep step = make_step(undone[i].name, undone[i].value);
                _cleanup_free_ char *before = NULL, *after = NULL;
                _cleanup_kit_ Kit kit;

                kit_init(&kit, "rtx-pro-6000");
                before = state_of(&kit);
                if (undo(&kit, &step, undone[i].observed) < 0)
                        fail_msg("undo of %s: %s", undone[i].name, kit.error);
                after = state_of(&kit);
                assert_string_equal(after, before);
        }
}

static void test_library_that_is_gone(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                PtStep step = make_step(cases[i].name, cases[i].value);
                _cleanup_kit_ Kit kit;

                if (streq(cases[i].name, "enable-functions"))
                        continue;
                begin(&kit, i);
                assert_int_equal(setenv("PASSTHROUGHD_NVML", "/nonexistent/libnvidia-ml.so.1", 1), 0);
                assert_int_equal(run(&kit, &step), -ENOENT);
                assert_non_null(strstr(kit.error, "cannot be opened"));
                assert_int_equal(undo(&kit, &step, cases[i].observed), -ENOENT);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_there_and_back),
                cmocka_unit_test(test_every_call_fails),
                cmocka_unit_test(test_missing_calls),
                cmocka_unit_test(test_what_is_said),
                cmocka_unit_test(test_pending_mode_is_withdrawn),
                cmocka_unit_test(test_beside_a_vgpu),
                cmocka_unit_test(test_functions_busy),
                cmocka_unit_test(test_functions_busy_for_long),
                cmocka_unit_test(test_functions_fail),
                cmocka_unit_test(test_functions_without_helper),
                cmocka_unit_test(test_undo_without_driver),
                cmocka_unit_test(test_stored_mode_without_driver),
                cmocka_unit_test(test_undo_after_reload),
                cmocka_unit_test(test_library_that_is_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
