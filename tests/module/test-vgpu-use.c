/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is measured of GPUs and vGPUs, against the stand-in of NVIDIA's library; and which guest drivers go with which hosts. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/protocol.h"
#include "modules/vgpu/nvml-use.h"
#include "modules/vgpu/vgpu-guest-driver.h"

#define ADDRESS "0000:3b:00.0"

static char state_file[] = "/tmp/passthroughd-use-XXXXXX";

static json_t *load_model(const char *name) {
        char path[512];
        json_t *model;

        (void) snprintf(path, sizeof(path), "%s/%s.json", FAKE_NVML_GPUS, name);
        model = json_load_file(path, 0, NULL);
        assert_non_null(model);
        return model;
}

/* The GPU with what the text has beside the model. */
static void install(const char *model, const char *changes) {
        _cleanup_json_ json_t *host = load_model(model), *object = json_loads(changes, 0, NULL);

        assert_non_null(object);
        assert_int_equal(json_object_update(json_array_get(json_object_get(host, "gpus"), 0), object), 0);
        assert_int_equal(json_dump_file(host, state_file, JSON_INDENT(1)), 0);
}

static json_t *measure(const char *library) {
        _cleanup_free_ char *why = NULL;
        _cleanup_nvml_ Nvml nvml = { 0 };
        json_t *use = NULL;

        if (nvml_open(library, &nvml, &why) < 0 || nvml_read_use(&nvml, ADDRESS, &use, &why) < 0)
                fail_msg("%s", why);
        return use;
}

static void check_text(const json_t *object, const char *key, const char *value) {
        const char *text = json_string_value(json_object_get(object, key));

        if (!streq_null(text, value))
                fail_msg("%s is %s, not %s", key, strempty(text), strempty(value));
}

static void check_number(const json_t *object, const char *key, json_int_t value) {
        if (!json_is_integer(json_object_get(object, key)) || json_integer_value(json_object_get(object, key)) != value)
                fail_msg("%s is not %" JSON_INTEGER_FORMAT " in %s", key, value, json_dumps(object, 0));
}

static void test_gpu(void **state) {
        _cleanup_json_ json_t *use = NULL;

        install("l40s", "{\"use\": {\"gpu\": 37, \"memory\": 12, \"encoder\": 5, \"decoder\": 6, \"framebuffer-used\": 1000, "
                        "\"framebuffer-total\": 46068, \"temperature\": 61, \"power\": 250000}}");
        use = measure(FAKE_NVML_LIBRARY);
        check_number(use, "gpu", 37);
        check_number(use, "memory", 12);
        check_number(use, "encoder", 5);
        check_number(use, "decoder", 6);
        check_number(use, "framebuffer-used", 1000);
        check_number(use, "framebuffer-total", 46068);
        check_number(use, "temperature", 61);
        check_number(use, "power", 250000);
        check_number(use, "vgpus", 0);
        assert_int_equal(json_object_size(json_object_get(use, "unavailable")), 0);
        assert_int_equal(json_array_size(json_object_get(use, NVML_USE_INSTANCES)), 0);
}

#define TWO_VGPUS                                                                                                      \
        "{\"vgpus\": [{\"name\": \"9f5c5d50-0a63-4f3b-8d8e-1c6c2f9f0001\", \"type\": 1148, \"instance\": 0, "          \
        "\"placement\": 8, \"open\": true}, {\"name\": \"0000:3b:00.5\", \"type\": 1149, \"instance\": 0, "            \
        "\"placement\": 24, \"open\": true}, {\"name\": \"0000:3b:00.6\", \"type\": 1149, \"instance\": 0, "           \
        "\"placement\": 36, \"open\": false}], \"vms\": {\"0000:3b:00.5\": \"VM-5\"}, "                                \
        "\"vgpu-use\": {\"0000:3b:00.5\": {\"gpu\": 40, \"memory\": 20, \"encoder\": 3, \"decoder\": 4, "              \
        "\"framebuffer-used\": 2048, \"licence\": 5, \"expires\": [2027, 3, 4, 5, 6, 7], "                             \
        "\"guest-driver\": \"550.54.14\"}}}"

static void check_vgpus(const json_t *use, bool placements) {
        json_t *vgpus = json_object_get(use, NVML_USE_INSTANCES);
        const json_t *starting = json_array_get(vgpus, 0), *running = json_array_get(vgpus, 1);

        assert_int_equal(json_array_size(vgpus), 2); /* the third is not in use */
        check_number(use, "vgpus", 2);
        check_text(starting, "mdev", "9f5c5d50-0a63-4f3b-8d8e-1c6c2f9f0001");
        check_text(starting, "profile", "NVIDIA L40S-8Q");
        check_text(starting, "licence", "uninitialised");
        check_text(starting, "guest-driver", NULL);
        assert_null(json_object_get(starting, "gpu")); /* not sampled: not zero */
        check_text(running, "vm", "VM-5");
        check_text(running, "profile", "NVIDIA L40S-12Q");
        check_number(running, "type", 1149);
        check_number(running, "gpu", 40);
        check_number(running, "memory", 20);
        check_number(running, "encoder", 3);
        check_number(running, "decoder", 4);
        check_number(running, "framebuffer-used", 2048);
        check_number(running, "framebuffer-total", 12288);
        check_text(running, "licence", "licensed");
        check_text(running, "licence-expires", "2027-03-04T05:06:07Z");
        check_text(running, "guest-driver", "550.54.14");
        if (placements)
                check_number(running, "placement", 24);
        else
                assert_null(json_object_get(running, "placement"));
}

static void test_vgpus(void **state) {
        _cleanup_json_ json_t *use = NULL;

        install("l40s", TWO_VGPUS);
        use = measure(FAKE_NVML_LIBRARY);
        check_vgpus(use, true);
}

/* Another call, and no placements; the rest is the same. */
static void test_old_release(void **state) {
        _cleanup_json_ json_t *use = NULL;

        install("l40s", TWO_VGPUS);
        use = measure(FAKE_NVML_OLD_LIBRARY);
        check_vgpus(use, false);
}

/* What is not measured is said, and is not zero. */
static void test_mig(void **state) {
        _cleanup_json_ json_t *use = NULL;
        json_t *unavailable;

        install("h100", "{\"mig\": {\"current\": true, \"pending\": true}, \"vgpus\": [{\"name\": \"0000:3b:00.4\", "
                        "\"type\": 821, \"instance\": 1, \"placement\": 0, \"open\": true}]}");
        use = measure(FAKE_NVML_LIBRARY);
        unavailable = json_object_get(use, "unavailable");
        assert_null(json_object_get(use, "gpu"));
        assert_null(json_object_get(use, "memory"));
        check_text(unavailable, "gpu", "not measured while the GPU is divided by MIG");
        check_text(unavailable, "memory", "not measured while the GPU is divided by MIG");
        check_text(unavailable, "vgpu-utilisation", "not measured while the GPU is divided by MIG");
        assert_non_null(json_object_get(use, "temperature"));
        assert_int_equal(json_array_size(json_object_get(use, NVML_USE_INSTANCES)), 1);
        check_number(json_array_get(json_object_get(use, NVML_USE_INSTANCES), 0), "gpu-instance", 1);
}

/* Calls that fail leave their members out; a GPU that is not there says so. */
static void test_failing(void **state) {
        _cleanup_json_ json_t *use = NULL;
        _cleanup_nvml_ Nvml nvml = { 0 };
        _cleanup_free_ char *why = NULL;
        json_t *none = NULL;

        install("l40s", "{\"faults\": {\"nvmlDeviceGetUtilizationRates\": 999, \"nvmlDeviceGetActiveVgpus\": 15}}");
        use = measure(FAKE_NVML_LIBRARY);
        check_text(json_object_get(use, "unavailable"), "gpu", "the driver gives no reason");
        check_text(json_object_get(use, "unavailable"), "vgpus", "the GPU has fallen off the bus");
        assert_null(json_object_get(use, "vgpus"));
        assert_int_equal(nvml_open(FAKE_NVML_LIBRARY, &nvml, &why), 0);
        assert_int_equal(nvml_read_use(&nvml, "0000:ff:00.0", &none, &why), -ENOENT);
        assert_non_null(strstr(why, "0000:ff:00.0"));
}

static void test_guest_drivers(void **state) {
        static const struct {
                const char *host, *guest;
                VgpuGuestDriver expected;
        } cases[] = {
                { "550.163.02", "550.163.01", VGPU_GUEST_DRIVER_FITS },
                { "550.163.02", "550.54.14", VGPU_GUEST_DRIVER_FITS },
                { "550.163.02", "550.163.02", VGPU_GUEST_DRIVER_FITS },
                { "550.54.10", "550.163.01", VGPU_GUEST_DRIVER_NEWER },
                { "550.163.02", "553.74", VGPU_GUEST_DRIVER_FITS },     /* Windows: its numbers can't be compared */
                { "550.163.02", "570.86.10", VGPU_GUEST_DRIVER_NEWER },
                { "550.163.02", "573.07", VGPU_GUEST_DRIVER_NEWER },
                { "550.163.02", "535.154.05", VGPU_GUEST_DRIVER_FITS }, /* the branch before */
                { "550.163.02", "538.33", VGPU_GUEST_DRIVER_FITS },
                { "550.163.02", "525.60.13", VGPU_GUEST_DRIVER_TOO_OLD },
                { "570.86.16", "535.154.05", VGPU_GUEST_DRIVER_TOO_OLD },
                { "580.65.05", "570.86.10", VGPU_GUEST_DRIVER_FITS },
                { "580.65.05", "535.154.05", VGPU_GUEST_DRIVER_FITS },  /* the long-term branch before */
                { "580.65.05", "550.163.01", VGPU_GUEST_DRIVER_TOO_OLD },
                { "595.58.02", "535.154.05", VGPU_GUEST_DRIVER_TOO_OLD }, /* of no long-term branch itself */
                { "595.58.02", "580.65.05", VGPU_GUEST_DRIVER_FITS },
                { "525.60.12", "525.147.05", VGPU_GUEST_DRIVER_FITS },  /* any release of this branch */
                { "525.60.12", "510.47.03", VGPU_GUEST_DRIVER_FITS },
                { "525.60.12", "470.63.01", VGPU_GUEST_DRIVER_TOO_OLD },
                { "470.63.01", "525.60.12", VGPU_GUEST_DRIVER_NEWER },
                { "550.163.02", "Not Available", VGPU_GUEST_DRIVER_UNKNOWN },
                { "550.163.02", "", VGPU_GUEST_DRIVER_UNKNOWN },
                { "550.163.02", "390.157", VGPU_GUEST_DRIVER_UNKNOWN },
                { "550.163.02", "550.", VGPU_GUEST_DRIVER_UNKNOWN },
                { "550.163.02", "1.2.3.4.5", VGPU_GUEST_DRIVER_UNKNOWN },
                { "550.163.02", "99999999999999999999", VGPU_GUEST_DRIVER_UNKNOWN },
                { "", "550.163.01", VGPU_GUEST_DRIVER_UNKNOWN },
                { NULL, NULL, VGPU_GUEST_DRIVER_UNKNOWN },
        };
        char text[VGPU_GUEST_DRIVER_TEXT_SIZE], remedy[VGPU_GUEST_DRIVER_TEXT_SIZE];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                VgpuGuestDriver found = vgpu_guest_driver_check(cases[i].host, cases[i].guest);

                if (found != cases[i].expected)
                        fail_msg("%s with %s: %s, not %s", strempty(cases[i].guest), strempty(cases[i].host),
                                 vgpu_guest_driver_to_string(found), vgpu_guest_driver_to_string(cases[i].expected));
        }
        vgpu_guest_driver_explain("550.163.02", "525.60.13", VGPU_GUEST_DRIVER_TOO_OLD, text, remedy);
        assert_string_equal(text, "the guest's driver 525.60.13 (R525, vGPU 15) is older than what the host's 550.163.02 (R550, "
                                  "vGPU 17) supports");
        assert_string_equal(remedy, "install the guest driver of vGPU 17, or of the branch before it, in the guest");
        vgpu_guest_driver_explain("550.163.02", "570.86.10", VGPU_GUEST_DRIVER_NEWER, text, remedy);
        assert_string_equal(text, "the guest's driver 570.86.10 (R570, vGPU 18) is newer than the host's 550.163.02 (R550, "
                                  "vGPU 17)");
        for (VgpuGuestDriver i = 0; i < _VGPU_GUEST_DRIVER_MAX; i++)
                assert_int_equal(vgpu_guest_driver_from_string(vgpu_guest_driver_to_string(i)), i);
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
                cmocka_unit_test(test_gpu),     cmocka_unit_test(test_vgpus),
                cmocka_unit_test(test_old_release), cmocka_unit_test(test_mig),
                cmocka_unit_test(test_failing), cmocka_unit_test(test_guest_drivers),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
