"""Adaptive random sparsification."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given

from algorithms import AdaptiveRandom
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import HEADER, NODES, compress, hypothesis, stacks
from tests.algorithms.helpers import Array


def one_of(x: Array, u: float) -> Array:
    """x_i e_i for the i in whose part of [0, |x|_1) the number u |x|_1 falls."""
    total, out = sum(abs(float(value)) for value in x), np.zeros_like(x)
    end = 0.0
    for i, value in enumerate(x):
        end += abs(float(value))
        if u * total < end:
            out[i] = value
            break
    return out


@hypothesis
@given(stacks())
def test_adaptive_random(stack_and_k: tuple[Array, int]) -> None:
    x = stack_and_k[0]
    found = compress(AdaptiveRandom(), x).dense().numpy()
    for row in range(len(x)):
        key = Draw(0, "compression", [row % NODES], 0).key(0)
        u = np.random.Generator(np.random.Philox(key=key.own)).random()
        np.testing.assert_array_equal(found[row], one_of(x[row], u))


@pytest.mark.parametrize(("d", "bytes"), [(1, 0), (2, 1), (256, 1), (257, 2), (65536, 2), (65537, 3)])
def test_length(d: int, bytes: int) -> None:
    message = compress(AdaptiveRandom(), np.ones((2, d), np.float32))
    assert message.nbytes.tolist() == [HEADER + bytes + 4] * 2
    assert message.paper_bits == 32 + math.log2(d)
    assert 8 * bytes - 8 < math.log2(d) <= 8 * bytes


def test_the_law() -> None:
    """P(i) = |x_i| / |x|_1, and E|C|^2 = <E C, x> = |x|_3^3 / |x|_1."""
    x, draws = np.array([[0.5, -3, 0, 1, -1e-3, 2]]), 4000
    found = np.concatenate([compress(AdaptiveRandom(), x, round).dense().numpy() for round in range(draws)])
    law = np.abs(x[0]) / np.abs(x).sum()
    frequencies = (found != 0).mean(axis=0)
    assert (np.abs(frequencies - law) <= 5 * np.sqrt(law * (1 - law) / draws)).all()
    squares, moment = (found**2).sum(1), (np.abs(x) ** 3).sum() / np.abs(x).sum()
    assert abs(squares.mean() - moment) <= 5 * squares.std() / math.sqrt(draws)
    np.testing.assert_array_equal(squares, found @ x[0])  # of every draw
    assert moment >= (x**2).sum() / 6 * (1 - 1e-12)


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e308])
def test_the_ends_of_the_range(size: float) -> None:
    x = np.array([[0.0, size, size, 0.0, size]])
    seen = set()
    for round in range(40):
        found = compress(AdaptiveRandom(), x, round).dense().numpy()[0]
        assert np.count_nonzero(found) == 1 and found.max() == size
        seen.add(int(found.argmax()))
    assert seen == {1, 2, 4}
    assert not compress(AdaptiveRandom(), 0 * x).dense().any()


def test_an_index_out_of_range_is_refused() -> None:
    payload = torch.tensor([9, 0, 0, 0, 0], dtype=torch.uint8)
    with pytest.raises(ValueError, match="number 9, which must be below 9"):
        AdaptiveRandom().decode(payload, torch.empty(9))
    AdaptiveRandom().decode(payload, torch.empty(10))
