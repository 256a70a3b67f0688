/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-rig.h"

#include <sys/wait.h>
#include <time.h>

#include "daemon/log.h"
#include "lib/protocol.h"

#define WAIT_USEC (15u * 1000u * 1000u)

int pool_rig_set_up(void **state) {
        PoolRig *rig = calloc(1, sizeof(*rig));

        assert_non_null(rig);
        assert_int_equal(sd_event_new(&rig->event), 0);
        log_set_max_level(LOG_ERR);
        pool_rig_begin("");
        pool_rig_plan(rig, 3, 2000, -1);
        *state = rig;
        return 0;
}

int pool_rig_tear_down(void **state) {
        PoolRig *rig = *state;

        worker_pool_free(rig->pool);
        sd_event_unref(rig->event);
        /* On a busy machine a killed process can outlive the pool. */
        for (int i = 0; i < 200 && pool_rig_children() > 0; i++) {
                (void) waitpid(-1, NULL, WNOHANG);
                (void) usleep(10000);
        }
        for (size_t i = 0; i < rig->n_records; i++) {
                fault_done(&rig->records[i].fault);
                json_decref(rig->records[i].held);
        }
        plan_done(&rig->plan);
        json_decref(rig->observed);
        free(rig);
        return 0;
}

void pool_rig_begin(const char *how) {
        assert_int_equal(setenv("FAKE_WORKER", how, 1), 0);
}

void pool_rig_new(PoolRig *rig, const char *worker, unsigned limit, bool spare) {
        assert_int_equal(worker_pool_new(rig->event, worker, limit, spare, 100, &rig->pool), 0);
}

void pool_rig_plan(PoolRig *rig, size_t n, unsigned timeout_msec, int optional) {
        plan_done(&rig->plan);
        json_decref(rig->observed);
        rig->observed = json_array();
        for (size_t i = 0; i < n; i++) {
                char sentence[48];

                snprintf(sentence, sizeof(sentence), "do the thing %zu", i);
                assert_int_equal(plan_append(&rig->plan,
                                             &(PtStep){
                                                     .kind = PT_STEP_WRITE_ATTRIBUTE,
                                                     .flags = (int) i == optional ? PT_STEP_OPTIONAL : 0,
                                                     .device = "pci-0000-3b-00-0",
                                                     .name = "attribute",
                                                     .value = "1",
                                                     .sentence = sentence,
                                                     .timeout_ms = timeout_msec,
                                             }),
                                 0);
                json_array_append_new(rig->observed, json_string("{}"));
        }
}

static void PRINTF_LIKE(2, 3) note(RunRecord *record, const char *format, ...) {
        size_t length = strlen(record->log);
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(record->log + length, sizeof(record->log) - length, format, arguments);
        va_end(arguments);
}

static void on_before(void *userdata, WorkerRun *run, size_t step, const char *observed) {
        RunRecord *record = userdata;

        assert_ptr_equal(run, record->run);
        assert_true(worker_run_pid(run) > 0);
        note(record, "before%zu ", step);
        record->observed_length = strlen(observed);
        if ((int) step == record->stop_before)
                assert_int_equal(worker_run_stop(run), 0);
        else if (!record->hold)
                assert_int_equal(worker_run_go(run), 0);
}

static void on_after(void *userdata, WorkerRun *run, size_t step, int result, const char *error) {
        RunRecord *record = userdata;

        assert_true((result < 0) == (error != NULL));
        note(record, result < 0 ? "failed%zu " : "after%zu ", step);
}

static void on_fields(void *userdata, WorkerRun *run, const char *device, json_t *fields, const char *blob, int result,
                      const char *error) {
        note(userdata, "%s:%s:%d:%s ", device,
             strempty(json_string_value(json_object_get(fields, "driver"))), result, strempty(error));
}

static void on_held(void *userdata, WorkerRun *run, json_t *holders) {
        RunRecord *record = userdata;

        note(record, "held:%s ",
             strempty(json_string_value(json_object_get(json_array_get(holders, 0), "node"))));
        json_decref(record->held);
        record->held = json_incref(holders);
}

static void on_done(void *userdata, int result, const Fault *fault) {
        RunRecord *record = userdata;

        record->done++;
        record->run = NULL;
        record->result = result;
        assert_non_null(fault);
        assert_int_equal(fault_copy(&record->fault, fault), 0);
        assert_true((result < 0) == (fault->code != FAULT_NONE));
        if (result < 0)
                assert_non_null(fault->message);
}

static void on_gone(void *userdata) {
        RunRecord *record = userdata;

        record->gone++;
}

static const WorkerEvents events = {
        .before = on_before,
        .after = on_after,
        .fields = on_fields,
        .held = on_held,
        .done = on_done,
        .gone = on_gone,
};

static RunRecord *run(PoolRig *rig, WorkerMode mode, const char *name, int expected) {
        RunRecord *record = &rig->records[rig->n_records++];
        HostDevice device = {
                .subsystem = "pci", .sysname = "0000:3b:00.0", .iommu_group = -1, .numa_node = -1, .id = name,
        };
        const char *const nodes[] = { name, NULL };
        int r;

        assert_true(rig->n_records <= ELEMENTSOF(rig->records));
        *record = (RunRecord){ .rig = rig, .stop_before = -1 };
        r = worker_pool_run(rig->pool,
                            &(WorkerSpec){
                                    .mode = mode,
                                    .job = name,
                                    .devices = (HostDevice *const[]){ &device, NULL },
                                    .module_directory = "/modules",
                                    .plan = &rig->plan,
                                    .observed = rig->observed,
                                    .nodes = nodes,
                                    .timeout_msec = mode == WORKER_GUARD ? 10000 : 100,
                            },
                            &events, record, &record->run, &record->fault);
        assert_true(expected < 0 ? r < 0 : r == 0);
        record->result = r;
        return record;
}

RunRecord *pool_rig_run(PoolRig *rig, WorkerMode mode, const char *name) {
        return run(rig, mode, name, 0);
}

RunRecord *pool_rig_refused(PoolRig *rig, WorkerMode mode, const char *name) {
        return run(rig, mode, name, -1);
}

void pool_rig_wait(RunRecord *record) {
        while (record->done == 0)
                if (sd_event_run(record->rig->event, WAIT_USEC) <= 0)
                        fail_msg("the run does not end");
}

void pool_rig_wait_gone(RunRecord *record) {
        while (record->gone == 0)
                if (sd_event_run(record->rig->event, WAIT_USEC) <= 0)
                        fail_msg("the process does not go");
}

double pool_rig_now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

void pool_rig_turn(PoolRig *rig, unsigned msec) {
        double end = pool_rig_now() + msec / 1e3;

        for (double now = pool_rig_now(); now < end; now = pool_rig_now())
                assert_true(sd_event_run(rig->event, (uint64_t) ((end - now) * 1e6) + 1) >= 0);
}

void assert_run(RunRecord *record, const char *log, int result, FaultCode code, const char *words) {
        pool_rig_wait(record);
        assert_string_equal(record->log, log);
        assert_int_equal(record->done, 1);
        if (code != FAULT_NONE)
                assert_fault(&record->fault, code, words);
        assert_int_equal(record->result, result);
}

size_t pool_rig_children(void) {
        char path[64], text[4096];
        size_t n = 0, length;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int) getpid());
        file = fopen(path, "re");
        assert_non_null(file);
        length = fread(text, 1, sizeof(text) - 1, file);
        fclose(file);
        text[length] = '\0';
        for (char *p = text; *p; p++)
                n += *p == ' ';
        return n;
}

void pool_rig_wait_children(PoolRig *rig, size_t n) {
        double end = pool_rig_now() + 5;

        while (pool_rig_children() != n && pool_rig_now() < end)
                pool_rig_turn(rig, 20);
        assert_int_equal(pool_rig_children(), n);
}
