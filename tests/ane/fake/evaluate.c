/* evaluate.c: surfaces as requests take them, requests, evaluation. Surfaces are bound by symbols, whatever their order;
 * what an evaluation reads may not change meanwhile; what fails leaves garbage. */
#include "framework.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t evaluations;

static void handle_end(void *o)
{
    object_release(((SurfaceHandle *)o)->surface);
}

static void request_end(void *o)
{
    RequestObject *r = o;
    object_release(r->input);
    object_release(r->input_index);
    object_release(r->output);
    object_release(r->output_index);
}

__attribute__((constructor)) static void finalizers(void)
{
    object_finalizer(KIND_SURFACE_OBJECT, handle_end);
    object_finalizer(KIND_REQUEST, request_end);
}

/* ---- requests ---- */

void *fake_surface_object(void *self, void *selector, void *surface);
void *fake_surface_object(void *self, void *selector, void *surface)
{
    (void)self, (void)selector;
    SurfaceHandle *h = object_new(KIND_SURFACE_OBJECT, sizeof *h);
    object_retain(h->surface = object_check(surface, KIND_SURFACE, "objectWithIOSurface:"));
    return object_autorelease(h);
}

static ContainerObject *keep_array(void *array, Kind kind, const char *what)
{
    ContainerObject *c = object_check(array, KIND_ARRAY, what);
    for (size_t i = 0; i < c->count; i++)
        object_check(c->value[i], kind, what);
    object_retain(c);
    return c;
}

void *fake_request(void *self, void *selector, void *in, void *in_index, void *out, void *out_index, void *weights,
                   void *stats, void *procedure);
void *fake_request(void *self, void *selector, void *in, void *in_index, void *out, void *out_index, void *weights,
                   void *stats, void *procedure)
{
    (void)self, (void)selector;
    RequestObject *r = object_new(KIND_REQUEST, sizeof *r);
    r->input = keep_array(in, KIND_SURFACE_OBJECT, "inputs");
    r->input_index = keep_array(in_index, KIND_NUMBER, "input indices");
    r->output = keep_array(out, KIND_SURFACE_OBJECT, "outputs");
    r->output_index = keep_array(out_index, KIND_NUMBER, "output indices");
    r->procedure = ((NumberObject *)object_check(procedure, KIND_NUMBER, "procedureIndex"))->value;
    if (r->input->count != r->input_index->count || r->output->count != r->output_index->count)
        misuse("a request with other numbers of surfaces and indices");
    if (weights)
        misuse("a weights buffer: it is ignored by the real one");
    if (stats)
        object_check(stats, KIND_STATS, "perfStats");
    return object_autorelease(r);
}

void *fake_client(void *self, void *selector);
void *fake_client(void *self, void *selector)
{
    (void)self, (void)selector;
    return object_autorelease(object_new(KIND_CLIENT, sizeof(Object)));
}

void *fake_stats(void *self, void *selector, uint64_t ns);
void *fake_stats(void *self, void *selector, uint64_t ns)
{
    (void)self, (void)selector;
    StatsObject *s = object_new(KIND_STATS, sizeof *s);
    s->ns = ns;
    return object_autorelease(s);
}

uint64_t fake_stats_time(StatsObject *s, void *selector);
uint64_t fake_stats_time(StatsObject *s, void *selector)
{
    (void)selector;
    return s->ns;
}

void fake_stats_mask(ModelObject *m, void *selector, unsigned mask);
void fake_stats_mask(ModelObject *m, void *selector, unsigned mask)
{
    (void)selector;
    object_check(m, KIND_MODEL, "setPerfStatsMask:");
    if (mask > 15)
        misuse("perfStatsMask %u", mask);
}

void *fake_device_type(void *self, void *selector);
void *fake_device_type(void *self, void *selector)
{
    (void)self, (void)selector;
    return object_autorelease(string_new("fake"));
}

/* ---- evaluation ---- */

/* The surface of port i of the procedure: the one whose index is the port's symbol. NULL: none. */
static SurfaceObject *bound(const ModelObject *m, const RequestObject *r, uint32_t i, bool output)
{
    const ContainerObject *index = output ? r->output_index : r->input_index, *object = output ? r->output : r->input;
    int64_t                symbol = symbol_of(m->program, (uint32_t)r->procedure, i, output);
    for (size_t k = 0; k < index->count; k++)
        if (((const NumberObject *)index->value[k])->value == symbol)
            return ((const SurfaceHandle *)object->value[k])->surface;
    return NULL;
}

static bool evaluate(ModelObject *m, RequestObject *r, void **error)
{
    Buf err = {0};
    object_check(r, KIND_REQUEST, "evaluate");
    if (!m->loaded)
        misuse("a model is evaluated that is not loaded");
    if (m->evaluating++)
        misuse("a model is evaluated twice at the same time");
    evaluations++;
    if (evaluations == fake_number("hang", 0))
        for (;;)
            sleep(1000);
    bool ok = r->procedure >= 0 && r->procedure < program_functions(m->program);
    if (!ok)
        refuse(error, error_new(2, "ANEProgramProcessRequestDirect() Failed with status=0x2"));
    const ProgramFunction *f = ok ? program_function(m->program, (uint32_t)r->procedure) : NULL;
    Surface       *in[1024], *out[1024];
    SurfaceObject *used[2048];
    uint32_t       n = 0, ins = 0, outs = 0;
    for (uint32_t i = 0; ok && i < f->inputs + f->outputs; i++) {
        bool           output = i >= f->inputs;
        const Port    *p = output ? &f->output[i - f->inputs] : &f->input[i];
        SurfaceObject *s = bound(m, r, output ? i - f->inputs : i, output);
        if (!s)
            ok = refuse(error, error_new(2, "ANEProgramProcessRequestDirect() Failed with status=0x2"));
        else if (s->bytes < p->bytes)
            ok = refuse(error, error_new(0x1d, "ANEProgramProcessRequestDirect() Failed with status=0x1d : "
                                               "statusType=0x9: Program Inference error"));
        else if (s->write_locks)
            misuse("a surface is locked for writing while it is evaluated");
        else {
            s->busy++;
            used[n++] = s;
        }
    }
    if (ok && evaluations >= fake_number("eval-fails", INT64_MAX)) {
        for (uint32_t i = f->inputs; i < n; i++)
            memset(used[i]->data, 0x5a, used[i]->bytes);
        ok = refuse(error, error_new(0x1d, "ANEProgramProcessRequestDirect() Failed with status=0x1d : "
                                           "statusType=0x9: Program Inference error"));
    }
    if (ok) {
        char before[HASH_HEX], after[HASH_HEX];
        for (; ins < f->inputs; ins++) {
            in[ins] = surface_new(host, f->input[ins].bytes, &err);
            memcpy(surface_lock(in[ins], true), used[ins]->data, f->input[ins].bytes);
            surface_unlock(in[ins], true);
        }
        for (; outs < f->outputs; outs++)
            out[outs] = surface_new(host, f->output[outs].bytes, &err);
        hash_hex(ins ? used[0]->data : (void *)"", ins ? f->input[0].bytes : 0, before);
        Request *q = request_new(m->program, (uint32_t)r->procedure, in, out, &err);
        ok = q && request_eval(q, &err);
        if (!ok)
            refuse(error, error_new(3, "%.300s", err.data));
        if (q)
            request_free(q);
        hash_hex(ins ? used[0]->data : (void *)"", ins ? f->input[0].bytes : 0, after);
        if (strcmp(before, after) != 0)
            misuse("an input changed while it was evaluated");
        for (uint32_t i = 0; i < outs; i++) {
            if (ok)
                memcpy(used[f->inputs + i]->data, surface_lock(out[i], false), f->output[i].bytes);
            if (ok)
                surface_unlock(out[i], false);
            surface_free(out[i]);
        }
        for (uint32_t i = 0; i < ins; i++)
            surface_free(in[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        used[i]->busy--;
    m->evaluating--;
    buf_free(&err);
    return ok;
}

bool fake_evaluate(ModelObject *m, void *selector, unsigned qos, void *options, void *request, void **error);
bool fake_evaluate(ModelObject *m, void *selector, unsigned qos, void *options, void *request, void **error)
{
    (void)selector;
    check_call(m, qos, options);
    return evaluate(m, request, error);
}

bool fake_evaluate_direct(void *client, void *selector, void *model, void *options, void *request, unsigned qos,
                          void **error);
bool fake_evaluate_direct(void *client, void *selector, void *model, void *options, void *request, unsigned qos,
                          void **error)
{
    (void)selector;
    object_check(client, KIND_CLIENT, "doEvaluateDirect");
    ModelObject *m = object_check(model, KIND_MODEL, "doEvaluateDirectWithModel:");
    check_call(m, qos, options);
    if (fake_has("no-direct"))
        return refuse(error, error_new(15, "direct evaluation is not available"));
    return evaluate(m, request, error);
}
