/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of passthroughctl share: the command line, the connection, and how a failure is
 * reported.
 *
 * Every function that can fail returns a negative number when it did; whoever found the failure has
 * reported it by then, by cli_fail() or one of its relatives, which also settle the exit status. Verbs
 * return 0 or the exit status. */

#include <jansson.h>
#include <stdio.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "lib/macro.h"

#define BUS_NAME "org.passthroughd1"
#define BUS_ROOT "/org/passthroughd1"
#define INTERFACE(name) BUS_NAME "." name
#define ERROR_PREFIX BUS_NAME ".Error."

/* Documented in passthroughctl(1). */
enum {
        STATUS_OK = 0,
        STATUS_FAILED = 1,
        STATUS_USAGE = 2,
        STATUS_CHANGED = 2, /* of apply, where it is asked for */
        STATUS_NOT_FOUND = 3,
        STATUS_NOT_AUTHORIZED = 4,
        STATUS_UNAVAILABLE = 5, /* blocked, busy, or nothing free */
        STATUS_NO_SERVICE = 6,
        STATUS_STILL_RUNNING = 7, /* the time to wait is over, the job is not */
        STATUS_WARNINGS = 8,      /* check: something is not as it should be, or not known */
        STATUS_PROBLEMS = 9,      /* check: devices can't be handed out, or not safely */
        STATUS_INTERRUPTED = 130,
};

typedef struct Cli Cli;

/* One option of a verb, or one that all verbs have. */
typedef struct Option {
        const char *name; /* without the dashes */
        char letter;      /* its short form; 0: none */
        const char
                *argument; /* what its argument is called; NULL: a switch; "[X]": may be given as --name=X */
        const char *words; /* completion: the valid words, or "@KIND" of verb_complete() */
        const char *help;
} Option;

/* One entry of the verb table: the parser, the help and the completion are made from it. */
typedef struct Verb {
        const char *name;      /* one or two words */
        const char *arguments; /* as in the help; a word is completed by `words` */
        const char *words;     /* what completes each argument, separated by '|'; the last one also for more */
        int min, max;          /* number of arguments; max -1: any */
        const Option *options; /* ended by name NULL; may be NULL */
        int (*run)(Cli *cli, char **arguments, int n);
        const char *help; /* NULL: not shown */
        bool no_bus;      /* needs no connection */
} Verb;

typedef struct OptionValue {
        const Option *option;
        const char *value; /* NULL for a switch */
} OptionValue;

struct Cli {
        const Verb *verb;
        OptionValue *values;
        size_t n_values;
        sd_bus *bus;
        sd_event *event;
        const char *host; /* --host; NULL: this machine */
        bool json;
        bool quiet;    /* a failure is settled, but not shown */
        bool colour;   /* of standard output */
        bool progress; /* standard error is a terminal */
        bool no_legend;
        bool no_wait;
        bool ask_password;
        uint64_t timeout_usec; /* of waiting for jobs; UINT64_MAX: none */
        pid_t agent;           /* pkttyagent; 0: none */
        int status;            /* of the failure that was reported */
};

/* cli-verbs.c */
extern const Verb verbs[];
extern const Option common_options[];

/* cli-options.c: one pass over the command line. 1: there is nothing to run any more. */
int cli_parse(Cli *cli, int argc, char **argv, char ***ret_arguments, int *ret_n);
bool option_given(const Cli *cli, const char *name);
const char *option_text(const Cli *cli, const char *name); /* the last one; NULL: not given */
/* Next value of an option that may stand several times; start with *at = 0. */
const char *option_next(const Cli *cli, const char *name, size_t *at);
/* Numbers from `min` to `max`; `ret` is untouched when the option is not given. */
int option_number(Cli *cli, const char *name, long min, long max, long *ret);
/* A time such as 90, 90s or 2m, as whole seconds. 1: it was given. */
int option_seconds(Cli *cli, const char *name, unsigned *ret);
/* Yes, no and their relatives. 1: it was given. */
int option_bool(Cli *cli, const char *name, bool *ret);

/* cli-help.c */
void help_all(FILE *f);
void help_verb(const Verb *verb, FILE *f);
int verb_help(Cli *cli, char **arguments, int n);

/* cli-completion.c */
int verb_completion(Cli *cli, char **arguments, int n);
int verb_complete(Cli *cli, char **arguments, int n);

/* cli-report.c: reports and settles the exit status; always a negative number. */
int cli_fail(Cli *cli, int status, const char *format, ...) PRINTF_LIKE(3, 4);
int cli_oom(Cli *cli);
/* `word`: the last part of the error's name. */
int cli_fail_word(Cli *cli, int status, const char *word, const char *message);
int cli_fail_bus(Cli *cli, int result, const sd_bus_error *error);
/* Remarks on standard error, not with --json. */
void cli_note(const Cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);
/* Exit status for an error's word. */
int status_of_error(const char *word);
