/* node_cost.c: see node_cost.h. What is not in the profile:
 *
 *   a softmax on the engine costs 1.6 elementwise operations (one project measured 15 GB/s where relu streams at 24)
 *   a product's factor, `mul` by a number right after it, costs nothing there (one project)
 *   elementwise work on the CPU costs the larger of operand and result once, in fp32: what came just before is still in
 *     its caches (the adjoint of RMSNorm, some seven operations, took 0.15 ns an element in a published project, where
 *     this says 0.5 at 60 GB/s)
 *   exp, log, tanh, sigmoid, powers and roots cost the CPU as much as moving 16 numbers, about 1 ns (assumed) */
#include "passes/node_cost.h"

enum { HALF = 2, FLOAT = 4, FUNCTION_NUMBERS = 16 };

static int64_t numel(const Prices *p, ValueId v)
{
    return shape_numel(p->g->node[v].type.shape);
}

/* Elements read through the operands of `v`: a broadcast is read at its source's size, a number not at all. */
static int64_t elements_read(const Prices *p, ValueId v)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < p->g->node[v].in_count; i++) {
        ValueId     u = behind_broadcasts(p->g, node_arg(p->g, v, i));
        const Node *n = &p->g->node[u];
        sum += n->op == OP_const && n->a.constant.table == 0 ? 0 : numel(p, u);
    }
    return sum;
}

bool price_is_conv(const Prices *p, ValueId v)
{
    const Node *n = &p->g->node[v];
    return n->op == OP_matmul && n->type.shape.rank == 2 && p->constant[node_arg(p->g, v, 0)] &&
           !p->constant[node_arg(p->g, v, 1)] && matmul_contracted(p->g, n) <= p->target->max_conv_in;
}

double price_flops(const Prices *p, ValueId v)
{
    const Node *n = &p->g->node[v];
    return n->op == OP_matmul ? (double)matmul_flops(p->g, n) : 0;
}

static int64_t weights_read(const Prices *p, ValueId v)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < 2; i++) {
        ValueId u = node_arg(p->g, v, i);
        sum += p->constant[u] ? numel(p, u) : 0;
    }
    return sum;
}

/* flops at a rate in Tflop/s: one per picosecond. */
static int64_t price_arithmetic(double flops, double rate)
{
    return (int64_t)llround(flops / rate);
}

int64_t price_engine(const Prices *p, ValueId v)
{
    const Target *t = p->target;
    const Node   *n = &p->g->node[v];
    double        bytes = HALF * (double)(elements_read(p, v) + numel(p, v));
    if (op_is_view(n->op))
        return 0;
    if (n->op == OP_matmul)
        return price_arithmetic(price_flops(p, v), price_is_conv(p, v) ? t->peak : t->peak_matmul) +
               price_bytes(HALF * (double)weights_read(p, v), t->weight_bandwidth);
    if (n->op == OP_mul && p->g->node[node_arg(p->g, v, 0)].op == OP_matmul && elements_read(p, v) == numel(p, v))
        return 0;
    if (n->op == OP_softmax)
        bytes = bytes * 8 / 5;
    return price_bytes(bytes, t->elementwise);
}

int64_t price_spill(const Prices *p, ValueId v)
{
    int64_t bytes = HALF * numel(p, v);
    return bytes > p->target->max_intermediate ? price_bytes(2 * (double)bytes, p->target->bandwidth) : 0;
}

int64_t price_cpu(const Prices *p, ValueId v)
{
    const Target *t = p->target;
    const Node   *n = &p->g->node[v];
    int64_t       largest = numel(p, v), bytes;
    for (uint32_t i = 0; i < n->in_count; i++)
        largest = numel(p, node_arg(p->g, v, i)) > largest ? numel(p, node_arg(p->g, v, i)) : largest;
    bytes = FLOAT * largest;
    switch (n->op) {
    case OP_reshape:
    case OP_stop_grad:
        return 0;
    case OP_matmul: {
        int64_t arithmetic = price_arithmetic(price_flops(p, v), t->cpu_flops);
        int64_t memory = price_bytes(FLOAT * (double)(elements_read(p, v) + numel(p, v)), t->cpu_bandwidth);
        return arithmetic > memory ? arithmetic : memory;
    }
    case OP_softmax:
    case OP_exp:
    case OP_log:
    case OP_sqrt:
    case OP_rsqrt:
    case OP_tanh:
    case OP_sigmoid:
    case OP_powc:
        bytes += FLOAT * FUNCTION_NUMBERS * numel(p, v);
        break;
    default:
        break;
    }
    return price_bytes((double)bytes, t->cpu_bandwidth);
}

int64_t price_crossing(const Target *t, int64_t elements)
{
    double bytes = HALF * (double)elements;
    return price_bytes(bytes, t->bandwidth) + price_bytes(bytes, t->staging) + price_bytes(2 * bytes, t->elementwise);
}

int64_t price_saving(const Target *t, int64_t elements, bool written_anyway)
{
    double  bytes = HALF * (double)elements;
    int64_t in = price_bytes(bytes, t->bandwidth) + price_bytes(2 * bytes, t->elementwise);
    return (written_anyway ? 1 : 2) * in + price_bytes(2 * bytes, t->cpu_bandwidth);
}
