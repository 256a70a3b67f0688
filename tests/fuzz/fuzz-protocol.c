/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "lib/protocol.h"
#include "lib/value-util.h"

/* Any bytes as a packet of the worker's protocol. A message that is taken must arrive the same when it is
 * sent on; its members go through what reads members. */

static void read_members(json_t *message) {
        const char *key, *text;
        int64_t number;
        json_t *member;

        json_object_foreach(message, key, member) {
                static const uint32_t types[] = { PT_BOOL,   PT_INT32,  PT_UINT32, PT_INT64,
                                                  PT_UINT64, PT_STRING, PT_STRV };

                assert((message_get_string(message, key, &text) == 0) == json_is_string(member));
                assert((message_get_int(message, key, &number) == 0) == json_is_integer(member));
                for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                        _cleanup_fault_ Fault fault = { 0 };
                        _cleanup_value_ PtValue value = { 0 };
                        int r = value_from_json(types[i], member, key, &value, &fault);

                        assert((r < 0) == (fault.code != FAULT_NONE));
                        assert(value.type == (r < 0 ? (uint32_t) PT_NONE : types[i]));
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_json_ json_t *message = NULL, *again = NULL;
        _cleanup_close_ int a = -EBADF, b = -EBADF;
        int fds[2], r;

        assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
        a = fds[0];
        b = fds[1];

        if (send(a, data, size, MSG_NOSIGNAL) != (ssize_t) size)
                return 0; /* larger than the send buffer */
        r = message_receive(b, &message);
        if (size == 0)
                assert(r == 0);
        else
                assert(r == 1 || r == -EBADMSG);
        assert((r == 1) == (message != NULL));
        if (r != 1)
                return 0;

        assert(message_type(message));
        read_members(message);
        r = message_send(b, message);
        if (r == -EMSGSIZE)
                return 0; /* escapes made it longer than what may be sent */
        assert(r == 0);
        assert(message_receive(a, &again) == 1);
        assert(json_equal(message, again));
        return 0;
}
