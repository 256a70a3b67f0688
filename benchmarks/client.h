/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the kinds of the measuring client share: one connection to the bus, calls that end the program when they fail, and
 * the bare service's answers. */

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-bus.h>

#define SERVICE "org.passthroughd1"
#define ROOT "/org/passthroughd1"
#define MANAGER SERVICE ".Manager"
#define ECHO "org.passthroughd.Echo"
#define ROUNDS_MAX 4096
#define PATH_SIZE 512

extern sd_bus *client_bus;

void fail(const char *what, int r, const sd_bus_error *error) __attribute__((noreturn));
sd_bus_message *new_call(const char *service, const char *path, const char *interface, const char *member);
/* The reply; the call is not consumed. */
sd_bus_message *call(sd_bus_message *m);
/* Microseconds from sending the call to having parsed every value of its reply. Consumes the call. */
double timed(sd_bus_message *m);
/* Has the bare service remember an answer of ours; timed_echo() then asks for the same bytes. */
void remember(sd_bus_message *reply);
double timed_echo(void);
double timed_echo_ping(void);
/* Waits for the job's end, which must be a good one. */
void wait_job(const char *job);
/* Prints the medians. */
void print_pair(double *ours, double *bare, size_t n);
/* Writes to a file that exists. */
void write_text(const char *path, const char *text);
/* Whether whoever started us has closed our standard input: it has had enough. */
bool told_to_end(void);

/* Each takes what follows its name on the command line, and how many words that is. */
void kind_list(int n, char **words);
void kind_find(int n, char **words);
void kind_details(int n, char **words);
void kind_ping(int n, char **words);
void kind_load(int n, char **words);
void kind_events(int n, char **words);
void kind_storm(int n, char **words);
void kind_subscribe(int n, char **words);
void kind_cycle(int n, char **words);
void kind_crowd(int n, char **words);
void kind_ask(int n, char **words);
void kind_start(int n, char **words);
void kind_guard(int n, char **words);
void kind_usb(int n, char **words);

/* The word at `index` as a number of rounds, or the standard. */
size_t rounds_of(int n, char **words, int index, size_t standard);
