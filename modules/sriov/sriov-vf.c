/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sriov-vf.h"

#include <linux/if_link.h>
#include <stdio.h>

#include "lib/parse.h"

typedef enum Kind {
        KIND_MAC,
        KIND_NUMBER,
        KIND_WORD,
} Kind;

typedef struct Word {
        const char *text;
        uint64_t value;
} Word;

static const Word PROTOCOLS[] = { { "802.1Q", SRIOV_PROTOCOL_8021Q }, { "802.1ad", SRIOV_PROTOCOL_8021AD }, { 0 } };
static const Word SWITCHES[] = { { "off", 0 }, { "on", 1 }, { 0 } };
static const Word LINK_STATES[] = {
        { "auto", IFLA_VF_LINK_STATE_AUTO },
        { "enable", IFLA_VF_LINK_STATE_ENABLE },
        { "disable", IFLA_VF_LINK_STATE_DISABLE },
        { 0 },
};

static const struct {
        const char *name;
        SriovAttribute attribute;
        Kind kind;
        const Word *words;
} KEYS[_SRIOV_KEY_MAX] = {
        [SRIOV_KEY_MAC] = { "mac", SRIOV_ATTRIBUTE_MAC, KIND_MAC, NULL },
        [SRIOV_KEY_VLAN] = { "vlan", SRIOV_ATTRIBUTE_VLAN, KIND_NUMBER, NULL },
        [SRIOV_KEY_QOS] = { "qos", SRIOV_ATTRIBUTE_VLAN, KIND_NUMBER, NULL },
        [SRIOV_KEY_PROTOCOL] = { "vlan-protocol", SRIOV_ATTRIBUTE_VLAN, KIND_WORD, PROTOCOLS },
        [SRIOV_KEY_MIN_RATE] = { "min-rate", SRIOV_ATTRIBUTE_RATE, KIND_NUMBER, NULL },
        [SRIOV_KEY_MAX_RATE] = { "max-rate", SRIOV_ATTRIBUTE_RATE, KIND_NUMBER, NULL },
        [SRIOV_KEY_SPOOF_CHECK] = { "spoof-check", SRIOV_ATTRIBUTE_SPOOF_CHECK, KIND_WORD, SWITCHES },
        [SRIOV_KEY_LINK_STATE] = { "link-state", SRIOV_ATTRIBUTE_LINK_STATE, KIND_WORD, LINK_STATES },
        [SRIOV_KEY_RSS_QUERY] = { "rss-query", SRIOV_ATTRIBUTE_RSS_QUERY, KIND_WORD, SWITCHES },
        [SRIOV_KEY_TRUST] = { "trust", SRIOV_ATTRIBUTE_TRUST, KIND_WORD, SWITCHES },
};

static const struct {
        const char *step, *words;
} ATTRIBUTES[_SRIOV_ATTRIBUTE_MAX] = {
        [SRIOV_ATTRIBUTE_MAC] = { "vf-mac", "MAC address" },
        [SRIOV_ATTRIBUTE_VLAN] = { "vf-vlan", "VLAN" },
        [SRIOV_ATTRIBUTE_RATE] = { "vf-rate", "transmit rate" },
        [SRIOV_ATTRIBUTE_SPOOF_CHECK] = { "vf-spoof-check", "spoof check" },
        [SRIOV_ATTRIBUTE_RSS_QUERY] = { "vf-rss-query", "RSS query" },
        [SRIOV_ATTRIBUTE_TRUST] = { "vf-trust", "trust" },
        [SRIOV_ATTRIBUTE_LINK_STATE] = { "vf-link-state", "link state" },
};

const char *sriov_key_name(SriovKey key) {
        return KEYS[key].name;
}

bool sriov_key_is_number(SriovKey key) {
        return KEYS[key].kind == KIND_NUMBER;
}

SriovAttribute sriov_key_attribute(SriovKey key) {
        return KEYS[key].attribute;
}

uint32_t sriov_attribute_keys(SriovAttribute attribute) {
        uint32_t keys = 0;

        for (unsigned k = 0; k < _SRIOV_KEY_MAX; k++)
                if (KEYS[k].attribute == attribute)
                        keys |= UINT32_C(1) << k;
        return keys;
}

const char *sriov_attribute_step(SriovAttribute attribute) {
        return ATTRIBUTES[attribute].step;
}

SriovAttribute sriov_attribute_from_step(const char *step) {
        SriovAttribute a = 0;

        while (a < _SRIOV_ATTRIBUTE_MAX && !streq_null(ATTRIBUTES[a].step, step))
                a++;
        return a;
}

const char *sriov_attribute_words(SriovAttribute attribute) {
        return ATTRIBUTES[attribute].words;
}

void sriov_vf_set(SriovVf *vf, SriovKey key, uint64_t value) {
        vf->known |= UINT32_C(1) << key;
        vf->value[key] = value;
}

void sriov_value_to_text(SriovKey key, uint64_t value, char *ret, size_t size) {
        if (KEYS[key].kind == KIND_MAC) {
                (void) snprintf(ret, size, "%02x:%02x:%02x:%02x:%02x:%02x", (unsigned) (value >> 40 & 0xff),
                                (unsigned) (value >> 32 & 0xff), (unsigned) (value >> 24 & 0xff),
                                (unsigned) (value >> 16 & 0xff), (unsigned) (value >> 8 & 0xff), (unsigned) (value & 0xff));
                return;
        }
        for (const Word *w = KEYS[key].words; w && w->text; w++)
                if (w->value == value) {
                        (void) snprintf(ret, size, "%s", w->text);
                        return;
                }
        (void) snprintf(ret, size, "%llu", (unsigned long long) value);
}

static int digit(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Six pairs of hexadecimal digits with colons, or with dashes as some print them. */
static int parse_mac(const char *text, uint64_t *ret) {
        uint64_t mac = 0;

        for (int i = 0; i < 6; i++, text += 3) {
                int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);

                if (low < 0 || (i < 5 && text[2] != ':' && text[2] != '-') || (i == 5 && text[2] != '\0'))
                        return -EINVAL;
                mac = mac << 8 | (uint64_t) (high << 4 | low);
        }
        *ret = mac;
        return 0;
}

int sriov_value_from_text(SriovKey key, const char *text, uint64_t *ret) {
        uint32_t number;

        if (KEYS[key].kind == KIND_MAC)
                return parse_mac(text, ret);
        for (const Word *w = KEYS[key].words; w && w->text; w++)
                if (streq(w->text, text)) {
                        *ret = w->value;
                        return 0;
                }
        /* A state that has no word is recorded as its number. */
        if (parse_uint32(text, &number) < 0)
                return -EINVAL;
        *ret = number;
        return 0;
}

void sriov_vf_to_text(const SriovVf *vf, uint32_t keys, char ret[static SRIOV_TEXT_SIZE]) {
        size_t length = 0;

        ret[0] = '\0';
        for (unsigned k = 0; k < _SRIOV_KEY_MAX; k++) {
                char value[32];
                int n;

                if (!(vf->known & keys & UINT32_C(1) << k))
                        continue;
                sriov_value_to_text(k, vf->value[k], value, sizeof(value));
                n = snprintf(ret + length, SRIOV_TEXT_SIZE - length, "%s%s=%s", length > 0 ? " " : "", KEYS[k].name, value);
                if (n > 0 && (size_t) n < SRIOV_TEXT_SIZE - length)
                        length += (size_t) n;
        }
}

int sriov_vf_from_text(const char *text, SriovVf *vf) {
        char copy[SRIOV_TEXT_SIZE], *state = NULL;

        if (snprintf(copy, sizeof(copy), "%s", text) >= (int) sizeof(copy))
                return -E2BIG;
        for (char *word = strtok_r(copy, " ", &state); word; word = strtok_r(NULL, " ", &state)) {
                char *value = strchr(word, '=');
                unsigned k = 0;
                uint64_t v;

                if (!value)
                        continue;
                *value++ = '\0';
                while (k < _SRIOV_KEY_MAX && !streq(KEYS[k].name, word))
                        k++;
                if (k == _SRIOV_KEY_MAX || sriov_value_from_text(k, value, &v) < 0)
                        return -EINVAL;
                sriov_vf_set(vf, k, v);
        }
        return 0;
}

bool sriov_vf_agrees(const SriovVf *vf, const SriovVf *wanted, uint32_t keys) {
        for (unsigned k = 0; k < _SRIOV_KEY_MAX; k++)
                if (wanted->known & keys & UINT32_C(1) << k && (!sriov_vf_knows(vf, k) || vf->value[k] != wanted->value[k]))
                        return false;
        return true;
}
