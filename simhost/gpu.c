/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpu.h"

#include <stdarg.h>

#include "bind.h"
#include "inject.h"
#include "sriov.h"
#include "vfio.h"
#include "vgpu.h"

#define WORDS_MAX 12

Gpu *gpu_of(Kernel *k, const char *bdf) {
        const PciSpec *spec;
        Gpu *g;

        for (g = k->gpus; g; g = g->next)
                if (string_equal(g->bdf, bdf))
                        return g;
        spec = device_spec(k, bdf);
        if (!spec || (!spec->vgpu && !spec->nvml))
                return NULL;
        g = allocate(sizeof(*g));
        *g = (Gpu){ .next = k->gpus, .generation = 1 };
        copy_text(g->bdf, sizeof(g->bdf), bdf);
        k->gpus = g;
        return g;
}

const GpuInstance *gpu_instance(const Gpu *g, unsigned id) {
        for (size_t i = 0; i < g->n_instances; i++)
                if (g->instances[i].id == id)
                        return &g->instances[i];
        return NULL;
}

static bool keeps_mig_mode(Kernel *k, const char *bdf) {
        const PciSpec *spec = device_spec(k, bdf);

        return spec && json_is_true(json_object_get(spec->nvml, "mig-needs-reset"));
}

void gpu_was_reset(Kernel *k, const char *bdf) {
        Gpu *g = gpu_of(k, bdf);

        if (!g)
                return;
        g->generation++;
        g->mig = g->mig_pending;
        g->n_instances = 0;
}

void gpu_rebound(Kernel *k, const char *bdf) {
        Gpu *g = gpu_of(k, bdf);

        if (!g)
                return;
        gpu_was_reset(k, bdf);
        g->mixed = 0;
        memset(g->scheduler, 0, sizeof(g->scheduler));
}

/* ---- state as text ---- */

typedef struct Text {
        char *to;
        size_t size, at;
} Text;

static void add(Text *t, const char *format, ...) _printf_(2, 3);

static void add(Text *t, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(t->to + t->at, t->at < t->size ? t->size - t->at : 0, format, ap);
        va_end(ap);
        t->at += n > 0 ? (size_t) n : 0;
}

static void add_vgpu(const VgpuShown *vgpu, void *userdata) {
        add(userdata, ";vgpu %s %d %u %u %d", vgpu->name, vgpu->type, vgpu->instance, vgpu->placement, vgpu->is_open);
}

int gpu_state_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        Text t = { ret, size, 0 };
        Gpu *g = gpu_of(k, bdf);
        char driver[64];
        uint64_t vfs = 0;
        Path pf;

        if (!g || device_find(k, bdf, &pf) < 0 || device_driver(k, pf.s, driver, sizeof(driver)) < 0 ||
            !string_equal(driver, "nvidia"))
                return -ENODEV;
        (void) tree_read_number(k->tree, pf.s, "sriov_numvfs", 10, &vfs);
        add(&t, "generation %u;vfs %u;mig %u %u;mixed %u;scheduler %u %u %u %u", g->generation, (unsigned) vfs, g->mig,
            g->mig_pending, g->mixed, g->scheduler[0], g->scheduler[1], g->scheduler[2], g->scheduler[3]);
        for (size_t i = 0; i < g->n_instances; i++) {
                const GpuInstance *gi = &g->instances[i];

                add(&t, ";instance %u %u %u %u %u %u %u %u %u %u", gi->id, gi->profile, gi->start, gi->size, gi->compute,
                    gi->mixed, gi->scheduler[0], gi->scheduler[1], gi->scheduler[2], gi->scheduler[3]);
        }
        vgpu_for_each(k, pf.s, add_vgpu, &t);
        add(&t, "\n");
        return t.at >= size ? -EMSGSIZE : 0;
}

static int parse_numbers(char **words, size_t n, unsigned *ret[]) {
        for (size_t i = 0; i < n; i++) {
                uint64_t value;

                if (string_to_u64(words[i], 10, &value) < 0 || value > UINT32_MAX)
                        return -EINVAL;
                *ret[i] = (unsigned) value;
        }
        return 0;
}

static int parse_part(char *part, Gpu *g) {
        GpuInstance *gi = &g->instances[g->n_instances];
        char *words[WORDS_MAX];
        size_t n = split_words(part, words, WORDS_MAX), count;
        const struct {
                const char *word;
                unsigned *numbers[WORDS_MAX];
        } parts[] = {
                { "generation", { &g->generation } },
                { "mig", { &g->mig, &g->mig_pending } },
                { "mixed", { &g->mixed } },
                { "scheduler", { &g->scheduler[0], &g->scheduler[1], &g->scheduler[2], &g->scheduler[3] } },
                { "instance",
                  { &gi->id, &gi->profile, &gi->start, &gi->size, &gi->compute, &gi->mixed, &gi->scheduler[0],
                    &gi->scheduler[1], &gi->scheduler[2], &gi->scheduler[3] } },
        };

        for (size_t i = 0; n > 0 && i < ELEMENTS(parts); i++) {
                if (!string_equal(words[0], parts[i].word))
                        continue;
                for (count = 0; parts[i].numbers[count]; count++)
                        ;
                if (n - 1 != count)
                        return -EINVAL;
                if (string_equal(words[0], "instance") && ++g->n_instances >= GPU_INSTANCES_MAX)
                        return -ENOSPC;
                return parse_numbers(words + 1, count, (unsigned **) parts[i].numbers);
        }
        return -EINVAL;
}

int gpu_state_write(Kernel *k, const char *bdf, const char *text) {
        _cleanup_free_ char *copy = copy_string(text);
        Gpu *g = gpu_of(k, bdf), wanted = { 0 };
        char *save = NULL;

        if (!g)
                return -ENODEV;
        for (char *part = strtok_r(copy, ";", &save); part; part = strtok_r(NULL, ";", &save)) {
                int r = parse_part(part, &wanted);

                if (r < 0)
                        return r;
        }
        if (wanted.generation != g->generation)
                return -ESTALE;
        wanted.next = g->next;
        wanted.linger_ms = g->linger_ms;
        memcpy(wanted.bdf, g->bdf, sizeof(wanted.bdf));
        *g = wanted;
        return 0;
}

/* ---- orders ---- */

static int words_of(const char *text, char *buffer, size_t size, char **words, size_t max) {
        copy_text(buffer, size, text);
        return split_words(buffer, words, max) == max ? 0 : -EINVAL;
}

int gpu_linger_write(Kernel *k, const char *text) {
        char buffer[128], *words[2];
        uint64_t ms;
        Gpu *g;

        if (words_of(text, buffer, sizeof(buffer), words, 2) < 0 || string_to_u64(words[1], 10, &ms) < 0 || ms > INT_MAX)
                return -EINVAL;
        g = gpu_of(k, words[0]);
        if (!g)
                return -ENODEV;
        g->linger_ms = (unsigned) ms;
        return 0;
}

static void note_vgpu(const VgpuShown *vgpu, void *userdata) {
        (void) vgpu;
        *(bool *) userdata = true;
}

/* The device lock is held. */
static void rebind(Kernel *k, const char *pf) {
        driver_detach(k, pf);
        (void) device_probe(k, pf);
}

/* Unbinds the GPU, which must be idle, and binds it again, with all the virtual functions that the board has or with none. */
static int manage(Kernel *k, const char *bdf, bool on) {
        const PciSpec *spec = device_spec(k, bdf);
        bool used = false;
        char driver[64];
        Path pf;
        int r;

        /* The driver for compute has no types, and makes no functions. */
        if (!spec || !gpu_of(k, bdf) || spec->sriov.total == 0 || json_array_size(spec->vgpu) == 0 || device_find(k, bdf, &pf) < 0 ||
            device_driver(k, pf.s, driver, sizeof(driver)) < 0 || !string_equal(driver, "nvidia"))
                return -ENODEV;
        r = inject(k, "sriov-manage", bdf);
        if (r < 0)
                return r;
        vgpu_for_each(k, pf.s, note_vgpu, &used);
        if (used)
                return -EBUSY;
        rebind(k, pf.s);
        return on ? sriov_set_by_tool(k, pf.s, spec->sriov.total) : 0;
}

int gpu_manage_write(Kernel *k, const char *text) {
        char buffer[128], *words[2];
        bool on;
        int r;

        if (words_of(text, buffer, sizeof(buffer), words, 2) < 0)
                return -EINVAL;
        on = string_equal(words[0], "on");
        if (!on && !string_equal(words[0], "off"))
                return -EINVAL;
        device_lock(k, words[1], "sriov-manage");
        r = manage(k, words[1], on);
        device_unlock(k, words[1]);
        return r;
}

int gpu_reload_write(Kernel *k, const char *text) {
        Gpu *g = gpu_of(k, text);
        Path pf;

        if (!g || device_find(k, text, &pf) < 0)
                return -ENODEV;
        device_lock(k, text, "unbind");
        if (!keeps_mig_mode(k, text))
                g->mig_pending = 0;
        rebind(k, pf.s);
        device_unlock(k, text);
        return 0;
}
