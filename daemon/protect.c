/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protect.h"

#include <stdio.h>

#include "condition.h"
#include "lib/limits.h"
#include "log.h"

typedef struct ProtectRule {
        Verdict verdict;
        Module *module;       /* NULL with `broken`: of any type */
        ConditionList *where; /* NULL when broken */
        char *broken;         /* why it could not be understood; NULL when it could */
        const char *text, *place; /* the configuration's */
} ProtectRule;

struct Protect {
        ProtectRule *rules;
        size_t n_rules;
};

/* How a rule stands to a host device. */
typedef enum Hold {
        HOLD_NONE,
        HOLD_YES,
        HOLD_UNKNOWN, /* a slow field is not known yet, or an expression came to its limits */
        HOLD_BROKEN,
} Hold;

static void list_types(Loader *loader, char *buffer, size_t size) {
        size_t n = 0;

        (void) snprintf(buffer, size, "none is loaded");
        for (Module *module = loader_first(loader); module && n < size; module = module->next)
                n += (size_t) snprintf(buffer + n, size - n, "%s%s", n > 0 ? ", " : "", module->name);
}

/* "pci: slot begins 0000:3b". Of a module that was refused the type is known and no device is. */
static int parse_rule(Loader *loader, ProtectRule *rule, Fault *fault) {
        const char *colon = strchr(rule->text, ':');
        _cleanup_free_ char *type = colon ? strndup(rule->text, (size_t) (colon - rule->text)) : NULL;
        char types[256];

        if (!colon)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "'%s' does not begin with a type and a colon (right: pci: vendor-id = 15b3)", rule->text);
        if (!type)
                return fault_oom(fault);
        type[strcspn(type, " \t")] = '\0';
        rule->module = loader_find(loader, type);
        if (!rule->module) {
                list_types(loader, types, sizeof(types));
                return fault_set(fault, -EINVAL, FAULT_UNKNOWN_TYPE, "there is no type '%s' (valid: %s)", type, types);
        }
        colon += 1 + strspn(colon + 1, " \t");
        if (*colon == '\0')
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "'%s' names no condition (right: pci: vendor-id = 15b3)", rule->text);
        return conditions_from_text(colon, rule->module->state == MODULE_LOADED ? rule->module : NULL, &rule->where, fault);
}

static int add_rule(Loader *loader, Config *config, ProtectRule *rule) {
        _cleanup_fault_ Fault fault = { 0 };
        int r = parse_rule(loader, rule, &fault);

        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                return 0;
        rule->broken = strdup(strempty(fault.message));
        if (!rule->broken)
                return -ENOMEM;
        log_message(LOG_ERR, LOG_EVENT_NONE, NULL, "%s: [Protect]: %s", rule->place, rule->broken);
        return config_add_problem(config, "%s: [Protect]: %s; until that is mended all devices%s%s count as critical",
                                  rule->place, rule->broken, rule->module ? " of type " : "",
                                  rule->module ? rule->module->name : "");
}

int protect_new(Loader *loader, Config *config, Protect **ret) {
        _cleanup_(protect_freep) Protect *protect = calloc(1, sizeof(*protect));
        int r;

        if (!protect)
                return -ENOMEM;
        protect->rules = calloc(config->n_protect + 1, sizeof(*protect->rules));
        if (!protect->rules)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_protect; i++) {
                const ConfigProtect *line = &config->protect[i];

                protect->rules[protect->n_rules] = (ProtectRule) {
                        .verdict = line->forbidden ? VERDICT_FORBIDDEN : VERDICT_CRITICAL,
                        .text = line->text,
                        .place = strempty(line->place),
                };
                r = add_rule(loader, config, &protect->rules[protect->n_rules++]);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(protect);
        return 0;
}

Protect *protect_free(Protect *protect) {
        if (!protect)
                return NULL;
        for (size_t i = 0; i < protect->n_rules; i++) {
                conditions_free(protect->rules[i].where);
                free(protect->rules[i].broken);
        }
        free(protect->rules);
        free(protect);
        return NULL;
}

bool protect_has(const Protect *protect, const Module *module) {
        for (size_t i = 0; i < protect->n_rules; i++)
                if (protect->rules[i].module == module)
                        return true;
        return false;
}

bool protect_needs_slow(const Protect *protect, const Module *module) {
        for (size_t i = 0; i < protect->n_rules; i++)
                if (protect->rules[i].module == module && protect->rules[i].where &&
                    conditions_need_slow(protect->rules[i].where))
                        return true;
        return false;
}

static Hold holds(const ProtectRule *rule, const HostDevice *host) {
        Hold hold = HOLD_NONE;

        if (rule->broken && !rule->module)
                return HOLD_BROKEN;
        for (const Device *device = host->offers; device; device = device->next_offer) {
                if (device->module != rule->module)
                        continue;
                if (rule->broken)
                        return HOLD_BROKEN;
                switch (conditions_match(rule->where, device, NULL)) {
                case MATCH_YES:
                        return HOLD_YES;
                case MATCH_UNKNOWN:
                        hold = HOLD_UNKNOWN;
                        break;
                case MATCH_NO:
                        break;
                }
        }
        return hold;
}

/* A rule that is not understood or not answered cannot say "never". */
static Verdict verdict_of(const ProtectRule *rule, Hold hold) {
        if (hold == HOLD_NONE)
                return VERDICT_FREE;
        return hold == HOLD_YES ? rule->verdict : VERDICT_CRITICAL;
}

/* The gravest rule; `ret_hold` is HOLD_NONE for none. */
static const ProtectRule *gravest(const Protect *protect, const HostDevice *host, Hold *ret_hold) {
        const ProtectRule *found = NULL;
        Verdict worst = VERDICT_FREE;

        *ret_hold = HOLD_NONE;
        for (size_t i = 0; i < protect->n_rules; i++) {
                Hold hold = holds(&protect->rules[i], host);

                if (verdict_of(&protect->rules[i], hold) > worst) {
                        worst = verdict_of(&protect->rules[i], hold);
                        found = &protect->rules[i];
                        *ret_hold = hold;
                }
        }
        return found;
}

Verdict protect_verdict(const Protect *protect, const HostDevice *host) {
        Hold hold;
        const ProtectRule *rule = gravest(protect, host, &hold);

        return rule ? verdict_of(rule, hold) : VERDICT_FREE;
}

static char *reason(const ProtectRule *rule, Hold hold) {
        static const char *const words[] = {
                [HOLD_YES] = "the configuration protects it",
                [HOLD_UNKNOWN] = "whether the configuration protects it is not known yet",
                [HOLD_BROKEN] = "a rule of the configuration could not be understood",
        };
        char *text;

        if (asprintf(&text, "%s: \"%s\" (%s)%s%s", words[hold], rule->text, rule->place, rule->broken ? ": " : "",
                     strempty(rule->broken)) < 0)
                return NULL;
        return text;
}

static const char *code_of(Hold hold) {
        return hold == HOLD_BROKEN ? "protect-rule-broken" : "protected";
}

Verdict protect_explain(const Protect *protect, const HostDevice *host, FindingList *findings) {
        Verdict worst = VERDICT_FREE;

        for (size_t i = 0; i < protect->n_rules; i++) {
                const ProtectRule *rule = &protect->rules[i];
                Hold hold = holds(rule, host);
                Verdict verdict = verdict_of(rule, hold);
                _cleanup_free_ char *text = verdict > VERDICT_FREE ? reason(rule, hold) : NULL;

                if (!text)
                        continue;
                if (finding_add(findings, PT_SEVERITY_BLOCKER, code_of(hold), rule->place,
                                verdict == VERDICT_CRITICAL
                                        ? "change the rule and start the service anew, or override it by name"
                                        : "change the rule and start the service anew",
                                "%s", text) >= 0 &&
                    verdict == VERDICT_CRITICAL)
                        finding_set_overridable(findings);
                worst = MAX_OF(worst, verdict);
        }
        return worst;
}

const char *protect_code(const Protect *protect, const HostDevice *host) {
        Hold hold;

        return gravest(protect, host, &hold) ? code_of(hold) : NULL;
}

char *protect_reason(const Protect *protect, const HostDevice *host) {
        Hold hold;
        const ProtectRule *rule = gravest(protect, host, &hold);

        return rule ? reason(rule, hold) : NULL;
}
