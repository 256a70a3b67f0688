/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "lib/macro.h"
#include "lib/sysfs.h"
#include "worker/context.h"
#include "worker/udev-property.h"

#define ATTRIBUTE(name) fake_attribute("pci", FAKE_NIC, name)

static json_t *observe_message(const char *module, const char *module_dir) {
        return json_pack("{s:s, s:s, s:[{s:s, s:s, s:s, s:i, s:i, s:s}]}", "type", "observe", "module_dir",
                         module_dir, "devices", "id", FAKE_NIC_ID, "subsystem", "pci", "sysname", FAKE_NIC,
                         "iommu_group", 17, "numa_node", -1, "module", module);
}

/* The one "fields" message of the answer, whose "done" must say 0. */
static json_t *observe(Rig *rig, json_t *message) {
        json_t *fields, *done;

        rig_send(rig, message);
        fields = rig_expect(rig, "fields");
        done = rig_expect(rig, "done");
        assert_int_equal(json_integer_value(json_object_get(done, "result")), 0);
        json_decref(done);
        assert_string_equal(json_string_value(json_object_get(fields, "device")), FAKE_NIC_ID);
        return fields;
}

static const char *string_field(json_t *message, const char *name) {
        return json_string_value(json_object_get(json_object_get(message, "fields"), name));
}

static json_int_t integer_field(json_t *message, const char *name) {
        json_t *value = json_object_get(json_object_get(message, "fields"), name);

        assert_true(json_is_integer(value));
        return json_integer_value(value);
}

static void test_fields(void **state) {
        Rig *rig = *state;
        json_t *message;

        fake_write_file(&rig->host, ATTRIBUTE("vendor"), "0x8086");
        fake_write_file(&rig->host, ATTRIBUTE("vpd"), "SNQ4711");
        fake_make_directory(&rig->host, "sys/class/iommu/dmar1");
        fake_make_directory(&rig->host, "sys/class/iommu/dmar0");
        fake_make_directory(&rig->host, "sys/bus/pci/slots/7-1");
        fake_write_file(&rig->host, "sys/bus/pci/slots/7-1/address", "0000:01:00");
        fake_make_directory(&rig->host, "sys/bus/pci/slots/8");
        fake_write_file(&rig->host, "sys/bus/pci/slots/8/address", "0000:02:00");
        fake_make_directory(&rig->host, "run/udev/data");
        fake_write_file(&rig->host, "run/udev/data/+pci:" FAKE_NIC,
                        "I:123\nE:ID_MODEL=X550=T\nE:OTHER=1\nQ:x");

        message = observe(rig, observe_message("test-module.so", TEST_MODULE_DIR));
        assert_int_equal(json_integer_value(json_object_get(message, "result")), 0);
        assert_true(json_is_null(json_object_get(message, "error")));
        assert_string_equal(string_field(message, "serial"), "Q4711");
        assert_string_equal(string_field(message, "slot"), "7-1");
        assert_string_equal(string_field(message, "iommu"), "dmar0 dmar1");
        assert_string_equal(string_field(message, "model"), "X550=T");
        assert_string_equal(string_field(message, "copy"), "0x8086");
        assert_string_equal(string_field(message, "group"), "17");
        assert_true(json_is_true(json_object_get(json_object_get(message, "fields"), "driver-fact")));
        assert_true(integer_field(message, "entries") >= 5);
        assert_int_equal(integer_field(message, "refusals"), 20);
        /* What describe() put was only for the module to ask for. */
        assert_null(json_object_get(json_object_get(message, "fields"), "vendor-id"));
        assert_string_equal(json_string_value(json_object_get(message, "blob")), "{\"version\": 1}");
        assert_int_equal(rig->host.kernel->n_writes, 0);
        json_decref(message);
}

static void assert_fails(Rig *rig, json_t *request, int result, const char *text) {
        json_t *message = observe(rig, request);

        assert_int_equal(json_integer_value(json_object_get(message, "result")), result);
        assert_contains(json_string_value(json_object_get(message, "error")), text);
        assert_int_equal(json_object_size(json_object_get(message, "fields")), 0);
        json_decref(message);
}

static void test_failures(void **state) {
        Rig *rig = *state;
        json_t *request;

        assert_fails(rig, observe_message("test-module.so", TEST_MODULE_DIR), -ENOENT, "there is no VPD");
        assert_fails(rig, observe_message("absent.so", TEST_MODULE_DIR), -ENOENT, "Cannot find the module");
        assert_fails(rig, observe_message("test-module.so", "relative"), -EINVAL, "no absolute path");
        request = observe_message("test-module.so", TEST_MODULE_DIR);
        (void) json_object_del(json_array_get(json_object_get(request, "devices"), 0), "module");
        assert_fails(rig, request, -EINVAL, "No module is named");
        fake_write_file(&rig->host, ATTRIBUTE("talkative"), "yes");
        assert_fails(rig, observe_message("test-module.so", TEST_MODULE_DIR), -EMSGSIZE,
                     "too long to be sent");
        fake_remove_file(&rig->host, "sys/bus/pci/devices/" FAKE_NIC);
        assert_fails(rig, observe_message("test-module.so", TEST_MODULE_DIR), -ENODEV, "is gone");
}

/* A serial that is no text stays unknown; the other fields arrive. */
static void test_value_that_is_no_text(void **state) {
        Rig *rig = *state;
        json_t *message;

        fake_write_file(&rig->host, ATTRIBUTE("vendor"), "0x8086");
        fake_write_file(&rig->host, ATTRIBUTE("vpd"), "SN\xff\xfe");
        message = observe(rig, observe_message("test-module.so", TEST_MODULE_DIR));
        assert_int_equal(json_integer_value(json_object_get(message, "result")), 0);
        assert_null(string_field(message, "serial"));
        assert_string_equal(string_field(message, "iommu"), "none");
        json_decref(message);
}

/* Modules ask the worker the same questions as the service, and get its answers; test-host-facts has all of them. */
static void assert_fact(Worker *worker, const char *name, const char *expected) {
        static const PtModule module;
        static const PtDevice device = { .struct_size = sizeof(device), .id = FAKE_NIC_ID };
        _cleanup_context_ WorkerContext context = {};
        DeviceList none = {};
        const char *fact;

        assert_int_equal(context_init(&context, worker, &none, &module, &device, CONTEXT_READ), 0);
        fact = context.base.services->host_fact(&context.base, name);
        if (expected) {
                assert_non_null(fact);
                assert_string_equal(fact, expected);
        } else
                assert_null(fact);
}

static void test_host_facts(void **state) {
        Rig *rig = *state;
        char directory[256], path[300];
        struct utsname kernel;
        Worker worker = {};

        assert_int_equal(sysfs_init(&worker.sysfs, rig->host.root), 0);
        assert_return_code(uname(&kernel), errno);
        (void) snprintf(directory, sizeof(directory), "lib/modules/%s", kernel.release);
        fake_make_directory(&rig->host, directory);
        fake_make_directory(&rig->host, "sys/module/vfio_pci/parameters");
        fake_write_file(&rig->host, "sys/module/vfio_pci/parameters/disable_denylist", "Y");
        fake_make_directory(&rig->host, "sys/firmware/acpi/tables");
        fake_write_file(&rig->host, "sys/firmware/acpi/tables/IVRS", "");
        (void) snprintf(path, sizeof(path), "%s/modules.alias", directory);
        fake_write_file(&rig->host, path, "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci");

        assert_fact(&worker, "iommu", "none");
        assert_fact(&worker, "iommu-table", "IVRS");
        assert_fact(&worker, "kernel", kernel.release);
        assert_fact(&worker, "driver:pci:e1000e", "registered");
        assert_fact(&worker, "driver:pci:absent", NULL);
        assert_fact(&worker, "driver:pci", NULL);
        assert_fact(&worker, "driver:pci:../../..", NULL);
        assert_fact(&worker, "driver-module:pci:absent", NULL);
        assert_fact(&worker, "module:vfio-pci", "loaded");
        assert_fact(&worker, "module:vfio_pci", "loaded");
        assert_fact(&worker, "module:", NULL);
        assert_fact(&worker, "parameter:vfio_pci:disable_denylist", "Y");
        assert_fact(&worker, "parameter:vfio_pci:absent", NULL);
        assert_fact(&worker, "vfio-variant:pci:v000015B3d0000101Esv00000000sd00000000bc02sc00i00", "mlx5_vfio_pci");
        assert_fact(&worker, "vfio-variant:pci:v00008086d000010D3sv00000000sd00000000bc02sc00i00", NULL);
        assert_fact(&worker, "weather", NULL);
        worker_done(&worker);
}

/* udev names its record after the device number where there is one. */
static void test_usb_properties(void **state) {
        static const PtDevice device = {
                .struct_size = sizeof(device), .id = FAKE_USB_ID, .subsystem = "usb", .sysname = FAKE_USB
        };
        Rig *rig = *state;
        json_t *properties;
        Sysfs sysfs;

        assert_int_equal(sysfs_init(&sysfs, rig->host.root), 0);
        fake_make_directory(&rig->host, "run/udev/data");
        fake_write_file(&rig->host, fake_attribute("usb", FAKE_USB, "dev"), "189:5");
        fake_write_file(&rig->host, "run/udev/data/c189:5",
                        "E:ID_SERIAL_SHORT=PTUSB0001\nE:BAD=\xff\nS:disk/x");
        properties = udev_properties(&sysfs, &device);
        assert_string_equal(json_string_value(json_object_get(properties, "ID_SERIAL_SHORT")), "PTUSB0001");
        assert_int_equal(json_object_size(properties), 1);
        json_decref(properties);
        sysfs_done(&sysfs);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_fields),     TEST(test_failures),       TEST(test_value_that_is_no_text),
                TEST(test_host_facts), TEST(test_usb_properties),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
