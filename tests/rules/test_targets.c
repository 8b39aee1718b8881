/* test_targets.c: the same text on different engines: a target's facts decide what is a violation, and how bad it
 * is. */
#include "lint/lint.h"

#include <criterion/criterion.h>
#include <string.h>

#define HEADER                                                                                                         \
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, "                     \
    "{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
#define IN(c, s)  "func main<ios18>(tensor<fp16, [1, " #c ", 1, " #s "]> i00_x) {\n"
#define END       "} -> (o00_y);\n}\n"
#define FILE_(t)  t "(BLOBFILE(path = string(\"@model_path/w.bin\"), offset = uint64(64)))"
#define NAMED(n)  "[name = string(\"" n "\")];\n"

static Target target(Family family)
{
    Target t = *target_any();
    t.name = "test";
    t.family = family;
    return t;
}

/* The severity of `rule` on `t`, LEVEL_OFF if it is not told. */
static RuleLevel level(const char *text, uint32_t rule, const LintOptions *o)
{
    Arena    *a = arena_new();
    Sources  *s = sources_new(a);
    Diags    *ds = diags_new(a, s, "test");
    RuleLevel found = LEVEL_OFF;
    lint_mil(a, o, ds, sources_add(s, "t.mil", text, strlen(text)), NULL, 0, NULL);
    for (uint32_t i = 0; i < ds->count; i++)
        if (strcmp(ds->item[i]->code, rule_info[rule].id) == 0)
            found = ds->item[i]->severity == DIAG_ERROR ? LEVEL_ERROR : LEVEL_WARNING;
    arena_free(a);
    return found;
}

static RuleLevel on(const char *text, uint32_t rule, const Target *t)
{
    return level(text, rule, &(LintOptions){.target = t});
}

Test(targets, caps_are_the_target_s)
{
    static const char text[] =
        HEADER IN(64, 32768) "tensor<fp16, [1, 64, 1, 32768]> o00_y = relu(x = i00_x)" NAMED("o00_y") END;
    Target            t = target(FAMILY_H16);
    cr_assert_eq(on(text, 38, target_any()), LEVEL_ERROR);
    t.max_axis = 65536;
    cr_assert_eq(on(text, 38, &t), LEVEL_OFF);
}

Test(targets, surfaces_and_ports)
{
    static const char text[] =
        HEADER IN(64, 24) "tensor<fp16, [1, 64, 1, 24]> o00_y = relu(x = i00_x)" NAMED("o00_y") END;
    Target            t = target(FAMILY_H16);
    cr_assert_eq(on(text, 39, &t), LEVEL_ERROR);
    cr_assert_eq(on(text, 4, &t), LEVEL_WARNING);
    t.io_width_multiple = 8;
    t.surface_min = 1;
    cr_assert_eq(on(text, 39, &t), LEVEL_OFF);
    cr_assert_eq(on(text, 4, &t), LEVEL_OFF);
    cr_assert_eq(level(text, 4, &(LintOptions){.target = target_any(), .rounded = true}), LEVEL_OFF);
}

Test(targets, early_generations_refuse_more)
{
    static const char inline_[] = HEADER IN(
        1024,
        64) "tensor<fp16, [1, 1, 1, 2]> k = const()[name = string(\"k\"), val = tensor<fp16, [1, 1, 1, 2]>([0x1p+0, 0x1p+1])];\n"
            "tensor<fp16, [1, 1024, 32, 2]> t = reshape(x = i00_x, shape = tensor<int32, [4]>([1, 1024, 32, 2]))" NAMED("t") "tensor<fp16, [1, 1024, 32, 2]> u = mul(x = t, y = k)" NAMED(
                "u") "tensor<fp16, [1, 1024, 1, 64]> o00_y = reshape(x = u, shape = tensor<int32, [4]>([1, 1024, 1, 64]))" NAMED("o00_y")
                END;
    static const char plain_y[] = HEADER IN(512, 64) "tensor<fp16, [1, 1, 64, 64]> w = const()[name = string(\"w\"), val = " FILE_(
        "tensor<fp16, [1, 1, 64, 64]>") "];\n"
                                        "tensor<fp16, [1, 1, 512, 64]> x = reshape(x = i00_x, shape = tensor<int32, [4]>([1, 1, 512, 64]))" NAMED("x") "tensor<fp16, [1, 1, 512, 64]> p = matmul(x = x, y = w, transpose_x = bool(false), transpose_y = bool(false))" NAMED(
                                            "p") "tensor<fp16, [1, 512, 1, 64]> o00_y = reshape(x = p, shape = tensor<int32, [4]>([1, 512, 1, 64]))" NAMED("o00_y")
                                            END;
    static const char beside[] = HEADER IN(512, 64) "tensor<fp16, [1, 1, 64, 64]> w = const()[name = string(\"w\"), val = " FILE_(
        "tensor<fp16, [1, 1, 64, 64]>") "];\n"
                                        "tensor<fp16, [1, 1, 512, 64]> x = reshape(x = i00_x, shape = tensor<int32, [4]>([1, 1, 512, 64]))" NAMED("x") "tensor<fp16, [1, 1, 512, 64]> p = matmul(x = x, y = w, transpose_x = bool(false), transpose_y = bool(false))" NAMED(
                                            "p") "tensor<fp16, [1, 1, 512, 64]> q = relu(x = p)" NAMED("q") "tensor<fp16, [1, 512, 1, 64]> o00_y = reshape(x = q, shape = tensor<int32, [4]>([1, 512, 1, 64]))" NAMED("o00_y")
                                            END;
    Target h13 = target(FAMILY_H13), h16 = target(FAMILY_H16);
    cr_assert_eq(on(inline_, 30, &h13), LEVEL_ERROR);
    cr_assert_eq(on(inline_, 30, &h16), LEVEL_WARNING);
    cr_assert_eq(on(plain_y, 31, &h13), LEVEL_ERROR); /* alone in its program */
    cr_assert_eq(on(beside, 31, &h13), LEVEL_WARNING);
    cr_assert_eq(on(plain_y, 31, &h16), LEVEL_OFF);
}

Test(targets, crops_hurt_where_they_are_fixed_point)
{
    static const char text[] = HEADER IN(64, 512)
        "tensor<fp16, [1, 64, 1, 256]> o00_y = slice_by_size(x = i00_x, begin = tensor<int32, [4]>([0, 0, 0, 256]), "
        "size = tensor<int32, [4]>([1, 64, 1, 256]))" NAMED("o00_y") END;
    static const char bounded[] = HEADER IN(64, 512)
        "tensor<fp16, [1, 64, 1, 512]> t = tanh(x = i00_x)" NAMED("t")
        "tensor<fp16, [1, 64, 1, 256]> o00_y = slice_by_size(x = t, begin = tensor<int32, [4]>([0, 0, 0, 256]), "
        "size = tensor<int32, [4]>([1, 64, 1, 256]))" NAMED("o00_y") END;
    Target t = target(FAMILY_H16);
    t.slice_crop_max = 0;
    cr_assert_eq(on(text, 41, target_any()), LEVEL_WARNING);
    cr_assert_eq(on(bounded, 41, target_any()), LEVEL_OFF, "what is at most 1 survives");
    cr_assert_eq(on(text, 41, &t), LEVEL_OFF);
}

Test(targets, operations_are_the_target_s_and_may_be_allowed)
{
    static const char text[] =
        HEADER IN(64, 512) "tensor<fp16, [1, 64, 1, 512]> o00_y = sin(x = i00_x)" NAMED("o00_y") END;
    static const char *const sine[] = {"sin"};
    Target   t = target(FAMILY_H13);
    TargetOp op = {"sin", OP_NO, CONF_SHOWN, "a polynomial"};
    cr_assert_eq(on(text, 24, &t), LEVEL_OFF, "the conservative profile has it");
    t.op = &op;
    t.ops = 1;
    cr_assert_eq(on(text, 24, &t), LEVEL_ERROR, "the target's word comes first");
    cr_assert_eq(level(text, 24, &(LintOptions){.target = &t, .allow = sine, .allows = 1}), LEVEL_OFF);
}

Test(targets, levels_are_the_user_s)
{
    static const char text[] =
        HEADER IN(64, 512) "tensor<fp16, [1, 64, 1, 512]> o00_y = silu(x = i00_x)" NAMED("o00_y") END;
    LintOptions       o = {.target = target_any()};
    cr_assert_eq(level(text, 64, &o), LEVEL_WARNING);
    o.level[64] = LEVEL_OFF + 1;
    cr_assert_eq(level(text, 64, &o), LEVEL_OFF);
    o.level[64] = LEVEL_ERROR + 1;
    cr_assert_eq(level(text, 64, &o), LEVEL_ERROR);
}

/* RMSNorm as published trainers and this compiler write it: pre-scaled, summed by a convolution with ones. */
Test(targets, a_text_that_keeps_the_rules_is_clean_everywhere)
{
    static const char text[] = HEADER IN(256, 128) "tensor<fp16, [1, 256, 1, 1]> ones = const()[name = string(\"ones\"), val = " FILE_(
        "tensor<fp16, [1, 256, 1, 1]>") "];\n"
                                        "tensor<fp16, [1, 256, 1, 128]> s = mul(x = i00_x, y = fp16(0x1p-4))" NAMED("s") "tensor<fp16, [1, 256, 1, 128]> q = mul(x = s, y = s)" NAMED(
                                            "q") "tensor<fp16, [1, 1, 1, 128]> m = conv(x = q, weight = ones, strides = tensor<int32, [2]>([1, 1]), pad_type = "
                                                 "string(\"valid\"), pad = tensor<int32, [4]>([0, 0, 0, 0]), dilations = tensor<int32, [2]>([1, 1]), groups = int32(1))" NAMED("m") "tensor<fp16, [1, 1, 1, 128]> e = add(x = m, y = fp16(0x1.5p-17))" NAMED(
                                                     "e") "tensor<fp16, [1, 1, 1, 128]> r = pow(x = e, y = fp16(-0x1p-1))" NAMED("r") "tensor<fp16, [1, 256, 1, 128]> o00_y = mul(x = i00_x, y = r)" NAMED("o00_y")
                                                     END;
    static const Family family[] = {FAMILY_UNKNOWN, FAMILY_H13, FAMILY_H14, FAMILY_H15, FAMILY_H16, FAMILY_H17};
    for (size_t i = 0; i < COUNT(family); i++) {
        Arena  *a = arena_new();
        Target  t = target(family[i]);
        Diags  *ds = diags_new(a, sources_new(a), "test");
        Buf     b = {0};
        Sources *s = sources_new(a);
        ds->sources = s;
        lint_mil(a, &(LintOptions){.target = &t}, ds, sources_add(s, "t.mil", text, strlen(text)), NULL, 0, NULL);
        diags_render(ds, &b);
        cr_assert_eq(ds->count, 0, "%s", b.data);
        buf_free(&b);
        arena_free(a);
    }
}
