/* test_weights.c: parameters from safetensors and llama2.c files. */
#include "runtime/train/weights.h"

#include "base/file.h"
#include "fake_exec.h"
#include "runtime/train/safetensors.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { V = FAKE_VOCAB, WIDE = V + 10 };

static char     path[80];
static Arena   *arena;
static Buf      said, noted;
static Exec    *exec;
static Session  s;
static Plan    *plan;
static float    table[WIDE * V], bias[V], frozen[4];

static void begin(void)
{
    static const char *const settings[] = {NULL};
    arena = arena_new();
    snprintf(path, sizeof path, "/tmp/anel-weights-%ld.bin", (long)getpid());
    plan = fake_plan(arena, settings);
    exec = fake_open(plan);
    session_init(&s, arena, plan, "bigram.plan", "00000000000000000000000000000000", exec);
    for (int i = 0; i < WIDE * V; i++)
        table[i] = (float)i;
    for (int i = 0; i < V; i++)
        bias[i] = (float)-i;
}

static void end(void)
{
    unlink(path);
    exec_close(exec);
    buf_free(&said);
    buf_free(&noted);
    arena_free(arena);
}

TestSuite(weights, .init = begin, .fini = end);

static StTensor matrix(const char *name, int64_t rows, int64_t cols)
{
    return (StTensor){.name = name,
                      .dtype = "F32",
                      .rank = 2,
                      .dim = {rows, cols},
                      .data = table,
                      .bytes = (uint64_t)(rows * cols) * 4};
}

static bool load(StTensor first)
{
    const StTensor t[] = {
        first,
        {.name = "bias", .dtype = "F32", .rank = 2, .dim = {1, V}, .data = bias, .bytes = sizeof bias},
        {.name = "frozen", .dtype = "F32", .rank = 1, .dim = {3}, .data = frozen, .bytes = 12}};
    buf_clear(&said);
    buf_clear(&noted);
    path[strlen(path) - 4] = 0; /* no .bin */
    cr_assert(safetensors_write(path, t, 3, NULL, 0, NULL, &said), "%s", said.data);
    bool ok = weights_load(&s, path, &noted, &said);
    unlink(path);
    strcat(path, ".bin");
    return ok;
}

Test(weights, tensors_are_found_by_path_or_by_import_name)
{
    cr_assert(load(matrix("table", V, V)), "%s", said.data);
    cr_assert(s.tensor[0].value[V + 2] == V + 2 && s.tensor[1].value[5] == -5);
    plan->param[0].import = "model.table";
    cr_assert(load(matrix("model.table", V, V)), "%s", said.data);
    cr_assert(load(matrix("table", V, V)), "%s", said.data);
    cr_assert(!load(matrix("other", V, V)));
    cr_assert(strstr(said.data, "has no tensor 'model.table' for parameter 'table', but 3 others, as 'other'") != NULL, "%s",
              said.data);
    cr_assert(strstr(said.data, "#[import(\"NAME\")]") != NULL);
    cr_assert(!load(matrix("model.tabel", V, V))); /* the nearest is named */
    cr_assert(strstr(said.data, "as 'model.tabel'") != NULL, "%s", said.data);
}

Test(weights, rows_are_selected_and_tensors_transposed)
{
    plan->param[0].import_transpose = true;
    plan->param[0].import = "table";
    cr_assert(load(matrix("table", V, V)), "%s", said.data);
    cr_assert(s.tensor[0].value[3 * V + 7] == 7 * V + 3);
    plan->param[0].import_rows[0] = 4;
    plan->param[0].import_rows[1] = 4 + V;
    cr_assert(load(matrix("table", V, WIDE)), "%s", said.data); /* rows of what it is after transposing */
    cr_assert(s.tensor[0].value[3 * V + 7] == 7 * WIDE + 3 + 4);
    cr_assert(!load(matrix("table", WIDE, V)));
    plan->param[0].import_transpose = false;
    cr_assert(load(matrix("table", WIDE, V)), "%s", said.data);
    cr_assert(s.tensor[0].value[3 * V + 7] == (3 + 4) * V + 7);
    cr_assert(!load(matrix("table", V, V)));
    cr_assert(strstr(said.data,
                     "tensor 'table' is [256, 256], parameter 'table' needs [256, 256] from its rows 4 to 260") != NULL,
              "%s", said.data);
}

Test(weights, halves_are_widened_and_integers_refused)
{
    static uint16_t half[V * V];
    StTensor        t = {.name = "table", .dtype = "F16", .rank = 2, .dim = {V, V}, .data = half, .bytes = sizeof half};
    half[1] = 0xc000; /* -2 */
    cr_assert(load(t), "%s", said.data);
    cr_assert(s.tensor[0].value[1] == -2);
    t.dtype = "BF16";
    half[1] = 0x4040; /* 3 */
    cr_assert(load(t), "%s", said.data);
    cr_assert(s.tensor[0].value[1] == 3);
    t.dtype = "I16";
    cr_assert(!load(t));
    cr_assert(strstr(said.data, "is of type I16; F32, F16, BF16 and F64 can be read: convert it") != NULL);
    cr_assert(!load(matrix("table", V, V - 1)));
    cr_assert(strstr(said.data, "is [256, 255], parameter 'table' needs [256, 256]; ") != NULL);
    cr_assert(strstr(said.data, "anec -D NAME=SIZE") != NULL);
}

Test(weights, numbers_that_are_not_finite_are_refused)
{
    table[2] = NAN;
    cr_assert(!load(matrix("table", V, V)));
    cr_assert(strstr(said.data, "tensor 'table' holds a NaN, for element 2 of parameter 'table'"), "%s", said.data);
    table[2] = -INFINITY;
    cr_assert(!load(matrix("table", V, V)));
    cr_assert(strstr(said.data, "holds an infinity"), "%s", said.data);
}

/* dim 2, hidden 3, one layer, one head, one kv head, vocabulary 4, seq 5: 8 + 2 + 4 * 4 + 2 + 3 * 6 + 2 + 10 numbers */
Test(weights, llama2c_files_are_cut_into_named_arrays)
{
    enum { NUMBERS = 58 };
    char  why[FILE_ERR_MAX];
    struct {
        int32_t head[7];
        float   x[NUMBERS];
    } f = {.head = {2, 3, 1, 1, 1, 4, 5}};
    for (int i = 0; i < NUMBERS; i++)
        f.x[i] = (float)i;
    plan->param[0].import = "layers.0.feed_forward.w2.weight"; /* [2, 3], behind 8 + 2 + 16 + 2 + 6 */
    plan->param[0].shape = (PlanShape){2, {2, 3}};
    plan->param[1].import = "norm";
    plan->param[1].shape = (PlanShape){1, {2}};
    plan->param[2].import = "layers.0.attention.wv.weight";
    plan->param[2].shape = (PlanShape){2, {2, 2}};
    for (uint32_t i = 0; i < 3; i++) /* the executor's list, sized for the new shapes */
        ((ExecParam *)(uintptr_t)exec_param(exec, i))->numel = (size_t)plan_numel(plan->param[i].shape) - (i == 2);
    cr_assert(file_write(path, &f, sizeof f, why));
    cr_assert(weights_load(&s, path, &noted, &said), "%s", said.data);
    cr_assert(s.tensor[0].value[0] == 34 && s.tensor[0].value[5] == 39 && s.tensor[1].value[0] == 46 &&
              s.tensor[2].value[0] == 18);

    for (size_t n = 0; n < sizeof f; n++) {
        buf_clear(&said);
        cr_assert(file_write(path, &f, n, why));
        cr_assert(!weights_load(&s, path, &noted, &said), "%zu bytes", n);
        cr_assert(strstr(said.data, "is no llama2.c file") != NULL);
        cr_assert(strstr(said.data, "--weights takes safetensors") != NULL, "%s", said.data);
    }
    for (int i = 0; i < 7; i++) { /* hostile headers: large, zero, negative */
        static const int32_t bad[] = {0, -1, INT32_MAX, INT32_MIN};
        int32_t              good = f.head[i];
        for (size_t k = 0; k < COUNT(bad); k++) {
            f.head[i] = bad[k];
            buf_clear(&said);
            cr_assert(file_write(path, &f, sizeof f, why));
            cr_assert(!weights_load(&s, path, &noted, &said), "field %d = %d", i, (int)bad[k]);
        }
        f.head[i] = good;
    }
}
