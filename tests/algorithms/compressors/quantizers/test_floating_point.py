"""Numbers in less precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from algorithms import Float, NonFiniteError
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import awkward, decoded
from tests.algorithms.helpers import Array

KEY = Key(1, 2, 3)
FORMATS = {  # bits of the mantissa, exponent of the smallest normal number, largest magnitude is brought below 2^this
    "bfloat16": (7, -126, 15),
    "float16": (10, -14, 15),
    "float8_e4m3fn": (3, -6, 8),
    "float8_e5m2": (2, -14, 15),
}


def literal(x: Array, format: str) -> Array:
    """To the nearest multiple of the distance between the format's numbers, ties to even ones."""
    mantissa, least, highest = FORMATS[format]
    if not x.any():
        return np.zeros(len(x))
    shift = highest - math.frexp(float(np.abs(x).max()))[1]
    found = []
    for value in x.tolist():
        exponent = math.frexp(value)[1] + shift - 1
        step = max(exponent, least) - mantissa - shift
        multiple = math.ldexp(value, -step) if step > -1000 else math.ldexp(math.ldexp(value, 500), -step - 500)
        found.append(math.ldexp(round(multiple), step))
    return np.array(found)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float(format: str, dtype: type) -> None:
    compressor, d = Float(format=format), 60
    for x in [*awkward(d), 2.0 ** np.arange(0.0, -60, -1), 1e-44 * np.arange(60)]:
        x = x.astype(dtype)
        found, payload = decoded(compressor, x, KEY)
        np.testing.assert_array_equal(found, literal(x, format).astype(dtype))
        assert len(payload) == 2 + d * (2 if "16" in format else 1)
        scale = np.abs(x).max() or 1
        y, z = x.astype(np.float64) / scale, found.astype(np.float64) / scale
        assert ((z - y) ** 2).sum() <= (1 - compressor.alpha(d)) * (y**2).sum()
        np.testing.assert_array_equal(decoded(compressor, found, KEY)[0], found)


@pytest.mark.parametrize("format", FORMATS)
def test_contraction(format: str) -> None:
    mantissa, least, highest = FORMATS[format]
    u = 2.0 ** -(mantissa + 1)
    t = 2.0 ** (least - mantissa - 1 - (highest - 1))
    compressor = Float(format=format)
    assert compressor.alpha(1000) == 1 - u**2 - 999 * t**2
    assert compressor.alpha(10**30) == max(0.0, 1 - u**2 - (10**30 - 1) * t**2)
    # Nearly attained by a tie, and by entries half way to the smallest number.
    found, _ = decoded(compressor, np.array([1 + u]), KEY)
    assert abs(found[0] / (1 + u) - 1) == pytest.approx(u / (1 + u))
    if format != "bfloat16":
        x = np.full(9, t)
        x[0] = 1
        found, _ = decoded(compressor, x, KEY)
        np.testing.assert_array_equal(found, [1.0] + [0.0] * 8)


@pytest.mark.parametrize("format", FORMATS)
def test_what_would_become_infinite_is_refused(format: str) -> None:
    largest = np.finfo(np.float32).max
    with pytest.raises(NonFiniteError, match="Float: the vector to compress holds a number that is rounded beyond"):
        decoded(Float(format=format), np.array([1.0, -largest], np.float32), KEY)
    stays = np.array([1.5 * 2.0**127, 0], np.float32)
    np.testing.assert_array_equal(decoded(Float(format=format), stays, KEY)[0], stays)


def test_extremes_of_double_precision() -> None:
    for format in FORMATS:
        for value in (2.0**1023, 5e-324, -1.5 * 2.0**-1070):
            np.testing.assert_array_equal(decoded(Float(format=format), np.array([value]), KEY)[0], [value])


def test_payload_and_bits() -> None:
    _, payload = decoded(Float(), np.array([1.0, -0.5], np.float32), KEY)
    numbers = torch.tensor([2.0**14, -(2.0**13)]).bfloat16().view(torch.uint8)
    assert payload.tolist() == [14, 0, *numbers.tolist()]
    assert Float().paper_bits(10, 4) == 176
    assert Float(format="float8_e5m2").paper_bits(10, 8) == 96
    assert Float().biased


def test_validation() -> None:
    with pytest.raises(
        ValueError, match="Float: format = 'float4' is not allowed; it must be one of bfloat16, float16"
    ):
        Float(format="float4")  # type: ignore[arg-type]
