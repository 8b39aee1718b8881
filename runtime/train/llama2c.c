/* llama2c.c: header and order of arrays of llama2.c's .bin files, version 0; see llama2c.h. The source is export.py
 * (legacy_export) and run.c (memory_map_weights) of github.com/karpathy/llama2.c. */
#include "runtime/train/llama2c.h"

#include <string.h>

bool llama2c_read_header(const void *bytes, Llama2c *h)
{
    int32_t x[7];
    memcpy(x, bytes, sizeof x);
    bool tied = x[5] > 0;
    *h = (Llama2c){x[0], x[1], x[2], x[3], x[4], tied ? x[5] : -(int64_t)x[5], x[6], tied};
    return h->layers > 0 && h->layers <= 10000 && h->heads > 0 && h->kv_heads > 0 && h->heads % h->kv_heads == 0 &&
           h->dim > 0 && h->dim % h->heads == 0 && h->hidden > 0 && h->seq > 0 && h->vocab > 0 && h->dim <= 1 << 20 &&
           h->hidden <= 1 << 20 && h->vocab <= 1 << 24 && h->seq <= 1 << 24;
}

void llama2c_write_header(const Llama2c *h, void *bytes)
{
    const int32_t x[7] = {(int32_t)h->dim,   (int32_t)h->hidden,   (int32_t)h->layers,
                          (int32_t)h->heads, (int32_t)h->kv_heads, (int32_t)(h->tied ? h->vocab : -h->vocab),
                          (int32_t)h->seq};
    memcpy(bytes, x, sizeof x);
}

bool llama2c_walk(const Llama2c *h, Arena *a, Llama2cVisit *visit, void *with)
{
    int64_t head = h->dim / h->heads, kv = head * h->kv_heads;
    const struct {
        const char *name;
        bool layers;
        int64_t rows, cols;
    } array[] = {
        {"tok_embeddings", false, h->vocab, h->dim},
        {"attention_norm", true, 1, h->dim},
        {"attention.wq.weight", true, h->dim, h->dim},
        {"attention.wk.weight", true, kv, h->dim},
        {"attention.wv.weight", true, kv, h->dim},
        {"attention.wo.weight", true, h->dim, h->dim},
        {"ffn_norm", true, 1, h->dim},
        {"feed_forward.w1.weight", true, h->hidden, h->dim},
        {"feed_forward.w2.weight", true, h->dim, h->hidden},
        {"feed_forward.w3.weight", true, h->hidden, h->dim},
        {"norm", false, 1, h->dim},
        {NULL, false, h->seq, head / 2},
        {NULL, false, h->seq, head / 2},
        {"output.weight", false, h->vocab, h->dim},
    };
    for (size_t i = 0; i < COUNT(array) - h->tied; i++)
        for (int64_t l = 0; l < (array[i].layers ? h->layers : 1); l++) {
            const char *name =
                array[i].layers ? arena_printf(a, "layers.%lld.%s", (long long)l, array[i].name) : array[i].name;
            if (!visit(with, name, array[i].rows, array[i].cols))
                return false;
        }
    return true;
}
