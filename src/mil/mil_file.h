/* mil_file.h: a weight file that MIL text names. */
#ifndef ANEL_MIL_MIL_FILE_H
#define ANEL_MIL_MIL_FILE_H

#include <stddef.h>

typedef struct {
    const char *path; /* "@model_path/weights/w.bin" */
    const void *data;
    size_t      len;
} MilFile;

#endif
