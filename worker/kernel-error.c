/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel-error.h"

typedef struct KernelError {
        const char *attribute; /* NULL: any */
        int error;
        FaultCode code;
        const char *hint;
} KernelError;

/* Linux 6.1: drivers/pci/{pci-sysfs,iov,pci-driver}.c, drivers/base/{bus,dd,platform}.c, drivers/vfio/pci/.
 * The first row that fits is taken. */
static const KernelError kernel_error_table[] = {
        { "sriov_numvfs", EBUSY, FAULT_DEVICE_BUSY,
          "virtual functions exist; their number can only be changed from 0" },
        { "sriov_numvfs", ERANGE, FAULT_INVALID_VALUE, "more than sriov_totalvfs" },
        { "sriov_numvfs", ENOENT, FAULT_DRIVER_MISSING, "no driver that makes virtual functions is bound" },
        { "sriov_numvfs", ENOMEM, FAULT_STEP_FAILED,
          "no memory space or bus numbers for the virtual functions; switch on SR-IOV, Above-4G decoding and ARI in the "
          "firmware setup, or add pci=realloc or pci=assign-busses to the kernel command line, and restart" },
        { "sriov_numvfs", EPERM, FAULT_STEP_FAILED,
          "the driver refuses: more than it makes, an eSwitch that this function does not manage, or kernel lockdown" },
        { "sriov_numvfs", EINVAL, FAULT_STEP_FAILED, "the driver refuses the number in its present mode" },
        { "sriov_numvfs", EOPNOTSUPP, FAULT_STEP_FAILED,
          "the driver refuses: its firmware or its mode allows no virtual functions" },
        { "sriov_numvfs", EAGAIN, FAULT_DEVICE_BUSY, "the device resets; try again" },
        { "sriov_numvfs", EIO, FAULT_STEP_FAILED,
          "the device does not answer; see the kernel log, a power cycle of the host may help" },
        { "driver_override", EINVAL, FAULT_INVALID_VALUE, "longer than the kernel takes" },
        { "reset_method", EINVAL, FAULT_INVALID_VALUE, "the device does not support one of these methods" },
        { "reset", EINVAL, FAULT_INVALID_VALUE, "the kernel takes 1 only" },
        { "reset", ENOENT, FAULT_STEP_FAILED,
          "the device offers no reset: what its last user left in it may stay" },
        { "reset", ENOTTY, FAULT_STEP_FAILED, "no method of reset works for the device" },
        { "reset", EAGAIN, FAULT_DEVICE_BUSY, "another operation on the device is under way" },
        { "unbind", ENODEV, FAULT_DEVICE_GONE, "the device is gone or bound to another driver" },
        { "bind", ENODEV, FAULT_DRIVER_MISSING, "the driver does not match the device" },
        { "bind", EBUSY, FAULT_DEVICE_BUSY,
          "for vfio-pci: virtual functions of the device are enabled; for a host driver: its IOMMU group is "
          "in use by VFIO" },
        { "bind", EINVAL, FAULT_STEP_FAILED,
          "for vfio-pci: a bridge, a device without an IOMMU group, or one on the driver's denylist; for a "
          "host driver: its "
          "IOMMU group is in use by VFIO" },
        { "bind", EAGAIN, FAULT_DEVICE_BUSY, "the driver waits for another device" },
        { "drivers_probe", ENODEV, FAULT_DEVICE_GONE, "the device is gone" },
        { "enable", EBUSY, FAULT_DEVICE_BUSY, "a driver is bound" },
        { "sriov_vf_msix_count", EBUSY, FAULT_DEVICE_BUSY, "the virtual function has a driver" },
        { "sriov_vf_msix_count", EOPNOTSUPP, FAULT_INVALID_VALUE,
          "the driver of the physical function cannot set it" },
        { NULL, ENODEV, FAULT_DEVICE_GONE, "the device is gone" },
        { NULL, ENOENT, FAULT_STEP_FAILED, "the kernel offers no such attribute here" },
        { NULL, EBUSY, FAULT_DEVICE_BUSY, NULL },
        { NULL, EPERM, FAULT_STEP_FAILED, "kernel lockdown or the sandbox of the service may forbid it" },
        { NULL, EACCES, FAULT_STEP_FAILED, "kernel lockdown or the sandbox of the service may forbid it" },
        { NULL, EROFS, FAULT_STEP_FAILED, "/sys is mounted read-only here" },
};

static const KernelError *find(const char *attribute, int error) {
        for (size_t i = 0; i < ELEMENTSOF(kernel_error_table); i++) {
                const KernelError *row = &kernel_error_table[i];

                if (row->error == -error && (!row->attribute || streq(row->attribute, attribute)))
                        return row;
        }

        return NULL;
}

const char *kernel_error_hint(const char *attribute, int error) {
        const KernelError *row = find(attribute, error);

        return row ? row->hint : NULL;
}

FaultCode kernel_error_code(const char *attribute, int error) {
        const KernelError *row = find(attribute, error);

        return row ? row->code : FAULT_STEP_FAILED;
}
