/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/plan.h"
#include "lib/protocol.h" /* _cleanup_json_ */
#include "test.h"

#define DEVICE "pci-0000-3b-00-0"

/* One valid step of each kind, and the corners of what is valid. */
static const PtStep good[] = {
        { .kind = PT_STEP_WRITE_ATTRIBUTE,
          .device = DEVICE,
          .name = "d3cold_allowed",
          .value = "0",
          .sentence = "s" },
        { .kind = PT_STEP_WRITE_ATTRIBUTE,
          .device = DEVICE,
          .name = "driver_override",
          .value = "\n",
          .sentence = "s" },
        { .kind = PT_STEP_SET_DRIVER,
          .flags = PT_STEP_IDEMPOTENT,
          .device = DEVICE,
          .value = "vfio-pci",
          .sentence = "bind 0000:3b:00.0 to vfio-pci",
          .timeout_ms = 5000 },
        { .kind = PT_STEP_SET_DRIVER, .device = DEVICE, .value = "", .sentence = "s" },
        { .kind = PT_STEP_RESET,
          .flags = PT_STEP_IDEMPOTENT | PT_STEP_NO_RETURN | PT_STEP_OPTIONAL,
          .device = DEVICE,
          .sentence = "Gerät zurücksetzen" },
        { .kind = PT_STEP_NODE_OWNER,
          .device = DEVICE,
          .name = "vfio/17",
          .sentence = "s",
          .uid = 64055,
          .gid = 108,
          .mode = 0600 },
        { .kind = PT_STEP_NODE_OWNER,
          .device = DEVICE,
          .name = "bus/usb/001/002",
          .sentence = "s",
          .mode = 0777 },
        { .kind = PT_STEP_LOAD_MODULE, .name = "vfio_pci", .sentence = "s" },
        { .kind = PT_STEP_WAIT, .device = DEVICE, .name = "iommu_group", .value = "", .sentence = "s" },
        { .kind = PT_STEP_WAIT,
          .device = DEVICE,
          .name = "power_state",
          .sentence = "s",
          .timeout_ms = UINT32_MAX },
        { .kind = PT_STEP_CUSTOM, .device = DEVICE, .name = "probe", .sentence = "s" },
        { .kind = PT_STEP_WAIT, .device = DEVICE, .name = "a.b", .sentence = "s" },
        { .kind = PT_STEP_WAIT, .device = DEVICE, .name = ".x", .sentence = "s" },
        { .kind = PT_STEP_WAIT, .device = DEVICE, .name = "...", .sentence = "s" },
        { .kind = PT_STEP_RESET, .device = DEVICE, .name = "unused, so any text", .sentence = "s" },
        { .kind = PT_STEP_CUSTOM,
          .device = DEVICE,
          .name = "probe",
          .value = "{\"a\":\n1}",
          .sentence = "s" },
};

static void assert_same_step(const PtStep *a, const PtStep *b) {
        assert_int_equal(a->kind, b->kind);
        assert_int_equal(a->flags, b->flags);
        assert_true(streq_null(a->device, b->device));
        assert_true(streq_null(a->name, b->name));
        assert_true(streq_null(a->value, b->value));
        assert_true(streq_null(a->sentence, b->sentence));
        assert_true(a->timeout_ms == b->timeout_ms);
        assert_true(a->uid == b->uid && a->gid == b->gid && a->mode == b->mode);
}

static void test_words(void **state) {
        static const char *const kinds[] = {
                NULL,         "write-attribute", "set-driver", "reset",
                "node-owner", "load-module",     "wait",       "custom",
                "set-vf-count",
                "create-mdev",
        };
        static const char *const verbs[] = { "activate",    "deactivate", "reset", "provision",
                                              "unprovision", "follow" };

        assert_int_equal(ELEMENTSOF(kinds), _PT_STEP_MAX);
        assert_null(step_kind_to_string(PT_STEP_INVALID));
        for (int i = 1; i < _PT_STEP_MAX; i++) {
                assert_string_equal(step_kind_to_string((PtStepKind) i), kinds[i]);
                assert_int_equal(step_kind_from_string(kinds[i]), i);
        }
        assert_null(step_kind_to_string(_PT_STEP_MAX));
        assert_null(step_kind_to_string((PtStepKind) UINT32_MAX));
        assert_int_equal((int) step_kind_from_string("bind"), -EINVAL);
        assert_int_equal((int) step_kind_from_string(NULL), -EINVAL);

        assert_int_equal(ELEMENTSOF(verbs), _PT_VERB_MAX);
        for (int i = 0; i < _PT_VERB_MAX; i++) {
                assert_string_equal(verb_to_string((PtVerb) i), verbs[i]);
                assert_int_equal(verb_from_string(verbs[i]), i);
        }
        assert_null(verb_to_string(_PT_VERB_MAX));
        assert_int_equal((int) verb_from_string(""), -EINVAL);
}

static void test_check(void **state) {
        _cleanup_fault_ Fault fault = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(step_check(&good[i], &fault), 0);
                assert_int_equal(fault.code, FAULT_NONE);
        }
}

#define WRITE(...)                                                                                          \
        {                                                                                                   \
                .kind = PT_STEP_WRITE_ATTRIBUTE, .device = DEVICE, .name = "n", .value = "v",               \
                .sentence = "s", __VA_ARGS__                                                                \
        }
#define OWNER(...)                                                                                          \
        { .kind = PT_STEP_NODE_OWNER, .device = DEVICE, .name = "vfio/17", .sentence = "s", __VA_ARGS__ }
#define LOAD(...)                                                                                           \
        { .kind = PT_STEP_LOAD_MODULE, .sentence = "s", __VA_ARGS__ }
#define DRIVER(...)                                                                                         \
        { .kind = PT_STEP_SET_DRIVER, .device = DEVICE, .sentence = "s", __VA_ARGS__ }

/* Each is a good step with one thing wrong. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const struct {
        PtStep step;
        const char *words;
} wrong[] = {
        { WRITE(.kind = PT_STEP_INVALID), "unknown kind 0" },
        { WRITE(.kind = PT_STEP_CREATE_MDEV, .value = "1"), "not a UUID" },
        { WRITE(.kind = PT_STEP_CREATE_MDEV, .value = "BB8ACA09-C739-494C-8327-CB86EFD5716E"), "in lower case" },
        { WRITE(.kind = PT_STEP_CREATE_MDEV, .name = "../mtty-1", .value = "bb8aca09-c739-494c-8327-cb86efd5716e"), "may be used" },
        { WRITE(.kind = PT_STEP_CREATE_MDEV, .value = "bb8aca09-c739-494c-8327-cb86efd5716e", .uid = UINT32_MAX), "nobody" },
        { WRITE(.kind = _PT_STEP_MAX), "unknown kind 10" },
        { WRITE(.kind = UINT32_MAX), "unknown kind" },
        { WRITE(.flags = 32), "unknown flags 0x20" },
        { WRITE(.device = NULL), "names no device" },
        { WRITE(.device = ""), "not an id" },
        { WRITE(.device = "0000:3b:00.0"), "not an id" },
        { WRITE(.device = "../../etc"), "not an id" },
        { WRITE(.name = NULL), "has no name" },
        { WRITE(.name = ""), "has no name" },
        { WRITE(.name = "."), "not one that may be used" },
        { WRITE(.name = ".."), "not one that may be used" },
        { WRITE(.name = "/"), "not one that may be used" },
        { WRITE(.name = "../driver"), "not one that may be used" },
        { WRITE(.name = "power/control"), "not one that may be used" },
        { WRITE(.name = "a\nb"), "not one that may be used" },
        { WRITE(.name = "a\xff"), "not one that may be used" },
        { WRITE(.value = NULL), "has no value" },
        { WRITE(.value = ""), "is empty" },
        { WRITE(.value = "\xff"), "UTF-8" },
        { WRITE(.sentence = NULL), "no sentence" },
        { WRITE(.sentence = ""), "no sentence" },
        { WRITE(.sentence = "a\nb"), "not clean" },
        { WRITE(.sentence = "\xff"), "not clean" },
        { DRIVER(.value = NULL), "has no value" },
        { DRIVER(.value = "../vfio-pci"), "not the name of a driver" },
        { DRIVER(.value = "vfio-pci\n"), "not the name of a driver" },
        { DRIVER(.value = ".."), "not the name of a driver" },
        { DRIVER(.value = "vfio-pci", .name = "a\xff"), "not one that may be used" },
        { OWNER(.name = NULL), "has no name" },
        { OWNER(.name = "/dev/vfio/17"), "not one that may be used" },
        { OWNER(.name = "vfio//17"), "not one that may be used" },
        { OWNER(.name = "vfio/"), "not one that may be used" },
        { OWNER(.name = "vfio/../sda"), "not one that may be used" },
        { OWNER(.name = "./sda"), "not one that may be used" },
        { OWNER(.mode = 01777), "permission bits" },
        { OWNER(.mode = 04755), "permission bits" },
        { OWNER(.uid = UINT32_MAX), "nobody" },
        { OWNER(.gid = UINT32_MAX), "nobody" },
        { LOAD(.name = NULL), "has no name" },
        { LOAD(.name = "-r"), "not one that may be used" },
        { LOAD(.name = "vfio pci"), "not one that may be used" },
        { LOAD(.name = "vfio.ko"), "not one that may be used" },
        { LOAD(.name = "../vfio"), "not one that may be used" },
        { LOAD(.name = "vfio_pci", .device = "A"), "not an id" },
        { { .kind = PT_STEP_RESET, .sentence = "s" }, "names no device" },
        { { .kind = PT_STEP_WAIT, .device = DEVICE, .sentence = "s" }, "has no name" },
        { { .kind = PT_STEP_CUSTOM, .device = DEVICE, .sentence = "s" }, "has no name" },
};
#pragma GCC diagnostic pop

static void test_check_refused(void **state) {
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_fault_ Fault fault = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                assert_int_equal(step_check(&wrong[i].step, &fault), -EINVAL);
                assert_fault(&fault, FAULT_INVALID_ARGUMENT, wrong[i].words);
                assert_int_equal(plan_append(&plan, &wrong[i].step), -EINVAL);
        }
        assert_int_equal(plan.n_steps, 0);
}

static void test_check_size(void **state) {
        _cleanup_free_ char *huge = repeat('x', MEGABYTE), *name = repeat('x', 256),
                            *value = repeat('v', 4097), *path = repeat('a', 4097), *module = repeat('m', 64),
                            *slashes = repeat('/', MEGABYTE);
        _cleanup_fault_ Fault fault = { 0 };
        PtStep step = good[0];

        step.name = huge;
        assert_int_equal(step_check(&step, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "not one that may be used");
        step.name = name;
        assert_int_equal(step_check(&step, NULL), -EINVAL);
        name[255] = '\0';
        assert_int_equal(step_check(&step, NULL), 0);
        step.value = value;
        assert_int_equal(step_check(&step, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "longer than 4096");
        value[4096] = '\0';
        assert_int_equal(step_check(&step, NULL), 0);
        step.sentence = huge;
        assert_int_equal(step_check(&step, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "too long");

        module[63] = '\0';
        step = (PtStep){ .kind = PT_STEP_LOAD_MODULE, .name = module, .sentence = "s" };
        assert_int_equal(step_check(&step, NULL), 0);
        module[63] = 'm';
        assert_int_equal(step_check(&step, NULL), -EINVAL);

        step = good[5];
        for (size_t i = 0; i < 4096; i += 2) /* a/a/a… */
                memcpy(path + i, "a/", 2);
        step.name = path;
        assert_int_equal(step_check(&step, NULL), -EINVAL);
        path[4095] = '\0';
        assert_int_equal(step_check(&step, NULL), 0);
        step.name = slashes;
        assert_int_equal(step_check(&step, NULL), -EINVAL);
        step.name = huge;
        assert_int_equal(step_check(&step, NULL), -EINVAL);
}

static void test_timeout(void **state) {
        for (int kind = 1; kind < _PT_STEP_MAX; kind++) {
                PtStep step = { .kind = (uint32_t) kind };

                assert_int_equal(step_timeout_msec(&step), STEP_TIMEOUT_MSEC);
                step.timeout_ms = 1;
                assert_int_equal(step_timeout_msec(&step), 1);
        }
}

static void test_append(void **state) {
        _cleanup_plan_ Plan plan = { 0 };
        char device[] = DEVICE, sentence[] = "reset it";
        PtStep step = { .kind = PT_STEP_RESET, .device = device, .sentence = sentence };

        assert_int_equal(plan_append(&plan, &step), 0);
        device[0] = 'X'; /* the copy is deep */
        sentence[0] = 'X';
        assert_string_equal(plan.steps[0].device, DEVICE);
        assert_string_equal(plan.steps[0].sentence, "reset it");

        while (plan.n_steps < STEPS_MAX) {
                const PtStep *next = &good[plan.n_steps % ELEMENTSOF(good)];

                assert_int_equal(plan_append(&plan, next), 0);
                assert_same_step(&plan.steps[plan.n_steps - 1], next);
        }
        assert_int_equal(plan_append(&plan, &good[0]), -E2BIG);
        assert_int_equal(plan.n_steps, STEPS_MAX);
        assert_string_equal(plan.steps[0].sentence, "reset it");

        plan_done(&plan);
        assert_int_equal(plan.n_steps, 0);
        assert_null(plan.steps);
        plan_done(NULL);
        step_done(NULL);
}

static void test_step_json(void **state) {
        static const char expected[] =
                "{\"device\": \"" DEVICE "\", \"flags\": [\"idempotent\"], \"kind\": \"set-driver\", "
                "\"sentence\": \"bind 0000:3b:00.0 to vfio-pci\", \"timeout_ms\": 5000, \"value\": "
                "\"vfio-pci\"}";
        _cleanup_json_ json_t *json = step_to_json(&good[2]);
        _cleanup_free_ char *text = NULL;

        assert_non_null(json);
        text = json_dumps(json, JSON_SORT_KEYS);
        assert_string_equal(text, expected);
        assert_null(step_to_json(&(PtStep){ .kind = PT_STEP_INVALID }));
        assert_null(step_to_json(&(PtStep){ .kind = PT_STEP_RESET, .device = "\xff" }));
}

static void test_json_round_trip(void **state) {
        _cleanup_plan_ Plan plan = { 0 }, read = { 0 };
        _cleanup_json_ json_t *json = NULL, *parsed = NULL;
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_int_equal(plan_append(&plan, &good[i]), 0);
        json = plan_to_json(&plan);
        assert_non_null(json);
        text = json_dumps(json, 0);
        assert_non_null(text);
        parsed = json_loads(text, 0, NULL);
        assert_non_null(parsed);

        assert_int_equal(plan_from_json(parsed, &read, NULL), 0);
        assert_int_equal(read.n_steps, ELEMENTSOF(good));
        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_same_step(&read.steps[i], &good[i]);

        /* A plan that was read can be appended to, whatever its length. */
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(plan_append(&read, &good[i]), 0);
                assert_same_step(&read.steps[read.n_steps - 1], &good[i]);
        }
}

static void test_json_zero(void **state) {
        _cleanup_json_ json_t *json = json_pack("{s:s, s:s, s:s, s:i, s:i, s:[]}", "kind", "reset", "device",
                                                "a", "sentence", "s", "uid", 0, "timeout_ms", 0, "flags");
        PtStep step = { 0 };

        assert_int_equal(step_from_json(json, &step, NULL), 0);
        assert_same_step(&step, &(PtStep){ .kind = PT_STEP_RESET, .device = "a", .sentence = "s" });
        step_done(&step);
}

static void test_empty_json(void **state) {
        _cleanup_plan_ Plan plan = { 0 }, read = { 0 };
        _cleanup_json_ json_t *json = plan_to_json(&plan);

        assert_int_equal(json_array_size(json), 0);
        assert_int_equal(plan_from_json(json, &read, NULL), 0);
        assert_int_equal(read.n_steps, 0);
        assert_int_equal(plan_append(&read, &good[0]), 0);
        assert_int_equal(plan_append(&read, &good[1]), 0);
}

static void test_json_refused(void **state) {
        static const struct {
                const char *json, *words;
        } bad[] = {
                { "{}", "not a JSON array" },
                { "[[]]", "not a JSON object" },
                { "[null]", "not a JSON object" },
                { "[{}]", "unknown kind" },
                { "[{\"kind\": \"format-disk\"}]", "unknown kind" },
                { "[{\"kind\": 3}]", "unknown kind" },
                { "[{\"kind\": null}]", "unknown kind" },
                { "[{\"kind\": \"reset\"}]", "no device" },
                { "[{\"kind\": \"reset\", \"flags\": 1}]", "not an array" },
                { "[{\"kind\": \"reset\", \"flags\": [\"careful\"]}]", "unknown flag" },
                { "[{\"kind\": \"reset\", \"flags\": [1]}]", "unknown flag" },
                { "[{\"kind\": \"reset\", \"device\": 1}]", "\"device\" of a step is not text" },
                { "[{\"kind\": \"reset\", \"device\": null}]", "\"device\" of a step is not text" },
                { "[{\"kind\": \"reset\", \"name\": \"a\\u0000b\"}]", "NUL" },
                { "[{\"kind\": \"reset\", \"uid\": -1}]", "\"uid\" of a step is -1" },
                { "[{\"kind\": \"reset\", \"gid\": 4294967296}]", "\"gid\" of a step is 4294967296" },
                { "[{\"kind\": \"reset\", \"timeout_ms\": 1.5}]", "not a whole number" },
                { "[{\"kind\": \"reset\", \"mode\": \"0600\"}]", "not a whole number" },
                { "[{\"kind\": \"reset\", \"path\": \"/etc\"}]", "unknown member \"path\"" },
                { "[{\"kind\": \"write-attribute\", \"device\": \"a\", \"name\": \"../x\", \"value\": "
                  "\"1\", "
                  "\"sentence\": \"s\"}]",
                  "not one that may be used" },
        };
        _cleanup_fault_ Fault fault = { 0 };
        Plan plan = { .n_steps = 42 };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_json_ json_t *json = json_loads(bad[i].json, JSON_ALLOW_NUL, NULL);

                assert_non_null(json);
                assert_int_equal(plan_from_json(json, &plan, &fault), -EINVAL);
                assert_fault(&fault, FAULT_INVALID_ARGUMENT, bad[i].words);
        }
        assert_int_equal(plan_from_json(NULL, &plan, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "not a JSON array");
        assert_int_equal(plan.n_steps, 42); /* untouched */
}

/* A good beginning does not leak when the end is bad, and too many steps are counted before any is read. */
static void test_json_large(void **state) {
        _cleanup_json_ json_t *json = json_array(), *step = step_to_json(&good[2]);
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_plan_ Plan plan = { 0 };

        for (size_t i = 0; i < STEPS_MAX - 1; i++)
                assert_int_equal(json_array_append(json, step), 0);
        assert_int_equal(json_array_append_new(json, json_integer(1)), 0);
        assert_int_equal(plan_from_json(json, &plan, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "not a JSON object");

        assert_int_equal(json_array_set(json, STEPS_MAX - 1, step), 0);
        assert_int_equal(plan_from_json(json, &plan, &fault), 0);
        assert_int_equal(plan.n_steps, STEPS_MAX);
        assert_int_equal(plan_append(&plan, &good[0]), -E2BIG);

        assert_int_equal(json_array_append(json, step), 0);
        assert_int_equal(plan_from_json(json, &plan, &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "513 steps");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),         cmocka_unit_test(test_check),
                cmocka_unit_test(test_check_refused), cmocka_unit_test(test_check_size),
                cmocka_unit_test(test_timeout),       cmocka_unit_test(test_append),
                cmocka_unit_test(test_step_json),     cmocka_unit_test(test_json_round_trip),
                cmocka_unit_test(test_json_zero),     cmocka_unit_test(test_empty_json),
                cmocka_unit_test(test_json_refused),  cmocka_unit_test(test_json_large),
        };

        return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
