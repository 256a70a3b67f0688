/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvml-scheduler.h"

#define NSEC_PER_SEC 1000000000u
#define NSEC_PER_MSEC 1000000u

static VgpuScheduler turns(uint32_t policy, uint32_t average, uint32_t time_slice) {
        return (VgpuScheduler){
                .policy = policy < _VGPU_POLICY_MAX ? (VgpuPolicy) policy : VGPU_POLICY_DEFAULT,
                .round_robin = VGPU_ROUND_ROBIN_ON,
                .average = average,
                .frequency = time_slice > 0 ? (NSEC_PER_SEC + time_slice / 2) / time_slice : 0,
        };
}

static VgpuScheduler from_state(const NvmlSchedulerState *state) {
        VgpuScheduler found = turns(state->policy, state->average_or_timeslice, state->frequency);

        if (found.policy <= VGPU_POLICY_BEST_EFFORT)
                return (VgpuScheduler){ .policy = found.policy };
        if (state->arr == VGPU_ROUND_ROBIN_OFF)
                return (VgpuScheduler){
                        .policy = found.policy,
                        .round_robin = VGPU_ROUND_ROBIN_OFF,
                        .time_slice_ms = (state->average_or_timeslice + NSEC_PER_MSEC / 2) / NSEC_PER_MSEC,
                };
        return found;
}

NvmlReturn nvml_get_scheduler(const Nvml *nvml, NvmlDeviceHandle device, NvmlGpuInstanceHandle instance, VgpuScheduler *ret) {
        NvmlInstanceScheduler of_instance = { .version = NVML_VERSION(NvmlInstanceScheduler, 1), .engine = NVML_ENGINE_GRAPHICS };
        NvmlSchedulerState2 later = { .engine = NVML_ENGINE_GRAPHICS };
        NvmlSchedulerState state = { 0 };
        NvmlReturn result;

        result = instance ? nvml_call(nvml, nvmlGpuInstanceGetVgpuSchedulerState, instance, &of_instance)
                          : nvml_call(nvml, nvmlDeviceGetVgpuSchedulerState, device, &state);
        if (result == NVML_SUCCESS) {
                *ret = from_state(instance ? &of_instance.state : &state);
                return result;
        }
        if (result != NVML_ERROR_FUNCTION_NOT_FOUND)
                return result;
        result = instance ? nvml_call(nvml, nvmlGpuInstanceGetVgpuSchedulerState_v2, instance, &later)
                          : nvml_call(nvml, nvmlDeviceGetVgpuSchedulerState_v2, device, &later);
        if (result == NVML_SUCCESS) {
                *ret = turns(later.policy, later.average, later.frequency_or_timeslice);
                if (ret->policy <= VGPU_POLICY_BEST_EFFORT)
                        *ret = (VgpuScheduler){ .policy = ret->policy };
        }
        return result;
}

static NvmlSchedulerState to_state(const VgpuScheduler *scheduler) {
        NvmlSchedulerState state = { .policy = (uint32_t) scheduler->policy, .arr = (uint32_t) scheduler->round_robin };

        if (scheduler->round_robin == VGPU_ROUND_ROBIN_OFF)
                state.average_or_timeslice = scheduler->time_slice_ms * NSEC_PER_MSEC;
        else {
                state.average_or_timeslice = scheduler->average;
                state.frequency = scheduler->frequency;
        }
        return state;
}

/* The later call is asked first, where it can do it: the earlier one may be gone from a driver that still has its name. */
NvmlReturn nvml_set_scheduler(const Nvml *nvml, NvmlDeviceHandle device, NvmlGpuInstanceHandle instance,
                              const VgpuScheduler *scheduler) {
        NvmlSchedulerState2 later = {
                .engine = NVML_ENGINE_GRAPHICS,
                .policy = (uint32_t) scheduler->policy,
                .average = scheduler->average,
                .frequency_or_timeslice = scheduler->frequency,
        };
        NvmlInstanceScheduler of_instance = {
                .version = NVML_VERSION(NvmlInstanceScheduler, 1),
                .engine = NVML_ENGINE_GRAPHICS,
                .state = to_state(scheduler),
        };
        NvmlSchedulerState state = to_state(scheduler);
        NvmlReturn result = NVML_ERROR_FUNCTION_NOT_FOUND;

        if (scheduler->round_robin != VGPU_ROUND_ROBIN_OFF)
                result = instance ? nvml_call(nvml, nvmlGpuInstanceSetVgpuSchedulerState_v2, instance, &later)
                                  : nvml_call(nvml, nvmlDeviceSetVgpuSchedulerState_v2, device, &later);
        if (result != NVML_ERROR_FUNCTION_NOT_FOUND)
                return result;
        return instance ? nvml_call(nvml, nvmlGpuInstanceSetVgpuSchedulerState, instance, &of_instance)
                        : nvml_call(nvml, nvmlDeviceSetVgpuSchedulerState, device, &state);
}
