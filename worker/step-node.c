/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Node owner: hands /dev/NAME of a device to a user. The node is opened without following anything (O_PATH),
 * its device number must be the one that sysfs states for this very device, and only then owner and mode are
 * changed through the open descriptor: what the name points to later does not matter. */

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <linux/openat2.h>
#include <sys/syscall.h>

#include "lib/parse.h"
#include "step.h"

/* udev applies its rules to a new node a little after the kernel made it; an owner set before that would be
 * overwritten. */
#define UDEV_WAIT_MSEC 2000u
#define UDEV_LONGEST_MSEC 50u
#define NODE_MODE_MASK 0777u

typedef struct NodeState {
        uint32_t uid, gid, mode;
} NodeState;

/* "vfio/17": the number in it must be the device's IOMMU group. */
static int read_group_dev(StepCall *call, int device_fd, const char *group, char *buffer, size_t size) {
        _cleanup_free_ char *path = NULL;
        char actual[32];
        ssize_t n;

        n = sysfs_link_at(device_fd, "iommu_group", actual, sizeof(actual));
        if (n == -ENOENT)
                return step_fail(call, -EXDEV, FAULT_WRONG_NODE,
                                 "%s has no IOMMU group: /dev/%s is not its node", step_sysname(call),
                                 call->step->name);
        if (n < 0)
                return step_fail(call, (int) n, FAULT_STEP_FAILED, "Cannot read the IOMMU group of %s: %s",
                                 step_sysname(call), strerrordesc_np((int) -n));
        if (!streq(actual, group))
                return step_fail(call, -EXDEV, FAULT_WRONG_NODE,
                                 "%s is in the IOMMU group %s: /dev/%s is not its node", step_sysname(call),
                                 actual, call->step->name);

        if (asprintf(&path, "/sys/class/vfio/%s/dev", group) < 0)
                return -ENOMEM;
        return (int) sysfs_read(&call->worker->sysfs, path, buffer, size);
}

/* "vfio/devices/vfio3": a character device of its own (6.6 and later), stated below the device. */
static int read_cdev_dev(int device_fd, const char *name, char *buffer, size_t size) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "vfio-dev/%s/dev", name) < 0)
                return -ENOMEM;
        return (int) sysfs_read_at(device_fd, path, buffer, size);
}

/* "bus/usb/002/005": bus and address in it must be the device's, which gets another address whenever it is
 * enumerated again. */
static int check_usb_name(StepCall *call, int device_fd) {
        char bus_text[16], address_text[16], name[64];
        uint32_t bus, address;

        if (sysfs_read_at(device_fd, "busnum", bus_text, sizeof(bus_text)) < 0 ||
            parse_uint32(bus_text, &bus) < 0 ||
            sysfs_read_at(device_fd, "devnum", address_text, sizeof(address_text)) < 0 ||
            parse_uint32(address_text, &address) < 0)
                return step_fail(call, -EXDEV, FAULT_WRONG_NODE,
                                 "%s states no bus and address: /dev/%s is not its node", step_sysname(call),
                                 call->step->name);

        (void) snprintf(name, sizeof(name), "bus/usb/%03" PRIu32 "/%03" PRIu32, bus, address);
        if (!streq(call->step->name, name))
                return step_fail(call, -EXDEV, FAULT_WRONG_NODE,
                                 "The node of %s is /dev/%s now, not /dev/%s", step_sysname(call), name,
                                 call->step->name);

        return 0;
}

/* What sysfs says the node's device number is. -ENOENT without a fault when the device has no such node
 * now. */
static int stated_dev(StepCall *call, int device_fd, dev_t *ret) {
        const char *name = call->step->name, *rest;
        unsigned major_number, minor_number;
        char text[32];
        int r;

        if ((rest = startswith(name, "vfio/devices/")))
                r = read_cdev_dev(device_fd, rest, text, sizeof(text));
        else if ((rest = startswith(name, "vfio/")))
                r = read_group_dev(call, device_fd, rest, text, sizeof(text));
        else {
                if (startswith(name, "bus/usb/")) {
                        r = check_usb_name(call, device_fd);
                        if (r < 0)
                                return r;
                }
                r = (int) sysfs_read_at(device_fd, "dev", text, sizeof(text));
        }
        if (r == -ENOENT)
                return -ENOENT;
        if (r >= 0)
                r = parse_dev(text, &major_number, &minor_number);
        if (r < 0)
                return step_fail(call, r, FAULT_STEP_FAILED,
                                 "Cannot read the device number of /dev/%s for %s: %s", name,
                                 step_sysname(call), strerrordesc_np(-r));

        *ret = makedev(major_number, minor_number);
        return 0;
}

static int open_beneath_dev(const Sysfs *sysfs, const char *name) {
        struct open_how how = {
                .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        _cleanup_free_ char *path = NULL;
        int fd;

        if (asprintf(&path, "dev/%s", name) < 0)
                return -ENOMEM;

        fd = (int) syscall(SYS_openat2, sysfs->root_fd, path, &how, sizeof(how));
        return fd < 0 ? -errno : fd;
}

/* Waits for udev where there is one: its record of the device appears when it has applied its rules. */
static int wait_for_udev(StepCall *call, dev_t dev) {
        const Sysfs *sysfs = &call->worker->sysfs;
        _cleanup_free_ char *path = NULL;
        int r;

        if (major(dev) == 0 || !sysfs_exists(sysfs, "/run/udev/control"))
                return 0;
        if (asprintf(&path, "/run/udev/data/c%u:%u", major(dev), minor(dev)) < 0)
                return -ENOMEM;

        for (unsigned waited = 0, interval = 1; waited < UDEV_WAIT_MSEC && !sysfs_exists(sysfs, path);
             waited += interval, interval = MIN_OF(interval * 2, UDEV_LONGEST_MSEC)) {
                r = worker_pause(call->worker, interval);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* Opens the node and makes sure whose it is. -ENOENT without a fault when there is none. */
static int open_node(StepCall *call, int device_fd, bool settle, int *ret_fd, NodeState *ret) {
        const char *name = call->step->name;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        dev_t dev = 0;
        int r;

        r = stated_dev(call, device_fd, &dev);
        if (r < 0)
                return r;
        if (settle) {
                r = wait_for_udev(call, dev);
                if (r < 0)
                        return r;
        }

        fd = open_beneath_dev(&call->worker->sysfs, name);
        if (fd == -ENOENT)
                return -ENOENT;
        if (fd < 0)
                return step_fail(call, fd, FAULT_WRONG_NODE, "Cannot open /dev/%s: %s", name,
                                 strerrordesc_np(-fd));
        if (fstat(fd, &st) < 0)
                return -errno;
        /* Symbolic links and directories have the number 0:0, as a node has on a host that is simulated. */
        if (S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode))
                return step_fail(call, -EXDEV, FAULT_WRONG_NODE, "/dev/%s is a %s and no device node", name,
                                 S_ISDIR(st.st_mode) ? "directory" : "symbolic link");
        if (st.st_rdev != dev)
                return step_fail(call, -EXDEV, FAULT_WRONG_NODE,
                                 "/dev/%s has the device number %u:%u, but %s has %u:%u", name,
                                 major(st.st_rdev), minor(st.st_rdev), step_sysname(call), major(dev),
                                 minor(dev));

        *ret = (NodeState){ .uid = st.st_uid, .gid = st.st_gid, .mode = st.st_mode & 07777 };
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int fail_missing(StepCall *call) {
        return step_fail(call, -ENOENT, FAULT_WRONG_NODE,
                         "%s has no node /dev/%s now: is it bound to the right driver?", step_sysname(call),
                         call->step->name);
}

static bool state_equal(const NodeState *a, const NodeState *b) {
        return a->uid == b->uid && a->gid == b->gid && a->mode == b->mode;
}

static int read_node(int fd, NodeState *ret) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;

        *ret = (NodeState){ .uid = st.st_uid, .gid = st.st_gid, .mode = st.st_mode & 07777 };
        return 0;
}

static int change_owner(StepCall *call, int fd, uid_t uid, gid_t gid) {
        int r;

        if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH) >= 0)
                return 0;

        r = -errno;
        return step_fail(call, r, FAULT_STEP_FAILED, "Cannot give /dev/%s to %u:%u: %s", call->step->name,
                         uid, gid, strerrordesc_np(-r));
}

/* fchmod() takes no O_PATH descriptor. */
static int change_mode(StepCall *call, int fd, uint32_t mode) {
        char path[sizeof("/proc/self/fd/") + 11];
        int r;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (chmod(path, mode) >= 0)
                return 0;

        r = -errno;
        return step_fail(call, r, FAULT_STEP_FAILED, "Cannot set the mode of /dev/%s to %04o: %s",
                         call->step->name, mode, strerrordesc_np(-r));
}

/* The mode is set while the node is ours: that needs no capability beside CAP_CHOWN, and the new owner never
 * has it with the old mode. */
static int set_node(StepCall *call, int fd, const NodeState *wanted) {
        NodeState found = {};
        int r;

        r = change_owner(call, fd, geteuid(), getegid());
        if (r < 0)
                return r;
        r = change_mode(call, fd, wanted->mode);
        if (r < 0)
                return r;
        r = change_owner(call, fd, wanted->uid, wanted->gid);
        if (r < 0)
                return r;

        r = read_node(fd, &found);
        if (r < 0)
                return r;
        if (!state_equal(&found, wanted))
                return step_fail(
                        call, -EIO, FAULT_STEP_FAILED,
                        "/dev/%s should belong to %u:%u with mode %04o, but belongs to %u:%u with mode %04o",
                        call->step->name, wanted->uid, wanted->gid, wanted->mode, found.uid, found.gid,
                        found.mode);

        return 0;
}

static int observe(StepCall *call, json_t **ret) {
        _cleanup_close_ int device_fd = -EBADF, fd = -EBADF;
        NodeState state = {};
        int r;

        if (call->step->mode & ~NODE_MODE_MASK)
                return step_fail(call, -EINVAL, FAULT_INVALID_VALUE,
                                 "%04o is not a mode for /dev/%s: permission bits only", call->step->mode,
                                 call->step->name);

        r = step_open_device(call, &device_fd);
        if (r < 0)
                return r;
        r = open_node(call, device_fd, true, &fd, &state);
        if (r == -ENOENT)
                return fail_missing(call);
        if (r < 0)
                return r;

        *ret = json_pack("{s:I, s:I, s:I}", "uid", (json_int_t) state.uid, "gid", (json_int_t) state.gid,
                         "mode", (json_int_t) state.mode);
        return *ret ? 0 : -ENOMEM;
}

static int run(StepCall *call) {
        const NodeState wanted = { .uid = call->step->uid,
                                   .gid = call->step->gid,
                                   .mode = call->step->mode };
        _cleanup_close_ int device_fd = -EBADF, fd = -EBADF;
        NodeState state = {};
        int r;

        r = step_open_device(call, &device_fd);
        if (r < 0)
                return r;
        r = open_node(call, device_fd, false, &fd, &state);
        if (r == -ENOENT)
                return fail_missing(call);
        if (r < 0)
                return r;

        return state_equal(&state, &wanted) ? 0 : set_node(call, fd, &wanted);
}

static int undo(StepCall *call, json_t *observed) {
        _cleanup_close_ int device_fd = -EBADF, fd = -EBADF;
        json_int_t uid, gid, mode;
        NodeState found, state = {};
        int r;

        if (json_unpack(observed, "{s:I, s:I, s:I}", "uid", &uid, "gid", &gid, "mode", &mode) < 0 ||
            uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX || mode < 0 || mode > 07777)
                return step_fail(call, -EBADMSG, FAULT_STATE_DAMAGED,
                                 "The record of the owner of /dev/%s cannot be read: nothing was restored",
                                 call->step->name);
        found = (NodeState){ .uid = (uint32_t) uid, .gid = (uint32_t) gid, .mode = (uint32_t) mode };

        r = step_open_device_for_undo(call, &device_fd);
        if (r < 0 || device_fd < 0)
                return r;
        r = open_node(call, device_fd, false, &fd, &state);
        if (r == -EXDEV && startswith(call->step->name, "bus/usb/")) {
                /* Enumerated anew, with another address: the node that was ours went with the old one. */
                fault_done(&call->fault);
                call->fault = (Fault){};
                r = -ENOENT;
        }
        if (r == -ENOENT) {
                /* The node dies with the binding, and its owner with it. */
                step_note(call, "/dev/%s is gone: nothing to restore", call->step->name);
                return 0;
        }
        if (r < 0)
                return r;

        return state_equal(&state, &found) ? 0 : set_node(call, fd, &found);
}

const StepOps step_ops_node = {
        .observe = observe,
        .run = run,
        .undo = undo,
};
