/* work.h: how much work a micro-program is, in the terms of the cost model. */
#ifndef ANEL_PROBE_WORK_H
#define ANEL_PROBE_WORK_H

#include "probe/probe.h"

/* Of the program of the last trial. */
Work work_of(Probe *p);

#endif
