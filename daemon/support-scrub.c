/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support-scrub.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <uthash.h>

#define GRAM 4u
#define MAC_LENGTH 17u

typedef struct Secret {
        char *text; /* in lower case */
        size_t length;
        struct Secret *next; /* with the same beginning */
} Secret;

/* Values by their first four bytes: at each place of a text one look says whether one may begin there. */
typedef struct Beginning {
        uint32_t gram;
        Secret *secrets;
        UT_hash_handle hh;
} Beginning;

struct Scrubber {
        Beginning *beginnings;
};

int scrubber_new(Scrubber **ret) {
        *ret = calloc(1, sizeof(Scrubber));
        return *ret ? 0 : -ENOMEM;
}

Scrubber *scrubber_free(Scrubber *scrubber) {
        Beginning *beginning, *next;

        if (!scrubber)
                return NULL;
        HASH_ITER(hh, scrubber->beginnings, beginning, next) {
                while (beginning->secrets) {
                        Secret *secret = beginning->secrets;

                        beginning->secrets = secret->next;
                        free(secret->text);
                        free(secret);
                }
                HASH_DEL(scrubber->beginnings, beginning);
                free(beginning);
        }
        free(scrubber);
        return NULL;
}

static uint32_t gram_at(const char *text) {
        uint32_t gram = 0;

        for (size_t i = 0; i < GRAM; i++)
                gram = gram << 8 | (uint8_t) tolower((unsigned char) text[i]);
        return gram;
}

static Beginning *find(const Scrubber *scrubber, uint32_t gram) {
        Beginning *beginning;

        HASH_FIND(hh, scrubber->beginnings, &gram, sizeof(gram), beginning);
        return beginning;
}

static bool says_nothing(const char *value) {
        return strlen(value) < GRAM || strspn(value, (const char[]){ value[0], '\0' }) == strlen(value);
}

int scrubber_add(Scrubber *scrubber, const char *value) {
        Beginning *beginning;
        Secret *secret;

        if (!value || says_nothing(value))
                return 0;
        beginning = find(scrubber, gram_at(value));
        for (secret = beginning ? beginning->secrets : NULL; secret; secret = secret->next)
                if (strcasecmp(secret->text, value) == 0)
                        return 0;
        secret = calloc(1, sizeof(Secret));
        if (!secret || !(secret->text = strdup(value)))
                goto oom;
        secret->length = strlen(value);
        for (char *c = secret->text; *c; c++)
                *c = (char) tolower((unsigned char) *c);
        if (!beginning) {
                beginning = calloc(1, sizeof(Beginning));
                if (!beginning)
                        goto oom;
                beginning->gram = gram_at(value);
                HASH_ADD(hh, scrubber->beginnings, gram, sizeof(beginning->gram), beginning);
        }
        secret->next = beginning->secrets;
        beginning->secrets = secret;
        return 0;
oom:
        if (secret)
                free(secret->text);
        free(secret);
        return -ENOMEM;
}

/* "52:54:00:12:34:56", also with dashes. */
static bool is_mac(const char *text, size_t left) {
        if (left < MAC_LENGTH)
                return false;
        for (size_t i = 0; i < MAC_LENGTH; i++)
                if (i % 3 == 2 ? text[i] != text[2] || !strchr(":-", text[i]) : !isxdigit((unsigned char) text[i]))
                        return false;
        return left == MAC_LENGTH || (!isxdigit((unsigned char) text[MAC_LENGTH]) && text[MAC_LENGTH] != text[2]);
}

/* The longest value that begins here; 0 for none. */
static size_t secret_at(const Scrubber *scrubber, const char *text, size_t left) {
        const Beginning *beginning = left >= GRAM ? find(scrubber, gram_at(text)) : NULL;
        size_t longest = 0;

        for (const Secret *s = beginning ? beginning->secrets : NULL; s; s = s->next)
                if (s->length > longest && s->length <= left && strncasecmp(text, s->text, s->length) == 0)
                        longest = s->length;
        return longest;
}

int scrubber_text(const Scrubber *scrubber, const char *text, char **ret) {
        size_t left = strlen(text), size;
        char *clean = NULL, before = '\0';
        FILE *f = open_memstream(&clean, &size);

        if (!f)
                return -ENOMEM;
        while (left > 0) {
                bool mac = !isxdigit((unsigned char) before) && before != ':' && is_mac(text, left);
                size_t n = mac ? MAC_LENGTH : secret_at(scrubber, text, left);

                if (n > 0)
                        (void) fputs(mac ? "<mac>" : "<scrubbed>", f);
                else
                        (void) fputc(text[0], f);
                n = MAX_OF(n, 1u);
                before = text[n - 1];
                text += n;
                left -= n;
        }
        if (fclose(f) != 0) {
                free(clean);
                return -ENOMEM;
        }
        *ret = clean;
        return 0;
}

static int scrub_string(const Scrubber *scrubber, json_t *value) {
        _cleanup_free_ char *clean = NULL;

        if (scrubber_text(scrubber, json_string_value(value), &clean) < 0)
                return -ENOMEM;
        if (streq(clean, json_string_value(value)))
                return 0;
        /* A value may begin or end within a character of UTF-8: then the whole text goes. */
        return json_string_set(value, clean) < 0 && json_string_set(value, "<scrubbed>") < 0 ? -ENOMEM : 0;
}

int scrubber_json(const Scrubber *scrubber, json_t *value) {
        const char *key;
        json_t *inner;
        size_t index;
        int r = 0;

        if (json_is_string(value))
                return scrub_string(scrubber, value);
        json_array_foreach(value, index, inner)
                if (r >= 0)
                        r = scrubber_json(scrubber, inner);
        json_object_foreach(value, key, inner)
                if (r >= 0)
                        r = scrubber_json(scrubber, inner);
        return r;
}
