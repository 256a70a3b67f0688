/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/socket.h>

#include "lib/limits.h"
#include "lib/protocol.h"
#include "test.h"

typedef struct Pair {
        int a, b;
} Pair;

static void pair_close(Pair *pair) {
        (void) close_fd(pair->a);
        (void) close_fd(pair->b);
}
#define _cleanup_pair_ _cleanup_(pair_close)

static Pair pair_open(void) {
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        return (Pair){ fds[0], fds[1] };
}

static void send_text(int fd, const char *text, size_t length) {
        assert_int_equal(send(fd, text, length, MSG_NOSIGNAL), length);
}

static void test_round_trip(void **state) {
        _cleanup_json_ json_t *sent =
                json_pack("{s:s, s:i, s:[s, n]}", "type", "hello", "pid", 17, "list", "ä");
        _cleanup_json_ json_t *received = NULL;
        _cleanup_pair_ Pair pair = pair_open();
        const char *text = NULL;
        int64_t number = 0;

        assert_int_equal(message_send(pair.a, sent), 0);
        assert_int_equal(message_receive(pair.b, &received), 1);
        assert_true(json_equal(sent, received));
        assert_string_equal(message_type(received), "hello");
        assert_int_equal(message_get_int(received, "pid", &number), 0);
        assert_int_equal(number, 17);
        assert_int_equal(message_get_string(received, "type", &text), 0);
        assert_string_equal(text, "hello");
}

static void test_members(void **state) {
        _cleanup_json_ json_t *message = json_pack("{s:s, s:I, s:f, s:n}", "type", "t", "big",
                                                   (json_int_t) INT64_MIN, "real", 1.5, "null");
        const char *text = "untouched";
        int64_t number = 42;

        assert_int_equal(message_get_int(message, "type", &number), -EBADMSG);
        assert_int_equal(message_get_int(message, "real", &number), -EBADMSG);
        assert_int_equal(message_get_int(message, "null", &number), -EBADMSG);
        assert_int_equal(message_get_int(message, "none", &number), -EBADMSG);
        assert_int_equal(number, 42);
        assert_int_equal(message_get_int(message, "big", &number), 0);
        assert_true(number == INT64_MIN);

        assert_int_equal(message_get_string(message, "big", &text), -EBADMSG);
        assert_int_equal(message_get_string(message, "none", &text), -EBADMSG);
        assert_int_equal(message_get_string(NULL, "none", &text), -EBADMSG);
        assert_string_equal(text, "untouched");
        assert_null(message_type(NULL));
}

static void test_order(void **state) {
        _cleanup_pair_ Pair pair = pair_open();
        json_t *message;
        int64_t number;

        for (int i = 0; i < 5; i++) {
                message = json_pack("{s:s, s:i}", "type", "go", "step", i);
                assert_int_equal(message_send(pair.a, message), 0);
                json_decref(message);
        }
        for (int i = 0; i < 5; i++) {
                assert_int_equal(message_receive(pair.b, &message), 1);
                assert_int_equal(message_get_int(message, "step", &number), 0);
                assert_int_equal(number, i);
                json_decref(message);
        }
        assert_int_equal(message_receive(pair.b, &message), -EAGAIN);
}

static void test_refused_to_send(void **state) {
        _cleanup_json_ json_t *untyped = json_pack("{s:i}", "type", 1), *array = json_array(),
                              *none = json_object();
        _cleanup_pair_ Pair pair = pair_open();
        json_t *received;

        assert_int_equal(message_send(pair.a, untyped), -EINVAL);
        assert_int_equal(message_send(pair.a, array), -EINVAL);
        assert_int_equal(message_send(pair.a, none), -EINVAL);
        assert_int_equal(message_send(pair.a, NULL), -EINVAL);
        assert_int_equal(message_receive(pair.b, &received), -EAGAIN);
}

/* A message whose JSON text is `length` bytes long. */
static json_t *message_of_length(size_t length) {
        _cleanup_free_ char *filler = repeat('x', length - strlen("{\"type\":\"log\",\"text\":\"\"}"));
        json_t *message = json_pack("{s:s, s:s}", "type", "log", "text", filler);

        assert_non_null(message);
        return message;
}

static void test_largest(void **state) {
        _cleanup_json_ json_t *sent = message_of_length(WORKER_MESSAGE_MAX), *received = NULL;
        _cleanup_json_ json_t *larger = message_of_length(WORKER_MESSAGE_MAX + 1);
        _cleanup_pair_ Pair pair = pair_open();

        assert_int_equal(message_send(pair.a, larger), -EMSGSIZE);
        if (geteuid() != 0)
                skip(); /* the send buffer of an ordinary user is bounded */
        assert_int_equal(message_send(pair.a, sent), 0);
        assert_int_equal(message_receive(pair.b, &received), 1);
        assert_true(json_equal(sent, received));
}

static void test_end(void **state) {
        _cleanup_pair_ Pair pair = pair_open();
        _cleanup_json_ json_t *message = json_pack("{s:s}", "type", "done");
        json_t *received;

        assert_int_equal(message_send(pair.b, message), 0);
        pair.b = close_fd(pair.b);

        assert_int_equal(message_receive(pair.a, &received), 1);
        json_decref(received);
        assert_int_equal(message_receive(pair.a, &received), 0);
        assert_int_equal(message_receive(pair.a, &received), 0);
        assert_int_equal(message_send(pair.a, message), -EPIPE); /* and no SIGPIPE */
}

/* A worker that dies with unread requests resets the connection. What it reported before must still be
 * heard. */
static void test_reset(void **state) {
        _cleanup_pair_ Pair pair = pair_open();
        _cleanup_json_ json_t *message = json_pack("{s:s}", "type", "after");
        json_t *received;

        assert_int_equal(message_send(pair.a, message), 0); /* nobody will read it */
        assert_int_equal(message_send(pair.b, message), 0);
        pair.b = close_fd(pair.b);

        assert_int_equal(message_receive(pair.a, &received), 1);
        assert_string_equal(message_type(received), "after");
        json_decref(received);
        assert_int_equal(message_receive(pair.a, &received), 0);
}

static void test_hostile(void **state) {
        static const char *const texts[] = {
                "{",
                "x",
                "[]",
                "null",
                "\"type\"",
                "{}",
                "{\"type\": 1}",
                "{\"type\": null}",
                "{\"type\": \"a\", \"type\": \"b\"}",
                "{\"type\": \"a\"} {\"type\": \"b\"}",
                "{\"type\": \"a\\u0000b\"}",
                "{\"type\": \"\xff\"}",
                "{\"type\": \"\\ud800\"}",
                "{\"type\": \"a\", \"n\": 99999999999999999999}",
                "{\"type\": \"a\", \"n\": 1e999}",
                "{'type': 'a'}",
                "\xef\xbb\xbf{\"type\": \"a\"}",
        };
        _cleanup_pair_ Pair pair = pair_open();
        _cleanup_json_ json_t *good = json_pack("{s:s}", "type", "good");
        json_t *received = good;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                send_text(pair.a, texts[i], strlen(texts[i]));
                assert_int_equal(message_receive(pair.b, &received), -EBADMSG);
                assert_ptr_equal(received, good); /* untouched */
        }
        send_text(pair.a, "{\"type\": \"a\"}\0x", strlen("{\"type\": \"a\"}") + 2);
        assert_int_equal(message_receive(pair.b, &received), -EBADMSG);

        /* The stream goes on after each. */
        assert_int_equal(message_send(pair.a, good), 0);
        assert_int_equal(message_receive(pair.b, &received), 1);
        json_decref(received);
}

/* Nested so deep that a careless reader would run out of stack. */
static void test_nested(void **state) {
        enum { DEPTH = 50000 };
        static const char head[] = "{\"type\":\"a\",\"n\":";
        _cleanup_free_ char *open = repeat('[', DEPTH), *close = repeat(']', DEPTH), *text = NULL;
        _cleanup_pair_ Pair pair = pair_open();
        json_t *received;
        int n;

        n = asprintf(&text, "%s%s%s}", head, open, close);
        assert_true(n > DEPTH);
        send_text(pair.a, text, (size_t) n);
        assert_int_equal(message_receive(pair.b, &received), -EBADMSG);
}

static void test_too_large(void **state) {
        _cleanup_free_ char *text = repeat(' ', WORKER_MESSAGE_MAX + 1);
        _cleanup_json_ json_t *good = json_pack("{s:s}", "type", "good");
        _cleanup_pair_ Pair pair = pair_open();
        int size = (int) (2 * WORKER_MESSAGE_MAX);
        json_t *received;

        if (setsockopt(pair.a, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
                skip(); /* only root can send so much */

        memcpy(text, "{\"type\":\"a\"}", strlen("{\"type\":\"a\"}")); /* valid, had it fit */
        send_text(pair.a, text, WORKER_MESSAGE_MAX + 1);
        assert_int_equal(message_send(pair.a, good), 0);
        assert_int_equal(message_receive(pair.b, &received), -EBADMSG);
        assert_int_equal(message_receive(pair.b, &received), 1);
        assert_string_equal(message_type(received), "good");
        json_decref(received);
}

static void test_bad_fd(void **state) {
        _cleanup_json_ json_t *message = json_pack("{s:s}", "type", "a");
        json_t *received;

        assert_int_equal(message_send(-1, message), -EBADF);
        assert_int_equal(message_receive(-1, &received), -EBADF);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip), cmocka_unit_test(test_members),
                cmocka_unit_test(test_order),      cmocka_unit_test(test_refused_to_send),
                cmocka_unit_test(test_largest),    cmocka_unit_test(test_end),
                cmocka_unit_test(test_reset),      cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_nested),     cmocka_unit_test(test_too_large),
                cmocka_unit_test(test_bad_fd),
        };

        return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
