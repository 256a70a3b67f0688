/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "breadcrumb.h"
#include "lib/limits.h"

#define TRAIL_MAGIC 0x42435450u /* "PTCB" */
#define TRAIL_VERSION 1u
#define TRAIL_MODULES 32
#define NAME_SIZE 32
#define OP_SIZE 16
#define DEVICE_SIZE (ID_MAX + 1)

typedef enum TrailState {
        TRAIL_IDLE,
        TRAIL_IN_CALL,
        TRAIL_CRASHED,
} TrailState;

typedef struct Call {
        char module[NAME_SIZE];
        char op[OP_SIZE];
        char device[DEVICE_SIZE];
} Call;

/* The file. It is read by another run of possibly another version, so nothing in it is trusted. */
typedef struct Trail {
        uint32_t magic, version;
        volatile uint32_t state; /* TrailState */
        volatile int32_t cause;  /* signal; 0: the module ended the process */
        Call call;
        struct {
                uint32_t crashes;
                int32_t cause;
                Call last;
        } modules[TRAIL_MODULES];
} Trail;

struct Breadcrumb {
        Trail *trail;
        char *refused[TRAIL_MODULES + 1];
        char *reasons[TRAIL_MODULES + 1];
};

/* A handler has nowhere else to look. One service is one process is one breadcrumb. */
static Trail *watched_trail;
static pid_t watched_thread;

static const int fatal_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };
static struct sigaction previous_actions[ELEMENTSOF(fatal_signals)];

static void mark_crash(int cause) {
        Trail *trail = watched_trail;

        if (!trail || trail->state != TRAIL_IN_CALL)
                return;
        trail->cause = cause;
        trail->state = TRAIL_CRASHED;
}

/* Only notes the fact, then leaves the signal to whoever had it before: the default action, or a
 * sanitizer's report. */
static void on_fatal_signal(int number, siginfo_t *info, void *context) {
        bool sent = info->si_code <= 0, own = info->si_code == SI_TKILL && info->si_pid == getpid();
        int saved_errno = errno;

        /* Another thread's fault or abort() is no module's; what others sent (the watchdog's SIGABRT) may arrive
         * on any thread. */
        if (gettid() == watched_thread || (sent && !own))
                mark_crash(number);
        for (size_t i = 0; i < ELEMENTSOF(fatal_signals); i++)
                if (fatal_signals[i] == number)
                        (void) sigaction(number, &previous_actions[i], NULL);
        /* A fault of the processor comes again as soon as we return; what somebody sent has to be sent
         * again. */
        if (sent)
                (void) raise(number);
        errno = saved_errno;
}

static void on_exit_in_call(void) {
        mark_crash(0);
}

/* A file that names a call is no proof: the service may have been killed in the middle of one by the OOM
 * killer or by its administrator, which would be held against an innocent module. So the crash itself
 * leaves the mark. The handlers get a stack of their own: endless recursion is a way to crash, too. */
static void watch_for_crashes(Trail *trail) {
        static _Alignas(16) char stack[32 * 1024];
        static bool first = true;
        const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
        const struct sigaction action = { .sa_sigaction = on_fatal_signal,
                                          .sa_flags = SA_SIGINFO | SA_ONSTACK };

        watched_trail = trail;
        watched_thread = gettid();
        if (first)
                (void) atexit(on_exit_in_call);
        first = false;

        (void) sigaltstack(&alternate, NULL);
        for (size_t i = 0; i < ELEMENTSOF(fatal_signals); i++) {
                struct sigaction present;

                if (sigaction(fatal_signals[i], NULL, &present) < 0 ||
                    present.sa_sigaction == on_fatal_signal)
                        continue;
                previous_actions[i] = present;
                (void) sigaction(fatal_signals[i], &action, NULL);
        }
}

static int map_trail(const char *directory, Trail **ret) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        Trail *trail;
        int r;

        if (asprintf(&path, "%s/breadcrumb", directory) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_size != sizeof(Trail) && ftruncate(fd, 0) < 0)
                return -errno;
        /* A store into a page that a full file system has no room for would be a SIGBUS. */
        r = posix_fallocate(fd, 0, sizeof(Trail));
        if (r != 0)
                return -r;

        trail = mmap(NULL, sizeof(Trail), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (trail == MAP_FAILED)
                return -errno;

        if (trail->magic != TRAIL_MAGIC || trail->version != TRAIL_VERSION) {
                memset(trail, 0, sizeof(*trail));
                trail->magic = TRAIL_MAGIC;
                trail->version = TRAIL_VERSION;
        }
        *ret = trail;
        return 0;
}

static void end_strings(Call *call) {
        call->module[sizeof(call->module) - 1] = '\0';
        call->op[sizeof(call->op) - 1] = '\0';
        call->device[sizeof(call->device) - 1] = '\0';
}

/* The place of a module's count, a free one for a new module, and the least guilty one when all are
 * taken. */
static size_t place_of(const Trail *trail, const char *module) {
        size_t best = 0;

        for (size_t i = 0; i < TRAIL_MODULES; i++)
                if (trail->modules[i].crashes > 0 && streq(trail->modules[i].last.module, module))
                        return i;
        for (size_t i = 1; i < TRAIL_MODULES; i++)
                if (trail->modules[i].crashes < trail->modules[best].crashes)
                        best = i;
        return best;
}

static void settle(Trail *trail) {
        end_strings(&trail->call);
        for (size_t i = 0; i < TRAIL_MODULES; i++)
                end_strings(&trail->modules[i].last);

        if (trail->state == TRAIL_CRASHED && trail->call.module[0] != '\0') {
                size_t i = place_of(trail, trail->call.module);

                if (!streq(trail->modules[i].last.module, trail->call.module))
                        trail->modules[i].crashes = 0;
                if (trail->modules[i].crashes < UINT32_MAX)
                        trail->modules[i].crashes++;
                trail->modules[i].last = trail->call;
                trail->modules[i].cause = trail->cause;
        }
        trail->state = TRAIL_IDLE;
}

static char *describe_crashes(uint32_t crashes, int cause, const Call *call) {
        const char *how = cause > 0 ? sigdescr_np(cause) : "it ended the process";
        char times[24], *text;

        (void) snprintf(times, sizeof(times), crashes == 2 ? "twice" : "%u times", crashes);
        if (asprintf(&text,
                     "crashed %s, last in %s%s%s (%s); it is refused until the machine boots again or the "
                     "file breadcrumb in the runtime directory is removed",
                     times, call->op, call->device[0] != '\0' ? " of " : "", call->device,
                     how ? how : "signal") < 0)
                return NULL;
        return text;
}

static int collect_refused(Breadcrumb *breadcrumb) {
        size_t n = 0;

        for (size_t i = 0; i < TRAIL_MODULES; i++) {
                if (breadcrumb->trail->modules[i].crashes < MODULE_CRASHES_MAX)
                        continue;
                breadcrumb->refused[n] = strdup(breadcrumb->trail->modules[i].last.module);
                breadcrumb->reasons[n] = describe_crashes(breadcrumb->trail->modules[i].crashes,
                                                          breadcrumb->trail->modules[i].cause,
                                                          &breadcrumb->trail->modules[i].last);
                if (!breadcrumb->refused[n] || !breadcrumb->reasons[n])
                        return -ENOMEM;
                n++;
        }

        return 0;
}

int breadcrumb_open(const char *directory, Breadcrumb **ret) {
        _cleanup_(breadcrumb_closep) Breadcrumb *breadcrumb = NULL;
        int r;

        breadcrumb = calloc(1, sizeof(*breadcrumb));
        if (!breadcrumb)
                return -ENOMEM;
        r = map_trail(directory, &breadcrumb->trail);
        if (r < 0)
                return r;
        settle(breadcrumb->trail);
        r = collect_refused(breadcrumb);
        if (r < 0)
                return r;
        watch_for_crashes(breadcrumb->trail);

        *ret = TAKE_PTR(breadcrumb);
        return 0;
}

Breadcrumb *breadcrumb_close(Breadcrumb *breadcrumb) {
        if (!breadcrumb)
                return NULL;

        if (breadcrumb->trail) {
                if (watched_trail == breadcrumb->trail)
                        watched_trail = NULL;
                (void) munmap(breadcrumb->trail, sizeof(*breadcrumb->trail));
        }
        for (size_t i = 0; i < TRAIL_MODULES; i++) {
                free(breadcrumb->refused[i]);
                free(breadcrumb->reasons[i]);
        }
        free(breadcrumb);
        return NULL;
}

const char *const *breadcrumb_refused(const Breadcrumb *breadcrumb) {
        return (const char *const *) breadcrumb->refused;
}

const char *const *breadcrumb_reasons(const Breadcrumb *breadcrumb) {
        return (const char *const *) breadcrumb->reasons;
}

static void store(char *place, size_t size, const char *text) {
        size_t length = strnlen(strempty(text), size - 1);

        memcpy(place, strempty(text), length);
        place[length] = '\0';
}

void breadcrumb_enter(Breadcrumb *breadcrumb, const char *module, const char *op, const char *device) {
        Trail *trail;

        if (!breadcrumb)
                return;

        trail = breadcrumb->trail;
        assert(trail->state == TRAIL_IDLE);
        store(trail->call.module, sizeof(trail->call.module), module);
        store(trail->call.op, sizeof(trail->call.op), op);
        store(trail->call.device, sizeof(trail->call.device), device);
        /* A handler of this thread must not see the state before the names. */
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        trail->state = TRAIL_IN_CALL;
}

void breadcrumb_leave(Breadcrumb *breadcrumb) {
        if (!breadcrumb)
                return;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        breadcrumb->trail->state = TRAIL_IDLE;
}
