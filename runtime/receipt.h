/* receipt.h: what a run did, for somebody who was not there: on which system and device, which programs, how often, with
 * what result (docs/receipt.md). */
#ifndef ANEL_RUNTIME_RECEIPT_H
#define ANEL_RUNTIME_RECEIPT_H

#include "device.h"

enum { RECEIPT_PROGRAMS = 1024 }; /* whose evaluations are counted one by one */

/* Counts of all images of a process up to now; plain data, carried on by restarts (train/state_file.h). */
typedef struct {
    DeviceCounts device;
    uint64_t     program[RECEIPT_PROGRAMS]; /* evaluations by the executor, by number in the plan */
    uint64_t     canaries;                  /* evaluations by the executor of programs of its own */
    double       started;                   /* clock_seconds() of the first image's start; 0: there is one only */
} ReceiptTotals;

/* Add what the losses of one more step do to the hash of all: the same for the same bits in the same order. All values
 * that are not a number count as one. The hash of none is 0. */
uint64_t receipt_hash_loss(uint64_t hash, double loss);

#endif
