/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util.h"

#include <stdarg.h>

const char *path_make(Path *p, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(p->s, sizeof(p->s), format, ap);
        va_end(ap);
        return p->s;
}

const char *path_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

void path_parent(Path *p, const char *path) {
        const char *slash = strrchr(path, '/');

        path_make(p, "%.*s", slash ? (int) (slash - path) : 0, path);
}

/* The number that fills the @length characters before @end. */
static bool hex_before(const char *end, size_t length, uint64_t max, uint64_t *ret) {
        char text[8];

        *ret = 0;
        memcpy(text, end - length, length);
        text[length] = '\0';
        if (strspn(text, "0123456789abcdefABCDEF") != length)
                return false;
        return string_to_u64(text, 16, ret) >= 0 && *ret <= max;
}

int pci_address_parse(const char *s, PciAddress *ret) {
        uint64_t domain, bus, device, function;

        if (strlen(s) != PCI_ADDRESS_LENGTH || s[4] != ':' || s[7] != ':' || s[10] != '.')
                return -EINVAL;
        if (!hex_before(s + 4, 4, UINT16_MAX, &domain) || !hex_before(s + 7, 2, UINT8_MAX, &bus) ||
            !hex_before(s + 10, 2, 31, &device) || !hex_before(s + 12, 1, 7, &function))
                return -EINVAL;

        *ret = (PciAddress){
                .domain = (uint32_t) domain,
                .bus = (uint8_t) bus,
                .device = (uint8_t) device,
                .function = (uint8_t) function,
        };
        return 0;
}

void pci_address_format(const PciAddress *a, char ret[static PCI_ADDRESS_LENGTH + 1]) {
        (void) snprintf(ret, PCI_ADDRESS_LENGTH + 1, "%04x:%02x:%02x.%x", a->domain & 0xffff, a->bus,
                        a->device & 0x1f, a->function & 7);
}

void *allocate(size_t size) {
        void *p = calloc(1, size ? size : 1);

        if (!p) {
                complain("out of memory");
                abort();
        }
        return p;
}

char *copy_string(const char *s) {
        size_t n = strlen(s) + 1;

        return memcpy(allocate(n), s, n);
}

void copy_text(char *to, size_t size, const char *from) {
        size_t n = strlen(from);

        if (n >= size)
                n = size - 1;
        memcpy(to, from, n);
        to[n] = '\0';
}

bool string_equal(const char *a, const char *b) {
        return a && b ? strcmp(a, b) == 0 : a == b;
}

bool string_starts(const char *s, const char *prefix) {
        return strncmp(s, prefix, strlen(prefix)) == 0;
}

size_t split_words(char *text, char *words[], size_t max) {
        size_t n = 0;
        char *save = NULL;

        for (char *w = strtok_r(text, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
                if (n == max)
                        return max + 1;
                words[n++] = w;
        }
        return n;
}

int string_to_u64(const char *s, int base, uint64_t *ret) {
        unsigned long long v;
        char *end;

        if (*s == '\0' || *s == '-' || *s == ' ')
                return -EINVAL;
        errno = 0;
        v = strtoull(s, &end, base);
        if (errno != 0)
                return -errno;
        if (*end == '\n')
                end++;
        if (*end != '\0')
                return -EINVAL;

        *ret = v;
        return 0;
}

int errno_from_name(const char *name) {
        uint64_t number;

        /* errno values are sparse but small: glibc knows names for numbers only, so turn the question
         * round. */
        for (int e = 1; e < 200; e++)
                if (strerrorname_np(e) && string_equal(strerrorname_np(e), name))
                        return e;
        if (string_to_u64(name, 10, &number) < 0 || number == 0 || number > 4095)
                return 0;
        return (int) number;
}

void complain(const char *format, ...) {
        char line[1024];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        (void) fprintf(stderr, "passthroughd-simhost: %s\n", line);
}
