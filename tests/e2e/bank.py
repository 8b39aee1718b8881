#!/usr/bin/env python3
"""Several programs of a plan compiled as one, through the two commands.

    bank.py ANEC ANERUN MODELS FAKE yes|no [TEST...]

What is compiled together changes how often the device compiles, and no bit of what comes out. How many compilations there
are is computed here from the plan's manifest, by code of its own. FAKE is the substitute for the system's libraries that the
engine's driver is tested on. yes: anerun was built with MPI.
"""
import json
import os
import re
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from commands import curve, define, events, numbers, outcome, run
from launch import MPIRUN, launcher

ANEC, ANERUN, MODELS, FAKE = (str(Path(p).resolve()) for p in sys.argv[1:5])
MPI = sys.argv[5] == "yes"
SHRUNK = ["dim=32", "hidden=64", "layers=2", "kv_heads=2", "heads=2", "seq=32"]
MODES = ("baked", "reload", "dynamic", "mixed")
FUNCTIONS = (1, 3, 256)
STEPS = 3
INSTANCES = 6  # of the shrunk model: two layers forward and backward, the head forward and backward
CANARY = 2  # versions that are made at the start; then one for every update


def banks(n, functions):
    return -(-n // functions)


class Bank(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-bank-")
        cls.dir = Path(cls.folder.name)
        cls.text = cls.dir / "text.txt"
        cls.text.write_text("".join(f"{i * i % 97} bottles of beer, " for i in range(300)))
        cls.plan = {}
        os.environ["ANEL_STATE_DIR"] = str(cls.dir / "state")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def profile(cls, *facts):
        name = "-".join("".join(c if c.isalnum() else "" for c in fact) for fact in facts) or "plain"
        path = cls.dir / f"{name}.target"
        path.write_text(f"target {name}\ninherits any\n" + "".join(f"{fact} assumed\n" for fact in facts))
        return path

    @classmethod
    def compiled(cls, mode, functions, model="tiny", facts=(), sizes=SHRUNK):
        """A plan for a target that takes so many functions in a program; made once."""
        key = (mode, functions, model, facts)
        if key not in cls.plan:
            facts += (f"functions {functions}",) if functions > 1 else ()
            plan = cls.dir / f"{model}-{mode}-{functions}-{len(cls.plan)}.plan"
            run(ANEC, f"{MODELS}/{model}.anel", "--target", cls.profile(*facts), "-o", plan, "--weights", mode,
                *define(sizes))
            cls.plan[key] = plan
        return cls.plan[key]

    def train(self, plan, *more, status=0, **how):
        return run(ANERUN, plan, "--train", "--data", self.text, "--threads", 2, "--quiet", *more, status=status, **how)

    def trained(self, plan, *more, steps=STEPS):
        """The weights after some steps, and what the log says of the end."""
        with tempfile.TemporaryDirectory(dir=self.dir) as out:
            log = Path(out) / "log"
            self.train(plan, "--steps", steps, "--out", f"{out}/run", "--log", log, *more)
            end = events(log, "end")[0]
            return numbers(Path(out) / f"run/ckpt-{steps}/model.safetensors"), curve(log), end

    def listed(self, plan, *more):
        """What is compiled: for each bank its text and the program and instance of each function."""
        with tempfile.TemporaryDirectory(dir=self.dir) as folder:
            out = Path(folder) / "banks"
            run(ANERUN, plan, "--print-banks", out, *more)
            found = {}
            for line in (out / "banks.txt").read_text().splitlines():
                name, *member = line.split()
                found.setdefault(name, ((out / name).read_text(), []))[1].append(member)
            self.assertEqual(sorted(p.name for p in out.iterdir()), sorted([*found, "banks.txt"]))
            run(ANEC, "lint", "--target", self.profile("functions 256"), *sorted(out.glob("*.mil")))
            return found

    # ---- same bits, fewer compilations ----

    def test_what_is_compiled_together_changes_no_bit(self):
        for mode in MODES:
            want = None
            for functions in FUNCTIONS:
                plan = self.compiled(mode, functions)
                weights, losses, end = self.trained(plan)
                want = want or (weights, losses)
                self.assertEqual((weights, losses), want, (mode, functions))
                once = banks(INSTANCES if mode in ("baked", "reload") else 4, functions)
                self.assertEqual(end["compiles"], once * (1 + STEPS) if mode == "baked" else once, (mode, functions))
                self.assertEqual(end["reloads"], once * STEPS if mode == "reload" else 0, (mode, functions))
                told = json.loads(run(ANEC, "explain", "--json", plan))
                self.assertEqual((told["compilations_at_start"], told["compilations_per_update"], told["reloads_per_update"]),
                                 (once, once * (mode == "baked"), once * (mode == "reload")), (mode, functions))

    def test_the_command_line_wins_over_the_plan(self):
        want = self.trained(self.compiled("baked", 1))
        for plan, functions in ((1, 4), (256, 1)):
            got = self.trained(self.compiled("baked", plan), "--functions", functions)
            self.assertEqual(got[:2], want[:2])
            self.assertEqual(got[2]["compiles"], banks(INSTANCES, functions) * (1 + STEPS))
        self.assertIn("from 1 to 256", self.train(self.compiled("baked", 1), "--functions", 257, status=2))

    def test_what_is_frozen_is_compiled_once(self):
        sizes = [*SHRUNK, "rank=4"] if "config rank" in Path(f"{MODELS}/tiny_lora.anel").read_text() else SHRUNK
        for functions in FUNCTIONS:
            plan = self.compiled("baked", functions, "tiny_lora", sizes=sizes)
            manifest = (plan / "plan.anep").read_text()
            frozen = set(re.findall(r"^param (\S+) {[^}]*?\n  frozen yes", manifest, re.M))
            frozen = {re.sub(r"\{\d+\.\.\d+\}", "{L}", name) for name in frozen}
            trained = set()
            for name, body in re.findall(r"^program (\S+) {\n(.*?)^}", manifest, re.M | re.S):
                recipes = " ".join(re.findall(r"^  weight \S+ \S+ = (.*)$", body, re.M))
                names = set(re.findall(r"[\w.{}]*\w", re.sub(r"table \S+", "", recipes)))
                known = {re.sub(r"\{\d+\.\.\d+\}", "{L}", p) for p in re.findall(r"^param (\S+) {", manifest, re.M)}
                if names & known - frozen:
                    trained.add(name)
            found = self.listed(plan)
            loss = [members for _, members in found.values() if "decode" not in members[0][1]]
            again = 0
            for members in loss:
                self.assertEqual(len({m[1] in trained for m in members}), 1, members)
                again += members[0][1] in trained
            self.assertTrue(again < len(loss), found)
            weights, losses, end = self.trained(plan)
            self.assertEqual(end["compiles"], len(loss) + STEPS * again)
            self.assertEqual((weights, losses), self.trained(plan, "--functions", 1)[:2])

    def test_a_text_can_be_read_and_says_what_the_plan_says(self):
        plan = self.compiled("baked", 256)
        found = self.listed(plan)
        text, members = found["bank000.mil"]
        self.assertEqual([m[1:] for m in members],
                         [["layers_fwd", "0"], ["layers_fwd", "1"], ["loss_fwd"], ["loss_bwd"], ["layers_bwd", "1"],
                          ["layers_bwd", "0"]])
        self.assertEqual(re.findall(r"func (\w+)<ios18>", text), [f"procedure{i:03}" for i in range(INSTANCES)])
        self.assertEqual(text.count("buildInfo"), 1)
        for i, body in enumerate(re.split(r"\n    func ", text)[1:]):
            alone = (plan / f"mil/{members[i][1]}.mil").read_text()
            body = "    func main" + re.sub(r"^procedure\d+", "", body).replace(f"@model_path/p{i:03}/", "@model_path/")
            self.assertIn(body.removesuffix("}\n").rstrip(), alone)
            self.assertIn(f"@model_path/p{i:03}/weights/", text)
        # Functions share the files of tables, whose names are hashes of what is in them.
        self.assertNotRegex(text, r"@model_path/p\d+/const/")
        self.assertEqual(self.listed(plan), found)
        self.assertTrue(all(members[0][0] == "main" for _, members in self.listed(plan, "--functions", 1).values()))
        self.assertIn("exists already", run(ANERUN, plan, "--print-banks", self.dir, status=1))

    def test_banks_keep_to_the_bytes_of_a_program(self):
        plan = self.compiled("baked", 256)
        manifest = (plan / "plan.anep").read_text()
        files = {name: re.findall(r"^  weight (\S+) (\S+) =", body, re.M)
                 for name, body in re.findall(r"^program (\S+) {\n(.*?)^}", manifest, re.M | re.S)}

        def size(shape):
            n = 1
            for extent in shape.split("x"):
                n *= int(extent)
            return 128 + 2 * n

        largest = max(sum(size(s) for _, s in f) for f in files.values())
        plan = self.compiled("baked", 256, facts=(f"max_weights {2 * largest}",))
        loss = [m for _, m in self.listed(plan).values() if not m[0][1].startswith("decode")]
        self.assertTrue(1 < len(loss) < INSTANCES, loss)
        bytes_of = []
        for members in loss:
            shared = {path: size(s) for m in members for path, s in files[m[1]] if path.startswith("const/")}
            bytes_of.append(sum(size(s) for m in members for path, s in files[m[1]] if path not in shared) + sum(shared.values()))
        self.assertTrue(all(n <= 2 * largest for n in bytes_of), (bytes_of, largest))
        self.assertEqual(self.trained(plan)[:2], self.trained(self.compiled("baked", 1))[:2])
        self.assertEqual(self.trained(plan)[2]["compiles"], len(loss) * (1 + STEPS))

    # ---- everything else that compiles ----

    def test_runs_go_on_with_another_number(self):
        want, _, _ = self.trained(self.compiled("reload", 1), steps=4)
        for first, then in ((1, 256), (256, 1), (3, 2)):
            out = self.dir / f"resumed-{first}-{then}"
            plan = self.compiled("reload", 1)
            self.train(plan, "--steps", 4, "--stop-at", 2, "--out", out, "--functions", first)
            self.train(plan, "--steps", 4, "--resume", out, "--functions", then)
            self.assertEqual(numbers(out / "ckpt-4/model.safetensors"), want, (first, then))

    def test_a_budget_lasts_longer(self):
        """One bank and the canary for every update; a process begins with one more version of the canary, and where there is room
        it proves something else."""
        plan = self.compiled("baked", 256)
        want, losses, _ = self.trained(plan, steps=5)
        for budget, restarts in ((1 + CANARY, 4), (1 + CANARY + 3, 2)):
            out, log = self.dir / f"budget-{budget}", self.dir / f"budget-{budget}.log"
            self.train(plan, "--steps", 5, "--out", out, "--log", log, "--compile-budget", budget)
            self.assertEqual(numbers(out / "ckpt-5/model.safetensors"), want)
            self.assertEqual(curve(log), losses)
            self.assertEqual(len(events(log, "restart")), restarts)
        said = self.train(plan, "--steps", 2, "--no-save", "--compile-budget", CANARY, status=1)
        self.assertIn("one update of this plan needs 3", said)

    def test_the_budget_of_the_target_counts_banks(self):
        tight = ("compile_budget 4",)
        _, said = outcome(ANEC, "lint", "--target", self.profile(*tight, "functions 1"), self.compiled("baked", 1, facts=tight))
        self.assertIn(f"{INSTANCES} programs are compiled for every update", said)
        _, said = outcome(ANEC, "lint", "--target", self.profile(*tight, "functions 3"), self.compiled("baked", 3, facts=tight))
        self.assertNotIn("ANE005", said)

    def test_the_engine_s_driver_runs_functions(self):
        """One model, all functions of it loaded: the substitute refuses indices that are not a function's own."""
        for mode, functions in (("baked", 3), ("reload", 256), ("dynamic", 256), ("mixed", 3)):
            want, losses, counted = self.trained(self.compiled(mode, functions))
            out, log = self.dir / f"engine-{mode}", self.dir / f"engine-{mode}.log"
            temporary = self.dir / f"engine-{mode}-files"
            temporary.mkdir()
            self.train(self.compiled(mode, functions), "--steps", STEPS, "--out", out, "--log", log, "--device", "ane",
                       env={**os.environ, "ANEL_ANE_LIBRARY": FAKE, "TMPDIR": str(temporary)})
            self.assertEqual(numbers(out / f"ckpt-{STEPS}/model.safetensors"), want, mode)
            self.assertEqual(curve(log), losses)
            end = events(log, "end")[0]
            self.assertEqual([end[k] for k in ("compiles", "reloads")], [counted[k] for k in ("compiles", "reloads")])
            self.assertEqual(list(temporary.iterdir()), [])

    def test_stale_weights_in_a_bank_are_noticed(self):
        """The whole bank is stale; where it was to be given new weights it is compiled instead."""
        env = {**os.environ, "ANERUN_DEVICE_FAULT": "stale-compile"}
        self.assertIn("computes with stale weights", self.train(self.compiled("baked", 256), "--steps", 2, "--no-save", status=1, env=env))
        want, _, _ = self.trained(self.compiled("reload", 1))
        for fault in ("stale-reload", "stale-large"):
            out, log = self.dir / fault, self.dir / f"{fault}.log"
            env = {**os.environ, "ANERUN_DEVICE_FAULT": fault, "ANEL_STATE_DIR": str(self.dir / f"state-{fault}")}
            self.train(self.compiled("reload", 256), "--steps", STEPS, "--out", out, "--log", log, env=env)
            self.assertEqual(numbers(out / f"ckpt-{STEPS}/model.safetensors"), want, fault)
            end = events(log, "end")[0]
            self.assertEqual((end["compiles"], end["reloads"]), (1 + STEPS, 0), fault)

    def test_text_is_the_same(self):
        for mode in ("baked", "dynamic"):
            said = {functions: run(ANERUN, self.compiled(mode, functions), "--generate", "12 bottles of", "--untrained", "--tokens", 20,
                                   "--temperature", 0, "--quiet")
                    for functions in FUNCTIONS}
            self.assertEqual(len(set(said.values())), 1, said)

    def test_every_function_is_checked(self):
        said = {functions: run(ANERUN, self.compiled("baked", functions), "--check", "--untrained") for functions in FUNCTIONS}
        self.assertIn("layers_bwd (L = 1)", said[1])
        self.assertEqual(said[3], said[1])
        self.assertEqual(said[256], said[1])

    def test_a_trace_names_the_programs(self):
        trace = self.dir / "trace.json"
        self.train(self.compiled("baked", 256), "--steps", 1, "--no-save", "--trace", trace)
        names = {e["name"] for e in json.loads(trace.read_text())["traceEvents"] if "name" in e}
        self.assertTrue({"bank000.mil", "canary"} <= names and any(n.startswith("layers_fwd") for n in names), sorted(names))

    # ---- the manifest ----

    def test_plans_for_other_targets_say_nothing(self):
        manifest = (self.compiled("baked", 1) / "plan.anep").read_text()
        self.assertNotRegex(manifest, r"(?m)^(functions|dies)")
        manifest = (self.compiled("baked", 256, facts=("dies 2",)) / "plan.anep").read_text()
        self.assertIn("\nfunctions 256 bytes 2000000000\ndies 2\n", manifest)

    def test_damaged_values_are_told(self):
        good = self.compiled("baked", 256, facts=("dies 2",))
        for line, message in (("functions 257 bytes 9", "is not between 1 and 256"), ("functions 0 bytes 9", "is not between 1 and 256"),
                              ("functions many bytes 9", "expected an integer"),
                              ("functions 256", "expected 'bytes'"), ("functions 256 bytes", "expected an integer"),
                              ("functions 256 bytes 0", "is not between 1 and"), ("functions 256 bytes 9 9", "9"),
                              ("functions 2 bytes 9\nfunctions 2 bytes 9", "'functions' is given twice"),
                              ("function 256 bytes 9", "did you mean 'functions'"), ("dies 5", "is not between 1 and 4"),
                              ("dies both", "expected an integer"), ("dies 2\ndies 2", "'dies' is given twice")):
            plan = self.dir / "damaged.plan"
            shutil.rmtree(plan, ignore_errors=True)
            shutil.copytree(good, plan)
            text = (plan / "plan.anep").read_text()
            text = re.sub(r"(?m)^functions .*\n", "", text) if line.startswith("function") else re.sub(r"(?m)^dies .*\n", "", text)
            (plan / "plan.anep").write_text(text.replace("\nweights baked\n", f"\n{line}\nweights baked\n"))
            said = self.train(plan, "--steps", 1, "--no-save", status=1)
            self.assertIn("plan.anep:", said)
            self.assertIn(message, said)
        for fact in ("functions 0", "functions 257", "functions yes", "dies 0", "dies 5"):
            said = run(ANEC, f"{MODELS}/tiny.anel", "--target", self.profile(fact), "-o", self.dir / "never", status=1)
            self.assertIn("E1", said)

    # ---- engines of a chip ----

    def test_the_host_device_has_no_engines_to_choose_from(self):
        want = self.trained(self.compiled("baked", 1))
        self.assertEqual(self.trained(self.compiled("baked", 1, facts=("dies 2",)))[:2], want[:2])
        self.assertEqual(self.trained(self.compiled("baked", 1), "--die", 2)[:2], want[:2])
        self.assertIn("from 1 to 4", self.train(self.compiled("baked", 1), "--die", 5, status=2))

    def engines(self, plan, *more, launch=()):
        """Engines that the driver asks for when it compiles, -1: none."""
        with tempfile.TemporaryDirectory(dir=self.dir) as folder:
            record = Path(folder) / "record"
            (Path(folder) / "files").mkdir()
            leaks = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"} if launch else {}
            run(*launch, ANERUN, plan, "--train", "--data", self.text, "--threads", 1, "--quiet", "--steps", 1, "--no-save",
                "--device", "ane", *more,
                env={**os.environ, **leaks, "ANEL_ANE_LIBRARY": FAKE, "TMPDIR": f"{folder}/files", "ANEL_FAKE_RECORD": str(record)})
            return set(re.findall(r"^compile ok die (-?\d+)", record.read_text(), re.M))

    def test_engines_are_shared_out_among_processes(self):
        one, two = self.compiled("dynamic", 1), self.compiled("dynamic", 1, facts=("dies 2",))
        self.assertEqual(self.engines(one), {"-1"})
        self.assertEqual(self.engines(two), {"-1"}, "a process by itself leaves it to the system")
        self.assertEqual(self.engines(one, "--die", 2), {"2"})
        if not (MPI and MPIRUN):
            self.skipTest("no MPI")
        self.assertEqual(self.engines(one, launch=(*launcher(), "-np", 2)), {"-1"})
        self.assertEqual(self.engines(two, launch=(*launcher(), "-np", 2)), {"1", "2"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[6:])
