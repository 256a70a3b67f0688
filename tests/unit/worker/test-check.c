/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The checks on hosts made of files: each with what must be found, and what must be said to mend it. */

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "worker/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define FILES_MAX 12

typedef struct File {
        const char *path; /* ends with '/': a directory */
        const char *text; /* begins with "->": a symbolic link */
} File;

typedef struct Case {
        const char *what;
        File files[FILES_MAX];
        const char *check;
        const char *status;
        const char *remedy;   /* a part of it; NULL: there is none */
        const char *evidence; /* a part of one; NULL: whatever */
        bool reboot, pending;
} Case;

#define INTEL { "proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vmx sse\n" }
#define AMD { "proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu svm sse\n" }
#define ARM { "proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n" }
#define DMAR { "sys/firmware/acpi/tables/DMAR", "" }
#define NO_TABLE { "sys/firmware/acpi/tables/FACP", "" }
#define DMAR0 { "sys/class/iommu/dmar0/", NULL }
#define GROUP0 { "sys/kernel/iommu_groups/0/devices/", NULL }
#define CMDLINE(text) { "proc/cmdline", text "\n" }
#define GROUP_MEMBER(group, name) { "sys/kernel/iommu_groups/" group "/devices/" name "/", NULL }
#define CLASS(name, text) { "sys/bus/pci/devices/" name "/class", text "\n" }

static const Case cases[] = {
        { "vmx", { INTEL }, "cpu-virtualisation", "pass", NULL, "have vmx", false, false },
        { "svm", { AMD }, "cpu-virtualisation", "pass", NULL, "have svm", false, false },
        { "no vmx",
          { { "proc/cpuinfo", "vendor_id\t: GenuineIntel\nflags\t\t: fpu vmxx\n" } },
          "cpu-virtualisation", "fail", "VT-x", "lack vmx", true, false },
        { "no svm",
          { { "proc/cpuinfo", "vendor_id\t: AuthenticAMD\nflags\t\t: fpu\n" } },
          "cpu-virtualisation", "fail", "SVM Mode", NULL, true, false },
        { "nested",
          { { "proc/cpuinfo", "vendor_id\t: AuthenticAMD\nflags\t\t: fpu hypervisor\n" } },
          "cpu-virtualisation", "fail", "nested", "virtual machine itself", true, false },
        { "another processor with KVM", { ARM, { "dev/kvm", "" } }, "cpu-virtualisation", "pass", NULL, NULL, false, false },
        { "nothing to read", { { "proc/", NULL } }, "cpu-virtualisation", "unknown", NULL, NULL, false, false },
        { "kvm", { INTEL, { "dev/kvm", "" } }, "kvm", "pass", NULL, NULL, false, false },
        { "no kvm", { AMD }, "kvm", "fail", "modprobe kvm_amd", NULL, false, false },

        { "DMAR", { INTEL, DMAR }, "firmware-tables", "pass", NULL, "tables/DMAR", false, false },
        { "no table, Intel", { INTEL, NO_TABLE }, "firmware-tables", "fail", "VT-d", NULL, true, false },
        { "no table, AMD", { AMD, NO_TABLE }, "firmware-tables", "fail", "AMD-Vi", NULL, true, false },
        { "no ACPI", { ARM }, "firmware-tables", "unknown", NULL, NULL, false, false },
        { "no table, but a unit", { ARM, NO_TABLE, { "sys/class/iommu/smmu3.0/", NULL } }, "firmware-tables", "pass", NULL, NULL,
          false, false },

        { "in use", { INTEL, DMAR, DMAR0, GROUP0 }, "iommu", "pass", NULL, "groups has 1", false, false },
        { "not told",
          { INTEL, DMAR, CMDLINE("root=/dev/sda1 quiet"), { "etc/default/grub", "# x\nGRUB_CMDLINE_LINUX=\"quiet\"\nGRUB_TIMEOUT=1\n" } },
          "iommu", "fail", "GRUB_CMDLINE_LINUX=\"quiet intel_iommu=on\"", NULL, true, false },
        { "the last line counts, empty",
          { INTEL, DMAR, { "etc/default/grub", "GRUB_CMDLINE_LINUX=\"old\"\nGRUB_CMDLINE_LINUX=\n" } },
          "iommu", "fail", "GRUB_CMDLINE_LINUX=\"intel_iommu=on\"", NULL, true, false },
        { "single quotes",
          { INTEL, DMAR, { "etc/default/grub", "GRUB_CMDLINE_LINUX='a b'\n" } },
          "iommu", "fail", "GRUB_CMDLINE_LINUX=\"a b intel_iommu=on\"", NULL, true, false },
        { "configured, not restarted",
          { INTEL, DMAR, CMDLINE("quiet"), { "etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet intel_iommu=on\"\n" } },
          "iommu", "fail", "restart the host", "has intel_iommu=on already", true, true },
        { "configured in a drop-in",
          { INTEL, DMAR, { "etc/default/grub", "GRUB_CMDLINE_LINUX=\n" },
            { "etc/default/grub.d/x.cfg", "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX intel_iommu=on\"\n" } },
          "iommu", "fail", "restart the host", NULL, true, true },
        { "only in a comment",
          { INTEL, DMAR, { "etc/default/grub", "#GRUB_CMDLINE_LINUX=\"intel_iommu=on\"\nGRUB_CMDLINE_LINUX=\"\"\n" } },
          "iommu", "fail", "GRUB_CMDLINE_LINUX=\"intel_iommu=on\"", NULL, true, false },
        { "a longer word is another one",
          { INTEL, DMAR, { "etc/default/grub", "GRUB_CMDLINE_LINUX=\"intel_iommu=on,sm_on\"\n" } },
          "iommu", "fail", "intel_iommu=on,sm_on intel_iommu=on\"", NULL, true, false },
        { "kernel-install",
          { INTEL, DMAR, { "etc/kernel/cmdline", "root=ZFS=rpool quiet\n" } },
          "iommu", "fail", "\"root=ZFS=rpool quiet intel_iommu=on\"", NULL, true, false },
        { "no boot loader that is known", { INTEL, DMAR }, "iommu", "fail", "Add intel_iommu=on", NULL, true, false },
        { "switched off",
          { AMD, { "sys/firmware/acpi/tables/IVRS", "" }, CMDLINE("amd_iommu=off"), { "etc/default/grub", "GRUB_CMDLINE_LINUX=\"amd_iommu=off\"\n" } },
          "iommu", "fail", "Take amd_iommu=off out of /etc/default/grub", "/proc/cmdline has amd_iommu=off", true, false },
        { "no longer switched off",
          { AMD, { "sys/firmware/acpi/tables/IVRS", "" }, CMDLINE("iommu=off"), { "etc/default/grub", "GRUB_CMDLINE_LINUX=\"\"\n" } },
          "iommu", "fail", "no longer configured", NULL, true, true },
        { "firmware first", { INTEL, NO_TABLE }, "iommu", "fail", "firmware-tables", NULL, true, false },
        { "AMD needs no word", { AMD, { "sys/firmware/acpi/tables/IVRS", "" } }, "iommu", "fail", "\"IOMMU\"", NULL, true, false },

        { "remapped", { INTEL, GROUP0, { "proc/interrupts", "  24:  0  IR-PCI-MSI 0-edge  nvme0\n" } }, "interrupt-remapping", "pass",
          NULL, NULL, false, false },
        { "not remapped, Intel",
          { INTEL, GROUP0, { "proc/interrupts", "   1:  9  IO-APIC 1-edge i8042\n  24:  0  PCI-MSI 0-edge  nvme0\n" } },
          "interrupt-remapping", "fail", "VT-d", NULL, true, false },
        { "told not to",
          { AMD, GROUP0, CMDLINE("intremap=off"), { "proc/interrupts", "  24:  0  PCI-MSI 0-edge  nvme0\n" } },
          "interrupt-remapping", "fail", "Take intremap=off", NULL, true, false },
        { "unreadable", { INTEL, GROUP0 }, "interrupt-remapping", "unknown", NULL, "No such file", false, false },
        { "without an IOMMU", { INTEL, { "proc/interrupts", " 1: 9 IO-APIC 1-edge x\n" } }, "interrupt-remapping", "unknown", NULL,
          NULL, false, false },

        { "safe", { { "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n" } }, "unsafe-modes", "pass", NULL,
          "interrupts: N", false, false },
        { "unsafe interrupts", { { "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n" } }, "unsafe-modes", "warn",
          "echo N", NULL, false, false },
        { "no IOMMU mode", { { "sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n" } }, "unsafe-modes", "fail",
          "modprobe.d", NULL, true, false },

        { "loaded", { { "sys/module/vfio_pci/", NULL }, { "sys/module/vfio_iommu_type1/", NULL } }, "vfio-modules", "pass", NULL,
          "vfio_pci: loaded", false, false },
        { "one missing", { { "sys/module/vfio_pci/", NULL } }, "vfio-modules", "fail", "linux-image-amd64", "type1: not found", true,
          false },

        { "no lockdown", { { "sys/kernel/security/lockdown", "[none] integrity confidentiality\n" } }, "lockdown", "pass", NULL, NULL,
          false, false },
        { "locked down", { { "sys/kernel/security/lockdown", "none [integrity] confidentiality\n" } }, "lockdown", "warn", "Sign",
          NULL, false, false },

        { "nobody binds", { { "etc/modprobe.d/a.conf", "# options vfio-pci ids=1\noptions vfio-pci disable_vga=1\n" } },
          "static-binding", "pass", NULL, NULL, false, false },
        { "modprobe binds", { { "etc/modprobe.d/a.conf", "x\n  options vfio-pci ids=10de:2236\n" } }, "static-binding", "warn",
          "Remove", "modprobe.d/a.conf", false, false },
        { "the command line binds", { CMDLINE("quiet vfio-pci.ids=10de:2236") }, "static-binding", "warn", "Remove", "vfio-pci.ids=",
          false, false },
        { "driverctl binds", { { "etc/driverctl.d/0000:01:00.0", "vfio-pci\n" } }, "static-binding", "warn", "Remove", "driverctl.d",
          false, false },

        { "functions of one card and their bridge",
          { GROUP_MEMBER("3", "0000:00:01.0"), GROUP_MEMBER("3", "0000:01:00.0"), GROUP_MEMBER("3", "0000:01:00.1"),
            CLASS("0000:00:01.0", "0x060400"), CLASS("0000:01:00.0", "0x030000"), CLASS("0000:01:00.1", "0x040300") },
          "iommu-groups", "pass", NULL, NULL, false, false },
        { "two cards",
          { GROUP_MEMBER("3", "0000:01:00.0"), GROUP_MEMBER("3", "0000:02:00.0"), CLASS("0000:01:00.0", "0x030000"),
            CLASS("0000:02:00.0", "0x020000") },
          "iommu-groups", "warn", "ACS", "group 3: 0000:01:00.0, 0000:02:00.0", false, false },
        { "isolation that is claimed",
          { GROUP_MEMBER("3", "0000:01:00.0"), GROUP_MEMBER("4", "0000:02:00.0"),
            CMDLINE("quiet pcie_acs_override=downstream,multifunction"),
            { "etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"pcie_acs_override=downstream,multifunction\"\n" } },
          "iommu-groups", "warn", "Take pcie_acs_override=downstream,multifunction out of /etc/default/grub", "/proc/cmdline has pcie_acs_override=",
          true, false },
        { "no groups", { INTEL }, "iommu-groups", "unknown", NULL, NULL, false, false },

        { "none of the firmware's", { GROUP_MEMBER("3", "0000:01:00.0"),
            { "sys/kernel/iommu_groups/3/reserved_regions", "0x0 0x1000 direct-relaxable\n0xfee00000 0xfeefffff msi\n" } },
          "reserved-memory", "pass", NULL, NULL, false, false },
        { "RMRR", { GROUP_MEMBER("3", "0000:01:00.0"),
            { "sys/kernel/iommu_groups/3/reserved_regions", "0x0 0x1000 direct\n0xfee00000 0xfeefffff msi\n" } },
          "reserved-memory", "warn", "use another device", "0000:01:00.0", true, false },

        { "no iGPU", { GROUP0 }, "integrated-graphics", "pass", NULL, NULL, false, false },
        { "iGPU outside",
          { GROUP0, { "sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n" }, CLASS("0000:00:02.0", "0x030000") },
          "integrated-graphics", "warn", "intel_iommu=on", NULL, true, false },
        { "iGPU inside",
          { GROUP0, { "sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n" }, CLASS("0000:00:02.0", "0x030000"),
            { "sys/bus/pci/devices/0000:00:02.0/iommu_group/", NULL } },
          "integrated-graphics", "pass", NULL, NULL, false, false },

        { "no SR-IOV", { CLASS("0000:01:00.0", "0x020000") }, "sriov", "pass", NULL, NULL, false, false },
        { "SR-IOV", { { "sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs", "7\n" } }, "sriov", "pass", NULL, "totalvfs: 7", false,
          false },
        { "SR-IOV switched off", { { "sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs", "0\n" } }, "sriov", "warn", "\"SR-IOV\"",
          NULL, true, false },
        { "no room for functions",
          { { "sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs", "7\n" },
            { "sys/bus/pci/devices/0000:01:00.0/resource",
              "0xf0000000 0xf0003fff 0x40200\n0 0 0\n0 0 0\n0 0 0\n0 0 0\n0 0 0\n0 0 0\n0x0 0x3fff 0x14220c\n" } },
          "sriov", "warn", "Above 4G Decoding", "virtual functions has no address", true, false },

        { "placed",
          { { "sys/bus/pci/devices/0000:01:00.0/resource", "0x0000000100000000 0x0000000fffffffff 0x14220c\n" } },
          "memory-regions", "pass", NULL, "GiB", false, false },
        { "not placed", { { "sys/bus/pci/devices/0000:01:00.0/resource", "0x0 0xfffffff 0x2014220c\n" } }, "memory-regions", "warn",
          "Above 4G Decoding", "has no address", true, false },
        { "a ROM may be without",
          { { "sys/bus/pci/devices/0000:01:00.0/resource",
              "0xf0000000 0xf0003fff 0x40200\n0 0 0\n0 0 0\n0 0 0\n0 0 0\n0 0 0\n0x0 0xffff 0x46200\n" } },
          "memory-regions", "pass", NULL, NULL, false, false },

        { "unlimited", { { "proc/1/limits", "Max locked memory         unlimited            unlimited            bytes     \n" } },
          "memory-lock", "pass", NULL, NULL, false, false },
        { "systemd's", { { "proc/1/limits", "Max locked memory         8388608              8388608              bytes     \n" },
            { "proc/meminfo", "MemTotal:       24684084 kB\n" } },
          "memory-lock", "warn", "LimitMEMLOCK=", "8192 KiB", false, false },
        { "libvirt", { { "proc/1/limits", "Max locked memory         8388608              8388608              bytes     \n" },
            { "usr/sbin/virtqemud", "" } },
          "memory-lock", "pass", NULL, "virtqemud", false, false },
        { "a poor machine", { { "proc/1/limits", "Max locked memory         8388608              8388608              bytes     \n" },
            { "proc/77/comm", "qemu-system-x86\n" },
            { "proc/77/limits", "Max locked memory         65536                65536                bytes     \n" } },
          "memory-lock", "warn", "LimitMEMLOCK=", "process 77 (qemu-system-x86) may lock 64 KiB", false, false },
        { "logins", { { "etc/security/limits.d/kvm.conf", "# memlock\n@kvm hard memlock unlimited\n" } }, "memory-lock", "pass", NULL,
          "@kvm hard", false, false },

        { "udev", { { "run/udev/control", "" } }, "udev", "pass", NULL, NULL, false, false },
        { "no udev", { { "run/", NULL } }, "udev", "fail", "systemd-udevd", NULL, false, false },
};

/* ---- a host ---- */

static void make_directories(int root, const char *path) {
        char copy[512];

        (void) snprintf(copy, sizeof(copy), "%s", path);
        for (char *p = copy; (p = strchr(p, '/')); *p++ = '/') {
                *p = '\0';
                (void) mkdirat(root, copy, 0755);
        }
}

static void make_file(int root, const File *file) {
        make_directories(root, file->path);
        if (!file->text)
                return;
        int fd = openat(root, file->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, file->text, strlen(file->text)), (int) strlen(file->text));
        (void) close(fd);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

/* The result of one check on a host of these files. */
static json_t *look(const File *files, const char *check) {
        char root[] = "/tmp/check-XXXXXX";
        json_t *rows, *row, *found = NULL;
        Sysfs sysfs;
        size_t index;

        assert_non_null(mkdtemp(root));
        assert_int_equal(sysfs_init(&sysfs, root), 0);
        for (size_t i = 0; i < FILES_MAX && files[i].path; i++)
                make_file(sysfs.root_fd, &files[i]);
        rows = check_all(&sysfs);
        sysfs_done(&sysfs);
        (void) nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        assert_non_null(rows);
        json_array_foreach(rows, index, row) {
                json_t *copy = streq(json_string_value(json_object_get(row, "id")), check) ? json_incref(row) : NULL;

                found = copy ?: found;
        }
        json_decref(rows);
        assert_non_null(found);
        return found;
}

static const char *text_of(json_t *row, const char *key) {
        return json_string_value(json_object_get(row, key));
}

static bool has_evidence(json_t *row, const char *part) {
        json_t *line;
        size_t index;

        json_array_foreach(json_object_get(row, "evidence"), index, line)
                if (strstr(json_string_value(line), part))
                        return true;
        return false;
}

static void test_cases(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Case *c = &cases[i];
                json_t *row = look(c->files, c->check);
                char *dump = json_dumps(row, 0);

                if (!streq(text_of(row, "status"), c->status) || isempty(text_of(row, "text")) ||
                    (c->remedy ? !strstr(text_of(row, "remedy"), c->remedy) : !isempty(text_of(row, "remedy"))) ||
                    (c->evidence && !has_evidence(row, c->evidence)) ||
                    json_is_true(json_object_get(row, "reboot")) != c->reboot ||
                    json_is_true(json_object_get(row, "pending")) != c->pending)
                        fail_msg("%s: %s", c->what, dump);
                free(dump);
                json_decref(row);
        }
}

/* Which kernel runs is not ours to say here: what is installed beside it is. */
static void test_kernel(void **state) {
        struct utsname kernel;
        char dep[256], newer[256];
        File files[FILES_MAX] = { { dep, "" } };
        json_t *row;

        assert_int_equal(uname(&kernel), 0);
        (void) snprintf(dep, sizeof(dep), "lib/modules/%s/modules.dep", kernel.release);
        row = look(files, "kernel");
        assert_false(json_is_true(json_object_get(row, "pending")));
        json_decref(row);

        const char *flavour = strrchr(kernel.release, '-');
        if (!flavour || (flavour[1] >= '0' && flavour[1] <= '9'))
                return; /* a kernel of one's own: nothing is newer of the same kind */
        (void) snprintf(newer, sizeof(newer), "lib/modules/999.1.0-1%s/modules.dep", flavour);
        files[1] = (File){ newer, "" };
        row = look(files, "kernel");
        assert_string_equal(text_of(row, "status"), "warn");
        assert_true(json_is_true(json_object_get(row, "pending")));
        assert_non_null(strstr(text_of(row, "text"), "999.1.0"));
        json_decref(row);

        files[0] = files[1];
        files[1] = (File){ 0 };
        row = look(files, "kernel");
        assert_string_equal(text_of(row, "status"), "fail");
        assert_true(json_is_true(json_object_get(row, "pending")));
        json_decref(row);
}

/* Files as a broken host has them: too long, without an end, not text. */
static void test_odd_files(void **state) {
        static const char *const ids[] = { "iommu", "memory-lock", "memory-regions", "interrupt-remapping", "reserved-memory" };
        char *big = malloc(300000);
        const File files[FILES_MAX] = {
                { "proc/cpuinfo", "vendor_id : GenuineIntel\nflags" },
                { "proc/cmdline", big },
                { "etc/default/grub", big },
                { "proc/interrupts", big },
                { "proc/1/limits", "Max locked memory" },
                { "sys/bus/pci/devices/0000:01:00.0/resource", "\xff\xfe nonsense\n0x1\n\n-1 -1 -1\n" },
                { "sys/kernel/iommu_groups/x/reserved_regions", big },
                { "etc/security/limits.conf", "memlock \xff\xff\n" },
        };

        assert_non_null(big);
        memset(big, 'x', 299999);
        big[299999] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                json_t *row = look(files, ids[i]);
                char *text = json_dumps(row, 0);

                assert_non_null(text); /* valid UTF-8 all through */
                free(text);
                json_decref(row);
        }
        free(big);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_kernel),
                cmocka_unit_test(test_odd_files),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
