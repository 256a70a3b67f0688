/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guard-index.h"

#include <stdio.h>

#include "json-util.h"
#include "lib/driver.h"
#include "lib/parse.h"

#define ITEMS_MAX 65536u
#define NAME_SIZE 300u
#define CODE_HUB "hub" /* worker/evidence-input.c */

struct GuardIndex {
        GuardItem *items;
        size_t n_items;
        GuardNode *nodes; /* uthash by name */
        json_t *unresolved;
        bool out_of_band;
        bool open;
};

int guard_index_new(GuardIndex **ret) {
        _cleanup_(guard_index_freep) GuardIndex *index = calloc(1, sizeof(*index));

        if (!index || !(index->unresolved = json_array()))
                return -ENOMEM;
        *ret = TAKE_PTR(index);
        return 0;
}

static void item_free(GuardItem *item) {
        free(item->path);
        free(item->code);
        free(item->top);
        free(item->chain);
        free(item);
}

GuardIndex *guard_index_free(GuardIndex *index) {
        GuardNode *node, *next_node;

        if (!index)
                return NULL;
        HASH_ITER(hh, index->nodes, node, next_node) {
                HASH_DEL(index->nodes, node);
                free(node->items);
                free(node);
        }
        for (GuardItem *item = index->items, *next; item; item = next) {
                next = item->next;
                item_free(item);
        }
        json_decref(index->unresolved);
        free(index);
        return NULL;
}

/* ---- the devices of a path ---- */

static bool is_digits(const char *text, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (text[i] < '0' || text[i] > '9')
                        return false;
        return n > 0;
}

/* "usb2", and below it "2-1" or "2-1.4"; an interface has a colon. */
static bool is_usb_name(const char *name, bool below_root_hub) {
        const char *rest = startswith(name, "usb"), *dash = strchr(name, '-');

        if (rest)
                return is_digits(rest, strlen(rest));
        if (!below_root_hub || !dash || !is_digits(name, (size_t) (dash - name)))
                return false;
        for (const char *port = dash + 1;; port++) {
                size_t n = strcspn(port, ".");

                if (!is_digits(port, n))
                        return false;
                port += n;
                if (*port == '\0')
                        return true;
        }
}

static bool is_pci_name(const char *name) {
        uint32_t domain;
        uint8_t bus, slot, function;

        return parse_bdf(name, &domain, &bus, &slot, &function) >= 0;
}

/* Walks the components of a path that are PCI functions or USB devices, from the root down. `name` as in GuardNode. */
typedef struct PathWalk {
        const char *rest;
        bool below_root_hub;
        char name[NAME_SIZE];
} PathWalk;

static bool walk_next(PathWalk *walk) {
        while (*walk->rest) {
                size_t length;
                char component[NAME_SIZE - 8];
                const char *subsystem = NULL;

                walk->rest += strspn(walk->rest, "/");
                length = strcspn(walk->rest, "/");
                if (length == 0)
                        return false;
                (void) snprintf(component, sizeof(component), "%.*s", (int) MIN_OF(length, sizeof(component) - 1),
                                walk->rest);
                walk->rest += length;
                if (length >= sizeof(component))
                        continue;

                if (is_pci_name(component)) {
                        subsystem = "pci";
                        walk->below_root_hub = false;
                } else if (is_usb_name(component, walk->below_root_hub)) {
                        subsystem = "usb";
                        walk->below_root_hub = true;
                }
                if (subsystem) {
                        (void) snprintf(walk->name, sizeof(walk->name), "%s:%s", subsystem, component);
                        return true;
                }
        }
        return false;
}

static const char *name_without_subsystem(const char *name) {
        return strchr(name, ':') + 1;
}

/* ---- filling it ---- */

static uint64_t digest_of(const GuardItem *item) {
        uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t) item->verdict;

        for (const char *c = item->code; *c; c++)
                hash = (hash ^ (uint8_t) *c) * UINT64_C(0x100000001b3);
        return hash;
}

static GuardNode *get_node(GuardIndex *index, const char *name) {
        GuardNode *node;

        HASH_FIND_STR(index->nodes, name, node);
        if (node)
                return node;
        node = calloc(1, sizeof(*node) + strlen(name) + 1);
        if (!node)
                return NULL;
        memcpy(node->name, name, strlen(name) + 1);
        HASH_ADD_STR(index->nodes, name, node);
        return node;
}

static int put_on_node(GuardIndex *index, const char *name, const GuardItem *item) {
        GuardNode *node = get_node(index, name);
        const GuardItem **items;
        bool repeated = false;

        if (!node)
                return -ENOMEM;
        /* Grows in powers of two. */
        if ((node->n_items & (node->n_items - 1)) == 0) {
                items = reallocarray(node->items, MAX_OF(node->n_items * 2, (size_t) 1), sizeof(*items));
                if (!items)
                        return -ENOMEM;
                node->items = items;
        }
        for (size_t i = 0; i < node->n_items && !repeated; i++)
                repeated = node->items[i]->verdict == item->verdict && streq(node->items[i]->code, item->code);
        if (!repeated)
                node->digest += digest_of(item);
        node->items[node->n_items++] = item;
        node->verdict = MAX_OF(node->verdict, item->verdict);
        return 0;
}

static bool is_out_of_band(const char *code) {
        static const char *const codes[] = { "ipmi", "bmc-display", "bmc-device", "serial-console", NULL };

        return strv_contains(codes, code);
}

bool guard_index_has_out_of_band(const GuardIndex *index) {
        return index->out_of_band;
}

bool guard_index_has_open(const GuardIndex *index) {
        return index->open;
}

bool guard_node_has_network(const GuardNode *node) {
        static const char *const codes[] = {
                "address", "route", "member", "tunnel", "session", "network-storage", "network-boot", "namespace", "rdma",
                "user-space-driver", "link-up", NULL,
        };

        for (size_t i = 0; i < node->n_items; i++)
                if (strv_contains(codes, node->items[i]->code))
                        return true;
        return false;
}

/* Everything up to the PCI root is needed as much as the device itself. */
static int put_item(GuardIndex *index, Verdict verdict, const char *path, const char *code, const char *top,
                    const char *chain) {
        PathWalk walk = { .rest = path };
        GuardItem *item;
        int r = 0;

        if (index->n_items >= ITEMS_MAX)
                return -E2BIG;
        item = calloc(1, sizeof(*item));
        if (!item)
                return -ENOMEM;
        *item = (GuardItem){
                .verdict = verdict,
                .path = strdup(path),
                .code = strdup(code),
                .top = strdup(top),
                .chain = strdup(chain),
        };
        if (!item->path || !item->code || !item->top || !item->chain) {
                item_free(item);
                return -ENOMEM;
        }
        item->next = index->items;
        index->items = item;
        index->n_items++;
        index->out_of_band = index->out_of_band || is_out_of_band(code);
        index->open = index->open || streq(code, "open");

        if (streq(code, CODE_HUB)) {
                /* A root hub goes with its controller. */
                while (walk_next(&walk))
                        ;
                return walk.name[0] ? put_on_node(index, walk.name, item) : 0;
        }
        while (r >= 0 && walk_next(&walk))
                r = put_on_node(index, walk.name, item);
        return r;
}

/* "a ← b ← c"; "" for none. */
static char *join(json_t *chain) {
        size_t length = 1, i;
        json_t *link;
        char *text;

        json_array_foreach(chain, i, link)
                length += strlen(strempty(json_string_value(link))) + strlen(" ← ");
        text = malloc(length);
        if (!text)
                return NULL;
        text[0] = '\0';
        json_array_foreach(chain, i, link) {
                if (i > 0)
                        strcat(text, " ← ");
                strcat(text, strempty(json_string_value(link)));
        }
        return text;
}

static Verdict verdict_of(json_t *item) {
        static const struct {
                const char *word;
                Verdict verdict;
        } words[] = {
                { "in-use", VERDICT_IN_USE },
                { "critical", VERDICT_CRITICAL },
                { "forbidden", VERDICT_FORBIDDEN },
        };
        const char *word = json_string_value(json_object_get(item, "verdict"));

        for (size_t i = 0; word && i < ELEMENTSOF(words); i++)
                if (streq(words[i].word, word))
                        return words[i].verdict;
        return _VERDICT_INVALID;
}

static int add_item(GuardIndex *index, json_t *item) {
        const char *path = json_string_value(json_object_get(item, "path"));
        const char *code = json_string_value(json_object_get(item, "code"));
        json_t *links = json_object_get(item, "chain");
        Verdict verdict = verdict_of(item);
        _cleanup_free_ char *chain = NULL;

        if (!path || !startswith(path, "/devices/") || isempty(code) || !json_is_array(links) || (int) verdict < 0)
                return -EBADMSG;
        chain = join(links);
        if (!chain)
                return -ENOMEM;
        return put_item(index, verdict, path, code, strempty(json_string_value(json_array_get(links, 0))), chain);
}

int guard_index_add(GuardIndex *index, json_t *items, json_t *unresolved) {
        json_t *item;
        size_t i;
        int r;

        json_array_foreach(items, i, item) {
                r = add_item(index, item);
                if (r < 0)
                        return r;
        }
        return json_array_extend(index->unresolved, unresolved) < 0 ? -ENOMEM : 0;
}

/* ---- closing it ---- */

/* A virtual function lives from its physical one: that must stay with the driver that it has. The other virtual functions
 * stay free. */
static int close_over_physfn(GuardIndex *index, Source *source, const GuardNode *node) {
        HostDevice *host = guard_node_host(node, source), *physical;
        char name[NAME_SIZE];
        int r = 0;

        if (!host || !streq(host->subsystem, "pci") ||
            source_read_link(source, host, "physfn", name, sizeof(name)) < 0)
                return 0;
        physical = source_find_by_name(source, "pci", name);
        for (size_t i = 0, n = node->n_items; physical && i < n && r >= 0; i++) {
                const GuardItem *item = node->items[i];
                _cleanup_free_ char *chain = guard_item_chain(item, host), *path = host_device_syspath(physical);

                if (!chain || !path)
                        return -ENOMEM;
                if (item->verdict >= VERDICT_CRITICAL)
                        r = put_item(index, VERDICT_CRITICAL, path, item->code, item->top, chain);
        }
        return r;
}

static bool is_host_driver(const char *driver) {
        return driver && !driver_is_vfio(driver) && !streq(driver, "pci-stub");
}

/* Kinds of a USB device by the classes of its interfaces, ":080650:030101:" in udev's database. Without a record it may be
 * anything. */
static bool usb_has_class(Source *source, const HostDevice *host, const char *const *classes) {
        const char *interfaces = source_property(source, host, "ID_USB_INTERFACES");

        if (isempty(interfaces))
                return true;
        for (size_t i = 0; classes[i]; i++)
                if (strstr(interfaces, classes[i]))
                        return true;
        return false;
}

/* Kinds of PCI function: base class, or with the subclass where the base class has more than that kind. */
static bool pci_has_class(const HostDevice *host, const uint16_t *classes, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (host->class_code >> (classes[i] > UINT8_MAX ? 8 : 16) == classes[i])
                        return true;
        return false;
}

static bool is_of_kind(Source *source, const HostDevice *host, const char *kind) {
        static const struct {
                const char *kind;
                uint16_t pci_classes[4];
                size_t n_pci_classes;
                /* Communication and wireless controllers; many network adapters speak a protocol of their vendor. */
                const char *usb_classes[5];
        } kinds[] = {
                { "storage", { 0x01, 0x0805, 0x0c00, 0x0c04 }, 4, { ":08", NULL } }, /* SD cards, FireWire, Fibre Channel */
                { "network", { 0x02, 0x0d, 0x0c06 }, 3, { ":02", ":e0", ":0a", ":ff", NULL } }, /* wireless, InfiniBand */
                { "display", { 0x03 }, 1, { NULL } },
                { "input", { 0x09 }, 1, { ":03", NULL } },
        };

        if (!is_host_driver(host->driver))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                if (!streq(kinds[i].kind, kind))
                        continue;
                if (streq(host->subsystem, "pci"))
                        return pci_has_class(host, kinds[i].pci_classes, kinds[i].n_pci_classes);
                return streq(host->subsystem, "usb") && kinds[i].usb_classes[0] &&
                       usb_has_class(source, host, kinds[i].usb_classes);
        }
        return false;
}

bool guard_suspect(Source *source, const HostDevice *host) {
        static const char *const kinds[] = { "storage", "network", "display", "input" };
        /* Beside these kinds what a collector looks at for another reason: memory, serial ports, watchdogs, crypto devices,
         * IPMI, and USB controllers, on which nobody said what hangs. */
        static const uint16_t others[] = { 0x05, 0x07, 0x08, 0x0b, 0x0c, 0x10 };

        if (streq(host->subsystem, "pci") && is_host_driver(host->driver) &&
            pci_has_class(host, others, ELEMENTSOF(others)))
                return true;
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (is_of_kind(source, host, kinds[i]))
                        return true;
        return false;
}

static int close_over_unresolved(GuardIndex *index, Source *source, json_t *item) {
        const char *kind = json_string_value(json_object_get(item, "kind"));
        const char *text = json_string_value(json_object_get(item, "text"));

        for (HostDevice *host = source_first(source); host && kind; host = host->hh.next) {
                _cleanup_free_ char *path = NULL;
                int r;

                if (!is_of_kind(source, host, kind))
                        continue;
                path = host_device_syspath(host);
                if (!path)
                        return -ENOMEM;
                r = put_item(index, VERDICT_CRITICAL, path, "evidence-missing", strempty(text), strempty(text));
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool is_same_kind_before(json_t *unresolved, size_t index) {
        const char *kind = json_string_value(json_object_get(json_array_get(unresolved, index), "kind"));

        for (size_t i = 0; i < index; i++)
                if (streq_null(kind, json_string_value(json_object_get(json_array_get(unresolved, i), "kind"))))
                        return true;
        return false;
}

int guard_index_close(GuardIndex *index, Source *source) {
        json_t *item;
        size_t i;
        int r;

        /* New nodes come at the end of the list and are physical functions, which have none above them. */
        for (GuardNode *node = index->nodes; node; node = node->hh.next) {
                r = close_over_physfn(index, source, node);
                if (r < 0)
                        return r;
        }
        json_array_foreach(index->unresolved, i, item) {
                /* One reason a kind is enough on a device; guard_unresolved() has all of them. */
                if (is_same_kind_before(index->unresolved, i))
                        continue;
                r = close_over_unresolved(index, source, item);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- asking it ---- */

static bool node_name(const HostDevice *host, char ret[static NAME_SIZE]) {
        int n = snprintf(ret, NAME_SIZE, "%s:%s", host->subsystem, host->sysname);

        return n > 0 && (unsigned) n < NAME_SIZE;
}

const GuardNode *guard_index_find(const GuardIndex *index, const HostDevice *host) {
        GuardNode *node = NULL;
        char name[NAME_SIZE];

        if (index && node_name(host, name))
                HASH_FIND_STR(index->nodes, name, node);
        return node;
}

const GuardNode *guard_index_first(const GuardIndex *index) {
        return index ? index->nodes : NULL;
}

json_t *guard_index_unresolved(const GuardIndex *index) {
        return index ? index->unresolved : NULL;
}

HostDevice *guard_node_host(const GuardNode *node, Source *source) {
        const char *sysname = name_without_subsystem(node->name);

        return source_find_by_name(source, startswith(node->name, "pci:") ? "pci" : "usb", sysname);
}

/* The deepest USB device, the deepest PCI function and the device that is asked about: hubs and bridges between them tell
 * nothing. */
char *guard_item_chain(const GuardItem *item, const HostDevice *host) {
        char usb[NAME_SIZE] = "", pci[NAME_SIZE] = "", own[NAME_SIZE];
        PathWalk walk = { .rest = item->path };
        const char *names[3];
        char *text = NULL;
        size_t n = 0;

        if (!node_name(host, own))
                own[0] = '\0';
        while (walk_next(&walk))
                memcpy(startswith(walk.name, "pci:") ? pci : usb, walk.name, NAME_SIZE);
        if (usb[0] != '\0')
                names[n++] = usb;
        /* A hub is between the device and its controller. */
        if (pci[0] != '\0' && !startswith(own, "usb:"))
                names[n++] = pci;
        if (own[0] != '\0' && !streq(own, usb) && !streq(own, pci))
                names[n++] = own;

        text = strdup(item->chain);
        for (size_t i = 0; i < n && text; i++) {
                _cleanup_free_ char *shorter = text;

                if (asprintf(&text, "%s%s%s", shorter, isempty(shorter) ? "" : " ← ", name_without_subsystem(names[i])) < 0)
                        text = NULL;
        }
        return text;
}
