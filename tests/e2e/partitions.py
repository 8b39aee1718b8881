#!/usr/bin/env python3
"""What the partitioner makes of the models: the published six programs under seed6, bytes under the default target, what
runs on the engine, and locks.

    partitions.py ANEC ROOT [TEST...]
"""
import random
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ANEC, ROOT = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
MODELS = ROOT / "models"
LAYER = MODELS / "layer768.anel"


def anec(*args, fails=False):
    done = subprocess.run([ANEC, *map(str, args)], capture_output=True, text=True, check=False)
    if (done.returncode != 0) != fails:
        raise AssertionError(f"anec {args}: {done.returncode}\n{done.stderr}")
    return done


class Program:
    def __init__(self, name, text):
        self.name = name
        ports = re.findall(r"^  (in|out) \S+ 1x(\d+)x1x(\d+)$", text, re.M)
        self.channels = tuple(sum(int(c) for way, c, _ in ports if way == want) for want in ("in", "out"))
        self.bytes = sum(2 * int(c) * int(w) for _, c, w in ports)


def programs(plan):
    text = (Path(plan) / "plan.anep").read_text(encoding="utf-8")
    return [Program(*m) for m in re.findall(r"^program (\S+) \{\n(.*?)^\}", text, re.S | re.M)]


def nodes(model, *args):
    """{graph: [(name, op, operands, backward, device)]} of the placed model."""
    out, graphs, here = anec(model, "--stop-after=place", "--dump=after:place", *args).stdout, {}, []
    for line in out.splitlines():
        if m := re.match(r'graph @"?([^" ]+)', line):
            here = graphs.setdefault(m[1], [])
        elif m := re.match(r"  (?:(%\S+) = )?(\w+) ((?:%\S+ ?)*)", line):
            words = line.split(" : ", 1)[1].split() if " : " in line else []
            here.append((m[1], m[2], m[3].split(), "bwd" in words, next((w for w in words if w in ("ane", "cpu")), None)))
    return graphs


class Partitions(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="partitions-")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def compile(self, model, *args, name="plan"):
        self.told = anec(model, "-o", self.dir / name, *args).stderr
        return programs(self.dir / name)

    def test_seed6_is_the_published_six_programs(self):
        d, h, heads = 768, 2048, 12
        for seq, total in ((256, 23461888), (512, 59506688)):
            p = self.compile(LAYER, "--target", "seed6", "-D", f"seq={seq}")
            hs = heads * seq
            want = {"fwdAttn": (d, 6 * d), "fwdFFN": (d, 2 * d + 3 * h), "ffnBwd": (d + 2 * h, d + 2 * h),
                    "sdpaBwd1": (4 * d, d + 2 * hs), "sdpaBwd2": (2 * hs + 2 * d, 2 * d), "qkvBwd": (3 * d, d)}
            self.assertEqual([x.channels for x in p], list(want.values()))
            self.assertEqual(sum(x.bytes for x in p), total)
            print(f"seed6, seq {seq}: {len(p)} programs, {sum(x.bytes for x in p)} bytes")

    def test_seed6_takes_the_other_models(self):
        for model, least in (("stories110m", 6), ("gpt2", 6), ("tiny", 6), ("qwen3_0_6b", 6)):
            self.assertGreaterEqual(len(self.compile(MODELS / f"{model}.anel", "--target", "seed6")), least, model)

    def test_the_default_target_has_two_programs_a_layer(self):
        for seq, limit in ((256, 15300000), (512, 30500000)):
            p = self.compile(LAYER, "-D", f"seq={seq}")
            total = sum(x.bytes for x in p)
            print(f"any, seq {seq}: {len(p)} programs, {total} bytes; at most {limit}")
            self.assertLessEqual(len(p), 3)
            self.assertLessEqual(total, limit)
        for model in ("stories110m", "gpt2", "qwen3_0_6b", "tiny"):
            p = [x for x in self.compile(MODELS / f"{model}.anel") if x.name.startswith(("layers", "h_"))]
            self.assertEqual(len(p), 2, model)

    def test_in_a_layer_the_cpu_has_weight_gradients_only(self):
        """So norms, residuals, softmax, rotary positions and grouped heads, and all their adjoints, are the engine's."""
        for model, loop in ((LAYER, "loss"), (MODELS / "stories110m.anel", "layers"), (MODELS / "qwen3_0_6b.anel", "layers"),
                            (MODELS / "tiny.anel", "layers")):
            # (but for layers that splice caches: these are of decode)
            graphs = {name: g for name, g in nodes(model).items() if not any(n[1] == "splice" for n in g)}
            layers = [g for name, g in graphs.items() if re.match(loop, name) and any(n[4] == "ane" for n in g)]
            self.assertTrue(layers, model)
            seen = {op: {False: 0, True: 0} for op in ("softmax", "rsqrt", "sum", "add", "mul", "matmul", "broadcast")}
            for g in layers:
                feeds_sinks = {}  # on the CPU: read by other work of the CPU that ends in gradients
                for name, op, operands, _, device in reversed(g):
                    if op == "grad":
                        feeds_sinks.update((u, True) for u in operands)
                    elif device == "cpu" and feeds_sinks.get(name):
                        feeds_sinks.update((u, True) for u in operands)
                for name, op, operands, backward, device in g:
                    if device == "ane":
                        if op in seen:
                            seen[op][backward] += 1
                    elif device == "cpu" and op not in ("grad", "state_set") and model is not LAYER:
                        self.assertTrue(feeds_sinks.get(name), f"{model.name}: {name} = {op} is on the CPU")
                if model is LAYER:  # the graph holds the loss as well: only what belongs to the CPU there
                    pinned = [op for _, op, _, _, device in g if device == "cpu" and op in ("softmax", "rsqrt")]
                    self.assertEqual(pinned, [])
            for op, count in seen.items():
                if op not in ("softmax", "rsqrt", "broadcast"):  # forward values may be saved
                    self.assertGreater(count[True], 0, f"{model.name}: no {op} in the backward programs")
                self.assertGreater(count[False] + count[True], 0, f"{model.name}: no {op} on the engine")

    # ---- locks ----

    def lock(self, plan="plan"):
        return (self.dir / plan / "plan.lock").read_text(encoding="utf-8")

    def same(self, a, b):
        files = [sorted(str(f.relative_to(self.dir / x)) for f in (self.dir / x).rglob("*") if f.is_file()) for x in (a, b)]
        self.assertEqual(*files)
        for f in files[0]:
            self.assertEqual((self.dir / a / f).read_bytes(), (self.dir / b / f).read_bytes(), f)

    def test_a_plan_compiled_with_its_own_lock_is_the_same_plan(self):
        for model in ("tiny", "gpt2", "qwen3_0_6b"):
            self.compile(MODELS / f"{model}.anel", name="a")
            self.compile(MODELS / f"{model}.anel", "--lock", self.dir / "a/plan.lock", name="b")
            self.assertNotIn("lock", self.told)
            self.same("a", "b")

    def test_a_lock_keeps_a_partition_and_says_what_it_costs(self):
        cut = self.compile(LAYER, "-D", "seq=256", name="free")
        lines = self.lock("free").splitlines(keepends=True)
        forward = [i for i, x in enumerate(lines) if " fwd " in x]
        for i in forward[len(forward) // 2:]:
            lines[i] = lines[i].replace(" fwd 1 ", " fwd 2 ")
        text = "".join(lines)
        (self.dir / "l").write_text(text, encoding="utf-8")
        p = self.compile(LAYER, "-D", "seq=256", "--lock", self.dir / "l", name="locked")
        self.assertEqual(len(p), len(cut) + 1, self.told)
        self.assertRegex(self.told, r"note\[W0804\]: the lock of 'loss' costs \d+\.\d us on top of")
        self.assertEqual(self.lock("locked"), text)
        self.compile(LAYER, "-D", "seq=256", "--lock", self.dir / "locked/plan.lock", name="again")
        self.same("locked", "again")

    def test_a_lock_survives_an_edit_elsewhere(self):
        self.compile(LAYER, name="a")
        edited = self.dir / "edited.anel"
        edited.write_text("// a new line\n\n" + LAYER.read_text(encoding="utf-8").replace("return mean_all(e * e)", "return 2.0 * mean_all(e * e)"),
                          encoding="utf-8")
        self.compile(edited, "--lock", self.dir / "a/plan.lock", name="b")
        self.assertNotIn("lock", self.told)
        self.assertEqual(self.lock("a"), self.lock("b"))

    def test_lines_of_what_is_gone_are_told(self):
        self.compile(LAYER, name="a")
        (self.dir / "l").write_text(self.lock("a") + "loss fwd 1 layer.nobody\nother fwd 3 layer.q\n", encoding="utf-8")
        self.compile(LAYER, "--lock", self.dir / "l", name="b")
        self.assertIn("warning[W0803]: 2 lines of the lock apply to no value", self.told)
        self.assertIn("loss fwd layer.nobody", self.told)
        self.same("a", "b")

    def test_a_lock_that_is_no_partition_is_not_kept(self):
        self.compile(LAYER, name="a")
        lines = self.lock("a").splitlines()
        forward = [i for i, x in enumerate(lines) if " fwd " in x]
        for i in forward[len(forward) // 3:2 * len(forward) // 3]:  # the middle later than the end
            lines[i] = lines[i].replace(" fwd 1 ", " fwd 2 ")
        (self.dir / "l").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.compile(LAYER, "--lock", self.dir / "l", name="b")
        self.assertIn("note[W0804]: the lock of 'loss' is not legal any more", self.told)
        self.same("a", "b")

    def test_text_that_is_no_lock_is_refused(self):
        self.compile(LAYER, name="a")
        draw, good = random.Random(1), self.lock("a")
        bad = ["", "anel-lock 2\n", "loss fwd 1 x\n", "anel-lock 1\nloss fwd 0 x\n", "anel-lock 1\nloss up 1 x\n",
               "anel-lock 1\nloss fwd 1\n", "anel-lock 1\nloss fwd 99999999999999999999 x\n", "anel-lock 1\nloss fwd 1 x y\n"]
        for text in bad:
            (self.dir / "l").write_text(text, encoding="utf-8")
            self.assertIn("error[E0806]", anec(LAYER, "-o", self.dir / "b", "--lock", self.dir / "l", fails=True).stderr, text)
        for _ in range(15):  # anything else: an answer, not a crash
            data = bytearray(good.encode())
            for _ in range(draw.randrange(1, 9)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            (self.dir / "l").write_bytes(data)
            done = subprocess.run([ANEC, LAYER, "-o", self.dir / "b", "--lock", self.dir / "l"], capture_output=True, check=False)
            self.assertIn(done.returncode, (0, 1))
        self.assertIn("E0806", anec(LAYER, "-o", self.dir / "b", "--lock", self.dir / "missing", fails=True).stderr)

    # ---- pins ----

    def test_layers_of_a_group_share_a_program(self):
        model = ROOT / "tests/e2e/models/grouped.anel"
        names = [x.name for x in self.compile(model, "-D", "layers=3", "-D", "seq=32")]
        self.assertEqual([x for x in names if "fwd" in x], ["loss_fwd"])
        text = (self.dir / "plan/mil/loss_fwd.mil").read_text(encoding="utf-8")
        for L in range(3):
            self.assertIn(f"L{L}_", text)

    def test_too_many_programs_are_an_error(self):
        model = self.dir / "many.anel"
        cpu = "".join("    #[place(cpu)] x = tanh(x);\n    x = w @ x;\n" for _ in range(4))
        model.write_text("model M {\n  param w: real[64, 64] = normal(0.1);\n  entry loss(x: real[64, 32]) -> real[] {\n" + cpu +
                         "    return sum(x * x);\n  }\n  train loss { data = noise(); }\n}\n", encoding="utf-8")
        self.assertIn("error[E0805]: this takes", anec(model, "-o", self.dir / "p", fails=True).stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
