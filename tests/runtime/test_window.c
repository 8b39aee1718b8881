/* test_window.c: windows of known length: gradients are told as soon as they are complete, once; a trainer sees every
 * element once, and nothing is updated when it says no; failures beside the caller are told. */
#include "exec.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <string.h>

static const char text[] = "anep 1.0\n"
                           "param w {\n  shape 300x300\n  init ones\n}\n"
                           "param v {\n  shape 300x300\n  init ones\n}\n"
                           "param still {\n  shape 2\n  init ones\n  frozen yes\n}\n"
                           "param alone {\n  shape 2\n  init ones\n}\n"
                           "buffer x f32 300x300\n"
                           "buffer row i32 1\n"
                           "buffer y f32 1x300\n"
                           "buffer z f32 300\n"
                           "accumulator sum 300x300\n"
                           "entry main {\n  input x real x\n  input row int row\n  result \"\" x\n  forward {\n  }\n"
                           "  backward {\n    mul sum:300x300 <- x:300x300, 2.0:300x300\n"
                           "    reshape grad v:300x300 <- x:300x300\n"
                           "    gather y:1x300 <- param v:300x300, row:1\n"
                           "  }\n"
                           "  update {\n    mul grad w:300x300 <- sum:300x300, param w:300x300\n  }\n}\n";

enum { N = 300 * 300 };

typedef struct {
    Arena     *a;
    Pool      *pool;
    Device    *d;
    Exec      *e;
    Buf        err;
    atomic_int ready[4];
    atomic_int examined[2][N], updated;
    bool       yes, overflowed;
    int        decided, collected;
} Rig;

static void ready(void *with, uint32_t param)
{
    atomic_fetch_add(&((Rig *)with)->ready[param], 1);
}

static void examine(void *with, uint32_t param, size_t from, size_t n)
{
    Rig *r = with;
    for (size_t i = from; param < 2 && i < from + n; i++)
        atomic_fetch_add(&r->examined[param][i], exec_param(r->e, param)->grad[i] == (param ? 3 : 6) ? 1 : 100);
}

static bool decide(void *with, bool overflowed)
{
    Rig *r = with;
    r->overflowed = overflowed;
    r->decided++;
    return r->yes;
}

static void update(void *with, uint32_t param, size_t from, size_t n)
{
    Rig *r = with;
    for (size_t i = from; i < from + n; i++)
        exec_param(r->e, param)->value[i] -= 1;
    atomic_fetch_add(&r->updated, (int)n);
}

static bool collect(void *with, Buf *err)
{
    Rig *r = with;
    (void)err;
    r->collected = atomic_load(&r->examined[1][0]) == 0;
    return true;
}

static Rig *rig(uint32_t threads)
{
    Rig  *r = xcalloc(1, sizeof *r);
    r->a = arena_new();
    Plan *p = plan_parse(r->a, "case", text, strlen(text), &r->err);
    cr_assert(p != NULL, "%s", r->err.data);
    r->pool = pool_new(threads);
    r->d = device_open("host", &(DeviceOptions){.pool = r->pool}, &r->err);
    r->e = exec_open(p, "", r->d, &(ExecOptions){.pool = r->pool, .grad_ready = ready, .grad_ready_with = r}, &r->err);
    cr_assert(r->e != NULL, "%s", r->err.data);
    exec_init_params(r->e, 0);
    return r;
}

static void end(Rig *r)
{
    exec_close(r->e);
    device_close(r->d);
    pool_free(r->pool);
    buf_free(&r->err);
    arena_free(r->a);
    free(r);
}

static void micro_batch(Rig *r, float x)
{
    exec_wait_inputs(r->e, 0);
    for (int i = 0; i < N; i++)
        ((float *)exec_input(r->e, 0, 0))[i] = x;
    cr_assert(exec_forward(r->e, 0, &r->err) && exec_backward(r->e, 0, &r->err), "%s", r->err.data);
}

static void window(uint32_t threads, bool yes, bool collects)
{
    Rig        *r = rig(threads);
    ExecTrainer t = {.with = r, .collect = collects ? collect : NULL, .examine = examine, .decide = decide,
                     .update = update};
    bool        updated;
    r->yes = yes;
    exec_param(r->e, 3)->grad[0] = 7; /* nothing adds to it */
    exec_begin_window(r->e, 2, &t);
    micro_batch(r, 1);
    cr_expect_eq(atomic_load(&r->ready[1]), 0, "one more micro-batch adds to it");
    micro_batch(r, 2);
    cr_assert(exec_end_window(r->e, 0, &updated, &r->err), "%s", r->err.data);
    cr_expect(updated == yes && r->decided == 1 && !r->overflowed && r->collected == collects);
    for (int i = 0; i < 4; i++)
        cr_expect_eq(atomic_load(&r->ready[i]), i != 2, "parameter %d", i);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < N; i++)
            cr_assert_eq(atomic_load(&r->examined[k][i]), 1, "parameter %d, element %d", k, i);
    cr_expect_eq(exec_param(r->e, 3)->grad[0], 0.0f);
    cr_expect_eq(atomic_load(&r->updated), yes ? 2 * N + 2 : 0);
    cr_expect_eq(exec_param(r->e, 2)->value[0], 1.0f, "frozen");
    double seconds = 0;
    for (int c = 0; c < EXEC_CLASSES; c++)
        seconds += exec_counters(r->e)->seconds[c];
    cr_expect_gt(seconds, 0.0);
    end(r);
}

Test(window, gradients_are_told_examined_and_applied_once)
{
    for (uint32_t threads = 1; threads <= 4; threads++)
        for (int k = 0; k < 4; k++)
            window(threads, k & 1, k & 2);
}

Test(window, of_unknown_length_tells_at_its_end)
{
    Rig *r = rig(2);
    exec_zero_grads(r->e);
    micro_batch(r, 1);
    cr_expect_eq(atomic_load(&r->ready[1]), 0);
    cr_expect_eq(exec_param(r->e, 1)->grad[5], 1.0f, "there when the pass returns");
    cr_assert(exec_update(r->e, 0, &r->err));
    cr_expect(atomic_load(&r->ready[0]) == 1 && atomic_load(&r->ready[1]) == 1 && atomic_load(&r->ready[3]) == 1);
    end(r);
}

Test(window, a_step_that_fails_beside_the_caller_is_told)
{
    for (uint32_t threads = 1; threads <= 3; threads++) {
        Rig *r = rig(threads);
        exec_begin_window(r->e, 1, NULL);
        *(int32_t *)exec_input(r->e, 0, 1) = 300;
        bool ok = exec_forward(r->e, 0, &r->err) && exec_backward(r->e, 0, &r->err) && exec_update(r->e, 0, &r->err);
        cr_expect_not(ok);
        cr_expect_str_eq(r->err.data, "entry 'main', step 'gather' y of v, row: index 300 of 300 (element 0)");
        end(r);
    }
}
