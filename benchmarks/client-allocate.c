/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Allocations: one after the other, many at once, and one that nobody ever permits. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "client.h"
#include "measure.h"

#define CROWD_MAX 1024
#define SYNCS 3 /* allocate, activate and release are durable when they are answered */

/* `how`: "activate" at once, or "thick": the device is reserved until the release. */
static sd_bus_message *allocate_call(sd_bus *bus, const char *group, const char *how) {
        sd_bus_message *m;
        int r = sd_bus_message_new_method_call(bus, &m, SERVICE, ROOT, MANAGER, "Allocate");

        if (r >= 0)
                r = sd_bus_message_append(m, "saa{sv}a{sv}", "bench", 1, 1, "group", "s", group, 1, how, "b", true);
        if (r < 0)
                fail("Allocate", r, NULL);
        return m;
}

static void release(const char *allocation) {
        sd_bus_message *m = new_call(SERVICE, allocation, SERVICE ".Allocation", "Release"), *reply;
        const char *job;

        if (sd_bus_message_append(m, "a{sv}", 0) < 0)
                fail("Release", -EINVAL, NULL);
        reply = call(m);
        if (sd_bus_message_read(reply, "o", &job) < 0)
                fail("Release", -EBADMSG, NULL);
        wait_job(job);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
}

/* ---- one after the other ---- */

static double our_cycle(const char *group) {
        sd_bus_message *m = allocate_call(client_bus, group, "activate"), *reply;
        double began = now_usec();
        const char *allocation, *job;

        reply = call(m);
        if (sd_bus_message_read(reply, "oo", &allocation, &job) < 0)
                fail("Allocate", -EBADMSG, NULL);
        wait_job(job);
        release(allocation);
        double took = now_usec() - began;
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
        return took;
}

/* What no service can do without: three answers, the device bound to vfio-pci and back, three durable writes. */
static double bare_cycle(const char *slot, const char *driver, int fd) {
        char override[PATH_SIZE], unbind[PATH_SIZE], line[4096] = "";
        double began;

        (void) snprintf(override, sizeof(override), "/sys/bus/pci/devices/%s/driver_override", slot);
        (void) snprintf(unbind, sizeof(unbind), "/sys/bus/pci/drivers/%s/unbind", driver);
        began = now_usec();
        for (unsigned i = 0; i < SYNCS; i++) {
                (void) timed_echo_ping();
                if (write(fd, line, sizeof(line)) < 0 || fdatasync(fd) < 0)
                        fail("a durable write", -errno, NULL);
        }
        write_text(override, "vfio-pci\n");
        write_text(unbind, slot);
        write_text("/sys/bus/pci/drivers_probe", slot);
        write_text(override, "\n");
        write_text("/sys/bus/pci/drivers/vfio-pci/unbind", slot);
        write_text("/sys/bus/pci/drivers_probe", slot);
        return now_usec() - began;
}

void kind_cycle(int n, char **words) {
        static double ours[ROUNDS_MAX], bare[ROUNDS_MAX];
        size_t rounds = rounds_of(n, words, 4, 20);
        char path[PATH_SIZE];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/bare-cycle", words[3]);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                fail(path, -errno, NULL);
        for (size_t i = 0; i < rounds; i++) {
                ours[i] = our_cycle(words[0]);
                bare[i] = bare_cycle(words[1], words[2], fd);
        }
        close(fd);
        (void) unlink(path);
        print_pair(ours, bare, rounds);
}

/* ---- many at once ---- */

typedef struct Crowd {
        sd_event *event;
        sd_bus *buses[CROWD_MAX];
        char allocations[CROWD_MAX][PATH_SIZE], devices[CROWD_MAX][PATH_SIZE];
        size_t n, answered;
} Crowd;

static Crowd crowd;

static void take_reply(sd_bus_message *reply) {
        const char *allocation, *job;

        if (sd_bus_message_is_method_error(reply, NULL))
                fail("Allocate", -EIO, sd_bus_message_get_error(reply));
        if (sd_bus_message_read(reply, "oo", &allocation, &job) < 0)
                fail("Allocate", -EBADMSG, NULL);
        (void) snprintf(crowd.allocations[crowd.answered++], PATH_SIZE, "%s", allocation);
}

static int on_allocated(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        take_reply(reply);
        return 0;
}

static double one_by_one(const char *group) {
        double began = now_usec();

        crowd.answered = 0;
        for (size_t i = 0; i < crowd.n; i++) {
                sd_bus_message *m = allocate_call(client_bus, group, "thick"), *reply = call(m);

                take_reply(reply);
                sd_bus_message_unref(reply);
                sd_bus_message_unref(m);
        }
        return now_usec() - began;
}

static double all_at_once(const char *group) {
        double began;
        int r = sd_event_new(&crowd.event);

        for (size_t i = 0; i < crowd.n && r >= 0; i++)
                r = sd_bus_attach_event(crowd.buses[i], crowd.event, 0);
        crowd.answered = 0;
        began = now_usec();
        for (size_t i = 0; i < crowd.n && r >= 0; i++) {
                sd_bus_message *m = allocate_call(crowd.buses[i], group, "thick");

                r = sd_bus_call_async(crowd.buses[i], NULL, m, on_allocated, NULL, UINT64_C(60000000));
                sd_bus_message_unref(m);
        }
        /* Not to the loop's exit, which would close the connections. */
        while (r >= 0 && crowd.answered < crowd.n)
                r = sd_event_run(crowd.event, UINT64_MAX);
        if (r < 0)
                fail("the crowd", r, NULL);
        double took = now_usec() - began;
        for (size_t i = 0; i < crowd.n; i++)
                sd_bus_detach_event(crowd.buses[i]);
        sd_event_unref(crowd.event);
        return took;
}

static int compare_device(const void *a, const void *b) {
        return strcmp(a, b);
}

/* How many allocations have a device that another has too; releases them all. */
static size_t count_doubled(void) {
        size_t doubled = 0;

        for (size_t i = 0; i < crowd.n; i++) {
                sd_bus_error error = SD_BUS_ERROR_NULL;
                char **devices = NULL;
                int r = sd_bus_get_property_strv(client_bus, SERVICE, crowd.allocations[i], SERVICE ".Allocation", "Devices",
                                                 &error, &devices);

                if (r < 0)
                        fail("Devices", r, &error);
                if (!devices || !devices[0] || devices[1])
                        fail("an allocation without one device", -EBADMSG, NULL);
                (void) snprintf(crowd.devices[i], PATH_SIZE, "%s", devices[0]);
                free(devices[0]);
                free(devices);
        }
        qsort(crowd.devices, crowd.n, PATH_SIZE, compare_device);
        for (size_t i = 1; i < crowd.n; i++)
                doubled += strcmp(crowd.devices[i - 1], crowd.devices[i]) == 0;
        for (size_t i = 0; i < crowd.n; i++)
                release(crowd.allocations[i]);
        return doubled;
}

void kind_crowd(int n, char **words) {
        static double single[ROUNDS_MAX], at_once[ROUNDS_MAX];
        size_t rounds = rounds_of(n, words, 2, 3), doubled = 0;

        crowd.n = rounds_of(n, words, 1, 64);
        if (crowd.n > CROWD_MAX)
                crowd.n = CROWD_MAX;
        for (size_t i = 0; i < crowd.n; i++) {
                const char *name;

                /* Asking for the name waits until the bus has let us in. */
                if (sd_bus_open_system(&crowd.buses[i]) < 0 || sd_bus_get_unique_name(crowd.buses[i], &name) < 0)
                        fail("a client", -EIO, NULL);
        }
        for (size_t i = 0; i < rounds; i++) {
                single[i] = one_by_one(words[0]);
                doubled += count_doubled();
                at_once[i] = all_at_once(words[0]);
                doubled += count_doubled();
        }
        printf("%.1f %.1f %zu\n", percentile(single, rounds, 0.5), percentile(at_once, rounds, 0.5), doubled);
}

/* ---- without an answer ---- */

void kind_ask(int n, char **words) {
        size_t count = rounds_of(n, words, 1, 64);
        char byte;

        for (size_t i = 0; i < count; i++) {
                sd_bus_message *m = allocate_call(client_bus, words[0], "thick");

                if (sd_bus_send(client_bus, m, NULL) < 0)
                        fail("Allocate", -EIO, NULL);
                sd_bus_message_unref(m);
        }
        if (sd_bus_flush(client_bus) < 0)
                fail("Allocate", -EIO, NULL);
        printf("ready\n");
        (void) fflush(stdout);
        while (read(STDIN_FILENO, &byte, 1) > 0)
                ;
}
