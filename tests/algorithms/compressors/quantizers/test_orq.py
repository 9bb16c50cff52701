"""ORQ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from algorithms import ORQ
from algorithms.compressors.wire import symbols
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import awkward, buckets_of, decoded, uniforms
from tests.algorithms.helpers import Array

KEY = Key(0x0123456789ABCDEF, 5, 0)


def error(levels: Array, v: Array) -> float:
    """Of unbiased rounding to the two next levels, exactly."""
    levels = np.unique(levels)
    if len(levels) < 2:
        return 0.0
    k = np.clip(np.searchsorted(levels, v, side="right") - 1, 0, len(levels) - 2)
    return float(((v - levels[k]) * (levels[k + 1] - v)).sum())


def greedy(v: Array, s: int) -> Array:
    """Recursive halving, the middle level by comparing all entries with each other."""

    def between(low: float, high: float, levels: int) -> list[float]:
        if levels == 0:
            return []
        inside = v[(v >= low) & (v <= high)]
        errors = [error(np.array([low, b, high]), inside) for b in inside]
        middle = float(inside[int(np.argmin(errors))])
        return [*between(low, middle, levels // 2), middle, *between(middle, high, levels // 2)]

    return np.array([v.min(), *between(v.min(), v.max(), s - 2), v.max()])


def levels_of(compressor: ORQ, x: Array) -> Array:
    """(buckets, s)"""
    _, payload = decoded(compressor, x, KEY)
    buckets = math.ceil(len(x) / (compressor.bucket or len(x)))
    return payload[-8 * buckets * compressor.levels :].view("<f8").reshape(buckets, -1)


@pytest.mark.parametrize("s", [3, 5, 9])
@pytest.mark.parametrize("bucket", [None, 1, 2, 16])
def test_orq(s: int, bucket: int | None) -> None:
    compressor, d = ORQ(levels=s, bucket=bucket), 41
    for x in awkward(d):
        found, payload = decoded(compressor, x, KEY)
        all_levels = levels_of(compressor, x)
        assert len(payload) == 8 * all_levels.size + symbols.length(d, s)
        draws = buckets_of(uniforms(KEY.own, d, np.float64), bucket or d)
        parts = [buckets_of(each, bucket or d) for each in (x, found)]
        for levels, part, chosen, u in zip(all_levels, *parts, draws, strict=True):
            assert (np.diff(levels) >= 0).all()
            assert (levels[0], levels[-1]) == (part.min(), part.max())
            assert np.isin(levels, part).all()
            scale = np.abs(part).max() or 1
            expected = greedy(part / scale, s)
            if s == 3:  # of further levels, equally good first ones may make different ones
                assert error(levels / scale, part / scale) == pytest.approx(error(expected, part / scale), abs=1e-12)
            bound = compressor.omega(len(part)) * ((part / scale) ** 2).sum()
            assert error(levels / scale, part / scale) <= bound + 1e-12
            for value, draw, result in zip(part, u, chosen, strict=True):
                below = max(level for level in levels if level <= value)
                above = min(level for level in levels if level >= value)
                up = above > below and draw < (value - below) / (above - below)
                assert result == (above if up else below)


@pytest.mark.parametrize("s", [3, 5, 9])
@pytest.mark.parametrize("law", ["normal", "laplace", "exponential"])
def test_levels_are_stationary_and_better_than_uniform_ones(s: int, law: str) -> None:
    n = 3000
    x = getattr(np.random.default_rng(0), law)(size=n)
    (levels,) = levels_of(ORQ(levels=s, bucket=None), x)
    step = s - 1
    while step > 1:  # the level between each two of the level of halving before
        for low, high in zip(levels[:-1:step], levels[step::step], strict=True):
            middle = levels[np.flatnonzero(levels == low)[0] + step // 2]
            inside = x[(x >= low) & (x <= high)]
            above = ((inside >= middle) & (inside <= high)).sum()
            assert abs(above - (inside - low).sum() / (high - low)) <= 1 + 1e-6
        step //= 2
    assert error(levels, x) <= error(np.linspace(x.min(), x.max(), s), x)
    if s == 3:
        best = min(error(np.array([x.min(), b, x.max()]), x) for b in x)
        assert error(levels, x) == pytest.approx(best)


def test_how_much_better_than_uniform_levels() -> None:
    """Errors by the squared norm of large samples: .394 and .635, .087 and .160, .032 and .110 are known."""
    random = np.random.default_rng(0)
    normal, exponential = random.normal(size=100_000), random.exponential(size=100_000)
    for x, s, less in ((normal, 5, 0.7), (normal, 9, 0.6), (exponential, 9, 0.35)):
        (levels,) = levels_of(ORQ(levels=s, bucket=None), x)
        assert error(levels, x) < less * error(np.linspace(x.min(), x.max(), s), x)


def test_symmetric_entries_have_a_level_at_zero() -> None:
    x = np.random.default_rng(0).normal(size=500)
    (levels,) = levels_of(ORQ(levels=3, bucket=None), np.concatenate([x, -x, [0.0]]))
    assert levels[1] == 0


def test_equal_entries() -> None:
    x = np.zeros(100)
    x[:3] = 1, -1, 2
    (levels,) = levels_of(ORQ(levels=9), x)
    assert set(levels.tolist()) == {-1, 0, 1, 2}
    for i in range(3):
        np.testing.assert_array_equal(decoded(ORQ(levels=9), x, KEY.part(i))[0], x)


def test_clipping() -> None:
    x = np.random.default_rng(0).standard_cauchy(50)
    compressor = ORQ(clip=1.5, bucket=25)
    for levels, part in zip(levels_of(compressor, x), buckets_of(x, 25), strict=True):
        limit = 1.5 * part.std()
        clipped = np.clip(part, -limit, limit)
        np.testing.assert_allclose(levels[[0, -1]], [clipped.min(), clipped.max()], rtol=1e-12)
    assert compressor.biased
    assert compressor.omega(50) == math.inf
    assert compressor.alpha(50) == 0


def test_constants() -> None:
    compressor = ORQ(levels=5, bucket=10)
    assert compressor.paper_bits(25, 4) == 3 * 5 * 32 + 25 * math.log2(5)
    assert not compressor.biased
    assert compressor.omega(25) == pytest.approx((math.sqrt(10) - 1) / 2)


def test_validation() -> None:
    for levels in (2, 4, 7, 513):
        with pytest.raises(ValueError, match=f"ORQ: levels = {levels} is not allowed; it must be 3, 5, 9"):
            ORQ(levels=levels)
    with pytest.raises(ValueError, match=r"ORQ: clip = 0.0 is not allowed"):
        ORQ(clip=0.0)
    with pytest.raises(ValueError, match="ORQ: bucket = 0"):
        ORQ(bucket=0)
