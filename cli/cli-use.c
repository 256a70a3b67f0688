/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Devices that make others: how much of them is used, and what they can make. */

#include <math.h>
#include <time.h>
#include <unistd.h>

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-object.h"
#include "cli-settings.h"
#include "cli-verbs.h"
#include "lib/id.h"
#include "lib/parse.h"

#define PROPERTIES "org.freedesktop.DBus.Properties"
#define PROVIDER INTERFACE("Provider")
#define FIRST_SAMPLE_TRIES 300u
#define FIRST_SAMPLE_USEC 50000u
#define WATCH_SECONDS 2.0

/* ---- which ---- */

/* A GPU by its address: the devices that it makes are those of its type, not of "pci". */
static int find_provider(Cli *cli, const char *name, char **ret_path) {
        char id[ID_SIZE], own[ID_SIZE + 8];
        json_auto_t *ignored = NULL;
        int r;

        if (id_from_place("vgpu", name, id) >= 0 && strchr(name, ':')) {
                (void) snprintf(own, sizeof(own), "%s", id);
                cli->quiet = true;
                r = find_object(cli, KIND_DEVICE, own, ret_path);
                cli->quiet = false;
                cli->status = STATUS_OK;
                if (r >= 0)
                        return r;
        }
        return find_object(cli, KIND_DEVICE, name, ret_path);
}

static int add_path(Cli *cli, json_t *list, const char *path) {
        return json_array_append_new(list, json_string(path)) < 0 ? cli_oom(cli) : 0;
}

/* Those named, or every GPU. */
static int find_providers(Cli *cli, char **arguments, int n, json_t **ret) {
        json_auto_t *paths = json_array(), *devices = NULL;
        json_t *device;
        size_t i;
        int r = 0;

        for (int k = 0; k < n && r >= 0; k++) {
                _cleanup_free_ char *path = NULL;

                r = find_provider(cli, arguments[k], &path);
                if (r >= 0)
                        r = add_path(cli, paths, path);
        }
        if (n == 0) {
                json_auto_t *where = json_pack("[[s, s, s]]", "role", "eq", "gpu"), *fields = json_pack("[s]", "id");

                r = list_devices(cli, "vgpu", where, NULL, fields, false, &devices);
                json_array_foreach(devices, i, device) {
                        _cleanup_free_ char *path = NULL;

                        if (r >= 0)
                                r = kind_path(cli, KIND_DEVICE, json_text(device, "id"), &path);
                        if (r >= 0)
                                r = add_path(cli, paths, path);
                }
        }
        if (r < 0)
                return r;
        *ret = json_incref(paths);
        return 0;
}

static int get_property(Cli *cli, const char *path, const char *name, json_t **ret) {
        json_auto_t *reply = NULL;
        int r = bus_call(cli, path, PROPERTIES, "Get", "s s", json_pack("[s, s]", PROVIDER, name), &reply);

        if (r >= 0)
                *ret = json_incref(json_array_get(reply, 0));
        return r;
}

static json_t *name_of(const char *path) {
        json_auto_t *text = json_string(path);

        return id_of_path(text);
}

/* ---- usage ---- */

/* The descriptor stays open until the end: it is what keeps the service measuring. */
static int start_watch(Cli *cli, const char *path, double seconds) {
        sd_bus_message *m = NULL, *reply = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int fd = -EBADF, r;

        r = bus_message(cli, path, PROVIDER, "Watch", "a{sv}",
                        json_pack("[{s:I}]", "interval", (json_int_t) (seconds * 1000 + 0.5)), &m);
        if (r >= 0)
                r = sd_bus_call(cli->bus, m, 0, &error, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "h", &fd);
        if (r >= 0)
                fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (r < 0)
                r = cli_fail_bus(cli, r, &error);
        else
                r = fd;
        sd_bus_message_unref(m);
        sd_bus_message_unref(reply);
        sd_bus_error_free(&error);
        return r;
}

static const Column use_columns[] = {
        { "name", "NAME" },
        { "consumer" },
        { "profile" },
        { "gpu", "GPU%", .right = true },
        { "memory", "MEM%", .right = true },
        { "encoder", "ENC%", .right = true },
        { "decoder", "DEC%", .right = true },
        { "framebuffer", "MIB", .right = true },
        { "temperature", "°C", .right = true },
        { "watts", "W", .right = true },
        { "driver", "DRIVER" },
        { "state", "STATE", .shrinks = true },
};

static void add_framebuffer(json_t *row) {
        json_t *used = json_object_get(row, "framebuffer-used"), *total = json_object_get(row, "framebuffer-total");
        char text[48];

        if (!json_is_integer(used) || !json_is_integer(total))
                return;
        (void) snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT, json_integer_value(used),
                        json_integer_value(total));
        (void) json_object_set_new(row, "framebuffer", json_string(text));
}

/* What is not measured has no number, and the reason behind it. */
static void add_state(json_t *row) {
        json_t *unavailable = json_object_get(row, "unavailable");
        const char *why = json_string_value(json_object_get(unavailable, "gpu"));
        char text[64];

        if (json_object_get(row, "problem"))
                (void) json_object_set(row, "state", json_object_get(row, "problem"));
        else if (why)
                (void) json_object_set_new(row, "state", json_string(why));
        else if (json_object_get(row, "total")) {
                (void) snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " in use",
                                json_integer_value(json_object_get(row, "used")),
                                json_integer_value(json_object_get(row, "total")));
                (void) json_object_set_new(row, "state", json_string(text));
        }
}

static json_t *gpu_row(const char *path, json_t *use) {
        json_t *row = json_copy(use), *device, *children = json_array();
        size_t i;

        (void) json_object_set_new(row, "name", name_of(path));
        (void) json_object_set(row, "driver", json_object_get(use, "host-driver"));
        if (json_is_integer(json_object_get(use, "power")))
                (void) json_object_set_new(row, "watts", json_integer(json_integer_value(json_object_get(use, "power")) / 1000));
        add_framebuffer(row);
        add_state(row);
        json_array_foreach(json_object_get(use, "devices"), i, device) {
                json_t *child = json_copy(device);
                const char *name = json_text(device, "device");

                (void) json_object_set_new(child, "name", json_string(isempty(name) ? json_text(device, "vm") : name));
                (void) json_object_set(child, "driver", json_object_get(device, "guest-driver"));
                (void) json_object_set(child, "state", json_array_size(json_object_get(device, "findings")) > 0
                                                                ? json_object_get(device, "findings")
                                                                : json_object_get(device, "licence"));
                add_framebuffer(child);
                (void) json_array_append_new(children, child);
        }
        (void) json_object_set_new(row, "children", children);
        return row;
}

static int show_uses(Cli *cli, json_t *paths) {
        json_auto_t *rows = json_array(), *all = json_object();
        json_t *path;
        size_t i;

        json_array_foreach(paths, i, path) {
                json_auto_t *use = NULL, *id = name_of(json_string_value(path));
                int r = get_property(cli, json_string_value(path), "Use", &use);

                if (r < 0)
                        return r;
                (void) json_object_set(all, strempty(json_string_value(id)), use);
                (void) json_array_append_new(rows, gpu_row(json_string_value(path), use));
        }
        if (cli->json)
                return show_json(cli, all);
        (void) sort_rows(cli, rows, "name", false);
        return show_table(cli, use_columns, ELEMENTSOF(use_columns), rows, true);
}

/* The first one takes as long as the driver takes. */
static int await_samples(Cli *cli, json_t *paths) {
        json_t *path;
        size_t i;

        json_array_foreach(paths, i, path)
                for (unsigned k = 0; k < FIRST_SAMPLE_TRIES; k++) {
                        json_auto_t *use = NULL;
                        int r = get_property(cli, json_string_value(path), "Use", &use);

                        if (r < 0)
                                return r;
                        if (json_object_get(use, "time"))
                                break;
                        (void) usleep(FIRST_SAMPLE_USEC);
                }
        return 0;
}

static int read_seconds(Cli *cli, double *ret) {
        const char *text = option_text(cli, "watch");
        char *end;
        double seconds;

        if (!text)
                return 0;
        seconds = strtod(text, &end);
        if (isempty(text) || *end != '\0' || !isfinite(seconds) || seconds < 0.5 || seconds > 3600)
                return cli_fail(cli, STATUS_USAGE, "'%s' is no time; valid: 0.5 to 3600 seconds", text);
        *ret = seconds;
        return 0;
}

static int show_use(Cli *cli, json_t *paths) {
        double seconds = WATCH_SECONDS;
        json_t *path;
        size_t i;
        int r = read_seconds(cli, &seconds);

        json_array_foreach(paths, i, path)
                if (r >= 0)
                        r = start_watch(cli, json_string_value(path), seconds);
        if (r >= 0)
                r = await_samples(cli, paths);
        if (r >= 0)
                r = show_uses(cli, paths);
        /* Until it is interrupted: the watches end with the process. */
        while (r >= 0 && option_text(cli, "watch")) {
                (void) fflush(stdout);
                (void) usleep((useconds_t) (seconds * 1000000));
                r = show_uses(cli, paths);
        }
        return r < 0 ? r : 0;
}

static const Column history_columns[] = {
        { "when", "TIME" },
        { "name", "NAME" },
        { "gpu", "GPU%", .right = true },
        { "gpu-peak", "PEAK", .right = true },
        { "memory", "MEM%", .right = true },
        { "encoder", "ENC%", .right = true },
        { "decoder", "DEC%", .right = true },
        { "framebuffer-used", "MIB", .right = true },
        { "temperature", "°C", .right = true },
        { "power", "MW", .right = true },
        { "power-peak", "PEAK", .right = true },
        { "vgpus", "VGPUS", .right = true },
};

static void add_time(json_t *row) {
        time_t seconds = (time_t) (json_integer_value(json_object_get(row, "time")) / 1000);
        struct tm tm;
        char text[32];

        if (localtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) > 0)
                (void) json_object_set_new(row, "when", json_string(text));
}

static int show_history(Cli *cli, json_t *paths, const char *span) {
        json_auto_t *all = json_object(), *rows = json_array();
        json_t *path, *row;
        size_t i, k;

        json_array_foreach(paths, i, path) {
                json_auto_t *reply = NULL, *id = name_of(json_string_value(path));
                int r = bus_call(cli, json_string_value(path), PROVIDER, "UseHistory", "a{sv}",
                                 json_pack("[{s:s}]", "span", isempty(span) ? "short" : span), &reply);

                if (r < 0)
                        return r;
                (void) json_object_set(all, strempty(json_string_value(id)), json_array_get(reply, 0));
                if (!cli->json)
                        json_array_foreach(json_array_get(reply, 0), k, row) {
                                add_time(row);
                                (void) json_object_set(row, "name", id);
                                (void) json_array_append(rows, row);
                        }
        }
        return cli->json ? show_json(cli, all) : show_table(cli, history_columns, ELEMENTSOF(history_columns), rows, false);
}

int verb_usage(Cli *cli, char **arguments, int n) {
        json_auto_t *paths = NULL;
        int r = find_providers(cli, arguments, n, &paths);

        if (r < 0)
                return r;
        if (json_array_size(paths) == 0 && !cli->json) {
                (void) puts("No GPU makes vGPUs here.");
                return 0;
        }
        return option_given(cli, "history") ? show_history(cli, paths, option_text(cli, "history")) : show_use(cli, paths);
}

/* ---- what they can make ---- */

static const Column profile_columns[] = {
        { "name", "PROFILE" },
        { "remaining", "LEFT", .right = true },
        { "max", "MAX", .right = true },
        { "type-id", "ID" },
        { "framebuffer", "MIB", .right = true },
        { "heads", "HEADS", .right = true },
        { "frame-rate-limit", "FRL", .right = true },
        { "resolution", "RESOLUTION" },
        { "max-per-vm", "PER VM", .right = true },
        { "placement-size", "SIZE", .right = true },
        { "placements", "PLACEMENTS", .shrinks = true },
        { "mig-profile", "MIG" },
        { "licence", "LICENCE", .shrinks = true },
};

int verb_profiles(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *profiles = NULL;
        int r = find_provider(cli, arguments[0], &path);

        if (r >= 0)
                r = get_property(cli, path, "Profiles", &profiles);
        return r < 0 ? r : show_table(cli, profile_columns, ELEMENTSOF(profile_columns), profiles, false);
}

static const Line report_lines[] = {
        { "name", "name" },
        { "driver", "driver" },
        { "virtualization", "virtualization" },
        { "host-vgpu", "host-vgpu" },
        { "mixed-sizes", "mixed-sizes" },
        { "mig", "mig" },
        { "scheduler-now", "scheduler" },
        { "library", "library" },
        { "why", "not known" },
};

static const Column instance_columns[] = {
        { "id", "INSTANCE", .right = true }, { "profile", "PROFILE", .right = true }, { "start", "START", .right = true },
        { "size", "SIZE", .right = true },
};

static void flatten_mig(json_t *summary) {
        json_t *mig = json_object_get(summary, "mig");
        bool current = json_is_true(json_object_get(mig, "current")), pending = json_is_true(json_object_get(mig, "pending"));

        if (json_is_object(mig))
                (void) json_object_set_new(summary, "mig",
                                           json_string(current == pending ? (current ? "on" : "off")
                                                       : pending          ? "off, on after a reset"
                                                                          : "on, off after a reset"));
}

/* The driver's own word, in brief; with --json all of it. */
int verb_provider(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *reply = NULL, *summary = NULL;
        json_t *report, *gpu, *instances;
        int r = find_provider(cli, arguments[0], &path);

        if (r >= 0)
                r = bus_call(cli, path, PROVIDER, "Query", "s a{sv}", json_pack("[s, {}]", "report"), &reply);
        if (r < 0)
                return r;
        if (cli->json)
                return show_json(cli, json_array_get(reply, 0));
        report = json_object_get(json_array_get(reply, 0), "report");
        gpu = json_object_get(report, "gpu");
        summary = json_is_object(gpu) ? json_copy(gpu) : json_object();
        if (json_object_get(report, "library"))
                (void) json_object_set(summary, "library", json_object_get(report, "library"));
        if (json_object_get(json_array_get(reply, 0), "why"))
                (void) json_object_set(summary, "why", json_object_get(json_array_get(reply, 0), "why"));
        flatten_mig(summary);
        r = show_lines(cli, report_lines, ELEMENTSOF(report_lines), summary, false);
        instances = json_object_get(gpu, "instances");
        if (r < 0 || json_array_size(instances) == 0)
                return r;
        (void) putchar('\n');
        return show_table(cli, instance_columns, ELEMENTSOF(instance_columns), instances, false);
}
