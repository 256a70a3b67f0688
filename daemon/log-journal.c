/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log-journal.h"

#include <endian.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define KEY_MAX_BYTES 64u
#define CUT_MARK "…"
#define PARTS_PER_FIELD 5u /* key, separator or length, value, mark, newline */

/* One entry as the pieces that sendmsg() puts together: values are not copied. */
typedef struct Entry {
        struct iovec parts[JOURNAL_FIELDS_MAX * PARTS_PER_FIELD];
        size_t n_parts;
        struct {
                char separator; /* a newline says that the length follows */
                uint64_t length;
        } __attribute__((packed)) lengths[JOURNAL_FIELDS_MAX];
} Entry;

int journal_open(void) {
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd < 0 ? -errno : fd;
}

/* journald drops a whole entry's field with a name of another form, and names that begin with '_' are its
 * own. */
static bool key_is_valid(const char *key) {
        size_t length = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

        return key[0] >= 'A' && key[0] <= 'Z' && key[length] == '\0' && length <= KEY_MAX_BYTES;
}

/* Length of the value as far as it is sent, never ending inside a UTF-8 sequence. */
static size_t value_length(const char *value) {
        size_t length = strnlen(value, JOURNAL_VALUE_MAX_BYTES + 1);

        if (length <= JOURNAL_VALUE_MAX_BYTES)
                return length;

        length = JOURNAL_VALUE_MAX_BYTES - strlen(CUT_MARK);
        while (length > 0 && ((unsigned char) value[length] & 0xc0) == 0x80)
                length--;

        return length;
}

static void add_part(Entry *entry, const void *data, size_t length) {
        entry->parts[entry->n_parts++] = (struct iovec){ .iov_base = (void *) data, .iov_len = length };
}

static void add_field(Entry *entry, size_t index, const JournalField *field) {
        size_t length = value_length(field->value);
        size_t mark = field->value[length] != '\0' ? strlen(CUT_MARK) : 0;

        add_part(entry, field->key, strlen(field->key));
        if (memchr(field->value, '\n', length)) {
                entry->lengths[index].separator = '\n';
                entry->lengths[index].length = htole64(length + mark);
                add_part(entry, &entry->lengths[index], sizeof(entry->lengths[index]));
        } else
                add_part(entry, "=", 1);
        add_part(entry, field->value, length);
        if (mark > 0)
                add_part(entry, CUT_MARK, mark);
        add_part(entry, "\n", 1);
}

int journal_send(int fd, const char *path, const JournalField *fields, size_t n_fields) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Entry entry;
        size_t n = 0;

        if (fd < 0)
                return -EBADF;
        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);

        entry.n_parts = 0;
        for (size_t i = 0; i < n_fields && n < JOURNAL_FIELDS_MAX; i++)
                if (fields[i].value && key_is_valid(fields[i].key))
                        add_field(&entry, n++, &fields[i]);

        /* The address goes with every datagram: a connected socket would be lost when journald is
         * restarted. */
        if (sendmsg(fd,
                    &(struct msghdr){
                            .msg_name = &address,
                            .msg_namelen = sizeof(address),
                            .msg_iov = entry.parts,
                            .msg_iovlen = entry.n_parts,
                    },
                    MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                return -errno;

        return 0;
}
