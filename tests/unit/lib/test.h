/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every test of the library includes. cmocka.h wants these before it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/fault.h"
#include "lib/macro.h"

/* What a hostile or careless peer sends as text: none is valid UTF-8. */
static const char *const invalid_utf8[] = {
        "\x80",             /* continuation without a lead */
        "a\xff",            /* never a UTF-8 byte */
        "\xc3",             /* cut off */
        "\xe2\x82",         /* cut off */
        "\xf0\x9f\x98",     /* cut off */
        "\xc0\xaf",         /* '/' in an overlong form */
        "\xe0\x80\xaf",     /* the same, longer */
        "\xf0\x80\x80\xaf", /* the same, longer still */
        "\xed\xa0\x80",     /* half a surrogate pair */
        "\xed\xbf\xbf",     /* the other half */
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "\xf8\x88\x80\x80\x80",
};

#define MEGABYTE (1024u * 1024u)

/* A text of `length` times `c`; the caller frees it. */
static inline char *repeat(char c, size_t length) {
        char *text = malloc(length + 1);

        assert_non_null(text);
        memset(text, c, length);
        text[length] = '\0';
        return text;
}

/* The fault has the code and its message contains the words; then it is emptied for the next one. */
static inline void assert_fault(Fault *fault, FaultCode code, const char *words) {
        assert_string_equal(fault_code_to_string(fault->code), fault_code_to_string(code));
        assert_non_null(fault->message);
        if (!strstr(fault->message, words))
                fail_msg("the message \"%s\" does not say \"%s\"", fault->message, words);
        fault_done(fault);
}
