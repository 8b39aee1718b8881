/* test_elab_params.c: parameters and states: paths, sharing, agreement, attributes, initialisers, hints. */
#include "elab_rig.h"

#include <criterion/criterion.h>
#include <string.h>

#define STD "use \"std/nn.anel\";\n"

static const char *path(const Elabed *t, uint32_t i)
{
    return interned(t->m->strings, t->m->param[i].path);
}

Test(elab_params, labels_make_the_path)
{
    Elabed t = elab_ok(STD "model M {\n"
                           "  block inner(x: real[4, 2]) -> real[4, 2] { param a: real[4, 4] = normal(0.1); return "
                           "linear(a @ x, 4) as up; }\n"
                           "  block plain(x: real[4, 2]) -> real[4, 2] = inner(x) as one;\n"
                           "  entry e(x: real[4, 2]) -> real[4, 2] { param top: real[4] = ones(); return plain(x * "
                           "top[:, _]) as two.three; }\n}\n");
    cr_assert_eq(t.m->params, 3);
    cr_assert_str_eq(path(&t, 0), "top");
    cr_assert_str_eq(path(&t, 1), "two.three.one.a");
    cr_assert_str_eq(path(&t, 2), "two.three.one.up.weight");
    elab_free(&t);
}

Test(elab_params, two_calls_with_one_label_are_an_error)
{
    elab_bad(STD
             "model M { entry e(x: real[4, 2]) -> real[4, 2] { y = linear(x, 4) as a; return linear(y, 4) as a; } }\n",
             "E0502", "parameter path 'a.weight' is created twice in entry 'e'");
    elab_bad(STD "model M { entry e(x: real[4, 2]) -> real[4, 2] { y = linear(x, 4); return linear(y, 4); } }\n",
             "E0502", "'weight' is created twice");
    elab_bad("model M { param a: real[2] = ones(); entry e() -> real[2] { param a: real[2] = ones(); return a; } }\n",
             "E0502", "is that of a param of the model");
}

Test(elab_params, sharing_is_deliberate)
{
    Elabed t = elab_ok(STD "model M { entry e(x: real[4, 2]) -> real[4, 2] {\n"
                           "  y = linear(x, 4) as a; #[share] y = linear(y, 4) as a; return y; } }\n");
    cr_assert_eq(t.m->params, 1);
    cr_assert_eq(elab_count(elab_graph(&t, "e"), OP_param), 1);
    elab_free(&t);
    /* a shared call in a repeat: all iterations use one set, born outside */
    t = elab_ok(STD "model M { entry e(x: real[4, 2]) -> real[4, 2] {\n"
                    "  repeat layers[L in 0..3] { param g: real[4] = ones(); #[share] x = linear(x, 4) as a; x = x * "
                    "g[:, _]; } return x; } }\n");
    cr_assert_eq(t.m->params, 4);
    cr_assert(elab_param(&t, "a.weight") != NULL && elab_param(&t, "layers.2.g") != NULL);
    cr_assert_eq(elab_count(elab_graph(&t, "e"), OP_repeat), 1);
    for (uint32_t i = 0; i < t.m->param_sets; i++) {
        const LeafSet *s = &t.m->param_set[i];
        bool shared = strcmp(interned(t.m->strings, s->pattern), "a.weight") == 0;
        cr_assert(s->count == 3 && (s->leaf[0] == s->leaf[2]) == shared);
    }
    elab_free(&t);
    elab_bad(STD "model M { entry e(x: real[4, 2]) -> real[4, 2] {\n"
                 "  y = linear(x, 4) as a; #[share] y = linear(y, 4, std: 0.5) as a; return y; } }\n",
             "E0503", "declared in two ways");
}

Test(elab_params, entries_agree_on_a_path)
{
    Elabed t = elab_ok(STD "model M {\n  entry e(x: real[4, 2]) -> real[4, 2] = linear(x, 4) as a;\n"
                           "  entry f(x: real[4, 9]) -> real[4, 9] = linear(x, 4) as a;\n}\n");
    cr_assert_eq(t.m->params, 1);
    elab_free(&t);
    elab_bad(STD "model M {\n  entry e(x: real[4, 2]) -> real[4, 2] = linear(x, 4) as a;\n"
                 "  entry f(x: real[5, 9]) -> real[4, 9] = linear(x, 4) as a;\n}\n",
             "E0503", "is real[4, 5] here and real[4, 4] elsewhere");
}

Test(elab_params, a_param_of_the_model_is_one_value)
{
    Elabed t = elab_ok("model M { param w: real[4, 3] = normal(0.5); param unused: real[2] = zeros();\n"
                       "  entry e(i: tok[2]) -> real[4, 2] { x = gather(w, i)'; return w @ x; } }\n");
    cr_assert_eq(t.m->params, 2);
    cr_assert_eq(elab_count(elab_graph(&t, "e"), OP_param), 1);
    cr_assert(elab_graph(&t, "e")->input[0].is_token);
    elab_free(&t);
}

Test(elab_params, attributes_and_initialisers)
{
    Elabed t =
        elab_ok("#[import(\"net.{path}\")]\nmodel M {\n"
                "  const r = 2;\n"
                "  #[nodecay, lr(0.5)] param a: real[2] = uniform(-1.0, 2);\n"
                "  #[freeze, import(\"x.{path}.{r}\", transpose, rows(1, 3))] param b: f32[2, 2] = value(0.25);\n"
                "  entry e() -> real[2] { repeat l[L in 0..2] { #[import(\"old.{L}\")] param c: real[2] = normal(1.0 / "
                "(L + 1)); } return a; }\n}\n");
    const Param *p = elab_param(&t, "a");
    cr_assert(p->nodecay && p->lr == 0.5 && !p->frozen && p->init.kind == INIT_UNIFORM && p->init.a == -1 &&
              p->init.b == 2);
    cr_assert_str_eq(interned(t.m->strings, p->import), "net.a");
    p = elab_param(&t, "b");
    cr_assert(p->frozen && p->import_transpose && p->import_rows[0] == 1 && p->import_rows[1] == 3 && p->lr == 1);
    cr_assert_str_eq(interned(t.m->strings, p->import), "x.b.2");
    cr_assert_eq(p->type.dtype, DT_F32);
    p = elab_param(&t, "l.1.c");
    cr_assert_str_eq(interned(t.m->strings, p->import), "old.1");
    cr_assert_eq(p->init.a, 0.5);
    elab_free(&t);
#define PARAM(attrs, init) "model M { " attrs " param a: real[2] = " init "; entry e() -> real[2] = a; }\n"
    elab_bad(PARAM("", "3"), "E0504", "zeros(), ones(), value(x)");
    elab_bad(PARAM("", "norml(3)"), "E0504", "no initialiser");
    elab_bad(PARAM("", "normal()"), "E0504", "takes 1 number");
    elab_bad(PARAM("#[nodeccay]", "ones()"), "E0208", "did you mean 'nodecay'?");
    elab_bad(PARAM("#[import(3)]", "ones()"), "E0209", "name in the checkpoint");
    elab_bad(PARAM("#[import(\"a\", transposed)]", "ones()"), "E0209", "'transpose' and 'rows(a, b)'");
    elab_bad("model M { param a: i32[2] = ones(); entry e() -> real[2] = a; }\n", "E0415", "parameters are real");
}

Test(elab_params, functions_are_pure)
{
    elab_bad("fn f(x: real[2]) -> real[2] { param a: real[2] = ones(); return a * x; }\n"
             "model M { entry e(x: real[2]) -> real[2] = f(x); }\n",
             "E0501", "declare 'f' as block");
    elab_bad(
        STD
        "fn f(x: real[2, 2]) -> real[2, 2] = linear(x, 2);\nmodel M { entry e(x: real[2, 2]) -> real[2, 2] = f(x); }\n",
        "E0501", "only blocks and entries call blocks");
    elab_bad(STD "model M { entry e(x: real[2, 2]) -> real[2, 2] = silu(x) as s; }\n", "E0501",
             "no parameters to label");
}

Test(elab_params, states_keep_what_was_stored)
{
    Elabed t = elab_ok("model M { entry e(x: real[2]) -> real[2] {\n"
                       "  state s: real[2] = value(10); old = s; s <- s + x; s <- s * 2; return s + old; } }\n");
    const Graph *g = elab_graph(&t, "e");
    cr_assert_eq(elab_count(g, OP_state), 1);
    cr_assert_eq(elab_count(g, OP_state_set), 1);
    const double *x[] = {(const double[]){1, 2}};
    const double *v = elab_run(&t, "e", x, 1);
    cr_assert(v[0] == 22 + 10 && v[1] == 24 + 10);
    v = elab_run(&t, "e", x, 1);
    cr_assert(v[0] == 46 + 22 && v[1] == 52 + 24);
    elab_free(&t);
#define STATE(body) "model M { entry e(x: real[2]) -> real[2] { state s: real[2] = zeros(); " body " return s; } }\n"
    elab_bad(STATE("s = x;"), "E0505", "write 's <- ...'");
    elab_bad(STATE("x <- s;"), "E0505", "'x' is not a state");
    elab_bad(STATE("t <- s;"), "E0204", "unknown name 't'");
    elab_bad(STATE("s <- sum(x);"), "E0411", "state 's' is declared real[2]");
    elab_bad("model M { entry e(x: real[2]) -> real[2] { state s: real[2] = normal(1.0); return s; } }\n", "E0504",
             "a state starts");
    elab_bad("model M { block b(x: real[2]) -> real[2] { state s: real[2] = zeros(); return s + x; }\n"
             "  entry e(x: real[2]) -> real[2] = b(x) + b(x); }\n",
             "E0502", "state 's' is created twice");
}

Test(elab_params, hints_reach_the_nodes)
{
    Elabed t = elab_ok("model M { entry e(x: real[2]) -> real[2] {\n"
                       "  #[place(cpu)] a = x * 2;\n"
                       "  #[place(ane), group(\"g\")] { b = a + 1; #[save, precision(f32)] c = exp(b * 3); }\n"
                       "  #[cut] { d = c - 1; }\n  return -d; } }\n");
    const Graph *g = elab_graph(&t, "e");
    for (uint32_t i = 1; i < g->count; i++) {
        const Node *n = &g->node[i];
        const Hint *h = &t.m->hint[n->hint];
        switch (n->op) {
        case OP_add:
            cr_assert(h->place == PLACE_ANE && h->group && !h->save && !h->f32);
            break;
        case OP_exp:
            cr_assert(h->place == PLACE_ANE && h->group && h->save && h->f32);
            break;
        case OP_sub:
            cr_assert(h->cut == 1 && !h->group && h->place == PLACE_FREE);
            break;
        case OP_mul:
            cr_assert(h->place == PLACE_CPU || (h->f32 && !h->save));
            break;
        case OP_neg:
        case OP_input:
            cr_assert_eq(n->hint, 0);
            break;
        default:
            break;
        }
        if (n->op == OP_mul && n->name)
            cr_assert_str_eq(interned(t.m->strings, n->name), "a");
    }
    elab_free(&t);
#define HINT(attrs) "model M { entry e(x: real[2]) -> real[2] { " attrs " a = x; return a; } }\n"
    elab_bad(HINT("#[place(gpu)]"), "E0209", "'ane' or 'cpu'");
    elab_bad(HINT("#[place]"), "E0209", "takes one argument");
    elab_bad(HINT("#[palce(cpu)]"), "E0208", "did you mean 'place'?");
    elab_bad(HINT("#[cut]"), "E0208", "a statement");
    elab_bad(HINT("#[precision(f16)]"), "E0209", "f32");
    elab_bad(HINT("#[group(g)]"), "E0209", "named by a string");
}

Test(elab_params, train_sections_become_settings)
{
    Elabed t = elab_ok(
        "config n = 300;\nmodel M { entry loss(x: real[2]) -> real[] = sum(x);\n  train loss {\n"
        "    data = tokens_u16(\"a.bin\", sample: \"sequential\");\n    optimizer = lion(1e-4);\n    clip = 1;\n"
        "    loss_scale = fixed(1024);\n    schedule = wsd(total: 2 * n, warmup: 10);\n    eval = \"held.bin\";\n    "
        "steps = n;\n  }\n}\n");
    static const char *const want[] = {
        "data",           "tokens_u16", "data.path",        "a.bin",  "data.sample", "sequential",
        "optimizer",      "lion",       "optimizer.lr",     "0.0001", "clip",        "1.0",
        "loss_scale",     "fixed",      "loss_scale.value", "1024.0", "schedule",    "wsd",
        "schedule.total", "600",        "schedule.warmup",  "10",     "eval",        "held.bin",
        "steps",          "300"};
    cr_assert_eq(t.m->settings, COUNT(want) / 2);
    for (uint32_t i = 0; i < t.m->settings; i++) {
        cr_assert_str_eq(interned(t.m->strings, t.m->setting[i].key), want[2 * i]);
        cr_assert_str_eq(interned(t.m->strings, t.m->setting[i].value), want[2 * i + 1]);
    }
    cr_assert_str_eq(interned(t.m->strings, t.m->train_entry), "loss");
    elab_free(&t);
#define TRAIN(entry, body)                                                                                             \
    "model M { entry loss(x: real[2]) -> real[] = sum(x); entry two(x: real[2]) -> real[2] = x; train " entry          \
    " { " body " } }\n"
    elab_bad(TRAIN("los", ""), "E0603", "did you mean 'loss'?");
    elab_bad(TRAIN("two", ""), "E0603", "it returns real[2]");
    elab_bad(TRAIN("loss", "acum = 2;"), "E0601", "did you mean 'accum'?");
    elab_bad(TRAIN("loss", "accum = 2; accum = 3;"), "E0601", "given twice");
    elab_bad(TRAIN("loss", "accum = 2.5;"), "E0602", "'accum' is an int");
    elab_bad(TRAIN("loss", "optimizer = adamw(rl: 0.1);"), "E0602", "did you mean 'lr'?");
    elab_bad(TRAIN("loss", "optimizer = adam(lr: 1e-3, lr: 1e-3);"), "E0602", "given twice");
    elab_bad(TRAIN("loss", "optimizer = 3;"), "E0602", "one of sgd, adam");
    elab_bad(TRAIN("loss", "loss_scale = fixed();"), "E0602", "lacks its field 'value'");
    elab_bad(TRAIN("loss", "data = bytes(3);"), "E0602", "field 'path' is a str");
    elab_bad(TRAIN("loss", "loss_scale = fixed(1.0, 2.0);"), "E0602", "too many fields");
}
