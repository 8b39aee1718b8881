/* test_elab_types.c: headers: generics, runs, dimension expressions, element types, results, conversions. */
#include "elab_rig.h"

#include <criterion/criterion.h>
#include <string.h>

static void good(const char *decls, const char *header, const char *expr)
{
    char text[2048];
    snprintf(text, sizeof text, "%s\nmodel M { entry e(%s = %s; }\n", decls, header, expr);
    Elabed t = elab_ok(text);
    elab_free(&t);
}

static void bad(const char *decls, const char *header, const char *expr, const char *codes, const char *part)
{
    char text[2048];
    snprintf(text, sizeof text, "%s\nmodel M { entry e(%s = %s; }\n", decls, header, expr);
    elab_bad(text, codes, part);
}

static const char run[] = "fn f[..B, C, S](x: real[..B, C, S], g: real[C]) -> real[..B, C, S] = x * g[:, _];";
static const char half[] =
    "fn f[H, D, S](x: real[H, D, S], c: real[D/2, S]) -> real[H * D, S] = reshape(x, [H * D, S]);";
static const char order[] = "fn f[S](n: int, x: real[n, S], y: real[2 * n]) -> real[S] = x[0, :];";
static const char pair[] = "fn f[A, B](x: real[A, B], y: real[B, A]) -> real[A, A] = x @ y;";

Test(elab_types, generics_are_bound_by_the_arguments)
{
    good(run, "x: real[4, 3], g: real[4]) -> real[4, 3]", "f(x, g)");
    good(run, "x: real[2, 5, 4, 3], g: real[4]) -> real[2, 5, 4, 3]", "f(x, g)");
    good(half, "x: real[2, 6, 4], c: real[3, 4]) -> real[12, 4]", "f(x, c)");
    good(order, "x: real[3, 4], y: real[6]) -> real[4]", "f(3, x, y)");
    good("fn f[..D](x: real[..D]) -> real[..D] = x; ", "x: real[]) -> real[]", "f(x)");
    good("fn f[..D](x: real[..D]) -> int = len(D);", "x: real[2, 3]) -> real[]", "f(x) * 1.0");
    bad(run, "x: real[4, 3], g: real[3]) -> real[4, 3]", "f(x, g)", "E0403", "C is 4, by 'x': real[4, 3]");
    bad(run, "x: real[4], g: real[4]) -> real[4]", "f(x, g)", "E0403", "1 axis, not 2");
    bad(half, "x: real[2, 6, 4], c: real[2, 4]) -> real[12, 4]", "f(x, c)", "E0403", "axis 0 is 2; 'D/2' is 3");
    bad(half, "x: real[2, 5, 4], c: real[2, 4]) -> real[10, 4]", "f(x, c)", "E0301", "5 / 2 is not exact");
    bad(order, "x: real[3, 4], y: real[6]) -> real[4]", "f(2, x, y)", "E0403", "n = 2");
    bad(pair, "x: real[3, 4], y: real[4, 2]) -> real[3, 3]", "f(x, y)", "E0403", "A is 3, by 'x'");
    bad("fn f[S](x: real[3]) -> real[3] = x;", "x: real[3]) -> real[3]", "f(x)", "E0415",
        "no argument of 'f' fixes the dimension 'S'");
    bad("fn f(x: real[..B]) -> real[3] = x;", "x: real[3]) -> real[3]", "f(x)", "E0415", "not among the generics");
}

Test(elab_types, element_types_are_converted_only_around_real)
{
    good("fn f[S](x: real[S]) -> f16[S] = x;", "x: f16[3]) -> f16[3]", "f(x)");
    good("fn f(x: i32[]) -> i32[] = x;", "x: i32[]) -> i32[]", "f(3)");
    good("fn f(x: real[]) -> real[] = x;", "x: i32[]) -> real[]", "f(3)");
    good("fn f[S](x: tok[S]) -> i32[S] = x;", "x: i32[3]) -> tok[3]", "f(x)");
    bad("fn f[S](x: f32[S]) -> f32[S] = x;", "x: f16[3]) -> f32[3]", "f(x)", "E0411",
        "declared f32[3], and this is f16[3]");
    bad("fn f[S](x: real[S]) -> real[S] = x;", "x: i32[3]) -> real[3]", "f(x)", "E0411", "real(x) converts ints");
    bad("fn f[S](x: real[S]) -> real[S] = x;", "x: i32[3]) -> real[3]", "f(3)", "E0402", "broadcast(x, [..])");
    bad("fn f[S](x: real[S]) -> real[S] = x;", "x: i32[3]) -> real[3]", "f(\"a\")", "E0402", "str a");
    bad("fn f(n: int) -> int = n;", "x: real[]) -> real[]", "f(x)", "E0402", "tensors are not");
    bad("fn f(x: i32[]) -> i32[] = x;", "x: real[]) -> i32[]", "f(1.5)", "E0411", NULL);
}

Test(elab_types, results_are_checked)
{
    bad("fn f[A, B](x: real[A, B]) -> real[A, B] = x';", "x: real[2, 3]) -> real[2, 3]", "f(x)", "E0411",
        "the result of 'f' is declared real[2, 3], and this is real[3, 2]");
    bad("", "x: real[2, 3]) -> real[3, 2]", "x", "E0411", "the result of 'e'");
    bad("", "x: real[2, 3]) -> (real[3, 2], real[])", "x", "E0414", "2 values");
    good("", "x: real[2, 3]) -> (real[3, 2], real[])", "(x', sum(x))");
    bad("fn f(x: real[3]) -> (real[3], real[3]) = (x, x);", "x: real[3]) -> real[3]", "f(x)", "E0411", "2 values");
}

Test(elab_types, bad_types_are_explained)
{
    bad("", "x: reel[3]) -> real[3]", "x", "E0415", "did you mean 'real'?");
    bad("", "x: real) -> real[3]", "x", "E0415", "write 'real[]'");
    bad("", "x: int) -> real[3]", "x", "E0417", "tensors of numbers");
    bad("", "x: int[3]) -> real[3]", "x", "E0415", "static values and has no dimensions");
    bad("", "x: real[3 - 3]) -> real[3]", "x", "E0415", "an extent of 0");
    bad("", "x: real[n]) -> real[3]", "x", "E0204", "unknown name 'n'");
    bad("", "x: real[65536, 65536]) -> real[3]", "x", "E0415", "2^31");
    bad("", "x: real[1, 1, 1, 1, 1, 1]) -> real[3]", "x", "E0415", "more than 5 axes");
    bad("fn f(x: int, x: int) -> int = x;", "x: real[]) -> real[]", "x", "E0203", "argument 'x' is declared twice");
    bad("#[vpj(g)] fn f(x: int) -> int = x;", "x: real[]) -> real[]", "x", "E0208", "did you mean 'vjp'?");
}

Test(elab_types, tuples_are_taken_apart)
{
    Elabed t = elab_ok("fn both[S](x: real[S]) -> (real[S], real[]) = (2 * x, sum(x));\n"
                       "model M { entry e(x: real[2]) -> real[2] { (a, b) = both(x); return a + b; } }\n");
    const double *v = elab_run(&t, "e", (const double *const[]){(const double[]){1, 2}}, 1);
    cr_assert(v[0] == 5 && v[1] == 7);
    elab_free(&t);
    elab_bad("fn both[S](x: real[S]) -> (real[S], real[]) = (2 * x, sum(x));\n"
             "model M { entry e(x: real[2]) -> real[2] { a = both(x); return a; } }\n",
             "E0414", "write '(a, b) = ...'");
    elab_bad("fn both[S](x: real[S]) -> (real[S], real[]) = (2 * x, sum(x));\n"
             "model M { entry e(x: real[2]) -> real[2] { (a, b, c) = both(x); return a; } }\n",
             "E0414", "for 3 names");
}

Test(elab_types, poison_silences_echoes)
{
    elab_bad("model M { entry e(x: real[2]) -> real[2] { a = y + x; b = a * a; c = b @ a; return sum(c) + c; } }\n",
             "E0204", "unknown name 'y'");
    elab_bad("model M { entry e(x: real[2]) -> real[2] { a = y + x; b = z + x; return a + b; } }\n", "E0204 E0204",
             NULL);
}

Test(elab_types, library_mistakes_are_told_at_the_call)
{
    elab_bad("use \"std/nn.anel\";\n"
             "model M { entry e(q: real[4, 2, 3], k: real[3, 2, 3]) -> real[4, 2, 3] {\n"
             "  return sdpa(q, k, k, causal_mask(3)); } }\n",
             "E0410", "t.anel:3:10: error[E0410]: query heads (4) must be a multiple of kv heads (3)");
}
