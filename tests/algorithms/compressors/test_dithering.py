"""Exponential and natural dithering."""

from __future__ import annotations

import math

import numpy as np
import pytest

from algorithms import Compressor, ExponentialDithering, NaturalDithering
from algorithms.compressors.wire import symbols
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import awkward, buckets_of, decoded, uniforms
from tests.algorithms.helpers import Array

KEY = Key(0x0123456789ABCDEF, 5, 0)
ORDERS = {"l2": 2.0, "max": math.inf, 1: 1.0, 1.5: 1.5, 2: 2.0, 4: 4.0}


def next_levels(y: float, levels: list[float]) -> tuple[float, float, float]:
    """(the level below y, the one above, the probability of the latter)."""
    if y >= 1:
        return 1.0, 1.0, 1.0
    below = max(level for level in levels if level <= y)
    above = min(level for level in levels if level > y)
    return below, above, (y - below) / (above - below)


def exponential(base: float, s: int) -> list[float]:
    return [0.0, *(base ** (k + 1 - s) for k in range(s))]


def literal(x: Array, base: float, s: int, norm: str | float, bucket: int) -> tuple[Array, float]:
    """(C(x), its variance by x's squared norm)."""
    levels, found, variance = exponential(base, s), [], 0.0
    draws = uniforms(KEY.own, len(x), x.dtype.type)
    for part, u in zip(buckets_of(x, bucket), buckets_of(draws, bucket), strict=True):
        length = np.linalg.norm(part / (np.abs(part).max() or 1), ORDERS[norm]) * np.abs(part).max()
        for value, draw in zip(part, u, strict=True):
            below, above, share = next_levels(abs(value) / (length or 1), levels)
            up = draw < share if value >= 0 else draw >= 1 - share  # negative numbers go up to the level below
            found.append(np.sign(value) * length * (above if up else below))
            variance += (length / np.abs(x).max() * (above - below)) ** 2 * share * (1 - share) if length else 0
    return np.array(found), variance / (((x / np.abs(x).max()) ** 2).sum() if x.any() else 1)


@pytest.mark.parametrize("norm", ORDERS)
@pytest.mark.parametrize(("base", "s"), [(2.0, 1), (2.0, 5), (3.0, 4), (1.2, 40)])
@pytest.mark.parametrize("bucket", [None, 6])
def test_dithering(norm: str | float, base: float, s: int, bucket: int | None) -> None:
    operators: list[Compressor] = [ExponentialDithering(base, s, norm, bucket)]
    if base == 2:
        operators.append(NaturalDithering(s, norm, bucket))
    for x in awkward(20):
        expected, variance = literal(x, base, s, norm, bucket or 20)
        for compressor in operators:
            found, payload = decoded(compressor, x, KEY)
            np.testing.assert_allclose(found, expected, rtol=1e-11)
            assert len(payload) == 8 * math.ceil(20 / (bucket or 20)) + symbols.length(20, 2 * s + 1)
            assert variance <= compressor.omega(20) * (1 + 1e-12)


@pytest.mark.parametrize("s", [1, 2, 6])
@pytest.mark.parametrize("y", [0.0, 1e-3, 0.02, 0.03125, 0.2, 0.37, 0.5, 0.61, 0.75, 1.0])
def test_natural_dithering_is_natural_compression_of_standard_dithering(s: int, y: float) -> None:
    """In law: s levels in base 2, and 2^(s-1) uniform ones that are then rounded to powers of two."""
    u = 2 ** (s - 1)
    composed: dict[float, float] = {}
    below, above, share = next_levels(y, [k / u for k in range(u + 1)])
    for level, probability in ((below, 1 - share), (above, share)):
        power = 2.0 ** (math.frexp(level)[1] - 1) if level else 0.0
        up = (level - power) / power if level else 0.0
        for target, chance in ((power, 1 - up), (2 * power, up)):
            composed[target] = composed.get(target, 0) + probability * chance
    direct: dict[float, float] = {}
    below, above, share = next_levels(y, exponential(2, s))
    for level, probability in ((below, 1 - share), (above, share)):
        direct[level] = direct.get(level, 0) + probability
    for level in direct | composed:
        assert direct.get(level, 0) == pytest.approx(composed.get(level, 0), abs=1e-15)


def test_probabilities_are_those_of_the_law() -> None:
    """One entry many times in a vector whose norm is 1."""
    copies = 20_000
    x = np.full(copies + 1, 0.3)
    x[-1] = 1
    found, _ = decoded(NaturalDithering(levels=4, norm="max"), x, KEY)
    assert set(found[:-1].tolist()) == {0.25, 0.5}
    share = (found[:-1] == 0.5).mean()
    assert abs(share - 0.2) < 5 * math.sqrt(0.2 * 0.8 / copies)


def test_constants() -> None:
    assert NaturalDithering(levels=4).omega(64) == pytest.approx(1 / 8 + 1)
    assert NaturalDithering(levels=6).omega(64) == pytest.approx(1 / 8 + 1 / 16)
    assert NaturalDithering(levels=4, norm=1).omega(64) == pytest.approx(1 / 8 + 8)
    assert NaturalDithering(levels=4, bucket=16).omega(64) == pytest.approx(1 / 8 + 1 / 4)
    assert ExponentialDithering(base=3.0, levels=4, norm="max").omega(81) == pytest.approx(16 / 3 / 4 - 1 + 1 / 9)
    assert NaturalDithering(levels=4, bucket=10).paper_bits(25, 4) == 3 * 31 + 25 * math.log2(9)
    b1 = NaturalDithering(levels=6).b1(64)
    assert b1 is not None
    assert b1.beta == pytest.approx(9 / 8 + 1 / 16)


def test_validation() -> None:
    with pytest.raises(ValueError, match=r"ExponentialDithering: base = 1.0 is not allowed; it must be > 1"):
        ExponentialDithering(base=1.0)
    with pytest.raises(ValueError, match="NaturalDithering: levels = 102 is not allowed; it must be >= 1 and <= 101"):
        NaturalDithering(levels=102)
    for norm in ("l1", 0.5, math.inf):
        with pytest.raises(
            ValueError, match=r"NaturalDithering: norm = .* it must be l2, max, or a finite number >= 1"
        ):
            NaturalDithering(norm=norm)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaturalDithering: bucket = 0"):
        NaturalDithering(bucket=0)
