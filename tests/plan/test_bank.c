/* test_bank.c: which instances are compiled as one. */
#include "plan/plan_bank.h"

#include <criterion/criterion.h>
#include <string.h>

/* Two loops of three layers, one reversed, a head between them, something frozen in both, a table in all. */
static const char manifest[] =
    "param w.{2..4} {\n  shape 8x8\n  init ones\n}\nparam fixed.{2..4} {\n  shape 8x8\n  init ones\n  frozen yes\n}\n"
    "table 0123456789abcdef0123456789abcdef f16 1x8x1x6 one\n"
    "program up {\n  mil up 0123456789abcdef0123456789abcdef\n  instances 2 3\n  in x 1x8x1x6\n  out y 1x8x1x6\n"
    "  weight weights/w.bin 8x8x1x1 = w.{L}\n"
    "  weight const/0123456789abcdef0123456789abcdef.blob 1x8x1x6 = table one\n}\n"
    "program still {\n  mil still 0123456789abcdef0123456789abcdef\n  instances 2 3\n  in x 1x8x1x6\n  out y 1x8x1x6\n"
    "  weight weights/w.bin 8x8x1x1 = T(fixed.{L})\n"
    "  weight const/0123456789abcdef0123456789abcdef.blob 1x8x1x6 = table one\n}\n"
    "program head {\n  mil head 0123456789abcdef0123456789abcdef\n  in x 1x8x1x6\n  out y 1x8x1x6\n"
    "  weight own/one.bin 1x8x1x6 = table one\n}\n"
    "program down {\n  mil down 0123456789abcdef0123456789abcdef\n  instances 2 3\n  in x 1x8x1x6\n  out y 1x8x1x6\n"
    "  weight weights/w.bin 8x8x1x1 = T(w.{L})\n}\n"
    "buffer scale f32 scalar\nsurface x 1x8x1x6\nsurface y 1x8x1x6\nbuffer loss f32 1\n"
    "entry loss {\n  input scale loss_scale scale\n  result loss loss\n"
    "  forward {\n    move x:8x6 <- 1:8x6\n    loop L 2 3 {\n      run up y:1x8x1x6 <- x:1x8x1x6\n      run still y:1x8x1x6 <- x:1x8x1x6\n    }\n"
    "    run head y:1x8x1x6 <- x:1x8x1x6\n    run head y:1x8x1x6 <- x:1x8x1x6\n    reshape loss:1 <- scale:1\n  }\n"
    "  backward {\n    loop L 2 3 reverse {\n      run down y:1x8x1x6 <- x:1x8x1x6\n    }\n  }\n}\n";

enum { WEIGHT = 128 + 2 * 64, TABLE = 128 + 2 * 48 };

static Plan *make(Arena *a, int64_t functions, int64_t bytes)
{
    Buf   err = {0};
    char *text = arena_printf(a, "anep 1.0\nfunctions %lld bytes %lld\n%s", (long long)functions, (long long)bytes, manifest);
    Plan *p = plan_parse(a, "plan.anep", text, strlen(text), &err);
    cr_assert(p != NULL, "%s", err.data);
    buf_free(&err);
    return p;
}

/* "up2 up3 | still2": the banks of the entry's parts, trained ones with a star. */
static const char *divided(Arena *a, const Plan *p, bool forward, bool backward)
{
    PlanInstance *x;
    PlanBank     *bank;
    Buf           out = {0};
    uint32_t      n = plan_instances(p, a, 0, forward, backward, &x), banks = plan_banks(p, a, x, n, &bank);
    for (uint32_t i = 0; i < banks; i++) {
        buf_printf(&out, "%s%s", i ? " | " : "", bank[i].trained ? "*" : "");
        for (uint32_t k = 0; k < bank[i].members; k++)
            buf_printf(&out, "%s%s%d", k ? " " : "", p->program[bank[i].member[k].program].name,
                       p->program[bank[i].member[k].program].first + (int)bank[i].member[k].k);
    }
    const char *text = arena_strdup(a, out.data);
    buf_free(&out);
    return text;
}

Test(bank, instances_are_divided_in_the_order_of_need_and_by_what_changes)
{
    static const struct {
        int64_t     functions, bytes;
        bool        forward, backward;
        const char *want;
    } given[] = {
        {1, 9, true, true, "*up2 | *up3 | *up4 | still2 | still3 | still4 | head0 | *down4 | *down3 | *down2"},
        {256, 1 << 30, true, true, "*up2 up3 up4 down4 down3 down2 | still2 still3 still4 head0"},
        {256, 1 << 30, true, false, "*up2 up3 up4 | still2 still3 still4 head0"},
        {256, 1 << 30, false, true, "*down4 down3 down2"},
        {2, 1 << 30, true, true, "*up2 up3 | *up4 down4 | still2 still3 | still4 head0 | *down3 down2"},
        /* the table counts once for all that name it by its hash, and again for `head`, which has a copy */
        {256, 3 * WEIGHT + TABLE, true, true, "*up2 up3 up4 | still2 still3 still4 | head0 | *down4 down3 down2"},
        {256, 3 * WEIGHT + 2 * TABLE, true, true, "*up2 up3 up4 | still2 still3 still4 head0 | *down4 down3 down2"},
        {256, 3 * WEIGHT + TABLE - 1, true, false, "*up2 up3 | *up4 | still2 still3 | still4 head0"},
        {256, 1, false, true, "*down4 | *down3 | *down2"},
    };
    for (size_t i = 0; i < COUNT(given); i++) {
        Arena *a = arena_new();
        Plan  *p = make(a, given[i].functions, given[i].bytes);
        cr_assert_str_eq(divided(a, p, given[i].forward, given[i].backward), given[i].want);
        arena_free(a);
    }
}
