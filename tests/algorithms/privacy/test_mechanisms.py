"""Noise of the mechanisms against the laws that it should have."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

from algorithms import DiscreteGaussianMechanism, DPFedAvg, GaussianMechanism, NonFiniteError
from algorithms.privacy.clipping import clipped
from algorithms.privacy.discrete_gaussian import discrete_gaussian, variance_above
from algorithms.privacy.tree import cover, prefix_noise
from algorithms.randomness import generator

MANY = 40_000


def in_five_errors(samples: np.ndarray, deviation: float) -> bool:
    """Whether the mean of the squares is the variance, up to five standard errors of a normal distribution's."""
    return abs(np.mean(samples**2) / deviation**2 - 1) < 5 * np.sqrt(2 / samples.size)


@pytest.mark.parametrize("variance", ["1/2", "9", "1000", "1025/1024", "16777216"])
def test_the_discrete_gaussian_has_its_probabilities(variance: str) -> None:
    found = discrete_gaussian(Fraction(variance), MANY, np.random.default_rng(1))
    deviation = float(Fraction(variance)) ** 0.5
    edge, width = int(10 * deviation) + 1, max(1, int(deviation) // 8)  # of a bin
    values = np.arange(-edge, edge + 1)
    weights = np.exp(-(values**2) / (2 * deviation**2))
    bins = (values + edge) // width
    wanted = MANY * np.bincount(bins, weights) / weights.sum()
    counts = np.bincount((found + edge) // width, minlength=len(wanted))
    often = wanted > 5
    statistic = ((counts - wanted)[often] ** 2 / wanted[often]).sum()
    assert len(found) == MANY and statistic < stats.chi2.ppf(1 - 1e-6, often.sum())
    assert abs(counts[~often].sum() - wanted[~often].sum()) < 30


def test_a_variance_is_rounded_up_and_hardly() -> None:
    for deviation in (0.3, 1.0, 5.7, 31.9, 32.5, 4096.0):
        assert deviation**2 <= variance_above(deviation) <= deviation**2 * 1.02
    with pytest.raises(NonFiniteError, match="a deviation of 4097 steps; at most 4096 are possible"):
        variance_above(4097)
    with pytest.raises(ValueError, match="step = 1e-05 is not allowed; it must be at least"):
        DPFedAvg(mechanism=DiscreteGaussianMechanism(1e-5))


def test_gaussian_noise_has_its_variance_and_follows_from_the_seed() -> None:
    total = torch.arange(MANY, dtype=torch.float64)
    once, again, other = (GaussianMechanism().noised(total, 3.0, generator(seed, "test")) for seed in (4, 4, 5))
    assert torch.equal(once, again) and not torch.equal(once, other)
    assert in_five_errors((once - total).numpy(), 3.0)


def test_discrete_noise_is_on_the_grid_and_rounding_makes_no_norm_larger() -> None:
    mechanism = DiscreteGaussianMechanism(step=0.01)
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 400)))
    short = mechanism.prepared(rows)
    assert (short.norm(dim=1) <= rows.norm(dim=1)).all() and (short - rows).abs().max() <= 0.01
    total = short.sum(dim=0)
    noised = mechanism.noised(total, 0.5, generator(0, "test"))
    assert torch.allclose(noised / 0.01, (noised / 0.01).round(), atol=1e-9, rtol=0)
    many = mechanism.noised(torch.zeros(MANY, dtype=torch.float64), 0.5, generator(0, "test"))
    assert in_five_errors(many.numpy(), 0.5)
    assert torch.allclose(mechanism.noised(total, 0.0, generator(0, "test")), total, atol=1e-12)


def test_clipping() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]], dtype=torch.float64)
    wanted = torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(clipped(rows, 1.0), wanted, atol=1e-15)
    assert torch.equal(clipped(rows, float("inf")), rows)


def test_a_prefix_has_the_noise_of_the_vertices_that_cover_it() -> None:
    for t in range(1, 40):
        steps = [step for level, index in cover(t) for step in range((index << level) + 1, (index + 1 << level) + 1)]
        assert sorted(steps) == list(range(1, t + 1)) and len(list(cover(t))) == t.bit_count()

    def descend(level: int, index: int, t: int) -> np.ndarray:
        """From the root down to the vertices all of whose steps are among the first t."""
        if index << level >= t:
            return np.zeros(5)
        if index + 1 << level <= t:
            return generator(7, "tree noise", 2, level, index).standard_normal(5)
        return descend(level - 1, 2 * index, t) + descend(level - 1, 2 * index + 1, t)

    for t in range(16):
        assert np.allclose(prefix_noise(t, 5, seed=7, tree=2), descend(4, 0, t), atol=1e-12)
