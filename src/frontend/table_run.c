/* table_run.c: running the element expression of a table.
 *
 * Types are settled, so a value is a bare number. The first node without a value (a division that is not exact, an
 * infinity) is remembered and the rest of the element does not matter. */
#include "frontend/table.h"

#include <math.h>

static Num bad(TRun *r, const TNode *n, const char *why)
{
    if (!r->bad) {
        r->bad = n;
        r->why = why;
    }
    return (Num){.i = 0};
}

static Num run_int(TRun *r, const TNode *n, int64_t a, int64_t b)
{
    Num y = {.i = 0};
    bool over = false;
    switch (n->op) {
    case T_ADD:
        over = __builtin_add_overflow(a, b, &y.i);
        break;
    case T_SUB:
        over = __builtin_sub_overflow(a, b, &y.i);
        break;
    case T_MUL:
        over = __builtin_mul_overflow(a, b, &y.i);
        break;
    case T_POW:
        over = !int_power(a, b, &y.i);
        break;
    case T_DIV:
        return int_div_exact(a, b, &y.i) ? y : bad(r, n, b ? "is not exact" : "divides by zero");
    case T_MOD:
    case T_FLOOR_DIV:
    case T_CEIL_DIV:
        if (b == 0 || (a == INT64_MIN && b == -1))
            return bad(r, n, "divides by zero");
        y.i = int_floor_div(a, b);
        if (n->op == T_MOD)
            y.i = a - y.i * b;
        else if (n->op == T_CEIL_DIV)
            y.i += a % b != 0;
        break;
    case T_MIN:
        y.i = a < b ? a : b;
        break;
    case T_MAX:
        y.i = a > b ? a : b;
        break;
    default:
        break;
    }
    return over ? bad(r, n, "does not fit into 64 bits") : y;
}

static Num run_float(TRun *r, const TNode *n, double a, double b)
{
    Num y = {.f = 0};
    switch (n->op) {
    case T_ADD:
        y.f = a + b;
        break;
    case T_SUB:
        y.f = a - b;
        break;
    case T_MUL:
        y.f = a * b;
        break;
    case T_DIV:
        y.f = a / b;
        break;
    case T_POW:
        y.f = pow(a, b);
        break;
    case T_MIN:
        y.f = a < b ? a : b;
        break;
    case T_MAX:
        y.f = a > b ? a : b;
        break;
    default:
        break;
    }
    return isfinite(y.f) ? y : bad(r, n, "is not a finite number");
}

static bool run_compare(TOp op, double a, double b, int64_t i, int64_t j, bool ints)
{
    switch (op) {
    case T_EQ:
        return ints ? i == j : a == b;
    case T_NE:
        return ints ? i != j : a != b;
    case T_LT:
        return ints ? i < j : a < b;
    case T_GT:
        return ints ? i > j : a > b;
    case T_LE:
        return ints ? i <= j : a <= b;
    default:
        return ints ? i >= j : a >= b;
    }
}

static Num run_node(TRun *r, const TNode *n);

/* Half of all nodes are leaves: no call for them. */
static inline Num run(TRun *r, const TNode *n)
{
    return n->op == T_CONST ? n->value : n->op == T_SLOT ? (Num){.i = r->slot[n->slot]} : run_node(r, n);
}

Num table_run(TRun *r, const TNode *n)
{
    return run(r, n);
}

static Num run_node(TRun *r, const TNode *n)
{
    Num a, b;
    const char *why;
    switch (n->op) {
    case T_FLOAT:
        return (Num){.f = (double)run(r, n->a).i};
    case T_NEG:
        a = run(r, n->a);
        return n->kind == V_INT ? (Num){.i = (int64_t)(0 - (uint64_t)a.i)} : (Num){.f = -a.f};
    case T_ABS:
        a = run(r, n->a);
        return n->kind == V_INT ? (Num){.i = a.i < 0 ? (int64_t)(0 - (uint64_t)a.i) : a.i} : (Num){.f = fabs(a.f)};
    case T_NOT:
        return (Num){.b = !run(r, n->a).b};
    case T_AND:
        return (Num){.b = run(r, n->a).b && run(r, n->b).b};
    case T_OR:
        return (Num){.b = run(r, n->a).b || run(r, n->b).b};
    case T_IF:
        return run(r, run(r, n->c).b ? n->a : n->b);
    case T_FN:
        a = run(r, n->a);
        return static_apply(n->fn, a.f, &b.f, &why) ? b : bad(r, n, why);
    case T_ONCE: {
        int64_t i = r->slot[n->slot];
        if (n->known[i])
            return n->once[i];
        n->once[i] = run(r, n->a);
        n->known[i] = !r->bad;
        return n->once[i];
    }
    case T_PICK:
        a = run(r, n->a);
        if (a.i < 0 || a.i >= n->list.seq.n)
            return bad(r, n, "is outside the list");
        return n->kind == V_INT ? (Num){.i = n->list.seq.item[a.i].i}
                                : (Num){.f = static_number(n->list.seq.item[a.i])};
    case T_EQ:
    case T_NE:
    case T_LT:
    case T_GT:
    case T_LE:
    case T_GE:
        a = run(r, n->a);
        b = run(r, n->b);
        return n->a->kind == V_INT ? (Num){.b = run_compare(n->op, 0, 0, a.i, b.i, true)}
                                   : (Num){.b = run_compare(n->op, a.f, b.f, 0, 0, false)};
    default:
        a = run(r, n->a);
        b = run(r, n->b);
        return n->kind == V_INT ? run_int(r, n, a.i, b.i) : run_float(r, n, a.f, b.f);
    }
}

/* ---- once per value of a binder ---- */

/* Bit k: binder k is read. */
static uint32_t reads(const TNode *n)
{
    return !n ? 0 : n->op == T_SLOT ? 1u << n->slot : reads(n->a) | reads(n->b) | reads(n->c);
}

static bool is_dear(const TNode *n)
{
    return n && (n->op == T_POW || n->op == T_FN || is_dear(n->a) || is_dear(n->b) || is_dear(n->c));
}

TNode *table_once(Arena *a, TNode *n, Shape s)
{
    if (!n || s.rank < 2 || n->op == T_ONCE || !is_dear(n))
        return n;
    uint32_t slots = reads(n), k = 0;
    if (!slots || slots & (slots - 1)) {
        n->a = table_once(a, n->a, s);
        n->b = table_once(a, n->b, s);
        n->c = table_once(a, n->c, s);
        return n;
    }
    while (!(slots >> k & 1))
        k++;
    TNode *once = NEW(a, TNode);
    *once = (TNode){.op = T_ONCE, .kind = n->kind, .a = n, .slot = k, .x = n->x};
    once->once = NEW_N(a, Num, (size_t)s.dim[k]);
    once->known = NEW_N(a, bool, (size_t)s.dim[k]);
    return once;
}
