/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "serve.h"

#include "evidence.h"
#include "check.h"
#include "executor.h"
#include "holders.h"
#include "job.h"
#include "lib/protocol.h"
#include "observer.h"
#include "port.h"
#include "probe.h"
#include "use.h"

/* Handlers return a negative errno only when the service cannot be talked to any more. What became of the
 * request goes to `ret_result`, and to `fault` where there is more to say than was said already. */
typedef struct RequestHandler {
        const char *type;
        int (*handle)(Worker *worker, json_t *message, int *ret_result, Fault *fault);
} RequestHandler;

static int handle_job(Worker *worker, json_t *message, int *ret_result, Fault *fault) {
        _cleanup_job_ Job job = {};

        *ret_result = job_from_message(message, &job, fault);
        return *ret_result < 0 ? 0 : executor_run(worker, &job, ret_result, fault);
}

static int handle_observe(Worker *worker, json_t *message, int *ret_result, Fault *fault) {
        _cleanup_device_list_ DeviceList devices = {};

        *ret_result = device_list_from_message(message, &devices, fault);
        return *ret_result < 0 ? 0 : observer_run(worker, &devices);
}

static const RequestHandler request_handler_table[] = {
        { "job", handle_job },
        { "observe", handle_observe },
        { "holders", holders_run },
        { "probe", probe_run },
        { "guard", evidence_run },
        { "check", check_run },
        { "ports", port_run },
        { "use", use_run },
};

static int handle(Worker *worker, json_t *message, int *ret_result, Fault *fault) {
        const char *type = message_type(message);

        for (size_t i = 0; i < ELEMENTSOF(request_handler_table); i++)
                if (streq(request_handler_table[i].type, type))
                        return request_handler_table[i].handle(worker, message, ret_result, fault);

        *ret_result = fault_set(fault, -ENOTSUP, FAULT_INVALID_ARGUMENT,
                                "The worker knows no request \"%s\"", type);
        return 0;
}

static int send_done(Worker *worker, int result, const Fault *fault) {
        return worker_send(worker, json_pack("{s:s, s:i, s:o}", "type", "done", "result", result, "error",
                                             json_fault(fault)));
}

int serve(Worker *worker) {
        int r;

        r = worker_send(worker, json_pack("{s:s, s:i, s:s}", "type", "hello", "pid", (int) getpid(),
                                          "version", PROJECT_VERSION));

        while (r >= 0) {
                _cleanup_json_ json_t *message = NULL;
                _cleanup_fault_ Fault fault = {};
                int result = 0;

                r = message_receive(worker->fd, &message);
                if (r == 0)
                        return 0;
                if (r == -EBADMSG)
                        result = fault_set(&fault, r, FAULT_INVALID_ARGUMENT,
                                           "A message that is none was received");
                else if (r < 0)
                        break;
                else {
                        r = handle(worker, message, &result, &fault);
                        if (r < 0)
                                break;
                }

                r = send_done(worker, result, &fault);
        }

        return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}
