/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers that say what the host needs wait until that is known as of now. The message is dispatched again then, so only
 * methods that anybody may call can wait in this way: polkit's answers are not kept that long. */

#include "bus-internal.h"
#include "guard.h"

struct EvidenceCall {
        Bus *bus;
        sd_bus_message *message;
        bool ready; /* it is about to be handled again */
        struct EvidenceCall *next;
};

static void call_free(EvidenceCall *call) {
        for (EvidenceCall **p = &call->bus->evidence_calls; *p; p = &(*p)->next)
                if (*p == call) {
                        *p = call->next;
                        break;
                }
        sd_bus_message_unref(call->message);
        free(call);
}

static void on_evidence(void *userdata, int result) {
        EvidenceCall *call = userdata;
        int r = sd_bus_message_rewind(call->message, true);

        call->ready = true;
        if (r >= 0)
                r = sd_bus_enqueue_for_read(call->bus->bus, call->message);
        if (r < 0) {
                (void) bus_reply_fault(call->message, r, NULL);
                call_free(call);
        }
}

int bus_await_evidence(Bus *b, sd_bus_message *m) {
        EvidenceCall *call;

        for (call = b->evidence_calls; call; call = call->next)
                if (call->message == m && call->ready) {
                        call_free(call);
                        return 1;
                }
        if (!guard_stale(b->manager->guard))
                return 1;
        call = calloc(1, sizeof(*call));
        if (!call)
                return -ENOMEM;
        *call = (EvidenceCall){ .bus = b, .message = sd_bus_message_ref(m), .next = b->evidence_calls };
        b->evidence_calls = call;
        guard_refresh(b->manager->guard, on_evidence, call);
        return 0;
}

void bus_evidence_free(Bus *b) {
        while (b->evidence_calls) {
                if (b->manager)
                        guard_cancel(b->manager->guard, b->evidence_calls);
                call_free(b->evidence_calls);
        }
}
