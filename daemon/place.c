/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "place.h"

#include <ctype.h>

static size_t count_digits(const char *text) {
        size_t n = 0;

        while (isdigit((unsigned char) text[n]))
                n++;
        return n;
}

static size_t count_zeros(const char *text) {
        size_t n = 0;

        while (text[n] == '0' && isdigit((unsigned char) text[n + 1]))
                n++;
        return n;
}

static int compare_natural(const char *a, const char *b) {
        while (*a && *b) {
                size_t n, m;
                int order;

                if (!isdigit((unsigned char) *a) || !isdigit((unsigned char) *b)) {
                        if (*a != *b)
                                return (unsigned char) *a < (unsigned char) *b ? -1 : 1;
                        a++;
                        b++;
                        continue;
                }
                a += count_zeros(a);
                b += count_zeros(b);
                n = count_digits(a);
                m = count_digits(b);
                if (n != m)
                        return n < m ? -1 : 1;
                order = memcmp(a, b, n);
                if (order != 0)
                        return order;
                a += n;
                b += m;
        }
        return (*a != '\0') - (*b != '\0');
}

/* Hexadecimal of fixed width, but for the domain, which grows beyond four digits on some machines. */
static int compare_pci(const char *a, const char *b) {
        size_t n = strlen(a), m = strlen(b);

        return n != m ? (n < m ? -1 : 1) : memcmp(a, b, n);
}

int place_compare(const Device *a, const Device *b) {
        const HostDevice *first = a->host, *second = b->host;
        int order;

        if (first == second)
                return strcmp(a->id, b->id);
        order = strcmp(first->subsystem, second->subsystem);
        if (order != 0)
                return order;
        if (streq(first->subsystem, "pci"))
                order = compare_pci(first->sysname, second->sysname);
        else
                order = compare_natural(first->sysname, second->sysname);
        return order != 0 ? order : strcmp(a->id, b->id);
}

static int compare_pointers(const void *a, const void *b) {
        return place_compare(*(Device *const *) a, *(Device *const *) b);
}

void place_sort(Device **devices, size_t n) {
        if (n > 1)
                qsort(devices, n, sizeof(Device *), compare_pointers);
}
