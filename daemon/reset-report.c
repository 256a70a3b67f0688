/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What became of the last reset of a device: kept while the service runs and the device is there. */

#include "reset-report.h"

#include <stdio.h>
#include <time.h>

#include "lib/parse.h"

#define USEC_PER_SEC UINT64_C(1000000)

/* "flr, 0.12 s" */
static void remark(Operation *op, const HostDevice *host, json_t *report, int result) {
        const char *used = json_string_value(json_object_get(report, "used"));
        char *text = NULL;

        if (result >= 0 &&
            asprintf(&text, "%s%s%s reset%s%s in %.2f s", strempty(op->remark), isempty(op->remark) ? "" : "; ", host->sysname,
                     isempty(used) ? "" : " by ", strempty(used),
                     (double) json_integer_value(json_object_get(report, "duration")) / (double) USEC_PER_SEC) >= 0) {
                free(op->remark);
                op->remark = text;
        }
}

void reset_report_keep(Operation *op, const char *id, json_t *report, int result, const char *error) {
        HostDevice *host = source_find(inventory_source(op->m->inventory), id);
        _cleanup_(json_decrefp) json_t *kept = json_copy(report);
        struct timespec now;

        if (!host || !kept)
                return;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        (void) json_object_set_new(kept, "time", json_integer((json_int_t) ((uint64_t) now.tv_sec * USEC_PER_SEC +
                                                                            (uint64_t) now.tv_nsec / 1000)));
        (void) json_object_set_new(kept, "result", json_string(result < 0 ? "failed" : "done"));
        (void) json_object_set_new(kept, "message", json_string(result < 0 ? strempty(error) : ""));
        remark(op, host, kept, result);
        for (Device *device = host->offers; device; device = device->next_offer) {
                json_decref(device->last_reset);
                device->last_reset = json_incref(kept);
                manager_changed(op->m, OBJECT_DEVICE, device->id, "LastReset");
        }
}

void reset_report_explain(const Device *device, FindingList *ret) {
        const char *used = strempty(json_string_value(json_object_get(device->last_reset, "used")));
        time_t time = (time_t) ((uint64_t) json_integer_value(json_object_get(device->last_reset, "time")) / USEC_PER_SEC);
        const char *message = strempty(json_string_value(json_object_get(device->last_reset, "message")));
        char when[64] = "";
        struct tm tm;

        if (!device->last_reset)
                return;
        if (gmtime_r(&time, &tm))
                (void) strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
        if (isempty(message))
                finding_add(ret, PT_SEVERITY_NOTE, "last-reset", device->id, NULL, "last reset %s%s%s, in %.2f s", when,
                            isempty(used) ? "" : " by ", used,
                            (double) json_integer_value(json_object_get(device->last_reset, "duration")) /
                                    (double) USEC_PER_SEC);
        else
                finding_add(ret, PT_SEVERITY_WARNING, "last-reset-failed", device->id, "passthroughctl device reset",
                            "its last reset, %s, failed: %s", when, message);
}
