/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The reader of NVIDIA's library against the stand-in, and the planner over what it reads. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/protocol.h"
#include "modules/vgpu/nvml-gpu.h"
#include "modules/vgpu/vgpu-report.h"

#define ADDRESS "0000:3b:00.0"

static const struct {
        const char *file, *board;
} models[] = {
        { "a100d", "A100D" },
        { "h100", "H100" },
        { "l40s", "L40S" },
        { "rtx-pro-6000", "RTX Pro 6000 Blackwell DC" },
};

static char state_file[] = "/tmp/passthroughd-nvml-XXXXXX";

static json_t *load_model(const char *name) {
        char path[512];
        json_t *model;

        (void) snprintf(path, sizeof(path), "%s/%s.json", FAKE_NVML_GPUS, name);
        model = json_load_file(path, 0, NULL);
        assert_non_null(model);
        return model;
}

static void install(json_t *model) {
        assert_int_equal(json_dump_file(model, state_file, JSON_INDENT(1)), 0);
}

static void open_library(const char *path, Nvml *nvml) {
        _cleanup_free_ char *why = NULL;

        if (nvml_open(path, nvml, &why) < 0)
                fail_msg("%s", why);
}

static json_t *read_gpu(Nvml *nvml) {
        _cleanup_free_ char *why = NULL;
        json_t *report = NULL;

        if (nvml_read_gpu(nvml, ADDRESS, &report, &why) < 0)
                fail_msg("%s", why);
        return report;
}

/* Everything that a model states comes back. */
static void test_reads_all(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(models); i++) {
                _cleanup_json_ json_t *model = load_model(models[i].file), *report = NULL;
                _cleanup_nvml_ Nvml nvml = { 0 };
                json_t *gpu = json_array_get(json_object_get(model, "gpus"), 0), *value, *other;
                const char *key;

                install(model);
                open_library(FAKE_NVML_LIBRARY, &nvml);
                report = read_gpu(&nvml);
                json_object_foreach(report, key, value) {
                        if (streq(key, "types") || streq(key, "scheduler-now"))
                                continue; /* what is creatable follows from the mode, and of turns it has the driver's default */
                        other = json_object_get(gpu, key);
                        if (!json_equal(value, other))
                                fail_msg("%s: '%s' reads %s", models[i].file, key, json_dumps(value, JSON_ENCODE_ANY));
                }
                assert_int_equal(json_array_size(json_object_get(report, "types")),
                                 json_array_size(json_object_get(gpu, "types")));
        }
}

/* The models are those of the published tables: laid over each other nothing changes. */
static void test_report_fits_table(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(models); i++) {
                _cleanup_json_ json_t *model = load_model(models[i].file), *report = NULL;
                _cleanup_nvml_ Nvml nvml = { 0 };
                VgpuCatalogue plain, laid_over;

                install(model);
                open_library(FAKE_NVML_LIBRARY, &nvml);
                report = read_gpu(&nvml);
                vgpu_catalogue_from_board(&plain, vgpu_board_by_name(models[i].board));
                vgpu_catalogue_from_board(&laid_over, vgpu_board_by_name(models[i].board));
                assert_int_equal(vgpu_catalogue_add_report(&laid_over, report), 0);
                assert_int_equal(laid_over.n_profiles, plain.n_profiles);
                for (size_t k = 0; k < plain.n_profiles; k++) {
                        const VgpuProfile *a = &plain.profiles[k], *b = vgpu_catalogue_find(&laid_over, &a->name);

                        assert_int_equal(a->max, b->max);
                        assert_int_equal(a->n_placements, b->n_placements);
                        assert_memory_equal(a->placements, b->placements, a->n_placements * sizeof(a->placements[0]));
                        assert_int_equal(a->instance != NULL, b->instance != NULL);
                        assert_int_equal(a->per_instance, b->per_instance);
                        if (a->instance) {
                                assert_string_equal(a->instance->name, b->instance->name);
                                assert_int_equal(a->instance->starts, b->instance->starts);
                                assert_int_equal(a->instance->memory, b->instance->memory);
                                assert_int_equal(a->instance->flags, b->instance->flags);
                        }
                }
        }
}

/* A board that no table knows is planned from what its driver says. */
static void test_report_alone(void **state) {
        _cleanup_json_ json_t *model = load_model("h100"), *report = NULL;
        _cleanup_nvml_ Nvml nvml = { 0 };
        VgpuCatalogue c = { 0 };
        VgpuDemand demand = { .group = "g", .instances = 2 };
        VgpuConflict conflict;
        VgpuLayout layout;
        VgpuName name;

        install(model);
        open_library(FAKE_NVML_LIBRARY, &nvml);
        report = read_gpu(&nvml);
        assert_int_equal(vgpu_catalogue_add_report(&c, report), 0);
        assert_int_equal(vgpu_name_parse("NVIDIA H100-3-40C", &name), 0);
        demand.profile = vgpu_catalogue_find(&c, &name);
        assert_non_null(demand.profile);
        assert_int_equal(vgpu_layout(&c, &demand, 1, true, NULL, &layout, &conflict), 0);
        assert_int_equal(layout.n_instances, 2);
        demand.instances = 3;
        assert_int_equal(vgpu_layout(&c, &demand, 1, true, NULL, &layout, &conflict), -EBUSY);
}

static void test_old_release(void **state) {
        _cleanup_json_ json_t *model = load_model("l40s"), *report = NULL;
        _cleanup_nvml_ Nvml nvml = { 0 };

        install(model);
        open_library(FAKE_NVML_OLD_LIBRARY, &nvml);
        assert_false(nvml_has(&nvml, nvmlDeviceGetVgpuHeterogeneousMode));
        report = read_gpu(&nvml);
        assert_null(json_object_get(report, "mixed-sizes"));
        assert_null(json_object_get(json_array_get(json_object_get(report, "types"), 0), "placements"));
        assert_int_equal(json_array_size(json_object_get(report, "types")), 19);
        assert_int_equal(json_array_size(json_object_get(report, "unread")), 0); /* nothing is wrong with it */
}

/* One call after the other answers that the GPU is lost: the rest is read all the same. */
static void test_failing_midway(void **state) {
        static const char *const calls[] = {
                "nvmlDeviceGetName", "nvmlDeviceGetUUID", "nvmlDeviceGetVirtualizationMode", "nvmlDeviceGetHostVgpuMode",
                "nvmlDeviceGetMigMode", "nvmlDeviceGetGpuInstancePossiblePlacements_v2", "nvmlDeviceGetSupportedVgpus",
                "nvmlDeviceGetCreatableVgpus", "nvmlVgpuTypeGetMaxInstances", "nvmlDeviceGetVgpuSchedulerCapabilities",
                "nvmlDeviceGetVgpuHeterogeneousMode",
        };

        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_json_ json_t *model = load_model("a100d"), *report = NULL;
                _cleanup_nvml_ Nvml nvml = { 0 };
                json_t *gpu = json_array_get(json_object_get(model, "gpus"), 0);

                json_object_set_new(gpu, "faults", json_pack("{s:i}", calls[i], NVML_ERROR_GPU_IS_LOST));
                install(model);
                open_library(FAKE_NVML_LIBRARY, &nvml);
                report = read_gpu(&nvml);
                if (json_array_size(json_object_get(report, "unread")) == 0)
                        fail_msg("nobody is told that %s failed", calls[i]);
                assert_string_equal(json_string_value(json_object_get(report, "driver")), "580.65.05");
        }
}

static void test_no_such_gpu(void **state) {
        _cleanup_json_ json_t *model = load_model("h100"), *report = NULL;
        _cleanup_nvml_ Nvml nvml = { 0 };
        _cleanup_free_ char *why = NULL;

        install(model);
        open_library(FAKE_NVML_LIBRARY, &nvml);
        assert_int_equal(nvml_read_gpu(&nvml, "0000:99:00.0", &report, &why), -ENOENT);
        assert_non_null(strstr(why, "0000:99:00.0"));
        assert_null(report);
}

static void assert_not_opened(const char *path, int error, const char *text) {
        _cleanup_free_ char *why = NULL;
        Nvml nvml = { 0 };

        assert_int_equal(nvml_open(path, &nvml, &why), error);
        assert_null(nvml.handle);
        if (!why || !strstr(why, text))
                fail_msg("'%s' does not speak of '%s'", why ? why : "", text);
}

static void test_libraries_that_do_not_do(void **state) {
        assert_not_opened("/nonexistent/libnvidia-ml.so.1", -ENOENT, "cannot be opened");
        assert_not_opened("libm.so.6", -ENOEXEC, "nvmlInit_v2");
        assert_int_equal(unsetenv("FAKE_NVML"), 0);
        assert_not_opened(FAKE_NVML_LIBRARY, -EIO, "driver is not loaded");
        assert_int_equal(setenv("FAKE_NVML", state_file, 1), 0);
}

/* What the service kept from an older module, or somebody wrote into it. */
static void test_reports_that_make_no_sense(void **state) {
        static const char *const texts[] = {
                "{}",
                "[]",
                "{\"types\": 7, \"instance-profiles\": \"x\"}",
                "{\"types\": [{}, 7, null, {\"name\": 7}, {\"name\": \"\"}, {\"name\": \"Single port serial\"}]}",
                "{\"types\": [{\"name\": \"NVIDIA L40S-4Q\", \"placements\": [0, 2], \"placement-size\": 4}]}",
                "{\"types\": [{\"name\": \"NVIDIA L40S-4Q\", \"placements\": [4, 2], \"placement-size\": 4}]}",
                "{\"types\": [{\"name\": \"NVIDIA L40S-4Q\", \"placements\": [4, 4], \"placement-size\": 4}]}",
                "{\"types\": [{\"name\": \"NVIDIA L40S-4Q\", \"placements\": [], \"placement-size\": 0}]}",
                "{\"types\": [{\"name\": \"NVIDIA L40S-4Q\", \"placements\": [-1], \"placement-size\": 4}]}",
                "{\"types\": [{\"name\": \"NVIDIA L40S-4Q\", \"placements\": [190], \"placement-size\": 4}]}",
                "{\"types\": [{\"name\": \"NVIDIA L40S-4Q\", \"placements\": [0]}]}",
                "{\"types\": [{\"name\": \"NVIDIA L40S-1-4Q\", \"instance-profile\": 19}]}",
                "{\"instance-profiles\": [{\"id\": 1, \"name\": \"x\", \"compute\": 1, \"count\": 0, \"placements\": []}]}",
                "{\"instance-profiles\": [{\"id\": 1, \"name\": \"x\", \"compute\": 1, \"count\": 1, \"placements\": "
                "[{\"start\": 7, \"size\": 4}]}]}",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_json_ json_t *report = json_loads(texts[i], 0, NULL);
                MigPlacement instances[MIG_INSTANCES_MAX];
                VgpuCatalogue plain, c;

                vgpu_catalogue_from_board(&plain, vgpu_board_by_name("L40S"));
                vgpu_catalogue_from_board(&c, vgpu_board_by_name("L40S"));
                (void) vgpu_catalogue_add_report(&c, report);
                assert_int_equal(c.n_profiles, plain.n_profiles);
                assert_memory_equal(c.profiles, plain.profiles, sizeof(c.profiles));
                assert_int_equal(vgpu_report_instances(&c, report, instances, NULL), 0);
        }
}

/* The driver owes nobody an order; what it says outranks the table, and without places the rest of it still does. */
static void test_placements_in_any_order(void **state) {
        _cleanup_json_ json_t *report = json_loads("{\"types\": [{\"name\": \"NVIDIA L40S-24Q\", \"placements\": [24, 0, 12], "
                                                   "\"placement-size\": 12}, {\"name\": \"NVIDIA L40S-12Q\", \"max\": 3, "
                                                   "\"placements\": [], \"placement-size\": 0}]}", 0, NULL);
        const VgpuProfile *p;
        VgpuCatalogue c;
        VgpuName name;

        vgpu_catalogue_from_board(&c, vgpu_board_by_name("L40S"));
        assert_int_equal(vgpu_catalogue_add_report(&c, report), 0);
        assert_int_equal(vgpu_name_parse("L40S-24Q", &name), 0);
        p = vgpu_catalogue_find(&c, &name);
        assert_int_equal(p->n_placements, 3);
        assert_int_equal(p->placement_size, 12);
        assert_int_equal(p->placements[0], 0);
        assert_int_equal(p->placements[1], 12);
        assert_int_equal(p->placements[2], 24);
        assert_int_equal(vgpu_name_parse("L40S-12Q", &name), 0);
        p = vgpu_catalogue_find(&c, &name);
        assert_int_equal(p->max, 3);
        assert_int_equal(p->n_placements, 4);
}

/* Making and destroying instances as provisioning will: where the planner says. */
static void test_instances(void **state) {
        _cleanup_json_ json_t *model = load_model("h100"), *report = NULL;
        _cleanup_nvml_ Nvml nvml = { 0 };
        MigPlacement there[MIG_INSTANCES_MAX];
        NvmlGpuInstanceHandle instance;
        NvmlDeviceHandle device;
        VgpuCatalogue c = { 0 };
        uint32_t activation = 99;

        install(model);
        open_library(FAKE_NVML_LIBRARY, &nvml);
        assert_int_equal(nvml.nvmlDeviceGetHandleByPciBusId_v2(ADDRESS, &device), NVML_SUCCESS);
        assert_int_equal(nvml.nvmlDeviceCreateGpuInstanceWithPlacement(device, 9, &(NvmlPlacement){ 4, 4 }, &instance),
                         NVML_ERROR_NOT_SUPPORTED);
        assert_int_equal(nvml.nvmlDeviceSetMigMode(device, 1, &activation), NVML_SUCCESS);
        assert_int_equal(activation, NVML_SUCCESS);
        assert_int_equal(nvml.nvmlDeviceCreateGpuInstanceWithPlacement(device, 9, &(NvmlPlacement){ 4, 4 }, &instance),
                         NVML_SUCCESS);
        assert_int_equal(nvml.nvmlDeviceCreateGpuInstanceWithPlacement(device, 0, &(NvmlPlacement){ 0, 8 }, &instance),
                         NVML_ERROR_INSUFFICIENT_RESOURCES);
        report = read_gpu(&nvml);
        assert_int_equal(vgpu_catalogue_add_report(&c, report), 0);
        assert_int_equal(vgpu_report_instances(&c, report, there, NULL), 1);
        assert_string_equal(there[0].profile->name, "3g.40gb");
        assert_int_equal(there[0].start, 4);
        /* While there are instances the mode stays. */
        assert_int_equal(nvml.nvmlDeviceSetMigMode(device, 0, &activation), NVML_SUCCESS);
        assert_int_equal(activation, NVML_ERROR_IN_USE);
}

/* The stand-in keeps the rules that provisioning has to live with. */
static void test_modes_of_a_gpu_in_use(void **state) {
        _cleanup_json_ json_t *model = load_model("a100d"), *stored = NULL;
        json_t *gpu = json_array_get(json_object_get(model, "gpus"), 0);
        NvmlMode mixed = { .version = NVML_VERSION(NvmlMode, 1), .mode = 1 };
        uint32_t activation = 99, current, pending;
        _cleanup_nvml_ Nvml nvml = { 0 };
        NvmlGpuInstanceHandle instance;
        NvmlDeviceHandle device;

        json_object_set_new(gpu, "clients", json_integer(1));
        json_object_set_new(gpu, "faults",
                            json_pack("{s:{s:i, s:i, s:i}}", "nvmlDeviceGetMigMode", "result", NVML_ERROR_NOT_READY, "skip", 1,
                                      "times", 1));
        install(model);
        open_library(FAKE_NVML_LIBRARY, &nvml);
        assert_int_equal(nvml.nvmlDeviceGetHandleByPciBusId_v2(ADDRESS, &device), NVML_SUCCESS);
        /* In use by another client: pending, here and in the file. */
        assert_int_equal(nvml.nvmlDeviceSetMigMode(device, 1, &activation), NVML_SUCCESS);
        assert_int_equal(activation, NVML_ERROR_IN_USE);
        assert_int_equal(nvml.nvmlDeviceGetMigMode(device, &current, &pending), NVML_SUCCESS);
        assert_int_equal(current, 0);
        assert_int_equal(pending, 1);
        /* The second call was to fail, once. */
        assert_int_equal(nvml.nvmlDeviceGetMigMode(device, &current, &pending), NVML_ERROR_NOT_READY);
        assert_int_equal(nvml.nvmlDeviceGetMigMode(device, &current, &pending), NVML_SUCCESS);

        /* Another process stops using it; what it wrote counts for who has the library open. */
        stored = json_load_file(state_file, 0, NULL);
        gpu = json_array_get(json_object_get(stored, "gpus"), 0);
        assert_true(json_is_true(json_object_get(json_object_get(gpu, "mig"), "pending")));
        json_object_del(gpu, "clients");
        install(stored);
        assert_int_equal(nvml.nvmlDeviceSetMigMode(device, 1, &activation), NVML_SUCCESS);
        assert_int_equal(activation, NVML_SUCCESS);
        assert_int_equal(nvml.nvmlDeviceSetVgpuHeterogeneousMode(device, &mixed), NVML_ERROR_NOT_SUPPORTED);

        /* One instance has the media engines, and there is no eighth slice of this size. */
        assert_int_equal(nvml.nvmlDeviceCreateGpuInstanceWithPlacement(device, 20, &(NvmlPlacement){ 0, 1 }, &instance),
                         NVML_SUCCESS);
        assert_int_equal(nvml.nvmlDeviceCreateGpuInstanceWithPlacement(device, 20, &(NvmlPlacement){ 1, 1 }, &instance),
                         NVML_ERROR_INSUFFICIENT_RESOURCES);
        assert_int_equal(nvml.nvmlDeviceCreateGpuInstanceWithPlacement(device, 19, &(NvmlPlacement){ 7, 1 }, &instance),
                         NVML_ERROR_INVALID_ARGUMENT);
}

/* Strict round robin cannot be switched off from release 595 on, in whichever call. */
static void test_schedulers_of_two_releases(void **state) {
        static const struct {
                const char *driver;
                NvmlReturn off, second;
        } releases[] = {
                { "580.65.05", NVML_SUCCESS, NVML_ERROR_FUNCTION_NOT_FOUND },
                { "595.58.02", NVML_ERROR_NOT_SUPPORTED, NVML_SUCCESS },
        };

        for (size_t i = 0; i < ELEMENTSOF(releases); i++) {
                NvmlSchedulerState2 second = { .engine = NVML_ENGINE_GRAPHICS, .policy = 2, .frequency_or_timeslice = 480 };
                NvmlSchedulerState off = { .policy = 2, .arr = 1, .average_or_timeslice = 5000000 };
                _cleanup_json_ json_t *model = load_model("l40s");
                _cleanup_nvml_ Nvml nvml = { 0 };
                NvmlDeviceHandle device;

                json_object_set_new(json_array_get(json_object_get(model, "gpus"), 0), "driver",
                                    json_string(releases[i].driver));
                install(model);
                open_library(FAKE_NVML_LIBRARY, &nvml);
                assert_int_equal(nvml.nvmlDeviceGetHandleByPciBusId_v2(ADDRESS, &device), NVML_SUCCESS);
                assert_int_equal(nvml.nvmlDeviceSetVgpuSchedulerState(device, &off), releases[i].off);
                assert_int_equal(nvml.nvmlDeviceSetVgpuSchedulerState_v2(device, &second), releases[i].second);
        }
}

static int set_up(void **state) {
        int fd = mkstemp(state_file);

        if (fd < 0)
                return -1;
        (void) close(fd);
        return setenv("FAKE_NVML", state_file, 1);
}

static int tear_down(void **state) {
        return unlink(state_file);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reads_all),
                cmocka_unit_test(test_report_fits_table),
                cmocka_unit_test(test_report_alone),
                cmocka_unit_test(test_old_release),
                cmocka_unit_test(test_failing_midway),
                cmocka_unit_test(test_no_such_gpu),
                cmocka_unit_test(test_libraries_that_do_not_do),
                cmocka_unit_test(test_reports_that_make_no_sense),
                cmocka_unit_test(test_placements_in_any_order),
                cmocka_unit_test(test_instances),
                cmocka_unit_test(test_modes_of_a_gpu_in_use),
                cmocka_unit_test(test_schedulers_of_two_releases),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
