/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A module that the loader has to refuse: what is wrong with it is chosen when it is compiled. */

#include <passthroughd/module.h>

#ifndef ABI_MAJOR
#define ABI_MAJOR PT_ABI_MAJOR
#endif
#ifndef ABI_MINOR
#define ABI_MINOR PT_ABI_MINOR
#endif
#ifndef TYPE
#define TYPE "faulty"
#endif
#ifndef FIELD
#define FIELD "address"
#endif
#ifndef PLAN
#define PLAN plan
#endif
#ifndef STRUCT_SIZE
#define STRUCT_SIZE sizeof(PtModule)
#endif

static int describe(PtContext *ctx, const PtDevice *device) {
        return ctx->services->put_name(ctx, "Nobody", device->sysname);
}

static int uses(PtContext *ctx, const PtDevice *device) {
        return ctx->services->put_key(ctx, "faulty:one", true);
}

static inline int plan(PtContext *ctx, const PtRequest *request) {
        return 0;
}

static int guest(PtContext *ctx, const PtRequest *request) {
        return 0;
}

static const PtFilter filters[] = { { .subsystem = "pci", .vendor = -1, .class_code = -1 }, { 0 } };

static const PtField fields[] = {
        { .name = FIELD, .type = PT_STRING, .doc = "Where it is." },
        { 0 },
};

static const PtModule module = {
        .abi_major = ABI_MAJOR,
        .abi_minor = ABI_MINOR,
        .struct_size = STRUCT_SIZE,
        .type = TYPE,
        .title = "Faulty",
        .version = "1",
        .documentation = "man:passthroughd-module(7)",
        .default_class = "faulty",
        .filters = filters,
        .fields = fields,
        .describe = describe,
        .uses = uses,
        .plan = PLAN,
        .guest = guest,
};

#ifdef NO_DESCRIPTOR
__attribute__((visibility("default"))) const PtModule *pt_module_descriptor(void);
const PtModule *pt_module_descriptor(void) {
        return sizeof(module) ? NULL : &module;
}
#elif defined(NO_ENTRY)
__attribute__((visibility("default"))) const PtModule *another_name(void);
const PtModule *another_name(void) {
        return &module;
}
#else
PT_MODULE_DEFINE(module)
#endif
