/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>
#include <signal.h>

#include "cli-bus.h"

static int run(Cli *cli, int argc, char **argv) {
        char **arguments;
        int n, r = cli_parse(cli, argc, argv, &arguments, &n);

        if (r != 0)
                return r < 0 ? r : 0;
        if (!cli->verb->no_bus) {
                r = bus_connect(cli);
                if (r < 0)
                        return r;
        }
        return cli->verb->run(cli, arguments, n);
}

int main(int argc, char **argv) {
        Cli cli = { .ask_password = true };
        int r;

        (void) setlocale(LC_ALL, "");
        r = run(&cli, argc, argv);
        bus_disconnect(&cli);
        free(cli.values);
        /* What could not be written was not said: a full disk behind the pipe is a failure. */
        if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout))) {
                (void) fprintf(stderr, "passthroughctl: standard output: %s\n", strerror(errno));
                return STATUS_FAILED;
        }
        return r >= 0 ? r : cli.status != STATUS_OK ? cli.status : STATUS_FAILED;
}
