/* random_ir.c: see random_ir.h.
 *
 * Values are drawn one after the other from those that exist; a draw whose operands do not fit is simply another draw.
 * Dimensions come from 1..3, so that fits are common and every kind of broadcast occurs. */
#include "random_ir.h"

#include "base/rng.h"

typedef struct {
    Module  *m;
    Graph   *g;
    uint64_t key, drawn;
} Dice;

static uint32_t roll(Dice *d, uint32_t n)
{
    return (uint32_t)(rng_u64(d->key, d->drawn++) % n);
}

static StrId word(Dice *d)
{
    static const char *const words[] = {"x", "y", "q", "layer_1", "odd name", "a.b", "\"", ""};
    uint32_t k = roll(d, 10);
    return k < 8 ? intern(d->m->strings, words[k]) : 0;
}

static double number(Dice *d)
{
    static const double numbers[] = {0, 1, -1, 0.5, 0.1, 1e-300, -30000, 1.0 / 3, 2, 1e20};
    return numbers[roll(d, 10)];
}

static Shape some_shape(Dice *d)
{
    Shape s = {.rank = (uint8_t)roll(d, 5)};
    for (uint32_t i = 0; i < s.rank; i++)
        s.dim[i] = (int32_t)roll(d, 3) + 1;
    return s;
}

/* A real value of rank `min` or more, or 0 after some tries. */
static ValueId pick(Dice *d, uint32_t min)
{
    for (int i = 0; i < 30; i++) {
        ValueId v = 1 + roll(d, d->g->count - 1);
        Type    t = d->g->node[v].type;
        if (t.dtype == DT_REAL && t.shape.rank >= min && t.shape.rank < MAX_RANK)
            return v;
    }
    return 0;
}

/* A value of exactly that type: an existing one or a new constant. */
static ValueId pick_like(Dice *d, const Node *marks, Type t)
{
    for (int i = 0; i < 10; i++) {
        ValueId v = 1 + roll(d, d->g->count - 1);
        if (type_equal(d->g->node[v].type, t))
            return v;
    }
    return g_splat(d->m, d->g, marks, number(d), t);
}

static Node marks(Dice *d)
{
    Node n = {.op = OP_add};
    n.name = word(d);
    n.scope = roll(d, 4) ? 0 : word(d);
    n.stmt = roll(d, 4) ? 0 : word(d);
    n.again = roll(d, 8) == 0;
    n.hint = roll(d, 4) ? 0 : roll(d, d->m->hints);
    n.tag = roll(d, 4) ? 0 : roll(d, d->m->composites);
    return n;
}

static void reduce_or_view(Dice *d, const Node *n, ValueId x)
{
    Shape   s = d->g->node[x].type.shape;
    int32_t lo[MAX_RANK], hi[MAX_RANK];
    uint8_t perm[MAX_RANK];
    for (uint32_t i = 0; i < s.rank; i++) {
        lo[i] = (int32_t)roll(d, (uint32_t)s.dim[i]);
        hi[i] = lo[i] + 1 + (int32_t)roll(d, (uint32_t)(s.dim[i] - lo[i]));
        perm[i] = (uint8_t)i;
    }
    for (uint32_t i = s.rank; i > 1; i--) {
        uint32_t k = roll(d, i);
        uint8_t  p = perm[k];
        perm[k] = perm[i - 1];
        perm[i - 1] = p;
    }
    switch (roll(d, 9)) {
    case 0: g_sum(d->m, d->g, n, x, roll(d, 1u << s.rank)); break;
    case 1: g_amax(d->m, d->g, n, x, roll(d, 1u << s.rank)); break;
    case 2: g_transpose(d->m, d->g, n, x, perm); break;
    case 3: g_slice(d->m, d->g, n, x, lo, hi); break;
    case 4:
        if (shape_numel(s) < 500)
            g_pad(d->m, d->g, n, x, lo, hi);
        break;
    case 5:
        if (s.rank)
            g_softmax(d->m, d->g, n, x, (int32_t)roll(d, s.rank));
        break;
    case 6: {
        Shape wide = s;
        for (uint32_t i = 0; i < s.rank; i++)
            wide.dim[i] = s.dim[i] == 1 ? 1 + (int32_t)roll(d, 3) : s.dim[i];
        g_broadcast(d->m, d->g, n, x, wide);
        break;
    }
    case 7: g_reshape(d->m, d->g, n, x, shape_of(1, (int32_t[]){(int32_t)shape_numel(s)})); break;
    default:
        if (s.rank && shape_numel(s) < 500)
            g_concat(d->m, d->g, n, (ValueId[]){x, x, x}, 1 + roll(d, 3), (int32_t)roll(d, s.rank));
    }
}

/* One more value, or none. */
static void grow(Dice *d)
{
    static const Op twos[] = {OP_add, OP_sub, OP_mul, OP_div, OP_max, OP_min};
    static const Op ones[] = {OP_neg, OP_exp, OP_log, OP_sqrt, OP_rsqrt, OP_tanh, OP_sigmoid, OP_stop_grad};
    Node    n = marks(d);
    ValueId x = pick(d, 0);
    if (!x)
        return;
    Type t = d->g->node[x].type;
    switch (roll(d, 7)) {
    case 0: g_binary(d->m, d->g, &n, twos[roll(d, 6)], x, pick_like(d, &n, t)); break;
    case 1: g_unary(d->m, d->g, &n, ones[roll(d, 8)], x); break;
    case 2: g_powc(d->m, d->g, &n, x, number(d)); break;
    case 3: {
        ValueId c = g_cmp(d->m, d->g, &n, (CmpKind)roll(d, 6), x, pick_like(d, &n, t));
        g_select(d->m, d->g, &n, c, pick_like(d, &n, t), x);
        break;
    }
    case 4: {
        ValueId a = pick(d, 2);
        if (a) {
            bool ta = roll(d, 2), tb = !ta;
            g_matmul(d->m, d->g, &n, a, a, ta, tb);
        }
        break;
    }
    default: reduce_or_view(d, &n, x);
    }
}

static ValueId leaf(Dice *d, Op op, uint32_t set, Type t)
{
    Node n = marks(d);
    n.op = op;
    n.type = t;
    n.a.leaf.set = set;
    return graph_add(d->m, d->g, &n, NULL, 0);
}

static void sink(Dice *d, Op op, uint32_t set, Type t)
{
    Node    n = marks(d);
    ValueId x = pick_like(d, &n, t);
    n.op = op;
    n.a.leaf.set = set;
    graph_add(d->m, d->g, &n, &x, 1);
}

/* `n` parameters of one type and the set of them all. */
static uint32_t params(Dice *d, Type t, uint32_t n, const char *pattern)
{
    Module  *m = d->m;
    uint32_t list[4];
    for (uint32_t i = 0; i < n; i++) {
        Param p = {.path = word(d), .type = t, .lr = roll(d, 2) ? 1 : number(d)};
        p.init = (Init){(InitKind)roll(d, 5), number(d), number(d)};
        p.nodecay = roll(d, 2);
        p.frozen = roll(d, 2);
        p.import = word(d);
        p.import_transpose = roll(d, 2);
        p.import_rows[1] = (int32_t)roll(d, 3);
        GROW(m->arena, m->param, m->params, m->params_cap);
        list[i] = m->params;
        m->param[m->params++] = p;
    }
    return module_add_param_set(m, intern(m->strings, pattern), list, n);
}

static void lists(Dice *d)
{
    Module *m = d->m;
    double  data[30];
    for (uint32_t i = 0; i < 3; i++) {
        Shape s = i == 2 ? shape_of(2, (int32_t[]){5, 6}) : some_shape(d);
        if (shape_numel(s) > 30)
            s = shape_of(0, NULL);
        for (int64_t k = 0; k < shape_numel(s); k++)
            data[k] = number(d);
        module_add_table(m, DT_REAL, s, data, word(d));
    }
    Hint h = {(PlaceHint)roll(d, 3), roll(d, 2), roll(d, 2), roll(d, 2), word(d), roll(d, 3), {0, 0, 0}};
    module_add_hint(m, h);
    GROW(m->arena, m->composite, m->composites, m->composites_cap);
    m->composite[m->composites++] = (Composite){word(d)};
    GROW(m->arena, m->config, m->configs, m->configs_cap);
    m->config[m->configs++] = (Config){word(d), word(d), roll(d, 2)};
    GROW(m->arena, m->setting, m->settings, m->settings_cap);
    m->setting[m->settings++] = (Setting){word(d), word(d), {0, 0, 0}};
    m->name = word(d);
}

static Graph *graph(Dice *d, const char *name)
{
    d->g = module_add_graph(d->m, intern(d->m->strings, name));
    return d->g;
}

static ValueId input(Dice *d, Type t)
{
    return graph_add_input(d->m, d->g, word(d), t, roll(d, 2), (Span){0, 0, 0});
}

void random_module(Module *m, uint64_t seed)
{
    Dice d = {m, NULL, rng_key(seed, "ir"), 0};
    lists(&d);
    int32_t  n = 1 + (int32_t)roll(&d, 3);
    Type     h = {DT_REAL, some_shape(&d)}, x = {DT_REAL, some_shape(&d)}, k = {DT_REAL, some_shape(&d)};
    uint32_t many = params(&d, h, (uint32_t)n, "w.{L}"), one = params(&d, k, 1, "v");
    GROW(m->arena, m->state, m->states, m->states_cap);
    m->state[m->states++] = (State){.path = word(&d), .type = k, .init = {INIT_VALUE, number(&d), 0}};
    uint32_t state = module_add_state_set(m, intern(m->strings, "s"), (uint32_t[]){0}, 1);

    Graph *called = graph(&d, "helper");
    input(&d, h);
    for (uint32_t i = 0; i < 5; i++)
        grow(&d);
    graph_add_out(m, called, called->count - 1, 0);
    ValueId last = called->count - 1;
    if (roll(&d, 2))
        graph_add_out(m, called, last, intern(m->strings, "again"));

    Graph *body = graph(&d, "helper"); /* the same name: a suffix in the text */
    input(&d, h);
    input(&d, x);
    input(&d, k);
    leaf(&d, OP_param, many, h);
    for (uint32_t i = 0; i < 12; i++)
        grow(&d);
    Node    mark = marks(&d);
    ValueId carry = pick_like(&d, &mark, h), extra = pick(&d, 0);
    graph_add_out(m, body, carry, 0);
    graph_add_out(m, body, extra, word(&d));
    mark.role = ROLE_BWD;
    mark.op = OP_grad;
    mark.a.leaf.set = many;
    graph_add(m, body, &mark, &carry, 1);

    Graph  *g = graph(&d, "main");
    ValueId in[3] = {input(&d, h), input(&d, type_stacked(x, n)), leaf(&d, OP_param, one, k)};
    for (uint32_t i = 1; i < m->tables; i++) {
        Node at = marks(&d);
        g_table(m, g, &at, i);
    }
    leaf(&d, OP_state, state, k);
    for (uint32_t i = 0; i < 10; i++)
        grow(&d);
    Node rep = marks(&d);
    rep.op = OP_repeat;
    rep.a.repeat.graph = body->id;
    rep.a.repeat.first = (int32_t)roll(&d, 4) - 1;
    rep.a.repeat.n = n;
    rep.a.repeat.n_carry = rep.a.repeat.n_xs = 1;
    rep.a.repeat.reverse = roll(&d, 2);
    ValueId r = graph_add(m, g, &rep, in, 3);
    Node    at = marks(&d);
    ValueId y = g_proj(m, g, &at, r, 0);
    g_proj(m, g, &at, r, 1);
    Node call = marks(&d);
    call.op = OP_call;
    call.a.call.graph = called->id;
    call.a.call.vjp = 0;
    call.a.call.fn = word(&d);
    ValueId c = graph_add(m, g, &call, &y, 1);
    g_proj(m, g, &at, c, 0);
    for (uint32_t i = 0; i < 10; i++)
        grow(&d);
    sink(&d, OP_state_set, state, k);
    for (uint32_t v = 1; v < g->count; v++)
        g->node[v].device = op_info[g->node[v].op].has_mil ? (Place)roll(&d, 3) : roll(&d, 2) ? DEV_CPU : DEV_ANY;
    graph_add_out(m, g, y, intern(m->strings, "y"));
    graph_add_out(m, g, c - 1, 0);
    GROW(m->arena, m->entry, m->entries, m->entries_cap);
    m->entry[m->entries++] = (Entry){intern(m->strings, "main"), g->id, {0, 0, 0}};
    m->train_entry = word(&d);
}
