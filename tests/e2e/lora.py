#!/usr/bin/env python3
"""Adapters and parameter groups, through the two commands as a user types them.

    lora.py ANEC ANERUN MODELS

tiny.anel, shrunk, is trained on one text; tiny_lora.anel starts from its weights and is trained on another: the loss falls,
only adapters change and only they have moments, programs with nothing but frozen weights are compiled once, and the merged
weights do in tiny.anel what the adapters did. A small model tells `nodecay`, `lr` and `freeze` apart.
"""
import json
import re
import struct
import sys
import tempfile
import unittest
from pathlib import Path

from commands import define, events, run

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])
SHRUNK = ["dim=64", "hidden=96", "layers=2", "kv_heads=2", "seq=32"]
STEPS = 12

GROUPS = """
use "std/nn.anel";
model Groups {
  block head(x: real[16, 32], a: real[16, 16]) -> real[16, 32] {
    #[nodecay] param b: real[16, 16] = uniform(0.05, 0.1);
    #[lr(0.25)] param c: real[16, 16] = uniform(0.05, 0.1);
    #[lr(0.5), nodecay] param d: real[16, 16] = uniform(0.05, 0.1);
    return a @ x + b @ x + c @ x + d @ x;
  }
  param a: real[16, 16] = uniform(0.05, 0.1);
  entry loss(x: real[16, 32]) -> real[] {
    #[freeze] param e: real[16, 16] = uniform(0.05, 0.1);
    param f: real[16, 16] = uniform(0.05, 0.1);
    y = head(e @ x, a) as h + f @ x;
    return mean_all(y * y);
  }
  train loss {
    data      = noise(seed: 1);
    optimizer = adamw(lr: 0.01, decay: 0.5);
    freeze    = ["?"];
    steps      = 1;
    loss_scale = fixed(64.0);
  }
}
"""


def compile_plan(model, plan, *options):
    run(ANEC, f"{MODELS}/{model}.anel", "-o", plan, *options, *define(SHRUNK))


def tensors(path):
    """Bytes by name of a safetensors file."""
    data = path.read_bytes()
    end = 8 + struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:end])
    header.pop("__metadata__", None)
    return {name: data[end + t["data_offsets"][0]:end + t["data_offsets"][1]] for name, t in header.items()}


def floats(data):
    return struct.unpack(f"<{len(data) // 4}f", data)


class Adapters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-lora-")
        cls.dir = Path(cls.folder.name)
        cls.old, cls.new = cls.dir / "old.txt", cls.dir / "new.txt"
        cls.old.write_text("the quick brown fox jumps over the lazy dog. " * 100)
        cls.new.write_text("she sells sea shells by the sea shore. " * 100)
        compile_plan("tiny", cls.dir / "base")
        cls.anerun("base", "--train", "--data", cls.old, "--steps", 80, "--out", cls.dir / "base.run",
                   "--set", "accum=1")
        cls.weights = cls.dir / "base.run" / "ckpt-80" / "model.safetensors"
        for mode in ("baked", "dynamic", "mixed"):
            compile_plan("tiny_lora", cls.dir / mode, "--weights", mode)
            cls.anerun(mode, "--train", "--data", cls.new, "--weights", cls.weights, "--steps", STEPS,
                       "--log", cls.dir / f"{mode}.log", "--out", cls.dir / f"{mode}.run",
                       "--set", "schedule=constant", "--set", "optimizer.lr=0.01", "--set", "accum=1")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def anerun(cls, plan, *args, status=0):
        return run(ANERUN, cls.dir / plan, *args, "--threads", "1", status=status)

    def test_training_lowers_the_loss(self):
        losses = [e["loss"] for e in events(self.dir / "mixed.log", "step")]
        self.assertEqual(len(losses), STEPS)
        self.assertLess(losses[-1], losses[0] - 0.2)

    def test_the_first_step_starts_where_the_base_model_is(self):
        self.anerun("base", "--train", "--data", self.new, "--weights", self.weights, "--steps", 1, "--no-save",
                    "--set", "accum=1",
                    "--log", self.dir / "first.log")
        base, = events(self.dir / "first.log", "step")
        for mode in ("baked", "dynamic", "mixed"):
            first = events(self.dir / f"{mode}.log", "step")[0]
            self.assertAlmostEqual(first["loss"], base["loss"], delta=2e-4)

    def test_all_ways_of_handling_weights_train_alike(self):
        baked, dynamic, mixed = ([e["loss"] for e in events(self.dir / f"{mode}.log", "step")]
                                 for mode in ("baked", "dynamic", "mixed"))
        for other in (dynamic, mixed):
            for x, y in zip(baked, other):
                self.assertAlmostEqual(x, y, delta=2e-3)

    def test_what_is_frozen_is_compiled_once(self):
        """Programs of the two layers, forward and backward, and the two of the head, which hold nothing trained."""
        def counted(mode):
            end, = events(self.dir / f"{mode}.log", "end")
            return end["compiles"], end["reloads"], end["staged_bytes"]
        manifest = (self.dir / "mixed" / "plan.anep").read_text()
        adapters = sum(2 * int(m[1]) * int(m[2]) for m in re.finditer(r"^  weight \d+ (\d+)x(\d+) = .*lora", manifest, re.M))
        self.assertGreater(adapters, 0)
        self.assertEqual(counted("baked"), (4 * (STEPS + 1) + 2, 0, 0))
        self.assertEqual(counted("mixed"), (4 + 2, 0, 2 * adapters * (STEPS + 1)))
        compiles, _, staged = counted("dynamic")
        self.assertEqual(compiles, 4)
        self.assertGreater(staged, 4 * adapters * (STEPS + 1))

    def test_only_adapters_change_and_have_moments(self):
        before, after = tensors(self.weights), tensors(self.dir / "mixed.run" / f"ckpt-{STEPS}" / "model.safetensors")
        self.assertEqual({n: after[n] for n in before}, before)
        adapters = set(after) - set(before)
        self.assertEqual(len(adapters), 2 * 2 * 7)
        for name in adapters:
            self.assertTrue(any(floats(after[name])), name)
        moments = tensors(self.dir / "mixed.run" / f"ckpt-{STEPS}" / "optimizer.safetensors")
        self.assertEqual(set(moments), {f"{k}.{n}" for k in "mv" for n in adapters})

    def test_resuming_changes_nothing(self):
        options = ("--train", "--data", self.new, "--out", self.dir / "again.run")
        self.anerun("mixed", *options, "--weights", self.weights, "--stop-at", 5, "--steps", STEPS,
                    "--set", "schedule=constant", "--set", "optimizer.lr=0.01", "--set", "accum=1")
        self.anerun("mixed", *options, "--resume")
        name = f"ckpt-{STEPS}/model.safetensors"
        self.assertEqual(tensors(self.dir / "again.run" / name), tensors(self.dir / "mixed.run" / name))

    def test_merged_weights_do_what_adapters_did(self):
        merged = self.dir / "merged.safetensors"
        said = self.anerun("mixed", "--merge", merged, "--out", self.dir / "mixed.run")
        self.assertIn("20 tensors, adapters merged into 14", said)
        self.assertEqual(set(tensors(merged)), set(tensors(self.weights)))
        evaluate = ("--eval", self.new, "--set", "eval_windows=16")
        adapted = self.anerun("mixed", *evaluate, "--out", self.dir / "mixed.run")
        base = self.anerun("base", *evaluate, "--weights", merged)
        loss = [float(re.match(r"loss ([\d.]+)", text)[1]) for text in (adapted, base)]
        self.assertAlmostEqual(*loss, delta=5e-4)
        untouched = float(re.match(r"loss ([\d.]+)", self.anerun("base", *evaluate, "--weights", self.weights))[1])
        self.assertGreater(untouched, loss[0] + 0.2)
        generate = ("--generate", "she ", "--tokens", 12, "--temperature", 0)
        self.assertEqual(self.anerun("mixed", *generate, "--out", self.dir / "mixed.run"),
                         self.anerun("base", *generate, "--weights", merged))

    def test_mistakes_are_told(self):
        for args, text in (
                (("base", "--merge", self.dir / "x.safetensors", "--weights", self.weights), "has nothing to merge"),
                (("mixed", "--merge", self.dir / "no" / "x.safetensors", "--weights", self.weights), "no/x.safetensors"),
                (("mixed", "--eval", self.new, "--weights", self.dir / "half.safetensors"),
                 "has no tensor 'layers.1.g1' for parameter 'layers.1.g1'")):
            if "half" in str(args[-1]):
                data = self.weights.read_bytes().replace(b"layers.1.g1", b"layers.9.g1")
                args[-1].write_bytes(data)
            self.assertIn(text, self.anerun(*args, status=1))
        self.assertIn("--merge does not go with --train", self.anerun("mixed", "--merge", "x", "--train", status=2))

    def test_without_rank_it_is_the_base_model(self):
        compile_plan("tiny_lora", self.dir / "rank0", "-D", "lora_rank=0")
        texts = [{p.name: p.read_text() for p in (self.dir / plan / "mil").iterdir()} for plan in ("rank0", "base")]
        self.assertEqual([len(t) for t in texts], [8, 8])
        for name in texts[1]:  # names of values apart, which begin with the block's
            plain = [re.sub(r"lora_linear_|adapted_", "", text[name]) for text in texts]
            self.assertEqual(*plain)


class Groups(unittest.TestCase):
    def test_decay_rate_and_freezing_reach_the_update(self):
        """The first step of AdamW is lr (sign(g) + decay w), up to eps: factors and decay can be read off it."""
        with tempfile.TemporaryDirectory(prefix="anel-groups-") as folder:
            folder = Path(folder)
            for name, frozen in (("some", '["none"]'), ("pattern", '["?", "h.c"]')):
                model, plan = folder / f"{name}.anel", folder / name
                text = GROUPS.replace("freeze    = [\"?\"];", f"freeze = {frozen};" if name == "pattern" else "")
                model.write_text(text)
                run(ANEC, model, "-o", plan)
                run(ANERUN, plan, "--train", "--out", folder / f"{name}.start", "--steps", 2, "--stop-at", 1,
                    "--set", "optimizer.lr=0", "--threads", 1)
                run(ANERUN, plan, "--train", "--out", folder / f"{name}.run", "--threads", 1)
                start, end = (tensors(folder / f"{name}.{k}" / "ckpt-1" / "model.safetensors") for k in ("start", "run"))
                factors = {"a": (1, 0.5), "h.b": (1, 0), "h.c": (0.25, 0.5), "h.d": (0.5, 0), "e": (0, 0), "f": (1, 0.5)}
                if name == "pattern":
                    factors.update({"a": (0, 0), "f": (0, 0), "h.c": (0, 0)})
                self.assertEqual(set(start), set(factors))
                for path, (rate, decay) in factors.items():
                    for w, v in zip(floats(start[path]), floats(end[path])):
                        step = (w - v) / 0.01 - rate * decay * w
                        self.assertAlmostEqual(abs(step), rate, delta=2e-3, msg=f"{name}: {path}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
