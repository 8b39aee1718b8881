/* recipe_parts.h: recipes as copies in one pass.
 *
 * Most recipes reorder a parameter and scale its rows or columns: T(colscale(w, g)), concat(0, ...), permute(shape(...)).
 * Every such recipe is a few parts, each a box of strides over one parameter: element by element read, scaled, rounded
 * to fp16, written, with no value in between in memory. Transposed boxes go through tiles that fit the first cache, so
 * that both sides are touched in whole cache lines. The bits are those of computing the recipe step by step in fp32 and
 * rounding once. Recipes that do something else (sums, products with vectors) have no parts. */
#ifndef ANEL_RUNTIME_RECIPE_PARTS_H
#define ANEL_RUNTIME_RECIPE_PARTS_H

#include "base/arena.h"
#include "convert.h"
#include "plan/plan.h"

enum { PART_FACTORS = 12, PART_SCALES = 4 };

typedef struct {
    const Recipe *leaf; /* RECIPE_PARAM or RECIPE_TABLE */
    size_t        offset;
    int           axis; /* of the matrix: 0, an element per row; 1, one per column; -1: the number c */
    double        c;
} PartScale;

typedef struct {
    size_t dim, from, to; /* extent; strides in the leaf and in the result */
    int    axis;          /* of the leaf, as a matrix [rows, columns] */
    size_t step;          /* of the index along that axis */
} PartFactor;

typedef struct {
    const Recipe *leaf;
    size_t        from, to;            /* offsets in elements */
    PartFactor    factor[PART_FACTORS]; /* the outer ones, the last first in memory; then see below */
    uint32_t      outer;               /* factors walked one by one */
    PartFactor    along, across;       /* along: contiguous in the leaf; across: contiguous in the result, if another */
    bool          turned;              /* `across` is another factor than `along` */
    PartScale     scale[PART_SCALES];  /* in the order of the arithmetic */
    uint32_t      scales;
    uint32_t      items;    /* pieces of work, each of about `size` elements, that write disjoint memory */
    size_t        size;
    uint32_t      per_row;  /* items of one combination of outer factors */
} RecipePart;

/* The parts of `r`, written to dense rows of `columns` elements that start `stride` apart (equal: all contiguous). NULL
 * if it has none. */
const RecipePart *recipe_parts(Arena *a, const Recipe *r, size_t columns, size_t stride, uint32_t *count);

/* Where the numbers of a leaf are. */
typedef const float *RecipeLeaf(const void *with, const Recipe *leaf, uint32_t k);
/* Do one item. `y` is the result, shared by all items of all parts; convert_published() before others read it. */
void recipe_part_run(const RecipePart *p, RecipeLeaf *leaf, const void *with, uint32_t k, uint32_t item, uint16_t *y,
                     ConvertCount *count);

#endif
