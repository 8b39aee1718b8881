#!/usr/bin/env python3
"""Training from model file to text, through the two commands as a user types them.

    training.py ANEC ANERUN MODELS

tiny.anel, shrunk, is compiled and trained on a generated text: the loss falls, a run that was interrupted ends with the
same bytes as one that was not, evaluation and generation repeat themselves, and every mistake of the user is told in a
sentence that names it.
"""
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from commands import curve, define, events, numbers, run

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])
SHRUNK = ["dim=64", "hidden=96", "layers=2", "kv_heads=2", "seq=32"]
SENTENCES = ["the quick brown fox jumps over the lazy dog. ", "she sells sea shells by the sea shore. "]


def compile_plan(plan, *defines, options=()):
    run(ANEC, f"{MODELS}/tiny.anel", "-o", str(plan), *options,
        *define(SHRUNK + list(defines)))


def counted(log):
    """What the log says at its end of compiled, reloaded and staged weights."""
    end = events(log)[-1]
    return end["compiles"], end["reloads"], end["staged_bytes"]


class Training(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-training-")
        cls.dir = Path(cls.folder.name)
        cls.plan, cls.text, cls.trained = cls.dir / "plan", cls.dir / "text.txt", cls.dir / "trained"
        cls.text.write_text("".join(SENTENCES[i * i % 7 % 2] for i in range(400)))
        compile_plan(cls.plan)
        cls.train("--steps", "30", "--out", cls.trained, "--log", cls.dir / "log")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def anerun(cls, *args, plan=None, status=0):
        return run(ANERUN, str(plan or cls.plan), *map(str, args), "--threads", "1", status=status)

    @classmethod
    def train(cls, *args, plan=None, status=0):
        return cls.anerun("--train", "--data", cls.text, *args, plan=plan, status=status)

    def told(self, said, *parts):
        """A failure is one sentence that contains the parts, not a crash."""
        self.assertTrue(said.startswith("anerun: "), said)
        for part in parts:
            self.assertIn(part, said)

    def copy_of_plan(self, name):
        copy = self.dir / name
        shutil.rmtree(copy, ignore_errors=True)
        return Path(shutil.copytree(self.plan, copy))

    # ---- what works ----

    def test_the_loss_falls(self):
        trained = curve(self.dir / "log")
        self.assertEqual([s["step"] for s in trained], list(range(1, 31)))
        print(f"loss {trained[0]['loss']:.4f} -> {trained[-1]['loss']:.4f}")
        self.assertAlmostEqual(trained[0]["loss"], 5.545, delta=0.1)  # log 256: nothing is known at first
        self.assertLess(trained[-1]["loss"], 4.3)
        self.assertFalse(any(s["skipped"] for s in trained))

    def test_an_interrupted_run_ends_with_the_same_bytes(self):
        one, two = self.dir / "one", self.dir / "two"
        self.train("--steps", "12", "--out", one, "--log", self.dir / "one.log")
        self.train("--steps", "12", "--stop-at", "5", "--out", two, "--log", self.dir / "two.log")
        self.assertEqual(len(curve(self.dir / "two.log")), 5)
        self.train("--resume", "--out", two, "--log", self.dir / "two.log")
        self.assertEqual(curve(self.dir / "one.log"), curve(self.dir / "two.log"))
        for name in ("model.safetensors", "optimizer.safetensors"):
            self.assertEqual((one / "ckpt-12" / name).read_bytes(), (two / "ckpt-12" / name).read_bytes(), name)

    def test_weights_that_are_constants_inputs_or_replaced_train_alike(self):
        """Layers 2, programs of a layer 2, others 2 (the head's); 5 updates after the initial weights."""
        curves, weights, counts = {}, {}, {}
        for mode in ("baked", "reload", "dynamic"):
            plan, out, log = self.dir / f"plan-{mode}", self.dir / f"out-{mode}", self.dir / f"{mode}.log"
            compile_plan(plan, options=("--weights", mode))
            self.assertIn(f"\nweights {mode}\n", (plan / "plan.anep").read_text())
            self.train("--steps", "5", "--out", out, "--log", log, plan=plan)
            curves[mode], counts[mode] = curve(log), counted(log)
            weights[mode] = numbers(out / "ckpt-5" / "model.safetensors")
        manifest = (self.dir / "plan-baked" / "plan.anep").read_text()
        trained = [text for text in manifest.split("\nprogram ")[1:] if not text.startswith("decode")]
        programs, per_layer = len(trained), sum("\n  instances 0 2\n" in text for text in trained)
        instances = programs + per_layer
        self.assertEqual(per_layer, 2)
        self.assertEqual(counts["baked"], (instances * (1 + 5), 0, 0))
        self.assertEqual(counts["reload"], (instances, instances * 5, 0))
        staged = sum(int(a) * int(b) * n for a, b, n in self.staged(self.dir / "plan-dynamic"))
        self.assertEqual(counts["dynamic"], (programs, 0, 2 * staged * (1 + 5)))
        self.assertEqual(curves["baked"], curves["reload"])
        self.assertEqual(weights["baked"], weights["reload"])
        # The same fp16 numbers are multiplied and added up in fp32; only the order of the additions may differ, because a
        # transposed matrix is one that was stored so or one that is read so. With u = 2^-10, the distance of two fp16
        # numbers relative to them:
        # - An fp32 sum of 96 terms is known to 96 * 2^-24 of its terms' magnitudes, less than u / 100: after rounding to
        #   fp16 it is the same number or its neighbour, so a product is off by u at most.
        # - 13 products follow each other on the way to the logits (6 in each of 2 layers, and the head's), 26 on the way to
        #   a gradient. Norms and residual sums between them pass relative errors on, hardly amplified at initial weights.
        # - A logit is the product of a row of the embedding (64 numbers of deviation 0.02: length 0.16) and a normalised
        #   column (length 8), so the logits move by 1.28 * 13 u, and cross-entropy by twice as much at most: its gradient
        #   in the logits adds up to 2. That is 0.033 for equal parameters.
        # - AdamW moves a weight by lr times a ratio of gradients, which is off by 26 u: relative to weights of 0.02 this is
        #   26 u lr / 0.02 for every update before, in each of the 13 products.
        u, moved = 2.0 ** -10, 0.0
        for one, two in zip(curves["baked"], curves["dynamic"]):
            bound = 2 * 1.28 * 13 * (u + 26 * u * moved / 0.02)
            print(f"baked and dynamic: loss off by {abs(one['loss'] - two['loss']):.2g}, bound {bound:.2g}")
            self.assertLessEqual(abs(one["loss"] - two["loss"]), bound)
            self.assertLessEqual(abs(one["grad_norm"] - two["grad_norm"]), 26 * u * (1 + 13 * moved / 0.02) * one["grad_norm"])
            moved += one["lr"]

    @staticmethod
    def staged(plan):
        """(rows, columns, copies) of every weight that training stages."""
        name, found = None, []
        text = (plan / "plan.anep").read_text()
        trained = text.split("\nentry loss {")[1].split("\n}\n")[0]
        for line in text.splitlines():
            words = line.split()
            if line.startswith("stage "):  # decode has some of its own
                name = words[1] if re.search(rf"<-.* {words[1]}\b", trained) else None
            elif name and words and words[0] == "weight":
                stack = re.search(rf"^surface {name} \S+ stack (\d+)$", text, re.M)
                found.append((*words[2].split("x"), int(stack[1]) if stack else 1))
            elif line == "}":
                name = None
        return found

    def test_runs_with_other_weight_modes_resume(self):
        for mode in ("reload", "dynamic"):
            plan, one, two = self.dir / f"p-{mode}", self.dir / f"one-{mode}", self.dir / f"two-{mode}"
            compile_plan(plan, options=("--weights", mode))
            self.train("--steps", "8", "--out", one, plan=plan)
            self.train("--steps", "8", "--stop-at", "3", "--out", two, plan=plan)
            self.train("--resume", "--out", two, plan=plan)
            for name in ("model.safetensors", "optimizer.safetensors"):
                self.assertEqual((one / "ckpt-8" / name).read_bytes(), (two / "ckpt-8" / name).read_bytes(), (mode, name))
            self.train("--steps", "9", "--resume", two, plan=self.dir / "p-reload")  # any plan of the same parameters goes on

    def test_two_compilations_give_the_same_bytes(self):
        other = self.dir / "other"
        compile_plan(other)
        files = sorted(p.relative_to(self.plan) for p in self.plan.rglob("*") if p.is_file())
        self.assertEqual(files, sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file()))
        for name in files:
            self.assertEqual((self.plan / name).read_bytes(), (other / name).read_bytes(), name)

    def test_the_width_of_sums_makes_no_difference(self):
        losses = [curve(self.dir / "log")[:3]]
        self.train("--steps", "3", "--no-save", "--reduce", "lenient", "--log", self.dir / "lenient.log")
        losses.append(curve(self.dir / "lenient.log"))
        for strict, lenient in zip(*losses):
            self.assertAlmostEqual(strict["loss"], lenient["loss"], delta=1e-3)

    def test_generated_text_follows_from_the_seed(self):
        def generate(seed, *more):
            text = self.anerun("--out", self.trained, "--generate", "the ", "--tokens", 20, "--seed", seed, *more)
            return text.encode(errors="surrogateescape")
        first = generate(3)
        self.assertTrue(first.startswith(b"the "))
        self.assertGreaterEqual(len(first), 4 + 20)
        self.assertEqual(first, generate(3))
        self.assertNotEqual(first, generate(4))
        self.assertEqual(generate(3, "--temperature", 0), generate(4, "--temperature", 0))

    def test_evaluation_reports_the_loss(self):
        said = self.anerun("--out", self.trained, "--eval", self.text)
        self.assertEqual(said, self.anerun("--out", self.trained, "--eval", self.text))
        self.assertRegex(said, r"^loss \d\.\d+ nats/token, \d\.\d+ bits/byte, perplexity [\d.]+ \(\d+ tokens\)\n$")
        self.assertLess(float(said.split()[1]), 4.3)
        untrained = self.anerun("--untrained", "--eval", self.text)
        self.assertAlmostEqual(float(untrained.split()[1]), 5.545, delta=0.1)

    def test_weights_beyond_fp16_are_told(self):
        said = self.train("--steps", "3", "--no-save", "--set", "optimizer.lr=1e6", "--set", "schedule=constant",
                          "--set", "schedule.warmup=0")
        self.assertRegex(said, r"warning: \d+ weights are beyond fp16 after step 1: .* optimizer\.lr")

    # ---- what does not ----

    def test_data_that_is_missing_or_too_short(self):
        out = self.dir / "none"
        self.told(self.anerun("--train", "--data", "nothing.txt", "--out", out, status=1), "nothing.txt", "No such file")
        short = self.dir / "short.txt"
        short.write_text("abc")
        self.told(self.anerun("--train", "--data", short, "--out", out, status=1), "short.txt", "3 tokens")
        self.told(self.anerun("--out", self.trained, "--eval", "nothing.txt", status=1), "nothing.txt")

    def test_plans_that_are_none(self):
        self.told(self.train(plan=self.dir / "nowhere", status=1), "nowhere")
        empty = self.dir / "empty"
        empty.mkdir()
        self.told(self.train(plan=empty, status=1), "empty", "plan.anep")

    def test_flipped_bits_of_the_manifest_are_told_or_change_a_number(self):
        """No flip crashes. One may hit a number or a name that is as good as another."""
        plan = self.copy_of_plan("flipped")
        manifest = plan / "plan.anep"
        data, refused = manifest.read_bytes(), 0
        places = range(7, len(data), len(data) // 40)
        for at in places:
            manifest.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 7]) + data[at + 1:])
            done = subprocess.run([ANERUN, str(plan), "--untrained", "--eval", str(self.text), "--set", "eval_windows=1",
                                   "--threads", "1"], capture_output=True, check=False, timeout=60)
            self.assertIn(done.returncode, (0, 1), f"byte {at}: {done.stderr.decode(errors='replace')}")
            if done.returncode:
                refused += 1
                self.told(done.stderr.decode(errors="replace"))
        print(f"{refused} of {len(places)} flipped bits refused")
        self.assertGreater(refused, len(places) // 2)

    def test_an_input_of_a_program_that_is_given_twice(self):
        mil = sorted((self.plan / "mil").glob("*_fwd.mil"))[0]
        self.told(run(ANERUN, "mil", str(mil), "--out", str(self.dir / "o"), "--in", "x=a.npy", "--in", "x=b.npy",
                      status=2), "--in x is given twice")

    def test_a_program_that_was_edited(self):
        plan = self.copy_of_plan("edited")
        mil = sorted((plan / "mil").glob("*_fwd.mil"))[0]
        mil.write_text(mil.read_text().replace("0x1.5p-17", "0x1.6p-17"))
        self.told(self.train("--no-save", plan=plan, status=1), mil.name, "was changed", "hash")
        mil.unlink()
        self.told(self.train("--no-save", plan=plan, status=1), mil.name)

    def test_a_table_that_was_edited(self):
        plan = self.copy_of_plan("table")
        for blob in (plan / "const").glob("*.blob"):
            blob.write_bytes(blob.read_bytes()[:-1] + b"\x3c")
        self.told(self.train("--no-save", plan=plan, status=1), ".blob")

    def test_a_checkpoint_that_was_edited(self):
        copy = self.dir / "damaged"
        shutil.copytree(self.trained, copy)
        path = copy / "ckpt-30" / "model.safetensors"
        data = bytearray(path.read_bytes())
        header = struct.unpack_from("<Q", data)[0]
        begin = json.loads(data[8:8 + header])["layers.0.attention.wq.weight"]["data_offsets"][0]
        struct.pack_into("<f", data, 8 + header + begin, 1e6)
        path.write_bytes(data)
        for what in (["--eval", self.text], ["--generate", "the "]):
            self.told(self.anerun("--ckpt", copy, *what, status=1), "damaged", "layers.0.attention.wq.weight")

    def test_settings_that_do_not_exist(self):
        self.told(self.train("--set", "optimiser=adam", status=2), "optimiser", "did you mean 'optimizer'")
        self.told(self.train("--set", "optimizer.lr=fast", status=2), "optimizer.lr", "fast")
        self.told(self.train("--set", "optimizer", status=2), "KEY=VALUE")

    def test_a_run_is_not_overwritten_by_accident(self):
        self.told(self.train("--out", self.trained, status=1), "--resume", "--overwrite")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
