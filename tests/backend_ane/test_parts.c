/* test_parts.c: partition and MIL text, each alone. */
#include "rig.h"

#include "backend_ane/mil_text.h"
#include "backend_ane/partition.h"

#include <criterion/criterion.h>
#include <string.h>

/* ---- partition ---- */

typedef struct {
    Arena  *a;
    Module *m;
    Graph  *g;
} Bench;

static Bench bench(void)
{
    Bench b = {.a = arena_new()};
    b.m = module_new(b.a, interner_new(b.a), sources_new(b.a));
    b.g = module_add_graph(b.m, 0);
    return b;
}

static ValueId on(Bench *b, ValueId v, Place where, Role role)
{
    b->g->node[v].device = where;
    b->g->node[v].role = role;
    return v;
}

static ValueId step(Bench *b, ValueId x, Place where, Role role)
{
    return on(b, g_unary(b->m, b->g, NULL, OP_tanh, x), where, role);
}

static ValueId start(Bench *b)
{
    return graph_add_input(b->m, b->g, intern(b->m->strings, "x"), type_of(DT_REAL, 2, (int32_t[]){64, 32}), false,
                           (Span){0});
}

Test(partition, work_of_the_cpu_between_two_values_makes_two_programs)
{
    Bench     b = bench();
    ValueId   x = start(&b), p = step(&b, x, DEV_ANE, ROLE_FWD), q = step(&b, p, DEV_ANE, ROLE_FWD);
    ValueId   c = step(&b, q, DEV_CPU, ROLE_FWD), r = step(&b, c, DEV_ANE, ROLE_FWD);
    ValueId   side = step(&b, x, DEV_ANE, ROLE_FWD); /* independent: shares the first */
    Partition t;
    graph_add_out(b.m, b.g, r, 0);
    graph_add_out(b.m, b.g, side, 0);
    t = partition(b.a, b.m, b.g);
    cr_expect_eq(t.programs, 2);
    cr_expect(t.program[p] == 1 && t.program[q] == 1 && t.program[side] == 1 && t.program[r] == 2);
    cr_expect(t.program[c] == 0 && t.program[x] == 0);
    arena_free(b.a);
}

Test(partition, directions_never_share_a_program)
{
    Bench   b = bench();
    ValueId x = start(&b), f = step(&b, x, DEV_ANE, ROLE_FWD), g = step(&b, f, DEV_ANE, ROLE_BWD);
    graph_add_out(b.m, b.g, g, 0);
    Partition t = partition(b.a, b.m, b.g);
    cr_expect_eq(t.programs, 2);
    cr_expect_neq(t.program[f], t.program[g]);
    arena_free(b.a);
}

Test(partition, a_value_moves_to_the_program_that_reads_it)
{
    Bench     b = bench();
    ValueId   x = start(&b), first = step(&b, x, DEV_ANE, ROLE_FWD), c = step(&b, first, DEV_CPU, ROLE_FWD);
    ValueId   early = step(&b, x, DEV_ANE, ROLE_FWD); /* could run at once, but only the second program reads it */
    ValueId   late = on(&b, g_binary(b.m, b.g, NULL, OP_add, early, c), DEV_ANE, ROLE_FWD);
    graph_add_out(b.m, b.g, late, 0);
    Partition t = partition(b.a, b.m, b.g);
    cr_expect_eq(t.programs, 2);
    cr_expect_eq(t.program[early], t.program[late]);
    cr_expect_neq(t.program[first], t.program[late]);
    arena_free(b.a);
}

Test(partition, a_cut_ends_programs_on_both_sides)
{
    Bench    b = bench();
    uint32_t h = module_add_hint(b.m, (Hint){.cut = 1});
    ValueId  x = start(&b), p = step(&b, x, DEV_ANE, ROLE_FWD), q = step(&b, p, DEV_ANE, ROLE_FWD);
    ValueId  r = step(&b, q, DEV_ANE, ROLE_FWD);
    b.g->node[q].hint = h;
    graph_add_out(b.m, b.g, r, 0);
    Partition t = partition(b.a, b.m, b.g);
    cr_expect_eq(t.programs, 3);
    cr_expect(t.program[p] == 1 && t.program[q] == 2 && t.program[r] == 3);
    arena_free(b.a);
}

Test(partition, views_of_constants_belong_to_nobody)
{
    Bench   b = bench();
    double  one[32] = {0};
    uint32_t table = module_add_table(b.m, DT_REAL, shape_of(1, (int32_t[]){32}), one, 0);
    ValueId x = start(&b), t = g_table(b.m, b.g, NULL, table);
    ValueId v = g_reshape(b.m, b.g, NULL, t, shape_of(2, (int32_t[]){1, 32}));
    ValueId w = g_broadcast(b.m, b.g, NULL, v, shape_of(2, (int32_t[]){64, 32}));
    ValueId y = on(&b, g_binary(b.m, b.g, NULL, OP_mul, x, w), DEV_ANE, ROLE_FWD);
    on(&b, v, DEV_CPU, ROLE_FWD);
    on(&b, w, DEV_ANE, ROLE_FWD);
    graph_add_out(b.m, b.g, y, 0);
    cr_expect(is_constant(b.g, t) && is_constant(b.g, v) && is_constant(b.g, w) && !is_constant(b.g, y));
    Partition p = partition(b.a, b.m, b.g);
    cr_expect_eq(p.programs, 1);
    cr_expect(p.program[w] == 0 && p.program[v] == 0 && p.program[y] == 1);
    arena_free(b.a);
}

/* ---- MIL text ---- */

static const char *printed(Arena *a, const MilText *t)
{
    Buf b = {0};
    mil_print(t, &b);
    const char *s = arena_strdup(a, b.data);
    buf_free(&b);
    return s;
}

Test(mil_text, constants_are_named_by_content_and_stand_first_in_order)
{
    Arena      *a = arena_new();
    MilText    *t = mil_text_new(a);
    int32_t     begin[4] = {0, 768, 0, -1};
    const char *half = mil_half(t, 1.0 / 3), *ints = mil_ints(t, begin, 4), *again = mil_half(t, 0.33325);
    cr_expect_str_eq(ints, "c_i4_0_768_0_m1");
    cr_expect_str_eq(half, "c_h_3555");
    cr_expect_str_eq(again, half); /* the same number in fp16 */
    mil_input(t, "i00_in", (MilShape){4, {1, 64, 1, 32}});
    mil_statement(t, "fp16", (MilShape){4, {1, 64, 1, 32}}, "y", "mul", (MilArg[]){{"y", half}, {"x", "i00_in"}}, 2);
    mil_output(t, "y");
    const char *s = printed(a, t), *h = strstr(s, "fp16 c_h_3555 = const()"),
               *i = strstr(s, "c_i4_0_768_0_m1 = const()");
    cr_assert(h != NULL && i != NULL && h < i, "%s", s);
    cr_expect(strstr(h + 1, "fp16 c_h_3555 = ") == NULL);
    cr_expect(strstr(s, "val = fp16(0x1.554p-2)") != NULL, "%s", s);
    cr_expect(strstr(s, "tensor<fp16, [1, 64, 1, 32]> y = mul(x = i00_in, y = c_h_3555)[name = string(\"y\")];") > i);
    cr_expect(strstr(s, "func main<ios18>(tensor<fp16, [1, 64, 1, 32]> i00_in) {") != NULL);
    cr_expect(strstr(s, "} -> (y);") != NULL);
    arena_free(a);
}

Test(mil_text, value_names_are_clean_unique_and_bounded)
{
    Arena   *a = arena_new();
    MilText *t = mil_text_new(a);
    cr_expect_str_eq(mil_name(t, "attention.q"), "attention_q");
    cr_expect_str_eq(mil_name(t, "attention.q"), "attention_q_2");
    cr_expect_str_eq(mil_name(t, "attention q"), "attention_q_3");
    const char *digit = mil_name(t, "3d");
    cr_expect(*digit < '0' || *digit > '9', "%s", digit);
    char wide[200];
    memset(wide, 'x', sizeof wide - 1);
    wide[sizeof wide - 1] = 0;
    const char *p = mil_name(t, wide), *q = mil_name(t, wide);
    cr_expect(strlen(p) == 60 && strlen(q) == 62 && strcmp(p, q) != 0, "%s %s", p, q);
    wide[150] = 'y'; /* two names that differ late differ in their hash, whichever comes first */
    const char *r = mil_name(t, wide), *s = mil_name(mil_text_new(a), wide);
    cr_expect(strlen(r) == 60 && strncmp(p, r, 53) == 0 && strcmp(r, p) != 0, "%s", r);
    cr_expect_str_eq(r, s);
    arena_free(a);
}

Test(mil_text, constants_may_be_named_by_what_they_are_for)
{
    Arena   *a = arena_new();
    MilText *t = mil_text_new(a);
    int32_t  at[4] = {0, 768, 0, 0};
    MilShape s = {4, {1, 1, 64, 32}};
    cr_expect_str_eq(mil_ints_named(t, "at_q", at, 4), "at_q");
    cr_expect_str_eq(mil_ints(t, at, 4), "c_i4_0_768_0_0");
    cr_expect_str_eq(mil_file(t, "t_rope", "const/0123456789ab.blob", s), "t_rope");
    cr_expect_str_eq(mil_file(t, "t_rope", "const/0123456789ab.blob", s), "t_rope");
    cr_expect_str_eq(mil_file(t, "t_rope", "const/ba9876543210.blob", s), "t_rope_ba987654"); /* other contents */
    cr_expect(strstr(printed(a, t),
                     "at_q = const()[name = string(\"at_q\"), val = tensor<int32, [4]>([0, 768, 0, 0])];") != NULL);
    arena_free(a);
}

Test(mil_text, small_halves_keep_their_bits)
{
    Arena   *a = arena_new();
    MilText *t = mil_text_new(a);
    cr_expect_str_eq(mil_half(t, 0x1p-24), "c_h_0001");
    cr_expect_str_eq(mil_half(t, 1e-5), "c_h_00a8");
    cr_expect_str_eq(mil_half(t, -0.5), "c_h_b800");
    const char *s = printed(a, t);
    cr_expect(strstr(s, "fp16(0x1p-24)") != NULL && strstr(s, "fp16(0x1.5p-17)") != NULL, "%s", s);
    arena_free(a);
}
