/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usb-serial.h"

#include <string.h>
#include <strings.h>

#include "lib/macro.h"
#include "lib/parse.h"

#define SERIAL_MAX 126 /* characters a string descriptor has room for */
#define SERIAL_MIN 3

static bool has_variety(const char *serial) {
        char first = '\0';

        for (const char *p = serial; *p; p++) {
                if (strchr(" -_.:", *p))
                        continue;
                if (first == '\0')
                        first = *p;
                else if (*p != first)
                        return true;
        }
        return false;
}

/* "0123456789ABCDEF", "12345678": each the successor of the one before. */
static bool is_counting(const char *serial) {
        static const char row[] = "0123456789abcdef";
        size_t n = strlen(serial);

        if (n < 4 || n >= sizeof(row))
                return false;
        for (const char *start = row; *start; start++)
                if (strncasecmp(start, serial, n) == 0)
                        return true;
        return strcmp(serial, "1234567890") == 0;
}

bool usb_serial_is_plausible(const char *serial) {
        static const char *const samples[] = { "none", "n/a", "default", "serial", "serialnumber", "sn", "test" };

        if (isempty(serial) || strlen(serial) < SERIAL_MIN || !text_is_clean(serial, SERIAL_MAX * 4))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(samples); i++)
                if (strcasecmp(samples[i], serial) == 0)
                        return false;
        return has_variety(serial) && !is_counting(serial);
}
