/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ailment.h"
#include "bind.h"
#include "control-fs.h"
#include "gpu.h"
#include "hotplug.h"
#include "inject.h"
#include "mdev.h"
#include "sriov.h"
#include "usb.h"
#include "vf-settings.h"
#include "vgpu.h"

static int control_lose(Kernel *k, const char *key, const char *text) {
        uint64_t n;

        (void) key;
        if (string_to_u64(text, 10, &n) < 0)
                return -EINVAL;
        uevents_lose(k->events, (unsigned) n);
        return 0;
}

static int control_waiting(Kernel *k, const char *key, char *ret, size_t size) {
        size_t n = 0;

        (void) key;
        ret[0] = '\0';
        for (Waiter *w = k->waiters; w && n < size; w = w->next)
                n += (size_t) snprintf(ret + n, size - n, "%s %s: %s\n", w->operation, w->name, w->why);
        return 0;
}

static int control_orders(Kernel *k, const char *key, char *ret, size_t size) {
        (void) key;
        inject_list(k, ret, size);
        return 0;
}

static int control_sent(Kernel *k, const char *key, char *ret, size_t size) {
        (void) key;
        (void) snprintf(ret, size, "%llu\n", (unsigned long long) uevents_sent(k->events));
        return 0;
}

/* A PCI address, or a USB port. */
static int unplug_any(Kernel *k, const char *text) {
        return strchr(text, ':') ? unplug_write(k, text) : usb_unplug(k, text);
}

static int plug_any(Kernel *k, const char *text) {
        return strchr(text, ':') ? plug_write(k, text) : usb_plug(k, text);
}

#define ORDER(name)                                                                                         \
        static int control_##name(Kernel *k, const char *key, const char *text) {                           \
                (void) key;                                                                                 \
                return name(k, text);                                                                       \
        }

ORDER(inject_write_fail)
ORDER(inject_write_delay)
ORDER(inject_write_hang)
ORDER(inject_write_release)
ORDER(inject_write_limit)
ORDER(unplug_any)
ORDER(plug_any)
ORDER(storm_write)
ORDER(sriov_order_write)
ORDER(dead_write)
ORDER(alive_write)
ORDER(errors_write)
ORDER(link_write)
ORDER(exchange_write)
ORDER(usb_order_ids)
ORDER(gpu_linger_write)
ORDER(gpu_manage_write)
ORDER(gpu_reload_write)
ORDER(vgpu_creatable_order)

const ControlFile control_files[] = {
        { "device", "driver_override", 0644, driver_override_read, driver_override_write },
        { "device", "uevent", 0644, uevent_read, uevent_write },
        { "device", "remove", 0200, NULL, remove_write },
        { "device", "reset", 0200, NULL, reset_write },
        { "device", "reset_method", 0644, reset_method_read, reset_method_write },
        { "device", "sriov_numvfs", 0644, sriov_numvfs_read, sriov_numvfs_write },
        { "device", "sriov_drivers_autoprobe", 0644, sriov_autoprobe_read, sriov_autoprobe_write },
        { "device", "vf-records", 0644, vf_records_read, vf_records_write },
        { "device", "eswitch-mode", 0644, eswitch_mode_read, eswitch_mode_write },
        { "device", "gpu-state", 0644, gpu_state_read, gpu_state_write },
        { "driver", "bind", 0200, NULL, bind_write },
        { "driver", "unbind", 0200, NULL, unbind_write },
        { "driver", "new_id", 0200, NULL, new_id_write },
        { "driver", "remove_id", 0200, NULL, remove_id_write },
        { "bus", "drivers_probe", 0200, NULL, drivers_probe_write },
        { "bus", "rescan", 0200, NULL, rescan_write },
        { "usb-driver", "bind", 0200, NULL, usb_bind_write },
        { "usb-driver", "unbind", 0200, NULL, usb_unbind_write },
        { "usb-bus", "drivers_probe", 0200, NULL, usb_drivers_probe_write },
        { "usb-device", "authorized", 0644, usb_authorized_read, usb_authorized_write },
        { "usb-device", "bConfigurationValue", 0644, usb_configuration_read, usb_configuration_write },
        { "usb-device", "remove", 0200, NULL, usb_remove_write },
        { "mdev-type", "create", 0200, NULL, mdev_create_write },
        { "mdev", "remove", 0200, NULL, mdev_remove_write },
        { "vgpu", "creatable_vgpu_types", 0444, vgpu_creatable_read, NULL },
        { "vgpu", "current_vgpu_type", 0644, vgpu_type_read, vgpu_type_write },
        { "vgpu", "vgpu_params", 0644, vgpu_params_read, vgpu_params_write },
        { "vgpu", "gpu_instance_id", 0444, vgpu_instance_read, NULL },
        { "vgpu", "placement_id", 0444, vgpu_placement_read, NULL },
        { "vgpu", "warm_update", 0444, vgpu_warm_update_read, NULL },
        { "control", "fail", 0644, control_orders, control_inject_write_fail },
        { "control", "delay", 0644, control_orders, control_inject_write_delay },
        { "control", "hang", 0644, control_orders, control_inject_write_hang },
        { "control", "limit", 0644, control_orders, control_inject_write_limit },
        { "control", "release", 0200, NULL, control_inject_write_release },
        { "control", "lose-uevents", 0200, NULL, control_lose },
        { "control", "unplug", 0200, NULL, control_unplug_any },
        { "control", "plug", 0200, NULL, control_plug_any },
        { "control", "usb-ids", 0200, NULL, control_usb_order_ids },
        { "control", "vfs", 0200, NULL, control_sriov_order_write },
        { "control", "dead", 0200, NULL, control_dead_write },
        { "control", "alive", 0200, NULL, control_alive_write },
        { "control", "errors", 0200, NULL, control_errors_write },
        { "control", "link", 0200, NULL, control_link_write },
        { "control", "exchange", 0200, NULL, control_exchange_write },
        { "control", "storm", 0200, NULL, control_storm_write },
        { "control", "control", 0200, NULL, control_more_write },
        { "control", "linger", 0200, NULL, control_gpu_linger_write },
        { "control", "sriov-manage", 0200, NULL, control_gpu_manage_write },
        { "control", "reload", 0200, NULL, control_gpu_reload_write },
        { "control", "creatable-text", 0200, NULL, control_vgpu_creatable_order },
        { "control", "waiting", 0444, control_waiting, NULL },
        { "control", "uevents-sent", 0444, control_sent, NULL },
};
const size_t control_files_count = ELEMENTS(control_files);

const char *const control_device_files[] = {
        "driver_override",         "uevent", "remove", "reset", "reset_method", "sriov_numvfs",
        "sriov_drivers_autoprobe",
};
const size_t control_device_files_count = ELEMENTS(control_device_files);
