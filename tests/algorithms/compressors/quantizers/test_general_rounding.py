"""Rounding to the powers of a base."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms import GeneralRounding, NonFiniteError
from algorithms.compressors.wire import symbols
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import awkward, decoded, hypothesis, uniforms
from tests.algorithms.helpers import Array

KEY = Key(0x0123456789ABCDEF, 5, 0)


def literal(x: Array, base: float, biased: bool) -> tuple[Array, Array]:
    """(C(x), the variance of each entry)."""
    found, variance = [], []
    for value, draw in zip(x.tolist(), uniforms(KEY.own, len(x), x.dtype.type), strict=True):
        if value == 0:
            found.append(0.0)
            variance.append(0.0)
            continue
        k = math.floor(math.log(abs(value)) / math.log(base) + 1e-13)
        below, above = base**k, base ** (k + 1)
        share = max(0.0, (abs(value) - below) / (above - below))
        up = (
            (share > 0.5 or (share == 0.5 and value < 0))
            if biased
            else draw < share
            if value > 0
            else draw >= 1 - share
        )
        found.append(math.copysign(above if up else below, value))
        variance.append((above - below) ** 2 * share * (1 - share))
    return np.array(found), np.array(variance)


@pytest.mark.parametrize("base", [1.1, 2.0, 3.0, 100.0])
@pytest.mark.parametrize("biased", [False, True])
def test_general_rounding(base: float, biased: bool) -> None:
    compressor = GeneralRounding(base, biased)
    for x in awkward(30):
        found, payload = decoded(compressor, x, KEY)
        expected, variance = literal(x, base, biased)
        np.testing.assert_allclose(found, expected, rtol=1e-11)
        levels = int(payload[8]) if payload[8] < 128 else payload[8] % 128 + 128 * int(payload[9])
        head = 9 if levels < 128 else 10
        assert len(payload) == head + symbols.length(30, 2 * levels + 1)
        magnitudes = np.abs(found[found != 0])
        if x.any():
            # No more levels than the vector needs, and one more at each end at most.
            assert levels <= math.log(magnitudes.max() / magnitudes.min()) / math.log(base) + 3
            scale = np.abs(x).max()
            if biased:
                lost = (((found - x) / scale) ** 2).sum() / ((x / scale) ** 2).sum()
                assert lost <= (1 - compressor.alpha(30)) * (1 + 1e-9)
            else:
                assert (variance / scale / scale).sum() <= compressor.omega(30) * ((x / scale) ** 2).sum() * (1 + 1e-9)


@pytest.mark.parametrize("base", [1.5, 2.0, 7.0])
def test_constants_are_attained(base: float) -> None:
    compressor, nearest = GeneralRounding(base), GeneralRounding(base, biased=True)
    worst = np.array([2 * base / (base + 1)])
    _, variance = literal(worst, base, False)
    assert variance[0] / worst[0] ** 2 == pytest.approx(compressor.omega(1))
    assert 1 + compressor.omega(1) == pytest.approx((base + 1 / base + 2) / 4)
    half = np.array([(1 + base) / 2, base])
    ratios = []
    for side in (1 - 1e-9, 1 + 1e-9):
        found, _ = decoded(nearest, np.array([half[0] * side]), KEY)
        assert (found / (half[0] * side) - 1) ** 2 == pytest.approx(1 - nearest.alpha(1))
        ratios.append(float(found[0] / half[0]))
    assert ratios == pytest.approx([2 / (base + 1), 2 * base / (base + 1)])
    b1, b2, b3 = nearest.b1(1), nearest.b2(1), nearest.b3(1)
    assert b1 == pytest.approx((ratios[0] ** 2, ratios[1]))
    assert b2 == pytest.approx((ratios[0], ratios[1]))
    assert b3 == pytest.approx(((base + 1) ** 2 / (4 * base), 1))


def test_base_two() -> None:
    nearest = GeneralRounding(biased=True)
    assert nearest.b1(3) == pytest.approx((4 / 9, 4 / 3))
    assert nearest.b2(3) == pytest.approx((2 / 3, 4 / 3))
    assert nearest.alpha(3) == pytest.approx(8 / 9)
    assert nearest.omega(3) == math.inf
    assert not nearest.random
    x = np.array([1.49, -1.51, -3.0, 8.0, 1e-20, 0.0])
    found, _ = decoded(nearest, x, KEY)
    np.testing.assert_array_equal(found, [1, -2, -4, 8, 2.0**-67, 0])
    assert [GeneralRounding().paper_bits(10, itemsize) for itemsize in (4, 8)] == [90, 120]


def test_far_below_the_largest() -> None:
    """Levels end at 2^-100 of the first: below, 0 or the last."""
    copies = 20_000
    x = np.full(copies, 2.0**-102)
    x[0] = 1
    found, _ = decoded(GeneralRounding(), x, KEY)
    assert set(found[1:].tolist()) == {0.0, 2.0**-100}
    assert abs((found[1:] > 0).mean() - 0.25) < 5 * math.sqrt(3 / 16 / copies)
    np.testing.assert_array_equal(decoded(GeneralRounding(biased=True), x, KEY)[0], [1.0] + [0.0] * (copies - 1))


@hypothesis
@given(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20), st.floats(1.01, 70), st.booleans()
)
def test_single_precision(values: list[float], base: float, biased: bool) -> None:
    x = np.array(values, np.float32)
    x[np.abs(x) < 1e-30] = 0  # powers of a base are rounded among denormal numbers
    compressor = GeneralRounding(base, biased)
    found, _ = decoded(compressor, x, KEY)
    scale = np.abs(x).max() or 1
    y, z = x.astype(np.float64) / scale, found.astype(np.float64) / scale
    kept = np.abs(y) > 2.0**-80
    assert (np.sign(z[kept]) == np.sign(y[kept])).all()
    assert (z[y == 0] == 0).all()
    ratios = z[kept] / y[kept]
    tiny = 1e-5
    bounds = (2 / (base + 1), 2 * base / (base + 1)) if biased else (1 / base, base)
    assert ((ratios >= bounds[0] - tiny) & (ratios <= bounds[1] * (1 + tiny))).all()
    exponents = np.log(np.abs(found[found != 0].astype(np.float64))) / math.log(base)
    np.testing.assert_allclose(exponents * math.log(base), np.round(exponents) * math.log(base), atol=1e-4)


def test_numbers_beyond_the_last_level() -> None:
    for biased in (False, True):
        x = np.array([1.5 * 2.0**127], np.float32)
        with pytest.raises(NonFiniteError, match="GeneralRounding: the vector to compress holds a number beyond the"):
            decoded(GeneralRounding(biased=biased), x, KEY)
        with pytest.raises(NonFiniteError, match="GeneralRounding: the vector to compress holds a number beyond the"):
            decoded(GeneralRounding(base=3.0, biased=biased), np.array([1.7e308]), KEY)
        stays = np.array([-(2.0**127)], np.float32)
        np.testing.assert_array_equal(decoded(GeneralRounding(biased=biased), stays, KEY)[0], stays)


def test_damaged_numbers_of_levels() -> None:
    payload = torch.from_numpy(decoded(GeneralRounding(), np.ones(5), KEY)[1]).clone()
    for levels in (0, 102):
        payload[8] = levels
        with pytest.raises(ValueError, match=f"a payload with {levels} levels"):
            GeneralRounding().decode(payload, torch.empty(5, dtype=torch.float64))


def test_validation() -> None:
    for base in (1.0, 1.001, 1e9, math.nan):
        with pytest.raises(ValueError, match=r"GeneralRounding: base = .* it must be >= 1.01 and <= 65536"):
            GeneralRounding(base=base)
