/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker-process.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/limits.h"
#include "lib/protocol.h"

#define MESSAGES_PER_TURN 16 /* of the loop, so that one talkative worker does not keep others waiting */
#define REAP_MSEC 100        /* for a killed process at the end of the service */

typedef struct Outgoing {
        json_t *message;
        struct Outgoing *next;
} Outgoing;

struct WorkerProcess {
        const WorkerProcessEvents *events;
        void *userdata;
        pid_t pid;
        int pidfd;
        int socket; /* -EBADF once it is silent or was hung up */
        bool ready;
        unsigned n_runs, n_looks;
        sd_event_source *exit_source, *socket_source;
        Outgoing *outgoing; /* what the socket had no room for */
};

/* What is meant for this process only; a worker that took it for its own would speak in our name. */
static const char *const private_variables[] = {
        "NOTIFY_SOCKET=", "WATCHDOG_PID=",   "WATCHDOG_USEC=", "LISTEN_PID=",
        "LISTEN_FDS=",    "LISTEN_FDNAMES=", "MAINPID=",       "INVOCATION_ID=",
};

static bool is_private(const char *variable) {
        for (size_t i = 0; i < ELEMENTSOF(private_variables); i++)
                if (startswith(variable, private_variables[i]))
                        return true;
        return false;
}

/* Pointers into our own environment; only the array is new. */
static char **worker_environment(void) {
        size_t n = 0, k = 0;
        char **list;

        while (environ[n])
                n++;
        list = calloc(n + 1, sizeof(char *));
        for (size_t i = 0; list && i < n; i++)
                if (!is_private(environ[i]))
                        list[k++] = environ[i];
        return list;
}

/* Descriptor 3 is the socket, standard output goes where errors go, all else is closed. A session of its
 * own keeps the signals of a terminal away from a step that is under way. */
static int spawn(const char *path, int socket, pid_t *ret) {
        _cleanup_free_ char **environment = worker_environment();
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, all;
        int r;

        if (!environment)
                return -ENOMEM;

        sigemptyset(&none);
        sigfillset(&all);
        if (posix_spawn_file_actions_init(&actions) != 0)
                return -ENOMEM;
        if (posix_spawnattr_init(&attributes) != 0) {
                posix_spawn_file_actions_destroy(&actions);
                return -ENOMEM;
        }

        r = posix_spawn_file_actions_adddup2(&actions, socket, WORKER_FD);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(&actions, WORKER_FD + 1);
        if (r == 0)
                r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawnattr_setsigmask(&attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(&attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                                  POSIX_SPAWN_SETSID);
        if (r == 0)
                r = posix_spawn(ret, path, &actions, &attributes, (char *[]){ (char *) path, NULL },
                                environment);

        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}

static void drop_outgoing(WorkerProcess *process) {
        while (process->outgoing) {
                Outgoing *first = process->outgoing;

                process->outgoing = first->next;
                json_decref(first->message);
                free(first);
        }
}

void worker_process_hang_up(WorkerProcess *process) {
        process->socket_source = sd_event_source_disable_unref(process->socket_source);
        process->socket = close_fd(process->socket);
        drop_outgoing(process);
}

static void fall_silent(WorkerProcess *process, const char *problem) {
        worker_process_hang_up(process);
        process->events->silent(process->userdata, problem);
}

/* A worker of another version means another protocol: the package was replaced under the running service. */
static void take_hello(WorkerProcess *process, json_t *message) {
        const char *version = json_string_value(json_object_get(message, "version"));
        char problem[512];

        if (!streq(message_type(message), "hello") || !version) {
                fall_silent(process, "began with something else than its version");
                return;
        }
        if (!streq(version, PROJECT_VERSION)) {
                snprintf(problem, sizeof(problem),
                         "is of version %s, but the service of version " PROJECT_VERSION
                         ": restart the service",
                         version);
                fall_silent(process, problem);
                return;
        }

        process->ready = true;
        process->events->ready(process->userdata);
}

/* Passes one message on. False when there is none, or nothing more will come. */
static bool receive(WorkerProcess *process) {
        _cleanup_(json_decrefp) json_t *message = NULL;
        int r;

        if (process->socket < 0)
                return false;

        r = message_receive(process->socket, &message);
        if (r == -EAGAIN || r == -EINTR)
                return false;
        if (r <= 0) {
                fall_silent(process, r == -EBADMSG || r == -EMSGSIZE ? "said what is no message" : NULL);
                return false;
        }

        if (!process->ready)
                take_hello(process, message);
        else
                process->events->message(process->userdata, message);
        return true;
}

static void watch_socket(WorkerProcess *process) {
        if (process->socket_source)
                (void) sd_event_source_set_io_events(process->socket_source,
                                                     EPOLLIN | (process->outgoing ? EPOLLOUT : 0));
}

/* Sends as much as there is room for. */
static int send_outgoing(WorkerProcess *process) {
        int r = 0;

        while (process->outgoing && process->socket >= 0) {
                Outgoing *first = process->outgoing;

                r = message_send(process->socket, first->message);
                if (r == -EAGAIN)
                        break;
                process->outgoing = first->next;
                json_decref(first->message);
                free(first);
                if (r < 0)
                        break;
        }
        watch_socket(process);

        return r == -EAGAIN ? 0 : r;
}

int worker_process_send(WorkerProcess *process, json_t *message) {
        Outgoing **end = &process->outgoing, *last;

        if (process->socket < 0)
                return -EPIPE;

        last = calloc(1, sizeof(*last));
        if (!last)
                return -ENOMEM;
        last->message = json_incref(message);
        while (*end)
                end = &(*end)->next;
        *end = last;

        return send_outgoing(process);
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        WorkerProcess *process = userdata;

        /* A failure to send shows as the end of the stream too. */
        if (revents & EPOLLOUT)
                (void) send_outgoing(process);
        for (int i = 0; i < MESSAGES_PER_TURN && receive(process); i++)
                ;

        return 0;
}

static void describe_end(const siginfo_t *info, char *buffer, size_t size) {
        const char *name;

        if (info->si_code == CLD_EXITED)
                snprintf(buffer, size, "ended with status %d", info->si_status);
        else if ((name = sigabbrev_np(info->si_status)))
                snprintf(buffer, size, "was killed by SIG%s", name);
        else
                snprintf(buffer, size, "was killed by signal %d", info->si_status);
}

static int on_exit_of_process(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        WorkerProcess *process = userdata;
        siginfo_t info = { 0 };
        char how[64] = "ended";

        process->exit_source = sd_event_source_disable_unref(process->exit_source);
        if (waitid(P_PIDFD, (id_t) process->pidfd, &info, WEXITED | WNOHANG) >= 0 &&
            info.si_pid == process->pid)
                describe_end(&info, how, sizeof(how));
        process->pid = 0;

        /* What it said last is still in the socket. */
        while (receive(process))
                ;
        worker_process_hang_up(process);
        process->events->ended(process->userdata, how);
        return 0;
}

static int watch(WorkerProcess *process, sd_event *event) {
        int r;

        process->pidfd = pidfd_open(process->pid, 0);
        if (process->pidfd < 0)
                return -errno;
        r = sd_event_add_io(event, &process->exit_source, process->pidfd, EPOLLIN, on_exit_of_process,
                            process);
        if (r >= 0)
                r = sd_event_add_io(event, &process->socket_source, process->socket, EPOLLIN, on_socket,
                                    process);
        return r;
}

int worker_process_start(sd_event *event, const char *path, const WorkerProcessEvents *events,
                         void *userdata, WorkerProcess **ret, Fault *fault) {
        _cleanup_(worker_process_freep) WorkerProcess *process = NULL;
        _cleanup_close_ int theirs = -EBADF;
        int sockets[2], r;

        process = calloc(1, sizeof(*process));
        if (!process)
                return fault_oom(fault);
        process->pidfd = process->socket = -EBADF;
        worker_process_set_owner(process, events, userdata);

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
                return fault_set(fault, -errno, FAULT_WORKER_FAILED,
                                 "Cannot make a socket for the worker: %s", strerrordesc_np(errno));
        process->socket = sockets[0];
        theirs = sockets[1];
        /* Ours alone: the worker waits when it speaks faster than we listen. */
        if (fcntl(process->socket, F_SETFL, O_NONBLOCK) < 0)
                return fault_set(fault, -errno, FAULT_WORKER_FAILED,
                                 "Cannot make a socket for the worker: %s", strerrordesc_np(errno));

        r = spawn(path, theirs, &process->pid);
        if (r < 0)
                return fault_set(fault, r, FAULT_WORKER_FAILED, "Cannot start the worker %s: %s", path,
                                 strerrordesc_np(-r));
        r = watch(process, event);
        if (r < 0)
                return fault_set(fault, r, FAULT_WORKER_FAILED, "Cannot watch the worker %s: %s", path,
                                 strerrordesc_np(-r));

        *ret = TAKE_PTR(process);
        return 0;
}

/* A killed process is collected if that is possible at once; one that is stuck in the kernel is left to
 * it. */
static void reap(WorkerProcess *process) {
        struct timespec patience = { .tv_nsec = REAP_MSEC * 1000000L };
        siginfo_t info;

        worker_process_kill(process);
        if (process->pidfd >= 0) {
                struct pollfd ended = { .fd = process->pidfd, .events = POLLIN };

                (void) ppoll(&ended, 1, &patience, NULL);
        }
        (void) waitid(P_PID, (id_t) process->pid, &info, WEXITED | WNOHANG);
}

WorkerProcess *worker_process_free(WorkerProcess *process) {
        if (!process)
                return NULL;

        worker_process_hang_up(process);
        if (process->pid > 0)
                reap(process);
        sd_event_source_disable_unref(process->exit_source);
        (void) close_fd(process->pidfd);
        free(process);
        return NULL;
}

void worker_process_set_owner(WorkerProcess *process, const WorkerProcessEvents *events, void *userdata) {
        process->events = events;
        process->userdata = userdata;
}

void worker_process_count_run(WorkerProcess *process) {
        process->n_runs++;
}

unsigned worker_process_runs(const WorkerProcess *process) {
        return process->n_runs;
}

void worker_process_count_look(WorkerProcess *process) {
        process->n_looks++;
}

unsigned worker_process_looks(const WorkerProcess *process) {
        return process->n_looks;
}

bool worker_process_is_ready(const WorkerProcess *process) {
        return process->ready;
}

bool worker_process_is_usable(const WorkerProcess *process) {
        struct pollfd peer = { .fd = process->socket };

        return process->socket >= 0 && poll(&peer, 1, 0) == 0;
}

pid_t worker_process_pid(const WorkerProcess *process) {
        return process->pid;
}

void worker_process_kill(WorkerProcess *process) {
        /* The pidfd cannot hit another process; without it the pid is still our child's. */
        if (process->pidfd >= 0)
                (void) pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
        else if (process->pid > 0)
                (void) kill(process->pid, SIGKILL);
}
