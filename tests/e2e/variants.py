#!/usr/bin/env python3
"""The variants of models/: architectures that need no help of the compiler's; and all models on all targets.

    variants.py ANEC ANERUN MODELS TEXT...

Each is at most 40 lines long, written as anec fmt would write it, and compiles at its full size for every engine of targets/,
as the older models do: within the limits, without a message, into few programs that lint has nothing against. Shrunk, it trains
for 200 steps on the bytes of the TEXT files, and the loss falls. What a model has learnt in so few steps is mostly which letters
are common: from log 256 = 5.55 nats a byte to about 3.3, English letter by letter having about 3 without context. A fall of one
nat says that the gradients point where they should; that they are right to the last digit is what gradcheck.sh says.
"""
import re
import sys
import tempfile
import unittest
from pathlib import Path

from commands import define, events, outcome, run

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])
TEXTS = [Path(p) for p in sys.argv[4:]]
SMALL = ["dim=64", "heads=2", "seq=64"]
VARIANTS = {  # how each is shrunk; the depth stays
    "parallel": SMALL,
    "partial_rope": SMALL,
    "value_residual": SMALL,
    "looped": SMALL,
    "unet": SMALL,
}
OLDER = ("tiny", "layer768", "stories110m", "gpt2", "qwen3_0_6b", "tinyllama_1_1b")
CONVENTIONS = {"seed6"}  # profiles that stand for somebody's way to divide a layer, not for an engine
TARGETS = sorted({f.stem for f in Path(MODELS).parent.glob("targets/*.target")} - CONVENTIONS)
TOLD = {"gpt2": ["ANE019"]}  # warnings that are due: 12 heads of 1024 x 1024 scores, read and written, exceed the chip's memory
PROGRAMS = 6  # the limit for one kind of layer; these models need no more in all
STEPS, ENDS, LINES, FALL = 200, 20, 40, 1.0


class Compiling(unittest.TestCase):
    def compiles_everywhere(self, name, folder):
        for target in TARGETS:
            with self.subTest(model=name, target=target):
                plan = folder / target
                said = outcome(ANEC, f"{MODELS}/{name}.anel", "--target", target, "-o", plan)[1]
                self.assertEqual(re.findall(r"(?:warning|error)\[(\w+)\]", said), TOLD.get(name, []), said)
                self.assertEqual(said == "", name not in TOLD, said)
                run(ANEC, "lint", "--target", target, plan)  # fails on any error
                manifest = (plan / "plan.anep").read_text(encoding="utf-8")
                self.assertRegex(manifest, rf"(?m)^target {target}( |$)")
                programs = [p for p in re.findall(r"^program (\S+) ", manifest, re.M) if not p.startswith("decode")]
                self.assertTrue(any("_bwd" in p for p in programs), programs)
                # a forward and a backward one for each kind of layer, of which there are at most two, and for the head
                self.assertLessEqual(len(programs), PROGRAMS, programs)


class Targets(Compiling):
    def test_the_engines_are_those_documented(self):
        self.assertEqual(TARGETS, ["any", "m1", "m2", "m3", "m4", "m4-max", "m5"])


class Variants(Compiling):
    def short_and_well_written(self, model):
        self.assertLessEqual(len(Path(model).read_text().splitlines()), LINES)
        run(ANEC, "fmt", "--check", model)

    def learns(self, name, model, folder):
        text, log = folder / "text.txt", folder / "log"
        text.write_bytes(b"".join(t.read_bytes() for t in TEXTS))
        run(ANEC, model, *define(VARIANTS[name]), "-o", folder / "plan")
        run(ANERUN, folder / "plan", "--train", "--data", text, "--steps", STEPS, "--no-save", "--log", log, "--threads", 1)
        steps = events(log, "step")
        first, last = (sum(s["loss"] for s in part) / ENDS for part in (steps[:ENDS], steps[-ENDS:]))
        skipped = sum(s["skipped"] for s in steps)
        print(f"{name}: mean loss of the first {ENDS} steps {first:.3f}, of the last {ENDS} {last:.3f}, {skipped} skipped")
        self.assertEqual(len(steps), STEPS)
        self.assertLess(last, first - FALL)
        self.assertLessEqual(skipped, STEPS // 20)  # the loss scale starts high and halves; it must not stay busy with that


def case(name):
    def test(self):
        model = f"{MODELS}/{name}.anel"
        with tempfile.TemporaryDirectory(prefix="anel-variants-") as folder:
            self.short_and_well_written(model)
            self.compiles_everywhere(name, Path(folder))
            self.learns(name, model, Path(folder))
    return test


def older(name):
    def test(self):
        with tempfile.TemporaryDirectory(prefix="anel-older-") as folder:
            self.compiles_everywhere(name, Path(folder))
    return test


for model in OLDER:
    setattr(Targets, f"test_{model}", older(model))
for variant in VARIANTS:
    setattr(Variants, f"test_{variant}", case(variant))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
