/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/socket.h>

#include "source-notice.h"

int source_notice_open(SourceNotice *ret, const Sysfs *sysfs, const char *const *subsystems, Fault *fault) {
        const char *group = sysfs_exists(sysfs, "/run/udev/control") ? "udev" : "kernel";
        SourceNotice notice = { .udev = udev_new() };
        int r;

        if (!notice.udev)
                return fault_oom(fault);
        notice.monitor = udev_monitor_new_from_netlink(notice.udev, group);
        r = notice.monitor ? 0 : errno > 0 ? -errno : -EIO;
        for (size_t i = 0; subsystems[i] && r >= 0; i++)
                r = udev_monitor_filter_add_match_subsystem_devtype(notice.monitor, subsystems[i], NULL);
        if (r >= 0)
                r = udev_monitor_enable_receiving(notice.monitor);
        if (r < 0) {
                source_notice_close(&notice);
                return fault_set(fault, r, FAULT_INTERNAL, "Device events cannot be received: %s", strerror(-r));
        }

        *ret = notice;
        return 0;
}

void source_notice_close(SourceNotice *notice) {
        if (notice->monitor)
                udev_monitor_unref(notice->monitor);
        if (notice->udev)
                udev_unref(notice->udev);
        *notice = (SourceNotice){ 0 };
}

int source_notice_fd(const SourceNotice *notice) {
        return udev_monitor_get_fd(notice->monitor);
}

/* The kernel has filtered by subsystem already, with a filter that lets a few others through: they cost a look that was not
 * needed. */
bool source_notice_drain(SourceNotice *notice) {
        bool any = false;
        char byte;

        for (;;) {
                ssize_t n = recv(source_notice_fd(notice), &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC);

                if (n < 0 && errno != EINTR && errno != ENOBUFS)
                        return any;
                any |= n >= 0 || errno == ENOBUFS;
        }
}
