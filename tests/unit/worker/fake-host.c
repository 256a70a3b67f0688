/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-host.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/macro.h"

/* The writes of this process go to this host. */
static FakeHost *current_host;

static void require(bool condition, const char *what, const char *detail) {
        if (condition)
                return;

        (void) fprintf(stderr, "fake host: %s %s: %s\n", what, detail, strerror(errno));
        abort();
}

static const char *full_path(const FakeHost *host, const char *path) {
        static char buffers[4][1024];
        static unsigned next;
        char *buffer = buffers[next++ % ELEMENTSOF(buffers)];

        (void) snprintf(buffer, sizeof(buffers[0]), "%s/%s", host->root, path);
        return buffer;
}

void fake_make_directory(const FakeHost *host, const char *path) {
        char full[512];

        (void) snprintf(full, sizeof(full), "%s/%s/", host->root, path);
        for (char *p = full + strlen(host->root) + 1; *p; p++)
                if (*p == '/') {
                        *p = '\0';
                        require(mkdir(full, 0755) == 0 || errno == EEXIST, "cannot make", full);
                        *p = '/';
                }
}

void fake_write_file(const FakeHost *host, const char *path, const char *text) {
        FILE *stream = fopen(full_path(host, path), "we");

        require(stream != NULL, "cannot write", path);
        (void) fprintf(stream, "%s\n", text);
        require(fclose(stream) == 0, "cannot write", path);
}

void fake_remove_file(const FakeHost *host, const char *path) {
        require(remove(full_path(host, path)) == 0 || errno == ENOENT, "cannot remove", path);
}

void fake_link(const FakeHost *host, const char *path, const char *target) {
        require(symlink(target, full_path(host, path)) == 0, "cannot link", path);
}

char *fake_read(const FakeHost *host, const char *path) {
        char text[4096];
        ssize_t n;
        int fd;

        fd = open(full_path(host, path), O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        n = read(fd, text, sizeof(text) - 1);
        (void) close(fd);
        if (n < 0)
                return NULL;
        while (n > 0 && text[n - 1] == '\n')
                n--;
        text[n] = '\0';
        return strdup(text);
}

/* Like the kernel's: deep enough for the "../" of driver links. */
static const char *device_directory(const char *subsystem, const char *sysname) {
        static char buffers[4][256];
        static unsigned next;
        char *buffer = buffers[next++ % ELEMENTSOF(buffers)];

        (void) snprintf(buffer, sizeof(buffers[0]), "sys/devices/%s0/%s", subsystem, sysname);
        return buffer;
}

const char *fake_attribute(const char *subsystem, const char *sysname, const char *attribute) {
        static char buffers[4][300];
        static unsigned next;
        char *buffer = buffers[next++ % ELEMENTSOF(buffers)];

        (void) snprintf(buffer, sizeof(buffers[0]), "%s/%s", device_directory(subsystem, sysname),
                        attribute);
        return buffer;
}

const char *fake_driver(const FakeHost *host, const char *subsystem, const char *sysname) {
        static char target[256];
        const char *path = fake_attribute(subsystem, sysname, "driver");
        ssize_t n;

        n = readlink(full_path(host, path), target, sizeof(target) - 1);
        if (n < 0)
                return "";
        target[n] = '\0';
        return strrchr(target, '/') + 1;
}

const char *fake_override(const FakeHost *host, const char *sysname) {
        static char buffer[256];
        char *text = fake_read(host, fake_attribute("pci", sysname, "driver_override"));

        (void) snprintf(buffer, sizeof(buffer), "%s", text && !streq(text, "(null)") ? text : "");
        free(text);
        return buffer;
}

void fake_set_driver(const FakeHost *host, const char *subsystem, const char *sysname, const char *driver) {
        const char *link = fake_attribute(subsystem, sysname, "driver");
        char target[256];

        fake_remove_file(host, link);
        if (!driver)
                return;
        (void) snprintf(target, sizeof(target), "../../../bus/%s/drivers/%s", subsystem, driver);
        fake_link(host, link, target);
}

/* Which driver knows the device by its ids. */
static const char *native_driver(const char *sysname) {
        return streq(sysname, FAKE_NIC) ? "e1000e" : streq(sysname, FAKE_USB) ? "usb-storage" : "";
}

static int probe(FakeHost *host, const char *bus, const char *sysname, const char *driver) {
        if (host->kernel->probe_errno != 0)
                return -host->kernel->probe_errno;

        fake_set_driver(host, bus, sysname, driver);
        return 0;
}

static bool driver_exists(FakeHost *host, const char *bus, const char *driver) {
        char path[256];

        (void) snprintf(path, sizeof(path), "sys/bus/%s/drivers/%s", bus, driver);
        return access(full_path(host, path), F_OK) == 0;
}

static bool device_exists(FakeHost *host, const char *bus, const char *sysname) {
        return access(full_path(host, device_directory(bus, sysname)), F_OK) == 0;
}

static bool driver_matches(FakeHost *host, const char *bus, const char *sysname, const char *driver) {
        const char *override = streq(bus, "pci") ? fake_override(host, sysname) : "";

        return isempty(override) ? streq(driver, native_driver(sysname)) : streq(override, driver);
}

static int write_unbind(FakeHost *host, const char *bus, const char *driver, const char *sysname) {
        if (!streq(fake_driver(host, bus, sysname), driver))
                return -ENODEV;
        if (!host->kernel->unbind_stuck)
                fake_set_driver(host, bus, sysname, NULL);
        return 0;
}

static int write_bind(FakeHost *host, const char *bus, const char *driver, const char *sysname) {
        if (!device_exists(host, bus, sysname) || !driver_matches(host, bus, sysname, driver))
                return -ENODEV;
        if (!isempty(fake_driver(host, bus, sysname)))
                return -EBUSY;
        return probe(host, bus, sysname, driver);
}

/* Success even if no driver takes the device. */
static int write_drivers_probe(FakeHost *host, const char *bus, const char *sysname) {
        const char *override = streq(bus, "pci") ? fake_override(host, sysname) : "";
        const char *driver = isempty(override) ? native_driver(sysname) : override;

        if (!device_exists(host, bus, sysname))
                return -ENODEV;
        if (host->kernel->rival)
                driver = host->kernel->rival;
        if (isempty(fake_driver(host, bus, sysname)) && driver_exists(host, bus, driver))
                (void) probe(host, bus, sysname, driver);
        return 0;
}

/* The kernel's part of it, without the functions themselves: a link each (drivers/pci/iov.c). */
static void make_vf_links(FakeHost *host, const char *directory, unsigned from, unsigned to, bool there) {
        char link[256];

        for (unsigned i = from; i < to; i++) {
                (void) snprintf(link, sizeof(link), "%.200s/virtfn%u", directory, i);
                if (there)
                        fake_link(host, link, "../vf");
                else
                        fake_remove_file(host, link);
        }
}

static int write_numvfs(FakeHost *host, const char *path, const char *text) {
        char directory[200], number[32];
        char *found = fake_read(host, path);
        unsigned current = (unsigned) strtoul(found ? found : "0", NULL, 10), wanted;

        free(found);
        (void) snprintf(directory, sizeof(directory), "%.*s", (int) (strrchr(path, '/') - path), path);
        wanted = (unsigned) strtoul(text, NULL, 10);
        if (wanted == current)
                return 0;
        if (wanted != 0 && current != 0)
                return -EBUSY;
        if (host->kernel->vf_limit > 0)
                wanted = MIN_OF(wanted, host->kernel->vf_limit);
        (void) snprintf(number, sizeof(number), "%u", wanted);
        fake_write_file(host, path, number);
        make_vf_links(host, directory, 0, current, false);
        if (!host->kernel->vfs_shy) {
                make_vf_links(host, directory, 0, wanted, true);
                return 0;
        }
        if (fork() == 0) {
                (void) usleep(50 * 1000);
                make_vf_links(host, directory, 0, wanted, true);
                _exit(0);
        }
        return 0;
}

static int write_attribute(FakeHost *host, const char *path, const char *value) {
        char text[4096];
        const char *name = strrchr(path, '/') + 1;

        (void) snprintf(text, sizeof(text), "%.*s", (int) strcspn(value, "\n"), value);
        if (streq(name, "driver_override")) {
                if (host->kernel->override_deaf)
                        return 0;
                fake_write_file(host, path, isempty(text) ? "(null)" : text);
        } else if (streq(name, "reset")) {
                if (!streq(text, "1"))
                        return -EINVAL;
        } else if (streq(name, "sriov_numvfs"))
                return write_numvfs(host, path, text);
        else if (streq(name, "vf_token_shown_as_switch"))
                fake_write_file(host, path, streq(text, "1") ? "Y" : "N");
        else if (streq(name, "limit_shown_in_hex")) {
                char number[32];

                (void) snprintf(number, sizeof(number), "0x%lx", strtoul(text, NULL, 0));
                fake_write_file(host, path, number);
        } else if (streq(name, "deaf"))
                return 0;
        else
                fake_write_file(host, path, text);

        return 0;
}

static bool lstat_exists(const FakeHost *host, const char *path) {
        struct stat st;

        return lstat(full_path(host, path), &st) >= 0;
}

/* drivers/vfio/mdev: the device, its IOMMU group and its node are there when the write returns. */
static int write_mdev_create(FakeHost *host, const char *parent, const char *uuid) {
        char path[512], target[512];

        (void) snprintf(path, sizeof(path), "sys/bus/mdev/devices/%s", uuid);
        if (lstat_exists(host, path))
                return -EEXIST;
        if (host->kernel->mdev_full)
                return -ENOSPC;
        (void) snprintf(target, sizeof(target), "%s/%s", parent, uuid);
        fake_make_directory(host, target);
        (void) snprintf(target, sizeof(target), "../../../%s/%s", parent + strlen("sys/"), uuid);
        fake_make_directory(host, "sys/bus/mdev/devices");
        fake_link(host, path, target);
        (void) snprintf(path, sizeof(path), "%s/%s/remove", parent, uuid);
        fake_write_file(host, path, "");
        (void) snprintf(path, sizeof(path), "%s/%s/iommu_group", parent, uuid);
        fake_link(host, path, "../../../../kernel/iommu_groups/18");
        fake_make_directory(host, "sys/class/vfio/18");
        fake_write_file(host, "sys/class/vfio/18/dev", "0:0");
        if (!host->kernel->mdev_without_node)
                fake_write_file(host, "dev/vfio/18", "");
        return 0;
}

static int write_mdev_remove(FakeHost *host, const char *parent, const char *uuid) {
        static const char *const entries[] = { "remove", "iommu_group", "" };
        char path[512];

        if (host->kernel->mdev_busy > 0) {
                host->kernel->mdev_busy--;
                return -EAGAIN;
        }
        for (size_t i = 0; i < ELEMENTSOF(entries); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s/%s", parent, uuid, entries[i]);
                fake_remove_file(host, path);
        }
        (void) snprintf(path, sizeof(path), "sys/bus/mdev/devices/%s", uuid);
        fake_remove_file(host, path);
        return 0;
}

static int dispatch(FakeHost *host, const char *path, const char *value) {
        char parent[256], uuid[37];
        const char *mdev;
        char bus[32], driver[64], attribute[32], extra;

        if (sscanf(path, "sys/bus/%31[^/]/drivers/%63[^/]/%31[^/]%c", bus, driver, attribute, &extra) == 3) {
                if (!driver_exists(host, bus, driver))
                        return -ENOENT;
                return streq(attribute, "unbind") ? write_unbind(host, bus, driver, value)
                       : streq(attribute, "bind") ? write_bind(host, bus, driver, value)
                                                  : -EACCES;
        }
        if (sscanf(path, "sys/bus/%31[^/]/%31[^/]%c", bus, attribute, &extra) == 2)
                return streq(attribute, "drivers_probe") ? write_drivers_probe(host, bus, value) : -EACCES;

        mdev = strstr(path, "/mdev_supported_types/");
        if (mdev && streq(strrchr(path, '/'), "/create")) {
                (void) snprintf(parent, sizeof(parent), "%.*s", (int) (mdev - path), path);
                return write_mdev_create(host, parent, value);
        }
        /* What is removed has the length of a UUID. */
        if (streq(strrchr(path, '/'), "/remove") && strlen(path) > sizeof(uuid) + 8 &&
            path[strlen(path) - strlen("/remove") - sizeof(uuid)] == '/') {
                (void) snprintf(uuid, sizeof(uuid), "%s", path + strlen(path) - strlen("/remove") - sizeof(uuid) + 1);
                (void) snprintf(parent, sizeof(parent), "%.*s", (int) (strstr(path, uuid) - path - 1), path);
                return write_mdev_remove(host, parent, uuid);
        }
        return write_attribute(host, path, value);
}

/* What stands in for the function of lib/sysfs.c. */
int __wrap_sysfs_write_at(int dir_fd, const char *name, const char *value);
int __wrap_sysfs_write_at(int dir_fd, const char *name, const char *value) {
        FakeHost *host = current_host;
        FakeKernel *kernel = host->kernel;
        char link[64], directory[512], path[800];
        unsigned number;
        struct stat st;
        ssize_t n;
        int r;

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
        n = readlink(link, directory, sizeof(directory) - 1);
        require(n > 0, "cannot find the name of", link);
        directory[n] = '\0';
        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        require(startswith(path, host->root) != NULL, "a write outside of the host:", path);
        memmove(path, path + strlen(host->root) + 1, strlen(path + strlen(host->root) + 1) + 1);

        number = ++kernel->n_writes;
        require(number <= FAKE_WRITES_MAX, "too many writes, last", path);
        (void) snprintf(kernel->writes[number - 1], sizeof(kernel->writes[0]), "%.100s=%.50s", path, value);

        if (kernel->die_at == number && !kernel->die_after)
                _exit(99);
        if (kernel->fail_at == number)
                return -kernel->fail_errno;
        if (!startswith(path, "sys/bus/") && stat(full_path(host, path), &st) < 0)
                return -errno;
        r = dispatch(host, path, value);
        if (kernel->die_at == number)
                _exit(99);

        return r;
}

static void make_device(FakeHost *host, const char *subsystem, const char *sysname, bool has_override) {
        char link[256], target[256];

        fake_make_directory(host, device_directory(subsystem, sysname));
        (void) snprintf(link, sizeof(link), "sys/bus/%s/devices/%s", subsystem, sysname);
        (void) snprintf(target, sizeof(target), "../../../devices/%s0/%s", subsystem, sysname);
        fake_link(host, link, target);
        if (has_override)
                fake_write_file(host, fake_attribute(subsystem, sysname, "driver_override"), "(null)");
}

void fake_host_make(FakeHost *ret) {
        static const char *const directories[] = {
                "dev/vfio",
                "dev/bus/usb/001",
                "proc",
                "run",
                "sys/bus/pci/devices",
                "sys/bus/pci/drivers/e1000e",
                "sys/bus/pci/drivers/vfio-pci",
                "sys/bus/pci/drivers/mlx5_vfio_pci",
                "sys/bus/usb/devices",
                "sys/bus/usb/drivers/usb-storage",
                "sys/bus/usb/drivers/usbip-host",
                "sys/class/vfio/17",
                "sys/kernel/iommu_groups/17",
        };

        *ret = (FakeHost){ .root = "/tmp/passthroughd-worker-XXXXXX" };
        require(mkdtemp(ret->root) != NULL, "cannot make", ret->root);
        ret->kernel =
                mmap(NULL, sizeof(*ret->kernel), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        require(ret->kernel != MAP_FAILED, "cannot share", "memory");
        current_host = ret;

        for (size_t i = 0; i < ELEMENTSOF(directories); i++)
                fake_make_directory(ret, directories[i]);
        make_device(ret, "pci", FAKE_NIC, true);
        make_device(ret, "pci", FAKE_BARE, true);
        make_device(ret, "usb", FAKE_USB, false);
        fake_set_driver(ret, "pci", FAKE_NIC, "e1000e");
        fake_set_driver(ret, "usb", FAKE_USB, "usb-storage");
        fake_link(ret, fake_attribute("pci", FAKE_NIC, "iommu_group"), "../../../kernel/iommu_groups/17");
        fake_write_file(ret, "sys/class/vfio/17/dev", "0:0");
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

void fake_host_remove(FakeHost *host) {
        require(nftw(host->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0, "cannot remove", host->root);
        require(munmap(host->kernel, sizeof(*host->kernel)) == 0, "cannot unmap", host->root);
        current_host = NULL;
}

void fake_kernel_reset(FakeHost *host) {
        *host->kernel = (FakeKernel){};
}
