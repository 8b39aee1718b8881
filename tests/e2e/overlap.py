#!/usr/bin/env python3
"""What runs beside what changes no result.

    overlap.py ANEC ANERUN MODELS

With 1, 2 and 4 threads, in every weight mode, with one and with several micro-batches a step, training gives the same
bits: losses, gradient norms, checkpoints. One thread runs every step in the order of the plan. On the way: the classes
of time of a step add up to the step, and traces are JSON whose events lie within the run.
"""
import json
import sys
import tempfile
import unittest
from pathlib import Path

from commands import define, events, run

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])
CASES = {
    "tiny": ["dim=64", "hidden=96", "layers=3", "kv_heads=2", "seq=32"],
    "layer768": ["dim=192", "hidden=256", "heads=3", "seq=64"],
}


class Overlap(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.path = Path(self.dir.name)

    def train(self, plan, threads, *options):
        out, log = self.path / f"run-{threads}", self.path / f"log-{threads}"
        log.unlink(missing_ok=True)
        run(ANERUN, str(plan), "--train", "--set", "data=noise", "--steps", "3", "--threads", str(threads), "--quiet",
            "--out", str(out), "--overwrite", "--log", str(log), *options)
        steps = [[e[k] for k in ("loss", "grad_norm", "loss_scale", "skipped")] for e in events(log, "step")]
        files = [(out / "ckpt-3" / f"{name}.safetensors").read_bytes() for name in ("model", "optimizer")]
        return steps, files

    def compile(self, model, mode, sizes=None):
        plan = self.path / f"{model}-{mode}.plan"
        run(ANEC, f"{MODELS}/{model}.anel", "-o", str(plan), "--weights", mode,
            *define(sizes or CASES[model]))
        return plan

    def test_threads_change_no_bit(self):
        for model in CASES:
            for mode in ("baked", "reload", "dynamic"):
                plan = self.compile(model, mode)
                for options in (["--set", "accum=1"], ["--set", "accum=3", "--set", "clip=0.01"]):
                    one = self.train(plan, 1, *options)
                    for threads in (2, 4):
                        with self.subTest(model=model, mode=mode, options=options, threads=threads):
                            self.assertTrue(one == self.train(plan, threads, *options))

    def test_products_that_threads_share(self):
        plan = self.compile("tiny", "baked", ["layers=2"])
        one = self.train(plan, 1)
        for threads in (2, 4):
            self.assertTrue(one == self.train(plan, threads))

    def test_overflow_updates_nothing_whatever_runs_beside(self):
        plan = self.compile("tiny", "baked")
        options = ["--set", "accum=2", "--set", "loss_scale.init=16777216"]
        one = self.train(plan, 1, *options)
        self.assertTrue(one[0][0][3], "the first step overflows")
        for threads in (2, 4):
            self.assertTrue(one == self.train(plan, threads, *options))

    def test_classes_of_time_add_up(self):
        plan = self.compile("tiny", "baked")
        for threads in (1, 3):
            self.train(plan, threads, "--set", "accum=2")
            for e in events(self.path / f"log-{threads}", "step"):
                ms = dict(e["ms"])
                total = ms.pop("total")
                self.assertLess(abs(sum(ms.values()) - total), 0.02 * total, e)
                self.assertLess(ms["other"], total)

    def test_trace(self):
        plan, trace = self.compile("tiny", "baked"), self.path / "trace.json"
        self.train(plan, 2, "--trace", str(trace))
        whole = json.loads(trace.read_text())
        self.assertEqual(whole["otherData"]["complete"], "yes")
        found = [e for e in whole["traceEvents"] if e["ph"] == "X"]
        tracks = {e["tid"]: e["args"]["name"] for e in whole["traceEvents"] if e["ph"] == "M"}
        for e in found:
            self.assertGreaterEqual(e["ts"], 0)
            self.assertGreaterEqual(e["dur"], 0)
            self.assertIn(e["tid"], tracks)
        self.assertLessEqual({"device", "cpu ops", "moves", "bake", "compile", "optimizer"}, {e["cat"] for e in found})
        programs = [e for e in found if e["cat"] == "device"]
        self.assertEqual({tracks[e["tid"]] for e in programs}, {"device queue"})
        programs.sort(key=lambda e: e["ts"])
        for before, after in zip(programs, programs[1:]): # one at a time
            self.assertLessEqual(before["ts"] + before["dur"], after["ts"] + 1e-3)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
