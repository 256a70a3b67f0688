/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-settings.h"

#include "lib/parse.h"

/* What belongs to a request itself; every other name is a setting of its group's type. */
static const struct {
        const char *name;
        bool flag; /* may stand alone, for yes */
} request_keys[] = {
        { "id", false },    { "count", false },       { "optional", true }, { "name", false },
        { "order", false }, { "description", false }, { "enabled", true },  { "companions", false },
        { "numa-node", false },
};

static int set_text(Cli *cli, json_t *object, const char *key, const char *text) {
        return json_object_set_new(object, key, json_string(text)) < 0
                       ? cli_fail(cli, STATUS_USAGE, "'%s' is not valid UTF-8", key)
                       : 0;
}

int read_assignment(Cli *cli, const char *text, json_t *object) {
        const char *equals = strchr(text, '=');
        _cleanup_free_ char *name = NULL;

        if (!equals || equals == text)
                return cli_fail(cli, STATUS_USAGE, "'%s' is not of the form NAME=VALUE", text);
        name = strndup(text, (size_t) (equals - text));
        return name ? set_text(cli, object, name, equals + 1) : cli_oom(cli);
}

int read_assignments(Cli *cli, const char *option, json_t **ret) {
        const char *text;
        size_t at = 0;
        int r = 0;

        while (r >= 0 && (text = option_next(cli, option, &at))) {
                if (!*ret)
                        *ret = json_object();
                r = read_assignment(cli, text, *ret);
        }
        return r;
}

void take_option(Cli *cli, const char *option, const char *key, json_t *object) {
        const char *text = option_text(cli, option);

        if (text)
                (void) json_object_set_new(object, key, json_string(text));
}

json_t *read_words(const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        json_t *array = json_array();
        char *save = NULL;

        for (char *word = copy ? strtok_r(copy, ", ", &save) : NULL; word;
             word = strtok_r(NULL, ", ", &save))
                (void) json_array_append_new(array, json_string(word));
        return array;
}

/* ---- requests ---- */

static bool is_request_key(const char *name, bool alone) {
        for (size_t i = 0; i < ELEMENTSOF(request_keys); i++)
                if (streq(request_keys[i].name, name))
                        return !alone || request_keys[i].flag;
        return false;
}

static int read_part(Cli *cli, char *part, json_t *request) {
        char *equals = strchr(part, '=');
        json_t *settings;

        if (!equals)
                return is_request_key(part, true)
                               ? json_object_set_new(request, part, json_true())
                               : cli_fail(cli, STATUS_USAGE,
                                          "'%s' has no value; a request is GROUP[:COUNT][,NAME=VALUE…], "
                                          "and only optional and enabled may stand alone",
                                          part);
        *equals = '\0';
        if (is_request_key(part, false))
                return set_text(cli, request, part, equals + 1);
        settings = json_object_get(request, "settings");
        if (!settings) {
                settings = json_object();
                (void) json_object_set_new(request, "settings", settings);
        }
        return set_text(cli, settings, part, equals + 1);
}

int read_request(Cli *cli, const char *text, json_t **ret) {
        _cleanup_free_ char *copy = strdup(text);
        json_auto_t *request = json_object();
        char *save = NULL, *group, *colon;
        uint32_t count;
        int r;

        if (!copy || !request)
                return cli_oom(cli);
        group = strtok_r(copy, ",", &save);
        if (!group || text[0] == ',')
                return cli_fail(cli, STATUS_USAGE,
                                "'%s' names no group; a request is GROUP[:COUNT][,NAME=VALUE…]", text);
        colon = strrchr(group, ':');
        if (colon) {
                *colon = '\0';
                if (parse_uint32(colon + 1, &count) < 0 || count == 0)
                        return cli_fail(cli, STATUS_USAGE,
                                        "'%s' is no number of devices; a request is "
                                        "GROUP[:COUNT][,NAME=VALUE…]",
                                        colon + 1);
                (void) json_object_set_new(request, "count", json_integer(count));
        }
        r = set_text(cli, request, "group", group);
        for (char *part = strtok_r(NULL, ",", &save); part && r >= 0; part = strtok_r(NULL, ",", &save))
                r = read_part(cli, part, request);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(request);
        return 0;
}

int read_requests(Cli *cli, char **texts, int n, json_t **ret) {
        json_auto_t *array = json_array();

        for (int i = 0; i < n; i++) {
                json_t *request = NULL;
                int r = read_request(cli, texts[i], &request);

                if (r < 0)
                        return r;
                (void) json_array_append_new(array, request);
        }
        *ret = TAKE_PTR(array);
        return 0;
}
