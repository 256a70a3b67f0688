/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* passthroughd-worker: started by passthroughd, never by hand. */

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lib/protocol.h"
#include "serve.h"

static int check_socket(int fd) {
        int type = 0, domain = 0;
        socklen_t type_size = sizeof(type), domain_size = sizeof(domain);

        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) < 0 ||
            getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) < 0)
                return -errno;
        if (type != SOCK_SEQPACKET || domain != AF_UNIX)
                return -EPROTOTYPE;

        return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

/* When the service is stopped, systemd signals its whole control group. A step that is under way must still
 * reach its end: the end of the socket is what tells us to go, and SIGKILL is what the service itself
 * uses. */
static void prepare_signals(void) {
        static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
        sigset_t none;

        for (size_t i = 0; i < ELEMENTSOF(ignored); i++)
                (void) signal(ignored[i], SIG_IGN);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

int main(int argc, char *argv[]) {
        _cleanup_worker_ Worker worker = { .sysfs.root_fd = -EBADF };
        int r;

        if (argc == 2 && streq(argv[1], "--version")) {
                (void) printf("passthroughd-worker %s\n", PROJECT_VERSION);
                return EXIT_SUCCESS;
        }
        if (argc > 1 || check_socket(WORKER_FD) < 0) {
                (void) fprintf(stderr,
                               "passthroughd-worker is started by passthroughd, with a socket to it as "
                               "descriptor %d\n",
                               WORKER_FD);
                return EXIT_FAILURE;
        }

        prepare_signals();
        r = worker_init(&worker, WORKER_FD, "/");
        if (r >= 0)
                r = serve(&worker);
        if (r < 0)
                (void) fprintf(stderr, "passthroughd-worker: %s\n", strerrordesc_np(-r));

        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
