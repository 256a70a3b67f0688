/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu.h"

#include "inject.h"
#include "vfio.h"

#define PARAMS_MAX 1024

static const char *const files[] = {
        "creatable_vgpu_types", "current_vgpu_type", "vgpu_params",
        "gpu_instance_id",      "placement_id",      "warm_update",
};

bool vgpu_is_vf(Kernel *k, const char *path) {
        return tree_has(k->tree, path, "nvidia/current_vgpu_type");
}

static int current_type(Kernel *k, const char *vf) {
        uint64_t id = 0;

        (void) tree_read_number(k->tree, vf, "nvidia/current_vgpu_type", 10, &id);
        return (int) id;
}

bool vgpu_may_open(Kernel *k, const char *path) {
        return !vgpu_is_vf(k, path) || current_type(k, path) != 0;
}

static json_t *types_of(Kernel *k, const char *vf) {
        const PciSpec *spec;
        Path pf;

        if (tree_follow(k->tree, vf, "physfn", &pf) < 0)
                return NULL;
        spec = device_spec(k, path_name(pf.s));
        return spec ? spec->vgpu : NULL;
}

static json_t *type_by_id(json_t *types, int id) {
        json_t *type;
        size_t i;

        json_array_foreach(types, i, type) {
                if (json_number(type, "id", -1) == id)
                        return type;
        }
        return NULL;
}

/* How many vGPUs the GPU has, and their size; 0: none yet. */
static int count_used(Kernel *k, const char *vf, int *ret_gib) {
        json_t *types = types_of(k, vf);
        int used = 0;
        Path pf;

        *ret_gib = 0;
        if (tree_follow(k->tree, vf, "physfn", &pf) < 0)
                return 0;
        for (int i = 0;; i++) {
                char link[32];
                int id;
                Path other;

                (void) snprintf(link, sizeof(link), "virtfn%d", i);
                if (tree_follow(k->tree, pf.s, link, &other) < 0)
                        return used;
                id = current_type(k, other.s);
                if (id == 0)
                        continue;
                used++;
                *ret_gib = json_number(type_by_id(types, id), "gib", 0);
        }
}

static bool creatable(Kernel *k, const char *vf, json_t *type) {
        int gib, used = count_used(k, vf, &gib);

        if (current_type(k, vf) != 0 || used >= json_number(type, "available", 1))
                return false;
        return used == 0 || gib == json_number(type, "gib", 0);
}

int vgpu_creatable_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        json_t *types, *type;
        size_t i, n;
        Path vf;
        int r;

        r = device_find(k, bdf, &vf);
        if (r < 0)
                return r;
        n = (size_t) snprintf(ret, size, "ID    : vGPU Name\n");
        types = types_of(k, vf.s);
        json_array_foreach(types, i, type) {
                if (creatable(k, vf.s, type) && n < size)
                        n += (size_t) snprintf(ret + n, size - n, "%-5d : %s\n", json_number(type, "id", 0),
                                               json_text(type, "name", ""));
        }
        return 0;
}

int vgpu_type_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        Path vf;
        int r;

        r = device_find(k, bdf, &vf);
        if (r >= 0)
                (void) snprintf(ret, size, "%d\n", current_type(k, vf.s));
        return r;
}

static int set_type(Kernel *k, const char *vf, int id) {
        json_t *type = type_by_id(types_of(k, vf), id);

        if (id == 0 ? current_type(k, vf) == 0 : current_type(k, vf) != 0)
                return -EPERM;
        if (vfio_group_is_held(k, vf))
                return -EPERM;
        if (id != 0 && !type)
                return -EINVAL;
        if (id != 0 && !creatable(k, vf, type))
                return -EIO;
        tree_put(k->tree, vf, "nvidia/current_vgpu_type", 0644, "%d\n", id);
        tree_put(k->tree, vf, "nvidia/vgpu_params", 0644, "\n");
        return 0;
}

int vgpu_type_write(Kernel *k, const char *bdf, const char *text) {
        uint64_t id;
        Path vf;
        int r;

        if (string_to_u64(text, 10, &id) < 0 || id > INT_MAX)
                return -EINVAL;
        device_lock(k, bdf, "current_vgpu_type");
        r = device_find(k, bdf, &vf);
        if (r >= 0)
                r = inject(k, "current_vgpu_type", bdf);
        if (r >= 0)
                r = set_type(k, vf.s, (int) id);
        device_unlock(k, bdf);
        return r;
}

/* What only a vGPU has. */
int vgpu_later_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        Path vf;
        int r;

        r = device_find(k, bdf, &vf);
        if (r < 0)
                return r;
        if (current_type(k, vf.s) == 0)
                return -ENXIO;
        (void) snprintf(ret, size, "0\n");
        return 0;
}

/* A PCI address, or a UUID. */
static int find_vgpu(Kernel *k, const char *name, Path *ret) {
        if (device_find(k, name, ret) >= 0)
                return vgpu_may_open(k, ret->s) ? 0 : -ENXIO;
        return tree_follow(k->tree, "sys/bus/mdev/devices", name, ret) < 0 ? -ENODEV : 0;
}

int vgpu_params_read(Kernel *k, const char *name, char *ret, size_t size) {
        char text[PARAMS_MAX + 1];
        Path path;
        int r;

        r = find_vgpu(k, name, &path);
        if (r >= 0)
                r = tree_read(k->tree, path.s, "nvidia/vgpu_params", text, sizeof(text));
        if (r >= 0)
                (void) snprintf(ret, size, "%s\n", text);
        return r;
}

/* One write replaces all that was; a single space clears. */
int vgpu_params_write(Kernel *k, const char *name, const char *text) {
        Path path;
        int r;

        r = find_vgpu(k, name, &path);
        if (r >= 0)
                r = inject(k, "vgpu_params", name);
        if (r >= 0 && vfio_group_is_held(k, path.s))
                r = -EPERM;
        if (r >= 0 && strlen(text) >= PARAMS_MAX)
                r = -E2BIG;
        if (r >= 0)
                tree_put(k->tree, path.s, "nvidia/vgpu_params", 0644, "%s\n",
                         string_equal(text, " ") ? "" : text);
        return r;
}

void vgpu_take_control(Kernel *k, const char *path) {
        Path p;

        path_make(&p, "%s/nvidia", path);
        for (size_t i = 0; i < ELEMENTS(files); i++)
                (void) control_mount(k, "vgpu", path_name(path), files[i], p.s);
}

void vgpu_drop_control(Kernel *k, const char *path) {
        Path p;

        for (size_t i = 0; i < ELEMENTS(files); i++) {
                path_make(&p, "%s/nvidia", path);
                if (tree_has(k->tree, p.s, files[i]))
                        (void) hand_unmount(k->hand, path_make(&p, "/%s/nvidia/%s", path, files[i]));
        }
}
