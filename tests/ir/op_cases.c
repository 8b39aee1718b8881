/* op_cases.c: see op_cases.h. */
#include "op_cases.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

#define SAME1(o, lo_, hi_)                                                                                             \
    {OP_##o, {"real[2, 3]"}, NULL, #o " %a", "real[2, 3]", lo_, hi_, 0},                                               \
        {OP_##o, {"real[]"}, NULL, #o " %a", "real[]", lo_, hi_, 0},                                                   \
        {OP_##o, {"real[1, 5, 1]"}, NULL, #o " %a", "real[1, 5, 1]", lo_, hi_, 0}
#define SAME2(o, lo_, hi_)                                                                                             \
    {OP_##o, {"real[2, 3]", "real[2, 3]"}, NULL, #o " %a %b", "real[2, 3]", lo_, hi_, 0},                              \
        {OP_##o, {"real[]", "real[]"}, NULL, #o " %a %b", "real[]", lo_, hi_, 0},                                      \
        {OP_##o, {"f32[1, 2, 1, 2, 1]", "f32[1, 2, 1, 2, 1]"}, NULL, #o " %a %b", "f32[1, 2, 1, 2, 1]", lo_, hi_, 0}
#define REPEAT_BEFORE "  %r = repeat %a %b body=@body first=0 n=3 carry=1 xs=1 : none\n"

const OpCase op_case[] = {
    {OP_input, {"real[2]"}, NULL, "neg %a", "real[2]", 0, 0, 0},
    {OP_param, {"real[2]"}, "  %w = param of=\"w\" : real[2]\n", "mul %a %w", "real[2]", 0, 0, 0},
    {OP_param, {NULL}, NULL, "param of=\"w\"", "real[2]", 0, 0, 0},
    {OP_state, {NULL}, NULL, "state of=\"s\"", "real[2]", 0, 0, 0},
    {OP_const, {NULL}, NULL, "const value=0.1", "real[3, 2]", 0, 0, 0},
    {OP_const, {NULL}, NULL, "const table=1", "real[2, 3]", 0, 0, 0},
    {OP_iota, {NULL}, NULL, "iota", "i32[4]", 0, 0, 0},
    {OP_iota, {NULL}, NULL, "iota", "i32[1]", 0, 0, 0},
    SAME2(add, 0, 0),
    SAME2(sub, 0, 0),
    SAME2(mul, 0, 0),
    SAME2(div, 0.5, 2),
    SAME2(max, 0, 0),
    SAME2(min, 0, 0),
    {OP_add, {"i32[2]", "i32[2]"}, NULL, "add %a %b", "i32[2]", 0, 0, 5},
    {OP_max, {"i32[4]", "i32[4]"}, NULL, "max %a %b", "i32[4]", 0, 0, 5},
    {OP_div, {"i32[4]"}, "  %n = const value=-3 : i32[4]\n", "div %a %n", "i32[4]", 0, 0, 9},
    SAME1(neg, 0, 0),
    SAME1(exp, 0, 0),
    SAME1(log, 0.1, 2),
    SAME1(sqrt, 0.1, 2),
    SAME1(rsqrt, 0.1, 2),
    SAME1(tanh, 0, 0),
    SAME1(sigmoid, -9, 9),
    SAME1(stop_grad, 0, 0),
    {OP_powc, {"real[2, 3]"}, NULL, "powc %a c=3", "real[2, 3]", 0, 0, 0},
    {OP_powc, {"real[4]"}, NULL, "powc %a c=-1.5", "real[4]", 0.5, 2, 0},
    {OP_powc, {"real[1]"}, NULL, "powc %a c=0", "real[1]", 0, 0, 0},
    {OP_cmp, {"real[5]", "real[5]"}, NULL, "cmp %a %b kind=lt", "bool[5]", 0, 0, 0},
    {OP_cmp, {"i32[9]", "i32[9]"}, NULL, "cmp %a %b kind=eq", "bool[9]", 0, 0, 0},
    {OP_cmp, {"i32[9]", "i32[9]"}, NULL, "cmp %a %b kind=ne", "bool[9]", 0, 0, 0},
    {OP_cmp, {"i32[9]", "i32[9]"}, NULL, "cmp %a %b kind=gt", "bool[9]", 0, 0, 3},
    {OP_cmp, {"i32[9]", "i32[9]"}, NULL, "cmp %a %b kind=le", "bool[9]", 0, 0, 3},
    {OP_cmp, {"i32[9]", "i32[9]"}, NULL, "cmp %a %b kind=ge", "bool[9]", 0, 0, 3},
    {OP_select, {"bool[2, 3]", "real[2, 3]", "real[2, 3]"}, NULL, "select %a %b %c", "real[2, 3]", 0, 0, 0},
    {OP_select, {"bool[]", "i32[]", "i32[]"}, NULL, "select %a %b %c", "i32[]", 0, 0, 7},
    {OP_sum, {"real[2, 3, 4]"}, NULL, "sum %a axes=[1]", "real[2, 1, 4]", 0, 0, 0},
    {OP_sum, {"real[2, 3, 4]"}, NULL, "sum %a axes=[0, 2]", "real[1, 3, 1]", 0, 0, 0},
    {OP_sum, {"real[2, 1]"}, NULL, "sum %a axes=[1]", "real[2, 1]", 0, 0, 0},
    {OP_sum, {"real[]"}, NULL, "sum %a axes=[]", "real[]", 0, 0, 0},
    {OP_amax, {"real[2, 3, 4]"}, NULL, "amax %a axes=[0, 1]", "real[1, 1, 4]", 0, 0, 0},
    {OP_amax, {"real[3]"}, NULL, "amax %a axes=[0]", "real[1]", -3, -1, 0},
    {OP_amax, {"real[1, 2]"}, NULL, "amax %a axes=[0]", "real[1, 2]", 0, 0, 0},
    {OP_softmax, {"real[3, 4]"}, NULL, "softmax %a axis=0", "real[3, 4]", 0, 0, 0},
    {OP_softmax, {"real[2, 5, 2]"}, NULL, "softmax %a axis=1", "real[2, 5, 2]", -30, 30, 0},
    {OP_softmax, {"real[2, 1]"}, NULL, "softmax %a axis=1", "real[2, 1]", 0, 0, 0},
    {OP_matmul, {"real[2, 3]", "real[3, 4]"}, NULL, "matmul %a %b", "real[2, 4]", 0, 0, 0},
    {OP_matmul, {"real[3, 2]", "real[3, 4]"}, NULL, "matmul %a %b ta", "real[2, 4]", 0, 0, 0},
    {OP_matmul, {"real[2, 3]", "real[4, 3]"}, NULL, "matmul %a %b tb", "real[2, 4]", 0, 0, 0},
    {OP_matmul, {"real[3, 2]", "real[4, 3]"}, NULL, "matmul %a %b ta tb", "real[2, 4]", 0, 0, 0},
    {OP_matmul, {"real[2, 3, 4, 5]", "real[2, 3, 5, 2]"}, NULL, "matmul %a %b", "real[2, 3, 4, 2]", 0, 0, 0},
    {OP_matmul, {"real[2, 4, 3]", "real[2, 1, 4]"}, NULL, "matmul %a %b ta tb", "real[2, 3, 1]", 0, 0, 0},
    {OP_matmul, {"real[1, 1]", "real[1, 1]"}, NULL, "matmul %a %b", "real[1, 1]", 0, 0, 0},
    {OP_reshape, {"real[2, 6]"}, NULL, "reshape %a", "real[3, 1, 4]", 0, 0, 0},
    {OP_reshape, {"real[1, 1]"}, NULL, "reshape %a", "real[]", 0, 0, 0},
    {OP_transpose, {"real[2, 3, 4]"}, NULL, "transpose %a perm=[2, 0, 1]", "real[4, 2, 3]", 0, 0, 0},
    {OP_transpose, {"real[1, 3]"}, NULL, "transpose %a perm=[1, 0]", "real[3, 1]", 0, 0, 0},
    {OP_broadcast, {"real[2, 1, 3]"}, NULL, "broadcast %a", "real[2, 4, 3]", 0, 0, 0},
    {OP_broadcast, {"real[1, 1]"}, NULL, "broadcast %a", "real[1, 3]", 0, 0, 0},
    {OP_slice, {"real[4, 5]"}, NULL, "slice %a begin=[1, 2] end=[3, 5]", "real[2, 3]", 0, 0, 0},
    {OP_slice, {"real[1, 5]"}, NULL, "slice %a begin=[0, 4] end=[1, 5]", "real[1, 1]", 0, 0, 0},
    {OP_pad, {"real[2, 3]"}, NULL, "pad %a lo=[1, 0] hi=[0, 2]", "real[3, 5]", 0, 0, 0},
    {OP_concat, {"real[2, 1]", "real[2, 3]", "real[2, 2]"}, NULL, "concat %a %b %c axis=1", "real[2, 6]", 0, 0, 0},
    {OP_concat, {"real[2, 3, 2]", "real[1, 3, 2]"}, NULL, "concat %a %b axis=0", "real[3, 3, 2]", 0, 0, 0},
    {OP_concat, {"real[1]"}, NULL, "concat %a axis=0", "real[1]", 0, 0, 0},
    {OP_gather, {"real[5, 3]", "i32[2, 4]"}, NULL, "gather %a %b", "real[2, 4, 3]", 0, 0, 5},
    {OP_gather, {"real[5]", "i32[]"}, NULL, "gather %a %b", "real[]", 0, 0, 5},
    {OP_gather, {"real[1, 2]", "i32[3]"}, NULL, "gather %a %b", "real[3, 2]", 0, 0, 1},
    {OP_scatter_add, {"i32[6]", "real[6, 2]"}, NULL, "scatter_add %a %b", "real[4, 2]", 0, 0, 4},
    {OP_scatter_add, {"i32[2, 2]", "real[2, 2, 1]"}, NULL, "scatter_add %a %b", "real[1, 1]", 0, 0, 1},
    {OP_xent, {"real[4, 6]", "i32[6]"}, NULL, "xent %a %b axis=0", "real[6]", -9, 9, 4},
    {OP_xent, {"real[2, 3, 5]", "i32[2, 3]"}, NULL, "xent %a %b axis=2", "real[2, 3]", 0, 0, 5},
    {OP_xent, {"real[1]", "i32[]"}, NULL, "xent %a %b axis=0", "real[]", 0, 0, 1},
    {OP_xent_grad, {"real[4, 6]", "i32[6]", "real[6]"}, NULL, "xent_grad %a %b %c axis=0", "real[4, 6]", 0, 0, 4},
    {OP_xent_grad,
     {"real[2, 3, 5]", "i32[2, 5]", "real[2, 5]"},
     NULL,
     "xent_grad %a %b %c axis=1",
     "real[2, 3, 5]",
     0,
     0,
     3},
    {OP_splice, {"real[2, 5]", "real[2, 2]", "i32[]"}, NULL, "splice %a %b %c axis=1", "real[2, 5]", 0, 0, 4},
    {OP_splice, {"real[3, 2]", "real[3, 2]", "i32[1]"}, NULL, "splice %a %b %c axis=0", "real[3, 2]", 0, 0, 1},
    {OP_cast, {"real[2]"}, NULL, "cast %a", "f16[2]", 0, 0, 0},
    {OP_cast, {"i32[3]"}, NULL, "cast %a", "real[3]", 0, 0, 9},
    {OP_cast, {"bool[3]"}, NULL, "cast %a", "f32[3]", 0, 0, 0},
    {OP_cast, {"real[5]"}, NULL, "cast %a", "i32[5]", 0, 0, 0},
    {OP_cast, {"i32[5]"}, NULL, "cast %a", "bool[5]", 0, 0, 3},
    {OP_repeat, {"real[2]", "real[3, 2]"}, REPEAT_BEFORE, "proj %r index=0", "real[2]", 0, 0, 0},
    {OP_proj, {"real[2]", "real[3, 2]"}, REPEAT_BEFORE, "proj %r index=1", "real[3, 2]", 0, 0, 0},
    {OP_call, {"real[2]", "real[2]"}, "  %r = call %a %b body=@body : none\n", "proj %r index=0", "real[2]", 0, 0, 0},
    {OP_grad, {"real[2]"}, "  grad %a of=\"w\" : none\n", "neg %a", "real[2]", 0, 0, 0},
    {OP_state_set, {"real[2]"}, "  state_set %a of=\"s\" : none\n", "neg %a", "real[2]", 0, 0, 0},
};
const size_t op_cases = COUNT(op_case);

const char *case_text(Rig *r, const OpCase *c)
{
    Buf b = {0};
    buf_puts(&b,
             "module\nparam 0 \"w\" : real[2] init=zeros\nstate 0 \"s\" : real[2] init=zeros\n"
             "param_set 0 \"w\" = 0\nstate_set 0 \"s\" = 0\ntable 1 : real[2, 3] { 1 -2 3 0.5 5 6 }\ngraph @main (");
    for (int i = 0; i < CASE_OPERANDS && c->operand[i]; i++)
        buf_printf(&b, "%s_: %s", i ? ", " : "", c->operand[i]);
    buf_puts(&b, ") {\n");
    for (int i = 0; i < CASE_OPERANDS && c->operand[i]; i++)
        buf_printf(&b, "  %%%c = input index=%d : %s\n", 'a' + i, i, c->operand[i]);
    buf_printf(&b, "%s  %%y = %s : %s\n  return %%y\n}\n", c->before ? c->before : "", c->line, c->result);
    buf_puts(&b,
             "graph @body (_: real[2], _: real[2]) {\n  %h = input index=0 : real[2]\n  %x = input index=1 : real[2]\n"
             "  %m = mul %h %x : real[2]\n  %t = tanh %m : real[2]\n  return %t, %m\n}\n");
    const char *text = arena_strndup(r->a, b.data, b.len);
    buf_free(&b);
    return text;
}

Tensor *case_operands(Rig *r, const Module *m, const OpCase *c, uint64_t key)
{
    const Graph *g = m->graph[1];
    double       lo = c->lo == 0 && c->hi == 0 ? -2 : c->lo, hi = c->lo == 0 && c->hi == 0 ? 2 : c->hi;
    Tensor      *in = NEW_N(r->a, Tensor, g->inputs + 1u);
    for (uint32_t i = 0; i < g->inputs; i++) {
        in[i] = some_tensor(r->a, g->input[i].type, key + i, lo, hi);
        for (int64_t k = 0; g->input[i].type.dtype == DT_I32 && k < shape_numel(in[i].type.shape); k++)
            in[i].v[k] = (double)(rng_u64(key + i, (uint64_t)k) % (uint64_t)(c->ints ? c->ints : 2));
    }
    return in;
}

EvalEnv case_env(Rig *r, const Module *m)
{
    EvalEnv env = {.m = m, .arena = r->a};
    env.param = NEW(r->a, double *);
    env.state = NEW(r->a, double *);
    env.param[0] = some_tensor(r->a, REAL(2), 91, -1, 1).v;
    env.state[0] = some_tensor(r->a, REAL(2), 92, -1, 1).v;
    return env;
}

bool next_index(Shape s, int32_t *at)
{
    for (uint32_t k = s.rank; k-- > 0; at[k] = 0)
        if (++at[k] < s.dim[k])
            return true;
    return false;
}

/* ---- definitions ---- */

static double elem(Tensor t, const int32_t *at)
{
    int64_t i = 0;
    for (uint32_t k = 0; k < t.type.shape.rank; k++)
        i = i * t.type.shape.dim[k] + at[k];
    return t.v[i];
}

static double elem_at(Tensor t, const int32_t *at, int32_t axis, int32_t k)
{
    int32_t there[MAX_RANK];
    memcpy(there, at, sizeof there);
    there[axis] = k;
    return elem(t, there);
}

/* at without / with an axis */
static void drop(int32_t *to, const int32_t *at, int32_t axis)
{
    for (int32_t k = 0; k + 1 < MAX_RANK; k++)
        to[k] = at[k < axis ? k : k + 1];
}

static double soft(Tensor z, const int32_t *at, int32_t axis, int32_t k)
{
    double sum = 0;
    for (int32_t j = 0; j < z.type.shape.dim[axis]; j++)
        sum += exp(elem_at(z, at, axis, j) - elem_at(z, at, axis, k));
    return 1 / sum;
}

static double reduced(const Node *n, Tensor x, const int32_t *at)
{
    int32_t j[MAX_RANK] = {0};
    double  r = n->op == OP_sum ? 0 : -INFINITY;
    do {
        bool mine = true;
        for (uint32_t k = 0; k < x.type.shape.rank; k++)
            mine = mine && (n->a.reduce.axes >> k & 1 || j[k] == at[k]);
        if (mine)
            r = n->op == OP_sum ? r + elem(x, j) : fmax(r, elem(x, j));
    } while (next_index(x.type.shape, j));
    return r;
}

static double product(const Node *n, const Tensor *in, const int32_t *at)
{
    uint32_t r = n->type.shape.rank;
    int32_t  a[MAX_RANK], b[MAX_RANK], depth = in[0].type.shape.dim[n->a.matmul.ta ? r - 2 : r - 1];
    double   sum = 0;
    memcpy(a, at, sizeof a);
    memcpy(b, at, sizeof b);
    for (int32_t k = 0; k < depth; k++) {
        a[n->a.matmul.ta ? r - 1 : r - 2] = at[r - 2];
        a[n->a.matmul.ta ? r - 2 : r - 1] = k;
        b[n->a.matmul.tb ? r - 1 : r - 2] = k;
        b[n->a.matmul.tb ? r - 2 : r - 1] = at[r - 1];
        sum += elem(in[0], a) * elem(in[1], b);
    }
    return sum;
}

static double moved(const Node *n, const Tensor *in, const int32_t *at)
{
    int32_t  j[MAX_RANK] = {0}, axis = n->a.axis.axis, k = 0;
    uint32_t rank = n->type.shape.rank;
    switch (n->op) {
    case OP_reshape: { /* by position */
        int64_t i = 0;
        for (uint32_t d = 0; d < rank; d++)
            i = i * n->type.shape.dim[d] + at[d];
        return in[0].v[i];
    }
    case OP_transpose:
        for (uint32_t d = 0; d < rank; d++)
            j[n->a.transpose.perm[d]] = at[d];
        return elem(in[0], j);
    case OP_broadcast:
        for (uint32_t d = 0; d < rank; d++)
            j[d] = in[0].type.shape.dim[d] == 1 ? 0 : at[d];
        return elem(in[0], j);
    case OP_slice:
        for (uint32_t d = 0; d < rank; d++)
            j[d] = at[d] + n->a.slice.begin[d];
        return elem(in[0], j);
    case OP_pad:
        for (uint32_t d = 0; d < rank; d++) {
            j[d] = at[d] - n->a.pad.lo[d];
            if (j[d] < 0 || j[d] >= in[0].type.shape.dim[d])
                return 0;
        }
        return elem(in[0], j);
    case OP_concat:
        for (k = at[axis]; k >= in->type.shape.dim[axis]; in++)
            k -= in->type.shape.dim[axis];
        return elem_at(*in, at, axis, k);
    default: /* splice */
        k = at[axis] - (int32_t)in[2].v[0];
        return k >= 0 && k < in[1].type.shape.dim[axis] ? elem_at(in[1], at, axis, k) : elem(in[0], at);
    }
}

static double addressed(const Node *n, const Tensor *in, const int32_t *at)
{
    int32_t j[MAX_RANK] = {0}, axis = n->a.axis.axis;
    double  sum = 0;
    switch (n->op) {
    case OP_gather: {
        uint32_t r = in[1].type.shape.rank;
        j[0] = (int32_t)elem(in[1], at);
        for (uint32_t k = 1; k < in[0].type.shape.rank; k++)
            j[k] = at[r + k - 1];
        return elem(in[0], j);
    }
    case OP_scatter_add:
        do {
            bool     mine = elem(in[0], j) == at[0];
            uint32_t r = in[0].type.shape.rank;
            for (uint32_t k = 1; k < n->type.shape.rank; k++)
                mine = mine && j[r + k - 1] == at[k];
            sum += mine ? elem(in[1], j) : 0;
        } while (next_index(in[1].type.shape, j));
        return sum;
    case OP_xent: { /* put the axis back */
        for (int32_t k = 0; k < MAX_RANK; k++)
            j[k] = k < axis ? at[k] : k > axis ? at[k - 1] : 0;
        return -log(soft(in[0], j, axis, (int32_t)elem(in[1], at)));
    }
    default: /* xent_grad */
        drop(j, at, axis);
        return (soft(in[0], at, axis, at[axis]) - (elem(in[1], j) == at[axis])) * elem(in[2], j);
    }
}

double define(const Module *m, const Node *n, const Tensor *in, const int32_t *at)
{
    double a = n->in_count && shape_equal(in[0].type.shape, n->type.shape) ? elem(in[0], at) : 0;
    double b = n->in_count > 1 && shape_equal(in[1].type.shape, n->type.shape) ? elem(in[1], at) : 0;
    switch (n->op) {
    case OP_const:
        return n->a.constant.table
                   ? elem((Tensor){n->type, m->table[n->a.constant.table].data, NULL}, at) : n->a.constant.splat;
    case OP_iota: return at[0];
    case OP_add: return a + b;
    case OP_sub: return a - b;
    case OP_mul: return a * b;
    case OP_div: return n->type.dtype == DT_I32 ? (double)((int)a / (int)b) : a / b;
    case OP_max: return fmax(a, b);
    case OP_min: return fmin(a, b);
    case OP_neg: return -a;
    case OP_exp: return exp(a);
    case OP_log: return log(a);
    case OP_sqrt: return sqrt(a);
    case OP_rsqrt: return pow(a, -0.5);
    case OP_tanh: return (exp(2 * a) - 1) / (exp(2 * a) + 1);
    case OP_sigmoid: return 1 / (1 + exp(-a));
    case OP_powc: return pow(a, n->a.powc.c);
    case OP_cmp: {
        int order = a < b ? 1 : a == b ? 2 : 4; /* bits: less, equal, greater */
        return (order & (const int[]){2, 5, 1, 4, 3, 6}[n->a.cmp.kind]) != 0;
    }
    case OP_select: return a != 0 ? b : elem(in[2], at);
    case OP_sum:
    case OP_amax: return reduced(n, in[0], at);
    case OP_softmax: return soft(in[0], at, n->a.axis.axis, at[n->a.axis.axis]);
    case OP_matmul: return product(n, in, at);
    case OP_reshape: case OP_transpose: case OP_broadcast: case OP_slice: case OP_pad: case OP_concat: case OP_splice:
        return moved(n, in, at);
    case OP_gather: case OP_scatter_add: case OP_xent: case OP_xent_grad: return addressed(n, in, at);
    case OP_cast: return n->type.dtype == DT_I32 ? (double)(int)a : n->type.dtype == DT_BOOL ? a != 0 : a;
    case OP_stop_grad: return a;
    default: return NAN; /* leaves and structure: test_eval.c */
    }
}
