"""Symbols on the wire, and the compiled loops against torch."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from algorithms.compressors.loops import reference
from algorithms.compressors.quantizers import rounding
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.wire import symbols
from algorithms.numerics import reference as numerics_reference
from algorithms.numerics.compiled import COMPILED, parts_of
from algorithms.numerics.norms import largest_magnitudes, sums_of_magnitudes, sums_of_squares
from algorithms.randomness import Key
from tests.algorithms.compressors.helpers import same_bits, uniforms

KEY = Key(0x0123456789ABCDEF, 5, 0)
DIMENSIONS = (1, 5, 100, 4097, 70_001)


def words_of(chosen: list[int], base: int) -> bytes:
    """Symbols as the module says it: stripes of words, whose digits are symbols a stripe's width apart."""
    count = math.floor(64 / math.log2(base) + 1e-12)
    bits = max(1, (base - 1).bit_length())
    radix = 1 << bits if 64 // bits == count else base
    packed = b""
    whole = len(chosen) // count
    start = 0
    while whole:
        width = min(256, whole)
        for w in range(width):
            digits = [chosen[start + j * width + w] for j in range(count)]
            packed += sum(digit * radix**j for j, digit in enumerate(digits)).to_bytes(8, "little")
        start, whole = start + count * width, whole - width
    rest = chosen[start:]
    number = sum(digit * radix**j for j, digit in enumerate(rest))
    return packed + number.to_bytes(math.ceil((radix ** len(rest) - 1).bit_length() / 8), "little")


@pytest.mark.parametrize("base", [3, 5, 15, 17, 41, 255, 513, 70_001])
@pytest.mark.parametrize("d", [0, 1, 39, 41, 20_000])
def test_words(base: int, d: int) -> None:
    s = (base - 1) // 2
    chosen = np.random.default_rng(d).integers(-s, s + 1, size=d)
    chosen[d // 2 :] = s
    x = torch.from_numpy(chosen / max(s, 1))
    rule = Rule.uniform(s, torch.ones(1, dtype=torch.float64), max(d, 1))
    packed = rounding.encode(x, rule, KEY)
    assert packed.numpy().tobytes() == words_of((chosen + s).tolist(), base)
    assert len(packed) == symbols.length(d, base)
    np.testing.assert_array_equal(rounding.symbols_of(packed, d, base), chosen + s)


def test_words_are_filled() -> None:
    """Base 5: 27 digits in 64 bits."""
    assert symbols.digits_per_word(5) == 27
    assert [8 * symbols.length(10_800, base) / 10_800 for base in (2, 3, 5, 15)] == [1, 1.6, 64 / 27, 4]


def rules(x: torch.Tensor, bucket: int) -> list[Rule]:
    norms = largest_magnitudes(x, bucket)
    tables = torch.linspace(-1, 1, 6, dtype=x.dtype)[None] ** 3
    return [
        Rule.signs(norms, bucket),
        *(Rule.uniform(s, norms, bucket) for s in (1, 2, 7, 1000)),
        *(Rule.levels(tables, norms, bucket, random) for random in (False, True)),
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", DIMENSIONS)
def test_compiled_loops_are_the_torch_operations(dtype: torch.dtype, d: int) -> None:
    random = torch.Generator().manual_seed(d)
    x = torch.randn(d, dtype=dtype, generator=random) ** 3
    x[:3] = torch.tensor([0.0, -0.0, 1e-40], dtype=dtype)[:d]
    with parts_of(COMPILED):
        for bucket in {d, 7, 512, 12_293}:
            assert same_bits(largest_magnitudes(x, bucket), numerics_reference.largest_of(x, bucket))
            assert same_bits(sums_of_magnitudes(x, bucket), numerics_reference.sums_of(x, False, bucket))
            assert same_bits(sums_of_squares(x, bucket), numerics_reference.sums_of(x, True, bucket))
            for rule, coding in product(rules(x, bucket), ("digits", "entropy")):
                packed = rounding.encode(x, rule, KEY, coding)
                halves = 0x89ABCDEF, 0x01234567
                expected = reference.to_symbols(rule.kind, x, rule.forward, rule.random, halves)
                assert torch.equal(rounding.symbols_of(packed, d, rule.base, coding), expected)
                values = reference.from_symbols(rule.kind, expected, rule.back)
                out, added = torch.empty_like(x), x.clone()
                rounding.decode(packed, rule, out, coding=coding)
                rounding.decode(packed, rule, added, 0.3, coding)
                assert same_bits(out, values)
                assert same_bits(added, x + 0.3 * values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_random_numbers(dtype: torch.dtype) -> None:
    low, high = KEY.own & 0xFFFFFFFF, KEY.own >> 32
    found = reference.uniforms(low, high, torch.empty(1000, dtype=dtype))
    np.testing.assert_array_equal(found, uniforms(KEY.own, 1000, found.numpy().dtype.type))


def test_random_numbers_are_uniform_and_independent() -> None:
    """Chi-squared of their high bits, alone and in pairs, and correlations over entries and keys; six deviations."""
    keys = [KEY.part(i).own for i in range(20)]
    draws = torch.stack(
        [reference.uniforms(key & 0xFFFFFFFF, key >> 32, torch.empty(1 << 16)) for key in keys]
    ).double()
    cells = 256
    for pairs in (draws[:, ::2] * 16, draws[:-1:2] * 16):
        other = draws[:, 1::2] * 16 if pairs.shape[1] < draws.shape[1] else draws[1::2] * 16
        counts = torch.bincount((pairs.long() * 16 + other.long()).flatten(), minlength=cells).double()
        expected = counts.sum() / cells
        assert ((counts - expected) ** 2 / expected).sum() < cells - 1 + 6 * math.sqrt(2 * (cells - 1))
    centred = (draws - 0.5) * math.sqrt(12)
    for lag in (1, 2, 16, 256, 1024):
        products = centred[:, lag:] * centred[:, :-lag]
        assert abs(products.mean()) < 6 / math.sqrt(products.numel())
    across = centred @ centred.T / draws.shape[1]
    assert (across - torch.eye(len(keys))).abs().max() < 6 * 1.2 / math.sqrt(draws.shape[1])
