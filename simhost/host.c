/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "generate.h"
#include "host-build.h"

/* Holds the description as it was given, or for a generated host only the numbers it was generated from. */
#define RECIPE "host.json"

static const char *const parts[] = { "sys", "dev", "proc", "run", "kernel" };

static int save_recipe(Tree *t, json_t *root) {
        json_t *generated = json_object_get(root, "generated"), *recipe;
        _cleanup_free_ char *text = NULL;

        recipe = generated ? json_pack("{s:O}", "generated", generated) : json_incref(root);
        text = json_dumps(recipe, JSON_INDENT(2));
        json_decref(recipe);
        if (!text)
                return -ENOMEM;
        tree_write(t, RECIPE, 0644, text, strlen(text));
        return tree_failed(t);
}

static int load_recipe(Tree *t, json_t **ret) {
        _cleanup_close_ int fd = openat(tree_fd(t), RECIPE, O_RDONLY | O_CLOEXEC);
        json_error_t error;
        json_t *root, *generated;

        if (fd < 0)
                return -errno;
        root = json_loadfd(fd, 0, &error);
        if (!root) {
                complain("%s:%d: %s", RECIPE, error.line, error.text);
                return -EINVAL;
        }
        generated = json_object_get(root, "generated");
        if (generated && !json_object_get(root, "devices")) {
                json_t *whole = generate_host((size_t) json_number(generated, "pci", 0),
                                              (size_t) json_number(generated, "usb", 0),
                                              (uint64_t) json_number(generated, "seed", 1));

                json_decref(root);
                root = whole;
        }
        *ret = root;
        return 0;
}

int host_description(Tree *t, Description **ret) {
        json_t *root = NULL;
        int r;

        r = load_recipe(t, &root);
        if (r < 0) {
                complain("this is no simulated host: %s", strerror(-r));
                return r;
        }
        r = description_parse(root, ret);
        if (r >= 0)
                (void) host_number_groups(*ret);
        return r;
}

static int build(Tree *t, json_t *root) {
        _cleanup_(description_freep) Description *d = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTS(parts); i++)
                tree_remove_all(t, parts[i]);
        r = tree_failed(t);
        if (r >= 0)
                r = save_recipe(t, root);
        if (r < 0) {
                json_decref(root);
                return r;
        }
        r = description_parse(root, &d);
        return r < 0 ? r : host_build(t, d);
}

/* Refuses to clear away what no host is. */
static int check_place(Tree *t, const char *directory) {
        _cleanup_closedir_ DIR *d = tree_list(t, ".");
        struct dirent *e;

        if (faccessat(tree_fd(t), RECIPE, F_OK, 0) >= 0)
                return 0;
        while (d && (e = readdir(d)))
                if (!string_equal(e->d_name, ".") && !string_equal(e->d_name, "..")) {
                        complain("%s holds other things than a simulated host", directory);
                        return -ENOTEMPTY;
                }
        return 0;
}

int host_make(const char *directory, json_t *root) {
        _cleanup_(tree_freep) Tree *t = NULL;
        int r;

        r = mkdir(directory, 0755) < 0 && errno != EEXIST ? -errno : tree_open(directory, &t);
        if (r < 0)
                complain("cannot make %s: %s", directory, strerror(-r));
        else
                r = check_place(t, directory);
        if (r < 0) {
                json_decref(root);
                return r;
        }
        return build(t, root);
}

int host_boot(const char *directory, json_t **ret) {
        _cleanup_(tree_freep) Tree *t = NULL;
        json_t *root = NULL;
        int r;

        r = tree_open(directory, &t);
        if (r >= 0)
                r = load_recipe(t, &root);
        if (r < 0) {
                complain("there is no simulated host in %s: %s", directory, strerror(-r));
                return r;
        }
        if (!json_object_get(root, "generated")) {
                *ret = root;
                return 0;
        }
        *ret = NULL;
        if (tree_has(t, "kernel", "used"))
                return build(t, root);
        json_decref(root);
        return 0;
}
