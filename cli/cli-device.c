/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One device, and why anything can or cannot be had. */

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-job.h"
#include "cli-object.h"
#include "cli-verbs.h"

static const Line device_lines[] = {
        { "id", "id" },
        { "type", "type" },
        { "name", "name" },
        { "slot", "slot" },
        { "path", "path" },
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

static int get_findings(Cli *cli, Kind kind, const char *path, json_t **ret) {
        json_auto_t *reply = NULL;
        int r = bus_call(cli, path, kind_interface(kind), "Explain", "a{sv}", json_pack("[{}]"), &reply);

        if (r < 0)
                return r;
        *ret = json_incref(json_array_get(reply, 0));
        return 0;
}

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
                show_findings(cli, findings);
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

int verb_device_quarantine(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_DEVICE, arguments[0], &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Device"), "Quarantine", "sa{sv}", json_pack("[s, {}]", arguments[1]),
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

/* ---- explain ---- */

static int find_any(Cli *cli, const char *name, Kind *ret_kind, char **ret_path) {
        static const Kind kinds[] = { KIND_DEVICE, KIND_GROUP, KIND_ALLOCATION };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                int r;

                cli->quiet = true;
                r = find_object(cli, kinds[i], name, ret_path);
                cli->quiet = false;
                *ret_kind = kinds[i];
                if (r >= 0)
                        return 0;
                if (cli->status != STATUS_NOT_FOUND) /* again, aloud */
                        return find_object(cli, kinds[i], name, ret_path);
        }
        return cli_fail(cli, STATUS_NOT_FOUND, "there is no device, group or allocation '%s'", name);
}

static int find_of_kind(Cli *cli, const char *word, const char *name, Kind *ret_kind, char **ret_path) {
        if (streq(word, "device"))
                *ret_kind = KIND_DEVICE;
        else if (streq(word, "group"))
                *ret_kind = KIND_GROUP;
        else if (streq(word, "allocation"))
                *ret_kind = KIND_ALLOCATION;
        else
                return cli_fail(cli, STATUS_USAGE,
                                "'%s' can't be explained; valid: device, group, allocation", word);
        return find_object(cli, *ret_kind, name, ret_path);
}

int verb_explain(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *findings = NULL;
        Kind kind = KIND_DEVICE;
        int r = n == 1 ? find_any(cli, arguments[0], &kind, &path)
                       : find_of_kind(cli, arguments[0], arguments[1], &kind, &path);

        if (r >= 0)
                r = get_findings(cli, kind, path, &findings);
        if (r < 0)
                return r;
        if (cli->json)
                return show_json(cli, findings);
        if (json_array_size(findings) == 0)
                (void) printf("Nothing stands in the way.\n");
        show_findings(cli, findings);
        return 0;
}
