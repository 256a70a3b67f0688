/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The scheduler that the groups of a GPU agree on, and what drivers and GPUs refuse of it. */

#include <stdio.h>

#include "lib/parse.h"
#include "vgpu-provision.h"
#include "vgpu-release.h"
#include "vgpu-wants.h"

#define CAPABILITY_MIG_TIME_SLICING "10"
#define FEW_VGPUS 8u /* up to so many the driver's defaults are longer turns */

/* Of drivers, by their branches. Source: NVML API Reference, change log. */
#define BRANCH_SCHEDULER 535u          /* can be set at all */
#define BRANCH_INSTANCE_SCHEDULER 575u /* of a GPU instance */
#define BRANCH_ONLY_STRICT 595u        /* strict round robin is always on */

/* ---- as text ---- */

int vgpu_turns_from_text(const char *text, VgpuTurnList *ret) {
        char copy[VGPU_TURNS_SIZE], *next = copy, *part;
        VgpuTurnList list = { .n = 0 };

        if (strlen(text) >= sizeof(copy))
                return -EINVAL;
        strcpy(copy, text);
        while (*text && (part = strsep(&next, ";"))) {
                VgpuTurn *turn = &list.turns[list.n];
                char *at, *blank;

                part += *part == ' ';
                at = strchr(part, '@');
                if (list.n++ == MIG_INSTANCES_MAX)
                        return -EINVAL;
                turn->profile = VGPU_WHOLE_GPU;
                if (at) {
                        blank = strchr(at, ' ');
                        if (!blank)
                                return -EINVAL;
                        *at = *blank = '\0';
                        if (parse_uint32(part, &turn->profile) < 0 || parse_uint32(at + 1, &turn->start) < 0)
                                return -EINVAL;
                        part = blank + 1;
                }
                if (vgpu_scheduler_from_text(part, &turn->scheduler) < 0)
                        return -EINVAL;
        }
        *ret = list;
        return 0;
}

void vgpu_turns_to_text(const VgpuTurnList *list, char *ret, size_t size) {
        char one[VGPU_SCHEDULER_TEXT_SIZE];
        size_t at = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < list->n && at < size; i++) {
                const VgpuTurn *turn = &list->turns[i];

                vgpu_scheduler_to_text(&turn->scheduler, one);
                if (turn->profile == VGPU_WHOLE_GPU)
                        at += (size_t) snprintf(ret + at, size - at, "%s%s", i > 0 ? "; " : "", one);
                else
                        at += (size_t) snprintf(ret + at, size - at, "%s%u@%u %s", i > 0 ? "; " : "", turn->profile,
                                                turn->start, one);
        }
}

/* ---- what can't be ---- */

static int refuse_driver(PtContext *ctx, const PtDevice *provider, Wants *wants, size_t i, const char *code, const char *what,
                         unsigned branch, bool from) {
        char text[2 * PCI_TEXT_SIZE], remedy[PCI_TEXT_SIZE], title[VGPU_VERSION_SIZE], own[VGPU_VERSION_SIZE];

        vgpu_branch_title(branch, title);
        vgpu_branch_title(vgpu_driver_branch(wants->driver), own);
        (void) snprintf(text, sizeof(text), "Group '%.200s' wants %s on %s, which drivers %s %s have; this one is %s (%s).",
                        wants->sources[i]->group_name, what, provider->sysname, from ? "from" : "before", title, wants->driver,
                        own);
        (void) snprintf(remedy, sizeof(remedy), from ? "Install a driver of %s or later, or set \"scheduler\" to default."
                                                     : "Set strict-round-robin to default and time-slice to 0, or use a driver before %s.",
                        title);
        return vgpu_refuse(ctx, wants, wants->sources[i], code, text, remedy);
}

static int check_branch(PtContext *ctx, const PtDevice *provider, Wants *wants, size_t i) {
        unsigned branch = vgpu_driver_branch(wants->driver);
        bool mig = wants->demands[i].profile->instance != NULL;

        if (branch == 0)
                return 0;
        if (branch < BRANCH_SCHEDULER)
                return refuse_driver(ctx, provider, wants, i, "scheduler-not-offered", "a scheduler", BRANCH_SCHEDULER, true);
        if (mig && branch < BRANCH_INSTANCE_SCHEDULER)
                return refuse_driver(ctx, provider, wants, i, "scheduler-not-offered", "a scheduler of its GPU instances",
                                     BRANCH_INSTANCE_SCHEDULER, true);
        if (branch >= BRANCH_ONLY_STRICT && wants->schedulers[i].round_robin == VGPU_ROUND_ROBIN_OFF)
                return refuse_driver(ctx, provider, wants, i, "round-robin-not-optional", "strict round robin off",
                                     BRANCH_ONLY_STRICT, false);
        return 0;
}

/* A MIG instance up to Hopper is one vGPU's: nobody takes turns there. */
static int check_instance(PtContext *ctx, const PtDevice *provider, Wants *wants, size_t i) {
        const VgpuProfile *profile = wants->demands[i].profile;
        const json_t *capability = json_object_get(json_object_get(wants->gpu, "capabilities"), CAPABILITY_MIG_TIME_SLICING);
        char text[2 * PCI_TEXT_SIZE];

        if (!profile->instance || (profile->per_instance > 1 && (!capability || json_integer_value(capability) == 1)))
                return 0;
        (void) snprintf(text, sizeof(text),
                        "Group '%.200s' wants a scheduler for MIG-backed vGPUs of %s, which are not time-sliced: each has a GPU "
                        "instance, or all of it, for itself.",
                        wants->sources[i]->group_name, provider->sysname);
        return vgpu_refuse(ctx, wants, wants->sources[i], "scheduler-in-mig", text, "Set \"scheduler\" to default.");
}

static bool in_range(const json_t *scheduler, const char *key, json_int_t value, json_int_t *ret_low, json_int_t *ret_high) {
        const json_t *range = json_object_get(scheduler, key);

        *ret_low = json_integer_value(json_array_get(range, 0));
        *ret_high = json_integer_value(json_array_get(range, 1));
        return value == 0 || *ret_high == 0 || (value >= *ret_low && value <= *ret_high);
}

/* Drivers would take the nearest that they can, without a word. */
static int check_ranges(PtContext *ctx, const PtDevice *provider, Wants *wants, size_t i, const json_t *scheduler) {
        const VgpuScheduler *s = &wants->schedulers[i];
        const struct {
                const char *setting, *key;
                json_int_t value, unit;
        } ranges[] = {
                { VGPU_SETTING_FREQUENCY, "frequency", s->frequency, 1 },
                { VGPU_SETTING_AVERAGING, "average", s->average, 1 },
                { VGPU_SETTING_TIME_SLICE, "timeslice", (json_int_t) s->time_slice_ms * 1000000, 1000000 },
        };

        for (size_t k = 0; k < ELEMENTSOF(ranges); k++) {
                char text[2 * PCI_TEXT_SIZE];
                json_int_t low, high;

                if (in_range(scheduler, ranges[k].key, ranges[k].value, &low, &high))
                        continue;
                (void) snprintf(text, sizeof(text), "Group '%.200s' wants %s %lld; the driver of %s takes %lld to %lld.",
                                wants->sources[i]->group_name, ranges[k].setting, (long long) (ranges[k].value / ranges[k].unit),
                                provider->sysname, (long long) (low / ranges[k].unit), (long long) (high / ranges[k].unit));
                return vgpu_refuse(ctx, wants, wants->sources[i], "scheduler-out-of-range", text, NULL);
        }
        return 0;
}

static int check_capabilities(PtContext *ctx, const PtDevice *provider, Wants *wants, size_t i) {
        const json_t *scheduler = json_object_get(wants->gpu, "scheduler"), *policy;
        const VgpuScheduler *s = &wants->schedulers[i];
        char text[2 * PCI_TEXT_SIZE];
        bool offered = false;
        size_t k;

        /* With MIG the driver says nothing of the GPU as a whole. */
        if (!scheduler)
                return 0;
        json_array_foreach(json_object_get(scheduler, "policies"), k, policy)
                offered = offered || json_integer_value(policy) == (json_int_t) s->policy;
        if (!offered) {
                (void) snprintf(text, sizeof(text), "Group '%.200s' wants the scheduler %s, which the driver of %s does not offer.",
                                wants->sources[i]->group_name, vgpu_policy_to_string(s->policy), provider->sysname);
                return vgpu_refuse(ctx, wants, wants->sources[i], "scheduler-not-offered", text, "Set \"scheduler\" to another one.");
        }
        if (json_is_false(json_object_get(scheduler, "arr")) &&
            (s->round_robin == VGPU_ROUND_ROBIN_ON || s->frequency > 0 || s->average > 0)) {
                (void) snprintf(text, sizeof(text), "Group '%.200s' wants strict round robin, which the driver of %s does not offer.",
                                wants->sources[i]->group_name, provider->sysname);
                return vgpu_refuse(ctx, wants, wants->sources[i], "round-robin-not-offered", text,
                                   "Set strict-round-robin to default, scheduler-frequency and scheduler-averaging to 0.");
        }
        return check_ranges(ctx, provider, wants, i, scheduler);
}

static int check_one(PtContext *ctx, const PtDevice *provider, Wants *wants, size_t i) {
        char text[2 * PCI_TEXT_SIZE];
        int r;

        if (wants->layout.mode == VGPU_MODE_MIXED && wants->schedulers[i].policy == VGPU_POLICY_FIXED_SHARE) {
                (void) snprintf(text, sizeof(text),
                                "Group '%.200s' wants the scheduler fixed-share on %s, whose vGPUs are of mixed sizes: shares can't be "
                                "fixed there.",
                                wants->sources[i]->group_name, provider->sysname);
                return vgpu_refuse(ctx, wants, wants->sources[i], "scheduler-and-mixed-sizes", text,
                                   "Set \"scheduler\" to equal-share or best-effort, or give all groups of the GPU profiles of one size.");
        }
        r = check_branch(ctx, provider, wants, i);
        if (r >= 0 && !wants->refused)
                r = check_instance(ctx, provider, wants, i);
        if (r >= 0 && !wants->refused)
                r = check_capabilities(ctx, provider, wants, i);
        return r;
}

/* ---- what it comes to ---- */

/* The defaults that the driver's guide states, so that what is set is said. Where nothing of them is asked for they are the
 * driver's to choose. */
static VgpuScheduler resolve(const VgpuScheduler *wish, unsigned vgpus) {
        VgpuScheduler s = *wish;

        if (s.policy != VGPU_POLICY_EQUAL_SHARE && s.policy != VGPU_POLICY_FIXED_SHARE)
                return s;
        if (s.round_robin == VGPU_ROUND_ROBIN_OFF) {
                if (s.time_slice_ms == 0)
                        s.time_slice_ms = vgpus <= FEW_VGPUS ? 2 : 1;
                return s;
        }
        if (s.round_robin == VGPU_ROUND_ROBIN_DEFAULT && s.frequency == 0 && s.average == 0)
                return s;
        s.round_robin = VGPU_ROUND_ROBIN_ON;
        if (s.frequency == 0)
                s.frequency = vgpus <= FEW_VGPUS ? 480 : 960;
        if (s.average == 0)
                s.average = 33;
        return s;
}

static int put_differ(PtContext *ctx, const PtDevice *provider, Wants *wants, size_t first, size_t second) {
        char text[4 * PCI_TEXT_SIZE], one[VGPU_SCHEDULER_TEXT_SIZE], other[VGPU_SCHEDULER_TEXT_SIZE];

        vgpu_scheduler_to_text(&wants->schedulers[first], one);
        vgpu_scheduler_to_text(&wants->schedulers[second], other);
        (void) snprintf(text, sizeof(text),
                        "Groups '%.200s' and '%.200s' share %s, which has one scheduler: the one wants \"%s\", the other \"%s\".",
                        wants->sources[first]->group_name, wants->sources[second]->group_name, provider->sysname, one, other);
        return vgpu_refuse(ctx, wants, wants->sources[second], "scheduler-conflict", text,
                           "Set the same scheduler for both, or \"default\" for one of them.");
}

static void turns_of_instances(const Wants *wants, VgpuTurnList *ret) {
        const VgpuLayout *l = &wants->layout;

        for (unsigned start = 0; start < MIG_INSTANCES_MAX; start++)
                for (size_t i = 0; i < l->n_instances; i++) {
                        size_t d = l->instances[i].demand;

                        if (l->instances[i].placement.start != start || wants->schedulers[d].policy == VGPU_POLICY_DEFAULT)
                                continue;
                        ret->turns[ret->n++] = (VgpuTurn){
                                .profile = l->instances[i].placement.profile->id,
                                .start = start,
                                .scheduler = resolve(&wants->schedulers[d], wants->demands[d].profile->per_instance),
                        };
                }
}

int vgpu_turns(PtContext *ctx, const PtDevice *provider, Wants *wants, char ret[static VGPU_TURNS_SIZE]) {
        size_t asking = wants->n;
        VgpuTurnList list = { .n = 0 };
        unsigned vgpus = 0;
        int r;

        ret[0] = '\0';
        for (size_t i = 0; i < wants->n; i++) {
                vgpus = MAX_OF(vgpus, wants->demands[i].profile->max);
                if (wants->schedulers[i].policy == VGPU_POLICY_DEFAULT)
                        continue;
                r = check_one(ctx, provider, wants, i);
                if (r >= 0 && !wants->refused && asking < wants->n && wants->layout.mode != VGPU_MODE_MIG &&
                    !vgpu_scheduler_same(&wants->schedulers[i], &wants->schedulers[asking]))
                        r = put_differ(ctx, provider, wants, asking, i);
                if (r < 0 || wants->refused)
                        return r;
                if (asking == wants->n)
                        asking = i;
        }
        if (asking == wants->n)
                return 0;
        if (wants->layout.mode == VGPU_MODE_MIG)
                turns_of_instances(wants, &list);
        else
                list.turns[list.n++] = (VgpuTurn){ .profile = VGPU_WHOLE_GPU,
                                                   .scheduler = resolve(&wants->schedulers[asking], vgpus) };
        vgpu_turns_to_text(&list, ret, VGPU_TURNS_SIZE);
        return 0;
}
