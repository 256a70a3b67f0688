/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ailment.h"

#include "config-space.h"

/* Beside the host's own files, so that it is there for whoever looks: which devices die at their next reset. */
#define DOOMED "kernel/doomed"

static size_t words_of(const char *text, char buffer[static 128], char **words, size_t max) {
        copy_text(buffer, 128, text);
        return split_words(buffer, words, max);
}

static void put_config(Kernel *k, const char *path, const uint8_t *config, size_t size) {
        Path p;

        tree_remove(k->tree, path, "config");
        tree_share(k->tree, path_make(&p, "%s/config", path), config, size);
}

static int find(Kernel *k, const char *bdf, Path *path, const PciSpec **ret) {
        *ret = device_spec(k, bdf);
        return *ret ? device_find(k, bdf, path) : -ENODEV;
}

static void kill_device(Kernel *k, const char *path, const PciSpec *spec) {
        uint8_t config[CONFIG_SPACE_SIZE];
        size_t size = config_space_build(spec, config);

        memset(config, 0xff, size);
        put_config(k, path, config, size);
}

int dead_write(Kernel *k, const char *text) {
        uint8_t config[CONFIG_SPACE_SIZE];
        char buffer[128], *words[2];
        size_t n = words_of(text, buffer, words, ELEMENTS(words)), size;
        const PciSpec *spec;
        Path path;
        int r;

        if (n < 1 || n > 2)
                return -EINVAL;
        r = find(k, words[0], &path, &spec);
        if (r < 0)
                return r;
        if (n == 1) {
                kill_device(k, path.s, spec);
                return 0;
        }
        if (string_equal(words[1], "ids")) {
                size = config_space_build(spec, config);
                config[2] ^= 1; /* the device id; the kernel's own attributes stay as it read them first */
                put_config(k, path.s, config, size);
                return 0;
        }
        if (!string_equal(words[1], "reset"))
                return -EINVAL;
        tree_make_directory(k->tree, DOOMED);
        tree_put(k->tree, DOOMED, words[0], 0644, "%s", "");
        return 0;
}

int alive_write(Kernel *k, const char *text) {
        uint8_t config[CONFIG_SPACE_SIZE];
        char buffer[128], *words[1];
        const PciSpec *spec;
        size_t size;
        Path path;
        int r;

        if (words_of(text, buffer, words, ELEMENTS(words)) != 1)
                return -EINVAL;
        r = find(k, words[0], &path, &spec);
        if (r < 0)
                return r;
        tree_remove(k->tree, DOOMED, words[0]);
        size = config_space_build(spec, config);
        put_config(k, path.s, config, size);
        return 0;
}

int errors_write(Kernel *k, const char *text) {
        static const char *const kinds[][3] = {
                { "fatal", "aer_dev_fatal", "TOTAL_ERR_FATAL" },
                { "nonfatal", "aer_dev_nonfatal", "TOTAL_ERR_NONFATAL" },
                { "correctable", "aer_dev_correctable", "TOTAL_ERR_COR" },
        };
        char buffer[128], *words[3], before[256];
        const PciSpec *spec;
        uint64_t more, sum = 0;
        Path path;
        int r;

        if (words_of(text, buffer, words, ELEMENTS(words)) != 3 || string_to_u64(words[2], 10, &more) < 0)
                return -EINVAL;
        r = find(k, words[0], &path, &spec);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(kinds); i++) {
                const char *last;

                if (!string_equal(words[1], kinds[i][0]))
                        continue;
                if (tree_read(k->tree, path.s, kinds[i][1], before, sizeof(before)) >= 0 &&
                    (last = strrchr(before, ' ')))
                        (void) string_to_u64(last + 1, 10, &sum);
                tree_put(k->tree, path.s, kinds[i][1], 0444, "Undefined 0\n%s %llu\n", kinds[i][2],
                         (unsigned long long) (sum + more));
                return 0;
        }
        return -EINVAL;
}

int link_write(Kernel *k, const char *text) {
        uint8_t config[CONFIG_SPACE_SIZE];
        char buffer[128], *words[3];
        size_t n = words_of(text, buffer, words, ELEMENTS(words)), size;
        const PciSpec *spec, *port_spec;
        uint64_t width;
        Path path, port;
        int r;

        if (n < 2 || string_to_u64(words[1], 10, &width) < 0 || width > 32)
                return -EINVAL;
        r = find(k, words[0], &path, &spec);
        if (r < 0)
                return r;
        if (width > 0)
                tree_put(k->tree, path.s, "current_link_width", 0444, "%d\n", (int) width);
        if (n == 3)
                tree_put(k->tree, path.s, "current_link_speed", 0444, "%s GT/s PCIe\n", words[2]);
        path_parent(&port, path.s);
        port_spec = device_spec(k, path_name(port.s));
        if (!port_spec)
                return 0;
        size = config_space_build(port_spec, config);
        if (config_space_set_link(config, size, width > 0))
                put_config(k, port.s, config, size);
        return 0;
}

int exchange_write(Kernel *k, const char *text) {
        char buffer[128], *words[2];
        uint64_t device;
        Path path, away;

        if (words_of(text, buffer, words, ELEMENTS(words)) != 2 || string_to_u64(words[1], 16, &device) < 0 ||
            device > UINT16_MAX)
                return -EINVAL;
        if (device_find(k, words[0], &path) >= 0)
                return -EBUSY;
        path_make(&away, "kernel/away/%s", words[0]);
        for (size_t i = 0; i < k->description->n_devices; i++)
                if (string_equal(k->description->devices[i].bdf, words[0])) {
                        k->description->devices[i].device = (int) device;
                        tree_put(k->tree, away.s, "device", 0444, "0x%04x\n", (unsigned) device);
                        return 0;
                }
        return -ENODEV;
}

void ailment_reset(Kernel *k, const char *bdf, const char *path) {
        const PciSpec *spec = device_spec(k, bdf);

        if (!spec || !tree_has(k->tree, DOOMED, bdf))
                return;
        tree_remove(k->tree, DOOMED, bdf);
        kill_device(k, path, spec);
}
