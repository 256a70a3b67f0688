/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Questions, and the bare service's answers of the same bytes in alternation. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "measure.h"

#define PINGS_MAX 1000000
#define CURSOR_SIZE 128

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

/* Asks for a page, has the bare service remember it, and steps to the next one. */
static void remember_page(const char *cursor, char **fields, char ret_next[static CURSOR_SIZE]) {
        sd_bus_message *m = page_call(cursor, fields), *reply = call(m);
        const char *next;

        remember(reply);
        if (sd_bus_message_rewind(reply, true) < 0 || sd_bus_message_skip(reply, "a(oa{sv})") < 0 ||
            sd_bus_message_read(reply, "s", &next) < 0)
                fail("cursor", -EBADMSG, NULL);
        (void) snprintf(ret_next, CURSOR_SIZE, "%s", next);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
}

void kind_list(int n, char **words) {
        char cursor[CURSOR_SIZE] = "", next[CURSOR_SIZE];
        double ours = 0, bare = 0;

        do {
                double a[3], b[3];

                remember_page(cursor, words, next);
                for (size_t i = 0; i < 3; i++) {
                        a[i] = timed(page_call(cursor, words));
                        b[i] = timed_echo();
                }
                ours += percentile(a, 3, 0.5);
                bare += percentile(b, 3, 0.5);
                memcpy(cursor, next, sizeof(cursor));
        } while (cursor[0] != '\0');
        printf("%.0f %.0f\n", ours, bare);
}

/* As a list that never ends, to disturb others with. */
void kind_load(int n, char **words) {
        bool bare = strcmp(words[0], "echo") == 0;
        char cursor[CURSOR_SIZE] = "", next[CURSOR_SIZE];

        if (bare)
                remember_page("", words + 1, next);
        printf("ready\n");
        (void) fflush(stdout);
        while (!told_to_end()) {
                if (bare) {
                        (void) timed_echo();
                        continue;
                }
                sd_bus_message *m = page_call(cursor, words + 1), *reply = call(m);
                const char *following;
                if (sd_bus_message_skip(reply, "a(oa{sv})") < 0 || sd_bus_message_read(reply, "s", &following) < 0)
                        fail("cursor", -EBADMSG, NULL);
                (void) snprintf(cursor, sizeof(cursor), "%s", following);
                sd_bus_message_unref(reply);
                sd_bus_message_unref(m);
        }
}

static sd_bus_message *find_call(char **words) {
        sd_bus_message *m = new_call(SERVICE, ROOT, MANAGER, "ListDevices");
        int r = sd_bus_message_append(m, "sa(sss)a{sv}", "pci", 1, words[0], words[1], words[2], 0);

        if (r < 0)
                fail("ListDevices", r, NULL);
        return m;
}

static sd_bus_message *details_call(char **words) {
        sd_bus_message *m;
        char path[PATH_SIZE];
        int r;

        (void) snprintf(path, sizeof(path), ROOT "/devices/%s", words[0]);
        m = new_call(SERVICE, path, "org.freedesktop.DBus.Properties", "GetAll");
        r = sd_bus_message_append(m, "s", SERVICE ".Device.Pci");
        if (r < 0)
                fail("GetAll", r, NULL);
        return m;
}

static void compare(sd_bus_message *(*make)(char **words), char **words, size_t rounds) {
        static double ours[ROUNDS_MAX], bare[ROUNDS_MAX];
        sd_bus_message *m = make(words), *reply = call(m);

        remember(reply);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
        for (size_t i = 0; i < rounds; i++) {
                ours[i] = timed(make(words));
                bare[i] = timed_echo();
        }
        print_pair(ours, bare, rounds);
}

void kind_find(int n, char **words) {
        compare(find_call, words, rounds_of(n, words, 3, 200));
}

void kind_details(int n, char **words) {
        compare(details_call, words, rounds_of(n, words, 1, 500));
}

static double ping_ours(void) {
        sd_bus_message *m = new_call(SERVICE, ROOT, "org.freedesktop.DBus.Properties", "Get");

        if (sd_bus_message_append(m, "ss", MANAGER, "Version") < 0)
                fail("Get", -EINVAL, NULL);
        return timed(m);
}

void kind_ping(int n, char **words) {
        static double values[PINGS_MAX];
        size_t rounds = strtoul(words[1], NULL, 10), done = 0;
        bool bare = strcmp(words[0], "echo") == 0, endless = rounds == 0;

        if (endless || rounds > PINGS_MAX)
                rounds = PINGS_MAX;
        while (done < rounds && !(endless && done > 0 && told_to_end()))
                values[done++] = bare ? timed_echo_ping() : ping_ours();
        double p99 = percentile(values, done, 0.99);
        printf("%.1f %.1f %.1f %zu\n", percentile(values, done, 0.5), p99, values[done - 1], done);
}
