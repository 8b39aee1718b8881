/* cse.c: value numbering: nodes with equal keys and equal operands are one value.
 *
 * The table is open addressing over hashes of (key, operands). Forward nodes come first in a graph, so what merges
 * keeps the forward node; a forward node is never replaced by a backward one. */
#include "passes/simplify.h"

#include "base/hash.h"

#include <string.h>

enum { OPERANDS_IN_KEY = 24 };

static uint64_t hash_of(const Node *n, const ValueId *in, uint32_t n_in)
{
    struct {
        uint64_t key[KEY_WORDS];
        uint32_t in[OPERANDS_IN_KEY]; /* longer lists collide, and are told apart when compared */
    } k = {{0}, {0}};
    node_key(n, k.key);
    for (uint32_t i = 0; i < n_in && i < OPERANDS_IN_KEY; i++)
        k.in[i] = in[i];
    uint64_t h = hash_u64(&k, sizeof k);
    return h ? h : 1;
}

static bool same(const Graph *g, const Node *a, ValueId v, const ValueId *in, uint32_t n_in)
{
    const Node *b = &g->node[v];
    uint64_t    ka[KEY_WORDS], kb[KEY_WORDS];
    if (b->in_count != n_in || (a->role == ROLE_FWD && b->role == ROLE_BWD))
        return false;
    if (a->hint != b->hint && a->role == b->role) /* two statements, two wishes */
        return false;
    node_key(a, ka);
    node_key(b, kb);
    return memcmp(ka, kb, sizeof ka) == 0 && (n_in == 0 || memcmp(node_in(g, b), in, n_in * sizeof *in) == 0);
}

ValueId cse_find(Simp *s, const Node *n, const ValueId *in, uint32_t n_in)
{
    if (!s->slots || !node_is_pure(n))
        return 0;
    uint64_t h = hash_of(n, in, n_in);
    for (uint32_t i = (uint32_t)h & (s->slots - 1); s->slot[i]; i = (i + 1) & (s->slots - 1))
        if (s->hash[i] == h && same(s->g, n, s->slot[i], in, n_in))
            return s->slot[i];
    return 0;
}

static void insert(Simp *s, ValueId v, uint64_t h)
{
    uint32_t i = (uint32_t)h & (s->slots - 1);
    while (s->slot[i])
        i = (i + 1) & (s->slots - 1);
    s->slot[i] = v;
    s->hash[i] = h;
    s->used++;
}

void cse_add(Simp *s, ValueId v)
{
    const Node *n = &s->g->node[v];
    if (!node_is_pure(n))
        return;
    if (2 * (s->used + 1) > s->slots) {
        ValueId  *slot = s->slot;
        uint64_t *hash = s->hash;
        uint32_t  old = s->slots;
        s->slots = old ? 2 * old : 256;
        s->slot = NEW_N(s->scratch, ValueId, s->slots);
        s->hash = NEW_N(s->scratch, uint64_t, s->slots);
        s->used = 0;
        for (uint32_t i = 0; i < old; i++)
            if (slot[i])
                insert(s, slot[i], hash[i]);
    }
    insert(s, v, hash_of(n, node_in(s->g, n), n->in_count));
}
