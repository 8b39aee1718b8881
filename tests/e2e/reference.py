"""Whole training steps of models/tiny.anel against an implementation of its own, in NumPy and fp64.

    reference.py ANEC ANERUN MODELS

The reference shares nothing with the project: a tape of a dozen operations, the model from its equations, and every
optimizer and schedule with clipping, accumulation and parameter groups as docs/training.md describes them. With --numerics exact only storage differs: weights and tables
of MIL programs are fp16 (the gains of norms before projections are parts of these weights), what the CPU keeps is fp32."""
import json
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

ANEC, ANERUN, MODELS = sys.argv[1:4]
DIM, HIDDEN, LAYERS, HEADS, SEQ, VOCAB = 32, 48, 2, 2, 32, 256
HEAD = DIM // HEADS
STEPS, ACCUM, CLIP, WARMUP = 6, 3, 0.5, 2


def half(x):
    return x.astype(np.float16).astype(float)


# ---- reverse mode ----

class Node:
    """A value, and for each operand the function from this node's gradient to the operand's."""

    def __init__(self, value, *parents):
        self.v, self.parents, self.grad = np.asarray(value, float), parents, 0.0


def reduced(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    for axis, n in enumerate(shape):
        if n == 1:
            g = g.sum(axis, keepdims=True)
    return g


def add(a, b):
    return Node(a.v + b.v, (a, lambda g: reduced(g, a.v.shape)), (b, lambda g: reduced(g, b.v.shape)))


def mul(a, b):
    return Node(a.v * b.v, (a, lambda g: reduced(g * b.v, a.v.shape)), (b, lambda g: reduced(g * a.v, b.v.shape)))


def scale(a, k):
    return Node(a.v * k, (a, lambda g: g * k))


def matmul(a, b):
    return Node(a.v @ b.v, (a, lambda g: g @ b.v.swapaxes(-1, -2)), (b, lambda g: a.v.swapaxes(-1, -2) @ g))


def transpose(a, *perm):
    return Node(a.v.transpose(perm), (a, lambda g: g.transpose(np.argsort(perm))))


def reshape(a, *shape):
    return Node(a.v.reshape(shape), (a, lambda g: g.reshape(a.v.shape)))


def pick(a, index):
    def back(g):
        z = np.zeros_like(a.v)
        np.add.at(z, index, g)
        return z
    return Node(a.v[index], (a, back))


def join(a, b):
    n = a.v.shape[-1]
    return Node(np.concatenate([a.v, b.v], -1), (a, lambda g: g[..., :n]), (b, lambda g: g[..., n:]))


def silu(a):
    s = 1 / (1 + np.exp(-a.v))
    return Node(a.v * s, (a, lambda g: g * s * (1 + a.v * (1 - s))))


def unit_rms(x):
    r = ((x.v ** 2).mean(-1, keepdims=True) + float(np.float16(1e-5))) ** -0.5
    return Node(x.v * r, (x, lambda g: r * g - x.v * r ** 3 * (g * x.v).mean(-1, keepdims=True)))


def stored(a):
    """As a program holds it: rounded, with the gradient of what was rounded."""
    return Node(half(a.v), (a, lambda g: g))


def softmax(a):
    e = np.exp(a.v - a.v.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    return Node(p, (a, lambda g: p * (g - (g * p).sum(-1, keepdims=True))))


def cross_entropy(logits, targets):
    rows = np.arange(len(targets))
    shifted = logits.v - logits.v.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))

    def back(g):
        z = np.exp(log_p)
        z[rows, targets] -= 1
        return z * g / len(rows)
    return Node(-log_p[rows, targets].mean(), (logits, back))


def backward(root):
    order, seen = [], set()

    def visit(node):
        if id(node) not in seen:
            seen.add(id(node))
            for parent, _ in node.parents:
                visit(parent)
            order.append(node)
    visit(root)
    root.grad = 1.0
    for node in reversed(order):
        for parent, back in node.parents:
            parent.grad = parent.grad + back(node.grad)


# ---- the model ----

_angle = np.arange(SEQ)[:, None] * 10000.0 ** (-2 * np.arange(HEAD // 2)[None] / HEAD)
COS, SIN = Node(half(np.cos(_angle))), Node(half(np.sin(_angle)))
MASK = Node(np.where(np.tril(np.ones((SEQ, SEQ))), 0.0, -30000.0))


def rope(x):
    a, b = pick(x, np.s_[..., :HEAD // 2]), pick(x, np.s_[..., HEAD // 2:])
    return join(add(mul(a, COS), scale(mul(b, SIN), -1)), add(mul(b, COS), mul(a, SIN)))


def loss_of(w, tokens, targets):
    def linear(x, name, gain=None):
        weight = w[name + ".weight"]
        return matmul(x, transpose(stored(mul(weight, w[gain]) if gain else weight), 1, 0))

    def heads_of(x):
        return transpose(reshape(x, SEQ, HEADS, HEAD), 1, 0, 2)
    x = pick(w["embed"], tokens)
    for layer in range(LAYERS):
        at, ff = f"layers.{layer}.attention.", f"layers.{layer}.feed_forward."
        h, gain = unit_rms(x), f"layers.{layer}.g1"
        q, k, v = (heads_of(linear(h, at + name, gain)) for name in ("wq", "wk", "wv"))
        scores = scale(matmul(rope(q), transpose(rope(k), 0, 2, 1)), HEAD ** -0.5)
        mixed = matmul(softmax(add(scores, MASK)), v)
        x = add(x, linear(reshape(transpose(mixed, 1, 0, 2), SEQ, DIM), at + "wo"))
        h, gain = unit_rms(x), f"layers.{layer}.g2"
        x = add(x, linear(mul(silu(linear(h, ff + "w1", gain)), linear(h, ff + "w3", gain)), ff + "w2"))
    return cross_entropy(matmul(mul(unit_rms(x), stored(w["gf"])), transpose(stored(w["embed"]), 1, 0)), targets)


def gradients(weights, text, window):
    nodes = {k: Node(x) for k, x in weights.items()}
    at = window * SEQ
    loss = loss_of(nodes, text[at:at + SEQ], text[at + 1:at + SEQ + 1])
    backward(loss)
    return float(loss.v), {k: node.grad for k, node in nodes.items()}


# ---- optimizers and schedules, in fp64 ----

def factor(run, step):
    """Of the learning rate."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    x = (step - WARMUP) / (STEPS - WARMUP)
    if run["schedule"] == "warmup_cosine":
        return 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * x))
    if run["schedule"] == "warmup_linear":
        return 0.1 + 0.9 * (1 - x)
    if run["schedule"] == "wsd":  # the last half of all steps
        return 1 - 0.9 * max(0, (step - STEPS / 2) / (STEPS / 2))
    if run["schedule"] == "step":
        return max(0.1, 0.5 ** (step // 3))
    return 1


class Optimizer:
    def __init__(self, run):
        self.run, self.m, self.v, self.t = run, {}, {}, 0

    def update(self, k, w, g, lr, decay):
        kind, m, v = self.run["optimizer"], self.m.get(k, 0.0), self.v.get(k, 0.0)
        if kind == "sgd":
            self.m[k] = 0.9 * m + g + decay * w
            return w - lr * self.m[k]
        if kind == "lion":
            self.m[k] = 0.98 * m + 0.02 * g
            return w - lr * (np.sign(0.9 * m + 0.1 * g) + decay * w)
        if kind == "adam":
            g = g + decay * w
        self.m[k], self.v[k] = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g * g
        step = self.m[k] / (1 - 0.9 ** self.t) / (np.sqrt(self.v[k] / (1 - 0.95 ** self.t)) + 1e-8)
        return w - lr * (step + (decay * w if kind == "adamw" else 0))


def train(weights, text, run):
    w = {k: x.astype(float) for k, x in weights.items()}
    optimizer, losses, norms = Optimizer(run), [], []
    for step in range(STEPS):
        parts = [gradients(w, text, step * ACCUM + i) for i in range(ACCUM)]
        grad = {k: sum(g[k] for _, g in parts) / ACCUM for k in w if k not in run["frozen"]}
        losses.append(sum(loss for loss, _ in parts) / ACCUM)
        norms.append(np.sqrt(sum((g ** 2).sum() for g in grad.values())))
        clip = min(1, CLIP / norms[-1])
        optimizer.t += 1
        for k, g in grad.items():
            last = k.split(".")[-1]
            lr = run["lr"] * factor(run, step) * run["lr_of"].get(last, 1)
            w[k] = optimizer.update(k, w[k], g * clip, lr, 0 if last in ("g1", "g2", "gf") else run["decay"])
    return losses, norms, w


# ---- safetensors ----

def save(path, tensors):
    header, at = {}, 0
    for k, x in tensors.items():
        header[k] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(x.tobytes() for x in tensors.values()))


def load(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    end, out = 0, {}
    for k, t in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = t["data_offsets"]
        assert start == end and t["dtype"] == "F32", k
        out[k], end = np.frombuffer(data[8 + n + start:8 + n + stop], "<f4").reshape(t["shape"]), stop
    assert end == len(data) - 8 - n
    return out


def initial():
    r = np.random.default_rng(1)
    w = {"embed": r.normal(0, 0.3, (VOCAB, DIM)), "gf": r.normal(1, 0.1, DIM)}
    for layer in range(LAYERS):
        p = f"layers.{layer}."
        w |= {p + "g1": r.normal(1, 0.1, DIM), p + "g2": r.normal(1, 0.1, DIM)}
        w |= {f"{p}attention.{n}.weight": r.normal(0, 0.2, (DIM, DIM)) for n in ("wq", "wk", "wv", "wo")}
        w |= {f"{p}feed_forward.{n}.weight": r.normal(0, 0.2, s)
              for n, s in (("w1", (HIDDEN, DIM)), ("w3", (HIDDEN, DIM)), ("w2", (DIM, HIDDEN)))}
    return {k: x.astype(np.float32) for k, x in w.items()}


RUNS = [
    {"optimizer": "adamw", "lr": 2e-3, "decay": 0.1, "schedule": "warmup_cosine"},
    {"optimizer": "sgd", "lr": 0.3, "decay": 0.01, "schedule": "wsd", "set": {"optimizer.momentum": 0.9, "schedule.decay": 0.5}},
    {"optimizer": "adam", "lr": 2e-3, "decay": 0.1, "schedule": "warmup_linear", "groups": True},
    {"optimizer": "lion", "lr": 3e-4, "decay": 0.1, "schedule": "step",
     "set": {"optimizer.beta2": 0.98, "schedule.every": 3, "schedule.factor": 0.5}},
    {"optimizer": "adamw", "lr": 1e-3, "decay": 0, "schedule": "constant", "groups": True},
]
# What the model text says in the runs with groups, and what that means.
GROUPS = [("#[nodecay] param gf:", "#[nodecay, lr(0.25)] param gf:"), ("#[nodecay] param g2:", "#[nodecay, lr(3.0)] param g2:"),
          ("param embed:", "#[freeze] param embed:")]


class Reference(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="anel-reference-")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.text = np.random.default_rng(2).integers(0, VOCAB, SEQ * STEPS * ACCUM + 1).astype(np.uint8)
        (self.folder / "text").write_bytes(self.text.tobytes())
        self.weights = initial()
        save(self.folder / "w.safetensors", self.weights)

    def compile(self, groups):
        sizes = {"dim": DIM, "hidden": HIDDEN, "layers": LAYERS, "heads": HEADS, "kv_heads": HEADS, "seq": SEQ}
        model = Path(MODELS, "tiny.anel").read_text()
        for old, new in GROUPS if groups else []:
            self.assertEqual(model.count(old), 1, old)
            model = model.replace(old, new)
        (self.folder / "model.anel").write_text(model)
        subprocess.run([ANEC, self.folder / "model.anel", "-o", self.folder / "plan"] +
                       [word for k, n in sizes.items() for word in ("-D", f"{k}={n}")], check=True, timeout=60)

    def check_steps(self, run, numerics, tolerance):
        folder, plain = self.folder, run["schedule"] in ("constant", "step")
        run = run | {"lr_of": {"gf": 0.25, "g2": 3.0} if run.get("groups") else {},
                     "frozen": ["embed"] if run.get("groups") else []}
        settings = {"data.sample": "sequential", "accum": ACCUM, "clip": CLIP, "optimizer": run["optimizer"],
                    "optimizer.lr": run["lr"], "optimizer.decay": run["decay"], "schedule": run["schedule"],
                    "schedule.warmup": WARMUP} | run.get("set", {})
        settings |= {} if run["schedule"] == "constant" else {"schedule.floor": 0.1}
        settings |= {} if plain else {"schedule.total": STEPS}
        (folder / "log").unlink(missing_ok=True)
        done = subprocess.run(
            [ANERUN, folder / "plan", "--train", "--data", folder / "text", "--weights", folder / "w.safetensors",
             "--out", folder / "run", "--overwrite", "--steps", str(STEPS), "--log", folder / "log", "--quiet",
             "--numerics", numerics, "--threads", "1"] + [w for k, x in settings.items() for w in ("--set", f"{k}={x}")],
            capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        events = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
        events = [e for e in events if e["event"] == "step"]
        losses, norms, end = train(self.weights, self.text, run)
        for e, loss, norm in zip(events, losses, norms):
            # Later on masters of fp32 and of fp64 may lie on different sides of where fp16 weights round.
            allowed = tolerance if e["step"] == 1 else 20 * tolerance
            self.assertAlmostEqual(e["loss"] / loss, 1, delta=allowed)
            self.assertAlmostEqual(e["grad_norm"] / norm, 1, delta=5 * allowed)
            self.assertAlmostEqual(e["lr"] / (run["lr"] * factor(run, e["step"] - 1)), 1, delta=1e-12)
        self.assertEqual(len(events), STEPS)
        got = load(folder / "run" / f"ckpt-{STEPS}" / "model.safetensors")
        self.assertEqual(got.keys(), end.keys())
        for k in end:
            off, moved = np.abs(got[k] - end[k]).mean(), np.abs(end[k] - self.weights[k]).mean()
            if k in run["frozen"]:
                self.assertTrue((got[k] == self.weights[k]).all(), k)
            else:
                # Lion moves by a sign: where its momentum is next to zero, rounding decides the direction.
                self.assertLess(off, (5000 if run["optimizer"] == "lion" else 1000) * tolerance * moved, k)

    def test_steps_agree(self):
        for groups in (False, True):
            self.compile(groups)
            for run in RUNS:
                if run.get("groups", False) == groups:
                    with self.subTest(**run):
                        self.check_steps(run, "exact", 5e-7)

    def test_steps_agree_in_fp16(self):
        self.compile(False)
        self.check_steps(RUNS[0], "ane", 1e-4)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
