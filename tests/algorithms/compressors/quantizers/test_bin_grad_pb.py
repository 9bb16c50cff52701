"""BinGrad-pb."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from algorithms import BinGradPB
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import awkward, buckets_of, decoded, uniforms
from tests.algorithms.helpers import Array

KEY = Key(0x0123456789ABCDEF, 5, 0)


def objective(b: float, v: Array) -> float:
    inside = np.abs(v) <= b
    return float((b**2 - v[inside] ** 2).sum() + ((np.abs(v[~inside]) - b) ** 2).sum())


def magnitudes(compressor: BinGradPB, x: Array) -> Array:
    _, payload = decoded(compressor, x, KEY)
    return payload[-8 * math.ceil(len(x) / (compressor.bucket or len(x))) :].view("<f8")


@pytest.mark.parametrize("bucket", [None, 1, 7])
def test_bin_grad_pb(bucket: int | None) -> None:
    compressor, d = BinGradPB(bucket=bucket), 40
    for x in awkward(d):
        found, payload = decoded(compressor, x, KEY)
        levels = magnitudes(compressor, x)
        assert len(payload) == 8 * len(levels) + 5
        draws = buckets_of(uniforms(KEY.own, d, np.float64), bucket or d)
        parts = [buckets_of(each, bucket or d) for each in (x, found)]
        for b, part, chosen, u in zip(levels, *parts, draws, strict=True):
            scale = np.abs(part).max() or 1
            np.testing.assert_array_equal(np.abs(chosen), b)
            up = np.where(np.abs(part) <= b, u < (part + b) / (2 * b or 1), part > 0)
            np.testing.assert_array_equal(chosen > 0, up & (b > 0))
            best = minimize_scalar(objective, bounds=(0, 1), args=(part / scale,), method="bounded")
            assert objective(b / scale, part / scale) <= best.fun + 1e-9
            # b solves the equation, or the right side falls from above b to below it there.
            above = np.abs(part)[np.abs(part) > b].sum() / len(part)
            with_b = np.abs(part)[np.abs(part) >= b].sum() / len(part)
            assert above <= b * (1 + 1e-12)
            assert with_b >= b * (1 - 1e-12)
            # The error of the class, and the bounds of all classes.
            y, size = part / scale, len(part)
            small = (y[np.abs(part) <= b] ** 2).sum()
            c, whole = b / scale, (y**2).sum()
            if above == pytest.approx(b, rel=1e-9, abs=0):
                assert objective(c, y) == pytest.approx(whole - size * c**2 - 2 * small, abs=1e-9)
            assert objective(c, y) <= (1 - compressor.alpha(size)) * whole + 1e-9
            b1, b2 = compressor.b1(size), compressor.b2(size)
            inner = size * c**2 + small
            assert b1.alpha * whole - 1e-12 <= size * c**2 <= b1.beta * inner + 1e-12
            assert max(b2.gamma * whole, size * c**2 / b2.beta) <= inner + 1e-12


def test_single_precision() -> None:
    for x in awkward(40):
        x = x.astype(np.float32)
        found, payload = decoded(BinGradPB(bucket=8), x, KEY)
        np.testing.assert_array_equal(np.abs(found).reshape(5, 8), np.tile(payload[-20:].view("<f4")[:, None], 8))


def test_a_normal_vector() -> None:
    x = np.random.default_rng(0).normal(size=1 << 18)
    b = magnitudes(BinGradPB(bucket=None), x)
    assert b == pytest.approx(0.647, abs=0.003)
    assert objective(b[0], x) / len(x) == pytest.approx(0.4535, abs=0.003)


@pytest.mark.parametrize("d", [1, 2, 10])
def test_a_spike_attains_the_contraction(d: int) -> None:
    x = np.zeros(d)
    x[0] = 3.0
    (b,) = magnitudes(BinGradPB(), x)
    assert b == pytest.approx(3 / d)
    assert objective(b, x) == pytest.approx((1 - BinGradPB().alpha(d)) * 9)
    filled = np.full(d, b)
    filled[0] = d * b  # as large as the others can be
    b1 = BinGradPB().b1(d)
    assert d * magnitudes(BinGradPB(), filled)[0] ** 2 == pytest.approx(b1.alpha * (filled**2).sum())


def test_inside_it_is_unbiased() -> None:
    copies = 40_000
    x = np.tile([0.1, -0.2, 3.0], copies)
    found, _ = decoded(BinGradPB(bucket=None), x, KEY)
    b = float(np.abs(found[0]))
    assert b == pytest.approx(1.0)
    for i, mean in enumerate((0.1, -0.2, 1.0)):
        assert abs(found[i::3].mean() - mean) <= 5 * math.sqrt((1 - mean**2) / copies) + 1e-12


def test_constants() -> None:
    compressor = BinGradPB(bucket=10)
    assert compressor.paper_bits(25, 4) == 3 * 31 + 25
    assert compressor.alpha(25) == 0.1
    assert compressor.b1(25) == (10 / 109, 1)
    assert compressor.b2(25) == (0.1, 1)
    assert compressor.biased
    with pytest.raises(ValueError, match="BinGradPB: bucket = 0 is not allowed; it must be >= 1"):
        BinGradPB(bucket=0)
