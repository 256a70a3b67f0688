/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vf-settings.h"

#include "host-description.h"
#include "inject.h"

/* The attributes of rtnetlink and what each carries, with the value of a function that nobody has set. */
enum { MAC, VLAN, RATE, SPOOF, LINK, RSS, TRUST, ATTRIBUTES };

static const struct {
        const char *key;
        int attribute;
        const char *fresh;
} keys[] = {
        { "mac", MAC, "00:00:00:00:00:00" }, { "vlan", VLAN, "0" },       { "qos", VLAN, "0" },
        { "vlan-protocol", VLAN, "802.1Q" }, { "min-rate", RATE, "0" },   { "max-rate", RATE, "0" },
        { "spoof-check", SPOOF, "on" },      { "link-state", LINK, "auto" }, { "rss-query", RSS, "off" },
        { "trust", TRUST, "off" },
};

static const char *const operations[ATTRIBUTES] = {
        "vf-mac", "vf-vlan", "vf-rate", "vf-spoof-check", "vf-link-state", "vf-rss-query", "vf-trust",
};

enum {
        QOS = 1 << 0,          /* a priority is EINVAL */
        TAG_8021AD = 1 << 1,   /* 802.1ad is EPROTONOSUPPORT */
        MIN_RATE = 1 << 2,     /* a guaranteed rate is EINVAL */
        LINKED = 1 << 3,       /* a rate needs a link, and not above its speed */
        DEAF_LINK = 1 << 4,    /* a link state is taken and not applied */
        ZERO_MAC = 1 << 5,     /* an empty address is EINVAL */
        RESETS = 1 << 6,       /* each change resets the function: EAGAIN twice afterwards */
        NOT_READY = 1 << 7,    /* EBUSY for the first message to a function */
        SILENT = 1 << 8,       /* reports the address only */
};

/* drivers/net/ethernet of Linux 6.1: which attributes have no function in net_device_ops, and what is peculiar. */
static const struct {
        const char *name;
        unsigned absent; /* bits of attributes */
        unsigned peculiar;
} drivers[] = {
        { "igb", 1 << LINK | 1 << RSS, TAG_8021AD | MIN_RATE | LINKED },
        { "ixgbe", 0, TAG_8021AD | MIN_RATE | LINKED | DEAF_LINK },
        { "i40e", 1 << RSS, TAG_8021AD | MIN_RATE | RESETS },
        { "ice", 1 << RSS, TAG_8021AD | NOT_READY },
        { "mlx5_core", 1 << RSS, TAG_8021AD },
        { "bnxt_en", 1 << RSS, QOS | TAG_8021AD },
        { "qede", 1 << RSS, TAG_8021AD | ZERO_MAC },
        { "fsl_enetc", 1 << RATE | 1 << LINK | 1 << TRUST | 1 << RSS, SILENT },
};

static unsigned driver_of(Kernel *k, const char *pf, unsigned *ret_absent) {
        char name[64];

        *ret_absent = 0;
        if (device_driver(k, pf, name, sizeof(name)) < 0)
                return 0;
        for (size_t i = 0; i < ELEMENTS(drivers); i++)
                if (string_equal(drivers[i].name, name)) {
                        *ret_absent = drivers[i].absent;
                        return drivers[i].peculiar;
                }
        return 0;
}

/* The interface of the PF: its first. */
static int find_interface(Kernel *k, const char *pf, Path *ret) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;
        Path net;

        d = tree_list(k->tree, path_make(&net, "%s/net", pf));
        while (d && (e = readdir(d)))
                if (e->d_name[0] != '.') {
                        path_make(ret, "%s/%s", net.s, e->d_name);
                        return 0;
                }
        return -ENODEV;
}

static int find_pf(Kernel *k, const char *bdf, Path *ret_pf, Path *ret_interface, uint64_t *ret_vfs) {
        int r = device_find(k, bdf, ret_pf);

        if (r >= 0)
                r = find_interface(k, ret_pf->s, ret_interface);
        if (r >= 0 && tree_read_number(k->tree, ret_pf->s, "sriov_numvfs", 10, ret_vfs) < 0)
                *ret_vfs = 0;
        return r;
}

/* {BDF: {NUMBER: {KEY: TEXT}}}, with what was set and no more. */
static json_t *record_of(Kernel *k, const char *bdf, unsigned number) {
        char key[16];
        json_t *pf, *vf;

        (void) snprintf(key, sizeof(key), "%u", number);
        if (!k->vf_records)
                k->vf_records = json_object();
        pf = json_object_get(k->vf_records, bdf);
        if (!pf) {
                pf = json_object();
                json_object_set_new(k->vf_records, bdf, pf);
        }
        vf = json_object_get(pf, key);
        if (!vf) {
                vf = json_object();
                json_object_set_new(pf, key, vf);
        }
        return vf;
}

void vf_records_forget(Kernel *k, const char *bdf) {
        if (k->vf_records)
                json_object_del(k->vf_records, bdf);
}

int vf_records_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        unsigned absent, peculiar;
        char mac[64] = "";
        Path pf, interface;
        uint64_t vfs;
        size_t n;
        int r = find_pf(k, bdf, &pf, &interface, &vfs);

        if (r < 0)
                return r;
        peculiar = driver_of(k, pf.s, &absent);
        (void) tree_read(k->tree, interface.s, "address", mac, sizeof(mac));
        n = (size_t) snprintf(ret, size, "pf mac=%s\n", mac);
        for (unsigned number = 0; number < vfs; number++) {
                json_t *vf = record_of(k, bdf, number);

                n += (size_t) snprintf(ret + n, n < size ? size - n : 0, "%u", number);
                for (size_t i = 0; i < ELEMENTS(keys); i++) {
                        bool hidden = absent & 1u << keys[i].attribute && keys[i].attribute != LINK;

                        if ((hidden || peculiar & SILENT) && keys[i].attribute != MAC)
                                continue;
                        n += (size_t) snprintf(ret + n, n < size ? size - n : 0, " %s=%s", keys[i].key,
                                               json_text(vf, keys[i].key, keys[i].fresh));
                }
                n += (size_t) snprintf(ret + n, n < size ? size - n : 0, "\n");
                if (n >= size)
                        return -EMSGSIZE;
        }
        return 0;
}

static bool is(json_t *wanted, const char *key, const char *value) {
        return string_equal(json_text(wanted, key, value), value);
}

static int check_rate(Kernel *k, const char *interface, json_t *wanted, unsigned peculiar) {
        uint64_t speed = 0, rate;
        char state[32] = "";

        if (string_to_u64(json_text(wanted, "max-rate", "0"), 10, &rate) < 0)
                return -EINVAL;
        if (peculiar & MIN_RATE && !is(wanted, "min-rate", "0"))
                return -EINVAL;
        if (!(peculiar & LINKED) || rate == 0)
                return 0;
        (void) tree_read(k->tree, interface, "operstate", state, sizeof(state));
        (void) tree_read_number(k->tree, interface, "speed", 10, &speed);
        return !string_equal(state, "up") || rate > speed ? -EINVAL : 0;
}

static int refusal(Kernel *k, const char *interface, int attribute, json_t *wanted, unsigned peculiar) {
        switch (attribute) {
        case MAC:
                return peculiar & ZERO_MAC && is(wanted, "mac", "00:00:00:00:00:00") ? -EINVAL : 0;
        case VLAN:
                if (peculiar & TAG_8021AD && !is(wanted, "vlan-protocol", "802.1Q"))
                        return -EPROTONOSUPPORT;
                return peculiar & QOS && !is(wanted, "qos", "0") ? -EINVAL : 0;
        case RATE:
                return check_rate(k, interface, wanted, peculiar);
        default:
                return 0;
        }
}

/* A function that is reset, or was never asked anything, is not ready at once. */
static int readiness(json_t *vf, unsigned peculiar) {
        json_int_t left = json_integer_value(json_object_get(vf, "busy"));

        if (peculiar & NOT_READY && !json_object_get(vf, "busy")) {
                json_object_set_new(vf, "busy", json_integer(0));
                return -EBUSY;
        }
        if (left == 0)
                return 0;
        json_object_set_new(vf, "busy", json_integer(left - 1));
        return -EAGAIN;
}

/* The keys of one message are of one attribute. */
static int parse_message(char **words, size_t n, json_t *wanted) {
        int attribute = -1;

        for (size_t i = 0; i < n; i++) {
                char *value = strchr(words[i], '=');
                size_t key = 0;

                if (!value)
                        return -EINVAL;
                *value++ = '\0';
                while (key < ELEMENTS(keys) && !string_equal(keys[key].key, words[i]))
                        key++;
                if (key == ELEMENTS(keys) || (attribute >= 0 && keys[key].attribute != attribute))
                        return -EINVAL;
                attribute = keys[key].attribute;
                json_object_set_new(wanted, words[i], json_string(value));
        }
        return attribute < 0 ? -EINVAL : attribute;
}

int eswitch_mode_read(Kernel *k, const char *bdf, char *ret, size_t size) {
        char name[64];

        ret[0] = '\0';
        (void) snprintf(name, sizeof(name), "eswitch-%s", bdf);
        (void) tree_read(k->tree, "kernel", name, ret, size);
        return 0;
}

int eswitch_mode_write(Kernel *k, const char *bdf, const char *text) {
        int r;
        char name[64];
        Path pf;

        r = device_find(k, bdf, &pf);

        if (r >= 0 && text[0] != '\0' && !string_equal(text, "legacy") && !string_equal(text, "switchdev"))
                r = -EINVAL;
        (void) snprintf(name, sizeof(name), "eswitch-%s", bdf);
        if (r >= 0)
                tree_put(k->tree, "kernel", name, 0644, "%s\n", text);
        return r;
}

/* mlx5: "no VLAN" is not refused. */
static bool switch_refuses(Kernel *k, const char *bdf, int attribute, json_t *wanted) {
        char mode[32];

        return eswitch_mode_read(k, bdf, mode, sizeof(mode)) >= 0 && string_starts(mode, "switchdev") && attribute != MAC &&
               (attribute != VLAN || !is(wanted, "vlan", "0"));
}

int vf_records_write(Kernel *k, const char *bdf, const char *text) {
        _cleanup_free_ char *copy = copy_string(text);
        json_t *wanted = json_object(), *vf;
        unsigned absent, peculiar;
        uint64_t number, vfs;
        Path pf, interface;
        char *words[8];
        size_t n = split_words(copy, words, ELEMENTS(words));
        int attribute = n < 2 || string_to_u64(words[0], 10, &number) < 0 ? -EINVAL : parse_message(words + 1, n - 1, wanted);
        int r = attribute < 0 ? attribute : find_pf(k, bdf, &pf, &interface, &vfs);

        if (r >= 0) {
                r = inject(k, operations[attribute], bdf);
                peculiar = driver_of(k, pf.s, &absent);
                if (r >= 0)
                        r = absent & 1u << attribute || switch_refuses(k, bdf, attribute, wanted) ? -EOPNOTSUPP : number >= vfs ? -EINVAL : 0;
        }
        if (r >= 0) {
                vf = record_of(k, bdf, (unsigned) number);
                r = readiness(vf, peculiar);
                if (r >= 0)
                        r = refusal(k, interface.s, attribute, wanted, peculiar);
                if (r >= 0 && !(attribute == LINK && peculiar & DEAF_LINK))
                        json_object_update(vf, wanted);
                if (r >= 0 && peculiar & RESETS)
                        json_object_set_new(vf, "busy", json_integer(2));
        }
        json_decref(wanted);
        return r < 0 ? r : 0;
}
