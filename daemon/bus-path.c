/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "bus-internal.h"
#include "json-util.h"

static const struct {
        const char *prefix, *interface;
} kinds[_OBJECT_MAX] = {
        [OBJECT_MANAGER] = { BUS_ROOT, BUS_NAME ".Manager" },
        [OBJECT_DEVICE] = { BUS_ROOT "/devices", BUS_NAME ".Device" },
        [OBJECT_GROUP] = { BUS_ROOT "/groups", BUS_NAME ".Group" },
        [OBJECT_RULE] = { BUS_ROOT "/rules", BUS_NAME ".Rule" },
        [OBJECT_ALLOCATION] = { BUS_ROOT "/allocations", BUS_NAME ".Allocation" },
        [OBJECT_JOB] = { BUS_ROOT "/jobs", BUS_NAME ".Job" },
        [OBJECT_MODULE] = { BUS_ROOT "/modules", BUS_NAME ".Module" },
};

const char *bus_interface(ObjectKind kind) {
        return kinds[kind].interface;
}

const char *bus_prefix(ObjectKind kind) {
        return kinds[kind].prefix;
}

void bus_path(ObjectKind kind, const char *id, char ret[static BUS_PATH_SIZE]) {
        char element[ID_SIZE];

        if (kind == OBJECT_MANAGER)
                snprintf(ret, BUS_PATH_SIZE, "%s", BUS_ROOT);
        else if (id_to_path_element(id, element) < 0)
                snprintf(ret, BUS_PATH_SIZE, "%s/_", kinds[kind].prefix); /* no id of ours: names nothing */
        else
                snprintf(ret, BUS_PATH_SIZE, "%s/%s", kinds[kind].prefix, element);
}

int bus_path_parse(const char *path, ObjectKind kind, char ret[static ID_SIZE]) {
        const char *element = startswith(path, kinds[kind].prefix);

        if (!element || element[0] != '/' || strchr(element + 1, '/'))
                return -ENOENT;
        return id_from_path_element(element + 1, ret) < 0 ? -ENOENT : 0;
}

int bus_append_paths(sd_bus_message *m, ObjectKind kind, const char *const *ids) {
        int r = sd_bus_message_open_container(m, 'a', "o");

        for (size_t i = 0; ids && ids[i] && r >= 0; i++) {
                char path[BUS_PATH_SIZE];
                bus_path(kind, ids[i], path);
                r = sd_bus_message_append_basic(m, 'o', path);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

bool bus_asks_below(ObjectKind kind, const char *path) {
        const char *rest = startswith(path, kinds[kind].prefix);

        return rest && rest[0] == '/';
}

int bus_nodes(ObjectKind kind, const char *const *ids, size_t n, char ***ret) {
        char **nodes = calloc(n + 1, sizeof(char *));

        if (!nodes)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                char path[BUS_PATH_SIZE];
                bus_path(kind, ids[i], path);
                nodes[i] = strdup(path);
                if (!nodes[i]) {
                        strv_free(nodes);
                        return -ENOMEM;
                }
        }
        *ret = nodes;
        return 1;
}
