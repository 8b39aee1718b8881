/* test_exec_calls.c: what the executor compiles, replaces and makes, in which order it may be called, and which plans it
 * refuses; on the model of exec_rig.h. */
#include "exec_rig.h"

#include "base/file.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(exec, baking_compiles_only_what_changed)
{
    Model m = model(false);
    cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD), 4);
    cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 7);
    cr_assert_eq(exec_rebake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 6);
    cr_assert(exec_bake(m.exec, m.loss, EXEC_FORWARD, &m.err));
    cr_assert_eq(exec_counters(m.exec)->compiles, 4);
    bake(&m);
    cr_assert_eq(exec_counters(m.exec)->compiles, 7);
    cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 0);
    exec_param(m.exec, 3)->value[5] += 1; /* layers.3.w */
    cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 2);
    bake(&m);
    cr_assert_eq(exec_counters(m.exec)->compiles, 9);
    exec_param(m.exec, 0)->value[0] += 1; /* in no program */
    bake(&m);
    cr_assert_eq(exec_counters(m.exec)->compiles, 9);
    cr_assert_eq(exec_bake_cost(m.exec, exec_entry(m.exec, "count"), EXEC_FORWARD), 0);
    end(&m);
}

Test(exec, evaluating_makes_no_requests_and_no_surfaces)
{
    Model m = model(false);
    bake(&m);
    DeviceCounts before = device_counts(m.device);
    for (int i = 0; i < 3; i++)
        cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err));
    DeviceCounts after = device_counts(m.device);
    cr_assert_gt(after.evals, before.evals);
    cr_assert(after.requests == before.requests && after.surfaces == before.surfaces && after.programs == before.programs);
    end(&m);
}

Test(exec, weights_are_replaced_without_compiling_where_the_plan_says_so)
{
    Model m = model_with(false, "reload"), other = model(false);
    cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 7);
    cr_assert_eq(exec_rebake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 0);
    bake(&m);
    cr_assert_eq(exec_counters(m.exec)->compiles, 7);
    for (int i = 0; i < 2; i++) {
        exec_param(m.exec, 3)->value[5] += 1; /* layers.3.w, forward and backward */
        cr_assert_eq(exec_bake_cost(m.exec, m.loss, EXEC_FORWARD | EXEC_BACKWARD), 0);
        bake(&m);
    }
    cr_assert_eq(exec_counters(m.exec)->compiles, 7);
    cr_assert_eq(exec_counters(m.exec)->reloads, 4);
    exec_param(other.exec, 3)->value[5] += 2;
    bake(&other);
    cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_forward(other.exec, other.loss, &other.err));
    cr_assert(exec_backward(m.exec, m.loss, &m.err) && exec_backward(other.exec, other.loss, &other.err));
    cr_assert_eq(*(const float *)exec_result(m.exec, m.loss, 0), *(const float *)exec_result(other.exec, other.loss, 0));
    for (uint32_t id = 0; id < exec_params(m.exec); id++) /* to the last bit */
        cr_assert(exec_param(m.exec, id)->group->frozen ||
                  memcmp(exec_param(m.exec, id)->grad, exec_param(other.exec, id)->grad,
                         exec_param(m.exec, id)->numel * sizeof(float)) == 0);
    end(&m);
    end(&other);
}

Test(exec, states_survive_between_calls_and_entries)
{
    Model    m = model(false);
    uint32_t count = exec_entry(m.exec, "count");
    bake(&m);
    cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_forward(m.exec, m.loss, &m.err));
    cr_assert(exec_forward(m.exec, count, &m.err));
    cr_assert_eq(*(const int32_t *)exec_result(m.exec, count, 0), 9);
    exec_reset_states(m.exec, 0);
    cr_assert_eq(*(const int32_t *)exec_state(m.exec, 0)->value, 7);
    cr_assert_str_eq(exec_state(m.exec, 0)->path, "seen");
    end(&m);
}

Test(exec, order_of_calls_is_checked)
{
    Model m = model(false);
    cr_assert(!exec_forward(m.exec, m.loss, &m.err));
    cr_assert_str_eq(m.err.data, "entry 'loss', step 'fwd', L = 2: the program was not compiled; exec_bake() comes first");
    bake(&m);
    buf_clear(&m.err);
    cr_assert(!exec_backward(m.exec, m.loss, &m.err));
    cr_assert_str_eq(m.err.data, "entry 'loss' must run forward before it runs backward");
    cr_assert(exec_forward(m.exec, m.loss, &m.err));
    cr_assert(exec_forward(m.exec, exec_entry(m.exec, "count"), &m.err)); /* may have used the same buffers */
    buf_clear(&m.err);
    cr_assert(!exec_backward(m.exec, m.loss, &m.err));
    cr_assert(!exec_backward(m.exec, exec_entry(m.exec, "count"), &m.err));
    cr_assert_eq(exec_entry(m.exec, "none"), EXEC_NO_ENTRY);
    ((int32_t *)exec_input(m.exec, m.loss, 0))[3] = 5;
    buf_clear(&m.err);
    cr_assert(!exec_forward(m.exec, m.loss, &m.err));
    cr_assert_str_eq(m.err.data, "entry 'loss', step 'gather' rows of embed, tokens: index 5 of 5 (element 3)");
    end(&m);
}

Test(exec, parameters_are_where_and_what_the_plan_says)
{
    Model  m = model(false);
    size_t floats = exec_floats(m.plan);
    float *mine = aligned_alloc(64, (2 * floats * sizeof(float) + 63) / 64 * 64);
    memset(mine, 0, 2 * floats * sizeof(float));
    Exec *e = exec_open(m.plan, m.dir, m.device, &(ExecOptions){.param = mine, .grad = mine + floats}, &m.err);
    cr_assert(e != NULL, "%s", m.err.data);
    cr_assert_eq(exec_params(e), 6);
    cr_assert_str_eq(exec_param(e, 4)->path, "layers.4.w");
    cr_assert_eq(exec_param(e, 4)->index, 4);
    cr_assert(exec_param(e, 5)->group->frozen);
    cr_assert_null(exec_param(e, 5)->grad);
    exec_init_params(e, 9);
    for (uint32_t id = 0; id < exec_params(e); id++) {
        const ExecParam *p = exec_param(e, id);
        cr_assert(p->value >= mine && p->value + p->numel <= mine + floats);
        if (!p->group->frozen)
            cr_assert_eq(p->grad - p->value, (ptrdiff_t)floats);
        cr_assert_eq((uintptr_t)p->value % 64, 0);
    }
    cr_assert_eq(exec_param(e, 2)->value[3], (float)(0.25 * rng_normal(rng_key(9, "layers.2.w"), 3)));
    exec_close(e);
    cr_assert_neq(mine[0], 0.0f); /* ours to keep */
    free(mine);
    end(&m);
}

Test(exec, the_profile_adds_up)
{
    Model m = model(false);
    Buf   out = {0};
    bake(&m);
    cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err));
    exec_profile(m.exec, &out);
    cr_assert(strstr(out.data, "fwd ") && strstr(out.data, "matmul") && strstr(out.data, "move"));
    cr_assert_gt(exec_counters(m.exec)->seconds[EXEC_DEVICE], 0.0);
    cr_assert_gt(exec_counters(m.exec)->seconds[EXEC_COMPILE], 0.0);
    cr_assert_gt(exec_bytes(m.exec), 1000);
    buf_free(&out);
    end(&m);
}

static void expect_refused(Model *m, const char *message)
{
    buf_clear(&m->err);
    Exec *e = exec_open(m->plan, m->dir, m->device, NULL, &m->err);
    cr_assert(e == NULL);
    cr_assert(strstr(m->err.data, message) != NULL, "%s", m->err.data);
}

Test(exec, damaged_plans_are_refused)
{
    Model m = model(false);
    char  why[FILE_ERR_MAX], *data;
    size_t len;
    char *text = path_join(m.arena, m.dir, "mil/layer.mil"), *table = arena_printf(m.arena, "%s/const/%s.blob", m.dir,
                                                                                  m.plan->table[0].hash);
    cr_assert(file_read(m.arena, table, &data, &len, why));
    data[len - 1] ^= 1;
    cr_assert(file_write(table, data, len, why));
    expect_refused(&m, "(table 'one'): the file is damaged: its hash is not its name; make the plan again");
    data[len - 1] ^= 1;
    cr_assert(file_write(table, data, len, why));
    cr_assert(file_write(text, exec_mil, exec_mil_len - 1, why));
    expect_refused(&m, "was changed after the plan was made");
    cr_assert_eq(unlink(text), 0);
    expect_refused(&m, "program 'fwd': cannot open");
    end(&m);
}

Test(exec, ports_that_differ_from_the_program_are_refused)
{
    Model m = model(false);
    Exec *e = exec_open(m.plan, m.dir, m.device, NULL, &m.err);
    m.plan->program[0].in[0].name = "i00_z";
    cr_assert(!exec_bake(e, m.loss, EXEC_FORWARD, &m.err));
    cr_assert(strstr(m.err.data, "port 'i00_x' of the MIL text (fp16, 96 bytes) is 'i00_z' in the plan") != NULL, "%s",
              m.err.data);
    exec_close(e);
    end(&m);
}
