/* test_text.c: the text form: what is printed reads back to the same text, and nonsense is told where it stands. */
#include "random_ir.h"
#include "rig.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Everything the form can say, as the printer writes it. */
static const char everything[] =
    "module \"demo\"\n"
    "config \"dim\" = \"2\"\n"
    "config \"layers\" = \"3\" overridden\n"
    "setting \"optimizer.lr\" = \"0.0003\"\n"
    "param 0 \"layers.0.w\" : real[2, 2] init=normal(0.02)\n"
    "param 1 \"layers.1.w\" : real[2, 2] init=uniform(-0.1, 0.1) nodecay frozen lr=0.5 import=\"h.1.w\" import_transpose "
    "import_rows=[2, 4]\n"
    "param 2 \"layers.2.w\" : real[2, 2] init=value(1e-05)\n"
    "state 0 \"cache\" : real[2, 1] init=zeros\n"
    "param_set 0 \"layers.{L}.w\" = 0 1 2\n"
    "param_set 1 \"layers.{L}.w\" = 2 1 0\n"
    "state_set 0 \"cache\" = 0\n"
    "table 1 \"mask\" : real[1, 2] { 0 -30000 }\n"
    "table 2 : i32[20] {\n"
    "  0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n"
    "  16 17 18 19\n"
    "}\n"
    "table 3 : real[5] { 0.1 -0.0 inf -inf nan }\n"
    "hint 1 ane save f32 group=\"att\" cut=2\n"
    "hint 2 cpu recompute\n"
    "composite 1 \"rmsnorm\"\n"
    "\n"
    "graph @main (\"x\": real[2, 1], \"t\": token i32[1], _: real[]) {\n"
    "  %x = input index=0 : real[2, 1]\n"
    "  %r = repeat %x body=@body first=1 n=3 carry=1 xs=0 reverse : none\n"
    "  %y = proj %r index=0 : real[2, 1] scope=\"layers\" tag=1 hint=2\n"
    "  %ys = proj %r index=1 : real[3, 2, 1]\n"
    "  %1 = const value=0.1 : real[2, 1]\n"
    "  %y.1 = add %y %1 : real[2, 1] bwd ane program=3\n"
    "  %\"odd \\\"name\\x0a\" = powc %y.1 c=-0.5 : real[2, 1]\n"
    "  %\"odd \\\"name\\x0a\".1 = cmp %y %y.1 kind=le : bool[2, 1]\n"
    "  %2 = sum %y axes=[0, 1] : real[1, 1]\n"
    "  %3 = sum %y axes=[] : real[2, 1]\n"
    "  %m = const table=1 : real[1, 2] cpu\n"
    "  %4 = transpose %m perm=[1, 0] : real[2, 1]\n"
    "  %5 = slice %m begin=[0, 1] end=[1, 2] : real[1, 1]\n"
    "  %6 = pad %5 lo=[0, 1] hi=[1, 0] : real[2, 2]\n"
    "  %7 = matmul %6 %6 ta tb : real[2, 2]\n"
    "  %8 = concat %6 %7 %6 axis=1 : real[2, 6]\n"
    "  %9 = call %y %4 body=@f vjp=@f_bwd fn=\"f\" : none\n"
    "  %10 = call %y %4 body=@f : none\n"
    "  %11 = state of=\"cache\" : real[2, 1]\n"
    "  state_set %y.1 of=\"cache\" : none\n"
    "  return %y as \"loss\", %2\n"
    "}\n"
    "\n"
    "graph @body (\"h\": real[2, 1]) {\n"
    "  %h = input index=0 : real[2, 1]\n"
    "  %w = param of=\"layers.{L}.w\" : real[2, 2]\n"
    "  %w.1 = param of=\"layers.{L}.w\" set=1 : real[2, 2]\n"
    "  %h.1 = matmul %w %h : real[2, 1]\n"
    "  %w.2 = grad %w.1 of=\"layers.{L}.w\" : none bwd\n"
    "  return %h.1, %h\n"
    "}\n"
    "\n"
    "graph @f () {\n"
    "  return\n"
    "}\n"
    "\n"
    "graph @f.1 () {\n"
    "  return\n"
    "}\n"
    "\n"
    "graph @1 () {\n"
    "  return\n"
    "}\n"
    "\n"
    "graph @f_bwd () {\n"
    "  return\n"
    "}\n"
    "\n"
    "entry \"loss\" @main\n"
    "train \"loss\"\n"
    "check \"f\" @f \"f_bwd\" @f_bwd\n";

static void expect_round_trip(const char *text)
{
    Rig     r = rig_new();
    Module *m = rig_read(&r, text);
    cr_assert(m != NULL, "%s", rig_errors(&r));
    buf_clear(&r.buf);
    module_print(m, &r.buf);
    cr_assert_str_eq(r.buf.data, text);
    rig_free(&r);
}

Test(text, everything_reads_back)
{
    expect_round_trip(everything);
}

Test(text, meaning_is_kept_not_only_text)
{
    Rig     r = rig_new();
    Module *m = rig_read(&r, everything);
    cr_assert(m != NULL, "%s", rig_errors(&r));
    const Graph *g = m->graph[1];
    cr_expect_str_eq(interned(m->strings, g->node[6].name), "y");
    cr_expect_str_eq(interned(m->strings, g->node[8].name), "odd \"name\n");
    cr_expect_eq(g->node[5].name, 0);
    cr_expect(g->node[6].role == ROLE_BWD && g->node[6].device == DEV_ANE && g->node[6].program == 3);
    cr_expect_str_eq(interned(m->strings, g->node[3].scope), "layers");
    cr_expect(g->node[3].tag == 1 && g->node[3].hint == 2);
    cr_expect(g->node[2].a.repeat.graph == 2 && g->node[2].a.repeat.reverse && g->node[2].a.repeat.first == 1);
    cr_expect(m->param[1].import_rows[0] == 2 && m->param[1].import_rows[1] == 4 && m->param[1].lr == 0.5);
    cr_expect(m->hint[1].place == PLACE_ANE && m->hint[1].save && !m->hint[1].recompute && m->hint[1].cut == 2);
    cr_expect(g->input[1].is_token && g->input[2].name == 0);
    cr_expect_eq(m->graph[2]->node[3].a.leaf.set, 1);
    rig_free(&r);
}

Test(text, comments_blanks_and_order_of_attributes_are_free)
{
    Rig     r = rig_new();
    Module *m = rig_read(
        &r, "; a comment\n\nmodule ; no name\ngraph @g (\"x\": real[2]) { ; here\n\n"
            "\t%x.7 = input index=0:real[2];x\n  %x=slice %x.7 end=[1]   begin=[0] : real[1]\r\n return %x\n}");
    cr_assert(m != NULL, "%s", rig_errors(&r));
    buf_clear(&r.buf);
    module_print(m, &r.buf);
    cr_assert_str_eq(r.buf.data, "module\n\ngraph @g (\"x\": real[2]) {\n  %x = input index=0 : real[2]\n"
                                 "  %x.1 = slice %x begin=[0] end=[1] : real[1]\n  return %x.1\n}\n");
    rig_free(&r);
}

Test(text, random_modules_read_back)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        Rig r = rig_new();
        random_module(r.m, seed);
        Buf first = {0};
        module_print(r.m, &first);
        cr_assert(module_verify(r.m, "test", r.ds), "seed %d: %s", (int)seed, rig_errors(&r));
        Module *m = rig_read(&r, first.data);
        cr_assert(m != NULL, "seed %d: %s", (int)seed, rig_errors(&r));
        cr_assert(module_verify(m, "read", r.ds), "seed %d: %s", (int)seed, rig_errors(&r));
        buf_clear(&r.buf);
        module_print(m, &r.buf);
        cr_assert_str_eq(r.buf.data, first.data);
        buf_free(&first);
        rig_free(&r);
    }
}

/* Results of the entry "main" with values drawn from a fixed key. */
static Tensor *results(Rig *r, const Module *m)
{
    const Graph *g = m->graph[module_entry(m, "main")->graph];
    Tensor      *in = NEW_N(r->a, Tensor, g->inputs);
    EvalEnv      env = {.m = m, .arena = r->a, .tangents = true};
    for (uint32_t i = 0; i < g->inputs; i++) {
        in[i] = some_tensor(r->a, g->input[i].type, 7 + i, 0.1, 2);
        in[i].dv = some_tensor(r->a, g->input[i].type, 70 + i, -1, 1).v;
    }
    env.param = NEW_N(r->a, double *, m->params);
    env.grad = NEW_N(r->a, double *, m->params);
    env.state = NEW_N(r->a, double *, m->states);
    for (uint32_t i = 0; i < m->params; i++) {
        env.param[i] = some_tensor(r->a, m->param[i].type, i, 0.1, 2).v;
        env.grad[i] = NEW_N(r->a, double, (size_t)shape_numel(m->param[i].type.shape));
    }
    for (uint32_t i = 0; i < m->states; i++)
        env.state[i] = some_tensor(r->a, m->state[i].type, i, 0.1, 2).v;
    return run(&env, g, in);
}

Test(text, a_module_computes_the_same_after_reading)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        Rig r = rig_new();
        random_module(r.m, seed);
        module_print(r.m, &r.buf);
        Module      *m = rig_load(&r, arena_strdup(r.a, r.buf.data));
        Tensor      *x = results(&r, r.m), *y = results(&r, m);
        const Graph *g = r.m->graph[module_entry(r.m, "main")->graph];
        for (uint32_t i = 0; i < g->outs; i++) {
            size_t bytes = (size_t)shape_numel(x[i].type.shape) * sizeof(double);
            cr_assert(memcmp(x[i].v, y[i].v, bytes) == 0, "seed %d", (int)seed);
            cr_assert((x[i].dv == NULL) == (y[i].dv == NULL));
            cr_assert(x[i].dv == NULL || memcmp(x[i].dv, y[i].dv, bytes) == 0, "seed %d", (int)seed);
        }
        rig_free(&r);
    }
}

static const struct {
    const char *text, *error;
} wrong[] = {
    {"", NULL},
    {"modul\n", "t.ir:1:1: error[E0901]: 'module' is expected, not 'modul'"},
    {"module\nparam 1 \"x\" : real[] init=zeros\n", "t.ir:2:7: error[E0901]: an integer in 0..0 is expected, not '1'"},
    {"module\nparam 0 \"x\" : real[2, ] init=zeros\n",
     "t.ir:2:23: error[E0901]: an integer in -2147483648..2147483647"},
    {"module\nparam 0 \"x\" : real[1,1,1,1,1,1,1] init=zeros\n", "']' is expected, not ','"},
    {"module\nparam 0 \"x : real[] init=zeros\n", "a string is expected"},
    {"module\nparam 0 \"\\x00\" : real[] init=zeros\n", "a string is expected"},
    {"module\nparam 0 \"x\" : int[] init=zeros\n", "a type is expected, not 'int'"},
    {"module\nparam 0 \"x\" : real[] init=xavier\n", "zeros, ones, value, normal or uniform is expected"},
    {"module\ntable 1 : real[2] { 1 }\n", "as many numbers as real[2] has (1 are here) is expected"},
    {"module\ntable 1 : real[2] { 1 x }\n", "a number is expected, not 'x'"},
    {"module\ntable 1 : real[2147483647, 2147483647, 4] { 1 }\n", "as many numbers as"},
    {"module\nentry \"e\" @g\n", "the name of a graph is expected, not '@g'"},
    {"module\ngraph @g () {\n", "t.ir:3:1: error[E0901]: the line ends where '}' is expected"},
    {"module\ngraph @g () {\n}\n", "'return' before '}' is expected"},
    {"module\ngraph @g () {\n return\n}\ngraph @g () {\n return\n}\n",
     "t.ir:5:7: error[E0901]: a name that no other graph has"},
    {"module\ngraph @g () {\n %x = neg %y : real[]\n return\n}\n",
     "t.ir:3:11: error[E0901]: a value that is defined above"},
    {"module\ngraph @g () {\n %x = iota : i32[2]\n %x = iota : i32[2]\n return\n}\n",
     "t.ir:4:2: error[E0901]: a name that is not"},
    {"module\ngraph @g () {\n %x = blub : i32[2]\n return\n}\n", "an operation is expected, not 'blub'"},
    {"module\ngraph @g () {\n neg : i32[2]\n return\n}\n", "'%name =', grad, state_set, return or '}' is expected"},
    {"module\ngraph @g () {\n %x = softmax : i32[2]\n return\n}\n", "'axis=' is expected, not ':'"},
    {"module\ngraph @g () {\n %x = softmax axis=1 axis=1 : i32[2]\n return\n}\n",
     "another attribute of 'softmax', or ':' is expected"},
    {"module\ngraph @g () {\n %x = iota : i32[2] fwd\n return\n}\n",
     "bwd, upd, again, ane, cpu, program=, scope=, stmt=, tag= or hint= is expected"},
    {"module\ngraph @g () {\n %x = param of=\"w\" : i32[2]\n return\n}\n",
     "the pattern of a leaf set is expected, not '\"w\"'"},
    {"module\ngraph @g () {\n %x = const table=1 : i32[2]\n return\n}\n", "the number of a table is expected"},
    {"module\ngraph @g () {\n %x = cmp kind=lo : i32[2]\n return\n}\n",
     "eq, ne, lt, gt, le or ge is expected, not 'lo'"},
    {"module\ngraph @g () {\n return\n %x = iota : i32[2]\n}\n", "'}' is expected, not '%x'"},
    {"module\nblub\n", "train or check is expected, not 'blub'"},
};

Test(text, errors_name_the_place_and_what_was_expected)
{
    for (size_t i = 1; i < COUNT(wrong); i++) {
        Rig r = rig_new();
        cr_expect(rig_read(&r, wrong[i].text) == NULL, "case %zu", i);
        cr_expect(strstr(rig_errors(&r), wrong[i].error) != NULL, "case %zu: %s", i, r.buf.data);
        rig_free(&r);
    }
}

Test(text, one_mistake_does_not_echo)
{
    Rig r = rig_new();
    cr_assert_null(rig_read(
        &r, "module\ngraph @g () {\n return\ngraph @h () {\n %x = iota : i32[2]\n return %x\n}\nentry \"e\" @h\n"));
    cr_assert_eq(r.ds->errors, 1, "%s", rig_errors(&r));
    rig_free(&r);
}

/* Bytes changed, dropped, doubled: a module or diagnostics, never a crash; what is read prints and is verified. */
Test(text, mutations_never_crash)
{
    for (uint64_t seed = 0; seed < 3000; seed++) {
        Rig    r = rig_new();
        if (seed % 2)
            random_module(r.m, seed);
        if (seed % 2)
            module_print(r.m, &r.buf);
        else
            buf_puts(&r.buf, everything);
        size_t len = r.buf.len;
        char  *text = arena_strndup(r.a, r.buf.data, len);
        for (uint64_t k = 0; k < 1 + seed % 3 && len > 100; k++) {
            uint64_t x = rng_u64(seed, k);
            size_t   at = x % len, n = 1 + (x >> 20) % 16;
            n = n > len - at ? len - at : n;
            static const char soup[] = "0123456789=:,[](){}%@\"\\;\n abcdefgrx.-\0\xff";
            switch (x >> 60 & 3) {
            case 0: text[at] = soup[(x >> 30) % (sizeof soup - 1)]; break;
            case 1: memmove(text + at, text + at + n, len - at - n); len -= n; break;
            case 2: memmove(text + at, text + (x >> 25) % (len - n + 1), n); break;
            default: len = at + 1; break;
            }
        }
        uint32_t file = sources_add(r.sources, "t.ir", text, len);
        Module  *m = module_read(r.a, r.sources, file, r.ds);
        cr_assert((m != NULL) == (r.ds->errors == 0));
        if (m) {
            buf_clear(&r.buf);
            module_print(m, &r.buf);
            module_verify(m, "read", r.ds);
        }
        rig_free(&r);
    }
}
