/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net-need.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>

#include "evidence-internal.h"
#include "lib/limits.h"
#include "lib/parse.h"
#include "proc-file.h"

#define NEEDS_MAX 4096u

/* Programs whose connections are sessions of people who manage the host. */
static const struct {
        const char *comm, *what;
} managers[] = {
        { "sshd", "SSH session" },
        { "sshd-session", "SSH session" },
        { "dropbear", "SSH session" },
        { "cockpit-ws", "Cockpit session" },
        { "cockpit-tls", "Cockpit session" },
        { "libvirtd", "libvirt session" },
        { "virtproxyd", "libvirt session" },
};

static NetNeed *add_need(NetNeeds *needs, const char *code) {
        NetNeed *items;

        if (needs->n_items >= NEEDS_MAX)
                return NULL;
        if ((needs->n_items & (needs->n_items - 1)) == 0) {
                items = reallocarray(needs->items, needs->n_items > 0 ? needs->n_items * 2 : 1, sizeof(*items));
                if (!items)
                        return NULL;
                needs->items = items;
        }
        needs->items[needs->n_items] = (NetNeed) { .code = code };
        return &needs->items[needs->n_items++];
}

static int add_remote(NetNeeds *needs, const char *text, const char *address) {
        NetNeed *need = add_need(needs, "network-storage");

        if (!need)
                return needs->n_items >= NEEDS_MAX ? 0 : -ENOMEM;
        (void) snprintf(need->text, sizeof(need->text), "%s", text);
        if (net_address_parse(address, &need->remote) >= 0) {
                const char *zone = strchr(address, '%');

                /* The kernel writes its number, people the name: "fe80::1%2", "fe80::1%eth0". */
                if (zone && parse_uint32(zone + 1, &need->index) < 0)
                        (void) snprintf(need->interface, sizeof(need->interface), "%s", zone + 1);
                return 0;
        }

        needs->n_items--;
        if (!needs->unresolved &&
            asprintf(&needs->unresolved, "The address \"%s\" of %s is none", address, text) < 0) {
                needs->unresolved = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* ---- file systems ---- */

/* "10.0.0.1:6789", "[2001:db8::1]:6789" or an address alone. */
static char *strip_port(char *text) {
        char *end;

        if (text[0] == '[') {
                end = strchr(text, ']');
                if (end)
                        *end = '\0';
                return text + 1;
        }
        end = strchr(text, ':');
        if (end && !strchr(end + 1, ':'))
                *end = '\0';
        return text;
}

/* nfs4 server:/export rw,vers=4.2,addr=192.0.2.9 */
static int add_mount(NetNeeds *needs, const Mount *mount) {
        _cleanup_free_ char *source = strdup(mount->source), *options = strdup(mount->options);
        char text[NET_TEXT_MAX], *rest = options, *option, *part;
        bool found = false;
        int r = 0;

        if (!source || !options)
                return -ENOMEM;
        (void) snprintf(text, sizeof(text), "%s (%s %s)", mount->target, mount->type, source);
        while (r >= 0 && (option = strsep(&rest, ","))) {
                char *list = startswith(option, "addr=") ? option + 5 : startswith(option, "mon_addr=") ? option + 9 : NULL;

                while (r >= 0 && (part = strsep(&list, "/"))) {
                        r = add_remote(needs, text, strip_port(part));
                        found = true;
                }
        }
        /* The source of a Ceph mount lists its monitors: "10.0.0.1:6789,10.0.0.2:6789:/path". */
        if (!found && streq(mount->type, "ceph")) {
                rest = source;
                part = strstr(rest, ":/");
                if (part)
                        *part = '\0';
                while (r >= 0 && (part = strsep(&rest, ",")))
                        r = add_remote(needs, text, strip_port(part));
        }
        return r;
}

static int add_mounts(NetNeeds *needs, const MountTable *mounts) {
        static const char *const types[] = { "nfs", "nfs4", "cifs", "smb3", "ceph", "afs" };
        int r = 0;

        for (size_t i = 0; i < mounts->n_items; i++)
                for (size_t k = 0; k < ELEMENTSOF(types) && r >= 0; k++)
                        if (streq(types[k], mounts->items[i].type))
                                r = add_mount(needs, &mounts->items[i]);
        return r;
}

/* ---- disks ---- */

typedef struct Listing {
        const Sysfs *sysfs;
        NetNeeds *needs;
        int error;
} Listing;

static void take_iscsi(void *userdata, const char *entry) {
        char path[PATH_MAX], address[128], text[NET_TEXT_MAX];
        Listing *listing = userdata;

        (void) snprintf(path, sizeof(path), "/sys/class/iscsi_connection/%s/address", entry);
        if (listing->error < 0 || sysfs_read(listing->sysfs, path, address, sizeof(address)) <= 0)
                return;
        (void) snprintf(text, sizeof(text), "iSCSI disks of %s", address);
        listing->error = add_remote(listing->needs, text, address);
}

/* "traddr=192.0.2.1,trsvcid=4420,host_traddr=…" of controllers with transport tcp and rdma. */
static void take_nvme(void *userdata, const char *entry) {
        char path[PATH_MAX], transport[16], address[512], text[NET_TEXT_MAX], *rest = address, *part;
        Listing *listing = userdata;

        (void) snprintf(path, sizeof(path), "/sys/class/nvme/%s/transport", entry);
        if (listing->error < 0 || sysfs_read(listing->sysfs, path, transport, sizeof(transport)) <= 0 ||
            (!streq(transport, "tcp") && !streq(transport, "rdma")))
                return;
        (void) snprintf(path, sizeof(path), "/sys/class/nvme/%s/address", entry);
        if (sysfs_read(listing->sysfs, path, address, sizeof(address)) <= 0)
                return;
        while ((part = strsep(&rest, ",")))
                if (startswith(part, "traddr=")) {
                        (void) snprintf(text, sizeof(text), "%s (NVMe over %s from %s)", entry, transport, part + 7);
                        listing->error = add_remote(listing->needs, text, part + 7);
                }
}

/* ---- sessions ---- */

typedef struct Socket {
        uint64_t inode;
        const char *what;
} Socket;

typedef struct Sessions {
        const Sysfs *sysfs;
        NetNeeds *needs;
        Socket *sockets;
        size_t n_sockets;
        const char *what; /* of the process that is looked at */
        int directory_fd;
        int error;
        bool six;
} Sessions;

static void take_fd(void *userdata, const char *entry) {
        Sessions *sessions = userdata;
        char target[64], *end;
        const char *number;
        Socket *sockets;
        uint64_t inode;
        ssize_t n = readlinkat(sessions->directory_fd, entry, target, sizeof(target) - 1);

        if (n <= 0 || sessions->error < 0)
                return;
        target[n] = '\0';
        number = startswith(target, "socket:[");
        if (!number)
                return;
        end = strchr(target, ']');
        if (!end)
                return;
        *end = '\0';
        if (parse_uint64(number, &inode) < 0)
                return;
        sockets = reallocarray(sessions->sockets, sessions->n_sockets + 1, sizeof(*sockets));
        if (!sockets) {
                sessions->error = -ENOMEM;
                return;
        }
        sessions->sockets = sockets;
        sockets[sessions->n_sockets++] = (Socket) { inode, sessions->what };
}

static void take_process(void *userdata, const char *entry) {
        Sessions *sessions = userdata;
        char path[64], comm[32];
        uint32_t pid;

        if (parse_uint32(entry, &pid) < 0)
                return;
        (void) snprintf(path, sizeof(path), "/proc/%u/comm", pid);
        if (sysfs_read(sessions->sysfs, path, comm, sizeof(comm)) <= 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(managers); i++)
                if (streq(managers[i].comm, comm)) {
                        sessions->what = managers[i].what;
                        (void) snprintf(path, sizeof(path), "proc/%u/fd", pid);
                        sessions->directory_fd =
                                openat(sessions->sysfs->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                        if (sessions->directory_fd < 0)
                                return;
                        (void) sysfs_list_at(sessions->directory_fd, ".", take_fd, sessions);
                        sessions->directory_fd = close_fd(sessions->directory_fd);
                }
}

/* Addresses are written as the words of memory, in the byte order of the machine. An IPv4 peer of a socket that serves both is
 * ::ffff:a.b.c.d. */
static bool parse_socket_address(const char *text, NetAddress *ret) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        size_t n = strcspn(text, ":"), words = n / 8;
        NetAddress address = { .family = words == 1 ? AF_INET : AF_INET6 };

        if (n != 8 && n != 32)
                return false;
        for (size_t i = 0; i < words; i++) {
                char word[9];
                uint32_t number;

                memcpy(word, text + i * 8, 8);
                word[8] = '\0';
                if (parse_hex32(word, &number) < 0)
                        return false;
                memcpy(address.bytes + i * 4, &number, 4);
        }
        if (words == 4 && memcmp(address.bytes, mapped, sizeof(mapped)) == 0) {
                memmove(address.bytes, address.bytes + 12, 4);
                memset(address.bytes + 4, 0, 12);
                address.family = AF_INET;
        }

        *ret = address;
        return true;
}

/* "  1: 0A00020F:0016 0202000A:D2C4 01 00000000:00000000 02:000A0D9B 00000000     0        0 12345 …" */
static int take_connection(void *userdata, char *line) {
        char local[48], remote[48], state[8], inode_text[24], peer[INET6_ADDRSTRLEN];
        Sessions *sessions = userdata;
        NetAddress here, there;
        uint64_t inode;
        NetNeed *need;

        if (sscanf(line, "%*s %47s %47s %7s %*s %*s %*s %*s %*s %23s", local, remote, state, inode_text) != 4 ||
            !streq(state, "01") || parse_uint64(inode_text, &inode) < 0)
                return 0;
        for (size_t i = 0; i < sessions->n_sockets; i++) {
                if (sessions->sockets[i].inode != inode)
                        continue;
                if (!parse_socket_address(local, &here) || !parse_socket_address(remote, &there))
                        return 0;
                need = add_need(sessions->needs, "session");
                if (!need)
                        return sessions->needs->n_items >= NEEDS_MAX ? 0 : -ENOMEM;
                (void) snprintf(need->text, sizeof(need->text), "%s from %s", sessions->sockets[i].what,
                                strempty(inet_ntop(there.family, there.bytes, peer, sizeof(peer))));
                need->local = here;
                return 0;
        }
        return 0;
}

static int read_sessions(const Sysfs *sysfs, NetNeeds *needs) {
        static const char *const tables[] = { "/proc/self/net/tcp", "/proc/self/net/tcp6" };
        Sessions sessions = { .sysfs = sysfs, .needs = needs, .directory_fd = -EBADF };
        int r;

        (void) sysfs_list(sysfs, "/proc", take_process, &sessions);
        r = sessions.error;
        for (size_t i = 0; i < ELEMENTSOF(tables) && r >= 0 && sessions.n_sockets > 0; i++)
                r = proc_each_line(sysfs, tables[i], take_connection, &sessions) == -ENOMEM ? -ENOMEM : 0;
        free(sessions.sockets);
        return r;
}

/* ---- start over the network ---- */

static bool parse_mac(const char *text, uint8_t ret[static 6]) {
        unsigned bytes[6];
        char rest;

        if (sscanf(text, "%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%c", &bytes[0], &bytes[1], &bytes[2],
                   &bytes[3], &bytes[4], &bytes[5], &rest) != 6)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(bytes); i++)
                ret[i] = (uint8_t) bytes[i];
        return true;
}

static int add_boot(NetNeeds *needs, const char *text, const char *mac, const char *interface) {
        NetNeed *need = add_need(needs, "network-boot");

        if (!need)
                return needs->n_items >= NEEDS_MAX ? 0 : -ENOMEM;
        (void) snprintf(need->text, sizeof(need->text), "%s", text);
        need->has_mac = mac && parse_mac(mac, need->mac);
        if (interface)
                (void) snprintf(need->interface, sizeof(need->interface), "%s", interface);
        return 0;
}

static void take_ibft(void *userdata, const char *entry) {
        char path[PATH_MAX], mac[64], text[NET_TEXT_MAX];
        Listing *listing = userdata;

        if (listing->error < 0 || !startswith(entry, "ethernet"))
                return;
        (void) snprintf(path, sizeof(path), "/sys/firmware/ibft/%s/mac", entry);
        if (sysfs_read(listing->sysfs, path, mac, sizeof(mac)) <= 0)
                return;
        (void) snprintf(text, sizeof(text), "iSCSI start from the firmware's %s", entry);
        listing->error = add_boot(listing->needs, text, mac, NULL);
}

/* The interface is the sixth field of ip=CLIENT:SERVER:GATEWAY:MASK:HOST:INTERFACE:METHOD, or the first of ip=INTERFACE:METHOD
 * as dracut has it. */
static int take_ip_argument(NetNeeds *needs, char *value) {
        char text[NET_TEXT_MAX], *fields[8] = {}, *rest = value;
        size_t n = 0;
        const char *interface;

        (void) snprintf(text, sizeof(text), "started with ip=%s", value);
        while (n < ELEMENTSOF(fields) && (fields[n] = strsep(&rest, ":")))
                n++;
        interface = n >= 6 ? fields[5] : n == 2 || n == 3 ? fields[0] : NULL;
        return isempty(interface) ? 0 : add_boot(needs, text, NULL, interface);
}

static int read_cmdline(const Sysfs *sysfs, NetNeeds *needs) {
        char line[ATTRIBUTE_MAX_BYTES], text[NET_TEXT_MAX], *rest = line, *word;
        int r = 0;

        if (sysfs_read(sysfs, "/proc/cmdline", line, sizeof(line)) < 0)
                return 0;
        while (r >= 0 && (word = strsep(&rest, " "))) {
                if (startswith(word, "BOOTIF=")) {
                        (void) snprintf(text, sizeof(text), "started with %s", word);
                        /* The hardware type stands first: 01-52-54-00-… */
                        r = strlen(word + 7) == 20 ? add_boot(needs, text, word + 10, NULL)
                                                   : add_boot(needs, text, word + 7, NULL);
                } else if (startswith(word, "ip="))
                        r = take_ip_argument(needs, word + 3);
        }
        return r;
}

/* ---- all ---- */

int net_needs_read(Evidence *evidence, NetNeeds *ret) {
        const Sysfs *sysfs = evidence_sysfs(evidence);
        _cleanup_net_needs_ NetNeeds needs = {};
        Listing listing = { .sysfs = sysfs, .needs = &needs };
        const MountTable *mounts;
        int r;

        /* The service's own table lacks what its unit hides from it. */
        r = evidence_mounts(evidence, &mounts);
        if (r >= 0)
                r = add_mounts(&needs, mounts);
        else if (r != -ENOMEM) {
                r = asprintf(&needs.unresolved, "The mounts cannot be read: %s", strerrordesc_np(-r)) < 0 ? -ENOMEM : 0;
                if (r < 0)
                        needs.unresolved = NULL;
        }
        if (r >= 0) {
                (void) sysfs_list(sysfs, "/sys/class/iscsi_connection", take_iscsi, &listing);
                (void) sysfs_list(sysfs, "/sys/class/nvme", take_nvme, &listing);
                (void) sysfs_list(sysfs, "/sys/firmware/ibft", take_ibft, &listing);
                r = listing.error;
        }
        if (r >= 0)
                r = read_cmdline(sysfs, &needs);
        if (r >= 0)
                r = read_sessions(sysfs, &needs);
        if (r < 0)
                return r;

        *ret = needs;
        needs = (NetNeeds) {};
        return 0;
}

void net_needs_done(NetNeeds *needs) {
        free(needs->items);
        free(needs->unresolved);
        *needs = (NetNeeds) {};
}
