#!/usr/bin/env python3
"""What a run notices of the engine that the host device imitates.

    plans.py ANEC ANERUN ROOT
"""
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ANEC, ANERUN, ROOT = (str(Path(p).resolve()) for p in sys.argv[1:4])


class Plans(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="limits-")
        cls.plan = f"{cls.folder.name}/tiny.plan"
        small = ["dim=64", "hidden=96", "layers=2", "kv_heads=2", "seq=32"]
        subprocess.run([ANEC, f"{ROOT}/models/tiny.anel", "-o", cls.plan, *(w for d in small for w in ("-D", d))],
                       capture_output=True, check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def anerun(self, *options, target=None, facts="", status=0):
        if target is None:
            target = f"{self.folder.name}/low.target"
            Path(target).write_text(f"target low\ninherits any\n{facts}", encoding="utf-8")
        done = subprocess.run([ANERUN, self.plan, "--target", target, *options], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return done.stderr + done.stdout

    def train(self, **more):
        return self.anerun("--train", "--data", f"{ROOT}/docs/training.md", "--steps", "14", "--no-save", "--set",
                           "loss_scale.init=65536", **more)

    def test_products_beyond_the_range_are_skipped_until_the_scale_fits(self):
        self.assertIn("; 0 skipped", self.train(target="none"))
        said = self.train(facts="matmul_out_max 100 assumed\n")
        self.assertGreater(int(re.search(r"; (\d+) skipped", said)[1]), 1)
        losses = [float(x) for x in re.findall(r"loss (\S+)  ", said)]
        self.assertLess(losses[-1], losses[0] - 0.1)  # and then it trains

    def test_products_that_never_fit_end_the_run(self):
        said = self.train(facts="matmul_out_max 24 assumed\n", status=1)
        self.assertRegex(said, r"(?m)^anerun: .")

    def test_check_finds_products_beyond_the_range(self):
        said = self.anerun("--check", facts="matmul_out_max 24 assumed\n", status=1)
        self.assertRegex(said, r"(?m)^layers_bwd \(L = 0\) .* BEYOND$")
        self.assertIn("are within their bounds", self.anerun("--check", "--quiet", facts=""))

    def test_a_plan_is_refused_by_an_engine_that_is_too_small(self):
        said = self.anerun("--check", facts="op softmax no assumed\n", status=1)
        self.assertRegex(said, r"layers_fwd\.mil \(L = 0\):\d+:\d+: error\[ANE024\]: 'softmax' is shown failing on target low")
        self.assertIn("target low refuses this program", said)

    def test_small_surfaces_fail_when_evaluated(self):
        said = self.anerun("--check", facts="surface_min 1000000 assumed\n", status=1)
        self.assertIn("status 0x1d", said)

    def test_unknown_targets_are_told(self):
        self.assertIn("there is no target profile 'm44'", self.anerun("--check", target="m44", status=1))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
