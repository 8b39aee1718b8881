/* limits.h: what the engine accepts, as far as anybody has shown: the conservative target "any".
 *
 * Every number here is somebody's measurement on hardware, none is ours. "Agreed" means that several independent projects
 * found the same; where they disagree the value is the one that all of them would accept. */
#ifndef ANEL_BACKEND_ANE_LIMITS_H
#define ANEL_BACKEND_ANE_LIMITS_H

enum {
    ANE_MAX_RANK = 4,            /* rank 5 is usable, 4 is what everybody uses; the first axis is 1 */
    ANE_MAX_WIDTH = 16384,       /* height and width up to M3; 65536 from M4 on (agreed) */
    ANE_MAX_CHANNELS = 65536,    /* agreed */
    ANE_MAX_CONV_IN = 31999,     /* 32000 input channels were refused, 32000 output channels work (one project) */
    ANE_IO_WIDTH_MULTIPLE = 16,  /* last axis of inputs and outputs: silent garbage otherwise (three projects) */
    ANE_IO_CHANNEL_MULTIPLE = 16,
    ANE_IO_MIN_CHANNELS = 64,    /* the same three */
    ANE_SURFACE_BYTES = 65536,   /* allocations rounded up to this satisfy every reported minimum */
};

/* Text that opens every program; the version numbers are parsed but not checked strictly (all projects). */
#define ANE_MIL_HEADER                                                                                                 \
    "program(1.3)\n"                                                                                                   \
    "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, "                                   \
    "{\"coremlc-version\", \"3505.4.1\"}, {\"coremltools-component-milinternal\", \"\"}, "                             \
    "{\"coremltools-version\", \"9.0\"}})]\n"

#endif
