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
        char  *data, err[FILE_ERR_MAX], *path = path_join(x.arena, getenv("ANEL_CORPUS"), file[i]);
        size_t len;
        cr_assert(file_read(x.arena, path, &data, &len, err), "%s", err);
        File *f = parse_file(x.arena, x.strings, x.sources, sources_add(x.sources, file[i], data, len), x.ds);
        show(&x);
        cr_assert(f->ok);
        cr_assert(f->items != NULL);
    }
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
