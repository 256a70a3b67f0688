/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The same records from a simulated host (simhost/README.md, "vf-records"): for each PF a file that reads as a line for each
 * function, and whose writes are answered as the played driver answers a message of rtnetlink. */

#include <dirent.h>
#include <stdio.h>

#include "lib/parse.h"
#include "sriov-netlink.h"

#define PCI_DEVICES "/sys/bus/pci/devices"

static const char *folder(void) {
        return strempty(secure_getenv("PASSTHROUGHD_SIMULATED_RTNETLINK"));
}

static int open_records(const char *pf, int flags) {
        char name[512];
        int fd;

        (void) snprintf(name, sizeof(name), "%s/%s/vf-records", folder(), pf);
        fd = open(name, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* Every line: "pf" or the number of a function, then its values. */
static int each_line(const char *pf, bool (*take)(void *userdata, const char *who, const SriovVf *vf), void *userdata) {
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        int fd = open_records(pf, O_RDONLY);
        FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

        if (!file)
                return fd < 0 ? fd : -errno;
        while (getline(&line, &size, file) > 0) {
                char *values = strchr(line, ' ');
                SriovVf vf = { 0 };

                line[strcspn(line, "\n")] = '\0';
                if (!values)
                        continue;
                *values++ = '\0';
                if (sriov_vf_from_text(values, &vf) >= 0 && take(userdata, line, &vf))
                        break;
        }
        (void) fclose(file);
        return 0;
}

typedef struct Wanted {
        int64_t number; /* -1: none */
        uint64_t mac;
        SriovVf vf;
        char who[32];
        bool found;
} Wanted;

static bool is_number(const char *who, int64_t number) {
        uint32_t n;

        return parse_uint32(who, &n) >= 0 && n == number;
}

static bool take_number(void *userdata, const char *who, const SriovVf *vf) {
        Wanted *wanted = userdata;

        if (is_number(who, wanted->number)) {
                wanted->vf = *vf;
                wanted->found = true;
        }
        return wanted->found;
}

static bool take_mac(void *userdata, const char *who, const SriovVf *vf) {
        Wanted *wanted = userdata;

        if (!is_number(who, wanted->number) && sriov_vf_knows(vf, SRIOV_KEY_MAC) &&
            vf->value[SRIOV_KEY_MAC] == wanted->mac) {
                (void) snprintf(wanted->who, sizeof(wanted->who), "%.16s", who);
                wanted->found = true;
        }
        return wanted->found;
}

static int simulated_read(const SriovPath *path, SriovVf *ret) {
        Wanted wanted = { .number = path->number };
        int r = each_line(path->pf, take_number, &wanted);

        if (r < 0 || !wanted.found)
                return r < 0 ? r : -ENOENT;
        *ret = wanted.vf;
        return 0;
}

/* The records' own folder lists nothing. */
static bool makes_others(const char *function) {
        char name[512];

        (void) snprintf(name, sizeof(name), PCI_DEVICES "/%s/sriov_totalvfs", function);
        return access(name, F_OK) == 0;
}

static void name_owner(const SriovPath *path, const char *pf, const char *who, char *ret, size_t size) {
        bool same = streq(pf, path->pf);

        if (streq(who, "pf"))
                (void) snprintf(ret, size, "%s itself", same ? path->interface : pf);
        else
                (void) snprintf(ret, size, "virtual function %s of %s", who, same ? path->interface : pf);
}

static int simulated_find_mac(const SriovPath *path, uint64_t mac, char *ret_owner, size_t size) {
        DIR *all = opendir(PCI_DEVICES);
        Wanted wanted = { 0 };

        if (!all)
                return -errno;
        for (struct dirent *entry = readdir(all); entry && !wanted.found; entry = readdir(all)) {
                wanted = (Wanted) { .number = streq(entry->d_name, path->pf) ? (int64_t) path->number : -1, .mac = mac };
                if (makes_others(entry->d_name) && each_line(entry->d_name, take_mac, &wanted) >= 0 && wanted.found)
                        name_owner(path, entry->d_name, wanted.who, ret_owner, size);
        }
        (void) closedir(all);
        return wanted.found;
}

static int simulated_write(const SriovPath *path, SriovAttribute attribute, const SriovVf *values) {
        _cleanup_close_ int fd = open_records(path->pf, O_WRONLY);
        char text[SRIOV_TEXT_SIZE], order[SRIOV_TEXT_SIZE + 64];

        if (fd < 0)
                return fd;
        sriov_vf_to_text(values, sriov_attribute_keys(attribute), text);
        (void) snprintf(order, sizeof(order), "%u %s\n", path->number, text);
        return write(fd, order, strlen(order)) < 0 ? -errno : 0;
}

const SriovNetlink sriov_netlink_simulated = {
        .read = simulated_read,
        .write = simulated_write,
        .find_mac = simulated_find_mac,
};
