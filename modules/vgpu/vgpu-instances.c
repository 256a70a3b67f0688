/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-instances.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/parse.h"

#define SLICES_MAX 8u

static int compare_starts(const void *a, const void *b) {
        return (int) ((const VgpuInstanceEntry *) a)->start - (int) ((const VgpuInstanceEntry *) b)->start;
}

void vgpu_instances_to_text(const VgpuInstanceList *list, char ret[static VGPU_INSTANCES_TEXT_SIZE]) {
        VgpuInstanceList sorted = *list;
        size_t at = 0;

        qsort(sorted.entries, sorted.n, sizeof(sorted.entries[0]), compare_starts);
        ret[0] = '\0';
        for (size_t i = 0; i < sorted.n; i++) {
                const VgpuInstanceEntry *e = &sorted.entries[i];

                at += (size_t) snprintf(ret + at, VGPU_INSTANCES_TEXT_SIZE - at, "%s%u@%u", i > 0 ? " " : "", e->profile, e->start);
                if (!e->compute_given)
                        continue;
                at += (size_t) snprintf(ret + at, VGPU_INSTANCES_TEXT_SIZE - at, "(");
                for (unsigned k = 0; k < e->n_compute; k++)
                        at += (size_t) snprintf(ret + at, VGPU_INSTANCES_TEXT_SIZE - at, "%s%u", k > 0 ? "," : "", e->compute[k]);
                at += (size_t) snprintf(ret + at, VGPU_INSTANCES_TEXT_SIZE - at, ")");
        }
}

static int read_compute(char *text, VgpuInstanceEntry *entry) {
        char *end = strchr(text, ')'), *next = text, *word;

        if (!end || end[1])
                return -EINVAL;
        *end = '\0';
        entry->compute_given = true;
        if (!*text)
                return 0;
        while ((word = strsep(&next, ",")))
                if (entry->n_compute == VGPU_COMPUTE_MAX || parse_uint32(word, &entry->compute[entry->n_compute++]) < 0)
                        return -EINVAL;
        return 0;
}

static int read_entry(char *word, VgpuInstanceEntry *ret) {
        char *start = strchr(word, '@'), *compute = strchr(word, '(');
        VgpuInstanceEntry entry = { 0 };
        uint32_t number;

        if (!start || (compute && compute < start))
                return -EINVAL;
        *start++ = '\0';
        if (compute) {
                *compute++ = '\0';
                if (read_compute(compute, &entry) < 0)
                        return -EINVAL;
        }
        if (parse_uint32(word, &entry.profile) < 0 || entry.profile > UINT16_MAX || parse_uint32(start, &number) < 0 ||
            number >= SLICES_MAX)
                return -EINVAL;
        entry.start = (uint8_t) number;
        *ret = entry;
        return 0;
}

int vgpu_instances_from_text(const char *text, VgpuInstanceList *ret) {
        char copy[VGPU_INSTANCES_TEXT_SIZE], *next = copy, *word;
        VgpuInstanceList list = { .n = 0 };

        if (strlen(text) >= sizeof(copy))
                return -EINVAL;
        strcpy(copy, text);
        while (*text && (word = strsep(&next, " "))) {
                if (list.n == MIG_INSTANCES_MAX || read_entry(word, &list.entries[list.n]) < 0)
                        return -EINVAL;
                for (size_t i = 0; i < list.n; i++)
                        if (list.entries[i].start == list.entries[list.n].start)
                                return -EINVAL;
                list.n++;
        }
        *ret = list;
        return 0;
}

const VgpuInstanceEntry *vgpu_instances_find(const VgpuInstanceList *list, uint32_t profile, uint32_t start) {
        for (size_t i = 0; i < list->n; i++)
                if (list->entries[i].profile == profile && list->entries[i].start == start)
                        return &list->entries[i];
        return NULL;
}
