/* best.c: the mark of the checkpoint with the lowest held-out loss; see best.h. */
#include "runtime/train/best.h"

#include "base/file.h"
#include "runtime/train/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK   "BEST"
#define PREFIX "ckpt-"

static const char *mark_path(Arena *a, const char *run)
{
    return path_join(a, run, MARK);
}

/* "ckpt-500 2.25\n", and nothing else. */
static bool parse(const char *text, uint64_t *step, double *loss)
{
    char  *end;
    size_t n = strlen(PREFIX), digits = strspn(text + (strncmp(text, PREFIX, n) == 0 ? n : strlen(text)), "0123456789");
    if (digits == 0 || digits > 18 || text[n + digits] != ' ')
        return false;
    *step = strtoull(text + n, NULL, 10);
    const char *number = text + n + digits + 1;
    *loss = strtod(number, &end);
    return end != number && strcmp(end, "\n") == 0 && isfinite(*loss);
}

bool best_read(const char *run, uint64_t *step, double *loss)
{
    Arena *a = arena_new();
    char  *text, why[FILE_ERR_MAX];
    size_t len;
    bool   ok = path_exists(mark_path(a, run)) && file_read(a, mark_path(a, run), &text, &len, why) &&
              strlen(text) == len && parse(text, step, loss) &&
              path_exists(path_join(a, path_join(a, run, arena_printf(a, PREFIX "%" PRIu64, *step)), CHECKPOINT_MODEL));
    arena_free(a);
    return ok;
}

bool best_is(const char *run, uint64_t step, double loss)
{
    uint64_t marked;
    double   lowest;
    if (!isfinite(loss))
        return false;
    return !best_read(run, &marked, &lowest) || marked > step || loss < lowest;
}

bool best_mark(const char *run, uint64_t step, double loss, Buf *err)
{
    Arena *a = arena_new();
    Buf    text = {0};
    char   why[FILE_ERR_MAX];
    buf_printf(&text, PREFIX "%" PRIu64 " ", step);
    buf_double(&text, loss);
    buf_putc(&text, '\n');
    bool ok = file_write_atomic(mark_path(a, run), text.data, text.len, why);
    if (!ok)
        buf_puts(err, why);
    buf_free(&text);
    arena_free(a);
    return ok;
}

const char *best_find(Arena *a, const char *run, Buf *err)
{
    uint64_t step;
    double   loss;
    if (best_read(run, &step, &loss))
        return path_join(a, run, arena_printf(a, PREFIX "%" PRIu64, step));
    buf_printf(err, "'%s' has no best checkpoint: train with a held-out set and --set keep_best=true", run);
    return NULL;
}

bool best_clear(const char *run, char *why)
{
    Arena *a = arena_new();
    bool   ok = unlink(mark_path(a, run)) == 0 || errno == ENOENT || errno == ENOTDIR;
    if (!ok)
        snprintf(why, FILE_ERR_MAX, "cannot remove '%s': %s", mark_path(a, run), strerror(errno));
    arena_free(a);
    return ok;
}
