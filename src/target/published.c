/* published.c: see published.h.
 *
 * Inner bytes count, for each operation that is no product and no view, what it reads and writes. A value of c channels
 * is 2 * c * seq bytes; the scores of a layer, [heads, seq, seq], have as many channels as heads * seq. What only takes
 * the input surface apart, or puts the output surface together, is counted with the surfaces. */
#include "target/published.h"

typedef struct {
    Work     w;
    uint64_t seq;
} Kernel;

/* An operation that touches `channels` channels, reading and writing together. */
static void inner(Kernel *k, uint64_t channels, uint32_t ops)
{
    k->w.inner_bytes += 2 * channels * k->seq;
    k->w.ops += ops;
}

/* A product of two activations that contracts or yields [seq, seq] per head: 2 * seq^2 * d. */
static void product(Kernel *k, uint64_t d)
{
    k->w.matmul_flops += 2 * k->seq * k->seq * d;
    k->w.ops++;
}

static void conv(Kernel *k, uint64_t in, uint64_t out)
{
    work_conv(&k->w, in, out, k->seq, true);
}

/* x * rsqrt(mean(x^2) + eps) * gain: squares, their sum, the scale, the gain. */
static void norm(Kernel *k, uint64_t d)
{
    inner(k, 2 * d + d + 2 * d + 2 * d, 7);
    k->w.weight_bytes += 2 * d;
}

/* Scores, scale, mask, softmax. */
static void probabilities(Kernel *k, const LayerDims *l)
{
    product(k, l->d);
    inner(k, 6 * l->heads * l->seq, 3);
    k->w.weight_bytes += 2 * l->seq * l->seq; /* the mask */
}

static PublishedKernel kernel(const char *name, const char *does, bool backward, const Kernel *k, uint64_t in,
                              uint64_t out)
{
    PublishedKernel p = {name, does, backward, k->w.conv_flops > 0, in, out, k->w};
    p.work.in_bytes = 2 * in * k->seq;
    p.work.out_bytes = 2 * out * k->seq;
    p.work.ops += 1 + (backward ? 3 : 0); /* the output is a concat, inputs of the backward kernels are sliced */
    return p;
}

void published_layer(LayerDims l, PublishedKernel out[PUBLISHED_KERNELS])
{
    const uint64_t d = l.d, h = l.h, hs = l.heads * l.seq;
    Kernel         k;

    k = (Kernel){.seq = l.seq};
    norm(&k, d);
    for (int i = 0; i < 3; i++)
        conv(&k, d, d);
    inner(&k, 6 * d, 6); /* three transpositions */
    probabilities(&k, &l);
    product(&k, d);
    inner(&k, 2 * d, 2);
    conv(&k, d, d);
    out[0] = kernel("fwdAttn", "norm, q, k, v, attention, output projection", false, &k, d, 6 * d);

    k = (Kernel){.seq = l.seq};
    norm(&k, d);
    conv(&k, d, h);
    conv(&k, d, h);
    inner(&k, 2 * h + 3 * h + 3 * h, 3); /* sigmoid, two products */
    conv(&k, h, d);
    out[1] = kernel("fwdFFN", "norm, gate, up, down", false, &k, d, 2 * d + 3 * h);

    k = (Kernel){.seq = l.seq};
    conv(&k, d, h);
    inner(&k, 24 * h, 9); /* sigmoid and its derivative */
    conv(&k, h, d);
    conv(&k, h, d);
    inner(&k, 3 * d, 1);
    out[2] = kernel("ffnBwd", "adjoints of down, gate, up", true, &k, d + 2 * h, d + 2 * h);

    k = (Kernel){.seq = l.seq};
    conv(&k, d, d);
    inner(&k, 8 * d, 8); /* four transpositions */
    probabilities(&k, &l);
    product(&k, d);
    product(&k, d);
    inner(&k, 2 * d, 2);
    out[3] = kernel("sdpaBwd1", "adjoint of the output projection, probabilities again, dV, dP", true, &k, 4 * d,
                    d + 2 * hs);

    k = (Kernel){.seq = l.seq};
    inner(&k, 11 * hs, 6); /* adjoint of softmax */
    product(&k, d);
    product(&k, d);
    inner(&k, 8 * d, 8);
    out[4] = kernel("sdpaBwd2", "adjoint of softmax, dQ, dK", true, &k, 2 * hs + 2 * d, 2 * d);

    k = (Kernel){.seq = l.seq};
    for (int i = 0; i < 3; i++)
        conv(&k, d, d);
    inner(&k, 6 * d, 2);
    out[5] = kernel("qkvBwd", "adjoints of q, k, v", true, &k, 3 * d, d);
}
