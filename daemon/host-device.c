/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-device.h"

#include <stdio.h>

char *host_device_syspath(const HostDevice *host) {
        char *path;

        return host->above && asprintf(&path, "%s/%s", host->above, host->sysname) >= 0 ? path : NULL;
}

void host_device_view(const HostDevice *host, PtDevice *ret) {
        *ret = (PtDevice){
                .struct_size = sizeof(PtDevice),
                .numa_node_plus_1 = (uint32_t) (host->numa_node + 1),
                .id = host->id,
                .subsystem = host->subsystem,
                .sysname = host->sysname,
                .devtype = host->devtype,
                .driver = host->driver,
                .iommu_group = host->iommu_group,
                .place = host->place,
                .slot = host->slot_number,
        };
}

json_t *host_device_to_json(const HostDevice *host, const char *module_file) {
        return json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:i, s:i, s:s*, s:s*, s:I, s:I}", "id", host->id, "subsystem",
                         host->subsystem, "sysname", host->sysname, "devtype", host->devtype, "driver",
                         host->driver, "iommu_group", (int) host->iommu_group, "numa_node",
                         (int) host->numa_node, "module", module_file, "place", host->place, "instance",
                         (json_int_t) host->instance, "slot", (json_int_t) host->slot_number);
}
