/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-scheduler.h"

#include <stdio.h>

#include "lib/parse.h"

static const char *const policies[] = {
        [VGPU_POLICY_DEFAULT] = "default",
        [VGPU_POLICY_BEST_EFFORT] = "best-effort",
        [VGPU_POLICY_EQUAL_SHARE] = "equal-share",
        [VGPU_POLICY_FIXED_SHARE] = "fixed-share",
};
DEFINE_STRING_TABLE(vgpu_policy, VgpuPolicy, policies)

static const char *const round_robins[] = {
        [VGPU_ROUND_ROBIN_DEFAULT] = "default",
        [VGPU_ROUND_ROBIN_OFF] = "off",
        [VGPU_ROUND_ROBIN_ON] = "on",
};
DEFINE_STRING_TABLE(vgpu_round_robin, VgpuRoundRobin, round_robins)

static void append(char *text, const char *key, const char *value) {
        size_t n = strlen(text);

        (void) snprintf(text + n, VGPU_SCHEDULER_TEXT_SIZE - n, " %s=%s", key, value);
}

static void append_number(char *text, const char *key, uint32_t value) {
        char number[16];

        if (value == 0)
                return;
        (void) snprintf(number, sizeof(number), "%u", value);
        append(text, key, number);
}

void vgpu_scheduler_to_text(const VgpuScheduler *scheduler, char ret[static VGPU_SCHEDULER_TEXT_SIZE]) {
        ret[0] = '\0';
        if (scheduler->policy == VGPU_POLICY_DEFAULT)
                return;
        (void) snprintf(ret, VGPU_SCHEDULER_TEXT_SIZE, "%s", vgpu_policy_to_string(scheduler->policy));
        if (scheduler->round_robin != VGPU_ROUND_ROBIN_DEFAULT)
                append(ret, "arr", vgpu_round_robin_to_string(scheduler->round_robin));
        append_number(ret, "frequency", scheduler->frequency);
        append_number(ret, "average", scheduler->average);
        append_number(ret, "timeslice", scheduler->time_slice_ms);
}

static int take_word(const char *word, VgpuScheduler *scheduler) {
        const struct {
                const char *key;
                uint32_t *value;
        } numbers[] = {
                { "frequency=", &scheduler->frequency },
                { "average=", &scheduler->average },
                { "timeslice=", &scheduler->time_slice_ms },
        };

        if (startswith(word, "arr=")) {
                scheduler->round_robin = vgpu_round_robin_from_string(word + 4);
                return scheduler->round_robin < 0 ? -EINVAL : 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (startswith(word, numbers[i].key))
                        return parse_uint32(word + strlen(numbers[i].key), numbers[i].value) < 0 ? -EINVAL : 0;
        return -EINVAL;
}

int vgpu_scheduler_from_text(const char *text, VgpuScheduler *ret) {
        VgpuScheduler scheduler = { 0 };
        char copy[VGPU_SCHEDULER_TEXT_SIZE], *next = copy, *word;

        if (strlen(text) >= sizeof(copy))
                return -EINVAL;
        strcpy(copy, text);
        if (copy[0]) {
                scheduler.policy = vgpu_policy_from_string(strsep(&next, " "));
                if (scheduler.policy <= VGPU_POLICY_DEFAULT)
                        return -EINVAL;
                while ((word = strsep(&next, " ")))
                        if (take_word(word, &scheduler) < 0)
                                return -EINVAL;
        }
        *ret = scheduler;
        return 0;
}

bool vgpu_scheduler_same(const VgpuScheduler *a, const VgpuScheduler *b) {
        return a->policy == b->policy && a->round_robin == b->round_robin && a->frequency == b->frequency &&
               a->average == b->average && a->time_slice_ms == b->time_slice_ms;
}

/* Drivers have the time slice of a frequency in nanoseconds: back and forth it may be off by one. */
static bool is_near(uint32_t wanted, uint32_t found) {
        return wanted == 0 || (found + 1 >= wanted && found <= wanted + 1);
}

bool vgpu_scheduler_holds(const VgpuScheduler *wanted, const VgpuScheduler *found) {
        if (wanted->policy == VGPU_POLICY_DEFAULT)
                return true;
        if (wanted->policy != found->policy)
                return false;
        if (wanted->policy == VGPU_POLICY_BEST_EFFORT)
                return true;
        /* Without a word it is on. */
        if ((wanted->round_robin == VGPU_ROUND_ROBIN_OFF) != (found->round_robin == VGPU_ROUND_ROBIN_OFF))
                return false;
        return is_near(wanted->frequency, found->frequency) && (wanted->average == 0 || wanted->average == found->average) &&
               (wanted->time_slice_ms == 0 || wanted->time_slice_ms == found->time_slice_ms);
}
