/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "iommu-group.h"

void iommu_group_join(Tree *t, int number, const char *device) {
        char type[32] = "DMA-FQ";
        Path p, devices;

        path_make(&p, "sys/kernel/iommu_groups/%d", number);
        if (!tree_has(t, p.s, "devices")) {
                (void) tree_read(t, "kernel", "iommu-type", type, sizeof(type));
                tree_make_directory(t, path_make(&devices, "%s/devices", p.s));
                tree_attribute(t, p.s, "type", "%s\n", type);
                tree_attribute(t, p.s, "reserved_regions", "0x00000000fee00000 0x00000000feefffff msi\n");
        }
        tree_symlink(t, p.s, device, "iommu_group");
}

void iommu_group_leave(Tree *t, const char *device) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;
        bool empty = true;
        Path group, p;

        if (tree_follow(t, device, "iommu_group", &group) < 0)
                return;
        path_make(&p, "%s/devices", group.s);
        tree_remove(t, p.s, path_name(device));
        tree_remove(t, device, "iommu_group");
        d = tree_list(t, p.s);
        while (d && (e = readdir(d)))
                empty &= e->d_name[0] == '.';
        if (empty)
                tree_remove_all(t, group.s);
}

int iommu_group_free_number(Tree *t, int at_least) {
        for (int n = at_least;; n++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "%d", n);
                if (!tree_has(t, "sys/kernel/iommu_groups", name))
                        return n;
        }
}

int iommu_group_of(Tree *t, const char *device) {
        char name[16];
        uint64_t number;
        int r;

        r = tree_follow_name(t, device, "iommu_group", name, sizeof(name));
        if (r < 0)
                return r;
        r = string_to_u64(name, 10, &number);
        return r < 0 ? r : (int) number;
}
