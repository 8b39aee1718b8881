/* work.c: see work.h. Everything is counted in fp16: two bytes an element. */
#include "backend_ane/work.h"

#include "backend_ane/partition.h"

enum { HALF_BYTES = 2 };

uint32_t work_width(Shape s)
{
    /* As emit_shape(): a vector [C] is [1, C, 1, 1], the last axis of everything else is the width. */
    return s.rank < 2 ? 1 : (uint32_t)s.dim[s.rank - 1];
}

uint64_t work_channels(Shape s)
{
    return (uint64_t)shape_numel(s) / work_width(s);
}

uint64_t work_padded(const Target *t, uint64_t channels)
{
    uint64_t multiple = (uint64_t)t->io_channel_multiple, least = (uint64_t)t->io_min_channels;
    return ((channels < least ? least : channels) + multiple - 1) / multiple * multiple; /* as program.c does */
}

static uint64_t bytes_of(const Graph *g, ValueId v)
{
    return (uint64_t)shape_numel(g->node[v].type.shape) * HALF_BYTES;
}

uint64_t work_constant_bytes(const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    return n->op == OP_const && n->a.constant.table == 0 ? 0 : bytes_of(g, v);
}

uint64_t work_spilled(const Target *t, uint64_t bytes)
{
    return bytes > (uint64_t)t->onchip / 4 ? 2 * bytes : 0; /* a few values are alive at a time */
}

Work work_of_node(const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    Work        w = {0};
    if (op_is_view(n->op) || is_constant(g, v) || n->type.dtype == DT_NONE || n->op == OP_input || n->op == OP_proj)
        return w;
    w.ops = 1;
    if (n->op == OP_matmul) {
        const ValueId *in = node_in(g, n);
        *(is_constant(g, in[0]) || is_constant(g, in[1]) ? &w.conv_flops : &w.matmul_flops) = matmul_flops(g, n);
        return w;
    }
    w.inner_bytes = bytes_of(g, v);
    for (uint32_t i = 0; i < n->in_count; i++) {
        ValueId u = behind_broadcasts(g, node_in(g, n)[i]); /* read where it was small */
        if (!is_constant(g, u))
            w.inner_bytes += bytes_of(g, u);
    }
    return w;
}

/* ---- whole programs ---- */

typedef struct {
    uint32_t width;
    uint64_t channels[2]; /* in, out */
} Widths;

static void port(Arena *a, Widths **w, uint32_t *n, uint32_t *cap, Shape s, int way)
{
    uint32_t i = 0;
    while (i < *n && (*w)[i].width != work_width(s))
        i++;
    if (i == *n) {
        GROW(a, *w, *n, *cap);
        (*w)[(*n)++] = (Widths){.width = work_width(s)};
    }
    (*w)[i].channels[way] += work_channels(s);
}

Work work_of_program(Arena *scratch, const Module *m, const Graph *g, const uint32_t *program, uint32_t number)
{
    Work     work = {0};
    Widths  *width = NULL;
    uint32_t widths = 0, cap = 0;
    bool    *entered = NEW_N(scratch, bool, g->count), *leaves = NEW_N(scratch, bool, g->count);
    for (uint32_t i = 0; i < g->outs; i++)
        leaves[g->out[i]] = true;
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t i = 0; i < g->node[v].in_count; i++) {
            ValueId u = node_arg(g, v, i);
            leaves[u] |= program[v] != program[u];
            if (program[v] != number || program[u] == number || entered[u])
                continue;
            entered[u] = true;
            if (is_constant(g, u)) {
                ValueId leaf = u;
                while (g->node[leaf].in_count)
                    leaf = node_arg(g, leaf, 0);
                if (leaf == u || !entered[leaf])
                    work.weight_bytes += work_constant_bytes(g, leaf);
                entered[leaf] = true;
            } else {
                port(scratch, &width, &widths, &cap, g->node[u].type.shape, 0);
            }
        }
    for (ValueId v = 1; v < g->count; v++) {
        if (program[v] != number)
            continue;
        Work w = work_of_node(g, v);
        work_add(&work, &w);
        if (leaves[v])
            port(scratch, &width, &widths, &cap, g->node[v].type.shape, 1);
        else if (w.ops)
            work.spill_bytes += work_spilled(m->target, bytes_of(g, v));
    }
    for (uint32_t i = 0; i < widths; i++)
        for (int way = 0; way < 2; way++)
            if (width[i].channels[way])
                *(way ? &work.out_bytes : &work.in_bytes) +=
                    work_padded(m->target, width[i].channels[way]) * width[i].width * HALF_BYTES;
    return work;
}
