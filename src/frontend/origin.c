/* origin.c: which statement a node stems from.
 *
 * Every node carries the statement that made it, as a path: "xn.r" is statement `r` of the function that statement `xn`
 * calls. Together with the scope it names the values of programs and the buffers of plans. Nothing is counted over
 * more than one statement, so that an edit of one cannot rename the values of another:
 *
 *   `x = ...`        the variable; where it has a value already, the variable and the first label, function or operator
 *                    of the right side, because several statements then share the variable: "x_attention"
 *   `return ...`     in the library, no name of its own: its value is what the caller's statement binds. In the model,
 *                    "result": whatever is returned, who reads it reads the same name
 *   f(...)           a function's statements are named below the caller's; below the function's name if that has none
 *   block(...)       a block's below its own name, whatever the result is called: its parameters make it the only one
 *   ... as label     starts anew: the scope tells the instances apart
 *
 * Nodes also carry the place of the statement in the model's own file, since they themselves may be the library's. */
#include "frontend/elab.h"

#include <string.h>

StrId stmt_join(Elab *e, StrId base, StrId name)
{
    if (!base || !name)
        return base ? base : name;
    Buf b = {0};
    buf_puts(&b, str(e, base));
    buf_putc(&b, '.');
    buf_puts(&b, str(e, name));
    StrId id = intern_n(e->strings, b.data, b.len);
    buf_free(&b);
    return id;
}

/* The first label in the expression, outermost calls first. */
static const Name *first_label(const Expr *x)
{
    const Name *n = NULL;
    switch (x->kind) {
    case EX_CALL:
        n = x->call.label;
        for (const Arg *a = x->call.args; a && !n; a = a->next)
            n = first_label(a->value);
        return n;
    case EX_UNARY:
    case EX_TRANSPOSE:
    case EX_PAREN:
        return first_label(x->un.x);
    case EX_INDEX:
        return first_label(x->index.x);
    case EX_BINARY:
        n = first_label(x->bin.x);
        return n ? n : first_label(x->bin.y);
    case EX_IF:
        n = first_label(x->cond.x);
        return n ? n : first_label(x->cond.y);
    case EX_TUPLE:
    case EX_LIST:
        for (const Expr *i = x->list; i && !n; i = i->next)
            n = first_label(i);
        return n;
    default:
        return NULL;
    }
}

/* The first function that is called. */
static StrId first_call(const Expr *x)
{
    StrId id;
    switch (x->kind) {
    case EX_CALL:
        return x->call.fn.id;
    case EX_UNARY:
    case EX_TRANSPOSE:
    case EX_PAREN:
        return first_call(x->un.x);
    case EX_INDEX:
        return first_call(x->index.x);
    case EX_BINARY:
        id = first_call(x->bin.x);
        return id ? id : first_call(x->bin.y);
    case EX_IF:
        id = first_call(x->cond.x);
        return id ? id : first_call(x->cond.y);
    default:
        return 0;
    }
}

static const char *operator_word(const Expr *x)
{
    static const char *const word[] = {[BIN_ADD] = "add", [BIN_SUB] = "sub", [BIN_MUL] = "mul", [BIN_DIV] = "div",
                                       [BIN_MOD] = "mod", [BIN_MATMUL] = "matmul", [BIN_POW] = "pow"};
    while (x->kind == EX_PAREN)
        x = x->un.x;
    if (x->kind == EX_BINARY)
        return x->bin.op <= BIN_POW ? word[x->bin.op] : "is";
    return x->kind == EX_TRANSPOSE ? "transposed" : x->kind == EX_UNARY ? "neg" : x->kind == EX_INDEX ? "part" : "next";
}

static const char *qualifier(Elab *e, const Expr *x)
{
    const Name *label = first_label(x);
    if (label) {
        while (label->next) /* attn.c_proj */
            label = label->next;
        return str(e, label->id);
    }
    StrId fn = first_call(x);
    const char *word = fn ? str(e, fn) : operator_word(x);
    return op_by_name(word) == OP_COUNT ? word
                                        : arena_printf(e->a, "by_%s", word); /* "q_mul" is a product inside `q` */
}

Origin origin_enter(Elab *e, StrId name, const Expr *value, Span at)
{
    Origin old = {e->like.stmt, e->like.from};
    StrId base = e->frame ? e->frame->base : 0;
    if (name && value && find_var(e, name))
        name = intern(e->strings, arena_printf(e->a, "%s_%s", str(e, name), qualifier(e, value)));
    e->like.stmt = stmt_join(e, base, name);
    if (!is_library(e, at))
        e->like.from = at;
    return old;
}

void origin_leave(Elab *e, Origin old)
{
    e->like.stmt = old.stmt;
    e->like.from = old.from;
}

void origin_result(Elab *e, Value v, uint32_t first, Span at)
{
    if (v.kind != V_TENSOR || v.t.home != e->b || v.t.id < first || !e->frame->caller || is_library(e, at))
        return;
    Node *n = &e->b->g->node[v.t.id];
    if (n->name)
        return;
    n->name = intern(e->strings, "result");
    n->scope = e->like.scope;
    n->stmt = stmt_join(e, e->like.stmt, n->name);
}

StrId origin_of_call(Elab *e, const Expr *call, const Symbol *s)
{
    if (call->call.label)
        return 0;
    if (s->kind == SYM_BLOCK)
        return stmt_join(e, e->frame ? e->frame->base : 0, s->name);
    return e->like.stmt ? e->like.stmt : s->name;
}
