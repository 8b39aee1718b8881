/* test_elab_std.c: the standard library against plain loops, and functions with an adjoint of their own. */
#include "elab_rig.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define STD "use \"std/nn.anel\";\n"

enum { MAX = 512 };

static void noise(double *x, int n, uint64_t key)
{
    for (int i = 0; i < n; i++)
        x[i] = rng_normal(key, (uint64_t)i);
}

static void close_to(const double *got, const double *want, int n, const char *what)
{
    for (int i = 0; i < n; i++)
        cr_assert(fabs(got[i] - want[i]) < 1e-12 * (1 + fabs(want[i])), "%s: element %d is %.17g, not %.17g", what, i,
                  got[i], want[i]);
}

Test(elab_std, rmsnorm_follows_its_equation)
{
    enum { B = 2, C = 5, S = 3 };
    double x[B * C * S], g[C], want[B * C * S];
    noise(x, B * C * S, 1);
    noise(g, C, 2);
    for (int b = 0; b < B; b++)
        for (int s = 0; s < S; s++) {
            double sum = 0;
            for (int c = 0; c < C; c++)
                sum += x[(b * C + c) * S + s] * x[(b * C + c) * S + s];
            for (int c = 0; c < C; c++)
                want[(b * C + c) * S + s] = x[(b * C + c) * S + s] / sqrt(sum / C + 1e-5) * g[c];
        }
    Elabed t = elab_ok(STD "model M { entry e(x: real[2, 5, 3], g: real[5]) -> real[2, 5, 3] = rmsnorm(x, g); }\n");
    close_to(elab_run(&t, "e", (const double *const[]){x, g}, 2), want, B * C * S, "rmsnorm");
    elab_free(&t);
}

Test(elab_std, layernorm_follows_its_equation)
{
    enum { C = 5, S = 3 };
    double x[C * S], g[C], b[C], want[C * S];
    noise(x, C * S, 1);
    noise(g, C, 2);
    noise(b, C, 3);
    for (int s = 0; s < S; s++) {
        double mean = 0, var = 0;
        for (int c = 0; c < C; c++)
            mean += x[c * S + s] / C;
        for (int c = 0; c < C; c++)
            var += (x[c * S + s] - mean) * (x[c * S + s] - mean) / C;
        for (int c = 0; c < C; c++)
            want[c * S + s] = (x[c * S + s] - mean) / sqrt(var + 1e-6) * g[c] + b[c];
    }
    Elabed t = elab_ok(
        STD
        "model M { entry e(x: real[5, 3], g: real[5], b: real[5]) -> real[5, 3] = layernorm(x, g, b, eps: 1e-6); }\n");
    close_to(elab_run(&t, "e", (const double *const[]){x, g, b}, 3), want, C * S, "layernorm");
    elab_free(&t);
}

/* Rotations keep the length of every pair and turn it by position times frequency. */
static void rope(const char *fn, int first, int second, int step)
{
    enum { H = 2, D = 6, S = 4 };
    char text[512];
    double x[H * D * S];
    noise(x, H * D * S, 7);
    snprintf(text, sizeof text,
             STD "model M { entry e(x: real[2, 6, 4]) -> real[2, 6, 4] = "
                 "%s(x, rope_cos(6, 4, 100.0), rope_sin(6, 4, 100.0)); }\n",
             fn);
    Elabed t = elab_ok(text);
    const double *y = elab_run(&t, "e", (const double *const[]){x}, 1);
    for (int h = 0; h < H; h++)
        for (int i = 0; i < D / 2; i++)
            for (int s = 0; s < S; s++) {
                int p = (h * D + first + i * step) * S + s, q = (h * D + second + i * step) * S + s;
                double a = s * pow(100.0, -2.0 * i / D);
                double want[2] = {x[p] * cos(a) - x[q] * sin(a), x[p] * sin(a) + x[q] * cos(a)};
                close_to((double[]){y[p], y[q]}, want, 2, fn);
            }
    elab_free(&t);
}

Test(elab_std, rope_turns_pairs)
{
    rope("rope_halves", 0, 3, 1);
    rope("rope_pairs", 0, 1, 2);
}

Test(elab_std, sdpa_agrees_with_loops)
{
    enum { H = 4, K = 2, D = 3, S = 5 };
    double q[H * D * S], k[K * D * S], v[K * D * S], want[H * D * S];
    noise(q, H * D * S, 1);
    noise(k, K * D * S, 2);
    noise(v, K * D * S, 3);
    for (int h = 0; h < H; h++)
        for (int s = 0; s < S; s++) {
            double p[S], sum = 0;
            int kv = h / (H / K);
            for (int t = 0; t <= s; t++) {
                double dot = 0;
                for (int d = 0; d < D; d++)
                    dot += q[(h * D + d) * S + s] * k[(kv * D + d) * S + t];
                sum += p[t] = exp(dot / sqrt(D));
            }
            for (int d = 0; d < D; d++) {
                double o = 0;
                for (int t = 0; t <= s; t++)
                    o += v[(kv * D + d) * S + t] * p[t] / sum;
                want[(h * D + d) * S + s] = o;
            }
        }
    Elabed t = elab_ok(STD "model M { entry e(q: real[4, 3, 5], k: real[2, 3, 5], v: real[2, 3, 5]) -> real[4, 3, 5] = "
                           "sdpa(q, k, v, causal_mask(5)); }\n");
    close_to(elab_run(&t, "e", (const double *const[]){q, k, v}, 3), want, H * D * S, "sdpa");
    elab_free(&t);
}

Test(elab_std, activations)
{
    double x[4] = {-2, -0.5, 0, 3}, want[4];
    Elabed t = elab_ok(
        STD "model M { entry s(x: real[4]) -> real[4] = silu(x); entry g(x: real[4]) -> real[4] = gelu(x); }\n");
    for (int i = 0; i < 4; i++)
        want[i] = x[i] / (1 + exp(-x[i]));
    close_to(elab_run(&t, "s", (const double *const[]){x}, 1), want, 4, "silu");
    for (int i = 0; i < 4; i++)
        want[i] = 0.5 * x[i] * (1 + tanh(sqrt(2 / acos(-1)) * (x[i] + 0.044715 * x[i] * x[i] * x[i])));
    const double *got = elab_run(&t, "g", (const double *const[]){x}, 1);
    for (int i = 0; i < 4; i++)
        cr_assert_float_eq(got[i], want[i], 1e-12);
    elab_free(&t);
}

/* ---- adjoints ---- */

/* The graph's directional derivative against its adjoint: <dy, J dx> == <vjp(dy), dx>. */
static void adjoint_fits(Elabed *t, GraphId forward, GraphId vjp)
{
    const Graph *f = t->m->graph[forward], *b = t->m->graph[vjp];
    Tensor in[8], out[8], back[8];
    Buf err = {0};
    double forward_dot = 0, backward_dot = 0;
    cr_assert(f->inputs + 1 == b->inputs && b->inputs <= 8);
    EvalEnv env = {.m = t->m, .arena = t->a, .tangents = true};
    for (uint32_t i = 0; i < b->inputs; i++) {
        int n = (int)shape_numel(b->input[i].type.shape);
        in[i] = (Tensor){b->input[i].type, NEW_N(t->a, double, (size_t)n), NEW_N(t->a, double, (size_t)n)};
        noise(in[i].v, n, 10 + i);
        noise(in[i].dv, n, 20 + i);
    }
    cr_assert(graph_eval(&env, f, in, out, &err), "%s", err.data);
    cr_assert(type_equal(out[0].type, in[f->inputs].type));
    for (int64_t k = 0; k < shape_numel(out[0].type.shape); k++)
        forward_dot += in[f->inputs].v[k] * out[0].dv[k];
    env.tangents = false;
    cr_assert(graph_eval(&env, b, in, back, &err), "%s", err.data);
    cr_assert_eq(b->outs, f->inputs);
    for (uint32_t i = 0; i < f->inputs; i++)
        for (int64_t k = 0; k < shape_numel(in[i].type.shape); k++)
            backward_dot += back[i].v[k] * in[i].dv[k];
    cr_assert(fabs(forward_dot - backward_dot) < 1e-9 * (1 + fabs(forward_dot)), "%.17g against %.17g", forward_dot,
              backward_dot);
}

Test(elab_vjp, calls_share_instances_and_leave_checks)
{
    Elabed t = elab_ok(STD "model M { entry e(x: real[4, 3], y: real[2, 4, 3], g: real[4]) -> real[4, 3] {\n"
                           "  a = rmsnorm(rmsnorm(x, g), g); b = rmsnorm(x, g, eps: 1e-3); c = rmsnorm(y, g);\n"
                           "  return a + b + c[0, :, :] + layernorm(x, g, g); } }\n");
    const Graph *g = elab_graph(&t, "e");
    GraphId body[8];
    uint32_t n = 0;
    for (uint32_t i = 1; i < g->count; i++)
        if (g->node[i].op == OP_call) {
            body[n++] = g->node[i].a.call.graph;
            adjoint_fits(&t, g->node[i].a.call.graph, g->node[i].a.call.vjp);
        }
    cr_assert_eq(n, 5);
    cr_assert(body[0] == body[1] && body[1] != body[2] && body[2] != body[3]);
    cr_assert_eq(t.m->vjp_checks, 6); /* three each of rmsnorm and layernorm */
    for (uint32_t i = 0; i < t.m->vjp_checks; i++)
        adjoint_fits(&t, t.m->vjp_check[i].graph, t.m->vjp_check[i].vjp);
    elab_free(&t);
}

Test(elab_vjp, numbers_and_static_arguments)
{
    Elabed t =
        elab_ok("#[vjp(scale_bwd)] fn scale[S](x: real[S], by: real[], n: int = 2, up: bool = true) -> real[S] =\n"
                "  if up then x * by ** n else x;\n"
                "fn scale_bwd[S](x: real[S], by: real[], n: int, up: bool, dy: real[S]) -> (real[S], real[]) =\n"
                "  (dy * by ** n, sum(dy * x) * n * by ** (n - 1));\n"
                "model M { entry e(x: real[3], b: real[]) -> real[3] = scale(x, b) + scale(x, 3, n: 1) + scale(f16(x), "
                "b); }\n");
    double x[3] = {1, 2, 3}, b = 2;
    const double *y = elab_run(&t, "e", (const double *const[]){x, &b}, 2);
    cr_assert(y[0] == 4 + 3 + 4 && y[2] == 12 + 9 + 12);
    const Graph *g = elab_graph(&t, "e");
    for (uint32_t i = 1; i < g->count; i++)
        if (g->node[i].op == OP_call)
            adjoint_fits(&t, g->node[i].a.call.graph, g->node[i].a.call.vjp);
    elab_free(&t);
}

Test(elab_vjp, mistakes)
{
#define VJP(bwd)                                                                                                       \
    "#[vjp(f_bwd)] fn f[S](x: real[S], g: real[S]) -> real[S] = x * g;\n" bwd "\n"                                     \
    "model M { entry e(x: real[3]) -> real[3] = f(x, x); }\n"
    elab_bad(VJP(""), "E0205", "unknown function 'f_bwd'");
    elab_bad(VJP("fn f_bwd[S](x: real[S], dy: real[S]) -> real[S] = x;"), "E0511", "3 in all");
    elab_bad(VJP("fn f_bwd[S](x: real[S], g: real[S], dy: real[S]) -> real[S] = x;"), "E0511", "1 cotangents for 2");
    elab_bad(VJP("fn f_bwd[S](x: real[S], g: real[S], dy: real[S]) -> (real[S], real[]) = (x, sum(x));"), "E0511",
             "as the cotangent of 'g', which is real[3]");
    elab_bad(
        "#[vjp(f_bwd)] fn f[S](x: real[S]) -> real[S] = x * w;\nfn f_bwd[S](x: real[S], dy: real[S]) -> real[S] = dy;\n"
        "model M { param w: real[3] = ones(); entry e(x: real[3]) -> real[3] = f(x); }\n",
        "E0511", "pass it as an argument");
    elab_bad("use \"std/nn.anel\";\nmodel M { entry e(x: real[3, 2], g: real[4]) -> real[3, 2] = rmsnorm(x, g); }\n",
             "E0403", "C is 3");
}
