/* program.c: one ANE program: its ports, its statements, its weight files.
 *
 * A program has one input and one output per width of the values that cross its boundary, normally one of each: the form
 * that has worked for everybody. Values lie in a port one after the other on the channel axis, each flattened to
 * [1, channels, 1, width]; inside, the input is sliced and the output is a concat. Ports are padded with zero channels to
 * at least 64 and a multiple of 16. Port names sort alphabetically in port order, because the engine may order symbols
 * by name. */
#include "backend_ane/emit.h"
#include "base/hash.h"

#include <string.h>

typedef struct {
    int32_t    width;
    int32_t    channels; /* used, then padded */
    ValueId   *value;
    uint32_t   values, cap;
    const char *name;
} PortPlan;

typedef struct {
    PortPlan *port;
    uint32_t  ports, cap;
} Ports;

static int32_t width_of(Shape s)
{
    return emit_shape(s).dim[3];
}

static int32_t channels_of(Shape s)
{
    return (int32_t)(shape_numel(s) / width_of(s));
}

static void port_add(Arena *a, Ports *p, const Graph *g, ValueId v)
{
    int32_t  w = width_of(g->node[v].type.shape);
    uint32_t i = 0;
    while (i < p->ports && p->port[i].width != w)
        i++;
    if (i == p->ports) {
        GROW(a, p->port, p->ports, p->cap);
        p->port[p->ports++] = (PortPlan){.width = w};
    }
    PortPlan *port = &p->port[i];
    GROW(a, port->value, port->values, port->cap);
    port->value[port->values++] = v;
    port->channels += channels_of(g->node[v].type.shape);
}

static int32_t padded(const Target *t, int32_t channels)
{
    int64_t least = channels < t->io_min_channels ? t->io_min_channels : channels, k = t->io_channel_multiple;
    return (int32_t)((least + k - 1) / k * k);
}

/* One odd length shows at every border: it is told once. */
static bool width_told(const Diags *ds)
{
    for (uint32_t i = 0; i < ds->count; i++)
        if (strcmp(ds->item[i]->code, "E0803") == 0)
            return true;
    return false;
}

/* Names, padding, and the checks of what may cross the boundary. */
static void ports_finish(Emit *e, Ports *p, char letter)
{
    const Target *t = e->b->m->target;
    int           multiple = (int)t->io_width_multiple;
    for (uint32_t i = 0; i < p->ports; i++) {
        PortPlan *port = &p->port[i];
        port->channels = padded(t, port->channels);
        port->name = arena_printf(e->b->a, "%c%02u_%s", letter, i, letter == 'i' ? "in" : "out");
        if (port->width % multiple != 0) {
            e->failed = true;
            if (width_told(e->b->ds))
                continue;
            const Node *n = &e->g->node[port->value[0]];
            Diag       *d = diag_error(e->b->ds, "E0803", n->at, "a %s crosses the border of an ANE program; its last axis must be a multiple of %d",
                                       type_text(e->b->a, n->type), multiple);
            diag_help(d, "choose a sequence length (or a width, if the last axis is one) that is a multiple of %d, 32 or more is better; "
                         "or keep this and what reads it on the CPU with #[place(cpu)]", multiple);
        }
        if (port->channels > t->max_channels) {
            const Node *n = &e->g->node[port->value[0]];
            Diag       *d = diag_error(e->b->ds, "E0802", n->at, "a program needs %d %s channels; target %s allows %d",
                                       port->channels, letter == 'i' ? "input" : "output", t->name, (int)t->max_channels);
            diag_help(d, "put #[recompute] on large intermediate values, or keep part of the layer on the CPU with #[place(cpu)]");
            e->failed = true;
        }
    }
}

/* Values that enter the program, in order of first use. */
static void find_inputs(Arena *a, const Graph *g, const Partition *part, uint32_t number, Ports *p)
{
    bool *seen = NEW_N(a, bool, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        if (part->program[v] != number)
            continue;
        for (uint32_t k = 0; k < g->node[v].in_count; k++) {
            ValueId u = node_arg(g, v, k);
            if (part->program[u] != number && !is_constant(g, u) && !seen[u]) {
                seen[u] = true;
                port_add(a, p, g, u);
            }
        }
    }
}

static void declare_inputs(Emit *e, const Ports *p)
{
    for (uint32_t i = 0; i < p->ports; i++) {
        const PortPlan *port = &p->port[i];
        MilShape        s = {4, {1, port->channels, 1, port->width}};
        int32_t         at = 0;
        mil_input(e->t, mil_name(e->t, port->name), s);
        for (uint32_t k = 0; k < port->values; k++) {
            ValueId     v = port->value[k];
            const Node *n = &e->g->node[v];
            MilShape    want = emit_shape(n->type.shape), flat = {4, {1, channels_of(n->type.shape), 1, port->width}};
            const char *x = port->name;
            bool        whole = port->values == 1 && flat.dim[1] == port->channels;
            mil_origin(e->t, n->at, n->role == ROLE_BWD, "input");
            if (!whole) {
                int32_t begin[4] = {0, at, 0, 0};
                MilArg  a[] = {{"x", x}, {"begin", mil_ints(e->t, begin, 4)}, {"size", mil_ints(e->t, flat.dim, 4)}};
                x = emit_op(e, v, mil_shape_equal(want, flat) ? "" : "_in", flat, "slice_by_size", a, COUNT(a));
            }
            if (!mil_shape_equal(want, flat))
                x = emit_reshape(e, v, "", x, want);
            e->val[v] = (Val){.name = x, .shape = want};
            at += flat.dim[1];
        }
    }
}

static void declare_outputs(Emit *e, const Ports *p)
{
    for (uint32_t i = 0; i < p->ports; i++) {
        const PortPlan *port = &p->port[i];
        MilShape        s = {4, {1, port->channels, 1, port->width}};
        Buf             list = {0};
        int32_t         used = 0;
        const char     *name = mil_name(e->t, port->name);
        const Node     *n0 = &e->g->node[port->value[0]];
        for (uint32_t k = 0; k < port->values; k++) {
            ValueId     v = port->value[k];
            const Node *n = &e->g->node[v];
            MilShape    flat = {4, {1, channels_of(n->type.shape), 1, port->width}};
            mil_origin(e->t, n->at, n->role == ROLE_BWD, "output");
            Val         x = emit_full(e, v);
            const char *r = mil_shape_equal(x.shape, flat) ? x.name : emit_reshape(e, v, "_out", x.name, flat);
            buf_printf(&list, "%s%s", k ? ", " : "(", r);
            used += flat.dim[1];
        }
        mil_origin(e->t, n0->at, n0->role == ROLE_BWD, "output");
        if (used < port->channels) {
            MilShape z = {4, {1, port->channels - used, 1, port->width}};
            buf_printf(&list, ", %s", emit_filled(e, z, 0));
        }
        if (port->values == 1 && used == port->channels) { /* a name of its own: an input may not be returned as it is */
            list.data[0] = ' ';
            MilArg a[] = {{"x", list.data + 1}, {"shape", mil_ints(e->t, s.dim, 4)}};
            mil_statement(e->t, "fp16", s, name, "reshape", a, COUNT(a));
        } else {
            buf_putc(&list, ')');
            MilArg a[] = {{"axis", mil_int(e->t, 1)}, {"interleave", mil_bool(e->t, false)}, {"values", list.data}};
            mil_statement(e->t, "fp16", s, name, "concat", a, COUNT(a));
        }
        mil_output(e->t, name);
        buf_free(&list);
    }
}

/* Ports as the plan and lower.c see them. */
static PlanPort *describe_ports(Emit *e, const Ports *p, PortValue **where, uint32_t *wheres)
{
    Arena    *a = e->b->a;
    PlanPort *out = NEW_N(a, PlanPort, p->ports);
    uint32_t  n = 0;
    for (uint32_t i = 0; i < p->ports; i++)
        n += p->port[i].values;
    *where = NEW_N(a, PortValue, n);
    *wheres = n;
    n = 0;
    for (uint32_t i = 0; i < p->ports; i++) {
        const PortPlan *port = &p->port[i];
        out[i] = (PlanPort){.name = port->name, .shape = {4, {1, port->channels, 1, port->width}},
                            .part = NEW_N(a, PlanPart, port->values), .parts = port->values};
        uint32_t channel = 0;
        for (uint32_t k = 0; k < port->values; k++) {
            const Node *x = &e->g->node[port->value[k]];
            uint32_t    c = (uint32_t)channels_of(x->type.shape);
            out[i].part[k] = (PlanPart){e->label[port->value[k]], channel, c, plan_shape(x->type.shape)};
            (*where)[n++] = (PortValue){port->value[k], i, (uint64_t)channel * (uint64_t)port->width};
            channel += c;
        }
    }
    return out;
}

static uint32_t *count_uses(Arena *a, const Graph *g)
{
    uint32_t *uses = NEW_N(a, uint32_t, g->count);
    for (uint32_t i = 0; i < g->operands; i++)
        uses[g->operand[i]]++;
    for (uint32_t i = 0; i < g->outs; i++)
        uses[g->out[i]]++;
    return uses;
}

/* The file that holds this text, written unless an earlier program has the same text. */
static const char *mil_file_for(Builder *b, const char *name, const char *text, size_t len, const MilText *t)
{
    for (uint32_t i = 0; i < b->out->files; i++) {
        const PlanFile *f = &b->out->file[i];
        if (strncmp(f->path, "mil/", 4) == 0 && f->len == len && memcmp(f->data, text, len) == 0) {
            const char *base = f->path + 4;
            return arena_strndup(b->a, base, strlen(base) - 4);
        }
    }
    plan_add_file(b, arena_printf(b->a, "mil/%s.mil", name), text, len);
    Buf map = {0};
    mil_print_map(t, b->m->sources, plan_source_name, &map);
    plan_add_file(b, arena_printf(b->a, "map/%s.map", name), map.data ? map.data : "", map.len);
    buf_free(&map);
    return name;
}

bool program_build(Builder *b, const Graph *g, const Partition *part, uint32_t number, const ValueId *output,
                   uint32_t outputs, const char **label, const char *name, int32_t first, int32_t n, BuiltProgram *built)
{
    Arena *a = b->a;
    Emit   e = {.b = b, .g = g, .part = part, .program = number, .label = label, .t = mil_text_new(a)};
    e.val = NEW_N(a, Val, g->count);
    e.uses = count_uses(a, g);
    e.factor = NEW_N(a, double, g->count);
    e.alias = NEW_N(a, ValueId, g->count);
    e.prescale = NEW_N(a, bool, g->count);
    Ports in = {0}, out = {0};
    find_inputs(a, g, part, number, &in);
    for (uint32_t i = 0; i < outputs; i++)
        port_add(a, &out, g, output[i]);
    ports_finish(&e, &in, 'i');
    ports_finish(&e, &out, 'o');
    if (e.failed)
        return false;
    emit_prepare(&e);
    declare_inputs(&e, &in);
    for (ValueId v = 1; v < g->count; v++)
        if (part->program[v] == number)
            emit_node(&e, v);
    declare_outputs(&e, &out);
    if (e.failed)
        return false;

    Buf text = {0};
    mil_print(e.t, &text);
    char hash[HASH_HEX];
    hash_hex(text.data, text.len, hash);
    bool        varies = false; /* one instance serves all iterations of a loop when no weight depends on the index */
    for (uint32_t i = 0; i < e.weights; i++)
        varies |= plan_recipe_varies(e.weight[i].recipe);
    PlanProgram p = {.name = name, .mil = mil_file_for(b, name, text.data, text.len, e.t),
                     .mil_hash = arena_strdup(a, hash), .first = varies ? first : 0, .n = varies ? n : 1,
                     .weight = e.weight, .weights = e.weights};
    buf_free(&text);
    p.in = describe_ports(&e, &in, &built->in, &built->ins);
    p.ins = in.ports;
    p.out = describe_ports(&e, &out, &built->out, &built->outs);
    p.outs = out.ports;
    built->index = b->plan->programs;
    GROW(a, b->plan->program, b->plan->programs, b->programs_cap);
    b->plan->program[b->plan->programs++] = p;
    return true;
}
