/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-error.h"

#include <stdio.h>

int bus_error_from_fault(sd_bus_error *error, int result, const Fault *fault) {
        char name[sizeof(BUS_ERROR_PREFIX) + 64];
        bool named = fault && fault->code != FAULT_NONE;

        snprintf(name, sizeof(name), BUS_ERROR_PREFIX "%s",
                 fault_code_to_string(named               ? fault->code
                                      : result == -ENOMEM ? FAULT_NO_MEMORY
                                                          : FAULT_INTERNAL));
        return sd_bus_error_set(error, name,
                                named && fault->message ? fault->message : strerror(result < 0 ? -result : EIO));
}

int bus_reply_fault(sd_bus_message *message, int result, const Fault *fault) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        (void) bus_error_from_fault(&error, result, fault);
        r = sd_bus_reply_method_error(message, &error);
        sd_bus_error_free(&error);
        return r;
}
