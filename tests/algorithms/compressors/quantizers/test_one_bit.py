"""1-bit SGD and BinGrad-b: two levels at conditional means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from algorithms import BinGradB, Compressor, OneBit
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import awkward, buckets_of, decoded
from tests.algorithms.helpers import Array

KEY = Key(1, 2, 3)


def literal(x: Array, bucket: int, with_mean: bool) -> Array:
    found = []
    for part in buckets_of(x, bucket):
        low = part < (part.mean() if with_mean else 0)
        values = np.empty_like(part)
        for side in (low, ~low):
            if side.any():
                values[side] = part[side].mean()
        found.append(values)
    return np.concatenate(found)


@pytest.mark.parametrize("kind", [OneBit, BinGradB])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bucket", [None, 1, 5])
def test_conditional_means(kind: type[OneBit | BinGradB], dtype: type, bucket: int | None) -> None:
    compressor, d = kind(bucket=bucket), 33
    for x in awkward(d):
        x = x.astype(dtype)
        found, payload = decoded(compressor, x, KEY)
        scale = np.abs(x).max() or 1
        y, z = x.astype(np.float64) / scale, found.astype(np.float64) / scale
        precision = 1e-6 if dtype == np.float32 else 1e-14
        if np.ptp(x) > 0 and scale > 1e-30:
            np.testing.assert_allclose(z, literal(y, bucket or d, kind is BinGradB), atol=precision, rtol=0)
        np.testing.assert_allclose(
            ((z - y) ** 2).sum(), (y**2).sum() - (z**2).sum(), atol=0.01 if scale < 1e-30 else 1e-5
        )
        assert (z**2).sum() >= compressor.alpha(d) * (y**2).sum() * (1 - 1e-5)
        assert len(payload) == 2 * x.itemsize * math.ceil(d / (bucket or d)) + math.ceil(d / 8)
        if bucket == 1:
            np.testing.assert_array_equal(found, x)


def test_empty_sides_and_order() -> None:
    found, payload = decoded(OneBit(), np.array([1.0, 3.0, 0.0]), KEY)
    np.testing.assert_allclose(found, np.full(3, 4 / 3))
    np.testing.assert_array_equal(payload[-16:].view("<f8"), [4 / 3, 0])
    found, payload = decoded(OneBit(), np.array([-1.0, -3.0, 0.0]), KEY)
    np.testing.assert_array_equal(found, [-2, -2, 0])
    assert payload[0] == 0b011
    for value in (0.1, -7.3, 1e-320):
        np.testing.assert_allclose(decoded(BinGradB(), np.full(50, value), KEY)[0], value, rtol=1e-15)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 9, 100])
def test_contractions_are_attained(d: int) -> None:
    spike = np.zeros(d)
    spike[0] = 2.0
    found, _ = decoded(OneBit(), spike, KEY)
    assert (found**2).sum() == pytest.approx(OneBit().alpha(d) * 4)
    if d > 1:
        spikes = np.full(d, -1e-9)
        spikes[: (d + 1) // 2] = 1e-9
        spikes[0], spikes[-1] = 1.0, -1.0
        found, _ = decoded(BinGradB(), spikes, KEY)
        assert (found**2).sum() == pytest.approx(BinGradB().alpha(d) * (spikes**2).sum(), rel=1e-6)
    random = np.random.default_rng(0)
    for _ in range(100):
        x = random.normal(size=d) * random.lognormal(sigma=3, size=d)
        for compressor in (OneBit(), BinGradB()):
            found, _ = decoded(compressor, x, KEY)
            kept = (found**2).sum()
            assert kept >= compressor.alpha(d) * (x**2).sum() * (1 - 1e-9)
            assert kept == pytest.approx((found * x).sum())


def test_a_normal_vector() -> None:
    x = np.random.default_rng(0).normal(size=1 << 18)
    for compressor in (BinGradB(bucket=None), OneBit()):
        found, _ = decoded(compressor, x, KEY)
        assert ((x - found) ** 2).mean() == pytest.approx(1 - 2 / math.pi, abs=0.005)


@pytest.mark.parametrize("compressor", [OneBit(bucket=10), BinGradB(bucket=10)], ids=str)
def test_constants(compressor: Compressor) -> None:
    assert compressor.paper_bits(25, 4) == 3 * 64 + 25
    assert compressor.b1(25) == compressor.b2(25) == (compressor.alpha(25), 1)
    assert compressor.b3(25) == (1 / compressor.alpha(25), 1)
    assert compressor.alpha(25) == (1 / 10 if isinstance(compressor, OneBit) else 1 / 5)
    assert compressor.omega(25) == math.inf


def test_validation() -> None:
    for kind in (OneBit, BinGradB):
        with pytest.raises(ValueError, match=f"{kind.__name__}: bucket = 0 is not allowed; it must be >= 1"):
            kind(bucket=0)
