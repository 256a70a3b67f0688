/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Settings that do not fit together, the scheduler as text, releases of drivers. */

#include "vgpu-kit.h"

#include "modules/vgpu/vgpu-release.h"
#include "modules/vgpu/vgpu-scheduler.h"

static void test_settings(void **state) {
        static const struct {
                const char *settings; /* "name=value" joined by blanks */
                const char *code, *culprit; /* NULL: they fit */
        } cases[] = {
                { "", NULL, NULL },
                { "scheduler=best-effort", NULL, NULL },
                { "scheduler=equal-share scheduler-frequency=480 scheduler-averaging=33", NULL, NULL },
                { "scheduler=fixed-share strict-round-robin=on scheduler-frequency=63", NULL, NULL },
                { "scheduler=equal-share scheduler-frequency=960 scheduler-averaging=60", NULL, NULL },
                { "scheduler=equal-share strict-round-robin=off time-slice=30", NULL, NULL },
                { "scheduler=equal-share scheduler-frequency=62", "frequency-out-of-range", "scheduler-frequency" },
                { "scheduler=equal-share scheduler-frequency=1", "frequency-out-of-range", "scheduler-frequency" },
                { "scheduler=best-effort scheduler-frequency=100", "scheduler-detail", "scheduler-frequency" },
                { "scheduler=best-effort strict-round-robin=on", "scheduler-detail", "strict-round-robin" },
                { "scheduler=best-effort time-slice=2", "scheduler-detail", "time-slice" },
                { "strict-round-robin=off", "scheduler-detail", "strict-round-robin" },
                { "scheduler-averaging=33", "scheduler-detail", "scheduler-averaging" },
                { "scheduler=equal-share strict-round-robin=off scheduler-frequency=100", "needs-round-robin",
                  "scheduler-frequency" },
                { "scheduler=equal-share strict-round-robin=off scheduler-averaging=2", "needs-round-robin",
                  "scheduler-averaging" },
                { "scheduler=fixed-share time-slice=2", "needs-no-round-robin", "time-slice" },
                { "scheduler=fixed-share strict-round-robin=on time-slice=2", "needs-no-round-robin", "time-slice" },
                { "profile=H100-1-10C gpu-instances=7 vgpus-per-instance=1 instances=7", NULL, NULL },
                { "profile=H100-1-10C gpu-instances=2 vgpus-per-instance=1 instances=3", "per-instance", "instances" },
                { "profile=L40S-8Q gpu-instances=2", "not-mig-backed", "gpu-instances" },
                { "profile=L40S-8Q vgpus-per-instance=1", "not-mig-backed", "vgpus-per-instance" },
                { "gpu-instances=2", NULL, NULL }, /* a profile may come later */
                { "profile=557 gpu-instances=2", NULL, NULL }, /* whose number that is depends on the driver */
                { "driver-version=17.2", NULL, NULL },
                { "driver-version=>=550.54", NULL, NULL },
                { "driver-version=12", "driver-version-syntax", "driver-version" },
                { "driver-version=newest", "driver-version-syntax", "driver-version" },
                { "driver-version=17.2.1", "driver-version-syntax", "driver-version" },
                { "driver-version=>=", "driver-version-syntax", "driver-version" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_kit_ Kit kit;

                kit_init(&kit, NULL);
                kit_settings(&kit, cases[i].settings);
                assert_int_equal(kit.module->check_settings(&kit.ctx), 0);
                if (!streq_null(cases[i].code, kit.n_findings ? kit.findings[0].code : NULL))
                        fail_msg("'%s': %s", cases[i].settings, kit.n_findings ? kit.findings[0].code : "taken");
                if (cases[i].code) {
                        assert_string_equal(kit.findings[0].culprit, cases[i].culprit);
                        assert_int_equal(kit.findings[0].severity, PT_SEVERITY_BLOCKER);
                }
        }
}

static void test_releases(void **state) {
        static const struct {
                const char *wanted, *driver;
                VgpuReleaseMatch match;
        } cases[] = {
                { "", "550.163.02", VGPU_RELEASE_YES },
                { "", "", VGPU_RELEASE_YES },
                { "550", "550.163.02", VGPU_RELEASE_YES },
                { "550.163", "550.163.02", VGPU_RELEASE_YES },
                { "550.163.02", "550.163.02", VGPU_RELEASE_YES },
                { "550.16", "550.163.02", VGPU_RELEASE_NO },
                { "550.163", "580.65.05", VGPU_RELEASE_NO },
                { ">= 550.163", "580.65.05", VGPU_RELEASE_YES },
                { ">=550.163", "550.90.05", VGPU_RELEASE_NO },
                { "17", "550.163.02", VGPU_RELEASE_YES },
                { "17", "535.54.06", VGPU_RELEASE_NO },
                { "17", "580.65.05", VGPU_RELEASE_NO },
                { ">= 17", "580.65.05", VGPU_RELEASE_YES },
                { "17.6", "550.163.02", VGPU_RELEASE_YES },
                { "17.5", "550.163.02", VGPU_RELEASE_NO },
                { ">= 17.2", "550.163.02", VGPU_RELEASE_YES },
                { ">= 17.6", "550.90.05", VGPU_RELEASE_NO },
                { ">= 17.2", "550.90.05", VGPU_RELEASE_UNKNOWN }, /* nobody says which release that is */
                { "17.2", "550.90.05", VGPU_RELEASE_UNKNOWN },
                { ">= 17.2", "535.161.05", VGPU_RELEASE_NO },
                { ">= 17.2", "570.124.06", VGPU_RELEASE_YES },
                { ">= 19.0", "580.65.05", VGPU_RELEASE_YES },
                { ">= 20.0", "595.58.02", VGPU_RELEASE_YES },
                { "20.0", "595.58.02", VGPU_RELEASE_UNKNOWN },
                { "17", "", VGPU_RELEASE_UNKNOWN },
                { "17", "unreadable", VGPU_RELEASE_UNKNOWN },
        };
        char title[VGPU_VERSION_SIZE];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (vgpu_release_match(cases[i].wanted, cases[i].driver) != cases[i].match)
                        fail_msg("'%s' and '%s': %d", cases[i].wanted, cases[i].driver,
                                 vgpu_release_match(cases[i].wanted, cases[i].driver));
        assert_int_equal(vgpu_driver_branch("550.163.02"), 550);
        assert_int_equal(vgpu_driver_branch(""), 0);
        assert_int_equal(vgpu_driver_branch(NULL), 0);
        assert_int_equal(vgpu_driver_branch("999999999999.1"), 0);
        vgpu_branch_title(550, title);
        assert_string_equal(title, "vGPU 17, R550");
        vgpu_branch_title(999, title);
        assert_string_equal(title, "R999");
}

static void test_scheduler_text(void **state) {
        static const struct {
                VgpuScheduler scheduler;
                const char *text;
        } good[] = {
                { { 0 }, "" },
                { { .policy = VGPU_POLICY_BEST_EFFORT }, "best-effort" },
                { { VGPU_POLICY_EQUAL_SHARE, VGPU_ROUND_ROBIN_ON, 480, 33, 0 }, "equal-share arr=on frequency=480 average=33" },
                { { VGPU_POLICY_FIXED_SHARE, VGPU_ROUND_ROBIN_OFF, 0, 0, 2 }, "fixed-share arr=off timeslice=2" },
                { { .policy = VGPU_POLICY_EQUAL_SHARE }, "equal-share" },
        };
        static const char *const bad[] = {
                "default", "equal-share ", " equal-share", "equal-share arr=", "equal-share arr=maybe", "equal-share frequency=x",
                "equal-share frequency=-1", "equal-share frequency=99999999999", "share", "equal-share colour=2",
        };
        char text[VGPU_SCHEDULER_TEXT_SIZE], longest[2 * VGPU_SCHEDULER_TEXT_SIZE];
        VgpuScheduler found;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                vgpu_scheduler_to_text(&good[i].scheduler, text);
                assert_string_equal(text, good[i].text);
                assert_int_equal(vgpu_scheduler_from_text(text, &found), 0);
                assert_true(vgpu_scheduler_same(&found, &good[i].scheduler));
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (vgpu_scheduler_from_text(bad[i], &found) >= 0)
                        fail_msg("'%s' was read", bad[i]);
        memset(longest, 'x', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        assert_int_equal(vgpu_scheduler_from_text(longest, &found), -EINVAL);
        for (int i = 0; i < _VGPU_POLICY_MAX; i++)
                assert_int_equal(vgpu_policy_from_string(vgpu_policy_to_string((VgpuPolicy) i)), i);
        for (int i = 0; i < _VGPU_ROUND_ROBIN_MAX; i++)
                assert_int_equal(vgpu_round_robin_from_string(vgpu_round_robin_to_string((VgpuRoundRobin) i)), i);
        assert_int_equal(vgpu_policy_from_string("first-come"), _VGPU_POLICY_INVALID);
        assert_int_equal(vgpu_round_robin_from_string("yes"), _VGPU_ROUND_ROBIN_INVALID);
}

static void test_scheduler_holds(void **state) {
        static const struct {
                const char *wanted, *found;
                bool holds;
        } cases[] = {
                { "", "fixed-share", true },
                { "best-effort", "best-effort", true },
                { "best-effort", "equal-share", false },
                { "equal-share", "equal-share arr=on frequency=480 average=33", true },
                { "equal-share", "equal-share arr=off timeslice=2", false },
                { "equal-share arr=on", "equal-share arr=on frequency=960 average=33", true },
                { "equal-share frequency=480", "equal-share arr=on frequency=481 average=33", true }, /* by way of a time slice */
                { "equal-share frequency=480", "equal-share arr=on frequency=490 average=33", false },
                { "equal-share average=10", "equal-share arr=on frequency=480 average=33", false },
                { "fixed-share arr=off", "fixed-share arr=off timeslice=2", true },
                { "fixed-share arr=off timeslice=3", "fixed-share arr=off timeslice=2", false },
                { "fixed-share arr=off timeslice=3", "equal-share arr=off timeslice=3", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                VgpuScheduler wanted, found;

                assert_int_equal(vgpu_scheduler_from_text(cases[i].wanted, &wanted), 0);
                assert_int_equal(vgpu_scheduler_from_text(cases[i].found, &found), 0);
                if (vgpu_scheduler_holds(&wanted, &found) != cases[i].holds)
                        fail_msg("'%s' on '%s'", cases[i].wanted, cases[i].found);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_settings),
                cmocka_unit_test(test_releases),
                cmocka_unit_test(test_scheduler_text),
                cmocka_unit_test(test_scheduler_holds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
