/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much of a GPU and of its vGPUs is used now, as one JSON object. Only reads. What the driver does not measure is left out, and
 * said in "unavailable" by name: under MIG there is no utilisation, and that is not zero.
 *
 *   {gpu, memory, encoder, decoder (percent), framebuffer-used, framebuffer-total (MiB), temperature (degrees Celsius),
 *    power (mW), host-driver, vgpus (how many run), unavailable: {NAME: why},
 *    instances: [{type (id), profile, mdev (UUID), vm, gpu-instance, placement, gpu, memory, encoder, decoder, framebuffer-used,
 *                 framebuffer-total, licence, licence-expires, guest-driver}]}
 *
 * "licence": unknown, uninitialised, unlicensed-unrestricted, unlicensed-restricted, unlicensed, licensed. "guest-driver" only
 * while the guest's driver runs. */

#include <jansson.h>

#include "nvml.h"

#define NVML_USE_INSTANCES "instances"

/* `address`: "0000:3b:00.0". New reference. */
int nvml_read_use(const Nvml *nvml, const char *address, json_t **ret, char **ret_why);
