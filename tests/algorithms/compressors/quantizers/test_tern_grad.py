"""TernGrad."""

from __future__ import annotations

import math

import numpy as np
import pytest

from algorithms import TernGrad
from algorithms.compressors.wire import symbols
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import awkward, buckets_of, decoded, uniforms
from tests.algorithms.helpers import Array

KEY = Key(0x0123456789ABCDEF, 5, 0)


def literal(g: Array, clip: float | None, bucket: int) -> Array:
    draws, found = uniforms(KEY.own, len(g), g.dtype.type), []
    for part, u in zip(buckets_of(g, bucket), buckets_of(draws, bucket), strict=True):
        if clip is not None:
            limit = clip * np.sqrt(np.mean((part - part.mean()) ** 2))
            part = np.clip(part, -limit, limit)
        s = np.abs(part).max()
        found.append(s * np.sign(part) * (u < np.abs(part) / (s or 1)))
    return np.concatenate(found)


@pytest.mark.parametrize("clip", [None, 0.5, 2.5])
@pytest.mark.parametrize("bucket", [None, 5])
def test_tern_grad(clip: float | None, bucket: int | None) -> None:
    compressor = TernGrad(clip=clip, bucket=bucket)
    for x in awkward(23):
        if clip is not None and np.ptp(x) == 0:
            continue  # the deviation of equal numbers is what rounding leaves
        found, payload = decoded(compressor, x, KEY)
        np.testing.assert_allclose(found, literal(x, clip, bucket or 23), rtol=1e-12)
        assert len(payload) == 8 * math.ceil(23 / (bucket or 23)) + symbols.length(23, 3)


def test_equal_entries_are_clipped_away() -> None:
    found, _ = decoded(TernGrad(clip=2.5, bucket=4), np.array([2.0, 2, 2, 2, -0.5]), KEY)
    np.testing.assert_array_equal(found, np.zeros(5))


def test_the_second_moment() -> None:
    """E|C|^2 = |g|_inf |g|_1."""
    x, draws = np.random.default_rng(0).normal(size=40), 4000
    squares = np.array([(decoded(TernGrad(), x, KEY.part(i))[0] ** 2).sum() for i in range(draws)])
    expected = np.abs(x).max() * np.abs(x).sum()
    assert abs(squares.mean() - expected) < 5 * squares.std() / math.sqrt(draws)
    # The same from the probabilities of the definition, and the largest ratio that it comes to.
    for d in (1, 2, 16, 100):
        worst = np.full(d, 1 / (1 + math.sqrt(d)))
        worst[0] = 1
        ratio = np.abs(worst).max() * np.abs(worst).sum() / (worst**2).sum()
        assert ratio == pytest.approx((1 + math.sqrt(d)) / 2) == pytest.approx(1 + TernGrad().omega(d))
    assert TernGrad(bucket=16).omega(100) == 1.5


def test_constants() -> None:
    assert TernGrad(clip=2.5).biased
    assert TernGrad(clip=2.5).omega(5) == math.inf
    assert TernGrad(clip=2.5).alpha(5) == 0
    assert TernGrad(clip=2.5).b3(5) is None
    assert not TernGrad().biased
    assert TernGrad(bucket=10).paper_bits(25, 4) == 3 * 31 + 25 * math.log2(3)


def test_validation() -> None:
    for clip in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"TernGrad: clip = {clip} is not allowed; it must be > 0 and finite"):
            TernGrad(clip=clip)
    with pytest.raises(ValueError, match="TernGrad: bucket = 0"):
        TernGrad(bucket=0)
