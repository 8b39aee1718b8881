#!/usr/bin/env python3
"""Are two runs of one plan the same run, on machines whose matrix products add in another order?

    same-run.py LOG CHECKPOINT LOG CHECKPOINT

Steps, data and seeds are the same, so losses and gradient norms agree to a few roundings of fp16; and parameters to what
an update rule makes of that: Adam's turns a gradient of any size into a step of the learning rate's, so a few elements
whose gradient is next to nothing differ by as much, and all others hardly. A log is one JSON object a step, a checkpoint's
model.safetensors a header of JSON and numbers in fp32."""
import json
import struct
import sys
from array import array

LOSS, NORM = 2 ** -11, 2 ** -8  # relative
CLOSE, PART = 1e-6, 0.99        # most parameters differ by less
UPDATES = 2.5                   # and none by more than so many learning rates


def steps(path):
    with open(path, encoding="utf-8") as f:
        return [s for s in map(json.loads, f) if s.get("event") == "step"]


def parameters(folder):
    with open(f"{folder}/model.safetensors", "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    out = {}
    for name, t in sorted(header.items()):
        if name != "__metadata__":
            out[name] = array("f", data[slice(*t["data_offsets"])])
    return out


def problems(one, two):
    a, b = steps(one[0]), steps(two[0])
    if not a or len(a) != len(b):
        yield f"{len(a)} steps and {len(b)} steps"
        return
    for x, y in zip(a, b):
        for key, bound in (("loss", LOSS), ("grad_norm", NORM)):
            if not abs(x[key] - y[key]) <= bound * abs(x[key]):
                yield f"step {x['step']}: {key} {x[key]} and {y[key]}"
    p, q = parameters(one[1]), parameters(two[1])
    if list(p) != list(q):
        yield "the checkpoints hold other tensors"
        return
    apart = [abs(x - y) for name in p for x, y in zip(p[name], q[name])]
    reach = UPDATES * sum(s["lr"] for s in a)
    close = sum(d < CLOSE for d in apart) / len(apart)
    print(f"{len(a)} steps: losses {[s['loss'] for s in a]} and {[s['loss'] for s in b]}; {100 * close:.2f} % of "
          f"{len(apart)} parameters within {CLOSE}, the farthest {max(apart):.2g} apart (allowed {reach:.2g})")
    if close < PART:
        yield f"only {100 * close:.2f} % of the parameters are close"
    if not max(apart) <= reach:
        yield f"a parameter is {max(apart)} apart"


def main():
    wrong = list(problems(sys.argv[1:3], sys.argv[3:5]))
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
