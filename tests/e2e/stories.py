#!/usr/bin/env python3
"""stories260K, a model that another program trained, against what that program says of it.

    stories.py ANEC ANERUN ROOT

Needs stories260K.bin, its tokenizer tok512.bin, tinyshakespeare.txt and stories260K.reference.json, in the folder that
ANEL_TEST_DATA names or in ../shared/data beside the project; without them it is skipped. The reference holds what the
original implementation, in fp32, writes and how well it predicts.
"""
import json
import os
import re
import struct
import sys
import tempfile
import unittest
from pathlib import Path

from commands import events, run

ANEC, ANERUN, ROOT = (Path(p).resolve() for p in sys.argv[1:4])
DATA = Path(os.environ.get("ANEL_TEST_DATA", ROOT.parent / "shared" / "data"))
NAMES = ("stories260K.bin", "tok512.bin", "tinyshakespeare.txt", "stories260K.reference.json")
WEIGHTS, TOKENIZER, TEXT, REFERENCE = (DATA / name for name in NAMES)
SKIPPED = 77


def anerun(plan, *args):
    return run(ANERUN, plan, *args, "--threads", "1")


class Stories(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-stories-")
        cls.dir = Path(cls.folder.name)
        cls.reference = json.loads(REFERENCE.read_text())
        cls.plans = {}
        for seq in (128, 256, 512):
            cls.plans[seq] = cls.dir / f"plan-{seq}"
            cls.compile(seq, "-D", f"seq={seq}")
        cls.compile("cpu", "-D", "seq=256", "-O", "no-engine")

    @classmethod
    def compile(cls, name, *args):
        cls.plans[name] = cls.dir / f"plan-{name}"
        run(ANEC, ROOT / "models/stories110m.anel", "-D", f"@{ROOT}/models/stories260k.cfg", *args, "-o", cls.plans[name])

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def losses(self, plan, numerics):
        """Of the reference's windows. Training at a learning rate of 0 logs them with all their digits."""
        want, log = self.reference["loss"], self.dir / f"{plan.name}-{numerics}.log"
        text, windows = self.dir / "text", len(want["window_nll"])
        text.write_bytes(TEXT.read_bytes()[:want["bytes"]])
        anerun(plan, "--train", "--weights", WEIGHTS, "--set", "data=text", "--tokenizer", TOKENIZER, "--data", text,
               "--set", "data.sample=sequential", "--set", "optimizer=sgd", "--set", "optimizer.lr=0", "--set", "schedule=constant",
               "--set", "accum=1", "--set", "clip=0", "--steps", windows, "--no-save", "--numerics", numerics, "--log", log)
        steps = events(log, "step")
        return list(zip([s["loss"] for s in steps], want["window_nll"], strict=True))

    def test_the_loss_is_that_of_the_reference(self):
        # The programs of the engine have weights and tables of rotary positions in fp16, whatever the numerics.
        for plan, numerics, bound in (("cpu", "exact", 1e-6), (256, "exact", 1e-4), (256, "ane", 5e-3)):
            pairs = self.losses(self.plans[plan], numerics)
            print(plan, numerics, "relative errors of the loss:", " ".join(f"{got / want - 1:+.1e}" for got, want in pairs))
            for got, want in pairs:
                self.assertLess(abs(got / want - 1), bound, f"{plan} {numerics}")

    def test_what_it_writes_is_what_the_reference_writes(self):
        texts, new = [], max(len(case["greedy_ids"]) for case in self.reference["greedy"])
        for case in self.reference["greedy"]:
            ids = [str(i) for i in case["prompt_ids"] + case["greedy_ids"]]
            out = anerun(self.plans[512], "--weights", WEIGHTS, "--numerics", "exact", "--temperature", 0, "--tokens",
                         len(case["greedy_ids"]), "--generate", " ".join(map(str, case["prompt_ids"])))
            self.assertEqual(out.split(), ids)
            # A longer prompt, which is read in pieces, leads to the same continuation.
            at = len(case["prompt_ids"]) + 90
            out = anerun(self.plans[512], "--weights", WEIGHTS, "--numerics", "exact", "--temperature", 0, "--tokens",
                         len(ids) - at, "--generate", " ".join(ids[:at]))
            self.assertEqual(out.split(), ids)
            # As text: the story goes on until the model begins another one.
            out = anerun(self.plans[512], "--weights", WEIGHTS, "--numerics", "exact", "--temperature", 0, "--tokens", new,
                         "--tokenizer", TOKENIZER, "--generate", case["prompt"])
            self.assertTrue(out.startswith(case["prompt"]), out)
            self.assertRegex(out, r"^[A-Z][ -~\n]*\Z")
            texts.append(out)
        (self.dir / "prompts").write_text("".join(f"{case['prompt']}\n\n" for case in self.reference["greedy"]))
        out = anerun(self.plans[512], "--weights", WEIGHTS, "--numerics", "exact", "--temperature", 0, "--tokens", new,
                     "--tokenizer", TOKENIZER, "--prompts", self.dir / "prompts")
        self.assertEqual(out, "".join(f"{text}\n\n" for text in texts))

    def test_it_is_exported_as_it_came(self):
        out = self.dir / "stories260K.bin"
        anerun(self.plans[512], "--weights", WEIGHTS, "--export", out)
        given, made = WEIGHTS.read_bytes(), out.read_bytes()
        dim, _, _, heads, _, _, seq = struct.unpack_from("<7i", given)
        tables = 4 * seq * dim // heads  # of cosines and sines, at the end: readers skip them, their last digits are anyone's
        self.assertEqual(len(given), len(made))
        self.assertEqual(given[:-tables], made[:-tables])
        for x, y in zip(struct.unpack(f"<{tables // 4}f", given[-tables:]), struct.unpack(f"<{tables // 4}f", made[-tables:])):
            self.assertAlmostEqual(x, y, delta=1e-6)

    def test_it_learns_other_texts(self):
        text = self.dir / "shakespeare"
        text.write_bytes(TEXT.read_bytes()[:60000])
        common = ("--weights", WEIGHTS, "--set", "data=text", "--tokenizer", TOKENIZER, "--holdout", 0.1)
        before = re.match(r"loss ([\d.]+) nats/token", anerun(self.plans[128], "--eval", text, *common))
        anerun(self.plans[128], "--train", *common, "--data", text, "--steps", 50, "--set", "accum=1",
               "--set", "optimizer.lr=2e-3", "--set", "schedule=constant", "--no-save", "--log", self.dir / "log")
        after = [e["loss"] for e in events(self.dir / "log", "eval")]
        print(f"held-out loss {before[1]} -> {after[-1]:.4f}")
        self.assertLess(after[-1], float(before[1]) - 0.5)


if __name__ == "__main__":
    missing = [path for path in (WEIGHTS, TOKENIZER, TEXT, REFERENCE) if not path.exists()]
    if missing:
        print(f"skipped: there is no '{missing[0]}'; ANEL_TEST_DATA names the folder")
        sys.exit(SKIPPED)
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
