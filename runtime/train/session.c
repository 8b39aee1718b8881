/* session.c: parameters, inputs and evaluation of an opened plan; see session.h. */
#include "runtime/train/session.h"

#include "runtime/train/optim.h"
#include "runtime/train/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void session_init(Session *s, Arena *a, const Plan *plan, const char *plan_dir, const char *plan_hash, Exec *exec)
{
    uint32_t n = exec_params(exec);
    *s = (Session){.plan_dir = plan_dir, .plan = plan, .exec = exec};
    memcpy(s->plan_hash, plan_hash, HASH_HEX);
    s->tensor = NEW_N(a, CheckpointTensor, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const ExecParam *p = exec_param(exec, i);
        s->tensor[i] =
            (CheckpointTensor){.path = p->path, .shape = p->group->shape, .numel = p->numel, .value = p->value};
        s->parameters += p->numel;
    }
    s->layout = (CheckpointLayout){s->tensor, n, plan->model, s->plan_hash};
}

void session_moments(Session *s, float *slab)
{
    uint32_t moments = optim_moments(&s->settings);
    size_t   trained = 0;
    for (uint32_t i = 0; i < s->layout.tensors; i++)
        if (!exec_param(s->exec, i)->group->frozen)
            trained += s->tensor[i].numel;
    s->moment = moments && !slab ? xcalloc(trained ? trained * moments : 1, sizeof *s->moment) : NULL;
    float *next = slab ? slab : s->moment;
    for (uint32_t i = 0; i < s->layout.tensors; i++) {
        if (exec_param(s->exec, i)->group->frozen)
            continue;
        if (moments > 0)
            s->tensor[i].m = next;
        if (moments > 1)
            s->tensor[i].v = next + trained;
        if (moments > 0)
            next += s->tensor[i].numel;
    }
}

void session_finish(Session *s)
{
    free(s->moment);
    s->moment = NULL;
    tokenizer_close(s->tokenizer);
    s->tokenizer = NULL;
}

bool session_tokenizer(Session *s, Buf *err)
{
    if (!s->tokenizer && *s->settings.tokenizer)
        s->tokenizer = tokenizer_open(s->settings.tokenizer, err);
    return s->tokenizer || !*s->settings.tokenizer;
}

Feed *session_feeds(const Session *s, Arena *a, uint32_t entry, uint32_t *count)
{
    const PlanEntry *e = &s->plan->entry[entry];
    Feed            *feed = NEW_N(a, Feed, e->inputs + 1);
    *count = 0;
    for (uint32_t k = 0; k < e->inputs; k++) {
        const PlanInput *in = &e->input[k];
        PlanShape        shape = s->plan->buffer[in->buffer].shape;
        int64_t          cols = shape.rank ? shape.dim[shape.rank - 1] : 1;
        if (in->kind == IN_LOSS_SCALE)
            continue;
        feed[(*count)++] =
            (Feed){in->name, in->kind, plan_numel(shape) / cols, cols, in->vocab, exec_input(s->exec, entry, k)};
    }
    return feed;
}

bool session_train_entry(const Session *s, uint32_t *entry, Buf *err)
{
    const Plan *p = s->plan;
    if (!p->train_entry) {
        buf_printf(err, "plan '%s' has nothing to train: its model has no 'train' section", s->plan_dir);
        return false;
    }
    *entry = exec_entry(s->exec, p->train_entry);
    const PlanEntry *e = *entry == EXEC_NO_ENTRY ? NULL : &p->entry[*entry];
    if (e && e->results && plan_numel(p->buffer[e->result[0].buffer].shape) == 1 &&
        p->buffer[e->result[0].buffer].type == PLAN_F32)
        return true;
    buf_printf(err, "plan '%s': the entry '%s' that it trains has no loss (one fp32 number) as its result", s->plan_dir,
               p->train_entry);
    return false;
}

bool session_evaluate(Session *s, uint32_t entry, const Data *d, uint64_t windows, Evaluation *out, Buf *err)
{
    double           started = clock_seconds(), sum = 0, *loss;
    uint32_t         ranks = dist_size(s->dist);
    bool             ok = true;
    uint64_t         batches = data_batches(d), rows = data_rows(d), wanted = (windows + rows - 1) / rows;
    const PlanEntry *e = &s->plan->entry[entry];
    if (batches == 0) {
        buf_printf(err, "too few windows to evaluate: entry '%s' takes %llu at a time", e->name,
                   (unsigned long long)rows);
        return false;
    }
    if (batches > wanted)
        batches = wanted;
    /* Losses are added up by number: the same bits for any number of ranks. The bytes they stand for come last. */
    loss = xcalloc(batches + 1, sizeof *loss);
    for (uint64_t i = dist_rank(s->dist); ok && i < batches; i += ranks) {
        data_fill_held_out(d, i);
        loss[batches] += (double)data_bytes(d);
        ok = exec_forward(s->exec, entry, err);
        loss[i] = (double)*(const float *)exec_result(s->exec, entry, 0);
    }
    if (ok)
        dist_sum(s->dist, loss, batches + 1);
    for (uint64_t i = 0; i < batches; i++)
        sum += loss[i];
    uint64_t bytes = (uint64_t)loss[batches];
    free(loss);
    if (!ok)
        return false;
    *out = (Evaluation){sum / (double)batches, batches, batches * data_tokens(d), bytes, clock_seconds() - started};
    return true;
}

double evaluation_bits_per_byte(const Evaluation *e)
{
    return e->bytes ? e->loss * (double)e->tokens / (0.69314718055994530942 * (double)e->bytes) : 0;
}

void evaluation_text(const Evaluation *e, Buf *out)
{
    if (!e->tokens) {
        buf_printf(out, "loss %.6g (%llu batches)", e->loss, (unsigned long long)e->batches);
        return;
    }
    buf_printf(out, "loss %.4f nats/token", e->loss);
    if (e->bytes)
        buf_printf(out, ", %.4f bits/byte", evaluation_bits_per_byte(e));
    buf_printf(out, ", perplexity %.4g (%llu tokens)", exp(e->loss), (unsigned long long)e->tokens);
}
