/* test_dist.c: sums whose order does not depend on who adds, and jobs of one rank. */
#include "base/arena.h"
#include "runtime/dist.h"
#include "runtime/train/dist_tree.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS = 5 };

static float term(uint64_t i, size_t k)
{
    return (float)((double)(i * 2654435761u % 1000003u + k) * 1e-3 - 500) * (i % 5 == 2 ? 1e5f : 1.0f);
}

/* The sum as dist_tree.h defines it, from the top: the largest nodes from the left, each its left half plus its right. */
static float node_sum(uint64_t first, uint64_t n, size_t k)
{
    return n == 1 ? term(first, k) : node_sum(first, n / 2, k) + node_sum(first + n / 2, n / 2, k);
}

static float whole_sum(uint64_t terms, size_t k)
{
    float    sum = 0;
    uint64_t at = 0;
    for (uint64_t size = (uint64_t)1 << 32; size; size /= 2)
        if (terms & size) {
            sum = at ? sum + node_sum(at, size, k) : node_sum(at, size, k);
            at += size;
        }
    return sum;
}

/* Add up each rank's terms one by one, then what they made. */
static void divided_sum(uint32_t ranks, uint64_t each, float *out)
{
    TreeNode *all = xcalloc(ranks * each, sizeof *all);
    float   **in = xcalloc(ranks * each, sizeof *in);
    uint32_t  nodes = 0;
    for (uint32_t r = 0; r < ranks; r++) {
        TreeNode node[TREE_NODES];
        uint32_t n = tree_range(r * each, each, node, NULL);
        for (uint32_t i = 0; i < n; i++) {
            in[nodes] = xcalloc(NUMBERS, sizeof **in);
            for (size_t k = 0; k < NUMBERS; k++)
                in[nodes][k] = node_sum(node[i].index << node[i].level, (uint64_t)1 << node[i].level, k);
            all[nodes++] = node[i];
        }
    }
    memcpy(out, tree_fold(all, nodes, in, NUMBERS), NUMBERS * sizeof *out);
    for (uint32_t i = 0; i < nodes; i++)
        free(in[i]);
    free(in);
    free(all);
}

Test(dist, sums_do_not_depend_on_how_terms_are_divided)
{
    uint32_t orders = 0;
    for (uint64_t terms = 1; terms <= 48; terms++)
        for (uint32_t ranks = 1; ranks <= terms; ranks++) {
            float got[NUMBERS], in_order = 0;
            if (terms % ranks)
                continue;
            divided_sum(ranks, terms / ranks, got);
            for (size_t k = 0; k < NUMBERS; k++)
                cr_assert_eq(got[k], whole_sum(terms, k), "%u ranks, %u terms: %.9g, expected %.9g", ranks,
                             (unsigned)terms, (double)got[k], (double)whole_sum(terms, k));
            for (uint64_t i = 0; i < terms; i++)
                in_order += term(i, 0);
            orders += in_order != got[0];
        }
    cr_assert_gt(orders, 20, "the terms are too tame to tell orders of addition apart");
}

Test(dist, nodes_of_a_range_cover_it_from_left_to_right_with_few_vectors)
{
    for (uint64_t first = 0; first < 40; first++)
        for (uint64_t n = 1; n < 40; n++) {
            TreeNode node[TREE_NODES];
            uint32_t most, nodes = tree_range(first, n, node, &most);
            uint64_t at = first;
            for (uint32_t i = 0; i < nodes; i++) {
                cr_assert_eq(node[i].index << node[i].level, at);
                at += (uint64_t)1 << node[i].level;
                cr_assert(i == 0 || !tree_siblings(node[i - 1], node[i]));
            }
            cr_assert_eq(at, first + n);
            cr_assert(most >= nodes && most <= 12, "%u vectors for %u terms", most, (unsigned)n);
        }
}

static float *first_plus_twice_second(void *with, float **in, size_t n)
{
    (void)with;
    for (size_t i = 0; i < n; i++)
        in[1][i] = in[0][i] + 2 * in[1][i];
    return in[1];
}

Test(dist, a_single_process_is_a_job_of_one_rank)
{
    Buf   err = {0};
    Dist *d = dist_open(false, &err);
    cr_assert(d != NULL, "%s", err.data);
    cr_assert_eq(dist_rank(d), 0u);
    cr_assert_eq(dist_size(d), 1u);
    cr_assert(dist_spokesman());
    double x[2] = {3, -4};
    dist_sum(d, x, 2);
    dist_max(d, x, 2);
    cr_assert(x[0] == 3 && x[1] == -4);
    cr_assert(dist_same(d, "abc", 3));
    float           a[3] = {1, 2, 3}, b[3] = {10, 20, 30}, *part[2] = {a, b};
    const uint32_t  parts[1] = {2};
    dist_fold(d, part, parts, 3, a, first_plus_twice_second, NULL);
    cr_assert(a[0] == 21 && a[1] == 42 && a[2] == 63);
    dist_close(d);
}
