/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/parse.h"
#include "vgpu-name.h"

#define PARAMS_FILE "nvidia/vgpu_params"
#define PARAMS_TEXT_SIZE 1024
#define UUID_LENGTH 36u
#define TAKEN_MAX 256u
#define ROUNDS_MAX 8u
#define PAUSE_MSEC 20

/* ---- the layout's part ---- */

/* Names of boards have blanks: an entry ends with its numbers. */
void vgpu_placements_for(const char *placements, const char *profile, char *ret, size_t size) {
        VgpuName wanted, name;

        ret[0] = '\0';
        if (vgpu_name_parse(profile, &wanted) < 0)
                return;
        for (const char *p = placements; *p;) {
                const char *at = strchr(p, '@');
                char title[2 * VGPU_NAME_SIZE];
                size_t n;

                if (!at)
                        return;
                (void) snprintf(title, sizeof(title), "%.*s", (int) (at - p), p);
                n = strspn(at + 1, "0123456789,");
                if (vgpu_name_parse(title, &name) >= 0 && vgpu_name_same(&name, &wanted)) {
                        (void) snprintf(ret, size, "%.*s", (int) n, at + 1);
                        return;
                }
                p = at + 1 + n;
                p += strspn(p, " ");
        }
}

/* ---- the step's part ---- */

/* What other vGPUs of the GPU were told. */
typedef struct Taken {
        PtContext *ctx;
        const PtDevice *device;
        const char *own_path; /* of this vGPU: left out, where it is a mediated one */
        char function[32];    /* "virtfn3": that is looked at */
        uint32_t ids[TAKEN_MAX];
        char owners[TAKEN_MAX][32];
        size_t n;
} Taken;

static bool read_id(const char *params, uint32_t *ret) {
        const char *key = strstr(params, VGPU_PLACEMENT_KEY);
        char number[16];

        if (!key)
                return false;
        key += strlen(VGPU_PLACEMENT_KEY);
        (void) snprintf(number, sizeof(number), "%.*s", (int) MIN_OF(strspn(key, "0123456789"), sizeof(number) - 1), key);
        return parse_uint32(number, ret) >= 0;
}

static void take_params(Taken *taken, const char *owner, const char *path) {
        char text[PARAMS_TEXT_SIZE];

        if (taken->n < TAKEN_MAX &&
            taken->ctx->services->read_attribute(taken->ctx, taken->device, path, text, sizeof(text)) >= 0 &&
            read_id(text, &taken->ids[taken->n]))
                (void) snprintf(taken->owners[taken->n++], sizeof(taken->owners[0]), "%.31s", owner);
}

/* A mediated device is a directory of its parent, named by its UUID. */
static void take_entry(void *userdata, const char *entry) {
        Taken *taken = userdata;
        char path[PCI_ATTRIBUTE_SIZE];

        if (strlen(entry) != UUID_LENGTH || entry[8] != '-' || startswith(taken->own_path, entry))
                return;
        (void) snprintf(path, sizeof(path), "physfn/%s/%s/" PARAMS_FILE, taken->function, entry);
        take_params(taken, taken->function, path);
}

static void take_function(void *userdata, const char *entry) {
        Taken *taken = userdata;
        char path[PCI_ATTRIBUTE_SIZE], sysname[PCI_ATTRIBUTE_SIZE];

        if (!startswith(entry, "virtfn") || strlen(entry) >= sizeof(taken->function))
                return;
        strcpy(taken->function, entry);
        (void) snprintf(path, sizeof(path), "physfn/%s", entry);
        if (taken->ctx->services->read_link(taken->ctx, taken->device, path, sysname, sizeof(sysname)) < 0)
                return;
        if (!streq(sysname, taken->device->sysname)) {
                (void) snprintf(path, sizeof(path), "physfn/%s/" PARAMS_FILE, entry);
                take_params(taken, sysname, path);
        }
        (void) snprintf(path, sizeof(path), "physfn/%s/.", entry);
        (void) taken->ctx->services->list(taken->ctx, taken->device, path, take_entry, taken);
}

static void look_around(Taken *taken) {
        taken->n = 0;
        (void) taken->ctx->services->list(taken->ctx, taken->device, "physfn/.", take_function, taken);
}

static const char *owner_of(const Taken *taken, uint32_t id) {
        for (size_t i = 0; i < taken->n; i++)
                if (taken->ids[i] == id)
                        return taken->owners[i];
        return NULL;
}

bool vgpu_has_choice(const char *params) {
        return strstr(params, VGPU_PLACEMENT_KEY "{") != NULL;
}

static int write_id(PtContext *ctx, const PtDevice *device, const char *path, const char *params, uint32_t id) {
        const char *choice = strstr(params, VGPU_PLACEMENT_KEY "{"), *end = strchr(choice, '}');
        char text[PARAMS_TEXT_SIZE];

        (void) snprintf(text, sizeof(text), "%.*s" VGPU_PLACEMENT_KEY "%u%s", (int) (choice - params), params, id, end ? end + 1 : "");
        return ctx->services->write_attribute(ctx, device, path, text);
}

/* What was written is nobody's claim any more. One space clears all. */
static void withdraw(PtContext *ctx, const PtDevice *device, const char *path, const char *params) {
        size_t n = (size_t) (strstr(params, VGPU_PLACEMENT_KEY "{") - params);
        char text[PARAMS_TEXT_SIZE];

        n -= n > 0 && params[n - 1] == ',';
        (void) snprintf(text, sizeof(text), "%.*s", n > 0 ? (int) n : 1, n > 0 ? params : " ");
        (void) ctx->services->write_attribute(ctx, device, path, text);
}

/* Written first and looked at afterwards: of two at the same moment one at least sees the other, but does not know whether it
 * was seen. So whoever sees another one gives way, and both may. -EBUSY then; -ENOSPC when all are taken. */
static int take_first(Taken *taken, const char *path, const char *params) {
        _cleanup_free_ char *copy = strdup(strstr(params, VGPU_PLACEMENT_KEY "{") + strlen(VGPU_PLACEMENT_KEY "{"));
        char *next = copy, *word;
        int r = -ENOSPC;

        if (!copy)
                return -ENOMEM;
        copy[strcspn(copy, "}")] = '\0';
        look_around(taken);
        while ((word = strsep(&next, ","))) {
                uint32_t id;

                if (parse_uint32(word, &id) < 0)
                        return -EINVAL;
                if (owner_of(taken, id))
                        continue;
                r = write_id(taken->ctx, taken->device, path, params, id);
                if (r < 0)
                        continue; /* the driver has somebody there */
                look_around(taken);
                if (!owner_of(taken, id))
                        return 0;
                r = -EBUSY;
        }
        if (r == -EBUSY)
                withdraw(taken->ctx, taken->device, path, params);
        return r;
}

/* Not as long as another one pauses. */
static void pause_before(const PtDevice *device, unsigned round) {
        struct timespec pause = { 0 };
        unsigned hash = 0;

        for (const char *c = device->sysname; *c; c++)
                hash = hash * 31 + (unsigned char) *c;
        pause.tv_nsec = (long) (1 + (hash >> round) % 10) * PAUSE_MSEC * 1000000L;
        (void) nanosleep(&pause, NULL);
}

int vgpu_write_with_choice(PtContext *ctx, const PtDevice *device, const char *path, const char *params) {
        _cleanup_free_ Taken *taken = calloc(1, sizeof(*taken));
        int r;

        if (!taken)
                return -ENOMEM;
        *taken = (Taken){ .ctx = ctx, .device = device, .own_path = path };
        for (unsigned round = 0;; round++) {
                r = take_first(taken, path, params);
                /* What was taken may have been another's who gave way. */
                if ((r != -EBUSY && r != -ENOSPC) || round == ROUNDS_MAX)
                        return r;
                pause_before(device, round);
        }
}
