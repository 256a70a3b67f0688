/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ptvgpu: a pretended vGPU host driver, for tests.
 *
 * It takes QEMU's "edu" PCI device (1234:11e8) and makes it an mdev parent with the sysfs shape that
 * NVIDIA's vGPU manager has on kernels of that time: mdev_supported_types/nvidia-N/ with name, description,
 * available_instances and device_api. The PCI driver calls itself "nvidia" because the kernel puts the
 * driver's name before the type's. One type at a time per GPU: as soon as a vGPU exists, all other types
 * have no instances left. The vGPUs can be opened through VFIO and have a configuration region with nothing
 * behind it.
 *
 * Parameter fail: 1 makes each creation fail with EIO, 2 makes each take three seconds.
 *
 * The interfaces are those of Linux 6.1. The kernel gives its symbols to GPL modules only, and LGPL 2.1,
 * section 3, lets this file be used under the GPL.
 */

#include <linux/delay.h>
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#define N_TYPES 3
#define CONFIG_SIZE 256
#define SLOW_MSEC 3000

enum { FAIL_NEVER, FAIL_EIO, FAIL_SLOW };

static int fail = FAIL_NEVER;
module_param(fail, int, 0644);
MODULE_PARM_DESC(fail, "1: creation fails with EIO, 2: creation takes 3 s");

static const struct {
        const char *id;
        const char *name;
        unsigned int max;
        unsigned int framebuffer; /* MiB */
} type_specs[N_TYPES] = {
        { "63", "GRID PT40-1Q", 8, 1024 },
        { "64", "GRID PT40-2Q", 4, 2048 },
        { "65", "GRID PT40-8Q", 1, 8192 },
};

/* One GPU; lives as long as its PCI device is bound. */
struct gpu {
        struct mdev_parent parent;
        struct mdev_type types[N_TYPES];
        struct mdev_type *type_list[N_TYPES];
        struct mutex lock; /* of used */
        unsigned int used[N_TYPES];
};

/* One vGPU; freed by VFIO when its last user is gone. */
struct vgpu {
        struct vfio_device vdev;
        struct gpu *gpu;
        unsigned int type;
        u8 config[CONFIG_SIZE];
};

static struct gpu *gpu_of(struct mdev_type *type)
{
        return container_of(type->parent, struct gpu, parent);
}

static unsigned int index_of(struct mdev_type *type)
{
        return type - gpu_of(type)->types;
}

static struct vgpu *vgpu_of(struct vfio_device *vdev)
{
        return container_of(vdev, struct vgpu, vdev);
}

static unsigned int available(struct gpu *gpu, unsigned int type)
{
        unsigned int i;

        lockdep_assert_held(&gpu->lock);
        for (i = 0; i < N_TYPES; i++)
                if (i != type && gpu->used[i] > 0)
                        return 0;
        return type_specs[type].max - gpu->used[type];
}

static int take_slot(struct gpu *gpu, unsigned int type)
{
        int r = -ENOSPC;

        mutex_lock(&gpu->lock);
        if (available(gpu, type) > 0) {
                gpu->used[type]++;
                r = 0;
        }
        mutex_unlock(&gpu->lock);
        return r;
}

static void return_slot(struct gpu *gpu, unsigned int type)
{
        mutex_lock(&gpu->lock);
        gpu->used[type]--;
        mutex_unlock(&gpu->lock);
}

/* ---- the vGPU as a VFIO device ---- */

static int vgpu_init(struct vfio_device *vdev)
{
        u8 *config = vgpu_of(vdev)->config;

        /* as a vGPU names itself: vendor 10de, device 1b38, class 0300 */
        config[PCI_VENDOR_ID] = 0xde;
        config[PCI_VENDOR_ID + 1] = 0x10;
        config[PCI_DEVICE_ID] = 0x38;
        config[PCI_DEVICE_ID + 1] = 0x1b;
        config[PCI_CLASS_DEVICE + 1] = PCI_BASE_CLASS_DISPLAY;
        return 0;
}

static void vgpu_release(struct vfio_device *vdev)
{
        vfio_free_device(vdev);
}

static ssize_t vgpu_read(struct vfio_device *vdev, char __user *to, size_t count, loff_t *pos)
{
        return simple_read_from_buffer(to, count, pos, vgpu_of(vdev)->config, CONFIG_SIZE);
}

static ssize_t vgpu_write(struct vfio_device *vdev, const char __user *from, size_t count, loff_t *pos)
{
        *pos += count;
        return count;
}

static long get_info(void __user *arg)
{
        struct vfio_device_info info = {
                .argsz = sizeof(info),
                .flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
                .num_regions = VFIO_PCI_NUM_REGIONS,
                .num_irqs = VFIO_PCI_NUM_IRQS,
        };

        return copy_to_user(arg, &info, offsetofend(struct vfio_device_info, num_irqs)) ? -EFAULT : 0;
}

static long get_region_info(void __user *arg)
{
        struct vfio_region_info region;

        if (copy_from_user(&region, arg, sizeof(region)))
                return -EFAULT;
        region.offset = 0;
        region.size = 0;
        region.flags = 0;
        if (region.index == VFIO_PCI_CONFIG_REGION_INDEX) {
                region.size = CONFIG_SIZE;
                region.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
        }
        return copy_to_user(arg, &region, sizeof(region)) ? -EFAULT : 0;
}

static long vgpu_ioctl(struct vfio_device *vdev, unsigned int command, unsigned long arg)
{
        switch (command) {
        case VFIO_DEVICE_GET_INFO:
                return get_info((void __user *) arg);
        case VFIO_DEVICE_GET_REGION_INFO:
                return get_region_info((void __user *) arg);
        case VFIO_DEVICE_RESET:
                return 0;
        default:
                return -ENOTTY;
        }
}

static const struct vfio_device_ops vgpu_ops = {
        .name = "ptvgpu",
        .init = vgpu_init,
        .release = vgpu_release,
        .read = vgpu_read,
        .write = vgpu_write,
        .ioctl = vgpu_ioctl,
};

/* ---- mdev ---- */

static unsigned int type_available(struct mdev_type *type)
{
        struct gpu *gpu = gpu_of(type);
        unsigned int n;

        mutex_lock(&gpu->lock);
        n = available(gpu, index_of(type));
        mutex_unlock(&gpu->lock);
        return n;
}

static ssize_t type_description(struct mdev_type *type, char *buf)
{
        unsigned int i = index_of(type);

        return sprintf(buf,
                       "num_heads=4, frl_config=60, framebuffer=%uM, max_resolution=5120x2880, "
                       "max_instance=%u\n",
                       type_specs[i].framebuffer, type_specs[i].max);
}

static int vgpu_create(struct mdev_device *mdev, struct gpu *gpu, unsigned int type)
{
        struct vgpu *vgpu;
        int r;

        vgpu = vfio_alloc_device(vgpu, vdev, &mdev->dev, &vgpu_ops);
        if (IS_ERR(vgpu))
                return PTR_ERR(vgpu);
        vgpu->gpu = gpu;
        vgpu->type = type;
        r = vfio_register_emulated_iommu_dev(&vgpu->vdev);
        if (r) {
                vfio_put_device(&vgpu->vdev);
                return r;
        }
        dev_set_drvdata(&mdev->dev, vgpu);
        return 0;
}

static int vgpu_probe(struct mdev_device *mdev)
{
        struct gpu *gpu = gpu_of(mdev->type);
        unsigned int type = index_of(mdev->type);
        int r;

        if (fail == FAIL_EIO)
                return -EIO;
        if (fail == FAIL_SLOW)
                msleep(SLOW_MSEC);
        r = take_slot(gpu, type);
        if (r)
                return r;
        r = vgpu_create(mdev, gpu, type);
        if (r)
                return_slot(gpu, type);
        return r;
}

static void vgpu_remove(struct mdev_device *mdev)
{
        struct vgpu *vgpu = dev_get_drvdata(&mdev->dev);
        struct gpu *gpu = vgpu->gpu;
        unsigned int type = vgpu->type;

        vfio_unregister_group_dev(&vgpu->vdev); /* waits for the last user */
        vfio_put_device(&vgpu->vdev);
        return_slot(gpu, type);
}

static struct mdev_driver vgpu_driver = {
        .device_api = VFIO_DEVICE_API_PCI_STRING,
        .max_instances = 64,
        .probe = vgpu_probe,
        .remove = vgpu_remove,
        .get_available = type_available,
        .show_description = type_description,
        .driver = {
                .name = "nvidia-vgpu-vfio",
                .owner = THIS_MODULE,
                .mod_name = KBUILD_MODNAME,
        },
};

/* ---- the GPU ---- */

static int gpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
        struct gpu *gpu;
        int i, r;

        gpu = kzalloc(sizeof(*gpu), GFP_KERNEL);
        if (!gpu)
                return -ENOMEM;
        mutex_init(&gpu->lock);
        for (i = 0; i < N_TYPES; i++) {
                gpu->types[i].sysfs_name = type_specs[i].id;
                gpu->types[i].pretty_name = type_specs[i].name;
                gpu->type_list[i] = &gpu->types[i];
        }
        pci_set_drvdata(pdev, gpu);
        r = mdev_register_parent(&gpu->parent, &pdev->dev, &vgpu_driver, gpu->type_list, N_TYPES);
        if (r)
                kfree(gpu);
        return r;
}

static void gpu_remove(struct pci_dev *pdev)
{
        struct gpu *gpu = pci_get_drvdata(pdev);

        mdev_unregister_parent(&gpu->parent);
        kfree(gpu);
}

/* Not exported with MODULE_DEVICE_TABLE: the module must come only when a test loads it. */
static const struct pci_device_id gpu_ids[] = {
        { PCI_DEVICE(0x1234, 0x11e8) },
        {}
};

static struct pci_driver gpu_driver = {
        .name = "nvidia",
        .id_table = gpu_ids,
        .probe = gpu_probe,
        .remove = gpu_remove,
};

static int __init ptvgpu_init(void)
{
        int r;

        r = mdev_register_driver(&vgpu_driver);
        if (r)
                return r;
        r = pci_register_driver(&gpu_driver);
        if (r)
                mdev_unregister_driver(&vgpu_driver);
        return r;
}

static void __exit ptvgpu_exit(void)
{
        pci_unregister_driver(&gpu_driver);
        mdev_unregister_driver(&vgpu_driver);
}

module_init(ptvgpu_init);
module_exit(ptvgpu_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("pretended vGPU host driver on QEMU's edu device, for tests");
