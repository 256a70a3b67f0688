/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "excerpt.h"

#include "lib/parse.h"

/* The length of the longest beginning that is not over EXCERPT_BYTES and ends between two characters. */
static size_t fitting_length(const char *text) {
        size_t n = strnlen(text, EXCERPT_BYTES + 1);

        if (n <= EXCERPT_BYTES)
                return n;
        n = EXCERPT_BYTES;
        while (n > 0 && ((unsigned char) text[n] & 0xc0) == 0x80)
                n--;
        return n;
}

const char *excerpt(const char *text, char buffer[static EXCERPT_SIZE]) {
        size_t n;

        text = strempty(text);
        n = fitting_length(text);
        memcpy(buffer, text, n);
        buffer[n] = '\0';

        if (!text_is_clean(buffer, EXCERPT_BYTES))
                for (size_t i = 0; i < n; i++)
                        if (buffer[i] < 0x20 || buffer[i] > 0x7e)
                                buffer[i] = '?';
        if (text[n] != '\0')
                strcpy(buffer + n, "…");
        return buffer;
}
