/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "parse.h"

#define DOMAIN_DIGITS_MIN 4u
#define DOMAIN_DIGITS_MAX 8u
#define PCI_SLOT_MAX 0x1fu
#define PCI_FUNCTION_MAX 7u
/* The kernel's own split of a device number. */
#define DEV_MAJOR_MAX 0xfffu
#define DEV_MINOR_MAX 0xfffffu

static int digit_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -EINVAL;
}

/* Reads all of `length` characters. The form is checked to the end before the range: "99999999999999999999x"
 * is no number rather than too large a one. */
static int parse_digits(const char *text, size_t length, unsigned base, uint64_t *ret) {
        bool overflow = false;
        uint64_t value = 0;

        if (length == 0)
                return -EINVAL;

        for (size_t i = 0; i < length; i++) {
                int digit = digit_value(text[i]);

                if (digit < 0 || (unsigned) digit >= base)
                        return -EINVAL;
                if (__builtin_mul_overflow(value, (uint64_t) base, &value) ||
                    __builtin_add_overflow(value, (uint64_t) digit, &value))
                        overflow = true;
        }
        if (overflow)
                return -ERANGE;

        *ret = value;
        return 0;
}

int parse_bool(const char *text, bool *ret) {
        static const struct {
                const char *word;
                bool value;
        } words[] = {
                { "true", true }, { "false", false }, { "yes", true }, { "no", false },
                { "on", true },   { "off", false },   { "1", true },   { "0", false },
        };

        for (size_t i = 0; text && i < ELEMENTSOF(words); i++)
                if (streq(text, words[i].word)) {
                        *ret = words[i].value;
                        return 0;
                }

        return -EINVAL;
}

int parse_uint64(const char *text, uint64_t *ret) {
        const char *hex;

        if (!text)
                return -EINVAL;

        hex = startswith(text, "0x");
        return hex ? parse_digits(hex, strlen(hex), 16, ret) : parse_digits(text, strlen(text), 10, ret);
}

int parse_uint32(const char *text, uint32_t *ret) {
        uint64_t value;
        int r;

        r = parse_uint64(text, &value);
        if (r < 0)
                return r;
        if (value > UINT32_MAX)
                return -ERANGE;

        *ret = (uint32_t) value;
        return 0;
}

int parse_int64(const char *text, int64_t *ret) {
        uint64_t magnitude;
        bool negative;
        int r;

        if (!text)
                return -EINVAL;

        negative = text[0] == '-';
        r = parse_uint64(text + negative, &magnitude);
        if (r < 0)
                return r;
        if (magnitude > (uint64_t) INT64_MAX + negative)
                return -ERANGE;

        /* Negated without a sign first: -INT64_MIN does not exist. */
        *ret = (int64_t) (negative ? 0 - magnitude : magnitude);
        return 0;
}

int parse_int32(const char *text, int32_t *ret) {
        int64_t value;
        int r;

        r = parse_int64(text, &value);
        if (r < 0)
                return r;
        if (value < INT32_MIN || value > INT32_MAX)
                return -ERANGE;

        *ret = (int32_t) value;
        return 0;
}

int parse_hex32(const char *text, uint32_t *ret) {
        const char *digits;
        uint64_t value;
        int r;

        if (!text)
                return -EINVAL;

        digits = startswith(text, "0x") ?: text;
        r = parse_digits(digits, strlen(digits), 16, &value);
        if (r < 0)
                return r;
        if (value > UINT32_MAX)
                return -ERANGE;

        *ret = (uint32_t) value;
        return 0;
}

int parse_bdf(const char *text, uint32_t *ret_domain, uint8_t *ret_bus, uint8_t *ret_slot,
              uint8_t *ret_function) {
        uint64_t domain, bus, slot, function;
        size_t digits;
        const char *p;

        if (!text)
                return -EINVAL;

        digits = strcspn(text, ":");
        if (digits < DOMAIN_DIGITS_MIN || digits > DOMAIN_DIGITS_MAX)
                return -EINVAL;

        p = text + digits;
        if (strlen(p) != strlen(":BB:DD.F") || p[0] != ':' || p[3] != ':' || p[6] != '.')
                return -EINVAL;
        if (parse_digits(text, digits, 16, &domain) < 0 || parse_digits(p + 1, 2, 16, &bus) < 0 ||
            parse_digits(p + 4, 2, 16, &slot) < 0 || parse_digits(p + 7, 1, 16, &function) < 0)
                return -EINVAL;
        if (slot > PCI_SLOT_MAX || function > PCI_FUNCTION_MAX)
                return -ERANGE;

        *ret_domain = (uint32_t) domain;
        *ret_bus = (uint8_t) bus;
        *ret_slot = (uint8_t) slot;
        *ret_function = (uint8_t) function;
        return 0;
}

int parse_dev(const char *text, unsigned *ret_major, unsigned *ret_minor) {
        uint64_t major_number, minor_number;
        const char *colon;
        int r, q;

        colon = text ? strchr(text, ':') : NULL;
        if (!colon)
                return -EINVAL;

        r = parse_digits(text, (size_t) (colon - text), 10, &major_number);
        q = parse_digits(colon + 1, strlen(colon + 1), 10, &minor_number);
        if (r == -EINVAL || q == -EINVAL)
                return -EINVAL;
        if (r < 0 || q < 0 || major_number > DEV_MAJOR_MAX || minor_number > DEV_MINOR_MAX)
                return -ERANGE;

        *ret_major = (unsigned) major_number;
        *ret_minor = (unsigned) minor_number;
        return 0;
}

int parse_uuid(const char *text, char ret[static UUID_TEXT_SIZE]) {
        static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
        static const char lower_hex[] = "0123456789abcdef";
        char uuid[UUID_TEXT_SIZE];
        const char *p = text;
        bool dashed;

        if (!text)
                return -EINVAL;

        dashed = strchr(text, '-') != NULL;
        for (size_t i = 0; form[i]; i++) {
                int digit;

                if (form[i] == '-') {
                        if (dashed && *p++ != '-')
                                return -EINVAL;
                        uuid[i] = '-';
                        continue;
                }
                digit = digit_value(*p++);
                if (digit < 0) /* also at the end of a short text: NUL is no digit */
                        return -EINVAL;
                uuid[i] = lower_hex[digit];
        }
        if (*p != '\0')
                return -EINVAL;

        uuid[sizeof(form) - 1] = '\0';
        memcpy(ret, uuid, sizeof(uuid));
        return 0;
}

/* Length of the UTF-8 sequence at `p` and its code point, -EINVAL for a malformed one (RFC 3629: no overlong
 * forms, no surrogates, nothing beyond U+10FFFF). Stops at NUL, which is no continuation byte. */
static int utf8_decode(const unsigned char *p, uint32_t *ret) {
        static const struct {
                unsigned char mask, lead;
                uint32_t minimum;
        } forms[] = {
                { 0x80, 0x00, 0 },
                { 0xe0, 0xc0, 0x80 },
                { 0xf0, 0xe0, 0x800 },
                { 0xf8, 0xf0, 0x10000 },
        };

        for (size_t n = 0; n < ELEMENTSOF(forms); n++) {
                uint32_t c;

                if ((p[0] & forms[n].mask) != forms[n].lead)
                        continue;

                c = p[0] & (unsigned char) ~forms[n].mask;
                for (size_t i = 1; i <= n; i++) {
                        if ((p[i] & 0xc0) != 0x80)
                                return -EINVAL;
                        c = c << 6 | (p[i] & 0x3f);
                }
                if (c < forms[n].minimum || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                        return -EINVAL;

                *ret = c;
                return (int) n + 1;
        }

        return -EINVAL;
}

bool utf8_is_valid(const char *text) {
        const unsigned char *p = (const unsigned char *) text;
        uint32_t c;

        if (!text)
                return false;

        while (*p) {
                int n = utf8_decode(p, &c);

                if (n < 0)
                        return false;
                p += n;
        }

        return true;
}

/* Control characters, and those format characters that make a line read other than it is written: line and
 * paragraph separators and the overrides of writing direction. */
static bool is_control(uint32_t c) {
        return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x2028 && c <= 0x202e) ||
               (c >= 0x2066 && c <= 0x2069);
}

bool text_is_clean(const char *text, size_t max) {
        const unsigned char *p = (const unsigned char *) text;
        size_t length = 0;
        uint32_t c;

        if (!text)
                return false;

        while (p[length]) {
                int n = utf8_decode(p + length, &c);

                if (n < 0 || is_control(c))
                        return false;
                length += (size_t) n;
                if (length > max)
                        return false;
        }

        return true;
}
