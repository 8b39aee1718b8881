/* compare.c: see compare.h and docs/check.md, which derives the bounds. */
#include "check/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Samples of the rounding noise; how many of their standard deviations an element and an RMS may be off. */
enum { SAMPLES = 6 };
static const double element_factor = 8, rms_factor = 3;
static const double fp16_max = 65504;

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

/* Elements from .. to of one output. */
static void compare_part(CheckRow *row, const double *exact, const double *square, const double *got, int64_t from, int64_t to)
{
    double deviation = 0, errors = 0, worst = 0;
    for (int64_t i = from; i < to; i++) {
        if (!(fabs(exact[i]) <= fp16_max) || !isfinite(square[i])) {
            row->unbounded++;
            continue;
        }
        row->n++;
        deviation += square[i] / SAMPLES;
        row->largest = fmax(row->largest, fabs(exact[i]));
    }
    deviation = row->n ? sqrt(deviation / (double)row->n) : 0;
    row->rms_bound = rms_factor * deviation;
    for (int64_t i = from; i < to; i++) {
        if (!(fabs(exact[i]) <= fp16_max) || !isfinite(square[i]))
            continue;
        double error = fabs(got[i] - exact[i]), bound = element_factor * (sqrt(square[i] / SAMPLES) + deviation);
        if (!isfinite(error)) { /* allowed only where rounding may lead out of the range */
            row->beyond += fabs(exact[i]) + bound < fp16_max;
            continue;
        }
        row->max_error = fmax(row->max_error, error);
        errors += error * error;
        row->beyond += error > bound;
        if (error > 0)
            worst = fmax(worst, bound > 0 ? error / bound : INFINITY);
    }
    row->rms_error = row->n ? sqrt(errors / (double)row->n) : 0;
    if (row->rms_error > 0)
        worst = fmax(worst, row->rms_bound > 0 ? row->rms_error / row->rms_bound : INFINITY);
    row->worst = worst;
}

void check_compare(Arena *a, Mil64 *m, const double *const *input, const double *const *output, const PlanPort *out,
                   CheckRow as, CheckRows *rows)
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
            compare_part(&row, r.exact[k], r.square[k], output[k], at, at + size);
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
