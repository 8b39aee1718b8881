/* mil_join.h: several programs of one function each, written as one program of several functions, and one taken out again.
 *
 * Text is copied, not printed anew: what the compiler wrote and people reviewed is what is compiled, but for the name of
 * each function and the paths of its weight files. */
#ifndef ANEL_MIL_MIL_JOIN_H
#define ANEL_MIL_MIL_JOIN_H

#include "base/buf.h"

#include <stdbool.h>

/* A text of one function, cut where it has to be changed. */
typedef struct MilPiece MilPiece;

/* Cut `len` bytes of MIL text, which stay where they are. Everything else lives in `a`. NULL with the reader's messages
 * if it is not a program of one function; `name` is used in them. */
MilPiece *mil_piece(Arena *a, const char *name, const char *text, size_t len, Buf *err);

/* Is the weight file of this path ("const/x.blob", without "@model_path/") one that all functions share? */
typedef bool MilShares(const void *with, const char *path);

/* The program's head, once; then each function under a name of its own, its weight files in the directory `prefix` ("p003")
 * below "@model_path/" unless `shares` says otherwise; then the program's end. The head is that of the piece given. */
void mil_join_begin(const MilPiece *first, Buf *out);
void mil_join_add(const MilPiece *p, const char *function, const char *prefix, MilShares *shares, const void *with,
                  Buf *out);
void mil_join_end(const MilPiece *first, Buf *out);

/* A program of nothing but function number `function` of a text. False with a message if it cannot be read or has none. */
bool mil_take_out(const char *name, const char *text, size_t len, uint32_t function, Buf *out, Buf *err);

#endif
