/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service's side of the protocol, in front of a worker that runs in a forked process on a fake host. */

#include <jansson.h>
#include <sys/types.h>

#include "fake-host.h"

typedef struct Rig {
        FakeHost host;
        int fd;    /* the service's end */
        pid_t pid; /* of the worker; 0: none runs */
} Rig;

/* What a job said, in the order of the steps. */
typedef struct Report {
        int result;       /* of "done" */
        char *error;      /* of "done"; NULL for none */
        bool died;        /* the worker went away before "done" */
        json_t *observed; /* by step: text, or null for a step that was not begun */
        json_t *after;    /* by step: the "after" message, or null */
} Report;

/* cmocka's setup and teardown: a new host and a worker that has said hello. */
int rig_setup(void **state);
int rig_teardown(void **state);

void rig_start(Rig *rig);
/* Hangs up and waits; returns the exit status, 128 + signal when it was killed. */
int rig_stop(Rig *rig);

void rig_send(Rig *rig, json_t *message); /* takes the reference */
void rig_send_text(Rig *rig, const char *text);
/* The next message but for "log"; NULL when the worker has gone. */
json_t *rig_receive(Rig *rig);
/* The same, and it must have this type. */
json_t *rig_expect(Rig *rig, const char *type);

/* {kind, device, sentence …}: a step of that kind; `more` is merged in and its reference taken, NULL for
 * none. */
json_t *make_step(const char *kind, const char *device, json_t *more);
/* The job message for these steps over all devices of the fake host. Takes the references. */
json_t *make_job(const char *mode, json_t *steps, json_t *observed);

/* Runs a job to its end, answering every "before" with "go". `observed` is borrowed and NULL for execute. */
Report rig_execute(Rig *rig, json_t *steps);
Report rig_undo(Rig *rig, json_t *steps, json_t *observed);
void report_done(Report *report);

int report_result(const Report *report, size_t step);
const char *report_error(const Report *report, size_t step);
const char *report_code(const Report *report, size_t step);
const char *report_text(const Report *report, size_t step);
/* A member of what was observed before the step; NULL for null. In a static buffer. */
const char *report_observed(const Report *report, size_t step, const char *key);

#define assert_contains(text, part)                                                                         \
        do {                                                                                                \
                const char *_text = (text);                                                                 \
                if (!_text || !strstr(_text, (part)))                                                       \
                        fail_msg("\"%s\" does not contain \"%s\"", _text ? _text : "(null)", (part));       \
        } while (0)
