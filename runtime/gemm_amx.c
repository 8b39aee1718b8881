/* gemm_amx.c: exact products on the matrix units of Intel processors (AMX, tiles of bf16).
 *
 * A bf16 number is the upper half of a float: 8 significant bits. A float with 24 of them is the exact sum of three
 * such pieces, an fp16 number (11) of two. A product of two numbers is the sum of the products of their pieces; the
 * units add those up in fp32. With two pieces each, four products replace one, on units that do sixteen times as many:
 * exact products of fp16 operands, and fp32's accuracy, at about four times the rate of vector instructions. Of three
 * pieces each, products below 2^-24 of the whole are left out. Pieces that are zero throughout a panel are skipped,
 * which changes nothing: fp32 copies of fp16 data cost what fp16 data does.
 *
 * Both operands are packed into panels of 32 rows (of a) or columns (of b), per 32 of depth and piece two tiles of 1
 * KiB: for a [16 rows][32 deep], for b [16 pairs deep][16 columns][2]. All of b is packed first, shared by all pieces
 * of work; each packs its rows of a, a chunk of depth at a time, and keeps its part of c in fp32 meanwhile: what is
 * read again and again stays in the second-level cache.
 *
 * The pieces of an infinity are no sum of anything. Where packing meets a number that is not finite, a library
 * multiplies these rows. */
#include "gemm_internal.h"
#include "scratch.h"

#include <immintrin.h>
#include <string.h>

enum {
    WIDE = 32,   /* rows and columns of a block of c, and depth of a step */
    TILE = 1024, /* bytes */
    PLANE = 2 * TILE,
    DEPTH = 2048,           /* of b packed at a time, where c is fp32 */
    COLUMNS = 2048,         /* at a time */
    CHUNK = 1024,           /* of depth that a piece of work does at a time */
    BLOCKS_BYTES = 1 << 20, /* of a packed by a piece of work: it and the same depth of b fit a second-level cache */
    PARTS = 4,              /* pieces of work come in multiples of this */
    BATCH_BYTES = 64 << 20  /* of b packed at a time */
};

/* ---- packing -------------------------------------------------------------------------------------------------- */

/* What is packed: `outer` rows of a, or columns of b, by depth; element (o, k) at o * so + k * sk, one of them 1. */
typedef struct {
    const char *data;
    GemmType type;
    int64_t so, sk;
} Source;

typedef struct {
    __m512i third, second, bad; /* non-zero lanes: a piece that is not zero; a number that is not finite */
} Seen;

static inline __m512 load16(const char *p, GemmType t, __mmask16 m)
{
    if (t == GEMM_F32)
        return _mm512_maskz_loadu_ps(m, p);
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, p));
}

static inline __m512 upper(__m512 x)
{
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32((int)0xffff0000)));
}

/* 16 rows of 32 bf16 as 16x16 pairs, transposed. */
static inline void transpose(__m512i v[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* One tile of each piece: 16 of outer by 32 of depth at `p`, of which `no` and `nk` are there. `deep`: depth is
 * contiguous; `turn`: the tile wants the other order. */
static inline __attribute__((always_inline)) void pack_tile(const char *p, GemmType t, int64_t step, bool deep,
                                                            bool turn, int no, int nk, char *to, Seen *seen)
{
    const __m512i odd = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25,
                                         23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    const __m512i abs = _mm512_set1_epi32(0x7fffffff);
    int planes = t == GEMM_F32 ? 3 : 2;
    size_t elem = t == GEMM_F32 ? 4 : 2;
    __m512i v[3][16];
    for (int r = 0; r < 16; r++) {
        int n0 = deep ? nk : 2 * r < nk ? no : 0, n1 = deep ? nk - 16 : 2 * r + 1 < nk ? no : 0;
        __mmask16 m0, m1;
        if (deep && r >= no)
            n0 = n1 = 0;
        m0 = n0 >= 16 ? 0xffff : n0 <= 0 ? 0 : (__mmask16)((1u << n0) - 1);
        m1 = n1 >= 16 ? 0xffff : n1 <= 0 ? 0 : (__mmask16)((1u << n1) - 1);
        const char *p0 = p + (size_t)(deep ? r * step : 2 * r * step) * elem;
        const char *p1 = deep ? p0 + 16 * elem : p0 + (size_t)step * elem;
        __m512 x0 = load16(m0 ? p0 : p, t, m0), x1 = load16(m1 ? p1 : p, t, m1);
        seen->bad = _mm512_max_epu32(seen->bad, _mm512_and_si512(_mm512_castps_si512(x0), abs));
        seen->bad = _mm512_max_epu32(seen->bad, _mm512_and_si512(_mm512_castps_si512(x1), abs));
        for (int i = 0; i < planes; i++) {
            __m512i b0 = _mm512_castps_si512(x0), b1 = _mm512_castps_si512(x1);
            if (deep)
                v[i][r] = _mm512_permutex2var_epi16(b0, odd, b1);
            else
                v[i][r] = _mm512_or_si512(_mm512_srli_epi32(b0, 16),
                                          _mm512_and_si512(b1, _mm512_set1_epi32((int)0xffff0000)));
            if (i == 1)
                seen->second = _mm512_or_si512(seen->second, v[i][r]);
            else if (i == 2)
                seen->third = _mm512_or_si512(seen->third, v[i][r]);
            x0 = _mm512_sub_ps(x0, upper(x0));
            x1 = _mm512_sub_ps(x1, upper(x1));
        }
    }
    for (int i = 0; i < planes; i++) {
        if (turn)
            transpose(v[i]);
        for (int r = 0; r < 16; r++)
            _mm512_storeu_si512(to + i * PLANE + r * 64, v[i][r]);
    }
}

static inline int planes_of(GemmType t)
{
    return t == GEMM_F32 ? 3 : 2;
}

static inline size_t panel_bytes(GemmType t, int64_t k)
{
    return (size_t)((k + WIDE - 1) / WIDE) * (size_t)planes_of(t) * PLANE;
}

/* Pack one panel: `no` <= 32 of outer from `o` on, all of depth k. `b`: as the right operand. Returns the number of
 * pieces that matter, 0 if there is a number that is not finite. */
static int pack_panel(const Source *s, int64_t o, int64_t no, int64_t k, bool b, char *to)
{
    Seen seen = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    bool deep = s->sk == 1;
    size_t elem = gemm_elem(s->type);
    int64_t step = deep ? s->so : s->sk;
    const char *base = s->data + (size_t)(o * s->so) * elem;
    for (int64_t at = 0; at < k; at += WIDE, to += planes_of(s->type) * PLANE)
        for (int t = 0; t < 2; t++) {
            int rest = (int)no - 16 * t, nk = k - at < WIDE ? (int)(k - at) : WIDE;
            rest = rest < 0 ? 0 : rest > 16 ? 16 : rest;
            const char *p = base + (size_t)(at * s->sk) * elem + (rest ? (size_t)(16 * t * s->so) * elem : 0);
            char *out = to + t * TILE;
            if (s->type == GEMM_F16) {
                if (deep) {
                    if (b)
                        pack_tile(p, GEMM_F16, step, true, true, rest, nk, out, &seen);
                    else
                        pack_tile(p, GEMM_F16, step, true, false, rest, nk, out, &seen);
                } else if (b)
                    pack_tile(p, GEMM_F16, step, false, false, rest, nk, out, &seen);
                else
                    pack_tile(p, GEMM_F16, step, false, true, rest, nk, out, &seen);
            } else if (deep) {
                if (b)
                    pack_tile(p, GEMM_F32, step, true, true, rest, nk, out, &seen);
                else
                    pack_tile(p, GEMM_F32, step, true, false, rest, nk, out, &seen);
            } else if (b)
                pack_tile(p, GEMM_F32, step, false, false, rest, nk, out, &seen);
            else
                pack_tile(p, GEMM_F32, step, false, true, rest, nk, out, &seen);
        }
    if (_mm512_cmpge_epu32_mask(seen.bad, _mm512_set1_epi32(0x7f800000)))
        return 0;
    return _mm512_test_epi32_mask(seen.third, seen.third)     ? 3
           : _mm512_test_epi32_mask(seen.second, seen.second) ? 2
                                                              : 1;
}

/* ---- a block of c --------------------------------------------------------------------------------------------- */

typedef struct __attribute__((packed)) {
    uint8_t palette, start, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
} TileConfig;

static void tiles_on(void)
{
    TileConfig c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.colsb[i] = 64;
        c.rows[i] = 16;
    }
    _tile_loadconfig(&c);
}

/* acc[32][32] = or += a panel times b panel over `steps` of depth; pieces pa and pb of each, `sa` and `sb` bytes a
 * step. */
static inline __attribute__((always_inline)) void block(const char *a, size_t sa, int pa, const char *b, size_t sb,
                                                        int pb, int64_t steps, float *acc, bool add)
{
    if (add) {
        _tile_loadd(0, acc, WIDE * 4);
        _tile_loadd(1, acc + 16, WIDE * 4);
        _tile_loadd(2, acc + 16 * WIDE, WIDE * 4);
        _tile_loadd(3, acc + 16 * WIDE + 16, WIDE * 4);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t s = 0; s < steps; s++, a += sa, b += sb)
#pragma GCC unroll 3
        for (int j = 0; j < pb; j++) {
            _tile_loadd(6, b + j * PLANE, 64);
            _tile_loadd(7, b + j * PLANE + TILE, 64);
#pragma GCC unroll 3
            for (int i = 0; i < pa; i++) {
                if (i + j > 2)
                    continue;
                _tile_loadd(4, a + i * PLANE, 64);
                _tile_loadd(5, a + i * PLANE + TILE, 64);
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
    _tile_stored(0, acc, WIDE * 4);
    _tile_stored(1, acc + 16, WIDE * 4);
    _tile_stored(2, acc + 16 * WIDE, WIDE * 4);
    _tile_stored(3, acc + 16 * WIDE + 16, WIDE * 4);
}

static void multiply(const char *a, size_t sa, int pa, const char *b, size_t sb, int pb, int64_t steps, float *acc,
                     bool add)
{
#define CASE(x, y)                                                                                                     \
    case (x)*4 + (y):                                                                                                  \
        block(a, sa, x, b, sb, y, steps, acc, add);                                                                    \
        break;
    switch (pa * 4 + pb) {
        CASE(1, 1)
        CASE(1, 2)
        CASE(1, 3)
        CASE(2, 1)
        CASE(2, 2)
        CASE(2, 3)
        CASE(3, 1)
        CASE(3, 2)
        CASE(3, 3)
    }
#undef CASE
}

/* Write m x n of acc[32][32] to c; `first`: c holds nothing of this product yet. */
static void finish(const GemmOut *c, char *to, int64_t m, int64_t n, const float *acc, bool first)
{
    for (int64_t r = 0; r < m; r++, acc += WIDE, to += (size_t)c->ld * gemm_elem(c->type))
        for (int h = 0; h < 2 && 16 * h < n; h++) {
            __mmask16 mask = n - 16 * h >= 16 ? 0xffff : (__mmask16)((1u << (n - 16 * h)) - 1);
            __m512 x = _mm512_loadu_ps(acc + 16 * h);
            if (c->type == GEMM_F16) {
                _mm256_mask_storeu_epi16(to + 32 * h, mask, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
                continue;
            }
            if (c->add || !first)
                x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, to + 64 * h));
            _mm512_mask_storeu_ps(to + 64 * h, mask, x);
        }
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

typedef struct {
    const Gemm *g; /* of the batch at hand, columns and depth at hand */
    bool first;
    char *packed;           /* b: [item][panel] */
    uint8_t *pieces;        /* that matter, of each panel of b */
    uint32_t panels, parts; /* of one item: of b; pieces of work */
    int64_t rows;           /* of one piece of work */
} Work;

static Source source_of(const GemmIn *x, bool b, uint32_t item)
{
    bool deep = b == x->transposed;
    return (Source){(const char *)x->data + item * x->stride * gemm_elem(x->type), x->type, deep ? x->ld : 1,
                    deep ? 1 : x->ld};
}

static void pack_b(void *with, uint32_t i)
{
    const Work *w = with;
    const Gemm *g = w->g;
    Source s = source_of(&g->b, true, i / w->panels);
    int64_t o = (int64_t)(i % w->panels) * WIDE;
    w->pieces[i] = (uint8_t)pack_panel(&s, o, g->n - o < WIDE ? g->n - o : WIDE, g->k, true,
                                       w->packed + i * panel_bytes(g->b.type, g->k));
}

/* A number that is not finite was met: rows row .. row + m of product `item`, by a library. */
static void by_library(const Work *w, uint32_t item, int64_t row, int64_t m)
{
    const Gemm *g = w->g;
    Gemm rest = gemm_part(g, row, m, 0, g->n, 0, g->k);
    rest.count = 1;
    rest.a.data = (const char *)rest.a.data + item * g->a.stride * gemm_elem(g->a.type);
    rest.b.data = (const char *)rest.b.data + item * g->b.stride * gemm_elem(g->b.type);
    rest.c.data = (char *)rest.c.data + item * g->c.stride * gemm_elem(g->c.type);
    rest.c.add = g->c.add || !w->first;
    gemm_by_library(NULL, &rest, false);
}

static void part(void *with, uint32_t i)
{
    const Work *w = with;
    const Gemm *g = w->g;
    uint32_t item = i / w->parts;
    int64_t row = (int64_t)(i % w->parts) * w->rows, m = g->m - row < w->rows ? g->m - row : w->rows;
    uint32_t blocks = (uint32_t)((m + WIDE - 1) / WIDE);
    size_t pa = panel_bytes(g->a.type, g->k < CHUNK ? g->k : CHUNK), pb = panel_bytes(g->b.type, g->k);
    size_t step_a = (size_t)planes_of(g->a.type) * PLANE, step_b = (size_t)planes_of(g->b.type) * PLANE;
    Source s = source_of(&g->a, false, item);
    const char *b = w->packed + item * w->panels * pb;
    const uint8_t *pieces_b = w->pieces + item * w->panels;
    uint8_t pieces[BLOCKS_BYTES / TILE];
    bool whole = g->k <= CHUNK; /* nothing to keep */
    size_t kept = whole ? 1 : (size_t)blocks * w->panels;
    char *a = scratch_take(blocks * pa + kept * WIDE * WIDE * sizeof(float));
    float *acc = (float *)(a + blocks * pa);
    char *c = (char *)g->c.data + (item * g->c.stride + (size_t)(row * g->c.ld)) * gemm_elem(g->c.type);
    bool bad = false;
    for (uint32_t p = 0; p < w->panels; p++)
        bad |= pieces_b[p] == 0;
    for (int64_t deep = 0; deep < g->k && !bad; deep += CHUNK) {
        int64_t k = g->k - deep < CHUNK ? g->k - deep : CHUNK;
        Source here = s;
        here.data += (size_t)(deep * s.sk) * gemm_elem(s.type);
        for (uint32_t r = 0; r < blocks; r++) {
            int64_t left = m - (int64_t)r * WIDE;
            pieces[r] =
                (uint8_t)pack_panel(&here, row + (int64_t)r * WIDE, left < WIDE ? left : WIDE, k, false, a + r * pa);
            bad |= pieces[r] == 0;
        }
        if (bad)
            break;
        tiles_on();
        for (uint32_t p = 0; p < w->panels; p++)
            for (uint32_t r = 0; r < blocks; r++) {
                int64_t left = m - (int64_t)r * WIDE, n = g->n - (int64_t)p * WIDE;
                float *sum = whole ? acc : acc + ((size_t)p * blocks + r) * WIDE * WIDE;
                multiply(a + r * pa, step_a, pieces[r], b + p * pb + (size_t)(deep / WIDE) * step_b, step_b,
                         pieces_b[p], (k + WIDE - 1) / WIDE, sum, deep > 0);
                if (deep + k == g->k)
                    finish(&g->c, c + ((size_t)(r * WIDE) * (size_t)g->c.ld + p * WIDE) * gemm_elem(g->c.type),
                           left < WIDE ? left : WIDE, n < WIDE ? n : WIDE, sum, w->first);
            }
        _tile_release();
    }
    if (bad)
        by_library(w, item, row, m);
    scratch_give(a);
}

/* Columns and depth at hand: pack b, multiply. */
static void at_once(Pool *pool, const Gemm *g, bool first)
{
    Work w = {.g = g, .first = first};
    size_t pa = panel_bytes(g->a.type, g->k < CHUNK ? g->k : CHUNK), pb = panel_bytes(g->b.type, g->k);
    int64_t blocks = (g->m + WIDE - 1) / WIDE, most = (int64_t)(BLOCKS_BYTES / pa), parts = (blocks + most - 1) / most;
    if (g->count < PARTS || parts > 1)
        parts = (parts + PARTS - 1) / PARTS * PARTS;
    w.panels = (uint32_t)((g->n + WIDE - 1) / WIDE);
    w.rows = (blocks + parts - 1) / parts * WIDE;
    w.parts = (uint32_t)((g->m + w.rows - 1) / w.rows);
    size_t total = (size_t)g->count * w.panels;
    w.packed = scratch_take(total * pb + total);
    w.pieces = (uint8_t *)w.packed + total * pb;
    pool_for(pool, g->count * w.panels, pack_b, &w);
    pool_for(pool, g->count * w.parts, part, &w);
    scratch_give(w.packed);
}

void gemm_by_amx(Pool *pool, const Gemm *all)
{
    int64_t columns = all->n < COLUMNS ? all->n : COLUMNS;
    int64_t depth = all->c.type == GEMM_F16 || all->k < DEPTH ? all->k : DEPTH;
    size_t item = (size_t)columns * panel_bytes(all->b.type, depth) / WIDE;
    uint32_t items = item < BATCH_BYTES ? (uint32_t)(BATCH_BYTES / item) : 1;
    for (uint32_t i = 0; i < all->count; i += items)
        for (int64_t col = 0; col < all->n; col += columns)
            for (int64_t deep = 0; deep < all->k; deep += depth) {
                Gemm g = gemm_part(all, 0, all->m, col, all->n - col < columns ? all->n - col : columns, deep,
                                   all->k - deep < depth ? all->k - deep : depth);
                g.count = all->count - i < items ? all->count - i : items;
                g.a.data = (const char *)g.a.data + i * g.a.stride * gemm_elem(g.a.type);
                g.b.data = (const char *)g.b.data + i * g.b.stride * gemm_elem(g.b.type);
                g.c.data = (char *)g.c.data + i * g.c.stride * gemm_elem(g.c.type);
                at_once(pool, &g, deep == 0);
            }
}
