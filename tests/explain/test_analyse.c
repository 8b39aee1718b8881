/* test_analyse.c: what a plan says about saving, counting and comparing, on a small manifest. */
#include "explain/analyse.h"

#include "base/file.h"
#include "base/hash.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Two layers with one program each way. The forward program's output holds y, which goes on, and t, which only the backward
 * direction reads. */
static const char manifest[] =
    "anep 1.0\ncompiler \"anec 0.1.0\"\nmodel Small\ntarget any\nsources 0123456789abcdef0123456789abcdef\n\n"
    "param layers.{0..1}.w {\n  shape 64x64\n  init normal 0.02\n  decay yes\n}\n\n"
    "program fwd {\n  mil fwd 0123456789abcdef0123456789abcdef\n  instances 0 2\n"
    "  in i00_in 1x64x1x32\n    part x channels 0 64 shape 64x32\n"
    "  out o00_out 1x128x1x32\n    part y channels 0 64 shape 64x32\n    part t channels 64 64 shape 64x32\n"
    "  weight weights/w.bin 64x64x1x1 = layers.{L}.w\n}\n\n"
    "program bwd {\n  mil bwd 0123456789abcdef0123456789abcdef\n  instances 0 2\n"
    "  in i00_in 1x128x1x32\n    part d_y channels 0 64 shape 64x32\n    part t channels 64 64 shape 64x32\n"
    "  out o00_out 1x64x1x32\n    part d_x channels 0 64 shape 64x32\n}\n\n"
    "buffer x f16 64x32\nbuffer z f32 64x32\nbuffer scale f32 scalar\nbuffer result f32 1x1\nbuffer kept f16 64x32 stack 2\n"
    "surface fi 1x64x1x32\nsurface fo 1x128x1x32 stack 2\nsurface bi 1x128x1x32\nsurface bo 1x64x1x32\n\n"
    "entry loss {\n  input loss_scale loss_scale scale\n  result \"\" result\n"
    "  forward {\n    mul z:64x32 <- 0.5:64x32, 0.5:64x32\n    move x:64x32 <- z:64x32\n    loop L 0 2 {\n      move fi:64x32 <- x:64x32\n"
    "      run fwd fo[L]:1x128x1x32 <- fi:1x64x1x32\n      move kept[L]:64x32 <- x:64x32\n      move x:64x32 <- fo[L]:64x32\n    }\n"
    "    move z:64x32 <- x:64x32\n    sum result:1x1 <- z:64x32 axes 0 1\n  }\n"
    "  backward {\n    loop L 0 2 reverse {\n      move bi:64x32 <- kept[L]:64x32\n      move bi@64:64x32 <- fo[L]@64:64x32\n"
    "      run bwd bo:1x64x1x32 <- bi:1x128x1x32\n      move x:64x32 <- bo:64x32\n    }\n  }\n}\n\n"
    "train loss {\n  accum 3\n}\n";

#define MIL(in, out, body)                                                                                   \
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\nfunc main<ios18>(tensor<fp16, [1, " in \
    ", 1, 32]> i00_in) {\n" body "} -> (o00_out);\n}\n"

static void put(Arena *a, const char *dir, const char *name, const char *text)
{
    char err[FILE_ERR_MAX];
    cr_assert(file_write(path_join(a, dir, name), text, strlen(text), err), "%s", err);
}

Test(analyse, a_small_plan)
{
    Arena *a = arena_new();
    char   dir[] = "/tmp/anel-explain-XXXXXX", err[FILE_ERR_MAX], hash[HASH_HEX];
    Buf    why = {0}, text = {0};
    cr_assert(mkdtemp(dir) != NULL);
    cr_assert(dir_make(path_join(a, dir, "mil"), err) && dir_make(path_join(a, dir, "map"), err));
    put(a, dir, "plan.anep", manifest);
    put(a, dir, "mil/fwd.mil",
        MIL("64", "128",
            "tensor<fp16, [64, 64, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [64, 64, 1, 1]>(BLOBFILE(path = "
            "string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n"
            "tensor<fp16, [1, 64, 1, 32]> y = conv(weight = w, x = i00_in)[name = string(\"y\")];\n"
            "tensor<fp16, [1, 64, 1, 32]> t = tanh(x = y)[name = string(\"t\")];\n"
            "tensor<fp16, [1, 128, 1, 32]> o00_out = concat(values = (y, t))[name = string(\"o00_out\")];\n"));
    put(a, dir, "map/fwd.map", "5 a.anel:3:4 fwd matmul\n6 lib.anel:7:9 fwd tanh b.anel:9:9\n7 lib.anel:12:1 fwd output a.anel:3:2\nnonsense\n8 x:y:z\n9 :1:1\n");
    Plan *p = plan_open(a, dir, hash, &why);
    cr_assert(p != NULL, "%s", why.data);
    const Target *any = target_any();
    cr_expect(plan_analyse(a, p, dir, hash, &any, 1, &why) == NULL); /* bwd.mil is not there */
    cr_expect(strstr(why.data, "bwd.mil") != NULL, "%s", why.data);
    put(a, dir, "mil/bwd.mil", "what");
    buf_clear(&why);
    cr_expect(plan_analyse(a, p, dir, hash, &any, 1, &why) == NULL);
    cr_expect(strstr(why.data, "no MIL text") != NULL, "%s", why.data);
    put(a, dir, "mil/bwd.mil",
        MIL("128", "64", "tensor<fp16, [1, 64, 1, 32]> o00_out = slice_by_size(x = i00_in)[name = string(\"o00_out\")];\n"));
    buf_clear(&why);
    Analysis *x = plan_analyse(a, p, dir, hash, &any, 1, &why);
    cr_assert(x != NULL, "%s", why.data);

    cr_expect_eq(x->layers, 2);
    cr_expect_eq(x->accum, 3);
    cr_expect_eq(x->dispatches, 4);
    cr_expect_eq(x->compiles, 4);
    cr_expect_eq(x->compiles_update, 2); /* the backward program has no weights */
    cr_expect_eq(x->saved_channels, 64);
    cr_assert_eq(x->kepts, 1);
    cr_expect_str_eq(x->kept[0]->name, "kept");
    cr_expect_not(x->llama);

    const AnalysedProgram *f = &x->program[0], *b = &x->program[1];
    cr_expect(f->trained && f->loop && !f->backward && f->has_params);
    cr_expect(b->trained && b->loop && b->backward && !b->has_params);
    cr_expect_eq(f->runs, 2);
    cr_expect_eq(f->in, 64);
    cr_expect_eq(f->out, 128);
    cr_expect_eq(f->work.in_bytes, 64 * 64);
    cr_expect_eq(f->work.out_bytes, 128 * 64);
    cr_expect_eq(f->work.conv_flops, 2 * 64 * 64 * 32);
    cr_expect_eq(f->param_bytes, 2 * 64 * 64);
    cr_assert_eq(f->values, 3);
    cr_expect(f->value[1].next && !f->value[1].saved); /* y */
    cr_expect(!f->value[2].next && f->value[2].saved); /* t */
    cr_expect(b->value[2].output && b->value[2].next && !b->value[2].saved);
    cr_assert_eq(f->sources, 2);
    cr_expect_eq(f->source[0].line, 3);
    cr_expect_eq(f->source[0].count, 2);
    cr_expect_str_eq(f->source[1].file, "b.anel"); /* the statement, not the library's line */
    cr_expect_eq(f->source[1].line, 9);

    cr_expect_eq(x->cpu[0][0].steps, 2);
    cr_expect_eq(x->cpu[0][1].steps, 0);
    cr_expect_eq(x->cpu[0][1].staged_bytes, 2 * 2 * 2 * 64 * 32); /* into and out of the surface, two layers, fp16 */
    cr_expect_eq(x->cpu[1][1].staged_bytes, 3 * 2 * 2 * 64 * 32);
    Totals layer = analysis_layer(a, x), all = analysis_microbatch(a, x);
    cr_expect_eq(layer.programs, 2);
    cr_expect_eq(layer.ns[0], f->ns[0] + b->ns[0]);
    cr_expect_eq(all.ns[0], 2 * layer.ns[0]);
    cr_expect_eq(f->ns[0], cost_run_ns(any, &f->work));

    explain_text(a, x, &text);
    cr_expect(strstr(text.data, "saved      t 64\n") != NULL, "%s", text.data);
    cr_expect(strstr(text.data, "4 dispatches per micro-batch, 12 per step of 3; 2 compilations per update, 4 at the start") != NULL);
    buf_clear(&text);
    explain_json(a, x, &text);
    cr_expect(strstr(text.data, "\"saved_channels\": 64") != NULL, "%s", text.data);
    buf_free(&text);
    buf_free(&why);
    cr_expect(dir_remove(dir, err));
    arena_free(a);
}
