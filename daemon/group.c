/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group.h"

#include <assert.h>
#include <stdio.h>

#include "excerpt.h"
#include "json-util.h"
#include "lib/limits.h"
#include "lib/schema.h"
#include "membership.h"
#include "place.h"

static const char *const choice_policies[_CHOICE_MAX] = {
        [CHOICE_ORDER] = "order",
        [CHOICE_PACK] = "pack",
        [CHOICE_SPREAD] = "spread",
        [CHOICE_NUMA] = "numa",
};

DEFINE_STRING_TABLE(choice_policy, ChoicePolicy, choice_policies)

static const char *const classes[] = {
        "gpu", "vgpu", "storage", "hid", "usb", "network", "media", "audio", "fpga", "pci", "unknown", NULL,
};

Group *group_free(Group *group) {
        if (!group)
                return NULL;
        /* Devices point back at their groups. */
        assert(group->n_members == 0);
        while (group->rules) {
                Rule *next = group->rules->next;

                rule_free(group->rules);
                group->rules = next;
        }
        matcher_free(group->matcher);
        free(group->name);
        free(group->type);
        free(group->description);
        free(group->class);
        settings_done(&group->settings);
        json_decref(group->kept_settings);
        strv_free(group->user_defined);
        free(group->tenant);
        free(group->members);
        free(group->by_place);
        free(group);
        return NULL;
}

static int find_module(Group *group, Loader *loader, bool stored, Fault *fault) {
        Module *module = loader_find(loader, group->type);
        char type[EXCERPT_SIZE], types[256] = "";

        if (module && module->state == MODULE_LOADED) {
                group->module = module;
                return 0;
        }
        if (stored)
                return 0;
        if (module)
                return fault_set(fault, -ENOENT, FAULT_MODULE_MISSING,
                                 "The module of type %s was refused: %s", module->name,
                                 strempty(module->reason));
        for (Module *m = loader_first(loader); m; m = m->next)
                if (m->state == MODULE_LOADED &&
                    strlen(types) + strlen(m->name) + sizeof(", ") < sizeof(types))
                        strcat(strcat(types, types[0] ? ", " : ""), m->name);
        return fault_set(fault, -ENOENT, FAULT_UNKNOWN_TYPE, "There is no type \"%s\"; known types: %s",
                         excerpt(group->type, type), types[0] ? types : "none");
}

/* Takes out of `settings` what the module does not accept (any more) and keeps it aside: the next version,
 * or the one before, may know it again. */
static int keep_unknown_settings(Group *group, json_t *settings) {
        const char *name;
        json_t *value;
        void *next;

        json_object_foreach_safe(settings, next, name, value) {
                _cleanup_settings_ SettingValues values = { 0 };
                json_t *one = json_pack("{sO}", name, value);
                int r;

                if (!one)
                        return -ENOMEM;
                r = settings_from_json(group->module->descriptor->settings, one, PT_SETTING_GROUP, &values,
                                       NULL);
                json_decref(one);
                if (r == -ENOMEM)
                        return r;
                if (r >= 0)
                        continue;
                if (!group->kept_settings)
                        group->kept_settings = json_object();
                if (json_object_set(group->kept_settings, name, value) < 0)
                        return -ENOMEM;
                json_object_del(settings, name);
        }
        return 0;
}

static int set_settings(Group *group, json_t *settings, bool stored, Fault *fault) {
        json_t *copy;
        int r;

        if (!group->module) {
                group->kept_settings = settings ? json_deep_copy(settings) : NULL;
                return settings && !group->kept_settings ? fault_oom(fault) : 0;
        }
        if (!stored) {
                r = settings_from_json(group->module->descriptor->settings, settings, PT_SETTING_GROUP, &group->settings,
                                       fault);
                return r < 0 ? r : settings_check(group->module->descriptor, &group->settings, fault);
        }

        copy = settings ? json_deep_copy(settings) : json_object();
        r = copy ? keep_unknown_settings(group, copy) : -ENOMEM;
        if (r < 0)
                fault_oom(fault);
        else
                r = settings_from_json(group->module->descriptor->settings, copy, PT_SETTING_GROUP,
                                       &group->settings, fault);
        json_decref(copy);
        return r;
}

/* Names that are there twice are taken once. Stored ones were checked when they were given. */
static int check_user_defined(Group *group, bool stored, Fault *fault) {
        const PtSetting *settings = group->module ? group->module->descriptor->settings : NULL;
        char **names = group->user_defined;
        size_t n = 0;

        for (size_t i = 0; names[i]; i++) {
                const PtSetting *setting = schema_find_setting(settings, names[i]);
                char name[EXCERPT_SIZE];

                if (!stored && !setting) {
                        const char *nearest = schema_nearest_setting(settings, names[i]);

                        return fault_set(fault, -EINVAL, FAULT_UNKNOWN_SETTING,
                                         "Type %s has no setting \"%s\" that could be user-defined%s%s%s",
                                         group->type, excerpt(names[i], name),
                                         nearest ? ", did you mean \"" : "", strempty(nearest),
                                         nearest ? "\"?" : "");
                }
                if (!stored && !(setting->flags & PT_SETTING_OVERRIDE))
                        return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                         "The setting %s of type %s cannot be user-defined", setting->name,
                                         group->type);
        }
        for (size_t i = 0; names[i]; i++) {
                char *name = names[i];

                names[i] = NULL;
                for (size_t j = 0; name && j < n; j++)
                        if (streq(names[j], name)) {
                                free(name);
                                name = NULL;
                        }
                if (name)
                        names[n++] = name;
        }
        return 0;
}

static int set_defaults(Group *group, Fault *fault) {
        const char *class = group->module ? group->module->descriptor->default_class : NULL;

        if (!group->description)
                group->description = strdup("");
        if (!group->class)
                group->class = strdup(class && strv_contains(classes, class) ? class : "unknown");
        if (!group->tenant)
                group->tenant = strdup("");
        if (!group->user_defined)
                group->user_defined = calloc(1, sizeof(char *));
        return group->description && group->class && group->tenant && group->user_defined ? 0
                                                                                          : fault_oom(fault);
}

static int check_words(Group *group, const char *choice, Fault *fault) {
        char text[EXCERPT_SIZE];

        if (group->name[0] == '\0')
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "The name of a group is empty");
        if (!strv_contains(classes, group->class))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "The class of a group is \"%s\", but must be one of: gpu, vgpu, storage, "
                                 "hid, usb, network, "
                                 "media, audio, fpga, pci, unknown",
                                 excerpt(group->class, text));
        if (choice) {
                group->choice = choice_policy_from_string(choice);
                if ((int) group->choice < 0)
                        return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                         "The choice of a group is \"%s\", but must be one of: order, pack, "
                                         "spread, numa",
                                         excerpt(choice, text));
        }
        return 0;
}

int group_from_json(const char *id, json_t *body, Loader *loader, bool stored, Group **ret, Fault *fault) {
        _cleanup_(group_freep) Group *group = calloc(1, sizeof(Group));
        _cleanup_free_ char *choice = NULL;
        json_t *settings = NULL;
        int r;

        if (!group)
                return fault_oom(fault);
        if (!id_is_valid(id))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                 "The id of a group must be a DNS label");
        strcpy(group->id, id);
        group->enabled = true;

        r = json_parse_object(
                body,
                (const JsonKey[]){
                        { "name", JSON_KEY_STRING, &group->name, NAME_MAX_BYTES, true },
                        { "type", JSON_KEY_STRING, &group->type, NAME_MAX_BYTES, true },
                        { "description", JSON_KEY_STRING, &group->description, TEXT_MAX_BYTES },
                        { "class", JSON_KEY_STRING, &group->class, NAME_MAX_BYTES },
                        { "enabled", JSON_KEY_BOOL, &group->enabled },
                        { "settings", JSON_KEY_OBJECT, &settings },
                        { "user-defined", JSON_KEY_STRV, &group->user_defined },
                        { "choice", JSON_KEY_STRING, &choice, NAME_MAX_BYTES },
                        { "tenant", JSON_KEY_STRING, &group->tenant, NAME_MAX_BYTES },
                        { NULL },
                },
                "a group", FAULT_UNKNOWN_OPTION, fault);
        if (r < 0)
                return r;
        r = find_module(group, loader, stored, fault);
        if (r < 0)
                return r;
        r = set_defaults(group, fault);
        if (r < 0)
                return r;
        r = check_words(group, choice, fault);
        if (r < 0)
                return r;
        r = check_user_defined(group, stored, fault);
        if (r < 0)
                return r;
        r = set_settings(group, settings, stored, fault);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(group);
        return 0;
}

json_t *group_to_json(const Group *group) {
        json_t *settings = group->module ? settings_to_json(&group->settings) : json_object();

        if (settings && group->kept_settings &&
            json_object_update_missing(settings, group->kept_settings) < 0) {
                json_decref(settings);
                return NULL;
        }
        return json_pack("{ss ss ss ss sb so so ss ss}", "name", group->name, "type", group->type,
                         "description", group->description, "class", group->class, "enabled",
                         (int) group->enabled, "settings", settings, "user-defined",
                         strv_to_json((const char *const *) group->user_defined), "choice",
                         choice_policy_to_string(group->choice), "tenant", group->tenant);
}

bool group_has_member(const Group *group, const Device *device) {
        for (size_t i = 0; device->groups && device->groups[i]; i++)
                if (device->groups[i] == group)
                        return true;
        return false;
}

Device *const *group_members_by_place(const Group *group) {
        /* The cached order is no part of what the group is. */
        Group *g = (Group *) group;

        if (g->by_place || g->n_members == 0)
                return g->by_place;
        g->by_place = calloc(g->n_members, sizeof(Device *));
        if (!g->by_place)
                return NULL;
        memcpy(g->by_place, g->members, g->n_members * sizeof(Device *));
        place_sort(g->by_place, g->n_members);
        return g->by_place;
}
