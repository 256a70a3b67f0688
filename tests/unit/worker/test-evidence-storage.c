/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/macro.h"
#include "worker/evidence-internal.h"

/* The fake host's disks: two NVMe cards, an AHCI controller with two disks, an empty one beside it. */
#define NVME_A "/devices/pci0000:00/0000:00:1c.0/0000:03:00.0/nvme/nvme0"
#define NVME_B "/devices/pci0000:00/0000:00:1d.0/0000:04:00.0/nvme/nvme1"
#define SDA "/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda"
#define SDB "/devices/pci0000:00/0000:00:17.0/ata2/host1/target1:0:0/1:0:0:0/block/sdb"

static void put(Rig *rig, const char *text, const char *format, ...) __attribute__((__format__(__printf__, 3, 4)));
static void put(Rig *rig, const char *text, const char *format, ...) {
        char path[512], *slash;
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(path, sizeof(path), format, arguments);
        va_end(arguments);
        slash = strrchr(path, '/');
        *slash = '\0';
        fake_make_directory(&rig->host, path);
        *slash = '/';
        fake_write_file(&rig->host, path, text);
}

static void link_to(Rig *rig, const char *directory, const char *name, const char *target) {
        char path[1024];

        fake_make_directory(&rig->host, directory);
        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        fake_link(&rig->host, path, target);
}

/* A block device at a path below /sys, with its number and its links. */
static void add_block(Rig *rig, const char *number, const char *syspath) {
        const char *name = strrchr(syspath, '/') + 1;
        char path[1024];

        (void) snprintf(path, sizeof(path), "sys%s", syspath);
        fake_make_directory(&rig->host, path);
        (void) snprintf(path, sizeof(path), "../..%s", syspath);
        link_to(rig, "sys/dev/block", number, path);
        link_to(rig, "sys/class/block", name, path);
}

static void add_disk(Rig *rig, const char *number, const char *syspath) {
        char target[1024];

        add_block(rig, number, syspath);
        (void) snprintf(target, sizeof(target), "..%s", syspath);
        link_to(rig, "sys/block", strrchr(syspath, '/') + 1, target);
}

/* `slave`: a path below /sys, linked relative to the slaves folder of a virtual disk. */
static void add_slave(Rig *rig, const char *name, const char *slave) {
        char path[512], target[1024];

        (void) snprintf(path, sizeof(path), "sys/devices/virtual/block/%s/slaves", name);
        (void) snprintf(target, sizeof(target), "../../../../..%s", slave);
        link_to(rig, path, strrchr(slave, '/') + 1, target);
}

static void add_mapper(Rig *rig, const char *number, const char *name, const char *map, const char *uuid) {
        char path[256];

        (void) snprintf(path, sizeof(path), "/devices/virtual/block/%s", name);
        add_disk(rig, number, path);
        put(rig, map, "sys%s/dm/name", path);
        put(rig, uuid, "sys%s/dm/uuid", path);
}

static int setup(void **state) {
        int r = rig_setup(state);
        Rig *rig = *state;

        if (r < 0)
                return r;
        add_disk(rig, "259:0", NVME_A "/nvme0n1");
        add_block(rig, "259:3", NVME_A "/nvme0n1/nvme0n1p3");
        add_disk(rig, "259:10", NVME_B "/nvme1n1");
        add_block(rig, "259:11", NVME_B "/nvme1n1/nvme1n1p1");
        add_disk(rig, "8:0", SDA);
        add_block(rig, "8:1", SDA "/sda1");
        add_disk(rig, "8:16", SDB);
        put(rig, "", "proc/1/mountinfo");
        put(rig, "Filename Type Size Used Priority\n", "proc/swaps");
        return 0;
}

/* The other collectors look at the machine's own network and processes. */
static bool is_of_storage(json_t *item) {
        static const char *const codes[] = {
                "mount", "swap", "resume", "stack", "member", "open", "boot", "fstab", "crypttab", "esp",
        };
        const char *code = json_string_value(json_object_get(item, "code"));

        if (!code)
                return streq(json_string_value(json_object_get(item, "kind")), "storage");
        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                if (streq(codes[i], code))
                        return true;
        return false;
}

/* Everything that was said: "critical mount nvme0n1p3: / < dm-0 (LVM vg0-root) < nvme0n1p3" a line, and
 * "unresolved storage: …". */
static char *collect(Rig *rig) {
        char *all = strdup("");
        json_t *message;

        rig_send(rig, json_pack("{s:s}", "type", "guard"));
        while ((message = rig_receive(rig)) && !streq(json_string_value(json_object_get(message, "type")), "done")) {
                json_t *item, *link;
                size_t i, k;

                json_array_foreach(json_object_get(message, "items"), i, item) {
                        const char *path = json_string_value(json_object_get(item, "path"));
                        char *next = NULL;

                        if (!is_of_storage(item))
                                continue;
                        assert_true(asprintf(&next, "%s%s %s %s:", all, json_string_value(json_object_get(item, "verdict")),
                                             json_string_value(json_object_get(item, "code")), strrchr(path, '/') + 1) > 0);
                        free(all);
                        all = next;
                        json_array_foreach(json_object_get(item, "chain"), k, link) {
                                assert_true(asprintf(&next, "%s%s%s", all, k > 0 ? " < " : " ", json_string_value(link)) > 0);
                                free(all);
                                all = next;
                        }
                        assert_true(asprintf(&next, "%s\n", all) > 0);
                        free(all);
                        all = next;
                }
                json_array_foreach(json_object_get(message, "unresolved"), i, item) {
                        char *next = NULL;

                        if (!is_of_storage(item))
                                continue;
                        assert_true(asprintf(&next, "%sunresolved %s: %s\n", all,
                                             json_string_value(json_object_get(item, "kind")),
                                             json_string_value(json_object_get(item, "text"))) > 0);
                        free(all);
                        all = next;
                }
                json_decref(message);
        }
        assert_non_null(message);
        assert_int_equal(json_integer_value(json_object_get(message, "result")), 0);
        json_decref(message);
        return all;
}

static void assert_said(Rig *rig, const char *const *wanted, const char *const *unwanted) {
        char *all = collect(rig);

        for (; wanted && *wanted; wanted++)
                assert_contains(all, *wanted);
        for (; unwanted && *unwanted; unwanted++)
                if (strstr(all, *unwanted))
                        fail_msg("\"%s\" contains \"%s\"", all, *unwanted);
        free(all);
}
#define SAID(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_nothing(void **state) {
        char *all = collect(*state);

        assert_string_equal(all, "");
        free(all);
}

static void test_lvm_root(void **state) {
        Rig *rig = *state;

        add_mapper(rig, "254:0", "dm-0", "vg0-root", "LVM-abcdef");
        add_slave(rig, "dm-0", NVME_A "/nvme0n1/nvme0n1p3");
        put(rig, "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg0-root rw\n"
                 "23 22 0:21 / /proc rw - proc proc rw\n"
                 "24 22 254:0 /home /home rw master:1 shared:2 propagate_from:3 - ext4 /dev/mapper/vg0-root rw\n",
            "proc/1/mountinfo");
        assert_said(rig,
                    SAID("forbidden mount nvme0n1p3: / < dm-0 (LVM vg0-root) < nvme0n1p3\n",
                         "critical mount nvme0n1p3: /home < dm-0 (LVM vg0-root) < nvme0n1p3\n",
                         "critical stack nvme0n1p3: device mapper < dm-0 (LVM vg0-root) < nvme0n1p3\n"),
                    SAID("nvme1n1", "sda", "sdb", "unresolved"));
}

/* LVM on LUKS on MD on two disks, one of them a partition. */
static void test_deep_stack(void **state) {
        Rig *rig = *state;

        add_disk(rig, "9:0", "/devices/virtual/block/md0");
        put(rig, "raid1", "sys/devices/virtual/block/md0/md/level");
        put(rig, "clean", "sys/devices/virtual/block/md0/md/array_state");
        add_slave(rig, "md0", SDB);
        add_slave(rig, "md0", SDA "/sda1");
        add_mapper(rig, "254:1", "dm-1", "cryptdata", "CRYPT-LUKS2-1");
        add_slave(rig, "dm-1", "/devices/virtual/block/md0");
        add_mapper(rig, "254:2", "dm-2", "vg1-data", "LVM-x");
        add_slave(rig, "dm-2", "/devices/virtual/block/dm-1");
        put(rig, "30 1 254:2 / /srv/a\\040b rw - xfs /dev/mapper/vg1-data rw\n", "proc/1/mountinfo");
        assert_said(rig,
                    SAID("critical mount sdb: /srv/a b < dm-2 (LVM vg1-data) < dm-1 (crypt cryptdata) < md0 (raid1) < sdb\n",
                         "< md0 (raid1) < sda1\n"),
                    SAID("nvme", "unresolved"));
}

static void test_inactive_stack(void **state) {
        Rig *rig = *state;

        add_disk(rig, "9:0", "/devices/virtual/block/md127");
        put(rig, "inactive", "sys/block/md127/md/array_state");
        add_slave(rig, "md127", SDB);
        put(rig, "E:ID_FS_TYPE=linux_raid_member\n", "run/udev/data/b8:16");
        put(rig, "E:ID_FS_TYPE=LVM2_member\n", "run/udev/data/b8:1");
        put(rig, "E:ID_FS_TYPE=crypto_LUKS\n", "run/udev/data/b259:11");
        assert_said(rig,
                    SAID("in-use stack sdb: software RAID < md127 < sdb\n",
                         "in-use member sdb: member of a software RAID < sdb\n",
                         "in-use member sda1: LVM physical volume < sda1\n",
                         "in-use member nvme1n1p1: LUKS volume < nvme1n1p1\n"),
                    SAID("critical", "forbidden", "unresolved"));
}

static void test_swap(void **state) {
        Rig *rig = *state;

        put(rig, "40 1 8:1 / /var rw - ext4 /dev/sda1 rw\n", "proc/1/mountinfo");
        put(rig, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
                 "/dev/nvme1n1p1                          partition\t1048572\t0\t-2\n"
                 "/var/swap\\040file                       file\t1048572\t0\t-3\n",
            "proc/swaps");
        put(rig, "8:16\n", "sys/power/resume");
        assert_said(rig,
                    SAID("critical swap nvme1n1p1: swap /dev/nvme1n1p1 < nvme1n1p1\n",
                         "critical swap sda1: swap /var/swap file < sda1\n", "critical resume sdb: hibernation < sdb\n"),
                    SAID("nvme0", "unresolved"));
}

static void test_zram_and_loop(void **state) {
        Rig *rig = *state;

        add_disk(rig, "253:0", "/devices/virtual/block/zram0");
        put(rig, "/dev/nvme1n1p1", "sys/devices/virtual/block/zram0/backing_dev");
        add_disk(rig, "253:1", "/devices/virtual/block/zram1");
        put(rig, "none", "sys/devices/virtual/block/zram1/backing_dev");
        add_disk(rig, "7:0", "/devices/virtual/block/loop0");
        put(rig, "/images/guest.img", "sys/devices/virtual/block/loop0/loop/backing_file");
        put(rig, "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 5\n/dev/zram1 partition 1 0 5\n",
            "proc/swaps");
        put(rig, "50 1 8:1 / /images rw - ext4 /dev/sda1 rw\n51 1 7:0 / /mnt rw - ext4 /dev/loop0 rw\n",
            "proc/1/mountinfo");
        assert_said(rig,
                    SAID("critical swap nvme1n1p1: swap /dev/zram0 < zram0 < nvme1n1p1\n",
                         "critical mount sda1: /mnt < loop0 (/images/guest.img) < sda1\n"),
                    SAID("unresolved", "sdb"));
}

static void test_btrfs(void **state) {
        Rig *rig = *state;
        static const char uuid[] = "sys/fs/btrfs/0b6d71ae-5d2c-4ea0-9d4c-6a0b8f1f4f5e/devices";

        fake_make_directory(&rig->host, "sys/fs/btrfs/features");
        link_to(rig, uuid, "sda1", "../../../.." SDA "/sda1");
        link_to(rig, uuid, "nvme1n1", "../../../.." NVME_B "/nvme1n1");
        put(rig, "60 1 0:44 /@data /data rw - btrfs /dev/sda1 rw,subvol=/@data\n", "proc/1/mountinfo");
        assert_said(rig,
                    SAID("critical mount sda1: /data < sda1\n", "critical mount nvme1n1: /data < nvme1n1\n"),
                    SAID("sdb", "nvme0", "unresolved"));
        fake_remove_file(&rig->host, "sys/fs/btrfs/0b6d71ae-5d2c-4ea0-9d4c-6a0b8f1f4f5e/devices/sda1");
        fake_remove_file(&rig->host, "sys/fs/btrfs/0b6d71ae-5d2c-4ea0-9d4c-6a0b8f1f4f5e/devices/nvme1n1");
        assert_said(rig, SAID("unresolved storage: /data is a mount of /dev/sda1"), NULL);
}

/* All paths of a namespace that leads through several controllers. */
static void test_nvme_multipath(void **state) {
        static const char subsystem[] = "/devices/virtual/nvme-subsystem/nvme-subsys0";
        Rig *rig = *state;
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/nvme9n1", subsystem);
        add_disk(rig, "259:90", path);
        (void) snprintf(path, sizeof(path), "%s/nvme9n1/nvme9n1p1", subsystem);
        add_block(rig, "259:91", path);
        put(rig, "1", "sys%s/partition", path);
        (void) snprintf(path, sizeof(path), "sys%s", subsystem);
        link_to(rig, path, "nvme0", "../../../.." NVME_A);
        link_to(rig, path, "nvme1", "../../../.." NVME_B);
        put(rig, "70 1 259:91 / /data rw - ext4 /dev/nvme9n1p1 rw\n", "proc/1/mountinfo");
        assert_said(rig,
                    SAID("critical mount nvme0: /data < nvme9n1p1 < nvme9n1 < nvme0\n",
                         "critical mount nvme1: /data < nvme9n1p1 < nvme9n1 < nvme1\n"),
                    SAID("unresolved"));
}

static void test_zfs(void **state) {
        Rig *rig = *state;

        put(rig, "E:ID_FS_TYPE=zfs_member\n", "run/udev/data/b8:16");
        put(rig, "80 1 0:50 / /tank rw - zfs tank rw\n81 1 0:51 / /tank/a rw - zfs tank/a rw\n", "proc/1/mountinfo");
        assert_said(rig, SAID("critical mount sdb: /tank < sdb\n", "critical mount sdb: /tank/a < sdb\n"), SAID("unresolved"));
        fake_remove_file(&rig->host, "run/udev/data/b8:16");
        assert_said(rig, SAID("unresolved storage: /tank is a mount of tank"), NULL);
}

static void test_overlay_and_journal(void **state) {
        Rig *rig = *state;

        put(rig, "90 1 8:1 / /lower rw - ext4 /dev/sda1 rw\n"
                 "91 1 8:16 / /upper rw - xfs /dev/sdb rw,logdev=/dev/nvme1n1p1\n"
                 "92 1 0:60 / /merged rw - overlay overlay rw,lowerdir=/lower/a\\134:b:/lower,upperdir=/upper/u,workdir=/upper/w\n"
                 "93 1 0:61 / / rw - overlay overlay rw,lowerdir=/nowhere,upperdir=/nothing\n",
            "proc/1/mountinfo");
        assert_said(rig,
                    SAID("critical mount sda1: /merged < sda1\n", "critical mount sdb: /merged < sdb\n",
                         "critical mount nvme1n1p1: /upper < nvme1n1p1\n"),
                    SAID("unresolved", "nvme0"));
}

static void test_other_namespace(void **state) {
        Rig *rig = *state;

        link_to(rig, "proc/1/ns", "mnt", "mnt:[4026531841]");
        link_to(rig, "proc/77/ns", "mnt", "mnt:[4026532000]");
        put(rig, "container\n", "proc/77/comm");
        put(rig, "100 1 8:16 / /data rw - ext4 /dev/sdb rw\n101 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "proc/77/mountinfo");
        put(rig, "40 1 8:1 / /var rw - ext4 /dev/sda1 rw\n", "proc/1/mountinfo");
        /* One that ended meanwhile. */
        link_to(rig, "proc/78/ns", "mnt", "mnt:[4026532001]");
        /* What the host has mounted itself is not said again. */
        assert_said(rig, SAID("critical mount sdb: /data of process 77 (container) < sdb\n"), SAID("/ of process", "unresolved"));
}

static void test_boot(void **state) {
        Rig *rig = *state;

        put(rig, "# comment\nUUID=abc /boot/efi vfat noauto 0 1\n/dev/sdb /backup ext4 noauto 0 2\nnas:/x /nas nfs defaults 0 0\n",
            "etc/fstab");
        put(rig, "data /dev/sda1 none luks\n", "etc/crypttab");
        put(rig, "", "dev/nvme1n1p1");
        link_to(rig, "dev/disk/by-uuid", "abc", "../../nvme1n1p1");
        put(rig, "BOOT_IMAGE=/vmlinuz root=/dev/nvme0n1p3 ro quiet\n", "proc/cmdline");
        assert_said(rig,
                    SAID("critical boot nvme1n1p1: /boot/efi in /etc/fstab < nvme1n1p1\n",
                         "in-use fstab sdb: /backup in /etc/fstab < sdb\n", "in-use crypttab sda1: data in /etc/crypttab < sda1\n",
                         "critical boot nvme0n1p3: root= of the kernel < nvme0n1p3\n"),
                    SAID("unresolved"));
}

/* Unmounted lazily, with a file open; what is mounted is not said twice, and a type's folders of another kind are no devices. */
static void test_superblocks(void **state) {
        Rig *rig = *state;

        put(rig, "40 1 8:1 / /var rw - ext4 /dev/sda1 rw\n", "proc/1/mountinfo");
        put(rig, "8:1\n", "sys" SDA "/sda1/dev");
        put(rig, "8:16\n", "sys" SDB "/dev");
        fake_make_directory(&rig->host, "sys/fs/ext4/features");
        fake_make_directory(&rig->host, "sys/fs/ext4/sda1");
        fake_make_directory(&rig->host, "sys/fs/xfs/stats");
        fake_make_directory(&rig->host, "sys/fs/xfs/sdb");
        assert_said(rig, SAID("critical mount sdb: file system (xfs) in use < sdb\n", "critical mount sda1: /var < sda1\n"),
                    SAID("file system (ext4)", "unresolved"));
}

/* A table of the administrator of any length; one that cannot be read hides what the host starts from. */
static void test_long_fstab(void **state) {
        enum { LINES = 4000 };
        Rig *rig = *state;
        size_t size = LINES * (size_t) 40 + 128, used = 0;
        char *text = malloc(size);

        assert_non_null(text);
        for (unsigned i = 0; i < LINES; i++)
                used += (size_t) snprintf(text + used, size - used, "nas:/%u /nas/%u nfs noauto 0 0\n", i, i);
        (void) snprintf(text + used, size - used, "/dev/nvme1n1p1 /boot vfat noauto 0 1\n/dev/sdb none swap noauto 0 0\n");
        put(rig, text, "etc/fstab");
        free(text);
        assert_said(rig,
                    SAID("critical boot nvme1n1p1: /boot in /etc/fstab < nvme1n1p1\n",
                         "in-use fstab sdb: /dev/sdb in /etc/fstab < sdb\n"),
                    SAID("unresolved"));
        fake_remove_file(&rig->host, "etc/fstab");
        fake_make_directory(&rig->host, "etc/fstab");
        assert_said(rig, SAID("unresolved storage: /etc/fstab cannot be read: Is a directory\n"), NULL);
}

/* The entry that the firmware started: a hard drive's partition with a GUID. A guest's system partition stays free. */
static void test_esp(void **state) {
        static const uint8_t option[] = {
                7, 0, 0, 0, 1, 0, 0, 0, 46, 0, 'd', 0, 0, 0,
                4, 1, 42, 0, 1, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0,
                0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 2, 2,
                0x7f, 0xff, 4, 0,
        };
        static const uint8_t current[] = { 6, 0, 0, 0, 1, 0 };
        static const char vendor[] = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
        Rig *rig = *state;
        char path[512];
        FILE *f;

        put(rig, "E:ID_PART_ENTRY_TYPE=c12a7328-f81f-11d2-ba4b-00a0c93ec93b\nE:ID_PART_ENTRY_UUID=00112233-4455-6677-8899-aabbccddeeff\n",
            "run/udev/data/b259:3");
        put(rig, "E:ID_PART_ENTRY_TYPE=c12a7328-f81f-11d2-ba4b-00a0c93ec93b\nE:ID_PART_ENTRY_UUID=deadbeef-4455-6677-8899-aabbccddeeff\n",
            "run/udev/data/b259:11");
        /* Not started by EFI: those partitions are data. */
        assert_said(rig, NULL, SAID("esp"));

        fake_make_directory(&rig->host, "sys/firmware/efi/efivars");
        assert_said(rig, SAID("in-use esp nvme0n1p3: ", "in-use esp nvme1n1p1: "), SAID("critical"));

        (void) snprintf(path, sizeof(path), "%s/sys/firmware/efi/efivars/BootCurrent-%s", rig->host.root, vendor);
        assert_non_null(f = fopen(path, "we"));
        assert_int_equal(fwrite(current, sizeof(current), 1, f), 1);
        (void) fclose(f);
        (void) snprintf(path, sizeof(path), "%s/sys/firmware/efi/efivars/Boot0001-%s", rig->host.root, vendor);
        assert_non_null(f = fopen(path, "we"));
        assert_int_equal(fwrite(option, sizeof(option), 1, f), 1);
        (void) fclose(f);
        assert_said(rig, SAID("critical esp nvme0n1p3: EFI system partition < nvme0n1p3\n"), SAID("nvme1n1p1"));
}

/* Links that lead nowhere or in circles, names of odd bytes, tables of odd lines, devices that are not there. */
static void test_damaged(void **state) {
        Rig *rig = *state;

        add_mapper(rig, "254:0", "dm-0", "a\xff\x01" "b", "LVM-1");
        add_slave(rig, "dm-0", "/devices/virtual/block/dm-1");
        add_mapper(rig, "254:1", "dm-1", "circle", "LVM-2");
        add_slave(rig, "dm-1", "/devices/virtual/block/dm-0");
        link_to(rig, "sys/devices/virtual/block/dm-1/slaves", "gone", "../../../../../devices/pci0000:00/gone");
        link_to(rig, "sys/devices/virtual/block/dm-1/slaves", "loop", "loop");
        link_to(rig, "sys/dev/block", "8:99", "8:99");
        put(rig, "nonsense\n\n1 2 3\n1 2 x:y / /x rw - ext4 /dev/x rw\n1 2 254:0 / / rw shared:1\n"
                 "110 1 254:0 / /mnt\\377 rw - ext4 /dev/dm-0 rw\n111 1 8:99 / /loop rw - ext4 /dev/q rw\n"
                 "112 1 8:77 / /nothing rw - ext4 /dev/r rw\n",
            "proc/1/mountinfo");
        link_to(rig, "sys/class/block", "circle", "circle");
        put(rig, "\n\n  \nnot a path\n/dev/nothing partition 1 2 3\n/dev/circle partition 1 2 3\n", "proc/swaps");
        put(rig, "8:99\n", "sys/power/resume");
        assert_said(rig,
                    SAID("unresolved storage: /mnt? (dm-1 (LVM circle)) stands on ", "unresolved storage: /loop is a mount of",
                         "unresolved storage: /nothing is a mount of", "unresolved storage: what /dev/nothing stands on",
                         "unresolved storage: what /dev/circle stands on"),
                    SAID("nvme"));
        fake_remove_file(&rig->host, "proc/1/mountinfo");
        assert_said(rig, SAID("unresolved storage: the mounts of the host cannot be read\n"), NULL);
}

static void test_many_mounts(void **state) {
        enum { MOUNTS = 10000 };
        Rig *rig = *state;
        size_t size = MOUNTS * (size_t) 80, used = 0;
        char *text = malloc(size), *all;
        struct timespec before, after;
        int64_t msec;

        assert_non_null(text);
        for (unsigned i = 0; i < MOUNTS; i++)
                used += (size_t) snprintf(text + used, size - used, "%u 1 %s / /m/%u rw - ext4 /dev/x rw\n", i + 100,
                                          i % 2 ? "8:1" : "259:3", i);
        put(rig, text, "proc/1/mountinfo");
        free(text);
        (void) clock_gettime(CLOCK_MONOTONIC, &before);
        all = collect(rig);
        (void) clock_gettime(CLOCK_MONOTONIC, &after);
        msec = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
        assert_contains(all, "critical mount sda1: /m/1 < sda1\n");
        assert_contains(all, "critical mount sda1: 4988 more mounts < sda1\n");
        assert_contains(all, "critical mount nvme0n1p3: 4988 more mounts < nvme0n1p3\n");
        assert_null(strstr(all, "unresolved"));
        /* Far from the limit of a collection, on a slow machine too. */
        assert_in_range(msec, 0, 2000);
        free(all);
}

static void test_mount_table(void **state) {
        char text[] = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /a rw - ext4 /dev/sda2 rw,data=ordered,logdev=/dev/x\n"
                      "3 2 8:3 / /a rw a:1 - ext4 /dev/sda3 rw\n4 1 8:4 / /ab rw b:2 c:3 - fuse.x  rw\n";
        char escaped[] = "\\040a\\134b\\9\\12\\";
        _cleanup_mounts_ MountTable table = {};
        char *value;

        assert_int_equal(mount_table_parse(&table, text), 0);
        assert_int_equal(table.n_items, 4);
        assert_int_equal(mount_table_find(&table, "/x/y")->minor_number, 1);
        assert_int_equal(mount_table_find(&table, "/a")->minor_number, 3);
        assert_int_equal(mount_table_find(&table, "/a/b")->minor_number, 3);
        assert_int_equal(mount_table_find(&table, "/ab/b")->minor_number, 4);
        assert_int_equal(mount_table_find(&table, "/abc")->minor_number, 1);
        assert_string_equal(table.items[3].source, "");
        value = mount_option(&table.items[1], "logdev");
        assert_string_equal(value, "/dev/x");
        free(value);
        assert_null(mount_option(&table.items[1], "log"));
        unescape_octal(escaped);
        assert_string_equal(escaped, " a\\b\\9\\12\\");
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_mount_table),
                TEST(test_nothing),        TEST(test_lvm_root), TEST(test_deep_stack),          TEST(test_inactive_stack),
                TEST(test_swap),           TEST(test_zram_and_loop), TEST(test_btrfs),          TEST(test_nvme_multipath),
                TEST(test_zfs),            TEST(test_overlay_and_journal), TEST(test_other_namespace), TEST(test_boot),
                TEST(test_superblocks), TEST(test_long_fstab),     TEST(test_esp),            TEST(test_damaged),  TEST(test_many_mounts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
