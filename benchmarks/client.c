/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "measure.h"

#define CALL_TIMEOUT_USEC UINT64_C(60000000)

sd_bus *client_bus;

void fail(const char *what, int r, const sd_bus_error *error) {
        (void) fprintf(stderr, "bench-client: %s: %s\n", what, error && error->message ? error->message : strerror(-r));
        exit(1);
}

sd_bus_message *call(sd_bus_message *m) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        int r = sd_bus_call(client_bus, m, CALL_TIMEOUT_USEC, &error, &reply);

        if (r < 0)
                fail(sd_bus_message_get_member(m), r, &error);
        return reply;
}

/* Reads everything, as a client that shows it would. */
static void parse(sd_bus_message *m) {
        const char *contents;
        char type;

        while (sd_bus_message_peek_type(m, &type, &contents) > 0)
                if (type == 'a' || type == 'v' || type == 'r' || type == 'e') {
                        if (sd_bus_message_enter_container(m, type, contents) < 0)
                                fail("a reply", -EBADMSG, NULL);
                        parse(m);
                        if (sd_bus_message_exit_container(m) < 0)
                                fail("a reply", -EBADMSG, NULL);
                } else {
                        union {
                                uint64_t number;
                                const char *text;
                        } value;
                        if (sd_bus_message_read_basic(m, type, &value) < 0)
                                fail("a reply", -EBADMSG, NULL);
                }
}

sd_bus_message *new_call(const char *service, const char *path, const char *interface, const char *member) {
        sd_bus_message *m;
        int r = sd_bus_message_new_method_call(client_bus, &m, service, path, interface, member);

        if (r < 0)
                fail(member, r, NULL);
        return m;
}

double timed(sd_bus_message *m) {
        double began = now_usec();
        sd_bus_message *reply = call(m);

        parse(reply);
        double took = now_usec() - began;
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
        return took;
}

void remember(sd_bus_message *reply) {
        sd_bus_message *m = new_call(ECHO, "/echo", ECHO, "Remember");
        const char *signature = sd_bus_message_get_signature(reply, true);
        char wrapped[512];

        (void) snprintf(wrapped, sizeof(wrapped), "(%s)", signature);
        if (sd_bus_message_rewind(reply, true) < 0 || sd_bus_message_open_container(m, 'v', wrapped) < 0 ||
            sd_bus_message_open_container(m, 'r', signature) < 0 || sd_bus_message_copy(m, reply, true) < 0 ||
            sd_bus_message_close_container(m) < 0 || sd_bus_message_close_container(m) < 0)
                fail("Remember", -EINVAL, NULL);
        sd_bus_message_unref(call(m));
        sd_bus_message_unref(m);
}

double timed_echo(void) {
        return timed(new_call(ECHO, "/echo", ECHO, "Echo"));
}

double timed_echo_ping(void) {
        return timed(new_call(ECHO, "/echo", ECHO, "Ping"));
}

void wait_job(const char *job) {
        sd_bus_message *m = new_call(SERVICE, job, SERVICE ".Job", "Wait"), *reply;
        const char *result, *error, *message;

        if (sd_bus_message_append(m, "a{sv}", 0) < 0)
                fail("Wait", -EINVAL, NULL);
        reply = call(m);
        if (sd_bus_message_read(reply, "sss", &result, &error, &message) < 0)
                fail("Wait", -EBADMSG, NULL);
        if (strcmp(result, "done") != 0) {
                (void) fprintf(stderr, "bench-client: %s ended as %s: %s %s\n", job, result, error, message);
                exit(1);
        }
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
}

void print_pair(double *ours, double *bare, size_t n) {
        printf("%.1f %.1f\n", percentile(ours, n, 0.5), percentile(bare, n, 0.5));
}

void write_text(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                fail(path, -errno, NULL);
        close(fd);
}

bool told_to_end(void) {
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

        return poll(&input, 1, 0) > 0;
}

size_t rounds_of(int n, char **words, int index, size_t standard) {
        size_t rounds = n > index ? strtoul(words[index], NULL, 10) : standard;

        return rounds == 0 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
}
