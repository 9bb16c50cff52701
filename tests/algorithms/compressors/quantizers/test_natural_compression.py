"""Natural compression."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from algorithms import GeneralRounding, NaturalCompression, NonFiniteError
from algorithms.compressors.loops import reference
from algorithms.numerics.compiled import COMPILED, parts_of
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import awkward, decoded, same_bits, uniforms
from tests.algorithms.helpers import Array

KEY = Key(0x0123456789ABCDEF, 5, 0)
LEAST = {np.float32: -126, np.float64: -1022}  # exponents of normal numbers
SMALL = {np.float32: -63, np.float64: -511}


def literal(x: Array) -> Array:
    """2^a or 2^(a+1), by the 23 or 32 random bits of each entry."""
    dtype = x.dtype.type
    bits = 23 if dtype == np.float32 else 32
    draws = np.floor(uniforms(KEY.own, len(x), dtype) * 2**bits) / 2**bits
    small = np.abs(x).max() < 2.0 ** SMALL[dtype]
    found = []
    for value, draw in zip(x.tolist(), draws, strict=True):
        fraction, exponent = math.frexp(abs(value))
        above = 2 * fraction - 1  # |x| = 2^a (1 + above)
        if value == 0 or (not small and exponent - 1 < LEAST[dtype]):
            least = 2.0 ** LEAST[dtype]
            found.append(math.copysign(least if abs(value) / least + draw >= 1 else 0.0, value))
        else:
            found.append(math.copysign(math.ldexp(1.0, exponent - 1 + int(above + draw >= 1)), value))
    return np.array(found, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 17, 300])
def test_natural_compression(dtype: type, d: int) -> None:
    wide = np.ldexp(np.random.default_rng(0).normal(size=d), np.random.default_rng(1).integers(-149, 120, d))
    for x in [*awkward(d), wide, 1e-44 * np.arange(d)]:
        x = x.astype(dtype)
        found, payload = decoded(NaturalCompression(), x, KEY)
        np.testing.assert_array_equal(found, literal(x))
        assert len(payload) == 1 + d + math.ceil(d * (1 if dtype == np.float32 else 4) / 8)


def test_very_small_doubles() -> None:
    x = 5e-324 * np.arange(40.0)
    np.testing.assert_array_equal(decoded(NaturalCompression(), x, KEY)[0], literal(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_of_two_stay(dtype: type) -> None:
    info = np.finfo(dtype)
    normal = 2.0 ** np.arange(info.minexp, info.maxexp, dtype=np.float64)
    for x in (normal, -normal[::-1], np.zeros(5), 2.0 ** np.arange(-149.0, -64)):
        x = x.astype(dtype)
        for i in range(5):
            np.testing.assert_array_equal(decoded(NaturalCompression(), x, KEY.part(i))[0], x)


@pytest.mark.parametrize("scale", [1.0, 2.0**-148, 2.0**100])
def test_the_variance_is_attained(scale: float) -> None:
    """At 4/3 it is 1 with probability 2/3 and 2 with 1/3; at 2^-148 numbers are denormal, 3/2 with both alike."""
    copies = 40_000
    value = (4 / 3 if scale > 1e-30 else 1.5) * scale
    found, _ = decoded(NaturalCompression(), np.full(copies, value, np.float32), KEY)
    up = 1 / 3 if scale > 1e-30 else 1 / 2
    assert set((found.astype(np.float64) / scale).tolist()) == {1.0, 2.0}
    assert abs((found / scale > 1.5).mean() - up) < 5 * math.sqrt(up * (1 - up) / copies)
    assert up * (1 - up) * (scale / value) ** 2 <= NaturalCompression().omega(copies) + 1e-9
    assert pytest.approx(NaturalCompression().omega(1)) == (1 / 3) * (2 / 3) / (4 / 3) ** 2


def test_denormal_numbers_beside_larger_ones_are_unbiased() -> None:
    copies = 40_000
    x = np.full(copies, 2.0**-126 / 8, np.float32)
    x[0] = 1
    found, _ = decoded(NaturalCompression(), x, KEY)
    assert set(found[1:].tolist()) == {0.0, 2.0**-126}
    assert abs((found[1:] > 0).mean() - 1 / 8) < 5 * math.sqrt(7 / 64 / copies)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_might_become_infinite_is_refused(dtype: torch.dtype) -> None:
    largest = 2.0 ** (127 if dtype == torch.float32 else 1023)
    x = torch.tensor([1.0, -largest], dtype=dtype)
    np.testing.assert_array_equal(decoded(NaturalCompression(), x.numpy(), KEY)[0], x)
    for value in (np.nextafter(x.numpy()[1], -np.inf * x.numpy()[0]), -math.nan, math.inf):
        x[1] = float(value)
        for i in range(20):
            with pytest.raises(NonFiniteError, match=r"NaturalCompression: .* beyond the largest power of two"):
                NaturalCompression().encode(x, KEY.part(i))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 5, 100, 4097, 70_001])
def test_compiled_loops_are_the_torch_operations(dtype: torch.dtype, d: int) -> None:
    for scale, shift in ((1.0, 0), (1e-30, 96 if dtype == torch.float32 else 0)):
        x = scale * torch.randn(d, dtype=dtype, generator=torch.Generator().manual_seed(d)) ** 3
        x[1:4] = torch.tensor([0.0, -0.0, 1e-40], dtype=dtype)[: max(d - 1, 0)]
        codes = reference.to_powers(x * 2.0**shift, 0x89ABCDEF, 0x01234567)
        out, added = torch.empty_like(x), x.clone()
        with parts_of(COMPILED):
            payload = NaturalCompression().encode(x, KEY)
            NaturalCompression().decode(payload, out)
            NaturalCompression().accumulate(payload, 0.3, added)
        values = reference.from_powers(codes, dtype) * 2.0**-shift
        assert same_bits(out, values)
        assert same_bits(added, x + 0.3 * values)
        assert torch.equal(payload[-d - 1 : -1].long(), codes & 0xFF)
        assert int(payload[-1]) == (shift > 0)


def test_bits_and_constants() -> None:
    compressor = NaturalCompression()
    assert [compressor.paper_bits(100, itemsize) for itemsize in (4, 8)] == [900, 1200]
    b1, b2, b3 = compressor.b1(7), compressor.b2(7), compressor.b3(7)
    assert (b1, b2) == ((1, 9 / 8), (1, 9 / 8))
    assert b3 == (9 / 8, pytest.approx(8 / 9))
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    codes = torch.empty_like(x)
    payload = compressor.encode(x, KEY)
    compressor.decode(payload, codes)
    _, counts = codes.unique(return_counts=True)
    expected = float((counts * (1000 / counts).log2()).sum())
    assert compressor.entropy_bits(payload, 1000, 4) == pytest.approx(8 + expected)
    assert compressor.omega(5) == GeneralRounding(base=2.0).omega(5)
