/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/macro.h"
#include "worker/port.h"

#define AT 0x40u
#define ROOT_PORT 4u
#define DOWNSTREAM 6u
#define ENDPOINT 0u

typedef struct Port {
        unsigned type, slot, hotplug, reports_link, link_up, card;
} Port;

/* A port with its PCI Express capability behind another one. */
static void make_port(const Port *port, uint8_t config[static 256]) {
        unsigned flags = 2 | port->type << 4 | port->slot << 8;

        memset(config, 0, 256);
        memcpy(config, (uint8_t[]){ 0x86, 0x80, 0x0c, 0x00, 0x06, 0x04, 0x10, 0x00 }, 8);
        config[0x34] = 0x80;
        config[0x80] = 0x01;
        config[0x81] = AT;
        config[AT] = 0x10;
        config[AT + 2] = (uint8_t) flags;
        config[AT + 3] = (uint8_t) (flags >> 8);
        config[AT + 0x0e] = (uint8_t) (port->reports_link << 4);
        config[AT + 0x13] = (uint8_t) (port->link_up << 5);
        config[AT + 0x14] = (uint8_t) (port->hotplug << 6);
        config[AT + 0x1a] = (uint8_t) (port->card << 6);
}

static void test_reports(void **state) {
        static const struct {
                Port port;
                PortSign link, card;
        } cases[] = {
                { { ROOT_PORT, 1, 1, 1, 1, 1 }, PORT_YES, PORT_YES },
                { { DOWNSTREAM, 1, 1, 1, 0, 0 }, PORT_NO, PORT_NO },
                { { ROOT_PORT, 1, 1, 1, 0, 1 }, PORT_NO, PORT_YES },
                { { ROOT_PORT, 1, 1, 0, 0, 1 }, PORT_UNKNOWN, PORT_YES },
                { { ROOT_PORT, 1, 0, 1, 1, 0 }, PORT_YES, PORT_UNKNOWN },
                { { ROOT_PORT, 0, 1, 1, 1, 0 }, PORT_YES, PORT_UNKNOWN },
                { { ROOT_PORT, 0, 0, 0, 0, 0 }, PORT_UNKNOWN, PORT_UNKNOWN },
                { { ENDPOINT, 1, 1, 1, 0, 0 }, PORT_UNKNOWN, PORT_UNKNOWN },
        };
        uint8_t config[256];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                PortState seen;

                make_port(&cases[i].port, config);
                seen = port_state(config, sizeof(config));
                assert_int_equal(seen.link, cases[i].link);
                assert_int_equal(seen.card, cases[i].card);
        }
}

/* Nothing is concluded from what is no port; a port that is gone itself has nothing below it. */
static void test_odd(void **state) {
        const Port port = { ROOT_PORT, 1, 1, 1, 0, 0 };
        uint8_t config[256];
        PortState seen;

        make_port(&port, config);
        seen = port_state(config, 64);
        assert_int_equal(seen.link, PORT_UNKNOWN);

        config[0x06] = 0; /* no list of capabilities */
        seen = port_state(config, sizeof(config));
        assert_int_equal(seen.link, PORT_UNKNOWN);

        make_port(&port, config);
        config[0x81] = 0x80; /* a list without an end */
        seen = port_state(config, sizeof(config));
        assert_int_equal(seen.link, PORT_UNKNOWN);

        make_port(&port, config);
        config[0x34] = 0xfc; /* the capability does not fit */
        config[0xfc] = 0x10;
        seen = port_state(config, sizeof(config));
        assert_int_equal(seen.link, PORT_UNKNOWN);

        memset(config, 0xff, sizeof(config));
        seen = port_state(config, sizeof(config));
        assert_int_equal(seen.link, PORT_NO);
        assert_int_equal(seen.card, PORT_NO);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reports),
                cmocka_unit_test(test_odd),
        };

        return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
