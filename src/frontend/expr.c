/* expr.c: expressions: static ones are computed, tensor ones appended to the graph. */
#include "frontend/elab.h"

static Value eval_logic(Elab *e, const Expr *x)
{
    bool a;
    Value v = eval(e, x->bin.x);
    if (is_poison(v))
        return v;
    if (v.kind != V_BOOL) {
        Value w = eval(e, x->bin.y);
        if (is_poison(w))
            return w;
        return is_tensor(v) || is_tensor(w) ? tensor_binary(e, x, v, w) : static_binary(e, x, v, w);
    }
    a = v.b;
    if (a == (x->bin.op == BIN_OR))
        return v; /* decided: the other side may even be meaningless */
    bool b;
    return want_bool(e, x->bin.y, &b, x->bin.op == BIN_OR ? "the right side of 'or'" : "the right side of 'and'")
               ? v_bool(b)
               : v_poison;
}

static Value eval_binary(Elab *e, const Expr *x)
{
    if (x->bin.op == BIN_AND || x->bin.op == BIN_OR)
        return eval_logic(e, x);
    Value a = eval(e, x->bin.x), b = eval(e, x->bin.y);
    if (is_poison(a) || is_poison(b))
        return v_poison;
    if (a.kind == V_TUPLE || b.kind == V_TUPLE || (!is_tensor(a) && !is_tensor(b)))
        return static_binary(e, x, a, b);
    if (!e->b) {
        elab_error(e, "E0305", x->at, "tensors have no value at compile time");
        return v_poison;
    }
    return tensor_binary(e, x, a, b);
}

static Value eval_unary(Elab *e, const Expr *x)
{
    Value v = eval(e, x->un.x);
    if (is_poison(v))
        return v;
    if (is_tensor(v) && x->un.op == UN_NEG) {
        if (e->b)
            return tensor_negate(e, v, x->at);
        elab_error(e, "E0305", x->at, "tensors have no value at compile time");
        return v_poison;
    }
    return static_unary(e, x, v);
}

static Value eval_list(Elab *e, const Expr *x)
{
    uint32_t n = 0;
    bool ok = true;
    for (const Expr *k = x->list; k; k = k->next)
        n++;
    Value v = {.kind = x->kind == EX_LIST ? V_LIST : V_TUPLE, .seq = {NEW_N(e->a, Value, n), n}};
    n = 0;
    for (const Expr *k = x->list; k; k = k->next, n++) {
        Value item = eval(e, k);
        v.seq.item[n] = item;
        if (!is_poison(item) && x->kind == EX_LIST && !(item.kind >= V_INT && item.kind <= V_STR)) {
            Diag *d = elab_error(e, "E0306", k->at, "lists hold static values, and this is %s", kind_text(e, item));
            if (is_tensor(item))
                diag_help(d, "concat(a, b, axis: k) joins tensors");
            item = v_poison;
        }
        ok &= !is_poison(item);
    }
    return ok ? v : v_poison;
}

static Value eval_if(Elab *e, const Expr *x)
{
    bool c;
    if (!want_bool(e, x->cond.c, &c, "the condition"))
        return v_poison;
    return eval(e, c ? x->cond.x : x->cond.y);
}

static Value eval_kind(Elab *e, const Expr *x)
{
    Value v;
    switch (x->kind) {
    case EX_INT:
        return v_int(x->i);
    case EX_FLOAT:
        return v_float(x->f);
    case EX_BOOL:
        return v_bool(x->b);
    case EX_STRING:
        return (Value){.kind = V_STR, .s = x->name.id};
    case EX_NAME:
        return eval_name(e, x);
    case EX_CALL:
        return eval_call(e, x);
    case EX_UNARY:
        return eval_unary(e, x);
    case EX_BINARY:
        return eval_binary(e, x);
    case EX_TRANSPOSE:
        v = eval(e, x->un.x);
        if (e->b || is_poison(v))
            return transpose_last(e, x, v);
        elab_error(e, "E0305", x->at, "tensors have no value at compile time");
        return v_poison;
    case EX_INDEX:
        return eval_index(e, x);
    case EX_TUPLE:
    case EX_LIST:
        return eval_list(e, x);
    case EX_TABLE:
        return eval_table(e, x);
    case EX_IF:
        return eval_if(e, x);
    case EX_PAREN:
        return eval(e, x->un.x);
    case EX_POISON:
        break;
    }
    return v_poison;
}

Value eval(Elab *e, const Expr *x)
{
    if (e->expr_depth >= MAX_EXPR_DEPTH) {
        elab_error(e, "E0308", x->at, "expressions nested more than %d deep", MAX_EXPR_DEPTH);
        return v_poison;
    }
    e->expr_depth++;
    Value v = eval_kind(e, x);
    e->expr_depth--;
    return v;
}
