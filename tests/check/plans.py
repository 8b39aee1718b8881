#!/usr/bin/env python3
"""anerun PLAN --check on plans of all kinds: within bounds, for every weight mode; and what it says.

    plans.py ANEC ANERUN MODELS
"""
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])
SHRUNK = {"tiny": ["dim=64", "hidden=96", "layers=3", "kv_heads=2", "seq=32"],
          "layer768": ["dim=64", "hidden=96", "heads=2", "seq=32"],
          "gpt2": ["dim=64", "layers=2", "heads=2", "seq=32", "vocab=97"],
          "looped": ["dim=64", "heads=2", "seq=32"], "value_residual": ["dim=64", "heads=2", "seq=32"]}


class Plans(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.plan = f"{self.folder.name}/plan"

    def tearDown(self):
        self.folder.cleanup()

    def compile(self, model, *options):
        done = subprocess.run([ANEC, f"{MODELS}/{model}.anel", "-o", self.plan, *options,
                               *(w for d in SHRUNK[model] for w in ("-D", d))], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())

    def check(self, *more, status=0):
        done = subprocess.run([ANERUN, self.plan, "--check", *more], capture_output=True, check=False)
        self.assertEqual(done.returncode, status, done.stderr.decode() + done.stdout.decode())
        return (done.stdout if status == 0 else done.stderr).decode()

    def test_models_are_within_their_bounds(self):
        for model in SHRUNK:
            with self.subTest(model):
                self.compile(model)
                said = self.check("--quiet")
                self.assertRegex(said, r"^\d+ outputs are within their bounds; the worst takes \d+ % of its own\n$")

    def test_every_weight_mode(self):
        for mode in ("dynamic", "reload"):
            with self.subTest(mode):
                self.compile("tiny", "--weights", mode)
                self.assertIn("within their bounds", self.check("--quiet"))

    def test_the_table_has_every_program_on_both_inputs(self):
        self.compile("tiny")
        said = self.check()
        for program in ("layers_fwd (L = 0)", "layers_fwd (L = 2)", "layers_bwd (L = 0)", "layers_bwd (L = 2)"):
            for inputs in ("real", "random"):
                self.assertRegex(said, rf"(?m)^{re.escape(program)} +{inputs} ")
        self.assertNotIn("layers_fwd (L = 1)", said)
        self.assertEqual(said, self.check())  # no time, no chance
        for row in re.findall(r"(?m)^\S+ \(L = .*$", said):
            rms, bound = map(float, row.split()[-3:-1])
            self.assertLessEqual(rms, bound)
            self.assertTrue(rms > bound / 20 or rms == 0)  # 0: computed without rounding; else it would not be a bound that finds anything

    def test_mistakes(self):
        self.compile("tiny")
        self.assertIn("there is nothing to compare", self.check("--numerics", "exact", status=2))
        self.assertIn("there is no file 'none.txt'", self.check("--data", "none.txt", status=1))
        self.assertIn("--check does not go with --train", self.check("--train", status=2))

    def test_bench_is_a_row_of_a_fixed_form(self):
        self.compile("tiny")
        row = subprocess.run([ANERUN, self.plan, "--bench", "--threads", "1"], capture_output=True, check=True).stdout.decode()
        self.assertRegex(row, r"^anel-bench 1 \| anerun \S+ \| host \| ane \| Tiny [0-9a-f]{16} \| 1 threads \| \S+ ms/step "
                              r"\(min \S+, n 10\) \| \S+ tokens/s \| device \S+ ms \| cpu \S+ ms \| bake \S+ ms \| "
                              r"compile \S+ ms \| \S+ MB \| \S+ GFLOP/s\n$")
        import json
        got = json.loads(subprocess.run([ANERUN, self.plan, "--bench", "--json"], capture_output=True, check=True).stdout)
        self.assertEqual((got["anel_bench"], got["warm_up"], got["steps"], got["model"]), (1, 3, 10, "Tiny"))
        self.assertGreaterEqual(got["ms_per_step"], got["ms_per_step_min"])
        self.assertGreater(got["device_gflops"], 0)
        self.assertEqual(sorted(p.name for p in Path(self.folder.name).iterdir()), ["plan"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
