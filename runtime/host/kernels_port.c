/* kernels_port.c: between the outside and Real arrays: surfaces and constants. */
#include "host/host.h"
#include "host/kernel.h"

#include <string.h>

/* The usual data, in one pass without branches. Bytes of a blob file need not be aligned. */
static void widen(const unsigned char *restrict in, Real *restrict out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, in + 2 * i, sizeof h);
        uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
        /* Moving the bits up and multiplying by 2^112 rebiases the exponent and normalises subnormals in one step. */
        float    x = f32_from_bits((uint32_t)(h & 0x7fffu) << 13) * 0x1p112f;
        uint32_t special = (uint32_t)((h & 0x7c00u) == 0x7c00u) * 0x7f800000u; /* infinity, NaN */
        out[i] = (Real)f32_from_bits(f32_bits(x) | special | sign);
    }
}

/* Read `n` elements of an integer type into Real. */
#define LOAD(T)                                  \
    do {                                         \
        const T *s = surface;                    \
        for (int64_t i = 0; i < n; i++)          \
            out[i] = (Real)s[i];                 \
    } while (0)

bool KERNEL(load)(PortType type, const void *surface, int64_t n, Real *out)
{
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

void KERNEL(store)(PortType type, const Real *in, int64_t n, void *surface)
{
    switch (type) {
    case PORT_F16: {
        uint16_t *d = surface;
        for (int64_t i = 0; i < n; i++)
#ifdef HOST_EXACT
            d[i] = f16_from_f64(in[i]);
#else
            d[i] = f16_from_f32(in[i]);
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

void KERNEL(constant)(const Value *v, Real *out)
{
    const Const *k = v->konst;
    if (k->raw && v->type.dtype == DT_F16) {
        widen(k->raw, out, k->count);
        return;
    }
    for (int64_t i = 0; i < k->count; i++)
        out[i] = (Real)const_number(v, i);
}
