/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The measuring client. Each kind asks the service and, alternating with it, a bare service for an answer of the same bytes,
 * and prints both medians in microseconds: "OURS BARE".
 *
 *   list FIELD…         all devices in pages of 100 with these fields, every value parsed
 *   find FIELD OP VALUE [ROUNDS]   what a condition matches
 *   details ID [ROUNDS] the properties of one device's type
 *   ping ROUNDS         p99 of a property read: "P50 P99"
 *   events SLOT DRIVER ROUNDS  from a driver's unbind or bind to the signal that tells of it
 *   cycle GROUP ROUNDS  allocate, activate, release of one device: "OURS ECHO" for one round and one echo */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "measure.h"

#define SERVICE "org.passthroughd1"
#define ROOT "/org/passthroughd1"
#define MANAGER SERVICE ".Manager"
#define ROUNDS_MAX 4096

static sd_bus *bus;

static void fail(const char *what, int r, const sd_bus_error *error) {
        fprintf(stderr, "%s: %s\n", what, error && error->message ? error->message : strerror(-r));
        exit(1);
}

static sd_bus_message *call(sd_bus_message *m) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        int r = sd_bus_call(bus, m, UINT64_C(60000000), &error, &reply);

        if (r < 0)
                fail(sd_bus_message_get_member(m), r, &error);
        return reply;
}

/* Reads everything, as a client that shows it would. Returns the number of basic values. */
static size_t parse(sd_bus_message *m) {
        const char *contents;
        size_t n = 0;
        char type;

        while (sd_bus_message_peek_type(m, &type, &contents) > 0) {
                if (type == 'a' || type == 'v' || type == 'r' || type == 'e') {
                        if (sd_bus_message_enter_container(m, type, contents) < 0)
                                break;
                        n += parse(m);
                        sd_bus_message_exit_container(m);
                } else {
                        union {
                                uint64_t number;
                                const char *text;
                        } value;
                        if (sd_bus_message_read_basic(m, type, &value) < 0)
                                break;
                        n++;
                }
        }
        return n;
}

static sd_bus_message *new_call(const char *service, const char *path, const char *interface, const char *member) {
        sd_bus_message *m;
        int r = sd_bus_message_new_method_call(bus, &m, service, path, interface, member);

        if (r < 0)
                fail(member, r, NULL);
        return m;
}

static double timed(sd_bus_message *m, size_t *ret_values) {
        double began = now_usec();
        sd_bus_message *reply = call(m);
        size_t n = parse(reply);
        double took = now_usec() - began;

        if (ret_values)
                *ret_values = n;
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
        return took;
}

/* Has the bare service remember an answer of ours. */
static void remember(sd_bus_message *reply) {
        sd_bus_message *m = new_call("org.passthroughd.Echo", "/echo", "org.passthroughd.Echo", "Remember");
        const char *signature = sd_bus_message_get_signature(reply, true);
        char wrapped[512];

        snprintf(wrapped, sizeof(wrapped), "(%s)", signature);
        if (sd_bus_message_rewind(reply, true) < 0 || sd_bus_message_open_container(m, 'v', wrapped) < 0 ||
            sd_bus_message_open_container(m, 'r', signature) < 0 || sd_bus_message_copy(m, reply, true) < 0 ||
            sd_bus_message_close_container(m) < 0 || sd_bus_message_close_container(m) < 0)
                fail("Remember", -EINVAL, NULL);
        sd_bus_message_unref(call(m));
        sd_bus_message_unref(m);
}

static double timed_echo(void) {
        return timed(new_call("org.passthroughd.Echo", "/echo", "org.passthroughd.Echo", "Echo"), NULL);
}

static void print_pair(double *ours, double *bare, size_t n) {
        printf("%.1f %.1f\n", percentile(ours, n, 0.5), percentile(bare, n, 0.5));
}

/* ---- the kinds ---- */

static sd_bus_message *page_call(const char *cursor, char **fields) {
        sd_bus_message *m = new_call(SERVICE, ROOT, MANAGER, "ListDevices");
        int r = sd_bus_message_append(m, "sa(sss)", "pci", 0);

        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "cursor", "s", cursor);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "fields");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_append_strv(m, fields);
        for (unsigned i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                fail("ListDevices", r, NULL);
        return m;
}

/* Page by page, ours and the same bytes from the bare service. */
static void list(char **fields) {
        double ours = 0, bare = 0;
        char cursor[128] = "";

        do {
                sd_bus_message *m = page_call(cursor, fields), *reply;
                const char *next;

                reply = call(sd_bus_message_ref(m));
                remember(reply);
                if (sd_bus_message_rewind(reply, true) < 0 || sd_bus_message_skip(reply, "a(oa{sv})") < 0 ||
                    sd_bus_message_read(reply, "s", &next) < 0)
                        fail("cursor", -EBADMSG, NULL);
                char following[128];
                snprintf(following, sizeof(following), "%s", next);
                sd_bus_message_unref(reply);
                sd_bus_message_unref(m);

                double a[3], b[3];
                for (size_t i = 0; i < 3; i++) {
                        a[i] = timed(page_call(cursor, fields), NULL);
                        b[i] = timed_echo();
                }
                ours += percentile(a, 3, 0.5);
                bare += percentile(b, 3, 0.5);
                memcpy(cursor, following, sizeof(cursor));
        } while (cursor[0] != '\0');
        printf("%.0f %.0f\n", ours, bare);
}

static sd_bus_message *find_call(char **argv) {
        sd_bus_message *m = new_call(SERVICE, ROOT, MANAGER, "ListDevices");
        int r = sd_bus_message_append(m, "sa(sss)a{sv}", "pci", 1, argv[0], argv[1], argv[2], 0);

        if (r < 0)
                fail("ListDevices", r, NULL);
        return m;
}

static sd_bus_message *details_call(char **argv) {
        sd_bus_message *m;
        char path[256];
        int r;

        snprintf(path, sizeof(path), ROOT "/devices/%s", argv[0]);
        m = new_call(SERVICE, path, "org.freedesktop.DBus.Properties", "GetAll");
        r = sd_bus_message_append(m, "s", SERVICE ".Device.Pci");
        if (r < 0)
                fail("GetAll", r, NULL);
        return m;
}

static void compare(sd_bus_message *(*make)(char **argv), char **argv, size_t rounds) {
        static double ours[ROUNDS_MAX], bare[ROUNDS_MAX];
        sd_bus_message *m = make(argv), *reply = call(m);

        remember(reply);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
        for (size_t i = 0; i < rounds; i++) {
                ours[i] = timed(make(argv), NULL);
                bare[i] = timed_echo();
        }
        print_pair(ours, bare, rounds);
}

static sd_bus_message *ping_call(char **argv) {
        sd_bus_message *m = new_call(SERVICE, ROOT, "org.freedesktop.DBus.Properties", "Get");

        if (sd_bus_message_append(m, "ss", MANAGER, "Version") < 0)
                fail("Get", -EINVAL, NULL);
        return m;
}

static void ping(size_t rounds) {
        static double values[ROUNDS_MAX];

        for (size_t i = 0; i < rounds; i++)
                values[i] = timed(ping_call(NULL), NULL);
        double p99 = percentile(values, rounds, 0.99);
        printf("%.1f %.1f\n", percentile(values, rounds, 0.5), p99);
}

static void wait_job(const char *job) {
        sd_bus_message *m = new_call(SERVICE, job, SERVICE ".Job", "Wait"), *reply;
        const char *result, *error, *message;

        if (sd_bus_message_append(m, "a{sv}", 0) < 0)
                fail("Wait", -EINVAL, NULL);
        reply = call(m);
        if (sd_bus_message_read(reply, "sss", &result, &error, &message) < 0 || strcmp(result, "done") != 0) {
                fprintf(stderr, "%s: %s %s\n", job, error, message);
                exit(1);
        }
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
}

static void one_cycle(const char *group) {
        sd_bus_message *m = new_call(SERVICE, ROOT, MANAGER, "Allocate"), *reply;
        const char *allocation, *job;
        char path[256];

        if (sd_bus_message_append(m, "saa{sv}a{sv}", "bench", 1, 1, "group", "s", group, 1, "activate", "b", true) < 0)
                fail("Allocate", -EINVAL, NULL);
        reply = call(m);
        if (sd_bus_message_read(reply, "oo", &allocation, &job) < 0)
                fail("Allocate", -EBADMSG, NULL);
        snprintf(path, sizeof(path), "%s", allocation);
        wait_job(job);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);

        m = new_call(SERVICE, path, SERVICE ".Allocation", "Release");
        if (sd_bus_message_append(m, "a{sv}", 0) < 0)
                fail("Release", -EINVAL, NULL);
        reply = call(m);
        if (sd_bus_message_read(reply, "o", &job) < 0)
                fail("Release", -EBADMSG, NULL);
        wait_job(job);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
}

static void cycle(const char *group, size_t rounds) {
        static double ours[ROUNDS_MAX], bare[ROUNDS_MAX];

        for (size_t i = 0; i < rounds; i++) {
                double began = now_usec();
                one_cycle(group);
                ours[i] = now_usec() - began;
                bare[i] = timed(new_call("org.passthroughd.Echo", "/echo", "org.passthroughd.Echo", "Ping"), NULL);
        }
        print_pair(ours, bare, rounds);
}

/* ---- events ---- */

typedef struct Arrival {
        double ours, bare;
} Arrival;

static int on_ours(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ((Arrival *) userdata)->ours = now_usec();
        return 0;
}

static int on_bare(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ((Arrival *) userdata)->bare = now_usec();
        return 0;
}

static void write_text(const char *path, const char *text) {
        FILE *f = fopen(path, "we");

        if (!f || fputs(text, f) < 0 || fclose(f) != 0)
                fail(path, -EIO, NULL);
}

static void one_event(const char *slot, bool bind, const char *driver, Arrival *arrival, double *ret_ours,
                      double *ret_bare) {
        char path[256];
        double began;

        snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/%s", driver, bind ? "bind" : "unbind");
        *arrival = (Arrival) { 0 };
        began = now_usec();
        write_text(path, slot);
        while (arrival->ours == 0 || arrival->bare == 0) {
                int r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_C(5000000));
                if (r < 0 || now_usec() - began > 5e6)
                        fail("no signal for an event", r < 0 ? r : -ETIMEDOUT, NULL);
        }
        *ret_ours = arrival->ours - began;
        *ret_bare = arrival->bare - began;
}

/* Both hear the same event at the same time; which of them the bus serves first is left to it. */
static void events(const char *slot, const char *driver, size_t rounds) {
        static double ours[ROUNDS_MAX], bare[ROUNDS_MAX];
        Arrival arrival = { 0 };
        char id[128], match[512];

        snprintf(id, sizeof(id), "pci_%s", slot);
        for (char *c = id; *c; c++)
                if (*c == ':' || *c == '.')
                        *c = '_';
        snprintf(match, sizeof(match),
                 "type='signal',interface='org.freedesktop.DBus.Properties',path='" ROOT "/devices/%s',arg0='" SERVICE
                 ".Device'", id);
        if (sd_bus_add_match(bus, NULL, match, on_ours, &arrival) < 0 ||
            sd_bus_add_match(bus, NULL, "type='signal',path='/monitor'", on_bare, &arrival) < 0)
                fail("match", -EINVAL, NULL);
        for (size_t i = 0; i < rounds; i++)
                one_event(slot, i % 2 == 1, driver, &arrival, &ours[i], &bare[i]);
        if (rounds % 2 == 1)
                one_event(slot, true, driver, &arrival, &ours[0], &bare[0]);
        print_pair(ours, bare, rounds);
}

static size_t rounds_of(int argc, char **argv, int index, size_t standard) {
        size_t n = argc > index ? strtoul(argv[index], NULL, 10) : standard;

        return n == 0 ? 1 : n > ROUNDS_MAX ? ROUNDS_MAX : n;
}

int main(int argc, char **argv) {
        int r = sd_bus_open_system(&bus);

        if (r < 0)
                fail("the bus", r, NULL);
        if (argc > 2 && strcmp(argv[1], "list") == 0)
                list(argv + 2);
        else if (argc > 4 && strcmp(argv[1], "find") == 0)
                compare(find_call, argv + 2, rounds_of(argc, argv, 5, 200));
        else if (argc > 2 && strcmp(argv[1], "details") == 0)
                compare(details_call, argv + 2, rounds_of(argc, argv, 3, 500));
        else if (argc > 2 && strcmp(argv[1], "ping") == 0)
                ping(rounds_of(argc, argv, 2, 1000));
        else if (argc > 4 && strcmp(argv[1], "events") == 0)
                events(argv[2], argv[3], rounds_of(argc, argv, 4, 100));
        else if (argc > 3 && strcmp(argv[1], "cycle") == 0)
                cycle(argv[2], rounds_of(argc, argv, 3, 20));
        else {
                fprintf(stderr, "bench-client: see the head of its source\n");
                return 2;
        }
        sd_bus_flush_close_unref(bus);
        return 0;
}
