/* fake_exec.c: a bigram model behind the interface of the executor; see fake_exec.h. */
#include "fake_exec.h"

#include "base/rng.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE, BIAS, FROZEN, PARAMS };
enum { V = FAKE_VOCAB, S = FAKE_SEQ };

struct Exec {
    const Plan  *plan;
    float       *value, *grad;
    float        baked[V * V + V];
    ExecParam    param[PARAMS];
    int32_t      x[S], y[S], token, pos, piece[FAKE_PIECE], piece_pos;
    float        scale, loss, logits[V];
    bool         overflow;
    ExecCounters counters;
    FakeKnobs    knobs;
    const ExecTrainer *trainer;
};

const char *const exec_class_name[EXEC_CLASSES] = {"device",  "cpu ops",   "moves",  "bake",
                                                   "compile", "optimizer", "waiting"};

Plan *fake_plan(Arena *a, const char *const *settings)
{
    static Step splice[1], backward[1];
    Plan       *p = NEW(a, Plan);
    p->model = "bigram";
    p->param = NEW_N(a, PlanParam, PARAMS);
    p->params = p->param_count = PARAMS;
    p->param[TABLE] = (PlanParam){
        .pattern = "table", .n = 1, .shape = {2, {V, V}}, .init = {PINIT_NORMAL, 0.02, 0}, .decay = true, .lr = 1};
    p->param[BIAS] = (PlanParam){.pattern = "bias", .n = 1, .shape = {1, {V}}, .lr = 0.5};
    p->param[FROZEN] = (PlanParam){
        .pattern = "frozen", .n = 1, .shape = {1, {3}}, .init = {PINIT_VALUE, 7, 0}, .frozen = true, .lr = 1};
    p->buffer = NEW_N(a, PlanBuffer, 7);
    p->buffers = 7;
    p->buffer[0] = (PlanBuffer){"x", BUF_PLAIN, PLAN_I32, {1, {S}}, 0};
    p->buffer[1] = (PlanBuffer){"scale", BUF_PLAIN, PLAN_F32, {0, {0}}, 0};
    p->buffer[2] = (PlanBuffer){"loss", BUF_PLAIN, PLAN_F32, {0, {0}}, 0};
    p->buffer[3] = (PlanBuffer){"token", BUF_PLAIN, PLAN_I32, {1, {1}}, 0};
    p->buffer[4] = (PlanBuffer){"pos", BUF_PLAIN, PLAN_I32, {0, {0}}, 0};
    p->buffer[5] = (PlanBuffer){"logits", BUF_PLAIN, PLAN_F32, {2, {V, 1}}, 0};
    p->buffer[6] = (PlanBuffer){"piece", BUF_PLAIN, PLAN_I32, {1, {FAKE_PIECE}}, 0};
    p->entry = NEW_N(a, PlanEntry, 3);
    p->entries = 3;
    p->entry[0] = (PlanEntry){.name = "loss",
                              .input = NEW_N(a, PlanInput, 3),
                              .inputs = 3,
                              .result = NEW(a, PlanResult),
                              .results = 1,
                              .backward = backward,
                              .backwards = 1};
    p->entry[0].input[0] = (PlanInput){"x", IN_TOKENS, 0, V};
    p->entry[0].input[1] = (PlanInput){"y", IN_TOKENS, 0, V};
    p->entry[0].input[2] = (PlanInput){"scale", IN_LOSS_SCALE, 1, 0};
    p->entry[0].result->buffer = 2;
    Ref *cache = NEW(a, Ref);
    cache->shape = (PlanShape){3, {4, FAKE_CONTEXT, 8}};
    splice[0] = (Step){.kind = STEP_OP, .op = "splice", .a.axis = 1, .in = cache, .ins = 1};
    p->entry[1] = (PlanEntry){.name = "decode",
                              .input = NEW_N(a, PlanInput, 2),
                              .inputs = 2,
                              .result = NEW(a, PlanResult),
                              .results = 1,
                              .forward = splice,
                              .forwards = 1};
    p->entry[1].input[0] = (PlanInput){"token", IN_TOKENS, 3, V};
    p->entry[1].input[1] = (PlanInput){"pos", IN_INT, 4, 0};
    p->entry[1].result->buffer = 5;
    p->entry[2] = p->entry[1];
    p->entry[2].name = "decode@4";
    p->entry[2].input = NEW_N(a, PlanInput, 2);
    p->entry[2].input[0] = (PlanInput){"token", IN_TOKENS, 6, V};
    p->entry[2].input[1] = p->entry[1].input[1];
    p->train_entry = "loss";
    uint32_t cap = 0;
    for (; *settings; settings += 2) {
        GROW(a, p->train, p->trains, cap);
        p->train[p->trains++] = (PlanSetting){settings[0], settings[1]};
    }
    return p;
}

Exec *fake_open(const Plan *p)
{
    Exec *e = calloc(1, sizeof *e);
    e->plan = p;
    e->value = calloc(V * V + V + 3, sizeof(float));
    e->grad = calloc(V * V + V + 3, sizeof(float));
    size_t at = 0;
    for (uint32_t i = 0; i < PARAMS; i++) {
        size_t n = (size_t)plan_numel(p->param[i].shape);
        e->param[i] = (ExecParam){p->param[i].pattern, &p->param[i], 0, n, e->value + at, e->grad + at};
        at += n;
    }
    return e;
}

void exec_close(Exec *e)
{
    if (!e)
        return;
    free(e->value);
    free(e->grad);
    free(e);
}

FakeKnobs *fake_knobs(Exec *e)
{
    return &e->knobs;
}

uint32_t exec_params(const Exec *e)
{
    (void)e;
    return PARAMS;
}

const ExecParam *exec_param(const Exec *e, uint32_t id)
{
    return &e->param[id];
}

void exec_init_param(Exec *e, uint32_t id, uint64_t seed)
{
    exec_init_params(e, seed);
    (void)id;
}

void exec_init_params(Exec *e, uint64_t seed)
{
    for (uint32_t i = 0; i < PARAMS; i++)
        for (size_t k = 0; k < e->param[i].numel; k++)
            e->param[i].value[k] = i == FROZEN ? 7
                                   : i == BIAS ? 0
                                               : 0.02f * (float)rng_normal(rng_key(seed, "table"), k);
}

void exec_reset_states(Exec *e, uint64_t seed)
{
    (void)seed;
    e->knobs.read = e->knobs.pieces = 0;
}

void exec_zero_grads(Exec *e)
{
    memset(e->grad, 0, (V * V + V) * sizeof *e->grad);
    e->overflow = false;
}

bool exec_bake(Exec *e, uint32_t entry, unsigned parts, Buf *err)
{
    (void)entry, (void)parts, (void)err;
    memcpy(e->baked, e->value, sizeof e->baked);
    e->knobs.bakes++;
    return true;
}

uint32_t exec_bake_cost(Exec *e, uint32_t entry, unsigned parts)
{
    return exec_rebake_cost(e, entry, parts);
}

uint32_t exec_rebake_cost(Exec *e, uint32_t entry, unsigned parts)
{
    (void)entry, (void)parts;
    return e->knobs.compiles;
}

uint64_t exec_compiles_left(const Exec *e)
{
    return e->knobs.budget ? e->knobs.budget - e->knobs.bakes * e->knobs.compiles : UINT64_MAX;
}

uint32_t exec_entry(const Exec *e, const char *name)
{
    for (uint32_t i = 0; i < e->plan->entries; i++)
        if (strcmp(e->plan->entry[i].name, name) == 0)
            return i;
    return EXEC_NO_ENTRY;
}

void *exec_input(Exec *e, uint32_t entry, uint32_t k)
{
    void *const at[3][3] = {{e->x, e->y, &e->scale}, {&e->token, &e->pos, NULL}, {e->piece, &e->piece_pos, NULL}};
    return at[entry][k];
}

const void *exec_result(const Exec *e, uint32_t entry, uint32_t k)
{
    (void)k;
    return entry == 0 ? (const void *)&e->loss : e->logits;
}

static void softmax(const Exec *e, int32_t token, double *p)
{
    const float *row = e->baked + token * V, *bias = e->baked + V * V;
    double       sum = 0;
    for (int i = 0; i < V; i++)
        sum += p[i] = exp((double)row[i] + (double)bias[i]);
    for (int i = 0; i < V; i++)
        p[i] /= sum;
}

bool exec_forward(Exec *e, uint32_t entry, Buf *err)
{
    e->knobs.forwards++;
    e->counters.seconds[EXEC_OPS] += 1e-6;
    if (e->knobs.raise_at && e->knobs.forwards == (uint64_t)e->knobs.raise_at)
        raise(SIGTERM);
    double p[V], loss = 0;
    if (entry > 0) {
        int32_t n = entry == 1 ? 1 : FAKE_PIECE, at = entry == 1 ? e->pos : e->piece_pos;
        if (at != e->knobs.read || at + n > FAKE_CONTEXT) {
            buf_printf(err, "position %d, expected %d", (int)at, (int)e->knobs.read);
            return false;
        }
        e->knobs.read += n;
        e->knobs.pieces += n > 1;
        softmax(e, n == 1 ? e->token : e->piece[n - 1], p);
        for (int i = 0; i < V; i++)
            e->logits[i] = (float)log(p[i]);
        return true;
    }
    for (int s = 0; s < S; s++) {
        softmax(e, e->x[s], p);
        loss -= log(p[e->y[s]]) / S;
    }
    e->loss = e->knobs.nan_loss ? NAN : (float)loss;
    return true;
}

bool exec_backward(Exec *e, uint32_t entry, Buf *err)
{
    (void)err, (void)entry;
    double p[V];
    for (int s = 0; s < S; s++) {
        softmax(e, e->x[s], p);
        for (int i = 0; i < V; i++) {
            float g = (float)((p[i] - (i == e->y[s])) / S) * e->scale;
            e->grad[e->x[s] * V + i] += g;
            e->grad[V * V + i] += g;
        }
    }
    if (e->knobs.overflow_above > 0 && (double)e->scale > e->knobs.overflow_above)
        e->overflow = true;
    for (uint32_t i = 0; i < PARAMS && e->knobs.forwards > e->knobs.lost_after; i++)
        if (e->knobs.lost >> i & 1)
            memset(e->param[i].grad, 0, e->param[i].numel * sizeof(float));
    return true;
}

bool exec_update(Exec *e, uint32_t entry, Buf *err)
{
    (void)e;
    (void)entry;
    (void)err;
    return true;
}

void exec_begin_window(Exec *e, uint32_t micro_batches, const ExecTrainer *trainer)
{
    (void)micro_batches;
    exec_zero_grads(e);
    e->trainer = trainer;
}

void exec_wait_inputs(Exec *e, uint32_t entry)
{
    (void)e;
    (void)entry;
}

static void in_pieces(const Exec *e, void (*fn)(void *, uint32_t, size_t, size_t))
{
    for (uint32_t i = 0; i < PARAMS; i++)
        for (size_t at = 0; i != FROZEN && at < e->param[i].numel; at += EXEC_PIECE)
            fn(e->trainer->with, i, at, e->param[i].numel - at < EXEC_PIECE ? e->param[i].numel - at : EXEC_PIECE);
}

bool exec_end_window(Exec *e, uint32_t entry, bool *updated, Buf *err)
{
    in_pieces(e, e->trainer->examine);
    *updated = e->trainer->decide(e->trainer->with, e->overflow);
    if (!*updated)
        return true;
    bool compile = !e->trainer->compile || e->trainer->compile(e->trainer->with);
    in_pieces(e, e->trainer->update);
    return !compile || exec_bake(e, entry, EXEC_FORWARD | EXEC_BACKWARD, err);
}

bool exec_overflowed(const Exec *e)
{
    return e->overflow;
}

const ExecCounters *exec_counters(const Exec *e)
{
    return &e->counters;
}

bool exec_time(const Exec *e, uint32_t i, ExecTime *out)
{
    (void)e, (void)i, (void)out;
    return false;
}

size_t exec_bytes(const Exec *e)
{
    return sizeof *e;
}

ExecTrouble exec_trouble(const Exec *e)
{
    (void)e;
    return EXEC_SOUND;
}

uint64_t exec_proofs(const Exec *e)
{
    (void)e;
    return 0;
}

ExecReload exec_reload(const Exec *e)
{
    (void)e;
    return EXEC_RELOAD_NONE;
}

const char *exec_slow(const Exec *e, double *times)
{
    (void)e, (void)times;
    return NULL;
}

bool exec_recompile(Exec *e, uint32_t entry, unsigned parts, Buf *err)
{
    (void)e, (void)entry, (void)parts, (void)err;
    return true;
}
