/* device_fault.h: the faults of DeviceOptions.fault, for device.c alone. */
#ifndef ANEL_RUNTIME_DEVICE_FAULT_H
#define ANEL_RUNTIME_DEVICE_FAULT_H

#include "driver.h"

/* Weight files as a faulty device has kept them. */
typedef struct FaultFiles {
    struct FaultFiles *next;
    uint64_t           text; /* hash of the MIL text they were compiled with */
    uint64_t           bytes;
    DeviceFile        *file;
    size_t             files;
} FaultFiles;

/* What a device with a fault compiles when it is given these files: they or older ones. Kept until fault_close(). */
const FaultFiles *fault_compile(Device *d, const char *mil, size_t len, const DeviceFile *file, size_t files);
/* What the donor of a reload was made with, if the fault keeps it; NULL: no fault. */
const FaultFiles *fault_reload(const Program *donor);
void fault_close(Device *d);

#endif
