/* ideals.c: see ideals.h.
 *
 * Ideals are found level by level: those with s + 1 atoms are those with s plus one atom whose predecessors are in.
 * Each ideal J is compared with every smaller one, and at once completed: one more program runs all that is left. The
 * best completion so far and the bounds rule out most ideals as the beginning of anything, and most calls of cost().
 * The beam keeps on each level the ideals with the smallest cost so far plus the least that remains. */
#include "backend_ane/ideals.h"

#include <stdlib.h>
#include <string.h>

/* An exact search gives up after so many atoms in programs were priced (about a second). A beam keeps so many ideals,
 * at least some on each level; after as many prices it looks back to the latest ones only. */
enum { MAX_PRICED = 16000000, BEAM_IDEALS = 1000, BEAM_LEAST = 8, BEAM_LATEST = 32 };

enum { FULL, EMPTY, FIRST }; /* index of all atoms, of none, of the first between */

typedef struct {
    Word    *set;
    int64_t  floor;                /* sum of least_atom */
    int64_t  best[MAX_PARTS + 1];
    uint32_t from[MAX_PARTS + 1];  /* the ideal before the last program */
} Ideal;

typedef struct {
    Arena              *a;
    const ChainProblem *p;
    uint32_t            words;
    Ideal              *ideal;
    uint32_t            ideals, cap;
    uint32_t           *slot; /* hash table over the level that is being made: 1 + index */
    uint32_t            slots;
    Word               *diff;
    uint64_t            priced; /* atoms */
} Search;

static uint64_t hash_of(const Word *s, uint32_t words)
{
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < words; i++) {
        h = (h ^ s[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

static uint32_t *slot_of(const Search *s, const Word *set)
{
    uint64_t h = hash_of(set, s->words);
    for (;; h++) {
        uint32_t *at = &s->slot[h & (s->slots - 1)];
        if (*at == 0 || memcmp(s->ideal[*at - 1].set, set, s->words * sizeof(Word)) == 0)
            return at;
    }
}

static void grow_table(Search *s, uint32_t level)
{
    s->slots = s->slots ? 2 * s->slots : 64;
    s->slot = NEW_N(s->a, uint32_t, s->slots);
    for (uint32_t i = level; i < s->ideals; i++)
        *slot_of(s, s->ideal[i].set) = i + 1;
}

static void push(Search *s, const Word *set, int64_t floor)
{
    Ideal x = {.set = NEW_N(s->a, Word, s->words), .floor = floor};
    memcpy(x.set, set, s->words * sizeof(Word));
    for (uint32_t k = 0; k <= MAX_PARTS; k++)
        x.best[k] = COST_ILLEGAL;
    GROW(s->a, s->ideal, s->ideals, s->cap);
    s->ideal[s->ideals++] = x;
}

static void add_ideal(Search *s, const Ideal *from, uint32_t atom, uint32_t level)
{
    Word *set = s->diff;
    memcpy(set, from->set, s->words * sizeof(Word));
    set_add(set, atom);
    if (2 * (s->ideals - level + 1) > s->slots)
        grow_table(s, level);
    uint32_t *at = slot_of(s, set);
    if (*at)
        return;
    push(s, set, from->floor + (s->p->least_atom ? s->p->least_atom[atom] : 0));
    *at = s->ideals;
}

/* Does the smallest atom that only one of the two sets has belong to `x`? */
static bool comes_first(const Word *x, const Word *y, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++) {
        Word differ = x[i] ^ y[i];
        if (differ)
            return (x[i] & (differ & (~differ + 1))) != 0;
    }
    return false;
}

static bool legal(const Search *s, const Word *set)
{
    for (uint32_t i = 0; i < s->words; i++)
        for (Word rest = set[i]; rest; rest &= rest - 1) {
            uint32_t a = i * 64;
            for (Word low = rest & (~rest + 1); low > 1; low >>= 1)
                a++;
            if (sets_meet(s->p->apart + (size_t)a * s->words, set, s->words))
                return false;
        }
    return true;
}

/* Is there a k >= `from` for which x in k programs and one more of cost `c` is a better way to y than those known? A
 * way that is no cheaper than one with fewer programs is of no use: whatever follows, the other one is as good. */
static bool improves(const Search *s, const Ideal *x, const Ideal *y, int64_t c, uint32_t from, uint32_t *found)
{
    int64_t fewer = COST_ILLEGAL; /* the best with at most k programs */
    for (uint32_t k = 0; k < s->p->max_programs; k++) {
        fewer = y->best[k] < fewer ? y->best[k] : fewer;
        if (k < from || x->best[k] == COST_ILLEGAL || x->best[k] + c >= fewer)
            continue;
        int64_t all = x->best[k] + c, old = y->best[k + 1];
        if (all < old || (all == old && (!found || comes_first(x->set, s->ideal[y->from[k + 1]].set, s->words)))) {
            if (found)
                *found = k;
            return true;
        }
    }
    return false;
}

/* Drop the ways to ideal `j` that no completion can make the best. */
static void prune(Search *s, uint32_t j)
{
    Ideal       *x = &s->ideal[j];
    const Ideal *full = &s->ideal[FULL];
    int64_t      rest = s->p->least + full->floor - x->floor, fewer = full->best[0];
    if (s->p->bound) {
        for (uint32_t w = 0; w < s->words; w++)
            s->diff[w] = full->set[w] & ~x->set[w];
        rest = s->p->bound(s->p->data, s->diff);
    }
    for (uint32_t k = 0; k < MAX_PARTS; k++) {
        fewer = full->best[k + 1] < fewer ? full->best[k + 1] : fewer;
        if (x->best[k] != COST_ILLEGAL && x->best[k] + rest > fewer)
            x->best[k] = COST_ILLEGAL;
    }
}

static bool is_alive(const Ideal *x)
{
    for (uint32_t k = 0; k <= MAX_PARTS; k++)
        if (x->best[k] != COST_ILLEGAL)
            return true;
    return false;
}

/* Try the program that leads from ideal i to ideal j. */
static void step(Search *s, uint32_t i, uint32_t j)
{
    const Ideal *x = &s->ideal[i];
    Ideal       *y = &s->ideal[j];
    for (uint32_t w = 0; w < s->words; w++)
        if (x->set[w] & ~y->set[w])
            return;
    int64_t bound = s->p->least + y->floor - x->floor;
    if (!improves(s, x, y, bound, 0, NULL))
        return;
    for (uint32_t w = 0; w < s->words; w++)
        s->diff[w] = y->set[w] & ~x->set[w];
    if (!legal(s, s->diff))
        return;
    int64_t c = s->p->cost(s->p->data, s->diff);
    s->priced += s->p->atoms;
    if (c == COST_ILLEGAL)
        return;
    for (uint32_t k = 0; improves(s, x, y, c, k, &k); k++) {
        y->best[k + 1] = x->best[k] + c;
        y->from[k + 1] = i;
    }
}

static int64_t rank_of(const Ideal *x)
{
    int64_t best = COST_ILLEGAL;
    for (uint32_t k = 0; k <= MAX_PARTS; k++)
        best = x->best[k] < best ? x->best[k] : best;
    return best == COST_ILLEGAL ? best : best - x->floor; /* what remains is all minus floor */
}

typedef struct {
    int64_t  rank;
    uint32_t index;
} Ranked;

static int by_rank(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Keep the `width` best of the ideals from `level` on. */
static void narrow(Search *s, uint32_t level, uint32_t width)
{
    uint32_t n = s->ideals - level;
    if (n <= width)
        return;
    Ranked *r = NEW_N(s->a, Ranked, n);
    Ideal  *kept = NEW_N(s->a, Ideal, width);
    for (uint32_t i = 0; i < n; i++)
        r[i] = (Ranked){rank_of(&s->ideal[level + i]), level + i};
    qsort(r, n, sizeof *r, by_rank);
    for (uint32_t i = 0; i < width; i++)
        kept[i] = s->ideal[r[i].index];
    memcpy(s->ideal + level, kept, width * sizeof *kept);
    s->ideals = level + width;
}

/* One level from the one at [first, level): width 0 keeps all. False if there are more ideals than `limit`. */
static bool next_level(Search *s, uint32_t first, uint32_t level, uint32_t limit)
{
    s->slots = 0;
    for (uint32_t i = first; i < level; i++)
        for (uint32_t a = 0; a < s->p->atoms; a++) {
            const Word *before = s->p->before + (size_t)a * s->words, *set = s->ideal[i].set;
            bool        ready = !set_has(set, a);
            for (uint32_t w = 0; w < s->words && ready; w++)
                ready = (before[w] & ~set[w]) == 0;
            if (!ready)
                continue;
            Ideal from = s->ideal[i];
            add_ideal(s, &from, a, level);
            if (s->ideals > limit)
                return false;
        }
    return true;
}

/* Is one program for everything no dearer than what no division can avoid, and a second program? The common case. */
static bool one_is_best(const Search *s)
{
    const Ideal *full = &s->ideal[FULL];
    int64_t      least = s->p->least + (s->p->bound ? s->p->bound(s->p->data, full->set) : s->p->least + full->floor);
    return full->best[1] <= least;
}

/* All that is to be known of ideal j: the ways to it from the smaller ones that are alive, and its completion. */
static void settle(Search *s, uint32_t j, uint32_t *alive, uint32_t *n_alive, uint32_t smaller)
{
    for (uint32_t i = 0; i < smaller; i++)
        step(s, alive[i], j);
    prune(s, j);
    if (!is_alive(&s->ideal[j]))
        return;
    step(s, j, FULL);
    if (is_alive(&s->ideal[j]))
        alive[(*n_alive)++] = j;
}

/* All levels; false if that takes too many ideals. `width` 0: exact. */
static bool search(Search *s, uint32_t width)
{
    const ChainProblem *p = s->p;
    Word               *set = NEW_N(s->a, Word, s->words);
    int64_t             all = 0;
    for (uint32_t a = 0; a < p->atoms; a++) {
        set_add(set, a);
        all += p->least_atom ? p->least_atom[a] : 0;
    }
    push(s, set, all);
    memset(set, 0, s->words * sizeof *set);
    push(s, set, 0);
    s->ideal[EMPTY].best[0] = 0;
    step(s, EMPTY, FULL);
    if (one_is_best(s))
        return true;
    /* The exact search counts the ideals before it prices anything. */
    uint32_t first = EMPTY, *end = NEW_N(s->a, uint32_t, p->atoms + 1u); /* of each level */
    end[0] = FIRST;
    for (uint32_t size = 1; size < p->atoms && !width; size++) {
        uint32_t level = s->ideals;
        if (!next_level(s, first, level, p->max_ideals))
            return false;
        first = level;
        end[size] = s->ideals;
    }
    /* Pricing. */
    uint32_t *alive = NEW_N(s->a, uint32_t, width ? p->atoms * width + FIRST : s->ideals), n_alive = 0;
    alive[n_alive++] = EMPTY;
    for (uint32_t size = 1; size < p->atoms; size++) {
        uint32_t level = end[size - 1], smaller = n_alive;
        if (width) {
            next_level(s, first, level, UINT32_MAX);
            first = level;
            for (uint32_t j = level; j < s->ideals; j++)
                for (uint32_t i = s->priced > MAX_PRICED && smaller > BEAM_LATEST ? smaller - BEAM_LATEST : 0;
                     i < smaller; i++)
                    step(s, alive[i], j);
            narrow(s, level, width);
            end[size] = s->ideals;
            smaller = 0; /* done */
        }
        for (uint32_t j = level; j < end[size]; j++)
            settle(s, j, alive, &n_alive, smaller);
        if (!width && s->priced > MAX_PRICED)
            return false;
    }
    return true;
}

ChainResult chain_solve(Arena *a, const ChainProblem *p)
{
    Search s = {.a = a, .p = p, .words = set_words(p->atoms)};
    s.diff = NEW_N(a, Word, s.words);
    ChainResult r = {0};
    if (!search(&s, 0)) {
        r.beam = true;
        s.ideals = 0;
        s.priced = 0;
        uint32_t keep = p->max_ideals < BEAM_IDEALS ? p->max_ideals : BEAM_IDEALS, width = keep / p->atoms;
        search(&s, width < BEAM_LEAST ? BEAM_LEAST : width);
    }
    r.ideals = s.ideals;
    int64_t fewer = COST_ILLEGAL;
    for (uint32_t k = 0; k <= MAX_PARTS; k++) {
        uint32_t j = FULL;
        bool     better = k <= p->max_programs && s.ideal[j].best[k] < fewer;
        r.cost[k] = better ? s.ideal[j].best[k] : COST_ILLEGAL;
        if (!better)
            continue;
        fewer = r.cost[k];
        r.program[k] = NEW_N(a, uint32_t, p->atoms + 1u);
        for (uint32_t left = k; left > 0; left--) {
            uint32_t i = s.ideal[j].from[left];
            for (uint32_t atom = 0; atom < p->atoms; atom++)
                if (set_has(s.ideal[j].set, atom) && !set_has(s.ideal[i].set, atom))
                    r.program[k][atom] = left;
            j = i;
        }
    }
    return r;
}
