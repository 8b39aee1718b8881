/* second.c: see second.h. */
#include "check/second.h"

#include "base/f16.h"

#include <stdlib.h>

struct Second {
    Program  *program;
    Surface **input, **output;
    Request  *request;
};

/* ---- numbers on surfaces ---- */

uint64_t port_elements(const Port *p)
{
    return p->bytes / port_elem_bytes(p->type);
}

bool port_known(const Port *p)
{
    return p->type == PORT_F16 || p->type == PORT_F32 || p->type == PORT_I32;
}

double *port_read(const Port *p, Surface *s)
{
    uint64_t    n = port_elements(p);
    double     *x = malloc((size_t)(n ? n : 1) * sizeof *x);
    const void *data = surface_lock(s, false);
    if (!x)
        bug("out of memory");
    for (uint64_t i = 0; i < n; i++)
        x[i] = p->type == PORT_F16   ? (double)f16_to_f32(((const uint16_t *)data)[i])
               : p->type == PORT_F32 ? (double)((const float *)data)[i]
                                     : (double)((const int32_t *)data)[i];
    surface_unlock(s, false);
    return x;
}

void port_write(const Port *p, Surface *s, double *x)
{
    void *data = surface_lock(s, true);
    for (uint64_t i = 0; i < port_elements(p); i++) {
        if (p->type == PORT_F16) {
            uint16_t h = f16_from_f32((float)x[i]);
            ((uint16_t *)data)[i] = h;
            x[i] = (double)f16_to_f32(h);
        } else if (p->type == PORT_F32) {
            ((float *)data)[i] = (float)x[i];
            x[i] = (double)(float)x[i];
        } else {
            ((int32_t *)data)[i] = (int32_t)x[i];
            x[i] = (double)(int32_t)x[i];
        }
    }
    surface_unlock(s, true);
}

double **ports_read(const Port *p, uint32_t n, Surface *const *s)
{
    double **x = calloc(n + 1u, sizeof *x);
    if (!x)
        bug("out of memory");
    for (uint32_t i = 0; i < n; i++)
        x[i] = port_read(&p[i], s[i]);
    return x;
}

void ports_free(double **x, uint32_t n)
{
    for (uint32_t i = 0; x && i < n; i++)
        free(x[i]);
    free(x);
}

Surface **surfaces_new(Device *d, const Port *port, uint32_t n, Buf *err)
{
    Surface **s = calloc(n + 1u, sizeof *s);
    for (uint32_t i = 0; s && i < n; i++)
        if (!(s[i] = surface_new(d, port_surface_bytes(&port[i]), err))) {
            while (i-- > 0)
                surface_free(s[i]);
            free(s);
            return NULL;
        }
    return s;
}

void surfaces_free(Surface **s, uint32_t n)
{
    for (uint32_t i = 0; s && i < n; i++)
        surface_free(s[i]);
    free(s);
}

/* ---- programs ---- */

void second_free(Second *s)
{
    if (!s)
        return;
    const ProgramFunction *f = s->program ? program_function(s->program, 0) : NULL;
    request_free(s->request);
    if (f) {
        surfaces_free(s->input, f->inputs);
        surfaces_free(s->output, f->outputs);
    }
    program_free(s->program);
    free(s);
}

Second *second_new(Device *host, const char *name, const char *mil, size_t len, const DeviceFile *file, size_t files, Buf *err)
{
    Second *s = xcalloc(1, sizeof *s);
    s->program = program_compile(host, name, mil, len, file, files, err);
    const ProgramFunction *f = s->program ? program_function(s->program, 0) : NULL;
    if (f && (s->input = surfaces_new(host, f->input, f->inputs, err)) && (s->output = surfaces_new(host, f->output, f->outputs, err)))
        s->request = request_new(s->program, 0, s->input, s->output, err);
    if (s->request)
        return s;
    second_free(s);
    return NULL;
}

double **second_run(Second *s, double *const *input, Buf *err)
{
    const ProgramFunction *f = program_function(s->program, 0);
    for (uint32_t k = 0; k < f->inputs; k++)
        port_write(&f->input[k], s->input[k], input[k]);
    return request_eval(s->request, err) ? ports_read(f->output, f->outputs, s->output) : NULL;
}

uint32_t second_outputs(const Second *s)
{
    return program_function(s->program, 0)->outputs;
}
