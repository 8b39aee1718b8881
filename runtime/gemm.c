/* gemm.c: see gemm.h: who multiplies. */
#include "gemm_internal.h"

#include "blas.h"
#include "cpu.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

typedef enum { BY_BEST, BY_AMX, BY_ONEDNN, BY_BLAS } By;
static atomic_int chosen; /* By */

static bool available(By by)
{
#ifdef HOST_HAS_AMX
    if (by == BY_AMX)
        return cpu_amx();
#endif
#ifdef HAVE_ONEDNN
    if (by == BY_ONEDNN)
        return true;
#endif
    return by == BY_BLAS || by == BY_BEST;
}

static By who(void)
{
    if (chosen == BY_BEST)
        chosen = available(BY_AMX) ? BY_AMX : available(BY_ONEDNN) ? BY_ONEDNN : BY_BLAS;
    return chosen;
}

bool gemm_select(const char *name)
{
    By by = !name                         ? BY_BEST
            : strcmp(name, "amx") == 0    ? BY_AMX
            : strcmp(name, "onednn") == 0 ? BY_ONEDNN
            : strcmp(name, "blas") == 0   ? BY_BLAS
                                          : BY_BEST;
    if ((name && by == BY_BEST) || !available(by))
        return false;
    chosen = by;
    return true;
}

void gemm(Pool *pool, uint32_t count, int64_t m, int64_t n, int64_t k, GemmIn a, GemmIn b, GemmOut c)
{
    Gemm g = {count, m, n, k, a, b, c};
    By by = who();
    if (count == 0 || m == 0 || n == 0)
        return;
#ifdef HOST_HAS_AMX
    /* Blocks are 32 wide: narrow products would be mostly padding. */
    if (by == BY_AMX && m >= 8 && n >= 8 && k >= 8) {
        gemm_by_amx(pool, &g);
        return;
    }
#endif
    gemm_by_library(pool, &g, by == BY_ONEDNN);
}

void gemm_f32_batch(Pool *pool, uint32_t count, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a,
                    int64_t lda, size_t sa, const float *b, int64_t ldb, size_t sb, float *c, int64_t ldc, size_t sc,
                    bool add)
{
    gemm(pool, count, m, n, k, (GemmIn){a, GEMM_F32, ta, lda, sa}, (GemmIn){b, GEMM_F32, tb, ldb, sb},
         (GemmOut){c, GEMM_F32, add, ldc, sc});
}

void gemm_f32(Pool *pool, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
              const float *b, int64_t ldb, float *c, int64_t ldc, bool add)
{
    gemm_f32_batch(pool, 1, ta, tb, m, n, k, a, lda, 0, b, ldb, 0, c, ldc, 0, add);
}

void gemm_init(void)
{
    const char *name = getenv("ANEL_GEMM");
#if defined(__APPLE__)
    setenv("VECLIB_MAXIMUM_THREADS", "1", 1); /* read by Accelerate at its first use */
#elif defined(OPENBLAS_VERSION)
    openblas_set_num_threads(1);
#endif
    if (name && *name && !gemm_select(name))
        fprintf(stderr, "warning: ANEL_GEMM=%s: not to be had here (amx, onednn, blas); using %s\n", name,
                gemm_library());
}

const char *gemm_library(void)
{
    static char name[64];
    (void)name; /* not every library has a version to tell */
    switch (who()) {
    case BY_AMX:
        return "AMX";
#ifdef HAVE_ONEDNN
    case BY_ONEDNN: {
        const dnnl_version_t *v = dnnl_version();
        snprintf(name, sizeof name, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
        return name;
    }
#endif
    default:
        break;
    }
#if defined(__APPLE__)
    return "Accelerate";
#elif defined(OPENBLAS_VERSION)
    snprintf(name, sizeof name, "%.60s", OPENBLAS_VERSION);
    return name + strspn(name, " ");
#else
    return "BLAS";
#endif
}
