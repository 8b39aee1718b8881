/* test_parse.c: what the parser builds. */
#include "frontend/ast.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Arena    *arena;
    Sources  *sources;
    Interner *strings;
    Diags    *ds;
} Fixture;

static Fixture setup(void)
{
    Fixture x = {.arena = arena_new()};
    x.sources = sources_new(x.arena);
    x.strings = interner_new(x.arena);
    x.ds = diags_new(x.arena, x.sources, "anec");
    return x;
}

static File *parse(Fixture *x, const char *text)
{
    return parse_file(x->arena, x->strings, x->sources, sources_add(x->sources, "t.anel", text, strlen(text)), x->ds);
}

static void show(Fixture *x)
{
    Buf b = {0};
    diags_render(x->ds, &b);
    if (b.len)
        cr_log_error("%s", b.data);
    buf_free(&b);
}

Test(parse, the_library_and_the_models_parse)
{
    static const char *const file[] = {"nn.anel", "layer768.anel", "stories110m.anel", "gpt2.anel", "qwen3.anel"};
    Fixture                  x = setup();
    for (size_t i = 0; i < COUNT(file); i++) {
        char  *data, err[FILE_ERR_MAX], *path = path_join(x.arena, ANEL_CORPUS, file[i]);
        size_t len;
        cr_assert(file_read(x.arena, path, &data, &len, err), "%s", err);
        File *f = parse_file(x.arena, x.strings, x.sources, sources_add(x.sources, file[i], data, len), x.ds);
        show(&x);
        cr_assert(f->ok);
        cr_assert(f->items != NULL);
    }
    arena_free(x.arena);
}

/* The codes told about `text`, in order, joined by spaces. */
static void told(const char *text, const char *codes)
{
    Fixture x = setup();
    Buf     b = {0};
    File   *f = parse(&x, text);
    for (uint32_t i = 0; i < x.ds->count; i++)
        buf_printf(&b, "%s%s", i ? " " : "", x.ds->item[i]->code);
    cr_expect_str_eq(b.data ? b.data : "", codes, "%s", text);
    cr_expect_eq(f->ok, codes[0] == 0);
    buf_free(&b);
    arena_free(x.arena);
}

Test(parse, one_mistake_gives_one_message)
{
    told("const a = 1\nconst b = 2;", "E0101");
    told("fn f(x: int) -> int { return x }", "E0101");
    told("const a = f(1, [2, 3;\nconst b = 2;", "E0102");
    told("fn f(x: int) -> int {\n  y = g(x,\n        3\n  z = y;\n  return z;\n}", "E0102");
    told("model M {\n  fn f(x: int) -> int {\n    return x;\n  fn g(x: int) -> int = x;\n}", "E0102");
    told("fn f(x: int) -> int {\n  if x == 1 {\n    x = 2;\n  return x;\n}\nconst a = 1;", "E0102");
    told("fn f(x: int) -> int {\n  if x == 1 x = 2;\n  else x = 3;\n  return x;\n}", "E0110 E0110");
    told("const a = f(b=1, c=2);", "E0103 E0103");
    told("fn f(x: int) -> int { repeat i in 0..3 as l { x = x; } return x; }", "E0108");
    told("const a = \"abc;\nconst b = 1;", "E0122");
    told("model M { entry e() -> real[] = 1; train e { accum = 3 } }", "E0101");
    told("model M (x) { entry e() -> real[] = 1; train e { accum = 3; } }", "E0110");
    told("fn f(x: ) -> int { return x; } fn g(x: int) -> int = x", "E0111 E0101");
    told("}", "E0102");
    told("fn", "E0104");
    told("fn f(", "E0102");
    told("#[", "E0102");
    told("", "");
}

Test(parse, errors_come_in_the_order_of_the_text)
{
    Fixture x = setup();
    parse(&x, "const a = ;\nconst b = 08;\nconst c = 1\nconst d = ;\nconst e = 0x1;\n");
    cr_assert_eq(x.ds->count, 5);
    for (uint32_t i = 1; i < x.ds->count; i++)
        cr_assert(x.ds->item[i - 1]->at.begin <= x.ds->item[i]->at.begin);
    arena_free(x.arena);
}

Test(parse, deep_nesting_is_told)
{
    static const struct {
        const char *open, *close;
        int         n;
    } c[] = {{"(", ")", 5000},     {"-", "", 30000},         {"not ", "", 3000},
             {"a + ", "", 100000}, {"a ** ", "", 30000},     {"if a then b else ", "", 30000},
             {"f(", ")", 199},     {"x[", "]", 300},         {"a' @ ", "", 900}};
    for (size_t k = 0; k < COUNT(c); k++) {
        Fixture x = setup();
        Buf     b = {0};
        buf_puts(&b, "const a = ");
        for (int i = 0; i < c[k].n; i++)
            buf_puts(&b, c[k].open);
        buf_puts(&b, "1");
        for (int i = 0; i < c[k].n; i++)
            buf_puts(&b, c[k].close);
        buf_puts(&b, ";");
        File *f = parse(&x, b.data);
        cr_expect_eq(f->ok, c[k].n < 1000 && c[k].n != 300, "%s", c[k].open);
        if (!f->ok) {
            cr_assert_eq(x.ds->count, 1);
            cr_expect_str_eq(x.ds->item[0]->code, "E0116");
        }
        buf_free(&b);
        arena_free(x.arena);
    }
    Fixture x = setup();
    Buf     b = {0};
    buf_puts(&b, "fn f(x: int) -> int { if x == 0 {} ");
    for (int i = 0; i < 50000; i++)
        buf_puts(&b, "else if x == 1 {} ");
    buf_puts(&b, "return x; }");
    cr_expect(!parse(&x, b.data)->ok);
    cr_expect_eq(x.ds->count, 1);
    buf_free(&b);
    arena_free(x.arena);
}

Test(parse, an_expression_stands_alone)
{
    Fixture x = setup();
    const char *good = "2 * [1, 2]", *bad = "2 * ";
    Expr       *e = parse_expr(x.arena, x.strings, x.sources, sources_add(x.sources, "-D a", good, strlen(good)), x.ds);
    cr_assert(e != NULL);
    cr_assert_eq(e->bin.op, BIN_MUL);
    e = parse_expr(x.arena, x.strings, x.sources, sources_add(x.sources, "-D a", bad, strlen(bad)), x.ds);
    cr_assert(e == NULL);
    cr_assert_str_eq(x.ds->item[0]->text, "expected an expression after '*', found the end");
    arena_free(x.arena);
}

Test(parse, statements_and_items_keep_what_was_written)
{
    Fixture x = setup();
    File   *f = parse(&x, "model M {\n  #[a, b(1)] #[c] entry e(x: tok[4], n: int = 3) -> (real[], f16[..B, 2]) {\n"
                          "    (p, q) = f(x, k: 1) as u.v;\n    s <- p;\n    repeat l.m[i in 0..n] {}\n"
                          "    if n == 1 {} else if n == 2 {} else { return q; }\n  }\n}\n// end");
    show(&x);
    cr_assert(f->ok);
    const Item *e = f->items->model.members;
    cr_assert_eq(e->kind, IT_ENTRY);
    cr_assert(e->attrs->starts_group && !e->attrs->next->starts_group && e->attrs->next->next->starts_group);
    cr_assert(e->attrs->next->parens && !e->attrs->parens);
    cr_assert_eq(e->fn->params->next->init->i, 3);
    cr_assert_eq(e->fn->result->name.id, 0);
    cr_assert(e->fn->result->parts->shaped && e->fn->result->parts->dims == NULL);
    cr_assert(e->fn->result->parts->next->dims->extent == NULL);
    const Stmt *s = e->fn->body;
    cr_assert(s->bind.tuple);
    cr_assert_str_eq(interned(x.strings, s->bind.names->next->id), "q");
    cr_assert_str_eq(interned(x.strings, s->bind.value->call.label->next->id), "v");
    cr_assert_str_eq(interned(x.strings, s->bind.value->call.args->next->name), "k");
    s = s->next;
    cr_assert_eq(s->kind, ST_UPDATE);
    s = s->next;
    cr_assert_eq(s->kind, ST_REPEAT);
    cr_assert_str_eq(interned(x.strings, s->repeat.index.id), "i");
    s = s->next;
    cr_assert_eq(s->kind, ST_IF);
    cr_assert(s->cond.has_else);
    cr_assert_eq(s->cond.other->kind, ST_IF);
    cr_assert_eq(s->cond.other->cond.other->kind, ST_RETURN);
    cr_assert(f->comments != NULL);
    arena_free(x.arena);
}

Test(parse, operators_bind_as_in_the_reference)
{
    Fixture x = setup();
    File   *f = parse(&x, "const a = -b ** 2 * c' + d @ e[1..2, :, _];");
    show(&x);
    cr_assert(f->ok);
    const Expr *e = f->items->decl.init;
    cr_assert_eq(e->kind, EX_BINARY);
    cr_assert_eq(e->bin.op, BIN_ADD);
    cr_assert_eq(e->bin.x->bin.op, BIN_MUL);
    cr_assert_eq(e->bin.x->bin.x->kind, EX_UNARY);
    cr_assert_eq(e->bin.x->bin.y->kind, EX_TRANSPOSE);
    cr_assert_eq(e->bin.y->bin.op, BIN_MATMUL);
    const Index *ix = e->bin.y->bin.y->index.ix;
    cr_assert_eq(ix->kind, IX_RANGE);
    cr_assert_eq(ix->next->kind, IX_ALL);
    cr_assert_eq(ix->next->next->kind, IX_NEW);
    arena_free(x.arena);
}
