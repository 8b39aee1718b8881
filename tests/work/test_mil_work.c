/* test_mil_work.c: work counted from MIL text, against figures worked out by hand. */
#include "work/mil_work.h"

#include <criterion/criterion.h>
#include <string.h>

#define HEAD "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
#define BLOB(name, shape)                                                                                    \
    "tensor<fp16, [" shape "]> " name " = const()[name = string(\"" name "\"), val = tensor<fp16, [" shape                  \
    "]>(BLOBFILE(path = string(\"@model_path/" name ".bin\"), offset = uint64(64)))];\n"
#define CONV(to, from, w)                                                                                    \
    "tensor<fp16, [1, 128, 1, 32]> " to " = conv(weight = " w ", x = " from ")[name = string(\"" to "\")];\n"
#define FLAGS                                                                                                \
    "bool no = const()[name = string(\"no\"), val = bool(false)];\nbool yes = const()[name = string(\"yes\"), val = bool(true)];\n"

typedef struct {
    Arena   *a;
    Work     w;
    uint64_t params;
    OpCount *op;
    uint32_t ops;
    int64_t  heads;
    Buf      err;
    bool     ok;
} Rig;

static bool from_w(const void *ctx, const char *path)
{
    (void)ctx;
    return strstr(path, "/w") != NULL;
}

static Rig count(const char *text)
{
    Rig r = {.a = arena_new()};
    r.ok = mil_work(r.a, "test.mil", text, strlen(text), from_w, NULL, &r.w, &r.params, &r.op, &r.ops, &r.heads, &r.err);
    return r;
}

static void done(Rig *r)
{
    buf_free(&r->err);
    arena_free(r->a);
}

Test(mil_work, convolutions_and_their_weights)
{
    Rig r = count(HEAD "func main<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {\n" BLOB("w", "128, 64, 1, 1") BLOB("t", "128, 128, 1, 1")
                      CONV("a", "x", "w") CONV("b", "a", "t") CONV("c", "b", "t") "} -> (c);\n}\n");
    cr_assert(r.ok, "%s", r.err.data);
    cr_expect_eq(r.w.conv_flops, 2u * 32 * (64 * 128 + 2 * 128 * 128));
    cr_expect_eq(r.w.weight_bytes, 2u * (128 * 64 + 128 * 128)); /* t is read once */
    cr_expect_eq(r.params, 2u * 128 * 64);
    cr_expect_eq(r.w.matmul_flops, 0);
    cr_expect_eq(r.w.inner_bytes, 0);
    cr_expect_eq(r.w.notch_bytes, 0);
    cr_expect_eq(r.w.ops, 3);
    cr_assert_eq(r.ops, 1);
    cr_expect_str_eq(r.op[0].op, "conv");
    cr_expect_eq(r.op[0].count, 3);
    done(&r);
}

Test(mil_work, a_weight_from_an_input_is_a_product_of_activations)
{
    Rig r = count(HEAD "func main<ios18>(tensor<fp16, [1, 64, 1, 32]> x, tensor<fp16, [128, 64, 1, 1]> v) {\n" CONV("a", "x", "v")
                      "} -> (a);\n}\n");
    cr_assert(r.ok, "%s", r.err.data);
    cr_expect_eq(r.w.conv_flops, 0);
    cr_expect_eq(r.w.matmul_flops, 2u * 32 * 64 * 128);
    done(&r);
}

Test(mil_work, matmuls_contract_what_their_flags_say)
{
    static const struct {
        const char *x, *flag;
    } c[] = {{"1, 4, 32, 48", "no"}, {"1, 4, 48, 32", "yes"}};
    for (size_t i = 0; i < COUNT(c); i++) {
        Arena      *a = arena_new();
        const char *text = arena_printf(
            a, HEAD "func main<ios18>(tensor<fp16, [%s]> x, tensor<fp16, [1, 4, 48, 16]> y) {\n" FLAGS
               "tensor<fp16, [1, 4, 32, 16]> z = matmul(transpose_x = %s, transpose_y = no, x = x, y = y)[name = string(\"z\")];\n} -> (z);\n}\n",
            c[i].x, c[i].flag);
        Rig r = count(text);
        cr_assert(r.ok, "%s", r.err.data);
        cr_expect_eq(r.w.matmul_flops, 2u * 4 * 32 * 16 * 48, "%s", c[i].flag);
        done(&r);
        arena_free(a);
    }
}

Test(mil_work, inner_bytes_are_what_is_read_and_written)
{
    /* slices of inputs, views and the output's concat are free; mul reads one value once; constants do not count */
    Rig r = count(HEAD
        "func main<ios18>(tensor<fp16, [1, 128, 1, 32]> x) {\n" BLOB("g", "1, 64, 1, 1")
        "tensor<fp16, [1, 64, 1, 32]> p = slice_by_size(x = x)[name = string(\"p\")];\n"
        "tensor<fp16, [1, 64, 1, 32]> q = mul(x = p, y = p)[name = string(\"q\")];\n"
        "tensor<fp16, [1, 64, 1, 32]> s = mul(x = q, y = g)[name = string(\"s\")];\n"
        "tensor<fp16, [1, 4, 16, 32]> u = reshape(x = s)[name = string(\"u\")];\n"
        "tensor<fp16, [1, 4, 16, 32]> v = softmax(x = u)[name = string(\"v\")];\n"
        "tensor<fp16, [1, 64, 1, 32]> w = reshape(x = v)[name = string(\"w\")];\n"
        "tensor<fp16, [1, 32, 1, 32]> y = slice_by_size(x = w)[name = string(\"y\")];\n"
        "tensor<fp16, [1, 96, 1, 32]> z = concat(values = (w, y))[name = string(\"z\")];\n"
        "} -> (z);\n}\n");
    cr_assert(r.ok, "%s", r.err.data);
    const uint64_t c = 2 * 32; /* a channel */
    cr_expect_eq(r.w.inner_bytes, c * (128 + 128 + 128 + 64 + 32), "%llu", (unsigned long long)(r.w.inner_bytes / c));
    cr_expect_eq(r.heads, 4);
    cr_expect_eq(r.w.ops, 8);
    done(&r);
}

Test(mil_work, weights_on_the_notch_are_told)
{
    Rig r = count(HEAD "func main<ios18>(tensor<fp16, [1, 4096, 1, 32]> x) {\n" BLOB("w", "2048, 4096, 1, 1") BLOB("m", "1, 1, 1024, 1024")
                      "tensor<fp16, [1, 2048, 1, 32]> a = conv(weight = w, x = x)[name = string(\"a\")];\n"
                      "tensor<fp16, [1, 2048, 1, 32]> b = add(x = a, y = m)[name = string(\"b\")];\n} -> (b);\n}\n");
    cr_assert(r.ok, "%s", r.err.data);
    cr_expect_eq(r.w.notch_bytes, 2u * 2048 * 4096); /* a table of 2 MiB is no weight of a convolution */
    done(&r);
}

/* Whatever is cut off or replaced, it is counted or refused. */
Test(mil_work, damaged_text_is_refused_or_counted)
{
    static const char text[] = HEAD "func main<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {\n" BLOB("w", "128, 64, 1, 1") CONV("a", "x", "w")
                               "} -> (a);\n}\n";
    uint32_t refused = 0;
    for (size_t i = 0; i < strlen(text); i++)
        for (uint32_t k = 0; k < 3; k++) {
            Arena *a = arena_new();
            char  *t = arena_strndup(a, text, k == 0 ? i : strlen(text));
            if (k == 1)
                t[i] = '0';
            else if (k == 2)
                t[i] = (char)(t[i] ^ 1);
            Rig r = count(t);
            cr_expect_eq(r.ok, r.err.len == 0);
            refused += !r.ok;
            done(&r);
            arena_free(a);
        }
    cr_expect(refused > strlen(text));
}

Test(mil_work, functions_are_counted_apart_with_their_borders)
{
    static const char text[] = HEAD
        "func a<ios18>(tensor<fp16, [1, 64, 1, 32]> x, tensor<fp32, [1, 64, 1, 1]> y) { tensor<fp16, [1, 64, 1, 32]> z = "
        "add(x = x, y = y)[name = string(\"z\")]; } -> (z);\n"
        "func b<ios18>(tensor<fp16, [1, 32, 1, 32]> x) { tensor<fp16, [1, 32, 1, 32]> z = relu(x = x)[name = "
        "string(\"z\")]; tensor<fp16, [1, 32, 1, 32]> u = relu(x = z)[name = string(\"u\")]; } -> (z, u);\n}\n";
    Arena *a = arena_new();
    Work   w[2];
    Buf    err = {0};
    cr_assert(mil_function_work(a, "test.mil", text, strlen(text), w, 2, &err), "%s", err.data);
    cr_assert_eq(w[0].in_bytes, 4096 + 256);
    cr_assert_eq(w[0].out_bytes, 4096);
    cr_assert_eq(w[0].inner_bytes, 4096 + 256 + 4096);
    cr_assert_eq(w[0].ops, 1);
    cr_assert_eq(w[1].in_bytes, 2048);
    cr_assert_eq(w[1].out_bytes, 4096);
    cr_assert_eq(w[1].inner_bytes, 4 * 2048);
    cr_assert_eq(w[1].ops, 2);
    cr_assert_not(mil_function_work(a, "test.mil", "program", 7, w, 2, &err));
    buf_free(&err);
    arena_free(a);
}
