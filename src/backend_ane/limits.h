/* limits.h: what every target has in common. What differs from engine to engine stands in its profile: target/target.h. */
#ifndef ANEL_BACKEND_ANE_LIMITS_H
#define ANEL_BACKEND_ANE_LIMITS_H

enum {
    ANE_MAX_CHANNELS = 65536, /* agreed */
};

/* Text that opens every program; the version numbers are parsed but not checked strictly (all projects). */
#define ANE_MIL_HEADER                                                                                                 \
    "program(1.3)\n"                                                                                                   \
    "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, "                                   \
    "{\"coremlc-version\", \"3505.4.1\"}, {\"coremltools-component-milinternal\", \"\"}, "                             \
    "{\"coremltools-version\", \"9.0\"}})]\n"

#endif
