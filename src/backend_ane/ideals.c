/* ideals.c: see ideals.h.
 *
 * Ideals are found level by level: those with s + 1 atoms are those with s plus one atom whose predecessors are in. Each
 * new ideal J is then compared with every smaller one; the bound `least` spares most of the calls of cost(). The
 * beam keeps on each level the ideals with the smallest cost so far plus the least that remains. */
#include "backend_ane/ideals.h"

#include <stdlib.h>
#include <string.h>

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
    Ideal x = {.set = NEW_N(s->a, Word, s->words), .floor = from->floor + (s->p->least_atom ? s->p->least_atom[atom] : 0)};
    memcpy(x.set, set, s->words * sizeof(Word));
    for (uint32_t k = 0; k <= MAX_PARTS; k++)
        x.best[k] = COST_ILLEGAL;
    GROW(s->a, s->ideal, s->ideals, s->cap);
    s->ideal[s->ideals++] = x;
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

/* Try the program that leads from ideal i to ideal j. */
static void step(Search *s, uint32_t i, uint32_t j)
{
    const Ideal *x = &s->ideal[i];
    Ideal       *y = &s->ideal[j];
    for (uint32_t w = 0; w < s->words; w++)
        if (x->set[w] & ~y->set[w])
            return;
    int64_t bound = s->p->least + y->floor - x->floor;
    bool    hope = false;
    for (uint32_t k = 0; k < s->p->max_programs && !hope; k++)
        hope = x->best[k] != COST_ILLEGAL && x->best[k] + bound <= y->best[k + 1];
    if (!hope)
        return;
    for (uint32_t w = 0; w < s->words; w++)
        s->diff[w] = y->set[w] & ~x->set[w];
    if (!legal(s, s->diff))
        return;
    int64_t c = s->p->cost(s->p->data, s->diff);
    if (c == COST_ILLEGAL)
        return;
    for (uint32_t k = 0; k < s->p->max_programs; k++) {
        if (x->best[k] == COST_ILLEGAL)
            continue;
        int64_t all = x->best[k] + c, old = y->best[k + 1];
        if (all < old || (all == old && comes_first(x->set, s->ideal[y->from[k + 1]].set, s->words))) {
            y->best[k + 1] = all;
            y->from[k + 1] = i;
        }
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

/* All levels; false if that takes too many ideals. `width` 0: exact. */
static bool search(Search *s, uint32_t width)
{
    const ChainProblem *p = s->p;
    Ideal               empty = {.set = NEW_N(s->a, Word, s->words)};
    for (uint32_t k = 1; k <= MAX_PARTS; k++)
        empty.best[k] = COST_ILLEGAL;
    GROW(s->a, s->ideal, s->ideals, s->cap);
    s->ideal[0] = empty;
    s->ideals = 1;
    /* The exact search counts the ideals before it prices anything. */
    uint32_t first = 0, *end = NEW_N(s->a, uint32_t, p->atoms + 1u); /* of each level */
    end[0] = 1;
    for (uint32_t size = 1; size <= p->atoms; size++) {
        uint32_t level = s->ideals;
        if (!next_level(s, first, level, width ? UINT32_MAX : p->max_ideals))
            return false;
        for (uint32_t j = level; width && j < s->ideals; j++)
            for (uint32_t i = 0; i < level; i++)
                step(s, i, j);
        if (width)
            narrow(s, level, width);
        first = level;
        end[size] = s->ideals;
    }
    for (uint32_t size = 1; size <= p->atoms && !width; size++)
        for (uint32_t j = end[size - 1]; j < end[size]; j++)
            for (uint32_t i = 0; i < end[size - 1]; i++)
                step(s, i, j);
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
        uint32_t width = p->max_ideals / p->atoms;
        search(&s, width ? width : 1);
    }
    r.ideals = s.ideals;
    for (uint32_t k = 0; k <= MAX_PARTS; k++) {
        uint32_t j = s.ideals - 1;
        r.cost[k] = k > p->max_programs ? COST_ILLEGAL : s.ideal[j].best[k];
        if (r.cost[k] == COST_ILLEGAL)
            continue;
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
