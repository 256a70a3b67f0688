/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli.h"

#define HELP_COLUMN 34

/* Counts characters, not bytes. */
static int width_of(const char *text) {
        int n = 0;

        for (; *text; text++)
                n += ((unsigned char) *text & 0xc0) != 0x80;
        return n;
}

static void print_row(FILE *f, const char *left, const char *right) {
        int width = width_of(left);

        if (width < HELP_COLUMN - 2)
                (void) fprintf(f, "  %s%*s%s\n", left, HELP_COLUMN - 2 - width, "", right);
        else
                (void) fprintf(f, "  %s\n%*s%s\n", left, HELP_COLUMN, "", right);
}

static void print_options(FILE *f, const Option *options) {
        for (; options && options->name; options++) {
                char left[96], letter[8] = "    ";
                const char *argument = strempty(options->argument);
                bool optional = argument[0] == '[';

                if (options->letter)
                        (void) snprintf(letter, sizeof(letter), "-%c, ", options->letter);
                (void) snprintf(left, sizeof(left), "%s--%s%s%s", letter, options->name,
                                isempty(argument) ? ""
                                : optional        ? "[="
                                                  : "=",
                                argument + optional);
                print_row(f, left, options->help);
        }
}

static void print_verb(FILE *f, const Verb *verb) {
        char left[128];

        (void) snprintf(left, sizeof(left), "%s %s", verb->name, verb->arguments);
        print_row(f, left, verb->help);
}

void help_all(FILE *f) {
        (void) fputs("passthroughctl [OPTION…] VERB [ARGUMENT…]\n\nGives the devices of this host to "
                     "virtual machines.\n\n",
                     f);
        for (const Verb *verb = verbs; verb->name; verb++)
                if (verb->help)
                        print_verb(f, verb);
        (void) fputs("\nOptions of every verb:\n", f);
        print_options(f, common_options);
        (void) fputs(
                "\npassthroughctl VERB --help shows a verb's own options; passthroughctl(1) says more.\n",
                f);
}

void help_verb(const Verb *verb, FILE *f) {
        (void) fprintf(f, "passthroughctl %s%s %s\n\n%s.\n", verb->name, verb->options ? " [OPTION…]" : "",
                       verb->arguments, strempty(verb->help));
        if (verb->options) {
                (void) fputs("\nOptions:\n", f);
                print_options(f, verb->options);
        }
        (void) fputs("\nOptions of every verb:\n", f);
        print_options(f, common_options);
}

int verb_help(Cli *cli, char **arguments, int n) {
        char name[64];

        if (n == 0) {
                help_all(stdout);
                return 0;
        }
        (void) snprintf(name, sizeof(name), "%s%s%s", arguments[0], n > 1 ? " " : "",
                        n > 1 ? arguments[1] : "");
        for (const Verb *verb = verbs; verb->name; verb++)
                if (streq(verb->name, name)) {
                        help_verb(verb, stdout);
                        return 0;
                }
        return cli_fail(cli, STATUS_USAGE, "there is no verb '%s'; passthroughctl help lists them", name);
}
