/* dist_window.h: the micro-batches of one optimizer step ("window"), shared out among the ranks of a job.
 *
 * A window has accum micro-batches per rank, and with N ranks those with the numbers cursor .. cursor + N accum - 1: rank
 * r does r accum .. (r + 1) accum - 1 of them. So N ranks see the data that one rank with N times the accum sees, in the
 * same order. Losses are added up by number; they are the same bits for any N. Gradients are added up in one of two
 * ways:
 *
 *   by default     The executor adds a rank's micro-batches up in place, as it does without ranks. Each gradient is
 *                  summed over the ranks as soon as it is complete, in messages of BUCKET bytes in the order in which the
 *                  backward pass ends with them, while it goes on. The result depends on N by rounding.
 *   deterministic  Every micro-batch is a window of its own for the executor, and its gradients are a term of the sum
 *                  that dist_tree.h describes: the bits depend on N accum alone, not on N. This also holds for gradients
 *                  that `update` steps make of accumulators: they are made once per micro-batch, from that alone. It costs
 *                  memory for a few gradients more, that work, and a message that nothing hides.
 */
#ifndef ANEL_TRAIN_DIST_WINDOW_H
#define ANEL_TRAIN_DIST_WINDOW_H

#include "runtime/train/session.h"

typedef struct Window Window;

/* For the settings of `s`, the ranks of s->dist and the entry that is trained. Everything is allocated here. */
Window *window_new(Session *s, uint32_t entry);
void    window_free(Window *w); /* NULL is fine */

uint64_t window_size(const Window *w);  /* micro-batches of all ranks */
uint64_t window_first(const Window *w); /* of them, the first of this rank */

/* Before the first micro-batch. */
void window_begin(Window *w);
/* Will the executor's gradients be summed up after its micro-batch i, rather than after the last? Then exec_update()
 * and window_add() follow each. */
bool window_by_batch(const Window *w);
/* Is there more to gradients than what the executor adds up? */
bool window_collects(const Window *w);
/* The loss of this rank's micro-batch i. */
void window_loss(Window *w, uint64_t i, double loss);
/* With window_by_batch(): take the executor's gradients, which are those of micro-batch i alone; `overflowed` says
 * exec_overflowed() of it. */
void window_add(Window *w, uint64_t i, bool overflowed);
/* Collective. After the last micro-batch, exec_update() and window_add(): the gradients of the executor are the sums over all
 * micro-batches, `loss` is the mean of all losses, `overflowed` tells whether it was `overflowed_here` anywhere. */
void window_end(Window *w, bool overflowed_here, double *loss, bool *overflowed);

/* ExecOptions.grad_ready; `session` is a Session. */
void window_grad_ready(void *session, uint32_t param);
/* What was sent, and how much of the time for it nothing else hid. */
DistReduceStats window_stats(const Window *w);

#endif
