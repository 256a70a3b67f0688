/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "evidence-network.h"

#include "evidence-internal.h"

#include <limits.h>
#include <stdio.h>

#include "netlink.h"
#include "opener.h"

/* A bond of VLANs of a bond …: deeper than anybody stacks, and the end of every cycle. */
#define STACK_MAX 16u

typedef struct Stack {
        Evidence *evidence;
        NetView *view;
        const Sysfs *sysfs; /* NULL: the interfaces are not in our /sys/class/net */
        EvidenceVerdict verdict;
        const char *code;
        const char *chain[STACK_MAX + 3];
        size_t depth;
        bool *visited; /* by position in the view, of this walk */
        bool *found;   /* of all walks: something was said about the device */
} Stack;

/* The directory of the hardware behind an interface: -ENODEV where there is none, as under a bridge. */
static int device_of(const Stack *stack, const NetLink *link, char **ret) {
        _cleanup_free_ char *path = NULL;
        char place[PATH_MAX];
        int r = -ENOENT;

        if (stack->sysfs) {
                (void) snprintf(place, sizeof(place), "/sys/class/net/%s", link->name);
                r = evidence_resolve(stack->evidence, place, &path);
        }
        if (r < 0 && r != -ENOMEM && link->bus[0] != '\0') {
                (void) snprintf(place, sizeof(place), "/sys/bus/%s/devices/%s", link->bus, link->parent);
                r = evidence_resolve(stack->evidence, place, &path);
                if (r < 0 && r != -ENOMEM) {
                        (void) snprintf(place, sizeof(place), "The device %s of the network interface %s was not found",
                                        link->parent, link->name);
                        r = evidence_unresolved(stack->evidence, EVIDENCE_NETWORK, place);
                        return r < 0 ? r : -ENODEV;
                }
        }
        if (r < 0)
                return r == -ENOMEM ? r : -ENODEV;
        if (startswith(path, "/devices/virtual/"))
                return -ENODEV;

        *ret = TAKE_PTR(path);
        return 0;
}

static int walk(Stack *stack, NetLink *link) {
        char label[IFNAMSIZ + NET_TEXT_MAX];
        _cleanup_free_ char *path = NULL;
        int r;

        if (stack->visited[link - stack->view->links] || stack->depth >= STACK_MAX)
                return 0;
        stack->visited[link - stack->view->links] = true;

        if (stack->view->name)
                (void) snprintf(label, sizeof(label), "%s in network namespace %.*s", link->name, (int) NET_TEXT_MAX / 2,
                                stack->view->name);
        else
                (void) snprintf(label, sizeof(label), "%s", link->name);
        stack->chain[stack->depth++] = label;
        stack->chain[stack->depth] = NULL;

        r = device_of(stack, link, &path);
        if (r >= 0) {
                stack->found[link - stack->view->links] = true;
                r = evidence_add(stack->evidence, stack->verdict, path, stack->code, stack->chain);
        } else if (r == -ENODEV)
                r = 0;
        if (r >= 0)
                r = net_view_lowers(stack->view, link, stack->sysfs);
        for (size_t i = 0; i < link->n_lowers && r >= 0; i++)
                r = walk(stack, &stack->view->links[link->lowers[i]]);

        stack->chain[--stack->depth] = NULL;
        return r;
}

/* `text` (may be NULL) and `more` stand before the interface in the chain. */
static int needed(Stack *stack, NetLink *link, EvidenceVerdict verdict, const char *code, const char *text,
                  const char *more) {
        memset(stack->visited, 0, stack->view->n_links * sizeof(bool));
        stack->verdict = verdict;
        stack->code = code;
        stack->depth = 0;
        if (text)
                stack->chain[stack->depth++] = text;
        if (more)
                stack->chain[stack->depth++] = more;
        return walk(stack, link);
}

static int stack_init(Stack *ret, Evidence *evidence, NetView *view, const Sysfs *sysfs) {
        *ret = (Stack) {
                .evidence = evidence,
                .view = view,
                .sysfs = sysfs,
                .visited = calloc(view->n_links + 1, sizeof(bool)),
                .found = calloc(view->n_links + 1, sizeof(bool)),
        };
        return ret->visited && ret->found ? 0 : -ENOMEM;
}

static void stack_done(Stack *stack) {
        free(stack->visited);
        free(stack->found);
}
#define _cleanup_stack_ _cleanup_(stack_done)

/* ---- what interfaces are used for by themselves ---- */

static int judge_uses(Stack *stack) {
        int r = 0;

        for (size_t i = 0; i < stack->view->n_uses && r >= 0; i++) {
                const NetUse *use = &stack->view->uses[i];
                NetLink *link = net_view_link(stack->view, use->index);

                if (link)
                        r = needed(stack, link, EVIDENCE_CRITICAL, use->code, use->text, NULL);
        }
        return r;
}

/* A macvtap is the interface of a guest. */
static bool serves_guests(const NetLink *link) {
        return streq(link->kind, "macvtap") || streq(link->kind, "ipvtap");
}

/* A member of a bridge, bond, team or Open vSwitch carries what passes through it, whether the host has an address there or
 * not: other guests do. What only is up carries nothing that is known. */
static int judge_members(Stack *stack) {
        char text[IFNAMSIZ + sizeof(((NetLink *) NULL)->kind) + 8];
        int r = 0;

        for (size_t i = 0; i < stack->view->n_links && r >= 0; i++) {
                NetLink *link = &stack->view->links[i];
                const NetLink *master = net_view_link(stack->view, link->master);

                if (master) {
                        (void) snprintf(text, sizeof(text), master->kind[0] ? "%s (%s)" : "%s", master->name, master->kind);
                        r = needed(stack, link, EVIDENCE_CRITICAL, "member", text, NULL);
                } else if (serves_guests(link))
                        r = needed(stack, link, EVIDENCE_CRITICAL, "member", link->kind, NULL);
        }
        return r;
}

static int judge_up(Stack *stack) {
        int r = 0;

        for (size_t i = 0; i < stack->view->n_links && r >= 0; i++) {
                NetLink *link = &stack->view->links[i];

                if (!stack->found[i] && link->flags & IFF_UP && !(link->flags & IFF_LOOPBACK))
                        r = needed(stack, link, EVIDENCE_IN_USE, "link-up", "administratively up, without an address", NULL);
        }
        return r;
}

/* ---- what is named by an address ---- */

static NetLink *link_of_need(const NetFacts *facts, const NetNeed *need, int *ret_error) {
        NetView *view = (NetView *) &facts->host;
        int index;

        *ret_error = 0;
        if (need->index != 0)
                return net_view_link(view, need->index);
        if (need->interface[0] != '\0')
                return net_view_link_by_name(view, need->interface);
        if (need->local.family != 0)
                return net_view_link(view, net_view_local(view, &need->local));
        if (need->remote.family != 0) {
                index = facts->route(facts->userdata, &need->remote);
                *ret_error = index < 0 ? index : 0;
                return index > 0 ? net_view_link(view, (unsigned) index) : NULL;
        }
        /* The members of a bond have its address; the one with hardware is meant. */
        for (size_t i = 0; need->has_mac && i < view->n_links; i++)
                if (view->links[i].has_mac && memcmp(view->links[i].mac, need->mac, sizeof(need->mac)) == 0 &&
                    (view->links[i].kind[0] == '\0'))
                        return &view->links[i];
        return NULL;
}

static int judge_needs(Stack *stack, const NetFacts *facts) {
        char text[2 * NET_TEXT_MAX];
        int r = 0, error;

        for (size_t i = 0; i < facts->needs.n_items && r >= 0; i++) {
                const NetNeed *need = &facts->needs.items[i];
                NetLink *link = link_of_need(facts, need, &error);

                if (link && !(link->flags & IFF_LOOPBACK))
                        r = needed(stack, link, EVIDENCE_CRITICAL, need->code, need->text, NULL);
                else if (error < 0) {
                        (void) snprintf(text, sizeof(text), "The network card over which %s is reached is not known: %s",
                                        need->text, strerrordesc_np(-error));
                        r = evidence_unresolved(stack->evidence, EVIDENCE_NETWORK, text);
                }
        }
        if (r >= 0 && facts->needs.unresolved)
                r = evidence_unresolved(stack->evidence, EVIDENCE_NETWORK, facts->needs.unresolved);
        return r;
}

/* A tunnel without a route to its other end carries nothing. */
static int judge_tunnels(Stack *stack, const NetFacts *facts) {
        int r = 0;

        for (size_t i = 0; i < stack->view->n_peers && r >= 0; i++) {
                int index = facts->route(facts->userdata, &stack->view->peers[i].address);
                NetLink *link = index > 0 ? net_view_link(stack->view, (unsigned) index) : NULL;

                if (link && !(link->flags & IFF_LOOPBACK))
                        r = needed(stack, link, EVIDENCE_CRITICAL, "tunnel", stack->view->peers[i].text, NULL);
        }
        return r;
}

/* ---- other namespaces ---- */

/* Hardware was moved there by somebody who uses it; and a macvlan or VLAN there may stand on an interface of the host. */
static int judge_namespace(Stack *host, NetView *view) {
        _cleanup_stack_ Stack stack = {};
        char text[IFNAMSIZ + NET_TEXT_MAX];
        int r;

        r = stack_init(&stack, host->evidence, view, NULL);
        if (r >= 0)
                r = judge_uses(&stack);
        for (size_t i = 0; i < view->n_links && r >= 0; i++) {
                NetLink *link = &view->links[i], *lower;

                if (link->bus[0] != '\0')
                        r = needed(&stack, link, EVIDENCE_CRITICAL, "namespace", NULL, NULL);
                if (r < 0 || link->lower_namespace < 0 || link->lower_namespace != view->host_id ||
                    streq(link->kind, "veth"))
                        continue;
                lower = net_view_link(host->view, link->lower);
                (void) snprintf(text, sizeof(text), "%s (%s) in network namespace %.*s", link->name, link->kind,
                                (int) NET_TEXT_MAX / 2, view->name);
                if (lower)
                        r = needed(host, lower, EVIDENCE_CRITICAL, "namespace", text, NULL);
        }
        return r;
}

typedef struct Missing {
        const NetFacts *facts;
        Evidence *evidence;
        int directory_fd; /* /sys/bus/BUS/devices */
        int error;
} Missing;

static void not_empty(void *userdata, const char *entry) {
        *(bool *) userdata = false;
}

static bool is_in_namespace(const NetFacts *facts, const char *device) {
        for (size_t i = 0; i < facts->others.n_views; i++)
                for (size_t j = 0; j < facts->others.views[i].n_links; j++)
                        if (streq(facts->others.views[i].links[j].parent, device))
                                return true;
        return false;
}

/* A driver leaves the directory net/ there as long as it has an interface; one that was moved to another namespace is not
 * shown in it. */
static int judge_missing(Missing *missing, const char *bus, const char *device) {
        static const char *const chain[] = { "a network interface in a network namespace that was not found", NULL };
        _cleanup_free_ char *path = NULL;
        char place[PATH_MAX];
        bool empty = true;
        int r;

        /* Most have none, and a host may have thousands of virtual functions: the shortest question comes first. */
        (void) snprintf(place, sizeof(place), "%s/net", device);
        if (faccessat(missing->directory_fd, place, F_OK, 0) < 0 && (errno == ENOENT || errno == ENOTDIR))
                return 0;
        (void) snprintf(place, sizeof(place), "/sys/bus/%s/devices/%s/net", bus, device);
        if (sysfs_list(evidence_sysfs(missing->evidence), place, not_empty, &empty) < 0 || !empty ||
            is_in_namespace(missing->facts, device))
                return 0;
        *strrchr(place, '/') = '\0';
        r = evidence_resolve(missing->evidence, place, &path);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return evidence_add(missing->evidence, EVIDENCE_CRITICAL, path, "namespace", chain);
}

static void take_usb(void *userdata, const char *entry) {
        Missing *missing = userdata;

        if (strchr(entry, ':') && missing->error >= 0)
                missing->error = judge_missing(missing, "usb", entry);
}

/* The interface of a virtio card and that of a subfunction is one device below. */
static void take_virtio(void *userdata, const char *entry) {
        Missing *missing = userdata;

        if (missing->error >= 0)
                missing->error = judge_missing(missing, "virtio", entry);
}

static void take_auxiliary(void *userdata, const char *entry) {
        Missing *missing = userdata;

        if (missing->error >= 0)
                missing->error = judge_missing(missing, "auxiliary", entry);
}

static int take_pci(Missing *missing) {
        const PciScan *scan;
        int r = evidence_pci(missing->evidence, &scan);

        for (size_t i = 0; r >= 0 && i < scan->n_items; i++)
                if (scan->items[i].class_code >> 16 == 0x02)
                        r = judge_missing(missing, "pci", scan->items[i].name);
        return r;
}

static int judge_all_missing(Evidence *evidence, const NetFacts *facts) {
        static const struct {
                const char *folder;
                void (*take)(void *userdata, const char *entry); /* NULL: the functions that were looked at already */
        } buses[] = {
                { "/sys/bus/pci/devices", NULL },
                { "/sys/bus/usb/devices", take_usb },
                { "/sys/bus/virtio/devices", take_virtio },
                { "/sys/bus/auxiliary/devices", take_auxiliary },
        };
        const Sysfs *sysfs = evidence_sysfs(evidence);
        Missing missing = { .facts = facts, .evidence = evidence };

        for (size_t i = 0; i < ELEMENTSOF(buses) && missing.error >= 0; i++) {
                missing.directory_fd = openat(sysfs->root_fd, buses[i].folder + 1, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (missing.directory_fd < 0)
                        continue; /* no such bus */
                if (buses[i].take)
                        (void) sysfs_list(sysfs, buses[i].folder, buses[i].take, &missing);
                else
                        missing.error = take_pci(&missing);
                (void) close(missing.directory_fd);
        }
        return missing.error;
}

/* ---- programs that drive a card themselves ---- */

/* RDMA passes by the network stack, and a program that drives the card itself (DPDK) leaves no interface at all. */
static const OpenerKind opener_kinds[] = {
        { "/dev/infiniband/uverbs", "/sys/class/infiniband_verbs/%s", EVIDENCE_CRITICAL, "rdma" },
        { "/dev/uio", "/sys/class/uio/%s", EVIDENCE_CRITICAL, "user-space-driver" },
};

/* ---- all ---- */

int evidence_network_judge(Evidence *evidence, NetFacts *facts) {
        _cleanup_stack_ Stack stack = {};
        int r;

        r = net_view_add_sysfs(&facts->host, evidence_sysfs(evidence));
        if (r == -ENOMEM)
                return r;
        r = stack_init(&stack, evidence, &facts->host, evidence_sysfs(evidence));
        if (r >= 0)
                r = judge_needs(&stack, facts);
        if (r >= 0)
                r = judge_uses(&stack);
        if (r >= 0 && facts->host.hidden_routes)
                r = evidence_unresolved(evidence, EVIDENCE_NETWORK,
                                        "Some routes name next hops by number only (nexthop_compat_mode=0), which may be any card's");
        if (r >= 0)
                r = judge_tunnels(&stack, facts);
        for (size_t i = 0; i < facts->others.n_views && r >= 0; i++)
                r = judge_namespace(&stack, &facts->others.views[i]);
        if (r >= 0 && facts->others.incomplete)
                r = evidence_unresolved(evidence, EVIDENCE_NETWORK,
                                        "Some network namespaces cannot be looked into, and may use any network card");
        if (r >= 0)
                r = judge_members(&stack);
        if (r >= 0)
                r = judge_all_missing(evidence, facts);
        if (r >= 0)
                r = openers_judge(evidence, opener_kinds, ELEMENTSOF(opener_kinds), EVIDENCE_NETWORK);
        if (r >= 0)
                r = judge_up(&stack);
        return r;
}

static int ask_kernel(void *userdata, const NetAddress *address) {
        const NetView *view = userdata;

        return net_route_to(view->fd, address);
}

static int unreadable(Evidence *evidence, int error) {
        char text[128];

        if (error == -ENOMEM)
                return error;
        (void) snprintf(text, sizeof(text), "The network cannot be read: %s",
                        error == -EINTR ? "it changes all the time" : strerrordesc_np(-error));
        return evidence_unresolved(evidence, EVIDENCE_NETWORK, text);
}

int evidence_network(Evidence *evidence) {
        NetFacts facts = { .host = { .fd = -EBADF }, .route = ask_kernel };
        int r = netlink_open();

        if (r >= 0)
                r = net_view_read(r, NULL, &facts.host);
        if (r < 0)
                return unreadable(evidence, r);

        facts.userdata = &facts.host;
        r = net_namespaces_read(evidence_sysfs(evidence), &facts.others);
        if (r >= 0)
                r = net_needs_read(evidence, &facts.needs);
        if (r >= 0)
                r = evidence_network_judge(evidence, &facts);
        net_view_done(&facts.host);
        net_namespaces_done(&facts.others);
        net_needs_done(&facts.needs);
        return r;
}
