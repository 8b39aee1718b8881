/* mil_test.c: see mil_test.h. */
#include "mil_test.h"

#include "base/f16.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t port_elems(const Port *p)
{
    return p->bytes / port_elem_bytes(p->type);
}

static void put(PortType type, double *x, void *surface, size_t i)
{
    if (type == PORT_F64 || type == PORT_F16) /* exact runs see what fp16 runs see */
        *x = f16_round_f64(*x);
    else if (type == PORT_F32)
        *x = (double)(float)*x;
    else
        *x = floor(*x);
    switch (type) {
    case PORT_F64: ((double *)surface)[i] = *x; break;
    case PORT_F16: ((uint16_t *)surface)[i] = f16_from_f64(*x); break;
    case PORT_F32: ((float *)surface)[i] = (float)*x; break;
    case PORT_I32: ((int32_t *)surface)[i] = (int32_t)*x; break;
    case PORT_I8: ((int8_t *)surface)[i] = (int8_t)*x; break;
    case PORT_I16: ((int16_t *)surface)[i] = (int16_t)*x; break;
    case PORT_U16: ((uint16_t *)surface)[i] = (uint16_t)*x; break;
    case PORT_BOOL: *x = *x > 0; ((uint8_t *)surface)[i] = *x > 0; break;
    case PORT_U8: ((uint8_t *)surface)[i] = (uint8_t)*x; break;
    }
}

static double get(PortType type, const void *surface, size_t i)
{
    switch (type) {
    case PORT_F64: return ((const double *)surface)[i];
    case PORT_F16: return (double)f16_to_f32(((const uint16_t *)surface)[i]);
    case PORT_F32: return (double)((const float *)surface)[i];
    case PORT_I32: return ((const int32_t *)surface)[i];
    case PORT_I8: return ((const int8_t *)surface)[i];
    case PORT_I16: return ((const int16_t *)surface)[i];
    case PORT_U16: return ((const uint16_t *)surface)[i];
    default: return ((const uint8_t *)surface)[i];
    }
}

void mil_run(MilRun *r, const char *text, Numerics numerics, ReduceMode reduce, const DeviceFile *file, size_t files,
             FillFn *fill, void *context)
{
    *r = (MilRun){0};
    Device *d =
        device_open("host", &(DeviceOptions){.numerics = numerics, .reduce = reduce, .wide_ports = true}, &r->err);
    Program *p = program_compile(d, "test.mil", text, strlen(text), file, files, &r->err);
    if (!p) {
        device_close(d);
        return;
    }
    const ProgramFunction *f = program_function(p, 0);
    Surface *in[PORTS] = {0}, *out[PORTS] = {0};
    r->inputs = f->inputs;
    r->outputs = f->outputs;
    cr_assert(f->inputs <= PORTS && f->outputs <= PORTS);
    for (uint32_t i = 0; i < f->inputs; i++) {
        size_t n = port_elems(&f->input[i]);
        r->input[i] = f->input[i];
        in[i] = surface_new(d, f->input[i].bytes, &r->err);
        r->in[i] = xcalloc(n, sizeof(double));
        if (fill)
            fill(context, i, r->in[i], n);
        void *s = surface_lock(in[i], true);
        for (size_t k = 0; k < n; k++)
            put(f->input[i].type, &r->in[i][k], s, k);
        surface_unlock(in[i], true);
    }
    for (uint32_t i = 0; i < f->outputs; i++) {
        r->output[i] = f->output[i];
        out[i] = surface_new(d, f->output[i].bytes, &r->err);
    }
    Request *q = request_new(p, 0, in, out, &r->err);
    r->ok = q && request_eval(q, &r->err);
    for (uint32_t i = 0; i < f->outputs; i++) {
        size_t n = port_elems(&f->output[i]);
        r->out[i] = xcalloc(n, sizeof(double));
        const void *s = surface_lock(out[i], false);
        for (size_t k = 0; k < n; k++)
            r->out[i][k] = get(f->output[i].type, s, k);
        surface_unlock(out[i], false);
    }
    request_free(q);
    for (int i = 0; i < PORTS; i++) {
        surface_free(in[i]);
        surface_free(out[i]);
    }
    program_free(p);
    device_close(d);
}

void mil_run_free(MilRun *r)
{
    for (int i = 0; i < PORTS; i++) {
        free(r->in[i]);
        free(r->out[i]);
    }
    buf_free(&r->err);
}

char *mil_compile_errors(const char *text, size_t len, const DeviceFile *file, size_t files)
{
    Buf      err = {0};
    Device  *d = device_open("host", &(DeviceOptions){0}, &err);
    Program *p = program_compile(d, "test.mil", text, len, file, files, &err);
    if (!p && err.len == 0)
        buf_puts(&err, "refused without a message");
    if (p) {
        program_free(p);
        buf_free(&err);
    }
    device_close(d);
    return err.data;
}

/* fp16 values in order, as integers. */
static int ordered(double x)
{
    int u = f16_from_f64(x);
    return u & 0x8000 ? -(u & 0x7fff) : u;
}

double steps16(double got, double want)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want) ? 0 : INFINITY;
    return fabs((double)ordered(got) - (double)ordered(want));
}

static void fill_random(void *context, uint32_t port, double *x, size_t n)
{
    const OpCase *c = context;
    uint64_t      key = rng_key(port, c->text);
    for (size_t i = 0; i < n; i++)
        x[i] = c->lo + (c->hi - c->lo) * rng_uniform(key, i);
}

static void compare(const OpCase *c, const MilRun *r, double *const *want, Numerics numerics, ReduceMode reduce)
{
    for (uint32_t o = 0; o < r->outputs; o++)
        for (size_t i = 0; i < port_elems(&r->output[o]); i++) {
            double got = r->out[o][i], ref = want[o][i];
            bool   same = got == ref || (isnan(got) && isnan(ref));
            bool   ok = numerics == NUMERICS_EXACT ? same || fabs(got - ref) <= 1e-9 * (1 + fabs(ref))
                                                   : same || fabs(got - ref) <= c->abs || steps16(got, ref) <= c->steps;
            if (!ok) {
                cr_expect(false, "%s (%s): output %u element %zu is %.9g, expected %.9g\n%s", c->op,
                          numerics == NUMERICS_EXACT ? "exact"
                          : reduce == REDUCE_STRICT  ? "strict"
                                                     : "lenient",
                          o, i, got, ref, c->text);
                return;
            }
        }
}

void check_case(const OpCase *c)
{
    static const struct {
        Numerics   numerics;
        ReduceMode reduce;
    } modes[] = {{NUMERICS_EXACT, REDUCE_STRICT}, {NUMERICS_ANE, REDUCE_STRICT}, {NUMERICS_ANE, REDUCE_LENIENT}};
    check_same(c->text);
    for (size_t m = 0; m < COUNT(modes); m++) {
        MilRun  r;
        double *want[PORTS] = {0};
        mil_run(&r, c->text, modes[m].numerics, modes[m].reduce, NULL, 0, fill_random, (void *)c);
        cr_expect(r.ok, "%s: %s\n%s", c->op, r.err.data ? r.err.data : "", c->text);
        if (r.ok) {
            for (uint32_t o = 0; o < r.outputs; o++)
                want[o] = xcalloc(port_elems(&r.output[o]), sizeof(double));
            c->ref(r.in, want);
            compare(c, &r, want, modes[m].numerics, modes[m].reduce);
        }
        for (int o = 0; o < PORTS; o++)
            free(want[o]);
        mil_run_free(&r);
    }
}
