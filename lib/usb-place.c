/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usb-place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "macro.h"

#define DIGITS "0123456789"

/* "usb12" → its length; 0 for anything else. */
static size_t root_hub_length(const char *name) {
        size_t digits;

        if (strncmp(name, "usb", 3) != 0)
                return 0;
        digits = strspn(name + 3, DIGITS);
        return digits > 0 && (name[3 + digits] == '\0' || name[3 + digits] == '/') ? 3 + digits : 0;
}

/* "1.2": numbers with dots between them. */
static bool is_port_path(const char *text, size_t length) {
        bool digit = false;

        for (size_t i = 0; i < length; i++) {
                if (strchr(DIGITS, text[i]))
                        digit = true;
                else if (text[i] == '.' && digit)
                        digit = false;
                else
                        return false;
        }
        return digit;
}

/* "2-1.2" → "1.2"; NULL for anything else. */
static const char *port_path(const char *name) {
        size_t digits = strspn(name, DIGITS);

        if (digits == 0 || name[digits] != '-')
                return NULL;
        name += digits + 1;
        return is_port_path(name, strlen(name)) ? name : NULL;
}

/* The root hub in the path, the last component that looks like one. */
static const char *find_root_hub(const char *syspath) {
        const char *found = NULL;

        for (const char *p = strchr(syspath, '/'); p; p = strchr(p + 1, '/'))
                if (root_hub_length(p + 1) > 0)
                        found = p + 1;
        return found;
}

/* "usb1-port3" → "3", "1-1.4-port2" → "1.4.2". */
static int path_of_port(const char *port, char *ret, size_t size) {
        const char *mark = NULL, *up;
        size_t n = strspn(port, DIGITS);
        int length;

        for (const char *p = strstr(port, "-port"); p; p = strstr(p + 1, "-port"))
                mark = p;
        if (!mark || !is_port_path(mark + 5, strlen(mark + 5)) || strchr(mark + 5, '.'))
                return -EINVAL;
        if (strncmp(port, "usb", 3) == 0)
                length = snprintf(ret, size, "%s", mark + 5);
        else {
                if (n == 0 || port[n] != '-' || port + n == mark)
                        return -EINVAL;
                up = port + n + 1;
                if (!is_port_path(up, (size_t) (mark - up)))
                        return -EINVAL;
                length = snprintf(ret, size, "%.*s.%s", (int) (mark - up), up, mark + 5);
        }
        return length > 0 && (size_t) length < size ? 0 : -EINVAL;
}

int usb_place_make(const char *syspath, bool super_speed, bool hub, const char *peer,
                   char ret[static USB_PLACE_SIZE]) {
        const char *root = find_root_hub(syspath), *last = strrchr(syspath, '/'), *controller, *path;
        char other[USB_PLACE_SIZE], place[USB_PLACE_SIZE];
        int n;

        if (!root || root - 1 == syspath || !last)
                return -EINVAL;
        controller = root - 1;
        while (controller > syspath && controller[-1] != '/')
                controller--;
        path = last + 1 == root ? "0" : port_path(last + 1);
        if (!path || controller == root - 1)
                return -EINVAL;

        if (super_speed && !hub && peer && path_of_port(peer, other, sizeof(other)) >= 0) {
                path = other;
                super_speed = false;
        }
        n = snprintf(place, sizeof(place), "%.*s/%s%s", (int) (root - 1 - controller), controller,
                     super_speed ? "ss" : "", path);
        if (n < 0 || (size_t) n >= sizeof(place))
                return -EINVAL;
        memcpy(ret, place, (size_t) n + 1);
        return 0;
}

int usb_place_peer_link(const char *syspath, char *ret, size_t size) {
        const char *last = strrchr(syspath, '/'), *up, *dot, *port;
        int length, n;

        if (!last || last == syspath || root_hub_length(last + 1) > 0 || !port_path(last + 1))
                return -ENOENT;
        up = last;
        while (up > syspath && up[-1] != '/')
                up--;
        length = (int) (last - up);
        dot = strrchr(last, '.');
        port = dot ? dot + 1 : strrchr(last, '-') + 1;

        /* The hub's one interface: of a root hub "1-0:1.0", of any other "1-1:1.0". */
        if (root_hub_length(up) > 0)
                n = snprintf(ret, size, "../%.*s-0:1.0/%.*s-port%s/peer", length - 3, up + 3, length, up, port);
        else
                n = snprintf(ret, size, "../%.*s:1.0/%.*s-port%s/peer", length, up, length, up, port);
        return n > 0 && (size_t) n < size ? 0 : -ENOENT;
}
