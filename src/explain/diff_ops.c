/* diff_ops.c: the operations of two plans' programs: what came, what went, what moved.
 *
 * A value of MIL text is named after the source, so an operation is known by its name and kind. One that left
 * one program and stands in another has moved; the rest is counted by kind. */
#include "explain/plan_diff.h"

#include "base/file.h"
#include "mil/mil_ast.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *program, *name, *op, *key; /* key: name, kind */
    bool        matched;
} Op;

typedef struct {
    Op      *op;
    uint32_t ops, cap;
    bool     unreadable;
} Ops;

/* Taking values out of a packed input, and packing the output: they follow the ports, which are compared as such. */
static bool is_packing(const AstFunc *f, const AstStmt *s, const char *op)
{
    if (strncmp(op, "slice_by_", 9) != 0 && strcmp(op, "split") != 0 && strcmp(op, "concat") != 0 && strcmp(op, "reshape") != 0)
        return false; /* a program may work on its whole input */
    for (const AstArg *a = s->args.first; a; a = a->next)
        for (const AstParam *p = f->params.first; p; p = p->next)
            if (a->value->kind == AST_NAME && a->value->u.name == p->name)
                return true;
    for (const AstValue *r = f->returns.first; r; r = r->next)
        if (s->results.first && r->u.name == s->results.first->name)
            return true;
    return false;
}

static void add_program(Arena *a, const DiffSide *side, const PlanProgram *g, Ops *ops, Buf *out)
{
    char        err[FILE_ERR_MAX], *text;
    size_t      len;
    const char *path = path_join(a, side->dir, arena_printf(a, "mil/%s.mil", g->mil));
    if (!file_read(a, path, &text, &len, err)) {
        buf_printf(out, "operations\n  %s: %s\n", side->name, err);
        ops->unreadable = true;
        return;
    }
    Sources    *sources = sources_new(a);
    Diags      *ds = diags_new(a, sources, "anec diff");
    Interner   *names = interner_new(a);
    AstProgram *p = mil_parse(a, names, ds, sources_add(sources, path, text, len));
    if (!p || ds->errors) {
        buf_printf(out, "operations\n  %s: %s is no MIL text (anec lint says why)\n", side->name, path);
        ops->unreadable = true;
        return;
    }
    for (const AstFunc *f = p->first; f; f = f->next)
        for (const AstStmt *s = f->body.first; s; s = s->next) {
            const AstParam *r = s->results.first;
            const char     *op = interned(names, s->op), *name = r ? interned(names, r->name) : "";
            if (strcmp(op, "const") == 0 || is_packing(f, s, op))
                continue;
            GROW(a, ops->op, ops->ops, ops->cap);
            ops->op[ops->ops++] = (Op){g->name, name, op, arena_printf(a, "%s %s", name, op), false};
        }
}

static Ops ops_of(Arena *a, const DiffSide *side, Buf *out)
{
    Ops ops = {0};
    for (uint32_t i = 0; i < side->plan->programs && !ops.unreadable; i++)
        add_program(a, side, &side->plan->program[i], &ops, out);
    return ops;
}

static int by_key(const void *x, const void *y)
{
    const Op *a = x, *b = y;
    int       c = strcmp(a->key, b->key);
    return c ? c : strcmp(a->program, b->program);
}

/* Match equal operations of equal programs, then equal operations of different ones: those moved. Both lists are sorted. */
static bool match(Ops *x, Ops *y, Buf *out)
{
    bool heading = false;
    for (int elsewhere = 0; elsewhere < 2; elsewhere++)
        for (uint32_t i = 0, j = 0; i < x->ops; i++) {
            while (j < y->ops && strcmp(y->op[j].key, x->op[i].key) < 0)
                j++;
            for (uint32_t k = j; !x->op[i].matched && k < y->ops && strcmp(y->op[k].key, x->op[i].key) == 0; k++) {
                if (y->op[k].matched || (!elsewhere && strcmp(y->op[k].program, x->op[i].program) != 0))
                    continue;
                x->op[i].matched = y->op[k].matched = true;
                if (!elsewhere)
                    continue;
                if (!heading)
                    buf_puts(out, "operations in another program\n");
                heading = true;
                buf_printf(out, "  %s (%s): %s -> %s\n", x->op[i].name, x->op[i].op, x->op[i].program, y->op[k].program);
            }
        }
    return heading;
}

static int by_op(const void *x, const void *y)
{
    const Op *a = x, *b = y;
    int       c = strcmp(a->program, b->program);
    return c ? c : strcmp(a->op, b->op);
}

/* What is left, as "layers_fwd: -2 mul, -1 reshape". */
static bool count_rest(Ops *x, char sign, Buf *out, const char *heading)
{
    bool        any = false;
    const char *program = NULL;
    qsort(x->op, x->ops, sizeof *x->op, by_op);
    for (uint32_t i = 0; i < x->ops;) {
        uint32_t k = i, n = 0;
        for (; k < x->ops && by_op(&x->op[i], &x->op[k]) == 0; k++)
            n += !x->op[k].matched;
        if (n) {
            if (!any)
                buf_printf(out, "%s\n", heading);
            bool same = program && strcmp(program, x->op[i].program) == 0;
            if (!same)
                buf_printf(out, "%s  %s:", any ? "\n" : "", x->op[i].program);
            buf_printf(out, "%s %c%" PRIu32 " %s", same ? "," : "", sign, n, x->op[i].op);
            program = x->op[i].program;
            any = true;
        }
        i = k;
    }
    if (any)
        buf_putc(out, '\n');
    return any;
}

bool plan_diff_ops(Arena *a, const DiffSide *old, const DiffSide *new, Buf *out)
{
    Ops x = ops_of(a, old, out), y = ops_of(a, new, out);
    if (x.unreadable || y.unreadable)
        return true;
    if (x.ops)
        qsort(x.op, x.ops, sizeof *x.op, by_key);
    if (y.ops)
        qsort(y.op, y.ops, sizeof *y.op, by_key);
    bool any = match(&x, &y, out);
    any |= x.ops && count_rest(&x, '-', out, "operations gone");
    any |= y.ops && count_rest(&y, '+', out, "operations new");
    return any;
}
