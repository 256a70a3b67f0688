/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/socket.h>

#include "limits.h"
#include "protocol.h"

/* A packet must fit the send buffer whole, and the usual one is smaller than the largest message. Both ends
 * run with CAP_NET_ADMIN, which lifts the limit of an ordinary user; without it the ordinary way may still
 * be enough. */
static bool widen_send_buffer(int fd) {
        int size = (int) WORKER_MESSAGE_MAX + 4096;

        return setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) == 0 ||
               setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0;
}

int message_send(int fd, json_t *message) {
        _cleanup_free_ char *text = NULL;
        bool widened = false;
        size_t length;

        if (!message_type(message))
                return -EINVAL;

        text = json_dumps(message, JSON_COMPACT);
        if (!text)
                return -ENOMEM;
        length = strlen(text);
        if (length > WORKER_MESSAGE_MAX)
                return -EMSGSIZE;

        for (;;) {
                ssize_t n = send(fd, text, length, MSG_NOSIGNAL);

                if (n >= 0)
                        return (size_t) n == length ? 0 : -EMSGSIZE;
                if (errno == EINTR)
                        continue;
                if (errno != EMSGSIZE || widened || !widen_send_buffer(fd))
                        return -errno;
                widened = true;
        }
}

/* Length of the next packet, 0 at the end of the stream. A peer that died with unread packets leaves
 * ECONNRESET behind, once and before what it had still sent: that must not be lost. */
static ssize_t next_length(int fd) {
        bool reset = false;

        for (;;) {
                ssize_t n = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC);

                if (n >= 0)
                        return n;
                if (errno == ECONNRESET && !reset)
                        reset = true;
                else if (errno != EINTR)
                        return -errno;
        }
}

static int parse_message(const char *text, size_t length, json_t **ret) {
        json_error_t error;
        json_t *message;

        message = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
        /* jansson has words for whatever is wrong with a text, but not always for a lack of memory (and in
         * the middle of a token it takes that for a wrong text, which cannot be told apart here). */
        if (!message)
                return isempty(error.text) || json_error_code(&error) == json_error_out_of_memory ? -ENOMEM
                                                                                                  : -EBADMSG;
        if (!message_type(message)) {
                json_decref(message);
                return -EBADMSG;
        }

        *ret = message;
        return 1;
}

int message_receive(int fd, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        ssize_t length, n;
        char byte;

        length = next_length(fd);
        if (length <= 0)
                return (int) length;

        if ((size_t) length > WORKER_MESSAGE_MAX) {
                /* Taken from the queue nevertheless, or it would be found again and again. */
                (void) recv(fd, &byte, sizeof(byte), 0);
                return -EBADMSG;
        }

        text = malloc((size_t) length);
        if (!text)
                return -ENOMEM;
        do
                n = recv(fd, text, (size_t) length, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if (n == 0)
                return 0;

        return parse_message(text, (size_t) n, ret);
}

const char *message_type(json_t *message) {
        return json_string_value(json_object_get(message, "type"));
}

int message_get_string(json_t *message, const char *key, const char **ret) {
        const char *text = json_string_value(json_object_get(message, key));

        if (!text)
                return -EBADMSG;

        *ret = text;
        return 0;
}

int message_get_int(json_t *message, const char *key, int64_t *ret) {
        json_t *number = json_object_get(message, key);

        if (!json_is_integer(number))
                return -EBADMSG;

        *ret = json_integer_value(number);
        return 0;
}
