/* dist_tree.h: a sum whose order depends on nothing but the number of its terms.
 *
 * Terms have numbers from 0. A node of level k and index i is the sum of the terms i * 2^k .. (i + 1) * 2^k - 1; it is
 * its left half plus its right half. Nodes are made of whatever is there, as carries are in a binary counter: whoever
 * holds consecutive terms adds up what lies within, and what several of them made is joined in the same way. However
 * the terms were divided, the same numbers are added in the same order. If the number of terms is no power of two,
 * several nodes remain, ever smaller ones; these are added up from the left. */
#ifndef ANEL_TRAIN_DIST_TREE_H
#define ANEL_TRAIN_DIST_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t index;
    uint32_t level;
} TreeNode;

enum { TREE_NODES = 128 }; /* more than any range of terms leaves */

/* Are these two halves of one node? */
bool tree_siblings(TreeNode left, TreeNode right);
/* The node of which they are halves, or the left of which it is. */
TreeNode tree_parent(TreeNode left);
/* The nodes that the terms first .. first + n - 1 add up to, from the left, into `node` (TREE_NODES of them); how many.
 * `most` (may be NULL) receives how many there are at a time at most while they are added up one by one. */
uint32_t tree_range(uint64_t first, uint64_t n, TreeNode *node, uint32_t *most);

/* x += y */
void tree_add(float *x, const float *y, size_t n);
/* The sum of consecutive nodes, which are vectors in[0 .. nodes) of n numbers; they are overwritten. Returns the one that
 * holds it. */
float *tree_fold(const TreeNode *node, uint32_t nodes, float *const *in, size_t n);

#endif
