/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-types.h"

#include <ctype.h>
#include <limits.h>

#include "lib/parse.h"

#define LINE_SIZE 256
/* More than any GPU of the coming years; what is beyond is not believed. */
#define NUMBER_MAX (16u * 1024 * 1024)

/* Copies the next line without blanks at its ends; a longer one is cut. False at the end. */
static bool next_line(const char **text, char *line) {
        const char *start = *text;
        size_t length;

        if (*start == '\0')
                return false;
        length = strcspn(start, "\n");
        *text = start + length + (start[length] == '\n');
        while (length > 0 && isspace((unsigned char) *start))
                start++, length--;
        while (length > 0 && isspace((unsigned char) start[length - 1]))
                length--;
        length = MIN_OF(length, (size_t) LINE_SIZE - 1);
        memcpy(line, start, length);
        line[length] = '\0';
        return true;
}

static bool set_type(VgpuType *type, const char *id, const char *name) {
        uint32_t number;

        if (parse_uint32(id, &number) < 0 || number == 0 || isempty(name) || strlen(name) >= sizeof(type->name) ||
            !text_is_clean(name, sizeof(type->name)))
                return false;
        *type = (VgpuType){ 0 };
        strncpy(type->id, id, sizeof(type->id) - 1);
        strncpy(type->name, name, sizeof(type->name) - 1);
        return true;
}

static char *trim(char *text) {
        size_t length;

        while (isspace((unsigned char) *text))
                text++;
        for (length = strlen(text); length > 0 && isspace((unsigned char) text[length - 1]);)
                text[--length] = '\0';
        return text;
}

/* "1145  : NVIDIA L40S-1B" */
static bool parse_number_first(char *line, VgpuType *type) {
        char *colon = strchr(line, ':');

        if (!colon)
                return false;
        *colon = '\0';
        return set_type(type, trim(line), trim(colon + 1));
}

/* "NVIDIA A40-1Q 557" */
static bool parse_number_last(char *line, VgpuType *type) {
        char *blank = strrchr(line, ' ');

        if (!blank)
                return false;
        *blank = '\0';
        return set_type(type, blank + 1, trim(line));
}

static bool is_header(const char *line) {
        return strncmp(line, "ID", 2) == 0 && (line[2] == ' ' || line[2] == ':') && strstr(line, "vGPU");
}

size_t vgpu_parse_creatable(const char *text, VgpuType *ret, size_t max, unsigned *ret_odd) {
        char line[LINE_SIZE], copy[LINE_SIZE];
        unsigned odd = 0;
        size_t n = 0;

        while (next_line(&text, line)) {
                if (*line == '\0' || is_header(line))
                        continue;
                memcpy(copy, line, sizeof(copy));
                if (n < max && (parse_number_first(line, &ret[n]) || parse_number_last(copy, &ret[n])))
                        n++;
                else
                        odd++;
        }
        if (ret_odd)
                *ret_odd = odd;
        return n;
}

/* The number at the start of a text, and what follows it. */
static bool take_number(const char *text, uint32_t *ret, const char **ret_rest) {
        uint64_t value = 0;

        if (!isdigit((unsigned char) *text))
                return false;
        for (; isdigit((unsigned char) *text); text++) {
                value = value * 10 + (uint64_t) (*text - '0');
                if (value > NUMBER_MAX)
                        return false;
        }
        *ret = (uint32_t) value;
        *ret_rest = text;
        return true;
}

static void take_size(const char *text, uint32_t *ret) {
        const char *unit;
        uint32_t value;

        if (!take_number(text, &value, &unit))
                return;
        if (streq(unit, "M") || streq(unit, "MB") || streq(unit, "MiB"))
                *ret = value;
        else if ((streq(unit, "G") || streq(unit, "GB") || streq(unit, "GiB")) && value <= NUMBER_MAX / 1024)
                *ret = value * 1024;
}

static void take_resolution(const char *text, VgpuType *type) {
        uint32_t width, height;
        const char *rest;

        if (take_number(text, &width, &rest) && *rest == 'x' && take_number(rest + 1, &height, &rest) && *rest == '\0') {
                type->width = width;
                type->height = height;
        }
}

static void take_plain(const char *text, uint32_t *ret) {
        const char *rest;
        uint32_t value;

        if (take_number(text, &value, &rest) && *rest == '\0')
                *ret = value;
}

static void take_pair(const char *key, const char *value, VgpuType *type) {
        uint32_t more = 0;

        if (streq(key, "num_heads"))
                take_plain(value, &type->heads);
        else if (streq(key, "frl_config"))
                take_plain(value, &type->frame_rate_limit);
        else if (streq(key, "max_instance"))
                take_plain(value, &type->max_instances);
        else if (streq(key, "framebuffer"))
                take_size(value, &type->framebuffer);
        else if (streq(key, "max_resolution") || streq(key, "resolution"))
                take_resolution(value, type);
        else if (streq(key, "low_gm_size") || streq(key, "high_gm_size")) {
                take_size(value, &more);
                type->framebuffer += more;
        }
}

void vgpu_parse_description(const char *text, VgpuType *type) {
        char line[LINE_SIZE];

        while (next_line(&text, line)) {
                char *rest = line, *part;

                while ((part = strsep(&rest, ","))) {
                        char *sign = strpbrk(part, "=:");

                        if (!sign)
                                continue;
                        *sign = '\0';
                        take_pair(trim(part), trim(sign + 1), type);
                }
        }
}

int vgpu_parse_current(const char *text, uint32_t *ret) {
        char line[LINE_SIZE] = "";

        (void) next_line(&text, line);
        return parse_uint32(line, ret) < 0 ? -EINVAL : 0;
}
