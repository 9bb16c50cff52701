"""Index sets on the wire."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.compressors.wire import indices
from algorithms.numerics.compiled import COMPILED, parts_of
from tests.algorithms.compressors.helpers import hypothesis


@pytest.mark.parametrize("compiled", [False, True])
@hypothesis
@given(st.integers(1, 3000), st.floats(0, 1), st.integers(0, 99))
def test_indices(compiled: bool, d: int, share: float, seed: int) -> None:
    with parts_of(COMPILED if compiled else 0):
        k = round(share * d)
        chosen = np.sort(np.random.default_rng(seed).choice(d, k, replace=False))
        section = indices.encode(chosen, d)
        found, rest = indices.decode(np.append(section, np.uint8(77)), k, d)
        np.testing.assert_array_equal(found, chosen)
        assert rest.tolist() == [77]
        assert len(section) <= 1 + math.ceil(d / 8)  # never longer than a bitmap, by more than the first byte
        for wrong in (section[:-1], section[:0]):
            if k or not len(wrong):
                with pytest.raises(ValueError, match="damaged"):
                    indices.decode(wrong, k, d)


def literal(chosen: list[int], r: int) -> bytes:
    """The Rice code bit by bit."""
    gaps = [b - a - 1 for a, b in itertools.pairwise([-1, *chosen])]
    low = "".join(format(gap % 2**r, f"0{r}b")[::-1] if r else "" for gap in gaps)
    unary = "".join("0" * (gap >> r) + "1" for gap in gaps)
    parts = [bits + "0" * (-len(bits) % 8) for bits in (low, unary)]
    return bytes(int("".join(parts)[i : i + 8][::-1], 2) for i in range(0, sum(map(len, parts)), 8))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("d", [40, 1000, 70_000])
def test_the_code(compiled: bool, d: int) -> None:
    chosen = np.sort(np.random.default_rng(d).choice(d, d // 20, replace=False))
    with parts_of(COMPILED if compiled else 0):
        section = indices.encode(chosen, d)
    assert section[1:].tobytes() == literal(chosen.tolist(), int(section[0]))


@pytest.mark.parametrize("share", [1e-4, 1e-3, 0.01, 0.1])
def test_indices_take_little_more_than_their_entropy(share: float) -> None:
    d = 1_000_000
    k = round(share * d)
    chosen = np.sort(np.random.default_rng(0).choice(d, k, replace=False))
    assert 8 * len(indices.encode(chosen, d)) <= 1.02 * indices.entropy(k, d)
