/* test_lex.c: tokens, their values and the mistakes in them. */
#include "frontend/ast.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct {
    Arena    *arena;
    Interner *strings;
    Diags    *ds;
    Expr     *expr;
} Lexed;

static Lexed lex_n(const char *text, size_t n)
{
    Lexed    x = {.arena = arena_new()};
    Sources *sources = sources_new(x.arena);
    x.strings = interner_new(x.arena);
    x.ds = diags_new(x.arena, sources, "test");
    x.expr = parse_expr(x.arena, x.strings, sources, sources_add(sources, "t", text, n), x.ds);
    return x;
}

static Lexed lex(const char *text)
{
    return lex_n(text, strlen(text));
}

/* The code of the first error in `text`, "" if there is none. */
static bool fails_with(const char *text, const char *code)
{
    Lexed x = lex(text);
    bool  same = strcmp(x.ds->count ? x.ds->item[0]->code : "", code) == 0;
    same &= (x.expr == NULL) == (code[0] != 0);
    if (!same)
        cr_log_error("%s: %s", text, x.ds->count ? x.ds->item[0]->code : "accepted");
    arena_free(x.arena);
    return same;
}

Test(lex, numbers_have_their_values)
{
    static const struct {
        const char *text;
        int64_t     i;
        double      f; /* 0: an integer */
    } c[] = {{"768", 768, 0},      {"32_000", 32000, 0}, {"0", 0, 0},         {"9223372036854775807", INT64_MAX, 0},
             {"0.5", 0, 0.5},      {"1e-5", 0, 1e-5},    {"1_0.2_5e+1", 0, 102.5}, {"1E2", 0, 100}};
    for (size_t k = 0; k < COUNT(c); k++) {
        Lexed x = lex(c[k].text);
        cr_assert(x.expr != NULL, "%s", c[k].text);
        cr_assert_eq(x.expr->kind, c[k].f > 0 ? EX_FLOAT : EX_INT);
        if (c[k].f > 0)
            cr_assert_float_eq(x.expr->f, c[k].f, 0);
        else
            cr_assert_eq(x.expr->i, c[k].i);
        arena_free(x.arena);
    }
}

Test(lex, malformed_numbers_are_told)
{
    static const char *const bad[] = {"1_", "1__0", "08", "0x10", "12ab", "1.", ".5", "1e", "1.5x", "1.e5"};
    for (size_t k = 0; k < COUNT(bad); k++)
        cr_expect(fails_with(bad[k], "E0125"), "%s", bad[k]);
    cr_expect(fails_with("9223372036854775808", "E0126"));
    cr_expect(fails_with("1e999", "E0126"));
}

Test(lex, a_range_is_not_a_float)
{
    Lexed x = lex("x[0..8]");
    cr_assert(x.expr != NULL);
    cr_assert_eq(x.expr->index.ix->kind, IX_RANGE);
    cr_assert_eq(x.expr->index.ix->hi->i, 8);
    arena_free(x.arena);
}

Test(lex, strings_resolve_their_escapes)
{
    Lexed x = lex("\"a\\n\\t\\\"\\\\\xc3\xa9\"");
    cr_assert(x.expr != NULL);
    cr_assert_str_eq(interned(x.strings, x.expr->name.id), "a\n\t\"\\\xc3\xa9");
    arena_free(x.arena);
    x = lex("\"\"");
    cr_assert(x.expr != NULL);
    cr_assert_eq(x.expr->name.id, 0);
    arena_free(x.arena);
    cr_expect(fails_with("\"a\\q\"", "E0124"));
    cr_expect(fails_with("\"a", "E0122"));
    cr_expect(fails_with("\"a\nb\"", "E0122"));
    cr_expect(fails_with("\"a\\", "E0122") || fails_with("\"a\\", "E0128"));
    cr_expect(fails_with("\"\xff\"", "E0128"));
}

Test(lex, names_have_at_most_63_bytes)
{
    char name[70];
    memset(name, 'a', sizeof name);
    name[63] = 0;
    cr_expect(fails_with(name, ""));
    name[63] = 'a';
    name[64] = 0;
    cr_expect(fails_with(name, "E0127"));
}

Test(lex, bytes_that_are_no_text_are_told)
{
    cr_expect(fails_with("a + \x01 b", "E0128"));
    cr_expect(fails_with("a + \xc0 b", "E0128"));
    cr_expect(fails_with("a + \xc3\xa9", "E0120"));
    cr_expect(fails_with("a $ b", "E0120"));
    Lexed x = lex_n("a\0+ b", 5);
    cr_assert(x.expr == NULL);
    cr_assert_str_eq(x.ds->item[0]->code, "E0128");
    arena_free(x.arena);
    cr_expect(fails_with("a // \xff\x01 in a comment\n + b", ""));
}

Test(lex, operators_of_other_languages_are_read_as_ours)
{
    static const char *const bad[] = {"a && b", "a || b", "!a", "a ^ b", "a === b", "a <> b"};
    for (size_t k = 0; k < COUNT(bad); k++) {
        Lexed x = lex(bad[k]);
        cr_assert_eq(x.ds->errors, 1, "%s", bad[k]); /* told once, no echo */
        cr_assert_str_eq(x.ds->item[0]->code, "E0121");
        arena_free(x.arena);
    }
}

Test(lex, comments_are_kept_beside_the_tree)
{
    cr_expect(fails_with("a /* x */ + // y\n b", ""));
    cr_expect(fails_with("a /***/ + b", ""));
    cr_expect(fails_with("a /* x", "E0123"));
}
