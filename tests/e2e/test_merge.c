/* test_merge.c: adapters merged into the weights they adapt: the model without adapters then computes the same. */
#include "rig.h"

#include "base/file.h"
#include "base/hash.h"
#include "runtime/train/merge.h"
#include "runtime/train/safetensors.h"
#include "runtime/train/weights.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const char shrunk[] = "dim=64 hidden=96 layers=3 heads=4 kv_heads=2 vocab=80 seq=32";

/* Gains of 1: a gain that is folded into W + c B A would make a weight that fp16 does not hold exactly. */
static void plain_gains(Rig *r)
{
    for (uint32_t i = 0; i < r->m->params; i++)
        for (int64_t k = 0; r->m->param[i].init.kind == INIT_ONES && k < shape_numel(r->m->param[i].type.shape); k++)
            r->param[i][k] = 1;
}

static Session session_of(const Rig *r, const Run *run)
{
    Session s;
    char    hash[HASH_HEX] = "";
    session_init(&s, r->a, r->plan, r->dir, hash, run->exec);
    memset(&s.settings, 0, sizeof s.settings);
    return s;
}

static double loss_of(const Rig *r, Run *run)
{
    Buf          err = {0};
    const Graph *g = r->m->graph[module_entry(r->m, "loss")->graph];
    run_feed(r, run, g, rig_inputs(r, g, 80), 1);
    cr_assert(exec_bake(run->exec, run->entry, EXEC_FORWARD, &err), "%s", err.data);
    cr_assert(exec_forward(run->exec, run->entry, &err), "%s", err.data);
    return (double)*(const float *)exec_result(run->exec, run->entry, 0);
}

static void merged_is_equal(const char *adapted, const char *base, WeightMode mode)
{
    Buf      err = {0};
    uint32_t tensors, merged;
    Rig      r = rig_open_weights(adapted, shrunk, target_any(), mode), b = rig_open(base, shrunk);
    plain_gains(&r);
    plain_gains(&b);
    const char *file = path_join(r.a, r.dir, "merged.safetensors");
    Run         run = run_open(&r, "loss", NUMERICS_EXACT, REDUCE_STRICT), other = run_open(&b, "loss", NUMERICS_EXACT, REDUCE_STRICT);
    Session     s = session_of(&r, &run), t = session_of(&b, &other);
    double      want = loss_of(&r, &run), before = loss_of(&b, &other);
    cr_assert(merge_write(&s, file, &tensors, &merged, &err), "%s", err.data);
    cr_expect_eq(tensors, exec_params(other.exec));
    cr_expect_eq(merged, 3 * 7);
    cr_assert(weights_load(&t, file, NULL, &err), "%s", err.data);
    double got = loss_of(&b, &other);
    cr_expect(fabs(got / want - 1) < 1e-6, "%s: the loss is %.9g with adapters, %.9g merged", adapted, want, got);
    cr_expect(fabs(before / want - 1) > 1e-3, "%s: without its adapters the model computes the same", adapted);
    run_close(&run);
    run_close(&other);
    rig_close(&r);
    rig_close(&b);
}

Test(merge, tiny)
{
    merged_is_equal("tiny_lora", "tiny", WEIGHTS_MIXED);
}

Test(merge, rotary_pairs)
{
    merged_is_equal("stories110m_lora", "stories110m", WEIGHTS_BAKED);
}

/* Every number of the file against W + c B A in double precision, and what is not merged as it is. */
Test(merge, numbers)
{
    Buf      err = {0};
    uint32_t tensors, merged;
    Rig      r = rig_open("tiny_lora", shrunk);
    Run      run = run_open(&r, "loss", NUMERICS_EXACT, REDUCE_STRICT);
    Session  s = session_of(&r, &run);
    const char *file = path_join(r.a, r.dir, "merged.safetensors");
    cr_assert(merge_write(&s, file, &tensors, &merged, &err), "%s", err.data);
    Safetensors *f = safetensors_open(file, &err);
    cr_assert(f != NULL, "%s", err.data);
    cr_expect(safetensors_verify(f, &err), "%s", err.data);
    for (uint32_t i = 0; i < exec_params(run.exec); i++) {
        const ExecParam *p = exec_param(run.exec, i);
        const StTensor  *t = safetensors_find(f, p->path);
        const char      *last = strrchr(p->path, '.');
        if (last && strncmp(last, ".lora_", 6) == 0) {
            cr_expect_null(t, "%s is in the file", p->path);
            continue;
        }
        cr_assert(t != NULL && t->bytes == p->numel * sizeof(float), "%s is not in the file", p->path);
        const double *a = NULL, *b = NULL, *w = r.param[rig_param(&r, p->path)];
        if (last && strcmp(last, ".weight") == 0) {
            int prefix = (int)(last - p->path);
            a = r.param[rig_param(&r, arena_printf(r.a, "%.*s.lora_a", prefix, p->path))];
            b = r.param[rig_param(&r, arena_printf(r.a, "%.*s.lora_b", prefix, p->path))];
        }
        int64_t columns = p->group->shape.rank == 2 ? p->group->shape.dim[1] : 1;
        for (size_t k = 0; k < p->numel; k++) {
            float  got;
            double want = w[k];
            memcpy(&got, (const char *)t->data + k * sizeof got, sizeof got);
            for (int64_t j = 0; a && j < 8; j++) /* alpha / rank = 16 / 8 */
                want += 2 * b[(int64_t)k / columns * 8 + j] * a[j * columns + (int64_t)k % columns];
            cr_assert(fabs((double)got - want) <= 1e-7 * (1 + fabs(want)), "%s, element %zu: %.9g, not %.9g", p->path,
                      k, (double)got, want);
        }
    }
    safetensors_close(f);
    run_close(&run);
    rig_close(&r);
}

Test(merge, a_model_without_adapters_has_nothing_to_merge)
{
    Buf         err = {0};
    uint32_t    tensors, merged;
    Rig         r = rig_open("tiny", shrunk);
    Run         run = run_open(&r, "loss", NUMERICS_EXACT, REDUCE_STRICT);
    Session     s = session_of(&r, &run);
    const char *file = path_join(r.a, r.dir, "merged.safetensors");
    cr_expect_not(merge_write(&s, file, &tensors, &merged, &err));
    cr_expect(strstr(err.data, "has nothing to merge") != NULL, "%s", err.data);
    cr_expect_not(path_exists(file));
    buf_free(&err);
    run_close(&run);
    rig_close(&r);
}

Test(merge, a_folder_that_is_not_there_is_told)
{
    Buf      err = {0};
    uint32_t tensors, merged;
    Rig      r = rig_open("tiny_lora", shrunk);
    Run      run = run_open(&r, "loss", NUMERICS_EXACT, REDUCE_STRICT);
    Session  s = session_of(&r, &run);
    cr_expect_not(merge_write(&s, path_join(r.a, r.dir, "no/merged.safetensors"), &tensors, &merged, &err));
    cr_expect(strstr(err.data, "no/merged.safetensors") != NULL, "%s", err.data);
    buf_free(&err);
    run_close(&run);
    rig_close(&r);
}
