/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* D-Bus values as JSON and back. Dictionaries become objects, structures and arrays become arrays, object
 * paths texts. The service takes integers of any width, so that JSON's one kind of integer is enough. */

#include <jansson.h>
#include <systemd/sd-bus.h>

/* The next value of the message; -ENXIO at its end. New reference. */
int value_read(sd_bus_message *m, json_t **ret);
/* All values of the message as an array. */
int values_read(sd_bus_message *m, json_t **ret);
/* One value of the signature: s, b, o, as, ao, a(sss), a{sv} or aa{sv}. */
int value_append(sd_bus_message *m, const char *signature, json_t *value);
