/* misuse.h: the calls of misuse.c, by hand: symbols of the substitute's, messages, and one program whose life is proper. */
#ifndef ANEL_TEST_ANE_MISUSE_H
#define ANEL_TEST_ANE_MISUSE_H

#include <stdbool.h>
#include <stdint.h>

typedef void       *Id;
typedef const void *Ref;
enum { PAGE = 65536, LEAKED = 97 };

extern void *misuse_library; /* opened */
extern char  misuse_tmp[64]; /* TMPDIR */

typedef void Function(void);
Function *function(const char *name);
void     *variable(const char *name);
/* A function by name: CALL(Ref, "CFRelease", (Ref), (x)). */
#define CALL(result, name, types, arguments) ((result(*) types)function(name)) arguments
#define SEL(name)                            CALL(Id, "sel_registerName", (const char *), (name))
#define CLASS(name)                          CALL(Id, "objc_getClass", (const char *), (name))
/* A message: SEND(Id, receiver, "selector:", (Id), (argument)) with the types and values of the arguments alone. */
#define LIST(...)                                 __VA_ARGS__
#define SEND(result, to, name, types, arguments)  ((result(*)(Id, Id, LIST types))function("objc_msgSend"))(to, SEL(name), LIST arguments)
#define SEND0(result, to, name)                   ((result(*)(Id, Id))function("objc_msgSend"))(to, SEL(name))

extern const char misuse_mil[]; /* relu of [1, 64, 1, 64] */

typedef struct {
    Id  pool, descriptor, model;
    Ref options;
} Model;

typedef struct {
    Id surface[2], object[2], request;
} Bound;

Id push(void);
void pop(Id token);
Id retain(Id o);
void release(Id o);
Ref data(const char *text);
Ref string(const char *text);
Ref number(int64_t n);
Ref array(Ref *value, long n);
Ref dictionary(Ref *key, Ref *value, long n);
void drop(Ref o);
Ref weights_none(void);
Id descriptor(Ref text, Ref weights);
Model described(void);
bool compile(const Model *m, unsigned qos, Ref options);
bool load(const Model *m);
bool unload(const Model *m);
Model loaded(void);
void finish(Model *m);
Ref key(const char *name);
Id surface_of(int64_t width, int64_t height, int64_t elem, int64_t row, int64_t all);
Id surface(void);
void lock(Id s, uint32_t options);
void unlock(Id s, uint32_t options);
volatile unsigned char *address(Id s);
Id request(Ref in, Ref in_index, Ref out, Ref out_index, Id weights, Id stats, Ref procedure);
Bound bind_with(int64_t symbol_in, int64_t procedure, Id stats);
void unbind(Bound *b);
bool evaluate(const Model *m, const Bound *b);

/* misuse_cases.c: one function for each row of misuse.def. */
#define CASE(name, words, status, switches) void misuse_##name(void);
#include "misuse.def"

#endif
