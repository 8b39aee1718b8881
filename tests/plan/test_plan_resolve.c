/* test_plan_resolve.c: every check of plan_resolve(), by one wrong word in a good manifest. */
#include "base/file.h"
#include "plan/plan_ops.h"
#include "sample.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *old, *new, *message; /* NULL: the change is a good one */
} wrong[] = {
    /* leaves */
    {"param embed {", "param layers.3.w {", "parameter 'layers.3.w' is defined twice"},
    {"  lr 0.5", "  lr -1.0", "the learning rate factor must be a number from 0 on"},
    {"rows 0 8", "rows 8 8", "the import names no rows of anything"},
    {"init uniform -0.1 0.1", "init uniform 1.0 0.1", "its initial values make no sense"},
    {"init value 1e-05", "init value nan", "its initial values make no sense"},
    {"shape f32 8x16", "shape f16 8x16", "state 'layers.{L}.cache' is neither f32 nor i32"},
    {"layers.{2..4}.cache", "layers.{0..2000000}.cache", "over 1048576 states"},
    {"  shape 50x8", "  shape 2000000000x2000000000", "extents must be at least 1 and their product below 2^40"},
    {"import layers.{L}.w.weight transpose", "import layers.{M}.w.weight transpose", "the import names no rows"},
    /* tables */
    {"table 2123456789abcdef", "table 21", "table 'picks': the hash must be 32 hex digits"},
    {"table 2123456789abcdef0123456789abcdef", "table 0123456789abcdef0123456789abcdef",
     "table '0123456789abcdef0123456789abcdef' is defined twice"},
    /* programs */
    {"  mil layer_fwd 3", "  mil ../layer_fwd 3", "expected a name"},
    {"  mil layer_fwd 3", "  mil \"../layer_fwd\" 3", "'mil' needs a file name and a hash"},
    {"weights/mask.bin", "\"/etc/mask.bin\"", "weight '/etc/mask.bin': the path must be relative"},
    {"weights/wt.bin", "weights/w.bin", "weight 'weights/w.bin' is defined twice"},
    {"in i00 1x8x1x6", "in i00 8x6", "the shape is 8x6, ports are 1xCx1xS"},
    {"part y channels 0 8", "part y channels 3 8", "part 'y' does not lie within its 10 channels"},
    {"part r channels 9 1 shape 1x6", "part r channels 9 1 shape 1x7", "does not fill 1 channels of 6"},
    {"    part x channels 0 8 shape 8x6", "  in i00 1x8x1x6", "ports 'i00', 'i00' are not in alphabetical order"},
    {"weights/wt.bin 6x8x1x1", "weights/wt.bin 6x9x1x1", "the shape is 6x9x1x1, its recipe makes 6x8"},
    {"= layers.{L}.w\n", "= layers.{L}.u\n", "there is no parameter 'layers.2.u'"},
    {"  instances 2 3", "  instances 2 4", "there is no parameter 'layers.5.w'"},
    {"= table 0123456789abcdef0123456789abcdef", "= table picks", "table 'picks' holds integers"},
    {"= T(layers.{L}.w)", "= T(table 0123456789abcdef0123456789abcdef)", "T() of the shape 1x1x8x6, rank 2 is needed"},
    {"colscale(embed, layers.{L}.v)", "colscale(embed, table 2123456789abcdef0123456789abcdef)", "holds integers"},
    {"colscale(embed, layers.{L}.v)", "colscale(layers.{L}.v, embed)", "colscale() of 8 and 50x8"},
    {"colscale(embed, layers.{L}.v)", "rowscale(embed, layers.{L}.v)", "rowscale() of 50x8 and 8"},
    {"rowscale(T(embed), layers.{L}.v)", "mul(T(embed), layers.{L}.v)", "mul() of 8x50 and 8"},
    {"rowscale(T(embed), layers.{L}.v)", "add(T(embed), embed)", "add() of 8x50 and 50x8"},
    {"apply(embed, layers.{L}.v)", "apply(T(embed), layers.{L}.v)", "apply() of 8x50 and 8"},
    {"apply(embed, layers.{L}.v)", "slice(embed, from 0 0 to 51 1)", "slice() is not within 50x8"},
    {"apply(embed, layers.{L}.v)", "slice(embed, from 0 0 to 50 1 1)", "a slice from 2 places to 3"},
    {"apply(embed, layers.{L}.v)", "slice(embed, from 7 0 to 7 8)", "slice() is not within 50x8"},
    {"0 2 1)", "0 2 2)", "permute() does not name each axis of 4x2x6 once"},
    {"0 2 1)", "0 1)", "permute() does not name each axis of 4x2x6 once"},
    {", 4x2x6)", ", 4x2x7)", "shape() of 8x6 is not 4x2x7"},
    {"concat(0, layers.{L}.w, layers.{L}.base)", "concat(2, layers.{L}.w, layers.{L}.base)",
     "concat() along axis 2 of 8x6"},
    {"concat(0, layers.{L}.w, layers.{L}.base)", "concat(0, layers.{L}.w, embed)", "concat() of 8x6 and 50x8"},
    {"scale(layers.{L}.w, -0.5)", "scale(layers.{L}.w, inf)", "scale() by a number that is not finite"},
    {"scale(layers.{L}.w, -0.5)", "mul(layers.{L}.w)", "expected ',', found ')"},
    /* what parameters become */
    {"merge add(layers.{L}.base,", "merge add(layers.{L}.v,", "merge: add() of 8 and 8x6"},
    {"product(layers.{L}.w, product(", "product(T(layers.{L}.w), product(", "product() of 6x8 and 6x6"},
    {"merge add(layers.{L}.base, scale(product(layers.{L}.w, product(T(layers.{L}.w), layers.{L}.w)), 0.25))",
     "merge T(layers.{L}.w)", "merge: the shape is 8x6, its recipe makes 6x8"},
    {"  adapter yes\n", "  merge layers.{L}.v\n  adapter yes\n", "the parameter is an adapter, merged into another"},
    {"merge add(layers.{L}.base", "merge add(layers.{L}.bass", "there is no parameter 'layers.2.bass'"},
    {"  adapter yes\n", "  adapter yes\n  adapter no\n", "'adapter' is given twice"},
    /* buffers */
    {"surface fwd_in 1x8x1x6", "surface fwd_in 8x6", "surfaces are f16 1xCx1xS"},
    {"buffer keep f16 8x6 stack 3", "buffer keep f16 8x6 stack 5000", "stack 5000 is not between 0 and 4096"},
    /* weights in surfaces */
    {"weights dynamic", "weights baked", "surfaces are staged with weights, but the plan says 'weights baked'"},
    {"stage held 2 {", "stage x 2 {", "stage 'x': only surfaces are staged"},
    {"stage shared 0 {", "stage held 2 {", "'held' is staged twice"},
    {"stage shared 0 {", "stage shared 1 {", "a surface that is no stack belongs to index 0"},
    {"stage held 2 {", "stage held 3 {", "there is no parameter 'layers.5.w'"},
    {"  weight 0 8x6 = layers", "  weight 0 8x6x1 = layers", "the shape is 8x6x1, it must be rows x columns"},
    {"  weight 0 8x6 = layers", "  weight 3 8x6 = layers", "the weights before it reach to channel 11"},
    {"  weight 14 50x8", "  weight 15 50x8", "50x8 does not fit into 64 channels of 16"},
    {"  weight 14 50x8", "  weight 4000000 50x8", "50x8 does not fit into 64 channels of 16"},
    {"  weight 10 3x16", "  weight 10 2x17", "2x17 does not fit into 64 channels of 16"},
    {"  weight 10 3x16", "  weight 10 3x15", "the shape is 3x15, its recipe makes 6x8"},
    {"  weight 14 50x8 = embed", "  weight 14 50x8 = T(pos)", "there is no parameter 'pos'"},
    {"move fwd_in:8x6 <- x:8x6", "move held[L]:8x6 <- x:8x6", "'held' holds weights; no step writes it"},
    {"      move x:8x6 <- fwd_out@16:8x6", "      move x:8x6 <- held+1024:8x6", NULL},
    {"    loop L 2 3 reverse {\n", "    loop L 1 3 reverse {\n      move x:8x6 <- held[L]:8x6\n",
     "'held' holds the weights of L = 2 on, the loop begins with 1"},
    /* entries */
    {"input targets int targets", "input tokens int targets", "input 'tokens' is defined twice"},
    {"input targets int targets", "input targets int x", "buffer 'x' is f32, needs i32"},
    {"input targets int targets", "input targets int fwd_in", "must be a plain f32 or i32 buffer"},
    {"loss_scale scale", "loss_scale x", "a loss scale is one number"},
    {"train loss {", "train lost {", "train names the entry 'lost', which does not exist"},
    {"  optimizer.lr", "  optimizer", "train setting 'optimizer' is defined twice"},
    {"accumulator sums 50x8", "accumulator sums 2000000x2000000", "extents must be at least 1"},
    /* the parts of an entry */
    {"add xt:6x8 <- sums:6x8", "add sums:6x8 <- sums:6x8", "the accumulator 'sums' is added to in backward only"},
    {"    iota tokens:6 <-", "    slice xt:6x8 <- sums:50x8 from 0 0 to 6 8",
     "the accumulator 'sums' is read in update only"},
    {"add xt:6x8 <- sums:6x8, 1.0:6x8", "add xt:6x8 <- xt:6x8, 1.0:6x8",
     "reads 'xt', parts of which no step before has written"},
    {"add xt:6x8 <- sums:6x8, 1.0:6x8", "add xt:6x8 <- state layers.{L}.cache:6x8, 1.0:6x8",
     "update steps do not touch states"},
    {"add xt:6x8 <- sums:6x8, 1.0:6x8", "run layer_fwd fwd_out:1x10x1x6 <- fwd_in:1x8x1x6",
     "programs do not run in update"},
    {"coldot grad layers.{L}.v:8", "coldot grad layers.{L}.w:8x6", "operand and result are 50x8 and 8x6"},
    {"colscale grad embed:50x8 <- sums:50x8, param layers.{L}.v:8",
     "colscale grad embed:50x8 <- sums:50x8, param layers.{L}.w:8x6", "matrix and vector are 50x8 and 8x6"},
    /* references */
    {"gather xt:6x8 <- param embed:50x8", "gather xt:7x8 <- param embed:50x8",
     "56 elements from 0 on of 'xt', which has 48"},
    {"gather xt:6x8 <- param embed:50x8", "gather xt:6x8 <- param embed:49x8", "'embed' is 50x8, seen as 49x8"},
    {"gather xt:6x8 <- param embed:50x8", "gather xt:6x8 <- param layers.{L}.w:8x6", "has an {L} outside of a loop"},
    {"gather xt:6x8 <- param embed:50x8", "gather xt:6x8 <- grad embed:50x8", "a gradient can be added to, not read"},
    {"gather xt:6x8 <-", "gather param embed:50x8 <-", "a step cannot write a parameter"},
    {"gather xt:6x8 <-", "gather table picks:6 <-", "a step cannot write a table"},
    {"gather xt:6x8 <-", "gather 1.0:6x8 <-", "a step cannot write a number"},
    {"transpose x:8x6", "transpose keep[L]:8x6", "'keep' is a stack of 3; [L] needs a loop of as many iterations"},
    {"    loop L 2 3 {", "    loop L 2 2 {", "'keep' is a stack of 3; [L] needs a loop of as many iterations"},
    {"    loop L 2 3 {", "    loop L 1 3 {", "'layer_fwd' has instances for L = 2 to 4"},
    {"    loop L 2 3 reverse {", "    loop L 3 3 reverse {", "there is no state 'layers.5.cache'"},
    {"    loop L 2 3 {", "    loop L 2 5000 {", "a loop has 1 to 4096 iterations"},
    {"move grad layers.{L}.w:8x6", "move grad layers.{L}.base:8x6", "'layers.{L}.base' is frozen and has no gradient"},
    {"<- fwd_out@16:8x6", "<- fwd_out@10:8x6", "a view lies in one of them"},
    /* operations */
    {"add x:8x6 <- x:8x6, param layers.{L}.w:8x6", "add x:8x6 <- x:8x6, keep[L]:8x6",
     "'keep' is f16; operations work in fp32"},
    {"add x:8x6 <- x:8x6, param layers.{L}.w:8x6", "add x:8x6 <- x:8x6, param layers.{L}.w:6x8",
     "operands are 8x6 and 6x8"},
    {"add x:8x6 <- x:8x6, param layers.{L}.w:8x6", "add x:8x6 <- x:8x6",
     "takes 2 operands and makes 1 result, not 1 and 1"},
    {"add x:8x6 <- x:8x6, param layers.{L}.w:8x6", "add x:6x8 <- x:8x6, x:8x6",
     "the result is 8x6, the destination 6x8"},
    {"select \"odd name\":8x6 <- bits:8x6", "select \"odd name\":8x6 <- x:8x6", "operand 0 is f32, needs i32"},
    {"cmp bits:8x6", "cmp \"odd name\":8x6", "the result is i32, the destination f32"},
    {"softmax x:8x6 <- x:8x6 axis 0", "softmax x:8x6 <- x:8x6 axis 2", "axis 2 of a value of rank 2"},
    {"sum one:1x1 <- x:8x6 axes 0 1", "sum one:1x1 <- x:8x6 axes 0 2", "an axis to reduce is beyond rank 2"},
    {"perm 1 0", "perm 1 1", "perm is not a permutation of 2 axes"},
    {"from 0 0 to 8 6", "from 0 0 to 8 7", "slice 0 to 7 of axis 1 with extent 6"},
    {"before 8 2 after 0 4", "before 8 2 after 0 5", "the result is 16x13, the destination 16x12"},
    {"1.0:8x6 axis 1", "1.0:8x6 axis 0", "the result is 24x6, the destination 8x18"},
    {"1.0:8x6 axis 1", "1.0:7x6 axis 1", "parts do not fit: they are 8x6 and 7x6"},
    {"iota tokens:6", "iota tokens:2x3", "the result has rank 2, needs rank 1"},
    {"xent loss:6 <- x:8x6, table picks:6 axis 0", "xent loss:6 <- x:8x6, table picks:6 axis 1",
     "classes needed and given are 8 and 6"},
    {"matmul one:1x1 <- x:1x8, x:1x8 tb", "matmul one:1x1 <- x:1x8, x:1x8", "contracts 8 with 1"},
    {"scatter_add grad embed:50x8 <- table picks:6, xt:6x8", "scatter_add grad embed:50x8 <- table picks:6, xt:8x6",
     "rows needed and given are 6x8 and 8x6"},
    {"3.0:1, tokens+5:1 axis 0", "3.0:1, tokens+4:2 axis 0", "the position must be one number"},
    {"3.0:1, tokens+5:1 axis 0", "3.0:2, tokens+5:1 axis 0", "the update does not fit: whole and update are 1 and 2"},
    /* moves and runs */
    {"move fwd_in:8x6 <- x:8x6", "move fwd_in:8x6 <- x:4x6", "the number of elements changes"},
    {"move fwd_in:8x6 <- x:8x6", "move fwd_in:1x6 <- tokens:6", "integers cannot be moved to reals"},
    {"<- fwd_in:1x8x1x6", "<- x:1x8x1x6", "port 'i00' needs a surface"},
    {"<- fwd_in:1x8x1x6", "<- fwd_in:1x4x1x6", "port 'i00' is 1x8x1x6, bound as 1x4x1x6"},
    {"fwd_out[L]:1x10x1x6 <- fwd_in:1x8x1x6", "fwd_out[L]+6:1x10x1x6 <- fwd_in:1x8x1x6",
     "a port begins where its surface"},
    {"<- fwd_in:1x8x1x6", "<- fwd_in:1x8x1x6, fwd_in:1x8x1x6", "'layer_fwd' has 1 inputs and 1 outputs"},
    {"<- fwd_in:1x8x1x6", "<- fwd_out[L]:1x8x1x6", "result and operand overlap"},
    /* order */
    {"    transpose x:8x6 <- xt:6x8 perm 1 0\n", "",
     "`move fwd_in:8x6 <- x:8x6`: reads 'x', parts of which no step before"},
    {"      move fwd_in:8x6 <- x:8x6", "      move fwd_in:4x6 <- x:4x6",
     "reads 'fwd_in', parts of which no step before"},
    {"      move keep[L]:48 <- x:48\n", "",
     "entry 'loss', backward: `move grad layers.{L}.w:8x6 <- keep[L]:8x6`: reads 'keep'"},
    {"    xent loss:6 <- x:8x6, table picks:6 axis 0\n", "",
     "no forward step writes all of the result 'loss' ('loss')"},
    {"transpose x:8x6 <- xt:6x8 perm 1 0", "transpose xt:8x6 <- xt:6x8 perm 1 0", "cannot work in place"},
    {"slice big+48:8x6 <- x:8x6", "slice big+48:8x6 <- big+40:8x6", "result and operand overlap"},
};

Test(plan_resolve, every_check_speaks)
{
    for (size_t i = 0; i < COUNT(wrong); i++) {
        Arena      *a = arena_new();
        Buf         err = {0}, text = {0};
        const char *at = strstr(sample_plan, wrong[i].old);
        cr_assert(at != NULL, "%s", wrong[i].old);
        buf_add(&text, sample_plan, (size_t)(at - sample_plan));
        buf_puts(&text, wrong[i].new);
        buf_puts(&text, at + strlen(wrong[i].old));
        cr_expect((plan_parse(a, "plan.anep", text.data, text.len, &err) != NULL) == !wrong[i].message, "%s: %s",
                  wrong[i].new, err.data);
        cr_expect(!wrong[i].message || (err.data && strstr(err.data, wrong[i].message) != NULL), "%s: %s", wrong[i].new,
                  err.data);
        buf_free(&text);
        buf_free(&err);
        arena_free(a);
    }
}

/* The operations are those of ops.def without leaves and structure. */
Test(plan_resolve, the_table_of_operations_is_complete)
{
    static const struct {
        const char *name;
        int         arity;
    } graph_op[] = {
#define VARIADIC PLAN_VARIADIC
#define OP(name, arity, type, eval, vjp, mil) {#name, arity},
#include "ir/ops.def"
    };
    static const char *const not_in_plans[] = {"input", "param", "state", "const",     "stop_grad",
                                               "repeat", "call", "proj",  "grad", "state_set"};
    static const char *const only_in_plans[] = {"colscale", "rowscale", "coldot", "rowdot"};
    uint32_t                 found = COUNT(only_in_plans);
    for (size_t i = 0; i < COUNT(only_in_plans); i++)
        cr_assert(plan_op(only_in_plans[i]) != NULL);
    for (size_t i = 0; i < COUNT(graph_op); i++) {
        bool excluded = false;
        for (size_t k = 0; k < COUNT(not_in_plans); k++)
            excluded = excluded || strcmp(graph_op[i].name, not_in_plans[k]) == 0;
        const PlanOp *op = plan_op(graph_op[i].name);
        cr_assert_eq(op == NULL, excluded, "%s", graph_op[i].name);
        found += op != NULL;
        cr_assert(op == NULL || op->arity == graph_op[i].arity, "%s", graph_op[i].name);
    }
    cr_assert_eq(found, plan_op_count);
}

Test(plan_resolve, paths_and_counts)
{
    Arena *a = arena_new();
    cr_assert_str_eq(plan_path(a, "layers.{L}.w", 12), "layers.12.w");
    cr_assert_str_eq(plan_path(a, "embed", 12), "embed");
    cr_assert_eq(plan_numel((PlanShape){0}), 1);
    cr_assert_eq(plan_numel((PlanShape){2, {3, 5}}), 15);
    cr_assert_lt(plan_numel((PlanShape){2, {3, 0}}), 0);
    cr_assert_lt(plan_numel((PlanShape){3, {1 << 20, 1 << 20, 2}}), 0);
    arena_free(a);
}

/* docs/plan.md lists every operation with its attribute. */
Test(plan_resolve, the_documentation_lists_every_operation)
{
    Arena *a = arena_new();
    char  *text, why[FILE_ERR_MAX];
    size_t len;
    cr_assert(file_read(a, path_join(a, ANEL_DOCS, "plan.md"), &text, &len, why), "%s", why);
    for (uint32_t i = 0; i < plan_op_count; i++) {
        const char *row = strstr(text, arena_printf(a, "`%s", plan_ops[i].name));
        cr_assert(row != NULL, "docs/plan.md does not mention '%s'", plan_ops[i].name);
    }
    arena_free(a);
}
