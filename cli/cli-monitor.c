/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The service's signals as they come, one line each. */

#include <time.h>

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-job.h"
#include "cli-object.h"
#include "cli-value.h"
#include "cli-verbs.h"
#include "lib/id.h"

/* "/org/passthroughd1/devices/pci_0000_01_00_0" is "device pci-0000-01-00-0". */
static void object_name(const char *path, char *ret, size_t size) {
        const char *rest = startswith(path, BUS_ROOT "/"), *slash = rest ? strchr(rest, '/') : NULL;
        char id[ID_SIZE];

        if (slash && id_from_path_element(slash + 1, id) >= 0)
                (void) snprintf(ret, size, "%.*s %s", (int) (slash - rest) - 1, rest,
                                id); /* without the plural's s */
        else
                (void) snprintf(ret, size, "%s", rest ? rest : "service");
}

static void print_time(void) {
        struct timespec now;
        struct tm tm;
        char text[32];

        (void) clock_gettime(CLOCK_REALTIME, &now);
        (void) localtime_r(&now.tv_sec, &tm);
        (void) strftime(text, sizeof(text), "%H:%M:%S", &tm);
        (void) printf("%s.%03ld ", text, now.tv_nsec / 1000000);
}

static void print_values(json_t *object) {
        const char *name;
        json_t *value;

        json_object_foreach(object, name, value) {
                _cleanup_free_ char *text = NULL;

                if (json_is_string(value) || json_is_array(value)) {
                        json_auto_t *id = id_of_path(value);

                        (void) cell_text(id, &text);
                } else
                        (void) cell_text(value, &text);
                (void) printf(" %s=", name);
                print_clean(stdout, strempty(text));
        }
}

static void print_signal(const char *path, const char *member, json_t *values) {
        json_t *value;
        char name[ID_SIZE * 2];
        size_t index;

        print_time();
        object_name(streq(member, "InterfacesAdded") || streq(member, "InterfacesRemoved")
                            ? strempty(json_string_value(json_array_get(values, 0)))
                            : path,
                    name, sizeof(name));
        (void) printf("%s", name);
        if (streq(member, "PropertiesChanged")) {
                print_values(json_array_get(values, 1));
                json_array_foreach(json_array_get(values, 2), index, value)(void)
                        printf(" %s changed", strempty(json_string_value(value)));
        } else if (streq(member, "InterfacesAdded"))
                (void) printf(" is new");
        else if (streq(member, "InterfacesRemoved"))
                (void) printf(" is gone");
        else {
                (void) printf(" %s", member);
                json_array_foreach(values, index, value) {
                        json_auto_t *id = id_of_path(value);
                        _cleanup_free_ char *text = NULL;

                        if (cell_text(id, &text) >= 0 && !isempty(text)) {
                                (void) fputs(" ", stdout);
                                print_clean(stdout, text);
                        }
                }
        }
        (void) putchar('\n');
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Cli *cli = userdata;
        json_auto_t *values = NULL, *object = NULL;

        if (values_read(m, &values) < 0)
                return 0;
        if (!cli->json) {
                print_signal(strempty(sd_bus_message_get_path(m)), strempty(sd_bus_message_get_member(m)),
                             values);
                return 0;
        }
        object = json_pack("{s:s, s:s, s:s, s:O}", "path", strempty(sd_bus_message_get_path(m)), "interface",
                           strempty(sd_bus_message_get_interface(m)), "member",
                           strempty(sd_bus_message_get_member(m)), "values", values);
        (void) json_dumpf(object, stdout, JSON_COMPACT);
        (void) putchar('\n');
        return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Cli *cli = userdata;
        const char *name, *old, *new;

        if (sd_bus_message_read(m, "sss", &name, &old, &new) < 0)
                return 0;
        if (cli->json) {
                (void) printf("{\"member\": \"%s\"}\n", isempty(new) ? "ServiceStopped" : "ServiceStarted");
                return 0;
        }
        print_time();
        (void) printf("service %s\n", isempty(new) ? "has stopped" : "has started");
        return 0;
}

int verb_monitor(Cli *cli, char **arguments, int n) {
        sd_bus_slot *slots[2] = { NULL };
        Loop loop;
        int r;

        (void) setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads us wants it now */
        r = sd_bus_add_match(cli->bus, &slots[0], "type='signal',sender='" BUS_NAME "'", on_signal, cli);
        if (r >= 0)
                r = sd_bus_add_match(cli->bus, &slots[1],
                                     "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',"
                                     "arg0='" BUS_NAME "'",
                                     on_owner, cli);
        if (r < 0)
                r = cli_fail_bus(cli, r, NULL);
        else {
                r = loop_begin(&loop, cli, cli->timeout_usec);
                if (r >= 0)
                        r = loop_run(&loop);
                loop_end(&loop);
        }
        sd_bus_slot_unref(slots[0]);
        sd_bus_slot_unref(slots[1]);
        return r;
}
