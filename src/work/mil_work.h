/* mil_work.h: the work of MIL text, as target/cost.h counts it. */
#ifndef ANEL_WORK_MIL_WORK_H
#define ANEL_WORK_MIL_WORK_H

#include "target/cost.h"

typedef struct {
    const char *op; /* of MIL */
    uint32_t    count;
} OpCount;

/* Work and operations of MIL text, all functions together, without what crosses their borders. `is_param(ctx, path)` says
 * whether a weight file holds parameters; its bytes are added to *params. False with a message. */
typedef bool IsParam(const void *ctx, const char *path);
bool mil_work(Arena *a, const char *name, const char *text, size_t len, IsParam *is_param, const void *ctx, Work *work,
              uint64_t *params, OpCount **op, uint32_t *ops, int64_t *heads, Buf *err);

/* The same of each of its first `functions` functions, with the bytes of their inputs and outputs. */
bool mil_function_work(Arena *a, const char *name, const char *text, size_t len, Work *work, uint32_t functions,
                       Buf *err);

#endif
