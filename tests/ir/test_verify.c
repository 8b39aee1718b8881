/* test_verify.c: every rule of verify.c has a module that breaks it, and the message that says so.
 *
 * Most are texts: the reader checks the form only. What the form cannot say is broken by hand afterwards. */
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define HEAD                                                                                                           \
    "module\n"                                                                                                         \
    "param 0 \"w.0\" : real[2] init=zeros\n"                                                                           \
    "param 1 \"w.1\" : real[2] init=zeros\n"                                                                           \
    "param 2 \"v\" : real[3] init=zeros\n"                                                                             \
    "state 0 \"s\" : real[2] init=zeros\n"                                                                             \
    "param_set 0 \"w.{L}\" = 0 1\n"                                                                                    \
    "param_set 1 \"w.0\" = 0\n"                                                                                        \
    "state_set 0 \"s\" = 0\n"                                                                                          \
    "table 1 : real[2] { 1 2 }\n"
#define MAIN(lines)                                                                                                    \
    HEAD "graph @main (\"x\": real[2]) {\n %x = input index=0 : real[2]\n" lines "}\nentry \"e\" @main\n"
#define BODY(main, body)                                                                                               \
    MAIN(main) "graph @body (\"h\": real[2]) {\n %h = input index=0 : real[2]\n" body "}\n"
#define REPEAT                                                                                                         \
    " %r = repeat %x body=@body first=0 n=2 carry=1 xs=0 : none\n %y = proj %r index=0 : real[2]\n return %y\n"

static const struct {
    const char *text, *rule, *message;
} broken[] = {
    {BODY(REPEAT, " %w = param of=\"w.{L}\" : real[2]\n return %w\n"), NULL, NULL},
    {MAIN(" %y = neg %x : real[2] hint=3\n return %y\n"), "V1", "hint 3 or tag 0 does not exist"},
    {MAIN(" %y = neg %x : real[2] tag=1\n return %y\n"), "V1", "tag 1 does not exist"},
    {MAIN(" %y = param of=\"w.0\" set=9 : real[2]\n return %y\n"), "V1", "set 9 does not exist"},
    {MAIN(" state_set %x of=\"s\" set=4 : none\n return %x\n"), "V1", "set 4 does not exist"},
    {MAIN(" %w = grad %x of=\"w.0\" : none\n %y = neg %w : real[2]\n return %y\n"), "V1", "operand 0 has no value"},
    {MAIN(" %y = add %x : real[2]\n return %y\n"), "V2", "'add' takes 2 operands, not 1"},
    {MAIN(" %y = neg %x : real[3]\n return %y\n"), "V3", "the rule gives real[2]"},
    {MAIN(" %y = softmax %x axis=1 : real[2]\n return %y\n"), "V3", "softmax: axis 1 of a value of rank 1"},
    {MAIN(" %y = const table=1 : real[3]\n return %y\n"), "V3", "the table is real[2]"},
    {MAIN(" %z = const value=1 : real[1]\n %y = add %x %z : real[2]\n return %y\n"), "V4",
     "add: operands real[2] and real[1] differ"},
    {MAIN(" %y = reshape %x : real[2, 0]\n return %y\n"), "V5", "axis 1 has extent 0"},
    {MAIN(" %y = broadcast %x : real[70000, 70000]\n return %y\n"), "V5", "2^31 elements or more"},
    {MAIN(" %y = reshape %x : real[2, 1, 1, 1, 1, 1]\n return %y\n"), "V5", "rank 6, at most 5 is allowed"},
    {HEAD "param 3 \"deep\" : real[1, 1, 1, 1, 1, 1] init=zeros\n", "V5",
     "parameter 'deep' has no type, or rank over 5"},
    {HEAD "table 2 \"t\" : none { 1 }\n", "V5", "table 't' has no type"},
    {HEAD "state 1 \"empty\" : real[0] init=zeros\n", "V5", "state 'empty' is real[0]: axis 0"},
    {HEAD "graph @g (\"x\": none) {\n return\n}\n", "V5", "input 0 has no type"},
    {MAIN(" %y = reshape %x : real[3]\n return %y\n"), "V6", "cannot view real[2] as real[3]"},
    {MAIN(" %y = broadcast %x : real[4]\n return %y\n"), "V6", "cannot broadcast real[2] to real[4]: axis 0 is not 1"},
    {MAIN(" %y = input index=1 : real[2]\n return %y\n"), "V7", "input 1 of 1"},
    {MAIN(" %y = input index=0 : real[2]\n return %y\n"), "V7", "input 0 is read by another node already"},
    {HEAD "graph @g (\"x\": real[2]) {\n %x = input index=0 : real[3]\n return %x\n}\n", "V7",
     "the graph's input 0 is real[2]"},
    {MAIN(" %w = param of=\"w.0\" : real[3]\n return %w\n"), "V7", "the leaf 'w.0' is real[2]"},
    {MAIN(" %w = state of=\"s\" : f16[2]\n return %w\n"), "V7", "the leaf 's' is real[2]"},
    {MAIN(" %w = param of=\"w.{L}\" : real[2]\n return %w\n"), "V7", "'w.{L}' has 2 leaves for 1 iterations"},
    {BODY(REPEAT, " %w = param of=\"w.0\" : real[2]\n return %w\n"), "V7", "'w.0' has 1 leaves for 2 iterations"},
    {HEAD "param_set 2 \"mixed\" = 0 2\n", "V7", "set 'mixed' has leaves of different types"},
    {HEAD "param_set 2 \"none\" =\n", "V7", "set 'none' has no leaves"},
    {HEAD "state_set 1 \"far\" = 1\n", "V7", "set 'far' names leaf 1 of 1"},
    {MAIN(" %a = neg %x : real[2] bwd\n %y = neg %a : real[2]\n return %y\n"), "V8",
     "a forward node uses the backward value 0"},
    {MAIN(" %a = const value=0 : real[3]\n grad %a of=\"w.0\" : none\n return %x\n"), "V9",
     "grad: real[3] does not fit 'w.0', which is real[2]"},
    {MAIN(" %a = const value=0 : real[3]\n state_set %a of=\"s\" : none\n return %x\n"), "V9",
     "state_set: real[3] does not fit 's', which is real[2]"},
    {BODY(REPEAT, " %y = const value=0 : real[3]\n return %y\n"), "V10",
     "carried value 0 enters as real[2] and leaves as real[3]"},
    {BODY(" %r = repeat body=@body first=0 n=2 carry=0 xs=0 : none\n return %x\n", " return %h\n"), "V10",
     "0 operands for a region with 1 inputs"},
    {BODY(" %r = repeat %x body=@body first=0 n=0 carry=1 xs=0 : none\n return %x\n", " return %h\n"), "V10",
     "no iterations"},
    {BODY(" %c = call %x body=@body : none\n %y = proj %c index=1 : real[2]\n return %y\n", " return %h\n"), "V10",
     "result 1 of 1"},
    {MAIN(" %y = proj %x index=0 : real[2]\n return %y\n"), "V10", "the operand is neither a repeat nor a call"},
    {BODY(
         REPEAT,
         " %r = repeat %h body=@inner first=0 n=2 carry=1 xs=0 : none\n return %h\n") "graph @inner (\"h\": real[2]) {\n %h = input index=0 : real[2]\n return %h\n}\n",
     "V10", "a repeat inside a region"},
    {BODY(REPEAT, " %c = call %h body=@body : none\n return %h\n"), "V10", "the region contains itself"},
    {MAIN(" %y = stop_grad %x : real[2] ane\n return %y\n"), "V11", "'stop_grad' has no MIL form"},
    {MAIN(" %w = grad %x of=\"w.0\" : none\n return %w\n"), "V12", "result 0 is no value of the graph"},
    {MAIN(" return %x as \"a\", %x as \"a\"\n"), "V12", "two results are called 'a'"},
    {HEAD "graph @g () {\n return\n}\nentry \"e\" @g\nentry \"e\" @g\n", "V13", "two entries are called 'e'"},
};

Test(verify, every_broken_module_is_told)
{
    for (size_t i = 0; i < COUNT(broken); i++) {
        Rig     r = rig_new();
        Module *m = rig_read(&r, broken[i].text);
        cr_assert(m != NULL, "case %zu: %s", i, rig_errors(&r));
        bool ok = module_verify(m, "fuse", r.ds);
        cr_expect(ok == (broken[i].rule == NULL), "case %zu: %s", i, rig_errors(&r));
        bool told = !broken[i].rule;
        for (uint32_t k = 0; k < r.ds->count && broken[i].rule; k++)
            told = told || (strcmp(r.ds->item[k]->code, broken[i].rule) == 0 &&
                            strncmp(r.ds->item[k]->text, "after fuse: ", 12) == 0 &&
                            strstr(r.ds->item[k]->text, broken[i].message) != NULL);
        cr_expect(told, "case %zu wants %s '%s', got:\n%s", i, broken[i].rule, broken[i].message, rig_errors(&r));
        rig_free(&r);
    }
}

/* Every rule of the list has a case above, or below. */
Test(verify, every_rule_has_a_case)
{
    for (int rule = 1; rule <= 13; rule++) {
        char name[8];
        bool found = false;
        snprintf(name, sizeof name, "V%d", rule);
        for (size_t i = 1; i < COUNT(broken); i++)
            found = found || strcmp(broken[i].rule, name) == 0;
        cr_expect(found, "%s", name);
    }
}

Test(verify, messages_show_the_line)
{
    Rig     r = rig_new();
    Module *m = rig_read(&r, MAIN(" %y = neg %x : real[3]\n return %y\n"));
    cr_assert(!module_verify(m, "fuse", r.ds));
    cr_assert_str_eq(rig_errors(&r), "t.ir:12:2: error[V3]: after fuse: the rule gives real[2]\n"
                                     "  12 |  %y = neg %x : real[3]\n"
                                     "     |  ^~\n"
                                     "  note: @main: %y = neg %x : real[3]\n");
    rig_free(&r);
}

/* What cannot be written down. */
static void expect_after(void (*damage)(Module *m), const char *rule, const char *message)
{
    Rig     r = rig_new();
    Module *m = rig_load(
        &r,
        BODY(
            REPEAT,
            " %c = call %h body=@f : none\n %y = proj %c index=0 : real[2]\n return %y\n") "graph @f (\"h\": real[2]) {\n %h = input index=0 : real[2]\n %k = const value=1 : real[2]\n"
                                                                                           " return %h\n}\ncheck \"f\" @f \"f\" @f\n");
    damage(m);
    cr_expect(!module_verify(m, "test", r.ds));
    cr_expect(strstr(rig_errors(&r), rule) != NULL && strstr(r.buf.data, message) != NULL, "%s", r.buf.data);
    rig_free(&r);
}

static void use_before(Module *m)
{
    m->graph[2]->operand[0] = 3;
}

static void use_nothing(Module *m)
{
    m->graph[2]->operand[0] = 0;
}

static void use_beyond(Module *m)
{
    m->graph[2]->node[2].in_first = 77;
}

static void lose_region(Module *m)
{
    m->graph[1]->node[2].a.repeat.graph = 99;
}

static void lose_callee(Module *m)
{
    m->graph[2]->node[2].a.call.vjp = 99;
}

static void lose_table(Module *m)
{
    m->graph[3]->node[2].a.constant.table = 99;
}

static void lose_result(Module *m)
{
    m->graph[1]->out[0] = 99;
}

static void lose_entry(Module *m)
{
    m->entry[0].graph = 99;
}

static void lose_check(Module *m)
{
    m->vjp_check[0].vjp = 0;
}

static void wild_rank(Module *m)
{
    m->graph[1]->node[1].type.shape.rank = 200;
}

Test(verify, damage_beyond_the_text_form_is_told)
{
    expect_after(use_before, "V1", "operand 0 does not precede the node");
    expect_after(use_nothing, "V1", "operand 0 does not precede the node");
    expect_after(use_beyond, "V1", "operands beyond the graph's");
    expect_after(lose_region, "V1", "region 99 does not exist");
    expect_after(lose_callee, "V1", "adjoint 99 does not exist");
    expect_after(lose_table, "V1", "table 99 does not exist");
    expect_after(lose_result, "V12", "result 0 is no value of the graph");
    expect_after(lose_entry, "V13", "entry 'e' has no graph");
    expect_after(lose_check, "V13", "the check of 'f' has no graph");
    expect_after(wild_rank, "V5", "rank 200");
}

Test(verify, stacks_of_a_repeat_may_have_rank_six)
{
    Rig r = rig_new();
    rig_load(&r,
             "module\ngraph @main (\"x\": real[2, 1, 1, 1, 1, 3]) {\n"
             " %x = input index=0 : real[2, 1, 1, 1, 1, 3]\n"
             " %r = repeat %x body=@body first=0 n=2 carry=0 xs=1 : none\n"
             " %y = proj %r index=0 : real[2, 1, 1, 1, 1, 3]\n"
             " %z = slice %y begin=[1, 0, 0, 0, 0, 0] end=[2, 1, 1, 1, 1, 3] : real[1, 1, 1, 1, 1, 3]\n"
             " %n = neg %z : real[1, 1, 1, 1, 1, 3]\n"
             " %z1 = reshape %n : real[1, 3]\n"
             " %z6 = reshape %z1 : real[1, 1, 1, 1, 1, 3]\n"
             " %two = concat %z6 %z6 axis=0 : real[2, 1, 1, 1, 1, 3]\n"
             " %r2 = repeat %two body=@body first=0 n=2 carry=0 xs=1 : none\n"
             " %last = reshape %z : real[3]\n"
             " return %last\n}\n"
             "graph @body (\"x\": real[1, 1, 1, 1, 3]) {\n %x = input index=0 : real[1, 1, 1, 1, 3]\n return %x\n}\n");
    rig_free(&r);
}
