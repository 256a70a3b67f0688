/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bare limit of a change: a udev monitor that emits one PropertiesChanged signal for each event of a PCI device, and
 * keeps nothing. */

#include <libudev.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define BUFFER_BYTES (32 * 1024 * 1024) /* so that it hears all of a storm */

static int emit(sd_bus *bus, struct udev_device *device) {
        const char *driver = udev_device_get_property_value(device, "DRIVER");

        return sd_bus_emit_signal(bus, "/monitor", "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
                                  "org.passthroughd.Monitor", 1, "Driver", "s", driver ? driver : "", 0);
}

int main(void) {
        struct udev *udev = udev_new();
        struct udev_monitor *monitor = udev_monitor_new_from_netlink(udev, "udev");
        sd_bus *bus;
        int r = sd_bus_open_system(&bus);

        if (r < 0 || !monitor || udev_monitor_filter_add_match_subsystem_devtype(monitor, "pci", NULL) < 0 ||
            udev_monitor_set_receive_buffer_size(monitor, BUFFER_BYTES) < 0 ||
            udev_monitor_enable_receiving(monitor) < 0 || sd_bus_request_name(bus, "org.passthroughd.Monitor", 0) < 0)
                return 1;
        for (;;) {
                struct pollfd fds[] = { { .fd = udev_monitor_get_fd(monitor), .events = POLLIN },
                                        { .fd = sd_bus_get_fd(bus), .events = (short) sd_bus_get_events(bus) } };
                struct udev_device *device;

                while (sd_bus_process(bus, NULL) > 0)
                        ;
                if (poll(fds, 2, -1) < 0)
                        return 1;
                if (!(fds[0].revents & POLLIN) || !(device = udev_monitor_receive_device(monitor)))
                        continue;
                r = emit(bus, device);
                udev_device_unref(device);
                if (r < 0 || sd_bus_flush(bus) < 0) {
                        fprintf(stderr, "bare-monitor: %s\n", strerror(-r));
                        return 1;
                }
        }
}
