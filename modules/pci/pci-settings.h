/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The settings of a group that the code shared by PCI functions asks for: a module that uses it has them in its table. */

#include "pci.h"

static const char *const PCI_RESET_METHODS[] = { "any", "device_specific", "acpi", "flr", "af_flr", "pm", "bus", NULL };

#define PCI_FUNCTION_SETTINGS                                                                                              \
        {                                                                                                                  \
                .name = "driver",                                                                                          \
                .doc = "VFIO driver: \"auto\" takes the variant made for the model where the kernel has "                  \
                       "one, else vfio-pci; or the name of a driver.",                                                     \
                .type = PT_STRING,                                                                                         \
                .flags = PT_SETTING_GROUP,                                                                                 \
                .default_text = "auto",                                                                                    \
        },                                                                                                                 \
        {                                                                                                                  \
                .name = "require-reset",                                                                                   \
                .doc = "Refuse devices that cannot be reset alone instead of warning.",                                    \
                .type = PT_BOOL,                                                                                           \
                .flags = PT_SETTING_GROUP,                                                                                 \
                .default_text = "false",                                                                                   \
        },                                                                                                                 \
        {                                                                                                                  \
                .name = "reset-method",                                                                                    \
                .doc = "The only way of resetting that will do: devices that do not offer it are refused, and it is the one "\
                       "used; any leaves it to the kernel.",                                                               \
                .type = PT_STRING,                                                                                         \
                .flags = PT_SETTING_GROUP,                                                                                 \
                .choices = PCI_RESET_METHODS,                                                                              \
                .default_text = "any",                                                                                     \
        },                                                                                                                 \
        {                                                                                                                  \
                .name = "rom-bar",                                                                                         \
                .doc = "Show the guest the device's option ROM.",                                                          \
                .type = PT_BOOL,                                                                                           \
                .flags = PT_SETTING_GROUP | PT_SETTING_CONSUMER | PT_SETTING_OVERRIDE,                                     \
                .default_text = "true",                                                                                    \
        }
