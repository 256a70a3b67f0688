/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Changes of the host: single events, storms of them, and nothing at all. */

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "measure.h"

#define EVENT_TIMEOUT_USEC 5e6
#define STORM_TIMEOUT_USEC 60e6
#define STORM_EVENTS "4096"
#define STORM_ORDER "/run/passthroughd-simhost/control/storm"
#define SETTLED_USEC 30e3 /* a process that has used no time for so long has come to its end */
#define SUBSCRIBERS_MAX 1024

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

static void one_event(const char *slot, bool bind, const char *driver, Arrival *arrival, double *ret_ours,
                      double *ret_bare) {
        char path[PATH_SIZE];
        double began;

        (void) snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/%s", driver, bind ? "bind" : "unbind");
        *arrival = (Arrival) { 0 };
        began = now_usec();
        write_text(path, slot);
        while (arrival->ours == 0 || arrival->bare == 0) {
                int r = sd_bus_process(client_bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(client_bus, UINT64_C(5000000));
                if (r < 0 || now_usec() - began > EVENT_TIMEOUT_USEC)
                        fail("no signal for an event", r < 0 ? r : -ETIMEDOUT, NULL);
        }
        *ret_ours = arrival->ours - began;
        *ret_bare = arrival->bare - began;
}

/* Both hear the same event at the same time; which of them the bus serves first is left to it. */
void kind_events(int n, char **words) {
        static double ours[ROUNDS_MAX], bare[ROUNDS_MAX];
        const char *slot = words[0], *driver = words[1];
        size_t rounds = rounds_of(n, words, 2, 100);
        Arrival arrival = { 0 };
        char id[128], match[PATH_SIZE];

        rounds += rounds % 2; /* it ends bound, as it began */
        (void) snprintf(id, sizeof(id), "pci_%s", slot);
        for (char *c = id; *c; c++)
                if (*c == ':' || *c == '.')
                        *c = '_';
        (void) snprintf(match, sizeof(match),
                        "type='signal',interface='org.freedesktop.DBus.Properties',path='" ROOT
                        "/devices/%s',arg0='" SERVICE ".Device'", id);
        if (sd_bus_add_match(client_bus, NULL, match, on_ours, &arrival) < 0 ||
            sd_bus_add_match(client_bus, NULL, "type='signal',path='/monitor'", on_bare, &arrival) < 0)
                fail("match", -EINVAL, NULL);
        for (size_t i = 0; i < rounds; i++)
                one_event(slot, i % 2 == 1, driver, &arrival, &ours[i], &bare[i]);
        print_pair(ours, bare, rounds);
}

/* ---- storms ---- */

/* What all threads of the process have run so far. */
static double cpu_usec(pid_t pid) {
        char path[PATH_SIZE];
        double total = 0;
        DIR *dir;

        (void) snprintf(path, sizeof(path), "/proc/%d/task", pid);
        dir = opendir(path);
        if (!dir)
                fail(path, -errno, NULL);
        for (struct dirent *entry; (entry = readdir(dir));) {
                unsigned long long ran;
                FILE *f;

                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/%d/task/%.32s/schedstat", pid, entry->d_name);
                f = fopen(path, "re");
                if (f && fscanf(f, "%llu", &ran) == 1)
                        total += (double) ran / 1e3;
                if (f)
                        (void) fclose(f);
        }
        closedir(dir);
        return total;
}

/* Returns when the process last did something. */
static double wait_settled(pid_t pid) {
        double began = now_usec(), last = began, used = cpu_usec(pid), next;

        while (now_usec() - last < SETTLED_USEC) {
                usleep(500);
                next = cpu_usec(pid);
                if (next > used)
                        last = now_usec();
                used = next;
                if (now_usec() - began > STORM_TIMEOUT_USEC)
                        fail("the storm has no end", -ETIMEDOUT, NULL);
        }
        return last;
}

/* One storm for `pid` alone: the other process sleeps through it, and then makes up for it. */
static void one_storm(pid_t pid, pid_t other, double *ret_wall, double *ret_cpu) {
        double began, used;

        (void) kill(other, SIGSTOP);
        (void) wait_settled(pid);
        used = cpu_usec(pid);
        began = now_usec();
        write_text(STORM_ORDER, STORM_EVENTS);
        *ret_wall = wait_settled(pid) - began;
        *ret_cpu = cpu_usec(pid) - used;
        (void) kill(other, SIGCONT);
        (void) wait_settled(other);
}

void kind_storm(int n, char **words) {
        static double wall[2][ROUNDS_MAX], cpu[2][ROUNDS_MAX];
        pid_t pids[] = { atoi(words[0]), atoi(words[1]) };
        size_t rounds = rounds_of(n, words, 2, 5);

        if (pids[0] <= 1 || pids[1] <= 1)
                fail("storm", -EINVAL, NULL);
        for (size_t i = 0; i < rounds; i++)
                for (size_t which = 0; which < 2; which++)
                        one_storm(pids[which], pids[!which], &wall[which][i], &cpu[which][i]);
        printf("%.0f %.0f %.0f %.0f\n", percentile(cpu[0], rounds, 0.5), percentile(cpu[1], rounds, 0.5),
               percentile(wall[0], rounds, 0.5), percentile(wall[1], rounds, 0.5));
}

/* ---- silence ---- */

void kind_subscribe(int n, char **words) {
        static sd_bus *buses[SUBSCRIBERS_MAX];
        size_t count = rounds_of(n, words, 0, 100);
        char byte;

        if (count > SUBSCRIBERS_MAX)
                count = SUBSCRIBERS_MAX;
        for (size_t i = 0; i < count; i++) {
                int r = sd_bus_open_system(&buses[i]);

                if (r >= 0)
                        r = sd_bus_add_match(buses[i], NULL, "type='signal',sender='" SERVICE "'", on_ours, NULL);
                if (r < 0)
                        fail("a subscriber", r, NULL);
        }
        printf("ready\n");
        (void) fflush(stdout);
        while (read(STDIN_FILENO, &byte, 1) > 0)
                ;
}
