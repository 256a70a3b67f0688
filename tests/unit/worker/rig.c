/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/protocol.h"
#include "worker/serve.h"

/* No answer of a worker on a fake host takes longer, even under valgrind. */
#define RECEIVE_TIMEOUT_SEC 30

static int child(int fd, const char *root) {
        Worker worker = {};
        int r;

        r = worker_init(&worker, fd, root);
        if (r < 0)
                return 3;
        r = serve(&worker);
        worker_done(&worker);
        return r < 0 ? 1 : 0;
}

void rig_start(Rig *rig) {
        const struct timeval timeout = { .tv_sec = RECEIVE_TIMEOUT_SEC };
        json_t *hello;
        int fds[2];

        assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), errno);
        assert_return_code(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), errno);
        (void) fflush(NULL);
        rig->pid = fork();
        assert_return_code(rig->pid, errno);
        if (rig->pid == 0) {
                (void) close(fds[0]);
                exit(child(fds[1], rig->host.root));
        }
        (void) close(fds[1]);
        rig->fd = fds[0];

        hello = rig_expect(rig, "hello");
        assert_int_equal(json_integer_value(json_object_get(hello, "pid")), rig->pid);
        json_decref(hello);
}

int rig_stop(Rig *rig) {
        int status = 0;

        if (rig->pid == 0)
                return 0;

        (void) close(rig->fd);
        assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
        rig->pid = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int rig_setup(void **state) {
        Rig *rig = calloc(1, sizeof(*rig));

        if (!rig)
                return -1;
        fake_host_make(&rig->host);
        rig_start(rig);
        *state = rig;
        return 0;
}

int rig_teardown(void **state) {
        Rig *rig = *state;
        int status = rig_stop(rig);

        fake_host_remove(&rig->host);
        free(rig);
        return status;
}

void rig_send(Rig *rig, json_t *message) {
        assert_non_null(message);
        assert_int_equal(message_send(rig->fd, message), 0);
        json_decref(message);
}

void rig_send_text(Rig *rig, const char *text) {
        assert_int_equal(send(rig->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

json_t *rig_receive(Rig *rig) {
        for (;;) {
                json_t *message = NULL;
                int r = message_receive(rig->fd, &message);

                if (r == 0 || r == -ECONNRESET)
                        return NULL;
                assert_int_equal(r, 1);
                if (!streq(message_type(message), "log"))
                        return message;
                json_decref(message);
        }
}

json_t *rig_expect(Rig *rig, const char *type) {
        json_t *message = rig_receive(rig);

        if (!message)
                fail_msg("The worker went away instead of sending \"%s\"", type);
        assert_string_equal(message_type(message), type);
        return message;
}

json_t *make_step(const char *kind, const char *device, json_t *more) {
        json_t *step =
                json_pack("{s:s, s:s, s:s}", "kind", kind, "device", device, "sentence", "do what is asked");

        assert_non_null(step);
        if (more)
                assert_int_equal(json_object_update(step, more), 0);
        json_decref(more);
        return step;
}

json_t *make_job(const char *mode, json_t *steps, json_t *observed) {
        json_t *job;

        job = json_pack("{s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:s, s:n, s:s, s:i, s:i, s:s}, {s:s, s:s, s:s, "
                        "s:n, s:i}, "
                        "{s:s, s:s, s:s, s:s}], s:o, s:o*}",
                        "type", "job", "job", "1", "mode", mode, "module_dir", TEST_MODULE_DIR, "devices",
                        "id", FAKE_NIC_ID, "subsystem", "pci", "sysname", FAKE_NIC, "devtype", "driver",
                        "e1000e", "iommu_group", 17, "numa_node", 0, "module", "test-module.so", "id",
                        FAKE_BARE_ID, "subsystem", "pci", "sysname", FAKE_BARE, "driver", "iommu_group", -1,
                        "id", FAKE_USB_ID, "subsystem", "usb", "sysname", FAKE_USB, "devtype", "usb_device",
                        "steps", steps, "observed", observed);
        assert_non_null(job);
        return job;
}

static Report run_job(Rig *rig, json_t *job, size_t n_steps) {
        Report report = { .died = true, .observed = json_array(), .after = json_array() };

        for (size_t i = 0; i < n_steps; i++) {
                (void) json_array_append_new(report.observed, json_null());
                (void) json_array_append_new(report.after, json_null());
        }
        rig_send(rig, job);

        for (;;) {
                json_t *message = rig_receive(rig);
                json_int_t step = json_integer_value(json_object_get(message, "step"));
                bool before, done;

                if (!message)
                        break;
                before = streq(message_type(message), "before");
                done = streq(message_type(message), "done");
                if (before) {
                        (void) json_array_set(report.observed, (size_t) step,
                                              json_object_get(message, "observed"));
                        rig_send(rig, json_pack("{s:s, s:I}", "type", "go", "step", step));
                } else if (done) {
                        const char *error = json_string_value(json_object_get(message, "error"));

                        report.died = false;
                        report.result = (int) json_integer_value(json_object_get(message, "result"));
                        report.error = error ? strdup(error) : NULL;
                } else {
                        assert_string_equal(message_type(message), "after");
                        (void) json_array_set(report.after, (size_t) step, message);
                }
                json_decref(message);
                if (done)
                        break;
        }

        return report;
}

Report rig_execute(Rig *rig, json_t *steps) {
        return run_job(rig, make_job("execute", json_incref(steps), NULL), json_array_size(steps));
}

Report rig_undo(Rig *rig, json_t *steps, json_t *observed) {
        return run_job(rig, make_job("undo", json_incref(steps), json_incref(observed)),
                       json_array_size(steps));
}

void report_done(Report *report) {
        free(report->error);
        json_decref(report->observed);
        json_decref(report->after);
        *report = (Report){};
}

static const char *after_text(const Report *report, size_t step, const char *key) {
        return json_string_value(json_object_get(json_array_get(report->after, step), key));
}

int report_result(const Report *report, size_t step) {
        json_t *after = json_array_get(report->after, step);

        if (!json_is_object(after))
                fail_msg("Step %zu did not end", step);
        return (int) json_integer_value(json_object_get(after, "result"));
}

const char *report_error(const Report *report, size_t step) {
        return after_text(report, step, "error");
}

const char *report_code(const Report *report, size_t step) {
        return after_text(report, step, "code");
}

const char *report_text(const Report *report, size_t step) {
        return after_text(report, step, "text");
}

const char *report_observed(const Report *report, size_t step, const char *key) {
        static char buffer[512];
        const char *text = json_string_value(json_array_get(report->observed, step));
        json_t *observed, *value;
        bool known = true;

        if (!text)
                fail_msg("Step %zu was not begun", step);
        observed = json_loads(text, 0, NULL);
        value = json_object_get(observed, key);
        if (json_is_integer(value))
                (void) snprintf(buffer, sizeof(buffer), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_string(value))
                (void) snprintf(buffer, sizeof(buffer), "%s", json_string_value(value));
        else {
                assert_true(json_is_null(value));
                known = false;
        }
        json_decref(observed);
        return known ? buffer : NULL;
}
