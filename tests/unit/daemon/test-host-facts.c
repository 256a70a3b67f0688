/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "lib/host-facts.h"
#include "host-tree.h"

typedef struct Rig {
        HostTree tree;
        HostFacts *facts;
        char modules[256]; /* lib/modules/RELEASE */
} Rig;

static int set_up(void **state) {
        Rig *rig = calloc(1, sizeof(*rig));
        struct utsname name;

        assert_non_null(rig);
        host_tree_make(&rig->tree);
        assert_int_equal(uname(&name), 0);
        (void) snprintf(rig->modules, sizeof(rig->modules), "lib/modules/%.200s", name.release);
        assert_int_equal(host_facts_new(&rig->tree.sysfs, &rig->facts), 0);
        *state = rig;
        return 0;
}

static int tear_down(void **state) {
        Rig *rig = *state;

        assert_null(host_facts_free(rig->facts));
        host_tree_remove(&rig->tree);
        free(rig);
        return 0;
}

static void assert_fact(Rig *rig, const char *name, const char *expected) {
        const char *value = host_facts_get(rig->facts, name);

        if (!expected)
                assert_null(value);
        else {
                assert_non_null(value);
                assert_string_equal(value, expected);
        }
}

static void test_iommu(void **state) {
        Rig *rig = *state;

        assert_fact(rig, "iommu", "dmar0");
        tree_folder(&rig->tree, "sys/class/iommu/dmar1");
        /* Kept until somebody asks for a new look. */
        assert_fact(rig, "iommu", "dmar0");
        tree_remove(&rig->tree, "sys/class/iommu/dmar0");
        host_facts_forget(rig->facts);
        assert_fact(rig, "iommu", "dmar1");
        tree_remove(&rig->tree, "sys/class/iommu");
        host_facts_forget(rig->facts);
        assert_fact(rig, "iommu", "none");
        tree_folder(&rig->tree, "sys/class/iommu");
        assert_fact(rig, "iommu", "none");
}

static void test_iommu_table(void **state) {
        Rig *rig = *state;

        assert_fact(rig, "iommu-table", NULL);
        tree_file(&rig->tree, "sys/firmware/acpi/tables/APIC", "x");
        assert_fact(rig, "iommu-table", "none");
        tree_file(&rig->tree, "sys/firmware/acpi/tables/IVRS", "x");
        assert_fact(rig, "iommu-table", "IVRS");
        tree_file(&rig->tree, "sys/firmware/acpi/tables/DMAR", "x");
        assert_fact(rig, "iommu-table", "DMAR");
}

static void test_names(void **state) {
        struct utsname name;
        Rig *rig = *state;

        assert_int_equal(uname(&name), 0);
        assert_fact(rig, "kernel", name.release);
        assert_fact(rig, "kernel2", NULL);
        assert_fact(rig, "", NULL);
        assert_fact(rig, "unheard-of", NULL);
}

static void test_drivers(void **state) {
        Rig *rig = *state;

        assert_fact(rig, "driver:pci:nvme", "registered");
        assert_fact(rig, "driver:pci:igb", NULL);
        tree_folder(&rig->tree, "sys/bus/pci/drivers/igb");
        assert_fact(rig, "driver:pci:igb", "registered");
        tree_remove(&rig->tree, "sys/bus/pci/drivers/igb");
        assert_fact(rig, "driver:pci:igb", NULL);
        assert_fact(rig, "driver:usb:usb", NULL);
        /* Names that are none. */
        assert_fact(rig, "driver:pci:", NULL);
        assert_fact(rig, "driver:pci:..", NULL);
        assert_fact(rig, "driver:pci:../drivers", NULL);
        assert_fact(rig, "driver:..:drivers", NULL);
        assert_fact(rig, "driver::x", NULL);
        assert_fact(rig, "driver:pci", NULL);
}

static void test_driver_modules(void **state) {
        Rig *rig = *state;

        assert_fact(rig, "driver-module:pci:e1000e", "e1000e");
        assert_fact(rig, "driver-module:pci:nvme", NULL);
        assert_fact(rig, "driver-module:pci:igb", NULL);
        assert_fact(rig, "driver-module:pci:../x", NULL);

        /* Remembered for the devices that are looked at together only. */
        tree_link(&rig->tree, "sys/bus/pci/drivers/nvme/module", "../../../../module/nvme");
        assert_fact(rig, "driver-module:pci:nvme", NULL);
        host_facts_new_turn(rig->facts);
        assert_fact(rig, "driver-module:pci:nvme", "nvme");
}

static void test_modules(void **state) {
        char path[512], command[1024];
        Rig *rig = *state;

        /* No tables of modules at all. */
        assert_fact(rig, "module:vfio_pci", NULL);
        tree_folder(&rig->tree, "sys/module/vfio_pci");
        assert_fact(rig, "module:vfio_pci", "loaded");
        assert_fact(rig, "module:vfio-pci", "loaded");
        assert_fact(rig, "module:../pci", NULL);
        assert_fact(rig, "module:", NULL);

        (void) snprintf(path, sizeof(path), "%s/modules.dep", rig->modules);
        tree_file(&rig->tree, path, "kernel/drivers/vfio/vfio-mdev.ko:\n");
        (void) snprintf(path, sizeof(path), "%s/modules.alias", rig->modules);
        tree_file(&rig->tree, path, "%s", "");
        (void) snprintf(path, sizeof(path), "%s/kernel/drivers/vfio/vfio-mdev.ko", rig->modules);
        tree_file(&rig->tree, path, "%s", "");
        (void) snprintf(path, sizeof(path), "%s/modules.builtin", rig->modules);
        tree_file(&rig->tree, path, "kernel/drivers/pci/pci-stub.ko\n");
        (void) snprintf(path, sizeof(path), "%s/modules.order", rig->modules);
        tree_file(&rig->tree, path, "%s", "");
        (void) snprintf(path, sizeof(path), "%s/modules.builtin.modinfo", rig->modules);
        tree_file(&rig->tree, path, "%s", "");
        host_facts_forget(rig->facts);
        /* libkmod wants the tables that depmod makes of these. */
        (void) snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin depmod -b %s %s 2>/dev/null",
                        rig->tree.root, rig->modules + strlen("lib/modules/"));
        assert_int_equal(system(command), 0);
        assert_fact(rig, "module:vfio-mdev", "loadable");
        assert_fact(rig, "module:vfio_mdev", "loadable");
        assert_fact(rig, "module:pci_stub", "built-in");
        assert_fact(rig, "module:vfio-nothing", NULL);
}

static void test_parameters(void **state) {
        Rig *rig = *state;

        assert_fact(rig, "parameter:vfio_pci:disable_denylist", NULL);
        tree_file(&rig->tree, "sys/module/vfio_pci/parameters/disable_denylist", "Y\n");
        assert_fact(rig, "parameter:vfio_pci:disable_denylist", "Y");
        assert_fact(rig, "parameter:vfio-pci:disable_denylist", "Y");
        assert_fact(rig, "parameter:vfio_pci:other", NULL);
        assert_fact(rig, "parameter:vfio_pci", NULL);
        assert_fact(rig, "parameter:vfio_pci:../parameters/disable_denylist", NULL);
        assert_fact(rig, "parameter:..:x", NULL);
}

static void test_variants(void **state) {
        static const char mlx5[] = "vfio-variant:pci:v000015B3d0000101Esv00000000sd00000000bc02sc00i00";
        Rig *rig = *state;
        char path[512];

        assert_fact(rig, mlx5, NULL); /* no file */
        host_facts_forget(rig->facts);
        (void) snprintf(path, sizeof(path), "%s/modules.alias", rig->modules);
        tree_file(&rig->tree, path,
                  "# Aliases extracted from modules themselves.\n"
                  "alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core\n"
                  "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
                  "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci\n"
                  "alias vfio_pci:v000015B3d*sv*sd*bc*sc*i* some_vfio_pci\n"
                  "alias vfio_pci:v00008086d00004941sv*sd*bc*sc*i* qat_vfio_pci\n"
                  "alias vfio_pci:broken\n"
                  "alias fs-ext4 ext4\n");
        /* Fewest wildcards win. */
        assert_fact(rig, mlx5, "mlx5_vfio_pci");
        assert_fact(rig, "vfio-variant:pci:v000015B3d00000001sv00000000sd00000000bc02sc00i00",
                    "some_vfio_pci");
        assert_fact(rig, "vfio-variant:pci:v00001234d00000001sv00000000sd00000000bc02sc00i00", "vfio_pci");
        assert_fact(rig, "vfio-variant:usb:v1234", NULL);
        assert_fact(rig, "vfio-variant:", NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_iommu, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_iommu_table, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_drivers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_driver_modules, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_modules, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_parameters, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_variants, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
