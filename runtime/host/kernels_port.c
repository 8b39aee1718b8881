/* kernels_port.c: between the outside and Real arrays: surfaces and constants. */
#include "host/host.h"
#include "host/kernel.h"

#include <string.h>

static void widen(const void *in, Real *out, int64_t n)
{
#ifdef HOST_EXACT
    const unsigned char *s = in;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, s + 2 * i, sizeof h);
        out[i] = (Real)f16_widen(h);
    }
#else
    f16_widen_row(in, out, (size_t)n);
#endif
}

/* Read `n` elements of an integer type into Real. */
#define LOAD(T)                                  \
    do {                                         \
        const T *s = surface;                    \
        for (int64_t i = 0; i < n; i++)          \
            out[i] = (Real)s[i];                 \
    } while (0)

bool KERNEL(load)(PortType type, const void *surface, int64_t n, void *to)
{
    Real *out = to;
    switch (type) {
    case PORT_F16:
        widen(surface, out, n);
        break;
    case PORT_F32:
        LOAD(float);
        break;
    case PORT_F64:
        LOAD(double);
        break;
    case PORT_I32: {
        const int32_t *s = surface;
        for (int64_t i = 0; i < n; i++) {
            out[i] = (Real)s[i];
            if ((double)out[i] != (double)s[i])
                return false; /* beyond 2^24 a float skips integers */
        }
        break;
    }
    case PORT_I8:
        LOAD(int8_t);
        break;
    case PORT_U8:
        LOAD(uint8_t);
        break;
    case PORT_I16:
        LOAD(int16_t);
        break;
    case PORT_U16:
        LOAD(uint16_t);
        break;
    case PORT_BOOL: {
        const uint8_t *s = surface;
        for (int64_t i = 0; i < n; i++)
            out[i] = s[i] != 0;
        break;
    }
    }
    return true;
}

/* Integers are already in range or come from arithmetic that left it: those are clamped. */
#define STORE(T, lo, hi)                                                                   \
    do {                                                                                   \
        T *d = surface;                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                  \
            double x = (double)in[i];                                                      \
            d[i] = (T)(x != x ? 0 : x < (lo) ? (lo) : x > (hi) ? (hi) : x);                \
        }                                                                                  \
    } while (0)

void KERNEL(store)(PortType type, const void *from, int64_t n, void *surface)
{
    const Real *in = from;
    switch (type) {
    case PORT_F16: {
        uint16_t *d = surface;
#ifdef HOST_EXACT
        for (int64_t i = 0; i < n; i++)
            d[i] = f16_from_f64(in[i]);
#else
        f16_narrow_row(in, d, (size_t)n);
#endif
        break;
    }
    case PORT_F32: {
        float *d = surface;
        for (int64_t i = 0; i < n; i++)
            d[i] = (float)in[i];
        break;
    }
    case PORT_F64: {
        double *d = surface;
        for (int64_t i = 0; i < n; i++)
            d[i] = (double)in[i];
        break;
    }
    case PORT_I32:
        STORE(int32_t, -2147483648.0, 2147483647.0);
        break;
    case PORT_I8:
        STORE(int8_t, -128, 127);
        break;
    case PORT_U8:
    case PORT_BOOL:
        STORE(uint8_t, 0, 255);
        break;
    case PORT_I16:
        STORE(int16_t, -32768, 32767);
        break;
    case PORT_U16:
        STORE(uint16_t, 0, 65535);
        break;
    }
}

void KERNEL(constant)(const Value *v, void *to)
{
    Real        *out = to;
    const Const *k = v->konst;
    if (k->raw && v->type.dtype == DT_F16) {
        widen(k->raw, out, k->count);
        return;
    }
    for (int64_t i = 0; i < k->count; i++)
        out[i] = (Real)const_number(v, i);
}
