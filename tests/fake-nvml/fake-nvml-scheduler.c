/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The scheduler, in the calls of release 535 and in those of release 595, which cannot switch strict round robin off: with a
 * driver of that release the older ones cannot either. */

#include "fake-nvml.h"

#define POLICY_BEST_EFFORT 1u
#define POLICY_FIXED_SHARE 3u
#define ARR_OFF 1u
#define ARR_ON 2u
#define FREQUENCY_DEFAULT 480u
#define AVERAGE_DEFAULT 33u
#define TIMESLICE_DEFAULT 2000000u
#define NSEC_PER_SEC 1000000000u
#define RELEASE_WITHOUT_ARR_OFF 595u
#define RELEASE_OF_INSTANCES 575u

static uint32_t clamp(NvmlDeviceHandle device, const char *key, uint32_t value, uint32_t otherwise) {
        json_t *range = json_object_get(fake_get(device, "scheduler"), key);
        uint32_t least = (uint32_t) json_integer_value(json_array_get(range, 0));
        uint32_t most = (uint32_t) json_integer_value(json_array_get(range, 1));

        if (value == 0)
                return otherwise;
        return most == 0 ? value : MIN_OF(MAX_OF(value, least), most);
}

static bool is_supported(NvmlDeviceHandle device, uint32_t policy) {
        json_t *policies = json_object_get(fake_get(device, "scheduler"), "policies"), *item;
        size_t i;

        json_array_foreach(policies, i, item)
                if (json_integer_value(item) == policy)
                        return true;
        return false;
}

/* `target` is the GPU, or one of its instances. */
static NvmlReturn set(NvmlDeviceHandle device, json_t *target, bool mixed, const NvmlSchedulerState *state) {
        uint32_t arr = state->arr == 0 ? ARR_ON : state->arr, first = 0, second = 0;

        if (!is_supported(device, state->policy) || (mixed && state->policy == POLICY_FIXED_SHARE))
                return NVML_ERROR_NOT_SUPPORTED;
        if (arr > ARR_ON)
                return NVML_ERROR_INVALID_ARGUMENT;
        if (state->policy == POLICY_BEST_EFFORT)
                arr = 0;
        else if (arr == ARR_OFF && fake_release(device) >= RELEASE_WITHOUT_ARR_OFF)
                return NVML_ERROR_NOT_SUPPORTED;
        else if (arr == ARR_OFF)
                first = clamp(device, "timeslice", state->average_or_timeslice, TIMESLICE_DEFAULT);
        else {
                first = clamp(device, "average", state->average_or_timeslice, AVERAGE_DEFAULT);
                second = clamp(device, "frequency", state->frequency, FREQUENCY_DEFAULT);
        }
        json_object_set_new(target, "scheduler-state",
                            json_pack("[I,I,I,I]", (json_int_t) state->policy, (json_int_t) arr, (json_int_t) first,
                                      (json_int_t) second));
        return fake_save(device);
}

static void get(json_t *target, NvmlSchedulerState *ret) {
        json_t *state = json_object_get(target, "scheduler-state");
        uint32_t words[FAKE_SCHEDULER_WORDS];

        for (size_t i = 0; i < FAKE_SCHEDULER_WORDS; i++)
                words[i] = (uint32_t) json_integer_value(json_array_get(state, i));
        *ret = (NvmlSchedulerState){
                .policy = words[0] > 0 ? words[0] : POLICY_BEST_EFFORT,
                .arr = words[1],
                .average_or_timeslice = words[2],
                .frequency = words[3] > 0 ? NSEC_PER_SEC / words[3] : 0,
        };
}

/* ---- of a GPU ---- */

PUBLIC NvmlReturn nvmlDeviceGetVgpuSchedulerCapabilities(NvmlDeviceHandle device, NvmlSchedulerCapabilities *ret) {
        FAKE_CALL(device);
        json_t *scheduler = fake_get(device, "scheduler");
        const struct {
                const char *key;
                uint32_t *first, *second;
        } ranges[] = {
                { "frequency", &ret->min_frequency, &ret->max_frequency },
                { "average", &ret->min_average, &ret->max_average },
                { "timeslice", &ret->min_timeslice, &ret->max_timeslice },
        };

        RETURN_FAULT();
        if (!scheduler || fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        for (size_t i = 0; i < 3; i++)
                (void) fake_number(json_array_get(json_object_get(scheduler, "policies"), i), &ret->supported[i]);
        ret->arr_supported = json_is_true(json_object_get(scheduler, "arr"));
        for (size_t i = 0; i < ELEMENTSOF(ranges); i++) {
                (void) fake_number(json_array_get(json_object_get(scheduler, ranges[i].key), 0), ranges[i].first);
                (void) fake_number(json_array_get(json_object_get(scheduler, ranges[i].key), 1), ranges[i].second);
        }
        return NVML_SUCCESS;
}

static NvmlReturn set_of_gpu(NvmlDeviceHandle device, const NvmlSchedulerState *state) {
        if (!fake_get(device, "scheduler") || fake_mig_is_on(device) || fake_count_vgpus(device, UINT32_MAX) > 0)
                return NVML_ERROR_NOT_SUPPORTED;
        return set(device, fake_gpu(device), json_is_true(fake_get(device, "mixed-sizes")), state);
}

PUBLIC NvmlReturn nvmlDeviceSetVgpuSchedulerState(NvmlDeviceHandle device, NvmlSchedulerState *state) {
        FAKE_CALL(device);
        RETURN_FAULT();
        return set_of_gpu(device, state);
}

PUBLIC NvmlReturn nvmlDeviceGetVgpuSchedulerState(NvmlDeviceHandle device, NvmlSchedulerState *ret) {
        FAKE_CALL(device);
        RETURN_FAULT();
        if (!fake_get(device, "scheduler") || fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        get(fake_gpu(device), ret);
        return NVML_SUCCESS;
}

#ifndef OLD_RELEASE
static NvmlSchedulerState from_v2(const NvmlSchedulerState2 *state) {
        return (NvmlSchedulerState){ .policy = state->policy,
                                     .average_or_timeslice = state->average,
                                     .frequency = state->frequency_or_timeslice };
}

static void to_v2(const NvmlSchedulerState *state, NvmlSchedulerState2 *ret) {
        ret->policy = state->policy;
        ret->average = state->arr == ARR_ON ? state->average_or_timeslice : 0;
        ret->frequency_or_timeslice = state->arr == ARR_ON ? state->frequency : state->average_or_timeslice;
}

PUBLIC NvmlReturn nvmlDeviceSetVgpuSchedulerState_v2(NvmlDeviceHandle device, NvmlSchedulerState2 *state) {
        FAKE_CALL(device);
        NvmlSchedulerState plain = from_v2(state);

        RETURN_FAULT();
        if (fake_release(device) < RELEASE_WITHOUT_ARR_OFF)
                return NVML_ERROR_FUNCTION_NOT_FOUND;
        return state->engine == NVML_ENGINE_GRAPHICS ? set_of_gpu(device, &plain) : NVML_ERROR_INVALID_ARGUMENT;
}

PUBLIC NvmlReturn nvmlDeviceGetVgpuSchedulerState_v2(NvmlDeviceHandle device, NvmlSchedulerState2 *ret) {
        FAKE_CALL(device);
        NvmlSchedulerState state;

        RETURN_FAULT();
        if (fake_release(device) < RELEASE_WITHOUT_ARR_OFF)
                return NVML_ERROR_FUNCTION_NOT_FOUND;
        if (!fake_get(device, "scheduler") || fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        get(fake_gpu(device), &state);
        to_v2(&state, ret);
        return NVML_SUCCESS;
}

/* ---- of a GPU instance, where it can have several vGPUs ---- */

static NvmlReturn find_instance(NvmlGpuInstanceHandle handle, unsigned since, json_t **ret) {
        NvmlDeviceHandle device = fake_gpu_of_instance(handle);
        size_t index;

        if (fake_release(device) < since)
                return NVML_ERROR_FUNCTION_NOT_FOUND;
        *ret = fake_instance(handle, &index);
        if (!*ret)
                return NVML_ERROR_NOT_FOUND;
        return fake_get(device, "scheduler") && fake_uint(fake_get(device, "capabilities"), "10") ? NVML_SUCCESS
                                                                                                  : NVML_ERROR_NOT_SUPPORTED;
}

static NvmlReturn set_of_instance(NvmlGpuInstanceHandle handle, unsigned since, const NvmlSchedulerState *state) {
        NvmlDeviceHandle device = fake_gpu_of_instance(handle);
        json_t *instance = NULL;
        NvmlReturn result = find_instance(handle, since, &instance);

        if (result != NVML_SUCCESS)
                return result;
        if (fake_count_vgpus(device, fake_uint(instance, "id")) > 0)
                return NVML_ERROR_NOT_SUPPORTED;
        return set(device, instance, json_is_true(json_object_get(instance, "mixed")), state);
}

PUBLIC NvmlReturn nvmlGpuInstanceSetVgpuSchedulerState(NvmlGpuInstanceHandle handle, NvmlInstanceScheduler *state) {
        FAKE_CALL(fake_gpu_of_instance(handle));
        RETURN_FAULT();
        if (state->version != NVML_VERSION(NvmlInstanceScheduler, 1))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        return set_of_instance(handle, RELEASE_OF_INSTANCES, &state->state);
}

PUBLIC NvmlReturn nvmlGpuInstanceGetVgpuSchedulerState(NvmlGpuInstanceHandle handle, NvmlInstanceScheduler *ret) {
        FAKE_CALL(fake_gpu_of_instance(handle));
        json_t *instance = NULL;
        NvmlReturn result;

        RETURN_FAULT();
        if (ret->version != NVML_VERSION(NvmlInstanceScheduler, 1))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        result = find_instance(handle, RELEASE_OF_INSTANCES, &instance);
        if (result == NVML_SUCCESS)
                get(instance, &ret->state);
        return result;
}

PUBLIC NvmlReturn nvmlGpuInstanceSetVgpuSchedulerState_v2(NvmlGpuInstanceHandle handle, NvmlSchedulerState2 *state) {
        FAKE_CALL(fake_gpu_of_instance(handle));
        NvmlSchedulerState plain = from_v2(state);

        RETURN_FAULT();
        return set_of_instance(handle, RELEASE_WITHOUT_ARR_OFF, &plain);
}

PUBLIC NvmlReturn nvmlGpuInstanceGetVgpuSchedulerState_v2(NvmlGpuInstanceHandle handle, NvmlSchedulerState2 *ret) {
        FAKE_CALL(fake_gpu_of_instance(handle));
        NvmlSchedulerState state;
        json_t *instance = NULL;
        NvmlReturn result;

        RETURN_FAULT();
        result = find_instance(handle, RELEASE_WITHOUT_ARR_OFF, &instance);
        if (result != NVML_SUCCESS)
                return result;
        get(instance, &state);
        to_v2(&state, ret);
        return NVML_SUCCESS;
}
#endif
