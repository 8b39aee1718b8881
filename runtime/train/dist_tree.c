/* dist_tree.c: see dist_tree.h. */
#include "runtime/train/dist_tree.h"

#include "base/arena.h"

bool tree_siblings(TreeNode left, TreeNode right)
{
    return left.level == right.level && left.index % 2 == 0 && right.index == left.index + 1;
}

TreeNode tree_parent(TreeNode left)
{
    return (TreeNode){left.index / 2, left.level + 1};
}

uint32_t tree_range(uint64_t first, uint64_t n, TreeNode *node, uint32_t *most)
{
    uint32_t nodes = 0, top = 0;
    for (uint64_t i = 0; i < n; i++) {
        node[nodes++] = (TreeNode){first + i, 0};
        for (; nodes > 1 && tree_siblings(node[nodes - 2], node[nodes - 1]); nodes--)
            node[nodes - 2] = tree_parent(node[nodes - 2]);
        if (nodes == TREE_NODES)
            bug("more than %d nodes", TREE_NODES);
        top = nodes > top ? nodes : top;
    }
    if (most)
        *most = top;
    return nodes;
}

void tree_add(float *restrict x, const float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

float *tree_fold(const TreeNode *node, uint32_t nodes, float *const *in, size_t n)
{
    TreeNode open[TREE_NODES];
    float   *sum[TREE_NODES] = {in[0]};
    uint32_t k = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        if (k == TREE_NODES)
            bug("more than %d nodes", TREE_NODES);
        open[k] = node[i];
        sum[k++] = in[i];
        for (; k > 1 && tree_siblings(open[k - 2], open[k - 1]); k--) {
            tree_add(sum[k - 2], sum[k - 1], n);
            open[k - 2] = tree_parent(open[k - 2]);
        }
    }
    for (uint32_t i = 1; i < k; i++)
        tree_add(sum[0], sum[i], n);
    return sum[0];
}
