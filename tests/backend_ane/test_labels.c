/* test_labels.c: what values are called. */
#include "backend_ane/lower.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct {
    Arena  *a;
    Module *m;
    Graph  *g;
    ValueId x;
} Bench;

static StrId sid(Bench *b, const char *s)
{
    return *s ? intern(b->m->strings, s) : 0;
}

static Bench bench(void)
{
    Bench b = {.a = arena_new()};
    b.m = module_new(b.a, interner_new(b.a), NULL);
    b.g = module_add_graph(b.m, intern(b.m->strings, "g"));
    b.x = graph_add_input(b.m, b.g, intern(b.m->strings, "x"), (Type){DT_REAL, shape_of(1, (int32_t[]){4})}, false,
                          (Span){0});
    return b;
}

static ValueId add(Bench *b, Op op, const char *scope, const char *stmt, const char *name, Role role, bool again)
{
    Node n = {
        .op = op, .role = role, .again = again, .scope = sid(b, scope), .stmt = sid(b, stmt), .name = sid(b, name)};
    return graph_add(b->m, b->g, &n, &b->x, 1);
}

static const char **labels(Bench *b, const char *region)
{
    static Builder builder;
    builder = (Builder){.a = b->a, .m = b->m};
    Scope s = {.b = &builder, .g = b->g, .region = region};
    scope_labels(&s);
    return s.label;
}

Test(labels, are_scope_statement_and_operation)
{
    Bench   b = bench();
    ValueId v[] = {add(&b, OP_exp, "layers.attention", "q", "", ROLE_FWD, false),
                   add(&b, OP_exp, "layers.attention", "q", "", ROLE_FWD, false),
                   add(&b, OP_tanh, "layers.attention", "q", "q", ROLE_FWD, false),
                   add(&b, OP_exp, "layers", "xn.r", "", ROLE_FWD, false),
                   add(&b, OP_exp, "layers2", "", "", ROLE_FWD, false),
                   add(&b, OP_tanh, "layers", "xn.u", "u", ROLE_BWD, false),
                   add(&b, OP_tanh, "layers.attention", "q", "q", ROLE_BWD, true)};
    const char *want[] = {"attention_q_exp", "attention_q_exp_2", "attention_q", "xn_r_exp", "layers2_exp",
                          "d_xn_u",          "re_attention_q"};
    const char **l = labels(&b, "layers");
    for (size_t i = 0; i < COUNT(v); i++)
        cr_expect_str_eq(l[v[i]], want[i]);
    cr_expect_str_eq(l[b.x], "x");
    cr_expect_str_eq(labels(&b, "")[v[0]], "layers_attention_q_exp");
    arena_free(b.a);
}

Test(labels, the_last_value_with_the_variables_name_has_it)
{
    Bench   b = bench();
    ValueId early = add(&b, OP_exp, "", "p", "p", ROLE_BWD, false),
            late = add(&b, OP_tanh, "", "p", "p", ROLE_BWD, false);
    const char **l = labels(&b, "");
    cr_expect_str_eq(l[early], "d_p_exp");
    cr_expect_str_eq(l[late], "d_p");
    arena_free(b.a);
}

Test(labels, a_statement_does_not_count_what_another_makes)
{
    Bench b = bench(), c = bench();
    /* The variable q_exp and an exp on the way to q; path a.b, statement c and path a, statement b.c */
    ValueId one[] = {add(&b, OP_exp, "", "q", "", ROLE_FWD, false), add(&b, OP_exp, "a.b", "c", "", ROLE_FWD, false)};
    ValueId two[] = {add(&c, OP_exp, "", "q", "", ROLE_FWD, false), add(&c, OP_exp, "a.b", "c", "", ROLE_FWD, false),
                     add(&c, OP_exp, "a", "b.c", "", ROLE_FWD, false),
                     add(&c, OP_tanh, "", "q_exp", "q_exp", ROLE_FWD, false)};
    const char **l = labels(&b, ""), **k = labels(&c, "");
    cr_expect_str_eq(l[one[0]], "q_exp");
    cr_expect_str_eq(k[two[3]], "q_exp");
    cr_expect(strncmp(k[two[0]], "q_exp_", 6) == 0 && strlen(k[two[0]]) == 12, "%s", k[two[0]]); /* by its content */
    cr_expect_str_eq(l[one[1]], k[two[1]]);
    cr_expect(strncmp(k[two[2]], "a_b_c_exp_", 10) == 0 && strlen(k[two[2]]) == 16, "%s", k[two[2]]);
    arena_free(b.a);
    arena_free(c.a);
}
