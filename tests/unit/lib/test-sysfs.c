/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/sysfs.h"
#include "test.h"

#define PCI "sys/devices/pci0000:00/0000:00:01.0/0000:3b:00.0"
#define NET PCI "/net/eth0"

/* A host of inert files: enough for what resolves names, reads and writes. */
typedef struct Host {
        char root[sizeof("/tmp/test-sysfs-XXXXXX")];
        int root_fd;
        Sysfs sysfs;
        int device_fd;
} Host;

static void make_directory(const Host *host, const char *path) {
        char part[PATH_MAX];

        for (const char *p = strchr(path, '/');; p = strchr(p + 1, '/')) {
                size_t n = p ? (size_t) (p - path) : strlen(path);

                memcpy(part, path, n);
                part[n] = '\0';
                if (mkdirat(host->root_fd, part, 0755) < 0)
                        assert_int_equal(errno, EEXIST);
                if (!p)
                        return;
        }
}

static void make_file(const Host *host, const char *path, const char *content, size_t length) {
        _cleanup_close_ int fd = openat(host->root_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, length), length);
}

static void make_text(const Host *host, const char *path, const char *content) {
        make_file(host, path, content, strlen(content));
}

static void make_link(const Host *host, const char *path, const char *target) {
        assert_int_equal(symlinkat(target, host->root_fd, path), 0);
}

/* Links that no kernel makes: the service must not follow one that somebody planted in a fixture or a
 * container. */
static void make_hostile_links(const Host *host) {
        static const struct {
                const char *name, *target;
        } links[] = {
                { "absolute", "/" PCI },
                { "outside", "../../../../etc" },
                { "sideways", "../../../class/net" },
                { "sneaky", "../../../devices/../../etc" },
                { "dot", "../../../devices/./pci0000:00" },
                { "double", "../../../devices//pci0000:00" },
                { "trailing", "../../../devices/pci0000:00/" },
                { "itself", "../../../devices/" },
                { "shallow", "../../devices/pci0000:00" },
                { "sibling", "../../../devices-of-mine/x" },
                { "dangling", "../../../devices/pci0000:00/0000:00:1f.7" },
                { "attribute", "../../../devices/pci0000:00/0000:00:01.0/0000:3b:00.0/vendor" },
                { "loop", "loop" },
        };
        char path[PATH_MAX];

        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                (void) snprintf(path, sizeof(path), "sys/bus/pci/devices/%s", links[i].name);
                make_link(host, path, links[i].target);
        }
        make_directory(host, "sys/bus/pci/devices/directory");
        make_text(host, "sys/bus/pci/devices/file", "");

        /* A component on the way that leads out: only the kernel's own resolution sees this one. */
        make_directory(host, "etc/secret");
        make_link(host, "sys/devices/escape", "../../../../../../../../../../etc");
        make_link(host, "sys/bus/pci/devices/detour", "../../../devices/escape/secret");
}

static void make_device(const Host *host) {
        char page[4097];

        make_directory(host, PCI "/power");
        make_directory(host, NET);
        make_directory(host, "sys/bus/pci/devices");
        make_directory(host, "sys/bus/pci/drivers/vfio-pci");
        make_directory(host, "sys/class/net");
        make_directory(host, "sys/module/vfio_pci");
        make_directory(host, "proc");
        make_link(host, "sys/bus/pci/devices/0000:3b:00.0",
                  "../../../devices/pci0000:00/0000:00:01.0/0000:3b:00.0");
        make_link(host, "sys/class/net/eth0", "../../devices/pci0000:00/0000:00:01.0/0000:3b:00.0/net/eth0");

        make_directory(host, "sys/devices/x/.y/z./a.b/...");
        make_link(host, "sys/bus/pci/devices/odd", "../../../devices/x/.y/z./a.b/...");

        make_text(host, PCI "/vendor", "0x10de\n");
        make_text(host, PCI "/label", "two words \t\r\n\n");
        make_text(host, PCI "/empty", "");
        make_text(host, PCI "/blank", " \n");
        make_file(host, PCI "/binary", "a\0b", 3);
        make_text(host, PCI "/power/control", "auto\n");
        memset(page, 'x', sizeof(page));
        make_file(host, PCI "/page", page, 4096);
        make_file(host, PCI "/config", "\x86\x80\x00\xff", 4);
        make_text(host, "etc-passwd", "root\n");
        make_text(host, "proc/cmdline", "quiet intel_iommu=on\n");

        make_link(host, PCI "/driver", "../../../../bus/pci/drivers/vfio-pci");
        make_link(host, PCI "/inside", "power/control");
        make_link(host, PCI "/out", "../../../../../etc-passwd");
        make_link(host, PCI "/absolute", "/etc/passwd");
        make_link(host, PCI "/parent", "..");
        make_link(host, PCI "/power/link", "../vendor");
        assert_int_equal(mkfifoat(host->root_fd, PCI "/fifo", 0644), 0);
}

static int setup(void **state) {
        Host *host = calloc(1, sizeof(Host));

        assert_non_null(host);
        (void) strcpy(host->root, "/tmp/test-sysfs-XXXXXX");
        assert_non_null(mkdtemp(host->root));
        host->root_fd = open(host->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(host->root_fd >= 0);
        make_directory(host, "etc");
        make_device(host);
        make_hostile_links(host);

        assert_int_equal(sysfs_init(&host->sysfs, host->root), 0);
        assert_int_equal(sysfs_open_device(&host->sysfs, "pci", "0000:3b:00.0", &host->device_fd, NULL), 0);
        *state = host;
        return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static int teardown(void **state) {
        Host *host = *state;

        (void) close_fd(host->device_fd);
        (void) close_fd(host->root_fd);
        sysfs_done(&host->sysfs);
        assert_int_equal(host->sysfs.root_fd, -EBADF);
        assert_int_equal(nftw(host->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
        free(host);
        return 0;
}

static void test_init(void **state) {
        const Host *host = *state;
        char file[PATH_MAX];
        Sysfs sysfs = { .root_fd = 42 };

        (void) snprintf(file, sizeof(file), "%s/etc-passwd", host->root);
        assert_int_equal(sysfs_init(&sysfs, file), -ENOTDIR);
        assert_int_equal(sysfs_init(&sysfs, "/does/not/exist"), -ENOENT);
        assert_int_equal(sysfs.root_fd, 42);
        sysfs_done(NULL);
}

static void test_open(void **state) {
        const Host *host = *state;
        _cleanup_close_ int pci_fd = -EBADF, net_fd = -EBADF, odd_fd = -EBADF;
        _cleanup_free_ char *pci_path = NULL, *net_path = NULL;
        char text[64];

        assert_int_equal(sysfs_open_device(&host->sysfs, "pci", "0000:3b:00.0", &pci_fd, &pci_path), 0);
        assert_string_equal(pci_path, "/devices/pci0000:00/0000:00:01.0/0000:3b:00.0");
        assert_int_equal(sysfs_read_at(pci_fd, "vendor", text, sizeof(text)), 6);
        assert_int_equal(fcntl(pci_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

        assert_int_equal(sysfs_open_device(&host->sysfs, "pci", "odd", &odd_fd, NULL), 0);

        assert_int_equal(sysfs_open_device(&host->sysfs, "net", "eth0", &net_fd, &net_path), 0);
        assert_string_equal(net_path, "/devices/pci0000:00/0000:00:01.0/0000:3b:00.0/net/eth0");
}

static void test_open_refused(void **state) {
        static const struct {
                const char *subsystem, *sysname;
                int error;
        } wrong[] = {
                { "pci", "0000:3b:00.1", -ENOENT },
                { "usb", "1-1", -ENOENT },
                { "pci", "dangling", -ENOENT },
                { "pci", "", -EINVAL },
                { "", "0000:3b:00.0", -EINVAL },
                { "pci", ".", -EINVAL },
                { "pci", "..", -EINVAL },
                { "..", "0000:3b:00.0", -EINVAL },
                { "pci", "../devices/0000:3b:00.0", -EINVAL },
                { "pci/devices/..", "0000:3b:00.0", -EINVAL },
                { "pci", NULL, -EINVAL },
                { NULL, "0000:3b:00.0", -EINVAL },
                { "pci", "absolute", -EXDEV },
                { "pci", "outside", -EXDEV },
                { "pci", "sideways", -EXDEV },
                { "pci", "sneaky", -EXDEV },
                { "pci", "dot", -EXDEV },
                { "pci", "double", -EXDEV },
                { "pci", "trailing", -EXDEV },
                { "pci", "itself", -EXDEV },
                { "pci", "shallow", -EXDEV },
                { "pci", "sibling", -EXDEV },
                { "pci", "loop", -EXDEV },
                { "pci", "directory", -EXDEV },
                { "pci", "file", -EXDEV },
                { "pci", "detour", -EXDEV },
                { "pci", "attribute", -ENOTDIR },
        };
        const Host *host = *state;
        _cleanup_free_ char *huge = repeat('x', MEGABYTE);
        char *path = huge;
        int fd = 42;

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                int r = sysfs_open_device(&host->sysfs, wrong[i].subsystem, wrong[i].sysname, &fd, &path);

                if (r != wrong[i].error)
                        fail_msg("%s/%s: %d instead of %d", wrong[i].subsystem, wrong[i].sysname, r,
                                 wrong[i].error);
        }
        assert_int_equal(sysfs_open_device(&host->sysfs, "pci", huge, &fd, &path), -EINVAL);
        assert_int_equal(fd, 42);
        assert_ptr_equal(path, huge);
}

static void test_read(void **state) {
        const Host *host = *state;
        char text[8192];

        assert_int_equal(sysfs_read_at(host->device_fd, "vendor", text, sizeof(text)), 6);
        assert_string_equal(text, "0x10de");
        assert_int_equal(sysfs_read_at(host->device_fd, "label", text, sizeof(text)), 9);
        assert_string_equal(text, "two words");
        assert_int_equal(sysfs_read_at(host->device_fd, "empty", text, sizeof(text)), 0);
        assert_string_equal(text, "");
        assert_int_equal(sysfs_read_at(host->device_fd, "blank", text, sizeof(text)), 0);
        assert_string_equal(text, "");
        assert_int_equal(sysfs_read_at(host->device_fd, "power/control", text, sizeof(text)), 4);
        assert_string_equal(text, "auto");
        assert_int_equal(sysfs_read_at(host->device_fd, "inside", text, sizeof(text)), 4);
        assert_int_equal(sysfs_read_at(host->device_fd, "power/link", text, sizeof(text)), 6);
        assert_int_equal(sysfs_read_at(host->device_fd, "page", text, sizeof(text)), 4096);
        assert_int_equal(strlen(text), 4096);

        assert_int_equal(sysfs_read_at(host->device_fd, "binary", text, sizeof(text)), -EBADMSG);
        assert_int_equal(sysfs_read_at(host->device_fd, "nothing", text, sizeof(text)), -ENOENT);
        assert_int_equal(sysfs_read_at(host->device_fd, "power", text, sizeof(text)), -EISDIR);
        assert_int_equal(sysfs_read_at(host->device_fd, "vendor/x", text, sizeof(text)), -ENOTDIR);
        assert_int_equal(sysfs_read_at(host->device_fd, "fifo", text, sizeof(text)),
                         -ESPIPE); /* no waiting */
        assert_int_equal(sysfs_read_at(host->device_fd, "", text, sizeof(text)), -EINVAL);
        assert_int_equal(sysfs_read_at(host->device_fd, NULL, text, sizeof(text)), -EINVAL);
        assert_int_equal(sysfs_read_at(-EBADF, "vendor", text, sizeof(text)), -EBADF);
}

/* "0x10de\n": seven bytes with the line break, seven with the NUL. */
static void test_read_size(void **state) {
        const Host *host = *state;
        char text[8];

        for (size_t size = 0; size <= sizeof(text); size++) {
                memset(text, '#', sizeof(text));
                assert_int_equal(sysfs_read_at(host->device_fd, "vendor", text, size), size == 0  ? -EINVAL
                                                                                       : size < 7 ? -E2BIG
                                                                                                  : 6);
                for (size_t i = size; i < sizeof(text); i++)
                        assert_int_equal(text[i], '#');
        }
        assert_int_equal(sysfs_read_at(host->device_fd, "empty", text, 1), 0);
        assert_int_equal(sysfs_read_at(host->device_fd, "blank", text, 1), -E2BIG);
        assert_int_equal(sysfs_read_at(host->device_fd, "page", text, sizeof(text)), -E2BIG);
}

/* None of these may be reached from the device's directory. */
static const char *const ways_out[] = {
        "..",
        "../0000:3b:00.0/vendor",
        "../../../../../etc-passwd",
        "power/../../../../../../etc-passwd",
        "/etc/passwd",
        "//etc/passwd",
        "out",
        "absolute",
        "parent",
        "parent/0000:3b:00.0/vendor",
        "driver",
        "driver/.",
};

static void ignore_entry(void *userdata, const char *entry) {
        (*(int *) userdata)++;
}

static void test_ways_out(void **state) {
        const Host *host = *state;
        char text[64];
        int calls = 0;

        for (size_t i = 0; i < ELEMENTSOF(ways_out); i++) {
                assert_int_equal(sysfs_read_at(host->device_fd, ways_out[i], text, sizeof(text)), -EXDEV);
                assert_int_equal(sysfs_pread_at(host->device_fd, ways_out[i], text, sizeof(text), 0),
                                 -EXDEV);
                assert_int_equal(sysfs_write_at(host->device_fd, ways_out[i], "x"), -EXDEV);
                assert_int_equal(sysfs_list_at(host->device_fd, ways_out[i], ignore_entry, &calls), -EXDEV);
        }
        assert_int_equal(calls, 0);
        assert_int_equal(sysfs_link_at(host->device_fd, "driver/../x", text, sizeof(text)), -EXDEV);
        assert_int_equal(sysfs_link_at(host->device_fd, "../../x", text, sizeof(text)), -EXDEV);
        assert_false(sysfs_exists_at(host->device_fd, "../0000:3b:00.0"));
        assert_false(sysfs_exists_at(host->device_fd, "parent/0000:3b:00.0"));
        assert_false(sysfs_exists_at(host->device_fd, "/etc"));

        assert_int_equal(sysfs_read(&host->sysfs, "/etc-passwd", text, sizeof(text)), 4);
        assert_string_equal(text, "root"); /* what "out" points to was neither changed nor removed */
}

static void test_magic_link(void **state) {
        char text[64], name[64];
        Sysfs real;

        assert_int_equal(sysfs_init(&real, "/"), 0);
        (void) snprintf(name, sizeof(name), "/proc/%d/root/proc/version", getpid());
        assert_int_equal(sysfs_read(&real, name, text, sizeof(text)), -ELOOP);
        (void) snprintf(name, sizeof(name), "/proc/%d/comm", getpid());
        assert_true(sysfs_read(&real, name, text, sizeof(text)) > 0);
        sysfs_done(&real);
}

static void test_pread(void **state) {
        const Host *host = *state;
        unsigned char bytes[8] = { 0 };

        assert_int_equal(sysfs_pread_at(host->device_fd, "config", bytes, sizeof(bytes), 0), 4);
        assert_memory_equal(bytes, "\x86\x80\x00\xff", 4);
        assert_int_equal(sysfs_pread_at(host->device_fd, "config", bytes, 1, 3), 1);
        assert_int_equal(bytes[0], 0xff);
        assert_int_equal(sysfs_pread_at(host->device_fd, "config", bytes, sizeof(bytes), 4), 0);
        assert_int_equal(sysfs_pread_at(host->device_fd, "config", bytes, 0, 0), 0);
        assert_int_equal(sysfs_pread_at(host->device_fd, "config", bytes, sizeof(bytes), UINT64_MAX),
                         -EINVAL);
        assert_int_equal(sysfs_pread_at(host->device_fd, "config", bytes, sizeof(bytes), INT64_MAX),
                         -EINVAL);
        assert_int_equal(sysfs_pread_at(host->device_fd, "config", bytes, SIZE_MAX, 0), -EINVAL);
        assert_int_equal(sysfs_pread_at(host->device_fd, "fifo", bytes, sizeof(bytes), 0), -ESPIPE);
        assert_int_equal(sysfs_pread_at(host->device_fd, "nothing", bytes, sizeof(bytes), 0), -ENOENT);
}

static void test_write(void **state) {
        const Host *host = *state;
        char text[64];

        make_text(host, PCI "/target", "0123456789");
        assert_int_equal(sysfs_write_at(host->device_fd, "target", "abc"), 0);
        assert_int_equal(sysfs_read_at(host->device_fd, "target", text, sizeof(text)), 10);
        assert_string_equal(text, "abc3456789"); /* not truncated */

        assert_int_equal(sysfs_write_at(host->device_fd, "nothing", "x"), -ENOENT);
        assert_false(sysfs_exists_at(host->device_fd, "nothing")); /* not created */
        assert_int_equal(sysfs_write_at(host->device_fd, "power", "x"), -EISDIR);
        assert_int_equal(sysfs_write_at(host->device_fd, "target", ""), -EINVAL);
        assert_int_equal(sysfs_write_at(host->device_fd, "target", NULL), -EINVAL);
        assert_int_equal(sysfs_write_at(host->device_fd, "", "x"), -EINVAL);
}

static void test_write_error(void **state) {
        Sysfs real;

        /* The kernel's errno comes through: /dev/full refuses every write. */
        assert_int_equal(sysfs_init(&real, "/"), 0);
        assert_int_equal(sysfs_write_at(real.root_fd, "dev/full", "x"), -ENOSPC);
        sysfs_done(&real);
}

static void test_link(void **state) {
        const Host *host = *state;
        char text[64] = "untouched";

        assert_int_equal(sysfs_link_at(host->device_fd, "nothing", text, sizeof(text)), -ENOENT);
        assert_int_equal(sysfs_link_at(host->device_fd, "vendor", text, sizeof(text)), -EINVAL);
        assert_int_equal(sysfs_link_at(host->device_fd, "power", text, sizeof(text)), -EINVAL);
        assert_int_equal(sysfs_link_at(host->device_fd, "power/control", text, sizeof(text)), -EINVAL);
        assert_int_equal(sysfs_link_at(host->device_fd, "parent", text, sizeof(text)), -EINVAL);
        assert_int_equal(sysfs_link_at(host->device_fd, "", text, sizeof(text)), -EINVAL);
        assert_int_equal(sysfs_link_at(host->device_fd, "driver", text, strlen("vfio-pci")), -E2BIG);
        assert_int_equal(sysfs_link_at(host->device_fd, "driver", text, 0), -E2BIG);
        assert_string_equal(text, "untouched");

        assert_int_equal(sysfs_link_at(host->device_fd, "driver", text, strlen("vfio-pci") + 1), 8);
        assert_string_equal(text, "vfio-pci");
        assert_int_equal(sysfs_link_at(host->device_fd, "power/link", text, sizeof(text)), 6);
        assert_string_equal(text, "vendor");
        assert_int_equal(sysfs_link(&host->sysfs, "/sys/class/net/eth0", text, sizeof(text)), 4);
        assert_string_equal(text, "eth0");
}

typedef struct Seen {
        unsigned entries, special, vendor;
} Seen;

static void count_entry(void *userdata, const char *entry) {
        Seen *seen = userdata;

        seen->entries++;
        seen->special += streq(entry, ".") || streq(entry, "..");
        seen->vendor += streq(entry, "vendor");
}

static void test_list(void **state) {
        const Host *host = *state;
        Seen device = { 0 }, power = { 0 }, modules = { 0 };

        assert_int_equal(sysfs_list_at(host->device_fd, ".", count_entry, &device), 0);
        assert_true(device.entries > 10);
        assert_int_equal(device.special, 0);
        assert_int_equal(device.vendor, 1);
        assert_int_equal(sysfs_list_at(host->device_fd, "power", count_entry, &power), 0);
        assert_int_equal(power.entries, 2);
        assert_int_equal(sysfs_list(&host->sysfs, "/sys/module", count_entry, &modules), 0);
        assert_int_equal(modules.entries, 1);
        assert_int_equal(sysfs_list(&host->sysfs, "/", count_entry, &modules), 0);
        assert_true(modules.entries > 1);

        assert_int_equal(sysfs_list_at(host->device_fd, "vendor", count_entry, &device), -ENOTDIR);
        assert_int_equal(sysfs_list_at(host->device_fd, "nothing", count_entry, &device), -ENOENT);
}

static void test_exists(void **state) {
        const Host *host = *state;

        assert_true(sysfs_exists_at(host->device_fd, "vendor"));
        assert_true(sysfs_exists_at(host->device_fd, "power"));
        assert_true(sysfs_exists_at(host->device_fd, "power/control"));
        assert_true(sysfs_exists_at(host->device_fd, "driver")); /* the link, wherever it leads */
        assert_true(sysfs_exists_at(host->device_fd, "."));
        assert_false(sysfs_exists_at(host->device_fd, "nothing"));
        assert_false(sysfs_exists_at(host->device_fd, ""));
        assert_false(sysfs_exists_at(host->device_fd, NULL));
}

static void test_paths(void **state) {
        const Host *host = *state;
        char text[64];

        assert_int_equal(sysfs_read(&host->sysfs, "/proc/cmdline", text, sizeof(text)), 20);
        assert_string_equal(text, "quiet intel_iommu=on");
        assert_true(sysfs_exists(&host->sysfs, "/sys/module/vfio_pci"));
        assert_true(sysfs_exists(&host->sysfs, "/"));
        assert_false(sysfs_exists(&host->sysfs, "/sys/module/kvm"));

        assert_false(sysfs_exists(&host->sysfs, "sys/module/vfio_pci")); /* relative */
        assert_int_equal(sysfs_read(&host->sysfs, "proc/cmdline", text, sizeof(text)), -EINVAL);
        assert_int_equal(sysfs_read(&host->sysfs, NULL, text, sizeof(text)), -EINVAL);
        assert_int_equal(sysfs_read(&host->sysfs, "/../etc/passwd", text, sizeof(text)), -EXDEV);
        assert_int_equal(sysfs_read(&host->sysfs, "/sys/devices/escape/passwd", text, sizeof(text)), -EXDEV);
}

static void test_long_names(void **state) {
        const Host *host = *state;
        _cleanup_free_ char *huge = repeat('x', MEGABYTE);
        char text[64];

        assert_int_equal(sysfs_read_at(host->device_fd, huge, text, sizeof(text)), -ENAMETOOLONG);
        assert_int_equal(sysfs_link_at(host->device_fd, huge, text, sizeof(text)), -ENAMETOOLONG);
        assert_int_equal(sysfs_write_at(host->device_fd, huge, "x"), -ENAMETOOLONG);
        assert_false(sysfs_exists_at(host->device_fd, huge));
        huge[0] = '/';
        assert_int_equal(sysfs_read(&host->sysfs, huge, text, sizeof(text)), -ENAMETOOLONG);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_init),         cmocka_unit_test(test_open),
                cmocka_unit_test(test_open_refused), cmocka_unit_test(test_read),
                cmocka_unit_test(test_read_size),    cmocka_unit_test(test_ways_out),
                cmocka_unit_test(test_magic_link),   cmocka_unit_test(test_pread),
                cmocka_unit_test(test_write),        cmocka_unit_test(test_write_error),
                cmocka_unit_test(test_link),         cmocka_unit_test(test_list),
                cmocka_unit_test(test_exists),       cmocka_unit_test(test_paths),
                cmocka_unit_test(test_long_names),
        };

        return cmocka_run_group_tests_name("sysfs", tests, setup, teardown);
}
