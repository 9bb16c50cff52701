"""Client sampling: literal weights, expectations by enumeration of all samples, and what the draws depend on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import comb, prod
from typing import Any

import numpy as np
import pytest

from algorithms.federated.sampling import draw_clients
from tests.algorithms.federated.literal import drawn
from tests.algorithms.helpers import Array

SIZES = (3.0, 1.0, 4.0, 1.0, 5.0)
K = len(SIZES)
Q = np.array(SIZES) / sum(SIZES)


class Scripted:
    """A generator that draws what it is told to."""

    def __init__(self, sample: Any) -> None:
        self.sample = sample

    def choice(self, total: int, clients: int, replace: bool = True, p: Array | None = None) -> Array:
        assert (total, clients) == (K, len(self.sample))
        assert replace == (p is not None)
        if p is not None:
            np.testing.assert_allclose(p, Q, rtol=1e-14)
        return np.array(self.sample)

    def random(self, total: int) -> Array:
        return np.array([0.0 if k in self.sample else np.nextafter(1, 0) for k in range(total)])


def samples(sampling: str, clients: int) -> Iterator[tuple[float, tuple[int, ...]]]:
    """All samples, each with its probability."""
    if sampling == "uniform":
        for subset in combinations(range(K), clients):
            yield 1 / comb(K, clients), subset
    elif sampling == "proportional":
        for draws in product(range(K), repeat=clients):
            yield prod(Q[k] for k in draws), draws
    else:
        chance = clients / K
        for size in range(K + 1):
            for subset in combinations(range(K), size):
                yield chance**size * (1 - chance) ** (K - size), subset


def weights(sampling: str, clients: int, weighting: str, sample: Any) -> Array:
    return draw_clients(SIZES, clients, sampling, weighting, Scripted(sample)) / K  # type: ignore[arg-type]


def expectation(sampling: str, clients: int, weighting: str) -> Array:
    return sum(chance * weights(sampling, clients, weighting, each) for chance, each in samples(sampling, clients))


@pytest.mark.parametrize("clients", [1, 2, 4])
@pytest.mark.parametrize("sampling", ["uniform", "proportional", "independent"])
def test_expectation_over_all_samples(sampling: str, clients: int) -> None:
    assert sum(chance for chance, _ in samples(sampling, clients)) == pytest.approx(1)
    np.testing.assert_allclose(expectation(sampling, clients, "unbiased"), Q, rtol=1e-12)
    np.testing.assert_allclose(expectation(sampling, clients, "all"), Q * clients / K, rtol=1e-12)
    bias = np.abs(expectation(sampling, clients, "sampled") - Q).max()
    assert bias < 1e-12 if sampling == "proportional" else bias > 1e-3


@pytest.mark.parametrize("clients", [1, 2, 4])
@pytest.mark.parametrize("sampling", ["uniform", "proportional", "independent"])
def test_the_weights_of_the_sampled_sum_to_1(sampling: str, clients: int) -> None:
    for _, each in samples(sampling, clients):
        total = weights(sampling, clients, "sampled", each).sum()
        assert total == pytest.approx(1) if each else total == 0


def test_weights_by_hand() -> None:
    np.testing.assert_allclose(weights("uniform", 2, "sampled", (0, 2)), [3 / 7, 0, 4 / 7, 0, 0])
    np.testing.assert_allclose(weights("uniform", 2, "all", (0, 2)), [3 / 14, 0, 4 / 14, 0, 0])
    np.testing.assert_allclose(weights("uniform", 2, "unbiased", (0, 2)), np.array([3, 0, 4, 0, 0]) * 5 / 28)
    np.testing.assert_allclose(weights("proportional", 3, "sampled", (4, 0, 4)), [1 / 3, 0, 0, 0, 2 / 3])
    np.testing.assert_allclose(weights("proportional", 3, "all", (4, 0, 4)), [1 / 5, 0, 0, 0, 2 / 5])
    np.testing.assert_allclose(weights("independent", 2, "sampled", (1, 2, 3)), [0, 1 / 6, 4 / 6, 1 / 6, 0])
    np.testing.assert_allclose(weights("independent", 2, "all", (1, 2, 3)), np.array([0, 1, 4, 1, 0]) / 14)
    assert not weights("independent", 2, "sampled", ()).any()


@pytest.mark.parametrize("weighting", ["sampled", "all", "unbiased"])
@pytest.mark.parametrize("sampling", ["uniform", "independent"])
def test_all_clients_are_everyone(sampling: str, weighting: str) -> None:
    for r in range(20):
        np.testing.assert_allclose(drawn(SIZES, K, sampling, weighting)(r), Q, rtol=1e-14)
    equal = draw_clients((1.0,) * 49, 49, sampling, weighting, np.random.default_rng(0))  # type: ignore[arg-type]
    assert (equal == 1).all()  # to the bit


@pytest.mark.parametrize(
    ("sampling", "chances"),
    [("uniform", np.full(K, 2 / K)), ("proportional", 1 - (1 - Q) ** 2), ("independent", np.full(K, 2 / K))],
)
def test_how_often_clients_take_part(sampling: str, chances: Array) -> None:
    taken = np.mean([drawn(SIZES, 2, sampling, "sampled")(r) > 0 for r in range(4000)], axis=0)
    np.testing.assert_allclose(taken, chances, atol=4 * 0.5 / np.sqrt(4000))
