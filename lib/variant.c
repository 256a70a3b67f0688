/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fnmatch.h>
#include <stdio.h>

#include "host-facts.h"

/* Drivers made for one model of device bind to it only through `driver_override`, so depmod lists them
 * apart: "alias vfio_pci:v000015B3d0000101Esv*… mlx5_vfio_pci". A kernel has a handful of such lines
 * among twenty thousand. */

#define VARIANTS_MAX 1024

typedef struct Variant {
        char *pattern;
        char *module;
        unsigned wildcards;
} Variant;

struct VariantTable {
        Variant *variants;
        size_t n_variants;
};

VariantTable *variant_table_free(VariantTable *table) {
        if (!table)
                return NULL;

        for (size_t i = 0; i < table->n_variants; i++) {
                free(table->variants[i].pattern);
                free(table->variants[i].module);
        }
        free(table->variants);
        free(table);
        return NULL;
}

static int add_variant(VariantTable *table, const char *pattern, const char *module) {
        Variant variant = { 0 }, *variants;

        if (table->n_variants >= VARIANTS_MAX)
                return -E2BIG;
        variants = reallocarray(table->variants, table->n_variants + 1, sizeof(*variants));
        if (!variants)
                return -ENOMEM;
        table->variants = variants;

        variant.pattern = strdup(pattern);
        variant.module = strdup(module);
        if (!variant.pattern || !variant.module) {
                free(variant.pattern);
                free(variant.module);
                return -ENOMEM;
        }
        for (const char *p = pattern; *p; p++)
                variant.wildcards += *p == '*';
        variants[table->n_variants++] = variant;
        return 0;
}

static int read_line(VariantTable *table, char *line) {
        char *state = NULL, *pattern, *module;

        if (!startswith(line, "alias vfio_pci:"))
                return 0;
        (void) strtok_r(line, " \n", &state);
        pattern = strtok_r(NULL, " \n", &state);
        module = strtok_r(NULL, " \n", &state);
        return pattern && module ? add_variant(table, pattern, module) : 0;
}

int variant_table_load(const Sysfs *sysfs, const char *path, VariantTable **ret) {
        _cleanup_(variant_table_freep) VariantTable *table = NULL;
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        FILE *file;
        int fd, r = 0;

        table = calloc(1, sizeof(*table));
        if (!table)
                return -ENOMEM;

        fd = openat(sysfs->root_fd, path + strspn(path, "/"), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0) {
                /* A kernel without modules has no variants. */
                if (errno != ENOENT)
                        return -errno;
                *ret = TAKE_PTR(table);
                return 0;
        }
        file = fdopen(fd, "re");
        if (!file) {
                r = -errno;
                (void) close_fd(fd);
                return r;
        }

        while (r >= 0 && getline(&line, &size, file) >= 0)
                r = read_line(table, line);
        (void) fclose(file);
        if (r < 0 && r != -E2BIG)
                return r;

        *ret = TAKE_PTR(table);
        return 0;
}

const char *variant_table_find(const VariantTable *table, const char *modalias) {
        const char *rest = startswith(modalias, "pci:");
        const Variant *best = NULL;
        char wanted[256];
        int n;

        if (!rest)
                return NULL;
        n = snprintf(wanted, sizeof(wanted), "vfio_pci:%s", rest);
        if (n < 0 || (size_t) n >= sizeof(wanted))
                return NULL;

        for (size_t i = 0; i < table->n_variants; i++) {
                const Variant *v = table->variants + i;

                if (fnmatch(v->pattern, wanted, 0) == 0 && (!best || v->wildcards < best->wildcards))
                        best = v;
        }
        return best ? best->module : NULL;
}
