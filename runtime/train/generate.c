/* generate.c: token by token through the `decode` entry; see generate.h.
 *
 * The prompt goes through the same entry as what follows it, one token at a time: the only difference is that logits
 * are ignored until its last token. How long a context may become is not written anywhere in a plan; it follows from
 * the states: an entry that splices one position into a cache of n cannot go on after the n-th. */
#include "runtime/train/generate.h"

#include "base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Session         *s;
    uint32_t         entry, vocab;
    const PlanEntry *e;
    int32_t         *token, *position;
    uint64_t         context; /* positions; 0: no limit known */
    bool             bytes;   /* tokens are bytes */
} Decoder;

static void limit_context(Decoder *d, const Step *step, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (step[i].kind == STEP_LOOP)
            limit_context(d, step[i].body, step[i].bodies);
        if (step[i].kind != STEP_OP || strcmp(step[i].op, "splice") != 0 || step[i].ins == 0)
            continue;
        PlanShape shape = step[i].in[0].shape;
        int32_t   axis = step[i].a.axis;
        if (axis >= 0 && (uint32_t)axis < shape.rank && (!d->context || (uint64_t)shape.dim[axis] < d->context))
            d->context = (uint64_t)shape.dim[axis];
    }
}

static bool decoder_open(Decoder *d, Session *s, Buf *err)
{
    const Plan *p = s->plan;
    *d = (Decoder){.s = s, .entry = exec_entry(s->exec, "decode")};
    if (d->entry == EXEC_NO_ENTRY) {
        buf_printf(err,
                   "plan '%s' cannot generate: its model has no entry 'decode' (one token and its position in, the "
                   "logits of the next token out)",
                   s->plan_dir);
        return false;
    }
    d->e = &p->entry[d->entry];
    bool known = true;
    for (uint32_t k = 0; k < d->e->inputs; k++) {
        const PlanInput *in = &d->e->input[k];
        bool             one = plan_numel(p->buffer[in->buffer].shape) == 1;
        if (in->kind == IN_TOKENS && one && !d->token) {
            d->token = exec_input(s->exec, d->entry, k);
            d->vocab = (uint32_t)in->vocab;
        } else if (in->kind == IN_INT && one && !d->position) {
            d->position = exec_input(s->exec, d->entry, k);
        } else {
            known = false;
        }
    }
    const PlanBuffer *out = d->e->results ? &p->buffer[d->e->result[0].buffer] : NULL;
    if (!known || !d->token || !out || out->type != PLAN_F32 || plan_numel(out->shape) != (int64_t)d->vocab) {
        buf_printf(
            err,
            "plan '%s' cannot generate: its entry 'decode' must take one token (tok[1]) and perhaps its position "
            "(i32[]), and give one logit for each id of the vocabulary",
            s->plan_dir);
        return false;
    }
    d->bytes = d->vocab == 256 || (s->settings.data == DATA_BYTES && d->vocab > 256);
    limit_context(d, d->e->forward, d->e->forwards);
    return true;
}

/* The prompt as tokens, allocated in `a`. */
static bool encode(const Decoder *d, Arena *a, const char *prompt, int32_t **token, uint64_t *count, Buf *err)
{
    size_t n = strlen(prompt);
    *token = NEW_N(a, int32_t, n + 1);
    *count = 0;
    if (d->bytes)
        for (; *count < n; ++*count)
            (*token)[*count] = (unsigned char)prompt[*count];
    else
        for (const char *at = prompt; at[strspn(at, " \t\n,")];) {
            char *end;
            long  id = strtol(at += strspn(at, " \t\n,"), &end, 10);
            if (end == at || id < 0 || (unsigned long)id >= d->vocab) {
                buf_printf(
                    err, "the prompt '%s' is not a list of token ids from 0 to %u (this model's tokens are not bytes)",
                    prompt, d->vocab - 1);
                return false;
            }
            (*token)[(*count)++] = (int32_t)id;
            at = end;
        }
    if (*count == 0)
        buf_puts(err, "the prompt is empty: a model continues what it is given");
    else if (d->context && *count > d->context)
        buf_printf(err, "the prompt has %llu tokens, the model's context only %llu", (unsigned long long)*count,
                   (unsigned long long)d->context);
    return *count && (!d->context || *count <= d->context);
}

static bool put(const Decoder *d, FILE *f, int32_t token, bool first, Buf *err)
{
    bool ok = d->bytes ? fputc(token, f) != EOF : fprintf(f, "%s%d", first ? "" : " ", (int)token) > 0;
    if (ok && fflush(f) == 0)
        return true;
    buf_printf(err, "cannot write the text: %s", strerror(errno));
    return false;
}

bool generate(Session *s, const GenerateOptions *o, Buf *err)
{
    Decoder  d;
    Sampler  sampler;
    Arena   *a = arena_new();
    int32_t *prompt;
    uint64_t given, key = rng_key(o->seed, "generate"), at = 0;
    bool     ok = decoder_open(&d, s, err) && encode(&d, a, o->prompt, &prompt, &given, err) &&
              exec_bake(s->exec, d.entry, EXEC_FORWARD, err);
    if (!ok) {
        arena_free(a);
        return false;
    }
    sampler_init(&sampler, a, o->sampling, d.bytes ? 256 : d.vocab); /* ids that are no byte were never trained */
    exec_reset_states(s->exec, s->settings.seed);
    for (int32_t next = prompt[0]; (ok = put(&d, o->out, next, at == 0, err)); at++) {
        if (at + 1 >= given + o->tokens)
            break;
        if (d.context && at >= d.context) {
            fprintf(o->note, "\nanerun: the model's context of %llu tokens is full\n", (unsigned long long)d.context);
            break;
        }
        *d.token = next;
        if (d.position)
            *d.position = (int32_t)at;
        if (!(ok = exec_forward(s->exec, d.entry, err)))
            break;
        uint32_t pick = at + 1 < given ? (uint32_t)prompt[at + 1]
                                       : sampler_pick(&sampler, exec_result(s->exec, d.entry, 0), rng_uniform(key, at));
        if (pick == UINT32_MAX) {
            buf_puts(err, "the model's logits are not numbers: its weights are damaged or training diverged");
            ok = false;
            break;
        }
        next = (int32_t)pick;
    }
    if (ok && !d.bytes)
        fputc('\n', o->out);
    arena_free(a);
    return ok;
}
