/* ports.c: rules about what crosses a function's border, and about its constants taken together. */
#include "lint/internal.h"

#include <inttypes.h>
#include <string.h>

static void check_port(Lint *l, const Value *v, const char *kind)
{
    const MilType *t = &v->type;
    const Target  *p = l->t;
    if (v->poison)
        return;
    if (t->rank != 4 || t->dim[0] != 1 || t->dim[2] != 1)
        violation(l, 18, v->at, "the %s '%s' is %s, expected [1, C, 1, S]", kind, v->name,
                  mil_type_text(l->ds->arena, t));
    else if (t->dtype == DT_F32)
        violation(l, 18, v->at, "the %s '%s' is fp32", kind, v->name);
    int64_t last = last_axis(t), channels = t->rank == 4 ? t->dim[1] : 0;
    if (p->io_width_multiple > 0 && last % p->io_width_multiple != 0)
        violation(l, 39, v->at, "the last axis of %s '%s' has %" PRId64 " elements, no multiple of %" PRId64, kind,
                  v->name, last, p->io_width_multiple);
    else if (channels && (channels < p->io_min_channels || channels % p->io_channel_multiple != 0))
        violation(l, 39, v->at,
                  "the %s '%s' has %" PRId64 " channels; a multiple of %" PRId64 ", at least %" PRId64 ", is expected",
                  kind, v->name, channels, p->io_channel_multiple, p->io_min_channels);
    if (!l->o->rounded && type_bytes(t) < p->surface_min)
        violation(l, 4, v->at, "the %s '%s' has %" PRId64 " bytes; target %s wants surfaces of %" PRId64, kind, v->name,
                  type_bytes(t), p->name, p->surface_min);
}

static void check_order(Lint *l, Value *const *port, uint32_t n, const char *kind, uint32_t by_name, uint32_t by_size)
{
    for (uint32_t i = 1; i < n; i++)
        if (strcmp(port[i - 1]->name, port[i]->name) > 0) {
            violation(l, by_name, port[i]->at, "the %s '%s' comes after '%s'", kind, port[i]->name, port[i - 1]->name);
            break;
        }
    for (uint32_t i = 1; i < n; i++)
        if (type_bytes(&port[i]->type) != type_bytes(&port[0]->type)) {
            violation(l, by_size, port[i]->at, "the %s '%s' has %" PRId64 " bytes, '%s' has %" PRId64, kind,
                      port[i]->name, type_bytes(&port[i]->type), port[0]->name, type_bytes(&port[0]->type));
            break;
        }
}

void lint_ports(Lint *l)
{
    const Func *f = l->fn;
    for (uint32_t i = 0; i < f->inputs; i++)
        check_port(l, f->input[i], "input");
    for (uint32_t i = 0; i < f->outputs; i++)
        check_port(l, f->output[i], "output");
    for (uint32_t i = 0; i < f->outputs; i++)
        if (f->output[i]->type.dtype == DT_BOOL || f->output[i]->type.dtype == DT_I32)
            violation(l, 33, f->output[i]->at, "the output '%s' is %s", f->output[i]->name,
                      dtype_info[f->output[i]->type.dtype].name);
    check_order(l, f->input, f->inputs, "input", 13, 12);
    check_order(l, f->output, f->outputs, "output", 3, 2);
}

void lint_constants(Lint *l)
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < l->fn->values; i++) {
        const Value *v = l->fn->value[i];
        if (!v->konst || v->poison)
            continue;
        if (v->konst->raw || v->konst->unread)
            bytes += type_bytes(&v->type);
        else if (dtype_is_float(v->type.dtype) && v->konst->count > 1 && v->name[0])
            violation_as(l, 30, early_family(l) ? LEVEL_ERROR : LEVEL_WARNING, v->at,
                         "'%s' is a tensor written in the text", v->name);
    }
    if (bytes > l->t->max_weights)
        violation(l, 44, l->ast->at, "the constants of '%s' have %" PRId64 " bytes; target %s allows %" PRId64,
                  l->fn->name, bytes, l->t->name, l->t->max_weights);
}
