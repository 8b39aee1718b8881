/* dist_mpi.c: the thread that owns MPI; see dist.h.
 *
 * It alone calls MPI, from MPI_Init_thread() to MPI_Finalize(), on three communicators: one for what it is asked to do,
 * one for sums that go on beside that, one for bad news. Every wait is a loop of MPI_Test() and naps, for two reasons:
 * libraries spin while they wait, and the processors have gradients to compute; and rank 0 must hear of a failure
 * wherever it stands.
 *
 * A failure: the rank sends its message to rank 0, which prints it and says so; then the rank calls MPI_Abort(), so that
 * a launcher's own notice names the same one. All of it has PATIENCE seconds, in case rank 0 has gone too. When a process
 * is killed, the launcher ends the others; who notices through a failed call leaves it the time to do so. */
#include "dist_driver.h"

#include <mpi.h>

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { UNDER_WAY = 4 };         /* messages of a reduction at a time */
enum { PIECE = 1 << 20 };       /* numbers of a fold at a time */
enum { NEWS = 4096 };           /* longest message of a failure */
enum { PATIENCE = 20 };         /* seconds */
enum { TAG_NEWS, TAG_HEARD };
enum { NAP_BUSY = 50000, NAP_IDLE = 20000000 }; /* nanoseconds between looks: messages under way; none */

typedef struct {
    Dist       *d;
    MPI_Comm    ops, sums, news;
    MPI_Request listen; /* rank 0: for bad news */
    char        heard[NEWS];
} Mpi;

/* DistReduce.driver */
typedef struct {
    struct {
        MPI_Request request;
        uint32_t    message;
        bool        busy;
        float      *packed; /* messages of several pieces */
    } slot[UNDER_WAY];
} UnderWay;

bool dist_driver_built(void)
{
    return true;
}

/* ---- bad news ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void nap(long nanoseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

static void print_news(const Mpi *m, int rank, const char *message)
{
    fflush(stdout);
    fprintf(stderr, "anerun: rank %d of %u: %s\n", rank, m->d->size, message);
    fflush(stderr);
}

static void ANEL_NORETURN abort_job(void)
{
    MPI_Abort(MPI_COMM_WORLD, 1);
    _exit(1);
}

/* Look at requests from `*first` on, and leave there the first one that is not complete; n: all are. */
static int look(MPI_Request *r, int n, int *first)
{
    int done = 1, code = MPI_SUCCESS;
    for (; *first < n && code == MPI_SUCCESS && done; *first += done)
        code = MPI_Test(&r[*first], &done, MPI_STATUS_IGNORE);
    return code;
}

/* Progress communication until `r` is complete or patience ends. */
static bool within_patience(MPI_Request *r, int n)
{
    int first = 0;
    for (double end = now() + PATIENCE; now() < end && first < n; nap(NAP_BUSY))
        if (look(r, n, &first) != MPI_SUCCESS)
            break;
    return first == n;
}

static void ANEL_NORETURN tell(const Mpi *m, const char *message)
{
    if (m->d->rank != 0) {
        char        text[NEWS] = {0}, answer;
        MPI_Request r[2];
        strncpy(text, message, NEWS - 1);
        if (MPI_Isend(text, NEWS, MPI_CHAR, 0, TAG_NEWS, m->news, &r[0]) == MPI_SUCCESS &&
            MPI_Irecv(&answer, 1, MPI_CHAR, 0, TAG_HEARD, m->news, &r[1]) == MPI_SUCCESS && within_patience(r, 2))
            abort_job();
    }
    print_news(m, (int)m->d->rank, message);
    abort_job();
}

/* Rank 0: somebody failed. Its job is to say so; ending the job is up to that rank. */
static void ANEL_NORETURN pass_on(Mpi *m, int from)
{
    char        answer = 0;
    MPI_Request r;
    print_news(m, from, m->heard);
    if (MPI_Isend(&answer, 1, MPI_CHAR, from, TAG_HEARD, m->news, &r) == MPI_SUCCESS)
        within_patience(&r, 1);
    for (double end = now() + PATIENCE; now() < end;)
        nap(NAP_IDLE);
    abort_job();
}

/* A call of MPI failed, most likely because another process is gone: then the launcher will say which. */
static void ANEL_NORETURN lost(const Mpi *m, int code)
{
    char what[MPI_MAX_ERROR_STRING] = "", text[MPI_MAX_ERROR_STRING + 64];
    int  len;
    MPI_Error_string(code, what, &len);
    for (double end = now() + PATIENCE; now() < end;)
        nap(NAP_IDLE);
    snprintf(text, sizeof text, "lost contact with the other ranks: %s", what);
    print_news(m, (int)m->d->rank, text);
    abort_job();
}

static void check(const Mpi *m, int code)
{
    if (code != MPI_SUCCESS)
        lost(m, code);
}

/* To be called again and again wherever this thread waits. */
static void watch(Mpi *m)
{
    const char *message = atomic_load(&m->d->message);
    int         arrived = 0;
    MPI_Status  status;
    if (message)
        tell(m, message);
    if (m->d->rank == 0)
        check(m, MPI_Test(&m->listen, &arrived, &status));
    if (arrived)
        pass_on(m, status.MPI_SOURCE);
}

static void await(Mpi *m, MPI_Request *r, int n)
{
    int first = 0;
    for (unsigned looks = 0; check(m, look(r, n, &first)), first < n; looks++) {
        watch(m);
        if (looks < 100)
            sched_yield();
        else
            nap(NAP_BUSY);
    }
}

/* ---- what it is asked to do ---- */

static void all_reduce(Mpi *m, double *x, size_t n, MPI_Op op)
{
    for (size_t at = 0; at < n; at += PIECE) {
        MPI_Request r;
        int         count = (int)(n - at < PIECE ? n - at : PIECE);
        check(m, MPI_Iallreduce(MPI_IN_PLACE, x + at, count, MPI_DOUBLE, op, m->ops, &r));
        await(m, &r, 1);
    }
}

typedef struct {
    Mpi         *m;
    DistOp      *op;
    uint32_t     parts;  /* of all ranks */
    float      **in;     /* [parts] places for this rank's share of them */
    MPI_Request *request;
    int         *count, *first; /* [ranks] the share of each */
} Fold;

/* Every rank gets its share of everybody's vectors, folds it, and everybody gets every share. */
static void fold_piece(Fold *f, size_t at, size_t n)
{
    Mpi          *m = f->m;
    const DistOp *op = f->op;
    uint32_t      me = m->d->rank, ranks = m->d->size, k = 0;
    int           requests = 0;
    for (uint32_t r = 0; r < ranks; r++) {
        f->first[r] = (int)(n * r / ranks);
        f->count[r] = (int)(n * (r + 1) / ranks) - f->first[r];
    }
    for (uint32_t r = 0; r < ranks; r++)
        for (uint32_t i = 0; i < op->parts[r]; i++, k++)
            if (r == me)
                memcpy(f->in[k], op->part[i] + at + f->first[me], (size_t)f->count[me] * sizeof(float));
            else
                check(m, MPI_Irecv(f->in[k], f->count[me], MPI_FLOAT, (int)r, (int)i, m->ops, &f->request[requests++]));
    for (uint32_t r = 0; r < ranks; r++)
        for (uint32_t i = 0; r != me && i < op->parts[me]; i++)
            check(m, MPI_Isend(op->part[i] + at + f->first[r], f->count[r], MPI_FLOAT, (int)r, (int)i, m->ops,
                               &f->request[requests++]));
    await(m, f->request, requests);
    const float *sum = op->fold(op->with, f->in, (size_t)f->count[me]);
    memcpy(op->out + at + f->first[me], sum, (size_t)f->count[me] * sizeof(float));
    check(m, MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, op->out + at, f->count, f->first, MPI_FLOAT, m->ops,
                             &f->request[0]));
    await(m, f->request, 1);
}

static void fold_all(Mpi *m, DistOp *op)
{
    uint32_t ranks = m->d->size, most = 0;
    size_t   n = op->n < PIECE ? op->n : PIECE, share = n / ranks + 1;
    Fold     f = {.m = m, .op = op};
    for (uint32_t r = 0; r < ranks; r++) {
        f.parts += op->parts[r];
        most = op->parts[r] > most ? op->parts[r] : most;
    }
    float *memory = xmalloc((f.parts * share + 1) * sizeof *memory);
    f.in = xcalloc(f.parts + 1u, sizeof *f.in);
    f.request = xcalloc(f.parts + (size_t)ranks * most + 1, sizeof *f.request);
    f.count = xcalloc(ranks, sizeof *f.count);
    f.first = xcalloc(ranks, sizeof *f.first);
    for (size_t at = 0; at < op->n; at += n) {
        for (uint32_t i = 0; i < f.parts; i++) /* fold() may have moved them */
            f.in[i] = memory + i * share;
        fold_piece(&f, at, op->n - at < n ? op->n - at : n);
    }
    free(memory);
    free(f.in);
    free(f.request);
    free(f.count);
    free(f.first);
}

static void leave(Mpi *m)
{
    MPI_Request r;
    check(m, MPI_Ibarrier(m->ops, &r)); /* nobody has bad news any more */
    await(m, &r, 1);
    if (m->d->rank == 0) {
        MPI_Cancel(&m->listen);
        MPI_Wait(&m->listen, MPI_STATUS_IGNORE);
    }
    MPI_Comm_free(&m->news);
    MPI_Comm_free(&m->sums);
    MPI_Comm_free(&m->ops);
    MPI_Finalize();
}

static void obey(Mpi *m, DistOp *op)
{
    switch (op->kind) {
    case DIST_SUM: all_reduce(m, op->x, op->n, MPI_SUM); break;
    case DIST_MAX: all_reduce(m, op->x, op->n, MPI_MAX); break;
    case DIST_FOLD: fold_all(m, op); break;
    case DIST_LEAVE: leave(m); break;
    }
}

/* ---- sums that go on meanwhile ---- */

static UnderWay *under_way(DistReduce *r)
{
    if (!r->driver) {
        UnderWay *u = r->driver = xcalloc(1, sizeof *u);
        for (int i = 0; i < UNDER_WAY && r->longest; i++)
            u->slot[i].packed = xmalloc(r->longest * sizeof(float));
    }
    return r->driver;
}

void dist_driver_release(DistReduce *r)
{
    UnderWay *u = r->driver;
    for (int i = 0; u && i < UNDER_WAY; i++)
        free(u->slot[i].packed);
    free(u);
    r->driver = NULL;
}

/* Between the pieces of a message and the memory that travels. */
static float *pack(const DistReduce *r, const DistMessage *msg, float *packed, bool back)
{
    const DistPiece *p = &r->piece[msg->first];
    if (msg->pieces == 1)
        return p->at;
    size_t at = 0;
    for (uint32_t i = 0; i < msg->pieces; at += p[i++].n)
        memcpy(back ? p[i].at : packed + at, back ? packed + at : p[i].at, p[i].n * sizeof(float));
    return packed;
}

static bool next_is_ready(const DistReduce *r)
{
    if (r->started == r->messages)
        return false;
    const DistMessage *msg = &r->message[r->started];
    for (uint32_t i = 0; i < msg->pieces; i++)
        if (!r->ready[r->piece[msg->first + i].span])
            return false;
    return true;
}

/* Start and finish what can be. Called with the lock held, which is given up meanwhile. True if anything moved. */
static bool progress(Mpi *m, DistReduce *r)
{
    Dist     *d = m->d;
    UnderWay *u = under_way(r);
    bool      moved = false;
    for (int i = 0; i < UNDER_WAY; i++) {
        bool start = !u->slot[i].busy && next_is_ready(r);
        if (start)
            u->slot[i].message = r->started++;
        else if (!u->slot[i].busy)
            continue;
        pthread_mutex_unlock(&d->lock);
        const DistMessage *msg = &r->message[u->slot[i].message];
        int                done = 0;
        if (start)
            check(m, MPI_Iallreduce(MPI_IN_PLACE, pack(r, msg, u->slot[i].packed, false), (int)msg->n, MPI_FLOAT, MPI_SUM,
                                    m->sums, &u->slot[i].request));
        else
            check(m, MPI_Test(&u->slot[i].request, &done, MPI_STATUS_IGNORE));
        if (done)
            pack(r, msg, u->slot[i].packed, true);
        pthread_mutex_lock(&d->lock);
        u->slot[i].busy = !done;
        r->done += done != 0;
        r->stats.messages += start;
        r->stats.bytes += start ? msg->n * sizeof(float) : 0;
        moved = moved || start || done;
    }
    if (r->done == r->messages) {
        r->active = false;
        d->reduce = NULL;
        pthread_cond_broadcast(&d->answer);
    }
    return moved;
}

/* ---- the thread ---- */

static bool start(Mpi *m)
{
    Dist    *d = m->d;
    int      rank, size, local, nth, level;
    MPI_Comm machine;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS || level < MPI_THREAD_FUNNELED) {
        buf_puts(&d->why, "MPI does not start in a process with threads (MPI_THREAD_FUNNELED)");
        return false;
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    d->rank = (uint32_t)rank;
    d->size = (uint32_t)size;
    check(m, MPI_Comm_dup(MPI_COMM_WORLD, &m->ops));
    check(m, MPI_Comm_dup(MPI_COMM_WORLD, &m->sums));
    check(m, MPI_Comm_dup(MPI_COMM_WORLD, &m->news));
    check(m, MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &machine));
    MPI_Comm_size(machine, &local);
    MPI_Comm_rank(machine, &nth);
    MPI_Comm_free(&machine);
    d->local = (uint32_t)local;
    d->local_rank = (uint32_t)nth;
    if (rank == 0)
        check(m, MPI_Irecv(m->heard, NEWS, MPI_CHAR, MPI_ANY_SOURCE, TAG_NEWS, m->news, &m->listen));
    return true;
}

static void sleep_until_asked(Dist *d, long nanoseconds)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += nanoseconds;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&d->wake, &d->lock, &t);
}

void *dist_driver_run(void *dist)
{
    Dist    *d = dist;
    Mpi      m = {.d = d};
    sigset_t all;
    sigfillset(&all); /* signals are the main thread's */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    bool ok = start(&m);
    pthread_mutex_lock(&d->lock);
    d->started = ok;
    d->failed_to_start = !ok;
    pthread_cond_broadcast(&d->answer);
    for (bool stay = ok; stay;) {
        bool moved = d->reduce && progress(&m, d->reduce);
        if (d->op) {
            DistOp *op = d->op;
            pthread_mutex_unlock(&d->lock);
            obey(&m, op);
            pthread_mutex_lock(&d->lock);
            stay = op->kind != DIST_LEAVE;
            d->op = NULL;
            pthread_cond_broadcast(&d->answer);
        } else if (!moved) {
            sleep_until_asked(d, d->reduce && d->reduce->done < d->reduce->started ? NAP_BUSY : NAP_IDLE);
            if (!d->op) {
                pthread_mutex_unlock(&d->lock);
                watch(&m);
                pthread_mutex_lock(&d->lock);
            }
        }
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}
