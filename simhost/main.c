/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>

#include "fake-kernel.h"
#include "generate.h"
#include "gpu-model.h"
#include "host.h"
#include "namespace.h"

#define STATUS_USAGE 2
#define STATUS_TROUBLE 125
#define DEVICES_MAX 100000

static const char usage[] =
        "Usage: passthroughd-simhost make DIR --host FILE.json\n"
        "       passthroughd-simhost make DIR --pci N [--usb N] [--seed N]\n"
        "       passthroughd-simhost run DIR [--keep] [OPTION...] [--] COMMAND [ARGUMENT...]\n"
        "       passthroughd-simhost run --host FILE.json | --pci N [--usb N] [--seed N] [OPTION...] [--] "
        "COMMAND ...\n"
        "       passthroughd-simhost ctl ORDER [ARGUMENT...]\n"
        "\n"
        "A simulated host on which unmodified programs run.\n"
        "\n"
        "make writes the host into DIR: from a description, or one of N PCI functions.\n"
        "run runs COMMAND on it, as root or as an ordinary user, and returns its exit status. A described "
        "host is\n"
        "built in memory for each run, a generated one is used in DIR, and built anew if the last run "
        "changed it.\n"
        "  --keep            use what is in DIR as the last run left it, and leave it so\n"
        "  --control LIST    devices whose control files are answered: all, none, or BDF[,BDF...] with\n"
        "                    wildcards; default: all where there are at most 256, else none\n"
        "  --uevents WHAT    as they come from: udev (default), kernel, or both\n"
        "ctl, inside of it: fail OPERATION NAME ERRNO [COUNT], delay OPERATION MICROSECONDS [NAME],\n"
        "  hang OPERATION NAME, release [OPERATION [NAME]], limit BDF VFS, lose-uevents N, unplug BDF, plug "
        "BDF,\n"
        "  storm N [BDF], vfs BDF N, control BDF; and what they read: waiting, uevents-sent, fail. unplug "
        "and plug\n"
        "  take a USB port (1-2.1) as well.\n";

static mode_t original_mask;

static int wrong_usage(const char *why) {
        complain("%s", why);
        (void) fputs(usage, stderr);
        return STATUS_USAGE;
}

static bool parse_count(const char *text, uint64_t *ret) {
        return string_to_u64(text, 10, ret) >= 0 && *ret <= DEVICES_MAX;
}

/* What --host, --pci, --usb and --seed say together. */
typedef struct Recipe {
        const char *host;
        uint64_t pci, usb, seed;
} Recipe;

#define RECIPE_OPTIONS                                                                                      \
        { "host", required_argument, NULL, 'h' }, { "pci", required_argument, NULL, 'p' },                  \
                { "usb", required_argument, NULL, 'U' }, {                                                  \
                "seed", required_argument, NULL, 's'                                                        \
        }

static bool recipe_option(Recipe *p, int option) {
        switch (option) {
        case 'h':
                p->host = optarg;
                return true;
        case 'p':
                return parse_count(optarg, &p->pci) && p->pci > 0;
        case 'U':
                return parse_count(optarg, &p->usb);
        case 's':
                return parse_count(optarg, &p->seed);
        default:
                return false;
        }
}

static json_t *recipe_root(const Recipe *p) {
        json_error_t error;
        json_t *root;

        if (!p->host)
                return generate_host(p->pci, p->usb, p->seed);
        root = json_load_file(p->host, JSON_REJECT_DUPLICATES, &error);
        if (!root)
                complain("%s:%d: %s", p->host, error.line, error.text);
        else if (gpu_models_join(root, p->host) < 0) {
                json_decref(root);
                return NULL;
        }
        return root;
}

static int verb_make(int argc, char *argv[]) {
        static const struct option options[] = { RECIPE_OPTIONS, { 0 } };
        Recipe recipe = { .seed = 1 };
        json_t *root;
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                if (!recipe_option(&recipe, c))
                        return wrong_usage("an option is not valid");
        if (argc - optind != 1 || (recipe.host == NULL) == (recipe.pci == 0))
                return wrong_usage("make takes a directory, and one of --host and --pci");

        root = recipe_root(&recipe);
        return !root || host_make(argv[optind], root) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static UeventFormat parse_formats(const char *text) {
        return string_equal(text, "udev")     ? UEVENT_UDEV
               : string_equal(text, "kernel") ? UEVENT_KERNEL
               : string_equal(text, "both")   ? UEVENT_UDEV | UEVENT_KERNEL
                                              : 0;
}

/* Finds out what to run on: a host of its own in memory, or the one in the directory. */
static int choose_host(RunOptions *o, const Recipe *recipe, bool keep) {
        int r;

        if (recipe->host || recipe->pci > 0) {
                o->recipe = recipe_root(recipe);
                return o->recipe ? 0 : -EINVAL;
        }
        if (keep)
                return 0;
        r = host_boot(o->directory, &o->recipe);
        if (r >= 0 && o->recipe)
                o->directory = NULL;
        return r;
}

static int verb_run(int argc, char *argv[]) {
        static const struct option options[] = {
                RECIPE_OPTIONS,
                { "keep", no_argument, NULL, 'k' },
                { "control", required_argument, NULL, 'c' },
                { "uevents", required_argument, NULL, 'e' },
                { 0 },
        };
        RunOptions o = { .controlled = "auto", .formats = UEVENT_UDEV, .mask = original_mask };
        Recipe recipe = { .seed = 1 };
        bool keep = false;
        int c, r;

        /* '-': the directory may come before the options; everything after it and them is the command. */
        while ((c = getopt_long(argc, argv, "-", options, NULL)) >= 0)
                if (c == 'k')
                        keep = true;
                else if (c == 'c')
                        o.controlled = optarg;
                else if (c == 'e')
                        o.formats = parse_formats(optarg);
                else if (c == 1 && !o.directory && !recipe.host && recipe.pci == 0)
                        o.directory = optarg;
                else if (c == 1) {
                        optind--;
                        break;
                } else if (!recipe_option(&recipe, c))
                        return wrong_usage("an option is not valid");
        if (optind >= argc || o.formats == 0 ||
            (o.directory != NULL) + (recipe.host != NULL) + (recipe.pci > 0) != 1)
                return wrong_usage("run takes one of a directory, --host and --pci; and a command");

        o.command = argv + optind;
        r = choose_host(&o, &recipe, keep);
        if (r >= 0)
                r = namespace_run(&o);
        json_decref(o.recipe);
        /* In a PID namespace whose first process has ended no thread can be started, which leak checkers
         * want to. */
        (void) fflush(NULL);
        _exit(r < 0 ? STATUS_TROUBLE : r);
}

/* Without arguments, reads; with some, writes them as one line. */
static int verb_ctl(int argc, char *argv[]) {
        _cleanup_close_ int fd = -1;
        char text[4096] = "";
        ssize_t n;
        Path p;

        if (argc < 2)
                return wrong_usage("ctl takes an order");
        for (int i = 2; i < argc; i++) {
                size_t length = strlen(text);

                (void) snprintf(text + length, sizeof(text) - length, "%s%s", i > 2 ? " " : "", argv[i]);
        }
        path_make(&p, SIMHOST_CONTROL "/%s", argv[1]);
        fd = open(p.s, (argc > 2 || string_equal(argv[1], "release") ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
        if (fd < 0) {
                complain(access(SIMHOST_CONTROL, F_OK) < 0 ? "ctl works inside of a simulated host only"
                                                           : "there is no order '%s'",
                         argv[1]);
                return EXIT_FAILURE;
        }
        if (argc > 2 || string_equal(argv[1], "release")) {
                size_t length = strlen(text);

                text[length] = '\n';
                if (write(fd, text, length + 1) < 0) {
                        complain("%s: %m", argv[1]);
                        return EXIT_FAILURE;
                }
                return EXIT_SUCCESS;
        }
        while ((n = read(fd, text, sizeof(text))) > 0)
                (void) fwrite(text, 1, (size_t) n, stdout);
        return n < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* In the place of NVIDIA's tool of that name, which switches the virtual functions of GPUs on and off. */
static int verb_sriov_manage(int argc, char *argv[]) {
        bool on = argc == 3 && string_equal(argv[1], "-e");

        if (argc != 3 || !(on || string_equal(argv[1], "-d"))) {
                (void) fputs("Usage: sriov-manage <-e|-d> <ssss:bb:dd.f|ALL>\n", stderr);
                return EXIT_FAILURE;
        }
        return sriov_manage(on, argv[2]) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *name;
                int (*run)(int argc, char *argv[]);
        } verbs[] = {
                { "make", verb_make },
                { "run", verb_run },
                { "ctl", verb_ctl },
                { "sriov-manage", verb_sriov_manage },
        };

        /* Files of the host have the modes that they are given. */
        original_mask = umask(0);
        if (argc > 1 && (string_equal(argv[1], "--help") || string_equal(argv[1], "-h"))) {
                (void) fputs(usage, stdout);
                return EXIT_SUCCESS;
        }
        for (size_t i = 0; argc > 1 && i < ELEMENTS(verbs); i++)
                if (string_equal(argv[1], verbs[i].name))
                        return verbs[i].run(argc - 1, argv + 1);
        return wrong_usage("the first argument is make, run or ctl");
}
