/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How much of a GPU is used: what its driver measures, by the devices that carry its vGPUs, and what is wrong with their guests.
 * In the worker. */

#include <stdio.h>
#include <stdlib.h>

#include "lib/parse.h"
#include "nvml-use.h"
#include "vgpu-guest-driver.h"
#include "vgpu-types.h"
#include "vgpu.h"

#define FUNCTIONS_MAX 256u

/* A virtual function with a vGPU. */
typedef struct Carrier {
        char address[PCI_ADDRESS_SIZE];
        uint32_t type;
        uint32_t placement, instance; /* UINT32_MAX: it does not say */
        bool taken;
} Carrier;

typedef struct CarrierList {
        char links[FUNCTIONS_MAX][16];
        size_t n_links;
        Carrier items[FUNCTIONS_MAX];
        size_t n;
} CarrierList;

/* ---- which device carries a vGPU ---- */

static void take_link(void *userdata, const char *entry) {
        CarrierList *list = userdata;

        if (startswith(entry, "virtfn") && strlen(entry) < sizeof(list->links[0]) && list->n_links < FUNCTIONS_MAX)
                strcpy(list->links[list->n_links++], entry);
}

static uint32_t read_number(PtContext *ctx, const PtDevice *function, const char *name) {
        char text[64];
        uint32_t value;

        /* ENXIO until there is a vGPU. */
        return ctx->services->read_attribute(ctx, function, name, text, sizeof(text)) >= 0 && parse_uint32(text, &value) >= 0
                       ? value
                       : UINT32_MAX;
}

static void read_carrier(PtContext *ctx, const PtDevice *gpu, const char *link, CarrierList *list) {
        Carrier *carrier = &list->items[list->n];
        char id[64];
        PtDevice function = { .struct_size = sizeof(PtDevice), .id = id, .subsystem = "pci", .sysname = carrier->address,
                              .iommu_group = -1 };

        if (ctx->services->read_link(ctx, gpu, link, carrier->address, sizeof(carrier->address)) < 0)
                return;
        (void) snprintf(id, sizeof(id), "pci-%s", carrier->address);
        for (char *p = id; *p; p++)
                if (*p == ':' || *p == '.')
                        *p = '-';
        carrier->type = read_number(ctx, &function, "nvidia/current_vgpu_type");
        if (carrier->type == UINT32_MAX || carrier->type == 0)
                return;
        carrier->placement = read_number(ctx, &function, "nvidia/placement_id");
        carrier->instance = read_number(ctx, &function, "nvidia/gpu_instance_id");
        carrier->taken = false;
        list->n++;
}

static bool agrees(uint32_t carried, const json_t *said) {
        return carried == UINT32_MAX || !json_is_integer(said) || json_integer_value(said) == carried;
}

static bool may_carry(const Carrier *carrier, const json_t *vgpu) {
        return !carrier->taken && json_integer_value(json_object_get(vgpu, "type")) == carrier->type &&
               agrees(carrier->placement, json_object_get(vgpu, "placement")) &&
               agrees(carrier->instance, json_object_get(vgpu, "gpu-instance"));
}

/* The only function that can have it, as long as no other vGPU could have the same. The driver does not tell. */
static Carrier *carrier_of(CarrierList *list, const json_t *vgpus, const json_t *vgpu) {
        Carrier *found = NULL;
        const json_t *other;
        size_t k;

        for (size_t i = 0; i < list->n; i++) {
                if (!may_carry(&list->items[i], vgpu))
                        continue;
                if (found)
                        return NULL;
                found = &list->items[i];
        }
        json_array_foreach(vgpus, k, other)
                if (found && other != vgpu && !json_object_get(other, "device") && may_carry(found, other))
                        return NULL;
        return found;
}

/* Mediated devices are known by name, virtual functions by what they say that they carry. */
static int name_devices(PtContext *ctx, const PtDevice *gpu, json_t *vgpus) {
        _cleanup_free_ CarrierList *list = calloc(1, sizeof(*list));
        bool more = true;
        json_t *vgpu;
        size_t i;

        if (!list)
                return -ENOMEM;
        json_array_foreach(vgpus, i, vgpu) {
                json_t *mdev = json_object_get(vgpu, "mdev");

                if (mdev)
                        (void) json_object_set(vgpu, "device", mdev);
        }
        (void) ctx->services->list(ctx, gpu, ".", take_link, list);
        for (size_t k = 0; k < list->n_links; k++)
                read_carrier(ctx, gpu, list->links[k], list);
        while (more) {
                more = false;
                json_array_foreach(vgpus, i, vgpu) {
                        Carrier *carrier = json_object_get(vgpu, "device") ? NULL : carrier_of(list, vgpus, vgpu);

                        if (!carrier)
                                continue;
                        carrier->taken = more = true;
                        (void) json_object_set_new(vgpu, "device", json_string(carrier->address));
                }
        }
        return 0;
}

/* ---- what is wrong ---- */

static void add_finding(json_t *findings, const char *severity, const char *code, const char *text, const char *remedy) {
        (void) json_array_append_new(findings, json_pack("{s:s, s:s, s:s, s:s}", "severity", severity, "code", code, "text",
                                                         text, "remedy", remedy));
}

static void judge_driver(json_t *findings, const char *host, const char *guest) {
        char text[VGPU_GUEST_DRIVER_TEXT_SIZE], remedy[VGPU_GUEST_DRIVER_TEXT_SIZE];
        VgpuGuestDriver what = vgpu_guest_driver_check(host, guest);

        if (what != VGPU_GUEST_DRIVER_NEWER && what != VGPU_GUEST_DRIVER_TOO_OLD)
                return;
        vgpu_guest_driver_explain(host, guest, what, text, remedy);
        add_finding(findings, "warning", "guest-driver-mismatch", text, remedy);
}

/* Without a driver in the guest nobody has asked for a licence yet. */
static void judge_licence(json_t *findings, const char *licence) {
        if (streq_null(licence, "unlicensed") || streq_null(licence, "unlicensed-restricted"))
                add_finding(findings, "warning", "unlicensed",
                            "the guest has no licence for its vGPU, which works with reduced performance and features",
                            "let the guest reach a licence server, with a client configuration token");
        else if (streq_null(licence, "unlicensed-unrestricted"))
                add_finding(findings, "note", "unlicensed",
                            "the guest has no licence for its vGPU yet; it will be restricted after a while",
                            "let the guest reach a licence server, with a client configuration token");
}

static void judge(json_t *vgpu, const char *host_driver) {
        const char *guest = json_string_value(json_object_get(vgpu, "guest-driver"));
        json_t *findings = json_array();

        if (guest) {
                judge_driver(findings, strempty(host_driver), guest);
                judge_licence(findings, json_string_value(json_object_get(vgpu, "licence")));
        }
        (void) json_object_set_new(vgpu, "findings", findings);
}

/* ---- the op ---- */

static int measure(const PtDevice *gpu, json_t **ret, char **ret_why) {
        _cleanup_nvml_ Nvml nvml = { 0 };
        int r = nvml_open(secure_getenv("PASSTHROUGHD_NVML"), &nvml, ret_why);

        return r < 0 ? r : nvml_read_use(&nvml, gpu->sysname, ret, ret_why);
}

static int put(PtContext *ctx, json_t *use) {
        _cleanup_free_ char *text = json_dumps(use, JSON_COMPACT);

        return text ? ctx->services->put_use(ctx, text) : -ENOMEM;
}

int vgpu_use_op(PtContext *ctx, const PtDevice *provider) {
        _cleanup_free_ char *why = NULL;
        json_t *use = NULL, *vgpus, *vgpu;
        size_t i;
        int r;

        if (!vgpu_is_nvidia(ctx, provider) || !streq_null(provider->driver, "nvidia")) {
                ctx->services->set_error(ctx, "only NVIDIA's driver says how much of a GPU is used, and that has not this one");
                return -EOPNOTSUPP;
        }
        r = measure(provider, &use, &why);
        if (r < 0) {
                ctx->services->set_error(ctx, why && utf8_is_valid(why) ? why : "NVIDIA's management library says nothing");
                return r;
        }
        vgpus = json_object_get(use, NVML_USE_INSTANCES);
        (void) json_object_set(use, "devices", vgpus);
        (void) json_object_del(use, NVML_USE_INSTANCES);
        vgpus = json_object_get(use, "devices");
        r = name_devices(ctx, provider, vgpus);
        json_array_foreach(vgpus, i, vgpu) {
                judge(vgpu, json_string_value(json_object_get(use, "host-driver")));
                (void) json_object_del(vgpu, "mdev");
        }
        if (r >= 0)
                r = put(ctx, use);
        json_decref(use);
        return r;
}
