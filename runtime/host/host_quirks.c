/* host_quirks.c: see host_quirks.h. */
#include "host/host_quirks.h"

#include "base/f16.h"
#include "mil/mil_rules.h"
#include "mil/rules.h"
#include "quirks.h"

#include <math.h>
#include <string.h>

uint32_t host_quirks(const DeviceOptions *o)
{
    if (o->numerics == NUMERICS_EXACT)
        return 0;
    return (o->quirks | (o->target ? quirks_of(o->target) : 0)) & ~o->quirks_off;
}

/* ---- results that are too large ------------------------------------------------------------------------------- */

/* The largest fp16 number up to x, as bits. `x` is within its range. */
static uint16_t bits_below(double x)
{
    uint16_t h = f16_from_f64(x);
    return (double)f16_to_f32(h) > x ? (uint16_t)(h - 1) : h;
}

static bool is_product(const Call *c)
{
    return c->op->type == rule_conv || c->op->type == rule_matmul || c->op->type == rule_linear;
}

bool host_moves(const HostDevice *d, const Call *c)
{
    uint32_t from;
    return !is_product(c) && host_result_limit(d, c, &from) != 0;
}

uint16_t host_result_limit(const HostDevice *d, const Call *c, uint32_t *from)
{
    enum { PRODUCT_MAX = 32752, CROP_MAX = 4094, HALF_MAX = 65504 };
    const Target *t = d->options.target;
    *from = 0;
    if (!d->quirks || !host_half(d, c->result[0]))
        return 0;
    if ((d->quirks & QUIRK_HALF_RANGE) && is_product(c))
        return bits_below(t && t->matmul_out_max < HALF_MAX ? (double)t->matmul_out_max : PRODUCT_MAX);
    if (!(d->quirks & QUIRK_SLICE_CROP) || !call_cuts_last_axis(c))
        return 0;
    *from = c->results > 1; /* the first part of a split begins where the row does */
    return bits_below(t && t->slice_crop_max > 0 && t->slice_crop_max < HALF_MAX ? (double)t->slice_crop_max : CROP_MAX);
}

enum { PART = 1 << 15, INFINITY_BITS = 0x7c00 };

static void saturate(uint16_t *x, int64_t n, uint16_t limit)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t size = x[i] & 0x7fff, sign = x[i] & 0x8000;
        uint16_t all = size > limit && size < INFINITY_BITS ? INFINITY_BITS : size;
        x[i] = sign | all;
    }
}

typedef struct {
    uint16_t *x;
    int64_t n;
    uint16_t limit;
} Saturating;

static void saturate_part(void *with, uint32_t i)
{
    const Saturating *s = with;
    int64_t from = (int64_t)i * PART;
    saturate(s->x + from, s->n - from < PART ? s->n - from : PART, s->limit);
}

void host_saturate(Pool *pool, uint16_t *x, int64_t n, uint16_t limit)
{
    Saturating s = {x, n, limit};
    pool_for(pool, (uint32_t)((n + PART - 1) / PART), saturate_part, &s);
}

/* ---- arguments without effect --------------------------------------------------------------------------------- */

const Call *host_understood(Arena *keep, const HostDevice *d, const Call *c)
{
    enum { MASK = 3 };
    if (!(d->quirks & QUIRK_MASK_IGNORED) || strcmp(c->op->name, "scaled_dot_product_attention") != 0 || !c->arg[MASK])
        return c;
    Call *plain = NEW(keep, Call);
    *plain = *c;
    plain->arg[MASK] = NULL;
    return plain;
}

/* ---- functions ------------------------------------------------------------------------------------------------ */

typedef enum { LOSES_NOTHING, LOSES_NAN, LOSES_LOG, LOSES_COS, LOSES_GELU, LOSES_MUL } Losing;

struct RowQuirk {
    float error; /* relative; 0: none */
    bool round;
    Losing losing;
};

/* Largest relative errors against fp32 that ANEForge measured on M5; other families are within a step of fp16 of them,
 * but for gelu on the first one. What is less than the rounding to fp16 itself (products, sums, powers) is left out. */
static const struct {
    const char *op;
    float error;
} table_error[] = {{"exp", 4.7e-4f},     {"exp2", 4.7e-4f}, {"log", 8e-4f},  {"rsqrt", 1e-3f},  {"sqrt", 4.3e-4f},
                   {"tanh", 1.3e-3f},    {"silu", 1e-2f},   {"gelu", 2.4e-3f}, {"erf", 7e-4f},  {"elu", 5e-3f},
                   {"sigmoid", 3.8e-3f}, {"atan", 1.9e-2f}, {"sin", 5.6e-4f}, {"cos", 5.6e-4f}, {"softmax", 1e-3f}};

static float error_of(const HostDevice *d, const char *op)
{
    bool first = d->options.target && d->options.target->family == FAMILY_H13;
    for (size_t i = 0; i < COUNT(table_error); i++)
        if (strcmp(table_error[i].op, op) == 0)
            return first && strcmp(op, "gelu") == 0 ? 8e-2f : table_error[i].error;
    return 0;
}

static Losing losing(const char *op)
{
    static const struct {
        const char *op;
        Losing losing;
    } known[] = {{"log", LOSES_LOG},   {"softplus", LOSES_LOG}, {"cos", LOSES_COS},
                 {"gelu", LOSES_GELU}, {"mul", LOSES_MUL},      {"softmax", LOSES_NOTHING}};
    for (size_t i = 0; i < COUNT(known); i++)
        if (strcmp(known[i].op, op) == 0)
            return known[i].losing;
    return LOSES_NAN;
}

const RowQuirk *host_row_quirk(Arena *keep, const HostDevice *d, const Call *c)
{
    RowQuirk q = {0};
    if (d->quirks & QUIRK_TABLE_ERROR)
        q.error = error_of(d, c->op->name);
    if (d->quirks & QUIRK_ROUND_1024)
        q.round = strcmp(c->op->name, "round") == 0;
    if (d->quirks & QUIRK_NAN_LOST)
        q.losing = losing(c->op->name);
    if (q.error == 0 && !q.round && q.losing == LOSES_NOTHING)
        return NULL;
    RowQuirk *kept = NEW(keep, RowQuirk);
    *kept = q;
    return kept;
}

/* Up or down, as the operand's bits say: always the same way for the same operand, as in a table. */
static bool upwards(float x)
{
    return (f32_bits(x) >> 13) * UINT32_C(0x9e3779b1) >> 31;
}

static float lost(Losing how, float x, float y, float out)
{
    static const float gelu_of_zero = -7.5e-4f, mul_of_infinity = -52416;
    if (how == LOSES_LOG && x == INFINITY)
        return 0;
    if (how == LOSES_COS && isinf(x))
        return 0;
    if (how == LOSES_GELU && x == 0)
        return gelu_of_zero;
    if (how == LOSES_MUL && (isinf(x) || isinf(y)))
        return mul_of_infinity;
    return isnan(out) ? 0 : out;
}

void host_row_quirk_run(const RowQuirk *q, const float *x, int64_t sx, const float *y, int64_t sy, float *out,
                        int64_t n)
{
    for (int64_t i = 0; i < n && q->error > 0; i++)
        out[i] *= upwards(x[i * sx]) ? 1 + q->error : 1 - q->error;
    for (int64_t i = 0; i < n && q->round; i++)
        if (fabsf(x[i * sx]) >= 1024)
            out[i] += out[i] > 0 ? 1.0f : -1.0f;
    for (int64_t i = 0; i < n && q->losing; i++)
        out[i] = lost(q->losing, x[i * sx], y ? y[i * sy] : 0, out[i]);
}
