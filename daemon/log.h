/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Structured logging that never blocks: the journal's native protocol over an own non-blocking socket
 * (sd_journal_send() blocks when journald hangs, and journald can hang on a stuck device). What cannot be
 * sent at once is dropped and counted; the count goes out with the next message that gets through. Where
 * stderr is no journal stream, lines go there too. */

#include <syslog.h>

#include "lib/fault.h"
#include "lib/macro.h"

/* Message ids: one for each thing that an administrator may want to find. docs: passthroughd(8),
 * "Messages". */
typedef enum LogEvent {
        LOG_EVENT_NONE,
        LOG_EVENT_STARTED,
        LOG_EVENT_STOPPED,
        LOG_EVENT_MODULE_LOADED,
        LOG_EVENT_MODULE_REFUSED,
        LOG_EVENT_GROUP,
        LOG_EVENT_RULE,
        LOG_EVENT_ALLOCATED,
        LOG_EVENT_ACTIVATED,
        LOG_EVENT_DEACTIVATED,
        LOG_EVENT_RELEASED,
        LOG_EVENT_JOB_FAILED,
        LOG_EVENT_UNDO_FAILED,
        LOG_EVENT_DEVICE_LOST,
        LOG_EVENT_DRIVER_STUCK,
        LOG_EVENT_RECONCILED,
        LOG_EVENT_STORE,
        LOG_EVENT_DENIED,
        LOG_EVENT_OVERFLOW,
        LOG_EVENT_QUARANTINE,
        LOG_EVENT_OVERRIDDEN,
        _LOG_EVENT_MAX,
} LogEvent;
/* 32 hexadecimal digits, constant for ever. */
const char *log_event_id(LogEvent event);
DECLARE_STRING_TABLE(log_event, LogEvent);

/* Once, before the loop. `identifier`: SYSLOG_IDENTIFIER. `max_level`: a syslog priority. Process-wide:
 * the only state that is, because everything logs. */
void log_open(const char *identifier, int max_level);
/* The same with another socket than journald's; `identifier` and `journal_socket` are not copied. */
void log_open_at(const char *identifier, int max_level, const char *journal_socket);
void log_close(void);
void log_set_max_level(int max_level);

/* From any thread. Fields are pairs "KEY", "value", ended by NULL: upper case, as journal fields
 * ("DEVICE", "ALLOCATION", "JOB"). */
void log_message(int priority, LogEvent event, const char *const *fields, const char *format, ...) PRINTF_LIKE(4, 5);
#define log_plain(priority, ...) log_message((priority), LOG_EVENT_NONE, NULL, __VA_ARGS__)
#define log_fields(...) ((const char *const[]) { __VA_ARGS__, NULL })
/* The last lines, oldest first, as they were sent: for a report. From the loop. */
void log_each_kept(void (*each)(void *userdata, uint64_t realtime_usec, int priority, const char *message), void *userdata);
/* Messages since log_open() that the journal did not get. */
uint64_t log_dropped(void);
