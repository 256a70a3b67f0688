/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The connection to the service and calls on it. Failures are reported in the service's words. */

#include "cli.h"

int bus_connect(Cli *cli);
void bus_disconnect(Cli *cli);
/* A call that reads. `signature`: the types of the arguments, separated by blanks; `arguments`: an array
 * with as many values, taken over; NULL when memory is short or a text is not UTF-8. `ret`: the values of
 * the answer as an array; may be NULL. */
int bus_call(Cli *cli, const char *path, const char *interface, const char *method, const char *signature,
             json_t *arguments, json_t **ret);
/* The same for what changes something: a password may be asked for. */
int bus_change(Cli *cli, const char *path, const char *interface, const char *method, const char *signature,
               json_t *arguments, json_t **ret);
/* The same as bus_call(), but an error is handed out and not reported. */
int bus_try(Cli *cli, const char *path, const char *interface, const char *method, const char *signature,
            json_t *arguments, json_t **ret, sd_bus_error *error);
int manager_call(Cli *cli, const char *method, const char *signature, json_t *arguments, json_t **ret);
int manager_change(Cli *cli, const char *method, const char *signature, json_t *arguments, json_t **ret);
/* The same, for an answer that is no text; `ret`: the answer itself. */
int manager_change_message(Cli *cli, const char *method, const char *signature, json_t *arguments, sd_bus_message **ret);
/* A message with its arguments, for calls that are not waited for one by one. */
int bus_message(Cli *cli, const char *path, const char *interface, const char *method, const char *signature,
                json_t *arguments, sd_bus_message **ret);
