/* test_partition.c: what the partitioner heeds: limits, groups, paths through the CPU; and that its arithmetic is that
 * of the plans. */
#include "rig.h"

#include "backend_ane/atoms.h"
#include "backend_ane/lock.h"
#include "passes/passes.h"

#include <criterion/criterion.h>
#include <string.h>

enum { DIM = 64, SEQ = 32 };

typedef struct {
    Arena  *a;
    Module *m;
    Graph  *g;
    Target  target;
    ValueId x;
} Bench;

/* Not by value: the module points to the target. */
static void bench(Bench *b)
{
    *b = (Bench){.a = arena_new(), .target = *target_any()};
    b->m = module_new(b->a, interner_new(b->a), sources_new(b->a));
    b->m->target = &b->target;
    b->target.io_min_channels = b->target.io_channel_multiple = 1;
    b->g = module_add_graph(b->m, 0);
    b->x = graph_add_input(b->m, b->g, 0, type_of(DT_REAL, 2, (int32_t[]){DIM, SEQ}), false, (Span){0});
}

static ValueId placed(Bench *b, ValueId v, Place where)
{
    b->g->node[v].device = where;
    return v;
}

/* w @ x with a weight of its own, [rows, 32] */
static ValueId product(Bench *b, ValueId x, int32_t rows)
{
    int32_t  dim[] = {rows, b->g->node[x].type.shape.dim[0]};
    uint32_t leaf = b->m->params;
    GROW(b->a, b->m->param, b->m->params, b->m->params_cap);
    b->m->param[b->m->params++] = (Param){
        .path = intern(b->m->strings, arena_printf(b->a, "w%u", leaf)), .type = type_of(DT_REAL, 2, dim), .lr = 1};
    Node node = {.op = OP_param, .type = type_of(DT_REAL, 2, dim)};
    node.a.leaf.set = module_add_param_set(b->m, b->m->param[leaf].path, &leaf, 1);
    ValueId w = graph_add(b->m, b->g, &node, NULL, 0);
    return placed(b, g_matmul(b->m, b->g, NULL, w, x, false, false), DEV_ANE);
}

static ValueId elementwise(Bench *b, ValueId x, Place where)
{
    return placed(b, g_unary(b->m, b->g, NULL, OP_tanh, x), where);
}

static void in_group(Bench *b, ValueId v, const char *name, Hint h)
{
    h.group = intern(b->m->strings, name);
    b->g->node[v].hint = module_add_hint(b->m, h);
}

Test(partition_limits, what_fits_is_one_program)
{
    Bench b;
    bench(&b);
    ValueId v = b.x;
    for (int i = 0; i < 4; i++)
        v = product(&b, v, DIM);
    graph_add_out(b.m, b.g, v, 0);
    cr_expect_eq(partition(b.a, b.m, b.g).programs, 1);
    arena_free(b.a);
}

Test(partition_limits, weights_per_program)
{
    Bench b;
    bench(&b);
    b.target.max_weights = 2 * 2 * DIM * DIM; /* two of them, in fp16 */
    ValueId v[4], x = b.x;
    for (int i = 0; i < 4; i++)
        x = v[i] = product(&b, x, DIM);
    graph_add_out(b.m, b.g, x, 0);
    Partition p = partition(b.a, b.m, b.g);
    cr_expect_eq(p.programs, 2);
    cr_expect(p.program[v[0]] == 1 && p.program[v[1]] == 1 && p.program[v[2]] == 2 && p.program[v[3]] == 2);
    arena_free(b.a);
}

Test(partition_limits, operations_per_program)
{
    Bench b;
    bench(&b);
    b.target.max_ops = 3;
    ValueId x = b.x;
    for (int i = 0; i < 6; i++)
        x = product(&b, x, DIM);
    graph_add_out(b.m, b.g, x, 0);
    cr_expect_eq(partition(b.a, b.m, b.g).programs, 2);
    arena_free(b.a);
}

Test(partition_limits, channels_of_a_surface)
{
    Bench b;
    bench(&b);
    b.target.max_channels = 3 * DIM;
    ValueId x = b.x, v[4];
    for (int i = 0; i < 4; i++) { /* every product leaves the engine: four in one program are too many channels */
        x = v[i] = product(&b, x, DIM);
        graph_add_out(b.m, b.g, x, 0);
    }
    Partition p = partition(b.a, b.m, b.g);
    cr_expect_eq(p.programs, 2);
    arena_free(b.a);
}

Test(partition_limits, the_smallest_surface)
{
    Bench b;
    bench(&b);
    b.target.surface_round = 1;
    b.target.surface_min = 2 * DIM * SEQ * 2;
    ValueId wide = product(&b, b.x, 2 * DIM), narrow = product(&b, wide, DIM / 2), end = product(&b, narrow, 2 * DIM);
    graph_add_out(b.m, b.g, end, 0);
    Atoms x = atoms_of(b.a, b.m, b.g, ROLE_FWD, true, NULL);
    cr_assert_eq(x.atoms, 3);
    bool legal;
    Word first = 1, all = 7;
    atoms_work(&x, &first, &legal);
    cr_expect_not(legal); /* the input is too small */
    b.target.surface_min = DIM * SEQ * 2;
    atoms_work(&x, &all, &legal);
    cr_expect(legal);
    Word two = 3; /* the narrow value would leave */
    atoms_work(&x, &two, &legal);
    cr_expect_not(legal);
    arena_free(b.a);
}

Test(partition_pins, a_group_draws_a_value_out_of_the_program_it_would_be_in)
{
    Bench b;
    bench(&b);
    /* `side` feeds the second program only; grouped with the first, it runs there. */
    ValueId p = product(&b, b.x, DIM), c = elementwise(&b, p, DEV_CPU), side = product(&b, b.x, DIM);
    ValueId sum = placed(&b, g_binary(b.m, b.g, NULL, OP_add, side, c), DEV_ANE), q = product(&b, sum, DIM);
    graph_add_out(b.m, b.g, q, 0);
    Partition free = partition(b.a, b.m, b.g);
    cr_expect_eq(free.program[side], free.program[q]);
    in_group(&b, p, "g", (Hint){0});
    in_group(&b, side, "g", (Hint){0});
    Partition pinned = partition(b.a, b.m, b.g);
    cr_expect_eq(pinned.program[side], pinned.program[p]);
    cr_expect_neq(pinned.program[side], pinned.program[q]);
    arena_free(b.a);
}

Test(partition_pins, a_group_that_the_cpu_divides_is_given_up)
{
    Bench b;
    bench(&b);
    ValueId p = product(&b, b.x, DIM), c = elementwise(&b, p, DEV_CPU), q = product(&b, c, DIM);
    graph_add_out(b.m, b.g, q, 0);
    in_group(&b, p, "g", (Hint){0});
    in_group(&b, q, "g", (Hint){0});
    cr_expect(atoms_of(b.a, b.m, b.g, ROLE_FWD, true, NULL).entangled);
    cr_expect_neq(partition(b.a, b.m, b.g).program[p], partition(b.a, b.m, b.g).program[q]);
    arena_free(b.a);
}

Test(partition_pins, regions_that_are_cut_off_share_nothing)
{
    Bench b;
    bench(&b);
    ValueId p = product(&b, b.x, DIM), q = product(&b, b.x, DIM); /* unrelated */
    graph_add_out(b.m, b.g, p, 0);
    graph_add_out(b.m, b.g, q, 0);
    cr_expect_eq(partition(b.a, b.m, b.g).programs, 1);
    b.g->node[q].hint = module_add_hint(b.m, (Hint){.cut = 1});
    cr_expect_eq(partition(b.a, b.m, b.g).programs, 2);
    arena_free(b.a);
}

Test(partition_order, a_path_through_the_cpu_and_back_is_no_cycle)
{
    Bench b;
    bench(&b);
    /* u and v could share a program, but w between them is the CPU's */
    ValueId u = product(&b, b.x, DIM), w = elementwise(&b, u, DEV_CPU);
    ValueId v = placed(&b, g_binary(b.m, b.g, NULL, OP_add, u, w), DEV_ANE), end = product(&b, v, DIM);
    graph_add_out(b.m, b.g, end, 0);
    Partition p = partition(b.a, b.m, b.g);
    cr_expect_eq(p.programs, 2);
    cr_expect(p.program[u] == 1 && p.program[v] == 2 && p.program[end] == 2);
    arena_free(b.a);
}

Test(partition_work, the_divided_parts_have_the_work_of_the_programs)
{
    Arena      *a = arena_new();
    Module     *m = rig_transformer(a, 3);
    PassOptions opt = {.diags = diags_new(a, m->sources, "test")};
    cr_assert(passes_run(m, &opt));
    uint32_t programs = 0;
    for (uint32_t i = 1; i < m->graphs; i++)
        for (Role role = ROLE_FWD; role <= ROLE_BWD; role++) {
            const Graph *g = m->graph[i];
            Atoms        x = atoms_of(a, m, g, role, true, NULL);
            if (!x.atoms)
                continue;
            for (uint32_t end = 1; end <= x.atoms; end++) { /* the first atoms as one program */
                uint32_t *program = NEW_N(a, uint32_t, g->count);
                Word     *set = NEW_N(a, Word, x.words);
                for (uint32_t k = 0; k < end; k++)
                    set_add(set, k);
                for (ValueId v = 1; v < g->count; v++) /* the rest as another */
                    program[v] = x.atom[v] ? x.atom[v] <= end ? 1 : 2 : 0;
                bool legal;
                Work w = atoms_work(&x, set, &legal), want = work_of_program(a, m, g, program, 1);
                cr_expect_eq(memcmp(&w, &want, sizeof w), 0, "graph %u, %u of %u atoms: out %llu, not %llu", i, end,
                             x.atoms, (unsigned long long)w.out_bytes, (unsigned long long)want.out_bytes);
                programs++;
            }
        }
    cr_expect_gt(programs, 20);
    arena_free(a);
}

Test(partition_lock, labels_keep_values_together_and_apart)
{
    Bench b;
    bench(&b);
    ValueId v[4], x = b.x;
    for (int i = 0; i < 4; i++)
        x = v[i] = product(&b, x, DIM);
    graph_add_out(b.m, b.g, x, 0);
    uint32_t label[16] = {0};
    label[v[0]] = 1;
    label[v[1]] = label[v[3]] = 2; /* v[2] is free, but lies between */
    Atoms       t = atoms_of(b.a, b.m, b.g, ROLE_FWD, true, label);
    ChainResult r = atoms_solve(&t, 6);
    cr_expect_eq(r.cost[1], COST_ILLEGAL);
    cr_assert(r.program[2] != NULL);
    uint32_t number[4];
    for (int i = 0; i < 4; i++)
        number[i] = r.program[2][t.atom[v[i]] - 1];
    cr_expect(number[0] == 1 && number[1] == 2 && number[2] == 2 && number[3] == 2);
    label[v[3]] = 1; /* around v[1], which is in 2 */
    cr_expect(atoms_of(b.a, b.m, b.g, ROLE_FWD, true, label).entangled);
    arena_free(b.a);
}
