/* ideals.h: the cheapest division of a partial order into programs that run one after another.
 *
 * Atoms are partially ordered. What has run after some programs is an *ideal*: a set that contains, with an atom, all
 * that come before it. A sequence of programs is a chain of ideals from nothing to everything, and each program is the
 * difference of two neighbours; conversely, every acyclic division arises in this way. So with best[k][J] the least
 * cost of running the ideal J in k programs,
 *
 *     best[0][{}] = 0        best[k][J] = min over ideals I in J of  best[k-1][I] + cost(J - I)
 *
 * is exact. Transformer layers are nearly chains and have few ideals, some dozens; an order with more than the limit,
 * or one that takes too many prices, is searched by a beam instead, which the result says. Nothing here knows of
 * graphs. */
#ifndef ANEL_BACKEND_ANE_IDEALS_H
#define ANEL_BACKEND_ANE_IDEALS_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t Word; /* sets of atoms: atom a is bit a % 64 of word a / 64 */
enum { MAX_PARTS = 16 };

static inline bool set_has(const Word *s, uint32_t a)
{
    return s[a / 64] >> (a % 64) & 1;
}

static inline void set_add(Word *s, uint32_t a)
{
    s[a / 64] |= (Word)1 << (a % 64);
}

static inline uint32_t set_words(uint32_t atoms)
{
    return atoms ? (atoms + 63) / 64 : 1;
}

static inline bool sets_meet(const Word *a, const Word *b, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++)
        if (a[i] & b[i])
            return true;
    return false;
}

#define COST_ILLEGAL INT64_MAX
/* Cost of a program of these atoms, or COST_ILLEGAL; a pure function. */
typedef int64_t ChainCostFn(void *data, const Word *set);

typedef struct {
    uint32_t       atoms;
    const Word    *before; /* [atoms][words] all that must have run before; atom numbers are a topological order */
    const Word
        *apart; /* [atoms][words] what may not share a program with it; symmetric; an atom's own bit: never legal */
    ChainCostFn   *cost;
    ChainCostFn   *bound; /* the least that these atoms cost, however they are divided; may be NULL */
    void          *data;
    int64_t        least;      /* no program costs less than this */
    const int64_t *least_atom; /* [atoms] ... plus these of its atoms; NULL: nothing */
    uint32_t       max_programs; /* at most MAX_PARTS */
    uint32_t       max_ideals;   /* beyond these, a beam */
} ChainProblem;

typedef struct {
    int64_t
        cost[MAX_PARTS + 1]; /* with exactly k programs; COST_ILLEGAL if there is no way, or none that is cheaper than
                                       * with fewer */
    uint32_t *program[MAX_PARTS + 1]; /* [atoms] from 1, in an order in which they can run; NULL if there is no way */
    uint32_t  ideals;                 /* looked at */
    bool      beam;
} ChainResult;

/* Equal costs: the atom with the smallest number about which two divisions disagree goes to the earlier program. */
ChainResult chain_solve(Arena *a, const ChainProblem *p);

#endif
