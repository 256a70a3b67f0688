/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpu-model.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "fake-kernel.h"

#define MODELS SIMHOST_RUN "/nvml.json"
#define TOOL_LAYER SIMHOST_RUN "/usr-lib"
#define MIB_PER_GIB 1024

/* ---- description ---- */

static json_t *load_model(const char *beside, const char *name) {
        const char *slash = strrchr(beside, '/');
        json_error_t error;
        json_t *file, *gpu;
        Path p;

        if (slash && name[0] != '/')
                path_make(&p, "%.*s/%s", (int) (slash - beside), beside, name);
        else
                path_make(&p, "%s", name);
        file = json_load_file(p.s, JSON_REJECT_DUPLICATES, &error);
        if (!file) {
                complain("%s:%d: %s", p.s, error.line, error.text);
                return NULL;
        }
        gpu = json_incref(json_array_get(json_object_get(file, "gpus"), 0));
        json_decref(file);
        if (!json_is_object(gpu))
                complain("%s: there is no GPU in it", p.s);
        return gpu;
}

/* How many vGPUs of a type one GPU instance has room for. */
static json_int_t per_instance(json_t *gpu, json_t *type) {
        json_t *profile;
        size_t i;

        json_array_foreach(json_object_get(gpu, "instance-profiles"), i, profile) {
                json_int_t count = json_integer_value(json_object_get(profile, "count"));

                if (json_equal(json_object_get(profile, "id"), json_object_get(type, "instance-profile")) && count > 0)
                        return json_integer_value(json_object_get(type, "max")) / count;
        }
        return json_integer_value(json_object_get(type, "max"));
}

static json_t *types_of_model(json_t *gpu) {
        json_t *array = json_array(), *type;
        size_t i;

        json_array_foreach(json_object_get(gpu, "types"), i, type) {
                json_int_t gib = json_integer_value(json_object_get(type, "framebuffer-mib")) / MIB_PER_GIB;
                json_t *entry = json_pack("{s:O, s:O, s:I, s:O, s:I}", "id", json_object_get(type, "id"), "name",
                                          json_object_get(type, "name"), "gib", gib, "available",
                                          json_object_get(type, "max"), "per-instance", per_instance(gpu, type));

                if (!entry)
                        continue;
                if (json_object_get(type, "placement-size"))
                        json_object_set(entry, "size", json_object_get(type, "placement-size"));
                if (json_object_get(type, "placements"))
                        json_object_set(entry, "placements", json_object_get(type, "placements"));
                if (json_object_get(type, "instance-profile"))
                        json_object_set(entry, "profile", json_object_get(type, "instance-profile"));
                json_array_append_new(array, entry);
        }
        return array;
}

int gpu_models_join(json_t *root, const char *path) {
        json_t *device, *gpu;
        size_t i;

        json_array_foreach(json_object_get(root, "devices"), i, device) {
                json_t *other = json_incref(json_object_get(device, "nvml"));
                const char *name = json_is_object(other) ? json_text(other, "model", NULL) : json_string_value(other);

                gpu = name ? load_model(path, name) : NULL;
                if (json_is_object(gpu) && json_is_object(other)) {
                        json_object_update(gpu, other);
                        json_object_del(gpu, "model");
                }
                json_decref(other);
                if (!name)
                        continue;
                if (!json_is_object(gpu))
                        return -EINVAL;
                json_object_set_new(device, "nvml", gpu);
                json_object_set(gpu, "address", json_object_get(device, "bdf"));
                /* A function that makes mediated devices itself has its types described. */
                if (!json_object_get(device, "vgpu") && !json_object_get(device, "mdev"))
                        json_object_set_new(device, "vgpu", types_of_model(gpu));
        }
        return 0;
}

/* ---- inside the host ---- */

static int write_models(json_t *gpus) {
        json_t *root = json_pack("{s:s, s:O}", "kernel", SIMHOST_FS "/device/%s/gpu-state", "gpus", gpus);
        int r = json_dump_file(root, MODELS, JSON_INDENT(1)) < 0 ? -EIO : 0;

        json_decref(root);
        return r < 0 || chmod(MODELS, 0644) < 0 || setenv("FAKE_NVML", MODELS, 1) < 0 ? -EIO : 0;
}

/* A layer over /usr/lib, in which a folder cannot be made. */
static int put_tool(void) {
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        _cleanup_fclose_ FILE *f = NULL;

        if (n < 0 || mkdir(TOOL_LAYER, 0755) < 0 || mkdir(TOOL_LAYER "/nvidia", 0755) < 0)
                return -errno;
        self[n] = '\0';
        f = fopen(TOOL_LAYER "/nvidia/sriov-manage", "wxe");
        if (!f || fprintf(f, "#!/bin/sh\nexec '%s' sriov-manage \"$@\"\n", self) < 0 || fchmod(fileno(f), 0755) < 0 ||
            fflush(f) != 0)
                return -errno;
        if (mount("simhost", "/usr/lib", "overlay", MS_RDONLY, "lowerdir=" TOOL_LAYER ":/usr/lib") < 0) {
                int r = -errno;

                complain("cannot put sriov-manage into /usr/lib/nvidia: %s", strerror(-r));
                return r;
        }
        return 0;
}

int gpu_models_install(const Description *d) {
        json_t *gpus = json_array();
        int r = 0;

        for (size_t i = 0; i < d->n_devices; i++)
                if (d->devices[i].nvml)
                        json_array_append(gpus, d->devices[i].nvml);
        if (json_array_size(gpus) > 0) {
                r = write_models(gpus);
                if (r >= 0)
                        r = put_tool();
        }
        json_decref(gpus);
        return r;
}

/* ---- the tool ---- */

/* "3b:00.0", "0000:3b:00.0", "00000000:3B:00.0" */
static int normal_address(const char *text, char ret[static PCI_ADDRESS_LENGTH + 1]) {
        unsigned domain = 0, bus, device, function;
        int end = 0;

        if (!(sscanf(text, "%x:%x:%x.%x%n", &domain, &bus, &device, &function, &end) == 4 && text[end] == '\0')) {
                domain = 0;
                if (!(sscanf(text, "%x:%x.%x%n", &bus, &device, &function, &end) == 3 && text[end] == '\0'))
                        return -EINVAL;
        }
        if (domain > UINT16_MAX || bus > UINT8_MAX || device > 31 || function > 7)
                return -EINVAL;
        (void) snprintf(ret, PCI_ADDRESS_LENGTH + 1, "%04x:%02x:%02x.%x", domain & UINT16_MAX, bus & UINT8_MAX, device & 31,
                        function & 7);
        return 0;
}

static int order(bool on, const char *bdf) {
        _cleanup_close_ int fd = open(SIMHOST_CONTROL "/sriov-manage", O_WRONLY | O_CLOEXEC);
        char text[64];
        int n = snprintf(text, sizeof(text), "%s %s\n", on ? "on" : "off", bdf);

        if (fd < 0 || write(fd, text, (size_t) n) != n) {
                int r = -errno;

                (void) fprintf(stderr,
                               r == -EAGAIN  ? "Cannot obtain unbindLock for %s\n"
                               : r == -EBUSY ? "GPU at %s is in use\n"
                                             : "%s: no GPU with the NVIDIA driver and virtual functions\n",
                               bdf);
                return r;
        }
        (void) printf("%s VFs on %s\n", on ? "Enabling" : "Disabling", bdf);
        return 0;
}

int sriov_manage(bool on, const char *which) {
        _cleanup_closedir_ DIR *d = NULL;
        char bdf[PCI_ADDRESS_LENGTH + 1];
        struct dirent *e;
        int r = 0;
        Path p;

        if (!string_equal(which, "ALL")) {
                if (normal_address(which, bdf) >= 0)
                        return order(on, bdf);
                (void) fprintf(stderr, "'%s' is no PCI address\n", which);
                return -EINVAL;
        }
        d = opendir("/sys/bus/pci/drivers/nvidia");
        while (d && (e = readdir(d))) {
                int one;

                if (normal_address(e->d_name, bdf) < 0 ||
                    access(path_make(&p, "/sys/bus/pci/devices/%s/sriov_totalvfs", bdf), F_OK) < 0)
                        continue;
                one = order(on, bdf);
                if (one < 0)
                        r = one;
        }
        return r;
}
