/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bare-monitor [usb]
 *
 * The bare limit of a change: a udev monitor that emits one PropertiesChanged signal for each event of a PCI device (or of an
 * interface of a USB device, whose name is in the signal), and keeps nothing. */

#include <libudev.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define BUFFER_BYTES (32 * 1024 * 1024) /* so that it hears all of a storm */

static int emit(sd_bus *bus, struct udev_device *device, bool usb) {
        const char *driver = udev_device_get_property_value(device, "DRIVER");

        if (usb)
                return sd_bus_emit_signal(bus, "/monitor", "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
                                          "org.passthroughd.Monitor", 1, "Driver", "s", driver ? driver : "", 1,
                                          udev_device_get_sysname(device));

        return sd_bus_emit_signal(bus, "/monitor", "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
                                  "org.passthroughd.Monitor", 1, "Driver", "s", driver ? driver : "", 0);
}

int main(int argc, char **argv) {
        bool usb = argc > 1 && strcmp(argv[1], "usb") == 0;
        struct udev *udev = udev_new();
        struct udev_monitor *monitor = udev_monitor_new_from_netlink(udev, "udev");
        sd_bus *bus;
        int r = sd_bus_open_system(&bus);

        if (r < 0 || !monitor || udev_monitor_filter_add_match_subsystem_devtype(monitor, usb ? "usb" : "pci", usb ? "usb_interface" : NULL) < 0 ||
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
                r = emit(bus, device, usb);
                udev_device_unref(device);
                if (r < 0 || sd_bus_flush(bus) < 0) {
                        fprintf(stderr, "bare-monitor: %s\n", strerror(-r));
                        return 1;
                }
        }
}
