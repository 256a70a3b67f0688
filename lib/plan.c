/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "id.h"
#include "parse.h"
#include "plan.h"

#define STEP_FLAGS_ALL ((uint32_t) (PT_STEP_IDEMPOTENT | PT_STEP_NO_RETURN | PT_STEP_OPTIONAL | PT_STEP_DEMANDED | PT_STEP_OF_UUID))
#define MODE_ALL 0777u
/* chown(2) takes this for "leave as it is". */
#define ID_UNCHANGED UINT32_MAX

static const char *const step_kind_table[_PT_STEP_MAX] = {
        [PT_STEP_WRITE_ATTRIBUTE] = "write-attribute",
        [PT_STEP_SET_DRIVER] = "set-driver",
        [PT_STEP_RESET] = "reset",
        [PT_STEP_NODE_OWNER] = "node-owner",
        [PT_STEP_LOAD_MODULE] = "load-module",
        [PT_STEP_WAIT] = "wait",
        [PT_STEP_CUSTOM] = "custom",
        [PT_STEP_SET_VF_COUNT] = "set-vf-count",
        [PT_STEP_CREATE_MDEV] = "create-mdev",
};
DEFINE_STRING_TABLE(step_kind, PtStepKind, step_kind_table)

static const char *const verb_table[_PT_VERB_MAX] = {
        [PT_VERB_ACTIVATE] = "activate",
        [PT_VERB_DEACTIVATE] = "deactivate",
        [PT_VERB_RESET] = "reset",
        [PT_VERB_PROVISION] = "provision",
        [PT_VERB_UNPROVISION] = "unprovision",
        [PT_VERB_FOLLOW] = "follow",
};
DEFINE_STRING_TABLE(verb, PtVerb, verb_table)

/* What the name of a step may look like. */
typedef enum NameForm {
        NAME_UNUSED,
        NAME_ENTRY,  /* one entry of the device's directory */
        NAME_NODE,   /* a path below /dev */
        NAME_MODULE, /* a kernel module */
        NAME_PART,   /* a part of the device, an interface: may be missing */
} NameForm;

/* What each kind needs beside the sentence. */
static const struct {
        NameForm name;
        bool device;
        bool value;       /* must be there */
        bool value_empty; /* and may be empty */
} needs[_PT_STEP_MAX] = {
        [PT_STEP_WRITE_ATTRIBUTE] = { .device = true, .name = NAME_ENTRY, .value = true },
        [PT_STEP_SET_DRIVER] = { .device = true, .name = NAME_PART, .value = true, .value_empty = true },
        [PT_STEP_RESET] = { .device = true },
        [PT_STEP_NODE_OWNER] = { .device = true, .name = NAME_NODE },
        [PT_STEP_LOAD_MODULE] = { .name = NAME_MODULE },
        [PT_STEP_WAIT] = { .device = true, .name = NAME_ENTRY },
        [PT_STEP_CUSTOM] = { .device = true, .name = NAME_ENTRY },
        [PT_STEP_SET_VF_COUNT] = { .device = true, .value = true },
        [PT_STEP_CREATE_MDEV] = { .device = true, .name = NAME_ENTRY, .value = true },
};

static bool is_component(const char *name, size_t length) {
        return length > 0 && length <= NAME_MAX && !memchr(name, '/', length) &&
               !(length == 1 && name[0] == '.') && !(length == 2 && name[0] == '.' && name[1] == '.');
}

static bool is_node_path(const char *name) {
        for (;;) {
                size_t length = strcspn(name, "/");

                if (!is_component(name, length))
                        return false;
                if (name[length] == '\0')
                        return true;
                name += length + 1;
        }
}

/* Narrow on purpose: the name becomes part of a unit name and the argument of a program. */
static bool is_module_name(const char *name) {
        size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

        return length > 0 && length <= ID_MAX && name[length] == '\0' && name[0] != '-';
}

static bool name_is_valid(NameForm form, const char *name) {
        if (!text_is_clean(name, PATH_MAX - 1))
                return false;

        switch (form) {
        case NAME_ENTRY:
                return is_component(name, strlen(name));
        case NAME_NODE:
                return is_node_path(name);
        case NAME_MODULE:
                return is_module_name(name);
        case NAME_PART:
                return is_component(name, strlen(name)) && strchr(name, ':');
        case NAME_UNUSED:
        default:
                return true;
        }
}

#define REFUSE(fault, ...) fault_set((fault), -EINVAL, FAULT_INVALID_ARGUMENT, __VA_ARGS__)

static int check_value(const PtStep *step, const char *kind, Fault *fault) {
        char uuid[UUID_TEXT_SIZE];

        if (!step->value) {
                if (needs[step->kind].value)
                        return REFUSE(fault, "A step %s has no value", kind);
                return 0;
        }
        if (strnlen(step->value, ATTRIBUTE_MAX_BYTES + 1) > ATTRIBUTE_MAX_BYTES)
                return REFUSE(fault, "The value of a step %s is longer than %u bytes", kind,
                              ATTRIBUTE_MAX_BYTES);
        if (!utf8_is_valid(step->value))
                return REFUSE(fault, "The value of a step %s is not valid UTF-8", kind);
        if (needs[step->kind].value && !needs[step->kind].value_empty && step->value[0] == '\0')
                return REFUSE(fault, "The value of a step %s is empty", kind);
        if (step->kind == PT_STEP_SET_DRIVER && step->value[0] != '\0' &&
            !name_is_valid(NAME_ENTRY, step->value))
                return REFUSE(fault, "The driver \"%s\" of a step %s is not the name of a driver",
                              step->value, kind);
        if (step->kind == PT_STEP_CREATE_MDEV && (parse_uuid(step->value, uuid) < 0 || !streq(step->value, uuid)))
                return REFUSE(fault, "\"%.64s\" of a step %s is not a UUID in lower case", step->value, kind);
        return 0;
}

static int check_owner(const PtStep *step, const char *kind, Fault *fault) {
        if (step->kind != PT_STEP_NODE_OWNER && step->kind != PT_STEP_CREATE_MDEV)
                return 0;
        if (step->uid == ID_UNCHANGED || step->gid == ID_UNCHANGED)
                return REFUSE(fault, "A step %s names %" PRIu32 ":%" PRIu32 ", which is nobody", kind, step->uid,
                              step->gid);
        if ((step->mode & ~MODE_ALL) != 0)
                return REFUSE(fault, "A step %s has the mode %#" PRIo32 ", which is more than permission bits", kind,
                              step->mode);
        return 0;
}

int step_check(const PtStep *step, Fault *fault) {
        const char *kind = step_kind_to_string((PtStepKind) step->kind);

        if (!kind)
                return REFUSE(fault, "A step has the unknown kind %" PRIu32, step->kind);
        if ((step->flags & ~STEP_FLAGS_ALL) != 0)
                return REFUSE(fault, "A step %s has unknown flags %#" PRIx32, kind, step->flags);
        if (!step->device && needs[step->kind].device)
                return REFUSE(fault, "A step %s names no device", kind);
        if (step->device && !id_is_valid(step->device))
                return REFUSE(fault, "The device of a step %s is not an id", kind);
        if (isempty(step->name) && needs[step->kind].name != NAME_UNUSED &&
            (step->name || needs[step->kind].name != NAME_PART))
                return REFUSE(fault, "A step %s has no name", kind);
        if (step->name && !name_is_valid(needs[step->kind].name, step->name))
                return REFUSE(fault, "The name of a step %s is not one that may be used", kind);
        if (isempty(step->sentence))
                return REFUSE(fault, "A step %s has no sentence", kind);
        if (!text_is_clean(step->sentence, TEXT_MAX_BYTES))
                return REFUSE(fault, "The sentence of a step %s is too long or not clean text", kind);
        if (check_value(step, kind, fault) < 0)
                return -EINVAL;
        return check_owner(step, kind, fault);
}

uint32_t step_timeout_msec(const PtStep *step) {
        return step->timeout_ms > 0 ? step->timeout_ms : STEP_TIMEOUT_MSEC;
}

void step_done(PtStep *step) {
        if (!step)
                return;
        free((char *) step->device);
        free((char *) step->name);
        free((char *) step->value);
        free((char *) step->sentence);
        *step = (PtStep){ 0 };
}

static int copy_member(const char *text, const char **ret) {
        if (!text) {
                *ret = NULL;
                return 0;
        }
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int step_copy(const PtStep *step, PtStep *ret) {
        PtStep copy = *step;

        copy.device = copy.name = copy.value = copy.sentence = NULL;
        if (copy_member(step->device, &copy.device) < 0 || copy_member(step->name, &copy.name) < 0 ||
            copy_member(step->value, &copy.value) < 0 || copy_member(step->sentence, &copy.sentence) < 0) {
                step_done(&copy);
                return -ENOMEM;
        }

        *ret = copy;
        return 0;
}

void plan_done(Plan *plan) {
        if (!plan)
                return;
        for (size_t i = 0; i < plan->n_steps; i++)
                step_done(&plan->steps[i]);
        free(plan->steps);
        *plan = (Plan){ 0 };
}

int plan_append(Plan *plan, const PtStep *step) {
        PtStep copy;
        int r;

        if (plan->n_steps >= STEPS_MAX)
                return -E2BIG;
        r = step_check(step, NULL);
        if (r < 0)
                return r;

        /* The array is full whenever its length is a power of two. */
        if ((plan->n_steps & (plan->n_steps - 1)) == 0) {
                size_t n = plan->n_steps > 0 ? plan->n_steps * 2 : 1;
                PtStep *steps = reallocarray(plan->steps, n, sizeof(PtStep));

                if (!steps)
                        return -ENOMEM;
                plan->steps = steps;
        }
        r = step_copy(step, &copy);
        if (r < 0)
                return r;

        plan->steps[plan->n_steps++] = copy;
        return 0;
}
