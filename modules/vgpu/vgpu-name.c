/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-name.h"

#include <ctype.h>
#include <stdio.h>

#include "lib/parse.h"

/* Longest first: "NOME" ends in "ME". */
static const struct {
        const char *text;
        uint32_t flag;
} flag_table[] = {
        { "MEALL", VGPU_NAME_MEALL },
        { "NOME", VGPU_NAME_NOME },
        { "GFX", VGPU_NAME_GFX },
        { "ME", VGPU_NAME_ME },
};

static const struct {
        char series;
        const char *use, *licence;
} series_table[] = {
        { 'A', "applications published from a server", "NVIDIA Virtual Applications (vApps)" },
        { 'B', "office desktops", "NVIDIA Virtual PC (vPC)" },
        { 'C', "computing and inference", "NVIDIA AI Enterprise" },
        { 'Q', "workstations with professional graphics", "NVIDIA RTX Virtual Workstation (vWS)" },
};

const char *vgpu_series_use(char series) {
        for (size_t i = 0; i < ELEMENTSOF(series_table); i++)
                if (series_table[i].series == series)
                        return series_table[i].use;
        return NULL;
}

const char *vgpu_series_licence(char series) {
        for (size_t i = 0; i < ELEMENTSOF(series_table); i++)
                if (series_table[i].series == series)
                        return series_table[i].licence;
        return NULL;
}

const char *vgpu_name_strip(const char *text) {
        static const char *const words[] = { "NVIDIA ", "GRID " };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strncmp(text, words[i], strlen(words[i])) == 0)
                        return text + strlen(words[i]);
        return text;
}

static bool take_flag(const char *text, size_t *length, uint32_t *flags) {
        for (size_t i = 0; i < ELEMENTSOF(flag_table); i++) {
                size_t n = strlen(flag_table[i].text);

                if (*length > n && strncmp(text + *length - n, flag_table[i].text, n) == 0) {
                        *length -= n;
                        *flags |= flag_table[i].flag;
                        return true;
                }
        }
        return false;
}

/* The number that ends at `length`, at most four digits; `length` is moved before it. */
static int take_number(const char *text, size_t *length, unsigned *ret) {
        size_t end = *length, start = end;
        unsigned value = 0;

        while (start > 0 && isdigit((unsigned char) text[start - 1]))
                start--;
        if (start == end || end - start > 4)
                return -EINVAL;
        for (size_t i = start; i < end; i++)
                value = value * 10 + (unsigned) (text[i] - '0');
        *length = start;
        *ret = value;
        return 0;
}

/* Read from its end: the board's own name may have dashes and digits. */
int vgpu_name_parse(const char *text, VgpuName *ret) {
        const char *name = vgpu_name_strip(text);
        size_t length = strlen(name), before;
        VgpuName parsed = { 0 };
        unsigned number;

        /* A revision, as in "M10-2B4". */
        while (length > 0 && isdigit((unsigned char) name[length - 1]))
                length--;
        while (take_flag(name, &length, &parsed.flags))
                ;
        if (length == 0 || !vgpu_series_use(name[length - 1]))
                return -EINVAL;
        parsed.series = name[--length];
        if (take_number(name, &length, &number) < 0 || number == 0 || length == 0 || name[length - 1] != '-')
                return -EINVAL;
        parsed.framebuffer = (uint16_t) number;

        before = --length;
        if (take_number(name, &before, &number) == 0 && before > 0 && name[before - 1] == '-') {
                if (number == 0 || number > 8)
                        return -EINVAL;
                parsed.slices = (uint8_t) number;
                length = before - 1;
        }
        if (length == 0 || length >= sizeof(parsed.board))
                return -EINVAL;
        memcpy(parsed.board, name, length);
        if (!text_is_clean(parsed.board, sizeof(parsed.board)))
                return -EINVAL;
        *ret = parsed;
        return 0;
}

void vgpu_name_to_text(const VgpuName *name, char ret[static 2 * VGPU_NAME_SIZE]) {
        static const struct {
                uint32_t flag;
                const char *text;
        } words[] = {
                { VGPU_NAME_ME, "ME" }, { VGPU_NAME_NOME, "NOME" }, { VGPU_NAME_MEALL, "MEALL" }, { VGPU_NAME_GFX, "GFX" },
        };
        char slices[8] = "";
        size_t at;

        if (name->slices > 0)
                (void) snprintf(slices, sizeof(slices), "%u-", name->slices);
        at = (size_t) snprintf(ret, 2 * VGPU_NAME_SIZE, "%s-%s%u%c", name->board, slices, name->framebuffer, name->series);
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (name->flags & words[i].flag)
                        at += (size_t) snprintf(ret + at, 2 * VGPU_NAME_SIZE - at, "%s", words[i].text);
}

bool vgpu_name_same(const VgpuName *a, const VgpuName *b) {
        return strcmp(a->board, b->board) == 0 && a->series == b->series && a->slices == b->slices &&
               a->framebuffer == b->framebuffer && a->flags == b->flags;
}
