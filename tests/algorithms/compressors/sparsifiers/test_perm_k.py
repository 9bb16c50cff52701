"""Permutation compressors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from algorithms import NonFiniteError, PermK
from algorithms.compressors.wire import frames
from algorithms.randomness import Draw, Key
from tests.algorithms.compressors.helpers import HEADER
from tests.algorithms.helpers import Array

CASES = [(1, 5), (4, 12), (4, 13), (5, 23), (8, 8), (8, 4), (12, 4), (10, 4), (7, 5), (9, 1), (300, 7)]  # n, d


def of_all_nodes(n: int, x: Array, round: int = 0) -> Array:
    """(n, d): what n nodes make of their rows."""
    draw = Draw(0, "compression", range(n), round)
    return PermK(n).compress(torch.from_numpy(x), draw).dense().numpy()


@pytest.mark.parametrize(("n", "d"), CASES)
def test_perm_k(n: int, d: int) -> None:
    """Literally: who holds which entry, and times what."""
    x = np.random.default_rng(0).normal(size=(n, d))
    random = np.random.Generator(np.random.Philox(key=Draw(0, "compression", [0], 0).key(0).common))
    entries, places = random.permutation(d), random.permutation(n)
    holders = np.zeros((n, d), bool)
    for node in range(n):
        first, end = places[node] * d // n, (places[node] + 1) * d // n
        holders[node, entries[first : max(end, first + 1)]] = True
    expected = np.where(holders, x * n / holders.sum(axis=0), 0)
    np.testing.assert_allclose(of_all_nodes(n, x), expected, rtol=1e-15)
    assert holders.sum(axis=0).min() >= 1
    assert d < n or (holders.sum(axis=0) == 1).all()
    assert {len(np.flatnonzero(row)) for row in holders} <= set(PermK(n).sizes(d))
    message = PermK(n).compress(torch.from_numpy(x), Draw(0, "compression", range(n), 0))
    number = 0 if n == 1 else 1 if n <= 256 else 2
    assert message.nbytes.tolist() == [HEADER + 8 + number + 8 * kept for kept in holders.sum(axis=1).tolist()]
    assert message.paper_bits == 64 * max(1, d / n)


@pytest.mark.parametrize(("n", "d"), CASES)
def test_equal_vectors_average_to_themselves(n: int, d: int) -> None:
    x = np.tile(np.random.default_rng(0).normal(size=d), (n, 1))
    for round in range(10):
        mean = of_all_nodes(n, x, round).mean(axis=0)
        np.testing.assert_allclose(mean, x[0], rtol=1e-12)
        if n & (n - 1) == 0 and d >= n:  # n x and its n-th part are exact
            np.testing.assert_array_equal(mean, x[0])


@pytest.mark.parametrize(("n", "d"), [case for case in CASES if 1 < case[0] < 20])
def test_every_node_is_unbiased_with_this_variance(n: int, d: int) -> None:
    draws = 3000
    x = np.random.default_rng(1).normal(size=d)
    payloads = [PermK(n).encode(torch.from_numpy(x), Draw(0, "c", [n - 1], round).key(0)) for round in range(draws)]
    found = np.empty((draws, d))
    for payload, out in zip(payloads, found, strict=True):
        PermK(n).decode(payload, torch.from_numpy(out))
    assert (np.abs(found.mean(axis=0) - x) <= 5 * found.std(axis=0) / math.sqrt(draws) + 1e-12).all()
    squares = (found**2).sum(axis=1) / (x**2).sum()
    assert abs(squares.mean() - 1 - PermK(n).omega(d)) <= 5 * squares.std() / math.sqrt(draws) + 1e-12


@pytest.mark.parametrize(("n", "d", "omega"), [(4, 12, 3), (5, 23, 4), (8, 4, 3), (12, 4, 3), (9, 1, 0), (3, 2, 1.25)])
def test_omega(n: int, d: int, omega: float) -> None:
    """For 3 nodes and 2 entries, one entry has 2 nodes and the other one: (3/2 + 3) / 2 - 1."""
    assert PermK(n).omega(d) == pytest.approx(omega)


@pytest.mark.parametrize(("n", "d"), [(4, 12), (8, 8), (8, 4), (12, 4)])
def test_ab_equality(n: int, d: int) -> None:
    """E|mean C_i(a_i) - abar|^2 = A mean|a_i|^2 - B |abar|^2, A = B = 1, or 1 - (n - d) / (n - 1) for d < n."""
    draws = 500
    a = np.random.default_rng(2).normal(size=(n, d)) + 1
    errors = np.array([((of_all_nodes(n, a, r).mean(0) - a.mean(0)) ** 2).sum() for r in range(draws)])
    factor = min(1.0, 1 - (n - d) / (n - 1))
    exact = factor * ((a**2).sum(1).mean() - (a.mean(0) ** 2).sum())
    assert abs(errors.mean() - exact) <= 5 * errors.std() / math.sqrt(draws)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"^PermK: nodes = 0 is not allowed; it must be >= 1$"):
        PermK(0)
    with pytest.raises(ValueError, match=r"^PermK: nodes = 4 is not allowed for node 4; it must be their number$"):
        PermK(4).compress(torch.ones(1, 8), Draw(0, "compression", [4], 0))
    with pytest.raises(ValueError, match="number 4, which must be below 4"):
        PermK(4).decode(
            torch.cat([frames.from_word(7), torch.tensor([4] + 8 * [0], dtype=torch.uint8)]), torch.empty(8)
        )
    with pytest.raises(NonFiniteError, match=r"^PermK: .*beyond its precision"):
        PermK(4).encode(torch.full((8,), 1e38), Key(1, 2, 3))
