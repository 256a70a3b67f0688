/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A hundred rules over every PCI device of the host, with the service's own inventory and policy; and a bare loop that asks
 * the same questions of the same strings, held in plain memory. Prints figures in microseconds, each a median: all devices
 * OURS BARE, one device that comes OURS SHARE, one rule that is edited OURS SHARE, why one device is in its groups and not in
 * the others OURS BARE, the preview of one rule OURS BARE. A share is the bare loop's time for one device or one rule. Ends
 * with an error when the two find different members.
 *
 *   bench-rules MODULE-DIRECTORY */

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "daemon/explain-internal.h"
#include "daemon/policy.h"
#include "lib/value-util.h"
#include "measure.h"

#define N_RULES 100
#define N_GROUPS 10
#define ROUNDS 9
#define EDITS 30
#define HOTPLUGS 200
#define QUESTIONS 50

typedef struct BareDevice {
        int numa_node;
        char *device_id, *slot, *name;
        size_t name_length;
} BareDevice;

typedef struct BareRule {
        int numa_most;
        char device_not[8];
        const char *slot_begins;
        char expression[64];
        pcre2_code *code;
} BareRule;

typedef struct Bench {
        Loader *loader;
        Inventory *inventory;
        Policy *policy;
        Device **devices;
        BareDevice *bare;
        BareRule rules[N_RULES];
        pcre2_match_data *match;
        size_t n;
} Bench;

static void stop(const char *what) {
        (void) fprintf(stderr, "bench-rules: %s\n", what);
        exit(1);
}

static char *text_of(const Device *device, const char *field) {
        PtValue value;
        char *text = NULL;

        if (device_get_field_by_name(device, field, &value) < 0 || value_format(&value, &text) < 0)
                stop(field);
        return text;
}

/* The policy is told by hand, to be measured. */
static void on_device(void *userdata, Device *device) {
}

static void on_device_fields(void *userdata, Device *device, uint64_t fields) {
}

static void open_host(Bench *b, const char *modules) {
        static const InventoryEvents events = { .added = on_device, .changed = on_device_fields, .removed = on_device };
        static Sysfs sysfs;
        Fault fault = { 0 };
        size_t i = 0;

        if (sysfs_init(&sysfs, "/") < 0 || loader_new(modules, NULL, &b->loader) < 0 ||
            inventory_new(NULL, &sysfs, b->loader, NULL, &events, &b->inventory) < 0 ||
            inventory_start(b->inventory, &fault) < 0 || policy_new(b->inventory, b->loader, "bench", NULL, &b->policy) < 0)
                stop(fault.message ? fault.message : "the host can't be read");
        b->devices = calloc(inventory_count(b->inventory) + 1, sizeof(Device *));
        b->bare = calloc(inventory_count(b->inventory) + 1, sizeof(BareDevice));
        if (!b->devices || !b->bare)
                stop("out of memory");
        for (Device *device = inventory_first(b->inventory); device; device = device->hh.next) {
                char *numa;

                if (!streq(device->module->name, "pci"))
                        continue;
                numa = text_of(device, "numa-node");
                b->devices[i] = device;
                b->bare[i] = (BareDevice) {
                        .numa_node = atoi(numa),
                        .device_id = text_of(device, "device-id"),
                        .slot = text_of(device, "slot"),
                        .name = text_of(device, "name"),
                };
                b->bare[i].name_length = strlen(b->bare[i].name);
                free(numa);
                i++;
        }
        b->n = i;
        if (b->n == 0)
                stop("no PCI device");
}

static void make_bare_rules(Bench *b) {
        static const char *const models[] = { "NVMe", "Virtual Function", "(GA|GH)1[0-9]+", "Ethernet", "Root Port" };

        for (size_t i = 0; i < N_RULES; i++) {
                BareRule *rule = &b->rules[i];
                PCRE2_SIZE offset;
                int error;

                rule->numa_most = i % 2 == 0 ? 1 : 0;
                rule->slot_begins = "0000:";
                (void) snprintf(rule->device_not, sizeof(rule->device_not), "%04zx", 0x1000 + i);
                (void) snprintf(rule->expression, sizeof(rule->expression), "%s.*%zu", models[i % ELEMENTSOF(models)], i / 10);
                rule->code = pcre2_compile((PCRE2_SPTR) rule->expression, PCRE2_ZERO_TERMINATED, 0, &error, &offset, NULL);
                if (!rule->code)
                        stop("an expression");
        }
        b->match = pcre2_match_data_create(1, NULL);
}

/* ---- the bare loop ---- */

static bool bare_fits(const Bench *b, const BareRule *rule, const BareDevice *device) {
        return device->numa_node <= rule->numa_most && strcmp(device->device_id, rule->device_not) != 0 &&
               strncmp(device->slot, rule->slot_begins, strlen(rule->slot_begins)) == 0 &&
               pcre2_match(rule->code, (PCRE2_SPTR) device->name, device->name_length, 0, 0, b->match, NULL) >= 0;
}

/* A device is in a group when any of its rules fits. */
static size_t bare_loop(const Bench *b) {
        size_t members = 0;

        for (size_t i = 0; i < b->n; i++)
                for (size_t group = 0; group < N_GROUPS; group++)
                        for (size_t rule = group; rule < N_RULES; rule += N_GROUPS)
                                if (bare_fits(b, &b->rules[rule], &b->bare[i])) {
                                        members++;
                                        break;
                                }
        return members;
}

/* ---- ours ---- */

static Rule *make_rule(Bench *b, Group *group, size_t number, int numa_most) {
        const BareRule *bare = &b->rules[number];
        char id[ID_SIZE], numa[16];
        Fault fault = { 0 };
        Rule *rule;
        json_t *body;

        (void) snprintf(id, sizeof(id), "rule-%zu", number);
        (void) snprintf(numa, sizeof(numa), "%d", numa_most);
        body = json_pack("{s:s, s:s, s:[[sss][sss][sss][sss]]}", "name", id, "group", group->id, "where", "numa-node", "le", numa,
                         "device-id", "ne", bare->device_not, "slot", "begins", bare->slot_begins, "name", "regex",
                         bare->expression);
        if (!body || rule_from_json(id, body, group, group->module, false, &rule, &fault) < 0)
                stop(fault.message ? fault.message : id);
        json_decref(body);
        return rule;
}

static void add_groups_and_rules(Bench *b) {
        Group *groups[N_GROUPS];

        for (size_t i = 0; i < N_GROUPS; i++) {
                char id[ID_SIZE];
                Fault fault = { 0 };
                json_t *body;

                (void) snprintf(id, sizeof(id), "group-%zu", i);
                body = json_pack("{s:s, s:s}", "name", id, "type", "pci");
                if (!body || group_from_json(id, body, b->loader, false, &groups[i], &fault) < 0 ||
                    policy_add_group(b->policy, groups[i]) < 0)
                        stop(fault.message ? fault.message : id);
                json_decref(body);
        }
        for (size_t i = 0; i < N_RULES; i++)
                if (policy_add_rule(b->policy, make_rule(b, groups[i % N_GROUPS], i, b->rules[i].numa_most)) < 0)
                        stop("a rule");
}

static size_t our_members(Bench *b) {
        size_t members = 0;

        for (Group *group = policy_first_group(b->policy); group; group = group->hh.next)
                members += group->n_members;
        return members;
}

/* Every device is new to the policy, as at the service's start. */
static double all_devices(Bench *b) {
        double began;

        for (size_t i = 0; i < b->n; i++)
                policy_device_removed(b->policy, b->devices[i]);
        began = now_usec();
        for (size_t i = 0; i < b->n; i++)
                policy_device_added(b->policy, b->devices[i]);
        return now_usec() - began;
}

static double one_device(Bench *b, size_t round) {
        Device *device = b->devices[round * 7919 % b->n];
        double began;

        policy_device_removed(b->policy, device);
        began = now_usec();
        policy_device_added(b->policy, device);
        return now_usec() - began;
}

/* Every second edit undoes the one before. */
static double one_edit(Bench *b, size_t round) {
        size_t number = round / 2 * 37 % N_RULES;
        int numa = b->rules[number].numa_most, other = numa == 0 ? 1 : 0;
        char id[ID_SIZE];
        double began;
        Rule *rule;

        (void) snprintf(id, sizeof(id), "rule-%zu", number);
        rule = make_rule(b, policy_find_rule(b->policy, id)->group, number, round % 2 == 0 ? other : numa);
        began = now_usec();
        if (policy_replace_rule(b->policy, rule) < 0)
                stop(id);
        return now_usec() - began;
}

/* ---- saying why ---- */

/* Without a list of reasons: how many of the four conditions of each rule fail. */
static size_t bare_reasons(const Bench *b, const BareDevice *device) {
        size_t near = 0;

        for (size_t i = 0; i < N_RULES; i++) {
                const BareRule *rule = &b->rules[i];
                size_t failed = device->numa_node > rule->numa_most;

                failed += strcmp(device->device_id, rule->device_not) == 0;
                failed += strncmp(device->slot, rule->slot_begins, strlen(rule->slot_begins)) != 0;
                failed += pcre2_match(rule->code, (PCRE2_SPTR) device->name, device->name_length, 0, 0, b->match, NULL) < 0;
                near += failed > 0 && failed <= 3;
        }
        return near;
}

static double explain_one(Manager *m, Device *device) {
        Explanation e = { .list = json_array(), .topic = "membership" };
        double began = now_usec();

        explain_membership(m, device, &e);
        if (json_array_size(e.list) == 0)
                stop("nothing is said of a device");
        began = now_usec() - began;
        json_decref(e.list);
        return began;
}

static double preview_one(Bench *b, Group *group, size_t *ret_matched) {
        json_t *where = json_pack("[[sss][sss]]", "numa-node", "le", "0", "name", "regex", "NVMe.*1"), *result = NULL;
        Fault fault = { 0 };
        double began = now_usec();

        if (policy_preview(b->policy, group, where, &result, &fault) < 0)
                stop(fault.message);
        began = now_usec() - began;
        *ret_matched = json_array_size(json_object_get(result, "matched"));
        json_decref(result);
        json_decref(where);
        return began;
}

static double bare_preview(const Bench *b, pcre2_code *code, size_t *ret_matched) {
        size_t matched = 0, near = 0;
        double began = now_usec();

        for (size_t i = 0; i < b->n; i++) {
                const BareDevice *device = &b->bare[i];
                size_t failed = device->numa_node > 0;

                failed += pcre2_match(code, (PCRE2_SPTR) device->name, device->name_length, 0, 0, b->match, NULL) < 0;
                matched += failed == 0 && b->devices[i]->role == PT_ROLE_OFFER;
                near += failed == 1;
        }
        *ret_matched = matched;
        return now_usec() - began + (near > b->n); /* counted, not thrown away */
}

static void measure_why(Bench *b) {
        double ours[QUESTIONS], bare[QUESTIONS], preview[ROUNDS], plain[ROUNDS];
        Manager m = { .inventory = b->inventory, .policy = b->policy, .loader = b->loader, .config = { .node = "bench" } };
        PCRE2_SIZE offset;
        int error;
        pcre2_code *code = pcre2_compile((PCRE2_SPTR) "NVMe.*1", PCRE2_ZERO_TERMINATED, 0, &error, &offset, NULL);
        size_t sum = 0;

        for (size_t i = 0; i < QUESTIONS; i++) {
                size_t at = i * 7919 % b->n;

                while (b->devices[at]->role != PT_ROLE_OFFER)
                        at = (at + 1) % b->n;
                double began = now_usec();

                sum += bare_reasons(b, &b->bare[at]);
                bare[i] = now_usec() - began;
                ours[i] = explain_one(&m, b->devices[at]);
        }
        for (size_t i = 0; i < ROUNDS; i++) {
                size_t matched, expected;

                plain[i] = bare_preview(b, code, &expected);
                preview[i] = preview_one(b, policy_first_group(b->policy), &matched);
                if (matched != expected)
                        stop("the preview differs");
        }
        pcre2_code_free(code);
        printf(" %.3f %.3f %.3f %.3f\n", percentile(ours, QUESTIONS, 0.5), percentile(bare, QUESTIONS, 0.5) + (sum > SIZE_MAX / 2),
               percentile(preview, ROUNDS, 0.5), percentile(plain, ROUNDS, 0.5));
}

int main(int argc, char **argv) {
        double ours[ROUNDS], bare[ROUNDS], devices[HOTPLUGS], edits[EDITS], loop;
        Bench b = { 0 };

        if (argc != 2)
                stop("the directory of the modules is missing");
        open_host(&b, argv[1]);
        make_bare_rules(&b);
        add_groups_and_rules(&b);
        for (size_t i = 0; i < ROUNDS; i++) {
                double began = now_usec();
                size_t members = bare_loop(&b);

                bare[i] = now_usec() - began;
                ours[i] = all_devices(&b);
                if (members != our_members(&b))
                        stop("the members differ");
        }
        for (size_t i = 0; i < HOTPLUGS; i++)
                devices[i] = one_device(&b, i);
        for (size_t i = 0; i < EDITS; i++)
                edits[i] = one_edit(&b, i);
        if (bare_loop(&b) != our_members(&b))
                stop("the members differ after the edits");
        loop = percentile(bare, ROUNDS, 0.5);
        printf("%.2f %.2f %.3f %.3f %.3f %.3f", percentile(ours, ROUNDS, 0.5), loop, percentile(devices, HOTPLUGS, 0.5),
               loop / (double) b.n, percentile(edits, EDITS, 0.5), loop / N_RULES);
        measure_why(&b);
        policy_free(b.policy);
        inventory_free(b.inventory);
        loader_free(b.loader);
        return 0;
}
