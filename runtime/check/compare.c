/* compare.c: see compare.h and docs/check.md, which derives the bounds. */
#include "check/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Samples of the rounding noise; how many of their standard deviations an element and an RMS may be off. */
enum { SAMPLES = 6 };
static const double element_factor = 8, rms_factor = 3;
static const double fp16_max = 65504;
/* What a block of operations on an engine may be off (docs/check.md, "Coarser devices"): its distance, its angle, and any
 * element as a share of the largest. */
static const double coarse_distance = 1e-2, coarse_cosine = 0.999, coarse_element = 2e-2;

typedef struct {
    double **exact, **square; /* [outputs]: the reference; the sum over samples of the squared deviations */
} Reference;

static double **outputs_new(const Func *f)
{
    double **x = calloc(f->outputs, sizeof *x);
    for (uint32_t k = 0; x && k < f->outputs; k++)
        if (!(x[k] = calloc((size_t)type_elems(&f->output[k]->type), sizeof **x)))
            bug("out of memory");
    return x;
}

static void outputs_free(const Func *f, double **x)
{
    for (uint32_t k = 0; k < f->outputs; k++)
        free(x[k]);
    free(x);
}

static Reference sample(Mil64 *m, const double *const *input)
{
    const Func *f = mil64_func(m);
    Reference   r = {outputs_new(f), outputs_new(f)};
    double    **noisy = outputs_new(f);
    mil64_run(m, input, r.exact, 0);
    for (uint64_t s = 1; s <= SAMPLES; s++) {
        mil64_run(m, input, noisy, s);
        for (uint32_t k = 0; k < f->outputs; k++)
            for (int64_t i = 0; i < type_elems(&f->output[k]->type); i++) {
                double d = noisy[k][i] - r.exact[k][i];
                r.square[k][i] += d * d;
            }
    }
    mil64_forget(m);
    outputs_free(f, noisy);
    return r;
}

/* How far elements are from others, added up. */
typedef struct {
    double difference, square, other, product; /* sums */
} Apart;

static void add_apart(Apart *a, double x, double y)
{
    a->difference += (x - y) * (x - y);
    a->square += x * x;
    a->other += y * y;
    a->product += x * y;
}

static double distance(const Apart *a)
{
    return a->difference == 0 ? 0 : a->other > 0 ? sqrt(a->difference / a->other) : INFINITY;
}

static double cosine(const Apart *a)
{
    double norm = sqrt(a->square * a->other);
    return a->difference == 0 ? 1 : norm > 0 ? a->product / norm : 0;
}

static bool compared(double exact, double square)
{
    return fabs(exact) <= fp16_max && isfinite(square);
}

typedef struct {
    double   max, rms, worst;
    uint64_t beyond;
    bool     infinite; /* an element is not finite that has to be */
    Apart    apart;
} Errors;

/* Of elements from .. to; `deviation`: of the noise, over all of them. */
static Errors errors_of(const double *exact, const double *square, double deviation, const double *got, int64_t from, int64_t to)
{
    Errors   e = {0};
    uint64_t n = 0;
    for (int64_t i = from; i < to; i++) {
        if (!compared(exact[i], square[i]))
            continue;
        n++;
        double error = fabs(got[i] - exact[i]), bound = element_factor * (sqrt(square[i] / SAMPLES) + deviation);
        if (!isfinite(error)) { /* allowed only where rounding may lead out of the range */
            bool wrong = fabs(exact[i]) + bound < fp16_max;
            e.beyond += wrong;
            e.infinite = e.infinite || wrong;
            continue;
        }
        e.max = fmax(e.max, error);
        e.beyond += error > bound;
        add_apart(&e.apart, got[i], exact[i]);
        if (error > 0)
            e.worst = fmax(e.worst, bound > 0 ? error / bound : INFINITY);
    }
    e.rms = n ? sqrt(e.apart.difference / (double)n) : 0;
    if (e.rms > 0)
        e.worst = fmax(e.worst, deviation > 0 ? e.rms / (rms_factor * deviation) : INFINITY);
    return e;
}

static void second_opinion(CheckRow *row, const double *exact, const double *square, double deviation, const double *got,
                           const double *host, int64_t from, int64_t to)
{
    Errors e = errors_of(exact, square, deviation, host, from, to);
    Apart  apart = {0};
    row->second = true;
    row->host_worst = e.worst;
    row->host_beyond = e.beyond;
    for (int64_t i = from; i < to; i++) {
        double ulps = fabs(got[i] - host[i]) / (2 * mil64_half_ulp(host[i]));
        if (!compared(exact[i], square[i]) || (!isfinite(got[i]) && !isfinite(host[i])))
            continue;
        row->host_ulps = isfinite(ulps) ? fmax(row->host_ulps, ulps) : INFINITY;
        if (isfinite(ulps))
            add_apart(&apart, got[i], host[i]);
    }
    row->host_distance = distance(&apart);
    row->host_cosine = cosine(&apart);
}

/* Elements from .. to of one output. `host` NULL: no second opinion. */
static void compare_part(CheckRow *row, const double *exact, const double *square, const double *got, const double *host,
                         int64_t from, int64_t to)
{
    double deviation = 0;
    for (int64_t i = from; i < to; i++) {
        if (!compared(exact[i], square[i])) {
            row->unbounded++;
            continue;
        }
        row->n++;
        deviation += square[i] / SAMPLES;
        row->largest = fmax(row->largest, fabs(exact[i]));
    }
    deviation = row->n ? sqrt(deviation / (double)row->n) : 0;
    Errors e = errors_of(exact, square, deviation, got, from, to);
    row->rms_bound = rms_factor * deviation;
    row->max_error = e.max;
    row->rms_error = e.rms;
    row->worst = e.worst;
    row->beyond = e.beyond;
    row->finite = !e.infinite;
    row->distance = distance(&e.apart);
    row->cosine = cosine(&e.apart);
    if (host)
        second_opinion(row, exact, square, deviation, got, host, from, to);
}

void check_compare(Arena *a, Mil64 *m, const double *const *input, const double *const *output,
                   const double *const *second, const PlanPort *out, CheckRow as, CheckRows *rows)
{
    const Func *f = mil64_func(m);
    Reference   r = sample(m, input);
    for (uint32_t k = 0; k < f->outputs; k++) {
        int64_t  n = type_elems(&f->output[k]->type), channels = f->output[k]->type.rank > 1 ? f->output[k]->type.dim[1] : 1;
        uint32_t parts = out && out[k].parts ? out[k].parts : 1;
        for (uint32_t q = 0; q < parts; q++) {
            const PlanPart *part = out && out[k].parts ? &out[k].part[q] : NULL; /* padding may lie between parts */
            int64_t  at = part ? n / channels * part->channel : 0, size = part ? n / channels * part->channels : n;
            CheckRow row = as;
            row.output = part ? part->name : f->output[k]->name;
            compare_part(&row, r.exact[k], r.square[k], output[k], second ? second[k] : NULL, at, at + size);
            GROW(a, rows->row, rows->rows, rows->cap);
            rows->row[rows->rows++] = row;
        }
    }
    outputs_free(f, r.exact);
    outputs_free(f, r.square);
}

bool check_passed(const CheckRow *r)
{
    return r->worst <= 1 && r->beyond == 0 && r->n > 0;
}

/* Elements that are not finite where the reference is are beyond anything. */
static bool tolerable(const CheckRow *r)
{
    return r->distance <= coarse_distance && r->cosine >= coarse_cosine && r->max_error <= coarse_element * r->largest &&
           r->host_distance <= coarse_distance && r->host_cosine >= coarse_cosine && isfinite(r->host_ulps);
}

CheckVerdict check_verdict(const CheckRow *r)
{
    if (check_passed(r))
        return CHECK_WITHIN;
    return r->second && r->n > 0 && r->finite && tolerable(r) ? CHECK_COARSE : CHECK_BEYOND;
}
