"""The operators under test, and what their tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from algorithms import (
    ORQ,
    QSGD,
    AdaptiveRandom,
    Atomo,
    Bernoulli,
    BinGradB,
    BinGradPB,
    Blocks,
    Composed,
    Compressor,
    Contraction,
    ExponentialDithering,
    Float,
    GeneralRounding,
    Identity,
    Induced,
    InfinityNorm,
    Kashin,
    Message,
    NaturalCompression,
    NaturalDithering,
    OneBit,
    PermK,
    PerTensor,
    Polyline,
    PowerSGD,
    QTopK,
    RandomBlock,
    RandomK,
    ScaledSign,
    Sign,
    SignTopK,
    SparseDithering,
    Spherical,
    Switched,
    TernGrad,
    Threshold,
    TopK,
)
from algorithms.randomness import Draw, Key
from tests.algorithms.helpers import Array

HEADER = 24
NODES = 8  # whose keys the rows of a stack have in turn
EVERY = [
    Identity(),
    TopK(k=2),
    ScaledSign(),
    Sign(),
    RandomK(k=2),
    RandomK(fraction=0.5, unbiased=True),
    QSGD(),
    QSGD(levels=1, norm="max", bucket=5),
    Contraction(QSGD(levels=2)),
    InfinityNorm(),
    InfinityNorm(bits=3, bucket=4, coding="entropy"),
    TernGrad(bucket=5, coding="entropy"),
    TernGrad(clip=2.5),
    ExponentialDithering(base=3.0, levels=4, norm=1.5, bucket=6),
    NaturalDithering(),
    NaturalDithering(levels=3, norm="max", bucket=7, coding="entropy"),
    NaturalCompression(),
    GeneralRounding(base=3.0),
    GeneralRounding(base=1.5, biased=True),
    OneBit(bucket=7),
    BinGradB(),
    BinGradPB(bucket=6),
    ORQ(),
    ORQ(levels=3, bucket=6, clip=2.5, coding="entropy"),
    Float(),
    Float(format="float8_e4m3fn"),
    AdaptiveRandom(),
    Threshold(0.5),
    RandomBlock(ratio=2, blocks=10),
    PermK(nodes=8),
    PermK(nodes=50),
    Bernoulli(0.7),
    Composed(TopK(fraction=0.5), QSGD(levels=2)),
    Composed(Threshold(0.5), ScaledSign()),
    Composed(RandomBlock(ratio=3, blocks=4), QSGD(levels=1)),
    Composed(RandomK(k=3, unbiased=True), QSGD(levels=3)),
    SignTopK(k=3),
    QTopK(k=3, levels=4, scaled=False),
    Induced(TopK(k=2), QSGD(levels=2)),
    PerTensor(RandomK(fraction=0.5, unbiased=True)),
    Switched(TopK(fraction=0.5), ScaledSign()),
    Blocks(TopK(fraction=0.5), 3),
    Blocks(QSGD(levels=3), 3),
    Atomo(budget=2),
    Atomo(atoms="singular", budget=1),
    Kashin(bucket=8),
    PowerSGD(rank=1),
    SparseDithering(),
    SparseDithering(nu=0.5, randomized=True),
    Spherical(),
    Polyline(),
    Polyline(precision=6, delta=True),
]


def compress(compressor: Compressor, x: Array | torch.Tensor, round: int = 0) -> Message:
    x = torch.as_tensor(x)
    nodes = [row % NODES for row in range(len(x))]
    return compressor.compress(x, Draw(seed=0, purpose="compression", nodes=nodes, round=round))


def decoded(compressor: Compressor, x: Array, key: Key) -> tuple[Array, Array]:
    """(C(x), its payload) of one vector."""
    payload = compressor.encode(torch.from_numpy(x), key)
    out = torch.empty(len(x), dtype=torch.from_numpy(x).dtype)
    compressor.decode(payload, out)
    return out.numpy(), payload.numpy()


def buckets_of(x: Array, bucket: int) -> list[Array]:
    return [x[start : start + bucket] for start in range(0, len(x), bucket)]


def awkward(d: int) -> list[Array]:
    """Vectors in double precision that are not like random ones."""
    random = np.random.default_rng(d)
    spike = np.zeros(d)
    spike[d // 2] = -3.0
    return [
        np.zeros(d),
        spike,
        np.ones(d),
        np.full(d, -0.3),
        np.tile([1.0, -1.0], d)[:d],
        np.arange(1.0, d + 1) ** -1.5,
        random.standard_cauchy(d),
        1e-42 * random.normal(size=d),
        1e30 * random.normal(size=d),
        random.integers(-1, 2, d) * 1.0,
        random.lognormal(sigma=3.0, size=d),
    ]


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


def uniforms(key: int, d: int, dtype: type) -> Array:
    """The numbers in [0, 1) that quantizers round with, literally: counters that are scrambled, 24 or 32 bits each."""
    mask = 0xFFFFFFFF
    words = []
    for i in range(d):
        h = (i * 0x9E3779B9 + (key & mask)) & mask
        h = (h ^ (h >> 16)) * 0x85EBCA6B & mask
        h = (h ^ (h >> 13) ^ (key >> 32)) * 0xC2B2AE35 & mask
        h = (h ^ (h >> 16)) * 0x7FEB352D & mask
        words.append((h >> 8) / 2**24 if dtype == np.float32 else h / 2**32)
    return np.array(words)


@st.composite
def stacks(draw: Any) -> tuple[Array, int]:
    """A stack of up to 4 rows with many zeros, ties and magnitudes, and a k for it."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rows, d = draw(st.integers(1, 4)), draw(st.integers(1, 20))
    width = np.dtype(dtype).itemsize * 8
    numbers = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -2.0]) | st.floats(-(2.0**20), 2.0**20, width=width)
    return draw(nps.arrays(dtype, (rows, d), elements=numbers)), draw(st.integers(1, d))


def kept_entries(x: Array, k: int) -> Array:
    """(rows, d) bools: which entries are kept, even where their value is 0."""
    order = np.argsort(-np.abs(x), axis=1, kind="stable")
    kept = np.zeros(x.shape, bool)
    np.put_along_axis(kept, order[:, :k], True, axis=1)
    return kept


def adversarial(d: int, dtype: type) -> Array:
    """(rows, d) vectors that are hard for some operator, in single or double precision."""
    random = np.random.default_rng(0)
    spike, index = np.zeros(d), np.arange(1, d + 1)
    spike[d // 2] = -3
    rows = [np.zeros(d), spike, np.ones(d), (-1.0) ** index, index**-1.5, random.standard_cauchy(d)]
    rows += [scale * random.standard_normal(d) for scale in (1, 1e-30, 1e30)]
    rows += [(random.random(d) < 0.1) * random.standard_normal(d), np.round(random.standard_normal(d))]
    return np.array(rows, dtype)


hypothesis = settings(deadline=None, database=None, derandomize=True, max_examples=200)
