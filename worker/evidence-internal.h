/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the collectors share and nobody else needs. */

#include "evidence.h"
#include "pci-scan.h"

/* ---- evidence-process.c: one look at all processes, for whoever asks ---- */

/* A device node that a process has open. */
typedef struct OpenNode {
        uint32_t pid;
        char *path;    /* as the process sees it: "/dev/sda" */
        bool is_block; /* else a character device, of those that somebody asks about */
        bool writable; /* open for writing, or for nobody else */
        unsigned major_number, minor_number;
} OpenNode;

typedef struct ProcessTable {
        OpenNode *nodes;
        size_t n_nodes;
        uint32_t *namespaces; /* one process of each mount namespace, the first being process 1 where it can be seen */
        size_t n_namespaces;
        uint32_t denied;      /* a process that may not be looked at; 0 for none */
        bool incomplete;      /* there is more than is kept */
} ProcessTable;

/* Belongs to the evidence. */
int evidence_processes(Evidence *evidence, const ProcessTable **ret);
void process_table_done(ProcessTable *table);
int process_table_read(const Sysfs *sysfs, ProcessTable *ret);
/* The name of a process, "?" when it is gone. */
void process_name(const Sysfs *sysfs, uint32_t pid, char *buffer, size_t size);

/* All PCI functions, looked at once for all collectors; belongs to the evidence. Empty where there is no PCI; -ENOMEM. */
int evidence_pci(Evidence *evidence, const PciScan **ret);

/* ---- evidence-mount.c: mount tables, without touching what is mounted ---- */

typedef struct Mount {
        unsigned major_number, minor_number; /* major 0: no block device of its own */
        char *target, *type, *source, *options; /* options: of the file system */
} Mount;

typedef struct MountTable {
        Mount *items; /* in the order of the table: later ones hide earlier ones of the same place */
        size_t n_items;
        size_t n_allocated;
} MountTable;

/* "/proc/1/mountinfo". A table that changes meanwhile is read again; after a few times all that was seen counts. */
int mount_table_read(const Sysfs *sysfs, const char *path, MountTable *ret);
void mount_table_done(MountTable *table);
#define _cleanup_mounts_ _cleanup_(mount_table_done)
/* /proc/1/mountinfo as it was when the first collector asked; belongs to the evidence. Errors as those of mount_table_read(). */
int evidence_mounts(Evidence *evidence, const MountTable **ret);
/* Appends the mounts of a text in the form of mountinfo; lines of another form are left out. */
int mount_table_parse(MountTable *table, char *text);
/* The mount that a canonical path is on, NULL for none. */
const Mount *mount_table_find(const MountTable *table, const char *path);
/* An option's value, "lowerdir=…", up to the comma; new string, NULL for none. */
char *mount_option(const Mount *mount, const char *name);
/* What the kernel wrote as \040, in place. */
void unescape_octal(char *text);

/* ---- evidence-block.c: from block devices down to the hardware ---- */

typedef struct Storage Storage;

#define CHAIN_MAX 12u

/* The links of a chain while it is followed; texts are borrowed. */
typedef struct Chain {
        const char *links[CHAIN_MAX + 1];
        size_t n;
} Chain;

Storage *storage_free(Storage *storage);
DEFINE_CLEANUP(Storage *, storage_free)
int storage_new(Evidence *evidence, const MountTable *host, Storage **ret);
Evidence *storage_evidence(const Storage *storage);
/* Everything that the device stands on, through partitions, slaves, backing files and paths. -ENOENT where there is no such
 * device, or its links lead nowhere; else only -ENOMEM. `top`: what people know. */
int storage_add_number(Storage *storage, EvidenceVerdict verdict, const char *code, const char *top, unsigned major_number,
                       unsigned minor_number);
/* "sda3", "dm-0", "cciss!c0d0p1". */
int storage_add_name(Storage *storage, EvidenceVerdict verdict, const char *code, const char *top, const char *name);
/* "/dev/sda3", "/dev/mapper/x", "/dev/disk/by-uuid/…", "UUID=…", "PARTUUID=…", "LABEL=…", "PARTLABEL=…". */
int storage_add_source(Storage *storage, EvidenceVerdict verdict, const char *code, const char *top, const char *source);
/* The devices below a canonical path of the host, by its mount table. */
int storage_add_path(Storage *storage, EvidenceVerdict verdict, const char *code, const char *top, const char *path);
/* The devices of a mount: its own, or those that its file system has beside it. 0 also where it has none. */
int storage_add_mount(Storage *storage, EvidenceVerdict verdict, const char *code, const char *top, const Mount *mount);

/* evidence-boot.c: what the next start of the host needs, and what is asleep on its disks. */
int storage_add_boot(Storage *storage);
