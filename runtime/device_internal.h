/* device_internal.h: what device.c and device_request.c share. */
#ifndef ANEL_RUNTIME_DEVICE_INTERNAL_H
#define ANEL_RUNTIME_DEVICE_INTERNAL_H

#include "driver.h"

/* False, with the reason, once an evaluation has not returned. */
bool device_usable(const Device *d, Buf *err);
/* What the engine may still write to, and what is on the stack of a thread that never comes back, is left to the process;
 * tools that look for leaks find it through this. */
void device_abandon(void *object);
uint64_t device_now_ns(void);

#endif
