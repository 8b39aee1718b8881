/* test_exec.c: what the executor computes on the model of exec_rig.h, compared with fp64: losses, gradients, ranges. */
#include "exec_rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static void check_gradients(bool exact, double tolerance)
{
    Model m = model(exact);
    Truth t = truth(&m);
    bake(&m);
    exec_zero_grads(m.exec);
    for (int round = 1; round <= 2; round++) { /* gradients add up */
        cr_assert(exec_forward(m.exec, m.loss, &m.err), "%s", m.err.data);
        float loss = *(const float *)exec_result(m.exec, m.loss, 0);
        cr_assert_lt(fabs(loss / t.loss - 1), tolerance, "%g, not %g", loss, t.loss);
        cr_assert(exec_backward(m.exec, m.loss, &m.err), "%s", m.err.data);
        cr_assert_lt(farthest(t.embed, exec_param(m.exec, 0)->grad, V * D, round), tolerance);
        cr_assert_lt(farthest(t.head, exec_param(m.exec, 1)->grad, V * D, round), tolerance);
        for (uint32_t l = 0; l < LAYERS; l++)
            cr_assert_lt(farthest(t.w[l], exec_param(m.exec, 2 + l)->grad, D * D, round), tolerance);
    }
    cr_assert(!exec_overflowed(m.exec));
    cr_assert_eq(exec_counters(m.exec)->evals, 2 * (2 * LAYERS + 1));
    end(&m);
}

Test(exec, loss_and_gradients_are_right_with_fp16_on_the_way)
{
    check_gradients(false, 4e-3);
}

Test(exec, loss_and_gradients_are_right_with_wide_ports)
{
    check_gradients(true, 2e-6);
}

Test(exec, descending_the_gradient_lowers_the_loss)
{
    Model m = model(false);
    float first = 0, loss = 0;
    for (int step = 0; step < 12; step++) {
        bake(&m);
        exec_zero_grads(m.exec);
        cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err), "%s", m.err.data);
        loss = *(const float *)exec_result(m.exec, m.loss, 0);
        first = step ? first : loss;
        for (uint32_t id = 0; id < exec_params(m.exec); id++)
            for (size_t i = 0; !exec_param(m.exec, id)->group->frozen && i < exec_param(m.exec, id)->numel; i++)
                exec_param(m.exec, id)->value[i] -= 0.03f * exec_param(m.exec, id)->grad[i];
    }
    cr_assert_lt(loss, 0.5f * first);
    /* each step compiles what changed: 3 forward, 3 backward; the program of the frozen parameter once */
    cr_assert_eq(exec_counters(m.exec)->compiles, 12 * 6 + 1);
    cr_assert_eq(exec_counters(m.exec)->reused, 11);
    end(&m);
}

Test(exec, weights_beyond_fp16_are_clamped_and_counted)
{
    Model m = model(false);
    exec_param(m.exec, 2)->value[0] = 1e6f;
    exec_param(m.exec, 2)->value[1] = -70000;
    bake(&m);
    cr_assert_eq(exec_counters(m.exec)->saturated_weights, 4); /* forward and backward */
    end(&m);
}

Test(exec, a_loss_scale_that_is_too_large_shows)
{
    Model m = model(false);
    bake(&m);
    exec_zero_grads(m.exec);
    *(float *)exec_input(m.exec, m.loss, 2) = 1e6f;
    cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err));
    cr_assert(exec_overflowed(m.exec));
    cr_assert_gt(exec_counters(m.exec)->clamped, 0);
    exec_zero_grads(m.exec);
    cr_assert(!exec_overflowed(m.exec));
    *(float *)exec_input(m.exec, m.loss, 2) = 1024;
    cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err));
    cr_assert(!exec_overflowed(m.exec));
    Truth t = truth(&m);
    cr_assert_lt(farthest(t.head, exec_param(m.exec, 1)->grad, V * D, 1024), 4e-3);
    end(&m);
}

/* Two programs with y = x + w x, on the way forward 2 * 32752 = 65504, on the way back 2 * 32752 too. Hardware that clamps
 * gives the same for everything larger. */
Test(exec, cotangents_at_the_edge_of_fp16_are_an_overflow_and_forward_values_are_not)
{
    for (int backward = 0; backward < 2; backward++) {
        Model m = model(false);
        for (uint32_t id = 0; id < exec_params(m.exec); id++)
            memset(exec_param(m.exec, id)->value, 0, exec_param(m.exec, id)->numel * sizeof(float));
        for (int i = 0; i < D; i++)
            exec_param(m.exec, 2)->value[i * D + i] = 1; /* layers.2.w: twice x */
        int32_t *token = exec_input(m.exec, m.loss, 0), *target = exec_input(m.exec, m.loss, 1);
        for (int i = 0; i < S; i++) {
            token[i] = 0;
            target[i] = 1;
        }
        float *scale = exec_input(m.exec, m.loss, 2);
        *scale = 1;
        if (backward) { /* a cotangent of the logits is 1/5, or -4/5 at the target */
            *scale = 40940;
            exec_param(m.exec, 1)->value[1 * D] = -1; /* head: one channel */
        } else {
            exec_param(m.exec, 0)->value[0] = 32752;
        }
        bake(&m);
        exec_zero_grads(m.exec);
        cr_assert(exec_forward(m.exec, m.loss, &m.err) && exec_backward(m.exec, m.loss, &m.err));
        cr_assert_eq(exec_counters(m.exec)->clamped + exec_counters(m.exec)->nonfinite, 0);
        cr_expect_eq(exec_overflowed(m.exec), backward == 1);
        end(&m);
    }
}
