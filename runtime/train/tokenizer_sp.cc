/* tokenizer_sp.cc: the only file of C++: the SentencePiece library for C; see tokenizer_sp.h.
 *
 * Long texts are encoded in parts, and only the first may get the space that many models put before a text. The library
 * has no switch for that, but a model is a protocol buffer, and of those concatenation means merging: four bytes more are
 * the same model with add_dummy_prefix = false. */
#include "runtime/train/tokenizer_sp.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

struct SpModel {
    sentencepiece::SentencePieceProcessor first, rest;
};

namespace {

/* ModelProto.normalizer_spec (field 3) { add_dummy_prefix (field 3) = false } */
const char no_prefix[] = {0x1a, 0x02, 0x18, 0x00};

const char space_mark[] = "\xe2\x96\x81"; /* U+2581 */

void tell(char *why, const std::string &text)
{
    std::snprintf(why, SP_WHY_MAX, "%s", text.c_str());
}

bool load(sentencepiece::SentencePieceProcessor *p, const std::string &model, char *why)
{
    const auto status = p->LoadFromSerializedProto(model);
    if (!status.ok())
        tell(why, status.ToString());
    return status.ok();
}

} // namespace

extern "C" SpModel *sp_open(const char *data, size_t len, char *why)
{
    SpModel *m = nullptr;
    try {
        std::string model(data, len);
        m = new SpModel;
        if (load(&m->first, model, why) && load(&m->rest, model.append(no_prefix, sizeof no_prefix), why))
            return m;
    } catch (const std::exception &e) {
        tell(why, e.what());
    } catch (...) {
        tell(why, "unknown failure");
    }
    delete m;
    return nullptr;
}

extern "C" void sp_close(SpModel *m)
{
    delete m;
}

extern "C" uint32_t sp_count(const SpModel *m)
{
    return static_cast<uint32_t>(m->first.GetPieceSize());
}

extern "C" int32_t sp_bos(const SpModel *m)
{
    return m->first.bos_id();
}

extern "C" int32_t sp_eos(const SpModel *m)
{
    return m->first.eos_id();
}

extern "C" size_t sp_piece(const SpModel *m, uint32_t id, char *bytes, size_t cap)
{
    try {
        const int i = static_cast<int>(id);
        if (m->first.IsControl(i) || m->first.IsUnused(i))
            return 0;
        std::string text = m->first.IdToPiece(i);
        unsigned    byte;
        if (m->first.IsUnknown(i)) {
            text = " \xe2\x81\x87 "; /* as the library shows it */
        } else if (m->first.IsByte(i) && std::sscanf(text.c_str(), "<0x%2X>", &byte) == 1) {
            text.assign(1, static_cast<char>(byte));
        } else {
            const size_t n = sizeof space_mark - 1;
            for (size_t at = 0; (at = text.find(space_mark, at)) != std::string::npos; at++)
                text.replace(at, n, " ");
        }
        std::memcpy(bytes, text.data(), std::min(cap, text.size()));
        return text.size();
    } catch (...) {
        return 0;
    }
}

extern "C" bool sp_encode(const SpModel *m, bool first, const char *text, size_t len,
                          void (*emit)(void *to, const int32_t *id, size_t count), void *to, char *why)
{
    try {
        std::vector<int> ids;
        const auto       status = (first ? m->first : m->rest).Encode({text, len}, &ids);
        if (!status.ok()) {
            tell(why, status.ToString());
            return false;
        }
        static_assert(sizeof(int) == sizeof(int32_t), "ids are 32 bits wide");
        emit(to, ids.data(), ids.size());
        return true;
    } catch (const std::exception &e) {
        tell(why, e.what());
    } catch (...) {
        tell(why, "unknown failure");
    }
    return false;
}
