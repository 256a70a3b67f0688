/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the name of a driver tells. */

#include <stdbool.h>

/* A VFIO driver: what it has is for whoever opens it, and the kernel makes nothing of it. vfio-pci, and those for one model
 * (mlx5_vfio_pci, nvgrace-gpu-vfio-pci, hisi_acc_vfio_pci). False for NULL. */
bool driver_is_vfio(const char *driver);
