/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One device, and why anything can or cannot be had. */

#include "cli-bus.h"
#include "cli-explain.h"
#include "cli-format.h"
#include "cli-job.h"
#include "cli-object.h"
#include "cli-verbs.h"

static const Line device_lines[] = {
        { "id", "id" },
        { "type", "type" },
        { "name", "name" },
        { "slot", "slot" },
        { "port", "port" },
        { "state", "state" },
        { "allocatable", "allocatable" },
        { "blockers", "blockers" },
        { "groups", "groups" },
        { "allocation", "allocation" },
        { "driver", "driver" },
        { "vendor", "vendor" },
        { "device", "device" },
        { "vendor-id", "vendor-id" },
        { "device-id", "device-id" },
        { "product-id", NULL }, /* the same as the device's id */
        { "iommu-group", "iommu-group" },
        { "companions", "companions" },
        { "numa-node", "numa-node" },
        { "node", "node" },
        { "findings", NULL },
};

int verb_device_show(Cli *cli, char **arguments, int n) {
        json_auto_t *object = NULL, *findings = NULL;
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_DEVICE, arguments[0], &path);

        /* Asked for the findings first, the service reads the slow fields too. */
        if (r >= 0)
                r = get_findings(cli, KIND_DEVICE, path, &findings);
        if (r >= 0)
                r = get_object(cli, KIND_DEVICE, path, &object);
        if (r < 0)
                return r;
        (void) json_object_set(object, "findings", findings);
        if (cli->json)
                return show_json(cli, object);
        r = show_lines(cli, device_lines, ELEMENTSOF(device_lines), object, true);
        if (r >= 0 && json_array_size(findings) > 0) {
                (void) putchar('\n');
                show_explanation(cli, "Findings", findings);
        }
        return r;
}

int verb_device_reset(Cli *cli, char **arguments, int n) {
        json_auto_t *reply = NULL;
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_DEVICE, arguments[0], &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Device"), "Reset", "a{sv}", json_pack("[{}]"), &reply);
        return r < 0 ? r : finish_job(cli, json_string_value(json_array_get(reply, 0)), NULL, NULL);
}

int verb_device_provision(Cli *cli, char **arguments, int n) {
        json_auto_t *reply = NULL, *options = json_object();
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_DEVICE, arguments[0], &path);

        if (r >= 0 && option_given(cli, "plan"))
                json_object_set_new(options, "plan", json_string(option_text(cli, "plan")));
        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Provider"), "Provision", "a{sv}", json_pack("[O]", options), &reply);
        return r < 0 ? r : finish_job(cli, json_string_value(json_array_get(reply, 0)), NULL, NULL);
}

int verb_device_quarantine(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_DEVICE, arguments[0], &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Device"), "Quarantine", "s a{sv}", json_pack("[s, {}]", arguments[1]),
                               NULL);
        return r < 0 ? r : show_done(cli);
}

int verb_device_clear_quarantine(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_DEVICE, arguments[0], &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Device"), "ClearQuarantine", "a{sv}", json_pack("[{}]"),
                               NULL);
        return r < 0 ? r : show_done(cli);
}
