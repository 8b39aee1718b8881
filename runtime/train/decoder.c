/* decoder.c: tokens through the `decode` entries; see decoder.h.
 *
 * How long a context may become is not written anywhere in a plan; it follows from the states: an entry that splices
 * positions into a cache of n cannot go on after the n-th. */
#include "runtime/train/decoder.h"

#include <string.h>

static void limit_context(Decoder *d, const Step *step, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (step[i].kind == STEP_LOOP)
            limit_context(d, step[i].body, step[i].bodies);
        if (step[i].kind != STEP_OP || strcmp(step[i].op, "splice") != 0 || step[i].ins == 0)
            continue;
        PlanShape shape = step[i].in[0].shape;
        int32_t axis = step[i].a.axis;
        if (axis >= 0 && (uint32_t)axis < shape.rank && (!d->context || (uint64_t)shape.dim[axis] < d->context))
            d->context = (uint64_t)shape.dim[axis];
    }
}

static bool is_decode(const char *name)
{
    return strcmp(name, "decode") == 0 || strncmp(name, "decode@", 7) == 0;
}

static bool add_piece(Decoder *d, uint32_t entry, Buf *err)
{
    const Plan *p = d->s->plan;
    const PlanEntry *e = &p->entry[entry];
    DecoderPiece x = {.entry = entry};
    bool known = true;
    uint32_t vocab = 0, at = d->pieces;
    for (uint32_t k = 0; k < e->inputs; k++) {
        const PlanInput *in = &e->input[k];
        int64_t n = plan_numel(p->buffer[in->buffer].shape);
        if (in->kind == IN_TOKENS && !x.token) {
            x.token = exec_input(d->s->exec, entry, k);
            x.tokens = (uint32_t)n;
            vocab = (uint32_t)in->vocab;
        } else if (in->kind == IN_INT && n == 1 && !x.position) {
            x.position = exec_input(d->s->exec, entry, k);
        } else {
            known = false;
        }
    }
    const PlanBuffer *out = e->results ? &p->buffer[e->result[0].buffer] : NULL;
    if (!known || !x.token || !out || out->type != PLAN_F32 || plan_numel(out->shape) != (int64_t)vocab ||
        (d->pieces && vocab != d->vocab)) {
        buf_printf(err,
                   "plan '%s' cannot generate: its entry '%s' must take tokens (tok[1], or tok[P] in buckets) and "
                   "perhaps the position of the first (i32[]), and give one logit for each id of the vocabulary",
                   d->s->plan_dir, e->name);
        return false;
    }
    for (; at > 0 && d->piece[at - 1].tokens < x.tokens; at--)
        d->piece[at] = d->piece[at - 1];
    d->piece[at] = x;
    d->pieces++;
    d->vocab = vocab;
    limit_context(d, e->forward, e->forwards);
    return true;
}

bool decoder_open(Decoder *d, Arena *a, Session *s, Buf *err)
{
    *d = (Decoder){.s = s, .piece = NEW_N(a, DecoderPiece, s->plan->entries + 1)};
    for (uint32_t i = 0; i < s->plan->entries; i++)
        if (is_decode(s->plan->entry[i].name) && !add_piece(d, i, err))
            return false;
    if (d->pieces == 0)
        buf_printf(err,
                   "plan '%s' cannot generate: its model has no entry 'decode' (tokens and the position of the first "
                   "in, the logits of the next token out)",
                   s->plan_dir);
    else if (d->piece[d->pieces - 1].tokens != 1)
        buf_printf(
            err,
            "plan '%s' cannot generate: its entry 'decode' takes no fewer than %u tokens at a time; add 1 to its "
            "buckets",
            s->plan_dir, d->piece[d->pieces - 1].tokens);
    return d->pieces && d->piece[d->pieces - 1].tokens == 1;
}

/* The largest piece that n tokens fill. */
static DecoderPiece *fitting(Decoder *d, uint64_t n)
{
    DecoderPiece *p = d->piece;
    while (p->tokens > n)
        p++;
    return p;
}

bool decoder_bake(Decoder *d, uint64_t tokens, Buf *err)
{
    for (uint64_t left = tokens;; left %= fitting(d, left)->tokens) {
        DecoderPiece *p = fitting(d, left ? left : 1);
        if (!p->baked && !exec_bake(d->s->exec, p->entry, EXEC_FORWARD, err))
            return false;
        p->baked = true;
        if (left <= 1)
            break;
    }
    DecoderPiece *one = fitting(d, 1);
    one->baked = one->baked || exec_bake(d->s->exec, one->entry, EXEC_FORWARD, err);
    return one->baked;
}

void decoder_reset(Decoder *d)
{
    exec_reset_states(d->s->exec, d->s->settings.seed);
    d->at = 0;
}

const float *decoder_read(Decoder *d, const int32_t *token, uint64_t n, Buf *err)
{
    const float *logits = NULL;
    for (uint64_t done = 0; done < n;) {
        DecoderPiece *p = fitting(d, n - done);
        memcpy(p->token, token + done, p->tokens * sizeof *token);
        if (p->position)
            *p->position = (int32_t)d->at;
        if (!exec_forward(d->s->exec, p->entry, err))
            return NULL;
        done += p->tokens;
        d->at += p->tokens;
        logits = exec_result(d->s->exec, p->entry, 0);
    }
    return logits;
}
