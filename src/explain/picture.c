/* picture.c: see picture.h. */
#include "explain/picture.h"

#include "base/html.h"
#include "explain/layout.h"

#include <inttypes.h>
#include <string.h>

enum { LETTER = 6, LINE = 13, PAD = 6 }; /* of a text of 10 pixels, roughly: browsers bring their own fonts */

typedef struct {
    const char *name, *text; /* two lines; what the pointer shows is both in full */
    const char *fill;
    const char *tip;
} Label;

typedef struct {
    Arena   *a;
    Box     *box;
    Label   *label;
    uint32_t boxes, boxes_cap, labels_cap;
    Edge    *edge;
    uint32_t edges, edges_cap;
} Picture;

static uint32_t add_box(Picture *p, Label l)
{
    size_t n = strlen(l.name), k = strlen(l.text);
    GROW(p->a, p->box, p->boxes, p->boxes_cap);
    uint32_t at = p->boxes;
    GROW(p->a, p->label, at, p->labels_cap);
    p->label[at] = l;
    p->box[p->boxes++] = (Box){.width = (int32_t)((n > k ? n : k) * LETTER) + 2 * PAD, .height = 2 * LINE + PAD};
    return at;
}

static void add_edge(Picture *p, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < p->edges; i++)
        if (p->edge[i].from == from && p->edge[i].to == to)
            return;
    GROW(p->a, p->edge, p->edges, p->edges_cap);
    p->edge[p->edges++] = (Edge){.from = from, .to = to};
}

static void draw(Picture *p, Buf *out)
{
    int32_t width, height;
    layout(p->a, p->box, p->boxes, p->edge, p->edges, &width, &height);
    buf_printf(out, "<svg viewBox=\"-4 -4 %d %d\" width=\"%d\" height=\"%d\">\n", width + 8,
               height + 8, width + 8, height + 8);
    for (uint32_t i = 0; i < p->edges; i++) {
        const Edge *e = &p->edge[i];
        buf_printf(out, "<path class=\"e\" d=\"M%d %d", e->x[0], e->y[0]);
        for (uint32_t k = 1; k < e->points; k++) {
            int32_t half = (e->y[k] - e->y[k - 1]) / 2;
            buf_printf(out, "C%d %d %d %d %d %d", e->x[k - 1], e->y[k - 1] + half, e->x[k], e->y[k] - half, e->x[k], e->y[k]);
        }
        buf_puts(out, "\"/>\n");
    }
    for (uint32_t i = 0; i < p->boxes; i++) {
        const Box   *b = &p->box[i];
        const Label *l = &p->label[i];
        buf_printf(out, "<g><title>");
        html_text(out, l->tip);
        buf_printf(out, "</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"3\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">", b->x, b->y,
                   b->width, b->height, l->fill, b->x + b->width / 2, b->y + LINE);
        html_text(out, l->name);
        buf_printf(out, "</text><text class=\"s\" x=\"%d\" y=\"%d\">", b->x + b->width / 2, b->y + 2 * LINE);
        html_text(out, l->text);
        buf_puts(out, "</text></g>\n");
    }
    buf_puts(out, "</svg>\n");
}

/* ---- programs ---- */

static const char *shape_text(Arena *a, const AstType *t)
{
    Buf b = {0};
    for (uint32_t i = 0; i < t->type.rank; i++)
        buf_printf(&b, "%s%" PRId64, i ? "x" : "", t->type.dim[i]);
    const char *s = arena_strndup(a, b.data ? b.data : "", b.len);
    buf_free(&b);
    return s;
}

static const char *colour_of(const char *op)
{
    static const struct {
        const char *op, *fill;
    } colour[] = {{"conv", "#bcd7f5"}, {"matmul", "#c9e4c5"}, {"softmax", "#f3d1dc"}, {"concat", "#eeeeee"},
                  {"slice_by_size", "#eeeeee"}, {"reshape", "#eeeeee"}, {"transpose", "#eeeeee"}};
    for (size_t i = 0; i < COUNT(colour); i++)
        if (strcmp(op, colour[i].op) == 0)
            return colour[i].fill;
    return "#fbf3d5";
}

/* Names of a function and the boxes that make them. */
typedef struct {
    StrId   *name;
    uint32_t *box, names, cap, box_cap;
} Makers;

static void makes(Arena *a, Makers *m, StrId name, uint32_t box)
{
    GROW(a, m->name, m->names, m->cap);
    uint32_t at = m->names;
    GROW(a, m->box, at, m->box_cap);
    m->name[at] = name;
    m->box[at] = box;
    m->names++;
}

static void tie_reads(Picture *p, const Makers *m, const AstValue *v, uint32_t reader)
{
    if (v->kind == AST_NAME)
        for (uint32_t i = m->names; i-- > 0;)
            if (m->name[i] == v->u.name) {
                if (m->box[i] != reader)
                    add_edge(p, m->box[i], reader);
                return;
            }
    if (v->kind == AST_TUPLE || v->kind == AST_LIST)
        for (const AstValue *x = v->u.list.first; x; x = x->next)
            tie_reads(p, m, x, reader);
}

static void add_function(Picture *p, const AstFunc *f, const Interner *names)
{
    Makers made = {0};
    for (const AstParam *in = f->params.first; in; in = in->next) {
        const char *name = interned(names, in->name), *shape = shape_text(p->a, in->type);
        makes(p->a, &made, in->name, add_box(p, (Label){name, shape, "#ffffff", arena_printf(p->a, "input %s, %s", name, shape)}));
    }
    for (const AstStmt *s = f->body.first; s; s = s->next) {
        const char *op = interned(names, s->op);
        if (strcmp(op, "const") == 0 || !s->results.first)
            continue;
        const AstParam *r = s->results.first;
        const char     *name = interned(names, r->name), *shape = shape_text(p->a, r->type);
        uint32_t        box = add_box(p, (Label){name, arena_printf(p->a, "%s %s", op, shape), colour_of(op),
                                          arena_printf(p->a, "%s = %s, %s", name, op, shape)});
        for (const AstArg *arg = s->args.first; arg; arg = arg->next)
            tie_reads(p, &made, arg->value, box);
        for (; r; r = r->next)
            makes(p->a, &made, r->name, box);
    }
}

void picture_of_program(Arena *a, const AstProgram *program, const Interner *names, Buf *out)
{
    Picture p = {.a = a};
    for (const AstFunc *f = program->first; f; f = f->next)
        add_function(&p, f, names);
    draw(&p, out);
}

/* ---- entries ---- */

typedef struct {
    Picture     p;
    const Plan *plan;
    uint32_t   *writer; /* [plan->buffers] 1 + the box that wrote it last */
    uint32_t    cpu;    /* 1 + the CPU's box that is being filled */
    uint32_t    steps;  /* in it */
    const char *first;  /* operations in it */
    int32_t     turns;  /* of the enclosing loop, 0 outside */
    bool        update; /* steps that run once per update */
    const char *tip;
} EntryPicture;

static void reads(EntryPicture *e, const Ref *r, uint32_t n, uint32_t box)
{
    for (uint32_t i = 0; i < n; i++)
        if (r[i].kind == REF_BUFFER && e->writer[r[i].index] && e->writer[r[i].index] - 1 != box)
            add_edge(&e->p, e->writer[r[i].index] - 1, box);
}

static void writes(EntryPicture *e, const Ref *r, uint32_t n, uint32_t box)
{
    for (uint32_t i = 0; i < n; i++)
        if (r[i].kind == REF_BUFFER)
            e->writer[r[i].index] = box + 1;
}

static void end_cpu(EntryPicture *e)
{
    if (!e->cpu)
        return;
    Label *l = &e->p.label[e->cpu - 1];
    Box   *b = &e->p.box[e->cpu - 1];
    l->text = arena_printf(e->p.a, "%" PRIu32 " %s", e->steps, e->steps == 1 ? "step" : "steps");
    l->tip = e->tip;
    size_t n = strlen(l->name), k = strlen(l->text);
    b->width = (int32_t)((n > k ? n : k) * LETTER) + 2 * PAD;
    e->cpu = 0;
}

static const char *turns_text(const EntryPicture *e)
{
    const char *when = e->update ? " per update" : "";
    return e->turns ? arena_printf(e->p.a, "%s, %" PRId32 " times", when, e->turns) : when;
}

static void add_steps(EntryPicture *e, const Step *s, uint32_t n);

static void add_step_box(EntryPicture *e, const Step *s)
{
    uint32_t box;
    if (s->kind == STEP_RUN) {
        end_cpu(e);
        const PlanProgram *g = &e->plan->program[s->program];
        int64_t            in = 0, out = 0;
        for (uint32_t i = 0; i < g->ins; i++)
            in += g->in[i].shape.dim[1];
        for (uint32_t i = 0; i < g->outs; i++)
            out += g->out[i].shape.dim[1];
        const char *text = arena_printf(e->p.a, "%" PRId64 " -> %" PRId64 " channels", in, out);
        box = add_box(&e->p, (Label){arena_printf(e->p.a, "%s%s", g->name, turns_text(e)), text, "#bcd7f5", text});
    } else {
        const char *op = s->kind == STEP_MOVE ? "move" : s->op;
        if (!e->cpu) {
            e->cpu = add_box(&e->p, (Label){arena_printf(e->p.a, "CPU%s", turns_text(e)), "", "#f6e3a1", ""}) + 1;
            e->steps = 0;
            e->tip = "";
        }
        e->steps++;
        e->tip = strlen(e->tip) > 400 ? e->tip : arena_printf(e->p.a, "%s%s%s", e->tip, *e->tip ? ", " : "", op);
        box = e->cpu - 1;
    }
    reads(e, s->in, s->ins, box);
    writes(e, s->out, s->outs, box);
}

static void add_steps(EntryPicture *e, const Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (s[i].kind != STEP_LOOP) {
            add_step_box(e, &s[i]);
            continue;
        }
        end_cpu(e);
        e->turns = s[i].n;
        add_steps(e, s[i].body, s[i].bodies);
        end_cpu(e);
        e->turns = 0;
    }
}

void picture_of_entry(Arena *a, const Plan *plan, const PlanEntry *entry, Buf *out)
{
    EntryPicture e = {.p = {.a = a}, .plan = plan, .writer = NEW_N(a, uint32_t, plan->buffers + 1u)};
    add_steps(&e, entry->forward, entry->forwards);
    end_cpu(&e);
    add_steps(&e, entry->backward, entry->backwards);
    end_cpu(&e);
    e.update = true;
    add_steps(&e, entry->update, entry->updates);
    end_cpu(&e);
    draw(&e.p, out);
}
