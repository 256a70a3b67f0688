/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "lib/parse.h"
#include "lib/usb-place.h"
#include "log.h"
#include "source-internal.h"

#define PCI_CLASS_HOST_BRIDGE 0x0600
#define PCI_CLASS_PCI_BRIDGE 0x0604
#define PCI_CLASS_SEMI_TRANSPARENT_BRIDGE 0x0609
#define USB_SUPER_SPEED 5000 /* Mbit/s */

uint64_t source_now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

/* ---- one device ---- */

static int set_text(Source *source, HostDevice *host, const char **field, const char *text) {
        const char *copy;

        if (streq_null(*field, text))
                return 0;
        copy = intern(source->interner, text);
        if (text && !copy)
                return -ENOMEM;
        intern_unref(source->interner, *field);
        *field = copy;
        host->differs = true;
        return 0;
}

/* The kernel names the link to a device as it names its folder, which many have in one place. */
static int set_path(Source *source, HostDevice *host, const char *path) {
        const char *name = strrchr(path, '/');
        char above[PATH_MAX];

        if (!name || !streq(name + 1, host->sysname) || (size_t) (name - path) >= sizeof(above))
                return -EBADMSG;
        memcpy(above, path, (size_t) (name - path));
        above[name - path] = '\0';
        return set_text(source, host, &host->above, above);
}

/* What makes it this device and no other one at the same place. */
typedef struct Ids {
        uint32_t vendor, product, class_code, instance;
} Ids;

/* Bus and address as one number: both are small, and none of them is 0. */
static uint32_t read_instance(Source *source, uint32_t known) {
        const char *text = round_attribute(source, "busnum");
        uint32_t bus, address;

        if (!text || parse_uint32(text, &bus) < 0)
                return known;
        text = round_attribute(source, "devnum");
        if (!text || parse_uint32(text, &address) < 0)
                return known;
        return bus << 8 | (address & 0xff);
}

/* What cannot be read (the device is going) stays as it was. */
static Ids read_ids(Source *source, const HostDevice *host) {
        Ids ids = { host->vendor, host->product, host->class_code, host->instance };
        bool usb = streq(host->subsystem, "usb");
        const struct {
                const char *name;
                uint32_t *value;
        } attributes[] = {
                { usb ? "idVendor" : "vendor", &ids.vendor },
                { usb ? "idProduct" : "device", &ids.product },
                { usb ? NULL : "class", &ids.class_code },
        };

        for (size_t i = 0; i < ELEMENTSOF(attributes); i++) {
                const char *text = attributes[i].name ? round_attribute(source, attributes[i].name) : NULL;

                if (text)
                        (void) parse_hex32(text, attributes[i].value);
        }
        if (usb)
                ids.instance = read_instance(source, host->instance);
        return ids;
}

static void fill_usb(Source *source, HostDevice *host) {
        Ids ids = read_ids(source, host);

        host->vendor = ids.vendor;
        host->product = ids.product;
        host->instance = ids.instance;
}

static int fill_pci(Source *source, HostDevice *host) {
        Ids ids = read_ids(source, host);
        const char *text = round_attribute(source, "numa_node");
        int32_t node = -1;
        uint32_t class;

        host->vendor = ids.vendor;
        host->product = ids.product;
        host->class_code = ids.class_code;
        class = ids.class_code >> 8;
        host->bridge = class == PCI_CLASS_HOST_BRIDGE || class == PCI_CLASS_PCI_BRIDGE ||
                       class == PCI_CLASS_SEMI_TRANSPARENT_BRIDGE;

        if (text)
                (void) parse_int32(text, &node);
        node = MAX_OF(node, -1);
        if (node != host->numa_node)
                host->differs = true;
        host->numa_node = node;

        return set_text(source, host, &host->slot, source_slot_of(source, host->sysname));
}

static int fill(Source *source, HostDevice *host, const char *path) {
        const char *text;
        int32_t group = -1;
        int r;

        r = set_path(source, host, path);
        if (r < 0)
                return r;
        r = set_text(source, host, &host->driver, round_link(source, "driver"));
        if (r < 0)
                return r;
        text = round_link(source, "iommu_group");
        if (text && (parse_int32(text, &group) < 0 || group < 0))
                group = -1;
        if (group != host->iommu_group)
                host->differs = true;
        r = source_join_iommu_group(source, host, group);
        if (r < 0)
                return r;

        if (streq(host->subsystem, "usb"))
                fill_usb(source, host);
        return streq(host->subsystem, "pci") ? fill_pci(source, host) : 0;
}

/* Interfaces are parts of their USB device: there is no host device for them, and their events count as
 * its changes. */
static bool is_part(const Subsystem *subsystem, const char *sysname) {
        return streq(subsystem->name, "usb") && strchr(sysname, ':');
}

/* The place of a USB device. Read through its directory, once: it does not change while the device is there. */
static int read_usb_place(const char *path, int directory_fd, char ret[static USB_PLACE_SIZE]) {
        char text[SOURCE_NAME_MAX], link[SOURCE_NAME_MAX], target[PATH_MAX];
        const char *peer = NULL;
        bool super_speed, hub;
        uint32_t number;
        ssize_t n;

        super_speed = attribute_read(directory_fd, "speed", text, sizeof(text)) > 0 &&
                      parse_uint32(text, &number) >= 0 && number >= USB_SUPER_SPEED;
        hub = attribute_read(directory_fd, "bDeviceClass", text, sizeof(text)) > 0 && streq(text, "09");
        if (super_speed && !hub && usb_place_peer_link(path, link, sizeof(link)) >= 0) {
                n = readlinkat(directory_fd, link, target, sizeof(target) - 1);
                if (n > 0) {
                        target[n] = '\0';
                        const char *slash = strrchr(target, '/');

                        peer = slash ? slash + 1 : target;
                }
        }
        return usb_place_make(path, super_speed, hub, peer, ret);
}

static bool still_there(const Subsystem *subsystem, const HostDevice *host) {
        return faccessat(subsystem->directory_fd, host->sysname, F_OK, 0) >= 0;
}

static HostDevice *make_host_device(Source *source, const Subsystem *subsystem, const char *sysname, const char *place,
                                    const char *id) {
        HostDevice *host = host_device_new(id);

        if (!host)
                return NULL;
        host->subsystem = intern(source->interner, subsystem->name);
        host->sysname = intern(source->interner, sysname);
        host->place = intern(source->interner, place);
        if (streq(subsystem->name, "usb"))
                host->devtype = intern(source->interner, "usb_device");
        if (!host->subsystem || !host->sysname || !host->place) {
                host_device_free(source, host);
                return NULL;
        }
        return host;
}

void source_drop(Source *source, HostDevice *host) {
        source->events.removed(source->events.userdata, host);
        source_unlink(source, host);
        host_device_free(source, host);
}

/* Takes `directory_fd`. */
static int add(Source *source, Subsystem *subsystem, const char *sysname, const char *path,
               int directory_fd) {
        char id[ID_SIZE], usb_place[USB_PLACE_SIZE];
        const char *place = sysname;
        HostDevice *host;
        int r;

        if (streq(subsystem->name, "usb") && read_usb_place(path, directory_fd, usb_place) >= 0)
                place = usb_place;
        if (source_make_id(subsystem->name, place, id) < 0) {
                (void) close_fd(directory_fd);
                log_plain(LOG_DEBUG, "%s device %s is left out: its name makes no id", subsystem->name,
                          sysname);
                return 0;
        }
        host = source_find(source, id);
        if (host && !still_there(subsystem, host)) {
                /* It moved to the other root hub of its connector, and the event of its going is yet to come. */
                source_drop(source, host);
                host = NULL;
        }
        if (host) {
                (void) close_fd(directory_fd);
                log_plain(LOG_DEBUG, "%s device %s is left out: %s has the id %s already", subsystem->name,
                          sysname, host->sysname, id);
                return 0;
        }
        host = make_host_device(source, subsystem, sysname, place, id);
        if (!host || source_link(source, host) < 0) {
                (void) close_fd(directory_fd);
                host_device_free(source, host);
                return -ENOMEM;
        }
        host->scan = source->scan.stamp;
        host->appeared = source->scan.active && source->scan.stamp == 1 ? 0 : source_now_usec();

        round_begin(source, subsystem, host, directory_fd);
        r = fill(source, host, path);
        host->differs = false;
        if (r >= 0)
                source->events.added(source->events.userdata, host);
        source_end_round(source, host);
        if (r < 0) {
                source_unlink(source, host);
                host_device_free(source, host);
        }
        return r;
}

/* Takes `directory_fd`. */
static int refresh(Source *source, Subsystem *subsystem, HostDevice *host, const char *path,
                   int directory_fd, const char *action) {
        bool replaced;
        Ids ids;
        int r;

        round_begin(source, subsystem, host, directory_fd);
        ids = read_ids(source, host);
        replaced = ids.vendor != host->vendor || ids.product != host->product ||
                   ids.class_code != host->class_code || ids.instance != host->instance;
        if (replaced) {
                /* Another device at the same place, whose events got lost. */
                char sysname[SOURCE_NAME_MAX];
                int fd;

                (void) snprintf(sysname, sizeof(sysname), "%s", host->sysname);
                fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 3);
                r = fd < 0 ? -errno : 0;
                source_end_round(source, host);
                source_drop(source, host);
                return r < 0 ? r : add(source, subsystem, sysname, path, fd);
        }

        host->scan = source->scan.stamp;
        r = fill(source, host, path);
        if (r >= 0)
                source->events.changed(source->events.userdata, host, action);
        host->differs = false;
        source_end_round(source, host);
        return r;
}

int source_visit(Source *source, Subsystem *subsystem, const char *sysname, const char *action) {
        HostDevice *host = source_find_by_name(source, subsystem->name, sysname);
        char target[PATH_MAX];
        const char *path;
        ssize_t n;
        int fd, r;

        assert(!source->round.host);

        if (is_part(subsystem, sysname) || source_is_pci_parent(subsystem, sysname))
                return 0;
        r = source_open_subsystem(source, subsystem);
        if (r < 0 && r != -ENOENT)
                return r;

        /* Gone, or no link as devices are, at any point: there is no such device, and that is no error. */
        n = r < 0 ? -1 : readlinkat(subsystem->directory_fd, sysname, target, sizeof(target) - 1);
        path = NULL;
        if (n >= 0) {
                target[n] = '\0';
                path = sysfs_device_path(target, subsystem->depth);
        }
        fd = path ? openat(subsystem->directory_fd, sysname, O_PATH | O_DIRECTORY | O_CLOEXEC) : -EBADF;
        if (fd < 0) {
                if (host)
                        source_drop(source, host);
                return 0;
        }

        return host ? refresh(source, subsystem, host, path, fd, action)
                    : add(source, subsystem, sysname, path, fd);
}

/* ---- all devices ---- */

static void close_directory(Scan *scan) {
        if (scan->directory)
                (void) closedir(scan->directory);
        scan->directory = NULL;
}

/* The stream is kept from slice to slice. What comes or goes meanwhile has its own event, and is looked
 * at in the end. */
static int open_directory(Source *source, Subsystem *subsystem) {
        int fd, r;

        r = source_open_subsystem(source, subsystem);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        fd = openat(subsystem->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        source->scan.directory = fdopendir(fd);
        if (!source->scan.directory) {
                r = -errno;
                (void) close_fd(fd);
                return r;
        }
        return 0;
}

static void begin_scan(Source *source) {
        source->scan.active = true;
        source->scan.again = false;
        source->scan.error = 0;
        source->scan.stamp++;
        source->scan.subsystem = NULL;
        source_reopen_parents(source);
        source_close_databases(source);
        host_facts_forget(source->facts);
        source_refresh_slots(source);
}

/* Looks at what the open directory has. Returns whether time ran out. */
static bool visit_directory(Source *source, uint64_t deadline) {
        Scan *scan = &source->scan;
        struct dirent *entry;

        while (scan->directory && (errno = 0, entry = readdir(scan->directory))) {
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                r = source_visit(source, scan->subsystem, entry->d_name, "rescan");
                if (r < 0) {
                        scan->error = r;
                        log_plain(LOG_WARNING, "%s device %s cannot be read: %s", scan->subsystem->name,
                                  entry->d_name, strerror(-r));
                }
                if (deadline > 0 && source_now_usec() >= deadline)
                        return true;
        }
        if (scan->directory && errno != 0)
                log_plain(LOG_WARNING, "%s devices cannot be listed: %m", scan->subsystem->name);
        close_directory(scan);
        return false;
}

/* Goes on until `deadline` (0: none). Returns whether more is to be done. */
static bool continue_scan(Source *source, uint64_t deadline) {
        Scan *scan = &source->scan;
        HostDevice *host, *next;
        int r;

        for (;;) {
                if (visit_directory(source, deadline))
                        return true;
                scan->subsystem = scan->subsystem ? scan->subsystem->next : source->subsystems;
                if (!scan->subsystem)
                        break;
                r = open_directory(source, scan->subsystem);
                if (r < 0)
                        log_plain(LOG_WARNING, "%s devices cannot be listed: %s", scan->subsystem->name,
                                  strerror(-r));
        }

        HASH_ITER(hh, source->hosts, host, next) {
                if (host->scan == scan->stamp)
                        continue;
                host->scan = scan->stamp;
                (void) source_visit(source, source_subsystem(source, host->subsystem), host->sysname,
                                    "rescan");
                if (deadline > 0 && source_now_usec() >= deadline)
                        return true;
        }
        return false;
}

static void end_scan(Source *source) {
        source->scan.active = false;
        source->scan.subsystem = NULL;
        source_close_hwdb(source);
}

int source_scan_all(Source *source, Fault *fault) {
        begin_scan(source);
        (void) continue_scan(source, 0);
        end_scan(source);
        return source->scan.error == -ENOMEM ? fault_oom(fault) : 0;
}

static int on_step(sd_event_source *step, void *userdata) {
        Source *source = userdata;

        if (continue_scan(source, source_now_usec() + SCAN_SLICE_USEC)) {
                (void) sd_event_source_set_enabled(step, SD_EVENT_ONESHOT);
                return 0;
        }

        end_scan(source);
        if (source->scan.again) {
                begin_scan(source);
                (void) sd_event_source_set_enabled(step, SD_EVENT_ONESHOT);
                return 0;
        }
        if (source->events.scanned)
                source->events.scanned(source->events.userdata);
        return 0;
}

int source_rescan(Source *source) {
        int r;

        if (!source->event) {
                r = source_scan_all(source, NULL);
                if (r >= 0 && source->events.scanned)
                        source->events.scanned(source->events.userdata);
                return r;
        }
        if (source->scan.active) {
                source->scan.again = true;
                return 0;
        }

        if (!source->scan.step) {
                r = sd_event_add_defer(source->event, &source->scan.step, on_step, source);
                if (r < 0)
                        return r;
                (void) sd_event_source_set_description(source->scan.step, "device-scan");
        } else {
                r = sd_event_source_set_enabled(source->scan.step, SD_EVENT_ONESHOT);
                if (r < 0)
                        return r;
        }
        begin_scan(source);
        return 0;
}

void source_stop_scan(Source *source) {
        sd_event_source_disable_unref(source->scan.step);
        source->scan.step = NULL;
        close_directory(&source->scan);
}
