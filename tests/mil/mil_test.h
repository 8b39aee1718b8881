/* mil_test.h: running MIL text from tests, and comparing with plain loops in double.
 *
 * A case is a program with a reference function. It runs three times: exact (compared at 1e-9), and with fp16 numerics,
 * sums strict and lenient, compared at a number of fp16 steps. Inputs are drawn at random from [lo, hi] and rounded to
 * their port's type, so that every run and the reference see the same numbers. */
#ifndef ANEL_TEST_MIL_H
#define ANEL_TEST_MIL_H

#include "device.h"
#include "plan/blob.h"

/* A whole program around a parameter list, statements and a list of returned names. */
#define PROGRAM(params, body, returns)                                                                                 \
    "program(1.3)\n{\n  func main<ios18>(" params ") {\n" body "\n  } -> (" returns ");\n}\n"
#define H(shape) "tensor<fp16, [" shape "]> "

typedef void RefFn(double *const *in, double *const *out);

typedef struct {
    const char *op, *text;
    RefFn      *ref;
    double      lo, hi;
    double      steps; /* allowed distance in fp16 steps */
    double      abs;   /* and an absolute one, whichever is larger: for sums that cancel */
} OpCase;

enum { PORTS = 8 };

/* Compile and run once. `in` and `out`: one array of doubles for each port; the arrays of `out` are allocated. */
typedef struct {
    bool     ok;
    uint32_t inputs, outputs;
    Port     input[PORTS], output[PORTS]; /* names are gone */
    double  *in[PORTS], *out[PORTS];
    Buf      err;
} MilRun;

/* `fill` gives input `port` its numbers before they are rounded; NULL: zeros. */
typedef void FillFn(void *context, uint32_t port, double *x, size_t n);
void mil_run(MilRun *r, const char *text, Numerics numerics, ReduceMode reduce, const DeviceFile *file, size_t files,
             FillFn *fill, void *context);
void mil_run_free(MilRun *r);

/* Compile only: NULL if accepted, else the messages (free them). */
char *mil_compile_errors(const char *text, size_t len, const DeviceFile *file, size_t files);

void   check_case(const OpCase *c);
void   check_same(const char *text); /* this machine's kernels against the portable ones; see test_same.c */
void   check_same_quirks(const char *text, uint32_t quirks); /* both with these quirks */
double steps16(double got, double want); /* distance in fp16 steps after rounding `want` */
size_t port_elems(const Port *p);

/* The case tables; each row's `op` counts as covered. */
typedef struct {
    const OpCase *item;
    size_t        count;
} OpCases;
extern const OpCases axis_cases, move_cases;
bool elem_covers(const char *op);

#endif
