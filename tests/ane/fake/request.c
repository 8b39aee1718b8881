/* request.c: surfaces as requests take them, requests, connections, stats objects. */
#include "framework.h"

#include <stdlib.h>

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
    if (r->stats) {
        r->stats->taken = false;
        object_release(r->stats);
    }
}

__attribute__((constructor)) static void finalizers(void)
{
    object_finalizer(KIND_SURFACE_OBJECT, handle_end);
    object_finalizer(KIND_REQUEST, request_end);
}

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
    static int64_t requests;
    if (++requests == fake_number("nil-request", 0))
        return NULL;
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
    if (stats) {
        r->stats = object_check(stats, KIND_STATS, "perfStats");
        if (r->stats->taken)
            misuse("a stats object of two requests");
        r->stats->taken = true;
        object_retain(r->stats);
    }
    return object_autorelease(r);
}

/* ---- connections ---- */

void *fake_client(void *self, void *selector);
void *fake_client(void *self, void *selector)
{
    (void)self, (void)selector;
    return fake_has("no-shared-client") ? NULL : object_autorelease(object_new(KIND_CLIENT, sizeof(Object)));
}

void *fake_client_alloc(void *self, void *selector);
void *fake_client_alloc(void *self, void *selector)
{
    (void)self, (void)selector;
    return object_new(KIND_CLIENT, sizeof(Object)); /* the caller's */
}

void *fake_client_init(Object *o, void *selector, bool restricted);
void *fake_client_init(Object *o, void *selector, bool restricted)
{
    (void)selector;
    object_check(o, KIND_CLIENT, "initWithRestrictedAccessAllowed:");
    if (!restricted)
        misuse("an unrestricted connection needs an entitlement");
    return o;
}

/* ---- times ---- */

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

/* Bits of one numbering in another. */
unsigned fake_stats_map(void *self, void *selector, unsigned mask);
unsigned fake_stats_map(void *self, void *selector, unsigned mask)
{
    (void)self, (void)selector;
    if (mask == 0 || mask > 15)
        misuse("driverMaskForANEFMask: %u", mask);
    return mask;
}

void fake_stats_mask(ModelObject *m, void *selector, unsigned mask);
void fake_stats_mask(ModelObject *m, void *selector, unsigned mask)
{
    (void)selector;
    object_check(m, KIND_MODEL, "setPerfStatsMask:");
    if (mask == 0 || mask > 15)
        misuse("perfStatsMask %u", mask);
    m->stats = mask;
}
