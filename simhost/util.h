/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Small things every file of the simulated host uses. Running out of memory ends the program: it is a
 * test tool, and a half-made host would only produce puzzling test results. */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define ELEMENTS(x) (sizeof(x) / sizeof((x)[0]))

static inline void freep(void *p) {
        free(*(void **) p);
}

static inline void closep(int *fd) {
        if (*fd >= 0)
                close(*fd);
}

/* Hands a descriptor on, past its _cleanup_close_. */
static inline int take_fd(int *fd) {
        int taken = *fd;

        *fd = -1;
        return taken;
}

static inline void closedirp(DIR **d) {
        if (*d)
                closedir(*d);
}

static inline void fclosep(FILE **f) {
        if (*f)
                fclose(*f);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_closedir_ _cleanup_(closedirp)
#define _cleanup_fclose_ _cleanup_(fclosep)

/* A path or a name being put together; what does not fit is cut, and the lookup that follows fails. */
typedef struct Path {
        char s[PATH_MAX];
} Path;

const char *path_make(Path *p, const char *format, ...) _printf_(2, 3);
const char *path_name(const char *path); /* what follows the last slash */
void path_parent(Path *p, const char *path);

/* 0000:3b:00.0 */
typedef struct PciAddress {
        uint32_t domain;
        uint8_t bus, device, function;
} PciAddress;

#define PCI_ADDRESS_LENGTH 12

int pci_address_parse(const char *s, PciAddress *ret);
void pci_address_format(const PciAddress *a, char ret[static PCI_ADDRESS_LENGTH + 1]);

void *allocate(size_t size);
char *copy_string(const char *s);
void copy_text(char *to, size_t size, const char *from); /* cuts what does not fit */

bool string_equal(const char *a, const char *b);
bool string_starts(const char *s, const char *prefix);
/* Cuts the text at blanks, in place, into at most @max words. Returns how many there are, @max + 1 for
 * more. */
size_t split_words(char *text, char *words[], size_t max);
int string_to_u64(const char *s, int base, uint64_t *ret);
int errno_from_name(const char *name); /* "EBUSY" or "16"; 0 if it is neither */

void complain(const char *format, ...) _printf_(1, 2);
