/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a virtual function to the interface of its physical one. */

#include <net/if.h>
#include <stdio.h>

#include "lib/parse.h"
#include "sriov-netlink.h"
#include "sriov.h"

/* An interface may be renamed between looking into the folder and reading what is in it. */
#define RENAME_ATTEMPTS 5

typedef struct Search {
        PtContext *ctx;
        const PtDevice *vf;
        int64_t number; /* -1: not found */
} Search;

/* The kernel has no attribute for a function's number: it is the N of the link virtfnN that leads to it. */
static void match_function(void *userdata, const char *entry) {
        Search *search = userdata;
        char path[PCI_ATTRIBUTE_SIZE], target[PCI_ATTRIBUTE_SIZE];
        const char *digits = startswith(entry, "virtfn");
        uint32_t number;

        if (search->number >= 0 || !digits || parse_uint32(digits, &number) < 0)
                return;
        (void) snprintf(path, sizeof(path), "physfn/%.64s", entry);
        if (search->ctx->services->read_link(search->ctx, search->vf, path, target, sizeof(target)) > 0 &&
            streq(target, search->vf->sysname))
                search->number = number;
}

ssize_t sriov_path_read(PtContext *ctx, const PtDevice *vf, const char *interface, const char *attribute, char *buffer, size_t size) {
        char path[PCI_ATTRIBUTE_SIZE];

        (void) snprintf(path, sizeof(path), "physfn/net/%.64s/%.64s", interface, attribute);
        return ctx->services->read_attribute(ctx, vf, path, buffer, size);
}

typedef struct Uplink {
        PtContext *ctx;
        const PtDevice *vf;
        char name[64];
} Uplink;

/* In switchdev mode the representors of the functions stand beside the uplink; their ports are called pfNvfM or cXpfNvfM, its
 * own pN, and on a plain card there is no such name (EOPNOTSUPP). Of several the one that sorts first: the same each time. */
static void take_uplink(void *userdata, const char *entry) {
        Uplink *uplink = userdata;
        char port[PCI_ATTRIBUTE_SIZE];

        if (strlen(entry) >= sizeof(uplink->name) || (uplink->name[0] && strcmp(entry, uplink->name) >= 0))
                return;
        if (sriov_path_read(uplink->ctx, uplink->vf, entry, "phys_port_name", port, sizeof(port)) > 0 && strstr(port, "pf"))
                return;
        (void) strcpy(uplink->name, entry);
}

static bool read_number(PtContext *ctx, const PtDevice *vf, const char *interface, const char *attribute, uint32_t *ret) {
        char text[PCI_ATTRIBUTE_SIZE];

        return sriov_path_read(ctx, vf, interface, attribute, text, sizeof(text)) > 0 && parse_uint32(text, ret) >= 0;
}

static int find_interface(PtContext *ctx, const PtDevice *vf, SriovPath *path) {
        for (int attempt = 0; attempt < RENAME_ATTEMPTS; attempt++) {
                Uplink uplink = { ctx, vf, "" };
                char flags[PCI_ATTRIBUTE_SIZE];
                uint32_t bits;

                if (ctx->services->list(ctx, vf, "physfn/net", take_uplink, &uplink) < 0 || !uplink.name[0])
                        return -ENONET;
                if (!read_number(ctx, vf, uplink.name, "ifindex", &path->ifindex))
                        continue;
                (void) strcpy(path->interface, uplink.name);
                path->pf_is_up = sriov_path_read(ctx, vf, uplink.name, "flags", flags, sizeof(flags)) > 0 &&
                                 parse_hex32(flags, &bits) >= 0 && bits & IFF_UP;
                /* -1, or EINVAL, where there is no link. */
                if (!read_number(ctx, vf, uplink.name, "speed", &path->speed))
                        path->speed = 0;
                return 0;
        }
        return -ENONET;
}

int sriov_path_find(PtContext *ctx, const PtDevice *vf, SriovPath *ret) {
        Search search = { ctx, vf, -1 };
        SriovPath path = { 0 };

        if (pci_read_physfn(ctx, vf, path.pf) < 0 || ctx->services->list(ctx, vf, "physfn/.", match_function, &search) < 0 ||
            search.number < 0)
                return -ENODEV;
        path.number = (uint32_t) search.number;
        (void) snprintf(path.vf, sizeof(path.vf), "%s", vf->sysname);
        if (ctx->services->read_link(ctx, vf, "physfn/driver", path.driver, sizeof(path.driver)) < 0)
                path.driver[0] = '\0';
        int r = find_interface(ctx, vf, &path);
        *ret = path;
        return r;
}
