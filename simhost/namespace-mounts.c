/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "namespace-mounts.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fake-kernel.h"

#define NEW_DEV SIMHOST_RUN "/dev"
#define STATE_DIRECTORY "/var/lib/passthroughd"

/* /sys itself stays the real one, because libusb asks what file system it is. */
static const char *const sysfs_parts[] = {
        "bus", "class", "dev", "devices", "block", "module", "firmware", "kernel/iommu_groups",
};

static const char *const file_systems[] = { "/sys/fs/btrfs", "/sys/fs/ext4", "/sys/fs/f2fs", "/sys/fs/xfs" };

static const char *const proc_files[] = { "cmdline", "cpuinfo", "interrupts", "swaps", "sys/kernel/random/boot_id" };

/* Nodes of the machine that the host keeps, where the machine has them. */
static const char *const device_nodes[] = {
        "null", "zero", "full",    "random", "urandom", "tty", "ptmx",
        "fuse", "kvm",  "console", "net",    "pts",     "shm",
};

static int bind_mount(const char *what, const char *where) {
        if (mount(what, where, NULL, MS_BIND | MS_REC, NULL) < 0) {
                int r = -errno;

                complain("cannot mount %s on %s: %s", what, where, strerror(-r));
                return r;
        }
        return 0;
}

static int mount_new(const char *type, const char *where, unsigned long flags, const char *options) {
        if (mount(type, where, type, flags, options) < 0) {
                int r = -errno;

                complain("cannot mount a new %s on %s: %s", type, where, strerror(-r));
                return r;
        }
        return 0;
}

/* Parts of the host are named by way of the open directory: where it lies may be hidden by now. */
static const char *host_path(Path *p, Tree *t, const char *part) {
        return path_make(p, "/proc/self/fd/%d/%s", tree_fd(t), part);
}

static int mount_sysfs(Tree *t) {
        _cleanup_close_ int cpus =
                open_tree(AT_FDCWD, "/sys/devices/system/cpu", OPEN_TREE_CLONE | AT_RECURSIVE | O_CLOEXEC);
        Path what, where, part;
        int r;

        for (size_t i = 0; i < ELEMENTS(sysfs_parts); i++) {
                path_make(&where, "/sys/%s", sysfs_parts[i]);
                path_make(&part, "sys/%s", sysfs_parts[i]);
                if (access(where.s, F_OK) < 0) {
                        /* A kernel without IOMMU support has no place for the groups. */
                        path_parent(&where, path_make(&what, "%s", where.s));
                        path_make(&part, "sys/kernel");
                        if (!string_equal(where.s, "/sys/kernel"))
                                continue;
                }
                r = bind_mount(host_path(&what, t, part.s), where.s);
                if (r < 0)
                        return r;
        }
        /* File systems of the machine list its disks there by names that this host's may have. */
        for (size_t i = 0; i < ELEMENTS(file_systems); i++) {
                if (access(file_systems[i], F_OK) < 0)
                        continue;
                r = mount_new("tmpfs", file_systems[i], MS_NOSUID | MS_NODEV, "mode=0755");
                if (r < 0)
                        return r;
        }
        /* libc asks here how many processors there are. */
        if (cpus >= 0 &&
            move_mount(cpus, "", AT_FDCWD, "/sys/devices/system/cpu", MOVE_MOUNT_F_EMPTY_PATH) < 0)
                complain("cannot keep /sys/devices/system/cpu: %m");
        return 0;
}

static int mount_proc_files(Tree *t) {
        Path what, where, part;
        int r = 0;

        for (size_t i = 0; i < ELEMENTS(proc_files) && r >= 0; i++) {
                path_make(&part, "proc/%s", proc_files[i]);
                path_make(&where, "/%s", part.s);
                r = bind_mount(host_path(&what, t, part.s), where.s);
        }
        return r;
}

static int mount_run(void) {
        static const char *const directories[] = {
                "/run/udev", "/run/lock", "/run/dbus", "/run/systemd", SIMHOST_RUN, SIMHOST_FS, NEW_DEV,
        };
        int r;

        /* A host that is built in memory lies here: as many names as it takes. */
        r = mount_new("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755,nr_inodes=0");
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(directories); i++)
                if (mkdir(directories[i], 0755) < 0) {
                        complain("cannot make %s: %m", directories[i]);
                        return -errno;
                }
        return symlink(SIMHOST_FS "/control", SIMHOST_CONTROL) < 0 ? -errno : 0;
}

static int keep_node(const char *name) {
        struct stat st;
        Path what, where;

        if (stat(path_make(&what, "/dev/%s", name), &st) < 0)
                return 0;
        path_make(&where, NEW_DEV "/%s", name);
        if ((S_ISDIR(st.st_mode) ? mkdir(where.s, 0755) : mknod(where.s, S_IFREG | 0644, 0)) < 0)
                return -errno;
        return bind_mount(what.s, where.s);
}

static int mount_dev(Tree *t) {
        static const char *const links[][2] = {
                { "/proc/self/fd", "fd" },
                { "fd/0", "stdin" },
                { "fd/1", "stdout" },
                { "fd/2", "stderr" },
        };
        Path what;
        int r;

        r = mount_new("tmpfs", NEW_DEV, MS_NOSUID, "mode=0755");
        for (size_t i = 0; i < ELEMENTS(device_nodes) && r >= 0; i++)
                r = keep_node(device_nodes[i]);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(links); i++) {
                Path link;

                if (symlink(links[i][0], path_make(&link, NEW_DEV "/%s", links[i][1])) < 0)
                        return -errno;
        }
        if (mkdir(NEW_DEV "/vfio", 0755) < 0 || mkdir(NEW_DEV "/bus", 0755) < 0 ||
            mkdir(NEW_DEV "/bus/usb", 0755) < 0)
                return -errno;
        r = bind_mount(host_path(&what, t, "dev/bus/usb"), NEW_DEV "/bus/usb");
        if (r < 0)
                return r;
        if (mount(NEW_DEV, "/dev", NULL, MS_MOVE, NULL) < 0) {
                complain("cannot move the new /dev into place: %m");
                return -errno;
        }
        return 0;
}

/* What the service remembers must not come from the machine, nor stay on it. */
static int mount_state(void) {
        if (access(STATE_DIRECTORY, F_OK) >= 0)
                return mount_new("tmpfs", STATE_DIRECTORY, MS_NOSUID | MS_NODEV, "mode=0700");
        if (mkdir(SIMHOST_RUN "/state", 0700) < 0)
                return -errno;
        return setenv("STATE_DIRECTORY", SIMHOST_RUN "/state", 0) < 0 ? -errno : 0;
}

static void raise_loopback(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
                complain("cannot bring up the loopback interface: %m");
}

/* The file systems that are really mounted lie on disks of the machine, which this host has not got. Its
 * system disk takes their place, so that what looks for the disks in use finds one that is. A host without one
 * runs from memory. */
static void adopt_mounts(Tree *t) {
        _cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
        char line[4096], disk[PATH_MAX], *words[4];

        if (!f)
                return;
        if (tree_read(t, "kernel", "system-disk", disk, sizeof(disk)) < 0) {
                copy_text(disk, sizeof(disk), "sys/devices/virtual/block/ram0");
                tree_make_directory(t, disk);
        }
        /* The third word is the device's number; those with major 0 are no disks. */
        while (fgets(line, sizeof(line), f))
                if (split_words(line, words, ELEMENTS(words)) >= 3 && !string_starts(words[2], "0:"))
                        tree_symlink(t, disk, "sys/dev/block", words[2]);
}

int namespace_prepare(void) {
        int r;

        /* Nothing of this may be seen outside. */
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
                complain("cannot make mounts private: %m");
                return -errno;
        }
        r = mount_new("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
        return r < 0 ? r : mount_run();
}

int namespace_mount(Tree *t) {
        Path udev;
        int r;

        r = mount_proc_files(t);
        if (r >= 0)
                r = mount_sysfs(t);
        if (r >= 0)
                r = bind_mount(host_path(&udev, t, "run/udev"), "/run/udev");
        if (r >= 0)
                r = mount_dev(t);
        if (r >= 0)
                r = mount_state();
        if (r < 0)
                return r;
        raise_loopback();
        adopt_mounts(t);
        return tree_failed(t);
}

int namespace_mount_kernel(void) {
        /* Only what is written to: a directory of that file system in the path to an attribute makes
         * opening it slower by a tenth. */
        static const char *const served[][2] = {
                { "vfio", "/dev/vfio" },
                { "pci/drivers", "/sys/bus/pci/drivers" },
                { "pci/drivers_probe", "/sys/bus/pci/drivers_probe" },
                { "pci/rescan", "/sys/bus/pci/rescan" },
                { "usb/drivers", "/sys/bus/usb/drivers" },
                { "usb/drivers_probe", "/sys/bus/usb/drivers_probe" },
        };
        Path what;
        int r = 0;

        for (size_t i = 0; i < ELEMENTS(served) && r >= 0; i++)
                r = bind_mount(path_make(&what, SIMHOST_FS "/%s", served[i][0]), served[i][1]);
        return r;
}
