/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From the settings of a request to the steps that apply them: one for each attribute, so that a refusal names what was refused. */

#include <stdio.h>

#include "sriov-settings.h"
#include "sriov.h"

/* A driver that resets the function, or is not ready, is asked again for a while: sriov-setting-step.c. */
#define SETTING_TIMEOUT_MSEC 30000u

#define CLASS_ETHERNET 0x0200

/* Seen by the guest's driver: locally administered, not a group address. */
#define MAC_LOCAL (UINT64_C(0x02) << 40)
#define MAC_GROUP (UINT64_C(0x01) << 40)

bool sriov_takes_settings(PtContext *ctx, const PtDevice *device) {
        int32_t class_code;

        return pci_read_number(ctx, device, "class", 0xffffff, &class_code) >= 0 && class_code >> 8 == CLASS_ETHERNET;
}

/* FNV-1a, mixed once more so that names that differ in their last digit differ everywhere. */
uint64_t sriov_mac_of_uuid(const char *uuid) {
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (const char *c = uuid; *c; c++)
                hash = (hash ^ (uint8_t) *c) * UINT64_C(0x100000001b3);
        hash ^= hash >> 32;
        hash *= UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
        return (hash & UINT64_C(0xfcffffffffff)) | MAC_LOCAL;
}

static int load_mac(const PtRequest *request, const char *text, SriovWish *wish) {
        uint64_t mac;

        wish->mac_generated = streq(text, SRIOV_GENERATE_WORD);
        if (streq(text, SRIOV_LEAVE_WORD))
                return 0;
        /* Where the allocation is only thought of nobody knows yet which it will be. */
        if (wish->mac_generated)
                mac = request && request->uuid ? sriov_mac_of_uuid(request->uuid) : 0;
        else if (sriov_value_from_text(SRIOV_KEY_MAC, text, &mac) < 0 || mac == 0 || mac & MAC_GROUP)
                return -EINVAL;
        sriov_vf_set(&wish->vf, SRIOV_KEY_MAC, mac);
        return 0;
}

static int load_key(PtContext *ctx, const PtRequest *request, SriovKey key, SriovWish *wish) {
        uint64_t number;
        PtValue value;
        int r = ctx->services->get_setting(ctx, sriov_key_name(key), &value);

        if (r < 0)
                return r;
        if (ctx->services->setting_is_given(ctx, sriov_key_name(key)) > 0)
                wish->given |= UINT32_C(1) << key;
        if (key == SRIOV_KEY_MAC)
                return load_mac(request, value.s, wish);
        if (value.type == PT_INT32) {
                if (value.i != SRIOV_LEAVE)
                        sriov_vf_set(&wish->vf, key, (uint64_t) value.i);
                return 0;
        }
        if (streq(value.s, SRIOV_LEAVE_WORD))
                return 0;
        r = sriov_value_from_text(key, value.s, &number);
        if (r >= 0)
                sriov_vf_set(&wish->vf, key, number);
        return r;
}

int sriov_wish_load(PtContext *ctx, const PtRequest *request, SriovWish *ret) {
        SriovWish wish = { 0 };

        for (unsigned k = 0; k < _SRIOV_KEY_MAX; k++) {
                int r = load_key(ctx, request, k, &wish);

                if (r < 0)
                        return r;
        }
        /* To be left as it is asks for nothing. */
        wish.given &= wish.vf.known;
        *ret = wish;
        return 0;
}

static void make_sentence(const PtDevice *device, SriovAttribute attribute, const SriovWish *wish, char *ret, size_t size) {
        uint32_t keys = sriov_attribute_keys(attribute) & wish->vf.known;
        char value[SRIOV_TEXT_SIZE];

        if (attribute == SRIOV_ATTRIBUTE_MAC && wish->mac_generated) {
                (void) snprintf(ret, size, "give %s the MAC address that is generated for its consumer", device->sysname);
                return;
        }
        /* No need to speak of the form of a tag that is not put. */
        if (attribute == SRIOV_ATTRIBUTE_VLAN && wish->vf.value[SRIOV_KEY_VLAN] == 0)
                keys &= ~(UINT32_C(1) << SRIOV_KEY_PROTOCOL);
        sriov_vf_to_text(&wish->vf, keys, value);
        (void) snprintf(ret, size, "set the %s of %s: %s", sriov_attribute_words(attribute), device->sysname, value);
}

static int put_setting(PtContext *ctx, const PtDevice *device, SriovAttribute attribute, const SriovWish *wish) {
        uint32_t keys = sriov_attribute_keys(attribute);
        char text[SRIOV_TEXT_SIZE], value[SRIOV_TEXT_SIZE + 32], sentence[PCI_TEXT_SIZE];

        sriov_vf_to_text(&wish->vf, keys, text);
        if (attribute == SRIOV_ATTRIBUTE_MAC && wish->vf.value[SRIOV_KEY_MAC] == 0)
                text[0] = '\0';
        (void) snprintf(value, sizeof(value), "%s%s", text, wish->given & keys ? "" : " if-offered");
        make_sentence(device, attribute, wish, sentence, sizeof(sentence));
        return ctx->services->put_step(
                ctx, &(PtStep) {
                             .kind = PT_STEP_CUSTOM,
                             .flags = PT_STEP_IDEMPOTENT |
                                      (attribute == SRIOV_ATTRIBUTE_MAC && wish->mac_generated ? PT_STEP_OF_UUID : 0),
                             .device = device->id,
                             .name = sriov_attribute_step(attribute),
                             .value = value,
                             .sentence = sentence,
                             .timeout_ms = SETTING_TIMEOUT_MSEC,
                     });
}

/* A driver of the host that has the function would use it under the guest's settings for a moment, now and when it gets it
 * back: it lets go first. */
static int put_release(PtContext *ctx, const PtDevice *device) {
        char sentence[PCI_TEXT_SIZE];

        if (isempty(device->driver) || strstr(device->driver, "vfio"))
                return 0;
        (void) snprintf(sentence, sizeof(sentence), "release %s from %s", device->sysname, device->driver);
        return ctx->services->put_step(ctx, &(PtStep) {
                                                    .kind = PT_STEP_SET_DRIVER,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = device->id,
                                                    .value = "",
                                                    .sentence = sentence,
                                            });
}

void sriov_offerer_find(PtContext *ctx, const PtDevice *device, SriovOfferer *ret) {
        PtValue mode;

        *ret = (SriovOfferer) { 0 };
        if (ctx->services->read_link(ctx, device, "physfn/driver", ret->name, sizeof(ret->name)) < 0)
                ret->name[0] = '\0';
        ret->driver = sriov_driver_find(ret->name);
        ret->switchdev = ctx->services->get_field(ctx, device, "provider.eswitch-mode", &mode) >= 0 &&
                         mode.type == PT_STRING && streq(mode.s, SRIOV_SWITCHDEV);
}

const char *sriov_refusal(const SriovOfferer *offerer, SriovKey key, uint64_t value, bool *ret_switchdev) {
        const char *words = sriov_driver_refusal(offerer->driver, key, value);

        *ret_switchdev = !words && offerer->switchdev;
        return *ret_switchdev ? sriov_driver_refusal(&sriov_switchdev, key, value) : words;
}

/* What is known not to be offered is left out unless it was asked for: check() says which. */
static bool leave_out(const SriovOfferer *offerer, SriovKey key, const SriovWish *wish) {
        bool switchdev;

        return !(wish->given & UINT32_C(1) << key) && sriov_refusal(offerer, key, wish->vf.value[key], &switchdev);
}

int sriov_put_settings(PtContext *ctx, const PtRequest *request) {
        SriovOfferer offerer;
        SriovWish wish;
        int r;

        if (!sriov_takes_settings(ctx, request->device))
                return 0;
        r = sriov_wish_load(ctx, request, &wish);
        if (r < 0)
                return r;
        sriov_offerer_find(ctx, request->device, &offerer);
        for (unsigned k = 0; k < _SRIOV_KEY_MAX; k++)
                if (sriov_vf_knows(&wish.vf, k) && leave_out(&offerer, k, &wish))
                        wish.vf.known &= ~(UINT32_C(1) << k);
        if (wish.vf.known == 0)
                return 0;
        r = put_release(ctx, request->device);
        for (unsigned a = 0; a < _SRIOV_ATTRIBUTE_MAX && r >= 0; a++)
                if (wish.vf.known & sriov_attribute_keys(a))
                        r = put_setting(ctx, request->device, a, &wish);
        return r;
}
