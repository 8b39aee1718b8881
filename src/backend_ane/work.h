/* work.h: from the nodes of a graph to the Work that the cost model (target/cost.h) prices.
 *
 * For the partitioner, which compares divisions before there is any text. Work is counted in three more places, each
 * knowing what the others cannot:
 *
 *   passes/node_cost.h   one operation on either device, before places are given: prices to compare, no dispatches
 *   Emit.cost            while a program is written: what was in fact written, with the weights apart, so that one text
 *                        gives the cost of every way to bring weights to it (modes.h)
 *   work/mil_work.c      from the text alone, of any program, anel's or not: what a plan is judged by
 *
 * The flops of a product (matmul_flops()), weights that stream slowly (work_notched()) and all times (cost.h) are
 * common. */
#ifndef ANEL_BACKEND_ANE_WORK_H
#define ANEL_BACKEND_ANE_WORK_H

#include "ir/graph.h"
#include "target/cost.h"

/* What node `v` does by itself: flops, bytes of elementwise work, statements. Surfaces, weights and spilling depend on
 * its company: work_of_program(). Views, constants and broadcasts cost nothing. */
Work work_of_node(const Graph *g, ValueId v);

/* All the work of program `number` of `program` ([g->count], see Partition): its nodes, its input and output surfaces
 * with their padding, each constant once, and intermediate values too large for the chip. */
Work work_of_program(Arena *scratch, const Module *m, const Graph *g, const uint32_t *program, uint32_t number);

/* ---- the parts, for the partitioner ---- */

/* A value at the border of a program: [1, channels, 1, width]. */
uint32_t work_width(Shape s);
uint64_t work_channels(Shape s);
/* Channels of a port with so many used ones: padded as the target wants it. */
uint64_t work_padded(const Target *t, uint64_t channels);
/* fp16 bytes that a constant occupies inside a program; 0 for splats, which are scalars there. */
uint64_t work_constant_bytes(const Graph *g, ValueId v);
/* Bytes moved out and in again for an intermediate value of that size; 0 if it stays on the chip. */
uint64_t work_spilled(const Target *t, uint64_t bytes);

#endif
