/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rules by the place that they record a device at: who comes there is compared with what was recorded. */

#include "identity.h"
#include "policy-internal.h"

static PlaceRules *find(Policy *policy, const char *device) {
        PlaceRules *rules;

        HASH_FIND_STR(policy->places, device, rules);
        return rules;
}

Rule *policy_rules_at(Policy *policy, const char *device) {
        const PlaceRules *rules = find(policy, device);

        return rules ? rules->first : NULL;
}

int policy_place_add(Policy *policy, Rule *rule) {
        const char *place = identity_place(rule->identity);
        PlaceRules *rules;

        if (!place)
                return 0;
        rules = find(policy, place);
        if (!rules) {
                rules = calloc(1, sizeof(PlaceRules));
                if (!rules)
                        return -ENOMEM;
                (void) snprintf(rules->device, sizeof(rules->device), "%s", place);
                HASH_ADD_STR(policy->places, device, rules);
        }
        rule->next_at_place = rules->first;
        rules->first = rule;
        return 0;
}

void policy_place_remove(Policy *policy, Rule *rule) {
        const char *place = identity_place(rule->identity);
        PlaceRules *rules = place ? find(policy, place) : NULL;

        for (Rule **link = rules ? &rules->first : NULL; link && *link; link = &(*link)->next_at_place)
                if (*link == rule) {
                        *link = rule->next_at_place;
                        break;
                }
        if (rules && !rules->first) {
                HASH_DEL(policy->places, rules);
                free(rules);
        }
}

void policy_places_free(Policy *policy) {
        PlaceRules *rules, *next;

        HASH_ITER(hh, policy->places, rules, next) {
                HASH_DEL(policy->places, rules);
                free(rules);
        }
}
