/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Network settings of virtual functions: their texts, what speaks against them by driver, link and interface, and the
 * steps that come of them. The services are answered from a Host here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/parse.h"
#include "lib/schema.h"
#include "lib/value-util.h"
#include "modules/sriov/sriov-drivers.h"
#include "modules/sriov/sriov-settings.h"
#include "modules/sriov/sriov.h"

const PtModule *pt_module_descriptor(void);

typedef struct Host {
        PtContext ctx; /* first */
        const char *driver;      /* of the physical function; NULL: none */
        const char *class_code;  /* of the virtual one; NULL: Ethernet */
        const char *bound;       /* driver of the virtual one */
        bool no_interface;
        uint32_t speed;          /* fields of the physical function: "speed", "eswitch-mode" */
        const char *mode;
        const char *given;       /* "vlan=10 qos=3": of the group or consumer */
        const char *uuid;
        char findings[1024];     /* "blocker code; note code" */
        char texts[4096];
        char steps[4096];        /* "vf-vlan vlan=10 …; " */
} Host;

static Host *host_of(PtContext *ctx) {
        return (Host *) ctx;
}

/* The value of `name` among what is given, in `buffer`. */
static const char *find_given(const Host *h, const char *name, char buffer[static 64]) {
        size_t length = strlen(name);

        for (const char *word = strempty(h->given); *word; word += strcspn(word, " "), word += strspn(word, " "))
                if (strncmp(word, name, length) == 0 && word[length] == '=') {
                        (void) snprintf(buffer, 64, "%.*s", (int) strcspn(word + length + 1, " "), word + length + 1);
                        return buffer;
                }
        return NULL;
}

static int svc_get_setting(PtContext *ctx, const char *name, PtValue *ret) {
        static char texts[16][64];
        static unsigned next;
        const PtSetting *setting = schema_find_setting(pt_module_descriptor()->settings, name);
        char *buffer = texts[next++ % 16];
        const char *text;

        assert_non_null(setting);
        text = find_given(host_of(ctx), name, buffer) ?: setting->default_text;
        if (setting->type == PT_STRING)
                *ret = PT_VALUE_STRING(text);
        else if (setting->type == PT_INT32)
                *ret = PT_VALUE_INT32((int32_t) strtol(text, NULL, 10));
        else
                *ret = PT_VALUE_UINT32((uint32_t) strtoul(text, NULL, 10));
        return 0;
}

static int svc_setting_is_given(PtContext *ctx, const char *name) {
        char buffer[64];

        return find_given(host_of(ctx), name, buffer) != NULL;
}

static ssize_t svc_read_attribute(PtContext *ctx, const PtDevice *device, const char *name, char *buffer, size_t size) {
        if (!streq(name, "class"))
                return -ENOENT;
        return snprintf(buffer, size, "%s", host_of(ctx)->class_code ?: "0x020000");
}

static ssize_t svc_read_link(PtContext *ctx, const PtDevice *device, const char *name, char *buffer, size_t size) {
        if (streq(name, "physfn"))
                return snprintf(buffer, size, "0000:08:00.0");
        if (!streq(name, "physfn/driver") || !host_of(ctx)->driver)
                return -ENOENT;
        return snprintf(buffer, size, "%s", host_of(ctx)->driver);
}

static int svc_list(PtContext *ctx, const PtDevice *device, const char *name,
                    void (*each)(void *userdata, const char *entry), void *userdata) {
        assert_string_equal(name, "physfn/net");
        if (!host_of(ctx)->no_interface)
                each(userdata, "ens1f0");
        return 0;
}

static int svc_get_field(PtContext *ctx, const PtDevice *device, const char *name, PtValue *ret) {
        const Host *h = host_of(ctx);

        if (streq(name, "provider.speed") && h->speed > 0)
                *ret = PT_VALUE_UINT32(h->speed);
        else if (streq(name, "provider.eswitch-mode") && h->mode)
                *ret = PT_VALUE_STRING((char *) h->mode);
        else
                return -ENODATA;
        return 0;
}

static void append(char *text, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
static void append(char *text, size_t size, const char *format, ...) {
        size_t length = strlen(text);
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text + length, size - length, format, arguments);
        va_end(arguments);
}

static int svc_put_finding(PtContext *ctx, const PtFinding *finding) {
        static const char *const words[] = { [PT_SEVERITY_BLOCKER] = "blocker", [PT_SEVERITY_WARNING] = "warning",
                                             [PT_SEVERITY_NOTE] = "note" };
        Host *h = host_of(ctx);

        append(h->findings, sizeof(h->findings), "%s%s %s", h->findings[0] ? "; " : "", words[finding->severity], finding->code);
        append(h->texts, sizeof(h->texts), "%s\n", finding->text);
        return 0;
}

static int svc_put_step(PtContext *ctx, const PtStep *step) {
        Host *h = host_of(ctx);

        assert_string_equal(step->device, "pci-0000-08-10-0");
        assert_true(step->sentence && strstr(step->sentence, "0000:08:10.0"));
        append(h->steps, sizeof(h->steps), "%s%s %s", h->steps[0] ? "; " : "",
               step->kind == PT_STEP_SET_DRIVER ? "driver" : step->name, step->value);
        return 0;
}

static const PtServices services = {
        .struct_size = sizeof(PtServices),
        .abi_minor = PT_ABI_MINOR,
        .get_setting = svc_get_setting,
        .setting_is_given = svc_setting_is_given,
        .read_attribute = svc_read_attribute,
        .read_link = svc_read_link,
        .list = svc_list,
        .get_field = svc_get_field,
        .put_finding = svc_put_finding,
        .put_step = svc_put_step,
};

static PtDevice device_of(const Host *h) {
        return (PtDevice) {
                .struct_size = sizeof(PtDevice),
                .id = "pci-0000-08-10-0",
                .subsystem = "pci",
                .sysname = "0000:08:10.0",
                .driver = h->bound,
        };
}

static PtRequest request_of(const Host *h, const PtDevice *device) {
        return (PtRequest) {
                .struct_size = sizeof(PtRequest),
                .verb = PT_VERB_ACTIVATE,
                .device = device,
                .uuid = h->uuid,
        };
}

static const char *check(Host *h) {
        const PtDevice device = device_of(h);
        const PtRequest request = request_of(h, &device);

        h->ctx.services = &services;
        assert_int_equal(sriov_check_settings(&h->ctx, &device, &request), 0);
        return h->findings;
}

static const char *plan(Host *h) {
        const PtDevice device = device_of(h);
        const PtRequest request = request_of(h, &device);

        h->ctx.services = &services;
        assert_int_equal(sriov_put_settings(&h->ctx, &request), 0);
        return h->steps;
}

/* ---- texts ---- */

static void test_values(void **state) {
        static const struct {
                SriovKey key;
                const char *text, *canonical; /* NULL: no value */
                uint64_t value;
        } rows[] = {
                { SRIOV_KEY_MAC, "52:54:00:aa:BB:0c", "52:54:00:aa:bb:0c", UINT64_C(0x525400aabb0c) },
                { SRIOV_KEY_MAC, "52-54-00-aa-bb-0c", "52:54:00:aa:bb:0c", UINT64_C(0x525400aabb0c) },
                { SRIOV_KEY_MAC, "00:00:00:00:00:00", "00:00:00:00:00:00", 0 },
                { SRIOV_KEY_MAC, "52:54:00:aa:bb", NULL, 0 },
                { SRIOV_KEY_MAC, "52:54:00:aa:bb:0c:0d", NULL, 0 },
                { SRIOV_KEY_MAC, "52:54:00:aa:bb:0", NULL, 0 },
                { SRIOV_KEY_MAC, "525400aabb0c", NULL, 0 },
                { SRIOV_KEY_MAC, "52:54:00:aa:bb:0g", NULL, 0 },
                { SRIOV_KEY_MAC, "", NULL, 0 },
                { SRIOV_KEY_VLAN, "4095", "4095", 4095 }, /* what a driver has is stated, whatever a setting may be */
                { SRIOV_KEY_VLAN, "-1", NULL, 0 },
                { SRIOV_KEY_VLAN, "ten", NULL, 0 },
                { SRIOV_KEY_PROTOCOL, "802.1Q", "802.1Q", 0x8100 },
                { SRIOV_KEY_PROTOCOL, "802.1ad", "802.1ad", 0x88a8 },
                { SRIOV_KEY_PROTOCOL, "802.1q", NULL, 0 },
                { SRIOV_KEY_PROTOCOL, "37120", "37120", 0x9100 }, /* a tag that has no word */
                { SRIOV_KEY_SPOOF_CHECK, "on", "on", 1 },
                { SRIOV_KEY_SPOOF_CHECK, "off", "off", 0 },
                { SRIOV_KEY_SPOOF_CHECK, "yes", NULL, 0 },
                { SRIOV_KEY_LINK_STATE, "auto", "auto", 0 },
                { SRIOV_KEY_LINK_STATE, "enable", "enable", 1 },
                { SRIOV_KEY_LINK_STATE, "disable", "disable", 2 },
                { SRIOV_KEY_MAX_RATE, "4294967295", "4294967295", UINT32_MAX },
                { SRIOV_KEY_MAX_RATE, "4294967296", NULL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint64_t value = 77;
                char text[32];
                int r = sriov_value_from_text(rows[i].key, rows[i].text, &value);

                if (!rows[i].canonical) {
                        assert_int_equal(r, -EINVAL);
                        assert_int_equal(value, 77); /* untouched */
                        continue;
                }
                assert_int_equal(r, 0);
                assert_true(value == rows[i].value);
                sriov_value_to_text(rows[i].key, value, text, sizeof(text));
                assert_string_equal(text, rows[i].canonical);
        }
}

static void test_records(void **state) {
        SriovVf vf = { 0 }, again = { 0 }, other;
        char text[SRIOV_TEXT_SIZE], longest[SRIOV_TEXT_SIZE + 8];

        assert_int_equal(sriov_vf_from_text("vlan=10 qos=3 vlan-protocol=802.1ad if-offered", &vf), 0);
        assert_int_equal(vf.known, sriov_attribute_keys(SRIOV_ATTRIBUTE_VLAN));
        sriov_vf_to_text(&vf, UINT32_MAX, text);
        assert_string_equal(text, "vlan=10 qos=3 vlan-protocol=802.1ad");
        sriov_vf_to_text(&vf, UINT32_C(1) << SRIOV_KEY_QOS, text);
        assert_string_equal(text, "qos=3");
        sriov_vf_to_text(&vf, UINT32_C(1) << SRIOV_KEY_MAC, text);
        assert_string_equal(text, "");

        /* All of them at their longest fit, and come back. */
        for (unsigned k = 0; k < _SRIOV_KEY_MAX; k++)
                sriov_vf_set(&vf, k, k == SRIOV_KEY_MAC ? UINT64_C(0xfffffffffffe) : UINT32_MAX);
        sriov_vf_to_text(&vf, UINT32_MAX, text);
        assert_int_equal(sriov_vf_from_text(text, &again), 0);
        assert_true(sriov_vf_agrees(&again, &vf, UINT32_MAX) && sriov_vf_agrees(&vf, &again, UINT32_MAX));

        memset(longest, 'x', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        assert_int_equal(sriov_vf_from_text(longest, &again), -E2BIG);
        assert_int_equal(sriov_vf_from_text("colour=red", &again), -EINVAL);
        assert_int_equal(sriov_vf_from_text("vlan=red", &again), -EINVAL);

        /* What is not known agrees with nothing, and what is not wanted does not matter. */
        other = (SriovVf) { 0 };
        assert_true(sriov_vf_agrees(&other, &(SriovVf) { 0 }, UINT32_MAX));
        assert_false(sriov_vf_agrees(&other, &vf, UINT32_MAX));
        assert_true(sriov_vf_agrees(&other, &vf, 0));
        sriov_vf_set(&other, SRIOV_KEY_TRUST, 1);
        assert_false(sriov_vf_agrees(&other, &vf, UINT32_C(1) << SRIOV_KEY_TRUST));
}

/* A key is in one attribute, which has a step, a field and a setting. */
static void test_tables(void **state) {
        const PtModule *module = pt_module_descriptor();
        uint32_t all = 0;

        for (unsigned a = 0; a < _SRIOV_ATTRIBUTE_MAX; a++) {
                const PtCustomStep *step = module->custom_steps;

                assert_int_equal(all & sriov_attribute_keys(a), 0);
                all |= sriov_attribute_keys(a);
                assert_int_equal(sriov_attribute_from_step(sriov_attribute_step(a)), a);
                assert_true(strlen(sriov_attribute_words(a)) > 0);
                while (step->name && !streq(step->name, sriov_attribute_step(a)))
                        step++;
                assert_true(step->name && step->observe && step->run && step->undo);
        }
        assert_int_equal(all, (UINT32_C(1) << _SRIOV_KEY_MAX) - 1);
        assert_int_equal(sriov_attribute_from_step("vf-colour"), _SRIOV_ATTRIBUTE_MAX);
        assert_int_equal(sriov_attribute_from_step(NULL), _SRIOV_ATTRIBUTE_MAX);

        for (unsigned k = 0; k < _SRIOV_KEY_MAX; k++) {
                const PtSetting *setting = schema_find_setting(module->settings, sriov_key_name(k));
                const PtField *field = module->fields + SRIOV_FIELD_VF_SETTINGS + k;
                char name[32];

                assert_non_null(setting);
                assert_true(setting->flags & PT_SETTING_OVERRIDE);
                (void) snprintf(name, sizeof(name), "vf-%s", sriov_key_name(k));
                assert_string_equal(field->name, name);
                assert_int_equal(field->type, sriov_key_is_number(k) ? PT_INT32 : PT_STRING);
                /* Never an identity, and current. */
                assert_true(field->flags & PT_FIELD_VOLATILE && field->flags & PT_FIELD_FOLLOWED && field->flags & PT_FIELD_SLOW);
        }
        assert_int_equal(schema_count_fields(module->fields), _SRIOV_FIELD_MAX);
}

static void test_generated_addresses(void **state) {
        static uint64_t seen[4096];

        for (unsigned i = 0; i < ELEMENTSOF(seen); i++) {
                char uuid[40];

                (void) snprintf(uuid, sizeof(uuid), "9f1c2a34-5b6d-4e7f-8a90-%012x", i);
                seen[i] = sriov_mac_of_uuid(uuid);
                assert_true(seen[i] == sriov_mac_of_uuid(uuid));
                assert_true(seen[i] >> 48 == 0);
                assert_int_equal(seen[i] >> 40 & 3, 2); /* locally administered, of one interface */
                for (unsigned k = 0; k < i; k++)
                        assert_true(seen[k] != seen[i]);
        }
}

/* ---- what speaks against them ---- */

static void test_given(void **state) {
        static const struct {
                const char *given, *findings;
        } rows[] = {
                { "", "" },
                { "mac=generate", "" },
                { "mac=default", "" },
                { "mac=52:54:00:12:34:56", "" },
                { "mac=53:54:00:12:34:56", "blocker invalid-mac-address" }, /* a group's */
                { "mac=00:00:00:00:00:00", "blocker invalid-mac-address" },
                { "mac=ff:ff:ff:ff:ff:ff", "blocker invalid-mac-address" },
                { "mac=eth0", "blocker invalid-mac-address" },
                { "min-rate=10 max-rate=11", "" },
                { "min-rate=10 max-rate=10", "blocker rates-contradict" },
                { "min-rate=11 max-rate=10", "blocker rates-contradict" },
                { "min-rate=11 max-rate=0", "" },
                { "min-rate=-1 max-rate=10", "" },
                { "min-rate=10 max-rate=-1", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Host h = { .ctx.services = &services, .given = rows[i].given };

                assert_int_equal(sriov_check_given(&h.ctx), 0);
                assert_string_equal(h.findings, rows[i].findings);
        }
}

#define BYPASS "note host-network-bypassed"

static void test_findings(void **state) {
        static const struct {
                Host host;
                const char *findings, *words;
        } rows[] = {
                { { .driver = "igb" }, BYPASS, "" },
                { { .driver = "igb", .given = "vlan=10 max-rate=1000", .speed = 1000 }, "note rate-needs-link; " BYPASS, "" },
                { { .driver = "igb", .given = "max-rate=1001", .speed = 1000 }, "blocker rate-above-link; note rate-needs-link; " BYPASS,
                  "1001 Mbit/s is above the speed of the link of 0000:08:00.0, 1000 Mbit/s" },
                { { .driver = "ice", .given = "min-rate=2000", .speed = 1000 }, "blocker rate-above-link; " BYPASS, "2000" },
                { { .driver = "ice", .given = "max-rate=99999" }, "note link-speed-unknown; " BYPASS, "0000:08:00.0 is down" },
                { { .driver = "mlx5_core", .mode = "legacy", .given = "vlan=10 trust=on" }, "note trust-on; " BYPASS, "" },
                { { .driver = "mlx5_core", .mode = "switchdev" }, "note setting-not-offered; " BYPASS,
                  "mode switchdev, the driver mlx5_core has no switch for the spoof check: the setting spoof-check is left out" },
                { { .driver = "mlx5_core", .mode = "switchdev", .given = "vlan=10 max-rate=5 link-state=enable", .speed = 10 },
                  "blocker setting-not-offered; blocker setting-not-offered; note setting-not-offered; blocker setting-not-offered; "
                  BYPASS, "the setting vlan cannot be applied" },
                { { .driver = "mlx5_core", .mode = "switchdev", .given = "vlan=10 vlan-protocol=802.1ad spoof-check=default" },
                  "blocker setting-not-offered; blocker setting-not-offered; " BYPASS, "The driver mlx5_core knows no 802.1ad" },
                { { .driver = "igb", .given = "link-state=auto" }, BYPASS, "" },
                { { .driver = "igb", .given = "link-state=disable" }, "blocker setting-not-offered; " BYPASS, "sets no link state" },
                { { .driver = "igb", .given = "vlan=7 vlan-protocol=802.1ad" }, "blocker setting-not-offered; " BYPASS, "802.1ad" },
                { { .driver = "igb", .given = "min-rate=5 rss-query=on", .speed = 1000 },
                  "blocker setting-not-offered; blocker setting-not-offered; note rss-query-on; " BYPASS, "min-rate cannot be applied" },
                { { .driver = "sfc" }, BYPASS, "" },
                { { .driver = "cxgb4" }, "note setting-not-offered; " BYPASS, "spoof-check is left out" },
                { { .driver = "cxgb4", .given = "spoof-check=on" }, "blocker setting-not-offered; " BYPASS, "spoof-check cannot be applied" },
                { { .driver = "bnxt_en", .given = "vlan=7 qos=1" }, "blocker setting-not-offered; " BYPASS, "quality of service" },
                { { .driver = "notknown", .given = "vlan=7 qos=1 vlan-protocol=802.1ad link-state=enable" }, BYPASS, "" },
                { { .driver = "ice", .given = "trust=on spoof-check=off" }, "note trust-on; note spoof-check-off; " BYPASS, "Trust is on" },
                { { .driver = "igb", .no_interface = true }, "warning no-pf-interface; " BYPASS, "another network namespace" },
                { { .driver = "igb", .no_interface = true, .given = "vlan=1" }, "blocker no-pf-interface; " BYPASS, "network namespace" },
                { { .no_interface = true, .given = "vlan=1" }, "blocker no-pf-interface; " BYPASS, "has no driver" },
                { { .driver = "nvme", .class_code = "0x010802" }, "", "" },
                { { .driver = "nvme", .class_code = "0x010802", .given = "mac=default vlan=-1 trust=default" }, "", "" },
                { { .driver = "igb", .no_interface = true, .given = "vlan=-1" }, "warning no-pf-interface; " BYPASS, "" },
                { { .driver = "nvme", .class_code = "0x010802", .given = "vlan=10 trust=on" }, "blocker no-network-settings",
                  "no network settings: vlan, trust" },
                { { .driver = "mlx5_core", .class_code = "0x020700", .given = "vlan=10" }, "blocker no-network-settings", "vlan" }, /* InfiniBand */
                { { .driver = "igb", .given = "mac=01:00:5e:00:00:01" }, "blocker invalid-mac-address", "01:00:5e:00:00:01" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Host h = rows[i].host;

                assert_string_equal(check(&h), rows[i].findings);
                if (!strstr(h.texts, rows[i].words))
                        fail_msg("row %zu: no \"%s\" in:\n%s", i, rows[i].words, h.texts);
        }
}

/* Nobody's request: nothing is said. */
static void test_no_request(void **state) {
        const PtDevice device = { .struct_size = sizeof(device), .id = "pci-0000-08-10-0", .sysname = "0000:08:10.0" },
                       other = { .struct_size = sizeof(other), .id = "pci-0000-08-10-2", .sysname = "0000:08:10.2" };
        const PtRequest request = { .struct_size = sizeof(request), .device = &other };
        Host h = { .ctx.services = &services, .driver = "igb", .given = "link-state=disable" };

        assert_int_equal(sriov_check_settings(&h.ctx, &device, NULL), 0);
        assert_int_equal(sriov_check_settings(&h.ctx, &device, &request), 0);
        assert_string_equal(h.findings, "");
}

/* ---- steps ---- */


static void test_steps(void **state) {
        static const struct {
                Host host;
                const char *steps;
        } rows[] = {
                { { .driver = "notknown" },
                  "vf-mac  if-offered; vf-vlan vlan=0 qos=0 vlan-protocol=802.1Q if-offered; vf-rate min-rate=0 max-rate=0 if-offered; "
                  "vf-spoof-check spoof-check=on if-offered; vf-trust trust=off if-offered" },
                { { .driver = "igb", .given = "vlan=10" },
                  "vf-mac  if-offered; vf-vlan vlan=10 qos=0 vlan-protocol=802.1Q; vf-rate min-rate=0 max-rate=0 if-offered; "
                  "vf-spoof-check spoof-check=on if-offered; vf-trust trust=off if-offered" },
                { { .driver = "igb", .given = "mac=52:54:00:aa:bb:cc vlan=-1 qos=-1 vlan-protocol=default min-rate=-1 max-rate=500 "
                                              "spoof-check=default trust=default" },
                  "vf-mac mac=52:54:00:aa:bb:cc; vf-rate max-rate=500" },
                /* A driver of the host that has the function lets go first. */
                { { .driver = "igb", .bound = "igbvf", .given = "mac=default vlan=3 spoof-check=default trust=default max-rate=-1" },
                  "driver ; vf-vlan vlan=3 qos=0 vlan-protocol=802.1Q; vf-rate min-rate=0 if-offered" },
                { { .driver = "igb", .bound = "vfio-pci", .given = "mac=default vlan=3 spoof-check=default trust=on max-rate=-1 min-rate=-1" },
                  "vf-vlan vlan=3 qos=0 vlan-protocol=802.1Q; vf-trust trust=on" },
                { { .driver = "ice", .given = "mac=default vlan=-1 qos=-1 vlan-protocol=default min-rate=-1 max-rate=-1 spoof-check=default "
                                              "trust=default" },
                  "" },
                { { .driver = "ice", .bound = "iavf", .given = "mac=default vlan=-1 qos=-1 vlan-protocol=default min-rate=-1 max-rate=-1 "
                                                               "spoof-check=default trust=default" },
                  "" },
                /* What the driver is known not to offer is left out where nobody asked, and stays where somebody did. */
                { { .driver = "cxgb4", .given = "mac=default vlan=-1 qos=-1 vlan-protocol=default min-rate=-1 max-rate=-1 trust=on" },
                  "vf-trust trust=on" },
                { { .driver = "ice", .given = "mac=default vlan=-1 qos=-1 vlan-protocol=default min-rate=10 max-rate=100 spoof-check=default "
                                              "trust=default rss-query=off link-state=enable" },
                  "vf-rate min-rate=10 max-rate=100; vf-rss-query rss-query=off; vf-link-state link-state=enable" },
                { { .driver = "nvme", .class_code = "0x010802" }, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Host h = rows[i].host;

                assert_string_equal(plan(&h), rows[i].steps);
        }
}

/* The consumer's address is in the plan where it is known who that is. */
static void test_generated_step(void **state) {
        Host h = { .driver = "igb", .uuid = "9f1c2a34-5b6d-4e7f-8a90-000000000001" }, again = h, other = h;
        char text[32];

        sriov_value_to_text(SRIOV_KEY_MAC, sriov_mac_of_uuid(h.uuid), text, sizeof(text));
        assert_non_null(strstr(plan(&h), text));
        assert_string_equal(plan(&again), h.steps);
        other.uuid = "9f1c2a34-5b6d-4e7f-8a90-000000000002";
        assert_string_not_equal(plan(&other), h.steps);
}

/* What drivers answer has words, also where it is a code that no program knows. */
static void test_errors(void **state) {
        char text[128];

        assert_int_equal(sriov_driver_error(0), 0);
        assert_int_equal(sriov_driver_error(-EINVAL), -EINVAL);
        assert_int_equal(sriov_driver_error(-524), -EOPNOTSUPP);
        sriov_error_text(-EPROTONOSUPPORT, text, sizeof(text));
        assert_string_equal(text, "Protocol not supported (EPROTONOSUPPORT)");
        sriov_error_text(-999, text, sizeof(text));
        assert_string_equal(text, "error 999");
}

static void test_drivers(void **state) {
        const char *names[_SRIOV_KEY_MAX + 1];

        assert_null(sriov_driver_find("notknown"));
        assert_null(sriov_driver_find(""));
        assert_null(sriov_driver_find(NULL));
        assert_string_equal(sriov_driver_find("igb")->name, "igb");
        assert_null(sriov_driver_refusal(NULL, SRIOV_KEY_TRUST, 1));
        /* What asks for nothing can be had of everyone. */
        assert_null(sriov_driver_refusal(sriov_driver_find("igb"), SRIOV_KEY_MIN_RATE, 0));
        assert_non_null(sriov_driver_refusal(sriov_driver_find("igb"), SRIOV_KEY_MIN_RATE, 1));
        assert_null(sriov_driver_refusal(sriov_driver_find("ice"), SRIOV_KEY_MIN_RATE, 1));
        assert_null(sriov_driver_refusal(sriov_driver_find("ixgbe"), SRIOV_KEY_PROTOCOL, SRIOV_PROTOCOL_8021Q));
        assert_non_null(sriov_driver_refusal(sriov_driver_find("ixgbe"), SRIOV_KEY_PROTOCOL, SRIOV_PROTOCOL_8021AD));
        sriov_driver_not_offered(sriov_driver_find("bnxt_en"), names);
        assert_string_equal(names[0], "qos");
        assert_string_equal(names[1], "802.1ad");
        assert_null(names[2]);
        sriov_driver_not_offered(NULL, names);
        assert_null(names[0]);
        /* Without a switch neither way can be had. */
        assert_non_null(sriov_driver_refusal(sriov_driver_find("cxgb4"), SRIOV_KEY_SPOOF_CHECK, 0));
        assert_non_null(sriov_driver_refusal(sriov_driver_find("cxgb4"), SRIOV_KEY_SPOOF_CHECK, 1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),          cmocka_unit_test(test_records),    cmocka_unit_test(test_tables),
                cmocka_unit_test(test_generated_addresses), cmocka_unit_test(test_given),  cmocka_unit_test(test_findings),
                cmocka_unit_test(test_no_request),      cmocka_unit_test(test_steps),      cmocka_unit_test(test_generated_step),
                cmocka_unit_test(test_drivers),         cmocka_unit_test(test_errors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
