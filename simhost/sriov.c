/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sriov.h"

#include "bind.h"
#include "host-build.h"
#include "inject.h"
#include "iommu-group.h"
#include "pci-device.h"
#include "vf-settings.h"
#include "vfio.h"

static int number_of_vfs(Kernel *k, const char *pf) {
        uint64_t n = 0;

        (void) tree_read_number(k->tree, pf, "sriov_numvfs", 10, &n);
        return (int) n;
}

bool sriov_may_probe(Kernel *k, const char *path) {
        uint64_t autoprobe = 1;
        char override[8];
        Path pf;

        if (tree_follow(k->tree, path, "physfn", &pf) < 0)
                return true;
        (void) tree_read_number(k->tree, pf.s, "sriov_drivers_autoprobe", 10, &autoprobe);
        if (autoprobe != 0)
                return true;
        return tree_read(k->tree, path, "driver_override", override, sizeof(override)) >= 0 && override[0] &&
               !string_equal(override, "(null)");
}

static void vf_appear(Kernel *k, const char *pf, const PciSpec *pf_spec, int index) {
        Path parent, path;
        char name[32];
        PciSpec vf;

        pci_vf_spec(pf_spec, index, &vf);
        path_parent(&parent, pf);
        vf.driver = NULL;
        host_add_function(k->tree, parent.s, &vf, &k->counters, &path);
        json_decref(vf.net);
        tree_symlink(k->tree, pf, path.s, "physfn");
        (void) snprintf(name, sizeof(name), "virtfn%d", index);
        tree_symlink(k->tree, path.s, pf, name);
        device_take_control(k, path.s);
        uevents_send(k->events, "add", path.s, NULL);
        uevents_send(k->events, "change", path.s, NULL);

        device_lock(k, vf.bdf, "sriov_numvfs");
        (void) device_probe(k, path.s);
        device_unlock(k, vf.bdf);
}

static void vf_disappear(Kernel *k, const char *pf, int index) {
        char name[32], bdf[PCI_ADDRESS_LENGTH + 1], unit[PATH_MAX];
        int group;
        Path path, p;

        (void) snprintf(name, sizeof(name), "virtfn%d", index);
        if (tree_follow(k->tree, pf, name, &path) < 0)
                return;
        copy_text(bdf, sizeof(bdf), path_name(path.s));
        device_lock(k, bdf, "sriov_numvfs");
        driver_detach(k, path.s);
        device_unlock(k, bdf);

        device_drop_control(k, path.s);
        device_disappear(k, path.s);
        (void) snprintf(name, sizeof(name), "+pci:%s", bdf);
        tree_remove(k->tree, "kernel/udev", name);
        tree_remove_all(k->tree, path_make(&p, "kernel/parked/%s", bdf));
        if (tree_read(k->tree, "kernel", "iommu-unit", unit, sizeof(unit)) >= 0)
                tree_remove(k->tree, path_make(&p, "%s/devices", unit), bdf);
        group = iommu_group_of(k->tree, path.s);
        iommu_group_leave(k->tree, path.s);
        if (group >= 0 && group < k->counters.group)
                k->counters.group = group;
        (void) snprintf(name, sizeof(name), "virtfn%d", index);
        tree_remove(k->tree, pf, name);
        tree_remove_all(k->tree, path.s);
}

void sriov_disable(Kernel *k, const char *pf) {
        int n = number_of_vfs(k, pf);

        if (n == 0)
                return;
        for (int i = 0; i < n; i++)
                vf_disappear(k, pf, i);
        tree_put(k->tree, pf, "sriov_numvfs", 0644, "0\n");
        vf_records_forget(k, path_name(pf));
        host_save_counters(k->tree, &k->counters);
}

static void sriov_enable(Kernel *k, const char *pf, const PciSpec *spec, int n) {
        for (int i = 0; i < n; i++)
                vf_appear(k, pf, spec, i);
        tree_put(k->tree, pf, "sriov_numvfs", 0644, "%d\n", n);
        host_save_counters(k->tree, &k->counters);
}

/* The PF's device lock is held. */
static int set_number(Kernel *k, const char *pf, const char *bdf, int n, bool by_tool) {
        int current = number_of_vfs(k, pf), r;
        const PciSpec *spec = device_spec(k, bdf);
        char driver[64];

        if (n == current)
                return 0;
        /* vfio-pci has no sriov_configure unless it is asked to, which is not simulated. */
        if (device_driver(k, pf, driver, sizeof(driver)) < 0 || vfio_is_driver(driver) || !spec)
                return -ENOENT;
        if (n > 0 && current > 0)
                return -EBUSY;
        if (spec->sriov.refuse && !by_tool)
                return -errno_from_name(spec->sriov.refuse);
        r = inject(k, "sriov_numvfs", bdf);
        if (r < 0)
                return r;

        if (n == 0)
                sriov_disable(k, pf);
        else
                sriov_enable(k, pf, spec, inject_limit(k, bdf, n));
        uevents_send(k->events, "change", pf, NULL);
        return 0;
}

static int change_number(Kernel *k, const char *bdf, const char *text, bool by_tool) {
        uint64_t n, total;
        Path pf;
        int r;

        if (string_to_u64(text, 0, &n) < 0 || n > UINT16_MAX)
                return -EINVAL;
        r = device_find(k, bdf, &pf);
        if (r >= 0)
                r = tree_read_number(k->tree, pf.s, "sriov_totalvfs", 10, &total);
        if (r < 0)
                return r;
        if (n > total)
                return -ERANGE;

        device_lock(k, bdf, "sriov_numvfs");
        r = device_find(k, bdf, &pf);
        if (r >= 0)
                r = set_number(k, pf.s, bdf, (int) n, by_tool);
        device_unlock(k, bdf);
        return r;
}

int sriov_set_by_tool(Kernel *k, const char *pf, int n) {
        return set_number(k, pf, path_name(pf), n, true);
}

int sriov_numvfs_write(Kernel *k, const char *bdf, const char *text) {
        return change_number(k, bdf, text, false);
}

int sriov_order_write(Kernel *k, const char *text) {
        _cleanup_free_ char *copy = copy_string(text);
        char *words[2];

        if (split_words(copy, words, ELEMENTS(words)) != 2)
                return -EINVAL;
        return change_number(k, words[0], words[1], true);
}

int sriov_numvfs_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        Path pf;
        int r;

        /* The device lock: reading hangs for as long as VFs come and go. */
        device_lock(k, bdf, "sriov_numvfs");
        r = device_find(k, bdf, &pf);
        if (r >= 0)
                (void) snprintf(ret, size, "%d\n", number_of_vfs(k, pf.s));
        device_unlock(k, bdf);
        return r;
}

int sriov_autoprobe_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        uint64_t value;
        Path pf;
        int r;

        r = device_find(k, bdf, &pf);
        if (r >= 0)
                r = tree_read_number(k->tree, pf.s, "sriov_drivers_autoprobe", 10, &value);
        if (r >= 0)
                (void) snprintf(ret, size, "%d\n", value != 0);
        return r;
}

/* kstrtobool() */
static int parse_bool(const char *text, int *ret) {
        switch (text[0]) {
        case 'y':
        case 'Y':
        case 't':
        case 'T':
        case '1':
                *ret = 1;
                return 0;
        case 'n':
        case 'N':
        case 'f':
        case 'F':
        case '0':
                *ret = 0;
                return 0;
        case 'o':
        case 'O':
                if (text[1] == 'n' || text[1] == 'N' || text[1] == 'f' || text[1] == 'F') {
                        *ret = text[1] == 'n' || text[1] == 'N';
                        return 0;
                }
                return -EINVAL;
        default:
                return -EINVAL;
        }
}

int sriov_autoprobe_write(Kernel *k, const char *bdf, const char *text) {
        int value, r;
        Path pf;

        r = parse_bool(text, &value);
        if (r < 0)
                return r;
        r = device_find(k, bdf, &pf);
        if (r >= 0)
                r = inject(k, "sriov_drivers_autoprobe", bdf);
        if (r >= 0)
                tree_put(k->tree, pf.s, "sriov_drivers_autoprobe", 0644, "%d\n", value);
        return r;
}
