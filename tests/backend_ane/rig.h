/* rig.h: modules for the tests of the back end. */
#ifndef ANEL_TESTS_BACKEND_RIG_H
#define ANEL_TESTS_BACKEND_RIG_H

#include "ir/graph.h"

/* dim 64, 4 heads, hidden 96, 32 positions, 80 tokens, tied head; the layers in a repeat. */
Module *rig_transformer(Arena *a, int32_t layers);

/* One program with parameters of many shapes, each read in another way: as a matrix, elementwise, as a column. */
Module *rig_parameters(Arena *a);

#endif
