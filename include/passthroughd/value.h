/* SPDX-License-Identifier: MIT */
#pragma once

/* Typed values and the schemas that describe them: the fields of a device, the settings of a group.
 *
 * Every string that crosses the interface is UTF-8 and NUL-terminated. A receiver copies what it keeps: values live only
 * as long as the call that passes them. */

#include <stdbool.h>
#include <stdint.h>

/* The letters are the D-Bus type codes, so that a schema can be shown on the bus as it is; PT_STRV is "as" there. */
typedef enum PtType {
        PT_NONE = 0, /* "not known": what a field holds before it was filled */
        PT_BOOL = 'b',
        PT_INT32 = 'i',
        PT_UINT32 = 'u',
        PT_INT64 = 'x',
        PT_UINT64 = 't',
        PT_STRING = 's',
        PT_STRV = 'a',
} PtType;

typedef struct PtValue {
        uint32_t type; /* PtType */
        uint32_t reserved;
        union {
                bool b;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                const char *s;
                const char *const *strv; /* NULL-terminated */
        };
} PtValue;

#define PT_VALUE_BOOL(v) ((PtValue) { .type = PT_BOOL, .b = (v) })
#define PT_VALUE_INT32(v) ((PtValue) { .type = PT_INT32, .i = (v) })
#define PT_VALUE_UINT32(v) ((PtValue) { .type = PT_UINT32, .u = (v) })
#define PT_VALUE_INT64(v) ((PtValue) { .type = PT_INT64, .x = (v) })
#define PT_VALUE_UINT64(v) ((PtValue) { .type = PT_UINT64, .t = (v) })
#define PT_VALUE_STRING(v) ((PtValue) { .type = PT_STRING, .s = (v) })
#define PT_VALUE_STRV(v) ((PtValue) { .type = PT_STRV, .strv = (v) })

typedef enum PtFieldFlags {
        PT_FIELD_CONSTANT = 1 << 0,  /* never changes while the device is there */
        PT_FIELD_MATCHABLE = 1 << 1, /* rules may name it */
        PT_FIELD_SCRUB = 1 << 2,     /* left out of support reports (serials, MAC addresses) */
        PT_FIELD_SLOW = 1 << 3,      /* filled by observe() in the worker, once somebody asks */
        PT_FIELD_VOLATILE = 1 << 4,  /* may differ after a reboot: never stored as an identity */
        /* Since minor 3. A slow field that what is done to the device changes: read once, it is read again after each activation,
         * give-back and reset, and when the network interface of the device or its provider changes. */
        PT_FIELD_FOLLOWED = 1 << 5,
} PtFieldFlags;

/* One field of a device: a column for rules, a property on the bus. */
typedef struct PtField {
        const char *name; /* kebab-case; its CamelCase form is the D-Bus property */
        const char *unit; /* "MiB", "Mbit/s" …; NULL for none */
        const char *doc;  /* one sentence, shown in introspection and by frontends */
        uint32_t type;    /* PtType */
        uint32_t flags;   /* PtFieldFlags */
} PtField;

typedef enum PtSettingFlags {
        PT_SETTING_GROUP = 1 << 0,    /* a group carries it */
        PT_SETTING_CONSUMER = 1 << 1, /* a consumer may give it with its request */
        PT_SETTING_OVERRIDE = 1 << 2, /* a consumer may override the group's value where the group's UserDefined names it */
} PtSettingFlags;

/* One setting. `minimum` and `maximum` (inclusive) bound numbers; both 0 means the type's own range. */
typedef struct PtSetting {
        const char *name; /* kebab-case */
        const char *unit; /* NULL for none */
        const char *doc;
        uint32_t type;  /* PtType; PT_STRV is not a setting type */
        uint32_t flags; /* PtSettingFlags */
        int64_t minimum, maximum;
        const char *const *choices; /* for strings: the valid words, NULL-terminated; NULL = any text */
        const char *default_text;   /* the default, in text form; never NULL */
} PtSetting;
