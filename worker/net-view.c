/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net-view.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/parse.h"
#include "net-read.h"
#include "netlink.h"

/* How often a table that changes while it is read is read again. */
#define READ_ATTEMPTS 8

/* Makes room for one more; the arrays double. */
static int make_room(void *array, size_t n, size_t size) {
        void **items = array, *grown;

        if (n & (n - 1))
                return 0;
        grown = reallocarray(*items, n > 0 ? n * 2 : 1, size);
        if (!grown)
                return -ENOMEM;
        *items = grown;
        return 0;
}

int net_view_add_link(NetView *view, const NetLink *link) {
        size_t at = view->n_links;

        if (make_room(&view->links, view->n_links, sizeof(*view->links)) < 0)
                return -ENOMEM;
        /* The kernel lists them in almost this order. */
        while (at > 0 && view->links[at - 1].index > link->index)
                at--;
        memmove(&view->links[at + 1], &view->links[at], (view->n_links - at) * sizeof(*view->links));
        view->links[at] = *link;
        view->n_links++;
        return 0;
}

int net_view_add_use(NetView *view, unsigned index, const char *code, const char *format, ...) {
        va_list arguments;
        NetUse *use;

        if (make_room(&view->uses, view->n_uses, sizeof(*view->uses)) < 0)
                return -ENOMEM;
        use = &view->uses[view->n_uses++];
        *use = (NetUse) { .index = index, .code = code };
        va_start(arguments, format);
        (void) vsnprintf(use->text, sizeof(use->text), format, arguments);
        va_end(arguments);
        return 0;
}

int net_view_add_local(NetView *view, unsigned index, const NetAddress *address) {
        if (make_room(&view->locals, view->n_locals, sizeof(*view->locals)) < 0)
                return -ENOMEM;
        view->locals[view->n_locals++] = (struct NetLocal) { index, *address };
        return 0;
}

int net_view_add_peer(NetView *view, const NetAddress *address, const char *text) {
        if (make_room(&view->peers, view->n_peers, sizeof(*view->peers)) < 0)
                return -ENOMEM;
        view->peers[view->n_peers] = (struct NetPeer) { .address = *address };
        (void) snprintf(view->peers[view->n_peers].text, NET_TEXT_MAX, "%s", text);
        view->n_peers++;
        return 0;
}

static void forget(NetView *view) {
        for (size_t i = 0; i < view->n_links; i++)
                free(view->links[i].lowers);
        free(view->links);
        free(view->uses);
        free(view->locals);
        free(view->peers);
        *view = (NetView) { .fd = view->fd, .host_id = view->host_id, .name = view->name };
}

void net_view_done(NetView *view) {
        forget(view);
        free(view->name);
        view->name = NULL;
        view->fd = close_fd(view->fd);
}

int net_view_read(int fd, const char *name, NetView *ret) {
        NetView view = { .fd = fd, .host_id = -1, .name = name ? strdup(name) : NULL };
        int r = name && !view.name ? -ENOMEM : -EINTR;

        for (int i = 0; i < READ_ATTEMPTS && r == -EINTR; i++) {
                forget(&view);
                r = net_read(&view);
        }
        if (r < 0) {
                net_view_done(&view);
                return r;
        }

        *ret = view;
        return 0;
}

NetLink *net_view_link(const NetView *view, unsigned index) {
        size_t low = 0, high = view->n_links;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (view->links[middle].index < index)
                        low = middle + 1;
                else
                        high = middle;
        }
        return index > 0 && low < view->n_links && view->links[low].index == index ? &view->links[low] : NULL;
}

NetLink *net_view_link_by_name(const NetView *view, const char *name) {
        for (size_t i = 0; i < view->n_links; i++)
                if (streq(view->links[i].name, name))
                        return &view->links[i];
        return NULL;
}

unsigned net_view_local(const NetView *view, const NetAddress *address) {
        for (size_t i = 0; i < view->n_locals; i++)
                if (view->locals[i].address.family == address->family &&
                    memcmp(view->locals[i].address.bytes, address->bytes, sizeof(address->bytes)) == 0)
                        return view->locals[i].index;
        return 0;
}

int net_address_parse(const char *text, NetAddress *ret) {
        NetAddress address = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };
        char plain[INET6_ADDRSTRLEN];
        size_t n = strcspn(text, "%/");

        if (n >= sizeof(plain))
                return -EINVAL;
        memcpy(plain, text, n);
        plain[n] = '\0';
        if (inet_pton(address.family, plain, address.bytes) != 1)
                return -EINVAL;

        *ret = address;
        return 0;
}

int net_route_to(int fd, const NetAddress *address) {
        size_t size = address->family == AF_INET ? 4 : 16;
        struct rtmsg body = { .rtm_family = (unsigned char) address->family, .rtm_dst_len = (unsigned char) (size * 8) };
        const struct rtattr *attributes[RTA_MAX + 1];
        union {
                struct nlmsghdr header;
                char space[4096];
        } answer;
        NetlinkRequest request;
        uint32_t index;
        int r;

        netlink_request(&request, RTM_GETROUTE, 0, &body, sizeof(body));
        netlink_add(&request, RTA_DST, address->bytes, size);
        r = netlink_ask(fd, &request, &answer, sizeof(answer));
        if (r < 0)
                return r;
        netlink_attributes(&answer.header, sizeof(body), attributes, RTA_MAX);
        return netlink_u32(attributes[RTA_OIF], &index) ? (int) index : -ENETUNREACH;
}

/* ---- what stands below what ---- */

static int add_lower(const NetView *view, NetLink *link, const NetLink *lower) {
        size_t position = (size_t) (lower - view->links);

        for (size_t i = 0; i < link->n_lowers; i++)
                if (link->lowers[i] == position)
                        return 0;
        if (lower == link)
                return 0;
        if (make_room(&link->lowers, link->n_lowers, sizeof(*link->lowers)) < 0)
                return -ENOMEM;
        link->lowers[link->n_lowers++] = position;
        return 0;
}

typedef struct Listing {
        NetView *view;
        const Sysfs *sysfs;
        NetLink *link;
        int error;
} Listing;

static void take_lower(void *userdata, const char *entry) {
        Listing *listing = userdata;
        const char *name = startswith(entry, "lower_");
        NetLink *lower = name ? net_view_link_by_name(listing->view, name) : NULL;

        if (lower && listing->error >= 0)
                listing->error = add_lower(listing->view, listing->link, lower);
}

int net_view_lowers(NetView *view, NetLink *link, const Sysfs *sysfs) {
        Listing listing = { .view = view, .link = link };
        char path[sizeof("/sys/class/net/") + IFNAMSIZ];
        NetLink *lower = link->lower_namespace < 0 ? net_view_link(view, link->lower) : NULL;
        int r = 0;

        if (link->lowers_known)
                return 0;
        /* The two ends of a veth pair name each other; neither stands on the other. */
        if (lower && !streq(link->kind, "veth"))
                r = add_lower(view, link, lower);
        for (size_t i = 0; i < view->n_links && r >= 0; i++)
                if (view->links[i].master == link->index)
                        r = add_lower(view, link, &view->links[i]);
        if (r >= 0 && sysfs) {
                (void) snprintf(path, sizeof(path), "/sys/class/net/%s", link->name);
                (void) sysfs_list(sysfs, path, take_lower, &listing);
                r = listing.error;
        }
        link->lowers_known = r >= 0;
        return r;
}

static bool read_number(const Sysfs *sysfs, const char *name, const char *attribute, uint32_t *ret) {
        char path[sizeof("/sys/class/net//ifindex") + IFNAMSIZ + 16], text[32];

        (void) snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name, attribute);
        return sysfs_read(sysfs, path, text, sizeof(text)) > 0 && parse_uint32(text, ret) >= 0;
}

static void read_mac(const Sysfs *sysfs, NetLink *link) {
        char path[sizeof("/sys/class/net//address") + IFNAMSIZ], text[64];
        unsigned mac[6];

        (void) snprintf(path, sizeof(path), "/sys/class/net/%s/address", link->name);
        if (sysfs_read(sysfs, path, text, sizeof(text)) == 17 &&
            sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) == 6) {
                for (size_t i = 0; i < ELEMENTSOF(mac); i++)
                        link->mac[i] = (uint8_t) mac[i];
                link->has_mac = true;
        }
}

static void take_interface(void *userdata, const char *name) {
        Listing *listing = userdata;
        NetLink link = { .lower_namespace = -1 };
        uint32_t index;

        /* "bonding_masters" lies among the interfaces. */
        if (listing->error < 0 || strlen(name) >= IFNAMSIZ || !read_number(listing->sysfs, name, "ifindex", &index) ||
            net_view_link(listing->view, index))
                return;
        link.index = index;
        strcpy(link.name, name);
        read_mac(listing->sysfs, &link);
        listing->error = net_view_add_link(listing->view, &link);
}

static void take_master(const Sysfs *sysfs, NetView *view, NetLink *link) {
        char path[sizeof("/sys/class/net//master") + IFNAMSIZ], master[IFNAMSIZ];
        const NetLink *upper;

        (void) snprintf(path, sizeof(path), "/sys/class/net/%s/master", link->name);
        if (link->master == 0 && sysfs_link(sysfs, path, master, sizeof(master)) > 0) {
                upper = net_view_link_by_name(view, master);
                link->master = upper ? upper->index : 0;
        }
}

int net_view_add_sysfs(NetView *view, const Sysfs *sysfs) {
        Listing listing = { .view = view, .sysfs = sysfs };
        int r;

        r = sysfs_list(sysfs, "/sys/class/net", take_interface, &listing);
        if (r < 0 && r != -ENOENT)
                return r;
        for (size_t i = 0; i < view->n_links; i++)
                take_master(sysfs, view, &view->links[i]);
        return listing.error;
}
