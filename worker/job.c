/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

#include <limits.h>

#include "lib/id.h"
#include "lib/parse.h"
#include "lib/protocol.h"

/* More than any bundle with its companions; a bound for what a broken peer can make us allocate. */
#define JOB_DEVICES_MAX ((size_t) REQUESTS_MAX * REQUEST_COUNT_MAX)

static const char *const job_mode_table[_JOB_MODE_MAX] = {
        [JOB_EXECUTE] = "execute",
        [JOB_UNDO] = "undo",
};

DEFINE_STRING_TABLE(job_mode, JobMode, job_mode_table)

bool entry_name_is_valid(const char *name) {
        return !isempty(name) && text_is_clean(name, NAME_MAX) && !strchr(name, '/') && !streq(name, ".") &&
               !streq(name, "..");
}

static int device_from_json(json_t *json, JobDevice *ret, Fault *fault) {
        JobDevice item = { .device.struct_size = sizeof(PtDevice) };
        PtDevice *device = &item.device;
        int iommu_group = -1, numa_node = -1, slot = 0;
        json_error_t error;

        if (json_unpack_ex(json, &error, 0, "{s:s, s:s, s:s, s?s, s?s, s?i, s?i, s?s, s?s, s?i}", "id", &device->id,
                           "subsystem", &device->subsystem, "sysname", &device->sysname, "devtype",
                           &device->devtype, "driver", &device->driver, "iommu_group", &iommu_group,
                           "numa_node", &numa_node, "module", &item.module, "place", &device->place,
                           "slot", &slot) < 0)
                return fault_set(fault, -EBADMSG, FAULT_INVALID_ARGUMENT,
                                 "A device of the request cannot be read: %s", error.text);

        if (!id_is_valid(device->id))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "\"%s\" is not the id of a device",
                                 device->id);
        if (!entry_name_is_valid(device->subsystem) || !entry_name_is_valid(device->sysname))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                 "\"%s\" of \"%s\" cannot be the kernel's name of a device", device->sysname,
                                 device->subsystem);
        if (iommu_group < -1 || numa_node < -1)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                 "%s has the IOMMU group %d and the NUMA node %d; both are -1 or more",
                                 device->id, iommu_group, numa_node);

        if (slot < 0 || slot > (int) SLOTS_MAX)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "%s has the slot %d; at most %u", device->id,
                                 slot, SLOTS_MAX);

        if (!device->place)
                device->place = device->sysname;
        device->iommu_group = iommu_group;
        device->slot = (uint32_t) slot;
        device->numa_node_plus_1 = (uint32_t) (numa_node + 1);
        *ret = item;
        return 0;
}

/* jansson's "s?s" takes a missing member but no null one, and the service writes null for what a device has
 * not. */
static void drop_null_members(json_t *object) {
        const char *key;
        json_t *value;
        void *next;

        json_object_foreach_safe(object, next, key, value)
                if (json_is_null(value))
                        (void) json_object_del(object, key);
}

int device_list_from_message(json_t *message, DeviceList *ret, Fault *fault) {
        _cleanup_device_list_ DeviceList list = {};
        json_t *devices = json_object_get(message, "devices"),
               *module_dir = json_object_get(message, "module_dir");
        size_t i;
        json_t *item;
        int r;

        if (!json_is_array(devices) || json_array_size(devices) > JOB_DEVICES_MAX)
                return fault_set(fault, -EBADMSG, FAULT_INVALID_ARGUMENT,
                                 "The request needs \"devices\", a list of at most %zu", JOB_DEVICES_MAX);
        if (module_dir && !json_is_null(module_dir) && !json_is_string(module_dir))
                return fault_set(fault, -EBADMSG, FAULT_INVALID_ARGUMENT, "\"module_dir\" must be text");

        list.message = json_incref(message);
        list.module_dir = json_string_value(module_dir);
        list.items = calloc(json_array_size(devices) + 1, sizeof(*list.items));
        if (!list.items)
                return fault_oom(fault);

        json_array_foreach(devices, i, item) {
                drop_null_members(item);
                r = device_from_json(item, &list.items[i], fault);
                if (r < 0)
                        return r;
                if (device_list_find(&list, list.items[i].device.id))
                        return fault_set(fault, -EEXIST, FAULT_INVALID_ARGUMENT,
                                         "The request names %s twice", list.items[i].device.id);
                list.n_items++;
        }

        *ret = list;
        list = (DeviceList){};
        return 0;
}

void device_list_done(DeviceList *list) {
        free(list->items);
        json_decref(list->message);
}

const JobDevice *device_list_find(const DeviceList *list, const char *id) {
        for (size_t i = 0; id && i < list->n_items; i++)
                if (streq(list->items[i].device.id, id))
                        return &list->items[i];

        return NULL;
}

static int observed_from_message(json_t *message, Job *job, Fault *fault) {
        json_t *observed = json_object_get(message, "observed"), *item;
        size_t i;

        if (job->mode != JOB_UNDO)
                return 0;
        if (!json_is_array(observed) || json_array_size(observed) != job->plan.n_steps)
                return fault_set(fault, -EBADMSG, FAULT_INVALID_ARGUMENT,
                                 "Undo needs \"observed\", a list as long as the steps (%zu)",
                                 job->plan.n_steps);

        job->observed = calloc(job->plan.n_steps + 1, sizeof(*job->observed));
        if (!job->observed)
                return fault_oom(fault);
        json_array_foreach(observed, i, item) {
                if (!json_is_null(item) && !json_is_string(item))
                        return fault_set(fault, -EBADMSG, FAULT_INVALID_ARGUMENT,
                                         "What was observed before step %zu must be text or null", i);
                job->observed[i] = json_string_value(item);
        }

        return 0;
}

static int check_steps(const Job *job, Fault *fault) {
        for (size_t i = 0; i < job->plan.n_steps; i++) {
                const PtStep *step = &job->plan.steps[i];

                if (step->kind == PT_STEP_LOAD_MODULE)
                        continue;
                if (!device_list_find(&job->devices, step->device))
                        return fault_set_object(
                                fault, -EPERM, FAULT_INVALID_ARGUMENT, step->device,
                                "Step %zu (%s) acts on %s, which is not a device of this job", i,
                                strempty(step->sentence), strempty(step->device));
        }

        return 0;
}

int job_from_message(json_t *message, Job *ret, Fault *fault) {
        _cleanup_job_ Job job = {};
        const char *mode;
        int r;

        r = message_get_string(message, "mode", &mode);
        if (r < 0)
                return fault_set(fault, r, FAULT_INVALID_ARGUMENT,
                                 "A job needs \"mode\", \"execute\" or \"undo\"");
        r = job_mode_from_string(mode);
        if (r < 0)
                return fault_set(fault, r, FAULT_INVALID_ARGUMENT,
                                 "\"%s\" is no mode: \"execute\" or \"undo\"", mode);
        job.mode = (JobMode) r;
        job.note = json_is_true(json_object_get(message, "note"));

        r = device_list_from_message(message, &job.devices, fault);
        if (r < 0)
                return r;
        r = plan_from_json(json_object_get(message, "steps"), &job.plan, fault);
        if (r < 0)
                return fault_set(fault, r, FAULT_INVALID_ARGUMENT, "The steps of the job cannot be read");
        r = observed_from_message(message, &job, fault);
        if (r < 0)
                return r;
        r = check_steps(&job, fault);
        if (r < 0)
                return r;

        *ret = job;
        job = (Job){};
        return 0;
}

void job_done(Job *job) {
        free(job->observed);
        plan_done(&job->plan);
        device_list_done(&job->devices);
}
