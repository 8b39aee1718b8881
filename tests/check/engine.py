#!/usr/bin/env python3
"""anerun PLAN --check --device ane: three opinions on every program, through the engine's driver on its substitute.

    engine.py ANEC ANERUN FAKE MODEL
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

ANEC, ANERUN, FAKE, MODEL = [os.path.abspath(x) for x in sys.argv[1:5]]
SETS = ["-D", "dim=32", "-D", "layers=2", "-D", "heads=2", "-D", "kv_heads=2", "-D", "hidden=64", "-D", "seq=32"]


class Engine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-check-")
        cls.plan = {}
        for mode in ("baked", "dynamic"):
            cls.plan[mode] = os.path.join(cls.folder.name, mode + ".plan")
            subprocess.run([ANEC, MODEL, *SETS, "--weights", mode, "-o", cls.plan[mode]], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def check(self, *more, mode="baked", device="ane", faults="", fault="", status=0):
        env = {**os.environ, "ANEL_ANE_LIBRARY": FAKE, "ANEL_FAKE": faults, "ANERUN_DEVICE_FAULT": fault,
               "TMPDIR": self.folder.name}
        r = subprocess.run([ANERUN, self.plan[mode], "--check", "--device", device, *more], env=env, cwd=self.folder.name,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(r.returncode, status, r.stdout[-2000:] + r.stderr)
        return r.stdout, r.stderr

    def test_agreement(self):
        for mode in self.plan:
            said, _ = self.check(mode=mode)
            self.assertRegex(said.splitlines()[0], r"worst +host +distance +cosine +ulps +verdict$")
            rows = [x.split() for x in said.splitlines() if " real " in x or " random " in x]
            self.assertGreater(len(rows), 20)
            for row in rows:  # the substitute computes with the host device
                self.assertEqual((row[-6], row[-4], row[-1]), (row[-5], "0.00e+00", "ok"), row)
            self.assertRegex(said.splitlines()[-1], r"^all \d+ programs agree$")
            quiet, _ = self.check("--quiet", mode=mode)
            self.assertEqual(len(quiet.splitlines()), 2)

    def test_symbols_in_another_order_are_found_by_their_names(self):
        said, _ = self.check("--quiet", faults="swap-symbols")
        self.assertIn("programs agree", said)

    def test_stale_weights_are_named(self):
        said, err = self.check("--quiet", fault="stale-compile", status=1)
        self.assertRegex(err, r"do not agree: (\w+ \(L = \d\)(, )?)+\n$")
        self.assertIn("layers_fwd (L = 1)", err)
        self.assertNotIn("layers_fwd (L = 0)", err, "the first instance has its own weights")
        self.assertNotIn("programs agree", said)
        self.assertIn("BEYOND", said)
        self.assertNotIn(" ok\n", said)

    def test_reports_for_programs(self):
        report = json.loads(self.check("--json")[0])
        self.assertEqual((report["anel_check"], report["device"], report["agree"], report["beyond"]), (1, "ane", True, 0))
        self.assertEqual(report["programs_beyond"], "")
        self.assertEqual(len(report["rows"]), report["outputs"])
        for row in report["rows"]:
            self.assertEqual((row["verdict"], row["host"]["distance"], row["host"]["ulps"]), ("ok", 0, 0))
            self.assertLess(row["reference"]["worst"], 1)
            self.assertEqual(row["reference"]["worst"], row["host"]["worst"])
        out, err = self.check("--json", fault="stale-compile", status=1)
        report = json.loads(out)
        self.assertFalse(report["agree"])
        self.assertIn("layers_fwd (L = 1)", report["programs_beyond"])
        self.assertIn(report["programs_beyond"], err)
        self.assertEqual(report["beyond"], sum(row["verdict"] == "BEYOND" for row in report["rows"]))
        self.assertEqual(out, self.check("--json", fault="stale-compile", status=1)[0])  # no time, no chance

    def test_the_host_device_needs_no_second_opinion(self):
        report = json.loads(self.check("--json", device="host")[0])
        self.assertTrue(report["agree"])
        self.assertTrue(all(row["host"] is None for row in report["rows"]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
