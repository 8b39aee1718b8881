"""pytorch_peer.py CASE THREADS WARMUP STEPS: what bench/pytorch.py compares with. Prints one JSON object: milliseconds of
each training step, in fp32, after the warm-up.

The models are those of models/layer768.anel and models/stories110m.anel: shapes, losses, gradients, optimizers with a
step for every sequence, clipping. Projections that read the same value are one product, as a person who cares for speed
would write it. What has to be in the environment before the process starts is set by bench/pytorch.py.
"""
import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

DIM, HIDDEN, HEADS = 768, 2048, 12
HEAD = DIM // HEADS


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(DIM))

    def forward(self, x):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * self.gain


def rotate(x, cos, sin):
    """Neighbouring pairs of the last axis by an angle per position; x: [heads, seq, HEAD]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Layer(nn.Module):
    def __init__(self, seq, rope):
        super().__init__()
        self.before_attention, self.before_mlp = Norm(), Norm()
        self.qkv = nn.Linear(DIM, 3 * DIM, bias=False)
        self.out = nn.Linear(DIM, DIM, bias=False)
        self.gate_up = nn.Linear(DIM, 2 * HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, DIM, bias=False)
        self.rope = rope
        angle = torch.outer(torch.arange(seq).float(), 10000.0 ** (-torch.arange(0, HEAD, 2).float() / HEAD))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        self.register_buffer("mask", torch.full((seq, seq), -math.inf).triu(1), persistent=False)

    def forward(self, x):  # [seq, DIM]
        seq = x.shape[0]
        q, k, v = self.qkv(self.before_attention(x)).view(seq, 3, HEADS, HEAD).permute(1, 2, 0, 3)
        if self.rope:
            q, k = rotate(q, self.cos, self.sin), rotate(k, self.cos, self.sin)
        p = torch.softmax(q @ k.transpose(1, 2) * (1 / math.sqrt(HEAD)) + self.mask, -1)
        x = x + self.out((p @ v).transpose(0, 1).reshape(seq, DIM))
        gate, up = self.gate_up(self.before_mlp(x)).split(HIDDEN, -1)
        return x + self.down(F.silu(gate) * up)


class Stories(nn.Module):
    def __init__(self, seq, layers=12, vocab=32000):
        super().__init__()
        self.embed = nn.Embedding(vocab, DIM)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.layers = nn.Sequential(*(Layer(seq, True) for _ in range(layers)))
        self.norm = Norm()

    def forward(self, tokens):
        return F.linear(self.norm(self.layers(self.embed(tokens))), self.embed.weight)


def main():
    case, threads, warmup, steps = sys.argv[1], *map(int, sys.argv[2:5])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    if case == "layer768":
        model = Layer(512, False)
        x, target = torch.randn(512, DIM), torch.randn(512, DIM)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss = F.mse_loss(model(x), target)
            loss.backward()
            optimizer.step()
    else:
        model = Stories(256)
        tokens, target = torch.randint(32000, (256,)), torch.randint(32000, (256,))
        decayed = [p for p in model.parameters() if p.dim() > 1]
        others = [p for p in model.parameters() if p.dim() <= 1]
        optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
                                      lr=3e-4, betas=(0.9, 0.95))

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(tokens), target)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    ms = []
    for _ in range(warmup + steps):
        start = time.perf_counter()
        step()
        ms.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"ms": ms[warmup:], "torch": torch.__version__}))


main()
