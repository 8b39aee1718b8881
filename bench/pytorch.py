#!/usr/bin/env python3
"""pytorch.py BUILD [--case NAME] [--rounds N] [--threads N]: training steps of anerun against PyTorch on this machine.

Both train the same model with an optimizer step after every sequence: layer768 (a sequence of 512) and stories110m (256).
anerun runs the plan on the host device with the engine's numerics; PyTorch runs in fp32, set up for speed: OpenMP's
OpenBLAS, memory kept by the allocator on huge pages, bound threads. The two take turns; each round gives one ratio of
medians, and the median of the ratios counts. A probe before and after each turn discards rounds in which the two virtual
processors shared a core. Then: what the matrix products of a step take alone, by each library.

Needs PyTorch for one of: this Python, /usr/bin/python3 (Debian: python3-torch; else: pip install torch).
"""
import argparse
import glob
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = {  # model: warm-up and measured steps of a turn; arguments of bench/products
    "layer768": (4, 24, "768 2048 12 512 1 0"),
    "stories110m": (2, 5, "768 2048 12 256 12 32000"),
}
GOAL = 0.75
SHARED = 1.6  # of the probe: below it two threads had one core


def find_torch():
    for python in (sys.executable, "/usr/bin/python3"):
        if python and subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
            return python
    print("bench/pytorch.py: PyTorch is missing: neither this Python nor /usr/bin/python3 can import torch.\n"
          "Install it with: apt-get install python3-torch libopenblas-openmp-dev   (Debian)\n"
          "or:              pip install torch", file=sys.stderr)
    sys.exit(77)


def torch_environment(threads):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads), OMP_PROC_BIND="true",
               MALLOC_MMAP_THRESHOLD_=str(8 << 30), MALLOC_TRIM_THRESHOLD_=str(16 << 30), MALLOC_TOP_PAD_=str(256 << 20),
               GLIBC_TUNABLES="glibc.malloc.hugetlb=1")
    blas = glob.glob("/usr/lib/*/openblas-openmp")
    if blas:  # the pthread build, which Debian prefers, and OpenMP get in each other's way
        env["LD_LIBRARY_PATH"] = os.pathsep.join(blas)
    return env, bool(blas)


def run(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if done.returncode:
        sys.exit(f"bench/pytorch.py: {' '.join(command)}: status {done.returncode}\n{done.stderr}")
    return done.stdout


class Bench:
    def __init__(self, options, work):
        self.build, self.threads, self.work = options.build, options.threads, work
        self.python = find_torch()
        run(["ninja", "-C", self.build, "anec", "anerun", "bench/probe", "bench/products"])
        self.env, self.openmp = torch_environment(self.threads)
        with open(f"{work}/tokens.bin", "wb") as f:
            f.write(struct.pack("<100000H", *(i * 7919 % 32000 for i in range(100000))))

    def compile(self, case):
        run([f"{self.build}/anec", f"{HERE}/../models/{case}.anel", "-o", f"{self.work}/{case}.plan"])

    def ours(self, case):
        warmup, steps, _ = CASES[case]
        log = f"{self.work}/log"
        if os.path.exists(log):
            os.remove(log)
        data = ["--data", f"{self.work}/tokens.bin"] if case == "stories110m" else []
        run([f"{self.build}/anerun", f"{self.work}/{case}.plan", "--train", *data, "--set", "accum=1", "--steps",
             str(warmup + steps), "--threads", str(self.threads), "--no-save", "--quiet", "--log", log])
        with open(log, encoding="utf-8") as f:
            events = [json.loads(line) for line in f]
        ms = [e["ms"] for e in events if e["event"] == "step"][warmup:]
        return statistics.median(m["total"] - m["data"] for m in ms)  # the peer's data are made before

    def theirs(self, case):
        warmup, steps, _ = CASES[case]
        out = json.loads(run([self.python, f"{HERE}/pytorch_peer.py", case, str(self.threads), str(warmup), str(steps)],
                             env=self.env))
        self.version = out["torch"]
        return statistics.median(out["ms"])

    def probe(self):
        return float(run([f"{self.build}/bench/probe"])) if self.threads == 2 else 2.0

    def products(self, case):
        lines = run([f"{self.build}/bench/products", *CASES[case][2].split(), str(self.threads)]).splitlines()
        return [(ms, name) for _, ms, name in (line.split(" ", 2) for line in lines)]

    def compare(self, case, rounds):
        self.compile(case)
        ratios, ours, discarded = [], [], 0
        print(f"{case}, {self.threads} threads, milliseconds a step")
        while len(ratios) < rounds and discarded < 4 * rounds:
            probes = [self.probe()]
            a = self.ours(case)
            probes.append(self.probe())
            b = self.theirs(case)
            probes.append(self.probe())
            note = ""
            if min(probes) < SHARED:
                discarded += 1
                note = f"   discarded: the processors shared a core (probe {min(probes):.2f})"
            else:
                ratios.append(a / b)
                ours.append(a)
            print(f"  anerun {a:8.1f}   PyTorch {b:8.1f}   ratio {a / b:5.3f}{note}", flush=True)
        if not ratios:
            print("  no round was worth anything on this machine at this time")
            return
        print(f"  median ratio {statistics.median(ratios):.3f} of {len(ratios)} rounds (at most {GOAL} is the goal); "
              f"PyTorch {self.version}{'' if self.openmp else ', without libopenblas-openmp: not at its best'}")
        for ms, name in self.products(case):
            print(f"  the step's products alone, fp32, {name}: {float(ms):.1f} ms, {float(ms) / statistics.median(ours):.0%} "
                  "of anerun's step")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="Meson's build directory")
    parser.add_argument("--case", choices=list(CASES), help="only this one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(options, work)
        for case in [options.case] if options.case else CASES:
            bench.compare(case, options.rounds)


main()
