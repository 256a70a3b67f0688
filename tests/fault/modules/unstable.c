/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A module that is in order until PT_UNSTABLE says otherwise: "OP:HOW" with OP one of its ops and HOW one of segfault, abort,
 * exit, recursion, hang. It offers the NVMe disks of the host, which only its own core step, or its custom step, touches.
 *
 * Their slow field reads "slow". With "observe:file:PATH" it is what that file has, and can't be read while there is none; with
 * "observe:wait:PATH" the reading says that it began by a file PATH.begun, and does not end before there is PATH. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <passthroughd/module.h>

static volatile int depth;

static int recurse(volatile char *above) {
        volatile char frame[4096];

        frame[0] = above[0];
        depth++;
        return depth > 0 ? recurse(frame) + frame[0] : 0; /* no end, but none that a compiler can see */
}

static void misbehave(const char *op) {
        const char *order = getenv("PT_UNSTABLE");
        volatile int *nowhere = NULL;
        volatile char bottom = 0;
        const char *how;

        if (!order || strncmp(order, op, strlen(op)) != 0 || order[strlen(op)] != ':')
                return;
        how = order + strlen(op) + 1;
        if (strcmp(how, "segfault") == 0)
                *nowhere = 1;
        else if (strcmp(how, "abort") == 0)
                abort();
        else if (strcmp(how, "exit") == 0)
                exit(0);
        else if (strcmp(how, "hang") == 0)
                for (;;)
                        (void) pause();
        else if (strcmp(how, "recursion") == 0)
                (void) recurse(&bottom);
}

static int describe(PtContext *ctx, const PtDevice *device) {
        int r;

        misbehave("describe");
        r = ctx->services->put_field(ctx, 0, &PT_VALUE_STRING(device->sysname));
        return r < 0 ? r : ctx->services->put_name(ctx, "Nobody", device->sysname);
}

/* The path of an order "observe:HOW:PATH", NULL for another. */
static const char *observe_path(const char *how) {
        const char *order = getenv("PT_UNSTABLE");

        return order && strncmp(order, how, strlen(how)) == 0 ? order + strlen(how) : NULL;
}

static void wait_for(const char *path) {
        char begun[256];

        (void) snprintf(begun, sizeof(begun), "%s.begun", path);
        (void) close(open(begun, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        while (access(path, F_OK) < 0)
                (void) usleep(10000);
}

static int observe(PtContext *ctx, const PtDevice *device) {
        const char *path = observe_path("observe:file:"), *gate = observe_path("observe:wait:");
        char text[64] = "slow";
        ssize_t n;
        int fd;

        misbehave("observe");
        if (gate)
                wait_for(gate);
        if (path || gate) {
                fd = open(path ? path : gate, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        return -EIO;
                n = read(fd, text, sizeof(text) - 1);
                (void) close(fd);
                if (n <= 0)
                        return -EIO;
                text[n] = '\0';
        }
        return ctx->services->put_field(ctx, 1, &PT_VALUE_STRING(text));
}

static int identity(PtContext *ctx, const PtDevice *device) {
        char condition[128];
        PtValue slow;

        if (ctx->services->get_field(ctx, device, "slow", &slow) < 0 || slow.type != PT_STRING || !slow.s)
                return 0;
        (void) snprintf(condition, sizeof(condition), "slow = \"%s\"", slow.s);
        return ctx->services->put_identity(ctx, &(PtIdentity) { .kind = "slow", .strength = 90, .condition = condition });
}

static int uses(PtContext *ctx, const PtDevice *device) {
        misbehave("uses");
        return ctx->services->put_key(ctx, device->id, true);
}

static int check(PtContext *ctx, const PtDevice *device, const PtRequest *request) {
        misbehave("check");
        return 0;
}

static int plan(PtContext *ctx, const PtRequest *request) {
        int r;

        misbehave("plan");
        if (request->verb != PT_VERB_ACTIVATE)
                return 0;
        r = ctx->services->put_step(ctx, &(PtStep) {
                                                 .kind = PT_STEP_SET_DRIVER,
                                                 .flags = PT_STEP_IDEMPOTENT,
                                                 .device = request->device->id,
                                                 .value = "vfio-pci",
                                                 .sentence = "bind it to vfio-pci",
                                         });
        if (r < 0)
                return r;
        return ctx->services->put_step(ctx, &(PtStep) {
                                                    .kind = PT_STEP_CUSTOM,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = request->device->id,
                                                    .name = "touch",
                                                    .sentence = "touch it",
                                            });
}

static int guest(PtContext *ctx, const PtRequest *request) {
        misbehave("guest");
        return ctx->services->put_attachment(ctx, &(PtAttachment) {
                                                          .struct_size = sizeof(PtAttachment),
                                                          .device = request->device->id,
                                                          .driver = "vfio-pci",
                                                          .libvirt_type = "pci",
                                                          .address = request->device->sysname,
                                                          .nodes = (const char *const[]) { NULL },
                                                  });
}

static int touch_observe(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        misbehave("step-observe");
        return ctx->services->put_observed(ctx, "untouched");
}

static int touch_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        misbehave("step-run");
        return 0;
}

static int touch_undo(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        misbehave("step-undo");
        return strcmp(observed, "untouched") == 0 ? 0 : -EBADMSG;
}

/* "note" is the call before an activation, "health" the one after the give-back. */
static int health(PtContext *ctx, const PtDevice *device) {
        misbehave(ctx->services->get_noted(ctx) ? "health" : "note");
        return ctx->services->put_observed(ctx, "seen");
}

static const PtFilter filters[] = {
        { .subsystem = "pci", .vendor = -1, .class_code = 0x010802, .class_mask = 0xffffff },
        { 0 },
};

static const PtField fields[] = {
        { .name = "slot", .type = PT_STRING, .flags = PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE, .doc = "Address." },
        { .name = "slow", .type = PT_STRING, .flags = PT_FIELD_SLOW | PT_FIELD_MATCHABLE, .doc = "Read by the worker." },
        { 0 },
};

static const PtCustomStep steps[] = {
        { .name = "touch", .observe = touch_observe, .run = touch_run, .undo = touch_undo },
        { 0 },
};

static const PtModule module = {
        .abi_major = PT_ABI_MAJOR,
        .abi_minor = PT_ABI_MINOR,
        .struct_size = sizeof(PtModule),
        .type = "unstable",
        .title = "Unstable",
        .version = "1",
        .documentation = "man:passthroughd-module(7)",
        .default_class = "unstable",
        .filters = filters,
        .fields = fields,
        .custom_steps = steps,
        .describe = describe,
        .observe = observe,
        .identity = identity,
        .uses = uses,
        .check = check,
        .plan = plan,
        .guest = guest,
        .health = health,
};

PT_MODULE_DEFINE(module)
