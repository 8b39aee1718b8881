/* program.c: one ANE program: its ports, its statements, its weight files.
 *
 * A program has one input and one output per width of the values that cross its boundary, normally one of each: the
 * form that has worked for everybody. Values lie in a port one after the other on the channel axis, each flattened to
 * [1, channels, 1, width]; inside, the input is sliced and the output is a concat. Ports are padded with zero channels
 * to at least 64 and a multiple of 16. Port names sort alphabetically in port order, because the engine may order
 * symbols by name. */
#include "backend_ane/emit.h"
#include "backend_ane/weights.h"
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

/* The order of the values in a port: by label, those of one channel last so that the others lie at even places. It
 * depends on nothing but the values themselves: an edit elsewhere moves no value past another. */
static void port_sort(PortPlan *p, const Graph *g, const char *const *label)
{
    for (uint32_t i = 1; i < p->values; i++)
        for (uint32_t k = i; k > 0; k--) {
            ValueId a = p->value[k - 1], b = p->value[k];
            bool small_a = channels_of(g->node[a].type.shape) == 1, small_b = channels_of(g->node[b].type.shape) == 1;
            int     c = small_a != small_b ? small_a - small_b : strcmp(label[a], label[b]);
            if (c <= 0)
                break;
            p->value[k - 1] = b;
            p->value[k] = a;
        }
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

/* The value that was made first: the one to tell the user about. */
static const Node *first_of(const PortPlan *p, const Graph *g)
{
    ValueId first = p->value[0];
    for (uint32_t i = 1; i < p->values; i++)
        first = p->value[i] < first ? p->value[i] : first;
    return &g->node[first];
}

/* Order, names, padding, and the checks of what may cross the boundary. */
static void ports_finish(Emit *e, Ports *p, char letter)
{
    const Target *t = e->b->m->target;
    int           multiple = (int)t->io_width_multiple;
    for (uint32_t i = 0; i < p->ports; i++) {
        PortPlan *port = &p->port[i];
        port_sort(port, e->g, e->label);
        port->channels = padded(t, port->channels);
        port->name = arena_printf(e->b->a, "%c%02u_%s", letter, i, letter == 'i' ? "in" : "out");
        if (port->width % multiple != 0) {
            e->failed = true;
            if (width_told(e->b->ds))
                continue;
            const Node *n = first_of(port, e->g);
            Diag *d = diag_error(e->b->ds, "E0803", n->at,
                                 "a %s crosses the border of an ANE program; its last axis must be a multiple of %d",
                                 type_text(e->b->a, n->type), multiple);
            diag_help(d,
                      "choose a sequence length (or a width, if the last axis is one) that is a multiple of %d, 32 or "
                      "more is better; "
                      "or keep this and what reads it on the CPU with #[place(cpu)]",
                      multiple);
        }
        if (port->channels > t->max_channels) {
            const Node *n = first_of(port, e->g);
            Diag *d = diag_error(e->b->ds, "E0802", n->at, "a program needs %d %s channels; target %s allows %d",
                                 port->channels, letter == 'i' ? "input" : "output", t->name, (int)t->max_channels);
            diag_help(d, "put #[recompute] on large intermediate values, or keep part of the layer on the CPU with "
                         "#[place(cpu)]");
            e->failed = true;
        }
    }
}

/* Values that enter the program. */
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
            emit_origin(e, v, "input");
            if (!whole) {
                int32_t begin[4] = {0, at, 0, 0};
                MilArg a[] = {{"x", x},
                              {"begin", mil_ints_named(e->t, arena_printf(e->b->a, "at_%s", e->label[v]), begin, 4)},
                              {"size", mil_ints(e->t, flat.dim, 4)}};
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
        for (uint32_t k = 0; k < port->values; k++) {
            ValueId     v = port->value[k];
            const Node *n = &e->g->node[v];
            MilShape    flat = {4, {1, channels_of(n->type.shape), 1, port->width}};
            emit_origin(e, v, "output");
            Val         x = emit_full(e, v);
            const char *r = mil_shape_equal(x.shape, flat) ? x.name : emit_reshape(e, v, "_out", x.name, flat);
            buf_printf(&list, "%s%s", k ? ", " : "(", r);
            used += flat.dim[1];
        }
        emit_origin(e, port->value[0], "output");
        if (used < port->channels) {
            MilShape z = {4, {1, port->channels - used, 1, port->width}};
            buf_printf(&list, ", %s", emit_filled_as(e, z, 0, arena_printf(e->b->a, "pad_%s", port->name)));
        }
        if (port->values == 1 &&
            used == port->channels) { /* a name of its own: an input may not be returned as it is */
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

/* The surfaces of weights that the program reads are its last inputs: the same surfaces for every program of a
 * layer. */
static void declare_weights(Emit *e, uint32_t port, BuiltProgram *built)
{
    Builder *b = e->b;
    uint32_t surfaces = b->weights ? b->weights->surfaces : 0;
    bool    *used = NEW_N(b->a, bool, surfaces + 1);
    e->weight_port = NEW_N(b->a, const char *, surfaces + 1);
    built->weight_port = NEW_N(b->a, uint32_t, surfaces + 1);
    built->weight_ports = 0;
    if (b->weights)
        weights_used(b, e->g, e->part, e->program, e->first, e->n, used);
    for (uint32_t i = 0; i < surfaces; i++) {
        const WeightSurface *s = &b->weights->surface[i];
        if (!used[i])
            continue;
        e->weight_port[i] = mil_name(e->t, arena_printf(b->a, "i%02u_w", port + built->weight_ports));
        mil_input(e->t, e->weight_port[i], (MilShape){4, {1, s->channels, 1, s->width}});
        built->weight_port[built->weight_ports++] = i;
    }
}

/* The first parameter of a recipe. */
static bool take_pattern(const Recipe *r, void *with)
{
    const char **pattern = with;
    if (r->kind == RECIPE_PARAM)
        *pattern = r->pattern;
    return r->kind != RECIPE_PARAM;
}

/* Ports of weights; what lies in them is named like the constants of other plans. */
static void describe_weight_port(Emit *e, uint32_t surface, PlanPort *out)
{
    const WeightSurface *s = &e->b->weights->surface[surface];
    const PlanStage     *stage = NULL;
    for (uint32_t i = 0; i < e->b->plan->stages; i++)
        if (e->b->plan->stage[i].buffer == s->buffer)
            stage = &e->b->plan->stage[i];
    *out = (PlanPort){.name = e->weight_port[surface], .shape = {4, {1, s->channels, 1, s->width}},
                      .part = NEW_N(e->b->a, PlanPart, stage->weights), .parts = stage->weights};
    for (uint32_t i = 0; i < stage->weights; i++) {
        const PlanStaged *w = &stage->weight[i];
        const char       *pattern = "";
        plan_recipe_visit(w->recipe, take_pattern, &pattern);
        uint32_t          rows = (uint32_t)w->shape.dim[0];
        out->part[i] =
            (PlanPart){emit_pattern_name(e->b->a, pattern), w->channel, rows, {2, {w->shape.dim[0], s->width}}};
    }
}

/* Ports as the plan and lower.c see them. */
static PlanPort *describe_ports(Emit *e, const Ports *p, uint32_t more, PortValue **where, uint32_t *wheres)
{
    Arena    *a = e->b->a;
    PlanPort *out = NEW_N(a, PlanPort, p->ports + more);
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

typedef struct {
    uint32_t *set;
    uint32_t  sets;
    bool      varies;
} Sets;

/* Every parameter of the weight. */
static void add_set(Builder *b, const Graph *g, ValueId leaf, bool matrix, void *with)
{
    Sets       *x = with;
    const Node *n = &g->node[leaf];
    uint32_t    set = n->a.leaf.set, i = 0;
    for (uint32_t k = 0; k < n->in_count; k++)
        add_set(b, g, node_arg(g, leaf, k), matrix, with);
    if (n->op != OP_param)
        return;
    while (i < x->sets && x->set[i] != set)
        i++;
    x->set[i] = set;
    x->sets += i == x->sets;
    x->varies |= strstr(interned(b->m->strings, b->m->param_set[set].pattern), "{L}") != NULL;
}

static uint64_t port_bytes(const Ports *p)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->ports; i++)
        bytes += 2 * (uint64_t)p->port[i].channels * (uint64_t)p->port[i].width;
    return bytes;
}

/* What the emitted program does. */
static ProgramCost cost_of(Emit *e, const Ports *in, const Ports *out, int32_t n)
{
    Builder    *b = e->b;
    ProgramCost c = e->cost;
    Sets        x = {NEW_N(b->a, uint32_t, b->m->param_sets + 1u), 0, false};
    weights_visit(b, e->g, e->part, e->program, add_set, &x);
    c.set = x.set;
    c.sets = x.sets;
    c.instances = x.varies ? (uint32_t)n : 1;
    c.work.in_bytes = port_bytes(in);
    c.work.out_bytes = port_bytes(out);
    for (uint32_t i = 0; i < e->weights; i++)
        if (e->weight[i].recipe->kind == RECIPE_TABLE)
            c.work.weight_bytes += 2 * (uint64_t)plan_numel(e->weight[i].shape);
    return c;
}

bool program_build(Builder *b, const Graph *g, const Partition *part, uint32_t number, const ValueId *output,
                   uint32_t outputs, const char **label, const char *name, int32_t first, int32_t n,
                   BuiltProgram *built)
{
    Arena *a = b->a;
    Emit e = {
        .b = b, .g = g, .part = part, .program = number, .label = label, .first = first, .n = n, .t = mil_text_new(a)};
    e.val = NEW_N(a, Val, g->count);
    e.as_matrix = NEW_N(a, const char *, g->count);
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
    declare_weights(&e, in.ports, built);
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
    p.in = describe_ports(&e, &in, built->weight_ports, &built->in, &built->ins);
    for (uint32_t i = 0; i < built->weight_ports; i++)
        describe_weight_port(&e, built->weight_port[i], &p.in[in.ports + i]);
    p.ins = in.ports + built->weight_ports;
    p.out = describe_ports(&e, &out, 0, &built->out, &built->outs);
    p.outs = out.ports;
    built->index = b->plan->programs;
    GROW(a, b->out->cost, b->plan->programs, b->costs_cap);
    b->out->cost[b->plan->programs] = cost_of(&e, &in, &out, n);
    GROW(a, b->plan->program, b->plan->programs, b->programs_cap);
    b->plan->program[b->plan->programs++] = p;
    return true;
}
