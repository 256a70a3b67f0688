/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "lib/parse.h"
#include "source-internal.h"

/* Names that follow from the modalias alone, so that they are the same for all devices of a model. */
static const char *const model_keys[] = {
        "ID_VENDOR_FROM_DATABASE",       "ID_MODEL_FROM_DATABASE",         "ID_PCI_CLASS_FROM_DATABASE",
        "ID_PCI_SUBCLASS_FROM_DATABASE", "ID_PCI_INTERFACE_FROM_DATABASE",
};

#define MODEL_VENDOR 0
#define MODEL_NAME 1

struct ModelNames {
        const char *values[ELEMENTSOF(model_keys)]; /* interned, NULL for none */
        UT_hash_handle hh;
        char modalias[];
};

#define MODALIAS_SIZE 256
#define NO_DEVICE_NUMBER "0:0" /* of a simulated host's nodes, which are plain files */

/* ---- udev's record of a device ---- */

static bool record_name(Source *source, const HostDevice *host, char *ret, size_t size) {
        const char *text;
        int n;

        text = round_attribute(source, "dev");
        if (text && !streq(text, NO_DEVICE_NUMBER))
                n = snprintf(ret, size, "run/udev/data/%c%s", streq(host->subsystem, "block") ? 'b' : 'c',
                             text);
        else if (streq(host->subsystem, "net") && (text = round_attribute(source, "ifindex")))
                n = snprintf(ret, size, "run/udev/data/n%s", text);
        else
                n = snprintf(ret, size, "run/udev/data/+%s:%s", host->subsystem, host->sysname);
        return n > 0 && (size_t) n < size;
}

/* Reads the record once a round and makes each of its lines a string. Returns whether there is one. */
static bool load_record(Source *source, const HostDevice *host) {
        Round *round = &source->round;
        char path[SOURCE_NAME_MAX * 2];

        if (!round->record_known) {
                round->record_known = true;
                round->record_length = -ENOENT;
                if (record_name(source, host, path, sizeof(path)))
                        round->record_length = attribute_read(source->sysfs.root_fd, path, round->record,
                                                              sizeof(round->record));
                for (ssize_t i = 0; i < round->record_length; i++)
                        if (round->record[i] == '\n')
                                round->record[i] = '\0';
        }
        return round->record_length >= 0;
}

static const char *record_property(Source *source, const HostDevice *host, const char *key) {
        const Round *round = &source->round;
        size_t length = strlen(key);

        if (!load_record(source, host))
                return NULL;
        for (const char *line = round->record; line < round->record + round->record_length;
             line += strlen(line) + 1)
                if (line[0] == 'E' && line[1] == ':' && strncmp(line + 2, key, length) == 0 &&
                    line[2 + length] == '=')
                        return line + 2 + length + 1;
        return NULL;
}

/* ---- the hardware database ---- */

static uint32_t id_of(Source *source, const char *attribute) {
        const char *text = round_attribute(source, attribute);
        uint32_t value = 0;

        if (text)
                (void) parse_hex32(text, &value);
        return value;
}

/* Made from attributes that are read anyway, instead of reading one more. */
static bool modalias_of(Source *source, const HostDevice *host, char ret[static MODALIAS_SIZE]) {
        const char *text;
        int n;

        if (streq(host->subsystem, "pci"))
                n = snprintf(ret, MODALIAS_SIZE, "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X", host->vendor,
                             host->product, id_of(source, "subsystem_vendor"),
                             id_of(source, "subsystem_device"), host->class_code >> 16 & 0xff,
                             host->class_code >> 8 & 0xff, host->class_code & 0xff);
        else if (streq(host->subsystem, "usb"))
                n = snprintf(ret, MODALIAS_SIZE, "usb:v%04Xp%04X", id_of(source, "idVendor"),
                             id_of(source, "idProduct"));
        else if ((text = round_attribute(source, "modalias")))
                n = snprintf(ret, MODALIAS_SIZE, "%s", text);
        else
                return false;
        return n > 0 && n < MODALIAS_SIZE;
}

static const char *hwdb_property(Source *source, const char *modalias, const char *key) {
        struct udev_list_entry *entry;

        if (!source->hwdb && !source->hwdb_tried) {
                source->hwdb = udev_hwdb_new(source->udev);
                source->hwdb_tried = true;
        }
        if (!source->hwdb)
                return NULL;
        udev_list_entry_foreach(entry, udev_hwdb_get_properties_list_entry(source->hwdb, modalias, 0))
                if (streq(udev_list_entry_get_name(entry), key))
                        return udev_list_entry_get_value(entry);
        return NULL;
}

static void free_model(Source *source, ModelNames *model) {
        for (size_t i = 0; i < ELEMENTSOF(model_keys); i++)
                intern_unref(source->interner, model->values[i]);
        free(model);
}

static ModelNames *find_model(Source *source, const HostDevice *host, const char *modalias) {
        size_t length = strlen(modalias);
        ModelNames *model;

        HASH_FIND(hh, source->models, modalias, length, model);
        if (model)
                return model;

        model = calloc(1, offsetof(ModelNames, modalias) + length + 1);
        if (!model)
                return NULL;
        memcpy(model->modalias, modalias, length + 1);
        for (size_t i = 0; i < ELEMENTSOF(model_keys); i++)
                model->values[i] = intern(source->interner, record_property(source, host, model_keys[i]));
        /* The record has all that udev found in the database; only without names there is more to be found. */
        if (!model->values[MODEL_VENDOR] && !model->values[MODEL_NAME])
                for (size_t i = 0; i < ELEMENTSOF(model_keys); i++)
                        if (!model->values[i])
                                model->values[i] = intern(source->interner,
                                                          hwdb_property(source, modalias, model_keys[i]));

        /* What a record that udev is yet to write may say is not known to be nothing. */
        if (!model->values[MODEL_NAME] && !load_record(source, host) &&
            sysfs_exists(&source->sysfs, "/run/udev/control")) {
                free_model(source, model);
                return NULL;
        }
        HASH_ADD_KEYPTR(hh, source->models, model->modalias, length, model);
        return model;
}

void source_close_hwdb(Source *source) {
        if (source->hwdb)
                udev_hwdb_unref(source->hwdb);
        source->hwdb = NULL;
        source->hwdb_tried = false;
}

void source_close_databases(Source *source) {
        ModelNames *model, *next;

        HASH_ITER(hh, source->models, model, next) {
                HASH_DEL(source->models, model);
                free_model(source, model);
        }
        source_close_hwdb(source);
}

static const char *look_up(Source *source, const HostDevice *host, const char *key) {
        char modalias[MODALIAS_SIZE];
        const char *value;
        ModelNames *model;

        for (size_t i = 0; i < ELEMENTSOF(model_keys); i++) {
                if (!streq(model_keys[i], key))
                        continue;
                if (!modalias_of(source, host, modalias))
                        break;
                model = find_model(source, host, modalias);
                return model ? model->values[i] : NULL;
        }

        value = record_property(source, host, key);
        if (!value && modalias_of(source, host, modalias))
                value = hwdb_property(source, modalias, key);
        return value;
}

const char *source_property(Source *source, const HostDevice *host, const char *key) {
        const char *value = NULL;

        if (streq(key, "PT_PHYSICAL_SLOT"))
                return host->slot;

        host = host_device_whole(host);
        /* Another device's round cannot be left; what is asked of a second device then stays unknown. */
        if (source->round.host && source->round.host != host)
                return NULL;
        source_begin_round(source, host);
        if (source->round.host == host)
                value = look_up(source, host, key);
        source_end_round(source, host);
        return value;
}
