/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/socket.h>

#include "lib/plan.h"
#include "lib/protocol.h" /* _cleanup_json_ */
#include "lib/schema.h"
#include "lib/sysfs.h"
#include "lib/value-util.h"
#include "test.h"

/* Memory that runs out: every function is run again and again, with the first, the second, the third …
 * allocation failing, until it succeeds. Each failure must be -ENOMEM (with its fault), leave the output
 * alone and, which the sanitizers see, lose nothing.
 *
 * The library's calls of the allocator are redirected here by the linker (--wrap), jansson's by its own
 * hook. */

static int allocations_left = -1; /* -1: as many as wanted */
static unsigned denied;

static bool deny(void) {
        if (allocations_left < 0)
                return false;
        if (allocations_left-- > 0)
                return false;
        allocations_left = 0;
        denied++;
        return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) {
        return deny() ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size) {
        return deny() ? NULL : __real_calloc(n, size);
}

void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size) {
        return deny() ? NULL : __real_reallocarray(p, n, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text) {
        return deny() ? NULL : __real_strdup(text);
}

char *__real_strndup(const char *text, size_t length);
char *__wrap_strndup(const char *text, size_t length);
char *__wrap_strndup(const char *text, size_t length) {
        return deny() ? NULL : __real_strndup(text, length);
}

static void *jansson_malloc(size_t size) {
        return deny() ? NULL : __real_malloc(size);
}

/* Calls `attempt` until it returns something else than -ENOMEM; at least one call must have been denied
 * memory. */
static int starve(int (*attempt)(void *userdata, Fault *fault), void *userdata) {
        for (int i = 0;; i++) {
                _cleanup_fault_ Fault fault = { 0 };
                int r;

                denied = 0;
                allocations_left = i;
                r = attempt(userdata, &fault);
                allocations_left = -1;

                if (denied == 0) {
                        assert_true(i > 0);
                        return r;
                }
                assert_int_equal(r, -ENOMEM);
                if (fault.code != FAULT_NONE)
                        assert_int_equal(fault.code, FAULT_NO_MEMORY);
                assert_true(i < 1000);
        }
}

static const char *const words[] = { "a", "b", "c", NULL };
static const PtStep step = { .kind = PT_STEP_SET_DRIVER,
                             .flags = PT_STEP_IDEMPOTENT,
                             .device = "pci-0",
                             .name = "1-2:1.0",
                             .value = "vfio-pci",
                             .sentence = "bind it",
                             .timeout_ms = 5 };

static int copy_value(void *userdata, Fault *fault) {
        PtValue value = PT_VALUE_INT32(42);
        int r = value_copy(userdata, &value);

        if (r < 0)
                assert_true(value.type == PT_INT32 && value.i == 42);
        value_done(&value);
        return r;
}

static void test_value_copy(void **state) {
        assert_int_equal(starve(copy_value, &PT_VALUE_STRING("text")), 0);
        assert_int_equal(starve(copy_value, &PT_VALUE_STRV(words)), 0);
}

static int parse_value(void *userdata, Fault *fault) {
        PtValue value = { 0 };
        int r = value_parse(*(uint32_t *) userdata, "a,b,c", "it", &value, fault);

        assert_true(r >= 0 || value.type == PT_NONE);
        value_done(&value);
        return r;
}

static void test_value_parse(void **state) {
        assert_int_equal(starve(parse_value, &(uint32_t){ PT_STRING }), 0);
        assert_int_equal(starve(parse_value, &(uint32_t){ PT_STRV }), 0);
}

static int format_value(void *userdata, Fault *fault) {
        char *text = NULL;
        int r = value_format(userdata, &text);

        assert_true(r >= 0 || !text);
        free(text);
        return r;
}

static void test_value_format(void **state) {
        assert_int_equal(starve(format_value, &PT_VALUE_STRV(words)), 0);
}

static int write_value(void *userdata, Fault *fault) {
        json_t *json = value_to_json(userdata);

        json_decref(json);
        return json ? 0 : -ENOMEM;
}

static int read_value(void *userdata, Fault *fault) {
        PtValue value = { 0 };
        int r = value_from_json(PT_STRV, userdata, "it", &value, fault);

        assert_true(r >= 0 || value.type == PT_NONE);
        value_done(&value);
        return r;
}

static void test_value_json(void **state) {
        _cleanup_json_ json_t *list = value_to_json(&PT_VALUE_STRV(words));

        assert_int_equal(starve(write_value, &PT_VALUE_STRV(words)), 0);
        assert_int_equal(starve(write_value, &PT_VALUE_UINT64(UINT64_MAX)), 0);
        assert_int_equal(starve(read_value, list), 0);
}

static int append_step(void *userdata, Fault *fault) {
        Plan *plan = userdata;
        size_t n = plan->n_steps;
        int r = plan_append(plan, &step);

        assert_int_equal(plan->n_steps, r < 0 ? n : n + 1);
        return r;
}

static void test_plan_append(void **state) {
        _cleanup_plan_ Plan plan = { 0 };

        for (int i = 0; i < 5; i++)
                assert_int_equal(starve(append_step, &plan), 0);
        for (int i = 0; i < 5; i++)
                assert_string_equal(plan.steps[i].sentence, "bind it");
}

static int write_plan(void *userdata, Fault *fault) {
        json_t *json = plan_to_json(userdata);

        json_decref(json);
        return json ? 0 : -ENOMEM;
}

static int read_plan(void *userdata, Fault *fault) {
        Plan plan = { 0 };
        int r = plan_from_json(userdata, &plan, fault);

        assert_true(r >= 0 || (!plan.steps && plan.n_steps == 0));
        plan_done(&plan);
        return r;
}

static void test_plan_json(void **state) {
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_json_ json_t *json = NULL;

        for (int i = 0; i < 3; i++)
                assert_int_equal(plan_append(&plan, &step), 0);
        json = plan_to_json(&plan);
        assert_int_equal(starve(write_plan, &plan), 0);
        assert_int_equal(starve(read_plan, json), 0);
}

static int copy_fault(void *userdata, Fault *fault) {
        Fault copy = { 0 };
        int r = fault_copy(&copy, userdata);

        assert_int_equal(copy.code, r < 0 ? FAULT_NONE : FAULT_TIMED_OUT);
        fault_done(&copy);
        return r;
}

static void test_fault_copy(void **state) {
        _cleanup_fault_ Fault from = { 0 };

        (void) fault_set_object(&from, -EIO, FAULT_TIMED_OUT, "pci-0", "text");
        assert_int_equal(starve(copy_fault, &from), 0);
}

static int refuse_setting(void *userdata, Fault *fault) {
        static const PtSetting setting = {
                .name = "mode", .type = PT_STRING, .choices = words, .default_text = "a"
        };
        PtValue value = { 0 };

        return schema_parse_setting(&setting, "z", &value, fault);
}

static void test_setting(void **state) {
        assert_int_equal(starve(refuse_setting, NULL), -EINVAL);
}

static int send_and_receive(void *userdata, Fault *fault) {
        const int *fds = userdata;
        _cleanup_json_ json_t *message = NULL, *received = NULL;
        int r;

        message = json_pack("{s:s}", "type", "hello");
        if (!message)
                return -ENOMEM;
        r = message_send(fds[0], message);
        if (r >= 0)
                r = message_receive(fds[1], &received);
        assert_true(r > 0 || !received);
        /* Without memory in the middle of a token jansson calls the text wrong. */
        return r == -EBADMSG ? -ENOMEM : r;
}

static void test_protocol(void **state) {
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(starve(send_and_receive, fds), 1);
        (void) close_fd(fds[0]);
        (void) close_fd(fds[1]);
}

static int open_device(void *userdata, Fault *fault) {
        char *path = NULL;
        int fd = -EBADF;
        int r = sysfs_open_device(userdata, "mem", "null", &fd, &path);

        assert_true(r >= 0 || (!path && fd == -EBADF));
        free(path);
        (void) close_fd(fd);
        return r;
}

static void test_sysfs(void **state) {
        Sysfs sysfs;

        assert_int_equal(sysfs_init(&sysfs, "/"), 0);
        if (!sysfs_exists(&sysfs, "/sys/class/mem/null"))
                fail_msg("sysfs is not mounted");
        assert_int_equal(starve(open_device, &sysfs), 0);
        sysfs_done(&sysfs);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_value_copy),   cmocka_unit_test(test_value_parse),
                cmocka_unit_test(test_value_format), cmocka_unit_test(test_value_json),
                cmocka_unit_test(test_plan_append),  cmocka_unit_test(test_plan_json),
                cmocka_unit_test(test_fault_copy),   cmocka_unit_test(test_setting),
                cmocka_unit_test(test_protocol),     cmocka_unit_test(test_sysfs),
        };

        json_set_alloc_funcs(jansson_malloc, free);
        return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
