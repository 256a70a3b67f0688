/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line, read by the verb table: common options, the verb's one or two words, its options and
 * arguments in any order. */

#include "cli.h"

#include <getopt.h>

#include "lib/parse.h"

#define FIRST_VALUE 1000 /* what getopt returns for an option is this plus its index */

typedef struct OptionSet {
        const Option **known;
        struct option *long_options;
        char *letters;
        size_t n;
} OptionSet;

static void option_set_done(OptionSet *set) {
        free(set->known);
        free(set->long_options);
        free(set->letters);
}

static size_t count_options(const Option *options) {
        size_t n = 0;

        while (options && options[n].name)
                n++;
        return n;
}

static void add_options(OptionSet *set, const Option *options, char *letters) {
        for (; options && options->name; options++) {
                const char *argument = options->argument;

                if (options->letter) {
                        *letters++ = options->letter;
                        if (argument)
                                *letters++ = ':';
                        *letters = '\0';
                }
                set->known[set->n] = options;
                set->long_options[set->n] = (struct option){
                        .name = options->name,
                        .has_arg = !argument            ? no_argument
                                   : argument[0] == '[' ? optional_argument
                                                        : required_argument,
                        .val = (int) (FIRST_VALUE + set->n),
                };
                set->n++;
        }
}

static int make_set(OptionSet *set, const Option *options, bool in_order) {
        size_t n = count_options(options) + count_options(common_options);

        set->known = calloc(n, sizeof(Option *));
        set->long_options = calloc(n + 1, sizeof(struct option));
        set->letters = calloc(2 * n + 2, 1);
        if (!set->known || !set->long_options || !set->letters)
                return -ENOMEM;
        if (in_order) /* it ends at the first word that is no option */
                set->letters[0] = '+';
        add_options(set, common_options, set->letters + strlen(set->letters));
        add_options(set, options, set->letters + strlen(set->letters));
        return 0;
}

static const Option *find_option(const OptionSet *set, int c) {
        if (c >= FIRST_VALUE)
                return set->known[c - FIRST_VALUE];
        for (size_t i = 0; i < set->n; i++)
                if (set->known[i]->letter == c)
                        return set->known[i];
        return NULL;
}

static int read_options(Cli *cli, const Option *options, bool in_order, int argc, char **argv) {
        _cleanup_(option_set_done) OptionSet set = { 0 };
        int c;

        if (make_set(&set, options, in_order) < 0)
                return cli_oom(cli);
        optind = 0;
        while ((c = getopt_long(argc, argv, set.letters, set.long_options, NULL)) >= 0) {
                const Option *option = find_option(&set, c);
                OptionValue *values;

                if (!option) { /* getopt has said what is wrong */
                        cli->status = STATUS_USAGE;
                        return -EINVAL;
                }
                values = reallocarray(cli->values, cli->n_values + 1, sizeof(OptionValue));
                if (!values)
                        return cli_oom(cli);
                cli->values = values;
                values[cli->n_values++] = (OptionValue){ option, optarg };
        }
        return 0;
}

/* The words of a verb: how many of `words` belong to it, 0 if they do not name it. */
static int match_verb(const Verb *verb, char **words, int n) {
        const char *second = strchr(verb->name, ' ');
        size_t length = second ? (size_t) (second - verb->name) : strlen(verb->name);

        if (n < 1 || strlen(words[0]) != length || strncmp(words[0], verb->name, length) != 0)
                return 0;
        if (!second)
                return 1;
        return n > 1 && streq(words[1], second + 1) ? 2 : 0;
}

static int refuse_verb(Cli *cli, char **words, int n) {
        char valid[256] = "";

        for (const Verb *verb = verbs; verb->name; verb++) {
                const char *second = startswith(verb->name, words[0]);

                if (!second || second[0] != ' ' || strlen(valid) + strlen(second) + 2 > sizeof(valid))
                        continue;
                if (valid[0])
                        strcat(valid, ",");
                strcat(valid, second);
        }
        if (valid[0])
                return cli_fail(cli, STATUS_USAGE, "%s%s%s: what follows '%s' must be one of:%s", words[0],
                                n > 1 ? " " : "", n > 1 ? words[1] : "", words[0], valid);
        return cli_fail(cli, STATUS_USAGE, "there is no verb '%s'; passthroughctl help lists them",
                        words[0]);
}

static int find_verb(Cli *cli, char **words, int n) {
        for (const Verb *verb = verbs; verb->name; verb++) {
                int taken = match_verb(verb, words, n);

                if (taken == 0)
                        continue;
                cli->verb = verb;
                return taken;
        }
        return refuse_verb(cli, words, n);
}

static int check_count(Cli *cli, int n) {
        const Verb *verb = cli->verb;

        if (n >= verb->min && (verb->max < 0 || n <= verb->max))
                return 0;
        return cli_fail(cli, STATUS_USAGE, "%s takes %s: passthroughctl %s%s%s", verb->name,
                        verb->max == 0  ? "no arguments"
                        : n < verb->min ? "more arguments"
                                        : "fewer arguments",
                        verb->name, isempty(verb->arguments) ? "" : " ", verb->arguments);
}

static int parse_duration(Cli *cli, const char *text, uint64_t *ret) {
        uint32_t seconds;

        if (streq(text, "infinity"))
                *ret = UINT64_MAX;
        else if (parse_uint32(text, &seconds) < 0)
                return cli_fail(cli, STATUS_USAGE, "'%s' is no time; wanted: seconds, or infinity", text);
        else
                *ret = (uint64_t) seconds * 1000000u;
        return 0;
}

int option_seconds(Cli *cli, const char *name, unsigned *ret) {
        static const struct {
                char letter;
                unsigned seconds;
        } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 } };
        const char *text = option_text(cli, name);
        char number[16] = "";
        unsigned factor = 1;
        uint32_t value;
        size_t n;

        if (!text)
                return 0;
        n = strlen(text);
        for (size_t i = 0; n > 1 && i < ELEMENTSOF(units); i++)
                if (text[n - 1] == units[i].letter) {
                        factor = units[i].seconds;
                        n--;
                        break;
                }
        if (n < sizeof(number))
                memcpy(number, text, n);
        if (parse_uint32(number, &value) < 0 || value > UINT32_MAX / factor)
                return cli_fail(cli, STATUS_USAGE, "'%s' is no time for --%s; wanted: seconds, or a number with s, m or h",
                                text, name);
        *ret = value * factor;
        return 1;
}

/* Colours are for people: not for files and pipes, nor where NO_COLOR is set (https://no-color.org). */
static bool terminal_has_colours(void) {
        const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

        return isatty(STDOUT_FILENO) && isempty(no_colour) && !isempty(term) && !streq(term, "dumb");
}

static int apply_common(Cli *cli) {
        cli->host = option_text(cli, "host");
        cli->json = option_given(cli, "json");
        cli->no_legend = option_given(cli, "no-legend");
        cli->no_wait = option_given(cli, "no-wait");
        cli->ask_password = !option_given(cli, "no-ask-password");
        cli->colour = !cli->json && terminal_has_colours();
        cli->progress = !cli->json && isatty(STDERR_FILENO);
        cli->timeout_usec = UINT64_MAX;
        return option_text(cli, "timeout")
                       ? parse_duration(cli, option_text(cli, "timeout"), &cli->timeout_usec)
                       : 0;
}

int cli_parse(Cli *cli, int argc, char **argv, char ***ret_arguments, int *ret_n) {
        int r = read_options(cli, NULL, true, argc, argv), words;

        if (r < 0)
                return r;
        if (option_given(cli, "version")) {
                puts("passthroughctl " PROJECT_VERSION);
                return 1;
        }
        if (optind >= argc) {
                help_all(option_given(cli, "help") ? stdout : stderr);
                cli->status = option_given(cli, "help") ? STATUS_OK : STATUS_USAGE;
                return option_given(cli, "help") ? 1 : -EINVAL;
        }
        words = find_verb(cli, argv + optind, argc - optind);
        if (words < 0)
                return words;
        /* The program's name takes the place of the verb's last word, for getopt's messages. */
        argc -= optind + words - 1;
        argv += optind + words - 1;
        argv[0] = (char *) "passthroughctl";
        r = read_options(cli, cli->verb->options, false, argc, argv);
        if (r < 0)
                return r;
        if (option_given(cli, "help")) {
                help_verb(cli->verb, stdout);
                return 1;
        }
        *ret_arguments = argv + optind;
        *ret_n = argc - optind;
        r = apply_common(cli);
        return r < 0 ? r : check_count(cli, *ret_n);
}

bool option_given(const Cli *cli, const char *name) {
        for (size_t i = 0; i < cli->n_values; i++)
                if (streq(cli->values[i].option->name, name))
                        return true;
        return false;
}

const char *option_text(const Cli *cli, const char *name) {
        for (size_t i = cli->n_values; i > 0; i--)
                if (streq(cli->values[i - 1].option->name, name))
                        return cli->values[i - 1].value;
        return NULL;
}

const char *option_next(const Cli *cli, const char *name, size_t *at) {
        while (*at < cli->n_values) {
                const OptionValue *value = &cli->values[(*at)++];

                if (streq(value->option->name, name))
                        return value->value;
        }
        return NULL;
}

int option_number(Cli *cli, const char *name, long min, long max, long *ret) {
        const char *text = option_text(cli, name);
        int64_t number;

        if (!text)
                return 0;
        if (parse_int64(text, &number) < 0 || number < min || number > max)
                return cli_fail(cli, STATUS_USAGE, "--%s must be a number from %ld to %ld, not '%s'", name,
                                min, max, text);
        *ret = (long) number;
        return 1;
}

int option_bool(Cli *cli, const char *name, bool *ret) {
        const char *text = option_text(cli, name);

        if (!text)
                return 0;
        if (parse_bool(text, ret) < 0)
                return cli_fail(cli, STATUS_USAGE, "--%s must be yes or no, not '%s'", name, text);
        return 1;
}
