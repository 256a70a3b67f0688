/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "provider.h"

#include <stdio.h>

#include "inventory-internal.h"

Provider *inventory_first_provider(Inventory *inventory) {
        return inventory->providers;
}

static int obtain(Inventory *inventory, const Module *module, const char *host, Provider **ret) {
        char key[TYPE_NAME_MAX + ID_SIZE + 2];
        Provider *provider;
        size_t length;

        length = (size_t) snprintf(key, sizeof(key), "%s/%s", module->name, host);
        if (length >= sizeof(key))
                return -EINVAL;
        HASH_FIND(hh, inventory->providers, key, length, provider);
        if (!provider) {
                provider = calloc(1, sizeof(*provider) + length + 1);
                if (!provider)
                        return -ENOMEM;
                provider->module = module;
                memcpy(provider->key, key, length + 1);
                HASH_ADD_KEYPTR(hh, inventory->providers, provider->key, length, provider);
        }
        *ret = provider;
        return 0;
}

static void drop_unused(Inventory *inventory, Provider *provider) {
        if (provider->device || provider->n_children > 0)
                return;
        HASH_DEL(inventory->providers, provider);
        free(provider->children);
        free(provider->room);
        free(provider);
}

static int add_child(Provider *provider, Device *device) {
        if (provider->n_children == provider->n_allocated) {
                size_t n = provider->n_allocated ? provider->n_allocated * 2 : 8;
                Device **children = reallocarray(provider->children, n, sizeof(Device *));

                if (!children)
                        return -ENOMEM;
                provider->children = children;
                provider->n_allocated = n;
        }
        provider->children[provider->n_children++] = device;
        return 0;
}

static bool is_linked_to(const Device *device, const char *host) {
        const Provider *provider = device->provider;

        if (!provider || isempty(host))
                return !provider && isempty(host);
        return streq(strchr(provider->key, '/') + 1, host) &&
               (provider->device == device) == (device->role == PT_ROLE_PROVIDER);
}

int provider_link(Inventory *inventory, Device *device, const char *host) {
        Provider *provider = NULL;
        int r;

        /* A provider is filed under its own name. */
        if (device->role == PT_ROLE_PROVIDER)
                host = device->host->id;
        if (is_linked_to(device, host))
                return 0;
        provider_unlink(inventory, device);
        if (isempty(host))
                return 1;
        r = obtain(inventory, device->module, host, &provider);
        if (r < 0)
                return r;
        if (device->role == PT_ROLE_PROVIDER)
                provider->device = device;
        else
                r = add_child(provider, device);
        if (r < 0) {
                drop_unused(inventory, provider);
                return r;
        }
        device->provider = provider;
        return 1;
}

void provider_unlink(Inventory *inventory, Device *device) {
        Provider *provider = device->provider;

        if (!provider)
                return;
        device->provider = NULL;
        if (provider->device == device)
                provider->device = NULL;
        for (size_t i = 0; i < provider->n_children; i++)
                if (provider->children[i] == device) {
                        provider->children[i] = provider->children[--provider->n_children];
                        break;
                }
        drop_unused(inventory, provider);
}
