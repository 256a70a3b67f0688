/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-bus.h"
#include "cli-format.h"
#include "cli-job.h"
#include "cli-object.h"
#include "cli-verbs.h"

static const Column job_columns[] = {
        { "id", .right = true },           { "operation" }, { "state" },
        { "percent", "%", .right = true }, { "result" },    { "objects" },
        { "step", .shrinks = true },
};

static const Line job_lines[] = {
        { "id", "id" },           { "operation", "operation" },
        { "state", "state" },     { "percent", "percent" },
        { "progress", NULL },     { "step", "step" },
        { "objects", "objects" }, { "result", "result" },
        { "error", "error" },     { "error-message", "message" },
};

static void complete(json_t *job) {
        double progress = json_number_value(json_object_get(job, "progress"));

        (void) json_object_set_new(job, "percent", json_integer((json_int_t) (progress * 100 + 0.5)));
}

int verb_jobs(Cli *cli, char **arguments, int n) {
        json_auto_t *jobs = NULL;
        json_t *job;
        size_t index;
        int r = list_objects(cli, KIND_JOB, &jobs);

        if (r < 0)
                return r;
        json_array_foreach(jobs, index, job) complete(job);
        return show_table(cli, job_columns, ELEMENTSOF(job_columns), jobs, false);
}

int verb_job_show(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *job = NULL;
        int r = find_object(cli, KIND_JOB, arguments[0], &path);

        if (r >= 0)
                r = get_object(cli, KIND_JOB, path, &job);
        if (r < 0)
                return r;
        (void) json_object_set_new(job, "id", json_string(arguments[0]));
        complete(job);
        return cli->json ? show_json(cli, job)
                         : show_lines(cli, job_lines, ELEMENTSOF(job_lines), job, true);
}

int verb_job_wait(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_JOB, arguments[0], &path);

        return r < 0 ? r : finish_job(cli, path, NULL, NULL);
}

int verb_job_cancel(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_JOB, arguments[0], &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Job"), "Cancel", "a{sv}", json_pack("[{}]"), NULL);
        return r < 0 ? r : show_done(cli);
}
