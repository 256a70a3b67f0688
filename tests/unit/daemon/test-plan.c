/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a plan's token stands for, what is said when it does not fit any more, and how long an operation is expected to take. */

#include "../lib/test.h"
#include "daemon/duration.h"
#include "daemon/plan-record.h"

static Manager m;
static HostDevice hosts[3];
static Device devices[3];
static Request requests[2] = { { .id = (char *) "1", .name = (char *) "lan" }, { .id = (char *) "2", .name = (char *) "disk" } };
static const Allocation allocation = { .requests = requests, .n_requests = 2 };

static int setup(void **state) {
        static const char *const sysnames[] = { "0000:01:00.0", "0000:02:00.0", "0000:03:00.0" };
        static const char *const ids[] = { "pci-0000-01-00-0", "pci-0000-02-00-0", "pci-0000-03-00-0" };

        m = (Manager) { 0 };
        for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
                hosts[i] = (HostDevice) { .id = ids[i], .sysname = sysnames[i], .driver = "e1000e" };
                devices[i] = (Device) { .id = ids[i], .host = &hosts[i] };
        }
        return 0;
}

static int teardown(void **state) {
        plans_free(&m);
        durations_free(&m);
        return 0;
}

/* One device for the first request, bound to a driver by one step. */
static PlanRecord *record_of(size_t device, const char *driver) {
        HostDevice *bundle[] = { &hosts[device], NULL };
        Assignment item = { 0, &devices[device], bundle };
        const AssignmentList list = { .items = &item, .n_items = 1 };
        PtStep step = { .kind = PT_STEP_SET_DRIVER, .device = devices[device].id, .value = driver, .sentence = "bind it" };
        const Plan plan = { &step, 1 };
        PlanRecord *record = NULL;

        assert_int_equal(plan_record_new(&record), 0);
        plan_record_choices(record, &allocation, &list);
        plan_record_steps(record, &plan);
        return record;
}

static void token_of(PlanRecord *record, char token[static 33]) {
        assert_int_equal(plan_record_token(record, token), 0);
        assert_int_equal(strlen(token), 32);
}

static void test_token(void **state) {
        _cleanup_(plan_record_freep) PlanRecord *one = record_of(0, "vfio-pci"), *same = record_of(0, "vfio-pci"),
                                                *other = record_of(1, "vfio-pci"), *step = record_of(0, "mlx5_vfio_pci"),
                                                *blocked = record_of(0, "vfio-pci");
        char a[33], b[33];

        token_of(one, a);
        token_of(same, b);
        assert_string_equal(a, b);
        token_of(other, b);
        assert_string_not_equal(a, b);
        token_of(step, b);
        assert_string_not_equal(a, b);
        plan_record_blocker(blocked, "claimed", "x", "somebody has it");
        assert_true(plan_record_has_blockers(blocked));
        token_of(blocked, b);
        assert_string_not_equal(a, b);
}

static void assert_says(const char *token, const PlanRecord *now, const char *words) {
        _cleanup_fault_ Fault fault = { 0 };

        assert_int_equal(plan_changed(&m, token, now, "x", NULL, &fault), -ESTALE);
        assert_int_equal(fault.code, FAULT_PLAN_CHANGED);
        if (!strstr(fault.message, words))
                fail_msg("\"%s\" is not in: %s", words, fault.message);
}

static void test_changed(void **state) {
        _cleanup_(plan_record_freep) PlanRecord *other = record_of(1, "vfio-pci"), *step = record_of(0, "mlx5_vfio_pci"),
                                                *blocked = record_of(0, "vfio-pci"), *moved = NULL;
        PlanRecord *then = record_of(0, "vfio-pci");
        char token[33];

        token_of(then, token);
        assert_says(token, other, "not known any more");
        plans_keep(&m, token, then);
        assert_says(token, other, "for request 'lan' 0000:01:00.0 was chosen, now 0000:02:00.0");
        assert_says(token, step, "a step that the plan did not have: bind it");
        plan_record_blocker(blocked, "claimed", "x", "somebody has it");
        assert_says(token, blocked, "in the way now: somebody has it");
        hosts[0].driver = "igb";
        moved = record_of(0, "vfio-pci");
        assert_says(token, moved, "the driver of it, is different now");
}

/* Only the last ones are kept; the same plan again counts once. */
static void test_bounded(void **state) {
        char token[33], first[33];

        for (size_t i = 0; i < 200; i++) {
                PlanRecord *record = NULL;
                char code[16];

                assert_int_equal(plan_record_new(&record), 0);
                (void) snprintf(code, sizeof(code), "code-%zu", i / 2);
                plan_record_blocker(record, code, NULL, "text");
                token_of(record, token);
                if (i == 0)
                        memcpy(first, token, sizeof(first));
                plans_keep(&m, token, record);
                assert_non_null(plans_find(&m, token));
        }
        assert_null(plans_find(&m, first));
        assert_non_null(plans_find(&m, token));
}

static void test_durations(void **state) {
        json_auto_t *pci = json_pack("[s]", "pci-0000-01-00-0"), *usb = json_pack("[s]", "usb-1-2"), *none = json_array();
        uint64_t usec = 0;
        size_t runs = 0;

        assert_int_equal(duration_expected(&m, "activate", "pci", &usec, &runs), -ENODATA);
        duration_note(&m, "activate", pci, NULL, 900);
        duration_note(&m, "activate", pci, NULL, 100);
        duration_note(&m, "activate", pci, NULL, 200);
        duration_note(&m, "activate", usb, NULL, 5);
        duration_note(&m, "reset", none, "pci-0000-02-00-0", 7);
        duration_note(&m, "release", none, "3b0e1c0c", 7); /* nothing that tells a type */
        assert_int_equal(duration_expected(&m, "activate", "pci", &usec, &runs), 0);
        assert_int_equal(usec, 200);
        assert_int_equal(runs, 3);
        assert_int_equal(duration_expected(&m, "reset", "pci", &usec, &runs), 0);
        assert_int_equal(usec, 7);
        assert_int_equal(duration_expected(&m, "release", "pci", &usec, &runs), -ENODATA);
        /* The old ones are forgotten. */
        for (size_t i = 0; i < 100; i++)
                duration_note(&m, "activate", pci, NULL, 1000);
        assert_int_equal(duration_expected(&m, "activate", "pci", &usec, &runs), 0);
        assert_int_equal(usec, 1000);
        assert_int_equal(runs, 31);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_token),
                TEST(test_changed),
                TEST(test_bounded),
                TEST(test_durations),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
