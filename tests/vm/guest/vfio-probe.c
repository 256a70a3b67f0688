/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A small VFIO client: opens a device through a type1 container as a VM manager does, says what works, and
 * may hold it open. One line of "key=value" words for each step, so that scripts can match them. usage()
 * says the rest; each way to fail has an exit status of its own.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <signal.h>
#include <unistd.h>

#define DMA_SIZE ((size_t) 1 << 20)

enum {
        PROBE_OK = 0,
        PROBE_USAGE = 2,
        PROBE_CONTAINER = 10,  /* /dev/vfio/vfio does not open or has no type1v2 */
        PROBE_NO_GROUP = 11,   /* no such group node */
        PROBE_FORBIDDEN = 12,  /* no permission for the group node */
        PROBE_BUSY = 13,       /* someone else has the group open */
        PROBE_NOT_VIABLE = 14, /* a device of the group is bound to a host driver */
        PROBE_IOMMU = 15,      /* the container does not take the group or the IOMMU type */
        PROBE_DMA = 16,        /* memory cannot be mapped */
        PROBE_DEVICE = 17,     /* the group does not give the device */
        PROBE_READ = 18,       /* the device's information or registers cannot be read */
        PROBE_RESET = 19,      /* the device cannot be reset */
        PROBE_HOLD = 20,       /* waiting failed */
};

typedef struct Options {
        const char *group;
        const char *device;
        bool reset;
        bool hold;
        bool yield;
} Options;

typedef struct Probe {
        int container;
        int group;
        int device;
        void *memory;
} Probe;

static int usage(FILE *out) {
        fprintf(out,
                "Usage: vfio-probe [--reset] [--hold] [--yield] GROUP DEVICE\n"
                "Opens DEVICE (PCI address or mdev UUID) of /dev/vfio/GROUP, maps DMA, reads BAR0 and\n"
                "configuration.\n"
                "  --reset  also reset the device\n"
                "  --hold   then print \"held\", keep it open until standard input ends, SIGTERM or SIGINT\n"
                "  --yield  with --hold: close it too when the kernel asks for it back\n"
                "Exit: 0 ok, 2 usage, 10 no container, 11 no group node, 12 no permission, 13 busy,\n"
                "  14 not viable, 15 no IOMMU, 16 no DMA, 17 no device, 18 no reading, 19 no reset,\n"
                "  20 no waiting\n");
        return out == stderr ? PROBE_USAGE : PROBE_OK;
}

static int failed(const char *step, int status) {
        int error = errno;

        printf("failed=%s errno=%d error=\"%s\"\n", step, error, strerror(error));
        return status;
}

static int open_container(Probe *probe) {
        probe->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
        if (probe->container < 0)
                return failed("container", PROBE_CONTAINER);
        if (ioctl(probe->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
            ioctl(probe->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1) {
                errno = EPROTONOSUPPORT;
                return failed("type1v2", PROBE_CONTAINER);
        }
        return PROBE_OK;
}

static int open_group(Probe *probe, const char *name) {
        struct vfio_group_status status = { .argsz = sizeof(status) };
        char path[64];
        bool viable;

        if ((size_t) snprintf(path, sizeof(path), "/dev/vfio/%s", name) >= sizeof(path)) {
                errno = ENAMETOOLONG;
                return failed("group", PROBE_NO_GROUP);
        }
        probe->group = open(path, O_RDWR | O_CLOEXEC);
        if (probe->group < 0)
                switch (errno) {
                case EACCES:
                case EPERM:
                        return failed("group", PROBE_FORBIDDEN);
                case EBUSY:
                        return failed("group", PROBE_BUSY);
                default:
                        return failed("group", PROBE_NO_GROUP);
                }
        if (ioctl(probe->group, VFIO_GROUP_GET_STATUS, &status) < 0)
                return failed("group-status", PROBE_NO_GROUP);
        viable = status.flags & VFIO_GROUP_FLAGS_VIABLE;
        printf("group=%s flags=%#x viable=%s\n", name, status.flags, viable ? "yes" : "no");
        return viable ? PROBE_OK : PROBE_NOT_VIABLE;
}

static int set_iommu(Probe *probe) {
        if (ioctl(probe->group, VFIO_GROUP_SET_CONTAINER, &probe->container) < 0)
                return failed("set-container", PROBE_IOMMU);
        if (ioctl(probe->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
                return failed("set-iommu", PROBE_IOMMU);
        printf("iommu=type1v2\n");
        return PROBE_OK;
}

static int map_dma(Probe *probe) {
        struct vfio_iommu_type1_dma_map map = {
                .argsz = sizeof(map),
                .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                .iova = 0,
                .size = DMA_SIZE,
        };

        probe->memory = mmap(NULL, DMA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (probe->memory == MAP_FAILED)
                return failed("memory", PROBE_DMA);
        map.vaddr = (uintptr_t) probe->memory;
        if (ioctl(probe->container, VFIO_IOMMU_MAP_DMA, &map) < 0)
                return failed("dma", PROBE_DMA);
        printf("dma=mapped size=%zu\n", DMA_SIZE);
        return PROBE_OK;
}

static int open_device(Probe *probe, const char *name) {
        struct vfio_device_info info = { .argsz = sizeof(info) };

        probe->device = ioctl(probe->group, VFIO_GROUP_GET_DEVICE_FD, name);
        if (probe->device < 0)
                return failed("device", PROBE_DEVICE);
        if (ioctl(probe->device, VFIO_DEVICE_GET_INFO, &info) < 0)
                return failed("device-info", PROBE_READ);
        printf("device=%s flags=%#x regions=%u irqs=%u reset=%s\n", name, info.flags, info.num_regions,
               info.num_irqs, info.flags & VFIO_DEVICE_FLAGS_RESET ? "yes" : "no");
        return PROBE_OK;
}

/* The first 32-bit word of a region. A BAR that the device does not have has size 0 and is no error. */
static int read_region(Probe *probe, unsigned index, const char *name) {
        struct vfio_region_info region = { .argsz = sizeof(region), .index = index };
        uint32_t word;

        if (ioctl(probe->device, VFIO_DEVICE_GET_REGION_INFO, &region) < 0)
                return failed(name, PROBE_READ);
        if (region.size < sizeof(word)) {
                printf("%s=none\n", name);
                return PROBE_OK;
        }
        if (pread(probe->device, &word, sizeof(word), (off_t) region.offset) != sizeof(word))
                return failed(name, PROBE_READ);
        printf("%s=0x%08" PRIx32 " size=%#llx flags=%#x\n", name, word, (unsigned long long) region.size,
               region.flags);
        return PROBE_OK;
}

static int reset_device(Probe *probe) {
        if (ioctl(probe->device, VFIO_DEVICE_RESET) < 0)
                return failed("reset", PROBE_RESET);
        printf("reset=done\n");
        return PROBE_OK;
}

/* Ask the kernel to signal when it wants the device back. Emulated (mdev) devices may not know how. */
static int watch_request(Probe *probe) {
        uint64_t buffer[(sizeof(struct vfio_irq_set) + sizeof(int32_t) + 7) / 8];
        struct vfio_irq_set *set = (struct vfio_irq_set *) buffer;
        int32_t event = eventfd(0, EFD_CLOEXEC);

        if (event < 0)
                return -1;
        *set = (struct vfio_irq_set){
                .argsz = sizeof(*set) + sizeof(event),
                .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                .index = VFIO_PCI_REQ_IRQ_INDEX,
                .count = 1,
        };
        memcpy(set->data, &event, sizeof(event));
        if (ioctl(probe->device, VFIO_DEVICE_SET_IRQS, set) < 0) {
                close(event);
                return -1;
        }
        return event;
}

static int block_signals(void) {
        sigset_t signals;

        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return -1;
        return signalfd(-1, &signals, SFD_CLOEXEC);
}

static bool input_ended(void) {
        char data[256];

        return read(STDIN_FILENO, data, sizeof(data)) <= 0;
}

static int hold(Probe *probe, bool yield) {
        struct pollfd fds[] = {
                { .fd = block_signals(), .events = POLLIN },
                { .fd = STDIN_FILENO, .events = POLLIN },
                { .fd = watch_request(probe), .events = POLLIN }, /* poll() leaves out a negative one */
        };
        const char *why = NULL;
        uint64_t count;

        if (fds[0].fd < 0)
                return failed("signals", PROBE_HOLD);
        printf("held request-signal=%s\n", fds[2].fd < 0 ? "no" : "yes");
        while (!why) {
                if (poll(fds, 3, -1) < 0)
                        return failed("poll", PROBE_HOLD);
                if (fds[0].revents)
                        why = "signal";
                else if (fds[1].revents && input_ended())
                        why = "input";
                if (fds[2].revents) {
                        if (read(fds[2].fd, &count, sizeof(count)) != sizeof(count))
                                return failed("request", PROBE_HOLD);
                        printf("requested count=%" PRIu64 "\n", count);
                        if (yield)
                                why = "request";
                }
        }
        printf("released by=%s\n", why);
        close(fds[0].fd);
        if (fds[2].fd >= 0)
                close(fds[2].fd);
        return PROBE_OK;
}

static int run(Probe *probe, const Options *options) {
        int r;

        if ((r = open_container(probe)) != PROBE_OK || (r = open_group(probe, options->group)) != PROBE_OK ||
            (r = set_iommu(probe)) != PROBE_OK || (r = map_dma(probe)) != PROBE_OK ||
            (r = open_device(probe, options->device)) != PROBE_OK ||
            (r = read_region(probe, VFIO_PCI_BAR0_REGION_INDEX, "bar0")) != PROBE_OK ||
            (r = read_region(probe, VFIO_PCI_CONFIG_REGION_INDEX, "config")) != PROBE_OK)
                return r;
        if (options->reset && (r = reset_device(probe)) != PROBE_OK)
                return r;
        return options->hold ? hold(probe, options->yield) : PROBE_OK;
}

/* 0, or with -1 the exit status in ret_status. */
static int parse(int argc, char **argv, Options *ret_options, int *ret_status) {
        static const struct option known[] = {
                { "reset", no_argument, NULL, 'r' },
                { "hold", no_argument, NULL, 'o' },
                { "yield", no_argument, NULL, 'y' },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        Options options = {};
        int c;

        while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0)
                switch (c) {
                case 'r':
                        options.reset = true;
                        break;
                case 'o':
                        options.hold = true;
                        break;
                case 'y':
                        options.yield = true;
                        break;
                default:
                        *ret_status = usage(c == 'h' ? stdout : stderr);
                        return -1;
                }
        if (argc - optind != 2 || (options.yield && !options.hold)) {
                *ret_status = usage(stderr);
                return -1;
        }
        options.group = argv[optind];
        options.device = argv[optind + 1];
        *ret_options = options;
        return 0;
}

int main(int argc, char **argv) {
        Probe probe = { .container = -1, .group = -1, .device = -1 };
        Options options;
        int status;

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (parse(argc, argv, &options, &status) < 0)
                return status;
        /* The exit closes what was opened, and so the kernel frees the device, the memory and the group. */
        return run(&probe, &options);
}
