/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a VM manager or container runtime needs to attach the devices of an allocation, in the form it asks for. The modules
 * say what to attach; how QEMU, libvirt, a shell or a program writes that is here. */

#include <stdio.h>

#include "in-force.h"
#include "json-util.h"
#include "lib/limits.h"
#include "operation.h"

typedef struct Text {
        char *data;
        size_t size;
        FILE *file;
} Text;

static const char *str(json_t *object, const char *key) {
        return strempty(json_string_value(json_object_get(object, key)));
}

static void write_qemu(FILE *f, json_t *attachments) {
        json_t *attachment, *property;
        size_t index, i;

        json_array_foreach(attachments, index, attachment) {
                const char *type = str(attachment, "libvirt-type");

                fprintf(f, "-device %s", str(attachment, "driver"));
                /* What leads to a USB device is among its properties: the port, which stays when the address changes. */
                if (streq(type, "pci"))
                        fprintf(f, ",host=%s", str(attachment, "address"));
                else if (streq(type, "mdev"))
                        fprintf(f, ",sysfsdev=/sys/bus/mdev/devices/%s", str(attachment, "address"));
                else if (!streq(type, "usb"))
                        fprintf(f, ",sysfsdev=%s", str(attachment, "address"));
                fprintf(f, ",id=hostdev%zu", index);
                json_array_foreach(json_object_get(attachment, "properties"), i, property)
                        fprintf(f, ",%s", strempty(json_string_value(property)));
                fputc('\n', f);
        }
}

static void write_xml_text(FILE *f, const char *text) {
        for (; *text; text++)
                switch (*text) {
                case '<':
                        fputs("&lt;", f);
                        break;
                case '&':
                        fputs("&amp;", f);
                        break;
                case '\'':
                        fputs("&apos;", f);
                        break;
                default:
                        fputc(*text, f);
                }
}

/* The value of "key=value" in a list; "" for none. */
static const char *entry_of(json_t *list, const char *key) {
        size_t index, length = strlen(key);
        json_t *entry;

        json_array_foreach(list, index, entry) {
                const char *text = strempty(json_string_value(entry));

                if (strncmp(text, key, length) == 0 && text[length] == '=')
                        return text + length + 1;
        }
        return "";
}

/* libvirt knows no ports: ids and the address of now. A guest starts also when the device is away. */
static void write_libvirt_usb(FILE *f, json_t *attachment) {
        json_t *more = json_object_get(attachment, "libvirt");
        unsigned bus = 0, device = 0;

        (void) sscanf(str(attachment, "address"), "%u:%u", &bus, &device);
        fputs("<hostdev mode='subsystem' type='usb' managed='no'>\n  <source startupPolicy='optional' guestReset='", f);
        write_xml_text(f, entry_of(more, "guestReset"));
        fputs("'>\n    <vendor id='", f);
        write_xml_text(f, entry_of(more, "vendor"));
        fputs("'/>\n    <product id='", f);
        write_xml_text(f, entry_of(more, "product"));
        fprintf(f, "'/>\n    <address bus='%u' device='%u'/>\n  </source>\n</hostdev>\n", bus, device);
}

/* libvirt ignores `managed` here. */
static void write_libvirt_mdev(FILE *f, json_t *attachment) {
        static const char *const attributes[] = { "model", "display", "ramfb" };
        json_t *more = json_object_get(attachment, "libvirt");

        fputs("<hostdev mode='subsystem' type='mdev'", f);
        for (size_t i = 0; i < ELEMENTSOF(attributes); i++) {
                const char *value = entry_of(more, attributes[i]);

                if (value[0] == '\0')
                        continue;
                fprintf(f, " %s='", attributes[i]);
                write_xml_text(f, value);
                fputc('\'', f);
        }
        fputs(">\n  <source>\n    <address uuid='", f);
        write_xml_text(f, str(attachment, "address"));
        fputs("'/>\n  </source>\n</hostdev>\n", f);
}

/* For who wants libvirt to know the interface. libvirt writes address and VLAN to the physical function itself, once more, and
 * finds them there already. */
static void write_libvirt_interface(FILE *f, json_t *attachment, const char *mac) {
        const char *vlan = entry_of(json_object_get(attachment, "libvirt"), "vlan");
        uint8_t bus, slot, function;
        uint32_t domain;

        if (parse_bdf(str(attachment, "address"), &domain, &bus, &slot, &function) < 0)
                return;
        fputs("<interface type='hostdev' managed='no'>\n  <mac address='", f);
        write_xml_text(f, mac);
        fprintf(f,
                "'/>\n"
                "  <driver name='vfio'/>\n"
                "  <source>\n"
                "    <address type='pci' domain='0x%04x' bus='0x%02x' slot='0x%02x' function='0x%x'/>\n"
                "  </source>\n",
                domain, bus, slot, function);
        if (!isempty(vlan) && !streq(vlan, "0")) {
                fputs("  <vlan>\n    <tag id='", f);
                write_xml_text(f, vlan);
                fputs("'/>\n  </vlan>\n", f);
        }
        fputs("</interface>\n", f);
}

/* managed='no': the service binds and gives back; libvirt must not do it a second time. */
static void write_libvirt(FILE *f, json_t *attachments, bool interfaces) {
        json_t *attachment;
        size_t index;

        json_array_foreach(attachments, index, attachment) {
                const char *type = str(attachment, "libvirt-type"), *address = str(attachment, "address");
                uint32_t domain;
                json_t *more = json_object_get(attachment, "libvirt");
                const char *mac = entry_of(more, "mac");
                uint8_t bus, slot, function;

                if (interfaces && streq(type, "pci") && !isempty(mac) && !streq(entry_of(more, "interface"), "no"))
                        write_libvirt_interface(f, attachment, mac);
                else if (streq(type, "pci") && parse_bdf(address, &domain, &bus, &slot, &function) >= 0) {
                        fprintf(f,
                                "<hostdev mode='subsystem' type='pci' managed='no'>\n"
                                "  <driver name='vfio'/>\n"
                                "  <source>\n"
                                "    <address domain='0x%04x' bus='0x%02x' slot='0x%02x' function='0x%x'/>\n"
                                "  </source>\n"
                                "</hostdev>\n",
                                domain, bus, slot, function);
                } else if (streq(type, "usb"))
                        write_libvirt_usb(f, attachment);
                else if (streq(type, "mdev"))
                        write_libvirt_mdev(f, attachment);
                else {
                        fputs("<hostdev mode='subsystem' type='", f);
                        write_xml_text(f, type);
                        fputs("' managed='no'>\n  <source>\n    <address uuid='", f);
                        write_xml_text(f, address);
                        fputs("'/>\n  </source>\n</hostdev>\n", f);
                }
        }
}

static void write_shell_value(FILE *f, const char *value) {
        fputc('\'', f);
        for (; *value; value++)
                if (*value == '\'')
                        fputs("'\\''", f);
                else
                        fputc(*value, f);
        fputs("'\n", f);
}

static void write_env(FILE *f, const Allocation *a, json_t *attachments) {
        json_t *attachment, *entry;
        size_t index, i, n = 0;

        fputs("PASSTHROUGH_ALLOCATION=", f);
        write_shell_value(f, a->id);
        json_array_foreach(attachments, index, attachment) {
                fprintf(f, "PASSTHROUGH_DEVICE_%zu=", n++);
                write_shell_value(f, str(attachment, "address"));
                json_array_foreach(json_object_get(attachment, "environment"), i, entry) {
                        const char *text = strempty(json_string_value(entry)), *value = strchr(text, '=');
                        if (!value)
                                continue;
                        fprintf(f, "%.*s_%zu=", (int) (value - text), text, index);
                        write_shell_value(f, value + 1);
                }
        }
        fprintf(f, "PASSTHROUGH_DEVICES=%zu\n", n);
}

static int collect_device(Manager *m, Allocation *a, const Request *request, size_t number, json_t *array, Fault *fault) {
        const char *id = request->devices[number].device;
        _cleanup_settings_ SettingValues settings = { 0 };
        _cleanup_(json_decrefp) json_t *own = NULL;
        Device *device = inventory_find(m->inventory, id);
        PlanRequest plan;
        json_t *attachment;
        size_t index;
        int r;

        if (!device)
                return fault_set_object(fault, -ENODEV, FAULT_DEVICE_GONE, id, "%s is not there", id);
        r = plan_request_in_force(m, a, request, PT_VERB_ACTIVATE, &settings, &plan, fault);
        if (r >= 0)
                plan_request_identify(&plan, a, (size_t) (request - a->requests), number);
        if (r >= 0)
                r = inventory_guest(m->inventory, device, &plan, &own, fault);
        if (r < 0)
                return r;
        json_array_foreach(own, index, attachment) {
                json_t *more = json_object_get(attachment, "libvirt");
                const char *mac = entry_of(more, "mac");

                if (!isempty(mac))
                        json_object_set_new(attachment, "mac", json_string(mac));
                json_object_set_new(attachment, "request", json_string(request->id));
                json_object_set_new(attachment, "numa-node", json_integer(device->host->numa_node));
        }
        return json_array_extend(array, own) < 0 ? fault_oom(fault) : 0;
}

/* By "order", requests of the same order as they were given: the guest numbers its devices in this order. */
static int compare_requests(const void *left, const void *right) {
        const Request *a = *(const Request *const *) left, *b = *(const Request *const *) right;

        return a->order != b->order ? (a->order > b->order) - (a->order < b->order) : (a > b) - (a < b);
}

static int collect(Manager *m, Allocation *a, json_t *array, Fault *fault) {
        const Request *sorted[REQUESTS_MAX];

        for (size_t i = 0; i < a->n_requests; i++)
                sorted[i] = &a->requests[i];
        qsort(sorted, a->n_requests, sizeof(sorted[0]), compare_requests);
        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < sorted[i]->n_devices; k++) {
                        int r = collect_device(m, a, sorted[i], k, array, fault);
                        if (r < 0)
                                return r;
                }
        return 0;
}

static int write_json(FILE *f, const Allocation *a, json_t *attachments) {
        _cleanup_(json_decrefp) json_t *document =
                json_pack("{s:s, s:s, s:O}", "allocation", a->id, "consumer", a->consumer, "attachments", attachments);

        return document && json_dumpf(document, f, JSON_INDENT(2) | JSON_SORT_KEYS) == 0 && fputc('\n', f) != EOF
                       ? 0
                       : -ENOMEM;
}

int manager_guest_config(Manager *m, Allocation *allocation, const char *format, char **ret, Fault *fault) {
        static const char *const formats[] = { "qemu", "libvirt", "libvirt-interface", "json", "env", NULL };
        _cleanup_(json_decrefp) json_t *attachments = json_array();
        Text text = { 0 };
        int r;

        if (!strv_contains(formats, format))
                return fault_set(fault, -EINVAL, FAULT_UNKNOWN_FORMAT,
                                 "'%.32s' is no format; valid: qemu, libvirt, libvirt-interface, json, env", format);
        if (allocation->state != ALLOCATION_ACTIVE)
                return fault_set_object(fault, -EBUSY, FAULT_WRONG_STATE, allocation->id,
                                        "the allocation is %s; only an active one has devices to attach",
                                        allocation_state_to_string(allocation->state));
        r = collect(m, allocation, attachments, fault);
        if (r < 0)
                return r;
        text.file = open_memstream(&text.data, &text.size);
        if (!text.file)
                return fault_oom(fault);
        if (streq(format, "qemu"))
                write_qemu(text.file, attachments);
        else if (startswith(format, "libvirt"))
                write_libvirt(text.file, attachments, !streq(format, "libvirt"));
        else if (streq(format, "env"))
                write_env(text.file, allocation, attachments);
        else
                r = write_json(text.file, allocation, attachments);
        if (fclose(text.file) != 0 || r < 0) {
                free(text.data);
                return fault_oom(fault);
        }
        *ret = text.data;
        return 0;
}
