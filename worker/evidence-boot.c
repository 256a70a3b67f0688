/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <endian.h>
#include <limits.h>
#include <stdio.h>

#include "evidence-internal.h"
#include "lib/limits.h"
#include "lib/parse.h"
#include "proc-file.h"

/* What the next start of the host needs although nothing of it is mounted now, and what is asleep on its disks: volumes that
 * are not active, which somebody may be keeping. */

#define RECORD_MAX_BYTES 16384u
#define ESP_TYPE "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
#define EFI_GLOBAL "8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define LOADER "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define EFI_VARIABLES "/sys/firmware/efi/efivars"

static int tolerate_missing(int r) {
        return r == -ENOENT ? 0 : r;
}

/* ---- tables of the administrator ---- */

static bool is_boot_target(const char *target) {
        return streq(target, "/") || streq(target, "/usr") || streq(target, "/efi") || streq(target, "/boot") ||
               startswith(target, "/boot/");
}

/* UUID=… /boot/efi vfat umask=0077 0 1 */
static int add_fstab_line(Storage *storage, const char *source, const char *target) {
        char top[PATH_MAX + 32];
        bool boot = is_boot_target(target);

        (void) snprintf(top, sizeof(top), "%s in /etc/fstab", target[0] == '/' ? target : source); /* swap has no place */
        return storage_add_source(storage, boot ? EVIDENCE_CRITICAL : EVIDENCE_IN_USE, boot ? "boot" : "fstab", top, source);
}

/* data UUID=… none luks */
static int add_crypttab_line(Storage *storage, const char *name, const char *source) {
        char top[PATH_MAX + 32];

        (void) snprintf(top, sizeof(top), "%s in /etc/crypttab", name);
        return storage_add_source(storage, EVIDENCE_IN_USE, "crypttab", top, source);
}

typedef struct Administered {
        Storage *storage;
        int (*add)(Storage *storage, const char *first, const char *second);
} Administered;

static int take_line(void *userdata, char *line) {
        Administered *table = userdata;
        char *first, *second;

        line += strspn(line, " \t");
        if (*line == '#')
                return 0;
        first = strsep(&line, " \t");
        line += line ? strspn(line, " \t") : 0;
        second = line ? strsep(&line, " \t") : NULL;
        if (isempty(first) || isempty(second))
                return 0;
        unescape_octal(first);
        unescape_octal(second);
        return tolerate_missing(table->add(table->storage, first, second));
}

static int add_table(Storage *storage, const char *path,
                     int (*add)(Storage *storage, const char *first, const char *second)) {
        Evidence *evidence = storage_evidence(storage);
        Administered table = { .storage = storage, .add = add };
        char text[128];
        int r;

        r = proc_each_line(evidence_sysfs(evidence), path, take_line, &table);
        if (r >= 0 || r == -ENOMEM)
                return r;
        if (r == -ENOENT)
                return 0;
        (void) snprintf(text, sizeof(text), "%s cannot be read: %s", path, strerrordesc_np(-r));
        return evidence_unresolved(evidence, EVIDENCE_STORAGE, text);
}

static int add_command_line(Storage *storage) {
        static const struct {
                const char *option, *code, *top;
        } options[] = {
                { "root=", "boot", "root= of the kernel" },
                { "resume=", "resume", "resume= of the kernel" },
        };
        char text[4096], *rest = text, *word;
        int r = 0;

        if (sysfs_read(evidence_sysfs(storage_evidence(storage)), "/proc/cmdline", text, sizeof(text)) < 0)
                return 0;
        while (r >= 0 && (word = strsep(&rest, " ")))
                for (size_t i = 0; i < ELEMENTSOF(options) && r >= 0; i++) {
                        const char *source = startswith(word, options[i].option);

                        if (source)
                                r = tolerate_missing(storage_add_source(storage, EVIDENCE_CRITICAL, options[i].code,
                                                                        options[i].top, source));
                }
        return r;
}

/* ---- the partition that the firmware started from ---- */

/* A variable of the firmware, without the four bytes of attributes before it. */
static ssize_t read_variable(const Sysfs *sysfs, const char *name, const char *vendor, uint8_t *buffer, size_t size) {
        char path[sizeof(EFI_VARIABLES) + 128];
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "%s/%s-%s", EFI_VARIABLES, name, vendor);
        fd = openat(sysfs->root_fd, path + 1, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        n = read(fd, buffer, size);
        if (n < 0)
                return -errno;
        if (n < 4)
                return -ENODATA;
        memmove(buffer, buffer + 4, (size_t) n - 4);
        return n - 4;
}

/* The first three parts of a GUID are little-endian numbers. */
static void guid_to_text(const uint8_t *guid, char ret[static UUID_TEXT_SIZE]) {
        (void) snprintf(ret, UUID_TEXT_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", guid[3],
                        guid[2], guid[1], guid[0], guid[5], guid[4], guid[7], guid[6], guid[8], guid[9], guid[10], guid[11],
                        guid[12], guid[13], guid[14], guid[15]);
}

static unsigned u16_at(const uint8_t *data) {
        return (unsigned) data[0] | (unsigned) data[1] << 8;
}

/* A load option: attributes (4), length of the device path (2), its name (UTF-16 up to a 0), device path. Of the path, the
 * node of a hard drive (4, 1) with a GUID (2). UEFI 2.10, 3.1.3 and 10.3.5.1. */
static bool partition_of_option(const uint8_t *data, size_t size, char ret[static UUID_TEXT_SIZE]) {
        enum { NAME = 6, HEAD = 4, DRIVE_SIZE = 42, SIGNATURE = 24, SIGNATURE_TYPE = 41 };
        size_t at = NAME;

        while (at + 2 <= size && u16_at(data + at) != 0)
                at += 2;
        at += 2;
        while (at + HEAD <= size) {
                unsigned length = u16_at(data + at + 2);

                if (length < HEAD || at + length > size || data[at] == 0x7f)
                        return false;
                if (data[at] == 4 && data[at + 1] == 1 && length >= DRIVE_SIZE && data[at + SIGNATURE_TYPE] == 2) {
                        guid_to_text(data + at + SIGNATURE, ret);
                        return true;
                }
                at += length;
        }
        return false;
}

/* What the boot loader says itself, or the firmware of the entry that it started. */
static bool boot_partition(const Sysfs *sysfs, char ret[static UUID_TEXT_SIZE]) {
        uint8_t data[4096];
        char name[16], text[UUID_TEXT_SIZE] = "";
        ssize_t n;

        n = read_variable(sysfs, "LoaderDevicePartUUID", LOADER, data, sizeof(data));
        if (n >= 72) {
                for (size_t i = 0; i < UUID_TEXT_SIZE - 1; i++)
                        text[i] = (char) tolower(data[2 * i]);
                if (parse_uuid(text, ret) >= 0)
                        return true;
        }
        n = read_variable(sysfs, "BootCurrent", EFI_GLOBAL, data, sizeof(data));
        if (n < 2)
                return false;
        (void) snprintf(name, sizeof(name), "Boot%04X", u16_at(data));
        n = read_variable(sysfs, name, EFI_GLOBAL, data, sizeof(data));
        return n > 0 && partition_of_option(data, (size_t) n, ret);
}

/* ---- what udev found on each block device ---- */

typedef struct RecordScan {
        Storage *storage;
        char boot[UUID_TEXT_SIZE]; /* "" when it is not known */
        bool efi;
        char *text; /* RECORD_MAX_BYTES */
        int result;
} RecordScan;

typedef struct Record {
        const char *fs_type, *partition_type, *partition_uuid;
} Record;

static bool read_record(RecordScan *scan, const char *number, Record *ret) {
        char path[sizeof("/run/udev/data/b") + NAME_MAX], *rest = scan->text, *line;
        Record record = { "", "", "" };

        (void) snprintf(path, sizeof(path), "/run/udev/data/b%s", number);
        if (sysfs_read(evidence_sysfs(storage_evidence(scan->storage)), path, scan->text, RECORD_MAX_BYTES) < 0)
                return false;
        while ((line = strsep(&rest, "\n"))) {
                const char *value;

                if ((value = startswith(line, "E:ID_FS_TYPE=")))
                        record.fs_type = value;
                else if ((value = startswith(line, "E:ID_PART_ENTRY_TYPE=")))
                        record.partition_type = value;
                else if ((value = startswith(line, "E:ID_PART_ENTRY_UUID=")))
                        record.partition_uuid = value;
        }
        *ret = record;
        return true;
}

static const char *sleeping_kind(const char *fs_type) {
        static const struct {
                const char *fs_type, *kind;
        } kinds[] = {
                { "LVM2_member", "LVM physical volume" },
                { "crypto_LUKS", "LUKS volume" },
                { "linux_raid_member", "member of a software RAID" },
                { "bcache", "bcache device" },
                { "zfs_member", "member of a ZFS pool" },
                { "mpath_member", "path of a multipath device" },
                { "ddf_raid_member", "member of a firmware RAID" },
                { "isw_raid_member", "member of a firmware RAID" },
        };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (streq(kinds[i].fs_type, fs_type))
                        return kinds[i].kind;
        return NULL;
}

/* Another disk's system partition is some guest's, as long as it is known which is the host's. */
static int add_record(RecordScan *scan, const Record *record, unsigned major_number, unsigned minor_number) {
        const char *kind = sleeping_kind(record->fs_type);
        int r = 0;

        if (streq(record->partition_type, ESP_TYPE) && scan->boot[0] != '\0' && streq(record->partition_uuid, scan->boot))
                r = storage_add_number(scan->storage, EVIDENCE_CRITICAL, "esp", "EFI system partition", major_number,
                                       minor_number);
        else if (streq(record->partition_type, ESP_TYPE) && scan->boot[0] == '\0' && scan->efi)
                r = storage_add_number(scan->storage, EVIDENCE_IN_USE, "esp", "an EFI system partition", major_number,
                                       minor_number);
        if (r >= 0 && kind)
                r = storage_add_number(scan->storage, EVIDENCE_IN_USE, "member", kind, major_number, minor_number);
        return tolerate_missing(r);
}

static void on_number(void *userdata, const char *entry) {
        RecordScan *scan = userdata;
        unsigned major_number, minor_number;
        Record record;

        if (scan->result >= 0 && parse_dev(entry, &major_number, &minor_number) >= 0 && read_record(scan, entry, &record))
                scan->result = add_record(scan, &record, major_number, minor_number);
}

static int add_records(Storage *storage) {
        const Sysfs *sysfs = evidence_sysfs(storage_evidence(storage));
        _cleanup_free_ char *text = malloc(RECORD_MAX_BYTES);
        RecordScan scan = { .storage = storage, .text = text, .efi = sysfs_exists(sysfs, EFI_VARIABLES) };

        if (!text)
                return -ENOMEM;
        if (!boot_partition(sysfs, scan.boot))
                scan.boot[0] = '\0';
        (void) sysfs_list(sysfs, "/sys/dev/block", on_number, &scan);
        return scan.result;
}

int storage_add_boot(Storage *storage) {
        int r;

        r = add_table(storage, "/etc/fstab", add_fstab_line);
        if (r >= 0)
                r = add_table(storage, "/etc/crypttab", add_crypttab_line);
        if (r >= 0)
                r = add_command_line(storage);
        if (r >= 0)
                r = add_records(storage);
        return r;
}
