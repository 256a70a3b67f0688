/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support-report.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>

#include "history.h"
#include "identity.h"
#include "job-table.h"
#include "json-util.h"
#include "lib/limits.h"
#include "lib/value-util.h"
#include "log.h"
#include "support-scrub.h"

typedef struct Report Report;

struct Report {
        Manager *m;
        FILE *f;
        Scrubber *scrubber;      /* NULL: full */
        json_t *history, *pending; /* elements of the section under way */
        char (*ids)[ID_SIZE];    /* devices, which may go meanwhile */
        size_t n_ids, section, index;
        bool in_section;         /* its list is open */
        bool asking;             /* the store has this in hand */
        sd_event_source *slice;
        ReportDone done;         /* NULL once it was told */
        void *userdata;
        Report *next;
};

static void report_free(Report *report) {
        for (Report **p = &report->m->reports; *p; p = &(*p)->next)
                if (*p == report) {
                        *p = report->next;
                        break;
                }
        if (report->f)
                (void) fclose(report->f);
        scrubber_free(report->scrubber);
        json_decref(report->history);
        json_decref(report->pending);
        sd_event_source_disable_unref(report->slice);
        free(report->ids);
        free(report);
}

static void tell(Report *report, int result, const Fault *fault) {
        ReportDone done = TAKE_PTR(report->done);

        if (done)
                done(report->userdata, result, result < 0 ? -EBADF : fileno(report->f), fault);
}

static void fail(Report *report, int result, Fault *fault) {
        if (fault->code == FAULT_NONE)
                fault_set(fault, result, result == -ENOMEM ? FAULT_NO_MEMORY : FAULT_INTERNAL,
                          "the report could not be written: %s", strerror(-result));
        tell(report, result, fault);
        report_free(report);
}

/* ---- what is secret ---- */

static bool is_secret(const Module *module, const char *field) {
        const PtField *fields = module && module->descriptor ? module->descriptor->fields : NULL;

        for (; fields && fields->name; fields++)
                if (streq(fields->name, field))
                        return fields->flags & PT_FIELD_SCRUB;
        return false;
}

static int add_device(Scrubber *scrubber, const Device *device) {
        const PtField *fields = device->module->descriptor->fields;
        int r = 0;

        for (unsigned i = 0; fields[i].name && r >= 0; i++) {
                _cleanup_free_ char *text = NULL;
                PtValue value;

                if (!(fields[i].flags & PT_FIELD_SCRUB) || device_get_field(device, i, &value) < 0)
                        continue;
                r = value_format(&value, &text);
                if (r >= 0)
                        r = scrubber_add(scrubber, text);
        }
        return r;
}

/* What was recorded of a device that is not there any more. Its type is what the id begins with. */
static int add_record(Scrubber *scrubber, const Module *module, json_t *record) {
        const char *field;
        json_t *value;
        int r = 0;

        json_object_foreach(json_object_get(record, "fields"), field, value)
                if (r >= 0 && is_secret(module, field))
                        r = scrubber_add(scrubber, json_string_value(value));
        return r;
}

static int add_rule(Scrubber *scrubber, const Rule *rule) {
        int r = add_record(scrubber, rule->group->module, rule->identity);

        for (size_t i = 0; r >= 0 && i < conditions_count(rule->where); i++) {
                const char *field, *value;
                Operator operator;

                conditions_get(rule->where, i, &field, &operator, &value);
                /* Of a type that is missing nobody knows what is secret. */
                if (!rule->group->module ? strstr(field, "serial") || strstr(field, "mac") : is_secret(rule->group->module, field))
                        r = scrubber_add(scrubber, value);
        }
        return r;
}

static int add_allocation(Manager *m, Scrubber *scrubber, const Allocation *a) {
        const char *id;
        json_t *record;
        int r = 0;

        json_object_foreach(a->identities, id, record)
                for (Module *module = loader_first(m->loader); module && r >= 0; module = module->next)
                        if (startswith(id, module->name))
                                r = add_record(scrubber, module, record);
        return r;
}

static int collect_secrets(Manager *m, Scrubber *scrubber) {
        int r = 0;

        for (const Device *device = inventory_first(m->inventory); device && r >= 0; device = device->hh.next)
                r = add_device(scrubber, device);
        for (const Rule *rule = policy_first_rule(m->policy); rule && r >= 0; rule = rule->hh.next)
                r = add_rule(scrubber, rule);
        for (const Allocation *a = m->allocations; a && r >= 0; a = a->hh.next)
                r = add_allocation(m, scrubber, a);
        return r;
}

/* ---- sections of one value ---- */

static json_t *versions(Report *report) {
        struct utsname host = { 0 };

        (void) uname(&host);
        return json_pack("{s:s, s:s, s:s, s:s, s:I, s:b}", "passthroughd", PROJECT_VERSION, "kernel", host.release,
                         "kernel-build", host.version, "machine", host.machine, "time", (json_int_t) time(NULL), "scrubbed",
                         report->scrubber != NULL);
}

static json_t *configuration(Report *report) {
        const Config *c = &report->m->config;

        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:b, s:o}", "node", c->node, "module-directory",
                         c->module_directory, "worker", c->worker, "state-directory", c->state_directory,
                         "runtime-directory", c->runtime_directory, "log-level", c->log_level, "workers", (int) c->workers,
                         "step-timeout-percent", (int) c->step_timeout_percent, "spare-worker", c->spare_worker, "problems",
                         strv_to_json((const char *const *) c->problems));
}

static json_t *service(Report *report) {
        Manager *m = report->m;

        return json_pack("{s:s, s:s, s:s*, s:I, s:I, s:I}", "readiness", readiness_to_string(m->readiness), "state",
                         store_health_to_string(store_health(m->store)), "state-reason", store_health_reason(m->store),
                         "generation", (json_int_t) inventory_generation(m->inventory), "devices",
                         (json_int_t) inventory_count(m->inventory), "log-dropped", (json_int_t) log_dropped());
}

/* ---- sections of many ---- */

static json_t *modules(Report *report) {
        json_t *array = json_array();

        for (const Module *module = loader_first(report->m->loader); module; module = module->next)
                json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "name", module->name, "file",
                                                       strempty(module->file), "state",
                                                       module_state_to_string(module->state), "reason", module->reason,
                                                       "version", module->descriptor ? module->descriptor->version : NULL));
        return array;
}

static json_t *groups(Report *report) {
        json_t *array = json_array();

        for (Group *group = policy_first_group(report->m->policy); group; group = group->hh.next) {
                json_t *body = group_to_json(group);
                unsigned total, available, allocated;

                manager_group_counts(report->m, group, &total, &available, &allocated);
                json_object_set_new(body, "id", json_string(group->id));
                json_object_set_new(body, "total", json_integer(total));
                json_object_set_new(body, "available", json_integer(available));
                json_object_set_new(body, "allocated", json_integer(allocated));
                json_array_append_new(array, body);
        }
        return array;
}

static json_t *rules(Report *report) {
        json_t *array = json_array();

        for (const Rule *rule = policy_first_rule(report->m->policy); rule; rule = rule->hh.next) {
                json_t *body = rule_to_json(rule);

                json_object_set_new(body, "id", json_string(rule->id));
                if (rule->invalid)
                        json_object_set_new(body, "invalid", json_string(rule->invalid));
                json_array_append_new(array, body);
        }
        return array;
}

static json_t *allocations(Report *report) {
        json_t *array = json_array();

        for (Allocation *a = report->m->allocations; a; a = a->hh.next) {
                json_t *body = allocation_to_json(a);

                json_object_set_new(body, "id", json_string(a->id));
                json_object_set_new(body, "state", json_string(allocation_state_to_string(a->state)));
                if (a->failure.code != FAULT_NONE)
                        json_object_set_new(body, "failure", json_pack("{s:s, s:s*}", "error",
                                                                       fault_code_to_string(a->failure.code), "message",
                                                                       a->failure.message));
                json_array_append_new(array, body);
        }
        return array;
}

static json_t *jobs(Report *report) {
        json_t *array = json_array();

        for (const Job *job = report->m->jobs; job; job = job->hh.next)
                json_array_append_new(array, json_pack("{s:s, s:s, s:I, s:s, s:s, s:o, s:s, s:s, s:s*}", "id", job->id,
                                                       "operation", job->operation, "uid", (json_int_t) job->uid, "state",
                                                       job_state_to_string(job->state), "step", job->step, "objects",
                                                       strv_to_json((const char *const *) job->objects), "result",
                                                       job->result, "error", fault_code_to_string(job->fault.code) ?: "",
                                                       "message", job->fault.message));
        return array;
}

static json_t *history(Report *report) {
        return TAKE_PTR(report->history);
}

static void add_line(void *userdata, uint64_t realtime_usec, int priority, const char *message) {
        json_t *line = json_pack("{s:I, s:i, s:s}", "time", (json_int_t) realtime_usec, "priority", priority, "text", message);

        if (line) /* what is not UTF-8 is left out */
                json_array_append_new(userdata, line);
}

static json_t *lines(Report *report) {
        json_t *array = json_array();

        if (array)
                log_each_kept(add_line, array);
        return array;
}

/* ---- devices, one at a time ---- */

static json_t *fields_of(const Report *report, const Device *device) {
        const PtField *table = device->module->descriptor->fields;
        json_t *fields = json_object();

        for (unsigned i = 0; fields && table[i].name; i++) {
                PtValue value;

                if (device_get_field(device, i, &value) < 0)
                        continue;
                json_object_set_new(fields, table[i].name,
                                    report->scrubber && (table[i].flags & PT_FIELD_SCRUB) ? json_string("<scrubbed>")
                                                                                         : value_to_json(&value));
        }
        return fields;
}

static json_t *device_body(const Report *report, const Device *device) {
        json_t *blockers = json_array(), *in = json_array();
        const char *codes[16];
        size_t n = manager_device_blockers(report->m, device, codes, ELEMENTSOF(codes));

        for (size_t i = 0; i < n; i++)
                json_array_append_new(blockers, json_string(codes[i]));
        for (size_t i = 0; device->groups && device->groups[i]; i++)
                json_array_append_new(in, json_string(device->groups[i]->id));
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*, s:i, s:i, s:s, s:o, s:o, s:s*, s:s*, s:o}", "id", device->id, "type",
                         device->module->name, "place", device->host->sysname, "vendor", device->vendor, "name", device->name,
                         "driver", device->host->driver, "iommu-group", (int) device->host->iommu_group, "numa-node",
                         (int) device->host->numa_node, "state", manager_device_state(report->m, device), "blockers", blockers,
                         "groups", in, "allocation", device->allocation ? device->allocation->id : NULL, "quarantine",
                         device->quarantine, "fields", fields_of(report, device));
}

/* ---- writing ---- */

static const struct {
        const char *name;
        json_t *(*value)(Report *report);
} sections[] = {
        { "versions", versions },       { "service", service }, { "configuration", configuration },
        { "modules", modules },         { "groups", groups },   { "rules", rules },
        { "allocations", allocations }, { "jobs", jobs },       { "history", history },
        { "log", lines },               { "devices", NULL },
};

static int write_value(Report *report, json_t *value) {
        if (!value || (report->scrubber && scrubber_json(report->scrubber, value) < 0))
                return -ENOMEM;
        return json_dumpf(value, report->f, JSON_COMPACT | JSON_ENCODE_ANY) < 0 ? -EIO : 0;
}

static int write_element(Report *report, json_t *element) {
        _cleanup_(json_decrefp) json_t *value = element;

        (void) fputs(report->index++ > 0 ? ",\n  " : "\n  ", report->f);
        return write_value(report, value);
}

static int begin_section(Report *report) {
        (void) fprintf(report->f, "%s\n \"%s\": ", report->section > 0 ? "," : "{", sections[report->section].name);
        report->index = 0;
        if (!sections[report->section].value) {
                (void) fputc('[', report->f);
                return 1;
        }
        report->pending = sections[report->section].value(report);
        if (!report->pending)
                return -ENOMEM;
        if (!json_is_array(report->pending)) {
                _cleanup_(json_decrefp) json_t *value = TAKE_PTR(report->pending);
                int r = write_value(report, value);

                report->section++;
                return r < 0 ? r : 1;
        }
        (void) fputc('[', report->f);
        return 1;
}

static int next_element(Report *report, bool *ret_end) {
        const Device *device;
        size_t index = report->index;

        if (report->pending) {
                *ret_end = index >= json_array_size(report->pending);
                return *ret_end ? 0 : write_element(report, json_incref(json_array_get(report->pending, index)));
        }
        /* Those that went meanwhile are left out; n_ids counts down from the end of the list. */
        while (report->n_ids > 0) {
                device = inventory_find(report->m->inventory, report->ids[--report->n_ids]);
                if (device)
                        return write_element(report, device_body(report, device));
        }
        *ret_end = true;
        return 0;
}

/* 1: there is more. */
static int step(Report *report) {
        bool ended = false;
        int r;

        if (report->section == ELEMENTSOF(sections)) {
                (void) fputs("\n}\n", report->f);
                return fflush(report->f) == 0 && !ferror(report->f) ? 0 : -EIO;
        }
        if (!report->in_section) {
                size_t before = report->section;

                r = begin_section(report);
                report->in_section = report->section == before;
                return r;
        }
        r = next_element(report, &ended);
        if (r < 0 || !ended)
                return r < 0 ? r : 1;
        json_decref(report->pending);
        report->pending = NULL;
        (void) fputs("\n ]", report->f);
        report->section++;
        report->in_section = false;
        return 1;
}

static int on_slice(sd_event_source *source, void *userdata) {
        Report *report = userdata;
        uint64_t until = now_monotonic_usec() + REPORT_SLICE_USEC;
        _cleanup_fault_ Fault fault = { 0 };
        int r;

        while ((r = step(report)) > 0)
                if (now_monotonic_usec() >= until)
                        break;
        if (r > 0)
                r = sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0 ? -EIO : 1;
        if (r < 0) {
                fail(report, r, &fault);
                return 0;
        }
        if (r > 0)
                return 0;
        (void) lseek(fileno(report->f), 0, SEEK_SET);
        tell(report, 0, NULL);
        report_free(report);
        return 0;
}

static void on_history(void *userdata, int result, json_t *rows, const Fault *fault) {
        Report *report = userdata;
        _cleanup_fault_ Fault own = { 0 };

        report->asking = false;
        if (!report->done) { /* the service is stopping */
                report_free(report);
                return;
        }
        /* A report is wanted most when something does not work. */
        report->history = result >= 0 ? json_incref(rows)
                                      : json_pack("[{s:s}]", "error", strempty(fault ? fault->message : NULL));
        if (sd_event_add_defer(report->m->event, &report->slice, on_slice, report) < 0 ||
            sd_event_source_set_priority(report->slice, SD_EVENT_PRIORITY_NORMAL + 1) < 0)
                fail(report, -ENOMEM, &own);
}

static int report_new(Manager *m, bool full, Report **ret) {
        Report *report = calloc(1, sizeof(Report));
        int fd, r = 0;

        if (!report)
                return -ENOMEM;
        report->m = m;
        report->next = m->reports;
        m->reports = report;
        fd = memfd_create("passthroughd-report", MFD_CLOEXEC);
        report->f = fd < 0 ? NULL : fdopen(fd, "w");
        if (!report->f) {
                r = -errno;
                (void) close_fd(fd);
        }
        report->ids = calloc(inventory_count(m->inventory) + 1, ID_SIZE);
        if (r >= 0 && (!report->ids || (!full && (scrubber_new(&report->scrubber) < 0 ||
                                                  collect_secrets(m, report->scrubber) < 0))))
                r = -ENOMEM;
        for (const Device *device = inventory_first(m->inventory); device && r >= 0; device = device->hh.next)
                id_copy(report->ids[report->n_ids++], device->id);
        if (r < 0) {
                report_free(report);
                return r;
        }
        *ret = report;
        return 0;
}

int support_report(Manager *m, bool full, ReportDone done, void *userdata, Fault *fault) {
        _cleanup_(json_decrefp) json_t *filter = json_pack("{s:i}", "limit", (int) HISTORY_MAX);
        Report *report;
        size_t n = 0;
        int r;

        for (report = m->reports; report; report = report->next)
                n++;
        if (n >= REPORTS_MAX)
                return fault_set(fault, -EAGAIN, FAULT_LIMIT_REACHED, "%zu reports are being written; try again later", n);
        r = report_new(m, full, &report);
        if (r < 0)
                return fault_set(fault, r, r == -ENOMEM ? FAULT_NO_MEMORY : FAULT_INTERNAL,
                                 "the report could not be begun: %s", strerror(-r));
        r = history_query(m, filter, HISTORY_NO_OWNER, on_history, report, fault);
        if (r < 0) {
                report_free(report);
                return r;
        }
        report->asking = true;
        report->done = done;
        report->userdata = userdata;
        return 0;
}

void support_reports_answer(Manager *m) {
        _cleanup_fault_ Fault fault = { 0 };

        fault_set(&fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping");
        for (Report *report = m->reports, *next; report; report = next) {
                next = report->next;
                tell(report, -ESHUTDOWN, &fault);
                if (!report->asking)
                        report_free(report);
        }
}

void support_reports_free(Manager *m) {
        while (m->reports)
                report_free(m->reports);
}
