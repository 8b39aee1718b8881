/* self.c: see self.h. */
#include "self.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

bool self_path(char *out, size_t size, Buf *err)
{
#ifdef __APPLE__
    uint32_t n = (uint32_t)size;
    if (_NSGetExecutablePath(out, &n) == 0)
        return true;
#else
    struct stat running, named;
    if (stat("/proc/self/exe", &running) == 0) {
        ssize_t n = readlink("/proc/self/exe", out, size - 1);
        out[n > 0 ? n : 0] = 0;
        if (n <= 0 || stat(out, &named) != 0 || named.st_dev != running.st_dev || named.st_ino != running.st_ino)
            snprintf(out, size, "/proc/self/exe");
        return true;
    }
#endif
    buf_puts(err, "the system does not say where the program 'anerun' is");
    return false;
}
