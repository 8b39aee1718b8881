#!/usr/bin/env python3
"""Training gives the same bits with any number of threads.

    threads.py ANEC ANERUN MODELS

tiny.anel, made smaller, takes three steps with 1, 2 and 4 threads; weights and optimizer state at the end are compared byte
for byte, and so are the losses of all steps.
"""
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])


def run(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, check=False, timeout=600)
    said = done.stderr.decode(errors="replace")
    if done.returncode or "Sanitizer" in said or "runtime error" in said:
        raise AssertionError(f"{' '.join(map(str, args))}: status {done.returncode}\n{said}")


def tensors(file):
    data = file.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little"):]  # after the header, which names the run


class Threads(unittest.TestCase):
    def test_training_gives_the_same_bits(self):
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            (work / "text").write_bytes(bytes(i * i % 251 for i in range(20000)))
            run(ANEC, f"{MODELS}/tiny.anel", "-D", "layers=2", "-o", work / "plan")
            results = []
            for threads in (1, 2, 4):
                out, log = work / f"run{threads}", work / f"log{threads}"
                run(ANERUN, work / "plan", "--train", "--data", work / "text", "--steps", 3, "--threads", threads, "--out", out,
                    "--log", log, "--quiet")
                events = [json.loads(line) for line in log.read_text().splitlines()]
                results.append(([e["loss"] for e in events if e["event"] == "step"],
                                [tensors(out / "ckpt-3" / f) for f in ("model.safetensors", "optimizer.safetensors")]))
            self.assertEqual(len(results[0][0]), 3)
            self.assertGreater(len(results[0][1][0]), 100000)
            for other in results[1:]:
                self.assertEqual(other[0], results[0][0])
                self.assertTrue(other[1] == results[0][1])


unittest.main(argv=sys.argv[:1])
