/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The evidence of one collection, by the devices that it speaks of. Filled item by item, then closed over what stands above
 * and beside; read-only from then on. */

#include "guard.h"

typedef struct GuardIndex GuardIndex;

typedef struct GuardItem {
        Verdict verdict;
        char *path;  /* "/devices/…" */
        char *code;
        char *top;   /* the first link: what people know */
        char *chain; /* the links, joined */
        struct GuardItem *next;
} GuardItem;

/* A PCI function or USB device below or above which there is evidence. */
typedef struct GuardNode {
        UT_hash_handle hh;
        Verdict verdict; /* the gravest */
        const GuardItem **items;
        size_t n_items;
        uint64_t digest; /* of verdicts and codes: what properties show */
        char name[];     /* "pci:0000:03:00.0", "usb:1-2" */
} GuardNode;

int guard_index_new(GuardIndex **ret);
GuardIndex *guard_index_free(GuardIndex *index);
DEFINE_CLEANUP(GuardIndex *, guard_index_free)

/* From the worker's message; -EBADMSG for what is none. */
int guard_index_add(GuardIndex *index, json_t *items, json_t *unresolved);
/* Adds the physical functions of virtual ones, and the devices of kinds that could not be resolved. */
int guard_index_close(GuardIndex *index, Source *source);

const GuardNode *guard_index_find(const GuardIndex *index, const HostDevice *host);
const GuardNode *guard_index_first(const GuardIndex *index); /* iterate with node->hh.next */
/* Whether there is evidence of a management controller or a serial console, on whichever bus. */
bool guard_index_has_out_of_band(const GuardIndex *index);
/* Whether some device is there because a process has it open: that it is closed leaves no sign. */
bool guard_index_has_open(const GuardIndex *index);
/* Whether any of its evidence is of worker/evidence-network.c. */
bool guard_node_has_network(const GuardNode *node);
/* The chain of an item down to the host device: new string. */
char *guard_item_chain(const GuardItem *item, const HostDevice *host);
/* The host device of a node, NULL when there is none (any more). */
HostDevice *guard_node_host(const GuardNode *node, Source *source);
/* [{kind, text}…] */
json_t *guard_index_unresolved(const GuardIndex *index);

/* Bound to a driver of the host that could have users which nobody told us about. */
bool guard_suspect(Source *source, const HostDevice *host);
