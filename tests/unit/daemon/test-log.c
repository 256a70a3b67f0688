/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/lib/test.h"

#include <endian.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "daemon/log-journal.h"
#include "daemon/log.h"

#define DATAGRAM_MAX (256u * 1024u)

/* A journal of our own and a standard error that we can read. */
typedef struct Fixture {
        char directory[32];
        char socket_path[64];
        int journal;
        int saved_stderr;
        int stderr_pipe[2];
        char datagram[DATAGRAM_MAX + 1];
        size_t length;
} Fixture;

static void listen_as_journal(Fixture *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        strcpy(address.sun_path, f->socket_path);
        f->journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(f->journal >= 0);
        assert_int_equal(bind(f->journal, (struct sockaddr *) &address, sizeof(address)), 0);
}

/* As systemd does it: the variable names the file that standard error is. */
static void make_stderr_a_journal_stream(const Fixture *f) {
        char text[64];
        struct stat st;

        assert_int_equal(fstat(f->stderr_pipe[1], &st), 0);
        snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long) st.st_dev,
                 (unsigned long long) st.st_ino);
        assert_int_equal(setenv("JOURNAL_STREAM", text, 1), 0);
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        strcpy(f->directory, "/tmp/test-log-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        snprintf(f->socket_path, sizeof(f->socket_path), "%s/socket", f->directory);
        f->journal = -EBADF;

        assert_int_equal(pipe2(f->stderr_pipe, O_CLOEXEC), 0);
        assert_int_equal(fcntl(f->stderr_pipe[0], F_SETFL, O_NONBLOCK), 0);
        f->saved_stderr = dup(STDERR_FILENO);
        assert_int_equal(dup2(f->stderr_pipe[1], STDERR_FILENO), STDERR_FILENO);
        assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);

        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        log_close();
        assert_int_equal(dup2(f->saved_stderr, STDERR_FILENO), STDERR_FILENO);
        close(f->saved_stderr);
        close(f->stderr_pipe[0]);
        close(f->stderr_pipe[1]);
        close_fd(f->journal);
        unlink(f->socket_path);
        assert_int_equal(rmdir(f->directory), 0);
        free(f);
        return 0;
}

static bool read_datagram(Fixture *f) {
        ssize_t n = recv(f->journal, f->datagram, DATAGRAM_MAX, MSG_TRUNC);

        if (n < 0)
                return false;
        assert_true((size_t) n <= DATAGRAM_MAX);
        f->length = (size_t) n;
        f->datagram[n] = '\0';
        return true;
}

/* The value of a field as the journal would read it: "KEY=value\n" or "KEY\n", length, value, "\n". NULL
 * when the entry does not have it. Fails when the entry is malformed anywhere. */
static char *field(const Fixture *f, const char *key) {
        const char *p = f->datagram, *end = f->datagram + f->length;
        char *found = NULL;

        while (p < end) {
                size_t key_length = strcspn(p, "=\n");
                const char *value;
                uint64_t length;

                if (p[key_length] == '=') {
                        value = p + key_length + 1;
                        length = (size_t) ((char *) memchr(value, '\n', (size_t) (end - value)) - value);
                } else {
                        memcpy(&length, p + key_length + 1, sizeof(length));
                        length = le64toh(length);
                        value = p + key_length + 1 + sizeof(length);
                }
                assert_true(length < (size_t) (end - value));
                assert_int_equal(value[length], '\n');
                if (strlen(key) == key_length && memcmp(p, key, key_length) == 0) {
                        assert_null(found);
                        found = strndup(value, length);
                }
                p = value + length + 1;
        }
        assert_ptr_equal(p, end);

        return found;
}

static void assert_field(const Fixture *f, const char *key, const char *value) {
        _cleanup_free_ char *found = field(f, key);

        if (!value)
                assert_null(found);
        else {
                assert_non_null(found);
                assert_string_equal(found, value);
        }
}

static size_t read_stderr(const Fixture *f, char *buffer, size_t size) {
        ssize_t n = read(f->stderr_pipe[0], buffer, size - 1);

        buffer[n < 0 ? 0 : n] = '\0';
        return n < 0 ? 0 : (size_t) n;
}

static double now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void test_entry(void **state) {
        Fixture *f = *state;
        char text[512];

        listen_as_journal(f);
        make_stderr_a_journal_stream(f);
        log_open_at("passthroughd", LOG_INFO, f->socket_path);

        errno = E2BIG;
        log_message(LOG_WARNING, LOG_EVENT_DEVICE_LOST,
                    log_fields("DEVICE", "pci-0000-3b-00-0", "WHY", "a\nb\n"), "device %s is %s",
                    "0000:3b:00.0", "gone");
        assert_int_equal(errno, E2BIG);

        assert_true(read_datagram(f));
        assert_field(f, "MESSAGE", "device 0000:3b:00.0 is gone");
        assert_field(f, "PRIORITY", "4");
        assert_field(f, "SYSLOG_IDENTIFIER", "passthroughd");
        assert_field(f, "SYSLOG_FACILITY", "3");
        assert_field(f, "MESSAGE_ID", log_event_id(LOG_EVENT_DEVICE_LOST));
        assert_field(f, "DEVICE", "pci-0000-3b-00-0");
        assert_field(f, "WHY", "a\nb\n");
        assert_field(f, "DROPPED_MESSAGES", NULL);
        assert_int_equal(log_dropped(), 0);
        /* It is the journal already: nothing goes out twice. */
        assert_int_equal(read_stderr(f, text, sizeof(text)), 0);

        log_plain(LOG_INFO, "plain");
        assert_true(read_datagram(f));
        assert_field(f, "MESSAGE", "plain");
        assert_field(f, "MESSAGE_ID", NULL);
}

static void test_levels(void **state) {
        Fixture *f = *state;

        listen_as_journal(f);
        log_open_at("x", LOG_NOTICE, f->socket_path);
        log_plain(LOG_INFO, "not this");
        assert_false(read_datagram(f));
        log_plain(LOG_NOTICE, "this");
        assert_true(read_datagram(f));

        log_set_max_level(LOG_DEBUG);
        log_plain(LOG_DEBUG, "and this");
        assert_true(read_datagram(f));
        assert_field(f, "PRIORITY", "7");
        assert_int_equal(log_dropped(), 0);
}

/* Names that journald keeps for itself, or would refuse the entry for, do not go out; nor do fields
 * without a value. */
static void test_bad_fields(void **state) {
        Fixture *f = *state;

        listen_as_journal(f);
        log_open_at("x", LOG_INFO, f->socket_path);
        log_message(LOG_INFO, LOG_EVENT_NONE,
                    log_fields("_PID", "1", "lower", "2", "1A", "3", "A=B", "4", "", "5", "GOOD_1", "6"),
                    "m");
        assert_true(read_datagram(f));
        assert_field(f, "_PID", NULL);
        assert_field(f, "lower", NULL);
        assert_field(f, "1A", NULL);
        assert_field(f, "A", NULL);
        assert_field(f, "", NULL);
        assert_field(f, "GOOD_1", "6");

        log_message(LOG_INFO, LOG_EVENT_NONE, log_fields("FIRST", "1", "EMPTY", NULL, "AFTER", "2"), "m");
        assert_true(read_datagram(f));
        assert_field(f, "FIRST", "1");
        assert_field(f, "AFTER", NULL);
}

static void test_long_values_are_cut(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *ascii = repeat('a', MEGABYTE), *umlauts = malloc(20001), *value = NULL,
                            *message = NULL;

        for (size_t i = 0; i < 20000; i += 2)
                memcpy(umlauts + i, "ä", 2);
        umlauts[20000] = '\0';

        listen_as_journal(f);
        make_stderr_a_journal_stream(f);
        log_open_at("x", LOG_INFO, f->socket_path);
        log_message(LOG_INFO, LOG_EVENT_NONE, log_fields("VALUE", umlauts), "%s", ascii);
        assert_true(read_datagram(f));

        message = field(f, "MESSAGE");
        assert_non_null(message);
        assert_int_equal(strlen(message), JOURNAL_VALUE_MAX_BYTES);
        assert_string_equal(message + strlen(message) - strlen("a…"), "a…");
        value = field(f, "VALUE");
        assert_non_null(value);
        assert_true(strlen(value) <= JOURNAL_VALUE_MAX_BYTES);
        assert_string_equal(value + strlen(value) - strlen("ä…"), "ä…");
        assert_int_equal(log_dropped(), 0);
}

static void test_most_fields(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *large = repeat('l', JOURNAL_VALUE_MAX_BYTES);
        const char *fields[2 * 40 + 1] = { NULL };
        char names[40][8];

        for (size_t i = 0; i < 40; i++) {
                snprintf(names[i], sizeof(names[i]), "F%zu", i);
                fields[2 * i] = names[i];
                fields[2 * i + 1] = large;
        }

        listen_as_journal(f);
        log_open_at("x", LOG_INFO, f->socket_path);
        log_message(LOG_INFO, LOG_EVENT_NONE, fields, "m");
        assert_true(read_datagram(f));
        assert_field(f, "MESSAGE", "m");
        assert_field(f, "F19", large);
        assert_field(f, "F20", NULL);
}

/* journald hangs: nothing waits for it, what is lost is counted, and the count goes out as soon as
 * anything does. */
static void test_reader_that_never_reads(void **state) {
        Fixture *f = *state;
        size_t received = 0;
        uint64_t dropped;
        double begin;
        char text[32];

        listen_as_journal(f);
        make_stderr_a_journal_stream(f);
        log_open_at("x", LOG_INFO, f->socket_path);

        begin = now();
        for (int i = 0; i < 5000; i++)
                log_plain(LOG_INFO, "message %d", i);
        assert_true(now() - begin < 2);
        dropped = log_dropped();
        assert_true(dropped > 0 && dropped < 5000);

        while (read_datagram(f))
                received++;
        assert_int_equal(received + dropped, 5000);

        log_plain(LOG_INFO, "again");
        assert_true(read_datagram(f));
        snprintf(text, sizeof(text), "%llu", (unsigned long long) dropped);
        assert_field(f, "MESSAGE", "again");
        assert_field(f, "DROPPED_MESSAGES", text);

        log_plain(LOG_INFO, "once more");
        assert_true(read_datagram(f));
        assert_field(f, "DROPPED_MESSAGES", NULL);
        assert_int_equal(log_dropped(), dropped);
}

/* journald is restarted: its socket is another one. */
static void test_restarted_journal(void **state) {
        Fixture *f = *state;

        listen_as_journal(f);
        make_stderr_a_journal_stream(f);
        log_open_at("x", LOG_INFO, f->socket_path);
        log_plain(LOG_INFO, "first");
        assert_true(read_datagram(f));

        close(f->journal);
        log_plain(LOG_INFO, "to nobody");
        assert_int_equal(unlink(f->socket_path), 0);
        log_plain(LOG_INFO, "to nowhere");
        assert_int_equal(log_dropped(), 2);

        listen_as_journal(f);
        log_plain(LOG_INFO, "second");
        assert_true(read_datagram(f));
        assert_field(f, "MESSAGE", "second");
        assert_field(f, "DROPPED_MESSAGES", "2");
}

static void test_standard_error(void **state) {
        Fixture *f = *state;
        char text[512];

        log_open_at("passthroughd", LOG_INFO, f->socket_path);
        log_message(LOG_ERR, LOG_EVENT_NONE, log_fields("DEVICE", "x"),
                    "a name \x1b[2J with\nmore \x7f of it");
        read_stderr(f, text, sizeof(text));
        assert_string_equal(text, "passthroughd: error: a name  [2J with more   of it\n");
        /* Where no journal runs, nothing is lost. */
        assert_int_equal(log_dropped(), 0);

        /* A file that the variable does not mean is no journal stream. */
        assert_int_equal(setenv("JOURNAL_STREAM", "1:2", 1), 0);
        log_open_at("passthroughd", LOG_INFO, f->socket_path);
        log_plain(LOG_INFO, "there");
        assert_int_equal(read_stderr(f, text, sizeof(text)), strlen("passthroughd: info: there\n"));
        assert_int_equal(setenv("JOURNAL_STREAM", "nonsense", 1), 0);
        log_open_at("passthroughd", LOG_INFO, f->socket_path);
        log_plain(LOG_INFO, "there");
        assert_int_equal(read_stderr(f, text, sizeof(text)), strlen("passthroughd: info: there\n"));
}

/* Both go: the journal has the fields, the terminal the line. */
static void test_journal_and_terminal(void **state) {
        Fixture *f = *state;
        char text[512];

        listen_as_journal(f);
        log_open_at("x", LOG_INFO, f->socket_path);
        log_plain(LOG_WARNING, "both");
        assert_true(read_datagram(f));
        read_stderr(f, text, sizeof(text));
        assert_string_equal(text, "x: warning: both\n");
}

static void test_full_pipe_does_not_block(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *line = repeat('x', 3000);
        char text[65536];
        double begin;

        log_open_at("x", LOG_INFO, f->socket_path);
        begin = now();
        for (int i = 0; i < 1000; i++)
                log_plain(LOG_INFO, "%s", line);
        assert_true(now() - begin < 2);
        assert_true(log_dropped() > 900);
        assert_true(read_stderr(f, text, sizeof(text)) > 3000);
}

static void test_closed_standard_error(void **state) {
        Fixture *f = *state;

        close(f->stderr_pipe[0]);
        f->stderr_pipe[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        log_open_at("x", LOG_INFO, f->socket_path);
        log_plain(LOG_INFO, "to nobody"); /* and no SIGPIPE */
        assert_int_equal(log_dropped(), 1);
}

static void *log_much(void *userdata) {
        for (int i = 0; i < 2000; i++)
                log_message(LOG_INFO, LOG_EVENT_STORE, log_fields("THREAD", (const char *) userdata),
                            "message %d", i);
        return NULL;
}

static void test_threads(void **state) {
        static char names[2][2] = { "1", "2" };
        Fixture *f = *state;
        pthread_t threads[2];
        uint64_t received = 0;

        listen_as_journal(f);
        make_stderr_a_journal_stream(f);
        log_open_at("x", LOG_INFO, f->socket_path);
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, log_much, names[i]), 0);
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        while (read_datagram(f)) {
                _cleanup_free_ char *message = field(f, "MESSAGE");

                assert_non_null(startswith(message, "message "));
                received++;
        }
        assert_int_equal(received + log_dropped(), 4000);
}

static void test_event_ids(void **state) {
        assert_null(log_event_id(LOG_EVENT_NONE));
        assert_null(log_event_id(_LOG_EVENT_MAX));
        assert_null(log_event_to_string(_LOG_EVENT_MAX));
        assert_int_equal((int) log_event_from_string("no such event"), -EINVAL);
        assert_int_equal((int) log_event_from_string(NULL), -EINVAL);

        for (int i = 0; i < _LOG_EVENT_MAX; i++)
                assert_int_equal(log_event_from_string(log_event_to_string((LogEvent) i)), i);
        for (int i = LOG_EVENT_NONE + 1; i < _LOG_EVENT_MAX; i++) {
                const char *id = log_event_id((LogEvent) i);

                assert_non_null(id);
                assert_int_equal(strlen(id), 32);
                assert_int_equal(strspn(id, "0123456789abcdef"), 32);
                for (int k = LOG_EVENT_NONE + 1; k < i; k++)
                        assert_string_not_equal(id, log_event_id((LogEvent) k));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_entry, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bad_fields, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_long_values_are_cut, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_most_fields, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_reader_that_never_reads, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_restarted_journal, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_standard_error, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_journal_and_terminal, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full_pipe_does_not_block, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_closed_standard_error, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
                cmocka_unit_test(test_event_ids),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
