/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#include "lib/limits.h"
#include "lib/parse.h"
#include "log-journal.h"

/* More than an entry carries, so that what is too long is cut and marked in one place. */
#define MESSAGE_MAX_BYTES (JOURNAL_VALUE_MAX_BYTES + 2)
/* What poll() calls writable takes this much without waiting: a pipe has a page free then. */
#define STDERR_LINE_MAX_BYTES 4096u
#define NUMBER_SIZE 24u

static const struct {
        const char *id;
        const char *name;
} events[_LOG_EVENT_MAX] = {
        [LOG_EVENT_NONE] = { NULL, "none" },
        [LOG_EVENT_STARTED] = { "19e893249e924dec8e28e511e7ab77ec", "started" },
        [LOG_EVENT_STOPPED] = { "9284bc31e29840a9a9cb719bf875d17c", "stopped" },
        [LOG_EVENT_MODULE_LOADED] = { "ae9929edde8044158a7f76033d34953d", "module-loaded" },
        [LOG_EVENT_MODULE_REFUSED] = { "5efea8cf51804f759f2c4fdc8a6ba684", "module-refused" },
        [LOG_EVENT_GROUP] = { "b8a4bbbeff09494ba450788c19a01969", "group" },
        [LOG_EVENT_RULE] = { "06ec9848d3ed4d3cac229ee503ec0886", "rule" },
        [LOG_EVENT_ALLOCATED] = { "6168a5c6737c4da6808a9464ee53e402", "allocated" },
        [LOG_EVENT_ACTIVATED] = { "0693e364817a4e45b2c88908bdee5454", "activated" },
        [LOG_EVENT_DEACTIVATED] = { "217b9a986666408381c702b41050301f", "deactivated" },
        [LOG_EVENT_RELEASED] = { "61048e4387e74341a5f6c4afe9138a91", "released" },
        [LOG_EVENT_JOB_FAILED] = { "75d7f9deada94b908622f75b0d9bb8c7", "job-failed" },
        [LOG_EVENT_UNDO_FAILED] = { "c38b70fc1a154b2a8bb7df67c3c73543", "undo-failed" },
        [LOG_EVENT_DEVICE_LOST] = { "9df8139894d3483db44519f15fb73c0f", "device-lost" },
        [LOG_EVENT_DRIVER_STUCK] = { "45e6edc1bac9408aadc7639afedf76d8", "driver-stuck" },
        [LOG_EVENT_RECONCILED] = { "fc1bd9404f3c4dc9837921b98498f497", "reconciled" },
        [LOG_EVENT_STORE] = { "6495d91366d14860be5beba3309bcfdc", "store" },
        [LOG_EVENT_DENIED] = { "b2fedefb06424fa9b8d58e15dffe5b4e", "denied" },
        [LOG_EVENT_OVERFLOW] = { "2b893b473465496291669b36fb243019", "overflow" },
        [LOG_EVENT_QUARANTINE] = { "5e97db9a54bb425fa84a1744133286a6", "quarantine" },
        [LOG_EVENT_OVERRIDDEN] = { "dd141816fe4045a283ae37bd08b409ce", "overridden" },
};

static const char *const priority_words[] = {
        [LOG_EMERG] = "emergency", [LOG_ALERT] = "alert",   [LOG_CRIT] = "critical", [LOG_ERR] = "error",
        [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info",     [LOG_DEBUG] = "debug",
};

/* Set by log_open() before there is a second thread; only the counters and the level change after. */
static struct {
        int fd;
        const char *identifier;
        const char *journal_socket;
        bool stderr_is_journal;
        atomic_int max_level;
        atomic_uint_least64_t dropped;    /* since log_open() */
        atomic_uint_least64_t unreported; /* of them, those that no entry has told of yet */
} logger = { .fd = -EBADF, .max_level = LOG_INFO };

/* Names of devices come from the hardware: nothing of them may steer a terminal or look like a second
 * line. */
static void clean_line(char *line) {
        for (char *p = line; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        *p = ' ';
}

#define KEPT_LINE_MAX_BYTES 1024u

typedef struct KeptLine {
        uint64_t realtime_usec;
        int priority;
        char *message;
} KeptLine;

/* A ring; `n` counts all that were ever kept. */
static struct {
        pthread_mutex_t mutex;
        KeptLine lines[LOG_KEPT_MAX];
        uint64_t n;
} kept = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void keep_line(int priority, const char *message) {
        char *copy = strndup(message, KEPT_LINE_MAX_BYTES);
        struct timespec ts;
        KeptLine *line;

        if (!copy)
                return;
        clean_line(copy);
        clock_gettime(CLOCK_REALTIME, &ts);
        pthread_mutex_lock(&kept.mutex);
        line = &kept.lines[kept.n++ % LOG_KEPT_MAX];
        free(line->message);
        *line = (KeptLine){ (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u, priority, copy };
        pthread_mutex_unlock(&kept.mutex);
}

static void forget_lines(void) {
        pthread_mutex_lock(&kept.mutex);
        for (size_t i = 0; i < LOG_KEPT_MAX; i++) {
                free(kept.lines[i].message);
                kept.lines[i].message = NULL;
        }
        kept.n = 0;
        pthread_mutex_unlock(&kept.mutex);
}

void log_each_kept(void (*each)(void *userdata, uint64_t realtime_usec, int priority, const char *message), void *userdata) {
        pthread_mutex_lock(&kept.mutex);
        for (uint64_t i = kept.n > LOG_KEPT_MAX ? kept.n - LOG_KEPT_MAX : 0; i < kept.n; i++) {
                const KeptLine *line = &kept.lines[i % LOG_KEPT_MAX];

                each(userdata, line->realtime_usec, line->priority, line->message);
        }
        pthread_mutex_unlock(&kept.mutex);
}

const char *log_event_id(LogEvent event) {
        return (int) event >= 0 && event < _LOG_EVENT_MAX ? events[event].id : NULL;
}

const char *log_event_to_string(LogEvent event) {
        return (int) event >= 0 && event < _LOG_EVENT_MAX ? events[event].name : NULL;
}

LogEvent log_event_from_string(const char *text) {
        for (size_t i = 0; text && i < ELEMENTSOF(events); i++)
                if (streq(events[i].name, text))
                        return (LogEvent) i;

        return (LogEvent) -EINVAL;
}

/* systemd states in JOURNAL_STREAM which file its stderr was; it may have been redirected since. */
static bool stderr_is_journal(void) {
        const char *text = secure_getenv("JOURNAL_STREAM");
        char device[NUMBER_SIZE];
        uint64_t dev, ino;
        const char *colon;
        struct stat st;

        colon = text ? strchr(text, ':') : NULL;
        if (!colon || (size_t) (colon - text) >= sizeof(device))
                return false;
        memcpy(device, text, (size_t) (colon - text));
        device[colon - text] = '\0';

        return parse_uint64(device, &dev) >= 0 && parse_uint64(colon + 1, &ino) >= 0 &&
               fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_open(const char *identifier, int max_level) {
        log_open_at(identifier, max_level, JOURNAL_SOCKET);
}

void log_open_at(const char *identifier, int max_level, const char *journal_socket) {
        log_close();
        logger.fd = journal_open();
        logger.identifier = identifier;
        logger.journal_socket = journal_socket;
        logger.stderr_is_journal = stderr_is_journal();
        logger.max_level = max_level;
        logger.dropped = logger.unreported = 0;
}

void log_close(void) {
        forget_lines();
        logger.fd = close_fd(logger.fd);
        logger.identifier = NULL;
}

void log_set_max_level(int max_level) {
        logger.max_level = max_level;
}

uint64_t log_dropped(void) {
        return logger.dropped;
}

/* Whether the line went out. Standard error is shared with others, so that it cannot be made
 * non-blocking. */
static bool write_stderr(int priority, const char *message) {
        struct pollfd writable = { .fd = STDERR_FILENO, .events = POLLOUT };
        char line[STDERR_LINE_MAX_BYTES];
        int n;

        if (poll(&writable, 1, 0) <= 0 || writable.revents != POLLOUT)
                return false;

        n = snprintf(line, sizeof(line) - 1, "%s: %s: %s", logger.identifier ?: "passthroughd",
                     priority_words[priority], message);
        if (n < 0)
                return false;
        clean_line(line);
        n = (int) strlen(line);
        line[n++] = '\n';

        return write(STDERR_FILENO, line, (size_t) n) == n;
}

static int send_to_journal(int priority, LogEvent event, const char *const *fields, const char *message) {
        char priority_text[NUMBER_SIZE], dropped_text[NUMBER_SIZE];
        JournalField entry[JOURNAL_FIELDS_MAX];
        uint64_t unreported;
        size_t n = 0;
        int r;

        snprintf(priority_text, sizeof(priority_text), "%d", priority);
        entry[n++] = (JournalField){ "PRIORITY", priority_text };
        entry[n++] = (JournalField){ "SYSLOG_FACILITY", "3" }; /* daemon */
        entry[n++] = (JournalField){ "SYSLOG_IDENTIFIER", logger.identifier };
        entry[n++] = (JournalField){ "MESSAGE", message };
        if (log_event_id(event))
                entry[n++] = (JournalField){ "MESSAGE_ID", log_event_id(event) };

        unreported = atomic_exchange(&logger.unreported, 0);
        if (unreported > 0) {
                snprintf(dropped_text, sizeof(dropped_text), "%" PRIu64, unreported);
                entry[n++] = (JournalField){ "DROPPED_MESSAGES", dropped_text };
        }

        for (; fields && fields[0] && fields[1] && n < ELEMENTSOF(entry); fields += 2)
                entry[n++] = (JournalField){ fields[0], fields[1] };

        r = journal_send(logger.fd, logger.journal_socket, entry, n);
        if (r < 0)
                logger.unreported += unreported;
        return r;
}

void log_message(int priority, LogEvent event, const char *const *fields, const char *format, ...) {
        int saved_errno = errno, r = -EBADF;
        char message[MESSAGE_MAX_BYTES];
        bool written = false;
        va_list arguments;

        priority &= LOG_PRIMASK;
        if (priority > logger.max_level)
                return;

        va_start(arguments, format);
        if (vsnprintf(message, sizeof(message), format, arguments) < 0)
                message[0] = '\0';
        va_end(arguments);

        keep_line(priority, message);
        if (logger.fd >= 0)
                r = send_to_journal(priority, event, fields, message);
        if (!logger.stderr_is_journal)
                written = write_stderr(priority, message);

        /* A message that the journal missed counts even when somebody may have seen it on a terminal, but
         * where no journal runs at all the terminal is what there is. */
        if (r < 0 && !(written && (r == -ENOENT || r == -ECONNREFUSED || r == -EBADF))) {
                logger.dropped++;
                logger.unreported++;
        }
        errno = saved_errno;
}
