/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "context.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "helper.h"
#include "lib/parse.h"
#include "lib/schema.h"
#include "lib/value-util.h"
#include "udev-property.h"

static WorkerContext *from_base(PtContext *base) {
        return (WorkerContext *) base;
}

/* Only devices of the request can be reached, and by what the request says of them, not by what the module
 * passes. */
static int open_device(PtContext *base, const PtDevice *device, int *ret_fd) {
        WorkerContext *context = from_base(base);
        const JobDevice *known = device ? device_list_find(context->devices, device->id) : NULL;

        if (!known)
                return -EPERM;

        return sysfs_open_device(&context->worker->sysfs, known->device.subsystem, known->device.sysname,
                                 ret_fd, NULL);
}

/* "virtfn3/NAME" of a physical function: another virtual function of it. */
static int open_sibling(PtContext *base, const char **name, int *fd) {
        const char *slash = strchr(*name, '/');
        char link[32], sysname[NAME_MAX + 1];
        int r, sibling = -EBADF;

        if ((size_t) (slash - *name) >= sizeof(link))
                return -EINVAL;
        (void) snprintf(link, sizeof(link), "%.*s", (int) (slash - *name), *name);
        r = (int) sysfs_link_at(*fd, link, sysname, sizeof(sysname));
        if (r >= 0)
                r = entry_name_is_valid(sysname)
                            ? sysfs_open_device(&from_base(base)->worker->sysfs, "pci", sysname, &sibling, NULL)
                            : -EINVAL;
        (void) close(*fd);
        *fd = -EBADF;
        if (r < 0)
                return r;
        *fd = sibling;
        *name = slash + 1;
        return 0;
}

/* The same for a read below "physfn/", the link of a virtual function to its physical one: that one may be read, too, and
 * so may its other virtual functions ("physfn/virtfn3/…"), but they are not the job's to be written to. `name` becomes what follows. */
static int open_for_reading(PtContext *base, const PtDevice *device, const char **name, int *ret_fd) {
        const char *below = startswith(strempty(*name), "physfn/");
        _cleanup_close_ int fd = -EBADF;
        char sysname[NAME_MAX + 1];
        int r;

        r = open_device(base, device, &fd);
        if (r < 0)
                return r;
        if (!below) {
                *ret_fd = TAKE_FD(fd);
                return 0;
        }
        r = (int) sysfs_link_at(fd, "physfn", sysname, sizeof(sysname));
        if (r < 0)
                return r;
        if (!entry_name_is_valid(sysname))
                return -EINVAL;
        *name = below;
        r = sysfs_open_device(&from_base(base)->worker->sysfs, "pci", sysname, ret_fd, NULL);
        return r < 0 || !startswith(below, "virtfn") || !strchr(below, '/') ? r : open_sibling(base, name, ret_fd);
}

static void service_log(PtContext *base, int level, const char *text) {
        worker_log(from_base(base)->worker, level, text);
}

static ssize_t service_read_attribute(PtContext *base, const PtDevice *device, const char *name,
                                      char *buffer, size_t size) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = open_for_reading(base, device, &name, &fd);
        return r < 0 ? r : sysfs_read_at(fd, name, buffer, size);
}

static ssize_t service_read_link(PtContext *base, const PtDevice *device, const char *name, char *buffer,
                                 size_t size) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = open_for_reading(base, device, &name, &fd);
        return r < 0 ? r : sysfs_link_at(fd, name, buffer, size);
}

static int service_list(PtContext *base, const PtDevice *device, const char *name,
                        void (*each)(void *userdata, const char *entry), void *userdata) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = open_for_reading(base, device, &name, &fd);
        return r < 0 ? r : sysfs_list_at(fd, name, each, userdata);
}

static const char *service_property(PtContext *base, const PtDevice *device, const char *key) {
        WorkerContext *context = from_base(base);
        const JobDevice *known = device ? device_list_find(context->devices, device->id) : NULL;
        json_t *properties;

        if (!known || !key)
                return NULL;

        properties = json_object_get(context->properties, known->device.id);
        if (!properties) {
                properties = udev_properties(&context->worker->sysfs, &known->device);
                if (json_object_set_new(context->properties, known->device.id, properties) < 0)
                        return NULL;
        }

        return json_string_value(json_object_get(properties, key));
}

/* The answer is kept as long as the context: HostFacts' own ends with the next question. */
static json_t *ask_fact(Worker *worker, const char *name) {
        const char *value;

        if (!worker->facts && host_facts_new(&worker->sysfs, &worker->facts) < 0)
                return json_null();
        value = host_facts_get(worker->facts, name);
        return value ? json_string(value) : json_null();
}

static const char *service_host_fact(PtContext *base, const char *name) {
        WorkerContext *context = from_base(base);
        json_t *fact;

        if (isempty(name))
                return NULL;

        fact = json_object_get(context->facts, name);
        if (!fact) {
                fact = ask_fact(context->worker, name);
                if (json_object_set_new(context->facts, name, fact) < 0)
                        return NULL;
        }

        return json_string_value(fact);
}

/* The core's values are not sent along: they are what describe() makes of the device, so it is asked
 * again. */
static void describe_once(WorkerContext *context) {
        if (context->described)
                return;

        context->described = true;
        context->describing = true;
        (void) context->module->describe(&context->base, context->device);
        context->describing = false;
}

static int service_get_field(PtContext *base, const PtDevice *device, const char *field, PtValue *ret) {
        WorkerContext *context = from_base(base);
        int i;

        if (!device || !streq_null(device->id, context->device->id))
                return -ENODATA;
        i = schema_find_field(context->module->fields, field);
        if (i < 0 || i >= (int) FIELDS_MAX)
                return -ENOENT;

        if (context->fields[i].type != PT_NONE) {
                *ret = context->fields[i];
                return 0;
        }
        if (!context->describing)
                describe_once(context);
        if (context->described_fields[i].type == PT_NONE)
                return -ENODATA;

        *ret = context->described_fields[i];
        return 0;
}

/* There is no request in the worker that a setting could belong to. */
static int service_get_setting(PtContext *base, const char *setting, PtValue *ret) {
        return -ENODATA;
}

static int service_put_field(PtContext *base, uint32_t field, const PtValue *value) {
        WorkerContext *context = from_base(base);
        PtValue *slots = context->describing ? context->described_fields : context->fields;
        PtValue copy;
        int r;

        if (!value || field >= schema_count_fields(context->module->fields) || field >= FIELDS_MAX)
                return -EINVAL;
        if (value->type != PT_NONE && value->type != context->module->fields[field].type)
                return -EINVAL;

        r = value_copy(value, &copy);
        if (r < 0)
                return r;
        value_done(&slots[field]);
        slots[field] = copy;
        return 0;
}

/* describe() says these too when it is asked for a field; only the service wants to know them. */
static int service_put_name(PtContext *base, const char *vendor, const char *name) {
        return from_base(base)->describing ? 0 : -EPERM;
}

static int service_put_role(PtContext *base, PtRole role) {
        return from_base(base)->describing ? 0 : -EPERM;
}

static int service_put_provider(PtContext *base, const char *provider) {
        return from_base(base)->describing ? 0 : -EPERM;
}

static int service_put_key(PtContext *base, const char *key, bool exclusive) {
        return -EPERM;
}

static int service_put_identity(PtContext *base, const PtIdentity *identity) {
        return -EPERM;
}

static int service_put_finding(PtContext *base, const PtFinding *finding) {
        WorkerContext *context = from_base(base);
        json_t *item;

        if (context->phase != CONTEXT_HEALTH || context->describing)
                return -EPERM;
        if (!finding || finding->severity >= _PT_SEVERITY_MAX || isempty(finding->code) || isempty(finding->text))
                return -EINVAL;
        if (!context->findings)
                context->findings = json_array();
        if (!context->findings)
                return -ENOMEM;
        if (json_array_size(context->findings) >= FINDINGS_MAX)
                return -E2BIG;
        /* jansson takes no text that is not UTF-8. */
        item = json_pack("{s:i, s:s, s:s, s:s?, s:s?}", "severity", (int) finding->severity, "code", finding->code,
                         "text", finding->text, "culprit", finding->culprit, "remedy", finding->remedy);
        if (!item)
                return -EINVAL;
        return json_array_append_new(context->findings, item) < 0 ? -ENOMEM : 0;
}

static int service_put_step(PtContext *base, const PtStep *step) {
        return -EPERM;
}

static int service_put_attachment(PtContext *base, const PtAttachment *attachment) {
        return -EPERM;
}

static int replace_text(char **slot, const char *text) {
        char *copy = strdup(strempty(text));

        if (!copy)
                return -ENOMEM;

        free(*slot);
        *slot = copy;
        return 0;
}

static int service_put_observed(PtContext *base, const char *text) {
        WorkerContext *context = from_base(base);

        if (context->phase == CONTEXT_HEALTH)
                return utf8_is_valid(strempty(text)) && strlen(strempty(text)) <= TEXT_MAX_BYTES
                               ? replace_text(&context->observed, text)
                               : -EINVAL;
        return context->phase == CONTEXT_RECORD ? replace_text(&context->observed, text) : -EPERM;
}

static int service_put_blob(PtContext *base, const char *text) {
        WorkerContext *context = from_base(base);

        if (context->phase != CONTEXT_READ || context->describing)
                return -EPERM;
        if (!utf8_is_valid(strempty(text)))
                return -EINVAL;
        return strlen(strempty(text)) > BLOB_MAX_BYTES ? -E2BIG : replace_text(&context->blob, text);
}

static int service_put_use(PtContext *base, const char *text) {
        WorkerContext *context = from_base(base);
        json_t *use;

        if (context->phase != CONTEXT_USE || context->describing)
                return -EPERM;
        if (strlen(strempty(text)) > USE_MAX_BYTES)
                return -E2BIG;
        use = json_loads(strempty(text), JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(use)) {
                json_decref(use);
                return -EINVAL;
        }
        json_decref(context->use);
        context->use = use;
        return 0;
}

static ssize_t service_read_slow(PtContext *base, const PtDevice *device, const char *name, void *buffer,
                                 size_t size, uint64_t offset) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = open_device(base, device, &fd);
        return r < 0 ? r : sysfs_pread_at(fd, name, buffer, size, offset);
}

static int service_write_attribute(PtContext *base, const PtDevice *device, const char *name,
                                   const char *value) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (from_base(base)->phase != CONTEXT_WRITE || from_base(base)->describing)
                return -EPERM;
        if (!name || !value)
                return -EINVAL;

        r = open_device(base, device, &fd);
        return r < 0 ? r : sysfs_write_at(fd, name, value);
}

static int service_open_node(PtContext *base, const PtDevice *device, const char *name) {
        struct open_how how = {
                .flags = O_RDWR | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        _cleanup_close_ int device_fd = -EBADF, fd = -EBADF;
        unsigned major_number, minor_number;
        char text[32], path[NAME_MAX];
        struct stat st;
        int r;

        r = open_device(base, device, &device_fd);
        if (r < 0)
                return r;
        r = (int) sysfs_read_at(device_fd, "dev", text, sizeof(text));
        if (r >= 0)
                r = parse_dev(text, &major_number, &minor_number);
        if (r < 0)
                return r;
        if (isempty(name) || snprintf(path, sizeof(path), "dev/%s", name) >= (int) sizeof(path))
                return -EINVAL;
        fd = (int) syscall(SYS_openat2, from_base(base)->worker->sysfs.root_fd, path, &how, sizeof(how));
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_rdev != makedev(major_number, minor_number))
                return -EXDEV;
        /* On a simulated host it is a plain file, which talks to nothing. */
        return S_ISCHR(st.st_mode) ? TAKE_FD(fd) : -EOPNOTSUPP;
}

static int service_run_helper(PtContext *base, const char *name, const char *const *words, uint32_t timeout_ms,
                              char *ret_output, size_t size) {
        WorkerContext *context = from_base(base);
        const PtHelper *helper = helper_find(context->module, name);

        if (context->phase != CONTEXT_WRITE || context->describing)
                return -EPERM;
        if (!helper)
                return -EINVAL;
        return helper_run(context->worker, helper, words, timeout_ms, ret_output, ret_output ? size : 0);
}

static void service_set_error(PtContext *base, const char *text) {
        (void) replace_text(&from_base(base)->error, text);
}

static const char *service_get_noted(PtContext *base) {
        return from_base(base)->phase == CONTEXT_HEALTH ? from_base(base)->noted : NULL;
}

static const PtServices worker_services = {
        .struct_size = sizeof(PtServices),
        .abi_minor = PT_ABI_MINOR,
        .log = service_log,
        .read_attribute = service_read_attribute,
        .read_link = service_read_link,
        .list = service_list,
        .property = service_property,
        .host_fact = service_host_fact,
        .get_field = service_get_field,
        .get_setting = service_get_setting,
        .put_field = service_put_field,
        .put_name = service_put_name,
        .put_role = service_put_role,
        .put_provider = service_put_provider,
        .put_key = service_put_key,
        .put_identity = service_put_identity,
        .put_finding = service_put_finding,
        .put_step = service_put_step,
        .put_attachment = service_put_attachment,
        .put_observed = service_put_observed,
        .read_slow = service_read_slow,
        .write_attribute = service_write_attribute,
        .set_error = service_set_error,
        .get_noted = service_get_noted,
        .open_node = service_open_node,
        .put_blob = service_put_blob,
        .run_helper = service_run_helper,
        .put_use = service_put_use,
};

int context_init(WorkerContext *ret, Worker *worker, const DeviceList *devices, const PtModule *module,
                 const PtDevice *device, ContextPhase phase) {
        *ret = (WorkerContext){
                .base.services = &worker_services,
                .worker = worker,
                .devices = devices,
                .module = module,
                .device = device,
                .phase = phase,
                .properties = json_object(),
                .facts = json_object(),
        };
        if (!ret->properties || !ret->facts) {
                context_done(ret);
                return -ENOMEM;
        }

        return 0;
}

void context_done(WorkerContext *context) {
        for (size_t i = 0; i < FIELDS_MAX; i++) {
                value_done(&context->fields[i]);
                value_done(&context->described_fields[i]);
        }
        free(context->observed);
        free(context->error);
        free(context->blob);
        json_decref(context->findings);
        json_decref(context->use);
        json_decref(context->properties);
        json_decref(context->facts);
        *context = (WorkerContext){};
}
