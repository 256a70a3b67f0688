/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The published tables, included by vgpu-board.c alone. Sizes and MIG-backed types: {GB, most on one GPU}. */

#include "vgpu-board.h"

/* 16 GB: A2, and each of the four GPUs of an A16 */
static const VgpuSize sizes_16[] = { { 1, 16 }, { 2, 8 }, { 4, 4 }, { 8, 2 }, { 16, 1 }, { 0 } };
static const VgpuSize sizes_16_b[] = { { 1, 16 }, { 2, 8 }, { 0 } };
static const VgpuSize sizes_16_c[] = { { 4, 4 }, { 8, 2 }, { 16, 1 }, { 0 } };
static const VgpuSeries series_16[] = {
        { 'A', sizes_16 }, { 'B', sizes_16_b }, { 'C', sizes_16_c }, { 'Q', sizes_16 }, { 0 }
};

/* 24 GB with graphics: A10, L4 */
static const VgpuSize sizes_24[] = { { 1, 24 }, { 2, 12 }, { 3, 8 },  { 4, 6 }, { 6, 4 },
                                     { 8, 3 },  { 12, 2 }, { 24, 1 }, { 0 } };
static const VgpuSize sizes_24_b[] = { { 1, 24 }, { 2, 12 }, { 0 } };
static const VgpuSize sizes_24_c[] = { { 4, 6 }, { 6, 4 }, { 8, 3 }, { 12, 2 }, { 24, 1 }, { 0 } };
static const VgpuSeries series_24[] = {
        { 'A', sizes_24 }, { 'B', sizes_24_b }, { 'C', sizes_24_c }, { 'Q', sizes_24 }, { 0 }
};
static const VgpuSeries series_24_compute[] = { { 'C', sizes_24_c }, { 0 } };

/* 48 GB: A40, L40, L40S. 32, not 48, vGPUs of 1 GB: that is the most of any GPU of that time. */
static const VgpuSize sizes_48[] = { { 1, 32 }, { 2, 24 }, { 3, 16 }, { 4, 12 }, { 6, 8 }, { 8, 6 },
                                     { 12, 4 }, { 16, 3 }, { 24, 2 }, { 48, 1 }, { 0 } };
static const VgpuSize sizes_48_b[] = { { 1, 32 }, { 2, 24 }, { 0 } };
static const VgpuSize sizes_48_c[] = { { 4, 12 }, { 6, 8 },  { 8, 6 },  { 12, 4 },
                                       { 16, 3 }, { 24, 2 }, { 48, 1 }, { 0 } };
static const VgpuSeries series_48[] = {
        { 'A', sizes_48 }, { 'B', sizes_48_b }, { 'C', sizes_48_c }, { 'Q', sizes_48 }, { 0 }
};

static const VgpuSize sizes_40_c[] = { { 4, 10 }, { 5, 8 }, { 8, 5 }, { 10, 4 }, { 20, 2 }, { 40, 1 }, { 0 } };
static const VgpuSeries series_40_compute[] = { { 'C', sizes_40_c }, { 0 } };

static const VgpuSize sizes_80_a100[] = { { 4, 20 }, { 8, 10 }, { 10, 8 }, { 16, 5 },
                                          { 20, 4 }, { 40, 2 }, { 80, 1 }, { 0 } };
static const VgpuSeries series_80_a100[] = { { 'C', sizes_80_a100 }, { 0 } };
static const VgpuSize sizes_80_h100[] = { { 4, 20 }, { 5, 16 }, { 8, 10 }, { 10, 8 }, { 16, 5 },
                                          { 20, 4 }, { 40, 2 }, { 80, 1 }, { 0 } };
static const VgpuSeries series_80_h100[] = { { 'C', sizes_80_h100 }, { 0 } };

static const VgpuSize sizes_94[] = { { 4, 23 }, { 6, 15 }, { 11, 8 }, { 15, 6 }, { 23, 4 }, { 47, 2 }, { 94, 1 }, { 0 } };
static const VgpuSeries series_94[] = { { 'C', sizes_94 }, { 0 } };

static const VgpuSize sizes_141[] = { { 4, 32 }, { 7, 20 }, { 8, 16 }, { 14, 10 }, { 17, 8 },
                                      { 28, 5 }, { 35, 4 }, { 70, 2 }, { 141, 1 }, { 0 } };
static const VgpuSeries series_141[] = { { 'C', sizes_141 }, { 0 } };

/* 96 GB: RTX PRO 6000 Blackwell Server Edition */
static const VgpuSize sizes_96[] = { { 3, 32 }, { 4, 24 }, { 6, 16 }, { 8, 12 }, { 12, 8 }, { 16, 6 },
                                     { 24, 4 }, { 32, 3 }, { 48, 2 }, { 96, 1 }, { 0 } };
static const VgpuSize sizes_96_b[] = { { 2, 32 }, { 3, 32 }, { 0 } };
static const VgpuSize sizes_96_c[] = { { 8, 12 }, { 12, 8 }, { 16, 6 }, { 24, 4 }, { 32, 3 }, { 48, 2 }, { 96, 1 }, { 0 } };
static const VgpuSeries series_96[] = { { 'B', sizes_96_b }, { 'C', sizes_96_c }, { 'Q', sizes_96 }, { 0 } };

/* GPU instances: 8 memory and 7 compute slices. {name, id, compute, memory, max, starts, flags} */
static const MigProfile mig_a100_40[] = {
        { "1g.5gb", 19, 1, 1, 7, 0x7f, 0 },
        { "1g.5gb+me", 20, 1, 1, 1, 0x7f, MIG_MEDIA },
        { "1g.10gb", 15, 1, 2, 4, 0x55, 0 },
        { "2g.10gb", 14, 2, 2, 3, 0x15, 0 },
        { "3g.20gb", 9, 3, 4, 2, 0x11, 0 },
        { "4g.20gb", 5, 4, 4, 1, 0x01, 0 },
        { "7g.40gb", 0, 7, 8, 1, 0x01, 0 },
        { 0 },
};
static const MigProfile mig_80[] = {
        { "1g.10gb", 19, 1, 1, 7, 0x7f, 0 },
        { "1g.10gb+me", 20, 1, 1, 1, 0x7f, MIG_MEDIA },
        { "1g.20gb", 15, 1, 2, 4, 0x55, 0 },
        { "2g.20gb", 14, 2, 2, 3, 0x15, 0 },
        { "3g.40gb", 9, 3, 4, 2, 0x11, 0 },
        { "4g.40gb", 5, 4, 4, 1, 0x01, 0 },
        { "7g.80gb", 0, 7, 8, 1, 0x01, 0 },
        { 0 },
};
static const MigProfile mig_141[] = {
        { "1g.18gb", 19, 1, 1, 7, 0x7f, 0 },
        { "1g.18gb+me", 20, 1, 1, 1, 0x7f, MIG_MEDIA },
        { "1g.35gb", 15, 1, 2, 4, 0x55, 0 },
        { "2g.35gb", 14, 2, 2, 3, 0x15, 0 },
        { "3g.71gb", 9, 3, 4, 2, 0x11, 0 },
        { "4g.71gb", 5, 4, 4, 1, 0x01, 0 },
        { "7g.141gb", 0, 7, 8, 1, 0x01, 0 },
        { 0 },
};
/* 4 memory and 4 compute slices. */
static const MigProfile mig_a30[] = {
        { "1g.6gb", 14, 1, 1, 4, 0x0f, 0 },
        { "1g.6gb+me", 21, 1, 1, 1, 0x0f, MIG_MEDIA },
        { "2g.12gb", 5, 2, 2, 2, 0x05, 0 },
        { "2g.12gb+me", 6, 2, 2, 1, 0x05, MIG_MEDIA },
        { "4g.24gb", 0, 4, 4, 1, 0x01, 0 },
        { 0 },
};
/* Starts of the variants are not published; taken to be those of the plain profile. */
static const MigProfile mig_96[] = {
        { "1g.24gb", 14, 1, 1, 4, 0x0f, 0 },
        { "1g.24gb+me", 21, 1, 1, 1, 0x0f, MIG_MEDIA },
        { "1g.24gb+gfx", 47, 1, 1, 4, 0x0f, MIG_GRAPHICS },
        { "1g.24gb+me.all", 65, 1, 1, 1, 0x0f, MIG_MEDIA_ALL },
        { "1g.24gb-me", 67, 1, 1, 4, 0x0f, MIG_NO_MEDIA },
        { "2g.48gb", 5, 2, 2, 2, 0x05, 0 },
        { "2g.48gb+gfx", 35, 2, 2, 2, 0x05, MIG_GRAPHICS },
        { "2g.48gb+me.all", 64, 2, 2, 1, 0x05, MIG_MEDIA_ALL },
        { "2g.48gb-me", 66, 2, 2, 2, 0x05, MIG_NO_MEDIA },
        { "4g.96gb", 0, 4, 4, 1, 0x01, 0 },
        { "4g.96gb+gfx", 32, 4, 4, 1, 0x01, MIG_GRAPHICS },
        { 0 },
};

/* One vGPU an instance up to Hopper. {slices, GB, name flags, profile, vGPUs an instance} */
static const MigType mig_types_a30[] = {
        { 1, 6, 0, "1g.6gb", 1 },
        { 1, 6, VGPU_NAME_ME, "1g.6gb+me", 1 },
        { 2, 12, 0, "2g.12gb", 1 },
        { 2, 12, VGPU_NAME_ME, "2g.12gb+me", 1 },
        { 4, 24, 0, "4g.24gb", 1 },
        { 0 },
};
static const MigType mig_types_a100_40[] = {
        { 1, 5, 0, "1g.5gb", 1 },   { 1, 5, VGPU_NAME_ME, "1g.5gb+me", 1 }, { 1, 10, 0, "1g.10gb", 1 },
        { 2, 10, 0, "2g.10gb", 1 }, { 3, 20, 0, "3g.20gb", 1 },             { 4, 20, 0, "4g.20gb", 1 },
        { 7, 40, 0, "7g.40gb", 1 }, { 0 },
};
static const MigType mig_types_80[] = {
        { 1, 10, 0, "1g.10gb", 1 }, { 1, 10, VGPU_NAME_ME, "1g.10gb+me", 1 }, { 1, 20, 0, "1g.20gb", 1 },
        { 2, 20, 0, "2g.20gb", 1 }, { 3, 40, 0, "3g.40gb", 1 },               { 4, 40, 0, "4g.40gb", 1 },
        { 7, 80, 0, "7g.80gb", 1 }, { 0 },
};
static const MigType mig_types_141[] = {
        { 1, 18, 0, "1g.18gb", 1 },   { 1, 18, VGPU_NAME_ME, "1g.18gb+me", 1 }, { 1, 35, 0, "1g.35gb", 1 },
        { 2, 35, 0, "2g.35gb", 1 },   { 3, 71, 0, "3g.71gb", 1 },               { 4, 71, 0, "4g.71gb", 1 },
        { 7, 141, 0, "7g.141gb", 1 }, { 0 },
};
/* Several, time-sliced within the instance, which must have graphics. */
static const MigType mig_types_96[] = {
        { 1, 2, 0, "1g.24gb+gfx", 12 },  { 1, 3, 0, "1g.24gb+gfx", 8 },  { 1, 4, 0, "1g.24gb+gfx", 6 },
        { 1, 6, 0, "1g.24gb+gfx", 4 },   { 1, 8, 0, "1g.24gb+gfx", 3 },  { 1, 12, 0, "1g.24gb+gfx", 2 },
        { 1, 24, 0, "1g.24gb+gfx", 1 },  { 2, 12, 0, "2g.48gb+gfx", 4 }, { 2, 16, 0, "2g.48gb+gfx", 3 },
        { 2, 24, 0, "2g.48gb+gfx", 2 },  { 2, 48, 0, "2g.48gb+gfx", 1 }, { 4, 24, 0, "4g.96gb+gfx", 4 },
        { 4, 32, 0, "4g.96gb+gfx", 3 },  { 4, 48, 0, "4g.96gb+gfx", 2 }, { 4, 96, 0, "4g.96gb+gfx", 1 },
        { 0 },
};

#define MIG_7(profiles, types)                                                                                         \
        .mig = (profiles), .mig_types = (types), .mig_series = "C", .memory_slices = 8, .compute_slices = 7
#define MIG_4(profiles, types, letters)                                                                                \
        .mig = (profiles), .mig_types = (types), .mig_series = (letters), .memory_slices = 4, .compute_slices = 4

static const VgpuBoard boards[] = {
        { "A16", 16, 0x25b6, 0x14a9, VGPU_AMPERE, series_16 },
        { "A2", 16, 0x25b6, 0x157e, VGPU_AMPERE, series_16 },
        { "A10", 24, 0x2236, 0, VGPU_AMPERE, series_24 },
        { "L4", 24, 0x27b8, 0, VGPU_ADA, series_24 },
        { "A40", 48, 0x2235, 0, VGPU_AMPERE, series_48 },
        { "L40", 48, 0x26b5, 0, VGPU_ADA, series_48 },
        { "L40S", 48, 0x26b9, 0, VGPU_ADA, series_48 },
        { "A30", 24, 0x20b7, 0, VGPU_AMPERE, series_24_compute, MIG_4(mig_a30, mig_types_a30, "C") },
        { "A100", 40, 0x20f1, 0, VGPU_AMPERE, series_40_compute, MIG_7(mig_a100_40, mig_types_a100_40) },
        { "A100X", 40, 0x20b0, 0, VGPU_AMPERE, series_40_compute, MIG_7(mig_a100_40, mig_types_a100_40) },
        { "A100D", 80, 0x20b5, 0, VGPU_AMPERE, series_80_a100, MIG_7(mig_80, mig_types_80) },
        { "A100DX", 80, 0x20b2, 0, VGPU_AMPERE, series_80_a100, MIG_7(mig_80, mig_types_80) },
        { "H100", 80, 0x2331, 0, VGPU_HOPPER, series_80_h100, MIG_7(mig_80, mig_types_80) },
        { "H100XM", 80, 0x2330, 0, VGPU_HOPPER, series_80_h100, MIG_7(mig_80, mig_types_80) },
        { "H100L", 94, 0x2321, 0, VGPU_HOPPER, series_94 },
        { "H200X", 141, 0x2335, 0, VGPU_HOPPER, series_141, MIG_7(mig_141, mig_types_141) },
        { "H200", 141, 0x233b, 0, VGPU_HOPPER, series_141, MIG_7(mig_141, mig_types_141) },
        { "RTX Pro 6000 Blackwell DC", 96, 0x2bb5, 0, VGPU_BLACKWELL, series_96, MIG_4(mig_96, mig_types_96, "BCQ"),
          .mig_compute_from = 8 },
};
