/* tokenizer_no_model.c: SentencePiece models in a build without the library: told, not ignored. */
#include "runtime/train/tokenizer_internal.h"

bool tokenizer_read_sp(Tokenizer *t, const char *data, size_t len, Buf *err)
{
    (void)data;
    (void)len;
    buf_printf(err,
               "'%s' is a SentencePiece model, which this build of anerun cannot read: install the library (Debian: "
               "libsentencepiece-dev, Homebrew: sentencepiece) and build anew",
               t->path);
    return false;
}
