#!/usr/bin/env python3
"""What a night of training meets: kills, full disks, damaged checkpoints, compile budgets, stale weights.

    lasting.py ANEC ANERUN MODELS [TEST...]

A small tiny.anel is trained. Whatever happens on the way, the end has the same bytes as an undisturbed run, or there is a
sentence that says what is wrong and what to do, and the last good checkpoint is as it was. ANEL_TEST_KILLS says how often
the process is killed (50; builds with sanitizers, which are many times slower to start, set 10).
"""
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from commands import curve, define, events, numbers, run

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])
KILLS = int(os.environ.get("ANEL_TEST_KILLS", "50"))
SHRUNK = ["dim=64", "hidden=64", "layers=1", "kv_heads=2", "heads=2", "seq=32"]
FILES = ("model.safetensors", "optimizer.safetensors")
WINDOW = 4  # programs an update of the shrunk model compiles: two of a layer, two of the head
TIGHT = WINDOW + 2  # the smallest budget: at the start the canary takes two


def content(checkpoint):
    return {name: (checkpoint / name).read_bytes() for name in FILES}


class Lasting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-lasting-")
        cls.dir = Path(cls.folder.name)
        cls.text = cls.dir / "text.txt"
        cls.text.write_text("".join(f"{i * i % 97} bottles of beer, " for i in range(500)))
        cls.plan = {mode: cls.compile(mode) for mode in ("baked", "reload", "dynamic")}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def compile(cls, mode, *defines, name=None):
        plan = cls.dir / (name or f"{mode}.plan")
        run(ANEC, f"{MODELS}/tiny.anel", "-o", plan, "--weights", mode,
            *define(SHRUNK + list(defines)))
        return plan

    def command(self, *args, mode="baked", plan=None):
        return [ANERUN, str(plan or self.plan[mode]), "--train", "--data", str(self.text), "--threads", "1", "--quiet",
                *map(str, args)]

    def train(self, *args, mode="baked", plan=None, status=0, **more):
        return run(*self.command(*args, mode=mode, plan=plan), status=status, **more)

    def start(self, *args, plan=None):
        """A process that trains meanwhile."""
        p = subprocess.Popen(self.command(*args, plan=plan), stderr=subprocess.PIPE)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        return p

    def wait_until(self, p, condition):
        while not condition():
            self.assertIsNone(p.poll(), "the process has ended")
            time.sleep(0.001)

    def told(self, said, *parts):
        self.assertTrue(said.startswith("anerun: "), said)
        for part in parts:
            self.assertIn(str(part), said)

    def assert_same(self, one, two):
        for name in FILES:
            self.assertEqual((one / name).read_bytes(), (two / name).read_bytes(), f"{one}, {two}: {name}")

    # ---- the compile budget ----

    def test_a_budget_changes_no_bit(self):
        """Restarts at every update, and at every second; log, evaluations and checkpoints are those of one process."""
        for mode in self.plan:
            one, log = self.dir / f"{mode}-unlimited", self.dir / f"{mode}-unlimited.log"
            same = ["--steps", 7, "--holdout", 0.2, "--eval-every", 3, "--save-every", 2, "--keep", 0]
            self.train(*same, "--out", one, "--log", log, "--compile-budget", 0, mode=mode)
            self.assertEqual(events(log, "restart"), [])
            for budget in (TIGHT, TIGHT + WINDOW + 3):
                out, again = self.dir / f"{mode}-{budget}", self.dir / f"{mode}-{budget}.log"
                self.train(*same, "--out", out, "--log", again, "--compile-budget", budget, mode=mode)
                restarts = len(events(again, "restart"))
                self.assertEqual(restarts, 0 if mode != "baked" else 7 if budget == TIGHT else 3, (mode, budget))
                self.assertEqual([e["event"] for e in events(log)],
                                 [e["event"] for e in events(again) if e["event"] != "restart"])
                self.assertEqual(curve(log), curve(again))
                self.assertEqual([e["loss"] for e in events(log, "eval")], [e["loss"] for e in events(again, "eval")])
                for step in (2, 4, 6, 7):
                    self.assert_same(one / f"ckpt-{step}", out / f"ckpt-{step}")
                end, end_again = events(log, "end")[0], events(again, "end")[0]
                self.assertEqual(end["reason"], end_again["reason"])
                # Each new process compiles what the one before had no room for: the same programs, once.
                self.assertEqual([end[k] for k in ("compiles", "reloads", "staged_bytes")],
                                 [end_again[k] for k in ("compiles", "reloads", "staged_bytes")])
                self.assertEqual(sorted(p.name for p in out.iterdir() if p.name.startswith(".")), [".lock"])

    def test_baked_and_reloaded_weights_train_to_the_same_bits(self):
        logs = {mode: self.dir / f"alike-{mode}.log" for mode in self.plan}
        for mode, log in logs.items():
            self.train("--steps", 6, "--no-save", "--log", log, mode=mode)
        self.assertEqual(curve(logs["baked"]), curve(logs["reload"]))

    def test_options_survive_restarts(self):
        """Initial weights, overwriting, a run that is resumed, and a run that saves nothing: each is done once."""
        first, out, log = self.dir / "first", self.dir / "options", self.dir / "options.log"
        self.train("--steps", 2, "--out", first, "--compile-budget", TIGHT)
        for budget in (0, TIGHT):
            self.train("--steps", 5, "--out", out, "--overwrite", "--weights", first / "ckpt-2" / FILES[0], "--log", log,
                       "--compile-budget", budget, "--keep", 0, "--save-every", 1)
            ends = [curve(log), content(out / "ckpt-5")]
            self.assertEqual(sorted(p.name for p in out.glob("ckpt-*")), [f"ckpt-{i}" for i in range(1, 6)])
            if budget == 0:
                expected = ends
        self.assertEqual(ends, expected)
        # Resumed from a checkpoint that is pruned while the run goes on.
        self.train("--resume", out, "--steps", 9, "--log", log, "--compile-budget", TIGHT, "--keep", 1, "--save-every", 1)
        self.assertEqual([s["step"] for s in curve(log)], list(range(1, 10)))
        self.assertEqual([p.name for p in out.glob("ckpt-*")], ["ckpt-9"])
        self.train("--steps", 9, "--out", self.dir / "straight", "--weights", first / "ckpt-2" / FILES[0],
                   "--keep", 1, "--save-every", 1)
        self.assertEqual((out / "ckpt-9" / FILES[0]).read_bytes(), (self.dir / "straight" / "ckpt-9" / FILES[0]).read_bytes())
        self.train("--steps", 5, "--no-save", "--stop-at", 3, "--log", log, "--compile-budget", TIGHT)
        self.assertEqual([s["step"] for s in curve(log)], [1, 2, 3])

    def test_a_signal_is_not_lost_on_the_way(self):
        """SIGTERM at any time, restarts included: the step at hand is saved and the exit status is 0."""
        draw = random.Random(5)
        for i in range(6):
            out = self.dir / f"signal-{i}"
            p = self.start("--steps", 100000, "--out", out, "--compile-budget", TIGHT)
            self.wait_until(p, (out / ".lock").exists)
            time.sleep(0.1 + 0.1 * draw.random())  # handlers are in place after the first bake
            p.send_signal(signal.SIGTERM)
            said = p.communicate(timeout=60)[1].decode()
            self.assertIn(p.returncode, (0, -signal.SIGTERM), said)
            if p.returncode == 0 and (out / "LATEST").exists():
                self.train("--resume", out, "--stop-at", 1)
            elif p.returncode != 0:  # it came before the first step, when there is nothing to save
                self.assertFalse((out / "LATEST").exists())

    def test_the_lock_is_held_across_restarts(self):
        out = self.dir / "locked"
        p = self.start("--steps", 100000, "--out", out, "--compile-budget", TIGHT)
        self.wait_until(p, (out / ".lock").exists)
        time.sleep(0.02)  # the file is there before the lock is
        for _ in range(8):
            self.told(self.train("--steps", 1, "--out", out, status=1), "another process is training into")

    def test_a_budget_that_is_too_small(self):
        self.told(self.train("--steps", 2, "--no-save", "--compile-budget", TIGHT - 1, status=1), TIGHT - 1, TIGHT,
                  "--weights dynamic", "--compile-budget")
        self.train("--steps", 2, "--no-save", "--compile-budget", WINDOW, mode="dynamic")
        self.told(self.train("--steps", 2, "--no-save", "--compile-budget", "few", status=2), "--compile-budget", "few")

    def test_a_plan_that_changes_during_the_run(self):
        plan, out = self.dir / "changing.plan", self.dir / "changing"
        shutil.copytree(self.plan["baked"], plan)
        p = self.start("--steps", 100000, "--out", out, "--compile-budget", 50, plan=plan)
        self.wait_until(p, (out / ".lock").exists)
        time.sleep(0.1)
        manifest = plan / "plan.anep"
        text = manifest.read_text()
        (plan / "new").write_text(text.replace("model Tiny", "model Other"))
        (plan / "new").rename(manifest)
        said = p.communicate(timeout=60)[1].decode()
        self.assertEqual(p.returncode, 1, said)
        self.told(said, "was changed")
        if "was saved: --resume continues" in said:
            self.train("--resume", out, "--stop-at", 1)

    def test_data_that_vanish_during_the_run(self):
        data, out = self.dir / "vanishing.txt", self.dir / "vanishing"
        shutil.copy(self.text, data)
        log = self.dir / "vanishing.log"
        p = self.start("--steps", 100000, "--out", out, "--data", data, "--compile-budget", 50, "--log", log)
        self.wait_until(p, lambda: log.exists() and log.read_text().count('"event":"step"') > 1)
        data.unlink()
        said = p.communicate(timeout=60)[1].decode()
        self.assertEqual(p.returncode, 1, said)
        self.told(said, "vanishing.txt", "was saved: --resume continues")
        step = int((out / "LATEST").read_text().split("-")[1])
        straight = self.dir / "not-vanishing"
        shutil.copy(self.text, data)
        self.train("--steps", 100000, "--stop-at", step, "--out", straight, "--data", data)
        self.assert_same(out / f"ckpt-{step}", straight / f"ckpt-{step}")

    # ---- stale weights ----

    def test_stale_weights_stop_the_run(self):
        self.told(self.train("--steps", 3, "--no-save", status=1, env={**os.environ, "ANERUN_DEVICE_FAULT": "stale-compile"}),
                  "stale weights", "test program", "exactly what its old weights give", "--weights dynamic")

    def test_stale_reloads_are_compiled_within_the_budget(self):
        """What was to be given new weights is compiled instead: restarts included, it is the baked run."""
        logs = {}
        for mode, fault in [("baked", ""), ("reload", "stale-reload"), ("reload", "stale-large")]:
            log = logs[fault] = self.dir / f"stale-{fault}.log"
            out = self.dir / f"stale-{fault}"
            state = self.dir / f"state-{fault}"
            self.train("--steps", 5, "--out", out, "--log", log, "--compile-budget", TIGHT + WINDOW, mode=mode,
                       env={**os.environ, "ANERUN_DEVICE_FAULT": fault, "ANEL_STATE_DIR": str(state)})
            self.assertEqual(curve(log), curve(logs[""]))
            self.assertGreater(len(events(log, "restart")), 0, fault)
            if fault:
                self.assertEqual(numbers(out / "ckpt-5" / FILES[0]), numbers(self.dir / "stale-" / "ckpt-5" / FILES[0]))

    # ---- kills ----

    def test_kills_change_no_bit(self):
        """kill -9 at random times, while a checkpoint is written, and after a step (when it may be restarting)."""
        draw, steps = random.Random(20261123), 40
        straight, out, log = self.dir / "straight-kills", self.dir / "kills", self.dir / "kills.log"
        same = ["--steps", steps, "--save-every", 1, "--keep", 3, "--compile-budget", TIGHT + WINDOW + 2]
        began = time.monotonic()
        self.train(*same, "--out", straight)
        whole, kills, ended, hit = time.monotonic() - began, 0, 0, {"any": 0, "save": 0, "step": 0}
        while kills < KILLS or not ended:
            if not (out / "LATEST").exists() and not list(out.glob("ckpt-*")):
                args = ["--out", out]
            else:
                args = ["--out", out, "--resume"]
            size = log.stat().st_size if log.exists() else 0
            p = self.start(*same, *args, "--log", log)
            kind = draw.choice(list(hit)) if kills < KILLS else None
            until = time.monotonic() + draw.random() * (0.05 + whole / 8)
            skip = draw.randrange(3)
            while kind and p.poll() is None:
                if kind == "any":
                    time.sleep(max(0, until - time.monotonic()))
                    break
                if kind == "save" and any(n.startswith((".ckpt-tmp", "LATEST.tmp")) for n in self.names(out)):
                    skip -= 1
                    if skip < 0:
                        break
                if kind == "step" and log.exists() and log.stat().st_size > size:
                    size = log.stat().st_size
                    skip -= 1
                    if skip < 0:
                        break
            if kind:
                p.kill()
            said = p.communicate(timeout=60)[1].decode()
            self.assertIn(p.returncode, (0, -signal.SIGKILL), said)
            if p.returncode == -signal.SIGKILL:
                kills += 1
                hit[kind] += 1
            else:
                ended += 1
                self.assert_same(straight / f"ckpt-{steps}", out / f"ckpt-{steps}")
                self.assertLessEqual(len(list(out.glob("ckpt-*"))), 3)
                self.assertEqual([n for n in self.names(out) if "tmp" in n], [])
                if kills < KILLS:
                    shutil.rmtree(out)
        print(f"{kills} kills ({hit}), {ended} runs to the end, {time.monotonic() - began:.1f} s")

    @staticmethod
    def names(folder):
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []

    # ---- disks ----

    def half_done(self, name):
        """A run of 8 steps that stopped at 4, and the checkpoint it should end with."""
        straight, out = self.dir / f"straight-{name}", self.dir / name
        self.train("--steps", 8, "--out", straight)
        self.train("--steps", 8, "--save-every", 2, "--stop-at", 4, "--out", out)
        return straight / "ckpt-8", out

    def test_a_full_disk(self):
        """Files that may not grow stand for a disk that is full."""
        end, out = self.half_done("full")
        before, size = content(out / "ckpt-4"), (out / "ckpt-4" / FILES[0]).stat().st_size
        for limit in (100, 5000, size // 2, size + 1000):
            said = self.train("--resume", out, "--compile-budget", 0, status=1,
                              preexec_fn=lambda n=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)))
            warnings = said.count("anerun: warning: the checkpoint of step 6 was not saved")
            self.assertEqual(warnings, 1, said)
            self.assertIn("anerun: the checkpoint of step 8 was not saved: cannot write", said)
            self.assertIn("File too large", said)
            self.assertEqual(content(out / "ckpt-4"), before)
            self.assertEqual((out / "LATEST").read_text(), "ckpt-4\n")
            self.assertEqual([n for n in self.names(out) if "tmp" in n], [])
        said = self.train("--resume", out, status=1,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)))
        self.told(said, "no room for the state of a run", "--compile-budget 0")
        self.train("--resume", out)
        self.assertEqual(content(out / "ckpt-8")[FILES[0]], content(end)[FILES[0]])

    def test_a_directory_that_cannot_be_written(self):
        end, out = self.half_done("readonly")
        before = content(out / "ckpt-4")
        more = {}
        if os.geteuid() == 0:  # root may write everywhere
            more = {"user": 65534}
            self.dir.chmod(0o755)
            if subprocess.run([ANERUN, "--version"], capture_output=True, check=False, user=65534).returncode:
                self.skipTest("the program cannot be run by another user than root")
        out.chmod(0o555)
        try:
            self.told(self.train("--resume", out, status=1, **more), out, "Permission denied")
            self.told(self.train("--out", out / "new", status=1, **more), out / "new", "Permission denied")
        finally:
            out.chmod(0o755)
        self.assertEqual(content(out / "ckpt-4"), before)
        self.train("--resume", out)
        self.assertEqual(content(out / "ckpt-8")[FILES[0]], content(end)[FILES[0]])

    # ---- damage ----

    def test_damaged_checkpoints(self):
        """Every file, cut and altered at several places: told by name, with the checkpoint to go on from."""
        _, out = self.half_done("damaged")
        last, older = out / "ckpt-4", out / "ckpt-2"
        for name in FILES:
            path = last / name
            data = path.read_bytes()
            header = 8 + int.from_bytes(data[:8], "little")
            cuts = [0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(data) // 2, len(data) - 1]
            flips = [0, 7, 8, header // 3, header // 2, header - 1, header, (header + len(data)) // 2, len(data) - 1]
            for label, broken in ([(f"{name} cut to {n}", data[:n]) for n in cuts] + [(f"{name} longer", data + b"x")] +
                                  [(f"{name}, byte {n}", data[:n] + bytes([data[n] ^ 1 << n % 8]) + data[n + 1:])
                                   for n in flips]):
                with self.subTest(label):
                    path.write_bytes(broken)
                    self.told(self.train("--resume", out, status=1), path, f"--resume {older}")
            path.unlink()
            self.told(self.train("--resume", out, status=1), path, f"--resume {older}")
            self.told(self.train("--resume", last, status=1), path, f"--resume {older}")
            path.write_bytes(data)
        self.train("--resume", out, "--stop-at", 5, "--no-save")
        for text in (b"", b"ckpt-", b"ckpt-4\0", b"../ckpt-4", b"ckpt-4 \n"):
            (out / "LATEST").write_bytes(text)
            self.told(self.train("--resume", out, status=1), out / "LATEST", "--resume")
        (out / "LATEST").write_text("ckpt-3\n")
        self.told(self.train("--resume", out, status=1), "ckpt-3", f"--resume {older}")
        self.train("--resume", last, "--stop-at", 5, "--no-save")

    def test_a_checkpoint_of_another_model(self):
        _, out = self.half_done("other")
        before = content(out / "ckpt-4")
        other = self.compile("baked", "hidden=128", name="wider.plan")
        self.told(self.train("--resume", out, plan=other, status=1), "belongs to another model", "w1", "the plan it was made with")
        for n in ("layers=2",):
            deeper = self.compile("baked", n, name="deeper.plan")
            self.told(self.train("--resume", out, plan=deeper, status=1), "belongs to another model", "layers.1.", "--weights")
        self.assertEqual(content(out / "ckpt-4"), before)
        mixed = self.dir / "mixed"
        shutil.copytree(out, mixed)
        shutil.copy(out / "ckpt-2" / FILES[0], mixed / "ckpt-4" / FILES[0])
        self.told(self.train("--resume", mixed, status=1), "different checkpoints", f"--resume {mixed / 'ckpt-2'}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
