/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu.h"

#include <time.h>

#include "gpu.h"
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

/* The physical function, and its types. */
static json_t *types_of(Kernel *k, const char *vf, Path *ret_pf) {
        const PciSpec *spec;

        if (tree_follow(k->tree, vf, "physfn", ret_pf) < 0)
                return NULL;
        spec = device_spec(k, path_name(ret_pf->s));
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

static int size_of(json_t *type) {
        return json_number(type, "size", json_number(type, "gib", 0));
}

/* ---- what there is ---- */

/* The driver has let go of it some time after its consumer has. */
static bool is_kept(Kernel *k, const char *vf) {
        struct timespec now;

        if (vfio_group_is_held(k, vf))
                return true;
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        for (LingeringVgpu *l = k->lingering; l; l = l->next)
                if (string_equal(l->bdf, path_name(vf)))
                        return now.tv_sec < l->until.tv_sec ||
                               (now.tv_sec == l->until.tv_sec && now.tv_nsec < l->until.tv_nsec);
        return false;
}

void vgpu_was_closed(Kernel *k, const char *path) {
        LingeringVgpu *l;
        const Gpu *g;
        Path pf;

        if (!vgpu_is_vf(k, path) || current_type(k, path) == 0 || tree_follow(k->tree, path, "physfn", &pf) < 0)
                return;
        g = gpu_of(k, path_name(pf.s));
        if (!g || g->linger_ms == 0)
                return;
        for (l = k->lingering; l; l = l->next)
                if (string_equal(l->bdf, path_name(path)))
                        break;
        if (!l) {
                l = allocate(sizeof(*l));
                copy_text(l->bdf, sizeof(l->bdf), path_name(path));
                l->next = k->lingering;
                k->lingering = l;
        }
        (void) clock_gettime(CLOCK_MONOTONIC, &l->until);
        l->until.tv_sec += g->linger_ms / 1000;
        l->until.tv_nsec += g->linger_ms % 1000 * 1000000L;
        if (l->until.tv_nsec >= 1000000000L) {
                l->until.tv_sec++;
                l->until.tv_nsec -= 1000000000L;
        }
}

static unsigned read_unsigned(Kernel *k, const char *vf, const char *name) {
        uint64_t value = 0;

        (void) tree_read_number(k->tree, vf, name, 10, &value);
        return (unsigned) value;
}

static void show_mediated(Kernel *k, const char *pf, VgpuVisit visit, void *userdata) {
        _cleanup_names_ Names names = { 0 };
        char type[64];
        Path p;

        tree_subdirectories(k->tree, pf, &names);
        for (size_t i = 0; i < names.count; i++) {
                path_make(&p, "%s/%s", pf, names.list[i]);
                if (tree_follow_name(k->tree, p.s, "mdev_type", type, sizeof(type)) < 0 || !string_starts(type, "nvidia-"))
                        continue;
                visit(&(VgpuShown){ .name = names.list[i],
                                    .type = atoi(type + strlen("nvidia-")),
                                    .is_open = vfio_group_is_held(k, p.s) },
                      userdata);
        }
}

void vgpu_for_each(Kernel *k, const char *pf, VgpuVisit visit, void *userdata) {
        char link[32];
        Path vf;

        show_mediated(k, pf, visit, userdata);
        for (int i = 0;; i++) {
                (void) snprintf(link, sizeof(link), "virtfn%d", i);
                if (tree_follow(k->tree, pf, link, &vf) < 0)
                        return;
                if (current_type(k, vf.s) != 0)
                        visit(&(VgpuShown){ .name = path_name(vf.s),
                                            .type = current_type(k, vf.s),
                                            .instance = read_unsigned(k, vf.s, "nvidia/gpu_instance_id"),
                                            .placement = read_unsigned(k, vf.s, "nvidia/placement_id"),
                                            .is_open = is_kept(k, vf.s) },
                              userdata);
        }
}

/* ---- where another one goes ---- */

typedef struct Search {
        Kernel *k;
        json_t *types, *type; /* what is to be placed */
        const char *except;   /* a function whose vGPU is not in the way */
        unsigned instance;    /* MIG: in this one */
        bool mixed;
        int used, size;       /* found: how many there are, of which size */
        uint64_t slots[4];    /* taken, by placement */
} Search;

#define SLOTS_MAX 256

static void take_slots(Search *s, unsigned start, int size) {
        for (unsigned i = start; i < start + (unsigned) size && i < SLOTS_MAX; i++)
                s->slots[i / 64] |= UINT64_C(1) << i % 64;
}

static bool slots_are_free(const Search *s, unsigned start, int size) {
        for (unsigned i = start; i < start + (unsigned) size && i < SLOTS_MAX; i++)
                if (s->slots[i / 64] & UINT64_C(1) << i % 64)
                        return false;
        return true;
}

static void note_neighbour(const VgpuShown *vgpu, void *userdata) {
        Search *s = userdata;
        json_t *type = type_by_id(s->types, vgpu->type);

        if (!type || vgpu->instance != s->instance || (s->except && string_equal(vgpu->name, s->except)))
                return;
        s->used++;
        s->size = json_number(type, "gib", 0);
        take_slots(s, vgpu->placement, size_of(type));
}

/* By the published placements where sizes are mixed, one beside the other where they are equal. */
static bool find_slot(const Search *s, unsigned *ret) {
        json_t *places = json_object_get(s->type, "placements"), *place;
        int size = size_of(s->type), max = json_number(s->type, "per-instance", json_number(s->type, "available", 1));
        size_t i;

        if (!s->mixed && s->used > 0 && s->size != json_number(s->type, "gib", 0))
                return false;
        if (!s->mixed && s->used >= max)
                return false;
        if (s->mixed && places) {
                json_array_foreach(places, i, place)
                        if (slots_are_free(s, (unsigned) json_integer_value(place), size)) {
                                *ret = (unsigned) json_integer_value(place);
                                return true;
                        }
                return false;
        }
        for (int n = 0; n < max; n++)
                if (slots_are_free(s, (unsigned) (n * size), size)) {
                        *ret = (unsigned) (n * size);
                        return true;
                }
        return false;
}

static Search search(Kernel *k, const char *pf, json_t *types, json_t *type, const Gpu *g, unsigned instance) {
        const GpuInstance *gi = gpu_instance(g, instance);
        Search s = { .k = k, .types = types, .type = type, .instance = instance, .mixed = gi ? gi->mixed : g->mixed };

        vgpu_for_each(k, pf, note_neighbour, &s);
        return s;
}

/* Whether the type can be made on this function now, and where. */
static bool creatable(Kernel *k, const char *vf, json_t *type, unsigned *ret_instance, unsigned *ret_placement) {
        int profile = json_number(type, "profile", -1);
        json_t *types;
        const Gpu *g;
        Search s;
        Path pf;

        types = types_of(k, vf, &pf);
        g = gpu_of(k, path_name(pf.s));
        if (!g || current_type(k, vf) != 0 || (profile >= 0) != (g->mig != 0))
                return false;
        if (profile < 0) {
                s = search(k, pf.s, types, type, g, 0);
                *ret_instance = 0;
                return find_slot(&s, ret_placement);
        }
        for (size_t i = 0; i < g->n_instances; i++) {
                const GpuInstance *gi = &g->instances[i];

                if (gi->profile != (unsigned) profile || !gi->compute)
                        continue;
                s = search(k, pf.s, types, type, g, gi->id);
                *ret_instance = gi->id;
                if (find_slot(&s, ret_placement))
                        return true;
        }
        return false;
}

/* What else somebody wrote for a test into `creatable-text` of the GPU; "\\n" stands for a new line. */
static bool creatable_override(Kernel *k, const char *pf, char *ret, size_t size) {
        const char *text = json_text(k->creatable_texts, path_name(pf), NULL);
        size_t n = 0;

        if (!text)
                return false;
        for (; *text && n + 1 < size; text++)
                if (text[0] == '\\' && text[1] == 'n') {
                        ret[n++] = '\n';
                        text++;
                } else
                        ret[n++] = *text;
        ret[n] = '\0';
        return true;
}

/* BDF TEXT; without a text as the driver has it. */
int vgpu_creatable_order(Kernel *k, const char *text) {
        const char *blank = strchr(text, ' ');
        char bdf[PCI_ADDRESS_LENGTH + 1];

        copy_text(bdf, sizeof(bdf), text);
        bdf[strcspn(bdf, " ")] = '\0';
        if (!device_spec(k, bdf))
                return -ENODEV;
        if (!k->creatable_texts)
                k->creatable_texts = json_object();
        if (blank)
                json_object_set_new(k->creatable_texts, bdf, json_string(blank + 1));
        else
                json_object_del(k->creatable_texts, bdf);
        return 0;
}

int vgpu_creatable_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        json_t *types, *type;
        unsigned instance, placement;
        size_t i, n;
        Path vf, pf;
        int r;

        r = device_find(k, bdf, &vf);
        if (r >= 0)
                r = inject(k, "creatable_vgpu_types", bdf);
        if (r < 0)
                return r;
        types = types_of(k, vf.s, &pf);
        if (creatable_override(k, pf.s, ret, size))
                return 0;
        n = (size_t) snprintf(ret, size, "ID    : vGPU Name\n");
        json_array_foreach(types, i, type) {
                if (creatable(k, vf.s, type, &instance, &placement) && n < size)
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
        unsigned instance = 0, placement = 0;
        json_t *type;
        Path pf;

        type = type_by_id(types_of(k, vf, &pf), id);
        if (id == 0 ? current_type(k, vf) == 0 : current_type(k, vf) != 0)
                return -EPERM;
        if (is_kept(k, vf))
                return -EPERM;
        if (id != 0 && !type)
                return -EINVAL;
        if (id != 0 && !creatable(k, vf, type, &instance, &placement))
                return -EIO;
        tree_put(k->tree, vf, "nvidia/gpu_instance_id", 0644, "%u\n", instance);
        tree_put(k->tree, vf, "nvidia/placement_id", 0644, "%u\n", placement);
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
static int read_later(Kernel *k, const char *bdf, const char *name, char *ret, size_t size) {
        Path vf;
        int r;

        r = device_find(k, bdf, &vf);
        if (r < 0)
                return r;
        if (current_type(k, vf.s) == 0)
                return -ENXIO;
        (void) snprintf(ret, size, "%u\n", read_unsigned(k, vf.s, name));
        return 0;
}

int vgpu_instance_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        return read_later(k, bdf, "nvidia/gpu_instance_id", ret, size);
}

int vgpu_placement_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        return read_later(k, bdf, "nvidia/placement_id", ret, size);
}

int vgpu_warm_update_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        return read_later(k, bdf, "nvidia/warm_update", ret, size);
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

/* Where sizes are mixed a vGPU that is not running yet goes where it is told, if that is free. */
static int move_vgpu(Kernel *k, const char *vf, const char *params) {
        const char *wanted = strstr(params, "vgpu-placement-id=");
        json_t *types, *type, *place;
        unsigned instance, id;
        const Gpu *g;
        size_t i;
        Search s;
        Path pf;

        if (!wanted || !vgpu_is_vf(k, vf))
                return 0;
        types = types_of(k, vf, &pf);
        type = type_by_id(types, current_type(k, vf));
        g = gpu_of(k, path_name(pf.s));
        instance = read_unsigned(k, vf, "nvidia/gpu_instance_id");
        if (!type || !g)
                return -ENXIO;
        id = (unsigned) strtoul(wanted + strlen("vgpu-placement-id="), NULL, 10);
        s = (Search){ .k = k, .types = types, .type = type, .instance = instance, .except = path_name(vf) };
        vgpu_for_each(k, pf.s, note_neighbour, &s);
        json_array_foreach(json_object_get(type, "placements"), i, place)
                if ((unsigned) json_integer_value(place) == id && slots_are_free(&s, id, size_of(type))) {
                        tree_put(k->tree, vf, "nvidia/placement_id", 0644, "%u\n", id);
                        return 0;
                }
        return -EINVAL;
}

/* One write replaces all that was; a single space clears. */
int vgpu_params_write(Kernel *k, const char *name, const char *text) {
        Path path;
        int r;

        r = find_vgpu(k, name, &path);
        if (r >= 0)
                r = inject(k, "vgpu_params", name);
        if (r >= 0 && is_kept(k, path.s))
                r = -EPERM;
        if (r >= 0 && strlen(text) >= PARAMS_MAX)
                r = -E2BIG;
        if (r >= 0)
                r = move_vgpu(k, path.s, text);
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
