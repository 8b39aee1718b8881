#!/usr/bin/env python3
"""runs.py ANEC ANERUN FAKE MODEL: refusals of the engine's compiler, from `anerun PLAN ...` and `anerun mil` to the report.

The driver meets a substitute for the system's libraries that refuses texts with certain operations."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ANEC, ANERUN, FAKE, MODEL = [os.path.abspath(x) for x in sys.argv[1:5]]
SETS = ["-D", "dim=32", "-D", "layers=2", "-D", "heads=2", "-D", "kv_heads=2", "-D", "hidden=64", "-D", "seq=32"]

PROGRAM = """program(1.3)
[buildInfo = dict<string, string>({{"coremlc-version", "3505.4.1"}})]
{
    func main<ios18>(tensor<fp16, [1, 64, 1, 512]> i00_x) {
        tensor<fp16, [1, 64, 1, 512]> a = relu(x = i00_x)[name = string("a")];
        tensor<fp16, [1, 64, 1, 512]> b = sigmoid(x = a)[name = string("b")];
        tensor<fp16, [1, 64, 1, 512]> c = tanh(x = a)[name = string("c")];
        tensor<fp16, [1, 64, 1, 512]> o00_d = mul(x = b, y = c)[name = string("o00_d")];
    } -> (o00_d);
}
"""


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-refusals-")
        cls.plan = os.path.join(cls.folder.name, "tiny.plan")
        subprocess.run([ANEC, MODEL, *SETS, "-o", cls.plan], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        self.dir = tempfile.mkdtemp(dir=self.folder.name)
        self.home = os.path.join(self.dir, "ann")
        os.mkdir(self.home)

    def run_it(self, faults, *args, status=1):
        tmp = os.path.join(self.home, "tmp")
        os.makedirs(tmp, exist_ok=True)
        env = {**os.environ, "ANEL_ANE_LIBRARY": FAKE, "ANEL_FAKE": faults, "TMPDIR": tmp, "HOME": self.home}
        r = subprocess.run([ANERUN, *args], env=env, cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(r.returncode, status, r.stdout)
        self.assertEqual(os.listdir(tmp), [], "directories are left behind")
        return r.stdout

    def report(self, name):
        dir = os.path.join(self.dir, name)
        text = {}
        for f in os.listdir(dir):
            if os.path.isdir(os.path.join(dir, f)):
                continue
            with open(os.path.join(dir, f)) as opened:
                text[f] = opened.read()
            self.assertNotIn(self.dir, text[f], f + " names the user's directories")
        text["json"] = json.loads(text["report.json"])
        return text

    def refused(self, text, faults):
        """What is saved has to be refused when it is run as it stands, and accepted.mil must not be."""
        path = os.path.join(self.dir, "again.mil")
        with open(path, "w") as f:
            f.write(text)
        r = subprocess.run([ANERUN, "mil", path, "--device", "ane", "--out", "out"], cwd=self.home, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, env={**os.environ, "ANEL_ANE_LIBRARY": FAKE, "ANEL_FAKE": faults})
        self.assertEqual(r.returncode, 1)
        return "ANECCompile() FAILED" in r.stdout

    def mil(self, faults, text=PROGRAM):
        with open(os.path.join(self.dir, "p.mil"), "w") as f:
            f.write(text)
        return self.run_it(faults, "mil", "p.mil", "--device", "ane", "--out", "out")

    def test_a_program_by_itself(self):
        said = self.mil("refuse-op=tanh")
        self.assertIn("p.mil:7: the engine refuses this statement: c = tanh(x = a)", said)
        self.assertIn("it is refused alone, out of 4 statements", said)
        self.assertIn("'refused-p'", said)
        r = self.report("refused-p")
        self.assertEqual(r["program.mil"], PROGRAM)
        self.assertTrue(self.refused(r["smallest.mil"], "refuse-op=tanh"))
        self.assertTrue(self.refused(r["prefix.mil"], "refuse-op=tanh"))
        self.assertFalse(self.refused(r["accepted.mil"], "refuse-op=tanh"))
        self.assertEqual((r["json"]["statement"]["op"], r["json"]["search"]["steps"], r["json"]["search"]["smallest"]), ("tanh", 4, 1))
        self.assertEqual(r["json"]["device"], "ane")
        self.assertIsNone(r["json"]["plan"])
        self.assertIn("ANECCompile() FAILED", r["json"]["engine"]["text"])
        self.assertGreater(r["json"]["engine"]["code"], 0)

    def test_the_first_and_the_last_statement(self):
        for op, steps in (("relu", 1), ("mul", 4)):
            self.mil("refuse-op=" + op)
        first, last = self.report("refused-p"), self.report("refused-p-2")
        self.assertEqual((first["json"]["search"]["refused_prefix"], first["json"]["search"]["accepted_prefix"]), (1, 0))
        self.assertNotIn("accepted.mil", first)
        self.assertEqual((last["json"]["search"]["refused_prefix"], last["json"]["search"]["accepted_prefix"]), (4, 3))
        self.assertEqual(last["json"]["search"]["smallest"], 1)

    def test_two_statements_together(self):
        said = self.mil("refuse-pair=sigmoid+tanh")
        self.assertIn("it is refused together with 1 of the other 3 statements", said)
        self.assertTrue(self.refused(self.report("refused-p")["smallest.mil"], "refuse-pair=sigmoid+tanh"))

    def test_refusals_that_are_not_monotone(self):
        text = PROGRAM.replace("= relu(x = i00_x)", "= tanh(x = i00_x)").replace("c = tanh", "c = relu")
        said = self.mil("refuse-op=tanh,refuse-not=sigmoid,refuse-pair=relu+mul", text)
        self.assertIn("refusals are not monotone", said)
        r = self.report("refused-p")
        search = r["json"]["search"]
        self.assertEqual((search["refused_prefix"], search["accepted_prefix"], search["later_prefix"]), (1, 0, 4))
        self.assertTrue(self.refused(r["later.mil"], "refuse-pair=relu+mul"))

    def test_a_program_of_one_statement(self):
        said = self.mil("refuse-op=relu", PROGRAM.replace("sigmoid", "const").split("        tensor<fp16, [1, 64, 1, 512]> b")[0]
                        + "    } -> (a);\n}\n")
        self.assertIn("it is the only one", said)
        self.assertEqual(self.report("refused-p")["json"]["search"]["steps"], 1)

    def test_training(self):
        """Beside the run, with the place in the model and the plan's hash; then a new directory, not the old one."""
        os.mkdir(os.path.join(self.dir, "runs"))
        args = [self.plan, "--train", "--set", "data=noise", "--steps", "2", "--out", "runs/a", "--device", "ane", "--quiet"]
        said = self.run_it("refuse-op=softmax", *args)
        self.assertRegex(said, r"it stems from tiny.anel:\d+:\d+ \(std/nn.anel:\d+:\d+\)")
        self.assertIn("'runs/refused-layers_fwd'", said)
        r = self.report("runs/refused-layers_fwd")
        self.assertEqual(r["json"]["statement"]["op"], "softmax")
        self.assertEqual(r["json"]["search"]["smallest"], 1)
        self.assertRegex(r["json"]["plan"], "^[0-9a-f]{32}$")
        self.assertLessEqual(r["json"]["search"]["compilations"], 24)
        self.assertTrue(self.refused(r["smallest.mil"], "refuse-op=softmax"))
        self.run_it("refuse-op=softmax", *args, "--overwrite")
        self.assertTrue(os.path.isdir(os.path.join(self.dir, "runs/refused-layers_fwd-2")))

    def test_what_the_host_device_takes_is_trained(self):
        said = self.run_it("refuse-op=nothing", self.plan, "--train", "--set", "data=noise", "--steps", "1", "--device", "ane",
                           "--no-save", "--quiet", status=0)
        self.assertNotIn("refuse", said)

    def test_checking_and_benchmarks(self):
        for action in ("--check", "--bench"):
            said = self.run_it("refuse-op=conv", self.plan, action, "--device", "ane")
            self.assertIn("the engine refuses this statement", said)
            self.assertIn("= conv(", said)
        r = self.report("refused-layers_fwd")
        self.assertEqual(r["json"]["search"]["smallest"], 1)
        weights = r["json"]["weights"]
        self.assertEqual(len(weights), 1)
        self.assertTrue(weights[0]["saved"])
        self.assertEqual(os.path.getsize(os.path.join(self.dir, "refused-layers_fwd", weights[0]["path"][12:])), weights[0]["bytes"])

    def test_refusals_in_passing(self):
        """The driver itself tries again; what then still fails once and is taken later is no refusal."""
        said = self.run_it("compile-fails=5", self.plan, "--check", "--device", "ane")
        self.assertIn("the refusal was a passing one", said)
        self.assertEqual([x for x in os.listdir(self.dir) if x.startswith("refused")], [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
