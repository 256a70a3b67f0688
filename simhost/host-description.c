/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-description.h"

#include <stddef.h>

#include "pci-types.h"

typedef enum FieldKind {
        FIELD_TEXT,   /* null is allowed and means: none */
        FIELD_NUMBER, /* a number, or text in hex as in "10de" and "0x030200" */
        FIELD_FLAG,
        FIELD_GROUP, /* a number, or "none" */
        FIELD_OBJECT,
        FIELD_ARRAY,
        FIELD_TAKEN, /* read before the others */
} FieldKind;

typedef struct Field {
        const char *key;
        FieldKind kind;
        unsigned offset;
        int max;
} Field;

#define DEVICE(member) offsetof(PciSpec, member)
#define SRIOV(member) offsetof(SriovSpec, member)

static const Field device_fields[] = {
        { "bdf", FIELD_TAKEN, 0, 0 },
        { "type", FIELD_TAKEN, 0, 0 },
        { "comment", FIELD_TAKEN, 0, 0 },
        { "natural", FIELD_TAKEN, 0, 0 },
        { "sriov", FIELD_TAKEN, 0, 0 },
        { "parent", FIELD_TEXT, DEVICE(parent), 0 },
        { "vendor", FIELD_NUMBER, DEVICE(vendor), 0xffff },
        { "device", FIELD_NUMBER, DEVICE(device), 0xffff },
        { "subsystem-vendor", FIELD_NUMBER, DEVICE(subvendor), 0xffff },
        { "subsystem-device", FIELD_NUMBER, DEVICE(subdevice), 0xffff },
        { "class", FIELD_NUMBER, DEVICE(class), 0xffffff },
        { "revision", FIELD_NUMBER, DEVICE(revision), 0xff },
        { "vendor-name", FIELD_TEXT, DEVICE(vendor_name), 0 },
        { "device-name", FIELD_TEXT, DEVICE(device_name), 0 },
        { "driver", FIELD_TEXT, DEVICE(driver), 0 },
        { "reset", FIELD_TEXT, DEVICE(reset), 0 },
        { "slot", FIELD_TEXT, DEVICE(slot), 0 },
        { "link-speed", FIELD_TEXT, DEVICE(link_speed), 0 },
        { "link-width", FIELD_NUMBER, DEVICE(link_width), 32 },
        { "label", FIELD_TEXT, DEVICE(label), 0 },
        { "acpi-index", FIELD_NUMBER, DEVICE(acpi_index), 16383 },
        { "serial", FIELD_TEXT, DEVICE(dsn), 0 },
        { "group", FIELD_GROUP, DEVICE(group), 65535 },
        { "numa", FIELD_NUMBER, DEVICE(numa), 1023 },
        { "bus", FIELD_NUMBER, DEVICE(bus), 255 },
        { "boot-vga", FIELD_FLAG, DEVICE(boot_vga), 0 },
        { "express", FIELD_FLAG, DEVICE(express), 0 },
        { "multifunction", FIELD_FLAG, DEVICE(multifunction), 0 },
        { "vpd", FIELD_OBJECT, DEVICE(vpd), 0 },
        { "net", FIELD_ARRAY, DEVICE(net), 0 },
        { "nvme", FIELD_OBJECT, DEVICE(nvme), 0 },
        { "mdev", FIELD_ARRAY, DEVICE(mdev), 0 },
        { "vgpu", FIELD_ARRAY, DEVICE(vgpu), 0 },
        { "nvml", FIELD_OBJECT, DEVICE(nvml), 0 },
        { "usb", FIELD_ARRAY, DEVICE(usb), 0 },
        { "attributes", FIELD_OBJECT, DEVICE(attributes), 0 },
};

static const Field sriov_fields[] = {
        { "total", FIELD_NUMBER, SRIOV(total), 65535 },
        { "vfs", FIELD_NUMBER, SRIOV(vfs), 65535 },
        { "offset", FIELD_NUMBER, SRIOV(offset), 65535 },
        { "stride", FIELD_NUMBER, SRIOV(stride), 65535 },
        { "vf-device", FIELD_NUMBER, SRIOV(vf_device), 0xffff },
        { "vf-driver", FIELD_TEXT, SRIOV(vf_driver), 0 },
        { "vf-name", FIELD_TEXT, SRIOV(vf_name), 0 },
        { "vf-net", FIELD_FLAG, SRIOV(vf_net), 0 },
        { "refuse", FIELD_TEXT, SRIOV(refuse), 0 },
};

static const char *const host_keys[] = {
        "comment", "cmdline", "iommu", "cpu", "vfio", "drivers", "natural", "devices", "generated", "files", "links",
};

const char *json_text(json_t *object, const char *key, const char *otherwise) {
        json_t *v = json_object_get(object, key);

        return json_is_string(v) ? json_string_value(v) : otherwise;
}

int json_number(json_t *object, const char *key, int otherwise) {
        json_t *v = json_object_get(object, key);

        return json_is_integer(v) ? (int) json_integer_value(v) : otherwise;
}

static int read_number(json_t *value, int max, int *ret) {
        uint64_t v;

        if (json_is_integer(value)) {
                json_int_t i = json_integer_value(value);

                if (i < -1 || i > max)
                        return -ERANGE;
                *ret = (int) i;
                return 0;
        }
        if (!json_is_string(value) || string_to_u64(json_string_value(value), 16, &v) < 0)
                return -EINVAL;
        if (v > (uint64_t) max)
                return -ERANGE;
        *ret = (int) v;
        return 0;
}

static int read_field(const Field *f, json_t *value, void *to) {
        void *member = (char *) to + f->offset;

        switch (f->kind) {
        case FIELD_TEXT:
                if (!json_is_string(value) && !json_is_null(value))
                        return -EINVAL;
                *(const char **) member = json_string_value(value);
                return 0;
        case FIELD_NUMBER:
                return read_number(value, f->max, member);
        case FIELD_FLAG:
                if (!json_is_boolean(value))
                        return -EINVAL;
                *(int *) member = json_is_true(value);
                return 0;
        case FIELD_GROUP:
                if (json_is_string(value) && string_equal(json_string_value(value), "none")) {
                        *(int *) member = GROUP_NONE;
                        return 0;
                }
                return json_is_integer(value) ? read_number(value, f->max, member) : -EINVAL;
        case FIELD_OBJECT:
        case FIELD_ARRAY:
                if (f->kind == FIELD_OBJECT ? !json_is_object(value) : !json_is_array(value))
                        return -EINVAL;
                *(json_t **) member = value;
                return 0;
        case FIELD_TAKEN:
                return 0;
        default:
                return -EINVAL;
        }
}

static int read_fields(const Field *fields, size_t n, json_t *object, const char *whose, void *to) {
        const char *key;
        json_t *value;

        json_object_foreach(object, key, value) {
                const Field *f = NULL;
                int r;

                for (size_t i = 0; i < n && !f; i++)
                        if (string_equal(fields[i].key, key))
                                f = &fields[i];
                if (!f) {
                        complain("%s: there is no field '%s'", whose, key);
                        return -EINVAL;
                }
                r = read_field(f, value, to);
                if (r < 0) {
                        complain("%s: the value of '%s' is not valid", whose, key);
                        return r;
                }
        }
        return 0;
}

static int read_device(json_t *object, PciSpec *spec) {
        const char *bdf = json_text(object, "bdf", ""), *type = json_text(object, "type", NULL);
        json_t *sriov = json_object_get(object, "sriov");
        int r;

        if (pci_address_parse(bdf, &spec->address) < 0) {
                complain("'%s' is not a PCI address (0000:00:00.0)", bdf);
                return -EINVAL;
        }
        pci_address_format(&spec->address, spec->bdf);
        spec->group = GROUP_OWN;
        spec->numa = spec->bus = spec->acpi_index = spec->boot_vga = -1;
        if (type && !pci_type_apply(type, spec)) {
                pci_type_complain(type);
                return -EINVAL;
        }
        if (spec->class == 0x030000)
                spec->boot_vga = 0;

        r = read_fields(device_fields, ELEMENTS(device_fields), object, spec->bdf, spec);
        if (r < 0)
                return r;
        if (sriov) {
                r = read_fields(sriov_fields, ELEMENTS(sriov_fields), sriov, spec->bdf, &spec->sriov);
                if (r < 0)
                        return r;
        }
        if (json_object_get(object, "natural"))
                spec->natural = json_text(object, "natural", NULL);
        if (spec->vendor == 0 || spec->class == 0) {
                complain("%s: needs a type, or a vendor and a class", spec->bdf);
                return -EINVAL;
        }
        if (spec->sriov.refuse && errno_from_name(spec->sriov.refuse) == 0) {
                complain("%s: '%s' is no errno", spec->bdf, spec->sriov.refuse);
                return -EINVAL;
        }
        if (spec->sriov.vfs > spec->sriov.total) {
                complain("%s: has more VFs than sriov.total", spec->bdf);
                return -EINVAL;
        }
        return 0;
}

/* Paths of the host, each with a text. */
static int read_further(json_t *root, const char *key, json_t **ret) {
        json_t *object = json_object_get(root, key), *value;
        const char *path;

        if (object && !json_is_object(object)) {
                complain("'%s' is no object", key);
                return -EINVAL;
        }
        json_object_foreach(object, path, value) {
                if (path[0] == '/' && strchr(path + 1, '/') && path[strlen(path) - 1] != '/' && !strstr(path, "/../") &&
                    json_is_string(value) && (*json_string_value(value) == '/' || !string_equal(key, "links")))
                        continue;
                complain("%s: '%s': needs an absolute path, and a text (of a link: another absolute path)", key, path);
                return -EINVAL;
        }

        *ret = object;
        return 0;
}

static int read_natural(Description *d, json_t *array) {
        json_t *entry;
        size_t i;

        d->natural = allocate(json_array_size(array) * sizeof(NaturalSpec));
        json_array_foreach(array, i, entry) {
                const char *driver = json_text(entry, "driver", NULL);
                NaturalSpec *n = &d->natural[d->n_natural];

                if (!driver || read_number(json_object_get(entry, "vendor"), 0xffff, &n->vendor) < 0 ||
                    read_number(json_object_get(entry, "device"), 0xffff, &n->device) < 0) {
                        complain("natural[%zu]: needs vendor, device and driver", i);
                        return -EINVAL;
                }
                n->driver = driver;
                d->n_natural++;
        }
        return 0;
}

static int compare_devices(const void *a, const void *b) {
        const PciSpec *x = a, *y = b;

        return strcmp(x->bdf, y->bdf);
}

/* A device's parent and its parent's bus number say the same thing; either may be left out. */
static int join_parent(Description *d, PciSpec *spec) {
        if (!spec->parent)
                return 0;
        for (size_t i = 0; i < d->n_devices; i++) {
                PciSpec *bridge = &d->devices[i];

                if (!string_equal(bridge->bdf, spec->parent))
                        continue;
                if (bridge->bus < 0)
                        bridge->bus = spec->address.bus;
                if (bridge->bus != spec->address.bus || bridge->address.domain != spec->address.domain ||
                    bridge->bus <= bridge->address.bus) {
                        complain("%s can't be behind %s, which leads to bus %02x", spec->bdf, bridge->bdf,
                                 (unsigned) bridge->bus);
                        return -EINVAL;
                }
                return 0;
        }
        complain("%s: its parent %s is not described", spec->bdf, spec->parent);
        return -EINVAL;
}

static int check_devices(Description *d) {
        /* In the order of addresses a bridge always comes before what lies behind it. */
        qsort(d->devices, d->n_devices, sizeof(PciSpec), compare_devices);
        for (size_t i = 0; i < d->n_devices; i++) {
                int r;

                if (i > 0 && string_equal(d->devices[i - 1].bdf, d->devices[i].bdf)) {
                        complain("%s is described twice", d->devices[i].bdf);
                        return -EEXIST;
                }
                r = join_parent(d, &d->devices[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_host(Description *d) {
        json_t *devices = json_object_get(d->root, "devices"), *entry;
        const char *key;
        size_t i;
        int r;

        json_object_foreach(d->root, key, entry) {
                bool known = false;

                for (size_t k = 0; k < ELEMENTS(host_keys); k++)
                        known |= string_equal(host_keys[k], key);
                if (!known) {
                        complain("a host has no field '%s'", key);
                        return -EINVAL;
                }
        }

        d->iommu = json_text(d->root, "iommu", "intel");
        d->cpu = json_text(d->root, "cpu", "intel");
        d->cmdline = json_text(d->root, "cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/nvme0n1p2 ro quiet");
        d->vfio = !json_is_false(json_object_get(d->root, "vfio"));
        d->drivers = json_object_get(d->root, "drivers");
        r = read_natural(d, json_object_get(d->root, "natural"));
        if (r >= 0)
                r = read_further(d->root, "files", &d->files);
        if (r >= 0)
                r = read_further(d->root, "links", &d->links);
        if (r < 0)
                return r;

        if (!json_is_array(devices)) {
                complain("a host needs an array 'devices'");
                return -EINVAL;
        }
        d->devices = allocate(json_array_size(devices) * sizeof(PciSpec));
        json_array_foreach(devices, i, entry) {
                r = read_device(entry, &d->devices[d->n_devices++]);
                if (r < 0)
                        return r;
        }

        return check_devices(d);
}

int description_parse(json_t *root, Description **ret) {
        _cleanup_(description_freep) Description *d = allocate(sizeof(*d));
        int r;

        d->root = root;
        r = read_host(d);
        if (r < 0)
                return r;

        *ret = d;
        d = NULL;
        return 0;
}

int description_load(const char *path, Description **ret) {
        json_error_t error;
        json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

        if (!root) {
                complain("%s:%d: %s", path, error.line, error.text);
                return -EINVAL;
        }
        return description_parse(root, ret);
}

Description *description_free(Description *d) {
        if (!d)
                return NULL;
        json_decref(d->root);
        free(d->devices);
        free(d->natural);
        free(d);
        return NULL;
}
