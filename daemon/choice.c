/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "choice.h"

#include <stdio.h>

#include "choice-use.h"
#include "json-util.h"
#include "lib/limits.h"

/* Points. Those of the policies stay below what "used last" is worth. */
#define POINTS_USED_LAST 10000000
#define POINTS_IOMMU_GROUP 10000 /* for each device in use there, NEAR_MAX at most */
#define POINTS_PROVIDER 100 /* for each that the same provider makes */
#define POINTS_CARD 100
#define POINTS_PARENT 1
#define NEAR_MAX 99u
#define POINTS_SPREAD 999999 /* with nothing in use nearby */
/* Distances as the firmware's tables have them: 10 to itself, 20 and more to others; in between, where no
 * node is stated. */
/* Off for what others lose: more than near devices are worth. */
#define POINTS_COST 2000000
#define COST_UNIT 16u /* of the module's, for each */
#define COST_MAX 4u
#define POINTS_NUMA 255
#define DISTANCE_SAME 10
#define DISTANCE_UNKNOWN 15
#define DISTANCE_OTHER 20

/* What the group's members of one bundle come to: one thing that can be had or not. */
typedef struct Candidate {
        Device *device; /* stands for the bundle */
        size_t rank;    /* in order of place */
        size_t last;    /* position among those used last, from 1; 0: was not */
        Surroundings surroundings;
        Nearness near;
        int64_t score;
        const struct ProviderCost *cost; /* NULL: nobody else wants anything of its provider */
        bool asked, eligible;
        size_t turn; /* chosen as which, from 1; 0: was not */
        FindingList why_not;
} Candidate;

/* An IOMMU group that was met; its candidate, where there are candidates. */
typedef struct Bundle {
        int32_t iommu_group;
        Candidate *candidate;
        UT_hash_handle hh;
} Bundle;

/* What it costs others to take one more device of a provider. */
typedef struct ProviderCost {
        const Provider *provider;
        uint32_t cost;
        char text[CHOICE_TEXT_SIZE];
        struct ProviderCost *next;
        UT_hash_handle hh;
} ProviderCost;

typedef struct Choice {
        const ChoiceRequest *request;
        Inventory *inventory;
        Bundle *bundles;
        Candidate *candidates;
        size_t n_candidates;
        Candidate **preference; /* best first */
        UseTable *use;          /* pack and spread */
        ProviderCost *costs;    /* the same: uthash, as of now */
        ProviderCost *all_costs; /* also those that candidates were chosen for */
        Device **chosen;        /* NULL-terminated */
        size_t n_chosen;
} Choice;

static void choice_forget_bundles(Choice *choice) {
        Bundle *bundle, *next;

        HASH_ITER(hh, choice->bundles, bundle, next) {
                HASH_DEL(choice->bundles, bundle);
                free(bundle);
        }
}

static void choice_forget_costs(Choice *choice) {
        HASH_CLEAR(hh, choice->costs);
        while (choice->all_costs) {
                ProviderCost *cost = choice->all_costs;

                choice->all_costs = cost->next;
                free(cost);
        }
}

static void choice_done(Choice *choice) {
        choice_forget_bundles(choice);
        choice_forget_costs(choice);
        for (size_t i = 0; i < choice->n_candidates; i++)
                finding_list_done(&choice->candidates[i].why_not);
        free(choice->candidates);
        free(choice->preference);
        use_table_free(choice->use);
        free(choice->chosen);
}

static ChoicePolicy policy_of(const Choice *choice) {
        return choice->request->group->choice;
}

static bool depends_on_use(const Choice *choice) {
        return policy_of(choice) == CHOICE_PACK || policy_of(choice) == CHOICE_SPREAD;
}

static bool is_complete(const Choice *choice) {
        return choice->n_chosen >= choice->request->count;
}

/* The entry of the device's IOMMU group; NULL when it was not met yet, or the device has none. */
static Bundle *choice_find_bundle(const Choice *choice, const Device *device) {
        int32_t number = device->host->iommu_group;
        Bundle *bundle;

        if (number < 0)
                return NULL;
        HASH_FIND(hh, choice->bundles, &number, sizeof(number), bundle);
        return bundle;
}

static int choice_add_bundle(Choice *choice, const Device *device, Candidate *candidate) {
        Bundle *bundle;

        if (device->host->iommu_group < 0)
                return 0;
        bundle = calloc(1, sizeof(Bundle));
        if (!bundle)
                return -ENOMEM;
        bundle->iommu_group = device->host->iommu_group;
        bundle->candidate = candidate;
        HASH_ADD(hh, choice->bundles, iommu_group, sizeof(bundle->iommu_group), bundle);
        return 0;
}

static bool choice_fits(const Choice *choice, Device *device, size_t n_chosen, FindingList *why_not) {
        const ChoiceRequest *request = choice->request;

        return !request->fits || request->fits(request->userdata, choice->chosen, n_chosen, device, why_not);
}

/* Without candidates: takes the device when its bundle was not met yet and it can be had. */
static int choice_consider(Choice *choice, Device *device) {
        _cleanup_findings_ FindingList why_not = { 0 };

        if (is_complete(choice) || choice_find_bundle(choice, device))
                return 0;
        if (choice_add_bundle(choice, device, NULL) < 0)
                return -ENOMEM;
        if (choice->request->eligible(choice->request->userdata, device, &why_not) &&
            choice_fits(choice, device, choice->n_chosen, NULL))
                choice->chosen[choice->n_chosen++] = device;
        return 0;
}

/* What nobody wants explained is found without looking at the whole group: a consumer gets back what it
 * had, and in order of place the first that can be had is the answer. Returns 0 where the group must be
 * looked at after all. */
static int choice_make_quickly(Choice *choice) {
        const ChoiceRequest *request = choice->request;
        Device *const *members;

        for (size_t i = 0; request->last && request->last[i]; i++) {
                Device *device = inventory_find(choice->inventory, request->last[i]);

                if (device && group_has_member(request->group, device) &&
                    choice_consider(choice, device) < 0)
                        return -ENOMEM;
        }
        if (is_complete(choice))
                return 1;
        if (policy_of(choice) == CHOICE_ORDER) {
                members = group_members_by_place(request->group);
                if (!members && request->group->n_members > 0)
                        return -ENOMEM;
                for (size_t i = 0; i < request->group->n_members && !is_complete(choice); i++)
                        if (choice_consider(choice, members[i]) < 0)
                                return -ENOMEM;
                return 1;
        }
        choice_forget_bundles(choice);
        choice->n_chosen = 0;
        return 0;
}

static size_t used_last(const ChoiceRequest *request, const Device *device) {
        for (size_t i = 0; request->last && request->last[i]; i++)
                if (streq(request->last[i], device->id))
                        return i + 1;
        return 0;
}

/* Adds the member to its bundle's candidate. The first to come stands for the bundle, until one comes that
 * was used before: the consumer knows that one. */
static int choice_add_member(Choice *choice, Device *device) {
        size_t last = used_last(choice->request, device);
        Bundle *bundle = choice_find_bundle(choice, device);
        Candidate *c;

        if (!bundle) {
                c = &choice->candidates[choice->n_candidates];
                *c = (Candidate){ .device = device, .rank = choice->n_candidates, .last = last };
                choice->preference[choice->n_candidates++] = c;
                return choice_add_bundle(choice, device, c);
        }
        c = bundle->candidate;
        if (last > 0 && (c->last == 0 || last < c->last)) {
                c->device = device;
                c->last = last;
        }
        return 0;
}

static int choice_find_candidates(Choice *choice) {
        const Group *group = choice->request->group;
        Device *const *members = group_members_by_place(group);

        choice->candidates = calloc(group->n_members + 1, sizeof(Candidate));
        choice->preference = calloc(group->n_members + 1, sizeof(Candidate *));
        if (!choice->candidates || !choice->preference || (group->n_members > 0 && !members))
                return -ENOMEM;
        for (size_t i = 0; i < group->n_members; i++)
                if (choice_add_member(choice, members[i]) < 0)
                        return -ENOMEM;

        if (!depends_on_use(choice))
                return 0;
        if (use_table_new(choice->inventory, &choice->use) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < choice->n_candidates; i++) {
                Candidate *c = &choice->candidates[i];

                if (use_table_look(choice->use, c->device->host, &c->surroundings) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int64_t points_for_use(const Nearness *near) {
        return (int64_t) MIN_OF(near->iommu_group, NEAR_MAX) * POINTS_IOMMU_GROUP +
               (int64_t) MIN_OF(near->provider, NEAR_MAX) * POINTS_PROVIDER +
               (int64_t) MIN_OF(near->card, NEAR_MAX) * POINTS_CARD +
               (int64_t) MIN_OF(near->parent, NEAR_MAX) * POINTS_PARENT;
}

static int64_t points_for_node(int wanted, int node) {
        if (wanted < 0)
                return 0;
        return POINTS_NUMA - (node < 0 ? DISTANCE_UNKNOWN : node == wanted ? DISTANCE_SAME : DISTANCE_OTHER);
}

static void choice_price(Choice *choice, Candidate *c) {
        const ChoiceRequest *request = choice->request;
        const Provider *provider = c->device->provider;
        ProviderCost *cost = NULL;

        c->cost = NULL;
        if (!request->cost || !provider)
                return;
        HASH_FIND_PTR(choice->costs, &provider, cost);
        if (!cost && (cost = calloc(1, sizeof(*cost)))) {
                cost->provider = provider;
                cost->cost = request->cost(request->userdata, choice->chosen, choice->n_chosen, c->device, cost->text);
                cost->next = choice->all_costs;
                choice->all_costs = cost;
                HASH_ADD_PTR(choice->costs, provider, cost);
        }
        c->cost = cost;
}

static int64_t points_for_cost(const ProviderCost *cost) {
        return !cost || cost->cost == 0 ? 0 : (int64_t) MIN_OF((cost->cost - 1) / COST_UNIT + 1, COST_MAX) * POINTS_COST;
}

static void choice_score(Choice *choice, Candidate *c) {
        switch (policy_of(choice)) {
        case CHOICE_PACK:
        case CHOICE_SPREAD:
                c->near = nearness_of(&c->surroundings);
                c->score = points_for_use(&c->near);
                if (policy_of(choice) == CHOICE_SPREAD)
                        c->score = POINTS_SPREAD - c->score;
                choice_price(choice, c);
                /* What it had it gets back. */
                if (c->last == 0)
                        c->score -= points_for_cost(c->cost);
                break;
        case CHOICE_NUMA:
                c->score = points_for_node(choice->request->numa_node, c->device->host->numa_node);
                break;
        case CHOICE_ORDER:
        case _CHOICE_MAX:
        case _CHOICE_INVALID:
                c->score = (int64_t) (choice->n_candidates - c->rank);
                break;
        }
        if (c->last > 0)
                c->score += POINTS_USED_LAST;
}

/* Those used last first, then by points, then by place: no two are equal. */
static int compare_preference(const void *a, const void *b) {
        const Candidate *first = *(Candidate *const *) a, *second = *(Candidate *const *) b;

        if (first->last != second->last)
                return first->last == 0 ? 1 : second->last == 0 ? -1 : first->last < second->last ? -1 : 1;
        if (first->score != second->score)
                return first->score > second->score ? -1 : 1;
        return first->rank < second->rank ? -1 : 1;
}

/* What was chosen keeps the points that it was chosen for. */
static void choice_sort(Choice *choice) {
        for (size_t i = 0; i < choice->n_candidates; i++)
                if (choice->candidates[i].turn == 0)
                        choice_score(choice, &choice->candidates[i]);
        if (choice->n_candidates > 1)
                qsort(choice->preference, choice->n_candidates, sizeof(Candidate *), compare_preference);
}

static bool choice_ask(Choice *choice, Candidate *c) {
        if (!c->asked)
                c->eligible = choice->request->eligible(choice->request->userdata, c->device, &c->why_not);
        c->asked = true;
        return c->eligible;
}

static int choice_take(Choice *choice, Candidate *c) {
        _cleanup_free_ HostDevice **bundle = NULL;
        ProviderCost *cost = NULL;
        int r;

        choice->chosen[choice->n_chosen++] = c->device;
        c->turn = choice->n_chosen;
        /* The next one of its provider may cost more. */
        HASH_FIND_PTR(choice->costs, &c->device->provider, cost);
        if (cost)
                HASH_DEL(choice->costs, cost);
        if (!choice->use)
                return 0;
        r = inventory_bundle(choice->inventory, c->device, &bundle);
        if (r < 0)
                return r;
        for (size_t i = 0; bundle[i]; i++)
                if (use_table_add(choice->use, bundle[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static int choice_choose(Choice *choice) {
        choice_sort(choice);
        for (size_t i = 0; i < choice->n_candidates && !is_complete(choice);) {
                Candidate *c = choice->preference[i++];
                int r;

                if (c->turn > 0 || !choice_ask(choice, c) || !choice_fits(choice, c->device, choice->n_chosen, NULL))
                        continue;
                r = choice_take(choice, c);
                if (r < 0)
                        return r;
                /* What was taken is in use, too. */
                if (depends_on_use(choice)) {
                        choice_sort(choice);
                        i = 0;
                }
        }
        return 0;
}

static int add_use_reason(json_t *reasons, unsigned n, const char *where) {
        if (n == 0)
                return 0;
        return json_append_text(reasons, "%u %s %s %s in use", n, n == 1 ? "device" : "devices", where,
                          n == 1 ? "is" : "are");
}

static int add_use_reasons(json_t *reasons, const Nearness *near) {
        if (near->iommu_group == 0 && near->parent == 0 && near->card == 0 && near->provider == 0)
                return json_append_text(reasons, "nothing near it is in use");
        if (add_use_reason(reasons, near->iommu_group, "of its IOMMU group") < 0 ||
            add_use_reason(reasons, near->provider, "of the same provider") < 0 ||
            add_use_reason(reasons, near->card, "of its card") < 0)
                return -ENOMEM;
        return add_use_reason(reasons, near->parent, "below the same bridge or hub");
}

static int add_node_reason(json_t *reasons, int wanted, int node) {
        if (wanted < 0)
                return json_append_text(reasons, "no NUMA node was asked for");
        if (node < 0)
                return json_append_text(reasons, "its NUMA node is not known");
        if (node == wanted)
                return json_append_text(reasons, "on NUMA node %d as asked for", node);
        return json_append_text(reasons, "on NUMA node %d, not %d", node, wanted);
}

static int add_reasons(const Choice *choice, const Candidate *c, json_t *reasons) {
        int r = 0;

        if (c->last > 0)
                r = json_append_text(reasons, "used last");
        if (r < 0)
                return r;
        switch (policy_of(choice)) {
        case CHOICE_PACK:
        case CHOICE_SPREAD:
                r = add_use_reasons(reasons, &c->near);
                return r < 0 || !c->cost || isempty(c->cost->text) ? r : json_append_text(reasons, "%s", c->cost->text);
        case CHOICE_NUMA:
                return add_node_reason(reasons, choice->request->numa_node, c->device->host->numa_node);
        case CHOICE_ORDER:
        case _CHOICE_MAX:
        case _CHOICE_INVALID:
                break;
        }
        return json_append_text(reasons, "place %zu of %zu in order", c->rank + 1, choice->n_candidates);
}

static int add_companions(const Choice *choice, const Candidate *c, json_t *companions) {
        _cleanup_free_ HostDevice **bundle = NULL;
        int r = inventory_bundle(choice->inventory, c->device, &bundle);

        if (r < 0)
                return r;
        for (size_t i = 0; bundle[i]; i++)
                if (bundle[i] != c->device->host &&
                    json_array_append_new(companions, json_string(bundle[i]->id)) < 0)
                        return -ENOMEM;
        return 0;
}

static int candidate_to_json(const Choice *choice, const Candidate *c, json_t **ret) {
        json_auto_t *companions = json_array(), *reasons = json_array();
        json_t *json;
        int r;

        if (!companions || !reasons)
                return -ENOMEM;
        r = add_companions(choice, c, companions);
        if (r < 0)
                return r;
        r = add_reasons(choice, c, reasons);
        if (r < 0)
                return r;
        json = json_pack("{ss sO sI sb sO so}", "device", c->device->id, "companions", companions, "score",
                         (json_int_t) c->score, "chosen", (int) (c->turn > 0), "reasons", reasons,
                         "blockers", finding_list_to_json(&c->why_not));
        if (!json)
                return -ENOMEM;
        *ret = json;
        return 0;
}

/* Those chosen in their order, then what could be had as well, then the rest. */
static int compare_result(const void *a, const void *b) {
        const Candidate *first = *(Candidate *const *) a, *second = *(Candidate *const *) b;

        if (first->turn != second->turn)
                return first->turn == 0 ? 1 : second->turn == 0 ? -1 : first->turn < second->turn ? -1 : 1;
        if (first->eligible != second->eligible)
                return first->eligible ? -1 : 1;
        return compare_preference(a, b);
}

static int choice_explain(Choice *choice, json_t **ret) {
        json_auto_t *array = json_array();

        if (!array)
                return -ENOMEM;
        /* Best first; of a group of thousands the others are counted only. One that would do in place of a chosen one does. */
        for (size_t i = 0; i < choice->n_candidates && i < CANDIDATES_MAX; i++) {
                Candidate *c = choice->preference[i];

                if (choice_ask(choice, c) && c->turn == 0)
                        c->eligible = choice_fits(choice, c->device, is_complete(choice) ? 0 : choice->n_chosen, &c->why_not);
        }
        if (choice->n_candidates > 1)
                qsort(choice->preference, choice->n_candidates, sizeof(Candidate *), compare_result);
        for (size_t i = 0; i < choice->n_candidates && json_array_size(array) < CANDIDATES_MAX; i++) {
                json_t *json = NULL;

                if (!choice->preference[i]->asked)
                        continue;
                int r = candidate_to_json(choice, choice->preference[i], &json);

                if (r < 0)
                        return r;
                if (json_array_append_new(array, json) < 0)
                        return -ENOMEM;
        }
        *ret = json_incref(array);
        return 0;
}

static int choice_run(Choice *choice, json_t **ret_candidates) {
        int r = 0;

        if (!ret_candidates)
                r = choice_make_quickly(choice);
        if (r != 0)
                return r;
        r = choice_find_candidates(choice);
        if (r < 0)
                return r;
        r = choice_choose(choice);
        if (r < 0)
                return r;
        return ret_candidates ? choice_explain(choice, ret_candidates) : 0;
}

int choice_make(Inventory *inventory, const ChoiceRequest *request, Device ***ret, size_t *ret_n,
                json_t **ret_candidates, Fault *fault) {
        _cleanup_(choice_done) Choice choice = { .request = request, .inventory = inventory };
        size_t n = MIN_OF((size_t) request->count, request->group->n_members);
        int r;

        choice.chosen = calloc(n + 1, sizeof(Device *));
        r = choice.chosen ? choice_run(&choice, ret_candidates) : -ENOMEM;
        if (r == -ENOMEM)
                return fault_oom(fault);
        if (r < 0)
                return fault_set_object(fault, r, FAULT_INTERNAL, request->group->id,
                                        "The bundles of the group %s cannot be told: %s", request->group->id,
                                        strerror(-r));
        *ret_n = choice.n_chosen;
        *ret = TAKE_PTR(choice.chosen);
        return 0;
}
