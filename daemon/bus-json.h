/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* D-Bus values as JSON and back. Reading takes integers of any width, because clients send what their language has; writing
 * gives each JSON type one D-Bus type: true b, 1 x, 1.5 d, "" s, [texts] as, [integers] ax, [objects] aa{sv},
 * {} a{sv}. */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "lib/fault.h"

/* Reads what comes next in the message. Object paths become their texts. -ELOOP: nested too deeply; -EPROTOTYPE: a type that
 * no option has. */
int bus_read_dict(sd_bus_message *m, json_t **ret);         /* a{sv} */
int bus_read_dict_list(sd_bus_message *m, json_t **ret);    /* aa{sv} */
int bus_read_conditions(sd_bus_message *m, json_t **ret);   /* a(sss) */
int bus_read_path_list(sd_bus_message *m, json_t **ret);    /* ao */
int bus_append_dict(sd_bus_message *m, json_t *object);     /* a{sv} */
int bus_append_dict_list(sd_bus_message *m, json_t *array); /* aa{sv} */
int bus_append_conditions(sd_bus_message *m, json_t *array); /* a(sss) */
int bus_append_strings(sd_bus_message *m, json_t *array);   /* as */
int bus_append_variant(sd_bus_message *m, json_t *value);   /* v */
