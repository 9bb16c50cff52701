"""LEAD's quantizer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from algorithms import QSGD, InfinityNorm
from algorithms.compressors.wire import symbols
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import awkward, buckets_of, decoded, uniforms
from tests.algorithms.helpers import Array

KEY = Key(0x0123456789ABCDEF, 5, 0)


def literal(z: Array, bits: int, bucket: int) -> Array:
    """Delta sign(z) floor(|z| / Delta + u), with 1 minus the drawn numbers for u."""
    draws, found = 1 - uniforms(KEY.own, len(z), z.dtype.type), []
    for part, u in zip(buckets_of(z, bucket), buckets_of(draws, bucket), strict=True):
        delta = np.abs(part).max() / 2 ** (bits - 1)
        found.append(delta * np.sign(part) * np.floor(np.abs(part) / (delta or 1) + u))
    return np.concatenate(found)


def variance(x: Array, s: int) -> float:
    """Exactly, by x's squared norm."""
    step = np.abs(x).max() / s
    share = np.abs(x) / step % 1
    return float((step**2 * share * (1 - share)).sum() / (x**2).sum())


@pytest.mark.parametrize("bits", [1, 2, 5])
@pytest.mark.parametrize("bucket", [4, 13, 512])
def test_infinity_norm(bits: int, bucket: int) -> None:
    compressor = InfinityNorm(bits=bits, bucket=bucket)
    for x in awkward(13):
        found, payload = decoded(compressor, x, KEY)
        np.testing.assert_allclose(found, literal(x, bits, bucket), rtol=1e-12)
        assert len(payload) == 8 * math.ceil(13 / bucket) + symbols.length(13, 2**bits + 1)
        other, same = decoded(QSGD(levels=2 ** (bits - 1), norm="max", bucket=bucket), x, KEY)
        np.testing.assert_array_equal(found, other)
        np.testing.assert_array_equal(payload, same)


def test_two_bits_are_five_symbols() -> None:
    x = np.random.default_rng(0).normal(size=512).astype(np.float32)
    compressor = InfinityNorm()
    x[:2] = -4, 4
    found, payload = decoded(compressor, x, KEY)
    assert set(found.tolist()) == {-4.0, -2.0, 0.0, 2.0, 4.0}
    assert compressor.paper_bits(512, 4) == 31 + 512 * math.log2(5)
    assert len(payload) == 4 + 8 * 18 + math.ceil(26 * math.log2(5) / 8)
    error = np.mean([((decoded(compressor, x, KEY.part(i))[0] - x) ** 2).sum() for i in range(50)]) / (x**2).sum()
    assert error == pytest.approx(variance(x.astype(np.float64), 2), rel=0.05)
    assert compressor.entropy_bits(compressor.encode(torch.from_numpy(x), KEY), 512, 4) < 32 + 512 * math.log2(5)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("d", [2, 9, 512])
def test_omega_is_the_largest_variance(bits: int, d: int) -> None:
    s, omega = 2 ** (bits - 1), InfinityNorm(bits=bits).omega(d)
    worst = np.full(d, s * (math.sqrt(s**2 + d - 1) - s) / (d - 1))
    worst[0] = s
    assert variance(worst, s) == pytest.approx(omega)
    assert omega <= d / 4**bits
    random = np.random.default_rng(0)
    for _ in range(300):
        x = random.normal(size=d) * random.lognormal(sigma=random.uniform(0, 3), size=d)
        assert variance(x, s) <= omega * (1 + 1e-12)
    assert InfinityNorm(bits=bits, bucket=9).omega(512) == InfinityNorm(bits=bits).omega(9)


def test_validation() -> None:
    with pytest.raises(ValueError, match="InfinityNorm: bits = 0 is not allowed; it must be >= 1 and <= 20"):
        InfinityNorm(bits=0)
    with pytest.raises(ValueError, match="InfinityNorm: bucket = 0"):
        InfinityNorm(bucket=0)
    with pytest.raises(ValueError, match="InfinityNorm: coding = 'entropy' is not allowed"):
        InfinityNorm(bits=14, coding="entropy")
