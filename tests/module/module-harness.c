/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* module-harness MODULE.so TREE [GOLDEN | --vanish]
 *
 * With --vanish nothing is compared: vanish.c says what is checked then.
 *
 * Runs the module over the tree (or a directory, "/" for this host) and compares what it says with the
 * golden text; without one, prints it. PT_UPDATE_GOLDEN=1 writes the golden text anew. See tree.h for the
 * trees and harness.h for what is checked besides. */

#include <dlfcn.h>

#include "harness.h"
#include "lib/schema.h"

#define UID 1001u
#define GID 1001u

static void print_error(Harness *h, const char *op, int error) {
        (void) fprintf(h->out, "%s%s: %s\n", h->indent, op, strerrorname_np(-error));
}

static bool descriptor_is_sound(const PtModule *module) {
        _cleanup_fault_ Fault fault = { 0 };

        if (module->abi_major != PT_ABI_MAJOR || module->abi_minor > PT_ABI_MINOR ||
            module->struct_size != sizeof(PtModule)) {
                (void) fprintf(stderr, "The module was built against another version of the interface.\n");
                return false;
        }
        if (!type_name_is_valid(module->type) || isempty(module->title) || isempty(module->version) ||
            isempty(module->documentation) || isempty(module->guest_driver) || !module->use_cases ||
            isempty(module->default_class) || !module->filters || !module->fields) {
                (void) fprintf(stderr, "The descriptor lacks type, texts or tables.\n");
                return false;
        }
        if (!module->describe || !module->uses || !module->plan || !module->guest) {
                (void) fprintf(stderr, "The descriptor lacks an op that every module has.\n");
                return false;
        }
        if (schema_check_tables(module->fields, module->settings, &fault) < 0) {
                (void) fprintf(stderr, "%s\n", fault.message);
                return false;
        }
        return true;
}

static void print_fields(Harness *h, const HarnessDevice *d, bool slow) {
        for (size_t i = 0; h->module->fields[i].name; i++) {
                const PtField *field = h->module->fields + i;
                _cleanup_free_ char *text = NULL;

                if (slow != !!(field->flags & PT_FIELD_SLOW))
                        continue;
                if (d->fields[i].type == PT_NONE)
                        (void) fprintf(h->out, "%s%s unknown\n", h->indent, field->name);
                else if (value_format(d->fields + i, &text) < 0)
                        harness_fail(h, "field %s cannot be formatted", field->name);
                else
                        (void) fprintf(h->out, "%s%s = %s\n", h->indent, field->name, text);
        }
}

static void describe(Harness *h, HarnessDevice *d) {
        static const char *const roles[] = { "offered", "bridge", "platform", "provider" };
        int r;

        h->named = false;
        harness_enter(h, HARNESS_SERVICE, "describe", d);
        r = h->module->describe(&h->ctx, &d->device);
        if (r < 0) {
                print_error(h, "describe", r);
                return;
        }
        if (!h->named)
                harness_fail(h, "puts no name");
        (void) fprintf(h->out, "%srole %s\n", h->indent, roles[d->role]);
        print_fields(h, d, false);

        if (!h->module->observe)
                return;
        harness_enter(h, HARNESS_WORKER, "observe", d);
        r = h->module->observe(&h->ctx, &d->device);
        if (r < 0)
                print_error(h, "observe", r);
        else
                print_fields(h, d, true);
}

static void inspect(Harness *h, HarnessDevice *d) {
        int r;

        harness_enter(h, HARNESS_SERVICE, "uses", d);
        r = h->module->uses(&h->ctx, &d->device);
        if (r < 0)
                print_error(h, "uses", r);
        if (h->module->identity) {
                harness_enter(h, HARNESS_SERVICE, "identity", d);
                r = h->module->identity(&h->ctx, &d->device);
                if (r < 0)
                        print_error(h, "identity", r);
        }
        if (h->module->check) {
                harness_enter(h, HARNESS_SERVICE, "check", d);
                r = h->module->check(&h->ctx, &d->device, NULL);
                if (r < 0)
                        print_error(h, "check", r);
        }
}

/* What the worker does with a step of the module's own, and back. */
static void run_custom(Harness *h, const PtStep *step) {
        HarnessDevice *d = harness_find(h, step->device);
        const PtCustomStep *custom = h->module->custom_steps;
        const char *indent = h->indent;
        int r;

        while (custom && custom->name && !streq(custom->name, step->name))
                custom++;
        if (!d || !custom || !custom->name) {
                harness_fail(h, "plans the step %s, which the module does not have", step->name);
                return;
        }
        h->indent = "        ";
        free(h->observed);
        h->observed = NULL;
        harness_enter(h, HARNESS_WORKER, custom->name, d);
        r = custom->observe ? custom->observe(&h->ctx, &d->device, step) : 0;
        (void) fprintf(h->out, "%sobserved %s\n", h->indent, h->observed ? h->observed : "nothing");
        if (r < 0)
                print_error(h, "observe", r);
        (void) fprintf(h->out, "%srun\n", h->indent);
        if (r >= 0 && (r = custom->run(&h->ctx, &d->device, step)) < 0)
                print_error(h, "run", r);
        (void) fprintf(h->out, "%sundo\n", h->indent);
        if (h->observed && custom->undo && (r = custom->undo(&h->ctx, &d->device, step, h->observed)) < 0)
                print_error(h, "undo", r);
        h->indent = indent;
}

static void plan(Harness *h, HarnessDevice *d, PtRequest *request, PtVerb verb) {
        int r;

        (void) fprintf(h->out, "    %s\n", verb_to_string(verb));
        h->indent = "      ";
        request->verb = verb;
        plan_done(&h->plan);
        harness_enter(h, HARNESS_SERVICE, verb_to_string(verb), d);
        r = h->module->plan(&h->ctx, request);
        if (r < 0)
                print_error(h, "plan", r);
        for (size_t i = 0; i < h->plan.n_steps; i++)
                if (h->plan.steps[i].kind == PT_STEP_CUSTOM && !h->tree->borrowed)
                        run_custom(h, h->plan.steps + i);
}

static int compare_text(const void *a, const void *b) {
        return strcmp((*(const PtDevice *const *) a)->id, (*(const PtDevice *const *) b)->id);
}

/* The device and what its IOMMU group holds besides bridges. Returns how many. */
static size_t make_bundle(Harness *h, HarnessDevice *d, const PtDevice **bundle) {
        size_t n = 0;

        bundle[n++] = &d->device;
        for (size_t i = 0; i < h->n_devices && d->device.iommu_group >= 0; i++) {
                HarnessDevice *other = h->devices + i;

                if (other != d && other->device.iommu_group == d->device.iommu_group &&
                    other->role != PT_ROLE_BRIDGE)
                        bundle[n++] = &other->device;
        }
        bundle[n] = NULL;
        qsort(bundle, n, sizeof(*bundle), compare_text);
        return n;
}

static void request(Harness *h, HarnessDevice *d, uint32_t flags, const PtDevice *const *bundle) {
        PtRequest r = {
                .struct_size = sizeof(PtRequest),
                .device = &d->device,
                .bundle = bundle,
                .uid = UID,
                .gid = GID,
                .flags = flags,
        };
        int result;

        (void) fprintf(h->out, "  request%s\n",
                       flags & PT_REQUEST_PARK_COMPANIONS ? ", companions parked" : "");
        h->indent = "    ";
        if (h->module->check) {
                harness_enter(h, HARNESS_SERVICE, "check of a request", d);
                result = h->module->check(&h->ctx, &d->device, &r);
                if (result < 0)
                        print_error(h, "check", result);
        }
        plan(h, d, &r, PT_VERB_ACTIVATE);
        plan(h, d, &r, PT_VERB_DEACTIVATE);
        plan(h, d, &r, PT_VERB_RESET);
        (void) fprintf(h->out, "    guest\n");
        harness_enter(h, HARNESS_SERVICE, "guest", d);
        r.verb = PT_VERB_ACTIVATE;
        result = h->module->guest(&h->ctx, &r);
        if (result < 0)
                print_error(h, "guest", result);
}

static void look_after(Harness *h, HarnessDevice *d, const char *noted) {
        int r;

        (void) fprintf(h->out, "%shealth%s%s\n", h->indent, noted ? ", noted before: " : "", strempty(noted));
        h->indent = "      ";
        h->noted = noted;
        free(h->observed);
        h->observed = NULL;
        harness_enter(h, HARNESS_WORKER, "health", d);
        r = h->module->health(&h->ctx, &d->device);
        if (r < 0)
                print_error(h, "health", r);
        (void) fprintf(h->out, "%snotes %s\n", h->indent, h->observed ? h->observed : "nothing");
        h->noted = NULL;
        h->indent = "    ";
}

static int run(Harness *h) {
        _cleanup_free_ const PtDevice **bundle = NULL;

        bundle = calloc(h->n_devices + 1, sizeof(*bundle));
        if (!bundle)
                return -ENOMEM;
        /* All are described before any is asked for: identities and bundles look at the others. */
        for (size_t i = 0; i < h->n_devices; i++) {
                HarnessDevice *d = h->devices + i;

                if (!d->offered)
                        continue;
                h->indent = "  ";
                (void) fprintf(h->out, "%s\n", d->id);
                describe(h, d);
                inspect(h, d);
        }
        for (size_t i = 0; i < h->n_devices; i++)
                if (h->devices[i].offered && h->devices[i].role == PT_ROLE_PROVIDER && h->module->layout)
                        harness_provide(h, h->devices + i);
        for (size_t i = 0; i < h->n_devices; i++) {
                HarnessDevice *d = h->devices + i;
                size_t n;

                if (!d->offered || d->role != PT_ROLE_OFFER)
                        continue;
                n = make_bundle(h, d, bundle);
                (void) fprintf(h->out, "%s\n", d->id);
                request(h, d, 0, bundle);
                if (h->module->health && tree_pair(h->tree->noted, d->id)) {
                        look_after(h, d, NULL);
                        look_after(h, d, tree_pair(h->tree->noted, d->id));
                }
                if (n > 1)
                        request(h, d, PT_REQUEST_PARK_COMPANIONS, bundle);
        }
        return 0;
}

static int compare_golden(const char *path, const char *text, size_t size) {
        _cleanup_free_ char *golden = NULL;
        FILE *f;
        size_t n;

        if (getenv("PT_UPDATE_GOLDEN") && streq(getenv("PT_UPDATE_GOLDEN"), "1")) {
                f = fopen(path, "we");
                if (!f || fwrite(text, 1, size, f) != size || fclose(f) != 0) {
                        (void) fprintf(stderr, "%s: %m\n", path);
                        return -EIO;
                }
                return 0;
        }
        f = fopen(path, "re");
        if (!f) {
                (void) fprintf(stderr, "%s: %m. PT_UPDATE_GOLDEN=1 writes it.\n", path);
                return -ENOENT;
        }
        golden = malloc(size + 2);
        n = golden ? fread(golden, 1, size + 1, f) : 0;
        (void) fclose(f);
        if (n == size && memcmp(golden, text, size) == 0)
                return 0;
        (void) fprintf(stderr, "%s differs from this:\n%s", path, text);
        return -EBADMSG;
}

static int load(const char *path, Harness *h, void **ret_handle) {
        PtModuleEntry entry;

        *ret_handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!*ret_handle) {
                (void) fprintf(stderr, "%s\n", dlerror());
                return -ELIBBAD;
        }
        entry = (PtModuleEntry) dlsym(*ret_handle, PT_MODULE_ENTRY);
        h->module = entry ? entry() : NULL;
        return h->module && descriptor_is_sound(h->module) ? 0 : -ELIBBAD;
}

int main(int argc, char **argv) {
        Harness h = { .sysfs = { .root_fd = -EBADF }, .op = "load", .indent = "" };
        _cleanup_tree_ Tree tree = { 0 };
        _cleanup_free_ char *text = NULL;
        void *handle = NULL;
        size_t size = 0;
        int r;

        if (argc < 3 || argc > 4) {
                (void) fprintf(stderr, "module-harness MODULE.so TREE [GOLDEN]\n");
                return 2;
        }
        r = load(argv[1], &h, &handle);
        if (r >= 0)
                r = tree_unpack(argv[2], &tree);
        if (r >= 0)
                r = sysfs_init(&h.sysfs, tree.root);
        if (r < 0)
                return 1;
        h.tree = &tree;
        h.out = open_memstream(&text, &size);
        if (!h.out)
                return 1;
        harness_fill_services(&h);
        harness_fill_provider_services(&h);
        r = harness_scan(&h);
        if (r >= 0)
                r = argc == 4 && streq(argv[3], "--vanish") ? harness_vanish(&h) : run(&h);
        if (r < 0)
                (void) fprintf(stderr, "%s: %s\n", argv[2], strerror(-r));
        (void) fclose(h.out);
        if (r >= 0 && argc == 4 && !streq(argv[3], "--vanish"))
                r = compare_golden(argv[3], text, size);
        else if (r >= 0)
                (void) fputs(text, stdout);

        plan_done(&h.plan);
        value_done(&h.setting);
        free(h.observed);
        harness_forget(&h);
        sysfs_done(&h.sysfs);
        (void) dlclose(handle);
        return r < 0 || h.failures > 0 ? 1 : 0;
}
