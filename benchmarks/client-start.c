/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From exec to the first answer that knows every device. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "measure.h"

#define START_TIMEOUT_USEC 60e6

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        *(bool *) userdata = true;
        return 0;
}

static pid_t execute(const char *program, const char *configuration) {
        pid_t pid = fork();

        if (pid < 0)
                fail("fork", -errno, NULL);
        if (pid == 0) {
                int null = open("/dev/null", O_RDWR);

                if (null >= 0) {
                        dup2(null, STDOUT_FILENO);
                        dup2(null, STDERR_FILENO);
                }
                execl(program, program, "--config", configuration, NULL);
                _exit(127);
        }
        return pid;
}

void kind_start(int n, char **words) {
        bool owned = false;
        double began, took;
        sd_bus_message *m;
        int status, r;
        pid_t pid;

        r = sd_bus_match_signal(client_bus, NULL, "org.freedesktop.DBus", NULL, "org.freedesktop.DBus", "NameOwnerChanged",
                                on_owner, &owned);
        /* Only now is the match known to be there. */
        if (r < 0)
                fail("match", r, NULL);
        while ((r = sd_bus_process(client_bus, NULL)) > 0)
                ;
        owned = false;

        began = now_usec();
        pid = execute(words[0], words[1]);
        for (;;) {
                /* The service's own connection changes owners as well: of those signals the name's is the last. */
                owned = false;
                while (!owned) {
                        r = sd_bus_process(client_bus, NULL);
                        if (r == 0)
                                r = sd_bus_wait(client_bus, UINT64_C(1000000));
                        if (r < 0 || now_usec() - began > START_TIMEOUT_USEC)
                                fail("the service does not start", r < 0 ? r : -ETIMEDOUT, NULL);
                }
                if (sd_bus_get_name_creds(client_bus, SERVICE, 0, NULL) >= 0)
                        break;
        }
        m = new_call(SERVICE, ROOT, MANAGER, "ListDevices");
        if (sd_bus_message_append(m, "sa(sss)a{sv}", "pci", 0, 0) < 0)
                fail("ListDevices", -EINVAL, NULL);
        (void) timed(m);
        took = now_usec() - began;

        (void) kill(pid, SIGTERM);
        if (waitpid(pid, &status, 0) < 0 || status != 0)
                fail("the service's end", -EIO, NULL);
        printf("%.0f\n", took);
}
