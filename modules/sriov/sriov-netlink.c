/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* rtnetlink through libnl. Its messages are built and taken apart here and not by libnl-route: that one turns the driver's errno
 * into a code of its own (EPROTONOSUPPORT, EOPNOTSUPP and EBUSY are what people need to hear), takes "not reported" for a value, and
 * cannot leave out statistics, without which the answer of a card with 256 functions fits one message. */

#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdio.h>

#include "sriov-netlink.h"

/* A message carries one list of all functions, whose attribute has a length of 16 bits. */
#define ANSWER_BYTES ((size_t) 128 * 1024)
#define NOT_REPORTED UINT32_MAX

static inline void socket_freep(struct nl_sock **socket) {
        nl_socket_free(*socket);
}
static inline void message_freep(struct nl_msg **message) {
        nlmsg_free(*message);
}
#define _cleanup_socket_ _cleanup_(socket_freep)
#define _cleanup_message_ _cleanup_(message_freep)

/* The driver's own errno; libnl returns a code of its own. */
static int on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *userdata) {
        *(int *) userdata = error->error < 0 ? error->error : -EIO;
        return NL_STOP;
}

static int socket_open(struct nl_sock **ret) {
        _cleanup_socket_ struct nl_sock *socket = nl_socket_alloc();

        if (!socket)
                return -ENOMEM;
        if (nl_connect(socket, NETLINK_ROUTE) < 0)
                return -errno;
        nl_socket_disable_seq_check(socket);
        if (nl_socket_set_msg_buf_size(socket, ANSWER_BYTES) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(socket);
        return 0;
}

static int talk(struct nl_msg *message, nl_recvmsg_msg_cb_t each, void *userdata) {
        bool dump = nlmsg_hdr(message)->nlmsg_flags & NLM_F_DUMP;
        _cleanup_socket_ struct nl_sock *socket = NULL;
        int result = 0, r;

        r = socket_open(&socket);
        if (r < 0)
                return r;
        nl_socket_modify_err_cb(socket, NL_CB_CUSTOM, on_error, &result);
        if (each)
                nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, each, userdata);
        if (nl_send_auto(socket, message) < 0)
                return -EIO;
        /* A request asks for an acknowledgement, before which the answer comes; a list has an end of its own. Interfaces that come or
         * go while it is made are told or not, as if they had come or gone a moment earlier. */
        r = dump ? nl_recvmsgs_default(socket) : nl_wait_for_ack(socket);
        if (result < 0)
                return result;
        return r < 0 && r != -NLE_DUMP_INTR ? -EIO : 0;
}

/* `ifindex` 0: all of them. */
static struct nl_msg *message_new(int type, uint32_t ifindex) {
        _cleanup_message_ struct nl_msg *message =
                nlmsg_alloc_simple(type, NLM_F_REQUEST | (ifindex > 0 ? NLM_F_ACK : NLM_F_DUMP));
        struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = (int) ifindex };

        if (!message || nlmsg_append(message, &header, sizeof(header), NLMSG_ALIGNTO) < 0)
                return NULL;
        return TAKE_PTR(message);
}

/* ---- reading ---- */

static const void *payload(struct nlattr **attributes, int type, size_t size) {
        return attributes[type] && nla_len(attributes[type]) >= (int) size ? nla_data(attributes[type]) : NULL;
}

static void take_mac(const uint8_t *bytes, SriovVf *vf) {
        uint64_t mac = 0;

        for (size_t i = 0; i < ETH_ALEN; i++)
                mac = mac << 8 | bytes[i];
        sriov_vf_set(vf, SRIOV_KEY_MAC, mac);
}

static void take_vlan(struct nlattr **attributes, SriovVf *vf) {
        const struct ifla_vf_vlan_info *info = NULL;
        const struct ifla_vf_vlan *plain = payload(attributes, IFLA_VF_VLAN, sizeof(*plain));
        struct nlattr *entry;
        int left;

        if (attributes[IFLA_VF_VLAN_LIST])
                nla_for_each_nested(entry, attributes[IFLA_VF_VLAN_LIST], left)
                        if (!info && nla_type(entry) == IFLA_VF_VLAN_INFO && nla_len(entry) >= (int) sizeof(*info))
                                info = nla_data(entry);
        if (info) {
                sriov_vf_set(vf, SRIOV_KEY_VLAN, info->vlan);
                sriov_vf_set(vf, SRIOV_KEY_QOS, info->qos);
                sriov_vf_set(vf, SRIOV_KEY_PROTOCOL, ntohs(info->vlan_proto));
        } else if (plain) {
                sriov_vf_set(vf, SRIOV_KEY_VLAN, plain->vlan);
                sriov_vf_set(vf, SRIOV_KEY_QOS, plain->qos);
                sriov_vf_set(vf, SRIOV_KEY_PROTOCOL, SRIOV_PROTOCOL_8021Q);
        }
}

/* Before the driver is asked the kernel puts -1 into the switches, which stays where the driver knows no such thing. The state
 * of the link is preset to "auto": that may be the driver's answer or none. */
static void take_switches(struct nlattr **attributes, SriovVf *vf) {
        static const struct {
                int type;
                SriovKey key;
        } switches[] = {
                { IFLA_VF_SPOOFCHK, SRIOV_KEY_SPOOF_CHECK },
                { IFLA_VF_LINK_STATE, SRIOV_KEY_LINK_STATE },
                { IFLA_VF_RSS_QUERY_EN, SRIOV_KEY_RSS_QUERY },
                { IFLA_VF_TRUST, SRIOV_KEY_TRUST },
        };

        for (size_t i = 0; i < ELEMENTSOF(switches); i++) {
                /* All have the same form: the number of the function, and the value. */
                const struct ifla_vf_spoofchk *value = payload(attributes, switches[i].type, sizeof(*value));

                if (value && value->setting != NOT_REPORTED)
                        sriov_vf_set(vf, switches[i].key, value->setting);
        }
}

static void take_rate(struct nlattr **attributes, SriovVf *vf) {
        const struct ifla_vf_rate *rate = payload(attributes, IFLA_VF_RATE, sizeof(*rate));
        const struct ifla_vf_tx_rate *old = payload(attributes, IFLA_VF_TX_RATE, sizeof(*old));

        if (rate) {
                sriov_vf_set(vf, SRIOV_KEY_MIN_RATE, rate->min_tx_rate);
                sriov_vf_set(vf, SRIOV_KEY_MAX_RATE, rate->max_tx_rate);
        } else if (old) {
                sriov_vf_set(vf, SRIOV_KEY_MIN_RATE, 0);
                sriov_vf_set(vf, SRIOV_KEY_MAX_RATE, old->rate);
        }
}

typedef struct Link {
        uint32_t ifindex;
        const char *name;   /* of the interface */
        const char *device; /* that it belongs to, "0000:08:00.0"; "" for none, and before Linux 5.14 */
} Link;

/* `each` is told of every function, and of the interface itself with number -1, whose address alone is known. */
typedef struct Reader {
        void (*each)(void *userdata, const Link *link, int64_t number, const SriovVf *vf);
        void *userdata;
} Reader;

static void read_function(struct nlattr *info, const Link *link, const Reader *reader) {
        struct nlattr *attributes[IFLA_VF_MAX + 1] = { NULL };
        const struct ifla_vf_mac *mac;
        SriovVf vf = { 0 };

        if (nla_parse_nested(attributes, IFLA_VF_MAX, info, NULL) < 0)
                return;
        mac = payload(attributes, IFLA_VF_MAC, sizeof(*mac));
        if (!mac) /* every function states it, and with it its number */
                return;
        take_mac(mac->mac, &vf);
        take_vlan(attributes, &vf);
        take_rate(attributes, &vf);
        take_switches(attributes, &vf);
        reader->each(reader->userdata, link, mac->vf, &vf);
}

static const char *text_of(struct nlattr **attributes, int type) {
        struct nlattr *a = attributes[type];

        return a && nla_len(a) > 0 && ((const char *) nla_data(a))[nla_len(a) - 1] == '\0' ? nla_data(a) : "";
}

static int on_link(struct nl_msg *message, void *userdata) {
        struct nlattr *attributes[IFLA_MAX + 1] = { NULL }, *info;
        const struct nlmsghdr *header = nlmsg_hdr(message);
        const Reader *reader = userdata;
        const uint8_t *own;
        Link link;
        int left;

        if (header->nlmsg_type != RTM_NEWLINK ||
            nlmsg_parse(nlmsg_hdr(message), sizeof(struct ifinfomsg), attributes, IFLA_MAX, NULL) < 0)
                return NL_OK;
        link = (Link) {
                .ifindex = (uint32_t) ((const struct ifinfomsg *) nlmsg_data(header))->ifi_index,
                .name = text_of(attributes, IFLA_IFNAME),
                .device = text_of(attributes, IFLA_PARENT_DEV_NAME),
        };
        own = payload(attributes, IFLA_ADDRESS, ETH_ALEN);
        if (own && nla_len(attributes[IFLA_ADDRESS]) == ETH_ALEN) {
                SriovVf pf = { 0 };

                take_mac(own, &pf);
                reader->each(reader->userdata, &link, -1, &pf);
        }
        if (attributes[IFLA_VFINFO_LIST])
                nla_for_each_nested(info, attributes[IFLA_VFINFO_LIST], left)
                        if (nla_type(info) == IFLA_VF_INFO)
                                read_function(info, &link, reader);
        return NL_OK;
}

static int read_links(uint32_t ifindex, const Reader *reader) {
        _cleanup_message_ struct nl_msg *message = message_new(RTM_GETLINK, ifindex);

        if (!message || nla_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS) < 0)
                return -ENOMEM;
        return talk(message, on_link, (void *) reader);
}

typedef struct Wanted {
        int64_t number;
        SriovVf vf;
        bool found;
} Wanted;

static void take_wanted(void *userdata, const Link *link, int64_t number, const SriovVf *vf) {
        Wanted *wanted = userdata;

        if (number != wanted->number)
                return;
        wanted->vf = *vf;
        wanted->found = true;
}

static int kernel_read(const SriovPath *path, SriovVf *ret) {
        Wanted wanted = { .number = path->number };
        int r = read_links(path->ifindex, &(Reader) { take_wanted, &wanted });

        if (r < 0)
                return r;
        if (!wanted.found)
                return -ENOENT;
        *ret = wanted.vf;
        return 0;
}

typedef struct Owner {
        const SriovPath *self;
        uint64_t mac;
        char *text;
        size_t size;
} Owner;

/* Neither the function itself, nor the interface that it has while a driver of the host has it. */
static void match_mac(void *userdata, const Link *link, int64_t number, const SriovVf *vf) {
        Owner *owner = userdata;
        bool self = number < 0 ? streq(link->device, owner->self->vf)
                               : link->ifindex == owner->self->ifindex && number == owner->self->number;

        if (owner->text[0] || self || vf->value[SRIOV_KEY_MAC] != owner->mac)
                return;
        if (number < 0)
                (void) snprintf(owner->text, owner->size, "%s itself", link->name);
        else
                (void) snprintf(owner->text, owner->size, "virtual function %u of %s", (unsigned) number, link->name);
}

static int kernel_find_mac(const SriovPath *path, uint64_t mac, char *ret_owner, size_t size) {
        Owner owner = { path, mac, ret_owner, size };
        int r;

        ret_owner[0] = '\0';
        r = read_links(0, &(Reader) { match_mac, &owner });
        return r < 0 ? r : ret_owner[0] != '\0';
}

/* ---- writing ---- */

static int put_mac(struct nl_msg *message, uint32_t number, const SriovVf *v) {
        struct ifla_vf_mac mac = { .vf = number };

        for (unsigned i = 0; i < ETH_ALEN; i++)
                mac.mac[i] = (uint8_t) (v->value[SRIOV_KEY_MAC] >> (40 - 8 * i));
        return nla_put(message, IFLA_VF_MAC, sizeof(mac), &mac);
}

/* The list is newer than the plain form and says the protocol; drivers that know 802.1Q alone refuse any other. */
static int put_vlan(struct nl_msg *message, uint32_t number, const SriovVf *v) {
        struct ifla_vf_vlan_info info = {
                .vf = number,
                .vlan = (uint32_t) v->value[SRIOV_KEY_VLAN],
                .qos = (uint32_t) v->value[SRIOV_KEY_QOS],
                .vlan_proto = htons((uint16_t) v->value[SRIOV_KEY_PROTOCOL]),
        };
        struct nlattr *list = nla_nest_start(message, IFLA_VF_VLAN_LIST);

        if (!list || nla_put(message, IFLA_VF_VLAN_INFO, sizeof(info), &info) < 0)
                return -1;
        return nla_nest_end(message, list);
}

static int put_rate(struct nl_msg *message, uint32_t number, const SriovVf *v) {
        struct ifla_vf_rate rate = {
                .vf = number,
                .min_tx_rate = (uint32_t) v->value[SRIOV_KEY_MIN_RATE],
                .max_tx_rate = (uint32_t) v->value[SRIOV_KEY_MAX_RATE],
        };

        return nla_put(message, IFLA_VF_RATE, sizeof(rate), &rate);
}

static int put_switch(struct nl_msg *message, int type, uint32_t number, uint64_t value) {
        struct ifla_vf_spoofchk setting = { .vf = number, .setting = (uint32_t) value };

        return nla_put(message, type, sizeof(setting), &setting);
}

static int put_attribute(struct nl_msg *message, uint32_t number, SriovAttribute attribute, const SriovVf *v) {
        switch (attribute) {
        case SRIOV_ATTRIBUTE_MAC:
                return put_mac(message, number, v);
        case SRIOV_ATTRIBUTE_VLAN:
                return put_vlan(message, number, v);
        case SRIOV_ATTRIBUTE_RATE:
                return put_rate(message, number, v);
        case SRIOV_ATTRIBUTE_SPOOF_CHECK:
                return put_switch(message, IFLA_VF_SPOOFCHK, number, v->value[SRIOV_KEY_SPOOF_CHECK]);
        case SRIOV_ATTRIBUTE_RSS_QUERY:
                return put_switch(message, IFLA_VF_RSS_QUERY_EN, number, v->value[SRIOV_KEY_RSS_QUERY]);
        case SRIOV_ATTRIBUTE_TRUST:
                return put_switch(message, IFLA_VF_TRUST, number, v->value[SRIOV_KEY_TRUST]);
        case SRIOV_ATTRIBUTE_LINK_STATE:
                return put_switch(message, IFLA_VF_LINK_STATE, number, v->value[SRIOV_KEY_LINK_STATE]);
        case _SRIOV_ATTRIBUTE_MAX:
                break;
        }
        return -1;
}

static int kernel_write(const SriovPath *path, SriovAttribute attribute, const SriovVf *values) {
        _cleanup_message_ struct nl_msg *message = message_new(RTM_SETLINK, path->ifindex);
        struct nlattr *list, *info;

        if (!message || !(list = nla_nest_start(message, IFLA_VFINFO_LIST)) || !(info = nla_nest_start(message, IFLA_VF_INFO)) ||
            put_attribute(message, path->number, attribute, values) < 0)
                return -ENOMEM;
        (void) nla_nest_end(message, info);
        (void) nla_nest_end(message, list);
        return talk(message, NULL, NULL);
}

const SriovNetlink sriov_netlink_kernel = {
        .read = kernel_read,
        .write = kernel_write,
        .find_mac = kernel_find_mac,
};

const SriovNetlink *sriov_netlink(void) {
        return secure_getenv("PASSTHROUGHD_SIMULATED_RTNETLINK") ? &sriov_netlink_simulated : &sriov_netlink_kernel;
}
