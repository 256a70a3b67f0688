/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-kit.h"

#include <time.h>
#include <unistd.h>

#include "lib/protocol.h"
#include "lib/schema.h"
#include "lib/value-util.h"

const PtModule *pt_module_descriptor(void);

static Kit *kit_of(PtContext *ctx) {
        return (Kit *) ctx;
}

static const char *find(const KitPair *pairs, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(pairs[i].name, name))
                        return pairs[i].text;
        return NULL;
}

static void set(KitPair *pairs, size_t *n, size_t max, const char *name, const char *text) {
        size_t i = 0;

        while (i < *n && !streq(pairs[i].name, name))
                i++;
        assert_true(i < max);
        if (i == *n)
                (*n)++;
        else
                free(pairs[i].text);
        (void) snprintf(pairs[i].name, sizeof(pairs[i].name), "%s", name);
        pairs[i].text = strdup(text);
        assert_non_null(pairs[i].text);
}

static void clear(KitPair *pairs, size_t *n) {
        while (*n > 0)
                free(pairs[--*n].text);
}

static void read_pairs(KitPair *pairs, size_t *n, size_t max, const char *text, const char *separator, bool tildes) {
        _cleanup_free_ char *copy = strdup(text);
        char *next = copy, *word;

        clear(pairs, n);
        while ((word = strsep(&next, separator))) {
                char *equals = strchr(word, '=');

                if (!*word)
                        continue;
                /* A value may have "; " in it. */
                while (next && *separator == ';' && *next == ' ') {
                        next[-1] = ';';
                        (void) strsep(&next, separator);
                }
                assert_non_null(equals);
                *equals = '\0';
                for (char *p = equals + 1; tildes && *p; p++)
                        if (*p == '~')
                                *p = ' ';
                set(pairs, n, max, word, equals + 1);
        }
}

void kit_settings(Kit *kit, const char *text) {
        read_pairs(kit->settings, &kit->n_settings, ELEMENTSOF(kit->settings), text, " ", true);
}

void kit_layout(Kit *kit, const char *text) {
        read_pairs(kit->layout, &kit->n_layout, ELEMENTSOF(kit->layout), text, ";", false);
}

void kit_made(Kit *kit, const char *text) {
        read_pairs(kit->made, &kit->n_made, ELEMENTSOF(kit->made), text, ";", false);
}

void kit_set_attribute(Kit *kit, const char *name, const char *text) {
        set(kit->attributes, &kit->n_attributes, ELEMENTSOF(kit->attributes), name, text);
}

/* ---- services ---- */

static void svc_log(PtContext *ctx, int level, const char *text) {
}

static ssize_t svc_read_attribute(PtContext *ctx, const PtDevice *device, const char *name, char *buffer, size_t size) {
        const Kit *kit = kit_of(ctx);
        const char *text = find(kit->attributes, kit->n_attributes, name);
        char number[16];

        if (streq(name, "sriov_numvfs")) {
                (void) snprintf(number, sizeof(number), "%u", kit->functions);
                text = number;
        }
        if (!text)
                return -ENOENT;
        if (strlen(text) >= size)
                return -E2BIG;
        strcpy(buffer, text);
        return (ssize_t) strlen(text);
}

static ssize_t svc_read_link(PtContext *ctx, const PtDevice *device, const char *name, char *buffer, size_t size) {
        return -ENOENT;
}

static int svc_list(PtContext *ctx, const PtDevice *device, const char *name, void (*each)(void *userdata, const char *entry),
                    void *userdata) {
        const Kit *kit = kit_of(ctx);
        char entry[32];

        if (!streq(name, "."))
                return -ENOENT;
        each(userdata, "vendor");
        for (unsigned i = 0; i < kit->functions; i++) {
                (void) snprintf(entry, sizeof(entry), "virtfn%u", i);
                each(userdata, entry);
        }
        return 0;
}

static const char *svc_property(PtContext *ctx, const PtDevice *device, const char *key) {
        return NULL;
}

static int parse_setting(Kit *kit, const char *name, const char *text, PtValue *ret) {
        const PtSetting *setting = schema_find_setting(kit->module->settings, name);
        _cleanup_fault_ Fault fault = { 0 };
        int r;

        if (!setting)
                fail_msg("asks for its setting %s, which it does not have", name);
        value_done(&kit->value);
        r = schema_parse_setting(setting, text ?: setting->default_text, &kit->value, &fault);
        if (r < 0)
                fail_msg("%s", fault.message);
        *ret = kit->value;
        return r;
}

static int layout_value(Kit *kit, const char *name, const char *text, PtValue *ret) {
        if (!text)
                return -ENODATA;
        value_done(&kit->value);
        kit->value = streq(name, "functions") ? PT_VALUE_BOOL(streq(text, "true")) : PT_VALUE_STRING(strdup(text));
        *ret = kit->value;
        return 0;
}

static int svc_get_setting(PtContext *ctx, const char *name, PtValue *ret) {
        Kit *kit = kit_of(ctx);

        if (kit->n_layout > 0)
                return layout_value(kit, name, find(kit->layout, kit->n_layout, name), ret);
        return parse_setting(kit, name, find(kit->settings, kit->n_settings, name), ret);
}

static int svc_setting_is_given(PtContext *ctx, const char *name) {
        const Kit *kit = kit_of(ctx);

        return find(kit->settings, kit->n_settings, name) != NULL;
}

static int svc_get_made(PtContext *ctx, const char *name, PtValue *ret) {
        Kit *kit = kit_of(ctx);

        return layout_value(kit, name, find(kit->made, kit->n_made, name), ret);
}

static int svc_get_demand_setting(PtContext *ctx, const PtDemand *demand, const char *name, PtValue *ret) {
        const KitDemand *d = (const KitDemand *) demand;

        return parse_setting(kit_of(ctx), name, find(d->settings, d->n_settings, name), ret);
}

static int svc_put_layout(PtContext *ctx, const char *name, const PtValue *value) {
        Kit *kit = kit_of(ctx);
        _cleanup_free_ char *text = NULL;

        assert_int_equal(value_format(value, &text), 0);
        set(kit->layout, &kit->n_layout, ELEMENTSOF(kit->layout), name, text);
        return 0;
}

static int svc_put_finding(PtContext *ctx, const PtFinding *finding) {
        Kit *kit = kit_of(ctx);
        KitFinding *f = &kit->findings[kit->n_findings++];

        assert_true(kit->n_findings < KIT_LIST_MAX);
        f->severity = finding->severity;
        (void) snprintf(f->code, sizeof(f->code), "%s", finding->code);
        (void) snprintf(f->text, sizeof(f->text), "%s", finding->text);
        (void) snprintf(f->culprit, sizeof(f->culprit), "%s", strempty(finding->culprit));
        (void) snprintf(f->remedy, sizeof(f->remedy), "%s", strempty(finding->remedy));
        return 0;
}

static int svc_put_step(PtContext *ctx, const PtStep *step) {
        Kit *kit = kit_of(ctx);
        KitStep *s = &kit->steps[kit->n_steps++];

        assert_true(kit->n_steps <= ELEMENTSOF(kit->steps));
        assert_int_equal(step->kind, PT_STEP_CUSTOM);
        assert_string_equal(step->device, kit->device.id);
        s->flags = step->flags;
        (void) snprintf(s->name, sizeof(s->name), "%s", step->name);
        (void) snprintf(s->value, sizeof(s->value), "%s", strempty(step->value));
        (void) snprintf(s->sentence, sizeof(s->sentence), "%s", step->sentence);
        return 0;
}

static int svc_put_observed(PtContext *ctx, const char *text) {
        Kit *kit = kit_of(ctx);

        assert_true(strlen(text) < sizeof(kit->observed));
        strcpy(kit->observed, text);
        return 0;
}

static void svc_set_error(PtContext *ctx, const char *text) {
        Kit *kit = kit_of(ctx);

        (void) snprintf(kit->error, sizeof(kit->error), "%s", text);
}

static int svc_put_blob(PtContext *ctx, const char *text) {
        Kit *kit = kit_of(ctx);

        free(kit->blob);
        kit->blob = strdup(text);
        return 0;
}

static const char *svc_get_blob(PtContext *ctx, const PtDevice *device) {
        return kit_of(ctx)->blob;
}

static int svc_put_capacity(PtContext *ctx, const char *profile, uint32_t remaining) {
        Kit *kit = (Kit *) ctx;

        if (kit->capacity)
                assert_int_equal(json_object_set_new(kit->capacity, profile, json_integer(remaining)), 0);
        return 0;
}

static int svc_put_profile(PtContext *ctx, const char *profile, const char *name, const PtValue *value) {
        Kit *kit = (Kit *) ctx;
        _cleanup_free_ char *text = NULL;
        json_t *columns;

        if (!kit->profiles)
                return 0;
        assert_int_equal(value_format(value, &text), 0);
        columns = json_object_get(kit->profiles, profile);
        if (!columns) {
                columns = json_object();
                assert_int_equal(json_object_set_new(kit->profiles, profile, columns), 0);
        }
        assert_int_equal(json_object_set_new(columns, name, json_string(text)), 0);
        return 0;
}

static int svc_put_room(PtContext *ctx, const PtDemand *demand, uint32_t total, uint32_t available) {
        Kit *kit = (Kit *) ctx;
        size_t at = strlen(kit->rooms);

        assert_true(available <= total);
        (void) snprintf(kit->rooms + at, sizeof(kit->rooms) - at, "%s%s %u/%u", at > 0 ? "; " : "", demand->group, available, total);
        return 0;
}

static int svc_put_size(PtContext *ctx, const PtDemand *demand, const char *name, uint32_t size) {
        Kit *kit = (Kit *) ctx;
        size_t at = strlen(kit->rooms);

        (void) snprintf(kit->rooms + at, sizeof(kit->rooms) - at, " %s:%u", name, size);
        return 0;
}

/* What NVIDIA's script does: the functions come or go, and with them everything that was set. */
static void forget_state(Kit *kit) {
        json_t *gpu;

        if (!kit->state_file[0])
                return;
        gpu = kit_gpu(kit);
        if (json_object_get(gpu, "mixed-sizes"))
                json_object_set_new(gpu, "mixed-sizes", json_false());
        json_object_set_new(gpu, "instances", json_array());
        json_object_del(gpu, "scheduler-state");
        kit_put_gpu(kit, gpu);
}

void kit_set_functions(Kit *kit, unsigned n) {
        json_t *gpu;

        kit->functions = n;
        if (!kit->state_file[0])
                return;
        gpu = kit_gpu(kit);
        json_object_set_new(gpu, "vfs", json_integer(n));
        kit_put_gpu(kit, gpu);
}

static int svc_run_helper(PtContext *ctx, const char *helper, const char *const *words, uint32_t timeout_ms, char *ret_output,
                          size_t size) {
        Kit *kit = kit_of(ctx);
        size_t n = strlen(kit->helper_words);

        assert_string_equal(helper, "sriov-manage");
        assert_true(timeout_ms > 0);
        (void) snprintf(kit->helper_words + n, sizeof(kit->helper_words) - n, "%s %s;", words[0], words[1]);
        assert_null(words[2]);
        if (kit->helper_result != 0) {
                if (ret_output)
                        (void) snprintf(ret_output, size, "Failed for a reason");
                return kit->helper_result;
        }
        if (kit->busy_times > 0) {
                const struct timespec pause = { .tv_sec = kit->helper_msec / 1000,
                                                .tv_nsec = (long) (kit->helper_msec % 1000) * 1000000L };

                kit->busy_times--;
                (void) nanosleep(&pause, NULL);
                if (ret_output)
                        (void) snprintf(ret_output, size, "Cannot obtain unbindLock for %s", words[1]);
                return 1;
        }
        if (ret_output && size > 0)
                ret_output[0] = '\0';
        if (kit->idle_helper)
                return 0;
        kit->functions = streq(words[0], "-e") ? KIT_FUNCTIONS : 0;
        forget_state(kit);
        kit_set_functions(kit, kit->functions);
        return 0;
}

/* ---- the whole ---- */

static void load_model(Kit *kit, const char *model) {
        char path[512];
        json_t *host;
        int fd;

        strcpy(kit->state_file, "/tmp/passthroughd-vgpu-XXXXXX");
        fd = mkstemp(kit->state_file);
        assert_true(fd >= 0);
        (void) close(fd);
        (void) snprintf(path, sizeof(path), "%s/%s.json", FAKE_NVML_GPUS, model);
        host = json_load_file(path, 0, NULL);
        assert_non_null(host);
        assert_int_equal(json_dump_file(host, kit->state_file, 0), 0);
        json_decref(host);
        assert_int_equal(setenv("FAKE_NVML", kit->state_file, 1), 0);
        assert_int_equal(setenv("PASSTHROUGHD_NVML", FAKE_NVML_LIBRARY, 1), 0);
}

void kit_init(Kit *kit, const char *model) {
        *kit = (Kit){
                .module = pt_module_descriptor(),
                .device = { .struct_size = sizeof(PtDevice), .id = "vgpu-0000-3b-00-0", .subsystem = "pci",
                            .sysname = KIT_ADDRESS, .driver = "nvidia", .iommu_group = 26, .place = KIT_ADDRESS },
                .services = { .struct_size = sizeof(PtServices), .abi_minor = PT_ABI_MINOR, .log = svc_log,
                              .read_attribute = svc_read_attribute, .read_link = svc_read_link, .list = svc_list,
                              .property = svc_property, .get_setting = svc_get_setting, .put_finding = svc_put_finding,
                              .put_step = svc_put_step, .put_observed = svc_put_observed, .set_error = svc_set_error,
                              .get_demand_setting = svc_get_demand_setting, .put_layout = svc_put_layout,
                              .put_capacity = svc_put_capacity, .put_profile = svc_put_profile, .put_size = svc_put_size, .put_blob = svc_put_blob, .get_blob = svc_get_blob,
                              .setting_is_given = svc_setting_is_given, .put_room = svc_put_room,
                              .get_made = svc_get_made, .run_helper = svc_run_helper },
        };
        kit->ctx.services = &kit->services;
        kit_set_attribute(kit, "vendor", "0x10de");
        kit_set_attribute(kit, "class", "0x030200");
        (void) unsetenv("FAKE_NVML");
        assert_int_equal(setenv("PASSTHROUGHD_NVML", "/nonexistent/libnvidia-ml.so.1", 1), 0);
        if (model)
                load_model(kit, model);
}

void kit_done(Kit *kit) {
        if (kit->state_file[0])
                (void) unlink(kit->state_file);
        clear(kit->settings, &kit->n_settings);
        clear(kit->layout, &kit->n_layout);
        clear(kit->made, &kit->n_made);
        clear(kit->attributes, &kit->n_attributes);
        value_done(&kit->value);
        free(kit->blob);
}

/* ---- ops ---- */

#define DEMANDS_MAX 8

static size_t read_demands(char *text, KitDemand *demands, const PtDemand **list) {
        size_t n = 0;
        char *part;

        while ((part = strsep(&text, ";"))) {
                char *name = part + strspn(part, " "), *colon = strchr(name, ':');

                if (!*name)
                        continue;
                assert_non_null(colon);
                assert_true(n < DEMANDS_MAX);
                *colon = '\0';
                demands[n].demand = (PtDemand){ .struct_size = sizeof(PtDemand), .group = name, .group_name = name };
                read_pairs(demands[n].settings, &demands[n].n_settings, ELEMENTSOF(demands[n].settings), colon + 1, " ", true);
                for (size_t i = 0; i < demands[n].n_settings; i++)
                        if (streq(demands[n].settings[i].name, "claimed"))
                                demands[n].demand.claimed = (uint32_t) atoi(demands[n].settings[i].text);
                list[n] = &demands[n].demand;
                n++;
        }
        list[n] = NULL;
        return n;
}

void kit_lay_out(Kit *kit, const char *text, char *ret, size_t size) {
        _cleanup_free_ KitDemand *demands = calloc(DEMANDS_MAX, sizeof(*demands));
        _cleanup_free_ char *copy = strdup(text);
        const PtDemand *list[DEMANDS_MAX + 1];
        size_t n = read_demands(copy, demands, list), at = 0;

        kit_forget(kit);
        assert_int_equal(kit->module->layout(&kit->ctx, &kit->device, list), 0);
        ret[0] = '\0';
        if (kit->n_findings > 0)
                (void) snprintf(ret, size, "%s %s", kit->findings[0].code, kit->findings[0].culprit);
        for (size_t i = 0; i < kit->n_layout && kit->n_findings == 0 && at < size; i++)
                at += (size_t) snprintf(ret + at, size - at, "%s%s=%s", i > 0 ? "; " : "", kit->layout[i].name, kit->layout[i].text);
        for (size_t i = 0; i < n; i++)
                clear(demands[i].settings, &demands[i].n_settings);
        clear(kit->layout, &kit->n_layout);
}

void kit_plan(Kit *kit, const char *values, char *ret, size_t size) {
        const PtDevice *bundle[] = { &kit->device, NULL };
        const PtRequest request = { .struct_size = sizeof(PtRequest), .verb = PT_VERB_PROVISION, .device = &kit->device,
                                    .bundle = bundle };
        size_t at = 0;

        kit_forget(kit);
        kit_layout(kit, values);
        assert_int_equal(kit->module->plan(&kit->ctx, &request), 0);
        ret[0] = '\0';
        for (size_t i = 0; i < kit->n_steps && at < size; i++) {
                assert_true(strlen(kit->steps[i].sentence) > 0);
                assert_int_equal(kit->steps[i].flags, PT_STEP_IDEMPOTENT);
                at += (size_t) snprintf(ret + at, size - at, "%s%s %s", i > 0 ? "\n" : "", kit->steps[i].name, kit->steps[i].value);
        }
}

json_t *kit_gpu(const Kit *kit) {
        _cleanup_json_ json_t *host = json_load_file(kit->state_file, 0, NULL);
        json_t *gpu = json_incref(json_array_get(json_object_get(host, "gpus"), 0));

        assert_non_null(gpu);
        return gpu;
}

void kit_put_gpu(const Kit *kit, json_t *gpu) {
        _cleanup_json_ json_t *host = json_load_file(kit->state_file, 0, NULL);

        json_array_set_new(json_object_get(host, "gpus"), 0, gpu);
        assert_int_equal(json_dump_file(host, kit->state_file, 0), 0);
}

void kit_observe(Kit *kit) {
        assert_int_equal(kit->module->observe(&kit->ctx, &kit->device), 0);
}

const PtCustomStep *kit_step(const Kit *kit, const char *name) {
        for (const PtCustomStep *s = kit->module->custom_steps; s->name; s++)
                if (streq(s->name, name))
                        return s;
        fail_msg("no step %s", name);
        return NULL;
}

void kit_forget(Kit *kit) {
        kit->n_findings = kit->n_steps = 0;
        kit->observed[0] = kit->error[0] = kit->helper_words[0] = kit->rooms[0] = '\0';
        clear(kit->layout, &kit->n_layout);
}
