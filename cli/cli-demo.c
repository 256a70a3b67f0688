/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The demo, seen from outside: a directory with a simulated host, the programs found, the tour started on
 * that host, and nothing left afterwards. What happens inside is in cli-demo-inside.c. */

#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>

#include "cli-demo.h"
#include "cli-spawn.h"
#include "cli-verbs.h"

/* Where each part is: below the directory that PASSTHROUGHD_BUILD names, below the build directory this
 * program lies in, or where it was installed. */
static const struct {
        const char *variable, *built, *installed;
} parts[_DEMO_PART_MAX] = {
        [DEMO_SIMHOST] = { "PASSTHROUGHD_DEMO_SIMHOST", "simhost/passthroughd-simhost",
                           BINDIR "/passthroughd-simhost" },
        [DEMO_DAEMON] = { "PASSTHROUGHD_DEMO_DAEMON", "daemon/passthroughd", LIBEXECDIR "/passthroughd" },
        [DEMO_WORKER] = { "PASSTHROUGHD_DEMO_WORKER", "worker/passthroughd-worker",
                          LIBEXECDIR "/passthroughd-worker" },
        [DEMO_MODULES] = { "PASSTHROUGHD_DEMO_MODULES", "modules", MODULEDIR },
        [DEMO_HOSTS] = { "PASSTHROUGHD_DEMO_HOSTS", "cli", PKGDATADIR "/hosts" },
};

static char *directory; /* for the end, however it comes */

static int own_directory(char ret[static PATH_MAX]) {
        ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - 1);
        char *slash;

        if (n < 0)
                return -errno;
        ret[n] = '\0';
        slash = strrchr(ret, '/');
        if (slash)
                *slash = '\0';
        return 0;
}

int demo_part(Cli *cli, DemoPart part, char **ret) {
        const char *given = getenv(parts[part].variable), *build = getenv("PASSTHROUGHD_BUILD");
        char own[PATH_MAX];
        int r = own_directory(own);

        if (r < 0)
                return cli_fail(cli, STATUS_FAILED, "/proc/self/exe can't be read: %s", strerror(-r));
        if (!isempty(given))
                r = asprintf(ret, "%s", given);
        else if (!isempty(build))
                r = asprintf(ret, "%s/%s", build, parts[part].built);
        else if (streq(own, BINDIR))
                r = asprintf(ret, "%s", parts[part].installed);
        else
                r = asprintf(ret, "%s/../%s", own, parts[part].built);
        if (r < 0)
                return cli_oom(cli);
        if (access(*ret, F_OK) == 0)
                return 0;
        r = cli_fail(cli, STATUS_FAILED, "the demo needs %s, which is not there; %s may say where it is",
                     *ret, parts[part].variable);
        free(TAKE_PTR(*ret));
        return r;
}

/* ---- modules ---- */

/* They are copied: those of the system belong to a root that a user's simulated host does not know. */

static int copy_file(const char *from, const char *to) {
        _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC), out = -EBADF;
        char buffer[65536];
        ssize_t n;

        if (in < 0)
                return -errno;
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
        if (out < 0)
                return -errno;
        while ((n = read(in, buffer, sizeof(buffer))) > 0)
                if (write(out, buffer, (size_t) n) != n)
                        return -EIO;
        return n < 0 ? -errno : 0;
}

static bool is_module(const char *name) {
        size_t length = strlen(name);

        return length > 3 && streq(name + length - 3, ".so");
}

/* They lie side by side where they are installed, and each in a folder of its own where they are built. */
static int copy_modules(Cli *cli, const char *from, const char *to, unsigned depth) {
        DIR *dir = opendir(from);
        struct dirent *entry;
        int r = 0;

        if (!dir)
                return cli_fail(cli, STATUS_FAILED, "%s can't be opened: %s", from, strerror(errno));
        while (r >= 0 && (entry = readdir(dir))) {
                _cleanup_free_ char *source = NULL, *target = NULL;
                struct stat st;

                if (entry->d_name[0] == '.')
                        continue;
                if (asprintf(&source, "%s/%s", from, entry->d_name) < 0 ||
                    asprintf(&target, "%s/%s", to, entry->d_name) < 0) {
                        r = cli_oom(cli);
                        break;
                }
                if (stat(source, &st) < 0)
                        continue;
                if (S_ISDIR(st.st_mode) && depth > 0)
                        r = copy_modules(cli, source, to, depth - 1);
                else if (S_ISREG(st.st_mode) && is_module(entry->d_name)) {
                        r = copy_file(source, target);
                        if (r < 0)
                                r = cli_fail(cli, STATUS_FAILED, "%s can't be copied: %s", source,
                                             strerror(-r));
                }
        }
        (void) closedir(dir);
        return r;
}

/* ---- the directory ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static void remove_directory(void) {
        if (directory)
                (void) nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int make_directories(Cli *cli) {
        static const char *const names[] = { "modules", "etc", "state" };
        const char *tmp = getenv("TMPDIR");

        if (asprintf(&directory, "%s/passthroughd-demo-XXXXXX", isempty(tmp) ? "/tmp" : tmp) < 0) {
                directory = NULL;
                return cli_oom(cli);
        }
        if (!mkdtemp(directory)) {
                int error = errno;

                free(TAKE_PTR(directory));
                return cli_fail(cli, STATUS_FAILED, "a temporary directory can't be made: %s",
                                strerror(error));
        }
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s", directory, names[i]) < 0)
                        return cli_oom(cli);
                if (mkdir(path, 0755) < 0)
                        return cli_fail(cli, STATUS_FAILED, "%s can't be made: %s", path, strerror(errno));
        }
        return 0;
}

/* A file, or the name of a description that comes along. */
static int find_host(Cli *cli, char **ret) {
        const char *name = cli->host ?: "demo";
        _cleanup_free_ char *hosts = NULL;
        int r;

        if (strchr(name, '/') || strchr(name, '.'))
                *ret = strdup(name);
        else {
                r = demo_part(cli, DEMO_HOSTS, &hosts);
                if (r < 0)
                        return r;
                if (asprintf(ret, "%s/%s.json", hosts, name) < 0)
                        *ret = NULL;
        }
        if (!*ret)
                return cli_oom(cli);
        return access(*ret, R_OK) == 0 ? 0 : cli_fail(cli, STATUS_USAGE, "%s: there is no such host", *ret);
}

/* ---- */

static int make_host(Cli *cli, const char *simhost, const char *host) {
        _cleanup_free_ char *file = NULL;
        int r = find_host(cli, &file);

        if (r < 0)
                return r;
        r = run_program(cli,
                        (char *[]){ (char *) simhost, (char *) "make", (char *) host, (char *) "--host",
                                    file, NULL },
                        NULL);
        return r == 0 ? 0 : r < 0 ? r : cli_fail(cli, STATUS_FAILED, "the simulated host could not be made");
}

static int run_inside(Cli *cli, const char *simhost, const char *host) {
        char own[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

        if (n < 0)
                return cli_fail(cli, STATUS_FAILED, "/proc/self/exe can't be read: %s", strerror(errno));
        own[n] = '\0';
        return run_program(cli,
                           (char *[]){ (char *) simhost, (char *) "run", (char *) host, (char *) "--", own,
                                       (char *) "demo-inside", NULL },
                           NULL);
}

static int run_demo(Cli *cli) {
        _cleanup_free_ char *simhost = NULL, *modules = NULL, *copies = NULL, *host = NULL;
        int r = demo_part(cli, DEMO_SIMHOST, &simhost);

        if (r >= 0)
                r = demo_part(cli, DEMO_MODULES, &modules);
        if (r >= 0)
                r = make_directories(cli);
        if (r < 0)
                return r;
        if (asprintf(&copies, "%s/modules", directory) < 0 || asprintf(&host, "%s/host", directory) < 0)
                return cli_oom(cli);
        r = copy_modules(cli, modules, copies, 1);
        if (r >= 0)
                r = make_host(cli, simhost, host);
        if (r < 0)
                return r;
        if (setenv(DEMO_DIRECTORY, directory, 1) < 0 || setenv(DEMO_TOUR, cli->host ?: "demo", 1) < 0)
                return cli_oom(cli);
        return run_inside(cli, simhost, host);
}

int verb_demo(Cli *cli, char **arguments, int n) {
        int r;

        /* The terminal sends these to what runs inside too; we outlive it to clean up. */
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGQUIT, SIG_IGN);
        r = run_demo(cli);
        if (directory && option_given(cli, "keep"))
                (void) fprintf(stderr, "The logs are in %s.\n", directory);
        else
                remove_directory();
        free(TAKE_PTR(directory));
        return r;
}
