/* evaluate.c: evaluation. Surfaces are bound by symbols, whatever their order; nobody may touch meanwhile what is read or
 * written; what fails leaves garbage. */
#include "framework.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_llong evaluations, directs;

/* Surfaces of one evaluation: inputs first. */
typedef struct {
    const ProgramFunction *f;
    SurfaceObject        **used;
    uint32_t               n;
} Bound;

static ErrorObject *wrong_surfaces(void)
{
    return error_new(8, "ANEProgramProcessRequestDirect() Failed with status=0x1d : statusType=0x9: Program Inference error");
}

static ErrorObject *wrong_procedure(void)
{
    return error_new(8, "ANEProgramProcessRequestDirect() Failed with status=0x2 : statusType=0x9: Program Inference error");
}

/* The surface of port i of the procedure: the one whose index is the port's symbol. NULL: none. */
static SurfaceObject *bound(const ModelObject *m, const RequestObject *r, uint32_t procedure, uint32_t i, bool output)
{
    const ContainerObject *index = output ? r->output_index : r->input_index, *object = output ? r->output : r->input;
    int64_t                symbol = symbol_of(m->program, procedure, i, output);
    for (size_t k = 0; k < index->count; k++)
        if (((const NumberObject *)index->value[k])->value == symbol)
            return ((const SurfaceHandle *)object->value[k])->surface;
    return NULL;
}

static size_t needed(const Port *p)
{
    int64_t least = fake_number("large-ports", 0);
    return p->bytes > (size_t)least ? p->bytes : (size_t)least;
}

/* Find every surface. False, with the error, where one is missing, is another procedure's, or is too small. */
static bool bind(const ModelObject *m, const RequestObject *r, int64_t procedure, Bound *b, void **error)
{
    if (procedure < 0 || procedure >= program_functions(m->program))
        return refuse(error, wrong_procedure());
    const ProgramFunction *f = b->f = program_function(m->program, (uint32_t)procedure);
    if (r->input->count != f->inputs || r->output->count != f->outputs)
        return refuse(error, wrong_procedure());
    for (uint32_t i = 0; i < f->inputs + f->outputs; i++) {
        bool           output = i >= f->inputs;
        const Port    *p = output ? &f->output[i - f->inputs] : &f->input[i];
        SurfaceObject *s = bound(m, r, (uint32_t)procedure, output ? i - f->inputs : i, output);
        if (!s)
            return refuse(error, wrong_procedure());
        if (s->bytes < needed(p) || s->bytes < (size_t)fake_number("small-surface", 0))
            return refuse(error, wrong_surfaces());
        b->used[b->n++] = s;
    }
    return true;
}

/* Whatever is known of the request's outputs is overwritten. */
static void leave_garbage(const RequestObject *r)
{
    for (size_t i = 0; i < r->output->count; i++) {
        SurfaceObject *s = ((SurfaceHandle *)r->output->value[i])->surface;
        for (size_t k = 0; k < s->bytes; k++)
            s->data[k] = (unsigned char)(k * 37 + i);
    }
}

/* Through copies in the host device. */
static bool compute(const ModelObject *m, uint32_t procedure, const Bound *b, void **error)
{
    const ProgramFunction *f = b->f;
    Buf                    err = {0};
    Surface              **in = calloc(f->inputs + f->outputs + 1u, sizeof *in), **out = in + f->inputs;
    for (uint32_t i = 0; i < f->inputs; i++) {
        in[i] = surface_new(host, f->input[i].bytes, &err);
        memcpy(surface_lock(in[i], true), b->used[i]->data, f->input[i].bytes);
        surface_unlock(in[i], true);
    }
    for (uint32_t i = 0; i < f->outputs; i++)
        out[i] = surface_new(host, f->output[i].bytes, &err);
    Request *q = request_new(m->program, procedure, in, out, &err);
    bool     ok = q && request_eval(q, &err);
    if (!ok)
        refuse(error, error_new(3, "%.300s", err.data));
    request_free(q);
    for (uint32_t i = 0; i < f->outputs; i++) {
        SurfaceObject *s = b->used[f->inputs + i];
        size_t         n = f->output[i].bytes;
        if (ok) {
            memcpy(s->data, surface_lock(out[i], false), n);
            surface_unlock(out[i], false);
            if (fake_has("dirty-padding"))
                memset(s->data + n, 0xff, s->bytes - n);
        }
        surface_free(out[i]);
    }
    for (uint32_t i = 0; i < f->inputs; i++)
        surface_free(in[i]);
    free(in);
    buf_free(&err);
    return ok;
}

/* Times that depend on nothing but the program: 100 us and a nanosecond for every 16 bytes. */
static void tell_time(const ModelObject *m, const RequestObject *r, const Bound *b, int64_t nth)
{
    uint64_t ns = 100000;
    int64_t  decay = fake_number("decay", 0);
    if (!r->stats || !m->stats)
        return;
    for (uint32_t i = 0; i < b->f->inputs; i++)
        ns += b->f->input[i].bytes / 16;
    for (uint32_t i = 0; i < b->f->outputs; i++)
        ns += b->f->output[i].bytes / 16;
    r->stats->ns = ns + (decay && nth > decay ? UINT64_C(1000000000) : 0);
}

static bool evaluate(ModelObject *m, RequestObject *r, const char *way, void **error)
{
    object_check(r, KIND_REQUEST, "evaluate");
    if (!m->loaded)
        misuse("a model is evaluated that is not loaded");
    if (m->busy)
        misuse("a model is evaluated while it is compiled, loaded or unloaded");
    if (atomic_fetch_add(&m->evaluating, 1))
        misuse("a model is evaluated twice at the same time");
    int64_t nth = atomic_fetch_add(&evaluations, 1) + 1, procedure = r->procedure + fake_has("wrong-procedure");
    fake_record("evaluate %s procedure %lld%s", way, (long long)r->procedure, r->stats ? " stats" : "");
    Bound b = {.used = calloc(r->input->count + r->output->count + 1, sizeof *b.used)};
    bool  ok = bind(m, r, procedure, &b, error);
    for (uint32_t i = 0; i < b.n; i++)
        surface_use(b.used[i], i >= b.f->inputs);
    if (nth == fake_number("hang", 0))
        for (fake_hung = true;;)
            sleep(1000);
    if (ok && (nth >= fake_number("eval-fails", INT64_MAX) || nth == fake_number("eval-glitch", 0)))
        ok = refuse(error, wrong_surfaces());
    if (ok && r->stats && fake_has("stats-refused"))
        ok = refuse(error, error_new(11, "performance stats are not available"));
    ok = ok && compute(m, (uint32_t)procedure, &b, error);
    if (ok)
        tell_time(m, r, &b, nth);
    else
        leave_garbage(r);
    for (uint32_t i = 0; i < b.n; i++)
        surface_leave(b.used[i], i >= b.f->inputs);
    free(b.used);
    atomic_fetch_sub(&m->evaluating, 1);
    return ok;
}

bool fake_evaluate(ModelObject *m, void *selector, unsigned qos, void *options, void *request, void **error);
bool fake_evaluate(ModelObject *m, void *selector, unsigned qos, void *options, void *request, void **error)
{
    (void)selector;
    check_call(m, qos, options);
    return evaluate(m, request, "model", error);
}

bool fake_evaluate_direct(void *client, void *selector, Object *model, void *options, void *request, unsigned qos,
                          void **error);
bool fake_evaluate_direct(void *client, void *selector, Object *model, void *options, void *request, unsigned qos,
                          void **error)
{
    (void)selector;
    object_check(client, KIND_CLIENT, "doEvaluateDirect");
    bool         inner = model && model->kind == KIND_INNER;
    ModelObject *m = inner ? ((InnerObject *)object_check(model, KIND_INNER, "doEvaluateDirectWithModel:"))->model
                           : object_check(model, KIND_MODEL, "doEvaluateDirectWithModel:");
    check_call(m, qos, options);
    if (fake_has("no-direct") || (fake_has("direct-inner") && !inner) ||
        atomic_fetch_add(&directs, 1) + 1 >= fake_number("direct-lost", INT64_MAX)) {
        leave_garbage(request);
        return refuse(error, error_new(15, "direct evaluation is not available"));
    }
    return evaluate(m, request, inner ? "inner" : "direct", error);
}
