/* loop.c: building repeats; see loop.h. */
#include "passes/loop.h"

ValueId loop_input(Loop *l, LoopKind kind, StrId name, Type type, ValueId operand, Span at)
{
    l->operand = arena_grow(l->scratch, l->operand, l->inputs, &l->operand_cap, sizeof *l->operand);
    l->kind = arena_grow(l->scratch, l->kind, l->inputs, &l->kind_cap, sizeof *l->kind);
    l->operand[l->inputs] = operand;
    l->kind[l->inputs++] = kind;
    ValueId v = graph_add_input(l->m, l->region, name, type, false, at);
    l->region->node[v].role = ROLE_BWD;
    return v;
}

ValueId loop_finish(Loop *l, Graph *outer, const Node *proto)
{
    uint32_t count = 0, of_kind[LOOP_KINDS] = {0}, *place = NEW_N(l->scratch, uint32_t, l->inputs + 1u);
    ValueId *operand = NEW_N(l->scratch, ValueId, l->inputs + 1u);
    for (LoopKind k = LOOP_CARRY; k < LOOP_KINDS; k++)
        for (uint32_t i = 0; i < l->inputs; i++)
            if (l->kind[i] == k) {
                of_kind[k]++;
                operand[count] = l->operand[i];
                place[i] = count++;
            }
    graph_move_inputs(l->m, l->region, place, count);
    Node n = *proto;
    n.a.repeat.graph = l->region->id;
    n.a.repeat.n_carry = of_kind[LOOP_CARRY];
    n.a.repeat.n_xs = of_kind[LOOP_XS];
    return graph_add(l->m, outer, &n, operand, count);
}
