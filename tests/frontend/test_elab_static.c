/* test_elab_static.c: what is computed at compile time: arithmetic, names, configs, tables, asserts. */
#include "elab_rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* The value of a static expression, by way of an entry. */
static double value(const char *decls, const char *expr)
{
    char text[2048];
    snprintf(text, sizeof text, "%s\nmodel M { entry e() -> real[] = %s; }\n", decls, expr);
    Elabed t = elab_ok(text);
    double v = *elab_value(&t, "e");
    elab_free(&t);
    return v;
}

static void bad(const char *decls, const char *expr, const char *codes, const char *part)
{
    char text[2048];
    snprintf(text, sizeof text, "%s\nmodel M { entry e() -> real[] = %s; }\n", decls, expr);
    elab_bad(text, codes, part);
}

Test(elab_static, arithmetic_of_ints_is_exact)
{
    cr_assert_eq(value("", "7 + 2 * 3"), 13);
    cr_assert_eq(value("", "768 / 12"), 64);
    cr_assert_eq(value("", "div(7, 2) + div(-7, 2)"), 3 - 4);
    cr_assert_eq(value("", "ceil_div(7, 2) + ceil_div(-7, 2)"), 4 - 3);
    cr_assert_eq(value("", "7 % 4 + -1 % 4"), 3 + 3);
    cr_assert_eq(value("", "2 ** 10"), 1024);
    cr_assert_eq(value("", "2 ** -1"), 0.5);
    cr_assert_eq(value("", "-2 ** 2"), -4);
    cr_assert_eq(value("", "if 3 < 4 and not 5 <= 4 then 1 else 2"), 1);
    cr_assert_eq(value("", "if false and 1 / 0 == 1 then 1 else 2"), 2); /* decided on the left */
    cr_assert_eq(value("", "min(3, 4) + max(3, 4) * abs(-2)"), 11);
    bad("", "7 / 2", "E0301", "7 / 2 is not exact");
    bad("", "7 / 0", "E0304", "division by zero");
    bad("", "9223372036854775807 + 1", "E0304", "64 bits");
    bad("", "2 ** 64", "E0304", "64 bits");
}

Test(elab_static, floats_are_double_and_ints_join_them)
{
    cr_assert_eq(value("", "7 / 2.0"), 3.5);
    cr_assert_eq(value("", "1.0 / sqrt(64)"), 0.125);
    cr_assert_float_eq(value("", "exp(log(3.0)) + sin(0.0) + cos(0.0)"), 4, 1e-12);
    bad("", "sqrt(-1.0)", "E0304", "square root of a negative number");
    bad("", "log(0)", "E0304", "logarithm");
    bad("", "10.0 ** 400", "E0304", "finite");
    bad("", "5.0 % 2", "E0306", "'%' is for ints");
    bad("", "1 + true", "E0306", "'+' does not work on int 1 and bool true");
    bad("", "if 1 then 2 else 3", "E0306", "must be a static bool");
}

Test(elab_static, lists_and_strings)
{
    cr_assert_eq(value("const l = [3, 5, 7];", "len(l) + l[1]"), 8);
    cr_assert_eq(value("const l = [3, 5, 7];", "len(l[1..])"), 2);
    cr_assert_eq(value("const s = \"a\";", "if s == \"a\" then 1 else 0"), 1);
    bad("const l = [3, 5, 7];", "l[3]", "E0409", "element 3");
}

Test(elab_static, consts_come_in_any_order)
{
    cr_assert_eq(value("const a = b + 1; const b = c * 2; config c = 4;", "a"), 9);
    bad("const a = b; const b = a;", "a", "E0206", "depends on itself");
    bad("const a: int = 1.5;", "a", "E0402", "const 'a' is declared int");
    bad("const a = 1; const a = 2;", "a", "E0203", "declared twice");
    bad("const softmax = 1;", "1", "E0203", "builtin");
}

Test(elab_static, names_are_suggested)
{
    bad("const heads = 4;", "head + 1", "E0204", "did you mean 'heads'?");
    bad("fn twice(x: int) -> int = 2 * x;", "twize(2)", "E0205", "did you mean 'twice'?");
    bad("", "sofmax(1)", "E0205", "did you mean 'softmax'?");
    bad("fn twice(x: int) -> int = 2 * x;", "twice + 1", "E0207", "call it");
    bad("const a = 1;", "a(3)", "E0207", "not a function");
}

Test(elab_static, functions_of_numbers_run_at_compile_time)
{
    const char *f = "fn width(n: int, step: int = 16) -> int = ceil_div(n, step) * step;"
                    "fn both(n: int) -> (int, float) = (n, n / 2.0);"
                    "fn pick(n: int) -> float { if n > 2 { return 1.0; } else { return 2.0; } }";
    cr_assert_eq(value(f, "width(100)"), 112);
    cr_assert_eq(value(f, "width(step: 10, n: 95)"), 100);
    cr_assert_eq(value(f, "pick(2) + pick(3) * 10"), 12);
    bad(f, "width()", "E0401", "lacks its argument 'n'");
    bad(f, "width(1, 2, 3)", "E0401", "too many arguments");
    bad(f, "width(1, n: 3)", "E0401", "given twice");
    bad(f, "width(1, stop: 3)", "E0401", "did you mean 'step'?");
    bad(f, "width(1.5)", "E0402", "declared int");
    bad(f, "both(3)", "E0411", NULL);
    bad("fn f(n: int) -> int = f(n);", "f(1)", "E0308", "calls itself");
    bad("fn f(n: int) -> int { }", "f(1)", "E0416", "ends without 'return'");
    bad("fn f(n: int) -> int { return n; return 2; }", "f(1)", "E0416", "nothing after 'return'");
}

Test(elab_static, asserts_interpolate)
{
    bad("config heads = 12; config kv = 5; assert heads % kv == 0, \"{heads} heads for {kv}\";", "1", "E0410",
        "12 heads for 5");
    bad("config heads = 12; assert heads < 3;", "1", "E0410", "heads = 12 from");
    bad("config heads = 12; assert heads;", "1", "E0306", "must be a static bool");
    bad("config heads = 12; assert heads < 3, \"{head}\";", "1", "E0204", "did you mean 'heads'?");
}

Test(elab_static, configs_are_overridden_before_anything_is_computed)
{
    const char *text =
        "config dim = 8; config rate = 1.0; config on: bool = false; config name = \"x\"; const half = dim / 2;\n"
        "model M { entry e() -> real[] = if on then half * rate else 0.0; }\n";
    Elabed t = elab_text(text, "dim=12 rate=3 on=true");
    cr_assert(t.m != NULL, "%s", elab_errors(&t));
    cr_assert_eq(*elab_value(&t, "e"), 18);
    cr_assert_eq(t.m->configs, 4);
    cr_assert_str_eq(interned(t.m->strings, t.m->config[0].value), "12");
    cr_assert(t.m->config[0].overridden && !t.m->config[3].overridden);
    cr_assert_str_eq(interned(t.m->strings, t.m->config[1].value), "3.0");
    elab_free(&t);
    t = elab_text(text, "name=a/b.txt");
    cr_assert_str_eq(interned(t.m->strings, t.m->config[3].value), "a/b.txt");
    elab_free(&t);
    t = elab_text("config a = 2 * b; config b = 3; model M { entry e() -> real[] = a; }\n", "b=5");
    cr_assert_eq(*elab_value(&t, "e"), 10);
    elab_free(&t);
    t = elab_text(text, "dim=2*3+2");
    cr_assert(t.m != NULL, "%s", elab_errors(&t));
    elab_free(&t);
    static const struct {
        const char *define, *code, *part;
    } cases[] = {
        {"din=3", "E0302", "did you mean 'dim'?"},
        {"dim=1.5", "E0303", "the config is an int"},
        {"on=1", "E0303", "a bool"},

        {"dim=9", "E0301", "-D dim=9"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        t = elab_text(text, cases[i].define);
        cr_assert(t.m == NULL, "%s", cases[i].define);
        cr_assert_str_eq(elab_code(&t), cases[i].code, "%s: %s", cases[i].define, elab_errors(&t));
        cr_assert(cases[i].part == NULL || strstr(elab_errors(&t), cases[i].part) != NULL, "%s", elab_errors(&t));
        elab_free(&t);
    }
}

Test(elab_static, tables_are_computed_in_double)
{
    Elabed t = elab_ok("fn angle(i: int, n: int) -> float = 10.0 ** (-2.0 * i / n);\n"
                       "const w = [2, 3, 5];\n"
                       "model M {\n"
                       "  entry a() -> real[2, 3] = [10 * i + j for i in 2, j in 3];\n"
                       "  entry b() -> real[3] = [w[i] * 0.5 for i in 3];\n"
                       "  entry c() -> real[3, 3] = [if j <= i then 0 else -1.0 for i in 3, j in 3];\n"
                       "  entry d() -> real[2] = [cos(t * angle(1, 4)) for t in 2];\n"
                       "  entry i() -> real[2] = gather([1.5, 2.5][0] * [t + 1.0 for t in 3], [2 * t for t in 2]);\n"
                       "  entry s() -> real[3] = select([t % 2 == 0 for t in 3], 1.0, [t for t in 3]);\n"
                       "}\n");
    const double *v = elab_value(&t, "a");
    cr_assert(v[0] == 0 && v[2] == 2 && v[3] == 10 && v[5] == 12);
    v = elab_value(&t, "b");
    cr_assert(v[0] == 1 && v[1] == 1.5 && v[2] == 2.5);
    v = elab_value(&t, "c");
    cr_assert(v[0] == 0 && v[1] == -1 && v[3] == 0 && v[5] == -1);
    v = elab_value(&t, "d");
    cr_assert_float_eq(v[1], cos(pow(10, -0.5)), 1e-15);
    v = elab_value(&t, "i");
    cr_assert(v[0] == 1.5 && v[1] == 4.5);
    v = elab_value(&t, "s");
    cr_assert(v[0] == 1 && v[1] == 1 && v[2] == 1);
    elab_free(&t);
    bad("", "sum([1.0 / i for i in 3])", "E0307", "'1.0 / i' is not a finite number at i = 0");
    bad("", "sum([i / 2 for i in 3])", "E0307", "is not exact at i = 1");
    bad("", "sum([1.0 for i in 0])", "E0307", "0 along 'i'");
    bad("", "sum([softmax(i, axis: 0) for i in 3])", "E0307", NULL);
    bad("", "sum([1 + (i < 2) for i in 3])", "E0307", "arithmetic on truth values");
}

Test(elab_static, equal_tables_are_stored_once)
{
    Elabed t = elab_ok("fn mask(S: int) -> real[S, S] = [if j <= i then 0.0 else -1.0 for i in S, j in S];\n"
                       "model M { entry e(x: real[4, 4]) -> real[4, 4] {\n"
                       "  repeat l[L in 0..5] { x = x + mask(4); }\n  return x + mask(4); } }\n");
    cr_assert_eq(t.m->tables, 2); /* number 0 is none */
    elab_free(&t);
}

Test(elab_static, files_are_found_once)
{
    elab_bad("use \"std/nothing.anel\";\nmodel M { entry e() -> real[] = 1; }\n", "E0201",
             "cannot find 'std/nothing.anel'");
    elab_bad("use \"std/nn.anel\";\nuse \"std/nn.anel\";\nmodel M { entry e() -> real[] = 1; }\n", "E0203",
             "used twice");
    elab_bad("use \"t.anel\";\nmodel M { entry e() -> real[] = 1; }\n", "E0202", "uses itself");
    elab_bad("use \"std/nn.anel\";\nfn silu(x: int) -> int = x;\nmodel M { entry e() -> real[] = 1; }\n", "E0203",
             "std/nn.anel");
    elab_bad("fn f(x: int) -> int = x;\n", "E0210", "no model");
    elab_bad("model M { fn f(x: int) -> int = x; }\n", "E0210", "no entry");
    elab_bad("model M { entry e() -> real[] = 1; }\nmodel N { entry e() -> real[] = 1; }\n", "E0210", "second model");
}
