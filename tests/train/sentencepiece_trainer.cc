/* sentencepiece_trainer.cc: a SentencePiece model for a test, trained on a few lines by the library itself. */
#include <sentencepiece_trainer.h>

#include <string>
#include <vector>

namespace {

class Lines : public sentencepiece::SentenceIterator {
  public:
    explicit Lines(const char *text)
    {
        std::string line;
        for (; *text; text++)
            if (*text == '\n') {
                lines.push_back(line);
                line.clear();
            } else {
                line += *text;
            }
    }
    bool               done() const override { return at >= lines.size(); }
    void               Next() override { at++; }
    const std::string &value() const override { return lines[at]; }
    sentencepiece::util::Status status() const override { return {}; }

  private:
    std::vector<std::string> lines;
    size_t                   at = 0;
};

} // namespace

extern "C" bool train_model(const char *text, const char *flags, void (*put)(void *to, const void *bytes, size_t n), void *to);

/* Train on the lines of `text` with the trainer's flags; the model's bytes go to `put`. */
extern "C" bool train_model(const char *text, const char *flags, void (*put)(void *to, const void *bytes, size_t n), void *to)
{
    Lines       lines(text);
    std::string model;
    if (!sentencepiece::SentencePieceTrainer::Train(std::string(flags) + " --minloglevel=2", &lines, &model).ok())
        return false;
    put(to, model.data(), model.size());
    return true;
}
