#!/usr/bin/env python3
"""Weights to and from other programs, through the two commands, read and written here by code of its own.

    weights.py ANEC ANERUN MODELS

Models are shrunk and their weights are drawn, not trained. What is exported is compared with what a checkpoint holds, or with
what comes back when it is imported again; names, shapes and the order of numbers with what the other programs expect.
"""
import array
import json
import math
import resource
import shutil
import signal
import struct
import sys
import tempfile
import unittest
from pathlib import Path

from commands import define, outcome, run

ANEC, ANERUN, MODELS = (str(Path(p).resolve()) for p in sys.argv[1:4])
LLAMA = ["dim=32", "hidden=48", "layers=2", "heads=4", "kv_heads=2", "vocab=64", "seq=16"]
GPT2 = ["dim=32", "layers=2", "heads=4", "vocab=64", "ctx=24", "seq=16"]
QWEN3 = ["dim=32", "hidden=48", "layers=2", "heads=4", "kv_heads=2", "hd=16", "vocab=64", "seq=16"]

# Queries, keys and values of GPT-2 as parameters of their own: rows of one tensor, which is stored transposed.
SPLIT = """use "std/nn.anel";
model Split {
  #[import("wte.weight")] param wte: real[64, 16] = normal(0.02);
  #[import("h.0.attn.c_attn.weight", transpose, rows(0, 16))]  param q: real[16, 16] = normal(0.02);
  #[import("h.0.attn.c_attn.weight", transpose, rows(24, 32))] param v: real[8, 16]  = normal(0.02);
  #[import("h.0.attn.c_attn.weight", transpose, rows(16, 24))] param k: real[8, 16]  = normal(0.02);
  #[import("h.0.attn.c_attn.bias", rows(16, 24))] param kb: real[8]  = normal(0.02);
  #[import("h.0.attn.c_attn.bias", rows(0, 16))]  param qb: real[16] = normal(0.02);
  entry loss(tokens: tok[16], targets: tok[16]) -> real[] {
    x = gather(wte, tokens)';
    a = q @ x + qb[:, _];
    b = concat(k @ x + kb[:, _], v @ x, axis: 0);
    return mean_all(xent(wte @ (a + b), targets, axis: 0));
  }
}
"""
UNTIED = """use "std/nn.anel";
config heads = 2;
config seq   = 16;
model Untied {
  #[import("tok_embeddings")] param embed: real[64, 16] = normal(0.02);
  #[import("norm")] param g: real[16] = ones();
  #[import("output.weight")] param head: real[64, 16] = normal(0.02);
  block layer[S](x: real[16, S]) -> real[16, S] {
    #[import("layers.0.attention_norm")] param g1: real[16] = ones();
    #[import("layers.0.ffn_norm")] param g2: real[16] = ones();
    h = rmsnorm(x, g1);
    q = linear(h, 16) as wq;
    k = linear(h, 16) as wk;
    v = linear(h, 16) as wv;
    x = x + linear(q * k + v, 16) as wo;
    f = rmsnorm(x, g2);
    return x;
  }
  block ffn[S](x: real[16, S]) -> real[16, S] = linear(silu(linear(x, 24) as w1) * linear(x, 24) as w3, 16) as w2;
  entry loss(tokens: tok[seq], targets: tok[seq]) -> real[] {
    x = gather(embed, tokens)';
    repeat layers[L in 0..1] {
      x = layer(x) as attention;
      x = x + ffn(x) as feed_forward;
    }
    return mean_all(xent(head @ rmsnorm(x, g), targets, axis: 0));
  }
}
"""


# ---- safetensors, by the format's description ----

SIZE = {"F32": 4, "F16": 2, "BF16": 2}


def numbers(raw, dtype):
    if dtype == "BF16":
        return list(struct.unpack(f"<{len(raw) // 2}f", b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2))))
    return list(struct.unpack(f"<{len(raw) // SIZE[dtype]}{'f' if dtype == 'F32' else 'e'}", raw))


def read_safetensors(path):
    """{name: (dtype, shape, bytes)} and the metadata; the offsets must cover the data without gaps."""
    data = Path(path).read_bytes()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    meta = header.pop("__metadata__", {})
    assert all(isinstance(v, str) for v in meta.values())
    at = 8 + size
    for name, t in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = t["data_offsets"]
        assert begin + 8 + size == at and end - begin == math.prod(t["shape"]) * SIZE[t["dtype"]], name
        at = 8 + size + end
        header[name] = t["dtype"], t["shape"], data[8 + size + begin:at]
    assert at == len(data)
    return header, meta


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def transposed(shape, raw):
    x, (rows, cols) = array.array("f", raw), shape
    return array.array("f", (x[r * cols + c] for c in range(cols) for r in range(rows))).tobytes()


class Weights(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="anel-weights-")
        cls.dir = Path(cls.folder.name)
        cls.plans = {}
        for name, source, defines in (("llama", "stories110m", LLAMA), ("gpt2", "gpt2", GPT2), ("qwen3", "qwen3_0_6b", QWEN3),
                                      ("tinyllama", "tinyllama_1_1b", LLAMA)):
            cls.plans[name] = cls.compile(name, f"{MODELS}/{source}.anel", defines)
        for name, text in (("split", SPLIT), ("untied", UNTIED)):
            (cls.dir / f"{name}.anel").write_text(text)
            cls.plans[name] = cls.compile(name, cls.dir / f"{name}.anel", [])

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def compile(cls, name, model, defines):
        plan = cls.dir / f"{name}.plan"
        run(ANEC, model, "-o", plan, *define(defines))
        return plan

    def export(self, plan, name, *args, status=0, **options):
        path = self.dir / name
        _, self.said = outcome(ANERUN, self.plans[plan], "--export", path, *args, "--threads", "1", status=status, **options)
        return path if status == 0 else self.said

    def told(self, said, *parts):
        self.assertTrue(said.startswith("anerun: "), said)
        for part in parts:
            self.assertIn(part, said)

    def same(self, one, two):
        self.assertEqual(Path(one).read_bytes(), Path(two).read_bytes())

    # ---- round trips ----

    def test_what_is_exported_comes_back_bit_by_bit(self):
        for plan in self.plans:
            one = self.export(plan, f"{plan}.safetensors", "--untrained", "--seed", "7")
            two = self.export(plan, f"{plan}-again.safetensors", "--weights", one)
            self.assertEqual(self.said, "")
            self.same(one, two)
            other = self.export(plan, f"{plan}-other.safetensors", "--untrained", "--seed", "8")
            self.assertNotEqual(one.read_bytes(), other.read_bytes())

    def test_llama2c_files_come_back_bit_by_bit(self):
        for plan in ("llama", "untied"):
            tensors = self.export(plan, f"{plan}-b.safetensors", "--untrained")
            one = self.export(plan, f"{plan}.bin", "--weights", tensors)
            self.same(one, self.export(plan, f"{plan}-2.bin", "--weights", one))
            self.same(tensors, self.export(plan, f"{plan}-b2.safetensors", "--weights", one))

    def test_the_latest_checkpoint_is_what_is_exported(self):
        text, out = self.dir / "ids", self.dir / "trained"
        text.write_bytes(struct.pack("<64H", *range(64)))
        run(ANERUN, self.plans["gpt2"], "--train", "--data", text, "--steps", "1", "--set", "accum=1", "--out", out,
            "--threads", "1", "--quiet")
        own, _ = read_safetensors(out / "ckpt-1" / "model.safetensors")
        exported, meta = read_safetensors(self.export("gpt2", "trained.safetensors", "--out", out))
        self.assertEqual(meta["format"], "pt")
        self.assertEqual(len(own), len(exported))
        for name, (_, shape, raw) in own.items():
            name = {"wte": "wte.weight", "wpe": "wpe.weight"}.get(name, name)  # the other paths are the names outside
            turned = name.startswith("h.") and name.endswith(".weight") and ".ln_" not in name
            want = ([shape[1], shape[0]], transposed(shape, raw)) if turned else (shape, raw)
            self.assertEqual(exported[name], ("F32", *want), name)
        self.same(self.dir / "trained.safetensors", self.export("gpt2", "t2.safetensors", "--ckpt", out / "ckpt-1"))

    # ---- names, shapes, order ----

    def test_names_and_shapes_are_those_of_hugging_face(self):
        d, h, q, kv, hd, v = 32, 48, 64, 32, 16, 64
        want = {"model.embed_tokens.weight": [v, d], "model.norm.weight": [d]}
        for i in range(2):
            layer = {"input_layernorm": [d], "post_attention_layernorm": [d], "self_attn.q_norm": [hd], "self_attn.k_norm": [hd],
                     "self_attn.q_proj": [q, d], "self_attn.k_proj": [kv, d], "self_attn.v_proj": [kv, d], "self_attn.o_proj": [d, q],
                     "mlp.gate_proj": [h, d], "mlp.up_proj": [h, d], "mlp.down_proj": [d, h]}
            want |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
        tensors, _ = read_safetensors(self.export("qwen3", "q.safetensors", "--untrained"))
        self.assertEqual({name: t[1] for name, t in tensors.items()}, want)

        want = {name: shape for name, shape in want.items() if "q_norm" not in name and "k_norm" not in name}
        want |= {f"model.layers.{i}.self_attn.{name}.weight": shape for i in range(2)
                 for name, shape in (("q_proj", [d, d]), ("k_proj", [d // 2, d]), ("v_proj", [d // 2, d]), ("o_proj", [d, d]))}
        tensors, _ = read_safetensors(self.export("tinyllama", "l.safetensors", "--untrained"))
        self.assertEqual({name: t[1] for name, t in tensors.items()}, want | {"lm_head.weight": [v, d]})

        d, want = 32, {"wte.weight": [64, 32], "wpe.weight": [24, 32], "ln_f.weight": [32], "ln_f.bias": [32]}
        for i in range(2):
            for name, shape in (("ln_1", [d]), ("ln_2", [d]), ("attn.c_attn", [d, 3 * d]), ("attn.c_proj", [d, d]),
                                ("mlp.c_fc", [d, 4 * d]), ("mlp.c_proj", [4 * d, d])):
                want |= {f"h.{i}.{name}.weight": shape, f"h.{i}.{name}.bias": shape[-1:]}
        tensors, _ = read_safetensors(self.export("gpt2", "g.safetensors", "--untrained"))
        self.assertEqual({name: t[1] for name, t in tensors.items()}, want)

    def test_rows_of_one_tensor_are_put_together(self):
        wide = [float(i) for i in range(16 * 32)]  # [in, out], as GPT-2 stores it
        given = {"wte.weight": ("F32", [64, 16], bytes(4 * 64 * 16)),
                 "h.0.attn.c_attn.weight": ("F32", [16, 32], struct.pack("<512f", *wide)),
                 "h.0.attn.c_attn.bias": ("F32", [24], struct.pack("<24f", *range(24)))}
        write_safetensors(self.dir / "wide.safetensors", given)
        out, _ = read_safetensors(self.export("split", "wide-again.safetensors", "--weights", self.dir / "wide.safetensors"))
        self.assertEqual(out, given)
        plan, text = self.dir / "gap.plan", SPLIT.replace("rows(16, 24))] param k:", "rows(17, 25))] param k:")
        (self.dir / "gap.anel").write_text(text)
        run(ANEC, self.dir / "gap.anel", "-o", plan)
        self.told(run(ANERUN, plan, "--untrained", "--export", self.dir / "gap.safetensors", status=1),
                  "'h.0.attn.c_attn.weight' cannot be written: no parameter has its rows 16 to 17")
        text = text.replace("rows(24, 32)", "rows(16, 24)")
        (self.dir / "gap.anel").write_text(text)
        run(ANEC, self.dir / "gap.anel", "-o", plan)
        self.told(run(ANERUN, plan, "--untrained", "--export", self.dir / "gap.safetensors", status=1),
                  "'h.0.attn.c_attn.weight' cannot hold the parameters 'v' and 'k' both")
        self.assertFalse((self.dir / "gap.safetensors").exists())

    def test_llama2c_arrays_stand_in_their_order(self):
        for plan, (dim, hidden, layers, heads, kv, vocab, seq), tied in (("llama", (32, 48, 2, 4, 2, 64, 16), True),
                                                                         ("untied", (16, 24, 1, 2, 2, 64, 16), False)):
            named, _ = read_safetensors(self.export(plan, f"{plan}-c.safetensors", "--untrained"))
            data = self.export(plan, f"{plan}-c.bin", "--weights", self.dir / f"{plan}-c.safetensors").read_bytes()
            self.assertEqual(struct.unpack_from("<7i", data), (dim, hidden, layers, heads, kv, vocab if tied else -vocab, seq))
            at, own = 28, "layers.{}.attention."
            for name in ("tok_embeddings", "layers.{}.attention_norm", own + "wq.weight", own + "wk.weight", own + "wv.weight",
                         own + "wo.weight", "layers.{}.ffn_norm", "layers.{}.feed_forward.w1.weight",
                         "layers.{}.feed_forward.w2.weight", "layers.{}.feed_forward.w3.weight", "norm"):
                for i in range(layers if "{}" in name else 1):
                    raw = named.pop(name.format(i))[2]
                    self.assertEqual(data[at:at + len(raw)], raw, name)
                    at += len(raw)
            half = dim // heads // 2
            for turn in (math.cos, math.sin):
                for k, x in enumerate(struct.unpack_from(f"<{seq * half}f", data, at)):
                    self.assertAlmostEqual(x, turn(k // half * 10000 ** (-2 * (k % half) / (2 * half))), delta=1e-5)
                at += 4 * seq * half
            if not tied:
                self.assertEqual(data[at:], named.pop("output.weight")[2])
                at = len(data)
            self.assertEqual((at, named), (len(data), {}))

    def test_numbers_are_rounded_to_nearest_even(self):
        one, _ = read_safetensors(self.export("gpt2", "f32.safetensors", "--untrained"))
        half, _ = read_safetensors(self.export("gpt2", "f16.safetensors", "--untrained", "--dtype", "f16"))
        brain, _ = read_safetensors(self.export("gpt2", "bf16.safetensors", "--untrained", "--dtype", "bf16"))
        for name, (_, shape, raw) in one.items():
            x = numbers(raw, "F32")
            self.assertEqual(half[name], ("F16", shape, struct.pack(f"<{len(x)}e", *x)), name)
            bits = struct.unpack(f"<{len(x)}I", raw)
            want = [(b + 0x7fff + (b >> 16 & 1)) >> 16 for b in bits]
            self.assertEqual(brain[name], ("BF16", shape, struct.pack(f"<{len(x)}H", *want)), name)
        for dtype in ("f16", "bf16"):  # and what is narrow already stays as it is
            again = self.export("gpt2", "again.safetensors", "--weights", self.dir / f"{dtype}.safetensors", "--dtype", dtype)
            self.same(self.dir / f"{dtype}.safetensors", again)
        one["wte.weight"] = "F32", [64, 32], struct.pack("<2048f", 70000, *range(2047))
        write_safetensors(self.dir / "large.safetensors", one)
        self.told(self.export("gpt2", "l.safetensors", "--weights", self.dir / "large.safetensors", "--dtype", "f16", status=1),
                  "'wte.weight' holds 70000, which is beyond f16: use --dtype bf16 or f32")

    # ---- what other programs write ----

    def test_a_model_in_several_files(self):
        whole = self.export("qwen3", "whole.safetensors", "--untrained")
        tensors, _ = read_safetensors(whole)
        shards = self.dir / "shards"
        shards.mkdir()
        names, where = sorted(tensors), {}
        for i in range(3):
            file = f"model-{i + 1:05}-of-00003.safetensors"
            write_safetensors(shards / file, {n: tensors[n] for n in names[i::3]})
            where |= {n: file for n in names[i::3]}
        index = shards / "model.safetensors.index.json"

        def indexed(**changes):
            index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where | changes}))
        indexed()
        self.same(whole, self.export("qwen3", "a.safetensors", "--weights", index))
        self.same(whole, self.export("qwen3", "a.safetensors", "--weights", shards))

        def refused(*parts):
            self.told(self.export("qwen3", "b.safetensors", "--weights", shards, status=1), *parts)
        indexed(**{names[0]: "../whole.safetensors"})
        refused(f"the file of tensor '{names[0]}' is not named by a plain name")
        indexed(extra=where[names[0]])
        refused("holds the tensor 'extra', but it does not")
        indexed(extra="model-4.safetensors")
        refused("cannot open", "model-4.safetensors")
        shutil.copy(whole, shards / "model-4.safetensors")
        refused("is in another file")
        index.write_text("{")
        refused("is no index of safetensors files")
        index.unlink()
        refused("has neither model.safetensors nor model.safetensors.index.json")
        shutil.copy(whole, shards / "model.safetensors")
        self.same(whole, self.export("qwen3", "a.safetensors", "--weights", shards))

    def test_names_with_and_without_the_prefix_of_the_class(self):
        whole = self.export("gpt2", "p.safetensors", "--untrained")
        tensors, _ = read_safetensors(whole)
        given = {f"transformer.{name}": t for name, t in tensors.items()}
        write_safetensors(self.dir / "prefixed.safetensors", given | {"lm_head.weight": tensors["wte.weight"]})
        self.same(whole, self.export("gpt2", "p2.safetensors", "--weights", self.dir / "prefixed.safetensors"))
        self.assertEqual(self.said, "")
        write_safetensors(self.dir / "masks.safetensors", given | {"transformer.h.0.attn.bias": ("F32", [1], bytes(4))})
        self.same(whole, self.export("gpt2", "p2.safetensors", "--weights", self.dir / "masks.safetensors"))
        self.assertIn("note: no parameter takes 1 of the 29 tensors of", self.said)
        self.assertIn("the first one 'transformer.h.0.attn.bias'", self.said)
        whole = self.export("qwen3", "q.safetensors", "--untrained")
        tensors, _ = read_safetensors(whole)
        write_safetensors(self.dir / "bare.safetensors", {name.removeprefix("model."): t for name, t in tensors.items()})
        self.same(whole, self.export("qwen3", "q2.safetensors", "--weights", self.dir / "bare.safetensors"))

    def test_classifiers_that_are_tied_and_not(self):
        tied = self.export("llama", "tied.safetensors", "--untrained")
        tensors, _ = read_safetensors(tied)
        other = tensors | {"output.weight": ("F32", [64, 32], struct.pack("<2048f", *range(2048)))}
        write_safetensors(self.dir / "own.safetensors", other)
        self.told(self.export("llama", "x.safetensors", "--weights", self.dir / "own.safetensors", status=1),
                  "has a classifier of its own, the tensor 'output.weight', but the model uses its embedding for it")
        tensors, _ = read_safetensors(self.export("untied", "u.safetensors", "--untrained"))
        del tensors["output.weight"]
        write_safetensors(self.dir / "without.safetensors", tensors)
        out, _ = read_safetensors(self.export("untied", "u2.safetensors", "--weights", self.dir / "without.safetensors"))
        self.assertEqual(out["output.weight"], tensors["tok_embeddings"])

    # ---- what goes wrong ----

    def test_mistakes_are_told(self):
        self.told(self.export("gpt2", "m.bin", "--untrained", status=1), "model 'GPT2' is no llama as llama2.c knows it")
        self.told(self.export("gpt2", "m.pt", "--untrained", status=1), "ends in neither .safetensors nor .bin")
        self.told(self.export("gpt2", "m.pt", "--untrained", "--format", "onnx", status=1), "--format is safetensors or llama2c")
        self.told(self.export("gpt2", "m.safetensors", "--untrained", "--dtype", "f8", status=1), "--dtype is f32, f16 or bf16")
        self.told(self.export("llama", "m.bin", "--untrained", "--dtype", "f16", status=1), "llama2.c files are f32")
        self.told(self.export("gpt2", "m.safetensors", "--train", status=2), "--export does not go with --train")
        self.told(run(ANERUN, self.plans["gpt2"], "--train", "--dtype", "f16", status=2), "--format and --dtype are for --export")
        self.told(self.export("gpt2", "m.safetensors", status=1), "there is no checkpoint at")
        self.assertFalse(list(self.dir.glob("m.*")) + list(self.dir.glob(".m.*")))
        (self.dir / "torch.bin").write_bytes(b"PK\3\4" + bytes(100))
        self.told(self.export("llama", "m.bin", "--weights", self.dir / "torch.bin", status=1), "is no llama2.c file but one of PyTorch")

    def test_a_place_that_cannot_be_written(self):
        (self.dir / "file").write_text("x")
        (self.dir / "taken.safetensors").mkdir(exist_ok=True)
        for name in ("nowhere/x.safetensors", "nowhere/x.bin", "file/x.safetensors", "taken.safetensors"):
            self.told(self.export("llama", name, "--untrained", status=1), "cannot write", name.rsplit("/", maxsplit=1)[-1])

    def test_a_full_disk_leaves_what_was_there(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        for name in ("full.safetensors", "full.bin"):
            good = self.export("llama", name, "--untrained").read_bytes()
            said = self.export("llama", name, "--untrained", "--seed", "9", status=1, preexec_fn=limit)
            self.told(said, "cannot write", "File too large")
            self.assertEqual((self.dir / name).read_bytes(), good)
            self.assertEqual(list(self.dir.glob(".full*")), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
