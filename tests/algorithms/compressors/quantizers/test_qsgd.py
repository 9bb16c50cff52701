"""QSGD."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from algorithms import QSGD
from algorithms.compressors.wire import symbols
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import HEADER, uniforms
from tests.algorithms.helpers import Array


def levels_of(x: Array, s: int, norm: str, bucket: int, key: int) -> tuple[Array, Array]:
    """What QSGD makes of one vector, entry by entry, and the variance of each entry."""
    d = len(x)
    draws = uniforms(key, d, x.dtype.type)
    found, variance = np.zeros(d), np.zeros(d)
    for i in range(d):
        part = x[i // bucket * bucket :][:bucket].astype(np.float64)
        scale = np.sqrt((part**2).sum()) if norm == "l2" else np.abs(part).max()
        place = s * abs(x[i]) / scale if scale else 0.0
        found[i] = scale * np.sign(x[i]) * min(math.floor(place) + (draws[i] < place % 1), s) / s
        variance[i] = (scale / s) ** 2 * (place % 1) * (1 - place % 1)
    return found, variance


@pytest.mark.parametrize("norm", ["l2", "max"])
@pytest.mark.parametrize("s", [1, 2, 7, 100])
@pytest.mark.parametrize("bucket", [4, 10, 13])
def test_qsgd(norm: str, s: int, bucket: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, 13))
    compressor = QSGD(levels=s, norm=norm, bucket=bucket)
    draw = Draw(0, "compression", range(3), 0)
    message = compressor.compress(torch.from_numpy(x), draw)
    for row in range(3):
        expected, _ = levels_of(x[row], s, norm, bucket, draw.key(row).own)
        np.testing.assert_allclose(message.dense()[row], expected, rtol=1e-12)
    buckets = math.ceil(13 / bucket)
    assert message.nbytes.tolist() == [HEADER + 8 * buckets + symbols.length(13, 2 * s + 1)] * 3
    whole, rest = divmod(13, math.floor(64 / math.log2(2 * s + 1)))
    assert 8 * whole + rest * math.log2(2 * s + 1) / 8 <= symbols.length(13, 2 * s + 1) <= 8 * whole + 8
