/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "evidence-internal.h"

#include <limits.h>
#include <stdio.h>

#include "lib/limits.h"
#include "lib/parse.h"
#include "opener.h"
#include "proc-file.h"

#define VENDOR_ASPEED 0x1a03u
#define VENDOR_MATROX 0x102bu
#define BARS_MAX 16u

/* ---- graphics ---- */

static int add_function(Evidence *evidence, const PciFunction *f, const char *code, const char *text) {
        const char *const chain[] = { text, NULL };
        _cleanup_free_ char *path = NULL;
        char link[64];
        int r;

        (void) snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s", f->name);
        r = evidence_resolve(evidence, link, &path);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return evidence_add(evidence, EVIDENCE_CRITICAL, path, code, chain);
}

static bool is_management_display(const Sysfs *sysfs, const PciFunction *f) {
        uint32_t vendor = pci_vendor(sysfs, f);

        return vendor == VENDOR_ASPEED || vendor == VENDOR_MATROX;
}

/* A boot display that a VFIO driver has already is nobody's console any more. */
static int judge_display(Evidence *evidence, const PciFunction *f) {
        const Sysfs *sysfs = evidence_sysfs(evidence);
        char text[16], driver[64];
        int r = 0;

        if (is_management_display(sysfs, f))
                r = add_function(evidence, f, "bmc-display", "screen of the management controller (remote console)");
        if (r < 0 || f->class_code >> 8 != 0x0300 || pci_attribute(sysfs, f, "boot_vga", text, sizeof(text)) <= 0 ||
            !streq(text, "1"))
                return r;
        pci_driver(sysfs, f, driver, sizeof(driver));
        return driver_is_passthrough(driver) ? 0 : add_function(evidence, f, "console-gpu", "boot display (console)");
}

/* ---- framebuffers ---- */

typedef struct Framebuffers {
        Evidence *evidence;
        const PciScan *scan;
        uint64_t start, end; /* of the firmware's one, while it is looked for */
        bool hidden;         /* /proc/iomem shows no addresses */
        int error;
} Framebuffers;

typedef struct Consoles {
        const Sysfs *sysfs;
        bool on_framebuffer;
} Consoles;

/* "(M) frame buffer device", bound: text is drawn on a framebuffer. */
static void take_vtconsole(void *userdata, const char *entry) {
        char path[sizeof("/sys/class/vtconsole//bind") + NAME_MAX], text[128];
        Consoles *consoles = userdata;

        (void) snprintf(path, sizeof(path), "/sys/class/vtconsole/%s/name", entry);
        if (sysfs_read(consoles->sysfs, path, text, sizeof(text)) <= 0 || !strstr(text, "frame buffer"))
                return;
        (void) snprintf(path, sizeof(path), "/sys/class/vtconsole/%s/bind", entry);
        if (sysfs_read(consoles->sysfs, path, text, sizeof(text)) > 0 && streq(text, "1"))
                consoles->on_framebuffer = true;
}

/* "  d0000000-d02fffff : efifb": what the firmware set up, until a driver takes over. */
static int take_iomem(void *userdata, char *line) {
        static const char *const names[] = { "efifb", "vesafb", "BOOTFB", "simplefb", "simple-framebuffer" };
        Framebuffers *fb = userdata;
        char *name = strstr(line, " : "), *end;

        if (!name)
                return 0;
        name += 3;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                if (!streq(names[i], name))
                        continue;
                fb->start = strtoull(line, &end, 16);
                fb->end = *end == '-' ? strtoull(end + 1, NULL, 16) : 0;
                fb->hidden = fb->end == 0;
                return 1;
        }
        return 0;
}

/* One line a region: "0x00000000d0000000 0x00000000d1ffffff 0x0000000000042208". */
static bool has_region(const Sysfs *sysfs, const PciFunction *f, uint64_t start, uint64_t end) {
        char text[ATTRIBUTE_MAX_BYTES], *rest = text, *line;

        if (pci_attribute(sysfs, f, "resource", text, sizeof(text)) <= 0)
                return false;
        for (unsigned i = 0; i < BARS_MAX && (line = strsep(&rest, "\n")); i++) {
                char *next;
                uint64_t first = strtoull(line, &next, 16), last = strtoull(next, NULL, 16);

                if (last > first && first <= start && end <= last)
                        return true;
        }
        return false;
}

/* Kernels before 6.12 do not say which card the firmware's framebuffer lies in. */
static int judge_firmware_framebuffer(Framebuffers *fb, const char *name) {
        const Sysfs *sysfs = evidence_sysfs(fb->evidence);
        char text[256], driver[64];
        int r;

        fb->start = fb->end = 0;
        fb->hidden = false;
        r = proc_each_line(sysfs, "/proc/iomem", take_iomem, fb);
        if (r == -ENOMEM)
                return r;
        for (size_t i = 0; r == 1 && !fb->hidden && i < fb->scan->n_items; i++) {
                const PciFunction *f = &fb->scan->items[i];

                if (f->class_code >> 16 != 0x03 || !has_region(sysfs, f, fb->start, fb->end))
                        continue;
                pci_driver(sysfs, f, driver, sizeof(driver));
                (void) snprintf(text, sizeof(text), "console, framebuffer %s of the firmware", name);
                return driver_is_passthrough(driver) ? 0 : add_function(fb->evidence, f, "framebuffer", text);
        }
        (void) snprintf(text, sizeof(text), "The graphics card of the framebuffer %s, which the firmware set up, was not found",
                        name);
        return evidence_unresolved(fb->evidence, EVIDENCE_DISPLAY, text);
}

static void take_framebuffer(void *userdata, const char *entry) {
        char link[sizeof("/sys/class/graphics//device") + NAME_MAX];
        _cleanup_free_ char *path = NULL;
        Framebuffers *fb = userdata;
        const char *const chain[] = { "console", entry, NULL };
        int r;

        if (fb->error < 0 || !startswith(entry, "fb") || streq(entry, "fbcon"))
                return;
        (void) snprintf(link, sizeof(link), "/sys/class/graphics/%s", entry);
        r = evidence_resolve(fb->evidence, link, &path);
        if (r == -ENOMEM)
                fb->error = r;
        if (r < 0)
                return;
        /* "/devices/platform/efi-framebuffer.0/graphics/fb0", but "/devices/pci0000:00/…/graphics/fb0" of a driver. */
        if (strstr(path, "-framebuffer.") && !startswith(path, "/devices/pci"))
                fb->error = judge_firmware_framebuffer(fb, entry);
        else
                fb->error = evidence_add(fb->evidence, EVIDENCE_CRITICAL, path, "framebuffer", chain);
}

static int judge_framebuffers(Evidence *evidence, const PciScan *scan) {
        Framebuffers fb = { .evidence = evidence, .scan = scan };
        Consoles consoles = { .sysfs = evidence_sysfs(evidence) };

        (void) sysfs_list(consoles.sysfs, "/sys/class/vtconsole", take_vtconsole, &consoles);
        if (!consoles.on_framebuffer)
                return 0;
        (void) sysfs_list(consoles.sysfs, "/sys/class/graphics", take_framebuffer, &fb);
        return fb.error;
}

/* ---- kernel consoles ---- */

/* The device of ttyS0 or ttyUSB0, and "/devices/pnp0/…" for one that is on no bus that can be handed out: it says all the same
 * that the host can be reached when nothing else works. */
static int take_console(void *userdata, char *line) {
        char link[sizeof("/sys/class/tty/") + 64], name[64];
        const char *const chain[] = { "kernel console", name, NULL };
        _cleanup_free_ char *path = NULL;
        Evidence *evidence = userdata;
        int r;

        if (sscanf(line, "%63s", name) != 1)
                return 0;
        /* The console of the screen is found by what it is drawn on. */
        if (startswith(name, "tty") && (name[3] == '\0' || (name[3] >= '0' && name[3] <= '9')))
                return 0;
        (void) snprintf(link, sizeof(link), "/sys/class/tty/%s", name);
        r = evidence_resolve(evidence, link, &path);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return evidence_add(evidence, EVIDENCE_CRITICAL, path, "serial-console", chain);
}

/* ---- who draws, who computes ---- */

typedef struct Outputs {
        const Sysfs *sysfs;
        const char *card;
        bool connected;
} Outputs;

/* "card0-HDMI-A-1" */
static void take_output(void *userdata, const char *entry) {
        char path[sizeof("/sys/class/drm//status") + NAME_MAX], text[32];
        Outputs *outputs = userdata;
        const char *rest = startswith(entry, outputs->card);

        (void) snprintf(path, sizeof(path), "/sys/class/drm/%s/status", entry);
        if (rest && rest[0] == '-' && sysfs_read(outputs->sysfs, path, text, sizeof(text)) > 0 && streq(text, "connected"))
                outputs->connected = true;
}

static int take_user(void *userdata, const OpenerKind *kind, const char *name, const char *place, const char *program) {
        const char *const chain[] = { program, name, NULL };
        Evidence *evidence = userdata;
        Outputs outputs = { .sysfs = evidence_sysfs(evidence), .card = name };
        _cleanup_free_ char *path = NULL;
        int r;

        r = evidence_resolve(evidence, place, &path);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        /* A picture on a screen is somebody's console, computing is not. */
        if (streq(kind->code, "display"))
                (void) sysfs_list(outputs.sysfs, "/sys/class/drm", take_output, &outputs);
        if (outputs.connected)
                return evidence_add(evidence, EVIDENCE_CRITICAL, path, "display", chain);
        return evidence_add(evidence, EVIDENCE_IN_USE, path, "open-device", chain);
}

static const OpenerKind opener_kinds[] = {
        { "/dev/dri/card", "/sys/class/drm/%s", EVIDENCE_IN_USE, "display" },
        { "/dev/dri/renderD", "/sys/class/drm/%s", EVIDENCE_IN_USE, "open-device" },
        { "/dev/ttyUSB", "/sys/class/tty/%s", EVIDENCE_IN_USE, "open-device" },
        { "/dev/ttyACM", "/sys/class/tty/%s", EVIDENCE_IN_USE, "open-device" },
};

int evidence_console(Evidence *evidence) {
        const PciScan *scan;
        int r;

        r = evidence_pci(evidence, &scan);
        if (r < 0)
                return r;
        for (size_t i = 0; i < scan->n_items && r >= 0; i++)
                if (scan->items[i].class_code >> 16 == 0x03)
                        r = judge_display(evidence, &scan->items[i]);
        if (r >= 0)
                r = judge_framebuffers(evidence, scan);
        if (r >= 0)
                r = proc_each_line(evidence_sysfs(evidence), "/proc/consoles", take_console, evidence) == -ENOMEM ? -ENOMEM
                                                                                                               : 0;
        if (r >= 0)
                r = openers_find(evidence, opener_kinds, ELEMENTSOF(opener_kinds), EVIDENCE_DISPLAY, take_user,
                                 evidence);
        return r;
}
