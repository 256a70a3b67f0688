/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Steps: a VF goes to its guest as any function does. */

#include <stdio.h>

#include "sriov-settings.h"
#include "sriov.h"

/* Enabling takes a tenth of a second and what the driver does for each function; the largest cards need a minute. */
#define PROVISION_BASE_MSEC 30000u
#define PROVISION_PER_VF_MSEC 500u

static int plan_provision(PtContext *ctx, const PtRequest *request) {
        char value[16], sentence[PCI_TEXT_SIZE];
        PtValue vfs;
        int r;

        r = ctx->services->get_setting(ctx, SRIOV_SETTING_VFS, &vfs);
        if (r < 0)
                return r;
        (void) snprintf(value, sizeof(value), "%u", vfs.u);
        (void) snprintf(sentence, sizeof(sentence), "make %u virtual function%s on %s", vfs.u, vfs.u == 1 ? "" : "s",
                        request->device->sysname);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_SET_VF_COUNT,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = request->device->id,
                                                    .value = value,
                                                    .sentence = sentence,
                                                    .timeout_ms = PROVISION_BASE_MSEC + PROVISION_PER_VF_MSEC * vfs.u,
                                            });
}

int sriov_plan(PtContext *ctx, const PtRequest *request) {
        char physfn[PCI_ADDRESS_SIZE];
        SriovKind kind = sriov_kind(ctx, request->device, physfn);

        if (request->verb == PT_VERB_PROVISION)
                return kind == SRIOV_PF ? plan_provision(ctx, request) : -EOPNOTSUPP;
        /* The count found before is restored by undoing the steps. */
        if (request->verb == PT_VERB_UNPROVISION)
                return kind == SRIOV_PF ? 0 : -EOPNOTSUPP;
        if (kind != SRIOV_VF)
                return -EOPNOTSUPP;
        /* Set before the guest's driver, or anybody, has the function; restored, as steps are undone in reverse, before the
         * driver that had it gets it back. */
        if (request->verb == PT_VERB_ACTIVATE) {
                int r = sriov_put_settings(ctx, request);

                if (r < 0)
                        return r;
        }
        return pci_plan(ctx, request);
}

/* libvirt sets the VLAN of an interface once more, and can say no more of it than its number: it would take off priority and
 * 802.1ad, and a VLAN that is to stay as it was found. */
static bool libvirt_keeps_vlan(const SriovVf *vf) {
        return sriov_vf_knows(vf, SRIOV_KEY_VLAN) && vf->value[SRIOV_KEY_QOS] == 0 &&
               (vf->value[SRIOV_KEY_VLAN] == 0 || vf->value[SRIOV_KEY_PROTOCOL] != SRIOV_PROTOCOL_8021AD);
}

int sriov_guest(PtContext *ctx, const PtRequest *request) {
        char mac[64], vlan[64], value[32];
        const char *libvirt[4] = { 0 };
        SriovWish wish;
        size_t n = 0;

        if (!sriov_takes_settings(ctx, request->device) || sriov_wish_load(ctx, request, &wish) < 0)
                return pci_guest(ctx, request);
        if (sriov_vf_knows(&wish.vf, SRIOV_KEY_MAC) && wish.vf.value[SRIOV_KEY_MAC] != 0) {
                sriov_value_to_text(SRIOV_KEY_MAC, wish.vf.value[SRIOV_KEY_MAC], value, sizeof(value));
                (void) snprintf(mac, sizeof(mac), "mac=%s", value);
                libvirt[n++] = mac;
        }
        if (sriov_vf_knows(&wish.vf, SRIOV_KEY_VLAN) && wish.vf.value[SRIOV_KEY_VLAN] > 0) {
                (void) snprintf(vlan, sizeof(vlan), "vlan=%u", (unsigned) wish.vf.value[SRIOV_KEY_VLAN]);
                libvirt[n++] = vlan;
        }
        if (!libvirt_keeps_vlan(&wish.vf))
                libvirt[n++] = "interface=no";
        return pci_guest_with(ctx, request, n > 0 ? libvirt : NULL);
}
