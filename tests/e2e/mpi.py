#!/usr/bin/env python3
"""Training with several processes, as a user starts them: mpirun -np N anerun PLAN --train.

    mpi.py ANEC ANERUN MODELS RANKS yes|no        RANKS: made of ranks.c; yes: anerun was built with MPI

With --deterministic the same micro-batches give the same checkpoints, to the last byte, however they are divided among
ranks; without it the same curve up to rounding. A run goes on with another number of ranks. A rank that fails, is killed
or was started with something else than the others ends the job with one message that names it.

Skipped (77) where there is no MPI. Leaks are not looked for in processes under mpirun: MPI libraries keep memory until
the process ends, in plugins that are unloaded by then, so that a list of exceptions cannot name them.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from commands import curve, define
from launch import MPIRUN, launcher

ANEC, ANERUN, MODELS, RANKS = (str(Path(p).resolve()) for p in sys.argv[1:5])
BUILT = sys.argv[5] == "yes"
SHRUNK = ["dim=64", "hidden=96", "layers=2", "kv_heads=2", "seq=32"]
SENTENCES = ["the quick brown fox jumps over the lazy dog. ", "she sells sea shells by the sea shore. "]
FILES = ("model.safetensors", "optimizer.safetensors")


def environment(command):
    env = dict(os.environ, OPENBLAS_NUM_THREADS="1", TMPDIR=tempfile.gettempdir())
    if command[0] == MPIRUN:
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return env


def finish(process, status=0):
    """What it said on both channels; status None: any but 0."""
    out, err = process.communicate(timeout=240)  # a hang; load may stretch a second to many
    said = err.decode(errors="replace")
    if (process.returncode == 0) if status is None else (process.returncode != status):
        raise AssertionError(f"status {process.returncode}: {said}{out.decode(errors='replace')}")
    if "Sanitizer" in said or "runtime error" in said:
        raise AssertionError(said)
    return out.decode(errors="replace"), said


def start(command):
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=environment(command))


def own_words(said):
    """What anerun wrote to standard error, without what launchers add."""
    return [line for line in said.splitlines() if line.startswith("anerun: ")]


class Mpi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-mpi-")
        cls.dir = Path(cls.folder.name)
        cls.text = cls.dir / "text.txt"
        cls.text.write_text("".join(SENTENCES[i * i % 7 % 2] for i in range(400)))
        for mode in ("baked", "dynamic"):
            finish(start([ANEC, f"{MODELS}/tiny.anel", "-o", cls.dir / mode, "--weights", mode,
                          *define(SHRUNK)]))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def command(self, *args, plan="baked"):
        return [ANERUN, self.dir / plan, *args, "--threads", "1"]

    def train(self, *args, plan="baked"):
        return self.command("--train", "--data", self.text, *args, plan=plan)

    def job(self, ranks, command, status=0):
        """One process without a launcher, or several."""
        return finish(start(([] if ranks == 1 else [*launcher(), "-np", ranks]) + command), status)

    def assert_same(self, one, two):
        for name in FILES:
            self.assertEqual((one / name).read_bytes(), (two / name).read_bytes(), f"{one} and {two}: {name}")

    # ---- what ranks do together ----

    def test_sums_over_ranks(self):
        for ranks in (2, 3):
            self.assertEqual(self.job(ranks, [RANKS])[0], "ranks: fine\n")
        for victim in (0, 2):
            _, said = self.job(3, [RANKS, "fail", victim], 1)
            self.assertEqual(own_words(said), [f"anerun: rank {victim} of 3: this rank fails"])

    # ---- any number of ranks ----

    def test_the_same_bits_for_any_number_of_ranks(self):
        """Clipping, and a loss scale that overflows at first and is halved, take part."""
        settings = ("--steps", "6", "--set", "clip=1", "--set", "loss_scale.init=262144", "--set",
                    "loss_scale.growth_every=2", "--deterministic", "--set", "data.holdout=0.1", "--eval-every", "3")
        for plan, whole, divisions in (("baked", 4, (1, 2, 4)), ("dynamic", 6, (1, 2, 3))):
            logs, evaluations = [], []
            for ranks in divisions:
                out, log = self.dir / f"{plan}-{ranks}", self.dir / f"{plan}-{ranks}.log"
                self.job(ranks, self.train(*settings, "--set", f"accum={whole // ranks}", "--out", out, "--log", log,
                                           plan=plan))
                logs.append(curve(log, "tokens"))
                self.assert_same(self.dir / f"{plan}-1" / "ckpt-6", out / "ckpt-6")
                evaluations.append([json.loads(x)["loss"] for x in log.read_text().splitlines() if '"eval"' in x])
                self.assertEqual(len(evaluations[0]), 2)
                self.assertEqual((logs[0], evaluations[0]), (logs[-1], evaluations[-1]))
            skipped = [s["skipped"] for s in logs[0]]
            self.assertTrue(any(skipped) and not all(skipped), skipped)
            self.assertEqual(logs[0][0]["tokens"], whole * 32)

    def test_the_same_curve_up_to_rounding_by_default(self):
        """The sums differ in their last bits, and so do weights; fp16 rounds most of that away."""
        curves = []
        for ranks in (1, 3):
            log = self.dir / f"default-{ranks}.log"
            self.job(ranks, self.train("--steps", "8", "--set", f"accum={3 // ranks}", "--set", "clip=1", "--no-save",
                                       "--log", log))
            curves.append(curve(log, "tokens"))
        self.assertEqual(curves[0][0]["loss"], curves[1][0]["loss"])  # nothing was summed yet but losses, by number
        self.assertLess(curves[0][-1]["loss"], curves[0][0]["loss"] - 0.1)
        for one, two in zip(*curves):
            self.assertAlmostEqual(one["loss"], two["loss"], delta=1e-3)
            self.assertAlmostEqual(one["grad_norm"], two["grad_norm"], delta=1e-3 * one["grad_norm"])
            for key in ("lr", "loss_scale", "skipped", "tokens"):
                self.assertEqual(one[key], two[key])

    def test_a_run_goes_on_with_another_number_of_ranks(self):
        straight, parts = self.dir / "straight", self.dir / "parts"
        self.job(1, self.train("--steps", "6", "--set", "accum=4", "--deterministic", "--out", straight))
        self.job(2, self.train("--steps", "6", "--set", "accum=2", "--deterministic", "--out", parts, "--stop-at", "2"))
        _, said = self.job(3, self.train("--resume", "--out", parts), 1)
        self.assertEqual(len(own_words(said)), 1, said)
        self.assertIn("the checkpoint's 4 micro-batches per step cannot be shared evenly by 3 ranks", said)
        self.job(4, self.train("--resume", "--out", parts, "--stop-at", "4"))
        self.job(1, self.train("--resume", "--out", parts))
        self.assert_same(straight / "ckpt-6", parts / "ckpt-6")

    def test_an_evaluation_is_shared_out(self):
        said = [self.job(ranks, self.command("--eval", self.text, "--untrained"))[0] for ranks in (1, 3)]
        self.assertRegex(said[0], r"^loss \d")
        self.assertEqual(said[0], said[1])

    # ---- what goes wrong ----

    def test_a_rank_that_was_started_with_something_else(self):
        short = self.dir / "short.txt"
        short.write_text(self.text.read_text()[:5000])
        other = {"another plan": (["--no-save"], "dynamic", "its plan is not the one of rank 0"),
                 "another option": (["--no-save", "--seed", "3"], "baked", "its settings are not those of rank 0"),
                 "other data": (["--no-save", "--data", short], "baked", "its data have another length")}
        for name, (args, plan, message) in other.items():
            with self.subTest(name):
                command = [*launcher(), "-np", 1, *self.train("--no-save"), ":", "-np", 1, *self.train(*args, plan=plan)]
                _, said = finish(start(command), 1)
                self.assertEqual(len(own_words(said)), 1, said)
                self.assertTrue(own_words(said)[0].startswith("anerun: rank 1 of 2: " + message), said)

    def test_a_rank_that_fails_ends_the_job(self):
        """Only rank 1 lacks its file: rank 0 already waits for it."""
        command = [*launcher(), "-np", 1, *self.train("--no-save"), ":", "-np", 1,
                   *self.train("--no-save", "--data", self.dir / "missing.txt")]
        _, said = finish(start(command), 1)
        self.assertEqual(len(own_words(said)), 1, said)
        self.assertIn("anerun: rank 1 of 2: cannot open data file", said)
        _, said = self.job(3, self.train("--no-save", "--data", self.dir / "missing.txt"), 1)
        self.assertEqual(len(own_words(said)), 1, said)  # all fail, one speaks
        _, said = self.job(2, self.train("--no-save", "--stepps", "3"), 2)
        self.assertEqual(len(own_words(said)), 1, said)
        self.assertIn("did you mean '--steps'?", said)
        _, said = self.job(2, self.command("--generate", "she", "--untrained"), 1)
        self.assertIn("several processes can share --train and --eval", said)

    @unittest.skipUnless(Path("/proc/self/environ").exists(), "ranks are found by their environment")
    def test_a_rank_that_is_killed_ends_the_job(self):
        out = self.dir / "killed"
        process = start([*launcher(), "-np", 2, *self.train("--steps", "1000000", "--save-every", "3", "--out", out)])
        while not (out / "LATEST").exists():
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        os.kill(self.rank_of(process.pid, 1), signal.SIGKILL)
        _, said = finish(process, None)
        self.assertRegex(said, r"rank 1\b")
        before = (out / "LATEST").read_text()
        self.assertIn("loss ", self.job(1, self.command("--eval", self.text, "--ckpt", out))[0])
        self.job(1, self.train("--resume", "--out", out, "--stop-at", str(int(before.split("-")[1]) + 1)))

    def test_a_used_up_compile_budget_ends_all_alike(self):
        straight, out, log = self.dir / "unlimited", self.dir / "limited", self.dir / "limited.jsonl"
        self.job(2, self.train("--steps", "4", "--out", straight))
        _, said = self.job(2, self.train("--steps", "4", "--out", out, "--log", log, "--compile-budget", "16"), 1)
        self.assertEqual(len(own_words(said)), 1, said)
        self.assertRegex(own_words(said)[0], r"rank \d of 2: after step \d the compile budget of a process is used up, "
                         r"but one of several processes cannot be restarted; .* was saved: --resume continues")
        done = len(curve(log))
        self.assertEqual((out / "LATEST").read_text().strip(), f"ckpt-{done}")
        self.assertTrue(0 < done < 4)
        self.job(2, self.command("--train", "--resume", "--out", out, "--compile-budget", "0"))
        self.assert_same(straight / "ckpt-4", out / "ckpt-4")

    def test_programs_that_have_become_slower_are_compiled_anew(self):
        """A single process would restart itself; one of several cannot."""
        straight, out = self.dir / "as-fast-as-ever", self.dir / "slower"
        same = ["--steps", "600", "--quiet"]
        self.job(2, self.train(*same, "--out", straight, plan="dynamic"))
        _, said = self.job(2, ["env", "ANERUN_DEVICE_FAULT=decay-program=300",
                               *self.train(*same, "--out", out, plan="dynamic")])
        self.assertIn("times as long as at first: programs are compiled anew", said)
        self.assert_same(straight / "ckpt-600", out / "ckpt-600")

    @staticmethod
    def rank_of(launcher_pid, rank):
        """The process that the launcher gave this rank."""
        for entry in Path("/proc").iterdir():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                words = (entry / "environ").read_bytes().split(b"\0")
            except (OSError, IndexError, ValueError):
                continue
            names = (b"OMPI_COMM_WORLD_RANK=", b"PMI_RANK=")
            if any(name + str(rank).encode() in words for name in names) and b"anerun" in (entry / "cmdline").read_bytes():
                if parent == launcher_pid or launcher_pid in ancestors(parent):
                    return int(entry.name)
        raise AssertionError(f"no process is rank {rank}")

    def test_a_signal_to_one_rank_stops_all(self):
        out = self.dir / "stopped"
        process = start([*launcher(), "-np", 2, *self.train("--steps", "1000000", "--save-every", "3", "--out", out)])
        while not (out / "LATEST").exists():
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        if not Path("/proc/self/environ").exists():
            process.kill()
            self.skipTest("ranks are found by their environment")
        os.kill(self.rank_of(process.pid, 1), signal.SIGTERM)
        said, _ = finish(process)
        self.assertIn("terminated at step", said)
        self.assertIn("--resume continues", said)


def ancestors(pid):
    """Of a process, as far as /proc tells."""
    found = set()
    while pid > 1:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError, ValueError):
            break
    return found


class Without(unittest.TestCase):
    def test_a_process_that_cannot_join_its_job_says_so(self):
        env = dict(os.environ, OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK="0")
        done = subprocess.run([ANERUN, "plan", "--train"], capture_output=True, check=False, env=env)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"one of 2 processes of a job, but anerun was built without MPI", done.stderr)


if __name__ == "__main__":
    if BUILT and not MPIRUN:
        print("skipped: no mpirun")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "Mpi" if BUILT else "Without"], verbosity=2)
