/* dot.h: graphs as pictures: text for Graphviz (dot -Tsvg). */
#ifndef ANEL_BACKEND_ANE_DOT_H
#define ANEL_BACKEND_ANE_DOT_H

#include "backend_ane/partition.h"

/* Append a digraph of every entry and, each in a frame of its own, the regions of its repeats. Nodes carry name,
 * operation and shape; the engine's are blue, the CPU's yellow, undecided ones white; the backward direction has
 * rounded corners, what runs once per update too. `of` ([m->graphs], Partitions.of; NULL: none): each program is a frame
 * inside of its graph. Scratch memory in `a`. */
void module_dot(Arena *a, const Module *m, const Partition *of, Buf *out);

#endif
