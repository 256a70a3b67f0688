/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "evidence-rig.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>

#include "worker/evidence-network.h"
#include "worker/net-read.h"
#include "worker/netlink.h"

#define ROOT "pci0000:00"

static unsigned add(NetView *view, unsigned index, const char *name, const char *kind, unsigned master, unsigned lower) {
        NetLink link = { .index = index, .master = master, .lower = lower, .lower_namespace = -1, .flags = IFF_UP };

        (void) snprintf(link.name, sizeof(link.name), "%s", name);
        (void) snprintf(link.kind, sizeof(link.kind), "%s", kind);
        assert_int_equal(net_view_add_link(view, &link), 0);
        return index;
}

static void add_card(Evidence *evidence, NetView *view, unsigned index, const char *name, const char *address,
                     unsigned master) {
        char device[64], number[16], path[128];

        add_pci(evidence, "", address, "0x020000", "0x8086", "igb");
        (void) snprintf(device, sizeof(device), ROOT "/%s", address);
        add_class(evidence, "net", name, device);
        (void) snprintf(number, sizeof(number), "%u", index);
        (void) snprintf(path, sizeof(path), "/sys/class/net/%s/ifindex", name);
        fake_write_file(&evidence->host, path + 1, number);
        if (view)
                (void) add(view, index, name, "", master, 0);
}

static int no_route(void *userdata, const NetAddress *address) {
        return -ENETUNREACH;
}

static int route_by_bridge(void *userdata, const NetAddress *address) {
        return 20;
}

static NetFacts new_facts(void) {
        return (NetFacts) { .host = { .fd = -EBADF, .host_id = -1 }, .route = no_route };
}

static void judge(Evidence *evidence, NetFacts *facts) {
        assert_int_equal(evidence_network_judge(evidence, facts), 0);
        net_view_done(&facts->host);
        net_namespaces_done(&facts->others);
        net_needs_done(&facts->needs);
}

/* The whole chain, both slaves of the bond, and the free card beside them. */
static void test_stack(void **state) {
        Evidence *evidence = *state;
        NetFacts facts = new_facts();
        NetView *host = &facts.host;

        add_card(evidence, host, 2, "eth0", "0000:00:02.0", 10);
        add_card(evidence, host, 3, "eth1", "0000:00:03.0", 10);
        add_card(evidence, host, 4, "eth2", "0000:00:04.0", 0);
        (void) add(host, 10, "bond0", "bond", 20, 0);
        (void) add(host, 20, "br0", "bridge", 0, 0);
        (void) add(host, 11, "bond0.100", "vlan", 0, 10);
        assert_int_equal(net_view_add_use(host, 20, "address", "10.0.0.5/24"), 0);
        assert_int_equal(net_view_add_use(host, 11, "address", "10.1.0.5/24"), 0);
        judge(evidence, &facts);

        assert_said(evidence, "critical address", "0000:00:02.0/net/eth0: 10.0.0.5/24 < br0 < bond0 < eth0");
        assert_said(evidence, "critical address", "0000:00:03.0/net/eth1: 10.0.0.5/24 < br0 < bond0 < eth1");
        assert_said(evidence, "critical address", "0000:00:02.0/net/eth0: 10.1.0.5/24 < bond0.100 < bond0 < eth0");
        assert_not_said(evidence, "critical", "0000:00:04.0");
        assert_said(evidence, "in-use link-up", "0000:00:04.0/net/eth2: administratively up");
        assert_not_said(evidence, "unresolved");
}

/* The port of a bridge without an address carries the guests. Open vSwitch has no lower link from its inner port: the card's
 * own master says it, in sysfs alone. */
static void test_members(void **state) {
        Evidence *evidence = *state;
        NetFacts facts = new_facts();

        add_card(evidence, &facts.host, 2, "eth0", "0000:00:02.0", 20);
        (void) add(&facts.host, 20, "br0", "bridge", 0, 0);
        add_card(evidence, NULL, 3, "eth1", "0000:00:03.0", 0);
        put(evidence, "/sys/devices/virtual/net/ovs-system/ifindex", "30");
        add_link(evidence, "/sys/class/net/ovs-system", "/sys/devices/virtual/net/ovs-system");
        add_link(evidence, "/sys/devices/" ROOT "/0000:00:03.0/net/eth1/master", "/sys/devices/virtual/net/ovs-system");
        add_card(evidence, &facts.host, 4, "eth2", "0000:00:04.0", 0);
        (void) add(&facts.host, 40, "macvtap0", "macvtap", 0, 4);
        judge(evidence, &facts);

        assert_said(evidence, "critical member", "0000:00:02.0/net/eth0: br0 (bridge) < eth0");
        assert_said(evidence, "critical member", "0000:00:03.0/net/eth1: ovs-system < eth1");
        assert_said(evidence, "critical member", "0000:00:04.0/net/eth2: macvtap < macvtap0 < eth2");
}

/* Nonsense that loops ends. */
static void test_cycle(void **state) {
        Evidence *evidence = *state;
        NetFacts facts = new_facts();

        add_card(evidence, &facts.host, 2, "eth0", "0000:00:02.0", 11);
        (void) add(&facts.host, 10, "a", "vlan", 11, 11);
        (void) add(&facts.host, 11, "b", "bond", 10, 10);
        assert_int_equal(net_view_add_use(&facts.host, 10, "route", "default route"), 0);
        judge(evidence, &facts);
        assert_said(evidence, "critical route", "eth0: default route < a < b < eth0");
}

/* A card in another namespace with an address, one that only was moved there, a macvlan there on a card of the host, and a card
 * whose namespace nobody found. */
static void test_namespaces(void **state) {
        Evidence *evidence = *state;
        NetFacts facts = new_facts();
        NetView *blue = calloc(1, sizeof(*blue));
        NetLink link = { .index = 7, .lower_namespace = -1, .name = "eth1", .bus = "pci", .parent = "0000:00:03.0" };

        *blue = (NetView) { .name = strdup("blue"), .fd = -EBADF, .host_id = 5 };
        facts.others = (NetNamespaces) { .views = blue, .n_views = 1 };
        add_card(evidence, &facts.host, 2, "eth0", "0000:00:02.0", 0);
        add_pci(evidence, "", "0000:00:03.0", "0x020000", "0x8086", "igb");
        add_pci(evidence, "", "0000:00:04.0", "0x020000", "0x8086", "igb");
        add_pci(evidence, "", "0000:00:05.0", "0x020000", "0x8086", "igb");
        add_pci(evidence, "", "0000:00:06.0", "0x020000", "0x8086", "igb");
        for (int i = 3; i <= 5; i++) {
                char path[64];

                (void) snprintf(path, sizeof(path), "sys/devices/" ROOT "/0000:00:0%d.0/net", i);
                fake_make_directory(&evidence->host, path);
        }
        assert_int_equal(net_view_add_link(blue, &link), 0);
        assert_int_equal(net_view_add_use(blue, 7, "address", "192.0.2.7/24"), 0);
        link = (NetLink) { .index = 8, .lower_namespace = -1, .name = "eth2", .bus = "pci", .parent = "0000:00:04.0" };
        assert_int_equal(net_view_add_link(blue, &link), 0);
        link = (NetLink) { .index = 9, .lower = 2, .lower_namespace = 5, .name = "mv0", .kind = "macvlan" };
        assert_int_equal(net_view_add_link(blue, &link), 0);
        /* A virtio card, whose interface is one device below, and one of which no driver made an interface. */
        add_pci(evidence, "", "0000:00:07.0", "0x020000", "0x1af4", "virtio-pci");
        add_pci(evidence, "", "0000:00:08.0", "0x020000", "0x1af4", "virtio-pci");
        fake_make_directory(&evidence->host, "sys/devices/" ROOT "/0000:00:07.0/virtio0/net");
        fake_make_directory(&evidence->host, "sys/devices/" ROOT "/0000:00:08.0/virtio1");
        add_link(evidence, "/sys/bus/virtio/devices/virtio0", "/sys/devices/" ROOT "/0000:00:07.0/virtio0");
        add_link(evidence, "/sys/bus/virtio/devices/virtio1", "/sys/devices/" ROOT "/0000:00:08.0/virtio1");
        judge(evidence, &facts);

        assert_said(evidence, "critical namespace", "0000:00:07.0/virtio0: a network interface in a network namespace that was");
        assert_not_said(evidence, "0000:00:08.0");
        assert_said(evidence, "critical address", "0000:00:03.0: 192.0.2.7/24 < eth1 in network namespace blue");
        assert_said(evidence, "critical namespace", "0000:00:04.0: eth2 in network namespace blue");
        assert_said(evidence, "critical namespace", "eth0: mv0 (macvlan) in network namespace blue < eth0");
        assert_said(evidence, "critical namespace", "0000:00:05.0: a network interface in a network namespace that was not found");
        /* A driver that made no interface is not used by the network. */
        assert_not_said(evidence, "0000:00:06.0");
        assert_not_said(evidence, "unresolved");
}

static const char mounts[] =
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "36 22 0:50 / /srv/my\\040data rw shared:1 - nfs4 files:/export rw,vers=4.2,addr=192.0.2.9\n"
        "37 22 0:51 / /ceph rw - ceph 192.0.2.10:6789,[2001:db8::10]:6789:/ rw\n"
        "38 22 0:52 / /odd rw - cifs //x/y rw,addr=nonsense\n"
        "39 22 0:53 / /near rw - nfs4 files:/near rw,addr=fe80::9%2\n"
        "40 22 0:54 / /beside rw - nfs4 files:/beside rw,addr=fe80::9%br0\n"
        "39 22";

/* Named by addresses: file systems of others, iSCSI, NVMe over TCP, and the SSH session. */
static void test_needs(void **state) {
        Evidence *evidence = *state;
        NetFacts facts = new_facts();
        NetAddress local;

        put(evidence, "/proc/1/mountinfo", mounts);
        put(evidence, "/sys/class/iscsi_connection/connection1:0/address", "192.0.2.30");
        put(evidence, "/sys/class/nvme/nvme3/transport", "tcp");
        put(evidence, "/sys/class/nvme/nvme3/address", "traddr=192.0.2.40,trsvcid=4420,host_traddr=192.0.2.5");
        put(evidence, "/sys/class/nvme/nvme0/transport", "pcie");
        put(evidence, "/sys/class/nvme/nvme0/address", "0000:03:00.0");
        put(evidence, "/proc/4711/comm", "sshd");
        fake_make_directory(&evidence->host, "proc/4711/fd");
        fake_link(&evidence->host, "proc/4711/fd/3", "socket:[777]");
        fake_link(&evidence->host, "proc/4711/fd/4", "/dev/null");
        put(evidence, "/proc/4712/comm", "curl");
        fake_make_directory(&evidence->host, "proc/4712/fd");
        fake_link(&evidence->host, "proc/4712/fd/3", "socket:[778]");
        put(evidence, "/proc/self/net/tcp6",
            "  sl  local_address                         remote_address                        st tx_queue\n"
            "   0: 0000000000000000FFFF00000502000A:0016 0000000000000000FFFF0000076433C6:D2C4 01 00000000:00000000 "
            "02:000A0D9B 00000000     0        0 777 2 0\n"
            "   1: 0000000000000000FFFF00000502000A:0016 0000000000000000FFFF0000086433C6:D2C4 01 00000000:00000000 "
            "02:000A0D9B 00000000     0        0 778 2 0\n");
        assert_int_equal(net_needs_read(evidence, &facts.needs), 0);

        add_card(evidence, &facts.host, 2, "eth0", "0000:00:02.0", 20);
        (void) add(&facts.host, 20, "br0", "bridge", 0, 0);
        assert_int_equal(net_address_parse("10.0.2.5", &local), 0);
        assert_int_equal(net_view_add_local(&facts.host, 20, &local), 0);
        facts.route = route_by_bridge;
        judge(evidence, &facts);

        assert_said(evidence, "critical network-storage", "/srv/my data (nfs4 files:/export) < br0 < eth0");
        assert_said(evidence, "critical network-storage", "/ceph (ceph ", " < br0 < eth0");
        assert_said(evidence, "critical network-storage", "/near (nfs4 files:/near) < eth0");
        assert_said(evidence, "critical network-storage", "/beside (nfs4 files:/beside) < br0 < eth0");
        assert_said(evidence, "critical network-storage", "iSCSI disks of 192.0.2.30 < br0 < eth0");
        assert_said(evidence, "critical network-storage", "nvme3 (NVMe over tcp from 192.0.2.40) < br0 < eth0");
        assert_not_said(evidence, "nvme0");
        assert_said(evidence, "unresolved network: The address \"nonsense\" of /odd");
        assert_said(evidence, "critical session", "SSH session from 198.51.100.7 < br0 < eth0");
        assert_not_said(evidence, "198.51.100.8");
}

/* What may stand on any card in there cannot be known. */
static void test_hidden_namespaces(void **state) {
        Evidence *evidence = *state;
        NetFacts facts = new_facts();

        facts.others.incomplete = true;
        judge(evidence, &facts);
        assert_said(evidence, "unresolved network: Some network namespaces");
}

/* Routes by next hops of which only the number is told. */
static void test_hidden_routes(void **state) {
        Evidence *evidence = *state;
        NetFacts facts = new_facts();

        facts.host.hidden_routes = true;
        judge(evidence, &facts);
        assert_said(evidence, "unresolved network: Some routes name next hops by number only");
}

/* A server to which no route leads: which card is needed cannot be known. */
static void test_no_route(void **state) {
        Evidence *evidence = *state;
        NetFacts facts = new_facts();

        put(evidence, "/proc/1/mountinfo", "36 22 0:50 / /data rw - nfs files:/export rw,addr=192.0.2.9");
        assert_int_equal(net_needs_read(evidence, &facts.needs), 0);
        judge(evidence, &facts);
        assert_said(evidence, "unresolved network:", "/data (nfs files:/export)", "Network is unreachable");
}

static void test_boot(void **state) {
        Evidence *evidence = *state;
        NetFacts facts = new_facts();

        put(evidence, "/proc/cmdline", "root=/dev/nfs ip=192.0.2.5::192.0.2.1:255.255.255.0:host:eth1:off "
                                       "BOOTIF=01-52-54-00-00-01-01 quiet");
        put(evidence, "/sys/firmware/ibft/ethernet0/mac", "52:54:00:00:01:03");
        add_card(evidence, &facts.host, 2, "eth0", "0000:00:02.0", 0);
        add_card(evidence, &facts.host, 3, "eth1", "0000:00:03.0", 0);
        add_card(evidence, NULL, 4, "eth2", "0000:00:04.0", 0);
        add_card(evidence, &facts.host, 5, "eth3", "0000:00:05.0", 0);
        fake_write_file(&evidence->host, "sys/class/net/eth2/address", "52:54:00:00:01:03");
        memcpy(net_view_link(&facts.host, 2)->mac, (uint8_t[]) { 0x52, 0x54, 0, 0, 1, 1 }, 6);
        net_view_link(&facts.host, 2)->has_mac = true;
        assert_int_equal(net_needs_read(evidence, &facts.needs), 0);
        judge(evidence, &facts);
        assert_said(evidence, "critical network-boot", "started with BOOTIF=01-52-54-00-00-01-01 < eth0");
        assert_said(evidence, "critical network-boot", "started with ip=", " < eth1");
        assert_said(evidence, "critical network-boot", "ethernet0 < eth2");
        assert_not_said(evidence, "critical", "eth3");
}

/* RDMA that a program uses; a card that nobody has open is free. */
static void test_programs(void **state) {
        Evidence *evidence = *state;
        NetFacts facts = new_facts();

        add_pci(evidence, "", "0000:00:02.0", "0x020700", "0x15b3", "mlx5_core");
        add_class(evidence, "infiniband_verbs", "uverbs0", ROOT "/0000:00:02.0");
        add_pci(evidence, "", "0000:00:03.0", "0x020700", "0x15b3", "mlx5_core");
        add_class(evidence, "infiniband_verbs", "uverbs1", ROOT "/0000:00:03.0");
        add_pci(evidence, "", "0000:00:04.0", "0x020000", "0x8086", "uio_pci_generic");
        add_class(evidence, "uio", "uio0", ROOT "/0000:00:04.0");
        put(evidence, "/proc/12/comm", "ovs-vswitchd");
        fake_make_directory(&evidence->host, "proc/12/fd");
        fake_link(&evidence->host, "proc/12/fd/3", "/dev/infiniband/uverbs0");
        fake_link(&evidence->host, "proc/12/fd/4", "/dev/uio0");
        fake_link(&evidence->host, "proc/12/fd/5", "/tmp/uverbs1");
        judge(evidence, &facts);
        assert_said(evidence, "critical rdma", "0000:00:02.0", "ovs-vswitchd (process 12) < uverbs0");
        assert_said(evidence, "critical user-space-driver", "0000:00:04.0", "uio0");
        assert_not_said(evidence, "0000:00:03.0");
}

static void test_addresses(void **state) {
        static const struct {
                const char *address;
                unsigned char scope;
                int proto;
                bool counts;
        } cases[] = {
                { "192.0.2.1", RT_SCOPE_UNIVERSE, -1, true },
                { "169.254.0.17", RT_SCOPE_LINK, -1, true }, /* to a management controller */
                { "2001:db8::1", RT_SCOPE_UNIVERSE, 0, true },
                { "fd00::1", RT_SCOPE_UNIVERSE, -1, true },
                { "fe80::1", RT_SCOPE_LINK, -1, true }, /* chosen */
                { "fe80::1", RT_SCOPE_LINK, 3, false }, /* made by the kernel */
                { "fe80::5054:ff:fe00:101", RT_SCOPE_LINK, -1, false }, /* from the hardware address */
                { "fe80::1234:5678:9abc:def0", RT_SCOPE_LINK, -1, false }, /* a hash */
                { "127.0.0.1", RT_SCOPE_HOST, -1, false },
        };
        const NetLink link = { .mac = { 0x52, 0x54, 0, 0, 1, 1 }, .has_mac = true };
        const NetLink loopback = { .flags = IFF_LOOPBACK };
        NetAddress address;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(net_address_parse(cases[i].address, &address), 0);
                assert_int_equal(net_address_counts(&address, cases[i].scope, cases[i].proto, &link), cases[i].counts);
                assert_false(net_address_counts(&address, cases[i].scope, cases[i].proto, &loopback));
        }
        assert_int_equal(net_address_parse("fe80::1%eth0", &address), 0);
        assert_int_equal(net_address_parse("host.example", &address), -EINVAL);
        assert_int_equal(net_address_parse("", &address), -EINVAL);
}

/* The kernel's own answers, in a network namespace with nothing but a loopback interface. */
static void test_kernel(void **state) {
        NetView view;
        NetAddress address;
        int status;
        pid_t pid;

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int fd;

                if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
                        _exit(errno == EPERM || errno == ENOSPC ? 0 : 1);
                fd = netlink_open();
                if (fd < 0 || net_view_read(fd, NULL, &view) < 0)
                        _exit(2);
                if (view.n_links < 1 || !streq(view.links[0].name, "lo") || !(view.links[0].flags & IFF_LOOPBACK) ||
                    view.n_uses != 0)
                        _exit(3);
                if (net_address_parse("192.0.2.1", &address) < 0 || net_route_to(view.fd, &address) != -ENETUNREACH)
                        _exit(4);
                net_view_done(&view);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_stack, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_members, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_cycle, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_namespaces, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_hidden_namespaces, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_hidden_routes, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_needs, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_no_route, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_boot, evidence_setup, evidence_teardown),
                cmocka_unit_test_setup_teardown(test_programs, evidence_setup, evidence_teardown),
                cmocka_unit_test(test_addresses),
                cmocka_unit_test(test_kernel),
        };

        return cmocka_run_group_tests_name("evidence-network", tests, NULL, NULL);
}
