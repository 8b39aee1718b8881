/* rig.h: small programs on the engine's driver, with the substitute for the system behind it, for lifecycle.c.
 *
 * A case runs in a process of its own, so that the substitute is loaded with the case's words, what it does to the process
 * is seen from outside, and what it finds left over at the end counts. */
#ifndef ANEL_TEST_ANE_RIG_H
#define ANEL_TEST_ANE_RIG_H

#include "device.h"

#include <stdbool.h>
#include <stdint.h>

enum { C = 64, S = 64, N = C *S, MOST_FUNCTIONS = 3 };

typedef struct {
    const char *name, *words; /* words: ANEL_FAKE */
    void (*run)(void);
    int         aborts; /* it has to end with SIGABRT */
} Case;

/* Run each in a process; the number of those that failed. `fake` is the library. */
int rig_run(const char *fake, const Case *c, size_t n);
/* The same for one, quietly; its exit status, -1 if a signal ended it or it left something in the temporary directory. */
int rig_run_one(const Case *c);
/* In a case: end it, telling what is wrong. */
_Noreturn void rig_fail(const char *file, int line, const char *what, const char *detail);
#define CHECK(ok, detail) ((ok) ? (void)0 : rig_fail(__FILE__, __LINE__, #ok, detail))

/* What the substitute wrote down so far (ANEL_FAKE_RECORD); lines. */
const char *rig_record(void);
/* How often a line of it begins with `what`. */
unsigned    rig_recorded(const char *what);
const char *rig_tmp(void); /* the case's temporary directory, without a slash at the end */

/* a, b -> a - b, a * b; small whole numbers, exact */
extern const char two_mil[];
/* x -> w x, a convolution with the file weights/w.bin */
extern const char weighted_mil[];
/* three functions: first: x -> -x, second: x -> 2 x, third: x, y -> x + y; every port with a name of its own */
extern const char bank_mil[];

Device  *rig_open(const DeviceOptions *o);
Program *rig_compile(Device *d, const char *mil); /* must work */
/* The weights of `weighted_mil` in version `key`. */
DeviceFile rig_weights(uint64_t key);
/* Must it fail? Then with these words. */
void rig_refuses(Device *d, const char *mil, Refusal why, const char *words);

/* A request with surfaces of its own. */
typedef struct {
    Program *program;
    uint32_t function;
    Surface *surface[8];
    Request *request;
    Buf      err;
} Bound;
bool rig_bind(Bound *b, Device *d, Program *p, uint32_t function); /* false: b->err */
void rig_unbind(Bound *b);
/* Fill the inputs with numbers of `seed`, evaluate; false: b->err. */
bool rig_eval(Bound *b, int seed);
/* Are the outputs those of the program whose text it is? `key`: the weights. */
bool rig_right(const Bound *b, const char *mil, int seed, uint64_t key);
/* All of it once, and free the program; everything must work. */
void rig_once(Device *d, const char *mil);

#endif
