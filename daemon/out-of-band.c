/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "out-of-band.h"

#include "guard.h"
#include "lib/driver.h"

#define CODES_MAX 16u

static bool has_code(Manager *m, const HostDevice *host, const char *wanted) {
        const char *codes[CODES_MAX];
        size_t n = guard_codes(m->guard, host, codes, CODES_MAX);

        for (size_t i = 0; i < n; i++)
                if (streq(codes[i], wanted))
                        return true;
        return false;
}

/* A virtual function takes nothing away that was there before it. */
static bool is_virtual_function(Manager *m, const HostDevice *host) {
        char name[32];

        return source_read_link(inventory_source(m->inventory), host, "physfn", name, sizeof(name)) >= 0;
}

/* What people reach the host by; NULL for anything else. */
static const char *way_in(Manager *m, const HostDevice *host) {
        /* What has no driver of the host is no way in already. */
        if (!streq(host->subsystem, "pci") || !host->driver || driver_is_vfio(host->driver))
                return NULL;
        if (host->class_code >> 16 == 0x02)
                return is_virtual_function(m, host) ? NULL : "a network card";
        if (host->class_code >> 8 == 0x0c03)
                return "a USB controller";
        if (host->class_code >> 16 == 0x03 && (has_code(m, host, "console-gpu") || has_code(m, host, "framebuffer") ||
                                               has_code(m, host, "display")))
                return "the graphics card of the console";
        return NULL;
}

void check_out_of_band(Manager *m, HostDevice *const *bundle, FindingList *findings) {
        if (guard_has_out_of_band(m->guard))
                return;
        for (size_t i = 0; bundle[i]; i++) {
                const char *what = way_in(m, bundle[i]);

                if (!what)
                        continue;
                (void) finding_add(findings, PT_SEVERITY_WARNING, "no-out-of-band-access", bundle[i]->id,
                                   "set up a serial console (console=ttyS0) or a management controller first",
                                   "%s is %s, and this host has neither a management controller nor a serial console to get in "
                                   "by when it is not reached any more",
                                   bundle[i]->sysname, what);
                return;
        }
}
