/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvml.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>

#define NVML_LIBRARY "libnvidia-ml.so.1"

static const struct {
        NvmlReturn result;
        int error;
        const char *text;
} errors[] = {
        { NVML_SUCCESS, 0, "no error" },
        { NVML_ERROR_UNINITIALIZED, -EIO, "the library is not initialised" },
        { NVML_ERROR_INVALID_ARGUMENT, -EINVAL, "the driver refuses the argument" },
        { NVML_ERROR_NOT_SUPPORTED, -EOPNOTSUPP, "the GPU or its driver does not support it" },
        { NVML_ERROR_NO_PERMISSION, -EPERM, "no permission" },
        { NVML_ERROR_NOT_FOUND, -ENOENT, "not found" },
        { NVML_ERROR_INSUFFICIENT_SIZE, -ENOBUFS, "there is more than was asked for" },
        { NVML_ERROR_DRIVER_NOT_LOADED, -ENODEV, "the NVIDIA driver is not loaded" },
        { NVML_ERROR_LIBRARY_NOT_FOUND, -ENOENT, "a library of the driver is missing" },
        { NVML_ERROR_FUNCTION_NOT_FOUND, -EOPNOTSUPP, "this release of the driver has no such function" },
        { NVML_ERROR_GPU_IS_LOST, -ENODEV, "the GPU has fallen off the bus" },
        { NVML_ERROR_RESET_REQUIRED, -EAGAIN, "the GPU must be reset first" },
        { NVML_ERROR_LIB_RM_VERSION_MISMATCH, -ENOEXEC, "library and driver are of different versions" },
        { NVML_ERROR_IN_USE, -EBUSY, "the GPU is in use" },
        { NVML_ERROR_MEMORY, -ENOMEM, "out of memory" },
        { NVML_ERROR_INSUFFICIENT_RESOURCES, -ENOSPC, "the GPU has no room for it" },
        { NVML_ERROR_ARGUMENT_VERSION_MISMATCH, -EOPNOTSUPP, "this release of the driver has another form of the call" },
        { NVML_ERROR_NOT_READY, -EAGAIN, "the driver is not ready" },
        { NVML_ERROR_GPU_NOT_FOUND, -ENODEV, "the driver has no such GPU" },
        { NVML_ERROR_INVALID_STATE, -EBUSY, "the GPU is in a state in which this is not possible" },
        { NVML_ERROR_UNKNOWN, -EIO, "the driver gives no reason" },
};

const char *nvml_error(NvmlReturn result) {
        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (errors[i].result == result)
                        return errors[i].text;
        return "an error that is not known";
}

int nvml_to_errno(NvmlReturn result) {
        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (errors[i].result == result)
                        return errors[i].error;
        return -EIO;
}

static int PRINTF_LIKE(3, 4) explain(char **ret_why, int error, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(ret_why, format, arguments) < 0)
                *ret_why = NULL;
        va_end(arguments);
        return error;
}

static void find_functions(Nvml *nvml) {
#define NVML_FIND(name, arguments) nvml->name = (NvmlReturn(*) arguments) dlsym(nvml->handle, #name);
        NVML_REQUIRED(NVML_FIND)
        NVML_OPTIONAL(NVML_FIND)
#undef NVML_FIND
}

static const char *find_missing(const Nvml *nvml) {
#define NVML_CHECK(name, arguments)                                                                                    \
        if (!nvml->name)                                                                                               \
                return #name;
        NVML_REQUIRED(NVML_CHECK)
#undef NVML_CHECK
        return NULL;
}

int nvml_open(const char *path, Nvml *ret, char **ret_why) {
        Nvml nvml = { .handle = dlopen(path ? path : NVML_LIBRARY, RTLD_NOW | RTLD_LOCAL) };
        const char *missing;
        NvmlReturn result;

        if (!nvml.handle)
                return explain(ret_why, -ENOENT, "NVIDIA's management library cannot be opened: %s", dlerror());
        find_functions(&nvml);
        missing = find_missing(&nvml);
        if (missing) {
                (void) dlclose(nvml.handle);
                return explain(ret_why, -ENOEXEC, "NVIDIA's management library has no function %s", missing);
        }
        result = nvml.nvmlInit_v2();
        if (result != NVML_SUCCESS) {
                (void) dlclose(nvml.handle);
                return explain(ret_why, -EIO, "NVIDIA's management library cannot be initialised: %s", nvml_error(result));
        }
        *ret = nvml;
        return 0;
}

void nvml_close(Nvml *nvml) {
        if (!nvml->handle)
                return;
        (void) nvml->nvmlShutdown();
        (void) dlclose(nvml->handle);
        *nvml = (Nvml){ 0 };
}

int nvml_find_gpu(const Nvml *nvml, const char *address, NvmlDeviceHandle *ret, char **ret_why) {
        NvmlReturn result = nvml->nvmlDeviceGetHandleByPciBusId_v2(address, ret);

        if (result == NVML_SUCCESS)
                return 0;
        return explain(ret_why, nvml_to_errno(result), "NVIDIA's management library does not know the GPU %s: %s", address,
                       nvml_error(result));
}
