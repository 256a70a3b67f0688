/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "lib/macro.h"

/* Replays the files (or all files of the directories) named as arguments and reports each in TAP. Beside the
 * input itself it tries what a careless reader stumbles over: the input cut off after every byte, and every
 * byte changed. An input that breaks the fuzzer ends the program. */

#define INPUT_MAX (64u * 1024u)
/* Longer inputs are replayed as they are. */
#define MUTATE_MAX 2048u

static unsigned replayed;

/* In memory of exactly this size, so that the sanitizers see a read beyond the end. */
static void run_exact(const uint8_t *data, size_t size) {
        uint8_t *copy = malloc(size > 0 ? size : 1);

        if (!copy)
                abort();
        memcpy(copy, data, size);
        (void) LLVMFuzzerTestOneInput(copy, size);
        free(copy);
}

static void run_mutations(uint8_t *data, size_t size) {
        static const uint8_t changes[] = { 0x01, 0x20, 0x80, 0xff };

        for (size_t i = 0; i < size; i++) {
                run_exact(data, i);
                for (size_t k = 0; k < ELEMENTSOF(changes); k++) {
                        data[i] ^= changes[k];
                        run_exact(data, size);
                        data[i] ^= changes[k];
                }
        }
}

static int replay_file(int directory_fd, const char *name) {
        static uint8_t data[INPUT_MAX];
        _cleanup_close_ int fd = -EBADF;
        ssize_t size;

        fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        size = read(fd, data, sizeof(data));
        if (size < 0)
                return -errno;
        if ((size_t) size == sizeof(data))
                return -E2BIG;

        run_exact(data, (size_t) size);
        if ((size_t) size <= MUTATE_MAX)
                run_mutations(data, (size_t) size);
        printf("ok %u - %s\n", ++replayed, name);
        return 0;
}

static int replay_directory(const char *path) {
        struct dirent *entry;
        DIR *directory;
        int r = 0;

        directory = opendir(path);
        if (!directory)
                return -errno;
        while (r >= 0 && (entry = readdir(directory)))
                if (entry->d_name[0] != '.')
                        r = replay_file(dirfd(directory), entry->d_name);

        (void) closedir(directory);
        return r;
}

int main(int argc, char *argv[]) {
        for (int i = 1; i < argc; i++) {
                struct stat st;
                int r;

                if (stat(argv[i], &st) < 0)
                        r = -errno;
                else if (S_ISDIR(st.st_mode))
                        r = replay_directory(argv[i]);
                else
                        r = replay_file(AT_FDCWD, argv[i]);
                if (r < 0) {
                        printf("Bail out! %s: %s\n", argv[i], strerror(-r));
                        return EXIT_FAILURE;
                }
        }

        printf("1..%u\n", replayed);
        return replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
