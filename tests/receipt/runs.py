#!/usr/bin/env python3
"""runs.py ANEC ANERUN FAKE MODEL: receipts count what was run, hash what came out, and say how it ended."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ANEC, ANERUN, FAKE, MODEL = [os.path.abspath(x) for x in sys.argv[1:5]]
SETS = ["-D", "dim=32", "-D", "layers=2", "-D", "heads=2", "-D", "kv_heads=2", "-D", "hidden=64", "-D", "seq=32"]
STEPS, ACCUM = 4, 2


class Receipts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-receipt-")
        cls.home = cls.folder.name
        cls.plan = {}
        for mode in ("baked", "reload", "dynamic"):
            cls.plan[mode] = os.path.join(cls.home, mode + ".plan")
            subprocess.run([ANEC, MODEL, *SETS, "--weights", mode, "-o", cls.plan[mode]], check=True, capture_output=True)
        cls.text = os.path.join(cls.home, "text")
        with open(cls.text, "wb") as f:
            f.write(bytes((i * i + i // 7) % 96 + 32 for i in range(20000)))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        self.dir = tempfile.mkdtemp(dir=self.home)

    def path(self, name):
        return os.path.join(self.dir, name)

    def env(self, faults=""):
        os.makedirs(self.path("tmp"), exist_ok=True)
        return {**os.environ, "ANEL_ANE_LIBRARY": FAKE, "ANEL_FAKE": faults, "TMPDIR": self.path("tmp"), "HOME": self.home}

    def run_it(self, *args, mode="baked", name="r.json", faults="", status=0):
        """The receipt of a run, and what it said."""
        r = subprocess.run([ANERUN, self.plan[mode], *args, "--receipt", self.path(name)], env=self.env(faults), cwd=self.dir,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(r.returncode, status, r.stdout)
        return self.read(name), r.stdout

    def read(self, name="r.json"):
        if not os.path.exists(self.path(name)):
            return None
        with open(self.path(name)) as f:
            text = f.read()
        self.assertNotIn(self.home, text, "the receipt names the user's directories")
        return json.loads(text)

    def train(self, *args, run=None, steps=STEPS, **more):
        where = ["--out", self.path(run)] if run else ["--no-save"]
        return self.run_it("--train", "--data", self.text, "--steps", str(steps), "--quiet", *where, *args, **more)[0]

    def evaluations(self, receipt):
        return {p["name"]: p["evaluations"] for p in receipt["programs"] if p["evaluations"]}

    def test_counts_are_what_the_plan_says(self):
        for mode in self.plan:
            r = self.train(mode=mode)
            self.assertEqual((r["anel_receipt"], r["status"], r["action"], r["error"]), (1, "done", "train", None))
            self.assertEqual(r["plan"]["weights"], mode)
            for p in r["programs"]:
                layers = 2 if p["name"].startswith("layers") else 1  # with inputs for weights one instance serves both
                self.assertEqual(p["evaluations"], 0 if p["name"].startswith("decode") else STEPS * ACCUM * layers, p)
                self.assertEqual(p["instances"] == 1, mode == "dynamic" or p["name"].startswith("loss"), p)
            self.assertGreaterEqual(r["counts"]["evaluations"], sum(self.evaluations(r).values()))
            self.assertEqual(r["counts"]["loads"], r["counts"]["compilations"] + r["counts"]["reloads"])
            self.assertEqual(r["counts"]["reloads"] > 0, mode == "reload")
            self.assertEqual(r["fallbacks"], {"programs": 0, "direct_evaluation": 0})
            self.assertEqual((r["results"]["from_step"], r["results"]["step"], r["results"]["losses"]), (0, STEPS, STEPS))
            self.assertEqual(r["settings"]["data.path"], "~/text")
        # baked: instances before every step
        r = self.train()
        instances = sum(p["instances"] for p in r["programs"] if p["evaluations"])
        self.assertGreaterEqual(r["counts"]["compilations"], instances * STEPS)

    def test_devices_restarts_and_continuations_give_the_same_hashes(self):
        want = self.train(run="a")
        got = {"ane": self.train("--device", "ane", run="b"),
               "restarts": self.train("--compile-budget", "15", run="c"),
               "ane, restarts": self.train("--device", "ane", "--compile-budget", "15", run="d")}
        first = self.train("--stop-at", "2", run="e")
        self.assertEqual((first["status"], first["results"]["losses"]), ("stopped", 2))
        self.assertNotEqual(first["results"]["losses_hash"], want["results"]["losses_hash"])
        got["resumed"], _ = self.run_it("--train", "--resume", "--out", self.path("e"), "--quiet")
        for name, r in got.items():
            for key in ("losses_hash", "losses", "step", "parameters_hash"):
                self.assertEqual(r["results"][key], want["results"][key], name)
        for name in ("restarts", "ane, restarts"):
            self.assertGreater(got[name]["counts"]["restarts"], 0)
            self.assertEqual(self.evaluations(got[name]), self.evaluations(want), name)
            # proofs of weights that find no room in a process's budget are left out; programs never are
            instances = sum(p["instances"] for p in got[name]["programs"] if p["evaluations"])
            self.assertGreaterEqual(got[name]["counts"]["compilations"], instances * STEPS)
            self.assertEqual(got[name]["results"]["from_step"], 0)
        self.assertEqual(got["resumed"]["results"]["from_step"], 2)
        other = self.train("--seed", "7")
        self.assertNotEqual(other["results"]["losses_hash"], want["results"]["losses_hash"])
        self.assertNotEqual(other["results"]["parameters_hash"], want["results"]["parameters_hash"])

    def test_only_times_differ(self):
        one, two = self.train(), self.train()
        self.assertIsInstance(one.pop("times")["seconds"], float)
        two.pop("times")
        self.assertEqual(one, two)

    def test_evaluation_check_and_benchmark(self):
        trained = self.train(run="a")
        r, _ = self.run_it("--eval", self.text, "--out", self.path("a"))
        self.assertEqual((r["action"], r["status"], r["results"]["losses"]), ("eval", "done", 1))
        self.assertEqual(r["results"]["parameters_hash"], trained["results"]["parameters_hash"])
        self.assertEqual(set(self.evaluations(r)), {"layers_fwd", "loss_fwd"})
        on_ane, _ = self.run_it("--eval", self.text, "--out", self.path("a"), "--device", "ane")
        self.assertEqual(on_ane["results"], r["results"])
        r, _ = self.run_it("--check", "--quiet", "--device", "ane", "--out", self.path("a"))
        self.assertEqual((r["action"], r["status"]), ("check", "done"))
        self.assertEqual(r["results"], {"parameters_hash": trained["results"]["parameters_hash"]})
        self.assertEqual(len(self.evaluations(r)), len(r["programs"]))
        r, _ = self.run_it("--bench")
        self.assertEqual((r["action"], r["results"]["losses"]), ("bench", 13))

    def test_failures(self):
        r, said = self.run_it("--train", "--data", self.text, "--steps", "3", "--no-save", "--quiet", "--device", "ane",
                              faults="eval-fails=9", status=1)
        self.assertEqual(r["status"], "failed")
        self.assertIn("status=0x1d", r["error"])
        self.assertIn("status=0x1d", said)
        self.assertGreaterEqual(r["counts"]["evaluations"], 9)
        r, _ = self.run_it("--check", "--quiet", "--set", "data=noise", "--device", "ane", faults="eval-fails=9", status=1)
        self.assertEqual(r["status"], "failed")

    def test_direct_evaluation_that_is_refused_is_counted_apart(self):
        r = self.train("--device", "ane", faults="no-direct")
        self.assertEqual(r["fallbacks"]["programs"], 0)
        self.assertGreater(r["fallbacks"]["direct_evaluation"], 0)

    def begin(self, name):
        """A run that would go on for long, some steps in."""
        run = subprocess.Popen([ANERUN, self.plan["baked"], "--train", "--data", self.text, "--steps", "1000000", "--no-save", "--quiet",
                                "--log", self.path(name + ".log"), "--receipt", self.path(name)], env=self.env(), cwd=self.dir,
                               stdout=subprocess.DEVNULL)
        while run.poll() is None:
            if os.path.exists(self.path(name + ".log")):
                with open(self.path(name + ".log")) as f:
                    if f.read().count("\n") > 3:
                        break
            time.sleep(0.02)
        self.assertIsNone(run.poll())
        return run

    def test_signals(self):
        run = self.begin("t.json")
        running = self.read("t.json")
        self.assertEqual((running["status"], running["counts"]["evaluations"]), ("running", 0))
        run.send_signal(signal.SIGTERM)
        run.wait()
        r = self.read("t.json")
        self.assertEqual(r["status"], "terminated")
        self.assertEqual(r["results"]["step"], r["results"]["losses"])
        self.assertEqual(self.evaluations(r)["loss_fwd"], r["results"]["step"] * ACCUM)
        run = self.begin("k.json")
        run.kill()
        run.wait()
        self.assertEqual(self.read("k.json")["status"], "running")

    def test_a_receipt_that_cannot_be_written_is_told_first(self):
        r = subprocess.run([ANERUN, self.plan["baked"], "--train", "--data", self.text, "--steps", "2", "--out", self.path("a"), "--receipt",
                            self.path("no/where.json")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(r.returncode, 1)
        self.assertIn("no/where.json", r.stderr)
        self.assertFalse(os.path.exists(self.path("a")), "nothing was trained")
        r = subprocess.run([ANERUN, self.plan["baked"], "--generate", "x", "--receipt", "y"], stderr=subprocess.PIPE, text=True)
        self.assertEqual(r.returncode, 2)
        self.assertIn("--receipt is for --train, --eval, --check and --bench", r.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
