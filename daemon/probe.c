/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "probe.h"

#include <stdio.h>
#include <utlist.h>

#include "log.h"
#include "manager.h"

struct Probe {
        Manager *m;
        Probe *prev, *next;
        json_t *left;  /* {device: true}: not heard of yet */
        WorkerRun *run;
        sd_event_source *later; /* where no worker could be started */
        Fault fault;
        ProbeEach each;
        ProbeDone done;
        void *userdata;
};

static void probe_free(Probe *probe) {
        DL_DELETE(probe->m->probes, probe);
        sd_event_source_disable_unref(probe->later);
        json_decref(probe->left);
        fault_done(&probe->fault);
        free(probe);
}

void probes_free(Manager *m) {
        Probe *probe, *next;

        DL_FOREACH_SAFE(m->probes, probe, next)
                probe_free(probe);
}

/* The blockers in one line. False when there is none. */
static bool blockers_text(json_t *findings, char *buffer, size_t size) {
        size_t index, length = 0;
        json_t *finding;

        json_array_foreach(findings, index, finding) {
                const char *text = json_string_value(json_object_get(finding, "text"));
                int n;

                if (!text || json_integer_value(json_object_get(finding, "severity")) != PT_SEVERITY_BLOCKER)
                        continue;
                n = snprintf(buffer + length, size - length, "%s%s", length > 0 ? " " : "", text);
                if (n < 0 || (size_t) n >= size - length)
                        break;
                length += (size_t) n;
        }
        return length > 0;
}

static void on_health(void *userdata, const char *device, json_t *findings, int result, const char *error) {
        char reason[TEXT_MAX_BYTES];
        Probe *probe = userdata;

        if (json_object_del(probe->left, device) < 0)
                return;
        if (result == -ENODEV)
                return; /* whoever pulled it has it */
        if (result < 0) {
                (void) snprintf(reason, sizeof(reason), "It could not be probed: %s", strempty(error));
                probe->each(probe->userdata, device, reason, findings);
        } else
                probe->each(probe->userdata, device, blockers_text(findings, reason, sizeof(reason)) ? reason : NULL,
                            findings);
}

static void finish(Probe *probe, int result, const Fault *fault) {
        char reason[TEXT_MAX_BYTES];
        const char *device;
        json_t *value;

        if (result < 0 && fault->code == FAULT_CANCELLED) {
                probe->done(probe->userdata, -ESHUTDOWN);
                probe_free(probe);
                return;
        }
        json_object_foreach(probe->left, device, value) {
                (void) snprintf(reason, sizeof(reason), "It could not be probed: %s",
                                result < 0 ? strempty(fault->message) : "the worker did not say anything of it");
                probe->each(probe->userdata, device, reason, NULL);
        }
        probe->done(probe->userdata, 0);
        probe_free(probe);
}

static void on_done(void *userdata, int result, const Fault *fault) {
        finish(userdata, result, fault);
}

static int on_later(sd_event_source *source, void *userdata) {
        Probe *probe = userdata;

        finish(probe, -EIO, &probe->fault);
        return 0;
}

/* A worker that hangs in the kernel is left to it: the device is kept from everybody, and holds nobody else up. */
static const WorkerEvents probe_events = { .health = on_health, .done = on_done };

static bool looks_after(Manager *m, const char *file) {
        for (Module *module = loader_first(m->loader); file && module; module = module->next)
                if (module->state == MODULE_LOADED && streq(module->file, file))
                        return module->descriptor->health != NULL;
        return false;
}

int probe_start(Manager *m, json_t *devices, json_t *notes, const char *job, ProbeEach each, ProbeDone done,
                void *userdata) {
        _cleanup_(json_decrefp) json_t *wanted = json_array();
        Probe *probe = calloc(1, sizeof(Probe));
        json_t *device;
        size_t index;

        if (!probe || !wanted) {
                free(probe);
                return -ENOMEM;
        }
        *probe = (Probe) { .m = m, .left = json_object(), .each = each, .done = done, .userdata = userdata };
        DL_APPEND(m->probes, probe);
        json_array_foreach(devices, index, device) {
                const char *id = json_string_value(json_object_get(device, "id"));

                if (!id || !looks_after(m, json_string_value(json_object_get(device, "module"))) ||
                    json_object_get(probe->left, id))
                        continue;
                (void) json_object_set_new(probe->left, id, json_true());
                (void) json_array_append(wanted, device);
        }
        if (json_array_size(wanted) == 0) {
                probe_free(probe);
                return 0;
        }
        if (worker_pool_run(m->workers,
                            &(WorkerSpec) {
                                    .mode = WORKER_PROBE,
                                    .job = job,
                                    .devices_json = wanted,
                                    .notes = notes,
                                    .module_directory = loader_directory(m->loader),
                            },
                            &probe_events, probe, &probe->run, &probe->fault) < 0 &&
            sd_event_add_defer(m->event, &probe->later, on_later, probe) < 0) {
                probe_free(probe);
                return -ENOMEM;
        }
        return 1;
}
