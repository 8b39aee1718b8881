/* device_request.c: requests and evaluations of all devices; see device.h. An evaluation that does not return within its time
 * is given up, and the device with it (docs/faults.md). */
#include "device.h"

#include "device_fault.h"
#include "device_internal.h"
#include "worker.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

EvalTime request_time(const Request *r)
{
    return r->time;
}

static bool ports_fit(const ProgramFunction *f, const char *kind, const Port *port, uint32_t n, Surface *const *surface,
                      Buf *err)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t need = port_surface_bytes(&port[i]);
        if (!surface[i] || surface[i]->bytes < need) {
            buf_printf(err, "function '%s': %s '%s' needs %zu bytes, its surface has %zu\n", f->name, kind,
                       port[i].name, need, surface[i] ? surface[i]->bytes : 0);
            return false;
        }
    }
    return true;
}

Request *request_new(Program *p, uint32_t function, Surface *const *input, Surface *const *output, Buf *err)
{
    const ProgramFunction *f = program_function(p, function);
    if (!f) {
        buf_printf(err, "the program has %u functions, there is no number %u\n", p->functions, function);
        return NULL;
    }
    if (!ports_fit(f, "input", f->input, f->inputs, input, err) ||
        !ports_fit(f, "output", f->output, f->outputs, output, err))
        return NULL;
    if (!device_usable(p->device, err))
        return NULL;
    uint32_t  n = f->inputs + f->outputs;
    Surface **surface = xcalloc(n + 1u, sizeof *surface);
    for (uint32_t i = 0; i < n; i++)
        surface[i] = i < f->inputs ? input[i] : output[i - f->inputs];
    if (p->device->faults)
        fault_bind(p->device->faults, f, surface);
    Request *r = p->driver->request_new(p, function, surface, surface + f->inputs, err);
    if (!r) {
        free(surface);
        return NULL;
    }
    r->program = p;
    r->function = f;
    r->surfaces = n;
    r->surface = surface;
    for (uint32_t i = 0; i < n; i++)
        surface[i]->uses++;
    p->requests++;
    p->device->made.requests++;
    return r;
}

void request_free(Request *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->surfaces; i++)
        r->surface[i]->uses--;
    r->program->requests--;
    if (r->program->device->wedged) {
        device_abandon(r);
        return;
    }
    free(r->surface);
    r->driver->request_free(r);
}

/* One evaluation. On the heap where a thread does it that may never come back. */
typedef struct {
    Request *request;
    bool     ok;
    Buf      why;
} Evaluation;

static void evaluate(void *with)
{
    Evaluation *e = with;
    Request    *r = e->request;
    Faults     *f = r->program->device->faults;
    r->time = (EvalTime){0};
    uint64_t from = device_now_ns();
    e->ok = (!f || fault_eval(f, r, &e->why)) && r->driver->eval(r, &e->why);
    if (e->ok && !r->time.wall_ns)
        r->time.wall_ns = device_now_ns() - from;
    if (e->ok && f)
        fault_evaluated(f, r);
}

/* True if it has returned. */
static bool evaluate_within(Device *d, Evaluation *e, Buf *err)
{
    if (!d->worker && !(d->worker = worker_new())) {
        buf_puts(&e->why, "cannot start a thread for evaluations\n");
        return true;
    }
    if (worker_call(d->worker, evaluate, e, d->eval_seconds))
        return true;
    d->wedged = true;
    device_abandon(e);
    device_abandon(d->worker);
    buf_printf(err, "evaluation %" PRIu64 " of '%s' did not return within %g s (--eval-timeout); the device is not used "
                    "again in this process\n",
               e->request->program->evals, e->request->program->name, d->eval_seconds);
    return false;
}

bool request_eval(Request *r, Buf *err)
{
    Program *p = r->program;
    Device  *d = p->device;
    if (!device_usable(d, err))
        return false;
    if (d->max_evals && p->evals >= d->max_evals) {
        buf_printf(err, "the program was evaluated %" PRIu64 " times: compile it again\n", p->evals);
        return false;
    }
    if (atomic_exchange(&p->busy, true)) {
        buf_puts(err, "the program is being evaluated: one evaluation at a time\n");
        return false;
    }
    p->evals++;
    d->made.evals++;
    bool        limited = d->eval_seconds > 0 && isfinite(d->eval_seconds);
    Evaluation  here = {0}, *e = limited ? xcalloc(1, sizeof *e) : &here;
    e->request = r;
    if (!limited)
        evaluate(e);
    else if (!evaluate_within(d, e, err))
        return false;
    atomic_store(&p->busy, false);
    bool ok = e->ok;
    if (ok) {
        d->made.wall_ns += r->time.wall_ns;
        d->made.engine_ns += r->time.engine_ns;
    }
    if (!ok && d->driver->open) /* a driver around another one (check/) passes on what that one has said */
        buf_printf(err, "evaluation %" PRIu64 " of '%s' failed: ", p->evals, p->name);
    if (!ok || e->why.len)
        buf_puts(err, e->why.len ? e->why.data : "the driver does not say why\n");
    buf_free(&e->why);
    if (limited)
        free(e);
    return ok;
}
