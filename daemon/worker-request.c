/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker-request.h"

#include "lib/macro.h"

static json_t *devices_of(const WorkerSpec *spec) {
        json_t *list;

        if (spec->devices_json)
                return json_incref(spec->devices_json);

        list = json_array();
        for (size_t i = 0; list && spec->devices && spec->devices[i]; i++)
                if (json_array_append_new(list, host_device_to_json(spec->devices[i], spec->module_file)) <
                    0) {
                        json_decref(list);
                        return NULL;
                }
        return list;
}

static json_t *texts_of(const char *const *texts) {
        json_t *list = json_array();

        for (size_t i = 0; list && texts && texts[i]; i++)
                if (json_array_append_new(list, json_string(texts[i])) < 0) {
                        json_decref(list);
                        return NULL;
                }
        return list;
}

json_t *worker_request_new(const WorkerSpec *spec, json_t *steps) {
        const char *directory = spec->module_directory;

        switch (spec->mode) {
        case WORKER_EXECUTE:
                return json_pack("{s:s, s:s, s:s, s:s*, s:o, s:O, s:b}", "type", "job", "job",
                                 strempty(spec->job), "mode", "execute", "module_dir", directory, "devices",
                                 devices_of(spec), "steps", steps, "note", (int) spec->note);
        case WORKER_UNDO:
                return json_pack("{s:s, s:s, s:s, s:s*, s:o, s:O, s:O}", "type", "job", "job",
                                 strempty(spec->job), "mode", "undo", "module_dir", directory, "devices",
                                 devices_of(spec), "steps", steps, "observed", spec->observed);
        case WORKER_OBSERVE:
                return json_pack("{s:s, s:s*, s:o}", "type", "observe", "module_dir", directory, "devices",
                                 devices_of(spec));
        case WORKER_HOLDERS:
                return json_pack("{s:s, s:o, s:o, s:b}", "type", "holders", "nodes", texts_of(spec->nodes),
                                 "below", texts_of(spec->below), "guess", spec->guess);
        case WORKER_PROBE:
                return json_pack("{s:s, s:s*, s:o, s:O*}", "type", "probe", "module_dir", directory, "devices",
                                 devices_of(spec), "notes", spec->notes);
        case WORKER_GUARD:
                return json_pack("{s:s}", "type", "guard");
        case WORKER_CHECK:
                return json_pack("{s:s}", "type", "check");
        case WORKER_PORTS:
                return json_pack("{s:s, s:o}", "type", "ports", "devices", devices_of(spec));
        case WORKER_USE:
                return json_pack("{s:s, s:s*, s:o, s:o}", "type", "use", "module_dir", directory, "devices",
                                 devices_of(spec), "providers", texts_of(spec->providers));
        default:
                return NULL;
        }
}
