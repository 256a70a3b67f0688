/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "lib/limits.h"

struct Pattern {
        pcre2_code *code;
        unsigned strikes;
};

/* PCRE2 keeps its backtracking frames (20 KiB and more) in the match data. One for all patterns: rules are
 * many. */
static struct {
        size_t users;
        pcre2_match_data *data;
        pcre2_match_context *limits;
} scratch;

static int scratch_get(void) {
        if (!scratch.data) {
                scratch.data = pcre2_match_data_create(1, NULL);
                scratch.limits = pcre2_match_context_create(NULL);
                if (!scratch.data || !scratch.limits) {
                        pcre2_match_data_free(scratch.data);
                        pcre2_match_context_free(scratch.limits);
                        scratch.data = NULL;
                        scratch.limits = NULL;
                        return -ENOMEM;
                }
                (void) pcre2_set_match_limit(scratch.limits, REGEX_MATCH_LIMIT);
                (void) pcre2_set_depth_limit(scratch.limits, REGEX_DEPTH_LIMIT);
                (void) pcre2_set_heap_limit(scratch.limits, REGEX_HEAP_LIMIT_KIB);
        }
        scratch.users++;
        return 0;
}

static void scratch_put(void) {
        if (--scratch.users > 0)
                return;
        pcre2_match_data_free(scratch.data);
        pcre2_match_context_free(scratch.limits);
        scratch.data = NULL;
        scratch.limits = NULL;
}

bool text_is_ascii(const char *text) {
        for (; *text; text++)
                if ((unsigned char) *text >= 0x80)
                        return false;
        return true;
}

int pattern_new(const char *text, bool literal, Pattern **ret, size_t *ret_offset,
                char ret_message[static PATTERN_MESSAGE_SIZE]) {
        _cleanup_(pattern_freep) Pattern *pattern = NULL;
        /* Bytes are as good as characters, and quicker, until the expression itself speaks of other
         * characters. Device texts come from firmware: those that are not UTF-8 must not be an error. */
        uint32_t options = text_is_ascii(text) ? PCRE2_NEVER_UTF | PCRE2_NEVER_UCP
                                               : PCRE2_UTF | PCRE2_MATCH_INVALID_UTF;
        pcre2_code *code;
        PCRE2_SIZE offset;
        int error;

        if (literal)
                options = PCRE2_LITERAL | PCRE2_CASELESS | (options & (PCRE2_UTF | PCRE2_MATCH_INVALID_UTF));

        code = pcre2_compile((PCRE2_SPTR) text, PCRE2_ZERO_TERMINATED, options, &error, &offset, NULL);
        if (!code) {
                *ret_offset = offset;
                if (pcre2_get_error_message(error, (PCRE2_UCHAR *) ret_message, PATTERN_MESSAGE_SIZE) < 0)
                        strcpy(ret_message, "the expression is not valid");
                return error == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -EINVAL;
        }

        pattern = calloc(1, sizeof(Pattern));
        if (!pattern || scratch_get() < 0) {
                pcre2_code_free(code);
                free(TAKE_PTR(pattern));
                strcpy(ret_message, "out of memory");
                return -ENOMEM;
        }
        pattern->code = code;
        *ret = TAKE_PTR(pattern);
        return 0;
}

Pattern *pattern_free(Pattern *pattern) {
        if (!pattern)
                return NULL;
        pcre2_code_free(pattern->code);
        scratch_put();
        free(pattern);
        return NULL;
}

int pattern_match(Pattern *pattern, const char *text) {
        int r;

        if (pattern->strikes >= PATTERN_STRIKES_MAX)
                return -E2BIG;

        r = pcre2_match(pattern->code, (PCRE2_SPTR) text, PCRE2_ZERO_TERMINATED, 0, 0, scratch.data,
                        scratch.limits);
        if (r >= 0)
                return 1;
        if (r == PCRE2_ERROR_NOMATCH)
                return 0;
        /* A limit, or no memory; whatever else there may be is no answer either. */
        pattern->strikes++;
        return -E2BIG;
}
