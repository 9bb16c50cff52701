"""Damaged messages with checksums that are right: one clear error or a finite vector, the same on every path."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algorithms import (
    QSGD,
    Atomo,
    Bernoulli,
    Compressor,
    ExponentialDithering,
    Float,
    GeneralRounding,
    Identity,
    InfinityNorm,
    Kashin,
    Message,
    NaturalCompression,
    NaturalDithering,
    PowerSGD,
    RandomK,
    ScaledSign,
    Spherical,
    TernGrad,
    TopK,
)
from algorithms.compressors.wire import frames, symbols
from algorithms.randomness import Draw
from tests.algorithms.compressors.damage import damaged, fault, payload_of, sample, sealed
from tests.algorithms.compressors.helpers import EVERY
from tests.algorithms.helpers import Array

DTYPES = (np.float32, np.float64)


@cache
def message(number: int, d: int, dtype: type) -> Message:
    return sample(EVERY[number], d, dtype)


@settings(deadline=None, database=None, derandomize=True, max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.integers(0, len(EVERY) - 1), st.sampled_from([3, 16, 41]), st.sampled_from(DTYPES), st.integers(0, 2**32 - 1))
def test_any_damage_of_any_operator(number: int, d: int, dtype: type, seed: int) -> None:
    whole = message(number, d, dtype)
    payload = damaged(payload_of(whole), np.random.default_rng(seed))
    assert fault(whole, sealed(whole, payload)) is None, (EVERY[number], d, dtype, payload.tobytes())


@pytest.mark.parametrize("number", range(len(EVERY)), ids=map(str, EVERY))
def test_some_damage_of_every_operator(number: int) -> None:
    random = np.random.default_rng(number)
    for dtype in DTYPES:
        whole = message(number, 16, dtype)
        for _ in range(15):
            payload = damaged(payload_of(whole), random)
            assert fault(whole, sealed(whole, payload)) is None, payload.tobytes()


def test_what_is_whole_is_no_fault() -> None:
    for number in range(len(EVERY)):
        whole = message(number, 16, np.float32)
        assert fault(whole, whole.pack(0)) is None
        assert fault(whole, sealed(whole, payload_of(whole))) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("compressor", "at"),
    [
        (Identity(), -1),
        (TopK(k=2), -1),
        (RandomK(k=2), -1),
        (Bernoulli(1.0), -1),
        (ScaledSign(bucket=5), -2),
        (QSGD(), -1),
        (InfinityNorm(bucket=4), -3),
        (GeneralRounding(), 0),
        (Kashin(bucket=8), 2),
        (Spherical(), 2),
        (Atomo(budget=3), -1),
        (PowerSGD(rank=1), -1),
    ],
    ids=str,
)
def test_numbers_that_are_not_finite(compressor: Compressor, at: int, value: float) -> None:
    whole = sample(compressor, 16, np.float32)
    payload = payload_of(whole)
    start = len(payload) + 4 * at if at < 0 else 4 * at
    payload[start : start + 4] = np.frombuffer(np.float32(value).tobytes(), np.uint8)
    assert fault(whole, sealed(whole, payload)) is None
    with pytest.raises(ValueError, match="NaN or infinity, which stands for no vector"):
        whole.unpack(sealed(whole, payload))


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_of_two_that_are_not_finite(dtype: type) -> None:
    whole = sample(NaturalCompression(), 50, dtype)
    payload = payload_of(whole)
    payload[-51:-1] = 0xFF  # the lowest bytes of sign and exponent
    payload[:-51] = 0xFF  # and what is above them
    assert fault(whole, sealed(whole, payload)) is None
    with pytest.raises(ValueError, match=r"^NaturalCompression: "):
        whole.unpack(sealed(whole, payload))


def wrong_symbols(base: int, d: int) -> Array:
    """Packed symbols of which the last one is `base`, the first that there is not."""
    count, wide = symbols.digits_per_word(base), symbols.radix(base)
    packed = np.zeros(symbols.length(d, base), np.uint8)
    words, rest = divmod(d, count)
    word, start, size = (base * wide ** (rest - 1), 8 * words, len(packed) - 8 * words) if rest else (0, 0, 0)
    if not rest:  # the last word of the only stripe
        word, start, size = base * wide ** (count - 1), 8 * (words - 1), 8
    packed[start : start + size] = np.frombuffer((word % 256**size).to_bytes(size, "little"), np.uint8)
    return packed


@pytest.mark.parametrize("d", [7, 16, 40, 41, 80])
@pytest.mark.parametrize(
    "compressor",
    [QSGD(levels=7), TernGrad(), InfinityNorm(bits=2), NaturalDithering(), ExponentialDithering(base=3.0, levels=4)],
    ids=str,
)
def test_symbols_that_there_are_not(compressor: QSGD, d: int) -> None:
    """Compiled loops refuse what torch operations refuse, and do not take it for another vector."""
    base = compressor.alphabet
    whole = sample(compressor, d, np.float32)
    payload = payload_of(whole)
    packed = wrong_symbols(base, d)
    payload[: len(packed)] = packed
    assert fault(whole, sealed(whole, payload)) is None
    with pytest.raises(ValueError, match="symbols that there are not"):
        whole.unpack(sealed(whole, payload))


@pytest.mark.parametrize("base", [2, 3, 5, 6, 8, 15, 16, 17, 31, 33, 257, 1 << 20])
def test_bounds_of_words(base: int) -> None:
    """A word is refused if and only if some digit of it is no symbol, or a bit is set that no digit has."""
    wide, random = symbols.radix(base), np.random.default_rng(base)
    for count in {1, 2, 3, symbols.digits_per_word(base)} & set(range(1, symbols.digits_per_word(base) + 1)):
        bounds = symbols.bounds(base, count)
        for _ in range(50):
            digits = [int(random.integers(wide)) if random.random() < 0.2 else base - 1 for _ in range(count)]
            above = int(random.random() < 0.1) * wide**count
            word = (sum(digit * wide**place for place, digit in enumerate(digits)) + above) % (1 << 64)
            valid = word < wide**count and all(word // wide**place % wide < base for place in range(count))
            if wide != base or base & (base - 1) == 0:
                found = (word & bounds.mask) + bounds.more | (word >> bounds.shift & bounds.mask) + bounds.more
                assert valid == (not (found & bounds.over | word & bounds.unused))
            else:
                assert valid == (word <= bounds.largest)


@pytest.mark.parametrize("shift", [-32768, 32767, 1100, -1100])
def test_exponents_beyond_the_range(shift: int) -> None:
    whole = sample(Float(), 8, np.float64)
    payload = payload_of(whole)
    payload[:2] = np.frombuffer(np.int16(shift).tobytes(), np.uint8)
    with pytest.raises(ValueError, match=f"Float: a payload with the exponent {shift}, which must be from "):
        whole.unpack(sealed(whole, payload))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("format", ["bfloat16", "float8_e4m3fn"])
def test_all_exponents_in_the_range_are_taken(dtype: torch.dtype, format: str) -> None:
    info = torch.finfo(dtype)
    for size in (info.smallest_normal * info.eps, info.smallest_normal, 1.0, info.max / 2, 0.0):
        x = torch.full((1, 3), size, dtype=dtype)
        assert Float(format=format).compress(x, sample_draw()).dense().isfinite().all()  # type: ignore[arg-type]


def sample_draw() -> Draw:

    return Draw(0, "compression", [0], 0)


def test_counts_of_frequencies_that_are_too_large() -> None:
    """Frequencies whose sum wraps around to the right number in 64 bits are none."""
    whole = sample(TernGrad(coding="entropy"), 16, np.float32)
    huge = frames.varints([1 << 63, 1 << 63, 16]).numpy()
    payload = np.concatenate([huge, payload_of(whole)[-4:]])
    with pytest.raises(ValueError, match="entropy-coded symbols are damaged"):
        whole.unpack(sealed(whole, payload))
