/* rows.h: long rows of fp16 to fp32 and back with the widest instructions of the machine; the bits of base/f16.h. */
#ifndef ANEL_RUNTIME_ROWS_H
#define ANEL_RUNTIME_ROWS_H

#include <stddef.h>
#include <stdint.h>

void rows_widen(const uint16_t *in, float *out, size_t n);
void rows_narrow(const float *in, uint16_t *out, size_t n);

#endif
