#!/usr/bin/env python3
"""Data as people have them: text and a tokenizer, token ids in several files, a held-out part.

    data.py ANEC ANERUN MODELS

Ids and bytes are counted by a tokenizer written here, quadratic and plain; what anerun trains on and measures must agree
with it."""
import math
import struct
import sys
import tempfile
import unittest
from pathlib import Path

from commands import define, events, run

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])
SEQ = 16
WORDS = ["th", "the", " the", " qu", "ick", " quick", " fox", "ox", " f", " s", "ea", " sea", " o", "ver", " over", ".\n"]
SENTENCES = ["the quick fox jumps over the sea. ", "she sells shells.\n", "caf\u00e9 over the quick sea\n"]


# ---- a tokenizer: letters, then words that merge from them, better the longer ----

def pieces():
    letters = sorted(set("".join(SENTENCES)))
    return letters + WORDS


def tokenizer_file():
    tokens = [(0.0, b"<unk>"), (0.0, b"<s>"), (0.0, b"</s>")] + [(0.0, b"<0x%02X>" % i) for i in range(256)]
    tokens += [(float(len(p)) - 20, p.encode()) for p in pieces()]
    return struct.pack("<i", max(len(b) for _, b in tokens)) + b"".join(
        struct.pack("<fi", score, len(b)) + b for score, b in tokens)


def encode(text):
    """[(id, bytes of the text)]; the space in front of the text is no byte of it."""
    table = {p: 259 + i for i, p in enumerate(pieces())}
    parts = list(" " + text)
    while True:
        pairs = [(len(a + b), -i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in table]
        if not pairs:
            break
        i = -max(pairs)[1]
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
    sizes = [len(p.encode()) for p in parts]
    sizes[0] -= 1
    return [(1, 0)] + list(zip((table[p] for p in parts), sizes))


class Data(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-data-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.dir = Path(cls.folder.name)
        cls.tokenizer, cls.plan, cls.shards = cls.dir / "tok.bin", cls.dir / "plan", cls.dir / "shards"
        cls.tokenizer.write_bytes(tokenizer_file())
        cls.shards.mkdir()
        cls.texts = ["".join(SENTENCES[(i * i + k) % 7 % 3] for i in range(n)) for k, n in enumerate((60, 40, 50))]
        for k, text in enumerate(cls.texts):
            (cls.shards / f"{k}.txt").write_text(text)
        defines = ["dim=32", "hidden=32", "layers=1", "heads=2", "kv_heads=2", f"seq={SEQ}", "vocab=320"]
        run(ANEC, f"{MODELS}/tiny.anel", "-o", cls.plan, *define(defines))

    def anerun(self, *args, status=0):
        return run(ANERUN, self.plan, *args, "--threads", "1", status=status)

    def train(self, *args, status=0):
        return self.anerun("--train", "--set", "data=text", "--tokenizer", self.tokenizer, "--data", self.shards, *args,
                           status=status)

    def evaluated(self, *args):
        """Loss, bits per byte and tokens."""
        said = self.anerun("--eval", *args)
        loss, bits, tokens = said.split()[1], said.split()[3], said.rsplit("(", 1)[1].split()[0]
        return float(loss), float(bits), int(tokens)

    def log(self, name):
        return events(self.dir / name)

    def test_bits_per_byte_count_the_bytes_of_the_tokens_measured(self):
        run_dir = self.dir / "measured"
        self.train("--steps", "4", "--out", run_dir)
        ids = encode(self.texts[0])
        windows = (len(ids) - 1) // SEQ
        size = sum(n for _, n in ids[1:1 + windows * SEQ])
        loss, bits, tokens = self.evaluated(self.shards / "0.txt", "--out", run_dir, "--set", "data=text", "--tokenizer",
                                            self.tokenizer, "--set", "eval_windows=1000")
        self.assertEqual(tokens, windows * SEQ)
        self.assertAlmostEqual(bits, loss * tokens / math.log(2) / size, delta=1e-3)

    def test_ids_made_elsewhere_train_the_same(self):
        folder = self.dir / "ids"
        folder.mkdir()
        for width, code in (("u16", "H"), ("u32", "I")):
            for k, text in enumerate(self.texts):
                ids = [i for i, _ in encode(text)]
                (folder / f"part-{k}.{width}").write_bytes(struct.pack(f"<{len(ids)}{code}", *ids))
        curves = []
        for sample in ("random", "sequential", "shuffled"):
            of_sample = []
            for kind, data in (("text", self.shards), ("tokens_u16", folder / "*.u16"),
                               ("tokens_u32", ",".join(str(folder / f"part-{k}.u32") for k in range(3)))):
                self.train("--set", f"data={kind}", "--data", data, "--steps", "5", "--set", f"data.sample={sample}",
                           "--no-save", "--log", self.dir / f"{kind}-{sample}.log")
                of_sample.append([e["loss"] for e in self.log(f"{kind}-{sample}.log") if e["event"] == "step"])
            self.assertTrue(of_sample[0] == of_sample[1] == of_sample[2], of_sample)
            curves.append(of_sample[0])
        self.assertEqual(len({tuple(c) for c in curves}), 3)

    def test_a_shuffled_run_that_was_interrupted_ends_with_the_same_bytes(self):
        one, two = self.dir / "one", self.dir / "two"
        shuffled = ["--steps", "30", "--set", "data.sample=shuffled", "--set", "accum=3"]
        said = self.train(*shuffled, "--out", one)
        self.assertIn("tokens in 3 files", said)
        self.train(*shuffled, "--out", two, "--stop-at", "11")
        self.anerun("--train", "--resume", "--out", two)
        self.assertEqual((one / "ckpt-30/model.safetensors").read_bytes(), (two / "ckpt-30/model.safetensors").read_bytes())

    def test_the_best_checkpoint_is_kept_and_found(self):
        run_dir = self.dir / "kept"
        self.train("--steps", "30", "--out", run_dir, "--holdout", "0.2", "--eval-every", "3", "--keep", "1", "--set",
                   "keep_best=true", "--set", "optimizer=sgd", "--set", "optimizer.lr=3", "--set", "schedule=constant",
                   "--set", "schedule.warmup=30", "--set", "clip=0", "--log", self.dir / "kept.log")
        losses = {e["step"]: e["loss"] for e in self.log("kept.log") if e["event"] == "eval" and e["loss"] is not None}
        best = min(losses, key=losses.get)
        self.assertLess(best, 30, losses)
        self.assertEqual(sorted(p.name for p in run_dir.glob("ckpt-*")), sorted({f"ckpt-{best}", "ckpt-30"}))
        measure = [self.shards / "1.txt", "--set", "data=text", "--tokenizer", self.tokenizer, "--out", run_dir]
        self.assertEqual(self.evaluated(*measure, "--ckpt", "best"), self.evaluated(*measure, "--ckpt", run_dir / f"ckpt-{best}"))
        self.assertNotEqual(self.evaluated(*measure, "--ckpt", "best"), self.evaluated(*measure))

    def test_mistakes_are_told(self):
        wide = self.dir / "wide.bin"
        wide.write_bytes(struct.pack("<40H", *[5] * 39, 320))
        for args, parts in (
                (["--tokenizer", self.dir / "none.bin"], ["none.bin", "--tokenizer FILE"]),
                (["--tokenizer", self.shards / "0.txt"], ["0.txt", "is no tokenizer of llama2.c", "--tokenizer takes"]),
                (["--set", "data=bytes"], ["has no use for a tokenizer", "--set data=text"]),
                (["--data", self.shards / "*.bin"], ["no data file matches"]),
                (["--data", self.tokenizer], ["has zero bytes in it and is no text"]),
                (["--set", "data=tokens_u16", "--data", wide], ["token id 320 at byte offset 78", "vocabulary has 320 ids"])):
            said = self.train(*args, "--no-save", status=1)
            self.assertTrue(said.startswith("anerun: "), said)
            for part in parts:
                self.assertIn(part, said)
        self.assertIn("--tokenizer FILE", self.anerun("--train", "--set", "data=text", "--data", self.shards, "--no-save", status=1))
        self.assertIn("has no best checkpoint", self.anerun("--eval", self.shards, "--ckpt", "best", status=1))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
