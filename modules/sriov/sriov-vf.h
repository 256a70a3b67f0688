/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The network settings of one virtual function, as its physical function keeps them: the decoded form of what rtnetlink says,
 * of what a step writes, and of what is recorded for its undo. The settings of a group have the same names. */

#include "modules/pci/pci.h"

typedef enum SriovKey {
        SRIOV_KEY_MAC, /* 48 bits; all zero: the guest's driver chooses, on most cards */
        SRIOV_KEY_VLAN,
        SRIOV_KEY_QOS,
        SRIOV_KEY_PROTOCOL, /* EtherType of the tag */
        SRIOV_KEY_MIN_RATE, /* Mbit/s, 0: none */
        SRIOV_KEY_MAX_RATE,
        SRIOV_KEY_SPOOF_CHECK,
        SRIOV_KEY_LINK_STATE, /* IFLA_VF_LINK_STATE_* */
        SRIOV_KEY_RSS_QUERY,
        SRIOV_KEY_TRUST,
        _SRIOV_KEY_MAX,
} SriovKey;

/* What one message of rtnetlink sets. In the order in which they are set. */
typedef enum SriovAttribute {
        SRIOV_ATTRIBUTE_MAC,
        SRIOV_ATTRIBUTE_VLAN,
        SRIOV_ATTRIBUTE_RATE,
        SRIOV_ATTRIBUTE_SPOOF_CHECK,
        SRIOV_ATTRIBUTE_RSS_QUERY,
        SRIOV_ATTRIBUTE_TRUST,
        SRIOV_ATTRIBUTE_LINK_STATE,
        _SRIOV_ATTRIBUTE_MAX,
} SriovAttribute;

typedef struct SriovVf {
        uint32_t known; /* a bit for each key: many drivers do not report all */
        uint64_t value[_SRIOV_KEY_MAX];
} SriovVf;

#define SRIOV_PROTOCOL_8021Q UINT64_C(0x8100)
#define SRIOV_PROTOCOL_8021AD UINT64_C(0x88a8)
#define SRIOV_TEXT_SIZE 256

/* "vlan": of the setting, and in texts. */
const char *sriov_key_name(SriovKey key);
/* Whether its values are numbers, and not words or addresses. */
bool sriov_key_is_number(SriovKey key);
SriovAttribute sriov_key_attribute(SriovKey key);
/* Bits of the keys that belong to it. */
uint32_t sriov_attribute_keys(SriovAttribute attribute);
/* "vf-vlan": the custom step that sets it. */
const char *sriov_attribute_step(SriovAttribute attribute);
SriovAttribute sriov_attribute_from_step(const char *step);
/* "VLAN": for people. */
const char *sriov_attribute_words(SriovAttribute attribute);

static inline bool sriov_vf_knows(const SriovVf *vf, SriovKey key) {
        return vf->known & UINT32_C(1) << key;
}
void sriov_vf_set(SriovVf *vf, SriovKey key, uint64_t value);

/* One value: "52:54:00:12:34:56", "10", "802.1Q", "on", "auto". `size` of 32 is enough. */
void sriov_value_to_text(SriovKey key, uint64_t value, char *ret, size_t size);
/* -EINVAL for what is none. Takes any value that the kernel can state; the limits of settings are elsewhere. */
int sriov_value_from_text(SriovKey key, const char *text, uint64_t *ret);
/* The known ones among `keys`: "vlan=10 qos=0 vlan-protocol=802.1Q"; "" for none. */
void sriov_vf_to_text(const SriovVf *vf, uint32_t keys, char ret[static SRIOV_TEXT_SIZE]);
/* Adds to `vf` what the text names. Words without "=" are left to the caller: skipped. */
int sriov_vf_from_text(const char *text, SriovVf *vf);

/* Whether everything that `wanted` knows among `keys` is known of `vf` and equal. */
bool sriov_vf_agrees(const SriovVf *vf, const SriovVf *wanted, uint32_t keys);
