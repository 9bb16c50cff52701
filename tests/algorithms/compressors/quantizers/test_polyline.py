"""Encoded polylines: the vectors of Google's and FedAT's descriptions, a literal transcription, and what is lost."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms import NonFiniteError, Polyline
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import HEADER, awkward, compress, decoded, hypothesis
from tests.algorithms.helpers import Array

KEY = Key(0, 0, 0)


def text(x: list[float], precision: int, delta: bool = False) -> str:
    payload = Polyline(precision, delta).encode(torch.tensor(x, dtype=torch.float64), KEY)
    return bytes(payload.tolist()).decode("ascii")


def literal(x: Array, precision: int, delta: bool) -> str:
    """The algorithm as it is described, one number after the other."""
    characters, last = "", 0
    for value in x.tolist():
        whole = int(Decimal(value * 10**precision).quantize(Decimal(1), ROUND_HALF_UP))  # away from 0
        number, last = (whole - last, whole) if delta else (whole, 0)
        rest = ~(number << 1) if number < 0 else number << 1
        while rest >= 0x20:
            characters += chr((0x20 | rest & 0x1F) + 63)
            rest >>= 5
        characters += chr(rest + 63)
    return characters


def test_the_vectors_of_its_descriptions() -> None:
    latitudes, longitudes = text([38.5, 40.7, 43.252], 5, True), text([-120.2, -120.95, -126.453], 5, True)
    assert (latitudes, longitudes) == ("_p~iF_ulL_mqN", "~ps|UnnqCvxq`@")  # Google's points, in turn:
    assert "".join(["_p~iF", "~ps|U", "_ulL", "nnqC", "_mqN", "vxq`@"]) == "_p~iF~ps|U_ulLnnqC_mqNvxq`@"
    assert text([-179.9832104], 5) == "`~oia@"
    assert text([0.1234, -0.0567, 0.0], 4, True) == "clApoBmb@"
    assert text([0.1234, -0.0567, 0.0], 4) == "clAlb@?"


@pytest.mark.parametrize("delta", [False, True])
def test_the_characters_are_those_of_the_literal_algorithm(delta: bool) -> None:
    for precision in (0, 3, 5, 9):
        for x in [each for each in awkward(40) if np.abs(each).max() < 1e6]:
            assert text(x.tolist(), precision, delta) == literal(x, precision, delta)
    halves = np.array([0.5, -0.5, 1.5, 2.5, -2.5, 0.49999999999999994])
    assert decoded(Polyline(0, delta), halves, KEY)[0].tolist() == [1, -1, 2, 3, -3, 0]


@hypothesis
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.integers(0, 6), st.booleans())
def test_what_is_lost_and_what_stays(numbers: list[float], precision: int, delta: bool) -> None:
    x, operator = np.array(numbers), Polyline(precision, delta)
    once, payload = decoded(operator, x, KEY)
    assert np.abs(once - x).max() <= 0.5 * 10.0**-precision * (1 + 1e-9)
    assert np.array_equal(operator.encode(torch.from_numpy(once), KEY).numpy(), payload)  # deltas add up no errors


def test_the_bytes_of_a_number_follow_from_its_bits() -> None:
    for number in (0, 1, -1, 15, 16, -16, -17, 511, 512, 10**6, -(10**9)):
        doubled = 2 * number if number >= 0 else ~(2 * number)
        message = compress(Polyline(0), np.array([[float(number)]]))
        assert message.nbytes.tolist() == [HEADER + max(1, math.ceil(doubled.bit_length() / 5))]


def test_bytes_of_random_weights() -> None:
    """As the description measured: differences of independent weights take more, and not less."""
    x = np.random.default_rng(0).normal(scale=0.05, size=50_000)
    absolute, delta = (len(decoded(Polyline(delta=each), x, KEY)[1]) / len(x) for each in (False, True))
    assert (absolute, delta) == (pytest.approx(2.28, abs=0.01), pytest.approx(2.45, abs=0.01))


@pytest.mark.parametrize("delta", [False, True])
def test_the_largest_numbers(delta: bool) -> None:
    most = 2.0**61
    x = np.array([most, -most, most, 0.0])
    assert np.array_equal(decoded(Polyline(0, delta), x, KEY)[0], x)
    assert len(decoded(Polyline(), np.empty(0), KEY)[1]) == 0
    with pytest.raises(NonFiniteError, match=r"Polyline: the vector to compress holds a number beyond 2\.31e\+14"):
        Polyline(4, delta).encode(torch.tensor([1.0, -3e14], dtype=torch.float64), KEY)


@pytest.mark.parametrize(
    ("characters", "reason"),
    [
        ("?", "not an encoded polyline of 2 numbers"),
        ("???", "not an encoded polyline of 2 numbers"),
        ("??_", "not an encoded polyline of 2 numbers"),
        ("?>", "not an encoded polyline of 2 numbers"),
        ("?\x7f", "not an encoded polyline of 2 numbers"),
        ("?_?", "longer than it needs to be"),
        ("?" + 13 * "~" + "@", "than 64 bits"),
        ("?" + 12 * "~" + "O", "than 64 bits"),
        ("?" + 12 * "~" + "N", "a number beyond"),
    ],
)
@pytest.mark.parametrize("delta", [False, True])
def test_characters_that_nobody_sends(characters: str, reason: str, delta: bool) -> None:
    payload = torch.tensor([*characters.encode()], dtype=torch.uint8)
    with pytest.raises(ValueError, match=reason):
        Polyline(delta=delta).decode(payload, torch.empty(2))


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="Polyline: precision = 16 is not allowed; it must be from 0 to 15"):
        Polyline(16)
