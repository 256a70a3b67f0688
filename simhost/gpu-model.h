/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fs-tree.h"
#include "host-description.h"

/* GPUs whose management library is simulated too: the field `nvml` of a device names a file beside the description, of the form
 * {gpus: [{name, types, instance-profiles, …}]} that tests/fake-nvml reads. The first of its GPUs stands for the device. As an
 * object it is {"model": FILE, …} with what is different here. */

/* Puts the models into the description in place of their files' names, and the types for virtual functions that follow. */
int gpu_models_join(json_t *root, const char *path);

/* Inside the host: writes what the library answers from, to which FAKE_NVML points, and puts the vendor's tool for virtual
 * functions where it belongs. Nothing where no GPU has a model. */
int gpu_models_install(const Description *d);

/* The tool. `which`: a PCI address in any of the usual forms, or ALL. */
int sriov_manage(bool on, const char *which);
