/* device_fault.c: a device that takes new weights and goes on with old ones, as engines were seen to do; see device.h.
 *
 * Weight files are copied and kept for as long as the device is open, so that an old version can take the place of the
 * one that was given. Drivers know nothing of it. */
#include "device_fault.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

static FaultFiles *keep(Device *d, uint64_t text, const DeviceFile *file, size_t files)
{
    FaultFiles *f = NEW(d->kept_in, FaultFiles);
    *f = (FaultFiles){.next = d->kept, .text = text, .file = NEW_N(d->kept_in, DeviceFile, files + 1), .files = files};
    for (size_t i = 0; i < files; i++) {
        char *copy = arena_alloc(d->kept_in, file[i].len + 1);
        memcpy(copy, file[i].data, file[i].len);
        f->file[i] = (DeviceFile){.path = arena_strdup(d->kept_in, file[i].path), .data = copy, .len = file[i].len};
        f->bytes += file[i].len;
    }
    d->kept = f;
    return f;
}

const FaultFiles *fault_compile(Device *d, const char *mil, size_t len, const DeviceFile *file, size_t files)
{
    uint64_t text = hash_u64(mil, len);
    if (!d->kept_in)
        d->kept_in = arena_new();
    for (const FaultFiles *f = d->kept; f && d->fault == FAULT_STALE_COMPILE; f = f->next)
        if (f->text == text)
            return f;
    return keep(d, text, file, files);
}

const FaultFiles *fault_reload(const Program *donor)
{
    DeviceFault fault = donor->device->fault;
    if (fault == FAULT_STALE_RELOAD || (fault == FAULT_STALE_LARGE && donor->kept->bytes > FAULT_LARGE))
        return donor->kept;
    return NULL;
}

void fault_close(Device *d)
{
    if (d->kept_in)
        arena_free(d->kept_in);
    d->kept_in = NULL;
}
