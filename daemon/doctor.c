/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "doctor.h"

#include <stdio.h>

#include "json-util.h"
#include "log.h"

typedef struct Asker {
        CheckDone done;
        void *userdata;
        char **only; /* ids; NULL: all */
        struct Asker *next;
} Asker;

typedef struct Doctor {
        Manager *m;
        json_t *found;   /* of the run under way */
        json_t *last;    /* NULL: never */
        json_t *reasons; /* of `last` */
        WorkerRun *run;
        Asker *askers;
} Doctor;

static Asker *asker_free(Asker *asker) {
        if (asker)
                strv_free(asker->only);
        free(asker);
        return NULL;
}
DEFINE_CLEANUP(Asker *, asker_free)

/* ---- what the service knows of itself ---- */

json_t *doctor_row(const char *id, const char *title, const char *status, const char *text, const char *evidence,
                   const char *remedy) {
        return json_pack("{s:s, s:s, s:s, s:s, s:[s], s:s, s:b, s:b}", "id", id, "title", title, "status", status, "text", text,
                         "evidence", evidence, "remedy", strempty(remedy), "reboot", false, "pending", false);
}

static json_t *modules_row(Manager *m) {
        _cleanup_(json_decrefp) json_t *evidence = json_array();
        size_t n = 0, refused = 0;
        json_t *row;
        char text[128];

        for (Module *module = loader_first(m->loader); module; module = module->next, n++)
                if (module->state != MODULE_LOADED) {
                        char line[512];

                        snprintf(line, sizeof(line), "%.128s: %.256s", module->file, strempty(module->reason));
                        json_array_append_new(evidence, json_string(line));
                        refused++;
                }
        if (refused > 0)
                snprintf(text, sizeof(text), "%zu of %zu modules of device types were refused", refused, n);
        else
                snprintf(text, sizeof(text), n > 0 ? "All %zu modules of device types are loaded" : "There are no modules", n);
        row = doctor_row("modules", "Modules of the service", n == 0 ? "fail" : refused > 0 ? "warn" : "pass", text,
                         m->config.module_directory,
                         n == 0        ? "Install the service again, or mend ModuleDirectory= in passthroughd.conf."
                         : refused > 0 ? "Install modules that belong to this version of the service; a module that crashed it twice is "
                                         "refused until it is replaced."
                                       : "");
        if (row)
                json_array_extend(json_object_get(row, "evidence"), evidence);
        return row;
}

static json_t *state_row(Manager *m) {
        StoreHealth health = store_health(m->store);

        return doctor_row("state", "State of the service", health == STORE_OK ? "pass" : "fail",
                          health == STORE_OK          ? "What is stored can be read and written"
                          : health == STORE_READ_ONLY ? "What is stored can be read, but not written"
                                                      : "What was stored is damaged, and was begun anew",
                          health == STORE_OK ? m->config.state_directory : strempty(store_health_reason(m->store)),
                          health == STORE_OK ? ""
                          : health == STORE_READ_ONLY
                                  ? "Make room, mend the directory's rights, or install the newer version that wrote it; then restart "
                                    "the service."
                                  : "Make sure that no guest uses a device that is not listed, then: passthroughctl acknowledge");
}

static json_t *configuration_row(Manager *m) {
        char **problems = m->config.problems;
        bool any = problems && problems[0];
        json_t *row = doctor_row("configuration", "Configuration of the service", any ? "warn" : "pass",
                                 any ? "A part of the configuration is not used" : "The configuration is understood",
                                 any ? problems[0] : "passthroughd.conf", any ? "Correct it and restart the service." : "");

        for (size_t i = 1; row && any && problems[i]; i++)
                json_array_append_new(json_object_get(row, "evidence"), json_string(problems[i]));
        return row;
}

/* ---- answers ---- */

static bool has_word(char *const *words, const char *word) {
        for (size_t i = 0; words && words[i]; i++)
                if (streq(words[i], word))
                        return true;
        return !words;
}

static json_t *select_rows(json_t *rows, char *const *only) {
        json_t *list = json_array(), *row;
        size_t index;

        json_array_foreach(rows, index, row)
                if (has_word(only, json_string_value(json_object_get(row, "id"))))
                        json_array_append(list, row);
        return list;
}

/* polkit's row is added by who can ask it. */
static int check_words(json_t *rows, char *const *only, Fault *fault) {
        char valid[1024] = "polkit";

        for (size_t i = 0; only && only[i]; i++) {
                bool found = streq(only[i], "polkit");
                size_t index, n = strlen("polkit");
                json_t *row;

                json_array_foreach(rows, index, row) {
                        const char *id = strempty(json_string_value(json_object_get(row, "id")));

                        found |= streq(only[i], id);
                        if (n < sizeof(valid))
                                n += (size_t) snprintf(valid + n, sizeof(valid) - n, ", %s", id);
                }
                if (!found)
                        return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "there is no check '%.64s'; there are: %s", only[i],
                                         valid);
        }
        return 0;
}

static void answer(Asker *asker, json_t *rows, int result, const Fault *fault) {
        _cleanup_(json_decrefp) json_t *list = NULL;
        _cleanup_fault_ Fault unknown = { 0 };

        if (result >= 0) {
                result = check_words(rows, asker->only, &unknown);
                fault = &unknown;
        }
        if (result >= 0)
                list = select_rows(rows, asker->only);
        asker->done(asker->userdata, result, fault, list);
        asker_free(asker);
}

static void answer_all(Doctor *d, int result, const Fault *fault) {
        Asker *asker = d->askers;

        d->askers = NULL; /* a callback may ask again */
        for (Asker *next; asker; asker = next) {
                next = asker->next;
                answer(asker, d->last, result, fault);
        }
}

static json_t *reasons_of(json_t *rows) {
        json_t *list = json_array(), *row;
        size_t index;

        json_array_foreach(rows, index, row) {
                char text[512];

                if (!json_is_true(json_object_get(row, "pending")))
                        continue;
                snprintf(text, sizeof(text), "%.64s: %.400s", strempty(json_string_value(json_object_get(row, "id"))),
                         strempty(json_string_value(json_object_get(row, "text"))));
                json_array_append_new(list, json_string(text));
        }
        return list;
}

static void keep(Doctor *d) {
        json_t *reasons;

        json_array_append_new(d->found, modules_row(d->m));
        json_array_append_new(d->found, state_row(d->m));
        json_array_append_new(d->found, configuration_row(d->m));
        reasons = reasons_of(d->found);
        if (d->reasons ? !json_equal(reasons, d->reasons) : json_array_size(reasons) > 0)
                manager_changed(d->m, OBJECT_MANAGER, "", "RebootReasons");
        json_decref(d->reasons);
        d->reasons = reasons;
        json_decref(d->last);
        d->last = d->found;
        d->found = NULL;
}

static void on_checked(void *userdata, WorkerRun *run, json_t *checks) {
        Doctor *d = userdata;

        json_decref(d->found);
        d->found = json_incref(checks);
}

static void on_done(void *userdata, int result, const Fault *fault) {
        Doctor *d = userdata;
        _cleanup_fault_ Fault unknown = { 0 };

        d->run = NULL;
        if (result >= 0 && !d->found) {
                result = fault_set(&unknown, -EPROTO, FAULT_WORKER_FAILED, "the worker said nothing of the host");
                fault = &unknown;
        }
        if (result >= 0)
                keep(d);
        answer_all(d, result, fault);
}

static const WorkerEvents check_events = { .checked = on_checked, .done = on_done };

static int doctor_get(Manager *m, Doctor **ret) {
        if (!m->doctor) {
                m->doctor = calloc(1, sizeof(Doctor));
                if (!m->doctor)
                        return -ENOMEM;
                m->doctor->m = m;
        }
        *ret = m->doctor;
        return 0;
}

int manager_check_host(Manager *m, json_t *options, CheckDone done, void *userdata, Fault *fault) {
        _cleanup_(asker_freep) Asker *asker = calloc(1, sizeof(Asker));
        bool cached = false;
        Doctor *d;

        if (!asker || doctor_get(m, &d) < 0)
                return fault_oom(fault);
        const JsonKey keys[] = {
                { "cached", JSON_KEY_BOOL, &cached, 0, false },
                { "only", JSON_KEY_STRV, &asker->only, 0, false },
                { 0 },
        };
        int r = json_parse_object(options, keys, "the options of CheckHost", FAULT_UNKNOWN_OPTION, fault);
        if (r < 0)
                return r;
        asker->done = done;
        asker->userdata = userdata;
        if (cached && d->last) {
                answer(TAKE_PTR(asker), d->last, 0, NULL);
                return 0;
        }
        if (m->stopping)
                return fault_set(fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping");
        r = d->run ? 0
                   : worker_pool_run(m->workers, &(WorkerSpec) { .mode = WORKER_CHECK, .job = "check" }, &check_events, d, &d->run,
                                     fault);
        if (r < 0)
                return fault_set(fault, r, FAULT_WORKER_FAILED, "the host could not be checked: %s", strerror(-r));
        asker->next = d->askers;
        d->askers = TAKE_PTR(asker);
        return 0;
}

json_t *manager_reboot_reasons(const Manager *m) {
        return m->doctor ? m->doctor->reasons : NULL;
}

void doctor_answer(Manager *m) {
        _cleanup_fault_ Fault fault = { 0 };

        if (!m->doctor)
                return;
        fault_set(&fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping");
        answer_all(m->doctor, -ESHUTDOWN, &fault);
}

void doctor_free(Manager *m) {
        Doctor *d = m->doctor;

        if (!d)
                return;
        while (d->askers) {
                Asker *next = d->askers->next;
                asker_free(d->askers);
                d->askers = next;
        }
        json_decref(d->found);
        json_decref(d->last);
        json_decref(d->reasons);
        free(d);
        m->doctor = NULL;
}
