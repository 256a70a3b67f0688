/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ptvf: a pretended vGPU host driver of the kind that has no mdev, for tests.
 *
 * It takes a card that makes virtual functions (parameter gpu: QEMU's igb), lets it and its functions look like an NVIDIA L40S,
 * and calls itself "nvidia". Each virtual function is a VFIO device of this driver, with the files that NVIDIA's has:
 * nvidia/{creatable_vgpu_types,current_vgpu_type,vgpu_params,gpu_instance_id,placement_id}. It cannot be opened before it has a
 * type, and the type stays for a while after it was closed (parameter linger, milliseconds).
 *
 * The number of functions is not to be had from sriov_numvfs: the vendor's tool writes ptvf/vfs of the card. ptvf/state is what
 * a management library reads and writes, in the form of the simulated host (simhost/gpu.h), without MIG; it is gone when the
 * driver lets go of the card. When the module goes the card is what it was.
 *
 * Parameter format: how creatable_vgpu_types reads. 0: header, "NUMBER : NAME"; 1: "NAME NUMBER"; 2: the header only.
 *
 * The interfaces are those of Linux 6.1. The kernel gives its symbols to GPL modules only, and LGPL 2.1, section 3, lets this
 * file be used under the GPL.
 */

#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/vfio_pci_core.h>

#define VENDOR 0x10de
#define DEVICE 0x26b9
#define DISPLAY 0x030200
#define SUBDEVICE 0x1851
#define GIB 48
#define PARAMS_SIZE 1024
#define SCHEDULER_WORDS 4

static char *gpu = "0000:08:00.0";
module_param(gpu, charp, 0444);
MODULE_PARM_DESC(gpu, "PCI address of the card to disguise");
static unsigned int linger;
module_param(linger, uint, 0644);
MODULE_PARM_DESC(linger, "milliseconds for which a vGPU outlives its user");
static unsigned int format;
module_param(format, uint, 0644);
MODULE_PARM_DESC(format, "0: NUMBER : NAME, 1: NAME NUMBER, 2: only the header");

static const struct vf_type {
        unsigned int id, gib, max;
        const char *name;
        unsigned int n_places, places[16];
} types[] = {
        { 1141, 1, 32, "NVIDIA L40S-1B", 16, { 0, 5, 6, 11, 12, 17, 18, 23, 24, 29, 30, 35, 36, 41, 42, 47 } },
        { 1149, 12, 4, "NVIDIA L40S-12Q", 4, { 0, 12, 24, 36 } },
        { 1151, 24, 2, "NVIDIA L40S-24Q", 2, { 0, 24 } },
};

/* The card while it is bound. */
struct card {
        struct pci_dev *pdev;
        struct mutex lock; /* of all below, and of the types of its functions */
        unsigned int generation, mixed, scheduler[SCHEDULER_WORDS];
        struct list_head functions;
};

/* A virtual function; freed by VFIO when its last user is gone. */
struct function {
        struct vfio_pci_core_device core;
        struct card *card;
        struct list_head link;
        const struct vf_type *type;
        unsigned int placement;
        bool open;
        unsigned long kept_until; /* jiffies; 0: not kept */
        char params[PARAMS_SIZE];
};

static struct pci_dev *disguised;
static struct {
        unsigned short vendor, device, subvendor, subdevice;
        unsigned int class;
} before;
static unsigned int generation;

static struct function *function_of(struct device *dev)
{
        return container_of(dev_get_drvdata(dev), struct function, core);
}

/* ---- what can be made ---- */

static bool is_kept(const struct function *f)
{
        return f->open || (f->kept_until && time_before(jiffies, f->kept_until));
}

static bool find_place(struct card *card, const struct vf_type *type, const struct function *except, int wanted,
                       unsigned int *ret)
{
        DECLARE_BITMAP(taken, GIB);
        struct function *f;
        unsigned int i, n = 0;

        bitmap_zero(taken, GIB);
        list_for_each_entry(f, &card->functions, link) {
                if (!f->type || f == except)
                        continue;
                n++;
                if (!card->mixed && f->type->gib != type->gib)
                        return false;
                bitmap_set(taken, f->placement, f->type->gib);
        }
        if (!card->mixed && n >= type->max)
                return false;
        for (i = 0; i < (card->mixed ? type->n_places : type->max); i++) {
                unsigned int start = card->mixed ? type->places[i] : i * type->gib;

                if ((wanted >= 0 && start != wanted) || start + type->gib > GIB ||
                    find_next_bit(taken, start + type->gib, start) < start + type->gib)
                        continue;
                *ret = start;
                return true;
        }
        return false;
}

static ssize_t creatable_vgpu_types_show(struct device *dev, struct device_attribute *attr, char *buf)
{
        struct function *f = function_of(dev);
        unsigned int i, place;
        ssize_t n = 0;

        if (format != 1)
                n += sysfs_emit_at(buf, n, "ID    : vGPU Name\n");
        mutex_lock(&f->card->lock);
        for (i = 0; format != 2 && i < ARRAY_SIZE(types); i++) {
                if (f->type || !find_place(f->card, &types[i], NULL, -1, &place))
                        continue;
                if (format == 1)
                        n += sysfs_emit_at(buf, n, "%s %u\n", types[i].name, types[i].id);
                else
                        n += sysfs_emit_at(buf, n, "%-5u : %s\n", types[i].id, types[i].name);
        }
        mutex_unlock(&f->card->lock);
        return n;
}

static ssize_t current_vgpu_type_show(struct device *dev, struct device_attribute *attr, char *buf)
{
        struct function *f = function_of(dev);

        return sysfs_emit(buf, "%u\n", f->type ? f->type->id : 0);
}

static int set_type(struct function *f, unsigned int id)
{
        const struct vf_type *type = NULL;
        unsigned int i;

        if ((id == 0) == (f->type == NULL) || is_kept(f))
                return -EPERM;
        for (i = 0; i < ARRAY_SIZE(types); i++)
                if (types[i].id == id)
                        type = &types[i];
        if (id && !type)
                return -EINVAL;
        if (type && !find_place(f->card, type, NULL, -1, &f->placement))
                return -EIO;
        f->type = type;
        f->params[0] = '\0';
        return 0;
}

static ssize_t current_vgpu_type_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
        struct function *f = function_of(dev);
        unsigned int id;
        int r = kstrtouint(buf, 10, &id);

        if (r)
                return r;
        mutex_lock(&f->card->lock);
        r = set_type(f, id);
        mutex_unlock(&f->card->lock);
        return r ? r : count;
}

static ssize_t vgpu_params_show(struct device *dev, struct device_attribute *attr, char *buf)
{
        struct function *f = function_of(dev);

        return f->type ? sysfs_emit(buf, "%s\n", f->params) : -ENXIO;
}

/* Where sizes are mixed a vGPU goes where it is told. */
static int set_params(struct function *f, const char *text)
{
        const char *place = strstr(text, "vgpu-placement-id=");
        unsigned int id;

        if (!f->type)
                return -ENXIO;
        if (is_kept(f))
                return -EPERM;
        if (strlen(text) >= PARAMS_SIZE)
                return -E2BIG;
        if (place && f->card->mixed) {
                if (sscanf(place, "vgpu-placement-id=%u", &id) != 1 || id >= GIB ||
                    !find_place(f->card, f->type, f, id, &f->placement))
                        return -EINVAL;
        }
        strscpy(f->params, strcmp(text, " ") ? text : "", PARAMS_SIZE);
        strim(f->params);
        return 0;
}

static ssize_t vgpu_params_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
        struct function *f = function_of(dev);
        int r;

        mutex_lock(&f->card->lock);
        r = set_params(f, buf);
        mutex_unlock(&f->card->lock);
        return r ? r : count;
}

static ssize_t gpu_instance_id_show(struct device *dev, struct device_attribute *attr, char *buf)
{
        return function_of(dev)->type ? sysfs_emit(buf, "0\n") : -ENXIO;
}

static ssize_t placement_id_show(struct device *dev, struct device_attribute *attr, char *buf)
{
        struct function *f = function_of(dev);

        return f->type ? sysfs_emit(buf, "%u\n", f->placement) : -ENXIO;
}

static DEVICE_ATTR_RO(creatable_vgpu_types);
static DEVICE_ATTR_RW(current_vgpu_type);
static DEVICE_ATTR_RW(vgpu_params);
static DEVICE_ATTR_RO(gpu_instance_id);
static DEVICE_ATTR_RO(placement_id);
static struct attribute *function_attributes[] = {
        &dev_attr_creatable_vgpu_types.attr, &dev_attr_current_vgpu_type.attr, &dev_attr_vgpu_params.attr,
        &dev_attr_gpu_instance_id.attr,      &dev_attr_placement_id.attr,      NULL,
};
static const struct attribute_group function_group = { .name = "nvidia", .attrs = function_attributes };

/* ---- a function as a VFIO device ---- */

static int function_open(struct vfio_device *vdev)
{
        struct function *f = container_of(vdev, struct function, core.vdev);
        int r;

        mutex_lock(&f->card->lock);
        f->open = f->type != NULL;
        mutex_unlock(&f->card->lock);
        if (!f->open)
                return -ENODEV;
        r = vfio_pci_core_enable(&f->core);
        if (r)
                f->open = false;
        else
                vfio_pci_core_finish_enable(&f->core);
        return r;
}

static void function_close(struct vfio_device *vdev)
{
        struct function *f = container_of(vdev, struct function, core.vdev);

        vfio_pci_core_close_device(vdev);
        mutex_lock(&f->card->lock);
        f->open = false;
        f->kept_until = linger ? jiffies + msecs_to_jiffies(linger) : 0;
        mutex_unlock(&f->card->lock);
}

static const struct vfio_device_ops function_ops = {
        .name = "ptvf",
        .init = vfio_pci_core_init_dev,
        .release = vfio_pci_core_release_dev,
        .open_device = function_open,
        .close_device = function_close,
        .ioctl = vfio_pci_core_ioctl,
        .device_feature = vfio_pci_core_ioctl_feature,
        .read = vfio_pci_core_read,
        .write = vfio_pci_core_write,
        .mmap = vfio_pci_core_mmap,
        .request = vfio_pci_core_request,
        .match = vfio_pci_core_match,
};

static int function_probe(struct pci_dev *pdev, struct card *card)
{
        struct function *f;
        int r;

        f = vfio_alloc_device(function, core.vdev, &pdev->dev, &function_ops);
        if (IS_ERR(f))
                return PTR_ERR(f);
        f->card = card;
        dev_set_drvdata(&pdev->dev, &f->core);
        r = sysfs_create_group(&pdev->dev.kobj, &function_group);
        if (!r) {
                r = vfio_pci_core_register_device(&f->core);
                if (r)
                        sysfs_remove_group(&pdev->dev.kobj, &function_group);
        }
        if (r) {
                vfio_put_device(&f->core.vdev);
                return r;
        }
        mutex_lock(&card->lock);
        list_add_tail(&f->link, &card->functions);
        mutex_unlock(&card->lock);
        return 0;
}

static void function_remove(struct pci_dev *pdev)
{
        struct function *f = function_of(&pdev->dev);

        sysfs_remove_group(&pdev->dev.kobj, &function_group);
        vfio_pci_core_unregister_device(&f->core); /* waits for the last user */
        mutex_lock(&f->card->lock);
        list_del(&f->link);
        mutex_unlock(&f->card->lock);
        vfio_put_device(&f->core.vdev);
}

/* ---- the card ---- */

static ssize_t vfs_show(struct device *dev, struct device_attribute *attr, char *buf)
{
        return sysfs_emit(buf, "%d\n", pci_num_vf(to_pci_dev(dev)));
}

static ssize_t vfs_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
        struct pci_dev *pdev = to_pci_dev(dev);
        unsigned int n;
        int r = kstrtouint(buf, 10, &n);

        if (r)
                return r;
        if (!device_trylock(dev))
                return -EAGAIN;
        pci_disable_sriov(pdev);
        r = n ? pci_enable_sriov(pdev, n) : 0;
        device_unlock(dev);
        return r ? r : count;
}

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
        struct card *card = dev_get_drvdata(dev);
        struct function *f;
        ssize_t n;

        mutex_lock(&card->lock);
        n = sysfs_emit(buf, "generation %u;vfs %d;mig 0 0;mixed %u;scheduler %u %u %u %u", card->generation,
                       pci_num_vf(card->pdev), card->mixed, card->scheduler[0], card->scheduler[1], card->scheduler[2],
                       card->scheduler[3]);
        list_for_each_entry(f, &card->functions, link)
                if (f->type)
                        n += sysfs_emit_at(buf, n, ";vgpu %s %u 0 %u %d", pci_name(f->core.pdev), f->type->id, f->placement,
                                           is_kept(f));
        mutex_unlock(&card->lock);
        return n + sysfs_emit_at(buf, n, "\n");
}

static ssize_t state_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t count)
{
        struct card *card = dev_get_drvdata(dev);
        unsigned int made, mig, pending, mixed, words[SCHEDULER_WORDS];
        int r = 0;

        if (sscanf(buf, "generation %u;mig %u %u;mixed %u;scheduler %u %u %u %u", &made, &mig, &pending, &mixed, &words[0],
                   &words[1], &words[2], &words[3]) != 8)
                return -EINVAL;
        mutex_lock(&card->lock);
        if (made != card->generation)
                r = -ESTALE;
        else {
                card->mixed = mixed;
                memcpy(card->scheduler, words, sizeof(words));
        }
        mutex_unlock(&card->lock);
        return r ? r : count;
}

static DEVICE_ATTR_RW(vfs);
static DEVICE_ATTR_RW(state);
static struct attribute *card_attributes[] = { &dev_attr_vfs.attr, &dev_attr_state.attr, NULL };
static const struct attribute_group card_group = { .name = "ptvf", .attrs = card_attributes };

static int card_probe(struct pci_dev *pdev)
{
        struct card *card = kzalloc(sizeof(*card), GFP_KERNEL);
        int r;

        if (!card)
                return -ENOMEM;
        card->pdev = pdev;
        card->generation = ++generation;
        mutex_init(&card->lock);
        INIT_LIST_HEAD(&card->functions);
        pci_set_drvdata(pdev, card);
        r = pci_enable_device(pdev);
        if (!r) {
                r = sysfs_create_group(&pdev->dev.kobj, &card_group);
                if (r)
                        pci_disable_device(pdev);
        }
        if (r)
                kfree(card);
        return r;
}

static void card_remove(struct pci_dev *pdev)
{
        struct card *card = pci_get_drvdata(pdev);

        pci_disable_sriov(pdev);
        sysfs_remove_group(&pdev->dev.kobj, &card_group);
        pci_disable_device(pdev);
        kfree(card);
}

static int gpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
        if (!pdev->is_virtfn)
                return pdev == disguised ? card_probe(pdev) : -ENODEV;
        if (pdev->physfn != disguised || !pci_get_drvdata(pdev->physfn))
                return -ENODEV;
        return function_probe(pdev, pci_get_drvdata(pdev->physfn));
}

static void gpu_remove(struct pci_dev *pdev)
{
        if (pdev->is_virtfn)
                function_remove(pdev);
        else
                card_remove(pdev);
}

static int no_sriov_numvfs(struct pci_dev *pdev, int n)
{
        return -EPERM;
}

static const struct pci_device_id gpu_ids[] = { { PCI_DEVICE(VENDOR, DEVICE) }, {} };

static struct pci_driver gpu_driver = {
        .name = "nvidia",
        .id_table = gpu_ids,
        .probe = gpu_probe,
        .remove = gpu_remove,
        .sriov_configure = no_sriov_numvfs,
        .driver_managed_dma = true,
};

/* ---- the disguise ---- */

static void put_on(struct pci_dev *pdev)
{
        pdev->vendor = VENDOR;
        pdev->device = DEVICE;
        pdev->subsystem_vendor = VENDOR;
        pdev->subsystem_device = SUBDEVICE;
        pdev->class = DISPLAY;
}

/* Functions are disguised before anybody hears of them. */
static int on_bus(struct notifier_block *block, unsigned long event, void *data)
{
        struct pci_dev *pdev = to_pci_dev(data);

        if (event == BUS_NOTIFY_ADD_DEVICE && pdev->is_virtfn && pdev->physfn == disguised)
                put_on(pdev);
        return NOTIFY_OK;
}

static struct notifier_block notifier = { .notifier_call = on_bus };

static int find_card(void)
{
        unsigned int domain, bus, slot, function;

        if (sscanf(gpu, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
                return -EINVAL;
        disguised = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
        return disguised ? 0 : -ENODEV;
}

static int __init ptvf_init(void)
{
        int r = find_card();

        if (r)
                return r;
        device_release_driver(&disguised->dev);
        before.vendor = disguised->vendor;
        before.device = disguised->device;
        before.subvendor = disguised->subsystem_vendor;
        before.subdevice = disguised->subsystem_device;
        before.class = disguised->class;
        put_on(disguised);
        bus_register_notifier(&pci_bus_type, &notifier);
        r = pci_register_driver(&gpu_driver);
        kobject_uevent(&disguised->dev.kobj, KOBJ_CHANGE);
        return r;
}

static void __exit ptvf_exit(void)
{
        pci_unregister_driver(&gpu_driver);
        bus_unregister_notifier(&pci_bus_type, &notifier);
        disguised->vendor = before.vendor;
        disguised->device = before.device;
        disguised->subsystem_vendor = before.subvendor;
        disguised->subsystem_device = before.subdevice;
        disguised->class = before.class;
        if (device_attach(&disguised->dev) < 0)
                pci_warn(disguised, "has no driver any more\n");
        pci_dev_put(disguised);
}

module_init(ptvf_init);
module_exit(ptvf_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("pretended vGPU host driver with virtual functions, for tests");
