/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/link-watch.h"
#include "lib/macro.h"

typedef struct Rig {
        sd_event *event;
        LinkWatch *watch;
        char heard[512];
        unsigned n;
} Rig;

static void on_changed(void *userdata, const char *sysname) {
        Rig *rig = userdata;
        size_t length = strlen(rig->heard);

        (void) snprintf(rig->heard + length, sizeof(rig->heard) - length, "%s ", sysname ?: "all");
        rig->n++;
        (void) sd_event_exit(rig->event, 0);
}

static int setup(void **state) {
        static Rig rig;

        rig = (Rig) { 0 };
        assert_true(sd_event_new(&rig.event) >= 0);
        /* Messages come from the test alone. */
        if (link_watch_new(rig.event, on_changed, &rig, &rig.watch) < 0)
                return -1;
        *state = &rig;
        return 0;
}

static int teardown(void **state) {
        Rig *rig = *state;

        assert_null(link_watch_free(rig->watch));
        assert_null(link_watch_free(NULL));
        sd_event_unref(rig->event);
        return 0;
}

typedef struct Datagram {
        _Alignas(struct nlmsghdr) char bytes[65536];
        size_t size;
} Datagram;

static void *append(Datagram *d, size_t length) {
        void *place = d->bytes + d->size;

        assert_true(d->size + length <= sizeof(d->bytes));
        memset(place, 0, NLMSG_ALIGN(length));
        d->size += NLMSG_ALIGN(length);
        return place;
}

static void put_text(Datagram *d, unsigned short type, const char *text, size_t length) {
        struct rtattr *a = append(d, RTA_LENGTH(length));

        a->rta_type = type;
        a->rta_len = (unsigned short) RTA_LENGTH(length);
        memcpy(RTA_DATA(a), text, length);
}

/* `bus` or `parent` NULL: left out, as for a bridge. */
static void put_link(Datagram *d, unsigned short type, const char *parent, const char *bus) {
        size_t begin = d->size;
        struct nlmsghdr *header = append(d, NLMSG_LENGTH(sizeof(struct ifinfomsg)));

        header->nlmsg_type = type;
        put_text(d, IFLA_IFNAME, "eth0", sizeof("eth0"));
        if (parent)
                put_text(d, IFLA_PARENT_DEV_NAME, parent, strlen(parent) + 1);
        if (bus)
                put_text(d, IFLA_PARENT_DEV_BUS_NAME, bus, strlen(bus) + 1);
        header->nlmsg_len = (unsigned) (d->size - begin);
}

/* What is heard when the pause is over. */
static const char *heard(Rig *rig) {
        assert_true(sd_event_loop(rig->event) >= 0);
        return rig->heard;
}

static void test_once_for_all(void **state) {
        Datagram d = { .size = 0 };
        Rig *rig = *state;

        put_link(&d, RTM_NEWLINK, "0000:08:00.0", "pci");
        put_link(&d, RTM_NEWLINK, "0000:08:00.0", "pci");
        link_watch_take(rig->watch, d.bytes, d.size);
        link_watch_take(rig->watch, d.bytes, d.size);
        assert_string_equal(rig->heard, "");
        assert_string_equal(heard(rig), "0000:08:00.0 ");
        assert_int_equal(rig->n, 1);
}

static void test_others(void **state) {
        Datagram d = { .size = 0 };
        Rig *rig = *state;

        put_link(&d, RTM_NEWLINK, NULL, NULL);
        put_link(&d, RTM_NEWLINK, "netdevsim1", "netdevsim");
        put_link(&d, RTM_NEWADDR, "0000:09:00.0", "pci");
        put_link(&d, RTM_NEWLINK, "0000:0a:00.0", NULL);
        put_link(&d, RTM_DELLINK, "0000:0b:00.0", "pci");
        link_watch_take(rig->watch, d.bytes, d.size);
        assert_string_equal(heard(rig), "0000:0b:00.0 ");
}

static void test_many(void **state) {
        Datagram d = { .size = 0 };
        Rig *rig = *state;
        char name[32];

        for (unsigned i = 0; i < 65; i++) {
                (void) snprintf(name, sizeof(name), "0000:%02x:00.0", i);
                put_link(&d, RTM_NEWLINK, name, "pci");
        }
        link_watch_take(rig->watch, d.bytes, d.size);
        assert_string_equal(heard(rig), "all ");
}

static void test_damaged(void **state) {
        Datagram d = { .size = 0 };
        Rig *rig = *state;
        struct nlmsghdr *header;

        put_link(&d, RTM_NEWLINK, "0000:08:00.0", "pci");
        header = (struct nlmsghdr *) d.bytes;
        /* Cut off at each byte: nothing beyond the end is read (the sanitizers look). */
        for (size_t size = 0; size < d.size; size++)
                link_watch_take(rig->watch, d.bytes, size);
        assert_string_equal(rig->heard, "");
        header->nlmsg_len = NLMSG_LENGTH(0);
        link_watch_take(rig->watch, d.bytes, d.size);
        /* A text without an end is none. */
        d.size = 0;
        header = append(&d, NLMSG_LENGTH(sizeof(struct ifinfomsg)));
        header->nlmsg_type = RTM_NEWLINK;
        put_text(&d, IFLA_PARENT_DEV_BUS_NAME, "pci", 4);
        put_text(&d, IFLA_PARENT_DEV_NAME, "0000:0c:00.0", 12);
        header->nlmsg_len = (unsigned) d.size;
        link_watch_take(rig->watch, d.bytes, d.size);
        d.size = 0;
        put_link(&d, RTM_NEWLINK, "0000:0d:00.0", "pci");
        link_watch_take(rig->watch, d.bytes, d.size);
        assert_string_equal(heard(rig), "0000:0d:00.0 ");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_once_for_all, setup, teardown),
                cmocka_unit_test_setup_teardown(test_others, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
