/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the host has, as it is remembered for each boot, and how two of these differ. No globals, no manager: values in, values
 * out.
 *
 * A topology is {devices: [{id, place, ids, serial, name, group, driver, numa, slot, groups: [group id…]}…]}. `ids` and `serial`
 * ("" while it is not known) are what a device is, `id` and `place` where it is. `group` is the number of the IOMMU group, -1 for
 * none: it changes from boot to boot and means nothing in itself, so IOMMU groups are compared by their members. `groups` are
 * the resource groups that it was a member of. */

#include <jansson.h>

/* [{kind, severity, text, devices: [id…], was: [id…], before: TEXT, after: TEXT, groups: [id…]}…], the weightiest first:
 *
 *   gone, came          a device is not there any more, or is new
 *   moved               the same device (by serial number, or the only one of its kind that went and came) in another place
 *   replaced            another device in the same place
 *   split               devices that shared an IOMMU group are in several now
 *   merged              devices of several IOMMU groups share one now
 *   regrouped           both at once
 *   iommu-lost, -found  devices that have no IOMMU group any more, or did not have one
 *   renumbered          IOMMU groups with the same devices and other numbers
 *   driver, numa        a device is bound to another driver of the host's, or near another node
 *
 * `devices` are ids as they are now, or were when the device is gone; `was`: what those that are there were called before. NULL for want of memory. */
json_t *topology_diff(json_t *before, json_t *after);
