"""Gaussian noise on the estimates of another oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import AdditiveNoise, Full, Minibatch, Sample


class Ramp:
    """A workload whose gradient at x is x + 1, on 10 examples."""

    def examples(self, node: int) -> int:
        return 10

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        return Sample(x + 1, torch.arange(float(len(x))))


def sample(oracle: AdditiveNoise, x: Tensor, nodes: Sequence[int], step: int = 0, seed: int = 0) -> tuple[Sample, Any]:
    state = oracle.start(Ramp(), x, nodes, seed)
    return oracle.sample(state, Ramp(), x, nodes, step, seed), state


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    x = torch.zeros(4, 20_000, dtype=torch.float64)
    given, _ = sample(AdditiveNoise(deviation=3.0), x, range(4))
    noise = given.gradient - 1
    np.testing.assert_allclose(noise.mean(dim=1), 0, atol=0.1)
    np.testing.assert_allclose(noise.std(dim=1), 3, rtol=0.03)
    correlations = np.corrcoef(noise.numpy()) - np.eye(4)
    assert np.abs(correlations).max() < 0.04
    np.testing.assert_array_equal(given.loss, np.arange(4))


def test_noise_depends_on_seed_node_and_step_alone() -> None:
    x = torch.zeros(3, 5, dtype=torch.float32)
    oracle = AdditiveNoise()
    together, _ = sample(oracle, x, [0, 1, 2], 4, 1)
    alone, _ = sample(oracle, x[:1], [2], 4, 1)
    assert torch.equal(alone.gradient[0], together.gradient[2])
    assert together.gradient.dtype == torch.float32
    for step, seed in ((5, 1), (4, 2)):
        other, _ = sample(oracle, x, [0, 1, 2], step, seed)
        assert not torch.isclose(other.gradient, together.gradient).any()


def test_what_the_oracle_below_counts_is_counted() -> None:
    for below, gradients in ((Full(), 10), (Minibatch(batch=3), 3)):
        _, state = sample(AdditiveNoise(below), torch.zeros(2, 5), range(2))
        assert state.gradients.tolist() == [gradients] * 2


def test_a_negative_deviation_is_refused() -> None:
    with pytest.raises(ValueError) as refused:
        AdditiveNoise(deviation=-1.0)
    assert str(refused.value) == "AdditiveNoise: deviation = -1.0 is not allowed; it must be >= 0"
