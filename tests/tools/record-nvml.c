/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* record-nvml [ADDRESS]: writes what NVIDIA's library says about a GPU, or about all, as a fixture for tests/fake-nvml. Reads
 * only: no setting is changed. UUIDs are left out, as they are serial numbers. */

#include <stdio.h>

#include "lib/protocol.h"
#include "modules/vgpu/nvml-gpu.h"
#include "modules/vgpu/nvml-use.h"

static int record(const Nvml *nvml, const char *address, json_t *gpus) {
        _cleanup_free_ char *why = NULL;
        json_t *report = NULL, *use = NULL;
        int r = nvml_read_gpu(nvml, address, &report, &why);

        if (r < 0) {
                (void) fprintf(stderr, "record-nvml: %s\n", why ? why : "out of memory");
                return r;
        }
        (void) json_object_del(report, "uuid");
        (void) json_object_set_new(report, "address", json_string(address));
        free(TAKE_PTR(why));
        if (nvml_read_use(nvml, address, &use, &why) >= 0)
                (void) json_object_set_new(report, "use", use);
        /* Of vGPUs it would name guests. */
        (void) json_object_del(use, NVML_USE_INSTANCES);
        (void) json_object_del(use, "unavailable");
        (void) json_object_del(use, "host-driver");
        return json_array_append_new(gpus, report);
}

static int record_all(const Nvml *nvml, json_t *gpus) {
        uint32_t n = 0;
        NvmlReturn result = nvml->nvmlDeviceGetCount_v2(&n);
        int r = 0;

        for (uint32_t i = 0; result == NVML_SUCCESS && i < n && r >= 0; i++) {
                NvmlDeviceHandle device;
                NvmlPci pci = { 0 };
                char address[32];

                result = nvml->nvmlDeviceGetHandleByIndex_v2(i, &device);
                if (result == NVML_SUCCESS)
                        result = nvml_call(nvml, nvmlDeviceGetPciInfo_v3, device, &pci);
                if (result != NVML_SUCCESS)
                        break;
                (void) snprintf(address, sizeof(address), "%04x:%02x:%02x.0", pci.domain, pci.bus, pci.device);
                r = record(nvml, address, gpus);
        }
        if (result != NVML_SUCCESS) {
                (void) fprintf(stderr, "record-nvml: the GPUs cannot be listed: %s\n", nvml_error(result));
                return nvml_to_errno(result);
        }
        return r;
}

int main(int argc, char **argv) {
        _cleanup_json_ json_t *host = json_pack("{s:[]}", "gpus");
        _cleanup_free_ char *why = NULL;
        _cleanup_nvml_ Nvml nvml = { 0 };
        int r;

        if (argc > 2 || !host) {
                (void) fprintf(stderr, "usage: record-nvml [ADDRESS]\n");
                return 2;
        }
        r = nvml_open(getenv("PASSTHROUGHD_NVML"), &nvml, &why);
        if (r < 0) {
                (void) fprintf(stderr, "record-nvml: %s\n", why ? why : "out of memory");
                return 1;
        }
        r = argc == 2 ? record(&nvml, argv[1], json_object_get(host, "gpus"))
                      : record_all(&nvml, json_object_get(host, "gpus"));
        if (r < 0 || json_dumpf(host, stdout, JSON_INDENT(1)) < 0 || putchar('\n') == EOF)
                return 1;
        return 0;
}
