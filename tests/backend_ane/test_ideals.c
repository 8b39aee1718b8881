/* test_ideals.c: the division of partial orders against all divisions there are. */
#include "backend_ane/ideals.h"

#include <criterion/criterion.h>
#include <string.h>

enum { SMALL = 8 };

/* A random problem: edges carry values of random size, and a program pays for what crosses its border. */
typedef struct {
    uint32_t n;
    bool     edge[64][64];
    Word     before[64], apart[64];
    int64_t  weight[64]; /* of an atom */
    int64_t  size[64];   /* of its value */
    int64_t  fixed;
    int64_t  most;       /* weight that one program holds */
} Order;

static uint32_t draw(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static Order random_order(uint64_t seed, uint32_t n)
{
    uint64_t s = seed * 7919 + 1;
    Order    o = {.n = n, .fixed = 10 + draw(&s, 40)};
    uint32_t density = 10 + draw(&s, 60);
    for (uint32_t v = 0; v < n; v++) {
        o.weight[v] = 1 + draw(&s, 20);
        o.size[v] = 1 + draw(&s, 30);
        for (uint32_t u = 0; u < v; u++)
            if (draw(&s, 100) < density) {
                o.edge[u][v] = true;
                o.before[v] |= o.before[u] | (Word)1 << u;
            }
    }
    for (uint32_t k = 0; k < n / 3; k++) {
        uint32_t u = draw(&s, n), v = draw(&s, n);
        if (u != v && draw(&s, 2)) {
            o.apart[u] |= (Word)1 << v;
            o.apart[v] |= (Word)1 << u;
        }
    }
    o.most = draw(&s, 2) ? INT64_MAX : 15 + draw(&s, 40);
    return o;
}

/* A fixed part, values in and out, and a square of the weight, as compiling has. */
static int64_t price(void *data, const Word *set)
{
    const Order *o = data;
    int64_t      c = o->fixed, w = 0;
    for (uint32_t v = 0; v < o->n; v++) {
        bool inside = set_has(set, v), out = false, in = false;
        w += inside ? o->weight[v] : 0;
        for (uint32_t r = v + 1; r < o->n; r++) {
            out |= o->edge[v][r] && !set_has(set, r);
            in |= o->edge[v][r] && set_has(set, r);
        }
        c += inside && out ? o->size[v] : !inside && in ? o->size[v] : 0;
    }
    return w > o->most ? COST_ILLEGAL : c + w + w * w / 16;
}

/* The square is at least nothing, and nothing has to cross. */
static int64_t least(void *data, const Word *set)
{
    const Order *o = data;
    int64_t      c = o->fixed;
    for (uint32_t v = 0; v < o->n; v++)
        c += set_has(set, v) ? o->weight[v] : 0;
    return c;
}

static ChainResult solve(Arena *a, Order *o, uint32_t max_programs, uint32_t max_ideals)
{
    ChainProblem p = {.atoms = o->n,
                      .before = o->before,
                      .apart = o->apart,
                      .cost = price,
                      .data = o,
                      .least = o->fixed,
                      .least_atom = o->weight,
                      .max_programs = max_programs,
                      .max_ideals = max_ideals};
    p.bound = o->n % 2 ? least : NULL;
    return chain_solve(a, &p);
}

/* The cost of a division, COST_ILLEGAL if it is not one: every program legal, and the programs in some order. */
static int64_t judge(Order *o, const uint32_t *program, uint32_t programs)
{
    bool before[SMALL + 1][SMALL + 1] = {{false}};
    for (uint32_t v = 0; v < o->n; v++)
        for (uint32_t u = 0; u < v; u++)
            if (o->before[v] >> u & 1 && program[u] != program[v])
                before[program[u]][program[v]] = true;
    for (uint32_t k = 1; k <= programs; k++) /* transitive closure */
        for (uint32_t i = 1; i <= programs; i++)
            for (uint32_t j = 1; j <= programs; j++)
                before[i][j] |= before[i][k] && before[k][j];
    int64_t c = 0;
    for (uint32_t k = 1; k <= programs; k++) {
        Word set = 0;
        for (uint32_t v = 0; v < o->n; v++)
            set |= program[v] == k ? (Word)1 << v : 0;
        bool legal = !before[k][k];
        for (uint32_t v = 0; v < o->n; v++)
            legal = legal && !(program[v] == k && o->apart[v] & set);
        int64_t p = legal ? price(o, &set) : COST_ILLEGAL;
        if (p == COST_ILLEGAL)
            return p;
        c += p;
    }
    return c;
}

/* Every partition of the atoms into sets, as restricted growth strings. */
static void brute_force(Order *o, uint32_t v, uint32_t programs, uint32_t *program, int64_t *best)
{
    if (v == o->n) {
        int64_t c = judge(o, program, programs);
        if (c < best[programs])
            best[programs] = c;
        return;
    }
    for (program[v] = 1; program[v] <= programs + 1; program[v]++) {
        uint32_t mine = program[v];
        brute_force(o, v + 1, mine > programs ? mine : programs, program, best);
        program[v] = mine;
    }
}

Test(ideals, no_division_is_cheaper_for_any_number_of_programs)
{
    uint32_t possible = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        Arena   *a = arena_new();
        Order    o = random_order(seed, 1 + (uint32_t)(seed % SMALL));
        int64_t  best[SMALL + 1];
        uint32_t program[SMALL];
        for (uint32_t k = 0; k <= SMALL; k++)
            best[k] = COST_ILLEGAL;
        brute_force(&o, 0, 0, program, best);
        ChainResult r = solve(a, &o, SMALL, 20000);
        cr_assert(!r.beam);
        int64_t at_most = COST_ILLEGAL;
        for (uint32_t k = 1; k <= o.n; k++) {
            int64_t want =
                best[k] < at_most ? best[k] : COST_ILLEGAL; /* what is no cheaper than with fewer is left out */
            at_most = best[k] < at_most ? best[k] : at_most;
            cr_expect_eq(r.cost[k], want, "seed %llu, %u programs: %lld, not %lld", (unsigned long long)seed, k,
                         (long long)r.cost[k], (long long)want);
            if (r.cost[k] != COST_ILLEGAL) {
                possible++;
                cr_expect_eq(judge(&o, r.program[k], k), r.cost[k], "seed %llu, %u programs", (unsigned long long)seed,
                             k);
            }
        }
        arena_free(a);
    }
    cr_expect_gt(possible, 500); /* the test is about something */
}

Test(ideals, programs_are_numbered_in_an_order_in_which_they_run)
{
    for (uint64_t seed = 0; seed < 100; seed++) {
        Arena      *a = arena_new();
        Order       o = random_order(seed, 14);
        ChainResult r = solve(a, &o, 6, 20000);
        for (uint32_t k = 1; k <= 6; k++)
            for (uint32_t v = 0; r.program[k] && v < o.n; v++)
                for (uint32_t u = 0; u < v; u++)
                    cr_assert(!(o.before[v] >> u & 1) || r.program[k][u] <= r.program[k][v]);
        arena_free(a);
    }
}

Test(ideals, equal_costs_give_the_first_program_the_first_atoms)
{
    Arena *a = arena_new();
    Order  o = {.n = 4, .fixed = 5, .most = 2}; /* four unrelated atoms of weight 1: any two pairs cost the same */
    for (uint32_t v = 0; v < 4; v++)
        o.weight[v] = 1;
    ChainResult r = solve(a, &o, 6, 20000);
    cr_assert_neq(r.cost[2], COST_ILLEGAL);
    cr_expect_eq(r.cost[1], COST_ILLEGAL);
    cr_expect(r.program[2][0] == 1 && r.program[2][1] == 1 && r.program[2][2] == 2 && r.program[2][3] == 2);
    arena_free(a);
}

Test(ideals, an_atom_that_is_apart_from_itself_makes_every_division_illegal)
{
    Arena *a = arena_new();
    Order  o = random_order(3, 5);
    o.apart[2] |= 4;
    ChainResult r = solve(a, &o, 6, 20000);
    for (uint32_t k = 0; k <= MAX_PARTS; k++)
        cr_expect_eq(r.cost[k], COST_ILLEGAL);
    arena_free(a);
}

Test(ideals, beyond_the_limit_a_beam_finds_something_legal_and_says_so)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        Arena *a = arena_new();
        Order  o = random_order(seed, 12);
        o.most = INT64_MAX;
        ChainResult exact = solve(a, &o, 6, 20000), beam = solve(a, &o, 6, 40);
        if (exact.ideals <= 40) {
            arena_free(a);
            continue;
        }
        cr_expect(!exact.beam && beam.beam);
        int64_t e = COST_ILLEGAL, b = COST_ILLEGAL;
        for (uint32_t k = 1; k <= 6; k++) {
            e = exact.cost[k] < e ? exact.cost[k] : e;
            b = beam.cost[k] < b ? beam.cost[k] : b;
            for (uint32_t v = 0; beam.program[k] && v < o.n; v++)
                for (uint32_t u = 0; u < v; u++)
                    cr_assert(!(o.before[v] >> u & 1) || beam.program[k][u] <= beam.program[k][v]);
        }
        cr_expect_neq(b, COST_ILLEGAL);
        cr_expect_geq(b, e);
        arena_free(a);
    }
}

Test(ideals, forty_unrelated_atoms_take_the_beam_and_come_to_an_end)
{
    Arena *a = arena_new();
    Order  o = {.n = 40, .fixed = 50, .most = INT64_MAX};
    for (uint32_t v = 0; v < 40; v++)
        o.weight[v] = 1;
    ChainResult r = solve(a, &o, 6, 2000);
    cr_expect(r.beam);
    cr_expect_eq(r.cost[1], 50 + 40 + 40 * 40 / 16);
    arena_free(a);
}
