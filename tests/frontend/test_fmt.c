/* test_fmt.c: the one spelling. */
#include "ast_equal.h"
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
    x.ds = diags_new(x.arena, x.sources, "test");
    return x;
}

static File *parse(Fixture *x, const char *text, size_t n)
{
    return parse_file(x->arena, x->strings, x->sources, sources_add(x->sources, "t.anel", text, n), x->ds);
}

/* Format `text`, checking that the tree stays and that formatting again changes nothing. Free the result. */
static Buf format(Fixture *x, const char *text, size_t n)
{
    Buf   out = {0}, again = {0};
    File *f = parse(x, text, n);
    cr_assert(f->ok);
    fmt_file(f, x->strings, x->sources, &out);
    File *g = parse(x, out.data ? out.data : "", out.len);
    cr_assert(g->ok);
    cr_assert(ast_equal(f, g));
    fmt_file(g, x->strings, x->sources, &again);
    cr_assert_eq(out.len, again.len);
    cr_assert(out.len == 0 || memcmp(out.data, again.data, out.len) == 0);
    buf_free(&again);
    return out;
}

static void becomes(const char *text, const char *want)
{
    Fixture x = setup();
    Buf     out = format(&x, text, strlen(text));
    cr_assert_str_eq(out.data ? out.data : "", want);
    buf_free(&out);
    arena_free(x.arena);
}

Test(fmt, the_corpus_keeps_its_meaning)
{
    static const char *const file[] = {"nn.anel",   "layer768.anel", "stories110m.anel",
                                       "gpt2.anel", "qwen3.anel",    "comments.anel"};
    Fixture                  x = setup();
    for (size_t i = 0; i < COUNT(file); i++) {
        char  *data, err[FILE_ERR_MAX];
        size_t len;
        cr_assert(file_read(x.arena, path_join(x.arena, ANEL_CORPUS, file[i]), &data, &len, err), "%s", err);
        Buf out = format(&x, data, len);
        for (const char *line = out.data, *end; (end = strchr(line, '\n')); line = end + 1)
            cr_expect(end - line <= 110 || strstr(line, "//"), "%s: %.*s", file[i], (int)(end - line), line);
        buf_free(&out);
    }
    arena_free(x.arena);
}

Test(fmt, spaces_surround_operators_except_in_brackets)
{
    becomes("const a=-b**2*c'+d@e[1 .. 2*n,: , _ ,-1];", "const a = -b ** 2 * c' + d @ e[1..2*n, :, _, -1];\n");
    becomes("const a=f( x ,n : - 3 , [ 2*k,1 ],)as p . q;", "const a = f(x, n: -3, [2*k, 1]) as p.q;\n");
    becomes("const t=[i*n for i in n*2,j in m];", "const t = [i * n for i in n * 2, j in m];\n");
}

Test(fmt, declarations_in_a_row_align)
{
    becomes("config a=1;\nconst bcd:int=2;\n\nconfig e=3;",
            "config a        = 1;\nconst  bcd: int = 2;\n\nconfig e = 3;\n");
    becomes("model M{#[a]param b:real[2]=ones();#[bc]param cd:real[]=zeros();param e:real[]=x;}",
            "model M {\n  #[a]  param b:  real[2] = ones();\n  #[bc] param cd: real[]  = zeros();\n"
            "  param e: real[] = x;\n}\n");
}

Test(fmt, bodies_are_indented_and_blank_lines_are_single)
{
    becomes("fn f(x:int)->int{if x==1{y=1;}else if x==2{}else{y=2;}\n\n\n\nreturn y;\n\n}",
            "fn f(x: int) -> int {\n  if x == 1 {\n    y = 1;\n  } else if x == 2 {} else {\n    y = 2;\n  }\n\n"
            "  return y;\n}\n");
    becomes("#[a,b(1)]#[c]fn f()->int{}", "#[a, b(1)] #[c]\nfn f() -> int {}\n");
    becomes("\n\n// only\n\n\n", "// only\n");
    becomes("", "");
}

Test(fmt, long_lines_break_inside_parentheses)
{
    becomes("block attention[S, T](x: real[dim, S], c: real[hd/2, S], s: real[hd/2, S], mask: real[S, T], pos: i32[]) "
            "-> real[dim, S] = x;",
            "block attention[S, T](x: real[dim, S], c: real[hd/2, S], s: real[hd/2, S], mask: real[S, T], pos: i32[])\n"
            "    -> real[dim, S] = x;\n");
}
