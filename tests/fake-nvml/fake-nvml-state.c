/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where the state of the GPUs is kept, and how calls are made to fail. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "fake-nvml.h"

#define PATH_SIZE 512
#define STATE_SIZE 8192
#define PART_WORDS 12

static json_t *host;
static struct stat loaded;
static int lock_fd = -1;
static unsigned depth;

const json_t *fake_host(void) {
        return host;
}

json_t *fake_gpu(NvmlDeviceHandle device) {
        return json_array_get(json_object_get(host, "gpus"), (size_t) (uintptr_t) device - 1);
}

json_t *fake_get(NvmlDeviceHandle device, const char *key) {
        return json_object_get(fake_gpu(device), key);
}

json_t *fake_type(uint32_t type) {
        json_t *gpu, *item;
        size_t i, k;

        json_array_foreach(json_object_get(host, "gpus"), i, gpu)
                json_array_foreach(json_object_get(gpu, "types"), k, item)
                        if ((uint32_t) json_integer_value(json_object_get(item, "id")) == type)
                                return item;
        return NULL;
}

unsigned fake_release(NvmlDeviceHandle device) {
        const char *driver = json_string_value(fake_get(device, "driver"));

        return driver ? (unsigned) strtoul(driver, NULL, 10) : 0;
}

/* ---- the file ---- */

static const char *file_path(void) {
        return getenv("FAKE_NVML");
}

static NvmlReturn load(void) {
        const char *path = file_path();
        struct stat now;
        json_t *fresh;

        if (!path || stat(path, &now) < 0)
                return NVML_ERROR_DRIVER_NOT_LOADED;
        if (host && now.st_ino == loaded.st_ino && now.st_size == loaded.st_size &&
            now.st_mtim.tv_sec == loaded.st_mtim.tv_sec && now.st_mtim.tv_nsec == loaded.st_mtim.tv_nsec)
                return NVML_SUCCESS;
        fresh = json_load_file(path, 0, NULL);
        if (!fresh)
                return NVML_ERROR_DRIVER_NOT_LOADED;
        json_decref(host);
        host = fresh;
        loaded = now;
        return NVML_SUCCESS;
}

/* Another process finds the old one or the new one. */
static NvmlReturn store(void) {
        char path[PATH_SIZE];

        (void) snprintf(path, sizeof(path), "%s.new", file_path());
        if (json_dump_file(host, path, JSON_INDENT(1)) < 0 || rename(path, file_path()) < 0 ||
            stat(file_path(), &loaded) < 0)
                return NVML_ERROR_UNKNOWN;
        return NVML_SUCCESS;
}

NvmlReturn fake_open(void) {
        return load();
}

void fake_close(void) {
        json_decref(host);
        host = NULL;
}

/* ---- the driver's state of a GPU ---- */

static const char *kernel_path(NvmlDeviceHandle device, char path[static PATH_SIZE]) {
        const char *pattern = json_string_value(json_object_get(host, "kernel")), *mark;
        const char *address = json_string_value(fake_get(device, "address"));

        mark = pattern ? strstr(pattern, "%s") : NULL;
        if (!mark || !address)
                return NULL;
        (void) snprintf(path, PATH_SIZE, "%.*s%s%s", (int) (mark - pattern), pattern, address, mark + 2);
        return path;
}

static size_t split(char *part, char *words[static PART_WORDS]) {
        char *save = NULL;
        size_t n = 0;

        for (char *word = strtok_r(part, " \n", &save); word && n < PART_WORDS; word = strtok_r(NULL, " \n", &save))
                words[n++] = word;
        return n;
}

static json_int_t number(char *words[], size_t n, size_t i) {
        return i < n ? (json_int_t) strtoul(words[i], NULL, 10) : 0;
}

static json_t *scheduler_words(char *words[], size_t n, size_t first) {
        return json_pack("[I,I,I,I]", number(words, n, first), number(words, n, first + 1), number(words, n, first + 2),
                         number(words, n, first + 3));
}

static void take_part(json_t *gpu, char *part) {
        char *words[PART_WORDS];
        size_t n = split(part, words);

        if (n == 0)
                return;
        if (streq(words[0], "generation") || streq(words[0], "vfs"))
                json_object_set_new(gpu, words[0], json_integer(number(words, n, 1)));
        else if (streq(words[0], "mig") && json_object_get(gpu, "mig"))
                json_object_set_new(gpu, "mig",
                                    json_pack("{s:b, s:b}", "current", (int) number(words, n, 1), "pending",
                                              (int) number(words, n, 2)));
        else if (streq(words[0], "mixed") && json_object_get(gpu, "mixed-sizes"))
                json_object_set_new(gpu, "mixed-sizes", json_boolean(number(words, n, 1)));
        else if (streq(words[0], "scheduler"))
                json_object_set_new(gpu, "scheduler-state", scheduler_words(words, n, 1));
        else if (streq(words[0], "instance"))
                json_array_append_new(json_object_get(gpu, "instances"),
                                      json_pack("{s:I, s:I, s:I, s:I, s:b, s:b, s:o}", "id", number(words, n, 1), "profile",
                                                number(words, n, 2), "start", number(words, n, 3), "size",
                                                number(words, n, 4), "compute", (int) number(words, n, 5), "mixed",
                                                (int) number(words, n, 6), "scheduler-state",
                                                scheduler_words(words, n, 7)));
        else if (streq(words[0], "vgpu") && n > 1)
                json_array_append_new(json_object_get(gpu, "vgpus"),
                                      json_pack("{s:s, s:I, s:I, s:I, s:b}", "name", words[1], "type", number(words, n, 2),
                                                "instance", number(words, n, 3), "placement", number(words, n, 4), "open",
                                                (int) number(words, n, 5)));
}

static NvmlReturn read_kernel(NvmlDeviceHandle device) {
        char path[PATH_SIZE], text[STATE_SIZE], *save = NULL;
        json_t *gpu = fake_gpu(device);
        ssize_t n;
        int fd;

        if (!gpu || !kernel_path(device, path))
                return NVML_SUCCESS;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (fd >= 0)
                (void) close(fd);
        if (n <= 0) /* the driver does not have the GPU */
                return NVML_ERROR_NOT_FOUND;
        text[n] = '\0';
        json_object_set_new(gpu, "instances", json_array());
        json_object_set_new(gpu, "vgpus", json_array());
        for (char *part = strtok_r(text, ";", &save); part; part = strtok_r(NULL, ";", &save))
                take_part(gpu, part);
        return NVML_SUCCESS;
}

static void put_scheduler(FILE *f, const json_t *state) {
        for (size_t i = 0; i < FAKE_SCHEDULER_WORDS; i++)
                (void) fprintf(f, " %" JSON_INTEGER_FORMAT, json_integer_value(json_array_get(state, i)));
}

static void put_state(FILE *f, NvmlDeviceHandle device) {
        json_t *mig = fake_get(device, "mig"), *instance;
        size_t i;

        (void) fprintf(f, "generation %u;mig %d %d;mixed %d;scheduler", fake_uint(fake_gpu(device), "generation"),
                       json_is_true(json_object_get(mig, "current")), json_is_true(json_object_get(mig, "pending")),
                       json_is_true(fake_get(device, "mixed-sizes")));
        put_scheduler(f, fake_get(device, "scheduler-state"));
        json_array_foreach(fake_get(device, "instances"), i, instance) {
                (void) fprintf(f, ";instance %u %u %u %u %d %d", fake_uint(instance, "id"), fake_uint(instance, "profile"),
                               fake_uint(instance, "start"), fake_uint(instance, "size"),
                               json_is_true(json_object_get(instance, "compute")),
                               json_is_true(json_object_get(instance, "mixed")));
                put_scheduler(f, json_object_get(instance, "scheduler-state"));
        }
        (void) fputc('\n', f);
}

NvmlReturn fake_save(NvmlDeviceHandle device) {
        _cleanup_free_ char *text = NULL;
        char path[PATH_SIZE];
        size_t size = 0;
        ssize_t written;
        FILE *f;
        int fd;

        if (!kernel_path(device, path))
                return store();
        f = open_memstream(&text, &size);
        if (!f)
                return NVML_ERROR_MEMORY;
        put_state(f, device);
        if (fclose(f) != 0)
                return NVML_ERROR_MEMORY;
        fd = open(path, O_WRONLY | O_CLOEXEC);
        written = fd < 0 ? -1 : write(fd, text, size);
        if (fd >= 0)
                (void) close(fd);
        return written == (ssize_t) size ? NVML_SUCCESS : NVML_ERROR_NOT_READY;
}

/* ---- calls ---- */

static bool is_missing(const char *call) {
        json_t *name;
        size_t i;

        json_array_foreach(json_object_get(host, "missing"), i, name)
                if (json_is_string(name) && streq(json_string_value(name), call))
                        return true;
        return false;
}

/* N, or {result, skip, times, delay, die}: the call after `skip` others answers `result`, `times` times (0: always). */
static NvmlReturn apply_fault(json_t *fault) {
        json_int_t skip = json_integer_value(json_object_get(fault, "skip"));
        json_int_t times = json_integer_value(json_object_get(fault, "times"));
        const struct timespec pause = { .tv_sec = (time_t) (fake_uint(fault, "delay") / 1000u),
                                        .tv_nsec = (long) (fake_uint(fault, "delay") % 1000u) * 1000000L };

        if (json_is_integer(fault))
                return (NvmlReturn) json_integer_value(fault);
        if (!fault || times < 0)
                return NVML_SUCCESS;
        if (skip > 0) {
                json_object_set_new(fault, "skip", json_integer(skip - 1));
                (void) store();
                return NVML_SUCCESS;
        }
        if (times > 0) {
                json_object_set_new(fault, "times", json_integer(times == 1 ? -1 : times - 1));
                (void) store();
        }
        (void) nanosleep(&pause, NULL);
        if (json_is_true(json_object_get(fault, "die")))
                (void) raise(SIGKILL);
        return (NvmlReturn) fake_uint(fault, "result");
}

static NvmlReturn find_fault(const json_t *faults, const char *call) {
        NvmlReturn result = apply_fault(json_object_get(faults, call));

        return result == NVML_SUCCESS ? apply_fault(json_object_get(faults, "*")) : result;
}

/* A file that is replaced is another one: whoever waited for the old one's lock tries again. */
static int lock_file(void) {
        struct stat own, current;

        for (;;) {
                int fd = open(file_path(), O_RDONLY | O_CLOEXEC);

                if (fd < 0 || flock(fd, LOCK_EX) < 0 || fstat(fd, &own) < 0 || stat(file_path(), &current) < 0 ||
                    own.st_ino == current.st_ino)
                        return fd;
                (void) close(fd);
        }
}

FakeCall fake_enter(NvmlDeviceHandle device, const char *call) {
        FakeCall entered = { NVML_SUCCESS };

        if (depth++ > 0)
                return entered;
        if (!host || !file_path())
                return (FakeCall){ NVML_ERROR_UNINITIALIZED };
        lock_fd = lock_file();
        entered.result = load();
        if (entered.result == NVML_SUCCESS && is_missing(call))
                entered.result = NVML_ERROR_FUNCTION_NOT_FOUND;
        if (entered.result == NVML_SUCCESS && device)
                entered.result = read_kernel(device);
        if (entered.result == NVML_SUCCESS)
                entered.result = find_fault(json_object_get(host, "faults"), call);
        if (entered.result == NVML_SUCCESS && device)
                entered.result = find_fault(fake_get(device, "faults"), call);
        return entered;
}

void fake_leave(FakeCall *call) {
        if (--depth > 0 || lock_fd < 0)
                return;
        (void) close(lock_fd);
        lock_fd = -1;
}
