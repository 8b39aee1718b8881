/* test_elab_tensor.c: operators and builtins on tensors: values against numbers worked out by hand, and what is
 * refused. */
#include "elab_rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static const double X[6] = {1, 2, 3, 4, 5, 6};       /* as [2, 3] */
static const double Y[6] = {0.5, -1, 2, 1.5, 0, -2}; /* as [3, 2] */
static const double V[3] = {10, 20, 30};
static const double I[2] = {2, 0};

static const char frame[] = "model M { entry e(x: real[2, 3], y: real[3, 2], v: real[3], i: i32[2]) -> %s = %s; }\n";

/* `want` is a list of numbers. */
static void gives(const char *type, const char *expr, const char *want)
{
    char text[2048];
    snprintf(text, sizeof text, frame, type, expr);
    Elabed t = elab_ok(text);
    const double *got = elab_run(&t, "e", (const double *const[]){X, Y, V, I}, 4);
    const Graph *g = elab_graph(&t, "e");
    int64_t n = shape_numel(g->node[g->out[0]].type.shape), k = 0;
    for (const char *p = want; *p; k++) {
        char *end;
        double w = strtod(p, &end);
        cr_assert(k < n && fabs(got[k] - w) < 1e-9, "%s: element %lld is %g, not %g", expr, (long long)k, got[k], w);
        for (p = end; *p == ' '; p++)
            continue;
    }
    cr_assert_eq(k, n, "%s: %lld elements", expr, (long long)n);
    elab_free(&t);
}

static void bad(const char *type, const char *expr, const char *codes, const char *part)
{
    char text[2048];
    snprintf(text, sizeof text, frame, type, expr);
    elab_bad(text, codes, part);
}

Test(elab_tensor, elementwise_operators_broadcast)
{
    gives("real[2, 3]", "x + 1", "2 3 4 5 6 7");
    gives("real[2, 3]", "2 * x - x / 2", "1.5 3 4.5 6 7.5 9");
    gives("real[2, 3]", "x + v[_, :]", "11 22 33 14 25 36");
    gives("real[2, 3]", "x * y[0, :][:, _]", "0.5 1 1.5 -4 -5 -6");
    gives("real[2, 3]", "-x ** 2", "-1 -4 -9 -16 -25 -36");
    gives("real[2, 3]", "max(x, 3) + min(x, 2.0)", "4 5 5 6 7 8");
    gives("real[2, 3]", "abs(x - 3.5)", "2.5 1.5 0.5 0.5 1.5 2.5");
    gives("real[1, 2, 3]", "x[_, :, :] + x", "2 4 6 8 10 12");
    gives("real[2, 3]", "x + sum(v)", "61 62 63 64 65 66");
    gives("real[2, 3]", "x * x[:, 0..1]", "1 2 3 16 20 24");
    gives("i32[2]", "i + 1", "3 1");
    gives("i32[2]", "-i", "-2 0");
    gives("real[2]", "real(i) / 4", "0.5 0");
    gives("real[2, 3]", "real(f16(x) + x)", "2 4 6 8 10 12");
}

Test(elab_tensor, vectors_do_not_broadcast_silently)
{
    bad("real[2, 3]", "x + v", "E0405",
        "'v[:, _]' gives one value per channel, 'v[_, :]' one per position; its extent fits the positions");
    bad("real[2, 3]", "v * x", "E0405", "cannot multiply real[3] by real[2, 3]");
    bad("real[2, 3]", "x - y", "E0404", "cannot subtract real[3, 2] from real[2, 3]: axis -1 has 3 and 2 elements");
    bad("real[2, 3]", "x + i[:, _]", "E0408", "real(x) converts ints");
    bad("real[2]", "i + 0.5", "E0408", "real(x) converts ints");
    bad("real[2]", "f16(v) + f32(v)", "E0408", "f16(x), f32(x) and real(x) convert");
    bad("real[2, 3]", "x + \"a\"", "E0306", "does not work on a tensor");
    bad("real[2, 3]", "2 ** x", "E0305", "static exponent");
    bad("real[2, 3]", "x % 2", "E0306", "static values");
    bad("real[2, 3]", "if x > 2 then x else -x", "E0305", "select(c, x, y)");
    bad("i32[2]", "i / 2", "E0408", "not divided");
}

Test(elab_tensor, matrix_products_and_transposes)
{
    gives("real[2, 2]", "x @ y", "4.5 -4 12 -8.5");
    gives("real[2, 2]", "y' @ x'", "4.5 12 -4 -8.5");
    gives("real[2, 2, 2]", "concat(x[_, :, :], 2 * x[_, :, :], axis: 0) @ broadcast(y[_, :, :], [2, 3, 2])",
          "4.5 -4 12 -8.5 9 -8 24 -17");
    bad("real[3, 3]", "x @ x", "E0406", "'@' contracts 3 with 2");
    bad("real[3, 3]", "x @ y'", "E0406", NULL);
    bad("real[2, 1]", "x @ v", "E0407", "'v[:, _]' is a column");
    bad("real[2, 2]", "x @ y[_, :, :]", "E0407", "same rank");
    bad("real[2, 2]", "x[_, :, :] @ concat(y[_, :, :], y[_, :, :], axis: 0)", "E0404", "leading axes");
    bad("real[2, 3]", "x @ 2", "E0407", "'*' multiplies by a number");
    bad("real[2, 2]", "i[_, :] @ i[:, _]", "E0408", "needs real operands");
    bad("real[3]", "v'", "E0409", "swaps the last two axes");
}

Test(elab_tensor, swapped_products_are_recognised)
{
    elab_bad("fn f[I, S](w: real[4, I], x: real[I, S]) -> real[4, S] = x @ w;\n"
             "model M { entry e(w: real[4, 3], x: real[3, 5]) -> real[4, 5] = f(w, x); }\n",
             "E0406", "'w @ x' has type real[4, 5], which is the declared result");
}

Test(elab_tensor, indexing)
{
    gives("real[2]", "x[:, 1]", "2 5");
    gives("real[]", "x[1, 2]", "6");
    gives("real[2, 2]", "x[:, 1..]", "2 3 5 6");
    gives("real[1, 2]", "x[1..2, ..2]", "4 5");
    gives("real[3, 1]", "v[:, _]", "10 20 30");
    gives("real[1, 2, 1, 3]", "x[_, :, _, :]", "1 2 3 4 5 6");
    bad("real[2]", "x[:, 3]", "E0409", "element 3 of axis 1, which has 3");
    bad("real[2]", "x[:, 9223372036854775807]", "E0409", "element 9223372036854775807 of axis 1, which has 3");
    bad("real[2]", "x[:, -1]", "E0409", "bounds count from the start");
    bad("real[2]", "x[0..3, :]", "E0409", "range 0 .. 3 of axis 0, which has 2 elements");
    bad("real[2]", "x[1..1, :]", "E0409", "range 1 .. 1");
    bad("real[2]", "x[0]", "E0409", "1 index for 2 axes");
    bad("real[2]", "x[i, :]", "E0305", "must be an int");
}

Test(elab_tensor, reductions)
{
    gives("real[2, 1]", "sum(x, axis: -1)", "6 15");
    gives("real[1, 3]", "sum(x, axis: 0)", "5 7 9");
    gives("real[1, 1]", "sum(x, axis: [0, 1])", "21");
    gives("real[]", "sum(x)", "21");
    gives("real[3]", "sum(x, except: -1)", "5 7 9");
    gives("real[]", "amax(x) + amax(-x)", "5");
    gives("real[2]", "amax(x, except: 0)", "3 6");
    gives("real[2, 3]", "softmax(x, axis: -1)",
          "0.0900305731704 0.244728471055 0.665240955775 0.0900305731704 0.244728471055 0.665240955775");
    gives("real[2, 3]", "softmax(x, axis: 0)",
          "0.0474258731776 0.0474258731776 0.0474258731776 0.952574126822 0.952574126822 0.952574126822");
    bad("real[2]", "sum(x, axis: 2)", "E0409", "axis 2 of a value with 2 axes");
    bad("real[2]", "sum(x, axis: 0, except: 1)", "E0401", "exclude each other");
    bad("real[2]", "softmax(x)", "E0401", "it is softmax(x, axis)");
    bad("real[2]", "softmax(x, axes: 0)", "E0401", "no argument 'axes'");
    bad("real[2]", "sum(i)", "E0402", "needs a real tensor");
}

Test(elab_tensor, movement)
{
    gives("real[3, 2]", "reshape(x, [3, 2])", "1 2 3 4 5 6");
    gives("real[2, 3]", "broadcast(2, [2, 3])", "2 2 2 2 2 2");
    gives("real[2, 3]", "broadcast(sum(v), [2, 3])", "60 60 60 60 60 60");
    gives("real[2, 2]", "broadcast(x[:, 0..1], [2, 2])", "1 1 4 4");
    gives("real[3, 1, 2]", "transpose(x[_, :, :], perm: [2, 0, 1])", "1 4 2 5 3 6");
    gives("real[2, 5]", "concat(x, y', axis: 1)[:, ..5]", "1 2 3 0.5 2 4 5 6 -1 1.5");
    gives("real[3, 4]", "pad(x, [1, 0], [0, 1])", "0 0 0 0 1 2 3 0 4 5 6 0");
    gives("real[2, 3]", "if numel(x) == 6 then x else -x", "1 2 3 4 5 6");
    bad("real[3, 2]", "reshape(x, [4, 2])", "E0413", "real[2, 3] has 6 elements, real[4, 2] would have 8");
    bad("real[3, 2]", "broadcast(x, [4, 3])", "E0413", "only axes of extent 1 grow");
    bad("real[3, 2]", "broadcast(v, [3, 2])", "E0413", "'_' for new ones");
    bad("real[3, 2]", "concat(x, y, axis: 0)", "E0413", "cannot concatenate");
    bad("real[3, 2]", "transpose(x, [0, 0])", "E0402", "every axis once");
    bad("real[3, 2]", "reshape(x, 6)", "E0413", "a shape is a list");
    bad("real[3, 2]", "reshape(x, [1, 1, 1, 1, 2, 3])", "E0415", "more than 5 axes");
    bad("real[3, 2]", "reshape(x, [0, 3])", "E0415", "at least one element");
}

Test(elab_tensor, choice_and_data)
{
    gives("real[2, 3]", "select(x > 2, x, -1)", "-1 -1 3 4 5 6");
    gives("real[2, 3]", "select(v[_, :] >= 20, x, 0.0)", "0 2 3 0 5 6");
    gives("real[3]", "select(iota(3) == 1, 1, 0)", "0 1 0");
    gives("i32[3]", "select(iota(3) < 1, iota(3) + 5, 7)", "5 7 7");
    gives("real[2]", "gather(v, i)", "30 10");
    gives("real[2, 2]", "gather(y, i)", "0 -2 0.5 -1");
    gives("real[3, 2]", "scatter_add(i, y[0..2, :], 3)", "2 1.5 0 0 0.5 -1");
    gives("real[2, 3]", "splice(x, y', at: 0, axis: 1)", "0.5 2 0 -1 1.5 -2");
    gives("real[3]", "splice(v, v[0..1], at: i[0], axis: 0)", "10 20 10");
    gives("real[2]", "xent(x, i, axis: 1)", "0.407605964444 2.40760596444");
    gives("real[3]", "stop_grad(v)", "10 20 30");
    bad("real[3]", "select(x, 1, 0)", "E0402", "a comparison of tensors");
    bad("real[3]", "select(1 < 2, 1, 0)", "E0402", "if c then x else y");
    bad("real[3]", "gather(v, x)", "E0402", "needs i32 or tok values");
    bad("real[3]", "xent(x, i, axis: 0)", "E0413", "classes");
    bad("real[3]", "iota(0)", "E0402", "a positive int");
    bad("real[3]", "sin(v)", "E0402", "a static number");
    bad("real[3]", "stop_grad(v) as v", "E0501", "builtin");
}
